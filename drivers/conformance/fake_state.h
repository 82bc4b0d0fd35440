/* fake_state.h -- what fake_host.c (the test's side) and fake_calls.c (the driver's side) share. */
#ifndef CONFORMANCE_FAKE_STATE_H
#define CONFORMANCE_FAKE_STATE_H

#include "base/arena.h"
#include "base/wbuf.h"
#include "fake_host.h"

#include <stdio.h>
#include <stdlib.h>

/* Checks of the contract stay on in every build type. */
#define MUST(cond)                                                                                                     \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(stderr, "driver contract broken: %s (%s:%d)\n", #cond, __FILE__, __LINE__);                        \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

struct nx_stream {
    struct nx_stream *prev, *next;
    struct nx_link *link;
    const struct nx_stream_ops *ops;
    void *arg;
    bool is_open, is_down;
    struct wbuf out;
};

struct nx_timer {
    struct nx_timer *prev, *next;
    struct nx_link *link;
    nx_timer_cb *cb;
    void *arg;
    bool is_running;
    uint64_t due_ms;
};

enum life { LIFE_CLOSED, LIFE_OPENING, LIFE_UP, LIFE_DOWN, LIFE_CLOSING };

struct nx_dev {
    struct nx_dev *prev, *next;
    struct nx_link *link;
    struct nx_settings settings;
    void *state;
    bool is_attached;
    char *learned; /* NULL: nothing */
    struct arena memory;
    uint64_t counters[NX_COUNTERS];
};

struct nx_link {
    const struct nx_driver *driver;
    void *state;
    enum life life;
    uint64_t now_ms;
    unsigned ups, downs, closeds, priority;
    enum nx_err down_err;
    struct nx_dev *devs;
    struct nx_stream *streams;
    struct nx_timer *timers;
    struct request *requests;
    struct arena arena;
    bool has_serial;
    struct nx_serial serial; /* of the last nx_stream_serial() */
    uint64_t counters[NX_COUNTERS];
};

/* fake_host and nx_link are the same thing under two names. */
struct fake_host {
    struct nx_link link;
};

/* An operation with what the driver sees of it. */
struct request {
    struct request *prev, *next;
    struct fake_op result;
    union {
        struct nx_read rd;
        struct nx_write wr;
        struct nx_op op;
    };
    struct arena plan;
};

/* The requests that explain() has told so far. */
struct nx_plan {
    struct fake_plan *result;
    struct arena *memory;
    uint32_t item_count;
};

#endif
