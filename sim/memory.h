/* memory.h -- the four tables of one simulated Modbus device. One thread. */
#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

enum memory_table { MEMORY_COIL, MEMORY_DISCRETE, MEMORY_INPUT, MEMORY_HOLDING, MEMORY_TABLES };

/* One element is a register or, in the first two tables, 0 or 1. */
struct memory {
    uint16_t *cells[MEMORY_TABLES];
    uint32_t counts[MEMORY_TABLES];
    /* May be NULL. before_read: the client reads these cells now. after_write: it has just written them. */
    void (*before_read)(void *arg, struct memory *m, enum memory_table table, uint32_t start, uint32_t n);
    void (*after_write)(void *arg, struct memory *m, enum memory_table table, uint32_t start, uint32_t n);
    void *arg;
};

/* Zeroed tables of these sizes (at most 65536 each). */
void memory_init(struct memory *m, const uint32_t counts[MEMORY_TABLES]);
void memory_fini(struct memory *m);

/* Values over registers, most significant word first. */
void memory_put_u32(uint16_t *cells, uint32_t v);
uint32_t memory_get_u32(const uint16_t *cells);
void memory_put_float(uint16_t *cells, float v);
float memory_get_float(const uint16_t *cells);
/* Two characters per register, padded with NUL. */
void memory_put_text(uint16_t *cells, uint32_t regs, const char *text);

#endif
