#include "gateway/normalize.h"

#include "model/point.h"

#include <math.h>
#include <string.h>
#include <strings.h>

/* Every int64 from 2^53 on is not exact as a double: integers without scale never pass through one. */
#define INT64_LIMIT  9223372036854775808.0
#define UINT64_LIMIT 18446744073709551616.0

/* What the declared integer types hold. */
struct int_range {
    int64_t min;
    uint64_t max;
};

static const struct int_range int_ranges[NX_DT_COUNT] = {
    [NX_DT_INT8] = {INT8_MIN, INT8_MAX},    [NX_DT_UINT8] = {0, UINT8_MAX},
    [NX_DT_INT16] = {INT16_MIN, INT16_MAX}, [NX_DT_UINT16] = {0, UINT16_MAX},
    [NX_DT_INT32] = {INT32_MIN, INT32_MAX}, [NX_DT_UINT32] = {0, UINT32_MAX},
    [NX_DT_INT64] = {INT64_MIN, INT64_MAX}, [NX_DT_UINT64] = {0, UINT64_MAX},
};

static bool
is_signed_int(enum nx_data_type t)
{
    return t == NX_DT_INT8 || t == NX_DT_INT16 || t == NX_DT_INT32 || t == NX_DT_INT64;
}

static bool
is_float(enum nx_data_type t)
{
    return t == NX_DT_FLOAT32 || t == NX_DT_FLOAT64;
}

static bool
is_number(enum nx_data_type t)
{
    return t != NX_DT_BOOL && t != NX_DT_STRING;
}

enum nx_type
normalize_type(const struct tag *tag)
{
    if (tag->enum_count > 0 || tag->data_type == NX_DT_STRING)
        return NX_TYPE_STRING;
    if (tag->data_type == NX_DT_BOOL)
        return NX_TYPE_BOOL;
    if (tag->expr && tag->kind == TAG_POLLED) /* data_type is the one on the device */
        return NX_TYPE_DOUBLE;
    if (tag->is_scaled || is_float(tag->data_type))
        return NX_TYPE_DOUBLE;
    return is_signed_int(tag->data_type) ? NX_TYPE_INT : NX_TYPE_UINT;
}

static bool
value_as_int(const struct nx_value *v, int64_t *out)
{
    switch (v->type) {
    case NX_TYPE_BOOL:
        *out = v->b;
        return true;
    case NX_TYPE_INT:
        *out = v->i;
        return true;
    case NX_TYPE_UINT:
        *out = (int64_t)v->u;
        return v->u <= INT64_MAX;
    case NX_TYPE_DOUBLE:
        if (!(fabs(v->d) < INT64_LIMIT) || v->d != rint(v->d))
            return false;
        *out = (int64_t)v->d;
        return true;
    default:
        return false;
    }
}

static const struct tag_enum *
enum_of_number(const struct tag *tag, int64_t n)
{
    for (unsigned i = 0; i < tag->enum_count; i++)
        if (tag->enums[i].value == n)
            return &tag->enums[i];
    return NULL;
}

/* Puts the bound in the type of the value, so that an integer stays one. */
static void
hold_at(struct nx_value *v, double bound, uint16_t *quality)
{
    if (v->type == NX_TYPE_INT && fabs(bound) < INT64_LIMIT)
        v->i = (int64_t)bound;
    else if (v->type == NX_TYPE_UINT && bound >= 0 && bound < UINT64_LIMIT)
        v->u = (uint64_t)bound;
    else
        *v = nx_value_double(bound);
    if (nx_quality_is_good(*quality))
        *quality = NX_Q_UNCERTAIN_RANGE;
}

static const char *
clamp(const struct tag *tag, struct nx_value *v, uint16_t *quality)
{
    double d;

    if ((!tag->has_clamp_min && !tag->has_clamp_max) || !value_as_double(v, &d))
        return NULL;
    if (tag->has_clamp_min && d < tag->clamp_min) {
        hold_at(v, tag->clamp_min, quality);
        return "below clamp_min and held there";
    }
    if (tag->has_clamp_max && d > tag->clamp_max) {
        hold_at(v, tag->clamp_max, quality);
        return "above clamp_max and held there";
    }
    return NULL;
}

static void
name_number(const struct tag *tag, struct nx_value *v)
{
    int64_t n;

    if (tag->enum_count == 0 || !value_as_int(v, &n))
        return;
    const struct tag_enum *e = enum_of_number(tag, n);
    if (e)
        *v = nx_value_string(e->text, strlen(e->text));
}

/* --- tidy decimals --- */

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* floor(log10(size)) for 1e-6 <= size < 1e15; one too low now and then costs one digit and nothing else. */
static int
decimal_exponent(double size)
{
    static const double small[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1};
    uint64_t bits;

    memcpy(&bits, &size, sizeof bits);
    int e = ((int)(bits >> 52) - 1023) * 1233 >> 12; /* log10(2) is 1233 / 4096 */
    double next = e + 1 >= 0 ? powers[e + 1] : small[e + 7];
    return size >= next ? e + 1 : e;
}

static bool
is_tidy_range(double size)
{
    return size >= 1e-6 && size < 1e15;
}

/* The double next to d that has `shift` decimal places. Powers of ten up to 10^22 are exact, so the result is the one
 * that its short decimal text reads back as. */
static double
round_places(double d, int shift)
{
    if (shift > 22 || shift < -22)
        return d;
    return shift >= 0 ? rint(d * powers[shift]) / powers[shift] : rint(d / powers[-shift]) * powers[-shift];
}

static double
round_digits(double d, int digits)
{
    double size = fabs(d);

    return is_tidy_range(size) ? round_places(d, digits - 1 - decimal_exponent(size)) : d;
}

/* 21.3 of a 32-bit float is 21.299999237060547 as a double: people and JSON want the short one of the same float. */
static double
tidy_float(double d)
{
    double size = fabs(d);

    if (!is_tidy_range(size))
        return d;
    int exponent = decimal_exponent(size);
    for (int digits = 6; digits <= 9; digits++) {
        double r = round_places(d, digits - 1 - exponent);
        if ((float)r == (float)d)
            return r;
    }
    return d;
}

static void
scale(const struct tag *tag, struct nx_value *v)
{
    bool is_short = v->type == NX_TYPE_DOUBLE && tag->data_type == NX_DT_FLOAT32;
    double d;

    if (is_short)
        v->d = tidy_float(v->d);
    if (!tag->is_scaled || !is_number(tag->data_type) || !value_as_double(v, &d))
        return;
    double scaled = line_forth(&tag->line, d), neat = is_short ? round_digits(scaled, 15) : scaled;
    if (is_short && (float)line_back(&tag->line, neat) != (float)d) /* a large offset has eaten the digits */
        neat = scaled;
    *v = nx_value_double(neat);
}

const char *
normalize_raw(const struct tag *tag, struct nx_value *v, uint16_t *quality)
{
    if (nx_quality_is_bad(*quality) || v->type == NX_TYPE_NONE) {
        *v = nx_value_none();
        if (nx_quality_is_bad(*quality))
            return NULL;
        *quality = NX_Q_BAD;
        return "there is no value";
    }
    scale(tag, v);
    if (v->type != NX_TYPE_DOUBLE || isfinite(v->d))
        return NULL;
    *v = nx_value_none();
    *quality = NX_Q_SENSOR_FAILURE;
    return "the device sent no finite number";
}

const char *
normalize_finish(const struct tag *tag, struct nx_value *v, uint16_t *quality)
{
    const char *reason = is_number(tag->data_type) ? clamp(tag, v, quality) : NULL;

    name_number(tag, v);
    return reason;
}

const char *
normalize(const struct tag *tag, struct nx_value *v, uint16_t *quality)
{
    const char *reason = normalize_raw(tag, v, quality);

    return reason ? reason : normalize_finish(tag, v, quality);
}

double
normalize_step(const struct tag *tag)
{
    return tag->is_scaled ? fabs(tag->line.p / tag->line.q) : 1;
}

/* --- back, for writes --- */

static enum nx_err
enum_from_text(const struct tag *tag, const struct nx_value *v, struct nx_value *out, struct nx_note *why)
{
    for (unsigned i = 0; i < tag->enum_count; i++) {
        const char *text = tag->enums[i].text;
        if (strlen(text) == v->len && strncasecmp(text, v->s, v->len) == 0) {
            *out = nx_value_int(tag->enums[i].value);
            return NX_OK;
        }
    }
    if (tag->enum_count > 0)
        return nx_fail(why, NX_E_VALUE, "tag %s: '%.*s' is none of its names (the first is '%s')", tag->id,
                       (int)(v->len > 64 ? 64 : v->len), v->s, tag->enums[0].text);
    return nx_fail(why, NX_E_VALUE, "tag %s is a %s: send a number, not a text", tag->id,
                   data_type_name(tag->data_type));
}

static enum nx_err
to_bool(const struct tag *tag, const struct nx_value *v, struct nx_value *raw, struct nx_note *why)
{
    double d;

    if (v->type == NX_TYPE_BOOL || (value_as_double(v, &d) && (d == 0 || d == 1))) {
        *raw = nx_value_bool(v->type == NX_TYPE_BOOL ? v->b : d == 1);
        return NX_OK;
    }
    return nx_fail(why, NX_E_VALUE, "tag %s is a bool: send true, false, 1 or 0", tag->id);
}

static enum nx_err
out_of_type(const struct tag *tag, struct nx_note *why)
{
    const struct int_range *r = &int_ranges[tag->data_type];

    return nx_fail(why, NX_E_RANGE, "tag %s: the value does not fit into %s (raw %lld to %llu after reverse scaling)",
                   tag->id, data_type_name(tag->data_type), (long long)r->min, (unsigned long long)r->max);
}

static enum nx_err
int_from_double(const struct tag *tag, double d, struct nx_value *raw, struct nx_note *why)
{
    const struct int_range *r = &int_ranges[tag->data_type];
    double n = nearbyint(d);

    if (!tag->is_scaled && n != d)
        return nx_fail(why, NX_E_VALUE, "tag %s is a %s: send a whole number", tag->id, data_type_name(tag->data_type));
    if (is_signed_int(tag->data_type)) {
        if (n < (double)r->min || n >= (tag->data_type == NX_DT_INT64 ? INT64_LIMIT : (double)r->max + 1))
            return out_of_type(tag, why);
        *raw = nx_value_int((int64_t)n);
        return NX_OK;
    }
    if (n < 0 || n >= (tag->data_type == NX_DT_UINT64 ? UINT64_LIMIT : (double)r->max + 1))
        return out_of_type(tag, why);
    *raw = nx_value_uint((uint64_t)n);
    return NX_OK;
}

static enum nx_err
to_int(const struct tag *tag, const struct nx_value *v, struct nx_value *raw, struct nx_note *why)
{
    const struct int_range *r = &int_ranges[tag->data_type];
    double d = 0;

    if (tag->is_scaled || v->type == NX_TYPE_DOUBLE || v->type == NX_TYPE_BOOL) {
        (void)value_as_double(v, &d);
        if (v->type == NX_TYPE_BOOL)
            d = v->b;
        return int_from_double(tag, tag->is_scaled ? line_back(&tag->line, d) : d, raw, why);
    }
    if (v->type == NX_TYPE_INT && v->i < 0) {
        if (v->i < r->min)
            return out_of_type(tag, why);
        *raw = nx_value_int(v->i);
        return NX_OK;
    }
    uint64_t u = v->type == NX_TYPE_INT ? (uint64_t)v->i : v->u;
    if (u > r->max)
        return out_of_type(tag, why);
    *raw = is_signed_int(tag->data_type) ? nx_value_int((int64_t)u) : nx_value_uint(u);
    return NX_OK;
}

static enum nx_err
to_float(const struct tag *tag, const struct nx_value *v, struct nx_value *raw, struct nx_note *why)
{
    double d = 0;

    if (!value_as_double(v, &d))
        return nx_fail(why, NX_E_VALUE, "tag %s is a %s: send a number", tag->id, data_type_name(tag->data_type));
    if (tag->is_scaled)
        d = line_back(&tag->line, d);
    if (tag->is_scaled && tag->data_type == NX_DT_FLOAT32)
        d = round_digits(d, 14); /* so that the float it came from is the nearest one again */
    if (!isfinite(d) || (tag->data_type == NX_DT_FLOAT32 && !isfinite((float)d)))
        return nx_fail(why, NX_E_RANGE, "tag %s: the value does not fit into %s", tag->id,
                       data_type_name(tag->data_type));
    *raw = nx_value_double(d);
    return NX_OK;
}

static enum nx_err
check_clamps(const struct tag *tag, const struct nx_value *v, struct nx_note *why)
{
    double d;

    if (!value_as_double(v, &d))
        return NX_OK;
    if (tag->has_clamp_min && d < tag->clamp_min)
        return nx_fail(why, NX_E_RANGE, "tag %s: %g is below its minimum %g", tag->id, d, tag->clamp_min);
    if (tag->has_clamp_max && d > tag->clamp_max)
        return nx_fail(why, NX_E_RANGE, "tag %s: %g is above its maximum %g", tag->id, d, tag->clamp_max);
    return NX_OK;
}

enum nx_err
normalize_reverse(const struct tag *tag, const struct nx_value *value, struct nx_value *raw, struct nx_note *why)
{
    struct nx_value v = *value;

    if (v.type == NX_TYPE_NONE)
        return nx_fail(why, NX_E_VALUE, "tag %s: there is no value in the command", tag->id);
    if (tag->data_type == NX_DT_STRING) {
        if (v.type != NX_TYPE_STRING)
            return nx_fail(why, NX_E_VALUE, "tag %s is a string: send a text in quotes", tag->id);
        *raw = v;
        return NX_OK;
    }
    if (v.type == NX_TYPE_STRING) {
        enum nx_err err = enum_from_text(tag, value, &v, why);
        if (err != NX_OK)
            return err;
    }
    if (tag->data_type == NX_DT_BOOL)
        return to_bool(tag, &v, raw, why);
    enum nx_err err = check_clamps(tag, &v, why);
    if (err != NX_OK)
        return err;
    return is_float(tag->data_type) ? to_float(tag, &v, raw, why) : to_int(tag, &v, raw, why);
}
