/* readers.c -- a few open historian readers, lent to one worker at a time. */
#include "base/mem.h"
#include "core/core_priv.h"
#include "historian/historian.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define READERS_KEPT 64 /* most of database.pool_size */

struct idle {
    struct historian *h;
    int64_t since_ms;
};

struct readers {
    pthread_mutex_t lock;
    char *url, *password;
    unsigned most;
    int64_t max_idle_ms;
    struct idle idle[READERS_KEPT]; /* the one that was used last is the last */
    unsigned idle_count;
};

static int64_t
now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct readers *
readers_new(const struct core_conf *conf)
{
    struct readers *r = mem_alloc(sizeof *r);

    pthread_mutex_init(&r->lock, NULL);
    r->url = historian_settings_url(&conf->store);
    r->password = conf->store.password ? mem_strdup(conf->store.password) : NULL;
    r->most = (unsigned)conf->database.pool_size;
    r->max_idle_ms = conf->database.max_idle_time_ms;
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
        historian_close(&r->idle[--r->idle_count].h);
    pthread_mutex_destroy(&r->lock);
    free(r->url);
    free(r->password);
    free(r);
}

enum nx_err
readers_take(struct readers *r, struct historian **out, struct nx_note *why)
{
    *out = NULL;
    pthread_mutex_lock(&r->lock);
    if (r->idle_count > 0)
        *out = r->idle[--r->idle_count].h;
    pthread_mutex_unlock(&r->lock);
    if (*out)
        return NX_OK;
    return historian_open(out,
                          &(struct historian_conf){.url = r->url, .password = r->password, .role = HISTORIAN_READER},
                          why);
}

void
readers_give(struct readers *r, struct historian *h, bool is_good)
{
    bool is_kept = false;

    pthread_mutex_lock(&r->lock);
    if (is_good && r->idle_count < r->most) {
        r->idle[r->idle_count++] = (struct idle){h, now_ms()};
        is_kept = true;
    }
    pthread_mutex_unlock(&r->lock);
    if (!is_kept)
        historian_close(&h);
}

static struct historian *
take_stale(struct readers *r)
{
    struct historian *h = NULL;

    pthread_mutex_lock(&r->lock);
    if (r->idle_count > 0 && now_ms() - r->idle[0].since_ms >= r->max_idle_ms) {
        h = r->idle[0].h;
        memmove(r->idle, r->idle + 1, --r->idle_count * sizeof *r->idle);
    }
    pthread_mutex_unlock(&r->lock);
    return h;
}

void
readers_sweep(struct readers *r)
{
    struct historian *h;

    while ((h = take_stale(r)))
        historian_close(&h);
}
