#include "spool/ranges.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void
ranges_free(struct ranges *r)
{
    free(r->list);
    *r = (struct ranges){0};
}

/* The first range that ends at n or later. */
static size_t
find(const struct ranges *r, uint64_t n)
{
    size_t low = 0, high = r->count;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (r->list[mid].to < n)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void
insert(struct ranges *r, size_t at, struct range new)
{
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 16;
        r->list = mem_realloc(r->list, r->cap * sizeof *r->list);
    }
    memmove(&r->list[at + 1], &r->list[at], (r->count - at) * sizeof *r->list);
    r->list[at] = new;
    r->count++;
}

void
ranges_add(struct ranges *r, uint64_t from, uint64_t to)
{
    size_t first = find(r, from ? from - 1 : 0), end = first;
    struct range new = {from, to};

    while (end < r->count && r->list[end].from <= to + 1) {
        new.from = r->list[end].from < new.from ? r->list[end].from : new.from;
        new.to = r->list[end].to > new.to ? r->list[end].to : new.to;
        end++;
    }
    if (end == first) {
        insert(r, first, new);
        return;
    }
    r->list[first] = new;
    memmove(&r->list[first + 1], &r->list[end], (r->count - end) * sizeof *r->list);
    r->count -= end - first - 1;
}

void
ranges_cut_below(struct ranges *r, uint64_t first)
{
    size_t keep = find(r, first);

    if (keep) {
        memmove(r->list, &r->list[keep], (r->count - keep) * sizeof *r->list);
        r->count -= keep;
    }
    if (r->count && r->list[0].from < first)
        r->list[0].from = first;
}

bool
ranges_has(const struct ranges *r, uint64_t n)
{
    size_t at = find(r, n);

    return at < r->count && r->list[at].from <= n;
}

uint64_t
ranges_next_absent(const struct ranges *r, uint64_t n)
{
    size_t at = find(r, n);

    return at < r->count && r->list[at].from <= n ? r->list[at].to + 1 : n;
}

uint64_t
ranges_next_present(const struct ranges *r, uint64_t n)
{
    size_t at = find(r, n);

    if (at == r->count)
        return UINT64_MAX;
    return r->list[at].from > n ? r->list[at].from : n;
}
