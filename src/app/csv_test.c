#include "app/csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char seen[1024];

static bool
note_row(void *arg, unsigned line, const struct csv_row *head, const struct csv_row *row)
{
    size_t len = strlen(seen);

    (void)snprintf(seen + len, sizeof seen - len, "%u:", line);
    for (unsigned i = 0; i < row->count; i++) {
        len = strlen(seen);
        (void)snprintf(seen + len, sizeof seen - len, "%s=%s|", i < head->count ? head->cells[i] : "?", row->cells[i]);
    }
    return !arg || strcmp(row->cells[0], arg) != 0;
}

static bool
read_text(const char *text, const char *stop)
{
    char copy[512];
    size_t len = strlen(text);

    memcpy(copy, text, len + 1);
    seen[0] = '\0';
    return csv_each(copy, len, note_row, (void *)(uintptr_t)stop);
}

static void
reads_plain_and_quoted_cells(void **state)
{
    (void)state;
    assert_true(read_text("a,b,c\n1,2,3\r\n\"x, \"\"y\"\"\",,\"two\nlines\"\nlast,row,here", NULL));
    assert_string_equal(seen, "2:a=1|b=2|c=3|3:a=x, \"y\"|b=|c=two\nlines|5:a=last|b=row|c=here|");
}

static void
reads_what_spreadsheets_write(void **state)
{
    (void)state;
    assert_true(read_text("\xEF\xBB\xBF"
                          "a;b\r\n1;2\r\n\r\n3;4\r\n",
                          NULL));
    assert_string_equal(seen, "2:a=1|b=2|4:a=3|b=4|");
}

static void
stops_when_it_is_told(void **state)
{
    (void)state;
    assert_false(read_text("a\n1\n2\n3\n", "2"));
    assert_string_equal(seen, "2:a=1|3:a=2|");
}

static void
takes_any_bytes(void **state)
{
    static const char *const odd[] = {"", "\n", "\"", "a,\"b", ",,,\n,,,", "\"\"\"", "a\n\"x\"y,z"};

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        (void)read_text(odd[i], NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_plain_and_quoted_cells),
        cmocka_unit_test(reads_what_spreadsheets_write),
        cmocka_unit_test(stops_when_it_is_told),
        cmocka_unit_test(takes_any_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
