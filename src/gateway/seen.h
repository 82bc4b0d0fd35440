/* seen.h -- the ids of commands that were taken, so that none is ever executed twice, not even after kill -9.
 *
 * A ring of the newest SEEN_MAX ids (as 64-bit hashes), mirrored into a file of fixed size. An id is in the file before
 * seen_take() returns, that is before its write can start. The file is written through the page cache and never synced:
 * it survives the end of the process, while a power cut may cost the ids of the last seconds; late commands are then
 * still stopped by their time to live. Without a file (or when the disk fails: logged once) the ring is in memory only.
 * One loop thread. */
#ifndef GATEWAY_SEEN_H
#define GATEWAY_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#define SEEN_MAX 16384u

struct seen;

/* path NULL: memory only. Never NULL. */
struct seen *seen_open(const char *path);
void seen_close(struct seen **s);
/* Remembers the hash (not 0); false when it was there already. */
bool seen_take(struct seen *s, uint64_t hash);
/* Of the parts with their terminators; never 0. */
uint64_t seen_hash(const char *const *parts, unsigned n);

#endif
