/* cli_tag_file.c -- tags as CSV: export writes what import reads. One row a tag; the first row names the settings, as
 * in devices.yaml; an empty cell leaves a setting at its default; device_id says whose tag it is. An import replaces
 * the tags that it names and leaves others alone; a device is changed whole or not at all (--best-effort: row by row).
 */
#include "app/cli.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define FILE_BYTES 67108864u
#define OPS_MAX    10000u

/* --- export --- */

/* Members of the API's tag that are no settings. */
static const char *const not_settings[] = {"topic", "version", "etag", "value", "quality", "timestamp"};
static const char *const first_columns[] = {"device_id",     "id",           "name",  "description",
                                            "address",       "data_type",    "unit",  "access_mode",
                                            "poll_interval", "scale_factor", "offset"};

static bool
is_in(const char *key, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], key) == 0)
            return true;
    return false;
}

static int
collect(void *arg, json_t *tag)
{
    for (size_t i = 0; i < MEM_COUNT(not_settings); i++)
        json_object_del(tag, not_settings[i]);
    if (json_is_true(json_object_get(tag, "enabled"))) /* shown for every tag, but said for few */
        json_object_del(tag, "enabled");
    json_array_append(arg, tag);
    return EXIT_OK;
}

static int
compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All settings that any tag has: the usual ones first, others sorted. Ends with NULL; free() it. */
static const char **
columns_of(const json_t *tags)
{
    json_t *all = json_object(), *tag, *value;
    const char **columns, *key;
    size_t i, n = 0, first = 0;

    json_array_foreach ((json_t *)(uintptr_t)tags, i, tag)
        json_object_update(all, tag);
    columns = mem_calloc(json_object_size(all) + MEM_COUNT(first_columns) + 1, sizeof *columns);
    for (i = 0; i < MEM_COUNT(first_columns); i++)
        if (json_object_get(all, first_columns[i]) || i < 2)
            columns[n++] = first_columns[i];
    first = n;
    json_array_foreach ((json_t *)(uintptr_t)tags, i, tag)
        json_object_foreach (tag, key, value)
            if (!is_in(key, first_columns, MEM_COUNT(first_columns)) && json_object_del(all, key) == 0)
                columns[n++] = key; /* lives as long as its tag */
    qsort(columns + first, n - first, sizeof *columns, compare);
    json_decref(all);
    return columns;
}

static void
write_csv(const json_t *tags, struct wbuf *out)
{
    const char **columns = columns_of(tags);
    struct cli_table *t = cli_table_new(columns);
    size_t i;
    json_t *tag;

    json_array_foreach ((json_t *)(uintptr_t)tags, i, tag)
        for (const char **c = columns; *c; c++)
            cli_table_json(t, json_object_get(tag, *c));
    cli_table_csv(t, out);
    cli_table_free(&t);
    free(columns);
}

static int
export_to(const struct cli *cli, const json_t *tags)
{
    const char *path = cli->option[CLI_FILE];
    struct wbuf out = wbuf_init(0);
    FILE *f;

    if (cli->format == CLI_AS_JSON) {
        char *text = cli_text(tags);
        wbuf_str(&out, text);
        wbuf_char(&out, '\n');
        free(text);
    } else {
        write_csv(tags, &out);
    }
    f = cli_output(path);
    if (f)
        (void)fwrite(wbuf_cstr(&out), 1, out.len, f);
    wbuf_free(&out);
    return f ? cli_output_close(f, path) : EXIT_FAILED;
}

int
cli_tag_export(struct cli *cli)
{
    json_t *tags = json_array();
    int code = cli->operand_count == 0 ? cli_each(cli->http, "/tags", collect, tags) : EXIT_OK;

    if (cli->format == CLI_AS_TABLE)
        code = cli_fail(EXIT_USAGE, "an export is csv or json");
    for (int i = 0; i < cli->operand_count && code == EXIT_OK; i++) {
        char *path = cli_path("/devices/", cli->operands[i], "/tags", NULL);
        code = cli_each(cli->http, path, collect, tags);
        free(path);
    }
    if (code == EXIT_OK)
        code = export_to(cli, tags);
    json_decref(tags);
    return code;
}

/* --- import --- */

json_t *
cli_tag_setting(const char *key, const char *cell)
{
    static const char *const texts[] = {"id",         "name",        "description",      "address",
                                        "unit",       "target_unit", "topic_suffix",     "opc_node_id",
                                        "s7_address", "expression",  "opc_namespace_uri"};
    struct slice s = slice_str(cell);
    int64_t whole;
    double x;

    if (s.len == 0)
        return NULL;
    if (is_in(key, texts, MEM_COUNT(texts)))
        return json_string(cell);
    if (cell[0] == '{' || cell[0] == '[') {
        json_t *json = json_loads(cell, JSON_REJECT_DUPLICATES, NULL);
        return json ? json : json_string(cell);
    }
    if (strcasecmp(cell, "true") == 0 || strcasecmp(cell, "false") == 0) /* spreadsheets like capitals */
        return json_boolean(cell[0] == 't' || cell[0] == 'T');
    if (num_i64(s, &whole))
        return json_integer(whole);
    return num_double(s, &x) ? json_real(x) : json_string(cell);
}

/* The operations for one device, with the lines of the file that they come from. */
struct target {
    const char *device;
    json_t *ops, *lines;
    UT_hash_handle hh;
};

struct import {
    struct cli *cli;
    const char *path;
    struct cli_csv csv;
    struct target *targets;
    struct cli_table *report;
    json_t *results;
    size_t refused;
};

static const char *
cell_of(const struct import *im, size_t row, const char *key)
{
    char **names = im->csv.rows[0], **cells = im->csv.rows[row];

    for (size_t i = 0; names[i] && cells[i]; i++)
        if (strcmp(names[i], key) == 0)
            return cells[i];
    return "";
}

static json_t *
tag_of_row(const struct import *im, size_t row)
{
    char **names = im->csv.rows[0], **cells = im->csv.rows[row];
    json_t *tag = json_object();

    for (size_t i = 0; names[i] && cells[i]; i++) {
        json_t *value = strcmp(names[i], "device_id") == 0 ? NULL : cli_tag_setting(names[i], cells[i]);
        if (value)
            json_object_set_new(tag, names[i], value);
    }
    return tag;
}

static int
add_row(struct import *im, size_t row)
{
    const char *device = cell_of(im, row, "device_id"), *id = cell_of(im, row, "id");
    struct target *t;

    if (!*device)
        device = im->cli->option[CLI_DEVICE];
    if (!device || !*id)
        return cli_fail(EXIT_FAILED, "%s:%u: the row has no %s", im->path, im->csv.lines[row],
                        device ? "id" : "device_id; add the column or give --device");
    HASH_FIND_STR(im->targets, device, t);
    if (!t) {
        t = mem_alloc(sizeof *t);
        *t = (struct target){.device = device, .ops = json_array(), .lines = json_array()};
        HASH_ADD_KEYPTR(hh, im->targets, t->device, strlen(t->device), t);
    }
    json_array_append_new(t->ops, json_pack("{s:s, s:s, s:o}", "op", "upsert", "id", id, "tag", tag_of_row(im, row)));
    json_array_append_new(t->lines, json_integer(im->csv.lines[row]));
    return EXIT_OK;
}

static int
check_titles(const struct import *im)
{
    if (im->csv.row_count == 0)
        return cli_fail(EXIT_FAILED, "%s is empty: the first row names the settings, as id,address,data_type",
                        im->path);
    for (char **name = im->csv.rows[0]; *name; name++)
        if (strcmp(*name, "id") == 0)
            return EXIT_OK;
    return cli_fail(EXIT_FAILED, "%s:1: no column is called 'id': the first row names the settings", im->path);
}

static int
read_rows(struct import *im)
{
    struct nx_note why = {0};
    char *text = NULL;
    size_t len = 0;
    int code;

    if (file_read(im->path, FILE_BYTES, &text, &len, &why) != NX_OK)
        return cli_fail(EXIT_NOT_FOUND, "%s", why.text);
    enum nx_err err = cli_csv_read(slice(text, len), &im->csv, &why);
    free(text);
    if (err != NX_OK)
        return cli_fail(EXIT_FAILED, "%s: %s", im->path, why.text);
    code = check_titles(im);
    for (size_t row = 1; row < im->csv.row_count && code == EXIT_OK; row++)
        code = add_row(im, row);
    return code;
}

static void
report(struct import *im, const struct target *t, const json_t *result, size_t first)
{
    size_t index = first + (size_t)json_integer_value(json_object_get(result, "index"));
    const json_t *error = json_array_get(json_object_get(result, "errors"), 0);

    if (json_is_true(json_object_get(result, "ok")))
        return;
    im->refused++;
    cli_table_json(im->report, json_array_get(t->lines, index));
    cli_table_text(im->report, t->device);
    cli_table_json(im->report, json_object_get(result, "id"));
    cli_table_json(im->report, json_object_get(error, "pointer"));
    cli_table_json(im->report, json_object_get(error, "detail"));
}

static void
count_outcomes(const struct import *im, const struct target *t, const json_t *answer)
{
    size_t created = 0, updated = 0, same = 0, i;
    json_t *r;

    json_array_foreach (json_object_get(answer, "results"), i, r) {
        const char *outcome = json_string_value(json_object_get(r, "outcome"));
        created += outcome && strcmp(outcome, "created") == 0;
        updated += outcome && strcmp(outcome, "updated") == 0;
        same += outcome && strcmp(outcome, "unchanged") == 0;
    }
    (void)fprintf(stderr, "%s: %zu new, %zu changed, %zu as they were, %lld refused%s\n", t->device, created, updated,
                  same, (long long)json_integer_value(json_object_get(answer, "failed")),
                  im->cli->option[CLI_DRY_RUN]                       ? "; dry run: nothing was changed"
                  : json_is_true(json_object_get(answer, "applied")) ? ""
                  : created + updated > 0                            ? "; nothing was changed"
                                                                     : "");
}

/* At most OPS_MAX operations from first on. */
static int
send_part(struct import *im, const struct target *t, size_t first)
{
    char *path = cli_path("/devices/", t->device, "/tags:batch", NULL);
    json_t *ops = json_array(), *body, *answer = NULL, *r;
    size_t i;
    int code;

    for (i = first; i < json_array_size(t->ops) && i < first + OPS_MAX; i++)
        json_array_append(ops, json_array_get(t->ops, i));
    body = json_pack("{s:s, s:b, s:o}", "mode", im->cli->option[CLI_BEST_EFFORT] ? "best_effort" : "atomic", "dry_run",
                     im->cli->option[CLI_DRY_RUN] != NULL, "ops", ops);
    code = cli_call(im->cli->http, "POST", path, body, &answer);
    if (code == EXIT_OK) {
        json_array_foreach (json_object_get(answer, "results"), i, r)
            report(im, t, r, first);
        count_outcomes(im, t, answer);
        json_array_append(im->results, answer);
    }
    json_decref(answer);
    json_decref(body);
    free(path);
    return code;
}

static int
send_all(struct import *im)
{
    int code = EXIT_OK;

    for (struct target *t = im->targets; t && code == EXIT_OK; t = t->hh.next)
        for (size_t first = 0; first < json_array_size(t->ops) && code == EXIT_OK; first += OPS_MAX)
            code = send_part(im, t, first);
    return code;
}

static void
free_import(struct import *im)
{
    struct target *t, *next;

    HASH_ITER (hh, im->targets, t, next) {
        HASH_DEL(im->targets, t);
        json_decref(t->ops);
        json_decref(t->lines);
        free(t);
    }
    cli_table_free(&im->report);
    json_decref(im->results);
    cli_csv_free(&im->csv);
}

int
cli_tag_import(struct cli *cli)
{
    static const char *const titles[] = {">line", "device", "tag", "setting", "what is wrong", NULL};
    struct import im = {.cli = cli, .path = cli->operands[0], .report = cli_table_new(titles), .results = json_array()};
    int code = read_rows(&im);

    if (code == EXIT_OK)
        code = send_all(&im);
    if (code == EXIT_OK && (im.refused > 0 || cli->format == CLI_AS_JSON))
        code = cli_show(cli, im.results, &im.report);
    if (code == EXIT_OK && im.refused > 0)
        code = cli_fail(EXIT_FAILED, "%zu rows were refused", im.refused);
    free_import(&im);
    return code;
}
