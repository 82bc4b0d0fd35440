#include "spool/spool.h"

#include "base/mem.h"
#include "spool/spool_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECYCLE_BYTES  (1u << 20)
#define HINT_PERIOD_MS 1000u
#define SEGMENT_MIN    (64u << 10)
#define SEGMENT_MAX    (1u << 30)

/* --- messages --- */

enum nx_err
spool_fail(struct nx_note *why, const struct spool *sp, int os_errno, const char *doing)
{
    const char *remedy = "check the disk and the rights of the directory";

    if (os_errno == ENOSPC || os_errno == EDQUOT)
        remedy = "free space on this file system, or set a smaller buffer.disk_limit";
    if (os_errno == EROFS)
        remedy = "the file system is read-only: check the disk, then mount it for writing";
    return nx_fail_errno(why, os_errno == EDQUOT ? NX_E_DISK_FULL : NX_OK, os_errno, "spool %s: cannot %s; %s",
                         sp->conf.dir, doing, remedy);
}

void
spool_report(struct spool *sp, const struct nx_note *note)
{
    if (sp->ops.on_error)
        sp->ops.on_error(sp->arg, note);
}

/* --- freeing --- */

/* Takes [from, to], none of it freed yet and all of one segment, off the books; returns its points. */
static uint64_t
settle(struct spool *sp, struct segment *sg, uint64_t from, uint64_t to)
{
    uint64_t points = 0;

    for (uint64_t seq = from; seq <= to; seq++)
        points += sg->slots[seq - sg->first_seq].points;
    sg->waiting -= to - from + 1;
    sp->stats.records -= to - from + 1;
    sp->stats.points -= points;
    return points;
}

struct span {
    uint64_t from, to, points;
};

/* The next stretch at or after *seq, up to `to`, of waiting records of one segment; it is settled and freed. */
static bool
take_span(struct spool *sp, uint64_t *seq, uint64_t to, struct span *out)
{
    uint64_t from = ranges_next_absent(&sp->freed, *seq);
    struct segment *sg = from <= to ? segment_of(sp, from) : NULL;

    if (!sg)
        return false;
    uint64_t end = ranges_next_present(&sp->freed, from) - 1;
    end = end < to ? end : to;
    end = end < sg->next_seq - 1 ? end : sg->next_seq - 1;
    *out = (struct span){from, end, settle(sp, sg, from, end)};
    ranges_add(&sp->freed, from, end);
    sp->is_hint_stale = true;
    *seq = end + 1;
    return true;
}

static bool
clip(const struct spool *sp, uint64_t *from, uint64_t *to)
{
    if (!sp->oldest)
        return false;
    if (*from < sp->oldest->first_seq)
        *from = sp->oldest->first_seq;
    if (*to >= sp->next_seq)
        *to = sp->next_seq - 1;
    return *from <= *to;
}

/* The newest stays: it holds the next number. When everything is freed it gives way to a fresh one before the kernel
 * finds it worth writing. */
static void
remove_freed_segments(struct spool *sp)
{
    while (sp->oldest && sp->oldest->waiting == 0 && sp->oldest != sp->newest)
        segment_remove_oldest(sp);
}

void
spool_free_range(struct spool *sp, uint64_t from, uint64_t to)
{
    struct span span;

    if (!clip(sp, &from, &to))
        return;
    while (take_span(sp, &from, to, &span))
        sp->stats.freed += span.to - span.from + 1;
    remove_freed_segments(sp);
}

void
spool_drop(struct spool *sp, uint64_t from, uint64_t to, enum nx_err cause)
{
    struct span span;

    while (take_span(sp, &from, to, &span)) {
        sp->stats.dropped += span.to - span.from + 1;
        sp->stats.dropped_points += span.points;
        if (sp->ops.on_drop)
            sp->ops.on_drop(sp->arg, span.from, span.to, span.points, cause);
    }
}

bool
spool_is_freed(const struct spool *sp, uint64_t seq)
{
    return seq < sp->next_seq &&
           (!sp->oldest || seq < sp->oldest->first_seq || ranges_has(&sp->freed, seq) || !segment_of(sp, seq));
}

static void
drop_oldest(struct spool *sp, enum nx_err cause)
{
    struct segment *sg = sp->oldest;

    if (sg->waiting)
        spool_drop(sp, sg->first_seq, sg->next_seq - 1, cause);
    segment_remove_oldest(sp);
}

bool
spool_yield(struct spool *sp)
{
    if (!sp->oldest || sp->oldest == sp->newest)
        return false;
    drop_oldest(sp, NX_E_FULL);
    return true;
}

void
spool_set_cap(struct spool *sp, uint64_t cap_bytes)
{
    sp->conf.cap_bytes = cap_bytes;
}

/* --- appending --- */

static enum nx_err
reserve_numbers(struct spool *sp, struct nx_note *why)
{
    uint64_t before = sp->reserved_seq;

    if (sp->next_seq < sp->reserved_seq)
        return NX_OK;
    sp->reserved_seq = sp->next_seq + SPOOL_RESERVE;
    enum nx_err err = state_save(sp, false, why);
    if (err != NX_OK)
        sp->reserved_seq = before;
    return err;
}

static enum nx_err
open_next_segment(struct spool *sp, uint64_t record_bytes, struct nx_note *why)
{
    uint64_t size = SPOOL_SEGMENT_HEAD + record_bytes;

    size = size > sp->conf.segment_bytes ? size : sp->conf.segment_bytes;
    if (sp->newest)
        segment_seal(sp, sp->newest);
    while (sp->oldest && sp->oldest != sp->newest && sp->file_bytes + size > sp->conf.cap_bytes)
        drop_oldest(sp, NX_E_FULL);
    enum nx_err err = segment_create(sp, size, why);
    if (err == NX_E_DISK_FULL && sp->newest && sp->newest == sp->oldest && sp->newest->waiting == 0) {
        segment_remove_oldest(sp); /* the only one left: its room is enough for the next */
        err = segment_create(sp, size, why);
    }
    remove_freed_segments(sp);
    return err;
}

static bool
has_room(const struct spool *sp, uint64_t record_bytes)
{
    const struct segment *sg = sp->newest;

    if (!sg || sg->has_sync_failed || sg->used + record_bytes > sg->size || sg->next_seq != sp->next_seq)
        return false;
    return sg->waiting || sg->used < RECYCLE_BYTES;
}

enum nx_err
spool_append(struct spool *sp, struct slice body, uint32_t points, struct nx_note *why)
{
    uint64_t record_bytes = SPOOL_RECORD_HEAD + body.len;
    enum nx_err err;

    if (body.len > SPOOL_RECORD_MAX)
        return nx_fail(why, NX_E_TOO_LARGE, "spool %s: a record of %zu bytes; at most %u are stored", sp->conf.dir,
                       body.len, SPOOL_RECORD_MAX);
    if ((err = reserve_numbers(sp, why)) != NX_OK)
        return err;
    if (!has_room(sp, record_bytes) && (err = open_next_segment(sp, record_bytes, why)) != NX_OK)
        return err;
    if ((err = segment_write(sp, sp->newest, body, points, loop_wall_us(sp->loop), why)) != NX_OK)
        return err;
    sp->next_seq++;
    sp->stats.records++;
    sp->stats.points += points;
    sp->stats.appended++;
    return NX_OK;
}

/* --- upkeep --- */

static void
drop_expired(struct spool *sp)
{
    int64_t limit_us = loop_wall_us(sp->loop) - (int64_t)sp->conf.max_age_s * 1000000;

    while (sp->conf.max_age_s && sp->oldest && sp->oldest->waiting && sp->oldest->last_us < limit_us) {
        struct segment *sg = sp->oldest;

        spool_drop(sp, sg->first_seq, sg->next_seq - 1, NX_E_EXPIRED);
        remove_freed_segments(sp);
        if (sp->oldest == sg)
            break;
    }
}

static void
on_upkeep(struct loop_timer *t, void *arg)
{
    struct spool *sp = arg;

    (void)t;
    drop_expired(sp);
    if (sp->is_hint_stale)
        state_save_freed(sp);
}

/* --- life --- */

static void
take_conf(struct spool *sp, const struct spool_conf *conf)
{
    struct spool_conf *c = &sp->conf;

    *c = *conf;
    c->dir = mem_strdup(conf->dir);
    c->cap_bytes = conf->cap_bytes ? conf->cap_bytes : 1ull << 30;
    c->segment_bytes = conf->segment_bytes ? conf->segment_bytes : 16u << 20;
    /* Dropping goes by whole segments: a small spool has small ones. */
    if (c->segment_bytes > c->cap_bytes / 4)
        c->segment_bytes = c->cap_bytes / 4 > SEGMENT_MIN ? c->cap_bytes / 4 : SEGMENT_MIN;
    if (c->segment_bytes > SEGMENT_MAX)
        c->segment_bytes = SEGMENT_MAX;
    c->commit_window_ms = conf->commit_window_ms ? conf->commit_window_ms : 100;
    c->disk_reserve_bytes = conf->disk_reserve_bytes ? conf->disk_reserve_bytes : 64u << 20;
    sp->disk = conf->disk ? conf->disk : &disk_posix;
}

static enum nx_err
take_directory(struct spool *sp, struct nx_note *why)
{
    int rc = sp->disk->make_dir(sp->conf.dir);

    if (rc < 0)
        return spool_fail(why, sp, -rc, "make the directory");
    char *path = mem_printf("%s/lock", sp->conf.dir);
    sp->lock_fd = sp->disk->lock(path);
    free(path);
    if (sp->lock_fd == -EWOULDBLOCK)
        return nx_fail(why, NX_E_CONFLICT,
                       "spool %s is in use by another process: stop it, or configure another directory", sp->conf.dir);
    return sp->lock_fd < 0 ? spool_fail(why, sp, -sp->lock_fd, "lock the directory") : NX_OK;
}

static enum nx_err
load(struct spool *sp, struct nx_note *why)
{
    enum nx_err err = take_directory(sp, why);

    if (err != NX_OK || (err = spool_recover(sp, why)) != NX_OK)
        return err;
    if (sp->epoch == 0)
        sp->epoch = loop_wall_us(sp->loop) > 0 ? (uint64_t)loop_wall_us(sp->loop) : 1;
    state_load_freed(sp);
    sp->stats.freed = 0;
    sp->is_hint_stale = false;
    /* A full disk must not hinder reading what is there: numbers are then reserved by the first append. */
    (void)!reserve_numbers(sp, NULL);
    return NX_OK;
}

static void
release(struct spool *sp)
{
    segment_close_all(sp);
    ranges_free(&sp->freed);
    if (sp->hint_fd >= 0)
        sp->disk->close(sp->hint_fd);
    if (sp->lock_fd >= 0)
        sp->disk->close(sp->lock_fd);
    free(sp->read_buf);
    mem_free_const(sp->conf.dir);
    free(sp);
}

enum nx_err
spool_open(struct spool **out, struct loop *loop, const struct spool_conf *conf, const struct spool_ops *ops, void *arg,
           struct nx_note *why)
{
    struct spool *sp = mem_alloc(sizeof *sp);

    *out = NULL;
    sp->loop = loop;
    sp->ops = ops ? *ops : (struct spool_ops){0};
    sp->arg = arg;
    sp->lock_fd = sp->hint_fd = -1;
    take_conf(sp, conf);
    enum nx_err err = load(sp, why);
    if (err != NX_OK) {
        release(sp);
        return err;
    }
    sync_start(sp);
    loop_timer_start(loop, &sp->hint_timer, HINT_PERIOD_MS, HINT_PERIOD_MS, on_upkeep, sp);
    *out = sp;
    return NX_OK;
}

void
spool_close(struct spool **spp)
{
    struct spool *sp = *spp;

    *spp = NULL;
    if (!sp)
        return;
    loop_timer_stop(&sp->hint_timer);
    sync_stop(sp);
    if (sp->newest)
        segment_seal(sp, sp->newest);
    sync_all_now(sp);
    state_save_freed(sp);
    struct nx_note note;
    if (state_save(sp, true, &note) != NX_OK)
        spool_report(sp, &note);
    release(sp);
}

uint64_t
spool_epoch(const struct spool *sp)
{
    return sp->epoch;
}

uint64_t
spool_next_seq(const struct spool *sp)
{
    return sp->next_seq;
}

static bool
is_empty_waiting(const struct spool *sp, const struct segment *sg, uint64_t seq)
{
    return sg->slots[seq - sg->first_seq].points == 0 && !ranges_has(&sp->freed, seq);
}

uint64_t
spool_next_empty(const struct spool *sp, uint64_t seq)
{
    for (const struct segment *sg = sp->oldest; sg; sg = sg->next)
        for (uint64_t i = seq > sg->first_seq ? seq : sg->first_seq; i < sg->next_seq; i++)
            if (is_empty_waiting(sp, sg, i))
                return i;
    return 0;
}

uint64_t
spool_waiting(const struct spool *sp)
{
    return sp->stats.records;
}

struct spool_stats
spool_stats_of(const struct spool *sp)
{
    struct spool_stats s = sp->stats;
    struct spool_record first;
    struct spool *reader = (struct spool *)(uintptr_t)sp; /* only what is kept for reading changes */

    s.next_seq = s.first_seq = sp->next_seq;
    s.file_bytes = sp->file_bytes;
    for (const struct segment *sg = sp->oldest; sg; sg = sg->next)
        s.bytes += sg->waiting ? sg->used - SPOOL_SEGMENT_HEAD : 0;
    if (s.records && sp->oldest && ranges_next_absent(&sp->freed, sp->oldest->first_seq) == sp->oldest_seq) {
        s.first_seq = sp->oldest_seq;
        s.oldest_us = sp->oldest_us;
    } else if (s.records && spool_read(reader, 0, &first, NULL) == NX_OK) {
        s.first_seq = reader->oldest_seq = first.seq;
        s.oldest_us = reader->oldest_us = first.time_us;
    }
    return s;
}
