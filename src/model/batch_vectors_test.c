/* Vectors that were made by tests/vectors/batch/make.py, which shares no code with ours: read, and written again byte
 * by byte the same. */
#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "model/batch.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const type_names[] = {"none", "bool", "int", "uint", "double", "string"};

static struct slice
text_of(const json_t *map, const char *key)
{
    return slice_str(json_string_value(json_object_get(map, key)));
}

static int64_t
int_of(const json_t *map, const char *key)
{
    return json_integer_value(json_object_get(map, key));
}

static unsigned
type_of(const json_t *map, const char *key)
{
    for (unsigned i = 0; i < MEM_COUNT(type_names); i++) {
        if (slice_eq_str(text_of(map, key), type_names[i]))
            return i;
    }
    fail_msg("unknown type");
    return 0;
}

static struct nx_value
value_of(const json_t *p)
{
    const json_t *v = json_object_get(p, "value");
    uint64_t u = 0;

    switch (type_of(p, "type")) {
    case NX_TYPE_BOOL:
        return nx_value_bool(json_is_true(v));
    case NX_TYPE_INT:
        return nx_value_int(json_integer_value(v));
    case NX_TYPE_UINT:
        assert_true(num_u64(slice_str(json_string_value(v)), &u));
        return nx_value_uint(u);
    case NX_TYPE_DOUBLE:
        return nx_value_double(json_real_value(v));
    case NX_TYPE_STRING:
        return nx_value_string(json_string_value(v), json_string_length(v));
    default:
        return nx_value_none();
    }
}

static void
check_series(const struct batch *b, const json_t *list)
{
    assert_int_equal(b->series_count, json_array_size(list));
    for (size_t i = 0; i < b->series_count; i++) {
        const json_t *want = json_array_get(list, i);

        assert_true(slice_eq(b->series[i].topic, text_of(want, "topic")));
        assert_true(slice_eq(b->series[i].device_id, text_of(want, "device_id")));
        assert_true(slice_eq(b->series[i].tag_id, text_of(want, "tag_id")));
        assert_true(slice_eq(b->series[i].unit, text_of(want, "unit")));
        assert_int_equal(b->series[i].data_type, type_of(want, "data_type"));
    }
}

static void
check_points(const struct batch *b, const json_t *list)
{
    assert_int_equal(b->point_count, json_array_size(list));
    for (size_t i = 0; i < b->point_count; i++) {
        const json_t *want = json_array_get(list, i);
        struct nx_value v = value_of(want);

        assert_int_equal(b->points[i].series, int_of(want, "series"));
        assert_int_equal(b->points[i].time_us, int_of(want, "time_us"));
        assert_int_equal(b->points[i].gateway_us, int_of(want, "gateway_us"));
        assert_int_equal(b->points[i].quality, int_of(want, "quality"));
        assert_true(value_eq(&b->points[i].value, &v));
    }
}

static void
check_gap(const struct batch *b, const json_t *want)
{
    assert_int_equal(b->gap.from_seq, int_of(want, "from_seq"));
    assert_int_equal(b->gap.to_seq, int_of(want, "to_seq"));
    assert_int_equal(b->gap.points, int_of(want, "points"));
    assert_int_equal(b->gap.from_us, int_of(want, "from_us"));
    assert_int_equal(b->gap.to_us, int_of(want, "to_us"));
    assert_true(slice_eq_str(text_of(want, "cause"), nx_err_name(b->gap.cause)));
}

static void
check_written_again(const struct batch *b, struct slice bytes)
{
    struct batch_writer *bw = batch_writer_new();
    struct wbuf out = wbuf_init(0);

    if (b->is_gap)
        assert_int_equal(batch_encode_gap(&b->hdr, &b->gap, &out), NX_OK);
    for (uint32_t i = 0; i < b->point_count; i++)
        assert_true(batch_writer_add(bw, b->points[i].series, &b->series[b->points[i].series], &b->points[i]));
    if (!b->is_gap)
        assert_int_equal(batch_writer_finish(bw, &b->hdr, false, &out), NX_OK);
    assert_true(slice_eq(wbuf_slice_of(&out), bytes));
    wbuf_free(&out);
    batch_writer_free(&bw);
}

static void
check_vector(const char *name)
{
    char *json_path = mem_printf("%s/tests/vectors/batch/%s.json", NX_SOURCE_DIR, name);
    char *bin_path = mem_printf("%s/tests/vectors/batch/%s.bin", NX_SOURCE_DIR, name);
    json_t *want = json_load_file(json_path, 0, NULL);
    struct arena a = {0};
    struct nx_note why;
    struct batch b;
    char *bytes;
    size_t len;

    assert_non_null(want);
    assert_int_equal(file_read(bin_path, 1 << 20, &bytes, &len, &why), NX_OK);
    assert_int_equal(batch_decode(slice(bytes, len), &a, &b, &why), NX_OK);
    assert_true(slice_eq(b.hdr.gateway, text_of(want, "gateway")));
    assert_int_equal(b.hdr.epoch, int_of(want, "epoch"));
    assert_int_equal(b.hdr.lane, int_of(want, "lane"));
    assert_int_equal(b.hdr.seq, int_of(want, "seq"));
    if (b.is_gap)
        check_gap(&b, json_object_get(want, "gap"));
    else
        check_series(&b, json_object_get(want, "series"));
    check_points(&b, json_object_get(want, "points"));
    check_written_again(&b, slice(bytes, len));
    arena_free(&a);
    json_decref(want);
    free(bytes);
    free(json_path);
    free(bin_path);
}

static void
every_vector_reads_and_writes(void **state)
{
    static const char *const names[] = {"empty", "one", "every_type", "bad_and_odd_types", "runs", "gap"};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(names); i++)
        check_vector(names[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_reads_and_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
