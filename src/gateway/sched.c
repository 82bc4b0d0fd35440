/* sched.c -- polls: one read list per device and interval, each with its own timer that keeps its phase.
 *
 * A slot whose device is still busy, or that finds worker_count polls in flight, is skipped and counted, never queued:
 * a slow device gets fewer polls, not older ones. Every other slot ends as one reading per tag. */
#include "base/mem.h"
#include "base/num.h"
#include "gateway/engine.h"

#include <stdlib.h>

/* With more devices than this, further ones share one histogram: a scrape must not take seconds. */
#define OWN_HISTOGRAMS 1000u

struct group {
    struct dev_read read; /* first */
    struct nx_dev *dev;
    int64_t interval_ms;
    struct nx_read_item *items;
    struct slot **slots;
    uint32_t poll_no, set_count;
    unsigned attempt;
    bool is_fresh;    /* since the link came up; the phase is not chosen yet */
    bool has_silence; /* some tag must be sent again even while the device is away */
    uint64_t started_ns;
    struct loop_timer timer, retry;
};

static void on_poll_done(void *arg, enum nx_err err, const struct nx_note *why);

static void
on_item(void *arg, uint32_t i, const struct sample *s)
{
    struct group *g = arg;
    struct slot *slot = g->slots[i];

    g->set_count += slot->poll_no != g->poll_no;
    slot->poll_no = g->poll_no;
    g->dev->engine->ops.on_sample(g->dev->engine->arg, slot, s);
}

static void
show_load(struct engine *e)
{
    metric_set(e->utilization, (double)e->polls_in_flight / e->conf.worker_count);
}

static void
start_poll(struct group *g)
{
    struct nx_dev *dev = g->dev;

    dev->engine->polls_in_flight++;
    show_load(dev->engine);
    g->started_ns = loop_now_ns(dev->engine->loop);
    dev_read_start(dev, &g->read, (uint64_t)dev->conf->timeout_ms);
}

static void
fail_slots(struct group *g, enum nx_err err, uint16_t quality, const char *reason)
{
    struct sample s = {.quality = quality, .reason = reason ? reason : nx_err_text(err)};

    for (uint32_t i = 0; i < g->read.rd.item_count; i++)
        if (g->slots[i]->poll_no != g->poll_no)
            g->dev->engine->ops.on_sample(g->dev->engine->arg, g->slots[i], &s);
}

static void
skip(struct group *g)
{
    g->dev->stats.polls_skipped++;
    metric_inc(g->dev->polls_skipped);
    metric_inc(g->dev->engine->skipped_total);
}

static uint16_t
offline_quality(enum nx_err err)
{
    return nx_err_class(err) == NX_CLASS_CONFIG && err != NX_E_RESOLVE ? NX_Q_CONFIG_ERROR : NX_Q_NOT_CONNECTED;
}

static loop_timer_cb on_slot;

/* The first poll comes at once. The phase of the others lies anywhere in the interval but its first quarter, where the
 * first poll may still be under way: devices that start together would else poll together for ever, and the broker
 * would get a second's values in one burst. */
static void
choose_phase(struct group *g)
{
    double phase = (0.25 + 0.75 * num_random_unit(&g->dev->engine->rng)) * (double)g->interval_ms;

    g->is_fresh = false;
    loop_timer_start(g->dev->engine->loop, &g->timer, 1 + (uint64_t)phase, (uint64_t)g->interval_ms, on_slot, g);
}

static void
on_slot(struct loop_timer *t, void *arg)
{
    struct group *g = arg;
    struct engine *e = g->dev->engine;

    (void)t;
    if (g->is_fresh)
        choose_phase(g);
    if (e->is_paused)
        return;
    if (g->dev->state != DEV_UP) {
        g->poll_no++;
        fail_slots(g, g->dev->why.err, offline_quality(g->dev->why.err), g->dev->why.text);
        return;
    }
    if (g->read.op.op || loop_timer_is_running(&g->retry) || e->polls_in_flight >= e->conf.worker_count) {
        skip(g);
        return;
    }
    g->poll_no++;
    g->set_count = 0;
    g->attempt = 0;
    start_poll(g);
}

static void
on_retry(struct loop_timer *t, void *arg)
{
    struct group *g = arg;

    (void)t;
    if (g->dev->state == DEV_UP && !g->read.op.op)
        start_poll(g);
}

/* Once more within the same slot, when nothing has come and there is time before the next one. */
static bool
try_again(struct group *g, enum nx_err err)
{
    struct nx_dev *dev = g->dev;
    uint64_t now = loop_now_ms(dev->engine->loop);

    if (nx_err_class(err) != NX_CLASS_RETRY || g->set_count > 0 || g->attempt >= (unsigned)dev->conf->retry_count)
        return false;
    if (now + (uint64_t)dev->conf->retry_delay_ms >= g->timer.due_ms)
        return false;
    g->attempt++;
    loop_timer_start(dev->engine->loop, &g->retry, (uint64_t)dev->conf->retry_delay_ms, 0, on_retry, g);
    return true;
}

static void
set_failing(struct nx_dev *dev, bool is_failing)
{
    if (dev->is_failing == is_failing)
        return;
    dev->is_failing = is_failing;
    dev->engine->ops.on_state(dev->engine->arg, dev);
}

static void
count_success(struct group *g)
{
    struct nx_dev *dev = g->dev;
    double ms = (double)(loop_now_ns(dev->engine->loop) - g->started_ns) / 1e6;

    dev->stats.read_ms_avg += (ms - dev->stats.read_ms_avg) * (dev->stats.polls_ok ? 0.1 : 1);
    dev->stats.polls_ok++;
    dev->stats.failed_in_row = 0;
    dev->backoff_ms = 0;
    dev->last_seen_us = loop_wall_us(dev->engine->loop);
    metric_inc(dev->polls_ok);
    metric_observe(dev->duration, ms / 1000);
    metric_add(dev->engine->points_read, g->set_count);
    if (dev->is_failing)
        dev->why = (struct nx_note){0};
    if (dev->is_mute)
        log_info(&dev->log, "device answers again");
    dev->is_mute = false;
    set_failing(dev, false);
}

static void
count_failure(struct group *g, enum nx_err err, const struct nx_note *why)
{
    struct nx_dev *dev = g->dev;
    uint64_t quiet_ms = loop_now_ms(dev->engine->loop) - dev->heard_ms;

    dev->stats.polls_failed++;
    dev->stats.failed_in_row++;
    metric_inc(dev->polls_failed);
    if (!dev->is_failing)
        log_warn(&dev->log, "poll failed; the next one comes in its time", KV_ERR(err),
                 KV_STR("reason", why && why->text[0] ? why->text : nx_err_text(err)));
    (void)nx_fail(&dev->why, err, "%s", why && why->text[0] ? why->text : nx_err_text(err));
    set_failing(dev, true);
    /* A timeout alone is no disconnect; a link on which nothing at all arrives is taken for dead. */
    if (err == NX_E_TIMEOUT && dev->stats.failed_in_row >= dev->engine->conf.max_retries &&
        quiet_ms >= (uint64_t)dev->conf->timeout_ms * dev->engine->conf.max_retries) {
        dev->is_mute = true;
        dev_drop_link(dev, NX_E_TIMEOUT,
                      "the device accepts connections but answers nothing; the connection is made "
                      "anew. Check the unit id, and whether the device is busy or has hung up.");
    }
}

static void
on_poll_done(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct group *g = arg;
    struct nx_dev *dev = g->dev;

    dev->engine->polls_in_flight--;
    show_load(dev->engine);
    if (dev->state != DEV_UP || dev->is_retired || (err != NX_OK && try_again(g, err)))
        return;
    if (err == NX_OK) {
        fail_slots(g, NX_E_DEVICE, NX_Q_BAD, "the device has sent no value for this tag");
        count_success(g);
        return;
    }
    fail_slots(g, err, quality_from_err(err), why && why->text[0] ? why->text : NULL);
    count_failure(g, err, why);
}

/* --- making --- */

static bool
is_polled(const struct tag *tag)
{
    return tag->is_enabled && tag->access_mode != ACCESS_WRITE;
}

static int64_t
interval_of(const struct nx_dev *dev, const struct tag *tag)
{
    return tag->poll_interval_ms > 0 ? tag->poll_interval_ms : dev->conf->poll_interval_ms;
}

static struct group *
group_of(struct nx_dev *dev, int64_t interval_ms)
{
    for (unsigned i = 0; i < dev->group_count; i++)
        if (dev->groups[i].interval_ms == interval_ms)
            return &dev->groups[i];
    return NULL;
}

static void
add_tag(struct group *g, struct slot *slot)
{
    uint32_t n = g->read.rd.item_count++;

    g->items[n] = (struct nx_read_item){.addr = slot->tag->addr, .tag = slot->key};
    g->slots[n] = slot;
    g->has_silence |= slot->tag->max_silence_ms > 0;
}

static void
count_groups(struct nx_dev *dev, uint32_t *sizes)
{
    for (unsigned i = 0; i < dev->conf->tag_count; i++) {
        if (!is_polled(&dev->conf->tags[i]))
            continue;
        int64_t interval_ms = interval_of(dev, &dev->conf->tags[i]);
        struct group *g = group_of(dev, interval_ms);
        if (!g) {
            g = &dev->groups[dev->group_count++];
            g->interval_ms = interval_ms;
        }
        sizes[g - dev->groups]++;
    }
}

static void
make_metrics(struct nx_dev *dev)
{
    static const struct metric_desc polls = {.name = "gateway_polling_polls_total",
                                             .kind = METRIC_COUNTER,
                                             .help = "Polls by result.",
                                             .labels = {"device_id", "status"}};
    static const struct metric_desc duration = {.name = "gateway_polling_duration_seconds",
                                                .kind = METRIC_HISTOGRAM,
                                                .help = "Time of a poll that succeeded.",
                                                .labels = {"device_id", "protocol"}};
    struct metrics *m = dev->engine->metrics;
    const char *id = dev->conf->id;

    dev->polls_ok = metrics_get(m, &polls, (const char *[]){id, "success"});
    dev->polls_failed = metrics_get(m, &polls, (const char *[]){id, "error"});
    dev->polls_skipped = metrics_get(m, &polls, (const char *[]){id, "skipped"});
    dev->has_shared_duration = dev->engine->dev_count > OWN_HISTOGRAMS;
    dev->duration =
        metrics_get(m, &duration, (const char *[]){dev->has_shared_duration ? "others" : id, dev->conf->driver->name});
}

void
sched_make(struct nx_dev *dev)
{
    unsigned n = dev->conf->tag_count;
    uint32_t *sizes = mem_calloc(n, sizeof *sizes);

    dev->groups = mem_calloc(n, sizeof *dev->groups);
    count_groups(dev, sizes);
    dev->groups = mem_realloc(dev->groups, dev->group_count * sizeof *dev->groups); /* tags share few intervals */
    for (unsigned i = 0; i < dev->group_count; i++) {
        struct group *g = &dev->groups[i];
        g->dev = dev;
        g->items = mem_calloc(sizes[i], sizeof *g->items);
        g->slots = mem_calloc(sizes[i], sizeof *g->slots);
        g->read.rd.items = g->items;
        g->read.on_item = on_item;
        g->read.op.on_done = on_poll_done;
        g->read.op.arg = g;
    }
    for (unsigned i = 0; i < n; i++)
        if (is_polled(&dev->conf->tags[i]))
            add_tag(group_of(dev, interval_of(dev, &dev->conf->tags[i])), &dev->slots[i]);
    free(sizes);
    make_metrics(dev);
}

void
sched_link_up(struct nx_dev *dev)
{
    for (unsigned i = 0; i < dev->group_count; i++) {
        struct group *g = &dev->groups[i];

        g->is_fresh = true;
        loop_timer_start(dev->engine->loop, &g->timer, 0, (uint64_t)g->interval_ms, on_slot, g);
    }
}

void
sched_link_down(struct nx_dev *dev, enum nx_err err, const char *reason)
{
    for (unsigned i = 0; i < dev->group_count; i++) {
        struct group *g = &dev->groups[i];
        loop_timer_stop(&g->retry);
        if (!g->has_silence)
            loop_timer_stop(&g->timer);
        else if (!loop_timer_is_running(&g->timer))
            loop_timer_start(dev->engine->loop, &g->timer, (uint64_t)g->interval_ms, (uint64_t)g->interval_ms, on_slot,
                             g);
        g->poll_no++;
        fail_slots(g, err, offline_quality(err), reason);
    }
}

void
sched_closed(struct nx_dev *dev)
{
    for (unsigned i = 0; i < dev->group_count; i++)
        dev_read_fini(&dev->groups[i].read);
}

static void
drop_metric(struct nx_dev *dev, struct metric **m)
{
    if (*m)
        metrics_drop(dev->engine->metrics, m);
    *m = NULL;
}

void
sched_free(struct nx_dev *dev)
{
    for (unsigned i = 0; i < dev->group_count; i++) {
        struct group *g = &dev->groups[i];
        loop_timer_stop(&g->timer);
        loop_timer_stop(&g->retry);
        dev_read_fini(&g->read);
        free(g->items);
        free(g->slots);
    }
    dev->group_count = 0;
    free(dev->groups);
    dev->groups = NULL;
    drop_metric(dev, &dev->polls_ok);
    drop_metric(dev, &dev->polls_failed);
    drop_metric(dev, &dev->polls_skipped);
    if (!dev->has_shared_duration)
        drop_metric(dev, &dev->duration);
}
