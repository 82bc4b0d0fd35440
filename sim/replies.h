/* replies.h -- the replies of one connection or line on their way out: delayed, late, split, spoiled, or at the pace of
 * a serial line. One thread. */
#ifndef SIM_REPLIES_H
#define SIM_REPLIES_H

#include "sim/faults.h"
#include "sim/station.h"

#include <uv.h>

#define REPLIES_WAITING_MAX 1024u

struct replies_ops {
    void (*send)(void *arg, const uint8_t *p, size_t len);
    /* The connection ends here, with a reset or in order. The last callback. */
    void (*cut)(void *arg, bool is_reset);
    void (*closed)(void *arg); /* after replies_close() */
};

struct reply;
struct replies {
    uv_timer_t timer;
    const struct replies_ops *ops;
    void *arg;
    struct faults *faults;
    unsigned baud; /* 0: as fast as it goes. One character is 11 bits, and 3.5 of them are silence between frames */
    struct reply *head;
    unsigned waiting;
    uint64_t last_due_ms;                /* of those that nothing made late */
    uint8_t previous[STATION_FRAME_MAX]; /* for stale ones */
    size_t previous_len;
    bool is_closing;
};

void replies_init(struct replies *r, uv_loop_t *loop, const struct replies_ops *ops, void *arg);
/* Nothing waits and nothing would: what leaves at once may leave directly, many replies in one write. */
bool replies_are_direct(const struct replies *r);
/* Takes a copy; may send and cut from within. request_len counts on a line, where the request takes its time as well.
 * False when too many wait. */
bool replies_push(struct replies *r, const uint8_t *p, size_t len, enum fault fault, size_t request_len);
/* Drops what waits. */
void replies_close(struct replies *r);

#endif
