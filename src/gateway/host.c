/* host.c -- what a driver may call (include/nexus/driver.h) besides operations: streams, timers, log and counters. */
#include "base/mem.h"
#include "gateway/engine.h"
#include "gateway/recorder.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#define STREAM_WRITE_CAP (256u << 10)
#define SPARE_FILES      32u /* descriptors that devices leave to the admin port, the broker and the spool */
#define KEEPALIVE_S      30u /* a peer that is gone without a word is noticed, also between slow polls */

void *
nx_link_state(struct nx_link *link)
{
    return link->driver_state;
}

void *
nx_dev_state(struct nx_dev *dev)
{
    return dev->driver_state;
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
    return loop_now_ms(link->engine->loop);
}

void
nx_link_up(struct nx_link *link)
{
    conn_opening_done(link);
}

void
nx_link_down(struct nx_link *link, enum nx_err err, const struct nx_note *why)
{
    conn_lost(link, err, why);
}

void
nx_closed(struct nx_link *link)
{
    conn_closed(link);
}

void
nx_learned(struct nx_dev *dev, const char *text)
{
    assert(strlen(text) <= NX_LEARNED_MAX);
    if (dev->engine->ops.on_learned && !dev->is_probe)
        dev->engine->ops.on_learned(dev->engine->arg, dev, text);
}

/* --- streams --- */

struct nx_stream {
    struct nx_link *link;
    struct stream *st;
    const struct nx_stream_ops *ops;
    void *arg;
};

/* The ring is made when the first frame is there: 10,000 devices that are switched off need none. */
static void
record(struct nx_link *link, enum recorder_dir dir, const uint8_t *p, size_t len)
{
    struct engine *e = link->engine;

    if (e->conf.recorder_bytes == 0)
        return;
    if (!link->recorder)
        link->recorder = recorder_new(e->conf.recorder_bytes);
    recorder_put(link->recorder, dir, loop_wall_us(e->loop), p, len);
}

static void
on_stream_open(void *arg)
{
    struct nx_stream *s = arg;

    s->link->heard_ms = loop_now_ms(s->link->engine->loop);
    s->ops->on_open(s->arg);
}

static void
on_stream_data(void *arg, struct slice data)
{
    struct nx_stream *s = arg;

    s->link->heard_ms = loop_now_ms(s->link->engine->loop);
    record(s->link, RECORDER_IN, data.p, data.len);
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
    const struct nx_dev *dev;

    DL_FOREACH2(s->link->devs, dev, link_next)
    if (dev->on_step)
        dev->on_step(dev->arg, step, err, elapsed_ms, detail);
}

static const struct stream_ops stream_ops = {.on_open = on_stream_open,
                                             .on_data = on_stream_data,
                                             .on_down = on_stream_down};

static struct nx_stream *
make_stream(struct nx_link *link, const struct nx_stream_ops *ops, void *arg)
{
    struct nx_stream *s = mem_alloc(sizeof *s);

    *s = (struct nx_stream){.link = link, .ops = ops, .arg = arg};
    return s;
}

struct nx_stream *
nx_stream_tcp(struct nx_link *link, const char *host, uint16_t port, const struct nx_stream_ops *ops, void *arg)
{
    struct nx_stream *s = make_stream(link, ops, arg);
    struct stream_conf conf = {.host = host,
                               .port = port,
                               .connect_timeout_ms = (uint32_t)link->conf->timeout_ms,
                               .write_cap_bytes = STREAM_WRITE_CAP,
                               .keepalive_s = KEEPALIVE_S,
                               .spare_files = SPARE_FILES,
                               .on_step = on_stream_step};

    s->st = stream_open(link->engine->loop, &conf, &stream_ops, s);
    return s;
}

struct nx_stream *
nx_stream_serial(struct nx_link *link, const struct nx_serial *conf, const struct nx_stream_ops *ops, void *arg)
{
    static const enum serial_parity parities[] = {[NX_PARITY_NONE] = SERIAL_PARITY_NONE,
                                                  [NX_PARITY_EVEN] = SERIAL_PARITY_EVEN,
                                                  [NX_PARITY_ODD] = SERIAL_PARITY_ODD};
    static const enum rs485_mode modes[] = {
        [NX_RS485_OFF] = RS485_OFF, [NX_RS485_KERNEL] = RS485_KERNEL, [NX_RS485_RTS] = RS485_RTS};
    struct nx_stream *s = make_stream(link, ops, arg);
    struct serial_conf sc = {.path = conf->path,
                             .baud_rate = conf->baud_rate,
                             .data_bits = conf->data_bits,
                             .stop_bits = conf->stop_bits,
                             .parity = parities[conf->parity],
                             .rs485 = modes[conf->rs485],
                             .rts_delay_us = conf->rts_delay_us,
                             .write_cap_bytes = STREAM_WRITE_CAP};

    s->st = stream_open_serial(link->engine->loop, &sc, &stream_ops, s);
    return s;
}

enum nx_err
nx_stream_write(struct nx_stream *st, const uint8_t *p, size_t len)
{
    record(st->link, RECORDER_OUT, p, len);
    return stream_write(st->st, slice(p, len));
}

void
nx_stream_close(struct nx_stream **st)
{
    if (!*st)
        return;
    stream_close(&(*st)->st, false);
    loop_defer((*st)->link->engine->loop, free, *st);
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
nx_timer_new(struct nx_link *link, nx_timer_cb *cb, void *arg)
{
    struct nx_timer *t = mem_alloc(sizeof *t);

    t->loop = link->engine->loop;
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
nx_log(struct nx_link *link, enum nx_log_level level, const char *fmt, ...)
{
    char text[320];
    va_list ap;

    if (!log_is_on(level))
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    LOG_AT(level, &link->log, "driver", KV_STR("detail", text));
}

void
nx_count(struct nx_dev *dev, enum nx_counter counter, uint64_t add)
{
    dev->counters[counter] += add;
}

void
nx_count_link(struct nx_link *link, enum nx_counter counter, uint64_t add)
{
    link->counters[counter] += add;
}
