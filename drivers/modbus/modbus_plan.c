#include "modbus_plan.h"

#include "base/mem.h"
#include "base/num.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BITS_PER_REG 16u

static unsigned
entry_end(const struct modbus_entry *e)
{
    return e->addr->start + (unsigned)e->addr->count;
}

static int
compare_entries(const void *pa, const void *pb)
{
    const struct modbus_entry *a = pa, *b = pb;

    if (a->addr->table != b->addr->table)
        return a->addr->table < b->addr->table ? -1 : 1;
    if (a->addr->start != b->addr->start)
        return a->addr->start < b->addr->start ? -1 : 1;
    if (a->addr->count != b->addr->count)
        return a->addr->count < b->addr->count ? -1 : 1;
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
    unsigned gap = is_bits ? lim->gap * BITS_PER_REG : lim->gap, max = is_bits ? lim->max_bits : lim->max_regs;

    if (e->addr->table != b->table || last->is_cut || last->exception != 0 || e->exception != 0)
        return false;
    if (e->addr->start > end + gap || new_end - b->start > max)
        return false;
    return !is_forbidden(lim, b->table, b->start, new_end);
}

static struct modbus_block
block_of(const struct modbus_plan *plan, uint32_t first)
{
    const struct modbus_addr *a = plan->entries[first].addr;

    return (struct modbus_block){first, 1, MODBUS_NONE, a->start, a->count, a->table};
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

void
modbus_plan_init(struct modbus_plan *plan, void *mem, const struct modbus_limits *limits,
                 const struct nx_read_item *items, uint32_t item_count)
{
    *plan = (struct modbus_plan){.limits = limits, .entry_count = item_count};
    plan->entries = mem;
    plan->blocks = (void *)(plan->entries + item_count);
    plan->splits = (void *)(plan->blocks + item_count);
    for (uint32_t i = 0; i < item_count; i++)
        plan->entries[i] = (struct modbus_entry){.addr = items[i].addr, .item = i};
    qsort(plan->entries, item_count, sizeof *plan->entries, compare_entries);
    build(plan);
}

/* The entry of block b behind which to split: before the widest gap, else in the middle. */
static uint32_t
split_point(const struct modbus_plan *plan, const struct modbus_block *b)
{
    uint32_t at = b->first + b->n / 2 - 1;
    unsigned end = 0, widest = 0;

    for (uint32_t i = b->first; i < b->first + b->n; i++) {
        const struct modbus_entry *e = &plan->entries[i];
        if (i > b->first && e->addr->start > end && e->addr->start - end > widest) {
            widest = e->addr->start - end;
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

bool
modbus_plan_refused(struct modbus_plan *plan, uint32_t b, unsigned exception, uint64_t probe_ms)
{
    struct modbus_block old = plan->blocks[b];
    uint32_t split, at;

    if (old.split != MODBUS_NONE)
        plan->splits[old.split].is_explained = true;
    if (old.n == 1) {
        struct modbus_entry *e = &plan->entries[old.first];
        plan->is_dirty = plan->is_dirty || e->exception == 0;
        e->exception = (uint8_t)exception;
        e->probe_ms = probe_ms;
        return false;
    }
    assert(plan->block_count < plan->entry_count && plan->split_count < plan->entry_count);
    at = split_point(plan, &old);
    split = plan->split_count++;
    plan->splits[split] = (struct modbus_split){.at = at};
    plan->blocks[b] = block_between(plan, old.first, at, split);
    plan->blocks[plan->block_count++] = block_between(plan, at + 1, old.first + old.n - 1, split);
    plan->is_dirty = true;
    return true;
}

struct modbus_entry *
modbus_plan_hole(const struct modbus_plan *plan, uint32_t b)
{
    struct modbus_entry *e = &plan->entries[plan->blocks[b].first];

    return e->exception != 0 ? e : NULL;
}

void
modbus_plan_healed(struct modbus_plan *plan, uint32_t b)
{
    plan->entries[plan->blocks[b].first].exception = 0;
    plan->is_dirty = true;
    for (uint32_t i = 0; i < plan->entry_count; i++)
        plan->entries[i].probe_ms = 0;
}

void
modbus_plan_rebuild(struct modbus_plan *plan)
{
    if (!plan->is_dirty)
        return;
    for (uint32_t i = 0; i < plan->split_count; i++)
        if (!plan->splits[i].is_explained)
            plan->entries[plan->splits[i].at].is_cut = true;
    build(plan);
}

static enum nx_err
parse_range(struct modbus_limits *limits, struct slice s, struct nx_note *why)
{
    char text[64], canonical[64];
    char *dash;
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
    err = modbus_addr_parse(&spec, &addr, canonical, sizeof canonical, why);
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
    struct slice rest = slice_str(text);

    limits->range_count = 0;
    while (rest.len > 0) {
        const uint8_t *comma = memchr(rest.p, ',', rest.len);
        struct slice one = slice(rest.p, comma ? (size_t)(comma - rest.p) : rest.len);
        enum nx_err err = parse_range(limits, one, why);
        if (err != NX_OK)
            return err;
        rest = slice_skip(rest, one.len + (comma ? 1 : 0));
    }
    return NX_OK;
}
