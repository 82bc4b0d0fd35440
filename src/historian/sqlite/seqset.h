/* seqset.h -- a set of sequence numbers as sorted stretches that never touch. Pure; one thread. */
#ifndef HISTORIAN_SEQSET_H
#define HISTORIAN_SEQSET_H

#include "model/batch.h"

/* Zero-initialised is empty. */
struct seqset {
    struct batch_range *items; /* ascending; a hole of at least one number between neighbours */
    size_t count, cap;
};

void seqset_fini(struct seqset *r);
void seqset_copy(struct seqset *to, const struct seqset *from);
/* Adds [from, to], joins what it touches, and returns the joined stretch. */
struct batch_range seqset_add(struct seqset *r, uint64_t from, uint64_t to);
/* The stretch that holds seq, or NULL. */
const struct batch_range *seqset_find(const struct seqset *r, uint64_t seq);
/* Numbers in [1, highest] that are not in the set. */
uint64_t seqset_missing(const struct seqset *r);

#endif
