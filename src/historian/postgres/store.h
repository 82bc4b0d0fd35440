/* store.h -- the PostgreSQL historian between its own files: store.c (life), schema.c (tables, tiers, partitions),
 * dict.c (series and lanes in memory), stage.c (points in the order of the key), commit.c (write path), books.c
 * (ledger, statistics), keep.c (upkeep), roll.c (rollups), scan.c (reading).
 *
 * Tables, keys and locks: docs/formats/historian-postgres.md, the reasons: ADR 17. */
#ifndef HISTORIAN_POSTGRES_STORE_H
#define HISTORIAN_POSTGRES_STORE_H

#include "historian/backend.h"
#include "historian/postgres/pg.h"
#include "historian/sqlite/seqset.h"

#include <uthash.h>

#define PG_MINUTE_US (60 * INT64_C(1000000))
#define PG_HOUR_US   (60 * PG_MINUTE_US)
#define PG_DAY_US    (24 * PG_HOUR_US)

/* Keys of advisory locks: pg_advisory_lock(PG_LOCKS, one of these). */
#define PG_LOCKS          "1313359944" /* "NXHH" */
#define PG_LOCK_MIGRATE   "1"
#define PG_LOCK_COMMIT    "2" /* shared by every commit; exclusive where the watermark moves */
#define PG_LOCK_KEEPER    "3" /* who does the upkeep */
#define PG_LOCK_PARTITION "4"

enum pg_tier { PG_TIER_PLAIN, PG_TIER_APACHE, PG_TIER_TSL };

/* A series of the dictionary; key is the topic. */
struct pg_series {
    UT_hash_handle hh;
    int32_t id;
    uint8_t data_type;
    uint32_t count, start; /* of the commit under way: points, and where they begin */
    int64_t dirty_us;      /* the hour that this writer marked as dirty last, while hist.state.takes was dirty_takes */
    int64_t dirty_takes;
    struct pg_series *next; /* that came behind it in the batch before; NULL: not known */
    char *unit;             /* NULL: "" */
    size_t topic_len;
    char topic[];
};

/* A stream of numbered batches. */
struct pg_lane {
    UT_hash_handle hh;
    struct lane_key key;
    int32_t id;          /* 0: not known yet */
    struct seqset done;  /* what the last commit proved to be in the ledger */
    uint32_t duplicates; /* of the commit under way */
};

#define PG_KEEP_PAUSE_MS 5000 /* after a commit that hung */

struct pg_keep {
    int64_t next_ms;                            /* no look at anything before this (monotonic) */
    int64_t partitions_us, books_us, expire_us; /* when they were done last (wall clock) */
};

struct pg_store {
    struct historian base; /* first */
    struct pg_conn conn;
    enum historian_role role;
    uint32_t retention_days, rollup_retention_days;
    bool use_insert;
    int64_t (*wall_us)(void);
    int64_t want_chunk_us; /* width of new partitions as configured; 0: as the store has it */
    /* known once the schema was looked at */
    bool is_ready;
    enum pg_tier tier;
    int64_t chunk_us;

    /* writer only */
    struct pg_series *series; /* by topic; forgotten with the connection */
    struct pg_lane *lanes;
    struct pg_stage *stage;
    bool expects_duplicates; /* the last commit had some: do not try COPY first */
    struct pg_keep keep;
};

static inline struct pg_store *
pg_store_of(struct historian *base)
{
    return (struct pg_store *)base;
}

/* --- store.c --- */
/* Connects and looks at the schema when that was not done on this connection. */
enum nx_err pg_store_ready(struct pg_store *h, struct nx_note *why);

/* --- schema.c --- */
/* Makes or updates the tables (writers, keepers) or checks them (readers: NX_E_NOT_FOUND when there are none); finds
 * the tier. NX_E_UNSUPPORTED for a store of a newer program. */
enum nx_err pg_schema_ready(struct pg_store *h, struct nx_note *why);
/* Makes the partition of "raw" or "m1" that a time falls into. Nothing to do on TimescaleDB. */
enum nx_err pg_schema_partition(struct pg_store *h, const char *table, int64_t time_us, struct nx_note *why);
/* Drops what lies wholly before a time; adds to *points about how many rows that were, unless it is NULL. */
enum nx_err pg_schema_drop(struct pg_store *h, const char *table, int64_t before_us, uint64_t *points,
                           struct nx_note *why);

/* --- dict.c --- */
/* Entries for every series of the batches, in h->stage->map; new ones are written in a transaction of their own. */
enum nx_err pg_dict_resolve(struct pg_store *h, const struct batch *batches, size_t n, struct nx_note *why);
enum nx_err pg_lanes_resolve(struct pg_store *h, const struct batch *batches, size_t n, struct nx_note *why);
struct pg_lane *pg_lane_find(const struct pg_store *h, const struct batch_header *hdr);
void pg_dict_forget(struct pg_store *h);
/* Text that PostgreSQL takes: bytes that are not UTF-8, and NUL, become U+FFFD; at most max bytes. In w. */
struct slice pg_clean_text(struct wbuf *w, struct slice text, size_t max);
bool pg_text_is_clean(struct slice text);

/* --- stage.c --- */
/* Points of one series: [first, first + count) of pg_stage.points. */
struct pg_run_of {
    int32_t series_id;
    uint8_t data_type; /* of the series */
    size_t first, count;
};
struct pg_quarantined {
    const struct point *point;
    const struct pg_series *series;
    const char *reason;
};
/* Grows to the largest commit seen and is used again. */
struct pg_stage {
    struct pg_series **touched;
    size_t touched_count, touched_cap;
    struct pg_series **map; /* the series of the first batch, then those of the second, ... */
    size_t map_cap;
    struct point *points; /* by series, then time; without duplicates */
    size_t point_count, point_cap;
    struct pg_run_of *runs;
    size_t run_count, run_cap;
    struct pg_quarantined *quarantined;
    size_t quarantined_count, quarantined_cap;
    uint64_t duplicates;
    int64_t newest_us;
    struct wbuf rows, text;
    struct pg_args args;
};
struct pg_stage *pg_stage_new(void);
void pg_stage_free(struct pg_stage **s);
/* The points of those batches that is_fresh says so of; pg_dict_resolve() was told of all of them. */
void pg_stage_points(struct pg_store *h, const struct batch *batches, const bool *is_fresh, size_t n, int64_t now_us);
/* The staged points as COPY rows in s->rows, or as arguments of an INSERT in s->args. */
void pg_stage_copy(struct pg_stage *s);
void pg_stage_arrays(struct pg_stage *s);

/* A number that is kept as text, too, because a double does not hold it exactly. */
bool pg_needs_text(const struct nx_value *v);

/* --- roll.c --- */
/* Moves the watermark and rolls up what is closed and what came late; *did: there may be more to do. */
enum nx_err pg_roll_step(struct pg_store *h, int64_t now_us, bool all, bool *did, struct nx_note *why);

/* --- books.c --- */
/* Counts what came since, joins stretches, drops single rows that nobody needs any more. */
enum nx_err pg_books_compact(struct pg_store *h, struct nx_note *why);

/* --- struct historian_backend --- */
enum nx_err pg_store_commit(struct historian *base, const struct batch *batches, size_t n,
                            struct historian_commit_result *result, struct nx_note *why);
bool pg_store_is_committed(const struct historian *base, const struct batch_header *hdr, struct batch_range *range);
enum nx_err pg_store_maintain(struct historian *base, struct nx_note *why);
enum nx_err pg_store_seal(struct historian *base, struct nx_note *why);
enum nx_err pg_store_ledger(struct historian *base, struct arena *a, struct historian_books *books,
                            struct nx_note *why);
enum nx_err pg_store_stats(struct historian *base, struct historian_stats *out, struct nx_note *why);
enum nx_err pg_store_begin(struct historian *base, struct nx_note *why);
void pg_store_end(struct historian *base);
enum nx_err pg_store_find(struct historian *base, const char *topic, struct arena *a, struct history_series *out,
                          struct nx_note *why);
enum nx_err pg_store_each_series(struct historian *base, history_series_cb *each, void *arg, struct nx_note *why);
enum nx_err pg_store_scan(struct historian *base, const struct history_series *s, int64_t from_us, int64_t to_us,
                          enum history_level level, const struct history_sink *sink, struct nx_note *why);
enum nx_err pg_store_before(struct historian *base, const struct history_series *s, int64_t time_us, struct arena *a,
                            struct history_row *out, struct nx_note *why);

#endif
