#include "s7_addr.h"

#include "base/mem.h"
#include "base/num.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LAST_BYTE    65535u
#define LAST_COUNTED 65535u
#define ARRAY_MAX    65536u

const struct nx_param s7_tag_params[] = {
    {.key = "s7_type",
     .type = NX_PARAM_STRING,
     .help = "Type in the CPU (REAL, STRING[30], DTL, ...) when the address does not name it."},
    {.key = NULL},
};

/* The text while it is read. What is left to read is in s. */
struct parse {
    const struct nx_addr_spec *spec;
    struct slice s;
    struct s7_addr *addr;
    uint32_t width; /* bytes that the place names, 0: none (X, a type, a plain number) */
    bool has_type;  /* addr->type is what the text says */
    bool has_bit;
    uint64_t length;   /* of a string, 0: not given */
    uint64_t elements; /* of an array, 0: none */
    struct nx_note *why;
};

/* Letters behind the area: "W" of MW4 and DBW4, "REAL" of DB1,REAL4. */
static const struct {
    const char *name;
    uint8_t width; /* 0: see type */
    uint8_t type;
} letters[] = {
    {"X", 0, S7_BOOL},  {"B", 1, 0},         {"BYTE", 1, 0},       {"W", 2, 0},           {"WORD", 2, 0},
    {"D", 4, 0},        {"DW", 4, 0},        {"DWORD", 4, 0},      {"L", 8, 0},           {"LWORD", 8, 0},
    {"R", 0, S7_REAL},  {"LR", 0, S7_LREAL}, {"I", 0, S7_INT},     {"DI", 0, S7_DINT},    {"LI", 0, S7_LINT},
    {"SI", 0, S7_SINT}, {"UI", 0, S7_UINT},  {"UDI", 0, S7_UDINT}, {"ULI", 0, S7_ULINT},  {"USI", 0, S7_USINT},
    {"C", 0, S7_CHAR},  {"WC", 0, S7_WCHAR}, {"S", 0, S7_STRING},  {"WS", 0, S7_WSTRING},
};

static const struct {
    char letter;
    uint8_t area;
} areas[] = {
    {'I', S7_INPUT},  {'E', S7_INPUT},      {'Q', S7_OUTPUT},       {'A', S7_OUTPUT},
    {'M', S7_MEMORY}, {'T', S7_TIMER_AREA}, {'C', S7_COUNTER_AREA}, {'Z', S7_COUNTER_AREA},
};

static enum nx_err
fail(struct parse *ps, const char *what)
{
    return nx_fail(ps->why, NX_E_CONFIG, "address '%.60s': %s", ps->spec->address, what);
}

static bool
take_char(struct parse *ps, char c)
{
    if (ps->s.len == 0 || ps->s.p[0] != (uint8_t)c)
        return false;
    ps->s = slice_skip(ps->s, 1);
    return true;
}

static struct slice
take(struct parse *ps, size_t n)
{
    struct slice word = slice(ps->s.p, n);

    ps->s = slice_skip(ps->s, n);
    return word;
}

static bool
take_number(struct parse *ps, uint64_t *n)
{
    size_t len = 0;
    struct slice digits;

    while (len < ps->s.len && isdigit(ps->s.p[len]))
        len++;
    digits = take(ps, len);
    return digits.len <= 9 && num_u64(digits, n);
}

/* Letters, and the digit inside of S5TIME. */
static struct slice
take_letters(struct parse *ps)
{
    static const char s5time[] = "5TIME";
    size_t n = 0, rest = sizeof s5time - 1;

    while (n < ps->s.len && (isalpha(ps->s.p[n]) || ps->s.p[n] == '_'))
        n++;
    if (n > 0 && toupper(ps->s.p[n - 1]) == 'S' && ps->s.len - n >= rest &&
        strncasecmp((const char *)ps->s.p + n, s5time, rest) == 0)
        n += rest;
    return take(ps, n);
}

static bool
is_word(struct slice s, const char *word)
{
    return s.len == strlen(word) && strncasecmp((const char *)s.p, word, s.len) == 0;
}

/* "30]" of "[30]": the number in brackets. */
static enum nx_err
take_brackets(struct parse *ps, char end, uint64_t *n)
{
    if (!take_number(ps, n) || !take_char(ps, end) || *n == 0 || *n > ARRAY_MAX)
        return fail(ps, "brackets need a number from 1 to 65536, like REAL[10] or STRING[30]");
    return NX_OK;
}

/* Brackets behind a type: of a text the first is its length, all others are the number of elements. */
static enum nx_err
read_brackets(struct parse *ps)
{
    enum nx_err err = NX_OK;
    bool is_text =
        ps->spec->data_type == NX_DT_STRING && (ps->has_type ? s7_type_is_text(ps->addr->type) : ps->width == 1);

    if (is_text && ps->length == 0 && take_char(ps, '('))
        err = take_brackets(ps, ')', &ps->length);
    else if (is_text && ps->length == 0 && take_char(ps, '['))
        err = take_brackets(ps, ']', &ps->length);
    if (err == NX_OK && ps->elements == 0 && take_char(ps, '['))
        err = take_brackets(ps, ']', &ps->elements);
    if (err == NX_OK && ps->s.len > 0)
        return fail(ps, "there is something behind its end");
    return err;
}

static enum nx_err
fail_type(struct parse *ps, struct slice name)
{
    const char *names[S7_TYPES], *near;
    char text[24];

    for (unsigned t = 0; t < S7_TYPES; t++)
        names[t] = s7_types[t].name;
    snprintf(text, sizeof text, "%.*s", SLICE_FMT(name));
    near = num_near_miss(text, names, S7_TYPES);
    return nx_fail(ps->why, NX_E_CONFIG, "address '%.60s': '%s' is no S7 type%s%s%s", ps->spec->address, text,
                   near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
}

static enum nx_err
read_type(struct parse *ps)
{
    struct slice name;
    size_t n = 0;

    while (n < ps->s.len && (isalnum(ps->s.p[n]) || ps->s.p[n] == '_'))
        n++;
    name = take(ps, n);
    if (!s7_type_find(name, &ps->addr->type))
        return fail_type(ps, name);
    ps->has_type = true;
    return NX_OK;
}

static enum nx_err
set_letters(struct parse *ps, struct slice word)
{
    for (size_t i = 0; i < MEM_COUNT(letters); i++) {
        if (!is_word(word, letters[i].name))
            continue;
        ps->width = letters[i].width;
        ps->has_type = letters[i].width == 0 && letters[i].type != S7_BOOL;
        ps->addr->type = letters[i].type;
        return NX_OK;
    }
    if (!s7_type_find(word, &ps->addr->type))
        return fail_type(ps, word);
    ps->has_type = true;
    return NX_OK;
}

/* The numbers behind the letters: byte, then a bit, the length of a string or a number of elements. nodes7 writes all
 * of them with dots. */
static enum nx_err
read_numbers(struct parse *ps, bool is_bit_wanted)
{
    uint64_t n, second;

    if (!take_number(ps, &n) || n > LAST_BYTE)
        return fail(ps, "a byte number from 0 to 65535 is missing");
    ps->addr->start = (uint32_t)n;
    for (unsigned i = 0; take_char(ps, '.'); i++) {
        if (!take_number(ps, &second))
            return fail(ps, "a number is missing behind the dot");
        if (i == 0 && is_bit_wanted) {
            if (second > 7)
                return fail(ps, "the part behind the dot must be a bit number from 0 to 7");
            ps->has_bit = true;
            ps->addr->bit = (uint8_t)second;
        } else if (second == 0 || second > ARRAY_MAX || ps->elements != 0) {
            return fail(ps, "a length or number of elements is from 1 to 65536");
        } else if (ps->has_type && s7_type_is_text(ps->addr->type) && ps->length == 0 &&
                   ps->spec->data_type == NX_DT_STRING) {
            ps->length = second;
        } else {
            ps->elements = second;
        }
    }
    return NX_OK;
}

/* Behind "DB1": ".DBX4.3", ".DBW4", ",REAL4", ":4.3". */
static enum nx_err
read_in_db(struct parse *ps)
{
    struct slice word;
    enum nx_err err;

    if (take_char(ps, ':'))
        return read_numbers(ps, true);
    if (!take_char(ps, '.') && !take_char(ps, ','))
        return fail(ps, "behind the DB must come a place, like DB1.DBW4, DB1,INT4 or DB1:4.0:INT");
    word = take_letters(ps);
    if (word.len > 2 && strncasecmp((const char *)word.p, "DB", 2) == 0)
        word = slice_skip(word, 2);
    err = set_letters(ps, word);
    return err == NX_OK ? read_numbers(ps, is_word(word, "X") || is_word(word, "BOOL")) : err;
}

static enum nx_err
read_db(struct parse *ps)
{
    uint64_t n;

    ps->addr->area = S7_DB;
    if (!take_number(ps, &n) || n == 0 || n > UINT16_MAX)
        return fail(ps, "a DB number from 1 to 65535 is missing, like DB1.DBW4");
    ps->addr->db = (uint16_t)n;
    return read_in_db(ps);
}

static enum nx_err
read_counted(struct parse *ps)
{
    uint64_t n;

    if (!take_number(ps, &n) || n > LAST_COUNTED)
        return fail(ps, "a timer or counter number is missing, like T5 or C5");
    ps->addr->start = (uint32_t)n;
    ps->addr->type = ps->addr->area == S7_TIMER_AREA ? S7_TIMER : S7_COUNTER;
    ps->width = 2;
    ps->has_type = true;
    return NX_OK;
}

/* "M0.3", "MW4", "MREAL4": s begins behind the letter of the area. */
static enum nx_err
read_area(struct parse *ps, struct slice word)
{
    enum nx_err err;

    word = slice_skip(word, 1);
    if (s7_area_is_counted(ps->addr->area))
        return word.len == 0 ? read_counted(ps) : fail(ps, "timers and counters are written T5 and C5 (or Z5)");
    if (word.len == 0)
        return read_numbers(ps, true);
    err = set_letters(ps, word);
    return err == NX_OK ? read_numbers(ps, is_word(word, "X") || is_word(word, "BOOL")) : err;
}

static enum nx_err
read_place(struct parse *ps)
{
    struct slice word;

    (void)take_char(ps, '%');
    word = take_letters(ps);
    if (is_word(word, "DB"))
        return read_db(ps);
    if (word.len > 2 && strncasecmp((const char *)word.p, "DB", 2) == 0)
        return fail(ps, "which data block? Write DB1.DBW4");
    if (word.len > 1 && toupper(word.p[0]) == 'P')
        return fail(ps, "the peripheral area (P) cannot be read: use I or Q");
    for (size_t i = 0; word.len > 0 && i < MEM_COUNT(areas); i++) {
        if (toupper(word.p[0]) == areas[i].letter) {
            ps->addr->area = areas[i].area;
            return read_area(ps, word);
        }
    }
    return fail(ps, "write DB1.DBW4, M0.3, IW4, QB4, T5 or C5");
}

/* The type from the setting s7_type when the text has none. */
static enum nx_err
read_setting(struct parse *ps)
{
    const char *type = ps->spec->settings ? nx_setting_string(ps->spec->settings, "s7_type") : NULL;
    enum nx_err err;

    if (!type || type[0] == '\0' || ps->has_type)
        return NX_OK;
    ps->s = slice_trim(slice_str(type));
    err = read_type(ps);
    return err == NX_OK ? read_brackets(ps) : err;
}

static enum nx_err
guess_type(struct parse *ps)
{
    enum nx_data_type dt = ps->spec->data_type;

    if (ps->has_type)
        return NX_OK;
    if (ps->has_bit || ps->width == 0) {
        if (ps->has_bit && dt == NX_DT_BOOL) {
            ps->addr->type = S7_BOOL;
            return NX_OK;
        }
        if (ps->has_bit)
            return fail(ps, "one bit needs data_type bool; for another type name it, like DB1.DBX4.0:REAL");
        return fail(ps, "its type is missing, like DB1.DBX4.0 or DB1:4.0:REAL");
    }
    if (s7_type_guess(ps->width, dt, &ps->addr->type))
        return NX_OK;
    return nx_fail(ps->why, NX_E_CONFIG,
                   "address '%.60s' has %u byte%s, which does not fit the data_type: name its type, like %.40s:INT, or "
                   "take the width of the data_type (B, W, D, L)",
                   ps->spec->address, ps->width, ps->width == 1 ? "" : "s", ps->spec->address);
}

/* Do width, bit and type agree? */
static enum nx_err
check_place(struct parse *ps)
{
    const struct s7_addr *a = ps->addr;
    unsigned own = s7_types[a->type].bytes;

    if (a->type == S7_BOOL && !ps->has_bit)
        return fail(ps, "a BOOL needs its bit, like DB1.DBX4.3 or M0.3");
    if (a->type != S7_BOOL && ps->has_bit && a->bit != 0)
        return fail(ps, "only a BOOL can begin inside of a byte");
    if (s7_area_is_counted(a->area) && (s7_type_is_text(a->type) || own != 2))
        return fail(ps, "a timer or counter can only be read as TIMER, S5TIME, COUNTER, WORD, INT or UINT");
    if (ps->width > 1 && !s7_type_is_text(a->type) && own != ps->width)
        return nx_fail(ps->why, NX_E_CONFIG, "address '%.60s' has %u bytes but a %s has %u", ps->spec->address,
                       ps->width, s7_types[a->type].name, own);
    return s7_type_check(a->type, ps->spec->data_type, ps->why);
}

static enum nx_err
set_chars(struct parse *ps)
{
    struct s7_addr *a = ps->addr;
    bool has_head = s7_types[a->type].bytes != 0;
    uint64_t n = ps->length ? ps->length : ps->spec->count;
    unsigned max = s7_type_is_wide(a->type) ? S7_WCHARS_MAX : a->type == S7_STRING ? S7_STRING_CHARS : S7_CHARS_MAX;

    if (ps->spec->data_type != NX_DT_STRING || (n == 0 && !has_head))
        n = 1;
    if (n == 0)
        n = S7_STRING_CHARS;
    if (n > max)
        return nx_fail(ps->why, NX_E_CONFIG, "address '%.60s': a %s has at most %u characters", ps->spec->address,
                       s7_types[a->type].name, max);
    a->chars = (uint16_t)n;
    a->bytes = (uint16_t)(s7_types[a->type].bytes + n * (s7_type_is_wide(a->type) ? 2u : 1u));
    return NX_OK;
}

/* Bytes from one element of an array to the next: strings begin at even bytes. */
static uint32_t
stride(const struct s7_addr *a)
{
    return a->type == S7_STRING ? (a->bytes + 1u) & ~1u : a->bytes;
}

static enum nx_err
pick_element(struct parse *ps)
{
    struct s7_addr *a = ps->addr;
    uint32_t i = ps->spec->element;
    uint64_t start = a->start;

    if (i > 0 && i >= ps->elements)
        return nx_fail(ps->why, NX_E_CONFIG, "address '%.60s' has no element %u", ps->spec->address, i);
    if (a->type == S7_BOOL) {
        uint64_t bit = start * 8 + a->bit + i;
        start = bit / 8;
        a->bit = (uint8_t)(bit % 8);
    } else {
        start += s7_area_is_counted(a->area) ? i : (uint64_t)i * stride(a);
    }
    if (start + (s7_area_is_counted(a->area) ? 0 : a->bytes - 1u) > LAST_BYTE)
        return fail(ps, "the value reaches past byte 65535");
    a->start = (uint32_t)start;
    return NX_OK;
}

static enum nx_err
settle(struct parse *ps)
{
    struct s7_addr *a = ps->addr;
    enum nx_err err = guess_type(ps);

    a->data_type = (uint8_t)ps->spec->data_type;
    if (err == NX_OK)
        err = check_place(ps);
    if (err != NX_OK)
        return err;
    a->type = s7_type_signed(a->type, ps->spec->data_type);
    a->bytes = s7_types[a->type].bytes;
    if (s7_type_is_text(a->type))
        err = set_chars(ps);
    return err == NX_OK ? pick_element(ps) : err;
}

enum nx_err
s7_addr_parse(const struct nx_addr_spec *spec, void *out, struct nx_addr_info *info, struct nx_note *why)
{
    struct parse ps = {.spec = spec, .s = slice_trim(slice_str(spec->address)), .addr = out, .why = why};
    enum nx_err err = read_place(&ps);

    if (err == NX_OK && take_char(&ps, ':'))
        err = read_type(&ps);
    if (err == NX_OK)
        err = read_brackets(&ps);
    if (err == NX_OK)
        err = read_setting(&ps);
    if (err == NX_OK)
        err = settle(&ps);
    if (err != NX_OK)
        return err;
    info->elements = (uint32_t)ps.elements;
    s7_addr_canonical(info->canonical, out);
    return NX_OK;
}
