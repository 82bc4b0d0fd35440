/* modbus_tell.c -- what the driver says to people: the requests of a read list, the meaning of bytes on the line. */
#include "modbus_device.h"
#include "modbus_value.h"

#include <inttypes.h>
#include <stdio.h>

#define SHOWN_BYTES 16u

/* --- explain ---------------------------------------------------------------------------------------------------- */

static unsigned
data_bytes(unsigned table, unsigned count)
{
    return modbus_table_is_bits(table) ? (count + 7) / 8 : count * 2;
}

static void
explain_block(const struct modbus_plan *plan, const struct modbus_block *b, enum modbus_framing framing,
              uint32_t *items, struct nx_plan *out)
{
    struct modbus_request rq = {.fc = modbus_read_fc(b->table), .start = b->start, .count = b->count};
    const struct modbus_entry *first = &plan->entries[b->first];
    unsigned waste = modbus_plan_waste(plan, b);
    char text[80], hole[80];
    struct nx_plan_request told = {.text = text, .items = items, .item_count = b->n};

    for (uint32_t i = 0; i < b->n; i++)
        items[i] = first[i].item;
    snprintf(text, sizeof text, b->count > 1 ? "read %s %u-%u" : "read %s %u", modbus_table_name(b->table), b->start,
             b->start + b->count - 1u);
    snprintf(hole, sizeof hole, "exception %u, %s", first->exception, modbus_exception_text(first->exception));
    told.bytes_out = 5 + modbus_frame_overhead(framing);
    told.bytes_in = (uint32_t)modbus_reply_bytes(&rq) + modbus_frame_overhead(framing);
    told.gap_bytes = data_bytes(b->table, b->count) - data_bytes(b->table, b->count - waste);
    told.hole = first->exception != 0 ? hole : NULL;
    nx_plan_add(out, &told);
}

void
modbus_explain(struct nx_dev *dev, struct nx_read *rd, struct nx_plan *out)
{
    uint32_t *items;
    const struct modbus_plan *plan = modbus_read_plan(dev, rd, &items);
    const struct modbus_device *d = nx_dev_state(dev);

    for (uint32_t b = 0; b < plan->block_count; b++)
        explain_block(plan, &plan->blocks[b], d->framing, items, out);
}

/* --- dissect ------------------------------------------------------------------------------------------------------ */

static const char *
function_name(unsigned fc)
{
    switch (fc) {
    case MODBUS_READ_COILS:
        return "read coil";
    case MODBUS_READ_DISCRETE:
        return "read discrete";
    case MODBUS_READ_HOLDING:
        return "read holding";
    case MODBUS_READ_INPUT:
        return "read input";
    case MODBUS_WRITE_COIL:
    case MODBUS_WRITE_COILS:
        return "write coil";
    case MODBUS_MASK_WRITE:
        return "write bits of holding";
    case MODBUS_READ_WRITE:
        return "write and read holding";
    default:
        return "write holding";
    }
}

static unsigned
function_table(unsigned fc)
{
    switch (fc) {
    case MODBUS_READ_COILS:
    case MODBUS_WRITE_COIL:
    case MODBUS_WRITE_COILS:
        return MODBUS_COIL;
    case MODBUS_READ_DISCRETE:
        return MODBUS_DISCRETE;
    case MODBUS_READ_INPUT:
        return MODBUS_INPUT;
    default:
        return MODBUS_HOLDING;
    }
}

/* Looks for the reply at every offset: what arrived may begin with our own echo or the end of another frame. */
static bool
find_reply(enum modbus_framing framing, bool has_no_tid, const struct modbus_request *rq, struct slice in,
           struct modbus_reply *reply)
{
    for (; in.len > 0; in = slice_skip(in, 1)) {
        struct slice rest = in;
        struct modbus_frame frame;
        if (modbus_frame_next(framing, &rest, &frame) == NX_OK && (has_no_tid || frame.tid == rq->tid) &&
            modbus_decode_reply(rq, &frame, reply, NULL) == NX_OK)
            return true;
    }
    return false;
}

static void
tell_exchange(const struct modbus_request *rq, const struct modbus_reply *reply, struct wbuf *w)
{
    wbuf_printf(w, "unit %u %s %u", rq->unit, function_name(rq->fc), rq->start);
    if (rq->count > 1)
        wbuf_printf(w, "-%u", rq->start + rq->count - 1u);
    if (!reply)
        wbuf_str(w, ": no answer to it here");
    else if (reply->exception != 0)
        wbuf_printf(w, ": exception %u, %s", reply->exception, modbus_exception_text(reply->exception));
    else if (reply->data.len > 0)
        wbuf_printf(w, ": %zu bytes", reply->data.len);
    else
        wbuf_str(w, ": done");
}

static void
tell_registers(const struct modbus_addr *addr, const uint8_t *p, struct wbuf *w)
{
    char text[MODBUS_TEXT_MAX];
    struct nx_value v;
    struct nx_note why;
    unsigned bytes = addr->count * 2u;

    for (unsigned i = 0; i < bytes && i < SHOWN_BYTES; i++)
        wbuf_printf(w, "%02X ", p[i]);
    wbuf_str(w, bytes > SHOWN_BYTES ? "... = " : "= ");
    if (modbus_value_decode(addr, p, text, &v, &why) == NX_OK)
        wbuf_json_value(w, &v);
    else
        wbuf_printf(w, "no value: %s", why.text);
}

/* Registers as they were read, or as they were written when the device agreed. */
static struct slice
carried(const struct modbus_request *rq, const struct modbus_reply *reply)
{
    if (modbus_fc_is_read(rq->fc) || rq->fc == MODBUS_READ_WRITE)
        return reply->data;
    return rq->fc == MODBUS_MASK_WRITE ? slice(NULL, 0) : rq->data;
}

static bool
tell_address(const struct modbus_request *rq, const struct modbus_reply *reply, const struct modbus_addr *addr,
             struct wbuf *w)
{
    struct slice data = carried(rq, reply);
    unsigned at = (unsigned)addr->start - rq->start;

    if (addr->table != function_table(rq->fc) || addr->start < rq->start || at + addr->count > rq->count)
        return false;
    if (reply->exception != 0) {
        wbuf_printf(w, "refused: exception %u, %s", reply->exception, modbus_exception_text(reply->exception));
    } else if (data.len == 0) {
        wbuf_printf(w, "mask %02X %02X %02X %02X", rq->data.p[0], rq->data.p[1], rq->data.p[2], rq->data.p[3]);
    } else if (modbus_table_is_bits(addr->table)) {
        bool on = rq->fc == MODBUS_WRITE_COIL ? data.p[0] != 0 : (data.p[at / 8] >> (at % 8) & 1) != 0;
        wbuf_printf(w, "bit %u = %s", at, on ? "true" : "false");
    } else {
        tell_registers(addr, data.p + 2u * at, w);
    }
    return true;
}

bool
modbus_dissect(enum modbus_framing framing, bool has_no_tid, const struct nx_exchange *x, const void *addr, char *text,
               size_t cap)
{
    uint8_t room[1024];
    struct wbuf w = wbuf_fixed(room, sizeof room - 1);
    struct modbus_request rq;
    struct modbus_reply reply;
    bool is_answered, is_told = true;

    if (modbus_frame_request(framing, slice(x->out, x->out_len), &rq) != NX_OK) {
        snprintf(text, cap, "%s", "");
        return false;
    }
    is_answered = find_reply(framing, has_no_tid, &rq, slice(x->in, x->in_len), &reply);
    if (!addr)
        tell_exchange(&rq, is_answered ? &reply : NULL, &w);
    else
        is_told = is_answered && rq.unit == modbus_unit_of(x->settings) && tell_address(&rq, &reply, addr, &w);
    snprintf(text, cap, "%.*s", (int)w.len, (const char *)room);
    return is_told;
}
