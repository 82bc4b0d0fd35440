#include "gateway/command_parse.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <jansson.h>
#include <stdio.h>

static bool
take_level(struct slice *s, struct slice *level)
{
    const uint8_t *slash = s->len ? memchr(s->p, '/', s->len) : NULL;

    if (s->len == 0)
        return false;
    *level = slice(s->p, slash ? (size_t)(slash - s->p) : s->len);
    *s = slice_skip(*s, level->len + (slash != NULL));
    return level->len > 0;
}

bool
command_parse_topic(struct arena *a, const char *prefix, struct slice topic, const char **device, const char **tag)
{
    struct slice dev, second, third;

    if (!slice_starts_with(topic, slice_str(prefix)))
        return false;
    topic = slice_skip(topic, strlen(prefix));
    if (!slice_starts_with(topic, slice_str("/cmd/")))
        return false;
    topic = slice_skip(topic, strlen("/cmd/"));
    if (!take_level(&topic, &dev) || slice_eq_str(dev, "response") || !take_level(&topic, &second))
        return false;
    *device = arena_strndup(a, dev.p, dev.len);
    *tag = NULL;
    if (topic.len == 0)
        return slice_eq_str(second, "write");
    if (!take_level(&topic, &third) || topic.len != 0 || !slice_eq_str(third, "set"))
        return false;
    *tag = arena_strndup(a, second.p, second.len);
    return true;
}

static bool
value_of_json(struct arena *a, const json_t *json, struct nx_value *out)
{
    switch (json_typeof(json)) {
    case JSON_TRUE:
    case JSON_FALSE:
        *out = nx_value_bool(json_is_true(json));
        return true;
    case JSON_INTEGER:
        *out = nx_value_int(json_integer_value(json));
        return true;
    case JSON_REAL:
        *out = nx_value_double(json_real_value(json));
        return true;
    case JSON_STRING:
        if (json_string_length(json) > NX_STRING_MAX)
            return false;
        *out = nx_value_string(arena_strndup(a, json_string_value(json), json_string_length(json)),
                               json_string_length(json));
        return true;
    default:
        return false;
    }
}

static enum nx_err
bad_value(const char *tag, struct nx_note *why)
{
    return nx_fail(why, NX_E_VALUE,
                   "command for tag %s: 'value' must be a number, true, false or a text of at most %u "
                   "bytes",
                   tag, NX_STRING_MAX);
}

static enum nx_err
read_item(struct arena *a, const char *tag, const json_t *value, const json_t *expected, struct command_text *out,
          struct nx_note *why)
{
    struct command_item *item = &out->items[out->count];

    item->tag = arena_strdup(a, tag);
    if (!value || !value_of_json(a, value, &item->value))
        return bad_value(tag, why);
    if (expected && !json_is_null(expected)) {
        if (!value_of_json(a, expected, &item->expected))
            return nx_fail(why, NX_E_VALUE, "command for tag %s: 'expected' must be a number, true, false or a text",
                           tag);
        item->has_expected = true;
    }
    out->count++;
    return NX_OK;
}

static enum nx_err
read_values(struct arena *a, const json_t *values, struct command_text *out, struct nx_note *why)
{
    const char *tag;
    json_t *value;

    if (json_object_size(values) > COMMAND_TAGS_MAX)
        return nx_fail(why, NX_E_TOO_LARGE, "a command may write at most %u tags", COMMAND_TAGS_MAX);
    out->items = arena_alloc(a, (json_object_size(values) + 1) * sizeof *out->items);
    json_object_foreach ((json_t *)(uintptr_t)values, tag, value) {
        enum nx_err err = read_item(a, tag, value, NULL, out, why);
        if (err != NX_OK)
            return err;
    }
    return NX_OK;
}

static enum nx_err
read_tags(struct arena *a, const json_t *tags, struct command_text *out, struct nx_note *why)
{
    size_t i;
    json_t *item;

    if (json_array_size(tags) > COMMAND_TAGS_MAX)
        return nx_fail(why, NX_E_TOO_LARGE, "a command may write at most %u tags", COMMAND_TAGS_MAX);
    out->items = arena_alloc(a, (json_array_size(tags) + 1) * sizeof *out->items);
    json_array_foreach (tags, i, item) {
        const char *tag = json_string_value(json_object_get(item, "tag_id"));
        if (!tag)
            tag = json_string_value(json_object_get(item, "id"));
        if (!tag)
            return nx_fail(why, NX_E_VALUE, "command: tags[%zu] has no 'tag_id'", i);
        enum nx_err err =
            read_item(a, tag, json_object_get(item, "value"), json_object_get(item, "expected"), out, why);
        if (err != NX_OK)
            return err;
    }
    return NX_OK;
}

static enum nx_err
read_priority(const json_t *json, struct command_text *out, struct nx_note *why)
{
    static const char *const words[] = {"telemetry", "control", "safety"};
    const char *word = json_string_value(json);

    for (unsigned i = 0; i < MEM_COUNT(words); i++)
        if ((word && strcmp(word, words[i]) == 0) || (json_is_integer(json) && json_integer_value(json) == i)) {
            out->priority = i;
            return NX_OK;
        }
    return nx_fail(why, NX_E_VALUE, "command: 'priority' must be telemetry, control or safety (or 0, 1, 2)");
}

/* A number of milliseconds above 0; absent: 0. */
static enum nx_err
read_ms(const json_t *json, const char *key, int64_t *out, struct nx_note *why)
{
    const json_t *value = json_object_get(json, key);
    double ms = json_number_value(value);

    if (!value || json_is_null(value))
        return NX_OK;
    if (!json_is_number(value) || !(ms >= 1 && ms <= 9e15))
        return nx_fail(why, NX_E_VALUE, "command: '%s' must be a number of milliseconds above 0", key);
    *out = (int64_t)ms;
    return NX_OK;
}

static enum nx_err
read_envelope(struct arena *a, const json_t *json, struct command_text *out, struct nx_note *why)
{
    const json_t *priority = json_object_get(json, "priority");
    enum nx_err err;
    const json_t *id = json_object_get(json, "id");
    char number[32];

    if (json_is_string(id)) {
        out->id = arena_strndup(a, json_string_value(id), utf8_cut(slice_str(json_string_value(id)), 128));
    } else if (json_is_integer(id)) {
        (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(id));
        out->id = arena_strdup(a, number);
    }
    if ((err = read_ms(json, "ttl_ms", &out->ttl_ms, why)) != NX_OK ||
        (err = read_ms(json, "timestamp", &out->timestamp_ms, why)) != NX_OK)
        return err;
    return priority ? read_priority(priority, out, why) : NX_OK;
}

static enum nx_err
read_object(struct arena *a, const char *tag, const json_t *json, struct command_text *out, struct nx_note *why)
{
    enum nx_err err = read_envelope(a, json, out, why);

    if (err != NX_OK)
        return err;
    if (tag) {
        out->items = arena_alloc(a, sizeof *out->items);
        return read_item(a, tag, json_object_get(json, "value"), json_object_get(json, "expected"), out, why);
    }
    if (json_is_object(json_object_get(json, "values")))
        return read_values(a, json_object_get(json, "values"), out, why);
    if (json_is_array(json_object_get(json, "tags")))
        return read_tags(a, json_object_get(json, "tags"), out, why);
    return nx_fail(why, NX_E_VALUE,
                   "a write of several tags needs \"values\": {\"tag\": value} or \"tags\": "
                   "[{\"tag_id\": .., \"value\": ..}]");
}

static enum nx_err
read_bare(struct arena *a, const char *tag, const json_t *json, struct slice payload, struct command_text *out,
          struct nx_note *why)
{
    if (!tag)
        return nx_fail(why, NX_E_VALUE, "a write of several tags must be a JSON object");
    out->items = arena_alloc(a, sizeof *out->items);
    if (json)
        return read_item(a, tag, json, NULL, out, why);
    if (payload.len == 0 || payload.len > NX_STRING_MAX || !utf8_is_valid(payload))
        return bad_value(tag, why);
    out->items[0] =
        (struct command_item){.tag = arena_strdup(a, tag),
                              .value = nx_value_string(arena_strndup(a, payload.p, payload.len), payload.len)};
    out->count = 1;
    return NX_OK;
}

enum nx_err
command_parse_payload(struct arena *a, const char *tag, struct slice payload, struct command_text *out,
                      struct nx_note *why)
{
    out->priority = 1;
    if (payload.len > COMMAND_PAYLOAD_MAX)
        return nx_fail(why, NX_E_TOO_LARGE, "a command may have at most %u bytes", COMMAND_PAYLOAD_MAX);
    json_t *json = payload.len == 0 ? NULL
                                    : json_loadb((const char *)payload.p, payload.len,
                                                 JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    enum nx_err err =
        json_is_object(json) ? read_object(a, tag, json, out, why) : read_bare(a, tag, json, payload, out, why);
    json_decref(json);
    return err;
}
