/* Packets written by hand, each truncation, and what is impossible. */
#include "s7_iso.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t confirm[] = {3, 0, 0, 22, 17, 0xD0, 0, 1, 0, 9, 0, 0xC0, 1, 9, 0xC1, 2, 1, 0, 0xC2, 2, 3, 1};

/* A copy of exact size, so that a read past the end is seen. */
static enum nx_err
next(const uint8_t *p, size_t len, struct s7_tpdu *tpdu, size_t *left)
{
    uint8_t *copy = (uint8_t *)mem_strndup(p, len);
    struct slice in = slice(copy, len);
    enum nx_err err = s7_iso_next(&in, tpdu);

    *left = in.len;
    free(copy);
    return err;
}

static void
connect_request_has_both_tsaps(void **state)
{
    static const uint8_t want[] = {3, 0, 0, 22, 17, 0xE0, 0, 0, 0, 1, 0, 0xC0, 1, 10, 0xC1, 2, 1, 0, 0xC2, 2, 3, 2};
    uint8_t out[32];
    struct wbuf w = wbuf_fixed(out, sizeof out);

    (void)state;
    s7_iso_connect(&w, 0x0100, 0x0302);
    assert_int_equal(w.len, sizeof want);
    assert_memory_equal(out, want, sizeof want);
}

static void
message_is_cut_into_tpdus(void **state)
{
    uint8_t message[300], out[400];
    struct wbuf w = wbuf_fixed(out, sizeof out);
    struct s7_tpdu tpdu;
    struct slice in;
    size_t got = 0;

    (void)state;
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    s7_iso_wrap(&w, slice(message, sizeof message), 128);
    in = wbuf_slice_of(&w);
    for (unsigned i = 0; i < 3; i++) { /* 125 + 125 + 50 */
        assert_int_equal(s7_iso_next(&in, &tpdu), NX_OK);
        assert_int_equal(tpdu.type, S7_TPDU_DATA);
        assert_int_equal(tpdu.is_last, i == 2);
        assert_memory_equal(tpdu.data.p, message + got, tpdu.data.len);
        got += tpdu.data.len;
    }
    assert_int_equal(got, sizeof message);
    assert_int_equal(in.len, 0);
}

static void
confirm_tells_the_size(void **state)
{
    static const uint8_t bare[] = {3, 0, 0, 11, 6, 0xD0, 0, 1, 0, 9, 0};
    struct s7_tpdu tpdu;
    size_t left;

    (void)state;
    assert_int_equal(next(confirm, sizeof confirm, &tpdu, &left), NX_OK);
    assert_int_equal(tpdu.type, S7_TPDU_CONFIRM);
    assert_int_equal(tpdu.tpdu_bytes, 512);
    assert_int_equal(left, 0);
    assert_int_equal(next(bare, sizeof bare, &tpdu, &left), NX_OK);
    assert_int_equal(tpdu.tpdu_bytes, S7_TPDU_BYTES);
}

static void
disconnect_tells_the_reason(void **state)
{
    static const uint8_t in[] = {3, 0, 0, 11, 6, 0x80, 0, 1, 0, 0, 0x81};
    struct s7_tpdu tpdu;
    size_t left;

    (void)state;
    assert_int_equal(next(in, sizeof in, &tpdu, &left), NX_OK);
    assert_int_equal(tpdu.type, S7_TPDU_DISCONNECT);
    assert_string_equal(s7_iso_reason(tpdu.reason), "remote congestion: no connection is free");
}

static void
every_truncation_wants_more(void **state)
{
    struct s7_tpdu tpdu;
    size_t left;

    (void)state;
    for (size_t n = 0; n < sizeof confirm; n++) {
        assert_int_equal(next(confirm, n, &tpdu, &left), NX_E_MORE);
        assert_int_equal(left, n);
    }
}

static void
impossible_packets_are_refused(void **state)
{
    static const struct {
        size_t len;
        uint8_t in[24];
    } bad[] = {
        {1, {4}},                                                /* version */
        {4, {3, 0, 0, 6}},                                       /* shorter than any packet */
        {4, {3, 0, 0x20, 1}},                                    /* longer than ours */
        {7, {3, 0, 0, 7, 1, 0xF0, 0x80}},                        /* header without type */
        {7, {3, 0, 0, 7, 9, 0xF0, 0x80}},                        /* header past the packet */
        {8, {3, 0, 0, 8, 3, 0xF0, 0x80, 0}},                     /* data with a longer header */
        {7, {3, 0, 0, 7, 2, 0x50, 0x80}},                        /* unknown type */
        {14, {3, 0, 0, 14, 9, 0xD0, 0, 1, 0, 9, 0, 0xC0, 1, 5}}, /* TPDU of 32 bytes */
        {13, {3, 0, 0, 13, 8, 0xD0, 0, 1, 0, 9, 0, 0xC0, 200}},  /* parameter past the header */
    };
    struct s7_tpdu tpdu;
    size_t left;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(bad); i++)
        assert_int_equal(next(bad[i].in, bad[i].len, &tpdu, &left), NX_E_PROTO);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_request_has_both_tsaps), cmocka_unit_test(message_is_cut_into_tpdus),
        cmocka_unit_test(confirm_tells_the_size),         cmocka_unit_test(disconnect_tells_the_reason),
        cmocka_unit_test(every_truncation_wants_more),    cmocka_unit_test(impossible_packets_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
