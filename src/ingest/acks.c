/* acks.c -- what gateways are told: stretches of committed numbers, gathered per gateway, epoch and lane. */
#include <stdlib.h>
#include <utlist.h>

#include "base/mem.h"
#include "ingest/ingest_priv.h"

#define MAX_UNSENT 1024

/* --- gathering --- */

static bool
is_of(const struct ack *ack, const struct batch_header *hdr)
{
    return ack->body.epoch == hdr->epoch && ack->body.lane == hdr->lane && slice_eq_str(hdr->gateway, ack->gateway);
}

/* Joins what overlaps or touches. false: no room for another stretch. */
static bool
add_range(struct batch_ack *body, struct batch_range range)
{
    for (unsigned i = 0; i < body->count; i++) {
        struct batch_range *r = &body->committed[i];

        if (range.from > r->to + 1 || r->from > range.to + 1)
            continue;
        r->from = range.from < r->from ? range.from : r->from;
        r->to = range.to > r->to ? range.to : r->to;
        return true;
    }
    if (body->count == BATCH_ACK_RANGES)
        return false;
    body->committed[body->count++] = range;
    return true;
}

void
acks_add(struct ack **acks, const struct batch_header *hdr, struct batch_range range)
{
    struct ack *ack;

    LL_FOREACH (*acks, ack)
        if (is_of(ack, hdr) && add_range(&ack->body, range))
            return;
    ack = mem_alloc(sizeof *ack);
    ack->body.epoch = hdr->epoch;
    ack->body.lane = hdr->lane;
    memcpy(ack->gateway, hdr->gateway.p, hdr->gateway.len < GATEWAY_MAX ? hdr->gateway.len : GATEWAY_MAX);
    (void)add_range(&ack->body, range);
    LL_APPEND(*acks, ack);
}

void
acks_free(struct ack **acks)
{
    struct ack *ack, *next;

    LL_FOREACH_SAFE (*acks, ack, next)
        free(ack);
    *acks = NULL;
}

/* --- sending --- */

static enum nx_err
publish(struct ingest *g, const struct ack *ack)
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

static void
send_waiting(struct ingest *g)
{
    while (g->unsent) {
        struct ack *ack = g->unsent;
        enum nx_err err = publish(g, ack);

        if (err == NX_E_FULL || err == NX_E_OFFLINE)
            return;
        g->acks_sent += err == NX_OK;
        LL_DELETE(g->unsent, ack);
        free(ack);
    }
}

/* What waits is joined with what comes. Forgetting some is safe: a gateway sends again what it hears nothing of, and is
 * then told again. */
void
acks_send(struct ingest *g, struct ack **acks)
{
    struct ack *ack, *next, *old;
    int count;

    LL_COUNT(g->unsent, old, count);
    LL_FOREACH_SAFE (*acks, ack, next) {
        struct batch_header hdr = {slice_str(ack->gateway), ack->body.epoch, ack->body.lane, 0};

        if (count >= MAX_UNSENT)
            break;
        for (unsigned i = 0; i < ack->body.count; i++)
            acks_add(&g->unsent, &hdr, ack->body.committed[i]);
        count++;
    }
    acks_free(acks);
    send_waiting(g);
}
