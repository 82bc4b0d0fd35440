/* cli_print.c -- tables, CSV and JSON of the commands for people, and how they choose a verb. */
#include "app/cli.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16u
#define CELL_CAP    512u

void
cli_print_json(const json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    (void)putchar('\n');
}

const char *
cli_value(const json_t *value, char *buf, size_t cap)
{
    if (json_is_string(value))
        (void)snprintf(buf, cap, "%s", json_string_value(value));
    else if (json_is_boolean(value))
        (void)snprintf(buf, cap, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value))
        (void)snprintf(buf, cap, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        (void)snprintf(buf, cap, "%.9g", json_real_value(value));
    else
        (void)snprintf(buf, cap, "-");
    return buf;
}

const char *
cli_quality(const json_t *quality)
{
    json_int_t q = json_integer_value(quality);

    if (!json_is_integer(quality))
        return "-";
    return q >= 192 ? "good" : q >= 64 ? "uncertain" : "bad";
}

static const json_t *
look_up(const json_t *item, const char *key)
{
    char part[64];
    const char *dot;

    while ((dot = strchr(key, '.')) != NULL) {
        (void)snprintf(part, sizeof part, "%.*s", (int)(dot - key), key);
        item = json_object_get(item, part);
        key = dot + 1;
    }
    return json_object_get(item, key);
}

static const char *
cell(const struct cli_column *col, const json_t *item, char *buf)
{
    return col->text ? col->text(item, buf, CELL_CAP) : cli_value(look_up(item, col->key), buf, CELL_CAP);
}

/* Characters, not bytes: what a terminal shows. */
static size_t
width_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static void
put_padded(const char *text, size_t width, bool is_last)
{
    size_t n = width_of(text);

    (void)fputs(text, stdout);
    if (!is_last)
        (void)printf("%*s", (int)(width - n + 2), "");
}

static void
print_table(const json_t *items, const struct cli_column *columns)
{
    size_t widths[COLUMNS_MAX] = {0}, i;
    char buf[CELL_CAP];
    json_t *item;
    unsigned n = 0;

    for (; columns[n].title && n < COLUMNS_MAX; n++) {
        widths[n] = strlen(columns[n].title);
        json_array_foreach (items, i, item) {
            size_t w = width_of(cell(&columns[n], item, buf));
            if (w > widths[n])
                widths[n] = w;
        }
    }
    for (unsigned k = 0; k < n; k++)
        put_padded(columns[k].title, widths[k], k + 1 == n);
    (void)putchar('\n');
    json_array_foreach (items, i, item) {
        for (unsigned k = 0; k < n; k++)
            put_padded(cell(&columns[k], item, buf), widths[k], k + 1 == n);
        (void)putchar('\n');
    }
}

/* RFC 4180. */
static void
put_csv(const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        (void)fputs(text, stdout);
        return;
    }
    (void)putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            (void)putchar('"');
        (void)putchar(*text);
    }
    (void)putchar('"');
}

static void
print_csv(const json_t *items, const struct cli_column *columns)
{
    char buf[CELL_CAP];
    json_t *item;
    size_t i;

    for (unsigned k = 0; columns[k].title; k++)
        (void)printf("%s%s", k ? "," : "", columns[k].title);
    (void)fputs("\r\n", stdout);
    json_array_foreach (items, i, item) {
        for (unsigned k = 0; columns[k].title; k++) {
            const char *text = cell(&columns[k], item, buf);
            (void)fputs(k ? "," : "", stdout);
            put_csv(strcmp(text, "-") == 0 ? "" : text);
        }
        (void)fputs("\r\n", stdout);
    }
}

void
cli_print_list(const struct cli *c, const json_t *items, const struct cli_column *columns)
{
    if (c->output == CLI_JSON)
        cli_print_json(items);
    else if (c->output == CLI_CSV)
        print_csv(items, columns);
    else
        print_table(items, columns);
}

/* --- verbs --- */

static void
print_verbs(FILE *to, const char *noun, const struct cli_verb *verbs)
{
    (void)fprintf(to, "usage: nexus %s VERB [OPTIONS]\n\n", noun);
    for (const struct cli_verb *v = verbs; v->name; v++)
        (void)fprintf(to, "  %-8s %-34s %s\n", v->name, v->operands, v->help);
    (void)fputs("\noptions: --url URL (NEXUS_URL), --token TOKEN (NEXUS_TOKEN), --user NAME (password in "
                "NEXUS_PASSWORD),\n         -o table|json|csv\n",
                to);
}

int
cli_usage(const char *noun, const struct cli_verb *verb)
{
    (void)fprintf(stderr, "usage: nexus %s %s %s\n", noun, verb->name, verb->operands);
    return EXIT_USAGE;
}

static int
unknown_verb(const char *noun, const struct cli_verb *verbs, const char *name)
{
    const char *names[16], *near;
    size_t n = 0;

    for (const struct cli_verb *v = verbs; v->name && n < MEM_COUNT(names); v++)
        names[n++] = v->name;
    near = num_near_miss(name, names, n);
    (void)fprintf(stderr, "nexus %s: unknown verb '%s'. %s%s%s\n", noun, name, near ? "Did you mean '" : "",
                  near ? near : "'nexus help' lists the commands.", near ? "'?" : "");
    return EXIT_USAGE;
}

int
cli_run(const char *noun, const struct cli_verb *verbs, int argc, char **argv)
{
    struct cli c = {0};

    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        print_verbs(argc < 2 ? stderr : stdout, noun, verbs);
        return argc < 2 ? EXIT_USAGE : EXIT_OK;
    }
    for (const struct cli_verb *v = verbs; v->name; v++) {
        if (strcmp(v->name, argv[1]) != 0)
            continue;
        int code = v->run(&c, argc - 1, argv + 1);
        cli_end(&c);
        return code;
    }
    return unknown_verb(noun, verbs, argv[1]);
}
