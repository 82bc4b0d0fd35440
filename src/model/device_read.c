/* device_read.c -- a device out of a document, and the devices of a file. */
#include "base/mem.h"
#include "base/num.h"
#include "model/device_priv.h"
#include "model/topic.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define MAX_KEYS 256u

/* A device as it is written. */
struct device_doc {
    const char *id, *name, *description, *protocol, *uns_prefix, *subscription_mode;
    bool is_enabled;
    int64_t poll_interval_ms;
    const struct conf_node *connection, *tags;
};

#define ROW(name, kind, member, ...)                                                                                   \
    {                                                                                                                  \
        .key = name, .type = kind, .offset = offsetof(struct device_doc, member), __VA_ARGS__                          \
    }
const struct conf_row device_rows[] = {
    ROW("id", CONF_STRING, id, .is_required = true, .help = "letters, digits, '_', '-' and '.', at most 64"),
    ROW("name", CONF_STRING, name, .help = "name for people"),
    ROW("description", CONF_STRING, description, .help = "what it is"),
    ROW("protocol", CONF_STRING, protocol, .is_required = true, .help = "driver, such as modbus-tcp"),
    ROW("enabled", CONF_BOOL, is_enabled, .def = "true", .help = "false: not connected"),
    ROW("uns_prefix", CONF_STRING, uns_prefix, .help = "topic of the device below the root; default: the id"),
    ROW("poll_interval", CONF_DURATION, poll_interval_ms, .min = 10, .max = 86400000.0, .help = "time between reads"),
    ROW("subscription_mode", CONF_STRING, subscription_mode, .def = "polling", .help = "polling"),
    ROW("connection", CONF_NODE, connection, .help = "how to reach it"),
    ROW("tags", CONF_NODE, tags, .help = "what to read and write"),
    CONF_ROW_END,
};

/* --- keys of ours and of the driver in one map --- */

static bool
has_row(const struct conf_row *rows, const char *key)
{
    while (rows->key && strcmp(rows->key, key) != 0)
        rows++;
    return rows->key != NULL;
}

static bool
has_param(const struct nx_param *params, const char *key)
{
    while (params->key && strcmp(params->key, key) != 0)
        params++;
    return params->key != NULL;
}

static enum nx_err
unknown_key(const struct conf_node *node, const struct conf_row *rows, const struct nx_param *params,
            struct nx_note *why)
{
    const char *keys[MAX_KEYS];
    size_t n = 0;

    for (; rows->key && n < MAX_KEYS; rows++)
        keys[n++] = rows->key;
    for (; params->key && n < MAX_KEYS; params++)
        keys[n++] = params->key;
    const char *near = num_near_miss(node->key, keys, n);
    if (near)
        return conf_fail(node, why, "unknown key '%s'. Did you mean '%s'?", node->key, near);
    return conf_fail(node, why, "unknown key '%s'", node->key);
}

/* Here and not in conf_fill(), whose copy of the map has no place in the document. */
static enum nx_err
check_required(const struct conf_node *map, const struct conf_row *rows, struct nx_note *why)
{
    for (; rows->key; rows++) {
        const struct conf_node *n = conf_get(map, rows->key);

        if (rows->is_required && (!n || n->kind == CONF_NULL))
            return conf_fail(map, why, "'%s' is missing: %s", rows->key, rows->help);
    }
    return NX_OK;
}

enum nx_err
device_split(struct arena *a, const struct conf_node *map, const struct conf_row *rows, const struct nx_param *params,
             struct conf_node **out, struct nx_note *why)
{
    if (map->kind != CONF_MAP)
        return conf_fail(map, why, "a section with keys is expected here");
    struct conf_node *own = arena_alloc(a, sizeof *own);
    *own = *map;
    own->child = NULL;
    struct conf_node **tail = &own->child;
    for (const struct conf_node *c = map->child; c; c = c->next) {
        if (has_row(rows, c->key)) {
            struct conf_node *copy = arena_alloc(a, sizeof *copy);

            *copy = *c;
            copy->next = NULL;
            *tail = copy;
            tail = &copy->next;
        } else if (!has_param(params, c->key)) {
            return unknown_key(c, rows, params, why);
        }
    }
    *out = own;
    return check_required(map, rows, why);
}

const char *const *
device_known_keys(struct arena *a, const struct conf_row *rows)
{
    unsigned n = 0;

    while (rows[n].key)
        n++;
    const char **keys = arena_alloc(a, (n + 1) * sizeof(char *));
    for (unsigned i = 0; i < n; i++)
        keys[i] = rows[i].key;
    return keys;
}

/* --- one device --- */

static enum nx_err
find_driver(const struct device_options *opt, const struct conf_node *node, const char *protocol, struct device *d,
            struct nx_note *why)
{
    const char *names[64];
    size_t n = 0;
    struct wbuf list = wbuf_init(0);

    for (const struct nx_driver *const *drv = opt->drivers; *drv && n < MEM_COUNT(names); drv++) {
        if (strcmp((*drv)->name, protocol) == 0)
            d->driver = *drv;
        wbuf_printf(&list, "%s%s", n ? ", " : "", (*drv)->name);
        names[n++] = (*drv)->name;
    }
    enum nx_err err = NX_OK;
    if (!d->driver) {
        const char *near = num_near_miss(protocol, names, n);

        err =
            conf_fail(conf_get(node, "protocol"), why, "unknown protocol '%s'. %s%s%s", protocol,
                      near ? "Did you mean '" : "This version has: ", near ? near : wbuf_cstr(&list), near ? "'?" : "");
    }
    wbuf_free(&list);
    return err;
}

static enum nx_err
take_settings(const struct device_options *opt, const struct conf_node *node, const struct device_doc *doc,
              struct device *d, struct nx_note *why)
{
    const char *mode = doc->subscription_mode;

    if (!device_id_is_valid(doc->id))
        return conf_fail(conf_get(node, "id"), why, "'%s' is not an id: use 1 to 64 letters, digits, '_', '-', '.'",
                         doc->id);
    if (strcmp(mode, "polling") != 0 && strcmp(mode, "false") != 0)
        return conf_fail(conf_get(node, "subscription_mode"), why,
                         "subscription_mode '%s' is not available in this version: write polling, or remove it", mode);
    d->id = doc->id;
    d->name = doc->name ? doc->name : doc->id;
    d->description = doc->description ? doc->description : "";
    d->is_enabled = doc->is_enabled;
    d->uns_prefix = doc->uns_prefix && *doc->uns_prefix ? doc->uns_prefix : doc->id;
    d->poll_interval_ms = doc->poll_interval_ms ? doc->poll_interval_ms : opt->default_interval_ms;
    return find_driver(opt, node, doc->protocol, d, why);
}

static enum nx_err
read_device(const struct device_options *opt, const struct conf_node *node, struct device *d, struct nx_note *why)
{
    struct device_doc doc = {0};
    char topic[TOPIC_MAX + 1];
    struct nx_note inner = {0};
    enum nx_err err = conf_fill(&d->arena, device_rows, node, &doc, why);

    if (err != NX_OK || (err = take_settings(opt, node, &doc, d, why)) != NX_OK)
        return err;
    if (topic_build(opt->uns_root, d->uns_prefix, "x", topic, sizeof topic, &inner) != NX_OK)
        return conf_fail(conf_get(node, "uns_prefix") ? conf_get(node, "uns_prefix") : node, why, "%s", inner.text);
    if ((err = device_read_connection(d, node, doc.connection, why)) != NX_OK ||
        (err = device_read_tags(d, opt, doc.tags, why)) != NX_OK)
        return err;
    d->packed = device_pack_json(&d->arena, node, d->driver);
    return NX_OK;
}

enum nx_err
device_read(const struct device_options *opt, const struct conf_node *node, struct device **out, struct nx_note *why)
{
    struct device *d = mem_alloc(sizeof *d);

    d->refs = 1;
    enum nx_err err = read_device(opt, node, d, why);
    if (err != NX_OK)
        device_unref(&d);
    *out = d;
    return err;
}

/* --- a file of devices --- */

struct seen {
    const char *id;
    UT_hash_handle hh;
};

static bool
is_new(struct seen **seen, struct arena *a, const char *id)
{
    struct seen *s;

    HASH_FIND_STR(*seen, id, s);
    if (s)
        return false;
    s = arena_alloc(a, sizeof *s);
    s->id = arena_strdup(a, id);
    HASH_ADD_KEYPTR(hh, *seen, s->id, strlen(s->id), s);
    return true;
}

static enum nx_err
list_of(const struct conf_node *root, const struct conf_node **list, struct nx_note *why)
{
    struct list_doc {
        const struct conf_node *devices, *version;
    } doc = {0};
    static const struct conf_row rows[] = {
        {.key = "devices", .type = CONF_NODE, .offset = offsetof(struct list_doc, devices)},
        {.key = "version", .type = CONF_NODE, .offset = offsetof(struct list_doc, version)},
        CONF_ROW_END,
    };
    struct arena a = {0};
    enum nx_err err = NX_OK;

    *list = root;
    if (root->kind == CONF_MAP) {
        err = conf_fill(&a, rows, root, &doc, why);
        *list = doc.devices;
    }
    arena_free(&a);
    if (err == NX_OK && *list && (*list)->kind != CONF_LIST && (*list)->kind != CONF_NULL)
        err = conf_fail(*list, why, "a list of devices is expected here");
    return err;
}

enum nx_err
device_read_list(const struct device_options *opt, const struct conf_node *root, const struct device_list_ops *ops,
                 void *arg, struct nx_note *why)
{
    const struct conf_node *list;
    struct seen *seen = NULL;
    struct arena a = {0};
    enum nx_err err = list_of(root, &list, why);

    for (const struct conf_node *c = err == NX_OK && list ? list->child : NULL; c; c = c->next) {
        const struct conf_node *id = conf_get(c, "id");
        const char *name = id && id->kind == CONF_SCALAR ? id->text : "";
        struct device *d = NULL;
        struct nx_note fault = {0};

        if (!*name || is_new(&seen, &a, name))
            (void)!device_read(opt, c, &d, &fault);
        else
            (void)conf_fail(id, &fault, "there is a device '%s' already: ids are unique", name);
        if (d)
            ops->each(arg, d);
        else
            ops->bad(arg, name, &fault);
    }
    HASH_CLEAR(hh, seen);
    arena_free(&a);
    return err;
}
