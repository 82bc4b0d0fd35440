#include "historian/reduce.h"

#include <math.h>

#include "historian/rollup.h"

struct reduce
reduce_init(enum history_fn fn, const struct grid *grid, struct fill *out)
{
    return (struct reduce){.fn = fn, .grid = *grid, .out = out, .bucket = -1, .text = wbuf_init(NX_STRING_MAX)};
}

/* --- giving --- */

/* At most four rows, in the order of their times. */
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
        fill_row(r->out, r->bucket, rows[i]);
}

static bool
mean(const struct reduce *r, double *v)
{
    if (r->fn == HISTORY_TWA && r->area_us > 0)
        *v = r->area / (double)r->area_us;
    else if (r->fn == HISTORY_AVG && r->has_number)
        *v = r->sum / (double)r->count;
    else
        return false;
    return true;
}

/* A mean whose sum went beyond what a double holds is no value. */
static void
put_mean(struct history_row *row, double v)
{
    if (isfinite(v))
        row->value = nx_value_double(v);
    else
        row->quality = NX_Q_SENSOR_FAILURE;
}

static void
emit_mean(struct reduce *r)
{
    struct history_row row = {.time_us = grid_start(&r->grid, r->bucket), .quality = NX_Q_GOOD};
    double v;

    if (mean(r, &v)) {
        put_mean(&row, v);
        fill_row(r->out, r->bucket, &row);
    } else {
        fill_row(r->out, r->bucket, r->has_text ? &r->last : &r->bad);
    }
}

/* --- how long a number was valid --- */

static void
hold_until(struct reduce *r, int64_t time_us)
{
    if (r->is_holding) {
        r->area += r->held * (double)(time_us - r->held_us);
        r->area_us += time_us - r->held_us;
    }
    r->held_us = time_us;
}

static void
hold(struct reduce *r, int64_t from_us, const struct history_row *row)
{
    r->is_holding = !nx_quality_is_bad(row->quality) && value_as_double(&row->value, &r->held);
    r->held_us = from_us;
}

void
reduce_before(struct reduce *r, const struct history_row *row)
{
    hold(r, r->grid.from_us, row);
}

/* --- taking --- */

static void
close_bucket(struct reduce *r)
{
    if (r->bucket < 0)
        return;
    hold_until(r, grid_end(&r->grid, r->bucket));
    if (r->fn == HISTORY_MINMAX)
        emit_minmax(r);
    else if (r->fn == HISTORY_LAST)
        fill_row(r->out, r->bucket, &r->last);
    else
        emit_mean(r);
    r->has_number = r->has_bad = r->has_text = false;
}

static void
go_to(struct reduce *r, int64_t bucket)
{
    if (bucket == r->bucket)
        return;
    close_bucket(r);
    r->bucket = bucket;
    r->held_us = grid_start(&r->grid, bucket);
    r->sum = r->area = 0;
    r->count = 0;
    r->area_us = 0;
}

static void
keep_last(struct reduce *r, const struct history_row *row)
{
    double v;

    r->last = *row;
    if (r->is_leveled && row->value.type != r->type && value_as_double(&row->value, &v))
        r->last.value = rollup_shown(r->type, v);
    if (row->value.type != NX_TYPE_STRING)
        return;
    wbuf_reset(&r->text);
    wbuf_bytes(&r->text, row->value.s, row->value.len);
    r->last.value = nx_value_string((const char *)r->text.p, r->text.len);
}

static void
keep_bad(struct reduce *r, int64_t time_us, uint16_t quality)
{
    if (!r->has_bad)
        r->bad = (struct history_row){.time_us = time_us, .quality = quality};
    r->has_bad = true;
}

static void
keep_min(struct reduce *r, const struct history_row *row, double v)
{
    if (r->has_number && !(v < r->min_value))
        return;
    r->min = *row;
    r->min_value = v;
}

static void
keep_max(struct reduce *r, const struct history_row *row, double v)
{
    if (r->has_number && !(v > r->max_value))
        return;
    r->max = *row;
    r->max_value = v;
}

static void
keep_number(struct reduce *r, struct history_row row, double v)
{
    if (r->fn == HISTORY_MINMAX) {
        if (r->is_leveled)
            row.value = rollup_shown(r->type, v);
        keep_min(r, &row, v);
        keep_max(r, &row, v);
    }
    r->sum += v;
    r->count++;
    r->has_number = true;
}

void
reduce_feed(struct reduce *r, const struct point *p)
{
    struct history_row row = {.time_us = p->time_us, .quality = p->quality, .value = p->value};
    double v;

    go_to(r, grid_bucket(&r->grid, p->time_us));
    if (r->fn == HISTORY_LAST) {
        keep_last(r, &row);
        return;
    }
    if (r->fn == HISTORY_TWA) {
        hold_until(r, p->time_us);
        hold(r, p->time_us, &row);
    }
    if (nx_quality_is_bad(p->quality) || p->value.type == NX_TYPE_NONE) {
        keep_bad(r, p->time_us, p->quality);
    } else if (value_as_double(&p->value, &v)) {
        keep_number(r, row, v);
    } else {
        keep_last(r, &row);
        r->has_text = true;
    }
}

static void
merge_numbers(struct reduce *r, const struct history_rollup *u)
{
    struct history_row min = {u->min.time_us, u->min_quality, rollup_shown(r->type, u->min.value)},
                       max = {u->max.time_us, u->max_quality, rollup_shown(r->type, u->max.value)};

    keep_min(r, &min, u->min.value);
    keep_max(r, &max, u->max.value);
    r->sum += u->sum;
    r->count += u->n;
    r->has_number = true;
}

void
reduce_rollup(struct reduce *r, const struct history_rollup *u, int64_t width_us)
{
    go_to(r, grid_bucket(&r->grid, u->time_us));
    if (r->fn == HISTORY_LAST) {
        keep_last(r, &u->last);
        return;
    }
    if (r->fn == HISTORY_TWA) {
        hold_until(r, u->first.time_us);
        r->area += u->area;
        r->area_us += u->area_us;
        hold(r, u->time_us + width_us, &u->last);
    }
    if (u->n > 0)
        merge_numbers(r, u);
    if (u->n_bad > 0)
        keep_bad(r, u->first_bad_us, u->first_bad_quality);
}

void
reduce_fini(struct reduce *r)
{
    close_bucket(r);
    wbuf_free(&r->text);
}
