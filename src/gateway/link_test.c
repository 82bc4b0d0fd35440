/* link_test.c -- the historian link over a real spool, with scripted acknowledgements, in virtual time. */
#include "base/test_dir.h"
#include "gateway/fake_outlet.h"
#include "gateway/link.h"
#include "obs/log.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TOPIC  "nexus/v1/batch/g/0"
#define WINDOW 8

static struct {
    struct loop *loop;
    struct spool *sp;
    struct link *link;
    struct fake_outlet broker;
    struct outlet out;
    struct link_conf conf;
    char dir[64];
} t;

static void
open_spool(void)
{
    struct nx_note why = {0};

    if (spool_open(&t.sp, t.loop, &(struct spool_conf){.dir = t.dir}, NULL, NULL, &why) != NX_OK)
        fail_msg("%s", why.text);
}

static int
setup(void **state)
{
    (void)state;
    log_set_level(NX_LOG_ERROR);
    (void)snprintf(t.dir, sizeof t.dir, "/tmp/link_test.XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    t.loop = loop_fake_new();
    t.out = fake_outlet_init(&t.broker);
    t.conf = (struct link_conf){.topic = TOPIC, .window = WINDOW, .backlog_share = 50, .rto_ms = 1000};
    open_spool();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    link_free(&t.link);
    spool_close(&t.sp);
    fake_outlet_fini(&t.broker);
    loop_free(&t.loop);
    return test_dir_remove(t.dir);
}

static void
begin(void)
{
    t.link = link_new(t.loop, &t.conf, t.sp, &t.out);
}

/* The body of a record is its number as text. */
static void
append(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char body[32];
        uint64_t seq = spool_next_seq(t.sp);
        (void)snprintf(body, sizeof body, "%llu", (unsigned long long)seq);
        assert_int_equal(spool_append(t.sp, slice_str(body), 10, NULL), NX_OK);
        if (t.link)
            link_appended(t.link, seq, slice_str(body));
    }
}

static void
ack(uint64_t from, uint64_t to)
{
    struct batch_ack a = {.epoch = spool_epoch(t.sp), .count = 1, .committed = {{from, to}}};

    link_ack(t.link, &a);
}

static void
check_sent(const char *const *bodies, unsigned n)
{
    assert_int_equal(t.broker.count, n);
    for (unsigned i = 0; i < n; i++)
        assert_string_equal(t.broker.messages[i].payload, bodies[i]);
}

#define SENT(...)                                                                                                      \
    check_sent((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void
sends_at_once_and_frees_on_acknowledgement(void **state)
{
    (void)state;
    begin();
    link_online(t.link);
    append(3);
    SENT("1", "2", "3");
    assert_string_equal(t.broker.messages[0].topic, TOPIC);
    assert_int_equal(spool_stats_of(t.sp).records, 3); /* the broker's acknowledgement frees nothing */
    ack(2, 3);
    assert_int_equal(spool_stats_of(t.sp).records, 1);
    assert_int_equal(link_stats_of(t.link).in_flight, 1);
    ack(1, 1);
    assert_int_equal(spool_stats_of(t.sp).records, 0);
    loop_fake_advance_ms(t.loop, 60000);
    assert_int_equal(t.broker.count, 3); /* nothing is sent again */
}

static void
unacknowledged_batches_are_sent_again_with_growing_pauses(void **state)
{
    (void)state;
    begin();
    link_online(t.link);
    append(1);
    loop_fake_advance_ms(t.loop, 900);
    assert_int_equal(t.broker.count, 1);
    loop_fake_advance_ms(t.loop, 200);
    SENT("1", "1");
    loop_fake_advance_ms(t.loop, 1800);
    assert_int_equal(t.broker.count, 2);
    loop_fake_advance_ms(t.loop, 300);
    assert_int_equal(t.broker.count, 3);
    ack(1, 1);
    loop_fake_advance_ms(t.loop, 60000);
    assert_int_equal(t.broker.count, 3);
}

static void
window_bounds_what_is_on_the_way(void **state)
{
    (void)state;
    begin();
    link_online(t.link);
    append(20);
    assert_int_equal(t.broker.count, WINDOW);
    ack(1, 3);
    assert_int_equal(t.broker.count, WINDOW + 3);
    assert_string_equal(t.broker.messages[WINDOW + 2].payload, "11");
}

static void
backlog_follows_at_its_share_and_live_goes_first(void **state)
{
    (void)state;
    append(100); /* of a process that was killed */
    begin();
    link_online(t.link);
    SENT("1", "2", "3", "4"); /* half of the window */
    fake_outlet_clear(&t.broker);
    append(2);
    SENT("101", "102");
    fake_outlet_clear(&t.broker);
    ack(1, 2);
    SENT("5", "6");
    for (uint64_t i = 3; i <= 102; i++)
        ack(i, i);
    assert_int_equal(spool_stats_of(t.sp).records, 0);
    assert_int_equal(link_stats_of(t.link).backlog, 0);
}

static void
offline_waits_and_goes_on(void **state)
{
    (void)state;
    begin();
    append(3);
    loop_fake_advance_ms(t.loop, 5000);
    assert_int_equal(t.broker.count, 0);
    link_online(t.link);
    SENT("1", "2", "3");
    link_offline(t.link);
    append(1);
    loop_fake_advance_ms(t.loop, 60000);
    assert_int_equal(t.broker.count, 3);
    link_online(t.link);
    assert_int_equal(t.broker.count, 4);
    assert_string_equal(t.broker.messages[3].payload, "4");
    loop_fake_advance_ms(t.loop, 1200); /* what the broker lost comes again by the timer */
    assert_int_equal(t.broker.count, 8);
}

static void
full_broker_is_asked_again(void **state)
{
    (void)state;
    begin();
    link_online(t.link);
    t.broker.room = 1;
    append(3);
    SENT("1");
    t.broker.room = UINT_MAX;
    link_ready(t.link);
    SENT("1", "2", "3");
}

static void
stalled_link_recovers_live_first(void **state)
{
    (void)state;
    begin();
    link_online(t.link);
    append(WINDOW * 2);
    loop_fake_advance_ms(t.loop, 20000);
    assert_true(link_stats_of(t.link).is_stalled);
    fake_outlet_clear(&t.broker);
    append(1);
    ack(1, 1);
    assert_false(link_stats_of(t.link).is_stalled);
    append(1);
    unsigned live = 0;
    for (unsigned i = 0; i < t.broker.count; i++)
        live += atoi(t.broker.messages[i].payload) == WINDOW * 2 + 2;
    for (uint64_t i = 1; i <= WINDOW; i++)
        ack(i, i);
    loop_fake_advance_ms(t.loop, 100);
    for (unsigned i = 0; i < t.broker.count && live == 0; i++)
        live += atoi(t.broker.messages[i].payload) == WINDOW * 2 + 2;
    assert_int_equal(live, 1);
    for (uint64_t i = 1; i <= WINDOW * 2 + 2; i++)
        ack(i, i);
    assert_int_equal(spool_stats_of(t.sp).records, 0);
}

static void
others_acknowledgements_are_ignored(void **state)
{
    (void)state;
    begin();
    link_online(t.link);
    append(1);
    struct batch_ack a = {.epoch = spool_epoch(t.sp) + 1, .count = 1, .committed = {{1, 1}}};
    link_ack(t.link, &a);
    a.epoch--;
    a.lane = 1;
    link_ack(t.link, &a);
    assert_int_equal(spool_stats_of(t.sp).records, 1);
    ack(7, 99); /* numbers that were never given */
    assert_int_equal(spool_stats_of(t.sp).records, 1);
}

static void
broker_acknowledgement_frees_when_configured(void **state)
{
    (void)state;
    t.conf.is_broker_ack = true;
    t.broker.holds_done = true;
    begin();
    link_online(t.link);
    append(2);
    loop_fake_advance_ms(t.loop, 4000);
    assert_int_equal(t.broker.count, 2);
    fake_outlet_settle(&t.broker, NX_E_FULL); /* quota exceeded: comes again */
    assert_int_equal(spool_stats_of(t.sp).records, 2);
    loop_fake_advance_ms(t.loop, 2000);
    assert_int_equal(t.broker.count, 4);
    fake_outlet_settle(&t.broker, NX_OK);
    assert_int_equal(spool_stats_of(t.sp).records, 0);
}

/* An ingest that listens as well frees a place early; the PUBACK of its record must not free the next user's. */
static void
broker_acknowledgement_is_for_its_own_record(void **state)
{
    (void)state;
    t.conf.is_broker_ack = true;
    t.conf.window = 1;
    t.broker.holds_done = true;
    begin();
    link_online(t.link);
    append(2);
    SENT("1");
    ack(1, 1);
    t.broker.settled = 1;
    t.broker.messages[0].done(t.broker.messages[0].arg, NX_OK);
    SENT("1", "2");
    assert_int_equal(spool_stats_of(t.sp).first_seq, 2);
    fake_outlet_settle(&t.broker, NX_OK);
    assert_int_equal(spool_stats_of(t.sp).records, 0);
}

static void
oversized_record_holds_nothing_up(void **state)
{
    (void)state;
    begin();
    link_online(t.link);
    t.broker.answer = NX_E_TOO_LARGE;
    append(1);
    t.broker.answer = NX_OK;
    append(2);
    SENT("2", "3");
    ack(2, 3);
    assert_int_equal(spool_stats_of(t.sp).records, 1); /* stays for another broker */
    link_offline(t.link);
    link_online(t.link);
    SENT("2", "3", "1");
    t.broker.answer = NX_E_TOO_LARGE; /* the broker came back with a smaller limit */
    loop_fake_advance_ms(t.loop, 2000);
    t.broker.answer = NX_OK;
    append(1);
    SENT("2", "3", "1", "4");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(sends_at_once_and_frees_on_acknowledgement),
        TEST(unacknowledged_batches_are_sent_again_with_growing_pauses),
        TEST(window_bounds_what_is_on_the_way),
        TEST(backlog_follows_at_its_share_and_live_goes_first),
        TEST(offline_waits_and_goes_on),
        TEST(full_broker_is_asked_again),
        TEST(stalled_link_recovers_live_first),
        TEST(others_acknowledgements_are_ignored),
        TEST(broker_acknowledgement_frees_when_configured),
        TEST(broker_acknowledgement_is_for_its_own_record),
        TEST(oversized_record_holds_nothing_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
