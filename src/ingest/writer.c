/* writer.c -- one job on a writer's thread: decode, commit, divide what the database refuses, learn what may be
 * acknowledged. */
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

#include "base/mem.h"
#include "ingest/ingest_priv.h"

static uint64_t
monotonic_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int64_t
wall_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

enum nx_err
writer_open(struct ingest *g, struct historian **h, enum historian_role role, struct nx_note *why)
{
    struct historian_conf conf = {.url = g->historian_url,
                                  .password = g->conf.store.password,
                                  .role = role,
                                  .retention_days = (uint32_t)g->conf.historian.retention_days,
                                  .rollup_retention_days = (uint32_t)g->conf.historian.rollup_retention_days,
                                  .use_insert = !g->conf.ingestion.use_copy_protocol};

    return *h ? NX_OK : historian_open(h, &conf, why);
}

/* --- decoding --- */

/* ".../batch/{gateway}/{lane}": a gateway may only speak for itself, so the broker's access list on topics holds. */
static enum nx_err
check_sender(const struct item *it, struct nx_note *why)
{
    struct slice gateway = it->topic ? batch_topic_gateway(slice_str(it->topic)) : slice(NULL, 0);

    if (!it->topic)
        return NX_OK;
    if (gateway.len == 0)
        return nx_fail(why, NX_E_PROTO, "topic is not nexus/v1/batch/{gateway}/{lane}");
    if (!slice_eq(it->batch.hdr.gateway, gateway))
        return nx_fail(why, NX_E_DENIED, "batch of gateway \"%.*s\" came on the topic of \"%.*s\"",
                       SLICE_FMT(it->batch.hdr.gateway), SLICE_FMT(gateway));
    return NX_OK;
}

static void
decode_all(struct job *job)
{
    struct item *it;

    DL_FOREACH (job->items, it) {
        it->bad.err = batch_decode(slice(it->data, it->len), &job->arena, &it->batch, &it->bad);
        if (it->bad.err == NX_OK)
            it->bad.err = check_sender(it, &it->bad);
    }
    job->is_decoded = true;
}

/* --- committing --- */

static void
add_result(struct job *job, const struct historian_commit_result *r)
{
    job->result.points += r->points;
    job->result.duplicate_points += r->duplicate_points;
    job->result.duplicate_batches += r->duplicate_batches;
    job->result.quarantined_points += r->quarantined_points;
    job->result.newest_us = r->newest_us > job->result.newest_us ? r->newest_us : job->result.newest_us;
}

/* The whole stretch around a batch is acknowledged, so that an acknowledgement that got lost is made good by the next.
 */
static void
settle(struct job *job, struct item **items, size_t n)
{
    struct batch_range range;

    for (size_t i = 0; i < n; i++) {
        const struct batch_header *hdr = &items[i]->batch.hdr;

        items[i]->is_done = true;
        if (items[i]->topic && historian_is_committed(job->writer->historian, hdr, &range))
            acks_add(&job->acks, hdr, range);
    }
}

static enum nx_err
commit_once(struct job *job, struct item **items, size_t n)
{
    struct historian_commit_result result;
    struct batch *batches = mem_calloc(n, sizeof *batches);
    enum nx_err err;

    for (size_t i = 0; i < n; i++)
        batches[i] = items[i]->batch;
    err = historian_commit(job->writer->historian, batches, n, &result, &job->why);
    free(batches);
    if (err != NX_OK)
        return err;
    add_result(job, &result);
    settle(job, items, n);
    return NX_OK;
}

/* The database will never take these values, whoever brings them. */
static bool
is_refusal(enum nx_err err)
{
    return err == NX_E_RANGE || err == NX_E_PROTO || err == NX_E_TOO_LARGE;
}

static void
turn_into_gap(struct batch *b, enum nx_err cause)
{
    struct batch_gap gap = {b->hdr.seq, b->hdr.seq, b->point_count, INT64_MAX, INT64_MIN, cause};

    for (uint32_t i = 0; i < b->point_count; i++) {
        gap.from_us = b->points[i].time_us < gap.from_us ? b->points[i].time_us : gap.from_us;
        gap.to_us = b->points[i].time_us > gap.to_us ? b->points[i].time_us : gap.to_us;
    }
    *b = (struct batch){.hdr = b->hdr, .is_gap = true, .gap = gap};
}

/* Not even the gap goes into the books: there is nothing left to try. */
static void
give_up(struct job *job, struct item *it)
{
    struct batch_range range = {it->batch.hdr.seq, it->batch.hdr.seq};

    it->is_done = true;
    if (it->topic)
        acks_add(&job->acks, &it->batch.hdr, range);
}

/* Kept whole in a file; what stays is the gap for the books. */
static enum nx_err
keep_refused(struct job *job, struct item *it, enum nx_err cause)
{
    struct refused *files = &job->writer->owner->refused;
    struct nx_note refusal = job->why;
    uint32_t points = it->batch.point_count;
    char path[512];
    enum nx_err err = refused_put(files, &it->batch, wall_us(), path, sizeof path, &job->why);

    if (err != NX_OK)
        return err == NX_E_TOO_LARGE ? NX_E_IO : err; /* not again a reason to divide */
    (void)nx_fail(&it->bad, cause, "%.150s; kept in %.150s", refusal.text, path);
    it->is_refused = true;
    turn_into_gap(&it->batch, cause);
    job->refused_batches++;
    job->refused_points += points;
    return NX_OK;
}

/* One batch that is refused. */
static enum nx_err
put_aside(struct job *job, struct item *it, enum nx_err cause)
{
    enum nx_err err = it->batch.is_gap ? NX_OK : keep_refused(job, it, cause);

    if (err == NX_OK)
        err = commit_once(job, &it, 1);
    if (!is_refusal(err))
        return err;
    give_up(job, it);
    return NX_OK;
}

/* Halves what is refused until the one is found that is to blame; all others are stored. */
static enum nx_err
commit(struct job *job, struct item **items, size_t n)
{
    enum nx_err err = n > 0 ? commit_once(job, items, n) : NX_OK;

    if (!is_refusal(err))
        return err;
    if (n == 1)
        return put_aside(job, items[0], err);
    err = commit(job, items, n / 2);
    return err == NX_OK ? commit(job, items + n / 2, n - n / 2) : err;
}

static enum nx_err
commit_all(struct job *job)
{
    struct item **items = mem_calloc(job->count ? job->count : 1, sizeof(struct item *)), *it;
    size_t n = 0;
    enum nx_err err;

    DL_FOREACH (job->items, it)
        if ((it->bad.err == NX_OK || it->is_refused) && !it->is_done)
            items[n++] = it;
    err = commit(job, items, n);
    free(items);
    return err;
}

/* --- the job --- */

/* Damage and I/O errors may hang on the open file or connection: the next try opens it anew. */
static bool
should_reopen(enum nx_err err)
{
    return err != NX_OK && err != NX_E_BUSY && err != NX_E_DISK_FULL;
}

void
writer_run(void *arg)
{
    struct job *job = arg;
    struct writer *w = job->writer;
    uint64_t start = monotonic_ns();

    job->why = (struct nx_note){0};
    if (!job->is_decoded)
        decode_all(job);
    job->err = writer_open(w->owner, &w->historian, HISTORIAN_WRITER, &job->why);
    if (job->err == NX_OK)
        job->err = commit_all(job);
    job->work_ns = monotonic_ns() - start;
    if (should_reopen(job->err))
        historian_close(&w->historian);
}

void
keeper_run(void *arg)
{
    struct ingest *g = arg;
    struct keeper *k = &g->keeper;

    k->now = (struct nx_note){0};
    k->now.err = writer_open(g, &k->historian, HISTORIAN_KEEPER, &k->now);
    if (k->now.err == NX_OK)
        k->now.err = historian_maintain(k->historian, &k->now);
    k->damaged_now = (struct damaged){0};
    if (k->historian)
        k->damaged_now.files = historian_damaged_files(k->historian, &k->damaged_now.what);
    if (should_reopen(k->now.err))
        historian_close(&k->historian);
}
