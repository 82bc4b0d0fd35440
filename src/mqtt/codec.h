/* codec.h -- MQTT 3.1.1 and 5 packets, as a client needs them: bytes from and to structs. Pure, no allocation.
 *
 * Encodes what a client sends, decodes what it receives. Decoded slices borrow from the input. Decoders take the
 * whole body of a packet and refuse what the specification calls malformed: missing or left-over bytes, reserved
 * flags, properties that do not belong to the packet or come twice, text that is not UTF-8. They answer NX_OK or
 * NX_E_PROTO. Encoders write into a wbuf with a sticky error. Clauses are those of OASIS MQTT 5.0. */
#ifndef MQTT_CODEC_H
#define MQTT_CODEC_H

#include "base/wbuf.h"
#include "mqtt/mqtt.h"

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH,
};
#define MQTT_LENGTH_MAX 268435455u /* of a body (1.5.5) */

/* "CONNACK"; "reserved" for 0 and what is above 15. */
const char *mqtt_type_name(unsigned type);

struct mqtt_packet {
    uint8_t type, flags; /* enum mqtt_type, low four bits of the first byte */
    struct slice body;   /* what follows the fixed header */
    size_t total_bytes;  /* with the fixed header */
};

/* Splits the first packet off in. NX_E_MORE: more bytes are needed, total_bytes says how many in all (0 while the
 * length is not known). NX_E_TOO_LARGE beyond max_bytes. NX_E_PROTO for a bad length, type or flags (2.1.3). */
NX_MUST_CHECK enum nx_err mqtt_packet_next(struct slice in, size_t max_bytes, struct mqtt_packet *out);

/* --- properties (2.2.2.2) --- */
enum mqtt_prop {
    MQTT_PROP_PAYLOAD_FORMAT = 0x01,
    MQTT_PROP_MESSAGE_EXPIRY = 0x02,
    MQTT_PROP_CONTENT_TYPE = 0x03,
    MQTT_PROP_RESPONSE_TOPIC = 0x08,
    MQTT_PROP_CORRELATION = 0x09,
    MQTT_PROP_SUBSCRIPTION_ID = 0x0b,
    MQTT_PROP_SESSION_EXPIRY = 0x11,
    MQTT_PROP_ASSIGNED_CLIENT_ID = 0x12,
    MQTT_PROP_SERVER_KEEPALIVE = 0x13,
    MQTT_PROP_AUTH_METHOD = 0x15,
    MQTT_PROP_AUTH_DATA = 0x16,
    MQTT_PROP_REQUEST_PROBLEM = 0x17,
    MQTT_PROP_WILL_DELAY = 0x18,
    MQTT_PROP_REQUEST_RESPONSE = 0x19,
    MQTT_PROP_RESPONSE_INFO = 0x1a,
    MQTT_PROP_SERVER_REFERENCE = 0x1c,
    MQTT_PROP_REASON_STRING = 0x1f,
    MQTT_PROP_RECEIVE_MAX = 0x21,
    MQTT_PROP_TOPIC_ALIAS_MAX = 0x22,
    MQTT_PROP_TOPIC_ALIAS = 0x23,
    MQTT_PROP_MAX_QOS = 0x24,
    MQTT_PROP_RETAIN_AVAILABLE = 0x25,
    MQTT_PROP_USER = 0x26, /* checked, not kept */
    MQTT_PROP_MAX_PACKET = 0x27,
    MQTT_PROP_WILDCARD_AVAILABLE = 0x28,
    MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE = 0x29,
    MQTT_PROP_SHARED_AVAILABLE = 0x2a,
};
#define MQTT_PROP_BIT(id) (UINT64_C(1) << (id))

/* Zero-initialised: none. has tells which members count. */
struct mqtt_props {
    uint64_t has; /* MQTT_PROP_BIT() of each one present */
    uint32_t payload_format, message_expiry_s, subscription_id, session_expiry_s, server_keepalive_s;
    uint32_t request_problem, will_delay_s, request_response, receive_max, topic_alias_max, topic_alias;
    uint32_t max_qos, retain_available, max_packet_bytes;
    uint32_t wildcard_available, subscription_id_available, shared_available;
    struct slice content_type, response_topic, correlation, assigned_client_id, auth_method, auth_data;
    struct slice response_info, server_reference, reason_string;
};

/* Length with its own length field in front, and the bytes themselves. */
size_t mqtt_props_size(const struct mqtt_props *props);
void mqtt_props_encode(struct wbuf *w, const struct mqtt_props *props);

/* --- what a client sends --- */
struct mqtt_connect {
    enum mqtt_version version;
    struct slice client_id;
    const char *username, *password; /* NULL: none */
    bool clean_start;
    uint16_t keepalive_s;
    const struct mqtt_will *will; /* NULL: none */
    struct mqtt_props props;      /* MQTT 5 */
};
void mqtt_encode_connect(struct wbuf *w, const struct mqtt_connect *c);

/* Size of the whole packet; 0 when it would be longer than MQTT allows. */
size_t mqtt_publish_size(enum mqtt_version version, const struct mqtt_publication *pub);
/* Everything of the packet but the payload, which follows. packet_id is ignored for QoS 0. */
void mqtt_encode_publish_head(struct wbuf *w, enum mqtt_version version, const struct mqtt_publication *pub,
                              uint16_t packet_id);
#define MQTT_FLAG_DUP 0x08u /* in the first byte of a PUBLISH that is sent again */

/* PUBACK, PUBREC, PUBREL, PUBCOMP. reason 0 gives the short form; MQTT 3.1.1 has no other. */
void mqtt_encode_ack(struct wbuf *w, enum mqtt_version version, enum mqtt_type type, uint16_t packet_id,
                     uint8_t reason);

struct mqtt_filter {
    const char *filter;
    uint8_t qos;
};
void mqtt_encode_subscribe(struct wbuf *w, enum mqtt_version version, uint16_t packet_id,
                           const struct mqtt_filter *filters, size_t n);
void mqtt_encode_unsubscribe(struct wbuf *w, enum mqtt_version version, uint16_t packet_id,
                             const struct mqtt_filter *filters, size_t n);
void mqtt_encode_pingreq(struct wbuf *w);
/* reason is left out for MQTT 3.1.1. */
void mqtt_encode_disconnect(struct wbuf *w, enum mqtt_version version, uint8_t reason);

/* --- what a client receives --- */
struct mqtt_connack {
    bool session_present;
    uint8_t reason; /* 0 accepted */
    struct mqtt_props props;
};
/* In MQTT 5 also takes the two-byte answer of a broker that only knows MQTT 3.1.1. */
NX_MUST_CHECK enum nx_err mqtt_decode_connack(enum mqtt_version version, struct slice body, struct mqtt_connack *out);

struct mqtt_received {
    struct slice topic, payload;
    uint16_t packet_id; /* 0 for QoS 0 */
    uint8_t qos;
    bool retain, dup;
    struct mqtt_props props;
};
NX_MUST_CHECK enum nx_err mqtt_decode_publish(enum mqtt_version version, const struct mqtt_packet *packet,
                                              struct mqtt_received *out);

struct mqtt_ack_packet {
    uint16_t packet_id;
    uint8_t reason;
    struct slice reason_string;
};
NX_MUST_CHECK enum nx_err mqtt_decode_ack(enum mqtt_version version, const struct mqtt_packet *packet,
                                          struct mqtt_ack_packet *out);

/* SUBACK and UNSUBACK; codes has one byte per filter (empty in an UNSUBACK of MQTT 3.1.1). */
struct mqtt_suback {
    uint16_t packet_id;
    struct slice codes, reason_string;
};
NX_MUST_CHECK enum nx_err mqtt_decode_suback(enum mqtt_version version, const struct mqtt_packet *packet,
                                             struct mqtt_suback *out);

struct mqtt_disconnect {
    uint8_t reason;
    struct slice reason_string, server_reference;
};
/* DISCONNECT of the broker (MQTT 5 only) and AUTH have the same shape. */
NX_MUST_CHECK enum nx_err mqtt_decode_disconnect(enum mqtt_version version, const struct mqtt_packet *packet,
                                                 struct mqtt_disconnect *out);

#endif
