#include "gateway/aggregate.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

struct aggregate {
    struct slot *source;
    struct window window;
    struct ring *ring;
    struct aggregate *prev, *next;
};

/* All windows of one length. */
struct ring {
    struct aggregates *owner;
    int64_t length_us;
    struct loop_timer timer;
    struct aggregate *members;
    struct ring *next;
};

struct aggregates {
    struct loop *loop;
    struct aggregates_ops ops;
    void *arg;
    struct ring *rings;
};

/* --- one window --- */

void
window_begin(struct window *w, int64_t begin_us)
{
    bool is_running = w->is_running;

    *w = (struct window){.last = w->last, .begin_us = begin_us, .last_us = begin_us};
    w->is_running = is_running;
    w->has_gap = !is_running;
}

static void
stand_until(struct window *w, int64_t at_us)
{
    if (w->is_running && at_us > w->last_us) {
        w->area += w->last * (double)(at_us - w->last_us);
        w->covered_us += at_us - w->last_us;
    }
    w->last_us = at_us;
}

static void
add_number(struct window *w, double v)
{
    double delta = v - w->mean;

    w->count++;
    w->mean += delta / (double)w->count;
    w->m2 += delta * (v - w->mean);
    if (w->count == 1)
        w->first = w->min = w->max = v;
    if (v < w->min)
        w->min = v;
    if (v > w->max)
        w->max = v;
    w->last = v;
}

void
window_add(struct window *w, double value, uint16_t quality, int64_t at_us)
{
    stand_until(w, at_us);
    w->is_running = nx_quality_is_good(quality);
    if (w->is_running)
        add_number(w, value);
    else
        w->has_gap = true;
}

static double
time_average(const struct window *w, int64_t end_us)
{
    struct window end = *w;

    stand_until(&end, end_us);
    return end.covered_us > 0 ? end.area / (double)end.covered_us : end.mean;
}

struct nx_value
window_result(const struct window *w, enum tag_function f, int64_t end_us)
{
    if (f == TAG_COUNT)
        return nx_value_uint(w->count);
    if (w->count == 0)
        return nx_value_none();
    switch (f) {
    case TAG_MIN:
        return nx_value_double(w->min);
    case TAG_MAX:
        return nx_value_double(w->max);
    case TAG_AVG:
        return nx_value_double(w->mean);
    case TAG_STDDEV:
        return nx_value_double(w->count > 1 ? sqrt(w->m2 / (double)(w->count - 1)) : 0);
    case TAG_FIRST:
        return nx_value_double(w->first);
    case TAG_LAST:
        return nx_value_double(w->last);
    case TAG_TIME_AVG:
        return nx_value_double(time_average(w, end_us));
    case TAG_COUNT:
    case TAG_FUNCTION_COUNT:
        break;
    }
    return nx_value_none();
}

/* --- closing --- */

static const char *
reason_of(const struct slot *source, char *buf, size_t cap)
{
    (void)snprintf(buf, cap, "no good value in the window%s%s", source->reason ? ": " : "",
                   source->reason ? source->reason : "");
    return buf;
}

static void
tell(struct aggregate *a, struct slot *target, int64_t end_us)
{
    char buf[256];
    struct aggregates *owner = a->ring->owner;
    struct sample s = {.value = window_result(&a->window, target->tag->function, end_us),
                       .quality = a->window.has_gap ? NX_Q_UNCERTAIN : NX_Q_GOOD};

    if (s.value.type == NX_TYPE_NONE || (s.value.type == NX_TYPE_DOUBLE && !isfinite(s.value.d))) {
        s.value = nx_value_none();
        s.quality = nx_quality_is_bad(a->source->quality) ? a->source->quality : NX_Q_BAD;
        s.reason = reason_of(a->source, buf, sizeof buf);
    }
    owner->ops.on_window(owner->arg, target, &s, end_us);
}

/* The functions of a tag follow it in the list of tags. */
static void
close_window(struct aggregate *a, int64_t end_us)
{
    struct nx_dev *dev = a->source->dev;
    unsigned index = (unsigned)(a->source - dev->slots);

    for (unsigned i = index + 1; i < dev->conf->tag_count; i++) {
        const struct tag *tag = &dev->conf->tags[i];

        if (tag->kind != TAG_AGGREGATE || tag->source != index)
            break;
        if (tag->is_enabled)
            tell(a, &dev->slots[i], end_us);
    }
    window_begin(&a->window, end_us);
    if (a->window.is_running && a->source->tag->kind != TAG_POLLED) /* it comes only when it changes */
        window_add(&a->window, a->window.last, NX_Q_GOOD, end_us);
}

static void on_boundary(struct loop_timer *t, void *arg);

static void
wait_for_boundary(struct ring *r)
{
    struct loop *loop = r->owner->loop;
    int64_t left_us = r->length_us - loop_wall_us(loop) % r->length_us;

    loop_timer_start(loop, &r->timer, (uint64_t)(left_us + 999) / 1000, 0, on_boundary, r);
}

static void
on_boundary(struct loop_timer *t, void *arg)
{
    struct ring *r = arg;
    int64_t now_us = loop_wall_us(r->owner->loop);
    int64_t end_us = (now_us + r->length_us / 2) / r->length_us * r->length_us; /* the wall clock may be a little off */
    struct aggregate *a;

    (void)t;
    DL_FOREACH (r->members, a)
        close_window(a, end_us);
    wait_for_boundary(r);
}

/* --- members --- */

static struct ring *
ring_of(struct aggregates *owner, int64_t window_ms)
{
    struct ring *r;

    LL_FOREACH (owner->rings, r) {
        if (r->length_us == window_ms * 1000)
            return r;
    }
    r = mem_alloc(sizeof *r);
    r->owner = owner;
    r->length_us = window_ms * 1000;
    LL_PREPEND(owner->rings, r);
    return r;
}

void
aggregates_add_device(struct aggregates *owner, struct nx_dev *dev)
{
    for (unsigned i = 0; i < dev->conf->tag_count; i++) {
        const struct tag *tag = &dev->conf->tags[i];

        if (tag->kind == TAG_AGGREGATE || tag->window_ms == 0 || !tag->is_enabled)
            continue;
        struct ring *r = ring_of(owner, tag->window_ms);
        struct aggregate *a = mem_alloc(sizeof *a);
        a->source = &dev->slots[i];
        a->ring = r;
        window_begin(&a->window, loop_wall_us(owner->loop));
        dev->slots[i].aggregate = a;
        DL_APPEND(r->members, a);
        if (!loop_timer_is_running(&r->timer))
            wait_for_boundary(r);
    }
}

static void
remove_member(struct slot *slot)
{
    struct aggregate *a = slot->aggregate;

    DL_DELETE(a->ring->members, a);
    if (!a->ring->members)
        loop_timer_stop(&a->ring->timer);
    free(a);
    slot->aggregate = NULL;
}

void
aggregates_remove_device(struct aggregates *owner, struct nx_dev *dev)
{
    (void)owner;
    for (unsigned i = 0; i < dev->conf->tag_count; i++) {
        if (dev->slots[i].aggregate)
            remove_member(&dev->slots[i]);
    }
}

void
aggregate_take(struct slot *slot, const struct nx_value *value, uint16_t quality, int64_t at_us)
{
    double d = 0;
    bool is_number = value_as_double(value, &d);

    window_add(&slot->aggregate->window, d, is_number ? quality : NX_Q_BAD, at_us);
}

struct aggregates *
aggregates_new(struct loop *loop, const struct aggregates_ops *ops, void *arg)
{
    struct aggregates *a = mem_alloc(sizeof *a);

    a->loop = loop;
    a->ops = *ops;
    a->arg = arg;
    return a;
}

void
aggregates_free(struct aggregates **ap)
{
    struct aggregates *owner = *ap;
    struct ring *r, *next_ring;
    struct aggregate *a, *next;

    if (!owner)
        return;
    LL_FOREACH_SAFE (owner->rings, r, next_ring) {
        loop_timer_stop(&r->timer);
        DL_FOREACH_SAFE (r->members, a, next) {
            a->source->aggregate = NULL;
            free(a);
        }
        free(r);
    }
    free(owner);
    *ap = NULL;
}
