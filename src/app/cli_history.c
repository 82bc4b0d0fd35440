/* cli_history.c -- `nexus history export`: stored values as a file. */
#include "app/cli.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TAGS_MAX 1000 /* operands; as many as the API takes */

static const char *const formats[] = {"csv", "ndjson", "parquet", "binary", "json"};
static const char *const suffixes[] = {".csv", ".ndjson", ".parquet", ".nxcols", ".json"};

/* "24h" (so long ago), "2026-11-23" (its begin, UTC) or a time that the API takes; free() it. */
static char *
time_of(const char *text)
{
    char out[TIMEFMT_CAP];
    struct timespec now;
    int64_t ms;

    if (strlen(text) == 10 && text[4] == '-' && text[7] == '-')
        return mem_printf("%sT00:00:00Z", text);
    if (strspn(text, "0123456789") == strlen(text) || !num_duration_ms(slice_str(text), &ms))
        return mem_strdup(text);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return mem_strdup(timefmt_rfc3339(((int64_t)now.tv_sec * 1000 - ms) * 1000, out));
}

static bool
ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The one asked for (-o json will do, too), else what the name of the file says, else CSV. */
static const char *
format_of(const struct cli *cli)
{
    const char *file = cli->option[CLI_FILE];

    if (cli->option[CLI_FORMAT])
        return cli->option[CLI_FORMAT];
    if (cli->format == CLI_AS_JSON)
        return "json";
    for (size_t i = 0; file && i < MEM_COUNT(suffixes); i++)
        if (ends_with(file, suffixes[i]))
            return formats[i];
    return formats[0];
}

static void
add_time(json_t *body, const char *member, const char *text)
{
    char *time = text ? time_of(text) : NULL;

    if (time)
        json_object_set_new(body, member, json_string(time));
    free(time);
}

static void
add_text(json_t *body, const char *member, const char *text)
{
    if (text)
        json_object_set_new(body, member, json_string(text));
}

static json_t *
question_of(const struct cli *cli)
{
    json_t *body = json_object(), *tags = json_array();

    for (int i = 0; i < cli->operand_count; i++)
        json_array_append_new(tags, json_string(cli->operands[i]));
    json_object_set_new(body, "tags", tags);
    add_time(body, "from", cli->option[CLI_FROM] ? cli->option[CLI_FROM] : "24h");
    add_time(body, "to", cli->option[CLI_TO]);
    add_text(body, "fn", cli->option[CLI_FN] ? cli->option[CLI_FN] : "raw");
    add_text(body, "max_points", cli->option[CLI_POINTS]);
    add_text(body, "format", format_of(cli));
    return body;
}

static int
fetch(struct cli *cli, FILE *to)
{
    json_t *body = question_of(cli);
    int code = cli_fetch(cli->http, "POST", "/history:query", body, to);

    json_decref(body);
    return code;
}

/* The file appears when it is complete. */
static int
fetch_file(struct cli *cli, const char *path)
{
    char *part = mem_printf("%s.part", path);
    FILE *to = cli_output(part);
    int code = EXIT_FAILED, closed;

    if (to) {
        code = fetch(cli, to);
        closed = cli_output_close(to, part);
        code = code == EXIT_OK ? closed : code;
        if (code == EXIT_OK && rename(part, path) != 0)
            code = cli_fail(EXIT_FAILED, "%s cannot be written: %s", path, strerror(errno));
        if (code != EXIT_OK)
            (void)unlink(part);
    }
    free(part);
    return code;
}

static int
history_export(struct cli *cli)
{
    const char *path = cli->option[CLI_FILE], *format = format_of(cli);
    int code;

    if (!path && isatty(STDOUT_FILENO) && (strcmp(format, "parquet") == 0 || strcmp(format, "binary") == 0))
        return cli_fail(EXIT_USAGE, "%s is nothing for a terminal: name a file with --file, or use > FILE", format);
    if (path)
        return fetch_file(cli, path);
    code = fetch(cli, stdout);
    return code == EXIT_OK ? cli_output_close(stdout, NULL) : code;
}

static const struct cli_verb verbs[] = {
    {.name = "export",
     .operands = "DEVICE/TAG|TOPIC...",
     .help = "stored values as CSV, NDJSON or Parquet: all of them, or reduced with --fn and --max-points",
     .examples = "  nexus history export press-01/force --from 7d --file force.parquet\n"
                 "  nexus history export press-01/force --from 2026-11-23 --to 2026-11-24 >force.csv\n"
                 "  nexus history export press-01/force --fn avg --max-points 24\n",
     .options = CLI_BIT(FROM) | CLI_BIT(TO) | CLI_BIT(FORMAT) | CLI_BIT(FN) | CLI_BIT(POINTS) | CLI_BIT(FILE),
     .min = 1,
     .max = TAGS_MAX,
     .run = history_export},
    {0},
};

int
command_history(int argc, char **argv)
{
    return cli_main("history", verbs, argc, argv);
}
