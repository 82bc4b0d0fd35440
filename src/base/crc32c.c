#include "base/crc32c.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82F63B78u /* reflected */

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t
crc_hardware(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t c = ~crc;

    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, p, sizeof word);
        c = _mm_crc32_u64(c, word);
    }
    for (; len; p++, len--)
        c = _mm_crc32_u8((uint32_t)c, *p);
    return ~(uint32_t)c;
}

static bool
has_hardware(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t
crc_hardware(uint32_t crc, const uint8_t *p, size_t len)
{
    (void)p;
    (void)len;
    return crc;
}

static bool
has_hardware(void)
{
    return false;
}
#endif

static uint32_t
crc_table_entry(uint32_t i)
{
    for (unsigned bit = 0; bit < 8; bit++)
        i = i & 1 ? i >> 1 ^ POLYNOMIAL : i >> 1;
    return i;
}

static uint32_t
crc_software(uint32_t crc, const uint8_t *p, size_t len)
{
    static uint32_t table[256];
    static atomic_bool is_ready;

    if (!atomic_load_explicit(&is_ready, memory_order_acquire)) {
        for (uint32_t i = 0; i < 256; i++) /* two threads at once write the same numbers */
            table[i] = crc_table_entry(i);
        atomic_store_explicit(&is_ready, true, memory_order_release);
    }
    crc = ~crc;
    for (; len; p++, len--)
        crc = crc >> 8 ^ table[(crc ^ *p) & 0xFFu];
    return ~crc;
}

uint32_t
crc32c(uint32_t crc, const void *p, size_t len)
{
    return has_hardware() ? crc_hardware(crc, p, len) : crc_software(crc, p, len);
}
