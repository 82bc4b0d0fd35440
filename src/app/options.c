#include "app/command.h"

#include "base/mem.h"
#include "base/num.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPTIONS 32u

int
exit_code_of(enum nx_err err)
{
    switch (err) {
    case NX_OK:
        return EXIT_OK;
    case NX_E_NOT_FOUND:
        return EXIT_NOT_FOUND;
    case NX_E_DENIED:
    case NX_E_AUTH:
        return EXIT_DENIED;
    case NX_E_CONFLICT:
        return EXIT_CONFLICT;
    case NX_E_OFFLINE:
    case NX_E_REFUSED:
    case NX_E_TIMEOUT:
    case NX_E_BUSY:
        return EXIT_UNAVAILABLE;
    default:
        return EXIT_FAILED;
    }
}

int
command_failed(enum nx_err err, const struct nx_note *why)
{
    (void)fprintf(stderr, "nexus: %s\n", why->text[0] ? why->text : nx_err_text(err));
    return exit_code_of(err);
}

static void
unknown_option(const char *name, const struct option_spec *specs)
{
    const char *names[MAX_OPTIONS];
    size_t n = 0;

    for (; specs->name && n < MAX_OPTIONS; specs++)
        names[n++] = specs->name;
    const char *near = num_near_miss(name, names, n);
    if (near)
        (void)fprintf(stderr, "nexus: unknown option --%s. Did you mean --%s?\n", name, near);
    else
        (void)fprintf(stderr, "nexus: unknown option --%s\n", name);
}

static const struct option_spec *
find(const struct option_spec *specs, const char *name, size_t len)
{
    for (; specs->name; specs++) {
        if (strlen(specs->name) == len && memcmp(specs->name, name, len) == 0)
            return specs;
    }
    return NULL;
}

static void
append(const char ***list, const char *text)
{
    size_t n = 0;

    while (*list && (*list)[n])
        n++;
    *list = mem_realloc(*list, (n + 2) * sizeof **list);
    (*list)[n] = text;
    (*list)[n + 1] = NULL;
}

static bool
take_value(const struct option_spec *o, const char *text, int argc, char **argv, int *i)
{
    if (o->is_flag && !text) {
        *o->value = "";
        return true;
    }
    if (o->is_flag) {
        (void)fprintf(stderr, "nexus: --%s takes no value\n", o->name);
        return false;
    }
    if (!text && *i + 1 < argc)
        text = argv[++*i];
    if (!text) {
        (void)fprintf(stderr, "nexus: --%s needs a value\n", o->name);
        return false;
    }
    if (o->list)
        append(o->list, text);
    else
        *o->value = text;
    return true;
}

/* Reads the option at argv[*i]; moves *i past its value. */
static bool
read_long(int argc, char **argv, int *i, const struct option_spec *specs)
{
    const char *name = argv[*i] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct option_spec *o = find(specs, name, len);

    if (!o) {
        char *copy = mem_strndup(name, len);

        unknown_option(copy, specs);
        free(copy);
        return false;
    }
    return take_value(o, equals ? equals + 1 : NULL, argc, argv, i);
}

/* "-o json" or "-ojson". */
static bool
read_short(int argc, char **argv, int *i, const struct option_spec *o)
{
    return take_value(o, argv[*i][2] ? argv[*i] + 2 : NULL, argc, argv, i);
}

/* NULL: no option, such as "-5" or "-". */
static const struct option_spec *
find_letter(const struct option_spec *specs, const char *arg)
{
    if (arg[0] != '-' || !arg[1])
        return NULL;
    while (specs->name && specs->letter != arg[1])
        specs++;
    return specs->name ? specs : NULL;
}

static bool
is_unknown_letter(const struct option_spec *specs, const char *arg)
{
    if (arg[0] != '-' || !isalpha((unsigned char)arg[1]))
        return false;
    while (specs->name && !specs->letter)
        specs++;
    return specs->name != NULL; /* the others know no letters at all: theirs stay operands */
}

bool
options_read(int *argc, char **argv, const struct option_spec *specs)
{
    bool is_over = false;
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        const struct option_spec *letter = is_over ? NULL : find_letter(specs, argv[i]);

        if (!is_over && strcmp(argv[i], "--") == 0) {
            is_over = true;
        } else if (!is_over && strncmp(argv[i], "--", 2) == 0) {
            if (!read_long(*argc, argv, &i, specs))
                return false;
        } else if (letter) {
            if (!read_short(*argc, argv, &i, letter))
                return false;
        } else if (!is_over && is_unknown_letter(specs, argv[i])) {
            (void)fprintf(stderr, "nexus: unknown option %s\n", argv[i]);
            return false;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    argv[kept] = NULL;
    return true;
}
