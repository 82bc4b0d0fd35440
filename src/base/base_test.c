#include "base/arena.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rbuf.h"
#include "base/timefmt.h"
#include "base/utf8.h"
#include "base/wbuf.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void
wbuf_and_rbuf_agree(void **state)
{
    struct wbuf w = wbuf_init(0);
    const uint64_t numbers[] = {0, 1, 127, 128, 300, UINT32_MAX, INT64_MAX, UINT64_MAX};

    (void)state;
    wbuf_u8(&w, 0xAB);
    wbuf_be16(&w, 0x1234);
    wbuf_le32(&w, 0xDEADBEEF);
    wbuf_be64(&w, 0x0102030405060708);
    for (size_t i = 0; i < MEM_COUNT(numbers); i++) {
        wbuf_varint(&w, numbers[i]);
        wbuf_svarint(&w, (int64_t)numbers[i]);
    }
    struct rbuf r = rbuf_init(wbuf_slice_of(&w));
    assert_int_equal(rbuf_u8(&r), 0xAB);
    assert_int_equal(rbuf_be16(&r), 0x1234);
    assert_int_equal(rbuf_le32(&r), 0xDEADBEEF);
    assert_true(rbuf_be64(&r) == 0x0102030405060708);
    for (size_t i = 0; i < MEM_COUNT(numbers); i++) {
        assert_true(rbuf_varint(&r) == numbers[i]);
        assert_true(rbuf_svarint(&r) == (int64_t)numbers[i]);
    }
    assert_int_equal(rbuf_finish(&r), NX_OK);
    assert_int_equal(rbuf_u8(&r), 0);
    assert_int_equal(rbuf_finish(&r), NX_E_PROTO);
    wbuf_free(&w);
}

static void
varint_longer_than_64_bits_is_refused(void **state)
{
    uint8_t bytes[11];

    (void)state;
    memset(bytes, 0xFF, sizeof bytes);
    struct rbuf r = rbuf_init(slice(bytes, sizeof bytes));
    assert_true(rbuf_varint(&r) == 0);
    assert_true(r.is_short);
}

static void
fixed_wbuf_fails_once_and_stays_failed(void **state)
{
    uint8_t room[4];
    struct wbuf w = wbuf_fixed(room, sizeof room);

    (void)state;
    wbuf_varint(&w, 300);
    assert_int_equal(w.len, 2);
    wbuf_be32(&w, 1);
    wbuf_u8(&w, 1);
    assert_true(w.failed);
    assert_int_equal(wbuf_slice_of(&w).len, 0);
    assert_string_equal(wbuf_cstr(&w), "");
}

static void
json_strings_are_escaped(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain", "\"plain\""},
        {"a\"b\\c\n\x01", "\"a\\\"b\\\\c\\n\\u0001\""},
        {"\xC2\xB0"
         "C",
         "\"\xC2\xB0"
         "C\""},
        {"bad\xFF", "\"bad\xEF\xBF\xBD\""},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct wbuf w = wbuf_init(0);

        wbuf_json_string(&w, slice_str(rows[i].in));
        assert_string_equal(wbuf_cstr(&w), rows[i].out);
        wbuf_free(&w);
    }
}

static void
values_are_json(void **state)
{
    static const struct {
        struct nx_value v;
        const char *text;
    } rows[] = {
        {{.type = NX_TYPE_NONE}, "null"},
        {{.type = NX_TYPE_BOOL, .b = true}, "true"},
        {{.type = NX_TYPE_INT, .i = INT64_MIN}, "-9223372036854775808"},
        {{.type = NX_TYPE_UINT, .u = UINT64_MAX}, "18446744073709551615"},
        {{.type = NX_TYPE_DOUBLE, .d = 0.1}, "0.1"},
        {{.type = NX_TYPE_STRING, .s = "a\"bc", .len = 3}, "\"a\\\"b\""},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct wbuf w = wbuf_init(0);

        wbuf_json_value(&w, &rows[i].v);
        assert_string_equal(wbuf_cstr(&w), rows[i].text);
        wbuf_free(&w);
    }
}

static void
lists_are_taken_apart(void **state)
{
    static const char *const want[] = {" a", "", "b "};
    struct slice rest = slice_str(" a,,b ,"), part;
    size_t n = 0;

    (void)state;
    while (slice_part(&rest, ',', &part)) {
        assert_true(n < MEM_COUNT(want) && slice_eq_str(part, want[n]));
        n++;
    }
    assert_int_equal(n, MEM_COUNT(want));
    assert_true(slice_eq_str(slice_trim(slice_str(" \t\r\n a b\v\f")), "a b"));
    assert_int_equal(slice_trim(slice_str(" \n")).len, 0);
    assert_int_equal(slice_trim(slice("\0", 1)).len, 1);
}

static void
doubles_read_back_the_same(void **state)
{
    uint64_t seed = 42;
    static const struct {
        double v;
        const char *text;
    } rows[] = {{0, "0"},
                {84.5, "84.5"},
                {-0.125, "-0.125"},
                {0.1, "0.1"},
                {1e300, "1e+300"},
                {100, "100"},
                {99999999999.5, "99999999999.5"}};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct wbuf w = wbuf_init(0);

        wbuf_double(&w, rows[i].v);
        assert_string_equal(wbuf_cstr(&w), rows[i].text);
        wbuf_free(&w);
    }
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t bits = num_random(&seed);
        double v, back;
        struct wbuf w = wbuf_init(0);

        memcpy(&v, &bits, sizeof v);
        if (i % 2)
            v = (double)(int64_t)(bits % 2000000) / 1000.0 - 1000.0;
        if (v - v != 0) {
            wbuf_double(&w, v);
            assert_string_equal(wbuf_cstr(&w), "null");
        } else {
            wbuf_double(&w, v);
            back = strtod(wbuf_cstr(&w), NULL);
            assert_true(back == v);
        }
        wbuf_free(&w);
    }
}

static void
crc32c_matches_rfc3720(void **state)
{
    uint8_t bytes[32] = {0};

    (void)state;
    assert_int_equal(crc32c(0, bytes, 32), 0x8A9136AA);
    memset(bytes, 0xFF, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62A8AB43);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46DD794E);
    assert_int_equal(crc32c(crc32c(0, bytes, 13), bytes + 13, 19), 0x46DD794E);
}

static void
utf8_refuses_what_rfc3629_refuses(void **state)
{
    static const char *const bad[] = {"\x80",         "\xC0\xAF",         "\xE0\x80\xAF",
                                      "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80",
                                      "\xC3"};

    (void)state;
    assert_true(utf8_is_valid(slice_str("gr\xC3\xB6\xC3\x9F"
                                        "e \xE2\x82\xAC \xF0\x9D\x84\x9E")));
    for (size_t i = 0; i < MEM_COUNT(bad); i++)
        assert_false(utf8_is_valid(slice_str(bad[i])));
    for (size_t at = 0; at < 20; at++) { /* wherever it stands in the words that are looked at at once */
        char text[21] = "uns/plant/line1/temp";

        assert_true(utf8_is_valid(slice_str(text)));
        text[at] = '\xFF';
        assert_false(utf8_is_valid(slice_str(text)));
    }
    assert_int_equal(utf8_cut(slice_str("a\xE2\x82\xAC"), 3), 1);
    assert_int_equal(utf8_cut(slice_str("a\xE2\x82\xAC"), 4), 4);
    assert_int_equal(utf8_cut(slice_str("abc"), 2), 2);
}

static void
numbers_are_strict(void **state)
{
    int64_t i;
    uint64_t u;
    double d;
    bool b;

    (void)state;
    assert_true(num_i64(slice_str("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_false(num_i64(slice_str("9223372036854775808"), &i));
    assert_true(num_u64(slice_str("0xFF"), &u) && u == 255);
    assert_false(num_u64(slice_str("12 "), &u));
    assert_false(num_u64(slice_str(""), &u));
    assert_true(num_double(slice_str("-1.5e3"), &d) && d == -1500);
    assert_false(num_double(slice_str("nan"), &d));
    assert_false(num_double(slice_str("1e999"), &d));
    assert_false(num_double(slice_str("0x10"), &d));
    assert_true(num_bool(slice_str("Yes"), &b) && b);
    assert_false(num_bool(slice_str("2"), &b));
}

static void
durations_and_sizes_have_units(void **state)
{
    int64_t ms;
    uint64_t bytes;

    (void)state;
    assert_true(num_duration_ms(slice_str("250ms"), &ms) && ms == 250);
    assert_true(num_duration_ms(slice_str("1.5m"), &ms) && ms == 90000);
    assert_true(num_duration_ms(slice_str("2"), &ms) && ms == 2000);
    assert_false(num_duration_ms(slice_str("-1s"), &ms));
    assert_false(num_duration_ms(slice_str("5 parsec"), &ms));
    assert_true(num_bytes(slice_str("64MB"), &bytes) && bytes == 64u << 20);
    assert_true(num_bytes(slice_str("1 GiB"), &bytes) && bytes == 1u << 30);
}

static void
near_misses_are_found(void **state)
{
    static const char *const keys[] = {"poll_interval", "uns_prefix", "protocol", "host"};

    (void)state;
    assert_string_equal(num_near_miss("pol_interval", keys, 4), "poll_interval");
    assert_string_equal(num_near_miss("hots", keys, 4), "host");
    assert_null(num_near_miss("certificate", keys, 4));
}

static void
times_follow_rfc3339(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2023-11-14T22:13:20Z", 1700000000000000},
        {"2023-11-14T22:13:20.123Z", 1700000000123000},
        {"2023-11-14T22:13:20.123456Z", 1700000000123456},
        {"1969-12-31T23:59:59Z", -1000000},
        {"2000-02-29T12:00:00Z", 951825600000000},
    };
    char out[TIMEFMT_CAP];
    int64_t us;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        assert_true(timefmt_parse(slice_str(rows[i].text), &us) && us == rows[i].us);
        assert_string_equal(timefmt_rfc3339(rows[i].us, out), rows[i].text);
    }
    assert_true(timefmt_parse(slice_str("2023-11-15T00:13:20.5+02:00"), &us) && us == 1700000000500000);
    assert_false(timefmt_parse(slice_str("2023-02-30T00:00:00Z"), &us));
    assert_false(timefmt_parse(slice_str("2023-11-14T22:13:20"), &us));
}

static void
arena_keeps_what_it_gave(void **state)
{
    struct arena a = {0};
    char *texts[500];

    (void)state;
    for (unsigned i = 0; i < 500; i++)
        texts[i] = arena_printf(&a, "text number %u", i);
    char *big = arena_alloc(&a, 1u << 20);
    big[(1u << 20) - 1] = 'x';
    for (unsigned i = 0; i < 500; i++) {
        char expect[32];

        (void)snprintf(expect, sizeof expect, "text number %u", i);
        assert_string_equal(texts[i], expect);
    }
    arena_reset(&a);
    char *zeroed = arena_alloc(&a, 64);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(zeroed[i], 0);
    arena_free(&a);
}

static void
files_are_replaced_whole_and_secrets_are_private(void **state)
{
    char dir[] = "/tmp/nx-base-XXXXXX";
    char *text;
    size_t len;
    struct nx_note why;

    (void)state;
    assert_non_null(mkdtemp(dir));
    char *path = mem_printf("%s/a/b/file", dir);
    char *parent = mem_printf("%s/a/b", dir);
    assert_int_equal(file_make_dir(parent, 0700, &why), NX_OK);
    assert_int_equal(file_write(path, slice_str("secret\n"), 0600, &why), NX_OK);
    assert_int_equal(file_read(path, 100, &text, &len, &why), NX_OK);
    assert_int_equal(len, 7);
    free(text);
    assert_int_equal(file_read_secret(path, &text, &why), NX_OK);
    assert_string_equal(text, "secret");
    free(text);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(file_read_secret(path, &text, &why), NX_E_DENIED);
    assert_non_null(strstr(why.text, "chmod 600"));
    assert_int_equal(file_read(path, 3, &text, &len, &why), NX_E_TOO_LARGE);
    (void)unlink(path);
    assert_int_equal(file_read(path, 3, &text, &len, &why), NX_E_NOT_FOUND);
    assert_non_null(strstr(why.text, path));
    (void)rmdir(parent);
    free(path);
    free(parent);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wbuf_and_rbuf_agree),
        cmocka_unit_test(varint_longer_than_64_bits_is_refused),
        cmocka_unit_test(fixed_wbuf_fails_once_and_stays_failed),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(values_are_json),
        cmocka_unit_test(lists_are_taken_apart),
        cmocka_unit_test(doubles_read_back_the_same),
        cmocka_unit_test(crc32c_matches_rfc3720),
        cmocka_unit_test(utf8_refuses_what_rfc3629_refuses),
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(durations_and_sizes_have_units),
        cmocka_unit_test(near_misses_are_found),
        cmocka_unit_test(times_follow_rfc3339),
        cmocka_unit_test(arena_keeps_what_it_gave),
        cmocka_unit_test(files_are_replaced_whole_and_secrets_are_private),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
