/* suite.c -- what the cases of the conformance suite have in common. */
#include "suite.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define IDLE_STEPS 50u

/* Answers everything that the driver has asked so far, once. True: there was something. */
static bool
answer_pending(const struct conformance *c, struct fake_host *h, enum conformance_answer how, struct wbuf *out)
{
    size_t n, total = 0;

    while ((n = c->answer(fake_host_written(h), how, out)) > 0) {
        fake_host_take(h, n);
        total += n;
    }
    return total > 0;
}

bool
suite_answer(const struct conformance *c, struct fake_host *h, enum conformance_answer how, struct wbuf *out)
{
    for (unsigned idle = 0; idle < IDLE_STEPS; idle++) {
        if (answer_pending(c, h, how, out))
            return true;
        fake_host_advance_ms(h, SUITE_IDLE_STEP_MS);
    }
    return false;
}

void
suite_serve(const struct conformance *c, struct fake_host *h, enum conformance_answer how)
{
    struct wbuf out = wbuf_init(0);

    for (unsigned idle = 0; idle < IDLE_STEPS;) {
        if (answer_pending(c, h, how, &out)) {
            fake_host_feed(h, slice(out.p, out.len));
            wbuf_reset(&out);
            idle = 0;
        } else if (fake_host_open_ops(h) > 0) {
            fake_host_advance_ms(h, SUITE_IDLE_STEP_MS);
            idle++;
        } else {
            break;
        }
    }
    wbuf_free(&out);
}

bool
suite_serve_one(const struct conformance *c, struct fake_host *h)
{
    struct wbuf out = wbuf_init(0);
    size_t n = c->answer(fake_host_written(h), ANSWER_GOOD, &out);

    for (unsigned idle = 0; n == 0 && idle < IDLE_STEPS; idle++) {
        fake_host_advance_ms(h, SUITE_IDLE_STEP_MS);
        n = c->answer(fake_host_written(h), ANSWER_GOOD, &out);
    }
    fake_host_take(h, n);
    fake_host_feed(h, slice(out.p, out.len));
    wbuf_free(&out);
    return n > 0;
}

struct fake_host *
suite_connect(const struct conformance *c)
{
    struct fake_host *h = fake_host_new(c->driver, c->settings);

    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    suite_serve(c, h, ANSWER_GOOD);
    assert_true(fake_host_is_up(h));
    return h;
}

const void *
suite_address(const struct conformance *c, struct fake_host *h, uint32_t i)
{
    char text[64];
    struct nx_addr_spec spec = {.address = text};

    c->address(i, &spec, text, sizeof text);
    return fake_host_addr(h, &spec);
}

struct fake_op *
suite_read_one(const struct conformance *c, struct fake_host *h, uint32_t i)
{
    const void *addr = suite_address(c, h, i);

    return fake_host_read(h, &addr, 1);
}

static bool
is_value(struct nx_value a, struct nx_value b)
{
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case NX_TYPE_BOOL:
        return a.b == b.b;
    case NX_TYPE_DOUBLE:
        return a.d >= b.d && a.d <= b.d;
    case NX_TYPE_STRING:
        return slice_eq(slice(a.s, a.len), slice(b.s, b.len));
    default:
        return a.u == b.u;
    }
}

void
suite_good(const struct conformance *c, const struct fake_op *op, uint32_t first)
{
    assert_true(op->is_done);
    assert_int_equal(op->err, NX_OK);
    assert_int_equal(op->good_count, op->item_count);
    for (uint32_t i = 0; i < op->item_count; i++)
        assert_true(is_value(op->items[i].value, c->value(first + i)));
}

void
suite_works(const struct conformance *c, struct fake_host *h)
{
    struct fake_op *op = suite_read_one(c, h, 3);

    suite_serve(c, h, ANSWER_GOOD);
    suite_good(c, op, 3);
}
