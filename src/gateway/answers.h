/* answers.h -- the answers that commands are owed: kept until the broker has acknowledged them.
 *
 * An answer is made when its command is taken, with the text that is true if the program ended now; the text is
 * replaced as the command goes on, and sent when it is final. All of them are mirrored into a file, so that after kill
 * -9 the callers still get theirs: "nothing was written", "outcome unknown", or the final one when only the broker had
 * not taken it. The broker may then deliver an answer twice, as QoS 1 always may; its text is the same.
 *
 * Bounds: ANSWERS_MAX in memory, `file_max` in the file; what is beyond is refused, or in memory only. The file is not
 * synced: it survives the end of the process, not a power cut. One loop thread. */
#ifndef GATEWAY_ANSWERS_H
#define GATEWAY_ANSWERS_H

#include "gateway/outlet.h"

#define ANSWERS_MAX        16384u /* more than commands.queue_size and commands.max_concurrent_writes may ever be */
#define ANSWERS_FILE_BYTES 2048u  /* of one answer in the file; longer ones are in memory only */

struct answers;
struct answer;

/* path NULL: memory only. What an earlier run has left in the file is sent by answers_ready(). Never NULL. */
struct answers *answers_open(const char *path, unsigned file_max, const struct outlet *out);
/* What was not sent stays in the file. */
void answers_close(struct answers **a);

/* NULL when there are too many (counted). Topic, correlation and text are copied. is_kept: into the file too. */
struct answer *answers_owe(struct answers *a, const char *topic, struct slice correlation, const char *text,
                           bool is_kept);
/* Another text, not final yet. */
void answer_change(struct answer *ans, const char *text);
/* The final text: it is sent now or when the broker takes it. The answer is no longer the caller's. */
void answer_send(struct answer *ans, const char *text);
/* The broker may take more. */
void answers_ready(struct answers *a);

struct answers_stats {
    uint64_t lost;      /* refused by the broker for good, or too many */
    unsigned waiting;   /* final, not handed to the broker yet */
    unsigned unsettled; /* of every state */
};
struct answers_stats answers_stats_of(const struct answers *a);

#endif
