/* writers.c -- who stores what: free writers get what is due; what could not be stored goes to another writer, and is
 * tried again for ever. Loop thread. */
#include <stdlib.h>
#include <utlist.h>

#include "base/mem.h"
#include "ingest/ingest_priv.h"

#define BACKOFF_MIN_MS   250u
#define BACKOFF_MAX_MS   5000u
#define LEAVE_AFTER_MS   5000u /* without a historian: others get the batches */
#define KEEP_EVERY_MS    1000u
#define KEEP_RETRY_MS    5000u
#define KEEP_WORKED_MS   100u
#define COMMIT_TARGET_NS UINT64_C(20000000) /* half of what a transaction may take at the worst */
#define CAP_BATCHES      16u                /* of ingestion.batch_size: what a transaction holds at most */

static uint64_t
backoff(uint64_t before_ms)
{
    uint64_t next = before_ms ? before_ms * 2 : BACKOFF_MIN_MS;

    return next < BACKOFF_MAX_MS ? next : BACKOFF_MAX_MS;
}

/* Large transactions cost less for each point, small ones let nobody wait: as large as goes in the target time. */
uint64_t
writers_next_cap(uint64_t cap, uint64_t points, uint64_t work_ns, uint64_t batch_size)
{
    if (points < cap / 2)
        return cap;
    if (work_ns > COMMIT_TARGET_NS)
        cap -= cap / 4;
    else if (work_ns < COMMIT_TARGET_NS / 2)
        cap += cap / 8;
    if (cap > CAP_BATCHES * batch_size)
        cap = CAP_BATCHES * batch_size;
    return cap > batch_size ? cap : batch_size;
}

/* --- results --- */

static void
put_aside(struct ingest *g, const struct item *it)
{
    struct slice topic = slice_str(it->topic ? it->topic : "spool");

    if (!it->is_refused) {
        ingest_bad_message(g, topic, slice(it->data, it->len), &it->bad);
        return;
    }
    (void)dead_letter_put(&g->dead, loop_wall_us(g->loop), topic, slice(it->data, it->len), it->bad.text);
    log_error(&g->log, "the historian refuses the values of a batch; it was put aside", KV_NOTE(&it->bad));
}

static void
settle_items(struct ingest *g, const struct job *job)
{
    const struct item *it;

    DL_FOREACH (job->items, it) {
        if (it->bad.err != NX_OK)
            put_aside(g, it);
        if (it->topic)
            mqtt_ack(g->batches, it->token);
        else
            foreign_committed(g, it);
    }
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
    g->refused_batches += job->refused_batches;
    g->refused_points += job->refused_points;
    metric_add(g->m_batches, (double)job->count);
    metric_add(g->m_points, (double)r->points);
    metric_add(g->m_duplicates, r->duplicate_batches);
    metric_add(g->m_quarantined, (double)r->quarantined_points);
    metric_add(g->m_refused, job->refused_batches);
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

/* One is through: whatever kept the others from it is over, too. */
static void
end_backoff(struct ingest *g)
{
    struct job *job;

    for (unsigned i = 0; i < g->writer_count; i++) {
        g->writers[i].backoff_ms = 0;
        loop_timer_stop(&g->writers[i].retry);
    }
    if (g->storage.err == NX_OK)
        return;
    LL_FOREACH (g->returned, job)
        job->retry_at_ms = 0;
    log_info(&g->log, "historian takes values again",
             KV_UINT("after_s", (loop_now_ms(g->loop) - g->storage_since_ms) / 1000));
    g->storage = (struct nx_note){0};
}

static void
on_stored(struct ingest *g, struct job *job)
{
    end_backoff(g);
    g->cap_points = writers_next_cap(g->cap_points, job->points, job->work_ns, (uint64_t)g->conf.ingestion.batch_size);
    count_result(g, job);
    settle_items(g, job);
    acks_send(g, &job->acks);
    job_free(g, &job);
}

static bool
is_any_working(const struct ingest *g)
{
    for (unsigned i = 0; i < g->writer_count; i++)
        if (g->writers[i].backoff_ms == 0)
            return true;
    return false;
}

static void
note_failure(struct ingest *g, const struct writer *w, const struct job *job)
{
    ingest_count_error(g, ERROR_WRITE);
    if (g->storage.err == NX_OK && is_any_working(g)) {
        log_warn(&g->log, "a transaction failed; another writer tries it", KV_NOTE(&job->why));
        return;
    }
    if (g->storage.err == NX_OK)
        g->storage_since_ms = loop_now_ms(g->loop);
    g->storage = job->why;
    g->storage.err = job->err;
    log_error(&g->log, "historian takes no values; they wait in the spools of the gateways", KV_NOTE(&job->why),
              KV_UINT("retry_ms", w->backoff_ms));
}

static void retry_due(struct loop_timer *t, void *arg);

/* Nothing was stored, or it is not known: nothing is acknowledged, the same call is made again, at once by another
 * writer, later when that does not help. */
static void
on_failed(struct ingest *g, struct writer *w, struct job *job)
{
    w->backoff_ms = job->err == NX_E_BUSY ? BACKOFF_MIN_MS : backoff(w->backoff_ms); /* that passes soon */
    loop_timer_start(g->loop, &w->retry, w->backoff_ms, 0, retry_due, w);
    note_failure(g, w, job);
    if (job->count == 0) {
        job_free(g, &job);
        return;
    }
    g->retries++;
    metric_inc(g->m_retries);
    if (job->attempts++ > 0 && job->err != NX_E_BUSY)
        job->retry_at_ms =
            loop_now_ms(g->loop) + backoff((uint64_t)BACKOFF_MIN_MS << (job->attempts < 6 ? job->attempts : 6));
    LL_APPEND(g->returned, job);
}

static void
on_done(void *arg)
{
    struct job *job = arg;
    struct writer *w = job->writer;
    struct ingest *g = w->owner;

    w->job = NULL;
    w->points += job->err == NX_OK ? job->result.points : 0;
    w->failures += job->err != NX_OK;
    if (job->err == NX_OK)
        on_stored(g, job);
    else if (g->is_stopping)
        job_free(g, &job);
    else
        on_failed(g, w, job);
    metric_set(g->m_usage, batches_usage(g));
    batches_readmit(g);
    if (g->is_stopping) {
        ingest_check_stopped(g);
        return;
    }
    if (!g->is_listening)
        writers_listen(g);
    writers_pump(g);
}

/* --- starting --- */

static void
start(struct writer *w, struct job *job)
{
    w->job = job;
    w->began_ms = loop_now_ms(w->owner->loop);
    job->writer = w;
    loop_worker_run(w->thread, writer_run, on_done, job);
}

static struct job *
take_returned(struct ingest *g)
{
    struct job *job, *next;

    LL_FOREACH_SAFE (g->returned, job, next)
        if (job->retry_at_ms <= loop_now_ms(g->loop)) {
            LL_DELETE(g->returned, job);
            job->next = NULL;
            return job;
        }
    return NULL;
}

static bool
is_free(const struct writer *w)
{
    return !w->job && !loop_timer_is_running(&w->retry);
}

static void
flush_due(struct loop_timer *t, void *arg)
{
    (void)t;
    writers_pump(arg);
}

/* Wakes up for the next thing when a writer is there for it; a writer that becomes free looks by itself. */
static void
plan(struct ingest *g, bool is_one_free)
{
    uint64_t at = batches_due_ms(g), now = loop_now_ms(g->loop);
    struct job *job;

    loop_timer_stop(&g->flush);
    if (!is_one_free)
        return;
    LL_FOREACH (g->returned, job)
        at = job->retry_at_ms < at ? job->retry_at_ms : at;
    if (at != UINT64_MAX)
        loop_timer_start(g->loop, &g->flush, at > now ? at - now : 0, 0, flush_due, g);
}

void
writers_pump(struct ingest *g)
{
    bool is_one_free = false;
    unsigned busy = 0;

    if (g->is_stopping)
        return;
    for (unsigned i = 0; i < g->writer_count; i++) {
        struct writer *w = &g->writers[i];
        struct job *job = is_free(w) ? take_returned(g) : NULL;

        if (!job && is_free(w))
            job = batches_take(g);
        if (job)
            start(w, job);
        is_one_free |= is_free(w);
        busy += w->job != NULL;
    }
    metric_set(g->m_busy, busy);
    plan(g, is_one_free);
}

/* While nothing gets through each writer tries what waits longest; without any work, too: to learn that the historian
 * is back. */
static void
retry_due(struct loop_timer *t, void *arg)
{
    struct writer *w = arg;
    struct ingest *g = w->owner;
    struct job *job = g->returned;

    (void)t;
    if (g->storage.err != NX_OK && job)
        job->retry_at_ms = 0;
    writers_pump(g);
    if (!w->job && !g->is_stopping && g->storage.err != NX_OK)
        start(w, job_new(g));
}

/* --- upkeep --- */

static void keep_due(struct loop_timer *t, void *arg);

/* One that found something to do looks again at once. */
static uint64_t
keep_again_ms(const struct ingest *g)
{
    uint64_t took_ms = loop_now_ms(g->loop) - g->keeper.began_ms;

    if (g->keeper.now.err != NX_OK)
        return KEEP_RETRY_MS;
    return took_ms >= KEEP_WORKED_MS ? 0 : KEEP_EVERY_MS;
}

static void
on_keeper_done(void *arg)
{
    struct ingest *g = arg;
    struct keeper *k = &g->keeper;

    k->is_running = false;
    k->result = k->now;
    k->damaged = k->damaged_now;
    metric_set(g->m_damaged, k->damaged.files);
    if (k->now.err != NX_OK && g->storage.err == NX_OK)
        log_warn(&g->log, "historian cannot seal or delete old values; trying again", KV_NOTE(&k->now));
    if (g->is_stopping)
        ingest_check_stopped(g);
    else
        loop_timer_start(g->loop, &k->timer, keep_again_ms(g), 0, keep_due, g);
}

/* Also while nothing can be stored: what waits for the keeper may be the reason. */
static void
keep_due(struct loop_timer *t, void *arg)
{
    struct ingest *g = arg;

    (void)t;
    g->keeper.is_running = true;
    g->keeper.began_ms = loop_now_ms(g->loop);
    loop_worker_run(g->keeper.thread, keeper_run, on_keeper_done, g);
}

/* --- life --- */

/* Wrong settings end the start; what may pass is tried again. */
static enum nx_err
open_first(struct ingest *g, struct nx_note *why)
{
    struct writer *w = &g->writers[0];
    enum nx_err err = writer_open(g, &w->historian, HISTORIAN_WRITER, why);

    if (err == NX_OK || err == NX_E_CONFIG)
        return err;
    g->storage = *why;
    g->storage.err = err;
    g->storage_since_ms = loop_now_ms(g->loop);
    ingest_count_error(g, ERROR_WRITE);
    log_error(&g->log, "historian cannot be opened; no batches are asked for before it is; trying again", KV_NOTE(why));
    w->backoff_ms = backoff(0);
    loop_timer_start(g->loop, &w->retry, w->backoff_ms, 0, retry_due, w);
    return NX_OK;
}

enum nx_err
writers_open(struct ingest *g, struct nx_note *why)
{
    unsigned most = historian_max_writers(g->historian_url);
    unsigned wanted = (unsigned)g->conf.ingestion.writer_count;

    g->writer_count = most > 0 && most < wanted ? most : wanted;
    g->writers = mem_calloc(g->writer_count, sizeof *g->writers);
    g->queue = job_new(g);
    g->cap_points = (uint64_t)g->conf.ingestion.batch_size;
    for (unsigned i = 0; i < g->writer_count; i++) {
        g->writers[i].owner = g;
        g->writers[i].thread = loop_worker_new(g->loop);
        if (!g->writers[i].thread)
            return nx_fail(why, NX_E_FULL, "the system has no thread left for writer %u", i + 1);
    }
    g->keeper.thread = loop_worker_new(g->loop);
    if (!g->keeper.thread)
        return nx_fail(why, NX_E_FULL, "the system has no thread left for the historian's upkeep");
    loop_timer_start(g->loop, &g->keeper.timer, KEEP_EVERY_MS, 0, keep_due, g);
    return open_first(g, why);
}

void
writers_close(struct ingest *g)
{
    struct job *job, *next;

    loop_timer_stop(&g->flush);
    loop_timer_stop(&g->keeper.timer);
    loop_worker_free(&g->keeper.thread);
    historian_close(&g->keeper.historian);
    for (unsigned i = 0; g->writers && i < g->writer_count; i++) {
        struct writer *w = &g->writers[i];

        loop_timer_stop(&w->retry);
        loop_worker_free(&w->thread);
        job_free(g, &w->job);
        historian_close(&w->historian);
    }
    LL_FOREACH_SAFE (g->returned, job, next)
        job_free(g, &job);
    g->returned = NULL;
    job_free(g, &g->queue);
    free(g->writers);
}

void
writers_stop(struct ingest *g)
{
    loop_timer_stop(&g->flush);
    loop_timer_stop(&g->keeper.timer);
    for (unsigned i = 0; i < g->writer_count; i++)
        loop_timer_stop(&g->writers[i].retry);
}

bool
writers_are_idle(const struct ingest *g)
{
    for (unsigned i = 0; i < g->writer_count; i++)
        if (g->writers[i].job)
            return false;
    return !g->keeper.is_running;
}

/* A database that stands still gives no error for a long time. */
static void
look_whether_stuck(struct ingest *g)
{
    uint64_t now = loop_now_ms(g->loop), shortest = UINT64_MAX;

    for (unsigned i = 0; i < g->writer_count; i++) {
        const struct writer *w = &g->writers[i];
        uint64_t waited = w->job ? now - w->began_ms : 0;

        if (w->job || is_free(w))
            shortest = waited < shortest ? waited : shortest;
    }
    g->stuck = (struct nx_note){0};
    if (shortest != UINT64_MAX && shortest >= LEAVE_AFTER_MS)
        g->stuck.err = nx_fail(&g->stuck, NX_E_TIMEOUT, "the historian does not answer since %llu s",
                               (unsigned long long)(shortest / 1000));
}

static void
leave(struct ingest *g)
{
    g->is_listening = false;
    mqtt_unsubscribe(g->batches, g->conf.ingestion.batch_filter);
    log_warn(&g->log, "batches are left to other instances until the historian takes values again",
             KV_NOTE(writers_trouble(g)));
}

void
writers_listen(struct ingest *g)
{
    bool has_failed_long = g->storage.err != NX_OK && loop_now_ms(g->loop) - g->storage_since_ms >= LEAVE_AFTER_MS;

    look_whether_stuck(g);
    if (g->is_listening && (has_failed_long || g->stuck.err != NX_OK)) {
        leave(g);
    } else if (!g->is_listening && g->storage.err == NX_OK && g->stuck.err == NX_OK) {
        g->is_listening = true;
        mqtt_subscribe(g->batches, g->conf.ingestion.batch_filter, 1);
    }
}

/* --- what is said about them --- */

const struct nx_note *
writers_trouble(const struct ingest *g)
{
    if (g->storage.err != NX_OK)
        return &g->storage;
    return g->stuck.err != NX_OK ? &g->stuck : &g->keeper.result;
}

/* storing: a transaction is under way; waiting: after a failure, to try again; idle. since_s: of the transaction. */
static json_t *
writer_status(const struct writer *w)
{
    const char *state = w->job ? "storing" : loop_timer_is_running(&w->retry) ? "waiting" : "idle";
    double since_s = w->job ? (double)(loop_now_ms(w->owner->loop) - w->began_ms) / 1000.0 : 0;

    return json_pack("{s:s, s:f, s:I, s:I}", "state", state, "since_s", since_s, "points", (json_int_t)w->points,
                     "failures", (json_int_t)w->failures);
}

json_t *
writers_status(const struct ingest *g)
{
    unsigned busy = 0, failing = 0;
    int returned;
    const struct job *job;
    json_t *items = json_array();

    for (unsigned i = 0; i < g->writer_count; i++) {
        json_array_append_new(items, writer_status(&g->writers[i]));
        busy += g->writers[i].job != NULL;
        failing += g->writers[i].backoff_ms > 0;
    }
    LL_COUNT(g->returned, job, returned);
    return json_pack("{s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "count", (int)g->writer_count,
                     "busy", (int)busy, "failing", (int)failing, "waiting_transactions", returned, "transaction_points",
                     (json_int_t)g->cap_points, "retries", (json_int_t)g->retries, "repeated_batches",
                     (json_int_t)g->repeated, "refused_batches", (json_int_t)g->refused_batches, "refused_points",
                     (json_int_t)g->refused_points, "refused_files_removed",
                     (json_int_t)__atomic_load_n(&g->refused.removed, __ATOMIC_RELAXED), "queued_points",
                     (json_int_t)g->held_points, "is_listening", g->is_listening, "items", items);
}
