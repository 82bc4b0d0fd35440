/* slice.h -- borrowed bytes: a pointer and a length. Never owns, never terminated. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *p;
    size_t len;
};

static inline struct slice
slice(const void *p, size_t len)
{
    return (struct slice){.p = p, .len = len};
}

static inline struct slice
slice_str(const char *s)
{
    return slice(s, s ? strlen(s) : 0);
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool
slice_eq_str(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

static inline bool
slice_starts_with(struct slice a, struct slice prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.p, prefix.p, prefix.len) == 0);
}

static inline struct slice
slice_skip(struct slice a, size_t n)
{
    return n >= a.len ? slice(a.p + a.len, 0) : slice(a.p + n, a.len - n);
}

static inline bool
slice_is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Without white space at its ends. */
static inline struct slice
slice_trim(struct slice a)
{
    while (a.len > 0 && slice_is_space(a.p[0]))
        a = slice_skip(a, 1);
    while (a.len > 0 && slice_is_space(a.p[a.len - 1]))
        a.len--;
    return a;
}

/* Takes the part before the next separator off *rest, and the separator. False: *rest was empty. */
static inline bool
slice_part(struct slice *rest, char separator, struct slice *part)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->p, separator, rest->len) : NULL;

    if (rest->len == 0)
        return false;
    *part = slice(rest->p, end ? (size_t)(end - rest->p) : rest->len);
    *rest = slice_skip(*rest, part->len + (end ? 1 : 0));
    return true;
}

/* printf("%.*s", SLICE_FMT(s)) */
#define SLICE_FMT(s) (int)(s).len, (const char *)(s).p

#endif
