/* query.c -- one question: what the backend scans goes to each() as it is, or reduced to buckets.
 *
 * Rollups only ever save reading: where a bucket of the level is given as points, they go the same way, so the answer
 * does not depend on what was rolled up already. */
#include "historian/backend.h"
#include "historian/lttb.h"
#include "historian/reduce.h"
#include "historian/rollup.h"

#define DEFAULT_POINTS  1000u
#define MAX_BUCKETS     1000000u
#define TIME_LIMIT_US   (INT64_C(1) << 60) /* of what is asked for; nothing is stored out there */
#define LTTB_PER_BUCKET 4                  /* values per minute (hour, day) that a point of LTTB is chosen from */
#define ASK_EVERY       1024u

struct query {
    struct historian *h;
    const struct history_query *q;
    struct history_summary *summary;
    history_row_cb *each;
    void *arg;
    struct history_series series;
    int64_t from_us, to_us;
    uint32_t max_points;
    uint64_t given;
    bool is_canceled;
    enum history_level level;
    struct grid grid;
    struct reduce reduce;
    struct fill fill;
    struct lttb lttb;
    struct roller roller; /* LTTB from a level: points become rollups first */
};

static bool
is_canceled(struct query *x)
{
    if (!x->is_canceled && x->q->is_canceled && x->q->is_canceled(x->q->cancel_arg))
        x->is_canceled = true;
    return x->is_canceled;
}

/* Every row on its way out. */
static bool
give(void *arg, const struct history_row *row)
{
    struct query *x = arg;

    if (++x->given % ASK_EVERY == 0 && is_canceled(x))
        return false;
    return x->each(x->arg, row);
}

/* --- points as they are --- */

static bool
give_raw(struct query *x, const struct point *p)
{
    struct history_row row = {.time_us = p->time_us, .quality = p->quality, .value = p->value};

    if (x->given == x->max_points && x->max_points != HISTORY_NO_LIMIT) {
        x->summary->has_more = true;
        return false;
    }
    x->summary->raw_count++;
    return give(x, &row);
}

static bool
take_raw(void *arg, const struct point *p, size_t n)
{
    struct query *x = arg;
    bool goes_on = !is_canceled(x);

    for (size_t i = 0; i < n && goes_on; i++)
        goes_on = give_raw(x, &p[i]);
    return goes_on;
}

static enum nx_err
run_raw(struct query *x, struct nx_note *why)
{
    struct history_sink sink = {.points = take_raw, .arg = x};

    return x->h->backend->scan(x->h, &x->series, x->from_us, x->to_us, HISTORY_LEVEL_RAW, &sink, why);
}

static void
count_rollup(struct query *x, const struct history_rollup *r)
{
    x->summary->raw_count += (uint64_t)r->n + r->n_bad;
    x->summary->resolution = (enum history_resolution)(HISTORY_RESOLUTION_RAW + (int)x->level);
}

/* --- the shape --- */

static void
lttb_mark(struct query *x, const struct history_mark *m, uint16_t quality)
{
    struct history_row row = {m->time_us, quality, rollup_shown(x->series.data_type, m->value)};

    lttb_add(&x->lttb, &row, m->value);
}

static void
lttb_rollup(void *arg, const struct history_rollup *r, bool has_text)
{
    struct query *x = arg;
    bool min_first = r->min.time_us < r->max.time_us;

    (void)has_text;
    if (r->n == 0)
        return;
    lttb_mark(x, min_first ? &r->min : &r->max, min_first ? r->min_quality : r->max_quality);
    if (r->min.time_us != r->max.time_us)
        lttb_mark(x, min_first ? &r->max : &r->min, min_first ? r->max_quality : r->min_quality);
}

static void
lttb_point(struct query *x, const struct point *p)
{
    struct history_row row = {.time_us = p->time_us, .quality = p->quality, .value = p->value};
    double v;

    if (x->level != HISTORY_LEVEL_RAW)
        roller_add(&x->roller, p);
    else if (rollup_number(p, &v))
        lttb_add(&x->lttb, &row, v);
}

static bool
take_shape(void *arg, const struct point *p, size_t n)
{
    struct query *x = arg;

    if (is_canceled(x))
        return false;
    x->summary->raw_count += n;
    for (size_t i = 0; i < n; i++)
        lttb_point(x, &p[i]);
    return !x->lttb.is_stopped;
}

static bool
take_shape_rollup(void *arg, const struct history_rollup *r)
{
    struct query *x = arg;

    if (is_canceled(x))
        return false;
    count_rollup(x, r);
    roller_end(&x->roller);
    lttb_rollup(x, r, false);
    return !x->lttb.is_stopped;
}

static enum nx_err
run_lttb(struct query *x, struct nx_note *why)
{
    struct history_sink sink = {.points = take_shape, .rollup = take_shape_rollup, .arg = x};
    enum nx_err err;

    x->lttb = lttb_init(x->from_us, x->to_us, x->max_points, give, x);
    x->roller = roller_init(x->level, lttb_rollup, x);
    x->summary->bucket_us = x->lttb.grid.width_us;
    err = x->h->backend->scan(x->h, &x->series, x->from_us, x->to_us, x->level, &sink, why);
    if (err != NX_OK || x->is_canceled)
        x->lttb.is_stopped = true;
    roller_end(&x->roller);
    lttb_fini(&x->lttb);
    return err;
}

/* --- buckets --- */

static bool
take_points(void *arg, const struct point *p, size_t n)
{
    struct query *x = arg;

    if (is_canceled(x))
        return false;
    x->summary->raw_count += n;
    for (size_t i = 0; i < n && !x->fill.is_stopped; i++)
        reduce_feed(&x->reduce, &p[i]);
    return !x->fill.is_stopped;
}

static bool
take_rollup(void *arg, const struct history_rollup *r)
{
    struct query *x = arg;

    if (is_canceled(x))
        return false;
    count_rollup(x, r);
    reduce_rollup(&x->reduce, r, history_level_us(x->level));
    return !x->fill.is_stopped;
}

static bool
can_fill(enum history_fn fn)
{
    return fn == HISTORY_AVG || fn == HISTORY_LAST || fn == HISTORY_TWA;
}

/* The value that was valid when the range begins. */
static enum nx_err
look_before(struct query *x, struct arena *a, struct nx_note *why)
{
    struct history_row row = {0};
    bool fills = x->fill.mode == HISTORY_FILL_PREVIOUS || x->fill.mode == HISTORY_FILL_LINEAR;
    enum nx_err err;

    if (x->q->fn != HISTORY_TWA && !fills)
        return NX_OK;
    err = x->h->backend->before(x->h, &x->series, x->from_us, a, &row, why);
    if (err != NX_OK || row.time_us == 0)
        return err;
    reduce_before(&x->reduce, &row);
    if (fills)
        fill_before(&x->fill, &row);
    return NX_OK;
}

static enum nx_err
run_buckets(struct query *x, struct arena *a, struct nx_note *why)
{
    struct history_sink sink = {.points = take_points, .rollup = take_rollup, .arg = x};
    enum nx_err err;

    x->fill = fill_init(can_fill(x->q->fn) ? x->q->fill : HISTORY_FILL_NONE, &x->grid, give, x);
    x->reduce = reduce_init(x->q->fn, &x->grid, &x->fill);
    x->reduce.is_leveled = x->level != HISTORY_LEVEL_RAW;
    x->reduce.type = x->series.data_type;
    x->summary->bucket_us = x->grid.width_us;
    err = look_before(x, a, why);
    if (err == NX_OK)
        err = x->h->backend->scan(x->h, &x->series, x->from_us, x->to_us, x->level, &sink, why);
    if (err != NX_OK || x->is_canceled)
        x->fill.is_stopped = true;
    reduce_fini(&x->reduce);
    fill_fini(&x->fill);
    return err;
}

/* --- the plan --- */

/* MINMAX gives two points a bucket, so half as many buckets show as much. */
static bool
is_wide_enough(const struct query *x, int64_t width_us, int64_t level_us)
{
    if (x->q->fn == HISTORY_MINMAX)
        return width_us >= level_us / 2;
    if (x->q->fn == HISTORY_LTTB)
        return width_us >= level_us * LTTB_PER_BUCKET;
    return width_us >= level_us;
}

static enum history_level
choose_level(const struct query *x)
{
    int64_t width_us = (x->to_us - x->from_us) / x->max_points;
    enum history_level level = HISTORY_LEVEL_DAY;

    if (x->q->fn == HISTORY_RAW)
        return HISTORY_LEVEL_RAW;
    if (x->q->resolution != HISTORY_RESOLUTION_AUTO)
        return (enum history_level)(x->q->resolution - HISTORY_RESOLUTION_RAW);
    while (level > HISTORY_LEVEL_RAW && !is_wide_enough(x, width_us, history_level_us(level)))
        level--;
    return level;
}

static int64_t
limit_time(int64_t time_us)
{
    if (time_us < -TIME_LIMIT_US)
        return -TIME_LIMIT_US;
    return time_us < TIME_LIMIT_US ? time_us : TIME_LIMIT_US;
}

static enum nx_err
plan(struct query *x, struct nx_note *why)
{
    const struct history_query *q = x->q;

    x->from_us = limit_time(q->from_us);
    x->to_us = limit_time(q->to_us);
    if (x->from_us >= x->to_us)
        return nx_fail(why, NX_E_RANGE, "from must lie before to");
    x->max_points = q->max_points == 0 ? DEFAULT_POINTS : q->max_points;
    if (q->fn != HISTORY_RAW && x->max_points > MAX_BUCKETS)
        x->max_points = MAX_BUCKETS;
    x->level = choose_level(x);
    x->grid = grid_make(x->from_us, x->to_us, x->max_points, history_level_us(x->level));
    return NX_OK;
}

static enum nx_err
run(struct query *x, struct arena *a, struct nx_note *why)
{
    enum nx_err err;

    if (x->q->fn == HISTORY_RAW)
        err = run_raw(x, why);
    else if (x->q->fn == HISTORY_LTTB)
        err = run_lttb(x, why);
    else
        err = run_buckets(x, a, why);
    if (err == NX_OK && x->is_canceled)
        err = nx_fail(why, NX_E_CANCELED, "nobody waits for the answer any more");
    return err;
}

enum nx_err
historian_query(struct historian *h, const struct history_query *q, struct arena *a, history_row_cb *each, void *arg,
                struct history_summary *summary, struct nx_note *why)
{
    struct query x = {.h = h, .q = q, .summary = summary, .each = each, .arg = arg};
    enum nx_err err = plan(&x, why);

    *summary = (struct history_summary){.unit = "", .resolution = HISTORY_RESOLUTION_RAW};
    if (err != NX_OK || (err = h->backend->begin(h, why)) != NX_OK)
        return err;
    if ((err = h->backend->find(h, q->topic, a, &x.series, why)) == NX_OK) {
        summary->unit = x.series.unit;
        err = run(&x, a, why);
    }
    h->backend->end(h);
    return err;
}
