/* fake_host.h -- the host of driver.h in memory: virtual time, scripted streams. For tests and fuzzing of any driver.
 *
 * One fake host is one link with one device or more. Nothing happens by itself: the test accepts the stream, feeds
 * bytes, moves the clock. What the driver did (link changes, bytes, results, what it learned) is kept for the test to
 * look at. Breaches of the contract of driver.h (an operation ended twice, nx_closed() twice, a callback after close,
 * leaks) stop the process. */
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
    char why[160];
};

/* One operation and all that came of it. */
struct fake_op {
    struct fake_host *host;
    bool is_done;
    enum nx_err err;
    char why[320];
    unsigned alive_count; /* calls of nx_op_alive() */
    uint64_t alive_ms;    /* time of the last one */
    uint32_t item_count, set_count, good_count;
    struct fake_item *items;
};

/* One call of nx_plan_add(), copied. */
struct fake_plan_request {
    const char *text, *hole;
    uint32_t bytes_out, bytes_in, gap_bytes;
    const uint32_t *items;
    uint32_t item_count;
};

#define FAKE_PLAN_MAX 20000
struct fake_plan {
    uint32_t count;
    struct fake_plan_request *requests;
};

/* pairs: settings of the connection and of its first device. Nothing is attached or opened yet. */
struct fake_host *fake_host_new(const struct nx_driver *driver, const char *const *pairs);
/* Closes the link when it is open; every operation must then be done and nothing leaked. */
void fake_host_free(struct fake_host **h);

/* The first device; another device on the same link. They live as long as the host. */
struct nx_dev *fake_host_dev(struct fake_host *h);
struct nx_dev *fake_host_add_dev(struct fake_host *h, const char *const *pairs);
/* Attaches a device that is not attached yet, as fake_host_open() and the operations do by themselves (which stop the
 * process when it fails; fake_host_open() returns the error of the first device). */
enum nx_err fake_host_attach(struct nx_dev *dev);
/* What nx_learned() was told last, NULL when nothing; and what attach() gets. text is copied. */
const char *fake_host_learned(const struct nx_dev *dev);
void fake_host_learn(struct nx_dev *dev, const char *text);
/* As if the program had ended and started again: closes, forgets all state and plans, keeps what was learned. Read
 * lists can be used on. */
void fake_host_restart(struct fake_host *h);

/* Attaches the devices, then opens the link with the settings of the first. */
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
/* What nx_stream_serial() was called with last; NULL: never called. */
const struct nx_serial *fake_host_serial(const struct fake_host *h);

void fake_host_advance_ms(struct fake_host *h, uint64_t ms);
uint64_t fake_host_now_ms(const struct fake_host *h);

/* Begins an operation, on the first device or on dev. The result belongs to the host and stays readable until
 * fake_host_free(). */
struct fake_op *fake_host_read(struct fake_host *h, const void *const *addrs, uint32_t n);
struct fake_op *fake_host_write(struct fake_host *h, const void *addr, struct nx_value value);
struct fake_op *fake_host_read_dev(struct nx_dev *dev, const void *const *addrs, uint32_t n);
struct fake_op *fake_host_write_dev(struct nx_dev *dev, const void *addr, struct nx_value value);
/* nx_op.priority of the operations that are begun from now on. */
void fake_host_set_priority(struct fake_host *h, unsigned priority);
/* A read list that has not run yet; it counts as done. */
struct fake_op *fake_host_read_list(struct nx_dev *dev, const void *const *addrs, uint32_t n);
/* Runs the same read list again: the driver keeps its plan. The operation must be done. */
void fake_host_read_again(struct fake_op *op);
/* Cancels with err: the operation is done afterwards, or the process stops. No-op when it is done already. */
void fake_host_cancel(struct fake_op *op, enum nx_err err);
/* Operations that are not done. */
unsigned fake_host_open_ops(const struct fake_host *h);
/* What explain() tells of a read list that is not running; lives as long as the host. */
struct fake_plan *fake_host_explain(struct fake_op *op);
/* The settings of a device, for dissect(). */
const struct nx_settings *fake_host_settings(const struct nx_dev *dev);

unsigned fake_host_ups(const struct fake_host *h);
unsigned fake_host_downs(const struct fake_host *h);
unsigned fake_host_closeds(const struct fake_host *h);
/* Of the last nx_link_down(). */
enum nx_err fake_host_down_err(const struct fake_host *h);
bool fake_host_is_up(const struct fake_host *h);
/* Of the link and all its devices; of one device. */
uint64_t fake_host_counter(const struct fake_host *h, enum nx_counter counter);
uint64_t fake_host_dev_counter(const struct nx_dev *dev, enum nx_counter counter);

#endif
