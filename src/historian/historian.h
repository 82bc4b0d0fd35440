/* historian.h -- where values are kept: one interface for every database behind it (SQLite:
 * docs/formats/historian-sqlite.md, PostgreSQL and TimescaleDB: docs/formats/historian-postgres.md).
 *
 * Writing: batches are committed together with their identity (gateway, epoch, lane, sequence) in one transaction, so
 * that a replay is recognised and skipped and an acknowledgement is only ever sent for what is on disk. A value is
 * unique by (series, time): the first one stored wins, later ones are counted as duplicates, at once or when they are
 * sealed; reading never shows them. Blocking: call it from a worker or a writer thread, one thread at a time for each
 * object. Any number of readers in any process; writers: see historian_max_writers().
 *
 * Reading: every backend only gives points and rollups in the order of time; what is made of them (query.c, reduce.c)
 * is one code, so the same question has the same answer on each of them. */
#ifndef HISTORIAN_HISTORIAN_H
#define HISTORIAN_HISTORIAN_H

#include "base/arena.h"
#include "model/batch.h"
#include "model/point.h"
#include "nexus/err.h"

struct historian;

enum historian_role {
    HISTORIAN_WRITER, /* commits; may keep the store, too, when nobody else does */
    HISTORIAN_KEEPER, /* historian_maintain() beside a writer, on a thread of its own */
    HISTORIAN_READER, /* the store must exist (NX_E_NOT_FOUND) */
};

struct historian_conf {
    const char *url;      /* "sqlite:<directory>", "postgres://user@host:port/database" */
    const char *password; /* of a database server; NULL: what the URL or the libpq environment say */
    enum historian_role role;
    uint32_t retention_days;        /* raw values; 0: for ever */
    uint32_t rollup_retention_days; /* values per minute; those per hour and day stay. 0: for ever */
    bool use_insert;                /* PostgreSQL: INSERT instead of COPY */
    int64_t (*wall_us)(void);       /* the time of day; NULL: the system's */
};

/* NX_E_CONFIG for a wrong URL; NX_E_CONFLICT when the store has as many writers as it can have; NX_E_OFFLINE while a
 * server cannot be reached. On failure *out is NULL. */
NX_MUST_CHECK enum nx_err historian_open(struct historian **out, const struct historian_conf *conf,
                                         struct nx_note *why);
/* NULL is allowed. *h is NULL on return. */
void historian_close(struct historian **h);
/* Is it still connected, as far as that shows without asking the server? Always with SQLite. No I/O that waits. */
bool historian_is_connected(struct historian *h);
/* How many writers (each an object of its own, in any process) may work on a store of this kind at once; 0: the URL is
 * not known. */
unsigned historian_max_writers(const char *url);

/* The URL for people and logs: without its password. Returns buf. */
const char *historian_shown_url(const char *url, char *buf, size_t cap);

/* --- writing --- */

struct historian_commit_result {
    uint64_t points;             /* stored now */
    uint64_t duplicate_points;   /* (series, time) was there before, as far as that shows at once */
    uint32_t duplicate_batches;  /* identity was in the ledger already: skipped */
    uint64_t quarantined_points; /* time absurd (historian_refuse_time): put aside */
    int64_t newest_us;           /* latest time stored; 0 when nothing was */
};
/* Stores batches in one transaction: all or nothing. After NX_OK all of them are in the ledger. On any error nothing
 * was stored, or (a connection lost while committing) it is not known; in both cases the same call is made again, by
 * this writer or another one, and what was stored is then recognised. NX_E_DISK_FULL, NX_E_BUSY, NX_E_IO, NX_E_OFFLINE
 * pass; NX_E_RANGE and NX_E_PROTO say that the database refuses these values: then divide the batches. */
NX_MUST_CHECK enum nx_err historian_commit(struct historian *h, const struct batch *batches, size_t n,
                                           struct historian_commit_result *result, struct nx_note *why);

/* Is this batch in the ledger, as far as this writer knows (it knows what it was given)? range is the stretch of
 * committed sequence numbers around it that it knows of. No I/O. */
bool historian_is_committed(const struct historian *h, const struct batch_header *hdr, struct batch_range *range);

/* Why a time is not stored (after now + 1 h, before 1990, beyond the retention), as a text for people; NULL: it is. */
const char *historian_refuse_time(int64_t time_us, int64_t now_us, uint32_t retention_days);

/* Seals, rolls up, makes partitions ahead, drops what is beyond the retention: a step of what is due, at most some
 * seconds long. Writers and keepers; cheap when there is nothing to do: call it after commits and every few seconds. A
 * failure loses nothing and is tried again by the next call. */
NX_MUST_CHECK enum nx_err historian_maintain(struct historian *h, struct nx_note *why);
/* All of it now, whatever is due (for tests, benchmarks and a tidy stop). */
NX_MUST_CHECK enum nx_err historian_seal(struct historian *h, struct nx_note *why);

/* --- the books --- */

struct historian_gap;
struct historian_ledger_row {
    const char *gateway;
    uint64_t epoch;
    unsigned lane;
    uint64_t last_seq, batches, points, duplicate_batches;
    uint64_t missing;    /* numbers below last_seq that neither arrived nor were declared as a gap */
    uint64_t gap_points; /* declared by gap records */
    int64_t updated_us;
    const struct historian_gap *gaps; /* by cause, in the order of their names; NULL: none */
};
/* The gap records of a lane that have one cause. */
struct historian_gap {
    const char *cause; /* nx_err_name() */
    uint64_t numbers;  /* declared; after damage or a power cut, also numbers that no batch ever had */
    uint64_t points;   /* 0 when nobody could count them */
    int64_t stored_us; /* when the latest of the records came */
    const struct historian_gap *next;
};
struct historian_books {
    struct historian_ledger_row *rows; /* in the order of gateway, epoch, lane */
    size_t n;
    uint64_t duplicate_points, quarantined_points; /* of all of them */
};
/* Everything in a. */
NX_MUST_CHECK enum nx_err historian_ledger(struct historian *h, struct arena *a, struct historian_books *books,
                                           struct nx_note *why);

struct historian_stats {
    uint64_t series, points, duplicate_points, quarantined_points;
    uint64_t bytes; /* on disk, rollups, too */
    uint64_t unsealed_points;
    uint64_t damaged_files;    /* that cannot be read or were set aside: their values are missing (SQLite) */
    int64_t first_us, last_us; /* 0 when empty */
    const char *backend;       /* "sqlite", "postgres", "timescale-apache", "timescale" */
};
NX_MUST_CHECK enum nx_err historian_stats_of(struct historian *h, struct historian_stats *out, struct nx_note *why);

/* Files that were damaged as a whole, set aside, and are still there (SQLite; else 0); what names the first one and the
 * remedy, and is left alone for 0. Reads a directory. */
unsigned historian_damaged_files(struct historian *h, struct nx_note *what);

/* Something that is wrong. Texts are borrowed for the call. */
struct historian_finding {
    const char *place; /* file or table */
    const char *topic; /* "": not of one series */
    const char *what, *remedy;
};
typedef void historian_finding_cb(void *arg, const struct historian_finding *f);
struct historian_verified {
    uint64_t series, points, rollups, findings;
};
/* Reads everything: values decode, are in order and once each, are as many as the books say; the ledger is sound;
 * rollups are what the points give. Takes as long as reading does; is_canceled is asked now and then (NULL: never).
 * NX_OK also when things were found; an error when it could not look. */
NX_MUST_CHECK enum nx_err historian_verify(struct historian *h, historian_finding_cb *each, void *arg,
                                           bool (*is_canceled)(void *arg), struct historian_verified *out,
                                           struct nx_note *why);

/* --- reading --- */

/* MINMAX gives per bucket the points of the minimum and the maximum in the order of their times, and the first bad
 * point, so that gaps show. AVG the mean of the points, TWA the mean weighted by how long each was valid (a value holds
 * until the next point, a bad one ends it; the value before the range counts into it), at the bucket's start; where no
 * number is, the text or the first bad point. LAST the last point. LTTB (Steinarsson 2013) one point per bucket that
 * keeps the shape, of the numbers, over equal stretches of time, the first and the last among them (3 at least). Text
 * counts as its last value. */
enum history_fn { HISTORY_RAW, HISTORY_MINMAX, HISTORY_AVG, HISTORY_LAST, HISTORY_TWA, HISTORY_LTTB };
/* What AVG, LAST and TWA give for a bucket without points, at its start: nothing; a row without value and with quality
 * NX_Q_NOT_CONNECTED; the row before it again, whatever it holds (before the first one: the last point before the
 * range; NULL when there is none); a straight line when the rows around it are numbers, else the row before it. */
enum history_fill { HISTORY_FILL_NONE, HISTORY_FILL_NULL, HISTORY_FILL_PREVIOUS, HISTORY_FILL_LINEAR };
/* AUTO: values per minute, hour or day where a bucket is that wide (MINMAX: half as wide, it gives two points; LTTB:
 * four times as wide). MINMAX, AVG, LAST and TWA then have buckets whose width and borders are multiples of that (the
 * first and the last are cut off at from and to), and the answer is the one that the points would give, numbers shown
 * as the type of the series. LTTB then chooses from the minimum and the maximum of each minute, hour or day. */
enum history_resolution {
    HISTORY_RESOLUTION_AUTO,
    HISTORY_RESOLUTION_RAW,
    HISTORY_RESOLUTION_MINUTE,
    HISTORY_RESOLUTION_HOUR,
    HISTORY_RESOLUTION_DAY,
};

#define HISTORY_NO_LIMIT UINT32_MAX

struct history_query {
    const char *topic;
    int64_t from_us, to_us; /* [from, to) */
    enum history_fn fn;
    uint32_t max_points; /* RAW: cut after so many (has_more), HISTORY_NO_LIMIT: never; others: number of buckets. 0:
                            1000 */
    enum history_fill fill;
    enum history_resolution resolution;
    bool (*is_canceled)(void *arg); /* asked now and then, also while nothing is given; NULL: never */
    void *cancel_arg;
};
struct history_row {
    int64_t time_us;
    uint16_t quality;
    struct nx_value value; /* text borrowed for the call */
};
struct history_summary {
    uint64_t raw_count; /* points looked at, or stood for by rollups */
    int64_t bucket_us;  /* 0 for RAW */
    bool has_more;
    enum history_resolution resolution; /* used; RAW where only points were read */
    const char *unit;                   /* in a */
};
/* Calls each() in time order; false stops. NX_E_NOT_FOUND for a topic never stored, NX_E_RANGE unless from < to,
 * NX_E_CANCELED when is_canceled said so. */
typedef bool history_row_cb(void *arg, const struct history_row *row);
NX_MUST_CHECK enum nx_err historian_query(struct historian *h, const struct history_query *q, struct arena *a,
                                          history_row_cb *each, void *arg, struct history_summary *summary,
                                          struct nx_note *why);

/* Calls each() for every series that was ever stored, in the order of topics; the strings are borrowed for the call. */
typedef bool history_series_cb(void *arg, const struct series *s);
NX_MUST_CHECK enum nx_err historian_series(struct historian *h, history_series_cb *each, void *arg,
                                           struct nx_note *why);

#endif
