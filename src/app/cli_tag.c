/* cli_tag.c -- `nexus tag read|write|watch|import|export`. Tags are named DEVICE/TAG. */
#include "app/cli.h"

#include "app/csv.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IMPORT_BYTES (64u << 20)
#define IMPORT_BATCH 5000u

static const struct cli_verb tag_verbs[];

static const char *
quality_text(const json_t *item, char *buf, size_t cap)
{
    (void)buf;
    (void)cap;
    return cli_quality(json_object_get(item, "quality"));
}

static const char *
name_text(const json_t *item, char *buf, size_t cap)
{
    (void)snprintf(buf, cap, "%s/%s", json_string_value(json_object_get(item, "device_id")),
                   json_string_value(json_object_get(item, "id")));
    return buf;
}

static const struct cli_column value_columns[] = {
    {"TAG", NULL, name_text},
    {"VALUE", "value", NULL},
    {"UNIT", "unit", NULL},
    {"QUALITY", NULL, quality_text},
    {"TIME", "timestamp", NULL},
    {"ERROR", "error", NULL},
    {0},
};

/* Splits DEVICE/TAG; both ready for a URL, free() them. */
static bool
split_name(const char *name, char **device, char **tag)
{
    const char *stroke = strchr(name, '/');
    char *part;

    if (!stroke || stroke == name || !stroke[1]) {
        (void)fprintf(stderr, "nexus: '%s' is no tag: write DEVICE/TAG\n", name);
        return false;
    }
    part = mem_strndup(name, (size_t)(stroke - name));
    *device = cli_escape(part);
    *tag = cli_escape(stroke + 1);
    free(part);
    return true;
}

/* --- read --- */

/* A whole device, or one tag, appended to items. */
static bool
add_tags(struct cli *c, const char *name, json_t *items)
{
    char *device, *tag, *whole;
    json_t *json;

    if (!strchr(name, '/')) {
        whole = cli_escape(name);
        json = cli_list(c, "/api/v1/devices/%s/tags", whole);
        free(whole);
        if (json)
            json_array_extend(items, json);
        json_decref(json);
        return json != NULL;
    }
    if (!split_name(name, &device, &tag)) {
        c->exit_code = EXIT_USAGE;
        return false;
    }
    json = cli_call(c, "GET", NULL, "/api/v1/devices/%s/tags/%s", device, tag);
    free(device);
    free(tag);
    return json && json_array_append_new(items, json) == 0;
}

static json_t *
read_all(struct cli *c, int argc, char **argv)
{
    json_t *items = json_array();

    for (int i = 1; i < argc; i++)
        if (!add_tags(c, argv[i], items)) {
            json_decref(items);
            return NULL;
        }
    return items;
}

static int
run_read(struct cli *c, int argc, char **argv)
{
    const struct option_spec specs[] = {CLI_OPTIONS(c), {0}};
    json_t *items;

    if (!options_read(&argc, argv, specs) || argc < 2)
        return cli_usage("tag", &tag_verbs[0]);
    if (!cli_begin(c) || !(items = read_all(c, argc, argv)))
        return c->exit_code;
    cli_print_list(c, items, value_columns);
    json_decref(items);
    return EXIT_OK;
}

/* --- write --- */

/* A number, true or false as such; anything else, and what stands in quotes, is a text. */
static json_t *
value_of(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    if (json && !json_is_object(json) && !json_is_array(json) && !json_is_null(json))
        return json;
    json_decref(json);
    return json_string(text);
}

static int
send_write(struct cli *c, const char *name, json_t *body)
{
    char *device, *tag, buf[256];
    json_t *json;
    bool is_done;

    if (!split_name(name, &device, &tag))
        return EXIT_USAGE;
    json = cli_call(c, "POST", body, "/api/v1/devices/%s/tags/%s:write", device, tag);
    free(device);
    free(tag);
    if (!json)
        return c->exit_code;
    is_done = json_is_true(json_object_get(json, "success"));
    if (c->output == CLI_JSON)
        cli_print_json(json);
    else if (is_done)
        (void)printf("%s is now %s\n", name, cli_value(json_object_get(json, "value"), buf, sizeof buf));
    if (!is_done || json_object_get(json, "error"))
        (void)fprintf(stderr, "nexus: %s\n", cli_value(json_object_get(json, "error"), buf, sizeof buf));
    json_decref(json);
    return is_done ? EXIT_OK : EXIT_FAILED;
}

static int
run_write(struct cli *c, int argc, char **argv)
{
    const char *expected = NULL, *ttl = NULL;
    const struct option_spec specs[] = {CLI_OPTIONS(c),
                                        {.name = "expected", .value = &expected},
                                        {.name = "ttl", .value = &ttl},
                                        {0}};
    json_t *body;
    uint64_t ttl_ms = 0;
    int code;

    if (!options_read(&argc, argv, specs) || argc != 3 || (ttl && !num_u64(slice_str(ttl), &ttl_ms)))
        return cli_usage("tag", &tag_verbs[1]);
    if (!cli_begin(c))
        return c->exit_code;
    body = json_pack("{s:o}", "value", value_of(argv[2]));
    if (expected)
        json_object_set_new(body, "expected", value_of(expected));
    if (ttl_ms > 0)
        json_object_set_new(body, "ttl_ms", json_integer((json_int_t)ttl_ms));
    code = send_write(c, argv[1], body);
    json_decref(body);
    return code;
}

/* --- watch --- */

static volatile sig_atomic_t is_interrupted;

static void
on_interrupt(int signum)
{
    (void)signum;
    is_interrupted = 1;
}

static void
print_change(const struct cli *c, const json_t *item)
{
    char name[256], value[256];
    const char *unit = json_string_value(json_object_get(item, "unit"));

    if (c->output == CLI_JSON) {
        (void)json_dumpf(item, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
        (void)putchar('\n');
    } else if (c->output == CLI_CSV) {
        (void)printf("%s,%s,%s,%s\r\n", cli_value(json_object_get(item, "timestamp"), value, sizeof value),
                     name_text(item, name, sizeof name), cli_quality(json_object_get(item, "quality")),
                     cli_value(json_object_get(item, "value"), value, sizeof value));
    } else {
        (void)printf("%s  %s", json_string_value(json_object_get(item, "timestamp")),
                     name_text(item, name, sizeof name));
        (void)printf(" = %s%s%s", cli_value(json_object_get(item, "value"), value, sizeof value), unit ? " " : "",
                     unit ? unit : "");
        (void)printf("  %s\n", cli_quality(json_object_get(item, "quality")));
    }
    (void)fflush(stdout);
}

/* Prints what is new since the last look; seen: name -> timestamp and quality. */
static void
print_news(const struct cli *c, const json_t *items, json_t *seen)
{
    char name[256], mark[128], stamp[64];
    json_t *item;
    size_t i;

    json_array_foreach (items, i, item) {
        const char *before = json_string_value(json_object_get(seen, name_text(item, name, sizeof name)));
        (void)snprintf(mark, sizeof mark, "%s %lld", cli_value(json_object_get(item, "timestamp"), stamp, sizeof stamp),
                       (long long)json_integer_value(json_object_get(item, "quality")));
        if (!json_is_string(json_object_get(item, "timestamp")) || (before && strcmp(before, mark) == 0))
            continue;
        json_object_set_new(seen, name, json_string(mark));
        print_change(c, item);
    }
}

static int
run_watch(struct cli *c, int argc, char **argv)
{
    const char *every = NULL;
    const struct option_spec specs[] = {CLI_OPTIONS(c), {.name = "every", .value = &every}, {0}};
    uint64_t ms = 500;
    json_t *seen, *items;
    struct timespec pause;

    if (!options_read(&argc, argv, specs) || argc < 2 || (every && (!num_u64(slice_str(every), &ms) || ms < 50)))
        return cli_usage("tag", &tag_verbs[2]);
    if (!cli_begin(c))
        return c->exit_code;
    (void)signal(SIGINT, on_interrupt);
    pause = (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    seen = json_object();
    while (!is_interrupted && (items = read_all(c, argc, argv)) != NULL) {
        print_news(c, items, seen);
        json_decref(items);
        (void)nanosleep(&pause, NULL);
    }
    json_decref(seen);
    return is_interrupted ? EXIT_OK : c->exit_code;
}

/* --- export, import --- */

/* Everything a person can set, in the order of columns; the first two name the tag. */
static const char *const fields[] = {
    "device_id",      "id",           "address",     "data_type", "name",         "description", "unit",
    "target_unit",    "scale_factor", "offset",      "clamp_min", "clamp_max",    "deadband",    "deadband_type",
    "poll_interval",  "max_silence",  "access_mode", "priority",  "topic_suffix", "byte_order",  "register_type",
    "register_count", "expression",   "enabled",     NULL};

static int
run_export(struct cli *c, int argc, char **argv)
{
    struct cli_column columns[MEM_COUNT(fields)] = {0};
    const struct option_spec specs[] = {CLI_OPTIONS(c), {0}};
    json_t *items;
    char *device;

    if (!options_read(&argc, argv, specs) || argc > 2)
        return cli_usage("tag", &tag_verbs[4]);
    if (!cli_begin(c))
        return c->exit_code;
    if (!c->output_name)
        c->output = CLI_CSV;
    device = argc == 2 ? cli_escape(argv[1]) : NULL;
    items = device ? cli_list(c, "/api/v1/devices/%s/tags", device) : cli_list(c, "/api/v1/tags");
    free(device);
    if (!items)
        return c->exit_code;
    for (size_t i = 0; fields[i]; i++)
        columns[i] = (struct cli_column){.title = fields[i], .key = fields[i]};
    cli_print_list(c, items, columns);
    json_decref(items);
    return EXIT_OK;
}

struct import {
    struct cli *c;
    const char *file;
    json_t *by_device; /* device -> operations */
    unsigned rows;
};

static bool
add_row(void *arg, unsigned line, const struct csv_row *head, const struct csv_row *row)
{
    struct import *im = arg;
    json_t *tag = json_object(), *ops;
    const char *device = NULL, *id = NULL;

    for (unsigned i = 0; i < row->count && i < head->count; i++) {
        const char *key = head->cells[i], *text = row->cells[i];
        if (!text[0])
            continue;
        if (strcmp(key, "device_id") == 0)
            device = text;
        else if (strcmp(key, "id") == 0)
            id = text;
        else
            json_object_set_new(tag, key, value_of(text));
    }
    if (json_object_get(tag, "address") && !json_is_string(json_object_get(tag, "address"))) {
        char buf[64];
        json_object_set_new(tag, "address", json_string(cli_value(json_object_get(tag, "address"), buf, sizeof buf)));
    }
    if (!device || !id) {
        (void)fprintf(stderr, "nexus: %s:%u: device_id and id are needed in every row\n", im->file, line);
        json_decref(tag);
        return false;
    }
    ops = json_object_get(im->by_device, device);
    if (!ops) {
        ops = json_array();
        json_object_set_new(im->by_device, device, ops);
    }
    json_array_append_new(ops, json_pack("{s:s, s:s, s:o}", "op", "upsert", "id", id, "tag", tag));
    im->rows++;
    return true;
}

static void
print_refused(const char *device, const json_t *result)
{
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(result, "results"), i, one) {
        const json_t *error = json_array_get(json_object_get(one, "errors"), 0);
        const char *detail = json_string_value(json_object_get(error, "detail"));
        if (!json_is_true(json_object_get(one, "ok")))
            (void)fprintf(stderr, "nexus: %s/%s: %s\n", device, json_string_value(json_object_get(one, "id")),
                          detail ? detail : "refused");
    }
}

static int
send_import(struct import *im, bool is_dry)
{
    unsigned stored = 0, refused = 0;
    const char *device;
    json_t *ops;

    json_object_foreach (im->by_device, device, ops) {
        char *path = cli_escape(device);
        for (size_t from = 0; from < json_array_size(ops); from += IMPORT_BATCH) {
            json_t *part = json_array();
            for (size_t i = from; i < json_array_size(ops) && i < from + IMPORT_BATCH; i++)
                json_array_append(part, json_array_get(ops, i));
            json_t *body = json_pack("{s:s, s:b, s:o}", "mode", "best_effort", "dry_run", is_dry, "ops", part);
            json_t *result = cli_call(im->c, "POST", body, "/api/v1/devices/%s/tags:batch", path);
            json_decref(body);
            if (!result)
                break;
            stored += (unsigned)json_integer_value(json_object_get(result, "succeeded"));
            refused += (unsigned)json_integer_value(json_object_get(result, "failed"));
            print_refused(device, result);
            json_decref(result);
        }
        free(path);
    }
    (void)printf("%u tags %s, %u refused\n", stored, is_dry ? "are right" : "stored", refused);
    return im->c->exit_code ? im->c->exit_code : refused ? EXIT_FAILED : EXIT_OK;
}

static int
run_import(struct cli *c, int argc, char **argv)
{
    const char *dry = NULL;
    const struct option_spec specs[] = {CLI_OPTIONS(c), {.name = "dry-run", .value = &dry, .is_flag = true}, {0}};
    struct import im = {.c = c};
    struct nx_note why = {0};
    char *text;
    size_t len;
    int code = EXIT_FAILED;

    if (!options_read(&argc, argv, specs) || argc != 2)
        return cli_usage("tag", &tag_verbs[3]);
    if (!cli_begin(c))
        return c->exit_code;
    im.file = argv[1];
    enum nx_err err = file_read(argv[1], IMPORT_BYTES, &text, &len, &why);
    if (err != NX_OK)
        return command_failed(err, &why);
    im.by_device = json_object();
    if (csv_each(text, len, add_row, &im))
        code = send_import(&im, dry != NULL);
    json_decref(im.by_device);
    free(text);
    return code;
}

static const struct cli_verb tag_verbs[] = {
    {"read", "DEVICE[/TAG]...", "the latest values", run_read},
    {"write", "DEVICE/TAG VALUE [--expected V] [--ttl MS]", "writes, and shows what the device then holds", run_write},
    {"watch", "DEVICE[/TAG]... [--every MS]", "prints each new value until Ctrl-C", run_watch},
    {"import", "FILE.csv [--dry-run]", "creates and changes tags as the file says", run_import},
    {"export", "[DEVICE]", "the settings of tags as CSV", run_export},
    {0},
};

int
command_tag(int argc, char **argv)
{
    return cli_run("tag", tag_verbs, argc, argv);
}
