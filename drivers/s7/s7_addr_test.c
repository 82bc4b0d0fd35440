/* Every dialect means the same place; what is wrong is refused with its reason. */
#include "s7_addr.h"

#include "base/mem.h"
#include "conformance/fake_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* The canonical text of each: "place:TYPE". */
static const struct {
    const char *text;
    enum nx_data_type data_type;
    const char *canonical;
    uint32_t elements;
} good[] = {
    /* classic */
    {"DB1.DBX4.3", NX_DT_BOOL, "DB1.DBX4.3", 0},
    {"db1.dbx4.3", NX_DT_BOOL, "DB1.DBX4.3", 0},
    {" DB1.DBB4 ", NX_DT_UINT8, "DB1.DBB4:USINT", 0},
    {"DB1.DBB4", NX_DT_INT8, "DB1.DBB4:SINT", 0},
    {"DB1.DBB4", NX_DT_BOOL, "DB1.DBB4:BYTE", 0},
    {"DB1.DBW4", NX_DT_INT16, "DB1.DBW4:INT", 0},
    {"DB1.DBW4", NX_DT_UINT16, "DB1.DBW4:UINT", 0},
    {"DB1.DBD4", NX_DT_FLOAT32, "DB1.DBD4:REAL", 0},
    {"DB65535.DBD4", NX_DT_INT32, "DB65535.DBD4:DINT", 0},
    {"DB1.DBL8", NX_DT_FLOAT64, "DB1.DBB8:LREAL", 0},
    {"M0.3", NX_DT_BOOL, "M0.3", 0},
    {"MX0.3", NX_DT_BOOL, "M0.3", 0},
    {"MB4", NX_DT_UINT8, "MB4:USINT", 0},
    {"MW4", NX_DT_INT16, "MW4:INT", 0},
    {"MD4", NX_DT_UINT32, "MD4:UDINT", 0},
    {"E0.1", NX_DT_BOOL, "I0.1", 0},
    {"I0.1", NX_DT_BOOL, "I0.1", 0},
    {"AW2", NX_DT_UINT16, "QW2:UINT", 0},
    {"QB3", NX_DT_UINT8, "QB3:USINT", 0},
    {"ED4", NX_DT_FLOAT32, "ID4:REAL", 0},
    {"T5", NX_DT_UINT32, "T5", 0},
    {"C5", NX_DT_UINT16, "C5", 0},
    {"Z5", NX_DT_UINT16, "C5", 0},
    {"C5:WORD", NX_DT_UINT16, "C5:WORD", 0},
    /* nodes7 */
    {"DB1,X4.3", NX_DT_BOOL, "DB1.DBX4.3", 0},
    {"DB1,R4", NX_DT_FLOAT32, "DB1.DBD4:REAL", 0},
    {"DB1,REAL4", NX_DT_FLOAT64, "DB1.DBD4:REAL", 0},
    {"DB1,LR8", NX_DT_FLOAT64, "DB1.DBB8:LREAL", 0},
    {"DB1,I4", NX_DT_INT32, "DB1.DBW4:INT", 0},
    {"DB1,DI4", NX_DT_INT32, "DB1.DBD4:DINT", 0},
    {"DB1,B4", NX_DT_UINT8, "DB1.DBB4:USINT", 0},
    {"DB1,DWORD4", NX_DT_INT32, "DB1.DBD4:DINT", 0},
    {"DB10,S20.30", NX_DT_STRING, "DB10.DBB20:STRING[30]", 0},
    {"DB10,STRING20.30", NX_DT_STRING, "DB10.DBB20:STRING[30]", 0},
    {"DB10,S20.30.4", NX_DT_STRING, "DB10.DBB20:STRING[30]", 4},
    {"DB1,C4.8", NX_DT_STRING, "DB1.DBB4:CHAR[8]", 0},
    {"DB1,INT4.10", NX_DT_INT16, "DB1.DBW4:INT", 10},
    {"DB1,X4.3.8", NX_DT_BOOL, "DB1.DBX4.3", 8},
    {"DB1,S5TIME4", NX_DT_INT32, "DB1.DBW4:S5TIME", 0},
    {"DB1,DTL4", NX_DT_STRING, "DB1.DBB4:DTL", 0},
    {"MR4", NX_DT_FLOAT32, "MD4:REAL", 0},
    {"MDI4", NX_DT_INT32, "MD4:DINT", 0},
    {"MINT4", NX_DT_INT16, "MW4:INT", 0},
    /* PLC4X */
    {"%DB1.DBX0.0:BOOL", NX_DT_BOOL, "DB1.DBX0.0", 0},
    {"%DB1:4.0:REAL[3]", NX_DT_FLOAT32, "DB1.DBD4:REAL", 3},
    {"%DB1:4:INT", NX_DT_INT16, "DB1.DBW4:INT", 0},
    {"%DB4:0.0:STRING(10)", NX_DT_STRING, "DB4.DBB0:STRING[10]", 0},
    {"%MW10:INT", NX_DT_INT16, "MW10:INT", 0},
    {"%I0.0:BOOL[16]", NX_DT_BOOL, "I0.0", 16},
    /* types by name */
    {"DB1.DBB4:STRING", NX_DT_STRING, "DB1.DBB4:STRING[254]", 0},
    {"DB1.DBB4:STRING[30][5]", NX_DT_STRING, "DB1.DBB4:STRING[30]", 5},
    {"DB1.DBB4:WSTRING[30]", NX_DT_STRING, "DB1.DBB4:WSTRING[30]", 0},
    {"DB1.DBB4:CHAR", NX_DT_STRING, "DB1.DBB4:CHAR[1]", 0},
    {"DB1.DBB4[6]", NX_DT_STRING, "DB1.DBB4:CHAR[6]", 0},
    {"DB1.DBB4:CHAR[6]", NX_DT_UINT8, "DB1.DBB4:CHAR", 6},
    {"DB1.DBW4:WCHAR", NX_DT_UINT16, "DB1.DBB4:WCHAR", 0},
    {"DB1.DBD4:DINT", NX_DT_FLOAT64, "DB1.DBD4:DINT", 0},
    {"DB1.DBD4:DWORD", NX_DT_INT32, "DB1.DBD4:DINT", 0},
    {"DB1.DBX4.0:REAL", NX_DT_FLOAT32, "DB1.DBD4:REAL", 0},
    {"DB1.DBD4:TIME", NX_DT_INT32, "DB1.DBD4:TIME", 0},
    {"DB1.DBD4:TIME_OF_DAY", NX_DT_UINT32, "DB1.DBD4:TOD", 0},
    {"DB1.DBB4:DATE_AND_TIME", NX_DT_STRING, "DB1.DBB4:DT", 0},
    {"DB1.DBB4:LDT", NX_DT_INT64, "DB1.DBB4:LDT", 0},
    {"T5:S5TIME", NX_DT_FLOAT64, "T5:S5TIME", 0},
};

static const struct {
    const char *text;
    enum nx_data_type data_type;
    const char *why; /* in the reason */
} bad[] = {
    {"", NX_DT_BOOL, "write DB1.DBW4"},
    {"X4", NX_DT_BOOL, "write DB1.DBW4"},
    {"DBW4", NX_DT_INT16, "which data block"},
    {"DB0.DBW4", NX_DT_INT16, "DB number"},
    {"DB65536.DBW4", NX_DT_INT16, "DB number"},
    {"DB1", NX_DT_INT16, "behind the DB"},
    {"DB1.DBW", NX_DT_INT16, "byte number"},
    {"DB1.DBW65535", NX_DT_INT16, "past byte 65535"},
    {"DB1.DBW65536", NX_DT_INT16, "byte number"},
    {"DB1.DBX4", NX_DT_BOOL, "type is missing"},
    {"DB1.DBX4.8", NX_DT_BOOL, "bit number"},
    {"DB1.DBX4.3", NX_DT_INT16, "data_type bool"},
    {"DB1.DBX4.3:REAL", NX_DT_FLOAT32, "inside of a byte"},
    {"DB1.DBW4", NX_DT_FLOAT32, "does not fit the data_type"},
    {"DB1.DBW4:REAL", NX_DT_FLOAT32, "has 2 bytes but a REAL has 4"},
    {"DB1.DBD4:REAL", NX_DT_INT32, "needs data_type float32 or float64"},
    {"DB1.DBD4:REEL", NX_DT_FLOAT32, "did you mean REAL?"},
    {"DB1.DBB4:BOOL", NX_DT_BOOL, "needs its bit"},
    {"DB1.DBB4:STRING[255]", NX_DT_STRING, "at most 254"},
    {"DB1.DBB4:STRING[5]", NX_DT_INT16, "needs data_type string"},
    {"DB1.DBB4:DT", NX_DT_INT16, "RFC 3339"},
    {"DB1.DBW4 x", NX_DT_INT16, "behind its end"},
    {"DB1.DBW4[0]", NX_DT_INT16, "brackets"},
    {"DB1.DBW4[", NX_DT_INT16, "brackets"},
    {"PIW4", NX_DT_INT16, "peripheral"},
    {"CT5", NX_DT_INT16, "T5 and C5"},
    {"T5:REAL", NX_DT_FLOAT32, "timer or counter"},
    {"T", NX_DT_INT16, "number is missing"},
    {"DB1,S20.300", NX_DT_STRING, "at most 254"},
};

static enum nx_err
parse(const struct nx_addr_spec *spec, struct s7_addr *addr, struct nx_addr_info *info, struct nx_note *why)
{
    memset(addr, 0, sizeof *addr);
    memset(info, 0, sizeof *info);
    return s7_addr_parse(spec, addr, info, why);
}

static void
dialects_mean_the_same(void **state)
{
    struct s7_addr addr, again;
    struct nx_addr_info info, info2;
    struct nx_note why;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(good); i++) {
        struct nx_addr_spec spec = {.address = good[i].text, .data_type = good[i].data_type};
        if (parse(&spec, &addr, &info, &why) != NX_OK)
            fail_msg("%s: %s", good[i].text, why.text);
        assert_string_equal(info.canonical, good[i].canonical);
        assert_int_equal(info.elements, good[i].elements);
        spec.address = info.canonical;
        assert_int_equal(parse(&spec, &again, &info2, NULL), NX_OK);
        assert_string_equal(info2.canonical, info.canonical);
        assert_memory_equal(&addr, &again, sizeof addr);
    }
}

static void
wrong_addresses_are_refused_with_the_reason(void **state)
{
    struct s7_addr addr;
    struct nx_addr_info info;
    struct nx_note why;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(bad); i++) {
        struct nx_addr_spec spec = {.address = bad[i].text, .data_type = bad[i].data_type};
        if (parse(&spec, &addr, &info, &why) != NX_E_CONFIG)
            fail_msg("%s is accepted", bad[i].text);
        if (!strstr(why.text, bad[i].why))
            fail_msg("%s: %s", bad[i].text, why.text);
    }
}

/* Every prefix of every good address is an address or has a reason; with sanitizers that is what counts. */
static void
every_truncation_has_a_reason(void **state)
{
    struct s7_addr addr;
    struct nx_addr_info info;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(good); i++) {
        for (size_t n = 0; n < strlen(good[i].text); n++) {
            char *text = mem_strndup(good[i].text, n);
            struct nx_addr_spec spec = {.address = text, .data_type = good[i].data_type};
            struct nx_note why = {0};
            enum nx_err err = parse(&spec, &addr, &info, &why);
            assert_true(err == NX_OK ? info.canonical[0] != '\0' : why.text[0] != '\0');
            free(text);
        }
    }
}

static void
elements_are_where_the_cpu_has_them(void **state)
{
    static const struct {
        const char *text;
        enum nx_data_type data_type;
        uint32_t element;
        const char *canonical;
    } rows[] = {
        {"DB1.DBW10[5]", NX_DT_INT16, 4, "DB1.DBW18:INT"},
        {"DB1.DBX4.6:BOOL[20]", NX_DT_BOOL, 1, "DB1.DBX4.7"}, /* packed, bit after bit */
        {"DB1.DBX4.6:BOOL[20]", NX_DT_BOOL, 2, "DB1.DBX5.0"},
        {"DB1.DBX4.6:BOOL[20]", NX_DT_BOOL, 19, "DB1.DBX7.1"},
        {"DB1.DBB4:BYTE[9]", NX_DT_UINT8, 3, "DB1.DBB7:BYTE"},
        {"DB1.DBB4:STRING[3][2]", NX_DT_STRING, 1, "DB1.DBB10:STRING[3]"}, /* strings begin at even bytes */
        {"DB1.DBB4:DTL[2]", NX_DT_STRING, 1, "DB1.DBB16:DTL"},
        {"T5[3]", NX_DT_UINT32, 2, "T7"},
    };
    struct s7_addr addr;
    struct nx_addr_info info;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct nx_addr_spec spec = {.address = rows[i].text,
                                    .data_type = rows[i].data_type,
                                    .element = rows[i].element};
        assert_int_equal(parse(&spec, &addr, &info, NULL), NX_OK);
        assert_string_equal(info.canonical, rows[i].canonical);
        spec.element = info.elements;
        assert_int_equal(parse(&spec, &addr, &info, NULL), NX_E_CONFIG);
    }
}

static void
type_may_come_from_a_setting_and_length_from_the_tag(void **state)
{
    const char *pairs[] = {"s7_type=STRING[12]", NULL};
    struct nx_settings settings = {s7_tag_params, pairs};
    struct nx_addr_spec spec = {.address = "DB1.DBB4", .data_type = NX_DT_STRING, .settings = &settings};
    struct s7_addr addr;
    struct nx_addr_info info;

    (void)state;
    assert_int_equal(parse(&spec, &addr, &info, NULL), NX_OK);
    assert_string_equal(info.canonical, "DB1.DBB4:STRING[12]");
    assert_int_equal(addr.bytes, 14);
    spec.settings = NULL;
    spec.count = 7;
    assert_int_equal(parse(&spec, &addr, &info, NULL), NX_OK);
    assert_string_equal(info.canonical, "DB1.DBB4:CHAR[7]");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialects_mean_the_same),
        cmocka_unit_test(wrong_addresses_are_refused_with_the_reason),
        cmocka_unit_test(every_truncation_has_a_reason),
        cmocka_unit_test(elements_are_where_the_cpu_has_them),
        cmocka_unit_test(type_may_come_from_a_setting_and_length_from_the_tag),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
