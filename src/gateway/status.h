/* status.h -- what the gateway says about itself and its devices: retained messages, and JSON for the admin port.
 *
 * $nexus/status/devices/{id} on each change and every 30 s; $nexus/status/gateways/{id} likewise, with a last will that
 * says offline. One loop thread. */
#ifndef GATEWAY_STATUS_H
#define GATEWAY_STATUS_H

#include "gateway/outlet.h"
#include "gateway/registry.h"

#include <jansson.h>

struct status_out;

struct status_out_conf {
    const char *prefix, *gateway;
    bool is_part; /* a shard: speaks of its devices only, not for the gateway */
    /* The members of the gateway's own status: spool, link, counts ... New reference. */
    json_t *(*gateway_json)(void *arg);
    void *arg;
};

struct status_out *status_out_new(struct loop *loop, const struct status_out_conf *conf, struct registry *registry,
                                  const struct outlet *out);
void status_out_free(struct status_out **so);

/* The will of the connection, without topic when is_part; text lives as long as so. */
struct mqtt_will status_out_will(struct status_out *so);
/* Something about the device changed. */
void status_out_touch(struct status_out *so, struct registry_entry *e);
/* It is about to be freed. is_moved: another shard speaks of it from now on. */
void status_out_removed(struct status_out *so, struct registry_entry *e, bool is_moved);
/* The broker is there: everything is said again. */
void status_out_online(struct status_out *so);
/* The broker takes messages again. */
void status_out_ready(struct status_out *so);
void status_out_offline(struct status_out *so);
/* The last word before an ordered end: all devices and the gateway offline. */
void status_out_goodbye(struct status_out *so);

/* {status, last_seen, last_error, since, gateway, protocol, stats}; new reference. */
json_t *status_device_json(const struct registry_entry *e, const char *gateway, int64_t now_us);

#endif
