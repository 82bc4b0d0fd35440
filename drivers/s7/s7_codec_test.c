/* Messages written by hand from the facts of the protocol, each truncation, replies that do not fit. */
#include "s7_codec.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* 3 items: 3 bytes of DB1, a DB that is not there, timer 5. The length of the second and both fill bytes are garbage.
 */
static const struct s7_item items[] = {
    {.area = S7_DB, .transport = S7_BYTES, .db = 1, .start = 4, .count = 3},
    {.area = S7_DB, .transport = S7_BYTES, .db = 9, .start = 0, .count = 2},
    {.area = S7_TIMER_AREA, .start = 5, .count = 1},
};
static const uint8_t good[] = {0x32, 3,  0, 0, 0, 7,    0,    2, 0, 18, 0,    0, 4, 3, 0xFF, 4,
                               0,    24, 1, 2, 3, 0x5A, 0x0A, 0, 0, 4,  0xFF, 9, 0, 2, 0x21, 0x23};

static void
assert_encoded(const struct wbuf *w, const uint8_t *want, size_t len)
{
    assert_int_equal(w->len, len);
    assert_memory_equal(w->p, want, len);
}

static void
requests_are_as_by_hand(void **state)
{
    static const uint8_t setup[] = {0x32, 1, 0, 0, 0, 1, 0, 8, 0, 0, 0xF0, 0, 0, 8, 0, 8, 3, 0xC0};
    static const uint8_t read[] = {0x32, 1, 0, 0, 0,    7,  0,    38,   0,    0,  4,    3, 0x12, 10, 0x10, 2,
                                   0,    3, 0, 1, 0x84, 0,  0,    32,   0x12, 10, 0x10, 2, 0,    2,  0,    9,
                                   0x84, 0, 0, 0, 0x12, 10, 0x10, 0x1D, 0,    1,  0,    0, 0x1D, 0,  0,    5};
    static const uint8_t write[] = {0x32, 1, 0, 0, 0, 8,    0, 14, 0,  5, 5, 1, 0x12, 10, 0x10,
                                    1,    0, 1, 0, 1, 0x84, 0, 0,  35, 0, 3, 0, 1,    1};
    static const uint8_t word[] = {0x32, 1, 0, 0, 0, 9,    0, 14, 0,  6, 5, 1, 0x12, 10,   0x10,
                                   2,    0, 2, 0, 0, 0x83, 0, 0,  80, 0, 4, 0, 16,   0xBE, 0xEF};
    struct s7_item bit = {.area = S7_DB, .bit = 3, .transport = S7_BITS, .db = 1, .start = 4, .count = 1};
    struct s7_item memory = {.area = S7_MEMORY, .transport = S7_BYTES, .start = 10, .count = 2};
    uint8_t out[128];
    struct wbuf w = wbuf_fixed(out, sizeof out);

    (void)state;
    s7_encode_setup(&w, 1, 8, 960);
    assert_encoded(&w, setup, sizeof setup);
    wbuf_reset(&w);
    s7_encode_read(&w, 7, items, 3);
    assert_encoded(&w, read, sizeof read);
    wbuf_reset(&w);
    s7_encode_write(&w, 8, &bit, slice("\1", 1)); /* a bit is written as a bit */
    assert_encoded(&w, write, sizeof write);
    wbuf_reset(&w);
    s7_encode_write(&w, 9, &memory, slice("\xBE\xEF", 2));
    assert_encoded(&w, word, sizeof word);
}

static enum nx_err
decode(const uint8_t *p, size_t len, struct s7_result results[3])
{
    struct s7_reply reply;
    enum nx_err err = s7_decode_reply(slice(p, len), &reply, NULL);

    return err == NX_OK ? s7_decode_read(&reply, items, 3, results, NULL) : err;
}

static void
failed_item_is_four_bytes_whatever_its_length_says(void **state)
{
    struct s7_result r[3];

    (void)state;
    assert_int_equal(decode(good, sizeof good, r), NX_OK);
    assert_memory_equal(r[0].data.p, "\1\2\3", 3);
    assert_int_equal(r[0].data.len, 3);
    assert_int_equal(r[1].code, S7_CODE_NO_OBJECT);
    assert_memory_equal(r[2].data.p, "\x21\x23", 2);
}

static void
every_truncation_is_refused(void **state)
{
    struct s7_result r[3];

    (void)state;
    for (size_t n = 0; n < sizeof good; n++) {
        uint8_t *copy = (uint8_t *)mem_strndup(good, n);
        assert_int_equal(decode(copy, n, r), NX_E_PROTO);
        if (n > 14) { /* the same with a length that is true */
            copy[9] = (uint8_t)(n - 14);
            assert_int_equal(decode(copy, n, r), NX_E_PROTO);
        }
        free(copy);
    }
}

static void
reply_that_does_not_fit_is_refused(void **state)
{
    static const struct {
        size_t at;
        uint8_t v;
    } bad[] = {{0, 0x33}, {1, 1}, {1, 7}, {12, 5}, {13, 2}, {13, 20}, {17, 32}, {17, 16}, {15, 9}, {27, 4}, {29, 4}};
    struct s7_result r[3];
    uint8_t copy[sizeof good];

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(bad); i++) {
        memcpy(copy, good, sizeof good);
        copy[bad[i].at] = bad[i].v;
        assert_int_equal(decode(copy, sizeof copy, r), NX_E_PROTO);
    }
}

static void
setup_is_the_smaller_number(void **state)
{
    static const uint8_t in[] = {0x32, 3, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0, 0xF0, 0, 0, 8, 0, 3, 0, 240};
    uint8_t copy[sizeof in];
    struct s7_reply reply;
    unsigned jobs, pdu;

    (void)state;
    assert_int_equal(s7_decode_reply(slice(in, sizeof in), &reply, NULL), NX_OK);
    assert_int_equal(s7_decode_setup(&reply, &jobs, &pdu, NULL), NX_OK);
    assert_int_equal(jobs, 3);
    assert_int_equal(pdu, 240);
    memcpy(copy, in, sizeof in);
    copy[19] = 64; /* less than any CPU has */
    assert_int_equal(s7_decode_reply(slice(copy, sizeof copy), &reply, NULL), NX_OK);
    assert_int_equal(s7_decode_setup(&reply, &jobs, &pdu, NULL), NX_E_PROTO);
}

static void
refusals_name_the_remedy(void **state)
{
    static const uint8_t in[] = {0x32, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0x81, 0x04};
    struct s7_reply reply;

    (void)state;
    assert_int_equal(s7_decode_reply(slice(in, sizeof in), &reply, NULL), NX_OK);
    assert_int_equal(reply.error, S7_ERROR_FUNCTION);
    assert_int_equal(nx_err_class(s7_error_err(reply.error)), NX_CLASS_CONFIG);
    assert_non_null(strstr(s7_error_text(reply.error), "Permit access with PUT/GET"));
    assert_int_equal(s7_error_err(S7_ERROR_NO_PASSWORD), NX_E_AUTH);
    assert_int_equal(s7_error_err(S7_ERROR_BAD_PASSWORD), NX_E_AUTH);
    assert_int_equal(s7_error_err(S7_ERROR_ITEM), NX_E_ADDRESS);
    assert_int_equal(s7_error_err(0x1234), NX_E_DEVICE);
    assert_int_equal(s7_code_err(S7_CODE_ADDRESS), NX_E_ADDRESS);
    assert_int_equal(s7_code_err(S7_CODE_NO_OBJECT), NX_E_ADDRESS);
    assert_int_equal(nx_err_class(s7_code_err(S7_CODE_DENIED)), NX_CLASS_CONFIG);
}

static void
write_reply_has_one_code(void **state)
{
    uint8_t in[] = {0x32, 3, 0, 0, 0, 9, 0, 2, 0, 1, 0, 0, 5, 1, 0x05};
    struct s7_reply reply;
    uint8_t code;

    (void)state;
    assert_int_equal(sizeof in, S7_WRITE_REPLY);
    assert_int_equal(s7_decode_reply(slice(in, sizeof in), &reply, NULL), NX_OK);
    assert_int_equal(s7_decode_write(&reply, &code, NULL), NX_OK);
    assert_int_equal(code, S7_CODE_ADDRESS);
    in[13] = 2;
    assert_int_equal(s7_decode_reply(slice(in, sizeof in), &reply, NULL), NX_OK);
    assert_int_equal(s7_decode_write(&reply, &code, NULL), NX_E_PROTO);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_as_by_hand),
        cmocka_unit_test(failed_item_is_four_bytes_whatever_its_length_says),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(reply_that_does_not_fit_is_refused),
        cmocka_unit_test(setup_is_the_smaller_number),
        cmocka_unit_test(refusals_name_the_remedy),
        cmocka_unit_test(write_reply_has_one_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
