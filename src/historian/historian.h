/* historian.h -- where values are kept: one interface for every database behind it (SQLite: docs/formats/
 * historian-sqlite.md).
 *
 * Writing: batches are committed together with their identity (gateway, epoch, lane, sequence) in one transaction, so
 * that a replay is recognised and skipped and an acknowledgement is only ever sent for what is on disk. A value is
 * unique by (series, time): the first one stored wins, later ones are counted as duplicates, when they are found inside
 * one commit at once, else when the series is sealed; reading never shows them. Blocking: call it from a worker or a
 * writer thread. One writer per store (a second one gets NX_E_CONFLICT), any number of readers in any process, each
 * object used by one thread at a time.
 *
 * Bounds: 1,000,000 points wait unsealed; 10,000 rows of quarantine are kept, more are only counted. */
#ifndef HISTORIAN_HISTORIAN_H
#define HISTORIAN_HISTORIAN_H

#include "base/arena.h"
#include "model/batch.h"
#include "model/point.h"
#include "nexus/err.h"

struct historian;

struct historian_conf {
    const char *url;          /* "sqlite:<directory>" */
    uint32_t retention_days;  /* raw values; 0: for ever */
    bool is_read_only;        /* the store must exist (NX_E_NOT_FOUND) */
    int64_t (*wall_us)(void); /* the time of day; NULL: the system's */
};

NX_MUST_CHECK enum nx_err historian_open(struct historian **out, const struct historian_conf *conf,
                                         struct nx_note *why);
/* NULL is allowed. *h is NULL on return. */
void historian_close(struct historian **h);

struct historian_commit_result {
    uint64_t points;             /* stored now */
    uint64_t duplicate_points;   /* (series, time) was in the same call before */
    uint32_t duplicate_batches;  /* identity was in the ledger already: skipped */
    uint64_t quarantined_points; /* time absurd (after now + 1 h, before 1990, beyond retention): put aside */
    int64_t newest_us;           /* latest time stored; 0 when nothing was */
};
/* Stores batches in one transaction: all or nothing. After NX_OK all of them are in the ledger. NX_E_DISK_FULL,
 * NX_E_BUSY, NX_E_IO: nothing was stored; the same call may be made again. */
NX_MUST_CHECK enum nx_err historian_commit(struct historian *h, const struct batch *batches, size_t n,
                                           struct historian_commit_result *result, struct nx_note *why);

/* Is this batch in the ledger? range is the stretch of committed sequence numbers around it. Writers only; no I/O. */
bool historian_is_committed(const struct historian *h, const struct batch_header *hdr, struct batch_range *range);

/* Seals what has waited long enough and drops days beyond the retention. Writers only; cheap when there is nothing to
 * do: call it after each commit and every few seconds. A failure loses nothing and is tried again by the next call. */
NX_MUST_CHECK enum nx_err historian_maintain(struct historian *h, struct nx_note *why);
/* Seals everything now (for tests, benchmarks and a tidy stop). */
NX_MUST_CHECK enum nx_err historian_seal(struct historian *h, struct nx_note *why);

struct historian_ledger_row {
    const char *gateway;
    uint64_t epoch;
    unsigned lane;
    uint64_t last_seq, batches, points, duplicate_batches;
    uint64_t missing;    /* numbers below last_seq that neither arrived nor were declared as a gap */
    uint64_t gap_points; /* declared by gap records */
    int64_t updated_us;
};
/* rows in a. */
NX_MUST_CHECK enum nx_err historian_ledger(struct historian *h, struct arena *a, struct historian_ledger_row **rows,
                                           size_t *n, struct nx_note *why);

/* --- reading --- */
enum history_fn { HISTORY_RAW, HISTORY_MINMAX, HISTORY_AVG, HISTORY_LAST };
struct history_query {
    const char *topic;
    int64_t from_us, to_us; /* [from, to) */
    enum history_fn fn;
    uint32_t max_points; /* RAW: cut after so many (has_more); others: number of buckets. 0: 1000 */
};
struct history_row {
    int64_t time_us;
    uint16_t quality;
    struct nx_value value; /* text borrowed for the call */
};
struct history_summary {
    uint64_t raw_count; /* points looked at */
    int64_t bucket_us;  /* 0 for RAW */
    bool has_more;
    const char *unit; /* in a */
};
/* Calls each() in time order; false stops. Per bucket MINMAX gives the points of the minimum and the maximum in the
 * order of their times, and the first bad point, so that gaps show; AVG the mean at the bucket's start (the first bad
 * point when there is nothing else); LAST the last point. Text counts as its last value. NX_E_NOT_FOUND for a topic
 * never stored, NX_E_RANGE unless from < to. */
typedef bool history_row_cb(void *arg, const struct history_row *row);
NX_MUST_CHECK enum nx_err historian_query(struct historian *h, const struct history_query *q, struct arena *a,
                                          history_row_cb *each, void *arg, struct history_summary *summary,
                                          struct nx_note *why);

struct historian_stats {
    uint64_t series, points, duplicate_points, quarantined_points, bytes;
    uint64_t unsealed_points;
    int64_t first_us, last_us; /* 0 when empty */
};
NX_MUST_CHECK enum nx_err historian_stats_of(struct historian *h, struct historian_stats *out, struct nx_note *why);

#endif
