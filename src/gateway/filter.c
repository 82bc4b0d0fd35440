#include "gateway/filter.h"

#include <math.h>
#include <string.h>

static uint64_t
hash_text(const char *s, size_t len)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)s[i]) * 1099511628211u;
    return h;
}

static uint64_t
bits_of(const struct nx_value *v)
{
    uint64_t bits = 0;

    switch (v->type) {
    case NX_TYPE_BOOL:
        return v->b;
    case NX_TYPE_INT:
    case NX_TYPE_UINT:
        return v->u;
    case NX_TYPE_DOUBLE:
        memcpy(&bits, &v->d, sizeof bits);
        return bits;
    case NX_TYPE_STRING:
        return hash_text(v->s, v->len);
    case NX_TYPE_NONE:
        break;
    }
    return 0;
}

static double
number_of(uint8_t type, uint64_t bits)
{
    double d;

    if (type == NX_TYPE_INT)
        return (double)(int64_t)bits;
    if (type == NX_TYPE_UINT)
        return (double)bits;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static bool
is_outside_deadband(const struct tag *tag, uint8_t type, uint64_t before, uint64_t after)
{
    if (before == after)
        return false;
    if (type != NX_TYPE_INT && type != NX_TYPE_UINT && type != NX_TYPE_DOUBLE)
        return true;
    double old = number_of(type, before), new = number_of(type, after);
    switch (tag->deadband_type) {
    case DEADBAND_ABSOLUTE:
        return fabs(new - old) > tag->deadband;
    case DEADBAND_PERCENT:
        return fabs(new - old) > fabs(old) * tag->deadband / 100;
    case DEADBAND_RANGE: /* made absolute at load */
    case DEADBAND_NONE:
        break;
    }
    return type == NX_TYPE_DOUBLE ? new != old : true;
}

static bool
is_change(const struct filter_state *st, const struct tag *tag, const struct nx_value *v, uint64_t bits)
{
    return st->type != v->type || st->len != v->len || is_outside_deadband(tag, st->type, st->bits, bits);
}

bool
filter_passes(struct filter_state *st, const struct tag *tag, const struct nx_value *v, uint16_t quality,
              uint64_t now_ms)
{
    uint64_t bits = bits_of(v), silent_ms = now_ms - st->sent_ms;

    st->is_held = false;
    if (st->has_sent && st->quality == quality) {
        bool has_changed = is_change(st, tag, v, bits);

        st->is_held = has_changed && silent_ms < (uint64_t)tag->min_interval_ms;
        if (st->is_held)
            return false;
        if (!has_changed && (tag->max_silence_ms == 0 || silent_ms < (uint64_t)tag->max_silence_ms))
            return false;
    }
    st->has_sent = true;
    st->type = (uint8_t)v->type;
    st->quality = quality;
    st->len = v->len;
    st->bits = bits;
    st->sent_ms = now_ms;
    return true;
}
