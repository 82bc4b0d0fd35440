/* units.c -- reading of units, and from one to another. */
#include "model/units_priv.h"

#include "base/mem.h"
#include "base/num.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NESTING_MAX 8
#define DIM_MAX     60

struct reader {
    const char *at;
    bool is_tolerant; /* of case */
    unsigned depth;
};

/* --- spelling --- */

/* One way to write what has several: exponents, products, micro, ohm, degrees. The first that fits counts. */
static const char *const spellings[][2] = {
    {" ", ""},  {"\u00a0", ""}, {"^", ""},   {"**", ""}, {"*", "."}, {"·", "."},  {"⋅", "."},  {"×", "."},
    {"²", "2"}, {"³", "3"},     {"¹", "1"},  {"⁻", "-"}, {"₂", "2"}, {"₃", "3"},  {"µ", "u"},  {"μ", "u"},
    {"º", "°"}, {"℃", "°C"},    {"℉", "°F"}, {"Ω", "Ω"}, {"’", "'"}, {"''", "″"}, {"”", "\""}, {"−", "-"},
};

static size_t
spelled_otherwise(const char *text, const char **instead)
{
    for (size_t i = 0; i < MEM_COUNT(spellings); i++) {
        size_t n = strlen(spellings[i][0]);

        if (strncmp(text, spellings[i][0], n) == 0) {
            *instead = spellings[i][1];
            return n;
        }
    }
    return 0;
}

/* false when it is too long or empty. */
static bool
spell(const char *text, char out[UNIT_TEXT_MAX + 1])
{
    size_t len = 0;

    while (*text) {
        const char *put = text;
        size_t taken = spelled_otherwise(text, &put), n = taken ? strlen(put) : 1;

        if (len + n > UNIT_TEXT_MAX)
            return false;
        memcpy(out + len, put, n);
        len += n;
        text += taken ? taken : 1;
    }
    out[len] = '\0';
    return len > 0;
}

/* --- atoms --- */

static const struct {
    const char *text;
    int power;
} prefixes[] = {{"k", 3},  {"M", 6},  {"m", -3},  {"c", -2}, {"u", -6}, {"d", -1},  {"h", 2},  {"G", 9},
                {"n", -9}, {"T", 12}, {"p", -12}, {"da", 1}, {"P", 15}, {"f", -15}, {"E", 18}, {"a", -18}};

static bool
is_name_of(const struct unit_atom *a, const char *text, bool is_tolerant)
{
    for (size_t i = 0; i < UNIT_NAMES && a->names[i]; i++) {
        const char *name = a->names[i];

        if (is_tolerant ? strcasecmp(name, text) == 0 : *name == *text && strcmp(name, text) == 0)
            return true;
    }
    return false;
}

static bool
is_same_atom(const struct unit_atom *a, const struct unit_atom *b)
{
    return a->n == b->n && a->d == b->d && a->pi == b->pi && memcmp(a->dim, b->dim, sizeof a->dim) == 0;
}

/* When case does not count, two atoms that fit are one too many: NULL. */
static const struct unit_atom *
find_atom(const char *text, enum unit_prefixes unwanted, bool is_tolerant)
{
    const struct unit_atom *found = NULL;

    for (unsigned i = 0; i < unit_atom_count; i++) {
        const struct unit_atom *a = &unit_atoms[i];

        if (a->prefixes == unwanted || !is_name_of(a, text, is_tolerant))
            continue;
        if (!is_tolerant)
            return a;
        if (found && !is_same_atom(found, a))
            return NULL;
        found = a;
    }
    return found;
}

/* milli and mega, pico and peta must not be taken for each other. */
static size_t
prefix_at(const char *text, size_t i, bool is_tolerant)
{
    size_t n = strlen(prefixes[i].text);

    if (strncmp(text, prefixes[i].text, n) == 0)
        return is_tolerant && strchr("mp", *text) ? 0 : n;
    return is_tolerant && prefixes[i].power == 3 && *text == 'K' ? n : 0;
}

static void
take_atom(struct unit *out, const struct unit_atom *a, int power)
{
    memcpy(out->dim, a->dim, sizeof out->dim);
    out->factor = ratio_mul(ratio_of(a->n, a->d), ratio_power(ratio_of(10, 1), power));
    out->offset = a->offset_d ? ratio_of(a->offset_n, a->offset_d) : ratio_of(0, 1);
    if (a->pi) {
        out->factor.pi = a->pi;
        out->factor.approx *= 3.14159265358979323846264338327950288L;
    }
}

static bool
read_atom(const char *text, bool is_tolerant, struct unit *out)
{
    const struct unit_atom *a = find_atom(text, UNIT_ONLY_PREFIXED, is_tolerant);

    if (a) {
        take_atom(out, a, 0);
        return true;
    }
    for (size_t i = 0; i < MEM_COUNT(prefixes); i++) {
        size_t n = prefix_at(text, i, is_tolerant);

        if (n && !strpbrk(text + n, "/-") && (a = find_atom(text + n, UNIT_PLAIN, is_tolerant))) { /* m/s, not m(/s) */
            take_atom(out, a, prefixes[i].power);
            return true;
        }
    }
    return false;
}

/* --- products --- */

static struct unit
one(void)
{
    return (struct unit){.factor = ratio_of(1, 1), .offset = ratio_of(0, 1)};
}

/* An offset belongs to a unit that stands alone. */
static bool
multiply(struct unit *into, const struct unit *u, int exponent)
{
    for (size_t i = 0; i < UNIT_BASES; i++) {
        int dim = into->dim[i] + u->dim[i] * exponent;

        if (dim > DIM_MAX || dim < -DIM_MAX)
            return false;
        into->dim[i] = (int8_t)dim;
    }
    into->factor = ratio_mul(into->factor, ratio_power(u->factor, exponent));
    return true;
}

/* "m2" is "m", 2; "s-1" is "s", -1. false: there is none. */
static bool
split_exponent(char *token, int *exponent)
{
    size_t len = strlen(token), n = len;

    while (n > 0 && isdigit((unsigned char)token[n - 1]))
        n--;
    if (n == len || len - n > 1)
        return false;
    *exponent = token[n] - '0';
    if (n > 1 && (token[n - 1] == '-' || token[n - 1] == '+'))
        *exponent = token[--n] == '-' ? -*exponent : *exponent;
    token[n] = '\0';
    return n > 0 && *exponent != 0;
}

/* "100km": a count in front. */
static char *
split_number(char *token, int64_t *number)
{
    char *p = token;

    *number = 1;
    if (!isdigit((unsigned char)*p))
        return p;
    for (*number = 0; isdigit((unsigned char)*p) && *number < 1000000; p++)
        *number = *number * 10 + (*p - '0');
    return *number > 0 ? p : token;
}

static bool
read_token(struct reader *r, struct unit *out)
{
    char token[UNIT_TEXT_MAX + 1];
    size_t n = strcspn(r->at, "./()");
    int exponent = 1;
    int64_t number = 1;
    struct unit u = one();

    memcpy(token, r->at, n);
    token[n] = '\0';
    r->at += n;
    *out = one();
    if (read_atom(token, r->is_tolerant, &u))
        return multiply(out, &u, 1);
    char *rest = split_number(token, &number);
    out->factor = ratio_of(number, 1);
    if (rest != token && *rest == '\0')
        return true;
    if (read_atom(rest, r->is_tolerant, &u))
        return multiply(out, &u, 1);
    return split_exponent(rest, &exponent) && read_atom(rest, r->is_tolerant, &u) && multiply(out, &u, exponent);
}

static bool read_product(struct reader *r, struct unit *out);

static bool
read_factor(struct reader *r, struct unit *out)
{
    if (*r->at != '(')
        return read_token(r, out);
    r->at++;
    if (++r->depth > NESTING_MAX || !read_product(r, out) || *r->at != ')')
        return false;
    r->depth--;
    r->at++;
    return true;
}

static bool
read_product(struct reader *r, struct unit *out)
{
    int sign = 1;

    *out = one();
    if (*r->at == '/')
        sign = -1, r->at++;
    for (;;) {
        struct unit u;

        if (!read_factor(r, &u) || !multiply(out, &u, sign))
            return false;
        if (*r->at != '.' && *r->at != '/')
            return true;
        sign = *r->at++ == '/' ? -1 : 1;
    }
}

static bool
read_unit(const char *text, bool is_tolerant, struct unit *out)
{
    struct reader r = {.at = text, .is_tolerant = is_tolerant};

    *out = one();
    if (read_atom(text, is_tolerant, out))
        return true;
    return read_product(&r, out) && *r.at == '\0';
}

/* --- near misses --- */

/* What people mean most often, beside the names of the table. */
static const char *const usual[] = {"kPa",  "MPa",   "mbar", "hPa",  "kW",   "MW",  "kWh",  "MWh",   "mA",   "kV",
                                    "mV",   "mm",    "cm",   "km",   "ml",   "kg",  "mg",   "uS/cm", "m3/h", "m3/s",
                                    "kg/h", "t/h",   "m/s",  "mm/s", "kvar", "kVA", "MJ",   "kJ",    "GJ",   "kHz",
                                    "mm2",  "kg/m3", "mg/l", "g/l",  "kNm",  "kN",  "kOhm", "m/s2",  "W/m2", "kcal"};

static enum nx_err
unknown(const char *text, struct nx_note *why)
{
    const char *names[1024];
    size_t n = 0;

    for (; n < MEM_COUNT(usual); n++)
        names[n] = usual[n];
    for (unsigned i = 0; i < unit_atom_count; i++) {
        for (size_t k = 0; k < UNIT_NAMES && unit_atoms[i].names[k] && n < MEM_COUNT(names); k++)
            names[n++] = unit_atoms[i].names[k];
    }
    const char *near = num_near_miss(text, names, n);
    if (near && strcmp(near, text) != 0)
        return nx_fail(why, NX_E_CONFIG, "unknown unit '%.40s'. Did you mean '%s'?", text, near);
    return nx_fail(why, NX_E_CONFIG, "unknown unit '%.40s'. Write units such as bar, kPa, m3/h, degC, W/(m2.K)", text);
}

enum nx_err
unit_parse(const char *text, struct unit *out, struct nx_note *why)
{
    char plain[UNIT_TEXT_MAX + 1];

    *out = one();
    if (!spell(text, plain))
        return nx_fail(why, NX_E_CONFIG, "a unit is 1 to %u bytes long", UNIT_TEXT_MAX);
    if (read_unit(plain, false, out) || read_unit(plain, true, out))
        return NX_OK;
    return unknown(text, why);
}

/* --- from one to another --- */

static const char *
quantity_of(const struct unit *u, char *buf, size_t cap)
{
    static const char *const bases[UNIT_BASES] = {"m",        "kg",  "s",     "A",  "K",   "mol",   "cd",
                                                  "rad",      "bit", "piece", "VA", "var", "gauge", "normal",
                                                  "standard", "scf", "pH",    "dB", "NTU"};
    size_t len = 0;

    (void)snprintf(buf, cap, "a plain number");
    for (size_t i = 0; i < UNIT_BASES && len + 16 < cap; i++) {
        if (u->dim[i] != 0)
            len += (size_t)snprintf(buf + len, cap - len, u->dim[i] == 1 ? "%s%s" : "%s%s%d", len ? "." : "", bases[i],
                                    u->dim[i]);
    }
    return buf;
}

static enum nx_err
cannot_convert(const char *from, const char *to, const struct unit *a, const struct unit *b, struct nx_note *why)
{
    char x[160], y[160];
    const char *hint = "";

    if (a->dim[UNIT_GAUGE] != b->dim[UNIT_GAUGE])
        hint = ". Between gauge and absolute pressure lies the air pressure of the place: use an offset";
    else if (a->dim[UNIT_NORMAL] != b->dim[UNIT_NORMAL] || a->dim[UNIT_STANDARD] != b->dim[UNIT_STANDARD])
        hint = ". The reference conditions of the gas differ: use a scale_factor";
    return nx_fail(why, NX_E_CONFIG, "'%s' measures %s and '%s' measures %s: they cannot be converted%s", from,
                   quantity_of(a, x, sizeof x), to, quantity_of(b, y, sizeof y), hint);
}

enum nx_err
unit_convert(const char *from, const char *to, struct ratio *slope, struct ratio *shift, struct nx_note *why)
{
    struct unit a, b;
    enum nx_err err;

    *slope = ratio_of(1, 1);
    *shift = ratio_of(0, 1);
    if (strcmp(from, to) == 0)
        return NX_OK;
    if ((err = unit_parse(from, &a, why)) != NX_OK || (err = unit_parse(to, &b, why)) != NX_OK)
        return err;
    if (memcmp(a.dim, b.dim, sizeof a.dim) != 0)
        return cannot_convert(from, to, &a, &b, why);
    *slope = ratio_div(a.factor, b.factor);
    *shift = ratio_add(ratio_mul(a.offset, *slope), ratio_neg(b.offset));
    return NX_OK;
}
