/* tags_batch.c -- many changes to the tags of one device in one transaction. */
#include "base/mem.h"
#include "base/num.h"
#include "core/api.h"
#include "core/doc.h"
#include "core/handlers.h"

#define OPS_MAX 10000

enum op_kind { OP_CREATE, OP_UPSERT, OP_UPDATE, OP_DELETE, OP_COUNT };
static const char *const op_names[] = {"create", "upsert", "update", "delete"};

struct batch_run {
    struct http_req *req;
    struct core *core;
    struct store_tx *tx;
    struct store_device dev;
    struct arena scratch; /* of one operation */
    bool is_atomic, is_dry;
    json_t *results;
    json_int_t succeeded, failed, changed;
};

/* --- one operation ---------------------------------------------------------------------------------------------------
 */

static void
refused(json_t *result, const char *code, const struct nx_note *why)
{
    json_t *error = api_field_error(why, DOC_TAG_PREFIX);

    json_object_set_new(result, "ok", json_false());
    json_object_set_new(result, "outcome", json_string("refused"));
    json_object_set_new(result, "code", json_string(code));
    json_object_set_new(result, "errors", json_pack("[o]", error));
}

static enum op_kind
op_kind_of(const json_t *op)
{
    const char *name = json_string_value(json_object_get(op, "op"));

    for (unsigned i = 0; name && i < OP_COUNT; i++) {
        if (strcmp(name, op_names[i]) == 0)
            return (enum op_kind)i;
    }
    return OP_COUNT;
}

static const char *
check_op(const json_t *op, enum op_kind kind, struct nx_note *why)
{
    static const char *const members[] = {"op", "id", "etag", "tag"};
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)op, key, value) {
        const char *near = num_near_miss(key, members, MEM_COUNT(members));
        bool is_known = false;

        for (unsigned i = 0; i < MEM_COUNT(members); i++)
            is_known = is_known || strcmp(members[i], key) == 0;
        if (!is_known) {
            (void)nx_fail(why, NX_E_CONFIG, "/%.64s: unknown key '%.64s'%s%s%s", key, key,
                          near ? ". Did you mean '" : "", near ? near : "", near ? "'?" : "");
            return "unknown_member";
        }
    }
    if (kind == OP_COUNT)
        (void)nx_fail(why, NX_E_CONFIG, "/op: an operation is create, upsert, update or delete");
    else if (!json_is_string(json_object_get(op, "id")))
        (void)nx_fail(why, NX_E_CONFIG, "/id: the id of the tag is missing");
    else if (kind != OP_DELETE && !json_is_object(json_object_get(op, "tag")))
        (void)nx_fail(why, NX_E_CONFIG, "/tag: the settings of the tag are missing");
    else
        return NULL;
    return "bad_operation";
}

/* Whole settings with the id in place; new reference. */
static json_t *
settings_of(const json_t *op, enum op_kind kind, const struct store_tag *old)
{
    const json_t *given = json_object_get(op, "tag");
    json_t *before = kind == OP_UPDATE ? doc_settings(old->settings) : NULL;
    json_t *settings = before ? api_merge_patch(before, given) : json_deep_copy(given);

    if (!json_object_get(settings, "id"))
        json_object_set(settings, "id", json_object_get(op, "id"));
    json_decref(before);
    return settings;
}

static const char *
put_tag(struct batch_run *run, const json_t *op, enum op_kind kind, const struct store_tag *old, json_t *result,
        struct nx_note *why)
{
    json_t *settings = settings_of(op, kind, old);
    struct arena *a = &run->scratch;
    struct doc doc;
    char etag[API_ETAG_CAP];
    enum nx_err err = doc_read_tag(&run->core->device_options, &run->dev, settings, a, &doc, why);
    bool is_same;

    json_decref(settings);
    if (err != NX_OK)
        return "validation_failed";
    if (strcmp(doc.tags[0].id, json_string_value(json_object_get(op, "id"))) != 0) {
        (void)nx_fail(why, NX_E_CONFIG, "/id: the id inside tag is another one than that of the operation");
        return "validation_failed";
    }
    is_same = old && strcmp(old->settings, doc.tags[0].settings) == 0 && strcmp(old->topic, doc.tags[0].topic) == 0;
    doc.tags[0].version = is_same ? old->version : 0;
    err = is_same ? NX_OK : store_tag_put(run->tx, &doc.tags[0], why);
    if (err != NX_OK)
        return err == NX_E_CONFLICT ? "topic_taken" : "not_stored";
    api_etag(doc.tags[0].version, etag);
    json_object_set_new(result, "etag", json_string(etag));
    json_object_set_new(result, "outcome", json_string(is_same ? "unchanged" : old ? "updated" : "created"));
    run->changed += !is_same;
    return NULL;
}

/* NULL, or the code of what is wrong. */
static const char *
run_op(struct batch_run *run, const json_t *op, json_t *result, struct nx_note *why)
{
    enum op_kind kind = op_kind_of(op);
    const char *fault = check_op(op, kind, why);
    const char *id = json_string_value(json_object_get(op, "id"));
    const char *etag = json_string_value(json_object_get(op, "etag"));
    struct store_tag old;
    bool exists;

    if (fault)
        return fault;
    exists = store_tag_get(run->tx, run->dev.id, id, &run->scratch, &old, why) == NX_OK;
    if (!exists && (kind == OP_UPDATE || kind == OP_DELETE))
        return "tag_not_found";
    if (exists && kind == OP_CREATE) {
        (void)nx_fail(why, NX_E_CONFLICT, "/id: the device has a tag '%.64s' already", id);
        return "tag_exists";
    }
    if (exists && etag && !api_etag_is(etag, old.version)) {
        (void)nx_fail(why, NX_E_CONFLICT, "/etag: the tag was changed since you read it");
        return "changed_meanwhile";
    }
    if (kind != OP_DELETE)
        return put_tag(run, op, kind, exists ? &old : NULL, result, why);
    run->changed++;
    json_object_set_new(result, "outcome", json_string("deleted"));
    return store_tag_delete(run->tx, run->dev.id, id, why) == NX_OK ? NULL : "not_stored";
}

static void
run_ops(struct batch_run *run, const json_t *ops)
{
    size_t i;
    json_t *op;

    json_array_foreach (ops, i, op) {
        const json_t *id = json_object_get(op, "id");
        json_t *result = json_pack("{s:I, s:s, s:b}", "index", (json_int_t)i, "id",
                                   json_is_string(id) ? json_string_value(id) : "", "ok", 1);
        struct nx_note why = {0};
        const char *fault = run_op(run, op, result, &why);

        if (fault) {
            refused(result, fault, &why);
            run->failed++;
        } else {
            run->succeeded++;
        }
        json_array_append_new(run->results, result);
        arena_reset(&run->scratch);
    }
    arena_free(&run->scratch);
}

/* --- the whole
 * ---------------------------------------------------------------------------------------------------------- */

static enum nx_err
finish(struct batch_run *run, bool is_applied, struct nx_note *why)
{
    struct change *c = NULL;
    enum nx_err err;

    if (!is_applied)
        return NX_OK;
    err = store_device_touch(run->tx, &run->dev, core_now_us(), why);
    if (err == NX_OK)
        err = change_new(run->core, run->tx, CHANGE_UPDATED, &run->dev, &c, why);
    if (err == NX_OK)
        err = store_commit(&run->tx, why);
    if (err == NX_OK)
        change_post(&c);
    else
        change_free(&c);
    return err;
}

static void
answer(struct batch_run *run)
{
    bool is_applied = !run->is_dry && run->changed > 0 && (run->failed == 0 || !run->is_atomic);
    struct nx_note why = {0};
    enum nx_err err = finish(run, is_applied, &why);

    if (err != NX_OK) {
        http_respond_err(run->req, err, "not_stored", &why);
        return;
    }
    http_respond_json(run->req, 200,
                      json_pack("{s:b, s:I, s:I, s:I, s:O}", "applied", is_applied, "succeeded", run->succeeded,
                                "failed", run->failed, "device_version", (json_int_t)run->dev.version, "results",
                                run->results));
}

static bool
read_mode(struct http_req *req, const json_t *body, struct batch_run *run)
{
    const json_t *mode = json_object_get(body, "mode"), *dry = json_object_get(body, "dry_run");
    const char *word = mode ? json_string_value(mode) : "atomic";

    if (!word || (strcmp(word, "atomic") != 0 && strcmp(word, "best_effort") != 0)) {
        api_fail_field(req, "/mode", "invalid", "mode is atomic or best_effort");
        return false;
    }
    if (dry && !json_is_boolean(dry)) {
        api_fail_field(req, "/dry_run", "invalid", "dry_run is true or false");
        return false;
    }
    run->is_atomic = strcmp(word, "atomic") == 0;
    run->is_dry = json_is_true(dry);
    return true;
}

static bool
find_device(struct batch_run *run)
{
    struct nx_note why = {0};
    enum nx_err err =
        store_device_get(run->tx, http_param(run->req, "device_id"), http_arena(run->req), &run->dev, &why);

    if (err != NX_OK)
        http_respond_err(run->req, err, err == NX_E_NOT_FOUND ? "device_not_found" : "store_unavailable", &why);
    return err == NX_OK;
}

void
tags_batch(struct http_req *req, void *arg)
{
    static const char *const members[] = {"mode", "dry_run", "ops", NULL};
    struct batch_run run = {.req = req, .core = arg};
    json_t *body = api_body(req, members);
    const json_t *ops = json_object_get(body, "ops");

    if (!body || !read_mode(req, body, &run))
        return;
    if (json_array_size(ops) == 0 || json_array_size(ops) > OPS_MAX) {
        api_fail_field(req, "/ops", "invalid", "ops is a list of 1 to 10000 operations");
        return;
    }
    run.tx = api_begin(req, run.core, STORE_WRITE);
    if (!run.tx)
        return;
    if (find_device(&run)) {
        run.results = json_array();
        run_ops(&run, ops);
        answer(&run);
        json_decref(run.results);
    }
    store_rollback(&run.tx);
}
