#include "historian/sqlite/run.h"

#include <assert.h>
#include <math.h>

#include "base/rbuf.h"

enum { FLAG_UNIT = 3, FLAG_REGULAR = 4, FLAG_ONE_QUALITY = 8, FLAGS = 15 };
enum value_enc { ENC_SAME, ENC_DELTA, ENC_DECIMAL, ENC_DECIMAL_FLOAT, ENC_XOR };

static const int64_t units_us[] = {1, 1000, 1000000};
#define UNITS        3
#define MAX_DECIMALS 6
static const double pow10s[MAX_DECIMALS + 1] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};

static uint64_t
bits_of(double d)
{
    uint64_t u;

    memcpy(&u, &d, sizeof u);
    return u;
}

static double
double_of(uint64_t u)
{
    double d;

    memcpy(&d, &u, sizeof d);
    return d;
}

/* --- time --- */

static unsigned
coarsest_unit(const struct point *p, size_t n)
{
    unsigned unit = UNITS - 1;

    for (size_t i = 0; i < n && unit > 0; i++)
        while (unit > 0 && p[i].time_us % units_us[unit] != 0)
            unit--;
    return unit;
}

static bool
is_regular(const struct point *p, size_t n)
{
    for (size_t i = 2; i < n; i++)
        if (p[i].time_us - p[i - 1].time_us != p[1].time_us - p[0].time_us)
            return false;
    return true;
}

static void
encode_times(struct wbuf *w, const struct point *p, size_t n, int64_t unit_us, bool regular)
{
    int64_t last = 0;

    wbuf_svarint(w, p[0].time_us / unit_us);
    for (size_t i = 1; i < n; i++) {
        int64_t delta = (p[i].time_us - p[i - 1].time_us) / unit_us;

        assert(delta >= 0);
        if (i == 1)
            wbuf_varint(w, (uint64_t)delta);
        else if (regular)
            break;
        else
            wbuf_svarint(w, delta - last);
        last = delta;
    }
}

/* Arithmetic on uint64_t so that damaged bytes wrap instead of overflowing. */
static void
decode_times(struct rbuf *r, struct point *p, size_t n, uint64_t unit_us, bool regular)
{
    uint64_t t = (uint64_t)rbuf_svarint(r), delta = n > 1 ? rbuf_varint(r) : 0;

    p[0].time_us = (int64_t)(t * unit_us);
    for (size_t i = 1; i < n; i++) {
        if (i > 1 && !regular)
            delta += (uint64_t)rbuf_svarint(r);
        t += delta;
        p[i].time_us = (int64_t)(t * unit_us);
    }
}

/* --- quality --- */

static size_t
same_quality(const struct point *p, size_t n)
{
    size_t k = 1;

    while (k < n && p[k].quality == p[0].quality)
        k++;
    return k;
}

static void
encode_quality(struct wbuf *w, const struct point *p, size_t n, bool one)
{
    for (size_t at = 0, k; at < n; at += k) {
        k = same_quality(p + at, n - at);
        wbuf_varint(w, p[at].quality);
        if (!one)
            wbuf_varint(w, k);
    }
}

static bool
decode_quality(struct rbuf *r, struct point *p, size_t n, bool one)
{
    for (size_t at = 0; at < n;) {
        uint64_t quality = rbuf_varint(r), k = one ? n : rbuf_varint(r);

        if (k == 0 || k > n - at || quality > UINT16_MAX)
            return false;
        for (size_t i = 0; i < k; i++)
            p[at + i].quality = (uint16_t)quality;
        at += k;
    }
    return true;
}

/* --- values --- */

static bool
as_decimal(double v, unsigned decimals, int64_t *m)
{
    double scaled = v * pow10s[decimals];

    if (!(fabs(scaled) < 9e15))
        return false;
    *m = llrint(scaled);
    return bits_of((double)*m / pow10s[decimals]) == bits_of(v);
}

static bool
as_decimal_float(double v, unsigned decimals, int64_t *m)
{
    double scaled = v * pow10s[decimals];

    if (!(fabs(scaled) < 9e15))
        return false;
    *m = llrint(scaled);
    return bits_of((double)(float)((double)*m / pow10s[decimals])) == bits_of(v);
}

typedef bool as_decimal_f(double v, unsigned decimals, int64_t *m);

/* The fewest decimals that give back every value; MAX_DECIMALS + 1 when none do. */
static unsigned
common_decimals(const struct point *p, size_t n, as_decimal_f *fits)
{
    unsigned decimals = 0;
    int64_t m;

    for (size_t i = 0; i < n; i++)
        while (!fits(p[i].value.d, decimals, &m))
            if (++decimals > MAX_DECIMALS)
                return decimals;
    /* More decimals may spoil an earlier value that fewer gave back. */
    for (size_t i = 0; i < n; i++)
        if (!fits(p[i].value.d, decimals, &m))
            return MAX_DECIMALS + 1;
    return decimals;
}

static void
encode_decimals(struct wbuf *w, const struct point *p, size_t n, unsigned decimals, as_decimal_f *fits)
{
    int64_t last = 0, m = 0;

    wbuf_u8(w, decimals);
    for (size_t i = 0; i < n; i++) {
        fits(p[i].value.d, decimals, &m);
        wbuf_svarint(w, m - last);
        last = m;
    }
}

/* Per value one byte (leading zero bytes << 4 | differing bytes) and those bytes of the XOR with the one before. */
static void
encode_xor(struct wbuf *w, const struct point *p, size_t n)
{
    uint64_t last = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t bits = bits_of(p[i].value.d), x = bits ^ last;
        unsigned lead, trail, len;

        last = bits;
        if (x == 0) {
            wbuf_u8(w, 0);
            continue;
        }
        lead = (unsigned)__builtin_clzll(x) / 8;
        trail = (unsigned)__builtin_ctzll(x) / 8;
        len = 8 - lead - trail;
        wbuf_u8(w, lead << 4 | len);
        x >>= trail * 8;
        for (unsigned b = 0; b < len; b++)
            wbuf_u8(w, (uint8_t)(x >> (8 * b)));
    }
}

static bool
decode_xor(struct rbuf *r, struct point *p, size_t n)
{
    uint64_t last = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned head = rbuf_u8(r), lead = head >> 4, len = head & 15;
        uint64_t x = 0;

        if (lead + len > 8)
            return false;
        for (unsigned b = 0; b < len; b++)
            x |= (uint64_t)rbuf_u8(r) << (8 * b);
        if (len > 0)
            x <<= 8 * (8 - lead - len);
        last ^= x;
        p[i].value.d = double_of(last);
        if (!isfinite(p[i].value.d))
            return false;
    }
    return true;
}

static void
decode_decimals(struct rbuf *r, struct point *p, size_t n, bool is_float)
{
    unsigned decimals = rbuf_u8(r);
    uint64_t m = 0;

    if (decimals > MAX_DECIMALS)
        r->is_short = true;
    for (size_t i = 0; i < n && !r->is_short; i++) {
        double v;

        m += (uint64_t)rbuf_svarint(r);
        v = (double)(int64_t)m / pow10s[decimals];
        p[i].value.d = is_float ? (double)(float)v : v;
    }
}

/* Booleans and integers as one 64-bit word, so that one delta encoding serves them all. */
static uint64_t
word_of(const struct nx_value *v)
{
    switch (v->type) {
    case NX_TYPE_BOOL:
        return v->b;
    case NX_TYPE_DOUBLE:
        return bits_of(v->d);
    case NX_TYPE_NONE:
    case NX_TYPE_STRING:
        return 0;
    case NX_TYPE_INT:
    case NX_TYPE_UINT:
        break;
    }
    return v->u;
}

static void
set_word(struct nx_value *v, uint64_t word)
{
    if (v->type == NX_TYPE_BOOL)
        v->b = word & 1;
    else
        v->u = word;
}

static bool
all_same(const struct point *p, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (word_of(&p[i].value) != word_of(&p[0].value))
            return false;
    return true;
}

static void
encode_words(struct wbuf *w, const struct point *p, size_t n)
{
    uint64_t last = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t word = word_of(&p[i].value);

        wbuf_svarint(w, (int64_t)(word - last));
        last = word;
    }
}

static void
decode_words(struct rbuf *r, struct point *p, size_t n)
{
    uint64_t word = 0;

    for (size_t i = 0; i < n; i++) {
        word += (uint64_t)rbuf_svarint(r);
        set_word(&p[i].value, word);
    }
}

/* Length + 1 and the bytes, or 0 for the text before. */
static void
encode_strings(struct wbuf *w, const struct point *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && value_eq(&p[i].value, &p[i - 1].value)) {
            wbuf_varint(w, 0);
            continue;
        }
        wbuf_varint(w, (uint64_t)p[i].value.len + 1);
        wbuf_bytes(w, p[i].value.s, p[i].value.len);
    }
}

static bool
decode_strings(struct rbuf *r, struct point *p, size_t n)
{
    struct slice text = slice("", 0);

    for (size_t i = 0; i < n; i++) {
        uint64_t len = rbuf_varint(r);

        if (len > NX_STRING_MAX + 1)
            return false;
        if (len > 0)
            text = rbuf_take(r, (size_t)len - 1);
        p[i].value = nx_value_string((const char *)text.p, text.len);
    }
    return true;
}

/* A stretch of one type: a byte (type | encoding << 4), the count unless it reaches the end, the payload. */
static enum value_enc
choose_encoding(const struct point *p, size_t n, unsigned *decimals)
{
    enum nx_type type = p[0].value.type;

    *decimals = 0;
    if (type == NX_TYPE_NONE || type == NX_TYPE_STRING)
        return ENC_SAME;
    if (all_same(p, n))
        return ENC_SAME;
    if (type != NX_TYPE_DOUBLE)
        return ENC_DELTA;
    if ((*decimals = common_decimals(p, n, as_decimal)) <= MAX_DECIMALS)
        return ENC_DECIMAL;
    if ((*decimals = common_decimals(p, n, as_decimal_float)) <= MAX_DECIMALS)
        return ENC_DECIMAL_FLOAT;
    return ENC_XOR;
}

static void
encode_stretch(struct wbuf *w, const struct point *p, size_t n, bool is_last)
{
    unsigned decimals;
    enum nx_type type = p[0].value.type;
    enum value_enc enc = choose_encoding(p, n, &decimals);

    wbuf_u8(w, (unsigned)type | (unsigned)enc << 4);
    wbuf_varint(w, is_last ? 0 : n);
    if (type == NX_TYPE_STRING)
        encode_strings(w, p, n);
    else if (type == NX_TYPE_DOUBLE && enc == ENC_SAME)
        wbuf_le64(w, bits_of(p[0].value.d));
    else if (type != NX_TYPE_NONE && enc == ENC_SAME)
        wbuf_svarint(w, (int64_t)word_of(&p[0].value));
    else if (enc == ENC_DELTA)
        encode_words(w, p, n);
    else if (enc == ENC_DECIMAL || enc == ENC_DECIMAL_FLOAT)
        encode_decimals(w, p, n, decimals, enc == ENC_DECIMAL ? as_decimal : as_decimal_float);
    else if (enc == ENC_XOR)
        encode_xor(w, p, n);
}

static bool
decode_same(struct rbuf *r, struct point *p, size_t n)
{
    uint64_t word = 0;

    if (p[0].value.type == NX_TYPE_DOUBLE) {
        word = rbuf_le64(r);
        if (!isfinite(double_of(word)))
            return false;
    } else if (p[0].value.type != NX_TYPE_NONE) {
        word = (uint64_t)rbuf_svarint(r);
    }
    for (size_t i = 0; i < n; i++)
        set_word(&p[i].value, word);
    return true;
}

static bool
decode_payload(struct rbuf *r, struct point *p, size_t n, unsigned enc)
{
    enum nx_type type = p[0].value.type;

    if (type == NX_TYPE_STRING)
        return enc == ENC_SAME && decode_strings(r, p, n);
    if (enc == ENC_SAME)
        return decode_same(r, p, n);
    if (type == NX_TYPE_NONE || (type == NX_TYPE_DOUBLE) == (enc == ENC_DELTA))
        return false;
    switch (enc) {
    case ENC_DELTA:
        decode_words(r, p, n);
        return true;
    case ENC_DECIMAL:
    case ENC_DECIMAL_FLOAT:
        decode_decimals(r, p, n, enc == ENC_DECIMAL_FLOAT);
        return true;
    case ENC_XOR:
        return decode_xor(r, p, n);
    default:
        return false;
    }
}

static size_t
same_type(const struct point *p, size_t n)
{
    size_t k = 1;

    while (k < n && p[k].value.type == p[0].value.type)
        k++;
    return k;
}

static bool
decode_values(struct rbuf *r, struct point *p, size_t n)
{
    for (size_t at = 0, k; at < n; at += k) {
        unsigned head = rbuf_u8(r), type = head & 15;

        k = (size_t)rbuf_varint(r);
        if (k == 0)
            k = n - at;
        if (r->is_short || k > n - at || type > NX_TYPE_STRING)
            return false;
        for (size_t i = 0; i < k; i++)
            p[at + i].value = (struct nx_value){.type = (enum nx_type)type};
        if (!decode_payload(r, p + at, k, head >> 4))
            return false;
    }
    return true;
}

/* --- the whole --- */

void
run_encode(struct wbuf *w, const struct point *p, size_t n)
{
    unsigned unit = coarsest_unit(p, n);
    bool regular = is_regular(p, n), one_quality = same_quality(p, n) == n;

    assert(n >= 1 && n <= RUN_MAX_POINTS);
    wbuf_u8(w, unit | (regular ? FLAG_REGULAR : 0u) | (one_quality ? FLAG_ONE_QUALITY : 0u));
    encode_times(w, p, n, units_us[unit], regular);
    encode_quality(w, p, n, one_quality);
    for (size_t at = 0, k; at < n; at += k) {
        k = same_type(p + at, n - at);
        encode_stretch(w, p + at, k, at + k == n);
    }
}

enum nx_err
run_decode(struct slice data, struct point *p, size_t n)
{
    struct rbuf r = rbuf_init(data);
    unsigned flags = rbuf_u8(&r);

    if (n < 1 || n > RUN_MAX_POINTS || flags > FLAGS || (flags & FLAG_UNIT) >= UNITS)
        return NX_E_CORRUPT;
    decode_times(&r, p, n, (uint64_t)units_us[flags & FLAG_UNIT], flags & FLAG_REGULAR);
    if (!decode_quality(&r, p, n, flags & FLAG_ONE_QUALITY) || !decode_values(&r, p, n) || r.is_short)
        return NX_E_CORRUPT;
    for (size_t i = 0; i < n; i++) {
        p[i].series = 0;
        p[i].gateway_us = 0;
        if (i > 0 && p[i].time_us < p[i - 1].time_us)
            return NX_E_CORRUPT;
    }
    return rbuf_finish(&r) == NX_OK ? NX_OK : NX_E_CORRUPT;
}
