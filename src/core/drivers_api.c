/* drivers_api.c -- the protocols and their settings, from the drivers' own tables: forms and checks of programs are
 * made of them. */
#include "core/api.h"
#include "core/handlers.h"

#include <math.h>

static const char *const types[] = {
    [NX_PARAM_STRING] = "string", [NX_PARAM_INT] = "integer",       [NX_PARAM_DOUBLE] = "number",
    [NX_PARAM_BOOL] = "boolean",  [NX_PARAM_DURATION] = "duration", [NX_PARAM_ENUM] = "choice",
};

static json_t *
split_choices(const char *choices)
{
    json_t *list = json_array();

    while (choices && *choices) {
        size_t n = strcspn(choices, "|");

        json_array_append_new(list, json_stringn(choices, n));
        choices += n + (choices[n] == '|');
    }
    return list;
}

static json_t *
number(double x)
{
    return x == floor(x) && fabs(x) < 9e15 ? json_integer((json_int_t)x) : json_real(x);
}

static json_t *
setting_json(const struct nx_param *p)
{
    json_t *s = json_pack("{s:s, s:s, s:b, s:b, s:s}", "key", p->key, "type", types[p->type], "required",
                          p->is_required, "per_device", p->is_per_device, "help", p->help ? p->help : "");

    if (p->def)
        json_object_set_new(s, "default", json_string(p->def));
    if (p->type == NX_PARAM_ENUM)
        json_object_set_new(s, "choices", split_choices(p->choices));
    if (p->unit)
        json_object_set_new(s, "unit", json_string(p->unit));
    if (p->min == 0 && p->max == 0)
        return s;
    json_object_set_new(s, "min", number(p->min));
    json_object_set_new(s, "max", number(p->max));
    return s;
}

static void
add_settings(json_t *list, const struct nx_param *p)
{
    for (; p && p->key; p++)
        json_array_append_new(list, setting_json(p));
}

/* What the gateway reads from the connection of a device of any protocol. */
static void
add_common(json_t *list)
{
    static const enum nx_param_type type_of[] = {
        [CONF_STRING] = NX_PARAM_STRING, [CONF_INT] = NX_PARAM_INT,           [CONF_DOUBLE] = NX_PARAM_DOUBLE,
        [CONF_BOOL] = NX_PARAM_BOOL,     [CONF_DURATION] = NX_PARAM_DURATION, [CONF_ENUM] = NX_PARAM_ENUM,
    };

    for (const struct conf_row *row = device_connection_rows; row->key; row++) {
        if (row->type == CONF_NODE) /* a section of its own: for files and the API, not for a form */
            continue;
        json_array_append_new(list, setting_json(&(struct nx_param){.key = row->key,
                                                                    .type = type_of[row->type],
                                                                    .def = row->def,
                                                                    .choices = row->choices,
                                                                    .min = row->min,
                                                                    .max = row->max,
                                                                    .unit = row->unit,
                                                                    .help = row->help,
                                                                    .is_required = row->is_required}));
    }
}

static json_t *
driver_json(const struct nx_driver *d)
{
    json_t *settings = json_array(), *tag_settings = json_array();

    add_settings(settings, d->params);
    add_common(settings);
    add_settings(tag_settings, d->tag_params);
    return json_pack("{s:s, s:s, s:b, s:b, s:o, s:o}", "name", d->name, "summary", d->summary ? d->summary : "",
                     "can_write", d->write != NULL, "can_browse", d->browse != NULL, "settings", settings,
                     "tag_settings", tag_settings);
}

void
drivers_list(struct http_req *req, void *arg)
{
    struct core *core = arg;
    json_t *items = json_array();

    for (const struct nx_driver *const *d = core->device_options.drivers; *d; d++)
        json_array_append_new(items, driver_json(*d));
    http_respond_json(req, 200, json_pack("{s:o}", "items", items));
}
