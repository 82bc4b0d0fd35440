/* batches.c -- from batch messages to jobs, from results to acknowledgements. Loop thread. */
#include <stdlib.h>
#include <utlist.h>

#include "base/mem.h"
#include "base/num.h"
#include "ingest/ingest_priv.h"

#define BACKOFF_MIN_MS  250u
#define BACKOFF_MAX_MS  15000u
#define MAX_UNSENT_ACKS 1024

/* --- jobs --- */

static void
item_fini(struct item *it)
{
    free(it->data);
    free(it->topic);
}

void
item_add(struct job *job, const struct item *item)
{
    if (job->count == job->cap) {
        job->cap = job->cap ? job->cap * 2 : 64;
        job->items = mem_realloc(job->items, job->cap * sizeof *job->items);
    }
    job->items[job->count++] = *item;
    job->bytes += item->len;
}

static void
free_acks(struct ack **acks)
{
    struct ack *ack, *next;

    LL_FOREACH_SAFE (*acks, ack, next)
        free(ack);
    *acks = NULL;
}

void
job_free(struct job **out)
{
    struct job *job = *out;

    *out = NULL;
    if (!job)
        return;
    for (size_t i = 0; i < job->count; i++)
        item_fini(&job->items[i]);
    free(job->items);
    free_acks(&job->acks);
    arena_free(&job->arena);
    free(job);
}

static struct job *
gathering(struct ingest *g)
{
    if (!g->gathering) {
        g->gathering = mem_alloc(sizeof *g->gathering);
        g->gathering->owner = g;
        g->gathering->since_ms = loop_now_ms(g->loop);
    }
    return g->gathering;
}

static size_t
queued_bytes(const struct ingest *g)
{
    return (g->gathering ? g->gathering->bytes : 0) + (g->running ? g->running->bytes : 0);
}

static double
usage(const struct ingest *g)
{
    return (double)queued_bytes(g) / (double)(g->conf.ingestion.buffer_size * POINT_BYTES_QUEUED);
}

/* --- acknowledgements --- */

static enum nx_err
publish_ack(struct ingest *g, const struct ack *ack)
{
    struct wbuf body = wbuf_init(0);
    char topic[32 + GATEWAY_MAX];
    int len = snprintf(topic, sizeof topic, "nexus/v1/ack/%s", ack->gateway);
    struct mqtt_publication pub = {.topic = slice(topic, (size_t)len), .qos = 1};
    enum nx_err err;

    batch_ack_encode(&body, &ack->body);
    pub.payload = wbuf_slice_of(&body);
    err = mqtt_publish(g->batches, &pub, NULL, NULL);
    wbuf_free(&body);
    return err;
}

void
batches_send_acks(struct ingest *g)
{
    while (g->unsent) {
        struct ack *ack = g->unsent;
        enum nx_err err = publish_ack(g, ack);

        if (err == NX_E_FULL || err == NX_E_OFFLINE)
            return;
        g->acks_sent += err == NX_OK;
        LL_DELETE(g->unsent, ack);
        free(ack);
    }
}

/* A newer acknowledgement of a lane replaces one that still waits. Forgetting some is safe: a gateway sends again what
 * it hears nothing of, and is then told again. */
static void
queue_acks(struct ingest *g, struct job *job)
{
    struct ack *ack, *next, *old, *old_next;
    int count;

    LL_FOREACH_SAFE (job->acks, ack, next) {
        LL_DELETE(job->acks, ack);
        LL_FOREACH_SAFE (g->unsent, old, old_next)
            if (old->body.epoch == ack->body.epoch && old->body.lane == ack->body.lane &&
                strcmp(old->gateway, ack->gateway) == 0) {
                LL_DELETE(g->unsent, old);
                free(old);
            }
        LL_COUNT(g->unsent, old, count);
        if (count >= MAX_UNSENT_ACKS)
            free(ack);
        else
            LL_APPEND(g->unsent, ack);
    }
    batches_send_acks(g);
}

/* --- results --- */

static void
settle_item(struct ingest *g, const struct item *it)
{
    if (it->bad.err != NX_OK)
        ingest_bad_message(g, slice_str(it->topic ? it->topic : "spool"), slice(it->data, it->len), &it->bad);
    if (it->topic)
        mqtt_ack(g->batches, it->token);
    else
        foreign_committed(g, it);
}

static void
count_result(struct ingest *g, const struct job *job)
{
    const struct historian_commit_result *r = &job->result;

    g->batches_total += job->count;
    g->points_total += r->points;
    g->duplicate_batches += r->duplicate_batches;
    g->duplicate_points += r->duplicate_points;
    g->quarantined += r->quarantined_points;
    metric_add(g->m_batches, (double)job->count);
    metric_add(g->m_points, (double)r->points);
    metric_add(g->m_duplicates, r->duplicate_batches);
    metric_add(g->m_quarantined, (double)r->quarantined_points);
    if (job->count > 0)
        metric_observe(g->m_duration, (double)job->work_ns / 1e9);
    if (r->newest_us > 0) {
        g->newest_us = r->newest_us;
        metric_set(g->m_lag, (double)(loop_wall_us(g->loop) - r->newest_us) / 1e6);
    }
    if (r->quarantined_points > 0)
        log_warn(&g->log, "values with an absurd time were put into quarantine: check the clocks of the devices",
                 KV_UINT("points", r->quarantined_points));
}

static void
on_committed(struct ingest *g, struct job *job)
{
    if (g->is_failing)
        log_info(&g->log, "historian takes values again",
                 KV_UINT("after_s", (loop_now_ms(g->loop) - g->storage_since_ms) / 1000));
    g->is_failing = false;
    g->storage = job->upkeep;
    if (job->upkeep.err != NX_OK)
        log_warn(&g->log, "historian cannot seal or delete old values; trying again", KV_NOTE(&job->upkeep));
    g->backoff_ms = 0;
    count_result(g, job);
    for (size_t i = 0; i < job->count; i++)
        settle_item(g, &job->items[i]);
    queue_acks(g, job);
    job_free(&g->running);
}

static void on_job_done(void *arg);

static void
run_again(struct loop_timer *t, void *arg)
{
    struct ingest *g = arg;

    (void)t;
    loop_work(g->loop, writer_run, on_job_done, g->running);
}

/* Nothing was stored: the job stays as it is, nothing is acknowledged, the next try comes later. */
static void
on_failed(struct ingest *g, struct job *job)
{
    if (!g->is_failing)
        g->storage_since_ms = loop_now_ms(g->loop);
    g->is_failing = true;
    g->storage = job->why;
    g->storage.err = job->err;
    g->backoff_ms = g->backoff_ms ? g->backoff_ms * 2 : BACKOFF_MIN_MS;
    if (g->backoff_ms > BACKOFF_MAX_MS)
        g->backoff_ms = BACKOFF_MAX_MS;
    ingest_count_error(g, ERROR_WRITE);
    log_error(&g->log, "historian takes no values; they wait in the spools of the gateways", KV_NOTE(&job->why),
              KV_UINT("retry_ms", g->backoff_ms));
    loop_timer_start(g->loop, &g->retry, g->backoff_ms, 0, run_again, g);
}

static void
on_job_done(void *arg)
{
    struct job *job = arg;
    struct ingest *g = job->owner;

    if (job->err == NX_OK)
        on_committed(g, job);
    else if (!g->is_stopping)
        on_failed(g, job);
    else
        job_free(&g->running);
    metric_set(g->m_usage, usage(g));
    if (g->is_stopping)
        ingest_check_stopped(g);
    else
        batches_pump(g, false);
}

/* --- starting --- */

static void
flush_due(struct loop_timer *t, void *arg)
{
    (void)t;
    batches_pump(arg, false);
}

static bool
is_due(const struct ingest *g, const struct job *job)
{
    uint64_t waited_ms = loop_now_ms(g->loop) - job->since_ms;

    return job->bytes >= (size_t)g->conf.ingestion.batch_size * POINT_BYTES_BATCH ||
           waited_ms >= (uint64_t)g->conf.ingestion.flush_interval_ms;
}

void
batches_pump(struct ingest *g, bool force)
{
    struct job *job;

    if (g->running || g->is_stopping)
        return;
    job = gathering(g);
    foreign_fill(g, job);
    if (!force && (job->count == 0 || !is_due(g, job))) {
        if (job->count == 0)
            job_free(&g->gathering);
        else if (!loop_timer_is_running(&g->flush))
            loop_timer_start(g->loop, &g->flush, (uint64_t)g->conf.ingestion.flush_interval_ms, 0, flush_due, g);
        return;
    }
    loop_timer_stop(&g->flush);
    g->running = job;
    g->gathering = NULL;
    loop_work(g->loop, writer_run, on_job_done, job);
}

void
batches_on_message(void *arg, const struct mqtt_message *msg)
{
    struct ingest *g = arg;
    struct item it = {.token = msg->token};

    if (g->is_stopping)
        return;
    if (g->gathering && usage(g) >= 1) {
        g->shed++;
        metric_inc(g->m_shed);
        mqtt_ack(g->batches, msg->token);
        return;
    }
    it.data = mem_alloc(msg->payload.len);
    it.len = msg->payload.len;
    memcpy(it.data, msg->payload.p, msg->payload.len);
    it.topic = mem_strndup(msg->topic.p, msg->topic.len);
    item_add(gathering(g), &it);
    metric_set(g->m_usage, usage(g));
    batches_pump(g, false);
}
