/* cli_device.c -- `nexus device list|show|test|browse|plan|record|recordings`. */
#include "app/cli.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* --- list, show --- */

static char *
endpoint(const json_t *device)
{
    const json_t *c = cli_at(device, "connection");
    const char *where = json_is_string(cli_at(c, "host")) ? cli_text_at(c, "host") : cli_text_at(c, "serial_port");
    char *port = cli_text(cli_at(c, "port")), *text = mem_printf("%s%s%s", where, *port ? ":" : "", port);

    free(port);
    return text;
}

static struct cli_table *
list_table(const json_t *devices)
{
    static const char *const titles[] = {"id",    "name", "protocol",  "endpoint",   "state",
                                         ">tags", "poll", "last seen", "last error", NULL};
    struct cli_table *t = cli_table_new(titles);
    size_t i;
    json_t *d;

    json_array_foreach ((json_t *)(uintptr_t)devices, i, d) {
        char *where = endpoint(d);
        cli_table_json(t, cli_at(d, "id"));
        cli_table_json(t, cli_at(d, "name"));
        cli_table_json(t, cli_at(d, "protocol"));
        cli_table_text(t, where);
        cli_table_json(t, cli_at(cli_at(d, "status"), "state"));
        cli_table_json(t, cli_at(d, "tag_count"));
        cli_table_json(t, cli_at(d, "poll_interval"));
        cli_table_json(t, cli_at(cli_at(d, "status"), "last_seen"));
        cli_table_json(t, cli_at(cli_at(d, "status"), "last_error"));
        free(where);
    }
    return t;
}

static int
device_list(struct cli *cli)
{
    const char *filter = cli->option[CLI_FILTER];
    char *path = filter ? cli_path("/devices?q=", filter, NULL) : mem_strdup("/devices");
    json_t *devices;
    int code = cli_list(cli->http, path, &devices);

    if (code == EXIT_OK) {
        struct cli_table *t = list_table(devices);
        code = cli_show(cli, devices, &t);
    }
    json_decref(devices);
    free(path);
    return code;
}

/* Members of members as "connection.host". */
static void
add_members(struct cli_table *t, const json_t *object, const char *prefix)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        char *name = mem_printf("%s%s%s", prefix, *prefix ? "." : "", key);
        if (json_is_object(value) && strchr(prefix, '.') == NULL) {
            add_members(t, value, name);
        } else {
            cli_table_text(t, name);
            cli_table_json(t, value);
        }
        free(name);
    }
}

/* One question about the device of the first operand. */
static int
ask(struct cli *cli, const char *method, const char *suffix, json_t **out)
{
    char *path = cli_path("/devices/", cli->operands[0], suffix, NULL);
    json_t *body = strcmp(method, "POST") == 0 ? json_object() : NULL;
    int code = cli_call(cli->http, method, path, body, out);

    json_decref(body);
    free(path);
    return code;
}

static int
device_show(struct cli *cli)
{
    static const char *const titles[] = {"setting", "value", NULL};
    json_t *device;
    int code = ask(cli, "GET", "", &device);

    if (code == EXIT_OK) {
        struct cli_table *t = cli_table_new(titles);
        add_members(t, device, "");
        code = cli_show(cli, device, &t);
    }
    json_decref(device);
    return code;
}

/* --- test, browse --- */

static struct cli_table *
test_table(const json_t *result)
{
    static const char *const titles[] = {"step", "result", ">ms", "detail", "what helps", NULL};
    struct cli_table *t = cli_table_new(titles);
    size_t i;
    json_t *step;

    json_array_foreach (json_object_get(result, "steps"), i, step) {
        cli_table_json(t, cli_at(step, "name"));
        cli_table_text(t, json_is_true(cli_at(step, "skipped")) ? "skipped"
                          : json_is_true(cli_at(step, "ok"))    ? "ok"
                                                                : "failed");
        cli_table_json(t, cli_at(step, "elapsed_ms"));
        cli_table_json(t, cli_at(step, "detail"));
        cli_table_json(t, cli_at(step, "fix"));
    }
    return t;
}

static int
device_test(struct cli *cli)
{
    json_t *result;
    int code = ask(cli, "POST", ":test", &result);

    if (code == EXIT_OK) {
        struct cli_table *t = test_table(result);
        code = cli_show(cli, result, &t);
        if (code == EXIT_OK && !json_is_true(cli_at(result, "ok")))
            code = cli_fail(EXIT_FAILED, "device %s did not pass the test", cli->operands[0]);
    }
    json_decref(result);
    return code;
}

static int
device_browse(struct cli *cli)
{
    static const char *const titles[] = {"address", "data type", "description", NULL};
    json_t *result, *node;
    int code = ask(cli, "POST", ":browse", &result);
    size_t i;

    if (code == EXIT_OK) {
        struct cli_table *t = cli_table_new(titles);
        json_array_foreach (json_object_get(result, "nodes"), i, node) {
            cli_table_json(t, cli_at(node, "address"));
            cli_table_json(t, cli_at(node, "data_type"));
            cli_table_json(t, cli_at(node, "description"));
        }
        code = cli_show(cli, result, &t);
    }
    json_decref(result);
    return code;
}

/* --- record --- */

static int
save(struct cli *cli, const char *api_path, const char *file)
{
    struct wbuf bytes = wbuf_init(0);
    int code = cli_download(cli->http, api_path, &bytes);

    if (code == EXIT_OK) {
        FILE *f = cli_output(strcmp(file, "-") == 0 ? NULL : file);
        if (f) {
            (void)fwrite(bytes.p, 1, bytes.len, f);
            code = cli_output_close(f, f == stdout ? NULL : file);
        } else {
            code = EXIT_FAILED;
        }
    }
    if (code == EXIT_OK)
        (void)fprintf(stderr, "%zu bytes written to %s\n", bytes.len, file);
    wbuf_free(&bytes);
    return code;
}

static void
put_hex(struct wbuf *out, const char *arrow, const char *hex)
{
    size_t n = 0;

    if (!*hex)
        return;
    for (; hex[0] && hex[1]; hex += 2, n++) {
        wbuf_str(out, n % 32 == 0 ? n == 0 ? arrow : "\n     " : "");
        wbuf_printf(out, " %.2s", hex);
    }
    wbuf_char(out, '\n');
}

static void
put_exchange(struct wbuf *out, const json_t *x)
{
    char clock[16];
    size_t i;
    json_t *tag;

    wbuf_str(out, cli_clock(json_integer_value(cli_at(x, "time_us")), clock));
    if (json_is_number(cli_at(x, "took_us")))
        wbuf_printf(out, "  %.1f ms", json_number_value(cli_at(x, "took_us")) / 1000.0);
    wbuf_printf(out, "  %s\n", cli_text_at(x, "text"));
    put_hex(out, "    >", cli_text_at(x, "out"));
    put_hex(out, "    <", cli_text_at(x, "in"));
    json_array_foreach (json_object_get(x, "tags"), i, tag)
        wbuf_printf(out, "      %s: %s\n", cli_text_at(tag, "id"), cli_text_at(tag, "text"));
}

static int
print_exchanges(const json_t *doc)
{
    struct wbuf out = wbuf_init(0);
    const json_t *link = cli_at(doc, "link");
    size_t i;
    json_t *x;

    wbuf_printf(&out, "%s: %lld frames, %lld bytes kept", cli_text_at(doc, "device_id"),
                (long long)json_integer_value(cli_at(link, "frames")),
                (long long)json_integer_value(cli_at(link, "bytes")));
    if (json_array_size(cli_at(link, "devices")) > 1)
        wbuf_printf(&out, "; the connection is shared by %zu devices", json_array_size(cli_at(link, "devices")));
    wbuf_char(&out, '\n');
    json_array_foreach (json_object_get(doc, "exchanges"), i, x)
        put_exchange(&out, x);
    (void)fwrite(wbuf_cstr(&out), 1, out.len, stdout);
    wbuf_free(&out);
    return cli_output_close(stdout, NULL);
}

static struct cli_table *
exchange_table(const json_t *doc)
{
    static const char *const titles[] = {"time_us", "took_us", "text", "out", "in", "tags", NULL};
    struct cli_table *t = cli_table_new(titles);
    size_t i, j;
    json_t *x, *tag;

    json_array_foreach (json_object_get(doc, "exchanges"), i, x) {
        struct wbuf tags = wbuf_init(0);
        json_array_foreach (json_object_get(x, "tags"), j, tag)
            wbuf_printf(&tags, "%s%s: %s", j ? "; " : "", cli_text_at(tag, "id"), cli_text_at(tag, "text"));
        for (size_t k = 0; k < 5; k++)
            cli_table_json(t, cli_at(x, titles[k]));
        cli_table_text(t, wbuf_cstr(&tags));
        wbuf_free(&tags);
    }
    return t;
}

static int
device_record(struct cli *cli)
{
    json_t *doc;
    int code;

    if (cli->option[CLI_PCAPNG]) {
        char *path = cli_path("/devices/", cli->operands[0], "/recorder.pcapng", NULL);
        code = save(cli, path, cli->option[CLI_PCAPNG]);
        free(path);
        return code;
    }
    code = ask(cli, "GET", "/recorder", &doc);
    if (code == EXIT_OK && cli->format <= CLI_AS_TABLE) {
        code = print_exchanges(doc);
    } else if (code == EXIT_OK) {
        struct cli_table *t = exchange_table(doc);
        code = cli_show(cli, doc, &t);
    }
    json_decref(doc);
    return code;
}

static int
list_recordings(struct cli *cli)
{
    static const char *const titles[] = {"name", "device_id", "time_us", "bytes", "reason", NULL};
    json_t *doc, *r;
    int code = cli_call(cli->http, "GET", "/recordings", NULL, &doc);
    size_t i;

    if (code == EXIT_OK) {
        struct cli_table *t = cli_table_new(titles);
        json_array_foreach (json_object_get(doc, "recordings"), i, r)
            for (size_t k = 0; titles[k]; k++)
                cli_table_json(t, cli_at(r, titles[k]));
        code = cli_show(cli, doc, &t);
    }
    json_decref(doc);
    return code;
}

static int
device_recordings(struct cli *cli)
{
    const char *name = cli->operands[0];
    char *path;
    int code;

    if (!name)
        return list_recordings(cli);
    path = cli_path("/recordings/", name, NULL);
    code = save(cli, path, cli->option[CLI_PCAPNG] ? cli->option[CLI_PCAPNG] : name);
    free(path);
    return code;
}

/* --- verbs --- */

#define PLAN_VERB                                                                                                      \
    .operands = "DEVICE", .help = "how it is read: requests, bytes, gaps, holes, achieved rates",                      \
    .examples = "  nexus plan press-01\n  nexus plan press-01 -o json | jq .cycle\n", .min = 1, .max = 1,              \
    .run = cli_plan

static const struct cli_verb verbs[] = {
    {.name = "list",
     .operands = "",
     .help = "all devices and their states",
     .examples = "  nexus device list --filter press\n  nexus device list -o csv >devices.csv\n",
     .options = CLI_BIT(FILTER),
     .run = device_list},
    {.name = "show",
     .operands = "DEVICE",
     .help = "settings and state of a device",
     .examples = "  nexus device show press-01 -o json\n",
     .min = 1,
     .max = 1,
     .run = device_show},
    {.name = "test",
     .operands = "DEVICE",
     .help = "walks the way to the device step by step; exit code 1 when a step fails",
     .examples = "  nexus device test press-01\n",
     .min = 1,
     .max = 1,
     .run = device_test},
    {.name = "browse",
     .operands = "DEVICE",
     .help = "the points that the device lists itself",
     .examples = "  nexus device browse press-01 -o csv\n",
     .min = 1,
     .max = 1,
     .run = device_browse},
    {.name = "plan", PLAN_VERB},
    {.name = "record",
     .operands = "DEVICE",
     .help = "the last exchanges with the device, decoded",
     .examples = "  nexus device record press-01\n  nexus device record press-01 --pcapng press.pcapng\n",
     .options = CLI_BIT(PCAPNG),
     .min = 1,
     .max = 1,
     .run = device_record},
    {.name = "recordings",
     .operands = "[NAME]",
     .help = "recordings that errors have left; with a NAME: saves one",
     .examples = "  nexus device recordings\n  nexus device recordings press-01-1700000000.pcapng\n",
     .options = CLI_BIT(PCAPNG),
     .max = 1,
     .run = device_recordings},
    {0},
};

int
command_device(int argc, char **argv)
{
    return cli_main("device", verbs, argc, argv);
}

int
command_plan(int argc, char **argv)
{
    static const struct cli_verb verb = {.name = "plan", PLAN_VERB};

    return cli_main_verb(&verb, argc, argv);
}
