/* batch_write.c -- the writer gathers points as they come and lays out the columns once, when the record is finished.
 */
#include "base/crc32c.h"
#include "base/mem.h"
#include "model/batch_priv.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <zstd.h>

#define KEYS_MAX          (1u << 24)
#define POINT_WORST_BYTES 50u /* all columns of one point, without its text */
#define POINT_USUAL_BYTES 10u
#define SERIES_BYTES      13u /* lengths and type of one dictionary entry at most */

struct entry {
    int64_t time_us, gateway_us;
    uint64_t bits; /* the value; a string: offset into text */
    uint32_t series, len;
    uint16_t quality;
    uint8_t type;
};

struct batch_writer {
    struct entry *entries;
    uint32_t count, cap;

    const struct series **series; /* dictionary of the record */
    uint32_t series_count, series_cap;
    size_t dict_bytes;

    /* key -> dictionary index, valid where the generation is the present one: emptying costs nothing. */
    struct slot {
        uint32_t generation, index;
    } * slots;
    uint32_t slot_cap, generation;

    struct wbuf text;   /* of string values */
    struct wbuf column; /* dictionary and columns, before compression */
    ZSTD_CCtx *zstd;    /* NULL until used */
};

struct batch_writer *
batch_writer_new(void)
{
    struct batch_writer *bw = mem_alloc(sizeof *bw);

    bw->generation = 1;
    bw->text = wbuf_init(BATCH_MAX_BYTES);
    bw->column = wbuf_init(2 * BATCH_MAX_BYTES);
    return bw;
}

void
batch_writer_free(struct batch_writer **bw)
{
    if (!*bw)
        return;
    free((*bw)->entries);
    free((*bw)->series);
    free((*bw)->slots);
    wbuf_free(&(*bw)->text);
    wbuf_free(&(*bw)->column);
    ZSTD_freeCCtx((*bw)->zstd);
    free(*bw);
    *bw = NULL;
}

static void
clear(struct batch_writer *bw)
{
    bw->count = 0;
    bw->series_count = 0;
    bw->dict_bytes = 0;
    wbuf_reset(&bw->text);
    if (++bw->generation == 0) {
        memset(bw->slots, 0, bw->slot_cap * sizeof *bw->slots);
        bw->generation = 1;
    }
}

static void
grow_slots(struct batch_writer *bw, uint32_t key)
{
    uint32_t cap = bw->slot_cap ? bw->slot_cap : 1024;

    assert(key < KEYS_MAX);
    while (cap <= key)
        cap *= 2;
    bw->slots = mem_realloc(bw->slots, cap * sizeof *bw->slots);
    memset(bw->slots + bw->slot_cap, 0, (cap - bw->slot_cap) * sizeof *bw->slots);
    bw->slot_cap = cap;
}

static size_t
series_bytes(const struct series *s)
{
    return s->topic.len + s->device_id.len + s->tag_id.len + s->unit.len + SERIES_BYTES;
}

static void
add_series(struct batch_writer *bw, struct slot *slot, const struct series *s)
{
    if (bw->series_count == bw->series_cap) {
        bw->series_cap = bw->series_cap ? bw->series_cap * 2 : 256;
        bw->series = mem_realloc(bw->series, bw->series_cap * sizeof(struct series *));
    }
    slot->generation = bw->generation;
    slot->index = bw->series_count;
    bw->series[bw->series_count++] = s;
    bw->dict_bytes += series_bytes(s);
}

static void
grow_entries(struct batch_writer *bw)
{
    bw->cap = bw->cap ? bw->cap * 2 : 1024;
    bw->entries = mem_realloc(bw->entries, bw->cap * sizeof *bw->entries);
}

/* Would one more point, with the text given, still fit the record whatever its columns look like? */
static bool
fits(const struct batch_writer *bw, size_t more)
{
    size_t worst = bw->dict_bytes + bw->text.len + (bw->count + 1) * (size_t)POINT_WORST_BYTES + more;

    return bw->count < BATCH_MAX_POINTS && worst < BATCH_MAX_BYTES - 1024;
}

static void
put_string(struct batch_writer *bw, struct entry *e, const struct nx_value *v)
{
    assert(v->len <= NX_STRING_MAX);
    e->bits = bw->text.len;
    e->len = v->len;
    wbuf_bytes(&bw->text, v->s, v->len);
}

static void
put_value(struct batch_writer *bw, struct entry *e, const struct nx_value *v)
{
    switch (v->type) {
    case NX_TYPE_BOOL:
        e->bits = v->b;
        break;
    case NX_TYPE_STRING:
        put_string(bw, e, v);
        break;
    case NX_TYPE_DOUBLE:
        e->bits = v->u;
        if (!isfinite(v->d)) {
            e->type = NX_TYPE_NONE;
            e->quality = NX_Q_SENSOR_FAILURE;
        }
        break;
    case NX_TYPE_NONE:
    case NX_TYPE_INT:
    case NX_TYPE_UINT:
        e->bits = v->u;
        break;
    }
}

bool
batch_writer_add(struct batch_writer *bw, uint32_t key, const struct series *series, const struct point *p)
{
    if (key >= bw->slot_cap)
        grow_slots(bw, key);
    struct slot *slot = &bw->slots[key];
    bool is_new = slot->generation != bw->generation;
    size_t text = p->value.type == NX_TYPE_STRING ? p->value.len : 0;

    if (!fits(bw, text + (is_new ? series_bytes(series) : 0)))
        return false;
    if (is_new)
        add_series(bw, slot, series);
    if (bw->count == bw->cap)
        grow_entries(bw);
    struct entry *e = &bw->entries[bw->count++];
    *e = (struct entry){.time_us = p->time_us,
                        .gateway_us = p->gateway_us,
                        .series = slot->index,
                        .quality = p->quality,
                        .type = (uint8_t)p->value.type};
    put_value(bw, e, &p->value);
    return true;
}

uint32_t
batch_writer_count(const struct batch_writer *bw)
{
    return bw->count;
}

size_t
batch_writer_bytes(const struct batch_writer *bw)
{
    return BATCH_HEAD_BYTES + bw->dict_bytes + bw->text.len + bw->count * (size_t)POINT_USUAL_BYTES;
}

/* --- columns: written straight into reserved memory, whose size add() has bounded --- */

static inline uint8_t *
put_varint(uint8_t *o, uint64_t v)
{
    while (v >= 0x80) {
        *o++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *o++ = (uint8_t)v;
    return o;
}

static inline uint8_t *
put_delta(uint8_t *o, int64_t now, int64_t before)
{
    return put_varint(o, batch_zigzag((int64_t)((uint64_t)now - (uint64_t)before)));
}

static uint8_t *
put_front_coded(uint8_t *o, struct slice s, struct slice before)
{
    size_t shared = 0, max = s.len < before.len ? s.len : before.len;

    while (shared < max && s.p[shared] == before.p[shared])
        shared++;
    o = put_varint(o, shared);
    o = put_varint(o, s.len - shared);
    if (s.len > shared)
        memcpy(o, s.p + shared, s.len - shared);
    return o + (s.len - shared);
}

static uint8_t *
put_dictionary(const struct batch_writer *bw, uint8_t *o)
{
    static const struct series none;
    const struct series *before = &none;

    o = put_varint(o, bw->series_count);
    for (uint32_t i = 0; i < bw->series_count; i++) {
        const struct series *s = bw->series[i];

        o = put_front_coded(o, s->topic, before->topic);
        o = put_front_coded(o, s->device_id, before->device_id);
        o = put_front_coded(o, s->tag_id, before->tag_id);
        o = put_front_coded(o, s->unit, before->unit);
        *o++ = s->data_type;
        before = s;
    }
    return o;
}

/* Runs of consecutive dictionary indexes: a device that is read as a whole is one run. */
static uint8_t *
put_series_column(const struct batch_writer *bw, uint8_t *o)
{
    int64_t expected = 0;

    for (uint32_t i = 0; i < bw->count;) {
        uint32_t first = bw->entries[i].series, begin = i;

        while (i < bw->count && bw->entries[i].series == first + (i - begin))
            i++;
        o = put_delta(o, first, expected);
        o = put_varint(o, i - begin);
        expected = (int64_t)first + (i - begin);
    }
    return o;
}

static inline int64_t
entry_time(const struct entry *e)
{
    return e->time_us;
}

/* How long after its time the gateway had the point. */
static inline int64_t
entry_lag(const struct entry *e)
{
    return (int64_t)((uint64_t)e->gateway_us - (uint64_t)e->time_us);
}

static inline __attribute__((always_inline)) uint8_t *
put_number_column(const struct batch_writer *bw, uint8_t *o, int64_t base, int64_t (*get)(const struct entry *))
{
    const struct entry *e = bw->entries, *end = e + bw->count;
    uint32_t runs = 0;
    int64_t before = base;

    for (const struct entry *at = e; at < end; at++)
        runs += at == e || get(at) != get(at - 1);
    bool by_runs = runs <= bw->count / 2;
    *o++ = by_runs ? BATCH_COLUMN_RUNS : BATCH_COLUMN_DELTAS;
    while (e < end) {
        const struct entry *begin = e++;

        while (by_runs && e < end && get(e) == get(begin))
            e++;
        o = put_delta(o, get(begin), before);
        if (by_runs)
            o = put_varint(o, (uint64_t)(e - begin));
        before = get(begin);
    }
    return o;
}

static uint8_t *
put_quality_column(const struct batch_writer *bw, uint8_t *o)
{
    for (uint32_t i = 0; i < bw->count;) {
        uint32_t begin = i;

        while (i < bw->count && bw->entries[i].quality == bw->entries[begin].quality)
            i++;
        o = put_varint(o, bw->entries[begin].quality);
        o = put_varint(o, i - begin);
    }
    return o;
}

static inline bool
is_exception(const struct batch_writer *bw, const struct entry *e)
{
    return e->type != bw->series[e->series]->data_type;
}

/* Points whose type is not that of their series, as {distance from the one before, type}. */
static uint8_t *
put_exceptions(const struct batch_writer *bw, uint8_t *o)
{
    uint32_t count = 0, before = 0;

    for (uint32_t i = 0; i < bw->count; i++)
        count += is_exception(bw, &bw->entries[i]);
    o = put_varint(o, count);
    for (uint32_t i = 0; count && i < bw->count; i++) {
        if (!is_exception(bw, &bw->entries[i]))
            continue;
        o = put_varint(o, i - before);
        *o++ = bw->entries[i].type;
        before = i;
    }
    return o;
}

static inline uint8_t *
put_le64(uint8_t *o, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        o[i] = (uint8_t)(v >> (8 * i));
    return o + 8;
}

static uint8_t *
put_values(const struct batch_writer *bw, uint8_t *o)
{
    for (uint32_t i = 0; i < bw->count; i++) {
        const struct entry *e = &bw->entries[i];

        switch ((enum nx_type)e->type) {
        case NX_TYPE_NONE:
            break;
        case NX_TYPE_BOOL:
            *o++ = (uint8_t)e->bits;
            break;
        case NX_TYPE_INT:
            o = put_varint(o, batch_zigzag((int64_t)e->bits));
            break;
        case NX_TYPE_UINT:
            o = put_varint(o, e->bits);
            break;
        case NX_TYPE_DOUBLE:
            o = put_le64(o, e->bits);
            break;
        case NX_TYPE_STRING:
            o = put_varint(o, e->len);
            if (e->len)
                memcpy(o, bw->text.p + e->bits, e->len);
            o += e->len;
            break;
        }
    }
    return o;
}

static void
put_columns(struct batch_writer *bw, int64_t base_us)
{
    size_t room = bw->dict_bytes + bw->text.len + (bw->count + 1) * (size_t)POINT_WORST_BYTES;

    wbuf_reset(&bw->column);
    uint8_t *begin = wbuf_reserve(&bw->column, room);
    assert(begin);
    uint8_t *o = put_dictionary(bw, begin);
    o = put_series_column(bw, o);
    o = put_number_column(bw, o, base_us, entry_time);
    o = put_number_column(bw, o, 0, entry_lag);
    o = put_quality_column(bw, o);
    o = put_exceptions(bw, o);
    o = put_values(bw, o);
    assert((size_t)(o - begin) <= room);
    wbuf_advance(&bw->column, (size_t)(o - begin));
}

/* --- the record --- */

struct head {
    const struct batch_header *hdr;
    unsigned flags;
    uint32_t count, raw_len;
    int64_t base_us;
};

static void
put_head(struct wbuf *out, const struct head *h)
{
    assert(h->hdr->gateway.len >= 1 && h->hdr->gateway.len <= BATCH_GATEWAY_MAX);
    assert(h->hdr->epoch <= INT64_MAX && h->hdr->seq <= INT64_MAX);
    wbuf_le32(out, BATCH_MAGIC);
    wbuf_u8(out, BATCH_VERSION);
    wbuf_u8(out, h->flags);
    wbuf_u8(out, h->hdr->lane);
    wbuf_u8(out, (unsigned)h->hdr->gateway.len);
    wbuf_le64(out, h->hdr->epoch);
    wbuf_le64(out, h->hdr->seq);
    wbuf_le64(out, (uint64_t)h->base_us);
    wbuf_le32(out, h->count);
    wbuf_le32(out, h->raw_len);
    wbuf_slice(out, h->hdr->gateway);
}

static enum nx_err
put_crc(struct wbuf *out, size_t begin)
{
    if (!out->failed)
        wbuf_le32(out, crc32c(0, out->p + begin, out->len - begin));
    return out->failed ? NX_E_TOO_LARGE : NX_OK;
}

/* The packed columns are put behind a head that already says ZSTD; false when that would not make them smaller. */
static bool
put_packed(struct batch_writer *bw, const struct head *h, struct wbuf *out)
{
    size_t begin = out->len, raw = bw->column.len, bound = ZSTD_compressBound(raw);

    if (!bw->zstd)
        bw->zstd = ZSTD_createCCtx();
    if (!bw->zstd)
        return false;
    put_head(out, h);
    uint8_t *at = wbuf_reserve(out, bound);
    size_t n = at ? ZSTD_compressCCtx(bw->zstd, at, bound, bw->column.p, raw, 1) : 0;
    if (!at || ZSTD_isError(n) || n >= raw) {
        out->len = begin;
        return false;
    }
    wbuf_advance(out, n);
    return true;
}

enum nx_err
batch_writer_finish(struct batch_writer *bw, const struct batch_header *hdr, bool compress, struct wbuf *out)
{
    size_t begin = out->len;
    struct head h = {.hdr = hdr, .count = bw->count, .base_us = bw->count ? bw->entries[0].time_us : 0};

    put_columns(bw, h.base_us);
    h.raw_len = (uint32_t)bw->column.len;
    h.flags = BATCH_FLAG_ZSTD;
    if (!compress || !put_packed(bw, &h, out)) {
        h.flags = 0;
        put_head(out, &h);
        wbuf_slice(out, wbuf_slice_of(&bw->column));
    }
    enum nx_err err = put_crc(out, begin);
    clear(bw);
    return err;
}

enum nx_err
batch_encode_gap(const struct batch_header *hdr, const struct batch_gap *gap, struct wbuf *out)
{
    uint8_t body[80];
    const char *cause = nx_err_name(gap->cause);
    size_t begin = out->len, cause_len = strlen(cause);
    uint8_t *o = put_varint(body, gap->from_seq);

    assert(cause_len <= 24);
    o = put_varint(o, gap->to_seq);
    o = put_varint(o, gap->points);
    o = put_delta(o, gap->to_us, gap->from_us);
    o = put_varint(o, cause_len);
    memcpy(o, cause, cause_len);
    o += cause_len;
    struct head h = {.hdr = hdr, .flags = BATCH_FLAG_GAP, .raw_len = (uint32_t)(o - body), .base_us = gap->from_us};
    put_head(out, &h);
    wbuf_bytes(out, body, h.raw_len);
    return put_crc(out, begin);
}
