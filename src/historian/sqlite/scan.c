/* scan.c -- reading: hot blocks first, then the day files, merged in the order of time; what is in both shows once.
 * Days that are rolled up, and that no hot point falls into, are given as rollups where that was asked for. */
#include <stdlib.h>

#include "base/mem.h"
#include "historian/grid.h"
#include "historian/sqlite/block.h"
#include "historian/sqlite/lite.h"
#include "historian/sqlite/run.h"

#define OUT_POINTS 256u

struct scan {
    struct lite *h;
    struct nx_note *why;
    const struct history_sink *sink;
    uint32_t sid;
    enum history_level level;
    int64_t from_us, to_us;
    int64_t lo_us, hi_us; /* chunks at hand: give only what lies in there */
    bool is_done;         /* the sink said so */
    struct arena texts;   /* hot runs; texts of points lie in them */
    struct point *hot;
    size_t hot_count, hot_cap, hot_at;
    struct point *chunk;
    struct point out[OUT_POINTS]; /* merged, on their way to the sink */
    size_t out_count;
};

/* --- hot blocks --- */

static enum nx_err
add_hot_run(struct scan *x, const struct block_run *run)
{
    struct slice copy = slice(arena_strndup(&x->texts, run->data.p, run->data.len), run->data.len);
    size_t kept = x->hot_count;

    if (x->hot_cap < x->hot_count + run->count) {
        x->hot_cap = (x->hot_count + run->count) * 2;
        x->hot = mem_realloc(x->hot, x->hot_cap * sizeof *x->hot);
    }
    if (run_decode(copy, &x->hot[x->hot_count], run->count) != NX_OK)
        return nx_fail(x->why, NX_E_CORRUPT, "%s: a block is damaged", db_path(x->h->db));
    for (size_t i = x->hot_count; i < x->hot_count + run->count; i++)
        if (x->hot[i].time_us >= x->from_us && x->hot[i].time_us < x->to_us)
            x->hot[kept++] = x->hot[i];
    x->hot_count = kept;
    return NX_OK;
}

static enum nx_err
add_hot_block(struct scan *x, struct slice data)
{
    struct block_reader reader = block_open(data);
    struct block_run run;
    enum nx_err err = NX_OK;

    while (err == NX_OK && block_next(&reader, &run) && run.sid <= x->sid)
        if (run.sid == x->sid)
            err = add_hot_run(x, &run);
    if (reader.is_corrupt)
        return nx_fail(x->why, NX_E_CORRUPT, "%s: a block is damaged", db_path(x->h->db));
    return err;
}

static enum nx_err
load_hot(struct scan *x)
{
    struct db_stmt *st;
    bool has_row;
    uint64_t duplicates = 0;
    enum nx_err err =
        db_prepare(x->h->db, "SELECT data FROM hot WHERE t_max >= ? AND t_min < ? ORDER BY block_id", &st, x->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, x->from_us);
    db_bind_i64(st, 2, x->to_us);
    while (err == NX_OK && (err = db_step(st, &has_row, x->why)) == NX_OK && has_row)
        err = add_hot_block(x, db_col_slice(st, 0));
    db_reset(st);
    if (x->hot_count > 0)
        x->hot_count = points_sort_unique(x->hot, x->hot_count, &duplicates);
    return err;
}

/* --- giving --- */

static void
flush(struct scan *x)
{
    if (x->out_count > 0 && !x->is_done && !x->sink->points(x->sink->arg, x->out, x->out_count))
        x->is_done = true;
    x->out_count = 0;
}

static void
give(struct scan *x, const struct point *p)
{
    x->out[x->out_count++] = *p;
    if (x->out_count == OUT_POINTS)
        flush(x);
}

/* Hot points up to a time; the hot copy of a sealed point of that very time is dropped. */
static void
give_hot(struct scan *x, int64_t time_us)
{
    for (; x->hot_at < x->hot_count && x->hot[x->hot_at].time_us <= time_us; x->hot_at++)
        if (x->hot[x->hot_at].time_us < time_us)
            give(x, &x->hot[x->hot_at]);
}

static bool
is_within(const struct scan *x, const struct point *p, size_t n)
{
    return p[0].time_us >= x->lo_us && p[n - 1].time_us < x->hi_us;
}

/* A chunk that no hot point falls into goes as it is. */
static void
give_chunk(struct scan *x, size_t n)
{
    if (is_within(x, x->chunk, n))
        give_hot(x, x->chunk[0].time_us);
    if (is_within(x, x->chunk, n) &&
        (x->hot_at == x->hot_count || x->hot[x->hot_at].time_us > x->chunk[n - 1].time_us)) {
        flush(x);
        if (!x->is_done && !x->sink->points(x->sink->arg, x->chunk, n))
            x->is_done = true;
        return;
    }
    for (size_t i = 0; i < n && !x->is_done; i++) {
        if (x->chunk[i].time_us < x->lo_us || x->chunk[i].time_us >= x->hi_us)
            continue;
        give_hot(x, x->chunk[i].time_us);
        give(x, &x->chunk[i]);
    }
    flush(x); /* texts lie in the row at hand */
}

static enum nx_err
read_chunks(struct scan *x, struct db *day)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err =
        db_prepare(day, "SELECT n, data FROM chunk WHERE series_id = ? AND t0 < ? AND t1 >= ? ORDER BY t0", &st,
                   x->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, x->sid);
    db_bind_i64(st, 2, x->hi_us);
    db_bind_i64(st, 3, x->lo_us);
    while (!x->is_done && (err = db_step(st, &has_row, x->why)) == NX_OK && has_row) {
        size_t n = (size_t)db_col_i64(st, 0);

        if (n < 1 || n > RUN_MAX_POINTS || run_decode(db_col_slice(st, 1), x->chunk, n) != NX_OK)
            return nx_fail(x->why, NX_E_CORRUPT, "%s: a chunk is damaged", db_path(day));
        give_chunk(x, n);
    }
    db_reset(st);
    return err;
}

/* Points of one day within [lo, hi). */
static enum nx_err
read_day(struct scan *x, int day, int64_t lo_us, int64_t hi_us)
{
    struct db *db = NULL;
    enum nx_err err = NX_OK;

    x->lo_us = lo_us;
    x->hi_us = hi_us;
    if (lo_us >= hi_us || x->is_done)
        return NX_OK;
    if (!x->sink->points(x->sink->arg, NULL, 0))
        x->is_done = true;
    if (!x->is_done)
        err = day_open(x->h, day, true, &db, x->why);
    if (err == NX_E_NOT_FOUND) /* there is none, or the retention took it in the meantime */
        return NX_OK;
    if (err == NX_OK && db)
        err = read_chunks(x, db);
    db_close(&db);
    return err;
}

/* --- rollups --- */

static bool
has_hot(const struct scan *x, int64_t lo_us, int64_t hi_us)
{
    size_t lo = x->hot_at, hi = x->hot_count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (x->hot[mid].time_us < lo_us)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < x->hot_count && x->hot[lo].time_us < hi_us;
}

static void
give_rollups(struct scan *x, const struct roll_reader *r, int64_t lo_us, int64_t hi_us)
{
    give_hot(x, lo_us);
    flush(x);
    for (size_t i = 0; i < r->count && !x->is_done; i++)
        if (r->rollups[i].time_us >= lo_us && r->rollups[i].time_us < hi_us &&
            !x->sink->rollup(x->sink->arg, &r->rollups[i]))
            x->is_done = true;
}

static int64_t
max_us(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t
min_us(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A day that is rolled up: whole buckets as rollups, the edges as points. */
static enum nx_err
read_rolled_day(struct scan *x, struct roll_reader *r, int day)
{
    int64_t width = history_level_us(x->level), lo = max_us(x->from_us, day * DAY_US),
            hi = min_us(x->to_us, (day + 1) * DAY_US), a = grid_floor(lo + width - 1, width), b = grid_floor(hi, width);
    bool is_known = false;
    enum nx_err err = NX_OK;

    if (a < b && !has_hot(x, a, b))
        err = roll_read(r, day, &is_known, x->why);
    if (err != NX_OK || !is_known)
        return err == NX_OK ? read_day(x, day, lo, hi) : err;
    if (r->count == 0) /* no values on that day */
        return NX_OK;
    err = read_day(x, day, lo, a);
    if (err == NX_OK)
        give_rollups(x, r, a, b);
    return err == NX_OK ? read_day(x, day, b, hi) : err;
}

/* Days with a file and days that are rolled up, in one order. */
static enum nx_err
read_both(struct scan *x, const int *days, size_t n, const int *rolled, size_t rolled_count)
{
    struct roll_reader r = roll_reader_init(x->h, x->sid, x->level);
    enum nx_err err = NX_OK;
    size_t k = 0;

    for (size_t i = 0; (i < n || k < rolled_count) && err == NX_OK && !x->is_done;) {
        bool is_rolled = k < rolled_count && (i == n || rolled[k] <= days[i]);
        int day = is_rolled ? rolled[k++] : days[i];

        if (i < n && days[i] == day)
            i++;
        err = is_rolled ? read_rolled_day(x, &r, day)
                        : read_day(x, day, max_us(x->from_us, day * DAY_US), min_us(x->to_us, (day + 1) * DAY_US));
    }
    roll_reader_fini(&r);
    return err;
}

static enum nx_err
read_days(struct scan *x)
{
    struct arena a = {0};
    int *days = NULL, *rolled = NULL, first = day_of(x->from_us), last = day_of(x->to_us - 1);
    size_t n = 0, rolled_count = 0, skip = 0;
    enum nx_err err = NX_OK;

    if (x->level != HISTORY_LEVEL_RAW)
        err = roll_days(x->h, x->sid, first, last, &a, &rolled, &rolled_count, x->why);
    if (err == NX_OK)
        err = day_list(x->h, &a, &days, &n, x->why);
    while (skip < n && days[skip] < first)
        skip++;
    while (n > skip && days[n - 1] > last)
        n--;
    if (err == NX_OK)
        err = read_both(x, days + skip, n - skip, rolled, rolled_count);
    arena_free(&a);
    return err;
}

static enum nx_err
scan_all(struct scan *x)
{
    enum nx_err err = load_hot(x);

    if (err == NX_OK)
        err = read_days(x);
    if (err == NX_OK)
        give_hot(x, INT64_MAX);
    flush(x);
    return err;
}

static struct scan *
scan_new(struct lite *h, uint32_t sid, int64_t from_us, int64_t to_us, const struct history_sink *sink,
         struct nx_note *why)
{
    struct scan *x = mem_alloc(sizeof *x);

    x->h = h;
    x->why = why;
    x->sink = sink;
    x->sid = sid;
    x->from_us = from_us;
    x->to_us = to_us;
    return x;
}

static void
scan_free(struct scan *x)
{
    arena_free(&x->texts);
    free(x->hot);
    free(x->chunk);
    free(x);
}

enum nx_err
lite_scan(struct historian *base, const struct history_series *s, int64_t from_us, int64_t to_us,
          enum history_level level, const struct history_sink *sink, struct nx_note *why)
{
    struct scan *x = scan_new(lite_of(base), (uint32_t)s->id, from_us, to_us, sink, why);
    enum nx_err err;

    x->level = level;
    x->chunk = mem_calloc(RUN_MAX_POINTS, sizeof *x->chunk);
    err = scan_all(x);
    scan_free(x);
    return err;
}

enum nx_err
scan_hot(struct lite *h, uint32_t sid, int64_t to_us, const struct history_sink *sink, struct nx_note *why)
{
    struct scan *x = scan_new(h, sid, INT64_MIN, to_us, sink, why);
    enum nx_err err = load_hot(x);

    if (err == NX_OK)
        give_hot(x, INT64_MAX);
    flush(x);
    scan_free(x);
    return err;
}

/* One read transaction from the first look at hot blocks to the end: see seal.c. */
enum nx_err
lite_begin(struct historian *base, struct nx_note *why)
{
    return db_begin(lite_of(base)->db, DB_READ, why);
}

void
lite_end(struct historian *base)
{
    db_rollback(lite_of(base)->db);
}

enum nx_err
lite_find(struct historian *base, const char *topic, struct arena *a, struct history_series *out, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err =
        db_prepare(lite_of(base)->db, "SELECT series_id, unit, data_type FROM series WHERE topic = ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, topic);
    if ((err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        const char *unit = db_col_text(st, 1);

        *out = (struct history_series){.id = db_col_i64(st, 0),
                                       .unit = arena_strdup(a, unit ? unit : ""),
                                       .data_type = (enum nx_type)db_col_i64(st, 2)};
    } else if (err == NX_OK) {
        err = nx_fail(why, NX_E_NOT_FOUND, "no values were ever stored for topic \"%s\"", topic);
    }
    db_reset(st);
    return err;
}

enum nx_err
lite_each_series(struct historian *base, history_series_cb *each, void *arg, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row, goes_on = true;
    enum nx_err err =
        db_prepare(lite_of(base)->db, "SELECT topic, device_id, tag_id, unit, data_type FROM series ORDER BY topic",
                   &st, why);

    if (err != NX_OK)
        return err;
    while (goes_on && (err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        struct series s = {.topic = db_col_slice(st, 0),
                           .device_id = db_col_slice(st, 1),
                           .tag_id = db_col_slice(st, 2),
                           .unit = db_col_slice(st, 3),
                           .data_type = (uint8_t)db_col_i64(st, 4)};

        goes_on = each(arg, &s);
    }
    db_reset(st);
    return err;
}
