#include "mqtt/inbox.h"

#include "base/mem.h"

enum { FIRST_CAP = 64, MAX_CAP = 65536 };

void
inbox_init(struct inbox *box)
{
    *box = (struct inbox){.head = 1, .tail = 1};
}

void
inbox_fini(struct inbox *box)
{
    inbox_forget(box);
    free(box->slots);
    *box = (struct inbox){0};
}

static struct inbox_slot *
slot_of(struct inbox *box, uint64_t token)
{
    return token >= box->head && token < box->tail ? &box->slots[token & (box->cap - 1)] : NULL;
}

static void
grow(struct inbox *box)
{
    size_t cap = box->cap ? box->cap * 2 : FIRST_CAP;
    struct inbox_slot *slots = mem_calloc(cap, sizeof *slots);

    for (uint64_t t = box->head; t < box->tail; t++)
        slots[t & (cap - 1)] = *slot_of(box, t);
    free(box->slots);
    box->slots = slots;
    box->cap = cap;
}

static uint64_t
push(struct inbox *box, struct inbox_slot slot)
{
    if (box->tail - box->head == box->cap)
        grow(box);
    box->slots[box->tail & (box->cap - 1)] = slot;
    return box->tail++;
}

static struct inbox_held *
find_held(struct inbox *box, uint16_t packet_id)
{
    struct inbox_held *h;

    HASH_FIND(hh, box->held, &packet_id, sizeof packet_id, h);
    return h;
}

static uint64_t
receive_once(struct inbox *box, uint16_t packet_id)
{
    struct inbox_held *h = find_held(box, packet_id);

    if (h) {
        h->slot_token = push(box, (struct inbox_slot){.packet_id = packet_id, .qos = 2, .is_acked = h->is_acked});
        return 0;
    }
    h = mem_alloc(sizeof *h);
    h->packet_id = packet_id;
    h->token = h->slot_token = push(box, (struct inbox_slot){.packet_id = packet_id, .qos = 2});
    HASH_ADD(hh, box->held, packet_id, sizeof h->packet_id, h);
    return h->token;
}

enum nx_err
inbox_receive(struct inbox *box, uint16_t packet_id, uint8_t qos, uint64_t *token)
{
    *token = 0;
    if (qos == 0)
        return NX_OK;
    if (box->tail - box->head >= MAX_CAP)
        return NX_E_PROTO;
    *token = qos == 2 ? receive_once(box, packet_id) : push(box, (struct inbox_slot){.packet_id = packet_id, .qos = 1});
    return NX_OK;
}

/* A token of an earlier connection: rare, so a walk is good enough. */
static void
ack_held(struct inbox *box, uint64_t token)
{
    for (struct inbox_held *h = box->held; h; h = h->hh.next) {
        if (h->token != token)
            continue;
        struct inbox_slot *slot = slot_of(box, h->slot_token);

        h->is_acked = true;
        if (slot)
            slot->is_acked = true;
        return;
    }
}

void
inbox_ack(struct inbox *box, uint64_t token)
{
    struct inbox_slot *slot = slot_of(box, token);

    if (!slot) {
        ack_held(box, token);
        return;
    }
    slot->is_acked = true;
    if (slot->qos == 2) {
        struct inbox_held *h = find_held(box, slot->packet_id);

        if (h)
            h->is_acked = true;
    }
}

bool
inbox_next_ack(struct inbox *box, enum mqtt_type *type, uint16_t *packet_id)
{
    struct inbox_slot *slot = slot_of(box, box->head);

    if (!slot || !slot->is_acked)
        return false;
    *type = slot->qos == 2 ? MQTT_PUBREC : MQTT_PUBACK;
    *packet_id = slot->packet_id;
    box->head++;
    return true;
}

static void
drop_held(struct inbox *box, struct inbox_held *h)
{
    HASH_DELETE(hh, box->held, h);
    free(h);
}

bool
inbox_release(struct inbox *box, uint16_t packet_id)
{
    struct inbox_held *h = find_held(box, packet_id);

    if (h)
        drop_held(box, h);
    return h;
}

void
inbox_disconnected(struct inbox *box)
{
    box->head = box->tail;
}

void
inbox_forget(struct inbox *box)
{
    struct inbox_held *h, *tmp;

    inbox_disconnected(box);
    HASH_ITER (hh, box->held, h, tmp)
        drop_held(box, h);
}
