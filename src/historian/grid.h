/* grid.h -- the buckets of a query: equal stretches of [from, to), the first and the last cut off where they stick out.
 * Pure. */
#ifndef HISTORIAN_GRID_H
#define HISTORIAN_GRID_H

#include <stdbool.h>
#include <stdint.h>

struct grid {
    int64_t from_us, to_us;
    int64_t origin_us; /* border of bucket 0, at or before from_us */
    int64_t width_us;
};

/* At most `buckets` of them. level_us > 0: borders and width are multiples of it (of the width, where that leaves no
 * more buckets). from < to, both within +-2^60; buckets > 0. */
struct grid grid_make(int64_t from_us, int64_t to_us, uint32_t buckets, int64_t level_us);

/* The largest multiple of width_us that is not after time_us. */
int64_t grid_floor(int64_t time_us, int64_t width_us);

static inline int64_t
grid_bucket(const struct grid *g, int64_t time_us)
{
    return (time_us - g->origin_us) / g->width_us;
}

static inline int64_t
grid_start(const struct grid *g, int64_t bucket)
{
    return bucket == 0 ? g->from_us : g->origin_us + bucket * g->width_us;
}

static inline int64_t
grid_end(const struct grid *g, int64_t bucket)
{
    int64_t end = g->origin_us + (bucket + 1) * g->width_us;

    return end < g->to_us ? end : g->to_us;
}

#endif
