#include "app/csv.h"

#include <string.h>

struct reader {
    char *p, *end;
    char separator;
    unsigned line;
};

/* Takes one cell off; the text is unquoted in place. True: more cells follow in this row. */
static bool
take_cell(struct reader *r, const char **cell)
{
    char *out = r->p;
    bool is_quoted = r->p < r->end && *r->p == '"';

    *cell = out;
    if (is_quoted)
        r->p++;
    while (r->p < r->end) {
        char c = *r->p;
        if (is_quoted && c == '"') {
            if (r->p + 1 < r->end && r->p[1] == '"') {
                *out++ = '"';
                r->p += 2;
                continue;
            }
            is_quoted = false;
            r->p++;
            continue;
        }
        if (!is_quoted && (c == r->separator || c == '\n'))
            break;
        r->line += c == '\n';
        if (is_quoted || c != '\r')
            *out++ = c;
        r->p++;
    }
    bool has_more = r->p < r->end && *r->p == r->separator;
    if (r->p < r->end) {
        r->line += *r->p == '\n';
        r->p++;
    }
    *out = '\0'; /* the separator, or what was behind the quotes, is read already */
    return has_more;
}

static void
take_row(struct reader *r, struct csv_row *row)
{
    const char *cell;
    bool has_more = true;

    row->count = 0;
    while (has_more) {
        has_more = take_cell(r, &cell);
        if (row->count < CSV_CELLS_MAX)
            row->cells[row->count++] = cell;
    }
}

bool
csv_each(char *text, size_t len,
         bool (*each)(void *arg, unsigned line, const struct csv_row *head, const struct csv_row *row), void *arg)
{
    struct reader r = {.p = text, .end = text + len, .line = 1};
    size_t first_line = strcspn(text, "\n");
    struct csv_row head, row;

    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        r.p += 3;
    r.separator = memchr(text, ';', first_line) && !memchr(text, ',', first_line) ? ';' : ',';
    take_row(&r, &head);
    while (r.p < r.end) {
        unsigned line = r.line;
        take_row(&r, &row);
        if (row.count == 1 && !row.cells[0][0])
            continue;
        if (!each(arg, line, &head, &row))
            return false;
    }
    return true;
}
