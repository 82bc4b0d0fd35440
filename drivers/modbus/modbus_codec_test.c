/* Vectors marked AP are the examples of MODBUS Application Protocol V1.1b3, sections 6.1 to 6.16. */
#include "modbus_frame.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES(text)                                                                                                    \
    {                                                                                                                  \
        (const uint8_t *)text, sizeof text - 1                                                                         \
    }
#define RQ(...)                                                                                                        \
    {                                                                                                                  \
        .tid = 0x1501, .unit = 0x11, __VA_ARGS__                                                                       \
    }

/* One exchange: the request, its PDU, the reply's PDU and what the reply carries. */
static const struct vector {
    const char *name;
    struct modbus_request rq;
    struct slice request_pdu, reply_pdu, data;
    unsigned exception;
} vectors[] = {
    {"AP 6.1 read coils", RQ(.fc = 1, .start = 19, .count = 19), BYTES("\x01\x00\x13\x00\x13"),
     BYTES("\x01\x03\xCD\x6B\x05"), BYTES("\xCD\x6B\x05"), 0},
    {"AP 6.2 read discrete inputs", RQ(.fc = 2, .start = 196, .count = 22), BYTES("\x02\x00\xC4\x00\x16"),
     BYTES("\x02\x03\xAC\xDB\x35"), BYTES("\xAC\xDB\x35"), 0},
    {"AP 6.3 read holding registers", RQ(.fc = 3, .start = 107, .count = 3), BYTES("\x03\x00\x6B\x00\x03"),
     BYTES("\x03\x06\x02\x2B\x00\x00\x00\x64"), BYTES("\x02\x2B\x00\x00\x00\x64"), 0},
    {"AP 6.4 read input registers", RQ(.fc = 4, .start = 8, .count = 1), BYTES("\x04\x00\x08\x00\x01"),
     BYTES("\x04\x02\x00\x0A"), BYTES("\x00\x0A"), 0},
    {"AP 6.5 write single coil", RQ(.fc = 5, .start = 172, .count = 1, .data = BYTES("\xFF\x00")),
     BYTES("\x05\x00\xAC\xFF\x00"), BYTES("\x05\x00\xAC\xFF\x00"), BYTES(""), 0},
    {"AP 6.6 write single register", RQ(.fc = 6, .start = 1, .count = 1, .data = BYTES("\x00\x03")),
     BYTES("\x06\x00\x01\x00\x03"), BYTES("\x06\x00\x01\x00\x03"), BYTES(""), 0},
    {"AP 6.11 write multiple coils", RQ(.fc = 15, .start = 19, .count = 10, .data = BYTES("\xCD\x01")),
     BYTES("\x0F\x00\x13\x00\x0A\x02\xCD\x01"), BYTES("\x0F\x00\x13\x00\x0A"), BYTES(""), 0},
    {"AP 6.12 write multiple registers", RQ(.fc = 16, .start = 1, .count = 2, .data = BYTES("\x00\x0A\x01\x02")),
     BYTES("\x10\x00\x01\x00\x02\x04\x00\x0A\x01\x02"), BYTES("\x10\x00\x01\x00\x02"), BYTES(""), 0},
    {"AP 6.16 mask write register", RQ(.fc = 22, .start = 4, .count = 1, .data = BYTES("\x00\xF2\x00\x25")),
     BYTES("\x16\x00\x04\x00\xF2\x00\x25"), BYTES("\x16\x00\x04\x00\xF2\x00\x25"), BYTES(""), 0},
    {"AP 6.17 read and write registers",
     RQ(.fc = 23, .start = 3, .count = 3, .data = BYTES("\x00\xFF\x00\xFE\x00\xFD")),
     BYTES("\x17\x00\x03\x00\x03\x00\x03\x00\x03\x06\x00\xFF\x00\xFE\x00\xFD"),
     BYTES("\x17\x06\x00\xFF\x00\xFE\x00\xFD"), BYTES("\x00\xFF\x00\xFE\x00\xFD"), 0},
    {"AP 7 exception", RQ(.fc = 1, .start = 1185, .count = 1), BYTES("\x01\x04\xA1\x00\x01"), BYTES("\x81\x02"),
     BYTES(""), 2},
    {"exception to a write", RQ(.fc = 16, .start = 0, .count = 1, .data = BYTES("\x00\x00")),
     BYTES("\x10\x00\x00\x00\x01\x02\x00\x00"), BYTES("\x90\x04"), BYTES(""), 4},
};

#define FOR_EACH_VECTOR(v) for (const struct vector *v = vectors; v < vectors + MEM_COUNT(vectors); v++)

static void
requests_are_as_specified(void **state)
{
    (void)state;
    FOR_EACH_VECTOR(v)
    {
        uint8_t out[MODBUS_ADU_MAX];
        size_t len = modbus_frame_encode(MODBUS_MBAP, &v->rq, out);

        assert_int_equal(len, 7 + v->request_pdu.len);
        assert_int_equal(out[0] << 8 | out[1], 0x1501);
        assert_int_equal(out[2] << 8 | out[3], 0);
        assert_int_equal(out[4] << 8 | out[5], 1 + v->request_pdu.len);
        assert_int_equal(out[6], 0x11);
        assert_memory_equal(out + 7, v->request_pdu.p, v->request_pdu.len);
    }
}

static struct modbus_frame
frame_of(struct slice pdu)
{
    return (struct modbus_frame){.tid = 0x1501, .unit = 0x11, .pdu = pdu};
}

static void
requests_are_read_back(void **state)
{
    (void)state;
    FOR_EACH_VECTOR(v)
    {
        struct modbus_request rq = {0};

        assert_int_equal(modbus_decode_request(v->request_pdu, &rq), NX_OK);
        assert_int_equal(rq.fc, v->rq.fc);
        assert_int_equal(rq.start, v->rq.start);
        assert_int_equal(rq.count, v->rq.count);
        assert_true(slice_eq(rq.data, v->rq.data));
        if (v->exception == 0)
            assert_int_equal(modbus_reply_bytes(&rq), v->reply_pdu.len);
        for (size_t cut = 0; cut < v->request_pdu.len; cut++) {
            uint8_t *copy = (uint8_t *)mem_strndup(v->request_pdu.p, cut);
            assert_int_equal(modbus_decode_request(slice(copy, cut), &rq), NX_E_PROTO);
            free(copy);
        }
    }
}

static void
replies_are_understood(void **state)
{
    (void)state;
    FOR_EACH_VECTOR(v)
    {
        struct modbus_frame frame = frame_of(v->reply_pdu);
        struct modbus_reply reply;
        struct nx_note why;

        assert_int_equal(modbus_decode_reply(&v->rq, &frame, &reply, &why), NX_OK);
        assert_int_equal(reply.exception, v->exception);
        assert_true(slice_eq(reply.data, v->data));
    }
}

static void
every_truncation_and_extension_is_refused(void **state)
{
    (void)state;
    FOR_EACH_VECTOR(v)
    {
        uint8_t longer[64];
        struct modbus_reply reply;
        struct modbus_frame frame;
        struct nx_note why;

        for (size_t cut = 0; cut < v->reply_pdu.len; cut++) {
            uint8_t *copy = (uint8_t *)mem_strndup(v->reply_pdu.p, cut); /* exact size: ASan sees a read past it */
            frame = frame_of(slice(copy, cut));
            assert_int_equal(modbus_decode_reply(&v->rq, &frame, &reply, &why), NX_E_PROTO);
            assert_true(why.text[0] != '\0');
            free(copy);
        }
        memcpy(longer, v->reply_pdu.p, v->reply_pdu.len);
        longer[v->reply_pdu.len] = 0;
        frame = frame_of(slice(longer, v->reply_pdu.len + 1));
        assert_int_equal(modbus_decode_reply(&v->rq, &frame, &reply, &why), NX_E_PROTO);
    }
}

/* Only the value of read data may change without the reply being refused. */
static void
every_changed_field_is_refused(void **state)
{
    (void)state;
    FOR_EACH_VECTOR(v)
    {
        size_t checked = (v->rq.fc <= 4 || v->rq.fc == 23) && v->exception == 0 ? 2
                         : v->exception                                         ? 1
                                                                                : v->reply_pdu.len;
        for (size_t at = 0; at < checked; at++) {
            uint8_t copy[64];
            struct modbus_frame frame = frame_of(slice(copy, v->reply_pdu.len));
            struct modbus_reply reply;

            memcpy(copy, v->reply_pdu.p, v->reply_pdu.len);
            copy[at] ^= 0x40;
            assert_int_equal(modbus_decode_reply(&v->rq, &frame, &reply, NULL), NX_E_PROTO);
        }
    }
}

static void
wrong_unit_is_refused(void **state)
{
    struct modbus_request rq = {.unit = 1, .fc = 3, .start = 0, .count = 1};
    struct modbus_frame frame = {.unit = 255, .pdu = BYTES("\x03\x02\x00\x00")};
    struct modbus_reply reply;
    struct nx_note why;

    (void)state;
    assert_int_equal(modbus_decode_reply(&rq, &frame, &reply, &why), NX_E_PROTO);
    assert_non_null(strstr(why.text, "unit id 255, expected 1"));
}

static void
frames_are_cut_from_the_stream(void **state)
{
    static const uint8_t two[] = {0, 1, 0, 0, 0, 5, 17, 3, 2, 9, 9, 0, 2, 0, 0, 0, 3, 17, 0x83, 2};
    struct modbus_frame frame;

    (void)state;
    for (size_t have = 0; have <= sizeof two; have++) {
        struct slice in = slice(two, have);
        enum nx_err first = modbus_frame_next(MODBUS_MBAP, &in, &frame);
        assert_int_equal(first, have >= 11 ? NX_OK : NX_E_MORE);
        if (first != NX_OK) {
            assert_int_equal(in.len, have);
            continue;
        }
        assert_int_equal(frame.tid, 1);
        assert_int_equal(frame.unit, 17);
        assert_int_equal(frame.pdu.len, 4);
        assert_int_equal(modbus_frame_next(MODBUS_MBAP, &in, &frame), have == sizeof two ? NX_OK : NX_E_MORE);
    }
    assert_int_equal(frame.tid, 2);
}

static void
impossible_headers_are_errors_at_once(void **state)
{
    static const struct {
        struct slice bytes;
        enum nx_err err;
    } rows[] = {
        {{(const uint8_t *)"\0\1\0\1", 4}, NX_E_PROTO}, /* protocol identifier 1 */
        {{(const uint8_t *)"HTTP", 4}, NX_E_PROTO},
        {{(const uint8_t *)"\0\1\0\0\0\0", 6}, NX_E_PROTO},   /* length 0 */
        {{(const uint8_t *)"\0\1\0\0\0\1", 6}, NX_E_PROTO},   /* no PDU */
        {{(const uint8_t *)"\0\1\0\0\0\xFF", 6}, NX_E_PROTO}, /* 255 > 254 */
        {{(const uint8_t *)"\0\1\0\0\1\0", 6}, NX_E_PROTO},   /* 256 */
        {{(const uint8_t *)"\0\1\0\0\0\xFE", 6}, NX_E_MORE},  /* 254 is the largest */
        {{(const uint8_t *)"\0\1\0\0\0\2", 6}, NX_E_MORE},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct slice in = rows[i].bytes;
        struct modbus_frame frame;
        assert_int_equal(modbus_frame_next(MODBUS_MBAP, &in, &frame), rows[i].err);
    }
}

static void
exceptions_have_a_meaning(void **state)
{
    (void)state;
    assert_int_equal(modbus_exception_err(1), NX_E_UNSUPPORTED);
    assert_int_equal(modbus_exception_err(2), NX_E_ADDRESS);
    assert_int_equal(modbus_exception_err(4), NX_E_DEVICE);
    assert_int_equal(modbus_exception_err(5), NX_E_BUSY);
    assert_int_equal(modbus_exception_err(6), NX_E_BUSY);
    assert_int_equal(modbus_exception_err(10), NX_E_OFFLINE);
    assert_int_equal(modbus_exception_err(11), NX_E_OFFLINE);
    assert_int_equal(modbus_exception_err(77), NX_E_DEVICE);
    assert_string_equal(modbus_exception_text(11), "gateway target device failed to respond");
    assert_string_equal(modbus_exception_text(200), "unknown exception");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_as_specified),      cmocka_unit_test(requests_are_read_back),
        cmocka_unit_test(replies_are_understood),         cmocka_unit_test(every_truncation_and_extension_is_refused),
        cmocka_unit_test(every_changed_field_is_refused), cmocka_unit_test(wrong_unit_is_refused),
        cmocka_unit_test(frames_are_cut_from_the_stream), cmocka_unit_test(impossible_headers_are_errors_at_once),
        cmocka_unit_test(exceptions_have_a_meaning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
