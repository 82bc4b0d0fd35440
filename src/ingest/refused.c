#include "ingest/refused.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/mem.h"
#include "obs/log.h"

#define MAX_FILES 1000u
#define MAX_BYTES (UINT64_C(256) << 20)

void
refused_init(struct refused *r, const char *parent_dir)
{
    *r = (struct refused){.dir = mem_printf("%s/refused", parent_dir)};
    pthread_mutex_init(&r->lock, NULL);
}

void
refused_fini(struct refused *r)
{
    if (!r->dir)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r->dir);
    r->dir = NULL;
}

/* --- bounds --- */

struct kept {
    char *name;
    uint64_t bytes;
};

static int
compare_names(const void *a, const void *b)
{
    return strcmp(((const struct kept *)a)->name, ((const struct kept *)b)->name);
}

static struct kept *
list_files(const struct refused *r, size_t *n, uint64_t *bytes)
{
    struct kept *files = NULL;
    size_t cap = 0;
    DIR *dir = opendir(r->dir);

    *n = 0;
    *bytes = 0;
    if (!dir)
        return NULL;
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat sb;

        if (!strstr(e->d_name, ".batch") || fstatat(dirfd(dir), e->d_name, &sb, 0) != 0)
            continue;
        if (*n == cap)
            files = mem_realloc(files, (cap = cap ? cap * 2 : 64) * sizeof *files);
        files[(*n)++] = (struct kept){mem_strdup(e->d_name), (uint64_t)sb.st_size};
        *bytes += (uint64_t)sb.st_size;
    }
    (void)closedir(dir);
    if (*n > 0)
        qsort(files, *n, sizeof *files, compare_names);
    return files;
}

static void
remove_file(struct refused *r, const struct kept *file)
{
    char *path = mem_printf("%s/%s", r->dir, file->name);

    if (unlink(path) == 0) {
        log_error(NULL, "the oldest refused batch is deleted: there are too many of them", KV_STR("file", path));
        (void)__atomic_add_fetch(&r->removed, 1, __ATOMIC_RELAXED);
    }
    free(path);
}

/* Names begin with the time: the oldest come first. */
static void
make_room(struct refused *r, size_t needed)
{
    size_t n;
    uint64_t bytes;
    struct kept *files = list_files(r, &n, &bytes);

    for (size_t i = 0; i < n; i++) {
        if (n - i >= MAX_FILES || bytes + needed > MAX_BYTES) {
            remove_file(r, &files[i]);
            bytes -= files[i].bytes;
        }
        free(files[i].name);
    }
    free(files);
}

/* --- the record --- */

static enum nx_err
encode(const struct batch *b, uint64_t epoch, struct wbuf *out)
{
    struct batch_header hdr = {b->hdr.gateway, epoch, b->hdr.lane, 1};
    struct batch_writer *bw = batch_writer_new();
    enum nx_err err = NX_OK;

    for (uint32_t i = 0; i < b->point_count && err == NX_OK; i++)
        if (!batch_writer_add(bw, b->points[i].series, &b->series[b->points[i].series], &b->points[i]))
            err = NX_E_TOO_LARGE;
    if (err == NX_OK)
        err = batch_writer_finish(bw, &hdr, true, out);
    batch_writer_free(&bw);
    return err;
}

/* The gateway's name may hold anything. */
static bool
name_file(const struct refused *r, const struct batch *b, uint64_t epoch, char *path, size_t cap)
{
    int at = snprintf(path, cap, "%s/%016llu-", r->dir, (unsigned long long)epoch);

    for (size_t i = 0; i < b->hdr.gateway.len && (size_t)at + 1 < cap; i++) {
        unsigned char c = b->hdr.gateway.p[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';

        path[at++] = is_plain ? (char)c : '_';
    }
    return (size_t)at < cap &&
           (size_t)snprintf(path + at, cap - (size_t)at, "-%u.batch", b->hdr.lane) < cap - (size_t)at;
}

enum nx_err
refused_put(struct refused *r, const struct batch *b, int64_t wall_us, char *path, size_t path_cap, struct nx_note *why)
{
    struct wbuf record = wbuf_init(0);
    enum nx_err err;

    pthread_mutex_lock(&r->lock);
    r->last_epoch = (uint64_t)wall_us > r->last_epoch ? (uint64_t)wall_us : r->last_epoch + 1;
    err = encode(b, r->last_epoch, &record);
    if (err != NX_OK)
        err = nx_fail(why, err, "a refused batch cannot be written down");
    else if ((err = file_make_dir(r->dir, 0750, why)) == NX_OK) {
        make_room(r, record.len);
        err = name_file(r, b, r->last_epoch, path, path_cap)
                  ? file_write(path, wbuf_slice_of(&record), 0640, why)
                  : nx_fail(why, NX_E_TOO_LARGE, "%s: the path is too long: choose a shorter buffer.disk_path", r->dir);
    }
    pthread_mutex_unlock(&r->lock);
    wbuf_free(&record);
    return err;
}
