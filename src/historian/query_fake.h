/* query_fake.h -- for the tests of the query layer: a backend that is a table of points, random points, questions. */
#ifndef HISTORIAN_QUERY_FAKE_H
#define HISTORIAN_QUERY_FAKE_H

#include "historian/backend.h"

#define SEC         INT64_C(1000000)
#define T0          (INT64_C(1700000000) * SEC) /* 2023-11-14 22:13:20, in the middle of a minute, hour and day */
#define FAKE_POINTS 600
#define FAKE_ROWS   8000

struct fake {
    struct historian base;
    struct point p[FAKE_POINTS];
    unsigned n;
    enum nx_type type;
    bool gives_rollups;
    uint64_t seed; /* some buckets are given as points, although they could be rollups */
    unsigned scans;
    bool is_failing;
};

struct rows {
    struct history_row row[FAKE_ROWS];
    unsigned n;
    struct history_summary summary;
};

/* Empty; free() it. */
struct fake *fake_new(void);
void fake_put(struct fake *f, int64_t time_us, double v);
void fake_put_bad(struct fake *f, int64_t time_us);
/* Some hundred points of every kind at random distances, from less than a second to hours. */
void fake_fill(struct fake *f, uint64_t *seed);

/* A random question about them. */
struct history_query fake_query(const struct fake *f, uint64_t *seed);
bool fake_keep_row(void *arg, const struct history_row *row);
/* Asks; fails the test on an error. Texts stay valid. */
void fake_ask(struct fake *f, const struct history_query *q, struct rows *rows);

/* What counts as a number, said once more. */
bool fake_number(const struct point *p, double *v);

#endif
