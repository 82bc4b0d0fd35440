#include "parquet/encode.h"

#include <assert.h>

#define BLOCK 128u /* values of a block of deltas */
#define PARTS 4u   /* of a block, each with a width of its own */
#define PART  (BLOCK / PARTS)

unsigned
encode_width(uint64_t v)
{
    return v ? 64u - (unsigned)__builtin_clzll(v) : 0;
}

/* --- bits, the lowest first --- */

struct packer {
    uint8_t *at;
    uint64_t bits;
    unsigned count; /* of bits; below 8 between calls */
};

static void
drain_bits(struct packer *p)
{
    for (; p->count >= 8; p->count -= 8, p->bits >>= 8)
        *p->at++ = (uint8_t)p->bits;
}

static void
pack(struct packer *p, uint64_t v, unsigned width)
{
    if (width > 56) { /* would not fit beside 7 bits that wait */
        pack(p, v & 0xFFFFFFFFu, 32);
        pack(p, v >> 32, width - 32);
        return;
    }
    p->bits |= v << p->count;
    p->count += width;
    drain_bits(p);
}

/* --- runs and packed groups --- */

static size_t
run_length(const uint16_t *values, size_t n, size_t max)
{
    size_t run = 1;

    while (run < n && run < max && values[run] == values[0])
        run++;
    return run;
}

static size_t
put_run(const uint16_t *values, size_t n, unsigned width, struct wbuf *out)
{
    size_t run = run_length(values, n, n);

    wbuf_varint(out, (uint64_t)run << 1);
    wbuf_u8(out, values[0] & 0xFFu);
    if (width > 8)
        wbuf_u8(out, values[0] >> 8);
    return run;
}

/* Whole groups of eight up to the next long run; what is missing in the last one is 0. */
static size_t
put_groups(const uint16_t *values, size_t n, unsigned width, struct wbuf *out)
{
    size_t len = 8;
    struct packer p = {0};

    while (len < n && run_length(values + len, n - len, 8) < 8)
        len += 8;
    wbuf_varint(out, (uint64_t)(len / 8) << 1 | 1);
    p.at = wbuf_reserve(out, len / 8 * width);
    if (!p.at)
        return len;
    for (size_t i = 0; i < len; i++)
        pack(&p, i < n ? values[i] : 0, width);
    wbuf_advance(out, len / 8 * width);
    return len;
}

void
encode_hybrid(const uint16_t *values, size_t n, unsigned width, struct wbuf *out)
{
    assert(width >= 1 && width <= 16);
    for (size_t i = 0; i < n;)
        i += run_length(values + i, n - i, 8) == 8 ? put_run(values + i, n - i, width, out)
                                                   : put_groups(values + i, n - i, width, out);
}

/* --- deltas --- */

struct block {
    uint64_t deltas[BLOCK]; /* less the smallest */
    unsigned count;
    int64_t min;
    uint8_t widths[PARTS];
};

static void
fill_block(struct block *b, const uint64_t *values, size_t n)
{
    *b = (struct block){.count = n < BLOCK ? (unsigned)n : BLOCK, .min = INT64_MAX};
    for (unsigned i = 0; i < b->count; i++) {
        b->deltas[i] = values[i] - values[(long)i - 1]; /* wraps, and wraps back when it is read */
        if ((int64_t)b->deltas[i] < b->min)
            b->min = (int64_t)b->deltas[i];
    }
    for (unsigned i = 0; i < b->count; i++) {
        unsigned width;

        b->deltas[i] -= (uint64_t)b->min;
        width = encode_width(b->deltas[i]);
        if (width > b->widths[i / PART])
            b->widths[i / PART] = (uint8_t)width;
    }
}

static void
put_part(const struct block *b, unsigned part, struct wbuf *out)
{
    size_t bytes = b->widths[part] * PART / 8;
    struct packer p = {.at = wbuf_reserve(out, bytes)};

    if (!p.at)
        return;
    for (unsigned i = 0; i < PART; i++)
        pack(&p, b->deltas[part * PART + i], b->widths[part]);
    wbuf_advance(out, bytes);
}

void
encode_delta(const uint64_t *values, size_t n, struct wbuf *out)
{
    struct block b;

    wbuf_varint(out, BLOCK);
    wbuf_varint(out, PARTS);
    wbuf_varint(out, n);
    wbuf_svarint(out, n > 0 ? (int64_t)values[0] : 0);
    for (size_t i = 1; i < n; i += b.count) {
        fill_block(&b, values + i, n - i);
        wbuf_svarint(out, b.min);
        wbuf_bytes(out, b.widths, PARTS);
        for (unsigned part = 0; part < PARTS; part++)
            if (b.widths[part] > 0)
                put_part(&b, part, out);
    }
}

/* --- plain --- */

void
encode_plain(const uint64_t *values, size_t n, unsigned bytes, struct wbuf *out)
{
    uint8_t *at = wbuf_reserve(out, n * bytes);

    assert(bytes == 4 || bytes == 8);
    if (!at)
        return;
    for (size_t i = 0; i < n; i++, at += bytes)
        for (unsigned k = 0; k < bytes; k++)
            at[k] = (uint8_t)(values[i] >> (8 * k));
    wbuf_advance(out, n * bytes);
}
