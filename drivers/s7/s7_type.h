/* s7_type.h -- the data types of a Siemens CPU: names, sizes, and which data_type a tag may have with each. Pure. */
#ifndef S7_TYPE_H
#define S7_TYPE_H

#include "base/slice.h"
#include "nexus/driver.h"

enum s7_type {
    S7_BOOL,
    S7_BYTE,
    S7_WORD,
    S7_DWORD,
    S7_LWORD,
    S7_SINT,
    S7_USINT,
    S7_INT,
    S7_UINT,
    S7_DINT,
    S7_UDINT,
    S7_LINT,
    S7_ULINT,
    S7_REAL,
    S7_LREAL,
    S7_CHAR,
    S7_WCHAR,
    S7_STRING,
    S7_WSTRING,
    S7_S5TIME,
    S7_TIME,
    S7_LTIME,
    S7_DATE,
    S7_TOD,
    S7_LTOD,
    S7_DT,
    S7_LDT,
    S7_DTL,
    S7_TIMER,
    S7_COUNTER,
    S7_TYPES
};

enum s7_kind {
    S7_KIND_BOOL,
    S7_KIND_UINT,
    S7_KIND_INT,
    S7_KIND_REAL,
    S7_KIND_TEXT,     /* CHAR, WCHAR, STRING, WSTRING */
    S7_KIND_DURATION, /* S5TIME, TIME, LTIME, TOD, LTOD, TIMER */
    S7_KIND_MOMENT,   /* DATE, DT, LDT, DTL */
    S7_KIND_COUNTER,
};

/* Most characters of a text: each must fit NX_STRING_MAX bytes of UTF-8. */
#define S7_STRING_CHARS 254u
#define S7_CHARS_MAX    2048u
#define S7_WCHARS_MAX   1365u

struct s7_type_info {
    const char *name;
    uint8_t bytes; /* texts: of the head before the characters, 0 for CHAR and WCHAR */
    uint8_t kind;  /* enum s7_kind */
};

extern const struct s7_type_info s7_types[S7_TYPES];

/* The type of that name in any case, also DATE_AND_TIME and the like. False: there is none. */
bool s7_type_find(struct slice name, uint8_t *type);
/* The type of `bytes` bytes that fits a data type best when the address names none. False: no type does. */
bool s7_type_guess(unsigned bytes, enum nx_data_type data_type, uint8_t *type);
/* May a tag of this data_type hold the type? Else a note says which may. */
NX_MUST_CHECK enum nx_err s7_type_check(unsigned type, enum nx_data_type data_type, struct nx_note *why);

/* A bit pattern (BYTE, WORD, DWORD, LWORD) in a tag with a signed data_type of its size is a signed number. */
uint8_t s7_type_signed(unsigned type, enum nx_data_type data_type);

static inline bool
s7_type_is_text(unsigned type)
{
    return s7_types[type].kind == S7_KIND_TEXT;
}

/* Two bytes a character. */
static inline bool
s7_type_is_wide(unsigned type)
{
    return type == S7_WCHAR || type == S7_WSTRING;
}

#endif
