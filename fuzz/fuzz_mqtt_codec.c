/* fuzz: mqtt base */
/* First byte: version. The rest: packets of a broker. What decodes must lie inside the input. */
#include "mqtt/codec.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
assert_inside(struct slice part, struct slice whole)
{
    assert(part.len == 0 || (part.p >= whole.p && part.p + part.len <= whole.p + whole.len));
}

static void
decode(enum mqtt_version version, const struct mqtt_packet *packet)
{
    struct mqtt_connack connack;
    struct mqtt_received received;
    struct mqtt_ack_packet ack;
    struct mqtt_suback suback;
    struct mqtt_disconnect disconnect;

    if (mqtt_decode_connack(version, packet->body, &connack) == NX_OK)
        assert_inside(connack.props.reason_string, packet->body);
    if (mqtt_decode_publish(version, packet, &received) == NX_OK) {
        assert_inside(received.topic, packet->body);
        assert_inside(received.payload, packet->body);
        (void)mqtt_topic_matches(received.payload, received.topic);
        (void)mqtt_filter_is_valid(received.payload);
    }
    if (mqtt_decode_ack(version, packet, &ack) == NX_OK)
        assert_inside(ack.reason_string, packet->body);
    if (mqtt_decode_suback(version, packet, &suback) == NX_OK)
        assert_inside(suback.codes, packet->body);
    if (mqtt_decode_disconnect(version, packet, &disconnect) == NX_OK)
        assert_inside(disconnect.reason_string, packet->body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct slice in = slice(p, len);
    struct mqtt_packet packet;
    enum mqtt_version version = len && (p[0] & 1) ? MQTT_V5 : MQTT_V311;

    in = slice_skip(in, 1);
    while (mqtt_packet_next(in, 1 << 20, &packet) == NX_OK) {
        decode(version, &packet);
        in = slice_skip(in, packet.total_bytes);
    }
    return 0;
}
