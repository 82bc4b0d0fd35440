/* fake_host.h -- the host of driver.h in memory: virtual time, scripted streams. For tests and fuzzing of any driver.
 *
 * One fake host is one device. Nothing happens by itself: the test accepts the stream, feeds bytes, moves the clock.
 * What the driver did (link changes, bytes, results) is kept for the test to look at. Breaches of the contract of
 * driver.h (an operation ended twice, nx_closed() twice, a callback after close, leaks) stop the process. */
#ifndef CONFORMANCE_FAKE_HOST_H
#define CONFORMANCE_FAKE_HOST_H

#include "base/slice.h"
#include "nexus/driver.h"

/* Settings as "key=value" texts; what is missing has the default of the table. */
struct nx_settings {
    const struct nx_param *params;
    const char *const *pairs; /* ends with NULL; may be NULL */
};

struct fake_host;

struct fake_item {
    bool is_set; /* exactly one of value and failure was reported */
    uint16_t quality;
    enum nx_err err; /* of nx_read_failed() */
    struct nx_value value;
    char text[NX_STRING_MAX < 600 ? NX_STRING_MAX : 600]; /* a string value is copied here */
    char why[120];
};

/* One operation and all that came of it. */
struct fake_op {
    struct fake_host *host;
    bool is_done;
    enum nx_err err;
    char why[320];
    uint32_t item_count, set_count, good_count;
    struct fake_item *items;
};

/* pairs: connection settings. The driver is not opened yet. */
struct fake_host *fake_host_new(const struct nx_driver *driver, const char *const *pairs);
/* Closes the device when it is open; every operation must then be done and nothing leaked. */
void fake_host_free(struct fake_host **h);

enum nx_err fake_host_open(struct fake_host *h);
void fake_host_close(struct fake_host *h);
/* Parses an address into memory that lives as long as the host; stops the process when it is wrong. */
const void *fake_host_addr(struct fake_host *h, const struct nx_addr_spec *spec);

/* The stream that the driver has opened last. All are no-ops when there is none. */
void fake_host_accept(struct fake_host *h);
void fake_host_feed(struct fake_host *h, struct slice data);
void fake_host_hang_up(struct fake_host *h, enum nx_err err);
/* What the driver has written and nobody has taken yet; take drops the first n bytes of it. */
struct slice fake_host_written(const struct fake_host *h);
void fake_host_take(struct fake_host *h, size_t n);

void fake_host_advance_ms(struct fake_host *h, uint64_t ms);

/* Begins an operation. The result belongs to the host and stays readable until fake_host_free(). */
struct fake_op *fake_host_read(struct fake_host *h, const void *const *addrs, uint32_t n);
struct fake_op *fake_host_write(struct fake_host *h, const void *addr, struct nx_value value);
/* Runs the same read list again: the driver keeps its plan. The operation must be done. */
void fake_host_read_again(struct fake_op *op);
/* Cancels with err: the operation is done afterwards, or the process stops. No-op when it is done already. */
void fake_host_cancel(struct fake_op *op, enum nx_err err);

unsigned fake_host_ups(const struct fake_host *h);
unsigned fake_host_downs(const struct fake_host *h);
unsigned fake_host_closeds(const struct fake_host *h);
/* Of the last nx_link_down(). */
enum nx_err fake_host_down_err(const struct fake_host *h);
bool fake_host_is_up(const struct fake_host *h);
uint64_t fake_host_counter(const struct fake_host *h, enum nx_counter counter);

#endif
