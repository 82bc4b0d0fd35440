/* change.c -- a device has changed: what gateways, the live table and clients are told. */
#include "base/mem.h"
#include "core/api.h"
#include "core/doc.h"

#include <stdlib.h>

struct change {
    struct core *core;
    char *device_id;
    bool is_enabled, is_deleted;
    char *message; /* JSON for gateways */
    struct arena a;
    struct live_tag *tags; /* in a */
    size_t tag_count;
};

static const char *const actions[] = {"created", "updated", "deleted"};

static enum nx_err
load_tags(struct store_tx *tx, const char *device_id, struct arena *a, struct store_tag **rows, size_t *n,
          struct nx_note *why)
{
    return store_tag_list(tx, &(struct store_tag_filter){.device_id = device_id}, a, rows, n, why);
}

static json_t *
device_with_tags(const struct store_device *dev, const struct store_tag *tags, size_t n)
{
    json_t *data = doc_settings(dev->settings);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, doc_settings(tags[i].settings));
    json_object_set_new(data, "tags", list);
    return data;
}

enum nx_err
change_device_json(struct store_tx *tx, const struct store_device *dev, struct arena *a, json_t **out,
                   struct nx_note *why)
{
    struct store_tag *tags = NULL;
    size_t n = 0;
    enum nx_err err = load_tags(tx, dev->id, a, &tags, &n, why);

    *out = NULL;
    if (err != NX_OK)
        return err;
    *out = json_pack("{s:s, s:I, s:o}", "device_id", dev->id, "version", (json_int_t)dev->version, "data",
                     device_with_tags(dev, tags, n));
    return NX_OK;
}

static void
take_live_tags(struct change *c, const struct store_tag *tags, size_t n)
{
    c->tags = arena_alloc(&c->a, (n + 1) * sizeof *c->tags);
    c->tag_count = n;
    for (size_t i = 0; i < n; i++)
        c->tags[i] = (struct live_tag){tags[i].id, tags[i].topic, tags[i].data_type, tags[i].unit};
}

enum nx_err
change_new(struct core *core, struct store_tx *tx, enum change_action action, const struct store_device *dev,
           struct change **out, struct nx_note *why)
{
    struct change *c = mem_alloc(sizeof *c);
    struct store_tag *tags = NULL;
    size_t n = 0;
    json_t *msg;
    enum nx_err err = action == CHANGE_DELETED ? NX_OK : load_tags(tx, dev->id, &c->a, &tags, &n, why);

    *out = c;
    if (err != NX_OK) {
        change_free(out);
        return err;
    }
    c->core = core;
    c->device_id = mem_strdup(dev->id);
    c->is_enabled = dev->is_enabled;
    c->is_deleted = action == CHANGE_DELETED;
    take_live_tags(c, tags, n);
    msg = json_pack("{s:s, s:s, s:I, s:I}", "action", actions[action], "device_id", dev->id, "version",
                    (json_int_t)dev->version, "timestamp", (json_int_t)(core_now_us() / 1000));
    if (action != CHANGE_DELETED)
        json_object_set_new(msg, "data", device_with_tags(dev, tags, n));
    c->message = json_dumps(msg, JSON_COMPACT);
    json_decref(msg);
    return NX_OK;
}

void
change_free(struct change **pc)
{
    struct change *c = *pc;

    *pc = NULL;
    if (!c)
        return;
    free(c->device_id);
    free(c->message);
    arena_free(&c->a);
    free(c);
}

/* --- devices that the loop knows ---------------------------------------------------------------------------------- */

static struct known_device *
device_find(struct core *core, const char *id)
{
    struct known_device *d = NULL;

    HASH_FIND_STR(core->devices, id, d);
    return d;
}

static void
device_remember(struct core *core, const char *id, bool is_enabled)
{
    struct known_device *d = device_find(core, id);

    if (!d) {
        d = mem_alloc(sizeof *d);
        d->id = mem_strdup(id);
        HASH_ADD_KEYPTR(hh, core->devices, d->id, (unsigned)strlen(d->id), d);
    }
    d->is_enabled = is_enabled;
}

static void
device_forget(struct core *core, struct known_device *d)
{
    if (!d)
        return;
    HASH_DEL(core->devices, d);
    free(d->id);
    free(d);
}

void
change_forget_devices(struct core *core)
{
    while (core->devices)
        device_forget(core, core->devices);
}

/* --- on the loop ---------------------------------------------------------------------------------------------------
 */

static void
point_changed(void *arg, struct live_point *point)
{
    struct core *core = arg;

    if (point->tag)
        hub_appeared(core->hub, point);
}

static void
change_apply(void *arg)
{
    struct change *c = arg;
    struct core *core = c->core;
    char *topic = mem_printf("config/devices/%s/updated", c->device_id);

    if (c->is_deleted)
        device_forget(core, device_find(core, c->device_id));
    else
        device_remember(core, c->device_id, c->is_enabled);
    live_set_device(core->live, c->device_id, c->tags, c->tag_count, point_changed, core);
    if (bus_publish(core, topic, slice_str(c->message), 1) != NX_OK)
        bus_send_all(core); /* as soon as the broker is back */
    hub_device(core->hub, c->device_id);
    free(topic);
    change_free(&c);
}

void
change_post(struct change **pc)
{
    struct change *c = *pc;

    *pc = NULL;
    if (c)
        loop_post(c->core->loop, change_apply, c);
}

/* --- at the start ----------------------------------------------------------------------------------------------------
 */

static enum nx_err
load_device(struct core *core, struct store_tx *tx, const struct store_device *dev, struct arena *a,
            struct nx_note *why)
{
    struct change c = {0};
    struct store_tag *tags = NULL;
    size_t n = 0;
    enum nx_err err = load_tags(tx, dev->id, a, &tags, &n, why);

    if (err != NX_OK)
        return err;
    device_remember(core, dev->id, dev->is_enabled);
    take_live_tags(&c, tags, n);
    live_set_device(core->live, dev->id, c.tags, c.tag_count, NULL, NULL);
    arena_free(&c.a);
    return NX_OK;
}

enum nx_err
change_load_all(struct core *core, struct nx_note *why)
{
    struct store_device_filter filter = {.enabled = -1, .limit = 500};
    struct store_tx *tx = NULL;
    struct arena a = {0};
    struct store_device *rows = NULL;
    size_t n = 1;
    enum nx_err err = store_begin(core->store, STORE_READ, &tx, why);

    while (err == NX_OK && n > 0) {
        err = store_device_list(tx, &filter, &a, &rows, &n, why);
        for (size_t i = 0; err == NX_OK && i < n; i++)
            err = load_device(core, tx, &rows[i], &a, why);
        if (n > 0)
            filter.after = rows[n - 1].id;
    }
    store_rollback(&tx);
    arena_free(&a);
    return err;
}
