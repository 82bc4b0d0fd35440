/* lite.h -- the SQLite historian between its own files: lite.c (life, dictionary), files.c (days, months, years),
 * books.c (statistics, ledger as a list), commit.c and lanes.c (write path), keep.c (upkeep: what is due), seal.c and
 * sealday.c (hot blocks to day files), aside.c (files that are damaged as a whole), roll.c (days to rollups),
 * rolldays.c (which days), scan.c and rollread.c (reading), last.c (the value before a time), verify.c. */
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

/* A stream of numbered batches. */
struct hist_lane {
    UT_hash_handle hh;
    struct lane_key key;
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
    enum historian_role role;
    uint32_t retention_days, rollup_retention_days;
    int64_t (*wall_us)(void);
    int lock_fd, keeper_fd; /* of a keeper: for life; of a writer: while it does a keeper's work */

    /* writer only */
    struct hist_series *series; /* by topic */
    uint32_t next_sid;
    struct hist_lane *lanes;
    int64_t next_lane_id;
    struct commit_scratch *scratch;

    /* writer and keeper; of the hot blocks as last seen */
    uint64_t hot_points, hot_bytes;
    int64_t hot_since_us; /* commit time of the oldest hot block; 0: none, or not known */
    struct upkeep_times {
        int64_t expired_us, looked_us, stale_us; /* when each was last done, by wall_us */
        int64_t checkpoint_us;                   /* by the monotonic clock */
    } at;
};

/* --- files.c --- */

/* Number of the day since 1970-01-01 (UTC) a time belongs to. */
int day_of(int64_t time_us);
enum nx_err day_open(const struct lite *h, int day, bool is_read_only, struct db **out, struct nx_note *why);
/* Days that have a file, ascending, in a. */
enum nx_err day_list(const struct lite *h, struct arena *a, int **days, size_t *n, struct nx_note *why);

static inline struct lite *
lite_of(struct historian *base)
{
    return (struct lite *)base;
}

/* Appends to a list in a. */
void day_push(struct arena *a, int **days, size_t *n, size_t *cap, int day);
char *day_path(const struct lite *h, int day, char *path, size_t cap);
void day_remove(const struct lite *h, int day);
/* A database file with what SQLite keeps beside it. */
void db_remove(const char *path);
/* A file that is there. NX_E_CORRUPT: it is no database, or its tables are gone. */
enum nx_err file_open_to_read(const char *path, struct db **out, struct nx_note *why);
/* Reads every page; the first thing that SQLite finds wrong goes into fault, else "". */
enum nx_err file_check_pages(struct db *db, char *fault, size_t cap, struct nx_note *why);

/* Rollups: the minutes of a month, the hours and days of a year. */
enum roll_file { ROLL_MONTH, ROLL_YEAR };
/* One number for each file: of a month since year 0, or of the year. */
int roll_period(enum roll_file kind, int day);
/* First day of a period. */
int roll_first_day(enum roll_file kind, int period);
enum nx_err roll_open(const struct lite *h, enum roll_file kind, int period, bool is_read_only, struct db **out,
                      struct nx_note *why);
char *roll_path(const struct lite *h, enum roll_file kind, int period, char *path, size_t cap);
/* Calls each() for every file with rollups; the order is that of the directory. */
enum nx_err roll_each(const struct lite *h, void (*each)(void *arg, enum roll_file kind, int period), void *arg,
                      struct nx_note *why);

/* --- keep.c --- */

/* NX_OK with *has false: another handle keeps the store. */
enum nx_err keeper_lock(struct lite *h, bool *has, struct nx_note *why);
void keeper_unlock(struct lite *h);
/* What waits for sealing, from the database. */
enum nx_err hot_refresh(struct lite *h, struct nx_note *why);
/* Commits are refused beyond. */
#define HOT_LIMIT_POINTS 8000000u
#define HOT_LIMIT_BYTES  (512u << 20)

/* --- seal.c, roll.c: under the keeper's lock --- */
/* NX_E_CORRUPT: something was set aside as damaged; all else is sealed. */
enum nx_err seal_once(struct lite *h, struct nx_note *why);
/* Rolls up about as many points of what is due; *is_done: nothing is left. all: also what is due only later, but for
 * days that are not over. NX_E_CORRUPT: a series could not be read and was passed over, or a file was set aside: the
 * next call does the rest. */
enum nx_err roll_some(struct lite *h, int64_t now_us, uint64_t points, bool all, bool *is_done, struct nx_note *why);

/* --- rolldays.c: under the keeper's lock --- */

/* Are minutes of that month still kept? */
bool roll_keeps_minutes(const struct lite *h, int month, int64_t now_us);
/* The day that was begun (behind series `through`), else the oldest one that is over and was not, or whose rollups are
 * gone; -1: none, or not looked for this time (all: always looked for). */
enum nx_err roll_find_new(struct lite *h, int64_t now_us, bool all, int *day, int64_t *through, struct nx_note *why);
/* A day with series that got late values, or -1 in the same way. */
enum nx_err roll_find_stale(struct lite *h, int64_t now_us, bool all, int *day, struct nx_note *why);
/* The values of a day are gone: what was rolled up is all there is, unless that was only begun. */
enum nx_err roll_forget_begun(struct lite *h, int day, struct nx_note *why);
/* Days of a period are to be rolled up again, where their raw values are still there. */
enum nx_err roll_forget_period(struct lite *h, enum roll_file kind, int period, struct nx_note *why);
/* Raw values of days before `oldest` go: their rollups are all there is from now on. Days that are not rolled up yet
 * stay; with drops_unrolled only some days longer. */
enum nx_err roll_expire(struct lite *h, int oldest, bool drops_unrolled, struct nx_note *why);

/* --- aside.c --- */

#define ASIDE_REMEDY "bring its values back from a backup (docs/formats/historian-sqlite.md, Damage), then remove it"
/* Under the keeper's lock, when the file gave NX_E_CORRUPT and is closed again: looks at all of it, and when it is
 * damaged as a whole renames it. true: *why says so (NX_E_CORRUPT) with place and remedy; else nothing was done. */
bool day_set_aside(struct lite *h, int day, struct nx_note *why);
bool roll_set_aside(struct lite *h, enum roll_file kind, int period, struct nx_note *why);
/* Calls each() for every file that was set aside and is still there; the order is that of the directory. */
enum nx_err aside_each(const struct lite *h, void (*each)(void *arg, const char *path), void *arg, struct nx_note *why);

/* --- rollread.c --- */

struct roll_reader {
    struct lite *h;
    uint32_t sid;
    enum history_level level;
    struct db *db;                  /* of the period; NULL: it has none */
    int period;                     /* 0: none yet */
    struct history_rollup *rollups; /* of the day read last */
    size_t count;
};
/* MINUTE, HOUR or DAY. */
struct roll_reader roll_reader_init(struct lite *h, uint32_t sid, enum history_level level);
void roll_reader_fini(struct roll_reader *r);
/* Rollups of a day that roll_days() named. *is_known is false when they must be had from points; else count may
 * be 0: the series has no values on that day. */
enum nx_err roll_read(struct roll_reader *r, int day, bool *is_known, struct nx_note *why);
/* Days within [first, last] whose rollups hold every sealed point of the series, ascending, in a. */
enum nx_err roll_days(struct lite *h, uint32_t sid, int first, int last, struct arena *a, int **days, size_t *n,
                      struct nx_note *why);

/* --- scan.c --- */

/* Points before a time that are not sealed yet, first stored ones only, in order. */
enum nx_err scan_hot(struct lite *h, uint32_t sid, int64_t to_us, const struct history_sink *sink, struct nx_note *why);

/* --- struct historian_backend --- */
enum nx_err lite_commit(struct historian *base, const struct batch *batches, size_t n,
                        struct historian_commit_result *result, struct nx_note *why);
bool lite_is_committed(const struct historian *base, const struct batch_header *hdr, struct batch_range *range);
enum nx_err lite_maintain(struct historian *base, struct nx_note *why);
enum nx_err lite_seal(struct historian *base, struct nx_note *why);
enum nx_err lite_ledger(struct historian *base, struct arena *a, struct historian_books *books, struct nx_note *why);
enum nx_err lite_stats(struct historian *base, struct historian_stats *out, struct nx_note *why);
unsigned lite_damaged_files(struct historian *base, struct nx_note *what);
enum nx_err lite_verify(struct historian *base, struct verify *v, struct nx_note *why);
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
