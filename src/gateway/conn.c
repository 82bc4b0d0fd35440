/* conn.c -- life of a connection: connect, back-off, close, idle, health (engine.h has the picture). */
#include "base/mem.h"
#include "base/num.h"
#include "conf/conf.h"
#include "gateway/engine.h"
#include "gateway/recorder.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#define ALIGN            16u
#define START_JITTER_MS  100u /* at most; else a tenth of the interval */
#define OPENING_PATIENCE 3u   /* timeouts that name, TCP and session may take together */
#define BIT(state)       (1u << CONN_##state)

static const char *const state_names[] = {
#define CONN_STATE_NAME(name) #name,
    CONN_STATES(CONN_STATE_NAME)
#undef CONN_STATE_NAME
};

/* Where each state may go. */
static const unsigned edges[] = {
    [CONN_OFF] = BIT(QUEUED) | BIT(WAITING),
    [CONN_WAITING] = BIT(QUEUED) | BIT(OFF),
    [CONN_QUEUED] = BIT(OPENING) | BIT(OFF),
    [CONN_OPENING] = BIT(UP) | BIT(CLOSING) | BIT(FAULT),
    [CONN_UP] = BIT(CLOSING),
    [CONN_CLOSING] = BIT(WAITING) | BIT(OFF),
    [CONN_FAULT] = BIT(OFF),
};

const char *
conn_state_name(enum conn_state s)
{
    return state_names[s];
}

static void
set_state(struct nx_link *link, enum conn_state to)
{
    assert(edges[link->state] & (1u << to));
    link->state = to;
    link->since_ms = loop_now_ms(link->engine->loop);
    link->since_us = loop_wall_us(link->engine->loop);
}

/* Somebody polls over it: not only tests of a connection. */
static bool
is_wanted(const struct nx_link *link)
{
    const struct nx_dev *dev;

    DL_FOREACH2(link->devs, dev, link_next)
    if (!dev->is_probe)
        return true;
    return false;
}

/* --- the end --- */

static void
free_link(struct nx_link *link)
{
    struct engine *e = link->engine;

    loop_timer_stop(&link->timer);
    loop_timer_stop(&link->care);
    governor_forget(e, link);
    HASH_DEL(e->links, link);
    recorder_free(&link->recorder);
    free(link->driver_state);
    free(link->key);
    device_unref(&link->conf);
    free(link);
    engine_check_idle(e);
}

static void
close_link(void *arg)
{
    struct nx_link *link = arg;

    link->driver->close(link);
}

static void
begin_close(struct nx_link *link)
{
    loop_timer_stop(&link->timer);
    loop_timer_stop(&link->care);
    set_state(link, CONN_CLOSING);
    loop_defer(link->engine->loop, close_link, link);
}

/* Nobody has joined since the last device left. */
static void
end_unused(void *arg)
{
    struct nx_link *link = arg;

    link->is_end_due = false;
    if (link->dev_count > 0 || link->state == CONN_CLOSING)
        return;
    if (link->state == CONN_OPENING || link->state == CONN_UP)
        begin_close(link);
    else
        free_link(link);
}

static void
want_end(struct nx_link *link)
{
    if (link->is_end_due)
        return;
    link->is_end_due = true;
    loop_defer(link->engine->loop, end_unused, link);
}

void
conn_leave(struct nx_dev *dev)
{
    struct nx_link *link = dev->link;

    DL_DELETE2(link->devs, dev, link_prev, link_next);
    dev->link = NULL;
    if (--link->dev_count == 0)
        want_end(link);
}

/* --- connecting --- */

static void
ask(struct nx_link *link)
{
    loop_timer_stop(&link->timer);
    set_state(link, CONN_QUEUED);
    governor_ask(link->engine, link);
}

static void
on_wait_over(struct loop_timer *t, void *arg)
{
    (void)t;
    ask(arg);
}

static void
wait_for(struct nx_link *link, uint64_t delay_ms)
{
    set_state(link, CONN_WAITING);
    loop_timer_start(link->engine->loop, &link->timer, delay_ms, 0, on_wait_over, link);
}

/* Decorrelated jitter: devices that went down together do not come back together. */
static uint64_t
next_backoff(struct nx_link *link)
{
    struct engine *e = link->engine;
    double least = e->conf.backoff_min_ms, before = link->backoff_ms ? (double)link->backoff_ms : least;
    double next = least + num_random_unit(&e->rng) * (before * 3 - least);

    if (next > e->conf.backoff_max_ms)
        next = e->conf.backoff_max_ms;
    link->backoff_ms = (uint64_t)next;
    return link->backoff_ms;
}

static void
on_opening_too_long(struct loop_timer *t, void *arg)
{
    (void)t;
    conn_drop(arg, NX_E_TIMEOUT, "the connection was not ready in time; is this the right protocol and port?");
}

static void
remember(struct nx_link *link, enum nx_err err, const struct nx_note *why)
{
    link->why.err = err;
    (void)snprintf(link->why.text, sizeof link->why.text, "%s", why && why->text[0] ? why->text : nx_err_text(err));
}

static void
take_down(struct nx_link *link, enum nx_err err)
{
    struct nx_dev *dev, *tmp;

    ops_link_down(link, err, &link->why);
    DL_FOREACH_SAFE2(link->devs, dev, tmp, link_next)
    dev_link_down(dev, err);
}

void
conn_open_now(struct nx_link *link)
{
    struct nx_note why = {0};

    set_state(link, CONN_OPENING);
    link->connects++;
    link->heard_ms = 0;
    memset(link->driver_state, 0, link->driver->link_size);
    loop_timer_start(link->engine->loop, &link->timer, (uint64_t)link->conf->timeout_ms * OPENING_PATIENCE, 0,
                     on_opening_too_long, link);
    enum nx_err err = link->driver->open(link, link->conf->settings, &why);
    if (err == NX_OK)
        return;
    loop_timer_stop(&link->timer);
    remember(link, err, &why);
    set_state(link, CONN_FAULT);
    link->is_asleep = false;
    log_error(&link->log, "device settings can never work; waiting for a change of its configuration", KV_NOTE(&why));
    take_down(link, NX_E_CONFIG);
}

void
conn_wake(struct nx_link *link)
{
    if (link->state == CONN_OFF)
        ask(link);
}

/* --- while it is up --- */

static void
on_probe_done(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct nx_link *link = arg;

    (void)why;
    if (link->state != CONN_UP)
        return;
    if (err == NX_E_TIMEOUT)
        conn_drop(link, err, "the health probe was not answered; the connection is made anew");
    else if (err == NX_OK)
        conn_alive(link);
}

static void
on_probe_item(void *arg, uint32_t i, const struct sample *s)
{
    (void)arg;
    (void)i;
    (void)s;
}

/* Reads one tag, to see whether the peer is still there. */
static void
start_probe(struct nx_link *link)
{
    const struct nx_dev *dev;

    DL_FOREACH2(link->devs, dev, link_next)
    if (dev->group_count > 0 && !dev->is_faulty)
        break;
    if (!dev || link->probe.op.op)
        return;
    dev_read_fini(&link->probe);
    link->probe_item = dev->groups[0].items[0];
    link->probe.rd.items = &link->probe_item;
    link->probe.rd.item_count = 1;
    link->probe.on_item = on_probe_item;
    link->probe.op.on_done = on_probe_done;
    link->probe.op.arg = link;
    dev_read_start((struct nx_dev *)(uintptr_t)dev, &link->probe, (uint64_t)link->conf->timeout_ms);
}

static void
fall_asleep(struct nx_link *link)
{
    log_debug(&link->log, "closing an idle connection");
    link->why = (struct nx_note){0};
    link->is_asleep = true;
    begin_close(link);
}

static void
on_care(struct loop_timer *t, void *arg)
{
    struct nx_link *link = arg;
    uint64_t now = loop_now_ms(link->engine->loop);
    uint64_t idle_ms = (uint64_t)link->conf->idle_timeout_ms, health_ms = (uint64_t)link->conf->health_interval_ms;

    (void)t;
    if (link->ops)
        return;
    if (idle_ms > 0 && now - link->used_ms >= idle_ms)
        fall_asleep(link);
    else if (health_ms > 0 && now - link->heard_ms >= health_ms && now - link->used_ms >= health_ms)
        start_probe(link);
}

static void
start_care(struct nx_link *link)
{
    uint64_t idle_ms = (uint64_t)link->conf->idle_timeout_ms, health_ms = (uint64_t)link->conf->health_interval_ms;
    uint64_t period = idle_ms > 0 && (health_ms == 0 || idle_ms < health_ms) ? idle_ms : health_ms;

    if (period > 0)
        loop_timer_start(link->engine->loop, &link->care, period, (period + 3) / 4, on_care, link);
}

void
conn_alive(struct nx_link *link)
{
    link->backoff_ms = 0;
    link->heard_ms = loop_now_ms(link->engine->loop);
    if (link->is_mute)
        log_info(&link->log, "device answers again");
    link->is_mute = false;
}

void
conn_opening_done(struct nx_link *link)
{
    struct nx_dev *dev, *tmp;

    if (link->state != CONN_OPENING)
        return;
    loop_timer_stop(&link->timer);
    set_state(link, CONN_UP);
    link->heard_ms = link->used_ms = loop_now_ms(link->engine->loop);
    if (!link->is_mute) {
        if (is_wanted(link))
            log_info(&link->log, "device is online");
        link->why = (struct nx_note){0};
    }
    start_care(link);
    if (!link->is_asleep)
        DL_FOREACH_SAFE2(link->devs, dev, tmp, link_next)
    dev_link_up(dev);
    link->is_asleep = false; /* it woke for an operation: the polls have kept their phase */
    ops_link_up(link);
}

void
conn_lost(struct nx_link *link, enum nx_err err, const struct nx_note *why)
{
    bool is_news = link->state == CONN_UP || link->why.err != err;

    if (link->state != CONN_OPENING && link->state != CONN_UP)
        return;
    remember(link, err, why);
    link->is_asleep = false;
    if (is_news && is_wanted(link))
        log_warn(&link->log, "device is offline; trying again with back-off", KV_ERR(err), KV_NOTE(&link->why),
                 KV_UINT("devices", link->dev_count));
    if (is_news && link->engine->ops.on_trouble)
        link->engine->ops.on_trouble(link->engine->arg, link, &link->why);
    begin_close(link);
    take_down(link, err);
}

void
conn_drop(struct nx_link *link, enum nx_err err, const char *text)
{
    struct nx_note why = {.err = err};

    (void)nx_fail(&why, err, "%s", text);
    conn_lost(link, err, &why);
}

void
conn_closed(struct nx_link *link)
{
    struct nx_dev *dev;

    assert(link->state == CONN_CLOSING && !link->ops);
    DL_FOREACH2(link->devs, dev, link_next)
    lists_forget_plans(dev);
    dev_read_fini(&link->probe);
    if (link->waiting || (!link->why.text[0] && !link->is_asleep && link->dev_count > 0)) {
        wait_for(link, 0);
    } else if (link->is_asleep || !is_wanted(link)) {
        set_state(link, CONN_OFF);
    } else {
        wait_for(link, next_backoff(link));
    }
    if (link->dev_count == 0)
        want_end(link);
}

/* --- joining --- */

char *
conn_key(const struct device *conf)
{
    struct wbuf w = wbuf_init(0);
    char *key;

    wbuf_str(&w, conf->driver->name);
    conf_settings_print(conf->settings, false, &w);
    key = mem_strdup(wbuf_cstr(&w));
    wbuf_free(&w);
    return key;
}

static struct nx_link *
make_link(struct engine *e, struct device *conf, char *key)
{
    struct nx_link *link = mem_alloc(sizeof *link);

    link->engine = e;
    link->driver = conf->driver;
    link->conf = device_ref(conf);
    link->key = key;
    link->log = (struct log_ctx){.module = conf->driver->name, .kind = "device", .id = link->conf->id};
    link->driver_state = mem_alloc((conf->driver->link_size + ALIGN) & ~(size_t)(ALIGN - 1));
    link->since_us = loop_wall_us(e->loop);
    HASH_ADD_KEYPTR(hh, e->links, link->key, strlen(link->key), link);
    return link;
}

static void
begin(struct nx_link *link, const struct nx_dev *dev)
{
    double jitter = (double)dev->conf->poll_interval_ms / 10;

    if (jitter > START_JITTER_MS)
        jitter = START_JITTER_MS;
    wait_for(link, dev->is_probe ? 0 : (uint64_t)(num_random_unit(&link->engine->rng) * jitter));
}

void
conn_join(struct nx_dev *dev)
{
    struct engine *e = dev->engine;
    char *key = conn_key(dev->conf);
    struct nx_link *link;

    HASH_FIND_STR(e->links, key, link);
    if (link)
        free(key);
    else
        link = make_link(e, dev->conf, key);
    dev->link = link;
    DL_APPEND2(link->devs, dev, link_prev, link_next);
    link->dev_count++;
}

void
conn_begin(struct nx_dev *dev)
{
    struct nx_link *link = dev->link;

    if (link->state == CONN_OFF && !link->is_asleep)
        begin(link, dev);
    else if (dev->is_probe && (link->state == CONN_OFF || link->state == CONN_WAITING))
        ask(link);
    else if (dev->is_probe && (link->state == CONN_UP || link->state == CONN_FAULT))
        loop_defer(dev->engine->loop, dev_tell_later, dev);
    else if (link->state == CONN_UP || link->is_asleep)
        dev_link_up(dev);
    else if (link->state == CONN_FAULT)
        dev_link_down(dev, NX_E_CONFIG);
}
