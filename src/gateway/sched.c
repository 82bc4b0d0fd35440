/* sched.c -- polls: when a read list is due, who may go first, and what becomes of the outcome.
 *
 * A slot whose device is still busy is skipped and counted, never queued: a slow device gets fewer polls, not older
 * ones. One that finds no place in flight looks once more within a tenth of its interval (many are due at once when the
 * loop was held up), then it is skipped too. Every other slot ends as one reading per tag: a value, or the reason why
 * there is none. */
#include "base/mem.h"
#include "base/num.h"
#include "gateway/engine.h"

/* On a shared line a unit that was silent twice is asked this seldom: its timeouts cost all the others. */
#define SILENT_UNIT_MS    10000u
#define SILENT_UNIT_POLLS 2u
#define ADAPTIVE_GROWTH   1.5

static loop_timer_cb on_slot;

void
sched_item(void *arg, uint32_t i, const struct sample *s)
{
    struct group *g = arg;
    struct slot *slot = g->slots[i];

    g->set_count += slot->poll_no != g->poll_no;
    slot->poll_no = g->poll_no;
    g->changed_count += g->dev->engine->ops.on_sample(g->dev->engine->arg, slot, s);
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
            (void)g->dev->engine->ops.on_sample(g->dev->engine->arg, g->slots[i], &s);
}

static void
skip(struct group *g)
{
    g->skipped++;
    g->dev->stats.polls_skipped++;
    metric_inc(g->dev->polls_skipped);
    metric_inc(g->dev->engine->skipped_total);
}

static uint16_t
offline_quality(enum nx_err err)
{
    return nx_err_class(err) == NX_CLASS_CONFIG && err != NX_E_RESOLVE ? NX_Q_CONFIG_ERROR : NX_Q_NOT_CONNECTED;
}

/* --- may it go now? --- */

/* The last places are kept for what matters more. */
static bool
has_place(const struct engine *e, enum tag_priority priority)
{
    unsigned all = e->conf.worker_count;
    unsigned mine = priority == PRIORITY_SAFETY ? all : priority == PRIORITY_CONTROL ? all - all / 20 : all - all / 5;

    return e->polls_in_flight < mine;
}

/* max_requests_per_second: a poll pays for the requests that the polls before it have made. */
static bool
has_tokens(struct nx_dev *dev)
{
    double rate = (double)dev->conf->max_requests_per_s;
    uint64_t now = loop_now_ms(dev->engine->loop);

    if (rate == 0)
        return true;
    dev->tokens += (double)(now - dev->refilled_ms) * rate / 1000 -
                   (double)(dev->counters[NX_COUNT_REQUESTS] - dev->requests_before);
    dev->refilled_ms = now;
    dev->requests_before = dev->counters[NX_COUNT_REQUESTS];
    if (dev->tokens > rate)
        dev->tokens = rate;
    return dev->tokens >= 0;
}

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
fail_poll(struct group *g)
{
    const struct nx_dev *dev = g->dev;

    g->poll_no++;
    fail_slots(g, dev->why.err, dev_is_ready(dev) ? quality_from_err(dev->why.err) : offline_quality(dev->why.err),
               dev->why.text);
}

static void
begin_poll(struct group *g)
{
    g->poll_no++;
    g->set_count = g->changed_count = 0;
    g->attempt = 0;
    start_poll(g);
}

static uint64_t
second_look_ms(const struct group *g)
{
    return 1 + (uint64_t)(num_random_unit(&g->dev->engine->rng) * (double)g->interval_ms / 10);
}

static void
on_second_look(struct loop_timer *t, void *arg)
{
    struct group *g = arg;
    struct nx_dev *dev = g->dev;

    (void)t;
    if (!dev_is_ready(dev) || dev->engine->is_paused || !has_place(dev->engine, g->priority)) {
        breaker_forget(&dev->breaker);
        skip(g);
    } else {
        begin_poll(g);
    }
}

static void
on_slot(struct loop_timer *t, void *arg)
{
    struct group *g = arg;
    struct nx_dev *dev = g->dev;
    struct engine *e = dev->engine;

    (void)t;
    if (g->is_fresh)
        choose_phase(g);
    if (e->is_paused)
        return;
    if (!dev_is_ready(dev)) {
        fail_poll(g);
        return;
    }
    if (g->read.op.op || loop_timer_is_running(&g->retry) || !has_tokens(dev))
        skip(g);
    else if (!breaker_allows(&dev->breaker, loop_now_ms(e->loop)))
        fail_poll(g);
    else if (has_place(e, g->priority))
        begin_poll(g);
    else
        loop_timer_start(e->loop, &g->retry, second_look_ms(g), 0, on_second_look, g);
}

static void
on_retry(struct loop_timer *t, void *arg)
{
    struct group *g = arg;

    (void)t;
    if (dev_is_ready(g->dev) && !g->read.op.op)
        start_poll(g);
}

/* --- what became of it --- */

static bool
is_shared(const struct nx_link *link)
{
    return link->dev_count > 1;
}

/* Once more within the same slot, when nothing has come and there is time before the next one. Not on a shared line,
 * where the others wait for it. */
static bool
try_again(struct group *g, enum nx_err err)
{
    struct nx_dev *dev = g->dev;
    uint64_t now = loop_now_ms(dev->engine->loop);

    if (nx_err_class(err) != NX_CLASS_RETRY || g->set_count > 0 || g->attempt >= (unsigned)dev->conf->retry_count ||
        dev->breaker.state != BREAKER_CLOSED || is_shared(dev->link))
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
    dev_tell(dev);
}

static struct breaker_conf
breaker_conf_of(const struct nx_dev *dev)
{
    return (struct breaker_conf){.requests = (unsigned)dev->conf->breaker_requests,
                                 .failure_percent = (unsigned)dev->conf->breaker_failure_percent,
                                 .probes = (unsigned)dev->conf->breaker_probes,
                                 .open_ms = (uint64_t)dev->conf->breaker_open_ms};
}

static void
smooth(double *avg, double now)
{
    *avg += (now - *avg) * (*avg > 0 ? 0.1 : 1);
}

static void
count_times(struct group *g)
{
    struct nx_dev *dev = g->dev;
    double ms = (double)(loop_now_ns(dev->engine->loop) - g->started_ns) / 1e6;
    uint64_t now = loop_now_ms(dev->engine->loop);

    smooth(&g->read_ms, ms);
    smooth(&dev->stats.read_ms_avg, ms);
    if (g->done_ms > 0 && g->gaps++ > 0) /* the first gap is that of the phase */
        smooth(&g->achieved_ms, (double)(now - g->done_ms));
    g->done_ms = now;
    g->polls++;
    metric_observe(dev->duration, ms / 1000);
}

static void
count_success(struct group *g)
{
    struct nx_dev *dev = g->dev;
    struct breaker_conf conf = breaker_conf_of(dev);

    count_times(g);
    dev->stats.polls_ok++;
    dev->stats.failed_in_row = 0;
    dev->last_seen_us = loop_wall_us(dev->engine->loop);
    metric_inc(dev->polls_ok);
    metric_add(dev->engine->points_read, g->set_count);
    conn_alive(dev->link);
    breaker_result(&dev->breaker, &conf, true, loop_now_ms(dev->engine->loop));
    if (dev->is_failing) {
        dev->why = (struct nx_note){0};
        log_info(&dev->log, "polls succeed again");
    }
    set_failing(dev, false);
}

/* A timeout alone is no disconnect; a link on which nothing at all arrives is taken for dead. */
static bool
is_link_dead(const struct nx_dev *dev, enum nx_err err)
{
    const struct engine *e = dev->engine;
    uint64_t quiet_ms = loop_now_ms(e->loop) - dev->link->heard_ms;

    return err == NX_E_TIMEOUT && dev->stats.failed_in_row >= e->conf.max_retries &&
           quiet_ms >= (uint64_t)dev->conf->timeout_ms * e->conf.max_retries;
}

static void
break_circuit(struct nx_dev *dev, enum nx_err err)
{
    struct breaker_conf conf = breaker_conf_of(dev);
    uint64_t now = loop_now_ms(dev->engine->loop);
    enum breaker_state before = dev->breaker.state;
    bool is_silent = err == NX_E_TIMEOUT || err == NX_E_OFFLINE;

    breaker_result(&dev->breaker, &conf, false, now);
    if (is_shared(dev->link) && is_silent && dev->stats.failed_in_row >= SILENT_UNIT_POLLS) {
        uint64_t rest = 20 * (uint64_t)dev->conf->timeout_ms; /* it may cost the line a twentieth of its time */
        breaker_trip(&dev->breaker, rest > SILENT_UNIT_MS ? rest : SILENT_UNIT_MS, now);
    }
    if (before != BREAKER_OPEN && dev->breaker.state == BREAKER_OPEN && before == BREAKER_CLOSED)
        log_warn(&dev->log, "too many polls failed: the device is left in peace, then tried again", KV_ERR(err),
                 KV_UINT("pause_ms", dev->breaker.open_until_ms - now));
}

static void
count_failure(struct group *g, enum nx_err err, const struct nx_note *why)
{
    struct nx_dev *dev = g->dev;

    dev->stats.polls_failed++;
    dev->stats.failed_in_row++;
    metric_inc(dev->polls_failed);
    (void)nx_fail(&dev->why, err, "%s", why && why->text[0] ? why->text : nx_err_text(err));
    if (!dev->is_failing) {
        log_warn(&dev->log, "poll failed; the next one comes in its time", KV_ERR(err), KV_NOTE(&dev->why));
        if (dev->engine->ops.on_trouble)
            dev->engine->ops.on_trouble(dev->engine->arg, dev->link, &dev->why);
    }
    break_circuit(dev, err);
    set_failing(dev, true);
    if (!is_link_dead(dev, err))
        return;
    dev->link->is_mute = true;
    conn_drop(dev->link, NX_E_TIMEOUT,
              "the device accepts connections but answers nothing; the connection is made anew. Check the unit id, and "
              "whether the device is busy or has hung up.");
}

/* Tags that change are read often, tags that rest seldom. */
static void
adapt(struct group *g)
{
    struct engine *e = g->dev->engine;
    int64_t next = g->adaptive_min_ms;

    if (g->adaptive_max_ms == 0)
        return;
    if (g->changed_count == 0)
        next = (int64_t)((double)g->interval_ms * ADAPTIVE_GROWTH);
    if (next > g->adaptive_max_ms)
        next = g->adaptive_max_ms;
    if (next == g->interval_ms)
        return;
    g->interval_ms = next;
    loop_timer_start(e->loop, &g->timer, (uint64_t)next, (uint64_t)next, on_slot, g);
}

void
sched_poll_done(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct group *g = arg;
    struct nx_dev *dev = g->dev;

    dev->engine->polls_in_flight--;
    show_load(dev->engine);
    if (!dev_is_ready(dev) || dev->is_retired) {
        breaker_forget(&dev->breaker);
        return;
    }
    if (err != NX_OK && try_again(g, err))
        return;
    if (err == NX_OK) {
        fail_slots(g, NX_E_DEVICE, NX_Q_BAD, "the device has sent no value for this tag");
        count_success(g);
        adapt(g);
        return;
    }
    fail_slots(g, err, quality_from_err(err), why && why->text[0] ? why->text : NULL);
    count_failure(g, err, why);
}

/* --- the connection --- */

void
sched_link_up(struct nx_dev *dev)
{
    for (unsigned i = 0; i < dev->group_count; i++) {
        struct group *g = &dev->groups[i];

        if (g->read.op.op) /* it has woken the link */
            continue;
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
        g->done_ms = 0;
        g->gaps = 0;
        if (!g->has_silence)
            loop_timer_stop(&g->timer);
        else if (!loop_timer_is_running(&g->timer))
            loop_timer_start(dev->engine->loop, &g->timer, (uint64_t)g->interval_ms, (uint64_t)g->interval_ms, on_slot,
                             g);
        g->poll_no++;
        fail_slots(g, err, offline_quality(err), reason);
    }
}
