/* fake_driver.h -- a driver of 64 registers for the tests of the engine: it answers, hangs or fails as it is told. */
#ifndef GATEWAY_FAKE_DRIVER_H
#define GATEWAY_FAKE_DRIVER_H

#include "model/device.h"
#include "nexus/driver.h"

#define FAKE_REGISTERS 64
#define FAKE_HOLE      63 /* this register does not exist */
#define FAKE_BAD_UNIT  99 /* attach() refuses it */

struct fake_driver_state {
    bool refuses_link; /* open() ends in nx_link_down(REFUSED) */
    bool hangs;        /* reads and writes are not answered */
    bool hangs_writes;
    unsigned silent_unit;            /* this unit (not 0) answers nothing */
    enum nx_err read_err, write_err; /* NX_OK: works */
    bool ignores_writes;             /* accepted, but the register stays */
    int64_t registers[FAKE_REGISTERS];
    unsigned opens, closes, reads, writes, open_links;
    unsigned write_priority; /* of the last one */
    struct nx_link *last;    /* opened last */
    char learned[64];        /* what attach() was given last */
};

extern struct fake_driver_state fake_driver_state;
extern const struct nx_driver fake_driver;
extern const struct nx_driver *const fake_drivers[]; /* for struct device_options */

/* A device of JSON text in single quotes, for readable tests. Stops the test when it is wrong. */
struct device *fake_device(const char *json);
/* The link breaks. */
void fake_driver_hang_up(struct nx_link *link);
/* Answers what hangs. */
void fake_driver_answer(struct nx_link *link);

#endif
