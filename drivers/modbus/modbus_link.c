#include "modbus_link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define STRIKES_MAX   3
#define KNOWN_TIDS    1024u /* an identifier given out so long ago is as good as one never given out */
#define BITS_PER_BYTE 11u   /* on a serial line: start, eight data, parity or stop, stop (SL 2.5.1) */

static void pump(struct modbus_link *ln);

static void
enter(struct modbus_link *ln)
{
    ln->depth++;
}

static void
leave(struct modbus_link *ln)
{
    if (--ln->depth == 0 && ln->is_closed_due) {
        ln->is_closed_due = false;
        nx_closed(ln->link);
    }
}

static uint64_t
now_ms(struct modbus_link *ln)
{
    return nx_now_ms(ln->link);
}

/* No request leaves before this time. */
static void
hold_until(struct modbus_link *ln, uint64_t ms)
{
    if (ms > ln->next_send_ms)
        ln->next_send_ms = ms;
}

/* --- runs --------------------------------------------------------------------------------------------------- */

/* Its requests that are on the way are no longer wanted. */
static void
forget_slots(struct modbus_link *ln, const struct modbus_run *run)
{
    for (unsigned i = 0; run->in_flight > 0 && i < MODBUS_PIPELINE_MAX; i++) {
        if (ln->slots[i].run != run)
            continue;
        if (ln->conf.has_no_tid)
            modbus_late_add(&ln->late, ln->slots[i].rq.unit, now_ms(ln) - ln->slots[i].sent_ms, now_ms(ln));
        ln->slots[i].run = NULL;
        ln->in_flight--;
    }
}

void
modbus_link_end(struct modbus_link *ln, struct modbus_run *run, enum nx_err err, const struct nx_note *why)
{
    struct modbus_lane *lane = &run->peer->lanes[run->class];
    struct nx_op *op = run->op;

    forget_slots(ln, run);
    op->driver_data = NULL;
    DL_DELETE(lane->runs, run);
    if (!lane->runs)
        DL_DELETE(ln->lanes[run->class], lane);
    if (op->kind == NX_OP_WRITE)
        free(run);
    nx_op_done(op, err, why);
}

static void
end_all(struct modbus_link *ln, enum nx_err err, const struct nx_note *why)
{
    for (unsigned c = MODBUS_CLASSES; c-- > 0;)
        while (ln->lanes[c])
            modbus_link_end(ln, ln->lanes[c]->runs, err, why);
}

static void
stop_timers(struct modbus_link *ln)
{
    if (ln->send_timer)
        nx_timer_stop(ln->send_timer);
    if (ln->byte_timer)
        nx_timer_stop(ln->byte_timer);
}

static void
link_lost(struct modbus_link *ln, enum nx_err err, const struct nx_note *why)
{
    struct nx_note kept = why ? *why : (struct nx_note){.err = err};

    if (ln->state != MODBUS_OPENING && ln->state != MODBUS_UP)
        return;
    ln->state = MODBUS_DOWN;
    nx_stream_close(&ln->stream);
    stop_timers(ln);
    end_all(ln, err, why ? &kept : NULL);
    if (ln->state == MODBUS_DOWN)
        nx_link_down(ln->link, err, why ? &kept : NULL);
}

/* A run without anything left to wait for ends. True: it did. */
static bool
settle(struct modbus_run *run)
{
    if (run->ops->has_more(run) || run->in_flight > 0)
        return false;
    run->ops->finish(run);
    return true;
}

/* --- requests out ------------------------------------------------------------------------------------------- */

static bool
is_broadcast(const struct modbus_link *ln, const struct modbus_run *run)
{
    return ln->conf.is_serial && run->peer->unit == 0;
}

/* How long our bytes are on the line. */
static uint64_t
line_ms(const struct modbus_link *ln, size_t bytes)
{
    return ln->conf.is_serial ? (bytes * BITS_PER_BYTE * 1000 + ln->conf.baud_rate - 1) / ln->conf.baud_rate : 0;
}

static void
put_frame(struct modbus_link *ln, struct modbus_run *run, const struct modbus_request *rq)
{
    uint8_t frame[MODBUS_ADU_MAX];
    size_t len = modbus_frame_encode(ln->conf.framing, rq, frame);
    struct nx_note why;

    nx_count(run->peer->dev, NX_COUNT_REQUESTS, 1);
    nx_count_link(ln->link, NX_COUNT_BYTES_OUT, len);
    hold_until(ln, now_ms(ln) + line_ms(ln, len) + ln->conf.silence_ms);
    hold_until(ln, now_ms(ln) + ln->conf.delay_ms);
    if (ln->conf.has_echo) {
        memcpy(ln->echo, frame, len);
        ln->echo_len = len;
    }
    nx_op_alive(run->op);
    if (nx_stream_write(ln->stream, frame, len) != NX_OK)
        link_lost(ln, nx_fail(&why, NX_E_IO, "the device does not take our requests any more"), &why);
}

static void
send_broadcast(struct modbus_link *ln, struct modbus_run *run)
{
    struct modbus_request rq = {0};
    uint32_t block;

    run->ops->next(run, &rq, &block);
    rq.unit = 0;
    put_frame(ln, run, &rq);
    if (ln->state != MODBUS_UP)
        return;
    hold_until(ln, ln->next_send_ms + ln->conf.turnaround_ms);
    modbus_link_end(ln, run, NX_OK, NULL);
}

static void
send_next(struct modbus_link *ln, struct modbus_run *run)
{
    struct modbus_slot *slot = ln->slots;

    if (is_broadcast(ln, run)) {
        send_broadcast(ln, run);
        return;
    }
    while (slot->run)
        slot++;
    assert(slot < ln->slots + MODBUS_PIPELINE_MAX);
    *slot = (struct modbus_slot){.run = run, .sent_ms = now_ms(ln)};
    run->ops->next(run, &slot->rq, &slot->block);
    slot->rq.unit = run->peer->unit;
    slot->rq.tid = ++ln->tid;
    if (ln->sent_count < KNOWN_TIDS)
        ln->sent_count++;
    ln->in_flight++;
    run->in_flight++;
    put_frame(ln, run, &slot->rq);
}

/* Must the unit be left alone? Then *wake_ms is brought forward to the end of it. */
static bool
is_waiting_for_late(struct modbus_link *ln, uint8_t unit, uint64_t *wake_ms)
{
    uint64_t until_ms = ln->conf.has_no_tid ? modbus_late_until(&ln->late, unit, now_ms(ln)) : 0;

    if (until_ms != 0 && (*wake_ms == 0 || until_ms < *wake_ms))
        *wake_ms = until_ms;
    return until_ms != 0;
}

/* The run of this class whose turn it is; its lane goes to the end of the queue. */
static struct modbus_run *
take_turn(struct modbus_link *ln, unsigned class, uint64_t *wake_ms)
{
    struct modbus_lane *lane;
    struct modbus_run *run;

    DL_FOREACH (ln->lanes[class], lane) {
        if (is_waiting_for_late(ln, lane->peer->unit, wake_ms))
            continue;
        DL_FOREACH (lane->runs, run) {
            if (!run->ops->has_more(run))
                continue;
            DL_DELETE(ln->lanes[class], lane);
            DL_APPEND(ln->lanes[class], lane);
            return run;
        }
    }
    return NULL;
}

/* May a request leave? Else *wake_ms says when to look again, 0: when something happens. */
static bool
may_send(struct modbus_link *ln, uint64_t *wake_ms)
{
    *wake_ms = 0;
    if (ln->in_flight >= ln->conf.window)
        return false;
    if (ln->conf.framing == MODBUS_RTU && (ln->rx_len > 0 || ln->is_deaf || ln->echo_len > 0))
        return false;
    if (now_ms(ln) >= ln->next_send_ms)
        return true;
    *wake_ms = ln->next_send_ms;
    return false;
}

static struct modbus_run *
next_run(struct modbus_link *ln, uint64_t *wake_ms)
{
    for (unsigned c = MODBUS_CLASSES; c-- > 0;) {
        struct modbus_run *run = take_turn(ln, c, wake_ms);
        if (run)
            return run;
    }
    return NULL;
}

static void
pump(struct modbus_link *ln)
{
    struct modbus_run *run = NULL;
    uint64_t wake_ms = 0;

    while (ln->state == MODBUS_UP && may_send(ln, &wake_ms) && (run = next_run(ln, &wake_ms)) != NULL)
        send_next(ln, run);
    if (ln->state == MODBUS_UP && wake_ms > 0)
        nx_timer_start(ln->send_timer, wake_ms > now_ms(ln) ? wake_ms - now_ms(ln) : 0);
}

/* --- answers in --------------------------------------------------------------------------------------------- */

static void
strike(struct modbus_link *ln, const char *what)
{
    struct nx_note why;

    if (++ln->strikes < STRIKES_MAX)
        return;
    link_lost(ln, nx_fail(&why, NX_E_PROTO, "%d replies in a row %s: reconnecting", STRIKES_MAX, what), &why);
}

static struct modbus_slot *
find_slot(struct modbus_link *ln, const struct modbus_frame *frame)
{
    for (unsigned i = 0; i < MODBUS_PIPELINE_MAX; i++)
        if (ln->slots[i].run && (ln->conf.has_no_tid || ln->slots[i].rq.tid == frame->tid))
            return &ln->slots[i];
    return NULL;
}

/* Did we give this identifier out not long ago? Then its answer is late or has come twice. */
static bool
is_known_tid(const struct modbus_link *ln, uint16_t tid)
{
    return (uint16_t)(ln->tid - tid) < ln->sent_count;
}

/* A frame that no request waits for. */
static void
on_stray(struct modbus_link *ln, const struct modbus_frame *frame)
{
    bool is_late = ln->conf.has_no_tid ? modbus_late_take(&ln->late, frame->unit) : is_known_tid(ln, frame->tid);

    nx_count_link(ln->link, NX_COUNT_STALE_REPLIES, 1);
    if (!is_late)
        strike(ln, "match no request");
}

static void
on_answer(struct modbus_link *ln, struct modbus_slot *found, enum nx_err err, const struct modbus_reply *reply,
          const struct nx_note *why)
{
    struct modbus_slot slot = *found;
    struct modbus_run *run = slot.run;
    struct nx_dev *dev = run->peer->dev;
    struct nx_op *op = run->op;

    found->run = NULL;
    ln->in_flight--;
    run->in_flight--;
    if (run->in_flight > 0)
        nx_op_alive(op);
    else
        nx_op_rests(op);
    if (err != NX_OK)
        nx_count(dev, NX_COUNT_PROTO_ERRORS, 1);
    else if (reply->exception != 0)
        nx_count(dev, NX_COUNT_EXCEPTIONS, 1);
    if (err == NX_OK)
        ln->strikes = 0;
    if (run->ops->answer(run, &slot, err, reply, why))
        (void)settle(run);
    if (err != NX_OK)
        strike(ln, "do not answer what was asked");
}

static void
on_frame(struct modbus_link *ln, const struct modbus_frame *frame)
{
    struct modbus_slot *slot = find_slot(ln, frame);
    struct modbus_reply reply = {0};
    struct nx_note why;
    enum nx_err err;

    if (!slot || (ln->conf.has_no_tid && slot->rq.unit != frame->unit)) {
        on_stray(ln, frame);
        return;
    }
    err = modbus_decode_reply(&slot->rq, frame, &reply, &why);
    if (err != NX_OK && ln->conf.has_no_tid && modbus_late_until(&ln->late, frame->unit, now_ms(ln)) != 0)
        on_stray(ln, frame);
    else
        on_answer(ln, slot, err, &reply, &why);
}

/* The bytes on the line are no frame. On TCP nothing can be found again; a serial line is quiet after a while. */
static void
on_nonsense(struct modbus_link *ln, const char *what)
{
    struct nx_note why;

    ln->rx_len = 0;
    nx_count_link(ln->link, NX_COUNT_PROTO_ERRORS, 1);
    if (ln->conf.framing == MODBUS_MBAP) {
        link_lost(ln, nx_fail(&why, NX_E_PROTO, "the device does not speak Modbus TCP (%s)", what), &why);
        return;
    }
    ln->is_deaf = true;
    nx_timer_start(ln->byte_timer, ln->conf.byte_timeout_ms);
    nx_fail(&why, NX_E_PROTO, "the answer was damaged on the line (%s)", what);
    for (unsigned i = 0; i < MODBUS_PIPELINE_MAX; i++)
        if (ln->slots[i].run) /* RTU: one at most */
            on_answer(ln, &ln->slots[i], NX_E_PROTO, &(struct modbus_reply){0}, &why);
}

/* Handles every complete frame of in; what is left is the beginning of the next one. */
static struct slice
feed(struct modbus_link *ln, struct slice in)
{
    struct modbus_frame frame;
    enum nx_err err = NX_OK;

    while (ln->state == MODBUS_UP && !ln->is_deaf && (err = modbus_frame_next(ln->conf.framing, &in, &frame)) == NX_OK)
        on_frame(ln, &frame);
    if (err == NX_E_PROTO && ln->state == MODBUS_UP) {
        on_nonsense(ln, ln->conf.framing == MODBUS_RTU ? "wrong checksum or function" : "impossible frame header");
        return slice(NULL, 0);
    }
    return ln->state == MODBUS_UP && !ln->is_deaf ? in : slice(NULL, 0);
}

/* Drops what we hear of ourselves. */
static struct slice
skip_echo(struct modbus_link *ln, struct slice in)
{
    size_t n = in.len < ln->echo_len ? in.len : ln->echo_len;
    bool is_same = memcmp(in.p, ln->echo, n) == 0;

    ln->echo_len -= n;
    memmove(ln->echo, ln->echo + n, ln->echo_len);
    if (!is_same) {
        ln->echo_len = 0;
        on_nonsense(ln, "our own echo differs: another sender, or no echo on this line");
    }
    return slice_skip(in, n);
}

static void
take_bytes(struct modbus_link *ln, struct slice in)
{
    while (in.len > 0 && ln->state == MODBUS_UP && !ln->is_deaf) {
        size_t n = sizeof ln->rx - ln->rx_len < in.len ? sizeof ln->rx - ln->rx_len : in.len;
        struct slice rest;
        memcpy(ln->rx + ln->rx_len, in.p, n);
        in = slice_skip(in, n);
        rest = feed(ln, slice(ln->rx, ln->rx_len + n));
        ln->rx_len = rest.len;
        if (rest.len > 0)
            memmove(ln->rx, rest.p, rest.len);
    }
}

static void
on_data(void *arg, const uint8_t *p, size_t len)
{
    struct modbus_link *ln = arg;
    struct slice in = slice(p, len);

    enter(ln);
    nx_count_link(ln->link, NX_COUNT_BYTES_IN, len);
    hold_until(ln, now_ms(ln) + ln->conf.silence_ms);
    if (ln->echo_len > 0 && !ln->is_deaf)
        in = skip_echo(ln, in);
    take_bytes(ln, in);
    if (ln->state == MODBUS_UP && ln->conf.framing == MODBUS_RTU) {
        if (ln->rx_len > 0 || ln->is_deaf || ln->echo_len > 0)
            nx_timer_start(ln->byte_timer, ln->conf.byte_timeout_ms);
        else
            nx_timer_stop(ln->byte_timer);
    }
    pump(ln);
    leave(ln);
}

/* Silence: what was begun never ends, what was lost can be found again. */
static void
on_silence(void *arg)
{
    struct modbus_link *ln = arg;

    enter(ln);
    if (!ln->is_deaf && (ln->rx_len > 0 || ln->echo_len > 0)) {
        bool is_echo = ln->rx_len == 0;
        ln->echo_len = 0;
        on_nonsense(ln, is_echo ? "our own echo is missing" : "it ends in the middle");
    }
    nx_timer_stop(ln->byte_timer);
    ln->is_deaf = false;
    pump(ln);
    leave(ln);
}

static void
on_turn(void *arg)
{
    struct modbus_link *ln = arg;

    enter(ln);
    pump(ln);
    leave(ln);
}

/* --- life ---------------------------------------------------------------------------------------------------- */

static void
on_open(void *arg)
{
    struct modbus_link *ln = arg;

    enter(ln);
    ln->state = MODBUS_UP;
    hold_until(ln, now_ms(ln) + ln->conf.silence_ms);
    nx_link_up(ln->link);
    leave(ln);
}

static void
on_down(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct modbus_link *ln = arg;

    enter(ln);
    link_lost(ln, err, why);
    leave(ln);
}

const struct nx_stream_ops modbus_link_stream_ops = {on_open, on_data, on_down};

void
modbus_link_open(struct modbus_link *ln, struct nx_link *link, const struct modbus_link_conf *conf)
{
    assert(ln->state == MODBUS_CLOSED);
    *ln = (struct modbus_link){.link = link, .conf = *conf, .state = MODBUS_OPENING};
    if (conf->has_no_tid || conf->delay_ms > 0)
        ln->send_timer = nx_timer_new(link, on_turn, ln);
    if (conf->framing == MODBUS_RTU)
        ln->byte_timer = nx_timer_new(link, on_silence, ln);
}

void
modbus_link_close(struct nx_link *link)
{
    struct modbus_link *ln = nx_link_state(link);

    if (ln->state == MODBUS_CLOSED)
        return;
    enter(ln);
    ln->state = MODBUS_CLOSED;
    if (ln->stream)
        nx_stream_close(&ln->stream);
    if (ln->send_timer)
        nx_timer_free(&ln->send_timer);
    if (ln->byte_timer)
        nx_timer_free(&ln->byte_timer);
    end_all(ln, NX_E_CANCELED, NULL);
    ln->is_closed_due = true;
    leave(ln);
}

void
modbus_link_add(struct modbus_link *ln, struct modbus_run *run)
{
    struct modbus_lane *lane = &run->peer->lanes[run->class];

    enter(ln);
    run->op->driver_data = run;
    if (!lane->runs) {
        lane->peer = run->peer;
        DL_APPEND(ln->lanes[run->class], lane);
    }
    DL_APPEND(lane->runs, run);
    if (!settle(run))
        pump(ln);
    leave(ln);
}

void
modbus_link_cancel(struct modbus_link *ln, struct modbus_run *run, enum nx_err err)
{
    enter(ln);
    modbus_link_end(ln, run, err, NULL);
    pump(ln);
    leave(ln);
}
