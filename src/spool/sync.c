/* sync.c -- fsync the backlog, not the flow: twice in a commit window we look for records that have waited for it, and
 * only segments that still hold such records are synced, on a worker thread. */
#include "base/mem.h"
#include "spool/spool_priv.h"

#include <stdlib.h>

/* Belongs to the worker until done() runs; sp is NULL when the spool was closed meanwhile. */
struct sync_job {
    struct spool *sp;
    const struct disk_ops *disk;
    char *dir;
    int fd; /* a descriptor of its own: the segment may be deleted meanwhile */
    uint64_t first_seq, next_seq;
    bool with_dir;
    int rc;
};

static void
work(void *arg)
{
    struct sync_job *job = arg;

    job->rc = job->disk->sync(job->fd);
    if (job->rc == 0 && job->with_dir)
        job->rc = job->disk->sync_dir(job->dir);
}

void
sync_failed(struct spool *sp, struct segment *sg, int os_errno)
{
    struct nx_note note = {0};

    /* After a failed sync the kernel may have dropped the pages and a second one would lie. */
    sg->has_sync_failed = true;
    sp->stats.sync_errors++;
    (void)spool_fail(&note, sp, os_errno, "sync a segment");
    spool_report(sp, &note);
}

static void
synced(struct spool *sp, const struct sync_job *job)
{
    struct segment *sg = sp->oldest;

    while (sg && sg->first_seq != job->first_seq)
        sg = sg->next;
    if (!sg)
        return;
    if (job->rc < 0) {
        sync_failed(sp, sg, -job->rc);
        return;
    }
    sp->stats.syncs++;
    sg->synced_seq = job->next_seq;
    sg->is_dir_synced = sg->is_dir_synced || job->with_dir;
}

static void sync_next(struct spool *sp);

static void
done(void *arg)
{
    struct sync_job *job = arg;

    if (job->sp) {
        job->sp->job = NULL;
        synced(job->sp, job);
        sync_next(job->sp);
    }
    job->disk->close(job->fd);
    free(job->dir);
    free(job);
}

/* Does the segment hold a record that waits, has waited for a tick, and is not on the disk? */
static bool
is_due(const struct spool *sp, const struct segment *sg)
{
    uint64_t end = sg->next_seq < sp->due_seq ? sg->next_seq : sp->due_seq;

    return !sg->has_sync_failed && sg->waiting && ranges_next_absent(&sp->freed, sg->synced_seq) < end;
}

static void
begin(struct spool *sp, const struct segment *sg)
{
    int fd = sp->disk->dup(sg->fd);

    if (fd < 0)
        return;
    struct sync_job *job = sp->job = mem_alloc(sizeof *job);
    *job = (struct sync_job){.sp = sp,
                             .disk = sp->disk,
                             .dir = mem_strdup(sp->conf.dir),
                             .fd = fd,
                             .first_seq = sg->first_seq,
                             .next_seq = sg->next_seq,
                             .with_dir = !sg->is_dir_synced};
    loop_work(sp->loop, work, done, job);
}

/* One after the other without a pause: a burst that fills several segments is on the disk in time, too. */
static void
sync_next(struct spool *sp)
{
    const struct segment *sg = sp->oldest;

    while (sg && !is_due(sp, sg))
        sg = sg->next;
    if (sg && !sp->job)
        begin(sp, sg);
}

static void
on_tick(struct loop_timer *t, void *arg)
{
    struct spool *sp = arg;

    (void)t;
    sp->due_seq = sp->mark_seq;
    sp->mark_seq = sp->next_seq;
    sync_next(sp);
}

void
sync_start(struct spool *sp)
{
    uint64_t tick_ms = sp->conf.commit_window_ms > 1 ? sp->conf.commit_window_ms / 2 : 1;

    sp->mark_seq = sp->due_seq = sp->next_seq;
    if (!sp->conf.is_strict)
        loop_timer_start(sp->loop, &sp->timer, tick_ms, tick_ms, on_tick, sp);
    sync_next(sp); /* what a killed process has left has waited long enough */
}

void
sync_stop(struct spool *sp)
{
    loop_timer_stop(&sp->timer);
    if (sp->job)
        sp->job->sp = NULL;
    sp->job = NULL;
}

/* Also what is freed, when it is followed by more: after an orderly end a hole is damage. */
void
sync_all_now(struct spool *sp)
{
    for (struct segment *sg = sp->oldest; sg; sg = sg->next) {
        if ((!sg->waiting && !sg->next) || sg->has_sync_failed || sg->synced_seq >= sg->next_seq)
            continue;
        int rc = sp->disk->sync(sg->fd);
        if (rc < 0) {
            sync_failed(sp, sg, -rc);
        } else {
            sg->synced_seq = sg->next_seq;
            sp->stats.syncs++;
        }
    }
    (void)sp->disk->sync_dir(sp->conf.dir);
}
