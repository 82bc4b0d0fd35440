/* modbus_facts.h -- what a device has taught us, whatever the list of tags: how much it answers in one request, which
 * addresses it refuses, where two registers cannot be read together. Survives restarts as text. Pure.
 *
 * The largest request is searched by halving: `low` is the largest that was answered, `high` the largest that was never
 * refused for its size, `now` what requests are made of until both meet. */
#ifndef MODBUS_FACTS_H
#define MODBUS_FACTS_H

#include "base/wbuf.h"
#include "modbus_addr.h"

#define MODBUS_HOLES_MAX 3500
#define MODBUS_CUTS_MAX  500

struct modbus_reach {
    uint16_t low, high, now;
};

struct modbus_hole {
    uint32_t place; /* modbus_place() */
    uint16_t count;
    uint8_t exception;
};

/* Grows by way of alloc, which is never asked to free: the arrays double, so at most half of it is lost. */
struct modbus_facts {
    void *(*alloc)(void *arg, size_t size);
    void *arg;
    struct modbus_reach regs, bits;
    struct modbus_hole *holes; /* sorted by place and count */
    uint32_t *cuts;            /* sorted places: what begins here is not read together with what is before it */
    uint32_t hole_count, hole_cap, cut_count, cut_cap;
    uint32_t generation; /* of modbus_facts_relearn() */
    bool is_dirty;       /* something changed since modbus_facts_write() */
};

static inline uint32_t
modbus_place(unsigned table, unsigned start)
{
    return (uint32_t)table << 16 | (start & 0xFFFF);
}

void modbus_facts_init(struct modbus_facts *f, uint16_t max_regs, uint16_t max_bits);

static inline struct modbus_reach *
modbus_facts_reach(struct modbus_facts *f, unsigned table)
{
    return modbus_table_is_bits(table) ? &f->bits : &f->regs;
}

/* A request of n was answered; was refused, and it was for its size. */
void modbus_facts_answered(struct modbus_facts *f, unsigned table, unsigned n);
void modbus_facts_too_large(struct modbus_facts *f, unsigned table, unsigned n);

/* exception 0: no hole any more. Beyond the bounds nothing is kept: such holes are found anew after a restart. */
void modbus_facts_set_hole(struct modbus_facts *f, uint32_t place, uint16_t count, uint8_t exception);
/* The exception, 0: no hole. */
uint8_t modbus_facts_hole(const struct modbus_facts *f, uint32_t place, uint16_t count);
void modbus_facts_set_cut(struct modbus_facts *f, uint32_t place);
/* Is there a cut at places after..upto (after < place <= upto)? */
bool modbus_facts_is_cut(const struct modbus_facts *f, uint32_t after, uint32_t upto);

/* Forgets cuts and the upper bounds, so that a device that was changed is not read in small pieces for ever. */
void modbus_facts_relearn(struct modbus_facts *f, uint16_t max_regs, uint16_t max_bits);

/* "v1 regs=60-60 bits=0-2000 h20+1:2 h30|" -- one line of at most NX_LEARNED_MAX bytes: a hole of one register at
 * holding 20, refused with exception 2, and a cut before holding 30. */
void modbus_facts_write(struct modbus_facts *f, struct wbuf *out);
/* Into facts just initialised. What cannot be understood is ignored; NULL: nothing was learned. */
void modbus_facts_read(struct modbus_facts *f, const char *text);

#endif
