/* recover.c -- after a start: what is in the directory, up to the last record that is whole. */
#include "base/mem.h"
#include "base/num.h"
#include "spool/spool_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct found {
    uint64_t *list;
    size_t count, cap;
};

static void
on_name(void *arg, const char *name)
{
    struct found *f = arg;
    uint64_t seq;

    if (strlen(name) != 24 || strcmp(name + 20, ".seg") != 0 || !num_u64(slice(name, 20), &seq))
        return;
    if (f->count == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 64;
        f->list = mem_realloc(f->list, f->cap * sizeof *f->list);
    }
    f->list[f->count++] = seq;
}

static int
ascending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Reads the file in steps; a window over it always holds the record under the cursor. */
struct scan {
    struct spool *sp;
    struct segment *sg;
    uint8_t *buf;
    uint64_t cap, from, len; /* window */
};

static const uint8_t *
window(struct scan *s, uint64_t at, uint64_t len)
{
    if (at < s->from || at + len > s->from + s->len) {
        uint64_t want = len > 4 * SPOOL_READ_AHEAD ? len : 4 * SPOOL_READ_AHEAD;

        if (want > s->cap) {
            s->buf = mem_realloc(s->buf, want);
            s->cap = want;
        }
        int64_t n = s->sp->disk->pread(s->sg->fd, s->buf, want, at);
        s->from = at;
        s->len = n > 0 ? (uint64_t)n : 0;
        if (s->len < len)
            return NULL;
    }
    return s->buf + (at - s->from);
}

static bool
scan_record(struct scan *s)
{
    struct segment *sg = s->sg;
    const uint8_t *p = window(s, sg->used, SPOOL_RECORD_HEAD);
    struct record_head head;

    if (!p)
        return false;
    record_head_decode(p, &head);
    if (head.seq != sg->next_seq || head.len > SPOOL_RECORD_MAX ||
        !(p = window(s, sg->used, SPOOL_RECORD_HEAD + (uint64_t)head.len)) ||
        head.crc != record_crc(p, slice(p + SPOOL_RECORD_HEAD, head.len)))
        return false;
    segment_push_slot(sg, sg->used, head.points);
    sg->used += SPOOL_RECORD_HEAD + head.len;
    sg->last_us = head.time_us;
    s->sp->stats.points += head.points;
    return true;
}

/* Bytes behind the last whole record, up to the last one that is not zero: zeros are room that was never used. */
static uint64_t
torn_bytes(struct scan *s)
{
    uint64_t last = s->sg->used;

    for (uint64_t at = s->sg->used; at < s->sg->size;) {
        uint64_t n = s->sg->size - at < SPOOL_READ_AHEAD ? s->sg->size - at : SPOOL_READ_AHEAD;
        const uint8_t *p = window(s, at, n);

        for (uint64_t i = 0; p && i < n; i++) {
            if (p[i])
                last = at + i + 1;
        }
        at += n;
    }
    return last - s->sg->used;
}

static void
scan_segment(struct spool *sp, struct segment *sg)
{
    struct scan s = {.sp = sp, .sg = sg};

    while (scan_record(&s)) {
    }
    sp->stats.torn_bytes += torn_bytes(&s);
    free(s.buf);
    segment_seal(sp, sg);
}

/* Numbers between two segments: up to before_seq their file was damaged or taken away, the others were never used. */
static void
take_hole(struct spool *sp, uint64_t from, uint64_t before_seq, uint64_t first_seq)
{
    ranges_add(&sp->freed, from, first_seq - 1);
    if (before_seq <= from || before_seq > first_seq)
        return;
    sp->stats.dropped += before_seq - from;
    if (sp->ops.on_drop)
        sp->ops.on_drop(sp->arg, from, before_seq - 1, 0, NX_E_CORRUPT);
}

/* A file whose head does not hold was being made when the power went: it has no record that anybody relies on. */
static enum nx_err
open_segment(struct spool *sp, uint64_t first_seq, struct nx_note *why)
{
    char *path = mem_printf("%s/%020llu.seg", sp->conf.dir, (unsigned long long)first_seq);
    uint8_t bytes[SPOOL_SEGMENT_HEAD];
    struct segment_head head;
    const struct segment *before = sp->newest;
    int fd = sp->disk->open(path, O_RDWR);
    int64_t size = fd < 0 ? fd : sp->disk->size(fd);
    enum nx_err err = size < 0 ? spool_fail(why, sp, (int)-size, "read a segment") : NX_OK;
    bool is_sound = err == NX_OK && sp->disk->pread(fd, bytes, sizeof bytes, 0) == sizeof bytes &&
                    segment_head_decode(bytes, &head) && head.first_seq == first_seq && first_seq >= sp->next_seq &&
                    (sp->epoch == 0 || head.epoch == sp->epoch);

    if (is_sound) {
        struct segment *sg = segment_link(sp, path, fd, first_seq);

        if (before && before->next_seq < first_seq)
            take_hole(sp, before->next_seq, head.before_seq, first_seq);
        sp->epoch = head.epoch;
        sg->size = (uint64_t)size;
        sp->file_bytes += sg->size;
        scan_segment(sp, sg);
    } else if (fd >= 0) {
        sp->stats.torn_bytes += size > 0 ? (uint64_t)size : 0;
        sp->disk->close(fd);
        if (err == NX_OK)
            (void)sp->disk->unlink(path);
    }
    free(path);
    return err;
}

static enum nx_err
load(struct spool *sp, const struct found *f, struct nx_note *why)
{
    enum nx_err err = NX_OK;

    for (size_t i = 0; i < f->count && err == NX_OK; i++) {
        struct segment *before = sp->newest;

        err = open_segment(sp, f->list[i], why);
        if (sp->newest == before)
            continue;
        sp->next_seq = sp->newest->next_seq;
        sp->stats.records += sp->newest->waiting;
    }
    return err;
}

/* After a power cut records may be gone whose numbers were used: their successors must not take them. */
static void
jump(struct spool *sp, uint64_t seq)
{
    uint64_t from = sp->next_seq;

    if (seq <= from)
        return;
    sp->next_seq = seq;
    if (sp->ops.on_drop)
        sp->ops.on_drop(sp->arg, from, seq - 1, 0, NX_E_CANCELED);
}

enum nx_err
spool_recover(struct spool *sp, struct nx_note *why)
{
    struct found f = {0};
    struct spool_state state = {0};
    bool has_state = state_load(sp, &state);
    int rc = sp->disk->list(sp->conf.dir, on_name, &f);

    if (rc < 0)
        return spool_fail(why, sp, -rc, "read the directory");
    sp->epoch = has_state ? state.epoch : 0;
    sp->next_seq = 1;
    if (f.count)
        qsort(f.list, f.count, sizeof *f.list, ascending);
    enum nx_err err = load(sp, &f, why);
    if (err == NX_OK && has_state && state.is_clean && state.next_seq > sp->next_seq)
        sp->next_seq = state.next_seq;
    bool is_whole = state.is_clean || (state.is_same_boot && sp->newest);
    if (err == NX_OK && has_state && !is_whole)
        jump(sp, state.reserved_seq);
    if (err == NX_OK && !has_state && sp->newest)
        jump(sp, sp->next_seq + SPOOL_RESERVE);
    free(f.list);
    return err;
}
