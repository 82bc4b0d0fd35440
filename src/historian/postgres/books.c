/* books.c -- what came, what is missing, how much there is: ledger and statistics of the PostgreSQL historian. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "historian/postgres/store.h"

/* --- compaction: one row a batch becomes one row a stretch of numbers --- */

/* A statement that began before a stretch was written may still look only at single rows, so those stay for longer
 * than any statement runs (statement_timeout). */
#define KEPT_FOR "INTERVAL '5 minutes'"

static const char count_rows[] =
    "WITH fresh AS MATERIALIZED (UPDATE hist.ledger SET counted = now() WHERE counted IS NULL"
    "  RETURNING lane_id, seq, points, t_min, t_max, stored),"
    " islands AS (SELECT lane_id, min(seq) AS f, max(seq) AS t FROM (SELECT lane_id, seq,"
    "   seq - row_number() OVER (PARTITION BY lane_id ORDER BY seq) AS island FROM fresh) x GROUP BY lane_id, island),"
    " sums AS (SELECT lane_id, count(*) AS batches, sum(points) AS points, min(t_min) AS t_min, max(t_max) AS t_max,"
    "   max(stored) AS updated FROM fresh GROUP BY lane_id),"
    " counted AS (UPDATE hist.lane l SET batches = l.batches + s.batches, points = l.points + s.points,"
    "   t_min = least(l.t_min, s.t_min), t_max = greatest(l.t_max, s.t_max), updated = greatest(l.updated, s.updated)"
    "   FROM sums s WHERE s.lane_id = l.lane_id)"
    " INSERT INTO hist.ledger_range(lane_id, from_seq, to_seq) SELECT lane_id, f, t FROM islands";
static const char join_ranges[] =
    "WITH marks AS (SELECT lane_id, from_seq, to_seq, (from_seq IS DISTINCT FROM lag(to_seq) OVER w + 1)::int AS starts"
    "  FROM hist.ledger_range WINDOW w AS (PARTITION BY lane_id ORDER BY from_seq)),"
    " groups AS (SELECT lane_id, from_seq, to_seq, sum(starts) OVER (PARTITION BY lane_id ORDER BY from_seq) AS g"
    "  FROM marks),"
    " joined AS (SELECT lane_id, min(from_seq) AS f, max(to_seq) AS t FROM groups GROUP BY lane_id, g"
    "  HAVING count(*) > 1),"
    " gone AS (DELETE FROM hist.ledger_range r USING joined j WHERE r.lane_id = j.lane_id AND r.from_seq > j.f"
    "  AND r.from_seq <= j.t)"
    " UPDATE hist.ledger_range r SET to_seq = j.t FROM joined j WHERE r.lane_id = j.lane_id AND r.from_seq = j.f";
static const char drop_rows[] = "DELETE FROM hist.ledger WHERE counted < now() - " KEPT_FOR;

enum nx_err
pg_books_compact(struct pg_store *h, struct nx_note *why)
{
    struct pg_conn *c = &h->conn;
    enum nx_err err;

    if ((err = pg_exec(c, "BEGIN", why)) != NX_OK)
        return err;
    if ((err = pg_exec(c, count_rows, why)) == NX_OK && (err = pg_exec(c, join_ranges, why)) == NX_OK &&
        (err = pg_exec(c, drop_rows, why)) == NX_OK)
        err = pg_exec(c, "COMMIT", why);
    if (err != NX_OK)
        pg_rollback(c);
    return err;
}

/* --- the ledger --- */

/* Both kinds of rows, and the numbers that a gap record declares: those are accounted for, not missing. */
static const char ranges_sql[] =
    "SELECT lane_id, from_seq, to_seq, false FROM hist.ledger_range UNION ALL"
    " SELECT lane_id, min(seq), max(seq), false FROM (SELECT lane_id, seq,"
    "  seq - row_number() OVER (PARTITION BY lane_id ORDER BY seq) AS island FROM hist.ledger WHERE counted IS NULL) x"
    "  GROUP BY lane_id, island UNION ALL"
    " SELECT lane_id, from_seq, to_seq, true FROM hist.gap ORDER BY 1, 4, 2";
static const char gaps_sql[] = "SELECT lane_id, cause, sum(to_seq - from_seq + 1)::int8, sum(points)::int8, max(stored)"
                               " FROM hist.gap GROUP BY lane_id, cause ORDER BY cause COLLATE \"C\" DESC";
static const char total_sql[] = "SELECT duplicate_points, quarantined_points FROM hist.total";
static const char lanes_sql[] =
    "SELECT l.lane_id, l.gateway, l.epoch, l.lane, l.batches + coalesce(u.batches, 0),"
    " l.points + coalesce(u.points, 0)::int8, l.duplicate_batches, coalesce(g.points, 0)::int8,"
    " greatest(l.updated, u.updated) FROM hist.lane l"
    " LEFT JOIN (SELECT lane_id, count(*) AS batches, sum(points) AS points, max(stored) AS updated FROM hist.ledger"
    "  WHERE counted IS NULL GROUP BY lane_id) u USING (lane_id)"
    " LEFT JOIN (SELECT lane_id, sum(points) AS points FROM hist.gap GROUP BY lane_id) g USING (lane_id)"
    " ORDER BY l.gateway, l.epoch, l.lane";

static void
fill_ranges(const PGresult *ranges, int32_t lane_id, struct historian_ledger_row *row)
{
    struct seqset set = {0};

    for (int i = 0; i < PQntuples(ranges); i++) {
        if (pg_i32(ranges, i, 0) != lane_id)
            continue;
        (void)seqset_add(&set, (uint64_t)pg_i64(ranges, i, 1), (uint64_t)pg_i64(ranges, i, 2));
        if (!pg_bool(ranges, i, 3)) /* gaps come behind all others */
            row->last_seq = set.items[set.count - 1].to;
    }
    row->missing = seqset_missing(&set);
    seqset_fini(&set);
}

/* By cause: the last one that is added stands first. */
static void
fill_gaps(struct arena *a, const PGresult *gaps, int32_t lane_id, struct historian_ledger_row *row)
{
    for (int i = 0; i < PQntuples(gaps); i++) {
        struct historian_gap *gap;

        if (pg_i32(gaps, i, 0) != lane_id)
            continue;
        gap = arena_alloc(a, sizeof *gap);
        *gap = (struct historian_gap){.cause = arena_strndup(a, pg_text(gaps, i, 1).p, pg_text(gaps, i, 1).len),
                                      .numbers = (uint64_t)pg_i64(gaps, i, 2),
                                      .points = (uint64_t)pg_i64(gaps, i, 3),
                                      .stored_us = pg_time(gaps, i, 4),
                                      .next = row->gaps};
        row->gaps = gap;
    }
}

static void
fill_row(struct arena *a, const PGresult *r, int i, struct historian_ledger_row *row)
{
    *row = (struct historian_ledger_row){
        .gateway = arena_strndup(a, pg_text(r, i, 1).p, pg_text(r, i, 1).len),
        .epoch = (uint64_t)pg_i64(r, i, 2),
        .lane = (unsigned)pg_i32(r, i, 3),
        .batches = (uint64_t)pg_i64(r, i, 4),
        .points = (uint64_t)pg_i64(r, i, 5),
        .duplicate_batches = (uint64_t)pg_i64(r, i, 6),
        .gap_points = (uint64_t)pg_i64(r, i, 7),
        .updated_us = pg_time(r, i, 8),
    };
}

static enum nx_err
read_lanes(struct pg_store *h, struct arena *a, struct historian_books *books, struct nx_note *why)
{
    PGresult *lanes, *ranges = NULL, *gaps = NULL;
    enum nx_err err = pg_select(&h->conn, lanes_sql, &lanes, why);

    if (err == NX_OK && (err = pg_select(&h->conn, ranges_sql, &ranges, why)) == NX_OK &&
        (err = pg_select(&h->conn, gaps_sql, &gaps, why)) == NX_OK) {
        books->n = (size_t)PQntuples(lanes);
        books->rows = arena_alloc(a, (books->n + 1) * sizeof *books->rows);
        for (size_t i = 0; i < books->n; i++) {
            fill_row(a, lanes, (int)i, &books->rows[i]);
            fill_ranges(ranges, pg_i32(lanes, (int)i, 0), &books->rows[i]);
            fill_gaps(a, gaps, pg_i32(lanes, (int)i, 0), &books->rows[i]);
        }
    }
    PQclear(lanes);
    PQclear(ranges);
    PQclear(gaps);
    return err;
}

static enum nx_err
read_one(struct pg_store *h, const char *sql, PGresult **out, struct nx_note *why)
{
    enum nx_err err = pg_select(&h->conn, sql, out, why);

    if (err == NX_OK && PQntuples(*out) != 1)
        err = nx_fail(why, NX_E_CORRUPT, "the store in %s lacks a row of its books", h->conn.shown);
    return err;
}

static enum nx_err
read_total(struct pg_store *h, struct historian_books *books, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err = read_one(h, total_sql, &r, why);

    if (err == NX_OK) {
        books->duplicate_points = (uint64_t)pg_i64(r, 0, 0);
        books->quarantined_points = (uint64_t)pg_i64(r, 0, 1);
    }
    PQclear(r);
    return err;
}

enum nx_err
pg_store_ledger(struct historian *base, struct arena *a, struct historian_books *books, struct nx_note *why)
{
    enum nx_err err = pg_store_begin(base, why);

    if (err != NX_OK)
        return err;
    err = read_lanes(pg_store_of(base), a, books, why);
    if (err == NX_OK)
        err = read_total(pg_store_of(base), books, why);
    pg_store_end(base);
    return err;
}

/* --- statistics --- */

static const char stats_sql[] =
    "WITH u AS (SELECT coalesce(sum(points), 0)::int8 AS points, min(t_min) AS t_min, max(t_max) AS t_max"
    "  FROM hist.ledger WHERE counted IS NULL),"
    " l AS (SELECT coalesce(sum(points), 0)::int8 AS points, min(t_min) AS t_min, max(t_max) AS t_max FROM hist.lane)"
    " SELECT (SELECT count(*) FROM hist.series), l.points + u.points - t.duplicate_points - t.quarantined_points -"
    " t.dropped_points, t.duplicate_points, t.quarantined_points, least(l.t_min, u.t_min), greatest(l.t_max, u.t_max)"
    " FROM u, l, hist.total t";
static const char bytes_plain[] =
    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8 FROM pg_class c JOIN pg_namespace s ON s.oid ="
    " c.relnamespace WHERE s.nspname = 'hist' AND c.relkind = 'r'";
static const char bytes_chunks[] =
    "SELECT (coalesce(sum(pg_total_relation_size(c.oid)), 0) + coalesce(public.hypertable_size('hist.raw'), 0) +"
    " coalesce(public.hypertable_size('hist.m1'), 0))::int8 FROM pg_class c JOIN pg_namespace s ON s.oid ="
    " c.relnamespace WHERE s.nspname = 'hist' AND c.relkind = 'r'";
static const char first_plain[] = "SELECT min(lo) FROM hist.partition WHERE parent = 'raw'";
static const char first_chunks[] = "SELECT min(range_start) FROM timescaledb_information.chunks WHERE hypertable_schema"
                                   " = 'hist' AND hypertable_name = 'raw'";

/* What the retention dropped is no longer first. */
static enum nx_err
read_first(struct pg_store *h, struct historian_stats *out, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err = read_one(h, h->tier == PG_TIER_PLAIN ? first_plain : first_chunks, &r, why);

    if (err == NX_OK && out->first_us != 0 && pg_time(r, 0, 0) > out->first_us)
        out->first_us = pg_time(r, 0, 0);
    PQclear(r);
    return err;
}

static enum nx_err
read_stats(struct pg_store *h, struct historian_stats *out, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err = read_one(h, stats_sql, &r, why);

    if (err == NX_OK) {
        out->series = (uint64_t)pg_i64(r, 0, 0);
        out->points = (uint64_t)pg_i64(r, 0, 1);
        out->duplicate_points = (uint64_t)pg_i64(r, 0, 2);
        out->quarantined_points = (uint64_t)pg_i64(r, 0, 3);
        out->first_us = pg_time(r, 0, 4);
        out->last_us = pg_time(r, 0, 5);
    }
    PQclear(r);
    if (err == NX_OK && (err = read_one(h, h->tier == PG_TIER_PLAIN ? bytes_plain : bytes_chunks, &r, why)) == NX_OK) {
        out->bytes = (uint64_t)pg_i64(r, 0, 0);
        PQclear(r);
        err = read_first(h, out, why);
    }
    return err;
}

enum nx_err
pg_store_stats(struct historian *base, struct historian_stats *out, struct nx_note *why)
{
    static const char *const names[] = {"postgres", "timescale-apache", "timescale"};
    enum nx_err err = pg_store_begin(base, why);

    if (err != NX_OK)
        return err;
    out->backend = names[pg_store_of(base)->tier];
    err = read_stats(pg_store_of(base), out, why);
    pg_store_end(base);
    return err;
}
