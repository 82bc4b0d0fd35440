/* crc32c.h -- CRC-32C (Castagnoli, RFC 3720 B.4), with the SSE4.2 instruction where the processor has it. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC of len bytes continued from crc (0 at the start). Any thread. */
uint32_t crc32c(uint32_t crc, const void *p, size_t len);

#endif
