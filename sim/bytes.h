/* bytes.h -- big-endian numbers of the simulated protocols. */
#ifndef SIM_BYTES_H
#define SIM_BYTES_H

#include <stdint.h>
#include <string.h>

static inline unsigned
get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static inline void
put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline uint32_t
get32(const uint8_t *p)
{
    return get16(p) << 16 | get16(p + 2);
}

static inline void
put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xFFFF);
}

/* The bits of a float as IEEE 754 has them, and back. */
static inline uint32_t
float_bits(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline float
bits_float(uint32_t bits)
{
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline float
get_real(const uint8_t *p)
{
    return bits_float(get32(p));
}

static inline void
put_real(uint8_t *p, float v)
{
    put32(p, float_bits(v));
}

#endif
