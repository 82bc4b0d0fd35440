/* s7_plan.h -- which jobs read a list of tags within the negotiated PDU, and what the CPU has taught us. Pure.
 *
 * Tags are sorted by area, DB and address and merged greedily into blocks, each one item of a job: as long as the gap
 * between two tags is at most `gap` bytes, no forbidden range is touched and the job has room. Timers and counters are
 * never merged. The next block begins in the same job as long as both limits hold (request and reply, and 20 items), so
 * jobs are filled to the last tag that fits. A value is never cut, except for a text longer than a whole PDU: it is a
 * block of its own, read in parts.
 *
 * When the CPU refuses an item (a code of the item, not of the job):
 *  - s7_plan_refused() splits a block of several tags at its widest gap (or its middle); both halves are asked again;
 *  - a block of one tag becomes a hole: it is in no job until its probe time and never merged with its neighbours;
 *  - s7_plan_rebuild() merges again what was split for nothing. A split whose halves were both fine (bytes between them
 *    that cannot be read) is kept as a cut.
 * So after one round each poll again costs the minimum, and only the bad tag is bad.
 *
 * All memory is one piece given by the caller; nothing grows. Indices of blocks stay valid until a rebuild. */
#ifndef S7_PLAN_H
#define S7_PLAN_H

#include "s7_addr.h"

#define S7_RANGES_MAX 32
#define S7_NONE       UINT32_MAX

/* Bytes that must never be read for nothing. */
struct s7_range {
    uint8_t area;
    uint16_t db;
    uint32_t from, end; /* end is not included */
};

struct s7_limits {
    uint16_t pdu; /* bytes of a message, both ways */
    uint16_t gap; /* bytes */
    unsigned range_count;
    struct s7_range ranges[S7_RANGES_MAX];
};

/* One tag in sorted order. */
struct s7_entry {
    const struct s7_addr *addr;
    uint32_t item;     /* index in the read list */
    uint16_t offset;   /* in its block */
    uint8_t code;      /* not 0: a hole, refused with this code */
    bool is_cut;       /* never merged with the entry behind it */
    uint64_t probe_ms; /* a hole is asked again from this time on */
};

/* One item of a job, or a long text in several. */
struct s7_block {
    uint32_t first, n; /* entries */
    uint32_t split;    /* the split it comes from, or S7_NONE */
    uint32_t start;
    uint16_t db, bytes;
    uint8_t area;
    uint8_t code;       /* a part was refused in this poll */
    uint8_t parts;      /* 1; more: a long text */
    uint8_t parts_left; /* not answered yet in this poll */
    uint8_t *text;      /* a long text is collected here */
};

/* A refused block that was split behind entry `at`. */
struct s7_split {
    uint32_t at;
    bool is_explained; /* a half was refused again: the cut itself is not to blame */
};

/* A block, or part of one. */
struct s7_part {
    uint32_t block;
    uint16_t offset, bytes; /* in the block */
};

struct s7_request {
    uint32_t first; /* parts */
    uint32_t n;
};

struct s7_plan {
    const struct s7_limits *limits;
    uint16_t pdu; /* what the plan was made for */
    struct s7_entry *entries;
    struct s7_block *blocks; /* at most one per entry; those of holes are in no job */
    struct s7_split *splits;
    struct s7_part *parts;
    struct s7_request *requests;
    uint8_t *texts;
    uint32_t entry_count, block_count, split_count, part_count, request_count;
    uint32_t part_cap;
    bool has_texts; /* some block has several parts */
    bool has_holes; /* some block is a hole since the last build */
    bool is_dirty;  /* something was learned since the last rebuild */
};

/* What fits a job yet. */
struct s7_room {
    unsigned items, bytes;
};
struct s7_room s7_room_of(unsigned pdu);
/* Takes an item of so many bytes off the room. False: it does not fit. */
bool s7_room_take(struct s7_room *room, unsigned bytes);
/* Bytes of the longest item. */
unsigned s7_item_max(unsigned pdu);

/* Bytes that s7_plan_init() needs for these tags. */
size_t s7_plan_bytes(const struct s7_limits *limits, const struct nx_read_item *items, uint32_t item_count);
/* Compiles the plan. mem is zeroed; items[i].addr is a struct s7_addr; both and limits outlive the plan. */
void s7_plan_init(struct s7_plan *plan, void *mem, const struct s7_limits *limits, const struct nx_read_item *items,
                  uint32_t item_count);

/* The item of a job that reads this part. */
struct s7_item s7_plan_item(const struct s7_plan *plan, const struct s7_part *part);
/* Part number i of block b. */
struct s7_part s7_plan_part(const struct s7_plan *plan, uint32_t b, unsigned i);

/* The CPU refused block b. True: it was split, the new half is the last block, ask both again. False: it has one tag
 * only, which is a hole until probe_ms. */
bool s7_plan_refused(struct s7_plan *plan, uint32_t b, unsigned code, uint64_t probe_ms);
/* A probe of hole b was answered: it is a tag like any other again, and all other holes are due for a probe. */
void s7_plan_healed(struct s7_plan *plan, uint32_t b);
/* The hole of block b, or NULL. */
struct s7_entry *s7_plan_hole(const struct s7_plan *plan, uint32_t b);
/* Merges anew around holes and cuts when something was learned. Only between polls. is_decided: each block was read or
 * refused since the last build, so a split with two good halves is a cut. */
void s7_plan_rebuild(struct s7_plan *plan, bool is_decided);
/* Makes the jobs after entries were changed from outside (what was learned in an earlier run). */
void s7_plan_build(struct s7_plan *plan);

/* Reads "DB1.DBB100-110, MB5" into limits. */
NX_MUST_CHECK enum nx_err s7_ranges_parse(struct s7_limits *limits, const char *text, struct nx_note *why);

#endif
