/* value.h -- one value, its type, its quality. Shared by drivers, the engine and the message formats. */
#ifndef NEXUS_VALUE_H
#define NEXUS_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The type of a value in memory and in every record format. The numbers are stored on disk: never renumber. */
enum nx_type {
    NX_TYPE_NONE = 0, /* no value: the quality says why */
    NX_TYPE_BOOL = 1,
    NX_TYPE_INT = 2,    /* int64_t */
    NX_TYPE_UINT = 3,   /* uint64_t */
    NX_TYPE_DOUBLE = 4, /* finite; NaN and infinities are a quality, not a value */
    NX_TYPE_STRING = 5, /* UTF-8, borrowed, at most NX_STRING_MAX bytes */
};

#define NX_STRING_MAX 4096

struct nx_value {
    enum nx_type type;
    uint32_t len; /* bytes of a string, else 0 */
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double d;
        const char *s; /* not terminated; owner is whoever made the value */
    };
};

/* Quality as the OPC quality number (OPC DA 3.0, 6.8): the upper two bits are good/uncertain/bad, the rest says why. */
enum nx_quality {
    NX_Q_BAD = 0,
    NX_Q_CONFIG_ERROR = 4,
    NX_Q_NOT_CONNECTED = 8,
    NX_Q_DEVICE_FAILURE = 12,
    NX_Q_SENSOR_FAILURE = 16,
    NX_Q_LAST_KNOWN = 20,
    NX_Q_TIMEOUT = 24, /* communication failure */
    NX_Q_OUT_OF_SERVICE = 28,
    NX_Q_UNCERTAIN = 64,
    NX_Q_UNCERTAIN_RANGE = 84, /* engineering units exceeded: the value was clamped */
    NX_Q_GOOD = 192,
};

static inline bool
nx_quality_is_good(uint16_t q)
{
    return (q & 0xC0u) == 0xC0u;
}

static inline bool
nx_quality_is_bad(uint16_t q)
{
    return (q & 0xC0u) == 0;
}

static inline struct nx_value
nx_value_none(void)
{
    return (struct nx_value){.type = NX_TYPE_NONE};
}

static inline struct nx_value
nx_value_bool(bool b)
{
    return (struct nx_value){.type = NX_TYPE_BOOL, .b = b};
}

static inline struct nx_value
nx_value_int(int64_t i)
{
    return (struct nx_value){.type = NX_TYPE_INT, .i = i};
}

static inline struct nx_value
nx_value_uint(uint64_t u)
{
    return (struct nx_value){.type = NX_TYPE_UINT, .u = u};
}

static inline struct nx_value
nx_value_double(double d)
{
    return (struct nx_value){.type = NX_TYPE_DOUBLE, .d = d};
}

static inline struct nx_value
nx_value_string(const char *s, size_t len)
{
    return (struct nx_value){.type = NX_TYPE_STRING, .len = (uint32_t)len, .s = s};
}

#endif
