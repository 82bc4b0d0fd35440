/* modbus_frame.h -- what is around a Modbus PDU: the MBAP header of TCP, address and CRC of serial lines. Pure.
 *
 * MODBUS Messaging on TCP/IP V1.0b (cited "MG") and MODBUS over Serial Line V1.02 (cited "SL"). The end of an RTU
 * frame is known from its function code, not from silence, which no operating system shows us in time. */
#ifndef MODBUS_FRAME_H
#define MODBUS_FRAME_H

#include "modbus_codec.h"

enum modbus_framing { MODBUS_MBAP, MODBUS_RTU };

#define MODBUS_ADU_MAX     260u
#define MODBUS_RTU_ADU_MAX 256u

/* Bytes written to out: always complete. */
size_t modbus_frame_encode(enum modbus_framing framing, const struct modbus_request *rq, uint8_t out[MODBUS_ADU_MAX]);

/* Takes the first frame off in. NX_E_MORE: not complete yet (in is unchanged). NX_E_PROTO: this is not the beginning of
 * a reply (impossible header, length or function, wrong CRC): the line has lost its place. A TCP stream must be closed
 * (MG 3.1.3, 4.2), on a serial line one waits for silence (SL 2.5.1). */
NX_MUST_CHECK enum nx_err modbus_frame_next(enum modbus_framing framing, struct slice *in, struct modbus_frame *frame);

/* The request in a whole frame, for a person who looks at a line. */
NX_MUST_CHECK enum nx_err modbus_frame_request(enum modbus_framing framing, struct slice in, struct modbus_request *rq);

/* Bytes of framing around a PDU. */
static inline unsigned
modbus_frame_overhead(enum modbus_framing framing)
{
    return framing == MODBUS_RTU ? 3 : 7;
}

/* SL 6.2.2: CRC-16, polynomial A001 reflected, begins with FFFF; its low byte goes first. */
uint16_t modbus_crc(struct slice s);

#endif
