/* batch_read.c -- the reader trusts nothing: the checksum is checked first, then every count against its bound. */
#include "base/crc32c.h"
#include "base/rbuf.h"
#include "base/utf8.h"
#include "model/batch_priv.h"

#include <math.h>
#include <zstd.h>

#define SERIES_MIN_BYTES 9u

struct head {
    struct batch_header hdr;
    unsigned flags;
    uint32_t count, raw_len;
    int64_t base_us;
};

static enum nx_err
damaged(struct nx_note *why, const char *what)
{
    return nx_fail(why, NX_E_CORRUPT, "batch record is damaged: %s", what);
}

static enum nx_err
read_head(struct rbuf *r, struct head *h, struct nx_note *why)
{
    uint32_t magic = rbuf_le32(r);
    unsigned version = rbuf_u8(r);

    if (r->is_short || magic != BATCH_MAGIC)
        return nx_fail(why, NX_E_PROTO, "not a batch record: it does not begin with NXXB");
    if (version != BATCH_VERSION)
        return nx_fail(why, NX_E_UNSUPPORTED, "batch record of version %u; this program reads version %u: update it",
                       version, BATCH_VERSION);
    h->flags = rbuf_u8(r);
    h->hdr.lane = rbuf_u8(r);
    size_t gateway_len = rbuf_u8(r);
    h->hdr.epoch = rbuf_le64(r);
    h->hdr.seq = rbuf_le64(r);
    h->base_us = (int64_t)rbuf_le64(r);
    h->count = rbuf_le32(r);
    h->raw_len = rbuf_le32(r);
    h->hdr.gateway = rbuf_take(r, gateway_len);
    if (r->is_short)
        return damaged(why, "its head is cut off");
    if (h->flags & ~BATCH_FLAGS_KNOWN)
        return nx_fail(why, NX_E_UNSUPPORTED,
                       "batch record uses features (flags 0x%02x) of a newer program: update this one", h->flags);
    if (gateway_len == 0 || gateway_len > BATCH_GATEWAY_MAX || !utf8_is_valid(h->hdr.gateway))
        return damaged(why, "the name of its gateway is not valid");
    if (h->hdr.epoch > INT64_MAX || h->hdr.seq > INT64_MAX)
        return damaged(why, "epoch or sequence is out of range");
    return NX_OK;
}

enum nx_err
batch_peek(struct slice data, struct batch_header *hdr, uint32_t *points, struct nx_note *why)
{
    struct rbuf r = rbuf_init(data);
    struct head h = {0};
    enum nx_err err = read_head(&r, &h, why);

    if (err != NX_OK)
        return err;
    *hdr = h.hdr;
    *points = h.flags & BATCH_FLAG_GAP ? 0 : h.count;
    return NX_OK;
}

/* --- dictionary --- */

struct text_budget {
    struct arena *a;
    size_t left;
};

/* One text that shares a prefix with the one before. Texts come from outside and go into databases: UTF-8, no NUL. */
static bool
read_front_coded(struct rbuf *r, struct text_budget *budget, struct slice before, struct slice *out)
{
    uint64_t shared = rbuf_varint(r), own = rbuf_varint(r);

    if (r->is_short || shared > before.len || own > rbuf_left(r) || shared + own > budget->left)
        return false;
    struct slice suffix = rbuf_take(r, (size_t)own);
    if (own == 0) {
        *out = slice(before.p, (size_t)shared);
    } else if (shared == 0) {
        *out = suffix;
    } else {
        uint8_t *text = arena_alloc(budget->a, (size_t)(shared + own));

        memcpy(text, before.p, (size_t)shared);
        memcpy(text + shared, suffix.p, suffix.len);
        *out = slice(text, (size_t)(shared + own));
        budget->left -= out->len;
    }
    /* An unchanged text was checked when it was new. */
    return (own == 0 && shared == before.len) ||
           (utf8_is_valid(*out) && (out->len == 0 || !memchr(out->p, 0, out->len)));
}

static bool
read_series(struct rbuf *r, struct text_budget *budget, const struct series *before, struct series *s)
{
    if (!read_front_coded(r, budget, before->topic, &s->topic) ||
        !read_front_coded(r, budget, before->device_id, &s->device_id) ||
        !read_front_coded(r, budget, before->tag_id, &s->tag_id) ||
        !read_front_coded(r, budget, before->unit, &s->unit))
        return false;
    s->data_type = rbuf_u8(r);
    return !r->is_short && s->data_type <= NX_TYPE_STRING && s->topic.len > 0;
}

static enum nx_err
read_dictionary(struct rbuf *r, struct arena *a, struct batch *out, struct nx_note *why)
{
    static const struct series none;
    struct text_budget budget = {a, BATCH_MAX_TEXT};
    uint64_t count = rbuf_varint(r);

    if (r->is_short || count > BATCH_MAX_POINTS || count > rbuf_left(r) / SERIES_MIN_BYTES)
        return damaged(why, "its dictionary has an impossible size");
    struct series *series = arena_alloc(a, (size_t)count * sizeof *series);
    for (uint64_t i = 0; i < count; i++) {
        if (!read_series(r, &budget, i ? &series[i - 1] : &none, &series[i]))
            return damaged(why, "a series of its dictionary is not valid");
    }
    out->series = series;
    out->series_count = (uint32_t)count;
    return NX_OK;
}

/* --- columns --- */

/* Length of a run: at least 1, at most what is left of n points; 0 when it is not valid. */
static uint32_t
read_run(struct rbuf *r, uint32_t left)
{
    uint64_t run = rbuf_varint(r);

    return r->is_short || run > left ? 0 : (uint32_t)run;
}

static bool
read_series_column(struct rbuf *r, struct point *points, uint32_t n, uint32_t series_count)
{
    uint64_t next = 0;

    for (uint32_t i = 0; i < n;) {
        next += (uint64_t)rbuf_svarint(r);
        uint32_t run = read_run(r, n - i);

        if (run == 0 || next >= series_count || run > series_count - next)
            return false;
        for (; run; run--)
            points[i++].series = (uint32_t)next++;
    }
    return true;
}

static inline __attribute__((always_inline)) bool
read_number_column(struct rbuf *r, struct point *points, uint32_t n, int64_t base, void (*set)(struct point *, int64_t))
{
    unsigned kind = rbuf_u8(r);
    uint64_t v = (uint64_t)base;

    if (kind > BATCH_COLUMN_RUNS)
        return false;
    for (uint32_t i = 0; i < n;) {
        v += (uint64_t)rbuf_svarint(r);
        uint32_t run = kind == BATCH_COLUMN_RUNS ? read_run(r, n - i) : !r->is_short;

        if (run == 0)
            return false;
        for (; run; run--)
            set(&points[i++], (int64_t)v);
    }
    return !r->is_short;
}

static inline void
set_time(struct point *p, int64_t v)
{
    p->time_us = v;
}

static inline void
set_lag(struct point *p, int64_t v)
{
    p->gateway_us = (int64_t)((uint64_t)p->time_us + (uint64_t)v);
}

static bool
read_quality_column(struct rbuf *r, struct point *points, uint32_t n)
{
    for (uint32_t i = 0; i < n;) {
        uint64_t quality = rbuf_varint(r);
        uint32_t run = read_run(r, n - i);

        if (run == 0 || quality > UINT16_MAX)
            return false;
        for (; run; run--)
            points[i++].quality = (uint16_t)quality;
    }
    return true;
}

static bool
read_types(struct rbuf *r, struct point *points, const struct batch *b)
{
    uint64_t count = rbuf_varint(r), at = 0;

    if (r->is_short || count > b->point_count)
        return false;
    for (uint32_t i = 0; i < b->point_count; i++)
        points[i].value.type = (enum nx_type)b->series[points[i].series].data_type;
    for (uint64_t k = 0; k < count; k++) {
        uint64_t step = rbuf_varint(r);
        unsigned type = rbuf_u8(r);

        if (r->is_short || type > NX_TYPE_STRING || step >= b->point_count - at || (k && step == 0))
            return false;
        at += step;
        points[at].value.type = (enum nx_type)type;
    }
    return true;
}

static bool
read_string(struct rbuf *r, struct nx_value *v)
{
    uint64_t len = rbuf_varint(r);

    if (r->is_short || len > NX_STRING_MAX)
        return false;
    struct slice s = rbuf_take(r, (size_t)len);
    *v = nx_value_string((const char *)s.p, s.len);
    return !r->is_short && utf8_is_valid(s) && (len == 0 || !memchr(s.p, 0, s.len));
}

static bool
read_value(struct rbuf *r, struct nx_value *v)
{
    uint8_t b;

    switch (v->type) {
    case NX_TYPE_NONE:
        return true;
    case NX_TYPE_BOOL:
        b = rbuf_u8(r);
        v->b = b == 1;
        return b <= 1;
    case NX_TYPE_INT:
        v->i = rbuf_svarint(r);
        return true;
    case NX_TYPE_UINT:
        v->u = rbuf_varint(r);
        return true;
    case NX_TYPE_DOUBLE:
        v->u = rbuf_le64(r);
        return isfinite(v->d);
    case NX_TYPE_STRING:
        return read_string(r, v);
    }
    return false;
}

static bool
read_values(struct rbuf *r, struct point *points, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!read_value(r, &points[i].value))
            return false;
    }
    return !r->is_short;
}

static enum nx_err
read_points(struct rbuf *r, struct arena *a, const struct head *h, struct batch *out, struct nx_note *why)
{
    uint32_t n = h->count;

    if (n > BATCH_MAX_POINTS)
        return nx_fail(why, NX_E_TOO_LARGE, "batch record of %u points; at most %u are read", n, BATCH_MAX_POINTS);
    if (n > 0 && out->series_count == 0)
        return damaged(why, "it has points and no series");
    struct point *points = arena_alloc(a, n * sizeof *points);
    out->points = points;
    out->point_count = n;
    if (!read_series_column(r, points, n, out->series_count))
        return damaged(why, "its column of series is not valid");
    if (!read_number_column(r, points, n, h->base_us, set_time) || !read_number_column(r, points, n, 0, set_lag))
        return damaged(why, "a column of times is not valid");
    if (!read_quality_column(r, points, n))
        return damaged(why, "its column of qualities is not valid");
    if (!read_types(r, points, out) || !read_values(r, points, n))
        return damaged(why, "its column of values is not valid");
    return NX_OK;
}

/* --- the record --- */

static bool
cause_parse(struct slice name, enum nx_err *out)
{
    for (int e = 0; e < NX_E_COUNT; e++) {
        if (slice_eq_str(name, nx_err_name((enum nx_err)e))) {
            *out = (enum nx_err)e;
            return true;
        }
    }
    return false;
}

static enum nx_err
read_gap(struct rbuf *r, const struct head *h, struct batch *out, struct nx_note *why)
{
    struct batch_gap *gap = &out->gap;

    out->is_gap = true;
    gap->from_seq = rbuf_varint(r);
    gap->to_seq = rbuf_varint(r);
    gap->points = rbuf_varint(r);
    gap->from_us = h->base_us;
    gap->to_us = (int64_t)((uint64_t)h->base_us + (uint64_t)rbuf_svarint(r));
    uint64_t len = rbuf_varint(r);
    struct slice cause = rbuf_take(r, len < 64 ? (size_t)len : SIZE_MAX);
    if (r->is_short || h->count != 0 || gap->from_seq > gap->to_seq)
        return damaged(why, "its gap is not valid");
    if (!cause_parse(cause, &gap->cause))
        gap->cause = NX_E_INTERNAL; /* a cause that a newer program knows */
    return NX_OK;
}

/* Memory for the result is what the record states, at most BATCH_MAX_BYTES: a bomb cannot grow past it. */
static enum nx_err
unpack(struct arena *a, const struct head *h, struct slice *body, struct nx_note *why)
{
    if (h->raw_len > BATCH_MAX_BYTES)
        return nx_fail(why, NX_E_TOO_LARGE, "batch record of %u bytes after unpacking; at most %u are read", h->raw_len,
                       BATCH_MAX_BYTES);
    if (!(h->flags & BATCH_FLAG_ZSTD))
        return body->len == h->raw_len ? NX_OK : damaged(why, "its length is wrong");
    if (ZSTD_getFrameContentSize(body->p, body->len) != h->raw_len)
        return damaged(why, "its packed part has another size than it states");
    uint8_t *raw = arena_alloc(a, h->raw_len);
    if (ZSTD_decompress(raw, h->raw_len, body->p, body->len) != h->raw_len)
        return damaged(why, "it cannot be unpacked");
    *body = slice(raw, h->raw_len);
    return NX_OK;
}

static enum nx_err
check_crc(struct slice *data, struct nx_note *why)
{
    if (data->len < BATCH_HEAD_BYTES + BATCH_CRC_BYTES)
        return damaged(why, "it is cut off");
    struct rbuf tail = rbuf_init(slice_skip(*data, data->len - BATCH_CRC_BYTES));
    data->len -= BATCH_CRC_BYTES;
    return crc32c(0, data->p, data->len) == rbuf_le32(&tail) ? NX_OK : damaged(why, "its checksum is wrong");
}

enum nx_err
batch_decode(struct slice data, struct arena *a, struct batch *out, struct nx_note *why)
{
    struct rbuf r = rbuf_init(data);
    struct head h = {0};
    enum nx_err err;

    *out = (struct batch){0};
    if (data.len > BATCH_MAX_BYTES)
        return nx_fail(why, NX_E_TOO_LARGE, "batch record of %zu bytes; at most %u are read", data.len,
                       BATCH_MAX_BYTES);
    if ((err = read_head(&r, &h, why)) != NX_OK || (err = check_crc(&data, why)) != NX_OK)
        return err;
    size_t head_len = BATCH_HEAD_BYTES + h.hdr.gateway.len;
    if (data.len < head_len)
        return damaged(why, "it is cut off");
    struct slice body = slice_skip(data, head_len);
    if ((err = unpack(a, &h, &body, why)) != NX_OK)
        return err;
    r = rbuf_init(body);
    out->hdr = h.hdr;
    if (h.flags & BATCH_FLAG_GAP)
        err = read_gap(&r, &h, out, why);
    else if ((err = read_dictionary(&r, a, out, why)) == NX_OK)
        err = read_points(&r, a, &h, out, why);
    if (err == NX_OK && rbuf_left(&r) != 0)
        err = damaged(why, "it has bytes behind its end");
    return err;
}
