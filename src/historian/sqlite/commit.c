/* commit.c -- the write path: batches to one hot block, their identities to the ledger, in one transaction. */
#include "historian/sqlite/commit.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

#define QUARANTINE_ROWS 10000

struct commit_scratch *
commit_scratch_new(void)
{
    struct commit_scratch *s = mem_alloc(sizeof *s);

    s->block = block_writer_init();
    s->data = wbuf_init(0);
    return s;
}

void
commit_scratch_free(struct commit_scratch **out)
{
    struct commit_scratch *s = *out;

    *out = NULL;
    if (!s)
        return;
    free(s->staged);
    free(s->map);
    free(s->touched);
    free(s->sorted);
    block_writer_fini(&s->block);
    wbuf_free(&s->data);
    free(s);
}

/* --- series --- */

static enum nx_err
insert_series(struct commit *c, const struct hist_series *s, const struct series *from)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(c->h->db, "INSERT INTO series VALUES(?, ?, ?, ?, ?, ?, ?)", &st, c->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, s->sid);
    db_bind_slice(st, 2, from->topic);
    db_bind_slice(st, 3, from->device_id);
    db_bind_slice(st, 4, from->tag_id);
    db_bind_slice(st, 5, from->unit);
    db_bind_i64(st, 6, from->data_type);
    db_bind_i64(st, 7, c->now_us);
    return db_run(st, c->why);
}

static enum nx_err
update_unit(struct commit *c, struct hist_series *s, struct slice unit)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(c->h->db, "UPDATE series SET unit = ? WHERE series_id = ?", &st, c->why);

    if (err != NX_OK)
        return err;
    free(s->unit);
    s->unit = mem_strndup(unit.p, unit.len);
    db_bind_slice(st, 1, unit);
    db_bind_i64(st, 2, s->sid);
    return db_run(st, c->why);
}

static enum nx_err
find_series(struct commit *c, const struct series *from, struct hist_series **out)
{
    struct hist_series *s;

    HASH_FIND(hh, c->h->series, from->topic.p, from->topic.len, s);
    *out = s;
    if (s)
        return from->unit.len == 0 || slice_eq_str(from->unit, s->unit) ? NX_OK : update_unit(c, s, from->unit);
    s = mem_alloc(sizeof *s + from->topic.len + 1);
    s->sid = c->h->next_sid++;
    s->is_new = true;
    s->unit = mem_strndup(from->unit.len ? (const char *)from->unit.p : "", from->unit.len);
    s->topic_len = from->topic.len;
    memcpy(s->topic, from->topic.p, from->topic.len);
    HASH_ADD_KEYPTR(hh, c->h->series, s->topic, s->topic_len, s);
    *out = s;
    return insert_series(c, s, from);
}

/* --- staging --- */

static struct slice
as_text(char *text, size_t cap, double v)
{
    struct wbuf w = wbuf_fixed(text, cap);

    wbuf_double(&w, v);
    return wbuf_slice_of(&w);
}

static enum nx_err
quarantine(struct commit *c, const struct hist_series *s, const struct point *p, const char *reason)
{
    struct db_stmt *st;
    char text[40];
    double v = 0;
    enum nx_err err;

    c->result->quarantined_points++;
    err = db_prepare(c->h->db,
                     "INSERT INTO quarantine(topic, time_us, quality, value, reason, stored_us) SELECT ?, ?, ?, ?, ?, ?"
                     " WHERE (SELECT count(*) FROM quarantine) < ?",
                     &st, c->why);
    if (err != NX_OK)
        return err;
    db_bind_slice(st, 1, slice(s->topic, s->topic_len));
    db_bind_i64(st, 2, p->time_us);
    db_bind_i64(st, 3, p->quality);
    if (p->value.type == NX_TYPE_STRING)
        db_bind_slice(st, 4, slice(p->value.s, p->value.len));
    else if (value_as_double(&p->value, &v))
        db_bind_slice(st, 4, as_text(text, sizeof text, v));
    db_bind_text(st, 5, reason);
    db_bind_i64(st, 6, c->now_us);
    db_bind_i64(st, 7, QUARANTINE_ROWS);
    return db_run(st, c->why);
}

static void
stage(struct commit_scratch *s, struct hist_series *series, const struct point *p)
{
    if (series->count++ == 0) {
        GROW(s->touched, s->touched_cap, s->touched_count + 1);
        s->touched[s->touched_count++] = series;
    }
    s->staged[s->staged_count++] = (struct staged){series, p};
}

static enum nx_err
stage_points(struct commit *c, const struct batch *b, struct hist_lane *lane)
{
    struct commit_scratch *s = c->s;
    enum nx_err err = NX_OK;

    GROW(s->map, s->map_cap, (size_t)b->series_count);
    for (uint32_t i = 0; i < b->series_count && err == NX_OK; i++)
        err = find_series(c, &b->series[i], &s->map[i]);
    GROW(s->staged, s->staged_cap, s->staged_count + b->point_count);
    for (uint32_t i = 0; i < b->point_count && err == NX_OK; i++) {
        const struct point *p = &b->points[i];
        const char *reason = historian_refuse_time(p->time_us, c->now_us, c->h->retention_days);

        if (reason)
            err = quarantine(c, s->map[p->series], p, reason);
        else
            stage(s, s->map[p->series], p);
    }
    lane->add_points += b->point_count;
    return err;
}

static enum nx_err
write_gap(struct commit *c, const struct batch *b, struct hist_lane *lane)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(c->h->db,
                                 "INSERT INTO gap(lane_id, from_seq, to_seq, points, from_us, to_us, cause, stored_us)"
                                 " VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                                 &st, c->why);

    if (err != NX_OK)
        return err;
    lane->add_gap_points += b->gap.points;
    db_bind_i64(st, 1, lane->lane_id);
    db_bind_i64(st, 2, (int64_t)b->gap.from_seq);
    db_bind_i64(st, 3, (int64_t)b->gap.to_seq);
    db_bind_i64(st, 4, (int64_t)b->gap.points);
    db_bind_i64(st, 5, b->gap.from_us);
    db_bind_i64(st, 6, b->gap.to_us);
    db_bind_text(st, 7, nx_err_name(b->gap.cause));
    db_bind_i64(st, 8, c->now_us);
    return db_run(st, c->why);
}

static enum nx_err
take_batch(struct commit *c, const struct batch *b)
{
    struct hist_lane *lane = lane_touch(c->h, &b->hdr);

    if (seqset_find(&lane->pending, b->hdr.seq)) {
        c->result->duplicate_batches++;
        lane->add_duplicates++;
        return NX_OK;
    }
    seqset_add(&lane->pending, b->hdr.seq, b->hdr.seq);
    lane->add_batches++;
    return b->is_gap ? write_gap(c, b, lane) : stage_points(c, b, lane);
}

/* --- the block --- */

static int
compare_sids(const void *a, const void *b)
{
    uint32_t x = (*(struct hist_series *const *)a)->sid, y = (*(struct hist_series *const *)b)->sid;

    return (x > y) - (x < y);
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

/* Gathers the staged points by series: counted before, so one pass puts each in its place. */
static void
sort_by_series(struct commit_scratch *s)
{
    uint32_t at = 0;

    qsort(s->touched, s->touched_count, sizeof *s->touched, compare_sids);
    for (size_t i = 0; i < s->touched_count; i++) {
        s->touched[i]->start = at;
        at += s->touched[i]->count;
        s->touched[i]->count = 0;
    }
    GROW(s->sorted, s->sorted_cap, s->staged_count);
    for (size_t i = 0; i < s->staged_count; i++) {
        struct hist_series *series = s->staged[i].series;

        place(&s->sorted[series->start + series->count++], s->staged[i].point);
    }
}

static enum nx_err
write_block(struct commit *c, int64_t t_min, int64_t t_max)
{
    struct db_stmt *st;
    enum nx_err err;

    wbuf_reset(&c->s->data);
    if ((err = block_finish(&c->s->block, &c->s->data)) != NX_OK)
        return nx_fail(c->why, err, "the points of one commit do not fit a block");
    err = db_prepare(c->h->db, "INSERT INTO hot(t_min, t_max, points, stored_us, data) VALUES(?, ?, ?, ?, ?)", &st,
                     c->why);
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, t_min);
    db_bind_i64(st, 2, t_max);
    db_bind_i64(st, 3, (int64_t)c->result->points);
    db_bind_i64(st, 4, c->now_us);
    db_bind_blob(st, 5, wbuf_slice_of(&c->s->data));
    return db_run(st, c->why);
}

static enum nx_err
write_points(struct commit *c)
{
    struct commit_scratch *s = c->s;
    int64_t t_min = INT64_MAX, t_max = INT64_MIN;

    if (s->staged_count == 0)
        return NX_OK;
    sort_by_series(s);
    for (size_t i = 0; i < s->touched_count; i++) {
        struct point *p = &s->sorted[s->touched[i]->start];
        size_t n = points_sort_unique(p, s->touched[i]->count, &c->result->duplicate_points);

        block_add(&s->block, s->touched[i]->sid, p, n);
        t_min = p[0].time_us < t_min ? p[0].time_us : t_min;
        t_max = p[n - 1].time_us > t_max ? p[n - 1].time_us : t_max;
        c->result->points += n;
    }
    c->result->newest_us = t_max;
    return write_block(c, t_min, t_max);
}

/* Also learns what waits for sealing, since a keeper may have taken some of it. */
static enum nx_err
write_total(struct commit *c)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(c->h->db,
                                 "UPDATE total SET points = points + ?1, duplicate_points = duplicate_points + ?2,"
                                 " quarantined_points = quarantined_points + ?3, hot_points = hot_points + ?1,"
                                 " hot_bytes = hot_bytes + ?4 RETURNING hot_points, hot_bytes",
                                 &st, c->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, (int64_t)c->result->points);
    db_bind_i64(st, 2, (int64_t)c->result->duplicate_points);
    db_bind_i64(st, 3, (int64_t)c->result->quarantined_points);
    db_bind_i64(st, 4, c->result->points > 0 ? (int64_t)c->s->data.len : 0);
    if ((err = db_step(st, &has_row, c->why)) == NX_OK && has_row) {
        c->hot_points = (uint64_t)db_col_i64(st, 0);
        c->hot_bytes = (uint64_t)db_col_i64(st, 1);
    }
    db_reset(st);
    return err;
}

static enum nx_err
write_all(struct commit *c, const struct batch *batches, size_t n)
{
    struct hist_lane *lane, *next;
    enum nx_err err = db_begin(c->h->db, DB_WRITE, c->why);

    for (size_t i = 0; i < n && err == NX_OK; i++)
        err = take_batch(c, &batches[i]);
    if (err == NX_OK)
        err = write_points(c);
    HASH_ITER (hh, c->h->lanes, lane, next)
        if (lane->is_touched && err == NX_OK)
            err = lane_write(c, lane);
    if (err == NX_OK)
        err = write_total(c);
    return err == NX_OK ? db_commit(c->h->db, c->why) : err;
}

/* --- what memory keeps after it --- */

/* A series or a unit that was rolled back must be written again: forget it. */
static void
forget_new_series(struct lite *h)
{
    struct hist_series *s, *next;

    HASH_ITER (hh, h->series, s, next) {
        free(s->unit);
        s->unit = mem_strdup("");
        if (s->is_new) {
            HASH_DEL(h->series, s);
            free(s->unit);
            free(s);
        }
    }
}

static void
settle_series(struct commit *c, uint32_t first_new_sid, bool stored)
{
    struct lite *h = c->h;

    for (size_t i = 0; i < c->s->touched_count; i++)
        c->s->touched[i]->count = 0;
    c->s->touched_count = c->s->staged_count = 0;
    if (!stored)
        forget_new_series(h);
    else if (h->next_sid != first_new_sid)
        for (struct hist_series *s = h->series; s; s = s->hh.next)
            s->is_new = false;
}

/* --- the bound --- */

static bool
is_full(const struct lite *h)
{
    return h->hot_points >= HOT_LIMIT_POINTS || h->hot_bytes >= HOT_LIMIT_BYTES;
}

/* What waits for sealing must not grow without end: where nobody else seals, it is done now. */
static enum nx_err
make_room(struct lite *h, struct nx_note *why)
{
    enum nx_err err;

    if (!is_full(h) || (err = hot_refresh(h, why)) != NX_OK || !is_full(h))
        return is_full(h) ? err : NX_OK;
    if ((err = lite_maintain(&h->base, why)) != NX_OK)
        return err;
    if (!is_full(h))
        return NX_OK;
    return nx_fail(why, NX_E_BUSY, "historian %s: %llu values wait for sealing: whoever keeps it falls behind", h->dir,
                   (unsigned long long)h->hot_points);
}

static void
settle_hot(const struct commit *c)
{
    struct lite *h = c->h;

    if (h->hot_points == 0 || c->hot_points == c->result->points)
        h->hot_since_us = c->now_us;
    h->hot_points = c->hot_points;
    h->hot_bytes = c->hot_bytes;
}

enum nx_err
lite_commit(struct historian *base, const struct batch *batches, size_t n, struct historian_commit_result *result,
            struct nx_note *why)
{
    struct lite *h = lite_of(base);
    struct commit c = {.h = h, .s = h->scratch, .result = result, .why = why, .now_us = h->wall_us()};
    uint32_t first_new_sid = h->next_sid;
    enum nx_err err = make_room(h, why);

    if (err != NX_OK)
        return err;
    err = write_all(&c, batches, n);
    if (err != NX_OK) {
        db_rollback(h->db);
        block_writer_fini(&c.s->block);
        c.s->block = block_writer_init();
        *result = (struct historian_commit_result){0};
    } else if (result->points > 0) {
        settle_hot(&c);
    }
    lanes_settle(h, err == NX_OK);
    settle_series(&c, first_new_sid, err == NX_OK);
    return err;
}
