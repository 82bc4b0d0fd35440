#include "modbus_plan.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX 2000

/* A device as a set of readable registers, and a plan over tags on it. */
struct rig {
    struct modbus_limits limits;
    struct modbus_facts facts;
    struct modbus_range ranges[MODBUS_RANGES_MAX];
    struct modbus_addr addrs[MAX];
    struct nx_read_item items[MAX];
    uint32_t n;
    struct modbus_plan plan;
    void *mem;
    void *lost[64]; /* memory of the facts */
    unsigned lost_count;
};

static void *
keep(void *arg, size_t size)
{
    struct rig *r = arg;

    assert_true(r->lost_count < MEM_COUNT(r->lost));
    return r->lost[r->lost_count++] = mem_alloc(size);
}

static void
add(struct rig *r, enum modbus_table table, unsigned start, unsigned count)
{
    r->addrs[r->n] = (struct modbus_addr){.table = (uint8_t)table, .start = (uint16_t)start, .count = (uint16_t)count};
    r->items[r->n] = (struct nx_read_item){&r->addrs[r->n], r->n};
    r->n++;
}

static struct rig *
rig_new(unsigned max_regs, unsigned gap)
{
    struct rig *r = mem_alloc(sizeof *r);

    r->limits = (struct modbus_limits){.max_regs = (uint16_t)max_regs, .max_bits = 2000, .gap = (uint16_t)gap};
    r->limits.ranges = r->ranges;
    r->facts.alloc = keep;
    r->facts.arg = r;
    modbus_facts_init(&r->facts, r->limits.max_regs, r->limits.max_bits);
    return r;
}

static void
compile(struct rig *r)
{
    r->mem = mem_alloc(modbus_plan_bytes(r->n));
    modbus_plan_init(&r->plan, r->mem, &r->limits, &r->facts, r->items, r->n, 1000);
}

static void
rig_free(struct rig **r)
{
    for (unsigned i = 0; i < (*r)->lost_count; i++)
        free((*r)->lost[i]);
    free((*r)->mem);
    free(*r);
    *r = NULL;
}

/* "holding:0+10 input:3+1" */
static void
assert_plan(const struct rig *r, const char *expected)
{
    char text[4096] = "";

    for (uint32_t b = 0; b < r->plan.block_count; b++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s:%u+%u", b ? " " : "",
                 modbus_table_name(r->plan.blocks[b].table), r->plan.blocks[b].start, r->plan.blocks[b].count);
    assert_string_equal(text, expected);
}

typedef bool refuses_f(unsigned start, unsigned count);

/* One poll against a device that refuses some blocks; holes are asked when `probes`. Returns the number of requests. */
static unsigned
poll_with(struct rig *r, refuses_f *refuses, unsigned exception, bool probes)
{
    uint32_t todo[MAX], n = 0;
    unsigned requests = 0;

    modbus_plan_begin(&r->plan);
    for (uint32_t next = 0; next < r->plan.block_count || n > 0;) {
        bool is_again = n > 0;
        uint32_t b = is_again ? todo[--n] : next++;
        if (!is_again && (r->plan.blocks[b].is_taken || (modbus_plan_hole(&r->plan, b) && !probes)))
            continue;
        requests++;
        modbus_plan_fit(&r->plan, b);
        if (!refuses(r->plan.blocks[b].start, r->plan.blocks[b].count))
            modbus_plan_answered(&r->plan, b);
        else if (modbus_plan_refused(&r->plan, b, exception, 1000)) {
            todo[n++] = r->plan.block_count - 1;
            r->plan.blocks[r->plan.block_count - 1].is_taken = true;
            todo[n++] = b;
        }
    }
    modbus_plan_settle(&r->plan);
    return requests;
}

static unsigned
poll_device(struct rig *r, refuses_f *refuses)
{
    return poll_with(r, refuses, 2, false);
}

static void
neighbours_share_a_request(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    add(r, MODBUS_HOLDING, 30, 2);
    add(r, MODBUS_HOLDING, 0, 2);
    add(r, MODBUS_INPUT, 5, 1);
    add(r, MODBUS_HOLDING, 2, 1);
    add(r, MODBUS_COIL, 3, 1);
    add(r, MODBUS_HOLDING, 19, 4); /* 16 registers behind the 3: just near enough */
    add(r, MODBUS_COIL, 259, 1);   /* 255 bits: near enough as well */
    compile(r);
    assert_plan(r, "coil:3+257 input:5+1 holding:0+32");
    rig_free(&r);
}

static void
gap_and_limits_are_kept(void **state)
{
    struct rig *r = rig_new(10, 0);

    (void)state;
    for (unsigned i = 0; i < 12; i++)
        add(r, MODBUS_HOLDING, i, 1);
    add(r, MODBUS_HOLDING, 13, 1);  /* gap of one is too much */
    add(r, MODBUS_HOLDING, 40, 20); /* longer than the limit: it cannot be cut */
    compile(r);
    assert_plan(r, "holding:0+10 holding:10+2 holding:13+1 holding:40+20");
    rig_free(&r);
}

static void
overlapping_and_equal_tags(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    add(r, MODBUS_HOLDING, 10, 1);
    add(r, MODBUS_HOLDING, 8, 4);
    add(r, MODBUS_HOLDING, 10, 1);
    add(r, MODBUS_HOLDING, 9, 1);
    compile(r);
    assert_plan(r, "holding:8+4");
    rig_free(&r);
}

static void
forbidden_ranges_are_never_filled(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    assert_int_equal(modbus_ranges_parse(&r->limits, "holding:3-4, 40011", NULL), NX_OK);
    add(r, MODBUS_HOLDING, 0, 2);
    add(r, MODBUS_HOLDING, 6, 2);
    add(r, MODBUS_HOLDING, 8, 1);
    add(r, MODBUS_HOLDING, 12, 1);
    add(r, MODBUS_INPUT, 0, 1);
    add(r, MODBUS_INPUT, 6, 1); /* the same numbers of another table are free */
    compile(r);
    assert_plan(r, "input:0+7 holding:0+2 holding:6+3 holding:12+1");
    rig_free(&r);
}

static void
forbidden_ranges_are_read_strictly(void **state)
{
    static const char *const wrong[] = {"holding", "holding:5-3", "holding:5-70000", "x:1", "holding:5-", ",", "5"};
    struct modbus_range ranges[MODBUS_RANGES_MAX];
    struct modbus_limits limits = {.ranges = ranges};
    struct nx_note why;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(wrong); i++)
        assert_int_equal(modbus_ranges_parse(&limits, wrong[i], &why), NX_E_CONFIG);
    assert_int_equal(modbus_ranges_parse(&limits, NULL, NULL), NX_OK);
    assert_int_equal(limits.range_count, 0);
}

static bool
refuses_20(unsigned start, unsigned count)
{
    return start <= 20 && start + count > 20;
}

static void
one_bad_tag_costs_one_tag(void **state)
{
    struct rig *r = rig_new(125, 16);
    unsigned requests;

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        add(r, MODBUS_HOLDING, i, 1);
    compile(r);
    requests = poll_device(r, refuses_20);
    assert_true(requests <= 13); /* 1 + 2 * log2(64) */
    assert_plan(r, "holding:0+20 holding:20+1 holding:21+43");
    assert_int_equal(poll_device(r, refuses_20), 2); /* the hole is left alone */
    rig_free(&r);
}

static bool
refuses_gap(unsigned start, unsigned count)
{
    return start <= 12 && start + count > 12;
}

static void
bad_gap_is_found_and_kept_apart(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        add(r, MODBUS_HOLDING, i, 1);
    for (unsigned i = 15; i < 25; i++)
        add(r, MODBUS_HOLDING, i, 1);
    compile(r);
    assert_plan(r, "holding:0+25");
    assert_int_equal(poll_device(r, refuses_gap), 3);
    assert_plan(r, "holding:0+10 holding:15+10");
    assert_int_equal(poll_device(r, refuses_gap), 2);
    rig_free(&r);
}

static unsigned limit;

static bool
refuses_more_than_limit(unsigned start, unsigned count)
{
    (void)start;
    return count > limit;
}

static bool
refuses_more_than_limit_and_20(unsigned start, unsigned count)
{
    return count > limit || refuses_20(start, count);
}

static unsigned
least_requests(unsigned regs, unsigned max)
{
    return (regs + max - 1) / max;
}

/* Whatever the limit, the search is over within the first poll, and the second costs the minimum. */
static void
smaller_limit_of_the_device_is_learned(void **state)
{
    (void)state;
    for (limit = 1; limit <= 125; limit++) {
        struct rig *r = rig_new(125, 16);
        for (unsigned i = 0; i < MAX; i++)
            add(r, MODBUS_HOLDING, i, 1);
        compile(r);
        assert_true(poll_device(r, refuses_more_than_limit) <= least_requests(MAX, limit) + 25);
        if (r->facts.regs.high != limit || r->facts.regs.now != limit)
            fail_msg("limit %u: learned %u to %u", limit, r->facts.regs.low, r->facts.regs.high);
        for (uint32_t i = 0; i < r->plan.entry_count; i++)
            assert_true(r->plan.entries[i].exception == 0 && !r->plan.entries[i].is_cut);
        assert_int_equal(poll_device(r, refuses_more_than_limit), least_requests(MAX, limit));
        rig_free(&r);
    }
}

static void
limit_is_learned_beside_a_bad_register(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    limit = 60;
    for (unsigned i = 0; i < MAX; i++)
        add(r, MODBUS_HOLDING, i, 1);
    compile(r);
    for (unsigned i = 0; i < 2; i++)
        poll_device(r, refuses_more_than_limit_and_20);
    assert_int_equal(r->facts.regs.high, 60);
    assert_int_equal(r->facts.hole_count, 1);
    assert_int_equal(poll_device(r, refuses_more_than_limit_and_20), 1 + least_requests(MAX - 21, 60));
    rig_free(&r);
}

/* Values of two registers, and holes between the tags: exception 3 says that it is the size. */
static void
limit_is_learned_over_gaps(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    limit = 33;
    for (unsigned i = 0; i < 300; i++)
        add(r, MODBUS_HOLDING, i * 5, 2);
    compile(r);
    poll_with(r, refuses_more_than_limit, 3, false);
    poll_with(r, refuses_more_than_limit, 3, false);
    assert_int_equal(r->facts.cut_count, 0);
    assert_int_equal(r->plan.blocks[0].count, 32); /* 7 tags */
    assert_int_equal(poll_with(r, refuses_more_than_limit, 3, false), (300 + 6) / 7);
    rig_free(&r);
}

/* What one list has learned another one begins with, also after a restart. */
static void
facts_make_the_first_poll_cheap(void **state)
{
    struct rig *a = rig_new(125, 16), *b = rig_new(125, 16);
    struct wbuf text = wbuf_init(0);

    (void)state;
    limit = 60;
    for (unsigned i = 0; i < MAX; i++) {
        add(a, MODBUS_HOLDING, i, 1);
        add(b, MODBUS_HOLDING, i, 1);
    }
    compile(a);
    for (unsigned i = 0; i < 2; i++)
        poll_device(a, refuses_more_than_limit_and_20);
    modbus_facts_write(&a->facts, &text);
    assert_string_equal(wbuf_cstr(&text), "v1 regs=60-60 bits=0-2000 h20+1:2");
    modbus_facts_read(&b->facts, wbuf_cstr(&text));
    compile(b);
    assert_int_equal(poll_device(b, refuses_more_than_limit_and_20), 1 + least_requests(MAX - 21, 60));
    assert_int_equal(b->plan.entries[20].exception, 2);
    assert_int_equal(b->plan.entries[20].probe_ms, 1000);
    wbuf_free(&text);
    rig_free(&a);
    rig_free(&b);
}

static void
cut_survives_and_is_doubted(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        add(r, MODBUS_HOLDING, i, 1);
    for (unsigned i = 15; i < 25; i++)
        add(r, MODBUS_HOLDING, i, 1);
    compile(r);
    poll_device(r, refuses_gap);
    assert_true(modbus_facts_is_cut(&r->facts, modbus_place(MODBUS_HOLDING, 9), modbus_place(MODBUS_HOLDING, 15)));
    free(r->mem);
    compile(r);
    assert_plan(r, "holding:0+10 holding:15+10");
    modbus_facts_relearn(&r->facts, 125, 2000); /* the device was set up anew: one request is enough again */
    modbus_plan_begin(&r->plan);
    assert_plan(r, "holding:0+25");
    rig_free(&r);
}

static bool
refuses_all(unsigned start, unsigned count)
{
    (void)start;
    (void)count;
    return true;
}

static bool
refuses_nothing(unsigned start, unsigned count)
{
    (void)start;
    (void)count;
    return false;
}

static void
everything_refused_and_healed(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    for (unsigned i = 0; i < MAX; i++)
        add(r, MODBUS_HOLDING, i * 2, 2);
    compile(r);
    poll_device(r, refuses_all);
    assert_int_equal(r->plan.block_count, MAX);
    assert_int_equal(poll_device(r, refuses_all), 0);
    modbus_plan_answered(&r->plan, 7); /* one comes back, and takes its neighbours with it */
    modbus_plan_settle(&r->plan);
    assert_int_equal(r->plan.block_count, (MAX + 61) / 62);
    assert_int_equal(poll_device(r, refuses_nothing), r->plan.block_count);
    assert_int_equal(r->facts.hole_count, 0);
    rig_free(&r);
}

static bool
refuses_20_and_900(unsigned start, unsigned count)
{
    return refuses_20(start, count) || (start <= 900 && start + count > 900);
}

static void
healing_makes_other_holes_due(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        add(r, MODBUS_HOLDING, i, 1);
    compile(r);
    poll_device(r, refuses_20_and_900);
    assert_int_equal(r->facts.hole_count, 2);
    poll_with(r, refuses_20, 2, true);
    assert_int_equal(r->facts.hole_count, 1);
    assert_int_equal(r->plan.entries[20].probe_ms, 0);
    assert_int_equal(r->plan.entries[900].exception, 0);
    rig_free(&r);
}

/* A layout that is shifted: what was good is refused, what was refused is good. */
static bool
refuses_even(unsigned start, unsigned count)
{
    return count > 1 || start % 2 == 0;
}

static bool
refuses_odd(unsigned start, unsigned count)
{
    return count > 1 || start % 2 != 0;
}

static void
changed_layout_is_found_out(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        add(r, MODBUS_HOLDING, i, 1);
    compile(r);
    for (unsigned i = 0; i < 3; i++)
        poll_device(r, refuses_even);
    assert_int_equal(r->facts.hole_count, 32);
    poll_device(r, refuses_odd);
    assert_int_equal(r->facts.hole_count, 64);
    for (unsigned i = 0; i < 3; i++)
        poll_with(r, refuses_odd, 2, true);
    for (uint32_t i = 0; i < 64; i++)
        assert_int_equal(r->plan.entries[i].exception != 0, i % 2 != 0);
    rig_free(&r);
}

static void
waste_is_what_no_tag_wants(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    add(r, MODBUS_HOLDING, 0, 4);
    add(r, MODBUS_HOLDING, 1, 2); /* inside the first */
    add(r, MODBUS_HOLDING, 10, 1);
    add(r, MODBUS_HOLDING, 12, 2);
    compile(r);
    assert_int_equal(r->plan.block_count, 1);
    assert_int_equal(modbus_plan_waste(&r->plan, &r->plan.blocks[0]), 7);
    rig_free(&r);
}

static void
empty_list(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    compile(r);
    assert_int_equal(r->plan.block_count, 0);
    rig_free(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_share_a_request),
        cmocka_unit_test(gap_and_limits_are_kept),
        cmocka_unit_test(overlapping_and_equal_tags),
        cmocka_unit_test(forbidden_ranges_are_never_filled),
        cmocka_unit_test(forbidden_ranges_are_read_strictly),
        cmocka_unit_test(one_bad_tag_costs_one_tag),
        cmocka_unit_test(bad_gap_is_found_and_kept_apart),
        cmocka_unit_test(smaller_limit_of_the_device_is_learned),
        cmocka_unit_test(limit_is_learned_beside_a_bad_register),
        cmocka_unit_test(limit_is_learned_over_gaps),
        cmocka_unit_test(facts_make_the_first_poll_cheap),
        cmocka_unit_test(cut_survives_and_is_doubted),
        cmocka_unit_test(everything_refused_and_healed),
        cmocka_unit_test(healing_makes_other_holes_due),
        cmocka_unit_test(changed_layout_is_found_out),
        cmocka_unit_test(waste_is_what_no_tag_wants),
        cmocka_unit_test(empty_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
