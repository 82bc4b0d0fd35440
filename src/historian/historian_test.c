/* historian_test.c -- the SQLite historian on real files: replay, restart, full disk, late and double points, reading
 * against brute force. */
#include "historian/historian.h"

#include "base/mem.h"
#include "base/num.h"
#include "db/db.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define SEC   INT64_C(1000000)
#define START (INT64_C(1700000000) * SEC) /* 2023-11-14 22:13:20 */

static int64_t now_us;

static int64_t
fake_now(void)
{
    return now_us;
}

struct fixture {
    char dir[64], url[80];
    struct historian *h;
    struct nx_note why;
    struct historian_commit_result result;
};

static void
reopen(struct fixture *f)
{
    struct historian_conf conf = {.url = f->url, .wall_us = fake_now};

    historian_close(&f->h);
    assert_int_equal(NX_OK, historian_open(&f->h, &conf, &f->why));
}

static int
setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    now_us = START + 600 * SEC;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/nexus-hist-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    (void)snprintf(f->url, sizeof f->url, "sqlite:%s", f->dir);
    reopen(f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    DIR *dir;

    historian_close(&f->h);
    dir = opendir(f->dir);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char path[400];

        (void)snprintf(path, sizeof path, "%s/%s", f->dir, e->d_name);
        (void)unlink(path);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static struct series
series_of(const char *topic)
{
    return (struct series){.topic = slice_str(topic),
                           .device_id = slice_str("plc"),
                           .tag_id = slice_str("t"),
                           .unit = slice_str("bar"),
                           .data_type = NX_TYPE_DOUBLE};
}

static struct point
point_at(int64_t time_us, double v)
{
    return (struct point){.time_us = time_us, .quality = NX_Q_GOOD, .value = nx_value_double(v)};
}

static enum nx_err
commit(struct fixture *f, uint64_t seq, const struct point *points, unsigned n)
{
    static struct series series;
    struct batch b = {.hdr = {slice_str("gw"), 9, 0, seq}, .series_count = 1, .point_count = n};

    series = series_of("uns/a");
    b.series = &series;
    b.points = points;
    return historian_commit(f->h, &b, 1, &f->result, &f->why);
}

struct rows {
    struct history_row row[4000];
    unsigned n, stop_at;
};

static bool
keep_row(void *arg, const struct history_row *row)
{
    struct rows *r = arg;

    r->row[r->n++] = *row;
    return r->n != r->stop_at && r->n < MEM_COUNT(r->row);
}

static struct history_summary
query(struct historian *h, enum history_fn fn, int64_t from, int64_t to, uint32_t max, struct rows *rows)
{
    struct history_query q = {.topic = "uns/a",
                              .from_us = from,
                              .to_us = to,
                              .fn = fn,
                              .max_points = max,
                              .resolution = HISTORY_RESOLUTION_RAW};
    struct history_summary summary;
    struct arena a = {0};
    struct nx_note why;

    rows->n = 0;
    assert_int_equal(NX_OK, historian_query(h, &q, &a, keep_row, rows, &summary, &why));
    arena_free(&a);
    return summary;
}

static struct history_summary
query_raw(struct fixture *f, struct rows *rows)
{
    return query(f->h, HISTORY_RAW, START - 86400 * SEC, START + 86400 * SEC, 4000, rows);
}

static void
replay_is_not_stored_twice(void **state)
{
    struct fixture *f = *state;
    struct point p[] = {point_at(START, 1), point_at(START + SEC, 2)};
    struct batch_header hdr = {slice_str("gw"), 9, 0, 2};
    struct batch_range range;
    struct rows rows = {0};

    assert_int_equal(NX_OK, commit(f, 1, p, 2));
    assert_int_equal(2, f->result.points);
    assert_int_equal(START + SEC, f->result.newest_us);
    assert_int_equal(NX_OK, commit(f, 1, p, 2));
    assert_int_equal(0, f->result.points);
    assert_int_equal(1, f->result.duplicate_batches);
    assert_false(historian_is_committed(f->h, &hdr, &range));
    reopen(f);
    assert_int_equal(NX_OK, commit(f, 1, p, 2));
    assert_int_equal(1, f->result.duplicate_batches);
    assert_int_equal(2, query_raw(f, &rows).raw_count);
    hdr.seq = 1;
    assert_true(historian_is_committed(f->h, &hdr, &range));
    hdr.epoch = 10; /* another life of the gateway's spool */
    assert_false(historian_is_committed(f->h, &hdr, &range));
}

static void
ledger_ranges_join_and_survive(void **state)
{
    static const uint64_t order[] = {5, 1, 2, 9, 4, 3};
    struct fixture *f = *state;
    struct batch_header hdr = {slice_str("gw"), 9, 0, 4};
    struct batch_range range;
    struct historian_books books;
    const struct historian_ledger_row *row;
    struct arena a = {0};
    struct point absurd = point_at(START + 400 * 86400 * SEC, 1);
    struct batch gaps[] = {
        {.hdr = {slice_str("gw"), 9, 0, 10}, .is_gap = true, .gap = {6, 7, 40, START, START, NX_E_FULL}},
        {.hdr = {slice_str("gw"), 9, 0, 11}, .is_gap = true, .gap = {12, 12, 3, START, START, NX_E_EXPIRED}},
        {.hdr = {slice_str("gw"), 9, 0, 13}, .is_gap = true, .gap = {14, 14, 4, START, START, NX_E_FULL}},
    };

    for (unsigned i = 0; i < MEM_COUNT(order); i++) {
        struct point p = point_at(START + (int64_t)order[i], 1);

        assert_int_equal(NX_OK, commit(f, order[i], &p, 1));
    }
    assert_int_equal(NX_OK, historian_commit(f->h, gaps, MEM_COUNT(gaps), &f->result, &f->why));
    assert_int_equal(NX_OK, commit(f, 15, &absurd, 1));
    for (unsigned round = 0; round < 2; round++) {
        assert_true(historian_is_committed(f->h, &hdr, &range));
        assert_int_equal(1, range.from);
        assert_int_equal(5, range.to);
        assert_int_equal(NX_OK, historian_ledger(f->h, &a, &books, &f->why));
        assert_int_equal(1, books.n);
        assert_int_equal(1, books.quarantined_points);
        row = &books.rows[0];
        assert_string_equal("gw", row->gateway);
        assert_int_equal(15, row->last_seq);
        assert_int_equal(1, row->missing); /* 8; 6, 7, 12 and 14 were declared */
        assert_int_equal(47, row->gap_points);
        assert_int_equal(10, row->batches);
        assert_string_equal("EXPIRED", row->gaps->cause);
        assert_int_equal(3, row->gaps->points);
        assert_string_equal("FULL", row->gaps->next->cause);
        assert_int_equal(44, row->gaps->next->points);
        assert_int_equal(3, row->gaps->next->numbers);
        assert_int_equal(now_us, row->gaps->next->stored_us);
        assert_null(row->gaps->next->next);
        reopen(f);
    }
    arena_free(&a);
}

static void
second_writer_is_refused(void **state)
{
    struct fixture *f = *state;
    struct historian_conf conf = {.url = f->url, .wall_us = fake_now};
    struct historian *other;

    assert_int_equal(NX_E_CONFLICT, historian_open(&other, &conf, &f->why));
    assert_null(other);
    assert_non_null(strstr(f->why.text, f->dir));
    conf.url = "mysql:x";
    assert_int_equal(NX_E_CONFIG, historian_open(&other, &conf, &f->why));
    conf = (struct historian_conf){.url = "sqlite:/nonexistent/x", .role = HISTORIAN_READER};
    assert_int_equal(NX_E_NOT_FOUND, historian_open(&other, &conf, &f->why));
}

/* A file size limit stands for a full disk: writing past it fails in the middle of a transaction. */
static void
full_disk_stores_nothing_and_recovers(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, tight;
    struct point *p = mem_calloc(60000, sizeof *p);
    struct batch_header hdr = {slice_str("gw"), 9, 0, 1};
    struct batch_range range;
    struct rows rows = {0};
    uint64_t seed = 5;
    enum nx_err err;

    for (unsigned i = 0; i < 60000; i++)
        p[i] = point_at(START + i, num_random_unit(&seed));
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &before));
    tight = before;
    tight.rlim_cur = 300000;
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &tight));
    err = commit(f, 1, p, 60000);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &before));
    assert_true(err == NX_E_DISK_FULL || err == NX_E_IO || err == NX_E_TOO_LARGE);
    assert_non_null(strstr(f->why.text, f->dir));
    assert_int_equal(0, f->result.points);
    assert_false(historian_is_committed(f->h, &hdr, &range));
    assert_int_equal(NX_OK, commit(f, 1, p, 60000));
    assert_int_equal(60000, f->result.points);
    assert_int_equal(3000, query(f->h, HISTORY_RAW, START, START + SEC, 3000, &rows).raw_count);
    free(p);
}

static void
first_value_of_a_time_wins(void **state)
{
    struct fixture *f = *state;
    struct point twice[] = {point_at(START + 5, 1), point_at(START, 2), point_at(START + 5, 3)},
                 late = point_at(START, 9);
    struct historian_stats stats;
    struct rows rows = {0};

    assert_int_equal(NX_OK, commit(f, 1, twice, 3));
    assert_int_equal(2, f->result.points);
    assert_int_equal(1, f->result.duplicate_points);
    assert_int_equal(NX_OK, commit(f, 2, &late, 1));
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(2, query_raw(f, &rows).raw_count);
        assert_true(rows.row[0].value.d == 2 && rows.row[1].value.d == 1);
        assert_int_equal(NX_OK, historian_seal(f->h, &f->why));
        if (round == 0)
            assert_int_equal(NX_OK, commit(f, 3, &late, 1)); /* against a sealed one */
    }
    assert_int_equal(NX_OK, historian_stats_of(f->h, &stats, &f->why));
    assert_int_equal(2, stats.points);
    assert_int_equal(3, stats.duplicate_points);
    assert_int_equal(0, stats.unsealed_points);
    assert_int_equal(START, stats.first_us);
}

static void
absurd_times_go_to_quarantine(void **state)
{
    struct fixture *f = *state;
    struct point p[] = {point_at(now_us + 7200 * SEC, 1), point_at(1, 2), point_at(now_us, 3)};

    p[1].value = nx_value_string("x", 1);
    assert_int_equal(NX_OK, commit(f, 1, p, 3));
    assert_int_equal(1, f->result.points);
    assert_int_equal(2, f->result.quarantined_points);
}

/* The same random points, some late, some double, in commits with sealings between; kept by the first-wins rule in an
 * array as the truth. */
#define TRUTH 3000
struct truth {
    bool has[TRUTH];
    struct point p[TRUTH];
};

static void
store_random(struct fixture *f, struct truth *t)
{
    uint64_t seed = 77, seq = 1;

    for (unsigned round = 0; round < 60; round++) {
        struct point p[64];

        for (unsigned i = 0; i < 64; i++) {
            unsigned late = num_random(&seed) % 4 == 0 ? (unsigned)(num_random(&seed) % 1500) : 0;
            unsigned slot = (round * 48 + i + TRUTH - late) % TRUTH;

            p[i] = point_at(START + slot * 7 * SEC, (double)(num_random(&seed) % 2000) / 10);
            if (num_random(&seed) % 11 == 0) {
                p[i].quality = NX_Q_TIMEOUT;
                p[i].value = nx_value_none();
            }
            if (!t->has[slot])
                t->p[slot] = p[i];
            t->has[slot] = true;
        }
        assert_int_equal(NX_OK, commit(f, seq++, p, 64));
        if (round % 17 == 16)
            assert_int_equal(NX_OK, historian_seal(f->h, &f->why));
        if (round % 23 == 22)
            reopen(f);
    }
}

static void
raw_matches_brute_force(const struct truth *t, struct historian *h)
{
    struct rows rows = {0};
    unsigned k = 0;

    (void)query(h, HISTORY_RAW, START, START + TRUTH * 7 * SEC, TRUTH, &rows);
    for (unsigned i = 0; i < TRUTH; i++) {
        if (!t->has[i])
            continue;
        assert_int_equal(t->p[i].time_us, rows.row[k].time_us);
        assert_int_equal(t->p[i].quality, rows.row[k].quality);
        assert_true(value_eq(&t->p[i].value, &rows.row[k].value));
        k++;
    }
    assert_int_equal(k, rows.n);
}

static void
minmax_matches_brute_force(const struct truth *t, struct historian *h, uint32_t buckets)
{
    int64_t from = START + 13 * SEC, to = START + (TRUTH - 20) * 7 * SEC;
    struct rows rows = {0};
    struct history_summary s = query(h, HISTORY_MINMAX, from, to, buckets, &rows);

    assert_int_equal((to - from + buckets - 1) / buckets, s.bucket_us);
    for (uint32_t b = 0; b < buckets; b++) {
        int64_t lo = from + b * s.bucket_us, hi = lo + s.bucket_us < to ? lo + s.bucket_us : to;
        double want_min = INFINITY, want_max = -INFINITY, min = INFINITY, max = -INFINITY;
        bool want_bad = false, bad = false;

        for (unsigned i = 0; i < TRUTH; i++)
            if (t->has[i] && t->p[i].time_us >= lo && t->p[i].time_us < hi) {
                want_bad = want_bad || t->p[i].value.type == NX_TYPE_NONE;
                if (t->p[i].value.type == NX_TYPE_DOUBLE) {
                    want_min = t->p[i].value.d < want_min ? t->p[i].value.d : want_min;
                    want_max = t->p[i].value.d > want_max ? t->p[i].value.d : want_max;
                }
            }
        for (unsigned i = 0; i < rows.n; i++)
            if (rows.row[i].time_us >= lo && rows.row[i].time_us < hi) {
                bad = bad || rows.row[i].value.type == NX_TYPE_NONE;
                if (rows.row[i].value.type == NX_TYPE_DOUBLE) {
                    min = rows.row[i].value.d < min ? rows.row[i].value.d : min;
                    max = rows.row[i].value.d > max ? rows.row[i].value.d : max;
                }
            }
        assert_true(min == want_min && max == want_max && bad == want_bad);
    }
    for (unsigned i = 1; i < rows.n; i++)
        assert_true(rows.row[i].time_us > rows.row[i - 1].time_us);
}

static void
reading_matches_brute_force(void **state)
{
    struct fixture *f = *state;
    struct truth *t = mem_alloc(sizeof *t);
    struct historian *reader;
    struct historian_conf conf = {.url = f->url, .role = HISTORIAN_READER};

    now_us = START + TRUTH * 7 * SEC;
    store_random(f, t);
    assert_int_equal(NX_OK, historian_open(&reader, &conf, &f->why));
    for (unsigned round = 0; round < 2; round++) {
        raw_matches_brute_force(t, reader);
        minmax_matches_brute_force(t, reader, 1);
        minmax_matches_brute_force(t, reader, 97);
        assert_int_equal(NX_OK, historian_seal(f->h, &f->why));
    }
    historian_close(&reader);
    free(t);
}

static void
avg_last_and_more(void **state)
{
    struct fixture *f = *state;
    struct point p[10];
    struct rows rows = {0};

    for (unsigned i = 0; i < 10; i++)
        p[i] = point_at(START + i * SEC, i);
    p[9].quality = NX_Q_BAD;
    p[9].value = nx_value_none();
    assert_int_equal(NX_OK, commit(f, 1, p, 10));
    (void)query(f->h, HISTORY_AVG, START, START + 10 * SEC, 2, &rows);
    assert_int_equal(2, rows.n);
    assert_true(rows.row[0].value.d == 2 && rows.row[1].value.d == 6.5);
    assert_int_equal(START + 5 * SEC, rows.row[1].time_us);
    (void)query(f->h, HISTORY_LAST, START, START + 10 * SEC, 1, &rows);
    assert_int_equal(1, rows.n);
    assert_int_equal(NX_Q_BAD, rows.row[0].quality);
    assert_true(query(f->h, HISTORY_RAW, START, START + 10 * SEC, 4, &rows).has_more);
    assert_int_equal(4, rows.n);
    rows.stop_at = 2;
    assert_false(query(f->h, HISTORY_RAW, START, START + 10 * SEC, 4, &rows).has_more);
    assert_int_equal(2, rows.n);
}

static void
unknown_topic_and_empty_range_are_told(void **state)
{
    struct fixture *f = *state;
    struct history_query q = {
        .topic = "uns/none", .from_us = START, .to_us = START + 1, .fn = HISTORY_RAW, .max_points = 10};
    struct history_summary s;
    struct arena a = {0};
    struct rows rows = {0};

    assert_int_equal(NX_E_NOT_FOUND, historian_query(f->h, &q, &a, keep_row, &rows, &s, &f->why));
    assert_non_null(strstr(f->why.text, "uns/none"));
    q.to_us = START;
    assert_int_equal(NX_E_RANGE, historian_query(f->h, &q, &a, keep_row, &rows, &s, &f->why));
}

/* Chunks were written, but the process died before the hot blocks were dropped. */
static void
sealing_cut_short_is_repeated_without_doubles(void **state)
{
    struct fixture *f = *state;
    struct point p[100];
    struct historian_stats stats;
    struct rows rows = {0};
    char path[100];
    struct db *db;

    for (unsigned i = 0; i < 100; i++)
        p[i] = point_at(START + i * SEC, i);
    assert_int_equal(NX_OK, commit(f, 1, p, 100));
    (void)snprintf(path, sizeof path, "%s/hist.db", f->dir);
    assert_int_equal(NX_OK, db_open(&db, &(struct db_conf){.path = path}, &f->why));
    assert_int_equal(NX_OK, db_exec(db, "CREATE TRIGGER stop BEFORE DELETE ON hot BEGIN SELECT RAISE(ABORT, 'x'); END",
                                    &f->why));
    assert_int_not_equal(NX_OK, historian_seal(f->h, &f->why));
    assert_int_equal(100, query_raw(f, &rows).raw_count);
    p[0].time_us = START + 500 * SEC;
    assert_int_equal(NX_OK, commit(f, 2, p, 1)); /* not part of the sealing that was begun */
    assert_int_equal(NX_OK, db_exec(db, "DROP TRIGGER stop", &f->why));
    db_close(&db);
    reopen(f);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(101, query_raw(f, &rows).raw_count);
        assert_int_equal(NX_OK, historian_seal(f->h, &f->why));
    }
    assert_int_equal(NX_OK, historian_stats_of(f->h, &stats, &f->why));
    assert_int_equal(101, stats.points);
    assert_int_equal(0, stats.duplicate_points);
}

static void
days_expire_as_files(void **state)
{
    struct fixture *f = *state;
    struct historian_conf conf = {.url = f->url, .wall_us = fake_now, .retention_days = 7};
    struct point p[] = {point_at(START, 1), point_at(START + 2 * 86400 * SEC, 2)};
    struct historian_stats stats;

    now_us = START + 3 * 86400 * SEC;
    assert_int_equal(NX_OK, commit(f, 1, p, 2));
    assert_int_equal(NX_OK, historian_seal(f->h, &f->why));
    historian_close(&f->h);
    now_us = START + 8 * 86400 * SEC;
    assert_int_equal(NX_OK, historian_open(&f->h, &conf, &f->why));
    assert_int_equal(NX_OK, historian_maintain(f->h, &f->why));
    assert_int_equal(NX_OK, historian_stats_of(f->h, &stats, &f->why));
    assert_int_equal(1, stats.points);
    assert_int_equal(START + 2 * 86400 * SEC, stats.first_us);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replay_is_not_stored_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(ledger_ranges_join_and_survive, setup, teardown),
        cmocka_unit_test_setup_teardown(second_writer_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_stores_nothing_and_recovers, setup, teardown),
        cmocka_unit_test_setup_teardown(first_value_of_a_time_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(absurd_times_go_to_quarantine, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_matches_brute_force, setup, teardown),
        cmocka_unit_test_setup_teardown(avg_last_and_more, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_topic_and_empty_range_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(sealing_cut_short_is_repeated_without_doubles, setup, teardown),
        cmocka_unit_test_setup_teardown(days_expire_as_files, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
