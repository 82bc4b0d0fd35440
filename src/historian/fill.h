/* fill.h -- the rows of buckets on their way out, and what stands in for the buckets that have none. Pure, constant
 * memory. */
#ifndef HISTORIAN_FILL_H
#define HISTORIAN_FILL_H

#include "base/wbuf.h"
#include "historian/grid.h"
#include "historian/historian.h"

struct fill {
    enum history_fill mode;
    struct grid grid;
    history_row_cb *each;
    void *arg;
    bool is_stopped; /* each() said so */

    int64_t next; /* the first bucket that nothing was given for yet */
    struct history_row before;
    bool has_before;
    struct wbuf text; /* of before, when it is a text */
};

struct fill fill_init(enum history_fill mode, const struct grid *grid, history_row_cb *each, void *arg);
/* The last point before the range. */
void fill_before(struct fill *f, const struct history_row *row);
/* The row of a bucket; buckets ascend, one may have several rows. */
void fill_row(struct fill *f, int64_t bucket, const struct history_row *row);
/* Fills up to the end of the range and frees. */
void fill_fini(struct fill *f);

#endif
