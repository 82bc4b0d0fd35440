#include "fake_host.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/wbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

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
    struct nx_dev *dev;
    const struct nx_stream_ops *ops;
    void *arg;
    bool is_open, is_down;
    struct wbuf out;
};

struct nx_timer {
    struct nx_timer *prev, *next;
    struct nx_dev *dev;
    nx_timer_cb *cb;
    void *arg;
    bool is_running;
    uint64_t due_ms;
};

enum life { LIFE_CLOSED, LIFE_OPENING, LIFE_UP, LIFE_DOWN, LIFE_CLOSING };

/* fake_host and nx_dev are the same thing under two names. */
struct nx_dev {
    const struct nx_driver *driver;
    struct nx_settings settings;
    void *state;
    enum life life;
    uint64_t now_ms;
    unsigned ups, downs, closeds;
    enum nx_err down_err;
    struct nx_stream *streams;
    struct nx_timer *timers;
    struct request *requests;
    struct arena arena;
    uint64_t counters[NX_COUNTERS];
};
struct fake_host {
    struct nx_dev dev;
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

static struct request *
request_of(struct nx_op *op)
{
    return MEM_CONTAINER(op, struct request, op);
}

/* --- for the test --- */

struct fake_host *
fake_host_new(const struct nx_driver *driver, const char *const *pairs)
{
    struct fake_host *h = mem_alloc(sizeof *h);

    h->dev.driver = driver;
    h->dev.settings = (struct nx_settings){driver->params, pairs};
    h->dev.state = mem_alloc(driver->dev_size);
    return h;
}

void
fake_host_free(struct fake_host **hp)
{
    struct nx_dev *dev = &(*hp)->dev;
    struct request *rq, *tmp;

    fake_host_close(*hp);
    MUST(!dev->streams && !dev->timers);
    DL_FOREACH_SAFE (dev->requests, rq, tmp) {
        MUST(rq->result.is_done);
        arena_free(&rq->plan);
        free(rq->result.items);
        free(rq);
    }
    arena_free(&dev->arena);
    free(dev->state);
    free(*hp);
    *hp = NULL;
}

enum nx_err
fake_host_open(struct fake_host *h)
{
    struct nx_note why = {0};
    enum nx_err err;

    MUST(h->dev.life == LIFE_CLOSED);
    h->dev.life = LIFE_OPENING;
    err = h->dev.driver->open(&h->dev, &h->dev.settings, &why);
    if (err != NX_OK) {
        MUST(why.text[0] != '\0');
        h->dev.life = LIFE_CLOSED;
    }
    return err;
}

void
fake_host_close(struct fake_host *h)
{
    unsigned before = h->dev.closeds;
    struct request *rq;

    if (h->dev.life == LIFE_CLOSED)
        return;
    h->dev.life = LIFE_CLOSING;
    h->dev.driver->close(&h->dev);
    MUST(h->dev.closeds == before + 1);
    DL_FOREACH (h->dev.requests, rq)
        MUST(rq->result.is_done);
    h->dev.driver->close(&h->dev); /* idempotent */
    MUST(h->dev.closeds == before + 1);
}

const void *
fake_host_addr(struct fake_host *h, const struct nx_addr_spec *spec)
{
    void *addr = arena_alloc(&h->dev.arena, h->dev.driver->addr_size);
    char canonical[128];
    struct nx_note why = {0};

    if (h->dev.driver->addr_parse(spec, addr, canonical, sizeof canonical, &why) != NX_OK) {
        fprintf(stderr, "address %s: %s\n", spec->address, why.text);
        abort();
    }
    return addr;
}

void
fake_host_accept(struct fake_host *h)
{
    struct nx_stream *st = h->dev.streams;

    if (!st || st->is_open || st->is_down)
        return;
    st->is_open = true;
    st->ops->on_open(st->arg);
}

void
fake_host_feed(struct fake_host *h, struct slice data)
{
    struct nx_stream *st = h->dev.streams;
    uint8_t *copy;

    if (!st || !st->is_open || st->is_down || data.len == 0)
        return;
    copy = (uint8_t *)mem_strndup(data.p, data.len); /* borrowed for the call only: a kept pointer shows up in ASan */
    st->ops->on_data(st->arg, copy, data.len);
    free(copy);
}

void
fake_host_hang_up(struct fake_host *h, enum nx_err err)
{
    struct nx_stream *st = h->dev.streams;
    struct nx_note why;

    if (!st || st->is_down)
        return;
    st->is_down = true;
    nx_fail(&why, err, "%s", nx_err_text(err));
    st->ops->on_down(st->arg, err, &why);
}

struct slice
fake_host_written(const struct fake_host *h)
{
    return h->dev.streams ? slice(h->dev.streams->out.p, h->dev.streams->out.len) : slice(NULL, 0);
}

void
fake_host_take(struct fake_host *h, size_t n)
{
    struct wbuf *out;

    if (!h->dev.streams || n == 0)
        return;
    out = &h->dev.streams->out;
    MUST(n <= out->len);
    memmove(out->p, out->p + n, out->len - n);
    out->len -= n;
}

static struct nx_timer *
next_due(struct fake_host *h, uint64_t until_ms)
{
    struct nx_timer *t, *best = NULL;

    DL_FOREACH (h->dev.timers, t)
        if (t->is_running && t->due_ms <= until_ms && (!best || t->due_ms < best->due_ms))
            best = t;
    return best;
}

void
fake_host_advance_ms(struct fake_host *h, uint64_t ms)
{
    uint64_t until = h->dev.now_ms + ms;
    struct nx_timer *t;

    while ((t = next_due(h, until)) != NULL) {
        if (t->due_ms > h->dev.now_ms)
            h->dev.now_ms = t->due_ms;
        t->is_running = false;
        t->cb(t->arg);
    }
    h->dev.now_ms = until;
}

static struct request *
request_new(struct fake_host *h, enum nx_op_kind kind, uint32_t items)
{
    struct request *rq = mem_alloc(sizeof *rq);

    rq->result.host = h;
    rq->result.item_count = items;
    rq->result.items = mem_calloc(items ? items : 1, sizeof *rq->result.items);
    rq->op.kind = kind;
    rq->op.dev = &h->dev;
    DL_APPEND(h->dev.requests, rq);
    return rq;
}

struct fake_op *
fake_host_read(struct fake_host *h, const void *const *addrs, uint32_t n)
{
    struct request *rq = request_new(h, NX_OP_READ, n);
    struct nx_read_item *items = arena_alloc(&h->dev.arena, n * sizeof *items);

    for (uint32_t i = 0; i < n; i++)
        items[i] = (struct nx_read_item){addrs[i], i};
    rq->rd.items = items;
    rq->rd.item_count = n;
    h->dev.driver->read(&h->dev, &rq->rd);
    return &rq->result;
}

void
fake_host_read_again(struct fake_op *op)
{
    struct request *rq = MEM_CONTAINER(op, struct request, result);

    MUST(op->is_done && rq->op.kind == NX_OP_READ);
    memset(op->items, 0, op->item_count * sizeof *op->items);
    op->is_done = false;
    op->err = NX_OK;
    op->why[0] = '\0';
    op->set_count = op->good_count = 0;
    op->host->dev.driver->read(&op->host->dev, &rq->rd);
}

struct fake_op *
fake_host_write(struct fake_host *h, const void *addr, struct nx_value value)
{
    struct request *rq = request_new(h, NX_OP_WRITE, 0);

    rq->wr.addr = addr;
    rq->wr.value = value;
    h->dev.driver->write(&h->dev, &rq->wr);
    return &rq->result;
}

void
fake_host_cancel(struct fake_op *op, enum nx_err err)
{
    struct request *rq = MEM_CONTAINER(op, struct request, result);

    if (op->is_done)
        return;
    op->host->dev.driver->cancel(&op->host->dev, &rq->op, err);
    MUST(op->is_done && op->err == err);
}

unsigned
fake_host_ups(const struct fake_host *h)
{
    return h->dev.ups;
}

unsigned
fake_host_downs(const struct fake_host *h)
{
    return h->dev.downs;
}

unsigned
fake_host_closeds(const struct fake_host *h)
{
    return h->dev.closeds;
}

enum nx_err
fake_host_down_err(const struct fake_host *h)
{
    return h->dev.down_err;
}

bool
fake_host_is_up(const struct fake_host *h)
{
    return h->dev.life == LIFE_UP;
}

uint64_t
fake_host_counter(const struct fake_host *h, enum nx_counter counter)
{
    return h->dev.counters[counter];
}

/* --- for the driver: driver.h --- */

void *
nx_dev_state(struct nx_dev *dev)
{
    return dev->state;
}

uint64_t
nx_now_ms(struct nx_dev *dev)
{
    return dev->now_ms;
}

void
nx_link_up(struct nx_dev *dev)
{
    MUST(dev->life == LIFE_OPENING);
    dev->life = LIFE_UP;
    dev->ups++;
}

void
nx_link_down(struct nx_dev *dev, enum nx_err err, const struct nx_note *why)
{
    (void)why;
    MUST(dev->life == LIFE_OPENING || dev->life == LIFE_UP);
    MUST(err != NX_OK);
    dev->life = LIFE_DOWN;
    dev->downs++;
    dev->down_err = err;
}

void
nx_closed(struct nx_dev *dev)
{
    MUST(dev->life == LIFE_CLOSING);
    MUST(!dev->streams && !dev->timers);
    dev->life = LIFE_CLOSED;
    dev->closeds++;
}

void *
nx_read_alloc(struct nx_read *rd, size_t size)
{
    return arena_alloc(&request_of(&rd->op)->plan, size);
}

void
nx_read_reset(struct nx_read *rd)
{
    arena_free(&request_of(&rd->op)->plan);
    rd->plan = NULL;
}

static struct fake_item *
set_item(struct nx_read *rd, uint32_t i)
{
    struct fake_op *op = &request_of(&rd->op)->result;

    MUST(!op->is_done && i < op->item_count && !op->items[i].is_set);
    op->items[i].is_set = true;
    op->set_count++;
    return &op->items[i];
}

void
nx_read_value(struct nx_read *rd, uint32_t i, const struct nx_value *value, uint16_t quality, int64_t source_us)
{
    struct fake_item *item = set_item(rd, i);

    (void)source_us;
    item->quality = quality;
    item->value = *value;
    MUST(value->type != NX_TYPE_DOUBLE || value->d - value->d == 0); /* finite */
    if (value->type == NX_TYPE_STRING) {
        MUST(value->len < sizeof item->text);
        memcpy(item->text, value->s, value->len);
        item->value.s = item->text;
    }
    if (nx_quality_is_good(quality))
        request_of(&rd->op)->result.good_count++;
}

void
nx_read_failed(struct nx_read *rd, uint32_t i, enum nx_err err, const struct nx_note *why)
{
    struct fake_item *item = set_item(rd, i);

    MUST(err != NX_OK);
    item->err = err;
    if (why)
        snprintf(item->why, sizeof item->why, "%.*s", (int)sizeof item->why - 1, why->text);
}

void
nx_browse_node(struct nx_op *op, const char *path, enum nx_data_type type, const char *description)
{
    (void)type;
    (void)description;
    MUST(op->kind == NX_OP_BROWSE && path);
}

void
nx_op_done(struct nx_op *op, enum nx_err err, const struct nx_note *why)
{
    struct fake_op *result = &request_of(op)->result;

    MUST(!result->is_done);
    result->is_done = true;
    result->err = err;
    if (why)
        memcpy(result->why, why->text, sizeof result->why);
}

struct nx_stream *
nx_stream_tcp(struct nx_dev *dev, const char *host, uint16_t port, const struct nx_stream_ops *ops, void *arg)
{
    struct nx_stream *st = mem_alloc(sizeof *st);

    MUST(host && port);
    st->dev = dev;
    st->ops = ops;
    st->arg = arg;
    st->out = wbuf_init(256 * 1024);
    DL_PREPEND(dev->streams, st);
    return st;
}

enum nx_err
nx_stream_write(struct nx_stream *st, const uint8_t *p, size_t len)
{
    if (st->out.len + len > 256 * 1024)
        return NX_E_FULL;
    wbuf_bytes(&st->out, p, len);
    return NX_OK;
}

void
nx_stream_close(struct nx_stream **st)
{
    DL_DELETE((*st)->dev->streams, *st);
    wbuf_free(&(*st)->out);
    free(*st);
    *st = NULL;
}

struct nx_timer *
nx_timer_new(struct nx_dev *dev, nx_timer_cb *cb, void *arg)
{
    struct nx_timer *t = mem_alloc(sizeof *t);

    t->dev = dev;
    t->cb = cb;
    t->arg = arg;
    DL_APPEND(dev->timers, t);
    return t;
}

void
nx_timer_start(struct nx_timer *t, uint64_t delay_ms)
{
    t->is_running = true;
    t->due_ms = t->dev->now_ms + delay_ms;
}

void
nx_timer_stop(struct nx_timer *t)
{
    t->is_running = false;
}

void
nx_timer_free(struct nx_timer **t)
{
    DL_DELETE((*t)->dev->timers, *t);
    free(*t);
    *t = NULL;
}

void
nx_log(struct nx_dev *dev, enum nx_log_level level, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    (void)dev;
    (void)level;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap); /* formats, so that wrong arguments show up */
    va_end(ap);
}

void
nx_count(struct nx_dev *dev, enum nx_counter counter, uint64_t add)
{
    MUST(counter < NX_COUNTERS);
    dev->counters[counter] += add;
}
