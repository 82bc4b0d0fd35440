/* load.h -- many equal devices for benchmarks. Every tag counts its own reads: each read that is answered finds it one
 * higher than the one before, so a reader that keeps the values can tell exactly what was lost. One thread. */
#ifndef SIM_LOAD_H
#define SIM_LOAD_H

#include "sim/memory.h"

#define LOAD_UNITS_PER_PORT 247u

struct load {
    struct memory *memories; /* one a device */
    unsigned device_count, tag_count;
    bool is_float; /* float32 over two holding registers, else uint16 in one */
};

void load_init(struct load *l, unsigned devices, unsigned tags, bool is_float);
void load_fini(struct load *l);

#endif
