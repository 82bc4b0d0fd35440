/* saver.h -- a small file that follows a state in memory: written whole and atomically on the worker pool, some time
 * after a change, so that a loop never waits for a disk. A kill in between costs the changes since. One loop thread. */
#ifndef GATEWAY_SAVER_H
#define GATEWAY_SAVER_H

#include "loop/loop.h"

struct saver;

struct saver_conf {
    const char *path;         /* copied */
    const char *complaint;    /* logged when it cannot be written: what that means. A literal */
    uint32_t delay_ms;        /* from a change to the writing */
    char *(*text)(void *arg); /* the whole file, malloc()ed; loop thread */
    void *arg;
};

struct saver *saver_new(struct loop *loop, const struct saver_conf *conf);
/* Writes what is not yet written, now; text() is called for the last time. */
void saver_free(struct saver **s);
/* The state has changed. */
void saver_touch(struct saver *s);

#endif
