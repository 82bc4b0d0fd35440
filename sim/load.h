/* load.h -- many equal devices for benchmarks. Every tag counts its own reads: each read that is answered finds it one
 * higher than the one before, so a reader that keeps the values can tell exactly what was lost. One thread. */
#ifndef SIM_LOAD_H
#define SIM_LOAD_H

#include "sim/memory.h"

#define LOAD_UNITS_PER_PORT 247u

/* UINT16: a holding register a tag. FLOAT32: two. PROOF: a uint32 over two that tells where it is from: address << 16 |
 * unit << 8 | reads of this unit modulo 256, so a reader can prove that no value is another tag's. */
enum load_kind { LOAD_UINT16, LOAD_FLOAT32, LOAD_PROOF };

struct load {
    struct memory *memories; /* one a device */
    struct load_proof *proofs;
    unsigned device_count, tag_count;
    enum load_kind kind;
};

void load_init(struct load *l, unsigned devices, unsigned tags, enum load_kind kind);
void load_fini(struct load *l);

#endif
