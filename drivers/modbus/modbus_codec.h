/* modbus_codec.h -- Modbus PDUs as a client needs them: requests out, replies in. Pure. Framing is modbus_frame.h.
 *
 * MODBUS Application Protocol V1.1b3 (cited "AP"). Requests are
 * within the limits of the protocol by contract (assert); whatever comes from the wire is checked: a reply is good only
 * when function, byte count and echoed fields are exactly what the request asks for. */
#ifndef MODBUS_CODEC_H
#define MODBUS_CODEC_H

#include "base/slice.h"
#include "nexus/err.h"

#include <stdbool.h>

enum modbus_fc {
    MODBUS_READ_COILS = 1,
    MODBUS_READ_DISCRETE = 2,
    MODBUS_READ_HOLDING = 3,
    MODBUS_READ_INPUT = 4,
    MODBUS_WRITE_COIL = 5,
    MODBUS_WRITE_REGISTER = 6,
    MODBUS_WRITE_COILS = 15,
    MODBUS_WRITE_REGISTERS = 16,
    MODBUS_MASK_WRITE = 22,
    MODBUS_READ_WRITE = 23,
};

enum modbus_exception {
    MODBUS_EX_FUNCTION = 1,
    MODBUS_EX_ADDRESS = 2,
    MODBUS_EX_VALUE = 3,
    MODBUS_EX_DEVICE = 4,
    MODBUS_EX_ACKNOWLEDGE = 5,
    MODBUS_EX_BUSY = 6,
    MODBUS_EX_NAK = 7,
    MODBUS_EX_PARITY = 8,
    MODBUS_EX_GATEWAY_PATH = 10,
    MODBUS_EX_GATEWAY_TARGET = 11,
};

#define MODBUS_PDU_MAX        253u
#define MODBUS_READ_BITS_MAX  2000u
#define MODBUS_READ_REGS_MAX  125u
#define MODBUS_WRITE_BITS_MAX 1968u
#define MODBUS_WRITE_REGS_MAX 123u
#define MODBUS_RW_REGS_MAX    121u /* what FC 23 can write */

/* One request. data: FC 5 and 6 two bytes, FC 15 packed bits (first bit is the lowest of the first byte), FC 16 the
 * registers as they go on the wire, FC 22 AND mask and OR mask, FC 23 as FC 16: it reads back the registers that it
 * wrote. Borrowed. */
struct modbus_request {
    uint16_t tid;
    uint8_t unit;
    uint8_t fc;
    uint16_t start; /* wire address, from 0 */
    uint16_t count; /* bits or registers; 1 for FC 5, 6 and 22 */
    struct slice data;
};

/* One frame from the line; pdu is borrowed from the input and has at least the function code. */
struct modbus_frame {
    uint16_t tid; /* 0 in framings without one */
    uint8_t unit;
    struct slice pdu;
};

struct modbus_reply {
    uint8_t exception; /* 0: none */
    struct slice data; /* reads and FC 23: the bits or registers as on the wire */
};

/* Bytes written to out: function code and data, always complete. */
size_t modbus_encode_request(const struct modbus_request *rq, uint8_t out[MODBUS_PDU_MAX]);
/* The other way, for a person who looks at a line: data is borrowed from pdu; tid and unit are not touched. */
NX_MUST_CHECK enum nx_err modbus_decode_request(struct slice pdu, struct modbus_request *rq);

/* Is frame the answer to rq (unit, function, byte count, echoed fields)? The transaction identifier is the caller's
 * business. NX_E_PROTO with a note that says what differs. */
NX_MUST_CHECK enum nx_err modbus_decode_reply(const struct modbus_request *rq, const struct modbus_frame *frame,
                                              struct modbus_reply *reply, struct nx_note *why);

/* Bytes of the PDU that answers rq well. */
size_t modbus_reply_bytes(const struct modbus_request *rq);

static inline bool
modbus_fc_is_bits(unsigned fc)
{
    return fc == MODBUS_READ_COILS || fc == MODBUS_READ_DISCRETE;
}

static inline bool
modbus_fc_is_read(unsigned fc)
{
    return fc >= MODBUS_READ_COILS && fc <= MODBUS_READ_INPUT;
}

/* "illegal data address", for a person; never NULL. AP 7. */
const char *modbus_exception_text(unsigned exception);
/* What an exception means to the engine: ADDRESS, UNSUPPORTED, DEVICE, BUSY or OFFLINE. */
enum nx_err modbus_exception_err(unsigned exception);

#endif
