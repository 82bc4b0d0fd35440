/* The whole client on the fake loop: connecting, coming back, batching, stopping. */
#include "mqtt/mqtt.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES(...) slice((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

struct bench {
    struct loop *loop;
    struct mqtt *m;
    unsigned states[4], messages, ready, warnings, done;
    bool session_present, free_on_message, free_on_online, stop_on_message;
    enum nx_err done_err;
    struct nx_note why;
    uint64_t token;
};

static void
on_state(void *arg, enum mqtt_state state, bool session_present, const struct nx_note *why)
{
    struct bench *t = arg;

    t->states[state]++;
    t->session_present = session_present;
    t->why = why ? *why : (struct nx_note){0};
    if (state == MQTT_ONLINE && t->free_on_online)
        mqtt_free(&t->m);
}

static void
on_message(void *arg, const struct mqtt_message *msg)
{
    struct bench *t = arg;

    t->messages++;
    t->token = msg->token;
    if (t->free_on_message)
        mqtt_free(&t->m);
    else if (t->stop_on_message)
        mqtt_stop(t->m, false);
    else if (msg->payload.len && msg->payload.p[0] == 'a')
        mqtt_ack(t->m, msg->token);
}

static void
on_ready(void *arg)
{
    ((struct bench *)arg)->ready++;
}

static void
on_warning(void *arg, const struct nx_note *why)
{
    struct bench *t = arg;

    t->warnings++;
    t->why = *why;
}

static void
on_done(void *arg, enum nx_err err)
{
    struct bench *t = arg;

    t->done++;
    t->done_err = err;
}

static const struct mqtt_ops OPS = {on_state, on_message, on_ready, on_warning};

static void
set_up_window(struct bench *t, uint16_t window)
{
    struct mqtt_conf conf = {.host = "broker",
                             .port = 1883,
                             .version = MQTT_V311,
                             .client_id = "c",
                             .password = "no user, so not sent",
                             .keepalive_s = 10,
                             .window = window,
                             .will = {.topic = "w", .payload = slice_str("gone"), .qos = 1, .retain = true}};

    *t = (struct bench){.loop = loop_fake_new()};
    t->m = mqtt_new(t->loop, &conf, &OPS, t);
}

static void
set_up(struct bench *t)
{
    set_up_window(t, 2);
}

static void
tear_down(struct bench *t)
{
    mqtt_free(&t->m);
    loop_free(&t->loop);
}

static struct stream *
stream_of(struct bench *t)
{
    return loop_fake_stream(t->loop, "broker", 1883);
}

static size_t
take(struct bench *t, uint8_t *out, size_t cap)
{
    size_t len;
    uint8_t *p = loop_fake_take_written(stream_of(t), &len);

    memcpy(out, p, len < cap ? len : cap);
    free(p);
    return len;
}

#define SENT(t, ...)                                                                                                   \
    do {                                                                                                               \
        struct slice want_ = BYTES(__VA_ARGS__);                                                                       \
        uint8_t got_[256];                                                                                             \
        assert_int_equal(take(t, got_, sizeof got_), want_.len);                                                       \
        assert_memory_equal(got_, want_.p, want_.len);                                                                 \
    } while (0)

static void
feed(struct bench *t, struct slice bytes)
{
    loop_fake_feed(stream_of(t), bytes);
}

/* To a state where CONNECT is out. */
static void
connect_stream(struct bench *t)
{
    uint8_t out[256];

    mqtt_start(t->m);
    loop_fake_advance_ms(t->loop, 1);
    loop_fake_accept(stream_of(t));
    assert_true(take(t, out, sizeof out) > 10 && out[0] == 0x10);
    assert_int_equal(out[9], 0x2c); /* retained will with QoS 1, no user, no password, no clean session */
}

static void
go_online(struct bench *t)
{
    connect_stream(t);
    feed(t, BYTES(0x20, 2, 0, 0));
    assert_int_equal(mqtt_state_of(t->m), MQTT_ONLINE);
}

static enum nx_err
publish(struct bench *t, uint8_t qos, size_t len)
{
    static uint8_t zeros[5 << 20];
    struct mqtt_publication pub = {.topic = slice_str("t"), .payload = slice(zeros, len), .qos = qos};

    return mqtt_publish(t->m, &pub, on_done, t);
}

static void
connecting(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t);
    mqtt_subscribe(t.m, "a/#", 1);
    assert_int_equal(publish(&t, 1, 1), NX_E_OFFLINE);
    go_online(&t);
    assert_int_equal(t.states[MQTT_CONNECTING], 1);
    assert_int_equal(t.states[MQTT_ONLINE], 1);
    assert_int_equal(t.ready, 1);
    SENT(&t, 0x82, 8, 0xea, 0x61, 0, 3, 'a', '/', '#', 1);
    feed(&t, BYTES(0x90, 3, 0xea, 0x61, 0x80));
    assert_int_equal(t.warnings, 1);
    assert_non_null(strstr(t.why.text, "a/#"));
    tear_down(&t);
}

static void
acknowledgements_of_one_turn_leave_together(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t);
    go_online(&t);
    feed(&t, BYTES(0x32, 6, 0, 1, 't', 0, 1, 'a', 0x32, 6, 0, 1, 't', 0, 2, 'a', 0x32, 6, 0, 1, 't', 0, 3, 'x'));
    SENT(&t, 0x40, 2, 0, 1, 0x40, 2, 0, 2);
    mqtt_ack(t.m, t.token); /* later, from somewhere else */
    loop_fake_turn(t.loop);
    SENT(&t, 0x40, 2, 0, 3);
    assert_int_equal(mqtt_stats_of(t.m)->received, 3);
    tear_down(&t);
}

static void
full_window_is_announced_when_it_opens(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t);
    go_online(&t);
    assert_int_equal(publish(&t, 1, 1), NX_OK);
    assert_int_equal(publish(&t, 1, 1), NX_OK);
    assert_int_equal(publish(&t, 1, 1), NX_E_FULL);
    assert_int_equal(mqtt_in_flight(t.m), 2);
    feed(&t, BYTES(0x40, 2, 0, 1));
    assert_int_equal(t.done, 1);
    assert_int_equal(t.ready, 2); /* once for ONLINE */
    feed(&t, BYTES(0x40, 2, 0, 2));
    assert_int_equal(t.ready, 2);
    tear_down(&t);
}

static void
much_on_the_way_is_acknowledged_in_handfuls(void **state)
{
    (void)state;
    struct bench t;

    set_up_window(&t, 200);
    go_online(&t);
    for (unsigned i = 0; i < 120; i++)
        assert_int_equal(publish(&t, 1, 1), NX_OK);
    loop_fake_turn(t.loop);
    feed(&t, BYTES(0x40, 2, 0, 1));
    feed(&t, BYTES(0x40, 2, 0, 2, 0x40, 2, 0, 3));
    assert_int_equal(t.done, 1);
    loop_fake_advance_ms(t.loop, 1);
    assert_int_equal(t.done, 3);
    loop_fake_hang_up(stream_of(&t), NX_E_CLOSED); /* while it waits */
    loop_fake_advance_ms(t.loop, 1000);
    loop_fake_accept(stream_of(&t));
    feed(&t, BYTES(0x20, 2, 0, 0));
    assert_int_equal(mqtt_state_of(t.m), MQTT_ONLINE);
    tear_down(&t);
}

static void
unsent_bytes_are_bounded(void **state)
{
    (void)state;
    struct bench t;
    uint8_t out[16];

    set_up(&t);
    go_online(&t);
    assert_int_equal(publish(&t, 0, 5 << 20), NX_E_TOO_LARGE);
    assert_int_equal(publish(&t, 0, 3 << 20), NX_OK);
    assert_int_equal(publish(&t, 0, 2 << 20), NX_E_FULL);
    assert_int_equal(publish(&t, 1, 2 << 20), NX_E_FULL);
    assert_int_equal(t.done, 0);
    (void)take(&t, out, sizeof out);
    loop_fake_turn(t.loop);
    assert_int_equal(t.done, 1); /* QoS 0: it left */
    assert_int_equal(t.done_err, NX_OK);
    assert_int_equal(t.ready, 2);
    assert_int_equal(publish(&t, 0, 2 << 20), NX_OK);
    tear_down(&t);
}

static void
comes_back_after_a_loss(void **state)
{
    (void)state;
    struct bench t;
    uint8_t out[64];

    set_up(&t);
    mqtt_subscribe(t.m, "a", 1);
    go_online(&t);
    feed(&t, BYTES(0x90, 3, 0xea, 0x61, 1));
    assert_int_equal(publish(&t, 1, 0), NX_OK);
    loop_fake_hang_up(stream_of(&t), NX_E_CLOSED);
    assert_int_equal(mqtt_state_of(t.m), MQTT_WAITING);
    assert_non_null(strstr(t.why.text, "broker port 1883"));
    assert_non_null(strstr(t.why.text, "next attempt in"));
    assert_non_null(strstr(t.why.text, "mqtt.client_id"));
    assert_null(stream_of(&t));
    loop_fake_advance_ms(t.loop, 249);
    assert_int_equal(loop_fake_open_count(t.loop), 1);
    loop_fake_advance_ms(t.loop, 750);
    assert_int_equal(loop_fake_open_count(t.loop), 2);
    loop_fake_accept(stream_of(&t));
    (void)take(&t, out, sizeof out);
    feed(&t, BYTES(0x20, 2, 1, 0));
    assert_true(t.session_present);
    SENT(&t, 0x3a, 5, 0, 1, 't', 0, 1);
    assert_int_equal(mqtt_stats_of(t.m)->reconnects, 1);
    tear_down(&t);
}

static void
attempts_slow_down_with_jitter(void **state)
{
    (void)state;
    struct bench t;
    uint64_t last = 250;

    set_up(&t);
    mqtt_start(t.m);
    loop_fake_advance_ms(t.loop, 1);
    for (unsigned n = 1; n <= 40; n++) {
        uint64_t before = loop_now_ms(t.loop), waited;

        assert_int_equal(loop_fake_open_count(t.loop), n);
        loop_fake_refuse(stream_of(&t), NX_E_REFUSED);
        while (loop_fake_open_count(t.loop) == n)
            loop_fake_advance_ms(t.loop, 1);
        waited = loop_now_ms(t.loop) - before;
        assert_in_range(waited, 250, last * 3 + 2 < 15002 ? last * 3 + 2 : 15002);
        last = waited;
    }
    tear_down(&t);
}

static void
wrong_password_is_tried_slowly(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t);
    connect_stream(&t);
    feed(&t, BYTES(0x20, 2, 0, 4));
    assert_int_equal(t.why.err, NX_E_AUTH);
    assert_non_null(strstr(t.why.text, "mqtt.password"));
    loop_fake_advance_ms(t.loop, 14998);
    assert_int_equal(loop_fake_open_count(t.loop), 1);
    loop_fake_advance_ms(t.loop, 3);
    assert_int_equal(loop_fake_open_count(t.loop), 2);
    tear_down(&t);
}

static void
dead_broker_is_noticed(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t);
    go_online(&t);
    loop_fake_advance_ms(t.loop, 10000);
    SENT(&t, 0xc0, 0);
    feed(&t, BYTES(0xd0, 0));
    loop_fake_advance_ms(t.loop, 10000);
    SENT(&t, 0xc0, 0);
    loop_fake_advance_ms(t.loop, 4990);
    assert_int_equal(mqtt_state_of(t.m), MQTT_ONLINE);
    loop_fake_advance_ms(t.loop, 20);
    assert_int_equal(mqtt_state_of(t.m), MQTT_WAITING);
    assert_int_equal(t.why.err, NX_E_TIMEOUT);
    tear_down(&t);
}

static void
silent_acceptor_is_left(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t);
    connect_stream(&t);
    loop_fake_advance_ms(t.loop, 10001);
    assert_int_equal(mqtt_state_of(t.m), MQTT_WAITING);
    assert_non_null(strstr(t.why.text, "broker:1883: broker took the connection but did not answer CONNECT"));
    tear_down(&t);
}

static void
stopping_ends_everything_once(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t);
    go_online(&t);
    assert_int_equal(publish(&t, 1, 1), NX_OK);
    mqtt_stop(t.m, false);
    assert_int_equal(t.done, 0); /* never inside the call */
    mqtt_stop(t.m, false);
    loop_fake_turn(t.loop);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.done_err, NX_E_CANCELED);
    assert_int_equal(t.states[MQTT_STOPPED], 1);
    assert_null(stream_of(&t));
    loop_fake_advance_ms(t.loop, 60000);
    assert_int_equal(loop_fake_open_count(t.loop), 1);
    mqtt_start(t.m);
    loop_fake_advance_ms(t.loop, 1);
    assert_int_equal(loop_fake_open_count(t.loop), 2);
    tear_down(&t);
}

static void
freeing_and_stopping_inside_callbacks(void **state)
{
    (void)state;
    static const uint8_t two[] = {0x30, 4, 0, 1, 't', 'x', 0x30, 4, 0, 1, 't', 'x'};
    struct bench t;

    set_up(&t);
    go_online(&t);
    t.free_on_message = true;
    feed(&t, slice(two, sizeof two));
    assert_int_equal(t.messages, 1);
    assert_null(t.m);
    tear_down(&t);

    set_up(&t);
    go_online(&t);
    t.stop_on_message = true;
    feed(&t, slice(two, sizeof two));
    assert_int_equal(t.messages, 1);
    assert_int_equal(t.states[MQTT_STOPPED], 1);
    tear_down(&t);

    set_up(&t);
    t.free_on_online = true;
    connect_stream(&t);
    feed(&t, BYTES(0x20, 2, 0, 0, 0x30, 4, 0, 1, 't', 'x'));
    assert_int_equal(t.messages, 0);
    tear_down(&t);
}

static void
freeing_silences_callbacks(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t);
    go_online(&t);
    assert_int_equal(publish(&t, 0, 1), NX_OK);
    assert_int_equal(publish(&t, 1, 1), NX_OK);
    mqtt_free(&t.m);
    loop_fake_turn(t.loop);
    assert_int_equal(t.done, 0);
    assert_int_equal(t.states[MQTT_STOPPED], 0);
    tear_down(&t);
}

static void
a_new_will_is_used_next_time(void **state)
{
    (void)state;
    struct bench t;
    uint8_t out[256];
    struct mqtt_will will = {.topic = "v", .payload = slice_str("new")};

    set_up(&t);
    go_online(&t);
    mqtt_set_will(t.m, &will);
    loop_fake_hang_up(stream_of(&t), NX_E_CLOSED);
    loop_fake_advance_ms(t.loop, 1000);
    loop_fake_accept(stream_of(&t));
    size_t len = take(&t, out, sizeof out);
    assert_int_equal(out[9], 0x04);
    assert_memory_equal(out + len - 8, "\0\1v\0\3new", 8);
    tear_down(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connecting),
        cmocka_unit_test(acknowledgements_of_one_turn_leave_together),
        cmocka_unit_test(full_window_is_announced_when_it_opens),
        cmocka_unit_test(much_on_the_way_is_acknowledged_in_handfuls),
        cmocka_unit_test(unsent_bytes_are_bounded),
        cmocka_unit_test(comes_back_after_a_loss),
        cmocka_unit_test(attempts_slow_down_with_jitter),
        cmocka_unit_test(wrong_password_is_tried_slowly),
        cmocka_unit_test(dead_broker_is_noticed),
        cmocka_unit_test(silent_acceptor_is_left),
        cmocka_unit_test(stopping_ends_everything_once),
        cmocka_unit_test(freeing_and_stopping_inside_callbacks),
        cmocka_unit_test(freeing_silences_callbacks),
        cmocka_unit_test(a_new_will_is_used_next_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
