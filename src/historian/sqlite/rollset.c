#include "historian/sqlite/rollset.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rbuf.h"
#include "historian/sqlite/run.h"

#define VERSION 1

/* Columns in the order of the bytes. A column is a run: of each rollup a time, a quality and a value. */
enum column { COUNT, BAD, FIRST, LAST, MIN, MAX, SUM, AREA, AREA_LEFT, COLUMNS };

static struct point
cell(int64_t time_us, uint16_t quality, struct nx_value value)
{
    return (struct point){.time_us = time_us, .quality = quality, .value = value};
}

/* How much of the time from the first point to the end no number was valid. */
static int64_t
area_left(const struct history_rollup *r, int64_t width_us)
{
    return r->time_us + width_us - r->first.time_us - r->area_us;
}

static struct point
to_cell(enum column column, const struct history_rollup *r, int64_t width_us)
{
    switch (column) {
    case COUNT:
        return cell(r->time_us, 0, nx_value_uint(r->n));
    case BAD:
        return cell(r->n_bad > 0 ? r->first_bad_us : r->time_us, r->first_bad_quality, nx_value_uint(r->n_bad));
    case FIRST:
        return cell(r->first.time_us, r->first.quality, nx_value_none());
    case LAST:
        return cell(r->last.time_us, r->last.quality, r->last.value);
    case MIN:
        return cell(r->n > 0 ? r->min.time_us : r->time_us, r->min_quality, nx_value_double(r->min.value));
    case MAX:
        return cell(r->n > 0 ? r->max.time_us : r->time_us, r->max_quality, nx_value_double(r->max.value));
    case SUM:
        return cell(0, 0, nx_value_double(r->sum));
    case AREA:
        return cell(0, 0, nx_value_double(r->area));
    case AREA_LEFT:
    case COLUMNS:
        break;
    }
    return cell(0, 0, nx_value_int(area_left(r, width_us)));
}

void
rollset_encode(struct wbuf *w, const struct history_rollup *r, size_t n, enum history_level level)
{
    struct point *cells = mem_calloc(n, sizeof *cells);
    struct wbuf run = wbuf_init(0);

    wbuf_u8(w, VERSION);
    wbuf_varint(w, n);
    for (enum column c = COUNT; c < COLUMNS; c++) {
        for (size_t i = 0; i < n; i++)
            cells[i] = to_cell(c, &r[i], history_level_us(level));
        wbuf_reset(&run);
        run_encode(&run, cells, n);
        wbuf_varint(w, run.len);
        wbuf_slice(w, wbuf_slice_of(&run));
    }
    wbuf_free(&run);
    free(cells);
}

static bool
take_count(const struct point *p, uint32_t *out)
{
    *out = (uint32_t)p->value.u;
    return p->value.type == NX_TYPE_UINT && p->value.u <= UINT32_MAX;
}

static bool
take_double(const struct point *p, double *out)
{
    *out = p->value.d;
    return p->value.type == NX_TYPE_DOUBLE;
}

static bool
from_cell(enum column column, const struct point *p, struct history_rollup *r, int64_t width_us)
{
    switch (column) {
    case COUNT:
        r->time_us = p->time_us;
        return take_count(p, &r->n);
    case BAD:
        r->first_bad_us = p->time_us;
        r->first_bad_quality = p->quality;
        return take_count(p, &r->n_bad);
    case FIRST:
        r->first = (struct history_row){.time_us = p->time_us, .quality = p->quality};
        return true;
    case LAST:
        r->last = (struct history_row){.time_us = p->time_us, .quality = p->quality, .value = p->value};
        return p->value.type != NX_TYPE_STRING;
    case MIN:
        r->min.time_us = p->time_us;
        r->min_quality = p->quality;
        return take_double(p, &r->min.value);
    case MAX:
        r->max.time_us = p->time_us;
        r->max_quality = p->quality;
        return take_double(p, &r->max.value);
    case SUM:
        return take_double(p, &r->sum);
    case AREA:
        return take_double(p, &r->area);
    case AREA_LEFT:
    case COLUMNS:
        break;
    }
    r->area_us = (int64_t)((uint64_t)r->time_us + (uint64_t)width_us - (uint64_t)r->first.time_us - p->value.u);
    return p->value.type == NX_TYPE_INT;
}

static bool
is_inside(const struct history_rollup *r, int64_t time_us, int64_t width_us)
{
    return (uint64_t)time_us - (uint64_t)r->time_us < (uint64_t)width_us;
}

/* Damaged bytes must not reach the buckets of a query. */
static bool
is_plausible(const struct history_rollup *r, const struct history_rollup *before, int64_t width_us)
{
    if (r->time_us <= -(INT64_C(1) << 60) || r->time_us >= INT64_C(1) << 60 || r->time_us % width_us != 0)
        return false;
    if (before && r->time_us <= before->time_us)
        return false;
    return r->area_us >= 0 && r->area_us <= width_us && is_inside(r, r->first.time_us, width_us) &&
           is_inside(r, r->last.time_us, width_us) && is_inside(r, r->min.time_us, width_us) &&
           is_inside(r, r->max.time_us, width_us) && is_inside(r, r->first_bad_us, width_us);
}

static enum nx_err
decode_columns(struct rbuf *in, int64_t width_us, struct history_rollup *r, size_t n, struct point *cells)
{
    for (enum column c = COUNT; c < COLUMNS; c++) {
        struct slice run = rbuf_take(in, (size_t)rbuf_varint(in));

        if (in->is_short || run_decode(run, cells, n) != NX_OK)
            return NX_E_CORRUPT;
        for (size_t i = 0; i < n; i++)
            if (!from_cell(c, &cells[i], &r[i], width_us))
                return NX_E_CORRUPT;
    }
    for (size_t i = 0; i < n; i++)
        if (!is_plausible(&r[i], i > 0 ? &r[i - 1] : NULL, width_us))
            return NX_E_CORRUPT;
    return rbuf_finish(in) == NX_OK ? NX_OK : NX_E_CORRUPT;
}

enum nx_err
rollset_decode(struct slice data, enum history_level level, struct history_rollup *r, size_t *n)
{
    struct rbuf in = rbuf_init(data);
    bool is_known = rbuf_u8(&in) == VERSION;
    uint64_t count = rbuf_varint(&in);
    struct point *cells;
    enum nx_err err;

    *n = 0;
    if (!is_known || count < 1 || count > ROLLSET_MAX)
        return NX_E_CORRUPT;
    cells = mem_calloc((size_t)count, sizeof *cells);
    err = decode_columns(&in, history_level_us(level), r, (size_t)count, cells);
    free(cells);
    if (err == NX_OK)
        *n = (size_t)count;
    return err;
}
