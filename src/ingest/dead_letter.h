/* dead_letter.h -- bounded file of messages that could not be used: one JSON object a line {time, topic, reason, bytes,
 * payload (base64 of at most 3 KiB)}.
 *
 * At most 20 lines a second are written, further ones are only counted by the caller; past 8 MiB the file is renamed to
 * .1 (one generation). Failing to write is not an error: the stream goes on. One thread. */
#ifndef INGEST_DEAD_LETTER_H
#define INGEST_DEAD_LETTER_H

#include "base/slice.h"

struct dead_letter {
    char *path;
    int64_t second; /* of the present allowance */
    unsigned written_in_second;
};

void dead_letter_init(struct dead_letter *d, const char *dir);
void dead_letter_fini(struct dead_letter *d);
/* false when the line was not written. */
bool dead_letter_put(struct dead_letter *d, int64_t wall_us, struct slice topic, struct slice payload,
                     const char *reason);

#endif
