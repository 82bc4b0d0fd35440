#include "gateway/seen.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "obs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

/* One place of the ring, as in the file: host byte order, like all files that never leave their machine. */
struct place {
    uint64_t hash;
    uint32_t number; /* counts up from 1; the newest has the highest */
    uint32_t crc;    /* of the fields above */
};

struct entry {
    uint64_t hash; /* 0: free */
    UT_hash_handle hh;
};

struct seen {
    struct entry *ring; /* [SEEN_MAX]; number n is at n % SEEN_MAX */
    struct entry *by_hash;
    uint32_t number; /* of the newest */
    int fd;          /* -1: memory only */
};

static const struct log_ctx seen_log = {.module = "commands"};

static uint32_t
crc_of(const struct place *p)
{
    return crc32c(0, p, offsetof(struct place, crc));
}

static void
put(struct seen *s, uint64_t hash, uint32_t number)
{
    struct entry *e = &s->ring[number % SEEN_MAX];

    if (e->hash != 0)
        HASH_DEL(s->by_hash, e);
    e->hash = hash;
    HASH_ADD(hh, s->by_hash, hash, sizeof e->hash, e);
}

static bool
is_known(const struct seen *s, uint64_t hash)
{
    struct entry *e;

    HASH_FIND(hh, s->by_hash, &hash, sizeof hash, e);
    return e != NULL;
}

static void
give_up(struct seen *s, const char *path, const char *what)
{
    log_error(&seen_log, "the ids of commands cannot be kept on disk; after a restart a repeated command may run again",
              KV_STR("file", path), KV_STR("call", what), KV_STR("reason", strerror(errno)));
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
}

static void
load(struct seen *s)
{
    struct place *places = mem_calloc(SEEN_MAX, sizeof *places);
    ssize_t n = pread(s->fd, places, SEEN_MAX * sizeof *places, 0);

    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof *places; i++) {
        const struct place *p = &places[i];
        if (p->hash == 0 || p->crc != crc_of(p) || p->number % SEEN_MAX != i || is_known(s, p->hash))
            continue;
        put(s, p->hash, p->number);
        if (p->number > s->number)
            s->number = p->number;
    }
    free(places);
}

struct seen *
seen_open(const char *path)
{
    struct seen *s = mem_alloc(sizeof *s);

    s->ring = mem_calloc(SEEN_MAX, sizeof *s->ring);
    s->fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (path && s->fd < 0)
        give_up(s, path, "open");
    else if (path && (errno = posix_fallocate(s->fd, 0, (off_t)(SEEN_MAX * sizeof(struct place)))) != 0)
        give_up(s, path, "allocate");
    if (s->fd >= 0)
        load(s);
    return s;
}

void
seen_close(struct seen **sp)
{
    struct seen *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    HASH_CLEAR(hh, s->by_hash);
    if (s->fd >= 0)
        (void)close(s->fd);
    free(s->ring);
    free(s);
}

bool
seen_take(struct seen *s, uint64_t hash)
{
    struct place p = {.hash = hash, .number = s->number + 1};

    if (is_known(s, hash))
        return false;
    s->number++;
    put(s, hash, s->number);
    if (s->fd < 0)
        return true;
    p.crc = crc_of(&p);
    if (pwrite(s->fd, &p, sizeof p, (off_t)((p.number % SEEN_MAX) * sizeof p)) != (ssize_t)sizeof p)
        give_up(s, "", "write");
    return true;
}

uint64_t
seen_hash(const char *const *parts, unsigned n)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */

    for (unsigned i = 0; i < n; i++)
        for (const char *p = parts[i];; p++) {
            h = (h ^ (uint8_t)*p) * 1099511628211u;
            if (!*p)
                break;
        }
    return h ? h : 1;
}
