/* outbox.h -- our own QoS 1 and 2 messages until the broker has taken them. Pure; part of a session.
 *
 * Each message is one allocation that holds the encoded packet, kept for sending it again. Packet ids 1..window are
 * used in turn, so an id rests as long as possible before it comes again. */
#ifndef MQTT_OUTBOX_H
#define MQTT_OUTBOX_H

#include "mqtt/codec.h"

struct flight {
    struct flight *prev, *next;
    uint16_t packet_id;
    bool is_sent;     /* on this connection */
    bool is_received; /* QoS 2: PUBREC has come, the rest is PUBREL and PUBCOMP */
    uint8_t qos;
    mqtt_done_cb *done;
    void *arg;
    size_t len;
    uint8_t packet[];
};

struct outbox {
    struct flight *list;      /* in the order in which they are (re)sent */
    struct flight *unsent;    /* the first that this connection has not sent; NULL: none */
    struct flight **by_id;    /* [window + 1] */
    uint16_t *free_ids;       /* ring of window */
    uint16_t window, free_at; /* free_at: the ring's oldest entry */
    uint16_t count, sent;
};

void outbox_init(struct outbox *box, uint16_t window);
/* No done callback runs. */
void outbox_fini(struct outbox *box);
/* Encodes and enters the message, unsent. There must be room: count < window. len is mqtt_publish_size(). */
struct flight *outbox_add(struct outbox *box, enum mqtt_version version, const struct mqtt_publication *pub,
                          size_t len);
/* The next message to send on this connection, marked as sent; NULL when none. */
struct flight *outbox_next(struct outbox *box);
/* A message that this connection has sent, or NULL. */
struct flight *outbox_find(struct outbox *box, uint16_t packet_id);
/* PUBREC has come: its PUBREL goes behind the others (4.6). */
void outbox_received(struct outbox *box, struct flight *f);
/* Forgets the message, then runs its done callback. */
void outbox_end(struct outbox *box, struct flight *f, enum nx_err err);
/* All messages are unsent again. is_resumed: the broker kept the session, so those sent before get DUP; otherwise
 * they are new, and those that the broker had confirmed by PUBREC end as delivered. Runs done callbacks. */
void outbox_restart(struct outbox *box, bool is_resumed);
/* Ends all. */
void outbox_cancel(struct outbox *box);

#endif
