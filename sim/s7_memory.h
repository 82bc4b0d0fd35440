/* s7_memory.h -- the memory of one simulated S7 CPU: inputs, outputs, markers, timers, counters and data blocks.
 * Big-endian, as the CPU has it. One thread. */
#ifndef SIM_S7_MEMORY_H
#define SIM_S7_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

enum s7sim_area { S7_COUNTERS = 0x1C, S7_TIMERS = 0x1D, S7_I = 0x81, S7_Q = 0x82, S7_M = 0x83, S7_DB = 0x84 };

#define S7_BLOCK_MAX 65536u

struct s7sim_block {
    uint8_t *bytes;
    uint32_t size;     /* 0: the block does not exist */
    uint8_t refusal;   /* every access gets this item code; 0: none. Protected 03, optimized 05 */
    bool is_read_only; /* writes get 03 */
};

struct s7sim_memory {
    struct s7sim_block inputs, outputs, markers, timers, counters; /* timers and counters: 2 bytes an element */
    struct s7sim_block *dbs;                                       /* DB n is dbs[n - 1] */
    unsigned db_count;
    /* May be NULL. before_read: a client reads these bytes now. after_write: it has just written them. */
    void (*before_read)(void *arg, struct s7sim_block *block, uint32_t start, uint32_t n);
    void (*after_write)(void *arg, struct s7sim_block *block, uint32_t start, uint32_t n);
    void *arg;
};

/* Zeroed: dbs data blocks of db_bytes each, and so many bytes in I, Q and M; 128 timers and counters when area_bytes is
 * not 0. */
void s7sim_memory_init(struct s7sim_memory *m, unsigned dbs, uint32_t db_bytes, uint32_t area_bytes);
void s7sim_memory_fini(struct s7sim_memory *m);

/* The block that a client names, or NULL when there is none. */
struct s7sim_block *s7sim_memory_block(const struct s7sim_memory *m, unsigned area, unsigned db);
/* Changes what a client may reach, as a download of another program does; size is at most the size at the start. */
void s7sim_memory_resize(struct s7sim_memory *m, unsigned db, uint32_t size);

/* Every word tells where it lies: word w (from 0) of DB n is w + 4099 n modulo 65536, and n is the area's code in I, Q
 * and M. So no two words of 15 blocks of at most 8198 bytes are equal, and a value on a wrong tag shows. */
void s7sim_memory_fill_provenance(struct s7sim_memory *m);
uint16_t s7sim_memory_provenance(unsigned db_or_area, uint32_t byte);

#endif
