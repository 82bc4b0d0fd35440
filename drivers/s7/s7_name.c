/* s7_name.c -- the one spelling of each address. */
#include "s7_addr.h"

#include <stdio.h>

void
s7_range_text(char text[S7_RANGE_TEXT], unsigned area, unsigned db, uint32_t start, uint32_t bytes)
{
    char letter = area == S7_INPUT ? 'I' : area == S7_OUTPUT ? 'Q' : 'M';
    int n;

    if (s7_area_is_counted(area)) {
        snprintf(text, S7_RANGE_TEXT, "%c%u", area == S7_TIMER_AREA ? 'T' : 'C', start);
        return;
    }
    if (area == S7_DB)
        n = snprintf(text, S7_RANGE_TEXT, "DB%u.DBB%u", db & UINT16_MAX, start);
    else
        n = snprintf(text, S7_RANGE_TEXT, "%cB%u", letter, start);
    if (bytes > 1)
        snprintf(text + n, S7_RANGE_TEXT - (size_t)n, "-%u", start + bytes - 1);
}

/* The letter of the width: X, B, W, D; what is longer begins at a byte. */
static char
width_letter(const struct s7_addr *a)
{
    if (a->type == S7_BOOL)
        return 'X';
    return a->bytes == 2 && !s7_type_is_text(a->type) ? 'W' : a->bytes == 4 && !s7_type_is_text(a->type) ? 'D' : 'B';
}

void
s7_addr_text(char text[S7_RANGE_TEXT], const struct s7_addr *a)
{
    char letter = a->area == S7_INPUT ? 'I' : a->area == S7_OUTPUT ? 'Q' : 'M', width = width_letter(a), bit[4] = "";

    if (a->type == S7_BOOL)
        snprintf(bit, sizeof bit, ".%u", a->bit & 7u);
    if (s7_area_is_counted(a->area))
        s7_range_text(text, a->area, 0, a->start, 2);
    else if (a->area == S7_DB)
        snprintf(text, S7_RANGE_TEXT, "DB%u.DB%c%u%s", a->db, width, a->start, bit);
    else if (a->type == S7_BOOL)
        snprintf(text, S7_RANGE_TEXT, "%c%u%s", letter, a->start, bit);
    else
        snprintf(text, S7_RANGE_TEXT, "%c%c%u", letter, width, a->start);
}

void
s7_addr_canonical(char canonical[NX_CANONICAL_MAX], const struct s7_addr *a)
{
    char place[S7_RANGE_TEXT];
    bool is_plain = a->type == S7_BOOL || (a->area == S7_TIMER_AREA && a->type == S7_TIMER) ||
                    (a->area == S7_COUNTER_AREA && a->type == S7_COUNTER);

    s7_addr_text(place, a);
    if (is_plain)
        snprintf(canonical, NX_CANONICAL_MAX, "%s", place);
    else if (s7_type_is_text(a->type) && a->data_type == NX_DT_STRING)
        snprintf(canonical, NX_CANONICAL_MAX, "%s:%s[%u]", place, s7_types[a->type].name, a->chars);
    else
        snprintf(canonical, NX_CANONICAL_MAX, "%s:%s", place, s7_types[a->type].name);
}
