#include "mqtt/codec_priv.h"

#include "base/mem.h"
#include "base/utf8.h"

/* --- integers and strings (1.5) --- */

size_t
mqtt_varint_size(size_t v)
{
    return v < 128 ? 1 : v < 16384 ? 2 : v < 2097152 ? 3 : 4;
}

void
mqtt_put_varint(struct wbuf *w, size_t v)
{
    if (v > MQTT_LENGTH_MAX)
        w->failed = true;
    wbuf_varint(w, v);
}

void
mqtt_put_text(struct wbuf *w, struct slice s)
{
    if (s.len > UINT16_MAX)
        w->failed = true;
    wbuf_be16(w, (unsigned)(s.len & UINT16_MAX));
    wbuf_slice(w, s);
}

uint32_t
mqtt_take_varint(struct rbuf *r)
{
    uint32_t v = 0;

    for (unsigned shift = 0; shift <= 21; shift += 7) {
        uint8_t b = rbuf_u8(r);

        v |= (uint32_t)(b & 0x7f) << shift;
        if (b & 0x80)
            continue;
        if (b == 0 && shift > 0)
            r->is_short = true;
        return v;
    }
    r->is_short = true;
    return 0;
}

struct slice
mqtt_take_binary(struct rbuf *r)
{
    return rbuf_take(r, rbuf_be16(r));
}

bool
mqtt_text_is_valid(struct slice s)
{
    return (s.len == 0 || !memchr(s.p, 0, s.len)) && utf8_is_valid(s);
}

/* --- fixed header (2.1) --- */

static const struct {
    const char *name;
    int flags; /* that must stand in the first byte; -1: they have a meaning */
} TYPES[16] = {
    [0] = {"reserved", 0},
    [MQTT_CONNECT] = {"CONNECT", 0},
    [MQTT_CONNACK] = {"CONNACK", 0},
    [MQTT_PUBLISH] = {"PUBLISH", -1},
    [MQTT_PUBACK] = {"PUBACK", 0},
    [MQTT_PUBREC] = {"PUBREC", 0},
    [MQTT_PUBREL] = {"PUBREL", 2},
    [MQTT_PUBCOMP] = {"PUBCOMP", 0},
    [MQTT_SUBSCRIBE] = {"SUBSCRIBE", 2},
    [MQTT_SUBACK] = {"SUBACK", 0},
    [MQTT_UNSUBSCRIBE] = {"UNSUBSCRIBE", 2},
    [MQTT_UNSUBACK] = {"UNSUBACK", 0},
    [MQTT_PINGREQ] = {"PINGREQ", 0},
    [MQTT_PINGRESP] = {"PINGRESP", 0},
    [MQTT_DISCONNECT] = {"DISCONNECT", 0},
    [MQTT_AUTH] = {"AUTH", 0},
};

const char *
mqtt_type_name(unsigned type)
{
    return TYPES[type < MEM_COUNT(TYPES) ? type : 0].name;
}

/* Length of the remaining-length field at p, 0 when it is cut off, -1 when it is malformed. */
static int
read_length(struct slice in, uint32_t *len)
{
    *len = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (i + 1 >= in.len)
            return 0;
        uint8_t b = in.p[i + 1];

        *len |= (uint32_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80))
            return b == 0 && i > 0 ? -1 : (int)i + 1;
    }
    return -1;
}

enum nx_err
mqtt_packet_next(struct slice in, size_t max_bytes, struct mqtt_packet *out)
{
    uint32_t body_len;

    out->total_bytes = 0;
    if (in.len == 0)
        return NX_E_MORE;
    out->type = in.p[0] >> 4;
    out->flags = in.p[0] & 0x0f;
    if (out->type == 0 || (TYPES[out->type].flags >= 0 && out->flags != TYPES[out->type].flags))
        return NX_E_PROTO;

    int n = read_length(in, &body_len);
    if (n <= 0)
        return n < 0 ? NX_E_PROTO : NX_E_MORE;
    out->total_bytes = 1u + (unsigned)n + body_len;
    if (out->total_bytes > max_bytes)
        return NX_E_TOO_LARGE;
    if (out->total_bytes > in.len)
        return NX_E_MORE;
    out->body = slice(in.p + 1 + n, body_len);
    return NX_OK;
}

static void
put_header(struct wbuf *w, enum mqtt_type type, unsigned flags, size_t body_len)
{
    wbuf_u8(w, (unsigned)type << 4 | flags);
    mqtt_put_varint(w, body_len);
}

/* --- what a client sends --- */

static size_t
text_size(const char *s)
{
    return s ? 2 + strlen(s) : 0;
}

static size_t
will_size(const struct mqtt_connect *c)
{
    size_t props = c->version == MQTT_V5 ? 1 : 0;

    return c->will ? props + text_size(c->will->topic) + 2 + c->will->payload.len : 0;
}

static unsigned
connect_flags(const struct mqtt_connect *c)
{
    unsigned flags = (c->username ? 0x80u : 0) | (c->password ? 0x40u : 0) | (c->clean_start ? 0x02u : 0);

    if (c->will)
        flags |= 0x04u | (unsigned)c->will->qos << 3 | (c->will->retain ? 0x20u : 0);
    return flags;
}

static void
put_will(struct wbuf *w, const struct mqtt_connect *c)
{
    if (c->version == MQTT_V5)
        mqtt_put_varint(w, 0);
    mqtt_put_text(w, slice_str(c->will->topic));
    mqtt_put_text(w, c->will->payload);
}

/* 3.1. MQTT 3.1.1 wants a user name where there is a password [MQTT-3.1.2-22]. */
void
mqtt_encode_connect(struct wbuf *w, const struct mqtt_connect *c)
{
    bool is_v5 = c->version == MQTT_V5;

    put_header(w, MQTT_CONNECT, 0,
               10 + (is_v5 ? mqtt_props_size(&c->props) : 0) + 2 + c->client_id.len + will_size(c) +
                   text_size(c->username) + text_size(c->password));
    mqtt_put_text(w, slice_str("MQTT"));
    wbuf_u8(w, (unsigned)c->version);
    wbuf_u8(w, connect_flags(c));
    wbuf_be16(w, c->keepalive_s);
    if (is_v5)
        mqtt_props_encode(w, &c->props);
    mqtt_put_text(w, c->client_id);
    if (c->will)
        put_will(w, c);
    if (c->username)
        mqtt_put_text(w, slice_str(c->username));
    if (c->password)
        mqtt_put_text(w, slice_str(c->password));
}

static struct mqtt_props
publish_props(const struct mqtt_publication *pub)
{
    struct mqtt_props props = {.message_expiry_s = pub->expiry_s,
                               .response_topic = pub->response_topic,
                               .correlation = pub->correlation};

    if (pub->expiry_s)
        props.has |= MQTT_PROP_BIT(MQTT_PROP_MESSAGE_EXPIRY);
    if (pub->response_topic.len)
        props.has |= MQTT_PROP_BIT(MQTT_PROP_RESPONSE_TOPIC);
    if (pub->correlation.len)
        props.has |= MQTT_PROP_BIT(MQTT_PROP_CORRELATION);
    return props;
}

static size_t
publish_body_size(enum mqtt_version version, const struct mqtt_publication *pub, const struct mqtt_props *props)
{
    return 2 + pub->topic.len + (pub->qos ? 2 : 0) + (version == MQTT_V5 ? mqtt_props_size(props) : 0) +
           pub->payload.len;
}

size_t
mqtt_publish_size(enum mqtt_version version, const struct mqtt_publication *pub)
{
    struct mqtt_props props = publish_props(pub);
    size_t body = publish_body_size(version, pub, &props);

    return body > MQTT_LENGTH_MAX ? 0 : 1 + mqtt_varint_size(body) + body;
}

/* 3.3 */
void
mqtt_encode_publish_head(struct wbuf *w, enum mqtt_version version, const struct mqtt_publication *pub,
                         uint16_t packet_id)
{
    struct mqtt_props props = publish_props(pub);

    put_header(w, MQTT_PUBLISH, (unsigned)pub->qos << 1 | (pub->retain ? 1u : 0),
               publish_body_size(version, pub, &props));
    mqtt_put_text(w, pub->topic);
    if (pub->qos)
        wbuf_be16(w, packet_id);
    if (version == MQTT_V5)
        mqtt_props_encode(w, &props);
}

/* 3.4 to 3.7 */
void
mqtt_encode_ack(struct wbuf *w, enum mqtt_version version, enum mqtt_type type, uint16_t packet_id, uint8_t reason)
{
    bool has_reason = version == MQTT_V5 && reason != 0;

    put_header(w, type, type == MQTT_PUBREL ? 2 : 0, has_reason ? 3 : 2);
    wbuf_be16(w, packet_id);
    if (has_reason)
        wbuf_u8(w, reason);
}

static void
put_filters(struct wbuf *w, enum mqtt_version version, enum mqtt_type type, uint16_t packet_id,
            const struct mqtt_filter *filters, size_t n)
{
    bool has_options = type == MQTT_SUBSCRIBE;
    size_t size = 2 + (version == MQTT_V5 ? 1 : 0);

    for (size_t i = 0; i < n; i++)
        size += text_size(filters[i].filter) + (has_options ? 1 : 0);
    put_header(w, type, 2, size);
    wbuf_be16(w, packet_id);
    if (version == MQTT_V5)
        mqtt_put_varint(w, 0);
    for (size_t i = 0; i < n; i++) {
        mqtt_put_text(w, slice_str(filters[i].filter));
        if (has_options)
            wbuf_u8(w, filters[i].qos);
    }
}

/* 3.8 */
void
mqtt_encode_subscribe(struct wbuf *w, enum mqtt_version version, uint16_t packet_id, const struct mqtt_filter *filters,
                      size_t n)
{
    put_filters(w, version, MQTT_SUBSCRIBE, packet_id, filters, n);
}

/* 3.10 */
void
mqtt_encode_unsubscribe(struct wbuf *w, enum mqtt_version version, uint16_t packet_id,
                        const struct mqtt_filter *filters, size_t n)
{
    put_filters(w, version, MQTT_UNSUBSCRIBE, packet_id, filters, n);
}

/* 3.12 */
void
mqtt_encode_pingreq(struct wbuf *w)
{
    put_header(w, MQTT_PINGREQ, 0, 0);
}

/* 3.14 */
void
mqtt_encode_disconnect(struct wbuf *w, enum mqtt_version version, uint8_t reason)
{
    bool has_reason = version == MQTT_V5 && reason != 0;

    put_header(w, MQTT_DISCONNECT, 0, has_reason ? 1 : 0);
    if (has_reason)
        wbuf_u8(w, reason);
}

/* --- what a client receives --- */

/* 3.2 */
enum nx_err
mqtt_decode_connack(enum mqtt_version version, struct slice body, struct mqtt_connack *out)
{
    struct rbuf r = rbuf_init(body);
    uint8_t flags = rbuf_u8(&r);

    *out = (struct mqtt_connack){.session_present = flags & 1, .reason = rbuf_u8(&r)};
    if (flags > 1 || (out->session_present && out->reason != 0))
        return NX_E_PROTO;
    bool is_old_refusal = body.len == 2 && out->reason != 0;
    if (version == MQTT_V5 && !is_old_refusal && mqtt_take_props(&r, MQTT_CONNACK, &out->props))
        return NX_E_PROTO;
    return rbuf_finish(&r);
}

/* 3.3. A topic alias is refused because CONNECT allowed none (3.1.2.11.5), and without one the topic is not empty. */
enum nx_err
mqtt_decode_publish(enum mqtt_version version, const struct mqtt_packet *packet, struct mqtt_received *out)
{
    struct rbuf r = rbuf_init(packet->body);

    out->retain = packet->flags & 1;
    out->qos = (packet->flags >> 1) & 3;
    out->dup = packet->flags & MQTT_FLAG_DUP;
    out->topic = mqtt_take_binary(&r);
    out->packet_id = out->qos ? rbuf_be16(&r) : 0;
    out->props.has = 0;
    if (version == MQTT_V5 && mqtt_take_props(&r, MQTT_PUBLISH, &out->props))
        return NX_E_PROTO;
    out->payload = rbuf_take(&r, rbuf_left(&r));
    if (r.is_short || out->qos == 3 || (out->qos > 0) != (out->packet_id > 0) || (out->dup && out->qos == 0))
        return NX_E_PROTO;
    if (out->props.has & MQTT_PROP_BIT(MQTT_PROP_TOPIC_ALIAS))
        return NX_E_PROTO;
    return mqtt_topic_is_valid(out->topic) ? NX_OK : NX_E_PROTO;
}

/* 3.4.2: reason code and properties may each be left out from the end. */
enum nx_err
mqtt_decode_ack(enum mqtt_version version, const struct mqtt_packet *packet, struct mqtt_ack_packet *out)
{
    struct rbuf r = rbuf_init(packet->body);
    struct mqtt_props props = {0};

    *out = (struct mqtt_ack_packet){.packet_id = rbuf_be16(&r)};
    if (version == MQTT_V5 && rbuf_left(&r) > 0)
        out->reason = rbuf_u8(&r);
    if (version == MQTT_V5 && rbuf_left(&r) > 0 && mqtt_take_props(&r, packet->type, &props))
        return NX_E_PROTO;
    out->reason_string = props.reason_string;
    return out->packet_id == 0 ? NX_E_PROTO : rbuf_finish(&r);
}

static bool
codes_are_valid(enum mqtt_version version, struct slice codes)
{
    for (size_t i = 0; i < codes.len; i++) {
        uint8_t c = codes.p[i];

        if (c > 2 && c < 0x80 && c != 0x11)
            return false;
        if (version == MQTT_V311 && c > 2 && c != 0x80)
            return false;
    }
    return true;
}

/* 3.9, 3.11 */
enum nx_err
mqtt_decode_suback(enum mqtt_version version, const struct mqtt_packet *packet, struct mqtt_suback *out)
{
    struct rbuf r = rbuf_init(packet->body);
    struct mqtt_props props = {0};
    bool has_codes = version == MQTT_V5 || packet->type == MQTT_SUBACK;

    *out = (struct mqtt_suback){.packet_id = rbuf_be16(&r)};
    if (version == MQTT_V5 && mqtt_take_props(&r, packet->type, &props))
        return NX_E_PROTO;
    out->reason_string = props.reason_string;
    out->codes = rbuf_take(&r, has_codes ? rbuf_left(&r) : 0);
    if (out->packet_id == 0 || (has_codes && out->codes.len == 0) || !codes_are_valid(version, out->codes))
        return NX_E_PROTO;
    return rbuf_finish(&r);
}

/* 3.14, 3.15 */
enum nx_err
mqtt_decode_disconnect(enum mqtt_version version, const struct mqtt_packet *packet, struct mqtt_disconnect *out)
{
    struct rbuf r = rbuf_init(packet->body);
    struct mqtt_props props = {0};

    *out = (struct mqtt_disconnect){0};
    if (version != MQTT_V5)
        return NX_E_PROTO;
    if (rbuf_left(&r) > 0)
        out->reason = rbuf_u8(&r);
    if (rbuf_left(&r) > 0 && mqtt_take_props(&r, packet->type, &props))
        return NX_E_PROTO;
    out->reason_string = props.reason_string;
    out->server_reference = props.server_reference;
    return rbuf_finish(&r);
}
