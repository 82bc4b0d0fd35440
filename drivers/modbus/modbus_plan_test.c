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
    struct modbus_addr addrs[MAX];
    struct nx_read_item items[MAX];
    uint32_t n;
    struct modbus_plan plan;
    void *mem;
};

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
    return r;
}

static void
compile(struct rig *r)
{
    r->mem = mem_alloc(modbus_plan_bytes(r->n));
    modbus_plan_init(&r->plan, r->mem, &r->limits, r->items, r->n);
}

static void
rig_free(struct rig **r)
{
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

/* One poll against a device that refuses some blocks. Returns the number of requests. */
static unsigned
poll_device(struct rig *r, refuses_f *refuses)
{
    uint32_t todo[MAX], n = 0;
    unsigned requests = 0;

    for (uint32_t next = 0; next < r->plan.block_count || n > 0;) {
        uint32_t b = n > 0 ? todo[--n] : next++;
        if (modbus_plan_hole(&r->plan, b))
            continue;
        requests++;
        if (refuses(r->plan.blocks[b].start, r->plan.blocks[b].count) && modbus_plan_refused(&r->plan, b, 2, 1000))
            todo[n++] = b;
    }
    modbus_plan_rebuild(&r->plan);
    return requests;
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
    struct modbus_limits limits;
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

static bool
refuses_more_than_40(unsigned start, unsigned count)
{
    (void)start;
    return count > 40;
}

static void
smaller_limit_of_the_device_is_learned(void **state)
{
    struct rig *r = rig_new(125, 16);

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        add(r, MODBUS_HOLDING, i, 1);
    compile(r);
    for (unsigned poll = 0; poll < 2; poll++) /* the first one merges too much again around its first cuts */
        poll_device(r, refuses_more_than_40);
    for (uint32_t b = 0; b < r->plan.block_count; b++)
        assert_true(r->plan.blocks[b].count <= 40);
    for (uint32_t i = 0; i < r->plan.entry_count; i++)
        assert_int_equal(r->plan.entries[i].exception, 0);
    assert_int_equal(poll_device(r, refuses_more_than_40), r->plan.block_count);
    assert_true(r->plan.block_count <= 4);
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
    modbus_plan_healed(&r->plan, 7);
    assert_int_equal(r->plan.entries[500].probe_ms, 0); /* all are asked at once */
    for (uint32_t b = 0; b < MAX; b++)
        modbus_plan_healed(&r->plan, b);
    modbus_plan_rebuild(&r->plan);
    assert_int_equal(r->plan.block_count, (MAX + 61) / 62);
    assert_int_equal(poll_device(r, refuses_nothing), r->plan.block_count);
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
        cmocka_unit_test(neighbours_share_a_request),         cmocka_unit_test(gap_and_limits_are_kept),
        cmocka_unit_test(overlapping_and_equal_tags),         cmocka_unit_test(forbidden_ranges_are_never_filled),
        cmocka_unit_test(forbidden_ranges_are_read_strictly), cmocka_unit_test(one_bad_tag_costs_one_tag),
        cmocka_unit_test(bad_gap_is_found_and_kept_apart),    cmocka_unit_test(smaller_limit_of_the_device_is_learned),
        cmocka_unit_test(everything_refused_and_healed),      cmocka_unit_test(empty_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
