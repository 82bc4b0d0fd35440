#include "app/cli.h"

#include "base/mem.h"
#include "base/num.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    char letter;
    const char *placeholder, *help;
} options[] = {
#define CLI_OPTION_ROW(name, option, letter, placeholder, help) {option, letter, placeholder, help},
    CLI_OPTIONS(CLI_OPTION_ROW)
#undef CLI_OPTION_ROW
};

int
cli_fail(int code, const char *fmt, ...)
{
    va_list ap;

    (void)fputs("nexus: ", stderr);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    return code;
}

/* --- help --- */

static void
print_options(FILE *to, unsigned set)
{
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        char text[64];

        if (!(set & 1u << i))
            continue;
        (void)snprintf(text, sizeof text, "%s%c%s--%s %s", options[i].letter ? "-" : "  ",
                       options[i].letter ? options[i].letter : ' ', options[i].letter ? ", " : " ", options[i].name,
                       options[i].placeholder ? options[i].placeholder : "");
        (void)fprintf(to, "  %-26s %s\n", text, options[i].help);
    }
}

static void
print_usage(FILE *to, const char *group, const struct cli_verb *v)
{
    (void)fprintf(to, "usage: nexus %s%s%s%s%s [OPTIONS]\n", group ? group : "", group ? " " : "", v->name,
                  *v->operands ? " " : "", v->operands);
}

static int
verb_help(const char *group, const struct cli_verb *v)
{
    print_usage(stdout, group, v);
    (void)printf("\n%s\n\n", v->help);
    print_options(stdout, v->options | CLI_COMMON);
    if (v->examples)
        (void)printf("\nexamples:\n%s", v->examples);
    return EXIT_OK;
}

static int
group_help(FILE *to, const char *group, const struct cli_verb *verbs, int code)
{
    (void)fprintf(to, "usage: nexus %s VERB [OPTIONS]\n\n", group);
    for (const struct cli_verb *v = verbs; v->name; v++)
        (void)fprintf(to, "  %-10s %-28s %s\n", v->name, v->operands, v->help);
    (void)fprintf(to, "\nMore: nexus %s VERB --help\n", group);
    return code;
}

/* --- options --- */

static bool
read_format(struct cli *cli)
{
    static const char *const names[] = {"", "table", "json", "csv"};
    const char *text = cli->option[CLI_OUTPUT];

    for (unsigned i = 1; text && i < MEM_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0)
            cli->format = (enum cli_format)i;
    return !text || cli->format != CLI_AS_DEFAULT;
}

static bool
read_options(struct cli *cli, unsigned set, int *argc, char **argv)
{
    struct option_spec specs[CLI_OPTION_COUNT + 1] = {0};
    unsigned n = 0;

    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++)
        if (set & 1u << i)
            specs[n++] = (struct option_spec){.name = options[i].name,
                                              .letter = options[i].letter,
                                              .value = &cli->option[i],
                                              .is_flag = options[i].placeholder == NULL};
    return options_read(argc, argv, specs);
}

static int
run_verb(const char *group, const struct cli_verb *v, int argc, char **argv)
{
    struct cli cli = {.is_color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
    int code;

    if (!read_options(&cli, v->options | CLI_COMMON, &argc, argv))
        return EXIT_USAGE;
    if (cli.option[CLI_HELP])
        return verb_help(group, v);
    if (!read_format(&cli))
        return cli_fail(EXIT_USAGE, "--output is table, json or csv, not '%s'", cli.option[CLI_OUTPUT]);
    cli.operands = argv + 1;
    cli.operand_count = argc - 1;
    if (cli.operand_count < v->min || cli.operand_count > v->max) {
        print_usage(stderr, group, v);
        return EXIT_USAGE;
    }
    code = cli_http_open(&cli.http, &cli);
    if (code == EXIT_OK)
        code = v->run(&cli);
    cli_http_close(&cli.http);
    return code;
}

int
cli_main_verb(const struct cli_verb *verb, int argc, char **argv)
{
    return run_verb(NULL, verb, argc, argv);
}

int
cli_main(const char *group, const struct cli_verb *verbs, int argc, char **argv)
{
    const char *names[16], *near;
    size_t n = 0;

    if (argc < 2)
        return group_help(stderr, group, verbs, EXIT_USAGE);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return group_help(stdout, group, verbs, EXIT_OK);
    for (const struct cli_verb *v = verbs; v->name; v++) {
        if (strcmp(v->name, argv[1]) == 0)
            return run_verb(group, v, argc - 1, argv + 1);
        names[n++] = v->name;
    }
    near = num_near_miss(argv[1], names, n);
    if (near)
        return cli_fail(EXIT_USAGE, "unknown command 'nexus %s %s'. Did you mean '%s'?", group, argv[1], near);
    return cli_fail(EXIT_USAGE, "unknown command 'nexus %s %s'. 'nexus %s --help' lists them.", group, argv[1], group);
}

/* --- output --- */

FILE *
cli_output(const char *path)
{
    FILE *f = path ? fopen(path, "we") : stdout;

    if (!f)
        (void)cli_fail(EXIT_FAILED, "%s cannot be written: %s", path, strerror(errno));
    return f;
}

int
cli_output_close(FILE *f, const char *path)
{
    bool is_bad = fflush(f) != 0 || ferror(f);

    if (path)
        is_bad = fclose(f) != 0 || is_bad;
    return is_bad ? cli_fail(EXIT_FAILED, "%s cannot be written whole: %s", path ? path : "standard output",
                             strerror(errno))
                  : EXIT_OK;
}

int
cli_show_json(const json_t *doc)
{
    char *text = cli_text(doc);

    (void)puts(text);
    free(text);
    return cli_output_close(stdout, NULL);
}

int
cli_show(const struct cli *cli, const json_t *doc, struct cli_table **t)
{
    struct wbuf out = wbuf_init(0);
    int code;

    if (cli->format == CLI_AS_JSON) {
        cli_table_free(t);
        return cli_show_json(doc);
    }
    if (cli->format == CLI_AS_CSV)
        cli_table_csv(*t, &out);
    else
        cli_table_print(*t, &out, cli->is_color);
    (void)fwrite(wbuf_cstr(&out), 1, out.len, stdout);
    code = cli_output_close(stdout, NULL);
    wbuf_free(&out);
    cli_table_free(t);
    return code;
}
