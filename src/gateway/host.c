/* host.c -- what a driver may call (include/nexus/driver.h), on the real loop. */
#include "base/mem.h"
#include "gateway/engine.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#define STREAM_WRITE_CAP (256u << 10)
/* An operation that gets bytes but no end is given up after this many timeouts. */
#define PATIENCE 10

void *
nx_dev_state(struct nx_dev *dev)
{
    return dev->driver_state;
}

uint64_t
nx_now_ms(struct nx_dev *dev)
{
    return loop_now_ms(dev->engine->loop);
}

void
nx_link_up(struct nx_dev *dev)
{
    dev_opening_done(dev);
}

void
nx_link_down(struct nx_dev *dev, enum nx_err err, const struct nx_note *why)
{
    dev_link_lost(dev, err, why);
}

void
nx_closed(struct nx_dev *dev)
{
    dev_driver_closed(dev);
}

/* --- operations --- */

static struct host_op *
host_op_of(struct nx_op *op)
{
    switch (op->kind) {
    case NX_OP_READ:
        return &((struct dev_read *)(void *)op)->op;
    case NX_OP_WRITE:
        return &((struct dev_write *)(void *)op)->op;
    case NX_OP_BROWSE:
        break;
    }
    return &((struct dev_browse *)(void *)op)->op;
}

void
nx_op_done(struct nx_op *op, enum nx_err err, const struct nx_note *why)
{
    struct host_op *h = host_op_of(op);

    assert(h->op == op);
    loop_timer_stop(&h->deadline);
    DL_DELETE(op->dev->ops, h);
    h->op = NULL;
    h->on_done(h->arg, err, why);
}

void
dev_op_cancel(struct nx_dev *dev, struct host_op *op, enum nx_err err)
{
    if (!op->op)
        return;
    dev->conf->driver->cancel(dev, op->op, err);
    assert(!op->op);
}

void
dev_cancel_all(struct nx_dev *dev, enum nx_err err)
{
    while (dev->ops)
        dev_op_cancel(dev, dev->ops, err);
}

static void
on_deadline(struct loop_timer *t, void *arg)
{
    struct host_op *h = arg;
    struct nx_dev *dev = h->op->dev;
    uint64_t now = loop_now_ms(dev->engine->loop);
    uint64_t quiet_since = dev->heard_ms > h->started_ms ? dev->heard_ms : h->started_ms;

    /* A write has no patience: after its time it must not happen any more. */
    if (h->op->kind != NX_OP_WRITE && now - quiet_since < h->timeout_ms &&
        now - h->started_ms < PATIENCE * h->timeout_ms) {
        loop_timer_start(dev->engine->loop, t, quiet_since + h->timeout_ms - now, 0, on_deadline, h);
        return;
    }
    dev_op_cancel(dev, h, NX_E_TIMEOUT);
}

static void
op_begin(struct nx_dev *dev, struct nx_op *op, struct host_op *h, uint64_t timeout_ms)
{
    assert(dev->state == DEV_UP && !h->op);
    op->dev = dev;
    op->driver_data = NULL;
    h->op = op;
    h->started_ms = loop_now_ms(dev->engine->loop);
    h->timeout_ms = timeout_ms;
    DL_APPEND(dev->ops, h);
    loop_timer_start(dev->engine->loop, &h->deadline, timeout_ms, 0, on_deadline, h);
}

void
dev_read_start(struct nx_dev *dev, struct dev_read *r, uint64_t timeout_ms)
{
    r->rd.op.kind = NX_OP_READ;
    op_begin(dev, &r->rd.op, &r->op, timeout_ms);
    dev->conf->driver->read(dev, &r->rd);
}

void
dev_write_start(struct nx_dev *dev, struct dev_write *w, uint64_t timeout_ms)
{
    w->wr.op.kind = NX_OP_WRITE;
    op_begin(dev, &w->wr.op, &w->op, timeout_ms);
    dev->conf->driver->write(dev, &w->wr);
}

void
dev_browse_start(struct nx_dev *dev, struct dev_browse *b, uint64_t timeout_ms)
{
    b->nx.kind = NX_OP_BROWSE;
    op_begin(dev, &b->nx, &b->op, timeout_ms);
    dev->conf->driver->browse(dev, &b->nx);
}

void
nx_browse_node(struct nx_op *op, const char *path, enum nx_data_type type, const char *description)
{
    struct dev_browse *b = (struct dev_browse *)(void *)op;

    b->on_node(b->op.arg, path, type, description);
}

void *
nx_read_alloc(struct nx_read *rd, size_t size)
{
    return arena_alloc(&((struct dev_read *)(void *)rd)->plan, size);
}

void
nx_read_reset(struct nx_read *rd)
{
    dev_read_fini((struct dev_read *)(void *)rd);
}

void
dev_read_fini(struct dev_read *r)
{
    arena_free(&r->plan);
    r->rd.plan = NULL;
}

void
nx_read_value(struct nx_read *rd, uint32_t i, const struct nx_value *value, uint16_t quality, int64_t source_us)
{
    struct dev_read *r = (struct dev_read *)(void *)rd;
    struct sample s = {.value = *value, .quality = quality, .source_us = source_us};

    assert(i < rd->item_count);
    r->on_item(r->op.arg, i, &s);
}

void
nx_read_failed(struct nx_read *rd, uint32_t i, enum nx_err err, const struct nx_note *why)
{
    struct dev_read *r = (struct dev_read *)(void *)rd;
    struct sample s = {.quality = quality_from_err(err), .reason = why ? why->text : nx_err_text(err)};

    assert(i < rd->item_count);
    r->on_item(r->op.arg, i, &s);
}

/* --- streams --- */

struct nx_stream {
    struct nx_dev *dev;
    struct stream *st;
    const struct nx_stream_ops *ops;
    void *arg;
};

static void
on_stream_open(void *arg)
{
    struct nx_stream *s = arg;

    s->dev->heard_ms = loop_now_ms(s->dev->engine->loop);
    s->ops->on_open(s->arg);
}

static void
on_stream_data(void *arg, struct slice data)
{
    struct nx_stream *s = arg;

    s->dev->heard_ms = loop_now_ms(s->dev->engine->loop);
    s->ops->on_data(s->arg, data.p, data.len);
}

static void
on_stream_down(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct nx_stream *s = arg;

    s->ops->on_down(s->arg, err, why);
}

static void
on_stream_step(void *arg, const char *step, enum nx_err err, uint32_t elapsed_ms, const char *detail)
{
    struct nx_stream *s = arg;

    if (s->dev->on_step)
        s->dev->on_step(s->dev->arg, step, err, elapsed_ms, detail);
}

static const struct stream_ops stream_ops = {.on_open = on_stream_open,
                                             .on_data = on_stream_data,
                                             .on_down = on_stream_down};

struct nx_stream *
nx_stream_tcp(struct nx_dev *dev, const char *host, uint16_t port, const struct nx_stream_ops *ops, void *arg)
{
    struct nx_stream *s = mem_alloc(sizeof *s);
    struct stream_conf conf = {.host = host,
                               .port = port,
                               .connect_timeout_ms = (uint32_t)dev->conf->timeout_ms,
                               .write_cap_bytes = STREAM_WRITE_CAP,
                               .on_step = on_stream_step};

    *s = (struct nx_stream){.dev = dev, .ops = ops, .arg = arg};
    s->st = stream_open(dev->engine->loop, &conf, &stream_ops, s);
    return s;
}

enum nx_err
nx_stream_write(struct nx_stream *st, const uint8_t *p, size_t len)
{
    return stream_write(st->st, slice(p, len));
}

void
nx_stream_close(struct nx_stream **st)
{
    if (!*st)
        return;
    stream_close(&(*st)->st, false);
    loop_defer((*st)->dev->engine->loop, free, *st);
    *st = NULL;
}

/* --- timers --- */

struct nx_timer {
    struct loop_timer t;
    struct loop *loop;
    nx_timer_cb *cb;
    void *arg;
};

static void
on_nx_timer(struct loop_timer *lt, void *arg)
{
    struct nx_timer *t = arg;

    (void)lt;
    t->cb(t->arg);
}

struct nx_timer *
nx_timer_new(struct nx_dev *dev, nx_timer_cb *cb, void *arg)
{
    struct nx_timer *t = mem_alloc(sizeof *t);

    t->loop = dev->engine->loop;
    t->cb = cb;
    t->arg = arg;
    return t;
}

void
nx_timer_start(struct nx_timer *t, uint64_t delay_ms)
{
    loop_timer_start(t->loop, &t->t, delay_ms, 0, on_nx_timer, t);
}

void
nx_timer_stop(struct nx_timer *t)
{
    loop_timer_stop(&t->t);
}

void
nx_timer_free(struct nx_timer **t)
{
    if (!*t)
        return;
    loop_timer_stop(&(*t)->t);
    loop_defer((*t)->loop, free, *t);
    *t = NULL;
}

/* --- log and counters --- */

void
nx_log(struct nx_dev *dev, enum nx_log_level level, const char *fmt, ...)
{
    char text[320];
    va_list ap;

    if (!log_is_on(level))
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    LOG_AT(level, &dev->log, "driver", KV_STR("detail", text));
}

void
nx_count(struct nx_dev *dev, enum nx_counter counter, uint64_t add)
{
    dev->counters[counter] += add;
}
