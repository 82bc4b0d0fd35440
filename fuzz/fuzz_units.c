/* fuzz: model base */
/* Two units, one a line: reading never crashes, and what converts comes back. */
#include "model/units.h"

#include "base/slice.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
there_and_back(const struct line *l)
{
    if (!isnormal(l->p) || !isnormal(l->q) || !isfinite(l->n))
        return;
    double y = line_forth(l, 100), x = line_back(l, y);

    if (isfinite(y) && fabs(l->n) < fabs(l->p) * 1e6 && fabs(x - 100) > 1e-6)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    char text[256];
    struct ratio slope, shift;
    struct nx_note why;

    if (len >= sizeof text)
        return 0;
    memcpy(text, p, len);
    text[len] = '\0';
    char *to = strchr(text, '\n');
    if (!to)
        return 0;
    *to++ = '\0';
    if (unit_convert(text, to, &slope, &shift, &why) != NX_OK) {
        if (!why.text[0])
            abort();
        return 0;
    }
    struct line l = line_make(slope, shift);
    there_and_back(&l);
    return 0;
}
