#include "parquet/thrift.h"

#include <assert.h>

struct thrift
thrift_init(struct wbuf *out)
{
    return (struct thrift){.out = out};
}

static void
put_field(struct thrift *t, unsigned field, enum thrift_type type)
{
    unsigned step = field - t->last[t->depth];

    assert(step >= 1 && step <= 15);
    wbuf_u8(t->out, step << 4 | (unsigned)type);
    t->last[t->depth] = field;
}

void
thrift_bool(struct thrift *t, unsigned field, bool v)
{
    put_field(t, field, v ? THRIFT_TRUE : THRIFT_FALSE);
}

void
thrift_i32(struct thrift *t, unsigned field, int32_t v)
{
    put_field(t, field, THRIFT_I32);
    wbuf_svarint(t->out, v);
}

void
thrift_i64(struct thrift *t, unsigned field, int64_t v)
{
    put_field(t, field, THRIFT_I64);
    wbuf_svarint(t->out, v);
}

void
thrift_binary(struct thrift *t, unsigned field, struct slice s)
{
    put_field(t, field, THRIFT_BINARY);
    thrift_binary_element(t, s);
}

void
thrift_begin(struct thrift *t, unsigned field)
{
    put_field(t, field, THRIFT_STRUCT);
    thrift_begin_element(t);
}

void
thrift_begin_element(struct thrift *t)
{
    assert(t->depth + 1 < THRIFT_DEPTH);
    t->last[++t->depth] = 0;
}

void
thrift_end(struct thrift *t)
{
    wbuf_u8(t->out, 0);
    if (t->depth > 0)
        t->depth--;
}

void
thrift_empty(struct thrift *t, unsigned field)
{
    thrift_begin(t, field);
    thrift_end(t);
}

void
thrift_list(struct thrift *t, unsigned field, enum thrift_type type, size_t n)
{
    put_field(t, field, THRIFT_LIST);
    if (n < 15) {
        wbuf_u8(t->out, (unsigned)n << 4 | (unsigned)type);
        return;
    }
    wbuf_u8(t->out, 0xF0u | (unsigned)type);
    wbuf_varint(t->out, n);
}

void
thrift_i32_element(struct thrift *t, int32_t v)
{
    wbuf_svarint(t->out, v);
}

void
thrift_binary_element(struct thrift *t, struct slice s)
{
    wbuf_varint(t->out, s.len);
    wbuf_slice(t->out, s);
}
