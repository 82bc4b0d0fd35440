/* s7_test_host.h -- a fake host with a CPU, as each test of the driver begins. */
#ifndef S7_TEST_HOST_H
#define S7_TEST_HOST_H

#include "s7_test_cpu.h"

extern struct test_cpu cpu;
/* PDU 240, 3 jobs, slot 1. */
void reset_cpu(void);
/* Accepts every try to connect, also those that begin a little later. */
void handshake(struct fake_host *h);
/* A host with these settings (NULL: slot 1) after the handshake, however that ended. */
struct fake_host *connect_cpu(const char *const *pairs);
const void *addr(struct fake_host *h, const char *text, enum nx_data_type type);
struct fake_op *read_one(struct fake_host *h, const char *text, enum nx_data_type type);
/* Words 0 to n - 1 of a DB (and those behind it), `step` bytes apart, as one read. */
struct fake_op *read_words(struct fake_host *h, unsigned db, unsigned n, unsigned step);
/* The read is done and each value that it has is the CPU's. */
void assert_words(const struct fake_op *op, unsigned db, unsigned step);

#endif
