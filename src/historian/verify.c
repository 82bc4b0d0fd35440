/* verify.c -- is what is stored sound? Of every series: points in order and once each, rollups as the points give. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "historian/backend.h"
#include "historian/rollup.h"

#define WINDOW_US (30 * 86400 * INT64_C(1000000)) /* compared at once: 43,200 minutes */
#define LEVELS    3

struct verify {
    struct historian *h;
    historian_finding_cb *each;
    void *arg;
    bool (*is_canceled)(void *arg);
    struct historian_verified *out;
    char told[320]; /* the last thing that could not be read: once is enough, not for each series */
};

/* Rollups of a window as the points give them. */
struct made {
    struct history_rollup *r;
    size_t count, cap, at;
    struct roller roller;
};

struct window {
    struct verify *v;
    const char *topic;
    int64_t last_us; /* time of the point before */
    struct made made[LEVELS];
    enum history_level level; /* being compared */
    bool is_wrong;            /* one finding for each level is enough */
};

void
historian_found(struct verify *v, const char *place, const char *topic, const char *remedy, const char *what, ...)
{
    char text[512];
    struct historian_finding f = {.place = place, .topic = topic, .what = text, .remedy = remedy};
    va_list ap;

    va_start(ap, what);
    (void)vsnprintf(text, sizeof text, what, ap);
    va_end(ap);
    v->out->findings++;
    v->each(v->arg, &f);
}

static bool
goes_on(const struct verify *v)
{
    return !v->is_canceled || !v->is_canceled(v->arg);
}

/* --- points --- */

static void
keep_rollup(void *arg, const struct history_rollup *r, bool has_text)
{
    struct made *m = arg;

    if (has_text)
        return;
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 1024;
        m->r = mem_realloc(m->r, m->cap * sizeof *m->r);
    }
    m->r[m->count++] = *r;
}

static bool
take_points(void *arg, const struct point *p, size_t n)
{
    struct window *w = arg;

    for (size_t i = 0; i < n; i++) {
        if (p[i].time_us <= w->last_us)
            historian_found(w->v, "values", w->topic, "this is a mistake of the program: please report it",
                            "two values at %lld or out of order", (long long)p[i].time_us);
        w->last_us = p[i].time_us;
        for (int k = 0; k < LEVELS; k++)
            roller_add(&w->made[k].roller, &p[i]);
    }
    w->v->out->points += n;
    return goes_on(w->v);
}

/* --- rollups --- */

/* weight: how large the terms of the two sums are together; the sums themselves may be near 0. */
static bool
is_near(double a, double b, double weight)
{
    return a == b || fabs(a - b) <= 1e-9 * weight || (!isfinite(a) && !isfinite(b));
}

static bool
is_same(const struct history_rollup *a, const struct history_rollup *b)
{
    double largest = a->n > 0 ? fmax(fabs(a->min.value), fabs(a->max.value)) : 0;

    if (a->n != b->n || a->n_bad != b->n_bad || a->area_us != b->area_us || !is_near(a->sum, b->sum, largest * a->n) ||
        !is_near(a->area, b->area, largest * (double)a->area_us))
        return false;
    if (a->n > 0 && (a->min.value != b->min.value || a->min.time_us != b->min.time_us || a->max.value != b->max.value ||
                     a->max.time_us != b->max.time_us))
        return false;
    return a->first.time_us == b->first.time_us && a->last.time_us == b->last.time_us &&
           a->last.quality == b->last.quality;
}

static bool
take_rollup(void *arg, const struct history_rollup *r)
{
    static const char *const names[] = {"minute", "hour", "day"};
    struct window *w = arg;
    struct made *m = &w->made[w->level - HISTORY_LEVEL_MINUTE];

    w->v->out->rollups++;
    while (m->at < m->count && m->r[m->at].time_us < r->time_us)
        m->at++;
    /* Rollups outlive their points, so those without points are as they should be. */
    if (!w->is_wrong && m->at < m->count && m->r[m->at].time_us == r->time_us && !is_same(r, &m->r[m->at])) {
        w->is_wrong = true;
        historian_found(
            w->v, "rollups", w->topic,
            "late values may have come between: look again; else have them made again (SQLite: remove their file; "
            "PostgreSQL: put series and hour into hist.dirty)",
            "the %s of %lld is not what its values give", names[w->level - HISTORY_LEVEL_MINUTE],
            (long long)r->time_us);
    }
    return goes_on(w->v);
}

static bool
skip_points(void *arg, const struct point *p, size_t n)
{
    struct window *w = arg;

    (void)p;
    (void)n;
    return goes_on(w->v);
}

static enum nx_err
compare_levels(struct window *w, const struct history_series *s, int64_t from_us, int64_t to_us, struct nx_note *why)
{
    struct history_sink sink = {.points = skip_points, .rollup = take_rollup, .arg = w};
    struct historian *h = w->v->h;
    enum nx_err err = NX_OK;

    for (w->level = HISTORY_LEVEL_MINUTE; w->level <= HISTORY_LEVEL_DAY && err == NX_OK; w->level++) {
        w->is_wrong = false;
        err = h->backend->scan(h, s, from_us, to_us, w->level, &sink, why);
    }
    return err;
}

/* --- a series --- */

static enum nx_err
check_window(struct window *w, const struct history_series *s, int64_t from_us, int64_t to_us, struct nx_note *why)
{
    struct history_sink sink = {.points = take_points, .arg = w};
    enum nx_err err;

    for (int k = 0; k < LEVELS; k++) {
        w->made[k].count = w->made[k].at = 0;
        w->made[k].roller = roller_init((enum history_level)(HISTORY_LEVEL_MINUTE + k), keep_rollup, &w->made[k]);
    }
    err = w->v->h->backend->scan(w->v->h, s, from_us, to_us, HISTORY_LEVEL_RAW, &sink, why);
    for (int k = 0; k < LEVELS; k++)
        roller_end(&w->made[k].roller);
    return err == NX_OK ? compare_levels(w, s, from_us, to_us, why) : err;
}

static enum nx_err
tell_unread(struct verify *v, const char *topic, const struct nx_note *why)
{
    if (strcmp(v->told, why->text) != 0)
        historian_found(v, "values", topic, "restore the file from a backup, or remove it to lose only what it holds",
                        "%s", why->text);
    (void)snprintf(v->told, sizeof v->told, "%s", why->text);
    return NX_OK;
}

/* A state of the store for each series, not one for all: the writer need not keep what it replaces for so long. */
static enum nx_err
check_series(struct verify *v, const char *topic, const struct historian_stats *stats, struct nx_note *why)
{
    struct window w = {.v = v, .topic = topic, .last_us = INT64_MIN};
    struct history_series s;
    struct arena a = {0};
    int64_t day_us = history_level_us(HISTORY_LEVEL_DAY), at = stats->first_us - stats->first_us % day_us;
    enum nx_err err = v->h->backend->begin(v->h, why);

    if (err != NX_OK)
        return err;
    err = v->h->backend->find(v->h, topic, &a, &s, why);
    for (; err == NX_OK && at <= stats->last_us && goes_on(v); at += WINDOW_US) {
        err = check_window(&w, &s, at, at + WINDOW_US, why);
        if (err == NX_E_CORRUPT)
            err = tell_unread(v, topic, why);
    }
    for (int k = 0; k < LEVELS; k++)
        free(w.made[k].r);
    v->h->backend->end(v->h);
    arena_free(&a);
    return err;
}

/* --- all of them --- */

struct topics {
    struct arena a;
    char **items;
    size_t count, cap;
};

static bool
keep_topic(void *arg, const struct series *s)
{
    struct topics *t = arg;

    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 256;
        t->items = mem_realloc(t->items, t->cap * sizeof *t->items);
    }
    t->items[t->count++] = arena_strndup(&t->a, s->topic.p, s->topic.len);
    return true;
}

static enum nx_err
check_all(struct verify *v, struct nx_note *why)
{
    struct topics t = {0};
    struct historian_stats stats = {0};
    struct historian *h = v->h;
    enum nx_err err = h->backend->stats(h, &stats, why);

    if (err == NX_OK)
        err = h->backend->each_series(h, keep_topic, &t, why);
    for (size_t i = 0; i < t.count && err == NX_OK && goes_on(v); i++) {
        err = check_series(v, t.items[i], &stats, why);
        v->out->series++;
    }
    arena_free(&t.a);
    free(t.items);
    return err;
}

enum nx_err
historian_verify(struct historian *h, historian_finding_cb *each, void *arg, bool (*is_canceled)(void *arg),
                 struct historian_verified *out, struct nx_note *why)
{
    struct verify v = {.h = h, .each = each, .arg = arg, .is_canceled = is_canceled, .out = out};
    enum nx_err err = NX_OK;

    *out = (struct historian_verified){0};
    if (h->backend->verify)
        err = h->backend->verify(h, &v, why);
    if (err == NX_OK)
        err = check_all(&v, why);
    if (err == NX_OK && !goes_on(&v))
        err = nx_fail(why, NX_E_CANCELED, "not everything was looked at");
    return err;
}
