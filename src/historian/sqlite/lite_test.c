/* lite_test.c -- what is particular to the SQLite historian: rollups against points, a keeper beside the writer,
 * retention, the bound of what waits, the value before a time. */
#include "historian/sqlite/lite_fixture.h"

#include "base/mem.h"
#include "base/num.h"
#include "db/db.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- rollups --- */

/* A value every 20 s or so in some hours of six days; now and then bad, or a text on the fourth day. */
static unsigned
random_points(struct point *p, unsigned n, uint64_t *seed)
{
    int64_t at = START + (int64_t)(num_random(seed) % 6) * DAY + (int64_t)(num_random(seed) % 24) * HOUR;

    for (unsigned i = 0; i < n; i++) {
        at += SEC + (int64_t)(num_random(seed) % 40000) * 1000;
        p[i] = point_at(at, (double)(num_random(seed) % 1000) / 10);
        if (num_random(seed) % 13 == 0)
            p[i] = (struct point){.time_us = at, .quality = NX_Q_TIMEOUT};
        else if (num_random(seed) % 50 == 0 && (at - START) / DAY == 3)
            p[i].value = nx_value_string("text", 4);
    }
    return n;
}

static struct history_query
random_query(uint64_t *seed)
{
    struct history_query q = {.from_us = START - HOUR + (int64_t)(num_random(seed) % (uint64_t)(6 * DAY))};

    q.to_us = q.from_us + 1 + (int64_t)(num_random(seed) % (uint64_t)(num_random(seed) % 2 ? 7 * DAY : 5 * HOUR));
    q.fn = (enum history_fn)(HISTORY_MINMAX + num_random(seed) % 5);
    q.fill = (enum history_fill)(num_random(seed) % 4);
    q.resolution = (enum history_resolution)(num_random(seed) % 5);
    q.max_points = 1 + (uint32_t)(num_random(seed) % 1000);
    return q;
}

/* The same commits in a store that seals and rolls up and in one where everything stays hot. */
static void
rollups_answer_as_points_do(void **state)
{
    struct store rolled, hot;
    struct rows *a = mem_alloc(sizeof *a), *b = mem_alloc(sizeof *b);
    struct historian *h, *plain;
    struct point p[800];
    uint64_t seed = 8, with_rollups = 0;

    (void)state;
    store_make(&rolled);
    store_make(&hot);
    now_us = START + 10 * DAY;
    h = open_as(&rolled, HISTORIAN_WRITER);
    plain = open_as(&hot, HISTORIAN_WRITER);
    for (unsigned round = 1; round <= 15; round++) {
        unsigned n = random_points(p, 800, &seed);

        commit(h, round, p, n);
        commit(plain, round, p, n);
        if (round % 5 == 0)
            seal(h);
        for (unsigned i = 0; i < 80; i++) {
            struct history_query q = random_query(&seed);

            ask(h, q, a);
            ask(plain, q, b);
            assert_same(a, b);
            with_rollups += a->summary.resolution != HISTORY_RESOLUTION_RAW;
            assert_int_equal(HISTORY_RESOLUTION_RAW, b->summary.resolution);
        }
    }
    assert_true(with_rollups > 150);
    historian_close(&h);
    historian_close(&plain);
    store_remove(&rolled);
    store_remove(&hot);
    free(a);
    free(b);
}

/* A day is rolled up when it is over, not before; a late value makes it points again until the next time. */
static void
a_late_value_is_seen_at_once_and_rolled_up_later(void **state)
{
    struct history_query q = {.from_us = START,
                              .to_us = START + DAY,
                              .fn = HISTORY_AVG,
                              .max_points = 24,
                              .resolution = HISTORY_RESOLUTION_HOUR};
    struct store s;
    struct rows rows;
    struct historian *h;
    struct point p[3] = {point_at(START + HOUR, 1), point_at(START + 2 * HOUR, 3), point_at(START + DAY + HOUR, 5)};
    struct point late = point_at(START + HOUR + SEC, 2);

    (void)state;
    store_make(&s);
    now_us = START + DAY + 2 * HOUR;
    h = open_as(&s, HISTORIAN_WRITER);
    commit(h, 1, p, 3);
    seal(h);
    ask(h, q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_HOUR, rows.summary.resolution);
    assert_true(rows.n == 2 && rows.row[0].value.d == 1);
    commit(h, 2, &late, 1);
    ask(h, q, &rows);
    assert_true(rows.n == 2 && rows.row[0].value.d == 1.5);
    seal(h);
    ask(h, q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_HOUR, rows.summary.resolution);
    assert_true(rows.n == 2 && rows.row[0].value.d == 1.5);
    q.from_us += DAY;
    q.to_us += DAY;
    ask(h, q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_RAW, rows.summary.resolution);
    assert_int_equal(1, rows.n);
    historian_close(&h);
    store_remove(&s);
}

/* --- retentions --- */

/* Raw values go after days, minutes after a month; hours stay, and the last value is still known. */
static void
rollups_outlive_raw_values(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER, .retention_days = 7, .rollup_retention_days = 40};
    struct history_query q = {.from_us = START,
                              .to_us = START + 6 * HOUR,
                              .fn = HISTORY_MINMAX,
                              .resolution = HISTORY_RESOLUTION_MINUTE};
    struct history_query before = {.from_us = START + 20 * DAY,
                                   .to_us = START + 20 * DAY + HOUR,
                                   .fn = HISTORY_LAST,
                                   .max_points = 1,
                                   .fill = HISTORY_FILL_PREVIOUS};
    struct store s;
    struct rows rows;
    struct nx_note why;
    struct point p[100];
    struct historian *h;

    (void)state;
    store_make(&s);
    now_us = START + 2 * DAY;
    h = store_open(&s, conf);
    for (unsigned i = 0; i < 100; i++)
        p[i] = point_at(START + i * 120 * SEC, i);
    commit(h, 1, p, 100);
    seal(h);
    now_us = START + 9 * DAY;
    must(historian_maintain(h, &why), &why);
    assert_int_equal(0, count_files(&s, "hist-", 16));
    ask(h, q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_MINUTE, rows.summary.resolution);
    assert_int_equal(100, rows.n);
    q.resolution = HISTORY_RESOLUTION_RAW;
    ask(h, q, &rows);
    assert_int_equal(0, rows.n);
    ask(h, before, &rows);
    assert_true(rows.n == 1 && rows.row[0].value.d == 99);

    assert_int_equal(1, count_files(&s, "roll-", 14));
    now_us = START + 80 * DAY;
    must(historian_maintain(h, &why), &why);
    assert_int_equal(0, count_files(&s, "roll-", 14));
    q.resolution = HISTORY_RESOLUTION_HOUR;
    q.max_points = 6;
    ask(h, q, &rows);
    assert_int_equal(8, rows.n); /* two of each hour but the last ones, where there is one value or none */
    historian_close(&h);
    store_remove(&s);
}

/* --- keeper --- */

static void
there_is_one_keeper_and_it_works_for_the_writer(void **state)
{
    struct store s;
    struct point p = point_at(START, 1);
    struct historian_conf conf = {.role = HISTORIAN_KEEPER, .wall_us = fake_now};
    struct historian *h, *keeper, *other;
    struct historian_stats stats;
    struct nx_note why;

    (void)state;
    store_make(&s);
    conf.url = s.url;
    now_us = START + HOUR;
    h = open_as(&s, HISTORIAN_WRITER);
    keeper = open_as(&s, HISTORIAN_KEEPER);
    assert_int_equal(NX_E_CONFLICT, historian_open(&other, &conf, &why));
    assert_non_null(strstr(why.text, s.dir));
    commit(h, 1, &p, 1);
    assert_int_equal(NX_E_BUSY, historian_seal(h, &why));
    now_us += HOUR;
    must(historian_maintain(h, &why), &why); /* leaves it to the keeper */
    must(historian_stats_of(h, &stats, &why), &why);
    assert_int_equal(1, stats.unsealed_points);
    must(historian_maintain(keeper, &why), &why);
    must(historian_stats_of(h, &stats, &why), &why);
    assert_int_equal(0, stats.unsealed_points);
    assert_int_equal(1, stats.points);
    historian_close(&keeper);
    seal(h);
    historian_close(&h);
    store_remove(&s);
}

/* More waits than may: refused while a keeper is there that does nothing, done by the writer itself when none is. */
static void
what_waits_is_bounded(void **state)
{
    struct store s;
    struct point p = point_at(START, 1);
    struct historian *h, *keeper;
    struct nx_note why;
    struct db *db;
    char path[100];

    (void)state;
    store_make(&s);
    now_us = START + HOUR;
    h = open_as(&s, HISTORIAN_WRITER);
    keeper = open_as(&s, HISTORIAN_KEEPER);
    (void)snprintf(path, sizeof path, "%s/hist.db", s.dir);
    must(db_open(&db, &(struct db_conf){.path = path}, &why), &why);
    must(db_exec(db, "UPDATE total SET hot_points = 9000000", &why), &why);
    commit(h, 1, &p, 1);
    p.time_us += SEC;
    assert_int_equal(NX_E_BUSY, commit_as(h, "t", 2, &p, 1, &why));
    assert_non_null(strstr(why.text, "wait for sealing"));
    must(db_exec(db, "UPDATE total SET hot_points = 1", &why), &why);
    commit(h, 2, &p, 1);
    must(db_exec(db, "UPDATE total SET hot_points = 9000000", &why), &why);
    db_close(&db);
    historian_close(&keeper);
    p.time_us += SEC;
    commit(h, 3, &p, 1); /* learns that it is full */
    (void)commit_as(h, "t", 4, &p, 1, &why);
    assert_int_equal(1, count_files(&s, "hist-", 16)); /* it sealed by itself */
    historian_close(&h);
    store_remove(&s);
}

struct worker {
    struct historian *h;
    atomic_bool *stop;
    unsigned rounds;
};

static void *
keep(void *arg)
{
    struct worker *w = arg;
    struct nx_note why;

    while (!atomic_load(w->stop)) {
        must(historian_seal(w->h, &why), &why);
        must(historian_maintain(w->h, &why), &why);
        w->rounds++;
    }
    return NULL;
}

/* Writer, keeper and reader each on a thread: nothing is missing, nothing is double, at any time. */
static void
a_keeper_seals_while_values_are_stored_and_read(void **state)
{
    struct store s;
    struct rows *rows = mem_alloc(sizeof *rows);
    struct historian *h, *reader;
    atomic_bool stop = false;
    struct worker w = {.stop = &stop};
    pthread_t thread;

    (void)state;
    store_make(&s);
    now_us = START + 3 * DAY;
    h = open_as(&s, HISTORIAN_WRITER);
    w.h = open_as(&s, HISTORIAN_KEEPER);
    reader = open_as(&s, HISTORIAN_READER);
    assert_int_equal(0, pthread_create(&thread, NULL, keep, &w));
    for (unsigned i = 1; i <= 100; i++) {
        struct point p[10];
        struct history_query raw = {.from_us = START, .to_us = START + 3 * DAY, .max_points = ROWS};
        struct history_query hours = {.from_us = START,
                                      .to_us = START + 3 * DAY,
                                      .fn = HISTORY_AVG,
                                      .max_points = 72,
                                      .resolution = HISTORY_RESOLUTION_HOUR};

        for (unsigned k = 0; k < 10; k++)
            p[k] = point_at(START + ((i * 10 + k) * 7919 % 3001) * 60 * SEC, i);
        commit(h, i, p, 10);
        ask(reader, raw, rows);
        assert_int_equal(i * 10, rows->n);
        ask(reader, hours, rows);
        assert_int_equal(i * 10, rows->summary.raw_count);
    }
    atomic_store(&stop, true);
    (void)pthread_join(thread, NULL);
    assert_true(w.rounds > 0);
    historian_close(&w.h);
    historian_close(&h);
    historian_close(&reader);
    store_remove(&s);
    free(rows);
}

/* --- the value before a time --- */

static void
the_value_before_is_found_wherever_it_is(void **state)
{
    struct history_query q = {.fn = HISTORY_LAST,
                              .max_points = 1,
                              .fill = HISTORY_FILL_PREVIOUS,
                              .resolution = HISTORY_RESOLUTION_RAW};
    struct store s;
    struct rows rows;
    struct historian *h;
    struct point p[40];

    (void)state;
    store_make(&s);
    now_us = START + 200 * DAY;
    h = open_as(&s, HISTORIAN_WRITER);
    for (unsigned i = 0; i < 40; i++) /* every third day */
        p[i] = point_at(START + i * 3 * DAY + 5 * HOUR, i);
    p[7].value = nx_value_string("text", 4);
    commit(h, 1, p, 20);
    seal(h);
    commit(h, 2, p + 20, 20);
    for (unsigned i = 0; i < 80; i++) {
        unsigned k = i / 2;

        q.from_us = p[k].time_us + (i % 2 ? 1 : HOUR * 50);
        q.to_us = q.from_us + SEC;
        ask(h, q, &rows);
        assert_int_equal(1, rows.n);
        assert_true(value_eq(&p[k].value, &rows.row[0].value));
    }
    q.from_us = p[0].time_us;
    q.to_us = q.from_us + SEC;
    ask(h, q, &rows); /* the value at the time is no value before it */
    assert_int_equal(p[0].time_us, rows.row[0].time_us);
    q.from_us -= 2 * SEC;
    q.to_us -= 2 * SEC;
    ask(h, q, &rows);
    assert_int_equal(NX_TYPE_NONE, rows.row[0].value.type);
    historian_close(&h);
    store_remove(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollups_answer_as_points_do),
        cmocka_unit_test(a_late_value_is_seen_at_once_and_rolled_up_later),
        cmocka_unit_test(rollups_outlive_raw_values),
        cmocka_unit_test(there_is_one_keeper_and_it_works_for_the_writer),
        cmocka_unit_test(what_waits_is_bounded),
        cmocka_unit_test(a_keeper_seals_while_values_are_stored_and_read),
        cmocka_unit_test(the_value_before_is_found_wherever_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
