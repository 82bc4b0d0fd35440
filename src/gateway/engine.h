/* engine.h -- devices of one loop: their connections, their polls, and the host side of include/nexus/driver.h.
 *
 * Files: host.c (nx_* functions), dev.c (life of a device), sched.c (polls), governor.c (who may connect now). One loop
 * thread. Bounds: `worker_count` polls in flight (more are skipped and counted), `connects_per_second` attempts.
 *
 *             +------------------------------- WAITING <----------------------+
 *             v                                                               |
 *   OFF -> QUEUED -> OPENING -> UP -> CLOSING (link down, deadline, stop) ----+-> OFF
 *                       |               ^
 *                       +---------------+     OPENING -> FAULT: settings that can never work; a person must act */
#ifndef GATEWAY_ENGINE_H
#define GATEWAY_ENGINE_H

#include "base/arena.h"
#include "gateway/filter.h"
#include "loop/loop.h"
#include "model/device.h"
#include "model/point.h"
#include "nexus/driver.h"
#include "obs/log.h"
#include "obs/metrics.h"

#define DEV_STATES(X) X(OFF) X(QUEUED) X(OPENING) X(UP) X(CLOSING) X(WAITING) X(FAULT)
enum dev_state {
#define DEV_STATE_ENUM(name) DEV_##name,
    DEV_STATES(DEV_STATE_ENUM)
#undef DEV_STATE_ENUM
};

struct engine;
struct group;

/* One tag of a running device, with what was sent of it last. The lower part belongs to points.c. */
struct slot {
    const struct tag *tag;
    struct nx_dev *dev;
    uint32_t key;     /* dense over all devices */
    uint32_t poll_no; /* of the group's poll that has set it */
    struct filter_state filter;
    struct series series;

    struct nx_value value; /* texts: in text */
    uint16_t quality;
    bool is_dirty; /* in the list of unsent tag messages */
    bool has_seq;
    uint32_t text_cap;
    char *text;
    char *reason; /* of a bad value, NULL else */
    int64_t time_us, source_us, gateway_us;
    uint64_t seq;
    struct slot *next_dirty;
    struct calc_node *calc;      /* its expression; NULL: none */
    struct calc_edge *watchers;  /* expressions that read it */
    struct aggregate *aggregate; /* windows of it; NULL: none */
};

/* One reading before normalization. */
struct sample {
    struct nx_value value;
    uint16_t quality;
    int64_t source_us;
    const char *reason; /* why it is bad; borrowed; NULL else */
};

struct engine_ops {
    void (*on_sample)(void *arg, struct slot *slot, const struct sample *s);
    void (*on_state)(void *arg, struct nx_dev *dev); /* state or health changed */
    void (*on_idle)(void *arg);                      /* no device is left that has not ended; after engine_stop() */
};

struct engine_conf {
    unsigned worker_count, max_retries, connects_per_second;
    uint32_t backoff_min_ms, backoff_max_ms;
};

/* --- operations: embed in what needs them --- */
struct host_op {
    struct nx_op *op; /* NULL: not open */
    struct host_op *prev, *next;
    struct loop_timer deadline;
    uint64_t started_ms, timeout_ms;
    void (*on_done)(void *arg, enum nx_err err, const struct nx_note *why);
    void *arg;
};

struct dev_read {
    struct nx_read rd; /* first */
    struct host_op op;
    struct arena plan;
    /* note is NULL for a value */
    void (*on_item)(void *arg, uint32_t i, const struct sample *s);
};

struct dev_write {
    struct nx_write wr; /* first */
    struct host_op op;
};

struct dev_browse {
    struct nx_op nx; /* first */
    struct host_op op;
    void (*on_node)(void *arg, const char *path, enum nx_data_type type, const char *description);
};

struct dev_stats {
    uint64_t polls_ok, polls_failed, polls_skipped, connects, failed_in_row;
    double read_ms_avg; /* smoothed */
};

/* A device as the host sees it. */
struct nx_dev {
    struct engine *engine;
    struct device *conf; /* one reference */
    struct log_ctx log;
    enum dev_state state;
    void *driver_state;
    struct slot *slots;   /* one a tag, enabled or not */
    struct group *groups; /* one an interval */
    unsigned group_count;
    struct host_op *ops;
    bool is_stopping, is_dropping, is_failing, is_retired;
    bool is_mute;            /* accepts connections and answers nothing: not online before the first answer */
    struct loop_timer timer; /* OPENING: deadline; WAITING: back-off */
    uint64_t backoff_ms, heard_ms, since_ms, turn_ms;
    int64_t since_us, last_seen_us;
    struct nx_note why; /* of the last failure; text "" when all is well */
    struct dev_stats stats;
    uint64_t counters[NX_COUNTERS];
    struct metric *polls_ok, *polls_failed, *polls_skipped, *duration;
    struct nx_dev *prev, *next; /* in engine.devs */
    struct nx_dev *queue_next;  /* QUEUED */
    bool is_queued, has_shared_duration;
    bool is_probe; /* test connection: no polls, no reconnect */
    /* Called for each step of the way to the device; may be NULL. */
    void (*on_step)(void *arg, const char *step, enum nx_err err, uint32_t elapsed_ms, const char *detail);
    void (*on_change)(void *arg, struct nx_dev *dev); /* probe: instead of engine_ops.on_state */
    void *arg;
};

struct governor {
    double tokens;
    uint64_t refilled_ms;
    struct nx_dev *head, *tail;
    struct loop_timer timer;
};

struct engine {
    struct loop *loop;
    struct engine_conf conf;
    struct engine_ops ops;
    void *arg;
    struct nx_dev *devs;
    unsigned dev_count, polls_in_flight;
    uint64_t rng;
    bool is_paused, is_stopping;
    struct governor governor;
    uint32_t *free_keys; /* stack of slot keys that can be used again */
    uint32_t free_count, free_cap, next_key;
    struct metrics *metrics;
    struct metric *points_read, *utilization, *skipped_total;
};

/* seed: any number but 0; decides all jitter. */
void engine_init(struct engine *e, struct loop *loop, const struct engine_conf *conf, const struct engine_ops *ops,
                 void *arg, struct metrics *metrics, uint64_t seed);
/* All devices must have ended. */
void engine_fini(struct engine *e);
/* No more polls are started; those in flight (polls_in_flight) go on. */
void engine_pause(struct engine *e);
/* Ends all devices; on_idle follows, never from inside this call. */
void engine_stop(struct engine *e);

/* Makes a device and takes the reference; it connects after a jitter. */
struct nx_dev *dev_start(struct engine *e, struct device **conf);
/* A device that only connects: for test connection. Begins at once. */
struct nx_dev *dev_probe(struct engine *e, struct device **conf,
                         void (*on_step)(void *, const char *, enum nx_err, uint32_t, const char *),
                         void (*on_change)(void *, struct nx_dev *), void *arg);
/* Ends it: polls are cancelled, the link is closed, then it is freed. It must not be used any more. Its slots are
 * silent from now on and their texts must not be needed any more. */
void dev_retire(struct nx_dev **dev);
/* Gives the link up now and connects again after the back-off. */
void dev_drop_link(struct nx_dev *dev, enum nx_err err, const char *text);
const char *dev_state_name(enum dev_state s);
/* online, offline, connecting, error: the word of status messages. */
const char *dev_status_word(const struct nx_dev *dev);
struct slot *dev_slot(struct nx_dev *dev, const char *tag_id); /* NULL: none */

/* Starts an operation on a link that is up. timeout_ms without any byte of the device ends it with NX_E_TIMEOUT, so
 * does ten times that in all; a write ends after timeout_ms in any case. on_done runs once, maybe inside the call. */
void dev_read_start(struct nx_dev *dev, struct dev_read *r, uint64_t timeout_ms);
void dev_write_start(struct nx_dev *dev, struct dev_write *w, uint64_t timeout_ms);
void dev_browse_start(struct nx_dev *dev, struct dev_browse *b, uint64_t timeout_ms);
void dev_op_cancel(struct nx_dev *dev, struct host_op *op, enum nx_err err);
void dev_read_fini(struct dev_read *r); /* frees the plan */

/* --- between the files of the engine --- */
void dev_opening_done(struct nx_dev *dev); /* the driver said nx_link_up() */
void dev_link_lost(struct nx_dev *dev, enum nx_err err, const struct nx_note *why);
void dev_driver_closed(struct nx_dev *dev);
void dev_open_now(struct nx_dev *dev);
void dev_cancel_all(struct nx_dev *dev, enum nx_err err);

void governor_ask(struct engine *e, struct nx_dev *dev); /* dev_open_now() follows */
void governor_forget(struct engine *e, struct nx_dev *dev);

void sched_make(struct nx_dev *dev);
void sched_link_up(struct nx_dev *dev);
/* All tags of the device become bad. */
void sched_link_down(struct nx_dev *dev, enum nx_err err, const char *reason);
/* The driver has closed: its plans are forgotten, the device may come back with another layout. */
void sched_closed(struct nx_dev *dev);
void sched_free(struct nx_dev *dev);

#endif
