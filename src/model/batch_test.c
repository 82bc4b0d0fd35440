#include "model/batch.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/num.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SERIES 6

static const struct series series[SERIES] = {
#define S(topic, tag, unit, type)                                                                                      \
    {                                                                                                                  \
        {(const uint8_t *)topic, sizeof(topic) - 1}, {(const uint8_t *)"plc-1", 5},                                    \
            {(const uint8_t *)tag, sizeof(tag) - 1}, {(const uint8_t *)unit, sizeof(unit) - 1}, type                   \
    }
    S("uns/plant/line1/temp", "temp", "°C", NX_TYPE_DOUBLE),
    S("uns/plant/line1/tempo", "tempo", "°C", NX_TYPE_DOUBLE),
    S("uns/plant/line1/running", "running", "", NX_TYPE_BOOL),
    S("uns/plant/line2/count", "count", "pcs", NX_TYPE_INT),
    S("uns/plant/line2/total", "total", "pcs", NX_TYPE_UINT),
    S("x", "s", "", NX_TYPE_STRING),
#undef S
};

static const struct batch_header hdr = {{(const uint8_t *)"gw-1", 4}, 77, 3, 123456789};

static struct nx_value
random_value(unsigned type, uint64_t *seed)
{
    static const char text[] = "Zustand: läuft, ganz ruhig";

    switch (type) {
    case NX_TYPE_BOOL:
        return nx_value_bool(num_random(seed) % 2);
    case NX_TYPE_INT:
        return nx_value_int((int64_t)num_random(seed) >> (num_random(seed) % 64));
    case NX_TYPE_UINT:
        return nx_value_uint(num_random(seed) >> (num_random(seed) % 64));
    case NX_TYPE_DOUBLE:
        return nx_value_double(num_random_unit(seed) * 1e6 - 5e5);
    case NX_TYPE_STRING:
        return nx_value_string(text, num_random(seed) % 10);
    default:
        return nx_value_none();
    }
}

static void
random_points(struct point *p, unsigned n, uint64_t seed)
{
    int64_t now = 1700000000000000;

    for (unsigned i = 0; i < n; i++) {
        unsigned s = (unsigned)(num_random(&seed) % 4 ? i % SERIES : num_random(&seed) % SERIES);
        bool is_odd = num_random(&seed) % 8 == 0;

        now += num_random(&seed) % 3 ? 0 : (int64_t)(num_random(&seed) % 2000000) - 500000;
        p[i] = (struct point){.series = s, .time_us = now, .gateway_us = now + (int64_t)(num_random(&seed) % 2) * 1500};
        p[i].quality = is_odd ? (uint16_t)(num_random(&seed) % 256) : NX_Q_GOOD;
        p[i].value = random_value(is_odd ? (unsigned)(num_random(&seed) % 6) : series[s].data_type, &seed);
    }
}

/* Caller's keys are not dictionary indexes: here they are spread and backwards. */
static uint32_t
key_of(uint32_t s)
{
    return 5000 - s * 700;
}

static void
encode(struct batch_writer *bw, const struct point *p, unsigned n, bool compress, struct wbuf *out)
{
    for (unsigned i = 0; i < n; i++)
        assert_true(batch_writer_add(bw, key_of(p[i].series), &series[p[i].series], &p[i]));
    assert_int_equal(batch_writer_count(bw), n);
    wbuf_reset(out);
    assert_int_equal(batch_writer_finish(bw, &hdr, compress, out), NX_OK);
    assert_int_equal(batch_writer_count(bw), 0);
}

static void
check_points(const struct batch *b, const struct point *p, unsigned n)
{
    assert_int_equal(b->point_count, n);
    for (unsigned i = 0; i < n; i++) {
        const struct series *s = &b->series[b->points[i].series], *want = &series[p[i].series];

        assert_true(slice_eq(s->topic, want->topic) && slice_eq(s->tag_id, want->tag_id));
        assert_true(slice_eq(s->device_id, want->device_id) && slice_eq(s->unit, want->unit));
        assert_int_equal(s->data_type, want->data_type);
        assert_int_equal(b->points[i].quality, p[i].quality);
        assert_int_equal(b->points[i].time_us, p[i].time_us);
        assert_int_equal(b->points[i].gateway_us, p[i].gateway_us);
        assert_true(value_eq(&b->points[i].value, &p[i].value));
    }
}

static void
what_is_written_reads_back(void **state)
{
    static struct point p[3000];
    struct batch_writer *bw = batch_writer_new();
    struct wbuf out = wbuf_init(0);
    struct arena a = {0};
    struct nx_note why;
    struct batch b;

    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        unsigned n = round < 10 ? round : round * 50;

        random_points(p, n, round + 1);
        encode(bw, p, n, round % 2, &out);
        assert_int_equal(batch_decode(wbuf_slice_of(&out), &a, &b, &why), NX_OK);
        assert_true(slice_eq(b.hdr.gateway, hdr.gateway) && !b.is_gap);
        assert_int_equal(b.hdr.epoch, hdr.epoch);
        assert_int_equal(b.hdr.lane, hdr.lane);
        assert_int_equal(b.hdr.seq, hdr.seq);
        check_points(&b, p, n);
        arena_reset(&a);
    }
    arena_free(&a);
    wbuf_free(&out);
    batch_writer_free(&bw);
}

static void
extreme_times_and_values(void **state)
{
    static const int64_t times[] = {INT64_MIN, INT64_MAX, 0, -1, 1, INT64_MAX, INT64_MIN};
    struct point p[7];
    struct batch_writer *bw = batch_writer_new();
    struct wbuf out = wbuf_init(0);
    struct arena a = {0};
    struct batch b;

    (void)state;
    for (unsigned i = 0; i < 7; i++)
        p[i] = (struct point){.series = 3,
                              .time_us = times[i],
                              .gateway_us = times[6 - i],
                              .value = nx_value_int(times[i])};
    encode(bw, p, 7, false, &out);
    assert_int_equal(batch_decode(wbuf_slice_of(&out), &a, &b, NULL), NX_OK);
    check_points(&b, p, 7);

    p[0].value = nx_value_double(NAN);
    wbuf_reset(&out);
    assert_true(batch_writer_add(bw, 1, &series[0], &p[0]));
    assert_int_equal(batch_writer_finish(bw, &hdr, false, &out), NX_OK);
    assert_int_equal(batch_decode(wbuf_slice_of(&out), &a, &b, NULL), NX_OK);
    assert_int_equal(b.points[0].value.type, NX_TYPE_NONE);
    assert_int_equal(b.points[0].quality, NX_Q_SENSOR_FAILURE);
    arena_free(&a);
    wbuf_free(&out);
    batch_writer_free(&bw);
}

/* An exact allocation, so that a read past the end is seen. */
static enum nx_err
decode_copy(const uint8_t *p, size_t len, struct arena *a)
{
    uint8_t *copy = mem_alloc(len ? len : 1);
    struct batch b;
    struct batch_header h;
    uint32_t points = 0;

    memcpy(copy, p, len);
    enum nx_err err = batch_decode(slice(copy, len), a, &b, NULL);
    if (err == NX_OK) {
        assert_int_equal(NX_OK, batch_peek(slice(copy, len), &h, &points, NULL));
        assert_int_equal(b.point_count, points);
        assert_int_equal(b.hdr.seq, h.seq);
    } else {
        (void)!batch_peek(slice(copy, len), &h, &points, NULL);
    }
    free(copy);
    arena_reset(a);
    return err;
}

static void
every_truncation_and_flip_is_refused(void **state)
{
    struct point p[20];
    struct batch_writer *bw = batch_writer_new();
    struct wbuf out = wbuf_init(0);
    struct arena a = {0};

    (void)state;
    for (int compress = 0; compress < 2; compress++) {
        random_points(p, 20, 9);
        encode(bw, p, 20, compress, &out);
        for (size_t cut = 0; cut < out.len; cut++)
            assert_int_not_equal(decode_copy(out.p, cut, &a), NX_OK);
        for (size_t bit = 0; bit < out.len * 8; bit++) {
            out.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(decode_copy(out.p, out.len, &a), NX_OK);
            out.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    arena_free(&a);
    wbuf_free(&out);
    batch_writer_free(&bw);
}

/* Damage that carries a right checksum: nothing may be read past the end, and what is accepted must be sound. */
static void
forged_records_are_contained(void **state)
{
    struct point p[20];
    struct batch_writer *bw = batch_writer_new();
    struct wbuf out = wbuf_init(0);
    struct arena a = {0};
    struct batch b;
    uint64_t seed = 3;

    (void)state;
    random_points(p, 20, 11);
    for (unsigned round = 0; round < 20000; round++) {
        encode(bw, p, 20, false, &out);
        size_t len = out.len - 4 - (round % 3 ? 0 : num_random(&seed) % 64);
        for (unsigned k = 0; k <= round % 4; k++)
            out.p[num_random(&seed) % len] = (uint8_t)num_random(&seed);
        uint8_t *copy = mem_alloc(len + 4);
        memcpy(copy, out.p, len);
        uint32_t crc = crc32c(0, copy, len);
        for (unsigned i = 0; i < 4; i++)
            copy[len + i] = (uint8_t)(crc >> (8 * i));
        if (batch_decode(slice(copy, len + 4), &a, &b, NULL) == NX_OK && !b.is_gap) {
            for (uint32_t i = 0; i < b.point_count; i++) {
                assert_true(b.points[i].series < b.series_count);
                assert_true(b.points[i].value.type != NX_TYPE_DOUBLE || isfinite(b.points[i].value.d));
            }
        }
        free(copy);
        arena_reset(&a);
    }
    arena_free(&a);
    wbuf_free(&out);
    batch_writer_free(&bw);
}

static void
newer_versions_and_features_say_so(void **state)
{
    struct batch_writer *bw = batch_writer_new();
    struct wbuf out = wbuf_init(0);
    struct arena a = {0};
    struct nx_note why;
    struct batch b;

    (void)state;
    assert_int_equal(batch_writer_finish(bw, &hdr, false, &out), NX_OK);
    out.p[4] = 2;
    assert_int_equal(batch_decode(wbuf_slice_of(&out), &a, &b, &why), NX_E_UNSUPPORTED);
    assert_non_null(strstr(why.text, "version 2"));
    out.p[4] = 1;
    out.p[5] = 0x80;
    assert_int_equal(batch_decode(wbuf_slice_of(&out), &a, &b, &why), NX_E_UNSUPPORTED);
    out.p[0] = 'X';
    assert_int_equal(batch_decode(wbuf_slice_of(&out), &a, &b, &why), NX_E_PROTO);
    arena_free(&a);
    wbuf_free(&out);
    batch_writer_free(&bw);
}

static void
a_full_writer_refuses_and_still_finishes(void **state)
{
    struct batch_writer *bw = batch_writer_new();
    struct wbuf out = wbuf_init(0);
    struct arena a = {0};
    struct point p = {.value = nx_value_int(1), .quality = NX_Q_GOOD};
    char text[NX_STRING_MAX];
    struct batch b;
    unsigned n = 0;

    (void)state;
    while (batch_writer_add(bw, 0, &series[3], &p))
        n++;
    assert_int_equal(n, BATCH_MAX_POINTS);
    assert_int_equal(batch_writer_finish(bw, &hdr, true, &out), NX_OK);
    assert_int_equal(batch_decode(wbuf_slice_of(&out), &a, &b, NULL), NX_OK);
    assert_int_equal(b.point_count, BATCH_MAX_POINTS);
    memset(text, 'x', sizeof text);
    p.value = nx_value_string(text, sizeof text);
    for (n = 0; batch_writer_add(bw, 0, &series[5], &p);)
        n++;
    assert_true(n > 1900 && n < 2048);
    wbuf_reset(&out);
    arena_reset(&a);
    assert_int_equal(batch_writer_finish(bw, &hdr, false, &out), NX_OK);
    assert_true(out.len <= BATCH_MAX_BYTES);
    assert_int_equal(batch_decode(wbuf_slice_of(&out), &a, &b, NULL), NX_OK);
    assert_int_equal(b.point_count, n);
    arena_free(&a);
    wbuf_free(&out);
    batch_writer_free(&bw);
}

static void
gaps_read_back(void **state)
{
    struct batch_gap gap = {5, 9, 1234, 1700000000000000, 1700000100000000, NX_E_DISK_FULL};
    struct wbuf out = wbuf_init(0);
    struct arena a = {0};
    struct batch b;

    (void)state;
    assert_int_equal(batch_encode_gap(&hdr, &gap, &out), NX_OK);
    assert_int_equal(batch_decode(wbuf_slice_of(&out), &a, &b, NULL), NX_OK);
    assert_true(b.is_gap && b.point_count == 0);
    assert_int_equal(b.gap.from_seq, 5);
    assert_int_equal(b.gap.to_seq, 9);
    assert_int_equal(b.gap.points, 1234);
    assert_int_equal(b.gap.from_us, gap.from_us);
    assert_int_equal(b.gap.to_us, gap.to_us);
    assert_int_equal(b.gap.cause, NX_E_DISK_FULL);
    for (size_t cut = 0; cut < out.len; cut++)
        assert_int_not_equal(decode_copy(out.p, cut, &a), NX_OK);
    arena_free(&a);
    wbuf_free(&out);
}

static void
acknowledgements_read_back(void **state)
{
    static const char *const faults[] = {
        "",
        "{",
        "[]",
        "{\"epoch\":1,\"lane\":0}",
        "{\"epoch\":-1,\"lane\":0,\"committed\":[]}",
        "{\"epoch\":1,\"lane\":256,\"committed\":[]}",
        "{\"epoch\":1,\"lane\":0,\"committed\":[[2,1]]}",
        "{\"epoch\":1,\"lane\":0,\"committed\":[[1]]}",
        "{\"epoch\":1,\"lane\":0,\"committed\":[[1,1.5]]}",
        "{\"epoch\":1,\"lane\":0,\"committed\":1}",
    };
    struct batch_ack ack = {.epoch = INT64_MAX, .lane = 2, .count = 2, .committed = {{1, 5}, {9, 9}}}, back;
    struct wbuf w = wbuf_init(0);

    (void)state;
    batch_ack_encode(&w, &ack);
    assert_string_equal(wbuf_cstr(&w), "{\"epoch\":9223372036854775807,\"lane\":2,\"committed\":[[1,5],[9,9]]}");
    assert_int_equal(batch_ack_decode(wbuf_slice_of(&w), &back, NULL), NX_OK);
    assert_memory_equal(&ack, &back, sizeof ack);
    for (size_t cut = 0; cut < w.len; cut++)
        assert_int_equal(batch_ack_decode(slice(w.p, cut), &back, NULL), NX_E_PROTO);
    for (size_t i = 0; i < MEM_COUNT(faults); i++) {
        struct nx_note why = {0};

        assert_int_equal(batch_ack_decode(slice_str(faults[i]), &back, &why), NX_E_PROTO);
        assert_true(why.text[0] != '\0');
    }
    wbuf_free(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(extreme_times_and_values),
        cmocka_unit_test(every_truncation_and_flip_is_refused),
        cmocka_unit_test(forged_records_are_contained),
        cmocka_unit_test(newer_versions_and_features_say_so),
        cmocka_unit_test(a_full_writer_refuses_and_still_finishes),
        cmocka_unit_test(gaps_read_back),
        cmocka_unit_test(acknowledgements_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
