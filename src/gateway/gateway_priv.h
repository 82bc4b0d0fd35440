/* gateway_priv.h -- the parts of the gateway in one place; for gateway.c, shards.c, broker.c, admin.c and
 * admin_device.c. */
#ifndef GATEWAY_PRIV_H
#define GATEWAY_PRIV_H

#include "gateway/assign.h"
#include "gateway/commands.h"
#include "gateway/config_sync.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/gateway_conf.h"
#include "gateway/learned.h"
#include "gateway/link.h"
#include "gateway/points.h"
#include "gateway/registry.h"
#include "gateway/status.h"
#include "http/http.h"
#include "mqtt/mqtt.h"
#include "spool/spool.h"

enum stop_stage { STOP_NOT, STOP_COMMANDS, STOP_POLLS, STOP_FLUSH, STOP_GOODBYE, STOP_MQTT, STOP_DEVICES, STOP_DONE };

/* What the spool reports while nobody is there yet to write it down. Holes and one jump; further ones are only in the
 * log. */
#define EARLY_DROPS 8u
struct early_drop {
    uint64_t from, to, points;
    enum nx_err cause;
};

/* One way to the historian: spool, link, and their lane (part, or URGENT_LANES + part). spool NULL: not open. */
#define URGENT_LANES 128u
struct gateway_lane {
    struct gateway *g;
    enum points_lane which;
    struct spool *spool;
    struct link *link;
    char *dir, topic[256];
    struct early_drop early[EARLY_DROPS];
    unsigned early_count;
    bool is_counting; /* points take what the spool reports */
    bool has_failed;  /* to open; it is not tried again */
};

/* What status and gauges count, of one thread or of all. */
struct gateway_totals {
    unsigned devices_online;
    struct points_stats points; /* why: of one that fails */
    struct commands_stats commands;
    struct spool_stats spool[LANE_COUNT];
    struct link_stats link[LANE_COUNT]; /* rtt: the longest */
    bool has_urgent;
};

struct shards;

struct gateway {
    struct http_health health; /* first: http_serve_* want it there */
    struct loop *loop;
    struct conf *conf_owner;
    struct gateway_conf conf;
    struct metrics *metrics;
    struct engine engine;
    struct registry registry;
    struct assign assign;
    struct gateway_lane lanes[LANE_COUNT]; /* lanes.c */
    struct points *points;
    struct commands *commands;
    struct config_sync *sync;
    struct status_out *status;
    struct mqtt *mqtt;
    struct outlet outlet;
    struct nx_note mqtt_why;
    char ack_topic[256], filter[4][256];
    uint64_t recorded_ms; /* when a capture was saved last */
    char *cache_path, *client_id, *spool_dir, *recordings_dir;
    struct learned *learned;
    struct http_server *http;
    struct loop_timer gauges, speak;
    struct gateway_gauges *gauge;
    int64_t started_us;
    bool is_engine_up, has_no_device, has_no_shard, is_reload_due;
    unsigned part;         /* which shard; 0: the head */
    struct shards *shards; /* the head's; NULL: one thread does it all */

    enum stop_stage stage;
    struct loop_timer stop_tick;
    uint64_t stop_by_ms;
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct log_ctx log;
};

/* gateway.c: a shard of head (shards.h), on the calling thread's loop. It has no configuration, no admin port. */
NX_MUST_CHECK enum nx_err gateway_open_part(struct gateway **out, struct loop *loop, const struct gateway *head,
                                            unsigned part, struct nx_note *why);
struct gateway_totals gateway_totals_of(const struct gateway *g);
void gateway_totals_add(struct gateway_totals *to, const struct gateway_totals *t);

/* lanes.c */
NX_MUST_CHECK enum nx_err lanes_open(struct gateway *g, struct nx_note *why);
/* Points are there: they take the lanes, and what was reported before. */
void lanes_join(struct gateway *g);
/* The device has tags: an urgent one opens the urgent lane. */
void lanes_see(struct gateway *g, const struct device *d);
/* The urgent spool may grow until the bulk one has an eighth left. */
void lanes_share_disk(struct gateway *g);
void lanes_each_link(struct gateway *g, void (*each)(struct link *l));
void lanes_ack(struct gateway *g, const struct batch_ack *ack);
void lanes_free_links(struct gateway *g);
void lanes_close_spools(struct gateway *g);

/* broker.c */
NX_MUST_CHECK enum nx_err gateway_open_broker(struct gateway *g, struct nx_note *why);
bool gateway_is_broker_online(const struct gateway *g);
void gateway_outlet_init(struct gateway *g);

/* admin.c */
NX_MUST_CHECK enum nx_err gateway_open_admin(struct gateway *g, struct nx_note *why);
json_t *gateway_status_json(void *arg);
void gateway_gauges_start(struct gateway *g);
void gateway_gauges_stop(struct gateway *g);

#endif
