/* foreign.c -- tag messages of others: decoded, gathered, appended to our own spool, then acknowledged to the broker.
 * What the broker sends again because it did not hear the acknowledgement is recognised (redelivery.h). While the spool
 * takes nothing and the memory for one record is full, we stay away from the broker. */
#include <stdlib.h>

#include "base/mem.h"
#include "ingest/ingest_priv.h"
#include "model/tagmsg.h"

#define FLUSH_MS      20u
#define RETRY_MS      1000u
#define FLUSH_POINTS  4096u
#define CLOCK_STEP_US 1000000

struct foreign_topic {
    UT_hash_handle hh;
    uint32_t key;
    int64_t arrival_us;   /* of the last value without a time */
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
        g->foreign.was_cut = true;
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

/* Without its file we go on: only a kill at the wrong moment would be noticed. */
static void
open_redelivery(struct ingest *g)
{
    struct foreign *f = &g->foreign;
    struct nx_note why = {0};
    char *path = mem_printf("%s/redelivery", g->conf.buffer.disk_path);
    char *broker = mem_printf("%s %s", g->conf.mqtt.broker_url, g->conf.mqtt.client_id);

    f->redelivery = redelivery_open(path, broker, spool_next_seq(f->spool), &why);
    if (why.err != NX_OK)
        log_warn(&g->log, "redelivered messages are recognised only until the next start", KV_NOTE(&why));
    if (f->was_cut)
        redelivery_forget(f->redelivery);
    free(broker);
    free(path);
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
    if (err != NX_OK)
        return err;
    open_redelivery(g);
    declare_gap(f);
    return NX_OK;
}

void
foreign_close(struct ingest *g)
{
    struct foreign *f = &g->foreign;
    struct foreign_topic *t, *next;

    loop_timer_stop(&f->timer);
    if (f->spool)
        spool_close(&f->spool);
    redelivery_close(&f->redelivery);
    batch_writer_free(&f->writer);
    HASH_ITER (hh, f->topics, t, next) {
        HASH_DEL(f->topics, t);
        free(t->unit);
        free(t);
    }
    free(f->tokens);
    tagmsg_list_free(&f->messages);
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
encode_record(struct ingest *g)
{
    struct foreign *f = &g->foreign;
    struct batch_header hdr = next_header(f);
    struct nx_note why;

    f->record_points = batch_writer_count(f->writer);
    f->record_tokens = f->token_count;
    f->record_messages = f->gathered_messages;
    f->gathered_messages = 0;
    wbuf_reset(&f->record);
    if (redelivery_save(f->redelivery, hdr.seq, &why) != NX_OK)
        log_warn(&g->log, "redelivered messages are recognised only until the next start", KV_NOTE(&why));
    return batch_writer_finish(f->writer, &hdr, true, &f->record);
}

static void
acknowledge(struct ingest *g, size_t n)
{
    struct foreign *f = &g->foreign;

    for (size_t i = 0; i < n; i++)
        mqtt_ack(g->tags, f->tokens[i]);
    if (n == 0)
        return;
    memmove(f->tokens, f->tokens + n, (f->token_count - n) * sizeof *f->tokens);
    f->token_count -= n;
}

static void
end_record(struct ingest *g)
{
    struct foreign *f = &g->foreign;

    acknowledge(g, f->record_tokens);
    f->stored_messages += f->record_messages;
    f->record_messages = f->record_tokens = f->record_points = 0;
    wbuf_reset(&f->record);
}

/* --- away from the broker --- */

static void
leave(void *arg)
{
    struct ingest *g = arg;

    if (!g->foreign.is_away || g->is_stopping)
        return;
    mqtt_stop(g->tags, false);
    loop_timer_start(g->loop, &g->foreign.timer, RETRY_MS, 0, flush_due, g);
}

/* What is not acknowledged comes again; nothing may come behind it. */
static void
stay_away(struct ingest *g)
{
    struct foreign *f = &g->foreign;

    ingest_count_error(g, ERROR_BUFFER);
    if (f->is_away)
        return;
    f->is_away = true;
    log_warn(&g->log, "no room for foreign values: away from the broker until the spool takes them");
    loop_defer(g->loop, leave, g);
}

static void
come_back(struct ingest *g)
{
    struct foreign *f = &g->foreign;

    if (!f->is_away || g->is_stopping || mqtt_state_of(g->tags) != MQTT_STOPPED)
        return;
    f->is_away = false;
    mqtt_start(g->tags);
}

void
foreign_online(struct ingest *g, bool session_present)
{
    struct foreign *f = &g->foreign;

    f->token_count = f->record_tokens = 0; /* of the connection that is gone */
    if (!session_present)
        redelivery_forget(f->redelivery);
}

static bool
append_record(struct ingest *g)
{
    struct foreign *f = &g->foreign;
    struct nx_note why = {0};
    enum nx_err err = spool_append(f->spool, wbuf_slice_of(&f->record), f->record_points, &why);

    if (err == NX_OK) {
        f->trouble = (struct nx_note){0};
        end_record(g);
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
        if (encode_record(g) != NX_OK) {
            ingest_count_error(g, ERROR_SPOOL);
            log_error(&g->log, "foreign values do not fit a record and were dropped",
                      KV_UINT("points", f->record_points));
            end_record(g);
        } else if (!append_record(g)) {
            return;
        }
    }
    acknowledge(g, f->token_count); /* the rest came again and is in the spool */
    come_back(g);
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

/* Values of one topic that arrive together must not share a time, or all but one would be taken for duplicates. A clock
 * that was set back is followed. */
static int64_t
arrival_of(struct foreign_topic *t, int64_t now_us)
{
    bool is_same = t->arrival_us >= now_us && t->arrival_us - now_us < CLOCK_STEP_US;

    t->arrival_us = is_same ? t->arrival_us + 1 : now_us;
    return t->arrival_us;
}

static struct point
point_of(const struct ingest *g, struct foreign_topic *t, const struct tagmsg *tag)
{
    struct point p = {.quality = tag->quality, .value = tag->value, .gateway_us = loop_wall_us(g->loop)};

    p.time_us = tag->source_us ? tag->source_us : tag->time_us ? tag->time_us : arrival_of(t, p.gateway_us);
    return p;
}

/* A full record leaves for the spool first. */
static bool
add_point(struct ingest *g, struct foreign_topic *t, const struct tagmsg *tag)
{
    struct foreign *f = &g->foreign;
    struct point p = point_of(g, t, tag);

    if (batch_writer_add(f->writer, t->key, &t->series, &p))
        return true;
    foreign_flush(g);
    return f->record_points == 0 && batch_writer_add(f->writer, t->key, &t->series, &p);
}

static void
keep_token(struct foreign *f, uint64_t token)
{
    if (token == 0)
        return;
    if (f->token_count == f->token_cap) {
        f->token_cap = f->token_cap ? f->token_cap * 2 : 1024;
        f->tokens = mem_realloc(f->tokens, f->token_cap * sizeof *f->tokens);
    }
    f->tokens[f->token_count++] = token;
}

/* Several points have a time each: should they end in two records, and the second not be stored, then the historian
 * knows the first ones when they come again. */
static void
gather(struct ingest *g, const struct mqtt_message *msg, uint64_t hash)
{
    struct foreign *f = &g->foreign;
    struct foreign_topic *t = topic_of(g, msg, &f->messages.items[0]);
    struct nx_note why;

    if (!t) {
        (void)nx_fail(&why, NX_E_FULL, "more than ingestion.max_topics = %lld foreign topics",
                      (long long)g->conf.ingestion.max_topics);
        refuse(g, msg, &why);
        return;
    }
    for (size_t i = 0; i < f->messages.count; i++) {
        if (!add_point(g, t, &f->messages.items[i])) {
            stay_away(g);
            return;
        }
    }
    if (msg->packet_id)
        redelivery_add(f->redelivery, msg->packet_id, hash);
    keep_token(f, msg->token);
    f->gathered_messages++;
}

/* Points that travel in batches are stored from there. */
static void
drop_batched(struct tagmsg_list *list)
{
    size_t n = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (!list->items[i].has_seq)
            list->items[n++] = list->items[i];
    }
    list->count = n;
}

/* How old a retained value without a time is nobody can tell. Several have a time each. */
static bool
is_ageless(const struct mqtt_message *msg, const struct tagmsg *first)
{
    return msg->retain && first->time_us == 0 && first->source_us == 0;
}

static void
take(struct ingest *g, const struct mqtt_message *msg, uint64_t hash)
{
    struct foreign *f = &g->foreign;
    struct nx_note why = {0};

    if (tagmsg_decode_list(msg->payload, msg->content_type, &f->scratch, &f->messages, &why) != NX_OK) {
        refuse(g, msg, &why);
        return;
    }
    drop_batched(&f->messages);
    if (f->messages.count == 0)
        skip(g, msg, SKIP_SEQ);
    else if (is_ageless(msg, &f->messages.items[0]))
        skip(g, msg, SKIP_RETAINED);
    else
        gather(g, msg, hash);
}

/* Is it in the spool, or about to be? */
static bool
is_known(struct ingest *g, const struct mqtt_message *msg, uint64_t hash)
{
    struct foreign *f = &g->foreign;
    enum redelivery_answer answer;

    if (!msg->dup)
        return false;
    answer = redelivery_find(f->redelivery, msg->packet_id, hash, spool_next_seq(f->spool));
    if (answer == REDELIVERY_STORED) {
        skip(g, msg, SKIP_REDELIVERED);
    } else if (answer == REDELIVERY_PENDING) {
        metric_inc(g->m_skipped[SKIP_REDELIVERED]);
        keep_token(f, msg->token);
    }
    return answer != REDELIVERY_NEW;
}

void
foreign_on_message(void *arg, const struct mqtt_message *msg)
{
    struct ingest *g = arg;
    struct foreign *f = &g->foreign;
    uint64_t hash;

    if (g->is_stopping || f->is_away)
        return;
    if (is_system(g, msg->topic)) {
        skip(g, msg, SKIP_SYSTEM);
        return;
    }
    hash = msg->packet_id ? redelivery_hash(f->redelivery, msg->topic, msg->payload) : 0;
    if (!is_known(g, msg, hash))
        take(g, msg, hash);
    if (batch_writer_count(f->writer) >= FLUSH_POINTS && f->record_points == 0)
        foreign_flush(g);
    else if (f->token_count + f->gathered_messages > 0 && !loop_timer_is_running(&f->timer))
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
