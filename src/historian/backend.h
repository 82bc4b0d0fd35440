/* backend.h -- what a database does for the historian: sqlite/ and postgres/ each fill this table.
 *
 * Calls come from one thread at a time for each object. A backend gives points and rollups in the order of time and
 * computes nothing of them itself; query.c does. */
#ifndef HISTORIAN_BACKEND_H
#define HISTORIAN_BACKEND_H

#include "historian/historian.h"

/* What rollups are kept of; RAW: none, points. */
enum history_level { HISTORY_LEVEL_RAW, HISTORY_LEVEL_MINUTE, HISTORY_LEVEL_HOUR, HISTORY_LEVEL_DAY };

/* Width of a level's buckets in microseconds; they begin at multiples of it since 1970. 0 for RAW. */
int64_t history_level_us(enum history_level level);

/* A point within a rollup; value is a number. */
struct history_mark {
    int64_t time_us;
    double value;
};

/* One bucket of one series. Numbers are points that are not bad and whose value is a number; a bucket with a text is
 * never rolled up but given as points. */
struct history_rollup {
    int64_t time_us;                /* start of the bucket */
    uint32_t n, n_bad;              /* numbers; bad points */
    double sum;                     /* of the numbers, added up in the order of time */
    double area;                    /* value x microseconds of the numbers, each until the next point or the end */
    int64_t area_us;                /* how long that was in all */
    struct history_mark min, max;   /* the earliest of equals; n > 0 */
    struct history_row first, last; /* of all points, bad ones, too */
    int64_t first_bad_us;           /* n_bad > 0 */
    uint16_t first_bad_quality;
    uint16_t min_quality, max_quality;
};

/* Gets points and rollups as they come, in the order of time and without overlap. false ends the scan (no error). A
 * scan that reads for long without giving anything calls points() with n 0 now and then. */
struct history_sink {
    bool (*points)(void *arg, const struct point *p, size_t n); /* point.series is not set; borrowed for the call */
    bool (*rollup)(void *arg, const struct history_rollup *r);
    void *arg;
};

/* A series as a reader finds it. */
struct history_series {
    int64_t id;
    const char *unit;       /* in the arena of the call */
    enum nx_type data_type; /* of its values: rollups' numbers are shown as this type */
};

/* A verification under way. */
struct verify;

struct historian_backend {
    const char *scheme; /* of URLs, with the colon */
    unsigned max_writers;

    enum nx_err (*open)(struct historian **out, const struct historian_conf *conf, struct nx_note *why);
    void (*close)(struct historian *h);
    bool (*is_connected)(struct historian *h); /* NULL: always */

    enum nx_err (*commit)(struct historian *h, const struct batch *batches, size_t n,
                          struct historian_commit_result *result, struct nx_note *why);
    bool (*is_committed)(const struct historian *h, const struct batch_header *hdr, struct batch_range *range);
    enum nx_err (*maintain)(struct historian *h, struct nx_note *why);
    enum nx_err (*seal)(struct historian *h, struct nx_note *why);
    enum nx_err (*ledger)(struct historian *h, struct arena *a, struct historian_books *books, struct nx_note *why);
    enum nx_err (*stats)(struct historian *h, struct historian_stats *out, struct nx_note *why);

    unsigned (*damaged_files)(struct historian *h, struct nx_note *what); /* NULL: none */

    /* What only the backend can see: files, tables, books. NULL: nothing. Not between begin and end. */
    enum nx_err (*verify)(struct historian *h, struct verify *v, struct nx_note *why);

    /* Everything between the two sees one state of the store. */
    enum nx_err (*begin)(struct historian *h, struct nx_note *why);
    void (*end)(struct historian *h);
    enum nx_err (*find)(struct historian *h, const char *topic, struct arena *a, struct history_series *out,
                        struct nx_note *why);
    enum nx_err (*each_series)(struct historian *h, history_series_cb *each, void *arg, struct nx_note *why);
    /* The points of [from, to). level: whole buckets within it may be given as rollups of that level instead, where
     * they are known to hold every point that is stored; what is not is given as points. */
    enum nx_err (*scan)(struct historian *h, const struct history_series *s, int64_t from_us, int64_t to_us,
                        enum history_level level, const struct history_sink *sink, struct nx_note *why);
    /* The last point before a time, looked for a day back at least; value.type stays NX_TYPE_NONE and time_us 0 when
     * there is none. A text lies in a. */
    enum nx_err (*before)(struct historian *h, const struct history_series *s, int64_t time_us, struct arena *a,
                          struct history_row *out, struct nx_note *why);
};

/* Counts and passes on. */
void historian_found(struct verify *v, const char *place, const char *topic, const char *remedy, const char *what, ...)
    NX_PRINTF(5, 6);

/* The first member of every backend's object. */
struct historian {
    const struct historian_backend *backend;
};

/* One database under two names: URLs may begin with postgres: or postgresql:. */
extern const struct historian_backend historian_sqlite, historian_postgres, historian_postgresql;

/* A numbered stream of batches as the key of a hash table: unused bytes are zero. */
struct lane_key {
    uint64_t epoch;
    uint32_t lane, gateway_len;
    char gateway[64];
};
struct lane_key lane_key_of(const struct batch_header *hdr);

/* Grows an array (which may move) so that need elements fit. */
#define GROW(array, cap, need)                                                                                         \
    do {                                                                                                               \
        if ((cap) < (need)) {                                                                                          \
            (cap) = (need) + (need) / 2;                                                                               \
            (array) = mem_realloc((array), (cap) * sizeof *(array));                                                   \
        }                                                                                                              \
    } while (0)

/* Sorts by time, keeps the order of equal times, drops all but the first of them; the dropped ones are counted. Uses
 * point.series as scratch. */
size_t points_sort_unique(struct point *points, size_t n, uint64_t *duplicates);

/* The time of day, CLOCK_REALTIME. */
int64_t historian_wall_us(void);

#endif
