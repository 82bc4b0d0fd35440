/* parquet.h -- writes Apache Parquet files as a stream: rows in, bytes out. Flat columns, one page each per row group,
 * ZSTD, statistics. Pure; one thread.
 *
 * Memory: the columns of one row group (8 bytes a number, texts as they are, group_bytes of them at most) and some 700
 * bytes of the footer for each group that was written. */
#ifndef PARQUET_PARQUET_H
#define PARQUET_PARQUET_H

#include "base/wbuf.h"

struct parquet;

enum parquet_type {
    PARQUET_INT32,
    PARQUET_TIME_US, /* INT64, TIMESTAMP(MICROS, UTC), DELTA_BINARY_PACKED */
    PARQUET_DOUBLE,
    PARQUET_TEXT,  /* BYTE_ARRAY, STRING */
    PARQUET_LABEL, /* the same for few different texts: a dictionary per row group */
};

struct parquet_column {
    const char *name;
    enum parquet_type type;
    bool is_optional;
};

struct parquet_conf {
    const struct parquet_column *columns; /* borrowed, like the texts */
    unsigned column_count;
    uint32_t group_rows; /* at most 2^24 */
    size_t group_bytes;  /* texts of a row group, before compression; it may be one row more */
    int zstd_level;
    const char *created_by;
};

/* Never NULL. Free with parquet_free(). */
struct parquet *parquet_new(const struct parquet_conf *conf);
void parquet_free(struct parquet **p);

/* The cells of a row, each column once, in any order; texts are copied. Missing ones are null: the column must be
 * optional. Doubles are not NaN. */
void parquet_i64(struct parquet *p, unsigned column, int64_t v); /* INT32 and TIME_US */
void parquet_double(struct parquet *p, unsigned column, double v);
void parquet_text(struct parquet *p, unsigned column, struct slice s);
/* Ends the row; appends to out what is complete: nothing, or a row group. */
void parquet_row(struct parquet *p, struct wbuf *out);
/* Appends the rest. No further rows. */
void parquet_finish(struct parquet *p, struct wbuf *out);

#endif
