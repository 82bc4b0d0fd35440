#include "base/utf8.h"

static bool
is_tail(uint8_t b)
{
    return (b & 0xC0u) == 0x80u;
}

size_t
utf8_step(struct slice s)
{
    if (s.len == 0)
        return 0;
    const uint8_t *p = s.p;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 0;
    if (p[0] < 0xE0)
        return s.len >= 2 && is_tail(p[1]) ? 2 : 0;
    if (p[0] < 0xF0) {
        bool is_overlong = p[0] == 0xE0 && s.len >= 2 && p[1] < 0xA0;
        bool is_surrogate = p[0] == 0xED && s.len >= 2 && p[1] > 0x9F;

        return s.len >= 3 && is_tail(p[1]) && is_tail(p[2]) && !is_overlong && !is_surrogate ? 3 : 0;
    }
    if (s.len < 4 || !is_tail(p[1]) || !is_tail(p[2]) || !is_tail(p[3]))
        return 0;
    return (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F) ? 0 : 4;
}

/* Bytes of ASCII at the start, in whole words: nearly every text of a plant is nothing else. */
static size_t
ascii_words(struct slice s)
{
    uint64_t word;
    size_t n = 0;

    for (; s.len - n >= sizeof word; n += sizeof word) {
        memcpy(&word, s.p + n, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    return n;
}

bool
utf8_is_valid(struct slice s)
{
    s = slice_skip(s, ascii_words(s));
    while (s.len) {
        size_t n = utf8_step(s);

        if (n == 0)
            return false;
        s = slice_skip(s, n);
    }
    return true;
}

size_t
utf8_cut(struct slice s, size_t max)
{
    size_t n = s.len < max ? s.len : max;
    size_t start = n;

    for (size_t back = 0; back < 3 && start > 0 && is_tail(s.p[start - 1]); back++)
        start--;
    if (start == 0 || s.p[start - 1] < 0xC0)
        return n; /* ends in ASCII, or is no UTF-8 at all */
    size_t step = utf8_step(slice(s.p + start - 1, n - start + 1));
    return step == n - start + 1 ? n : start - 1;
}
