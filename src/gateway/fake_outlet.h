/* fake_outlet.h -- a broker for tests: keeps what is published, and can be away, full or refusing. */
#ifndef GATEWAY_FAKE_OUTLET_H
#define GATEWAY_FAKE_OUTLET_H

#include "gateway/outlet.h"

#define FAKE_OUTLET_MAX 4096

struct fake_message {
    char *topic, *payload; /* terminated copies */
    size_t len;
    bool retain;
    char correlation[64];
    mqtt_done_cb *done;
    void *arg;
};

struct fake_outlet {
    enum nx_err answer; /* of publish(); NX_OK: takes it */
    unsigned room;      /* messages until NX_E_FULL; UINT_MAX: no bound */
    bool holds_done;    /* done waits for fake_outlet_settle() */
    struct fake_message messages[FAKE_OUTLET_MAX];
    unsigned count, settled;
};

struct outlet fake_outlet_init(struct fake_outlet *o);
void fake_outlet_fini(struct fake_outlet *o);
/* Forgets all messages. */
void fake_outlet_clear(struct fake_outlet *o);
/* Ends what waits. */
void fake_outlet_settle(struct fake_outlet *o, enum nx_err err);
/* The newest message of a topic; NULL: none. */
const struct fake_message *fake_outlet_last(const struct fake_outlet *o, const char *topic);
unsigned fake_outlet_count(const struct fake_outlet *o, const char *topic_prefix);

#endif
