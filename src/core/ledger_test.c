/* ledger_test.c -- the sums of the books. */
#include "core/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void
rows_are_shown_and_added_up(void **state)
{
    struct historian_gap gaps[] = {{"EXPIRED", 1, 5, 1700000000000000, &gaps[1]}, {"FULL", 2, 2, 0, NULL}};
    struct historian_ledger_row rows[] = {
        {"gw", UINT64_C(9007199254740993), 0, 10, 9, 900, 2, 1, 0, 1700000000000000, NULL},
        {"foreign.x", 3, 1, 5, 4, 40, 0, 0, 7, 0, gaps},
    };
    struct historian_books books = {rows, 2, 11, 12};
    struct ledger_totals t = {0};
    json_t *items = json_array(), *sums, *shown;

    (void)state;
    ledger_add_books(items, &t, &books);
    assert_int_equal(2, json_array_size(items));
    assert_string_equal("9007199254740993", json_string_value(json_object_get(json_array_get(items, 0), "epoch")));
    assert_int_equal(1, json_integer_value(json_object_get(json_array_get(items, 0), "missing")));
    assert_true(json_is_null(json_object_get(json_array_get(items, 1), "updated_at")));
    assert_int_equal(0, json_array_size(json_object_get(json_array_get(items, 0), "gaps")));
    shown = json_object_get(json_array_get(items, 1), "gaps");
    assert_int_equal(2, json_array_size(shown));
    assert_string_equal("EXPIRED", json_string_value(json_object_get(json_array_get(shown, 0), "cause")));
    assert_int_equal(5, json_integer_value(json_object_get(json_array_get(shown, 0), "points")));
    assert_int_equal(2, json_integer_value(json_object_get(json_array_get(shown, 1), "numbers")));
    assert_true(json_is_string(json_object_get(json_array_get(shown, 0), "last_at")));
    sums = ledger_totals_json(&t);
    assert_int_equal(11, json_integer_value(json_object_get(sums, "duplicate_points")));
    assert_int_equal(12, json_integer_value(json_object_get(sums, "quarantined_points")));
    assert_int_equal(13, json_integer_value(json_object_get(sums, "batches")));
    assert_int_equal(940, json_integer_value(json_object_get(sums, "points")));
    assert_int_equal(2, json_integer_value(json_object_get(sums, "duplicate_batches")));
    assert_int_equal(7, json_integer_value(json_object_get(sums, "gap_points")));
    json_decref(sums);
    json_decref(items);
}

static void
gateways_say_what_waits(void **state)
{
    static const char text[] =
        "[{\"id\":\"a\",\"status\":\"online\",\"last_seen\":null,\"stats\":{\"spool\":{\"records\":3,\"points\":30,"
        "\"bytes\":99,\"oldest_s\":12.5,\"dropped_points\":4},\"link\":{\"in_flight\":2,\"is_stalled\":true},"
        "\"lanes\":{\"urgent\":{\"records\":1,\"drain_s\":-1},\"bulk\":{\"records\":2}}}},"
        "{\"id\":\"b\",\"status\":\"offline\",\"stats\":{}},"
        "{\"id\":\"c\",\"status\":\"online\",\"stats\":{\"spool\":{\"records\":1,\"points\":-5,\"oldest_s\":1}}}]";
    json_t *gateways = json_loads(text, 0, NULL), *shown = json_array();
    struct historian_ledger_row rows[] = {{.gateway = "a", .missing = 4},
                                          {.gateway = "a", .missing = 1},
                                          {.gateway = "b", .missing = 9},
                                          {.gateway = "c"}};
    struct historian_books books = {.rows = rows, .n = 4};
    struct ledger_totals t = {0};
    json_t *lanes;

    (void)state;
    assert_non_null(gateways);
    ledger_add_gateways(shown, &t, gateways);
    assert_int_equal(4, t.waiting_batches);
    assert_int_equal(30, t.waiting_points);
    assert_int_equal(4, t.dropped_points);
    assert_true(t.oldest_s > 12.4 && t.oldest_s < 12.6);
    assert_int_equal(3, json_array_size(shown));
    assert_int_equal(2 + 9, ledger_lost(&books, gateways)); /* a still has 3, b nothing */
    assert_true(json_is_true(json_object_get(json_array_get(shown, 0), "is_stalled")));
    assert_true(json_is_null(json_object_get(json_array_get(shown, 0), "drain_s")));
    assert_true(json_is_null(json_object_get(json_array_get(shown, 1), "waiting_batches")));
    lanes = json_object_get(json_array_get(shown, 0), "lanes");
    assert_int_equal(2, json_array_size(lanes));
    assert_int_equal(0, json_integer_value(json_object_get(json_array_get(lanes, 0), "lane")));
    assert_int_equal(2, json_integer_value(json_object_get(json_array_get(lanes, 0), "waiting_batches")));
    assert_true(json_is_null(json_object_get(json_array_get(lanes, 0), "drain_s")));
    assert_int_equal(1, json_integer_value(json_object_get(json_array_get(lanes, 1), "lane")));
    assert_int_equal(-1, json_integer_value(json_object_get(json_array_get(lanes, 1), "drain_s")));
    assert_int_equal(0, json_array_size(json_object_get(json_array_get(shown, 1), "lanes")));
    json_decref(shown);
    json_decref(gateways);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_shown_and_added_up),
        cmocka_unit_test(gateways_say_what_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
