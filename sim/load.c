#include "sim/load.h"

#include "base/mem.h"

#include <stdlib.h>

struct load_proof {
    unsigned unit, reads;
};

static void
count_words(void *arg, struct memory *m, enum memory_table table, uint32_t start, uint32_t n)
{
    (void)arg;
    for (uint32_t i = start; table == MEMORY_HOLDING && i < start + n; i++)
        m->cells[table][i]++;
}

/* Only values that are read whole move on. */
static void
count_floats(void *arg, struct memory *m, enum memory_table table, uint32_t start, uint32_t n)
{
    (void)arg;
    for (uint32_t i = (start + 1) / 2; table == MEMORY_HOLDING && 2 * i + 2 <= start + n; i++) {
        uint16_t *cells = m->cells[table] + 2 * i;
        memory_put_float(cells, memory_get_float(cells) + 1);
    }
}

static void
prove(void *arg, struct memory *m, enum memory_table table, uint32_t start, uint32_t n)
{
    struct load_proof *proof = arg;

    if (table != MEMORY_HOLDING)
        return;
    proof->reads++;
    for (uint32_t i = start / 2; 2 * i < start + n; i++) {
        m->cells[table][2 * i] = (uint16_t)(2 * i);
        m->cells[table][2 * i + 1] = (uint16_t)(proof->unit << 8 | (proof->reads & 0xFF));
    }
}

void
load_init(struct load *l, unsigned devices, unsigned tags, enum load_kind kind)
{
    const uint32_t counts[MEMORY_TABLES] = {[MEMORY_HOLDING] = kind == LOAD_UINT16 ? tags : 2 * tags};
    void (*const hooks[])(void *, struct memory *, enum memory_table, uint32_t, uint32_t) = {
        [LOAD_UINT16] = count_words, [LOAD_FLOAT32] = count_floats, [LOAD_PROOF] = prove};

    *l = (struct load){.device_count = devices, .tag_count = tags, .kind = kind};
    l->memories = mem_calloc(devices, sizeof *l->memories);
    l->proofs = mem_calloc(devices, sizeof *l->proofs);
    for (unsigned i = 0; i < devices; i++) {
        memory_init(&l->memories[i], counts);
        l->proofs[i].unit = i % LOAD_UNITS_PER_PORT + 1;
        l->memories[i].before_read = hooks[kind];
        l->memories[i].arg = &l->proofs[i];
    }
}

void
load_fini(struct load *l)
{
    for (unsigned i = 0; i < l->device_count; i++)
        memory_fini(&l->memories[i]);
    free(l->memories);
    free(l->proofs);
    l->memories = NULL;
    l->proofs = NULL;
}
