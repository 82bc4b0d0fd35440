#include "core/gateway_call.h"

#include <curl/curl.h>

#define ANSWER_BYTES (16u << 20)

static size_t
take_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct wbuf *w = arg;

    wbuf_bytes(w, p, size * n);
    return w->failed ? 0 : size * n;
}

struct call {
    const char *url, *body, *step;
    int64_t timeout_ms;
    struct gateway_answer *answer;
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
    if (c->body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, c->body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &c->answer->body);
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
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &c->answer->status);
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
    char *detail = is_late ? arena_printf(a, "the gateway at %s did not answer within %.1f s", core->conf.gateway_url,
                                          (double)c->timeout_ms / 1000.0)
                           : arena_printf(a, "the gateway at %s cannot be reached: %s", core->conf.gateway_url,
                                          c->error[0] ? c->error : curl_easy_strerror(c->rc));

    http_respond_problem(req, &(struct http_problem){
                                  .status = is_late ? 504 : 502,
                                  .code = is_late ? "gateway_timeout" : "gateway_unreachable",
                                  .title = "No gateway answers",
                                  .detail = detail,
                                  .cause_layer = "gateway",
                                  .cause_peer = core->conf.gateway_url,
                                  .cause_step = c->step,
                                  .cause_elapsed_ms = (uint32_t)c->elapsed_ms,
                                  .fixes = {"Check that the gateway is running.",
                                            "Check core.gateway_url in the configuration of the core."},
                              });
}

bool
gateway_call(struct http_req *req, struct core *core, const char *path, const char *body, int64_t timeout_ms,
             const char *step, struct gateway_answer *out)
{
    struct call c = {.body = body, .step = step, .timeout_ms = timeout_ms, .answer = out};

    *out = (struct gateway_answer){.body = wbuf_init(ANSWER_BYTES)};
    c.url = arena_printf(http_arena(req), "%s/admin/v1%s", core->conf.gateway_url, path);
    run_call(&c);
    if (c.rc == CURLE_OK)
        return true;
    fail_call(req, core, &c);
    wbuf_free(&out->body);
    return false;
}

void
gateway_refusal(struct http_req *req, struct core *core, const struct gateway_answer *a)
{
    struct slice text = wbuf_slice_of(&a->body);
    json_t *json = json_loadb((const char *)text.p, text.len, 0, NULL);

    if (a->status >= 400 && a->status < 500 && json_is_string(json_object_get(json, "code"))) {
        http_respond(req, (int)a->status, "application/problem+json", text);
    } else {
        char *detail = arena_printf(http_arena(req), "the gateway at %s answered %ld and not what was asked for",
                                    core->conf.gateway_url, a->status);

        http_respond_problem(req, &(struct http_problem){.status = 502,
                                                         .code = "gateway_answer_wrong",
                                                         .detail = detail,
                                                         .cause_layer = "gateway",
                                                         .cause_peer = core->conf.gateway_url,
                                                         .fixes = {"Run the same version of gateway and core."}});
    }
    json_decref(json);
}
