#include "mqtt/codec.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES(...) slice((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void
assert_bytes(struct wbuf *w, struct slice want)
{
    struct slice got = wbuf_slice_of(w);

    assert_false(w->failed);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.p, want.p, want.len);
    wbuf_free(w);
}

static enum nx_err
decode_any(enum mqtt_version version, const struct mqtt_packet *p)
{
    struct mqtt_connack connack;
    struct mqtt_received received;
    struct mqtt_ack_packet ack;
    struct mqtt_suback suback;
    struct mqtt_disconnect disconnect;

    switch (p->type) {
    case MQTT_CONNACK:
        return mqtt_decode_connack(version, p->body, &connack);
    case MQTT_PUBLISH:
        return mqtt_decode_publish(version, p, &received);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        return mqtt_decode_ack(version, p, &ack);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return mqtt_decode_suback(version, p, &suback);
    case MQTT_DISCONNECT:
        return mqtt_decode_disconnect(version, p, &disconnect);
    default:
        return p->body.len ? NX_E_PROTO : NX_OK;
    }
}

static struct mqtt_packet
packet_of(struct slice bytes)
{
    struct mqtt_packet p;

    assert_int_equal(mqtt_packet_next(bytes, SIZE_MAX, &p), NX_OK);
    assert_int_equal(p.total_bytes, bytes.len);
    return p;
}

/* Table 2-1 of MQTT 3.1.1, 1.5.5 of MQTT 5. */
static void
lengths_of_the_specification(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[5];
        size_t n;
        size_t len;
    } rows[] = {
        {{0x30, 0x00}, 2, 0},
        {{0x30, 0x7f}, 2, 127},
        {{0x30, 0x80, 0x01}, 3, 128},
        {{0x30, 0xff, 0x7f}, 3, 16383},
        {{0x30, 0x80, 0x80, 0x01}, 4, 16384},
        {{0x30, 0xff, 0xff, 0x7f}, 4, 2097151},
        {{0x30, 0x80, 0x80, 0x80, 0x01}, 5, 2097152},
        {{0x30, 0xff, 0xff, 0xff, 0x7f}, 5, 268435455},
    };

    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct mqtt_packet p;

        for (size_t cut = 0; cut < rows[i].n; cut++) {
            assert_int_equal(mqtt_packet_next(slice(rows[i].bytes, cut), SIZE_MAX, &p), NX_E_MORE);
            assert_int_equal(p.total_bytes, 0);
        }
        enum nx_err err = mqtt_packet_next(slice(rows[i].bytes, rows[i].n), SIZE_MAX, &p);
        assert_int_equal(err, rows[i].len ? NX_E_MORE : NX_OK);
        assert_int_equal(p.total_bytes, rows[i].n + rows[i].len);
    }
}

static void
bad_frames_are_refused(void **state)
{
    (void)state;
    struct mqtt_packet p;

    assert_int_equal(mqtt_packet_next(BYTES(0x30, 0x80, 0x80, 0x80, 0x80, 0x01), SIZE_MAX, &p), NX_E_PROTO);
    assert_int_equal(mqtt_packet_next(BYTES(0x30, 0x80, 0x00), SIZE_MAX, &p), NX_E_PROTO); /* longer than needed */
    assert_int_equal(mqtt_packet_next(BYTES(0x00, 0x00), SIZE_MAX, &p), NX_E_PROTO);
    assert_int_equal(mqtt_packet_next(BYTES(0x41, 0x02, 0, 1), SIZE_MAX, &p), NX_E_PROTO); /* reserved flag of PUBACK */
    assert_int_equal(mqtt_packet_next(BYTES(0x60, 0x02, 0, 1), SIZE_MAX, &p), NX_E_PROTO); /* PUBREL wants 2 */
    assert_int_equal(mqtt_packet_next(BYTES(0x30, 0x80, 0x01), 100, &p), NX_E_TOO_LARGE);
}

/* The non-normative examples of 3.1 (user name, password, will with QoS 1, clean start, keep-alive 10 s). */
static void
connect_of_the_specification(void **state)
{
    (void)state;
    struct mqtt_will will = {.topic = "w", .payload = BYTES('x'), .qos = 1};
    struct mqtt_connect c = {.version = MQTT_V5,
                             .client_id = BYTES('c'),
                             .username = "u",
                             .password = "p",
                             .clean_start = true,
                             .keepalive_s = 10,
                             .will = &will,
                             .props = {.has = MQTT_PROP_BIT(MQTT_PROP_SESSION_EXPIRY), .session_expiry_s = 10}};
    struct wbuf w = wbuf_init(0);

    mqtt_encode_connect(&w, &c);
    assert_bytes(&w, BYTES(0x10, 32, 0, 4, 'M', 'Q', 'T', 'T', 5, 0xce, 0, 10, 5, 0x11, 0, 0, 0, 10, 0, 1, 'c', 0, 0, 1,
                           'w', 0, 1, 'x', 0, 1, 'u', 0, 1, 'p'));

    c.version = MQTT_V311;
    w = wbuf_init(0);
    mqtt_encode_connect(&w, &c);
    assert_bytes(&w, BYTES(0x10, 25, 0, 4, 'M', 'Q', 'T', 'T', 4, 0xce, 0, 10, 0, 1, 'c', 0, 1, 'w', 0, 1, 'x', 0, 1,
                           'u', 0, 1, 'p'));
}

static void
subscribe_of_the_specification(void **state)
{
    (void)state;
    struct mqtt_filter filters[] = {{"a/b", 1}, {"c/d", 2}};
    struct wbuf w = wbuf_init(0);

    mqtt_encode_subscribe(&w, MQTT_V311, 10, filters, 2);
    assert_bytes(&w, BYTES(0x82, 14, 0, 10, 0, 3, 'a', '/', 'b', 1, 0, 3, 'c', '/', 'd', 2));
    w = wbuf_init(0);
    mqtt_encode_subscribe(&w, MQTT_V5, 10, filters, 2);
    assert_bytes(&w, BYTES(0x82, 15, 0, 10, 0, 0, 3, 'a', '/', 'b', 1, 0, 3, 'c', '/', 'd', 2));
    w = wbuf_init(0);
    mqtt_encode_unsubscribe(&w, MQTT_V311, 10, filters, 2);
    assert_bytes(&w, BYTES(0xa2, 12, 0, 10, 0, 3, 'a', '/', 'b', 0, 3, 'c', '/', 'd'));
}

static void
small_packets(void **state)
{
    (void)state;
    struct wbuf w = wbuf_init(0);

    mqtt_encode_ack(&w, MQTT_V5, MQTT_PUBACK, 0x1234, 0);
    mqtt_encode_ack(&w, MQTT_V5, MQTT_PUBREL, 1, 0x92);
    mqtt_encode_ack(&w, MQTT_V311, MQTT_PUBREL, 1, 0x92);
    mqtt_encode_pingreq(&w);
    mqtt_encode_disconnect(&w, MQTT_V5, 4);
    mqtt_encode_disconnect(&w, MQTT_V311, 4);
    assert_bytes(&w, BYTES(0x40, 2, 0x12, 0x34, 0x62, 3, 0, 1, 0x92, 0x62, 2, 0, 1, 0xc0, 0, 0xe0, 1, 4, 0xe0, 0));
}

static void
publish_comes_back(void **state)
{
    (void)state;
    struct mqtt_publication pub = {.topic = BYTES('a', '/', 'b'),
                                   .payload = BYTES(1, 0, 2),
                                   .qos = 2,
                                   .retain = true,
                                   .correlation = BYTES(9, 8),
                                   .response_topic = BYTES('r'),
                                   .expiry_s = 7};
    struct wbuf w = wbuf_init(0);
    struct mqtt_received r;

    mqtt_encode_publish_head(&w, MQTT_V5, &pub, 10);
    wbuf_slice(&w, pub.payload);
    assert_int_equal(w.len, mqtt_publish_size(MQTT_V5, &pub));
    w.p[0] |= MQTT_FLAG_DUP;
    struct mqtt_packet p = packet_of(wbuf_slice_of(&w));
    assert_int_equal(mqtt_decode_publish(MQTT_V5, &p, &r), NX_OK);
    assert_true(slice_eq(r.topic, pub.topic) && slice_eq(r.payload, pub.payload));
    assert_true(r.qos == 2 && r.retain && r.dup && r.packet_id == 10);
    assert_true(slice_eq(r.props.correlation, pub.correlation) && slice_eq_str(r.props.response_topic, "r"));
    assert_int_equal(r.props.message_expiry_s, 7);
    wbuf_free(&w);
}

/* 3.3.2.3 of MQTT 3.1.1: topic a/b, packet id 10. */
static void
publish_of_the_specification(void **state)
{
    (void)state;
    struct mqtt_publication pub = {.topic = BYTES('a', '/', 'b'), .qos = 1};
    struct wbuf w = wbuf_init(0);

    mqtt_encode_publish_head(&w, MQTT_V311, &pub, 10);
    assert_bytes(&w, BYTES(0x32, 7, 0, 3, 'a', '/', 'b', 0, 10));
}

/* Bodies that a broker sends, each well-formed, and malformed when cut anywhere else than where optional parts end. */
static const struct {
    const char *name;
    enum mqtt_version version;
    uint8_t head, len;
    uint32_t good_cuts; /* bit n: the first n bytes are a body of their own */
    uint8_t body[40];
} GOOD[] = {
    {"CONNACK 3.1.1", MQTT_V311, 0x20, 2, 0, {1, 0}},
    {"CONNACK 5", MQTT_V5, 0x20, 3, 0, {0, 0, 0}},
    {"CONNACK of a 3.1.1 broker", MQTT_V5, 0x20, 2, 0, {0, 1}},
    {"CONNACK with limits", MQTT_V5, 0x20, 25, 0, {0, 0, 22,   0x21, 0, 20,  0x24, 1,    0x25, 0,  0x27, 0, 1,
                                                   0, 0, 0x12, 0,    2, 'i', 'd',  0x13, 0,    60, 0x2a, 1}},
    {"PUBLISH 5",
     MQTT_V5,
     0x32,
     18,
     1u << 17, /* without the payload */
     {0, 1, 't', 0, 7, 11, 0x26, 0, 1, 'k', 0, 1, 'v', 0x0b, 5, 0x01, 1, 'p'}},
    {"PUBLISH 3.1.1", MQTT_V311, 0x30, 4, 1u << 3, {0, 1, 't', 'p'}},
    {"PUBACK 3.1.1", MQTT_V311, 0x40, 2, 0, {0, 1}},
    {"PUBREC 5 with reason string", MQTT_V5, 0x50, 8, 1u << 2 | 1u << 3, {0, 1, 0x97, 4, 0x1f, 0, 1, 'q'}},
    {"PUBREL 5", MQTT_V5, 0x62, 2, 0, {0, 1}},
    {"SUBACK 3.1.1", MQTT_V311, 0x90, 5, 1u << 3 | 1u << 4, {0, 10, 0, 2, 0x80}},
    {"SUBACK 5", MQTT_V5, 0x90, 4, 0, {0, 10, 0, 0x87}},
    {"UNSUBACK 3.1.1", MQTT_V311, 0xb0, 2, 0, {0, 10}},
    {"UNSUBACK 5", MQTT_V5, 0xb0, 4, 0, {0, 10, 0, 0x11}},
    {"DISCONNECT 5", MQTT_V5, 0xe0, 7, 1u << 0 | 1u << 1, {0x8e, 5, 0x1f, 0, 2, 'n', 'o'}},
};

static void
every_truncation_is_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < MEM_COUNT(GOOD); i++) {
        for (size_t cut = 0; cut <= GOOD[i].len; cut++) {
            uint8_t *body = malloc(cut ? cut : 1); /* exact, so that a read past the end is seen */
            bool is_good = cut == GOOD[i].len || (GOOD[i].good_cuts & 1u << cut);

            memcpy(body, GOOD[i].body, cut);
            struct mqtt_packet p = {.type = GOOD[i].head >> 4,
                                    .flags = GOOD[i].head & 15,
                                    .body = slice(body, cut),
                                    .total_bytes = cut + 2};
            enum nx_err err = decode_any(GOOD[i].version, &p);
            if ((err == NX_OK) != is_good)
                fail_msg("%s cut to %zu: %s", GOOD[i].name, cut, nx_err_name(err));
            free(body);
        }
    }
}

static void
limits_are_read(void **state)
{
    (void)state;
    struct mqtt_connack c;

    assert_int_equal(mqtt_decode_connack(MQTT_V5, slice(GOOD[3].body, GOOD[3].len), &c), NX_OK);
    assert_int_equal(c.props.receive_max, 20);
    assert_int_equal(c.props.max_qos, 1);
    assert_int_equal(c.props.retain_available, 0);
    assert_int_equal(c.props.max_packet_bytes, 65536);
    assert_int_equal(c.props.server_keepalive_s, 60);
    assert_int_equal(c.props.shared_available, 1);
    assert_true(slice_eq_str(c.props.assigned_client_id, "id"));
}

static void
malformed_bodies_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        enum mqtt_version version;
        uint8_t head, len;
        uint8_t body[16];
    } rows[] = {
        {"CONNACK: reserved flag", MQTT_V311, 0x20, 2, {2, 0}},
        {"CONNACK: session present with a refusal", MQTT_V311, 0x20, 2, {1, 5}},
        {"CONNACK: left-over byte", MQTT_V311, 0x20, 3, {0, 0, 0}},
        {"CONNACK: property of another packet", MQTT_V5, 0x20, 5, {0, 0, 2, 0x01, 1}},
        {"CONNACK: property twice", MQTT_V5, 0x20, 7, {0, 0, 4, 0x24, 1, 0x24, 1}},
        {"CONNACK: switch that is 2", MQTT_V5, 0x20, 5, {0, 0, 2, 0x24, 2}},
        {"CONNACK: Receive Maximum 0", MQTT_V5, 0x20, 6, {0, 0, 3, 0x21, 0, 0}},
        {"CONNACK: unknown property", MQTT_V5, 0x20, 5, {0, 0, 2, 0x7e, 1}},
        {"CONNACK: text with U+0000", MQTT_V5, 0x20, 7, {0, 0, 4, 0x1f, 0, 1, 0}},
        {"PUBLISH: QoS 3", MQTT_V311, 0x36, 5, {0, 1, 't', 0, 1}},
        {"PUBLISH: QoS 1 without id", MQTT_V311, 0x32, 5, {0, 1, 't', 0, 0}},
        {"PUBLISH: DUP with QoS 0", MQTT_V311, 0x38, 3, {0, 1, 't'}},
        {"PUBLISH: wildcard", MQTT_V311, 0x30, 3, {0, 1, '#'}},
        {"PUBLISH: empty topic", MQTT_V311, 0x30, 2, {0, 0}},
        {"PUBLISH: surrogate in the topic", MQTT_V311, 0x30, 5, {0, 3, 0xed, 0xa0, 0x80}},
        {"PUBLISH: topic alias", MQTT_V5, 0x30, 7, {0, 1, 't', 3, 0x23, 0, 1}},
        {"PUBACK: packet id 0", MQTT_V311, 0x40, 2, {0, 0}},
        {"SUBACK: no such QoS", MQTT_V311, 0x90, 3, {0, 1, 3}},
        {"DISCONNECT from a 3.1.1 broker", MQTT_V311, 0xe0, 0, {0}},
    };

    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct mqtt_packet p = {.type = rows[i].head >> 4,
                                .flags = rows[i].head & 15,
                                .body = slice(rows[i].body, rows[i].len)};

        if (decode_any(rows[i].version, &p) != NX_E_PROTO)
            fail_msg("accepted: %s", rows[i].why);
    }
}

static void
too_long_texts_fail_the_writer(void **state)
{
    (void)state;
    char *id = mem_alloc(70000);
    struct mqtt_connect c = {.version = MQTT_V311, .client_id = slice(id, 65536)};
    struct wbuf w = wbuf_init(0);

    mqtt_encode_connect(&w, &c);
    assert_true(w.failed);
    wbuf_free(&w);
    free(id);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_of_the_specification),
        cmocka_unit_test(bad_frames_are_refused),
        cmocka_unit_test(connect_of_the_specification),
        cmocka_unit_test(subscribe_of_the_specification),
        cmocka_unit_test(small_packets),
        cmocka_unit_test(publish_comes_back),
        cmocka_unit_test(publish_of_the_specification),
        cmocka_unit_test(every_truncation_is_malformed),
        cmocka_unit_test(limits_are_read),
        cmocka_unit_test(malformed_bodies_are_refused),
        cmocka_unit_test(too_long_texts_fail_the_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
