#include "modbus_frame.h"

#include "base/rbuf.h"
#include "base/wbuf.h"

#include <assert.h>

#define EXCEPTION_BIT 0x80u
/* The length field of MBAP counts the unit identifier and the PDU. */
#define LENGTH_MIN 2u
#define LENGTH_MAX (1u + MODBUS_PDU_MAX)
#define CRC_BYTES  2u

/* CRC of each half byte: 32 bytes of table instead of 512, and still a frame in well under a microsecond. */
static const uint16_t crc_table[16] = {0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401,
                                       0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01, 0x8801, 0x4400};

uint16_t
modbus_crc(struct slice s)
{
    unsigned crc = 0xFFFF;

    for (size_t i = 0; i < s.len; i++) {
        crc ^= s.p[i];
        crc = crc >> 4 ^ crc_table[crc & 0xF];
        crc = crc >> 4 ^ crc_table[crc & 0xF];
    }
    return (uint16_t)crc;
}

size_t
modbus_frame_encode(enum modbus_framing framing, const struct modbus_request *rq, uint8_t out[MODBUS_ADU_MAX])
{
    uint8_t pdu[MODBUS_PDU_MAX];
    size_t len = modbus_encode_request(rq, pdu);
    struct wbuf w = wbuf_fixed(out, MODBUS_ADU_MAX);

    if (framing == MODBUS_MBAP) {
        wbuf_be16(&w, rq->tid);
        wbuf_be16(&w, 0); /* protocol identifier: Modbus */
        wbuf_be16(&w, (unsigned)(1 + len));
    }
    wbuf_u8(&w, rq->unit);
    wbuf_bytes(&w, pdu, len);
    if (framing == MODBUS_RTU)
        wbuf_le16(&w, modbus_crc(slice(out, w.len)));
    assert(!w.failed);
    return w.len;
}

static enum nx_err
next_mbap(struct slice *in, struct modbus_frame *frame)
{
    struct rbuf r = rbuf_init(*in);
    uint16_t tid = rbuf_be16(&r), protocol = rbuf_be16(&r), length = rbuf_be16(&r);

    /* Judge each field as soon as it is there: a wrong length must not make us wait for bytes that never come. */
    if (in->len >= 4 && protocol != 0)
        return NX_E_PROTO;
    if (in->len < 6)
        return NX_E_MORE;
    if (length < LENGTH_MIN || length > LENGTH_MAX)
        return NX_E_PROTO;
    if (in->len < 6u + length)
        return NX_E_MORE;
    frame->tid = tid;
    frame->unit = rbuf_u8(&r);
    frame->pdu = rbuf_take(&r, length - 1u);
    *in = slice_skip(*in, 6u + length);
    return NX_OK;
}

/* Bytes of the reply PDU that begins here; 1: more must be seen first; 0: no reply that we could have asked for. */
static size_t
reply_pdu_bytes(struct slice pdu)
{
    uint8_t fc = pdu.p[0];

    if (fc & EXCEPTION_BIT)
        return 2;
    if (modbus_fc_is_read(fc) || fc == MODBUS_READ_WRITE) {
        if (pdu.len < 2)
            return 1;
        return pdu.p[1] == 0 || pdu.p[1] > MODBUS_PDU_MAX - 2u ? 0 : 2u + pdu.p[1];
    }
    switch (fc) {
    case MODBUS_WRITE_COIL:
    case MODBUS_WRITE_REGISTER:
    case MODBUS_WRITE_COILS:
    case MODBUS_WRITE_REGISTERS:
        return 5;
    case MODBUS_MASK_WRITE:
        return 7;
    default:
        return 0;
    }
}

static enum nx_err
next_rtu(struct slice *in, struct modbus_frame *frame)
{
    size_t pdu, len;

    if (in->len < 2)
        return NX_E_MORE;
    pdu = reply_pdu_bytes(slice_skip(*in, 1));
    if (pdu == 0)
        return NX_E_PROTO;
    len = 1 + pdu + CRC_BYTES;
    if (pdu == 1 || in->len < len)
        return NX_E_MORE;
    if (modbus_crc(slice(in->p, len)) != 0) /* a frame with its CRC has CRC 0 */
        return NX_E_PROTO;
    *frame = (struct modbus_frame){.unit = in->p[0], .pdu = slice(in->p + 1, pdu)};
    *in = slice_skip(*in, len);
    return NX_OK;
}

enum nx_err
modbus_frame_next(enum modbus_framing framing, struct slice *in, struct modbus_frame *frame)
{
    return framing == MODBUS_RTU ? next_rtu(in, frame) : next_mbap(in, frame);
}

enum nx_err
modbus_frame_request(enum modbus_framing framing, struct slice in, struct modbus_request *rq)
{
    struct modbus_frame frame = {0};

    if (framing == MODBUS_MBAP) {
        if (next_mbap(&in, &frame) != NX_OK || in.len > 0)
            return NX_E_PROTO;
    } else {
        if (in.len < 4 || in.len > MODBUS_RTU_ADU_MAX || modbus_crc(in) != 0)
            return NX_E_PROTO;
        frame = (struct modbus_frame){.unit = in.p[0], .pdu = slice(in.p + 1, in.len - 1 - CRC_BYTES)};
    }
    rq->tid = frame.tid;
    rq->unit = frame.unit;
    return modbus_decode_request(frame.pdu, rq);
}
