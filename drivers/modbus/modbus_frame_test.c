/* MBAP frames are tested with the codec; here RTU: vectors of MODBUS over Serial Line V1.02 and of the field. */
#include "modbus_frame.h"

#include "base/mem.h"
#include "base/wbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define FRAME(text)                                                                                                    \
    {                                                                                                                  \
        (const uint8_t *)text, sizeof text - 1                                                                         \
    }

static void
checksums(void **state)
{
    static const struct {
        struct slice bytes;
        uint16_t crc;
    } rows[] = {
        {FRAME(""), 0xFFFF},
        {FRAME("123456789"), 0x4B37}, /* the check value of CRC-16/MODBUS */
        {FRAME("\x02\x07"), 0x1241},  /* SL appendix B: sent as 41 12 */
        {FRAME("\x01\x03\x00\x00\x00\x0A"), 0xCDC5},
        {FRAME("\x11\x03\x00\x6B\x00\x03"), 0x8776},
        {FRAME("\x11\x05\x00\xAC\xFF\x00"), 0x8B4E},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++)
        assert_int_equal(modbus_crc(rows[i].bytes), rows[i].crc);
}

/* Replies of each function, with their checksums. */
static const struct slice replies[] = {
    FRAME("\x11\x01\x05\xCD\x6B\xB2\x0E\x1B\x45\xE6"),
    FRAME("\x11\x02\x03\xAC\xDB\x35\x20\x18"),
    FRAME("\x11\x03\x06\xAE\x41\x56\x52\x43\x40\x49\xAD"),
    FRAME("\x11\x04\x02\x00\x0A\xF8\xF4"),
    FRAME("\x11\x05\x00\xAC\xFF\x00\x4E\x8B"),
    FRAME("\x11\x06\x00\x01\x00\x03\x9A\x9B"),
    FRAME("\x11\x0F\x00\x13\x00\x0A\x26\x99"),
    FRAME("\x11\x10\x00\x01\x00\x02\x12\x98"),
    FRAME("\x0A\x81\x02\xB0\x53"),
};

static void
frames_end_where_their_function_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < MEM_COUNT(replies); i++) {
        struct modbus_frame frame;
        struct slice in;

        for (size_t have = 0; have < replies[i].len; have++) {
            uint8_t *copy = (uint8_t *)mem_strndup(replies[i].p, have);
            in = slice(copy, have);
            assert_int_equal(modbus_frame_next(MODBUS_RTU, &in, &frame), NX_E_MORE);
            assert_int_equal(in.len, have);
            free(copy);
        }
        in = replies[i];
        assert_int_equal(modbus_frame_next(MODBUS_RTU, &in, &frame), NX_OK);
        assert_int_equal(in.len, 0);
        assert_int_equal(frame.unit, replies[i].p[0]);
        assert_int_equal(frame.pdu.len, replies[i].len - 3);
        assert_int_equal(frame.tid, 0);
    }
}

static void
two_frames_in_a_row(void **state)
{
    struct wbuf w = wbuf_init(0);
    struct modbus_frame frame;
    struct slice in;

    (void)state;
    wbuf_slice(&w, replies[2]);
    wbuf_slice(&w, replies[8]);
    in = wbuf_slice_of(&w);
    assert_int_equal(modbus_frame_next(MODBUS_RTU, &in, &frame), NX_OK);
    assert_int_equal(frame.unit, 0x11);
    assert_int_equal(modbus_frame_next(MODBUS_RTU, &in, &frame), NX_OK);
    assert_int_equal(frame.unit, 0x0A);
    wbuf_free(&w);
}

/* CRC-16 finds every error of up to 16 bits in a row; a length that grew makes us wait, which is no frame either. */
static void
every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < MEM_COUNT(replies); i++)
        for (size_t bit = 0; bit < replies[i].len * 8; bit++) {
            uint8_t *bad = (uint8_t *)mem_strndup(replies[i].p, replies[i].len);
            struct slice in = slice(bad, replies[i].len);
            struct modbus_frame frame;

            bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(modbus_frame_next(MODBUS_RTU, &in, &frame), NX_OK);
            free(bad);
        }
}

static void
what_no_reply_begins_with_is_an_error_at_once(void **state)
{
    static const struct slice rows[] = {FRAME("\x01\x00"), FRAME("\x01\x07"), FRAME("\x01\x2B"), FRAME("\x01\x03\x00"),
                                        FRAME("\x01\x03\xFC")};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct slice in = rows[i];
        struct modbus_frame frame;
        assert_int_equal(modbus_frame_next(MODBUS_RTU, &in, &frame), NX_E_PROTO);
    }
}

static void
requests_go_out_and_can_be_read(void **state)
{
    static const uint8_t expected[] = {0x11, 0x03, 0x00, 0x6B, 0x00, 0x03, 0x76, 0x87};
    struct modbus_request rq = {.unit = 0x11, .fc = 3, .start = 0x6B, .count = 3}, back = {0};
    uint8_t out[MODBUS_ADU_MAX];
    size_t len = modbus_frame_encode(MODBUS_RTU, &rq, out);

    (void)state;
    assert_int_equal(len, sizeof expected);
    assert_memory_equal(out, expected, len);
    assert_int_equal(modbus_frame_request(MODBUS_RTU, slice(out, len), &back), NX_OK);
    assert_true(back.unit == 0x11 && back.fc == 3 && back.start == 0x6B && back.count == 3);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(modbus_frame_request(MODBUS_RTU, slice(out, cut), &back), NX_E_PROTO);
    len = modbus_frame_encode(MODBUS_MBAP, &rq, out);
    assert_int_equal(modbus_frame_request(MODBUS_MBAP, slice(out, len), &back), NX_OK);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(modbus_frame_request(MODBUS_MBAP, slice(out, cut), &back), NX_E_PROTO);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums),
        cmocka_unit_test(frames_end_where_their_function_says),
        cmocka_unit_test(two_frames_in_a_row),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(what_no_reply_begins_with_is_an_error_at_once),
        cmocka_unit_test(requests_go_out_and_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
