/* cli_device.c -- `nexus device ...` and `nexus plan DEVICE`. */
#include "app/cli.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct cli_verb device_verbs[];

/* Reads options; wants one operand. NULL: a message was printed, *code is set. The operand, ready for a URL; free() it.
 */
static char *
one_device(struct cli *c, const struct option_spec *specs, int argc, char **argv, int *code)
{
    *code = EXIT_USAGE;
    if (!options_read(&argc, argv, specs))
        return NULL;
    if (argc != 2) {
        (void)fprintf(stderr, "nexus: one device is expected: nexus device %s DEVICE\n", argv[0]);
        return NULL;
    }
    if (!cli_begin(c)) {
        *code = c->exit_code;
        return NULL;
    }
    return cli_escape(argv[1]);
}

/* --- list, show --- */

static int
run_list(struct cli *c, int argc, char **argv)
{
    static const struct cli_column columns[] = {
        {"DEVICE", "id", NULL},
        {"PROTOCOL", "protocol", NULL},
        {"STATE", "status.state", NULL},
        {"TAGS", "tag_count", NULL},
        {"READ_MS", "status.stats.read_ms_avg", NULL},
        {"SKIPPED", "status.stats.polls_skipped", NULL},
        {"LAST_ERROR", "status.last_error", NULL},
        {0},
    };
    const struct option_spec specs[] = {CLI_OPTIONS(c), {0}};
    json_t *items;

    if (!options_read(&argc, argv, specs) || argc != 1)
        return cli_usage("device", &device_verbs[0]);
    if (!cli_begin(c) || !(items = cli_list(c, "/api/v1/devices")))
        return c->exit_code;
    cli_print_list(c, items, columns);
    json_decref(items);
    return EXIT_OK;
}

static int
run_show(struct cli *c, int argc, char **argv)
{
    const struct option_spec specs[] = {CLI_OPTIONS(c), {0}};
    int code;
    char *id = one_device(c, specs, argc, argv, &code);
    json_t *json = id ? cli_call(c, "GET", NULL, "/api/v1/devices/%s", id) : NULL;

    free(id);
    if (!json)
        return id ? c->exit_code : code;
    cli_print_json(json);
    json_decref(json);
    return EXIT_OK;
}

/* --- test --- */

static const char *
step_state(const json_t *item, char *buf, size_t cap)
{
    (void)buf;
    (void)cap;
    return json_is_true(json_object_get(item, "skipped")) ? "skipped"
           : json_is_true(json_object_get(item, "ok"))    ? "ok"
                                                          : "FAILED";
}

static int
run_test(struct cli *c, int argc, char **argv)
{
    static const struct cli_column columns[] = {
        {"STEP", "name", NULL},     {"RESULT", NULL, step_state}, {"MS", "elapsed_ms", NULL},
        {"DETAIL", "detail", NULL}, {"FIX", "fix", NULL},         {0},
    };
    const struct option_spec specs[] = {CLI_OPTIONS(c), {0}};
    int code;
    char *id = one_device(c, specs, argc, argv, &code);
    json_t *json = id ? cli_call(c, "POST", NULL, "/api/v1/devices/%s:test", id) : NULL;
    bool is_ok = json_is_true(json_object_get(json, "ok"));

    free(id);
    if (!json)
        return id ? c->exit_code : code;
    cli_print_list(c, json_object_get(json, "steps"), columns);
    json_decref(json);
    return is_ok ? EXIT_OK : EXIT_FAILED;
}

/* --- plan --- */

static const char *
tags_text(const json_t *item, char *buf, size_t cap)
{
    const json_t *tags = json_object_get(item, "tags");
    size_t n = json_array_size(tags);

    if (n == 1)
        (void)snprintf(buf, cap, "%s", json_string_value(json_array_get(tags, 0)));
    else
        (void)snprintf(buf, cap, "%zu: %s .. %s", n, json_string_value(json_array_get(tags, 0)),
                       json_string_value(json_array_get(tags, n - 1)));
    return buf;
}

static const char *
lag_text(const json_t *item, char *buf, size_t cap)
{
    (void)snprintf(buf, cap, "%.0f", json_number_value(json_object_get(item, "achieved_interval_ms")));
    return buf;
}

/* Tags whose values come clearly later than was asked for. */
static json_t *
late_tags(const json_t *tags)
{
    json_t *late = json_array(), *tag;
    size_t i;

    json_array_foreach (tags, i, tag) {
        double want = json_number_value(json_object_get(tag, "interval_ms"));
        if (json_number_value(json_object_get(tag, "achieved_interval_ms")) > want * 1.1)
            json_array_append(late, tag);
    }
    return late;
}

static void
print_summary(const json_t *plan)
{
    const json_t *cycle = json_object_get(plan, "cycle");
    char predicted[32], achieved[32];

    (void)printf("%s (%s, %s): %lld requests, %lld bytes out, %lld in, of them %lld in gaps; %lld holes; a cycle takes "
                 "%s ms (predicted %s)\n",
                 json_string_value(json_object_get(plan, "device_id")),
                 json_string_value(json_object_get(plan, "protocol")),
                 json_is_true(json_object_get(plan, "is_connected")) ? "connected" : "not connected",
                 (long long)json_integer_value(json_object_get(cycle, "requests")),
                 (long long)json_integer_value(json_object_get(cycle, "bytes_out")),
                 (long long)json_integer_value(json_object_get(cycle, "bytes_in")),
                 (long long)json_integer_value(json_object_get(cycle, "gap_bytes")),
                 (long long)json_integer_value(json_object_get(cycle, "holes")),
                 cli_value(json_object_get(cycle, "achieved_ms"), achieved, sizeof achieved),
                 cli_value(json_object_get(cycle, "predicted_ms"), predicted, sizeof predicted));
}

static void
print_late(const struct cli *c, const json_t *plan)
{
    static const struct cli_column columns[] = {{"LATE TAG", "id", NULL},
                                                {"ADDRESS", "address", NULL},
                                                {"WANTED_MS", "interval_ms", NULL},
                                                {"ACHIEVED_MS", NULL, lag_text},
                                                {0}};
    json_t *late = late_tags(json_object_get(plan, "tags"));

    if (json_array_size(late) > 0) {
        (void)putchar('\n');
        cli_print_list(c, late, columns);
    }
    json_decref(late);
}

static void
print_plan(const struct cli *c, const json_t *plan)
{
    static const struct cli_column columns[] = {
        {"REQUEST", "text", NULL},
        {"OUT", "bytes_out", NULL},
        {"IN", "bytes_in", NULL},
        {"GAP", "gap_bytes", NULL},
        {"TAGS", NULL, tags_text},
        {"HOLE", "hole", NULL},
        {0},
    };
    json_t *list;
    size_t i;

    print_summary(plan);
    json_array_foreach (json_object_get(plan, "lists"), i, list) {
        char achieved[32];
        (void)printf("\nevery %lld ms (%s), achieved %s ms, %lld polls, %lld skipped\n",
                     (long long)json_integer_value(json_object_get(list, "interval_ms")),
                     json_string_value(json_object_get(list, "priority")),
                     cli_value(json_object_get(list, "achieved_interval_ms"), achieved, sizeof achieved),
                     (long long)json_integer_value(json_object_get(list, "polls")),
                     (long long)json_integer_value(json_object_get(list, "skipped")));
        cli_print_list(c, json_object_get(list, "requests"), columns);
    }
    print_late(c, plan);
}

static int
run_plan(struct cli *c, int argc, char **argv)
{
    static const struct cli_column csv[] = {
        {"tag", "id", NULL},
        {"address", "address", NULL},
        {"interval_ms", "interval_ms", NULL},
        {"achieved_interval_ms", "achieved_interval_ms", NULL},
        {"request", "request", NULL},
        {"hole", "hole", NULL},
        {0},
    };
    const struct option_spec specs[] = {CLI_OPTIONS(c), {0}};
    int code;
    char *id = one_device(c, specs, argc, argv, &code);
    json_t *plan = id ? cli_call(c, "GET", NULL, "/api/v1/devices/%s:plan", id) : NULL;

    free(id);
    if (!plan)
        return id ? c->exit_code : code;
    if (c->output == CLI_JSON)
        cli_print_json(plan);
    else if (c->output == CLI_CSV)
        cli_print_list(c, json_object_get(plan, "tags"), csv);
    else
        print_plan(c, plan);
    json_decref(plan);
    return EXIT_OK;
}

/* --- record --- */

static const char *
time_text(const json_t *item, char *buf, size_t cap)
{
    json_int_t us = json_integer_value(json_object_get(item, "time_us"));
    time_t s = (time_t)(us / 1000000);
    struct tm tm;
    char clock[16];

    (void)gmtime_r(&s, &tm);
    (void)strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    (void)snprintf(buf, cap, "%s.%06lld", clock, (long long)(us % 1000000));
    return buf;
}

static const char *
values_text(const json_t *item, char *buf, size_t cap)
{
    struct wbuf w = wbuf_fixed(buf, cap - 1);
    size_t i, len = 0;
    json_t *tag;

    json_array_foreach (json_object_get(item, "tags"), i, tag) {
        wbuf_printf(&w, "%s%s: %s", i ? "; " : "", json_string_value(json_object_get(tag, "id")),
                    json_string_value(json_object_get(tag, "text")));
        if (w.failed)
            break;
        len = w.len;
    }
    buf[len] = '\0';
    return buf;
}

static int
save_capture(struct cli *c, const char *id, const char *file)
{
    char *path = mem_printf("/api/v1/devices/%s/recorder.pcapng", id);
    struct wbuf data;
    bool is_there = cli_download(c, path, &data);
    FILE *f;

    free(path);
    if (!is_there)
        return c->exit_code;
    f = fopen(file, "wbe");
    if (!f || fwrite(data.p, 1, data.len, f) != data.len || fclose(f) != 0) {
        (void)fprintf(stderr, "nexus: %s cannot be written: check the folder and its rights\n", file);
        wbuf_free(&data);
        return EXIT_FAILED;
    }
    (void)printf("%zu bytes in %s\n", data.len, file);
    wbuf_free(&data);
    return EXIT_OK;
}

static int
run_record(struct cli *c, int argc, char **argv)
{
    static const struct cli_column columns[] = {
        {"TIME", NULL, time_text},
        {"US", "took_us", NULL},
        {"EXCHANGE", "text", NULL},
        {"TAGS", NULL, values_text},
        {0},
    };
    const char *file = NULL;
    const struct option_spec specs[] = {CLI_OPTIONS(c), {.name = "pcapng", .value = &file}, {0}};
    int code;
    char *id = one_device(c, specs, argc, argv, &code);
    json_t *json;

    if (!id)
        return code;
    if (file) {
        code = save_capture(c, id, file);
        free(id);
        return code;
    }
    json = cli_call(c, "GET", NULL, "/api/v1/devices/%s/recorder", id);
    free(id);
    if (!json)
        return c->exit_code;
    if (c->output == CLI_JSON)
        cli_print_json(json);
    else
        cli_print_list(c, json_object_get(json, "exchanges"), columns);
    json_decref(json);
    return EXIT_OK;
}

static const struct cli_verb device_verbs[] = {
    {"list", "", "all devices with their state", run_list},
    {"show", "DEVICE", "its settings and status", run_show},
    {"test", "DEVICE", "tries the way to it step by step", run_test},
    {"plan", "DEVICE", "its requests, holes, and achieved rates", run_plan},
    {"record", "DEVICE [--pcapng FILE]", "the last frames, decoded for each tag", run_record},
    {0},
};

int
command_device(int argc, char **argv)
{
    return cli_run("device", device_verbs, argc, argv);
}

int
command_plan(int argc, char **argv)
{
    struct cli c = {0};
    int code = run_plan(&c, argc, argv);

    cli_end(&c);
    return code;
}
