#include "s7_type.h"

#include "base/mem.h"

#include <strings.h>

const struct s7_type_info s7_types[S7_TYPES] = {
    [S7_BOOL] = {"BOOL", 1, S7_KIND_BOOL},       [S7_BYTE] = {"BYTE", 1, S7_KIND_UINT},
    [S7_WORD] = {"WORD", 2, S7_KIND_UINT},       [S7_DWORD] = {"DWORD", 4, S7_KIND_UINT},
    [S7_LWORD] = {"LWORD", 8, S7_KIND_UINT},     [S7_SINT] = {"SINT", 1, S7_KIND_INT},
    [S7_USINT] = {"USINT", 1, S7_KIND_UINT},     [S7_INT] = {"INT", 2, S7_KIND_INT},
    [S7_UINT] = {"UINT", 2, S7_KIND_UINT},       [S7_DINT] = {"DINT", 4, S7_KIND_INT},
    [S7_UDINT] = {"UDINT", 4, S7_KIND_UINT},     [S7_LINT] = {"LINT", 8, S7_KIND_INT},
    [S7_ULINT] = {"ULINT", 8, S7_KIND_UINT},     [S7_REAL] = {"REAL", 4, S7_KIND_REAL},
    [S7_LREAL] = {"LREAL", 8, S7_KIND_REAL},     [S7_CHAR] = {"CHAR", 0, S7_KIND_TEXT},
    [S7_WCHAR] = {"WCHAR", 0, S7_KIND_TEXT},     [S7_STRING] = {"STRING", 2, S7_KIND_TEXT},
    [S7_WSTRING] = {"WSTRING", 4, S7_KIND_TEXT}, [S7_S5TIME] = {"S5TIME", 2, S7_KIND_DURATION},
    [S7_TIME] = {"TIME", 4, S7_KIND_DURATION},   [S7_LTIME] = {"LTIME", 8, S7_KIND_DURATION},
    [S7_DATE] = {"DATE", 2, S7_KIND_MOMENT},     [S7_TOD] = {"TOD", 4, S7_KIND_DURATION},
    [S7_LTOD] = {"LTOD", 8, S7_KIND_DURATION},   [S7_DT] = {"DT", 8, S7_KIND_MOMENT},
    [S7_LDT] = {"LDT", 8, S7_KIND_MOMENT},       [S7_DTL] = {"DTL", 12, S7_KIND_MOMENT},
    [S7_TIMER] = {"TIMER", 2, S7_KIND_DURATION}, [S7_COUNTER] = {"COUNTER", 2, S7_KIND_COUNTER},
};

static const struct {
    const char *name;
    uint8_t type;
} aliases[] = {
    {"BIT", S7_BOOL},          {"FLOAT", S7_REAL},       {"DOUBLE", S7_LREAL},       {"TIME_OF_DAY", S7_TOD},
    {"LTIME_OF_DAY", S7_LTOD}, {"DATE_AND_TIME", S7_DT}, {"DATE_AND_LTIME", S7_LDT},
};

/* The type that an untyped place of a data type's own size has. */
static const uint8_t own_types[NX_DT_COUNT] = {
    [NX_DT_INT8] = S7_SINT,    [NX_DT_UINT8] = S7_USINT,   [NX_DT_INT16] = S7_INT,   [NX_DT_UINT16] = S7_UINT,
    [NX_DT_INT32] = S7_DINT,   [NX_DT_UINT32] = S7_UDINT,  [NX_DT_INT64] = S7_LINT,  [NX_DT_UINT64] = S7_ULINT,
    [NX_DT_FLOAT32] = S7_REAL, [NX_DT_FLOAT64] = S7_LREAL, [NX_DT_STRING] = S7_CHAR,
};

static bool
is_name(struct slice s, const char *name)
{
    return s.len == strlen(name) && strncasecmp((const char *)s.p, name, s.len) == 0;
}

bool
s7_type_find(struct slice name, uint8_t *type)
{
    for (unsigned t = 0; t < S7_TYPES; t++) {
        if (is_name(name, s7_types[t].name)) {
            *type = (uint8_t)t;
            return true;
        }
    }
    for (size_t i = 0; i < MEM_COUNT(aliases); i++) {
        if (is_name(name, aliases[i].name)) {
            *type = aliases[i].type;
            return true;
        }
    }
    return false;
}

bool
s7_type_guess(unsigned bytes, enum nx_data_type data_type, uint8_t *type)
{
    static const uint8_t patterns[] = {[1] = S7_BYTE, [2] = S7_WORD, [4] = S7_DWORD, [8] = S7_LWORD};
    uint8_t own = own_types[data_type];

    if (data_type == NX_DT_BOOL) {
        *type = patterns[bytes];
        return true;
    }
    *type = own;
    return data_type == NX_DT_STRING ? bytes == 1 : s7_types[own].bytes == bytes;
}

static bool
is_integer(enum nx_data_type data_type)
{
    return data_type >= NX_DT_INT8 && data_type <= NX_DT_UINT64;
}

static bool
is_float(enum nx_data_type data_type)
{
    return data_type == NX_DT_FLOAT32 || data_type == NX_DT_FLOAT64;
}

enum nx_err
s7_type_check(unsigned type, enum nx_data_type data_type, struct nx_note *why)
{
    bool is_number = is_integer(data_type) || is_float(data_type), is_good;
    const char *wanted;

    switch (s7_types[type].kind) {
    case S7_KIND_BOOL:
        is_good = data_type == NX_DT_BOOL;
        wanted = "bool";
        break;
    case S7_KIND_TEXT:
        is_good = data_type == NX_DT_STRING ||
                  (is_integer(data_type) && (type == S7_CHAR || type == S7_WCHAR)); /* its code */
        wanted = "string";
        break;
    case S7_KIND_REAL:
        is_good = is_float(data_type);
        wanted = "float32 or float64";
        break;
    case S7_KIND_MOMENT:
        is_good = data_type == NX_DT_STRING || data_type == NX_DT_INT64 || data_type == NX_DT_UINT64 ||
                  data_type == NX_DT_FLOAT64;
        wanted = "string (RFC 3339) or int64 (milliseconds since 1970)";
        break;
    case S7_KIND_UINT:
    case S7_KIND_INT:
        is_good = is_number || data_type == NX_DT_BOOL;
        wanted = "a number or bool";
        break;
    default:
        is_good = is_number;
        wanted = "a number";
    }
    return is_good ? NX_OK : nx_fail(why, NX_E_CONFIG, "%s needs data_type %s", s7_types[type].name, wanted);
}

uint8_t
s7_type_signed(unsigned type, enum nx_data_type data_type)
{
    uint8_t own = own_types[data_type];
    bool is_pattern = type >= S7_BYTE && type <= S7_LWORD;

    return is_pattern && s7_types[own].kind == S7_KIND_INT && s7_types[own].bytes == s7_types[type].bytes
               ? own
               : (uint8_t)type;
}
