#include "base/wbuf.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WBUF_MAX_BYTES (1u << 30)

struct wbuf
wbuf_init(size_t max_bytes)
{
    return (struct wbuf){.max_bytes = max_bytes ? max_bytes : WBUF_MAX_BYTES};
}

struct wbuf
wbuf_fixed(void *p, size_t cap)
{
    return (struct wbuf){.p = p, .cap = cap, .max_bytes = cap, .is_fixed = true};
}

void
wbuf_free(struct wbuf *w)
{
    if (!w->is_fixed)
        free(w->p);
    *w = (struct wbuf){.max_bytes = w->max_bytes};
}

void
wbuf_reset(struct wbuf *w)
{
    w->len = 0;
    w->failed = false;
}

static bool
grow(struct wbuf *w, size_t need)
{
    size_t cap = w->cap ? w->cap : 64;

    if (w->is_fixed || need > w->max_bytes)
        return false;
    while (cap < need)
        cap *= 2;
    if (cap > w->max_bytes)
        cap = w->max_bytes;
    w->p = mem_realloc(w->p, cap);
    w->cap = cap;
    return true;
}

uint8_t *
wbuf_reserve(struct wbuf *w, size_t n)
{
    if (w->failed)
        return NULL;
    if (n > w->cap - w->len && (n > SIZE_MAX - w->len || !grow(w, w->len + n))) {
        w->failed = true;
        return NULL;
    }
    return w->p + w->len;
}

void
wbuf_advance(struct wbuf *w, size_t n)
{
    if (!w->failed)
        w->len += n;
}

void
wbuf_bytes(struct wbuf *w, const void *p, size_t n)
{
    if (n == 0)
        return;
    uint8_t *at = wbuf_reserve(w, n);
    if (!at)
        return;
    memcpy(at, p, n);
    w->len += n;
}

void
wbuf_slice(struct wbuf *w, struct slice s)
{
    wbuf_bytes(w, s.p, s.len);
}

void
wbuf_str(struct wbuf *w, const char *s)
{
    wbuf_bytes(w, s, strlen(s));
}

void
wbuf_char(struct wbuf *w, char c)
{
    wbuf_bytes(w, &c, 1);
}

void
wbuf_u8(struct wbuf *w, unsigned v)
{
    uint8_t *at = wbuf_reserve(w, 1);

    if (!at)
        return;
    *at = (uint8_t)v;
    w->len++;
}

static void
put_be(struct wbuf *w, uint64_t v, unsigned n)
{
    uint8_t *at = wbuf_reserve(w, n);

    if (!at)
        return;
    for (unsigned i = 0; i < n; i++)
        at[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    w->len += n;
}

static void
put_le(struct wbuf *w, uint64_t v, unsigned n)
{
    uint8_t *at = wbuf_reserve(w, n);

    if (!at)
        return;
    for (unsigned i = 0; i < n; i++)
        at[i] = (uint8_t)(v >> (8 * i));
    w->len += n;
}

void
wbuf_be16(struct wbuf *w, unsigned v)
{
    put_be(w, v, 2);
}

void
wbuf_be32(struct wbuf *w, uint32_t v)
{
    put_be(w, v, 4);
}

void
wbuf_be64(struct wbuf *w, uint64_t v)
{
    put_be(w, v, 8);
}

void
wbuf_le16(struct wbuf *w, unsigned v)
{
    put_le(w, v, 2);
}

void
wbuf_le32(struct wbuf *w, uint32_t v)
{
    put_le(w, v, 4);
}

void
wbuf_le64(struct wbuf *w, uint64_t v)
{
    put_le(w, v, 8);
}

void
wbuf_varint(struct wbuf *w, uint64_t v)
{
    uint8_t *at = wbuf_reserve(w, 10);
    size_t n = 0;

    if (!at) { /* near the end of a fixed buffer: byte by byte */
        uint8_t tmp[10];
        struct wbuf t = wbuf_fixed(tmp, sizeof tmp);

        w->failed = false;
        wbuf_varint(&t, v);
        wbuf_bytes(w, tmp, t.len);
        return;
    }
    while (v >= 0x80) {
        at[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    at[n++] = (uint8_t)v;
    w->len += n;
}

void
wbuf_svarint(struct wbuf *w, int64_t v)
{
    wbuf_varint(w, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

void
wbuf_vprintf(struct wbuf *w, const char *fmt, va_list ap)
{
    va_list again;

    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    uint8_t *at = n < 0 ? NULL : wbuf_reserve(w, (size_t)n + 1);
    if (at) {
        (void)vsnprintf((char *)at, (size_t)n + 1, fmt, again);
        w->len += (size_t)n;
    }
    va_end(again);
}

void
wbuf_printf(struct wbuf *w, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    wbuf_vprintf(w, fmt, ap);
    va_end(ap);
}

void
wbuf_u64(struct wbuf *w, uint64_t v)
{
    char tmp[20];
    size_t n = sizeof tmp;

    do {
        tmp[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    wbuf_bytes(w, tmp + n, sizeof tmp - n);
}

void
wbuf_i64(struct wbuf *w, int64_t v)
{
    if (v < 0)
        wbuf_char(w, '-');
    wbuf_u64(w, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* Numbers with few decimals are by far the most common values of a plant: exact integer arithmetic prints them
 * without trying precisions. */
static bool
put_short_decimal(struct wbuf *w, double v)
{
    static const double scale[] = {1, 10, 100, 1000, 10000};
    double a = fabs(v);

    if (a >= 1e11)
        return false;
    for (unsigned digits = 0; digits < 5; digits++) {
        double scaled = a * scale[digits];
        uint64_t whole = (uint64_t)(scaled + 0.5);

        if ((double)whole / scale[digits] != a)
            continue;
        uint64_t power = (uint64_t)scale[digits];
        if (signbit(v))
            wbuf_char(w, '-');
        wbuf_u64(w, whole / power);
        if (digits) {
            char fraction[8] = ".";
            uint64_t rest = whole % power;

            for (unsigned i = digits; i > 0; i--, rest /= 10)
                fraction[i] = (char)('0' + rest % 10);
            wbuf_bytes(w, fraction, digits + 1);
        }
        return true;
    }
    return false;
}

void
wbuf_double(struct wbuf *w, double v)
{
    char tmp[32];

    if (!isfinite(v)) { /* JSON has no such numbers */
        wbuf_str(w, "null");
        return;
    }
    if (put_short_decimal(w, v))
        return;
    for (int precision = 15; precision <= 17; precision++) {
        (void)snprintf(tmp, sizeof tmp, "%.*g", precision, v);
        if (strtod(tmp, NULL) == v)
            break;
    }
    for (char *c = tmp; *c; c++) {
        if (*c == ',') /* a locale's decimal comma */
            *c = '.';
    }
    wbuf_str(w, tmp);
}

static void
put_escape(struct wbuf *w, uint8_t c)
{
    static const char short_forms[][2] = {{'"', '"'},  {'\\', '\\'}, {'\n', 'n'}, {'\r', 'r'},
                                          {'\t', 't'}, {'\b', 'b'},  {'\f', 'f'}};

    for (size_t i = 0; i < MEM_COUNT(short_forms); i++) {
        if (short_forms[i][0] == (char)c) {
            wbuf_char(w, '\\');
            wbuf_char(w, short_forms[i][1]);
            return;
        }
    }
    wbuf_printf(w, "\\u%04x", c);
}

void
wbuf_json_string(struct wbuf *w, struct slice s)
{
    wbuf_char(w, '"');
    while (s.len) {
        size_t plain = 0;

        while (plain < s.len && s.p[plain] >= 0x20 && s.p[plain] < 0x80 && s.p[plain] != '"' && s.p[plain] != '\\')
            plain++;
        wbuf_bytes(w, s.p, plain);
        s = slice_skip(s, plain);
        if (!s.len)
            break;
        size_t step = utf8_step(s);
        if (step == 0)
            wbuf_str(w, "\xEF\xBF\xBD");
        else if (step == 1)
            put_escape(w, s.p[0]);
        else
            wbuf_bytes(w, s.p, step);
        s = slice_skip(s, step ? step : 1);
    }
    wbuf_char(w, '"');
}

void
wbuf_json_value(struct wbuf *w, const struct nx_value *v)
{
    switch (v->type) {
    case NX_TYPE_NONE:
        wbuf_str(w, "null");
        break;
    case NX_TYPE_BOOL:
        wbuf_str(w, v->b ? "true" : "false");
        break;
    case NX_TYPE_INT:
        wbuf_i64(w, v->i);
        break;
    case NX_TYPE_UINT:
        wbuf_u64(w, v->u);
        break;
    case NX_TYPE_DOUBLE:
        wbuf_double(w, v->d);
        break;
    case NX_TYPE_STRING:
        wbuf_json_string(w, slice(v->s, v->len));
        break;
    }
}

void
wbuf_patch_be16(struct wbuf *w, size_t at, unsigned v)
{
    if (w->failed)
        return;
    w->p[at] = (uint8_t)(v >> 8);
    w->p[at + 1] = (uint8_t)v;
}

void
wbuf_patch_le32(struct wbuf *w, size_t at, uint32_t v)
{
    for (unsigned i = 0; !w->failed && i < 4; i++)
        w->p[at + i] = (uint8_t)(v >> (8 * i));
}

struct slice
wbuf_slice_of(const struct wbuf *w)
{
    return slice(w->p, w->failed ? 0 : w->len);
}

const char *
wbuf_cstr(struct wbuf *w)
{
    uint8_t *at = wbuf_reserve(w, 1);

    if (!at)
        return "";
    *at = '\0';
    return (const char *)w->p;
}

char *
wbuf_take(struct wbuf *w, size_t *len)
{
    uint8_t *at = wbuf_reserve(w, 1);

    if (!at || w->is_fixed)
        return NULL;
    *at = '\0';
    if (len)
        *len = w->len;
    char *p = (char *)w->p;
    *w = (struct wbuf){.max_bytes = w->max_bytes};
    return p;
}
