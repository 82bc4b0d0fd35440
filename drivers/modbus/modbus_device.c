/* modbus_device.c -- settings of a device, and its writes. Reads are modbus_read.c. */
#include "modbus_device.h"

#include "base/mem.h"
#include "modbus_write.h"

#include <stdlib.h>

struct write_run {
    struct modbus_run run;
    struct modbus_write write;
    bool is_sent;
};

static void *
alloc(void *dev, size_t size)
{
    return nx_dev_alloc(dev, size);
}

uint8_t
modbus_unit_of(const struct nx_settings *s)
{
    return (uint8_t)nx_setting_int(s, nx_setting_int(s, "slave_id") >= 0 ? "slave_id" : "unit_id");
}

enum nx_err
modbus_attach(struct nx_dev *dev, enum modbus_framing framing, const struct nx_settings *s, const char *learned,
              struct nx_note *why)
{
    struct modbus_device *d = nx_dev_state(dev);
    const char *forbidden = nx_setting_string(s, "forbidden");

    *d = (struct modbus_device){.peer.dev = dev, .facts.alloc = alloc, .facts.arg = dev, .framing = framing};
    if (forbidden && forbidden[0] != '\0') {
        enum nx_err err;
        d->limits.ranges = nx_dev_alloc(dev, MODBUS_RANGES_MAX * sizeof *d->limits.ranges);
        err = modbus_ranges_parse(&d->limits, forbidden, why);
        if (err != NX_OK)
            return err;
    }
    d->limits.max_regs = (uint16_t)nx_setting_int(s, "max_registers");
    d->limits.max_bits = (uint16_t)nx_setting_int(s, "max_bits");
    d->limits.gap = (uint16_t)nx_setting_int(s, "gap");
    d->peer.unit = modbus_unit_of(s);
    d->is_multiple_only = nx_setting_int(s, "write_multiple") != 0;
    d->probe_ms = (uint64_t)nx_setting_int(s, "probe_interval");
    d->relearn_ms = nx_now_ms(nx_link_of(dev)) + MODBUS_RELEARN_PROBES * d->probe_ms;
    modbus_facts_init(&d->facts, d->limits.max_regs, d->limits.max_bits);
    modbus_facts_read(&d->facts, learned);
    return NX_OK;
}

/* --- writes --------------------------------------------------------------------------------------------------- */

static bool
write_has_more(struct modbus_run *run)
{
    return !((struct write_run *)(void *)run)->is_sent;
}

static void
write_next(struct modbus_run *run, struct modbus_request *rq, uint32_t *block)
{
    struct write_run *wr = (void *)run;

    wr->is_sent = true;
    *rq = wr->write.rq;
    *block = 0;
}

static bool
write_answer(struct modbus_run *run, const struct modbus_slot *slot, enum nx_err err, const struct modbus_reply *reply,
             const struct nx_note *why)
{
    struct modbus_link *ln = modbus_link_of(run->peer->dev);
    struct nx_note note;

    if (err != NX_OK) {
        modbus_link_end(ln, run, err, why);
        return false;
    }
    if (reply->exception != 0) {
        err = reply->exception == MODBUS_EX_VALUE ? NX_E_RANGE : modbus_exception_err(reply->exception);
        nx_fail(&note, err, "write to address %u with function %u was refused by unit %u: exception %u, %s",
                slot->rq.start, slot->rq.fc, run->peer->unit, reply->exception,
                modbus_exception_text(reply->exception));
    } else {
        err = modbus_write_check(&slot->rq, reply, &note);
    }
    modbus_link_end(ln, run, err, err == NX_OK ? NULL : &note);
    return false;
}

/* Only a broadcast has no answer, and that is ended by the link. */
static void
write_finish(struct modbus_run *run)
{
    modbus_link_end(modbus_link_of(run->peer->dev), run, NX_OK, NULL);
}

void
modbus_write(struct nx_dev *dev, struct nx_write *op)
{
    static const struct modbus_run_ops ops = {write_has_more, write_next, write_answer, write_finish};
    struct modbus_device *d = nx_dev_state(dev);
    struct modbus_link *ln = modbus_link_of(dev);
    struct write_run *wr;
    struct nx_note why;
    enum nx_err err;

    if (ln->state != MODBUS_UP) {
        nx_op_done(&op->op, NX_E_OFFLINE, NULL);
        return;
    }
    wr = mem_alloc(sizeof *wr);
    err = modbus_write_init(&wr->write, op->addr, &op->value, d->is_multiple_only, &why);
    if (err != NX_OK) {
        free(wr);
        nx_op_done(&op->op, err, &why);
        return;
    }
    wr->run = (struct modbus_run){.ops = &ops, .op = &op->op, .peer = &d->peer};
    wr->run.class = MODBUS_CLASSES / 2 + (op->op.priority < 2 ? op->op.priority : 2);
    modbus_link_add(ln, &wr->run);
}

void
modbus_cancel(struct nx_dev *dev, struct nx_op *op, enum nx_err err)
{
    if (op->driver_data)
        modbus_link_cancel(modbus_link_of(dev), op->driver_data, err);
}
