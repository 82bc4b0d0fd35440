/* ranges.h -- a set of sequence numbers as sorted stretches that never touch. Pure; one thread. */
#ifndef HISTORIAN_RANGES_H
#define HISTORIAN_RANGES_H

#include "model/batch.h"

/* Zero-initialised is empty. */
struct ranges {
    struct batch_range *items; /* ascending; a hole of at least one number between neighbours */
    size_t count, cap;
};

void ranges_fini(struct ranges *r);
void ranges_copy(struct ranges *to, const struct ranges *from);
/* Adds [from, to], joins what it touches, and returns the joined stretch. */
struct batch_range ranges_add(struct ranges *r, uint64_t from, uint64_t to);
/* The stretch that holds seq, or NULL. */
const struct batch_range *ranges_find(const struct ranges *r, uint64_t seq);
/* Numbers in [1, highest] that are not in the set. */
uint64_t ranges_missing(const struct ranges *r);

#endif
