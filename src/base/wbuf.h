/* wbuf.h -- writer of bytes and text with a sticky error: many puts, one check.
 *
 * Grows up to max_bytes (or never, over a fixed array). A put that does not fit sets failed and writes nothing;
 * all later puts are then ignored. One thread. */
#ifndef BASE_WBUF_H
#define BASE_WBUF_H

#include "base/slice.h"
#include "nexus/value.h"

#include <stdarg.h>

struct wbuf {
    uint8_t *p;
    size_t len, cap, max_bytes;
    bool is_fixed; /* p belongs to the caller */
    bool failed;
};

/* Growing writer; nothing is allocated before the first put. max_bytes 0: 1 GiB. Free with wbuf_free(). */
struct wbuf wbuf_init(size_t max_bytes);
/* Writer over an array of the caller. */
struct wbuf wbuf_fixed(void *p, size_t cap);
void wbuf_free(struct wbuf *w);
/* Empties, keeps the memory, clears failed. */
void wbuf_reset(struct wbuf *w);

/* Makes room for n more bytes and returns where they go; NULL (and failed) when they do not fit. */
uint8_t *wbuf_reserve(struct wbuf *w, size_t n);
/* n bytes were written at the place of the last wbuf_reserve(). */
void wbuf_advance(struct wbuf *w, size_t n);

void wbuf_u8(struct wbuf *w, unsigned v);
void wbuf_be16(struct wbuf *w, unsigned v);
void wbuf_be32(struct wbuf *w, uint32_t v);
void wbuf_be64(struct wbuf *w, uint64_t v);
void wbuf_le16(struct wbuf *w, unsigned v);
void wbuf_le32(struct wbuf *w, uint32_t v);
void wbuf_le64(struct wbuf *w, uint64_t v);
/* LEB128, and zigzag LEB128 for signed numbers. */
void wbuf_varint(struct wbuf *w, uint64_t v);
void wbuf_svarint(struct wbuf *w, int64_t v);
void wbuf_bytes(struct wbuf *w, const void *p, size_t n);
void wbuf_slice(struct wbuf *w, struct slice s);
void wbuf_str(struct wbuf *w, const char *s); /* without the terminator */
void wbuf_char(struct wbuf *w, char c);
void wbuf_printf(struct wbuf *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void wbuf_vprintf(struct wbuf *w, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Decimal of an integer, and the shortest decimal that reads back as the same double (JSON number). */
void wbuf_i64(struct wbuf *w, int64_t v);
void wbuf_u64(struct wbuf *w, uint64_t v);
void wbuf_double(struct wbuf *w, double v);
/* "..." with JSON escapes (RFC 8259, 7). Bytes that are not UTF-8 become U+FFFD. */
void wbuf_json_string(struct wbuf *w, struct slice s);
/* A value as JSON; none is null. */
void wbuf_json_value(struct wbuf *w, const struct nx_value *v);

/* Overwrites 2 or 4 bytes put earlier at offset at. */
void wbuf_patch_be16(struct wbuf *w, size_t at, unsigned v);
void wbuf_patch_le32(struct wbuf *w, size_t at, uint32_t v);

/* What was written; empty when failed. */
struct slice wbuf_slice_of(const struct wbuf *w);
/* Terminates the text (the terminator is not counted) and returns it; "" when failed. Borrowed. */
const char *wbuf_cstr(struct wbuf *w);
/* Takes the memory away (free() it) with a terminator behind; NULL when failed. The writer is empty. */
char *wbuf_take(struct wbuf *w, size_t *len);

#endif
