#include "http/http_priv.h"

#include <stdlib.h>
#include <strings.h>

/* --- opening --- */

/* Whether the list of Sec-WebSocket-Protocol names ours. */
static bool
offers(const char *list, const char *name)
{
    size_t n = strlen(name);

    while (list && *list) {
        list += strspn(list, ", \t");
        size_t len = strcspn(list, ", \t");
        if (len == n && memcmp(list, name, n) == 0)
            return true;
        list += len;
    }
    return false;
}

static bool
check_upgrade(struct http_req *req, const struct http_ws_ops *ops)
{
    const char *upgrade = http_header(req, "upgrade");

    if (!upgrade || strcasecmp(upgrade, "websocket") != 0)
        req_simple_problem(req, 400, "upgrade_unknown", "The only upgrade on offer is websocket.");
    else if (!ops || strcmp(req->path, ops->path) != 0)
        req_simple_problem(req, 404, "not_found", "There is no WebSocket at this address.");
    else if (ops->subprotocol && !offers(http_header(req, "sec-websocket-protocol"), ops->subprotocol))
        req_simple_problem(req, 400, "subprotocol_missing",
                           arena_printf(&req->arena, "Open the WebSocket with the subprotocol \"%s\".",
                                        ops->subprotocol));
    else
        return true;
    return false;
}

static int
refuse(struct conn *c)
{
    return reply_write(c) < 0 ? -1 : 1;
}

int
ws_upgrade(struct conn *c, struct http_req *req)
{
    const struct http_ws_ops *ops = c->server->conf->ws;

    req->route_label = ops ? ops->path : "unmatched";
    req->must_close = true; /* of a refusal; an accepted request ends here */
    c->in_callback = true;
    if (!check_upgrade(req, ops)) {
        c->in_callback = false;
        return refuse(c);
    }
    c->ws = mem_alloc(sizeof *c->ws);
    c->ws->conn = c;
    c->ws->message = wbuf_init(ops->max_message_bytes);
    c->ws->state = ops->on_open(c->ws, req, c->server->conf->arg);
    c->in_callback = false;
    if (c->ws->state) {
        c->req = NULL;
        req_gone(req);
        return 0;
    }
    free(c->ws);
    c->ws = NULL;
    if (!req->is_answered)
        req_simple_problem(req, 403, "forbidden", "The WebSocket was refused.");
    return refuse(c);
}

int
ws_established(struct conn *c)
{
    if (!c->ws)
        return -1;
    c->ws->is_open = true;
    (void)lws_callback_on_writable(c->wsi);
    return 0;
}

/* --- receiving --- */

int
ws_receive(struct conn *c, struct slice in)
{
    struct http_ws *ws = c->ws;

    if (!ws || ws->close_code)
        return 0;
    if (lws_frame_is_binary(c->wsi)) {
        http_ws_close(ws, 1003, "only text messages");
        return 0;
    }
    wbuf_slice(&ws->message, in);
    if (ws->message.failed) {
        http_ws_close(ws, 1009, "message too long");
        return 0;
    }
    if (lws_remaining_packet_payload(c->wsi) || !lws_is_final_fragment(c->wsi))
        return 0;
    c->server->conf->ws->on_message(ws, ws->state, wbuf_slice_of(&ws->message));
    wbuf_reset(&ws->message);
    return 0;
}

/* --- sending --- */

static void
want_write(struct http_ws *ws)
{
    if (!ws->is_open)
        return;
    (void)lws_callback_on_writable(ws->conn->wsi);
    server_touch(ws->conn->server);
}

bool
http_ws_send(struct http_ws *ws, struct slice text)
{
    if (ws->close_code)
        return false;
    if (ws->queued + text.len > HTTP_WS_MAX_QUEUE) {
        http_ws_close(ws, 1008, "reads too slowly");
        return false;
    }
    struct ws_frame *frame = mem_alloc(sizeof *frame + LWS_PRE + text.len);

    frame->len = text.len;
    if (text.len)
        memcpy(frame->data + LWS_PRE, text.p, text.len);
    if (ws->tail)
        ws->tail->next = frame;
    else
        ws->head = frame;
    ws->tail = frame;
    ws->queued += text.len;
    want_write(ws);
    return true;
}

size_t
http_ws_pending(const struct http_ws *ws)
{
    return ws->queued;
}

void
http_ws_close(struct http_ws *ws, uint16_t code, const char *reason)
{
    if (ws->close_code)
        return;
    ws->close_code = code ? code : 1000;
    ws->close_ms = server_now_ms(ws->conn->server);
    (void)snprintf(ws->close_reason, sizeof ws->close_reason, "%s", reason ? reason : "");
    want_write(ws);
}

static void
drop_first(struct http_ws *ws)
{
    struct ws_frame *frame = ws->head;

    ws->head = frame->next;
    if (!ws->head)
        ws->tail = NULL;
    ws->queued -= frame->len;
    free(frame);
}

/* Within its callbacks libwebsockets can only be told to cut the connection off, without a close frame. */
static void
send_close_later(struct http_ws *ws)
{
    ws->wants_close = !ws->close_sent;
    ws->conn->server->ws_to_close = true;
}

void
ws_send_close(struct conn *c)
{
    struct http_ws *ws = c->ws;
    struct lws *wsi = c->wsi;

    if (!ws || !wsi || !ws->wants_close)
        return;
    ws->wants_close = false;
    ws->close_sent = true;
    lws_close_reason(wsi, (enum lws_close_status)ws->close_code, (unsigned char *)ws->close_reason,
                     strlen(ws->close_reason));
    lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
}

int
ws_write(struct conn *c)
{
    struct http_ws *ws = c->ws;
    bool had_frames = ws && ws->head;

    if (!ws)
        return 0;
    while (ws->head && !lws_partial_buffered(c->wsi) && !lws_send_pipe_choked(c->wsi)) {
        if (lws_write(c->wsi, ws->head->data + LWS_PRE, ws->head->len, LWS_WRITE_TEXT) < 0)
            return -1;
        drop_first(ws);
    }
    if (ws->head || lws_partial_buffered(c->wsi)) {
        (void)lws_callback_on_writable(c->wsi);
        return 0;
    }
    if (ws->close_code)
        send_close_later(ws);
    else if (had_frames && c->server->conf->ws->on_drained)
        c->server->conf->ws->on_drained(ws, ws->state);
    return 0;
}

void
ws_closed(struct conn *c)
{
    struct http_ws *ws = c->ws;

    c->ws = NULL;
    if (!ws->close_code)
        ws->close_code = 1006; /* nothing more can be sent */
    ws->is_open = false;
    c->server->conf->ws->on_close(ws, ws->state);
    while (ws->head)
        drop_first(ws);
    wbuf_free(&ws->message);
    free(ws);
}
