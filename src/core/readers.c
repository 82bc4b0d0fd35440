/* readers.c -- a few open historian readers, lent to one worker at a time. */
#include "base/mem.h"
#include "core/core_priv.h"
#include "historian/historian.h"

#include <pthread.h>
#include <stdlib.h>

#define READERS_KEPT 8

struct readers {
    pthread_mutex_t lock;
    char *url;
    struct historian *idle[READERS_KEPT];
    unsigned idle_count;
};

struct readers *
readers_new(const char *url)
{
    struct readers *r = mem_alloc(sizeof *r);

    pthread_mutex_init(&r->lock, NULL);
    r->url = mem_strdup(url);
    return r;
}

void
readers_free(struct readers **pr)
{
    struct readers *r = *pr;

    *pr = NULL;
    if (!r)
        return;
    while (r->idle_count > 0)
        historian_close(&r->idle[--r->idle_count]);
    pthread_mutex_destroy(&r->lock);
    free(r->url);
    free(r);
}

enum nx_err
readers_take(struct readers *r, struct historian **out, struct nx_note *why)
{
    *out = NULL;
    pthread_mutex_lock(&r->lock);
    if (r->idle_count > 0)
        *out = r->idle[--r->idle_count];
    pthread_mutex_unlock(&r->lock);
    if (*out)
        return NX_OK;
    return historian_open(out, &(struct historian_conf){.url = r->url, .role = HISTORIAN_READER}, why);
}

void
readers_give(struct readers *r, struct historian *h, bool is_good)
{
    bool is_kept = false;

    pthread_mutex_lock(&r->lock);
    if (is_good && r->idle_count < READERS_KEPT) {
        r->idle[r->idle_count++] = h;
        is_kept = true;
    }
    pthread_mutex_unlock(&r->lock);
    if (!is_kept)
        historian_close(&h);
}
