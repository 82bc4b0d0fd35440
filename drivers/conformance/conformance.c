#include "conformance.h"

#include "base/mem.h"
#include "base/num.h"
#include "suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct fake_op *
write_one(const struct conformance *c, struct fake_host *h, uint32_t i)
{
    return fake_host_write(h, suite_address(c, h, i), c->value(i));
}

static void
opens_and_closes_in_each_state(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = fake_host_new(c->driver, c->settings);

    fake_host_close(h); /* never opened */
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_close(h); /* before the stream is there */
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    fake_host_close(h); /* right after it, maybe in a handshake */
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    suite_serve(c, h, ANSWER_GOOD);
    assert_true(fake_host_is_up(h));
    fake_host_close(h); /* idle */
    assert_int_equal(fake_host_closeds(h), 3);
    assert_int_equal(fake_host_downs(h), 0);
    fake_host_free(&h);
}

static void
refused_link_is_one_link_down(void **state)
{
    const struct conformance *c = suite_of(state);
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
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct fake_op *rd = suite_read_one(c, h, 0), *wr = c->driver->write ? write_one(c, h, 1) : rd;

    fake_host_close(h);
    assert_int_equal(rd->err, NX_E_CANCELED);
    assert_int_equal(wr->err, NX_E_CANCELED);
    fake_host_free(&h);
}

static void
lost_link_ends_operations_and_can_be_reopened(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct fake_op *rd = suite_read_one(c, h, 0);

    fake_host_hang_up(h, NX_E_CLOSED);
    assert_int_equal(fake_host_downs(h), 1);
    fake_host_close(h);
    assert_true(rd->is_done);
    assert_int_not_equal(rd->err, NX_OK);
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    suite_serve(c, h, ANSWER_GOOD);
    suite_works(c, h);
    fake_host_free(&h);
}

static void
read_and_write_complete(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct fake_op *a = suite_read_one(c, h, 0), *b = suite_read_one(c, h, 1), *wr = NULL;

    if (c->driver->write)
        wr = write_one(c, h, 2);
    suite_serve(c, h, ANSWER_GOOD);
    suite_good(c, a, 0);
    suite_good(c, b, 1);
    assert_true(!wr || (wr->is_done && wr->err == NX_OK));
    fake_host_free(&h);
}

static void
reply_may_be_split_at_every_byte(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    size_t len = 2;

    for (size_t cut = 1; cut < len; cut++) {
        struct wbuf out = wbuf_init(0);
        struct fake_op *op = suite_read_one(c, h, (uint32_t)cut);

        assert_true(suite_answer(c, h, ANSWER_GOOD, &out));
        len = out.len;
        fake_host_feed(h, slice(out.p, cut));
        assert_false(op->is_done);
        fake_host_feed(h, slice(out.p + cut, out.len - cut));
        suite_serve(c, h, ANSWER_GOOD);
        suite_good(c, op, (uint32_t)cut);
        wbuf_free(&out);
    }
    fake_host_free(&h);
}

static void
reply_may_come_byte_by_byte(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct fake_op *op = suite_read_one(c, h, 7);
    struct wbuf out = wbuf_init(0);

    assert_true(suite_answer(c, h, ANSWER_GOOD, &out));
    for (size_t i = 0; i < out.len; i++)
        fake_host_feed(h, slice(out.p + i, 1));
    suite_good(c, op, 7);
    wbuf_free(&out);
    fake_host_free(&h);
}

static void
cancel_in_the_middle_of_a_frame(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    size_t len = 2;

    for (size_t cut = 1; cut < len; cut++) {
        struct wbuf out = wbuf_init(0);
        struct fake_op *op = suite_read_one(c, h, 0);

        assert_true(suite_answer(c, h, ANSWER_GOOD, &out));
        len = out.len;
        fake_host_feed(h, slice(out.p, cut));
        fake_host_cancel(op, NX_E_TIMEOUT);
        fake_host_feed(h, slice(out.p + cut, out.len - cut));
        assert_int_equal(op->set_count, 0);
        suite_works(c, h);
        wbuf_free(&out);
    }
    fake_host_free(&h);
}

static void
reply_after_the_deadline_is_dropped(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct wbuf out = wbuf_init(0);

    for (unsigned i = 0; i < 20; i++) { /* more often than unknown replies are tolerated */
        struct fake_op *op = suite_read_one(c, h, 0);
        wbuf_reset(&out);
        assert_true(suite_answer(c, h, ANSWER_GOOD, &out));
        fake_host_advance_ms(h, 1000);
        fake_host_cancel(op, NX_E_TIMEOUT);
        fake_host_feed(h, slice(out.p, out.len));
        assert_int_equal(op->set_count, 0);
        assert_true(fake_host_is_up(h));
    }
    assert_int_equal(fake_host_counter(h, NX_COUNT_STALE_REPLIES), 20);
    suite_works(c, h);
    wbuf_free(&out);
    fake_host_free(&h);
}

static void
late_reply_is_not_taken_for_the_next_one(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct wbuf out = wbuf_init(0);
    struct fake_op *late = suite_read_one(c, h, 0), *op;

    assert_true(suite_answer(c, h, ANSWER_GOOD, &out));
    fake_host_cancel(late, NX_E_TIMEOUT);
    op = suite_read_one(c, h, 5);
    fake_host_feed(h, slice(out.p, out.len));
    assert_false(op->is_done);
    suite_serve(c, h, ANSWER_GOOD);
    suite_good(c, op, 5);
    wbuf_free(&out);
    fake_host_free(&h);
}

static void
wrong_identifier_never_reaches_a_tag(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct fake_op *op = suite_read_one(c, h, 0);

    suite_serve(c, h, ANSWER_WRONG_ID);
    assert_int_equal(op->good_count, 0);
    fake_host_cancel(op, NX_E_TIMEOUT);
    for (unsigned i = 0; i < 10 && fake_host_is_up(h); i++) {
        op = suite_read_one(c, h, i);
        suite_serve(c, h, ANSWER_WRONG_ID);
        assert_int_equal(op->good_count, 0);
        fake_host_cancel(op, NX_E_TIMEOUT);
    }
    assert_false(fake_host_is_up(h)); /* a peer that keeps doing so is dropped */
    fake_host_free(&h);
}

static void
error_of_the_device_is_a_bad_item(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct fake_op *op = suite_read_one(c, h, 0), *wr;

    suite_serve(c, h, ANSWER_ERROR);
    assert_true(op->is_done);
    assert_int_equal(op->good_count, 0);
    assert_true(op->err != NX_OK || op->items[0].err != NX_OK);
    if (c->driver->write) {
        wr = write_one(c, h, 1);
        suite_serve(c, h, ANSWER_ERROR);
        assert_true(wr->is_done && wr->err != NX_OK && wr->why[0] != '\0');
    }
    assert_true(fake_host_is_up(h)); /* a refusal is no reason to reconnect */
    suite_works(c, h);
    fake_host_free(&h);
}

static void
many_points_in_one_read(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    const void **addrs = mem_calloc(SUITE_MANY, sizeof *addrs);
    struct fake_op *op;

    for (uint32_t i = 0; i < SUITE_MANY; i++)
        addrs[i] = suite_address(c, h, i);
    op = fake_host_read(h, addrs, SUITE_MANY);
    suite_serve(c, h, ANSWER_GOOD);
    suite_good(c, op, 0);
    fake_host_read_again(op);
    suite_serve(c, h, ANSWER_GOOD);
    suite_good(c, op, 0);
    fake_host_read_again(op);
    fake_host_cancel(op, NX_E_TIMEOUT);
    suite_works(c, h);
    free(addrs);
    fake_host_free(&h);
}

static void
garbage_breaks_nothing(void **state)
{
    const struct conformance *c = suite_of(state);
    uint64_t seed = 20250101;

    for (unsigned round = 0; round < 300; round++) {
        struct fake_host *h = suite_connect(c);
        uint8_t junk[300];
        size_t len = num_random(&seed) % sizeof junk;
        struct fake_op *op = suite_read_one(c, h, round);

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
    const struct conformance *c = suite_of(state);
    struct wbuf out = wbuf_init(0);
    size_t len = 1;

    for (size_t at = 0; at < len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct fake_host *h = suite_connect(c);
            struct fake_op *op = suite_read_one(c, h, 0);

            wbuf_reset(&out);
            assert_true(suite_answer(c, h, ANSWER_GOOD, &out));
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
    const struct conformance *c = suite_of(state);
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

static void
tables_are_complete(void **state)
{
    const struct nx_driver *drv = suite_of(state)->driver;
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
#undef CASE
#define CASE(f) cmocka_unit_test_prestate(suite_##f, arg),
        SUITE_MORE_CASES(CASE)
#undef CASE
    };

    return cmocka_run_group_tests_name(c->driver->name, tests, NULL, NULL);
}
