/* modbus_test_device.h -- a Modbus TCP device in a few lines, for tests of the driver on the fake host. */
#ifndef MODBUS_TEST_DEVICE_H
#define MODBUS_TEST_DEVICE_H

#include "conformance/fake_host.h"
#include "modbus_addr.h"
#include "modbus_driver.h"
#include "modbus_frame.h"

/* A device: register r holds r; some are missing; requests may be refused with a code of the test's choice. */
extern struct device {
    int missing;        /* wire address with exception 2, -1: none */
    unsigned exception; /* for every request, 0: none */
    unsigned max;       /* registers in one request, more is exception 3 */
    unsigned requests, tid_offset;
    uint8_t last[MODBUS_ADU_MAX];
} device;

/* Forgets all, then opens a link; pairs NULL: unit 1 with nothing special. */
struct fake_host *connect_device(const char *const *pairs);
void reconnect(struct fake_host *h);
/* Answers one waiting request; false when there is none. */
bool answer_one(struct fake_host *h);
void answer_all(struct fake_host *h);
const void *addr(struct fake_host *h, const char *text, enum nx_data_type type);
/* Registers 0 to n - 1 as one read. */
struct fake_op *read_registers(struct fake_host *h, unsigned n);
/* The read list once more; returns the requests it took. */
unsigned poll_again(struct fake_host *h, struct fake_op *op);

#endif
