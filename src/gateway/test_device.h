/* test_device.h -- "test connection": walks the real way to a device step by step and says at each what to do.
 *
 * Steps: config, resolve, connect, session, read (up to 20 tags). Nothing of it touches a device that is polled; the
 * probe has its own connection. Bounds: 8 tests at a time, 15 s each. One loop thread. */
#ifndef GATEWAY_TEST_DEVICE_H
#define GATEWAY_TEST_DEVICE_H

#include "gateway/engine.h"

#include <jansson.h>

struct test_device;

/* Begins to test the device that json describes. done runs exactly once, never from inside this call, with
 * {ok, elapsed_ms, steps: [{name, ok, detail, elapsed_ms, fix, skipped}]} (the callee owns the reference), unless the
 * test is cancelled. *out is valid until then. NX_E_BUSY when too many tests are under way. */
typedef void test_device_cb(void *arg, json_t *result);
NX_MUST_CHECK enum nx_err test_device_start(struct test_device **out, struct engine *e,
                                            const struct device_options *opt, const json_t *json, test_device_cb *done,
                                            void *arg);
/* The result is not wanted any more. */
void test_device_cancel(struct test_device **t);

#endif
