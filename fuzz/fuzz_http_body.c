/* fuzz: http base */
/* Chunked bodies in pieces: the first byte chooses the size of a piece, the second the limit of the body. */
#include "http/parse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    if (len < 2)
        return 0;
    size_t step = (size_t)p[0] + 1, limit = ((size_t)p[1] + 1) * 16;
    struct parse_chunks pieces = {.state = CHUNK_SIZE}, whole = {.state = CHUNK_SIZE};
    struct wbuf a = wbuf_init(limit), b = wbuf_init(limit);
    struct slice in = slice(p + 2, len - 2);
    enum nx_err ea = NX_OK, eb = parse_chunks_feed(&whole, in, &b);

    while (in.len && ea == NX_OK) {
        ea = parse_chunks_feed(&pieces, slice(in.p, in.len < step ? in.len : step), &a);
        in = slice_skip(in, step);
    }
    /* However it is cut, the result is the same and within the limit. */
    if (ea != eb || pieces.state != whole.state || a.len > limit)
        abort();
    if (ea == NX_OK && !slice_eq(wbuf_slice_of(&a), wbuf_slice_of(&b)))
        abort();
    wbuf_free(&a);
    wbuf_free(&b);
    return 0;
}
