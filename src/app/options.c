#include "app/command.h"

#include "base/mem.h"
#include "base/num.h"

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

static const struct option_spec *
find_letter(const struct option_spec *specs, const char *arg)
{
    while (specs->name && (arg[2] != '\0' || specs->letter != arg[1]))
        specs++;
    return specs->name ? specs : NULL;
}

static const struct option_spec *
find_option(const struct option_spec *specs, const char *arg, const char **text)
{
    const char *name = arg + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct option_spec *o = arg[1] == '-' ? find(specs, name, len) : find_letter(specs, arg);

    *text = arg[1] == '-' && equals ? equals + 1 : NULL;
    if (!o) {
        char *copy = mem_strndup(name, len);

        unknown_option(arg[1] == '-' ? copy : arg + 1, specs);
        free(copy);
    }
    return o;
}

/* Reads the option at argv[*i]; moves *i past its value. */
static bool
read_one(int argc, char **argv, int *i, const struct option_spec *specs)
{
    const char *text;
    const struct option_spec *o = find_option(specs, argv[*i], &text);

    if (!o)
        return false;
    if (o->is_flag) {
        *o->value = "";
        return true;
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

/* "--name", "-o"; a negative number is an operand. */
static bool
is_option(const char *arg)
{
    if (arg[0] != '-' || arg[1] == '\0')
        return false;
    return arg[1] == '-' ? arg[2] != '\0' : (arg[1] >= 'a' && arg[1] <= 'z');
}

bool
options_read(int *argc, char **argv, const struct option_spec *specs)
{
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        if (!is_option(argv[i]))
            argv[kept++] = argv[i];
        else if (!read_one(*argc, argv, &i, specs))
            return false;
    }
    *argc = kept;
    return true;
}
