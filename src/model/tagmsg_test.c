#include "model/tagmsg_fixture.h"

#include "base/num.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static enum nx_err
decode_bytes(const void *p, size_t len)
{
    enum nx_err err = tagmsg_decode(payload(p, len), &fx.scratch, &fx.msg, &fx.why);

    assert_true(err == NX_OK || fx.why.text[0] != '\0');
    return err;
}

static enum nx_err
decode(const char *json)
{
    return decode_bytes(json, strlen(json));
}

static bool
text_is(struct slice s, const char *want)
{
    return slice_eq_str(s, want);
}

static void
reads_the_contract(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"value\": 84.5, \"quality\": \"good\", \"timestamp\": 1700000000000, \"unit\": \"°C\","
                            "\"source_timestamp\": 1699999999999, \"seq\": 7}"),
                     NX_OK);
    assert_true(fx.msg.value.type == NX_TYPE_DOUBLE && fx.msg.value.d == 84.5);
    assert_int_equal(fx.msg.quality, NX_Q_GOOD);
    assert_int_equal(fx.msg.time_us, 1700000000000000);
    assert_int_equal(fx.msg.source_us, 1699999999999000);
    assert_true(text_is(fx.msg.unit, "°C"));
    assert_true(fx.msg.has_seq && fx.msg.seq == 7);
}

static void
reads_the_compact_spelling(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"v\":true,\"q\":64,\"u\":\"bar\",\"ts\":1700000000}"), NX_OK);
    assert_true(fx.msg.value.type == NX_TYPE_BOOL && fx.msg.value.b);
    assert_int_equal(fx.msg.quality, NX_Q_UNCERTAIN);
    assert_int_equal(fx.msg.time_us, 1700000000000000);
    assert_true(text_is(fx.msg.unit, "bar"));
    assert_false(fx.msg.has_seq);
}

static void
reads_bare_values(void **state)
{
    (void)state;
    assert_int_equal(decode(" 42 "), NX_OK);
    assert_true(fx.msg.value.type == NX_TYPE_INT && fx.msg.value.i == 42 && fx.msg.quality == NX_Q_GOOD);
    assert_int_equal(decode("-1.5e3"), NX_OK);
    assert_true(fx.msg.value.d == -1500);
    assert_int_equal(decode("\"on\\tline\""), NX_OK);
    assert_true(text_is(slice(fx.msg.value.s, fx.msg.value.len), "on\tline"));
    assert_int_equal(decode("false"), NX_OK);
    assert_true(fx.msg.value.type == NX_TYPE_BOOL && !fx.msg.value.b);
}

static void
types_of_numbers(void **state)
{
    (void)state;
    assert_int_equal(decode("9223372036854775807"), NX_OK);
    assert_true(fx.msg.value.type == NX_TYPE_INT && fx.msg.value.i == INT64_MAX);
    assert_int_equal(decode("-9223372036854775808"), NX_OK);
    assert_true(fx.msg.value.type == NX_TYPE_INT && fx.msg.value.i == INT64_MIN);
    assert_int_equal(decode("18446744073709551615"), NX_OK);
    assert_true(fx.msg.value.type == NX_TYPE_UINT && fx.msg.value.u == UINT64_MAX);
    assert_int_equal(decode("18446744073709551616"), NX_OK);
    assert_true(fx.msg.value.type == NX_TYPE_DOUBLE && fx.msg.value.d == 18446744073709551616.0);
    assert_int_equal(decode("-9223372036854775809"), NX_OK);
    assert_true(fx.msg.value.type == NX_TYPE_DOUBLE);
    assert_int_equal(decode("1.0"), NX_OK);
    assert_true(fx.msg.value.type == NX_TYPE_DOUBLE);
    assert_int_equal(decode("1e400"), NX_E_PROTO);
}

static void
bad_and_missing_values(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"value\":null,\"quality\":\"Timeout\",\"error\":\"no answer\"}"), NX_OK);
    assert_int_equal(fx.msg.value.type, NX_TYPE_NONE);
    assert_int_equal(fx.msg.quality, NX_Q_TIMEOUT);
    assert_true(text_is(fx.msg.error, "no answer"));
    assert_int_equal(decode("{\"value\":null}"), NX_OK);
    assert_int_equal(fx.msg.quality, NX_Q_BAD);
    assert_int_equal(decode("{\"quality\":\"bad\"}"), NX_OK);
    assert_int_equal(decode("{\"quality\":\"good\"}"), NX_E_PROTO);
    assert_int_equal(decode("{}"), NX_E_PROTO);
    assert_int_equal(decode("{\"value\":1,\"quality\":\"weird\"}"), NX_OK);
    assert_int_equal(fx.msg.quality, NX_Q_UNCERTAIN);
    assert_int_equal(decode("{\"value\":1,\"quality\":2147483648}"), NX_OK);
    assert_int_equal(fx.msg.quality, NX_Q_BAD);
}

static void
times_in_every_spelling(void **state)
{
    static const struct {
        const char *text;
        int64_t want_us;
    } rows[] = {
        {"1700000000", 1700000000000000},
        {"1700000000.25", 1700000000250000},
        {"1700000000123", 1700000000123000},
        {"1700000000123456", 1700000000123456},
        {"1700000000123456000", 1700000000123456},
        {"\"1700000000123\"", 1700000000123000},
        {"\"2023-11-14T22:13:20Z\"", 1700000000000000},
        {"\"2023-11-15T00:13:20.5+02:00\"", 1700000000500000},
        {"0", 0},
        {"null", 0},
        {"\"\"", 0},
    };
    static const char *const faults[] = {"17", "-5", "\"yesterday\"", "true", "[1]", "1e300", "315532799"};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        wbuf_reset(&fx.text);
        wbuf_printf(&fx.text, "{\"value\":1,\"timestamp\":%s}", rows[i].text);
        assert_int_equal(decode(wbuf_cstr(&fx.text)), NX_OK);
        assert_int_equal(fx.msg.time_us, rows[i].want_us);
    }
    for (size_t i = 0; i < MEM_COUNT(faults); i++) {
        wbuf_reset(&fx.text);
        wbuf_printf(&fx.text, "{\"value\":1,\"ts\":%s}", faults[i]);
        assert_int_equal(decode(wbuf_cstr(&fx.text)), NX_E_PROTO);
    }
}

static void
unknown_and_duplicate_members(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"meta\":{\"a\":[1,{\"b\":null}],\"value\":9},\"value\":1,\"value\":2,\"x\":[],\"y\":{},"
                            "\"z\":\"\\u00e4\",\"\\u0075nit\":\"m\\\"\"}"),
                     NX_OK);
    assert_int_equal(fx.msg.value.i, 2);
    assert_true(text_is(fx.msg.unit, "m\""));
    assert_int_equal(decode("{\"value\":1,\"unit\":5,\"error\":null,\"seq\":\"x\"}"), NX_OK);
    assert_int_equal(fx.msg.unit.len, 0);
    assert_false(fx.msg.has_seq);
}

static void
strings_survive_many_escapes(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"unit\":\"\\u20ac\\/\\ud83d\\ude00\",\"value\":\"a\\nb\",\"error\":\"\\b\\f\\r\"}"),
                     NX_OK);
    assert_true(text_is(fx.msg.unit, "€/😀"));
    assert_true(text_is(slice(fx.msg.value.s, fx.msg.value.len), "a\nb"));
    assert_true(text_is(fx.msg.error, "\b\f\r"));
}

static void
nesting_and_sizes_are_bounded(void **state)
{
    (void)state;
    for (int depth = 30; depth <= 34; depth++) {
        wbuf_reset(&fx.text);
        wbuf_str(&fx.text, "{\"value\":1,\"x\":");
        for (int i = 0; i < depth; i++)
            wbuf_char(&fx.text, '[');
        for (int i = 0; i < depth; i++)
            wbuf_char(&fx.text, ']');
        wbuf_char(&fx.text, '}');
        assert_int_equal(decode(wbuf_cstr(&fx.text)), depth <= 31 ? NX_OK : NX_E_PROTO);
    }
    for (size_t len = NX_STRING_MAX; len <= NX_STRING_MAX + 1; len++) {
        wbuf_reset(&fx.text);
        wbuf_char(&fx.text, '"');
        for (size_t i = 0; i < len; i++)
            wbuf_char(&fx.text, 'a');
        wbuf_char(&fx.text, '"');
        assert_int_equal(decode(wbuf_cstr(&fx.text)), len <= NX_STRING_MAX ? NX_OK : NX_E_TOO_LARGE);
    }
    wbuf_reset(&fx.text);
    wbuf_str(&fx.text, "1");
    for (int i = 0; i < 65536; i++)
        wbuf_char(&fx.text, ' ');
    assert_int_equal(decode(wbuf_cstr(&fx.text)), NX_E_TOO_LARGE);
}

/* --- against jansson --- */

static const char *const documents[] = {
    "{\"value\":1}",
    "{\"value\":-0}",
    "{\"value\":0.1}",
    "{\"value\":1e-5,\"q\":192}",
    "{\"v\":123456789.123456789}",
    "{\"value\":\"\\ud83d\\ude00\\\\ \\\" \"}",
    "{\"value\":\"ÄÖÜ€😀\"}",
    "{\"a\":{\"b\":[1,2.5,-3e2,true,false,null,\"x\",{}]},\"value\":false}",
    "\t{ \"value\" : 17 , \"unit\" : \"kg\" }\r\n",
    "{\"value\":2.2250738585072014e-308}",
    "{\"value\":1.7976931348623157e308}",
    "{\"value\":9007199254740993.0}",
    "{\"value\":1e-400}",
    "{\"value\":1,}",
    "{\"value\":01}",
    "{\"value\":1.}",
    "{\"value\":.5}",
    "{\"value\":+1}",
    "{\"value\":1e}",
    "{\"value\":0x10}",
    "{\"value\":NaN}",
    "{\"value\":tru}",
    "{'value':1}",
    "{\"value\":1}}",
    "{\"value\":1 \"q\":2}",
    "{\"value\":\"\\u0000\"}",
    "{\"value\":\"\\ud800\"}",
    "{\"value\":\"\\udc00\\ud800\"}",
    "{\"value\":\"\\x\"}",
    "{\"value\":\"a\nb\"}",
    "{\"value\":\"\xff\"}",
    "{\"value\":\"\xc0\x80\"}",
    "{\"value\":\"\xed\xa0\x80\"}",
    "{\"value\":1,\"x\":[1,]}",
    "{\"value\":1,\"x\":[1 2]}",
    "{\"value\":1,\"x\":{\"a\"}}",
    "{\"value\":1,\"x\":{1:2}}",
    "[1]",
    "",
    "nul",
};

/* The value member that jansson sees: the last of duplicates. v and value are not mixed in generated documents. */
static json_t *
value_of(json_t *root)
{
    if (!json_is_object(root))
        return root;
    json_t *v = json_object_get(root, "value");
    return v ? v : json_object_get(root, "v");
}

static void
check_value(const struct nx_value *got, const json_t *want)
{
    switch (got->type) {
    case NX_TYPE_NONE:
        assert_true(!want || json_is_null(want));
        break;
    case NX_TYPE_BOOL:
        assert_int_equal(got->b, json_is_true(want));
        break;
    case NX_TYPE_INT:
        assert_true(json_is_integer(want) && json_integer_value(want) == got->i);
        break;
    case NX_TYPE_DOUBLE:
        assert_true(json_is_real(want) && json_real_value(want) == got->d);
        break;
    case NX_TYPE_STRING:
        assert_true(json_is_string(want) && json_string_length(want) == got->len);
        assert_memory_equal(json_string_value(want), got->s, got->len);
        break;
    case NX_TYPE_UINT:
        fail_msg("jansson reads no such number");
    }
}

/* Where jansson and the schema agree we accept and see the same value; what jansson refuses we refuse, except whole
 * numbers beyond 64 bits. What we refuse although it is JSON must be a matter of our schema, which may_refuse states.
 */
static void
compare(const uint8_t *p, size_t len, bool may_refuse)
{
    json_error_t fault;
    json_t *root = json_loadb((const char *)p, len, JSON_DECODE_ANY, &fault);
    enum nx_err err = decode_bytes(p, len);

    if (root && err == NX_OK)
        check_value(&fx.msg.value, value_of(root));
    else if (root)
        assert_true(may_refuse || json_is_array(root));
    else if (err == NX_OK)
        assert_non_null(strstr(fault.text, "too big"));
    json_decref(root);
}

static void
agrees_with_jansson_on_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < MEM_COUNT(documents); i++) {
        size_t len = strlen(documents[i]);

        compare((const uint8_t *)documents[i], len, false);
        for (size_t cut = 0; cut < len; cut++)
            compare((const uint8_t *)documents[i], cut, false);
    }
}

static void
agrees_with_jansson_on_flipped_bytes(void **state)
{
    uint8_t bytes[256];
    uint64_t seed = 42;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(documents); i++) {
        size_t len = strlen(documents[i]);

        for (unsigned round = 0; len && round < 400; round++) {
            memcpy(bytes, documents[i], len);
            for (unsigned flips = 1 + round % 3; flips; flips--)
                bytes[num_random(&seed) % len] = "{}[]\",:\\u0e.-+9tfn \xc3\xa4x"[num_random(&seed) % 23];
            compare(bytes, len, true);
        }
    }
}

static json_t *
random_value(uint64_t *seed, bool is_nested)
{
    switch (num_random(seed) % (is_nested ? 8 : 6)) {
    case 0:
        return json_integer((json_int_t)num_random(seed));
    case 1:
        return json_real((num_random_unit(seed) - 0.5) * pow(10, (double)(num_random(seed) % 60) - 30));
    case 2:
        return json_boolean(num_random(seed) % 2);
    case 3:
        return json_null();
    case 4:
        return json_string("plain text");
    case 5:
        return json_string("\x01\"\\/\n\t äöü € 😀");
    case 6:
        return json_pack("[o,o]", random_value(seed, false), random_value(seed, false));
    default:
        return json_pack("{s:o,s:o}", "value", random_value(seed, false), "k", random_value(seed, false));
    }
}

static void
agrees_with_jansson_on_generated_documents(void **state)
{
    static const size_t flags[] = {JSON_COMPACT, JSON_INDENT(2), JSON_ENSURE_ASCII, JSON_COMPACT | JSON_ESCAPE_SLASH};
    uint64_t seed = 7;

    (void)state;
    for (unsigned round = 0; round < 4000; round++) {
        json_t *root = json_object();

        if (round % 3)
            json_object_set_new(root, "other", random_value(&seed, true));
        json_object_set_new(root, round % 2 ? "value" : "v", random_value(&seed, false));
        json_object_set_new(root, round % 2 ? "unit" : "u", random_value(&seed, true));
        json_object_set_new(root, "more", random_value(&seed, true));
        char *text = json_dumps(root, flags[round % MEM_COUNT(flags)] | JSON_REAL_PRECISION(17));
        assert_non_null(text);
        compare((const uint8_t *)text, strlen(text), false);
        free(text);
        json_decref(root);
    }
}

/* --- writing --- */

static void
encodes_the_contract(void **state)
{
    struct tagmsg m = {.value = nx_value_double(84.25), .quality = NX_Q_GOOD, .time_us = 1700000000000999};

    (void)state;
    wbuf_reset(&fx.text);
    tagmsg_encode(&fx.text, TAGMSG_JSON, &m);
    assert_string_equal(wbuf_cstr(&fx.text), "{\"value\":84.25,\"quality\":\"good\",\"timestamp\":1700000000000}");
    wbuf_reset(&fx.text);
    m.unit = slice_str("°C");
    m.source_us = 1699999999999000;
    m.has_seq = true;
    m.seq = 12;
    tagmsg_encode(&fx.text, TAGMSG_JSON, &m);
    assert_string_equal(wbuf_cstr(&fx.text),
                        "{\"value\":84.25,\"quality\":\"good\",\"timestamp\":1700000000000,\"unit\":\"°C\","
                        "\"source_timestamp\":1699999999999,\"seq\":12}");
    wbuf_reset(&fx.text);
    m = (struct tagmsg){.value = nx_value_int(3),
                        .quality = NX_Q_TIMEOUT,
                        .time_us = -1,
                        .error = slice_str("no \"answer\"")};
    tagmsg_encode(&fx.text, TAGMSG_COMPACT, &m);
    assert_string_equal(wbuf_cstr(&fx.text), "{\"v\":null,\"q\":24,\"ts\":-1,\"error\":\"no \\\"answer\\\"\"}");
}

static void
what_is_written_reads_back(void **state)
{
    struct nx_value values[] = {nx_value_bool(true), nx_value_int(INT64_MIN), nx_value_uint(UINT64_MAX),
                                nx_value_double(0.1), nx_value_string("ä\n\"", 4)};

    (void)state;
    for (size_t i = 0; i < 2 * MEM_COUNT(values); i++) {
        struct tagmsg m = {.value = values[i / 2], .quality = NX_Q_UNCERTAIN, .time_us = 1700000000123000};

        wbuf_reset(&fx.text);
        tagmsg_encode(&fx.text, i % 2 ? TAGMSG_COMPACT : TAGMSG_JSON, &m);
        assert_int_equal(decode(wbuf_cstr(&fx.text)), NX_OK);
        assert_true(value_eq(&fx.msg.value, &m.value));
        assert_int_equal(fx.msg.time_us, m.time_us);
        assert_int_equal(fx.msg.quality, m.quality);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_contract),
        cmocka_unit_test(reads_the_compact_spelling),
        cmocka_unit_test(reads_bare_values),
        cmocka_unit_test(types_of_numbers),
        cmocka_unit_test(bad_and_missing_values),
        cmocka_unit_test(times_in_every_spelling),
        cmocka_unit_test(unknown_and_duplicate_members),
        cmocka_unit_test(strings_survive_many_escapes),
        cmocka_unit_test(nesting_and_sizes_are_bounded),
        cmocka_unit_test(agrees_with_jansson_on_documents),
        cmocka_unit_test(agrees_with_jansson_on_flipped_bytes),
        cmocka_unit_test(agrees_with_jansson_on_generated_documents),
        cmocka_unit_test(encodes_the_contract),
        cmocka_unit_test(what_is_written_reads_back),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
