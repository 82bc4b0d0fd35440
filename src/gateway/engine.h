/* engine.h -- devices of one loop: their connections, their polls, and the host side of include/nexus/driver.h.
 *
 * Files: conn.c (life of a connection), dev.c (life of a device), lists.c (which tags are read together), sched.c
 * (when, and what becomes of it), ops.c (operations and their deadlines), host.c (streams, timers, log), governor.c
 * (who may connect now), breaker.c (who is left in peace). One loop thread. Bounds: `worker_count` polls in flight
 * (more are skipped and counted), `connects_per_second` attempts.
 *
 * Devices whose connection settings are equal, but for what the driver marks is_per_device, share one connection:
 *
 *             +------------------------------- WAITING <----------------------+
 *             v                                   ^                           |
 *   OFF -> QUEUED -> OPENING -> UP -> CLOSING ----|---------------------------+-> OFF (idle, or nobody is left)
 *    |                  |               ^         |
 *    +------------------|---------------|---------+ start jitter
 *                       +---------------+     OPENING -> FAULT: settings that can never work; a person must act */
#ifndef GATEWAY_ENGINE_H
#define GATEWAY_ENGINE_H

#include "base/arena.h"
#include "gateway/breaker.h"
#include "gateway/filter.h"
#include "loop/loop.h"
#include "model/device.h"
#include "model/point.h"
#include "nexus/driver.h"
#include "obs/log.h"
#include "obs/metrics.h"

#include <uthash.h>

#define CONN_STATES(X) X(OFF) X(WAITING) X(QUEUED) X(OPENING) X(UP) X(CLOSING) X(FAULT)
enum conn_state {
#define CONN_STATE_ENUM(name) CONN_##name,
    CONN_STATES(CONN_STATE_ENUM)
#undef CONN_STATE_ENUM
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
    /* Has the value changed, so that it is sent on? */
    bool (*on_sample)(void *arg, struct slot *slot, const struct sample *s);
    void (*on_made)(void *arg, struct nx_dev *dev);  /* its slots exist, no value has come yet; may be NULL */
    void (*on_state)(void *arg, struct nx_dev *dev); /* state or health changed */
    void (*on_idle)(void *arg);                      /* no device is left that has not ended; after engine_stop() */
    /* What the driver has learned about a device, to be kept and given back. May be NULL, both or none. */
    void (*on_learned)(void *arg, const struct nx_dev *dev, const char *text);
    const char *(*learned)(void *arg, const struct nx_dev *dev);
    /* A poll has failed or the protocol was broken: a good time to save what the flight recorder holds. May be NULL. */
    void (*on_trouble)(void *arg, struct nx_link *link, const struct nx_note *why);
};

/* --- operations: embed in what needs them --- */
struct host_op {
    struct nx_op *op; /* NULL: not open */
    struct host_op *prev, *next;
    struct loop_timer deadline;
    uint64_t begun_ms, alive_ms, timeout_ms; /* begun: the first request left */
    bool is_waiting;                         /* for the link */
    void (*on_done)(void *arg, enum nx_err err, const struct nx_note *why);
    void *arg;
};

struct dev_read {
    struct nx_read rd; /* first */
    struct host_op op;
    struct arena plan;
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

/* A read list: the tags of one device that are due together, with a timer that keeps its phase. */
struct group {
    struct dev_read read; /* first */
    struct nx_dev *dev;
    int64_t interval_ms;                      /* now; adaptive lists move between min and max */
    int64_t adaptive_min_ms, adaptive_max_ms; /* 0: fixed */
    enum tag_priority priority;
    struct nx_read_item *items;
    struct slot **slots;
    uint32_t poll_no, set_count, changed_count, gaps;
    unsigned attempt;
    bool is_fresh;    /* since the link came up; the phase is not chosen yet */
    bool has_silence; /* some tag must be sent again even while the device is away */
    uint64_t started_ns, done_ms, polls, skipped;
    double achieved_ms, read_ms; /* smoothed: from one good poll to the next, and of one poll */
    struct loop_timer timer, retry;
};

struct dev_stats {
    uint64_t polls_ok, polls_failed, polls_skipped, failed_in_row;
    double read_ms_avg; /* smoothed */
};

/* A connection as the host sees it. */
struct nx_link {
    struct engine *engine;
    const struct nx_driver *driver;
    struct device *conf; /* of the device it was made for, whose settings it takes; one reference */
    char *key;           /* driver and settings of the connection */
    struct log_ctx log;
    enum conn_state state;
    void *driver_state;
    struct nx_dev *devs;
    unsigned dev_count;
    struct host_op *ops, *waiting; /* at the driver; until the link is up */
    struct loop_timer timer;       /* OPENING: deadline; WAITING: back-off */
    struct loop_timer care;        /* UP: idle reaping and health probe */
    struct dev_read probe;
    struct nx_read_item probe_item;
    uint64_t backoff_ms, heard_ms, used_ms, since_ms, saved_ms, connects;
    int64_t since_us;
    bool is_mute;   /* accepts connections and answers nothing: not online before the first answer */
    bool is_asleep; /* closed because nobody used it, until it is up again */
    bool is_queued, is_end_due;
    struct nx_note why; /* of the last failure; text "" when all is well */
    uint64_t counters[NX_COUNTERS];
    struct recorder *recorder;  /* NULL: nothing was sent yet, or it is off */
    struct nx_link *queue_next; /* QUEUED */
    UT_hash_handle hh;          /* in engine.links */
};

/* A device as the host sees it. */
struct nx_dev {
    struct engine *engine;
    struct nx_link *link;
    struct device *conf; /* one reference */
    struct log_ctx log;
    void *driver_state;
    struct arena memory;  /* nx_dev_alloc() */
    struct slot *slots;   /* one a tag, enabled or not */
    struct group *groups; /* one an interval and priority */
    unsigned group_count;
    bool is_retired, is_failing;
    bool is_faulty; /* attach() refused the settings */
    struct breaker breaker;
    double tokens; /* of max_requests_per_second */
    uint64_t refilled_ms, requests_before;
    int64_t last_seen_us, since_us;
    struct nx_note why; /* of the last failure; text "" when all is well */
    struct dev_stats stats;
    uint64_t counters[NX_COUNTERS];
    struct metric *polls_ok, *polls_failed, *polls_skipped, *duration;
    struct nx_dev *prev, *next;           /* in engine.devs */
    struct nx_dev *link_prev, *link_next; /* in link.devs */
    bool has_shared_duration;
    bool is_probe; /* test connection: no polls, no reconnect */
    /* Called for each step of the way to the device; may be NULL. */
    void (*on_step)(void *arg, const char *step, enum nx_err err, uint32_t elapsed_ms, const char *detail);
    void (*on_change)(void *arg, struct nx_dev *dev); /* probe: instead of engine_ops.on_state */
    void *arg;
};

struct governor {
    double tokens;
    uint64_t refilled_ms;
    struct nx_link *head, *tail;
    struct loop_timer timer;
};

struct engine_conf {
    unsigned worker_count, max_retries, connects_per_second;
    uint32_t backoff_min_ms, backoff_max_ms;
    uint32_t recorder_bytes; /* of each connection; 0: off */
};

struct engine {
    struct loop *loop;
    struct engine_conf conf;
    struct engine_ops ops;
    void *arg;
    struct nx_dev *devs;
    struct nx_link *links; /* by key */
    unsigned dev_count, polls_in_flight;
    uint64_t rng;
    bool is_paused, is_stopping, is_idle_told;
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

/* Makes a device and takes the reference; it connects after a jitter, or joins the connection that is there. */
struct nx_dev *dev_start(struct engine *e, struct device **conf);
/* A device that only connects: for test connection. Begins at once. */
struct nx_dev *dev_probe(struct engine *e, struct device **conf,
                         void (*on_step)(void *, const char *, enum nx_err, uint32_t, const char *),
                         void (*on_change)(void *, struct nx_dev *), void *arg);
/* Ends it: polls are cancelled, then it is freed; a connection that nobody uses any more is closed. It must not be used
 * any more. Its slots are silent from now on and their texts must not be needed any more. */
void dev_retire(struct nx_dev **dev);
/* Can it be asked now? Its link is up, or asleep and will wake. */
bool dev_is_ready(const struct nx_dev *dev);
bool dev_is_online(const struct nx_dev *dev);
/* online, offline, connecting, error: the word of status messages. */
const char *dev_status_word(const struct nx_dev *dev);
struct slot *dev_slot(struct nx_dev *dev, const char *tag_id); /* NULL: none */

/* Starts an operation of a device that is ready; an idle link is opened for it. timeout_ms without any sign of life
 * ends it with NX_E_TIMEOUT, so does ten times that in all; a write ends after timeout_ms in any case. on_done runs
 * once, maybe inside the call. */
void dev_read_start(struct nx_dev *dev, struct dev_read *r, uint64_t timeout_ms);
void dev_write_start(struct nx_dev *dev, struct dev_write *w, uint64_t timeout_ms);
void dev_browse_start(struct nx_dev *dev, struct dev_browse *b, uint64_t timeout_ms);
void dev_op_cancel(struct nx_dev *dev, struct host_op *op, enum nx_err err);
void dev_read_fini(struct dev_read *r); /* frees the plan */

const char *conn_state_name(enum conn_state s);
/* What devices on one connection have in common, as one text; free() it. Holds secrets. */
char *conn_key(const struct device *conf);
/* Gives the link up now and connects again after the back-off. */
void conn_drop(struct nx_link *link, enum nx_err err, const char *text);

/* --- between the files of the engine --- */
void engine_check_idle(struct engine *e);
/* The connection for a device, which joins it; made when there is none. Then: the device is ready to use it. */
void conn_join(struct nx_dev *dev);
void conn_begin(struct nx_dev *dev);
/* The device leaves; a connection without devices is closed at the end of the turn. */
void conn_leave(struct nx_dev *dev);
void conn_wake(struct nx_link *link); /* connects when it is asleep */
void conn_opening_done(struct nx_link *link);
void conn_lost(struct nx_link *link, enum nx_err err, const struct nx_note *why);
void conn_closed(struct nx_link *link);
void conn_open_now(struct nx_link *link);
/* Every answer and value of the device is news for its link too. */
void conn_alive(struct nx_link *link);

void dev_link_up(struct nx_dev *dev);
void dev_link_down(struct nx_dev *dev, enum nx_err err);
void dev_tell(struct nx_dev *dev); /* its state or health has changed */
void dev_tell_later(void *dev);

void ops_link_up(struct nx_link *link);
void ops_link_down(struct nx_link *link, enum nx_err err, const struct nx_note *why); /* ends what waits */
void ops_cancel(struct nx_dev *dev, enum nx_err err);

void governor_ask(struct engine *e, struct nx_link *link); /* conn_open_now() follows */
void governor_forget(struct engine *e, struct nx_link *link);

void lists_make(struct nx_dev *dev);
void lists_free(struct nx_dev *dev);
void lists_forget_plans(struct nx_dev *dev);

void sched_link_up(struct nx_dev *dev);
/* All tags of the device become bad. */
void sched_link_down(struct nx_dev *dev, enum nx_err err, const char *reason);
void sched_poll_done(void *arg, enum nx_err err, const struct nx_note *why);
void sched_item(void *arg, uint32_t i, const struct sample *s);

#endif
