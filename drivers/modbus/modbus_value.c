#include "modbus_value.h"

#include "base/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The first doubles that do not fit: -2^63 still does, 2^64 does not. */
#define INT64_LOW  (-9223372036854775808.0)
#define UINT64_END 18446744073709551616.0

struct int_limits {
    int64_t min;
    uint64_t max;
};

static const struct int_limits int_limits[NX_DT_COUNT] = {
    [NX_DT_INT8] = {INT8_MIN, INT8_MAX},    [NX_DT_UINT8] = {0, UINT8_MAX},
    [NX_DT_INT16] = {INT16_MIN, INT16_MAX}, [NX_DT_UINT16] = {0, UINT16_MAX},
    [NX_DT_INT32] = {INT32_MIN, INT32_MAX}, [NX_DT_UINT32] = {0, UINT32_MAX},
    [NX_DT_INT64] = {INT64_MIN, INT64_MAX}, [NX_DT_UINT64] = {0, UINT64_MAX},
};

static const struct int_limits bcd_limits[NX_DT_COUNT] = {
    [NX_DT_INT16] = {0, 9999},
    [NX_DT_UINT16] = {0, 9999},
    [NX_DT_INT32] = {0, 99999999},
    [NX_DT_UINT32] = {0, 99999999},
    [NX_DT_INT64] = {0, 9999999999999999},
    [NX_DT_UINT64] = {0, 9999999999999999},
};

/* Puts a value of 2, 4 or 8 bytes, loaded as big-endian, into the order of its registers, or back: swapping twice
 * changes nothing. */
static inline uint64_t
reorder(uint64_t v, unsigned size, unsigned order)
{
    if (order & MODBUS_SWAP_BYTES)
        v = (v & 0x00FF00FF00FF00FF) << 8 | (v >> 8 & 0x00FF00FF00FF00FF);
    if (order & MODBUS_SWAP_WORDS && size > 2)
        v = (v & 0x0000FFFF0000FFFF) << 16 | (v >> 16 & 0x0000FFFF0000FFFF);
    if (order & MODBUS_SWAP_DWORDS && size > 4)
        v = v << 32 | v >> 32;
    return v;
}

static inline uint64_t
load(const uint8_t *p, unsigned size, unsigned order)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i += 2)
        v = v << 16 | (uint64_t)p[i] << 8 | p[i + 1];
    return order ? reorder(v, size, order) : v;
}

static void
store(uint64_t v, uint8_t *p, unsigned size, unsigned order)
{
    v = reorder(v, size, order);
    for (unsigned i = size; i-- > 0; v >>= 8)
        p[i] = (uint8_t)v;
}

static enum nx_err
from_double(double d, struct nx_value *out, struct nx_note *why)
{
    *out = nx_value_double(d);
    return isfinite(d) ? NX_OK : nx_fail(why, NX_E_VALUE, "the registers hold %s", isnan(d) ? "NaN" : "infinity");
}

/* Four decimal digits a register, the first in the highest bits. */
static enum nx_err
decode_bcd(uint64_t raw, unsigned type, struct nx_value *out, struct nx_note *why)
{
    uint64_t v = 0;
    bool is_signed = type == NX_DT_INT16 || type == NX_DT_INT32 || type == NX_DT_INT64;

    for (int shift = 60; shift >= 0; shift -= 4) {
        unsigned digit = raw >> shift & 0xF;
        if (digit > 9)
            return nx_fail(why, NX_E_VALUE, "the registers hold %04" PRIX64 ": %X is no decimal digit (encoding bcd)",
                           raw, digit);
        v = v * 10 + digit;
    }
    *out = is_signed ? nx_value_int((int64_t)v) : nx_value_uint(v);
    return NX_OK;
}

static uint64_t
to_bcd(uint64_t v)
{
    uint64_t raw = 0;

    for (unsigned shift = 0; shift < 64 && v > 0; shift += 4, v /= 10)
        raw |= (v % 10) << shift;
    return raw;
}

static size_t
latin1_to_utf8(const uint8_t *in, size_t len, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (in[i] < 0x80) {
            out[n++] = (char)in[i];
        } else {
            out[n++] = (char)(0xC0 | in[i] >> 6);
            out[n++] = (char)(0x80 | (in[i] & 0x3F));
        }
    }
    return n;
}

static void
decode_string(const struct modbus_addr *addr, const uint8_t *p, char *text, struct nx_value *out)
{
    uint8_t raw[MODBUS_TEXT_MAX / 2];
    size_t len = 0, size = addr->count * 2u;

    assert(size <= sizeof raw);
    for (; len < size; len++) {
        raw[len] = p[len ^ (addr->order & MODBUS_SWAP_BYTES)];
        if (raw[len] == 0)
            break;
        if (raw[len] < 0x20 || raw[len] == 0x7F)
            raw[len] = ' ';
    }
    while (len > 0 && raw[len - 1] == ' ')
        len--;
    if (utf8_is_valid(slice(raw, len)))
        memcpy(text, raw, len);
    else
        len = latin1_to_utf8(raw, len, text);
    *out = nx_value_string(text, len);
}

enum nx_err
modbus_value_decode(const struct modbus_addr *addr, const uint8_t *p, char text[MODBUS_TEXT_MAX], struct nx_value *out,
                    struct nx_note *why)
{
    uint64_t raw = addr->type == NX_DT_STRING ? 0 : load(p, addr->count * 2u, addr->order);
    uint32_t raw32 = (uint32_t)raw;
    float f;
    double d;

    if (addr->is_bcd)
        return decode_bcd(raw, addr->type, out, why);
    switch (addr->type) {
    case NX_DT_BOOL:
        *out = nx_value_bool(addr->bit == MODBUS_NO_BIT ? raw != 0 : (raw >> addr->bit & 1) != 0);
        return NX_OK;
    case NX_DT_INT8:
        *out = nx_value_int((int8_t)raw);
        return NX_OK;
    case NX_DT_INT16:
        *out = nx_value_int((int16_t)raw);
        return NX_OK;
    case NX_DT_INT32:
        *out = nx_value_int((int32_t)raw);
        return NX_OK;
    case NX_DT_INT64:
        *out = nx_value_int((int64_t)raw);
        return NX_OK;
    case NX_DT_UINT8:
        *out = nx_value_uint((uint8_t)raw);
        return NX_OK;
    case NX_DT_UINT16:
    case NX_DT_UINT32:
    case NX_DT_UINT64:
        *out = nx_value_uint(raw);
        return NX_OK;
    case NX_DT_FLOAT32:
        memcpy(&f, &raw32, sizeof f);
        return from_double((double)f, out, why);
    case NX_DT_FLOAT64:
        memcpy(&d, &raw, sizeof d);
        return from_double(d, out, why);
    default:
        decode_string(addr, p, text, out);
        return NX_OK;
    }
}

static enum nx_err
fail_range(const struct int_limits *lim, struct nx_note *why)
{
    return nx_fail(why, NX_E_RANGE, "the value does not fit the register: allowed are %" PRId64 " to %" PRIu64,
                   lim->min, lim->max);
}

/* A double that is a whole number becomes an int or a uint value. */
static enum nx_err
to_whole(const struct nx_value *in, struct nx_value *out, struct nx_note *why)
{
    *out = *in;
    if (in->type == NX_TYPE_BOOL)
        *out = nx_value_uint(in->b);
    if (in->type != NX_TYPE_DOUBLE)
        return in->type == NX_TYPE_STRING || in->type == NX_TYPE_NONE ? nx_fail(why, NX_E_VALUE, "a number is needed")
                                                                      : NX_OK;
    if (!isfinite(in->d) || in->d != floor(in->d))
        return nx_fail(why, NX_E_VALUE, "a whole number is needed: the register holds no fractions");
    if (in->d < INT64_LOW || in->d >= UINT64_END)
        return nx_fail(why, NX_E_RANGE, "the number is too large for any register type");
    *out = in->d < 0 ? nx_value_int((int64_t)in->d) : nx_value_uint((uint64_t)in->d);
    return NX_OK;
}

static enum nx_err
encode_int(const struct modbus_addr *addr, const struct nx_value *value, uint8_t *p, struct nx_note *why)
{
    const struct int_limits *lim = addr->is_bcd ? &bcd_limits[addr->type] : &int_limits[addr->type];
    struct nx_value v;
    enum nx_err err = to_whole(value, &v, why);

    if (err != NX_OK)
        return err;
    if (v.type == NX_TYPE_INT && v.i < 0) {
        if (v.i < lim->min)
            return fail_range(lim, why);
    } else if (v.u > lim->max) { /* i and u share their bits when i >= 0 */
        return fail_range(lim, why);
    }
    store(addr->is_bcd ? to_bcd(v.u) : v.u, p, addr->count * 2u, addr->order);
    return NX_OK;
}

static enum nx_err
encode_float(const struct modbus_addr *addr, const struct nx_value *value, uint8_t *p, struct nx_note *why)
{
    double d;
    float f;
    uint32_t raw32;
    uint64_t raw;

    switch (value->type) {
    case NX_TYPE_BOOL:
        d = value->b;
        break;
    case NX_TYPE_INT:
        d = (double)value->i;
        break;
    case NX_TYPE_UINT:
        d = (double)value->u;
        break;
    case NX_TYPE_DOUBLE:
        d = value->d;
        break;
    default:
        return nx_fail(why, NX_E_VALUE, "a number is needed");
    }
    if (!isfinite(d))
        return nx_fail(why, NX_E_VALUE, "NaN and infinity cannot be written");
    memcpy(&raw, &d, sizeof raw);
    if (addr->type == NX_DT_FLOAT32) {
        f = (float)d;
        if (!isfinite(f))
            return nx_fail(why, NX_E_RANGE, "%g does not fit a float32", d);
        memcpy(&raw32, &f, sizeof raw32);
        raw = raw32;
    }
    store(raw, p, addr->count * 2u, addr->order);
    return NX_OK;
}

static enum nx_err
encode_string(const struct modbus_addr *addr, const struct nx_value *value, uint8_t *p, struct nx_note *why)
{
    size_t size = addr->count * 2u;

    if (value->type != NX_TYPE_STRING)
        return nx_fail(why, NX_E_VALUE, "a text is needed");
    if (value->len > size)
        return nx_fail(why, NX_E_RANGE, "the text has %u bytes, the registers hold %zu", value->len, size);
    for (size_t i = 0; i < size; i++) {
        size_t from = i ^ (addr->order & MODBUS_SWAP_BYTES);
        p[i] = from < value->len ? (uint8_t)value->s[from] : 0;
    }
    return NX_OK;
}

enum nx_err
modbus_value_bool(const struct nx_value *value, bool *out, struct nx_note *why)
{
    struct nx_value v;
    enum nx_err err = to_whole(value, &v, why);

    if (err != NX_OK)
        return err;
    if (v.u > 1)
        return nx_fail(why, NX_E_RANGE, "only false and true (0 and 1) can be written here");
    *out = v.u == 1;
    return NX_OK;
}

enum nx_err
modbus_value_encode(const struct modbus_addr *addr, const struct nx_value *value, uint8_t *p, struct nx_note *why)
{
    bool on = false;
    enum nx_err err;

    switch (addr->type) {
    case NX_DT_BOOL:
        err = modbus_value_bool(value, &on, why);
        store(on, p, 2, addr->order);
        return err;
    case NX_DT_FLOAT32:
    case NX_DT_FLOAT64:
        return encode_float(addr, value, p, why);
    case NX_DT_STRING:
        return encode_string(addr, value, p, why);
    default:
        return encode_int(addr, value, p, why);
    }
}
