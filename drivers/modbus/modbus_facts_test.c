#include "modbus_facts.h"

#include "base/mem.h"
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Facts with memory that the test frees. */
struct rig {
    struct modbus_facts facts;
    void *lost[64];
    unsigned lost_count;
};

static void *
keep(void *arg, size_t size)
{
    struct rig *r = arg;

    assert_true(r->lost_count < MEM_COUNT(r->lost));
    return r->lost[r->lost_count++] = mem_alloc(size);
}

static struct rig *
rig_new(void)
{
    struct rig *r = mem_alloc(sizeof *r);

    r->facts.alloc = keep;
    r->facts.arg = r;
    modbus_facts_init(&r->facts, 125, 2000);
    return r;
}

static void
rig_free(struct rig **r)
{
    for (unsigned i = 0; i < (*r)->lost_count; i++)
        free((*r)->lost[i]);
    free(*r);
    *r = NULL;
}

static void
assert_text(struct rig *r, const char *expected)
{
    struct wbuf text = wbuf_init(0);

    modbus_facts_write(&r->facts, &text);
    assert_string_equal(wbuf_cstr(&text), expected);
    assert_false(r->facts.is_dirty);
    wbuf_free(&text);
}

static void
largest_request_is_searched_by_halving(void **state)
{
    struct rig *r = rig_new();
    struct modbus_facts *f = &r->facts;

    (void)state;
    modbus_facts_answered(f, MODBUS_HOLDING, 30);
    assert_int_equal(f->regs.now, 125); /* nothing was refused: no search */
    assert_false(f->is_dirty);
    modbus_facts_too_large(f, MODBUS_HOLDING, 101);
    assert_int_equal(f->regs.now, 65);
    modbus_facts_answered(f, MODBUS_INPUT, 65); /* one limit for both tables */
    assert_int_equal(f->regs.now, 83);
    modbus_facts_too_large(f, MODBUS_INPUT, 83);
    assert_int_equal(f->regs.now, 74);
    while (f->regs.low < f->regs.high) {
        if (f->regs.now > 70)
            modbus_facts_too_large(f, MODBUS_HOLDING, f->regs.now);
        else
            modbus_facts_answered(f, MODBUS_HOLDING, f->regs.now);
    }
    assert_int_equal(f->regs.now, 70);
    assert_int_equal(f->bits.now, 2000);
    assert_text(r, "v1 regs=70-70 bits=0-2000");
    modbus_facts_answered(f, MODBUS_HOLDING, 90); /* a single long tag: so it can do more */
    assert_int_equal(f->regs.now, 90);
    rig_free(&r);
}

static void
nothing_smaller_than_one(void **state)
{
    struct rig *r = rig_new();

    (void)state;
    for (unsigned n = 125; n > 0; n--)
        modbus_facts_too_large(&r->facts, MODBUS_COIL, n);
    assert_int_equal(r->facts.bits.now, 1);
    assert_int_equal(r->facts.bits.high, 1);
    rig_free(&r);
}

static void
holes_and_cuts_are_kept_sorted(void **state)
{
    struct rig *r = rig_new();
    struct modbus_facts *f = &r->facts;

    (void)state;
    modbus_facts_set_hole(f, modbus_place(MODBUS_HOLDING, 9), 2, 3);
    modbus_facts_set_hole(f, modbus_place(MODBUS_COIL, 65535), 1, 2);
    modbus_facts_set_hole(f, modbus_place(MODBUS_HOLDING, 9), 1, 2);
    modbus_facts_set_hole(f, modbus_place(MODBUS_HOLDING, 5), 1, 0); /* never was one */
    modbus_facts_set_cut(f, modbus_place(MODBUS_INPUT, 7));
    modbus_facts_set_cut(f, modbus_place(MODBUS_DISCRETE, 100));
    modbus_facts_set_cut(f, modbus_place(MODBUS_INPUT, 7));
    assert_int_equal(modbus_facts_hole(f, modbus_place(MODBUS_HOLDING, 9), 2), 3);
    assert_int_equal(modbus_facts_hole(f, modbus_place(MODBUS_HOLDING, 9), 3), 0);
    assert_true(modbus_facts_is_cut(f, modbus_place(MODBUS_INPUT, 6), modbus_place(MODBUS_INPUT, 7)));
    assert_false(modbus_facts_is_cut(f, modbus_place(MODBUS_INPUT, 7), modbus_place(MODBUS_INPUT, 9)));
    assert_text(r, "v1 regs=0-125 bits=0-2000 c65535+1:2 h9+1:2 h9+2:3 d100| i7|");
    modbus_facts_set_hole(f, modbus_place(MODBUS_HOLDING, 9), 1, 0);
    assert_true(f->is_dirty);
    modbus_facts_relearn(f, 125, 2000);
    assert_text(r, "v1 regs=0-125 bits=0-2000 c65535+1:2 h9+2:3");
    rig_free(&r);
}

static void
text_comes_back(void **state)
{
    static const char *const texts[] = {
        "v1 regs=0-125 bits=0-2000",
        "v1 regs=60-60 bits=500-700 c1+1:2 d2+1:1 i3+4:3 h65535+1:4 c9| h1|",
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(texts); i++) {
        struct rig *r = rig_new();
        modbus_facts_read(&r->facts, texts[i]);
        assert_text(r, texts[i]);
        rig_free(&r);
    }
}

static void
strange_text_is_ignored(void **state)
{
    static const char *const texts[] = {
        NULL,
        "",
        "v1",
        "v2 regs=60-60 h1+1:2",
        "v1 regs= bits=5",
        "v1 regs=0-0 bits=70-60",
        "v1 regs=1-2x bits=-",
        "v1 regs=99999999999999999999-1 bits=2001-2001",
        "v1 h h1 h1+ h1+1 h1+1: h1+1:0x h1+1:9 h1+0:2 h1+126:2 h65536+1:2 x1+1:2 h1+1:2: h1|x |",
        "v1 \x01\x02 \xFF",
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(texts); i++) {
        struct rig *r = rig_new();
        modbus_facts_read(&r->facts, texts[i]);
        assert_text(r, "v1 regs=0-125 bits=0-2000");
        rig_free(&r);
    }
}

static void
learned_limit_is_never_above_the_setting(void **state)
{
    struct rig *r = rig_new();

    (void)state;
    modbus_facts_init(&r->facts, 40, 100);
    modbus_facts_read(&r->facts, "v1 regs=30-60 bits=100-100");
    assert_int_equal(r->facts.regs.now, 40);
    assert_int_equal(r->facts.bits.now, 100);
    rig_free(&r);
}

static void
bounds_are_kept(void **state)
{
    struct rig *r = rig_new();
    struct wbuf text = wbuf_init(0);
    uint64_t seed = 5;

    (void)state;
    for (unsigned i = 0; i < 3 * MODBUS_HOLES_MAX; i++) {
        unsigned a = 10000 + (unsigned)(num_random(&seed) % 50000), b = 10000 + (unsigned)(num_random(&seed) % 50000);
        modbus_facts_set_hole(&r->facts, modbus_place(MODBUS_HOLDING, a), 125, 3);
        modbus_facts_set_cut(&r->facts, modbus_place(MODBUS_HOLDING, b));
    }
    assert_int_equal(r->facts.hole_count, MODBUS_HOLES_MAX);
    assert_int_equal(r->facts.cut_count, MODBUS_CUTS_MAX);
    for (uint32_t i = 1; i < r->facts.hole_count; i++)
        assert_true(r->facts.holes[i - 1].place < r->facts.holes[i].place);
    modbus_facts_write(&r->facts, &text);
    assert_true(text.len <= NX_LEARNED_MAX);
    wbuf_free(&text);
    rig_free(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(largest_request_is_searched_by_halving),
        cmocka_unit_test(nothing_smaller_than_one),
        cmocka_unit_test(holes_and_cuts_are_kept_sorted),
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(strange_text_is_ignored),
        cmocka_unit_test(learned_limit_is_never_above_the_setting),
        cmocka_unit_test(bounds_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
