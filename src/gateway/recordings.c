#include "gateway/recordings.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "gateway/diagnose.h"
#include "gateway/recorder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX         ".pcapng"
#define FILE_MAX_BYTES (4u << 20)
#define COMMENT_AT     28u /* of the first block: behind its fixed part and the head of the option */

/* --- names: DEVICE-MICROSECONDS.pcapng --- */

static bool
parse_name(const char *name, char *device, size_t cap, int64_t *time_us)
{
    size_t len = strlen(name), stem = len - (sizeof SUFFIX - 1);
    const char *dash = strrchr(name, '-');

    if (len < sizeof SUFFIX || strcmp(name + stem, SUFFIX) != 0 || !dash || (size_t)(dash - name) >= cap)
        return false;
    (void)snprintf(device, cap, "%.*s", (int)(dash - name), name);
    return device_id_is_valid(device) && num_i64(slice(dash + 1, (size_t)(name + stem - dash - 1)), time_us);
}

struct entry {
    char *name;
    int64_t time_us;
};

static int
newest_first(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return x->time_us > y->time_us ? -1 : x->time_us < y->time_us;
}

static struct entry *
scan(const char *dir, size_t *count)
{
    struct entry *entries = NULL;
    DIR *d = opendir(dir);
    char device[128];

    *count = 0;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        int64_t time_us;
        if (!parse_name(e->d_name, device, sizeof device, &time_us))
            continue;
        entries = mem_realloc(entries, (*count + 1) * sizeof *entries);
        entries[(*count)++] = (struct entry){mem_strdup(e->d_name), time_us};
    }
    if (d)
        (void)closedir(d);
    if (*count > 0)
        qsort(entries, *count, sizeof *entries, newest_first);
    return entries;
}

static void
free_entries(struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(entries[i].name);
    free(entries);
}

/* --- writing, on the pool --- */

struct save_job {
    char *dir, *path;
    struct wbuf data;
    enum nx_err err;
    struct nx_note why;
};

static void
prune(const char *dir)
{
    size_t count;
    struct entry *entries = scan(dir, &count);

    for (size_t i = RECORDINGS_MAX; i < count; i++) {
        char *path = mem_printf("%s/%s", dir, entries[i].name);
        (void)unlink(path);
        free(path);
    }
    free_entries(entries, count);
}

static void
write_job(void *arg)
{
    struct save_job *job = arg;

    job->err = file_make_dir(job->dir, 0700, &job->why);
    if (job->err == NX_OK)
        job->err = file_write(job->path, wbuf_slice_of(&job->data), 0600, &job->why);
    prune(job->dir);
}

static void
on_written(void *arg)
{
    static const struct log_ctx log = {.module = "recorder"};
    struct save_job *job = arg;

    if (job->err != NX_OK)
        log_warn(&log, "a capture of the flight recorder is not saved", KV_NOTE(&job->why));
    wbuf_free(&job->data);
    free(job->dir);
    free(job->path);
    free(job);
}

void
recordings_save(struct loop *loop, const char *dir, struct nx_link *link, const struct nx_note *why)
{
    uint64_t now = loop_now_ms(loop);
    struct save_job *job;

    if (!link->recorder || recorder_count(link->recorder) == 0 ||
        (link->saved_ms > 0 && now - link->saved_ms < RECORDINGS_PAUSE_MS))
        return;
    link->saved_ms = now;
    job = mem_alloc(sizeof *job);
    job->dir = mem_strdup(dir);
    job->path = mem_printf("%s/%s-%lld" SUFFIX, dir, link->conf->id, (long long)loop_wall_us(loop));
    job->data = wbuf_init(0);
    diagnose_pcapng(link, why->text, &job->data);
    loop_work(loop, write_job, on_written, job);
}

/* --- reading --- */

/* The reason is the comment of the file's first block (pcapng.c). */
static json_t *
reason_of(const char *path)
{
    uint8_t head[COMMENT_AT + sizeof((struct nx_note *)0)->text];
    FILE *f = fopen(path, "rbe");
    size_t n = f ? fread(head, 1, sizeof head, f) : 0, len;

    if (f)
        (void)fclose(f);
    if (n <= COMMENT_AT)
        return json_null();
    len = head[COMMENT_AT - 2] | (size_t)head[COMMENT_AT - 1] << 8;
    return len <= n - COMMENT_AT ? json_stringn((const char *)head + COMMENT_AT, len) : json_null();
}

json_t *
recordings_list_json(const char *dir)
{
    json_t *list = json_array();
    char device[128];
    int64_t time_us;
    size_t count;
    struct entry *entries = scan(dir, &count);

    for (size_t i = 0; i < count; i++) {
        char *path = mem_printf("%s/%s", dir, entries[i].name);
        struct stat st = {0};
        if (parse_name(entries[i].name, device, sizeof device, &time_us) && stat(path, &st) == 0)
            json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:o}", "name", entries[i].name, "device_id",
                                                  device, "time_us", (json_int_t)time_us, "bytes",
                                                  (json_int_t)st.st_size, "reason", reason_of(path)));
        free(path);
    }
    free_entries(entries, count);
    return json_pack("{s:o}", "recordings", list);
}

enum nx_err
recordings_read(const char *dir, const char *name, char **out, size_t *len, struct nx_note *why)
{
    char device[128], *path;
    int64_t time_us;
    enum nx_err err;

    if (strchr(name, '/') || !parse_name(name, device, sizeof device, &time_us))
        return nx_fail(why, NX_E_NOT_FOUND, "there is no recording '%.100s'", name);
    path = mem_printf("%s/%s", dir, name);
    err = file_read(path, FILE_MAX_BYTES, out, len, why);
    free(path);
    return err;
}
