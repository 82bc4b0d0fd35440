#include "mqtt/outbox.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

void
outbox_init(struct outbox *box, uint16_t window)
{
    *box = (struct outbox){.window = window};
    box->by_id = mem_calloc(window + 1u, sizeof(struct flight *));
    box->free_ids = mem_calloc(window, sizeof *box->free_ids);
    for (unsigned i = 0; i < window; i++)
        box->free_ids[i] = (uint16_t)(i + 1);
}

void
outbox_fini(struct outbox *box)
{
    struct flight *f, *tmp;

    DL_FOREACH_SAFE (box->list, f, tmp)
        free(f);
    free(box->by_id);
    free(box->free_ids);
    *box = (struct outbox){0};
}

static uint16_t
take_id(struct outbox *box)
{
    uint16_t id = box->free_ids[box->free_at];

    box->free_at = (uint16_t)((box->free_at + 1u) % box->window);
    box->count++;
    return id;
}

static void
give_id(struct outbox *box, uint16_t id)
{
    unsigned free_count = (unsigned)box->window - box->count;

    box->free_ids[(box->free_at + free_count) % box->window] = id;
    box->count--;
}

struct flight *
outbox_add(struct outbox *box, enum mqtt_version version, const struct mqtt_publication *pub, size_t len)
{
    struct flight *f = mem_alloc(sizeof *f + len);
    struct wbuf w = wbuf_fixed(f->packet, len);

    assert(box->count < box->window);
    f->packet_id = take_id(box);
    f->qos = pub->qos;
    f->len = len;
    mqtt_encode_publish_head(&w, version, pub, f->packet_id);
    wbuf_slice(&w, pub->payload);
    assert(!w.failed && w.len == len);
    box->by_id[f->packet_id] = f;
    DL_APPEND(box->list, f);
    if (!box->unsent)
        box->unsent = f;
    return f;
}

struct flight *
outbox_next(struct outbox *box)
{
    struct flight *f = box->unsent;

    while (f && f->is_sent)
        f = f->next;
    box->unsent = f ? f->next : NULL;
    if (f) {
        f->is_sent = true;
        box->sent++;
    }
    return f;
}

struct flight *
outbox_find(struct outbox *box, uint16_t packet_id)
{
    struct flight *f = packet_id <= box->window ? box->by_id[packet_id] : NULL;

    return f && f->is_sent ? f : NULL;
}

static void
unlink_flight(struct outbox *box, struct flight *f)
{
    if (box->unsent == f)
        box->unsent = f->next;
    DL_DELETE(box->list, f);
}

void
outbox_received(struct outbox *box, struct flight *f)
{
    f->is_received = true;
    unlink_flight(box, f);
    DL_APPEND(box->list, f);
}

void
outbox_end(struct outbox *box, struct flight *f, enum nx_err err)
{
    mqtt_done_cb *done = f->done;
    void *arg = f->arg;

    unlink_flight(box, f);
    box->by_id[f->packet_id] = NULL;
    give_id(box, f->packet_id);
    if (f->is_sent)
        box->sent--;
    free(f);
    if (done)
        done(arg, err);
}

void
outbox_restart(struct outbox *box, bool is_resumed)
{
    struct flight *f, *tmp, *ended = NULL;

    DL_FOREACH_SAFE (box->list, f, tmp) {
        if (f->is_sent && is_resumed)
            f->packet[0] |= MQTT_FLAG_DUP;
        if (!is_resumed)
            f->packet[0] &= (uint8_t)~MQTT_FLAG_DUP;
        f->is_sent = false;
    }
    box->sent = 0;
    box->unsent = box->list;
    /* Taken off the list in two steps, because a done callback may publish or stop. */
    while (!is_resumed) {
        DL_SEARCH_SCALAR(box->list, ended, is_received, true);
        if (!ended)
            break;
        outbox_end(box, ended, NX_OK);
    }
}

void
outbox_cancel(struct outbox *box)
{
    while (box->list)
        outbox_end(box, box->list, NX_E_CANCELED);
}
