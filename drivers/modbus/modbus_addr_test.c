#include "modbus_addr.h"

#include "base/mem.h"
#include "conformance/fake_host.h"
#include "modbus_value.h"
#include "modbus_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static enum nx_err
parse_element(const char *text, enum nx_data_type type, const char *setting, uint32_t element, struct modbus_addr *addr,
              struct nx_addr_info *info, struct nx_note *why)
{
    const char *pairs[] = {setting, NULL};
    struct nx_settings settings = {modbus_tag_params, pairs};
    struct nx_addr_spec spec = {.address = text, .data_type = type, .element = element, .settings = &settings};

    *addr = (struct modbus_addr){0};
    return modbus_addr_parse(&spec, addr, info, why);
}

static enum nx_err
parse(const char *text, enum nx_data_type type, const char *setting, struct modbus_addr *addr, char canonical[64],
      struct nx_note *why)
{
    struct nx_addr_info info = {0};
    enum nx_err err = parse_element(text, type, setting, 0, addr, &info, why);

    snprintf(canonical, 64, "%.63s", info.canonical);
    return err;
}

static void
addresses_become_wire_addresses(void **state)
{
    static const struct {
        const char *text, *setting, *canonical;
        enum nx_data_type type;
    } rows[] = {
        {"40001", NULL, "holding:0", NX_DT_UINT16},
        {"400001", NULL, "holding:0", NX_DT_UINT16},
        {"49999", NULL, "holding:9998", NX_DT_UINT16},
        {"465536", NULL, "holding:65535", NX_DT_UINT16},
        {"30010", NULL, "input:9", NX_DT_INT16},
        {"300010", NULL, "input:9", NX_DT_INT16},
        {"10005", NULL, "discrete:4", NX_DT_BOOL},
        {"00003", NULL, "coil:2", NX_DT_BOOL},
        {"000003", NULL, "coil:2", NX_DT_BOOL},
        {"40001.3", NULL, "holding:0.3", NX_DT_BOOL},
        {" 40001 ", NULL, "holding:0", NX_DT_UINT16},
        {"holding:100", NULL, "holding:100", NX_DT_FLOAT32},
        {"Holding:100", NULL, "holding:100", NX_DT_FLOAT32},
        {"holding: 100", NULL, "holding:100", NX_DT_FLOAT32},
        {"hr100", NULL, "holding:100", NX_DT_INT64},
        {"hr:0x1F", NULL, "holding:31", NX_DT_UINT16},
        {"ir7", NULL, "input:7", NX_DT_UINT16},
        {"input:7.15", NULL, "input:7.15", NX_DT_BOOL},
        {"coil:0", NULL, "coil:0", NX_DT_BOOL},
        {"c12", NULL, "coil:12", NX_DT_BOOL},
        {"di:65535", NULL, "discrete:65535", NX_DT_BOOL},
        {"holding:40001", NULL, "holding:40001", NX_DT_UINT16},
        {"holding:100", "address_base=one_based", "holding:99", NX_DT_UINT16},
        {"40001", "address_base=one_based", "holding:0", NX_DT_UINT16},
        {"100", "register_type=holding_register", "holding:100", NX_DT_UINT16},
        {"0", "register_type=input", "input:0", NX_DT_UINT16},
        {"40001", "register_type=holding_register", "holding:0", NX_DT_UINT16},
        {"20000", "register_type=holding", "holding:20000", NX_DT_UINT16},
        {"5", "register_type=coil", "coil:5", NX_DT_BOOL},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct modbus_addr addr;
        char canonical[64] = "";
        struct nx_note why = {0};
        if (parse(rows[i].text, rows[i].type, rows[i].setting, &addr, canonical, &why) != NX_OK)
            fail_msg("%s: %s", rows[i].text, why.text);
        assert_string_equal(canonical, rows[i].canonical);
    }
}

static void
wrong_addresses_say_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *setting, *says;
        enum nx_data_type type;
    } rows[] = {
        {"", NULL, "which table", NX_DT_UINT16},
        {"100", NULL, "which table", NX_DT_UINT16},
        {"40000", NULL, "begin at 1: the first holding is 40001", NX_DT_UINT16},
        {"465537", NULL, "outside 0..65535", NX_DT_UINT16},
        {"holding:65536", NULL, "outside 0..65535", NX_DT_UINT16},
        {"holding:0", "address_base=one_based", "outside", NX_DT_UINT16},
        {"holding:65535", NULL, "past the last register", NX_DT_UINT32},
        {"holding:", NULL, "no register number", NX_DT_UINT16},
        {"holding:1x", NULL, "no register number", NX_DT_UINT16},
        {"holding:-1", NULL, "no register number", NX_DT_UINT16},
        {"holdin:1", NULL, "did you mean 'holding'", NX_DT_UINT16},
        {"40001.16", NULL, "0 (lowest) to 15", NX_DT_BOOL},
        {"40001.", NULL, "0 (lowest) to 15", NX_DT_BOOL},
        {"40001.3", NULL, "data_type bool", NX_DT_UINT16},
        {"coil:1", NULL, "must be bool", NX_DT_UINT16},
        {"coil:1.1", NULL, "one bit already", NX_DT_BOOL},
        {"30001", "register_type=holding_register", "register_type says holding", NX_DT_UINT16},
        {"holding:1", NULL, "register_count from 1", NX_DT_STRING},
        {"holding:1", "register_count=1", "takes 2 registers", NX_DT_FLOAT32},
        {"holding:1", "byte_order=ABCDEFGH", "use ABCD", NX_DT_FLOAT32},
        {"holding:1[", NULL, "part in brackets", NX_DT_UINT16},
        {"holding:1[]", NULL, "part in brackets", NX_DT_UINT16},
        {"holding:1[0]", NULL, "part in brackets", NX_DT_UINT16},
        {"holding:1[5", NULL, "part in brackets", NX_DT_UINT16},
        {"holding:1[5].3", NULL, "part in brackets", NX_DT_BOOL},
        {"holding:1[65536]", NULL, "past the last address", NX_DT_UINT16},
        {"holding:65530[4]", NULL, "past the last address", NX_DT_FLOAT32},
        {"holding:65535.8[9]", NULL, "past the last address", NX_DT_BOOL},
        {"coil:65535[2]", NULL, "past the last address", NX_DT_BOOL},
        {"holding:1", "encoding=bcd", "encoding bcd needs", NX_DT_FLOAT32},
        {"holding:1", "encoding=bcd", "encoding bcd needs", NX_DT_UINT8},
        {"coil:1", "write_function=read_write", "is for registers", NX_DT_BOOL},
        {"hr1.1", "write_function=read_write", "is for registers", NX_DT_BOOL},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct modbus_addr addr;
        char canonical[64] = "";
        struct nx_note why = {0};
        assert_int_equal(parse(rows[i].text, rows[i].type, rows[i].setting, &addr, canonical, &why), NX_E_CONFIG);
        if (!strstr(why.text, rows[i].says))
            fail_msg("%s: '%s' does not say '%s'", rows[i].text, why.text, rows[i].says);
    }
}

static void
elements_of_arrays_follow_each_other(void **state)
{
    static const struct {
        const char *text, *setting;
        enum nx_data_type type;
        uint32_t element, elements;
        const char *canonical;
    } rows[] = {
        {"40001[10]", NULL, NX_DT_UINT16, 0, 10, "holding:0"},
        {"40001[10]", NULL, NX_DT_UINT16, 9, 10, "holding:9"},
        {"holding:0 [10]", NULL, NX_DT_FLOAT32, 9, 10, "holding:18"},
        {"hr100[3]", NULL, NX_DT_FLOAT64, 2, 3, "holding:108"},
        {"hr100[3]", "register_count=5", NX_DT_STRING, 2, 3, "holding:110"},
        {"coil:7[100]", NULL, NX_DT_BOOL, 50, 100, "coil:57"},
        {"10001[8]", NULL, NX_DT_BOOL, 7, 8, "discrete:7"},
        {"hr5.14[4]", NULL, NX_DT_BOOL, 1, 4, "holding:5.15"},
        {"hr5.14[4]", NULL, NX_DT_BOOL, 3, 4, "holding:6.1"},
        {"hr5", NULL, NX_DT_INT32, 3, 0, "holding:11"}, /* the number of elements may be said elsewhere */
        {"hr0[65536]", NULL, NX_DT_UINT16, 65535, 65536, "holding:65535"},
        {"hr65535.0[16]", NULL, NX_DT_BOOL, 15, 16, "holding:65535.15"},
    };
    struct nx_addr_info info;
    struct modbus_addr addr;
    struct nx_note why = {0};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        info = (struct nx_addr_info){0};
        if (parse_element(rows[i].text, rows[i].type, rows[i].setting, rows[i].element, &addr, &info, &why) != NX_OK)
            fail_msg("%s: %s", rows[i].text, why.text);
        assert_string_equal(info.canonical, rows[i].canonical);
        assert_int_equal(info.elements, rows[i].elements);
    }
    assert_int_equal(parse_element("hr0[4]", NX_DT_UINT16, NULL, 4, &addr, &info, &why), NX_E_CONFIG);
    assert_int_equal(parse_element("hr65530", NX_DT_UINT16, NULL, 6, &addr, &info, &why), NX_E_CONFIG);
    assert_int_equal(parse_element("hr0", NX_DT_UINT16, NULL, UINT32_MAX, &addr, &info, &why), NX_E_CONFIG);
}

static void
byte_orders_spell_out_the_wire(void **state)
{
    static const char *const names[] = {"ABCD",     "CDAB",     "BADC",     "DCBA",     "ABCDEFGH", "BADCFEHG",
                                        "CDABGHEF", "DCBAHGFE", "EFGHABCD", "FEHGBADC", "GHEFCDAB", "HGFEDCBA"};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(names); i++) {
        size_t size = strlen(names[i]);
        char setting[32] = "byte_order=", text[MODBUS_TEXT_MAX], canonical[64];
        struct modbus_addr addr;
        struct nx_value v, back = nx_value_uint(size == 4 ? 0x41424344 : 0x4142434445464748);
        uint8_t wire[8];

        strcat(setting, names[i]);
        assert_int_equal(parse("hr0", size == 4 ? NX_DT_UINT32 : NX_DT_UINT64, setting, &addr, canonical, NULL), NX_OK);
        assert_int_equal(modbus_value_decode(&addr, (const uint8_t *)names[i], text, &v, NULL), NX_OK);
        assert_true(v.u == back.u);
        assert_int_equal(modbus_value_encode(&addr, &back, wire, NULL), NX_OK);
        assert_memory_equal(wire, names[i], size);
    }
}

/* The same names on values of other sizes, and the words other products use. */
static void
byte_order_aliases(void **state)
{
    static const struct {
        const char *setting, *wire;
        enum nx_data_type type;
        uint64_t value;
    } rows[] = {
        {"byte_order=big_endian", "ABCD", NX_DT_UINT32, 0x41424344},
        {"byte_order=little_endian", "DCBA", NX_DT_UINT32, 0x41424344},
        {"byte_order=mid_big_endian", "BADC", NX_DT_UINT32, 0x41424344},
        {"byte_order=mid_little_endian", "CDAB", NX_DT_UINT32, 0x41424344},
        {"byte_order=word_swap", "CDAB", NX_DT_UINT32, 0x41424344},
        {"byte_order=byte_swap", "BADC", NX_DT_UINT32, 0x41424344},
        {"byte_order=CDAB", "GHEFCDAB", NX_DT_UINT64, 0x4142434445464748},
        {"byte_order=little_endian", "HGFEDCBA", NX_DT_UINT64, 0x4142434445464748},
        {"byte_order=CDAB", "AB", NX_DT_UINT16, 0x4142},
        {"byte_order=DCBA", "BA", NX_DT_UINT16, 0x4142},
        {"byte_order=BA", "BA", NX_DT_UINT16, 0x4142},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct modbus_addr addr;
        char canonical[64], text[MODBUS_TEXT_MAX];
        struct nx_value v;

        assert_int_equal(parse("hr0", rows[i].type, rows[i].setting, &addr, canonical, NULL), NX_OK);
        assert_int_equal(modbus_value_decode(&addr, (const uint8_t *)rows[i].wire, text, &v, NULL), NX_OK);
        assert_true(v.u == rows[i].value);
    }
}

static struct modbus_addr
addr_of(enum nx_data_type type, const char *setting)
{
    struct modbus_addr addr;
    char canonical[64];

    assert_int_equal(parse("hr0", type, setting, &addr, canonical, NULL), NX_OK);
    return addr;
}

static void
types_are_decoded(void **state)
{
    static const uint8_t minus_two[] = {0xFF, 0xFE, 0xFF, 0xFE, 0xFF, 0xFE, 0xFF, 0xFE};
    static const uint8_t pi[] = {0x40, 0x49, 0x0F, 0xDB}, e[] = {0x40, 0x05, 0xBF, 0x0A, 0x8B, 0x14, 0x57, 0x69};
    char text[MODBUS_TEXT_MAX];
    struct nx_value v;
    struct modbus_addr a;

    (void)state;
    a = addr_of(NX_DT_INT8, NULL);
    assert_int_equal(modbus_value_decode(&a, minus_two, text, &v, NULL), NX_OK);
    assert_true(v.type == NX_TYPE_INT && v.i == -2);
    a = addr_of(NX_DT_UINT8, NULL);
    assert_int_equal(modbus_value_decode(&a, minus_two, text, &v, NULL), NX_OK);
    assert_true(v.type == NX_TYPE_UINT && v.u == 254);
    a = addr_of(NX_DT_INT16, NULL);
    assert_int_equal(modbus_value_decode(&a, minus_two, text, &v, NULL), NX_OK);
    assert_true(v.type == NX_TYPE_INT && v.i == -2);
    a = addr_of(NX_DT_INT32, NULL);
    assert_int_equal(modbus_value_decode(&a, minus_two, text, &v, NULL), NX_OK);
    assert_true(v.type == NX_TYPE_INT && v.i == (int32_t)0xFFFEFFFE);
    a = addr_of(NX_DT_INT64, NULL);
    assert_int_equal(modbus_value_decode(&a, minus_two, text, &v, NULL), NX_OK);
    assert_true(v.type == NX_TYPE_INT && v.i == (int64_t)0xFFFEFFFEFFFEFFFE);
    a = addr_of(NX_DT_FLOAT32, NULL);
    assert_int_equal(modbus_value_decode(&a, pi, text, &v, NULL), NX_OK);
    assert_true(v.type == NX_TYPE_DOUBLE && fabs(v.d - 3.14159274) < 1e-7);
    a = addr_of(NX_DT_FLOAT64, NULL);
    assert_int_equal(modbus_value_decode(&a, e, text, &v, NULL), NX_OK);
    assert_true(v.type == NX_TYPE_DOUBLE && fabs(v.d - 2.718281828459045) < 1e-15);
    a = addr_of(NX_DT_BOOL, NULL);
    assert_int_equal(modbus_value_decode(&a, minus_two, text, &v, NULL), NX_OK);
    assert_true(v.type == NX_TYPE_BOOL && v.b);
    a.bit = 0;
    assert_int_equal(modbus_value_decode(&a, minus_two, text, &v, NULL), NX_OK);
    assert_true(v.type == NX_TYPE_BOOL && !v.b);
}

static void
nan_and_infinity_are_no_values(void **state)
{
    static const uint8_t nan4[] = {0x7F, 0xC0, 0, 0}, inf4[] = {0xFF, 0x80, 0, 0},
                         nan8[] = {0x7F, 0xF8, 0, 0, 0, 0, 0, 0};
    struct modbus_addr f = addr_of(NX_DT_FLOAT32, NULL), d = addr_of(NX_DT_FLOAT64, NULL);
    char text[MODBUS_TEXT_MAX];
    struct nx_value v;

    (void)state;
    assert_int_equal(modbus_value_decode(&f, nan4, text, &v, NULL), NX_E_VALUE);
    assert_int_equal(modbus_value_decode(&f, inf4, text, &v, NULL), NX_E_VALUE);
    assert_int_equal(modbus_value_decode(&d, nan8, text, &v, NULL), NX_E_VALUE);
}

static void
decimal_digits(void **state)
{
    static const struct {
        enum nx_data_type type;
        const char *wire;
        int64_t value;
    } rows[] = {
        {NX_DT_UINT16, "\x12\x34", 1234},
        {NX_DT_INT16, "\x99\x99", 9999},
        {NX_DT_UINT32, "\x00\x12\x34\x56", 123456},
        {NX_DT_INT32, "\x99\x99\x99\x99", 99999999},
        {NX_DT_UINT64, "\x00\x00\x00\x00\x00\x00\x00\x07", 7},
        {NX_DT_INT64, "\x99\x99\x99\x99\x99\x99\x99\x99", 9999999999999999},
    };
    char text[MODBUS_TEXT_MAX];
    uint8_t wire[8];
    struct nx_value v, in;
    struct nx_note why;
    struct modbus_addr a;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        a = addr_of(rows[i].type, "encoding=bcd");
        assert_int_equal(modbus_value_decode(&a, (const uint8_t *)rows[i].wire, text, &v, &why), NX_OK);
        assert_true(v.i == rows[i].value);
        assert_int_equal(modbus_value_encode(&a, &v, wire, &why), NX_OK);
        assert_memory_equal(wire, rows[i].wire, a.count * 2u);
        in = nx_value_int(rows[i].value + 1);
        assert_int_equal(modbus_value_encode(&a, &in, wire, &why), (i & 1) != 0 ? NX_E_RANGE : NX_OK);
        in = nx_value_int(-1);
        assert_int_equal(modbus_value_encode(&a, &in, wire, &why), NX_E_RANGE);
    }
    a = addr_of(NX_DT_UINT16, "encoding=bcd");
    assert_int_equal(modbus_value_decode(&a, (const uint8_t *)"\x12\x3C", text, &v, &why), NX_E_VALUE);
    assert_non_null(strstr(why.text, "123C: C is no decimal digit"));
    a = addr_of(NX_DT_UINT32, "encoding=bcd");
    a.order = MODBUS_SWAP_WORDS;
    assert_int_equal(modbus_value_decode(&a, (const uint8_t *)"\x56\x78\x12\x34", text, &v, &why), NX_OK);
    assert_true(v.u == 12345678);
}

static void
strings(void **state)
{
    static const struct {
        const char *setting, *wire, *text;
    } rows[] = {
        {"register_count=4", "Batch 42", "Batch 42"},
        {"register_count=4", "AB  \0xyz", "AB"},
        {"register_count=4", "        ", ""},
        {"register_count=4", "\0\0\0\0\0\0\0\0", ""},
        {"register_count=4",
         "a\tb\x01"
         "cdef",
         "a b cdef"},
        {"register_count=4",
         "Gr\xFC\xDF"
         "e   ",
         "Gr\xC3\xBC\xC3\x9F"
         "e"}, /* ISO 8859-1 */
        {"register_count=4",
         "Gr\xC3\xBC\xC3\x9F"
         "e ",
         "Gr\xC3\xBC\xC3\x9F"
         "e"},
    };
    struct modbus_addr swapped = addr_of(NX_DT_STRING, "register_count=4");
    char text[MODBUS_TEXT_MAX];
    struct nx_value v, in = nx_value_string("abc", 3), too_long = nx_value_string("123456789", 9);
    uint8_t wire[8];

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct modbus_addr addr = addr_of(NX_DT_STRING, rows[i].setting);
        assert_int_equal(modbus_value_decode(&addr, (const uint8_t *)rows[i].wire, text, &v, NULL), NX_OK);
        assert_true(slice_eq_str(slice(v.s, v.len), rows[i].text));
    }
    swapped.order = MODBUS_SWAP_BYTES;
    assert_int_equal(modbus_value_encode(&swapped, &in, wire, NULL), NX_OK);
    assert_memory_equal(wire, "ba\0c\0\0\0\0", 8);
    assert_int_equal(modbus_value_decode(&swapped, wire, text, &v, NULL), NX_OK);
    assert_true(slice_eq_str(slice(v.s, v.len), "abc"));
    assert_int_equal(modbus_value_encode(&swapped, &too_long, wire, NULL), NX_E_RANGE);
    assert_int_equal(modbus_value_encode(&swapped, &(struct nx_value){.type = NX_TYPE_INT}, wire, NULL), NX_E_VALUE);
}

static void
writes_check_the_range(void **state)
{
    static const struct {
        enum nx_data_type type;
        struct nx_value value;
        enum nx_err err;
    } rows[] = {
        {NX_DT_INT8, {NX_TYPE_INT, 0, {.i = -128}}, NX_OK},
        {NX_DT_INT8, {NX_TYPE_INT, 0, {.i = -129}}, NX_E_RANGE},
        {NX_DT_INT8, {NX_TYPE_INT, 0, {.i = 128}}, NX_E_RANGE},
        {NX_DT_UINT8, {NX_TYPE_UINT, 0, {.u = 255}}, NX_OK},
        {NX_DT_UINT8, {NX_TYPE_UINT, 0, {.u = 256}}, NX_E_RANGE},
        {NX_DT_INT16, {NX_TYPE_INT, 0, {.i = -32768}}, NX_OK},
        {NX_DT_INT16, {NX_TYPE_UINT, 0, {.u = 32768}}, NX_E_RANGE},
        {NX_DT_UINT16, {NX_TYPE_INT, 0, {.i = -1}}, NX_E_RANGE},
        {NX_DT_UINT16, {NX_TYPE_DOUBLE, 0, {.d = 65535}}, NX_OK},
        {NX_DT_UINT16, {NX_TYPE_DOUBLE, 0, {.d = 1.5}}, NX_E_VALUE},
        {NX_DT_UINT16, {NX_TYPE_DOUBLE, 0, {.d = NAN}}, NX_E_VALUE},
        {NX_DT_UINT16, {NX_TYPE_DOUBLE, 0, {.d = 1e300}}, NX_E_RANGE},
        {NX_DT_UINT16, {NX_TYPE_NONE, 0, {.u = 0}}, NX_E_VALUE},
        {NX_DT_INT32, {NX_TYPE_INT, 0, {.i = INT32_MIN}}, NX_OK},
        {NX_DT_INT32, {NX_TYPE_INT, 0, {.i = (int64_t)INT32_MIN - 1}}, NX_E_RANGE},
        {NX_DT_UINT32, {NX_TYPE_UINT, 0, {.u = UINT32_MAX}}, NX_OK},
        {NX_DT_UINT32, {NX_TYPE_UINT, 0, {.u = UINT32_MAX + 1ull}}, NX_E_RANGE},
        {NX_DT_INT64, {NX_TYPE_UINT, 0, {.u = UINT64_MAX}}, NX_E_RANGE},
        {NX_DT_INT64, {NX_TYPE_INT, 0, {.i = INT64_MIN}}, NX_OK},
        {NX_DT_UINT64, {NX_TYPE_UINT, 0, {.u = UINT64_MAX}}, NX_OK},
        {NX_DT_FLOAT32, {NX_TYPE_DOUBLE, 0, {.d = 1e39}}, NX_E_RANGE},
        {NX_DT_FLOAT32, {NX_TYPE_DOUBLE, 0, {.d = INFINITY}}, NX_E_VALUE},
        {NX_DT_FLOAT32, {NX_TYPE_INT, 0, {.i = -7}}, NX_OK},
        {NX_DT_FLOAT64, {NX_TYPE_BOOL, 0, {.b = true}}, NX_OK},
        {NX_DT_BOOL, {NX_TYPE_BOOL, 0, {.b = true}}, NX_OK},
        {NX_DT_BOOL, {NX_TYPE_INT, 0, {.i = 1}}, NX_OK},
        {NX_DT_BOOL, {NX_TYPE_INT, 0, {.i = 2}}, NX_E_RANGE},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct modbus_addr addr = addr_of(rows[i].type, NULL);
        uint8_t wire[8];
        char text[MODBUS_TEXT_MAX];
        struct nx_value back;
        struct nx_note why = {0};
        assert_int_equal(modbus_value_encode(&addr, &rows[i].value, wire, &why), rows[i].err);
        assert_int_equal(why.text[0] != '\0', rows[i].err != NX_OK);
        if (rows[i].err == NX_OK)
            assert_int_equal(modbus_value_decode(&addr, wire, text, &back, NULL), NX_OK);
    }
}

static void
write_requests(void **state)
{
    static const struct {
        const char *text;
        enum nx_data_type type;
        bool is_multiple_only;
        struct nx_value value;
        enum nx_err err;
        unsigned fc, len;
        const char *data, *setting;
    } rows[] = {
        {"coil:3", NX_DT_BOOL, false, {NX_TYPE_BOOL, 0, {.b = true}}, NX_OK, 5, 2, "\xFF\0", NULL},
        {"coil:3", NX_DT_BOOL, false, {NX_TYPE_INT, 0, {.i = 0}}, NX_OK, 5, 2, "\0\0", NULL},
        {"coil:3", NX_DT_BOOL, true, {NX_TYPE_BOOL, 0, {.b = true}}, NX_OK, 15, 1, "\1", NULL},
        {"hr3", NX_DT_INT16, false, {NX_TYPE_INT, 0, {.i = -2}}, NX_OK, 6, 2, "\xFF\xFE", NULL},
        {"hr3", NX_DT_INT16, true, {NX_TYPE_INT, 0, {.i = -2}}, NX_OK, 16, 2, "\xFF\xFE", NULL},
        {"hr3", NX_DT_UINT32, false, {NX_TYPE_UINT, 0, {.u = 0x01020304}}, NX_OK, 16, 4, "\1\2\3\4", NULL},
        {"hr3.0", NX_DT_BOOL, false, {NX_TYPE_BOOL, 0, {.b = true}}, NX_OK, 22, 4, "\xFF\xFE\0\1", NULL},
        {"hr3.15", NX_DT_BOOL, false, {NX_TYPE_BOOL, 0, {.b = false}}, NX_OK, 22, 4, "\x7F\xFF\0\0", NULL},
        {"hr3", NX_DT_INT16, false, {NX_TYPE_INT, 0, {.i = -2}}, NX_OK, 23, 2, "\xFF\xFE", "write_function=read_write"},
        {"hr3", NX_DT_INT16, false, {NX_TYPE_INT, 0, {.i = -2}}, NX_OK, 16, 2, "\xFF\xFE", "write_function=multiple"},
        {"coil:3", NX_DT_BOOL, false, {NX_TYPE_BOOL, 0, {.b = true}}, NX_OK, 15, 1, "\1", "write_function=multiple"},
        {"ir3", NX_DT_INT16, false, {NX_TYPE_INT, 0, {.i = 1}}, NX_E_DENIED, 0, 0, "", NULL},
        {"di3", NX_DT_BOOL, false, {NX_TYPE_BOOL, 0, {.b = true}}, NX_E_DENIED, 0, 0, "", NULL},
        {"coil:3", NX_DT_BOOL, false, {NX_TYPE_INT, 0, {.i = 5}}, NX_E_RANGE, 0, 0, "", NULL},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct modbus_addr addr;
        struct modbus_write wr;
        char canonical[64];
        struct nx_note why;

        assert_int_equal(parse(rows[i].text, rows[i].type, rows[i].setting, &addr, canonical, NULL), NX_OK);
        assert_int_equal(modbus_write_init(&wr, &addr, &rows[i].value, rows[i].is_multiple_only, &why), rows[i].err);
        if (rows[i].err != NX_OK)
            continue;
        assert_int_equal(wr.rq.fc, rows[i].fc);
        assert_int_equal(wr.rq.start, 3);
        assert_int_equal(wr.rq.data.len, rows[i].len);
        assert_memory_equal(wr.rq.data.p, rows[i].data, rows[i].len);
    }
}

static void
modicon_numbers_for_people(void **state)
{
    (void)state;
    assert_int_equal(modbus_addr_modicon(MODBUS_HOLDING, 0), 40001);
    assert_int_equal(modbus_addr_modicon(MODBUS_HOLDING, 9998), 49999);
    assert_int_equal(modbus_addr_modicon(MODBUS_HOLDING, 9999), 410000);
    assert_int_equal(modbus_addr_modicon(MODBUS_INPUT, 65535), 365536);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_become_wire_addresses),
        cmocka_unit_test(wrong_addresses_say_what_is_wrong),
        cmocka_unit_test(byte_orders_spell_out_the_wire),
        cmocka_unit_test(byte_order_aliases),
        cmocka_unit_test(types_are_decoded),
        cmocka_unit_test(nan_and_infinity_are_no_values),
        cmocka_unit_test(decimal_digits),
        cmocka_unit_test(elements_of_arrays_follow_each_other),
        cmocka_unit_test(strings),
        cmocka_unit_test(writes_check_the_range),
        cmocka_unit_test(write_requests),
        cmocka_unit_test(modicon_numbers_for_people),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
