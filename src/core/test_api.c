/* test_api.c -- "test connection": a gateway tries the settings and tells each step. */
#include "core/api.h"
#include "core/doc.h"
#include "core/gateway_call.h"
#include "core/handlers.h"

#define TESTS_MAX 2 /* each holds a worker thread while it waits */

static void
test(struct http_req *req, struct core *core, const json_t *device)
{
    if (__atomic_add_fetch(&core->tests_running, 1, __ATOMIC_RELAXED) > TESTS_MAX) {
        http_set_header(req, "Retry-After", "5");
        http_respond_problem(req, &(struct http_problem){.status = 503,
                                                         .code = "too_many_tests",
                                                         .title = "Other tests are running",
                                                         .detail = "two connections are being tested at the moment",
                                                         .fixes = {"Wait until they have finished."}});
    } else {
        gateway_call(req, core,
                     &(struct gateway_call){.path = "/admin/v1/devices:test",
                                            .body = device,
                                            .member = "steps",
                                            .what = "a test result",
                                            .step = "devices:test",
                                            .timeout_ms = core->conf.test_timeout_ms});
    }
    (void)__atomic_sub_fetch(&core->tests_running, 1, __ATOMIC_RELAXED);
}

void
device_test_settings(struct http_req *req, void *arg)
{
    struct core *core = arg;
    json_t *body = api_body(req, NULL);
    struct doc doc;
    struct nx_note why = {0};
    enum nx_err err = body ? doc_read(&core->device_options, body, http_arena(req), &doc, &why) : NX_OK;

    if (!body)
        return;
    if (err == NX_OK)
        test(req, core, body);
    else
        api_fail(req, err, &why, NULL);
}

static json_t *
load_device(struct http_req *req, struct core *core)
{
    struct store_tx *tx = api_begin(req, core, STORE_READ);
    struct store_device dev;
    json_t *device = NULL, *data = NULL;
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return NULL;
    err = store_device_get(tx, http_param(req, "device_id"), http_arena(req), &dev, &why);
    if (err == NX_OK)
        err = change_device_json(tx, &dev, http_arena(req), &device, &why);
    store_rollback(&tx);
    if (err != NX_OK) {
        http_respond_err(req, err, err == NX_E_NOT_FOUND ? "device_not_found" : "store_unavailable", &why);
        return NULL;
    }
    data = json_incref(json_object_get(device, "data"));
    json_decref(device);
    return data;
}

void
device_test_stored(struct http_req *req, void *arg)
{
    struct core *core = arg;
    json_t *device = load_device(req, core);

    if (!device)
        return;
    test(req, core, device);
    json_decref(device);
}
