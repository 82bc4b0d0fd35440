/* dead_letter.h -- bounded file of messages that could not be used: one JSON object a line {time, topic, reason, bytes,
 * payload (base64 of at most 3 KiB)}.
 *
 * At most 20 lines a second are written, further ones are only counted; past 8 MiB the file is renamed to .1 (one
 * generation). Failing to write is not an error: the stream goes on. One thread. */
#ifndef INGEST_DEAD_LETTER_H
#define INGEST_DEAD_LETTER_H

#include "base/slice.h"

#include <jansson.h>

#define DEAD_LETTERS_MAX 1000u

struct dead_letter {
    char *path;
    int64_t second; /* of the present allowance */
    unsigned written_in_second;
    uint64_t seen, kept; /* since the start: all; those with a line */
};

void dead_letter_init(struct dead_letter *d, const char *dir);
void dead_letter_fini(struct dead_letter *d);
/* false when the line was not written. */
bool dead_letter_put(struct dead_letter *d, int64_t wall_us, struct slice topic, struct slice payload,
                     const char *reason);

/* The newest lines of the file and of the generation before it, newest first, at most limit (<= DEAD_LETTERS_MAX): a
 * new array of objects as they were written. What is damaged or being written just now is left out. Any thread; blocks.
 */
json_t *dead_letter_list(const char *path, size_t limit);

#endif
