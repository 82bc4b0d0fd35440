/* learned.h -- what drivers have learned of their devices (holes, limits), kept over restarts in one JSON file.
 *
 * The file is written at most every LEARNED_WRITE_MS (saver.h); what a kill costs is learned again. A file that cannot
 * be read is ignored with a warning: nothing depends on it. One loop thread. */
#ifndef GATEWAY_LEARNED_H
#define GATEWAY_LEARNED_H

#include "loop/loop.h"

#define LEARNED_WRITE_MS 5000u

struct learned;

/* path is copied. */
struct learned *learned_open(struct loop *loop, const char *path);
/* Writes what is not yet written, now. */
void learned_close(struct learned **l);

/* NULL: nothing. Borrowed until the next put of this device. */
const char *learned_get(const struct learned *l, const char *device_id);
/* text "" forgets. */
void learned_put(struct learned *l, const char *device_id, const char *text);

#endif
