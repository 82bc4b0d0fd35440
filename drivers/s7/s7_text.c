#include "s7_text.h"

#include "base/utf8.h"

#include <string.h>

#define REPLACEMENT 0xFFFDu

static size_t
put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* Valid UTF-8 only. */
static uint32_t
take_utf8(struct slice *s)
{
    size_t n = utf8_step(*s);
    uint32_t c = n == 1 ? s->p[0] : s->p[0] & (0x7Fu >> n);

    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s->p[i] & 0x3Fu);
    *s = slice_skip(*s, n);
    return c;
}

static uint32_t
unit_at(const uint8_t *p, size_t i)
{
    return (uint32_t)p[2 * i] << 8 | p[2 * i + 1];
}

static bool
is_surrogate(uint32_t c, uint32_t first)
{
    return c >= first && c < first + 0x400;
}

/* The character that begins at unit *i, which moves to the last unit of it. */
static uint32_t
wide_at(const uint8_t *p, size_t *i, size_t n)
{
    uint32_t c = unit_at(p, *i), low;

    if (is_surrogate(c, 0xDC00))
        return REPLACEMENT;
    if (!is_surrogate(c, 0xD800))
        return c;
    low = *i + 1 < n ? unit_at(p, *i + 1) : 0;
    if (!is_surrogate(low, 0xDC00))
        return REPLACEMENT;
    ++*i;
    return 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
}

/* Characters in the CPU, and where they begin. */
static size_t
text_length(const struct s7_addr *addr, const uint8_t **p)
{
    size_t n = addr->chars;

    if (addr->type == S7_STRING)
        n = (*p)[1];
    else if (addr->type == S7_WSTRING)
        n = unit_at(*p, 1);
    *p += s7_types[addr->type].bytes;
    return n < addr->chars ? n : addr->chars;
}

size_t
s7_text_decode(const struct s7_addr *addr, const uint8_t *p, char *text)
{
    size_t n = text_length(addr, &p), len = 0;
    bool is_wide = s7_type_is_wide(addr->type), is_array = s7_types[addr->type].bytes == 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t c = is_wide ? wide_at(p, &i, n) : p[i];
        if (c == 0 && is_array)
            break;
        len += put_utf8(text + len, c < 0x20 || c == 0x7F ? ' ' : c);
    }
    while (is_array && len > 0 && text[len - 1] == ' ')
        len--;
    return len;
}

/* Units of the text; 0 with *is_good false when a character cannot be written. */
static unsigned
put_text(bool is_wide, struct slice utf8, uint8_t *out, unsigned max, bool *is_good)
{
    unsigned n = 0;

    for (*is_good = utf8_is_valid(utf8); *is_good && utf8.len > 0 && n <= max;) {
        uint32_t c = take_utf8(&utf8);
        if (c >= 0x10000 && is_wide) {
            unsigned high = 0xD800u + ((c - 0x10000u) >> 10);
            if (n < max) {
                out[2 * n] = (uint8_t)(high >> 8);
                out[2 * n + 1] = (uint8_t)high;
            }
            n++;
            c = 0xDC00u + ((c - 0x10000u) & 0x3FFu);
        }
        if (n < max && is_wide) {
            out[2 * n] = (uint8_t)(c >> 8);
            out[2 * n + 1] = (uint8_t)c;
        } else if (n < max) {
            out[n] = (uint8_t)c;
        }
        *is_good = is_wide || c <= 0xFF;
        n++;
    }
    return n;
}

static void
fill_blanks(const struct s7_addr *addr, uint8_t *out, unsigned n)
{
    bool is_wide = s7_type_is_wide(addr->type);

    for (; n < addr->chars; n++) {
        if (is_wide) {
            out[2 * n] = 0;
            out[2 * n + 1] = ' ';
        } else {
            out[n] = ' ';
        }
    }
}

enum nx_err
s7_text_encode(const struct s7_addr *addr, struct slice utf8, uint8_t *out, unsigned *skip, unsigned *len,
               struct nx_note *why)
{
    bool is_wide = s7_type_is_wide(addr->type), is_array = s7_types[addr->type].bytes == 0, is_good;
    unsigned head = s7_types[addr->type].bytes / 2u, n;

    n = put_text(is_wide, utf8, out + head, addr->chars, &is_good);
    if (!is_good)
        return nx_fail(why, NX_E_VALUE, "the text has a character that a %s cannot hold%s", s7_types[addr->type].name,
                       is_wide ? "" : " (ISO 8859-1 only; a WSTRING holds all)");
    if (n > addr->chars)
        return nx_fail(why, NX_E_RANGE, "the text is longer than the %u characters of the %s", addr->chars,
                       s7_types[addr->type].name);
    if (is_array) {
        fill_blanks(addr, out, n);
        n = addr->chars;
    } else if (is_wide) {
        out[0] = (uint8_t)(n >> 8);
        out[1] = (uint8_t)n;
    } else {
        out[0] = (uint8_t)n;
    }
    *skip = head;
    *len = head + n * (is_wide ? 2u : 1u);
    return NX_OK;
}
