/* Random lists of tags: each tag exactly once, both limits hold; and what a CPU refuses costs exactly its tags. */
#include "s7_plan.h"

#include "base/mem.h"
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct list {
    struct s7_addr *addrs;
    struct nx_read_item *items;
    uint32_t n;
    struct s7_limits limits;
    struct s7_plan plan;
    void *mem;
};

static struct s7_addr
parse(const char *text, enum nx_data_type data_type)
{
    struct nx_addr_spec spec = {.address = text, .data_type = data_type};
    struct s7_addr addr = {0};
    struct nx_addr_info info;

    assert_int_equal(s7_addr_parse(&spec, &addr, &info, NULL), NX_OK);
    return addr;
}

static struct s7_addr
random_addr(uint64_t *seed)
{
    static const struct {
        const char *area, *type; /* around the byte; "DB": a DB of three */
        enum nx_data_type data_type;
    } kinds[] = {
        {"DBX", ".3", NX_DT_BOOL},
        {"DBB", "", NX_DT_UINT8},
        {"DBW", "", NX_DT_INT16},
        {"DBD", ":REAL", NX_DT_FLOAT32},
        {"DBL", ":LREAL", NX_DT_FLOAT64},
        {"DBB", ":DTL", NX_DT_STRING},
        {"DBB", ":STRING[30]", NX_DT_STRING},
        {"DBB", ":WSTRING[700]", NX_DT_STRING},
        {"DBB", ":STRING", NX_DT_STRING},
        {"T", "", NX_DT_UINT32},
        {"MW", "", NX_DT_INT16},
        {"C", "", NX_DT_UINT16},
    };
    char text[64], db[16] = "";
    unsigned k = (unsigned)(num_random(seed) % MEM_COUNT(kinds)), at = (unsigned)(num_random(seed) % 3000);

    if (kinds[k].area[0] == 'D')
        snprintf(db, sizeof db, "DB%u.", (unsigned)(1 + num_random(seed) % 3));
    else
        at %= 200;
    snprintf(text, sizeof text, "%s%s%u%s", db, kinds[k].area, at, kinds[k].type);
    return parse(text, kinds[k].data_type);
}

static void
make(struct list *t, uint32_t n, unsigned pdu, unsigned gap)
{
    *t = (struct list){.n = n, .limits = {.pdu = (uint16_t)pdu, .gap = (uint16_t)gap}};
    t->addrs = mem_calloc(n, sizeof *t->addrs);
    t->items = mem_calloc(n, sizeof *t->items);
    for (uint32_t i = 0; i < n; i++)
        t->items[i] = (struct nx_read_item){&t->addrs[i], i};
}

static void
compile(struct list *t)
{
    t->mem = mem_alloc(s7_plan_bytes(&t->limits, t->items, t->n));
    s7_plan_init(&t->plan, t->mem, &t->limits, t->items, t->n);
}

static void
drop(struct list *t)
{
    free(t->addrs);
    free(t->items);
    free(t->mem);
}

/* Request 12 + 12n and reply 14 + sum(4 + even) within the PDU, at most 20 items. */
static void
assert_limits(const struct s7_plan *plan, const struct s7_request *rq)
{
    unsigned reply = 14;

    assert_true(rq->n >= 1 && rq->n <= 20);
    assert_true(12 + 12 * rq->n <= plan->pdu);
    for (uint32_t i = 0; i < rq->n; i++)
        reply += 4 + ((plan->parts[rq->first + i].bytes + 1u) & ~1u);
    assert_true(reply <= plan->pdu);
}

/* The bytes of each tag are asked for exactly where its entry looks for them. */
static void
assert_each_tag_once(const struct list *t)
{
    const struct s7_plan *plan = &t->plan;
    unsigned *asked = mem_calloc(plan->block_count, sizeof *asked), *seen = mem_calloc(t->n, sizeof *seen);
    uint32_t parts = 0;

    for (uint32_t r = 0; r < plan->request_count; r++) {
        assert_limits(plan, &plan->requests[r]);
        assert_int_equal(plan->requests[r].first, parts);
        parts += plan->requests[r].n;
    }
    assert_int_equal(parts, plan->part_count);
    for (uint32_t i = 0; i < parts; i++) {
        const struct s7_part *part = &plan->parts[i];
        assert_int_equal(part->offset, asked[part->block]);
        asked[part->block] += part->bytes;
    }
    for (uint32_t b = 0; b < plan->block_count; b++) {
        const struct s7_block *block = &plan->blocks[b];
        assert_int_equal(asked[b], s7_plan_hole(plan, b) ? 0 : block->bytes);
        for (uint32_t i = block->first; i < block->first + block->n; i++) {
            const struct s7_entry *e = &plan->entries[i];
            seen[e->item]++;
            assert_true(e->addr == &t->addrs[e->item] && e->addr->area == block->area && e->addr->db == block->db);
            assert_int_equal(e->addr->start, block->start + e->offset);
            assert_true(e->offset + e->addr->bytes <= block->bytes);
            assert_true(block->parts == 1 || block->n == 1);
        }
    }
    for (uint32_t i = 0; i < t->n; i++)
        assert_int_equal(seen[i], 1);
    free(asked);
    free(seen);
}

static void
random_lists_are_read_whole_within_both_limits(void **state)
{
    static const unsigned pdus[] = {128, 240, 480, 960, 4096}, gaps[] = {0, 16, 300};
    uint64_t seed = 20261125;

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct list t;
        make(&t, 1 + (uint32_t)(num_random(&seed) % 400), pdus[round % MEM_COUNT(pdus)], gaps[round % MEM_COUNT(gaps)]);
        for (uint32_t i = 0; i < t.n; i++)
            t.addrs[i] = random_addr(&seed);
        compile(&t);
        assert_each_tag_once(&t);
        drop(&t);
    }
}

/* Scattered bits: the request is what is full, not the reply. Dense words: every job but the last is full. */
static void
jobs_are_as_few_as_can_be(void **state)
{
    static const struct {
        unsigned pdu, step, jobs;
    } rows[] = {{240, 40, 1000 / 18 + 1}, {480, 40, 50}, {960, 40, 50}, {240, 2, 2000 / 222 + 1}, {960, 2, 3}};
    char text[32];

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct list t;
        make(&t, 1000, rows[i].pdu, 16);
        for (uint32_t k = 0; k < t.n; k++) {
            snprintf(text, sizeof text, "DB1.DBW%u", k * rows[i].step);
            t.addrs[k] = parse(text, NX_DT_INT16);
        }
        compile(&t);
        assert_each_tag_once(&t);
        assert_int_equal(t.plan.request_count, rows[i].jobs);
        drop(&t);
    }
}

static void
gaps_are_merged_but_never_over_what_is_forbidden(void **state)
{
    static const struct {
        const char *forbidden;
        unsigned gap;
        uint32_t blocks;
    } rows[] = {{"", 16, 1}, {"", 1, 2}, {"DB1.DBB3", 16, 2}, {"DB2.DBB3,MB3", 16, 1}, {"DB1.DBB6-9", 16, 1}};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct list t;
        make(&t, 2, 240, rows[i].gap);
        assert_int_equal(s7_ranges_parse(&t.limits, rows[i].forbidden, NULL), NX_OK);
        t.addrs[0] = parse("DB1.DBW0", NX_DT_INT16);
        t.addrs[1] = parse("DB1.DBW4", NX_DT_INT16);
        compile(&t);
        assert_int_equal(t.plan.block_count, rows[i].blocks);
        drop(&t);
    }
    struct s7_limits limits;
    assert_int_equal(s7_ranges_parse(&limits, "DB1.DBB9-3", NULL), NX_E_CONFIG);
    assert_int_equal(s7_ranges_parse(&limits, "DBB9", NULL), NX_E_CONFIG);
}

static void
timers_and_counters_are_never_merged(void **state)
{
    struct list t;

    (void)state;
    make(&t, 3, 240, 16);
    t.addrs[0] = parse("T5", NX_DT_UINT32);
    t.addrs[1] = parse("T6", NX_DT_UINT32);
    t.addrs[2] = parse("T5", NX_DT_UINT32); /* the same timer twice is one item */
    compile(&t);
    assert_each_tag_once(&t);
    assert_int_equal(t.plan.block_count, 2);
    assert_int_equal(s7_plan_item(&t.plan, &t.plan.parts[0]).count, 1);
    drop(&t);
}

/* --- a CPU that has some bytes not --- */

static bool
is_there(const struct s7_block *b, const struct s7_range *missing, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (missing[i].area == b->area && missing[i].db == b->db && b->start < missing[i].end &&
            b->start + b->bytes > missing[i].from)
            return false;
    return true;
}

/* One poll: every block is asked, refused ones are split until it is decided. Requests that it took. */
static unsigned
poll_all(struct s7_plan *plan, const struct s7_range *missing, unsigned n)
{
    unsigned asked = 0;

    for (uint32_t b = 0; b < plan->block_count; b++) { /* new halves come at the end */
        bool is_hole = s7_plan_hole(plan, b) != NULL;
        if (is_hole)
            continue;
        asked++;
        while (!is_there(&plan->blocks[b], missing, n) && s7_plan_refused(plan, b, S7_CODE_ADDRESS, 1000))
            asked++;
    }
    s7_plan_rebuild(plan, true);
    return asked;
}

static uint32_t
count_holes(const struct s7_plan *plan)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < plan->entry_count; i++)
        n += plan->entries[i].code != 0;
    return n;
}

static void
refused_bytes_cost_exactly_their_tags(void **state)
{
    static const unsigned pdus[] = {240, 480, 960};
    uint64_t seed = 42;
    char text[32];

    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        struct list t;
        uint32_t bad = 0;
        struct s7_range missing = {S7_DB, 1, (uint32_t)(num_random(&seed) % 2000), 0};
        missing.end = missing.from + 1 + (uint32_t)(num_random(&seed) % 12);
        make(&t, 1000, pdus[round % 3], 16);
        for (uint32_t k = 0; k < t.n; k++) {
            snprintf(text, sizeof text, "DB1.DBW%u", k * 2);
            t.addrs[k] = parse(text, NX_DT_INT16);
            bad += k * 2 < missing.end && k * 2 + 2 > missing.from;
        }
        compile(&t);
        (void)poll_all(&t.plan, &missing, 1);
        assert_int_equal(count_holes(&t.plan), bad);
        assert_each_tag_once(&t);
        assert_int_equal(poll_all(&t.plan, &missing, 1), t.plan.block_count - bad); /* learned: nothing is refused */
        drop(&t);
    }
}

/* Bytes that no tag wants: no tag is bad, and the gap is not read again. */
static void
gap_that_cannot_be_read_is_a_cut(void **state)
{
    struct s7_range missing = {S7_DB, 1, 4, 6};
    struct list t;

    (void)state;
    make(&t, 2, 240, 16);
    t.addrs[0] = parse("DB1.DBW0", NX_DT_INT16);
    t.addrs[1] = parse("DB1.DBW8", NX_DT_INT16);
    compile(&t);
    assert_int_equal(poll_all(&t.plan, &missing, 1), 3);
    assert_int_equal(count_holes(&t.plan), 0);
    assert_int_equal(poll_all(&t.plan, &missing, 1), 2);
    assert_int_equal(t.plan.request_count, 1);
    drop(&t);
}

/* A poll that ends in the middle of a split leaves every tag in some job. */
static void
undecided_split_is_taken_back(void **state)
{
    struct list t;
    char text[32];

    (void)state;
    make(&t, 100, 240, 16);
    for (uint32_t k = 0; k < t.n; k++) {
        snprintf(text, sizeof text, "DB1.DBW%u", k * 2);
        t.addrs[k] = parse(text, NX_DT_INT16);
    }
    compile(&t);
    assert_true(s7_plan_refused(&t.plan, 0, S7_CODE_ADDRESS, 1000));
    s7_plan_rebuild(&t.plan, false);
    assert_int_equal(t.plan.block_count, 1);
    assert_each_tag_once(&t);
    drop(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lists_are_read_whole_within_both_limits),
        cmocka_unit_test(jobs_are_as_few_as_can_be),
        cmocka_unit_test(gaps_are_merged_but_never_over_what_is_forbidden),
        cmocka_unit_test(timers_and_counters_are_never_merged),
        cmocka_unit_test(refused_bytes_cost_exactly_their_tags),
        cmocka_unit_test(gap_that_cannot_be_read_is_a_cut),
        cmocka_unit_test(undecided_split_is_taken_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
