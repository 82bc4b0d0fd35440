/* writer.c -- one job on the worker pool: decode, commit, learn what may be acknowledged. */
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

#include "base/mem.h"
#include "ingest/ingest_priv.h"

#define UPKEEP_RETRY_NS UINT64_C(10000000000)

static uint64_t
monotonic_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ".../batch/{gateway}/{lane}": a gateway may only speak for itself, so the broker's access list on topics holds. */
static enum nx_err
check_sender(const struct item *it, struct nx_note *why)
{
    static const char level[] = "/batch/";
    const char *gateway = it->topic ? strstr(it->topic, level) : NULL;
    size_t len;

    if (!it->topic)
        return NX_OK;
    if (!gateway)
        return nx_fail(why, NX_E_PROTO, "topic is not nexus/v1/batch/{gateway}/{lane}");
    gateway += sizeof level - 1;
    len = strcspn(gateway, "/");
    if (!slice_eq(it->batch.hdr.gateway, slice(gateway, len)))
        return nx_fail(why, NX_E_DENIED, "batch of gateway \"%.*s\" came on the topic of \"%.*s\"",
                       SLICE_FMT(it->batch.hdr.gateway), (int)len, gateway);
    return NX_OK;
}

static void
decode_all(struct job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        struct item *it = &job->items[i];

        it->bad.err = batch_decode(slice(it->data, it->len), &job->arena, &it->batch, &it->bad);
        if (it->bad.err == NX_OK)
            it->bad.err = check_sender(it, &it->bad);
    }
    job->is_decoded = true;
}

static enum nx_err
open_historian(struct ingest *g, struct nx_note *why)
{
    struct historian_conf conf = {.url = g->conf.historian.url,
                                  .retention_days = (uint32_t)g->conf.historian.retention_days};

    return g->historian ? NX_OK : historian_open(&g->historian, &conf, why);
}

static enum nx_err
commit(struct job *job)
{
    struct batch *batches = mem_calloc(job->count, sizeof *batches);
    size_t n = 0;
    enum nx_err err;

    for (size_t i = 0; i < job->count; i++)
        if (job->items[i].bad.err == NX_OK)
            batches[n++] = job->items[i].batch;
    err = n > 0 ? historian_commit(job->owner->historian, batches, n, &job->result, &job->why) : NX_OK;
    free(batches);
    return err;
}

static struct ack *
ack_of(struct job *job, const struct batch_header *hdr)
{
    struct ack *ack;

    LL_FOREACH (job->acks, ack)
        if (ack->body.epoch == hdr->epoch && ack->body.lane == hdr->lane && slice_eq_str(hdr->gateway, ack->gateway))
            return ack;
    ack = mem_alloc(sizeof *ack);
    ack->body.epoch = hdr->epoch;
    ack->body.lane = hdr->lane;
    memcpy(ack->gateway, hdr->gateway.p, hdr->gateway.len < GATEWAY_MAX ? hdr->gateway.len : GATEWAY_MAX);
    LL_PREPEND(job->acks, ack);
    return ack;
}

/* The whole stretch around a batch is acknowledged, so that an acknowledgement that got lost is made good by the next.
 */
static void
acknowledge(struct job *job, const struct batch_header *hdr)
{
    struct batch_range range;
    struct ack *ack;

    if (!historian_is_committed(job->owner->historian, hdr, &range))
        return;
    ack = ack_of(job, hdr);
    for (unsigned i = 0; i < ack->body.count; i++)
        if (ack->body.committed[i].from == range.from)
            return;
    if (ack->body.count < BATCH_ACK_RANGES)
        ack->body.committed[ack->body.count++] = range;
}

/* Damage and I/O errors may hang on the open file: the next try opens it anew. */
static bool
should_reopen(enum nx_err err)
{
    return err != NX_OK && err != NX_E_BUSY && err != NX_E_DISK_FULL;
}

/* After a failure it waits: commits go on meanwhile, the blocks stay where they are. */
static void
keep_up(struct job *job, uint64_t now_ns)
{
    struct ingest *g = job->owner;

    if (now_ns < g->upkeep_at_ns) {
        job->upkeep = g->upkeep;
        return;
    }
    job->upkeep.err = historian_maintain(g->historian, &job->upkeep);
    g->upkeep = job->upkeep;
    g->upkeep_at_ns = job->upkeep.err == NX_OK ? 0 : monotonic_ns() + UPKEEP_RETRY_NS;
}

void
writer_run(void *arg)
{
    struct job *job = arg;
    struct ingest *g = job->owner;
    uint64_t start = monotonic_ns();

    job->why = job->upkeep = (struct nx_note){0};
    if (!job->is_decoded)
        decode_all(job);
    job->err = open_historian(g, &job->why);
    if (job->err == NX_OK)
        job->err = commit(job);
    if (should_reopen(job->err))
        historian_close(&g->historian);
    if (job->err == NX_OK) {
        for (size_t i = 0; i < job->count; i++)
            if (job->items[i].bad.err == NX_OK && job->items[i].topic)
                acknowledge(job, &job->items[i].batch.hdr);
        job->work_ns = monotonic_ns() - start;
        keep_up(job, start);
    }
}
