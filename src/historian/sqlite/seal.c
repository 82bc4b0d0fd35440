/* seal.c -- from hot blocks to one chunk per series and stretch of time, in one file per day; and their end.
 *
 * A sealing goes over two kinds of files, so it is made repeatable instead of atomic: hist.db first remembers how far
 * it goes (sealing.through), each day file stores its chunks together with that number, then hist.db drops the blocks.
 * Cut short anywhere, the next one takes the same blocks and skips the days that have them. Readers look at hot
 * blocks first and drop what they see twice, so they never miss a value and never show it double.
 *
 * Within a day the chunks of a series never overlap: late points are merged into the chunks that they fall in. */
#include "historian/sqlite/lite.h"

#include <stdlib.h>

#include "base/mem.h"
#include "historian/sqlite/block.h"
#include "historian/sqlite/run.h"

#define EXTENT_POINTS 1500000
#define EXTENT_BYTES  (128 << 20)
#define CHUNK_SMALL   240u /* a shorter last chunk is filled up instead of starting another */
#define CHUNK_MAX     1000u
#define CHUNK_BYTES   900u /* more would take a page of its own, half of it empty */
#define CHUNK_LEAST   60u
#define DROP_BYTES    (4 << 20) /* of blocks in one transaction: commits wait for it */

/* Points of one series on one day. */
struct part {
    int day;
    uint32_t sid;
    size_t first, count;
};

struct ordered_run {
    struct block_run run;
    size_t order; /* of storing */
};

struct seal {
    struct lite *h;
    struct nx_note *why;
    int64_t through;
    struct arena blobs; /* hot blocks; texts of points lie in them */
    struct ordered_run *runs;
    size_t run_count, run_cap;
    struct point *points;
    size_t point_count, point_cap;
    struct part *parts;
    size_t part_count, part_cap;
    uint64_t duplicates;
    /* of the day at hand */
    struct db *day;
    struct arena old; /* chunks read back */
    struct point *merged;
    size_t merged_cap;
    struct wbuf data;
    uint64_t day_points;
};

static void *
grow(void *array, size_t *cap, size_t need, size_t size)
{
    if (*cap >= need)
        return array;
    *cap = need + need / 2 + 16;
    return mem_realloc(array, *cap * size);
}

/* --- reading the hot blocks --- */

static enum nx_err
add_block(struct seal *s, int64_t id, struct slice data)
{
    struct block_reader reader = block_open(slice(arena_strndup(&s->blobs, data.p, data.len), data.len));
    struct block_run run;

    while (block_next(&reader, &run)) {
        s->runs = grow(s->runs, &s->run_cap, s->run_count + 1, sizeof *s->runs);
        s->runs[s->run_count] = (struct ordered_run){run, s->run_count};
        s->run_count++;
    }
    return reader.is_corrupt
               ? nx_fail(s->why, NX_E_CORRUPT, "%s: block %lld is damaged", db_path(s->h->db), (long long)id)
               : NX_OK;
}

/* What an earlier sealing began, else the oldest blocks, as many as memory is meant to hold at once. */
static enum nx_err
fix_extent(struct seal *s)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(
        s->h->db,
        "INSERT INTO sealing SELECT 1, max(block_id) FROM (SELECT block_id,"
        " sum(points) OVER (ORDER BY block_id) AS points, sum(length(data)) OVER (ORDER BY block_id) AS bytes"
        " FROM hot) WHERE points <= ? AND bytes <= ? OR block_id = (SELECT min(block_id) FROM hot)"
        " HAVING max(block_id) IS NOT NULL ON CONFLICT DO NOTHING",
        &st, s->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, EXTENT_POINTS);
    db_bind_i64(st, 2, EXTENT_BYTES);
    err = db_run(st, s->why);
    if (err != NX_OK || (err = db_prepare(s->h->db, "SELECT through FROM sealing", &st, s->why)) != NX_OK)
        return err;
    if ((err = db_step(st, &has_row, s->why)) == NX_OK && has_row)
        s->through = db_col_i64(st, 0);
    db_reset(st);
    return err;
}

static enum nx_err
load_blocks(struct seal *s)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err =
        db_prepare(s->h->db, "SELECT block_id, data FROM hot WHERE block_id <= ? ORDER BY block_id", &st, s->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, s->through);
    while (err == NX_OK && (err = db_step(st, &has_row, s->why)) == NX_OK && has_row)
        err = add_block(s, db_col_i64(st, 0), db_col_slice(st, 1));
    db_reset(st);
    return err;
}

/* --- points by series and day --- */

static int
compare_runs(const void *a, const void *b)
{
    const struct ordered_run *x = a, *y = b;

    if (x->run.sid != y->run.sid)
        return x->run.sid < y->run.sid ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static int
compare_parts(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    return (x->sid > y->sid) - (x->sid < y->sid);
}

static void
split_days(struct seal *s, uint32_t sid, size_t first, size_t count)
{
    for (size_t at = 0, k; at < count; at += k) {
        const struct point *p = &s->points[first + at];
        int day = day_of(p->time_us);

        for (k = 1; at + k < count && day_of(p[k].time_us) == day; k++)
            ;
        s->parts = grow(s->parts, &s->part_cap, s->part_count + 1, sizeof *s->parts);
        s->parts[s->part_count++] = (struct part){day, sid, first + at, k};
    }
}

/* Runs [at, at + k) are all of one series, in the order of their commits. */
static enum nx_err
gather_series(struct seal *s, size_t at, size_t k)
{
    size_t first = s->point_count, count;

    for (size_t i = at; i < at + k; i++) {
        const struct block_run *run = &s->runs[i].run;

        s->points = grow(s->points, &s->point_cap, s->point_count + run->count, sizeof *s->points);
        if (run_decode(run->data, &s->points[s->point_count], run->count) != NX_OK)
            return nx_fail(s->why, NX_E_CORRUPT, "%s: a block is damaged at series %u", db_path(s->h->db), run->sid);
        s->point_count += run->count;
    }
    count = points_sort_unique(&s->points[first], s->point_count - first, &s->duplicates);
    s->point_count = first + count;
    split_days(s, s->runs[at].run.sid, first, count);
    return NX_OK;
}

static enum nx_err
gather(struct seal *s)
{
    enum nx_err err = NX_OK;

    if (s->run_count > 0)
        qsort(s->runs, s->run_count, sizeof *s->runs, compare_runs);
    for (size_t at = 0, k; at < s->run_count && err == NX_OK; at += k) {
        for (k = 1; at + k < s->run_count && s->runs[at + k].run.sid == s->runs[at].run.sid; k++)
            ;
        err = gather_series(s, at, k);
    }
    if (s->part_count > 0)
        qsort(s->parts, s->part_count, sizeof *s->parts, compare_parts);
    return err;
}

/* --- writing one day --- */

/* What encode_chunk() left in data. */
static enum nx_err
insert_chunk(struct seal *s, uint32_t sid, const struct point *p, size_t n)
{
    struct db_stmt *st;
    double v, v_min = 0, v_max = 0, v_sum = 0;
    size_t numbers = 0, bad = 0;
    enum nx_err err = db_prepare(s->day, "INSERT INTO chunk VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", &st, s->why);

    if (err != NX_OK)
        return err;
    for (size_t i = 0; i < n; i++) {
        if (nx_quality_is_bad(p[i].quality)) {
            bad++;
        } else if (value_as_double(&p[i].value, &v)) {
            v_min = numbers == 0 || v < v_min ? v : v_min;
            v_max = numbers == 0 || v > v_max ? v : v_max;
            v_sum += v;
            numbers++;
        }
    }
    db_bind_i64(st, 1, sid);
    db_bind_i64(st, 2, p[0].time_us);
    db_bind_i64(st, 3, p[n - 1].time_us);
    db_bind_i64(st, 4, (int64_t)n);
    db_bind_i64(st, 5, (int64_t)bad);
    if (numbers > 0) {
        db_bind_double(st, 6, v_min);
        db_bind_double(st, 7, v_max);
        db_bind_double(st, 8, v_sum);
    }
    db_bind_blob(st, 9, wbuf_slice_of(&s->data));
    return db_run(st, s->why);
}

/* Encodes as many points as make a chunk of a good size; returns how many. */
static size_t
encode_chunk(struct seal *s, const struct point *p, size_t n)
{
    size_t k = n < CHUNK_MAX ? n : CHUNK_MAX;

    for (;;) {
        wbuf_reset(&s->data);
        run_encode(&s->data, p, k);
        if (s->data.len <= CHUNK_BYTES || k <= CHUNK_LEAST)
            return k;
        k = k * (CHUNK_BYTES * 9 / 10) / s->data.len;
        k = k < CHUNK_LEAST ? CHUNK_LEAST : k;
    }
}

static enum nx_err
decode_chunk(struct seal *s, struct slice data, size_t n, struct point *out)
{
    struct slice copy = slice(arena_strndup(&s->old, data.p, data.len), data.len);

    if (run_decode(copy, out, n) != NX_OK)
        return nx_fail(s->why, NX_E_CORRUPT, "%s: a chunk is damaged", db_path(s->day));
    return NX_OK;
}

/* Puts the stored points that must be merged in front of merged[]: chunks that overlap the new points, and a short one
 * just before them. from is the start of the first such chunk. */
static enum nx_err
load_overlap(struct seal *s, const struct part *part, size_t *count, int64_t *from)
{
    const struct point *p = &s->points[part->first];
    struct db_stmt *st;
    bool has_row;
    enum nx_err err =
        db_prepare(s->day, "SELECT t0, t1, n, data FROM chunk WHERE series_id = ? AND t0 <= ? ORDER BY t0 DESC", &st,
                   s->why);

    *count = 0;
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, part->sid);
    db_bind_i64(st, 2, p[part->count - 1].time_us);
    while (err == NX_OK && (err = db_step(st, &has_row, s->why)) == NX_OK && has_row) {
        size_t n = (size_t)db_col_i64(st, 2);
        bool overlaps = db_col_i64(st, 1) >= p[0].time_us;

        if (n < 1 || n > RUN_MAX_POINTS || (!overlaps && n >= CHUNK_SMALL))
            break;
        s->merged = grow(s->merged, &s->merged_cap, *count + n + part->count, sizeof *s->merged);
        err = decode_chunk(s, db_col_slice(st, 3), n, &s->merged[*count]);
        *count += n;
        *from = db_col_i64(st, 0);
        if (!overlaps)
            break;
    }
    db_reset(st);
    return err;
}

static enum nx_err
delete_chunks(struct seal *s, uint32_t sid, int64_t from, int64_t to)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(s->day, "DELETE FROM chunk WHERE series_id = ? AND t0 BETWEEN ? AND ?", &st, s->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, sid);
    db_bind_i64(st, 2, from);
    db_bind_i64(st, 3, to);
    return db_run(st, s->why);
}

static enum nx_err
seal_part(struct seal *s, const struct part *part)
{
    const struct point *fresh = &s->points[part->first];
    uint64_t duplicates = 0;
    size_t old, n;
    int64_t from = 0;
    enum nx_err err;

    arena_reset(&s->old);
    if ((err = load_overlap(s, part, &old, &from)) != NX_OK)
        return err;
    s->merged = grow(s->merged, &s->merged_cap, old + part->count, sizeof *s->merged);
    memcpy(s->merged + old, fresh, part->count * sizeof *fresh);
    n = points_sort_unique(s->merged, old + part->count, &duplicates);
    if (old > 0)
        err = delete_chunks(s, part->sid, from, fresh[part->count - 1].time_us);
    for (size_t at = 0, k; at < n && err == NX_OK; at += k) {
        k = encode_chunk(s, s->merged + at, n - at);
        err = insert_chunk(s, part->sid, s->merged + at, k);
    }
    s->day_points += n - old;
    s->duplicates += duplicates;
    return err;
}

static enum nx_err
write_day_row(struct seal *s, int64_t t_min, int64_t t_max)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(s->day,
                                 "UPDATE day SET points = points + ?1, t_min = min(ifnull(t_min, ?2), ?2),"
                                 " t_max = max(ifnull(t_max, ?3), ?3), sealed_through = ?4",
                                 &st, s->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, (int64_t)s->day_points);
    db_bind_i64(st, 2, t_min);
    db_bind_i64(st, 3, t_max);
    db_bind_i64(st, 4, s->through);
    return db_run(st, s->why);
}

static enum nx_err
is_sealed(struct seal *s, bool *sealed)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(s->day, "SELECT sealed_through FROM day", &st, s->why);

    *sealed = false;
    if (err != NX_OK)
        return err;
    if ((err = db_step(st, &has_row, s->why)) == NX_OK && has_row)
        *sealed = db_col_i64(st, 0) >= s->through;
    db_reset(st);
    return err;
}

static enum nx_err
write_day(struct seal *s, const struct part *parts, size_t n)
{
    int64_t t_min = INT64_MAX, t_max = INT64_MIN;
    enum nx_err err = db_begin(s->day, DB_WRITE, s->why);

    s->day_points = 0;
    for (size_t i = 0; i < n && err == NX_OK; i++) {
        const struct point *p = &s->points[parts[i].first];

        t_min = p[0].time_us < t_min ? p[0].time_us : t_min;
        t_max = p[parts[i].count - 1].time_us > t_max ? p[parts[i].count - 1].time_us : t_max;
        err = seal_part(s, &parts[i]);
    }
    if (err == NX_OK)
        err = write_day_row(s, t_min, t_max);
    if (err == NX_OK)
        return db_commit(s->day, s->why);
    db_rollback(s->day);
    return err;
}

/* --- rollups --- */

static enum nx_err
is_rolled(struct seal *s, int day, bool *rolled)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(s->h->db, "SELECT 1 FROM rolled WHERE day = ? AND state < 2", &st, s->why);

    *rolled = false;
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, day);
    if ((err = db_step(st, &has_row, s->why)) == NX_OK)
        *rolled = has_row;
    db_reset(st);
    return err;
}

static enum nx_err
mark_stale(struct seal *s, const struct part *parts, size_t n)
{
    struct db_stmt *st;
    enum nx_err err = db_begin(s->h->db, DB_WRITE, s->why);

    for (size_t i = 0; i < n && err == NX_OK; i++) {
        if ((err = db_prepare(s->h->db, "INSERT OR IGNORE INTO stale VALUES(?, ?)", &st, s->why)) != NX_OK)
            break;
        db_bind_i64(st, 1, parts[i].day);
        db_bind_i64(st, 2, parts[i].sid);
        err = db_run(st, s->why);
    }
    if (err == NX_OK)
        return db_commit(s->h->db, s->why);
    db_rollback(s->h->db);
    return err;
}

/* Before the chunks change: from then on readers take points for these series on that day. */
static enum nx_err
tell_rollups(struct seal *s, const struct part *parts, size_t n)
{
    bool rolled;
    enum nx_err err = is_rolled(s, parts[0].day, &rolled);

    return err == NX_OK && rolled ? mark_stale(s, parts, n) : err;
}

static enum nx_err
seal_day(struct seal *s, const struct part *parts, size_t n)
{
    bool sealed = false;
    enum nx_err err = tell_rollups(s, parts, n);

    if (err == NX_OK)
        err = day_open(s->h, parts[0].day, false, &s->day, s->why);
    if (err == NX_OK)
        err = is_sealed(s, &sealed);
    if (err == NX_OK && !sealed)
        err = write_day(s, parts, n);
    db_close(&s->day);
    return err;
}

static enum nx_err
seal_days(struct seal *s)
{
    enum nx_err err = NX_OK;

    for (size_t at = 0, k; at < s->part_count && err == NX_OK; at += k) {
        for (k = 1; at + k < s->part_count && s->parts[at + k].day == s->parts[at].day; k++)
            ;
        err = seal_day(s, &s->parts[at], k);
    }
    return err;
}

/* --- the end of the blocks --- */

/* The oldest blocks, as many as make up one short transaction. */
static enum nx_err
choose_drop(struct seal *s, int64_t *last, int64_t *points, int64_t *bytes)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err =
        db_prepare(s->h->db, "SELECT block_id, points, length(data) FROM hot WHERE block_id <= ? ORDER BY block_id",
                   &st, s->why);

    *last = *points = *bytes = 0;
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, s->through);
    while (*bytes < DROP_BYTES && (err = db_step(st, &has_row, s->why)) == NX_OK && has_row) {
        *last = db_col_i64(st, 0);
        *points += db_col_i64(st, 1);
        *bytes += db_col_i64(st, 2);
    }
    db_reset(st);
    return err;
}

static enum nx_err
drop_some(struct seal *s, int64_t last, int64_t points, int64_t bytes)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(s->h->db, "DELETE FROM hot WHERE block_id <= ?", &st, s->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, last);
    if ((err = db_run(st, s->why)) != NX_OK)
        return err;
    err = db_prepare(s->h->db, "UPDATE total SET hot_points = hot_points - ?, hot_bytes = hot_bytes - ?", &st, s->why);
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, points);
    db_bind_i64(st, 2, bytes);
    return db_run(st, s->why);
}

static enum nx_err
end_sealing(struct seal *s)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(s->h->db, "UPDATE total SET duplicate_points = duplicate_points + ?", &st, s->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, (int64_t)s->duplicates);
    err = db_run(st, s->why);
    return err == NX_OK ? db_exec(s->h->db, "DELETE FROM sealing", s->why) : err;
}

static enum nx_err
drop_step(struct seal *s, bool *is_over)
{
    int64_t last, points, bytes;
    enum nx_err err = choose_drop(s, &last, &points, &bytes);

    if (err != NX_OK)
        return err;
    *is_over = last == 0 || last == s->through;
    if ((err = db_begin(s->h->db, DB_WRITE, s->why)) != NX_OK)
        return err;
    if (last > 0)
        err = drop_some(s, last, points, bytes);
    if (err == NX_OK && *is_over)
        err = end_sealing(s);
    if (err == NX_OK)
        return db_commit(s->h->db, s->why);
    db_rollback(s->h->db);
    return err;
}

static enum nx_err
drop_blocks(struct seal *s)
{
    bool is_over = false;
    enum nx_err err = NX_OK;

    while (err == NX_OK && !is_over)
        err = drop_step(s, &is_over);
    return err;
}

static void
seal_fini(struct seal *s)
{
    arena_free(&s->blobs);
    arena_free(&s->old);
    wbuf_free(&s->data);
    free(s->runs);
    free(s->points);
    free(s->parts);
    free(s->merged);
}

enum nx_err
seal_once(struct lite *h, struct nx_note *why)
{
    struct seal s = {.h = h, .why = why, .data = wbuf_init(0)};
    enum nx_err err = fix_extent(&s);

    if (err == NX_OK)
        err = load_blocks(&s);
    if (err == NX_OK)
        err = gather(&s);
    if (err == NX_OK)
        err = seal_days(&s);
    if (err == NX_OK)
        err = drop_blocks(&s);
    seal_fini(&s);
    return err == NX_OK ? hot_refresh(h, why) : err;
}
