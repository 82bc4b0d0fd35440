/* subs.h -- the filters that a session wants, and what the broker said to them. Pure; part of a session.
 *
 * One filter per SUBSCRIBE, so that an answer belongs to exactly one; all leave in one write anyway. */
#ifndef MQTT_SUBS_H
#define MQTT_SUBS_H

#include "mqtt/codec.h"

struct sub {
    struct sub *prev, *next;
    uint16_t packet_id; /* of the question that waits for an answer; 0: none */
    uint8_t qos;
    bool is_settled; /* granted, or refused until the next connection */
    bool is_refused;
    bool is_leaving; /* to be unsubscribed, then forgotten */
    char filter[];
};

struct subs {
    struct sub *list;
    uint16_t first_id, next_id; /* ids of [first_id, 65535] are used in turn */
};

void subs_init(struct subs *subs, uint16_t first_id);
void subs_fini(struct subs *subs);
void subs_add(struct subs *subs, const char *filter, uint8_t qos);
void subs_remove(struct subs *subs, const char *filter);
/* A new connection: asks again for what has no grant, and for everything when the broker kept no session. */
void subs_restart(struct subs *subs, bool is_resumed);
/* The next filter to ask for or to leave, with its packet id assigned; NULL when none. */
struct sub *subs_next(struct subs *subs);
/* The one that asked with this id; NULL when none. */
struct sub *subs_find(struct subs *subs, uint16_t packet_id);
/* The answer: code 0x80 and above is a refusal. s is gone afterwards when it was leaving. */
void subs_answered(struct subs *subs, struct sub *s, uint8_t code);

#endif
