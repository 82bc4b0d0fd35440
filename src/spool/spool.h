/* spool.h -- durable bounded first-in first-out log of numbered records.
 *
 * Own segmented log: files NNNN.seg with CRC-32C per record; layout in docs/formats/spool.md. A record is in the
 * page cache when spool_append() returns (it survives kill -9); the backlog is fsynced by a helper thread within
 * the commit window, a healthy flow is freed before that and costs no disk write. One writer and its readers on
 * one loop thread. Sequence numbers start at 1, grow by 1 and go on after a restart; after a power cut they go on
 * behind every number that may have been used (a jump of at most 65,536), so that none is used twice. The epoch
 * changes only when the directory was empty. Recovery cuts a torn tail, never skips. Memory: 8 bytes a record.
 *
 * Bounds: past cap_bytes or max_age the oldest segment is dropped whole; every dropped record and its points are
 * counted and reported through on_drop, so that a gap can be recorded. */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "base/slice.h"
#include "loop/loop.h"
#include "nexus/err.h"

struct spool;
struct disk_ops; /* spool/disk.h */

struct spool_conf {
    const char *dir;             /* made when missing */
    uint64_t cap_bytes;          /* 0: 1 GiB */
    uint64_t segment_bytes;      /* 0: 16 MiB */
    uint32_t max_age_s;          /* 0: no limit */
    uint32_t commit_window_ms;   /* 0: 100 */
    bool is_strict;              /* fsync before spool_append() returns */
    uint64_t disk_reserve_bytes; /* keep this much of the file system free; 0: 64 MiB */
    const struct disk_ops *disk; /* NULL: the real file system; tests inject faults here */
};

struct spool_ops {
    /* Records [from, to] with `points` points were dropped unread; cause: NX_E_FULL, NX_E_EXPIRED, NX_E_CORRUPT.
     * points is 0 when damage hides how many there were. NX_E_CANCELED: numbers given up at the start after a power
     * cut; the points that it took, of a commit window at most, are among them, and nobody can count them. Runs inside
     * spool_open(), spool_append(), spool_read(), spool_yield(), spool_stats_of() or a timer: it must not call the
     * spool. May be NULL.
     */
    void (*on_drop)(void *arg, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause);
    /* The disk reported an error outside of a call, e.g. when the backlog was synced. May be NULL. */
    void (*on_error)(void *arg, const struct nx_note *why);
};

struct spool_record {
    uint64_t seq;
    uint32_t points;   /* as given to spool_append() */
    int64_t time_us;   /* wall time of the append */
    struct slice body; /* borrowed until the next call on the spool */
};

struct spool_stats {
    uint64_t records, points, bytes;                   /* waiting: appended and neither freed nor dropped */
    uint64_t first_seq, next_seq;                      /* [first_seq, next_seq) waits; equal when empty */
    int64_t oldest_us;                                 /* append time of the oldest waiting record, 0 when empty */
    uint64_t appended, freed, dropped, dropped_points; /* since start */
    uint64_t torn_bytes;                               /* cut off at recovery */
    uint64_t syncs, sync_errors;
    uint64_t file_bytes; /* of all segments */
};

/* Opens or creates. loop may be a fake one (the helper then runs in loop_fake_turn). ops is copied. A second process
 * on the same directory gets NX_E_CONFLICT. On failure *out is NULL and why names directory and remedy. */
NX_MUST_CHECK enum nx_err spool_open(struct spool **out, struct loop *loop, const struct spool_conf *conf,
                                     const struct spool_ops *ops, void *arg, struct nx_note *why);
/* Syncs and closes. *sp is NULL on return. */
void spool_close(struct spool **sp);

uint64_t spool_epoch(const struct spool *sp);
/* The number that the next record will get: encode it into the body, then append. */
uint64_t spool_next_seq(const struct spool *sp);

/* Appends one record of at most 16 MiB. NX_E_DISK_FULL and NX_E_IO leave the spool usable and the record not stored:
 * the caller keeps it and tries again. */
NX_MUST_CHECK enum nx_err spool_append(struct spool *sp, struct slice body, uint32_t points, struct nx_note *why);

/* The first waiting record with number >= seq that is not freed. NX_E_NOT_FOUND when there is none. Reading forward
 * is sequential and buffered; any number may be asked for. */
NX_MUST_CHECK enum nx_err spool_read(struct spool *sp, uint64_t seq, struct spool_record *rec, struct nx_note *why);

/* [from, to] are stored elsewhere for good. Unknown or already freed numbers are ignored. The oldest segments
 * are deleted as long as they have no waiting record. */
void spool_free_range(struct spool *sp, uint64_t from, uint64_t to);
bool spool_is_freed(const struct spool *sp, uint64_t seq);

/* The first waiting record with number >= seq that was appended with 0 points; 0: there is none. Looks only at what is
 * kept in memory. */
uint64_t spool_next_empty(const struct spool *sp, uint64_t seq);

/* Another bound than that of spool_conf, from the next segment on. */
void spool_set_cap(struct spool *sp, uint64_t cap_bytes);
/* Gives up the oldest segment (dropped with NX_E_FULL), so that another spool on a full disk can go on. false: there is
 * only the one that takes the records. */
bool spool_yield(struct spool *sp);

/* records of spool_stats_of(), at no cost. */
uint64_t spool_waiting(const struct spool *sp);
struct spool_stats spool_stats_of(const struct spool *sp);

#endif
