/* encode.h -- Parquet's encodings of whole arrays (parquet-format, Encodings.md). Each appends to out. Pure. */
#ifndef PARQUET_ENCODE_H
#define PARQUET_ENCODE_H

#include "base/wbuf.h"

/* Bits that hold v. */
unsigned encode_width(uint64_t v);
/* "RLE": runs of eight and more as such, the rest packed in groups of eight. Every value has at most width (1 to 16)
 * bits. Without the length in front. */
void encode_hybrid(const uint16_t *values, size_t n, unsigned width, struct wbuf *out);
/* "DELTA_BINARY_PACKED" of int64 (as bits): blocks of 128 in four parts. */
void encode_delta(const uint64_t *values, size_t n, struct wbuf *out);
/* "PLAIN", the low 4 or 8 bytes of each. */
void encode_plain(const uint64_t *values, size_t n, unsigned bytes, struct wbuf *out);

#endif
