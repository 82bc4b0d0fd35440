/* test_api.c -- "test connection": a gateway tries the settings and tells each step. The only address ever called is
 * core.gateway_url, whatever the body says. */
#include "core/api.h"
#include "core/doc.h"
#include "core/handlers.h"

#include <curl/curl.h>
#include <stdlib.h>

#define TESTS_MAX    2 /* each holds a worker thread while it waits */
#define ANSWER_BYTES (1u << 20)

static size_t
take_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct wbuf *w = arg;

    wbuf_bytes(w, p, size * n);
    return w->failed ? 0 : size * n;
}

struct call {
    const char *url, *body;
    int64_t timeout_ms;
    struct wbuf answer;
    long status;
    CURLcode rc;
    char error[CURL_ERROR_SIZE];
    double elapsed_ms;
};

static void
set_options(CURL *curl, struct call *c, struct curl_slist *headers)
{
    curl_easy_setopt(curl, CURLOPT_URL, c->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 2000L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, c->body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &c->answer);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, c->error);
}

static void
run_call(struct call *c)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");

    headers = curl_slist_append(headers, "Expect:");
    c->rc = CURLE_FAILED_INIT;
    if (curl) {
        set_options(curl, c, headers);
        c->rc = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &c->status);
        curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &c->elapsed_ms);
        c->elapsed_ms *= 1000.0;
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
}

static void
fail_call(struct http_req *req, struct core *core, const struct call *c)
{
    bool is_late = c->rc == CURLE_OPERATION_TIMEDOUT;
    struct arena *a = http_arena(req);
    char *detail = is_late ? arena_printf(a, "the gateway at %s did not finish the test within %.1f s",
                                          core->conf.gateway_url, (double)c->timeout_ms / 1000.0)
                           : arena_printf(a, "the gateway at %s cannot be reached: %s", core->conf.gateway_url,
                                          c->error[0] ? c->error : curl_easy_strerror(c->rc));

    http_respond_problem(req, &(struct http_problem){
                                  .status = is_late ? 504 : 502,
                                  .code = is_late ? "gateway_timeout" : "gateway_unreachable",
                                  .title = "No gateway to test with",
                                  .detail = detail,
                                  .cause_layer = "gateway",
                                  .cause_peer = core->conf.gateway_url,
                                  .cause_step = "devices:test",
                                  .cause_elapsed_ms = (uint32_t)c->elapsed_ms,
                                  .fixes = {"Check that the gateway is running.",
                                            "Check core.gateway_url in the configuration of the core."},
                              });
}

static void
pass_answer(struct http_req *req, struct core *core, const struct call *c)
{
    struct slice text = wbuf_slice_of(&c->answer);
    json_t *answer = json_loadb((const char *)text.p, text.len, 0, NULL);

    if (c->status == 200 && json_is_object(answer) && json_is_array(json_object_get(answer, "steps"))) {
        http_respond_json(req, 200, answer);
        return;
    }
    if (c->status >= 400 && c->status < 500 && json_is_string(json_object_get(answer, "code"))) {
        http_respond(req, (int)c->status, "application/problem+json", text);
    } else {
        char *detail = arena_printf(http_arena(req), "the gateway at %s answered %ld and not a test result",
                                    core->conf.gateway_url, c->status);

        http_respond_problem(req, &(struct http_problem){.status = 502,
                                                         .code = "gateway_answer_wrong",
                                                         .detail = detail,
                                                         .cause_layer = "gateway",
                                                         .cause_peer = core->conf.gateway_url,
                                                         .fixes = {"Run the same version of gateway and core."}});
    }
    json_decref(answer);
}

static void
call_gateway(struct http_req *req, struct core *core, const json_t *device)
{
    struct call c = {.timeout_ms = core->conf.test_timeout_ms, .answer = wbuf_init(ANSWER_BYTES)};
    char *body = json_dumps(device, JSON_COMPACT);

    c.url = arena_printf(http_arena(req), "%s/admin/v1/devices:test", core->conf.gateway_url);
    c.body = body;
    run_call(&c);
    if (c.rc == CURLE_OK)
        pass_answer(req, core, &c);
    else
        fail_call(req, core, &c);
    wbuf_free(&c.answer);
    free(body);
}

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
        call_gateway(req, core, device);
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
