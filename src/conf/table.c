#include "conf/table.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEYS 256u

unsigned
table_row_count(const struct conf_row *rows)
{
    unsigned n = 0;

    while (rows[n].key)
        n++;
    return n;
}

const struct conf_row *
table_find(const struct conf_row *rows, const char *key)
{
    for (; rows->key; rows++) {
        if (strcmp(rows->key, key) == 0)
            return rows;
    }
    return NULL;
}

const char *
table_near_miss(const struct conf_row *rows, const char *key)
{
    const char *keys[MAX_KEYS];
    size_t n = 0;

    for (; rows->key && n < MAX_KEYS; rows++)
        keys[n++] = rows->key;
    return num_near_miss(key, keys, n);
}

static bool
choose(const char *choices, const char *text, int *out)
{
    size_t len = strlen(text);
    int i = 0;

    for (const char *at = choices; at; i++) {
        const char *bar = strchr(at, '|');
        size_t n = bar ? (size_t)(bar - at) : strlen(at);

        if (n == len && memcmp(at, text, n) == 0) {
            *out = i;
            return true;
        }
        at = bar ? bar + 1 : NULL;
    }
    return false;
}

static enum nx_err
wrong(const struct conf_row *row, const char *place, const char *text, struct nx_note *why)
{
    static const char *const kinds[] = {
        [CONF_STRING] = "a text",
        [CONF_SECRET] = "a text",
        [CONF_INT] = "a whole number",
        [CONF_DOUBLE] = "a number",
        [CONF_BOOL] = "true or false",
        [CONF_DURATION] = "a duration such as 500ms, 2s or 5m",
        [CONF_BYTES] = "a size such as 64MB",
        [CONF_NODE] = "a document",
    };

    if (row->type == CONF_ENUM)
        return nx_fail(why, NX_E_CONFIG, "%s: '%s' is not one of %s", place, text, row->choices);
    return nx_fail(why, NX_E_CONFIG, "%s: '%s' is not %s", place, text, kinds[row->type]);
}

static enum nx_err
check_bounds(const struct conf_row *row, double v, const char *place, const char *text, struct nx_note *why)
{
    const char *unit = row->unit ? row->unit : row->type == CONF_DURATION ? "ms" : "";

    if ((row->min == 0 && row->max == 0) || (v >= row->min && v <= row->max))
        return NX_OK;
    return nx_fail(why, NX_E_CONFIG, "%s: %s is outside %.15g..%.15g%s%s", place, text, row->min, row->max,
                   *unit ? " " : "", unit);
}

static enum nx_err
store(const struct table *t, const struct conf_row *row, const char *text, const char *place, struct nx_note *why)
{
    uint8_t *at = (uint8_t *)t->target + row->offset;
    struct slice s = slice_str(text);
    double number = 0;
    bool ok = true;
    union {
        const char *s;
        int64_t i;
        uint64_t u;
        double d;
        bool b;
        int e;
    } v;
    size_t size = sizeof v.i;

    switch (row->type) {
    case CONF_STRING:
    case CONF_SECRET:
        v.s = arena_strdup(t->arena, text);
        break;
    case CONF_INT:
        ok = num_i64(s, &v.i);
        number = ok ? (double)v.i : 0;
        break;
    case CONF_DOUBLE:
        ok = num_double(s, &v.d);
        number = ok ? v.d : 0;
        break;
    case CONF_BOOL:
        ok = num_bool(s, &v.b);
        size = sizeof v.b;
        break;
    case CONF_DURATION:
        ok = num_duration_ms(s, &v.i);
        number = ok ? (double)v.i : 0;
        break;
    case CONF_BYTES:
        ok = num_bytes(s, &v.u);
        number = ok ? (double)v.u : 0;
        break;
    case CONF_ENUM:
        ok = choose(row->choices, text, &v.e);
        size = sizeof v.e;
        break;
    case CONF_NODE:
        ok = false;
        break;
    }
    if (!ok)
        return wrong(row, place, text, why);
    bool is_number =
        row->type == CONF_INT || row->type == CONF_DOUBLE || row->type == CONF_DURATION || row->type == CONF_BYTES;
    enum nx_err err = is_number ? check_bounds(row, number, place, text, why) : NX_OK;
    if (err == NX_OK)
        memcpy(at, &v, size);
    return err;
}

static void
remember(const struct table *t, const struct conf_row *row, const char *text, const char *origin)
{
    if (!t->origins)
        return;
    t->origins[row - t->rows] = (struct table_origin){
        text ? arena_strdup(t->arena, row->type == CONF_SECRET ? "(secret)" : text) : NULL,
        arena_strdup(t->arena, origin),
    };
}

enum nx_err
table_set(const struct table *t, const struct conf_row *row, const char *text, const char *place, struct nx_note *why)
{
    enum nx_err err = store(t, row, text, place, why);

    if (err == NX_OK)
        remember(t, row, text, place);
    return err;
}

enum nx_err
table_defaults(const struct table *t, struct nx_note *why)
{
    for (const struct conf_row *row = t->rows; row->key; row++) {
        char place[128];

        if (row->def && store(t, row, row->def, "", NULL) != NX_OK) { /* again, now with the place */
            (void)snprintf(place, sizeof place, "default of %s", row->key);
            return store(t, row, row->def, place, why);
        }
        remember(t, row, row->def, "default");
    }
    return NX_OK;
}

/* --- from a document --- */

/* Finding a node's place walks its list: a plant of 10,000 devices names places only when something is wrong, or when
 * they are remembered. */
static enum nx_err
set_from_node(const struct table *t, const struct conf_row *row, const struct conf_node *node, struct nx_note *why)
{
    char place[160];

    if (row->type == CONF_NODE) {
        *(const struct conf_node **)(void *)((uint8_t *)t->target + row->offset) = node;
        if (t->origins)
            remember(t, row, "(document)", conf_where(node, place, sizeof place));
        return NX_OK;
    }
    if (node->kind == CONF_NULL) /* "key:" with nothing behind leaves the default */
        return NX_OK;
    if (node->kind != CONF_SCALAR)
        return conf_fail(node, why, "one value is expected here, not a %s",
                         node->kind == CONF_LIST ? "list" : "section");
    if (!t->origins && store(t, row, node->text, "", NULL) == NX_OK)
        return NX_OK;
    return table_set(t, row, node->text, conf_where(node, place, sizeof place), why);
}

static enum nx_err
set_secret_file(const struct table *t, const struct conf_row *row, const struct conf_node *node, struct nx_note *why)
{
    struct nx_note inner;
    char *text;

    if (node->kind != CONF_SCALAR)
        return conf_fail(node, why, "the path of a file is expected here");
    if (file_read_secret(node->text, &text, &inner) != NX_OK)
        return conf_fail(node, why, "%s", inner.text);
    enum nx_err err = table_set(t, row, text, node->text, why);
    free(text);
    return err;
}

static bool
is_section(const struct conf_row *rows, const char *prefix)
{
    size_t n = strlen(prefix);

    for (; rows->key; rows++) {
        if (strncmp(rows->key, prefix, n) == 0 && rows->key[n] == '.')
            return true;
    }
    return false;
}

static bool
is_foreign(const struct table *t, const char *key)
{
    for (const char *const *f = t->foreign; f && *f; f++) {
        if (strcmp(*f, key) == 0)
            return true;
    }
    return false;
}

const struct conf_row *
table_secret_row(const struct conf_row *rows, const char *key)
{
    char name[128];
    size_t len = strlen(key);
    const struct conf_row *row;

    if (len < 6 || len >= sizeof name || strcmp(key + len - 5, "_file") != 0)
        return NULL;
    memcpy(name, key, len - 5);
    name[len - 5] = '\0';
    row = table_find(rows, name);
    return row && row->type == CONF_SECRET ? row : NULL;
}

static enum nx_err fill_level(const struct table *t, const struct conf_node *map, const char *prefix,
                              struct nx_note *why);

static enum nx_err
fill_one(const struct table *t, const struct conf_node *node, const char *key, struct nx_note *why)
{
    const struct conf_row *row = table_find(t->rows, key);

    if (row)
        return set_from_node(t, row, node, why);
    row = table_secret_row(t->rows, key);
    if (row)
        return set_secret_file(t, row, node, why);
    if (is_section(t->rows, key)) {
        if (node->kind == CONF_NULL)
            return NX_OK;
        if (node->kind != CONF_MAP)
            return conf_fail(node, why, "a section with keys is expected here");
        return fill_level(t, node, key, why);
    }
    const char *near = table_near_miss(t->rows, key);
    if (near)
        return conf_fail(node, why, "unknown key '%s'. Did you mean '%s'?", key, near);
    return conf_fail(node, why, "unknown key '%s'", key);
}

static enum nx_err
fill_level(const struct table *t, const struct conf_node *map, const char *prefix, struct nx_note *why)
{
    for (const struct conf_node *c = map->child; c; c = c->next) {
        char key[128];

        (void)snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", c->key);
        if (is_foreign(t, key))
            continue;
        enum nx_err err = fill_one(t, c, key, why);
        if (err != NX_OK)
            return err;
    }
    return NX_OK;
}

enum nx_err
table_fill(const struct table *t, const struct conf_node *map, struct nx_note *why)
{
    if (map->kind == CONF_NULL)
        return NX_OK;
    if (map->kind != CONF_MAP)
        return conf_fail(map, why, "a section with keys is expected here");
    return fill_level(t, map, "", why);
}

static bool
is_present(const struct conf_node *map, const char *dotted)
{
    char part[64];
    const char *dot;

    while (map && (dot = strchr(dotted, '.'))) {
        (void)snprintf(part, sizeof part, "%.*s", (int)(dot - dotted), dotted);
        map = conf_get(map, part);
        dotted = dot + 1;
    }
    const struct conf_node *n = conf_get(map, dotted);
    return n && n->kind != CONF_NULL;
}

enum nx_err
conf_fill(struct arena *a, const struct conf_row *rows, const struct conf_node *map, void *target, struct nx_note *why)
{
    struct table t = {.arena = a, .rows = rows, .target = target};
    enum nx_err err = table_defaults(&t, why);

    if (err == NX_OK)
        err = table_fill(&t, map, why);
    for (const struct conf_row *row = rows; row->key && err == NX_OK; row++) {
        if (row->is_required && !is_present(map, row->key))
            err = conf_fail(map, why, "'%s' is missing: %s", row->key, row->help ? row->help : "");
    }
    return err;
}
