/* scan.c -- reading: points and rollups in portions, by cursors of one transaction; the next portion is on its way
 * while one is looked at. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "historian/grid.h"
#include "historian/postgres/store.h"
#include "historian/rollup.h"

#define PORTION       4000
#define BACK_MOST_US  (24 * PG_DAY_US) /* how far before() looks, as SQLite's does */
#define SERIES_A_TIME 2000

struct scan {
    struct pg_store *h;
    const struct history_series *s;
    const struct history_sink *sink;
    struct nx_note *why;
    bool is_done; /* the sink said so */
    struct point *points;
};

/* --- points --- */

#define POINT_COLUMNS "time, value, quality, type, text"

static struct nx_value
exact_integer(enum nx_type type, struct slice text)
{
    int64_t i = 0;
    uint64_t u = 0;

    if (type == NX_TYPE_INT)
        return num_i64(text, &i) ? nx_value_int(i) : nx_value_none();
    return num_u64(text, &u) ? nx_value_uint(u) : nx_value_none();
}

/* Text is borrowed from r. */
static struct nx_value
value_of(const PGresult *r, int row, int col, enum nx_type type)
{
    if (!pg_is_null(r, row, col + 2))
        type = (enum nx_type)pg_i32(r, row, col + 2);
    if (!pg_is_null(r, row, col + 3)) {
        struct slice text = pg_text(r, row, col + 3);

        return type == NX_TYPE_STRING ? nx_value_string((const char *)text.p, text.len) : exact_integer(type, text);
    }
    return pg_is_null(r, row, col) ? nx_value_none() : rollup_shown(type, pg_f64(r, row, col));
}

static struct point
point_of(const PGresult *r, int row, enum nx_type type)
{
    return (struct point){.time_us = pg_time(r, row, 0),
                          .quality = (uint16_t)pg_i32(r, row, 2),
                          .value = value_of(r, row, 1, type)};
}

static void
give_points(struct scan *x, const PGresult *r)
{
    int n = PQntuples(r);

    for (int i = 0; i < n; i++)
        x->points[i] = point_of(r, i, x->s->data_type);
    if (n > 0 && !x->sink->points(x->sink->arg, x->points, (size_t)n))
        x->is_done = true;
}

static enum nx_err
declare(struct scan *x, const char *cursor, const char *columns, const char *table, int64_t from_us, int64_t to_us)
{
    char from[PG_TIME_CAP], to[PG_TIME_CAP];
    char *sql = mem_printf("DECLARE %s NO SCROLL CURSOR FOR SELECT %s FROM hist.%s WHERE series_id = %" PRId64
                           " AND time >= %s AND time < %s ORDER BY time",
                           cursor, columns, table, x->s->id, pg_literal(from_us, from), pg_literal(to_us, to));
    enum nx_err err = pg_exec(&x->h->conn, sql, x->why);

    free(sql);
    return err;
}

#define TEXT_OF(number)  TEXT_OF_(number)
#define TEXT_OF_(number) #number
static const char fetch_points[] = "FETCH " TEXT_OF(PORTION) " FROM points";
static const char fetch_rollups[] = "FETCH " TEXT_OF(PORTION) " FROM rollups";

static enum nx_err
fetch_all_points(struct scan *x)
{
    struct pg_conn *conn = &x->h->conn;
    PGresult *r = NULL;
    enum nx_err err = pg_select_begin(conn, fetch_points, x->why);
    bool goes_on = err == NX_OK;

    while (goes_on && (err = pg_select_end(conn, &r, x->why)) == NX_OK) {
        goes_on = PQntuples(r) == PORTION && !x->is_done;
        if (goes_on)
            err = pg_select_begin(conn, fetch_points, x->why);
        if (err == NX_OK && !x->is_done)
            give_points(x, r);
        goes_on = goes_on && err == NX_OK;
        PQclear(r);
        r = NULL;
    }
    return err;
}

static enum nx_err
scan_points(struct scan *x, int64_t from_us, int64_t to_us)
{
    enum nx_err err;

    if (from_us >= to_us || x->is_done)
        return NX_OK;
    if ((err = declare(x, "points", POINT_COLUMNS, "raw", from_us, to_us)) == NX_OK &&
        (err = fetch_all_points(x)) == NX_OK)
        err = pg_exec(&x->h->conn, "CLOSE points", x->why);
    return err;
}

/* --- rollups --- */

static const char *const tables[] = {"raw", "m1", "h1", "d1"};

#define ROLLUP_READ                                                                                                    \
    "time, n, n_bad, sum, area, area_us, min, min_time, max, max_time, first, first_time, first_quality, last,"        \
    " last_time, last_quality, bad_time, bad_quality, min_quality, max_quality, is_mixed"
enum { COL_IS_MIXED = 20 };

static struct history_row
row_of(const PGresult *r, int row, int col, enum nx_type type)
{
    return (struct history_row){.time_us = pg_time(r, row, col + 1),
                                .quality = (uint16_t)pg_i32(r, row, col + 2),
                                .value = pg_is_null(r, row, col) ? nx_value_none()
                                                                 : rollup_shown(type, pg_f64(r, row, col))};
}

static struct history_rollup
rollup_of(const PGresult *r, int i, enum nx_type type)
{
    struct history_rollup u = {.time_us = pg_time(r, i, 0), .n = (uint32_t)pg_i32(r, i, 1)};

    u.n_bad = (uint32_t)pg_i32(r, i, 2);
    u.first = row_of(r, i, 10, type);
    u.last = row_of(r, i, 13, type);
    if (u.n > 0) {
        u.sum = pg_f64(r, i, 3);
        u.area = pg_f64(r, i, 4);
        u.area_us = pg_i64(r, i, 5);
        u.min = (struct history_mark){pg_time(r, i, 7), pg_f64(r, i, 6)};
        u.max = (struct history_mark){pg_time(r, i, 9), pg_f64(r, i, 8)};
        u.min_quality = (uint16_t)pg_i32(r, i, 18);
        u.max_quality = (uint16_t)pg_i32(r, i, 19);
    }
    if (u.n_bad > 0) {
        u.first_bad_us = pg_time(r, i, 16);
        u.first_bad_quality = (uint16_t)pg_i32(r, i, 17);
    }
    return u;
}

/* Buckets with texts are given as points: one stretch for all that follow each other. */
static enum nx_err
give_rollups(struct scan *x, const PGresult *r, int64_t width_us)
{
    enum nx_err err = NX_OK;
    int n = PQntuples(r);

    for (int i = 0; i < n && err == NX_OK && !x->is_done;) {
        int64_t from_us = pg_time(r, i, 0), to_us = from_us;
        int k = i;

        for (; k < n && pg_bool(r, k, COL_IS_MIXED); k++)
            to_us = pg_time(r, k, 0) + width_us;
        if (k > i) {
            err = scan_points(x, from_us, to_us);
        } else {
            struct history_rollup u = rollup_of(r, k++, x->s->data_type);

            x->is_done = !x->sink->rollup(x->sink->arg, &u);
        }
        i = k;
    }
    return err;
}

static enum nx_err
scan_rollups(struct scan *x, enum history_level level, int64_t from_us, int64_t to_us)
{
    PGresult *r = NULL;
    bool goes_on = true;
    enum nx_err err;

    if (from_us >= to_us || x->is_done)
        return NX_OK;
    if ((err = declare(x, "rollups", ROLLUP_READ, tables[level], from_us, to_us)) != NX_OK)
        return err;
    while (goes_on && !x->is_done && (err = pg_select(&x->h->conn, fetch_rollups, &r, x->why)) == NX_OK) {
        goes_on = PQntuples(r) == PORTION;
        err = give_rollups(x, r, history_level_us(level));
        goes_on = goes_on && err == NX_OK;
        PQclear(r);
    }
    return err == NX_OK ? pg_exec(&x->h->conn, "CLOSE rollups", x->why) : err;
}

/* Up to where rollups were made. */
static enum nx_err
read_rolled(struct scan *x, enum history_level level, int64_t *rolled_us)
{
    static const char *const sql[] = {"", "SELECT rolled_m FROM hist.state", "SELECT rolled_h FROM hist.state",
                                      "SELECT rolled_d FROM hist.state"};
    PGresult *r;
    enum nx_err err = pg_select(&x->h->conn, sql[level], &r, x->why);

    if (err == NX_OK && PQntuples(r) == 1)
        *rolled_us = pg_time(r, 0, 0);
    PQclear(r);
    return err;
}

static enum nx_err
read_dirty(struct scan *x, int64_t from_us, int64_t to_us, PGresult **out)
{
    char from[PG_TIME_CAP], to[PG_TIME_CAP];
    char *sql = mem_printf("SELECT DISTINCT hour FROM hist.dirty WHERE series_id = %" PRId64
                           " AND hour >= %s AND hour < %s ORDER BY hour",
                           x->s->id, pg_literal(grid_floor(from_us, PG_HOUR_US), from), pg_literal(to_us, to));
    enum nx_err err = pg_select(&x->h->conn, sql, out, x->why);

    free(sql);
    return err;
}

/* [from, to) are whole buckets below the watermark; hours that got late points are read as points. */
static enum nx_err
scan_clean(struct scan *x, enum history_level level, int64_t from_us, int64_t to_us)
{
    int64_t width_us = level == HISTORY_LEVEL_DAY ? PG_DAY_US : PG_HOUR_US, at = from_us;
    PGresult *dirty;
    enum nx_err err = read_dirty(x, from_us, to_us, &dirty);

    for (int i = 0, k; err == NX_OK && i < PQntuples(dirty); i = k) {
        int64_t lo = grid_floor(pg_time(dirty, i, 0), width_us), hi = lo + width_us;

        for (k = i + 1; k < PQntuples(dirty) && grid_floor(pg_time(dirty, k, 0), width_us) <= hi; k++)
            hi = grid_floor(pg_time(dirty, k, 0), width_us) + width_us;
        lo = lo < at ? at : lo;
        hi = hi > to_us ? to_us : hi;
        if ((err = scan_rollups(x, level, at, lo)) == NX_OK)
            err = scan_points(x, lo, hi);
        at = hi;
    }
    PQclear(dirty);
    return err == NX_OK ? scan_rollups(x, level, at, to_us) : err;
}

static enum nx_err
scan_levels(struct scan *x, int64_t from_us, int64_t to_us, enum history_level level)
{
    int64_t width_us = history_level_us(level), rolled_us = 0, lo, hi;
    enum nx_err err;

    if (level == HISTORY_LEVEL_RAW)
        return scan_points(x, from_us, to_us);
    if ((err = read_rolled(x, level, &rolled_us)) != NX_OK)
        return err;
    lo = grid_floor(from_us + width_us - 1, width_us);
    hi = grid_floor(to_us < rolled_us ? to_us : rolled_us, width_us);
    if (lo >= hi)
        return scan_points(x, from_us, to_us);
    if ((err = scan_points(x, from_us, lo)) == NX_OK && (err = scan_clean(x, level, lo, hi)) == NX_OK)
        err = scan_points(x, hi, to_us);
    return err;
}

enum nx_err
pg_store_scan(struct historian *base, const struct history_series *s, int64_t from_us, int64_t to_us,
              enum history_level level, const struct history_sink *sink, struct nx_note *why)
{
    struct scan x = {.h = pg_store_of(base), .s = s, .sink = sink, .why = why};
    enum nx_err err;

    from_us = from_us < 0 ? 0 : from_us; /* nothing older is ever stored */
    x.points = mem_calloc(PORTION, sizeof *x.points);
    err = scan_levels(&x, from_us, to_us, level);
    free(x.points);
    return err;
}

/* --- one state of the store --- */

enum nx_err
pg_store_begin(struct historian *base, struct nx_note *why)
{
    static const char sql[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    struct pg_store *h = pg_store_of(base);
    enum nx_err err = pg_store_ready(h, why);

    if (err != NX_OK || (err = pg_exec(&h->conn, sql, why)) != NX_E_OFFLINE)
        return err;
    /* The server ended a connection that nobody used for long. */
    if ((err = pg_store_ready(h, why)) == NX_OK)
        err = pg_exec(&h->conn, sql, why);
    return err;
}

void
pg_store_end(struct historian *base)
{
    pg_rollback(&pg_store_of(base)->conn);
}

/* --- series --- */

static const struct pg_stmt find_series = {
    "find_series", "SELECT series_id, coalesce(unit, ''), data_type FROM hist.series WHERE topic = $1::text"};
static const struct pg_stmt next_series = {
    "next_series", "SELECT topic, coalesce(device_id, ''), coalesce(tag_id, ''), coalesce(unit, ''), data_type"
                   " FROM hist.series WHERE topic > $1::text ORDER BY topic LIMIT $2::int4"};

enum nx_err
pg_store_find(struct historian *base, const char *topic, struct arena *a, struct history_series *out,
              struct nx_note *why)
{
    struct pg_args args = pg_args_init();
    struct wbuf text = wbuf_init(0);
    PGresult *r;
    enum nx_err err;

    pg_arg_text(&args, pg_clean_text(&text, slice_str(topic), UINT16_MAX));
    err = pg_run(&pg_store_of(base)->conn, &find_series, &args, &r, why);
    if (err == NX_OK && PQntuples(r) == 1)
        *out = (struct history_series){.id = pg_i32(r, 0, 0),
                                       .unit = arena_strndup(a, pg_text(r, 0, 1).p, pg_text(r, 0, 1).len),
                                       .data_type = (enum nx_type)pg_i32(r, 0, 2)};
    else if (err == NX_OK)
        err = nx_fail(why, NX_E_NOT_FOUND, "no values were ever stored for topic \"%s\"", topic);
    PQclear(r);
    pg_args_free(&args);
    wbuf_free(&text);
    return err;
}

static bool
give_series(const PGresult *r, history_series_cb *each, void *arg)
{
    bool goes_on = true;

    for (int i = 0; i < PQntuples(r) && goes_on; i++) {
        struct series s = {.topic = pg_text(r, i, 0),
                           .device_id = pg_text(r, i, 1),
                           .tag_id = pg_text(r, i, 2),
                           .unit = pg_text(r, i, 3),
                           .data_type = (uint8_t)pg_i32(r, i, 4)};

        goes_on = each(arg, &s);
    }
    return goes_on && PQntuples(r) == SERIES_A_TIME;
}

enum nx_err
pg_store_each_series(struct historian *base, history_series_cb *each, void *arg, struct nx_note *why)
{
    struct pg_store *h = pg_store_of(base);
    struct pg_args args = pg_args_init();
    bool goes_on = true;
    PGresult *r, *last = NULL;
    enum nx_err err = pg_store_ready(h, why);

    while (err == NX_OK && goes_on) {
        pg_args_reset(&args);
        pg_arg_text(&args, last ? pg_text(last, SERIES_A_TIME - 1, 0) : slice("", 0));
        pg_arg_i32(&args, SERIES_A_TIME);
        PQclear(last);
        if ((err = pg_run(&h->conn, &next_series, &args, &r, why)) == NX_OK)
            goes_on = give_series(r, each, arg);
        last = r;
    }
    PQclear(last);
    pg_args_free(&args);
    return err;
}

/* --- the value before a time --- */

/* Points may be long gone, or older than one looks; a day's rollup tells its last one. */
static enum nx_err
before_in_days(struct pg_store *h, const struct history_series *s, int64_t time_us, struct history_row *out,
               struct nx_note *why)
{
    char to[PG_TIME_CAP];
    char *sql = mem_printf("SELECT last, last_time, last_quality, is_mixed FROM hist.d1 WHERE series_id = %" PRId64
                           " AND time < %s AND last_time < %s ORDER BY time DESC LIMIT 1",
                           s->id, pg_literal(time_us, to), to);
    PGresult *r;
    enum nx_err err = pg_select(&h->conn, sql, &r, why);

    free(sql);
    if (err == NX_OK && PQntuples(r) == 1 && !pg_bool(r, 0, 3)) /* of a text the day knows nothing */
        *out = row_of(r, 0, 0, s->data_type);
    PQclear(r);
    return err;
}

enum nx_err
pg_store_before(struct historian *base, const struct history_series *s, int64_t time_us, struct arena *a,
                struct history_row *out, struct nx_note *why)
{
    char from[PG_TIME_CAP], to[PG_TIME_CAP];
    char *sql = mem_printf("SELECT " POINT_COLUMNS " FROM hist.raw WHERE series_id = %" PRId64
                           " AND time >= %s AND time < %s ORDER BY time DESC LIMIT 1",
                           s->id, pg_literal(time_us - BACK_MOST_US, from), pg_literal(time_us, to));
    PGresult *r;
    enum nx_err err = pg_select(&pg_store_of(base)->conn, sql, &r, why);
    bool has_point = err == NX_OK && PQntuples(r) == 1;

    free(sql);
    *out = (struct history_row){0};
    if (has_point) {
        struct point p = point_of(r, 0, s->data_type);

        *out = (struct history_row){.time_us = p.time_us, .quality = p.quality, .value = p.value};
        if (p.value.type == NX_TYPE_STRING)
            out->value = nx_value_string(arena_strndup(a, p.value.s, p.value.len), p.value.len);
    }
    PQclear(r);
    return err == NX_OK && !has_point ? before_in_days(pg_store_of(base), s, time_us, out, why) : err;
}
