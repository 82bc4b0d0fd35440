#include "http/http_priv.h"

static const struct http_health *
health_of(void *arg)
{
    return arg;
}

static bool
is_ready(const struct http_health *h, struct nx_note *reason)
{
    return !h->is_ready || h->is_ready(h->arg, reason);
}

void
http_serve_live(struct http_req *req, void *arg)
{
    (void)arg;
    http_respond_json(req, 200, json_pack("{s:s}", "status", "alive"));
}

void
http_serve_ready(struct http_req *req, void *arg)
{
    struct nx_note reason = {.text = ""};

    if (is_ready(health_of(arg), &reason)) {
        http_respond_json(req, 200, json_pack("{s:s}", "status", "ready"));
        return;
    }
    req_simple_problem(req, 503, "not_ready", reason.text[0] ? reason.text : "The service is not ready yet.");
}

/* Always 200 while the process answers: the state stands in the body. */
void
http_serve_health(struct http_req *req, void *arg)
{
    const struct http_health *h = health_of(arg);
    struct nx_note reason = {.text = ""};
    bool ready = is_ready(h, &reason);
    json_t *body = json_pack("{s:s, s:s, s:s}", "status", ready ? "healthy" : "degraded", "service",
                             h->service ? h->service : "nexus", "version", NX_VERSION);

    if (!ready)
        json_object_set_new(body, "reason", json_string(reason.text));
    http_respond_json(req, 200, body);
}

void
http_serve_status(struct http_req *req, void *arg)
{
    const struct http_health *h = health_of(arg);
    json_t *body = h->status ? h->status(h->arg) : NULL;

    if (!body)
        body = json_object();
    json_object_set_new(body, "service", json_string(h->service ? h->service : "nexus"));
    json_object_set_new(body, "version", json_string(NX_VERSION));
    http_respond_json(req, 200, body);
}

void
http_serve_metrics(struct http_req *req, void *arg)
{
    const struct http_health *h = health_of(arg);
    struct wbuf body = wbuf_init(0);

    if (h->metrics)
        metrics_print(h->metrics, &body);
    http_respond_buf(req, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}
