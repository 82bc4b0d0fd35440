/* historian_priv.h -- the SQLite historian between its own files: historian.c (life, dictionary, ledger), commit.c
 * (write path), seal.c (hot blocks to day files), query.c (reading). */
#ifndef HISTORIAN_HISTORIAN_PRIV_H
#define HISTORIAN_HISTORIAN_PRIV_H

#include "db/db.h"
#include "historian/historian.h"
#include "historian/seqset.h"

#include <uthash.h>

#define DAY_US (86400 * INT64_C(1000000))

/* A series of the dictionary; key is the topic. */
struct hist_series {
    UT_hash_handle hh;
    uint32_t sid;
    bool is_new;           /* its row is part of the transaction under way */
    uint32_t count, start; /* of the commit under way: points, and where they begin */
    char *unit;
    size_t topic_len;
    char topic[];
};

struct hist_lane_key {
    uint64_t epoch;
    uint32_t lane;
    uint32_t gateway_len;
    char gateway[64];
};

/* A stream of numbered batches. The key's unused bytes are zero. */
struct hist_lane {
    UT_hash_handle hh;
    struct hist_lane_key key;
    int64_t lane_id;
    bool is_new;
    struct seqset done;    /* committed */
    struct seqset pending; /* done and what the transaction under way adds */
    bool is_touched;
    uint64_t add_batches, add_points, add_duplicates, add_gap_points;
};

struct historian {
    char *dir;
    struct db *db; /* hist.db */
    bool is_read_only;
    uint32_t retention_days;
    int64_t (*wall_us)(void);
    int lock_fd;

    /* writer only */
    struct hist_series *series; /* by topic */
    uint32_t next_sid;
    struct hist_lane *lanes;
    int64_t next_lane_id;
    uint64_t hot_points, hot_bytes;
    int64_t hot_since_us;  /* commit time of the oldest hot block; 0: none */
    int64_t expired_at_us; /* last look at the retention */
    struct commit_scratch *scratch;
};

enum nx_err day_open(const struct historian *h, int day, bool is_read_only, struct db **out, struct nx_note *why);
/* Days that have a file, ascending, in a. */
enum nx_err day_list(const struct historian *h, struct arena *a, int **days, size_t *n, struct nx_note *why);
/* Number of the day since 1970-01-01 (UTC) a time belongs to. */
int day_of(int64_t time_us);

/* Sorts by time, keeps the order of equal times, drops all but the first of them; the dropped ones are counted. */
size_t points_sort_unique(struct point *points, size_t n, uint64_t *duplicates);

struct commit_scratch *commit_scratch_new(void);
void commit_scratch_free(struct commit_scratch **s);

#endif
