/* commands.h -- write commands: topic and payload in, checks, driver write, read-back, exactly one response.
 *
 *   received -> queued -> [check: read and compare with `expected`] -> write -> [read-back] -> answered
 *
 * Refused with a response: unknown tag, no write access, value or range, TTL over, device not connected, more than
 * max_concurrent writes, queue full. Ignored in silence: devices of other gateways, retained messages, an id that was
 * seen before (never executed twice, whatever became of it: a new try needs a new id). A write without an answer of the
 * device is reported as unknown, not as failed. A response names one tag; a message that writes several tags has one
 * response for each, writes them one after the other in its order, and goes on when one fails. Writes of one tag keep
 * the order of their arrival.
 *
 * With a state_path this holds over kill -9 too: ids stay known, and what was accepted and not answered is answered by
 * the next run (seen.h, answers.h). A power cut may cost the newest of both.
 *
 * Bounds: queue_size commands waiting, max_concurrent under way, ANSWERS_MAX responses waiting for the broker. */
#ifndef GATEWAY_COMMANDS_H
#define GATEWAY_COMMANDS_H

#include "gateway/engine.h"
#include "gateway/outlet.h"

struct commands;

struct commands_conf {
    const char *prefix; /* "$nexus"; borrowed */
    unsigned max_concurrent, queue_size;
    uint32_t write_timeout_ms;
    bool want_answers;
    const char *state_path; /* of its files, without their endings; NULL: memory only. For commands_new() */
};

struct commands_ops {
    /* Is the device one of ours? *dev is NULL when it is not running. */
    bool (*find)(void *arg, const char *device_id, struct nx_dev **dev);
    /* A value that was read back. */
    bool (*on_sample)(void *arg, struct slot *slot, const struct sample *s);
};

struct commands_stats {
    uint64_t received, done, failed, rejected, duplicates;
    unsigned waiting, running;
};

struct commands *commands_new(struct loop *loop, const struct commands_conf *conf, const struct commands_ops *ops,
                              void *arg, const struct outlet *out, struct metrics *metrics);
void commands_free(struct commands **c);

/* Any message; those that are no commands are ignored (false). The caller acknowledges it. */
bool commands_message(struct commands *c, const struct mqtt_message *msg);
/* Answers that the broker did not take yet. */
void commands_ready(struct commands *c);
/* Refuses what waits and what comes; idle (may be NULL) runs once when nothing is under way. */
void commands_stop(struct commands *c, void (*idle)(void *arg), void *arg);
struct commands_stats commands_stats_of(const struct commands *c);

#endif
