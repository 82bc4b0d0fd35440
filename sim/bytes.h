/* bytes.h -- big-endian words of the simulated protocols. */
#ifndef SIM_BYTES_H
#define SIM_BYTES_H

#include <stdint.h>

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

#endif
