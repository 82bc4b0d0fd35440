/* hub_test.c -- the live hub on a fake loop: frames, coalescing, slow clients, login. */
#include "core/hub.h"

#include "base/mem.h"
#include "base/wbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct loop *loop;
    struct live *live;
    struct hub *hub;
    struct hub_conn *conn;
    struct wbuf out; /* frames, one a line */
    size_t pending;
    unsigned close_code;
};

static bool
out_send(void *arg, struct slice text)
{
    struct fixture *f = arg;

    wbuf_slice(&f->out, text);
    wbuf_char(&f->out, '\n');
    return true;
}

static size_t
out_pending(void *arg)
{
    return ((struct fixture *)arg)->pending;
}

static void
out_close(void *arg, uint16_t code, const char *reason)
{
    (void)reason;
    ((struct fixture *)arg)->close_code = code;
}

static bool
check_token(void *arg, const char *token, char session[HUB_SESSION_CAP])
{
    (void)arg;
    strcpy(session, "by token");
    return strcmp(token, "good") == 0;
}

static const char *ended_session = "";

static bool
check_session(void *arg, const char *session)
{
    (void)arg;
    return strcmp(session, ended_session) != 0;
}

static json_t *
device_status(void *arg, const char *device_id)
{
    (void)arg;
    return strcmp(device_id, "d") == 0 ? json_pack("{s:s}", "state", "online") : NULL;
}

static void
each_device(void *arg, void (*each)(void *each_arg, const char *device_id), void *each_arg)
{
    (void)arg;
    each(each_arg, "d");
}

static const struct hub_out out_ops = {out_send, out_pending, out_close};

static int
setup(void **state)
{
    static const struct hub_ops ops = {check_token, check_session, device_status, each_device};
    static const struct live_tag tags[] = {{"t1", "uns/t1", "float32", "bar"}, {"t2", "uns/t2", "bool", NULL}};
    struct fixture *f = mem_alloc(sizeof *f);

    f->loop = loop_fake_new();
    loop_fake_set_wall_us(f->loop, 1000000000);
    f->live = live_new(1000);
    f->hub = hub_new(f->loop, f->live, &ops, f);
    f->out = wbuf_init(0);
    live_set_device(f->live, "d", tags, 2, NULL, NULL);
    f->conn = hub_open(f->hub, &out_ops, f, "session");
    wbuf_reset(&f->out);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    hub_close(&f->conn);
    hub_free(&f->hub);
    live_free(&f->live);
    loop_free(&f->loop);
    wbuf_free(&f->out);
    free(f);
    return 0;
}

static void
say(struct fixture *f, const char *text)
{
    wbuf_reset(&f->out);
    hub_message(f->conn, slice_str(text));
}

/* What was sent since the last call of says() or say(). */
static const char *
said(struct fixture *f)
{
    static char text[4096];

    (void)snprintf(text, sizeof text, "%s", wbuf_cstr(&f->out));
    wbuf_reset(&f->out);
    return text;
}

static void
put(struct fixture *f, const char *topic, double v)
{
    struct tagmsg msg = {.value = nx_value_double(v), .quality = NX_Q_GOOD, .time_us = 1000000000};
    bool is_new = false;
    struct live_point *p = live_put(f->live, slice_str(topic), &msg, 0, &is_new);

    if (is_new)
        hub_appeared(f->hub, p);
    hub_changed(f->hub, p);
}

static void
snap_then_updates_with_the_newest_value(void **state)
{
    struct fixture *f = *state;

    put(f, "uns/t1", 1.5);
    say(f, "{\"op\":\"sub\",\"id\":7,\"kind\":\"tag\",\"ids\":[\"d/t1\",\"d/t2\",\"d/none\"],\"rate_ms\":100}");
    assert_string_equal("{\"op\":\"snap\",\"id\":7,\"rows\":[[0,\"d/t1\",\"uns/t1\",\"float32\",\"bar\"],"
                        "[1,\"d/t2\",\"uns/t2\",\"bool\",null],[-1,\"d/none\",null,null,null]],"
                        "\"vals\":[[0,1000000,1.5,192]]}\n",
                        said(f));
    loop_fake_advance_ms(f->loop, 1000);
    put(f, "uns/t1", 2);
    put(f, "uns/t1", 3);
    put(f, "uns/t2", 1);
    loop_fake_advance_ms(f->loop, 10);
    assert_non_null(strstr(said(f), ",3,192]"));
    assert_int_equal(1, hub_stats_of(f->hub)->coalesced);
    put(f, "uns/t1", 4);
    loop_fake_advance_ms(f->loop, 89);
    assert_string_equal("", said(f)); /* not before rate_ms is over */
    loop_fake_advance_ms(f->loop, 11);
    assert_non_null(strstr(said(f), "\"upd\""));
}

static void
filter_takes_topics_that_appear_later(void **state)
{
    struct fixture *f = *state;

    say(f, "{\"op\":\"sub\",\"id\":1,\"kind\":\"topic\",\"filter\":[\"uns/+\"],\"rate_ms\":50}");
    assert_non_null(strstr(said(f), "\"uns/t1\""));
    put(f, "uns/new", 1);
    put(f, "uns/too/deep", 1);
    loop_fake_advance_ms(f->loop, 50);
    assert_non_null(strstr(wbuf_cstr(&f->out), "\"uns/new\""));
    assert_null(strstr(said(f), "deep"));
}

static void
mod_and_unsub_end_what_they_name(void **state)
{
    struct fixture *f = *state;

    say(f, "{\"op\":\"sub\",\"id\":1,\"kind\":\"tag\",\"ids\":[\"d/t1\"]}");
    say(f, "{\"op\":\"mod\",\"id\":1,\"add\":[\"d/t2\"],\"del\":[\"d/t1\"]}");
    assert_non_null(strstr(said(f), "\"d/t2\""));
    put(f, "uns/t1", 1);
    loop_fake_advance_ms(f->loop, 1000);
    assert_string_equal("", said(f));
    put(f, "uns/t2", 1);
    say(f, "{\"op\":\"unsub\",\"id\":1}");
    loop_fake_advance_ms(f->loop, 1000);
    assert_string_equal("", said(f));
}

static void
device_states_come_at_once_and_on_change(void **state)
{
    struct fixture *f = *state;

    say(f, "{\"op\":\"sub\",\"id\":3,\"kind\":\"device\"}");
    assert_non_null(
        strstr(said(f), "\"seq\":1,\"kind\":\"device\",\"device_id\":\"d\",\"status\":{\"state\":\"online\"}"));
    hub_device(f->hub, "d");
    assert_non_null(strstr(said(f), "\"seq\":2"));
    say(f, "{\"op\":\"sub\",\"id\":3,\"kind\":\"device\",\"ids\":[\"other\"]}");
    hub_device(f->hub, "d");
    assert_string_equal("", said(f));
}

static void
slow_client_is_slowed_then_closed(void **state)
{
    struct fixture *f = *state;

    say(f, "{\"op\":\"sub\",\"id\":1,\"kind\":\"tag\",\"ids\":[\"d/t1\"],\"rate_ms\":100}");
    f->pending = 2u << 20;
    put(f, "uns/t1", 1);
    wbuf_reset(&f->out);
    loop_fake_advance_ms(f->loop, 100);
    assert_non_null(strstr(said(f), "\"op\":\"lag\",\"id\":1,\"coalesced\":0,\"dropped\":0,\"rate_ms\":200"));
    f->pending = 0;
    loop_fake_advance_ms(f->loop, 1000);
    assert_non_null(strstr(said(f), "\"upd\""));
    f->pending = 9u << 20;
    put(f, "uns/t1", 2);
    loop_fake_advance_ms(f->loop, 1000);
    assert_int_equal(4008, f->close_code);
}

static void
client_that_does_not_move_is_closed(void **state)
{
    struct fixture *f = *state;

    say(f, "{\"op\":\"sub\",\"id\":1,\"kind\":\"tag\",\"ids\":[\"d/t1\"],\"rate_ms\":100}");
    f->pending = 100;
    for (unsigned s = 0; s < 40; s++) {
        put(f, "uns/t1", s);
        loop_fake_advance_ms(f->loop, 1000);
        if (s < 29)
            assert_int_equal(0, f->close_code);
    }
    assert_int_equal(4008, f->close_code);
}

static void
connection_ends_with_its_login(void **state)
{
    struct fixture *f = *state;

    hub_check_sessions(f->hub);
    assert_int_equal(0, f->close_code);
    ended_session = "session";
    hub_check_sessions(f->hub);
    assert_int_equal(4001, f->close_code);
    hub_close(&f->conn);
    f->close_code = 0;
    f->conn = hub_open(f->hub, &out_ops, f, NULL);
    hub_check_sessions(f->hub); /* has no login yet: the timer looks after it */
    say(f, "{\"op\":\"auth\",\"token\":\"good\"}");
    hub_check_sessions(f->hub);
    assert_int_equal(0, f->close_code);
    ended_session = "by token";
    hub_check_sessions(f->hub);
    assert_int_equal(4001, f->close_code);
    ended_session = "";
}

static void
unknown_client_must_log_in(void **state)
{
    struct fixture *f = *state;

    hub_close(&f->conn);
    f->conn = hub_open(f->hub, &out_ops, f, NULL);
    say(f, "{\"op\":\"ping\"}");
    assert_non_null(strstr(said(f), "pong"));
    say(f, "{\"op\":\"auth\",\"token\":\"good\"}");
    loop_fake_advance_ms(f->loop, 10000);
    assert_int_equal(0, f->close_code);
    say(f, "{\"op\":\"sub\",\"id\":1,\"kind\":\"tag\",\"ids\":[]}");
    assert_non_null(strstr(said(f), "snap"));
    hub_close(&f->conn);
    f->conn = hub_open(f->hub, &out_ops, f, NULL);
    loop_fake_advance_ms(f->loop, 5000);
    assert_int_equal(4001, f->close_code);
    f->close_code = 0;
    hub_close(&f->conn);
    f->conn = hub_open(f->hub, &out_ops, f, NULL);
    say(f, "{\"op\":\"sub\",\"id\":1,\"kind\":\"tag\",\"ids\":[\"d/t1\"]}");
    assert_int_equal(4001, f->close_code);
}

static void
bad_requests_are_answered(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"op\":\"nope\"}",
        "{\"op\":\"sub\"}",
        "{\"op\":\"sub\",\"id\":-1,\"kind\":\"tag\"}",
        "{\"op\":\"sub\",\"id\":99999999999,\"kind\":\"tag\"}",
        "{\"op\":\"sub\",\"id\":1,\"kind\":\"x\"}",
        "{\"op\":\"sub\",\"id\":1,\"kind\":\"topic\",\"filter\":[\"a/#/b\"]}",
        "{\"op\":\"sub\",\"id\":1,\"kind\":\"topic\",\"filter\":[1]}",
        "{\"op\":\"mod\",\"id\":5}",
    };
    struct fixture *f = *state;

    for (unsigned i = 0; i < MEM_COUNT(bad); i++) {
        say(f, bad[i]);
        assert_non_null(strstr(said(f), "\"op\":\"err\""));
    }
    assert_int_equal(0, f->close_code);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(snap_then_updates_with_the_newest_value, setup, teardown),
        cmocka_unit_test_setup_teardown(filter_takes_topics_that_appear_later, setup, teardown),
        cmocka_unit_test_setup_teardown(mod_and_unsub_end_what_they_name, setup, teardown),
        cmocka_unit_test_setup_teardown(device_states_come_at_once_and_on_change, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_client_is_slowed_then_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(client_that_does_not_move_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_client_must_log_in, setup, teardown),
        cmocka_unit_test_setup_teardown(connection_ends_with_its_login, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_requests_are_answered, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
