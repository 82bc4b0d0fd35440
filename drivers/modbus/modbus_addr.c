#include "modbus_addr.h"

#include "base/mem.h"
#include "base/num.h"
#include "modbus_codec.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ALL (MODBUS_SWAP_BYTES | MODBUS_SWAP_WORDS | MODBUS_SWAP_DWORDS)

/* In the order of the choices of byte_order. bytes: the size of value that the name spells out, 0: any. */
static const struct {
    const char *name;
    uint8_t order, bytes;
} orders[] = {
    {"ABCD", 0, 0},
    {"CDAB", MODBUS_SWAP_WORDS | MODBUS_SWAP_DWORDS, 0},
    {"BADC", MODBUS_SWAP_BYTES, 0},
    {"DCBA", ALL, 0},
    {"AB", 0, 2},
    {"BA", MODBUS_SWAP_BYTES, 2},
    {"ABCDEFGH", 0, 8},
    {"BADCFEHG", MODBUS_SWAP_BYTES, 8},
    {"CDABGHEF", MODBUS_SWAP_WORDS, 8},
    {"DCBAHGFE", MODBUS_SWAP_BYTES | MODBUS_SWAP_WORDS, 8},
    {"EFGHABCD", MODBUS_SWAP_DWORDS, 8},
    {"FEHGBADC", MODBUS_SWAP_BYTES | MODBUS_SWAP_DWORDS, 8},
    {"GHEFCDAB", MODBUS_SWAP_WORDS | MODBUS_SWAP_DWORDS, 8},
    {"HGFEDCBA", ALL, 8},
    {"big_endian", 0, 0},
    {"little_endian", ALL, 0},
    {"mid_big_endian", MODBUS_SWAP_BYTES, 0},
    {"mid_little_endian", MODBUS_SWAP_WORDS | MODBUS_SWAP_DWORDS, 0},
    {"byte_swap", MODBUS_SWAP_BYTES, 0},
    {"word_swap", MODBUS_SWAP_WORDS | MODBUS_SWAP_DWORDS, 0},
};
#define ORDER_CHOICES                                                                                                  \
    "ABCD|CDAB|BADC|DCBA|AB|BA|ABCDEFGH|BADCFEHG|CDABGHEF|DCBAHGFE|EFGHABCD|FEHGBADC|GHEFCDAB|HGFEDCBA|big_endian|"    \
    "little_endian|mid_big_endian|mid_little_endian|byte_swap|word_swap"

/* In the order of the choices of register_type; the first is "none given". */
static const uint8_t register_types[] = {
    MODBUS_TABLES,   MODBUS_HOLDING, MODBUS_INPUT, MODBUS_COIL,
    MODBUS_DISCRETE, MODBUS_HOLDING, MODBUS_INPUT, MODBUS_DISCRETE,
};
#define REGISTER_CHOICES "auto|holding|input|coil|discrete|holding_register|input_register|discrete_input"

const struct nx_param modbus_tag_params[] = {
    {.key = "register_type",
     .type = NX_PARAM_ENUM,
     .def = "auto",
     .choices = REGISTER_CHOICES,
     .help = "Table of an address that is a plain number; auto: the address names it itself (40001, holding:100)."},
    {.key = "byte_order",
     .type = NX_PARAM_ENUM,
     .def = "ABCD",
     .choices = ORDER_CHOICES,
     .help = "Order of the bytes in the registers; A is the most significant. ABCD is the standard, CDAB the most "
             "frequent other."},
    {.key = "address_base",
     .type = NX_PARAM_ENUM,
     .def = "zero_based",
     .choices = "zero_based|one_based",
     .help =
         "Whether plain and prefixed numbers start at 0 (wire address) or at 1. Modicon numbers always start at 1."},
    {.key = "register_count",
     .type = NX_PARAM_INT,
     .def = "0",
     .min = 0,
     .max = MODBUS_READ_REGS_MAX,
     .unit = "registers",
     .help = "Length of a string in registers of two characters; other types know their own size."},
    {.key = "encoding",
     .type = NX_PARAM_ENUM,
     .def = "binary",
     .choices = "binary|bcd",
     .help = "bcd: four decimal digits in each register, for whole numbers of 16, 32 and 64 bits."},
    {.key = "write_function",
     .type = NX_PARAM_ENUM,
     .def = "auto",
     .choices = "auto|multiple|read_write",
     .help = "auto: functions 5, 6 or 16, whichever is enough. multiple: 15 and 16. read_write: 23, which reads the "
             "registers back in the same transaction."},
    {.key = NULL},
};

static const struct {
    const char *name;
    uint8_t table;
} prefixes[] = {
    {"holding", MODBUS_HOLDING},
    {"holding_register", MODBUS_HOLDING},
    {"hr", MODBUS_HOLDING},
    {"input", MODBUS_INPUT},
    {"input_register", MODBUS_INPUT},
    {"ir", MODBUS_INPUT},
    {"coil", MODBUS_COIL},
    {"coils", MODBUS_COIL},
    {"c", MODBUS_COIL},
    {"discrete", MODBUS_DISCRETE},
    {"discrete_input", MODBUS_DISCRETE},
    {"di", MODBUS_DISCRETE},
};

static const char *const table_names[] = {"coil", "discrete", "input", "holding"};
static const uint8_t modicon_digits[] = {0, 1, 3, 4};

/* Registers of a data type; strings say it themselves. */
static const uint8_t type_regs[NX_DT_COUNT] = {
    [NX_DT_BOOL] = 1,   [NX_DT_INT8] = 1,    [NX_DT_UINT8] = 1,   [NX_DT_INT16] = 1,
    [NX_DT_UINT16] = 1, [NX_DT_INT32] = 2,   [NX_DT_UINT32] = 2,  [NX_DT_INT64] = 4,
    [NX_DT_UINT64] = 4, [NX_DT_FLOAT32] = 2, [NX_DT_FLOAT64] = 4, [NX_DT_STRING] = 0,
};

/* The parts of the text before they are given a meaning. */
struct parts {
    uint32_t elements; /* 0: no array */
    char prefix[24];   /* lower case; "" when there is none */
    struct slice number;
    int bit;
};

const char *
modbus_table_name(unsigned table)
{
    return table < MODBUS_TABLES ? table_names[table] : "?";
}

uint32_t
modbus_addr_modicon(unsigned table, unsigned start)
{
    uint32_t span = start < 9999 ? 10000 : 100000;

    return modicon_digits[table] * span + start + 1;
}

static int
setting(const struct nx_addr_spec *spec, const char *key)
{
    return spec->settings ? nx_setting_enum(spec->settings, key) : 0;
}

static enum nx_err
split_bit(struct slice *s, int *bit, struct nx_note *why)
{
    const uint8_t *dot = s->len > 0 ? memchr(s->p, '.', s->len) : NULL;
    uint64_t n;

    *bit = MODBUS_NO_BIT;
    if (!dot)
        return NX_OK;
    if (!num_u64(slice_skip(*s, (size_t)(dot + 1 - s->p)), &n) || n > 15)
        return nx_fail(why, NX_E_CONFIG, "the part behind the dot must be a bit number from 0 (lowest) to 15");
    *bit = (int)n;
    s->len = (size_t)(dot - s->p);
    return NX_OK;
}

/* Takes "[10]" off the end. */
static enum nx_err
split_array(struct slice *s, uint32_t *elements, struct nx_note *why)
{
    const uint8_t *open = s->len > 0 ? memchr(s->p, '[', s->len) : NULL;
    struct slice number;
    uint64_t n;

    *elements = 0;
    if (!open)
        return NX_OK;
    number = slice_skip(*s, (size_t)(open + 1 - s->p));
    if (number.len < 2 || number.p[number.len - 1] != ']' || !num_u64(slice(number.p, number.len - 1), &n) || n == 0 ||
        n > UINT16_MAX + 1u)
        return nx_fail(why, NX_E_CONFIG, "the part in brackets must be the number of elements, from 1 to 65536: [10]");
    *elements = (uint32_t)n;
    *s = slice_trim(slice(s->p, (size_t)(open - s->p)));
    return NX_OK;
}

static enum nx_err
split(const char *text, struct parts *out, struct nx_note *why)
{
    struct slice s = slice_trim(slice_str(text));
    size_t n = 0;
    enum nx_err err = split_array(&s, &out->elements, why);

    if (err == NX_OK)
        err = split_bit(&s, &out->bit, why);
    if (err != NX_OK)
        return err;
    while (n < s.len && (isalpha(s.p[n]) || s.p[n] == '_') && n < sizeof out->prefix - 1) {
        out->prefix[n] = (char)tolower(s.p[n]);
        n++;
    }
    out->prefix[n] = '\0';
    s = slice_skip(s, n);
    if (n > 0 && s.len > 0 && s.p[0] == ':')
        s = slice_skip(s, 1);
    out->number = slice_trim(s);
    return NX_OK;
}

/* Is a number without a prefix a Modicon number? Sets table and the number behind the first digit. */
static bool
is_modicon(struct slice s, uint8_t *table, uint64_t *n)
{
    if (s.len != 5 && s.len != 6)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!isdigit(s.p[i]))
            return false;
    for (unsigned t = 0; t < MODBUS_TABLES; t++) {
        if (s.p[0] == '0' + modicon_digits[t]) {
            *table = (uint8_t)t;
            return num_u64(slice_skip(s, 1), n);
        }
    }
    return false;
}

static enum nx_err
read_prefix(const struct parts *parts, uint8_t *table, struct nx_note *why)
{
    const char *names[MEM_COUNT(prefixes)], *near;

    for (size_t i = 0; i < MEM_COUNT(prefixes); i++) {
        names[i] = prefixes[i].name;
        if (strcmp(parts->prefix, prefixes[i].name) == 0) {
            *table = prefixes[i].table;
            return NX_OK;
        }
    }
    near = num_near_miss(parts->prefix, names, MEM_COUNT(prefixes));
    return nx_fail(why, NX_E_CONFIG,
                   "'%s' is no Modbus table%s%s%s: write holding:, input:, coil: or discrete:", parts->prefix,
                   near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

/* Finds table and wire address. */
static enum nx_err
read_place(const struct nx_addr_spec *spec, const struct parts *parts, struct modbus_addr *addr, struct nx_note *why)
{
    uint8_t wanted = register_types[setting(spec, "register_type")];
    unsigned base = setting(spec, "address_base") == 1 ? 1 : 0;
    uint64_t n = 0;

    addr->table = wanted;
    if (parts->prefix[0] != '\0') {
        enum nx_err err = read_prefix(parts, &addr->table, why);
        if (err != NX_OK)
            return err;
    } else if (is_modicon(parts->number, &addr->table, &n)) {
        if (n == 0)
            return nx_fail(why, NX_E_CONFIG, "Modicon numbers begin at 1: the first %s is %05u",
                           modbus_table_name(addr->table), modbus_addr_modicon(addr->table, 0));
        base = 1;
    } else if (wanted == MODBUS_TABLES) {
        return nx_fail(why, NX_E_CONFIG,
                       "'%.40s' does not say which table: write 40001, holding:100, or set register_type",
                       spec->address);
    }
    if (wanted != MODBUS_TABLES && addr->table != wanted)
        return nx_fail(why, NX_E_CONFIG,
                       "address '%.40s' is in table %s but register_type says %s; for wire address %.6s "
                       "write %s:%.6s",
                       spec->address, modbus_table_name(addr->table), modbus_table_name(wanted), spec->address,
                       modbus_table_name(wanted), spec->address);
    if (n == 0 && !num_u64(parts->number, &n))
        return nx_fail(why, NX_E_CONFIG, "'%.40s' has no register number; examples: 40001, holding:100, coil:0x10",
                       spec->address);
    if (n < base || n - base > UINT16_MAX)
        return nx_fail(why, NX_E_CONFIG, "address '%.40s' is outside 0..65535 of the wire", spec->address);
    addr->start = (uint16_t)(n - base);
    return NX_OK;
}

static enum nx_err
read_size(const struct nx_addr_spec *spec, struct modbus_addr *addr, struct nx_note *why)
{
    uint32_t given = spec->count;
    uint32_t own = type_regs[spec->data_type];

    if (given == 0 && spec->settings)
        given = (uint32_t)nx_setting_int(spec->settings, "register_count");
    if (modbus_table_is_bits(addr->table)) {
        if (spec->data_type != NX_DT_BOOL)
            return nx_fail(why, NX_E_CONFIG, "a %s is one bit: data_type must be bool", modbus_table_name(addr->table));
        if (addr->bit != MODBUS_NO_BIT)
            return nx_fail(why, NX_E_CONFIG, "a %s is one bit already: drop the .%d", modbus_table_name(addr->table),
                           addr->bit);
        if (given > 1)
            return nx_fail(why, NX_E_CONFIG, "register_count must be 1 for a %s", modbus_table_name(addr->table));
        addr->count = 1;
        return NX_OK;
    }
    if (addr->bit != MODBUS_NO_BIT && spec->data_type != NX_DT_BOOL)
        return nx_fail(why, NX_E_CONFIG, "a bit of a register needs data_type bool");
    if (own == 0 && (given == 0 || given > MODBUS_READ_REGS_MAX))
        return nx_fail(why, NX_E_CONFIG, "a string needs register_count from 1 to %u (two characters per register)",
                       MODBUS_READ_REGS_MAX);
    if (own != 0 && given != 0 && given != own)
        return nx_fail(why, NX_E_CONFIG, "register_count is %u but the data type takes %u register%s: leave it out",
                       given, own, own == 1 ? "" : "s");
    addr->count = (uint16_t)(own ? own : given);
    if (addr->start + addr->count > 65536u)
        return nx_fail(why, NX_E_CONFIG, "the value reaches past the last register (65535)");
    return NX_OK;
}

/* Goes to the element that is asked for; the whole array must lie in the table. */
static enum nx_err
read_element(const struct nx_addr_spec *spec, const struct parts *parts, struct modbus_addr *addr, struct nx_note *why)
{
    uint64_t last = parts->elements > spec->element ? parts->elements - 1 : spec->element;
    uint64_t bit = addr->bit == MODBUS_NO_BIT ? 0 : (uint64_t)addr->bit;
    uint64_t step = addr->bit == MODBUS_NO_BIT ? addr->count * 16u : 1; /* in sixteenths of an address */

    if (parts->elements != 0 && spec->element >= parts->elements)
        return nx_fail(why, NX_E_CONFIG, "there is no element %u: the array has %u", spec->element, parts->elements);
    if (addr->start + (bit + last * step) / 16 + addr->count > 65536u)
        return nx_fail(why, NX_E_CONFIG, "the array reaches past the last address (65535)");
    bit += spec->element * step;
    addr->start = (uint16_t)(addr->start + bit / 16);
    if (addr->bit != MODBUS_NO_BIT)
        addr->bit = (int8_t)(bit % 16);
    return NX_OK;
}

static enum nx_err
read_encoding(const struct nx_addr_spec *spec, struct modbus_addr *addr, struct nx_note *why)
{
    addr->is_bcd = setting(spec, "encoding") == 1;
    addr->write_with = (uint8_t)setting(spec, "write_function");
    if (addr->is_bcd && (spec->data_type < NX_DT_INT16 || spec->data_type > NX_DT_UINT64))
        return nx_fail(why, NX_E_CONFIG, "encoding bcd needs a whole number of 16, 32 or 64 bits as data_type");
    if (addr->write_with == MODBUS_WRITE_READ && (modbus_table_is_bits(addr->table) || addr->bit != MODBUS_NO_BIT))
        return nx_fail(why, NX_E_CONFIG, "write_function read_write is for registers; a bit is written alone");
    return NX_OK;
}

static enum nx_err
read_order(const struct nx_addr_spec *spec, struct modbus_addr *addr, struct nx_note *why)
{
    int i = setting(spec, "byte_order");
    unsigned bytes = addr->count * 2u;

    if (spec->data_type != NX_DT_STRING && orders[i].bytes != 0 && orders[i].bytes != bytes)
        return nx_fail(why, NX_E_CONFIG,
                       "byte_order %s is for values of %u bytes, this one has %u: use ABCD, CDAB, BADC "
                       "or DCBA",
                       orders[i].name, orders[i].bytes, bytes);
    addr->order = orders[i].order;
    return NX_OK;
}

static void
spell(const struct modbus_addr *addr, char *out, size_t cap)
{
    if (addr->bit == MODBUS_NO_BIT)
        snprintf(out, cap, "%s:%u", modbus_table_name(addr->table), addr->start);
    else
        snprintf(out, cap, "%s:%u.%d", modbus_table_name(addr->table), addr->start, addr->bit);
}

enum nx_err
modbus_addr_parse(const struct nx_addr_spec *spec, void *out, struct nx_addr_info *info, struct nx_note *why)
{
    struct modbus_addr *addr = out;
    struct parts parts;
    enum nx_err err = split(spec->address, &parts, why);

    if (err == NX_OK) {
        addr->type = (uint8_t)spec->data_type;
        addr->bit = (int8_t)parts.bit;
        err = read_place(spec, &parts, addr, why);
    }
    if (err == NX_OK)
        err = read_size(spec, addr, why);
    if (err == NX_OK)
        err = read_order(spec, addr, why);
    if (err == NX_OK)
        err = read_encoding(spec, addr, why);
    if (err == NX_OK)
        err = read_element(spec, &parts, addr, why);
    if (err != NX_OK)
        return err;
    info->elements = parts.elements;
    spell(addr, info->canonical, sizeof info->canonical);
    return NX_OK;
}
