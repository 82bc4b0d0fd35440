/* registry.h -- which devices this gateway has: from devices.yaml and from the core, applied by difference.
 *
 * A device whose definition did not change is left alone: its polls keep their phase. A definition that is wrong is
 * refused and remembered with its reason; the device that ran before goes on. A device of the core replaces one of the
 * file with the same id. One loop thread. */
#ifndef GATEWAY_REGISTRY_H
#define GATEWAY_REGISTRY_H

#include "gateway/engine.h"

#include <uthash.h>

enum registry_source { REGISTRY_FILE, REGISTRY_CORE };

struct registry_entry {
    char *id;
    struct nx_dev *dev;  /* NULL: disabled or refused */
    struct device *conf; /* NULL: refused, nothing ran before */
    char *refused;       /* reason of the newest definition; NULL: it is good */
    enum registry_source source;
    uint64_t version;
    bool is_marked;
    unsigned place;     /* the shard it runs in; 0: here, or nowhere */
    bool is_status_due; /* in status.c's list of unsaid news */
    struct registry_entry *due_prev, *due_next;
    UT_hash_handle hh;
};

struct registry_ops {
    /* Before a device ends: let go of its slots. */
    void (*on_leave)(void *arg, struct nx_dev *dev);
    /* New, changed, refused. */
    void (*on_change)(void *arg, struct registry_entry *e);
    /* is_moved: only from here, it goes on in another shard. */
    void (*on_removed)(void *arg, struct registry_entry *e, bool is_moved);
    /* Is it this gateway's (assign.h)? NULL: every one is. */
    bool (*takes)(void *arg, const struct device *d);
    /* Several threads (shards.h). All NULL: every device runs here. */
    unsigned (*place)(void *arg, const struct device *d);
    void (*put)(void *arg, unsigned place, const struct device *d);
    void (*refuse)(void *arg, unsigned place, const char *id, const char *reason);
    void (*remove)(void *arg, unsigned place, const char *id, bool is_moved);
};

struct registry {
    struct engine *engine;
    struct device_options opt;
    struct registry_ops ops;
    void *arg;
    struct registry_entry *entries;
    struct log_ctx log;
    struct reading *reading; /* a file, on the pool; NULL: none */
    uint64_t started, untouched;
};

void registry_init(struct registry *r, struct engine *engine, const struct device_options *opt,
                   const struct registry_ops *ops, void *arg);
void registry_fini(struct registry *r);

/* Devices that do not run in another shard. */
unsigned registry_count_here(const struct registry *r);
struct registry_entry *registry_find(struct registry *r, const char *id); /* NULL: not ours */
/* Takes the device; no change when it says the same as before. */
void registry_put(struct registry *r, enum registry_source source, struct device **d);
void registry_refuse(struct registry *r, enum registry_source source, const char *id, const char *reason);
void registry_remove(struct registry *r, const char *id);
/* The same, but the device goes on in another shard. */
void registry_forget(struct registry *r, const char *id);

/* Asks again where the device belongs (registry_ops.place), and starts it there when that has changed. */
void registry_move(struct registry *r, const char *id);

/* Everything of a source: begin, puts and refusals, end (what was not named is removed). */
void registry_begin(struct registry *r, enum registry_source source);
void registry_end(struct registry *r, enum registry_source source);

/* devices.yaml. A file that cannot be read changes nothing. */
NX_MUST_CHECK enum nx_err registry_load_file(struct registry *r, const char *path, struct nx_note *why);
/* Can it be read as a whole? Changes nothing. */
NX_MUST_CHECK enum nx_err registry_check_file(struct registry *r, const char *path, struct nx_note *why);
/* The same as registry_load_file(), read on the worker pool while polls go on; done runs when it is applied. False: one
 * is being read already.
 */
bool registry_reload_file(struct registry *r, const char *path,
                          void (*done)(void *arg, enum nx_err err, const struct nx_note *why), void *arg);

#endif
