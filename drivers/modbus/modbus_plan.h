/* modbus_plan.h -- which requests read a list of tags, and what the device has taught us about them. Pure.
 *
 * Tags are sorted by table and address and merged greedily into blocks: as long as the hole between two tags is at most
 * `gap`, the block stays within the limits and touches no forbidden range. When the device refuses a block:
 *  - modbus_plan_refused() splits a block of several tags at its widest gap (or its middle); both halves are asked
 * again;
 *  - a block of one tag becomes a hole: it is left alone until its probe time and never merged with its neighbours;
 *  - modbus_plan_rebuild() merges again what was split for nothing. A split whose halves were both fine (registers
 *    between them that cannot be read, or a device with smaller limits) is kept as a cut.
 * So after one round each poll again costs the minimum, and only the bad tag is bad.
 *
 * All memory is one piece given by the caller; nothing grows. Indices of blocks stay valid until a rebuild. */
#ifndef MODBUS_PLAN_H
#define MODBUS_PLAN_H

#include "modbus_addr.h"

#define MODBUS_RANGES_MAX 32
#define MODBUS_NONE       UINT32_MAX

/* Wire addresses that must never be read for nothing (for instance registers that clear on read). */
struct modbus_range {
    uint8_t table;
    uint16_t from, to; /* both included */
};

struct modbus_limits {
    uint16_t max_regs, max_bits;
    uint16_t gap; /* registers; 16 times as many bits */
    unsigned range_count;
    struct modbus_range ranges[MODBUS_RANGES_MAX];
};

/* One tag in sorted order. */
struct modbus_entry {
    const struct modbus_addr *addr;
    uint32_t item;     /* index in the read list */
    uint8_t exception; /* not 0: a hole, refused with this code */
    bool is_cut;       /* never merged with the entry behind it */
    uint64_t probe_ms; /* a hole is asked again from this time on */
};

struct modbus_block {
    uint32_t first, n; /* entries */
    uint32_t split;    /* the split it comes from, or MODBUS_NONE */
    uint16_t start, count;
    uint8_t table;
};

/* A refused block that was split behind entry `at`. */
struct modbus_split {
    uint32_t at;
    bool is_explained; /* a half was refused again: the cut itself is not to blame */
};

struct modbus_plan {
    const struct modbus_limits *limits;
    struct modbus_entry *entries;
    struct modbus_block *blocks; /* at most one per entry */
    struct modbus_split *splits;
    uint32_t entry_count, block_count, split_count;
    bool is_dirty; /* something was learned since the last rebuild */
};

/* Bytes that modbus_plan_init() needs for this many tags. */
size_t modbus_plan_bytes(uint32_t entry_count);
/* Compiles the plan. mem is zeroed; items[i].addr is a struct modbus_addr; both and limits outlive the plan. */
void modbus_plan_init(struct modbus_plan *plan, void *mem, const struct modbus_limits *limits,
                      const struct nx_read_item *items, uint32_t item_count);

/* The device refused block b (exception 1 to 4). True: it was split, the new half is the last block, ask both again.
 * False: it has one tag only, which is a hole until probe_ms. */
bool modbus_plan_refused(struct modbus_plan *plan, uint32_t b, unsigned exception, uint64_t probe_ms);
/* A probe of hole b was answered: it is a tag like any other again, and all other holes are due for a probe. */
void modbus_plan_healed(struct modbus_plan *plan, uint32_t b);
/* The hole of block b, or NULL. */
struct modbus_entry *modbus_plan_hole(const struct modbus_plan *plan, uint32_t b);
/* Merges anew around holes and cuts when something was learned. Only between polls, when each split is decided. */
void modbus_plan_rebuild(struct modbus_plan *plan);

/* Reads "holding:100-110, input:5" into limits. */
NX_MUST_CHECK enum nx_err modbus_ranges_parse(struct modbus_limits *limits, const char *text, struct nx_note *why);

#endif
