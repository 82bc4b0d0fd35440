/* live_ws.c -- joins the hub to WebSocket connections. */
#include "core/core_priv.h"

static bool
out_send(void *arg, struct slice text)
{
    return http_ws_send(arg, text);
}

static size_t
out_pending(void *arg)
{
    return http_ws_pending(arg);
}

static void
out_close(void *arg, uint16_t code, const char *reason)
{
    http_ws_close(arg, code, reason);
}

/* A page of another origin could open the socket with the user's cookie, so a cookie counts only with our origin. */
static bool
origin_is_ours(const struct http_req *req)
{
    const char *origin = http_header(req, "origin"), *host = http_header(req, "host");
    const char *after_scheme = origin ? strstr(origin, "://") : NULL;

    return !origin || (host && after_scheme && strcasecmp(after_scheme + 3, host) == 0);
}

static void *
on_open(struct http_ws *ws, struct http_req *req, void *arg)
{
    static const struct hub_out out = {out_send, out_pending, out_close};
    struct core *core = arg;
    struct principal who;
    bool is_known;

    if (!origin_is_ours(req)) {
        log_warn(&core_log, "WebSocket of another origin refused", KV_STR("origin", http_header(req, "origin")),
                 KV_STR("peer", http_peer(req)));
        return NULL;
    }
    is_known = principal_of(core, req, &who);
    if (is_known && !permission_granted(PERM_LIVE_READ, who.role))
        return NULL;
    return hub_open(core->hub, &out, ws, is_known ? who.digest : NULL);
}

static void
on_message(struct http_ws *ws, void *state, struct slice text)
{
    (void)ws;
    hub_message(state, text);
}

static void
on_drained(struct http_ws *ws, void *state)
{
    (void)ws;
    hub_drained(state);
}

static void
on_close(struct http_ws *ws, void *state)
{
    struct hub_conn *conn = state;

    (void)ws;
    hub_close(&conn);
}

const struct http_ws_ops core_ws_ops = {
    .path = "/api/v1/ws",
    .subprotocol = HUB_PROTOCOL,
    .on_open = on_open,
    .on_message = on_message,
    .on_drained = on_drained,
    .on_close = on_close,
    .max_message_bytes = 4u << 20,
};
