/* import.c -- takes devices.yaml over into an empty store. */
#include "core/doc.h"

struct import {
    struct core *core;
    struct store_tx *tx;
    unsigned good, bad;
};

static enum nx_err
insert(struct import *im, const struct device *d, struct arena *a, struct nx_note *why)
{
    char *text = device_json(d);
    json_t *json = doc_settings(text);
    struct doc doc;
    enum nx_err err = doc_read(&im->core->device_options, json, a, &doc, why);

    json_decref(json);
    free(text);
    if (err == NX_OK)
        err = store_device_insert(im->tx, &doc.device, core_now_us(), why);
    for (size_t i = 0; err == NX_OK && i < doc.tag_count; i++)
        err = store_tag_put(im->tx, &doc.tags[i], why);
    return err;
}

static void
skip(void *arg, const char *device_id, const struct nx_note *why)
{
    struct import *im = arg;

    im->bad++;
    log_error(&core_log, "device of devices.yaml left out", KV_STR("device", device_id), KV_NOTE(why));
}

static void
take(void *arg, struct device *d)
{
    struct import *im = arg;
    struct arena a = {0};
    struct nx_note why = {0};
    uint64_t version = 0;
    enum nx_err err = insert(im, d, &a, &why);

    if (err == NX_OK) {
        im->good++;
    } else {
        skip(im, d->id, &why);
        err = store_device_delete(im->tx, d->id, &version, NULL); /* with the tags that went in already */
    }
    if (err != NX_OK && err != NX_E_NOT_FOUND)
        log_warn(&core_log, "a device that was left out may have left tags behind", KV_STR("device", d->id));
    arena_free(&a);
    device_unref(&d);
}

static enum nx_err
import_file(struct import *im, struct nx_note *why)
{
    const struct device_list_ops ops = {.each = take, .bad = skip};
    struct arena a = {0};
    struct conf_node *root = NULL;
    enum nx_err err = conf_read_yaml(&a, im->core->conf.devices_path, &root, why);

    if (err == NX_OK)
        err = device_read_list(&im->core->device_options, root, &ops, im, why);
    arena_free(&a);
    return err;
}

enum nx_err
import_devices(struct core *core, struct nx_note *why)
{
    struct import im = {.core = core};
    struct store_counts counts = {0};
    enum nx_err err;

    if (!core->conf.devices_path)
        return NX_OK;
    err = store_begin(core->store, STORE_WRITE, &im.tx, why);
    if (err == NX_OK)
        err = store_count(im.tx, &counts, why);
    if (err == NX_OK && counts.devices == 0) {
        err = import_file(&im, why);
        if (err == NX_OK)
            err = store_commit(&im.tx, why);
        if (err == NX_OK)
            log_info(&core_log, "devices.yaml taken over; from now on the store is the truth",
                     KV_STR("file", core->conf.devices_path), KV_UINT("devices", im.good), KV_UINT("left_out", im.bad));
    }
    store_rollback(&im.tx);
    return err;
}
