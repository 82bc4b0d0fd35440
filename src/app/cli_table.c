#include "app/cli.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "base/utf8.h"
#include "http/json.h"
#include "nexus/value.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CELL_WIDTH_MAX 100u /* wider ones run over: their column stays this wide */

struct cli_table {
    const char *const *titles;
    size_t columns;
    char **cells;
    size_t count, cap;
};

struct cli_table *
cli_table_new(const char *const *titles)
{
    struct cli_table *t = mem_alloc(sizeof *t);

    t->titles = titles;
    while (titles[t->columns])
        t->columns++;
    return t;
}

void
cli_table_free(struct cli_table **tp)
{
    struct cli_table *t = *tp;

    *tp = NULL;
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
}

static void
take_cell(struct cli_table *t, char *text)
{
    if (t->count == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->cells = mem_realloc(t->cells, t->cap * sizeof *t->cells);
    }
    t->cells[t->count++] = text;
}

void
cli_table_text(struct cli_table *t, const char *text)
{
    take_cell(t, mem_strdup(text ? text : ""));
}

void
cli_table_printf(struct cli_table *t, const char *fmt, ...)
{
    struct wbuf w = wbuf_init(0);
    va_list ap;

    va_start(ap, fmt);
    wbuf_vprintf(&w, fmt, ap);
    va_end(ap);
    cli_table_text(t, wbuf_cstr(&w));
    wbuf_free(&w);
}

char *
cli_text(const json_t *value)
{
    struct wbuf w = wbuf_init(0);

    if (json_is_string(value))
        wbuf_str(&w, json_string_value(value));
    else if (value && !json_is_null(value))
        json_print(value, &w);
    char *text = mem_strdup(wbuf_cstr(&w));
    wbuf_free(&w);
    return text;
}

void
cli_table_json(struct cli_table *t, const json_t *value)
{
    take_cell(t, cli_text(value));
}

/* --- for people --- */

/* Characters, as good as a terminal's columns for what plants are called. */
static size_t
width_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* A name of a device must not be able to control the terminal. */
static void
put_safe(struct wbuf *out, const char *text)
{
    struct slice s = slice_str(text);

    while (s.len > 0) {
        size_t n = utf8_step(s);
        bool is_control = n == 0 || *s.p < 0x20 || *s.p == 0x7F || (n == 2 && s.p[0] == 0xC2 && s.p[1] < 0xA0);

        if (is_control)
            wbuf_char(out, n == 0 ? '?' : ' ');
        else
            wbuf_bytes(out, s.p, n);
        s = slice_skip(s, n ? n : 1);
    }
}

static void
put_spaces(struct wbuf *out, size_t n)
{
    while (n-- > 0)
        wbuf_char(out, ' ');
}

static void
put_cell(struct wbuf *out, const char *text, size_t width, bool is_right, bool is_last)
{
    size_t own = width_of(text), pad = own < width ? width - own : 0;

    if (is_right)
        put_spaces(out, pad);
    put_safe(out, text);
    if (!is_right && !is_last)
        put_spaces(out, pad);
    if (!is_last)
        put_spaces(out, 2);
}

static const char *
title_of(const struct cli_table *t, size_t column)
{
    return t->titles[column] + (t->titles[column][0] == '>');
}

static void
put_row(const struct cli_table *t, struct wbuf *out, const size_t *widths, char *const *cells)
{
    for (size_t i = 0; i < t->columns; i++)
        put_cell(out, cells ? cells[i] : title_of(t, i), widths[i], t->titles[i][0] == '>', i + 1 == t->columns);
    while (out->len > 0 && out->p[out->len - 1] == ' ')
        out->len--;
    wbuf_char(out, '\n');
}

void
cli_table_print(const struct cli_table *t, struct wbuf *out, bool is_color)
{
    assert(t->columns > 0);
    size_t *widths = mem_calloc(t->columns, sizeof *widths);

    for (size_t i = 0; i < t->columns; i++)
        widths[i] = width_of(title_of(t, i));
    for (size_t i = 0; i < t->count; i++) {
        size_t w = width_of(t->cells[i]), *column = &widths[i % t->columns];
        w = w < CELL_WIDTH_MAX ? w : CELL_WIDTH_MAX;
        *column = w > *column ? w : *column;
    }
    wbuf_str(out, is_color ? "\033[1m" : "");
    put_row(t, out, widths, NULL);
    wbuf_str(out, is_color ? "\033[0m" : "");
    for (size_t i = 0; i + t->columns <= t->count; i += t->columns)
        put_row(t, out, widths, t->cells + i);
    free(widths);
}

/* --- for spreadsheets --- */

void
cli_table_csv(const struct cli_table *t, struct wbuf *out)
{
    assert(t->columns > 0);
    for (size_t i = 0; i < t->columns; i++) {
        cli_csv_cell(out, title_of(t, i));
        wbuf_str(out, i + 1 == t->columns ? "\r\n" : ",");
    }
    for (size_t i = 0; i < t->count; i++) {
        cli_csv_cell(out, t->cells[i]);
        wbuf_str(out, i % t->columns + 1 == t->columns ? "\r\n" : ",");
    }
}

/* --- small texts --- */

const char *
cli_quality(const json_t *quality)
{
    if (json_is_string(quality))
        return json_string_value(quality);
    if (!json_is_number(quality))
        return "";
    return json_integer_value(quality) >= NX_Q_GOOD        ? "good"
           : json_integer_value(quality) >= NX_Q_UNCERTAIN ? "uncertain"
                                                           : "bad";
}

json_t *
cli_at(const json_t *object, const char *key)
{
    return json_object_get(object, key);
}

const char *
cli_text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

char *
cli_clock(int64_t time_us, char out[16])
{
    char text[TIMEFMT_CAP];

    (void)timefmt_rfc3339(time_us / 1000000 * 1000000, text);
    (void)snprintf(out, 16, "%.8s.%03u", text + 11, (unsigned)(time_us / 1000 % 1000) % 1000u);
    return out;
}
