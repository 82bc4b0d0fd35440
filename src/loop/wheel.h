/* wheel.h -- hashed timer wheel: one slot a millisecond, one rotation WHEEL_SLOTS milliseconds.
 *
 * Start and stop cost a list operation whatever the number of timers. A timer further away than a rotation stays in
 * its slot and is passed over once a rotation. No clock of its own: the loop moves it. */
#ifndef LOOP_WHEEL_H
#define LOOP_WHEEL_H

#include "loop/loop.h"

#define WHEEL_SLOTS 4096u

struct wheel {
    uint64_t now_ms; /* the tick processed last */
    size_t count;
    struct loop_timer *slots[WHEEL_SLOTS];
    uint64_t occupied[WHEEL_SLOTS / 64];
};

void wheel_init(struct wheel *w, uint64_t now_ms);
/* t->due_ms says when; a tick already processed becomes the next one. */
void wheel_insert(struct wheel *w, struct loop_timer *t);
void wheel_remove(struct wheel *w, struct loop_timer *t);
/* Runs every timer due up to now_ms, tick by tick, oldest first. */
void wheel_advance(struct wheel *w, uint64_t now_ms);
/* Milliseconds from now_ms until a slot with timers comes up; UINT64_MAX when there is none. May be early, never late.
 */
uint64_t wheel_next_ms(const struct wheel *w, uint64_t now_ms);

#endif
