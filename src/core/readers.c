/* readers.c -- a few open historian readers, lent to one worker at a time. */
#include "base/mem.h"
#include "core/core_priv.h"
#include "historian/historian.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define READERS_KEPT 64 /* most of database.pool_size */
#define AWAY_MS      5000
#define AWAY_FACTOR  4 /* of the time that it took to see that the standby is away */

struct idle {
    struct reader reader;
    int64_t since_ms;
};

struct readers {
    pthread_mutex_t lock;
    char *url, *password;
    char *standby_url; /* NULL: none */
    unsigned most;
    int64_t max_idle_ms;
    struct idle idle[READERS_KEPT]; /* the one that was used last is the last */
    unsigned idle_count;
    bool is_away; /* the standby, and why */
    struct nx_note away;
    int64_t away_until_ms; /* not tried before this */
};

static int64_t
now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static enum nx_err
set_standby(struct readers *r, const struct core_conf *conf, struct nx_note *why)
{
    char shown[200];

    if (!conf->read_url || !conf->read_url[0])
        return NX_OK;
    if (strncmp(r->url, "postgres", 8) != 0 || strncmp(conf->read_url, "postgres", 8) != 0)
        return nx_fail(why, NX_E_CONFIG,
                       "historian.read_url names a standby of a PostgreSQL server, postgres://user@host:5432/database,"
                       " but values are kept in %s: take it away, or set historian.url or database.host",
                       historian_shown_url(r->url, shown, sizeof shown));
    r->standby_url = historian_settings_with_tls(&conf->store, conf->read_url);
    return NX_OK;
}

enum nx_err
readers_new(struct readers **out, const struct core_conf *conf, struct nx_note *why)
{
    struct readers *r = mem_alloc(sizeof *r);
    enum nx_err err;

    pthread_mutex_init(&r->lock, NULL);
    r->url = historian_settings_url(&conf->store);
    r->password = conf->store.password ? mem_strdup(conf->store.password) : NULL;
    r->most = (unsigned)conf->database.pool_size;
    r->max_idle_ms = conf->database.max_idle_time_ms;
    if ((err = set_standby(r, conf, why)) != NX_OK)
        readers_free(&r);
    *out = r;
    return err;
}

void
readers_free(struct readers **pr)
{
    struct readers *r = *pr;

    *pr = NULL;
    if (!r)
        return;
    while (r->idle_count > 0)
        historian_close(&r->idle[--r->idle_count].reader.h);
    pthread_mutex_destroy(&r->lock);
    free(r->url);
    free(r->standby_url);
    free(r->password);
    free(r);
}

/* --- taking --- */

/* With the lock. */
static void
remove_idle(struct readers *r, unsigned i)
{
    memmove(&r->idle[i], &r->idle[i + 1], (--r->idle_count - i) * sizeof r->idle[0]);
}

/* *out is {0} when none of its kind is idle. */
static void
take_idle(struct readers *r, bool is_primary, struct reader *out)
{
    *out = (struct reader){0};
    pthread_mutex_lock(&r->lock);
    for (unsigned i = r->idle_count; i > 0 && !out->h; i--)
        if (r->idle[i - 1].reader.is_primary == is_primary) {
            *out = r->idle[i - 1].reader;
            remove_idle(r, i - 1);
        }
    pthread_mutex_unlock(&r->lock);
}

static enum nx_err
take_of(struct readers *r, bool is_primary, struct reader *out, struct nx_note *why)
{
    const struct historian_conf conf = {.url = is_primary ? r->url : r->standby_url,
                                        .password = r->password,
                                        .role = HISTORIAN_READER};

    while (take_idle(r, is_primary, out), out->h) {
        if (historian_is_connected(out->h))
            return NX_OK;
        historian_close(&out->h);
    }
    out->is_primary = is_primary;
    return historian_open(&out->h, &conf, why);
}

static void
note_standby(struct readers *r, enum nx_err err, const struct nx_note *why, int64_t began_ms)
{
    int64_t pause_ms = AWAY_FACTOR * (now_ms() - began_ms);
    bool was_away;

    pthread_mutex_lock(&r->lock);
    was_away = r->is_away;
    r->is_away = err != NX_OK;
    r->away = *why;
    r->away_until_ms = now_ms() + (pause_ms > AWAY_MS ? pause_ms : AWAY_MS);
    pthread_mutex_unlock(&r->lock);
    if (err != NX_OK && !was_away)
        log_warn(&core_log, "history is read from the primary: the standby is away", KV_NOTE(why));
    else if (err == NX_OK && was_away)
        log_info(&core_log, "history is read from the standby again");
}

static bool
should_ask_standby(struct readers *r)
{
    bool should;

    pthread_mutex_lock(&r->lock);
    should = r->standby_url && (!r->is_away || now_ms() >= r->away_until_ms);
    pthread_mutex_unlock(&r->lock);
    return should;
}

enum nx_err
readers_take(struct readers *r, enum readers_from from, struct reader *out, struct nx_note *why)
{
    struct nx_note note = {0};
    int64_t began_ms = now_ms();
    enum nx_err err;

    if (from == READERS_ANY && should_ask_standby(r)) {
        err = take_of(r, false, out, &note);
        note_standby(r, err, &note, began_ms);
        if (err == NX_OK)
            return NX_OK;
    }
    return take_of(r, true, out, why);
}

bool
readers_is_away(struct readers *r, struct nx_note *why)
{
    bool is_away;

    pthread_mutex_lock(&r->lock);
    is_away = r->is_away;
    *why = r->away;
    pthread_mutex_unlock(&r->lock);
    return is_away;
}

/* --- giving --- */

void
readers_give(struct readers *r, struct reader reader, bool is_good)
{
    bool is_kept = false;
    struct reader other;

    pthread_mutex_lock(&r->lock);
    if (reader.h && is_good && r->idle_count < r->most) {
        r->idle[r->idle_count++] = (struct idle){reader, now_ms()};
        is_kept = true;
    }
    pthread_mutex_unlock(&r->lock);
    if (is_kept)
        return;
    historian_close(&reader.h);
    while (!is_good && (take_idle(r, reader.is_primary, &other), other.h))
        historian_close(&other.h);
}

static struct historian *
take_stale(struct readers *r)
{
    struct historian *h = NULL;

    pthread_mutex_lock(&r->lock);
    if (r->idle_count > 0 && now_ms() - r->idle[0].since_ms >= r->max_idle_ms) {
        h = r->idle[0].reader.h;
        remove_idle(r, 0);
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
