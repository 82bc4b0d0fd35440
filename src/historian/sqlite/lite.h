/* lite.h -- the SQLite historian between its own files: lite.c (life, dictionary), books.c (ledger, statistics),
 * commit.c (write path), seal.c (hot blocks to day files), scan.c (reading). */
#ifndef HISTORIAN_SQLITE_LITE_H
#define HISTORIAN_SQLITE_LITE_H

#include "db/db.h"
#include "historian/backend.h"
#include "historian/sqlite/seqset.h"

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

struct lite {
    struct historian base; /* first */
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

enum nx_err day_open(const struct lite *h, int day, bool is_read_only, struct db **out, struct nx_note *why);
/* Days that have a file, ascending, in a. */
enum nx_err day_list(const struct lite *h, struct arena *a, int **days, size_t *n, struct nx_note *why);
/* Number of the day since 1970-01-01 (UTC) a time belongs to. */
int day_of(int64_t time_us);

static inline struct lite *
lite_of(struct historian *base)
{
    return (struct lite *)base;
}

char *day_path(const struct lite *h, int day, char *path, size_t cap);

/* --- struct historian_backend --- */
enum nx_err lite_commit(struct historian *base, const struct batch *batches, size_t n,
                        struct historian_commit_result *result, struct nx_note *why);
bool lite_is_committed(const struct historian *base, const struct batch_header *hdr, struct batch_range *range);
enum nx_err lite_maintain(struct historian *base, struct nx_note *why);
enum nx_err lite_seal(struct historian *base, struct nx_note *why);
enum nx_err lite_ledger(struct historian *base, struct arena *a, struct historian_ledger_row **rows, size_t *n,
                        struct nx_note *why);
enum nx_err lite_stats(struct historian *base, struct historian_stats *out, struct nx_note *why);
enum nx_err lite_begin(struct historian *base, struct nx_note *why);
void lite_end(struct historian *base);
enum nx_err lite_find(struct historian *base, const char *topic, struct arena *a, struct history_series *out,
                      struct nx_note *why);
enum nx_err lite_each_series(struct historian *base, history_series_cb *each, void *arg, struct nx_note *why);
enum nx_err lite_scan(struct historian *base, const struct history_series *s, int64_t from_us, int64_t to_us,
                      enum history_level level, const struct history_sink *sink, struct nx_note *why);
enum nx_err lite_before(struct historian *base, const struct history_series *s, int64_t time_us, struct arena *a,
                        struct history_row *out, struct nx_note *why);

struct commit_scratch *commit_scratch_new(void);
void commit_scratch_free(struct commit_scratch **s);

#endif
