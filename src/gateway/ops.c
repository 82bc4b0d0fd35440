/* ops.c -- operations: from the engine to the driver and back, each with one end and a deadline. */
#include "gateway/engine.h"

#include <assert.h>
#include <utlist.h>

/* An operation that gets bytes but no end is given up after this many timeouts. */
#define PATIENCE 10

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

static void
take_out(struct host_op *h)
{
    assert(h->op); /* what is in a list is open */
    struct nx_link *link = h->op->dev->link;

    loop_timer_stop(&h->deadline);
    if (h->is_waiting)
        DL_DELETE(link->waiting, h);
    else
        DL_DELETE(link->ops, h);
    link->used_ms = loop_now_ms(link->engine->loop);
}

static void
end_op(struct host_op *h, enum nx_err err, const struct nx_note *why)
{
    take_out(h);
    h->op = NULL;
    h->on_done(h->arg, err, why);
}

void
nx_op_done(struct nx_op *op, enum nx_err err, const struct nx_note *why)
{
    struct host_op *h = host_op_of(op);

    assert(h->op == op && !h->is_waiting);
    end_op(h, err, why);
}

void
dev_op_cancel(struct nx_dev *dev, struct host_op *op, enum nx_err err)
{
    if (!op->op)
        return;
    if (op->is_waiting)
        end_op(op, err, NULL);
    else
        dev->conf->driver->cancel(dev, op->op, err);
    assert(!op->op);
}

/* Ends of operations may begin others: look from the start each time. */
static struct host_op *
first_of(struct host_op *list, const struct nx_dev *dev)
{
    for (; list; list = list->next) {
        assert(list->op); /* what is in a list is open */
        if (list->op->dev == dev)
            break;
    }
    return list;
}

void
ops_cancel(struct nx_dev *dev, enum nx_err err)
{
    struct host_op *h;

    if (!dev->link)
        return;
    while ((h = first_of(dev->link->waiting, dev)) != NULL || (h = first_of(dev->link->ops, dev)) != NULL)
        dev_op_cancel(dev, h, err);
}

/* --- deadlines --- */

static void
on_deadline(struct loop_timer *t, void *arg)
{
    struct host_op *h = arg;
    struct nx_dev *dev = h->op->dev;
    uint64_t now = loop_now_ms(dev->engine->loop);

    /* A write has no patience: after its time it must not happen any more. */
    if (h->op->kind != NX_OP_WRITE && now - h->alive_ms < h->timeout_ms &&
        now - h->begun_ms < PATIENCE * h->timeout_ms) {
        loop_timer_start(dev->engine->loop, t, h->alive_ms + h->timeout_ms - now, 0, on_deadline, h);
        return;
    }
    dev_op_cancel(dev, h, NX_E_TIMEOUT);
}

static void
start_deadline(struct host_op *h)
{
    struct loop *loop = h->op->dev->engine->loop;

    if (!loop_timer_is_running(&h->deadline))
        loop_timer_start(loop, &h->deadline, h->timeout_ms, 0, on_deadline, h);
}

void
nx_op_alive(struct nx_op *op)
{
    struct host_op *h = host_op_of(op);

    h->alive_ms = loop_now_ms(op->dev->engine->loop);
    if (h->begun_ms == 0)
        h->begun_ms = h->alive_ms;
    start_deadline(h);
}

void
nx_op_rests(struct nx_op *op)
{
    struct host_op *h = host_op_of(op);

    if (op->kind != NX_OP_WRITE)
        loop_timer_stop(&h->deadline);
}

/* --- beginnings --- */

static void
hand_over(struct host_op *h)
{
    struct nx_op *op = h->op;
    struct nx_dev *dev = op->dev;

    h->is_waiting = false;
    DL_APPEND(dev->link->ops, h);
    switch (op->kind) {
    case NX_OP_READ:
        dev->conf->driver->read(dev, (struct nx_read *)(void *)op);
        return;
    case NX_OP_WRITE:
        dev->conf->driver->write(dev, (struct nx_write *)(void *)op);
        return;
    case NX_OP_BROWSE:
        dev->conf->driver->browse(dev, op);
        return;
    }
}

static void
begin(struct nx_dev *dev, struct nx_op *op, struct host_op *h, uint64_t timeout_ms)
{
    assert(dev_is_ready(dev) && !h->op);
    op->dev = dev;
    op->driver_data = NULL;
    h->op = op;
    h->begun_ms = 0;
    h->timeout_ms = timeout_ms;
    if (op->kind == NX_OP_WRITE)
        start_deadline(h);
    if (dev->link->state == CONN_UP) {
        hand_over(h);
        return;
    }
    h->is_waiting = true;
    DL_APPEND(dev->link->waiting, h);
    conn_wake(dev->link);
}

void
ops_link_up(struct nx_link *link)
{
    while (link->state == CONN_UP && link->waiting) {
        struct host_op *h = link->waiting;

        DL_DELETE(link->waiting, h);
        hand_over(h);
    }
}

void
ops_link_down(struct nx_link *link, enum nx_err err, const struct nx_note *why)
{
    while (link->waiting)
        end_op(link->waiting, err, why);
}

void
dev_read_start(struct nx_dev *dev, struct dev_read *r, uint64_t timeout_ms)
{
    r->rd.op.kind = NX_OP_READ;
    begin(dev, &r->rd.op, &r->op, timeout_ms);
}

void
dev_write_start(struct nx_dev *dev, struct dev_write *w, uint64_t timeout_ms)
{
    w->wr.op.kind = NX_OP_WRITE;
    begin(dev, &w->wr.op, &w->op, timeout_ms);
}

void
dev_browse_start(struct nx_dev *dev, struct dev_browse *b, uint64_t timeout_ms)
{
    b->nx.kind = NX_OP_BROWSE;
    begin(dev, &b->nx, &b->op, timeout_ms);
}

/* --- results --- */

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
