/* recorder_test.c -- the ring against a plain list, and the capture file block by block. */
#include "gateway/recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct kept {
    unsigned count;
    struct recorder_frame frames[4096];
    uint8_t first[4096], last[4096];
};

static struct kept kept;

static void
keep(void *arg, const struct recorder_frame *f)
{
    struct kept *k = arg;

    k->frames[k->count] = *f;
    k->first[k->count] = f->data.len ? f->data.p[0] : 0;
    k->last[k->count] = f->data.len ? f->data.p[f->data.len - 1] : 0;
    k->count++;
}

static void
keeps_the_newest_frames_in_order(void **state)
{
    struct recorder *r = recorder_new(1024);
    uint8_t data[300];
    unsigned n = 5000;

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        size_t len = i * 7 % sizeof data;
        memset(data, (int)(i & 0xFF), sizeof data);
        recorder_put(r, i % 2 ? RECORDER_IN : RECORDER_OUT, (int64_t)i, data, len);
    }
    kept.count = 0;
    recorder_each(r, keep, &kept);
    assert_int_equal(kept.count, recorder_count(r));
    assert_in_range(kept.count, 3, 60);
    for (unsigned i = 0; i < kept.count; i++) {
        unsigned at = n - kept.count + i;
        assert_int_equal(kept.frames[i].time_us, at);
        assert_int_equal(kept.frames[i].dir, at % 2 ? RECORDER_IN : RECORDER_OUT);
        assert_int_equal(kept.frames[i].data.len, at * 7 % sizeof data);
        if (kept.frames[i].data.len > 0) {
            assert_int_equal(kept.first[i], at & 0xFF);
            assert_int_equal(kept.last[i], at & 0xFF);
        }
    }
    recorder_free(&r);
}

static void
cuts_what_is_larger_than_half_the_ring(void **state)
{
    static uint8_t data[100000];
    struct recorder *r = recorder_new(256);

    (void)state;
    recorder_put(r, RECORDER_IN, 1, data, sizeof data);
    recorder_put(r, RECORDER_OUT, 2, data, 0);
    kept.count = 0;
    recorder_each(r, keep, &kept);
    assert_int_equal(kept.count, 2);
    assert_int_equal(kept.frames[0].full_len, sizeof data);
    assert_in_range(kept.frames[0].data.len, 64, 128);
    assert_int_equal(kept.frames[1].data.len, 0);
    recorder_free(&r);
}

static uint32_t
le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Walks the blocks; the types that were found are in types. */
static unsigned
walk(struct slice file, uint32_t types[16], size_t at[16])
{
    unsigned n = 0;
    size_t pos = 0;

    while (pos < file.len && n < 16) {
        uint32_t len = le32(file.p + pos + 4);
        assert_true(len >= 12 && len % 4 == 0 && pos + len <= file.len);
        assert_int_equal(le32(file.p + pos + len - 4), len);
        at[n] = pos;
        types[n++] = le32(file.p + pos);
        pos += len;
    }
    assert_int_equal(pos, file.len);
    return n;
}

static void
makes_a_capture_file(void **state)
{
    struct recorder *r = recorder_new(1024);
    struct wbuf out = wbuf_init(0);
    uint32_t types[16];
    size_t at[16];

    (void)state;
    recorder_put(r, RECORDER_OUT, 0x123456789ALL, (const uint8_t *)"abc", 3);
    recorder_put(r, RECORDER_IN, 0x12345678FFLL, (const uint8_t *)"defgh", 5);
    recorder_pcapng(r, 502, "why", &out);
    assert_int_equal(walk(wbuf_slice_of(&out), types, at), 4);
    assert_int_equal(types[0], 0x0A0D0D0A);
    assert_int_equal(types[1], 1);
    assert_int_equal(types[2], 6);
    assert_memory_equal(out.p + at[0] + 28, "why", 3);
    assert_int_equal(out.p[at[1] + 8], 101);
    const uint8_t *out_frame = out.p + at[2], *in_frame = out.p + at[3];
    assert_int_equal(le32(out_frame + 12), 0x12);
    assert_int_equal(le32(out_frame + 16), 0x3456789A);
    assert_int_equal(le32(out_frame + 20), 43);
    assert_memory_equal(out_frame + 28 + 40, "abc", 3);
    assert_int_equal(out_frame[28 + 22] << 8 | out_frame[28 + 23], 502); /* to the device */
    assert_int_equal(in_frame[28 + 20] << 8 | in_frame[28 + 21], 502);   /* from it */
    assert_int_equal(in_frame[28 + 31], 4);                              /* acknowledges the three bytes */
    assert_memory_equal(in_frame + 28 + 40, "defgh", 5);
    wbuf_reset(&out);
    recorder_pcapng(r, 0, "", &out);
    assert_int_equal(walk(wbuf_slice_of(&out), types, at), 4);
    assert_int_equal(out.p[at[1] + 8], 147);
    assert_memory_equal(out.p + at[2] + 28, "abc", 3);
    wbuf_free(&out);
    recorder_free(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_newest_frames_in_order),
        cmocka_unit_test(cuts_what_is_larger_than_half_the_ring),
        cmocka_unit_test(makes_a_capture_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
