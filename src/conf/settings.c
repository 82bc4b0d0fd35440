/* settings.c -- the settings of drivers: tables of include/nexus/driver.h, read with the same rules as our own. */
#include "base/mem.h"
#include "base/num.h"
#include "conf/table.h"

#include <assert.h>
#include <string.h>

union setting_value {
    const char *s;
    int64_t i;
    double d;
    bool b;
    int e;
};

struct nx_settings {
    const struct nx_param *params;
    union setting_value *values; /* one a param */
    bool *has_value;
};

static const enum conf_type type_of[] = {
    [NX_PARAM_STRING] = CONF_STRING, [NX_PARAM_INT] = CONF_INT,           [NX_PARAM_DOUBLE] = CONF_DOUBLE,
    [NX_PARAM_BOOL] = CONF_BOOL,     [NX_PARAM_DURATION] = CONF_DURATION, [NX_PARAM_ENUM] = CONF_ENUM,
};

static struct conf_row *
rows_of(struct arena *a, const struct nx_param *params, unsigned n)
{
    struct conf_row *rows = arena_alloc(a, (n + 1) * sizeof *rows);

    for (unsigned i = 0; i < n; i++) {
        const struct nx_param *p = &params[i];

        rows[i] = (struct conf_row){.key = p->key,
                                    .type = type_of[p->type],
                                    .def = p->def,
                                    .choices = p->choices,
                                    .min = p->min,
                                    .max = p->max,
                                    .unit = p->unit,
                                    .help = p->help,
                                    .offset = i * sizeof(union setting_value),
                                    .is_required = p->is_required};
    }
    return rows;
}

enum nx_err
conf_settings(struct arena *a, const struct nx_param *params, const struct conf_node *map, const char *const *known,
              struct nx_settings **out, struct nx_note *why)
{
    struct nx_settings *s = arena_alloc(a, sizeof *s);
    unsigned n = 0;

    *out = NULL;
    while (params[n].key)
        n++;
    struct arena scratch = {0}; /* of the rows: a plant has 100,000 tags, and each keeps only its values */
    struct conf_row *rows = rows_of(&scratch, params, n);
    s->params = params;
    s->values = arena_alloc(a, (n + 1) * sizeof *s->values);
    s->has_value = arena_alloc(a, n + 1);
    struct table t = {.arena = a, .rows = rows, .target = s->values, .foreign = known};
    enum nx_err err = table_defaults(&t, why);
    if (err == NX_OK && map)
        err = table_fill(&t, map, why);
    for (unsigned i = 0; i < n && err == NX_OK; i++) {
        const struct conf_node *node = conf_get(map, params[i].key);

        s->has_value[i] = params[i].def || (node && node->kind != CONF_NULL);
        if (params[i].is_required && !s->has_value[i])
            err = map ? conf_fail(map, why, "'%s' is missing: %s", params[i].key, params[i].help)
                      : nx_fail(why, NX_E_CONFIG, "'%s' is missing: %s", params[i].key, params[i].help);
    }
    arena_free(&scratch);
    if (err == NX_OK)
        *out = s;
    return err;
}

/* A driver that asks for a key it did not declare is our mistake. */
static const union setting_value *
find(const struct nx_settings *s, const char *key, const struct nx_param **param)
{
    unsigned i = 0;

    while (s->params[i].key && strcmp(s->params[i].key, key) != 0)
        i++;
    assert(s->params[i].key);
    *param = &s->params[i];
    return s->has_value[i] ? &s->values[i] : NULL;
}

const char *
nx_setting_string(const struct nx_settings *s, const char *key)
{
    const struct nx_param *p;
    const union setting_value *v = find(s, key, &p);

    assert(p->type == NX_PARAM_STRING);
    return v ? v->s : NULL;
}

int64_t
nx_setting_int(const struct nx_settings *s, const char *key)
{
    const struct nx_param *p;
    const union setting_value *v = find(s, key, &p);

    assert(p->type == NX_PARAM_INT || p->type == NX_PARAM_DURATION || p->type == NX_PARAM_BOOL);
    if (!v)
        return 0;
    return p->type == NX_PARAM_BOOL ? v->b : v->i;
}

double
nx_setting_double(const struct nx_settings *s, const char *key)
{
    const struct nx_param *p;
    const union setting_value *v = find(s, key, &p);

    assert(p->type == NX_PARAM_DOUBLE);
    return v ? v->d : 0;
}

int
nx_setting_enum(const struct nx_settings *s, const char *key)
{
    const struct nx_param *p;
    const union setting_value *v = find(s, key, &p);

    assert(p->type == NX_PARAM_ENUM);
    return v ? v->e : 0;
}

void
conf_settings_print(const struct nx_settings *s, bool is_per_device, struct wbuf *out)
{
    for (unsigned i = 0; s->params[i].key; i++) {
        const struct nx_param *p = &s->params[i];

        if (!s->has_value[i] || p->is_per_device != is_per_device)
            continue;
        wbuf_printf(out, " %s=", p->key);
        if (p->type == NX_PARAM_STRING)
            wbuf_str(out, s->values[i].s);
        else if (p->type == NX_PARAM_DOUBLE)
            wbuf_double(out, s->values[i].d);
        else
            wbuf_i64(out, p->type == NX_PARAM_ENUM ? s->values[i].e : nx_setting_int(s, p->key));
    }
}
