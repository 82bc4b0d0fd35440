/* ranges.h -- a set of numbers kept as sorted, disjoint, never adjacent ranges. One thread. */
#ifndef SPOOL_RANGES_H
#define SPOOL_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
    uint64_t from, to; /* inclusive */
};

/* Zero-initialised is empty. */
struct ranges {
    struct range *list;
    size_t count, cap;
};

void ranges_free(struct ranges *r);
void ranges_add(struct ranges *r, uint64_t from, uint64_t to);
/* Forgets everything below first. */
void ranges_cut_below(struct ranges *r, uint64_t first);
bool ranges_has(const struct ranges *r, uint64_t n);
/* The first number >= n that is not in the set. */
uint64_t ranges_next_absent(const struct ranges *r, uint64_t n);
/* The first number >= n that is in the set; UINT64_MAX when there is none. */
uint64_t ranges_next_present(const struct ranges *r, uint64_t n);

#endif
