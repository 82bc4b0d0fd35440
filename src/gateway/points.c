#include "gateway/points.h"

#include "base/mem.h"
#include "gateway/aggregate.h"
#include "gateway/calc.h"
#include "gateway/normalize.h"
#include "model/batch.h"

#include <stdlib.h>

#define FLUSH_BURST 64
#define GAPS_MAX    16u
#define RECORD_MAX  (BATCH_MAX_BYTES)
/* A tag message that left so much later than its value came says when. */
#define LATE_US 1000000

struct points {
    struct loop *loop;
    struct points_conf conf;
    struct spool *sp;
    struct link *link;
    struct outlet out;
    struct batch_writer *bw;
    struct wbuf record, message;
    struct slot **fresh; /* [conf.batch_size]: slots of the batch, in order */
    uint32_t fresh_count;
    struct slot *dirty_head, *dirty_tail; /* unsent tag messages */
    bool is_deferred, is_dead;            /* dead: freed by the flush that is still to come */
    uint64_t credited_ms;
    double credit;     /* batches that may leave at once */
    int64_t oldest_us; /* of the spool before the last append: where a gap begins */
    struct loop_timer timer;
    struct batch_gap gaps[GAPS_MAX + 1]; /* not yet in the spool; one place for the gap being written */
    unsigned gap_count;
    struct calc *calc;
    struct aggregates *aggregates;
    bool is_calculating;
    struct points_stats stats;
    struct log_ctx log;
    struct metric *published, *conflated, *dropped, *journaled;
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
spool_fails(struct points *ps, const struct nx_note *why)
{
    if (!ps->stats.why.text[0])
        log_error(&ps->log, "points are not stored; polling goes on", KV_NOTE(why));
    ps->stats.why = *why;
}

static bool
append(struct points *ps, uint32_t count)
{
    struct nx_note why = {0};
    uint64_t seq = spool_next_seq(ps->sp);

    ps->oldest_us = spool_stats_of(ps->sp).oldest_us;
    if (spool_append(ps->sp, wbuf_slice_of(&ps->record), count, &why) != NX_OK) {
        spool_fails(ps, &why);
        return false;
    }
    if (ps->stats.why.text[0]) {
        log_info(&ps->log, "the spool takes points again");
        ps->stats.why = (struct nx_note){0};
    }
    link_appended(ps->link, seq, wbuf_slice_of(&ps->record));
    return true;
}

static struct batch_header
next_header(struct points *ps)
{
    return (struct batch_header){.gateway = slice_str(ps->conf.gateway),
                                 .epoch = spool_epoch(ps->sp),
                                 .lane = ps->conf.lane,
                                 .seq = spool_next_seq(ps->sp)};
}

static void
add_gap(struct points *ps, const struct batch_gap *gap)
{
    struct batch_gap *last = ps->gap_count > 0 ? &ps->gaps[ps->gap_count - 1] : NULL;

    ps->stats.dropped += gap->points;
    metric_add(ps->dropped, (double)gap->points);
    if (last && (last->cause == gap->cause || ps->gap_count >= GAPS_MAX)) {
        last->points += gap->points;
        last->to_us = gap->to_us;
        if (gap->to_seq > last->to_seq)
            last->to_seq = gap->to_seq;
        return;
    }
    ps->gaps[ps->gap_count++] = *gap;
}

static struct batch_gap
take_gap(struct points *ps)
{
    struct batch_gap gap = ps->gaps[0];

    memmove(ps->gaps, ps->gaps + 1, --ps->gap_count * sizeof *ps->gaps);
    return gap;
}

static void
put_gap_back(struct points *ps, const struct batch_gap *gap)
{
    memmove(ps->gaps + 1, ps->gaps, ps->gap_count++ * sizeof *ps->gaps);
    ps->gaps[0] = *gap;
}

/* A gap record may itself push the oldest segment out: that gap waits for the next flush. The one at hand leaves the
 * list first, or what is dropped meanwhile would be added to a record that is written already. */
static void
append_gaps(struct points *ps)
{
    for (unsigned n = ps->gap_count; n > 0; n--) {
        struct batch_header hdr = next_header(ps);
        struct batch_gap gap = take_gap(ps);

        wbuf_reset(&ps->record);
        if (batch_encode_gap(&hdr, &gap, &ps->record) == NX_OK && !append(ps, 0)) {
            put_gap_back(ps, &gap);
            return;
        }
    }
}

static bool
append_batch(struct points *ps)
{
    struct batch_header hdr = next_header(ps);
    uint32_t count = batch_writer_count(ps->bw);

    wbuf_reset(&ps->record);
    if (batch_writer_finish(ps->bw, &hdr, ps->conf.compress, &ps->record) == NX_OK && append(ps, count)) {
        ps->stats.journaled += count;
        metric_add(ps->journaled, count);
        return true;
    }
    int64_t now = loop_wall_us(ps->loop);
    enum nx_err cause = ps->stats.why.err != NX_OK ? ps->stats.why.err : NX_E_DISK_FULL;
    add_gap(ps, &(struct batch_gap){.points = count, .from_us = now, .to_us = now, .cause = cause});
    return false;
}

static void
settle_fresh(struct points *ps, bool has_seq, uint64_t seq)
{
    for (uint32_t i = 0; i < ps->fresh_count; i++) {
        struct slot *slot = ps->fresh[i];
        slot->has_seq = has_seq;
        slot->seq = seq;
        if (ps->conf.want_tags)
            make_dirty(ps, slot);
    }
    ps->fresh_count = 0;
}

static void
write_out(struct points *ps)
{
    bool has_seq = false;
    uint64_t seq = 0;

    loop_timer_stop(&ps->timer);
    if (ps->sp && ps->gap_count > 0 && !ps->stats.why.text[0])
        append_gaps(ps);
    if (ps->fresh_count > 0) {
        if (ps->sp) {
            seq = spool_next_seq(ps->sp);
            has_seq = append_batch(ps);
        }
        settle_fresh(ps, has_seq, seq);
    }
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

static void
add_point(struct points *ps, struct slot *slot, int64_t now_us)
{
    struct point p = {.quality = slot->quality, .value = slot->value, .time_us = slot->time_us, .gateway_us = now_us};

    if (ps->bw && !batch_writer_add(ps->bw, slot->key, &slot->series, &p)) {
        write_out(ps);
        (void)batch_writer_add(ps->bw, slot->key, &slot->series, &p);
    }
    ps->fresh[ps->fresh_count++] = slot;
}

/* The value has passed the filter: it is the tag's newest from now on. */
static void
accept(struct points *ps, struct slot *slot, const struct sample *s, int64_t time_us, int64_t now_us)
{
    ps->stats.passed++;
    if (ps->fresh_count == ps->conf.batch_size)
        write_out(ps);
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
points_dropped(struct points *ps, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    int64_t now_us = loop_wall_us(ps->loop);

    add_gap(ps, &(struct batch_gap){.from_seq = from,
                                    .to_seq = to,
                                    .points = points,
                                    .from_us = ps->oldest_us > 0 ? ps->oldest_us : now_us,
                                    .to_us = now_us,
                                    .cause = cause});
}

const struct points_stats *
points_stats_of(const struct points *ps)
{
    return &ps->stats;
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
    struct points *ps = mem_alloc(sizeof *ps);

    ps->loop = loop;
    ps->conf = *conf;
    ps->sp = sp;
    ps->link = link;
    ps->out = *out;
    ps->log = (struct log_ctx){.module = "points"};
    ps->calc = calc_new(&(struct calc_ops){.on_result = on_result, .on_mark = on_mark}, ps);
    ps->aggregates = aggregates_new(loop, &(struct aggregates_ops){.on_window = on_window}, ps);
    if (sp)
        ps->bw = batch_writer_new();
    ps->credit = FLUSH_BURST;
    ps->credited_ms = loop_now_ms(loop);
    ps->fresh = mem_calloc(conf->batch_size, sizeof(struct slot *));
    ps->record = wbuf_init(RECORD_MAX);
    ps->message = wbuf_init(64u << 10);
    ps->published = metrics_get(metrics, &published, NULL);
    ps->conflated = metrics_get(metrics, &conflated, NULL);
    ps->dropped = metrics_get(metrics, &dropped, NULL);
    ps->journaled = metrics_get(metrics, &journaled, NULL);
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
    if (ps->bw)
        batch_writer_free(&ps->bw);
    wbuf_free(&ps->record);
    wbuf_free(&ps->message);
    free(ps->fresh);
    ps->is_dead = true;
    if (!ps->is_deferred)
        free(ps);
    *psp = NULL;
}
