#include "parquet/column.h"

#include "base/mem.h"
#include "parquet/encode.h"

#include <assert.h>
#include <stdlib.h>

/* Values of the format: parquet.thrift. */
enum { ENCODING_PLAIN = 0, ENCODING_RLE = 3, ENCODING_DELTA_BINARY_PACKED = 5, ENCODING_RLE_DICTIONARY = 8 };
enum { PAGE_DATA = 0, PAGE_DICTIONARY = 2 };
enum { CODEC_ZSTD = 6 };

static bool
is_text(const struct column *c)
{
    return c->desc.type == PARQUET_TEXT || c->desc.type == PARQUET_LABEL;
}

void
column_init(struct column *c, const struct parquet_column *desc, uint32_t group_rows)
{
    *c = (struct column){.desc = *desc, .text = wbuf_init(0)};
    if (desc->type == PARQUET_LABEL)
        c->keys = mem_calloc(group_rows, sizeof *c->keys);
    else if (desc->type != PARQUET_TEXT)
        c->cells = mem_calloc(group_rows, sizeof *c->cells);
    if (desc->is_optional)
        c->levels = mem_calloc(group_rows, sizeof *c->levels);
}

static void
forget_labels(struct column *c)
{
    struct label *label, *next;

    HASH_ITER (hh, c->labels, label, next) {
        HASH_DEL(c->labels, label);
        free(label);
    }
    c->newest = c->smallest = c->largest = NULL;
    c->label_count = 0;
}

void
column_reset(struct column *c)
{
    forget_labels(c);
    wbuf_reset(&c->text);
    c->count = c->rows = 0;
}

void
column_fini(struct column *c)
{
    column_reset(c);
    wbuf_free(&c->text);
    free(c->cells);
    free(c->keys);
    free(c->levels);
}

enum parquet_physical
column_physical(const struct column *c)
{
    switch (c->desc.type) {
    case PARQUET_INT32:
        return PHYSICAL_INT32;
    case PARQUET_TIME_US:
        return PHYSICAL_INT64;
    case PARQUET_DOUBLE:
        return PHYSICAL_DOUBLE;
    case PARQUET_TEXT:
    case PARQUET_LABEL:
        break;
    }
    return PHYSICAL_BYTE_ARRAY;
}

/* --- cells --- */

static void
count_value(struct column *c)
{
    if (c->levels)
        c->levels[c->rows] = 1;
    c->rows++;
    c->count++;
}

void
column_put_bits(struct column *c, uint64_t bits)
{
    assert(c->cells);
    c->cells[c->count] = bits;
    count_value(c);
}

static int
compare_labels(const struct label *a, const struct label *b)
{
    int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);

    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static struct label *
add_label(struct column *c, struct slice s)
{
    struct label *label = mem_alloc(sizeof *label + s.len + 1);

    assert(c->label_count < LABELS_MAX);
    label->key = (uint16_t)c->label_count++;
    label->len = s.len;
    if (s.len > 0)
        memcpy(label->text, s.p, s.len);
    wbuf_le32(&c->text, (uint32_t)s.len);
    wbuf_slice(&c->text, s);
    HASH_ADD(hh, c->labels, text, s.len, label);
    if (!c->smallest || compare_labels(label, c->smallest) < 0)
        c->smallest = label;
    if (!c->largest || compare_labels(label, c->largest) > 0)
        c->largest = label;
    return label;
}

/* Rows of one series come together: the label is nearly always the one before. */
static uint16_t
key_of(struct column *c, struct slice s)
{
    struct label *label = c->newest;

    if (label && slice_eq(slice(label->text, label->len), s))
        return label->key;
    HASH_FIND(hh, c->labels, s.p ? (const void *)s.p : "", s.len, label);
    c->newest = label ? label : add_label(c, s);
    return c->newest->key;
}

void
column_put_text(struct column *c, struct slice s)
{
    assert(is_text(c));
    if (c->keys) {
        c->keys[c->count] = key_of(c, s);
    } else {
        wbuf_le32(&c->text, (uint32_t)s.len);
        wbuf_slice(&c->text, s);
    }
    count_value(c);
}

void
column_end_row(struct column *c, uint32_t rows)
{
    if (c->rows == rows)
        return;
    assert(c->rows + 1 == rows && c->levels);
    c->levels[c->rows++] = 0;
}

/* --- pages --- */

static void
put_levels(const struct column *c, struct wbuf *raw)
{
    size_t at = raw->len;

    wbuf_le32(raw, 0);
    encode_hybrid(c->levels, c->rows, 1, raw);
    wbuf_patch_le32(raw, at, (uint32_t)(raw->len - at - 4));
}

static int
encoding_of(const struct column *c)
{
    if (c->desc.type == PARQUET_TIME_US)
        return ENCODING_DELTA_BINARY_PACKED;
    return c->desc.type == PARQUET_LABEL ? ENCODING_RLE_DICTIONARY : ENCODING_PLAIN;
}

static void
put_keys(const struct column *c, struct wbuf *raw)
{
    unsigned width = encode_width(c->label_count > 1 ? c->label_count - 1 : 1);

    wbuf_u8(raw, width);
    encode_hybrid(c->keys, c->count, width, raw);
}

static void
put_values(const struct column *c, struct wbuf *raw)
{
    if (c->desc.type == PARQUET_TIME_US)
        encode_delta(c->cells, c->count, raw);
    else if (c->desc.type == PARQUET_LABEL)
        put_keys(c, raw);
    else if (c->desc.type == PARQUET_TEXT)
        wbuf_slice(raw, wbuf_slice_of(&c->text));
    else
        encode_plain(c->cells, c->count, c->desc.type == PARQUET_INT32 ? 4 : 8, raw);
}

static void
compress(struct page_maker *m, struct slice raw)
{
    size_t bound = ZSTD_compressBound(raw.len), n;
    uint8_t *at;

    wbuf_reset(&m->packed);
    at = wbuf_reserve(&m->packed, bound);
    assert(at);
    n = ZSTD_compressCCtx(m->zstd, at, bound, raw.p, raw.len, m->level);
    assert(!ZSTD_isError(n)); /* there is room for any input */
    wbuf_advance(&m->packed, n);
}

/* The rest of the header follows: field 5 or 7, and the end. */
static struct thrift
begin_header(int type, size_t raw, size_t packed, struct wbuf *out)
{
    struct thrift t = thrift_init(out);

    thrift_i32(&t, 1, type);
    thrift_i32(&t, 2, (int32_t)raw);
    thrift_i32(&t, 3, (int32_t)packed);
    return t;
}

static void
write_dictionary(const struct column *c, struct page_maker *m, struct wbuf *out)
{
    struct slice raw = wbuf_slice_of(&c->text);
    struct thrift t;

    compress(m, raw);
    t = begin_header(PAGE_DICTIONARY, raw.len, m->packed.len, out);
    thrift_begin(&t, 7);
    thrift_i32(&t, 1, (int32_t)c->label_count);
    thrift_i32(&t, 2, ENCODING_PLAIN);
    thrift_end(&t);
    thrift_end(&t);
    wbuf_slice(out, wbuf_slice_of(&m->packed));
}

static void
write_data(const struct column *c, struct page_maker *m, struct wbuf *out)
{
    struct thrift t;

    wbuf_reset(&m->raw);
    if (c->levels)
        put_levels(c, &m->raw);
    put_values(c, &m->raw);
    compress(m, wbuf_slice_of(&m->raw));
    t = begin_header(PAGE_DATA, m->raw.len, m->packed.len, out);
    thrift_begin(&t, 5);
    thrift_i32(&t, 1, (int32_t)c->rows);
    thrift_i32(&t, 2, encoding_of(c));
    thrift_i32(&t, 3, ENCODING_RLE);
    thrift_i32(&t, 4, ENCODING_RLE);
    thrift_end(&t);
    thrift_end(&t);
    wbuf_slice(out, wbuf_slice_of(&m->packed));
}

void
column_write_pages(const struct column *c, struct page_maker *m, uint64_t at, struct wbuf *out,
                   struct chunk_sizes *sizes)
{
    size_t start = out->len, data_start, raw = 0;

    if (c->desc.type == PARQUET_LABEL) {
        write_dictionary(c, m, out);
        raw = out->len - start - m->packed.len + c->text.len;
    }
    data_start = out->len;
    write_data(c, m, out);
    raw += out->len - data_start - m->packed.len + m->raw.len;
    *sizes = (struct chunk_sizes){at, at + (data_start - start), raw, out->len - start};
}

/* --- what the footer says --- */

/* Any order of texts but by their bytes would be a lie; of PARQUET_TEXT nobody has looked. */
static void
put_bounds(struct thrift *t, const struct wbuf *min, const struct wbuf *max)
{
    thrift_binary(t, 5, wbuf_slice_of(max));
    thrift_binary(t, 6, wbuf_slice_of(min));
}

static void
put_i64_bounds(const struct column *c, struct thrift *t)
{
    uint8_t min_bytes[8], max_bytes[8];
    struct wbuf min = wbuf_fixed(min_bytes, 8), max = wbuf_fixed(max_bytes, 8);
    int64_t lo = (int64_t)c->cells[0], hi = lo;
    unsigned bytes = c->desc.type == PARQUET_INT32 ? 4 : 8;

    for (uint32_t i = 1; i < c->count; i++) {
        int64_t v = (int64_t)c->cells[i];

        lo = v < lo ? v : lo;
        hi = v > hi ? v : hi;
    }
    encode_plain(&(uint64_t){(uint64_t)lo}, 1, bytes, &min);
    encode_plain(&(uint64_t){(uint64_t)hi}, 1, bytes, &max);
    put_bounds(t, &min, &max);
}

static double
double_of(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static uint64_t
bits_of(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* A zero may be either of the two: the bounds must hold both. */
static void
put_double_bounds(const struct column *c, struct thrift *t)
{
    uint8_t min_bytes[8], max_bytes[8];
    struct wbuf min = wbuf_fixed(min_bytes, 8), max = wbuf_fixed(max_bytes, 8);
    double lo = double_of(c->cells[0]), hi = lo;

    for (uint32_t i = 1; i < c->count; i++) {
        double v = double_of(c->cells[i]);

        lo = v < lo ? v : lo;
        hi = v > hi ? v : hi;
    }
    encode_plain(&(uint64_t){bits_of(lo == 0 ? -0.0 : lo)}, 1, 8, &min);
    encode_plain(&(uint64_t){bits_of(hi == 0 ? 0.0 : hi)}, 1, 8, &max);
    put_bounds(t, &min, &max);
}

static void
write_statistics(const struct column *c, struct thrift *t)
{
    thrift_begin(t, 12);
    thrift_i64(t, 3, c->rows - c->count);
    if (c->count > 0 && c->desc.type == PARQUET_DOUBLE) {
        put_double_bounds(c, t);
    } else if (c->count > 0 && c->cells) {
        put_i64_bounds(c, t);
    } else if (c->largest) {
        thrift_binary(t, 5, slice(c->largest->text, c->largest->len));
        thrift_binary(t, 6, slice(c->smallest->text, c->smallest->len));
    }
    thrift_end(t);
}

static void
write_encodings(const struct column *c, struct thrift *t)
{
    int encoding = encoding_of(c);

    thrift_list(t, 2, THRIFT_I32, encoding == ENCODING_RLE_DICTIONARY ? 3 : 2);
    if (encoding == ENCODING_RLE_DICTIONARY)
        thrift_i32_element(t, ENCODING_PLAIN);
    thrift_i32_element(t, ENCODING_RLE);
    thrift_i32_element(t, encoding);
}

void
column_write_meta(const struct column *c, const struct chunk_sizes *sizes, struct thrift *t)
{
    thrift_begin(t, 3);
    thrift_i32(t, 1, column_physical(c));
    write_encodings(c, t);
    thrift_list(t, 3, THRIFT_BINARY, 1);
    thrift_binary_element(t, slice_str(c->desc.name));
    thrift_i32(t, 4, CODEC_ZSTD);
    thrift_i64(t, 5, c->rows);
    thrift_i64(t, 6, (int64_t)sizes->raw);
    thrift_i64(t, 7, (int64_t)sizes->packed);
    thrift_i64(t, 9, (int64_t)sizes->data_at);
    if (c->keys)
        thrift_i64(t, 11, (int64_t)sizes->at);
    write_statistics(c, t);
    thrift_end(t);
}
