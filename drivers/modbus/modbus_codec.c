#include "modbus_codec.h"

#include "base/rbuf.h"
#include "base/wbuf.h"

#include <assert.h>

#define EXCEPTION_BIT 0x80u

static const struct {
    uint8_t code;
    enum nx_err err;
    const char *text;
} exceptions[] = {
    {MODBUS_EX_FUNCTION, NX_E_UNSUPPORTED, "illegal function"},
    {MODBUS_EX_ADDRESS, NX_E_ADDRESS, "illegal data address"},
    {MODBUS_EX_VALUE, NX_E_ADDRESS, "illegal data value"},
    {MODBUS_EX_DEVICE, NX_E_DEVICE, "server device failure"},
    {MODBUS_EX_ACKNOWLEDGE, NX_E_BUSY, "acknowledge, still working"},
    {MODBUS_EX_BUSY, NX_E_BUSY, "server device busy"},
    {MODBUS_EX_NAK, NX_E_DEVICE, "negative acknowledge"},
    {MODBUS_EX_PARITY, NX_E_DEVICE, "memory parity error"},
    {MODBUS_EX_GATEWAY_PATH, NX_E_OFFLINE, "gateway path unavailable"},
    {MODBUS_EX_GATEWAY_TARGET, NX_E_OFFLINE, "gateway target device failed to respond"},
};

const char *
modbus_exception_text(unsigned exception)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
        if (exceptions[i].code == exception)
            return exceptions[i].text;
    return "unknown exception";
}

enum nx_err
modbus_exception_err(unsigned exception)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
        if (exceptions[i].code == exception)
            return exceptions[i].err;
    return NX_E_DEVICE;
}

static void
put_registers(struct wbuf *w, const struct modbus_request *rq)
{
    assert(rq->count >= 1 && rq->count <= MODBUS_WRITE_REGS_MAX && rq->data.len == rq->count * 2u);
    wbuf_be16(w, rq->count);
    wbuf_u8(w, (unsigned)rq->data.len);
    wbuf_slice(w, rq->data);
}

static void
put_body(struct wbuf *w, const struct modbus_request *rq)
{
    wbuf_be16(w, rq->start);
    switch (rq->fc) {
    case MODBUS_READ_COILS:
    case MODBUS_READ_DISCRETE:
        assert(rq->count >= 1 && rq->count <= MODBUS_READ_BITS_MAX);
        wbuf_be16(w, rq->count);
        break;
    case MODBUS_READ_HOLDING:
    case MODBUS_READ_INPUT:
        assert(rq->count >= 1 && rq->count <= MODBUS_READ_REGS_MAX);
        wbuf_be16(w, rq->count);
        break;
    case MODBUS_WRITE_COIL:
    case MODBUS_WRITE_REGISTER:
        assert(rq->data.len == 2);
        wbuf_slice(w, rq->data);
        break;
    case MODBUS_MASK_WRITE:
        assert(rq->data.len == 4);
        wbuf_slice(w, rq->data);
        break;
    case MODBUS_WRITE_COILS:
        assert(rq->count >= 1 && rq->count <= MODBUS_WRITE_BITS_MAX && rq->data.len == (rq->count + 7u) / 8u);
        wbuf_be16(w, rq->count);
        wbuf_u8(w, (unsigned)rq->data.len);
        wbuf_slice(w, rq->data);
        break;
    case MODBUS_READ_WRITE: /* AP 6.17: what to read goes first, the device writes first */
        assert(rq->count <= MODBUS_RW_REGS_MAX);
        wbuf_be16(w, rq->count);
        wbuf_be16(w, rq->start);
        put_registers(w, rq);
        break;
    case MODBUS_WRITE_REGISTERS:
        put_registers(w, rq);
        break;
    default:
        assert(false);
    }
}

size_t
modbus_encode_request(const struct modbus_request *rq, uint8_t out[MODBUS_PDU_MAX])
{
    struct wbuf w = wbuf_fixed(out, MODBUS_PDU_MAX);

    wbuf_u8(&w, rq->fc);
    put_body(&w, rq);
    assert(!w.failed);
    return w.len;
}

static void
take_counted(struct rbuf *r, struct modbus_request *rq)
{
    rq->count = rbuf_be16(r);
    rq->data = rbuf_take(r, rbuf_u8(r));
}

static bool
is_possible(const struct modbus_request *rq)
{
    switch (rq->fc) {
    case MODBUS_READ_COILS:
    case MODBUS_READ_DISCRETE:
        return rq->count >= 1 && rq->count <= MODBUS_READ_BITS_MAX;
    case MODBUS_READ_HOLDING:
    case MODBUS_READ_INPUT:
        return rq->count >= 1 && rq->count <= MODBUS_READ_REGS_MAX;
    case MODBUS_WRITE_COILS:
        return rq->count >= 1 && rq->count <= MODBUS_WRITE_BITS_MAX && rq->data.len == (rq->count + 7u) / 8u;
    case MODBUS_WRITE_REGISTERS:
        return rq->count >= 1 && rq->count <= MODBUS_WRITE_REGS_MAX && rq->data.len == rq->count * 2u;
    case MODBUS_READ_WRITE:
        return rq->count >= 1 && rq->count <= MODBUS_RW_REGS_MAX && rq->data.len == rq->count * 2u;
    default:
        return true;
    }
}

enum nx_err
modbus_decode_request(struct slice pdu, struct modbus_request *rq)
{
    struct rbuf r = rbuf_init(pdu);

    rq->fc = rbuf_u8(&r);
    rq->start = rbuf_be16(&r);
    rq->count = 1;
    rq->data = slice(NULL, 0);
    if (modbus_fc_is_read(rq->fc)) {
        rq->count = rbuf_be16(&r);
    } else if (rq->fc == MODBUS_WRITE_COIL || rq->fc == MODBUS_WRITE_REGISTER) {
        rq->data = rbuf_take(&r, 2);
    } else if (rq->fc == MODBUS_MASK_WRITE) {
        rq->data = rbuf_take(&r, 4);
    } else if (rq->fc == MODBUS_WRITE_COILS || rq->fc == MODBUS_WRITE_REGISTERS) {
        take_counted(&r, rq);
    } else if (rq->fc == MODBUS_READ_WRITE) {
        uint16_t read_count = rbuf_be16(&r), write_start = rbuf_be16(&r);
        take_counted(&r, rq);
        if (read_count != rq->count || write_start != rq->start)
            return NX_E_PROTO;
    } else {
        return NX_E_PROTO;
    }
    return rbuf_finish(&r) == NX_OK && is_possible(rq) ? NX_OK : NX_E_PROTO;
}

size_t
modbus_reply_bytes(const struct modbus_request *rq)
{
    if (modbus_fc_is_bits(rq->fc))
        return 2u + (rq->count + 7u) / 8u;
    if (modbus_fc_is_read(rq->fc) || rq->fc == MODBUS_READ_WRITE)
        return 2u + 2u * rq->count;
    return rq->fc == MODBUS_MASK_WRITE ? 7 : 5;
}

/* AP 6.1 to 6.4, 6.17: byte count, then the data. */
static enum nx_err
decode_read(const struct modbus_request *rq, struct rbuf *r, struct modbus_reply *reply, struct nx_note *why)
{
    bool is_bits = modbus_fc_is_bits(rq->fc);
    size_t want = is_bits ? (rq->count + 7u) / 8u : rq->count * 2u, bytes = rbuf_u8(r), left = rbuf_left(r);

    if (bytes != want || left != want)
        return nx_fail(why, NX_E_PROTO,
                       "reply to function %u has byte count %zu and %zu bytes of data, expected %zu for %u %s at %u",
                       rq->fc, bytes, left, want, rq->count, is_bits ? "bits" : "registers", rq->start);
    reply->data = rbuf_take(r, want);
    return rbuf_finish(r);
}

/* AP 6.5, 6.6, 6.11, 6.12, 6.16: the reply repeats the address and the value (or the count). */
static enum nx_err
decode_write(const struct modbus_request *rq, struct rbuf *r, struct nx_note *why)
{
    bool is_counted = rq->fc == MODBUS_WRITE_COILS || rq->fc == MODBUS_WRITE_REGISTERS;
    uint16_t start = rbuf_be16(r);
    bool is_same = start == rq->start;

    if (is_counted)
        is_same = is_same && rbuf_be16(r) == rq->count;
    else
        is_same = is_same && slice_eq(rbuf_take(r, rq->data.len), rq->data);
    if (!is_same || rbuf_finish(r) != NX_OK)
        return nx_fail(why, NX_E_PROTO, "reply to function %u does not repeat the request for address %u", rq->fc,
                       rq->start);
    return NX_OK;
}

enum nx_err
modbus_decode_reply(const struct modbus_request *rq, const struct modbus_frame *frame, struct modbus_reply *reply,
                    struct nx_note *why)
{
    struct rbuf r = rbuf_init(frame->pdu);
    uint8_t fc = rbuf_u8(&r);

    *reply = (struct modbus_reply){0};
    if (frame->unit != rq->unit)
        return nx_fail(why, NX_E_PROTO, "reply carries unit id %u, expected %u", frame->unit, rq->unit);
    if (fc == (rq->fc | EXCEPTION_BIT)) {
        reply->exception = rbuf_u8(&r);
        if (reply->exception == 0 || rbuf_finish(&r) != NX_OK)
            return nx_fail(why, NX_E_PROTO, "exception reply to function %u is malformed", rq->fc);
        return NX_OK;
    }
    if (fc != rq->fc)
        return nx_fail(why, NX_E_PROTO, "reply carries function %u, expected %u", fc, rq->fc);
    return modbus_fc_is_read(fc) || fc == MODBUS_READ_WRITE ? decode_read(rq, &r, reply, why)
                                                            : decode_write(rq, &r, why);
}
