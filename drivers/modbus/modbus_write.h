/* modbus_write.h -- the request that writes one value. Pure. */
#ifndef MODBUS_WRITE_H
#define MODBUS_WRITE_H

#include "modbus_addr.h"
#include "modbus_codec.h"

struct modbus_write {
    struct modbus_request rq; /* data points into this struct */
    uint8_t data[2 * MODBUS_WRITE_REGS_MAX];
};

/* FC 5 for a coil, 6 for one register, 16 for several, 22 for a bit of a register; with is_multiple_only 15 and 16
 * instead of 5 and 6; 23 when the tag wants its value read back. NX_E_DENIED for read-only tables, NX_E_RANGE,
 * NX_E_VALUE, NX_E_TOO_LARGE with a note. wr must not move afterwards. */
NX_MUST_CHECK enum nx_err modbus_write_init(struct modbus_write *wr, const struct modbus_addr *addr,
                                            const struct nx_value *value, bool is_multiple_only, struct nx_note *why);

/* What a good reply says about the write: with FC 23 the registers as they are now, NX_E_DEVICE when they differ. */
NX_MUST_CHECK enum nx_err modbus_write_check(const struct modbus_request *rq, const struct modbus_reply *reply,
                                             struct nx_note *why);

#endif
