/* Every type both ways: bytes by hand, the value, and the same bytes again. */
#include "s7_value.h"
#include "s7_write.h"

#include "base/mem.h"
#include "s7_time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct vector {
    const char *address;
    enum nx_data_type data_type;
    const char *hex; /* bytes in the CPU */
    const char *value;
};

/* Values as text: what printf makes of them. */
static const struct vector vectors[] = {
    {"DB1.DBX0.0", NX_DT_BOOL, "01", "true"},
    {"DB1.DBW0", NX_DT_BOOL, "0001", "true"},
    {"DB1.DBB0:BYTE", NX_DT_UINT8, "C8", "200"},
    {"DB1.DBW0:WORD", NX_DT_UINT16, "BEEF", "48879"},
    {"DB1.DBD0:DWORD", NX_DT_UINT32, "DEADBEEF", "3735928559"},
    {"DB1.DBL0:LWORD", NX_DT_UINT64, "FFFFFFFFFFFFFFFF", "18446744073709551615"},
    {"DB1.DBB0:SINT", NX_DT_INT8, "80", "-128"},
    {"DB1.DBB0:USINT", NX_DT_UINT8, "FF", "255"},
    {"DB1.DBW0:INT", NX_DT_INT16, "8000", "-32768"},
    {"DB1.DBW0:INT", NX_DT_INT64, "FFFF", "-1"},
    {"DB1.DBW0:INT", NX_DT_FLOAT64, "FF38", "-200"},
    {"DB1.DBW0:UINT", NX_DT_UINT16, "FFFF", "65535"},
    {"DB1.DBD0:DINT", NX_DT_INT32, "88CA6C00", "-2000000000"},
    {"DB1.DBD0:UDINT", NX_DT_UINT32, "FFFFFFFF", "4294967295"},
    {"DB1.DBL0:LINT", NX_DT_INT64, "8000000000000000", "-9223372036854775808"},
    {"DB1.DBL0:ULINT", NX_DT_UINT64, "8000000000000001", "9223372036854775809"},
    {"DB1.DBD0:REAL", NX_DT_FLOAT32, "BFC00000", "-1.5"},
    {"DB1.DBL0:LREAL", NX_DT_FLOAT64, "3FF8000000000000", "1.5"},
    {"DB1.DBB0:CHAR", NX_DT_STRING, "41", "A"},
    {"DB1.DBB0:CHAR", NX_DT_UINT8, "41", "65"},
    {"DB1.DBB0:CHAR[5]", NX_DT_STRING, "4142432020", "ABC"},
    {"DB1.DBB0:WCHAR", NX_DT_STRING, "20AC", "\u20AC"},
    {"DB1.DBB0:WCHAR", NX_DT_UINT16, "20AC", "8364"},
    {"DB1.DBB0:STRING[4]", NX_DT_STRING, "04024142FFFF", "AB"},
    {"DB1.DBB0:STRING[4]", NX_DT_STRING, "0402C3E4", "\u00C3\u00E4"}, /* ISO 8859-1, whatever it looks like */
    {"DB1.DBB0:STRING[4]", NX_DT_STRING, "0400FFFFFFFF", ""},
    {"DB1.DBB0:WSTRING[3]", NX_DT_STRING, "00030002004100E9", "A\u00E9"},
    {"DB1.DBB0:WSTRING[3]", NX_DT_STRING, "00030002D83DDE00", "\U0001F600"},
    {"DB1.DBW0:S5TIME", NX_DT_INT32, "0127", "1270"},
    {"DB1.DBW0:S5TIME", NX_DT_INT32, "3999", "9990000"},
    {"DB1.DBD0:TIME", NX_DT_INT32, "FFFFEC78", "-5000"},
    {"DB1.DBL0:LTIME", NX_DT_INT64, "FFFFFFFFFFFFFFFF", "-1"},
    {"DB1.DBL0:LTIME", NX_DT_FLOAT64, "000000000016E360", "1.5"},
    {"DB1.DBD0:TOD", NX_DT_UINT32, "05265BFF", "86399999"},
    {"DB1.DBL0:LTOD", NX_DT_UINT64, "00004E94914EFFFF", "86399999999999"},
    {"DB1.DBW0:DATE", NX_DT_STRING, "0000", "1990-01-01"},
    {"DB1.DBW0:DATE", NX_DT_STRING, "337E", "2026-02-03"},
    {"DB1.DBW0:DATE", NX_DT_INT64, "0001", "631238400000"},
    {"DB1.DBB0:DT", NX_DT_STRING, "2602030405067893", "2026-02-03T04:05:06.789Z"},
    {"DB1.DBB0:DT", NX_DT_STRING, "9001010000000002", "1990-01-01T00:00:00Z"},
    {"DB1.DBB0:DT", NX_DT_INT64, "0002292359599993", "951868799999"},
    {"DB1.DBB0:LDT", NX_DT_STRING, "0000000000000000", "1970-01-01T00:00:00Z"},
    {"DB1.DBB0:LDT", NX_DT_INT64, "00000000000F4240", "1"},
    {"DB1.DBB0:DTL", NX_DT_STRING, "07EA0203030405062F072F40", "2026-02-03T04:05:06.789Z"},
    {"DB1.DBB0:DTL", NX_DT_INT64, "07B201010500000000000000", "0"},
    {"T0", NX_DT_INT32, "1150", "15000"},
    {"C0", NX_DT_UINT16, "0321", "321"},
    {"C0:WORD", NX_DT_UINT16, "0321", "801"},
};

/* Whose way back is another. */
static const struct vector readings[] = {
    {"T0", NX_DT_INT32, "2015", "15000"}, /* a coarser base than needed */
    {"DB1.DBX0.7", NX_DT_BOOL, "80", "true"},
    {"DB1.DBX0.6", NX_DT_BOOL, "80", "false"},
    {"DB1.DBB0:CHAR[5]", NX_DT_STRING, "41420043FF", "AB"},
    {"DB1.DBB0:STRING[4]", NX_DT_STRING, "FEFE41424344", "ABCD"}, /* length past its end: cut */
    {"DB1.DBB0:WSTRING[3]", NX_DT_STRING, "00030002DE000041",
     "\uFFFD"
     "A"}, /* half a character */
    {"DB1.DBB0:WSTRING[1]", NX_DT_STRING, "FFFFFFFFD83D", "\uFFFD"},
};

static struct s7_addr
addr_of(const char *text, enum nx_data_type data_type)
{
    struct nx_addr_spec spec = {.address = text, .data_type = data_type};
    struct s7_addr addr = {0};
    struct nx_addr_info info;
    struct nx_note why;

    if (s7_addr_parse(&spec, &addr, &info, &why) != NX_OK)
        fail_msg("%s: %s", text, why.text);
    return addr;
}

/* As many bytes as the address has; missing ones are 0xEE, which no value reads. */
static uint8_t *
bytes_of(const char *hex, const struct s7_addr *addr)
{
    uint8_t *p = mem_alloc(addr->bytes);
    unsigned byte;

    memset(p, 0xEE, addr->bytes);
    for (size_t i = 0; i < strlen(hex) / 2 && i < addr->bytes; i++) {
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        p[i] = (uint8_t)byte;
    }
    return p;
}

static void
print(const struct nx_value *v, char out[64])
{
    switch (v->type) {
    case NX_TYPE_BOOL:
        snprintf(out, 64, "%s", v->b ? "true" : "false");
        break;
    case NX_TYPE_INT:
        snprintf(out, 64, "%lld", (long long)v->i);
        break;
    case NX_TYPE_UINT:
        snprintf(out, 64, "%llu", (unsigned long long)v->u);
        break;
    case NX_TYPE_DOUBLE:
        snprintf(out, 64, "%.17g", v->d);
        break;
    default:
        snprintf(out, 64, "%.*s", (int)v->len, v->s);
    }
}

/* What is written lies at its place, and nothing in front of it is touched. */
static void
assert_written(const struct vector *t, const struct s7_addr *addr, const struct nx_value *v, const uint8_t *bytes)
{
    uint8_t *out = mem_alloc(addr->bytes);
    unsigned skip, len;
    struct nx_note why;

    if (s7_value_encode(addr, v, out, &skip, &len, &why) != NX_OK)
        fail_msg("%s: %s", t->address, why.text);
    assert_true(skip + len <= addr->bytes);
    if (memcmp(out, bytes + skip, len) != 0)
        fail_msg("%s = %s is written wrongly", t->address, t->value);
    free(out);
}

static void
check(const struct vector *t, bool is_both_ways)
{
    char *text = mem_alloc(S7_TEXT_MAX);
    char got[64];
    struct nx_value v;
    struct s7_addr addr = addr_of(t->address, t->data_type);
    uint8_t *p = bytes_of(t->hex, &addr);

    assert_int_equal(s7_value_decode(&addr, p, text, &v), NX_OK);
    print(&v, got);
    if (strcmp(got, t->value) != 0)
        fail_msg("%s: %s, expected %s", t->address, got, t->value);
    if (is_both_ways)
        assert_written(t, &addr, &v, p);
    free(p);
    free(text);
}

static void
every_type_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < MEM_COUNT(vectors); i++)
        check(&vectors[i], true);
    for (size_t i = 0; i < MEM_COUNT(readings); i++)
        check(&readings[i], false);
}

static void
what_is_no_value_is_said(void **state)
{
    static const struct {
        const char *address;
        enum nx_data_type data_type;
        const char *hex;
        enum nx_err err;
    } rows[] = {
        {"DB1.DBD0:REAL", NX_DT_FLOAT32, "7FC00000", NX_E_VALUE},
        {"DB1.DBL0:LREAL", NX_DT_FLOAT64, "7FF0000000000000", NX_E_VALUE},
        {"DB1.DBW0:S5TIME", NX_DT_INT32, "00A0", NX_E_VALUE},
        {"C0", NX_DT_UINT16, "0A00", NX_E_VALUE},
        {"DB1.DBB0:DT", NX_DT_STRING, "2613010000000002", NX_E_VALUE},
        {"DB1.DBB0:DT", NX_DT_STRING, "2602300000000002", NX_E_VALUE},
        {"DB1.DBB0:DTL", NX_DT_STRING, "000000000000000000000000", NX_E_VALUE},
        {"DB1.DBW0:INT", NX_DT_UINT16, "FFFF", NX_E_RANGE},
        {"DB1.DBD0:DINT", NX_DT_INT16, "00010000", NX_E_RANGE},
        {"DB1.DBL0:ULINT", NX_DT_INT64, "8000000000000000", NX_E_RANGE},
    };
    struct nx_value v;
    char *text = mem_alloc(S7_TEXT_MAX);

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct s7_addr addr = addr_of(rows[i].address, rows[i].data_type);
        uint8_t *p = bytes_of(rows[i].hex, &addr);
        assert_int_equal(s7_value_decode(&addr, p, text, &v), rows[i].err);
        free(p);
    }
    free(text);
}

static void
what_does_not_fit_is_not_written(void **state)
{
    static const struct {
        const char *address;
        enum nx_data_type data_type;
        struct nx_value value;
        enum nx_err err;
    } rows[] = {
        {"DB1.DBX0.0", NX_DT_BOOL, {.type = NX_TYPE_UINT, .u = 2}, NX_E_RANGE},
        {"DB1.DBB0:USINT", NX_DT_UINT8, {.type = NX_TYPE_UINT, .u = 256}, NX_E_RANGE},
        {"DB1.DBW0:UINT", NX_DT_INT32, {.type = NX_TYPE_INT, .i = -1}, NX_E_RANGE},
        {"DB1.DBW0:INT", NX_DT_INT32, {.type = NX_TYPE_INT, .i = 32768}, NX_E_RANGE},
        {"DB1.DBW0:INT", NX_DT_FLOAT64, {.type = NX_TYPE_DOUBLE, .d = 1.5}, NX_E_VALUE},
        {"DB1.DBD0:REAL", NX_DT_FLOAT64, {.type = NX_TYPE_DOUBLE, .d = 1e39}, NX_E_RANGE},
        {"DB1.DBD0:REAL", NX_DT_FLOAT32, {.type = NX_TYPE_STRING, .len = 1, .s = "1"}, NX_E_VALUE},
        {"DB1.DBB0:STRING[3]", NX_DT_STRING, {.type = NX_TYPE_STRING, .len = 4, .s = "ABCD"}, NX_E_RANGE},
        {"DB1.DBB0:STRING[3]", NX_DT_STRING, {.type = NX_TYPE_STRING, .len = 3, .s = "\u20AC"}, NX_E_VALUE},
        {"DB1.DBB0:STRING[3]", NX_DT_STRING, {.type = NX_TYPE_STRING, .len = 1, .s = "\xFF"}, NX_E_VALUE},
        {"DB1.DBB0:WSTRING[1]", NX_DT_STRING, {.type = NX_TYPE_STRING, .len = 4, .s = "\U0001F600"}, NX_E_RANGE},
        {"DB1.DBB0:STRING[3]", NX_DT_STRING, {.type = NX_TYPE_UINT, .u = 1}, NX_E_VALUE},
        {"DB1.DBW0:S5TIME", NX_DT_INT32, {.type = NX_TYPE_INT, .i = 9990001}, NX_E_RANGE},
        {"DB1.DBW0:S5TIME", NX_DT_INT32, {.type = NX_TYPE_INT, .i = -1}, NX_E_RANGE},
        {"DB1.DBD0:TOD", NX_DT_UINT32, {.type = NX_TYPE_UINT, .u = 86400000}, NX_E_RANGE},
        {"DB1.DBW0:DATE", NX_DT_STRING, {.type = NX_TYPE_STRING, .len = 10, .s = "1989-12-31"}, NX_E_RANGE},
        {"DB1.DBB0:DT", NX_DT_STRING, {.type = NX_TYPE_STRING, .len = 20, .s = "2090-01-01T00:00:00Z"}, NX_E_RANGE},
        {"DB1.DBB0:DT", NX_DT_STRING, {.type = NX_TYPE_STRING, .len = 5, .s = "today"}, NX_E_VALUE},
        {"DB1.DBB0:LDT", NX_DT_INT64, {.type = NX_TYPE_INT, .i = INT64_MAX}, NX_E_RANGE},
        {"C0", NX_DT_UINT16, {.type = NX_TYPE_UINT, .u = 1000}, NX_E_RANGE},
    };
    uint8_t *out = mem_alloc(S7_VALUE_BYTES);
    unsigned skip, len;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct s7_addr addr = addr_of(rows[i].address, rows[i].data_type);
        struct nx_note why = {0};
        enum nx_err err = s7_value_encode(&addr, &rows[i].value, out, &skip, &len, &why);
        if (err != rows[i].err || why.text[0] == '\0')
            fail_msg("row %zu (%s): %s %s", i, rows[i].address, nx_err_name(err), why.text);
    }
    free(out);
}

/* Each day of two centuries and each S5TIME. */
static void
calendar_and_clock_are_their_own_inverse(void **state)
{
    uint8_t dt[8], dtl[12];
    int64_t back;

    (void)state;
    for (int64_t day = 7305; day < 7305 + 36525; day++) {
        int64_t ns = day * S7_NS_PER_DAY + day % 86400 * 1000000000 + 123 * S7_NS_PER_MS;
        assert_true(s7_dt_encode(ns, dt) && s7_dt_decode(dt, &back));
        assert_true(back == ns);
        assert_true(s7_dtl_encode(ns, dtl) && s7_dtl_decode(dtl, &back));
        assert_true(back == ns);
        assert_int_equal(dt[7] & 0xF, dtl[4]);
        assert_int_equal(dtl[4], (day + 4) % 7 + 1);
    }
    for (unsigned base = 0; base < 4; base++)
        for (unsigned n = 100; n < 1000; n++) {
            assert_true(s7_s5time_decode(base << 12 | s7_counter_encode(n), &back));
            assert_int_equal(s7_s5time_encode(back), base << 12 | s7_counter_encode(n));
        }
}

/* The jobs of a long text: characters first, the piece with the length last, none too large. */
static void
long_text_is_written_from_its_end(void **state)
{
    struct s7_addr addr = addr_of("DB1.DBB10:STRING[254]", NX_DT_STRING);
    struct s7_write *wr = mem_alloc(s7_write_size(&addr));
    uint8_t cpu[256] = {254};
    char text[254];
    struct nx_value v = nx_value_string(text, sizeof text);
    struct s7_item item;
    struct slice data;
    uint32_t last = UINT32_MAX;

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('A' + i % 26);
    assert_int_equal(s7_write_init(wr, &addr, &v, 240, NULL), NX_OK);
    for (unsigned jobs = 0; s7_write_next(wr, &item, &data); jobs++) {
        assert_true(S7_WRITE_BYTES + data.len <= 240 && jobs < 2);
        assert_true(item.start < last && item.start + data.len <= last);
        memcpy(cpu + item.start - 10, data.p, data.len);
        last = item.start;
    }
    assert_int_equal(last, 11); /* the maximum is the CPU's */
    assert_int_equal(cpu[1], 254);
    assert_memory_equal(cpu + 2, text, sizeof text);
    free(wr);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_both_ways),
        cmocka_unit_test(what_is_no_value_is_said),
        cmocka_unit_test(what_does_not_fit_is_not_written),
        cmocka_unit_test(calendar_and_clock_are_their_own_inverse),
        cmocka_unit_test(long_text_is_written_from_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
