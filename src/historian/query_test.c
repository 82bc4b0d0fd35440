/* query_test.c -- the common query layer on a table of points: against naive implementations of each function, and
 * rollups against points. */
#include "historian/backend.h"

#include "base/mem.h"
#include "base/num.h"
#include "historian/grid.h"
#include "historian/rollup.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEC    INT64_C(1000000)
#define T0     (INT64_C(1700000000) * SEC) /* 2023-11-14 22:13:20, in the middle of a minute, hour and day */
#define POINTS 600
#define ROWS   8000

/* --- a backend that is a table --- */

struct fake {
    struct historian base;
    struct point p[POINTS];
    unsigned n;
    enum nx_type type;
    bool gives_rollups;
    uint64_t seed; /* some buckets are given as points, although they could be rollups */
    unsigned scans;
    bool is_failing;
};

static enum nx_err
fake_begin(struct historian *h, struct nx_note *why)
{
    (void)h;
    (void)why;
    return NX_OK;
}

static void
fake_end(struct historian *h)
{
    (void)h;
}

static enum nx_err
fake_find(struct historian *h, const char *topic, struct arena *a, struct history_series *out, struct nx_note *why)
{
    (void)a;
    if (strcmp(topic, "t") != 0)
        return nx_fail(why, NX_E_NOT_FOUND, "no %s", topic);
    *out = (struct history_series){.id = 1, .unit = "bar", .data_type = ((struct fake *)h)->type};
    return NX_OK;
}

static bool
naive_number(const struct point *p, double *v)
{
    return (p->quality & 0xC0) != 0 && p->value.type != NX_TYPE_STRING && value_as_double(&p->value, v);
}

static bool
naive_rollup(const struct point *p, unsigned n, int64_t start, int64_t width, struct history_rollup *r)
{
    *r = (struct history_rollup){.time_us = start};
    r->first = (struct history_row){p[0].time_us, p[0].quality, p[0].value};
    r->last = (struct history_row){p[n - 1].time_us, p[n - 1].quality, p[n - 1].value};
    for (unsigned i = n; i-- > 0;) {
        double v;
        int64_t end = i + 1 < n ? p[i + 1].time_us : start + width;

        if (p[i].value.type == NX_TYPE_STRING)
            return false;
        if (!naive_number(&p[i], &v)) {
            r->n_bad++;
            r->first_bad_us = p[i].time_us;
            r->first_bad_quality = p[i].quality;
            continue;
        }
        if (r->n == 0 || v <= r->min.value) {
            r->min = (struct history_mark){p[i].time_us, v};
            r->min_quality = p[i].quality;
        }
        if (r->n == 0 || v >= r->max.value) {
            r->max = (struct history_mark){p[i].time_us, v};
            r->max_quality = p[i].quality;
        }
        r->n++;
        r->sum += v;
        r->area += v * (double)(end - p[i].time_us);
        r->area_us += end - p[i].time_us;
    }
    return true;
}

static bool
give_bucket(struct fake *f, const struct point *p, unsigned n, int64_t from, int64_t to, int64_t width,
            const struct history_sink *sink)
{
    int64_t start = grid_floor(p[0].time_us, width);
    struct history_rollup r;

    if (start >= from && start + width <= to && num_random(&f->seed) % 4 != 0 && naive_rollup(p, n, start, width, &r))
        return sink->rollup(sink->arg, &r);
    return sink->points(sink->arg, p, n);
}

static enum nx_err
fake_scan(struct historian *h, const struct history_series *s, int64_t from, int64_t to, enum history_level level,
          const struct history_sink *sink, struct nx_note *why)
{
    struct fake *f = (struct fake *)h;
    int64_t width = f->gives_rollups && level != HISTORY_LEVEL_RAW ? history_level_us(level) : INT64_C(1) << 62;

    assert_int_equal(1, s->id);
    f->scans++;
    if (f->is_failing)
        return nx_fail(why, NX_E_IO, "broken");
    if (!sink->points(sink->arg, NULL, 0))
        return NX_OK;
    for (unsigned i = 0, k; i < f->n; i += k) {
        for (k = 0; i + k < f->n && grid_floor(f->p[i + k].time_us, width) == grid_floor(f->p[i].time_us, width); k++)
            if (f->p[i + k].time_us < from || f->p[i + k].time_us >= to)
                break;
        if (k == 0)
            k = 1;
        else if (!give_bucket(f, &f->p[i], k, from, to, width, sink))
            break;
    }
    return NX_OK;
}

static enum nx_err
fake_before(struct historian *h, const struct history_series *s, int64_t time_us, struct arena *a,
            struct history_row *out, struct nx_note *why)
{
    struct fake *f = (struct fake *)h;

    (void)s;
    (void)a;
    (void)why;
    for (unsigned i = 0; i < f->n && f->p[i].time_us < time_us; i++)
        *out = (struct history_row){f->p[i].time_us, f->p[i].quality, f->p[i].value};
    return NX_OK;
}

static const struct historian_backend fake_backend = {
    .begin = fake_begin, .end = fake_end, .find = fake_find, .scan = fake_scan, .before = fake_before};

static struct fake *
fake_new(void)
{
    struct fake *f = mem_alloc(sizeof *f);

    f->base.backend = &fake_backend;
    f->type = NX_TYPE_DOUBLE;
    f->seed = 1;
    return f;
}

static void
put(struct fake *f, int64_t time_us, double v)
{
    f->p[f->n++] = (struct point){.time_us = time_us, .quality = NX_Q_GOOD, .value = nx_value_double(v)};
}

static void
put_bad(struct fake *f, int64_t time_us)
{
    f->p[f->n++] = (struct point){.time_us = time_us, .quality = NX_Q_TIMEOUT};
}

static const char *const texts[] = {"text", "another", ""};

static struct nx_value
text_value(const char *text)
{
    return nx_value_string(text, strlen(text));
}

static struct point
random_point(uint64_t *seed, int64_t time_us, bool has_texts)
{
    struct point p = {.time_us = time_us, .quality = NX_Q_GOOD};
    double v = (double)((int)(num_random(seed) % 41) - 20);

    switch (num_random(seed) % 16) {
    case 0:
        p.quality = NX_Q_TIMEOUT;
        break;
    case 1:
        p.quality = NX_Q_BAD; /* a bad point that has a value */
        p.value = nx_value_double(v * 100);
        break;
    case 2:
        p.value = has_texts ? text_value(texts[num_random(seed) % 3]) : nx_value_int((int64_t)v);
        break;
    case 3:
        p.quality = NX_Q_UNCERTAIN;
        p.value = nx_value_double(v / 3);
        break;
    case 4:
        p.value = nx_value_int((int64_t)v);
        break;
    default:
        p.value = nx_value_double(v / 8);
    }
    return p;
}

static void
fill_random(struct fake *f, uint64_t *seed)
{
    static const enum nx_type types[] = {NX_TYPE_DOUBLE, NX_TYPE_INT, NX_TYPE_BOOL, NX_TYPE_NONE};
    int64_t at = T0 + (int64_t)(num_random(seed) % 1000) * 60 * SEC, step = INT64_C(1) << (20 + num_random(seed) % 13);
    bool has_texts = num_random(seed) % 2;

    f->n = (unsigned)(num_random(seed) % POINTS);
    f->type = types[num_random(seed) % 4];
    for (unsigned i = 0; i < f->n; i++) {
        at += 1 + (int64_t)(num_random(seed) % (uint64_t)step);
        if (num_random(seed) % 40 == 0)
            at += 30 * step;
        f->p[i] = random_point(seed, at, has_texts);
    }
}

/* --- asking --- */

struct rows {
    struct history_row row[ROWS];
    unsigned n;
    struct history_summary summary;
};

static bool
keep_row(void *arg, const struct history_row *row)
{
    struct rows *r = arg;
    struct history_row *kept = &r->row[r->n++];

    assert_true(r->n <= ROWS);
    *kept = *row;
    for (unsigned i = 0; row->value.type == NX_TYPE_STRING && i < MEM_COUNT(texts); i++)
        if (slice_eq_str(slice(row->value.s, row->value.len), texts[i]))
            kept->value.s = texts[i]; /* else the sanitizer finds it */
    return true;
}

static void
ask(struct fake *f, const struct history_query *q, struct rows *rows)
{
    struct arena a = {0};
    struct nx_note why;

    rows->n = 0;
    assert_int_equal(NX_OK, historian_query(&f->base, q, &a, keep_row, rows, &rows->summary, &why));
    assert_string_equal("bar", rows->summary.unit);
    arena_free(&a);
}

static struct history_query
random_query(const struct fake *f, uint64_t *seed)
{
    int64_t first = f->n ? f->p[0].time_us : T0, span = f->n ? f->p[f->n - 1].time_us - first + 1 : 1;
    struct history_query q = {.topic = "t"};

    q.fn = (enum history_fn)(HISTORY_MINMAX + num_random(seed) % 5);
    q.fill = (enum history_fill)(num_random(seed) % 4);
    q.resolution = (enum history_resolution)(num_random(seed) % 5);
    q.max_points = 1 + (uint32_t)(num_random(seed) % (num_random(seed) % 3 ? 300 : 6));
    q.from_us = first - span / 4 + (int64_t)(num_random(seed) % (uint64_t)span);
    q.to_us = q.from_us + 1 + (int64_t)(num_random(seed) % (uint64_t)(span + span / 2 + 1));
    return q;
}

static bool
is_near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (1 + fabs(a) + fabs(b));
}

static void
assert_same_row(const struct history_row *a, const struct history_row *b, bool is_exact)
{
    double x, y;

    assert_int_equal(a->time_us, b->time_us);
    assert_int_equal(a->quality, b->quality);
    assert_int_equal(a->value.type, b->value.type);
    if (!is_exact && a->value.type == NX_TYPE_DOUBLE && value_as_double(&a->value, &x) &&
        value_as_double(&b->value, &y))
        assert_true(is_near(x, y));
    else
        assert_true(value_eq(&a->value, &b->value));
}

/* --- tests --- */

static void
rollups_answer_as_points_do(void **state)
{
    struct fake *f = fake_new();
    struct rows *points = mem_alloc(sizeof *points), *rollups = mem_alloc(sizeof *rollups);
    uint64_t seed = 4711;
    unsigned with_rollups = 0;

    (void)state;
    for (unsigned round = 0; round < 4000; round++) {
        struct history_query q;
        bool is_exact;

        if (round % 8 == 0)
            fill_random(f, &seed);
        q = random_query(f, &seed);
        is_exact = q.fn != HISTORY_AVG && q.fn != HISTORY_TWA;
        f->gives_rollups = false;
        ask(f, &q, points);
        f->gives_rollups = true;
        f->seed = round;
        ask(f, &q, rollups);
        assert_int_equal(HISTORY_RESOLUTION_RAW, points->summary.resolution);
        with_rollups += rollups->summary.resolution != HISTORY_RESOLUTION_RAW;
        assert_int_equal(points->summary.raw_count, rollups->summary.raw_count);
        assert_int_equal(points->summary.bucket_us, rollups->summary.bucket_us);
        assert_int_equal(points->n, rollups->n);
        for (unsigned i = 0; i < points->n; i++)
            assert_same_row(&points->row[i], &rollups->row[i], is_exact);
    }
    assert_true(with_rollups > 800);
    free(points);
    free(rollups);
    free(f);
}

/* Borders and widths: multiples of the level, never more buckets than asked for, first and last cut at from and to. */
static void
buckets_lie_on_the_level(void **state)
{
    uint64_t seed = 3;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        int64_t from = T0 - (int64_t)(num_random(&seed) % (uint64_t)(2 * T0)),
                to = from + 1 + (int64_t)(num_random(&seed) % (UINT64_C(1) << (num_random(&seed) % 50)));
        enum history_level level = (enum history_level)(num_random(&seed) % 4);
        uint32_t n = 1 + (uint32_t)(num_random(&seed) % (1u << (num_random(&seed) % 12)));
        struct grid g = grid_make(from, to, n, history_level_us(level));
        int64_t last = grid_bucket(&g, to - 1);

        assert_true(last < n && grid_bucket(&g, from) == 0);
        assert_int_equal(from, grid_start(&g, 0));
        assert_int_equal(to, grid_end(&g, last));
        if (last > 0)
            assert_int_equal(grid_end(&g, 0), grid_start(&g, 1));
        if (level != HISTORY_LEVEL_RAW) {
            assert_int_equal(0, g.width_us % history_level_us(level));
            assert_int_equal(0, g.origin_us % history_level_us(level));
        }
    }
    /* What divides, stays: 24 hours in 24 buckets, on the hour. */
    struct grid day = grid_make(86400 * SEC, 2 * 86400 * SEC, 24, 3600 * SEC);
    assert_int_equal(3600 * SEC, day.width_us);
}

/* The mean over a stretch of the step function that the points are. */
static bool
naive_twa(const struct fake *f, int64_t lo, int64_t hi, double *mean)
{
    double area = 0, us = 0, v;

    for (unsigned i = 0; i < f->n; i++) {
        int64_t a = f->p[i].time_us, b = i + 1 < f->n ? f->p[i + 1].time_us : INT64_MAX;

        a = a < lo ? lo : a;
        b = b > hi ? hi : b;
        if (a >= b || !naive_number(&f->p[i], &v))
            continue;
        area += v * (double)(b - a);
        us += (double)(b - a);
    }
    *mean = area / us;
    return us > 0;
}

static const struct history_row *
row_at(const struct rows *rows, int64_t lo, int64_t hi)
{
    for (unsigned i = 0; i < rows->n; i++)
        if (rows->row[i].time_us >= lo && rows->row[i].time_us < hi)
            return &rows->row[i];
    return NULL;
}

static bool
has_points(const struct fake *f, int64_t lo, int64_t hi)
{
    for (unsigned i = 0; i < f->n; i++)
        if (f->p[i].time_us >= lo && f->p[i].time_us < hi)
            return true;
    return false;
}

static struct grid
grid_of(const struct history_query *q, const struct rows *rows)
{
    return (struct grid){q->from_us, q->to_us,
                         q->resolution == HISTORY_RESOLUTION_RAW ? q->from_us
                                                                 : grid_floor(q->from_us, rows->summary.bucket_us),
                         rows->summary.bucket_us};
}

static void
twa_is_the_mean_of_the_steps(void **state)
{
    struct fake *f = fake_new();
    struct rows *rows = mem_alloc(sizeof *rows);
    uint64_t seed = 99;
    unsigned means = 0;

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct history_query q;
        struct grid g;

        fill_random(f, &seed);
        q = random_query(f, &seed);
        q.fn = HISTORY_TWA;
        q.fill = HISTORY_FILL_NONE;
        q.resolution = HISTORY_RESOLUTION_RAW;
        f->gives_rollups = true;
        ask(f, &q, rows);
        g = grid_of(&q, rows);
        for (int64_t b = 0; b <= grid_bucket(&g, q.to_us - 1); b++) {
            int64_t lo = grid_start(&g, b), hi = grid_end(&g, b);
            const struct history_row *row = row_at(rows, lo, hi);
            double want;

            assert_int_equal(has_points(f, lo, hi), row != NULL);
            if (!row || !naive_twa(f, lo, hi, &want))
                continue;
            means++;
            assert_int_equal(lo, row->time_us);
            assert_int_equal(NX_TYPE_DOUBLE, row->value.type);
            assert_true(is_near(want, row->value.d));
        }
    }
    assert_true(means > 2000);
    free(rows);
    free(f);
}

static void
values_hold_from_before_the_range(void **state)
{
    struct fake *f = fake_new();
    struct rows rows;
    struct history_query q = {.topic = "t",
                              .from_us = T0,
                              .to_us = T0 + 100 * SEC,
                              .fn = HISTORY_TWA,
                              .max_points = 1,
                              .resolution = HISTORY_RESOLUTION_RAW};

    (void)state;
    put(f, T0 - 5 * SEC, 10);
    put(f, T0 + 25 * SEC, 20);
    put_bad(f, T0 + 75 * SEC);
    ask(f, &q, &rows);
    assert_int_equal(1, rows.n);
    assert_true(is_near((10 * 25 + 20 * 50) / 75.0, rows.row[0].value.d));
    q.fn = HISTORY_AVG;
    ask(f, &q, &rows);
    assert_true(rows.row[0].value.d == 20);
    free(f);
}

/* Twice the area of a triangle, as the formula of the paper has it. */
static double
area(double ax, double ay, double bx, double by, double cx, double cy)
{
    return fabs((ax - cx) * (by - ay) - (ax - bx) * (cy - ay));
}

struct plain {
    double x[POINTS], y[POINTS];
    int64_t t[POINTS];
    unsigned n;
};

static unsigned
index_of(const struct plain *s, int64_t t)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->t[i] == t)
            return i;
    fail_msg("a point that is none");
    return 0;
}

/* Follows what was picked and checks that nothing in its stretch spans a larger triangle. */
static void
check_lttb(const struct plain *s, const struct history_query *q, const struct rows *rows)
{
    struct grid g = grid_make(q->from_us, q->to_us, q->max_points > 3 ? q->max_points - 2 : 1, 0);
    unsigned at = 1, row = 1, kept = 0;

    assert_int_equal(s->t[0], rows->row[0].time_us);
    assert_int_equal(s->t[s->n - 1], rows->row[rows->n - 1].time_us);
    while (at < s->n - 1) {
        unsigned end = at, next_end, pick = index_of(s, rows->row[row++].time_us);
        double cx = 0, cy = 0, best = 0, got;

        while (end < s->n - 1 && grid_bucket(&g, s->t[end]) == grid_bucket(&g, s->t[at]))
            end++;
        for (next_end = end; next_end < s->n - 1; next_end++) {
            if (grid_bucket(&g, s->t[next_end]) != grid_bucket(&g, s->t[end]))
                break;
            cx += s->x[next_end];
            cy += s->y[next_end];
        }
        cx = next_end > end ? cx / (next_end - end) : s->x[s->n - 1];
        cy = next_end > end ? cy / (next_end - end) : s->y[s->n - 1];
        assert_true(pick >= at && pick < end);
        for (unsigned i = at; i < end; i++)
            best = fmax(best, area(s->x[kept], s->y[kept], s->x[i], s->y[i], cx, cy));
        got = area(s->x[kept], s->y[kept], s->x[pick], s->y[pick], cx, cy);
        assert_true(got >= best * (1 - 1e-9) - 1e-9);
        kept = pick;
        at = end;
    }
    assert_int_equal(rows->n, s->n > 1 ? row + 1 : 1);
    assert_true(rows->n <= (q->max_points > 3 ? q->max_points : 3));
}

static void
lttb_takes_the_largest_triangles(void **state)
{
    struct fake *f = fake_new();
    struct rows *rows = mem_alloc(sizeof *rows);
    struct plain *s = mem_alloc(sizeof *s);
    uint64_t seed = 12;
    unsigned checked = 0;

    (void)state;
    for (unsigned round = 0; round < 600; round++) {
        struct history_query q;

        fill_random(f, &seed);
        q = random_query(f, &seed);
        q.fn = HISTORY_LTTB;
        q.resolution = HISTORY_RESOLUTION_RAW;
        ask(f, &q, rows);
        s->n = 0;
        for (unsigned i = 0; i < f->n; i++)
            if (f->p[i].time_us >= q.from_us && f->p[i].time_us < q.to_us && naive_number(&f->p[i], &s->y[s->n])) {
                s->t[s->n] = f->p[i].time_us;
                s->x[s->n++] = (double)(f->p[i].time_us - T0) / SEC;
            }
        if (s->n == 0) {
            assert_int_equal(0, rows->n);
            continue;
        }
        check_lttb(s, &q, rows);
        checked += rows->n > 3;
    }
    assert_true(checked > 200);
    free(s);
    free(rows);
    free(f);
}

static void
lttb_keeps_a_peak_in_an_hour_of_minutes(void **state)
{
    struct fake *f = fake_new();
    struct rows rows;
    struct history_query q = {.topic = "t", .from_us = T0, .to_us = T0 + 36000 * SEC, .fn = HISTORY_LTTB};
    bool has_peak = false;

    (void)state;
    for (unsigned i = 0; i < POINTS; i++)
        put(f, T0 + i * 60 * SEC, i == 317 ? 100 : i % 2);
    f->gives_rollups = true;
    q.max_points = 20; /* of 30 minutes each: minutes serve */
    ask(f, &q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_MINUTE, rows.summary.resolution);
    assert_int_equal(POINTS, rows.summary.raw_count);
    assert_true(rows.n <= 20);
    for (unsigned i = 0; i < rows.n; i++)
        has_peak = has_peak || rows.row[i].value.d == 100;
    assert_true(has_peak);
    free(f);
}

/* --- filling --- */

static bool
row_number(const struct history_row *row, double *v)
{
    return row && (row->quality & 0xC0) != 0 && row->value.type != NX_TYPE_STRING && value_as_double(&row->value, v);
}

static struct history_row
naive_fill(enum history_fill fill, const struct history_row *before, const struct history_row *after, int64_t time_us)
{
    double a, b;

    if (fill == HISTORY_FILL_NULL || !before)
        return (struct history_row){time_us, NX_Q_NOT_CONNECTED, nx_value_none()};
    if (fill == HISTORY_FILL_LINEAR && row_number(before, &a) && row_number(after, &b)) {
        double part = (double)(time_us - before->time_us) / (double)(after->time_us - before->time_us);

        return (struct history_row){time_us, before->quality < after->quality ? before->quality : after->quality,
                                    nx_value_double(a + (b - a) * part)};
    }
    return (struct history_row){time_us, before->quality, before->value};
}

static void
check_filled(const struct fake *f, const struct history_query *q, const struct rows *none, const struct rows *filled)
{
    struct grid g = grid_of(q, none);
    struct history_row first, want;
    const struct history_row *before = NULL;
    unsigned k = 0;

    for (unsigned i = 0; i < f->n && f->p[i].time_us < q->from_us; i++) {
        first = (struct history_row){f->p[i].time_us, f->p[i].quality, f->p[i].value};
        before = &first;
    }
    for (int64_t b = 0; b <= grid_bucket(&g, q->to_us - 1); b++) {
        const struct history_row *row = row_at(none, grid_start(&g, b), grid_end(&g, b));

        assert_true(b < (int64_t)filled->n);
        if (row) {
            assert_same_row(row, &filled->row[b], true);
            before = row;
            k++;
            continue;
        }
        want = naive_fill(q->fill, before, k < none->n ? &none->row[k] : NULL, grid_start(&g, b));
        assert_same_row(&want, &filled->row[b], false);
    }
    assert_int_equal(grid_bucket(&g, q->to_us - 1) + 1, filled->n);
}

static void
empty_buckets_are_filled(void **state)
{
    static const enum history_fn fns[] = {HISTORY_AVG, HISTORY_LAST, HISTORY_TWA};
    struct fake *f = fake_new();
    struct rows *none = mem_alloc(sizeof *none), *filled = mem_alloc(sizeof *filled);
    uint64_t seed = 1234;
    unsigned added = 0;

    (void)state;
    for (unsigned round = 0; round < 900; round++) {
        struct history_query q;

        fill_random(f, &seed);
        q = random_query(f, &seed);
        q.fn = fns[round % 3];
        q.resolution = HISTORY_RESOLUTION_RAW;
        q.fill = HISTORY_FILL_NONE;
        ask(f, &q, none);
        q.fill = (enum history_fill)(1 + round / 3 % 3);
        ask(f, &q, filled);
        check_filled(f, &q, none, filled);
        added += filled->n - none->n;
    }
    assert_true(added > 5000);
    free(none);
    free(filled);
    free(f);
}

static void
a_line_joins_two_means(void **state)
{
    static const double want[] = {0, 10, 20, 30, 40, 40};
    struct fake *f = fake_new();
    struct rows rows;
    struct history_query q = {.topic = "t",
                              .from_us = T0,
                              .to_us = T0 + 60 * SEC,
                              .fn = HISTORY_AVG,
                              .max_points = 6,
                              .fill = HISTORY_FILL_LINEAR,
                              .resolution = HISTORY_RESOLUTION_RAW};

    (void)state;
    put(f, T0 + 3 * SEC, 0);
    put(f, T0 + 41 * SEC, 40);
    ask(f, &q, &rows);
    assert_int_equal(6, rows.n);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(T0 + i * 10 * SEC, rows.row[i].time_us);
        assert_true(is_near(want[i], rows.row[i].value.d));
    }
    free(f);
}

static void
the_level_follows_the_width(void **state)
{
    static const struct {
        enum history_fn fn;
        int64_t span_s;
        uint32_t buckets;
        enum history_resolution resolution;
        int64_t bucket_s;
    } cases[] = {
        {HISTORY_AVG, 3540, 60, HISTORY_RESOLUTION_RAW, 59},
        {HISTORY_AVG, 3600, 60, HISTORY_RESOLUTION_MINUTE, 60},
        {HISTORY_MINMAX, 1740, 60, HISTORY_RESOLUTION_RAW, 29},
        {HISTORY_MINMAX, 1800, 60, HISTORY_RESOLUTION_MINUTE, 60},
        {HISTORY_TWA, 3600 * 30, 30, HISTORY_RESOLUTION_HOUR, 3600},
        {HISTORY_LAST, 86400 * 9, 9, HISTORY_RESOLUTION_DAY, 86400},
        {HISTORY_LTTB, 60 * 200, 51, HISTORY_RESOLUTION_RAW, 244},
        {HISTORY_LTTB, 60 * 204, 51, HISTORY_RESOLUTION_MINUTE, 249},
    };
    int64_t day = T0 - T0 % (86400 * SEC);
    struct fake *f = fake_new();
    struct rows rows;

    (void)state;
    for (unsigned i = 0; i < POINTS; i++)
        put(f, day + i * 6 * 3600 * SEC / 5, i);
    f->gives_rollups = true;
    for (unsigned i = 0; i < MEM_COUNT(cases); i++) {
        struct history_query q = {.topic = "t",
                                  .from_us = day,
                                  .to_us = day + cases[i].span_s * SEC,
                                  .fn = cases[i].fn,
                                  .max_points = cases[i].buckets};

        for (f->seed = 1; f->seed < 400; f->seed += 97) { /* one of them gives rollups */
            ask(f, &q, &rows);
            if (rows.summary.resolution == cases[i].resolution)
                break;
        }
        assert_int_equal(cases[i].resolution, rows.summary.resolution);
        assert_int_equal(cases[i].bucket_s, rows.summary.bucket_us / SEC);
    }
    free(f);
}

/* Integers stay integers where they come from rollups, a fraction of an integer series is not cut off. */
static void
numbers_are_shown_as_the_series(void **state)
{
    struct nx_value v = rollup_shown(NX_TYPE_INT, -7);

    (void)state;
    assert_true(v.type == NX_TYPE_INT && v.i == -7);
    v = rollup_shown(NX_TYPE_INT, 2.5);
    assert_true(v.type == NX_TYPE_DOUBLE && v.d == 2.5);
    v = rollup_shown(NX_TYPE_INT, 1e19);
    assert_int_equal(NX_TYPE_DOUBLE, v.type);
    v = rollup_shown(NX_TYPE_UINT, 1e19);
    assert_true(v.type == NX_TYPE_UINT && v.u == UINT64_C(10000000000000000000));
    v = rollup_shown(NX_TYPE_UINT, -1);
    assert_int_equal(NX_TYPE_DOUBLE, v.type);
    v = rollup_shown(NX_TYPE_BOOL, 1);
    assert_true(v.type == NX_TYPE_BOOL && v.b);
}

/* --- ends --- */

static bool
cancel_after(void *arg)
{
    unsigned *left = arg;

    return *left == 0 || --*left == 0;
}

static void
a_query_is_canceled(void **state)
{
    static const enum history_fn fns[] = {HISTORY_RAW, HISTORY_MINMAX, HISTORY_LTTB, HISTORY_TWA};
    struct fake *f = fake_new();
    struct rows *rows = mem_alloc(sizeof *rows);
    struct nx_note why;
    struct arena a = {0};

    (void)state;
    for (unsigned i = 0; i < POINTS; i++)
        put(f, T0 + i * SEC, i);
    for (unsigned i = 0; i < MEM_COUNT(fns); i++) {
        unsigned left = 2; /* asked before the first points, then with them */
        struct history_query q = {.topic = "t",
                                  .from_us = T0,
                                  .to_us = T0 + 600 * SEC,
                                  .fn = fns[i],
                                  .is_canceled = cancel_after,
                                  .cancel_arg = &left};

        rows->n = 0;
        assert_int_equal(NX_E_CANCELED, historian_query(&f->base, &q, &a, keep_row, rows, &rows->summary, &why));
        assert_int_equal(0, rows->n);
    }
    /* Also while it fills. */
    unsigned left = 3;
    struct history_query q = {.topic = "t",
                              .from_us = T0 + 86400 * SEC,
                              .to_us = T0 + 2 * 86400 * SEC,
                              .fn = HISTORY_AVG,
                              .max_points = 7000,
                              .fill = HISTORY_FILL_NULL,
                              .resolution = HISTORY_RESOLUTION_RAW,
                              .is_canceled = cancel_after,
                              .cancel_arg = &left};
    assert_int_equal(NX_E_CANCELED, historian_query(&f->base, &q, &a, keep_row, rows, &rows->summary, &why));
    assert_true(rows->n > 0 && rows->n < 4000);
    free(rows);
    free(f);
}

static void
errors_end_a_query(void **state)
{
    struct fake *f = fake_new();
    struct rows rows = {0};
    struct nx_note why;
    struct arena a = {0};
    struct history_query q = {.topic = "t", .from_us = INT64_MIN, .to_us = INT64_MAX, .fn = HISTORY_AVG};

    (void)state;
    put(f, T0, 5);
    q.fill = HISTORY_FILL_NULL;
    ask(f, &q, &rows);
    assert_int_equal(1000, rows.n);
    f->is_failing = true;
    rows.n = 0;
    for (q.fn = HISTORY_RAW; q.fn <= HISTORY_LTTB; q.fn++)
        assert_int_equal(NX_E_IO, historian_query(&f->base, &q, &a, keep_row, &rows, &rows.summary, &why));
    assert_int_equal(0, rows.n); /* nothing is filled in for what could not be read */
    q.topic = "other";
    assert_int_equal(NX_E_NOT_FOUND, historian_query(&f->base, &q, &a, keep_row, &rows, &rows.summary, &why));
    q.from_us = q.to_us;
    assert_int_equal(NX_E_RANGE, historian_query(&f->base, &q, &a, keep_row, &rows, &rows.summary, &why));
    free(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollups_answer_as_points_do),
        cmocka_unit_test(buckets_lie_on_the_level),
        cmocka_unit_test(twa_is_the_mean_of_the_steps),
        cmocka_unit_test(values_hold_from_before_the_range),
        cmocka_unit_test(lttb_takes_the_largest_triangles),
        cmocka_unit_test(lttb_keeps_a_peak_in_an_hour_of_minutes),
        cmocka_unit_test(empty_buckets_are_filled),
        cmocka_unit_test(a_line_joins_two_means),
        cmocka_unit_test(the_level_follows_the_width),
        cmocka_unit_test(numbers_are_shown_as_the_series),
        cmocka_unit_test(a_query_is_canceled),
        cmocka_unit_test(errors_end_a_query),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
