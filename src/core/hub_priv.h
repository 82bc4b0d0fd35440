/* hub_priv.h -- what the files of the hub share: hub.c (connections, fan-out), hub_sub.c (subscriptions, requests),
 * hub_frame.c (frames). */
#ifndef CORE_HUB_PRIV_H
#define CORE_HUB_PRIV_H

#include "core/hub.h"

#include "base/wbuf.h"

#include <uthash.h>

enum hub_kind { HUB_TAG, HUB_TOPIC, HUB_DEVICE };

/* One tag in one subscription. */
struct hub_watch {
    struct hub_sub *sub;
    struct live_point *point;
    struct hub_watch *next_on_point, **prev_on_point; /* list of the point; prev points at what points here */
    struct hub_watch *next_dirty;
    int alias;
    bool is_dirty, is_shown; /* is_shown: its row has been sent */
    uint32_t skipped;        /* changes that were coalesced into the pending one */
    UT_hash_handle hh;       /* by the point's address */
};

struct hub_sub {
    struct hub_conn *conn;
    int id;
    enum hub_kind kind;
    uint32_t rate_ms, present_rate_ms; /* asked for, and what back-pressure has made of it */
    struct loop_timer timer;
    uint64_t last_flush_ms;
    struct hub_watch *watches; /* hash */
    struct hub_watch *dirty;   /* list, newest first */
    char *filters[HUB_MAX_FILTERS];
    unsigned filter_count;
    struct hub_device_id *devices; /* HUB_DEVICE: the ids asked for; empty: all */
    bool has_hidden;               /* some watches have appeared and their rows were not sent yet */
    uint64_t coalesced;
    UT_hash_handle hh;
};

struct hub_device_id {
    char *id;
    UT_hash_handle hh;
};

struct hub_conn {
    struct hub *hub;
    struct hub_out out;
    void *out_arg;
    bool is_known, is_dead;
    char session[HUB_SESSION_CAP];
    struct hub_sub *subs; /* hash */
    unsigned watch_count;
    int next_alias;
    uint64_t seq;
    uint64_t stuck_since_ms; /* 0: not stuck */
    struct loop_timer auth_timer;
    struct hub_conn *prev, *next;
};

struct hub {
    struct loop *loop;
    struct live *live;
    struct hub_ops ops;
    void *arg;
    struct hub_conn *conns; /* list */
    struct wbuf frame;      /* reused */
    struct hub_stats stats;
};

/* --- hub.c --- */
/* Sends the frame that stands in hub->frame. */
void hub_send(struct hub_conn *conn);
/* Says goodbye and closes; the owner of the connection calls hub_close() afterwards. */
void hub_kick(struct hub_conn *conn, uint16_t code, const char *reason);
/* May the subscription send now? Doubles its rate or closes the connection when the client is slow. */
bool hub_may_send(struct hub_sub *sub);
void hub_schedule(struct hub_sub *sub);

/* --- hub_sub.c --- */
struct hub_watch *hub_watch_add(struct hub_sub *sub, struct live_point *point);
void hub_sub_free(struct hub_sub **sub);
bool hub_sub_matches(const struct hub_sub *sub, const struct live_point *point);
void hub_request(struct hub_conn *conn, const json_t *msg);

/* --- hub_frame.c --- */
void hub_send_hello(struct hub_conn *conn);
void hub_send_pong(struct hub_conn *conn);
void hub_send_error(struct hub_conn *conn, const json_t *id, const char *code, const char *detail);
void hub_send_lag(struct hub_sub *sub);
void hub_send_device(struct hub_sub *sub, const char *device_id);
/* Rows and values of the watches that were not shown yet; unknown: ids without a tag, with alias -1. */
void hub_send_snap(struct hub_sub *sub, const json_t *unknown);
/* The newest values of the dirty watches. */
void hub_send_update(struct hub_sub *sub);

#endif
