#include "gateway/learned.h"

#include "base/file.h"
#include "base/mem.h"
#include "obs/log.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (64u << 20)

struct learned {
    struct loop *loop;
    char *path;
    json_t *texts; /* device id -> text */
    struct loop_timer save;
    bool is_changed;
    struct save_job *job; /* NULL: none under way */
    struct log_ctx log;
};

/* Carries one state of the file to the pool; outlives the store when that is closed meanwhile. */
struct save_job {
    struct learned *owner;
    char *path, *text;
    enum nx_err err;
    struct nx_note why;
};

static void
write_file(void *arg)
{
    struct save_job *job = arg;

    job->err = file_write(job->path, slice_str(job->text), 0600, &job->why);
}

static struct save_job *
make_job(struct learned *l)
{
    struct save_job *job = mem_alloc(sizeof *job);

    job->owner = l;
    job->path = mem_strdup(l->path);
    job->text = json_dumps(l->texts, JSON_COMPACT | JSON_SORT_KEYS);
    l->is_changed = false;
    return job;
}

static void
free_job(struct save_job *job)
{
    free(job->path);
    free(job->text);
    free(job);
}

static loop_timer_cb on_save;

static void
want_save(struct learned *l)
{
    l->is_changed = true;
    if (!l->job && !loop_timer_is_running(&l->save))
        loop_timer_start(l->loop, &l->save, LEARNED_WRITE_MS, 0, on_save, l);
}

static void
on_written(void *arg)
{
    struct save_job *job = arg;
    struct learned *l = job->owner;

    if (l) {
        l->job = NULL;
        if (job->err != NX_OK)
            log_warn(&l->log, "what was learned of devices is not saved; a restart learns it again",
                     KV_NOTE(&job->why));
        if (l->is_changed)
            want_save(l);
    }
    free_job(job);
}

static void
on_save(struct loop_timer *t, void *arg)
{
    struct learned *l = arg;

    (void)t;
    l->job = make_job(l);
    loop_work(l->loop, write_file, on_written, l->job);
}

static json_t *
load(struct learned *l)
{
    struct nx_note why = {0};
    char *text;
    size_t len;
    json_t *json;

    if (file_read(l->path, FILE_MAX_BYTES, &text, &len, &why) != NX_OK) {
        if (why.err != NX_E_NOT_FOUND)
            log_warn(&l->log, "what was learned of devices cannot be read and is learned again", KV_NOTE(&why));
        return json_object();
    }
    json = json_loadb(text, len, 0, NULL);
    free(text);
    if (json_is_object(json))
        return json;
    log_warn(&l->log, "what was learned of devices is damaged and is learned again", KV_STR("path", l->path));
    json_decref(json);
    return json_object();
}

struct learned *
learned_open(struct loop *loop, const char *path)
{
    struct learned *l = mem_alloc(sizeof *l);

    l->loop = loop;
    l->path = mem_strdup(path);
    l->log = (struct log_ctx){.module = "learned"};
    l->texts = load(l);
    return l;
}

void
learned_close(struct learned **lp)
{
    struct learned *l = *lp;

    if (!l)
        return;
    loop_timer_stop(&l->save);
    if (l->job)
        l->job->owner = NULL; /* what it writes is older: the file below replaces it, or it the file with less */
    if (l->is_changed) {
        struct save_job *job = make_job(l);
        write_file(job);
        free_job(job);
    }
    json_decref(l->texts);
    free(l->path);
    free(l);
    *lp = NULL;
}

const char *
learned_get(const struct learned *l, const char *device_id)
{
    return json_string_value(json_object_get(l->texts, device_id));
}

void
learned_put(struct learned *l, const char *device_id, const char *text)
{
    const char *before = learned_get(l, device_id);

    if (strcmp(before ? before : "", text) == 0)
        return;
    if (text[0])
        json_object_set_new(l->texts, device_id, json_string(text));
    else
        json_object_del(l->texts, device_id);
    want_save(l);
}
