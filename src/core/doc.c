#include "core/doc.h"

#include "core/api.h"

static const char *
dump(struct arena *a, const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    const char *copy = arena_strdup(a, text ? text : "{}");

    free(text);
    return copy;
}

json_t *
doc_settings(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);

    return json ? json : json_object();
}

/* --- reading -------------------------------------------------------------------------------------------------------
 */

/* The tag that was written under this id: itself, or the first element of its array. */
static const struct tag *
written_as(const struct device *d, const char *id)
{
    const struct tag *tag = device_tag(d, id);

    for (unsigned i = 0; !tag && i < d->tag_count; i++) {
        if (strcmp(d->tags[i].base_id, id) == 0)
            tag = &d->tags[i];
    }
    return tag;
}

static void
tag_row(struct arena *a, const struct device *d, const json_t *json, struct store_tag *row)
{
    const char *id = json_string_value(json_object_get(json, "id"));
    const struct tag *tag = written_as(d, id ? id : "");

    *row = (struct store_tag){.device_id = arena_strdup(a, d->id), .settings = dump(a, json)};
    if (!tag)
        return;
    row->id = arena_strdup(a, tag->base_id);
    row->topic = arena_strdup(a, tag->topic);
    row->data_type = data_type_name(tag->data_type);
    row->unit = tag->unit ? arena_strdup(a, tag->unit) : NULL;
}

static void
first_tag_facts(const struct device *d, struct doc *out)
{
    const struct tag *tag = &d->tags[0];

    if (d->tag_count == 0)
        return;
    out->access = tag->access_mode;
    out->is_text = tag->data_type == NX_DT_STRING;
    out->is_number = !out->is_text && tag->data_type != NX_DT_BOOL;
    out->has_enums = tag->enum_count > 0;
}

static void
rows_from_device(struct arena *a, const struct device *d, struct doc *out)
{
    char *text = device_json(d);
    json_t *json = doc_settings(text);
    const json_t *tags = json_object_get(json, "tags");
    size_t i;
    json_t *tag;

    *out = (struct doc){.tag_count = json_array_size(tags)};
    out->tags = arena_alloc(a, (out->tag_count + 1) * sizeof *out->tags);
    json_array_foreach (tags, i, tag)
        tag_row(a, d, tag, &out->tags[i]);
    json_object_del(json, "tags");
    out->device = (struct store_device){.id = arena_strdup(a, d->id),
                                        .protocol = arena_strdup(a, d->driver->name),
                                        .name = d->name ? arena_strdup(a, d->name) : NULL,
                                        .is_enabled = d->is_enabled,
                                        .settings = dump(a, json),
                                        .tag_count = (uint32_t)out->tag_count};
    first_tag_facts(d, out);
    json_decref(json);
    free(text);
}

enum nx_err
doc_read(const struct device_options *opt, const json_t *doc, struct arena *a, struct doc *out, struct nx_note *why)
{
    struct device *d = NULL;
    enum nx_err err = device_read(opt, conf_from_json(a, doc, "body"), &d, why);

    if (err != NX_OK)
        return err;
    rows_from_device(a, d, out);
    device_unref(&d);
    return NX_OK;
}

enum nx_err
doc_read_tag(const struct device_options *opt, const struct store_device *dev, const json_t *tag, struct arena *a,
             struct doc *out, struct nx_note *why)
{
    json_t *doc = doc_settings(dev->settings);
    struct device_options one = *opt;
    enum nx_err err;

    one.is_partial = true; /* its expression may name tags that stand elsewhere */
    json_object_set_new(doc, "tags", json_pack("[O]", tag));
    err = doc_read(&one, doc, a, out, why);
    json_decref(doc);
    return err;
}

/* --- showing
 * ---------------------------------------------------------------------------------------------------------- */

static void
show_etag(json_t *shown, uint64_t version)
{
    char etag[API_ETAG_CAP];

    api_etag(version, etag);
    json_object_set_new(shown, "etag", json_string(etag));
}

json_t *
doc_show_device(struct core *core, const struct store_device *dev)
{
    json_t *shown = doc_settings(dev->settings);

    json_object_set_new(shown, "enabled", json_boolean(dev->is_enabled));
    if (!json_object_get(shown, "connection"))
        json_object_set_new(shown, "connection", json_object());
    json_object_set_new(shown, "version", json_integer((json_int_t)dev->version));
    show_etag(shown, dev->settings_version);
    json_object_set_new(shown, "tag_count", json_integer(dev->tag_count));
    json_object_set_new(shown, "created_at", api_time(dev->created_us));
    json_object_set_new(shown, "updated_at", api_time(dev->updated_us));
    json_object_set_new(shown, "status", status_device(core->status, dev->id, dev->is_enabled));
    return shown;
}

static void
show_value(json_t *shown, const struct live_point *point)
{
    bool has_value = point && point->has_value;

    json_object_set_new(shown, "value", has_value ? api_value(&point->value, point->quality) : json_null());
    json_object_set_new(shown, "quality", has_value ? json_integer(point->quality) : json_null());
    json_object_set_new(shown, "timestamp", has_value ? api_time(point->time_us) : json_null());
}

json_t *
doc_show_tag(struct core *core, const struct store_tag *tag, struct arena *a)
{
    json_t *shown = doc_settings(tag->settings);
    struct live_point point;
    bool is_live = live_get(core->live, tag->topic, a, &point);

    json_object_set_new(shown, "device_id", json_string(tag->device_id));
    json_object_set_new(shown, "topic", json_string(tag->topic));
    json_object_set_new(shown, "data_type", json_string(tag->data_type));
    if (!json_object_get(shown, "enabled"))
        json_object_set_new(shown, "enabled", json_true());
    json_object_set_new(shown, "version", json_integer((json_int_t)tag->version));
    show_etag(shown, tag->version);
    show_value(shown, is_live ? &point : NULL);
    return shown;
}
