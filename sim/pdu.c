#include "sim/pdu.h"

#include "sim/bytes.h"

#include <string.h>

#define READ_MAX       125u
#define READ_BITS_MAX  2000u
#define WRITE_MAX      123u
#define WRITE_BITS_MAX 1968u
#define EXCHANGE_MAX   121u /* written by function 23 */
#define REGS_TO_BITS   16u

/* A request PDU and room for the reply PDU. Handlers return its length, or an exception as a negative number. */
struct call {
    const struct faults *faults;
    struct memory *m;
    const uint8_t *in;
    size_t len;
    uint8_t *out;
};

static bool
is_bits(enum memory_table table)
{
    return table == MEMORY_COIL || table == MEMORY_DISCRETE;
}

static bool
touches(unsigned reg, unsigned start, unsigned n)
{
    return reg >= start && reg < start + n;
}

/* Index of the first cell, or an exception as a negative number. max: what the function allows. */
static int
locate(const struct call *c, enum memory_table table, unsigned start, unsigned n, unsigned max)
{
    const struct faults *f = c->faults;
    unsigned limit = f->max_regs * (is_bits(table) ? REGS_TO_BITS : 1);

    if (n == 0 || n > max || (limit > 0 && n > limit))
        return -(int)EX_VALUE;
    if (touches(f->exception_reg, start, n) || start + n > f->vanish_reg || start < f->move ||
        start - f->move + n > c->m->counts[table])
        return -(int)EX_ADDRESS;
    return (int)(start - f->move);
}

static int
put_cells(struct call *c, enum memory_table table, unsigned at, unsigned n)
{
    const uint16_t *cells = c->m->cells[table] + at;
    unsigned bytes = is_bits(table) ? (n + 7) / 8 : 2 * n;

    if (c->m->before_read)
        c->m->before_read(c->m->arg, c->m, table, at, n);
    c->out[1] = (uint8_t)bytes;
    if (!is_bits(table)) {
        for (unsigned i = 0; i < n; i++)
            put16(c->out + 2 + 2 * i, cells[i]);
        return (int)(2 + bytes);
    }
    memset(c->out + 2, 0, bytes);
    for (unsigned i = 0; i < n; i++)
        c->out[2 + i / 8] = (uint8_t)(c->out[2 + i / 8] | (cells[i] != 0) << i % 8);
    return (int)(2 + bytes);
}

static void
take_cells(struct call *c, enum memory_table table, unsigned at, unsigned n, const uint8_t *data)
{
    uint16_t *cells = c->m->cells[table] + at;

    for (unsigned i = 0; i < n; i++)
        cells[i] = (uint16_t)(is_bits(table) ? data[i / 8] >> i % 8 & 1 : get16(data + 2 * i));
    if (c->m->after_write)
        c->m->after_write(c->m->arg, c->m, table, at, n);
}

/* Replies to writes repeat the head of the request. */
static int
echo(struct call *c, unsigned bytes)
{
    memcpy(c->out + 1, c->in + 1, bytes);
    return (int)(1 + bytes);
}

static int
do_read(struct call *c, enum memory_table table)
{
    unsigned n = get16(c->in + 3);
    int at = locate(c, table, get16(c->in + 1), n, is_bits(table) ? READ_BITS_MAX : READ_MAX);

    if (c->len != 5)
        return -(int)EX_VALUE;
    return at < 0 ? at : put_cells(c, table, (unsigned)at, n);
}

static int
do_write_one(struct call *c, enum memory_table table)
{
    unsigned v = get16(c->in + 3);
    uint8_t bit = v != 0;
    int at = locate(c, table, get16(c->in + 1), 1, 1);

    if (c->len != 5 || (is_bits(table) && v != 0 && v != 0xFF00))
        return -(int)EX_VALUE;
    if (at < 0)
        return at;
    take_cells(c, table, (unsigned)at, 1, is_bits(table) ? &bit : c->in + 3);
    return echo(c, 4);
}

static int
do_write_many(struct call *c, enum memory_table table)
{
    unsigned n = get16(c->in + 3), bytes = is_bits(table) ? (n + 7) / 8 : 2 * n;
    int at = locate(c, table, get16(c->in + 1), n, is_bits(table) ? WRITE_BITS_MAX : WRITE_MAX);

    if (c->len < 6 || c->in[5] != bytes || c->len != 6 + bytes)
        return -(int)EX_VALUE;
    if (at < 0)
        return at;
    take_cells(c, table, (unsigned)at, n, c->in + 6);
    return echo(c, 4);
}

static int
do_mask(struct call *c)
{
    int at = locate(c, MEMORY_HOLDING, get16(c->in + 1), 1, 1);
    unsigned and_mask = get16(c->in + 3);
    uint8_t data[2];

    if (c->len != 7)
        return -(int)EX_VALUE;
    if (at < 0)
        return at;
    put16(data, (c->m->cells[MEMORY_HOLDING][at] & and_mask) | (get16(c->in + 5) & ~and_mask));
    take_cells(c, MEMORY_HOLDING, (unsigned)at, 1, data);
    return echo(c, 6);
}

/* Function 23: writes, then reads. */
static int
do_exchange(struct call *c)
{
    unsigned read_n = get16(c->in + 3), n;
    int from, to;

    if (c->len < 10)
        return -(int)EX_VALUE;
    n = get16(c->in + 7);
    if (c->in[9] != 2 * n || c->len != 10 + 2 * n)
        return -(int)EX_VALUE;
    from = locate(c, MEMORY_HOLDING, get16(c->in + 1), read_n, READ_MAX);
    to = locate(c, MEMORY_HOLDING, get16(c->in + 5), n, EXCHANGE_MAX);
    if (from < 0 || to < 0)
        return from < 0 ? from : to;
    take_cells(c, MEMORY_HOLDING, (unsigned)to, n, c->in + 10);
    return put_cells(c, MEMORY_HOLDING, (unsigned)from, read_n);
}

static int
dispatch(struct call *c)
{
    if (c->len < 5)
        return -(int)EX_VALUE;
    switch (c->in[0]) {
    case 1:
        return do_read(c, MEMORY_COIL);
    case 2:
        return do_read(c, MEMORY_DISCRETE);
    case 3:
        return do_read(c, MEMORY_HOLDING);
    case 4:
        return do_read(c, MEMORY_INPUT);
    case 5:
        return do_write_one(c, MEMORY_COIL);
    case 6:
        return do_write_one(c, MEMORY_HOLDING);
    case 15:
        return do_write_many(c, MEMORY_COIL);
    case 16:
        return do_write_many(c, MEMORY_HOLDING);
    case 22:
        return do_mask(c);
    case 23:
        return do_exchange(c);
    default:
        return -(int)EX_FUNCTION;
    }
}

size_t
pdu_refuse(uint8_t function, unsigned exception, uint8_t out[PDU_MAX])
{
    out[0] = function | 0x80;
    out[1] = (uint8_t)exception;
    return 2;
}

size_t
pdu_answer(const struct faults *f, struct memory *m, const uint8_t *in, size_t len, uint8_t out[PDU_MAX])
{
    struct call c = {f, m, in, len, out};
    int n = dispatch(&c);

    if (n < 0)
        return pdu_refuse(in[0], (unsigned)-n, out);
    out[0] = in[0];
    return (size_t)n;
}
