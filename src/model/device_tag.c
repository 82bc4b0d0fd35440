/* device_tag.c -- the keys of one tag. */
#include "base/mem.h"
#include "base/num.h"
#include "model/device_priv.h"
#include "model/units.h"

#include <stdlib.h>
#include <string.h>

/* A tag as it is written. */
struct tag_doc {
    const char *id, *name, *description, *address, *data_type, *unit, *target_unit, *expression, *topic_suffix;
    double scale_factor, offset, clamp_min, clamp_max, deadband;
    int64_t poll_interval_ms, max_silence_ms, array;
    int deadband_type, access_mode, priority;
    bool is_enabled;
    const struct conf_node *enums, *adaptive, *aggregate, *publish;
};

struct adaptive_doc {
    int64_t min_ms, max_ms;
};

struct aggregate_doc {
    int64_t window_ms;
    const struct conf_node *functions;
    bool raw;
};

struct publish_doc {
    int64_t min_interval_ms;
};

#define ROW(name, kind, member, ...)                                                                                   \
    {                                                                                                                  \
        .key = name, .type = kind, .offset = offsetof(struct tag_doc, member), __VA_ARGS__                             \
    }
#define DAY_MS 86400000.0

const struct conf_row device_tag_rows[] = {
    ROW("id", CONF_STRING, id, .is_required = true, .help = "letters, digits, '_', '-' and '.', at most 64"),
    ROW("name", CONF_STRING, name, .help = "name for people"),
    ROW("description", CONF_STRING, description, .help = "what it is"),
    ROW("address", CONF_STRING, address, .help = "address in the notation of the protocol"),
    ROW("array", CONF_INT, array, .min = 1, .max = DEVICE_TAGS_MAX,
        .help = "so many elements, a tag each: id.0, id.1, ..."),
    ROW("data_type", CONF_STRING, data_type, .help = "type on the device: bool, int16, float32, ..."),
    ROW("scale_factor", CONF_DOUBLE, scale_factor, .def = "1", .help = "value = raw * scale_factor + offset"),
    ROW("offset", CONF_DOUBLE, offset, .def = "0", .help = "value = raw * scale_factor + offset"),
    ROW("unit", CONF_STRING, unit, .help = "engineering unit of the scaled value"),
    ROW("target_unit", CONF_STRING, target_unit, .help = "unit that is sent; the value is converted from unit"),
    ROW("expression", CONF_STRING, expression,
        .help = "Lua over `value`, or without an address over other tags: flow * density"),
    ROW("clamp_min", CONF_DOUBLE, clamp_min, .help = "lower values are set to this and marked uncertain"),
    ROW("clamp_max", CONF_DOUBLE, clamp_max, .help = "higher values are set to this and marked uncertain"),
    ROW("enum", CONF_NODE, enums, .help = "text for each number"),
    ROW("deadband", CONF_DOUBLE, deadband, .def = "0", .max = 1e300, .help = "smaller changes are not sent"),
    ROW("deadband_type", CONF_ENUM, deadband_type, .def = "absolute",
        .choices = "none|absolute|percent|percent_of_range",
        .help = "percent: of the last value sent; percent_of_range: of clamp_max - clamp_min"),
    ROW("max_silence", CONF_DURATION, max_silence_ms, .def = "0", .max = 30 * DAY_MS,
        .help = "a value is sent at least this often, although it did not change; 0: never"),
    ROW("poll_interval", CONF_DURATION, poll_interval_ms, .min = 10, .max = DAY_MS, .help = "default: the device's"),
    ROW("access_mode", CONF_ENUM, access_mode, .def = "read", .choices = "read|write|readwrite",
        .help = "whether it is read, may be written, or both"),
    ROW("priority", CONF_ENUM, priority, .def = "telemetry", .choices = "telemetry|control|safety|0|1|2",
        .help = "what is served first"),
    ROW("topic_suffix", CONF_STRING, topic_suffix, .help = "topic below the uns_prefix; default: the id"),
    ROW("enabled", CONF_BOOL, is_enabled, .def = "true", .help = "false: neither read nor written"),
    ROW("adaptive", CONF_NODE, adaptive,
        .help = "polled faster while it changes: {min_interval: 200ms, max_interval: 10s}"),
    ROW("aggregate", CONF_NODE, aggregate, .help = "windows of it: {window: 10s, functions: [min, max, avg]}"),
    ROW("publish", CONF_NODE, publish, .help = "how often it is sent: {min_interval: 1s}"),
    CONF_ROW_END,
};

#define PART(doc, name, kind, member, ...)                                                                             \
    {                                                                                                                  \
        .key = name, .type = kind, .offset = offsetof(struct doc, member), __VA_ARGS__                                 \
    }

const struct conf_row device_adaptive_rows[] = {
    PART(adaptive_doc, "min_interval", CONF_DURATION, min_ms, .is_required = true, .min = 10, .max = DAY_MS,
         .help = "while the value changes"),
    PART(adaptive_doc, "max_interval", CONF_DURATION, max_ms, .is_required = true, .min = 10, .max = DAY_MS,
         .help = "while it does not"),
    CONF_ROW_END,
};

const struct conf_row device_aggregate_rows[] = {
    PART(aggregate_doc, "window", CONF_DURATION, window_ms, .is_required = true, .min = 100, .max = DAY_MS,
         .help = "length; windows begin at whole multiples of it"),
    PART(aggregate_doc, "functions", CONF_NODE, functions, .is_required = true,
         .help = "of min, max, avg, stddev, count, first, last, time_avg"),
    PART(aggregate_doc, "raw", CONF_BOOL, raw, .def = "true", .help = "false: the tag itself is not sent"),
    CONF_ROW_END,
};

const struct conf_row device_publish_rows[] = {
    PART(publish_doc, "min_interval", CONF_DURATION, min_interval_ms, .def = "0", .max = DAY_MS,
         .help = "changes are sent at most this often"),
    CONF_ROW_END,
};

static bool
is_given(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = conf_get(map, key);

    return n && n->kind != CONF_NULL;
}

const struct conf_node *
device_place_of(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = conf_get(map, key);

    return n ? n : map;
}

/* --- enum --- */

static int
by_value(const void *a, const void *b)
{
    const struct tag_enum *x = a, *y = b;

    return x->value < y->value ? -1 : x->value > y->value;
}

static enum nx_err
read_enum(struct arena *a, const struct conf_node *node, struct tag *t, struct nx_note *why)
{
    if (node->kind == CONF_SCALAR || node->count == 0 || node->count > DEVICE_ENUMS_MAX)
        return conf_fail(node, why, "write {0: stopped, 1: running} or a list of at most %u texts", DEVICE_ENUMS_MAX);
    struct tag_enum *enums = arena_alloc(a, node->count * sizeof *enums);
    for (const struct conf_node *c = node->child; c; c = c->next) {
        struct tag_enum *e = &enums[t->enum_count];

        e->value = t->enum_count;
        if (c->kind != CONF_SCALAR || c->text[0] == '\0')
            return conf_fail(c, why, "the text for a number is expected here");
        if (node->kind == CONF_MAP && !num_i64(slice_str(c->key), &e->value))
            return conf_fail(c, why, "'%s' is not a whole number; write number: text", c->key);
        e->text = arena_strdup(a, c->text);
        t->enum_count++;
    }
    qsort(enums, t->enum_count, sizeof *enums, by_value);
    for (unsigned i = 1; i < t->enum_count; i++) {
        if (enums[i].value == enums[i - 1].value)
            return conf_fail(node, why, "the number %lld has two texts", (long long)enums[i].value);
    }
    t->enums = enums;
    return NX_OK;
}

/* --- what a tag means --- */

static enum nx_err
read_type(const struct tag_doc *doc, const struct conf_node *map, struct tag *t, struct nx_note *why)
{
    const char *names[NX_DT_COUNT];

    if (!doc->data_type && doc->address)
        return conf_fail(map, why, "'data_type' is missing: type on the device: bool, int16, float32, ...");
    t->data_type = doc->data_type ? data_type_parse(doc->data_type) : NX_DT_FLOAT64;
    if (t->data_type != NX_DT_COUNT)
        return NX_OK;
    for (unsigned i = 0; i < NX_DT_COUNT; i++)
        names[i] = data_type_name((enum nx_data_type)i);
    const char *near = num_near_miss(doc->data_type, names, NX_DT_COUNT);
    return conf_fail(device_place_of(map, "data_type"), why, "unknown data type '%s'. %s%s%s", doc->data_type,
                     near ? "Did you mean '" : "Use bool, int8 to uint64, float32, float64 or string", near ? near : "",
                     near ? "'?" : "");
}

static enum nx_err
check_numbers(const struct tag *t, const struct conf_node *map, struct nx_note *why)
{
    bool is_number = t->data_type != NX_DT_STRING && t->data_type != NX_DT_BOOL;

    if (t->scale_factor == 0)
        return conf_fail(device_place_of(map, "scale_factor"), why, "a scale_factor of 0 makes every value 0");
    if (!is_number && t->is_scaled)
        return conf_fail(device_place_of(map, "scale_factor"), why,
                         "a %s cannot be scaled: remove scale_factor and offset", data_type_name(t->data_type));
    if (!is_number && (t->has_clamp_min || t->has_clamp_max || t->deadband != 0))
        return conf_fail(map, why, "clamp_min, clamp_max and deadband are for numbers, not for a %s",
                         data_type_name(t->data_type));
    if (t->has_clamp_min && t->has_clamp_max && t->clamp_min > t->clamp_max)
        return conf_fail(device_place_of(map, "clamp_min"), why, "clamp_min is above clamp_max");
    if (t->deadband_type != DEADBAND_NONE && t->deadband_type != DEADBAND_ABSOLUTE && t->deadband > 100)
        return conf_fail(device_place_of(map, "deadband"), why, "a deadband in percent is at most 100");
    if (t->deadband_type == DEADBAND_RANGE && !(t->has_clamp_min && t->has_clamp_max))
        return conf_fail(device_place_of(map, "deadband_type"), why,
                         "percent_of_range needs clamp_min and clamp_max: they are the range");
    if (t->enum_count && t->data_type == NX_DT_STRING)
        return conf_fail(device_place_of(map, "enum"), why,
                         "enum gives texts to numbers; this tag is a string already");
    return NX_OK;
}

static void
take_settings(const struct tag_doc *doc, const struct conf_node *map, struct tag *t)
{
    t->id = t->base_id = doc->id;
    t->kind = !doc->address && doc->expression ? TAG_CALC : TAG_POLLED;
    t->name = doc->name ? doc->name : doc->id;
    t->description = doc->description ? doc->description : "";
    t->scale_factor = doc->scale_factor;
    t->offset = doc->offset;
    t->is_scaled = doc->scale_factor != 1 || doc->offset != 0;
    t->unit = doc->target_unit ? doc->target_unit : doc->unit ? doc->unit : "";
    t->has_clamp_min = is_given(map, "clamp_min");
    t->has_clamp_max = is_given(map, "clamp_max");
    t->clamp_min = doc->clamp_min;
    t->clamp_max = doc->clamp_max;
    t->deadband = doc->deadband;
    t->deadband_type = doc->deadband > 0 ? (enum deadband_type)doc->deadband_type : DEADBAND_NONE;
    t->max_silence_ms = doc->max_silence_ms;
    t->poll_interval_ms = doc->poll_interval_ms;
    t->access_mode = (enum access_mode)doc->access_mode;
    t->priority = (enum tag_priority)(doc->priority % 3);
    t->topic_suffix = doc->topic_suffix ? doc->topic_suffix : doc->id;
    t->is_enabled = doc->is_enabled;
}

/* scale_factor, offset and the conversion of the unit are one line: one multiplication a value. */
static enum nx_err
read_line(const struct tag_doc *doc, const struct conf_node *map, struct tag *t, struct nx_note *why)
{
    struct ratio slope = ratio_of(1, 1), shift = ratio_of(0, 1);
    struct nx_note inner = {0};

    if (doc->target_unit && !doc->unit)
        return conf_fail(device_place_of(map, "target_unit"), why,
                         "target_unit needs unit: the one that the scaled value is in");
    if (doc->target_unit && unit_convert(doc->unit, doc->target_unit, &slope, &shift, &inner) != NX_OK)
        return conf_fail(device_place_of(map, "target_unit"), why, "%s", inner.text);
    struct ratio offset = ratio_mul(ratio_of_decimal(doc->offset), slope);
    t->line = line_make(ratio_mul(ratio_of_decimal(doc->scale_factor), slope), ratio_add(offset, shift));
    t->is_scaled = !line_is_identity(&t->line) || doc->scale_factor != 1 || doc->offset != 0;
    return NX_OK;
}

/* A tag without an address has no raw value that could be scaled, polled or written. */
static enum nx_err
check_kind(const struct tag_doc *doc, const struct conf_node *map, const struct tag *t, struct nx_note *why)
{
    static const char *const polled[] = {"scale_factor", "offset", "target_unit", "array", "adaptive", "poll_interval"};

    if (doc->expression && t->access_mode != ACCESS_READ)
        return conf_fail(device_place_of(map, "access_mode"), why,
                         "a tag with an expression cannot be written: nobody knows the way back. Remove access_mode");
    for (size_t i = 0; t->kind == TAG_CALC && i < MEM_COUNT(polled); i++) {
        if (is_given(map, polled[i]))
            return conf_fail(conf_get(map, polled[i]), why,
                             "'%s' is for tags with an address: remove it, or put it into the expression", polled[i]);
    }
    return NX_OK;
}

/* --- sections --- */

static enum nx_err
read_section(struct arena *a, const struct conf_node *node, const struct conf_row *rows, const char *sample, void *doc,
             struct nx_note *why)
{
    if (node->kind != CONF_MAP)
        return conf_fail(node, why, "write %s", sample);
    return conf_fill(a, rows, node, doc, why);
}

static bool
is_section(const struct conf_node *node)
{
    return node && node->kind != CONF_NULL;
}

static enum nx_err
read_adaptive(struct arena *a, const struct conf_node *node, struct tag *t, struct nx_note *why)
{
    struct adaptive_doc doc = {0};
    enum nx_err err;

    if (!is_section(node))
        return NX_OK;
    if ((err = read_section(a, node, device_adaptive_rows, "{min_interval: 200ms, max_interval: 10s}", &doc, why)) !=
        NX_OK)
        return err;
    if (doc.min_ms >= doc.max_ms)
        return conf_fail(node, why, "min_interval must be shorter than max_interval");
    t->adaptive_min_ms = doc.min_ms;
    t->adaptive_max_ms = doc.max_ms;
    return NX_OK;
}

static enum nx_err
add_function(const struct conf_node *node, unsigned *functions, struct nx_note *why)
{
    const char *names[TAG_FUNCTION_COUNT];

    for (unsigned f = 0; f < TAG_FUNCTION_COUNT; f++) {
        names[f] = tag_function_name((enum tag_function)f);
        if (node->kind == CONF_SCALAR && strcmp(node->text, names[f]) == 0) {
            *functions |= 1u << f;
            return NX_OK;
        }
    }
    const char *near = node->kind == CONF_SCALAR ? num_near_miss(node->text, names, TAG_FUNCTION_COUNT) : NULL;
    return conf_fail(node, why, "%s%s%s",
                     near ? "unknown function. Did you mean '" : "write functions of: min, max, avg, ",
                     near ? near : "stddev, count, first, last, time_avg", near ? "'?" : "");
}

static enum nx_err
read_aggregate(struct arena *a, const struct conf_node *node, struct tag_draft *draft, struct nx_note *why)
{
    struct aggregate_doc doc = {0};
    enum nx_err err;

    if (!is_section(node))
        return NX_OK;
    if ((err = read_section(a, node, device_aggregate_rows, "{window: 10s, functions: [min, max, avg]}", &doc, why)) !=
        NX_OK)
        return err;
    if (draft->tag.data_type == NX_DT_STRING || draft->tag.enum_count > 0)
        return conf_fail(node, why, "texts have no minimum and no average: remove aggregate");
    if (!doc.functions)
        return conf_fail(node, why, "'functions' is missing: name at least one, such as avg");
    if (doc.functions->kind == CONF_SCALAR)
        err = add_function(doc.functions, &draft->functions, why);
    for (const struct conf_node *c = doc.functions->child; c && err == NX_OK; c = c->next)
        err = add_function(c, &draft->functions, why);
    if (err == NX_OK && draft->functions == 0)
        err = conf_fail(doc.functions, why, "name at least one function, such as avg");
    draft->tag.window_ms = doc.window_ms;
    draft->tag.is_silent = !doc.raw;
    return err;
}

static enum nx_err
read_publish(struct arena *a, const struct conf_node *node, struct tag *t, struct nx_note *why)
{
    struct publish_doc doc = {0};
    enum nx_err err;

    if (!is_section(node))
        return NX_OK;
    if ((err = read_section(a, node, device_publish_rows, "{min_interval: 1s}", &doc, why)) == NX_OK)
        t->min_interval_ms = doc.min_interval_ms;
    return err;
}

/* --- all of it --- */

/* The address, also under the names that documents of one protocol use for it. */
static const char *
address_of(const struct tag_doc *doc, const struct conf_node *map)
{
    static const char *const others[] = {"opc_node_id", "s7_address"};

    for (size_t i = 0; !doc->address && i < MEM_COUNT(others); i++) {
        const struct conf_node *n = conf_get(map, others[i]);

        if (n && n->kind == CONF_SCALAR)
            return n->text;
    }
    return doc->address;
}

static enum nx_err
read_keys(struct device *d, const struct conf_node *map, struct arena *scratch, struct tag_doc *doc, struct tag *t,
          struct nx_note *why)
{
    static const struct nx_param no_params[] = {{.key = NULL}};
    const struct nx_param *params = d->driver->tag_params ? d->driver->tag_params : no_params;
    struct nx_settings *settings;
    struct conf_node *own;
    enum nx_err err;

    if ((err = device_split(scratch, map, device_tag_rows, params, &own, why)) != NX_OK ||
        (err = conf_fill(&d->arena, device_tag_rows, own, doc, why)) != NX_OK ||
        (err = conf_settings(&d->arena, params, map, device_known_keys(scratch, device_tag_rows), &settings, why)) !=
            NX_OK)
        return err;
    t->settings = settings;
    if (!device_id_is_valid(doc->id))
        return conf_fail(device_place_of(map, "id"), why,
                         "'%s' is not an id: use 1 to 64 letters, digits, '_', '-', '.'", doc->id);
    doc->address = address_of(doc, map);
    if (!doc->address && !doc->expression)
        return conf_fail(map, why, "'address' is missing: the place of the value on the device");
    return NX_OK;
}

enum nx_err
device_read_tag(struct device *d, const struct conf_node *map, struct arena *scratch, struct tag_draft *out,
                struct nx_note *why)
{
    struct tag_doc doc = {0};
    struct tag *t = &out->tag;
    enum nx_err err;

    *out = (struct tag_draft){.functions = 0};
    if ((err = read_keys(d, map, scratch, &doc, t, why)) != NX_OK)
        return err;
    take_settings(&doc, map, t);
    if ((err = read_type(&doc, map, t, why)) != NX_OK ||
        (is_section(doc.enums) && (err = read_enum(&d->arena, doc.enums, t, why)) != NX_OK) ||
        (err = check_kind(&doc, map, t, why)) != NX_OK || (err = read_line(&doc, map, t, why)) != NX_OK ||
        (err = check_numbers(t, map, why)) != NX_OK || (err = read_adaptive(scratch, doc.adaptive, t, why)) != NX_OK ||
        (err = read_aggregate(scratch, doc.aggregate, out, why)) != NX_OK ||
        (err = read_publish(scratch, doc.publish, t, why)) != NX_OK)
        return err;
    if (t->deadband_type == DEADBAND_RANGE) {
        t->deadband *= (t->clamp_max - t->clamp_min) / 100;
        t->deadband_type = DEADBAND_ABSOLUTE;
    }
    out->address = doc.address;
    out->expression = doc.expression;
    out->elements = (uint32_t)doc.array;
    return NX_OK;
}
