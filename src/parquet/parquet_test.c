/* parquet_test.c -- the encodings against vectors and a reader of our own; where row groups end, how a file is framed.
 * That others read the files: tests/system/test_history.py (DuckDB, pyarrow). */
#include "parquet/parquet.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/rbuf.h"
#include "parquet/encode.h"
#include "parquet/thrift.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- encodings --- */

#define ASSERT_BYTES(w, ...)                                                                                           \
    do {                                                                                                               \
        static const uint8_t wanted[] = {__VA_ARGS__};                                                                 \
        assert_int_equal((w)->len, sizeof wanted);                                                                     \
        assert_memory_equal((w)->p, wanted, sizeof wanted);                                                            \
        wbuf_reset(w);                                                                                                 \
    } while (0)

static void
test_hybrid_vectors(void **state)
{
    const uint16_t same[10] = {0}, turns[8] = {0, 1, 0, 1, 0, 1, 0, 1}, counts[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const uint16_t wide[9] = {0x1234, 0x1234, 0x1234, 0x1234, 0x1234, 0x1234, 0x1234, 0x1234, 0x1234},
                   three[3] = {1, 0, 1};
    struct wbuf w = wbuf_init(0);

    (void)state;
    encode_hybrid(same, 10, 1, &w);
    ASSERT_BYTES(&w, 10 << 1, 0);
    encode_hybrid(turns, 8, 1, &w);
    ASSERT_BYTES(&w, 1 << 1 | 1, 0xAA);
    encode_hybrid(counts, 8, 3, &w); /* the example of Encodings.md */
    ASSERT_BYTES(&w, 1 << 1 | 1, 0x88, 0xC6, 0xFA);
    encode_hybrid(wide, 9, 13, &w);
    ASSERT_BYTES(&w, 9 << 1, 0x34, 0x12);
    encode_hybrid(three, 3, 1, &w); /* padded to eight */
    ASSERT_BYTES(&w, 1 << 1 | 1, 0x05);
    wbuf_free(&w);
}

static uint64_t
read_bits(const uint8_t *p, uint64_t at, unsigned width)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < width; i++, at++)
        v |= (uint64_t)(p[at / 8] >> (at % 8) & 1) << i;
    return v;
}

static size_t
decode_hybrid(struct slice s, unsigned width, uint16_t *out, size_t max)
{
    struct rbuf r = rbuf_init(s);
    size_t n = 0;

    while (rbuf_left(&r) > 0 && n < max) {
        uint64_t head = rbuf_varint(&r);
        size_t count = (size_t)(head >> 1) * (head & 1 ? 8 : 1);
        struct slice data = rbuf_take(&r, head & 1 ? count * width / 8 : (width + 7) / 8);

        assert_false(r.is_short);
        for (size_t i = 0; i < count && n < max; i++)
            out[n++] = (uint16_t)read_bits(data.p, head & 1 ? i * width : 0, width);
    }
    assert_int_equal(rbuf_left(&r), 0);
    return n;
}

static void
test_hybrid_comes_back(void **state)
{
    uint16_t values[3000], back[3000];
    uint64_t seed = 7;
    struct wbuf w = wbuf_init(0);

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        unsigned width = 1 + round % 16;
        size_t n = 1 + num_random(&seed) % MEM_COUNT(values), i = 0;

        while (i < n) { /* stretches of 1 to 30 equal values */
            uint16_t v = (uint16_t)(num_random(&seed) & ((1u << width) - 1));
            size_t run = round % 3 == 0 ? 1 : 1 + num_random(&seed) % 30;

            for (; run > 0 && i < n; run--)
                values[i++] = v;
        }
        wbuf_reset(&w);
        encode_hybrid(values, n, width, &w);
        assert_int_equal(decode_hybrid(wbuf_slice_of(&w), width, back, n), n);
        assert_memory_equal(values, back, n * sizeof *values);
    }
    wbuf_free(&w);
}

static void
test_delta_vectors(void **state)
{
    const uint64_t steady[] = {1, 2, 3, 4, 5}, example[] = {7, 5, 3, 1, 2, 3, 4, 5}; /* both of Encodings.md */
    struct wbuf w = wbuf_init(0);

    (void)state;
    encode_delta(steady, 5, &w);
    ASSERT_BYTES(&w, 0x80, 0x01, 4, 5, 2, 2, 0, 0, 0, 0);
    encode_delta(example, 8, &w); /* deltas -2 -2 -2 1 1 1 1 less -2: 0 0 0 3 3 3 3 in two bits */
    ASSERT_BYTES(&w, 0x80, 0x01, 4, 8, 14, 3, 2, 0, 0, 0, 0xC0, 0x3F, 0, 0, 0, 0, 0, 0);
    encode_delta(example, 1, &w);
    ASSERT_BYTES(&w, 0x80, 0x01, 4, 1, 14);
    wbuf_free(&w);
}

static void
decode_delta(struct slice s, uint64_t *out, size_t n)
{
    struct rbuf r = rbuf_init(s);
    size_t i = 1;

    assert_int_equal(rbuf_varint(&r), 128);
    assert_int_equal(rbuf_varint(&r), 4);
    assert_int_equal(rbuf_varint(&r), n);
    out[0] = (uint64_t)rbuf_svarint(&r);
    while (i < n) {
        uint64_t min = (uint64_t)rbuf_svarint(&r);
        struct slice widths = rbuf_take(&r, 4);

        for (unsigned part = 0; part < 4; part++) {
            struct slice data = rbuf_take(&r, widths.p[part] * 4u);

            for (unsigned k = 0; k < 32 && i < n; k++, i++)
                out[i] = out[i - 1] + min + read_bits(data.p, (uint64_t)k * widths.p[part], widths.p[part]);
        }
    }
    assert_int_equal(rbuf_finish(&r), NX_OK);
}

static void
test_delta_comes_back(void **state)
{
    uint64_t values[1000], back[1000], seed = 11;
    struct wbuf w = wbuf_init(0);

    (void)state;
    for (unsigned round = 0; round < 130; round++) {
        size_t n = 1 + num_random(&seed) % MEM_COUNT(values);

        values[0] = num_random(&seed);
        for (size_t i = 1; i < n; i++) /* steps of 0 to 64 bits, that wrap at the widest */
            values[i] = values[i - 1] + (round % 65 ? num_random(&seed) >> (64 - round % 65) : 1000);
        wbuf_reset(&w);
        encode_delta(values, n, &w);
        decode_delta(wbuf_slice_of(&w), back, n);
        assert_memory_equal(values, back, n * sizeof *values);
    }
    wbuf_free(&w);
}

static void
test_thrift_vectors(void **state)
{
    struct wbuf w = wbuf_init(0);
    struct thrift t = thrift_init(&w);

    (void)state;
    thrift_i32(&t, 1, -1);
    thrift_bool(&t, 3, true);
    thrift_begin(&t, 4);
    thrift_binary(&t, 1, slice_str("ab"));
    thrift_end(&t);
    thrift_empty(&t, 5);
    thrift_list(&t, 6, THRIFT_I32, 16);
    for (int i = 0; i < 16; i++)
        thrift_i32_element(&t, 1);
    thrift_i64(&t, 7, 64);
    thrift_end(&t);
    ASSERT_BYTES(&w, 0x15, 1, 0x21, 0x1C, 0x18, 2, 'a', 'b', 0, 0x1C, 0, 0x19, 0xF5, 16, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
                 2, 2, 2, 2, 2, 2, 0x16, 0x80, 0x01, 0);
    wbuf_free(&w);
}

/* --- files --- */

static const struct parquet_column columns[] = {
    {"time", PARQUET_TIME_US, false},
    {"name", PARQUET_LABEL, false},
    {"value", PARQUET_DOUBLE, true},
    {"text", PARQUET_TEXT, true},
};

static struct parquet *
new_file(uint32_t group_rows, size_t group_bytes)
{
    return parquet_new(&(struct parquet_conf){.columns = columns,
                                              .column_count = MEM_COUNT(columns),
                                              .group_rows = group_rows,
                                              .group_bytes = group_bytes,
                                              .zstd_level = 1,
                                              .created_by = "test"});
}

static void
put_row(struct parquet *p, int64_t time, const char *name, struct slice text, struct wbuf *out)
{
    parquet_i64(p, 0, time);
    parquet_text(p, 1, slice_str(name));
    if (text.len > 0)
        parquet_text(p, 3, text);
    else
        parquet_double(p, 2, 0.5);
    parquet_row(p, out);
}

static void
assert_framed(const struct wbuf *file)
{
    struct slice s = wbuf_slice_of(file);
    uint32_t footer;

    assert_true(s.len > 12);
    assert_memory_equal(s.p, "PAR1", 4);
    assert_memory_equal(s.p + s.len - 4, "PAR1", 4);
    footer = (uint32_t)s.p[s.len - 8] | (uint32_t)s.p[s.len - 7] << 8 | (uint32_t)s.p[s.len - 6] << 16;
    assert_true(footer > 0 && footer <= s.len - 12);
    assert_int_equal(s.p[s.len - 8 - footer], 0x15); /* field 1, i32: the version */
}

static void
test_empty_file(void **state)
{
    struct parquet *p = new_file(10, 1000);
    struct wbuf out = wbuf_init(0);

    (void)state;
    parquet_finish(p, &out);
    assert_framed(&out);
    parquet_free(&p);
    assert_null(p);
    wbuf_free(&out);
}

static void
test_groups_end_by_rows(void **state)
{
    struct parquet *p = new_file(3, 1u << 20);
    struct wbuf out = wbuf_init(0);
    size_t after[7];

    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        put_row(p, i, i < 4 ? "a" : "b", slice(NULL, 0), &out);
        after[i] = out.len;
    }
    assert_int_equal(after[1], 0);
    assert_true(after[2] > 0 && after[2] == after[4]);
    assert_true(after[5] > after[4] && after[6] == after[5]);
    parquet_finish(p, &out);
    assert_true(out.len > after[6]);
    assert_framed(&out);
    parquet_free(&p);
    wbuf_free(&out);
}

static void
test_groups_end_by_bytes(void **state)
{
    static const uint8_t text[4096] = {'x'};
    struct parquet *p = new_file(1u << 17, 16384);
    struct wbuf out = wbuf_init(0);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        put_row(p, i, "a", slice(text, sizeof text), &out);
    assert_int_equal(out.len, 0);
    put_row(p, 3, "a", slice(text, sizeof text), &out);
    assert_true(out.len > 0);
    parquet_free(&p); /* unfinished */
    wbuf_free(&out);
}

static void
test_group_ends_when_its_labels_are_used_up(void **state)
{
    struct parquet *p = new_file(1u << 17, 1u << 24);
    struct wbuf out = wbuf_init(0);
    char name[16];

    (void)state;
    for (unsigned i = 0; i < 65535; i++) {
        assert_int_equal(out.len, 0);
        (void)snprintf(name, sizeof name, "n%u", i);
        put_row(p, i, name, slice(NULL, 0), &out);
    }
    assert_true(out.len > 0);
    parquet_finish(p, &out);
    assert_framed(&out);
    parquet_free(&p);
    wbuf_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hybrid_vectors),
        cmocka_unit_test(test_hybrid_comes_back),
        cmocka_unit_test(test_delta_vectors),
        cmocka_unit_test(test_delta_comes_back),
        cmocka_unit_test(test_thrift_vectors),
        cmocka_unit_test(test_empty_file),
        cmocka_unit_test(test_groups_end_by_rows),
        cmocka_unit_test(test_groups_end_by_bytes),
        cmocka_unit_test(test_group_ends_when_its_labels_are_used_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
