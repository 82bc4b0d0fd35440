/* s7_test_cpu.h -- a CPU for tests on the fake host, written from the protocol and not from the driver's codec. */
#ifndef S7_TEST_CPU_H
#define S7_TEST_CPU_H

#include "base/wbuf.h"
#include "conformance/fake_host.h"

/* What it is and what it saw. Byte i of DB n holds cpu_byte(n, i); writes are kept in the last_... fields only. */
struct test_cpu {
    unsigned pdu, jobs;
    uint8_t tpdu_size;      /* power of two, 0: not told */
    uint32_t slots;         /* bit mask of the slots that accept */
    unsigned db;            /* the DB with missing bytes */
    uint32_t from, end;     /* missing: code 05 */
    unsigned missing_db;    /* code 0A */
    unsigned error;         /* of every read and write, 0: none */
    unsigned pdu_taken;     /* larger messages are refused with 8500, 0: all are taken */
    unsigned write_code;    /* 0: FF */
    unsigned items_dropped; /* so many items are left out of a read reply, in silence */
    /* seen */
    unsigned connects, requests, in_flight_max;
    uint16_t last_tsap, last_local;
    uint8_t last[4200]; /* the last message */
    size_t last_len;
};

uint8_t cpu_byte(unsigned db, uint32_t i);
/* Answers one packet of the driver; false: there is none. */
bool cpu_answer(struct test_cpu *c, struct fake_host *h);
/* Answers until nothing is asked any more. */
void cpu_serve(struct test_cpu *c, struct fake_host *h);
/* The reply to the oldest job, which is taken, without sending it. Empty: there is no job. */
void cpu_reply(struct test_cpu *c, struct fake_host *h, struct wbuf *out);
/* Complete jobs that wait for their answer. */
unsigned cpu_waiting(const struct fake_host *h);

#endif
