/* block.h -- a hot block: the points of one commit, sorted by series, as an index and one run per series. Layout:
 * docs/formats/historian-sqlite.md. Pure. */
#ifndef HISTORIAN_BLOCK_H
#define HISTORIAN_BLOCK_H

#include "base/rbuf.h"
#include "base/wbuf.h"
#include "model/point.h"
#include "nexus/err.h"

struct block_writer {
    struct wbuf index, runs;
    uint32_t last_sid;
};

struct block_writer block_writer_init(void);
void block_writer_fini(struct block_writer *b);
/* Series in ascending order; times must not descend. */
void block_add(struct block_writer *b, uint32_t sid, const struct point *points, size_t n);
/* Appends the block to out and empties the writer. NX_E_TOO_LARGE past 1 GiB. */
NX_MUST_CHECK enum nx_err block_finish(struct block_writer *b, struct wbuf *out);

struct block_run {
    uint32_t sid;
    uint32_t count;
    struct slice data; /* for run_decode() */
};
struct block_reader {
    struct rbuf index;
    struct slice runs; /* not handed out yet */
    uint32_t sid;
    bool is_corrupt;
};
struct block_reader block_open(struct slice data);
/* The next run; false at the end or when is_corrupt was set. */
bool block_next(struct block_reader *b, struct block_run *run);

#endif
