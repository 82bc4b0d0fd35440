/* conformance.h -- the same tests for every driver, on the fake host. A driver brings a small device of its own.
 *
 * Cases: open and close in each state, refused and lost links, replies split at every byte, cancel in the middle of a
 * frame, wrong identifier, reply after the deadline, errors of the device, garbage, 10,000 points, several operations
 * at once, two devices on one link, priorities, what was learned over a restart, explain and dissect. In each the
 * contract of driver.h holds: one completion per operation, one nx_closed() per open. A driver may wait up to 500 ms of
 * virtual time before it sends what it was asked for. */
#ifndef CONFORMANCE_CONFORMANCE_H
#define CONFORMANCE_CONFORMANCE_H

#include "base/wbuf.h"
#include "fake_host.h"

enum conformance_answer {
    ANSWER_GOOD,
    ANSWER_WRONG_ID, /* a good reply under an identifier that was never given out */
    ANSWER_ERROR,    /* the device refuses the request */
};

struct conformance {
    const struct nx_driver *driver;
    const char *const *settings; /* "key=value", ends with NULL */
    const char *const *second;   /* of a second device on the same link; NULL: the same settings */
    /* Fills spec for the i-th of many distinct readable and writable addresses; text is room for the address. */
    void (*address)(uint32_t i, struct nx_addr_spec *spec, char *text, size_t cap);
    /* The value that the device answers for it, and that can be written. */
    struct nx_value (*value)(uint32_t i);
    /* The device: reads one request off in (bytes the driver wrote), appends the reply to out. Returns the bytes of the
     * request, 0 when it is not complete. Handshakes are always answered well. */
    size_t (*answer)(struct slice in, enum conformance_answer how, struct wbuf *out);
};

/* Runs all cases as one cmocka group; the result is that of main(). */
int conformance_run(const struct conformance *c);

#endif
