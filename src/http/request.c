#include "http/http_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

/* Headers that libwebsockets does not know by itself and that we hand on. */
static const char *const CUSTOM_HEADERS[] = {
    "x-request-id:", "x-csrf-token:", "x-forwarded-proto:", "x-forwarded-host:", "idempotency-key:",
    "prefer:",       "traceparent:",  "sec-fetch-site:",    "sec-fetch-mode:",   "forwarded:",
    "dnt:",
};

struct http_req *
req_new(struct http_server *s)
{
    struct http_req *req = mem_alloc(sizeof *req);

    req->server = s;
    atomic_init(&req->refs, 1);
    req->start_ns = loop_now_ns(s->loop);
    req->since_ms = server_now_ms(s);
    req->body = wbuf_init(1);
    req->head = wbuf_init(256u * 1024u);
    req->out = wbuf_init(0);
    req->queue = wbuf_init(0);
    pthread_mutex_init(&req->lock, NULL);
    pthread_cond_init(&req->room, NULL);
    return req;
}

void
req_unref(struct http_req *req)
{
    if (atomic_fetch_sub(&req->refs, 1) != 1)
        return;
    if (req->free_user)
        req->free_user(req->user);
    json_decref(req->json);
    wbuf_free(&req->body);
    wbuf_free(&req->head);
    wbuf_free(&req->out);
    wbuf_free(&req->queue);
    arena_free(&req->arena);
    pthread_mutex_destroy(&req->lock);
    pthread_cond_destroy(&req->room);
    free(req);
}

/* --- the head --- */

static void
add_pair(struct http_req *req, struct http_pair **list, const char *name, const char *value)
{
    struct http_pair *pair = arena_alloc(&req->arena, sizeof *pair);

    pair->name = name;
    pair->value = value;
    LL_APPEND(*list, pair);
}

static void
read_known_headers(struct http_req *req, struct lws *wsi)
{
    for (int t = 0; t < WSI_TOKEN_COUNT; t++) {
        const char *name = (const char *)lws_token_to_string((enum lws_token_indexes)t);
        size_t name_len = name ? strlen(name) : 0;
        int len = name_len > 1 && name[0] != ':' && name[name_len - 1] == ':'
                      ? lws_hdr_total_length(wsi, (enum lws_token_indexes)t)
                      : 0;

        if (len <= 0)
            continue;
        char *value = arena_alloc(&req->arena, (size_t)len + 64);
        if (lws_hdr_copy(wsi, value, len + 64, (enum lws_token_indexes)t) >= 0)
            add_pair(req, &req->headers, arena_strndup(&req->arena, name, name_len - 1), value);
    }
}

static void
read_custom_headers(struct http_req *req, struct lws *wsi)
{
    for (size_t i = 0; i < MEM_COUNT(CUSTOM_HEADERS); i++) {
        const char *name = CUSTOM_HEADERS[i];
        int name_len = (int)strlen(name), len = lws_hdr_custom_length(wsi, name, name_len);

        if (len < 0)
            continue;
        char *value = arena_alloc(&req->arena, (size_t)len + 2);
        if (lws_hdr_custom_copy(wsi, value, len + 1, name, name_len) >= 0)
            add_pair(req, &req->headers, arena_strndup(&req->arena, name, (size_t)name_len - 1), value);
    }
}

/* libwebsockets has split the query at '&' and decoded each part. */
static void
read_query(struct http_req *req, struct lws *wsi)
{
    for (int i = 0;; i++) {
        int len = lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i);

        if (len <= 0)
            return;
        char *part = arena_alloc(&req->arena, (size_t)len + 2);
        if (lws_hdr_copy_fragment(wsi, part, len + 1, WSI_TOKEN_HTTP_URI_ARGS, i) < 0)
            return;
        char *equals = strchr(part, '=');
        if (equals)
            *equals = '\0';
        add_pair(req, &req->query, part, equals ? equals + 1 : "");
    }
}

static bool
read_line(struct http_req *req, struct lws *wsi)
{
    static const int METHODS[] = {
        [LWSHUMETH_GET] = HTTP_GET, [LWSHUMETH_POST] = HTTP_POST,   [LWSHUMETH_OPTIONS] = HTTP_OPTIONS,
        [LWSHUMETH_PUT] = HTTP_PUT, [LWSHUMETH_PATCH] = HTTP_PATCH, [LWSHUMETH_DELETE] = HTTP_DELETE,
        [LWSHUMETH_CONNECT] = -1,   [LWSHUMETH_HEAD] = HTTP_HEAD,
    };
    char *uri = NULL;
    int len = 0, method = lws_http_get_uri_and_method(wsi, &uri, &len);

    if (method < 0 || method >= (int)MEM_COUNT(METHODS) || METHODS[method] < 0 || !uri)
        return false;
    req->method = (enum http_method)METHODS[method];
    req->path = arena_strndup(&req->arena, uri, (size_t)len);
    return true;
}

static void
choose_id(struct http_req *req)
{
    const char *given = http_header(req, "x-request-id");
    uint64_t r[2] = {0, 0};

    if (given && parse_is_request_id(given)) {
        req->id = given;
        return;
    }
    if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
        r[0] = req->start_ns;
    req->id = arena_printf(&req->arena, "%016llx%016llx", (unsigned long long)r[0], (unsigned long long)r[1]);
}

bool
req_read_head(struct http_req *req, struct lws *wsi)
{
    char version[16];

    req->path = "/";
    req->peer = arena_strdup(&req->arena, req->conn->peer);
    req->is_tls = req->server->conf->cert_file != NULL;
    bool ok = read_line(req, wsi);
    req->is_http10 = lws_hdr_copy(wsi, version, sizeof version, WSI_TOKEN_HTTP) < 8 || strcmp(version, "HTTP/1.1") != 0;
    read_known_headers(req, wsi);
    read_custom_headers(req, wsi);
    read_query(req, wsi);
    choose_id(req);
    if (!ok) {
        req->must_close = true;
        req_simple_problem(req, 501, "method_unknown", "The request method is not one that this server knows.");
    }
    return ok;
}

/* --- routing --- */

void
req_simple_problem(struct http_req *req, int status, const char *code, const char *detail)
{
    http_respond_problem(req, &(struct http_problem){.status = status, .code = code, .detail = detail});
}

static bool
refuse_body(struct http_req *req, int status, const char *code, const char *detail)
{
    req->must_close = true; /* what is still coming is not worth reading */
    req_simple_problem(req, status, code, detail);
    return false;
}

static bool
is_below(const char *path, const char *prefix)
{
    size_t n = prefix ? strlen(prefix) : 0;

    return n && strncmp(path, prefix, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool
route_by_files(struct http_req *req)
{
    struct wbuf allow = wbuf_init(256);

    req->route_label = "static";
    if (!req->match.allowed && !is_below(req->path, req->server->conf->api_prefix) && files_serve(req))
        return false;
    req->route_label = "unmatched";
    if (!req->match.allowed) {
        req_simple_problem(req, 404, "not_found", arena_printf(&req->arena, "There is nothing at %.200s.", req->path));
        return false;
    }
    route_allow(req->match.allowed, &allow);
    http_set_header(req, "Allow", wbuf_cstr(&allow));
    req_simple_problem(req, 405, "method_not_allowed",
                       arena_printf(&req->arena, "%s is not possible here. Use one of: %s.",
                                    parse_method_name(req->method), wbuf_cstr(&allow)));
    wbuf_free(&allow);
    return false;
}

static const char *
too_large_text(struct http_req *req, uint32_t limit)
{
    if (!limit)
        return "This request takes no body.";
    return arena_printf(&req->arena, "The body is larger than the limit of %u bytes for this request.", limit);
}

/* Framing of the body (RFC 9112, 6.3): the ambiguous forms that make request smuggling possible are refused. */
static bool
check_body(struct http_req *req)
{
    const char *length = http_header(req, "content-length"), *coding = http_header(req, "transfer-encoding");
    uint32_t limit = req->match.route ? req->match.route->max_body_bytes : 0;
    uint64_t n = 0;

    if (coding && length)
        return refuse_body(req, 400, "bad_framing", "Content-Length and Transfer-Encoding exclude each other.");
    if (coding && strcasecmp(coding, "chunked") != 0)
        return refuse_body(req, 501, "bad_framing", "The only Transfer-Encoding for requests is chunked.");
    if (coding && req->is_http10)
        return refuse_body(req, 400, "bad_framing", "HTTP/1.0 has no Transfer-Encoding.");
    if (length && !parse_content_length(length, &n))
        return refuse_body(req, 400, "bad_framing", "Content-Length is not a number of bytes.");
    if (coding && req->method != HTTP_POST && req->method != HTTP_PUT && req->method != HTTP_PATCH)
        return refuse_body(req, 411, "length_required", "This method takes a body only with a Content-Length.");
    if (n > limit || (coding && !limit))
        return refuse_body(req, 413, "body_too_large", too_large_text(req, limit));
    req->is_chunked = coding != NULL;
    /* libwebsockets waits for a body behind POST, PUT and PATCH without a length, and cannot be told where chunks
     * end: such connections are closed after the answer. */
    if (coding || (!length && (req->method == HTTP_POST || req->method == HTTP_PUT || req->method == HTTP_PATCH)))
        req->must_close = true;
    req->body = wbuf_init(limit ? limit : 1);
    return true;
}

/* Without a guard everybody on this machine may ask, but not the pages of other sites in a browser on it: a site whose
 * name leads to 127.0.0.1 (DNS rebinding) still sends its own name. */
static bool
check_host(struct http_req *req)
{
    const struct http_conf *conf = req->server->conf;
    const char *host = http_header(req, "host");
    bool is_local = parse_is_loopback(conf->bind) || strcmp(conf->bind, "::1") == 0;

    if (conf->guard || !is_local || !host || parse_is_loopback(host))
        return true;
    req->must_close = true;
    req_simple_problem(req, 403, "host_unknown",
                       arena_printf(&req->arena, "This service answers only as localhost, not as %.100s.", host));
    return false;
}

bool
req_route(struct http_req *req)
{
    if (!check_host(req))
        return false;
    route_find(req->server->conf->routes, req->method, req->path, &req->match);
    if (req->match.route)
        req->route_label = req->match.route->path;
    if (!check_body(req))
        return false;
    return req->match.route || route_by_files(req);
}

/* --- handlers --- */

static bool
ask_guard(struct http_req *req)
{
    const struct http_conf *conf = req->server->conf;

    if (req->is_admitted || !conf->guard || conf->guard(req, req->match.route, conf->arg))
        return true;
    if (!req->is_answered)
        req_simple_problem(req, 403, "forbidden", "The request was refused.");
    return false;
}

bool
req_admit(struct http_req *req)
{
    uint64_t n = req->match.route->max_body_bytes;
    const char *length = http_header(req, "content-length");

    if (length)
        (void)parse_content_length(length, &n);
    if (n <= HTTP_FREE_BODY_BYTES)
        return true;
    req->is_admitted = ask_guard(req);
    req->must_close = req->must_close || !req->is_admitted; /* what is still coming is not worth reading */
    return req->is_admitted;
}

static void
run_handler(struct http_req *req)
{
    const struct http_conf *conf = req->server->conf;
    const struct http_route *route = req->match.route;

    if (!ask_guard(req))
        return;
    route->handler(req, conf->arg);
    if (!req->is_answered && !req->is_held) {
        log_error(&http_log, "a handler has not answered; sending 500", KV_STR("route", route->path));
        req_simple_problem(req, 500, "internal_error",
                           "The server made no answer. This is a defect, please report it.");
    }
}

static void
work(void *arg)
{
    struct http_req *req = arg;

    run_handler(req);
    if (req->is_stream)
        http_stream_end(req);
    server_notify(req, true);
}

/* The worker's reference; the server may be closed by now. */
static void
work_done(void *arg)
{
    req_unref(arg);
}

void
req_dispatch(struct http_req *req)
{
    struct http_server *s = req->server;

    req->state = REQ_HANDLING;
    req->since_ms = server_now_ms(s);
    if (req->match.route->where == HTTP_ON_LOOP) {
        run_handler(req);
        return;
    }
    req->on_worker = true;
    atomic_fetch_add(&req->refs, 1);
    pthread_mutex_lock(&s->lock);
    s->workers_active++;
    pthread_mutex_unlock(&s->lock);
    loop_work(s->loop, work, work_done, req);
}

void
http_hold(struct http_req *req, void (*on_gone)(void *arg), void *arg)
{
    assert(!req->on_worker && !req->is_answered);
    req->is_held = true;
    req->on_gone = on_gone;
    req->gone_arg = arg;
}

static void
tell_gone(struct http_req *req)
{
    if (!req->is_held || req->is_answered)
        return;
    req->is_held = false;
    if (req->on_gone)
        req->on_gone(req->gone_arg);
}

void
req_gone(struct http_req *req)
{
    pthread_mutex_lock(&req->lock);
    req->is_gone = true;
    pthread_cond_broadcast(&req->room);
    pthread_mutex_unlock(&req->lock);
    req->conn = NULL;
    tell_gone(req);
    req_unref(req);
}

void
req_abandon(struct http_req *req, int status, const char *code, const char *detail)
{
    tell_gone(req);
    req->must_close = true;
    req_simple_problem(req, status, code, detail);
}

/* --- accessors --- */

static const char *
find_pair(const struct http_pair *list, const char *name)
{
    for (; list; list = list->next)
        if (strcmp(list->name, name) == 0)
            return list->value;
    return NULL;
}

enum http_method
http_method_of(const struct http_req *req)
{
    return req->method;
}

const char *
http_path(const struct http_req *req)
{
    return req->path;
}

const char *
http_param(const struct http_req *req, const char *name)
{
    for (unsigned i = 0; i < req->match.param_count; i++)
        if (slice_eq_str(req->match.params[i].name, name))
            return arena_strndup(http_arena((struct http_req *)(uintptr_t)req), req->match.params[i].value.p,
                                 req->match.params[i].value.len);
    return NULL;
}

const char *
http_query(const struct http_req *req, const char *name)
{
    return find_pair(req->query, name);
}

const char *
http_header(const struct http_req *req, const char *lower_case_name)
{
    return find_pair(req->headers, lower_case_name);
}

const char *
http_cookie(const struct http_req *req, const char *name)
{
    const char *header = http_header(req, "cookie");
    struct slice value = header ? parse_cookie(header, name) : slice(NULL, 0);

    return value.p ? arena_strndup(http_arena((struct http_req *)(uintptr_t)req), value.p, value.len) : NULL;
}

const char *
http_peer(const struct http_req *req)
{
    return req->peer;
}

bool
http_is_tls(const struct http_req *req)
{
    return req->is_tls;
}

const char *
http_request_id(const struct http_req *req)
{
    return req->id;
}

struct slice
http_body(const struct http_req *req)
{
    return wbuf_slice_of(&req->body);
}

struct arena *
http_arena(struct http_req *req)
{
    return &req->arena;
}

void
http_set_user(struct http_req *req, void *user, void (*free_user)(void *user))
{
    if (req->free_user)
        req->free_user(req->user);
    req->user = user;
    req->free_user = free_user;
}

void *
http_user(const struct http_req *req)
{
    return req->user;
}

struct loop *
http_loop(const struct http_req *req)
{
    return req->server->loop;
}

/* --- JSON bodies --- */

#define JSON_MAX_DEPTH 64

/* Nesting outside strings; jansson's own limit is 2048, too deep for recursive readers. */
static bool
is_too_deep(struct slice text)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];

        if (in_string) {
            if (c == '\\')
                i++;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_MAX_DEPTH)
                return true;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return false;
}

json_t *
http_json_body(struct http_req *req)
{
    const char *type = http_header(req, "content-type");
    struct slice body = http_body(req);
    json_error_t error;

    if (req->json)
        return req->json;
    if (body.len == 0) {
        req_simple_problem(req, 400, "body_missing", "The request needs a JSON body.");
        return NULL;
    }
    if (!type || !parse_is_json(type)) {
        req_simple_problem(req, 415, "not_json", "The body must be JSON: send Content-Type: application/json.");
        return NULL;
    }
    if (is_too_deep(body)) {
        req_simple_problem(req, 400, "json_too_deep", "The JSON body is nested more than 64 levels deep.");
        return NULL;
    }
    req->json = json_loadb((const char *)body.p, body.len, JSON_REJECT_DUPLICATES, &error);
    if (!req->json)
        req_simple_problem(req, 400, "json_invalid",
                           arena_printf(&req->arena, "The JSON body is wrong at line %d, column %d: %s.", error.line,
                                        error.column, error.text));
    return req->json;
}
