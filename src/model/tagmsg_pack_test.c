/* MessagePack tag messages, and several messages in one payload. */
#include "model/tagmsg_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static enum nx_err
decode_as(const void *p, size_t len, const char *content_type)
{
    enum nx_err err = tagmsg_decode_list(payload(p, len), slice_str(content_type), &fx.scratch, &fx.list, &fx.why);

    assert_true(err == NX_OK || fx.why.text[0] != '\0');
    return err;
}

#define DECODE(text) decode_as(text, sizeof(text) - 1, "")
#define MSG          (&fx.list.items[0])

/* --- MessagePack --- */

/* Every format of the specification, as the value of {"v": ..}. */
static void
reads_every_format_of_the_specification(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        struct nx_value want;
    } rows[] = {
#define ROW(text, ...) {text, sizeof(text) - 1, __VA_ARGS__}
        ROW("\x00", {.type = NX_TYPE_INT, .i = 0}),
        ROW("\x7f", {.type = NX_TYPE_INT, .i = 127}),
        ROW("\xff", {.type = NX_TYPE_INT, .i = -1}),
        ROW("\xe0", {.type = NX_TYPE_INT, .i = -32}),
        ROW("\xcc\xff", {.type = NX_TYPE_INT, .i = 255}),
        ROW("\xcd\xff\xff", {.type = NX_TYPE_INT, .i = 65535}),
        ROW("\xce\xff\xff\xff\xff", {.type = NX_TYPE_INT, .i = 4294967295}),
        ROW("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", {.type = NX_TYPE_INT, .i = INT64_MAX}),
        ROW("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", {.type = NX_TYPE_UINT, .u = UINT64_MAX}),
        ROW("\xd0\x80", {.type = NX_TYPE_INT, .i = -128}),
        ROW("\xd0\x05", {.type = NX_TYPE_INT, .i = 5}),
        ROW("\xd1\x80\x00", {.type = NX_TYPE_INT, .i = -32768}),
        ROW("\xd2\x80\x00\x00\x00", {.type = NX_TYPE_INT, .i = INT32_MIN}),
        ROW("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", {.type = NX_TYPE_INT, .i = INT64_MIN}),
        ROW("\xca\x3f\xc0\x00\x00", {.type = NX_TYPE_DOUBLE, .d = 1.5}),
        ROW("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", {.type = NX_TYPE_DOUBLE, .d = 0.1}),
        ROW("\xc2", {.type = NX_TYPE_BOOL, .b = false}),
        ROW("\xc3", {.type = NX_TYPE_BOOL, .b = true}),
        ROW("\xa0", {.type = NX_TYPE_STRING, .len = 0, .s = ""}),
        ROW("\xa2on", {.type = NX_TYPE_STRING, .len = 2, .s = "on"}),
        ROW("\xd9\x02on", {.type = NX_TYPE_STRING, .len = 2, .s = "on"}),
        ROW("\xda\x00\x02on", {.type = NX_TYPE_STRING, .len = 2, .s = "on"}),
        ROW("\xdb\x00\x00\x00\x03\xe2\x82\xac", {.type = NX_TYPE_STRING, .len = 3, .s = "\xe2\x82\xac"}),
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        wbuf_reset(&fx.text);
        wbuf_bytes(&fx.text, "\x81\xa1v", 3);
        wbuf_bytes(&fx.text, rows[i].bytes, rows[i].len);
        assert_int_equal(NX_OK, decode_as(fx.text.p, fx.text.len, ""));
        assert_int_equal(rows[i].want.type, MSG->value.type);
        assert_true(value_eq(&rows[i].want, &MSG->value));
        for (size_t cut = 0; cut < fx.text.len; cut++)
            assert_int_equal(NX_E_PROTO, decode_as(fx.text.p, cut, ""));
        wbuf_u8(&fx.text, 0xC0);
        assert_int_equal(NX_E_PROTO, decode_as(fx.text.p, fx.text.len, "")); /* a byte too many */
    }
}

static void
refuses_what_is_no_value(void **state)
{
    (void)state;
    assert_int_equal(NX_E_PROTO, DECODE("\x81\xa1v\xc1"));                 /* never used */
    assert_int_equal(NX_E_PROTO, DECODE("\x81\xa1v\xc4\x01x"));            /* binary */
    assert_int_equal(NX_E_PROTO, DECODE("\x81\xa1v\x91\x01"));             /* array */
    assert_int_equal(NX_E_PROTO, DECODE("\x81\xa1v\x80"));                 /* map */
    assert_int_equal(NX_E_PROTO, DECODE("\x81\xa1v\xd4\x05x"));            /* extension */
    assert_int_equal(NX_E_PROTO, DECODE("\x81\xa1v\xa1\xff"));             /* not UTF-8 */
    assert_int_equal(NX_E_PROTO, DECODE("\x81\xa1v\xa1\x00"));             /* NUL */
    assert_int_equal(NX_E_PROTO, DECODE("\x80"));                          /* nothing */
    assert_int_equal(NX_E_PROTO, DECODE("\x81\xa1x\x01"));                 /* no value */
    assert_int_equal(NX_E_PROTO, DECODE("\x81\xa1v\xdf\xff\xff\xff\xff")); /* more than there is */
    assert_int_equal(NX_E_PROTO, DECODE("\x82\xa1v\x01\xa1x\xdd\xff\xff\xff\xff"));
    assert_int_equal(NX_E_PROTO, DECODE(""));
}

static void
reads_members_of_both_spellings(void **state)
{
    (void)state;
    assert_int_equal(NX_OK, DECODE("\x85\xa5value\xcb\x40\x55\x00\x00\x00\x00\x00\x00\xa7quality\xa4"
                                   "Good\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5\x68\x00\xa4unit\xa3\xc2\xb0"
                                   "C\xa3seq\x07"));
    assert_true(MSG->value.d == 84.0 && MSG->quality == NX_Q_GOOD && MSG->has_seq && MSG->seq == 7);
    assert_int_equal(MSG->time_us, 1700000000000000);
    assert_true(slice_eq_str(MSG->unit, "\xc2\xb0"
                                        "C"));
    /* members and keys that we do not know, nested, are skipped; the last of duplicates counts */
    assert_int_equal(NX_OK, DECODE("\x88\x01\x02\x92\x01\xc0\xa1x\xa1z\x82\xa1v\x09\x91\x80\xc4\x01x\xa1v\x01\xa1v\x02"
                                   "\xa1q\xcc\x40\xa1u\x05\xa3seq\xa1s"));
    assert_int_equal(2, MSG->value.i);
    assert_int_equal(NX_Q_UNCERTAIN, MSG->quality);
    assert_int_equal(0, MSG->unit.len);
    assert_false(MSG->has_seq);
    /* no value, but why */
    assert_int_equal(NX_OK, DECODE("\x83\xa1v\xc0\xa1q\xa7timeout\xa5"
                                   "error\xa4late"));
    assert_int_equal(NX_Q_TIMEOUT, MSG->quality);
    assert_true(slice_eq_str(MSG->error, "late"));
    assert_int_equal(NX_OK, DECODE("\x81\xa1q\xc2"));
    assert_int_equal(NX_Q_BAD, MSG->quality);
    /* NaN and infinity are no values */
    assert_int_equal(NX_OK, DECODE("\x81\xa1v\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"));
    assert_true(MSG->value.type == NX_TYPE_NONE && MSG->quality == NX_Q_BAD);
    assert_int_equal(NX_OK, DECODE("\x82\xa1v\xca\xff\x80\x00\x00\xa1q\xcc\xc0"));
    assert_true(MSG->value.type == NX_TYPE_NONE && MSG->quality == NX_Q_BAD);
}

static void
reads_times(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int64_t want_us;
    } rows[] = {
#define ROW(text, us) {text, sizeof(text) - 1, us}
        ROW("\xce\x65\x53\xf1\x00", 1700000000000000),
        ROW("\xcb\x41\xd9\x54\xfc\x40\x10\x00\x00", 1700000000250000),
        ROW("\xd6\xff\x65\x53\xf1\x00", 1700000000000000),                                     /* timestamp 32 */
        ROW("\xd7\xff\x1d\x69\xe0\xe4\x65\x53\xf1\x00", 1700000000123369),                     /* timestamp 64 */
        ROW("\xc7\x0c\xff\x07\x5b\xca\x00\x00\x00\x00\x00\x65\x53\xf1\x00", 1700000000123456), /* timestamp 96 */
        ROW("\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", -1000000),
        ROW("\xb4"
            "2023-11-14T22:13:20Z",
            1700000000000000),
        ROW("\xc0", 0),
        ROW("\x00", 0),
    };
    static const char *const faults[] = {"\x11", "\xc3", "\x90", "\xd4\x01x", "\xa1x", "\xca\x7f\xc0"};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        wbuf_reset(&fx.text);
        wbuf_str(&fx.text, "\x82\xa1v\x01\xa2ts");
        wbuf_bytes(&fx.text, rows[i].bytes, rows[i].len);
        assert_int_equal(NX_OK, decode_as(fx.text.p, fx.text.len, ""));
        assert_int_equal(rows[i].want_us, MSG->time_us);
    }
    for (size_t i = 0; i < MEM_COUNT(faults); i++) {
        wbuf_reset(&fx.text);
        wbuf_printf(&fx.text, "\x82\xa1v\x01\xa2ts%s", faults[i]);
        assert_int_equal(NX_E_PROTO, decode_as(fx.text.p, fx.text.len, ""));
    }
    /* 2^30 nanoseconds are none; so is a second beyond all years */
    assert_int_equal(NX_E_PROTO, DECODE("\x82\xa1v\x01\xa2ts\xd7\xff\xff\xff\xff\xff\x65\x53\xf1\x00"));
    assert_int_equal(NX_E_PROTO,
                     DECODE("\x82\xa1v\x01\xa2ts\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"));
#undef ROW
}

/* A count beyond the bytes, and depth, cost nothing. */
static void
depth_and_size_are_bounded(void **state)
{
    (void)state;
    wbuf_reset(&fx.text);
    wbuf_str(&fx.text, "\x82\xa1v\x01\xa1x");
    for (unsigned i = 0; i < 65000; i++)
        wbuf_u8(&fx.text, 0x91);
    wbuf_u8(&fx.text, 0xC0);
    assert_int_equal(NX_OK, decode_as(fx.text.p, fx.text.len, ""));
    assert_int_equal(NX_E_PROTO, decode_as(fx.text.p, fx.text.len - 1, ""));
    for (unsigned i = 0; i < 600; i++)
        wbuf_u8(&fx.text, 0xC0);
    assert_int_equal(NX_E_TOO_LARGE, decode_as(fx.text.p, fx.text.len, ""));
    for (size_t len = NX_STRING_MAX; len <= NX_STRING_MAX + 1; len++) {
        wbuf_reset(&fx.text);
        wbuf_bytes(&fx.text, "\x81\xa1v\xda", 4);
        wbuf_be16(&fx.text, (unsigned)len);
        for (size_t i = 0; i < len; i++)
            wbuf_char(&fx.text, 'a');
        assert_int_equal(len <= NX_STRING_MAX ? NX_OK : NX_E_TOO_LARGE, decode_as(fx.text.p, fx.text.len, ""));
    }
}

static void
json_and_messagepack_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(NX_OK, DECODE("5"));
    assert_int_equal(5, MSG->value.i);
    assert_int_equal(NX_OK, decode_as("5", 1, "application/msgpack"));
    assert_int_equal('5', MSG->value.i);
    assert_int_equal(NX_E_PROTO, DECODE("\x05"));
    assert_int_equal(NX_OK, decode_as("\x05", 1, "application/x-MsgPack"));
    assert_int_equal(5, MSG->value.i);
    assert_int_equal(NX_OK, DECODE("\xc3"));
    assert_true(MSG->value.b);
    assert_int_equal(NX_OK, DECODE("\xff"));
    assert_int_equal(-1, MSG->value.i);
    assert_int_equal(NX_E_PROTO, decode_as("\xff", 1, "application/json"));
    assert_int_equal(NX_OK, decode_as("\x81\xa1v\x05", 4, "application/octet-stream"));
    assert_int_equal(NX_OK, DECODE("\xEF\xBB\xBF{\"v\":6}")); /* a UTF-8 mark */
    assert_int_equal(6, MSG->value.i);
    assert_int_equal(NX_OK, DECODE("\xEF\xBB\xBF[{\"v\":6}]"));
}

static void
what_is_written_reads_back(void **state)
{
    struct nx_value values[] = {nx_value_bool(true),
                                nx_value_int(INT64_MIN),
                                nx_value_int(-32),
                                nx_value_int(-33),
                                nx_value_int(-129),
                                nx_value_int(-32769),
                                nx_value_int(0),
                                nx_value_int(127),
                                nx_value_int(128),
                                nx_value_int(256),
                                nx_value_int(65536),
                                nx_value_int(INT64_MAX),
                                nx_value_uint(UINT64_MAX),
                                nx_value_double(0.1),
                                nx_value_double(1.5),
                                nx_value_double(-0.0),
                                nx_value_double(1e300),
                                nx_value_string("", 0),
                                nx_value_string("\xc3\xa4\n\"", 4)};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(values); i++) {
        struct tagmsg m = {.value = values[i],
                           .quality = i % 2 ? NX_Q_UNCERTAIN : NX_Q_GOOD,
                           .time_us = 1700000000123000,
                           .source_us = i % 3 ? 1700000000122000 : 0,
                           .gateway_us = i % 5 ? 1700000000124000 : 0,
                           .publish_us = i % 7 ? 1700000000125000 : 0,
                           .unit = slice_str(i % 2 ? "bar" : ""),
                           .has_seq = i % 2,
                           .seq = i % 2 ? 1u << i : 0};

        wbuf_reset(&fx.text);
        tagmsg_encode(&fx.text, TAGMSG_MSGPACK, &m);
        assert_int_equal(NX_OK, decode_as(fx.text.p, fx.text.len, ""));
        assert_int_equal(m.value.type, MSG->value.type);
        assert_true(value_eq(&m.value, &MSG->value));
        assert_int_equal(m.quality, MSG->quality);
        assert_int_equal(m.time_us, MSG->time_us);
        assert_int_equal(m.source_us, MSG->source_us);
        assert_true(slice_eq(m.unit, MSG->unit));
        assert_true(m.has_seq == MSG->has_seq && m.seq == MSG->seq);
        for (size_t cut = 0; cut < fx.text.len; cut++)
            assert_int_equal(NX_E_PROTO, decode_as(fx.text.p, cut, ""));
    }
}

static void
writes_the_shortest_form(void **state)
{
    static const char want[] =
        "\x86\xa1v\xca\x42\xa8\x80\x00\xa1q\xcc\xc0\xa2ts\xcf\x00\x00\x01\x8b\xcf\xe5\x68\x00\xa1u"
        "\xa3\xc2\xb0"
        "C\xa3seq\x0c\xa5"
        "error\xa2?x";
    struct tagmsg m = {.value = nx_value_double(84.25),
                       .quality = NX_Q_GOOD,
                       .time_us = 1700000000000999,
                       .unit = slice_str("\xc2\xb0"
                                         "C"),
                       .has_seq = true,
                       .seq = 12,
                       .error = slice_str("\xffx")};

    (void)state;
    wbuf_reset(&fx.text);
    tagmsg_encode(&fx.text, TAGMSG_MSGPACK, &m);
    assert_int_equal(sizeof want - 1, fx.text.len);
    assert_memory_equal(want, fx.text.p, fx.text.len);
}

/* --- several in one --- */

static void
array_of_messages_is_read_as_a_whole(void **state)
{
    static const char json[] =
        " [ {\"v\":1,\"ts\":1700000000}, {\"value\":\"a\\nb\",\"ts\":1700000001,\"unit\":\"\\u20ac\"} ] ";
    static const char packed[] = "\x92\x82\xa1v\x01\xa2ts\xce\x65\x53\xf1\x00\x82\xa1v\xa3"
                                 "a\nb\xa2ts\xce\x65\x53\xf1\x01";

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const char *text = i ? packed : json;
        size_t len = i ? sizeof packed - 1 : sizeof json - 1;

        assert_int_equal(NX_OK, decode_as(text, len, ""));
        assert_int_equal(2, fx.list.count);
        assert_int_equal(1, fx.list.items[0].value.i);
        assert_int_equal(1700000001000000, fx.list.items[1].time_us);
        assert_memory_equal("a\nb", fx.list.items[1].value.s, 3);
        assert_ptr_equal(&fx.list.items[1], tagmsg_newest(&fx.list));
        for (size_t cut = 0; cut < len - 2; cut++)
            assert_int_not_equal(NX_OK, decode_as(text, cut, ""));
    }
    assert_int_equal(NX_OK, DECODE("[{\"v\":2,\"ts\":1700000001},{\"v\":1,\"ts\":1700000000}]"));
    assert_ptr_equal(MSG, tagmsg_newest(&fx.list));
    assert_int_equal(NX_OK, DECODE("[{\"v\":1,\"name\":\"x\"}]")); /* one needs neither a time nor is it ambiguous */
    assert_int_equal(1, fx.list.count);
}

static void
array_that_is_not_one_tag_is_refused(void **state)
{
    (void)state;
    assert_int_equal(NX_E_UNSUPPORTED, DECODE("[{\"v\":1},{\"v\":2}]"));
    assert_non_null(strstr(fx.why.text, "message 1"));
    assert_int_equal(NX_E_UNSUPPORTED, DECODE("[{\"v\":1,\"ts\":1700000000},{\"v\":2}]"));
    assert_non_null(strstr(fx.why.text, "message 2"));
    assert_int_equal(NX_E_UNSUPPORTED, DECODE("[{\"tagname\":\"a\",\"value\":1,\"timestamp\":1700000000},"
                                              "{\"tagname\":\"b\",\"value\":1,\"timestamp\":1700000000}]"));
    assert_int_equal(NX_E_UNSUPPORTED, DECODE("\x92\x82\xa1v\x01\xa1n\xa1"
                                              "a\x82\xa1v\x01\xa1n\xa1"
                                              "b"));
    assert_int_equal(NX_E_PROTO, DECODE("[]"));
    assert_int_equal(NX_E_PROTO, DECODE("\x90"));
    assert_int_equal(NX_E_PROTO, DECODE("[1,2]"));
    assert_int_equal(NX_E_PROTO, DECODE("\x92\x01\x02"));
    assert_int_equal(NX_E_PROTO, DECODE("[[{\"v\":1}]]"));
    assert_int_equal(NX_E_PROTO, DECODE("[{\"v\":1,\"ts\":1700000000},]"));
    assert_int_equal(NX_E_PROTO, DECODE("[{\"v\":1}{\"v\":1}]"));
    assert_int_equal(NX_E_PROTO, DECODE("[{\"v\":1}] x"));
    assert_int_equal(NX_E_PROTO, DECODE("[{\"x\":1}]"));
}

static void
array_is_bounded(void **state)
{
    (void)state;
    for (unsigned n = TAGMSG_LIST_MAX; n <= TAGMSG_LIST_MAX + 1; n++) {
        wbuf_reset(&fx.text);
        wbuf_char(&fx.text, '[');
        for (unsigned i = 0; i < n; i++)
            wbuf_printf(&fx.text, "%s{\"v\":%u,\"ts\":%u}", i ? "," : "", i, 1700000000 + i);
        wbuf_char(&fx.text, ']');
        assert_int_equal(n <= TAGMSG_LIST_MAX ? NX_OK : NX_E_TOO_LARGE, decode_as(fx.text.p, fx.text.len, ""));
    }
    wbuf_reset(&fx.text);
    wbuf_str(&fx.text, "[{\"v\":1}");
    while (fx.text.len < 1u << 20)
        wbuf_char(&fx.text, ' ');
    wbuf_char(&fx.text, ']');
    assert_int_equal(NX_E_TOO_LARGE, decode_as(fx.text.p, fx.text.len, ""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_format_of_the_specification),
        cmocka_unit_test(refuses_what_is_no_value),
        cmocka_unit_test(reads_members_of_both_spellings),
        cmocka_unit_test(reads_times),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(json_and_messagepack_are_told_apart),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(writes_the_shortest_form),
        cmocka_unit_test(array_of_messages_is_read_as_a_whole),
        cmocka_unit_test(array_that_is_not_one_tag_is_refused),
        cmocka_unit_test(array_is_bounded),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
