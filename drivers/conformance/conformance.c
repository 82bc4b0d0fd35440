#include "conformance.h"

#include "base/mem.h"
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MANY         10000u
#define SOME         500u
#define IDLE_STEP_MS 10u
#define IDLE_STEPS   50u
/* A device that has one request to make must not wait for more than so many requests of the others. */
#define TURN_MAX 40u

static const struct conformance *
suite(void **state)
{
    return *state;
}

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

/* Answers until nothing is asked any more. A driver may want to wait before its next request: as long as operations are
 * open, time passes too, but not without bound. */
static void
serve(const struct conformance *c, struct fake_host *h, enum conformance_answer how)
{
    struct wbuf out = wbuf_init(0);

    for (unsigned idle = 0; idle < IDLE_STEPS;) {
        if (answer_pending(c, h, how, &out)) {
            fake_host_feed(h, slice(out.p, out.len));
            wbuf_reset(&out);
            idle = 0;
        } else if (fake_host_open_ops(h) > 0) {
            fake_host_advance_ms(h, IDLE_STEP_MS);
            idle++;
        } else {
            break;
        }
    }
    wbuf_free(&out);
}

/* Answers one request, waiting for it a little. False: none came. */
static bool
serve_one(const struct conformance *c, struct fake_host *h)
{
    struct wbuf out = wbuf_init(0);
    size_t n = c->answer(fake_host_written(h), ANSWER_GOOD, &out);

    for (unsigned idle = 0; n == 0 && idle < IDLE_STEPS; idle++) {
        fake_host_advance_ms(h, IDLE_STEP_MS);
        n = c->answer(fake_host_written(h), ANSWER_GOOD, &out);
    }
    fake_host_take(h, n);
    fake_host_feed(h, slice(out.p, out.len));
    wbuf_free(&out);
    return n > 0;
}

static struct fake_host *
connect_device(const struct conformance *c)
{
    struct fake_host *h = fake_host_new(c->driver, c->settings);

    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    serve(c, h, ANSWER_GOOD);
    assert_true(fake_host_is_up(h));
    return h;
}

static const void *
address(const struct conformance *c, struct fake_host *h, uint32_t i)
{
    char text[64];
    struct nx_addr_spec spec = {.address = text};

    c->address(i, &spec, text, sizeof text);
    return fake_host_addr(h, &spec);
}

static struct fake_op *
read_one(const struct conformance *c, struct fake_host *h, uint32_t i)
{
    const void *addr = address(c, h, i);

    return fake_host_read(h, &addr, 1);
}

static struct fake_op *
write_one(const struct conformance *c, struct fake_host *h, uint32_t i)
{
    return fake_host_write(h, address(c, h, i), c->value(i));
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

static void
assert_good(const struct conformance *c, const struct fake_op *op, uint32_t first)
{
    assert_true(op->is_done);
    assert_int_equal(op->err, NX_OK);
    assert_int_equal(op->good_count, op->item_count);
    for (uint32_t i = 0; i < op->item_count; i++)
        assert_true(is_value(op->items[i].value, c->value(first + i)));
}

/* The link still works: a fresh read gets its value. */
static void
assert_works(const struct conformance *c, struct fake_host *h)
{
    struct fake_op *op = read_one(c, h, 3);

    serve(c, h, ANSWER_GOOD);
    assert_good(c, op, 3);
}

static void
opens_and_closes_in_each_state(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = fake_host_new(c->driver, c->settings);

    fake_host_close(h); /* never opened */
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_close(h); /* before the stream is there */
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    fake_host_close(h); /* right after it, maybe in a handshake */
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    serve(c, h, ANSWER_GOOD);
    assert_true(fake_host_is_up(h));
    fake_host_close(h); /* idle */
    assert_int_equal(fake_host_closeds(h), 3);
    assert_int_equal(fake_host_downs(h), 0);
    fake_host_free(&h);
}

static void
refused_link_is_one_link_down(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = fake_host_new(c->driver, c->settings);

    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(fake_host_open(h), NX_OK);
        fake_host_hang_up(h, NX_E_REFUSED);
        assert_int_equal(fake_host_downs(h), i);
        assert_int_equal(fake_host_down_err(h), NX_E_REFUSED);
        fake_host_close(h);
        assert_int_equal(fake_host_closeds(h), i);
    }
    fake_host_free(&h);
}

static void
close_ends_open_operations(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct fake_op *rd = read_one(c, h, 0), *wr = c->driver->write ? write_one(c, h, 1) : rd;

    fake_host_close(h);
    assert_int_equal(rd->err, NX_E_CANCELED);
    assert_int_equal(wr->err, NX_E_CANCELED);
    fake_host_free(&h);
}

static void
lost_link_ends_operations_and_can_be_reopened(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct fake_op *rd = read_one(c, h, 0);

    fake_host_hang_up(h, NX_E_CLOSED);
    assert_int_equal(fake_host_downs(h), 1);
    fake_host_close(h);
    assert_true(rd->is_done);
    assert_int_not_equal(rd->err, NX_OK);
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    serve(c, h, ANSWER_GOOD);
    assert_works(c, h);
    fake_host_free(&h);
}

static void
read_and_write_complete(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct fake_op *a = read_one(c, h, 0), *b = read_one(c, h, 1), *wr = NULL;

    if (c->driver->write)
        wr = write_one(c, h, 2);
    serve(c, h, ANSWER_GOOD);
    assert_good(c, a, 0);
    assert_good(c, b, 1);
    assert_true(!wr || (wr->is_done && wr->err == NX_OK));
    fake_host_free(&h);
}

static void
reply_may_be_split_at_every_byte(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    size_t len = 2;

    for (size_t cut = 1; cut < len; cut++) {
        struct wbuf out = wbuf_init(0);
        struct fake_op *op = read_one(c, h, (uint32_t)cut);

        assert_true(answer_pending(c, h, ANSWER_GOOD, &out));
        len = out.len;
        fake_host_feed(h, slice(out.p, cut));
        assert_false(op->is_done);
        fake_host_feed(h, slice(out.p + cut, out.len - cut));
        serve(c, h, ANSWER_GOOD);
        assert_good(c, op, (uint32_t)cut);
        wbuf_free(&out);
    }
    fake_host_free(&h);
}

static void
reply_may_come_byte_by_byte(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct fake_op *op = read_one(c, h, 7);
    struct wbuf out = wbuf_init(0);

    assert_true(answer_pending(c, h, ANSWER_GOOD, &out));
    for (size_t i = 0; i < out.len; i++)
        fake_host_feed(h, slice(out.p + i, 1));
    assert_good(c, op, 7);
    wbuf_free(&out);
    fake_host_free(&h);
}

static void
cancel_in_the_middle_of_a_frame(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    size_t len = 2;

    for (size_t cut = 1; cut < len; cut++) {
        struct wbuf out = wbuf_init(0);
        struct fake_op *op = read_one(c, h, 0);

        assert_true(answer_pending(c, h, ANSWER_GOOD, &out));
        len = out.len;
        fake_host_feed(h, slice(out.p, cut));
        fake_host_cancel(op, NX_E_TIMEOUT);
        fake_host_feed(h, slice(out.p + cut, out.len - cut));
        assert_int_equal(op->set_count, 0);
        assert_works(c, h);
        wbuf_free(&out);
    }
    fake_host_free(&h);
}

static void
reply_after_the_deadline_is_dropped(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct wbuf out = wbuf_init(0);

    for (unsigned i = 0; i < 20; i++) { /* more often than unknown replies are tolerated */
        struct fake_op *op = read_one(c, h, 0);
        wbuf_reset(&out);
        assert_true(answer_pending(c, h, ANSWER_GOOD, &out));
        fake_host_advance_ms(h, 1000);
        fake_host_cancel(op, NX_E_TIMEOUT);
        fake_host_feed(h, slice(out.p, out.len));
        assert_int_equal(op->set_count, 0);
        assert_true(fake_host_is_up(h));
    }
    assert_int_equal(fake_host_counter(h, NX_COUNT_STALE_REPLIES), 20);
    assert_works(c, h);
    wbuf_free(&out);
    fake_host_free(&h);
}

static void
late_reply_is_not_taken_for_the_next_one(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct wbuf out = wbuf_init(0);
    struct fake_op *late = read_one(c, h, 0), *op;

    assert_true(answer_pending(c, h, ANSWER_GOOD, &out));
    fake_host_cancel(late, NX_E_TIMEOUT);
    op = read_one(c, h, 5);
    fake_host_feed(h, slice(out.p, out.len));
    assert_false(op->is_done);
    serve(c, h, ANSWER_GOOD);
    assert_good(c, op, 5);
    wbuf_free(&out);
    fake_host_free(&h);
}

static void
wrong_identifier_never_reaches_a_tag(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct fake_op *op = read_one(c, h, 0);

    serve(c, h, ANSWER_WRONG_ID);
    assert_int_equal(op->good_count, 0);
    fake_host_cancel(op, NX_E_TIMEOUT);
    for (unsigned i = 0; i < 10 && fake_host_is_up(h); i++) {
        op = read_one(c, h, i);
        serve(c, h, ANSWER_WRONG_ID);
        assert_int_equal(op->good_count, 0);
        fake_host_cancel(op, NX_E_TIMEOUT);
    }
    assert_false(fake_host_is_up(h)); /* a peer that keeps doing so is dropped */
    fake_host_free(&h);
}

static void
error_of_the_device_is_a_bad_item(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct fake_op *op = read_one(c, h, 0), *wr;

    serve(c, h, ANSWER_ERROR);
    assert_true(op->is_done);
    assert_int_equal(op->good_count, 0);
    assert_true(op->err != NX_OK || op->items[0].err != NX_OK);
    if (c->driver->write) {
        wr = write_one(c, h, 1);
        serve(c, h, ANSWER_ERROR);
        assert_true(wr->is_done && wr->err != NX_OK && wr->why[0] != '\0');
    }
    assert_true(fake_host_is_up(h)); /* a refusal is no reason to reconnect */
    assert_works(c, h);
    fake_host_free(&h);
}

static void
many_points_in_one_read(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    const void **addrs = mem_calloc(MANY, sizeof *addrs);
    struct fake_op *op;

    for (uint32_t i = 0; i < MANY; i++)
        addrs[i] = address(c, h, i);
    op = fake_host_read(h, addrs, MANY);
    serve(c, h, ANSWER_GOOD);
    assert_good(c, op, 0);
    fake_host_read_again(op);
    serve(c, h, ANSWER_GOOD);
    assert_good(c, op, 0);
    fake_host_read_again(op);
    fake_host_cancel(op, NX_E_TIMEOUT);
    assert_works(c, h);
    free(addrs);
    fake_host_free(&h);
}

static void
garbage_breaks_nothing(void **state)
{
    const struct conformance *c = suite(state);
    uint64_t seed = 20250101;

    for (unsigned round = 0; round < 300; round++) {
        struct fake_host *h = connect_device(c);
        uint8_t junk[300];
        size_t len = num_random(&seed) % sizeof junk;
        struct fake_op *op = read_one(c, h, round);

        for (size_t i = 0; i < len; i++)
            junk[i] = (uint8_t)num_random(&seed);
        fake_host_feed(h, slice(junk, len));
        fake_host_cancel(op, NX_E_TIMEOUT);
        fake_host_free(&h);
    }
}

static void
corrupted_replies_break_nothing(void **state)
{
    const struct conformance *c = suite(state);
    struct wbuf out = wbuf_init(0);
    size_t len = 1;

    for (size_t at = 0; at < len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct fake_host *h = connect_device(c);
            struct fake_op *op = read_one(c, h, 0);

            wbuf_reset(&out);
            assert_true(answer_pending(c, h, ANSWER_GOOD, &out));
            len = out.len;
            out.p[at] ^= (uint8_t)(1u << bit);
            fake_host_feed(h, slice(out.p, out.len));
            fake_host_cancel(op, NX_E_TIMEOUT);
            fake_host_free(&h);
        }
    }
    wbuf_free(&out);
}

static void
canonical_address_means_the_same(void **state)
{
    const struct conformance *c = suite(state);
    const struct nx_driver *drv = c->driver;
    void *a = mem_alloc(drv->addr_size), *b = mem_alloc(drv->addr_size);
    char text[64];

    for (uint32_t i = 0; i < 200; i++) {
        struct nx_addr_spec spec = {.address = text}, second;
        struct nx_addr_info info = {0}, again = {0};
        memset(a, 0, drv->addr_size);
        memset(b, 0, drv->addr_size);
        c->address(i, &spec, text, sizeof text);
        assert_int_equal(drv->addr_parse(&spec, a, &info, NULL), NX_OK);
        second = spec;
        second.address = info.canonical;
        second.settings = NULL;
        assert_int_equal(drv->addr_parse(&second, b, &again, NULL), NX_OK);
        assert_string_equal(info.canonical, again.canonical);
        assert_int_equal(info.elements, 0);
        assert_memory_equal(a, b, drv->addr_size);
    }
    free(a);
    free(b);
}

/* --- several devices on one link --- */

static struct nx_dev *
second_device(const struct conformance *c, struct fake_host *h)
{
    struct nx_dev *dev = fake_host_add_dev(h, c->second ? c->second : c->settings);

    assert_int_equal(fake_host_attach(dev), NX_OK);
    return dev;
}

static struct fake_op *
read_many(const struct conformance *c, struct nx_dev *dev, struct fake_host *h, uint32_t n)
{
    const void **addrs = mem_calloc(n, sizeof *addrs);
    struct fake_op *op;

    for (uint32_t i = 0; i < n; i++)
        addrs[i] = address(c, h, i);
    op = fake_host_read_dev(dev, addrs, n);
    free(addrs);
    return op;
}

static void
devices_take_turns(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct nx_dev *other = second_device(c, h);
    struct fake_op *large = read_many(c, fake_host_dev(h), h, MANY), *small = read_many(c, other, h, 1), *back;
    unsigned turns = 0;

    while (!small->is_done && turns++ < TURN_MAX)
        assert_true(serve_one(c, h));
    assert_good(c, small, 0);
    assert_false(large->is_done);
    back = read_many(c, other, h, MANY); /* and the other way round: both get on */
    for (turns = 0; turns < 2 * TURN_MAX; turns++)
        assert_true(serve_one(c, h));
    assert_true(large->set_count > 0 && back->set_count > 0);
    serve(c, h, ANSWER_GOOD);
    assert_good(c, large, 0);
    assert_good(c, back, 0);
    fake_host_free(&h);
}

static void
higher_priority_goes_first(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct fake_op *urgent;
    unsigned turns = 0;

    for (uint32_t i = 0; i < 2 * TURN_MAX; i++)
        (void)read_one(c, h, i);
    fake_host_set_priority(h, 2);
    urgent = read_one(c, h, 5);
    while (!urgent->is_done && turns++ < TURN_MAX)
        assert_true(serve_one(c, h));
    assert_good(c, urgent, 5);
    assert_true(fake_host_open_ops(h) > 0);
    fake_host_free(&h);
}

static void
close_of_a_shared_link_ends_all(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct nx_dev *other = second_device(c, h);
    struct fake_op *a = read_many(c, fake_host_dev(h), h, 3), *b = read_many(c, other, h, 3);

    fake_host_close(h);
    assert_int_equal(a->err, NX_E_CANCELED);
    assert_int_equal(b->err, NX_E_CANCELED);
    fake_host_free(&h);
}

/* While an operation waits for its turn no timeout runs: alive is for what really left or arrived. */
static void
alive_is_told_when_a_request_leaves_and_when_an_answer_comes(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct fake_op *ops[TURN_MAX];
    unsigned alive = 0;
    uint64_t before = fake_host_counter(h, NX_COUNT_REQUESTS);

    for (uint32_t i = 0; i < TURN_MAX; i++)
        ops[i] = read_one(c, h, i);
    for (uint32_t i = 0; i < TURN_MAX; i++)
        alive += ops[i]->alive_count;
    assert_true(alive > 0);
    assert_int_equal(alive, fake_host_counter(h, NX_COUNT_REQUESTS) - before);
    serve(c, h, ANSWER_GOOD);
    for (uint32_t i = 0; i < TURN_MAX; i++)
        assert_true(ops[i]->is_done && ops[i]->alive_count >= 2);
    fake_host_free(&h);
}

/* --- what was learned --- */

static void
what_was_learned_survives_a_restart(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    struct fake_op *op = read_many(c, fake_host_dev(h), h, 20);
    char *learned;

    serve(c, h, ANSWER_ERROR);
    assert_true(op->is_done);
    learned = fake_host_learned(fake_host_dev(h)) ? mem_strdup(fake_host_learned(fake_host_dev(h))) : NULL;
    fake_host_restart(h);
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    serve(c, h, ANSWER_GOOD);
    fake_host_read_again(op);
    serve(c, h, ANSWER_GOOD);
    assert_true(op->is_done && op->err == NX_OK);
    assert_int_equal(op->set_count, op->item_count);
    if (learned)
        assert_non_null(fake_host_learned(fake_host_dev(h)));
    else
        assert_good(c, op, 0);
    free(learned);
    fake_host_free(&h);
}

static void
learned_text_may_be_anything(void **state)
{
    static const char *const texts[] = {"", " ", "v0", "v999999999999999999999 x", "1 2 3", "}{", "\xFF\xFE;;::--,,"};
    const struct conformance *c = suite(state);
    uint64_t seed = 7;

    for (unsigned round = 0; round < 200 + MEM_COUNT(texts); round++) {
        struct fake_host *h = fake_host_new(c->driver, c->settings);
        char junk[200] = "";
        for (size_t i = 0; i < num_random(&seed) % (sizeof junk - 1); i++)
            junk[i] = (char)(' ' + num_random(&seed) % 95);
        fake_host_learn(fake_host_dev(h), round < MEM_COUNT(texts) ? texts[round] : junk);
        assert_int_equal(fake_host_open(h), NX_OK);
        fake_host_accept(h);
        serve(c, h, ANSWER_GOOD);
        assert_works(c, h);
        fake_host_free(&h);
    }
}

/* --- explain and dissect --- */

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

static void
explain_tells_each_item_once(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = fake_host_new(c->driver, c->settings);
    const void *addrs[SOME];
    struct fake_op *op;
    uint64_t before;

    if (!c->driver->explain) {
        fake_host_free(&h);
        return;
    }
    for (uint32_t i = 0; i < SOME; i++)
        addrs[i] = address(c, h, i);
    op = fake_host_read_list(fake_host_dev(h), addrs, SOME);
    assert_each_item_once(fake_host_explain(op), SOME); /* the link was never up */
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    serve(c, h, ANSWER_GOOD);
    fake_host_read_again(op);
    serve(c, h, ANSWER_GOOD);
    before = fake_host_counter(h, NX_COUNT_REQUESTS);
    fake_host_read_again(op);
    serve(c, h, ANSWER_GOOD);
    assert_good(c, op, 0);
    assert_each_item_once(fake_host_explain(op), SOME);
    assert_int_equal(fake_host_explain(op)->count, fake_host_counter(h, NX_COUNT_REQUESTS) - before);
    fake_host_read_again(op);
    serve(c, h, ANSWER_ERROR);
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
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t bad[512];
        size_t len = in.len < sizeof bad ? in.len : sizeof bad;
        memcpy(bad, in.p, len);
        bad[num_random(&seed) % len] ^= (uint8_t)(1u << num_random(&seed) % 8);
        (void)dissect(c, s, out, slice(bad, len), addr, text);
    }
}

static void
dissect_finds_an_address_in_its_own_exchange(void **state)
{
    const struct conformance *c = suite(state);
    struct fake_host *h = connect_device(c);
    const struct nx_settings *s = fake_host_settings(fake_host_dev(h));
    struct wbuf in = wbuf_init(0);
    char text[200];

    for (uint32_t i = 0; c->driver->dissect && i < 5; i++) {
        const void *addr = address(c, h, i), *absent = address(c, h, MANY - 1);
        struct fake_op *op = fake_host_read(h, &addr, 1);
        struct slice written = fake_host_written(h), out = slice(mem_strndup(written.p, written.len), written.len);
        wbuf_reset(&in);
        assert_true(answer_pending(c, h, ANSWER_GOOD, &in));
        assert_true(dissect(c, s, out, wbuf_slice_of(&in), addr, text) && text[0] != '\0');
        assert_true(dissect(c, s, out, wbuf_slice_of(&in), NULL, text) && text[0] != '\0');
        assert_false(dissect(c, s, out, wbuf_slice_of(&in), absent, text));
        dissect_damaged(c, s, out, wbuf_slice_of(&in), addr);
        fake_host_feed(h, wbuf_slice_of(&in));
        serve(c, h, ANSWER_GOOD);
        assert_good(c, op, i);
        free((void *)(uintptr_t)out.p);
    }
    wbuf_free(&in);
    fake_host_free(&h);
}

static void
tables_are_complete(void **state)
{
    const struct nx_driver *drv = suite(state)->driver;
    const struct nx_param *tables[] = {drv->params, drv->tag_params};

    assert_int_equal(drv->abi, NX_DRIVER_ABI);
    assert_int_equal(drv->size, sizeof *drv);
    assert_true(drv->name && drv->summary && drv->addr_parse && drv->attach && drv->open && drv->close && drv->read &&
                drv->cancel);
    for (size_t t = 0; t < MEM_COUNT(tables); t++)
        for (const struct nx_param *p = tables[t]; p->key; p++) {
            struct nx_settings defaults = {tables[t], NULL};
            assert_true(p->help && p->help[0] != '\0');
            if (p->type == NX_PARAM_ENUM)
                assert_true(nx_setting_enum(&defaults, p->key) >= 0);
        }
}

int
conformance_run(const struct conformance *c)
{
    void *arg = (void *)(uintptr_t)c;
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_prestate(f, arg)
        CASE(tables_are_complete),
        CASE(canonical_address_means_the_same),
        CASE(opens_and_closes_in_each_state),
        CASE(refused_link_is_one_link_down),
        CASE(close_ends_open_operations),
        CASE(lost_link_ends_operations_and_can_be_reopened),
        CASE(read_and_write_complete),
        CASE(reply_may_be_split_at_every_byte),
        CASE(reply_may_come_byte_by_byte),
        CASE(cancel_in_the_middle_of_a_frame),
        CASE(reply_after_the_deadline_is_dropped),
        CASE(late_reply_is_not_taken_for_the_next_one),
        CASE(wrong_identifier_never_reaches_a_tag),
        CASE(error_of_the_device_is_a_bad_item),
        CASE(many_points_in_one_read),
        CASE(garbage_breaks_nothing),
        CASE(corrupted_replies_break_nothing),
        CASE(devices_take_turns),
        CASE(higher_priority_goes_first),
        CASE(close_of_a_shared_link_ends_all),
        CASE(alive_is_told_when_a_request_leaves_and_when_an_answer_comes),
        CASE(what_was_learned_survives_a_restart),
        CASE(learned_text_may_be_anything),
        CASE(explain_tells_each_item_once),
        CASE(dissect_finds_an_address_in_its_own_exchange),
#undef CASE
    };

    return cmocka_run_group_tests_name(c->driver->name, tests, NULL, NULL);
}
