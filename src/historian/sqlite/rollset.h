/* rollset.h -- the rollups of one series and day as compact bytes: columns, each a run. Layout:
 * docs/formats/historian-sqlite.md. Pure. */
#ifndef HISTORIAN_ROLLSET_H
#define HISTORIAN_ROLLSET_H

#include "base/wbuf.h"
#include "historian/backend.h"

#define ROLLSET_MAX 1440u /* minutes of a day */

/* n in 1..ROLLSET_MAX, of one level, ascending; sums finite, no texts. What historian_query() needs comes back bit for
 * bit; the value of first is not kept. */
void rollset_encode(struct wbuf *w, const struct history_rollup *r, size_t n, enum history_level level);
/* r has room for ROLLSET_MAX. NX_E_CORRUPT when the bytes are no rollups. Never reads past data. */
NX_MUST_CHECK enum nx_err rollset_decode(struct slice data, enum history_level level, struct history_rollup *r,
                                         size_t *n);

#endif
