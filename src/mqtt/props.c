/* props.c -- properties of MQTT 5 packets (2.2.2.2): one table says type, place and packets of each. */
#include "mqtt/codec_priv.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <stddef.h>

enum prop_type { PROP_NONE, PROP_BYTE, PROP_U16, PROP_U32, PROP_VARINT, PROP_TEXT, PROP_BINARY, PROP_PAIR };

struct prop_desc {
    uint8_t type;
    bool is_switch;   /* 0 or 1 only */
    bool may_repeat;  /* all others: at most once */
    bool no_zero;     /* 0 is a protocol error */
    uint16_t packets; /* BIT() of each packet that may carry it */
    size_t offset;    /* of the member in struct mqtt_props */
};

#define BIT(type) (1u << (type))
#define ACKS      (BIT(MQTT_PUBACK) | BIT(MQTT_PUBREC) | BIT(MQTT_PUBREL) | BIT(MQTT_PUBCOMP))
#define WILL      BIT(MQTT_PROPS_OF_WILL)
#define AT(m)     .offset = offsetof(struct mqtt_props, m)

static const struct prop_desc PROPS[] = {
    [MQTT_PROP_PAYLOAD_FORMAT] = {PROP_BYTE, .is_switch = true, .packets = BIT(MQTT_PUBLISH) | WILL,
                                  AT(payload_format)},
    [MQTT_PROP_MESSAGE_EXPIRY] = {PROP_U32, .packets = BIT(MQTT_PUBLISH) | WILL, AT(message_expiry_s)},
    [MQTT_PROP_CONTENT_TYPE] = {PROP_TEXT, .packets = BIT(MQTT_PUBLISH) | WILL, AT(content_type)},
    [MQTT_PROP_RESPONSE_TOPIC] = {PROP_TEXT, .packets = BIT(MQTT_PUBLISH) | WILL, AT(response_topic)},
    [MQTT_PROP_CORRELATION] = {PROP_BINARY, .packets = BIT(MQTT_PUBLISH) | WILL, AT(correlation)},
    [MQTT_PROP_SUBSCRIPTION_ID] = {PROP_VARINT, .may_repeat = true, .no_zero = true,
                                   .packets = BIT(MQTT_PUBLISH) | BIT(MQTT_SUBSCRIBE), AT(subscription_id)},
    [MQTT_PROP_SESSION_EXPIRY] = {PROP_U32, .packets = BIT(MQTT_CONNECT) | BIT(MQTT_CONNACK) | BIT(MQTT_DISCONNECT),
                                  AT(session_expiry_s)},
    [MQTT_PROP_ASSIGNED_CLIENT_ID] = {PROP_TEXT, .packets = BIT(MQTT_CONNACK), AT(assigned_client_id)},
    [MQTT_PROP_SERVER_KEEPALIVE] = {PROP_U16, .packets = BIT(MQTT_CONNACK), AT(server_keepalive_s)},
    [MQTT_PROP_AUTH_METHOD] = {PROP_TEXT, .packets = BIT(MQTT_CONNECT) | BIT(MQTT_CONNACK) | BIT(MQTT_AUTH),
                               AT(auth_method)},
    [MQTT_PROP_AUTH_DATA] = {PROP_BINARY, .packets = BIT(MQTT_CONNECT) | BIT(MQTT_CONNACK) | BIT(MQTT_AUTH),
                             AT(auth_data)},
    [MQTT_PROP_REQUEST_PROBLEM] = {PROP_BYTE, .is_switch = true, .packets = BIT(MQTT_CONNECT), AT(request_problem)},
    [MQTT_PROP_WILL_DELAY] = {PROP_U32, .packets = WILL, AT(will_delay_s)},
    [MQTT_PROP_REQUEST_RESPONSE] = {PROP_BYTE, .is_switch = true, .packets = BIT(MQTT_CONNECT), AT(request_response)},
    [MQTT_PROP_RESPONSE_INFO] = {PROP_TEXT, .packets = BIT(MQTT_CONNACK), AT(response_info)},
    [MQTT_PROP_SERVER_REFERENCE] = {PROP_TEXT, .packets = BIT(MQTT_CONNACK) | BIT(MQTT_DISCONNECT),
                                    AT(server_reference)},
    [MQTT_PROP_REASON_STRING] = {PROP_TEXT,
                                 .packets = BIT(MQTT_CONNACK) | ACKS | BIT(MQTT_SUBACK) | BIT(MQTT_UNSUBACK) |
                                            BIT(MQTT_DISCONNECT) | BIT(MQTT_AUTH),
                                 AT(reason_string)},
    [MQTT_PROP_RECEIVE_MAX] = {PROP_U16, .no_zero = true, .packets = BIT(MQTT_CONNECT) | BIT(MQTT_CONNACK),
                               AT(receive_max)},
    [MQTT_PROP_TOPIC_ALIAS_MAX] = {PROP_U16, .packets = BIT(MQTT_CONNECT) | BIT(MQTT_CONNACK), AT(topic_alias_max)},
    [MQTT_PROP_TOPIC_ALIAS] = {PROP_U16, .no_zero = true, .packets = BIT(MQTT_PUBLISH), AT(topic_alias)},
    [MQTT_PROP_MAX_QOS] = {PROP_BYTE, .is_switch = true, .packets = BIT(MQTT_CONNACK), AT(max_qos)},
    [MQTT_PROP_RETAIN_AVAILABLE] = {PROP_BYTE, .is_switch = true, .packets = BIT(MQTT_CONNACK), AT(retain_available)},
    [MQTT_PROP_USER] = {PROP_PAIR, .may_repeat = true,
                        .packets = BIT(MQTT_CONNECT) | BIT(MQTT_CONNACK) | BIT(MQTT_PUBLISH) | WILL | ACKS |
                                   BIT(MQTT_SUBSCRIBE) | BIT(MQTT_SUBACK) | BIT(MQTT_UNSUBSCRIBE) | BIT(MQTT_UNSUBACK) |
                                   BIT(MQTT_DISCONNECT) | BIT(MQTT_AUTH)},
    [MQTT_PROP_MAX_PACKET] = {PROP_U32, .no_zero = true, .packets = BIT(MQTT_CONNECT) | BIT(MQTT_CONNACK),
                              AT(max_packet_bytes)},
    [MQTT_PROP_WILDCARD_AVAILABLE] = {PROP_BYTE, .is_switch = true, .packets = BIT(MQTT_CONNACK),
                                      AT(wildcard_available)},
    [MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE] = {PROP_BYTE, .is_switch = true, .packets = BIT(MQTT_CONNACK),
                                             AT(subscription_id_available)},
    [MQTT_PROP_SHARED_AVAILABLE] = {PROP_BYTE, .is_switch = true, .packets = BIT(MQTT_CONNACK), AT(shared_available)},
};

static bool
is_text(const struct prop_desc *d)
{
    return d->type == PROP_TEXT || d->type == PROP_BINARY;
}

static uint32_t
number_of(const struct mqtt_props *props, const struct prop_desc *d)
{
    return *(const uint32_t *)(const void *)((const char *)props + d->offset);
}

static struct slice
text_of(const struct mqtt_props *props, const struct prop_desc *d)
{
    return *(const struct slice *)(const void *)((const char *)props + d->offset);
}

/* --- encoding --- */

static size_t
value_size(const struct mqtt_props *props, const struct prop_desc *d)
{
    switch ((enum prop_type)d->type) {
    case PROP_BYTE:
        return 1;
    case PROP_U16:
        return 2;
    case PROP_U32:
        return 4;
    case PROP_VARINT:
        return mqtt_varint_size(number_of(props, d));
    default:
        return 2 + text_of(props, d).len;
    }
}

/* Without the length in front. */
static size_t
body_size(const struct mqtt_props *props)
{
    size_t size = 0;

    for (uint64_t has = props->has; has; has &= has - 1)
        size += 1 + value_size(props, &PROPS[__builtin_ctzll(has)]);
    return size;
}

size_t
mqtt_props_size(const struct mqtt_props *props)
{
    size_t size = body_size(props);

    return mqtt_varint_size(size) + size;
}

static void
put_value(struct wbuf *w, const struct mqtt_props *props, const struct prop_desc *d)
{
    switch ((enum prop_type)d->type) {
    case PROP_BYTE:
        wbuf_u8(w, number_of(props, d));
        break;
    case PROP_U16:
        wbuf_be16(w, number_of(props, d));
        break;
    case PROP_U32:
        wbuf_be32(w, number_of(props, d));
        break;
    case PROP_VARINT:
        mqtt_put_varint(w, number_of(props, d));
        break;
    default:
        mqtt_put_text(w, text_of(props, d));
    }
}

void
mqtt_props_encode(struct wbuf *w, const struct mqtt_props *props)
{
    mqtt_put_varint(w, body_size(props));
    for (uint64_t has = props->has; has; has &= has - 1) {
        unsigned id = (unsigned)__builtin_ctzll(has);

        wbuf_u8(w, id);
        put_value(w, props, &PROPS[id]);
    }
}

/* --- decoding --- */

static uint32_t
take_number(struct rbuf *r, const struct prop_desc *d)
{
    switch ((enum prop_type)d->type) {
    case PROP_BYTE:
        return rbuf_u8(r);
    case PROP_U16:
        return rbuf_be16(r);
    case PROP_U32:
        return rbuf_be32(r);
    default:
        return mqtt_take_varint(r);
    }
}

static bool
take_number_into(struct rbuf *r, const struct prop_desc *d, struct mqtt_props *out)
{
    uint32_t v = take_number(r, d);

    memcpy((char *)out + d->offset, &v, sizeof v);
    return !(d->is_switch && v > 1) && !(d->no_zero && v == 0);
}

static bool
take_text_into(struct rbuf *r, const struct prop_desc *d, struct mqtt_props *out)
{
    struct slice s = mqtt_take_binary(r);

    memcpy((char *)out + d->offset, &s, sizeof s);
    return d->type == PROP_BINARY || mqtt_text_is_valid(s);
}

static bool
take_pair(struct rbuf *r)
{
    struct slice name = mqtt_take_binary(r), value = mqtt_take_binary(r);

    return mqtt_text_is_valid(name) && mqtt_text_is_valid(value);
}

static bool
take_one(struct rbuf *r, unsigned packet, struct mqtt_props *out)
{
    uint32_t id = mqtt_take_varint(r);
    const struct prop_desc *d = &PROPS[id < MEM_COUNT(PROPS) ? id : 0];

    if (d->type == PROP_NONE || !(d->packets & BIT(packet)))
        return false;
    if (!d->may_repeat && (out->has & MQTT_PROP_BIT(id)))
        return false;
    if (d->type == PROP_PAIR)
        return take_pair(r);
    out->has |= MQTT_PROP_BIT(id);
    return is_text(d) ? take_text_into(r, d, out) : take_number_into(r, d, out);
}

enum nx_err
mqtt_take_props(struct rbuf *r, unsigned packet, struct mqtt_props *out)
{
    uint32_t len = mqtt_take_varint(r);
    struct rbuf body = rbuf_init(rbuf_take(r, len));

    *out = (struct mqtt_props){0};
    if (r->is_short)
        return NX_E_PROTO;
    while (rbuf_left(&body) > 0) {
        if (!take_one(&body, packet, out) || body.is_short)
            return NX_E_PROTO;
    }
    return NX_OK;
}
