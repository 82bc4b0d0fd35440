/* fuzz: model base */
/* A batch record from anywhere: decoded as it is, and once more with a checksum that holds, to get behind it. */
#include "base/crc32c.h"
#include "model/batch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
check(const struct batch *b)
{
    for (uint32_t i = 0; i < b->point_count; i++) {
        if (b->points[i].series >= b->series_count)
            abort();
    }
}

static void
decode(struct slice data)
{
    struct arena a = {0};
    struct batch_header hdr;
    struct batch b;
    uint32_t points;

    if (batch_decode(data, &a, &b, NULL) == NX_OK)
        check(&b);
    (void)!batch_peek(data, &hdr, &points, NULL);
    arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct batch_ack ack;

    decode(slice(p, len));
    (void)!batch_ack_decode(slice(p, len), &ack, NULL);
    if (len > 4) {
        uint8_t *copy = malloc(len);
        uint32_t crc = crc32c(0, p, len - 4);

        memcpy(copy, p, len);
        for (unsigned i = 0; i < 4; i++)
            copy[len - 4 + i] = (uint8_t)(crc >> (8 * i));
        decode(slice(copy, len));
        free(copy);
    }
    return 0;
}
