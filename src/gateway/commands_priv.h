/* commands_priv.h -- what the files of the write commands share: commands.c (arrival, order, bounds, life) and
 * command_run.c (what happens to one command once it is its turn). */
#ifndef GATEWAY_COMMANDS_PRIV_H
#define GATEWAY_COMMANDS_PRIV_H

#include "gateway/answers.h"
#include "gateway/commands.h"
#include "gateway/seen.h"

#include <uthash.h>

/* Writes of one tag go one after the other. A lane lives while it has a holder. */
struct lane {
    char *key;               /* "device/tag": neither has a slash */
    struct command *holder;  /* ready or running */
    struct command *waiting; /* list */
    UT_hash_handle hh;
};

struct command {
    struct commands *owner;
    struct command *prev, *next; /* in lane->waiting or commands.ready */
    struct command *follower;    /* the next write of the same message: its turn comes when this one has ended */
    struct lane *lane;           /* NULL: none yet, or no longer needed */
    struct arena arena;          /* the texts below */
    const char *device, *tag, *id, *response_topic;
    struct slice correlation;
    struct nx_value value, expected;
    bool has_expected;
    unsigned priority;
    uint64_t received_ms, turn_ms, expires_ms; /* turn_ms: when it was queued; expires_ms 0: never */
    struct answer *answer;                     /* that is owed; NULL: none is wanted or not accepted yet */
    struct nx_dev *dev;
    struct slot *slot;
    struct dev_read read;
    struct nx_read_item item;
    struct dev_write write;
    struct nx_value got; /* normalized; texts in arena */
    uint16_t got_quality;
    struct nx_note got_why;
};

struct commands {
    struct loop *loop;
    struct commands_conf conf;
    struct commands_ops ops;
    void *arg;
    struct command *ready; /* list: their turn has come */
    struct lane *lanes;    /* hash by key */
    struct answers *answers;
    struct seen *seen;
    bool is_deferred, is_stopping, is_dead; /* dead: freed by the run that is still to come */
    void (*idle)(void *arg);
    void *idle_arg;
    struct commands_stats stats;
    struct log_ctx log;
    struct metrics *metrics;
};

struct outcome {
    bool is_success;
    const char *code, *error; /* NULL: none */
    const struct nx_value *value;
};

/* --- command_run.c --- */

/* Why it may not run, with its code; NULL: it may. Finds the slot. */
const char *command_refusal(struct command *cmd, const char **code, struct nx_note *why);
/* Begins; ends in exactly one command_finish(), at once or later. */
void command_run(struct command *cmd);
/* Milliseconds until it may not begin any more. */
uint64_t command_time_left(const struct command *cmd);

/* --- commands.c --- */

/* What is true of the command if the program ended now. */
void command_note(struct command *cmd, const struct outcome *o);
/* The only way out of running; cmd is freed later. */
void command_finish(struct command *cmd, const struct outcome *o);

#endif
