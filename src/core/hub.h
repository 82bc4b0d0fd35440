/* hub.h -- pushes live values and device states to WebSocket clients (protocol: openapi.yaml, /api/v1/ws).
 *
 * On the loop thread. A subscription holds one watch per tag; a change marks the watch dirty, and at most once per
 * rate_ms one frame carries the newest value of each dirty tag. A slow client costs only itself: above 1 MiB waiting
 * its rate is doubled (told by `lag`), above 8 MiB or after 30 s without progress it is closed with 4008.
 * Bounds: HUB_MAX_SUBS subscriptions and HUB_MAX_WATCHES tags per connection, HUB_MAX_FILTERS filters per subscription.
 */
#ifndef CORE_HUB_H
#define CORE_HUB_H

#include "core/live.h"
#include "loop/loop.h"

#include <jansson.h>

#define HUB_MAX_SUBS    200
#define HUB_MAX_WATCHES 100000
#define HUB_MAX_FILTERS 64
#define HUB_MIN_RATE_MS 50
#define HUB_RATE_MS     250
#define HUB_SESSION_CAP 65
#define HUB_PROTOCOL    "nexus.v1.json"

struct hub;
struct hub_conn;

/* How frames leave; over http_ws in the service, into a buffer in tests. */
struct hub_out {
    bool (*send)(void *arg, struct slice text);
    size_t (*pending)(void *arg); /* bytes that wait */
    void (*close)(void *arg, uint16_t code, const char *reason);
};

struct hub_ops {
    /* Is the access token good, and of which session? For clients without a cookie. */
    bool (*check_token)(void *arg, const char *token, char session[HUB_SESSION_CAP]);
    /* Logged in still? */
    bool (*check_session)(void *arg, const char *session);
    /* DeviceStatus; new reference. NULL: no such device. */
    json_t *(*device_status)(void *arg, const char *device_id);
    /* Calls each() for every device. */
    void (*each_device)(void *arg, void (*each)(void *each_arg, const char *device_id), void *each_arg);
};

struct hub *hub_new(struct loop *loop, struct live *live, const struct hub_ops *ops, void *arg);
/* Every connection must be closed. */
void hub_free(struct hub **hub);

/* session: that of a good cookie; NULL: the first message must be auth, within 5 s. Sends hello. */
struct hub_conn *hub_open(struct hub *hub, const struct hub_out *out, void *out_arg, const char *session);
/* Closes the connections whose login has ended. */
void hub_check_sessions(struct hub *hub);
void hub_message(struct hub_conn *conn, struct slice text);
void hub_drained(struct hub_conn *conn);
/* The connection is gone; nothing more is sent. */
void hub_close(struct hub_conn **conn);

/* What happened. */
void hub_changed(struct hub *hub, struct live_point *point);
void hub_appeared(struct hub *hub, struct live_point *point); /* new, or it has got a tag */
void hub_device(struct hub *hub, const char *device_id);
void hub_every_device(struct hub *hub);

struct hub_stats {
    uint64_t clients, frames, values, coalesced, dropped_clients;
};
const struct hub_stats *hub_stats_of(const struct hub *hub);

#endif
