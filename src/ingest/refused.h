/* refused.h -- batches that the database refuses, kept whole: one file each, a batch record under a name of its own
 * ({gateway}, a new epoch, sequence 1), so that it can be published to nexus/v1/batch/{gateway}/{lane} once more when
 * the cause is gone.
 *
 * At most 1,000 files and 256 MiB; beyond, the oldest go, counted. Any thread. */
#ifndef INGEST_REFUSED_H
#define INGEST_REFUSED_H

#include "model/batch.h"
#include "nexus/err.h"

#include <pthread.h>

struct refused {
    char *dir;
    pthread_mutex_t lock;
    uint64_t last_epoch;
    uint64_t removed; /* files beyond the bounds */
};

void refused_init(struct refused *r, const char *parent_dir);
void refused_fini(struct refused *r);
/* Writes the file and syncs it; path: what it is called. On an error nothing was kept. */
NX_MUST_CHECK enum nx_err refused_put(struct refused *r, const struct batch *b, int64_t wall_us, char *path,
                                      size_t path_cap, struct nx_note *why);

#endif
