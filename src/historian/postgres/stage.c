/* stage.c -- the points of a commit in the order of the key (series, time), as COPY rows and as arrays. No I/O. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "historian/postgres/store.h"

#define EXACT_MAX (INT64_C(1) << 53)

struct pg_stage *
pg_stage_new(void)
{
    struct pg_stage *s = mem_alloc(sizeof *s);

    s->rows = wbuf_init(0);
    s->text = wbuf_init(0);
    s->args = pg_args_init();
    return s;
}

void
pg_stage_free(struct pg_stage **out)
{
    struct pg_stage *s = *out;

    *out = NULL;
    if (!s)
        return;
    free(s->touched);
    free(s->map);
    free(s->points);
    free(s->runs);
    free(s->quarantined);
    wbuf_free(&s->rows);
    wbuf_free(&s->text);
    pg_args_free(&s->args);
    free(s);
}

/* --- gathering --- */

static void
put_aside(struct pg_stage *s, const struct pg_series *series, const struct point *p, const char *reason)
{
    GROW(s->quarantined, s->quarantined_cap, s->quarantined_count + 1);
    s->quarantined[s->quarantined_count++] = (struct pg_quarantined){p, series, reason};
}

static void
count_batch(struct pg_store *h, const struct batch *b, struct pg_series *const *map, int64_t now_us)
{
    struct pg_stage *s = h->stage;

    for (uint32_t i = 0; i < b->point_count; i++) {
        const struct point *p = &b->points[i];
        struct pg_series *series = map[p->series];
        const char *reason = historian_refuse_time(p->time_us, now_us, h->retention_days);

        if (reason) {
            put_aside(s, series, p, reason);
        } else if (series->count++ == 0) {
            GROW(s->touched, s->touched_cap, s->touched_count + 1);
            s->touched[s->touched_count++] = series;
        }
    }
}

/* Only finite numbers reach the disk, whoever sent them. */
static void
place(struct point *to, const struct point *from)
{
    *to = *from;
    if (to->value.type == NX_TYPE_DOUBLE && !isfinite(to->value.d)) {
        to->value = nx_value_none();
        to->quality = NX_Q_BAD;
    }
}

static void
place_batch(struct pg_store *h, const struct batch *b, struct pg_series *const *map, int64_t now_us)
{
    struct pg_stage *s = h->stage;

    for (uint32_t i = 0; i < b->point_count; i++) {
        struct pg_series *series = map[b->points[i].series];

        if (!historian_refuse_time(b->points[i].time_us, now_us, h->retention_days))
            place(&s->points[series->start + series->count++], &b->points[i]);
    }
}

static int
compare_ids(const void *a, const void *b)
{
    int32_t x = (*(struct pg_series *const *)a)->id, y = (*(struct pg_series *const *)b)->id;

    return (x > y) - (x < y);
}

static void
assign_places(struct pg_stage *s)
{
    uint32_t at = 0;

    if (s->touched_count > 0)
        qsort(s->touched, s->touched_count, sizeof(struct pg_series *), compare_ids);
    for (size_t i = 0; i < s->touched_count; i++) {
        s->touched[i]->start = at;
        at += s->touched[i]->count;
        s->touched[i]->count = 0;
    }
    GROW(s->points, s->point_cap, (size_t)at);
}

static void
finish_run(struct pg_stage *s, struct pg_series *series)
{
    struct point *p = &s->points[series->start];
    size_t n = points_sort_unique(p, series->count, &s->duplicates);

    s->runs[s->run_count++] = (struct pg_run_of){series->id, series->data_type, series->start, n};
    s->point_count += n;
    if (s->newest_us == 0 || p[n - 1].time_us > s->newest_us)
        s->newest_us = p[n - 1].time_us;
    series->count = 0;
}

void
pg_stage_points(struct pg_store *h, const struct batch *batches, const bool *is_fresh, size_t n, int64_t now_us)
{
    struct pg_stage *s = h->stage;
    struct pg_series *const *map = s->map;

    s->touched_count = s->run_count = s->point_count = s->quarantined_count = 0;
    s->duplicates = 0;
    s->newest_us = 0;
    for (size_t i = 0; i < n; map += batches[i++].series_count)
        if (is_fresh[i])
            count_batch(h, &batches[i], map, now_us);
    assign_places(s);
    map = s->map;
    for (size_t i = 0; i < n; map += batches[i++].series_count)
        if (is_fresh[i])
            place_batch(h, &batches[i], map, now_us);
    GROW(s->runs, s->run_cap, s->touched_count);
    for (size_t i = 0; i < s->touched_count; i++)
        finish_run(s, s->touched[i]);
}

/* --- fields --- */

bool
pg_needs_text(const struct nx_value *v)
{
    return v->type == NX_TYPE_STRING || (v->type == NX_TYPE_INT && (v->i > EXACT_MAX || v->i < -EXACT_MAX)) ||
           (v->type == NX_TYPE_UINT && v->u > (uint64_t)EXACT_MAX);
}

static void
put_value(struct wbuf *w, const struct nx_value *v)
{
    double d;

    if (value_as_double(v, &d))
        pg_put_f64(w, d);
    else
        pg_put_null(w);
}

static void
put_type(struct wbuf *w, const struct nx_value *v, uint8_t data_type)
{
    if (v->type == NX_TYPE_NONE || v->type == data_type)
        pg_put_null(w);
    else
        pg_put_i16(w, (int)v->type);
}

static void
put_text(struct wbuf *w, struct wbuf *scratch, const struct nx_value *v)
{
    char digits[24];
    struct wbuf number = wbuf_fixed(digits, sizeof digits);

    if (!pg_needs_text(v)) {
        pg_put_null(w);
    } else if (v->type == NX_TYPE_STRING) {
        pg_put_text(w, pg_clean_text(scratch, slice(v->s, v->len), NX_STRING_MAX));
    } else {
        if (v->type == NX_TYPE_INT)
            wbuf_i64(&number, v->i);
        else
            wbuf_u64(&number, v->u);
        pg_put_text(w, wbuf_slice_of(&number));
    }
}

static void
put_row(struct pg_stage *s, const struct pg_run_of *run, const struct point *p)
{
    struct wbuf *w = &s->rows;

    wbuf_be16(w, 6);
    pg_put_i32(w, run->series_id);
    pg_put_i32(w, p->quality);
    pg_put_time(w, p->time_us);
    put_value(w, &p->value);
    put_type(w, &p->value, run->data_type);
    put_text(w, &s->text, &p->value);
}

void
pg_stage_copy(struct pg_stage *s)
{
    wbuf_reset(&s->rows);
    for (size_t i = 0; i < s->run_count; i++)
        for (size_t k = 0; k < s->runs[i].count; k++)
            put_row(s, &s->runs[i], &s->points[s->runs[i].first + k]);
}

typedef void put_column(struct pg_stage *s, const struct pg_run_of *run, const struct point *p);

static void
column_series(struct pg_stage *s, const struct pg_run_of *run, const struct point *p)
{
    (void)p;
    pg_put_i32(&s->args.bytes, run->series_id);
}

static void
column_quality(struct pg_stage *s, const struct pg_run_of *run, const struct point *p)
{
    (void)run;
    pg_put_i32(&s->args.bytes, p->quality);
}

static void
column_time(struct pg_stage *s, const struct pg_run_of *run, const struct point *p)
{
    (void)run;
    pg_put_time(&s->args.bytes, p->time_us);
}

static void
column_value(struct pg_stage *s, const struct pg_run_of *run, const struct point *p)
{
    (void)run;
    put_value(&s->args.bytes, &p->value);
}

static void
column_type(struct pg_stage *s, const struct pg_run_of *run, const struct point *p)
{
    put_type(&s->args.bytes, &p->value, run->data_type);
}

static void
column_text(struct pg_stage *s, const struct pg_run_of *run, const struct point *p)
{
    (void)run;
    put_text(&s->args.bytes, &s->text, &p->value);
}

static void
add_column(struct pg_stage *s, Oid type, put_column *put)
{
    pg_array_begin(&s->args, type, s->point_count, true);
    for (size_t i = 0; i < s->run_count; i++)
        for (size_t k = 0; k < s->runs[i].count; k++)
            put(s, &s->runs[i], &s->points[s->runs[i].first + k]);
    pg_array_end(&s->args);
}

void
pg_stage_arrays(struct pg_stage *s)
{
    pg_args_reset(&s->args);
    add_column(s, PG_OID_INT4, column_series);
    add_column(s, PG_OID_INT4, column_quality);
    add_column(s, PG_OID_TIMESTAMPTZ, column_time);
    add_column(s, PG_OID_FLOAT8, column_value);
    add_column(s, PG_OID_INT2, column_type);
    add_column(s, PG_OID_TEXT, column_text);
}
