#include "parquet/parquet.h"

#include "base/mem.h"
#include "parquet/column.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define MAGIC "PAR1"

/* Values of the format: parquet.thrift. */
enum { REPETITION_REQUIRED = 0, REPETITION_OPTIONAL = 1 };
enum { CONVERTED_UTF8 = 0, CONVERTED_TIMESTAMP_MICROS = 10 };

struct parquet {
    struct parquet_conf conf;
    struct column *columns;
    struct page_maker maker;
    uint32_t rows; /* complete ones of the present group */
    uint64_t row_count;
    uint64_t at;        /* bytes given away */
    struct wbuf groups; /* their descriptions for the footer */
    size_t group_count;
};

struct parquet *
parquet_new(const struct parquet_conf *conf)
{
    struct parquet *p = mem_alloc(sizeof *p);

    assert(conf->group_rows > 0 && conf->group_rows <= 1u << 24 && conf->group_bytes <= 1u << 30);
    p->conf = *conf;
    p->columns = mem_calloc(conf->column_count, sizeof *p->columns);
    for (unsigned i = 0; i < conf->column_count; i++)
        column_init(&p->columns[i], &conf->columns[i], conf->group_rows);
    p->maker = (struct page_maker){.zstd = ZSTD_createCCtx(),
                                   .level = conf->zstd_level,
                                   .raw = wbuf_init(0),
                                   .packed = wbuf_init(0)};
    assert(p->maker.zstd);
    p->groups = wbuf_init(0);
    return p;
}

void
parquet_free(struct parquet **pp)
{
    struct parquet *p = *pp;

    *pp = NULL;
    if (!p)
        return;
    for (unsigned i = 0; i < p->conf.column_count; i++)
        column_fini(&p->columns[i]);
    (void)ZSTD_freeCCtx(p->maker.zstd);
    wbuf_free(&p->maker.raw);
    wbuf_free(&p->maker.packed);
    wbuf_free(&p->groups);
    free(p->columns);
    free(p);
}

/* --- rows --- */

static struct column *
column_at(struct parquet *p, unsigned i)
{
    assert(i < p->conf.column_count && p->columns[i].rows == p->rows);
    return &p->columns[i];
}

void
parquet_i64(struct parquet *p, unsigned column, int64_t v)
{
    struct column *c = column_at(p, column);

    assert(c->desc.type == PARQUET_TIME_US || (c->desc.type == PARQUET_INT32 && v >= INT32_MIN && v <= INT32_MAX));
    column_put_bits(c, (uint64_t)v);
}

void
parquet_double(struct parquet *p, unsigned column, double v)
{
    uint64_t bits;

    assert(p->columns[column].desc.type == PARQUET_DOUBLE && !isnan(v));
    memcpy(&bits, &v, sizeof bits);
    column_put_bits(column_at(p, column), bits);
}

void
parquet_text(struct parquet *p, unsigned column, struct slice s)
{
    column_put_text(column_at(p, column), s);
}

/* --- row groups --- */

static void
put_magic(struct parquet *p, struct wbuf *out)
{
    wbuf_str(out, MAGIC);
    p->at += 4;
}

static void
describe_column(const struct column *c, const struct chunk_sizes *sizes, struct thrift *t)
{
    thrift_begin_element(t);
    thrift_i64(t, 2, 0); /* nothing stands beside the file */
    column_write_meta(c, sizes, t);
    thrift_end(t);
}

static void
write_group(struct parquet *p, struct wbuf *out)
{
    struct thrift t = thrift_init(&p->groups);
    uint64_t raw = 0, start;

    if (p->at == 0)
        put_magic(p, out);
    start = p->at;
    thrift_begin_element(&t);
    thrift_list(&t, 1, THRIFT_STRUCT, p->conf.column_count);
    for (unsigned i = 0; i < p->conf.column_count; i++) {
        struct chunk_sizes sizes;

        column_write_pages(&p->columns[i], &p->maker, p->at, out, &sizes);
        describe_column(&p->columns[i], &sizes, &t);
        column_reset(&p->columns[i]);
        p->at += sizes.packed;
        raw += sizes.raw;
    }
    thrift_i64(&t, 2, (int64_t)raw);
    thrift_i64(&t, 3, p->rows);
    thrift_i64(&t, 5, (int64_t)start);
    thrift_i64(&t, 6, (int64_t)(p->at - start));
    thrift_end(&t);
    p->group_count++;
    p->row_count += p->rows;
    p->rows = 0;
}

static bool
is_full(const struct parquet *p)
{
    size_t bytes = 0;

    if (p->rows == p->conf.group_rows)
        return true;
    for (unsigned i = 0; i < p->conf.column_count; i++) {
        bytes += p->columns[i].text.len;
        if (p->columns[i].label_count == LABELS_MAX)
            return true;
    }
    return bytes >= p->conf.group_bytes;
}

void
parquet_row(struct parquet *p, struct wbuf *out)
{
    p->rows++;
    for (unsigned i = 0; i < p->conf.column_count; i++)
        column_end_row(&p->columns[i], p->rows);
    if (is_full(p))
        write_group(p, out);
}

/* --- the footer --- */

static void
describe_time(struct thrift *t)
{
    thrift_i32(t, 6, CONVERTED_TIMESTAMP_MICROS);
    thrift_begin(t, 10); /* LogicalType: a union has one field */
    thrift_begin(t, 8);
    thrift_bool(t, 1, true); /* UTC */
    thrift_begin(t, 2);
    thrift_empty(t, 2); /* MICROS */
    thrift_end(t);
    thrift_end(t);
    thrift_end(t);
}

static void
describe_text(struct thrift *t)
{
    thrift_i32(t, 6, CONVERTED_UTF8);
    thrift_begin(t, 10);
    thrift_empty(t, 1); /* STRING */
    thrift_end(t);
}

static void
write_schema(const struct parquet *p, struct thrift *t)
{
    thrift_list(t, 2, THRIFT_STRUCT, p->conf.column_count + 1);
    thrift_begin_element(t);
    thrift_binary(t, 4, slice_str("schema"));
    thrift_i32(t, 5, (int32_t)p->conf.column_count);
    thrift_end(t);
    for (unsigned i = 0; i < p->conf.column_count; i++) {
        const struct column *c = &p->columns[i];

        thrift_begin_element(t);
        thrift_i32(t, 1, column_physical(c));
        thrift_i32(t, 3, c->levels ? REPETITION_OPTIONAL : REPETITION_REQUIRED);
        thrift_binary(t, 4, slice_str(c->desc.name));
        if (c->desc.type == PARQUET_TIME_US)
            describe_time(t);
        else if (column_physical(c) == PHYSICAL_BYTE_ARRAY)
            describe_text(t);
        thrift_end(t);
    }
}

/* Bounds of statistics count only with the order that they follow: the type's own. */
static void
write_orders(const struct parquet *p, struct thrift *t)
{
    thrift_list(t, 7, THRIFT_STRUCT, p->conf.column_count);
    for (unsigned i = 0; i < p->conf.column_count; i++) {
        thrift_begin_element(t);
        thrift_empty(t, 1);
        thrift_end(t);
    }
}

void
parquet_finish(struct parquet *p, struct wbuf *out)
{
    struct thrift t = thrift_init(out);
    size_t start;

    if (p->rows > 0)
        write_group(p, out);
    if (p->at == 0)
        put_magic(p, out);
    start = out->len;
    thrift_i32(&t, 1, 2);
    write_schema(p, &t);
    thrift_i64(&t, 3, (int64_t)p->row_count);
    thrift_list(&t, 4, THRIFT_STRUCT, p->group_count);
    wbuf_slice(out, wbuf_slice_of(&p->groups));
    thrift_binary(&t, 6, slice_str(p->conf.created_by));
    write_orders(p, &t);
    thrift_end(&t);
    wbuf_le32(out, (uint32_t)(out->len - start));
    wbuf_str(out, MAGIC);
}
