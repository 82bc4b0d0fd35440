#include "spool/spool.h"

#include "base/mem.h"
#include "base/num.h"
#include "spool/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- a disk that fails on demand --- */

static struct {
    int write_error;      /* -errno of every write to a segment, 0: none */
    int64_t write_budget; /* bytes that may still be written; -1: no limit */
    bool is_short;        /* writes go through in pieces of 7 bytes */
    int sync_error;
    uint64_t free_bytes;
    char boot;
    unsigned syncs;
} faults;

static int64_t
faulty_pwritev(int fd, const struct iovec *iov, int n, uint64_t at)
{
    struct iovec part = {iov->iov_base, iov->iov_len < 7 ? iov->iov_len : 7};
    int64_t len = 0;

    for (int i = 0; i < n; i++)
        len += (int64_t)iov[i].iov_len;
    if (faults.write_error)
        return faults.write_error;
    if (faults.write_budget >= 0) {
        if (faults.write_budget == 0)
            return -EIO;
        part.iov_len = iov->iov_len < (size_t)faults.write_budget ? iov->iov_len : (size_t)faults.write_budget;
        len = disk_posix.pwritev(fd, &part, 1, at);
        faults.write_budget -= len;
        return len;
    }
    return faults.is_short ? disk_posix.pwritev(fd, &part, 1, at) : disk_posix.pwritev(fd, iov, n, at);
}

static int
faulty_sync(int fd)
{
    (void)fd;
    faults.syncs++;
    return faults.sync_error;
}

static int
no_sync_dir(const char *path)
{
    (void)path;
    return 0;
}

static uint64_t
faulty_free_bytes(const char *path)
{
    (void)path;
    return faults.free_bytes;
}

static void
faulty_boot_id(char out[DISK_BOOT_ID])
{
    memset(out, faults.boot, DISK_BOOT_ID);
}

/* --- fixture --- */

struct drop {
    uint64_t records, points, first, last;
    enum nx_err cause;
    unsigned errors;
};

static struct fixture {
    char dir[64];
    struct loop *loop;
    struct spool *sp;
    struct disk_ops disk;
    struct spool_conf conf;
    struct drop drop;
    struct nx_note why;
} fx;

static void
on_drop(void *arg, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    struct drop *d = arg;

    if (d->records == 0)
        d->first = from;
    d->last = to;
    d->records += to - from + 1;
    d->points += points;
    d->cause = cause;
}

static void
on_error(void *arg, const struct nx_note *why)
{
    struct drop *d = arg;

    assert_true(why->text[0] != '\0');
    d->errors++;
}

static enum nx_err
try_open(void)
{
    static const struct spool_ops ops = {on_drop, on_error};

    return spool_open(&fx.sp, fx.loop, &fx.conf, &ops, &fx.drop, &fx.why);
}

static void
open_spool(void)
{
    assert_int_equal(try_open(), NX_OK);
}

/* What kill -9 leaves: the files as they are, nothing of ours written behind them. */
static void
copy_dir(const char *to)
{
    char command[256];

    (void)snprintf(command, sizeof command, "rm -rf %s && cp -r %s %s", to, fx.dir, to);
    assert_int_equal(system(command), 0);
}

static void
kill_and_open(void)
{
    char copy[80], command[256];

    (void)snprintf(copy, sizeof copy, "%s.copy", fx.dir);
    copy_dir(copy);
    spool_close(&fx.sp);
    (void)snprintf(command, sizeof command, "rm -rf %s && mv %s %s", fx.dir, copy, fx.dir);
    assert_int_equal(system(command), 0);
    open_spool();
}

static int
setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof fx);
    (void)snprintf(fx.dir, sizeof fx.dir, "/tmp/spool_test.XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    fx.loop = loop_fake_new();
    loop_fake_set_wall_us(fx.loop, 1700000000000000);
    fx.disk = disk_posix;
    fx.disk.pwritev = faulty_pwritev;
    fx.disk.sync = faulty_sync;
    fx.disk.sync_dir = no_sync_dir;
    fx.disk.free_bytes = faulty_free_bytes;
    fx.disk.boot_id = faulty_boot_id;
    memset(&faults, 0, sizeof faults);
    faults.write_budget = -1;
    faults.free_bytes = UINT64_MAX;
    faults.boot = 'a';
    fx.conf = (struct spool_conf){
        .dir = fx.dir, .cap_bytes = 1 << 20, .segment_bytes = 64 << 10, .disk_reserve_bytes = 1, .disk = &fx.disk};
    open_spool();
    return 0;
}

static int
teardown(void **state)
{
    char command[256];

    (void)state;
    spool_close(&fx.sp);
    loop_fake_turn(fx.loop);
    loop_free(&fx.loop);
    (void)snprintf(command, sizeof command, "rm -rf %s %s.copy", fx.dir, fx.dir);
    return system(command);
}

static size_t
body_of(uint64_t seq, char out[4096])
{
    size_t len = 20 + (seq * 37) % 400;

    memset(out, 'a' + (int)(seq % 26), len);
    memcpy(out, &seq, sizeof seq);
    return len;
}

static enum nx_err
try_append(void)
{
    char body[4096];
    size_t len = body_of(spool_next_seq(fx.sp), body);

    return spool_append(fx.sp, slice(body, len), 10, &fx.why);
}

static void
append(unsigned n)
{
    while (n--)
        assert_int_equal(try_append(), NX_OK);
}

static uint64_t
read_one(uint64_t seq)
{
    struct spool_record rec;
    char body[4096];
    enum nx_err err = spool_read(fx.sp, seq, &rec, &fx.why);

    if (err == NX_E_NOT_FOUND)
        return 0;
    assert_int_equal(err, NX_OK);
    size_t len = body_of(rec.seq, body);
    assert_true(slice_eq(rec.body, slice(body, len)));
    assert_int_equal(rec.points, 10);
    return rec.seq;
}

/* Everything from first to last waits, and nothing else. */
static void
check_waiting(uint64_t first, uint64_t last)
{
    uint64_t seq = 0;

    for (uint64_t want = first; want <= last; want++)
        assert_int_equal(seq = read_one(seq + 1), want);
    assert_int_equal(read_one(seq + 1), 0);
    struct spool_stats s = spool_stats_of(fx.sp);
    assert_int_equal(s.records, last + 1 - first);
    assert_int_equal(s.points, 10 * (last + 1 - first));
}

static unsigned
count_files(void)
{
    DIR *dir = opendir(fx.dir);
    struct dirent *e;
    unsigned n = 0;

    while ((e = readdir(dir)))
        n += strstr(e->d_name, ".seg") != NULL;
    closedir(dir);
    return n;
}

/* --- tests --- */

static void
first_in_first_out_across_segments(void **state)
{
    (void)state;
    assert_int_equal(spool_next_seq(fx.sp), 1);
    assert_int_equal(read_one(0), 0);
    append(2000);
    assert_true(count_files() > 5);
    check_waiting(1, 2000);
    assert_int_equal(read_one(1234), 1234);
    assert_int_equal(read_one(7), 7);
    struct spool_stats s = spool_stats_of(fx.sp);
    assert_int_equal(s.first_seq, 1);
    assert_int_equal(s.next_seq, 2001);
    assert_int_equal(s.oldest_us, 1700000000000000);
    assert_int_equal(s.appended, 2000);
}

static void
freed_in_any_order(void **state)
{
    (void)state;
    append(1000);
    spool_free_range(fx.sp, 500, 600);
    spool_free_range(fx.sp, 550, 700);
    spool_free_range(fx.sp, 2, 3);
    assert_int_equal(read_one(0), 1);
    assert_int_equal(read_one(2), 4);
    assert_int_equal(read_one(500), 701);
    assert_true(spool_is_freed(fx.sp, 550) && !spool_is_freed(fx.sp, 1) && !spool_is_freed(fx.sp, 1001));
    unsigned files = count_files();
    spool_free_range(fx.sp, 0, 499);
    assert_true(count_files() < files);
    check_waiting(701, 1000);
    spool_free_range(fx.sp, 1, UINT64_MAX);
    assert_int_equal(read_one(0), 0);
    assert_int_equal(count_files(), 1);
    assert_int_equal(spool_stats_of(fx.sp).freed, 1000);
    append(3);
    check_waiting(1001, 1003);
}

static void
restart_goes_on_where_it_was(void **state)
{
    uint64_t epoch = spool_epoch(fx.sp);

    (void)state;
    append(500);
    spool_free_range(fx.sp, 1, 99);
    spool_free_range(fx.sp, 110, 119);
    spool_close(&fx.sp);
    open_spool();
    assert_int_equal(spool_epoch(fx.sp), epoch);
    assert_int_equal(read_one(0), 100);
    assert_int_equal(read_one(110), 120);
    assert_int_equal(spool_stats_of(fx.sp).records, 391);
    append(1);
    assert_int_equal(read_one(500), 500);
    assert_int_equal(read_one(501), 501);
    assert_int_equal(fx.drop.records, 0);
}

static void
killed_with_everything_freed(void **state)
{
    (void)state;
    append(500);
    spool_free_range(fx.sp, 1, 500);
    loop_fake_advance_ms(fx.loop, 1500);
    kill_and_open();
    assert_int_equal(spool_next_seq(fx.sp), 501);
    assert_int_equal(read_one(0), 0);
    append(2);
    kill_and_open();
    check_waiting(501, 502);
}

static void
killed_before_the_hint_replays_a_little(void **state)
{
    (void)state;
    append(500);
    spool_free_range(fx.sp, 1, 400);
    loop_fake_advance_ms(fx.loop, 1500);
    spool_free_range(fx.sp, 401, 410);
    kill_and_open();
    check_waiting(401, 500);
}

/* kill -9 after every single operation of a random life: nothing that was stored and not freed is ever missing. */
static void
killed_at_every_step(void **state)
{
    uint64_t seed = 5, first = 1;

    (void)state;
    for (unsigned step = 0; step < 60; step++) {
        uint64_t next = spool_next_seq(fx.sp);

        if (num_random(&seed) % 3) {
            append(1 + (unsigned)(num_random(&seed) % 60));
        } else if (first < next) {
            first += num_random(&seed) % (next - first + 1);
            spool_free_range(fx.sp, 1, first - 1);
            loop_fake_advance_ms(fx.loop, 1500);
        }
        next = spool_next_seq(fx.sp);
        kill_and_open();
        assert_int_equal(spool_next_seq(fx.sp), next);
        check_waiting(first, next - 1);
    }
    assert_int_equal(fx.drop.records, 0);
}

static void
numbers_are_not_used_twice_after_a_power_cut(void **state)
{
    (void)state;
    append(10);
    faults.boot = 'b';
    kill_and_open();
    assert_int_equal(spool_next_seq(fx.sp), 1 + 65536);
    check_waiting(1, 10);
    assert_int_equal(try_append(), NX_OK);
    assert_int_equal(read_one(11), 65537);
    /* The receiver can be told, so that it does not count them as missing. */
    assert_int_equal(fx.drop.cause, NX_E_CANCELED);
    assert_int_equal(fx.drop.first, 11);
    assert_int_equal(fx.drop.last, 65536);
    assert_int_equal(fx.drop.points, 0);
    fx.drop = (struct drop){0};
    kill_and_open();
    assert_int_equal(read_one(11), 65537);
    assert_int_equal(fx.drop.records, 0);
}

static void
a_second_process_is_refused(void **state)
{
    struct spool *other;

    (void)state;
    assert_int_equal(spool_open(&other, fx.loop, &fx.conf, NULL, NULL, &fx.why), NX_E_CONFLICT);
    assert_null(other);
    assert_non_null(strstr(fx.why.text, fx.dir));
}

static void
the_oldest_is_dropped_at_the_cap(void **state)
{
    (void)state;
    append(10000);
    assert_int_equal(fx.drop.cause, NX_E_FULL);
    assert_int_equal(fx.drop.first, 1);
    assert_int_equal(fx.drop.points, 10 * fx.drop.records);
    assert_int_equal(spool_stats_of(fx.sp).dropped, fx.drop.records);
    assert_int_equal(spool_stats_of(fx.sp).dropped_points, fx.drop.points);
    assert_true(spool_stats_of(fx.sp).file_bytes <= 1 << 20);
    check_waiting(fx.drop.records + 1, 10000);
}

static void
the_old_is_dropped_by_age(void **state)
{
    (void)state;
    spool_close(&fx.sp);
    fx.conf.max_age_s = 10;
    open_spool();
    append(100);
    loop_fake_advance_ms(fx.loop, 5000);
    append(400);
    loop_fake_advance_ms(fx.loop, 4000);
    assert_int_equal(fx.drop.records, 0);
    loop_fake_advance_ms(fx.loop, 8000);
    assert_int_equal(fx.drop.cause, NX_E_EXPIRED);
    assert_int_equal(fx.drop.records, 500);
    assert_int_equal(read_one(0), 0);
    append(1);
    check_waiting(501, 501);
}

static void
a_full_disk_is_named_and_passes(void **state)
{
    (void)state;
    append(10);
    faults.free_bytes = 1000;
    enum nx_err err = NX_OK;
    while (err == NX_OK)
        err = try_append();
    assert_int_equal(err, NX_E_DISK_FULL);
    assert_non_null(strstr(fx.why.text, fx.dir));
    assert_non_null(strstr(fx.why.text, "free space"));
    uint64_t next = spool_next_seq(fx.sp);
    check_waiting(1, next - 1);
    assert_int_equal(try_append(), NX_E_DISK_FULL);
    faults.free_bytes = UINT64_MAX;
    append(5);
    check_waiting(1, next + 4);
    kill_and_open();
    check_waiting(1, next + 4);
    faults.write_error = -ENOSPC;
    assert_int_equal(try_append(), NX_E_DISK_FULL);
    faults.write_error = -EIO;
    assert_int_equal(try_append(), NX_E_IO);
    faults.write_error = 0;
    append(1);
    check_waiting(1, next + 5);
}

/* A write that is cut off at every byte: the record is not there, what comes later is. */
static void
torn_writes_leave_no_trace(void **state)
{
    (void)state;
    for (int64_t budget = 0; budget < 60; budget++) {
        uint64_t next = spool_next_seq(fx.sp);

        faults.write_budget = budget;
        assert_int_equal(try_append(), NX_E_IO);
        faults.write_budget = -1;
        assert_int_equal(spool_next_seq(fx.sp), next);
        if (budget % 2)
            kill_and_open();
        append(1);
        check_waiting(1, next);
    }
    faults.is_short = true;
    append(50);
    check_waiting(1, 110);
}

static void
a_full_disk_at_the_start_can_still_be_read(void **state)
{
    (void)state;
    append(10);
    spool_close(&fx.sp);
    faults.write_error = -ENOSPC;
    open_spool();
    check_waiting(1, 10);
    assert_int_equal(try_append(), NX_E_DISK_FULL);
    faults.write_error = 0;
    append(1);
    check_waiting(1, 11);
}

/* --- damage --- */

static void
newest_path(char out[400])
{
    DIR *dir = opendir(fx.dir);
    struct dirent *e;
    char best[256] = "";

    while ((e = readdir(dir))) {
        if (strstr(e->d_name, ".seg") && strcmp(e->d_name, best) > 0)
            (void)snprintf(best, sizeof best, "%s", e->d_name);
    }
    closedir(dir);
    (void)snprintf(out, 400, "%s/%s", fx.dir, best);
}

/* What can be read must be 1..n for some n; returns n. */
static uint64_t
prefix_length(void)
{
    uint64_t n = 0, seq;

    while ((seq = read_one(n + 1)) != 0)
        assert_int_equal(seq, ++n);
    return n;
}

static void
every_cut_and_flip_of_the_tail_recovers_a_prefix(void **state)
{
    char path[400];
    uint8_t bytes[4096], damaged[4096];

    (void)state;
    append(3);
    spool_close(&fx.sp);
    newest_path(path);
    int fd = open(path, O_RDWR);
    ssize_t len = read(fd, bytes, sizeof bytes);
    assert_true(len > 0 && len < (ssize_t)sizeof bytes);
    for (ssize_t i = 0; i < 2 * len; i++) {
        memcpy(damaged, bytes, sizeof bytes);
        if (i >= len)
            damaged[i - len] ^= (uint8_t)(1u << (i % 8));
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_true(pwrite(fd, damaged, (size_t)(i < len ? i : len), 0) >= 0);
        open_spool();
        uint64_t n = prefix_length();
        assert_true(n < 3);
        append(1);
        assert_int_equal(read_one(n + 1), 4);
        spool_free_range(fx.sp, 0, UINT64_MAX);
        spool_close(&fx.sp);
        close(fd);
        char command[200];
        (void)snprintf(command, sizeof command, "rm -f %s/*", fx.dir);
        assert_int_equal(system(command), 0);
        open_spool();
        append(3);
        spool_close(&fx.sp);
        fd = open(path, O_RDWR);
        len = read(fd, bytes, sizeof bytes); /* the epoch may be another */
    }
    close(fd);
    open_spool();
}

static void
a_missing_file_in_the_middle_is_told(void **state)
{
    char path[400];

    (void)state;
    append(400);
    newest_path(path);
    append(400);
    spool_close(&fx.sp);
    assert_int_equal(unlink(path), 0);
    open_spool();
    assert_int_equal(fx.drop.cause, NX_E_CORRUPT);
    assert_true(fx.drop.records > 100);
    assert_int_equal(read_one(fx.drop.first), fx.drop.last + 1);
    assert_int_equal(spool_stats_of(fx.sp).records, 800 - fx.drop.records);
}

static void
damage_found_while_reading_is_told(void **state)
{
    char path[400];

    (void)state;
    append(5);
    newest_path(path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "XXXX", 4, 40 + 32 + 10), 4);
    close(fd);
    assert_int_equal(read_one(0), 2);
    assert_int_equal(fx.drop.records, 1);
    assert_int_equal(fx.drop.cause, NX_E_CORRUPT);
    check_waiting(2, 5);
}

/* --- syncing --- */

static void
the_backlog_is_synced_not_the_flow(void **state)
{
    (void)state;
    faults.syncs = 0;
    for (int i = 0; i < 50; i++) {
        append(1);
        spool_free_range(fx.sp, 0, UINT64_MAX);
        loop_fake_advance_ms(fx.loop, 20);
    }
    assert_int_equal(faults.syncs, 0);
    append(1);
    loop_fake_advance_ms(fx.loop, 100);
    loop_fake_turn(fx.loop);
    assert_int_equal(faults.syncs, 1);
    loop_fake_advance_ms(fx.loop, 1000);
    assert_int_equal(faults.syncs, 1);
}

static void
a_failed_sync_seals_the_segment(void **state)
{
    (void)state;
    append(1);
    faults.sync_error = -EIO;
    loop_fake_advance_ms(fx.loop, 100);
    loop_fake_turn(fx.loop);
    assert_int_equal(fx.drop.errors, 1);
    assert_int_equal(spool_stats_of(fx.sp).sync_errors, 1);
    faults.sync_error = 0;
    unsigned files = count_files();
    append(1);
    assert_int_equal(count_files(), files + 1);
    check_waiting(1, 2);
}

static void
strict_means_synced_on_return(void **state)
{
    (void)state;
    spool_close(&fx.sp);
    fx.conf.is_strict = true;
    open_spool();
    faults.syncs = 0;
    append(3);
    assert_int_equal(faults.syncs, 3);
    faults.sync_error = -EIO;
    assert_int_equal(try_append(), NX_E_IO);
    faults.sync_error = 0;
    append(1);
    check_waiting(1, 4);
    kill_and_open();
    check_waiting(1, 4);
}

static void
oversized_and_empty_records(void **state)
{
    struct spool_record rec;
    uint8_t *big = mem_alloc((16u << 20) + 1);

    (void)state;
    assert_int_equal(spool_append(fx.sp, slice(big, (16u << 20) + 1), 1, &fx.why), NX_E_TOO_LARGE);
    assert_int_equal(spool_append(fx.sp, slice(big, 16u << 20), 1, &fx.why), NX_OK);
    assert_int_equal(spool_append(fx.sp, slice(NULL, 0), 0, &fx.why), NX_OK);
    assert_int_equal(spool_read(fx.sp, 1, &rec, &fx.why), NX_OK);
    assert_int_equal(rec.body.len, 16u << 20);
    assert_int_equal(spool_read(fx.sp, 2, &rec, &fx.why), NX_OK);
    assert_int_equal(rec.body.len, 0);
    free(big);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(first_in_first_out_across_segments),
        T(freed_in_any_order),
        T(restart_goes_on_where_it_was),
        T(killed_with_everything_freed),
        T(killed_before_the_hint_replays_a_little),
        T(killed_at_every_step),
        T(numbers_are_not_used_twice_after_a_power_cut),
        T(a_second_process_is_refused),
        T(the_oldest_is_dropped_at_the_cap),
        T(the_old_is_dropped_by_age),
        T(a_full_disk_is_named_and_passes),
        T(torn_writes_leave_no_trace),
        T(a_full_disk_at_the_start_can_still_be_read),
        T(every_cut_and_flip_of_the_tail_recovers_a_prefix),
        T(a_missing_file_in_the_middle_is_told),
        T(damage_found_while_reading_is_told),
        T(the_backlog_is_synced_not_the_flow),
        T(a_failed_sync_seals_the_segment),
        T(strict_means_synced_on_return),
        T(oversized_and_empty_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
