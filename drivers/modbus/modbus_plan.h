/* modbus_plan.h -- which requests read a list of tags, and how refusals change them. Pure.
 *
 * Tags are sorted by table and address and merged greedily into blocks: as long as the hole between two tags is at most
 * `gap`, the block stays within what the device answers and touches no forbidden range. When the device refuses a
 * block:
 *  - modbus_plan_refused() splits a block of several tags at its widest gap (or its middle); both halves are asked
 *    again;
 *  - a block of one tag becomes a hole: it is left alone until its probe time and never merged with its neighbours;
 *  - when both halves of a split are answered, no tag was to blame: either the request was too large, then the limit is
 *    learned (modbus_facts.h) and modbus_plan_fit() shortens what was not sent yet, or the registers between the halves
 *    cannot be read, then the split is kept as a cut.
 * After modbus_plan_settle() each poll costs the minimum again, and only the bad tag is bad.
 *
 * All memory is one piece given by the caller; nothing grows. Indices of blocks stay valid until the plan is begun
 * anew. */
#ifndef MODBUS_PLAN_H
#define MODBUS_PLAN_H

#include "modbus_facts.h"

#define MODBUS_RANGES_MAX 32
#define MODBUS_NONE       UINT32_MAX

/* Wire addresses that must never be read for nothing (for instance registers that clear on read). */
struct modbus_range {
    uint8_t table;
    uint16_t from, to; /* both included */
};

/* The settings of a device. */
struct modbus_limits {
    uint16_t max_regs, max_bits;
    uint16_t gap; /* registers; 16 times as many bits */
    unsigned range_count;
    struct modbus_range *ranges; /* MODBUS_RANGES_MAX of them */
};

/* One tag in sorted order. */
struct modbus_entry {
    struct modbus_addr addr;
    uint32_t item;     /* index in the read list */
    uint64_t probe_ms; /* a hole is asked again from this time on */
    uint8_t exception; /* not 0: a hole, refused with this code */
    bool is_cut;       /* never merged with the entry behind it */
    bool is_healed;    /* was a hole until this poll */
};

struct modbus_block {
    uint32_t first, n; /* entries */
    uint32_t split;    /* the split it comes from, or MODBUS_NONE */
    uint16_t start, count;
    uint8_t table;
    bool is_taken; /* for the caller who goes through the blocks; false when a poll begins */
};

/* A refused block that was split behind entry `at`. */
struct modbus_split {
    uint32_t at;
    uint16_t count, gap; /* size of the block; registers or bits between its halves */
    uint8_t exception, answered;
};

struct modbus_plan {
    const struct modbus_limits *limits;
    struct modbus_facts *facts;
    struct modbus_entry *entries;
    struct modbus_block *blocks; /* at most one per entry */
    struct modbus_split *splits;
    uint32_t entry_count, block_count, split_count;
    uint16_t regs, bits; /* the limits it was built with */
    uint32_t generation; /* of the facts */
    bool is_dirty;       /* something was learned since it was built */
};

/* Bytes that modbus_plan_init() needs for this many tags. */
size_t modbus_plan_bytes(uint32_t entry_count);
/* Compiles the plan. mem is zeroed; items[i].addr is a struct modbus_addr, copied; mem, limits and facts outlive the
 * plan. Holes that are known are probed from probe_ms on. */
void modbus_plan_init(struct modbus_plan *plan, void *mem, const struct modbus_limits *limits,
                      struct modbus_facts *facts, const struct nx_read_item *items, uint32_t item_count,
                      uint64_t probe_ms);
/* Before a poll: builds the blocks anew when the facts have changed since. */
void modbus_plan_begin(struct modbus_plan *plan);
/* Before block b is sent: shortens it to what the device answers now; the rest is a new last block. */
void modbus_plan_fit(struct modbus_plan *plan, uint32_t b);

/* The device answered block b. A hole has healed. */
void modbus_plan_answered(struct modbus_plan *plan, uint32_t b);
/* The device refused block b (exception 1 to 4). True: it was split, the new half is the last block, ask both again,
 * and soon: their answers say how to go on. False: it has one tag only, which is a hole until probe_ms. */
bool modbus_plan_refused(struct modbus_plan *plan, uint32_t b, unsigned exception, uint64_t probe_ms);
/* The hole of block b, or NULL. */
struct modbus_entry *modbus_plan_hole(const struct modbus_plan *plan, uint32_t b);
/* After a poll in which each block was answered or refused: tells the facts of holes and cuts. A hole that healed takes
 * the holes around it with it (a device that was set up anew would else be asked register by register), and all others
 * are due for a probe. */
void modbus_plan_settle(struct modbus_plan *plan);

/* Registers (or bits) of block b that no tag wants. */
unsigned modbus_plan_waste(const struct modbus_plan *plan, const struct modbus_block *b);

/* Reads "holding:100-110, input:5" into limits. */
NX_MUST_CHECK enum nx_err modbus_ranges_parse(struct modbus_limits *limits, const char *text, struct nx_note *why);

#endif
