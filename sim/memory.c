#include "sim/memory.h"

#include "base/mem.h"
#include "sim/bytes.h"

#include <stdlib.h>
#include <string.h>

void
memory_init(struct memory *m, const uint32_t counts[MEMORY_TABLES])
{
    *m = (struct memory){0};
    for (unsigned t = 0; t < MEMORY_TABLES; t++) {
        m->counts[t] = counts[t];
        m->cells[t] = mem_calloc(counts[t] ? counts[t] : 1, sizeof *m->cells[t]);
    }
}

void
memory_fini(struct memory *m)
{
    for (unsigned t = 0; t < MEMORY_TABLES; t++) {
        free(m->cells[t]);
        m->cells[t] = NULL;
    }
}

void
memory_put_u32(uint16_t *cells, uint32_t v)
{
    cells[0] = (uint16_t)(v >> 16);
    cells[1] = (uint16_t)v;
}

uint32_t
memory_get_u32(const uint16_t *cells)
{
    return (uint32_t)cells[0] << 16 | cells[1];
}

void
memory_put_float(uint16_t *cells, float v)
{
    memory_put_u32(cells, float_bits(v));
}

float
memory_get_float(const uint16_t *cells)
{
    return bits_float(memory_get_u32(cells));
}

void
memory_put_text(uint16_t *cells, uint32_t regs, const char *text)
{
    size_t len = strlen(text);

    for (uint32_t i = 0; i < regs; i++) {
        unsigned hi = 2 * i < len ? (uint8_t)text[2 * i] : 0, lo = 2 * i + 1 < len ? (uint8_t)text[2 * i + 1] : 0;
        cells[i] = (uint16_t)(hi << 8 | lo);
    }
}
