#include "historian/sqlite/seqset.h"

#include <stdlib.h>

#include "base/mem.h"

void
seqset_fini(struct seqset *r)
{
    free(r->items);
    *r = (struct seqset){0};
}

void
seqset_copy(struct seqset *to, const struct seqset *from)
{
    if (to->cap < from->count) {
        to->cap = from->count + 8;
        to->items = mem_realloc(to->items, to->cap * sizeof *to->items);
    }
    if (from->count > 0)
        memcpy(to->items, from->items, from->count * sizeof *to->items);
    to->count = from->count;
}

/* Index of the first stretch that ends at or after seq. */
static size_t
lower_bound(const struct seqset *r, uint64_t seq)
{
    size_t lo = 0, hi = r->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (r->items[mid].to < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct batch_range
seqset_add(struct seqset *r, uint64_t from, uint64_t to)
{
    size_t first = lower_bound(r, from > 0 ? from - 1 : 0), last = first;
    struct batch_range joined = {from, to};

    while (last < r->count && (to == UINT64_MAX || r->items[last].from <= to + 1)) {
        if (r->items[last].from < joined.from)
            joined.from = r->items[last].from;
        if (r->items[last].to > joined.to)
            joined.to = r->items[last].to;
        last++;
    }
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 8;
        r->items = mem_realloc(r->items, r->cap * sizeof *r->items);
    }
    memmove(r->items + first + 1, r->items + last, (r->count - last) * sizeof *r->items);
    r->items[first] = joined;
    r->count += 1 + first - last;
    return joined;
}

const struct batch_range *
seqset_find(const struct seqset *r, uint64_t seq)
{
    size_t i = lower_bound(r, seq);

    return i < r->count && r->items[i].from <= seq ? &r->items[i] : NULL;
}

uint64_t
seqset_missing(const struct seqset *r)
{
    uint64_t missing = 0, next = 1;

    for (size_t i = 0; i < r->count; i++) {
        if (r->items[i].from > next)
            missing += r->items[i].from - next;
        next = r->items[i].to + 1;
    }
    return missing;
}
