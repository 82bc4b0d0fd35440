#include "sim/s7_memory.h"

#include "base/mem.h"
#include "sim/bytes.h"

#include <stdlib.h>
#include <string.h>

#define ELEMENTS 128u

static void
block_init(struct s7sim_block *b, uint32_t size)
{
    *b = (struct s7sim_block){.bytes = mem_alloc(size), .size = size};
}

static void
block_fini(struct s7sim_block *b)
{
    free(b->bytes);
    *b = (struct s7sim_block){0};
}

void
s7sim_memory_init(struct s7sim_memory *m, unsigned dbs, uint32_t db_bytes, uint32_t area_bytes)
{
    uint32_t elements = area_bytes > 0 ? ELEMENTS : 0;

    *m = (struct s7sim_memory){.db_count = dbs, .dbs = mem_calloc(dbs, sizeof *m->dbs)};
    block_init(&m->inputs, area_bytes);
    block_init(&m->outputs, area_bytes);
    block_init(&m->markers, area_bytes);
    block_init(&m->timers, 2 * elements);
    block_init(&m->counters, 2 * elements);
    for (unsigned i = 0; i < dbs; i++)
        block_init(&m->dbs[i], db_bytes);
}

void
s7sim_memory_fini(struct s7sim_memory *m)
{
    for (unsigned i = 0; i < m->db_count; i++)
        block_fini(&m->dbs[i]);
    free(m->dbs);
    block_fini(&m->inputs);
    block_fini(&m->outputs);
    block_fini(&m->markers);
    block_fini(&m->timers);
    block_fini(&m->counters);
    *m = (struct s7sim_memory){0};
}

struct s7sim_block *
s7sim_memory_block(const struct s7sim_memory *m, unsigned area, unsigned db)
{
    struct s7sim_memory *own = (struct s7sim_memory *)(uintptr_t)m;
    struct s7sim_block *b = NULL;

    switch (area) {
    case S7_I:
        b = &own->inputs;
        break;
    case S7_Q:
        b = &own->outputs;
        break;
    case S7_M:
        b = &own->markers;
        break;
    case S7_TIMERS:
        b = &own->timers;
        break;
    case S7_COUNTERS:
        b = &own->counters;
        break;
    case S7_DB:
        b = db >= 1 && db <= m->db_count ? &m->dbs[db - 1] : NULL;
        break;
    default:
        break;
    }
    return b && b->size > 0 ? b : NULL;
}

void
s7sim_memory_resize(struct s7sim_memory *m, unsigned db, uint32_t size)
{
    if (db >= 1 && db <= m->db_count)
        m->dbs[db - 1].size = size;
}

uint16_t
s7sim_memory_provenance(unsigned db_or_area, uint32_t byte)
{
    return (uint16_t)(byte / 2 + 4099 * db_or_area);
}

static void
fill(struct s7sim_block *b, unsigned number)
{
    for (uint32_t at = 0; at + 1 < b->size; at += 2)
        put16(b->bytes + at, s7sim_memory_provenance(number, at));
}

void
s7sim_memory_fill_provenance(struct s7sim_memory *m)
{
    fill(&m->inputs, S7_I);
    fill(&m->outputs, S7_Q);
    fill(&m->markers, S7_M);
    for (unsigned i = 0; i < m->db_count; i++)
        fill(&m->dbs[i], i + 1);
}
