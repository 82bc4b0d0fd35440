/* modbus_read.c -- a read list runs through the blocks of its plan; refusals and answers teach the plan. */
#include "base/mem.h"
#include "modbus_device.h"
#include "modbus_value.h"

#include <assert.h>
#include <stdlib.h>

#define PROBES_PER_POLL   4  /* of holes */
#define PROBES_AFTER_HEAL 32 /* of holes, when another one has come back */
#define AGAIN_MAX         32
#define SPLITS_PER_POLL   512

/* Lives in the plan memory of its read list. */
struct read_run {
    struct modbus_run run;
    struct modbus_plan plan;
    struct modbus_device *device;
    uint32_t *told; /* for explain(); NULL until then */
    uint32_t next_block;
    uint32_t again[AGAIN_MAX]; /* halves of blocks that were just split, the next to ask last */
    unsigned again_count;
    unsigned probes, due_probes, splits; /* in this poll */
    bool is_next_wanted;                 /* next_block is to be asked for: decided once, it counts probes */
    bool is_undecided;                   /* a block was neither read nor refused in this poll */
};

static struct nx_read *
read_of(struct read_run *rr)
{
    return (struct nx_read *)(void *)rr->run.op;
}

static uint64_t
next_probe_ms(struct read_run *rr)
{
    return nx_now_ms(nx_link_of(rr->device->peer.dev)) + rr->device->probe_ms;
}

static void
fail_refused(struct read_run *rr, const struct modbus_entry *e)
{
    enum nx_err err = modbus_exception_err(e->exception);
    struct nx_note why;

    nx_fail(&why, err, "%s:%u (%u) was refused by the device: exception %u, %s", modbus_table_name(e->addr.table),
            e->addr.start, modbus_addr_modicon(e->addr.table, e->addr.start), e->exception,
            modbus_exception_text(e->exception));
    nx_read_failed(read_of(rr), e->item, err, &why);
}

/* A hole is left alone until its probe is due, and only a few are probed in one poll: asking for what is not there
 * must not cost the other tags their time. */
static bool
wants_request(struct read_run *rr, uint32_t b)
{
    const struct modbus_entry *hole = modbus_plan_hole(&rr->plan, b);

    if (!hole)
        return true;
    if (hole->probe_ms == 0 && rr->due_probes < PROBES_AFTER_HEAL) {
        rr->due_probes++;
        return true;
    }
    if (hole->probe_ms != 0 && hole->probe_ms <= nx_now_ms(nx_link_of(rr->device->peer.dev)) &&
        rr->probes < PROBES_PER_POLL) {
        rr->probes++;
        return true;
    }
    fail_refused(rr, hole);
    return false;
}

static bool
read_has_more(struct modbus_run *run)
{
    struct read_run *rr = (void *)run;

    while (!rr->is_next_wanted && rr->next_block < rr->plan.block_count) {
        rr->is_next_wanted = !rr->plan.blocks[rr->next_block].is_taken && wants_request(rr, rr->next_block);
        if (!rr->is_next_wanted)
            rr->next_block++;
    }
    return rr->again_count > 0 || rr->is_next_wanted;
}

uint8_t
modbus_read_fc(unsigned table)
{
    static const uint8_t fc[MODBUS_TABLES] = {MODBUS_READ_COILS, MODBUS_READ_DISCRETE, MODBUS_READ_INPUT,
                                              MODBUS_READ_HOLDING};
    return fc[table];
}

static void
read_next(struct modbus_run *run, struct modbus_request *rq, uint32_t *out)
{
    struct read_run *rr = (void *)run;
    const struct modbus_block *block;
    uint32_t b;

    if (rr->again_count > 0) {
        b = rr->again[--rr->again_count];
    } else {
        b = rr->next_block++;
        rr->is_next_wanted = false;
    }
    modbus_plan_fit(&rr->plan, b);
    block = &rr->plan.blocks[b];
    *rq = (struct modbus_request){.fc = modbus_read_fc(block->table), .start = block->start, .count = block->count};
    *out = b;
}

static void
fail_block(struct read_run *rr, uint32_t b, enum nx_err err, const struct nx_note *why)
{
    const struct modbus_block *block = &rr->plan.blocks[b];

    rr->is_undecided = true;
    for (uint32_t i = 0; i < block->n; i++)
        nx_read_failed(read_of(rr), rr->plan.entries[block->first + i].item, err, why);
}

static void
give_bits(struct read_run *rr, const struct modbus_block *block, const uint8_t *bits)
{
    const struct modbus_entry *e = &rr->plan.entries[block->first];

    for (const struct modbus_entry *end = e + block->n; e < end; e++) {
        unsigned at = (unsigned)e->addr.start - block->start;
        struct nx_value v = nx_value_bool((bits[at / 8] >> (at % 8) & 1) != 0);
        nx_read_value(read_of(rr), e->item, &v, NX_Q_GOOD, 0);
    }
}

static void
give_worthless(struct read_run *rr, const struct modbus_entry *e, const struct nx_note *why)
{
    struct nx_value none = nx_value_none();

    if (e->addr.is_bcd)
        nx_read_failed(read_of(rr), e->item, NX_E_VALUE, why);
    else
        nx_read_value(read_of(rr), e->item, &none, NX_Q_SENSOR_FAILURE, 0);
}

static void
give_registers(struct read_run *rr, const struct modbus_block *block, const uint8_t *regs)
{
    const struct modbus_entry *e = &rr->plan.entries[block->first];
    char text[MODBUS_TEXT_MAX];
    struct nx_value v;
    struct nx_note why;

    for (const struct modbus_entry *end = e + block->n; e < end; e++) {
        const uint8_t *p = regs + 2u * (unsigned)(e->addr.start - block->start);
        if (modbus_value_decode(&e->addr, p, text, &v, &why) == NX_OK)
            nx_read_value(read_of(rr), e->item, &v, NX_Q_GOOD, 0);
        else
            give_worthless(rr, e, &why);
    }
}

/* The second half is the last block: when there is no room it has its turn at the end. The first half's is over, so it
 * has to find room: there is as much as requests on the way, before halves are put in. */
static void
ask_halves(struct read_run *rr, uint32_t first)
{
    uint32_t second = rr->plan.block_count - 1;

    if (rr->again_count < AGAIN_MAX - MODBUS_PIPELINE_MAX) {
        rr->again[rr->again_count++] = second;
        rr->plan.blocks[second].is_taken = true;
    }
    assert(rr->again_count < AGAIN_MAX);
    rr->again[rr->again_count++] = first;
}

static void
read_refused(struct read_run *rr, uint32_t b, unsigned exception)
{
    struct nx_note why;

    if (rr->plan.blocks[b].n > 1 && rr->splits == SPLITS_PER_POLL) { /* the next poll goes on from here */
        fail_block(rr, b, modbus_exception_err(exception),
                   (nx_fail(&why, modbus_exception_err(exception),
                            "exception %u, %s: looking for the address that is "
                            "refused",
                            exception, modbus_exception_text(exception)),
                    &why));
        return;
    }
    if (modbus_plan_refused(&rr->plan, b, exception, next_probe_ms(rr))) {
        rr->splits++;
        nx_count(rr->device->peer.dev, NX_COUNT_SPLITS, 1);
        ask_halves(rr, b);
        return;
    }
    fail_refused(rr, modbus_plan_hole(&rr->plan, b));
}

static bool
read_exception(struct read_run *rr, uint32_t b, unsigned exception)
{
    enum nx_err err = modbus_exception_err(exception);
    struct nx_note why;

    if (exception <= MODBUS_EX_DEVICE) {
        read_refused(rr, b, exception);
        return true;
    }
    nx_fail(&why, err, "unit %u: exception %u, %s", rr->device->peer.unit, exception, modbus_exception_text(exception));
    if (err == NX_E_OFFLINE) { /* the gateway is there, the unit behind it is not: nothing else will answer */
        modbus_link_end(modbus_link_of(rr->device->peer.dev), &rr->run, err, &why);
        return false;
    }
    fail_block(rr, b, err, &why);
    return true;
}

static bool
read_answer(struct modbus_run *run, const struct modbus_slot *slot, enum nx_err err, const struct modbus_reply *reply,
            const struct nx_note *why)
{
    struct read_run *rr = (void *)run;
    const struct modbus_block *block = &rr->plan.blocks[slot->block];

    if (err != NX_OK) {
        fail_block(rr, slot->block, err, why);
        return true;
    }
    if (reply->exception != 0)
        return read_exception(rr, slot->block, reply->exception);
    if (modbus_table_is_bits(block->table))
        give_bits(rr, block, reply->data.p);
    else
        give_registers(rr, block, reply->data.p);
    modbus_plan_answered(&rr->plan, slot->block);
    return true;
}

/* Tells the host what is known now, when it has changed. */
static void
remember(struct modbus_device *d)
{
    struct wbuf text = wbuf_init(NX_LEARNED_MAX);

    if (d->facts.is_dirty) {
        modbus_facts_write(&d->facts, &text);
        nx_learned(d->peer.dev, wbuf_cstr(&text));
    }
    wbuf_free(&text);
}

static void
read_finish(struct modbus_run *run)
{
    struct read_run *rr = (void *)run;

    if (!rr->is_undecided) {
        modbus_plan_settle(&rr->plan);
        remember(rr->device);
    }
    modbus_link_end(modbus_link_of(rr->device->peer.dev), run, NX_OK, NULL);
}

/* --- begin ----------------------------------------------------------------------------------------------------- */

static struct read_run *
run_of(struct nx_dev *dev, struct nx_read *rd)
{
    struct modbus_device *d = nx_dev_state(dev);
    struct read_run *rr = rd->plan;

    if (rr)
        return rr;
    rr = rd->plan = nx_read_alloc(rd, sizeof *rr);
    rr->device = d;
    modbus_plan_init(&rr->plan, nx_read_alloc(rd, modbus_plan_bytes(rd->item_count)), &d->limits, &d->facts, rd->items,
                     rd->item_count, next_probe_ms(rr));
    return rr;
}

struct modbus_plan *
modbus_read_plan(struct nx_dev *dev, struct nx_read *rd, uint32_t **items)
{
    struct read_run *rr = run_of(dev, rd);

    if (!rr->told)
        rr->told = nx_read_alloc(rd, rd->item_count * sizeof *rr->told);
    *items = rr->told;
    return &rr->plan;
}

static void
doubt_what_was_learned(struct modbus_device *d, uint64_t now_ms)
{
    if (now_ms < d->relearn_ms)
        return;
    d->relearn_ms = now_ms + MODBUS_RELEARN_PROBES * d->probe_ms;
    modbus_facts_relearn(&d->facts, d->limits.max_regs, d->limits.max_bits);
}

static void
begin(struct read_run *rr, struct nx_read *rd)
{
    static const struct modbus_run_ops ops = {read_has_more, read_next, read_answer, read_finish};

    rr->run = (struct modbus_run){.ops = &ops, .op = &rd->op, .peer = &rr->device->peer};
    rr->run.class = rd->op.priority < 2 ? rd->op.priority : 2;
    rr->next_block = 0;
    rr->is_next_wanted = false;
    rr->again_count = rr->probes = rr->due_probes = rr->splits = 0;
    rr->is_undecided = false;
    modbus_plan_begin(&rr->plan);
}

void
modbus_read(struct nx_dev *dev, struct nx_read *rd)
{
    struct modbus_link *ln = modbus_link_of(dev);
    struct modbus_device *d = nx_dev_state(dev);
    struct nx_note why;

    if (ln->state != MODBUS_UP) {
        nx_op_done(&rd->op, NX_E_OFFLINE, NULL);
        return;
    }
    if (ln->conf.is_serial && d->peer.unit == 0) {
        nx_op_done(&rd->op, NX_E_CONFIG,
                   (nx_fail(&why, NX_E_CONFIG, "unit_id 0 is a broadcast: it can be written, but nobody answers"),
                    &why));
        return;
    }
    doubt_what_was_learned(d, nx_now_ms(nx_link_of(dev)));
    begin(run_of(dev, rd), rd);
    modbus_link_add(ln, &((struct read_run *)rd->plan)->run);
}
