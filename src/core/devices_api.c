/* devices_api.c -- devices: list, create, show, change, delete. */
#include "core/api.h"
#include "core/doc.h"
#include "core/handlers.h"

/* Commits, tells everybody, answers with the device. *tx and *c are over in any case. */
static void
finish(struct http_req *req, struct core *core, struct store_tx **tx, struct change **c, int status,
       const struct store_device *dev)
{
    struct nx_note why = {0};
    enum nx_err err = store_commit(tx, &why);
    char etag[API_ETAG_CAP];

    if (err != NX_OK) {
        change_free(c);
        http_respond_err(req, err, "not_stored", &why);
        return;
    }
    change_post(c);
    if (status == 204) {
        http_respond_empty(req, 204);
        return;
    }
    api_etag(dev->settings_version, etag);
    http_set_header(req, "ETag", etag);
    if (status == 201)
        http_set_header(req, "Location", arena_printf(http_arena(req), "/api/v1/devices/%s", dev->id));
    http_respond_json(req, status, doc_show_device(core, dev));
}

/* --- list, show -----------------------------------------------------------------------------------------------------
 */

static bool
read_filter(struct http_req *req, struct api_page *page, struct store_device_filter *out)
{
    int enabled = api_bool_param(req, "enabled");

    if (enabled == -2 || !api_page_read(req, 1, page))
        return false;
    *out = (struct store_device_filter){.after = page->cursor[0],
                                        .search = http_query(req, "q"),
                                        .protocol = http_query(req, "protocol"),
                                        .enabled = enabled,
                                        .limit = page->limit + 1};
    return true;
}

void
devices_list(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct api_page page;
    struct store_device_filter filter;
    struct store_device *rows = NULL;
    struct store_tx *tx;
    struct nx_note why = {0};
    json_t *items;
    size_t n = 0, shown;
    enum nx_err err;

    if (!read_filter(req, &page, &filter) || !(tx = api_begin(req, core, STORE_READ)))
        return;
    err = store_device_list(tx, &filter, http_arena(req), &rows, &n, &why);
    store_rollback(&tx);
    if (err != NX_OK) {
        http_respond_err(req, err, "store_unavailable", &why);
        return;
    }
    shown = n > page.limit ? page.limit : n; /* one more was asked for, to know whether a page follows */
    items = json_array();
    for (size_t i = 0; i < shown; i++)
        json_array_append_new(items, doc_show_device(core, &rows[i]));
    api_page_answer(req, items, n > shown ? (const char *const[]){rows[shown - 1].id, NULL} : NULL);
}

static bool
find(struct http_req *req, struct store_tx *tx, struct store_device *dev)
{
    struct nx_note why = {0};
    enum nx_err err = store_device_get(tx, http_param(req, "device_id"), http_arena(req), dev, &why);

    if (err == NX_OK)
        return true;
    http_respond_err(req, err, err == NX_E_NOT_FOUND ? "device_not_found" : "store_unavailable", &why);
    return false;
}

void
device_show(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct store_tx *tx = api_begin(req, core, STORE_READ);
    struct store_device dev;
    char etag[API_ETAG_CAP];

    if (!tx)
        return;
    if (find(req, tx, &dev)) {
        api_etag(dev.settings_version, etag);
        http_set_header(req, "ETag", etag);
        http_respond_json(req, 200, doc_show_device(core, &dev));
    }
    store_rollback(&tx);
}

void
device_status_show(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct store_tx *tx = api_begin(req, core, STORE_READ);
    struct store_device dev;

    if (!tx)
        return;
    if (find(req, tx, &dev))
        http_respond_json(req, 200, status_device(core->status, dev.id, dev.is_enabled));
    store_rollback(&tx);
}

/* --- create ----------------------------------------------------------------------------------------------------------
 */

static enum nx_err
insert(struct core *core, struct store_tx *tx, struct doc *doc, struct change **c, struct nx_note *why)
{
    enum nx_err err = store_device_insert(tx, &doc->device, core_now_us(), why);

    for (size_t i = 0; err == NX_OK && i < doc->tag_count; i++)
        err = store_tag_put(tx, &doc->tags[i], why);
    return err == NX_OK ? change_new(core, tx, CHANGE_CREATED, &doc->device, c, why) : err;
}

void
devices_create(struct http_req *req, void *arg)
{
    struct core *core = arg;
    json_t *body = api_body(req, NULL);
    struct store_tx *tx;
    struct change *c = NULL;
    struct doc doc;
    struct nx_note why = {0};
    enum nx_err err;

    if (!body)
        return;
    err = doc_read(&core->device_options, body, http_arena(req), &doc, &why);
    if (err != NX_OK) {
        api_fail(req, err, &why, NULL);
        return;
    }
    tx = api_begin(req, core, STORE_WRITE);
    if (!tx)
        return;
    err = insert(core, tx, &doc, &c, &why);
    if (err == NX_OK) {
        finish(req, core, &tx, &c, 201, &doc.device);
        return;
    }
    store_rollback(&tx);
    http_respond_err(req, err, err == NX_E_CONFLICT ? "device_exists" : "not_stored", &why);
}

/* --- change
 * ----------------------------------------------------------------------------------------------------------- */

/* Settings with all tags of the store, because a new prefix gives every tag a new topic. */
static enum nx_err
read_with_tags(struct core *core, struct store_tx *tx, const struct store_device *old, json_t *settings,
               struct arena *a, struct doc *out, struct nx_note *why)
{
    struct store_tag *tags = NULL;
    size_t n = 0;
    json_t *list;
    enum nx_err err = store_tag_list(tx, &(struct store_tag_filter){.device_id = old->id}, a, &tags, &n, why);

    if (err != NX_OK)
        return err;
    list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, doc_settings(tags[i].settings));
    json_object_set_new(settings, "tags", list);
    return doc_read(&core->device_options, settings, a, out, why);
}

static enum nx_err
store_topics(struct store_tx *tx, struct doc *doc, struct nx_note *why)
{
    struct arena a = {0};
    enum nx_err err = NX_OK;

    for (size_t i = 0; err == NX_OK && i < doc->tag_count; i++) {
        struct store_tag old;

        err = store_tag_get(tx, doc->device.id, doc->tags[i].id, &a, &old, why);
        if (err == NX_OK && strcmp(old.topic, doc->tags[i].topic) != 0)
            err = store_tag_put(tx, &doc->tags[i], why);
        arena_reset(&a);
    }
    arena_free(&a);
    return err;
}

static bool
keeps_identity(struct http_req *req, const struct store_device *old, const struct doc *doc)
{
    if (strcmp(old->id, doc->device.id) != 0) {
        api_fail_field(req, "/id", "immutable", "the id of a device cannot change: create another device instead");
        return false;
    }
    if (strcmp(old->protocol, doc->device.protocol) != 0) {
        api_fail_field(req, "/protocol", "immutable",
                       "the protocol of a device cannot change: create another device instead");
        return false;
    }
    return true;
}

static void
change_settings(struct http_req *req, struct core *core, struct store_tx **tx, const struct store_device *old,
                json_t *settings)
{
    struct change *c = NULL;
    struct doc doc;
    struct nx_note why = {0};
    enum nx_err err = read_with_tags(core, *tx, old, settings, http_arena(req), &doc, &why);

    if (err != NX_OK) {
        api_fail(req, err, &why, NULL);
        return;
    }
    if (!keeps_identity(req, old, &doc))
        return;
    doc.device.created_us = old->created_us;
    err = store_device_update(*tx, &doc.device, core_now_us(), &why);
    if (err == NX_OK)
        err = store_topics(*tx, &doc, &why);
    if (err == NX_OK)
        err = change_new(core, *tx, CHANGE_UPDATED, &doc.device, &c, &why);
    if (err == NX_OK)
        finish(req, core, tx, &c, 200, &doc.device);
    else
        http_respond_err(req, err, err == NX_E_CONFLICT ? "topic_taken" : "not_stored", &why);
}

static bool
has_tags_member(struct http_req *req, const json_t *body)
{
    if (!json_object_get(body, "tags"))
        return false;
    api_fail_field(req, "/tags", "unknown_member",
                   "tags are changed one by one or through /devices/{device_id}/tags:batch");
    return true;
}

typedef json_t *settings_f(const struct store_device *old, const json_t *body);

static void
change_device(struct http_req *req, struct core *core, settings_f *settings_of)
{
    json_t *body = api_body(req, NULL);
    struct store_tx *tx;
    struct store_device old;
    json_t *settings;

    if (!body || has_tags_member(req, body) || !(tx = api_begin(req, core, STORE_WRITE)))
        return;
    if (find(req, tx, &old) && api_if_match(req, old.settings_version)) {
        settings = settings_of(&old, body);
        change_settings(req, core, &tx, &old, settings);
        json_decref(settings);
    }
    store_rollback(&tx);
}

static json_t *
replaced(const struct store_device *old, const json_t *body)
{
    (void)old;
    return json_deep_copy(body);
}

static json_t *
patched(const struct store_device *old, const json_t *body)
{
    json_t *settings = doc_settings(old->settings);
    json_t *result = api_merge_patch(settings, body);

    json_decref(settings);
    return result;
}

void
device_replace(struct http_req *req, void *arg)
{
    change_device(req, arg, replaced);
}

void
device_patch(struct http_req *req, void *arg)
{
    change_device(req, arg, patched);
}

/* --- delete
 * ------------------------------------------------------------------------------------------------------------ */

void
device_remove(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct store_tx *tx = api_begin(req, core, STORE_WRITE);
    struct store_device dev;
    struct change *c = NULL;
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return;
    if (find(req, tx, &dev) && api_if_match(req, dev.settings_version)) {
        err = store_device_delete(tx, dev.id, &dev.version, &why);
        if (err == NX_OK)
            err = change_new(core, tx, CHANGE_DELETED, &dev, &c, &why);
        if (err == NX_OK)
            finish(req, core, &tx, &c, 204, &dev);
        else
            http_respond_err(req, err, "not_stored", &why);
    }
    store_rollback(&tx);
}
