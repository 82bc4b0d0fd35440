/* loop_priv.h -- what the real loop (loop.c, stream.c) and the fake one (fake.c) share. Only for src/loop. */
#ifndef LOOP_LOOP_PRIV_H
#define LOOP_LOOP_PRIV_H

#include "loop/loop.h"
#include "loop/wheel.h"

#include <pthread.h>

struct loop_call {
    loop_cb *cb;
    void *arg;
};

/* A growing queue of calls; run in order, those added meanwhile run in the next round. */
struct loop_calls {
    struct loop_call *items;
    size_t count, cap;
};

struct loop_impl {
    void (*free)(struct loop *loop);
    void (*run)(struct loop *loop);
    void (*stop)(struct loop *loop);
    uint64_t (*now_ms)(struct loop *loop);
    uint64_t (*now_ns)(struct loop *loop);
    int64_t (*wall_us)(struct loop *loop);
    void (*wake)(struct loop *loop); /* any thread */
    void (*work)(struct loop *loop, loop_cb *work, loop_cb *done, void *arg);
    void (*on_signal)(struct loop *loop, int signum, loop_cb *cb, void *arg);
    struct stream *(*stream_open)(struct loop *loop, const struct stream_conf *conf, const struct stream_ops *ops,
                                  void *arg);
    struct stream *(*serial_open)(struct loop *loop, const struct serial_conf *conf, const struct stream_ops *ops,
                                  void *arg);
};

struct loop {
    const struct loop_impl *impl;
    struct wheel wheel;
    struct loop_calls deferred; /* loop thread */
    pthread_mutex_t lock;       /* of posted */
    struct loop_calls posted;
};

void loop_common_init(struct loop *loop, const struct loop_impl *impl, uint64_t now_ms);
void loop_common_fini(struct loop *loop);
/* One round of deferred calls; false when there were none. */
bool loop_run_deferred(struct loop *loop);
/* One round of posted calls; false when there were none. */
bool loop_run_posted(struct loop *loop);

struct stream_impl {
    enum nx_err (*write2)(struct stream *st, struct slice a, struct slice b);
    size_t (*pending)(const struct stream *st);
    void (*pause)(struct stream *st, bool is_paused);
    void (*close)(struct stream *st, bool flush);
};

/* First member of every kind of stream. */
struct stream {
    const struct stream_impl *impl;
    struct loop *loop;
    struct stream_ops ops;
    void *arg;
};

struct stream *stream_tcp_open(struct loop *loop, const struct stream_conf *conf, const struct stream_ops *ops,
                               void *arg);
struct stream *stream_serial_open(struct loop *loop, const struct serial_conf *conf, const struct stream_ops *ops,
                                  void *arg);

#endif
