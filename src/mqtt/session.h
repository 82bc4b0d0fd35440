/* session.h -- the MQTT session as a pure state machine: bytes and times in, packets and events out.
 *
 *   DOWN --open--> CONNECTING --CONNACK ok--> ONLINE
 *    ^                 |                        |
 *    +------ down (transport gone, error) ------+
 *
 * The session outlives connections: what is in flight, the filters and the QoS 2 state stay over DOWN. It owns no
 * transport and no clock. Callbacks run from open, feed, flush and tick; they may call every function of this file
 * but fini. Errors of open, feed and tick mean: close the transport, then call mqtt_session_down(). */
#ifndef MQTT_SESSION_H
#define MQTT_SESSION_H

#include "mqtt/inbox.h"
#include "mqtt/outbox.h"
#include "mqtt/subs.h"

/* conf->window at most: the other packet ids belong to SUBSCRIBE and UNSUBSCRIBE. */
#define MQTT_WINDOW_MAX 60000u

enum session_state { SESSION_DOWN, SESSION_CONNECTING, SESSION_ONLINE };

struct session_ops {
    /* Two parts of one packet, or several whole packets; the session keeps no copy. */
    void (*send)(void *arg, struct slice a, struct slice b);
    /* How many bytes of messages may be sent now without piling up. */
    size_t (*room)(void *arg);
    /* why tells what the broker does not grant (its text is empty when it grants everything). */
    void (*on_online)(void *arg, bool session_present, const struct nx_note *why);
    void (*on_message)(void *arg, const struct mqtt_message *msg);
    /* Something that a person should know, without an end to the connection. */
    void (*on_warning)(void *arg, const struct nx_note *why);
};

struct mqtt_session {
    const struct mqtt_conf *conf; /* borrowed, defaults filled in */
    const struct session_ops *ops;
    void *arg;
    enum session_state state;
    bool was_online;   /* once in this process */
    bool is_pinging;   /* PINGREQ without an answer */
    bool has_sent;     /* since the last flush */
    char *assigned_id; /* by the broker; NULL: none */
    struct inbox inbox;
    struct outbox outbox;
    struct subs subs;
    struct wbuf partial; /* start of a packet that is not complete yet */
    struct wbuf scratch; /* packets being encoded */
    uint64_t opened_ms, last_in_ms, last_out_ms;
    uint32_t keepalive_ms; /* of this connection; 0: off */
    /* Limits of the broker on this connection. */
    uint16_t peer_receive_max;
    uint32_t peer_max_packet;
    uint8_t peer_max_qos;
    bool peer_retains;
    struct mqtt_stats stats;
};

void mqtt_session_init(struct mqtt_session *s, const struct mqtt_conf *conf, const struct session_ops *ops, void *arg);
/* No callback runs. */
void mqtt_session_fini(struct mqtt_session *s);

/* The transport is up: sends CONNECT. */
NX_MUST_CHECK enum nx_err mqtt_session_open(struct mqtt_session *s, uint64_t now_ms, struct nx_note *why);
NX_MUST_CHECK enum nx_err mqtt_session_feed(struct mqtt_session *s, struct slice data, uint64_t now_ms,
                                            struct nx_note *why);
/* Time has passed: pings, or finds the broker dead. */
NX_MUST_CHECK enum nx_err mqtt_session_tick(struct mqtt_session *s, uint64_t now_ms, struct nx_note *why);
/* When mqtt_session_tick() has something to do next; UINT64_MAX while DOWN. */
uint64_t mqtt_session_due_ms(const struct mqtt_session *s);
/* Sends acknowledgements, questions about filters, and messages that wait for their turn. Once per loop turn. */
void mqtt_session_flush(struct mqtt_session *s, uint64_t now_ms);
/* Writes DISCONNECT (MQTT 3.1.1 with_will: nothing, a close without it keeps the will); the state becomes DOWN. */
void mqtt_session_disconnect(struct mqtt_session *s, bool with_will);
void mqtt_session_down(struct mqtt_session *s);
/* Ends all publications with NX_E_CANCELED. */
void mqtt_session_cancel(struct mqtt_session *s);

/* As mqtt_publish(); done only for QoS 1 and 2. */
NX_MUST_CHECK enum nx_err mqtt_session_publish(struct mqtt_session *s, const struct mqtt_publication *pub,
                                               mqtt_done_cb *done, void *arg);
/* The QoS that the broker takes instead of this one. */
uint8_t mqtt_session_qos(const struct mqtt_session *s, uint8_t qos);
/* How many messages may be in flight on this connection. */
uint16_t mqtt_session_window(const struct mqtt_session *s);

#endif
