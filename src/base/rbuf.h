/* rbuf.h -- reader of bytes with a sticky error: past the end it reads zeros and remembers it. One thread. */
#ifndef BASE_RBUF_H
#define BASE_RBUF_H

#include "base/slice.h"
#include "nexus/err.h"

struct rbuf {
    const uint8_t *p, *end;
    bool is_short;
};

static inline struct rbuf
rbuf_init(struct slice s)
{
    return (struct rbuf){.p = s.p, .end = s.p + s.len};
}

static inline size_t
rbuf_left(const struct rbuf *r)
{
    return (size_t)(r->end - r->p);
}

uint8_t rbuf_u8(struct rbuf *r);
uint16_t rbuf_be16(struct rbuf *r);
uint32_t rbuf_be32(struct rbuf *r);
uint64_t rbuf_be64(struct rbuf *r);
uint16_t rbuf_le16(struct rbuf *r);
uint32_t rbuf_le32(struct rbuf *r);
uint64_t rbuf_le64(struct rbuf *r);
/* LEB128 of at most 10 bytes; a longer or overflowing one counts as short. */
uint64_t rbuf_varint(struct rbuf *r);
int64_t rbuf_svarint(struct rbuf *r);
/* The next n bytes, borrowed; empty (and short) when there are fewer. */
struct slice rbuf_take(struct rbuf *r, size_t n);
/* NX_OK when everything was read and nothing was missing; else NX_E_PROTO. */
NX_MUST_CHECK enum nx_err rbuf_finish(const struct rbuf *r);

#endif
