#include "historian/fill.h"

#include <math.h>

struct fill
fill_init(enum history_fill mode, const struct grid *grid, history_row_cb *each, void *arg)
{
    return (struct fill){.mode = mode, .grid = *grid, .each = each, .arg = arg, .text = wbuf_init(NX_STRING_MAX)};
}

void
fill_before(struct fill *f, const struct history_row *row)
{
    f->before = *row;
    f->has_before = true;
    if (row->value.type != NX_TYPE_STRING)
        return;
    wbuf_reset(&f->text);
    wbuf_bytes(&f->text, row->value.s, row->value.len);
    f->before.value = nx_value_string((const char *)f->text.p, f->text.len);
}

static void
give(struct fill *f, const struct history_row *row)
{
    if (!f->is_stopped && !f->each(f->arg, row))
        f->is_stopped = true;
}

static bool
is_number(const struct history_row *row, double *v)
{
    return !nx_quality_is_bad(row->quality) && value_as_double(&row->value, v);
}

/* A straight line when numbers are on both sides; after: NULL at the end. */
static bool
interpolate(const struct fill *f, const struct history_row *after, struct history_row *row)
{
    double a, b;

    if (f->mode != HISTORY_FILL_LINEAR || !after || !f->has_before || !is_number(&f->before, &a) ||
        !is_number(after, &b))
        return false;
    a += (b - a) * ((double)(row->time_us - f->before.time_us) / (double)(after->time_us - f->before.time_us));
    if (!isfinite(a))
        return false;
    row->value = nx_value_double(a);
    row->quality = f->before.quality < after->quality ? f->before.quality : after->quality;
    return true;
}

static void
stand_in(struct fill *f, int64_t bucket, const struct history_row *after)
{
    struct history_row row = {.time_us = grid_start(&f->grid, bucket), .quality = NX_Q_NOT_CONNECTED};

    if (f->mode != HISTORY_FILL_NULL && f->has_before && !interpolate(f, after, &row)) {
        row.value = f->before.value;
        row.quality = f->before.quality;
    }
    give(f, &row);
}

static void
fill_to(struct fill *f, int64_t bucket, const struct history_row *after)
{
    for (; f->mode != HISTORY_FILL_NONE && f->next < bucket && !f->is_stopped; f->next++)
        stand_in(f, f->next, after);
    f->next = bucket + 1;
}

void
fill_row(struct fill *f, int64_t bucket, const struct history_row *row)
{
    if (bucket >= f->next)
        fill_to(f, bucket, row);
    give(f, row);
    if (f->mode == HISTORY_FILL_PREVIOUS || f->mode == HISTORY_FILL_LINEAR)
        fill_before(f, row);
}

void
fill_fini(struct fill *f)
{
    fill_to(f, grid_bucket(&f->grid, f->grid.to_us - 1) + 1, NULL);
    wbuf_free(&f->text);
}
