/* thrift.h -- writer of Thrift's compact protocol, as far as Parquet needs it. Fields of a struct go in ascending
 * order. Pure. */
#ifndef PARQUET_THRIFT_H
#define PARQUET_THRIFT_H

#include "base/wbuf.h"

#define THRIFT_DEPTH 8

enum thrift_type {
    THRIFT_TRUE = 1,
    THRIFT_FALSE = 2,
    THRIFT_I32 = 5,
    THRIFT_I64 = 6,
    THRIFT_BINARY = 8,
    THRIFT_LIST = 9,
    THRIFT_STRUCT = 12,
};

/* Begins inside a struct. */
struct thrift {
    struct wbuf *out;
    unsigned depth, last[THRIFT_DEPTH]; /* field written last, by struct */
};

struct thrift thrift_init(struct wbuf *out);
void thrift_bool(struct thrift *t, unsigned field, bool v);
void thrift_i32(struct thrift *t, unsigned field, int32_t v);
void thrift_i64(struct thrift *t, unsigned field, int64_t v);
void thrift_binary(struct thrift *t, unsigned field, struct slice s);
/* A struct as a field; ends with thrift_end(). */
void thrift_begin(struct thrift *t, unsigned field);
/* A struct as an element of a list; ends with thrift_end(). */
void thrift_begin_element(struct thrift *t);
/* Ends the innermost struct, the outermost at last. */
void thrift_end(struct thrift *t);
/* A struct without fields. */
void thrift_empty(struct thrift *t, unsigned field);
/* The head of a list; its n elements follow: structs, or by the two functions below. */
void thrift_list(struct thrift *t, unsigned field, enum thrift_type type, size_t n);
void thrift_i32_element(struct thrift *t, int32_t v);
void thrift_binary_element(struct thrift *t, struct slice s);

#endif
