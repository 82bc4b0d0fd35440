/* fuzz: historian db model base */
/* Runs and blocks as a damaged file would give them. The first byte chooses the number of points. */
#include "historian/sqlite/block.h"
#include "historian/sqlite/run.h"

static struct point points[RUN_MAX_POINTS];

/* The writer is only given times that the quarantine let through. */
static bool
is_plausible(size_t n)
{
    return points[0].time_us > -(INT64_C(1) << 60) && points[n - 1].time_us < INT64_C(1) << 60;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct block_reader reader;
    struct block_run run;

    if (len < 1)
        return 0;
    if (run_decode(slice(data + 1, len - 1), points, (size_t)data[0] + 1) == NX_OK &&
        is_plausible((size_t)data[0] + 1)) {
        struct wbuf w = wbuf_init(0);

        run_encode(&w, points, (size_t)data[0] + 1);
        if (run_decode(wbuf_slice_of(&w), points, (size_t)data[0] + 1) != NX_OK)
            __builtin_trap();
        wbuf_free(&w);
    }
    for (reader = block_open(slice(data + 1, len - 1)); block_next(&reader, &run);)
        (void)!run_decode(run.data, points, run.count);
    return 0;
}
