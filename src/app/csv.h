/* csv.h -- reads CSV (RFC 4180, also with ';' between cells and with a byte order mark, as spreadsheets write it). */
#ifndef APP_CSV_H
#define APP_CSV_H

#include <stdbool.h>
#include <stddef.h>

#define CSV_CELLS_MAX 64u

struct csv_row {
    unsigned count;
    const char *cells[CSV_CELLS_MAX]; /* terminated, borrowed for the call */
};

/* Calls each() with the head and every further row that is not empty; line counts from 1. False when each() has said
 * so. text is changed. Cells beyond CSV_CELLS_MAX are left out. */
bool csv_each(char *text, size_t len,
              bool (*each)(void *arg, unsigned line, const struct csv_row *head, const struct csv_row *row), void *arg);

#endif
