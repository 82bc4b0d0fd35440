#include "historian/grid.h"

static int64_t
divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

int64_t
grid_floor(int64_t time_us, int64_t width_us)
{
    int64_t over = time_us % width_us;

    return time_us - over - (over < 0 ? width_us : 0);
}

static struct grid
aligned(int64_t from_us, int64_t to_us, int64_t width_us, int64_t border_us)
{
    return (struct grid){from_us, to_us, grid_floor(from_us, border_us), width_us};
}

static bool
has_at_most(const struct grid *g, uint32_t buckets)
{
    return divide_up(g->to_us - g->origin_us, g->width_us) <= (int64_t)buckets;
}

struct grid
grid_make(int64_t from_us, int64_t to_us, uint32_t buckets, int64_t level_us)
{
    int64_t width = divide_up(to_us - from_us, buckets);
    struct grid g;

    if (level_us == 0)
        return (struct grid){from_us, to_us, from_us, width};
    width = divide_up(width, level_us) * level_us;
    g = aligned(from_us, to_us, width, width);
    if (has_at_most(&g, buckets))
        return g;
    if (buckets > 1) {
        width = divide_up(divide_up(to_us - from_us, buckets - 1), level_us) * level_us;
        return aligned(from_us, to_us, width, width);
    }
    g.origin_us = grid_floor(from_us, level_us);
    g.width_us = divide_up(to_us - g.origin_us, level_us) * level_us;
    return g;
}
