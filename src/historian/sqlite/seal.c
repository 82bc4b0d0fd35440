/* seal.c -- from hot blocks to one chunk per series and stretch of time, in one file per day; and their end.
 *
 * A sealing goes over two kinds of files, so it is made repeatable instead of atomic: hist.db first remembers how far
 * it goes (sealing.through), each day file stores its chunks together with that number, then hist.db drops the blocks.
 * Cut short anywhere, the next one takes the same blocks and skips the days that have them. Readers look at hot
 * blocks first and drop what they see twice, so they never miss a value and never show it double.
 *
 * What the disk has damaged must not hold up the rest: a block or chunk that does not decode goes to a table "damaged"
 * beside it, a day file that cannot be read is renamed (aside.c); the sealing goes on without it and tells of it at its
 * end. */
#include "historian/sqlite/seal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "historian/sqlite/run.h"

#define EXTENT_POINTS 1500000
#define EXTENT_BYTES  (128 << 20)
#define DROP_BYTES    (4 << 20) /* of blocks in one transaction: commits wait for it */

void *
seal_grow(void *array, size_t *cap, size_t need, size_t size)
{
    if (*cap >= need)
        return array;
    *cap = need + need / 2 + 16;
    return mem_realloc(array, *cap * size);
}

/* --- damage --- */

void
seal_note_damage(struct seal *s, const char *path, const char *what, uint64_t values)
{
    if (s->damage.err == NX_OK)
        s->damage.err =
            nx_fail(&s->damage, NX_E_CORRUPT,
                    "%s: %s is damaged and was set aside with its %llu values (table \"damaged\"); the rest is "
                    "sound: check the disk",
                    path, what, (unsigned long long)values);
}

static enum nx_err
set_block_aside(struct seal *s, int64_t id)
{
    struct db_stmt *st;
    enum nx_err err =
        db_prepare(s->h->db,
                   "INSERT OR IGNORE INTO damaged SELECT block_id, t_min, t_max, points, stored_us, data FROM hot"
                   " WHERE block_id = ?",
                   &st, s->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, id);
    return db_run(st, s->why);
}

/* --- reading the hot blocks --- */

static enum nx_err
add_block(struct seal *s, int64_t id, uint64_t points, struct slice data)
{
    struct block_reader reader = block_open(slice(arena_strndup(&s->blobs, data.p, data.len), data.len));
    struct block_run run;

    while (block_next(&reader, &run)) {
        s->runs = seal_grow(s->runs, &s->run_cap, s->run_count + 1, sizeof *s->runs);
        s->runs[s->run_count] = (struct ordered_run){run, id, s->run_count};
        s->run_count++;
    }
    if (!reader.is_corrupt)
        return NX_OK;
    seal_note_damage(s, db_path(s->h->db), "a block", points);
    return set_block_aside(s, id);
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
        db_prepare(s->h->db, "SELECT block_id, points, data FROM hot WHERE block_id <= ? ORDER BY block_id", &st,
                   s->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, s->through);
    while (err == NX_OK && (err = db_step(st, &has_row, s->why)) == NX_OK && has_row)
        err = add_block(s, db_col_i64(st, 0), (uint64_t)db_col_i64(st, 1), db_col_slice(st, 2));
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
        s->parts = seal_grow(s->parts, &s->part_cap, s->part_count + 1, sizeof *s->parts);
        s->parts[s->part_count++] = (struct part){day, sid, first + at, k};
    }
}

/* Runs [at, at + k) are all of one series, in the order of their commits. */
static enum nx_err
gather_series(struct seal *s, size_t at, size_t k)
{
    size_t first = s->point_count, count;
    enum nx_err err = NX_OK;

    for (size_t i = at; i < at + k && err == NX_OK; i++) {
        const struct block_run *run = &s->runs[i].run;

        s->points = seal_grow(s->points, &s->point_cap, s->point_count + run->count, sizeof *s->points);
        if (run_decode(run->data, &s->points[s->point_count], run->count) == NX_OK) {
            s->point_count += run->count;
            continue;
        }
        seal_note_damage(s, db_path(s->h->db), "a series in a block", run->count);
        err = set_block_aside(s, s->runs[i].block_id);
    }
    if (err != NX_OK || s->point_count == first)
        return err;
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

/* NX_E_CORRUPT: SQLite cannot read its file. */
static enum nx_err
merge_into_day(struct seal *s, const struct part *parts, size_t n)
{
    bool sealed = false;
    enum nx_err err = day_open(s->h, parts[0].day, false, &s->day, s->why);

    if (err == NX_OK)
        err = seal_is_in_day(s, &sealed);
    if (err == NX_OK && !sealed)
        err = seal_write_day(s, parts, n);
    db_close(&s->day);
    return err;
}

/* What was told and counted of a file that is set aside counts no more. */
static enum nx_err
seal_day(struct seal *s, const struct part *parts, size_t n)
{
    struct nx_note damage = s->damage;
    uint64_t duplicates = s->duplicates;
    enum nx_err err = tell_rollups(s, parts, n);

    if (err != NX_OK)
        return err;
    err = merge_into_day(s, parts, n);
    if (err == NX_E_CORRUPT && day_set_aside(s->h, parts[0].day, s->why)) {
        s->damage = damage.err == NX_OK ? *s->why : damage;
        s->duplicates = duplicates;
        if ((err = tell_rollups(s, parts, n)) == NX_OK)
            err = merge_into_day(s, parts, n);
    }
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
    if (err == NX_OK)
        err = hot_refresh(h, why);
    if (err == NX_OK && s.damage.err != NX_OK) {
        *why = s.damage;
        err = s.damage.err;
    }
    seal_fini(&s);
    return err;
}
