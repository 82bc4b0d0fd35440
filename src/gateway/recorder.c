#include "gateway/recorder.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

#define RING_MIN 256u

struct record {
    int64_t time_us;
    uint32_t full_len;
    uint16_t len;
    uint8_t dir;
};

/* Records lie one behind the other from head on and wrap around byte by byte. */
struct recorder {
    uint32_t cap, head, used, count;
    uint8_t ring[];
};

struct recorder *
recorder_new(uint32_t ring_bytes)
{
    struct recorder *r;

    assert(ring_bytes >= RING_MIN);
    r = mem_alloc(sizeof *r + ring_bytes);
    r->cap = ring_bytes;
    return r;
}

void
recorder_free(struct recorder **r)
{
    free(*r);
    *r = NULL;
}

static void
copy_in(struct recorder *r, const void *p, uint32_t len)
{
    uint32_t at = (r->head + r->used) % r->cap, first = r->cap - at < len ? r->cap - at : len;

    memcpy(r->ring + at, p, first);
    memcpy(r->ring, (const uint8_t *)p + first, len - first);
    r->used += len;
}

static void
copy_out(const struct recorder *r, uint32_t offset, void *p, uint32_t len)
{
    uint32_t at = (r->head + offset) % r->cap, first = r->cap - at < len ? r->cap - at : len;

    memcpy(p, r->ring + at, first);
    memcpy((uint8_t *)p + first, r->ring, len - first);
}

static void
drop_oldest(struct recorder *r)
{
    struct record rec;

    copy_out(r, 0, &rec, sizeof rec);
    r->head = (r->head + (uint32_t)sizeof rec + rec.len) % r->cap;
    r->used -= (uint32_t)sizeof rec + rec.len;
    r->count--;
}

void
recorder_put(struct recorder *r, enum recorder_dir dir, int64_t time_us, const uint8_t *p, size_t len)
{
    uint32_t most = r->cap / 2 - (uint32_t)sizeof(struct record);
    uint32_t kept = len < most ? (uint32_t)len : most;
    struct record rec = {.time_us = time_us, .full_len = (uint32_t)len, .len = (uint16_t)kept, .dir = (uint8_t)dir};

    while (r->cap - r->used < sizeof rec + rec.len)
        drop_oldest(r);
    copy_in(r, &rec, sizeof rec);
    copy_in(r, p, rec.len);
    r->count++;
}

uint32_t
recorder_count(const struct recorder *r)
{
    return r->count;
}

void
recorder_each(const struct recorder *r, void (*each)(void *arg, const struct recorder_frame *f), void *arg)
{
    uint8_t *data = mem_alloc(r->cap);
    uint32_t offset = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        struct record rec;

        copy_out(r, offset, &rec, sizeof rec);
        copy_out(r, offset + (uint32_t)sizeof rec, data, rec.len);
        offset += (uint32_t)sizeof rec + rec.len;
        each(arg, &(struct recorder_frame){.dir = (enum recorder_dir)rec.dir,
                                           .time_us = rec.time_us,
                                           .full_len = rec.full_len,
                                           .data = slice(data, rec.len)});
    }
    free(data);
}
