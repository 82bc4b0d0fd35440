/* column.h -- one column of a row group: cells while it fills, pages and their description when it is full. */
#ifndef PARQUET_COLUMN_H
#define PARQUET_COLUMN_H

#include "parquet/parquet.h"
#include "parquet/thrift.h"

#include <uthash.h>
#include <zstd.h>

/* Values of the format: parquet.thrift. */
enum parquet_physical { PHYSICAL_INT32 = 1, PHYSICAL_INT64 = 2, PHYSICAL_DOUBLE = 5, PHYSICAL_BYTE_ARRAY = 6 };

#define LABELS_MAX 65535u

struct label {
    UT_hash_handle hh;
    uint16_t key;
    size_t len;
    char text[];
};

struct column {
    struct parquet_column desc;
    uint64_t *cells;  /* [group_rows] of numbers, as bits */
    uint16_t *keys;   /* [group_rows] of labels */
    struct wbuf text; /* PLAIN texts, or those of the dictionary */
    uint16_t *levels; /* [group_rows] when optional: 1 where a value is */
    uint32_t count;   /* of values, without nulls */
    uint32_t rows;    /* with nulls; the row under way counts when its cell was put */

    struct label *labels; /* hash by text */
    struct label *newest, *smallest, *largest;
    unsigned label_count;
};

/* What pages need, and what they share. */
struct page_maker {
    ZSTD_CCtx *zstd;
    int level;
    struct wbuf raw, packed; /* scratch */
};

/* What the footer says of a column in a row group. */
struct chunk_sizes {
    uint64_t at;          /* where it begins in the file */
    uint64_t data_at;     /* its data page; the dictionary comes first */
    uint64_t raw, packed; /* with page headers */
};

void column_init(struct column *c, const struct parquet_column *desc, uint32_t group_rows);
void column_fini(struct column *c);
void column_reset(struct column *c);
enum parquet_physical column_physical(const struct column *c);

void column_put_bits(struct column *c, uint64_t bits);
void column_put_text(struct column *c, struct slice s);
/* A null unless the row has its cell. rows: with the row under way. */
void column_end_row(struct column *c, uint32_t rows);

/* Appends the pages; at is the place of the first in the file. */
void column_write_pages(const struct column *c, struct page_maker *m, uint64_t at, struct wbuf *out,
                        struct chunk_sizes *sizes);
/* The ColumnMetaData as field 3 of a ColumnChunk. */
void column_write_meta(const struct column *c, const struct chunk_sizes *sizes, struct thrift *t);

#endif
