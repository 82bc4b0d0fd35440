/* answers_test.c -- owed answers and known ids: bounds, the file, damage. */
#include "gateway/answers.h"
#include "gateway/fake_outlet.h"
#include "gateway/seen.h"
#include "obs/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    struct fake_outlet broker;
    struct outlet out;
    char dir[64], path[96];
} t;

static int
setup(void **state)
{
    (void)state;
    log_set_level(NX_LOG_ERROR);
    t.out = fake_outlet_init(&t.broker);
    (void)snprintf(t.dir, sizeof t.dir, "/tmp/nexus-answers-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    (void)snprintf(t.path, sizeof t.path, "%s/file", t.dir);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    fake_outlet_fini(&t.broker);
    (void)unlink(t.path);
    assert_int_equal(rmdir(t.dir), 0);
    return 0;
}

static void
flip_byte(long at)
{
    int fd = open(t.path, O_RDWR);
    uint8_t b = 0;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 0x40;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

static void
the_newest_text_is_sent_once(void **state)
{
    struct answers *a = answers_open(t.path, 4, &t.out);
    struct answer *ans = answers_owe(a, "r", slice_str("corr"), "one", true);

    (void)state;
    answers_ready(a);
    assert_int_equal(t.broker.count, 0);
    answer_change(ans, "two");
    answer_send(ans, "three");
    assert_string_equal(fake_outlet_last(&t.broker, "r")->payload, "three");
    assert_string_equal(fake_outlet_last(&t.broker, "r")->correlation, "corr");
    answers_close(&a);
    a = answers_open(t.path, 4, &t.out);
    answers_ready(a);
    assert_int_equal(t.broker.count, 1);
    answers_close(&a);
}

static void
what_was_owed_is_sent_by_the_next_run(void **state)
{
    struct answers *a = answers_open(t.path, 4, &t.out);
    struct answer *ans = answers_owe(a, "r", slice_str("k"), "a longer text at first", true);

    (void)state;
    answer_change(ans, "short");
    answers_close(&a);
    a = answers_open(t.path, 4, &t.out);
    assert_int_equal(answers_stats_of(a).waiting, 1);
    t.broker.answer = NX_E_OFFLINE;
    answers_ready(a);
    answers_close(&a); /* the broker never came: still owed */
    t.broker.answer = NX_OK;
    a = answers_open(t.path, 4, &t.out);
    answers_ready(a);
    assert_string_equal(fake_outlet_last(&t.broker, "r")->payload, "short");
    assert_string_equal(fake_outlet_last(&t.broker, "r")->correlation, "k");
    answers_close(&a);
}

static void
a_stopped_client_leaves_the_answer_to_the_next_run(void **state)
{
    struct answers *a = answers_open(t.path, 4, &t.out);

    (void)state;
    t.broker.holds_done = true;
    answer_send(answers_owe(a, "r", slice(NULL, 0), "x", true), "x");
    fake_outlet_settle(&t.broker, NX_E_CANCELED);
    answers_close(&a);
    a = answers_open(t.path, 4, &t.out);
    assert_int_equal(answers_stats_of(a).waiting, 1);
    answers_ready(a);
    answers_close(&a);
    fake_outlet_settle(&t.broker, NX_OK); /* after the owner: must not touch it */
}

static void
damage_costs_one_answer(void **state)
{
    struct answers *a = answers_open(t.path, 4, &t.out);

    (void)state;
    assert_non_null(answers_owe(a, "r/0", slice(NULL, 0), "zero", true));
    assert_non_null(answers_owe(a, "r/1", slice(NULL, 0), "one", true));
    answers_close(&a);
    flip_byte(20);
    a = answers_open(t.path, 4, &t.out);
    assert_int_equal(answers_stats_of(a).waiting, 1);
    answers_ready(a);
    assert_non_null(fake_outlet_last(&t.broker, "r/1"));
    answers_close(&a);
}

static void
too_long_and_too_many_are_in_memory_only(void **state)
{
    struct answers *a = answers_open(t.path, 2, &t.out);
    char text[3000] = {0};
    struct answer *ans[4];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    for (unsigned i = 0; i < 4; i++)
        ans[i] = answers_owe(a, "r", slice(NULL, 0), i == 0 ? text : "y", true);
    for (unsigned i = 0; i < 4; i++)
        answer_send(ans[i], i == 0 ? text : "y");
    assert_int_equal(t.broker.count, 4);
    assert_int_equal(answers_stats_of(a).unsettled, 0);
    answers_close(&a);
}

static void
the_cap_is_counted(void **state)
{
    struct answers *a = answers_open(NULL, 0, &t.out);

    (void)state;
    t.broker.answer = NX_E_OFFLINE;
    for (unsigned i = 0; i < ANSWERS_MAX; i++)
        answer_send(answers_owe(a, "r", slice(NULL, 0), "x", false), "x");
    assert_null(answers_owe(a, "r", slice(NULL, 0), "x", false));
    assert_int_equal(answers_stats_of(a).lost, 1);
    assert_int_equal(answers_stats_of(a).waiting, ANSWERS_MAX);
    answers_close(&a);
}

/* --- ids --- */

static void
ids_are_known_until_the_ring_is_round(void **state)
{
    struct seen *s = seen_open(t.path);

    (void)state;
    for (uint64_t i = 1; i <= SEEN_MAX + 10; i++)
        assert_true(seen_take(s, i));
    assert_false(seen_take(s, SEEN_MAX + 10));
    assert_false(seen_take(s, 11));
    seen_close(&s);
    s = seen_open(t.path);
    assert_false(seen_take(s, SEEN_MAX + 10));
    assert_false(seen_take(s, 11));
    assert_true(seen_take(s, 10)); /* forgotten, and takes the place of 11 */
    assert_true(seen_take(s, 11));
    seen_close(&s);
}

static void
a_damaged_place_costs_one_id(void **state)
{
    struct seen *s = seen_open(t.path);

    (void)state;
    assert_true(seen_take(s, 7)); /* number 1 */
    assert_true(seen_take(s, 8));
    seen_close(&s);
    flip_byte(16 + 3);
    s = seen_open(t.path);
    assert_false(seen_take(s, 8));
    assert_true(seen_take(s, 7));
    seen_close(&s);
}

static void
without_a_file_memory_will_do(void **state)
{
    struct seen *s = seen_open("/proc/nowhere/seen");
    struct answers *a = answers_open("/proc/nowhere/answers", 4, &t.out);

    (void)state;
    assert_true(seen_take(s, 1));
    assert_false(seen_take(s, 1));
    answer_send(answers_owe(a, "r", slice(NULL, 0), "x", true), "x");
    assert_int_equal(t.broker.count, 1);
    seen_close(&s);
    answers_close(&a);
    (void)close(open(t.path, O_CREAT | O_RDWR, 0600)); /* for the teardown */
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_newest_text_is_sent_once),
        TEST(what_was_owed_is_sent_by_the_next_run),
        TEST(a_stopped_client_leaves_the_answer_to_the_next_run),
        TEST(damage_costs_one_answer),
        TEST(too_long_and_too_many_are_in_memory_only),
        TEST(the_cap_is_counted),
        TEST(ids_are_known_until_the_ring_is_round),
        TEST(a_damaged_place_costs_one_id),
        TEST(without_a_file_memory_will_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
