#include "core/sessions.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <uthash.h>

struct entry {
    struct session s;
    UT_hash_handle hh; /* in order of the last use, oldest first */
};

struct sessions {
    pthread_mutex_t lock;
    struct entry *entries;
    int64_t ttl_us;
};

struct sessions *
sessions_new(int64_t ttl_us)
{
    struct sessions *s = mem_alloc(sizeof *s);

    pthread_mutex_init(&s->lock, NULL);
    s->ttl_us = ttl_us;
    return s;
}

static void
entry_free(struct sessions *s, struct entry *e)
{
    HASH_DEL(s->entries, e);
    free(e);
}

void
sessions_free(struct sessions **ps)
{
    struct sessions *s = *ps;

    *ps = NULL;
    if (!s)
        return;
    while (s->entries)
        entry_free(s, s->entries);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static struct entry *
entry_find(struct sessions *s, const char *digest)
{
    struct entry *e = NULL;

    HASH_FIND_STR(s->entries, digest, e);
    return e;
}

void
sessions_add(struct sessions *s, const struct session *session)
{
    struct entry *e = mem_alloc(sizeof *e), *old;

    e->s = *session;
    pthread_mutex_lock(&s->lock);
    if ((old = entry_find(s, session->digest)))
        entry_free(s, old);
    if (HASH_COUNT(s->entries) >= SESSIONS_MAX)
        entry_free(s, s->entries);
    HASH_ADD_STR(s->entries, s.digest, e);
    pthread_mutex_unlock(&s->lock);
}

bool
sessions_use(struct sessions *s, const char *digest, int64_t now_us, struct session *out)
{
    struct entry *e;
    bool is_valid;

    pthread_mutex_lock(&s->lock);
    e = entry_find(s, digest);
    is_valid = e && e->s.expires_us > now_us;
    if (is_valid) {
        e->s.last_seen_us = now_us;
        e->s.expires_us = now_us + s->ttl_us;
        HASH_DEL(s->entries, e);
        HASH_ADD_STR(s->entries, s.digest, e);
        *out = e->s;
    }
    pthread_mutex_unlock(&s->lock);
    return is_valid;
}

void
sessions_remove(struct sessions *s, const char *digest)
{
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    e = entry_find(s, digest);
    if (e)
        entry_free(s, e);
    pthread_mutex_unlock(&s->lock);
}

void
sessions_remove_user(struct sessions *s, int64_t user_id, const char *but_digest)
{
    struct entry *e, *next;

    pthread_mutex_lock(&s->lock);
    HASH_ITER (hh, s->entries, e, next) {
        if (e->s.user_id == user_id && (!but_digest || strcmp(e->s.digest, but_digest) != 0))
            entry_free(s, e);
    }
    pthread_mutex_unlock(&s->lock);
}

size_t
sessions_sweep(struct sessions *s, int64_t now_us, int64_t since_us, struct session *out, size_t cap)
{
    struct entry *e, *next;
    size_t n = 0;

    pthread_mutex_lock(&s->lock);
    HASH_ITER (hh, s->entries, e, next) {
        if (e->s.expires_us <= now_us)
            entry_free(s, e);
        else if (e->s.last_seen_us > since_us && n < cap)
            out[n++] = e->s;
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}
