/* inbox.h -- received QoS 1 and 2 messages until they are acknowledged. Pure; part of a session.
 *
 * Acknowledgements leave in the order of arrival (MQTT 5.0, 4.6), whatever the order of the user's calls. A token
 * names a message of this connection; after a disconnect tokens of QoS 1 mean nothing (the broker sends the message
 * again), those of QoS 2 stay valid, because a QoS 2 message is delivered only once (4.3.3). Bound: 65,535 of each. */
#ifndef MQTT_INBOX_H
#define MQTT_INBOX_H

#include "mqtt/codec.h"

#include <stdlib.h>
#include <uthash.h>

struct inbox_slot {
    uint16_t packet_id;
    uint8_t qos;
    bool is_acked;
};

/* A QoS 2 message that was delivered and not yet released by PUBREL. */
struct inbox_held {
    uint16_t packet_id;
    bool is_acked;
    uint64_t token;      /* as the user knows it */
    uint64_t slot_token; /* its place in the queue of this connection */
    UT_hash_handle hh;
};

struct inbox {
    struct inbox_slot *slots; /* ring, a power of two */
    size_t cap;
    uint64_t head, tail; /* tokens [head, tail) wait; never 0 */
    struct inbox_held *held;
};

void inbox_init(struct inbox *box);
void inbox_fini(struct inbox *box);
/* Enters a message. *token is 0 when it was delivered before. NX_E_PROTO when the broker leaves too many open. */
NX_MUST_CHECK enum nx_err inbox_receive(struct inbox *box, uint16_t packet_id, uint8_t qos, uint64_t *token);
/* Unknown and repeated tokens are ignored. */
void inbox_ack(struct inbox *box, uint64_t token);
/* The next PUBACK or PUBREC that may leave; false when none. */
bool inbox_next_ack(struct inbox *box, enum mqtt_type *type, uint16_t *packet_id);
/* PUBREL: forgets the message; false when it was not known. */
bool inbox_release(struct inbox *box, uint16_t packet_id);
/* The connection is gone; the session may come back. */
void inbox_disconnected(struct inbox *box);
/* The session is gone. */
void inbox_forget(struct inbox *box);

#endif
