/* run.h -- a run: points of one series in ascending time as compact bytes. Sealed chunks are runs, hot blocks are made
 * of them. Layout: docs/formats/historian-sqlite.md. Pure.
 *
 * Times are kept in the coarsest unit that loses nothing, as deltas of deltas; quality and type as lengths of equal
 * stretches; integers and decimal numbers as deltas, other doubles as differing bytes. Every value comes back bit for
 * bit. point.series and point.gateway_us are not kept. */
#ifndef HISTORIAN_RUN_H
#define HISTORIAN_RUN_H

#include "base/wbuf.h"
#include "model/point.h"
#include "nexus/err.h"

#define RUN_MAX_POINTS 4096u

/* n in 1..RUN_MAX_POINTS; times must not descend. Fails only through w (too large). */
void run_encode(struct wbuf *w, const struct point *points, size_t n);
/* Decodes the n points that were encoded; strings point into data. NX_E_CORRUPT when the bytes are not a run of n
 * points. Never reads past data. */
NX_MUST_CHECK enum nx_err run_decode(struct slice data, struct point *points, size_t n);

#endif
