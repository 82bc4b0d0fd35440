/* pdu.h -- what a Modbus device answers (Modbus Application Protocol 1.1b3, 6). Functions 1-6, 15, 16, 22, 23. Shares
 * no code with drivers/. One thread. */
#ifndef SIM_PDU_H
#define SIM_PDU_H

#include "sim/faults.h"
#include "sim/memory.h"

#include <stddef.h>

#define PDU_MAX 253u

enum pdu_exception {
    EX_FUNCTION = 1,
    EX_ADDRESS = 2,
    EX_VALUE = 3,
    EX_BUSY = 6,
    EX_TARGET = 11 /* the gateway knows no such unit */
};

/* Carries out a request (at least its function code) on m and writes the reply; returns its length. */
size_t pdu_answer(const struct faults *f, struct memory *m, const uint8_t *in, size_t len, uint8_t out[PDU_MAX]);
size_t pdu_refuse(uint8_t function, unsigned exception, uint8_t out[PDU_MAX]);

#endif
