/* common.c -- the part of the loop that does not know what time it is: timers, deferred and posted calls, dispatch. */
#include "base/mem.h"
#include "loop/loop_priv.h"

#include <stdlib.h>

static void
calls_add(struct loop_calls *q, loop_cb *cb, void *arg)
{
    if (q->count == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 16;
        q->items = mem_realloc(q->items, q->cap * sizeof q->items[0]);
    }
    q->items[q->count++] = (struct loop_call){cb, arg};
}

static void
calls_run(struct loop_calls *round)
{
    for (size_t i = 0; i < round->count; i++)
        round->items[i].cb(round->items[i].arg);
    free(round->items);
}

void
loop_common_init(struct loop *loop, const struct loop_impl *impl, uint64_t now_ms)
{
    loop->impl = impl;
    wheel_init(&loop->wheel, now_ms);
    pthread_mutex_init(&loop->lock, NULL);
}

void
loop_common_fini(struct loop *loop)
{
    pthread_mutex_destroy(&loop->lock);
    free(loop->deferred.items);
    free(loop->posted.items);
}

bool
loop_run_deferred(struct loop *loop)
{
    struct loop_calls round = loop->deferred;

    if (round.count == 0)
        return false;
    loop->deferred = (struct loop_calls){0};
    calls_run(&round);
    return true;
}

bool
loop_run_posted(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct loop_calls round = loop->posted;
    loop->posted = (struct loop_calls){0};
    pthread_mutex_unlock(&loop->lock);
    calls_run(&round);
    return round.count > 0;
}

void
loop_free(struct loop **loop)
{
    if (*loop)
        (*loop)->impl->free(*loop);
    *loop = NULL;
}

void
loop_run(struct loop *loop)
{
    loop->impl->run(loop);
}

void
loop_stop(struct loop *loop)
{
    loop->impl->stop(loop);
}

uint64_t
loop_now_ms(struct loop *loop)
{
    return loop->impl->now_ms(loop);
}

uint64_t
loop_now_ns(struct loop *loop)
{
    return loop->impl->now_ns(loop);
}

int64_t
loop_wall_us(struct loop *loop)
{
    return loop->impl->wall_us(loop);
}

void
loop_timer_start(struct loop *loop, struct loop_timer *t, uint64_t delay_ms, uint64_t period_ms, loop_timer_cb *cb,
                 void *arg)
{
    loop_timer_stop(t);
    t->loop = loop;
    t->cb = cb;
    t->arg = arg;
    t->due_ms = loop_now_ms(loop) + delay_ms;
    t->period_ms = period_ms;
    wheel_insert(&loop->wheel, t);
}

void
loop_timer_stop(struct loop_timer *t)
{
    if (t->link)
        wheel_remove(&t->loop->wheel, t);
}

bool
loop_timer_is_running(const struct loop_timer *t)
{
    return t->link != NULL;
}

void
loop_defer(struct loop *loop, loop_cb *cb, void *arg)
{
    calls_add(&loop->deferred, cb, arg);
}

void
loop_post(struct loop *loop, loop_cb *cb, void *arg)
{
    pthread_mutex_lock(&loop->lock);
    calls_add(&loop->posted, cb, arg);
    pthread_mutex_unlock(&loop->lock);
    loop->impl->wake(loop);
}

void
loop_work(struct loop *loop, loop_cb *work, loop_cb *done, void *arg)
{
    loop->impl->work(loop, work, done, arg);
}

void
loop_on_signal(struct loop *loop, int signum, loop_cb *cb, void *arg)
{
    loop->impl->on_signal(loop, signum, cb, arg);
}

struct stream *
stream_open(struct loop *loop, const struct stream_conf *conf, const struct stream_ops *ops, void *arg)
{
    return loop->impl->stream_open(loop, conf, ops, arg);
}

struct stream *
stream_open_serial(struct loop *loop, const struct serial_conf *conf, const struct stream_ops *ops, void *arg)
{
    return loop->impl->serial_open(loop, conf, ops, arg);
}

enum nx_err
stream_write(struct stream *st, struct slice data)
{
    return st->impl->write2(st, data, slice(NULL, 0));
}

enum nx_err
stream_write2(struct stream *st, struct slice a, struct slice b)
{
    return st->impl->write2(st, a, b);
}

size_t
stream_pending(const struct stream *st)
{
    return st->impl->pending(st);
}

void
stream_pause(struct stream *st)
{
    st->impl->pause(st, true);
}

void
stream_resume(struct stream *st)
{
    st->impl->pause(st, false);
}

void
stream_close(struct stream **st, bool flush)
{
    if (*st)
        (*st)->impl->close(*st, flush);
    *st = NULL;
}
