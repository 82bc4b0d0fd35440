/* fake_host.c -- the test's side of the fake host. */
#include "fake_host.h"

#include "base/mem.h"
#include "fake_state.h"

#include <utlist.h>

struct fake_host *
fake_host_new(const struct nx_driver *driver, const char *const *pairs)
{
    struct fake_host *h = mem_alloc(sizeof *h);

    h->link.driver = driver;
    h->link.state = mem_alloc(driver->link_size);
    (void)fake_host_add_dev(h, pairs);
    return h;
}

static void
requests_free(struct nx_link *link)
{
    struct request *rq, *tmp;

    DL_FOREACH_SAFE (link->requests, rq, tmp) {
        MUST(rq->result.is_done);
        arena_free(&rq->plan);
        free(rq->result.items);
        free(rq);
    }
}

static void
devs_free(struct nx_link *link)
{
    struct nx_dev *dev, *tmp;

    DL_FOREACH_SAFE (link->devs, dev, tmp) {
        arena_free(&dev->memory);
        free(dev->learned);
        free(dev->state);
        free(dev);
    }
}

void
fake_host_free(struct fake_host **hp)
{
    struct nx_link *link = &(*hp)->link;

    fake_host_close(*hp);
    MUST(!link->streams && !link->timers);
    requests_free(link);
    devs_free(link);
    arena_free(&link->arena);
    free(link->state);
    free(*hp);
    *hp = NULL;
}

struct nx_dev *
fake_host_dev(struct fake_host *h)
{
    return h->link.devs;
}

struct nx_dev *
fake_host_add_dev(struct fake_host *h, const char *const *pairs)
{
    struct nx_dev *dev = mem_alloc(sizeof *dev);

    dev->link = &h->link;
    dev->settings = (struct nx_settings){h->link.driver->params, pairs};
    dev->state = mem_alloc(h->link.driver->dev_size);
    DL_APPEND(h->link.devs, dev);
    return dev;
}

enum nx_err
fake_host_attach(struct nx_dev *dev)
{
    struct nx_note why = {0};
    char *learned = dev->learned ? mem_strdup(dev->learned) : NULL; /* the driver may call nx_learned() meanwhile */
    enum nx_err err;

    if (dev->is_attached) {
        free(learned);
        return NX_OK;
    }
    err = dev->link->driver->attach(dev, &dev->settings, learned, &why);
    free(learned);
    MUST(err == NX_OK || why.text[0] != '\0');
    dev->is_attached = err == NX_OK;
    return err;
}

const char *
fake_host_learned(const struct nx_dev *dev)
{
    return dev->learned;
}

void
fake_host_learn(struct nx_dev *dev, const char *text)
{
    MUST(!dev->is_attached);
    free(dev->learned);
    dev->learned = mem_strdup(text);
}

void
fake_host_restart(struct fake_host *h)
{
    struct nx_dev *dev;
    struct request *rq;

    fake_host_close(h);
    DL_FOREACH (h->link.requests, rq)
        if (rq->op.kind == NX_OP_READ)
            nx_read_reset(&rq->rd);
    DL_FOREACH (h->link.devs, dev) {
        arena_free(&dev->memory);
        memset(dev->state, 0, h->link.driver->dev_size);
        dev->is_attached = false;
    }
}

enum nx_err
fake_host_open(struct fake_host *h)
{
    struct nx_link *link = &h->link;
    struct nx_note why = {0};
    struct nx_dev *dev;
    enum nx_err err;

    MUST(link->life == LIFE_CLOSED);
    DL_FOREACH (link->devs, dev) {
        err = fake_host_attach(dev);
        if (err != NX_OK)
            return err;
    }
    link->life = LIFE_OPENING;
    memset(link->state, 0, link->driver->link_size);
    err = link->driver->open(link, &link->devs->settings, &why);
    if (err != NX_OK) {
        MUST(why.text[0] != '\0');
        MUST(!link->streams && !link->timers);
        link->life = LIFE_CLOSED;
    }
    return err;
}

void
fake_host_close(struct fake_host *h)
{
    unsigned before = h->link.closeds;
    struct request *rq;

    if (h->link.life == LIFE_CLOSED)
        return;
    h->link.life = LIFE_CLOSING;
    h->link.driver->close(&h->link);
    MUST(h->link.closeds == before + 1);
    DL_FOREACH (h->link.requests, rq)
        MUST(rq->result.is_done);
    h->link.driver->close(&h->link); /* idempotent */
    MUST(h->link.closeds == before + 1);
}

const void *
fake_host_addr(struct fake_host *h, const struct nx_addr_spec *spec)
{
    void *addr = arena_alloc(&h->link.arena, h->link.driver->addr_size);
    struct nx_addr_info info = {0};
    struct nx_note why = {0};

    if (h->link.driver->addr_parse(spec, addr, &info, &why) != NX_OK) {
        fprintf(stderr, "address %s: %s\n", spec->address, why.text);
        abort();
    }
    MUST(info.canonical[0] != '\0' && memchr(info.canonical, 0, sizeof info.canonical));
    return addr;
}

void
fake_host_accept(struct fake_host *h)
{
    struct nx_stream *st = h->link.streams;

    if (!st || st->is_open || st->is_down)
        return;
    st->is_open = true;
    st->ops->on_open(st->arg);
}

void
fake_host_feed(struct fake_host *h, struct slice data)
{
    struct nx_stream *st = h->link.streams;
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
    struct nx_stream *st = h->link.streams;
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
    return h->link.streams ? slice(h->link.streams->out.p, h->link.streams->out.len) : slice(NULL, 0);
}

void
fake_host_take(struct fake_host *h, size_t n)
{
    struct wbuf *out;

    if (!h->link.streams || n == 0)
        return;
    out = &h->link.streams->out;
    MUST(n <= out->len);
    memmove(out->p, out->p + n, out->len - n);
    out->len -= n;
}

const struct nx_serial *
fake_host_serial(const struct fake_host *h)
{
    return h->link.has_serial ? &h->link.serial : NULL;
}

static struct nx_timer *
next_due(struct fake_host *h, uint64_t until_ms)
{
    struct nx_timer *t, *best = NULL;

    DL_FOREACH (h->link.timers, t)
        if (t->is_running && t->due_ms <= until_ms && (!best || t->due_ms < best->due_ms))
            best = t;
    return best;
}

void
fake_host_advance_ms(struct fake_host *h, uint64_t ms)
{
    uint64_t until = h->link.now_ms + ms;
    struct nx_timer *t;

    while ((t = next_due(h, until)) != NULL) {
        if (t->due_ms > h->link.now_ms)
            h->link.now_ms = t->due_ms;
        t->is_running = false;
        t->cb(t->arg);
    }
    h->link.now_ms = until;
}

uint64_t
fake_host_now_ms(const struct fake_host *h)
{
    return h->link.now_ms;
}

static struct request *
request_new(struct nx_dev *dev, enum nx_op_kind kind, uint32_t items)
{
    struct request *rq = mem_alloc(sizeof *rq);

    MUST(fake_host_attach(dev) == NX_OK);
    rq->result.host = MEM_CONTAINER(dev->link, struct fake_host, link);
    rq->result.item_count = items;
    rq->result.items = mem_calloc(items ? items : 1, sizeof *rq->result.items);
    rq->op.kind = kind;
    rq->op.dev = dev;
    rq->op.priority = dev->link->priority;
    DL_APPEND(dev->link->requests, rq);
    return rq;
}

void
fake_host_set_priority(struct fake_host *h, unsigned priority)
{
    h->link.priority = priority;
}

struct fake_op *
fake_host_read_list(struct nx_dev *dev, const void *const *addrs, uint32_t n)
{
    struct request *rq = request_new(dev, NX_OP_READ, n);
    struct nx_read_item *items = arena_alloc(&dev->link->arena, n * sizeof *items);

    for (uint32_t i = 0; i < n; i++)
        items[i] = (struct nx_read_item){addrs[i], i};
    rq->rd.items = items;
    rq->rd.item_count = n;
    rq->result.is_done = true;
    return &rq->result;
}

void
fake_host_read_again(struct fake_op *op)
{
    struct request *rq = MEM_CONTAINER(op, struct request, result);
    struct nx_link *link = &op->host->link;

    MUST(op->is_done && rq->op.kind == NX_OP_READ);
    MUST(fake_host_attach(rq->op.dev) == NX_OK);
    memset(op->items, 0, op->item_count * sizeof *op->items);
    op->is_done = false;
    op->err = NX_OK;
    op->why[0] = '\0';
    op->set_count = op->good_count = op->alive_count = 0;
    rq->op.priority = link->priority;
    link->driver->read(rq->op.dev, &rq->rd);
}

struct fake_op *
fake_host_read_dev(struct nx_dev *dev, const void *const *addrs, uint32_t n)
{
    struct fake_op *op = fake_host_read_list(dev, addrs, n);

    fake_host_read_again(op);
    return op;
}

struct fake_op *
fake_host_read(struct fake_host *h, const void *const *addrs, uint32_t n)
{
    return fake_host_read_dev(h->link.devs, addrs, n);
}

struct fake_op *
fake_host_write_dev(struct nx_dev *dev, const void *addr, struct nx_value value)
{
    struct request *rq = request_new(dev, NX_OP_WRITE, 0);

    rq->wr.addr = addr;
    rq->wr.value = value;
    dev->link->driver->write(dev, &rq->wr);
    return &rq->result;
}

struct fake_op *
fake_host_write(struct fake_host *h, const void *addr, struct nx_value value)
{
    return fake_host_write_dev(h->link.devs, addr, value);
}

void
fake_host_cancel(struct fake_op *op, enum nx_err err)
{
    struct request *rq = MEM_CONTAINER(op, struct request, result);

    if (op->is_done)
        return;
    op->host->link.driver->cancel(rq->op.dev, &rq->op, err);
    MUST(op->is_done && op->err == err);
}

unsigned
fake_host_open_ops(const struct fake_host *h)
{
    const struct request *rq;
    unsigned n = 0;

    DL_FOREACH (h->link.requests, rq)
        n += !rq->result.is_done;
    return n;
}

struct fake_plan *
fake_host_explain(struct fake_op *op)
{
    struct request *rq = MEM_CONTAINER(op, struct request, result);
    struct arena *a = &op->host->link.arena;
    struct fake_plan *result = arena_alloc(a, sizeof *result);
    struct nx_plan plan = {result, a, op->item_count};

    MUST(op->is_done && rq->op.kind == NX_OP_READ);
    MUST(fake_host_attach(rq->op.dev) == NX_OK);
    result->requests = arena_alloc(a, FAKE_PLAN_MAX * sizeof *result->requests);
    op->host->link.driver->explain(rq->op.dev, &rq->rd, &plan);
    return result;
}

const struct nx_settings *
fake_host_settings(const struct nx_dev *dev)
{
    return &dev->settings;
}

unsigned
fake_host_ups(const struct fake_host *h)
{
    return h->link.ups;
}

unsigned
fake_host_downs(const struct fake_host *h)
{
    return h->link.downs;
}

unsigned
fake_host_closeds(const struct fake_host *h)
{
    return h->link.closeds;
}

enum nx_err
fake_host_down_err(const struct fake_host *h)
{
    return h->link.down_err;
}

bool
fake_host_is_up(const struct fake_host *h)
{
    return h->link.life == LIFE_UP;
}

uint64_t
fake_host_counter(const struct fake_host *h, enum nx_counter counter)
{
    uint64_t sum = h->link.counters[counter];
    const struct nx_dev *dev;

    DL_FOREACH (h->link.devs, dev)
        sum += dev->counters[counter];
    return sum;
}

uint64_t
fake_host_dev_counter(const struct nx_dev *dev, enum nx_counter counter)
{
    return dev->counters[counter];
}
