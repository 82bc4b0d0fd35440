/* query.c -- one question: what the backend scans goes to each() as it is, or reduced to buckets. */
#include "historian/backend.h"
#include "historian/reduce.h"

#define DEFAULT_POINTS 1000u
#define MAX_BUCKETS    1000000u

struct query {
    const struct history_query *q;
    struct history_summary *summary;
    history_row_cb *each;
    void *arg;
    uint32_t max_points;
    uint64_t given;
    bool is_canceled;
    struct reduce reduce;
};

static bool
is_canceled(struct query *x)
{
    if (x->q->is_canceled && x->q->is_canceled(x->q->cancel_arg))
        x->is_canceled = true;
    return x->is_canceled;
}

static bool
give_raw(struct query *x, const struct point *p)
{
    struct history_row row = {.time_us = p->time_us, .quality = p->quality, .value = p->value};

    if (x->given == x->max_points && x->max_points != HISTORY_NO_LIMIT) {
        x->summary->has_more = true;
        return false;
    }
    x->given++;
    x->summary->raw_count++;
    return x->each(x->arg, &row);
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

static bool
take_points(void *arg, const struct point *p, size_t n)
{
    struct query *x = arg;

    if (is_canceled(x))
        return false;
    x->summary->raw_count += n;
    for (size_t i = 0; i < n && !x->reduce.is_stopped; i++)
        reduce_feed(&x->reduce, &p[i]);
    return !x->reduce.is_stopped;
}

static enum nx_err
run(struct historian *h, struct query *x, const struct history_series *s, struct nx_note *why)
{
    const struct history_query *q = x->q;
    struct history_sink sink = {.points = q->fn == HISTORY_RAW ? take_raw : take_points, .arg = x};
    enum nx_err err;

    if (q->fn != HISTORY_RAW) {
        x->reduce = reduce_init(q, x->max_points < MAX_BUCKETS ? x->max_points : MAX_BUCKETS, x->each, x->arg);
        x->summary->bucket_us = x->reduce.bucket_us;
    }
    err = h->backend->scan(h, s, q->from_us, q->to_us, HISTORY_LEVEL_RAW, &sink, why);
    if (q->fn != HISTORY_RAW)
        reduce_fini(&x->reduce);
    if (err == NX_OK && x->is_canceled)
        err = nx_fail(why, NX_E_CANCELED, "nobody waits for the answer any more");
    return err;
}

enum nx_err
historian_query(struct historian *h, const struct history_query *q, struct arena *a, history_row_cb *each, void *arg,
                struct history_summary *summary, struct nx_note *why)
{
    struct query x = {.q = q, .summary = summary, .each = each, .arg = arg};
    struct history_series s = {0};
    enum nx_err err;

    *summary = (struct history_summary){.unit = "", .resolution = HISTORY_RESOLUTION_RAW};
    if (q->from_us >= q->to_us)
        return nx_fail(why, NX_E_RANGE, "from must lie before to");
    x.max_points = q->max_points == 0 ? DEFAULT_POINTS : q->max_points;
    if ((err = h->backend->begin(h, why)) != NX_OK)
        return err;
    if ((err = h->backend->find(h, q->topic, a, &s, why)) == NX_OK) {
        summary->unit = s.unit;
        err = run(h, &x, &s, why);
    }
    h->backend->end(h);
    return err;
}
