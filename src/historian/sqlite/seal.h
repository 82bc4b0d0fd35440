/* seal.h -- a sealing under way, between seal.c (blocks, extent, end) and sealday.c (the chunks of one day). */
#ifndef HISTORIAN_SQLITE_SEAL_H
#define HISTORIAN_SQLITE_SEAL_H

#include "historian/sqlite/block.h"
#include "historian/sqlite/lite.h"

/* Points of one series on one day. */
struct part {
    int day;
    uint32_t sid;
    size_t first, count;
};

struct ordered_run {
    struct block_run run;
    int64_t block_id;
    size_t order; /* of storing */
};

struct seal {
    struct lite *h;
    struct nx_note *why;
    int64_t through;
    struct arena blobs; /* hot blocks; texts of points lie in them */
    struct ordered_run *runs;
    size_t run_count, run_cap;
    struct point *points;
    size_t point_count, point_cap;
    struct part *parts;
    size_t part_count, part_cap;
    uint64_t duplicates;
    struct nx_note damage; /* the first thing that could not be read and was set aside; err 0: none */
    /* of the day at hand */
    struct db *day;
    struct arena old; /* chunks read back */
    struct point *merged;
    size_t merged_cap;
    struct wbuf data;
    uint64_t day_points;
};

/* Room for `need` elements; new ones are not zeroed. */
void *seal_grow(void *array, size_t *cap, size_t need, size_t size);
/* Remembers the first damage, to be told when the sealing has ended well. */
void seal_note_damage(struct seal *s, const char *path, const char *what, uint64_t values);
/* Has day already what this sealing brings? */
enum nx_err seal_is_in_day(struct seal *s, bool *sealed);
/* Merges parts of one day into its file, in one transaction. */
enum nx_err seal_write_day(struct seal *s, const struct part *parts, size_t n);

#endif
