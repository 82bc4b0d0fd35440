/* commit.c -- the write path: batches, their identities and what is late, in one transaction.
 *
 *   BEGIN, lock shared, identities into the ledger, the watermark      one round trip
 *   COPY of the points of those batches that were new                  two
 *   late hours, gaps, quarantine, counters, COMMIT                     one
 *
 * Whoever stores the same batch at the same time waits at the ledger's key until this transaction ends, and then finds
 * it there. A (series, time) that exists makes COPY fail as a whole: the same is done again with INSERT .. ON CONFLICT.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "historian/grid.h"
#include "historian/postgres/store.h"

#define TRIES           8
#define PARTITION_TRIES 2 /* the same code says that a value is refused by a constraint */
#define QUARANTINE_ROWS 10000

static const struct pg_stmt begin_work = {"begin_work", "BEGIN"};
static const struct pg_stmt lock_commit = {"lock_commit",
                                           "SELECT pg_advisory_xact_lock_shared(" PG_LOCKS ", " PG_LOCK_COMMIT ")"};
static const struct pg_stmt insert_ledger = {
    "insert_ledger",
    "INSERT INTO hist.ledger(lane_id, seq, points, t_min, t_max, stored)"
    " SELECT u.lane_id, u.seq, u.points, u.t_min, u.t_max, $6::timestamptz FROM unnest($1::int4[], $2::int8[],"
    " $3::int4[], $4::timestamptz[], $5::timestamptz[]) AS u(lane_id, seq, points, t_min, t_max) WHERE NOT EXISTS"
    " (SELECT FROM hist.ledger_range r WHERE r.lane_id = u.lane_id AND r.from_seq <= u.seq AND r.to_seq >= u.seq)"
    " ON CONFLICT DO NOTHING RETURNING lane_id, seq"};
static const struct pg_stmt read_watermark = {"read_watermark", "SELECT watermark, takes FROM hist.state"};
static const struct pg_stmt insert_points = {
    "insert_points",
    "INSERT INTO hist.raw(series_id, quality, time, value, type, text) SELECT * FROM unnest($1::int4[],"
    " $2::int4[], $3::timestamptz[], $4::float8[], $5::int2[], $6::text[]) ON CONFLICT DO NOTHING"};
static const struct pg_stmt insert_dirty = {
    "insert_dirty", "INSERT INTO hist.dirty(series_id, hour) SELECT u.s, u.h FROM unnest($1::int4[], $2::timestamptz[])"
                    " AS u(s, h) WHERE NOT EXISTS (SELECT FROM hist.dirty d WHERE d.series_id = u.s AND d.hour = u.h"
                    " AND NOT d.is_taken)"};
static const struct pg_stmt insert_gap = {
    "insert_gap", "INSERT INTO hist.gap(lane_id, from_seq, to_seq, points, from_time, to_time, cause, stored)"
                  " VALUES($1::int4, $2::int8, $3::int8, $4::int8, $5::timestamptz, $6::timestamptz, $7::text,"
                  " $8::timestamptz)"};
static const struct pg_stmt insert_quarantine = {
    "insert_quarantine",
    "INSERT INTO hist.quarantine(topic, time_us, quality, value, reason, stored) SELECT u.*, $6::timestamptz"
    " FROM unnest($1::text[], $2::int8[], $3::int4[], $4::text[], $5::text[]) AS u"
    " LIMIT greatest(0, 10000 - (SELECT count(*) FROM hist.quarantine))"};
static const struct pg_stmt count_duplicates = {
    "count_duplicates",
    "UPDATE hist.lane SET duplicate_batches = duplicate_batches + $2::int8 WHERE lane_id = $1::int4"};
static const struct pg_stmt count_total = {"count_total",
                                           "UPDATE hist.total SET duplicate_points = duplicate_points + $1::int8,"
                                           " quarantined_points = quarantined_points + $2::int8"};
static const struct pg_stmt commit_work = {"commit_work", "COMMIT"};

struct commit {
    struct pg_store *h;
    const struct batch *batches;
    size_t n;
    size_t *order;  /* by lane and number: everybody takes the ledger's keys in one order */
    bool *is_fresh; /* not in the ledger yet */
    struct historian_commit_result *result;
    struct nx_note *why;
    int64_t now_us, watermark_us, takes;
    bool use_insert;
    bool has_sent_commit;
    struct pg_args args;
};

/* --- identities --- */

struct keyed {
    int32_t lane_id;
    uint64_t seq;
    size_t index;
};

static int
compare_keys(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;

    if (x->lane_id != y->lane_id)
        return x->lane_id < y->lane_id ? -1 : 1;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static void
put_in_order(struct commit *c)
{
    struct keyed *keys = mem_calloc(c->n, sizeof *keys);

    for (size_t i = 0; i < c->n; i++)
        keys[i] = (struct keyed){pg_lane_find(c->h, &c->batches[i].hdr)->id, c->batches[i].hdr.seq, i};
    if (c->n > 0)
        qsort(keys, c->n, sizeof *keys, compare_keys);
    for (size_t i = 0; i < c->n; i++)
        c->order[i] = keys[i].index;
    free(keys);
}

static const struct batch *
batch_at(const struct commit *c, size_t i)
{
    return &c->batches[c->order[i]];
}

/* Of the points that are stored: what stands in the quarantine does not widen a lane. */
static void
put_time_range(struct commit *c, bool want_last)
{
    pg_array_begin(&c->args, PG_OID_TIMESTAMPTZ, c->n, true);
    for (size_t i = 0; i < c->n; i++) {
        const struct batch *b = batch_at(c, i);
        int64_t best = 0;

        for (uint32_t k = 0; k < b->point_count; k++) {
            int64_t t = b->points[k].time_us;

            if ((best == 0 || (want_last ? t > best : t < best)) &&
                !historian_refuse_time(t, c->now_us, c->h->retention_days))
                best = t;
        }
        if (best)
            pg_put_time(&c->args.bytes, best);
        else
            pg_put_null(&c->args.bytes);
    }
    pg_array_end(&c->args);
}

static void
put_identities(struct commit *c)
{
    struct pg_args *a = &c->args;

    pg_args_reset(a);
    pg_array_begin(a, PG_OID_INT4, c->n, false);
    for (size_t i = 0; i < c->n; i++)
        pg_put_i32(&a->bytes, pg_lane_find(c->h, &batch_at(c, i)->hdr)->id);
    pg_array_end(a);
    pg_array_begin(a, PG_OID_INT8, c->n, false);
    for (size_t i = 0; i < c->n; i++)
        pg_put_i64(&a->bytes, (int64_t)batch_at(c, i)->hdr.seq);
    pg_array_end(a);
    pg_array_begin(a, PG_OID_INT4, c->n, false);
    for (size_t i = 0; i < c->n; i++)
        pg_put_i32(&a->bytes, (int32_t)batch_at(c, i)->point_count);
    pg_array_end(a);
    put_time_range(c, false);
    put_time_range(c, true);
    pg_arg_time(a, c->now_us);
}

static void
mark_fresh(struct commit *c, int32_t lane_id, uint64_t seq)
{
    for (size_t i = 0; i < c->n; i++) {
        size_t k = c->order[i];

        if (c->batches[k].hdr.seq == seq && !c->is_fresh[k] && pg_lane_find(c->h, &c->batches[k].hdr)->id == lane_id) {
            c->is_fresh[k] = true;
            return;
        }
    }
}

static void
take_fresh(struct commit *c, const PGresult *r)
{
    size_t fresh = (size_t)PQntuples(r);

    for (struct pg_lane *lane = c->h->lanes; lane; lane = lane->hh.next)
        lane->duplicates = 0;
    for (size_t i = 0; i < c->n; i++)
        c->is_fresh[i] = fresh == c->n;
    if (fresh == c->n)
        return;
    for (int i = 0; i < PQntuples(r); i++)
        mark_fresh(c, pg_i32(r, i, 0), (uint64_t)pg_i64(r, i, 1));
    for (size_t i = 0; i < c->n; i++)
        pg_lane_find(c->h, &c->batches[i].hdr)->duplicates += !c->is_fresh[i];
    c->result->duplicate_batches = (uint32_t)(c->n - fresh);
}

static enum nx_err
write_identities(struct commit *c)
{
    struct pg_conn *conn = &c->h->conn;
    PGresult *r[4];
    enum nx_err err;

    put_identities(c);
    if ((err = pg_pipe_begin(conn, c->why)) != NX_OK)
        return err;
    if ((err = pg_pipe_add(conn, &begin_work, NULL, c->why)) == NX_OK &&
        (err = pg_pipe_add(conn, &lock_commit, NULL, c->why)) == NX_OK &&
        (err = pg_pipe_add(conn, &insert_ledger, &c->args, c->why)) == NX_OK)
        err = pg_pipe_add(conn, &read_watermark, NULL, c->why);
    if (err == NX_OK)
        err = pg_pipe_end(conn, MEM_COUNT(r), r, c->why);
    if (err != NX_OK)
        return err;
    take_fresh(c, r[2]);
    c->watermark_us = pg_time(r[3], 0, 0);
    c->takes = pg_i64(r[3], 0, 1);
    for (size_t i = 0; i < MEM_COUNT(r); i++)
        PQclear(r[i]);
    return NX_OK;
}

/* --- points --- */

static enum nx_err
copy_points(struct commit *c)
{
    pg_stage_copy(c->h->stage);
    c->result->points = c->h->stage->point_count;
    return pg_copy(&c->h->conn, "COPY hist.raw(series_id, quality, time, value, type, text) FROM STDIN (FORMAT binary)",
                   wbuf_slice_of(&c->h->stage->rows), c->why);
}

static enum nx_err
insert_all(struct commit *c)
{
    PGresult *r;
    enum nx_err err;

    pg_stage_arrays(c->h->stage);
    err = pg_run(&c->h->conn, &insert_points, &c->h->stage->args, &r, c->why);
    if (err == NX_OK) {
        c->result->points = strtoull(PQcmdTuples(r), NULL, 10);
        c->result->duplicate_points += c->h->stage->point_count - c->result->points;
    }
    PQclear(r);
    return err;
}

static enum nx_err
write_points(struct commit *c)
{
    struct pg_stage *s = c->h->stage;

    pg_stage_points(c->h, c->batches, c->is_fresh, c->n, c->now_us);
    c->result->duplicate_points = s->duplicates;
    c->result->quarantined_points = s->quarantined_count;
    c->result->newest_us = s->newest_us;
    if (s->point_count == 0)
        return NX_OK;
    return c->use_insert ? insert_all(c) : copy_points(c);
}

/* --- what goes with them --- */

/* Hours below the watermark: their rollups are made again. What this writer said before is still there until the keeper
 * takes it (hist.state.takes); so a backlog does not say the same with every batch. */
static size_t
each_late_hour(const struct commit *c, struct wbuf *series, struct wbuf *hours)
{
    const struct pg_stage *s = c->h->stage;
    size_t n = 0;

    for (size_t i = 0; i < s->run_count; i++) {
        const struct pg_series *of = s->touched[i];
        int64_t last = of->dirty_takes == c->takes ? of->dirty_us : INT64_MIN;

        for (size_t k = 0; k < s->runs[i].count; k++) {
            int64_t t = s->points[s->runs[i].first + k].time_us;

            if (t >= c->watermark_us || (t >= last && t < last + PG_HOUR_US))
                continue;
            last = grid_floor(t, PG_HOUR_US);
            n++;
            if (series)
                pg_put_i32(series, s->runs[i].series_id);
            if (hours)
                pg_put_time(hours, last);
        }
    }
    return n;
}

/* After the commit. */
static void
remember_dirty(const struct commit *c)
{
    const struct pg_stage *s = c->h->stage;

    for (size_t i = 0; i < s->run_count; i++)
        for (size_t k = s->runs[i].count; k-- > 0;) {
            int64_t t = s->points[s->runs[i].first + k].time_us;

            if (t >= c->watermark_us)
                continue;
            s->touched[i]->dirty_us = grid_floor(t, PG_HOUR_US);
            s->touched[i]->dirty_takes = c->takes;
            break;
        }
}

static enum nx_err
add_dirty(struct commit *c)
{
    size_t n = each_late_hour(c, NULL, NULL);

    if (n == 0)
        return NX_OK;
    pg_args_reset(&c->args);
    pg_array_begin(&c->args, PG_OID_INT4, n, false);
    (void)each_late_hour(c, &c->args.bytes, NULL);
    pg_array_end(&c->args);
    pg_array_begin(&c->args, PG_OID_TIMESTAMPTZ, n, false);
    (void)each_late_hour(c, NULL, &c->args.bytes);
    pg_array_end(&c->args);
    return pg_pipe_add(&c->h->conn, &insert_dirty, &c->args, c->why);
}

static enum nx_err
add_gaps(struct commit *c)
{
    enum nx_err err = NX_OK;

    for (size_t i = 0; i < c->n && err == NX_OK; i++) {
        const struct batch *b = &c->batches[i];

        if (!b->is_gap || !c->is_fresh[i])
            continue;
        pg_args_reset(&c->args);
        pg_arg_i32(&c->args, pg_lane_find(c->h, &b->hdr)->id);
        pg_arg_i64(&c->args, (int64_t)b->gap.from_seq);
        pg_arg_i64(&c->args, (int64_t)b->gap.to_seq);
        pg_arg_i64(&c->args, (int64_t)b->gap.points);
        pg_arg_time(&c->args, b->gap.from_us);
        pg_arg_time(&c->args, b->gap.to_us);
        pg_arg_text(&c->args, slice_str(nx_err_name(b->gap.cause)));
        pg_arg_time(&c->args, c->now_us);
        err = pg_pipe_add(&c->h->conn, &insert_gap, &c->args, c->why);
    }
    return err;
}

static void
put_shown(struct wbuf *w, struct wbuf *scratch, const struct nx_value *v)
{
    char text[40];
    struct wbuf number = wbuf_fixed(text, sizeof text);
    double d;

    if (v->type == NX_TYPE_STRING) {
        pg_put_text(w, pg_clean_text(scratch, slice(v->s, v->len), NX_STRING_MAX));
    } else if (value_as_double(v, &d)) {
        wbuf_double(&number, d);
        pg_put_text(w, wbuf_slice_of(&number));
    } else {
        pg_put_null(w);
    }
}

static void
put_quarantine(struct commit *c, size_t n)
{
    const struct pg_quarantined *q = c->h->stage->quarantined;
    struct pg_args *a = &c->args;
    struct wbuf *text = &c->h->stage->text;

    pg_args_reset(a);
    pg_array_begin(a, PG_OID_TEXT, n, false);
    for (size_t i = 0; i < n; i++)
        pg_put_text(&a->bytes, pg_clean_text(text, slice(q[i].series->topic, q[i].series->topic_len), UINT16_MAX));
    pg_array_end(a);
    pg_array_begin(a, PG_OID_INT8, n, false);
    for (size_t i = 0; i < n; i++)
        pg_put_i64(&a->bytes, q[i].point->time_us);
    pg_array_end(a);
    pg_array_begin(a, PG_OID_INT4, n, false);
    for (size_t i = 0; i < n; i++)
        pg_put_i32(&a->bytes, q[i].point->quality);
    pg_array_end(a);
    pg_array_begin(a, PG_OID_TEXT, n, true);
    for (size_t i = 0; i < n; i++)
        put_shown(&a->bytes, text, &q[i].point->value);
    pg_array_end(a);
    pg_array_begin(a, PG_OID_TEXT, n, false);
    for (size_t i = 0; i < n; i++)
        pg_put_text(&a->bytes, slice_str(q[i].reason));
    pg_array_end(a);
    pg_arg_time(a, c->now_us);
}

static enum nx_err
add_quarantine(struct commit *c)
{
    size_t n = c->h->stage->quarantined_count;

    if (n == 0)
        return NX_OK;
    put_quarantine(c, n < QUARANTINE_ROWS ? n : QUARANTINE_ROWS);
    return pg_pipe_add(&c->h->conn, &insert_quarantine, &c->args, c->why);
}

/* Rows that every writer counts in: last, so that they are locked for the commit alone. In the order of lanes. */
static enum nx_err
add_counts(struct commit *c)
{
    const struct historian_commit_result *r = c->result;
    enum nx_err err = NX_OK;

    for (size_t i = 0; i < c->n && err == NX_OK; i++) {
        struct pg_lane *lane = pg_lane_find(c->h, &batch_at(c, i)->hdr);

        if (lane->duplicates == 0)
            continue;
        pg_args_reset(&c->args);
        pg_arg_i32(&c->args, lane->id);
        pg_arg_i64(&c->args, lane->duplicates);
        lane->duplicates = 0;
        err = pg_pipe_add(&c->h->conn, &count_duplicates, &c->args, c->why);
    }
    if (err != NX_OK || (r->duplicate_points == 0 && r->quarantined_points == 0))
        return err;
    pg_args_reset(&c->args);
    pg_arg_i64(&c->args, (int64_t)r->duplicate_points);
    pg_arg_i64(&c->args, (int64_t)r->quarantined_points);
    return pg_pipe_add(&c->h->conn, &count_total, &c->args, c->why);
}

static enum nx_err
finish(struct commit *c)
{
    enum nx_err err = pg_pipe_begin(&c->h->conn, c->why);

    if (err != NX_OK)
        return err;
    if ((err = add_dirty(c)) == NX_OK && (err = add_gaps(c)) == NX_OK && (err = add_quarantine(c)) == NX_OK &&
        (err = add_counts(c)) == NX_OK)
        err = pg_pipe_add(&c->h->conn, &commit_work, NULL, c->why);
    if (err != NX_OK)
        return err;
    c->has_sent_commit = true;
    return pg_pipe_end(&c->h->conn, 0, NULL, c->why);
}

/* --- one try, and another one --- */

static enum nx_err
try_once(struct commit *c)
{
    struct pg_store *h = c->h;
    enum nx_err err;

    *c->result = (struct historian_commit_result){0};
    if ((err = pg_store_ready(h, c->why)) != NX_OK || (err = pg_dict_resolve(h, c->batches, c->n, c->why)) != NX_OK ||
        (err = pg_lanes_resolve(h, c->batches, c->n, c->why)) != NX_OK)
        return err;
    put_in_order(c);
    if ((err = write_identities(c)) != NX_OK || (err = write_points(c)) != NX_OK)
        return err;
    return finish(c);
}

static enum nx_err
make_partitions(struct commit *c)
{
    const struct pg_stage *s = c->h->stage;
    int64_t done = INT64_MIN;
    enum nx_err err = NX_OK;

    for (size_t i = 0; i < s->run_count && err == NX_OK; i++)
        for (size_t k = 0; k < s->runs[i].count && err == NX_OK; k++) {
            int64_t t = s->points[s->runs[i].first + k].time_us;

            if (grid_floor(t, c->h->chunk_us) == done)
                continue;
            done = grid_floor(t, c->h->chunk_us);
            err = pg_schema_partition(c->h, "raw", t, c->why);
        }
    return err;
}

/* What can be set right here and now: true, then it is tried again. */
static bool
mends(struct commit *c, unsigned tries, enum nx_err *err)
{
    const struct pg_conn *conn = &c->h->conn;
    bool is_duplicate = pg_state_is(conn, "23505"), lacks_partition = pg_state_is(conn, "23514");
    bool was_in_the_way = pg_state_is(conn, "40P01") || pg_state_is(conn, "40001");

    if (*err == NX_E_OFFLINE) /* a connection that had died before: nothing was lost with it */
        return tries == 0 && !c->has_sent_commit;
    if (lacks_partition && tries < PARTITION_TRIES) {
        enum nx_err made = make_partitions(c);

        *err = made == NX_OK ? *err : made; /* *err stays an error: this may have been the last try */
        return made == NX_OK;
    }
    if (is_duplicate && !c->use_insert)
        return c->use_insert = true;
    return was_in_the_way;
}

static void
settle(struct commit *c)
{
    struct pg_store *h = c->h;

    for (struct pg_lane *lane = h->lanes; lane; lane = lane->hh.next)
        lane->done.count = 0;
    for (size_t i = 0; i < c->n; i++)
        (void)seqset_add(&pg_lane_find(h, &c->batches[i].hdr)->done, c->batches[i].hdr.seq, c->batches[i].hdr.seq);
    remember_dirty(c);
    h->expects_duplicates = c->result->duplicate_points > h->stage->duplicates;
}

enum nx_err
pg_store_commit(struct historian *base, const struct batch *batches, size_t n, struct historian_commit_result *result,
                struct nx_note *why)
{
    struct pg_store *h = pg_store_of(base);
    struct commit c = {.h = h, .batches = batches, .n = n, .result = result, .why = why, .args = pg_args_init()};
    enum nx_err err = NX_E_BUSY;

    c.now_us = h->wall_us();
    c.use_insert = h->use_insert || h->expects_duplicates;
    c.order = mem_calloc(n, sizeof *c.order);
    c.is_fresh = mem_calloc(n, sizeof *c.is_fresh);
    for (unsigned tries = 0; tries < TRIES; tries++) {
        if ((err = try_once(&c)) == NX_OK)
            break;
        pg_rollback(&h->conn);
        if (!mends(&c, tries, &err))
            break;
    }
    if (err == NX_OK)
        settle(&c);
    else
        *result = (struct historian_commit_result){0};
    pg_args_free(&c.args);
    free(c.order);
    free(c.is_fresh);
    return err;
}

bool
pg_store_is_committed(const struct historian *base, const struct batch_header *hdr, struct batch_range *range)
{
    const struct pg_lane *lane = pg_lane_find((const struct pg_store *)base, hdr);
    const struct batch_range *found = lane ? seqset_find(&lane->done, hdr->seq) : NULL;

    if (found)
        *range = *found;
    return found;
}
