/* suite.h -- what the files of the conformance suite share. */
#ifndef CONFORMANCE_SUITE_H
#define CONFORMANCE_SUITE_H

#include "conformance.h"

#define SUITE_MANY         10000u
#define SUITE_IDLE_STEP_MS 10u

/* The suite that a case runs in. */
static inline const struct conformance *
suite_of(void **state)
{
    return *state;
}

/* An opened link with one device, handshakes done. */
struct fake_host *suite_connect(const struct conformance *c);
const void *suite_address(const struct conformance *c, struct fake_host *h, uint32_t i);
struct fake_op *suite_read_one(const struct conformance *c, struct fake_host *h, uint32_t i);

/* Waits a little for requests, then appends the answers to all of them to out. False: none came. */
bool suite_answer(const struct conformance *c, struct fake_host *h, enum conformance_answer how, struct wbuf *out);
/* Answers until nothing is asked any more. A driver may want to wait before its next request: as long as operations are
 * open, time passes too, but not without bound. */
void suite_serve(const struct conformance *c, struct fake_host *h, enum conformance_answer how);
/* Answers one request, waiting for it a little. False: none came. */
bool suite_serve_one(const struct conformance *c, struct fake_host *h);

/* The read is done and its items have the values of first, first + 1, ... */
void suite_good(const struct conformance *c, const struct fake_op *op, uint32_t first);
/* The link still works: a fresh read gets its value. */
void suite_works(const struct conformance *c, struct fake_host *h);

/* The cases of conformance_shared.c and conformance_tell.c. */
#define SUITE_MORE_CASES(CASE)                                                                                         \
    CASE(devices_take_turns)                                                                                           \
    CASE(higher_priority_goes_first)                                                                                   \
    CASE(close_of_a_shared_link_ends_all)                                                                              \
    CASE(alive_is_told_when_a_request_leaves_and_when_an_answer_comes)                                                 \
    CASE(what_was_learned_survives_a_restart)                                                                          \
    CASE(learned_text_may_be_anything)                                                                                 \
    CASE(explain_tells_each_item_once)                                                                                 \
    CASE(dissect_finds_an_address_in_its_own_exchange)
#define SUITE_DECLARE(name) void suite_##name(void **state);
SUITE_MORE_CASES(SUITE_DECLARE)

#endif
