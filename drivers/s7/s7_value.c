#include "s7_value.h"

#include "base/timefmt.h"
#include "s7_text.h"
#include "s7_time.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The first doubles that do not fit: -2^63 still does, 2^63 and 2^64 do not. */
#define INT64_LOW  (-9223372036854775808.0)
#define INT64_END  9223372036854775808.0
#define UINT64_END 18446744073709551616.0

#define DAY_MS INT64_C(86400000)

static uint64_t
load(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++)
        v = v << 8 | p[i];
    return v;
}

static void
store(uint64_t v, uint8_t *p, unsigned size)
{
    for (unsigned i = size; i-- > 0; v >>= 8)
        p[i] = (uint8_t)v;
}

static int64_t
sign_extend(uint64_t raw, unsigned size)
{
    unsigned shift = 64 - 8 * size;

    assert(size >= 1 && size <= 8);
    return (int64_t)(raw << shift) >> shift;
}

/* Largest value of so many bytes. */
static uint64_t
max_of(unsigned size, bool is_signed)
{
    return (UINT64_MAX >> (64 - 8 * size)) >> (is_signed ? 1 : 0);
}

/* --- out of the CPU ----------------------------------------------------------------------------------------- */

static unsigned
data_type_bytes(unsigned data_type)
{
    return 1u << (data_type - NX_DT_INT8) / 2;
}

static bool
is_float(unsigned data_type)
{
    return data_type == NX_DT_FLOAT32 || data_type == NX_DT_FLOAT64;
}

static enum nx_err
from_uint(unsigned data_type, uint64_t v, struct nx_value *out)
{
    switch (data_type) {
    case NX_DT_BOOL:
        *out = nx_value_bool(v != 0);
        return NX_OK;
    case NX_DT_INT8:
    case NX_DT_INT16:
    case NX_DT_INT32:
    case NX_DT_INT64:
        *out = nx_value_int((int64_t)v);
        return v <= max_of(data_type_bytes(data_type), true) ? NX_OK : NX_E_RANGE;
    case NX_DT_FLOAT32:
    case NX_DT_FLOAT64:
        *out = nx_value_double((double)v);
        return NX_OK;
    default:
        *out = nx_value_uint(v);
        return v <= max_of(data_type_bytes(data_type), false) ? NX_OK : NX_E_RANGE;
    }
}

static enum nx_err
from_int(unsigned data_type, int64_t v, struct nx_value *out)
{
    if (v >= 0)
        return from_uint(data_type, (uint64_t)v, out);
    switch (data_type) {
    case NX_DT_BOOL:
        *out = nx_value_bool(true);
        return NX_OK;
    case NX_DT_INT8:
    case NX_DT_INT16:
    case NX_DT_INT32:
    case NX_DT_INT64:
        *out = nx_value_int(v);
        return v >= -(int64_t)max_of(data_type_bytes(data_type), true) - 1 ? NX_OK : NX_E_RANGE;
    case NX_DT_FLOAT32:
    case NX_DT_FLOAT64:
        *out = nx_value_double((double)v);
        return NX_OK;
    default:
        return NX_E_RANGE;
    }
}

static enum nx_err
decode_real(const struct s7_addr *addr, const uint8_t *p, struct nx_value *out)
{
    uint64_t raw = load(p, s7_types[addr->type].bytes);
    uint32_t raw32 = (uint32_t)raw;
    float f;
    double d;

    if (addr->type == S7_REAL) {
        memcpy(&f, &raw32, sizeof f);
        d = (double)f;
    } else {
        memcpy(&d, &raw, sizeof d);
    }
    *out = nx_value_double(d);
    return isfinite(d) ? NX_OK : NX_E_VALUE;
}

/* Milliseconds; LTIME and LTOD as a whole number are nanoseconds. */
static enum nx_err
decode_duration(const struct s7_addr *addr, const uint8_t *p, struct nx_value *out)
{
    uint64_t raw = load(p, s7_types[addr->type].bytes);
    int64_t ms;

    switch (addr->type) {
    case S7_TIME:
        return from_int(addr->data_type, sign_extend(raw, 4), out);
    case S7_TOD:
        return from_uint(addr->data_type, raw, out);
    case S7_LTIME:
    case S7_LTOD:
        if (!is_float(addr->data_type))
            return from_int(addr->data_type, (int64_t)raw, out);
        *out = nx_value_double((double)(int64_t)raw / (double)S7_NS_PER_MS);
        return NX_OK;
    default:
        if (!s7_s5time_decode((unsigned)raw, &ms))
            return NX_E_VALUE;
        return from_int(addr->data_type, ms, out);
    }
}

static bool
moment_ns(const struct s7_addr *addr, const uint8_t *p, int64_t *ns)
{
    switch (addr->type) {
    case S7_DATE:
        *ns = s7_date_decode((unsigned)load(p, 2));
        return true;
    case S7_DT:
        return s7_dt_decode(p, ns);
    case S7_DTL:
        return s7_dtl_decode(p, ns);
    default:
        *ns = (int64_t)load(p, 8);
        return true;
    }
}

static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static enum nx_err
decode_moment(const struct s7_addr *addr, const uint8_t *p, char *text, struct nx_value *out)
{
    char buf[TIMEFMT_CAP];
    size_t len;
    int64_t ns;

    if (!moment_ns(addr, p, &ns))
        return NX_E_VALUE;
    if (is_float(addr->data_type)) {
        *out = nx_value_double((double)ns / (double)S7_NS_PER_MS);
        return NX_OK;
    }
    if (addr->data_type != NX_DT_STRING)
        return from_int(addr->data_type, floor_div(ns, S7_NS_PER_MS), out);
    timefmt_rfc3339(floor_div(ns, 1000), buf);
    len = addr->type == S7_DATE ? 10 : strlen(buf); /* a date has no time of day */
    memcpy(text, buf, len);
    *out = nx_value_string(text, len);
    return NX_OK;
}

static enum nx_err
decode_counter(const struct s7_addr *addr, const uint8_t *p, struct nx_value *out)
{
    int64_t n;

    if (!s7_counter_decode((unsigned)load(p, 2), &n))
        return NX_E_VALUE;
    return from_int(addr->data_type, n, out);
}

enum nx_err
s7_value_decode(const struct s7_addr *addr, const uint8_t *p, char text[S7_TEXT_MAX], struct nx_value *out)
{
    const struct s7_type_info *type = &s7_types[addr->type];

    switch (type->kind) {
    case S7_KIND_BOOL:
        *out = nx_value_bool((p[0] >> addr->bit & 1) != 0);
        return NX_OK;
    case S7_KIND_UINT:
        return from_uint(addr->data_type, load(p, type->bytes), out);
    case S7_KIND_INT:
        return from_int(addr->data_type, sign_extend(load(p, type->bytes), type->bytes), out);
    case S7_KIND_REAL:
        return decode_real(addr, p, out);
    case S7_KIND_DURATION:
        return decode_duration(addr, p, out);
    case S7_KIND_MOMENT:
        return decode_moment(addr, p, text, out);
    case S7_KIND_COUNTER:
        return decode_counter(addr, p, out);
    default:
        if (addr->data_type != NX_DT_STRING)
            return from_uint(addr->data_type, load(p, addr->bytes), out);
        *out = nx_value_string(text, s7_text_decode(addr, p, text));
        return NX_OK;
    }
}

/* --- into the CPU ------------------------------------------------------------------------------------------- */

static enum nx_err
to_double(const struct nx_value *v, double *d, struct nx_note *why)
{
    *d = 0;
    switch (v->type) {
    case NX_TYPE_BOOL:
        *d = v->b;
        break;
    case NX_TYPE_INT:
        *d = (double)v->i;
        break;
    case NX_TYPE_UINT:
        *d = (double)v->u;
        break;
    case NX_TYPE_DOUBLE:
        *d = v->d;
        break;
    default:
        return nx_fail(why, NX_E_VALUE, "a number is needed");
    }
    return isfinite(*d) ? NX_OK : nx_fail(why, NX_E_VALUE, "NaN and infinity cannot be written");
}

/* A double that is a whole number becomes an int or a uint value. */
static enum nx_err
to_whole(const struct nx_value *in, struct nx_value *out, struct nx_note *why)
{
    double d;
    enum nx_err err = to_double(in, &d, why);

    *out = in->type == NX_TYPE_BOOL ? nx_value_uint(in->b) : *in;
    if (err != NX_OK || in->type != NX_TYPE_DOUBLE)
        return err;
    if (d != floor(d))
        return nx_fail(why, NX_E_VALUE, "a whole number is needed: the type holds no fractions");
    if (d < INT64_LOW || d >= UINT64_END)
        return nx_fail(why, NX_E_RANGE, "the number is too large for any type");
    *out = d < 0 ? nx_value_int((int64_t)d) : nx_value_uint((uint64_t)d);
    return NX_OK;
}

static enum nx_err
check_range(const struct nx_value *v, int64_t min, uint64_t max, struct nx_note *why)
{
    bool is_negative = v->type == NX_TYPE_INT && v->i < 0;

    if (is_negative ? v->i < min : v->u > max) /* i and u share their bits when i >= 0 */
        return nx_fail(why, NX_E_RANGE, "the value does not fit: allowed are %" PRId64 " to %" PRIu64, min, max);
    return NX_OK;
}

static enum nx_err
encode_whole(const struct nx_value *value, uint8_t *out, unsigned size, int64_t min, uint64_t max, struct nx_note *why)
{
    struct nx_value v = nx_value_none();
    enum nx_err err = to_whole(value, &v, why);

    if (err == NX_OK)
        err = check_range(&v, min, max, why);
    if (err == NX_OK)
        store(v.u, out, size);
    return err;
}

static enum nx_err
encode_int(const struct s7_addr *addr, const struct nx_value *value, uint8_t *out, struct nx_note *why)
{
    bool is_signed = s7_types[addr->type].kind == S7_KIND_INT;
    uint64_t max = max_of(addr->bytes, is_signed);

    return encode_whole(value, out, addr->bytes, is_signed ? -(int64_t)max - 1 : 0, max, why);
}

static enum nx_err
encode_real(const struct s7_addr *addr, const struct nx_value *value, uint8_t *out, struct nx_note *why)
{
    uint64_t raw;
    uint32_t raw32;
    double d;
    float f;
    enum nx_err err = to_double(value, &d, why);

    if (err != NX_OK)
        return err;
    memcpy(&raw, &d, sizeof raw);
    if (addr->type == S7_REAL) {
        f = (float)d;
        if (!isfinite(f))
            return nx_fail(why, NX_E_RANGE, "%g does not fit a REAL", d);
        memcpy(&raw32, &f, sizeof raw32);
        raw = raw32;
    }
    store(raw, out, addr->bytes);
    return NX_OK;
}

/* A number of milliseconds, rounded, or of nanoseconds. */
static enum nx_err
to_ticks(const struct nx_value *value, double factor, int64_t *ticks, struct nx_note *why)
{
    double d;
    enum nx_err err = to_double(value, &d, why);

    *ticks = 0;
    if (err != NX_OK)
        return err;
    if (value->type == NX_TYPE_INT || value->type == NX_TYPE_UINT) { /* exact, where a double is not */
        if (value->type == NX_TYPE_UINT && value->u > INT64_MAX)
            return nx_fail(why, NX_E_RANGE, "the time is too long");
        if (__builtin_mul_overflow(value->i, (int64_t)factor, ticks))
            return nx_fail(why, NX_E_RANGE, "the time is too long");
        return NX_OK;
    }
    d = round(d * factor);
    if (d < INT64_LOW || d >= INT64_END)
        return nx_fail(why, NX_E_RANGE, "the time is too long");
    *ticks = (int64_t)d;
    return NX_OK;
}

static enum nx_err
encode_duration(const struct s7_addr *addr, const struct nx_value *value, uint8_t *out, struct nx_note *why)
{
    bool is_long = addr->type == S7_LTIME || addr->type == S7_LTOD;
    int64_t ticks, min = 0, max = S7_S5TIME_MAX_MS;
    enum nx_err err = to_ticks(value, is_long && is_float(addr->data_type) ? (double)S7_NS_PER_MS : 1, &ticks, why);

    if (err != NX_OK)
        return err;
    if (addr->type == S7_TIME || addr->type == S7_LTIME) {
        min = is_long ? INT64_MIN : INT32_MIN;
        max = is_long ? INT64_MAX : INT32_MAX;
    } else if (addr->type == S7_TOD || addr->type == S7_LTOD) {
        max = (is_long ? S7_NS_PER_DAY : DAY_MS) - 1;
    }
    if (ticks < min || ticks > max)
        return nx_fail(why, NX_E_RANGE, "the time does not fit a %s: allowed are %" PRId64 " to %" PRId64 " %s",
                       s7_types[addr->type].name, min, max, is_long ? "ns" : "ms");
    if (addr->type == S7_S5TIME || addr->type == S7_TIMER)
        ticks = s7_s5time_encode(ticks);
    store((uint64_t)ticks, out, addr->bytes);
    return NX_OK;
}

static enum nx_err
text_to_ns(const struct nx_value *value, int64_t *ns, struct nx_note *why)
{
    char text[40];
    int64_t us;
    struct slice s = slice(value->s, value->len);

    *ns = 0;
    if (s.len == 10) { /* a date alone is its midnight */
        memcpy(text, s.p, s.len);
        memcpy(text + s.len, "T00:00:00Z", sizeof "T00:00:00Z");
        s = slice_str(text);
    }
    if (!timefmt_parse(s, &us) || __builtin_mul_overflow(us, INT64_C(1000), ns))
        return nx_fail(why, NX_E_VALUE, "a time like 2026-11-25T08:30:00Z is needed");
    return NX_OK;
}

static enum nx_err
encode_moment(const struct s7_addr *addr, const struct nx_value *value, uint8_t *out, struct nx_note *why)
{
    bool is_good = true;
    unsigned days;
    int64_t ns;
    enum nx_err err =
        value->type == NX_TYPE_STRING ? text_to_ns(value, &ns, why) : to_ticks(value, (double)S7_NS_PER_MS, &ns, why);

    if (err != NX_OK)
        return err;
    if (addr->type == S7_DATE) {
        is_good = s7_date_encode(ns, &days);
        store(days, out, 2);
    } else if (addr->type == S7_DT) {
        is_good = s7_dt_encode(ns, out);
    } else if (addr->type == S7_DTL) {
        is_good = s7_dtl_encode(ns, out);
    } else {
        store((uint64_t)ns, out, 8);
    }
    return is_good ? NX_OK : nx_fail(why, NX_E_RANGE, "a %s cannot hold this year", s7_types[addr->type].name);
}

enum nx_err
s7_value_encode(const struct s7_addr *addr, const struct nx_value *value, uint8_t *out, unsigned *skip, unsigned *len,
                struct nx_note *why)
{
    *skip = 0;
    *len = addr->bytes;
    if (addr->data_type == NX_DT_BOOL)
        return encode_whole(value, out, addr->bytes, 0, 1, why);
    switch (s7_types[addr->type].kind) {
    case S7_KIND_UINT:
    case S7_KIND_INT:
        return encode_int(addr, value, out, why);
    case S7_KIND_REAL:
        return encode_real(addr, value, out, why);
    case S7_KIND_DURATION:
        return encode_duration(addr, value, out, why);
    case S7_KIND_MOMENT:
        return encode_moment(addr, value, out, why);
    case S7_KIND_COUNTER: {
        enum nx_err err = encode_whole(value, out, 2, 0, 999, why);
        if (err == NX_OK)
            store(s7_counter_encode((unsigned)load(out, 2)), out, 2);
        return err;
    }
    default:
        if (addr->data_type != NX_DT_STRING)
            return encode_int(addr, value, out, why);
        if (value->type != NX_TYPE_STRING)
            return nx_fail(why, NX_E_VALUE, "a text is needed");
        return s7_text_encode(addr, slice(value->s, value->len), out, skip, len, why);
    }
}
