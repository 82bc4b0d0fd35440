/* schema.c -- the tables: made, migrated, recognised; partitions and chunks. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "historian/grid.h"
#include "historian/postgres/store.h"

struct migration {
    int version;
    const char *name;
    const char *sql;            /* every tier */
    const char *plain, *chunks; /* behind it: PostgreSQL alone; TimescaleDB */
    const char *tsl;            /* behind those: TimescaleDB with its own licence */
};

#define ROLLUP_COLUMNS                                                                                                 \
    "series_id int4 NOT NULL, n int4 NOT NULL, time timestamptz NOT NULL, sum float8, area float8, area_us int8,"      \
    " min float8, min_time timestamptz, max float8, max_time timestamptz, first float8, first_time timestamptz,"       \
    " last float8, last_time timestamptz, bad_time timestamptz, n_bad int4 NOT NULL, min_quality int4,"                \
    " max_quality int4, first_quality int4, last_quality int4, bad_quality int4, is_mixed bool NOT NULL"

/* raw.type is NULL where the value is a number of the series' data type (or there is none), raw.text where the number
 * says it all: a NULL takes no place in a row. */
static const struct migration migrations[] = {
    {1, "series, ledger, points, rollups",
     "CREATE TABLE hist.series(series_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
     " topic text COLLATE \"C\" NOT NULL UNIQUE, device_id text, tag_id text, unit text, data_type int2 NOT NULL,"
     " created timestamptz NOT NULL DEFAULT now());"
     "CREATE TABLE hist.lane(lane_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gateway text COLLATE \"C\" NOT "
     "NULL,"
     " epoch int8 NOT NULL, lane int4 NOT NULL, batches int8 NOT NULL DEFAULT 0, points int8 NOT NULL DEFAULT 0,"
     " duplicate_batches int8 NOT NULL DEFAULT 0, t_min timestamptz, t_max timestamptz,"
     " updated timestamptz, UNIQUE(gateway, epoch, lane));"
     "CREATE TABLE hist.ledger(lane_id int4 NOT NULL, points int4 NOT NULL, seq int8 NOT NULL, t_min timestamptz,"
     " t_max timestamptz, stored timestamptz NOT NULL, counted timestamptz, PRIMARY KEY(lane_id, seq))"
     " WITH (fillfactor = 70);"
     "CREATE TABLE hist.ledger_range(lane_id int4 NOT NULL, from_seq int8 NOT NULL, to_seq int8 NOT NULL,"
     " PRIMARY KEY(lane_id, from_seq));"
     "CREATE TABLE hist.gap(gap_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lane_id int4 NOT NULL,"
     " from_seq int8 NOT NULL, to_seq int8 NOT NULL, points int8 NOT NULL, from_time timestamptz, to_time timestamptz,"
     " cause text NOT NULL, stored timestamptz NOT NULL);"
     "CREATE INDEX gap_lane ON hist.gap(lane_id);"
     "CREATE TABLE hist.quarantine(id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL,"
     " time_us int8 NOT NULL, quality int4 NOT NULL, value text, reason text NOT NULL, stored timestamptz NOT NULL);"
     "CREATE TABLE hist.total(one bool PRIMARY KEY DEFAULT true CHECK(one), duplicate_points int8 NOT NULL DEFAULT 0,"
     " quarantined_points int8 NOT NULL DEFAULT 0, dropped_points int8 NOT NULL DEFAULT 0);"
     "INSERT INTO hist.total DEFAULT VALUES;"
     "CREATE TABLE hist.dirty(series_id int4 NOT NULL, is_taken bool NOT NULL DEFAULT false, hour timestamptz NOT NULL,"
     " marked timestamptz NOT NULL DEFAULT now());"
     "CREATE INDEX dirty_key ON hist.dirty(series_id, hour);"
     "CREATE TABLE hist.h1(" ROLLUP_COLUMNS ", PRIMARY KEY(series_id, time));"
     "CREATE TABLE hist.d1(" ROLLUP_COLUMNS ", PRIMARY KEY(series_id, time));",

     "CREATE TABLE hist.raw(series_id int4 NOT NULL, quality int4 NOT NULL, time timestamptz NOT NULL, value float8,"
     " type int2, text text) PARTITION BY RANGE(time);"
     "CREATE UNIQUE INDEX raw_key ON hist.raw(series_id, time);"
     "CREATE INDEX raw_time ON hist.raw USING brin(time) WITH (autosummarize = on);"
     "CREATE TABLE hist.m1(" ROLLUP_COLUMNS ") PARTITION BY RANGE(time);"
     "CREATE UNIQUE INDEX m1_key ON hist.m1(series_id, time);"
     "CREATE VIEW hist.partition AS SELECT p.relname AS parent, c.relname AS name, i.inhdetachpending AS is_leaving,"
     " c.reltuples AS about_rows,"
     " substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \\(''([^'']+)''\\)')::timestamptz AS lo,"
     " substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''\\)')::timestamptz AS hi"
     " FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid"
     " JOIN pg_namespace s ON s.oid = p.relnamespace"
     " WHERE s.nspname = 'hist' AND p.relkind = 'p' AND c.relkind = 'r';"
     /* A table of its own first, then attached: writers and readers of the others go on meanwhile. */
     "CREATE FUNCTION hist.make_partition(table_name text, t timestamptz, width interval) RETURNS bool LANGUAGE plpgsql"
     " SET timezone = 'UTC' AS $$"
     " DECLARE from_time timestamptz; to_time timestamptz; part text;"
     " BEGIN"
     "  PERFORM pg_advisory_xact_lock(" PG_LOCKS ", " PG_LOCK_PARTITION ");"
     "  IF EXISTS (SELECT FROM hist.partition p WHERE p.parent = table_name AND p.lo <= t AND t < p.hi) THEN"
     "   RETURN false;"
     "  END IF;"
     "  from_time := date_bin(width, t, '2000-01-03 00:00+00'); to_time := from_time + width;"
     "  SELECT greatest(from_time, max(p.hi)) INTO from_time FROM hist.partition p WHERE p.parent = table_name AND "
     "p.hi <= t;"
     "  SELECT least(to_time, min(p.lo)) INTO to_time FROM hist.partition p WHERE p.parent = table_name AND p.lo > t;"
     "  part := table_name || to_char(from_time, '_YYYYMMDD_HH24MISS');"
     /* It is there when it was let go and not dropped: then it comes back with what it holds. */
     "  IF to_regclass(format('hist.%I', part)) IS NULL THEN"
     "   EXECUTE format('CREATE TABLE hist.%I (LIKE hist.%I INCLUDING ALL)', part, table_name);"
     "  END IF;"
     "  EXECUTE format('ALTER TABLE hist.%I ATTACH PARTITION hist.%I FOR VALUES FROM (%L) TO (%L)', table_name, part,"
     "   from_time, to_time);"
     "  RETURN true;"
     " END $$;",

     "CREATE TABLE hist.raw(series_id int4 NOT NULL, quality int4 NOT NULL, time timestamptz NOT NULL, value float8,"
     " type int2, text text);"
     "SELECT public.create_hypertable('hist.raw', public.by_range('time', INTERVAL '1 day'),"
     " create_default_indexes => false);"
     "CREATE UNIQUE INDEX raw_key ON hist.raw(series_id, time);"
     "CREATE TABLE hist.m1(" ROLLUP_COLUMNS ");"
     "SELECT public.create_hypertable('hist.m1', public.by_range('time', INTERVAL '7 days'),"
     " create_default_indexes => false);"
     "CREATE UNIQUE INDEX m1_key ON hist.m1(series_id, time);",

     "ALTER TABLE hist.raw SET (timescaledb.compress, timescaledb.compress_segmentby = 'series_id',"
     " timescaledb.compress_orderby = 'time');"
     "ALTER TABLE hist.m1 SET (timescaledb.compress, timescaledb.compress_segmentby = 'series_id',"
     " timescaledb.compress_orderby = 'time');"
     "SELECT public.add_compression_policy('hist.raw', INTERVAL '24 hours');"
     "SELECT public.add_compression_policy('hist.m1', INTERVAL '14 days');"},
    {2, "the view metrics",
     "CREATE VIEW hist.metrics AS SELECT r.time, s.topic, r.value,"
     " CASE WHEN coalesce(r.type, s.data_type) = 5 THEN r.text END AS value_str, r.quality"
     " FROM hist.raw r JOIN hist.series s USING (series_id);"
     "DO $$ BEGIN IF to_regclass('public.metrics') IS NULL THEN"
     " CREATE VIEW public.metrics AS SELECT * FROM hist.metrics; END IF;"
     " EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;",
     "", "", ""},
};

#define NEWEST migrations[MEM_COUNT(migrations) - 1].version

/* --- the version --- */

/* From the catalog itself: to_regclass() may answer from a memory that is older than the lock we waited for. */
static const char version_exists[] =
    "SELECT EXISTS(SELECT FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace"
    " WHERE s.nspname = 'hist' AND c.relname = 'migration')";

/* -1: there is no store. */
static enum nx_err
read_version(struct pg_store *h, int *version, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err = pg_select(&h->conn, version_exists, &r, why);
    bool exists = err == NX_OK && pg_bool(r, 0, 0);

    *version = -1;
    PQclear(r);
    if (err != NX_OK || !exists)
        return err;
    err = pg_select(&h->conn, "SELECT coalesce(max(version), 0)::int4 FROM hist.migration", &r, why);
    if (err == NX_OK)
        *version = pg_i32(r, 0, 0);
    PQclear(r);
    return err;
}

static enum nx_err
check_version(const struct pg_store *h, int version, struct nx_note *why)
{
    if (version > NEWEST)
        return nx_fail(why, NX_E_UNSUPPORTED,
                       "the store in %s has schema %d, but this program knows only up to %d: it was used by a newer"
                       " version; install that version again or restore a backup made before the upgrade",
                       h->conn.shown, version, NEWEST);
    if (version < NEWEST && h->role == HISTORIAN_READER)
        return nx_fail(why, NX_E_NOT_FOUND,
                       version < 0 ? "%s has no store yet: nothing was stored, or historian.url names another database"
                                   : "the store in %s has an older schema: start ingestion, which updates it",
                       h->conn.shown);
    return NX_OK;
}

/* --- the tier --- */

/* The store stays what it was made as, whatever is installed later. */
static enum nx_err
read_state(struct pg_store *h, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err = pg_select(&h->conn,
                                "SELECT is_timescale, chunk_us, coalesce(current_setting('timescaledb.license', true),"
                                " '') = 'timescale' FROM hist.state",
                                &r, why);

    if (err == NX_OK && PQntuples(r) == 1) {
        h->tier = !pg_bool(r, 0, 0) ? PG_TIER_PLAIN : pg_bool(r, 0, 2) ? PG_TIER_TSL : PG_TIER_APACHE;
        h->chunk_us = pg_i64(r, 0, 1);
    } else if (err == NX_OK) {
        err = nx_fail(why, NX_E_CORRUPT, "the store in %s has no row in hist.state", h->conn.shown);
    }
    PQclear(r);
    return err;
}

/* What the server offers for a store that is about to be made. A plain user may not read shared_preload_libraries; that
 * the library is loaded shows in a setting of its own. */
static enum nx_err
find_tier(struct pg_store *h, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err = pg_select(&h->conn,
                                "SELECT EXISTS(SELECT FROM pg_extension WHERE extname = 'timescaledb'),"
                                " coalesce(current_setting('timescaledb.license', true), '') = 'timescale',"
                                " EXISTS(SELECT FROM pg_settings WHERE name LIKE 'timescaledb.%')",
                                &r, why);

    if (err != NX_OK)
        return err;
    if (!pg_bool(r, 0, 0) && pg_bool(r, 0, 2)) {
        PQclear(r);
        err = pg_exec(&h->conn, "CREATE EXTENSION timescaledb SCHEMA public", why);
        return err == NX_OK ? find_tier(h, why) : err;
    }
    h->tier = !pg_bool(r, 0, 0) ? PG_TIER_PLAIN : pg_bool(r, 0, 1) ? PG_TIER_TSL : PG_TIER_APACHE;
    PQclear(r);
    return NX_OK;
}

/* --- migrating --- */

static enum nx_err
make_base(struct pg_store *h, struct nx_note *why)
{
    int64_t now = h->wall_us(), chunk = h->want_chunk_us ? h->want_chunk_us : PG_DAY_US;
    char minute[PG_TIME_CAP], hour[PG_TIME_CAP], day[PG_TIME_CAP];
    enum nx_err err = find_tier(h, why);
    char *sql = mem_printf(
        "CREATE SCHEMA IF NOT EXISTS hist;"
        "CREATE TABLE hist.migration(version int4 PRIMARY KEY, name text NOT NULL, applied timestamptz NOT NULL"
        " DEFAULT now());"
        "CREATE TABLE hist.state(one bool PRIMARY KEY DEFAULT true CHECK(one), is_timescale bool NOT NULL,"
        " chunk_us int8 NOT NULL, watermark timestamptz NOT NULL, rolled_m timestamptz NOT NULL,"
        " rolled_h timestamptz NOT NULL, rolled_d timestamptz NOT NULL, takes int8 NOT NULL DEFAULT 0);"
        "INSERT INTO hist.state VALUES(true, %s, %lld, %s, %s, %s, %s)",
        h->tier == PG_TIER_PLAIN ? "false" : "true", (long long)chunk,
        pg_literal(grid_floor(now, PG_MINUTE_US), minute), minute, pg_literal(grid_floor(now, PG_HOUR_US), hour),
        pg_literal(grid_floor(now, PG_DAY_US), day));

    if (err == NX_OK)
        err = pg_exec(&h->conn, sql, why);
    free(sql);
    return err;
}

static enum nx_err
take_step(struct pg_store *h, const struct migration *m, struct nx_note *why)
{
    bool plain = h->tier == PG_TIER_PLAIN;
    char *sql = mem_printf("%s%s%s INSERT INTO hist.migration(version, name) VALUES(%d, '%s')", m->sql,
                           plain ? m->plain : m->chunks, h->tier == PG_TIER_TSL ? m->tsl : "", m->version, m->name);
    enum nx_err err = pg_exec(&h->conn, sql, why);

    free(sql);
    return err;
}

/* Two that start together: the second waits for the lock, and finds the work done. */
static enum nx_err
migrate_locked(struct pg_store *h, struct nx_note *why)
{
    int version;
    enum nx_err err = pg_exec(&h->conn, "BEGIN; SELECT pg_advisory_xact_lock(" PG_LOCKS ", " PG_LOCK_MIGRATE ")", why);

    if (err == NX_OK)
        err = read_version(h, &version, why);
    if (err == NX_OK)
        err = check_version(h, version, why);
    if (err == NX_OK)
        err = version < 0 ? make_base(h, why) : read_state(h, why);
    for (size_t i = 0; err == NX_OK && i < MEM_COUNT(migrations); i++)
        if (migrations[i].version > version)
            err = take_step(h, &migrations[i], why);
    return err == NX_OK ? pg_exec(&h->conn, "COMMIT", why) : err;
}

enum nx_err
pg_schema_ready(struct pg_store *h, struct nx_note *why)
{
    int version = -1;
    enum nx_err err = read_version(h, &version, why);

    if (err == NX_OK)
        err = check_version(h, version, why);
    if (err == NX_OK && version < NEWEST && (err = migrate_locked(h, why)) != NX_OK)
        pg_rollback(&h->conn);
    if (err == NX_OK && (err = read_state(h, why)) == NX_OK && h->tier != PG_TIER_PLAIN &&
        pg_exec(&h->conn, "SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0", NULL) != NX_OK)
        pg_rollback(&h->conn); /* an older TimescaleDB has no such limit */
    return err;
}

/* --- partitions --- */

enum nx_err
pg_schema_partition(struct pg_store *h, const char *table, int64_t time_us, struct nx_note *why)
{
    int64_t width_us = strcmp(table, "raw") == 0 ? h->chunk_us : 7 * PG_DAY_US;
    char sql[256], t[PG_TIME_CAP];

    if (h->tier != PG_TIER_PLAIN)
        return NX_OK;
    (void)snprintf(sql, sizeof sql, "SELECT hist.make_partition('%s', %s, %lld * INTERVAL '1 microsecond')", table,
                   pg_literal(time_us, t), (long long)width_us);
    return pg_exec(&h->conn, sql, why);
}

/* A partition is let go while others read and write, then dropped. Cut short in between, it is found again. how: NULL
 * when it was let go already. */
static enum nx_err
drop_partition(struct pg_store *h, const char *table, const char *name, const char *how, struct nx_note *why)
{
    char *sql = mem_printf("ALTER TABLE hist.%s DETACH PARTITION hist.%s %s", table, name, how ? how : "");
    enum nx_err err = how ? pg_exec(&h->conn, sql, why) : NX_OK;

    free(sql);
    if (err != NX_OK)
        return err;
    sql = mem_printf("DROP TABLE hist.%s", name);
    err = pg_exec(&h->conn, sql, why);
    free(sql);
    return err;
}

#define COUNT_MOST 5000000

/* The answer of a statement that counts rows, as long as that takes little time; else, and where about says that they
 * are many, about is good enough: nothing stays for ever because it cannot be counted. */
static enum nx_err
count_rows(struct pg_store *h, const char *sql, int64_t about, uint64_t *points, struct nx_note *why)
{
    PGresult *r = NULL;
    enum nx_err err;

    *points = (uint64_t)about;
    if (about > COUNT_MOST)
        return NX_OK;
    if ((err = pg_exec(&h->conn, "BEGIN; SET LOCAL statement_timeout = '10s'", why)) != NX_OK)
        return err;
    if ((err = pg_select(&h->conn, sql, &r, why)) == NX_OK)
        *points = (uint64_t)pg_i64(r, 0, 0);
    PQclear(r);
    pg_rollback(&h->conn);
    return err == NX_E_BUSY && pg_is_connected(&h->conn) ? NX_OK : err;
}

static enum nx_err
count_points(struct pg_store *h, const char *name, int64_t about, uint64_t *points, struct nx_note *why)
{
    char *sql = mem_printf("SELECT count(*) FROM hist.%s", name);
    enum nx_err err = count_rows(h, sql, about, points, why);

    free(sql);
    return err;
}

/* Counted only once it is gone: the drop may fail (a dump holds the table) and is tried again. */
static enum nx_err
count_and_drop(struct pg_store *h, const char *table, const PGresult *r, int i, uint64_t *points, struct nx_note *why)
{
    char *name = mem_strndup(pg_text(r, i, 0).p, pg_text(r, i, 0).len);
    const char *how = pg_is_null(r, i, 1) ? NULL : pg_bool(r, i, 1) ? "FINALIZE" : "CONCURRENTLY";
    int64_t about = pg_i64(r, i, 2);
    uint64_t n = 0;
    enum nx_err err = points ? count_points(h, name, about, &n, why) : NX_OK;

    if (err == NX_OK && (err = drop_partition(h, table, name, how, why)) == NX_OK && points)
        *points += n;
    free(name);
    return err;
}

/* Tables of our names that belong to nothing were let go by one that ended before it dropped them. Where nobody has
 * counted rows yet (-1), the size tells about how many they are. */
static enum nx_err
drop_plain(struct pg_store *h, const char *table, int64_t before_us, uint64_t *points, struct nx_note *why)
{
    char t[PG_TIME_CAP];
    char *sql =
        mem_printf("SELECT name, is_leaving, CASE WHEN rows < 0 THEN pg_relation_size(('hist.' || name)::regclass) / 64"
                   " ELSE rows END::int8 FROM (SELECT name::text, is_leaving, about_rows, lo FROM hist.partition"
                   " WHERE parent = '%s' AND hi <= %s UNION ALL SELECT c.relname::text, NULL, c.reltuples, NULL"
                   " FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace WHERE s.nspname = 'hist'"
                   " AND c.relkind = 'r' AND c.relname ~ '^%s_[0-9]{8}_[0-9]{6}$'"
                   " AND right(c.relname, 15) < to_char(%s::timestamptz, 'YYYYMMDD_HH24MISS')"
                   " AND NOT EXISTS(SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid))"
                   " AS old(name, is_leaving, rows, lo) ORDER BY lo NULLS FIRST",
                   table, pg_literal(before_us, t), table, t);
    PGresult *r;
    enum nx_err err = pg_select(&h->conn, sql, &r, why);

    free(sql);
    for (int i = 0; err == NX_OK && i < PQntuples(r); i++)
        err = count_and_drop(h, table, r, i, points, why);
    PQclear(r);
    return err;
}

/* Chunks that end before a time: how many, and about how many rows they hold. */
static enum nx_err
look_at_chunks(struct pg_store *h, const char *table, const char *before, int64_t *chunks, int64_t *about,
               struct nx_note *why)
{
    char *sql = mem_printf("SELECT count(*), coalesce(sum(public.approximate_row_count(format('%%I.%%I', chunk_schema,"
                           " chunk_name)::regclass)), 0)::int8 FROM timescaledb_information.chunks WHERE"
                           " hypertable_schema = 'hist' AND hypertable_name = '%s' AND range_end <= %s",
                           table, before);
    PGresult *r;
    enum nx_err err = pg_select(&h->conn, sql, &r, why);

    free(sql);
    if (err == NX_OK) {
        *chunks = pg_i64(r, 0, 0);
        *about = pg_i64(r, 0, 1);
    }
    PQclear(r);
    return err;
}

static enum nx_err
count_in_chunks(struct pg_store *h, const char *table, const char *before, int64_t about, uint64_t *points,
                struct nx_note *why)
{
    char *sql = mem_printf("SELECT count(*) FROM hist.%s WHERE time < (SELECT max(range_end) FROM"
                           " timescaledb_information.chunks WHERE hypertable_schema = 'hist' AND hypertable_name = '%s'"
                           " AND range_end <= %s)",
                           table, table, before);
    enum nx_err err = count_rows(h, sql, about, points, why);

    free(sql);
    return err;
}

static enum nx_err
drop_chunks(struct pg_store *h, const char *table, int64_t before_us, uint64_t *points, struct nx_note *why)
{
    char t[PG_TIME_CAP], *sql;
    int64_t chunks = 0, about = 0;
    uint64_t n = 0;
    enum nx_err err = look_at_chunks(h, table, pg_literal(before_us, t), &chunks, &about, why);

    if (err != NX_OK || chunks == 0)
        return err;
    if (points && (err = count_in_chunks(h, table, t, about, &n, why)) != NX_OK)
        return err;
    sql = mem_printf("SELECT public.drop_chunks('hist.%s', older_than => %s::timestamptz)", table, t);
    err = pg_exec(&h->conn, sql, why);
    free(sql);
    if (err == NX_OK && points)
        *points += n;
    return err;
}

enum nx_err
pg_schema_drop(struct pg_store *h, const char *table, int64_t before_us, uint64_t *points, struct nx_note *why)
{
    return h->tier == PG_TIER_PLAIN ? drop_plain(h, table, before_us, points, why)
                                    : drop_chunks(h, table, before_us, points, why);
}
