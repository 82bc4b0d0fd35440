/* modbus_driver.c -- Modbus TCP client: operations of the host become requests in at most `pipeline` slots, replies
 * find their slot by transaction identifier.
 *
 *   CLOSED --open--> OPENING --on_open--> UP --on_down, three stray replies--> DOWN --close--> CLOSED
 *
 * Writes go before reads. A read runs through the blocks of its plan; a refused block is split at once (modbus_plan.h).
 * The transaction identifiers of cancelled requests are remembered, so that their late replies are known for what they
 * are. The host may call any function from inside nx_op_done() and its like: `depth` keeps nx_closed() back until the
 * outermost of our functions is left, and every loop looks at the state again after each call of the host. */
#include "modbus_driver.h"

#include "base/mem.h"
#include "modbus_addr.h"
#include "modbus_codec.h"
#include "modbus_plan.h"
#include "modbus_value.h"
#include "modbus_write.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define PIPELINE_MAX    16
#define EXPIRED_MAX     32
#define STRIKES_MAX     3
#define PROBES_PER_POLL 4

enum state { CLOSED, OPENING, UP, DOWN };

/* What an operation of the host is for us. First member of struct read_run and struct write_run. */
struct run {
    struct nx_op *op;
    struct run *prev, *next; /* in modbus_dev.reads or .writes */
    unsigned in_flight;
};

/* Lives in the plan memory of its read list. */
struct read_run {
    struct run run;
    struct modbus_plan plan;
    uint32_t next_block;
    uint32_t again[PIPELINE_MAX]; /* first halves of blocks that were just split; each took part of a slot */
    unsigned again_count;
    unsigned probes;   /* of holes, in this poll */
    bool is_undecided; /* a block was neither read nor refused in this poll */
};

struct write_run {
    struct run run;
    struct modbus_write write;
    bool is_sent;
};

struct slot {
    struct run *run; /* NULL: free */
    uint32_t block;
    struct modbus_request rq;
};

struct modbus_dev {
    struct nx_dev *dev;
    enum state state;
    struct nx_stream *stream;
    struct nx_timer *delay;
    struct run *reads, *writes;
    struct slot slots[PIPELINE_MAX];
    unsigned pipeline, in_flight, strikes, depth;
    uint16_t tid;
    uint16_t expired[EXPIRED_MAX];
    unsigned expired_count; /* ever; the ring holds the last EXPIRED_MAX */
    uint8_t unit;
    bool is_multiple_only, is_closed_due;
    uint64_t probe_ms, delay_ms, next_send_ms;
    struct modbus_limits limits;
    size_t rx_len;
    uint8_t rx[MODBUS_ADU_MAX];
};

static void pump(struct modbus_dev *d);

/* --- operations ------------------------------------------------------------------------------------------- */

static void
enter(struct modbus_dev *d)
{
    d->depth++;
}

static void
leave(struct modbus_dev *d)
{
    if (--d->depth == 0 && d->is_closed_due) {
        d->is_closed_due = false;
        nx_closed(d->dev);
    }
}

static struct nx_read *
run_read(const struct run *run)
{
    return (struct nx_read *)(void *)run->op;
}

/* Its requests that are on the way are no longer wanted. */
static void
forget_slots(struct modbus_dev *d, const struct run *run)
{
    for (unsigned i = 0; i < d->pipeline; i++) {
        if (d->slots[i].run != run)
            continue;
        d->expired[d->expired_count++ % EXPIRED_MAX] = d->slots[i].rq.tid;
        d->slots[i].run = NULL;
        d->in_flight--;
    }
}

static void
run_finish(struct modbus_dev *d, struct run *run, enum nx_err err, const struct nx_note *why)
{
    struct nx_op *op = run->op;

    forget_slots(d, run);
    op->driver_data = NULL;
    if (op->kind == NX_OP_WRITE) {
        DL_DELETE(d->writes, run);
        free(run);
    } else {
        DL_DELETE(d->reads, run);
    }
    nx_op_done(op, err, why);
}

static void
finish_all(struct modbus_dev *d, enum nx_err err, const struct nx_note *why)
{
    while (d->writes)
        run_finish(d, d->writes, err, why);
    while (d->reads)
        run_finish(d, d->reads, err, why);
}

static void
link_lost(struct modbus_dev *d, enum nx_err err, const struct nx_note *why)
{
    struct nx_note kept = why ? *why : (struct nx_note){.err = err};

    if (d->state != OPENING && d->state != UP)
        return;
    d->state = DOWN;
    nx_stream_close(&d->stream);
    finish_all(d, err, why ? &kept : NULL);
    if (d->state == DOWN)
        nx_link_down(d->dev, err, why ? &kept : NULL);
}

/* --- requests out ------------------------------------------------------------------------------------------- */

static void
send_request(struct modbus_dev *d, struct run *run, const struct modbus_request *rq, uint32_t block)
{
    struct slot *slot = d->slots;
    uint8_t frame[MODBUS_ADU_MAX];
    size_t len;

    while (slot->run)
        slot++;
    assert(slot < d->slots + d->pipeline);
    slot->run = run;
    slot->block = block;
    slot->rq = *rq;
    slot->rq.unit = d->unit;
    slot->rq.tid = ++d->tid;
    d->in_flight++;
    run->in_flight++;
    len = modbus_encode_request(&slot->rq, frame);
    nx_count(d->dev, NX_COUNT_REQUESTS, 1);
    nx_count(d->dev, NX_COUNT_BYTES_OUT, len);
    if (d->delay_ms > 0)
        d->next_send_ms = nx_now_ms(d->dev) + d->delay_ms;
    if (nx_stream_write(d->stream, frame, len) != NX_OK) {
        struct nx_note why;
        link_lost(d, nx_fail(&why, NX_E_IO, "the device does not take our requests any more"), &why);
    }
}

static void
send_block(struct modbus_dev *d, struct read_run *rr, uint32_t b)
{
    static const uint8_t fc[MODBUS_TABLES] = {MODBUS_READ_COILS, MODBUS_READ_DISCRETE, MODBUS_READ_INPUT,
                                              MODBUS_READ_HOLDING};
    const struct modbus_block *block = &rr->plan.blocks[b];
    struct modbus_request rq = {.fc = fc[block->table], .start = block->start, .count = block->count};

    send_request(d, &rr->run, &rq, b);
}

static void
fail_refused(const struct run *run, const struct modbus_entry *e)
{
    enum nx_err err = modbus_exception_err(e->exception);
    struct nx_note why;

    nx_fail(&why, err, "%s:%u (%u) %s: exception %u, %s", modbus_table_name(e->addr->table), e->addr->start,
            modbus_addr_modicon(e->addr->table, e->addr->start), "was refused by the device", e->exception,
            modbus_exception_text(e->exception));
    nx_read_failed(run_read(run), e->item, err, &why);
}

/* A hole is left alone until its probe is due, and only a few are probed in one poll: asking for what is not there
 * must not cost the other tags their time. After one has come back (probe_ms 0) all are asked. */
static bool
wants_request(struct modbus_dev *d, struct read_run *rr, uint32_t b)
{
    const struct modbus_entry *hole = modbus_plan_hole(&rr->plan, b);

    if (!hole || hole->probe_ms == 0)
        return true;
    if (hole->probe_ms <= nx_now_ms(d->dev) && rr->probes < PROBES_PER_POLL) {
        rr->probes++;
        return true;
    }
    fail_refused(&rr->run, hole);
    return false;
}

static bool
read_has_more(struct modbus_dev *d, struct read_run *rr)
{
    while (rr->next_block < rr->plan.block_count && !wants_request(d, rr, rr->next_block))
        rr->next_block++;
    return rr->again_count > 0 || rr->next_block < rr->plan.block_count;
}

static void
read_finish(struct modbus_dev *d, struct read_run *rr)
{
    if (!rr->is_undecided)
        modbus_plan_rebuild(&rr->plan);
    run_finish(d, &rr->run, NX_OK, NULL);
}

static bool
send_next_write(struct modbus_dev *d)
{
    struct run *run;

    DL_FOREACH (d->writes, run) {
        struct write_run *wr = (void *)run;
        if (!wr->is_sent) {
            wr->is_sent = true;
            send_request(d, run, &wr->write.rq, 0);
            return true;
        }
    }
    return false;
}

/* Sends one block, or finishes one read that has nothing left to wait for. False: nothing to do. */
static bool
advance_next_read(struct modbus_dev *d, bool may_send)
{
    struct run *run;

    DL_FOREACH (d->reads, run) {
        struct read_run *rr = (void *)run;
        if (read_has_more(d, rr)) {
            if (!may_send)
                continue;
            send_block(d, rr, rr->again_count > 0 ? rr->again[--rr->again_count] : rr->next_block++);
            return true;
        }
        if (run->in_flight == 0) {
            read_finish(d, rr);
            return true;
        }
    }
    return false;
}

static bool
may_send(struct modbus_dev *d)
{
    uint64_t now;

    if (d->in_flight >= d->pipeline)
        return false;
    if (d->delay_ms == 0)
        return true;
    now = nx_now_ms(d->dev);
    if (now < d->next_send_ms)
        nx_timer_start(d->delay, d->next_send_ms - now);
    return now >= d->next_send_ms;
}

static void
pump(struct modbus_dev *d)
{
    while (d->state == UP) {
        bool is_free = may_send(d);
        if (is_free && send_next_write(d))
            continue;
        if (!advance_next_read(d, is_free))
            return;
    }
}

/* --- replies in --------------------------------------------------------------------------------------------- */

static void
fail_block(struct read_run *rr, uint32_t b, enum nx_err err, const struct nx_note *why)
{
    const struct modbus_block *block = &rr->plan.blocks[b];

    rr->is_undecided = true;
    for (uint32_t i = 0; i < block->n; i++)
        nx_read_failed(run_read(&rr->run), rr->plan.entries[block->first + i].item, err, why);
}

static void
give_bit(struct nx_read *rd, const struct modbus_entry *e, const struct modbus_block *block, const uint8_t *bits)
{
    unsigned at = (unsigned)e->addr->start - block->start;
    struct nx_value v = nx_value_bool((bits[at / 8] >> (at % 8) & 1) != 0);

    nx_read_value(rd, e->item, &v, NX_Q_GOOD, 0);
}

static void
give_register(struct nx_read *rd, const struct modbus_entry *e, const struct modbus_block *block, const uint8_t *regs)
{
    char text[MODBUS_TEXT_MAX];
    struct nx_value v;
    uint16_t quality = NX_Q_GOOD;

    if (modbus_value_decode(e->addr, regs + 2u * (unsigned)(e->addr->start - block->start), text, &v) != NX_OK) {
        v = nx_value_none();
        quality = NX_Q_SENSOR_FAILURE;
    }
    nx_read_value(rd, e->item, &v, quality, 0);
}

static void
give_block(struct read_run *rr, uint32_t b, struct slice data)
{
    const struct modbus_block block = rr->plan.blocks[b];

    for (uint32_t i = block.first; i < block.first + block.n; i++) {
        if (modbus_table_is_bits(block.table))
            give_bit(run_read(&rr->run), &rr->plan.entries[i], &block, data.p);
        else
            give_register(run_read(&rr->run), &rr->plan.entries[i], &block, data.p);
    }
    if (modbus_plan_hole(&rr->plan, b))
        modbus_plan_healed(&rr->plan, b);
}

static void
read_refused(struct modbus_dev *d, struct read_run *rr, uint32_t b, unsigned exception)
{
    if (modbus_plan_refused(&rr->plan, b, exception, nx_now_ms(d->dev) + d->probe_ms)) {
        nx_count(d->dev, NX_COUNT_SPLITS, 1);
        assert(rr->again_count < PIPELINE_MAX);
        rr->again[rr->again_count++] = b;
        return;
    }
    fail_refused(&rr->run, modbus_plan_hole(&rr->plan, b));
}

static void
read_reply(struct modbus_dev *d, struct read_run *rr, const struct slot *slot, const struct modbus_reply *reply)
{
    struct nx_note why;
    enum nx_err err;

    if (reply->exception == 0) {
        give_block(rr, slot->block, reply->data);
        return;
    }
    if (reply->exception <= MODBUS_EX_DEVICE) {
        read_refused(d, rr, slot->block, reply->exception);
        return;
    }
    err = modbus_exception_err(reply->exception);
    nx_fail(&why, err, "unit %u: exception %u, %s", d->unit, reply->exception, modbus_exception_text(reply->exception));
    if (err == NX_E_OFFLINE) /* the gateway is there, the unit behind it is not: nothing else will answer */
        run_finish(d, &rr->run, err, &why);
    else
        fail_block(rr, slot->block, err, &why);
}

static void
write_reply(struct modbus_dev *d, struct run *run, const struct slot *slot, const struct modbus_reply *reply)
{
    struct nx_note why;
    enum nx_err err;

    if (reply->exception == 0) {
        run_finish(d, run, NX_OK, NULL);
        return;
    }
    err = modbus_exception_err(reply->exception);
    if (reply->exception == MODBUS_EX_VALUE)
        err = NX_E_RANGE;
    nx_fail(&why, err, "write to address %u with function %u was refused by unit %u: exception %u, %s", slot->rq.start,
            slot->rq.fc, d->unit, reply->exception, modbus_exception_text(reply->exception));
    run_finish(d, run, err, &why);
}

static struct slot *
find_slot(struct modbus_dev *d, uint16_t tid)
{
    for (unsigned i = 0; i < d->pipeline; i++)
        if (d->slots[i].run && d->slots[i].rq.tid == tid)
            return &d->slots[i];
    return NULL;
}

static bool
is_expired(const struct modbus_dev *d, uint16_t tid)
{
    unsigned n = d->expired_count < EXPIRED_MAX ? d->expired_count : EXPIRED_MAX;

    for (unsigned i = 0; i < n; i++)
        if (d->expired[i] == tid)
            return true;
    return false;
}

static void
strike(struct modbus_dev *d, const char *what)
{
    struct nx_note why;

    if (++d->strikes < STRIKES_MAX)
        return;
    link_lost(d, nx_fail(&why, NX_E_PROTO, "%d replies in a row %s: reconnecting", STRIKES_MAX, what), &why);
}

static void
on_frame(struct modbus_dev *d, const struct modbus_frame *frame)
{
    struct slot *found = find_slot(d, frame->tid), slot;
    struct modbus_reply reply;
    struct nx_note why;
    enum nx_err err;

    if (!found) {
        nx_count(d->dev, NX_COUNT_STALE_REPLIES, 1);
        if (!is_expired(d, frame->tid))
            strike(d, "match no request");
        return;
    }
    slot = *found;
    found->run = NULL;
    d->in_flight--;
    slot.run->in_flight--;
    err = modbus_decode_reply(&slot.rq, frame, &reply, &why);
    if (err != NX_OK) {
        nx_count(d->dev, NX_COUNT_PROTO_ERRORS, 1);
        if (slot.run->op->kind == NX_OP_WRITE)
            run_finish(d, slot.run, err, &why);
        else
            fail_block((void *)slot.run, slot.block, err, &why);
        strike(d, "do not answer what was asked");
        return;
    }
    d->strikes = 0;
    if (reply.exception != 0)
        nx_count(d->dev, NX_COUNT_EXCEPTIONS, 1);
    if (slot.run->op->kind == NX_OP_WRITE)
        write_reply(d, slot.run, &slot, &reply);
    else
        read_reply(d, (void *)slot.run, &slot, &reply);
}

/* Handles every complete frame of in; what is left is the beginning of the next one. */
static struct slice
feed(struct modbus_dev *d, struct slice in)
{
    struct modbus_frame frame;
    struct nx_note why;
    enum nx_err err = NX_OK;

    while (d->state == UP && (err = modbus_next_frame(&in, &frame)) == NX_OK)
        on_frame(d, &frame);
    if (err == NX_E_PROTO) {
        nx_count(d->dev, NX_COUNT_PROTO_ERRORS, 1);
        link_lost(d, nx_fail(&why, NX_E_PROTO, "the device does not speak Modbus TCP (impossible frame header)"), &why);
    }
    return d->state == UP ? in : slice(NULL, 0);
}

static void
on_data(void *arg, const uint8_t *p, size_t len)
{
    struct modbus_dev *d = arg;
    struct slice in = slice(p, len), rest;

    enter(d);
    nx_count(d->dev, NX_COUNT_BYTES_IN, len);
    while (in.len > 0 && d->state == UP) {
        size_t n = sizeof d->rx - d->rx_len < in.len ? sizeof d->rx - d->rx_len : in.len;
        memcpy(d->rx + d->rx_len, in.p, n);
        in = slice_skip(in, n);
        rest = feed(d, slice(d->rx, d->rx_len + n));
        d->rx_len = rest.len;
        if (rest.len > 0)
            memmove(d->rx, rest.p, rest.len);
    }
    pump(d);
    leave(d);
}

/* --- the seven functions ---------------------------------------------------------------------------------- */

static void
on_open(void *arg)
{
    struct modbus_dev *d = arg;

    enter(d);
    d->state = UP;
    nx_link_up(d->dev);
    leave(d);
}

static void
on_down(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct modbus_dev *d = arg;

    enter(d);
    link_lost(d, err, why);
    leave(d);
}

static void
on_delay(void *arg)
{
    struct modbus_dev *d = arg;

    enter(d);
    pump(d);
    leave(d);
}

static enum nx_err
driver_open(struct nx_dev *dev, const struct nx_settings *s, struct nx_note *why)
{
    static const struct nx_stream_ops ops = {on_open, on_data, on_down};
    struct modbus_dev *d = nx_dev_state(dev);
    enum nx_err err;

    assert(d->state == CLOSED);
    *d = (struct modbus_dev){.dev = dev, .tid = d->tid};
    err = modbus_ranges_parse(&d->limits, nx_setting_string(s, "forbidden"), why);
    if (err != NX_OK)
        return err;
    d->limits.max_regs = (uint16_t)nx_setting_int(s, "max_registers");
    d->limits.max_bits = (uint16_t)nx_setting_int(s, "max_bits");
    d->limits.gap = (uint16_t)nx_setting_int(s, "gap");
    d->unit = (uint8_t)nx_setting_int(s, nx_setting_int(s, "slave_id") >= 0 ? "slave_id" : "unit_id");
    d->pipeline = (unsigned)nx_setting_int(s, "pipeline");
    d->is_multiple_only = nx_setting_int(s, "write_multiple") != 0;
    d->probe_ms = (uint64_t)nx_setting_int(s, "probe_interval");
    d->delay_ms = (uint64_t)nx_setting_int(s, "request_delay");
    if (d->delay_ms > 0)
        d->delay = nx_timer_new(dev, on_delay, d);
    d->state = OPENING;
    d->stream = nx_stream_tcp(dev, nx_setting_string(s, "host"), (uint16_t)nx_setting_int(s, "port"), &ops, d);
    return NX_OK;
}

static void
driver_close(struct nx_dev *dev)
{
    struct modbus_dev *d = nx_dev_state(dev);

    if (d->state == CLOSED)
        return;
    enter(d);
    d->state = CLOSED;
    if (d->stream)
        nx_stream_close(&d->stream);
    if (d->delay)
        nx_timer_free(&d->delay);
    finish_all(d, NX_E_CANCELED, NULL);
    d->is_closed_due = true;
    leave(d);
}

static void
refuse_offline(struct nx_op *op)
{
    nx_op_done(op, NX_E_OFFLINE, NULL);
}

static void
driver_read(struct nx_dev *dev, struct nx_read *rd)
{
    struct modbus_dev *d = nx_dev_state(dev);
    struct read_run *rr = rd->plan;

    if (d->state != UP) {
        refuse_offline(&rd->op);
        return;
    }
    enter(d);
    if (!rr) {
        rr = rd->plan = nx_read_alloc(rd, sizeof *rr);
        modbus_plan_init(&rr->plan, nx_read_alloc(rd, modbus_plan_bytes(rd->item_count)), &d->limits, rd->items,
                         rd->item_count);
    }
    rr->run = (struct run){.op = &rd->op};
    rr->next_block = 0;
    rr->again_count = 0;
    rr->probes = 0;
    rr->is_undecided = false;
    rd->op.driver_data = &rr->run;
    DL_APPEND(d->reads, &rr->run);
    pump(d);
    leave(d);
}

static void
driver_write(struct nx_dev *dev, struct nx_write *op)
{
    struct modbus_dev *d = nx_dev_state(dev);
    struct write_run *wr;
    struct nx_note why;
    enum nx_err err;

    if (d->state != UP) {
        refuse_offline(&op->op);
        return;
    }
    wr = mem_alloc(sizeof *wr);
    err = modbus_write_init(&wr->write, op->addr, &op->value, d->is_multiple_only, &why);
    if (err != NX_OK) {
        free(wr);
        nx_op_done(&op->op, err, &why);
        return;
    }
    enter(d);
    wr->run.op = &op->op;
    op->op.driver_data = &wr->run;
    DL_APPEND(d->writes, &wr->run);
    pump(d);
    leave(d);
}

static void
driver_cancel(struct nx_dev *dev, struct nx_op *op, enum nx_err err)
{
    struct modbus_dev *d = nx_dev_state(dev);

    if (!op->driver_data)
        return;
    enter(d);
    run_finish(d, op->driver_data, err, NULL);
    pump(d);
    leave(d);
}

static const struct nx_param params[] = {
    {.key = "host", .type = NX_PARAM_STRING, .is_required = true, .help = "Host name or address of the device."},
    {.key = "port", .type = NX_PARAM_INT, .def = "502", .min = 1, .max = 65535, .help = "TCP port."},
    {.key = "unit_id",
     .type = NX_PARAM_INT,
     .def = "1",
     .min = 0,
     .max = 255,
     .help = "Unit identifier: 1 to 247 behind a gateway, often 1 or 255 for a device of its own."},
    {.key = "slave_id",
     .type = NX_PARAM_INT,
     .def = "-1",
     .min = -1,
     .max = 255,
     .help = "Older name of unit_id; wins when it is not -1."},
    {.key = "max_registers",
     .type = NX_PARAM_INT,
     .def = "125",
     .min = 1,
     .max = MODBUS_READ_REGS_MAX,
     .unit = "registers",
     .help = "Most registers in one request; some devices allow fewer than the protocol."},
    {.key = "max_bits",
     .type = NX_PARAM_INT,
     .def = "2000",
     .min = 1,
     .max = MODBUS_READ_BITS_MAX,
     .unit = "bits",
     .help = "Most coils or discrete inputs in one request."},
    {.key = "gap",
     .type = NX_PARAM_INT,
     .def = "16",
     .min = 0,
     .max = MODBUS_READ_REGS_MAX,
     .unit = "registers",
     .help = "Two tags are read in one request when at most this many unused registers lie between them; 0 for devices "
             "that answer wrongly when unused registers are read."},
    {.key = "forbidden",
     .type = NX_PARAM_STRING,
     .help = "Wire addresses that are never read to fill a gap: \"holding:100-110, input:5\"."},
    {.key = "pipeline",
     .type = NX_PARAM_INT,
     .def = "1",
     .min = 1,
     .max = PIPELINE_MAX,
     .unit = "requests",
     .help =
         "Requests on the way at the same time. More than 1 only for devices known to keep transaction identifiers."},
    {.key = "request_delay",
     .type = NX_PARAM_DURATION,
     .def = "0ms",
     .min = 0,
     .max = 10000,
     .help = "Least time from one request to the next, for devices that cannot follow."},
    {.key = "probe_interval",
     .type = NX_PARAM_DURATION,
     .def = "60s",
     .min = 1000,
     .max = 86400000,
     .help = "How often a register that the device has refused is asked for again."},
    {.key = "write_multiple",
     .type = NX_PARAM_BOOL,
     .def = "false",
     .help = "Write single coils and registers with functions 15 and 16 too, for devices without 5 and 6."},
    {.key = NULL},
};

const struct nx_driver modbus_tcp_driver = {
    .abi = NX_DRIVER_ABI,
    .size = sizeof(struct nx_driver),
    .name = "modbus-tcp",
    .summary = "Modbus TCP client: coils, discrete inputs, input and holding registers",
    .params = params,
    .tag_params = modbus_tag_params,
    .dev_size = sizeof(struct modbus_dev),
    .addr_size = sizeof(struct modbus_addr),
    .addr_parse = modbus_addr_parse,
    .open = driver_open,
    .close = driver_close,
    .read = driver_read,
    .cancel = driver_cancel,
    .write = driver_write,
};
