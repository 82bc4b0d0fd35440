#include "http/http_priv.h"

#include "http/json.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

/* --- headers --- */

void
reply_add_header(struct http_req *req, const char *name, const char *value)
{
    struct http_pair *pair = arena_alloc(&req->arena, sizeof *pair);
    char *copy = arena_strdup(&req->arena, value);

    /* A line break in a value would start a header of its own. */
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    pair->name = arena_strdup(&req->arena, name);
    pair->value = copy;
    LL_APPEND(req->out_headers, pair);
}

static struct http_pair *
find_header(struct http_req *req, const char *name)
{
    struct http_pair *pair;

    LL_FOREACH (req->out_headers, pair)
        if (strcasecmp(pair->name, name) == 0)
            return pair;
    return NULL;
}

void
http_set_header(struct http_req *req, const char *name, const char *value)
{
    struct http_pair *old = find_header(req, name);

    if (old)
        LL_DELETE(req->out_headers, old);
    reply_add_header(req, name, value);
}

void
http_set_cookie(struct http_req *req, const char *name, const char *value, const char *attributes)
{
    reply_add_header(req, "Set-Cookie",
                     arena_printf(&req->arena, "%s=%s%s%s", name, value, attributes ? "; " : "",
                                  attributes ? attributes : ""));
}

static void
default_header(struct http_req *req, const char *name, const char *value)
{
    if (!find_header(req, name))
        reply_add_header(req, name, value);
}

static void
add_security_headers(struct http_req *req)
{
    default_header(req, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    default_header(req, "X-Content-Type-Options", "nosniff");
    default_header(req, "X-Frame-Options", "SAMEORIGIN");
    default_header(req, "Referrer-Policy", "same-origin");
    default_header(req, "Cross-Origin-Opener-Policy", "same-origin");
    default_header(req, "Cross-Origin-Resource-Policy", "same-origin");
    default_header(req, "Permissions-Policy", "camera=(), microphone=(), geolocation=()");
    if (req->is_tls)
        default_header(req, "Strict-Transport-Security", "max-age=31536000");
}

static bool
has_no_body(int status)
{
    return status == 204 || status == 304 || status < 200;
}

static void
add_framing(struct http_req *req)
{
    if (req->is_stream && !req->is_http10)
        reply_add_header(req, "Transfer-Encoding", "chunked");
    else if (req->is_stream)
        req->must_close = true;
    else if (!has_no_body(req->status))
        reply_add_header(req, "Content-Length", arena_printf(&req->arena, "%zu", req->out.len));
    if (req->must_close || (!req->on_worker && req->server->is_closing))
        reply_add_header(req, "Connection", "close");
    else if (req->is_http10)
        reply_add_header(req, "Connection", "keep-alive");
}

static void
add_date(struct http_req *req)
{
    time_t now = time(NULL);
    struct tm tm;
    char text[40];

    /* Names of days and months do not follow a locale: the program never sets one. */
    if (gmtime_r(&now, &tm) && strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        default_header(req, "Date", text);
}

void
reply_finish_head(struct http_req *req)
{
    struct http_pair *pair;

    add_date(req);
    default_header(req, "Cache-Control", "no-store");
    default_header(req, "X-Request-Id", req->id ? req->id : "-");
    add_security_headers(req);
    add_framing(req);
    wbuf_reset(&req->head);
    wbuf_printf(&req->head, "HTTP/1.1 %d %s\r\n", req->status, problem_status_text(req->status));
    LL_FOREACH (req->out_headers, pair) {
        wbuf_str(&req->head, pair->name);
        wbuf_str(&req->head, ": ");
        wbuf_str(&req->head, pair->value);
        wbuf_str(&req->head, "\r\n");
    }
    wbuf_str(&req->head, "\r\n");
}

/* --- the handler's side --- */

/* Exactly one answer: a second one is a mistake of ours, but must not harm the client. */
static bool
begin_answer(struct http_req *req, int status, const char *content_type)
{
    if (req->is_answered) {
        log_error(&http_log, "a handler answered twice; the second answer is dropped", KV_STR("path", req->path));
        return false;
    }
    req->is_answered = true;
    req->status = status;
    if (content_type)
        http_set_header(req, "Content-Type", content_type);
    return true;
}

void
http_respond_buf(struct http_req *req, int status, const char *content_type, struct wbuf *body)
{
    struct wbuf taken = *body;

    *body = wbuf_init(taken.max_bytes);
    if (taken.failed) {
        wbuf_free(&taken);
        req_simple_problem(req, 500, "answer_too_large", "The answer is larger than this server sends at once.");
        return;
    }
    if (!begin_answer(req, status, content_type)) {
        wbuf_free(&taken);
        return;
    }
    if (taken.is_fixed)
        wbuf_bytes(&req->out, taken.p, taken.len);
    else
        req->out = taken;
    reply_ready(req);
}

void
http_respond(struct http_req *req, int status, const char *content_type, struct slice body)
{
    if (!begin_answer(req, status, content_type))
        return;
    wbuf_slice(&req->out, body);
    reply_ready(req);
}

void
http_respond_empty(struct http_req *req, int status)
{
    http_respond(req, status, NULL, slice(NULL, 0));
}

void
http_respond_json(struct http_req *req, int status, json_t *json)
{
    struct wbuf body = wbuf_init(0);

    json_print(json, &body);
    json_decref(json);
    http_respond_buf(req, status, "application/json", &body);
}

void
http_respond_problem(struct http_req *req, const struct http_problem *problem)
{
    struct wbuf body = wbuf_init(0);

    problem_print(problem, req->path, req->id, &body);
    json_decref(problem->errors);
    http_respond_buf(req, problem->status, "application/problem+json", &body);
}

void
http_respond_err(struct http_req *req, enum nx_err err, const char *code, const struct nx_note *why)
{
    const char *detail = why && why->text[0] ? why->text : nx_err_text(err);

    req_simple_problem(req, problem_status_of(err), code, detail);
}

/* --- streams --- */

void
http_stream_begin(struct http_req *req, int status, const char *content_type)
{
    assert(req->on_worker);
    if (!begin_answer(req, status, content_type))
        return;
    req->is_stream = true;
    reply_finish_head(req);
    server_notify(req, false);
}

static void
put_chunk(struct http_req *req, struct slice chunk)
{
    if (!req->is_http10)
        wbuf_printf(&req->queue, "%zx\r\n", chunk.len);
    wbuf_slice(&req->queue, chunk);
    if (!req->is_http10)
        wbuf_str(&req->queue, "\r\n");
}

bool
http_stream_write(struct http_req *req, struct slice chunk)
{
    assert(req->is_stream);
    while (chunk.len) {
        struct slice part = slice(chunk.p, chunk.len < HTTP_WRITE_BYTES ? chunk.len : HTTP_WRITE_BYTES);

        pthread_mutex_lock(&req->lock);
        while (!req->is_gone && req->queue.len >= HTTP_STREAM_BYTES)
            pthread_cond_wait(&req->room, &req->lock);
        bool is_gone = req->is_gone, was_empty = req->queue.len == 0;
        if (!is_gone && req->method != HTTP_HEAD)
            put_chunk(req, part);
        pthread_mutex_unlock(&req->lock);
        if (is_gone)
            return false;
        if (was_empty)
            server_notify(req, false);
        chunk = slice_skip(chunk, part.len);
    }
    return true;
}

static struct timespec
time_after(uint32_t ms)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    return t;
}

bool
http_stream_wait(struct http_req *req, uint32_t ms)
{
    const struct timespec end = time_after(ms);
    bool has_room;
    int rc = 0;

    assert(req->is_stream);
    pthread_mutex_lock(&req->lock);
    while (!req->is_gone && req->queue.len >= HTTP_STREAM_BYTES && rc == 0)
        rc = pthread_cond_clockwait(&req->room, &req->lock, CLOCK_MONOTONIC, &end);
    has_room = req->is_gone || req->queue.len < HTTP_STREAM_BYTES;
    pthread_mutex_unlock(&req->lock);
    return has_room;
}

static void
end_stream(struct http_req *req, bool is_whole)
{
    assert(req->is_stream);
    pthread_mutex_lock(&req->lock);
    if (!req->stream_ended && !is_whole)
        req->must_close = true;
    else if (!req->stream_ended && !req->is_http10 && req->method != HTTP_HEAD)
        wbuf_str(&req->queue, "0\r\n\r\n");
    req->stream_ended = true;
    pthread_mutex_unlock(&req->lock);
    server_notify(req, false);
}

void
http_stream_end(struct http_req *req)
{
    end_stream(req, true);
}

void
http_stream_cut(struct http_req *req)
{
    end_stream(req, false);
}

bool
http_is_gone(struct http_req *req)
{
    bool is_gone;

    pthread_mutex_lock(&req->lock);
    is_gone = req->is_gone;
    pthread_mutex_unlock(&req->lock);
    return is_gone;
}

/* --- the connection's side --- */

void
reply_ready(struct http_req *req)
{
    if (req->on_worker)
        return; /* sent when the handler has returned */
    if (!req->is_stream)
        reply_finish_head(req);
    req->state = REQ_SENDING;
    if (req->conn)
        conn_want_write(req->conn);
}

/* Copies up to room bytes of src from offset *sent (which counts from base on). */
static size_t
take_from(const struct wbuf *src, size_t base, size_t *sent, uint8_t *to, size_t room)
{
    size_t offset = *sent - base, n = src->len - offset;

    if (n > room)
        n = room;
    if (n)
        memcpy(to, src->p + offset, n);
    *sent += n;
    return n;
}

static size_t
take_queue(struct http_req *req, uint8_t *to, size_t room)
{
    size_t n;

    pthread_mutex_lock(&req->lock);
    n = req->queue.len < room ? req->queue.len : room;
    if (n) {
        memcpy(to, req->queue.p, n);
        memmove(req->queue.p, req->queue.p + n, req->queue.len - n);
        req->queue.len -= n;
        if (req->queue.len < HTTP_STREAM_BYTES / 2)
            pthread_cond_signal(&req->room);
    }
    pthread_mutex_unlock(&req->lock);
    return n;
}

/* Fills the scratch buffer with the next piece of the answer. */
static size_t
next_piece(struct http_req *req, uint8_t *to)
{
    size_t n = 0;

    if (req->sent < req->head.len)
        n = take_from(&req->head, 0, &req->sent, to, HTTP_WRITE_BYTES);
    if (req->is_stream)
        return n + take_queue(req, to + n, HTTP_WRITE_BYTES - n);
    if (req->method != HTTP_HEAD && !has_no_body(req->status) && req->sent >= req->head.len)
        n += take_from(&req->out, req->head.len, &req->sent, to + n, HTTP_WRITE_BYTES - n);
    return n;
}

static bool
is_complete(struct http_req *req)
{
    bool done;

    if (req->is_stream) {
        pthread_mutex_lock(&req->lock);
        done = req->stream_ended && req->queue.len == 0 && req->sent >= req->head.len;
        pthread_mutex_unlock(&req->lock);
        return done;
    }
    if (req->method == HTTP_HEAD || has_no_body(req->status))
        return req->sent >= req->head.len;
    return req->sent >= req->head.len + req->out.len;
}

static const struct metric_desc REQUESTS = {
    .name = "nexus_http_requests_total",
    .kind = METRIC_COUNTER,
    .help = "Requests answered, by route and status.",
    .labels = {"route", "code"},
};
static const struct metric_desc DURATION = {
    .name = "nexus_http_request_duration_seconds",
    .kind = METRIC_HISTOGRAM,
    .help = "Time from the head of a request to the last byte of its answer.",
    .labels = {"route"},
};

static void
count(struct http_req *req)
{
    struct metrics *m = req->server->conf->metrics;
    const char *route = req->route_label ? req->route_label : "unmatched";
    char code[12];

    if (!m)
        return;
    (void)snprintf(code, sizeof code, "%d", req->status);
    metric_inc(metrics_get(m, &REQUESTS, (const char *const[]){route, code}));
    metric_observe(metrics_get(m, &DURATION, (const char *const[]){route}),
                   (double)(loop_now_ns(req->server->loop) - req->start_ns) / 1e9);
}

static int
complete(struct conn *c)
{
    struct http_req *req = c->req;
    bool must_close = req->must_close || c->server->is_closing;

    count(req);
    log_debug(&http_log, "request", KV_STR("method", parse_method_name(req->method)), KV_STR("path", req->path),
              KV_INT("status", req->status), KV_STR("request_id", req->id));
    req->state = REQ_SENT;
    c->req = NULL;
    req->conn = NULL;
    req_unref(req);
    if (lws_http_transaction_completed(c->wsi) || must_close)
        return -1;
    return 0;
}

int
reply_write(struct conn *c)
{
    struct http_server *s = c->server;
    struct http_req *req = c->req;

    if (!req || req->state != REQ_SENDING)
        return 0;
    if (lws_partial_buffered(c->wsi)) {
        (void)lws_callback_on_writable(c->wsi);
        return 0;
    }
    size_t n = next_piece(req, s->scratch + LWS_PRE);
    c->progress_ms = server_now_ms(s);
    if (n && lws_write(c->wsi, s->scratch + LWS_PRE, n, LWS_WRITE_HTTP) < 0)
        return -1;
    if (is_complete(req) && !lws_partial_buffered(c->wsi))
        return complete(c);
    /* A stream without data waits for its writer. */
    if (n || !req->is_stream || is_complete(req))
        (void)lws_callback_on_writable(c->wsi);
    return 0;
}
