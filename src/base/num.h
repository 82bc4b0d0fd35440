/* num.h -- strict number, duration and size reading, edit distance for near misses, a small random generator. Pure. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include "base/slice.h"

/* The whole slice must be the number. Decimal, or 0x... for integers. false leaves *out alone. */
bool num_i64(struct slice s, int64_t *out);
bool num_u64(struct slice s, uint64_t *out);
bool num_double(struct slice s, double *out); /* finite only; locale does not matter */
bool num_bool(struct slice s, bool *out);     /* true false yes no on off 1 0 */
/* "250ms", "2s", "1.5m", "24h", "7d"; a bare number is taken as seconds. Result in milliseconds. */
bool num_duration_ms(struct slice s, int64_t *out);
/* "64MB", "512KiB", "1G", "4096". Result in bytes; K/M/G/T are powers of 1024. */
bool num_bytes(struct slice s, uint64_t *out);

/* Levenshtein distance, capped at 8. Case is ignored. */
unsigned num_edit_distance(const char *a, const char *b);
/* The entry of list[n] nearest to key, or NULL when none is near enough to be meant. */
const char *num_near_miss(const char *key, const char *const *list, size_t n);

/* xorshift64*; state must not be 0. Not for secrets. */
uint64_t num_random(uint64_t *state);
/* Uniform in [0, 1). */
double num_random_unit(uint64_t *state);

#endif
