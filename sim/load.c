#include "sim/load.h"

#include "base/mem.h"

#include <stdlib.h>

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

void
load_init(struct load *l, unsigned devices, unsigned tags, bool is_float)
{
    const uint32_t counts[MEMORY_TABLES] = {[MEMORY_HOLDING] = is_float ? 2 * tags : tags};

    *l = (struct load){.device_count = devices, .tag_count = tags, .is_float = is_float};
    l->memories = mem_calloc(devices, sizeof *l->memories);
    for (unsigned i = 0; i < devices; i++) {
        memory_init(&l->memories[i], counts);
        l->memories[i].before_read = is_float ? count_floats : count_words;
    }
}

void
load_fini(struct load *l)
{
    for (unsigned i = 0; i < l->device_count; i++)
        memory_fini(&l->memories[i]);
    free(l->memories);
    l->memories = NULL;
}
