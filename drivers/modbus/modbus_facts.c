#include "modbus_facts.h"

#include "base/num.h"
#include "modbus_codec.h"

#include <string.h>

static const char table_letters[] = "cdih"; /* in the order of enum modbus_table */

void
modbus_facts_init(struct modbus_facts *f, uint16_t max_regs, uint16_t max_bits)
{
    f->regs = (struct modbus_reach){0, max_regs, max_regs};
    f->bits = (struct modbus_reach){0, max_bits, max_bits};
}

static void
set_reach(struct modbus_facts *f, struct modbus_reach *r, struct modbus_reach v)
{
    v.now = (uint16_t)(v.low >= v.high ? v.high : (v.low + v.high + 1) / 2);
    if (memcmp(r, &v, sizeof v) != 0)
        f->is_dirty = true;
    *r = v;
}

void
modbus_facts_answered(struct modbus_facts *f, unsigned table, unsigned n)
{
    struct modbus_reach *r = modbus_facts_reach(f, table), v = *r;

    if (n <= r->low)
        return;
    v.low = (uint16_t)n;
    if (n >= r->high || r->now == r->high) { /* no search is on: nothing to narrow */
        v.high = n > r->high ? (uint16_t)n : r->high;
        v.now = v.high;
        *r = v;
        return;
    }
    if (n >= r->now)
        set_reach(f, r, v);
    else
        r->low = v.low;
}

void
modbus_facts_too_large(struct modbus_facts *f, unsigned table, unsigned n)
{
    struct modbus_reach *r = modbus_facts_reach(f, table), v = *r;

    if (n < 2 || n > r->high)
        return;
    v.high = (uint16_t)(n - 1);
    if (v.low > v.high)
        v.low = v.high;
    set_reach(f, r, v);
}

/* --- sorted arrays ------------------------------------------------------------------------------------------ */

static void *
grown(struct modbus_facts *f, const void *old, uint32_t count, uint32_t *cap, size_t size)
{
    void *p;

    if (count < *cap)
        return NULL;
    *cap = *cap ? *cap * 2 : 16;
    p = f->alloc(f->arg, *cap * size);
    if (count > 0)
        memcpy(p, old, count * size);
    return p;
}

/* The first hole that is not before place and count. */
static uint32_t
hole_at(const struct modbus_facts *f, uint32_t place, uint16_t count)
{
    uint32_t from = 0, to = f->hole_count;

    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        const struct modbus_hole *h = &f->holes[mid];
        if (h->place < place || (h->place == place && h->count < count))
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static bool
is_hole(const struct modbus_facts *f, uint32_t i, uint32_t place, uint16_t count)
{
    return i < f->hole_count && f->holes[i].place == place && f->holes[i].count == count;
}

uint8_t
modbus_facts_hole(const struct modbus_facts *f, uint32_t place, uint16_t count)
{
    uint32_t i = hole_at(f, place, count);

    return is_hole(f, i, place, count) ? f->holes[i].exception : 0;
}

static void
remove_hole(struct modbus_facts *f, uint32_t i)
{
    f->hole_count--;
    memmove(f->holes + i, f->holes + i + 1, (f->hole_count - i) * sizeof *f->holes);
    f->is_dirty = true;
}

void
modbus_facts_set_hole(struct modbus_facts *f, uint32_t place, uint16_t count, uint8_t exception)
{
    uint32_t i = hole_at(f, place, count);
    struct modbus_hole *more;

    if (is_hole(f, i, place, count)) {
        if (exception == 0)
            remove_hole(f, i);
        else
            f->holes[i].exception = exception;
        return;
    }
    if (exception == 0 || f->hole_count == MODBUS_HOLES_MAX)
        return;
    more = grown(f, f->holes, f->hole_count, &f->hole_cap, sizeof *f->holes);
    if (more)
        f->holes = more;
    memmove(f->holes + i + 1, f->holes + i, (f->hole_count - i) * sizeof *f->holes);
    f->holes[i] = (struct modbus_hole){place, count, exception};
    f->hole_count++;
    f->is_dirty = true;
}

/* The first cut that is not before place. */
static uint32_t
cut_at(const struct modbus_facts *f, uint32_t place)
{
    uint32_t from = 0, to = f->cut_count;

    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        if (f->cuts[mid] < place)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

bool
modbus_facts_is_cut(const struct modbus_facts *f, uint32_t after, uint32_t upto)
{
    uint32_t i = cut_at(f, after + 1);

    return i < f->cut_count && f->cuts[i] <= upto;
}

void
modbus_facts_set_cut(struct modbus_facts *f, uint32_t place)
{
    uint32_t i = cut_at(f, place), *more;

    if ((i < f->cut_count && f->cuts[i] == place) || f->cut_count == MODBUS_CUTS_MAX)
        return;
    more = grown(f, f->cuts, f->cut_count, &f->cut_cap, sizeof *f->cuts);
    if (more)
        f->cuts = more;
    memmove(f->cuts + i + 1, f->cuts + i, (f->cut_count - i) * sizeof *f->cuts);
    f->cuts[i] = place;
    f->cut_count++;
    f->is_dirty = true;
}

void
modbus_facts_relearn(struct modbus_facts *f, uint16_t max_regs, uint16_t max_bits)
{
    if (f->cut_count == 0 && f->regs.high >= max_regs && f->bits.high >= max_bits)
        return;
    f->cut_count = 0;
    f->regs.high = f->regs.now = max_regs;
    f->bits.high = f->bits.now = max_bits;
    f->generation++;
    f->is_dirty = true;
}

/* --- text ------------------------------------------------------------------------------------------------------ */

void
modbus_facts_write(struct modbus_facts *f, struct wbuf *out)
{
    wbuf_printf(out, "v1 regs=%u-%u bits=%u-%u", f->regs.low, f->regs.high, f->bits.low, f->bits.high);
    for (uint32_t i = 0; i < f->hole_count; i++) {
        const struct modbus_hole *h = &f->holes[i];
        wbuf_printf(out, " %c%u+%u:%u", table_letters[h->place >> 16], h->place & 0xFFFF, h->count, h->exception);
    }
    for (uint32_t i = 0; i < f->cut_count; i++)
        wbuf_printf(out, " %c%u|", table_letters[f->cuts[i] >> 16], f->cuts[i] & 0xFFFF);
    f->is_dirty = false;
}

/* Takes the number that s begins with. */
static bool
take_number(struct slice *s, unsigned max, unsigned *out)
{
    size_t n = 0;
    uint64_t v;

    while (n < s->len && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    if (!num_u64(slice(s->p, n), &v) || v > max)
        return false;
    *out = (unsigned)v;
    *s = slice_skip(*s, n);
    return true;
}

static bool
take_char(struct slice *s, char c)
{
    if (s->len == 0 || s->p[0] != (uint8_t)c)
        return false;
    *s = slice_skip(*s, 1);
    return true;
}

/* "60-61": never above what the settings allow. */
static void
read_reach(struct slice s, struct modbus_reach *r)
{
    unsigned low, high;

    if (!take_number(&s, r->high, &low) || !take_char(&s, '-') || !take_number(&s, UINT16_MAX, &high) || s.len > 0)
        return;
    if (high > r->high)
        high = r->high;
    if (high == 0 || low > high)
        return;
    r->now = (uint16_t)(high == r->high ? high : (low + high + 1) / 2);
    r->low = (uint16_t)low;
    r->high = (uint16_t)high;
}

static void
read_place(struct modbus_facts *f, struct slice s)
{
    const char *letter = s.len > 0 && s.p[0] ? strchr(table_letters, s.p[0]) : NULL;
    unsigned table, start, count, exception;

    if (!letter)
        return;
    table = (unsigned)(letter - table_letters);
    s = slice_skip(s, 1);
    if (!take_number(&s, UINT16_MAX, &start))
        return;
    if (take_char(&s, '|') && s.len == 0)
        modbus_facts_set_cut(f, modbus_place(table, start));
    else if (take_char(&s, '+') && take_number(&s, MODBUS_READ_REGS_MAX, &count) && take_char(&s, ':') &&
             take_number(&s, MODBUS_EX_DEVICE, &exception) && s.len == 0 && count > 0)
        modbus_facts_set_hole(f, modbus_place(table, start), (uint16_t)count, (uint8_t)exception);
}

void
modbus_facts_read(struct modbus_facts *f, const char *text)
{
    struct slice rest = slice_str(text);

    if (!slice_starts_with(rest, slice_str("v1 ")))
        return;
    while (rest.len > 0) {
        const uint8_t *blank = memchr(rest.p, ' ', rest.len);
        struct slice word = slice(rest.p, blank ? (size_t)(blank - rest.p) : rest.len);
        if (slice_starts_with(word, slice_str("regs=")))
            read_reach(slice_skip(word, 5), &f->regs);
        else if (slice_starts_with(word, slice_str("bits=")))
            read_reach(slice_skip(word, 5), &f->bits);
        else
            read_place(f, word);
        rest = slice_skip(rest, word.len + 1);
    }
    f->is_dirty = false;
}
