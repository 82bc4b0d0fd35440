/* lttb.h -- largest triangle three buckets (Steinarsson 2013) over equal stretches of time, streaming.
 *
 * The first and the last number are kept; of each stretch between them the one that spans the largest triangle with
 * the one kept before and the mean of the next stretch that has numbers. The triangle is linear in the point, so only
 * the convex hull of a stretch is remembered. Pure. */
#ifndef HISTORIAN_LTTB_H
#define HISTORIAN_LTTB_H

#include "historian/grid.h"
#include "historian/historian.h"

struct lttb_point {
    struct history_row row;
    double v;
};
struct lttb_hull {
    struct lttb_point *p;
    size_t count, cap;
};
struct lttb_bucket {
    int64_t number;
    uint64_t count;
    int64_t first_us;
    double sum_t, sum_v; /* times from first_us on */
    struct lttb_hull upper, lower;
};
struct lttb {
    struct grid grid;
    history_row_cb *each;
    void *arg;
    bool is_stopped;
    struct lttb_point kept, last;
    bool has_kept, has_last;
    struct lttb_bucket at, next;
};

/* At most max_points rows; fewer than 3 count as 3. */
struct lttb lttb_init(int64_t from_us, int64_t to_us, uint32_t max_points, history_row_cb *each, void *arg);
/* A number, v its value; times ascend, all in [from, to). */
void lttb_add(struct lttb *x, const struct history_row *row, double v);
/* Gives the rest and frees. */
void lttb_fini(struct lttb *x);

#endif
