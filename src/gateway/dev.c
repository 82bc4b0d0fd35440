/* dev.c -- life of a device: connect, back-off, close (engine.h has the picture). */
#include "base/mem.h"
#include "base/num.h"
#include "gateway/engine.h"
#include "gateway/normalize.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#define ALIGN            16u
#define START_JITTER_MS  100u /* at most; else a tenth of the interval */
#define OPENING_PATIENCE 3u   /* timeouts that name, TCP and session may take together */
#define BIT(state)       (1u << DEV_##state)

static const char *const state_names[] = {
#define DEV_STATE_NAME(name) #name,
    DEV_STATES(DEV_STATE_NAME)
#undef DEV_STATE_NAME
};

/* Where each state may go. */
static const unsigned edges[] = {
    [DEV_OFF] = BIT(QUEUED) | BIT(WAITING),
    [DEV_QUEUED] = BIT(OPENING) | BIT(OFF),
    [DEV_OPENING] = BIT(UP) | BIT(CLOSING) | BIT(FAULT),
    [DEV_UP] = BIT(CLOSING),
    [DEV_CLOSING] = BIT(WAITING) | BIT(OFF),
    [DEV_WAITING] = BIT(QUEUED) | BIT(OFF),
    [DEV_FAULT] = BIT(OFF),
};

const char *
dev_state_name(enum dev_state s)
{
    return state_names[s];
}

const char *
dev_status_word(const struct nx_dev *dev)
{
    if (dev->state == DEV_FAULT || (dev->state == DEV_UP && dev->is_failing))
        return "error";
    if (dev->state == DEV_UP)
        return "online";
    return dev->why.text[0] ? "offline" : "connecting";
}

static void
tell(struct nx_dev *dev)
{
    if (dev->is_retired)
        return;
    if (dev->is_probe)
        dev->on_change(dev->arg, dev);
    else
        dev->engine->ops.on_state(dev->engine->arg, dev);
}

static void
set_state(struct nx_dev *dev, enum dev_state to)
{
    assert(edges[dev->state] & (1u << to));
    dev->state = to;
    dev->since_ms = loop_now_ms(dev->engine->loop);
    dev->since_us = loop_wall_us(dev->engine->loop);
}

/* --- slots --- */

static uint32_t
take_key(struct engine *e)
{
    return e->free_count > 0 ? e->free_keys[--e->free_count] : e->next_key++;
}

static void
give_key(struct engine *e, uint32_t key)
{
    if (e->free_count == e->free_cap) {
        e->free_cap = e->free_cap ? e->free_cap * 2 : 64;
        e->free_keys = mem_realloc(e->free_keys, e->free_cap * sizeof *e->free_keys);
    }
    e->free_keys[e->free_count++] = key;
}

static void
make_slots(struct nx_dev *dev)
{
    dev->slots = mem_calloc(dev->conf->tag_count, sizeof *dev->slots);
    for (unsigned i = 0; i < dev->conf->tag_count; i++) {
        const struct tag *tag = &dev->conf->tags[i];
        dev->slots[i] = (struct slot){.tag = tag,
                                      .dev = dev,
                                      .key = take_key(dev->engine),
                                      .series = {.topic = slice_str(tag->topic),
                                                 .device_id = slice_str(dev->conf->id),
                                                 .tag_id = slice_str(tag->id),
                                                 .unit = slice_str(tag->unit),
                                                 .data_type = (uint8_t)normalize_type(tag)}};
    }
}

struct slot *
dev_slot(struct nx_dev *dev, const char *tag_id)
{
    const struct tag *tag = device_tag(dev->conf, tag_id);

    return tag ? &dev->slots[tag - dev->conf->tags] : NULL;
}

/* --- the end --- */

static void
free_dev(void *arg)
{
    struct nx_dev *dev = arg;
    struct engine *e = dev->engine;

    for (unsigned i = 0; i < dev->conf->tag_count; i++) {
        give_key(e, dev->slots[i].key);
        free(dev->slots[i].text);
        free(dev->slots[i].reason);
    }
    sched_free(dev);
    free(dev->slots);
    free(dev->driver_state);
    DL_DELETE(e->devs, dev);
    e->dev_count--;
    device_unref(&dev->conf);
    free(dev);
    if (e->dev_count == 0 && e->is_stopping)
        e->ops.on_idle(e->arg);
}

static void
end(struct nx_dev *dev)
{
    loop_timer_stop(&dev->timer);
    governor_forget(dev->engine, dev);
    if (dev->state != DEV_OFF)
        set_state(dev, DEV_OFF);
    loop_defer(dev->engine->loop, free_dev, dev);
}

static void
close_link(void *arg)
{
    struct nx_dev *dev = arg;

    dev->conf->driver->close(dev);
}

static void
begin_close(struct nx_dev *dev)
{
    loop_timer_stop(&dev->timer);
    set_state(dev, DEV_CLOSING);
    loop_defer(dev->engine->loop, close_link, dev);
}

void
dev_retire(struct nx_dev **devp)
{
    struct nx_dev *dev = *devp;

    *devp = NULL;
    if (!dev || dev->is_retired)
        return;
    dev->is_retired = dev->is_stopping = true;
    dev_cancel_all(dev, NX_E_CANCELED);
    sched_free(dev);
    if (dev->state == DEV_OPENING || dev->state == DEV_UP)
        begin_close(dev);
    else if (dev->state != DEV_CLOSING)
        end(dev);
}

/* --- connecting --- */

static void
on_wait_over(struct loop_timer *t, void *arg)
{
    struct nx_dev *dev = arg;

    (void)t;
    set_state(dev, DEV_QUEUED);
    governor_ask(dev->engine, dev);
}

static void
wait_for(struct nx_dev *dev, uint64_t delay_ms)
{
    set_state(dev, DEV_WAITING);
    loop_timer_start(dev->engine->loop, &dev->timer, delay_ms, 0, on_wait_over, dev);
}

/* Decorrelated jitter: devices that went down together do not come back together. */
static uint64_t
next_backoff(struct nx_dev *dev)
{
    struct engine *e = dev->engine;
    double least = e->conf.backoff_min_ms, before = dev->backoff_ms ? (double)dev->backoff_ms : least;
    double next = least + num_random_unit(&e->rng) * (before * 3 - least);

    if (next > e->conf.backoff_max_ms)
        next = e->conf.backoff_max_ms;
    dev->backoff_ms = (uint64_t)next;
    return dev->backoff_ms;
}

static void
on_opening_too_long(struct loop_timer *t, void *arg)
{
    struct nx_dev *dev = arg;

    (void)t;
    dev_drop_link(dev, NX_E_TIMEOUT, "the connection was not ready in time; is this the right protocol and port?");
}

void
dev_open_now(struct nx_dev *dev)
{
    const struct nx_driver *drv = dev->conf->driver;
    struct nx_note why = {0};

    set_state(dev, DEV_OPENING);
    dev->stats.connects++;
    dev->heard_ms = 0;
    memset(dev->driver_state, 0, drv->dev_size);
    loop_timer_start(dev->engine->loop, &dev->timer, (uint64_t)dev->conf->timeout_ms * OPENING_PATIENCE, 0,
                     on_opening_too_long, dev);
    enum nx_err err = drv->open(dev, dev->conf->settings, &why);
    if (err == NX_OK)
        return;
    loop_timer_stop(&dev->timer);
    dev->why = why;
    set_state(dev, DEV_FAULT);
    if (!dev->is_probe)
        log_error(&dev->log, "device settings can never work; waiting for a change of its configuration",
                  KV_NOTE(&why));
    sched_link_down(dev, NX_E_CONFIG, why.text);
    tell(dev);
}

void
dev_opening_done(struct nx_dev *dev)
{
    if (dev->state != DEV_OPENING)
        return;
    loop_timer_stop(&dev->timer);
    set_state(dev, DEV_UP);
    dev->is_failing = dev->is_mute;
    dev->heard_ms = loop_now_ms(dev->engine->loop);
    if (!dev->is_mute) {
        dev->why = (struct nx_note){0};
        dev->last_seen_us = loop_wall_us(dev->engine->loop);
        if (!dev->is_probe)
            log_info(&dev->log, "device is online");
    }
    sched_link_up(dev);
    tell(dev);
}

static void
remember(struct nx_dev *dev, enum nx_err err, const struct nx_note *why)
{
    bool is_news = dev->state == DEV_UP || dev->why.err != err;

    dev->why.err = err;
    (void)snprintf(dev->why.text, sizeof dev->why.text, "%s", why && why->text[0] ? why->text : nx_err_text(err));
    if (is_news && !dev->is_probe)
        log_warn(&dev->log, "device is offline; trying again with back-off", KV_ERR(err), KV_NOTE(&dev->why));
}

void
dev_link_lost(struct nx_dev *dev, enum nx_err err, const struct nx_note *why)
{
    if (dev->state != DEV_OPENING && dev->state != DEV_UP)
        return;
    remember(dev, err, why);
    dev->is_failing = false;
    begin_close(dev);
    sched_link_down(dev, err, dev->why.text);
    tell(dev);
}

void
dev_drop_link(struct nx_dev *dev, enum nx_err err, const char *text)
{
    struct nx_note why = {.err = err};

    (void)nx_fail(&why, err, "%s", text);
    dev_link_lost(dev, err, &why);
}

void
dev_driver_closed(struct nx_dev *dev)
{
    assert(dev->state == DEV_CLOSING && !dev->ops);
    sched_closed(dev);
    if (dev->is_stopping || dev->is_probe) {
        if (dev->is_stopping)
            end(dev);
        else
            set_state(dev, DEV_OFF); /* the probe's owner retires it */
        return;
    }
    wait_for(dev, next_backoff(dev));
}

/* --- making --- */

static struct nx_dev *
dev_new(struct engine *e, struct device **conf)
{
    struct nx_dev *dev = mem_alloc(sizeof *dev);
    size_t size = ((*conf)->driver->dev_size + ALIGN) & ~(size_t)(ALIGN - 1);

    dev->engine = e;
    dev->conf = *conf;
    *conf = NULL;
    dev->log = (struct log_ctx){.module = dev->conf->driver->name, .kind = "device", .id = dev->conf->id};
    dev->driver_state = mem_alloc(size);
    dev->since_us = loop_wall_us(e->loop);
    make_slots(dev);
    DL_APPEND(e->devs, dev);
    e->dev_count++;
    return dev;
}

struct nx_dev *
dev_start(struct engine *e, struct device **conf)
{
    struct nx_dev *dev = dev_new(e, conf);
    double jitter = (double)dev->conf->poll_interval_ms / 10;

    if (jitter > START_JITTER_MS)
        jitter = START_JITTER_MS;
    sched_make(dev);
    wait_for(dev, (uint64_t)(num_random_unit(&e->rng) * jitter));
    return dev;
}

struct nx_dev *
dev_probe(struct engine *e, struct device **conf,
          void (*on_step)(void *, const char *, enum nx_err, uint32_t, const char *),
          void (*on_change)(void *, struct nx_dev *), void *arg)
{
    struct nx_dev *dev = dev_new(e, conf);

    dev->is_probe = true;
    dev->on_step = on_step;
    dev->on_change = on_change;
    dev->arg = arg;
    wait_for(dev, 0);
    return dev;
}

/* --- the engine --- */

void
engine_init(struct engine *e, struct loop *loop, const struct engine_conf *conf, const struct engine_ops *ops,
            void *arg, struct metrics *metrics, uint64_t seed)
{
    static const struct metric_desc points_read = {.name = "gateway_polling_points_read_total",
                                                   .kind = METRIC_COUNTER,
                                                   .help = "Values read from devices."};
    static const struct metric_desc utilization = {.name = "gateway_polling_worker_pool_utilization",
                                                   .kind = METRIC_GAUGE,
                                                   .help = "Polls in flight as a part of polling.worker_count."};
    static const struct metric_desc skipped = {
        .name = "gateway_polling_polls_skipped_total",
        .kind = METRIC_COUNTER,
        .help = "Polls that found no free slot or their device still busy with the poll before."};

    assert(seed != 0 && conf->connects_per_second > 0);
    *e = (struct engine){.loop = loop, .conf = *conf, .ops = *ops, .arg = arg, .rng = seed, .metrics = metrics};
    e->governor.tokens = conf->connects_per_second;
    e->governor.refilled_ms = loop_now_ms(loop);
    e->points_read = metrics_get(metrics, &points_read, NULL);
    e->utilization = metrics_get(metrics, &utilization, NULL);
    e->skipped_total = metrics_get(metrics, &skipped, NULL);
}

void
engine_fini(struct engine *e)
{
    assert(e->dev_count == 0);
    loop_timer_stop(&e->governor.timer);
    free(e->free_keys);
    e->free_keys = NULL;
}

static void
on_idle_later(void *arg)
{
    struct engine *e = arg;

    e->ops.on_idle(e->arg);
}

void
engine_pause(struct engine *e)
{
    e->is_paused = true;
}

void
engine_stop(struct engine *e)
{
    struct nx_dev *dev, *tmp;

    if (e->is_stopping)
        return;
    e->is_stopping = true;
    if (e->dev_count == 0)
        loop_defer(e->loop, on_idle_later, e);
    DL_FOREACH_SAFE (e->devs, dev, tmp) {
        struct nx_dev *d = dev;
        dev_retire(&d);
    }
}
