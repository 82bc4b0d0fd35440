#include "sim/replies.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define BITS_PER_CHAR 11u
#define OVERSIZE_MAX  32u

enum cut { CUT_NONE, CUT_FIN, CUT_RST };

struct reply {
    struct reply *next;
    uint64_t due_ms, began_ms;
    enum cut cut;
    bool is_split;
    size_t len, at;
    uint8_t bytes[];
};

static void
on_timer_closed(uv_handle_t *handle)
{
    struct replies *r = handle->data;

    r->ops->closed(r->arg);
}

void
replies_init(struct replies *r, uv_loop_t *loop, const struct replies_ops *ops, void *arg)
{
    r->ops = ops;
    r->arg = arg;
    uv_timer_init(loop, &r->timer);
    r->timer.data = r;
}

bool
replies_are_direct(const struct replies *r)
{
    return !r->head && r->baud == 0 && faults_spare_replies(r->faults);
}

static uint64_t
wire_ms(const struct replies *r, size_t chars)
{
    return r->baud ? (uint64_t)chars * BITS_PER_CHAR * 1000 / r->baud : 0;
}

/* --- leaving --- */

/* How much of the first reply may leave by now. */
static size_t
allowance(const struct replies *r, const struct reply *p, uint64_t now)
{
    size_t allowed = p->len;

    if (p->is_split)
        allowed = p->at + 1;
    else if (r->baud)
        allowed = (size_t)((now - p->began_ms + 1) * r->baud / (BITS_PER_CHAR * 1000));
    return allowed < p->len ? allowed : p->len;
}

/* False when it was the last thing that this connection said. */
static bool
finish(struct replies *r, struct reply *p)
{
    enum cut cut = p->cut;

    LL_DELETE(r->head, p);
    r->waiting--;
    free(p);
    if (cut != CUT_NONE)
        r->ops->cut(r->arg, cut == CUT_RST);
    return cut == CUT_NONE;
}

static bool
advance(struct replies *r, struct reply *p, uint64_t now)
{
    size_t from = p->at, allowed;

    if (p->began_ms == 0)
        p->began_ms = now;
    allowed = allowance(r, p, now);
    p->at = allowed > from ? allowed : from;
    p->due_ms = now + 1;
    if (p->at > from)
        r->ops->send(r->arg, p->bytes + from, p->at - from);
    if (r->is_closing) /* it could not be sent, and p is gone */
        return false;
    return p->at < p->len || finish(r, p);
}

static void on_timer(uv_timer_t *timer);

static void
arm(struct replies *r)
{
    uint64_t now = uv_now(r->timer.loop);

    if (!r->head || r->is_closing)
        return;
    uv_timer_start(&r->timer, on_timer, r->head->due_ms > now ? r->head->due_ms - now : 0, 0);
}

static void
on_timer(uv_timer_t *timer)
{
    struct replies *r = timer->data;
    uint64_t now = uv_now(timer->loop);

    while (r->head && r->head->due_ms <= now)
        if (!advance(r, r->head, now))
            return;
    arm(r);
}

/* --- queueing --- */

/* Behind all that leave earlier or at the same time, and never into one that has begun. */
static void
insert(struct replies *r, struct reply *p)
{
    struct reply **at = &r->head;

    while (*at && ((*at)->at > 0 || (*at)->due_ms <= p->due_ms))
        at = &(*at)->next;
    p->next = *at;
    *at = p;
    r->waiting++;
}

static uint64_t
due_time(struct replies *r, enum fault fault, size_t request_len)
{
    struct faults *f = r->faults;
    uint64_t due = uv_now(r->timer.loop) + f->delay_ms;

    if (f->jitter_ms)
        due += faults_random(f, f->jitter_ms + 1);
    if (r->baud)
        due += wire_ms(r, request_len + 4); /* 3.5 characters of silence */
    if (fault == FAULT_LATE)
        return due + f->late_ms;
    if (due < r->last_due_ms)
        due = r->last_due_ms;
    r->last_due_ms = due;
    return due;
}

static void
fill_random(struct faults *f, uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)faults_random(f, 256);
}

/* What the fault makes of the bytes; p has room for OVERSIZE_MAX more. */
static size_t
spoil(struct faults *f, enum fault fault, uint8_t *p, size_t len)
{
    size_t more;

    switch (fault) {
    case FAULT_GARBAGE:
        fill_random(f, p, len);
        return len;
    case FAULT_TRUNCATED:
    case FAULT_FIN:
    case FAULT_RST:
        return len / 2;
    case FAULT_OVERSIZE:
        more = 1 + faults_random(f, OVERSIZE_MAX);
        fill_random(f, p + len, more);
        return len + more;
    default:
        return len;
    }
}

static void
add(struct replies *r, const uint8_t *p, size_t len, enum fault fault, size_t request_len)
{
    struct reply *reply = mem_alloc(sizeof *reply + len + OVERSIZE_MAX);

    memcpy(reply->bytes, p, len);
    reply->len = spoil(r->faults, fault, reply->bytes, len);
    reply->is_split = fault == FAULT_SPLIT;
    reply->cut = fault == FAULT_FIN ? CUT_FIN : fault == FAULT_RST ? CUT_RST : CUT_NONE;
    reply->due_ms = due_time(r, fault, request_len);
    insert(r, reply);
}

static void
push(struct replies *r, const uint8_t *p, size_t len, enum fault fault, size_t request_len)
{
    switch (fault) {
    case FAULT_MUTE:
        return;
    case FAULT_STALE: /* the first reply has none before it */
        if (r->previous_len > 0)
            add(r, r->previous, r->previous_len, fault, request_len);
        return;
    case FAULT_DUPLICATE:
        add(r, p, len, fault, request_len);
        add(r, p, len, fault, 0);
        return;
    default:
        add(r, p, len, fault, request_len);
    }
}

bool
replies_push(struct replies *r, const uint8_t *p, size_t len, enum fault fault, size_t request_len)
{
    if (r->waiting >= REPLIES_WAITING_MAX)
        return false;
    push(r, p, len, fault, request_len);
    memcpy(r->previous, p, len);
    r->previous_len = len;
    if (r->head && r->head->due_ms <= uv_now(r->timer.loop))
        on_timer(&r->timer);
    else
        arm(r);
    return true;
}

void
replies_close(struct replies *r)
{
    struct reply *p, *next;

    if (r->is_closing)
        return;
    r->is_closing = true;
    LL_FOREACH_SAFE (r->head, p, next)
        free(p);
    r->head = NULL;
    uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}
