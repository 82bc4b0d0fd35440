/* keep.c -- upkeep: partitions ahead, rollups, compaction of the ledger, retention. One of all processes does it at a
 * time: whoever holds the lock. */
#include <time.h>

#include "base/mem.h"
#include "historian/postgres/store.h"

#define LOOK_MS       1000
#define OTHERS_MS     5000 /* somebody else does it */
#define STEP_MS       2000
#define AHEAD         3
#define PARTITIONS_US (600 * INT64_C(1000000))
#define BOOKS_US      (60 * INT64_C(1000000))
#define EXPIRE_US     (600 * INT64_C(1000000))
#define EXPIRE_LAG_US (2 * PG_HOUR_US) /* what was just accepted is not dropped at once */

static int64_t
monotonic_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool
is_due(int64_t *last_us, int64_t now_us, int64_t every_us, bool all)
{
    if (!all && *last_us != 0 && now_us >= *last_us && now_us - *last_us < every_us)
        return false;
    *last_us = now_us;
    return true;
}

static enum nx_err
make_partitions(struct pg_store *h, int64_t now_us, struct nx_note *why)
{
    enum nx_err err = pg_schema_partition(h, "m1", now_us, why);

    if (err == NX_OK)
        err = pg_schema_partition(h, "m1", now_us + 7 * PG_DAY_US, why);
    for (int i = 0; i < AHEAD && err == NX_OK; i++)
        err = pg_schema_partition(h, "raw", now_us + i * h->chunk_us, why);
    return err;
}

static enum nx_err
drop_expired(struct pg_store *h, const char *table, uint32_t days, int64_t now_us, uint64_t *points,
             struct nx_note *why)
{
    if (days == 0)
        return NX_OK;
    return pg_schema_drop(h, table, now_us - days * PG_DAY_US - EXPIRE_LAG_US, points, why);
}

static const struct pg_stmt count_dropped = {"count_dropped",
                                             "UPDATE hist.total SET dropped_points = dropped_points + $1::int8"};

static enum nx_err
expire(struct pg_store *h, int64_t now_us, struct nx_note *why)
{
    struct pg_args args = pg_args_init();
    PGresult *r = NULL;
    uint64_t points = 0;
    enum nx_err err = drop_expired(h, "raw", h->retention_days, now_us, &points, why), counted = NX_OK;

    if (points > 0) {
        pg_arg_i64(&args, (int64_t)points);
        counted = pg_run(&h->conn, &count_dropped, &args, &r, err == NX_OK ? why : NULL);
        PQclear(r);
    }
    pg_args_free(&args);
    err = err == NX_OK ? counted : err;
    return err == NX_OK ? drop_expired(h, "m1", h->rollup_retention_days, now_us, NULL, why) : err;
}

static enum nx_err
roll(struct pg_store *h, int64_t now_us, bool all, struct nx_note *why)
{
    int64_t end_ms = monotonic_ms() + STEP_MS;
    bool did = true;
    enum nx_err err = NX_OK;

    while (did && err == NX_OK && (all || monotonic_ms() < end_ms))
        err = pg_roll_step(h, now_us, all, &did, why);
    return err;
}

/* Rollups last: when they fail (a commit hangs), the rest is done. They go on when nothing can be dropped (a dump holds
 * the tables): that is tried again when it is due. */
static enum nx_err
step(struct pg_store *h, bool all, struct nx_note *why)
{
    int64_t now_us = h->wall_us();
    enum nx_err err = NX_OK, expired = NX_OK;

    if (is_due(&h->keep.partitions_us, now_us, PARTITIONS_US, all))
        err = make_partitions(h, now_us, why);
    if (err == NX_OK && is_due(&h->keep.books_us, now_us, BOOKS_US, all))
        err = pg_books_compact(h, why);
    if (err == NX_OK && is_due(&h->keep.expire_us, now_us, EXPIRE_US, all))
        expired = expire(h, now_us, why);
    if (expired != NX_OK)
        pg_rollback(&h->conn);
    if (err == NX_OK && pg_is_connected(&h->conn))
        err = roll(h, now_us, all, expired == NX_OK ? why : NULL);
    return expired != NX_OK ? expired : err;
}

static enum nx_err
take_lock(struct pg_store *h, bool wait, bool *has_lock, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err;

    *has_lock = wait;
    if (wait)
        return pg_exec(&h->conn, "SELECT pg_advisory_lock(" PG_LOCKS ", " PG_LOCK_KEEPER ")", why);
    err = pg_select(&h->conn, "SELECT pg_try_advisory_lock(" PG_LOCKS ", " PG_LOCK_KEEPER ")", &r, why);
    *has_lock = err == NX_OK && pg_bool(r, 0, 0);
    PQclear(r);
    return err;
}

static enum nx_err
keep(struct pg_store *h, bool all, struct nx_note *why)
{
    bool has_lock = false;
    enum nx_err err = pg_store_ready(h, why);

    if (err != NX_OK || (err = take_lock(h, all, &has_lock, why)) != NX_OK)
        return err;
    if (!has_lock) {
        h->keep.next_ms = monotonic_ms() + OTHERS_MS;
        return NX_OK;
    }
    if ((err = step(h, all, why)) != NX_OK) {
        pg_rollback(&h->conn);
        h->keep.partitions_us = h->keep.books_us = 0;
    }
    if (pg_is_connected(&h->conn) &&
        pg_exec(&h->conn, "SELECT pg_advisory_unlock(" PG_LOCKS ", " PG_LOCK_KEEPER ")", NULL) != NX_OK)
        pg_disconnect(&h->conn);
    return err;
}

enum nx_err
pg_store_maintain(struct historian *base, struct nx_note *why)
{
    struct pg_store *h = pg_store_of(base);

    if (monotonic_ms() < h->keep.next_ms)
        return NX_OK;
    h->keep.next_ms = monotonic_ms() + LOOK_MS;
    return keep(h, false, why);
}

enum nx_err
pg_store_seal(struct historian *base, struct nx_note *why)
{
    return keep(pg_store_of(base), true, why);
}
