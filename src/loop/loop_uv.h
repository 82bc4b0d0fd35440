/* loop_uv.h -- the real loop's own part, for loop.c and stream.c only. */
#ifndef LOOP_LOOP_UV_H
#define LOOP_LOOP_UV_H

#include "loop/loop_priv.h"

#include <uv.h>

#define LOOP_READ_BYTES (256u * 1024u)

struct loop_uv {
    struct loop base;
    uv_loop_t uv;
    uv_timer_t timer; /* armed to the next tick of the wheel that has timers */
    uint64_t armed_ms;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* running while deferred calls wait: the loop must not block */
    uv_async_t wake;
    struct signal_watch *signals;
    int64_t wall_us; /* 0: not asked for in this turn */
    bool is_stopping;
    uint8_t *read_buffer; /* shared by all streams: data is only lent to on_data */
};

static inline struct loop_uv *
loop_uv_of(struct loop *loop)
{
    return (struct loop_uv *)(void *)loop;
}

#endif
