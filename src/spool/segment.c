/* segment.c -- one file of the log: head, records, and its index in memory. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/rbuf.h"
#include "base/wbuf.h"
#include "spool/spool_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define SEGMENT_MAGIC   0x5053584Eu /* "NXSP" */
#define SEGMENT_VERSION 1u

static void
head_encode(const struct segment_head *h, uint8_t out[SPOOL_SEGMENT_HEAD])
{
    struct wbuf w = wbuf_fixed(out, SPOOL_SEGMENT_HEAD);

    wbuf_le32(&w, SEGMENT_MAGIC);
    wbuf_le32(&w, SEGMENT_VERSION);
    wbuf_le64(&w, h->epoch);
    wbuf_le64(&w, h->first_seq);
    wbuf_le64(&w, h->before_seq);
    wbuf_le32(&w, 0);
    wbuf_le32(&w, crc32c(0, out, SPOOL_SEGMENT_HEAD - 4));
}

bool
segment_head_decode(const uint8_t p[SPOOL_SEGMENT_HEAD], struct segment_head *out)
{
    struct rbuf r = rbuf_init(slice(p, SPOOL_SEGMENT_HEAD));
    uint32_t magic = rbuf_le32(&r), version = rbuf_le32(&r);

    out->epoch = rbuf_le64(&r);
    out->first_seq = rbuf_le64(&r);
    out->before_seq = rbuf_le64(&r);
    (void)rbuf_le32(&r);
    return magic == SEGMENT_MAGIC && version == SEGMENT_VERSION &&
           rbuf_le32(&r) == crc32c(0, p, SPOOL_SEGMENT_HEAD - 4);
}

uint32_t
record_crc(const uint8_t head[SPOOL_RECORD_HEAD], struct slice body)
{
    return crc32c(crc32c(0, head + 8, SPOOL_RECORD_HEAD - 8), body.p, body.len);
}

void
record_head_decode(const uint8_t p[SPOOL_RECORD_HEAD], struct record_head *out)
{
    struct rbuf r = rbuf_init(slice(p, SPOOL_RECORD_HEAD));

    out->len = rbuf_le32(&r);
    out->crc = rbuf_le32(&r);
    out->seq = rbuf_le64(&r);
    out->points = rbuf_le32(&r);
    (void)rbuf_le32(&r);
    out->time_us = (int64_t)rbuf_le64(&r);
}

static void
record_head_encode(const struct record_head *h, struct slice body, uint8_t out[SPOOL_RECORD_HEAD])
{
    struct wbuf w = wbuf_fixed(out, SPOOL_RECORD_HEAD);

    wbuf_le32(&w, h->len);
    wbuf_le32(&w, 0);
    wbuf_le64(&w, h->seq);
    wbuf_le32(&w, h->points);
    wbuf_le32(&w, 0);
    wbuf_le64(&w, (uint64_t)h->time_us);
    wbuf_patch_le32(&w, 4, record_crc(out, body));
}

/* All of iov, also when the system takes it in parts. */
static int
write_all(const struct disk_ops *disk, int fd, struct iovec *iov, int n, uint64_t at)
{
    while (n > 0) {
        int64_t done = disk->pwritev(fd, iov, n, at);

        if (done <= 0)
            return done < 0 ? (int)done : -ENOSPC;
        at += (uint64_t)done;
        for (; n > 0 && (uint64_t)done >= iov->iov_len; iov++, n--)
            done -= (int64_t)iov->iov_len;
        if (n > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + done;
            iov->iov_len -= (size_t)done;
        }
    }
    return 0;
}

/* A disk that refuses once may be asked again. */
#define READ_TRIES 3

int64_t
segment_read(const struct spool *sp, int fd, uint8_t *buf, uint64_t min, uint64_t want, uint64_t at)
{
    uint64_t done = 0;
    unsigned tries = 0;

    while (done < min) {
        int64_t n = sp->disk->pread(fd, buf + done, want - done, at + done);

        if (n == 0)
            break;
        if (n < 0 && ++tries == READ_TRIES)
            return n;
        done += n > 0 ? (uint64_t)n : 0;
    }
    return (int64_t)done;
}

struct segment *
segment_link(struct spool *sp, const char *path, int fd, uint64_t first_seq)
{
    struct segment *sg = mem_alloc(sizeof *sg);

    sg->path = mem_strdup(path);
    sg->fd = fd;
    sg->first_seq = sg->next_seq = sg->synced_seq = first_seq;
    sg->used = SPOOL_SEGMENT_HEAD;
    if (sp->newest)
        sp->newest->next = sg;
    else
        sp->oldest = sg;
    sp->newest = sg;
    return sg;
}

enum nx_err
segment_create(struct spool *sp, uint64_t size, struct nx_note *why)
{
    uint64_t before_seq = sp->newest ? sp->newest->next_seq : sp->next_seq;
    const struct segment_head head = {sp->epoch, sp->next_seq, before_seq};
    uint8_t bytes[SPOOL_SEGMENT_HEAD];
    struct iovec iov = {bytes, sizeof bytes};
    char *path = mem_printf("%s/%020llu.seg", sp->conf.dir, (unsigned long long)sp->next_seq);
    int rc = sp->disk->free_bytes(sp->conf.dir) < size + sp->conf.disk_reserve_bytes ? -ENOSPC : 0;
    int fd = -1;

    if (rc == 0)
        rc = fd = sp->disk->open(path, O_RDWR | O_CREAT | O_TRUNC);
    if (fd >= 0) {
        head_encode(&head, bytes);
        rc = sp->disk->allocate(fd, size);
        if (rc == 0)
            rc = write_all(sp->disk, fd, &iov, 1, 0);
        if (rc == 0 && sp->conf.is_strict)
            rc = sp->disk->sync_dir(sp->conf.dir);
    }
    if (rc < 0 && fd >= 0) {
        sp->disk->close(fd);
        (void)sp->disk->unlink(path);
    }
    if (rc == 0) {
        struct segment *sg = segment_link(sp, path, fd, sp->next_seq);

        sg->size = size;
        sp->file_bytes += size;
        if (before_seq < sg->first_seq) /* jumped over, nothing waits there */
            ranges_add(&sp->freed, before_seq, sg->first_seq - 1);
    }
    free(path);
    return rc < 0 ? spool_fail(why, sp, -rc, "make a segment") : NX_OK;
}

void
segment_seal(struct spool *sp, struct segment *sg)
{
    if (sg->size > sg->used && sp->disk->truncate(sg->fd, sg->used) == 0) {
        sp->file_bytes -= sg->size - sg->used;
        sg->size = sg->used;
    }
}

void
segment_push_slot(struct segment *sg, uint64_t offset, uint32_t points)
{
    size_t n = (size_t)(sg->next_seq - sg->first_seq);

    if (n == sg->slot_cap) {
        sg->slot_cap = sg->slot_cap ? sg->slot_cap * 2 : 256;
        sg->slots = mem_realloc(sg->slots, sg->slot_cap * sizeof *sg->slots);
    }
    sg->slots[n] = (struct spool_slot){(uint32_t)offset, points};
    sg->next_seq++;
    sg->waiting++;
}

void
segment_cut(struct spool *sp, struct segment *sg, uint64_t seq)
{
    if (seq >= sg->next_seq || seq < sg->first_seq)
        return;
    sg->used = sg->slots[seq - sg->first_seq].offset;
    for (uint64_t i = seq; i < sg->next_seq; i++)
        sp->stats.points -= sg->slots[i - sg->first_seq].points;
    sp->stats.records -= sg->next_seq - seq;
    sg->waiting -= sg->next_seq - seq;
    sg->next_seq = seq;
    segment_seal(sp, sg);
}

enum nx_err
segment_write(struct spool *sp, struct segment *sg, struct slice body, uint32_t points, int64_t now_us,
              struct nx_note *why)
{
    const struct record_head head = {(uint32_t)body.len, 0, points, sp->next_seq, now_us};
    uint8_t bytes[SPOOL_RECORD_HEAD];
    struct iovec iov[2] = {{bytes, sizeof bytes}, {(void *)(uintptr_t)body.p, body.len}};

    record_head_encode(&head, body, bytes);
    int rc = write_all(sp->disk, sg->fd, iov, body.len ? 2 : 1, sg->used);
    if (rc < 0)
        return spool_fail(why, sp, -rc, "append to a segment");
    if (sp->conf.is_strict && (rc = sp->disk->sync(sg->fd)) < 0) {
        /* The record is reported as not stored, so it must not come back at the next start. */
        (void)sp->disk->truncate(sg->fd, sg->used);
        sync_failed(sp, sg, -rc);
        return spool_fail(why, sp, -rc, "sync a segment");
    }
    segment_push_slot(sg, sg->used, points);
    sg->used += SPOOL_RECORD_HEAD + body.len;
    sg->last_us = now_us;
    return NX_OK;
}

static void
segment_free(struct spool *sp, struct segment *sg)
{
    if (sp->read_segment == sg)
        sp->read_segment = NULL;
    sp->disk->close(sg->fd);
    free(sg->slots);
    free(sg->path);
    free(sg);
}

void
segment_remove_oldest(struct spool *sp)
{
    struct segment *sg = sp->oldest;

    sp->oldest = sg->next;
    if (sp->newest == sg)
        sp->newest = NULL;
    sp->file_bytes -= sg->size;
    (void)sp->disk->unlink(sg->path);
    segment_free(sp, sg);
    ranges_cut_below(&sp->freed, sp->oldest ? sp->oldest->first_seq : sp->next_seq);
}

void
segment_close_all(struct spool *sp)
{
    while (sp->oldest) {
        struct segment *sg = sp->oldest;

        sp->oldest = sg->next;
        segment_free(sp, sg);
    }
    sp->newest = NULL;
}

/* Reading and freeing go along: most often it is the segment read last, the oldest or the newest. */
struct segment *
segment_of(const struct spool *sp, uint64_t seq)
{
    const struct segment *hints[] = {sp->read_segment, sp->newest};

    for (size_t i = 0; i < MEM_COUNT(hints); i++) {
        if (hints[i] && seq >= hints[i]->first_seq && seq < hints[i]->next_seq)
            return (struct segment *)(uintptr_t)hints[i];
    }
    for (struct segment *sg = sp->oldest; sg; sg = sg->next) {
        if (seq >= sg->first_seq && seq < sg->next_seq)
            return sg;
    }
    return NULL;
}
