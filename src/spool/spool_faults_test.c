/* spool_faults_test.c -- a disk that is full, refuses to read or write, or has become read-only: the spool says so,
 * keeps what it has, and goes on when the disk does. */
#include "spool/fake_disk.h"
#include "spool/spool.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BODY 500u

static struct {
    struct loop *loop;
    struct fake_disk *disk;
    struct fake_disk_faults *faults;
    struct spool *sp;
    struct spool_conf conf;
    struct nx_note why;
    uint64_t drop_from, drop_to, dropped;
    enum nx_err cause;
    unsigned errors;
} fx;

static void
on_drop(void *arg, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    (void)arg;
    (void)points;
    fx.drop_from = from;
    fx.drop_to = to;
    fx.dropped += to - from + 1;
    fx.cause = cause;
}

static void
on_error(void *arg, const struct nx_note *why)
{
    (void)arg;
    assert_true(why->text[0] != '\0');
    fx.errors++;
}

static void
open_spool(void)
{
    static const struct spool_ops ops = {on_drop, on_error};

    if (spool_open(&fx.sp, fx.loop, &fx.conf, &ops, NULL, &fx.why) != NX_OK)
        fail_msg("%s", fx.why.text);
}

static void
close_spool(bool is_killed)
{
    fx.faults->is_dead = is_killed;
    spool_close(&fx.sp);
    loop_fake_turn(fx.loop);
    fx.faults->is_dead = false;
}

static int
setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof fx);
    fx.loop = loop_fake_new();
    loop_fake_set_wall_us(fx.loop, 1700000000000000);
    fx.disk = fake_disk_new(NULL);
    fx.faults = fake_disk_faults_of(fx.disk);
    fake_disk_use(fx.disk);
    fx.conf = (struct spool_conf){.dir = "spool",
                                  .cap_bytes = 1 << 20,
                                  .segment_bytes = 8 << 10,
                                  .disk_reserve_bytes = 1,
                                  .disk = &fake_disk_ops};
    open_spool();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    close_spool(false);
    fake_disk_free(&fx.disk);
    loop_free(&fx.loop);
    return 0;
}

static enum nx_err
try_append(void)
{
    char body[BODY];

    memset(body, 'a' + (int)(spool_next_seq(fx.sp) % 26), sizeof body);
    return spool_append(fx.sp, slice(body, sizeof body), 10, &fx.why);
}

static void
append(unsigned n)
{
    while (n--)
        assert_int_equal(try_append(), NX_OK);
}

/* How many records come, each sound. */
static unsigned
count_waiting(void)
{
    struct spool_record rec = {0};
    unsigned n = 0;

    while (spool_read(fx.sp, rec.seq + 1, &rec, &fx.why) == NX_OK) {
        assert_int_equal(rec.body.len, BODY);
        assert_int_equal(rec.body.p[BODY / 2], 'a' + (int)(rec.seq % 26));
        n++;
    }
    return n;
}

static void
a_full_disk_takes_nothing_and_loses_nothing(void **state)
{
    unsigned stored = 0;

    (void)state;
    fx.faults->room = 20000;
    while (try_append() == NX_OK)
        stored++;
    assert_string_equal(nx_err_name(try_append()), "DISK_FULL");
    assert_non_null(strstr(fx.why.text, "free space"));
    assert_int_equal(count_waiting(), stored);
    close_spool(true);
    open_spool(); /* on a full disk, too */
    assert_int_equal(count_waiting(), stored);
    spool_free_range(fx.sp, 1, stored); /* what the historian has makes room */
    fx.faults->room = 60000;
    append(5);
    assert_int_equal(count_waiting(), 5);
    assert_int_equal(fx.dropped, 0);
}

static void
a_read_only_disk_is_named_and_can_be_read(void **state)
{
    (void)state;
    append(5);
    fx.faults->is_read_only = true;
    assert_true(try_append() != NX_OK);
    assert_non_null(strstr(fx.why.text, "read-only"));
    assert_int_equal(count_waiting(), 5);
    spool_free_range(fx.sp, 1, 2);
    loop_fake_advance_ms(fx.loop, 3000);
    assert_int_equal(count_waiting(), 3);
    close_spool(false);
    assert_true(spool_open(&fx.sp, fx.loop, &fx.conf, NULL, NULL, &fx.why) != NX_OK);
    assert_non_null(strstr(fx.why.text, "read-only"));
    fx.faults->is_read_only = false;
    open_spool();
    assert_int_equal(count_waiting(), 5); /* that two were freed could not be written down: they come again */
    append(5);
    assert_int_equal(count_waiting(), 10);
    assert_int_equal(fx.dropped, 0);
}

/* One bad sector: its record is held for a minute, then it is given up, and that is told. The others come. */
static void
a_bad_sector_costs_one_record(void **state)
{
    struct spool_record rec;

    (void)state;
    append(6);
    spool_free_range(fx.sp, 1, 2);
    fx.faults->bad_from = 40 + 2 * (32 + BODY) + 100;
    fx.faults->bad_to = fx.faults->bad_from + 50;
    assert_int_equal(spool_read(fx.sp, 1, &rec, &fx.why), NX_E_IO);
    loop_fake_advance_ms(fx.loop, 59000);
    assert_int_equal(spool_read(fx.sp, 1, &rec, &fx.why), NX_E_IO);
    assert_int_equal(fx.dropped, 0);
    loop_fake_advance_ms(fx.loop, 2000);
    assert_int_equal(count_waiting(), 3);
    assert_true(fx.dropped == 1 && fx.drop_from == 3 && fx.cause == NX_E_CORRUPT);
}

static void
a_disk_that_recovers_in_time_costs_nothing(void **state)
{
    struct spool_record rec;

    (void)state;
    append(6);
    fx.faults->read_error = -EIO;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(spool_read(fx.sp, 1, &rec, &fx.why), NX_E_IO);
        loop_fake_advance_ms(fx.loop, 1000);
    }
    fx.faults->read_error = 0;
    assert_int_equal(count_waiting(), 6);
    assert_int_equal(fx.dropped, 0);
}

/* At a start a segment that cannot be read must not be taken for an empty one and be deleted. */
static void
a_start_on_a_disk_that_refuses_deletes_nothing(void **state)
{
    (void)state;
    append(40);
    unsigned files = fake_disk_count(fx.disk, ".seg");
    assert_true(files >= 3);
    close_spool(true);
    fx.faults->read_error = -EIO;
    open_spool();
    assert_true(fx.errors >= files);
    assert_true(spool_next_seq(fx.sp) > 40);
    assert_int_equal(fx.cause, NX_E_CORRUPT);
    assert_int_equal(fake_disk_count(fx.disk, ".seg.bad"), files); /* for people */
    fx.faults->read_error = 0;
    append(3);
    assert_int_equal(count_waiting(), 3);
}

static void
a_start_on_a_bad_sector_keeps_the_rest(void **state)
{
    uint64_t declared;

    (void)state;
    append(40);
    close_spool(true);
    fx.faults->bad_from = 40 + 10 * (32 + BODY) + 100; /* in the 11th record of each segment */
    fx.faults->bad_to = fx.faults->bad_from + 50;
    open_spool();
    unsigned come = count_waiting();
    assert_true(come >= 20 && come < 40);
    assert_int_equal(fx.cause, NX_E_CORRUPT);
    assert_true(spool_next_seq(fx.sp) > 40);
    declared = fx.dropped - (spool_next_seq(fx.sp) - 41);
    assert_int_equal(come + declared, 40); /* each number came or was declared */
    append(1);
    assert_int_equal(count_waiting(), come + 1);
    spool_free_range(fx.sp, 0, UINT64_MAX);
    append(1);
    assert_int_equal(count_waiting(), 1);
}

static void
writing_fails_now_and_then(void **state)
{
    unsigned stored = 0;

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        fx.faults->write_error = i % 7 == 3 ? -EIO : 0;
        stored += try_append() == NX_OK;
        if (i % 50 == 49) {
            fx.faults->write_error = 0;
            close_spool(i % 100 == 49);
            open_spool();
        }
        assert_int_equal(count_waiting(), stored);
    }
    assert_int_equal(fx.dropped, 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_full_disk_takes_nothing_and_loses_nothing),
        T(a_read_only_disk_is_named_and_can_be_read),
        T(a_bad_sector_costs_one_record),
        T(a_disk_that_recovers_in_time_costs_nothing),
        T(a_start_on_a_disk_that_refuses_deletes_nothing),
        T(a_start_on_a_bad_sector_keeps_the_rest),
        T(writing_fails_now_and_then),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
