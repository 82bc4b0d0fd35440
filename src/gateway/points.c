#include "gateway/points.h"

#include "base/mem.h"
#include "gateway/aggregate.h"
#include "gateway/calc.h"
#include "gateway/normalize.h"

#include <stdlib.h>

#define FLUSH_BURST 64
/* A tag message that left so much later than its value came says when. */
#define LATE_US 1000000

struct points {
    struct loop *loop;
    struct points_conf conf;
    struct spool *bulk_spool;
    struct journal *lanes[LANE_COUNT]; /* without the urgent one its points go with the others */
    struct outlet out;
    struct wbuf message;
    struct slot *dirty_head, *dirty_tail; /* unsent tag messages */
    bool is_deferred, is_dead;            /* dead: freed by the flush that is still to come */
    uint64_t credited_ms;
    double credit; /* batches that may leave at once */
    struct loop_timer timer;
    struct calc *calc;
    struct aggregates *aggregates;
    bool is_calculating;
    struct points_stats stats;
    struct log_ctx log;
    struct metric *published, *conflated, *dropped, *journaled, *lost[JOURNAL_CAUSES];
};

/* --- tag messages --- */

static void
make_dirty(struct points *ps, struct slot *slot)
{
    if (slot->is_dirty) {
        ps->stats.conflated++;
        metric_inc(ps->conflated);
        return;
    }
    slot->is_dirty = true;
    slot->next_dirty = NULL;
    if (ps->dirty_tail)
        ps->dirty_tail->next_dirty = slot;
    else
        ps->dirty_head = slot;
    ps->dirty_tail = slot;
    ps->stats.unsent++;
}

static void
take_dirty(struct points *ps)
{
    struct slot *slot = ps->dirty_head;

    ps->dirty_head = slot->next_dirty;
    if (!ps->dirty_head)
        ps->dirty_tail = NULL;
    slot->is_dirty = false;
    ps->stats.unsent--;
}

static void
on_published(void *arg, enum nx_err err)
{
    struct points *ps = arg;

    if (err == NX_OK) {
        ps->stats.published++;
        metric_inc(ps->published);
    } else if (err != NX_E_CANCELED) {
        ps->stats.refused++;
        log_warn(&ps->log, "the broker refuses tag messages; check the access list of the gateway's user", KV_ERR(err));
    }
}

static enum nx_err
publish_slot(struct points *ps, struct slot *slot)
{
    int64_t now_us = loop_wall_us(ps->loop);
    struct tagmsg msg = {.value = slot->value,
                         .quality = slot->quality,
                         .time_us = slot->time_us,
                         .source_us = slot->source_us,
                         .gateway_us = slot->source_us > 0 ? slot->gateway_us : 0,
                         .publish_us = now_us - slot->gateway_us >= LATE_US ? now_us : 0,
                         .unit = slot->series.unit,
                         .error = slice_str(slot->reason),
                         .has_seq = slot->has_seq,
                         .seq = slot->seq};

    wbuf_reset(&ps->message);
    tagmsg_encode(&ps->message, ps->conf.format, &msg);
    return outlet_publish(&ps->out,
                          &(struct mqtt_publication){.topic = slot->series.topic,
                                                     .payload = wbuf_slice_of(&ps->message),
                                                     .qos = ps->conf.qos,
                                                     .retain = ps->conf.retain},
                          on_published, ps);
}

static void
publish_dirty(struct points *ps)
{
    while (ps->dirty_head) {
        enum nx_err err = publish_slot(ps, ps->dirty_head);
        if (err == NX_E_FULL || err == NX_E_OFFLINE)
            return;
        if (err != NX_OK)
            on_published(ps, err);
        take_dirty(ps);
    }
}

/* --- the spool --- */

static void
on_written(void *arg, struct slot *slot, bool has_seq, uint64_t seq)
{
    struct points *ps = arg;

    slot->has_seq = has_seq;
    slot->seq = seq;
    if (ps->conf.want_tags)
        make_dirty(ps, slot);
}

/* What the lanes have counted since the last time. */
static void
count(struct points *ps)
{
    struct points_stats s = points_stats_of(ps);

    metric_add(ps->journaled, (double)(s.journaled - ps->stats.journaled));
    metric_add(ps->dropped, (double)(s.dropped - ps->stats.dropped));
    for (unsigned i = 0; i < JOURNAL_CAUSES; i++)
        metric_add(ps->lost[i], (double)(s.lost[i] - ps->stats.lost[i]));
    ps->stats = s;
}

/* The urgent ones first, up to the broker. */
static void
write_out(struct points *ps)
{
    loop_timer_stop(&ps->timer);
    for (unsigned i = LANE_COUNT; i > 0; i--)
        if (ps->lanes[i - 1])
            journal_write(ps->lanes[i - 1], on_written, ps);
    count(ps);
    publish_dirty(ps);
}

/* What is calculated from the values of this flush leaves with it. */
void
points_flush(struct points *ps)
{
    if (!ps->is_calculating) {
        ps->is_calculating = true;
        calc_run(ps->calc);
        ps->is_calculating = false;
    }
    write_out(ps);
}

static void
flush_at_end_of_turn(void *arg)
{
    struct points *ps = arg;

    ps->is_deferred = false;
    if (ps->is_dead)
        free(ps);
    else
        points_flush(ps);
}

static void
flush_on_time(struct loop_timer *t, void *arg)
{
    (void)t;
    points_flush(arg);
}

/* On the average one batch in flush_interval_ms; what comes in a short burst of replies leaves at once all the same. */
static bool
may_flush_now(struct points *ps)
{
    uint64_t now = loop_now_ms(ps->loop);

    ps->credit += (double)(now - ps->credited_ms) / ps->conf.flush_interval_ms;
    ps->credited_ms = now;
    if (ps->credit > FLUSH_BURST)
        ps->credit = FLUSH_BURST;
    if (ps->credit < 1)
        return false;
    ps->credit -= 1;
    return true;
}

static void
want_flush(struct points *ps)
{
    if (ps->is_deferred || loop_timer_is_running(&ps->timer))
        return;
    if (!may_flush_now(ps)) {
        loop_timer_start(ps->loop, &ps->timer, ps->conf.flush_interval_ms, 0, flush_on_time, ps);
        return;
    }
    ps->is_deferred = true;
    loop_defer(ps->loop, flush_at_end_of_turn, ps);
}

/* --- readings --- */

static void
keep_value(struct slot *slot, const struct nx_value *v)
{
    slot->value = *v;
    if (v->type != NX_TYPE_STRING)
        return;
    if (v->len > slot->text_cap) {
        slot->text = mem_realloc(slot->text, v->len);
        slot->text_cap = v->len;
    }
    memcpy(slot->text, v->s, v->len);
    slot->value.s = slot->text;
}

static void
keep_reason(struct slot *slot, const char *reason)
{
    if (!slot->reason && !reason)
        return;
    free(slot->reason);
    slot->reason = reason ? mem_strdup(reason) : NULL;
}

/* Two points of a tag never share a time, also when they fall into one turn. */
static int64_t
point_time(const struct slot *slot, int64_t source_us, int64_t now_us)
{
    if (source_us > 0)
        return source_us;
    return now_us <= slot->time_us && now_us > slot->time_us - 1000 ? slot->time_us + 1 : now_us;
}

static struct journal *
journal_for(const struct points *ps, const struct slot *slot)
{
    bool is_urgent = slot->tag->priority != PRIORITY_TELEMETRY && ps->lanes[LANE_URGENT];

    return ps->lanes[is_urgent ? LANE_URGENT : LANE_BULK];
}

static void
add_point(struct points *ps, struct slot *slot, int64_t now_us)
{
    struct journal *j = journal_for(ps, slot);

    if (journal_add(j, slot, now_us))
        return;
    write_out(ps);
    (void)journal_add(j, slot, now_us);
}

/* The value has passed the filter: it is the tag's newest from now on. */
static void
accept(struct points *ps, struct slot *slot, const struct sample *s, int64_t time_us, int64_t now_us)
{
    ps->stats.passed++;
    if (journal_is_full(journal_for(ps, slot)))
        write_out(ps); /* with the value before */
    slot->quality = s->quality;
    slot->time_us = time_us;
    slot->source_us = s->source_us;
    slot->gateway_us = now_us;
    keep_value(slot, &s->value);
    keep_reason(slot, nx_quality_is_good(s->quality) ? NULL : s->reason);
    if (!slot->tag->is_silent)
        add_point(ps, slot, now_us);
    if (slot->watchers)
        calc_touch(ps->calc, slot);
    want_flush(ps);
}

/* Reads a raw sample of a driver into an engineering one. */
static struct sample
read_sample(struct points *ps, struct slot *slot, const struct sample *s)
{
    struct sample out = *s;
    const char *why = normalize_raw(slot->tag, &out.value, &out.quality);

    if (!why && slot->tag->expr && slot->tag->kind == TAG_POLLED)
        why = calc_apply(ps->calc, slot, &out.value, &out.quality);
    if (!why && !nx_quality_is_bad(out.quality))
        why = normalize_finish(slot->tag, &out.value, &out.quality);
    if (why)
        out.reason = why;
    return out;
}

static bool
take_new(struct points *ps, struct slot *slot, const struct sample *raw)
{
    struct sample s = read_sample(ps, slot, raw);
    int64_t now_us = loop_wall_us(ps->loop);

    filter_see(&slot->filter, &raw->value, raw->quality);
    if (slot->aggregate)
        aggregate_take(slot, &s.value, s.quality, s.source_us > 0 ? s.source_us : now_us);
    if (!filter_passes(&slot->filter, slot->tag, &s.value, s.quality, loop_now_ms(ps->loop)))
        return false;
    accept(ps, slot, &s, point_time(slot, s.source_us, now_us), now_us);
    return true;
}

bool
points_take(struct points *ps, struct slot *slot, const struct sample *s)
{
    const struct tag *tag = slot->tag;

    ps->stats.taken++;
    if (!slot->aggregate && filter_is_repeat(&slot->filter, &s->value, s->quality) &&
        (tag->max_silence_ms == 0 || loop_now_ms(ps->loop) - slot->filter.sent_ms < (uint64_t)tag->max_silence_ms))
        return false;
    return take_new(ps, slot, s);
}

static void
on_result(void *arg, struct slot *slot, const struct sample *s)
{
    (void)points_take(arg, slot, s);
}

static void
on_mark(void *arg)
{
    struct points *ps = arg;

    if (!ps->is_calculating)
        want_flush(ps);
}

/* Each window is news, also with the numbers of the one before; that nothing came is told once. */
static void
on_window(void *arg, struct slot *slot, const struct sample *s, int64_t at_us)
{
    struct points *ps = arg;
    bool is_news = filter_passes(&slot->filter, slot->tag, &s->value, s->quality, loop_now_ms(ps->loop));

    ps->stats.taken++;
    if (is_news || !nx_quality_is_bad(s->quality))
        accept(ps, slot, s, at_us, loop_wall_us(ps->loop));
}

void
points_adopt(struct points *ps, struct nx_dev *dev)
{
    aggregates_add_device(ps->aggregates, dev);
    calc_add_device(ps->calc, dev);
}

void
points_ready(struct points *ps)
{
    points_flush(ps);
}

void
points_forget(struct points *ps, struct nx_dev *dev)
{
    points_flush(ps);
    calc_remove_device(ps->calc, dev);
    aggregates_remove_device(ps->aggregates, dev);
    struct slot *slot = ps->dirty_head;
    ps->dirty_head = ps->dirty_tail = NULL;
    ps->stats.unsent = 0;
    while (slot) {
        struct slot *next = slot->next_dirty;
        slot->is_dirty = false;
        if (slot->dev != dev)
            make_dirty(ps, slot);
        slot = next;
    }
}

void
points_dropped(struct points *ps, enum points_lane lane, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    if (ps->lanes[lane])
        journal_dropped(ps->lanes[lane], from, to, points, cause);
}

struct points_stats
points_stats_of(const struct points *ps)
{
    struct points_stats s = ps->stats;

    s.journaled = s.dropped = 0;
    memset(s.lost, 0, sizeof s.lost);
    s.why = (struct nx_note){0};
    for (unsigned i = 0; i < LANE_COUNT && ps->lanes[i]; i++) {
        const struct journal_stats *js = journal_stats_of(ps->lanes[i]);
        s.journaled += js->journaled;
        s.dropped += js->dropped;
        for (unsigned n = 0; n < JOURNAL_CAUSES; n++)
            s.lost[n] += js->lost[n];
        if (js->why.text[0])
            s.why = js->why;
    }
    return s;
}

static struct journal *
open_lane(struct points *ps, uint8_t lane, struct spool *sp, struct link *link, struct spool *yields)
{
    return journal_new(ps->loop,
                       &(struct journal_conf){.gateway = ps->conf.gateway,
                                              .lane = lane,
                                              .batch_size = ps->conf.batch_size,
                                              .compress = ps->conf.compress,
                                              .yields = yields},
                       sp, link);
}

void
points_open_urgent(struct points *ps, uint8_t lane, struct spool *sp, struct link *link)
{
    ps->lanes[LANE_URGENT] = open_lane(ps, lane, sp, link, ps->bulk_spool);
}

struct points *
points_new(struct loop *loop, const struct points_conf *conf, struct spool *sp, struct link *link,
           const struct outlet *out, struct metrics *metrics)
{
    static const struct metric_desc published = {.name = "gateway_polling_points_published_total",
                                                 .kind = METRIC_COUNTER,
                                                 .help = "Tag messages that the broker has taken."};
    static const struct metric_desc conflated = {
        .name = "nexus_gateway_points_conflated_total",
        .kind = METRIC_COUNTER,
        .help = "Tag messages replaced by a newer value before the broker took them; the points are in batches."};
    static const struct metric_desc dropped = {.name = "nexus_gateway_points_dropped_total",
                                               .kind = METRIC_COUNTER,
                                               .help = "Points dropped by a bound of the spool or a full disk."};
    static const struct metric_desc journaled = {.name = "nexus_gateway_points_journaled_total",
                                                 .kind = METRIC_COUNTER,
                                                 .help = "Points put into the spool."};
    static const struct metric_desc lost = {.name = "nexus_gateway_points_lost_total",
                                            .kind = METRIC_COUNTER,
                                            .help = "Points dropped, by cause.",
                                            .labels = {"cause"}};
    struct points *ps = mem_alloc(sizeof *ps);

    ps->loop = loop;
    ps->conf = *conf;
    ps->bulk_spool = sp;
    ps->lanes[LANE_BULK] = open_lane(ps, conf->lane, sp, link, NULL);
    ps->out = *out;
    ps->log = (struct log_ctx){.module = "points"};
    ps->calc = calc_new(&(struct calc_ops){.on_result = on_result, .on_mark = on_mark}, ps);
    ps->aggregates = aggregates_new(loop, &(struct aggregates_ops){.on_window = on_window}, ps);
    ps->credit = FLUSH_BURST;
    ps->credited_ms = loop_now_ms(loop);
    ps->message = wbuf_init(64u << 10);
    ps->published = metrics_get(metrics, &published, NULL);
    ps->conflated = metrics_get(metrics, &conflated, NULL);
    ps->dropped = metrics_get(metrics, &dropped, NULL);
    ps->journaled = metrics_get(metrics, &journaled, NULL);
    for (unsigned i = 0; i < JOURNAL_CAUSES; i++) {
        const char *cause = journal_cause_name(i);
        ps->lost[i] = metrics_get(metrics, &lost, &cause);
    }
    return ps;
}

void
points_free(struct points **psp)
{
    struct points *ps = *psp;

    if (!ps)
        return;
    calc_free(&ps->calc);
    aggregates_free(&ps->aggregates);
    loop_timer_stop(&ps->timer);
    for (unsigned i = 0; i < LANE_COUNT; i++)
        journal_free(&ps->lanes[i]);
    wbuf_free(&ps->message);
    ps->is_dead = true;
    if (!ps->is_deferred)
        free(ps);
    *psp = NULL;
}
