/* historian.h -- where values are kept: one interface, several databases behind it (SQLite now).
 *
 * Writing: batches are committed together with their identity (gateway, epoch, lane, sequence) in one transaction, so
 * that a replay is recognised and skipped and an acknowledgement is only ever sent for what is on disk. Blocking: call
 * it from a worker or a writer thread; one writer object per thread, any number of readers. */
#ifndef HISTORIAN_HISTORIAN_H
#define HISTORIAN_HISTORIAN_H

#include "base/arena.h"
#include "model/batch.h"
#include "model/point.h"
#include "nexus/err.h"

struct historian;

struct historian_conf {
    const char *url; /* "sqlite:<directory>" */
    uint32_t retention_days; /* raw values; 0: for ever */
    bool is_read_only;
};

NX_MUST_CHECK enum nx_err historian_open(struct historian **out, const struct historian_conf *conf,
                                         struct nx_note *why);
void historian_close(struct historian **h);

struct historian_commit_result {
    uint64_t points;             /* stored now */
    uint64_t duplicate_points;   /* (series, time) was there already */
    uint32_t duplicate_batches;  /* identity was in the ledger already: skipped */
    uint64_t quarantined_points; /* time absurd (after now + 1 h, or before 1990): put aside */
};
/* Stores batches in one transaction: all or nothing. After NX_OK all of them are in the ledger. NX_E_DISK_FULL, NX_E_BUSY,
 * NX_E_IO: nothing was stored; the same call may be made again. */
NX_MUST_CHECK enum nx_err historian_commit(struct historian *h, const struct batch *batches, size_t n,
                                           struct historian_commit_result *result, struct nx_note *why);

/* Foreign tag messages have no identity: stored by the unique (series, time). */
struct historian_sample {
    struct slice topic;
    struct slice unit;
    struct point point; /* .series unused */
};
NX_MUST_CHECK enum nx_err historian_commit_samples(struct historian *h, const struct historian_sample *samples, size_t n,
                                                   struct historian_commit_result *result, struct nx_note *why);

/* What the ledger knows of a gateway's lane. ranges in a. */
NX_MUST_CHECK enum nx_err historian_committed(struct historian *h, const struct batch_header *hdr, struct arena *a,
                                              struct batch_range **ranges, size_t *n, struct nx_note *why);

struct historian_ledger_row {
    const char *gateway;
    uint64_t epoch;
    unsigned lane;
    uint64_t last_seq, batches, points, duplicate_batches, missing; /* missing: holes below last_seq */
    uint64_t gap_points;                                            /* declared by gap records */
    int64_t updated_us;
};
NX_MUST_CHECK enum nx_err historian_ledger(struct historian *h, struct arena *a, struct historian_ledger_row **rows,
                                           size_t *n, struct nx_note *why);

/* --- reading --- */
enum history_fn { HISTORY_RAW, HISTORY_MINMAX, HISTORY_AVG, HISTORY_LAST };
struct history_query {
    const char *topic;
    int64_t from_us, to_us; /* [from, to) */
    enum history_fn fn;
    uint32_t max_points; /* RAW: cut after so many (has_more); others: number of buckets */
};
struct history_row {
    int64_t time_us;
    uint16_t quality;
    struct nx_value value; /* text borrowed for the call */
};
/* Calls each() in time order; false stops. MINMAX gives the minimum and the maximum of each bucket in the order of
 * their times (and bad points, so that gaps show). NX_E_NOT_FOUND for a topic never stored. */
struct history_summary {
    uint64_t raw_count; /* points looked at */
    int64_t bucket_us;  /* 0 for RAW */
    bool has_more;
    const char *unit;   /* in a */
};
typedef bool history_row_cb(void *arg, const struct history_row *row);
NX_MUST_CHECK enum nx_err historian_query(struct historian *h, const struct history_query *q, struct arena *a,
                                          history_row_cb *each, void *arg, struct history_summary *summary,
                                          struct nx_note *why);

struct historian_stats {
    uint64_t series, points, bytes;
    int64_t first_us, last_us;
};
NX_MUST_CHECK enum nx_err historian_stats_of(struct historian *h, struct historian_stats *out, struct nx_note *why);

/* Drops raw values older than the retention; cheap to call every minute. */
NX_MUST_CHECK enum nx_err historian_expire(struct historian *h, int64_t now_us, struct nx_note *why);

#endif
