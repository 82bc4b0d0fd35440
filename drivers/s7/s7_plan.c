#include "s7_plan.h"

#include "base/mem.h"
#include "base/num.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool
is_counted(const struct s7_addr *a)
{
    return s7_area_is_counted(a->area);
}

static unsigned
even(unsigned bytes)
{
    return (bytes + 1u) & ~1u;
}

/* --- room of a job --- */

unsigned
s7_item_max(unsigned pdu)
{
    return (pdu - S7_REPLY_HEAD - S7_RESULT_HEAD) & ~1u;
}

struct s7_room
s7_room_of(unsigned pdu)
{
    unsigned items = (pdu - S7_REQUEST_SPARE) / S7_ITEM_BYTES;

    return (struct s7_room){items < S7_ITEMS_MAX ? items : S7_ITEMS_MAX, pdu - S7_REPLY_HEAD};
}

bool
s7_room_take(struct s7_room *room, unsigned bytes)
{
    unsigned need = S7_RESULT_HEAD + even(bytes);

    if (room->items == 0 || room->bytes < need)
        return false;
    room->items--;
    room->bytes -= need;
    return true;
}

/* May a block in a job with this room (the block itself taken) grow to `bytes`? Then it does. */
static bool
room_grow(struct s7_room *room, unsigned old_bytes, unsigned bytes)
{
    unsigned more = even(bytes) - even(old_bytes);

    if (room->bytes < more)
        return false;
    room->bytes -= more;
    return true;
}

/* --- compiling --- */

static int
compare_numbers(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int
compare_entries(const void *pa, const void *pb)
{
    const struct s7_entry *a = pa, *b = pb;
    int d = compare_numbers(a->addr->area, b->addr->area);

    if (d == 0)
        d = compare_numbers(a->addr->db, b->addr->db);
    if (d == 0)
        d = compare_numbers(a->addr->start, b->addr->start);
    if (d == 0)
        d = compare_numbers(a->addr->bytes, b->addr->bytes);
    return d == 0 ? compare_numbers(a->item, b->item) : d;
}

static bool
is_forbidden(const struct s7_limits *lim, const struct s7_block *b, uint32_t end)
{
    for (unsigned i = 0; i < lim->range_count; i++) {
        const struct s7_range *r = &lim->ranges[i];
        if (r->area == b->area && r->db == b->db && b->start < r->end && end > r->from)
            return true;
    }
    return false;
}

/* Bytes of block b with entry e too. */
static uint32_t
bytes_with(const struct s7_block *b, const struct s7_entry *e)
{
    uint32_t end = e->addr->start - b->start + e->addr->bytes;

    return end > b->bytes ? end : b->bytes;
}

/* May the entry be read in one item with the block that ends just before it? */
static bool
may_merge(const struct s7_plan *plan, const struct s7_block *b, const struct s7_entry *e)
{
    const struct s7_limits *lim = plan->limits;
    const struct s7_entry *last = e - 1;
    uint32_t bytes;

    if (e->addr->area != b->area || e->addr->db != b->db || last->is_cut || last->code != 0 || e->code != 0)
        return false;
    if (is_counted(e->addr))
        return e->addr->start == b->start;
    bytes = bytes_with(b, e);
    if (e->addr->start > b->start + b->bytes + lim->gap || bytes > s7_item_max(plan->pdu))
        return false;
    return !is_forbidden(lim, b, b->start + bytes);
}

static struct s7_block
block_of(const struct s7_plan *plan, uint32_t first)
{
    const struct s7_addr *a = plan->entries[first].addr;
    unsigned max = s7_item_max(plan->pdu);

    plan->entries[first].offset = 0;
    return (struct s7_block){.first = first,
                             .n = 1,
                             .split = S7_NONE,
                             .start = a->start,
                             .db = a->db,
                             .bytes = a->bytes,
                             .area = a->area,
                             .parts = (uint8_t)((a->bytes + max - 1) / max)};
}

static void
block_extend(const struct s7_plan *plan, struct s7_block *b, uint32_t i)
{
    struct s7_entry *e = &plan->entries[i];

    b->n++;
    if (is_counted(e->addr)) {
        e->offset = 0;
        return;
    }
    e->offset = (uint16_t)(e->addr->start - b->start);
    b->bytes = (uint16_t)bytes_with(b, e);
}

static void
add_part(struct s7_plan *plan, struct s7_room *room, struct s7_part part)
{
    if (plan->request_count == 0 || !s7_room_take(room, part.bytes)) {
        *room = s7_room_of(plan->pdu);
        plan->requests[plan->request_count++] = (struct s7_request){plan->part_count, 0};
        (void)s7_room_take(room, part.bytes);
    }
    plan->parts[plan->part_count++] = part;
    plan->requests[plan->request_count - 1].n++;
}

static void
add_block(struct s7_plan *plan, struct s7_room *room, uint32_t first, uint8_t **text)
{
    uint32_t b = plan->block_count++;

    plan->blocks[b] = block_of(plan, first);
    if (plan->blocks[b].parts > 1) {
        plan->blocks[b].text = *text;
        *text += plan->blocks[b].bytes;
    }
    if (plan->entries[first].code != 0) {
        plan->has_holes = true;
        return;
    }
    for (unsigned i = 0; i < plan->blocks[b].parts; i++)
        add_part(plan, room, s7_plan_part(plan, b, i));
}

/* Adds the entry to the last block when that is allowed and the job has room. */
static bool
extend_last(struct s7_plan *plan, struct s7_room *room, uint32_t i)
{
    struct s7_block *b = &plan->blocks[plan->block_count - 1];
    const struct s7_entry *e = &plan->entries[i];

    if (b->parts > 1 || !may_merge(plan, b, e))
        return false;
    if (!is_counted(e->addr) && !room_grow(room, b->bytes, bytes_with(b, e)))
        return false;
    block_extend(plan, b, i);
    plan->parts[plan->part_count - 1].bytes = b->bytes;
    return true;
}

void
s7_plan_build(struct s7_plan *plan)
{
    struct s7_room room = {0, 0};
    uint8_t *text = plan->texts;

    plan->block_count = plan->split_count = plan->part_count = plan->request_count = 0;
    plan->is_dirty = plan->has_holes = false;
    for (uint32_t i = 0; i < plan->entry_count; i++)
        if (plan->block_count == 0 || !extend_last(plan, &room, i))
            add_block(plan, &room, i, &text);
}

/* Parts and bytes of long texts. */
static uint32_t
count_parts(const struct s7_limits *limits, const struct nx_read_item *items, uint32_t item_count, size_t *text_bytes)
{
    unsigned max = s7_item_max(limits->pdu);
    uint32_t n = 0;

    *text_bytes = 0;
    for (uint32_t i = 0; i < item_count; i++) {
        const struct s7_addr *a = items[i].addr;
        n += (a->bytes + max - 1) / max;
        if (a->bytes > max)
            *text_bytes += a->bytes;
    }
    return n;
}

size_t
s7_plan_bytes(const struct s7_limits *limits, const struct nx_read_item *items, uint32_t item_count)
{
    size_t text_bytes, parts = count_parts(limits, items, item_count, &text_bytes);

    return item_count * (sizeof(struct s7_entry) + sizeof(struct s7_block) + sizeof(struct s7_split)) +
           parts * (sizeof(struct s7_part) + sizeof(struct s7_request)) + text_bytes;
}

void
s7_plan_init(struct s7_plan *plan, void *mem, const struct s7_limits *limits, const struct nx_read_item *items,
             uint32_t item_count)
{
    size_t text_bytes, parts = count_parts(limits, items, item_count, &text_bytes);

    *plan = (struct s7_plan){.limits = limits,
                             .pdu = limits->pdu,
                             .entry_count = item_count,
                             .part_cap = (uint32_t)parts,
                             .has_texts = text_bytes > 0};
    plan->entries = mem;
    plan->blocks = (void *)(plan->entries + item_count);
    plan->splits = (void *)(plan->blocks + item_count);
    plan->parts = (void *)(plan->splits + item_count);
    plan->requests = (void *)(plan->parts + parts);
    plan->texts = (void *)(plan->requests + parts);
    for (uint32_t i = 0; i < item_count; i++)
        plan->entries[i] = (struct s7_entry){.addr = items[i].addr, .item = i};
    qsort(plan->entries, item_count, sizeof *plan->entries, compare_entries);
    s7_plan_build(plan);
}

struct s7_part
s7_plan_part(const struct s7_plan *plan, uint32_t b, unsigned i)
{
    unsigned max = s7_item_max(plan->pdu), bytes = plan->blocks[b].bytes, at = i * max;

    return (struct s7_part){b, (uint16_t)at, (uint16_t)(bytes - at < max ? bytes - at : max)};
}

struct s7_item
s7_plan_item(const struct s7_plan *plan, const struct s7_part *part)
{
    const struct s7_block *b = &plan->blocks[part->block];

    return (struct s7_item){.area = b->area,
                            .transport = S7_BYTES,
                            .db = b->db,
                            .start = b->start + part->offset,
                            .count = s7_area_is_counted(b->area) ? 1 : part->bytes};
}

/* --- what the CPU refuses --- */

/* The entry of block b behind which to split: before the widest gap, else in the middle. */
static uint32_t
split_point(const struct s7_plan *plan, const struct s7_block *b)
{
    uint32_t at = b->first + b->n / 2 - 1, end = 0, widest = 0;

    for (uint32_t i = b->first; i < b->first + b->n; i++) {
        const struct s7_addr *a = plan->entries[i].addr;
        if (i > b->first && a->start > end && a->start - end > widest) {
            widest = a->start - end;
            at = i - 1;
        }
        if (a->start + a->bytes > end)
            end = a->start + a->bytes;
    }
    return at;
}

static struct s7_block
block_between(const struct s7_plan *plan, uint32_t first, uint32_t last, uint32_t split)
{
    struct s7_block b = block_of(plan, first);

    for (uint32_t i = first + 1; i <= last; i++)
        block_extend(plan, &b, i);
    b.split = split;
    return b;
}

bool
s7_plan_refused(struct s7_plan *plan, uint32_t b, unsigned code, uint64_t probe_ms)
{
    struct s7_block old = plan->blocks[b];
    uint32_t split, at;

    if (old.split != S7_NONE)
        plan->splits[old.split].is_explained = true;
    if (old.n == 1) {
        struct s7_entry *e = &plan->entries[old.first];
        plan->is_dirty = plan->is_dirty || e->code == 0;
        e->code = (uint8_t)code;
        e->probe_ms = probe_ms;
        plan->has_holes = true;
        return false;
    }
    assert(plan->block_count < plan->entry_count && plan->split_count < plan->entry_count);
    at = split_point(plan, &old);
    split = plan->split_count++;
    plan->splits[split] = (struct s7_split){.at = at};
    plan->blocks[b] = block_between(plan, old.first, at, split);
    plan->blocks[plan->block_count++] = block_between(plan, at + 1, old.first + old.n - 1, split);
    plan->is_dirty = true;
    return true;
}

struct s7_entry *
s7_plan_hole(const struct s7_plan *plan, uint32_t b)
{
    struct s7_entry *e = &plan->entries[plan->blocks[b].first];

    return e->code != 0 ? e : NULL;
}

void
s7_plan_healed(struct s7_plan *plan, uint32_t b)
{
    plan->entries[plan->blocks[b].first].code = 0;
    plan->is_dirty = true;
    for (uint32_t i = 0; i < plan->entry_count; i++)
        plan->entries[i].probe_ms = 0;
}

void
s7_plan_rebuild(struct s7_plan *plan, bool is_decided)
{
    if (!plan->is_dirty)
        return;
    for (uint32_t i = 0; is_decided && i < plan->split_count; i++)
        if (!plan->splits[i].is_explained)
            plan->entries[plan->splits[i].at].is_cut = true;
    s7_plan_build(plan);
}

/* --- forbidden ranges --- */

static enum nx_err
parse_range(struct s7_limits *limits, struct slice s, struct nx_note *why)
{
    char text[64];
    char *dash;
    struct s7_addr addr = {0};
    struct nx_addr_info info;
    struct nx_addr_spec spec = {.address = text, .data_type = NX_DT_UINT8};
    uint64_t to;
    enum nx_err err;

    if (s.len >= sizeof text || limits->range_count == S7_RANGES_MAX)
        return nx_fail(why, NX_E_CONFIG, "forbidden: at most %d ranges like DB1.DBB100-110", S7_RANGES_MAX);
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    dash = strchr(text, '-');
    if (dash)
        *dash = '\0';
    err = s7_addr_parse(&spec, &addr, &info, why);
    if (err != NX_OK)
        return err;
    to = addr.start;
    if (dash && (!num_u64(slice_str(dash + 1), &to) || to > UINT16_MAX || to < addr.start))
        return nx_fail(why, NX_E_CONFIG, "forbidden: '%.*s' must end at a byte from %u to 65535", SLICE_FMT(s),
                       addr.start);
    limits->ranges[limits->range_count++] = (struct s7_range){addr.area, addr.db, addr.start, (uint32_t)to + 1};
    return NX_OK;
}

enum nx_err
s7_ranges_parse(struct s7_limits *limits, const char *text, struct nx_note *why)
{
    struct slice rest = slice_str(text), one;
    enum nx_err err = NX_OK;

    limits->range_count = 0;
    while (err == NX_OK && slice_part(&rest, ',', &one))
        err = parse_range(limits, one, why);
    return err;
}
