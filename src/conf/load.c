/* load.c -- a service's settings from all their sources, and where each came from. */
#include "base/file.h"
#include "base/mem.h"
#include "conf/table.h"

#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conf {
    struct arena arena;
    struct table table;
};

static enum nx_err
load_file(struct conf *c, const char *path, struct nx_note *why)
{
    struct conf_node *root;
    enum nx_err err = conf_read_yaml(&c->arena, path, &root, why);

    return err == NX_OK ? table_fill(&c->table, root, why) : err;
}

/* <dir of path>/conf.d/ *.yaml in the order of their names. */
static enum nx_err
load_drop_ins(struct conf *c, const char *path, struct nx_note *why)
{
    const char *slash = strrchr(path, '/');
    char *pattern = mem_printf("%.*sconf.d/*.yaml", slash ? (int)(slash - path) + 1 : 0, path);
    enum nx_err err = NX_OK;
    glob_t found;

    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc && err == NX_OK; i++)
            err = load_file(c, found.gl_pathv[i], why);
        globfree(&found);
    }
    free(pattern);
    return err;
}

static void
env_name(const char *key, char *out, size_t cap)
{
    struct wbuf w = wbuf_fixed(out, cap);

    wbuf_str(&w, "NEXUS_");
    for (; *key; key++) {
        if (*key == '.')
            wbuf_str(&w, "__");
        else
            wbuf_char(&w, (char)toupper((unsigned char)*key));
    }
    (void)wbuf_cstr(&w);
}

static enum nx_err
set_from_secret_file(struct conf *c, const struct conf_row *row, const char *path, struct nx_note *why)
{
    char *secret;
    enum nx_err err = file_read_secret(path, &secret, why);

    if (err != NX_OK)
        return err;
    err = table_set(&c->table, row, secret, path, why);
    free(secret);
    return err;
}

static enum nx_err
set_from_variable(struct conf *c, const struct conf_row *row, const char *name, struct nx_note *why)
{
    const char *value = getenv(name);
    char place[160], file_name[160];

    if (value) {
        (void)snprintf(place, sizeof place, "environment %s", name);
        return table_set(&c->table, row, value, place, why);
    }
    (void)snprintf(file_name, sizeof file_name, "%s_FILE", name);
    if (row->type != CONF_SECRET || !(value = getenv(file_name)))
        return NX_OK;
    return set_from_secret_file(c, row, value, why);
}

static enum nx_err
load_environment(struct conf *c, struct nx_note *why)
{
    for (const struct conf_row *row = c->table.rows; row->key; row++) {
        char names[256];
        char own[128];
        enum nx_err err = NX_OK;

        (void)snprintf(names, sizeof names, "%s", row->env ? row->env : "");
        char *rest = names;
        for (char *name; err == NX_OK && (name = strsep(&rest, "|"));)
            err = *name ? set_from_variable(c, row, name, why) : NX_OK;
        env_name(row->key, own, sizeof own);
        if (err == NX_OK)
            err = set_from_variable(c, row, own, why);
        if (err != NX_OK)
            return err;
    }
    return NX_OK;
}

static enum nx_err
load_override(struct conf *c, const char *text, struct nx_note *why)
{
    const char *equals = strchr(text, '=');
    char key[128], place[160];

    if (!equals || (size_t)(equals - text) >= sizeof key)
        return nx_fail(why, NX_E_CONFIG, "'%s': write --set key=value", text);
    (void)snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
    const struct conf_row *row = table_find(c->table.rows, key);
    if (!row && (row = table_secret_row(c->table.rows, key)))
        return set_from_secret_file(c, row, equals + 1, why);
    if (!row) {
        const char *near = table_near_miss(c->table.rows, key);

        return nx_fail(why, NX_E_CONFIG, "--set %s: unknown key%s%s%s", key, near ? ". Did you mean '" : "",
                       near ? near : "", near ? "'?" : "");
    }
    (void)snprintf(place, sizeof place, "flag --set %s", key);
    return table_set(&c->table, row, equals + 1, place, why);
}

static enum nx_err
check_required(struct conf *c, struct nx_note *why)
{
    for (const struct conf_row *row = c->table.rows; row->key; row++) {
        char name[128];

        if (!row->is_required || c->table.origins[row - c->table.rows].text)
            continue;
        env_name(row->key, name, sizeof name);
        return nx_fail(why, NX_E_CONFIG, "'%s' is missing (%s): set it in the configuration file or as %s", row->key,
                       row->help ? row->help : "", name);
    }
    return NX_OK;
}

enum nx_err
conf_load(struct conf **out, const struct conf_source *src, const struct conf_row *rows, void *target,
          struct nx_note *why)
{
    struct conf *c = mem_alloc(sizeof *c);

    c->table = (struct table){.arena = &c->arena, .rows = rows, .target = target, .foreign = src->foreign};
    c->table.origins = mem_calloc(table_row_count(rows) + 1, sizeof *c->table.origins);
    enum nx_err err = table_defaults(&c->table, why);
    if (err == NX_OK && src->path)
        err = load_file(c, src->path, why);
    if (err == NX_OK && src->path)
        err = load_drop_ins(c, src->path, why);
    if (err == NX_OK)
        err = load_environment(c, why);
    for (const char *const *o = src->overrides; o && *o && err == NX_OK; o++)
        err = load_override(c, *o, why);
    if (err == NX_OK)
        err = check_required(c, why);
    *out = c;
    if (err != NX_OK)
        conf_free(out);
    return err;
}

void
conf_free(struct conf **conf)
{
    if (!*conf)
        return;
    free((*conf)->table.origins);
    arena_free(&(*conf)->arena);
    free(*conf);
    *conf = NULL;
}

enum nx_err
conf_explain(const struct conf *conf, const char *key, struct wbuf *out, struct nx_note *why)
{
    const struct conf_row *row = table_find(conf->table.rows, key);

    if (!row) {
        const char *near = table_near_miss(conf->table.rows, key);

        return nx_fail(why, NX_E_NOT_FOUND, "unknown key '%s'%s%s%s", key, near ? ". Did you mean '" : "",
                       near ? near : "", near ? "'?" : "");
    }
    const struct table_origin *o = &conf->table.origins[row - conf->table.rows];
    wbuf_printf(out, "%s = %s  (%s", key, o->text ? o->text : "(not set)", o->origin);
    if (row->def && strcmp(o->origin, "default") != 0)
        wbuf_printf(out, "; default %s", row->def);
    wbuf_printf(out, ")\n%s\n", row->help ? row->help : "");
    return NX_OK;
}

static void
print_row(const struct conf_row *row, const char *leaf, unsigned indent, struct wbuf *out)
{
    wbuf_printf(out, "%*s# %s", (int)indent, "", row->help ? row->help : "");
    if (row->type == CONF_ENUM)
        wbuf_printf(out, " One of %s.", row->choices);
    if (row->min != 0 || row->max != 0)
        wbuf_printf(out, " %.15g..%.15g%s%s.", row->min, row->max, row->unit ? " " : "", row->unit ? row->unit : "");
    wbuf_printf(out, "\n%*s%s%s: %s\n", (int)indent, "", row->def ? "" : "#", leaf, row->def ? row->def : "");
}

void
conf_print_sample(const struct conf_row *rows, struct wbuf *out)
{
    const char *section = "";
    size_t section_len = 0;

    for (const struct conf_row *row = rows; row->key; row++) {
        const char *dot = strchr(row->key, '.');
        size_t len = dot ? (size_t)(dot - row->key) : 0;

        if (dot && (len != section_len || memcmp(section, row->key, len) != 0))
            wbuf_printf(out, "\n%.*s:\n", (int)len, row->key);
        section = row->key;
        section_len = len;
        print_row(row, dot ? dot + 1 : row->key, dot ? 2 : 0, out);
    }
}
