/* history_test.c -- the formats of history byte by byte, and what they take for exact. */
#include "core/history.h"

#include "base/mem.h"
#include "base/rbuf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define T0 INT64_C(1767225600000000) /* 2026-01-01 */

static const struct history_topic force = {.index = 2, .tag = "press/force", .topic = "uns/press/force", .unit = "kN"};
static const struct history_topic first = {.tag = "=t", .topic = "=t", .unit = ""};
static const struct history_topic plain = {.index = 3, .tag = "=t", .topic = "=t", .unit = ""};

/* A document of rows of one topic. */
static void
write_all(const struct history_format *f, const struct history_ask *ask, const struct history_topic *topic,
          const struct history_row *rows, size_t n, struct wbuf *out)
{
    const struct history_summary summary = {.raw_count = n, .bucket_us = 1500, .has_more = true, .unit = topic->unit};
    void *state = f->open(ask, out);

    f->begin(state, topic);
    for (size_t i = 0; i < n; i++)
        assert_true(f->row(state, &rows[i]));
    f->end(state, &summary, NULL);
    f->finish(state);
    f->close(state);
}

static const struct history_row rows[] = {
    {.time_us = T0, .quality = NX_Q_GOOD, .value = {.type = NX_TYPE_DOUBLE, .d = -0.5}},
    {.time_us = T0 + 1, .quality = NX_Q_UNCERTAIN, .value = {.type = NX_TYPE_BOOL, .b = true}},
    {.time_us = T0 + 999999, .quality = NX_Q_GOOD, .value = {.type = NX_TYPE_STRING, .len = 6, .s = "-1 \"a\""}},
    {.time_us = T0 + 1000000, .quality = NX_Q_TIMEOUT, .value = {.type = NX_TYPE_DOUBLE, .d = 7}},
    {.time_us = T0 + 1001000, .quality = NX_Q_GOOD, .value = {.type = NX_TYPE_UINT, .u = UINT64_MAX}},
};

static void
assert_text(const struct history_format *f, enum history_time time, const struct history_topic *topic,
            const char *wanted)
{
    struct wbuf out = wbuf_init(0);

    write_all(f, &(struct history_ask){.time = time}, topic, rows, MEM_COUNT(rows), &out);
    assert_string_equal(wbuf_cstr(&out), wanted);
    wbuf_free(&out);
}

static void
csv_quotes_texts_and_disarms_them(void **state)
{
    (void)state;
    assert_text(&history_csv, HISTORY_TIME_RFC3339, &force,
                "time,topic,value,quality,unit\r\n"
                "2026-01-01T00:00:00.000000Z,\"uns/press/force\",-0.5,192,\"kN\"\r\n"
                "2026-01-01T00:00:00.000001Z,\"uns/press/force\",true,64,\"kN\"\r\n"
                "2026-01-01T00:00:00.999999Z,\"uns/press/force\",\"'-1 \"\"a\"\"\",192,\"kN\"\r\n"
                "2026-01-01T00:00:01.000000Z,\"uns/press/force\",,24,\"kN\"\r\n"
                "2026-01-01T00:00:01.001000Z,\"uns/press/force\",18446744073709551615,192,\"kN\"\r\n");
    assert_text(&history_csv, HISTORY_TIME_MS, &plain,
                "time,topic,value,quality,unit\r\n"
                "1767225600000,\"'=t\",-0.5,192,\r\n"
                "1767225600000.001,\"'=t\",true,64,\r\n"
                "1767225600999.999,\"'=t\",\"'-1 \"\"a\"\"\",192,\r\n"
                "1767225601000,\"'=t\",,24,\r\n"
                "1767225601001,\"'=t\",18446744073709551615,192,\r\n");
}

static void
ndjson_is_an_object_a_line(void **state)
{
    (void)state;
    assert_text(&history_ndjson, HISTORY_TIME_US, &plain,
                "{\"time\":1767225600000000,\"topic\":\"=t\",\"value\":-0.5,\"quality\":192}\n"
                "{\"time\":1767225600000001,\"topic\":\"=t\",\"value\":true,\"quality\":64}\n"
                "{\"time\":1767225600999999,\"topic\":\"=t\",\"value\":\"-1 \\\"a\\\"\",\"quality\":192}\n"
                "{\"time\":1767225601000000,\"topic\":\"=t\",\"value\":null,\"quality\":24}\n"
                "{\"time\":1767225601001000,\"topic\":\"=t\",\"value\":18446744073709551615,\"quality\":192}\n");
}

static void
times_before_1970_are_times(void **state)
{
    static const struct history_row old = {.time_us = -1, .quality = NX_Q_GOOD, .value = {.type = NX_TYPE_BOOL}};
    struct wbuf out = wbuf_init(0);

    (void)state;
    write_all(&history_ndjson, &(struct history_ask){0}, &plain, &old, 1, &out);
    write_all(&history_ndjson, &(struct history_ask){.time = HISTORY_TIME_MS}, &plain, &old, 1, &out);
    assert_string_equal(wbuf_cstr(&out),
                        "{\"time\":\"1969-12-31T23:59:59.999999Z\",\"topic\":\"=t\",\"value\":false,\"quality\":192}\n"
                        "{\"time\":-0.001,\"topic\":\"=t\",\"value\":false,\"quality\":192}\n");
    wbuf_free(&out);
}

static void
json_is_columns_with_a_head(void **state)
{
    (void)state;
    assert_text(&history_json, HISTORY_TIME_RFC3339, &first,
                "{\"fn\":\"raw\",\"from\":0,\"to\":0,\"series\":[{\"tag\":\"=t\",\"topic\":\"=t\",\"raw_count\":5,"
                "\"bucket_ms\":1.5,\"resolution\":\"auto\",\"truncated\":true,\"t\":[1767225600000,1767225600000.001,"
                "1767225600999.999,1767225601000,1767225601001],\"v\":[-0.5,true,\"-1 \\\"a\\\"\",null,"
                "18446744073709551615],\"q\":[192,64,192,24,192]}]}");
}

/* --- binary --- */

static double
read_double(struct rbuf *r)
{
    uint64_t bits = rbuf_le64(r);
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

/* The head of a block of so many rows; returns the size that the block still has. */
static size_t
open_rows(struct rbuf *r, uint32_t n, enum nx_type type, uint32_t text_size)
{
    size_t size;

    assert_int_equal(rbuf_le32(r), 2);
    size = rbuf_le32(r);
    assert_int_equal(rbuf_le32(r), force.index);
    assert_int_equal(rbuf_le32(r), n);
    assert_int_equal(rbuf_le32(r), type);
    assert_int_equal(rbuf_le32(r), text_size);
    return size - 16;
}

static void
assert_meta(struct rbuf *r, uint32_t kind, const char *wanted)
{
    assert_int_equal(rbuf_le32(r), kind);
    assert_memory_equal(rbuf_take(r, rbuf_le32(r)).p, wanted, strlen(wanted));
}

static void
binary_blocks_have_one_type(void **state)
{
    struct wbuf out = wbuf_init(0);
    struct rbuf r;

    (void)state;
    write_all(&history_binary, &(struct history_ask){0}, &force, rows, MEM_COUNT(rows), &out);
    r = rbuf_init(wbuf_slice_of(&out));
    assert_memory_equal(rbuf_take(&r, 8).p, "NXCOLS01", 8);
    assert_meta(&r, 1, "{\"index\":2,\"tag\":\"press/force\",\"topic\":\"uns/press/force\",\"unit\":\"kN\"}");

    assert_int_equal(open_rows(&r, 1, NX_TYPE_DOUBLE, 0), 24);
    assert_true(read_double(&r) == 1767225600000.0 && read_double(&r) == -0.5);
    assert_int_equal(rbuf_le64(&r), 192);
    assert_int_equal(open_rows(&r, 1, NX_TYPE_BOOL, 0), 24);
    assert_true(read_double(&r) == 1767225600000.001 && read_double(&r) == 1);
    assert_int_equal(rbuf_le64(&r), 64);
    assert_int_equal(open_rows(&r, 1, NX_TYPE_STRING, 6), 32);
    assert_true(read_double(&r) == 1767225600999.999);
    assert_int_equal(rbuf_le32(&r), 0);
    assert_int_equal(rbuf_le32(&r), 6);
    assert_memory_equal(rbuf_take(&r, 8).p, "-1 \"a\"\0", 8);
    assert_int_equal(rbuf_le64(&r), 192);
    assert_int_equal(open_rows(&r, 1, NX_TYPE_DOUBLE, 0), 24);
    assert_true(read_double(&r) == 1767225601000.0 && isnan(read_double(&r)));
    assert_int_equal(rbuf_le64(&r), 24);
    assert_int_equal(open_rows(&r, 1, NX_TYPE_UINT, 0), 24);
    assert_true(read_double(&r) == 1767225601001.0 && rbuf_le64(&r) == UINT64_MAX);
    assert_int_equal(rbuf_le64(&r), 192);

    assert_meta(&r, 3, "{\"index\":2,\"raw_count\":5,\"bucket_ms\":1.5,\"resolution\":\"auto\",\"truncated\":true}");
    assert_meta(&r, 4, "{\"rows\":5}");
    assert_int_equal(rbuf_finish(&r), NX_OK);
    wbuf_free(&out);
}

/* --- values --- */

static void
integers_are_exact_up_to_2_to_the_53(void **state)
{
    const int64_t edge = INT64_C(1) << 53;
    const struct nx_value good[] = {nx_value_int(edge), nx_value_int(-edge), nx_value_uint((uint64_t)edge),
                                    nx_value_bool(true), nx_value_double(1e300)};
    const struct nx_value bad[] = {nx_value_int(edge + 1), nx_value_int(-edge - 1), nx_value_uint((uint64_t)edge + 1),
                                   nx_value_string("5", 1), nx_value_none()};
    double v;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(good); i++)
        assert_true(history_exact_double(&good[i], &v));
    for (size_t i = 0; i < MEM_COUNT(bad); i++)
        assert_false(history_exact_double(&bad[i], &v));
}

static void
damaged_texts_become_valid(void **state)
{
    const struct nx_value bad = nx_value_string("a\xFF\xC3", 3), good = nx_value_string("\xC3\xA4", 2);
    struct wbuf scratch = wbuf_init(0);

    (void)state;
    assert_true(slice_eq_str(history_text(&bad, &scratch), "a\xEF\xBF\xBD\xEF\xBF\xBD"));
    assert_ptr_equal(history_text(&good, &scratch).p, good.s);
    wbuf_free(&scratch);
}

/* None of the formats has a place for them; Parquet's writer takes none. */
static void
what_is_not_finite_is_no_value(void **state)
{
    const double odd[] = {NAN, INFINITY, -INFINITY};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(odd); i++) {
        struct history_row row = {.time_us = T0, .quality = NX_Q_GOOD, .value = nx_value_double(odd[i])};
        struct wbuf out = wbuf_init(0);

        assert_false(history_has_value(&row));
        write_all(&history_parquet, &(struct history_ask){0}, &force, &row, 1, &out);
        assert_true(out.len > 0);
        wbuf_free(&out);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_quotes_texts_and_disarms_them), cmocka_unit_test(ndjson_is_an_object_a_line),
        cmocka_unit_test(times_before_1970_are_times),       cmocka_unit_test(json_is_columns_with_a_head),
        cmocka_unit_test(binary_blocks_have_one_type),       cmocka_unit_test(integers_are_exact_up_to_2_to_the_53),
        cmocka_unit_test(damaged_texts_become_valid),        cmocka_unit_test(what_is_not_finite_is_no_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
