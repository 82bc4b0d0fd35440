#include "http/http_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void
conn_kill(struct conn *c)
{
    if (!c->wsi || c->is_killed)
        return;
    c->is_killed = true;
    /* What is buffered cannot be flushed any more, so libwebsockets does not wait for that. Its own timers only start
     * when it is woken. */
    (void)shutdown(c->fd, SHUT_RDWR);
    struct http_server *s = c->server;
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
    lws_cancel_service(s->context);
    server_touch(s);
}

/* While a handler has the request nothing more is read: libwebsockets would spin on it. */
static void
pause_reading(struct conn *c, bool is_paused)
{
    if (c->is_paused == is_paused)
        return;
    c->is_paused = is_paused;
    (void)lws_rx_flow_control(c->wsi, !is_paused);
}

void
conn_want_write(struct conn *c)
{
    if (c->in_callback)
        return;
    pause_reading(c, false); /* a paused connection gets no chance to write */
    c->progress_ms = server_now_ms(c->server);
    (void)lws_callback_on_writable(c->wsi);
    server_touch(c->server);
}

/* --- life --- */

static void
free_conn(struct conn *c)
{
    struct http_server *s = c->server;

    if (c->ws)
        ws_closed(c);
    if (c->req)
        req_gone(c->req);
    DL_DELETE(s->conns, c);
    s->conn_count--;
    free(c);
}

void
conn_accept(struct http_server *s, int fd, const char *peer)
{
    struct conn *c = mem_alloc(sizeof *c);

    c->server = s;
    c->fd = fd;
    c->progress_ms = server_now_ms(s);
    (void)snprintf(c->peer, sizeof c->peer, "%s", peer);
    DL_APPEND(s->conns, c);
    s->conn_count++;
    c->is_adopting = true;
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&(lws_adopt_desc_t){
        .vh = s->vhost,
        .type = LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
        .fd.sockfd = fd,
        .opaque = c,
    });
    c->is_adopting = false;
    /* A refused one may have been destroyed already, may be destroyed later, or may never have come to life. */
    if (c->is_dead || (!wsi && !c->wsi))
        free_conn(c);
    else if (wsi)
        c->wsi = wsi;
}

static int
on_destroy(struct conn *c)
{
    c->wsi = NULL;
    if (c->is_adopting)
        c->is_dead = true;
    else
        free_conn(c);
    return 0;
}

/* --- requests --- */

static void
start_handler(struct conn *c)
{
    lws_set_timeout(c->wsi, NO_PENDING_TIMEOUT, 0);
    req_dispatch(c->req);
}

static struct http_req *
begin_request(struct conn *c)
{
    if (c->req)
        req_gone(c->req);
    c->request_count++;
    c->req = req_new(c->server);
    c->req->conn = c;
    c->progress_ms = server_now_ms(c->server);
    return c->req;
}

static bool
expects_body(struct http_req *req)
{
    const char *length = http_header(req, "content-length");
    uint64_t n = 0;

    return req->is_chunked || (length && parse_content_length(length, &n) && n > 0);
}

static int
send_continue(struct conn *c)
{
    static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const char *expect = http_header(c->req, "expect");

    if (!expect || strcasecmp(expect, "100-continue") != 0 || c->req->is_http10)
        return 0;
    memcpy(c->server->scratch + LWS_PRE, CONTINUE, sizeof CONTINUE - 1);
    return lws_write(c->wsi, c->server->scratch + LWS_PRE, sizeof CONTINUE - 1, LWS_WRITE_HTTP) < 0 ? -1 : 0;
}

/* libwebsockets (4.1 to 4.3) takes the body of a request that came pipelined behind another one from the wrong place:
 * the start of its stash. */
static bool
is_pipelined(struct conn *c)
{
    return c->request_count > 1 && c->server->has_stash;
}

static void
refuse_pipelined(struct http_req *req)
{
    req->must_close = true;
    http_set_header(req, "Retry-After", "0");
    req_simple_problem(req, 503, "pipelined_body",
                       "A request with a body cannot be pipelined behind another one: send it again.");
}

static int
on_head(struct conn *c)
{
    struct http_req *req = begin_request(c);

    if (!req_read_head(req, c->wsi) || !req_route(req))
        return 0;
    if (!expects_body(req)) {
        start_handler(c);
        return 0;
    }
    if (is_pipelined(c)) {
        refuse_pipelined(req);
        return 0;
    }
    if (!req_admit(req))
        return 0;
    return send_continue(c);
}

static void
on_chunks(struct conn *c, struct slice in)
{
    struct http_req *req = c->req;
    enum nx_err err = parse_chunks_feed(&req->chunks, in, &req->body);

    if (err == NX_OK && req->chunks.state == CHUNK_DONE)
        start_handler(c);
    else if (err == NX_E_TOO_LARGE)
        req_simple_problem(req, 413, "body_too_large", "The body is larger than this request allows.");
    else if (err != NX_OK)
        req_simple_problem(req, 400, "bad_framing", "The chunks of the body are malformed.");
}

static int
on_body(struct conn *c, struct slice in)
{
    if (!c->req || c->req->state != REQ_RECEIVING)
        return 0;
    if (c->req->is_chunked)
        on_chunks(c, in);
    else
        wbuf_slice(&c->req->body, in);
    return 0;
}

static int
on_body_end(struct conn *c)
{
    /* libwebsockets repeats this callback when more bytes arrive during the handler. */
    if (c->req && c->req->state == REQ_RECEIVING && !c->req->is_chunked)
        start_handler(c);
    return 0;
}

static int
on_upgrade(struct conn *c)
{
    struct http_req *req = begin_request(c);

    if (!req_read_head(req, c->wsi))
        return 1;
    return ws_upgrade(c, req);
}

static int
on_closed(struct conn *c)
{
    if (c->req)
        req_gone(c->req);
    c->req = NULL;
    return 0;
}

/* Writes what has become ready, or stops reading until it is. */
static int
finish_callback(struct conn *c)
{
    if (!c->req || c->req->state == REQ_RECEIVING)
        return 0;
    if (c->req->state == REQ_HANDLING) {
        pause_reading(c, true);
        return 0;
    }
    pause_reading(c, false);
    return reply_write(c);
}

static int
run_callback(struct conn *c, enum lws_callback_reasons reason, struct slice in)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_head(c);
    case LWS_CALLBACK_HTTP_BODY:
        return on_body(c, in);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return on_body_end(c);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return 0; /* finish_callback() writes */
    case LWS_CALLBACK_ESTABLISHED:
        return ws_established(c);
    case LWS_CALLBACK_RECEIVE:
        return ws_receive(c, in);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return ws_write(c);
    default:
        return 0;
    }
}

static int
on_event(struct conn *c, enum lws_callback_reasons reason, struct slice in)
{
    int result;

    c->in_callback = true;
    result = run_callback(c, reason, in);
    if (result == 0 && !c->ws)
        result = finish_callback(c);
    c->in_callback = false;
    return result;
}

int
conn_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct conn *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;

    (void)user;
    if (!c)
        return 0;
    c->server->again = true;
    c->wsi = wsi;
    switch (reason) {
    case LWS_CALLBACK_WSI_DESTROY:
        lws_set_opaque_user_data(wsi, NULL);
        return on_destroy(c);
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
        if (c->ws && reason == LWS_CALLBACK_CLOSED)
            ws_closed(c);
        return on_closed(c);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return on_upgrade(c);
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return on_event(c, reason, slice(in, len));
    default:
        return 0;
    }
}

/* --- timeouts --- */

/* The peer has ended its side: nobody waits for the answer any more. */
static bool
has_hung_up(const struct conn *c)
{
    char byte;

    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static bool
waits_for_client(struct conn *c)
{
    struct http_req *req = c->req;
    bool has_data;

    if (!req->is_stream || lws_partial_buffered(c->wsi))
        return true;
    pthread_mutex_lock(&req->lock);
    has_data = req->queue.len > 0;
    pthread_mutex_unlock(&req->lock);
    return has_data;
}

static void
tick_request(struct conn *c, uint64_t now_ms)
{
    struct http_req *req = c->req;
    uint32_t limit = c->server->conf->request_timeout_ms;

    if (req->state == REQ_RECEIVING && now_ms - req->since_ms > limit)
        req_abandon(req, 408, "request_timeout", "The body of the request did not arrive in time.");
    else if (req->state == REQ_HANDLING && req->is_held && now_ms - req->since_ms > limit)
        req_abandon(req, 504, "answer_timeout", "The answer was not ready in time.");
    else if (req->state == REQ_SENDING && now_ms - c->progress_ms > limit && waits_for_client(c))
        conn_kill(c);
    else if (req->state != REQ_RECEIVING && has_hung_up(c))
        conn_kill(c);
}

void
conn_tick(struct conn *c, uint64_t now_ms)
{
    if (!c->wsi)
        return;
    if (c->req)
        tick_request(c, now_ms);
    else if (c->ws && c->ws->close_code && now_ms - c->ws->close_ms > 5000)
        conn_kill(c);
    else if (!c->ws && now_ms - c->progress_ms > c->server->conf->request_timeout_ms)
        conn_kill(c);
}

void
conn_shut(struct conn *c)
{
    if (c->ws)
        http_ws_close(c->ws, 1001, "the server is stopping");
    else if (c->req && c->req->state == REQ_HANDLING && c->req->is_held)
        req_abandon(c->req, 503, "stopping", "The server is stopping.");
}
