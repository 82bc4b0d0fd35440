/* lite_damage_test.c -- chunks and blocks that the disk has changed cost what they hold. */
#include "historian/sqlite/lite_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DAMAGE_CHUNKS "UPDATE chunk SET data = zeroblob(length(data))"

static void
a_damaged_series_holds_up_no_rollup(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER};
    struct history_query q = {.from_us = START + DAY,
                              .to_us = START + DAY + HOUR,
                              .fn = HISTORY_MINMAX,
                              .resolution = HISTORY_RESOLUTION_MINUTE};
    struct store s;
    struct rows rows;
    struct nx_note why;
    struct historian *h;

    (void)state;
    store_make(&s);
    h = store_days(&s, 2, conf);
    run_sql(&s, FIRST_DAY, DAMAGE_CHUNKS);
    now_us += 2 * DAY;
    assert_int_equal(NX_E_CORRUPT, historian_maintain(h, &why)); /* once, and with the place */
    assert_non_null(strstr(why.text, FIRST_DAY));
    must(historian_maintain(h, &why), &why);
    ask(h, q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_MINUTE, rows.summary.resolution);
    assert_int_equal(20, rows.n);
    historian_close(&h);
    store_remove(&s);
}

/* After a long stop with a damaged day all others are rolled up before their values go. */
static void
values_wait_for_their_rollups(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER, .retention_days = 30};
    struct history_query q = {.fn = HISTORY_LAST, .max_points = 1, .resolution = HISTORY_RESOLUTION_DAY};
    struct store s;
    struct rows rows;
    struct nx_note why;
    struct historian *h;

    (void)state;
    store_make(&s);
    h = store_days(&s, 6, conf);
    run_sql(&s, FIRST_DAY, DAMAGE_CHUNKS);
    for (unsigned i = 0; i < 10; i++) {
        now_us = START + 60 * DAY + i * 61 * SEC;
        enum nx_err err = historian_maintain(h, &why);

        assert_true(err == NX_OK || err == NX_E_CORRUPT);
    }
    assert_int_equal(0, count_files(&s, "hist-", 16));
    for (unsigned day = 1; day < 6; day++) {
        q.from_us = START + day * DAY;
        q.to_us = q.from_us + DAY;
        ask(h, q, &rows);
        assert_true(rows.n == 1 && rows.row[0].value.d == day * 20 + 19);
    }
    historian_close(&h);
    store_remove(&s);
}

/* What was rolled up stays when a late value comes and the values cannot be read any more. */
static void
stale_days_keep_what_was_rolled_up(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER, .retention_days = 30};
    struct history_query q = {.from_us = START,
                              .to_us = START + DAY,
                              .fn = HISTORY_LAST,
                              .max_points = 1,
                              .resolution = HISTORY_RESOLUTION_DAY};
    struct store s;
    struct rows rows;
    struct nx_note why;
    struct historian *h;

    (void)state;
    store_make(&s);
    h = store_days(&s, 2, conf);
    seal(h);
    run_sql(&s, "hist.db", "INSERT INTO stale VALUES(19700, 1)");
    run_sql(&s, FIRST_DAY, DAMAGE_CHUNKS);
    for (unsigned i = 0; i < 10; i++) {
        now_us = START + 60 * DAY + i * 301 * SEC;
        (void)!historian_maintain(h, &why);
    }
    assert_int_equal(0, count_files(&s, "hist-", 16));
    ask(h, q, &rows);
    assert_true(rows.n == 1 && rows.row[0].value.d == 19);
    historian_close(&h);
    store_remove(&s);
}

static void
sealing_sets_a_damaged_chunk_aside(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER};
    struct point late = point_at(START + 5 * SEC, 7);
    struct history_query q = {.from_us = START, .to_us = START + HOUR, .fn = HISTORY_RAW};
    struct historian_stats stats;
    struct store s;
    struct rows rows;
    struct nx_note why;
    struct historian *h;

    (void)state;
    store_make(&s);
    h = store_days(&s, 1, conf);
    run_sql(&s, FIRST_DAY, DAMAGE_CHUNKS);
    commit(h, 2, &late, 1);
    now_us += HOUR;
    assert_int_equal(NX_E_CORRUPT, historian_maintain(h, &why));
    assert_non_null(strstr(why.text, FIRST_DAY));
    assert_non_null(strstr(why.text, "20 values"));
    must(historian_maintain(h, &why), &why);
    ask(h, q, &rows);
    assert_true(rows.n == 1 && rows.row[0].value.d == 7);
    must(historian_stats_of(h, &stats, &why), &why);
    assert_int_equal(1, stats.points);
    historian_close(&h);
    store_remove(&s);
}

static void
sealing_sets_a_damaged_block_aside(void **state)
{
    struct point first = point_at(START, 1), second = point_at(START + SEC, 2);
    struct history_query q = {.from_us = START, .to_us = START + HOUR, .fn = HISTORY_RAW};
    struct store s;
    struct rows rows;
    struct nx_note why;
    struct historian *h;

    (void)state;
    store_make(&s);
    now_us = START + HOUR;
    h = open_as(&s, HISTORIAN_WRITER);
    commit(h, 1, &first, 1);
    commit(h, 2, &second, 1);
    run_sql(&s, "hist.db", "UPDATE hot SET data = zeroblob(length(data)) WHERE block_id = 1");
    now_us += HOUR;
    assert_int_equal(NX_E_CORRUPT, historian_maintain(h, &why));
    assert_non_null(strstr(why.text, "hist.db"));
    must(historian_maintain(h, &why), &why);
    ask(h, q, &rows);
    assert_true(rows.n == 1 && rows.row[0].value.d == 2);
    historian_close(&h);
    store_remove(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_series_holds_up_no_rollup), cmocka_unit_test(values_wait_for_their_rollups),
        cmocka_unit_test(stale_days_keep_what_was_rolled_up),  cmocka_unit_test(sealing_sets_a_damaged_chunk_aside),
        cmocka_unit_test(sealing_sets_a_damaged_block_aside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
