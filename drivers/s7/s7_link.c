#include "s7_link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define STRIKES_MAX 3

/* --- operations ------------------------------------------------------------------------------------------- */

static struct s7_run **
list_of(struct s7_link *l, const struct s7_run *run)
{
    return run->op->kind == NX_OP_WRITE ? &l->writes : &l->reads;
}

/* Behind all of the same or a higher priority. */
void
s7_link_add(struct s7_link *l, struct s7_run *run)
{
    struct s7_run **head = list_of(l, run), *at;

    for (at = *head; at && at->op->priority >= run->op->priority; at = at->next)
        ;
    if (at)
        DL_PREPEND_ELEM(*head, at, run);
    else
        DL_APPEND(*head, run);
}

static void
expire(struct s7_link *l, struct s7_job *job)
{
    l->expired[l->expired_count++ % S7_EXPIRED_MAX] = job->ref;
    job->is_used = false;
}

/* The CPU still works on the jobs of a cancelled operation: they stay in their slots until the reply, or until the
 * slots are needed. */
static void
forget_jobs(struct s7_link *l, const struct s7_run *run)
{
    for (unsigned i = 0; i < S7_JOBS_MAX; i++) {
        if (!l->jobs[i].is_used || l->jobs[i].run != run)
            continue;
        l->jobs[i].run = NULL;
        l->live--;
    }
}

void
s7_link_finish(struct s7_link *l, struct s7_run *run, enum nx_err err, const struct nx_note *why)
{
    struct nx_op *op = run->op;

    forget_jobs(l, run);
    op->driver_data = NULL;
    DL_DELETE(*list_of(l, run), run);
    if (op->kind == NX_OP_WRITE)
        free(run);
    nx_op_done(op, err, why);
}

void
s7_link_finish_all(struct s7_link *l, enum nx_err err, const struct nx_note *why)
{
    while (l->writes)
        s7_link_finish(l, l->writes, err, why);
    while (l->reads)
        s7_link_finish(l, l->reads, err, why);
}

/* --- jobs out --------------------------------------------------------------------------------------------- */

/* A free slot. When only cancelled jobs hold the slots, the CPU has lost them: the oldest is given up. */
static struct s7_job *
free_job(struct s7_link *l)
{
    struct s7_job *oldest = NULL;

    for (unsigned i = 0; i < l->conn.jobs; i++) {
        struct s7_job *job = &l->jobs[i];
        if (!job->is_used)
            return job;
        if (!job->run && (!oldest || (int16_t)(uint16_t)(job->ref - oldest->ref) < 0))
            oldest = job;
    }
    if (l->live > 0 || !oldest)
        return NULL;
    expire(l, oldest);
    return oldest;
}

static void
begin_job(struct s7_link *l, struct s7_job *job, struct s7_run *run)
{
    job->is_used = true;
    job->run = run;
    job->ref = s7_conn_next_ref(&l->conn);
    l->live++;
    run->in_flight++;
}

static void
send_job(struct s7_link *l, const struct s7_run *run, const struct wbuf *w)
{
    assert(!w->failed);
    nx_count(run->op->dev, NX_COUNT_REQUESTS, 1);
    nx_op_alive(run->op);
    s7_conn_send(&l->conn, wbuf_slice_of(w));
}

static void
send_read(struct s7_link *l, struct s7_job *job, struct s7_read *r)
{
    uint8_t message[S7_REQUEST_SPARE + S7_ITEMS_MAX * S7_ITEM_BYTES];
    struct wbuf w = wbuf_fixed(message, sizeof message);
    struct s7_item items[S7_ITEMS_MAX];

    for (uint32_t i = 0; i < job->n; i++)
        items[i] = s7_plan_item(&r->plan, &job->parts[i]);
    begin_job(l, job, &r->run);
    s7_encode_read(&w, job->ref, items, job->n);
    send_job(l, &r->run, &w);
}

static bool
send_next_write(struct s7_link *l, struct s7_job *job)
{
    uint8_t message[S7_PDU_MAX];
    struct wbuf w = wbuf_fixed(message, sizeof message);
    struct s7_run *run;
    struct s7_item item;
    struct slice data;

    DL_FOREACH (l->writes, run) {
        struct s7_writing *wr = (void *)run;
        if (run->in_flight > 0 || !s7_write_next(&wr->write, &item, &data))
            continue;
        job->n = 0;
        begin_job(l, job, run);
        s7_encode_write(&w, job->ref, &item, data);
        send_job(l, run, &w);
        return true;
    }
    return false;
}

static void
read_complete(struct s7_link *l, struct s7_read *r)
{
    s7_read_end(s7_run_device(&r->run), r);
    s7_link_finish(l, &r->run, NX_OK, NULL);
}

/* Sends one job of a read and puts the read behind those of its priority, or ends one read that has nothing left to
 * wait for. False: nothing to do. */
static bool
advance_next_read(struct s7_link *l, struct s7_job *job)
{
    struct s7_run *run;

    DL_FOREACH (l->reads, run) {
        struct s7_read *r = (void *)run;
        bool has_more = r->again_count > 0 || r->next_request < r->plan.request_count;
        if (!has_more && run->in_flight == 0) {
            read_complete(l, r);
            return true;
        }
        if (!has_more || !job)
            continue;
        job->n = s7_read_next(r, job->parts);
        DL_DELETE(l->reads, run);
        s7_link_add(l, run);
        send_read(l, job, r);
        return true;
    }
    return false;
}

void
s7_link_pump(struct s7_link *l)
{
    while (l->conn.state == S7_UP) {
        struct s7_job *job = l->reads || l->writes ? free_job(l) : NULL;
        if (job && send_next_write(l, job))
            continue;
        if (!advance_next_read(l, job))
            return;
    }
}

/* --- replies in --------------------------------------------------------------------------------------------- */

static void
write_failed(struct s7_link *l, struct s7_run *run, enum nx_err err, const char *text)
{
    struct nx_note why;

    nx_count(run->op->dev, NX_COUNT_EXCEPTIONS, 1);
    s7_link_finish(l, run, nx_fail(&why, err, "%s", text), &why);
}

static void
write_answered(struct s7_link *l, struct s7_run *run, const struct s7_reply *reply, unsigned code)
{
    const struct s7_addr *addr = ((struct nx_write *)(void *)run->op)->addr;
    struct s7_writing *wr = (void *)run;
    struct nx_note why;
    char text[sizeof why.text];

    if (reply->error != 0) {
        snprintf(text, sizeof text, "error %04X: %s", reply->error, s7_error_text(reply->error));
        write_failed(l, run, s7_error_err(reply->error), text);
    } else if (code != S7_CODE_OK) {
        enum nx_err err = s7_refusal(&why, addr, code, "could not be written: refused");
        write_failed(l, run, err, why.text);
    } else if (wr->write.left == 0) {
        s7_link_finish(l, run, NX_OK, NULL);
    }
}

static struct s7_job *
find_job(struct s7_link *l, uint16_t ref)
{
    for (unsigned i = 0; i < S7_JOBS_MAX; i++)
        if (l->jobs[i].is_used && l->jobs[i].ref == ref)
            return &l->jobs[i];
    return NULL;
}

static bool
is_expired(const struct s7_link *l, uint16_t ref)
{
    unsigned n = l->expired_count < S7_EXPIRED_MAX ? l->expired_count : S7_EXPIRED_MAX;

    for (unsigned i = 0; i < n; i++)
        if (l->expired[i] == ref)
            return true;
    return false;
}

static void
strike(struct s7_link *l, const char *what)
{
    struct nx_note why;

    if (++l->strikes < STRIKES_MAX)
        return;
    s7_conn_fail(&l->conn, nx_fail(&why, NX_E_PROTO, "%d replies in a row %s: reconnecting", STRIKES_MAX, what), &why);
}

/* A reply without a live job: late, twice, or of somebody else. */
static void
stray_reply(struct s7_link *l, struct s7_job *cancelled, uint16_t ref)
{
    nx_count_link(l->conn.link, NX_COUNT_STALE_REPLIES, 1);
    if (cancelled)
        expire(l, cancelled);
    else if (!is_expired(l, ref))
        strike(l, "match no job");
}

/* The CPU answers jobs that left long after a cancelled one: it has lost that one. */
static void
give_up_lost(struct s7_link *l, uint16_t ref)
{
    for (unsigned i = 0; i < S7_JOBS_MAX; i++) {
        uint16_t age = (uint16_t)(ref - l->jobs[i].ref);
        if (l->jobs[i].is_used && !l->jobs[i].run && age > 2 * S7_JOBS_MAX && age < 0x8000)
            expire(l, &l->jobs[i]);
    }
}

static void
bad_reply(struct s7_link *l, const struct s7_job *job, enum nx_err err, const struct nx_note *why)
{
    nx_count_link(l->conn.link, NX_COUNT_PROTO_ERRORS, 1);
    if (job->run->op->kind == NX_OP_WRITE)
        s7_link_finish(l, job->run, err, why);
    else
        s7_read_failed((void *)job->run, job, err, why);
    strike(l, "do not answer what was asked");
}

static void
job_answered(struct s7_link *l, const struct s7_job *job, const struct s7_reply *reply)
{
    struct s7_result results[S7_ITEMS_MAX];
    struct s7_item items[S7_ITEMS_MAX];
    struct s7_read *r = (void *)job->run;
    bool is_write = job->run->op->kind == NX_OP_WRITE;
    uint8_t code = 0;
    struct nx_note why;
    enum nx_err err = NX_OK;

    for (uint32_t i = 0; !is_write && i < job->n; i++)
        items[i] = s7_plan_item(&r->plan, &job->parts[i]);
    if (reply->error == 0)
        err = is_write ? s7_decode_write(reply, &code, &why) : s7_decode_read(reply, items, job->n, results, &why);
    if (err != NX_OK) {
        bad_reply(l, job, err, &why);
        return;
    }
    l->strikes = 0;
    if (is_write)
        write_answered(l, job->run, reply, code);
    else
        s7_read_reply(l, r, job, reply, results);
}

static void
on_message(void *arg, struct slice message)
{
    struct s7_link *l = arg;
    struct s7_reply reply;
    struct s7_job *found, job;
    struct nx_note why;

    if (s7_decode_reply(message, &reply, &why) != NX_OK) {
        nx_count_link(l->conn.link, NX_COUNT_PROTO_ERRORS, 1);
        strike(l, "are no replies");
        return;
    }
    found = find_job(l, reply.ref);
    if (!found || !found->run) {
        stray_reply(l, found, reply.ref);
        return;
    }
    job = *found;
    found->is_used = false;
    l->live--;
    job.run->in_flight--;
    if (job.run->in_flight > 0)
        nx_op_alive(job.run->op);
    else
        nx_op_rests(job.run->op);
    give_up_lost(l, job.ref);
    job_answered(l, &job, &reply);
}

static void
on_up(void *arg)
{
    struct s7_link *l = arg;

    nx_log(l->conn.link, NX_LOG_INFO, "connected: PDU %u, %u jobs at a time", l->conn.pdu, l->conn.jobs);
    nx_link_up(l->conn.link);
}

static void
on_idle(void *arg)
{
    s7_link_pump(arg);
}

static void
on_down(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct s7_link *l = arg;

    s7_link_finish_all(l, err, why);
    if (l->conn.state == S7_DOWN)
        nx_link_down(l->conn.link, err, why);
}

const struct s7_conn_ops s7_link_conn_ops = {on_up, on_message, on_idle, on_down};
