#include "gateway/saver.h"

#include "base/file.h"
#include "base/mem.h"
#include "obs/log.h"

#include <stdlib.h>

/* Carries one state of the file to the pool; outlives the saver when that ends meanwhile. */
struct job {
    struct saver *owner;
    char *path, *text;
    enum nx_err err;
    struct nx_note why;
};

struct saver {
    struct loop *loop;
    struct saver_conf conf;
    char *path;
    struct loop_timer timer;
    bool is_changed;
    struct job *job; /* NULL: none under way */
    struct log_ctx log;
};

static void
write_file(void *arg)
{
    struct job *job = arg;

    if (job->text)
        job->err = file_write(job->path, slice_str(job->text), 0600, &job->why);
}

static struct job *
make_job(struct saver *s)
{
    struct job *job = mem_alloc(sizeof *job);

    job->owner = s;
    job->path = mem_strdup(s->path);
    job->text = s->conf.text(s->conf.arg);
    s->is_changed = false;
    return job;
}

static void
free_job(struct saver *s, struct job *job)
{
    if (s && job->err != NX_OK)
        log_warn(&s->log, s->conf.complaint, KV_NOTE(&job->why));
    free(job->path);
    free(job->text);
    free(job);
}

static void
on_written(void *arg)
{
    struct job *job = arg;
    struct saver *s = job->owner;

    if (s) {
        s->job = NULL;
        if (s->is_changed)
            saver_touch(s);
    }
    free_job(s, job);
}

static void
on_time(struct loop_timer *t, void *arg)
{
    struct saver *s = arg;

    (void)t;
    s->job = make_job(s);
    loop_work(s->loop, write_file, on_written, s->job);
}

void
saver_touch(struct saver *s)
{
    s->is_changed = true;
    if (!s->job && !loop_timer_is_running(&s->timer))
        loop_timer_start(s->loop, &s->timer, s->conf.delay_ms, 0, on_time, s);
}

struct saver *
saver_new(struct loop *loop, const struct saver_conf *conf)
{
    struct saver *s = mem_alloc(sizeof *s);

    s->loop = loop;
    s->conf = *conf;
    s->path = mem_strdup(conf->path);
    s->log = (struct log_ctx){.module = "saver"};
    return s;
}

void
saver_free(struct saver **sp)
{
    struct saver *s = *sp;

    if (!s)
        return;
    loop_timer_stop(&s->timer);
    if (s->job)
        s->job->owner = NULL;
    if (s->is_changed) {
        struct job *job = make_job(s);
        write_file(job);
        free_job(s, job);
    }
    free(s->path);
    free(s);
    *sp = NULL;
}
