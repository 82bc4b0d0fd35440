/* tags_api.c -- tags: list, create, show, change, delete. */
#include "core/api.h"
#include "core/doc.h"
#include "core/handlers.h"

/* --- list -----------------------------------------------------------------------------------------------------------
 */

static void
list_answer(struct http_req *req, struct core *core, const struct api_page *page, const struct store_tag *rows,
            size_t n)
{
    size_t shown = n > page->limit ? page->limit : n;
    json_t *items = json_array();

    for (size_t i = 0; i < shown; i++)
        json_array_append_new(items, doc_show_tag(core, &rows[i], http_arena(req)));
    api_page_answer(req, items,
                    n > shown ? (const char *const[]){rows[shown - 1].device_id, rows[shown - 1].id, NULL} : NULL);
}

static void
list(struct http_req *req, struct core *core, struct store_tx *tx, const char *device_id)
{
    struct api_page page;
    struct store_tag *rows = NULL;
    size_t n = 0;
    struct nx_note why = {0};
    enum nx_err err;

    if (!api_page_read(req, 2, &page))
        return;
    err = store_tag_list(tx,
                         &(struct store_tag_filter){.device_id = device_id,
                                                    .after_device = page.cursor[0],
                                                    .after_id = page.cursor[1],
                                                    .search = http_query(req, "q"),
                                                    .limit = page.limit + 1},
                         http_arena(req), &rows, &n, &why);
    if (err == NX_OK)
        list_answer(req, core, &page, rows, n);
    else
        http_respond_err(req, err, "store_unavailable", &why);
}

void
tags_list(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct store_tx *tx = api_begin(req, core, STORE_READ);

    if (!tx)
        return;
    list(req, core, tx, http_query(req, "device"));
    store_rollback(&tx);
}

/* --- finding
 * ---------------------------------------------------------------------------------------------------------- */

static bool
find_device(struct http_req *req, struct store_tx *tx, struct store_device *dev)
{
    struct nx_note why = {0};
    enum nx_err err = store_device_get(tx, http_param(req, "device_id"), http_arena(req), dev, &why);

    if (err != NX_OK)
        http_respond_err(req, err, err == NX_E_NOT_FOUND ? "device_not_found" : "store_unavailable", &why);
    return err == NX_OK;
}

static bool
find_tag(struct http_req *req, struct store_tx *tx, struct store_tag *tag)
{
    struct nx_note why = {0};
    enum nx_err err =
        store_tag_get(tx, http_param(req, "device_id"), http_param(req, "tag_id"), http_arena(req), tag, &why);

    if (err != NX_OK)
        http_respond_err(req, err, err == NX_E_NOT_FOUND ? "tag_not_found" : "store_unavailable", &why);
    return err == NX_OK;
}

void
device_tags_list(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct store_tx *tx = api_begin(req, core, STORE_READ);
    struct store_device dev;

    if (!tx)
        return;
    if (find_device(req, tx, &dev))
        list(req, core, tx, dev.id);
    store_rollback(&tx);
}

static void
answer(struct http_req *req, struct core *core, int status, const struct store_tag *tag)
{
    char etag[API_ETAG_CAP];

    api_etag(tag->version, etag);
    http_set_header(req, "ETag", etag);
    http_respond_json(req, status, doc_show_tag(core, tag, http_arena(req)));
}

void
tag_show(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct store_tx *tx = api_begin(req, core, STORE_READ);
    struct store_tag tag;

    if (!tx)
        return;
    if (find_tag(req, tx, &tag))
        answer(req, core, 200, &tag);
    store_rollback(&tx);
}

/* --- changing
 * ----------------------------------------------------------------------------------------------------------- */

/* The device has another version now: stores that, commits and tells everybody. *tx is over in any case. */
static enum nx_err
commit(struct core *core, struct store_tx **tx, struct store_device *dev, struct nx_note *why)
{
    struct change *c = NULL;
    enum nx_err err = store_device_touch(*tx, dev, core_now_us(), why);

    if (err == NX_OK)
        err = change_new(core, *tx, CHANGE_UPDATED, dev, &c, why);
    if (err == NX_OK)
        err = store_commit(tx, why);
    store_rollback(tx);
    if (err == NX_OK)
        change_post(&c);
    else
        change_free(&c);
    return err;
}

static bool
check(struct http_req *req, struct core *core, const struct store_device *dev, const json_t *settings,
      struct store_tag *out)
{
    struct doc doc;
    struct nx_note why = {0};
    enum nx_err err = doc_read_tag(&core->device_options, dev, settings, http_arena(req), &doc, &why);

    if (err != NX_OK) {
        api_fail(req, err, &why, DOC_TAG_PREFIX);
        return false;
    }
    *out = doc.tags[0];
    return true;
}

static void
save(struct http_req *req, struct core *core, struct store_tx **tx, struct store_device *dev, struct store_tag *tag,
     int status)
{
    struct nx_note why = {0};
    enum nx_err err = store_tag_put(*tx, tag, &why);

    if (err == NX_OK)
        err = commit(core, tx, dev, &why);
    if (err != NX_OK) {
        http_respond_err(req, err, err == NX_E_CONFLICT ? "topic_taken" : "not_stored", &why);
        return;
    }
    if (status == 201)
        http_set_header(req, "Location",
                        arena_printf(http_arena(req), "/api/v1/devices/%s/tags/%s", tag->device_id, tag->id));
    answer(req, core, status, tag);
}

static void
create_in(struct http_req *req, struct core *core, struct store_tx **tx, const json_t *body)
{
    struct store_device dev;
    struct store_tag tag, other;
    enum nx_err err;

    if (!find_device(req, *tx, &dev) || !check(req, core, &dev, body, &tag))
        return;
    err = store_tag_get(*tx, dev.id, tag.id, http_arena(req), &other, NULL);
    if (err == NX_OK) {
        struct nx_note why = {0};

        err = nx_fail(&why, NX_E_CONFLICT, "device \"%s\" has a tag \"%s\" already: choose another id", dev.id, tag.id);
        http_respond_err(req, err, "tag_exists", &why);
        return;
    }
    save(req, core, tx, &dev, &tag, 201);
}

void
tag_create(struct http_req *req, void *arg)
{
    struct core *core = arg;
    json_t *body = api_body(req, NULL);
    struct store_tx *tx = body ? api_begin(req, core, STORE_WRITE) : NULL;

    if (!tx)
        return;
    create_in(req, core, &tx, body);
    store_rollback(&tx);
}

static void
change_to(struct http_req *req, struct core *core, struct store_tx **tx, struct store_device *dev,
          const struct store_tag *old, const json_t *settings)
{
    struct store_tag tag;

    if (!check(req, core, dev, settings, &tag))
        return;
    if (strcmp(tag.id, old->id) != 0) {
        api_fail_field(req, "/id", "immutable", "the id of a tag cannot change: create another tag instead");
        return;
    }
    save(req, core, tx, dev, &tag, 200);
}

static void
change_tag(struct http_req *req, struct core *core, bool is_patch)
{
    json_t *body = api_body(req, NULL);
    struct store_tx *tx = body ? api_begin(req, core, STORE_WRITE) : NULL;
    struct store_device dev;
    struct store_tag old;

    if (!tx)
        return;
    if (find_device(req, tx, &dev) && find_tag(req, tx, &old) && api_if_match(req, old.version)) {
        json_t *before = doc_settings(old.settings);
        json_t *settings = is_patch ? api_merge_patch(before, body) : json_incref(body);

        change_to(req, core, &tx, &dev, &old, settings);
        json_decref(settings);
        json_decref(before);
    }
    store_rollback(&tx);
}

void
tag_replace(struct http_req *req, void *arg)
{
    change_tag(req, arg, false);
}

void
tag_patch(struct http_req *req, void *arg)
{
    change_tag(req, arg, true);
}

void
tag_remove(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct store_tx *tx = api_begin(req, core, STORE_WRITE);
    struct store_device dev;
    struct store_tag tag;
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return;
    if (find_device(req, tx, &dev) && find_tag(req, tx, &tag) && api_if_match(req, tag.version)) {
        err = store_tag_delete(tx, dev.id, tag.id, &why);
        if (err == NX_OK)
            err = commit(core, &tx, &dev, &why);
        if (err == NX_OK)
            http_respond_empty(req, 204);
        else
            http_respond_err(req, err, "not_stored", &why);
    }
    store_rollback(&tx);
}
