/* dev.c -- life of a device: its tags, its health, and what becomes of it when its connection comes and goes. */
#include "base/mem.h"
#include "base/num.h"
#include "gateway/engine.h"
#include "gateway/normalize.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#define ALIGN 16u

bool
dev_is_ready(const struct nx_dev *dev)
{
    const struct nx_link *link = dev->link;

    return link && !dev->is_faulty && (link->state == CONN_UP || link->is_asleep);
}

bool
dev_is_online(const struct nx_dev *dev)
{
    return dev_is_ready(dev) && !dev->is_failing;
}

const char *
dev_status_word(const struct nx_dev *dev)
{
    if (dev->is_faulty || (dev->link && dev->link->state == CONN_FAULT) || (dev_is_ready(dev) && dev->is_failing))
        return "error";
    if (dev_is_ready(dev))
        return "online";
    return dev->why.text[0] ? "offline" : "connecting";
}

void
dev_tell(struct nx_dev *dev)
{
    if (dev->is_retired)
        return;
    dev->since_us = loop_wall_us(dev->engine->loop);
    if (dev->is_probe)
        dev->on_change(dev->arg, dev);
    else
        dev->engine->ops.on_state(dev->engine->arg, dev);
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
    free(dev->slots);
    arena_free(&dev->memory);
    free(dev->driver_state);
    DL_DELETE(e->devs, dev);
    e->dev_count--;
    device_unref(&dev->conf);
    free(dev);
    engine_check_idle(e);
}

void
dev_retire(struct nx_dev **devp)
{
    struct nx_dev *dev = *devp;

    *devp = NULL;
    if (!dev || dev->is_retired)
        return;
    dev->is_retired = true;
    ops_cancel(dev, NX_E_CANCELED);
    lists_free(dev);
    if (dev->link)
        conn_leave(dev);
    loop_defer(dev->engine->loop, free_dev, dev);
}

/* --- the connection --- */

void
dev_link_up(struct nx_dev *dev)
{
    if (dev->is_faulty)
        return;
    breaker_reset(&dev->breaker);
    dev->is_failing = dev->link->is_mute;
    if (!dev->link->is_mute) {
        dev->why = (struct nx_note){0};
        dev->last_seen_us = loop_wall_us(dev->engine->loop);
    }
    sched_link_up(dev);
    dev_tell(dev);
}

void
dev_link_down(struct nx_dev *dev, enum nx_err err)
{
    if (dev->is_faulty)
        return;
    dev->why = dev->link->why;
    dev->is_failing = false;
    sched_link_down(dev, err, dev->why.text);
    dev_tell(dev);
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
    dev->tokens = (double)dev->conf->max_requests_per_s;
    make_slots(dev);
    DL_APPEND(e->devs, dev);
    e->dev_count++;
    return dev;
}

/* What is wrong for ever is said at once, and the device stays without a connection. */
static void
attach(struct nx_dev *dev)
{
    struct engine *e = dev->engine;
    const char *learned = e->ops.learned && !dev->is_probe ? e->ops.learned(e->arg, dev) : NULL;
    struct nx_note why = {0};

    conn_join(dev);
    if (dev->conf->driver->attach(dev, dev->conf->settings, learned, &why) == NX_OK)
        return;
    conn_leave(dev);
    dev->is_faulty = true;
    dev->why = why;
    if (!dev->is_probe)
        log_error(&dev->log, "device settings can never work; waiting for a change of its configuration",
                  KV_NOTE(&why));
}

struct nx_dev *
dev_start(struct engine *e, struct device **conf)
{
    struct nx_dev *dev = dev_new(e, conf);

    lists_make(dev);
    if (e->ops.on_made)
        e->ops.on_made(e->arg, dev);
    attach(dev);
    if (!dev->is_faulty) {
        conn_begin(dev);
        return dev;
    }
    sched_link_down(dev, NX_E_CONFIG, dev->why.text);
    dev_tell(dev);
    return dev;
}

void
dev_tell_later(void *arg)
{
    dev_tell(arg);
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
    attach(dev);
    if (dev->is_faulty)
        loop_defer(e->loop, dev_tell_later, dev);
    else
        conn_begin(dev);
    return dev;
}
