/* conformance_tell.c -- cases: what a driver says about its requests and about bytes of the line. */
#include "base/mem.h"
#include "base/num.h"
#include "suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SOME 500u

static void
assert_each_item_once(const struct fake_plan *plan, uint32_t n)
{
    unsigned *seen = mem_calloc(n, sizeof *seen);

    for (uint32_t r = 0; r < plan->count; r++) {
        assert_true(plan->requests[r].text[0] != '\0');
        assert_true(plan->requests[r].bytes_out > 0 && plan->requests[r].bytes_in > 0);
        assert_true(plan->requests[r].gap_bytes < plan->requests[r].bytes_in);
        for (uint32_t i = 0; i < plan->requests[r].item_count; i++)
            seen[plan->requests[r].items[i]]++;
    }
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(seen[i], 1);
    free(seen);
}

void
suite_explain_tells_each_item_once(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = fake_host_new(c->driver, c->settings);
    const void *addrs[SOME];
    struct fake_op *op;
    uint64_t before;

    if (!c->driver->explain) {
        fake_host_free(&h);
        return;
    }
    for (uint32_t i = 0; i < SOME; i++)
        addrs[i] = suite_address(c, h, i);
    op = fake_host_read_list(fake_host_dev(h), addrs, SOME);
    assert_each_item_once(fake_host_explain(op), SOME); /* the link was never up */
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    suite_serve(c, h, ANSWER_GOOD);
    fake_host_read_again(op);
    suite_serve(c, h, ANSWER_GOOD);
    before = fake_host_counter(h, NX_COUNT_REQUESTS);
    fake_host_read_again(op);
    suite_serve(c, h, ANSWER_GOOD);
    suite_good(c, op, 0);
    assert_each_item_once(fake_host_explain(op), SOME);
    assert_int_equal(fake_host_explain(op)->count, fake_host_counter(h, NX_COUNT_REQUESTS) - before);
    fake_host_read_again(op);
    suite_serve(c, h, ANSWER_ERROR);
    assert_each_item_once(fake_host_explain(op), SOME);
    fake_host_free(&h);
}

/* Dissects copies of exact size, so that a read past the end is seen. */
static bool
dissect(const struct conformance *c, const struct nx_settings *s, struct slice out, struct slice in, const void *addr,
        char text[200])
{
    struct nx_exchange x = {(uint8_t *)mem_strndup(out.p, out.len), (uint8_t *)mem_strndup(in.p, in.len), out.len,
                            in.len, s};
    bool found;

    memset(text, 'x', 200);
    text[199] = '\0';
    found = c->driver->dissect(&x, addr, text, 199);
    assert_non_null(memchr(text, 0, 199));
    free((void *)(uintptr_t)x.out);
    free((void *)(uintptr_t)x.in);
    return found;
}

static void
dissect_damaged(const struct conformance *c, const struct nx_settings *s, struct slice out, struct slice in,
                const void *addr)
{
    char text[200];
    uint64_t seed = 99;

    for (size_t cut = 0; cut < out.len; cut++)
        (void)(dissect(c, s, slice(out.p, cut), in, addr, text) + dissect(c, s, slice(out.p, cut), in, NULL, text));
    for (size_t cut = 0; cut < in.len; cut++) {
        (void)(dissect(c, s, out, slice(in.p, cut), addr, text) + dissect(c, s, out, slice(in.p, cut), NULL, text));
        (void)dissect(c, s, out, slice_skip(in, cut), addr, text);
    }
    for (unsigned i = 0; in.len > 0 && i < 2000; i++) {
        uint8_t bad[512];
        size_t len = in.len < sizeof bad ? in.len : sizeof bad;
        memcpy(bad, in.p, len);
        bad[num_random(&seed) % len] ^= (uint8_t)(1u << num_random(&seed) % 8);
        (void)dissect(c, s, out, slice(bad, len), addr, text);
    }
}

void
suite_dissect_finds_an_address_in_its_own_exchange(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    const struct nx_settings *s = fake_host_settings(fake_host_dev(h));
    struct wbuf in = wbuf_init(0);
    char text[200];

    for (uint32_t i = 0; c->driver->dissect && i < 5; i++) {
        const void *addr = suite_address(c, h, i), *absent = suite_address(c, h, SUITE_MANY - 1);
        struct fake_op *op = fake_host_read(h, &addr, 1);
        struct slice out;
        for (unsigned step = 0; step < 50 && fake_host_written(h).len == 0; step++)
            fake_host_advance_ms(h, SUITE_IDLE_STEP_MS);
        out = fake_host_written(h);
        out.p = (const uint8_t *)mem_strndup(out.p, out.len);
        wbuf_reset(&in);
        assert_true(suite_answer(c, h, ANSWER_GOOD, &in));
        assert_true(dissect(c, s, out, wbuf_slice_of(&in), addr, text) && text[0] != '\0');
        assert_true(dissect(c, s, out, wbuf_slice_of(&in), NULL, text) && text[0] != '\0');
        assert_false(dissect(c, s, out, wbuf_slice_of(&in), absent, text));
        dissect_damaged(c, s, out, wbuf_slice_of(&in), addr);
        fake_host_feed(h, wbuf_slice_of(&in));
        suite_serve(c, h, ANSWER_GOOD);
        suite_good(c, op, i);
        free((void *)(uintptr_t)out.p);
    }
    wbuf_free(&in);
    fake_host_free(&h);
}
