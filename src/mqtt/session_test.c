/* The session against a scripted broker: bytes in, bytes out, no loop. */
#include "mqtt/session.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES(...) slice((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

struct bench {
    struct mqtt_conf conf;
    struct mqtt_session s;
    struct wbuf out; /* what the session sent */
    struct nx_note why, online_note, warning;
    unsigned online, messages, warnings, done;
    bool session_present;
    enum nx_err done_err;
    size_t room;
    struct mqtt_message last;
    char topic[64];
    char *content_type; /* of the last message; 8 bytes; NULL: not kept */
    uint64_t tokens[16];
};

static void
on_send(void *arg, struct slice a, struct slice b)
{
    struct bench *t = arg;

    wbuf_slice(&t->out, a);
    wbuf_slice(&t->out, b);
}

static size_t
on_room(void *arg)
{
    return ((struct bench *)arg)->room;
}

static void
on_online(void *arg, bool session_present, const struct nx_note *why)
{
    struct bench *t = arg;

    t->online++;
    t->session_present = session_present;
    t->online_note = *why;
}

static void
on_message(void *arg, const struct mqtt_message *msg)
{
    struct bench *t = arg;

    t->last = *msg;
    snprintf(t->topic, sizeof t->topic, "%.*s", SLICE_FMT(msg->topic));
    if (t->content_type)
        snprintf(t->content_type, 8, "%.*s", SLICE_FMT(msg->content_type));
    t->tokens[t->messages++ % MEM_COUNT(t->tokens)] = msg->token;
}

static void
on_warning(void *arg, const struct nx_note *why)
{
    struct bench *t = arg;

    t->warnings++;
    t->warning = *why;
}

static void
on_done(void *arg, enum nx_err err)
{
    struct bench *t = arg;

    t->done++;
    t->done_err = err;
}

static const struct session_ops OPS = {on_send, on_room, on_online, on_message, on_warning};

static void
set_up(struct bench *t, enum mqtt_version version)
{
    *t = (struct bench){.conf = {.version = version,
                                 .client_id = "c",
                                 .keepalive_s = 10,
                                 .receive_max = 100,
                                 .window = 4,
                                 .max_packet_bytes = 4096,
                                 .session_expiry_s = 3600},
                        .out = wbuf_init(0),
                        .room = 1 << 20};
    mqtt_session_init(&t->s, &t->conf, &OPS, t);
}

static void
tear_down(struct bench *t)
{
    mqtt_session_fini(&t->s);
    wbuf_free(&t->out);
}

static enum nx_err
feed_at(struct bench *t, uint64_t now_ms, struct slice bytes)
{
    return mqtt_session_feed(&t->s, bytes, now_ms, &t->why);
}

#define FEED(t, ...) assert_int_equal(feed_at(t, 1000, BYTES(__VA_ARGS__)), NX_OK)

/* What was sent since the last time. */
#define SENT(t, ...)                                                                                                   \
    do {                                                                                                               \
        struct slice want_ = BYTES(__VA_ARGS__);                                                                       \
        assert_int_equal((t)->out.len, want_.len);                                                                     \
        assert_memory_equal((t)->out.p, want_.p, want_.len);                                                           \
        wbuf_reset(&(t)->out);                                                                                         \
    } while (0)
#define SENT_NOTHING(t) assert_int_equal((t)->out.len, 0)

static void
open_session(struct bench *t)
{
    assert_int_equal(mqtt_session_open(&t->s, 1000, &t->why), NX_OK);
    assert_int_equal(t->out.p[0], 0x10);
    wbuf_reset(&t->out);
}

static void
go_online(struct bench *t, bool session_present)
{
    open_session(t);
    if (t->conf.version == MQTT_V5)
        FEED(t, 0x20, 3, session_present, 0, 0);
    else
        FEED(t, 0x20, 2, session_present, 0);
    assert_int_equal(t->s.state, SESSION_ONLINE);
    mqtt_session_flush(&t->s, 1000);
}

static void
reconnect(struct bench *t, bool session_present)
{
    mqtt_session_down(&t->s);
    go_online(t, session_present);
}

static enum nx_err
publish(struct bench *t, uint8_t qos)
{
    struct mqtt_publication pub = {.topic = slice_str("t"), .payload = slice_str("x"), .qos = qos};

    return mqtt_session_publish(&t->s, &pub, on_done, t);
}

static void
publishing_qos1(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    assert_int_equal(publish(&t, 1), NX_E_OFFLINE);
    go_online(&t, false);
    assert_int_equal(publish(&t, 1), NX_OK);
    SENT(&t, 0x32, 6, 0, 1, 't', 0, 1, 'x');
    assert_int_equal(t.done, 0);
    FEED(&t, 0x40, 2, 0, 1);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.done_err, NX_OK);
    FEED(&t, 0x40, 2, 0, 1); /* twice: changes nothing */
    assert_int_equal(t.done, 1);
    tear_down(&t);
}

static void
publishing_qos2(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V5);
    go_online(&t, false);
    assert_int_equal(publish(&t, 2), NX_OK);
    SENT(&t, 0x34, 7, 0, 1, 't', 0, 1, 0, 'x');
    FEED(&t, 0x50, 2, 0, 1);
    SENT(&t, 0x62, 2, 0, 1);
    assert_int_equal(t.done, 0);
    FEED(&t, 0x70, 2, 0, 1);
    assert_int_equal(t.done, 1);
    FEED(&t, 0x50, 2, 0, 1); /* PUBREC for what is over: 0x92 */
    SENT(&t, 0x62, 3, 0, 1, 0x92);
    tear_down(&t);
}

static void
qos0_leaves_and_is_forgotten(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V5);
    go_online(&t, false);
    assert_int_equal(publish(&t, 0), NX_OK);
    SENT(&t, 0x30, 5, 0, 1, 't', 0, 'x');
    assert_int_equal(t.s.outbox.count, 0);
    tear_down(&t);
}

static void
window_is_a_bound(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V5);
    go_online(&t, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(publish(&t, 1), NX_OK);
    assert_int_equal(publish(&t, 1), NX_E_FULL);
    FEED(&t, 0x40, 2, 0, 3);
    assert_int_equal(publish(&t, 1), NX_OK);
    assert_int_equal(publish(&t, 2), NX_E_FULL);
    assert_int_equal(publish(&t, 0), NX_OK); /* QoS 0 has no window */
    tear_down(&t);
}

static void
brokers_limits_are_kept(void **state)
{
    (void)state;
    struct bench t;
    static uint8_t big[64];
    struct mqtt_publication pub = {.topic = slice_str("t"), .payload = slice(big, 60), .qos = 2, .retain = true};

    set_up(&t, MQTT_V5);
    open_session(&t);
    /* Receive Maximum 2, Maximum QoS 1, no retain, Maximum Packet Size 64, Server Keep Alive 5, id "z" */
    FEED(&t, 0x20, 24, 0, 0, 21, 0x21, 0, 2, 0x24, 1, 0x25, 0, 0x27, 0, 0, 0, 64, 0x13, 0, 5, 0x12, 0, 1, 'z', 0x28, 1);
    assert_int_equal(t.online, 1);
    assert_non_null(strstr(t.online_note.text, "QoS 1"));
    assert_int_equal(mqtt_session_due_ms(&t.s), 6000);
    assert_int_equal(mqtt_session_publish(&t.s, &pub, NULL, NULL), NX_E_TOO_LARGE);
    pub.payload.len = 1;
    assert_int_equal(mqtt_session_publish(&t.s, &pub, NULL, NULL), NX_OK);
    SENT(&t, 0x32, 7, 0, 1, 't', 0, 1, 0, 0);
    assert_int_equal(publish(&t, 1), NX_OK);
    assert_int_equal(publish(&t, 1), NX_E_FULL);
    assert_string_equal(t.s.assigned_id, "z");
    tear_down(&t);
}

static void
resumed_session_sends_again_with_dup(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    go_online(&t, false);
    assert_int_equal(publish(&t, 1), NX_OK);
    assert_int_equal(publish(&t, 2), NX_OK);
    assert_int_equal(publish(&t, 2), NX_OK);
    FEED(&t, 0x50, 2, 0, 2); /* PUBREC for the second */
    wbuf_reset(&t.out);
    reconnect(&t, true);
    SENT(&t, 0x3a, 6, 0, 1, 't', 0, 1, 'x', 0x3c, 6, 0, 1, 't', 0, 3, 'x', 0x62, 2, 0, 2);
    FEED(&t, 0x40, 2, 0, 1, 0x70, 2, 0, 2, 0x50, 2, 0, 3, 0x70, 2, 0, 3);
    assert_int_equal(t.done, 3);
    assert_int_equal(t.s.stats.reconnects, 1);
    tear_down(&t);
}

static void
lost_session_publishes_anew(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    go_online(&t, false);
    assert_int_equal(publish(&t, 1), NX_OK);
    assert_int_equal(publish(&t, 2), NX_OK);
    FEED(&t, 0x50, 2, 0, 2);
    wbuf_reset(&t.out);
    reconnect(&t, false);
    SENT(&t, 0x32, 6, 0, 1, 't', 0, 1, 'x'); /* the second had been taken by the broker */
    assert_int_equal(t.done, 1);
    assert_int_equal(t.done_err, NX_OK);
    reconnect(&t, true);
    SENT(&t, 0x3a, 6, 0, 1, 't', 0, 1, 'x');
    tear_down(&t);
}

static void
resending_respects_the_brokers_window(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V5);
    go_online(&t, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(publish(&t, 1), NX_OK);
    mqtt_session_down(&t.s);
    wbuf_reset(&t.out);
    open_session(&t);
    FEED(&t, 0x20, 6, 1, 0, 3, 0x21, 0, 2);
    mqtt_session_flush(&t.s, 1000);
    assert_int_equal(t.out.len, 2 * 9);
    assert_int_equal(publish(&t, 1), NX_E_FULL);
    FEED(&t, 0x40, 2, 0, 1);
    mqtt_session_flush(&t.s, 1000);
    assert_int_equal(t.out.len, 3 * 9);
    tear_down(&t);
}

static void
resending_waits_for_room(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    go_online(&t, false);
    assert_int_equal(publish(&t, 1), NX_OK);
    wbuf_reset(&t.out);
    t.room = 0;
    reconnect(&t, true);
    SENT_NOTHING(&t);
    t.room = 1;
    mqtt_session_flush(&t.s, 1000);
    SENT(&t, 0x3a, 6, 0, 1, 't', 0, 1, 'x');
    tear_down(&t);
}

static void
refused_message_ends_with_the_reason(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V5);
    go_online(&t, false);
    assert_int_equal(publish(&t, 1), NX_OK);
    FEED(&t, 0x40, 3, 0, 1, 0x87);
    assert_int_equal(t.done_err, NX_E_DENIED);
    assert_non_null(strstr(t.warning.text, "ACL"));
    assert_int_equal(publish(&t, 2), NX_OK);
    FEED(&t, 0x50, 3, 0, 2, 0x97);
    assert_int_equal(t.done_err, NX_E_FULL);
    assert_int_equal(publish(&t, 1), NX_OK);
    FEED(&t, 0x40, 3, 0, 3, 0x10); /* no subscriber: taken all the same */
    assert_int_equal(t.done_err, NX_OK);
    tear_down(&t);
}

static void
acks_leave_in_order_of_arrival(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    go_online(&t, false);
    FEED(&t, 0x32, 6, 0, 1, 't', 0, 7, 'a', 0x32, 6, 0, 1, 't', 0, 9, 'b', 0x34, 6, 0, 1, 't', 0, 8, 'c');
    assert_int_equal(t.messages, 3);
    inbox_ack(&t.s.inbox, t.tokens[2]);
    inbox_ack(&t.s.inbox, t.tokens[1]);
    mqtt_session_flush(&t.s, 1000);
    SENT_NOTHING(&t);
    inbox_ack(&t.s.inbox, t.tokens[0]);
    inbox_ack(&t.s.inbox, t.tokens[0]);
    inbox_ack(&t.s.inbox, 12345);
    mqtt_session_flush(&t.s, 1000);
    SENT(&t, 0x40, 2, 0, 7, 0x40, 2, 0, 9, 0x50, 2, 0, 8);
    FEED(&t, 0x62, 2, 0, 8);
    SENT(&t, 0x70, 2, 0, 8);
    tear_down(&t);
}

static void
unacknowledged_qos1_comes_again(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    go_online(&t, false);
    FEED(&t, 0x32, 6, 0, 1, 't', 0, 7, 'a');
    uint64_t old = t.tokens[0];
    reconnect(&t, true);
    inbox_ack(&t.s.inbox, old); /* of the connection that is gone */
    mqtt_session_flush(&t.s, 1000);
    SENT_NOTHING(&t);
    FEED(&t, 0x3a, 6, 0, 1, 't', 0, 7, 'a');
    assert_int_equal(t.messages, 2);
    assert_true(t.last.dup);
    assert_int_equal(7, t.last.packet_id);
    inbox_ack(&t.s.inbox, t.tokens[1]);
    mqtt_session_flush(&t.s, 1000);
    SENT(&t, 0x40, 2, 0, 7);
    tear_down(&t);
}

static void
message_has_its_content_type(void **state)
{
    (void)state;
    struct bench t;
    char kept[8] = "";

    set_up(&t, MQTT_V5);
    t.content_type = kept;
    go_online(&t, false);
    FEED(&t, 0x32, 13, 0, 1, 't', 0, 9, 6, 0x03, 0, 3, 'a', '/', 'b', 'x');
    assert_int_equal(1, t.messages);
    assert_int_equal(9, t.last.packet_id);
    assert_string_equal("a/b", kept);
    FEED(&t, 0x30, 5, 0, 1, 't', 0, 'x');
    assert_int_equal(2, t.messages);
    assert_int_equal(0, t.last.packet_id);
    assert_string_equal("", kept);
    tear_down(&t);
}

static void
qos2_is_delivered_once(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    go_online(&t, false);
    FEED(&t, 0x34, 6, 0, 1, 't', 0, 7, 'a', 0x34, 6, 0, 1, 't', 0, 8, 'b');
    reconnect(&t, true);
    FEED(&t, 0x3c, 6, 0, 1, 't', 0, 7, 'a'); /* again, the user still has it */
    assert_int_equal(t.messages, 2);
    inbox_ack(&t.s.inbox, t.tokens[0]);
    inbox_ack(&t.s.inbox, t.tokens[1]); /* before it comes again */
    mqtt_session_flush(&t.s, 1000);
    SENT(&t, 0x50, 2, 0, 7);
    FEED(&t, 0x3c, 6, 0, 1, 't', 0, 8, 'b');
    mqtt_session_flush(&t.s, 1000);
    SENT(&t, 0x50, 2, 0, 8);
    reconnect(&t, true);
    FEED(&t, 0x3c, 6, 0, 1, 't', 0, 7, 'a'); /* PUBREC was lost */
    mqtt_session_flush(&t.s, 1000);
    SENT(&t, 0x50, 2, 0, 7);
    FEED(&t, 0x62, 2, 0, 7);
    SENT(&t, 0x70, 2, 0, 7);
    FEED(&t, 0x34, 6, 0, 1, 't', 0, 7, 'n'); /* a new message with the id */
    assert_int_equal(t.messages, 3);
    tear_down(&t);
}

static void
lost_session_forgets_qos2_state(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V5);
    go_online(&t, false);
    FEED(&t, 0x34, 7, 0, 1, 't', 0, 7, 0, 'a');
    reconnect(&t, false);
    FEED(&t, 0x34, 7, 0, 1, 't', 0, 7, 0, 'b');
    assert_int_equal(t.messages, 2);
    FEED(&t, 0x62, 2, 0, 9); /* PUBREL of an unknown message */
    SENT(&t, 0x70, 3, 0, 9, 0x92);
    tear_down(&t);
}

static void
many_open_messages_stay_in_order(void **state)
{
    (void)state;
    struct bench t;
    enum { N = 1000 };
    uint64_t first = 0;

    set_up(&t, MQTT_V311);
    go_online(&t, false);
    for (unsigned i = 1; i <= N; i++) {
        FEED(&t, 0x32, 5, 0, 1, 't', (uint8_t)(i >> 8), (uint8_t)i);
        if (i == 1)
            first = t.last.token;
    }
    for (unsigned i = N; i >= 1; i--)
        inbox_ack(&t.s.inbox, first + i - 1);
    mqtt_session_flush(&t.s, 1000);
    assert_int_equal(t.out.len, N * 4);
    for (unsigned i = 1; i <= N; i++)
        assert_int_equal(t.out.p[i * 4 - 2] << 8 | t.out.p[i * 4 - 1], i);
    tear_down(&t);
}

static void
filters_are_asked_for_again(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    subs_add(&t.s.subs, "a", 1);
    subs_add(&t.s.subs, "b", 2);
    go_online(&t, false);
    SENT(&t, 0x82, 6, 0xea, 0x61, 0, 1, 'a', 1, 0x82, 6, 0xea, 0x62, 0, 1, 'b', 2);
    FEED(&t, 0x90, 3, 0xea, 0x61, 1, 0x90, 3, 0xea, 0x62, 0x80);
    assert_int_equal(t.warnings, 1);
    assert_non_null(strstr(t.warning.text, "'b'"));
    reconnect(&t, true); /* granted ones live in the session, the refused one is tried again */
    SENT(&t, 0x82, 6, 0xea, 0x63, 0, 1, 'b', 2);
    reconnect(&t, false);
    SENT(&t, 0x82, 6, 0xea, 0x64, 0, 1, 'a', 1, 0x82, 6, 0xea, 0x65, 0, 1, 'b', 2);
    subs_remove(&t.s.subs, "a");
    mqtt_session_flush(&t.s, 1000);
    SENT(&t, 0xa2, 5, 0xea, 0x66, 0, 1, 'a');
    FEED(&t, 0x90, 3, 0xea, 0x64, 0); /* late answer to what is no longer wanted */
    FEED(&t, 0xb0, 2, 0xea, 0x66);
    reconnect(&t, false);
    SENT(&t, 0x82, 6, 0xea, 0x67, 0, 1, 'b', 2);
    tear_down(&t);
}

static void
silence_is_pinged_then_fatal(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    go_online(&t, false); /* at 1000 ms; keep-alive 10 s */
    assert_int_equal(mqtt_session_due_ms(&t.s), 11000);
    assert_int_equal(mqtt_session_tick(&t.s, 10999, &t.why), NX_OK);
    SENT_NOTHING(&t);
    assert_int_equal(mqtt_session_tick(&t.s, 11000, &t.why), NX_OK);
    SENT(&t, 0xc0, 0);
    assert_int_equal(mqtt_session_due_ms(&t.s), 16000);
    assert_int_equal(feed_at(&t, 12000, BYTES(0xd0, 0)), NX_OK);
    assert_int_equal(mqtt_session_due_ms(&t.s), 21000);
    assert_int_equal(mqtt_session_tick(&t.s, 22000, &t.why), NX_OK);
    SENT(&t, 0xc0, 0);
    assert_int_equal(mqtt_session_tick(&t.s, 26999, &t.why), NX_OK);
    assert_int_equal(mqtt_session_tick(&t.s, 27000, &t.why), NX_E_TIMEOUT);
    tear_down(&t);
}

static void
publishing_alone_still_pings(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    go_online(&t, false);
    assert_int_equal(publish(&t, 0), NX_OK); /* nobody answers QoS 0: only a ping shows a dead broker */
    mqtt_session_flush(&t.s, 10000);
    wbuf_reset(&t.out);
    assert_int_equal(mqtt_session_tick(&t.s, 11000, &t.why), NX_OK);
    SENT(&t, 0xc0, 0);
    tear_down(&t);
}

static void
connack_must_come(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V311);
    open_session(&t);
    assert_int_equal(mqtt_session_due_ms(&t.s), 11000);
    assert_int_equal(mqtt_session_tick(&t.s, 11000, &t.why), NX_E_TIMEOUT);
    tear_down(&t);
}

static void
refusals_name_cause_and_fix(void **state)
{
    (void)state;
    static const struct {
        enum mqtt_version version;
        uint8_t code;
        enum nx_err err;
        const char *text;
    } rows[] = {
        {MQTT_V311, 1, NX_E_UNSUPPORTED, "mqtt.version"},
        {MQTT_V311, 2, NX_E_CONFIG, "mqtt.client_id"},
        {MQTT_V311, 3, NX_E_BUSY, "wait"},
        {MQTT_V311, 4, NX_E_AUTH, "mqtt.username"},
        {MQTT_V311, 5, NX_E_AUTH, "mqtt.username"},
        {MQTT_V5, 0x84, NX_E_UNSUPPORTED, "mqtt.version"},
        {MQTT_V5, 0x86, NX_E_AUTH, "mqtt.username"},
        {MQTT_V5, 0x87, NX_E_DENIED, "ACL"},
        {MQTT_V5, 0x9f, NX_E_BUSY, "wait"},
        {MQTT_V5, 0xfe, NX_E_DEVICE, "log"},
        {MQTT_V5, 1, NX_E_UNSUPPORTED, "mqtt.version"},
    };

    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct bench t;
        bool is_short = rows[i].version == MQTT_V311 || rows[i].code < 0x80;

        set_up(&t, rows[i].version);
        open_session(&t);
        enum nx_err err =
            feed_at(&t, 1000, is_short ? BYTES(0x20, 2, 0, rows[i].code) : BYTES(0x20, 3, 0, rows[i].code, 0));
        assert_int_equal(err, rows[i].err);
        assert_non_null(strstr(t.why.text, rows[i].text));
        assert_int_equal(t.online, 0);
        tear_down(&t);
    }
}

static void
broken_brokers_are_left(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint8_t len;
        uint8_t bytes[16];
    } rows[] = {
        {"HTTP", 8, "HTTP/1.1"},
        {"second CONNACK", 5, {0x20, 3, 0, 0, 0}},
        {"SUBSCRIBE from the broker", 2, {0x82, 0}},
        {"AUTH", 2, {0xf0, 0}},
        {"too large", 3, {0x30, 0xff, 0x7f}},
        {"PUBACK for a QoS 2 message", 4, {0x40, 2, 0, 1}},
        {"PUBCOMP before PUBREC", 4, {0x70, 2, 0, 1}},
        {"DISCONNECT", 3, {0xe0, 1, 0x8e}},
    };

    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct bench t;

        set_up(&t, MQTT_V5);
        go_online(&t, false);
        assert_int_equal(publish(&t, 2), NX_OK);
        t.why = (struct nx_note){0};
        if (feed_at(&t, 1000, slice(rows[i].bytes, rows[i].len)) == NX_OK)
            fail_msg("accepted: %s", rows[i].what);
        assert_true(strlen(t.why.text) > 10);
        tear_down(&t);
    }
}

/* A stream cuts packets anywhere. */
static void
every_split_gives_the_same(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x20, 2, 0,   0,   0x32, 6,   0,   1,   't', 0,   7,   'a', 0xd0, 0, 0x30, 12,
                                    0,    4, 'l', 'o', 'n',  'g', 'p', 'a', 'y', 'l', 'o', 'a', 0x40, 2, 0,    1};

    for (size_t a = 0; a <= sizeof bytes; a++) {
        for (size_t b = a; b <= sizeof bytes; b++) {
            struct bench t;

            set_up(&t, MQTT_V311);
            open_session(&t);
            assert_int_equal(feed_at(&t, 1, slice(bytes, a)), NX_OK);
            assert_int_equal(feed_at(&t, 1, slice(bytes + a, b - a)), NX_OK);
            assert_int_equal(feed_at(&t, 1, slice(bytes + b, sizeof bytes - b)), NX_OK);
            assert_int_equal(t.messages, 2);
            assert_string_equal(t.topic, "long");
            tear_down(&t);
        }
    }
}

static void
clean_start_of_the_first_connection_only(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V5);
    t.conf.clean_start = true;
    assert_int_equal(mqtt_session_open(&t.s, 1000, &t.why), NX_OK);
    assert_int_equal(t.out.p[9], 0x02);
    FEED(&t, 0x20, 3, 0, 0, 0);
    mqtt_session_down(&t.s);
    wbuf_reset(&t.out);
    assert_int_equal(mqtt_session_open(&t.s, 1000, &t.why), NX_OK);
    assert_int_equal(t.out.p[9], 0x00);
    tear_down(&t);
}

static void
leaving(void **state)
{
    (void)state;
    struct bench t;

    set_up(&t, MQTT_V5);
    go_online(&t, false);
    assert_int_equal(publish(&t, 1), NX_OK);
    wbuf_reset(&t.out);
    mqtt_session_disconnect(&t.s, true);
    SENT(&t, 0xe0, 1, 4);
    mqtt_session_cancel(&t.s);
    assert_int_equal(t.done_err, NX_E_CANCELED);
    go_online(&t, false);
    mqtt_session_disconnect(&t.s, false);
    SENT(&t, 0xe0, 0);
    tear_down(&t);
    set_up(&t, MQTT_V311);
    go_online(&t, false);
    mqtt_session_disconnect(&t.s, true); /* a close without DISCONNECT lets the will speak */
    SENT_NOTHING(&t);
    tear_down(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishing_qos1),
        cmocka_unit_test(publishing_qos2),
        cmocka_unit_test(qos0_leaves_and_is_forgotten),
        cmocka_unit_test(window_is_a_bound),
        cmocka_unit_test(brokers_limits_are_kept),
        cmocka_unit_test(resumed_session_sends_again_with_dup),
        cmocka_unit_test(lost_session_publishes_anew),
        cmocka_unit_test(resending_respects_the_brokers_window),
        cmocka_unit_test(resending_waits_for_room),
        cmocka_unit_test(refused_message_ends_with_the_reason),
        cmocka_unit_test(acks_leave_in_order_of_arrival),
        cmocka_unit_test(unacknowledged_qos1_comes_again),
        cmocka_unit_test(message_has_its_content_type),
        cmocka_unit_test(qos2_is_delivered_once),
        cmocka_unit_test(lost_session_forgets_qos2_state),
        cmocka_unit_test(many_open_messages_stay_in_order),
        cmocka_unit_test(filters_are_asked_for_again),
        cmocka_unit_test(silence_is_pinged_then_fatal),
        cmocka_unit_test(publishing_alone_still_pings),
        cmocka_unit_test(connack_must_come),
        cmocka_unit_test(refusals_name_cause_and_fix),
        cmocka_unit_test(broken_brokers_are_left),
        cmocka_unit_test(every_split_gives_the_same),
        cmocka_unit_test(clean_start_of_the_first_connection_only),
        cmocka_unit_test(leaving),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
