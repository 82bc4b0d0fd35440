/* reduce.h -- from many points and rollups to a few rows per bucket: minimum and maximum, mean, last. Streaming,
 * constant memory. Pure.
 */
#ifndef HISTORIAN_REDUCE_H
#define HISTORIAN_REDUCE_H

#include "base/wbuf.h"
#include "historian/backend.h"
#include "historian/fill.h"

struct reduce {
    enum history_fn fn; /* MINMAX, AVG, LAST, TWA */
    struct grid grid;
    bool is_leveled; /* rollups may come: numbers are shown as type, wherever they come from */
    enum nx_type type;
    struct fill *out;

    int64_t bucket; /* number of the open one; -1: none */
    bool has_number, has_bad, has_text;
    struct history_row min, max, last, bad;
    double min_value, max_value, sum, area;
    uint64_t count;
    int64_t area_us;
    bool is_holding; /* TWA: a number is valid since held_us */
    int64_t held_us;
    double held;
    struct wbuf text; /* of last, when it is a text */
};

struct reduce reduce_init(enum history_fn fn, const struct grid *grid, struct fill *out);
/* The last point before the range. */
void reduce_before(struct reduce *r, const struct history_row *row);
/* Times must not descend. */
void reduce_feed(struct reduce *r, const struct point *p);
/* A rollup that lies in one bucket; width_us of its level. */
void reduce_rollup(struct reduce *r, const struct history_rollup *u, int64_t width_us);
/* Gives what is still open and frees. */
void reduce_fini(struct reduce *r);

#endif
