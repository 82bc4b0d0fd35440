#include "loop/wheel.h"

#include <string.h>

static unsigned
slot_of(uint64_t due_ms)
{
    return (unsigned)(due_ms % WHEEL_SLOTS);
}

void
wheel_init(struct wheel *w, uint64_t now_ms)
{
    memset(w, 0, sizeof *w);
    w->now_ms = now_ms;
}

static void
link_at(struct loop_timer **head, struct loop_timer *t)
{
    t->next = *head;
    t->link = head;
    if (t->next)
        t->next->link = &t->next;
    *head = t;
}

static void
unlink_timer(struct loop_timer *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->link = NULL;
    t->next = NULL;
}

void
wheel_insert(struct wheel *w, struct loop_timer *t)
{
    if (t->due_ms <= w->now_ms)
        t->due_ms = w->now_ms + 1;
    unsigned slot = slot_of(t->due_ms);

    link_at(&w->slots[slot], t);
    w->occupied[slot / 64] |= 1ull << slot % 64;
    w->count++;
}

void
wheel_remove(struct wheel *w, struct loop_timer *t)
{
    unsigned slot = slot_of(t->due_ms);

    unlink_timer(t);
    w->count--;
    if (!w->slots[slot])
        w->occupied[slot / 64] &= ~(1ull << slot % 64);
}

static uint64_t
next_due(const struct loop_timer *t, uint64_t now_ms)
{
    uint64_t due = t->due_ms + t->period_ms;

    if (due > now_ms)
        return due;
    /* Overrun: the phase is kept, the missed periods are not made up. */
    return now_ms + t->period_ms - (now_ms - t->due_ms) % t->period_ms;
}

/* A callback may start or stop any timer, also those still waiting in the ready list. */
static void
run_ready(struct wheel *w, struct loop_timer **ready, uint64_t now_ms)
{
    while (*ready) {
        struct loop_timer *t = *ready;

        unlink_timer(t);
        w->count--;
        if (t->period_ms) {
            t->due_ms = next_due(t, now_ms);
            wheel_insert(w, t);
        }
        t->cb(t, t->arg);
    }
}

static void
run_slot(struct wheel *w, uint64_t tick, uint64_t now_ms)
{
    unsigned slot = slot_of(tick);
    struct loop_timer *ready = NULL;

    for (struct loop_timer *t = w->slots[slot], *next; t; t = next) {
        next = t->next;
        if (t->due_ms > now_ms)
            continue;
        unlink_timer(t);
        link_at(&ready, t); /* the slot holds the newest first: this turns it round */
    }
    if (!w->slots[slot])
        w->occupied[slot / 64] &= ~(1ull << slot % 64);
    run_ready(w, &ready, now_ms);
}

void
wheel_advance(struct wheel *w, uint64_t now_ms)
{
    uint64_t tick = w->now_ms + 1;

    if (now_ms > w->now_ms && now_ms - w->now_ms > WHEEL_SLOTS) /* after a long sleep each slot is looked at once */
        tick = now_ms - WHEEL_SLOTS + 1;
    for (; tick <= now_ms; tick++) {
        unsigned slot = slot_of(tick);

        w->now_ms = tick;
        if (w->occupied[slot / 64] & 1ull << slot % 64)
            run_slot(w, tick, now_ms);
        else if (w->occupied[slot / 64] == 0 && slot % 64 == 0 && tick + 63 <= now_ms)
            tick += 63; /* an empty word is skipped whole */
    }
    if (now_ms > w->now_ms)
        w->now_ms = now_ms;
}

uint64_t
wheel_next_ms(const struct wheel *w, uint64_t now_ms)
{
    if (w->count == 0)
        return UINT64_MAX;
    for (uint64_t ahead = 0; ahead < WHEEL_SLOTS;) {
        unsigned slot = slot_of(w->now_ms + 1 + ahead);
        uint64_t word = w->occupied[slot / 64] >> slot % 64;

        if (word) {
            uint64_t tick = w->now_ms + 1 + ahead + (uint64_t)__builtin_ctzll(word);

            return tick > now_ms ? tick - now_ms : 0;
        }
        ahead += 64 - slot % 64;
    }
    return UINT64_MAX;
}
