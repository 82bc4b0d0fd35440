#include "core/gateway_call.h"

#include "core/api.h"

#include <curl/curl.h>
#include <stdlib.h>

struct run {
    const struct gateway_call *call;
    const char *url;
    char *body;
    struct wbuf answer;
    long status;
    CURLcode rc;
    char error[CURL_ERROR_SIZE];
    double elapsed_ms;
};

static size_t
take_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct wbuf *w = arg;

    wbuf_bytes(w, p, size * n);
    return w->failed ? 0 : size * n;
}

static void
set_options(CURL *curl, struct run *r, struct curl_slist *headers)
{
    curl_easy_setopt(curl, CURLOPT_URL, r->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)r->call->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 2000L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (r->body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &r->answer);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, r->error);
}

static void
perform(struct run *r)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");

    headers = curl_slist_append(headers, "Expect:");
    r->rc = CURLE_FAILED_INIT;
    if (curl) {
        set_options(curl, r, headers);
        r->rc = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &r->status);
        curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &r->elapsed_ms);
        r->elapsed_ms *= 1000.0;
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
}

/* --- who is asked --- */

struct peer {
    const char *name, *layer;
    const char *timeout, *unreachable, *wrong; /* codes */
    const char *silent, *fix_running, *fix_url, *fix_version;
};

static const struct peer peers[] = {
    [PEER_GATEWAY] = {"gateway", "gateway", "gateway_timeout", "gateway_unreachable", "gateway_answer_wrong",
                      "The gateway does not answer", "Check that the gateway is running.",
                      "Check core.gateway_url in the configuration of the core.",
                      "Run the same version of gateway and core."},
    [PEER_INGEST] = {"ingestion", "ingestion", "ingest_timeout", "ingest_unreachable", "ingest_answer_wrong",
                     "Ingestion does not answer", "Check that `nexus ingest` is running.",
                     "Check core.ingest_url in the configuration of the core.",
                     "Run the same version of ingestion and core."},
};

static const char *
url_of(const struct core *core, enum gateway_peer peer)
{
    return peer == PEER_INGEST ? core->conf.ingest_url : core->conf.gateway_url;
}

static void
fail_call(struct http_req *req, struct core *core, const struct run *r)
{
    const struct peer *peer = &peers[r->call->peer];
    const char *url = url_of(core, r->call->peer);
    bool is_late = r->rc == CURLE_OPERATION_TIMEDOUT;
    struct arena *a = http_arena(req);
    char *detail = is_late ? arena_printf(a, "the %s at %s did not finish %s within %.1f s", peer->name, url,
                                          r->call->what, (double)r->call->timeout_ms / 1000.0)
                           : arena_printf(a, "the %s at %s cannot be reached: %s", peer->name, url,
                                          r->error[0] ? r->error : curl_easy_strerror(r->rc));

    http_respond_problem(req, &(struct http_problem){
                                  .status = is_late ? 504 : 502,
                                  .code = is_late ? peer->timeout : peer->unreachable,
                                  .title = peer->silent,
                                  .detail = detail,
                                  .cause_layer = peer->layer,
                                  .cause_peer = url,
                                  .cause_step = r->call->step,
                                  .cause_elapsed_ms = (uint32_t)r->elapsed_ms,
                                  .fixes = {peer->fix_running, peer->fix_url},
                              });
}

static void
fail_answer(struct http_req *req, struct core *core, const struct run *r)
{
    const struct peer *peer = &peers[r->call->peer];
    const char *url = url_of(core, r->call->peer);
    char *detail = arena_printf(http_arena(req), "the %s at %s answered %ld and not %s", peer->name, url, r->status,
                                r->call->what);

    http_respond_problem(req, &(struct http_problem){.status = 502,
                                                     .code = peer->wrong,
                                                     .detail = detail,
                                                     .cause_layer = peer->layer,
                                                     .cause_peer = url,
                                                     .cause_step = r->call->step,
                                                     .fixes = {peer->fix_version}});
}

static void
pass_bytes(struct http_req *req, const struct run *r)
{
    const struct gateway_call *call = r->call;

    if (call->file_name)
        http_set_header(req, "Content-Disposition",
                        arena_printf(http_arena(req), "attachment; filename=\"%s\"", call->file_name));
    http_set_header(req, "Cache-Control", "no-store");
    http_respond(req, 200, call->content_type ? call->content_type : "application/json", wbuf_slice_of(&r->answer));
}

/* Of the thing that was asked for; "not_found" is what a gateway of another version says to the whole question. */
static bool
is_problem(const json_t *answer)
{
    const char *code = json_string_value(json_object_get(answer, "code"));

    return code && strcmp(code, "not_found") != 0;
}

static void
pass_answer(struct http_req *req, struct core *core, const struct run *r)
{
    struct slice text = wbuf_slice_of(&r->answer);
    bool wants_json = r->call->member || r->status != 200;
    json_t *answer = wants_json ? json_loadb((const char *)text.p, text.len, 0, NULL) : NULL;

    if (r->status == 200 && (!r->call->member || json_is_array(json_object_get(answer, r->call->member))))
        pass_bytes(req, r);
    else if (r->status >= 400 && r->status < 500 && is_problem(answer))
        http_respond(req, (int)r->status, "application/problem+json", text);
    else
        fail_answer(req, core, r);
    json_decref(answer);
}

void
gateway_call(struct http_req *req, struct core *core, const struct gateway_call *call)
{
    struct run r = {.call = call, .answer = wbuf_init(GATEWAY_ANSWER_MAX)};

    r.url = arena_printf(http_arena(req), "%s%s", url_of(core, call->peer), call->path);
    r.body = call->body ? json_dumps(call->body, JSON_COMPACT) : NULL;
    perform(&r);
    if (r.rc == CURLE_OK)
        pass_answer(req, core, &r);
    else
        fail_call(req, core, &r);
    wbuf_free(&r.answer);
    free(r.body);
}
