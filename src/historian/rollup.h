/* rollup.h -- from points of one series to its rollups. Pure, constant memory. */
#ifndef HISTORIAN_ROLLUP_H
#define HISTORIAN_ROLLUP_H

#include "historian/backend.h"

/* has_text: a text is among the points, only r->time_us is meaningful. */
typedef void rollup_give(void *arg, const struct history_rollup *r, bool has_text);

struct roller {
    int64_t width_us;
    rollup_give *give;
    void *arg;
    bool is_open, has_text;
    struct history_rollup r; /* the open one */
    bool is_holding;         /* a number is valid since held_us */
    int64_t held_us;
    double held;
};

struct roller roller_init(enum history_level level, rollup_give *give, void *arg);
/* Times must ascend. A bucket is given when a point behind it comes. */
void roller_add(struct roller *x, const struct point *p);
/* Gives what is open. */
void roller_end(struct roller *x);

/* A point whose value counts as a number. */
bool rollup_number(const struct point *p, double *v);
/* A rollup's number as a value of the series' type where that is exact, else as a double. */
struct nx_value rollup_shown(enum nx_type type, double v);

#endif
