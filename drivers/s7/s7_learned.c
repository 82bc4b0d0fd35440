#include "s7_learned.h"

#include "base/num.h"

#include <stdlib.h>
#include <string.h>

#define VERSION "v1"
#define FIELDS  5u

static int
compare(const struct s7_hole *a, const struct s7_hole *b)
{
    if (a->area != b->area)
        return a->area < b->area ? -1 : 1;
    if (a->db != b->db)
        return a->db < b->db ? -1 : 1;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

/* Index of the first hole that is not before h. */
static uint32_t
lower_bound(const struct s7_learned *l, const struct s7_hole *h)
{
    uint32_t from = 0, end = l->hole_count;

    while (from < end) {
        uint32_t mid = from + (end - from) / 2;
        if (compare(&l->holes[mid], h) < 0)
            from = mid + 1;
        else
            end = mid;
    }
    return from;
}

static bool
is_at(const struct s7_learned *l, uint32_t i, const struct s7_hole *h)
{
    return i < l->hole_count && compare(&l->holes[i], h) == 0;
}

static void
grow(struct s7_learned *l, struct nx_dev *dev)
{
    uint32_t cap = l->hole_cap ? l->hole_cap * 2 : 16;
    struct s7_hole *holes = nx_dev_alloc(dev, cap * sizeof *holes);

    if (l->hole_count > 0)
        memcpy(holes, l->holes, l->hole_count * sizeof *holes);
    l->holes = holes;
    l->hole_cap = cap;
}

static void
set_hole(struct s7_learned *l, struct nx_dev *dev, const struct s7_hole *h)
{
    uint32_t i = lower_bound(l, h), behind = l->hole_count - i;

    if (is_at(l, i, h)) {
        l->is_changed = l->is_changed || l->holes[i].code != h->code;
        l->holes[i].code = h->code;
        if (h->code != 0)
            return;
        memmove(&l->holes[i], &l->holes[i + 1], (behind - 1) * sizeof *l->holes);
        l->hole_count--;
        return;
    }
    if (h->code == 0 || l->hole_count == S7_HOLES_MAX)
        return;
    if (l->hole_count == l->hole_cap)
        grow(l, dev);
    memmove(&l->holes[i + 1], &l->holes[i], behind * sizeof *l->holes);
    l->holes[i] = *h;
    l->hole_count++;
    l->is_changed = true;
}

static struct s7_hole
hole_of(const struct s7_addr *a, unsigned code)
{
    return (struct s7_hole){a->start, a->db, a->bytes, a->area, (uint8_t)code};
}

void
s7_learned_set(struct s7_learned *l, struct nx_dev *dev, const struct s7_addr *addr, unsigned code)
{
    struct s7_hole h = hole_of(addr, code);

    set_hole(l, dev, &h);
}

unsigned
s7_learned_get(const struct s7_learned *l, const struct s7_addr *addr)
{
    struct s7_hole h = hole_of(addr, 0);
    uint32_t i = lower_bound(l, &h);

    return is_at(l, i, &h) ? l->holes[i].code : 0;
}

void
s7_learned_write(const struct s7_learned *l, struct wbuf *out)
{
    wbuf_printf(out, VERSION " pdu=%u tsap=%04x", l->pdu, l->tsap);
    for (uint32_t i = 0; i < l->hole_count; i++) {
        const struct s7_hole *h = &l->holes[i];
        wbuf_printf(out, " %x.%u.%u.%u.%02x", h->area, h->db, h->start, h->bytes, h->code);
    }
}

/* --- reading ------------------------------------------------------------------------------------------------ */

static struct slice
take_until(struct slice *s, char c)
{
    const uint8_t *end = s->len > 0 ? memchr(s->p, c, s->len) : NULL;
    struct slice word = slice(s->p, end ? (size_t)(end - s->p) : s->len);

    *s = slice_skip(*s, word.len + (end ? 1 : 0));
    return word;
}

static bool
take_hex(struct slice s, uint64_t max, uint64_t *out)
{
    char text[16] = "0x";

    if (s.len == 0 || s.len > 8)
        return false;
    memcpy(text + 2, s.p, s.len);
    return num_u64(slice(text, s.len + 2), out) && *out <= max;
}

static void
read_hole(struct s7_learned *l, struct nx_dev *dev, struct slice s)
{
    static const uint64_t max[FIELDS] = {0xFF, UINT16_MAX, UINT16_MAX, UINT16_MAX, 0xFE};
    uint64_t n[FIELDS];
    struct s7_hole h;

    for (unsigned i = 0; i < FIELDS; i++) {
        struct slice field = take_until(&s, '.');
        bool is_hex = i == 0 || i == FIELDS - 1;
        if (is_hex ? !take_hex(field, max[i], &n[i]) : !num_u64(field, &n[i]) || n[i] > max[i])
            return;
    }
    h = (struct s7_hole){(uint32_t)n[2], (uint16_t)n[1], (uint16_t)n[3], (uint8_t)n[0], (uint8_t)n[4]};
    if (s.len == 0 && h.code != 0)
        set_hole(l, dev, &h);
}

static void
read_word(struct s7_learned *l, struct nx_dev *dev, struct slice word)
{
    static const char pdu[] = "pdu=", tsap[] = "tsap=";
    uint64_t n;

    if (slice_starts_with(word, slice_str(pdu))) {
        if (num_u64(slice_skip(word, sizeof pdu - 1), &n) && n >= S7_PDU_MIN && n <= S7_PDU_MAX)
            l->pdu = (uint16_t)n;
    } else if (slice_starts_with(word, slice_str(tsap))) {
        if (take_hex(slice_skip(word, sizeof tsap - 1), UINT16_MAX, &n))
            l->tsap = (uint16_t)n;
    } else {
        read_hole(l, dev, word);
    }
}

void
s7_learned_read(struct s7_learned *l, struct nx_dev *dev, const char *text)
{
    struct slice s = slice_str(text);

    *l = (struct s7_learned){0};
    if (!slice_eq_str(take_until(&s, ' '), VERSION))
        return;
    while (s.len > 0)
        read_word(l, dev, take_until(&s, ' '));
    l->is_changed = false;
}
