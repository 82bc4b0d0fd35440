/* conformance_shared.c -- cases: several devices on one link, priorities, what was learned over a restart. */
#include "base/mem.h"
#include "base/num.h"
#include "suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* A device that has one request to make must not wait for more than so many requests of the others. */
#define TURN_MAX 40u

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
        addrs[i] = suite_address(c, h, i);
    op = fake_host_read_dev(dev, addrs, n);
    free(addrs);
    return op;
}

void
suite_devices_take_turns(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct nx_dev *other = second_device(c, h);
    struct fake_op *large = read_many(c, fake_host_dev(h), h, SUITE_MANY), *small = read_many(c, other, h, 1), *back;
    unsigned turns = 0;

    while (!small->is_done && turns++ < TURN_MAX)
        assert_true(suite_serve_one(c, h));
    suite_good(c, small, 0);
    assert_false(large->is_done);
    back = read_many(c, other, h, SUITE_MANY); /* and the other way round: both get on */
    for (turns = 0; turns < 2 * TURN_MAX; turns++)
        assert_true(suite_serve_one(c, h));
    assert_true(large->set_count > 0 && back->set_count > 0);
    suite_serve(c, h, ANSWER_GOOD);
    suite_good(c, large, 0);
    suite_good(c, back, 0);
    fake_host_free(&h);
}

void
suite_higher_priority_goes_first(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct fake_op *urgent;
    unsigned turns = 0;

    for (uint32_t i = 0; i < 2 * TURN_MAX; i++)
        (void)suite_read_one(c, h, i);
    fake_host_set_priority(h, 2);
    urgent = suite_read_one(c, h, 5);
    while (!urgent->is_done && turns++ < TURN_MAX)
        assert_true(suite_serve_one(c, h));
    suite_good(c, urgent, 5);
    assert_true(fake_host_open_ops(h) > 0);
    fake_host_free(&h);
}

void
suite_close_of_a_shared_link_ends_all(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct nx_dev *other = second_device(c, h);
    struct fake_op *a = read_many(c, fake_host_dev(h), h, 3), *b = read_many(c, other, h, 3);

    fake_host_close(h);
    assert_int_equal(a->err, NX_E_CANCELED);
    assert_int_equal(b->err, NX_E_CANCELED);
    fake_host_free(&h);
}

/* While an operation waits for its turn no timeout runs: alive is for what really left or arrived. */
void
suite_alive_is_told_when_a_request_leaves_and_when_an_answer_comes(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct fake_op *ops[TURN_MAX];
    unsigned alive = 0;
    uint64_t before = fake_host_counter(h, NX_COUNT_REQUESTS);

    for (uint32_t i = 0; i < TURN_MAX; i++)
        ops[i] = suite_read_one(c, h, i);
    fake_host_advance_ms(h, SUITE_IDLE_STEP_MS);
    for (uint32_t i = 0; i < TURN_MAX; i++)
        alive += ops[i]->alive_count;
    assert_true(alive > 0);
    assert_int_equal(alive, fake_host_counter(h, NX_COUNT_REQUESTS) - before);
    suite_serve(c, h, ANSWER_GOOD);
    for (uint32_t i = 0; i < TURN_MAX; i++)
        assert_true(ops[i]->is_done && ops[i]->alive_count >= 2);
    fake_host_free(&h);
}

/* --- what was learned --- */

void
suite_what_was_learned_survives_a_restart(void **state)
{
    const struct conformance *c = suite_of(state);
    struct fake_host *h = suite_connect(c);
    struct fake_op *op = read_many(c, fake_host_dev(h), h, 20);
    char *learned;

    suite_serve(c, h, ANSWER_ERROR);
    assert_true(op->is_done);
    learned = fake_host_learned(fake_host_dev(h)) ? mem_strdup(fake_host_learned(fake_host_dev(h))) : NULL;
    fake_host_restart(h);
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    suite_serve(c, h, ANSWER_GOOD);
    fake_host_read_again(op);
    suite_serve(c, h, ANSWER_GOOD);
    assert_true(op->is_done && op->err == NX_OK);
    assert_int_equal(op->set_count, op->item_count);
    if (learned)
        assert_non_null(fake_host_learned(fake_host_dev(h)));
    else
        suite_good(c, op, 0);
    free(learned);
    fake_host_free(&h);
}

void
suite_learned_text_may_be_anything(void **state)
{
    static const char *const texts[] = {"", " ", "v0", "v999999999999999999999 x", "1 2 3", "}{", "\xFF\xFE;;::--,,"};
    const struct conformance *c = suite_of(state);
    uint64_t seed = 7;

    for (unsigned round = 0; round < 200 + MEM_COUNT(texts); round++) {
        struct fake_host *h = fake_host_new(c->driver, c->settings);
        char junk[200] = "";
        for (size_t i = 0; i < num_random(&seed) % (sizeof junk - 1); i++)
            junk[i] = (char)(' ' + num_random(&seed) % 95);
        fake_host_learn(fake_host_dev(h), round < MEM_COUNT(texts) ? texts[round] : junk);
        assert_int_equal(fake_host_open(h), NX_OK);
        fake_host_accept(h);
        suite_serve(c, h, ANSWER_GOOD);
        suite_works(c, h);
        fake_host_free(&h);
    }
}
