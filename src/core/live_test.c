/* live_test.c -- the table of latest values, the states, the sessions. */
#include "base/mem.h"
#include "core/live.h"
#include "core/sessions.h"
#include "core/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct live_point *
put(struct live *live, const char *topic, double v)
{
    struct tagmsg msg = {.value = nx_value_double(v), .quality = NX_Q_GOOD, .time_us = 5000};
    bool is_new = false;

    return live_put(live, slice_str(topic), &msg, 9000, &is_new);
}

static void
newest_value_wins_and_text_is_copied(void **state)
{
    struct live *live = live_new(10);
    struct arena a = {0};
    struct live_point out;
    char text[] = "running";
    struct tagmsg msg = {.value = nx_value_string(text, 7), .quality = NX_Q_GOOD, .unit = slice_str("s")};
    bool is_new = false;

    (void)state;
    assert_non_null(put(live, "uns/a", 1));
    assert_non_null(live_put(live, slice_str("uns/a"), &msg, 7000, &is_new));
    assert_false(is_new);
    text[0] = 'X';
    assert_true(live_get(live, "uns/a", &a, &out));
    assert_memory_equal("running", out.value.s, 7);
    assert_true(out.time_us == 7000); /* the message had no time */
    assert_string_equal("s", out.unit);
    assert_false(live_get(live, "uns/b", &a, &out));
    arena_free(&a);
    live_free(&live);
}

static void
full_table_refuses_and_counts(void **state)
{
    struct live *live = live_new(1);

    (void)state;
    assert_non_null(put(live, "a", 1));
    assert_null(put(live, "b", 1));
    assert_non_null(put(live, "a", 2));
    assert_int_equal(1, live_refused(live));
    assert_int_equal(1, live_count(live));
    live_free(&live);
}

static void
count_point(void *arg, struct live_point *p)
{
    (void)p;
    *(unsigned *)arg += 1;
}

static void
tags_move_with_their_device(void **state)
{
    const struct live_tag before[] = {{"t1", "uns/t1", "float32", "bar"}, {"t2", "uns/t2", "bool", NULL}};
    const struct live_tag after[] = {{"t1", "uns/new/t1", "float32", "bar"}};
    struct live *live = live_new(10);
    unsigned calls = 0;

    (void)state;
    live_set_device(live, "dev", before, 2, count_point, &calls);
    assert_int_equal(2, calls);
    assert_ptr_equal(live_find_tag(live, "dev/t1"), live_find_topic(live, "uns/t1"));
    live_set_device(live, "dev", after, 1, count_point, &calls);
    assert_int_equal(5, calls); /* two lost their tag, one got one */
    assert_string_equal("uns/new/t1", live_tag_topic(live, "dev/t1"));
    assert_null(live_find_tag(live, "dev/t2"));
    assert_null(live_find_topic(live, "uns/t1")->tag);
    live_set_device(live, "de", NULL, 0, NULL, NULL); /* a prefix of the id is another device */
    assert_non_null(live_find_tag(live, "dev/t1"));
    live_free(&live);
}

static void
list_is_sorted_filtered_and_paged(void **state)
{
    struct live *live = live_new(10);
    struct arena a = {0};
    struct live_point rows[10];

    (void)state;
    (void)put(live, "uns/b", 1);
    (void)put(live, "uns/a", 1);
    (void)put(live, "uns/x/c", 1);
    live_set_device(live, "d", &(const struct live_tag){"t", "uns/0", "bool", NULL}, 1, NULL, NULL); /* no value yet */
    assert_int_equal(3, live_list(live, "uns/#", NULL, 10, &a, rows));
    assert_string_equal("uns/a", rows[0].topic);
    assert_string_equal("uns/x/c", rows[2].topic);
    assert_int_equal(2, live_list(live, "uns/+", NULL, 10, &a, rows));
    assert_int_equal(1, live_list(live, "#", "uns/a", 1, &a, rows));
    assert_string_equal("uns/b", rows[0].topic);
    arena_free(&a);
    live_free(&live);
}

/* --- states ----------------------------------------------------------------------------------------------------------
 */

static const char *
state_of(struct status *s, const char *id, bool is_enabled)
{
    static char text[32];
    json_t *shown = status_device(s, id, is_enabled);

    (void)snprintf(text, sizeof text, "%s", json_string_value(json_object_get(shown, "state")));
    json_decref(shown);
    return text;
}

static enum nx_err
put_state(struct status *s, enum status_kind kind, const char *id, const char *text)
{
    struct nx_note why = {0};

    return status_put(s, kind, id, slice_str(text), &why);
}

static void
device_of_a_silent_gateway_is_unknown(void **state)
{
    struct status *s = status_new();
    json_t *shown;

    (void)state;
    assert_string_equal("unknown", state_of(s, "d", true));
    assert_int_equal(NX_OK, put_state(s, STATUS_GATEWAY, "g", "{\"status\":\"online\"}"));
    assert_int_equal(NX_OK, put_state(s, STATUS_DEVICE, "d", "{\"status\":\"online\",\"gateway\":\"g\"}"));
    assert_string_equal("online", state_of(s, "d", true));
    assert_string_equal("disabled", state_of(s, "d", false));
    assert_int_equal(NX_OK, put_state(s, STATUS_GATEWAY, "g", "{\"status\":\"offline\"}"));
    assert_string_equal("unknown", state_of(s, "d", true));
    shown = status_device(s, "d", true);
    assert_non_null(strstr(json_string_value(json_object_get(shown, "last_error")), "gateway \"g\""));
    json_decref(shown);
    assert_int_equal(NX_OK, put_state(s, STATUS_DEVICE, "d", ""));
    assert_string_equal("unknown", state_of(s, "d", true));
    status_free(&s);
}

static void
states_survive_bad_messages(void **state)
{
    static const char *const bad[] = {"x", "[]", "1", "{", "{\"status\":1"};
    struct status *s = status_new();
    json_t *shown;

    (void)state;
    assert_int_equal(NX_OK,
                     put_state(s, STATUS_DEVICE, "d",
                               "{\"status\":\"error\",\"last_seen\":1700000000000,\"stats\":{\"a\":1},\"b\":2}"));
    for (unsigned i = 0; i < MEM_COUNT(bad); i++)
        assert_int_equal(NX_E_PROTO, put_state(s, STATUS_DEVICE, "d", bad[i]));
    shown = status_device(s, "d", true);
    assert_string_equal("error", json_string_value(json_object_get(shown, "state")));
    assert_string_equal("2023-11-14T22:13:20Z", json_string_value(json_object_get(shown, "last_seen")));
    assert_int_equal(1, json_integer_value(json_object_get(json_object_get(shown, "stats"), "a")));
    assert_int_equal(2, json_integer_value(json_object_get(json_object_get(shown, "stats"), "b")));
    assert_true(json_is_null(json_object_get(shown, "last_error")));
    json_decref(shown);
    status_free(&s);
}

/* --- sessions
 * ---------------------------------------------------------------------------------------------------------- */

static void
session_is_prolonged_by_use_and_ends(void **state)
{
    struct sessions *s = sessions_new(100);
    struct session in = {.digest = "d", .username = "ada", .expires_us = 100}, out;

    (void)state;
    sessions_add(s, &in);
    assert_true(sessions_use(s, "d", 90, &out));
    assert_true(out.expires_us == 190);
    assert_true(sessions_use(s, "d", 189, &out));
    assert_false(sessions_use(s, "d", 289, &out));
    assert_false(sessions_use(s, "e", 0, &out));
    assert_int_equal(1, sessions_sweep(s, 200, 100, &out, 1));
    assert_int_equal(0, sessions_sweep(s, 300, 0, &out, 1)); /* expired: gone */
    sessions_add(s, &in);
    sessions_remove(s, "d");
    assert_false(sessions_use(s, "d", 0, &out));
    sessions_free(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_value_wins_and_text_is_copied),  cmocka_unit_test(full_table_refuses_and_counts),
        cmocka_unit_test(tags_move_with_their_device),           cmocka_unit_test(list_is_sorted_filtered_and_paged),
        cmocka_unit_test(device_of_a_silent_gateway_is_unknown), cmocka_unit_test(states_survive_bad_messages),
        cmocka_unit_test(session_is_prolonged_by_use_and_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
