/* state.c -- what outlives the segments: epoch and numbers (synced, rarely written), freed ranges (a hint). */
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/rbuf.h"
#include "base/wbuf.h"
#include "spool/spool_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define STATE_MAGIC 0x5453584Eu /* "NXST" */
#define FREED_MAGIC 0x5246584Eu /* "NXFR" */
#define VERSION     1u
#define FREED_MAX   1000u
#define FILE_MAX    (32u + 16u * FREED_MAX)

static void
put_crc(struct wbuf *w)
{
    wbuf_le32(w, crc32c(0, w->p, w->len));
}

static char *
path_of(const struct spool *sp, const char *name)
{
    return mem_printf("%s/%s", sp->conf.dir, name);
}

static bool
read_small(const struct spool *sp, int fd, uint8_t *bytes, struct slice *out)
{
    int64_t n = sp->disk->pread(fd, bytes, FILE_MAX, 0);

    *out = slice(bytes, n > 0 ? (size_t)n : 0);
    return n > 4;
}

static bool
crc_holds(struct slice data)
{
    struct rbuf tail = rbuf_init(slice_skip(data, data.len - 4));

    return crc32c(0, data.p, data.len - 4) == rbuf_le32(&tail);
}

bool
state_load(struct spool *sp, struct spool_state *out)
{
    char *path = path_of(sp, "state");
    char boot_id[DISK_BOOT_ID];
    uint8_t bytes[FILE_MAX];
    struct slice data;
    int fd = sp->disk->open(path, O_RDONLY);
    bool ok = fd >= 0 && read_small(sp, fd, bytes, &data) && crc_holds(data);

    free(path);
    if (fd >= 0)
        sp->disk->close(fd);
    if (!ok)
        return false;
    struct rbuf r = rbuf_init(data);
    ok = rbuf_le32(&r) == STATE_MAGIC && rbuf_le32(&r) == VERSION;
    out->is_clean = rbuf_le32(&r) != 0;
    out->epoch = rbuf_le64(&r);
    out->reserved_seq = rbuf_le64(&r);
    out->next_seq = rbuf_le64(&r);
    sp->disk->boot_id(boot_id);
    struct slice boot = rbuf_take(&r, DISK_BOOT_ID);
    out->is_same_boot = slice_eq(boot, slice(boot_id, DISK_BOOT_ID)) && boot_id[0] != '\0';
    ok = ok && !r.is_short;
    out->cut_seq = rbuf_left(&r) >= 12 ? rbuf_le64(&r) : 0;
    return ok;
}

static int
write_synced(struct spool *sp, const char *path, struct slice data)
{
    struct iovec iov = {(void *)(uintptr_t)data.p, data.len};
    int fd = sp->disk->open(path, O_RDWR | O_CREAT | O_TRUNC);

    if (fd < 0)
        return fd;
    int64_t n = sp->disk->pwritev(fd, &iov, 1, 0);
    int rc = n < 0 ? (int)n : (size_t)n < data.len ? -ENOSPC : sp->disk->sync(fd);
    sp->disk->close(fd);
    return rc;
}

enum nx_err
state_save(struct spool *sp, bool is_clean, struct nx_note *why)
{
    char *path = path_of(sp, "state"), *temporary = path_of(sp, "state.new");
    char boot_id[DISK_BOOT_ID];
    uint8_t bytes[128];
    struct wbuf w = wbuf_fixed(bytes, sizeof bytes);

    sp->disk->boot_id(boot_id);
    wbuf_le32(&w, STATE_MAGIC);
    wbuf_le32(&w, VERSION);
    wbuf_le32(&w, is_clean);
    wbuf_le64(&w, sp->epoch);
    wbuf_le64(&w, sp->reserved_seq);
    wbuf_le64(&w, sp->next_seq);
    wbuf_bytes(&w, boot_id, sizeof boot_id);
    wbuf_le64(&w, sp->cut_seq);
    put_crc(&w);
    int rc = write_synced(sp, temporary, wbuf_slice_of(&w));
    if (rc == 0)
        rc = sp->disk->rename(temporary, path);
    if (rc == 0)
        rc = sp->disk->sync_dir(sp->conf.dir);
    free(path);
    free(temporary);
    return rc < 0 ? spool_fail(why, sp, -rc, "write the state file") : NX_OK;
}

void
state_load_freed(struct spool *sp)
{
    char *path = path_of(sp, "freed");
    uint8_t *bytes = mem_alloc(FILE_MAX);
    struct slice data;

    sp->hint_fd = sp->disk->open(path, O_RDWR | O_CREAT);
    free(path);
    if (sp->hint_fd >= 0 && read_small(sp, sp->hint_fd, bytes, &data)) {
        struct rbuf r = rbuf_init(data);
        bool ok = rbuf_le32(&r) == FREED_MAGIC && rbuf_le64(&r) == sp->epoch;
        uint32_t n = rbuf_le32(&r);

        ok = ok && n <= FREED_MAX && rbuf_left(&r) >= n * 16u + 4u;
        ok = ok && crc_holds(slice(data.p, 16u + n * 16u + 4u));
        for (uint32_t i = 0; ok && i < n; i++) {
            uint64_t from = rbuf_le64(&r), to = rbuf_le64(&r);

            spool_free_range(sp, from, to);
        }
    }
    free(bytes);
}

/* Written in place without a sync: it costs a copy into the page cache. */
void
state_save_freed(struct spool *sp)
{
    uint32_t n = sp->freed.count < FREED_MAX ? (uint32_t)sp->freed.count : FREED_MAX;
    struct wbuf w = wbuf_init(0);

    sp->is_hint_stale = false;
    if (sp->hint_fd < 0)
        return;
    wbuf_le32(&w, FREED_MAGIC);
    wbuf_le64(&w, sp->epoch);
    wbuf_le32(&w, n);
    for (uint32_t i = 0; i < n; i++) {
        wbuf_le64(&w, sp->freed.list[i].from);
        wbuf_le64(&w, sp->freed.list[i].to);
    }
    put_crc(&w);
    struct iovec iov = {w.p, w.len};
    (void)sp->disk->pwritev(sp->hint_fd, &iov, 1, 0);
    wbuf_free(&w);
}
