/* fuzz: cli base */
/* CSV of `nexus tag import`: what was read and is written again reads as the same cells. */
#include "app/cli.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
write_rows(const struct cli_csv *csv, struct wbuf *out)
{
    for (size_t i = 0; i < csv->row_count; i++)
        for (char **cell = csv->rows[i]; *cell; cell++) {
            if (!cell[0][0] && !cell[1] && cell == csv->rows[i])
                wbuf_str(out, "\"\""); /* a line with nothing on it would be skipped */
            cli_csv_cell(out, *cell);
            wbuf_str(out, cell[1] ? "," : "\r\n");
        }
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct cli_csv csv, again;
    struct wbuf out = wbuf_init(0);

    if (cli_csv_read(slice(p, len), &csv, NULL) == NX_OK) {
        write_rows(&csv, &out);
        assert(cli_csv_read(wbuf_slice_of(&out), &again, NULL) == NX_OK && again.row_count == csv.row_count);
        for (size_t i = 0; i < csv.row_count; i++) {
            char **a = csv.rows[i], **b = again.rows[i];
            for (; *a && *b; a++, b++)
                assert(strcmp(*a, *b) == 0);
            assert(!*a && !*b);
        }
        cli_csv_free(&again);
    }
    cli_csv_free(&csv);
    wbuf_free(&out);
    return 0;
}
