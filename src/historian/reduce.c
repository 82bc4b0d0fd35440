#include "historian/reduce.h"

struct reduce
reduce_init(const struct history_query *q, uint32_t buckets, history_row_cb *each, void *arg)
{
    uint64_t span = (uint64_t)q->to_us - (uint64_t)q->from_us;
    uint64_t width = span / buckets + (span % buckets != 0);

    if (width > INT64_MAX)
        width = INT64_MAX;
    return (struct reduce){.fn = q->fn,
                           .from_us = q->from_us,
                           .bucket_us = (int64_t)width,
                           .each = each,
                           .arg = arg,
                           .bucket = -1,
                           .text = wbuf_init(NX_STRING_MAX)};
}

static void
emit(struct reduce *r, const struct history_row *row)
{
    if (!r->is_stopped && !r->each(r->arg, row))
        r->is_stopped = true;
}

/* At most three rows, in the order of their times. */
static void
emit_minmax(struct reduce *r)
{
    const struct history_row *rows[4];
    unsigned n = 0;

    if (r->has_number)
        rows[n++] = &r->min;
    if (r->has_number && r->max.time_us != r->min.time_us)
        rows[n++] = &r->max;
    if (r->has_text)
        rows[n++] = &r->last;
    if (r->has_bad)
        rows[n++] = &r->bad;
    for (unsigned i = 1; i < n; i++)
        for (unsigned k = i; k > 0 && rows[k]->time_us < rows[k - 1]->time_us; k--) {
            const struct history_row *row = rows[k];

            rows[k] = rows[k - 1];
            rows[k - 1] = row;
        }
    for (unsigned i = 0; i < n; i++)
        emit(r, rows[i]);
}

static void
emit_avg(struct reduce *r)
{
    struct history_row row = {.time_us = r->from_us + r->bucket * r->bucket_us, .quality = NX_Q_GOOD};

    if (r->has_number) {
        row.value = nx_value_double(r->sum / (double)r->count);
        emit(r, &row);
    } else if (r->has_text) {
        emit(r, &r->last);
    } else {
        emit(r, &r->bad);
    }
}

static void
emit_bucket(struct reduce *r)
{
    if (r->bucket < 0)
        return;
    if (r->fn == HISTORY_MINMAX)
        emit_minmax(r);
    else if (r->fn == HISTORY_AVG)
        emit_avg(r);
    else
        emit(r, &r->last);
    r->has_number = r->has_bad = r->has_text = false;
}

static void
keep_last(struct reduce *r, const struct history_row *row)
{
    r->last = *row;
    if (row->value.type != NX_TYPE_STRING)
        return;
    wbuf_reset(&r->text);
    wbuf_bytes(&r->text, row->value.s, row->value.len);
    r->last.value = nx_value_string((const char *)r->text.p, r->text.len);
}

static void
keep_number(struct reduce *r, const struct history_row *row, double v)
{
    if (!r->has_number) {
        r->min = r->max = *row;
        r->min_value = r->max_value = r->sum = v;
        r->count = 1;
        r->has_number = true;
        return;
    }
    if (v < r->min_value) {
        r->min = *row;
        r->min_value = v;
    }
    if (v > r->max_value) {
        r->max = *row;
        r->max_value = v;
    }
    r->sum += v;
    r->count++;
}

void
reduce_feed(struct reduce *r, const struct point *p)
{
    struct history_row row = {.time_us = p->time_us, .quality = p->quality, .value = p->value};
    int64_t bucket = (int64_t)(((uint64_t)p->time_us - (uint64_t)r->from_us) / (uint64_t)r->bucket_us);
    double v;

    if (bucket != r->bucket) {
        emit_bucket(r);
        r->bucket = bucket;
    }
    if (r->fn == HISTORY_LAST) {
        keep_last(r, &row);
    } else if (nx_quality_is_bad(p->quality) || p->value.type == NX_TYPE_NONE) {
        if (!r->has_bad) {
            r->bad = row;
            r->bad.value = nx_value_none();
        }
        r->has_bad = true;
    } else if (value_as_double(&p->value, &v)) {
        keep_number(r, &row, v);
    } else {
        keep_last(r, &row);
        r->has_text = true;
    }
}

void
reduce_fini(struct reduce *r)
{
    emit_bucket(r);
    wbuf_free(&r->text);
}
