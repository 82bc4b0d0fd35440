/* tagmsg_pack.c -- the writer of tag messages in MessagePack (github.com/msgpack/msgpack, spec.md): a map with the
 * names of the compact spelling, every number in its shortest form that gives the same number back. Room for the
 * longest form is made once, then the bytes are put without asking. */
#include "base/utf8.h"
#include "model/tagmsg_priv.h"

#include <math.h>

/* All names with their heads, nine numbers at their longest, the heads of three texts. */
#define FIXED_MAX 192u

static uint8_t *
put_name(uint8_t *o, const char *name, size_t len)
{
    *o++ = (uint8_t)(0xA0 | len);
    memcpy(o, name, len);
    return o + len;
}
#define NAME(o, text) put_name(o, text, sizeof(text) - 1)

static inline uint8_t *
put_head(uint8_t *o, unsigned head, uint64_t v, unsigned bytes)
{
    *o++ = (uint8_t)head;
    for (unsigned shift = 8 * bytes; shift > 0; shift -= 8)
        *o++ = (uint8_t)(v >> (shift - 8));
    return o;
}

static uint8_t *
put_uint(uint8_t *o, uint64_t v)
{
    if (v < 0x80)
        return put_head(o, (unsigned)v, 0, 0);
    if (v <= UINT8_MAX)
        return put_head(o, 0xCC, v, 1);
    if (v <= UINT16_MAX)
        return put_head(o, 0xCD, v, 2);
    if (v <= UINT32_MAX)
        return put_head(o, 0xCE, v, 4);
    return put_head(o, 0xCF, v, 8);
}

static uint8_t *
put_int(uint8_t *o, int64_t v)
{
    if (v >= 0)
        return put_uint(o, (uint64_t)v);
    if (v >= -32)
        return put_head(o, (unsigned)v & 0xFFu, 0, 0);
    if (v >= INT8_MIN)
        return put_head(o, 0xD0, (uint64_t)v, 1);
    if (v >= INT16_MIN)
        return put_head(o, 0xD1, (uint64_t)v, 2);
    if (v >= INT32_MIN)
        return put_head(o, 0xD2, (uint64_t)v, 4);
    return put_head(o, 0xD3, (uint64_t)v, 8);
}

static uint8_t *
put_double(uint8_t *o, double v)
{
    float f = (float)v;
    uint32_t f_bits;
    uint64_t bits;

    memcpy(&f_bits, &f, sizeof f_bits);
    memcpy(&bits, &v, sizeof bits);
    if (!isfinite(v)) /* null, as in JSON */
        return put_head(o, 0xC0, 0, 0);
    return (double)f == v ? put_head(o, 0xCA, f_bits, 4) : put_head(o, 0xCB, bits, 8);
}

static uint8_t *
put_text_head(uint8_t *o, size_t len)
{
    if (len < 32)
        return put_head(o, 0xA0u | (unsigned)len, 0, 0);
    if (len <= UINT8_MAX)
        return put_head(o, 0xD9, len, 1);
    if (len <= UINT16_MAX)
        return put_head(o, 0xDA, len, 2);
    return put_head(o, 0xDB, len, 4);
}

/* Bytes that are not UTF-8 become '?', so that the length stays. */
static void
repair(uint8_t *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t step = utf8_step(slice(text + at, len - at));

        if (step == 0)
            text[at] = '?';
        at += step ? step : 1;
    }
}

static uint8_t *
put_text(uint8_t *o, struct slice text)
{
    o = put_text_head(o, text.len);
    if (text.len)
        memcpy(o, text.p, text.len);
    if (!utf8_is_valid(text))
        repair(o, text.len);
    return o + text.len;
}

static uint8_t *
put_value(uint8_t *o, const struct nx_value *v)
{
    switch (v->type) {
    case NX_TYPE_BOOL:
        return put_head(o, v->b ? 0xC3 : 0xC2, 0, 0);
    case NX_TYPE_INT:
        return put_int(o, v->i);
    case NX_TYPE_UINT:
        return put_uint(o, v->u);
    case NX_TYPE_DOUBLE:
        return put_double(o, v->d);
    case NX_TYPE_STRING:
        return put_text(o, slice(v->s, v->len));
    case NX_TYPE_NONE:
        break;
    }
    return put_head(o, 0xC0, 0, 0);
}

static unsigned
members_of(const struct tagmsg *m)
{
    return 2u + (m->time_us != 0) + (m->unit.len > 0) + (m->source_us != 0) + (m->gateway_us != 0) +
           (m->publish_us != 0) + m->has_seq + (m->error.len > 0);
}

static uint8_t *
put_times(uint8_t *o, const struct tagmsg *m)
{
    if (m->source_us)
        o = put_int(NAME(o, "source_timestamp"), tagmsg_ms_of(m->source_us));
    if (m->gateway_us)
        o = put_int(NAME(o, "gateway_timestamp"), tagmsg_ms_of(m->gateway_us));
    if (m->publish_us)
        o = put_int(NAME(o, "publish_timestamp"), tagmsg_ms_of(m->publish_us));
    return o;
}

static uint8_t *
put_members(uint8_t *o, const struct tagmsg *m)
{
    const struct nx_value none = nx_value_none();

    *o++ = (uint8_t)(0x80 | members_of(m));
    o = put_value(NAME(o, "v"), nx_quality_is_bad(m->quality) ? &none : &m->value);
    o = put_uint(NAME(o, "q"), m->quality);
    if (m->time_us)
        o = put_int(NAME(o, "ts"), tagmsg_ms_of(m->time_us));
    if (m->unit.len)
        o = put_text(NAME(o, "u"), m->unit);
    o = put_times(o, m);
    if (m->has_seq)
        o = put_uint(NAME(o, "seq"), m->seq);
    if (m->error.len)
        o = put_text(NAME(o, "error"), m->error);
    return o;
}

void
tagmsg_pack(struct wbuf *w, const struct tagmsg *m)
{
    size_t texts = m->unit.len + m->error.len + (m->value.type == NX_TYPE_STRING ? m->value.len : 0);
    uint8_t *o = wbuf_reserve(w, FIXED_MAX + texts);

    if (o)
        wbuf_advance(w, (size_t)(put_members(o, m) - o));
}
