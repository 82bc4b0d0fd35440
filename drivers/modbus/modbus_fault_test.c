/* A device over TCP that makes every mistake: no value ever reaches a tag that it does not belong to. Register r of
 * unit u holds u * 1000 + r; whatever is taken for good must be that. The same on a serial line is in
 * modbus_line_test.c. */
#include "base/mem.h"
#include "base/num.h"
#include "conformance/fake_host.h"
#include "modbus_addr.h"
#include "modbus_driver.h"
#include "modbus_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define LISTS       16u
#define FAULT_COUNT 500000u
#define HELD        8u

enum fault { WRONG_TID, OTHER_UNIT, OTHER_FUNCTION, OTHER_SIZE, LATE, TWICE, EXCEPTION, SPLIT, SWAPPED, NONE, FAULTS };

struct reply {
    uint8_t p[16];
    size_t len;
};

struct rig {
    struct fake_host *h;
    struct nx_dev *devs[2];
    struct fake_op *lists[LISTS]; /* i: register i of unit 1 + i % 2 */
    struct reply held[HELD];      /* for later */
    unsigned held_count, faulty, good, bad_values;
    uint64_t seed;
};

static struct fake_op *
make_list(struct rig *r, unsigned i)
{
    char text[16];
    struct nx_addr_spec spec = {.address = text, .data_type = NX_DT_UINT16};
    const void *addr;

    snprintf(text, sizeof text, "hr%u", i);
    addr = fake_host_addr(r->h, &spec);
    return fake_host_read_list(r->devs[i % 2], &addr, 1);
}

static void
check(struct rig *r, unsigned i)
{
    const struct fake_op *op = r->lists[i];

    r->good += op->good_count;
    if (op->good_count > 0 && op->items[0].value.u != (1 + i % 2) * 1000 + i)
        r->bad_values++;
}

static void
feed(struct rig *r, const struct reply *reply, bool is_split)
{
    size_t cut = is_split ? num_random(&r->seed) % reply->len : 0;

    fake_host_feed(r->h, slice(reply->p, cut));
    fake_host_feed(r->h, slice(reply->p + cut, reply->len - cut));
}

static struct reply
make_reply(struct slice rq, enum fault fault, uint64_t dice)
{
    unsigned value = rq.p[6] * 1000u + rq.p[9];
    struct reply reply = {{rq.p[0], rq.p[1], 0, 0, 0, 5, rq.p[6], 3, 2, (uint8_t)(value >> 8), (uint8_t)value}, 11};

    if (fault == WRONG_TID)
        reply.p[0] ^= 0x80;
    if (fault == OTHER_UNIT)
        reply.p[6] = (uint8_t)(3 - reply.p[6]);
    if (fault == OTHER_FUNCTION)
        reply.p[7] = 4;
    if (fault == OTHER_SIZE) {
        reply.p[5] = 7;
        reply.p[8] = 4;
        reply.len = 13;
    }
    if (fault == EXCEPTION) {
        reply.p[5] = 3;
        reply.p[7] = 0x83;
        reply.p[8] = (uint8_t)(5 + dice % 3); /* none that makes a hole */
        reply.len = 9;
    }
    return reply;
}

static void
answer_one(struct rig *r)
{
    struct slice rq = fake_host_written(r->h);
    uint64_t dice = num_random(&r->seed);
    enum fault fault = dice % 3 == 0 ? NONE : (enum fault)(dice >> 8) % FAULTS;
    struct reply reply = make_reply(rq, fault, dice >> 16);

    fake_host_take(r->h, 12);
    r->faulty += fault != NONE;
    if ((fault == LATE || fault == SWAPPED) && r->held_count < HELD) {
        r->held[r->held_count++] = reply;
        return;
    }
    feed(r, &reply, fault == SPLIT);
    if (fault == TWICE)
        feed(r, &reply, false);
}

static void
feed_held(struct rig *r)
{
    while (r->held_count > 0 && fake_host_is_up(r->h))
        feed(r, &r->held[--r->held_count], false);
}

/* All lists at once; some answers come while they run, some after their time is over, while the next ones run. */
static void
poll_once(struct rig *r)
{
    if (!fake_host_is_up(r->h)) {
        fake_host_close(r->h);
        r->held_count = 0; /* they went down with the connection */
        assert_int_equal(fake_host_open(r->h), NX_OK);
        fake_host_accept(r->h);
    }
    for (unsigned i = 0; i < LISTS; i++)
        fake_host_read_again(r->lists[i]);
    if (num_random(&r->seed) % 2 == 0)
        feed_held(r);
    for (unsigned step = 0; step < 40 && fake_host_is_up(r->h) && fake_host_open_ops(r->h) > 0; step++) {
        while (fake_host_is_up(r->h) && fake_host_written(r->h).len >= 12)
            answer_one(r);
        if (num_random(&r->seed) % 4 == 0)
            feed_held(r);
        fake_host_advance_ms(r->h, 10);
    }
    for (unsigned i = 0; i < LISTS; i++) {
        fake_host_cancel(r->lists[i], NX_E_TIMEOUT);
        check(r, i);
    }
}

static void
run(const char *const *first, const char *const *second)
{
    struct rig r = {.h = fake_host_new(&modbus_tcp_driver, first), .seed = 99};

    r.devs[0] = fake_host_dev(r.h);
    r.devs[1] = fake_host_add_dev(r.h, second);
    for (unsigned i = 0; i < LISTS; i++)
        r.lists[i] = make_list(&r, i);
    while (r.faulty < FAULT_COUNT)
        poll_once(&r);
    assert_int_equal(r.bad_values, 0);
    assert_true(r.good > FAULT_COUNT / 10);
    fake_host_free(&r.h);
}

static void
one_request_at_a_time(void **state)
{
    static const char *const first[] = {"host=x", NULL}, *const second[] = {"host=x", "unit_id=2", NULL};

    (void)state;
    run(first, second);
}

static void
many_requests_on_the_way(void **state)
{
    static const char *const first[] = {"host=x", "pipeline=8", NULL};
    static const char *const second[] = {"host=x", "pipeline=8", "unit_id=2", NULL};

    (void)state;
    run(first, second);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request_at_a_time),
        cmocka_unit_test(many_requests_on_the_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
