/* recover.c -- after a start: what is in the directory, up to the last record that is whole. */
#include "base/mem.h"
#include "base/num.h"
#include "spool/spool_priv.h"

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

/* What is known while the files are looked through. */
struct recovery {
    struct spool *sp;
    struct spool_state state;
    bool has_state, has_unread; /* unread: the disk has refused a file, or a part of one, that may hold records */
    uint64_t lost_seq;          /* the number of the first file before the first segment that is of no use; 0: none */
};

/* Did the power go since the last sound end? Then the kernel has not written everything, which is no damage. */
static bool
is_power_cut(const struct recovery *r)
{
    return r->has_state && !r->state.is_clean && !r->state.is_same_boot;
}

/* Reads the file in steps; a window over it always holds the record under the cursor. */
struct scan {
    struct spool *sp;
    struct segment *sg;
    uint8_t *buf;
    uint64_t cap, from, len; /* window */
    bool has_failed;
};

static const uint8_t *
window(struct scan *s, uint64_t at, uint64_t len)
{
    if (at < s->from || at + len > s->from + s->len) {
        uint64_t left = s->sg->size > at ? s->sg->size - at : 0;
        uint64_t want = left < 4 * SPOOL_READ_AHEAD ? left : 4 * SPOOL_READ_AHEAD;

        want = len > want ? len : want;
        if (want > s->cap) {
            s->buf = mem_realloc(s->buf, want);
            s->cap = want;
        }
        int64_t n = segment_read(s->sp, s->sg->fd, s->buf, len, want, at);
        s->has_failed |= n < 0;
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
    s->sp->stats.records++;
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

/* What the disk refuses to read is not cut off: it may come at another start. */
static void
scan_segment(struct recovery *r, struct segment *sg)
{
    struct scan s = {.sp = r->sp, .sg = sg};

    while (scan_record(&s)) {
    }
    r->has_unread = s.has_failed;
    if (!s.has_failed) {
        r->sp->stats.torn_bytes += torn_bytes(&s);
        segment_seal(r->sp, sg);
    }
    free(s.buf);
}

/* Numbers between two segments: up to before_seq their records are gone, the others were never used. */
static void
take_hole(struct recovery *r, uint64_t from, uint64_t before_seq, uint64_t first_seq)
{
    struct spool *sp = r->sp;
    bool is_cut = is_power_cut(r) || before_seq <= r->state.cut_seq;

    if (sp->oldest)
        ranges_add(&sp->freed, from, first_seq - 1);
    if (before_seq <= from || before_seq > first_seq)
        return;
    sp->stats.dropped += before_seq - from;
    if (sp->ops.on_drop)
        sp->ops.on_drop(sp->arg, from, before_seq - 1, 0, is_cut ? NX_E_CANCELED : NX_E_CORRUPT);
}

/* The first segment that is there says where the one before it ended; where that one began, only the name of a file
 * that is of no use can tell. */
static void
join(struct recovery *r, const struct segment_head *head)
{
    struct spool *sp = r->sp;

    if (sp->newest)
        segment_cut(sp, sp->newest, head->first_seq);
    if (sp->newest && sp->newest->next_seq < head->first_seq)
        take_hole(r, sp->newest->next_seq, head->before_seq, head->first_seq);
    else if (!sp->newest && r->lost_seq)
        take_hole(r, r->lost_seq, head->before_seq, head->first_seq);
}

/* The file stays for people, under another name: what it holds could not be looked at. */
static void
set_aside(struct recovery *r, const char *path, uint64_t first_seq, int os_errno)
{
    struct nx_note note = {0};
    char *bad = mem_printf("%s.bad", path);

    (void)spool_fail(&note, r->sp, os_errno, "read a segment");
    spool_report(r->sp, &note);
    (void)r->sp->disk->rename(path, bad);
    free(bad);
    r->has_unread = true;
    if (!r->sp->newest && r->lost_seq == 0)
        r->lost_seq = first_seq;
}

/* Its head does not hold: it was being made when the power went, so nobody relies on its records. */
static void
throw_away(struct recovery *r, const char *path, uint64_t first_seq, int64_t size)
{
    struct spool *sp = r->sp;

    sp->stats.torn_bytes += size > 0 ? (uint64_t)size : 0;
    (void)sp->disk->unlink(path);
    if (!sp->newest && r->lost_seq == 0 && is_power_cut(r) && first_seq < r->state.reserved_seq)
        r->lost_seq = first_seq;
}

static void
take_segment(struct recovery *r, const char *path, int fd, int64_t size, const struct segment_head *head)
{
    struct spool *sp = r->sp;

    join(r, head);
    struct segment *sg = segment_link(sp, path, fd, head->first_seq);
    sp->epoch = head->epoch;
    sg->size = (uint64_t)size;
    sp->file_bytes += sg->size;
    scan_segment(r, sg);
    sp->next_seq = sg->next_seq;
}

static void
open_segment(struct recovery *r, uint64_t first_seq)
{
    struct spool *sp = r->sp;
    char *path = mem_printf("%s/%020llu.seg", sp->conf.dir, (unsigned long long)first_seq);
    uint8_t bytes[SPOOL_SEGMENT_HEAD];
    struct segment_head head;
    int fd = sp->disk->open(path, O_RDWR);
    int64_t size = fd < 0 ? fd : sp->disk->size(fd);
    int64_t n = size < 0 ? size : segment_read(sp, fd, bytes, sizeof bytes, sizeof bytes, 0);

    if (n == sizeof bytes && segment_head_decode(bytes, &head) && head.first_seq == first_seq &&
        (sp->epoch == 0 || head.epoch == sp->epoch)) {
        take_segment(r, path, fd, size, &head);
        fd = -1; /* is the segment's */
    } else if (n < 0) {
        set_aside(r, path, first_seq, (int)-n);
    } else {
        throw_away(r, path, first_seq, size);
    }
    if (fd >= 0)
        sp->disk->close(fd);
    free(path);
}

/* Records may be gone whose numbers were used: their successors must not take them. */
static void
jump(struct recovery *r, uint64_t seq, enum nx_err cause)
{
    struct spool *sp = r->sp;
    uint64_t from = !sp->newest && r->lost_seq ? r->lost_seq : sp->next_seq;

    if (seq <= sp->next_seq)
        return;
    sp->next_seq = seq;
    if (sp->ops.on_drop && from < seq)
        sp->ops.on_drop(sp->arg, from, seq - 1, 0, cause);
}

static void
find_next_seq(struct recovery *r)
{
    struct spool *sp = r->sp;
    const struct spool_state *st = &r->state;
    bool is_whole = st->is_clean || (st->is_same_boot && sp->newest);

    sp->cut_seq = st->cut_seq;
    if (r->has_unread)
        jump(r, st->reserved_seq > sp->next_seq ? st->reserved_seq : sp->next_seq + SPOOL_RESERVE, NX_E_CORRUPT);
    else if (r->has_state && st->is_clean && st->next_seq > sp->next_seq)
        sp->next_seq = st->next_seq;
    else if (r->has_state) /* next_seq: the jump of a recovery that has stored nothing since */
        jump(r, is_whole ? st->next_seq : st->reserved_seq, NX_E_CANCELED);
    else if (sp->newest)
        jump(r, sp->next_seq + SPOOL_RESERVE, NX_E_CANCELED);
    if (is_power_cut(r))
        sp->cut_seq = sp->next_seq;
}

enum nx_err
spool_recover(struct spool *sp, struct nx_note *why)
{
    struct recovery r = {.sp = sp};
    struct found f = {0};
    int rc = sp->disk->list(sp->conf.dir, on_name, &f);

    if (rc < 0)
        return spool_fail(why, sp, -rc, "read the directory");
    r.has_state = state_load(sp, &r.state);
    sp->epoch = r.has_state ? r.state.epoch : 0;
    sp->next_seq = 1;
    if (f.count)
        qsort(f.list, f.count, sizeof *f.list, ascending);
    for (size_t i = 0; i < f.count; i++)
        open_segment(&r, f.list[i]);
    free(f.list);
    find_next_seq(&r);
    return NX_OK;
}
