#include "base/rbuf.h"

static const uint8_t *
take(struct rbuf *r, size_t n)
{
    static const uint8_t zeros[8];
    const uint8_t *p = r->p;

    if (rbuf_left(r) < n) {
        r->is_short = true;
        r->p = r->end;
        return zeros;
    }
    r->p += n;
    return p;
}

static uint64_t
get_be(struct rbuf *r, unsigned n)
{
    const uint8_t *p = take(r, n);
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static uint64_t
get_le(struct rbuf *r, unsigned n)
{
    const uint8_t *p = take(r, n);
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint8_t
rbuf_u8(struct rbuf *r)
{
    return *take(r, 1);
}

uint16_t
rbuf_be16(struct rbuf *r)
{
    return (uint16_t)get_be(r, 2);
}

uint32_t
rbuf_be32(struct rbuf *r)
{
    return (uint32_t)get_be(r, 4);
}

uint64_t
rbuf_be64(struct rbuf *r)
{
    return get_be(r, 8);
}

uint16_t
rbuf_le16(struct rbuf *r)
{
    return (uint16_t)get_le(r, 2);
}

uint32_t
rbuf_le32(struct rbuf *r)
{
    return (uint32_t)get_le(r, 4);
}

uint64_t
rbuf_le64(struct rbuf *r)
{
    return get_le(r, 8);
}

uint64_t
rbuf_varint(struct rbuf *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t b = rbuf_u8(r);

        if (shift == 63 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7Fu) << shift;
        if (!(b & 0x80u))
            return v;
    }
    r->is_short = true;
    r->p = r->end;
    return 0;
}

int64_t
rbuf_svarint(struct rbuf *r)
{
    uint64_t z = rbuf_varint(r);

    return (int64_t)((z >> 1) ^ (0 - (z & 1)));
}

struct slice
rbuf_take(struct rbuf *r, size_t n)
{
    if (rbuf_left(r) < n) {
        r->is_short = true;
        r->p = r->end;
        return slice(r->end, 0);
    }
    struct slice s = slice(r->p, n);
    r->p += n;
    return s;
}

enum nx_err
rbuf_finish(const struct rbuf *r)
{
    return r->is_short || r->p != r->end ? NX_E_PROTO : NX_OK;
}
