/* device_tag.c -- the tags of a device. */
#include "base/mem.h"
#include "base/num.h"
#include "model/device_priv.h"
#include "model/topic.h"

#include <stdlib.h>
#include <string.h>

/* A tag as it is written. */
struct tag_doc {
    const char *id, *name, *description, *address, *data_type, *unit, *topic_suffix;
    double scale_factor, offset, clamp_min, clamp_max, deadband;
    int64_t poll_interval_ms, max_silence_ms;
    int deadband_type, access_mode, priority;
    bool is_enabled;
    const struct conf_node *enums, *later;
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
    ROW("data_type", CONF_STRING, data_type, .is_required = true,
        .help = "type on the device: bool, int16, float32, ..."),
    ROW("scale_factor", CONF_DOUBLE, scale_factor, .def = "1", .help = "value = raw * scale_factor + offset"),
    ROW("offset", CONF_DOUBLE, offset, .def = "0", .help = "value = raw * scale_factor + offset"),
    ROW("unit", CONF_STRING, unit, .help = "engineering unit"),
    ROW("clamp_min", CONF_DOUBLE, clamp_min, .help = "lower values are set to this and marked uncertain"),
    ROW("clamp_max", CONF_DOUBLE, clamp_max, .help = "higher values are set to this and marked uncertain"),
    ROW("enum", CONF_NODE, enums, .help = "text for each number"),
    ROW("deadband", CONF_DOUBLE, deadband, .def = "0", .max = 1e300, .help = "smaller changes are not sent"),
    ROW("deadband_type", CONF_ENUM, deadband_type, .def = "absolute", .choices = "none|absolute|percent",
        .help = "percent: of the last value sent"),
    ROW("max_silence", CONF_DURATION, max_silence_ms, .def = "0", .max = 30 * DAY_MS,
        .help = "a value is sent at least this often, although it did not change; 0: never"),
    ROW("poll_interval", CONF_DURATION, poll_interval_ms, .min = 10, .max = DAY_MS, .help = "default: the device's"),
    ROW("access_mode", CONF_ENUM, access_mode, .def = "read", .choices = "read|write|readwrite",
        .help = "whether it is read, may be written, or both"),
    ROW("priority", CONF_ENUM, priority, .def = "telemetry", .choices = "telemetry|control|safety|0|1|2",
        .help = "what is served first"),
    ROW("topic_suffix", CONF_STRING, topic_suffix, .help = "topic below the uns_prefix; default: the id"),
    ROW("enabled", CONF_BOOL, is_enabled, .def = "true", .help = "false: neither read nor written"),
    ROW("target_unit", CONF_NODE, later, .help = ""),
    ROW("expression", CONF_NODE, later, .help = ""),
    ROW("adaptive", CONF_NODE, later, .help = ""),
    ROW("aggregate", CONF_NODE, later, .help = ""),
    CONF_ROW_END,
};

static bool
is_given(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = conf_get(map, key);

    return n && n->kind != CONF_NULL;
}

/* The place of a key, or of the map when it is absent. */
static const struct conf_node *
place_of(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = conf_get(map, key);

    return n ? n : map;
}

/* A setting that has no effect must not look as if it had one. */
static enum nx_err
refuse_later(const struct conf_node *map, struct nx_note *why)
{
    static const char *const keys[] = {"target_unit", "expression", "adaptive", "aggregate"};

    for (size_t i = 0; i < MEM_COUNT(keys); i++) {
        const struct conf_node *n = conf_get(map, keys[i]);

        if (n && n->kind != CONF_NULL)
            return conf_fail(n, why, "'%s' is not available in this version: remove it", keys[i]);
    }
    return NX_OK;
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

    t->data_type = data_type_parse(doc->data_type);
    if (t->data_type != NX_DT_COUNT)
        return NX_OK;
    for (unsigned i = 0; i < NX_DT_COUNT; i++)
        names[i] = data_type_name((enum nx_data_type)i);
    const char *near = num_near_miss(doc->data_type, names, NX_DT_COUNT);
    return conf_fail(place_of(map, "data_type"), why, "unknown data type '%s'. %s%s%s", doc->data_type,
                     near ? "Did you mean '" : "Use bool, int8 to uint64, float32, float64 or string", near ? near : "",
                     near ? "'?" : "");
}

static enum nx_err
check_numbers(const struct tag *t, const struct conf_node *map, struct nx_note *why)
{
    bool is_number = t->data_type != NX_DT_STRING && t->data_type != NX_DT_BOOL;

    if (t->scale_factor == 0)
        return conf_fail(place_of(map, "scale_factor"), why, "a scale_factor of 0 makes every value 0");
    if (!is_number && t->is_scaled)
        return conf_fail(place_of(map, "scale_factor"), why, "a %s cannot be scaled: remove scale_factor and offset",
                         data_type_name(t->data_type));
    if (!is_number && (t->has_clamp_min || t->has_clamp_max || t->deadband != 0))
        return conf_fail(map, why, "clamp_min, clamp_max and deadband are for numbers, not for a %s",
                         data_type_name(t->data_type));
    if (t->has_clamp_min && t->has_clamp_max && t->clamp_min > t->clamp_max)
        return conf_fail(place_of(map, "clamp_min"), why, "clamp_min is above clamp_max");
    if (t->deadband_type == DEADBAND_PERCENT && t->deadband > 100)
        return conf_fail(place_of(map, "deadband"), why, "a deadband in percent is at most 100");
    if (t->enum_count && t->data_type == NX_DT_STRING)
        return conf_fail(place_of(map, "enum"), why, "enum gives texts to numbers; this tag is a string already");
    return NX_OK;
}

static void
take_settings(const struct tag_doc *doc, const struct conf_node *map, struct tag *t)
{
    t->id = doc->id;
    t->name = doc->name ? doc->name : doc->id;
    t->description = doc->description ? doc->description : "";
    t->scale_factor = doc->scale_factor;
    t->offset = doc->offset;
    t->is_scaled = doc->scale_factor != 1 || doc->offset != 0;
    t->unit = doc->unit ? doc->unit : "";
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
read_address(struct device *d, const char *address, const struct conf_node *map, struct tag *t, struct nx_note *why)
{
    const struct conf_node *count = conf_get(map, "register_count");
    uint64_t n = 0;
    struct nx_addr_info info = {0};
    struct nx_note inner = {0};

    if (!address)
        return conf_fail(map, why, "'address' is missing: the place of the value on the device");
    if (count && count->kind == CONF_SCALAR && num_u64(slice_str(count->text), &n) && n <= UINT32_MAX)
        t->count = (uint32_t)n;
    void *addr = arena_alloc(&d->arena, d->driver->addr_size);
    struct nx_addr_spec spec = {.address = address,
                                .data_type = t->data_type,
                                .count = t->count,
                                .settings = t->settings};
    if (d->driver->addr_parse(&spec, addr, &info, &inner) != NX_OK)
        return conf_fail(place_of(map, "address"), why, "%s", inner.text);
    t->address = arena_strdup(&d->arena, address);
    t->canonical = arena_strdup(&d->arena, info.canonical);
    t->addr = addr;
    return NX_OK;
}

static enum nx_err
read_topic(struct device *d, const char *uns_root, const struct conf_node *map, struct tag *t, struct nx_note *why)
{
    char topic[TOPIC_MAX + 1];
    struct nx_note inner = {0};

    if (topic_build(uns_root, d->uns_prefix, t->topic_suffix, topic, sizeof topic, &inner) != NX_OK)
        return conf_fail(place_of(map, "topic_suffix"), why, "%s", inner.text);
    t->topic = arena_strdup(&d->arena, topic);
    return NX_OK;
}

/* scratch holds what is needed only while reading: a plant has 100,000 tags. */
static enum nx_err
read_tag(struct device *d, const char *uns_root, const struct conf_node *map, struct tag *t, struct arena *scratch,
         struct nx_note *why)
{
    static const struct nx_param no_params[] = {{.key = NULL}};
    const struct nx_param *params = d->driver->tag_params ? d->driver->tag_params : no_params;
    struct tag_doc doc = {0};
    struct nx_settings *settings;
    struct conf_node *own;
    enum nx_err err;

    if ((err = device_split(scratch, map, device_tag_rows, params, &own, why)) != NX_OK ||
        (err = refuse_later(map, why)) != NX_OK ||
        (err = conf_fill(&d->arena, device_tag_rows, own, &doc, why)) != NX_OK ||
        (err = conf_settings(&d->arena, params, map, device_known_keys(scratch, device_tag_rows), &settings, why)) !=
            NX_OK)
        return err;
    if (!device_id_is_valid(doc.id))
        return conf_fail(place_of(map, "id"), why, "'%s' is not an id: use 1 to 64 letters, digits, '_', '-', '.'",
                         doc.id);
    take_settings(&doc, map, t);
    t->settings = settings;
    if ((err = read_type(&doc, map, t, why)) != NX_OK)
        return err;
    if (doc.enums && doc.enums->kind != CONF_NULL && (err = read_enum(&d->arena, doc.enums, t, why)) != NX_OK)
        return err;
    if ((err = check_numbers(t, map, why)) != NX_OK || (err = read_topic(d, uns_root, map, t, why)) != NX_OK)
        return err;
    return read_address(d, address_of(&doc, map), map, t, why);
}

/* --- the list --- */

static int
by_id(const void *a, const void *b, void *arg)
{
    const struct tag *tags = arg;

    return strcmp(tags[*(const uint32_t *)a].id, tags[*(const uint32_t *)b].id);
}

static int
by_topic(const void *a, const void *b, void *arg)
{
    const struct tag *tags = arg;

    return strcmp(tags[*(const uint32_t *)a].topic, tags[*(const uint32_t *)b].topic);
}

static const struct conf_node *
nth(const struct conf_node *list, uint32_t i)
{
    const struct conf_node *c = list->child;

    while (i-- && c)
        c = c->next;
    return c;
}

/* Two tags with one id or one topic could not be told apart downstream. */
static enum nx_err
check_twins(const struct device *d, const struct conf_node *list, uint32_t *order, struct nx_note *why)
{
    static int (*const orders[])(const void *, const void *, void *) = {by_topic, by_id};
    static const char *const what[] = {"topic", "id"};

    for (size_t k = 0; k < 2; k++) {
        qsort_r(order, d->tag_count, sizeof *order, orders[k], (void *)(uintptr_t)d->tags);
        for (unsigned i = 1; i < d->tag_count; i++) {
            uint32_t first = order[i - 1] < order[i] ? order[i - 1] : order[i];

            if (orders[k](&order[i - 1], &order[i], (void *)(uintptr_t)d->tags) != 0)
                continue;
            return conf_fail(nth(list, order[i - 1] ^ order[i] ^ first), why,
                             "tags '%s' and '%s' have the same %s '%s'", d->tags[first].id,
                             d->tags[order[i - 1] ^ order[i] ^ first].id, what[k],
                             k ? d->tags[first].id : d->tags[first].topic);
        }
    }
    return NX_OK;
}

enum nx_err
device_read_tags(struct device *d, const char *uns_root, const struct conf_node *list, struct nx_note *why)
{
    struct arena scratch = {0};
    enum nx_err err = NX_OK;

    if (!list || list->kind == CONF_NULL)
        return NX_OK;
    if (list->kind != CONF_LIST)
        return conf_fail(list, why, "a list of tags is expected here");
    if (list->count > DEVICE_TAGS_MAX)
        return conf_fail(list, why, "%u tags; a device has at most %u", list->count, DEVICE_TAGS_MAX);
    struct tag *tags = arena_alloc(&d->arena, list->count * sizeof *tags);
    uint32_t *order = arena_alloc(&d->arena, list->count * sizeof *order);
    for (const struct conf_node *c = list->child; c && err == NX_OK; c = c->next) {
        order[d->tag_count] = d->tag_count;
        err = read_tag(d, uns_root, c, &tags[d->tag_count++], &scratch, why);
        arena_reset(&scratch);
    }
    arena_free(&scratch);
    d->tags = tags;
    d->tags_by_id = order;
    return err == NX_OK && d->tag_count ? check_twins(d, list, order, why) : err;
}
