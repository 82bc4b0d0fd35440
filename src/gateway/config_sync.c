#include "gateway/config_sync.h"

#include "base/file.h"
#include "base/mem.h"
#include "gateway/saver.h"

#include <jansson.h>
#include <stdlib.h>

#define CACHE_MAX_BYTES (256u << 20)
#define ASK_MIN_MS      1000u
#define ASK_MAX_MS      60000u
#define CACHE_DELAY_MS  2000u

struct config_sync {
    struct loop *loop;
    struct config_sync_conf conf;
    struct registry *registry;
    struct outlet out;
    bool is_done, is_whole;
    json_int_t parts_taken; /* of the set set_id; -1: one is missing, it removes nothing */
    char set_id[64];
    uint64_t ask_ms;
    struct loop_timer ask;
    struct saver *saver; /* of the cache; NULL: none is kept */
    struct log_ctx log;
};

/* --- one definition --- */

static void
put_json(struct config_sync *cs, const char *id, uint64_t version, const json_t *data)
{
    struct arena a = {0};
    struct nx_note why = {0};
    struct device *d;
    const char *own_id = json_string_value(json_object_get(data, "id"));

    if (!id)
        id = own_id;
    enum nx_err err = device_read(&cs->registry->opt, conf_from_json(&a, data, id ? id : "device"), &d, &why);
    if (err == NX_OK) {
        d->version = version;
        registry_put(cs->registry, REGISTRY_CORE, &d);
    } else {
        registry_refuse(cs->registry, REGISTRY_CORE, id, why.text);
    }
    arena_free(&a);
}

static uint64_t
version_of(const json_t *json)
{
    json_int_t v = json_integer_value(json_object_get(json, "version"));

    return v > 0 ? (uint64_t)v : 0;
}

/* An element of the full set: a definition, or {device_id, version, data}. */
static void
put_element(struct config_sync *cs, json_t *item)
{
    json_t *data = json_object_get(item, "data");
    uint64_t version = version_of(item);

    if (json_is_object(data)) {
        put_json(cs, json_string_value(json_object_get(item, "device_id")), version, data);
        return;
    }
    data = json_copy(item);
    json_object_del(data, "version");
    put_json(cs, NULL, version, data);
    json_decref(data);
}

static bool
put_all(struct config_sync *cs, const json_t *root)
{
    const json_t *list = json_is_array(root) ? root : json_object_get(root, "devices");
    size_t i;
    json_t *item;

    if (!json_is_array(list))
        return false;
    json_array_foreach (list, i, item)
        put_element(cs, item);
    return true;
}

/* A large set comes in parts {sync, part, parts, devices}, in order. What no part has named is removed only when all
 * of them have come. */
static bool
put_part(struct config_sync *cs, const json_t *root)
{
    const char *sync = json_string_value(json_object_get(root, "sync"));
    json_int_t part = json_integer_value(json_object_get(root, "part"));
    json_int_t parts = json_integer_value(json_object_get(root, "parts"));

    if (part <= 1) {
        registry_begin(cs->registry, REGISTRY_CORE);
        cs->parts_taken = 0;
        (void)snprintf(cs->set_id, sizeof cs->set_id, "%s", sync ? sync : "");
    }
    bool is_next = part <= 1 || (part == cs->parts_taken + 1 && sync && strcmp(sync, cs->set_id) == 0);
    if (!put_all(cs, root))
        return false;
    cs->parts_taken = is_next ? cs->parts_taken + 1 : -1;
    cs->is_whole = cs->parts_taken >= parts;
    if (cs->is_whole)
        registry_end(cs->registry, REGISTRY_CORE);
    return true;
}

/* --- the cache --- */

static json_t *
definition(const struct device *d)
{
    char *text = device_json(d);
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    free(text);
    return json;
}

static char *
cache_text(void *arg)
{
    const struct config_sync *cs = arg;
    json_t *list = json_array();
    char *text;

    for (struct registry_entry *e = cs->registry->entries; e; e = e->hh.next)
        if (e->source == REGISTRY_CORE && e->conf)
            json_array_append_new(list, json_pack("{s:s, s:I, s:o}", "device_id", e->id, "version",
                                                  (json_int_t)e->version, "data", definition(e->conf)));
    text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static void
want_save(struct config_sync *cs)
{
    if (cs->saver)
        saver_touch(cs->saver);
}

void
config_sync_load_cache(struct config_sync *cs)
{
    struct nx_note why = {0};
    char *text = NULL;
    size_t len = 0;

    if (!cs->conf.cache_path || file_read(cs->conf.cache_path, CACHE_MAX_BYTES, &text, &len, &why) != NX_OK)
        return;
    json_t *root = json_loadb(text, len, 0, NULL);
    if (!root || !put_part(cs, root))
        log_warn(&cs->log, "the kept devices of the core are damaged and not used; waiting for the core",
                 KV_STR("path", cs->conf.cache_path));
    json_decref(root);
    free(text);
}

/* --- asking --- */

static void
on_asked(void *arg, enum nx_err err)
{
    (void)arg;
    (void)err;
}

static void
ask(struct loop_timer *t, void *arg)
{
    struct config_sync *cs = arg;
    char topic[256], payload[256];

    (void)t;
    (void)snprintf(topic, sizeof topic, "%s/config/sync/request", cs->conf.prefix);
    (void)snprintf(payload, sizeof payload, "{\"gateway_id\":\"%s\",\"timestamp\":%lld}", cs->conf.gateway,
                   (long long)(loop_wall_us(cs->loop) / 1000));
    (void)!outlet_publish(
        &cs->out, &(struct mqtt_publication){.topic = slice_str(topic), .payload = slice_str(payload), .qos = 1},
        on_asked, NULL);
    loop_timer_start(cs->loop, &cs->ask, cs->ask_ms, 0, ask, cs);
    cs->ask_ms = cs->ask_ms * 2 > ASK_MAX_MS ? ASK_MAX_MS : cs->ask_ms * 2;
}

void
config_sync_online(struct config_sync *cs)
{
    cs->ask_ms = ASK_MIN_MS;
    loop_timer_start(cs->loop, &cs->ask, 0, 0, ask, cs);
}

void
config_sync_offline(struct config_sync *cs)
{
    loop_timer_stop(&cs->ask);
}

/* --- messages --- */

static void
on_bulk(struct config_sync *cs, const json_t *root)
{
    if (!put_part(cs, root)) {
        log_warn(&cs->log, "the full set of devices is not understood; it needs {\"devices\": [...]}");
        return;
    }
    if (!cs->is_whole)
        return;
    loop_timer_stop(&cs->ask);
    if (!cs->is_done)
        log_info(&cs->log, "the core has told its devices");
    cs->is_done = true;
    want_save(cs);
}

static void
on_event(struct config_sync *cs, const json_t *root)
{
    const char *action = json_string_value(json_object_get(root, "action"));
    const char *id = json_string_value(json_object_get(root, "device_id"));
    const json_t *data = json_object_get(root, "data");
    uint64_t version = version_of(root);

    if (!action || !id) {
        log_warn(&cs->log, "a configuration message has no action or device_id and is ignored");
        return;
    }
    const struct registry_entry *e = registry_find(cs->registry, id);
    if (e && e->source == REGISTRY_CORE && version != 0 && version < e->version)
        return;
    if (strcmp(action, "deleted") == 0)
        registry_remove(cs->registry, id);
    else if (json_is_object(data))
        put_json(cs, id, version, data);
    else
        config_sync_online(cs); /* no definition inside: ask for all */
    want_save(cs);
}

bool
config_sync_message(struct config_sync *cs, const struct mqtt_message *msg)
{
    struct slice rest = msg->topic;
    struct slice prefix = slice_str(cs->conf.prefix), devices = slice_str("/config/devices/");

    if (!slice_starts_with(rest, prefix) || !slice_starts_with(slice_skip(rest, prefix.len), devices))
        return false;
    rest = slice_skip(rest, prefix.len + devices.len);
    json_t *root = msg->payload.len > 0 ? json_loadb((const char *)msg->payload.p, msg->payload.len, 0, NULL) : NULL;
    if (!root)
        log_warn(&cs->log, "a configuration message is no JSON and is ignored");
    else if (slice_eq_str(rest, "bulk"))
        on_bulk(cs, root);
    else
        on_event(cs, root);
    json_decref(root);
    return true;
}

bool
config_sync_is_done(const struct config_sync *cs)
{
    return cs->is_done;
}

struct config_sync *
config_sync_new(struct loop *loop, const struct config_sync_conf *conf, struct registry *registry,
                const struct outlet *out)
{
    struct config_sync *cs = mem_alloc(sizeof *cs);

    cs->loop = loop;
    cs->conf = *conf;
    cs->registry = registry;
    cs->out = *out;
    cs->log = (struct log_ctx){.module = "config"};
    if (conf->cache_path)
        cs->saver = saver_new(loop, &(struct saver_conf){.path = conf->cache_path,
                                                         .complaint = "the devices of the core cannot be kept for the "
                                                                      "next start",
                                                         .delay_ms = CACHE_DELAY_MS,
                                                         .text = cache_text,
                                                         .arg = cs});
    return cs;
}

void
config_sync_free(struct config_sync **csp)
{
    struct config_sync *cs = *csp;

    if (!cs)
        return;
    saver_free(&cs->saver);
    loop_timer_stop(&cs->ask);
    free(cs);
    *csp = NULL;
}
