/* process.h -- child processes of a supervisor. Loop thread. */
#ifndef LOOP_PROCESS_H
#define LOOP_PROCESS_H

#include "loop/loop.h"

struct process;

struct process_conf {
    const char *const *argv; /* argv[0] is looked up in PATH; ends with NULL */
    const char *const *env;  /* added to our own environment, "NAME=value"; ends with NULL; may be NULL */
    /* The child has ended; the process object is gone when this returns. */
    void (*on_exit)(void *arg, int64_t exit_status, int signum);
    void *arg;
};

/* Starts a child with our standard output and error, standard input closed. The child gets a signal when we die
 * only if it asks for it (see app/supervised.c). NX_E_NOT_FOUND and others name the program. */
NX_MUST_CHECK enum nx_err process_start(struct process **out, struct loop *loop, const struct process_conf *conf,
                                        struct nx_note *why);
int process_pid(const struct process *p);
void process_signal(struct process *p, int signum);

#endif
