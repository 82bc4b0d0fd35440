#include "app/cli.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MAX        1000000u
#define COLUMNS_MAX     256u
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

struct reader {
    struct slice rest;
    char separator;
    unsigned line;
    struct cli_csv *out;
    struct nx_note *why;
};

void
cli_csv_cell(struct wbuf *out, const char *text)
{
    size_t len = strlen(text);
    bool is_odd = len > 0 && (text[0] == ' ' || text[len - 1] == ' ' || strncmp(text, BYTE_ORDER_MARK, 3) == 0);
    bool is_plain = !is_odd && strcspn(text, ",;\"\r\n") == len;

    if (is_plain) {
        wbuf_bytes(out, text, len);
        return;
    }
    wbuf_char(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            wbuf_char(out, '"');
        wbuf_char(out, *text);
    }
    wbuf_char(out, '"');
}

static bool
take(struct reader *r, uint8_t c)
{
    if (r->rest.len == 0 || *r->rest.p != c)
        return false;
    r->rest = slice_skip(r->rest, 1);
    return true;
}

static enum nx_err
read_quoted(struct reader *r, struct wbuf *cell)
{
    unsigned begin = r->line;

    while (r->rest.len > 0) {
        uint8_t c = *r->rest.p;

        r->rest = slice_skip(r->rest, 1);
        if (c == '"' && !take(r, '"'))
            return NX_OK;
        r->line += c == '\n';
        wbuf_char(cell, (char)c);
    }
    return nx_fail(r->why, NX_E_CONFIG, "line %u: a quotation mark is never closed", begin);
}

static bool
is_end(const struct reader *r)
{
    return r->rest.len == 0 || *r->rest.p == '\n' || *r->rest.p == '\r';
}

static enum nx_err
read_cell(struct reader *r, char **out)
{
    struct wbuf cell = wbuf_init(0);
    enum nx_err err = NX_OK;

    if (take(r, '"'))
        err = read_quoted(r, &cell);
    while (err == NX_OK && !is_end(r) && *r->rest.p != (uint8_t)r->separator) {
        wbuf_char(&cell, (char)*r->rest.p);
        r->rest = slice_skip(r->rest, 1);
    }
    if (err == NX_OK && cell.len > 0 && memchr(cell.p, 0, cell.len))
        err = nx_fail(r->why, NX_E_CONFIG, "line %u: a zero byte: the file is not CSV text in UTF-8", r->line);
    *out = mem_strdup(wbuf_cstr(&cell));
    wbuf_free(&cell);
    return err;
}

static enum nx_err
read_row(struct reader *r)
{
    char **cells = mem_calloc(COLUMNS_MAX + 1, sizeof *cells);
    struct cli_csv *csv = r->out;
    enum nx_err err = NX_OK;
    size_t n = 0;

    csv->rows = mem_realloc(csv->rows, (csv->row_count + 1) * sizeof *csv->rows);
    csv->lines = mem_realloc(csv->lines, (csv->row_count + 1) * sizeof *csv->lines);
    csv->lines[csv->row_count] = r->line;
    csv->rows[csv->row_count++] = cells;
    do {
        if (n == COLUMNS_MAX)
            return nx_fail(r->why, NX_E_TOO_LARGE, "line %u: more than %u columns", r->line, COLUMNS_MAX);
        err = read_cell(r, &cells[n++]);
    } while (err == NX_OK && take(r, (uint8_t)r->separator));
    csv->rows[csv->row_count - 1] = mem_realloc(cells, (n + 1) * sizeof *cells);
    return err;
}

static void
skip_line_end(struct reader *r)
{
    (void)take(r, '\r');
    (void)take(r, '\n');
    r->line++;
}

static char
separator_of(struct slice text)
{
    unsigned commas = 0, semicolons = 0;
    bool is_quoted = false;

    for (size_t i = 0; i < text.len && (is_quoted || text.p[i] != '\n'); i++) {
        is_quoted = is_quoted != (text.p[i] == '"');
        commas += !is_quoted && text.p[i] == ',';
        semicolons += !is_quoted && text.p[i] == ';';
    }
    return semicolons > commas ? ';' : ',';
}

enum nx_err
cli_csv_read(struct slice text, struct cli_csv *out, struct nx_note *why)
{
    struct reader r = {.rest = text, .separator = separator_of(text), .line = 1, .out = out, .why = why};
    enum nx_err err = NX_OK;

    *out = (struct cli_csv){0};
    if (slice_starts_with(text, slice_str(BYTE_ORDER_MARK)))
        r.rest = slice_skip(text, 3);
    while (err == NX_OK && r.rest.len > 0) {
        if (is_end(&r)) { /* an empty line */
            skip_line_end(&r);
            continue;
        }
        if (out->row_count >= ROWS_MAX)
            return nx_fail(why, NX_E_TOO_LARGE, "more than %u rows", ROWS_MAX);
        err = read_row(&r);
        skip_line_end(&r);
    }
    return err;
}

void
cli_csv_free(struct cli_csv *csv)
{
    for (size_t i = 0; i < csv->row_count; i++) {
        for (char **cell = csv->rows[i]; *cell; cell++)
            free(*cell);
        free(csv->rows[i]);
    }
    free(csv->rows);
    free(csv->lines);
    *csv = (struct cli_csv){0};
}
