/* query_test.c -- the common query layer on a table of points: against naive implementations of each function, and
 * rollups against points. */
#include "historian/query_fake.h"

#include "base/mem.h"
#include "base/num.h"
#include "historian/grid.h"
#include "historian/rollup.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

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
            fake_fill(f, &seed);
        q = fake_query(f, &seed);
        is_exact = q.fn != HISTORY_AVG && q.fn != HISTORY_TWA;
        f->gives_rollups = false;
        fake_ask(f, &q, points);
        f->gives_rollups = true;
        f->seed = round;
        fake_ask(f, &q, rollups);
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
        if (a >= b || !fake_number(&f->p[i], &v))
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

        fake_fill(f, &seed);
        q = fake_query(f, &seed);
        q.fn = HISTORY_TWA;
        q.fill = HISTORY_FILL_NONE;
        q.resolution = HISTORY_RESOLUTION_RAW;
        f->gives_rollups = true;
        fake_ask(f, &q, rows);
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
    fake_put(f, T0 - 5 * SEC, 10);
    fake_put(f, T0 + 25 * SEC, 20);
    fake_put_bad(f, T0 + 75 * SEC);
    fake_ask(f, &q, &rows);
    assert_int_equal(1, rows.n);
    assert_true(is_near((10 * 25 + 20 * 50) / 75.0, rows.row[0].value.d));
    q.fn = HISTORY_AVG;
    fake_ask(f, &q, &rows);
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
    double x[FAKE_POINTS], y[FAKE_POINTS];
    int64_t t[FAKE_POINTS];
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

        fake_fill(f, &seed);
        q = fake_query(f, &seed);
        q.fn = HISTORY_LTTB;
        q.resolution = HISTORY_RESOLUTION_RAW;
        fake_ask(f, &q, rows);
        s->n = 0;
        for (unsigned i = 0; i < f->n; i++)
            if (f->p[i].time_us >= q.from_us && f->p[i].time_us < q.to_us && fake_number(&f->p[i], &s->y[s->n])) {
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
    for (unsigned i = 0; i < FAKE_POINTS; i++)
        fake_put(f, T0 + i * 60 * SEC, i == 317 ? 100 : i % 2);
    f->gives_rollups = true;
    q.max_points = 20; /* of 30 minutes each: minutes serve */
    fake_ask(f, &q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_MINUTE, rows.summary.resolution);
    assert_int_equal(FAKE_POINTS, rows.summary.raw_count);
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

        fake_fill(f, &seed);
        q = fake_query(f, &seed);
        q.fn = fns[round % 3];
        q.resolution = HISTORY_RESOLUTION_RAW;
        q.fill = HISTORY_FILL_NONE;
        fake_ask(f, &q, none);
        q.fill = (enum history_fill)(1 + round / 3 % 3);
        fake_ask(f, &q, filled);
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
    fake_put(f, T0 + 3 * SEC, 0);
    fake_put(f, T0 + 41 * SEC, 40);
    fake_ask(f, &q, &rows);
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
    for (unsigned i = 0; i < FAKE_POINTS; i++)
        fake_put(f, day + i * 6 * 3600 * SEC / 5, i);
    f->gives_rollups = true;
    for (unsigned i = 0; i < MEM_COUNT(cases); i++) {
        struct history_query q = {.topic = "t",
                                  .from_us = day,
                                  .to_us = day + cases[i].span_s * SEC,
                                  .fn = cases[i].fn,
                                  .max_points = cases[i].buckets};

        for (f->seed = 1; f->seed < 400; f->seed += 97) { /* one of them gives rollups */
            fake_ask(f, &q, &rows);
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
    for (unsigned i = 0; i < FAKE_POINTS; i++)
        fake_put(f, T0 + i * SEC, i);
    for (unsigned i = 0; i < MEM_COUNT(fns); i++) {
        unsigned left = 2; /* asked before the first points, then with them */
        struct history_query q = {.topic = "t",
                                  .from_us = T0,
                                  .to_us = T0 + 600 * SEC,
                                  .fn = fns[i],
                                  .is_canceled = cancel_after,
                                  .cancel_arg = &left};

        rows->n = 0;
        assert_int_equal(NX_E_CANCELED, historian_query(&f->base, &q, &a, fake_keep_row, rows, &rows->summary, &why));
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
    assert_int_equal(NX_E_CANCELED, historian_query(&f->base, &q, &a, fake_keep_row, rows, &rows->summary, &why));
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
    fake_put(f, T0, 5);
    q.fill = HISTORY_FILL_NULL;
    fake_ask(f, &q, &rows);
    assert_int_equal(1000, rows.n);
    f->is_failing = true;
    rows.n = 0;
    for (q.fn = HISTORY_RAW; q.fn <= HISTORY_LTTB; q.fn++)
        assert_int_equal(NX_E_IO, historian_query(&f->base, &q, &a, fake_keep_row, &rows, &rows.summary, &why));
    assert_int_equal(0, rows.n); /* nothing is filled in for what could not be read */
    q.topic = "other";
    assert_int_equal(NX_E_NOT_FOUND, historian_query(&f->base, &q, &a, fake_keep_row, &rows, &rows.summary, &why));
    q.from_us = q.to_us;
    assert_int_equal(NX_E_RANGE, historian_query(&f->base, &q, &a, fake_keep_row, &rows, &rows.summary, &why));
    free(f);
}

/* Sums of finite values may not be finite: that is no value, not a good one. */
static void
a_mean_beyond_a_double_is_no_value(void **state)
{
    static const enum history_fn fns[] = {HISTORY_AVG, HISTORY_TWA};
    struct fake *f = fake_new();
    struct rows *rows = mem_alloc(sizeof *rows);

    (void)state;
    fake_put(f, T0, 1.7e308);
    fake_put(f, T0 + SEC, 1.7e308);
    fake_put(f, T0 + 2 * SEC, -1.7e308);
    for (unsigned i = 0; i < MEM_COUNT(fns); i++) {
        struct history_query q = {.topic = "t",
                                  .from_us = T0,
                                  .to_us = T0 + 4 * SEC,
                                  .fn = fns[i],
                                  .max_points = 1,
                                  .resolution = HISTORY_RESOLUTION_RAW};

        fake_ask(f, &q, rows);
        assert_int_equal(rows->n, 1);
        assert_int_equal(rows->row[0].value.type, NX_TYPE_NONE);
        assert_true(nx_quality_is_bad(rows->row[0].quality));
    }
    free(rows);
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
        cmocka_unit_test(a_mean_beyond_a_double_is_no_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
