/* batches.c -- from batch messages to the queue, from the queue to transactions. Loop thread. */
#include <stdlib.h>
#include <utlist.h>

#include "base/mem.h"
#include "ingest/ingest_priv.h"

#define DUE_MESSAGES (RECEIVE_BATCHES / 4) /* many small batches must not use up what the broker leaves with us */
#define READMIT_AT   0.5                   /* of the buffer */

/* --- items and jobs --- */

static void
item_free(struct ingest *g, struct item *it)
{
    if (it->is_known && g->known)
        HASH_DEL(g->known, it);
    g->held_bytes -= it->len;
    g->held_points -= it->points;
    free(it->data);
    free(it->topic);
    free(it);
}

static void
append(struct job *job, struct item *it)
{
    DL_APPEND(job->items, it);
    job->count++;
    job->bytes += it->len;
    job->points += it->points;
}

void
item_add(struct ingest *g, struct job *job, const struct item *item)
{
    struct item *it = mem_alloc(sizeof *it);

    *it = *item;
    g->held_bytes += it->len;
    g->held_points += it->points;
    if (job->count == 0 && job->since_ms == 0)
        job->since_ms = loop_now_ms(g->loop);
    append(job, it);
}

static void
remove_first(struct job *job)
{
    struct item *it = job->items;

    DL_DELETE(job->items, it);
    job->count--;
    job->bytes -= it->len;
    job->points -= it->points;
}

struct job *
job_new(struct ingest *g)
{
    (void)g;
    return mem_alloc(sizeof(struct job));
}

void
job_free(struct ingest *g, struct job **out)
{
    struct job *job = *out;
    struct item *it, *next;

    *out = NULL;
    if (!job)
        return;
    DL_FOREACH_SAFE (job->items, it, next)
        item_free(g, it);
    acks_free(&job->acks);
    arena_free(&job->arena);
    free(job);
}

double
batches_usage(const struct ingest *g)
{
    double points = (double)g->held_points / (double)g->conf.ingestion.buffer_size;
    double bytes = (double)g->held_bytes / (double)(g->conf.ingestion.buffer_size * POINT_BYTES_QUEUED);

    return points > bytes ? points : bytes;
}

/* --- transactions --- */

uint64_t
batches_due_ms(const struct ingest *g)
{
    const struct job *q = g->queue;
    bool is_waiting = foreign_is_waiting(g);

    if (q->count == 0 && !is_waiting)
        return UINT64_MAX;
    if (q->points >= (uint64_t)g->conf.ingestion.batch_size || q->count >= DUE_MESSAGES)
        return 0;
    return q->since_ms + (uint64_t)g->conf.ingestion.flush_interval_ms;
}

/* Our own spool gets at most half of a transaction, a message more than the cap at most the one that is too large. */
static void
fill(struct ingest *g, struct job *job)
{
    struct job *q = g->queue;

    foreign_fill(g, job, q->count > 0 ? g->cap_points / 2 : g->cap_points);
    while (q->items && (job->count == 0 || job->points + q->items->points <= g->cap_points)) {
        struct item *it = q->items;

        remove_first(q);
        append(job, it);
    }
}

struct job *
batches_take(struct ingest *g)
{
    uint64_t now = loop_now_ms(g->loop);
    struct job *job;

    if (g->queue->since_ms == 0 && foreign_is_waiting(g))
        g->queue->since_ms = now;
    if (batches_due_ms(g) > now)
        return NULL;
    job = job_new(g);
    fill(g, job);
    g->queue->since_ms = g->queue->count > 0 || foreign_is_waiting(g) ? now : 0;
    if (job->count == 0)
        job_free(g, &job);
    return job;
}

/* --- arrivals --- */

struct slice
batch_topic_gateway(struct slice topic)
{
    static const char level[] = "/batch/";
    const uint8_t *at = memmem(topic.p, topic.len, level, sizeof level - 1), *end;

    if (!at)
        return slice(NULL, 0);
    topic = slice_skip(topic, (size_t)(at - topic.p) + sizeof level - 1);
    end = memchr(topic.p, '/', topic.len);
    return slice(topic.p, end ? (size_t)(end - topic.p) : topic.len);
}

static struct batch_id
id_of(const struct batch_header *hdr)
{
    struct batch_id id;

    memset(&id, 0, sizeof id);
    id.epoch = hdr->epoch;
    id.seq = hdr->seq;
    id.lane = hdr->lane;
    id.gateway_len = (uint32_t)hdr->gateway.len;
    memcpy(id.gateway, hdr->gateway.p, hdr->gateway.len);
    return id;
}

/* A gateway that heard nothing for a while sends again; the first copy is on its way and is acknowledged when it is
 * stored. */
static bool
is_repeated(struct ingest *g, const struct item *it)
{
    struct item *first;

    HASH_FIND(hh, g->known, &it->id, sizeof it->id, first);
    if (!first)
        return false;
    g->repeated++;
    metric_inc(g->m_repeated);
    return true;
}

/* The content is let go and comes again from its gateway. The message stays unacknowledged: the broker then has an end
 * of what it leaves with us and gives to others what they can take. */
static void
shed(struct ingest *g, uint64_t token)
{
    g->shed++;
    metric_inc(g->m_shed);
    if (g->shed_count == MEM_COUNT(g->shed_tokens))
        mqtt_ack(g->batches, token); /* a broker that does not keep to what we asked for */
    else
        g->shed_tokens[g->shed_count++] = token;
}

void
batches_readmit(struct ingest *g)
{
    if (g->shed_count == 0 || batches_usage(g) > READMIT_AT)
        return;
    for (size_t i = 0; i < g->shed_count; i++)
        mqtt_ack(g->batches, g->shed_tokens[i]);
    g->shed_count = 0;
}

/* What is no batch record goes the same way and is put aside where it is decoded. */
static void
enqueue(struct ingest *g, const struct mqtt_message *msg, struct item *it)
{
    it->data = mem_alloc(msg->payload.len ? msg->payload.len : 1);
    it->len = msg->payload.len;
    memcpy(it->data, msg->payload.p, msg->payload.len);
    it->topic = mem_strndup(msg->topic.p, msg->topic.len);
    item_add(g, g->queue, it);
    it = g->queue->items->prev; /* the last one */
    if (it->is_known)
        HASH_ADD(hh, g->known, id, sizeof it->id, it);
}

void
batches_on_message(void *arg, const struct mqtt_message *msg)
{
    struct ingest *g = arg;
    struct item it = {.token = msg->token};
    struct batch_header hdr;

    if (g->is_stopping)
        return;
    if (batch_peek(msg->payload, &hdr, &it.points, NULL) == NX_OK &&
        slice_eq(batch_topic_gateway(msg->topic), hdr.gateway)) {
        it.id = id_of(&hdr);
        it.is_known = true;
        it.points = it.points < BATCH_MAX_POINTS ? it.points : BATCH_MAX_POINTS;
        if (is_repeated(g, &it)) {
            mqtt_ack(g->batches, msg->token);
            return;
        }
    }
    if (g->held_bytes > 0 && batches_usage(g) >= 1) {
        shed(g, msg->token);
        return;
    }
    enqueue(g, msg, &it);
    metric_set(g->m_usage, batches_usage(g));
    writers_pump(g);
}
