/* fuzz: historian db model base */
/* Rollups as a damaged file would give them. The first byte chooses the level. */
#include "historian/sqlite/rollset.h"

static struct history_rollup rollups[ROLLSET_MAX], again[ROLLSET_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    enum history_level level;
    struct wbuf w = wbuf_init(0);
    size_t n, m;

    if (len < 1)
        return 0;
    level = (enum history_level)(HISTORY_LEVEL_MINUTE + data[0] % 3);
    if (rollset_decode(slice(data + 1, len - 1), level, rollups, &n) != NX_OK)
        return 0;
    rollset_encode(&w, rollups, n, level);
    if (rollset_decode(wbuf_slice_of(&w), level, again, &m) != NX_OK || m != n)
        __builtin_trap();
    for (size_t i = 0; i < n; i++)
        if (rollups[i].time_us != again[i].time_us || rollups[i].n != again[i].n ||
            rollups[i].area_us != again[i].area_us)
            __builtin_trap();
    wbuf_free(&w);
    return 0;
}
