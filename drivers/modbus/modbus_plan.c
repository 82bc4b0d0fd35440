#include "modbus_plan.h"

#include "base/mem.h"
#include "base/num.h"
#include "modbus_codec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BITS_PER_REG 16u

static unsigned
entry_end(const struct modbus_entry *e)
{
    return e->addr.start + (unsigned)e->addr.count;
}

static int
compare_entries(const void *pa, const void *pb)
{
    const struct modbus_entry *a = pa, *b = pb;

    if (a->addr.table != b->addr.table)
        return a->addr.table < b->addr.table ? -1 : 1;
    if (a->addr.start != b->addr.start)
        return a->addr.start < b->addr.start ? -1 : 1;
    if (a->addr.count != b->addr.count)
        return a->addr.count < b->addr.count ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static bool
is_forbidden(const struct modbus_limits *lim, unsigned table, unsigned from, unsigned end)
{
    for (unsigned i = 0; i < lim->range_count; i++) {
        const struct modbus_range *r = &lim->ranges[i];
        if (r->table == table && from <= r->to && end > r->from)
            return true;
    }
    return false;
}

/* May the entry be read in one request with the block that ends just before it? */
static bool
may_merge(const struct modbus_plan *plan, const struct modbus_block *b, const struct modbus_entry *e)
{
    const struct modbus_limits *lim = plan->limits;
    const struct modbus_entry *last = e - 1;
    bool is_bits = modbus_table_is_bits(b->table);
    unsigned end = b->start + (unsigned)b->count, new_end = entry_end(e) > end ? entry_end(e) : end;
    unsigned gap = is_bits ? lim->gap * BITS_PER_REG : lim->gap, max = is_bits ? plan->bits : plan->regs;

    if (e->addr.table != b->table || last->is_cut || last->exception != 0 || e->exception != 0)
        return false;
    if (e->addr.start > end + gap || new_end - b->start > max)
        return false;
    return !is_forbidden(lim, b->table, b->start, new_end);
}

static struct modbus_block
block_of(const struct modbus_plan *plan, uint32_t first)
{
    const struct modbus_addr *a = &plan->entries[first].addr;

    return (struct modbus_block){first, 1, MODBUS_NONE, a->start, a->count, a->table, false};
}

static void
block_extend(struct modbus_block *b, const struct modbus_entry *e)
{
    unsigned end = b->start + (unsigned)b->count;

    b->n++;
    if (entry_end(e) > end)
        b->count = (uint16_t)(entry_end(e) - b->start);
}

static void
build(struct modbus_plan *plan)
{
    struct modbus_block *b = NULL;

    plan->block_count = 0;
    plan->split_count = 0;
    plan->is_dirty = false;
    plan->regs = plan->facts->regs.now;
    plan->bits = plan->facts->bits.now;
    for (uint32_t i = 0; i < plan->entry_count; i++) {
        if (b && may_merge(plan, b, &plan->entries[i])) {
            block_extend(b, &plan->entries[i]);
            continue;
        }
        b = &plan->blocks[plan->block_count++];
        *b = block_of(plan, i);
    }
}

size_t
modbus_plan_bytes(uint32_t entry_count)
{
    return entry_count * (sizeof(struct modbus_entry) + sizeof(struct modbus_block) + sizeof(struct modbus_split));
}

static uint32_t
entry_place(const struct modbus_entry *e)
{
    return modbus_place(e->addr.table, e->addr.start);
}

/* What is known about the entries from before. */
static void
recall(struct modbus_plan *plan, uint64_t probe_ms)
{
    for (uint32_t i = 0; i < plan->entry_count; i++) {
        struct modbus_entry *e = &plan->entries[i];
        e->exception = modbus_facts_hole(plan->facts, entry_place(e), e->addr.count);
        e->probe_ms = probe_ms;
        e->is_cut = i + 1 < plan->entry_count && modbus_facts_is_cut(plan->facts, entry_place(e), entry_place(e + 1));
    }
}

void
modbus_plan_init(struct modbus_plan *plan, void *mem, const struct modbus_limits *limits, struct modbus_facts *facts,
                 const struct nx_read_item *items, uint32_t item_count, uint64_t probe_ms)
{
    *plan = (struct modbus_plan){.limits = limits, .facts = facts, .entry_count = item_count};
    plan->generation = facts->generation;
    plan->entries = mem;
    plan->blocks = (void *)(plan->entries + item_count);
    plan->splits = (void *)(plan->blocks + item_count);
    for (uint32_t i = 0; i < item_count; i++)
        plan->entries[i] = (struct modbus_entry){.addr = *(const struct modbus_addr *)items[i].addr, .item = i};
    if (item_count > 0)
        qsort(plan->entries, item_count, sizeof *plan->entries, compare_entries);
    recall(plan, probe_ms);
    build(plan);
}

void
modbus_plan_begin(struct modbus_plan *plan)
{
    const struct modbus_facts *f = plan->facts;

    if (plan->generation != f->generation) {
        for (uint32_t i = 0; i < plan->entry_count; i++)
            plan->entries[i].is_cut = false;
        plan->generation = f->generation;
        plan->is_dirty = true;
    }
    if (plan->is_dirty || plan->regs != f->regs.now || plan->bits != f->bits.now)
        build(plan);
    for (uint32_t b = 0; b < plan->block_count; b++)
        plan->blocks[b].is_taken = false;
}

/* The entry of block b behind which to split: before the widest gap, else in the middle. */
static uint32_t
split_point(const struct modbus_plan *plan, const struct modbus_block *b)
{
    uint32_t at = b->first + b->n / 2 - 1;
    unsigned end = 0, widest = 0;

    for (uint32_t i = b->first; i < b->first + b->n; i++) {
        const struct modbus_entry *e = &plan->entries[i];
        if (i > b->first && e->addr.start > end && e->addr.start - end > widest) {
            widest = e->addr.start - end;
            at = i - 1;
        }
        if (entry_end(e) > end)
            end = entry_end(e);
    }
    return at;
}

static struct modbus_block
block_between(const struct modbus_plan *plan, uint32_t first, uint32_t last, uint32_t split)
{
    struct modbus_block b = block_of(plan, first);

    for (uint32_t i = first + 1; i <= last; i++)
        block_extend(&b, &plan->entries[i]);
    b.split = split;
    return b;
}

void
modbus_plan_fit(struct modbus_plan *plan, uint32_t b)
{
    struct modbus_block old = plan->blocks[b], head = block_of(plan, old.first);
    unsigned max = modbus_facts_reach(plan->facts, old.table)->now;
    uint32_t last = old.first + old.n - 1;

    if (old.count <= max || old.n == 1)
        return;
    while (head.first + head.n < last) {
        struct modbus_block next = head;
        block_extend(&next, &plan->entries[head.first + head.n]);
        if (next.count > max)
            break;
        head = next;
    }
    assert(plan->block_count < plan->entry_count);
    plan->blocks[b] = head;
    plan->blocks[b].is_taken = old.is_taken;
    plan->blocks[plan->block_count++] = block_between(plan, head.first + head.n, last, MODBUS_NONE);
}

/* Both halves of a split are fine, so no tag in them was to blame for the refusal. */
static void
judge(struct modbus_plan *plan, const struct modbus_split *split)
{
    unsigned table = plan->entries[split->at].addr.table;
    bool is_size = split->count > modbus_facts_reach(plan->facts, table)->low &&
                   (split->gap == 0 || split->exception == MODBUS_EX_VALUE);

    plan->is_dirty = true;
    if (is_size)
        modbus_facts_too_large(plan->facts, table, split->count);
    else
        plan->entries[split->at].is_cut = true;
}

void
modbus_plan_answered(struct modbus_plan *plan, uint32_t b)
{
    const struct modbus_block *block = &plan->blocks[b];
    struct modbus_entry *hole = modbus_plan_hole(plan, b);

    modbus_facts_answered(plan->facts, block->table, block->count);
    if (hole) {
        hole->is_healed = true;
        plan->is_dirty = true;
    }
    if (block->split != MODBUS_NONE && ++plan->splits[block->split].answered == 2)
        judge(plan, &plan->splits[block->split]);
}

bool
modbus_plan_refused(struct modbus_plan *plan, uint32_t b, unsigned exception, uint64_t probe_ms)
{
    struct modbus_block old = plan->blocks[b], *second;
    struct modbus_split *split;
    uint32_t at;

    if (old.n == 1) {
        struct modbus_entry *e = &plan->entries[old.first];
        plan->is_dirty = plan->is_dirty || e->exception == 0;
        e->exception = (uint8_t)exception;
        e->probe_ms = probe_ms;
        return false;
    }
    assert(plan->block_count < plan->entry_count && plan->split_count < plan->entry_count);
    at = split_point(plan, &old);
    split = &plan->splits[plan->split_count];
    second = &plan->blocks[plan->block_count++];
    plan->blocks[b] = block_between(plan, old.first, at, plan->split_count);
    plan->blocks[b].is_taken = old.is_taken;
    *second = block_between(plan, at + 1, old.first + old.n - 1, plan->split_count++);
    *split = (struct modbus_split){.at = at, .count = old.count, .exception = (uint8_t)exception};
    if (second->start > plan->blocks[b].start + plan->blocks[b].count)
        split->gap = (uint16_t)(second->start - plan->blocks[b].start - plan->blocks[b].count);
    plan->is_dirty = true;
    return true;
}

struct modbus_entry *
modbus_plan_hole(const struct modbus_plan *plan, uint32_t b)
{
    struct modbus_entry *e = &plan->entries[plan->blocks[b].first];

    return e->exception != 0 ? e : NULL;
}

static bool
is_hole_of(const struct modbus_plan *plan, uint32_t i, unsigned table)
{
    const struct modbus_entry *e = &plan->entries[i];

    return i < plan->entry_count && e->exception != 0 && e->addr.table == table;
}

/* Entry i and the holes next to it are holes no more. */
static void
heal_around(struct modbus_plan *plan, uint32_t i)
{
    unsigned table = plan->entries[i].addr.table;
    uint32_t from = i, end = i + 1;

    while (from > 0 && is_hole_of(plan, from - 1, table))
        from--;
    while (end < plan->entry_count && is_hole_of(plan, end, table))
        end++;
    for (uint32_t k = from; k < end; k++)
        plan->entries[k].exception = 0;
}

static void
heal(struct modbus_plan *plan)
{
    bool is_any = false;

    for (uint32_t i = 0; i < plan->entry_count; i++) {
        struct modbus_entry *e = &plan->entries[i];
        if (e->is_healed && e->exception != 0)
            heal_around(plan, i);
        is_any = is_any || e->is_healed;
        e->is_healed = false;
    }
    for (uint32_t i = 0; is_any && i < plan->entry_count; i++)
        plan->entries[i].probe_ms = 0;
}

void
modbus_plan_settle(struct modbus_plan *plan)
{
    if (!plan->is_dirty)
        return;
    heal(plan);
    for (uint32_t i = 0; i < plan->entry_count; i++) {
        const struct modbus_entry *e = &plan->entries[i];
        modbus_facts_set_hole(plan->facts, entry_place(e), e->addr.count, e->exception);
        if (e->is_cut)
            modbus_facts_set_cut(plan->facts, entry_place(e + 1));
    }
    build(plan);
}

unsigned
modbus_plan_waste(const struct modbus_plan *plan, const struct modbus_block *b)
{
    unsigned end = b->start, waste = 0;

    for (uint32_t i = b->first; i < b->first + b->n; i++) {
        const struct modbus_entry *e = &plan->entries[i];
        if (e->addr.start > end)
            waste += e->addr.start - end;
        if (entry_end(e) > end)
            end = entry_end(e);
    }
    return waste;
}

static enum nx_err
parse_range(struct modbus_limits *limits, struct slice s, struct nx_note *why)
{
    char text[64];
    char *dash;
    struct nx_addr_info info;
    struct modbus_addr addr = {0};
    struct nx_addr_spec spec = {.address = text, .data_type = NX_DT_BOOL};
    uint64_t to;
    enum nx_err err;

    if (s.len >= sizeof text || limits->range_count == MODBUS_RANGES_MAX)
        return nx_fail(why, NX_E_CONFIG, "forbidden: at most %d ranges like holding:100-110", MODBUS_RANGES_MAX);
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    dash = strchr(text, '-');
    if (dash)
        *dash = '\0';
    err = modbus_addr_parse(&spec, &addr, &info, why);
    if (err != NX_OK)
        return err;
    to = addr.start;
    if (dash && (!num_u64(slice_str(dash + 1), &to) || to > UINT16_MAX || to < addr.start))
        return nx_fail(why, NX_E_CONFIG, "forbidden: '%.*s' must end at a wire address from %u to 65535", SLICE_FMT(s),
                       addr.start);
    limits->ranges[limits->range_count++] = (struct modbus_range){addr.table, addr.start, (uint16_t)to};
    return NX_OK;
}

enum nx_err
modbus_ranges_parse(struct modbus_limits *limits, const char *text, struct nx_note *why)
{
    struct slice rest = slice_str(text), one;
    enum nx_err err = NX_OK;

    limits->range_count = 0;
    while (err == NX_OK && slice_part(&rest, ',', &one))
        err = parse_range(limits, one, why);
    return err;
}
