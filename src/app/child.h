/* child.h -- one supervised child: started, restarted with back-off when it ends by itself, stopped on demand. */
#ifndef APP_CHILD_H
#define APP_CHILD_H

#include "loop/loop.h"
#include "loop/process.h"
#include "obs/log.h"

#define CHILD_MAX_ARGS 48

struct child {
    const char *name;
    struct log_ctx log;
    struct loop *loop;
    char *argv[CHILD_MAX_ARGS]; /* owned; ends with NULL */
    unsigned argc;
    struct process *process; /* NULL while it does not run */
    struct loop_timer restart, kill;
    uint64_t started_ms, backoff_ms;
    unsigned restarts;
    int stop_signal; /* SIGTERM, unless set after child_init() */
    bool is_stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* The child's command line is `exe supervised ...`; add the rest with child_arg(). */
void child_init(struct child *c, struct loop *loop, const char *name, const char *exe);
/* Appends one argument, printf-style. */
void child_arg(struct child *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void child_start(struct child *c);
/* stop_signal, SIGKILL after 10 s; stopped runs when it is gone (from the loop, also when it did not run). */
void child_stop(struct child *c, void (*stopped)(void *arg), void *arg);
void child_fini(struct child *c);

#endif
