/* cli_test.c -- what the commands for people print and read: options, tables, CSV, plans. */
#include "app/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
check_text(struct wbuf *out, const char *want)
{
    assert_string_equal(wbuf_cstr(out), want);
    wbuf_free(out);
}

/* --- options --- */

static const char *output, *filter, *dry;
static const struct option_spec specs[] = {{.name = "output", .letter = 'o', .value = &output},
                                           {.name = "filter", .value = &filter},
                                           {.name = "dry-run", .value = &dry, .is_flag = true},
                                           {0}};

static bool
read_line(const char *line, int *argc, char **argv)
{
    static char text[256];

    output = filter = dry = NULL;
    (void)snprintf(text, sizeof text, "%s", line);
    *argc = 0;
    for (char *p = strtok(text, " "); p; p = strtok(NULL, " "))
        argv[(*argc)++] = p;
    argv[*argc] = NULL;
    return options_read(argc, argv, specs);
}

static void
options_have_long_and_short_forms(void **state)
{
    static const char *const lines[] = {"x -o json a b", "x a -ojson b", "x --output json a b", "x a b --output=json"};
    char *argv[16];
    int argc;

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_true(read_line(lines[i], &argc, argv));
        assert_string_equal(output, "json");
        assert_int_equal(argc, 3);
        assert_string_equal(argv[1], "a");
        assert_string_equal(argv[2], "b");
        assert_null(argv[3]);
    }
}

static void
numbers_and_what_follows_two_dashes_are_operands(void **state)
{
    char *argv[16];
    int argc;

    (void)state;
    assert_true(read_line("x a -5 --dry-run", &argc, argv));
    assert_int_equal(argc, 3);
    assert_string_equal(argv[2], "-5");
    assert_non_null(dry);
    assert_true(read_line("x -- -o --filter", &argc, argv));
    assert_int_equal(argc, 3);
    assert_null(output);
    assert_string_equal(argv[2], "--filter");
    assert_false(read_line("x -q", &argc, argv));
    assert_false(read_line("x --fliter y", &argc, argv));
    assert_false(read_line("x --dry-run=yes", &argc, argv));
    assert_false(read_line("x --filter", &argc, argv));
}

/* --- tables --- */

static struct cli_table *
sample_table(void)
{
    static const char *const titles[] = {"tag", ">value", "note", NULL};
    static const char *const cells[] = {"temp", "20.5", "°C", "a,b", "3", "say \"hi\"", "x\033[2Jy", "", "two\nlines"};
    struct cli_table *t = cli_table_new(titles);

    for (size_t i = 0; i < 9; i++)
        cli_table_text(t, cells[i]);
    return t;
}

static void
a_table_is_aligned_and_cannot_drive_the_terminal(void **state)
{
    struct cli_table *t = sample_table();
    struct wbuf out = wbuf_init(0);

    (void)state;
    cli_table_print(t, &out, false);
    check_text(&out, "tag     value  note\n"
                     "temp     20.5  °C\n"
                     "a,b         3  say \"hi\"\n"
                     "x [2Jy         two lines\n");
    cli_table_print(t, &out, true);
    assert_memory_equal(wbuf_cstr(&out), "\033[1mtag ", 8);
    wbuf_free(&out);
    cli_table_free(&t);
}

static void
a_csv_table_reads_back(void **state)
{
    struct cli_table *t = sample_table();
    struct wbuf out = wbuf_init(0);
    struct cli_csv csv;
    struct nx_note why;

    (void)state;
    cli_table_csv(t, &out);
    assert_int_equal(cli_csv_read(wbuf_slice_of(&out), &csv, &why), NX_OK);
    assert_int_equal(csv.row_count, 4);
    assert_string_equal(csv.rows[0][1], "value");
    assert_string_equal(csv.rows[2][0], "a,b");
    assert_string_equal(csv.rows[2][2], "say \"hi\"");
    assert_string_equal(csv.rows[3][2], "two\nlines");
    assert_null(csv.rows[3][3]);
    cli_csv_free(&csv);
    wbuf_free(&out);
    cli_table_free(&t);
}

static void
values_are_shown_shortest(void **state)
{
    json_t *doc = json_pack("{s:f, s:n, s:[i], s:b}", "x", 0.1, "n", "l", 1, "b", 1);
    char *text = cli_text(json_object_get(doc, "x"));
    char clock[16];

    (void)state;
    assert_string_equal(text, "0.1");
    free(text);
    text = cli_text(json_object_get(doc, "n"));
    assert_string_equal(text, "");
    free(text);
    text = cli_text(json_object_get(doc, "l"));
    assert_string_equal(text, "[1]");
    free(text);
    assert_string_equal(cli_quality(json_object_get(doc, "n")), "");
    assert_string_equal(cli_clock(1700000000123456, clock), "22:13:20.123");
    json_decref(doc);
}

/* --- CSV --- */

static void
csv_takes_what_spreadsheets_write(void **state)
{
    static const char text[] = "\xEF\xBB\xBFid;name\r\n\r\n1;\"a;\"\"b\"\"\nc\"\n2;\r\n3";
    struct cli_csv csv;
    struct nx_note why;

    (void)state;
    assert_int_equal(cli_csv_read(slice_str(text), &csv, &why), NX_OK);
    assert_int_equal(csv.row_count, 4);
    assert_string_equal(csv.rows[0][0], "id");
    assert_string_equal(csv.rows[1][1], "a;\"b\"\nc");
    assert_int_equal(csv.lines[1], 3);
    assert_int_equal(csv.lines[2], 5);
    assert_string_equal(csv.rows[2][1], "");
    assert_string_equal(csv.rows[3][0], "3");
    cli_csv_free(&csv);
    assert_int_equal(cli_csv_read(slice_str("\"a;;;\nb\",c"), &csv, &why), NX_OK);
    assert_string_equal(csv.rows[0][1], "c"); /* separators inside quotation marks do not count */
    cli_csv_free(&csv);
}

static void
bad_csv_names_its_line(void **state)
{
    struct cli_csv csv;
    struct nx_note why = {0};

    (void)state;
    assert_int_equal(cli_csv_read(slice_str("id\n\"open\n\n"), &csv, &why), NX_E_CONFIG);
    assert_non_null(strstr(why.text, "line 2"));
    cli_csv_free(&csv);
    assert_int_equal(cli_csv_read(slice("id\n\0\n", 5), &csv, &why), NX_E_CONFIG);
    cli_csv_free(&csv);
}

static void
cells_become_settings(void **state)
{
    static const struct {
        const char *key, *cell, *json;
    } cases[] = {{"address", "40001", "\"40001\""},  {"deadband", "0.5", "0.5"},
                 {"register_count", "8", "8"},       {"enabled", "TRUE", "true"},
                 {"byte_order", "CDAB", "\"CDAB\""}, {"enum", "{\"0\":\"off\"}", "{\"0\":\"off\"}"},
                 {"poll_interval", "1s", "\"1s\""}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *value = cli_tag_setting(cases[i].key, cases[i].cell);
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        assert_string_equal(text, cases[i].json);
        free(text);
        json_decref(value);
    }
    assert_null(cli_tag_setting("unit", ""));
}

/* --- plan --- */

static const char plan_text[] =
    "{\"device_id\":\"press\",\"protocol\":\"modbus-tcp\",\"is_connected\":true,"
    "\"cycle\":{\"requests\":2,\"bytes_out\":24,\"bytes_in\":30,\"gap_bytes\":2,\"holes\":1,\"predicted_ms\":4.12,"
    "\"achieved_ms\":1500},"
    "\"lists\":[{\"interval_ms\":1000,\"priority\":\"telemetry\",\"achieved_interval_ms\":1500,\"requests\":["
    "{\"text\":\"read holding "
    "0-4\",\"bytes_out\":12,\"bytes_in\":19,\"gap_bytes\":2,\"tags\":[\"a\",\"b\"],\"hole\":null},"
    "{\"text\":\"read holding 9\",\"bytes_out\":12,\"bytes_in\":11,\"gap_bytes\":0,\"tags\":[\"c\"],"
    "\"hole\":\"illegal data address\"}]}],"
    "\"tags\":[{\"id\":\"a\",\"address\":\"holding:0\",\"interval_ms\":1000,\"achieved_interval_ms\":1500,\"hole\":"
    "null},"
    "{\"id\":\"b\",\"address\":\"holding:4\",\"interval_ms\":1000,\"achieved_interval_ms\":1050,\"hole\":null},"
    "{\"id\":\"c\",\"address\":\"holding:9\",\"interval_ms\":1000,\"achieved_interval_ms\":null,"
    "\"hole\":\"illegal data address\"}]}";

static void
a_plan_names_what_falls_short(void **state)
{
    const struct cli cli = {0};
    json_t *plan = json_loads(plan_text, 0, NULL);
    struct wbuf out = wbuf_init(0);

    (void)state;
    assert_non_null(plan);
    (void)cli_plan_print(&cli, plan, &out);
    check_text(&out,
               "press (modbus-tcp, connected): 2 requests, 24 bytes out, 30 bytes in, 2 of them in gaps, 1 holes\n"
               "one cycle: predicted 4.12 ms, achieved 1.5 s\n"
               "\n"
               "every  achieved  priority   request           out  in  gap  tags  hole\n"
               "  1 s     1.5 s  telemetry  read holding 0-4   12  19    2     2\n"
               "  1 s     1.5 s  telemetry  read holding 9     12  11    0     1  illegal data address\n"
               "\n"
               "2 of 3 tags get less than they ask for:\n"
               "tag  address    asked for  achieved  reason\n"
               "a    holding:0        1 s     1.5 s  the device or the line is too slow\n"
               "c    holding:9        1 s         -  illegal data address\n");
    json_decref(plan);
}

static void
exit_codes_are_those_of_the_contract(void **state)
{
    static const struct {
        long status;
        int code;
    } cases[] = {{401, 4}, {403, 4}, {404, 3}, {409, 5}, {412, 5}, {422, 1}, {500, 1}, {502, 6}, {503, 6}, {504, 6}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(cli_exit_code_of_status(cases[i].status), cases[i].code);
    char *path = cli_path("/devices/", "a b/..", ":plan", NULL);
    assert_string_equal(path, "/devices/a%20b%2F..:plan");
    free(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_have_long_and_short_forms),
        cmocka_unit_test(numbers_and_what_follows_two_dashes_are_operands),
        cmocka_unit_test(a_table_is_aligned_and_cannot_drive_the_terminal),
        cmocka_unit_test(a_csv_table_reads_back),
        cmocka_unit_test(values_are_shown_shortest),
        cmocka_unit_test(csv_takes_what_spreadsheets_write),
        cmocka_unit_test(bad_csv_names_its_line),
        cmocka_unit_test(cells_become_settings),
        cmocka_unit_test(a_plan_names_what_falls_short),
        cmocka_unit_test(exit_codes_are_those_of_the_contract),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
