/* foreign.c -- tag messages of others: decoded, gathered, appended to our own spool, then acknowledged to the broker.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "ingest/ingest_priv.h"
#include "model/tagmsg.h"

#define FLUSH_MS     20u
#define RETRY_MS     1000u
#define FLUSH_POINTS 4096u

struct foreign_topic {
    UT_hash_handle hh;
    uint32_t key;
    struct series series; /* texts below */
    char *unit;
    char topic[];
};

/* Drops in a row become one gap record. */
static void
keep_gap(struct foreign *f, const struct batch_gap *gap)
{
    struct batch_gap *kept = &f->gap;

    if (kept->to_seq == 0) {
        *kept = *gap;
        return;
    }
    kept->points += gap->points;
    kept->from_seq = gap->from_seq < kept->from_seq ? gap->from_seq : kept->from_seq;
    kept->from_us = gap->from_us < kept->from_us ? gap->from_us : kept->from_us;
    kept->to_seq = gap->to_seq > kept->to_seq ? gap->to_seq : kept->to_seq;
    kept->to_us = gap->to_us > kept->to_us ? gap->to_us : kept->to_us;
}

static void
on_drop(void *arg, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    struct ingest *g = arg;
    int64_t now_us = loop_wall_us(g->loop);

    keep_gap(&g->foreign, &(struct batch_gap){from, to, points, now_us, now_us, cause});
    if (cause == NX_E_CANCELED) {
        log_warn(&g->log, "the power was cut: foreign values of the last moment before it may be lost");
        return;
    }
    g->foreign.dropped_points += points;
    ingest_count_error(g, ERROR_SPOOL);
    log_warn(&g->log, "foreign values were dropped from the spool before the historian took them",
             KV_UINT("from", from), KV_UINT("to", to), KV_UINT("points", points), KV_ERR(cause));
}

static struct batch_header
next_header(const struct foreign *f)
{
    return (struct batch_header){slice_str(f->gateway), spool_epoch(f->spool), 0, spool_next_seq(f->spool)};
}

/* Tells the ledger what will never come. A spool that takes nothing now takes it later. */
static void
declare_gap(struct foreign *f)
{
    struct batch_header hdr = next_header(f);
    struct batch_gap gap = f->gap;
    struct wbuf record = wbuf_init(0);

    if (gap.to_seq == 0)
        return;
    f->gap = (struct batch_gap){0}; /* the append may add to it */
    if (batch_encode_gap(&hdr, &gap, &record) == NX_OK &&
        spool_append(f->spool, wbuf_slice_of(&record), 0, NULL) != NX_OK)
        keep_gap(f, &gap);
    wbuf_free(&record);
}

enum nx_err
foreign_open(struct ingest *g, struct nx_note *why)
{
    static const struct spool_ops ops = {.on_drop = on_drop};
    struct foreign *f = &g->foreign;
    char *dir = mem_printf("%s/spool", g->conf.buffer.disk_path);
    struct spool_conf conf = {.dir = dir, .cap_bytes = g->conf.buffer.disk_limit};
    enum nx_err err = spool_open(&f->spool, g->loop, &conf, &ops, g, why);

    free(dir);
    f->writer = batch_writer_new();
    f->record = wbuf_init(BATCH_MAX_BYTES + 4096);
    f->scratch = wbuf_init(0);
    (void)snprintf(f->gateway, sizeof f->gateway, "foreign.%.50s", g->conf.mqtt.client_id);
    if (err == NX_OK)
        declare_gap(f);
    return err;
}

void
foreign_close(struct ingest *g)
{
    struct foreign *f = &g->foreign;
    struct foreign_topic *t, *next;

    loop_timer_stop(&f->timer);
    if (f->spool)
        spool_close(&f->spool);
    batch_writer_free(&f->writer);
    HASH_ITER (hh, f->topics, t, next) {
        HASH_DEL(f->topics, t);
        free(t->unit);
        free(t);
    }
    free(f->tokens);
    wbuf_free(&f->record);
    wbuf_free(&f->scratch);
}

/* --- to the spool --- */

static void
flush_due(struct loop_timer *t, void *arg)
{
    (void)t;
    foreign_flush(arg);
}

/* The record carries the number that the spool is about to give it: its identity in the ledger. */
static enum nx_err
encode_record(struct foreign *f)
{
    struct batch_header hdr = next_header(f);

    f->record_points = batch_writer_count(f->writer);
    f->record_tokens = f->token_count;
    wbuf_reset(&f->record);
    return batch_writer_finish(f->writer, &hdr, true, &f->record);
}

static void
acknowledge(struct ingest *g)
{
    struct foreign *f = &g->foreign;

    for (size_t i = 0; i < f->record_tokens; i++)
        mqtt_ack(g->tags, f->tokens[i]);
    memmove(f->tokens, f->tokens + f->record_tokens, (f->token_count - f->record_tokens) * sizeof *f->tokens);
    f->token_count -= f->record_tokens;
    f->stored_messages += f->record_points;
    f->record_tokens = f->record_points = 0;
    wbuf_reset(&f->record);
}

static bool
append_record(struct ingest *g)
{
    struct foreign *f = &g->foreign;
    struct nx_note why = {0};
    enum nx_err err = spool_append(f->spool, wbuf_slice_of(&f->record), f->record_points, &why);

    if (err == NX_OK) {
        f->trouble = (struct nx_note){0};
        acknowledge(g);
        return true;
    }
    f->trouble = why;
    f->trouble.err = err;
    ingest_count_error(g, ERROR_SPOOL);
    log_error(&g->log, "spool takes no foreign values; they stay with the broker; trying again", KV_NOTE(&why));
    loop_timer_start(g->loop, &f->timer, RETRY_MS, 0, flush_due, g);
    return false;
}

void
foreign_flush(struct ingest *g)
{
    struct foreign *f = &g->foreign;

    if (f->record_points > 0 && !append_record(g))
        return;
    declare_gap(f);
    if (batch_writer_count(f->writer) > 0) {
        if (encode_record(f) != NX_OK) {
            ingest_count_error(g, ERROR_SPOOL);
            log_error(&g->log, "foreign values do not fit a record and were dropped",
                      KV_UINT("points", f->record_points));
            acknowledge(g);
        } else if (!append_record(g)) {
            return;
        }
    }
    loop_timer_stop(&f->timer);
    writers_pump(g);
}

/* --- one message --- */

static struct foreign_topic *
topic_of(struct ingest *g, const struct mqtt_message *msg, const struct tagmsg *tag)
{
    struct foreign *f = &g->foreign;
    struct foreign_topic *t;

    HASH_FIND(hh, f->topics, msg->topic.p, msg->topic.len, t);
    if (t || f->topic_count >= (uint32_t)g->conf.ingestion.max_topics)
        return t;
    t = mem_alloc(sizeof *t + msg->topic.len + 1);
    memcpy(t->topic, msg->topic.p, msg->topic.len);
    t->key = f->topic_count++;
    t->unit = mem_strndup(tag->unit.len ? (const char *)tag->unit.p : "", tag->unit.len);
    t->series = (struct series){.topic = slice(t->topic, msg->topic.len),
                                .unit = slice_str(t->unit),
                                .data_type = (uint8_t)tag->value.type};
    HASH_ADD_KEYPTR(hh, f->topics, t->topic, msg->topic.len, t);
    return t;
}

static void
skip(struct ingest *g, const struct mqtt_message *msg, enum skip_reason reason)
{
    metric_inc(g->m_skipped[reason]);
    mqtt_ack(g->tags, msg->token);
}

static void
refuse(struct ingest *g, const struct mqtt_message *msg, const struct nx_note *why)
{
    ingest_bad_message(g, msg->topic, msg->payload, why);
    mqtt_ack(g->tags, msg->token);
}

static bool
is_system(const struct ingest *g, struct slice topic)
{
    return slice_starts_with(topic, slice_str("nexus/v1/")) ||
           slice_starts_with(topic, slice_str(g->conf.mqtt.system_prefix)) || slice_starts_with(topic, slice_str("$"));
}

static struct point
point_of(const struct ingest *g, const struct tagmsg *tag)
{
    struct point p = {.quality = tag->quality, .value = tag->value, .gateway_us = loop_wall_us(g->loop)};

    p.time_us = tag->source_us ? tag->source_us : tag->time_us ? tag->time_us : p.gateway_us;
    return p;
}

static void
gather(struct ingest *g, const struct mqtt_message *msg, const struct tagmsg *tag)
{
    struct foreign *f = &g->foreign;
    struct foreign_topic *t = topic_of(g, msg, tag);
    struct point p = point_of(g, tag);
    struct nx_note why;

    if (!t) {
        (void)nx_fail(&why, NX_E_FULL, "more than ingestion.max_topics = %lld foreign topics",
                      (long long)g->conf.ingestion.max_topics);
        refuse(g, msg, &why);
        return;
    }
    if (!batch_writer_add(f->writer, t->key, &t->series, &p)) {
        foreign_flush(g);
        if (!batch_writer_add(f->writer, t->key, &t->series, &p)) {
            ingest_count_error(g, ERROR_BUFFER); /* stays unacknowledged: the broker sends it again */
            return;
        }
    }
    if (f->token_count == f->token_cap) {
        f->token_cap = f->token_cap ? f->token_cap * 2 : 1024;
        f->tokens = mem_realloc(f->tokens, f->token_cap * sizeof *f->tokens);
    }
    if (msg->token)
        f->tokens[f->token_count++] = msg->token;
}

void
foreign_on_message(void *arg, const struct mqtt_message *msg)
{
    struct ingest *g = arg;
    struct foreign *f = &g->foreign;
    struct tagmsg tag;
    struct nx_note why = {0};

    if (g->is_stopping)
        return;
    if (is_system(g, msg->topic)) {
        skip(g, msg, SKIP_SYSTEM);
        return;
    }
    wbuf_reset(&f->scratch);
    if (tagmsg_decode(msg->payload, &f->scratch, &tag, &why) != NX_OK) {
        refuse(g, msg, &why);
        return;
    }
    if (tag.has_seq) {
        skip(g, msg, SKIP_SEQ);
        return;
    }
    if (msg->retain && tag.time_us == 0 && tag.source_us == 0) { /* how old it is nobody can tell */
        skip(g, msg, SKIP_RETAINED);
        return;
    }
    gather(g, msg, &tag);
    if (batch_writer_count(f->writer) >= FLUSH_POINTS && f->record_points == 0)
        foreign_flush(g);
    else if (!loop_timer_is_running(&f->timer))
        loop_timer_start(g->loop, &f->timer, FLUSH_MS, 0, flush_due, g);
}

/* --- out of the spool --- */

bool
foreign_is_waiting(const struct ingest *g)
{
    return g->foreign.spool && g->foreign.read_next < spool_next_seq(g->foreign.spool);
}

void
foreign_fill(struct ingest *g, struct job *job, uint64_t max_points)
{
    struct foreign *f = &g->foreign;
    struct batch_header hdr;
    struct spool_record rec;
    struct nx_note why;

    while (f->spool && job->points < max_points) {
        struct item it = {0};

        if (spool_read(f->spool, f->read_next, &rec, &why) != NX_OK)
            return;
        (void)!batch_peek(rec.body, &hdr, &it.points, NULL);
        it.data = mem_alloc(rec.body.len);
        it.len = rec.body.len;
        memcpy(it.data, rec.body.p, rec.body.len);
        it.spool_seq = rec.seq;
        item_add(g, job, &it);
        f->read_next = rec.seq + 1;
    }
}

void
foreign_committed(struct ingest *g, const struct item *item)
{
    spool_free_range(g->foreign.spool, item->spool_seq, item->spool_seq);
}
