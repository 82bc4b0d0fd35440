#include "ingest/redelivery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/mem.h"

#define ENTRIES 8192u /* a power of two, above what a broker leaves unacknowledged (RECEIVE_TAGS) twice over */

/* As it lies in the file, at number % ENTRIES; of this machine only. Zero: none. */
struct entry {
    uint64_t number; /* of the message, from 1 */
    uint64_t seq;    /* spool record; 0: pending */
    uint64_t hash;
    uint16_t packet_id, unused;
    uint32_t crc; /* of all before */
};

struct redelivery {
    struct entry entries[ENTRIES];
    uint16_t place[65536]; /* packet id -> its newest entry; the entry tells whether it still is */
    uint64_t next, saved;  /* numbers: of the next message; of the first that is not in the file */
    uint64_t seed;
    char *path;
    int fd; /* -1: none */
};

static struct entry *
entry_at(struct redelivery *r, uint64_t number)
{
    return &r->entries[number % ENTRIES];
}

static uint32_t
crc_of(const struct entry *e)
{
    return crc32c(0, e, offsetof(struct entry, crc));
}

/* --- the file --- */

static enum nx_err
give_up(struct redelivery *r, struct nx_note *why)
{
    enum nx_err err =
        nx_fail_errno(why, NX_E_IO, errno, "cannot write %s: messages that the broker sends again may be stored twice",
                      r->path);

    if (r->fd >= 0) {
        (void)!ftruncate(r->fd, 0);
        (void)close(r->fd);
    }
    (void)unlink(r->path); /* entries that are not followed by newer ones would mislead the next start */
    r->fd = -1;
    return err;
}

static bool
write_entries(const struct redelivery *r, uint64_t from, uint64_t to)
{
    while (from < to) {
        size_t at = from % ENTRIES, n = ENTRIES - at < to - from ? ENTRIES - at : (size_t)(to - from);

        if (pwrite(r->fd, &r->entries[at], n * sizeof r->entries[0], (off_t)(at * sizeof r->entries[0])) !=
            (ssize_t)(n * sizeof r->entries[0]))
            return false;
        from += n;
    }
    return true;
}

static bool
is_good(const struct entry *e, size_t at, uint64_t next_seq)
{
    return e->number % ENTRIES == at && e->number > 0 && e->seq > 0 && e->seq < next_seq && e->crc == crc_of(e);
}

/* Entries whose record the spool never got are erased: another record will get their number. */
static bool
load(struct redelivery *r, uint64_t next_seq)
{
    ssize_t got = pread(r->fd, r->entries, sizeof r->entries, 0);

    if (got < 0)
        return false;
    for (size_t at = 0; at < ENTRIES; at++) {
        struct entry *e = &r->entries[at];

        if (!is_good(e, at, next_seq))
            *e = (struct entry){0};
        else if (e->number >= r->next)
            r->next = e->number + 1;
    }
    for (uint64_t n = r->next > ENTRIES ? r->next - ENTRIES : 1; n < r->next; n++) {
        if (entry_at(r, n)->number == n)
            r->place[entry_at(r, n)->packet_id] = (uint16_t)(n % ENTRIES);
    }
    r->saved = r->next;
    return got == 0 || write_entries(r, 0, ENTRIES);
}

struct redelivery *
redelivery_open(const char *path, const char *broker, uint64_t next_seq, struct nx_note *why)
{
    struct redelivery *r = mem_alloc(sizeof *r);

    r->path = mem_strdup(path);
    r->next = r->saved = 1;
    r->seed = redelivery_hash(r, slice_str(broker), slice(NULL, 0));
    r->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (r->fd < 0 || !load(r, next_seq)) {
        why->err = give_up(r, why);
        redelivery_forget(r);
    }
    return r;
}

void
redelivery_close(struct redelivery **out)
{
    struct redelivery *r = *out;

    *out = NULL;
    if (!r)
        return;
    if (r->fd >= 0)
        (void)close(r->fd);
    free(r->path);
    free(r);
}

void
redelivery_forget(struct redelivery *r)
{
    memset(r->entries, 0, sizeof r->entries);
    r->saved = r->next;
    if (r->fd >= 0)
        (void)!ftruncate(r->fd, 0);
}

/* --- messages --- */

static uint64_t
mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32;
}

static uint64_t
mix_bytes(uint64_t h, struct slice s)
{
    uint64_t word = 0;
    size_t i = 0;

    h = mix(h, s.len);
    for (; s.len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, s.p + i, sizeof word);
        h = mix(h, word);
    }
    word = 0;
    if (i < s.len)
        memcpy(&word, s.p + i, s.len - i);
    return mix(h, word);
}

uint64_t
redelivery_hash(const struct redelivery *r, struct slice topic, struct slice payload)
{
    return mix_bytes(mix_bytes(r->seed, topic), payload);
}

enum redelivery_answer
redelivery_find(const struct redelivery *r, uint16_t packet_id, uint64_t hash, uint64_t next_seq)
{
    const struct entry *e = &r->entries[r->place[packet_id]];

    if (e->number == 0 || e->packet_id != packet_id || e->hash != hash)
        return REDELIVERY_NEW;
    return e->seq > 0 && e->seq < next_seq ? REDELIVERY_STORED : REDELIVERY_PENDING;
}

void
redelivery_add(struct redelivery *r, uint16_t packet_id, uint64_t hash)
{
    *entry_at(r, r->next) = (struct entry){.number = r->next, .packet_id = packet_id, .hash = hash};
    r->place[packet_id] = (uint16_t)(r->next % ENTRIES);
    r->next++;
}

/* More than there is room for have come: the oldest of them lost their places already. */
static uint64_t
first_unsaved(const struct redelivery *r)
{
    return r->next - r->saved > ENTRIES ? r->next - ENTRIES : r->saved;
}

enum nx_err
redelivery_save(struct redelivery *r, uint64_t seq, struct nx_note *why)
{
    uint64_t first = first_unsaved(r);

    for (uint64_t n = first; n < r->next; n++) {
        struct entry *e = entry_at(r, n);

        if (e->number != n)
            continue; /* forgotten meanwhile */
        e->seq = seq;
        e->crc = crc_of(e);
    }
    r->saved = r->next;
    return r->fd < 0 || write_entries(r, first, r->next) ? NX_OK : give_up(r, why);
}
