/* sealday.c -- the chunks of one day: what a sealing brings, merged with what is there. Within a day the chunks of a
 * series never overlap: late points are merged into the chunks that they fall in. */
#include "historian/sqlite/seal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "historian/sqlite/run.h"

#define CHUNK_SMALL 240u /* a shorter last chunk is filled up instead of starting another */
#define CHUNK_MAX   1000u
#define CHUNK_BYTES 900u /* more would take a page of its own, half of it empty */
#define CHUNK_LEAST 60u

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
        run_encode_checked(&s->data, p, k);
        if (s->data.len <= CHUNK_BYTES || k <= CHUNK_LEAST)
            return k;
        k = k * (CHUNK_BYTES * 9 / 10) / s->data.len;
        k = k < CHUNK_LEAST ? CHUNK_LEAST : k;
    }
}

static bool
decode_chunk(struct seal *s, struct slice data, size_t n, struct point *out)
{
    struct slice copy = slice(arena_strndup(&s->old, data.p, data.len), data.len);

    return run_decode(copy, out, n) == NX_OK;
}

/* --- chunks that do not decode --- */

static enum nx_err
run_for_chunk(struct seal *s, const char *sql, uint32_t sid, int64_t t0)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(s->day, sql, &st, s->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, sid);
    db_bind_i64(st, 2, t0);
    return db_run(st, s->why);
}

/* Its place is wanted by what comes now. */
static enum nx_err
set_chunk_aside(struct seal *s, uint32_t sid, int64_t t0, uint64_t n)
{
    enum nx_err err = run_for_chunk(s,
                                    "INSERT INTO damaged(series_id, t0, t1, n, data) SELECT series_id, t0, t1, n, data"
                                    " FROM chunk WHERE series_id = ? AND t0 = ?",
                                    sid, t0);

    seal_note_damage(s, db_path(s->day), "a chunk", n);
    s->day_points -= n;
    return err == NX_OK ? run_for_chunk(s, "DELETE FROM chunk WHERE series_id = ? AND t0 = ?", sid, t0) : err;
}

struct damaged_chunk {
    int64_t t0;
    uint64_t n;
};

static enum nx_err
set_chunks_aside(struct seal *s, uint32_t sid, const struct damaged_chunk *list, size_t count)
{
    enum nx_err err = NX_OK;

    for (size_t i = 0; i < count && err == NX_OK; i++)
        err = set_chunk_aside(s, sid, list[i].t0, list[i].n);
    return err;
}

/* Puts the stored points that must be merged in front of merged[]: chunks that overlap the new points, and a short one
 * just before them. from is the start of the first such chunk. */
static enum nx_err
load_overlap(struct seal *s, const struct part *part, size_t *count, int64_t *from)
{
    const struct point *p = &s->points[part->first];
    struct damaged_chunk *damaged = NULL;
    size_t damaged_count = 0, damaged_cap = 0;
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

        if (!overlaps && n >= CHUNK_SMALL)
            break;
        s->merged = seal_grow(s->merged, &s->merged_cap, *count + RUN_MAX_POINTS + part->count, sizeof *s->merged);
        if (n >= 1 && n <= RUN_MAX_POINTS && decode_chunk(s, db_col_slice(st, 3), n, &s->merged[*count])) {
            *count += n;
            *from = db_col_i64(st, 0);
        } else if (overlaps) {
            damaged = seal_grow(damaged, &damaged_cap, damaged_count + 1, sizeof *damaged);
            damaged[damaged_count++] = (struct damaged_chunk){db_col_i64(st, 0), n};
        }
        if (!overlaps)
            break;
    }
    db_reset(st);
    if (err == NX_OK)
        err = set_chunks_aside(s, part->sid, damaged, damaged_count);
    free(damaged);
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
    s->merged = seal_grow(s->merged, &s->merged_cap, old + part->count, sizeof *s->merged);
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

enum nx_err
seal_is_in_day(struct seal *s, bool *sealed)
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

enum nx_err
seal_write_day(struct seal *s, const struct part *parts, size_t n)
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
