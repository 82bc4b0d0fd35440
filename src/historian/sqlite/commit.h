/* commit.h -- a commit under way, between commit.c (points, series) and lanes.c (the ledger). */
#ifndef HISTORIAN_SQLITE_COMMIT_H
#define HISTORIAN_SQLITE_COMMIT_H

#include "historian/sqlite/block.h"
#include "historian/sqlite/lite.h"

struct staged {
    struct hist_series *series;
    const struct point *point;
};

/* Grows to the largest commit seen and is used again. */
struct commit_scratch {
    struct staged *staged;
    size_t staged_count, staged_cap;
    struct hist_series **map; /* dictionary of the batch at hand */
    size_t map_cap;
    struct hist_series **touched;
    size_t touched_count, touched_cap;
    struct point *sorted;
    size_t sorted_cap;
    struct block_writer block;
    struct wbuf data;
};

struct commit {
    struct lite *h;
    struct commit_scratch *s;
    struct historian_commit_result *result;
    struct nx_note *why;
    int64_t now_us;
    uint64_t hot_points, hot_bytes; /* after it */
};

/* The lane of a batch, made when it is new, ready for numbers to be added to its pending ones. */
struct hist_lane *lane_touch(struct lite *h, const struct batch_header *hdr);
/* What the commit adds to a lane and its ledger. */
enum nx_err lane_write(struct commit *c, struct hist_lane *lane);
/* Afterwards: what is pending is done, or forgotten. */
void lanes_settle(struct lite *h, bool stored);

#endif
