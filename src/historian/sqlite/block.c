#include "historian/sqlite/block.h"

#include "historian/sqlite/run.h"

#define VERSION 1

struct block_writer
block_writer_init(void)
{
    return (struct block_writer){.index = wbuf_init(0), .runs = wbuf_init(0)};
}

void
block_writer_fini(struct block_writer *b)
{
    wbuf_free(&b->index);
    wbuf_free(&b->runs);
}

void
block_add(struct block_writer *b, uint32_t sid, const struct point *points, size_t n)
{
    for (size_t at = 0, k; at < n; at += k) {
        size_t start = b->runs.len;

        k = n - at < RUN_MAX_POINTS ? n - at : RUN_MAX_POINTS;
        run_encode(&b->runs, points + at, k);
        wbuf_varint(&b->index, sid - b->last_sid);
        wbuf_varint(&b->index, k);
        wbuf_varint(&b->index, b->runs.len - start);
        b->last_sid = sid;
    }
}

enum nx_err
block_finish(struct block_writer *b, struct wbuf *out)
{
    enum nx_err err = b->index.failed || b->runs.failed ? NX_E_TOO_LARGE : NX_OK;

    wbuf_u8(out, VERSION);
    wbuf_varint(out, b->index.len);
    wbuf_slice(out, wbuf_slice_of(&b->index));
    wbuf_slice(out, wbuf_slice_of(&b->runs));
    wbuf_reset(&b->index);
    wbuf_reset(&b->runs);
    b->last_sid = 0;
    return out->failed ? NX_E_TOO_LARGE : err;
}

struct block_reader
block_open(struct slice data)
{
    struct rbuf r = rbuf_init(data);
    bool known = rbuf_u8(&r) == VERSION;
    struct slice index = rbuf_take(&r, (size_t)rbuf_varint(&r));

    return (struct block_reader){.index = rbuf_init(index),
                                 .runs = slice(r.p, rbuf_left(&r)),
                                 .is_corrupt = !known || r.is_short};
}

bool
block_next(struct block_reader *b, struct block_run *run)
{
    uint64_t step, count, bytes;

    if (b->is_corrupt || rbuf_left(&b->index) == 0)
        return false;
    step = rbuf_varint(&b->index);
    count = rbuf_varint(&b->index);
    bytes = rbuf_varint(&b->index);
    if (b->index.is_short || step > UINT32_MAX - b->sid || count < 1 || count > RUN_MAX_POINTS || bytes > b->runs.len) {
        b->is_corrupt = true;
        return false;
    }
    b->sid += (uint32_t)step;
    *run = (struct block_run){b->sid, (uint32_t)count, slice(b->runs.p, (size_t)bytes)};
    b->runs = slice_skip(b->runs, (size_t)bytes);
    return true;
}
