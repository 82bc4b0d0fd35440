/* mqtt.h -- MQTT 3.1.1 and 5 client on one loop: codec, session, reconnect.
 *
 * Nothing is queued inside beyond the in-flight window: the spool is the send queue, so mqtt_publish() answers
 * NX_E_FULL or NX_E_OFFLINE and the caller tries again on on_ready. Received QoS 1/2 messages are acknowledged when
 * the user says so (mqtt_ack), in order of arrival, batched into one write per loop turn. Unacknowledged outgoing
 * QoS 1/2 messages are held (a copy) and sent again with DUP after a reconnect to a session that the broker kept;
 * otherwise they are published anew. OASIS MQTT 5.0 and 3.1.1; clauses are cited in codec.c and session.c. */
#ifndef MQTT_MQTT_H
#define MQTT_MQTT_H

#include "base/slice.h"
#include "loop/loop.h"
#include "nexus/err.h"

struct mqtt;

enum mqtt_version { MQTT_V311 = 4, MQTT_V5 = 5 };
enum mqtt_state { MQTT_STOPPED, MQTT_CONNECTING, MQTT_ONLINE, MQTT_WAITING /* for the next attempt */ };

struct mqtt_will {
    const char *topic; /* NULL: no will */
    struct slice payload;
    uint8_t qos;
    bool retain;
};

struct mqtt_conf {
    const char *host;
    uint16_t port;
    const struct stream_tls *tls; /* NULL: plain */
    enum mqtt_version version;
    const char *client_id;
    const char *username, *password; /* NULL: none */
    bool clean_start;
    uint32_t session_expiry_s;               /* MQTT 5; ignored when clean_start and 0 */
    uint16_t keepalive_s;                    /* 0: 30 */
    uint16_t receive_max;                    /* messages we let the broker leave unacknowledged; 0: 1000 */
    uint16_t window;                         /* our own QoS 1/2 messages in flight; 0: 100; the broker may lower it */
    uint32_t max_packet_bytes;               /* larger ones from the broker are a protocol error; 0: 4 MiB */
    uint32_t backoff_min_ms, backoff_max_ms; /* 0: 250 and 15000; decorrelated jitter between */
    struct mqtt_will will;
};

struct mqtt_message {
    struct slice topic, payload; /* borrowed for the call */
    uint8_t qos;
    bool retain, dup;
    struct slice content_type, response_topic, correlation; /* MQTT 5; empty else */
    uint16_t packet_id;                                     /* 0 for QoS 0; a message with dup has kept it */
    uint64_t token;                                         /* for mqtt_ack(); 0 for QoS 0 */
};

struct mqtt_publication {
    struct slice topic, payload;
    uint8_t qos;
    bool retain;
    struct slice correlation, response_topic; /* MQTT 5; empty: none */
    uint32_t expiry_s;                        /* MQTT 5; 0: none */
};

struct mqtt_ops {
    /* Every change of state; why tells what failed and when the next attempt comes. session_present on MQTT_ONLINE. */
    void (*on_state)(void *arg, enum mqtt_state state, bool session_present, const struct nx_note *why);
    void (*on_message)(void *arg, const struct mqtt_message *msg);
    /* The window opened again after NX_E_FULL, or the client came online. May be NULL. */
    void (*on_ready)(void *arg);
    /* A filter or message that the broker refused; the connection stays. Logged anyway. May be NULL. */
    void (*on_warning)(void *arg, const struct nx_note *why);
};

/* The broker has taken the message (PUBACK/PUBCOMP; QoS 0: it left), or err says why it never will: a reason code
 * of the broker (NX_E_DENIED, NX_E_FULL ...) or NX_E_CANCELED at mqtt_stop(). Exactly once. */
typedef void mqtt_done_cb(void *arg, enum nx_err err);

/* conf is copied. Nothing happens before mqtt_start(). */
struct mqtt *mqtt_new(struct loop *loop, const struct mqtt_conf *conf, const struct mqtt_ops *ops, void *arg);
void mqtt_start(struct mqtt *m);
/* Sends DISCONNECT (with_will: keeps the will alive by closing without it in 3.1.1 or with reason 0x04 in 5), then
 * on_state(MQTT_STOPPED) once; open publications end with NX_E_CANCELED. */
void mqtt_stop(struct mqtt *m, bool with_will);
/* Also stops; no callback runs afterwards. *m is NULL on return. */
void mqtt_free(struct mqtt **m);
/* Puts another will in place for the next connection. */
void mqtt_set_will(struct mqtt *m, const struct mqtt_will *will);

/* NX_E_OFFLINE when not online, NX_E_FULL when the window (QoS 1/2) or 4 MiB of unsent bytes are used up,
 * NX_E_TOO_LARGE beyond the broker's maximum, NX_E_VALUE for a bad topic. A QoS or retain flag that the broker does not
 * take is lowered. On an error done will not run. Topic and payload are copied. */
NX_MUST_CHECK enum nx_err mqtt_publish(struct mqtt *m, const struct mqtt_publication *pub, mqtt_done_cb *done,
                                       void *arg);

/* The filter must be valid (mqtt_filter_is_valid). Filters are remembered and subscribed again whenever the broker has
 * no session for us. A filter that the broker refuses is reported by on_warning and in the log, and asked for again on
 * the next connection. At most 5,000. Shared subscriptions need MQTT 5, or a broker that allows them. */
void mqtt_subscribe(struct mqtt *m, const char *filter, uint8_t qos);
void mqtt_unsubscribe(struct mqtt *m, const char *filter);

/* Acknowledges a received message. Out of order calls are held until their turn (MQTT 5.0, 4.6). */
void mqtt_ack(struct mqtt *m, uint64_t token);

enum mqtt_state mqtt_state_of(const struct mqtt *m);
uint16_t mqtt_in_flight(const struct mqtt *m);

struct mqtt_stats {
    uint64_t sent, received, acked, reconnects, bytes_out, bytes_in;
};
const struct mqtt_stats *mqtt_stats_of(const struct mqtt *m);

/* "mqtt://host:1883", "mqtts://host:8883", "tcp://host:1883", "ssl://...", "host:port". host is written into buf. */
NX_MUST_CHECK enum nx_err mqtt_parse_url(const char *url, char *host, size_t host_cap, uint16_t *port, bool *tls,
                                         struct nx_note *why);
/* Does the topic match the filter (MQTT 5.0, 4.7)? $-topics are not matched by a leading wildcard. Pure. */
bool mqtt_topic_matches(struct slice filter, struct slice topic);
bool mqtt_topic_is_valid(struct slice topic);   /* for publishing: no wildcards, UTF-8, 1..65535 bytes */
bool mqtt_filter_is_valid(struct slice filter); /* wildcards in their places, $share/name/... */

#endif
