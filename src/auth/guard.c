/* guard.c -- delays for guessed passwords: per account and address, exponential, bounded. */
#include "auth/auth.h"

#include "base/mem.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#define MAX_ENTRIES    10000u
#define FREE_FAILURES  5u
#define FIRST_DELAY_MS 1000u
#define LONGEST_MS     (15u * 60u * 1000u)
#define FORGET_MS      (15u * 60u * 1000u) /* after the delay is over */
#define KEY_CAP        160u

struct entry {
    UT_hash_handle hh; /* in the order of insertion: the oldest comes first */
    char key[KEY_CAP];
    unsigned failures;
    uint64_t open_at_ms;
};

struct auth_guard {
    pthread_mutex_t lock; /* login handlers run on the worker pool */
    struct entry *entries;
};

struct auth_guard *
auth_guard_new(void)
{
    struct auth_guard *g = mem_alloc(sizeof *g);

    pthread_mutex_init(&g->lock, NULL);
    return g;
}

void
auth_guard_free(struct auth_guard **g)
{
    struct entry *e, *next;

    if (!*g)
        return;
    HASH_ITER (hh, (*g)->entries, e, next) {
        HASH_DEL((*g)->entries, e);
        free(e);
    }
    pthread_mutex_destroy(&(*g)->lock);
    free(*g);
    *g = NULL;
}

/* Names of users are equal without case: each spelling must not bring attempts of its own. */
static void
make_key(char key[KEY_CAP], const char *account, const char *peer)
{
    (void)snprintf(key, KEY_CAP, "%.64s\n%.80s", account, peer ? peer : "");
    for (char *p = key; *p; p++)
        *p = (char)tolower((unsigned char)*p);
}

static struct entry *
find(struct auth_guard *g, const char *key, uint64_t now_ms)
{
    struct entry *e;

    HASH_FIND_STR(g->entries, key, e);
    if (!e || now_ms < e->open_at_ms + FORGET_MS)
        return e;
    HASH_DEL(g->entries, e);
    free(e);
    return NULL;
}

uint64_t
auth_guard_wait_ms(struct auth_guard *g, const char *account, const char *peer, uint64_t now_ms)
{
    char key[KEY_CAP];
    uint64_t wait = 0;

    make_key(key, account, peer);
    pthread_mutex_lock(&g->lock);
    const struct entry *e = find(g, key, now_ms);
    if (e && e->open_at_ms > now_ms)
        wait = e->open_at_ms - now_ms;
    pthread_mutex_unlock(&g->lock);
    return wait;
}

static struct entry *
add(struct auth_guard *g, const char *key)
{
    if (HASH_COUNT(g->entries) >= MAX_ENTRIES) {
        struct entry *oldest = g->entries;

        HASH_DEL(g->entries, oldest);
        free(oldest);
    }
    struct entry *e = mem_alloc(sizeof *e);
    (void)snprintf(e->key, sizeof e->key, "%s", key);
    HASH_ADD_STR(g->entries, key, e);
    return e;
}

static uint64_t
delay_after(unsigned failures)
{
    if (failures < FREE_FAILURES)
        return 0;
    unsigned doublings = failures - FREE_FAILURES;
    uint64_t delay = doublings < 20 ? (uint64_t)FIRST_DELAY_MS << doublings : LONGEST_MS;
    return delay < LONGEST_MS ? delay : LONGEST_MS;
}

void
auth_guard_result(struct auth_guard *g, const char *account, const char *peer, uint64_t now_ms, bool success)
{
    char key[KEY_CAP];

    make_key(key, account, peer);
    pthread_mutex_lock(&g->lock);
    struct entry *e = find(g, key, now_ms);
    if (success && e) {
        HASH_DEL(g->entries, e);
        free(e);
    } else if (!success) {
        if (!e)
            e = add(g, key);
        e->failures++;
        e->open_at_ms = now_ms + delay_after(e->failures);
    }
    pthread_mutex_unlock(&g->lock);
}
