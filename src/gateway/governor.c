/* governor.c -- one owner of all connection attempts: a token bucket for the whole gateway, first come first served.
 * A power cut in the plant must not end in a thousand connections within one second. */
#include "gateway/engine.h"

static void
refill(struct engine *e)
{
    struct governor *g = &e->governor;
    uint64_t now = loop_now_ms(e->loop);

    g->tokens += (double)(now - g->refilled_ms) * e->conf.connects_per_second / 1000.0;
    g->refilled_ms = now;
    if (g->tokens > e->conf.connects_per_second)
        g->tokens = e->conf.connects_per_second;
}

static void
serve(struct loop_timer *t, void *arg)
{
    struct engine *e = arg;
    struct governor *g = &e->governor;

    (void)t;
    refill(e);
    while (g->head && g->tokens >= 1) {
        struct nx_link *link = g->head;
        g->tokens -= 1;
        governor_forget(e, link);
        conn_open_now(link);
    }
    if (g->head)
        loop_timer_start(e->loop, &g->timer, 1 + 1000 / e->conf.connects_per_second, 0, serve, e);
}

void
governor_ask(struct engine *e, struct nx_link *link)
{
    struct governor *g = &e->governor;

    link->queue_next = NULL;
    link->is_queued = true;
    if (g->tail)
        g->tail->queue_next = link;
    else
        g->head = link;
    g->tail = link;
    if (!loop_timer_is_running(&g->timer))
        loop_timer_start(e->loop, &g->timer, 0, 0, serve, e);
}

void
governor_forget(struct engine *e, struct nx_link *link)
{
    struct governor *g = &e->governor;
    struct nx_link *before = NULL;

    if (!link->is_queued)
        return;
    for (struct nx_link *d = g->head; d != link; d = d->queue_next)
        before = d;
    if (before)
        before->queue_next = link->queue_next;
    else
        g->head = link->queue_next;
    if (g->tail == link)
        g->tail = before;
    link->is_queued = false;
}
