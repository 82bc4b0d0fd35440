/* fake_calls.c -- the driver's side of the fake host: the functions of driver.h. */
#include "base/mem.h"
#include "fake_state.h"

#include <stdarg.h>
#include <utlist.h>

static struct request *
request_of(struct nx_op *op)
{
    return MEM_CONTAINER(op, struct request, op);
}

void *
nx_link_state(struct nx_link *link)
{
    return link->state;
}

void *
nx_dev_state(struct nx_dev *dev)
{
    return dev->state;
}

struct nx_link *
nx_link_of(struct nx_dev *dev)
{
    return dev->link;
}

struct nx_dev *
nx_link_first_dev(struct nx_link *link)
{
    return link->devs;
}

void *
nx_dev_alloc(struct nx_dev *dev, size_t size)
{
    return arena_alloc(&dev->memory, size);
}

uint64_t
nx_now_ms(struct nx_link *link)
{
    return link->now_ms;
}

void
nx_link_up(struct nx_link *link)
{
    MUST(link->life == LIFE_OPENING);
    link->life = LIFE_UP;
    link->ups++;
}

void
nx_link_down(struct nx_link *link, enum nx_err err, const struct nx_note *why)
{
    (void)why;
    MUST(link->life == LIFE_OPENING || link->life == LIFE_UP);
    MUST(err != NX_OK);
    link->life = LIFE_DOWN;
    link->downs++;
    link->down_err = err;
}

void
nx_closed(struct nx_link *link)
{
    MUST(link->life == LIFE_CLOSING);
    MUST(!link->streams && !link->timers);
    link->life = LIFE_CLOSED;
    link->closeds++;
}

void
nx_learned(struct nx_dev *dev, const char *text)
{
    MUST(text && strlen(text) <= NX_LEARNED_MAX && !strchr(text, '\n'));
    free(dev->learned);
    dev->learned = mem_strdup(text);
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
nx_plan_add(struct nx_plan *plan, const struct nx_plan_request *rq)
{
    struct fake_plan *p = plan->result;
    uint32_t *items = arena_alloc(plan->memory, rq->item_count * sizeof *items);

    MUST(rq->text && p->count < FAKE_PLAN_MAX);
    for (uint32_t i = 0; i < rq->item_count; i++) {
        MUST(rq->items[i] < plan->item_count);
        items[i] = rq->items[i];
    }
    p->requests[p->count++] = (struct fake_plan_request){
        .text = arena_strdup(plan->memory, rq->text),
        .hole = rq->hole ? arena_strdup(plan->memory, rq->hole) : NULL,
        .bytes_out = rq->bytes_out,
        .bytes_in = rq->bytes_in,
        .gap_bytes = rq->gap_bytes,
        .items = items,
        .item_count = rq->item_count,
    };
}

void
nx_browse_node(struct nx_op *op, const char *path, enum nx_data_type type, const char *description)
{
    (void)type;
    (void)description;
    MUST(op->kind == NX_OP_BROWSE && path);
}

void
nx_op_alive(struct nx_op *op)
{
    struct fake_op *result = &request_of(op)->result;

    MUST(!result->is_done);
    result->alive_count++;
    result->alive_ms = op->dev->link->now_ms;
}

/* An answer, too, after which nothing is on the way. */
void
nx_op_rests(struct nx_op *op)
{
    nx_op_alive(op);
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

static struct nx_stream *
stream_new(struct nx_link *link, const struct nx_stream_ops *ops, void *arg)
{
    struct nx_stream *st = mem_alloc(sizeof *st);

    st->link = link;
    st->ops = ops;
    st->arg = arg;
    st->out = wbuf_init(256 * 1024);
    DL_PREPEND(link->streams, st);
    return st;
}

struct nx_stream *
nx_stream_tcp(struct nx_link *link, const char *host, uint16_t port, const struct nx_stream_ops *ops, void *arg)
{
    MUST(host && port);
    return stream_new(link, ops, arg);
}

struct nx_stream *
nx_stream_serial(struct nx_link *link, const struct nx_serial *conf, const struct nx_stream_ops *ops, void *arg)
{
    MUST(conf->path && conf->baud_rate > 0);
    MUST(conf->data_bits >= 5 && conf->data_bits <= 8 && conf->stop_bits >= 1 && conf->stop_bits <= 2);
    link->serial = *conf;
    link->serial.path = arena_strdup(&link->arena, conf->path);
    link->has_serial = true;
    return stream_new(link, ops, arg);
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
    DL_DELETE((*st)->link->streams, *st);
    wbuf_free(&(*st)->out);
    free(*st);
    *st = NULL;
}

struct nx_timer *
nx_timer_new(struct nx_link *link, nx_timer_cb *cb, void *arg)
{
    struct nx_timer *t = mem_alloc(sizeof *t);

    t->link = link;
    t->cb = cb;
    t->arg = arg;
    DL_APPEND(link->timers, t);
    return t;
}

void
nx_timer_start(struct nx_timer *t, uint64_t delay_ms)
{
    t->is_running = true;
    t->due_ms = t->link->now_ms + delay_ms;
}

void
nx_timer_stop(struct nx_timer *t)
{
    t->is_running = false;
}

void
nx_timer_free(struct nx_timer **t)
{
    DL_DELETE((*t)->link->timers, *t);
    free(*t);
    *t = NULL;
}

void
nx_log(struct nx_link *link, enum nx_log_level level, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    (void)link;
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

void
nx_count_link(struct nx_link *link, enum nx_counter counter, uint64_t add)
{
    MUST(counter < NX_COUNTERS);
    link->counters[counter] += add;
}
