/* roll.c -- rollups: of minutes that are closed, and again of hours that got late points.
 *
 * The watermark only moves while no commit is under way (an advisory lock that commits share). A commit that comes
 * later and holds points below it says so in hist.dirty, in its own transaction. So a rollup below hist.state.rolled_*
 * holds every point that is stored, unless its hour is dirty; readers look at both in one snapshot. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "historian/grid.h"
#include "historian/postgres/merge.h"
#include "historian/postgres/store.h"

#define LAG_US        (10 * INT64_C(1000000)) /* values that come this late still find their minute open */
#define STEP_MINUTES  10
#define TAKE_MOST     20000
#define REDO_MOST     500
#define PORTION       "4000"
#define COPY_BYTES    (4u << 20)
#define SETTLED_AFTER "INTERVAL '60 seconds'" /* a backlog is still filling the hour */

static const char *const tables[] = {"raw", "m1", "h1", "d1"};

struct roll {
    struct pg_store *h;
    struct nx_note *why;
    int64_t watermark_us, rolled_us[4]; /* by level */
    /* of the pass under way */
    enum history_level level;
    int32_t series_id; /* 0: none yet */
    struct roller roller;
    struct merger merger;
    struct wbuf rows;
    enum nx_err err;
};

/* --- rows --- */

static void
put_mark(struct wbuf *w, bool is_set, double v, int64_t time_us)
{
    if (is_set) {
        pg_put_f64(w, v);
        pg_put_time(w, time_us);
    } else {
        pg_put_null(w);
        pg_put_null(w);
    }
}

static void
put_edge(struct wbuf *w, const struct history_row *row)
{
    double v;

    if (value_as_double(&row->value, &v))
        pg_put_f64(w, v);
    else
        pg_put_null(w);
    pg_put_time(w, row->time_us);
}

static void
put_numbers(struct wbuf *w, const struct history_rollup *r)
{
    if (r->n > 0) {
        pg_put_f64(w, r->sum);
        pg_put_f64(w, r->area);
        pg_put_i64(w, r->area_us);
    } else {
        for (int i = 0; i < 3; i++)
            pg_put_null(w);
    }
    put_mark(w, r->n > 0, r->min.value, r->min.time_us);
    put_mark(w, r->n > 0, r->max.value, r->max.time_us);
}

static void
put_qualities(struct wbuf *w, const struct history_rollup *r)
{
    pg_put_i32(w, r->min_quality);
    pg_put_i32(w, r->max_quality);
    pg_put_i32(w, r->first.quality);
    pg_put_i32(w, r->last.quality);
    pg_put_i32(w, r->first_bad_quality);
}

static void
put_rollup(struct wbuf *w, int32_t series_id, const struct history_rollup *r, bool is_mixed)
{
    wbuf_be16(w, 22);
    pg_put_i32(w, series_id);
    pg_put_i32(w, (int32_t)r->n);
    pg_put_time(w, r->time_us);
    put_numbers(w, r);
    put_edge(w, &r->first);
    put_edge(w, &r->last);
    if (r->n_bad > 0)
        pg_put_time(w, r->first_bad_us);
    else
        pg_put_null(w);
    pg_put_i32(w, (int32_t)r->n_bad);
    put_qualities(w, r);
    pg_put_bool(w, is_mixed);
}

static enum nx_err
send_rows(struct roll *x)
{
    enum nx_err err;
    char *sql;

    if (x->rows.len == 0)
        return NX_OK;
    sql = mem_printf("COPY hist.%s(series_id, n, time, sum, area, area_us, min, min_time, max, max_time, first,"
                     " first_time, last, last_time, bad_time, n_bad, min_quality, max_quality, first_quality,"
                     " last_quality, bad_quality, is_mixed) FROM STDIN (FORMAT binary)",
                     tables[x->level]);
    err = pg_copy(&x->h->conn, sql, wbuf_slice_of(&x->rows), x->why);
    free(sql);
    wbuf_reset(&x->rows);
    return err;
}

static void
take_rollup(void *arg, const struct history_rollup *r, bool has_text)
{
    struct roll *x = arg;
    struct history_rollup empty = {.time_us = r->time_us,
                                   .first = {.time_us = r->time_us},
                                   .last = {.time_us = r->time_us}};

    put_rollup(&x->rows, x->series_id, has_text ? &empty : r, has_text);
}

/* --- a pass: what the level below has, to rows of this level --- */

/* A value that only its point can give back (text, large integer, other type) makes the bucket one of points. */
static void
feed_point(struct roll *x, const PGresult *r, int i)
{
    struct point p = {.time_us = pg_time(r, i, 1),
                      .quality = (uint16_t)pg_i32(r, i, 3),
                      .value = pg_is_null(r, i, 2) ? nx_value_none() : nx_value_double(pg_f64(r, i, 2))};

    if (pg_bool(r, i, 4)) {
        p.quality = NX_Q_GOOD;
        p.value = nx_value_string("", 0);
    }
    roller_add(&x->roller, &p);
}

static struct history_row
edge_of(const PGresult *r, int i, int value, int time, int quality)
{
    return (struct history_row){.time_us = pg_time(r, i, time),
                                .quality = (uint16_t)pg_i32(r, i, quality),
                                .value =
                                    pg_is_null(r, i, value) ? nx_value_none() : nx_value_double(pg_f64(r, i, value))};
}

/* Columns as in ROLLUP_COLUMNS of schema.c. */
static void
feed_rollup(struct roll *x, const PGresult *r, int i)
{
    struct history_rollup u = {.time_us = pg_time(r, i, 2), .n = (uint32_t)pg_i32(r, i, 1)};

    u.first = edge_of(r, i, 10, 11, 18);
    u.last = edge_of(r, i, 12, 13, 19);
    u.n_bad = (uint32_t)pg_i32(r, i, 15);
    if (u.n > 0) {
        u.sum = pg_f64(r, i, 3);
        u.area = pg_f64(r, i, 4);
        u.area_us = pg_i64(r, i, 5);
        u.min = (struct history_mark){pg_time(r, i, 7), pg_f64(r, i, 6)};
        u.max = (struct history_mark){pg_time(r, i, 9), pg_f64(r, i, 8)};
        u.min_quality = (uint16_t)pg_i32(r, i, 16);
        u.max_quality = (uint16_t)pg_i32(r, i, 17);
    }
    u.first_bad_us = pg_time(r, i, 14);
    u.first_bad_quality = (uint16_t)pg_i32(r, i, 20);
    merger_add(&x->merger, &u, pg_bool(r, i, 21));
}

static void
end_series(struct roll *x)
{
    if (x->level == HISTORY_LEVEL_MINUTE)
        roller_end(&x->roller);
    else
        merger_end(&x->merger);
}

static enum nx_err
feed_portion(struct roll *x, const PGresult *r)
{
    for (int i = 0; i < PQntuples(r); i++) {
        if (pg_i32(r, i, 0) != x->series_id)
            end_series(x);
        x->series_id = pg_i32(r, i, 0);
        if (x->level == HISTORY_LEVEL_MINUTE)
            feed_point(x, r, i);
        else
            feed_rollup(x, r, i);
    }
    return x->rows.len < COPY_BYTES ? NX_OK : send_rows(x);
}

/* targets: a FROM item with series_id; lo, hi: SQL of a stretch of time. */
static char *
pass_sql(enum history_level level, const char *targets, const char *lo, const char *hi)
{
    static const char points[] = "r.time, r.value, r.quality, r.type IS NOT NULL OR r.text IS NOT NULL AS is_mixed";
    static const char rollups[] =
        "r.n, r.time, r.sum, r.area, r.area_us, r.min, r.min_time, r.max, r.max_time, r.first, r.first_time, r.last,"
        " r.last_time, r.bad_time, r.n_bad, r.min_quality, r.max_quality, r.first_quality, r.last_quality,"
        " r.bad_quality, r.is_mixed";

    return mem_printf("DECLARE pass NO SCROLL CURSOR FOR SELECT t.series_id, p.* FROM %s CROSS JOIN LATERAL"
                      " (SELECT %s FROM hist.%s r WHERE r.series_id = t.series_id AND r.time >= %s AND r.time < %s"
                      " ORDER BY r.time OFFSET 0) p ORDER BY t.series_id, p.time",
                      targets, level == HISTORY_LEVEL_MINUTE ? points : rollups, tables[level - 1], lo, hi);
}

static enum nx_err
run_pass(struct roll *x, enum history_level level, const char *targets, const char *lo, const char *hi)
{
    struct pg_conn *c = &x->h->conn;
    char *sql = pass_sql(level, targets, lo, hi);
    bool goes_on = true;
    PGresult *r;
    enum nx_err err = pg_exec(c, sql, x->why);

    free(sql);
    x->level = level;
    x->series_id = 0;
    x->roller = roller_init(level, take_rollup, x);
    if (level > HISTORY_LEVEL_MINUTE)
        x->merger = merger_init(level, take_rollup, x);
    while (goes_on && err == NX_OK && (err = pg_select(c, "FETCH " PORTION " FROM pass", &r, x->why)) == NX_OK) {
        goes_on = PQntuples(r) > 0;
        err = feed_portion(x, r);
        PQclear(r);
    }
    end_series(x);
    if (err == NX_OK && (err = send_rows(x)) == NX_OK)
        err = pg_exec(c, "CLOSE pass", x->why);
    wbuf_reset(&x->rows);
    return err;
}

/* --- closed buckets --- */

static enum nx_err
run_sql(struct roll *x, char *sql)
{
    enum nx_err err = pg_exec(&x->h->conn, sql, x->why);

    free(sql);
    return err;
}

static enum nx_err
roll_stretch(struct roll *x, enum history_level level, int64_t from_us, int64_t to_us)
{
    static const char *const column[] = {"", "rolled_m", "rolled_h", "rolled_d"};
    char lo[PG_TIME_CAP], hi[PG_TIME_CAP];
    enum nx_err err = level == HISTORY_LEVEL_MINUTE ? pg_schema_partition(x->h, "m1", from_us, x->why) : NX_OK;

    if (err != NX_OK || (err = pg_exec(&x->h->conn, "BEGIN", x->why)) != NX_OK)
        return err;
    err = run_pass(x, level, "hist.series t", pg_literal(from_us, lo), pg_literal(to_us, hi));
    if (err == NX_OK)
        err = run_sql(x, mem_printf("UPDATE hist.state SET %s = %s", column[level], hi));
    if (err == NX_OK)
        err = pg_exec(&x->h->conn, "COMMIT", x->why);
    if (err == NX_OK)
        x->rolled_us[level] = to_us;
    return err;
}

/* Up to where a level may go: minutes to the watermark, the others to what the level below has. */
static int64_t
limit_of(const struct roll *x, enum history_level level)
{
    int64_t below = level == HISTORY_LEVEL_MINUTE ? x->watermark_us : x->rolled_us[level - 1];

    return grid_floor(below, history_level_us(level));
}

/* The partition of a minute's rollup is made before; so a stretch stays within one. */
static int64_t
end_of_stretch(const struct roll *x, enum history_level level)
{
    int64_t from_us = x->rolled_us[level], width_us = history_level_us(level), most, limit = limit_of(x, level);

    most = level == HISTORY_LEVEL_MINUTE ? grid_floor(from_us, STEP_MINUTES * width_us) + STEP_MINUTES * width_us
                                         : from_us + width_us;
    return most < limit ? most : limit;
}

static enum nx_err
roll_closed(struct roll *x, bool *did)
{
    for (int level = HISTORY_LEVEL_MINUTE; level <= HISTORY_LEVEL_DAY; level++) {
        int64_t end_us = end_of_stretch(x, (enum history_level)level);

        if (x->rolled_us[level] >= end_us)
            continue;
        *did = true;
        return roll_stretch(x, (enum history_level)level, x->rolled_us[level], end_us);
    }
    return NX_OK;
}

/* --- hours with late points --- */

struct redo {
    struct wbuf series, hours; /* array literals */
    char *targets;
    int count;
};

static char *
targets_of(const char *list, const char *hours, const char *alias)
{
    return mem_printf("unnest('{%s}'::int4[], '{%s}'::timestamptz[]) AS %s(series_id, lo)", list, hours, alias);
}

static void
add_target(struct redo *d, int32_t series_id, int64_t time_us)
{
    char text[PG_TIME_CAP];

    (void)pg_literal(time_us, text);
    text[strlen(text) - 1] = '\0';
    wbuf_printf(&d->series, "%s%" PRId32, d->count ? "," : "", series_id);
    wbuf_printf(&d->hours, "%s\"%s\"", d->count ? "," : "", text + 1);
    d->count++;
}

static void
redo_fini(struct redo *d)
{
    wbuf_free(&d->series);
    wbuf_free(&d->hours);
    free(d->targets);
}

/* Buckets of a level among the dirty hours that are rolled already; each once, since the rows come in order. */
static struct redo
redo_of(const struct roll *x, const PGresult *dirty, enum history_level level)
{
    int64_t width_us = level == HISTORY_LEVEL_DAY ? PG_DAY_US : PG_HOUR_US, last = INT64_MIN;
    struct redo d = {.series = wbuf_init(0), .hours = wbuf_init(0)};
    int32_t last_id = 0;

    for (int i = 0; i < PQntuples(dirty); i++) {
        int32_t id = pg_i32(dirty, i, 0);
        int64_t lo = grid_floor(pg_time(dirty, i, 1), width_us);

        if (lo >= x->rolled_us[level] || !pg_bool(dirty, i, 2) || (id == last_id && lo == last))
            continue;
        add_target(&d, last_id = id, last = lo);
    }
    d.targets = targets_of(wbuf_cstr(&d.series), wbuf_cstr(&d.hours), "t");
    return d;
}

static enum nx_err
redo_level(struct roll *x, const PGresult *dirty, enum history_level level)
{
    const char *width = level == HISTORY_LEVEL_DAY ? "INTERVAL '24 hours'" : "INTERVAL '1 hour'";
    struct redo d = redo_of(x, dirty, level);
    char rolled[PG_TIME_CAP], *hi;
    enum nx_err err = NX_OK;

    hi = mem_printf("least(t.lo + %s, %s::timestamptz)", width, pg_literal(x->rolled_us[level], rolled));
    if (d.count > 0)
        err = run_sql(x, mem_printf("DELETE FROM hist.%s r USING %s WHERE r.series_id = t.series_id AND r.time >= t.lo"
                                    " AND r.time < %s",
                                    tables[level], d.targets, hi));
    if (d.count > 0 && err == NX_OK)
        err = run_pass(x, level, d.targets, "t.lo", hi);
    free(hi);
    redo_fini(&d);
    return err;
}

static enum nx_err
make_partitions(struct roll *x, const PGresult *dirty)
{
    int64_t done = INT64_MIN;
    enum nx_err err = NX_OK;

    for (int i = 0; i < PQntuples(dirty) && err == NX_OK; i++) {
        int64_t day = grid_floor(pg_time(dirty, i, 1), PG_DAY_US);

        if (day == done || !pg_bool(dirty, i, 2))
            continue;
        done = day;
        err = pg_schema_partition(x->h, "m1", day, x->why);
    }
    return err;
}

static enum nx_err
forget_dirty(struct roll *x, const PGresult *dirty)
{
    struct redo d = {.series = wbuf_init(0), .hours = wbuf_init(0)};
    enum nx_err err;

    for (int i = 0; i < PQntuples(dirty); i++)
        add_target(&d, pg_i32(dirty, i, 0), pg_time(dirty, i, 1));
    d.targets = targets_of(wbuf_cstr(&d.series), wbuf_cstr(&d.hours), "t");
    err = run_sql(x, mem_printf("DELETE FROM hist.dirty r USING %s WHERE r.series_id = t.series_id AND r.hour = t.lo"
                                " AND r.is_taken",
                                d.targets));
    redo_fini(&d);
    return err;
}

static enum nx_err
redo_hours(struct roll *x, const PGresult *dirty)
{
    enum nx_err err = make_partitions(x, dirty);

    if (err != NX_OK || (err = pg_exec(&x->h->conn, "BEGIN", x->why)) != NX_OK)
        return err;
    for (int level = HISTORY_LEVEL_MINUTE; level <= HISTORY_LEVEL_DAY && err == NX_OK; level++)
        err = redo_level(x, dirty, (enum history_level)level);
    if (err == NX_OK && (err = forget_dirty(x, dirty)) == NX_OK)
        err = pg_exec(&x->h->conn, "COMMIT", x->why);
    return err;
}

/* Hours whose points the retention took keep the rollups they have. */
static enum nx_err
redo_dirty(struct roll *x, bool *did)
{
    static const char first_plain[] = "SELECT min(lo) FROM hist.partition WHERE parent = 'raw'";
    static const char first_chunks[] = "SELECT min(range_start) FROM timescaledb_information.chunks WHERE"
                                       " hypertable_schema = 'hist' AND hypertable_name = 'raw'";
    char *sql = mem_printf("SELECT DISTINCT series_id, hour, coalesce(hour >= (%s), false) FROM hist.dirty"
                           " WHERE is_taken ORDER BY series_id, hour LIMIT %d",
                           x->h->tier == PG_TIER_PLAIN ? first_plain : first_chunks, REDO_MOST);
    PGresult *dirty;
    enum nx_err err = pg_select(&x->h->conn, sql, &dirty, x->why);

    free(sql);
    if (err == NX_OK && PQntuples(dirty) > 0) {
        *did = true;
        err = redo_hours(x, dirty);
    }
    PQclear(dirty);
    return err;
}

/* --- the watermark --- */

static enum nx_err
read_state(struct roll *x)
{
    PGresult *r;
    enum nx_err err =
        pg_select(&x->h->conn, "SELECT watermark, rolled_m, rolled_h, rolled_d FROM hist.state", &r, x->why);

    if (err == NX_OK) {
        x->watermark_us = pg_time(r, 0, 0);
        for (int level = HISTORY_LEVEL_MINUTE; level <= HISTORY_LEVEL_DAY; level++)
            x->rolled_us[level] = pg_time(r, 0, level);
    }
    PQclear(r);
    return err;
}

static enum nx_err
has_dirty(struct roll *x, bool all, bool *out)
{
    PGresult *r;
    enum nx_err err = pg_select(&x->h->conn,
                                all ? "SELECT EXISTS(SELECT FROM hist.dirty WHERE NOT is_taken)"
                                    : "SELECT EXISTS(SELECT FROM hist.dirty WHERE NOT is_taken AND marked < now() -"
                                      " " SETTLED_AFTER ")",
                                &r, x->why);

    *out = err == NX_OK && pg_bool(r, 0, 0);
    PQclear(r);
    return err;
}

/* Commits wait meanwhile, so it is one short transaction, and it does not wait long for a commit that hangs. */
static enum nx_err
move_watermark(struct roll *x, int64_t to_us, bool all)
{
    char t[PG_TIME_CAP];
    enum nx_err err = pg_exec(&x->h->conn,
                              "BEGIN; SET LOCAL lock_timeout = '1s';"
                              " SELECT pg_advisory_xact_lock(" PG_LOCKS ", " PG_LOCK_COMMIT ")",
                              x->why);

    if (err != NX_OK)
        return err;
    err = run_sql(x, mem_printf("UPDATE hist.state SET watermark = greatest(watermark, %s), takes = takes + 1;"
                                "UPDATE hist.dirty SET is_taken = true WHERE ctid = ANY(ARRAY(SELECT ctid FROM"
                                " hist.dirty WHERE NOT is_taken%s LIMIT %d)); COMMIT",
                                pg_literal(to_us, t), all ? "" : " AND marked < now() - " SETTLED_AFTER, TAKE_MOST));
    return err;
}

static enum nx_err
close_minutes(struct roll *x, int64_t now_us, bool all, bool *did)
{
    int64_t to_us = grid_floor(all ? now_us : now_us - LAG_US, PG_MINUTE_US);
    bool is_dirty = false;
    enum nx_err err = has_dirty(x, all, &is_dirty);

    if (err != NX_OK || (to_us <= x->watermark_us && !is_dirty))
        return err;
    *did = true;
    if ((err = move_watermark(x, to_us, all)) != NX_OK)
        return err;
    x->watermark_us = to_us > x->watermark_us ? to_us : x->watermark_us;
    return NX_OK;
}

enum nx_err
pg_roll_step(struct pg_store *h, int64_t now_us, bool all, bool *did, struct nx_note *why)
{
    struct roll x = {.h = h, .why = why, .rows = wbuf_init(0)};
    enum nx_err err = read_state(&x);

    *did = false;
    if (err == NX_OK && (err = close_minutes(&x, now_us, all, did)) != NX_OK && !all &&
        pg_state_is(&h->conn, "55P03")) {
        pg_rollback(&h->conn); /* a commit takes long, and others queue behind our wait: not again at once */
        h->keep.next_ms += PG_KEEP_PAUSE_MS;
        *did = false;
        err = NX_OK;
    }
    if (err == NX_OK)
        err = roll_closed(&x, did);
    if (err == NX_OK)
        err = redo_dirty(&x, did);
    if (err != NX_OK)
        pg_rollback(&h->conn);
    wbuf_free(&x.rows);
    return err;
}
