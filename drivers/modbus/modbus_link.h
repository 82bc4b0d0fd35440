/* modbus_link.h -- one connection: who may send next, which answer belongs to whom. Knows neither tags nor plans.
 *
 *   CLOSED --open--> OPENING --on_open--> UP --on_down, three stray replies--> DOWN --close--> CLOSED
 *
 * Operations are runs: a run is asked for its next request and told the answer. Runs wait in lanes, one per device and
 * class (writes before reads, each by priority); within a class the devices take turns, request by request.
 *
 * An answer finds its request by the transaction identifier. Where there is none that counts (RTU, tid_agnostic), one
 * request is on the way at a time; an answer belongs to it when unit, function and byte count fit, and after a request
 * was given up its unit is not asked again until the late answer has come or can no longer come.
 *
 * The host may call any function from inside nx_op_done() and nx_link_down(): `depth` keeps nx_closed() back until the
 * outermost of our functions is left. nx_read_value(), nx_read_failed() and nx_op_alive() do not call back. */
#ifndef MODBUS_LINK_H
#define MODBUS_LINK_H

#include "modbus_frame.h"
#include "modbus_late.h"
#include "nexus/driver.h"

#define MODBUS_PIPELINE_MAX 16
#define MODBUS_CLASSES      6 /* reads of priority 0, 1, 2; writes of priority 0, 1, 2 */

struct modbus_run;
struct modbus_slot;

struct modbus_run_ops {
    /* Is there a request to send, now or when its turn comes? May report items on the way to an answer. */
    bool (*has_more)(struct modbus_run *run);
    /* That request, with unit and tid left free; block: the run's own name for it. */
    void (*next)(struct modbus_run *run, struct modbus_request *rq, uint32_t *block);
    /* Its answer; or err and why when there is none that makes sense. False: the run has ended. */
    bool (*answer)(struct modbus_run *run, const struct modbus_slot *slot, enum nx_err err,
                   const struct modbus_reply *reply, const struct nx_note *why);
    /* All requests are answered and there are no more. Must end the run. */
    void (*finish)(struct modbus_run *run);
};

struct modbus_lane {
    struct modbus_lane *prev, *next; /* in modbus_link.lanes */
    struct modbus_run *runs;         /* oldest first */
    struct modbus_peer *peer;
};

/* What a link knows of a device; lives in the device. */
struct modbus_peer {
    struct nx_dev *dev;
    uint8_t unit;
    struct modbus_lane lanes[MODBUS_CLASSES];
};

/* An operation of the host. First member of what the read and write sides keep. */
struct modbus_run {
    const struct modbus_run_ops *ops;
    struct nx_op *op;
    struct modbus_peer *peer;
    struct modbus_run *prev, *next; /* in its lane */
    unsigned class, in_flight;
};

struct modbus_slot {
    struct modbus_run *run; /* NULL: free */
    uint32_t block;
    uint64_t sent_ms;
    struct modbus_request rq; /* without data, but for the echoed fields of a write (borrowed from the run) */
};

struct modbus_link_conf {
    enum modbus_framing framing;
    unsigned window;    /* requests on the way at the same time */
    bool has_no_tid;    /* identifiers do not count */
    bool is_serial;     /* a bus: unit 0 is a broadcast, silence is kept between frames */
    bool has_echo;      /* we hear what we send */
    uint32_t baud_rate; /* is_serial */
    uint64_t silence_ms, byte_timeout_ms, delay_ms, turnaround_ms;
};

enum modbus_state { MODBUS_CLOSED, MODBUS_OPENING, MODBUS_UP, MODBUS_DOWN };

struct modbus_link {
    struct nx_link *link;
    enum modbus_state state;
    struct modbus_link_conf conf;
    struct nx_stream *stream;
    struct nx_timer *send_timer, *byte_timer; /* NULL where nothing is ever waited for */
    struct modbus_lane *lanes[MODBUS_CLASSES];
    struct modbus_slot slots[MODBUS_PIPELINE_MAX];
    struct modbus_late late;
    unsigned in_flight, strikes, depth, sent_count; /* sent_count stops at what `tid` can tell apart */
    uint16_t tid;
    bool is_closed_due;
    bool is_deaf; /* the place in the stream is lost: everything is dropped until there is silence */
    uint64_t next_send_ms;
    size_t rx_len, echo_len; /* echo_len: bytes of `echo` still to be heard */
    uint8_t rx[MODBUS_ADU_MAX], echo[MODBUS_RTU_ADU_MAX];
};

/* open() of a driver, once the stream's own settings are read: the stream is opened by the caller, who puts it into
 * `stream` with these callbacks and the modbus_link as their argument. */
void modbus_link_open(struct modbus_link *ln, struct nx_link *link, const struct modbus_link_conf *conf);
extern const struct nx_stream_ops modbus_link_stream_ops;
nx_close_f modbus_link_close;

/* Takes a run in; it may be finished before the call returns. */
void modbus_link_add(struct modbus_link *ln, struct modbus_run *run);
/* Ends a run with nx_op_done(): its answers are no longer wanted. A write's run is freed before. */
void modbus_link_end(struct modbus_link *ln, struct modbus_run *run, enum nx_err err, const struct nx_note *why);
/* The same from outside: for cancel(). */
void modbus_link_cancel(struct modbus_link *ln, struct modbus_run *run, enum nx_err err);

static inline struct modbus_link *
modbus_link_of(struct nx_dev *dev)
{
    return nx_link_state(nx_link_of(dev));
}

#endif
