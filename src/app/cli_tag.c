/* cli_tag.c -- `nexus tag read|write|watch`; import and export are in cli_tag_file.c. A tag is written DEVICE/TAG. */
#include "app/cli.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/timefmt.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uthash.h>

#define TAGS_MAX 64 /* operands */

/* "/devices/D/tags" or "/devices/D/tags/T"; is_list tells which. free() it. */
static char *
path_of(const char *operand, bool *is_list)
{
    const char *slash = strchr(operand, '/');
    char *device = slash ? mem_strndup(operand, (size_t)(slash - operand)) : mem_strdup(operand);
    char *path;

    *is_list = slash == NULL || slash[1] == '\0';
    path = *is_list ? cli_path("/devices/", device, "/tags", NULL)
                    : cli_path("/devices/", device, "/tags/", slash + 1, NULL);
    free(device);
    return path;
}

/* Calls each for every tag that the operands name. */
static int
each_tag(struct cli *cli, int (*each)(void *arg, json_t *tag), void *arg)
{
    int code = EXIT_OK;

    for (int i = 0; i < cli->operand_count && code == EXIT_OK; i++) {
        bool is_list;
        char *path = path_of(cli->operands[i], &is_list);
        json_t *tag = NULL;

        if (is_list)
            code = cli_each(cli->http, path, each, arg);
        else if ((code = cli_call(cli->http, "GET", path, NULL, &tag)) == EXIT_OK)
            code = each(arg, tag);
        json_decref(tag);
        free(path);
    }
    return code;
}

/* --- read --- */

static int
collect(void *arg, json_t *tag)
{
    json_array_append(arg, tag);
    return EXIT_OK;
}

static void
add_value(struct cli_table *t, const json_t *tag)
{
    cli_table_printf(t, "%s/%s", cli_text_at(tag, "device_id"), cli_text_at(tag, "id"));
    cli_table_json(t, cli_at(tag, "value"));
    cli_table_json(t, cli_at(tag, "unit"));
    cli_table_text(t, cli_quality(cli_at(tag, "quality")));
    cli_table_json(t, cli_at(tag, "timestamp"));
}

static int
tag_read(struct cli *cli)
{
    static const char *const titles[] = {"tag", ">value", "unit", "quality", "time", NULL};
    json_t *tags = json_array(), *tag;
    int code = each_tag(cli, collect, tags);
    size_t i;

    if (code == EXIT_OK) {
        struct cli_table *t = cli_table_new(titles);
        json_array_foreach (tags, i, tag)
            add_value(t, tag);
        code = cli_show(cli, tags, &t);
    }
    json_decref(tags);
    return code;
}

/* --- write --- */

/* A value as the tag takes it: "5" is text for a text tag and a number for others. */
static json_t *
value_of(const json_t *tag, const char *text)
{
    struct slice s = slice_str(text);
    int64_t whole;
    double x;

    if (strcmp(cli_text_at(tag, "data_type"), "string") == 0)
        return json_string(text);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(text[0] == 't');
    if (num_i64(s, &whole))
        return json_integer(whole);
    return num_double(s, &x) ? json_real(x) : json_string(text);
}

static json_t *
write_body(const struct cli *cli, const json_t *tag, int64_t ttl_ms)
{
    json_t *body = json_object();

    json_object_set_new(body, "value", value_of(tag, cli->operands[1]));
    if (cli->option[CLI_EXPECTED])
        json_object_set_new(body, "expected", value_of(tag, cli->option[CLI_EXPECTED]));
    if (cli->option[CLI_REASON])
        json_object_set_new(body, "reason", json_string(cli->option[CLI_REASON]));
    if (ttl_ms > 0)
        json_object_set_new(body, "ttl_ms", json_integer(ttl_ms));
    return body;
}

static int
show_write(const struct cli *cli, const json_t *tag, const json_t *result)
{
    static const char *const titles[] = {"tag", ">read back", "unit", ">ms", NULL};
    struct cli_table *t = cli_table_new(titles);

    cli_table_printf(t, "%s/%s", cli_text_at(tag, "device_id"), cli_text_at(tag, "id"));
    cli_table_json(t, cli_at(result, "value"));
    cli_table_json(t, cli_at(tag, "unit"));
    cli_table_json(t, cli_at(result, "duration_ms"));
    return cli_show(cli, result, &t);
}

static int
tag_write(struct cli *cli)
{
    const char *ttl = cli->option[CLI_TTL];
    int64_t ttl_ms = 0;
    bool is_list;
    char *path = path_of(cli->operands[0], &is_list), *write_path = mem_printf("%s:write", path);
    json_t *tag = NULL, *result = NULL, *body;
    int code = EXIT_OK;

    if (is_list)
        code = cli_fail(EXIT_USAGE, "'%s' names no tag: write DEVICE/TAG", cli->operands[0]);
    else if (ttl && (!num_duration_ms(slice_str(ttl), &ttl_ms) || ttl_ms <= 0))
        code = cli_fail(EXIT_USAGE, "--ttl is a time such as 500ms or 5s, not '%s'", ttl);
    if (code == EXIT_OK)
        code = cli_call(cli->http, "GET", path, NULL, &tag);
    if (code == EXIT_OK) {
        body = write_body(cli, tag, ttl_ms);
        code = cli_call(cli->http, "POST", write_path, body, &result);
        json_decref(body);
    }
    if (code == EXIT_OK)
        code = show_write(cli, tag, result);
    json_decref(result);
    json_decref(tag);
    free(write_path);
    free(path);
    return code;
}

/* --- watch: asks again and again, prints what is new --- */

struct watched {
    char *topic, *last; /* what was printed last */
    UT_hash_handle hh;
};

struct watch {
    struct cli *cli;
    struct watched *tags;
    long left; /* lines; negative: no end */
};

static void
print_line(struct watch *w, const json_t *tag)
{
    static const char *const titles[] = {"time", "tag", "value", "unit", "quality", NULL};
    struct wbuf out = wbuf_init(0);
    char *value = cli_text(cli_at(tag, "value"));
    const char *const cells[] = {cli_text_at(tag, "timestamp"), cli_text_at(tag, "topic"), value,
                                 cli_text_at(tag, "unit"), cli_quality(cli_at(tag, "quality"))};

    if (w->cli->format == CLI_AS_CSV)
        for (unsigned i = 0; titles[i]; i++) {
            cli_csv_cell(&out, cells[i]);
            wbuf_str(&out, titles[i + 1] ? "," : "\r\n");
        }
    else
        wbuf_printf(&out, "%-27s  %s/%s = %s%s%s%s%s\n", cells[0], cli_text_at(tag, "device_id"),
                    cli_text_at(tag, "id"), value, *cells[3] ? " " : "", cells[3],
                    strcmp(cells[4], "good") == 0 ? "" : "  ", strcmp(cells[4], "good") == 0 ? "" : cells[4]);
    (void)fwrite(wbuf_cstr(&out), 1, out.len, stdout);
    wbuf_free(&out);
    free(value);
}

static int
look(void *arg, json_t *tag)
{
    struct watch *w = arg;
    json_t *seen = json_pack("[O?, O?, O?]", cli_at(tag, "value"), cli_at(tag, "quality"), cli_at(tag, "timestamp"));
    char *now = cli_text(seen);
    struct watched *known;

    json_decref(seen);
    HASH_FIND_STR(w->tags, cli_text_at(tag, "topic"), known);
    if (!known) {
        known = mem_alloc(sizeof *known);
        known->topic = mem_strdup(cli_text_at(tag, "topic"));
        HASH_ADD_KEYPTR(hh, w->tags, known->topic, strlen(known->topic), known);
    }
    if (w->left == 0 || (known->last && strcmp(known->last, now) == 0)) {
        free(now);
        return EXIT_OK;
    }
    free(known->last);
    known->last = now;
    w->left -= w->left > 0;
    if (w->cli->format == CLI_AS_JSON)
        return cli_show_json(tag);
    print_line(w, tag);
    return EXIT_OK;
}

static void
forget(struct watch *w)
{
    struct watched *tag, *next;

    HASH_ITER (hh, w->tags, tag, next) {
        HASH_DEL(w->tags, tag);
        free(tag->topic);
        free(tag->last);
        free(tag);
    }
}

/* A core that is away for a moment ends nothing, once it was there. */
static int
watch(struct watch *w, int64_t interval_ms)
{
    const struct timespec pause = {interval_ms / 1000, interval_ms % 1000 * 1000000};
    int code = each_tag(w->cli, look, w);
    bool was_there = code == EXIT_OK;

    while (w->left != 0 && (code == EXIT_OK || (was_there && code == EXIT_UNAVAILABLE))) {
        if (cli_output_close(stdout, NULL) != EXIT_OK)
            return EXIT_FAILED;
        (void)nanosleep(&pause, NULL);
        code = each_tag(w->cli, look, w);
    }
    return code == EXIT_OK ? cli_output_close(stdout, NULL) : code;
}

static int
tag_watch(struct cli *cli)
{
    const char *interval = cli->option[CLI_INTERVAL], *count = cli->option[CLI_COUNT];
    int64_t interval_ms = 1000, lines = -1;
    struct watch w = {.cli = cli};
    int code;

    if (interval && (!num_duration_ms(slice_str(interval), &interval_ms) || interval_ms < 50))
        return cli_fail(EXIT_USAGE, "--interval is a time of at least 50ms, not '%s'", interval);
    if (count && (!num_i64(slice_str(count), &lines) || lines < 1))
        return cli_fail(EXIT_USAGE, "--count is a number above 0, not '%s'", count);
    w.left = (long)lines;
    if (cli->format == CLI_AS_CSV)
        (void)fputs("time,topic,value,unit,quality\r\n", stdout);
    code = watch(&w, interval_ms);
    forget(&w);
    return code;
}

/* --- verbs --- */

static const struct cli_verb verbs[] = {
    {.name = "read",
     .operands = "DEVICE[/TAG]...",
     .help = "latest values of tags, or of all tags of a device",
     .examples = "  nexus tag read press-01\n  nexus tag read press-01/force press-01/stroke -o json\n",
     .min = 1,
     .max = TAGS_MAX,
     .run = tag_read},
    {.name = "write",
     .operands = "DEVICE/TAG VALUE",
     .help = "writes a value and shows what the device reads back",
     .examples = "  nexus tag write press-01/setpoint 42.5 --reason 'night shift'\n"
                 "  nexus tag write press-01/running false --expected true --ttl 2s\n"
                 "  nexus tag write press-01/offset -- -5\n",
     .options = CLI_BIT(EXPECTED) | CLI_BIT(TTL) | CLI_BIT(REASON),
     .min = 2,
     .max = 2,
     .run = tag_write},
    {.name = "watch",
     .operands = "DEVICE[/TAG]...",
     .help = "prints a line whenever a value is new; Ctrl-C ends it",
     .examples = "  nexus tag watch press-01/force --interval 200ms\n  nexus tag watch press-01 -o json | jq .value\n",
     .options = CLI_BIT(INTERVAL) | CLI_BIT(COUNT),
     .min = 1,
     .max = TAGS_MAX,
     .run = tag_watch},
    {.name = "import",
     .operands = "FILE",
     .help = "creates and changes tags from a CSV file (as export writes it)",
     .examples =
         "  nexus tag import tags.csv --dry-run\n  nexus tag import press.csv --device press-01 --best-effort\n",
     .options = CLI_BIT(DEVICE) | CLI_BIT(DRY_RUN) | CLI_BIT(BEST_EFFORT),
     .min = 1,
     .max = 1,
     .run = cli_tag_import},
    {.name = "export",
     .operands = "[DEVICE...]",
     .help = "settings of all tags as CSV, one row a tag",
     .examples = "  nexus tag export >tags.csv\n  nexus tag export press-01 --file press.csv\n",
     .options = CLI_BIT(FILE),
     .max = TAGS_MAX,
     .run = cli_tag_export},
    {0},
};

int
command_tag(int argc, char **argv)
{
    return cli_main("tag", verbs, argc, argv);
}
