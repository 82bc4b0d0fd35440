/* http.h -- HTTP/1.1 and WebSocket server on a loop, on top of libwebsockets.
 *
 * A route is a row: method, path pattern, handler, where it runs. Loop handlers answer at once or later; worker
 * handlers run on the worker pool as plain synchronous code (databases, passwords). Every request ends in exactly one
 * response; a handler that forgets gets 500. Bounded: headers (16 KiB), body (by route), connections, queues, time.
 *
 * A client that ends its side while a handler works counts as gone. The path and the query come decoded ('+' is a space
 * in both: encode it). A request with a body that is pipelined behind another one gets 503 and the connection closes.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/arena.h"
#include "base/wbuf.h"
#include "loop/loop.h"
#include "nexus/err.h"
#include "obs/metrics.h"

#include <jansson.h>

struct http_server;
struct http_req;
struct http_ws;

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_HEAD };
enum http_where { HTTP_ON_LOOP, HTTP_ON_WORKER };

typedef void http_handler(struct http_req *req, void *arg);

/* path: "/api/v1/devices/{id}/tags/{tag}:write". A parameter matches one segment, up to a ':' verb that the pattern
 * names. Literals win over parameters. */
struct http_route {
    enum http_method method;
    const char *path;
    http_handler *handler;
    enum http_where where;
    uint32_t max_body_bytes; /* 0: no body allowed */
    unsigned permission;     /* opaque to the server: for the guard */
};

/* Runs before every routed handler, where the handler runs; for bodies above 64 KiB on the loop, before they are read.
 * Has answered (problem) when it returns false. */
typedef bool http_guard(struct http_req *req, const struct http_route *route, void *arg);

struct http_ws_ops {
    const char *path, *subprotocol;
    /* Loop thread. Returns the connection's state, or NULL to refuse (403, or what it has answered by req). req lives
     * during the call. */
    void *(*on_open)(struct http_ws *ws, struct http_req *req, void *arg);
    void (*on_message)(struct http_ws *ws, void *state, struct slice text);
    void (*on_drained)(struct http_ws *ws, void *state); /* all queued frames have left; may be NULL */
    void (*on_close)(struct http_ws *ws, void *state);
    uint32_t max_message_bytes;
};

struct http_conf {
    const char *bind;                 /* "127.0.0.1" by default */
    uint16_t port;                    /* 0: any free port, see http_port() */
    const char *cert_file, *key_file; /* NULL: plain HTTP */
    const char *static_dir;           /* NULL: none. Single-page app: unknown paths without a dot answer index.html */
    const char *api_prefix;           /* "/api": never falls back to index.html */
    uint32_t max_connections;         /* 0: 1024 */
    uint32_t request_timeout_ms;      /* 0: 30000 */
    const struct http_route *routes;  /* ends with path NULL */
    void *arg;                        /* of handlers, guard and on_open */
    http_guard *guard;                /* NULL: on loopback only requests to localhost are served */
    const struct http_ws_ops *ws;     /* may be NULL */
    struct metrics *metrics;          /* may be NULL: nexus_http_* families */
};

/* Listens. NX_E_CONFLICT with "port 8080 is in use: ..." and the remedy. conf's texts and tables must live as long. */
NX_MUST_CHECK enum nx_err http_open(struct http_server **out, struct loop *loop, const struct http_conf *conf,
                                    struct nx_note *why);
uint16_t http_port(const struct http_server *s);
/* Stops accepting, ends held requests with 503, gives the others up to 2 s, closes; then waits for worker handlers,
 * whose streams fail by now. Blocks that long. Never in a handler or callback of the server (use loop_defer()). *s is
 * NULL on return, no handler runs afterwards. Call before loop_free(). */
void http_close(struct http_server **s);

/* --- the request (valid until answered) --- */
enum http_method http_method_of(const struct http_req *req);
const char *http_path(const struct http_req *req);
const char *http_param(const struct http_req *req, const char *name); /* of the pattern, URL-decoded; NULL if none */
const char *http_query(const struct http_req *req, const char *name); /* first, URL-decoded; NULL if absent */
/* NULL if absent. Standard headers, and of others those listed in request.c (x-request-id, x-csrf-token ...). */
const char *http_header(const struct http_req *req, const char *lower_case_name);
const char *http_cookie(const struct http_req *req, const char *name); /* NULL if absent */
const char *http_peer(const struct http_req *req);                     /* address as text */
bool http_is_tls(const struct http_req *req);
const char *http_request_id(const struct http_req *req); /* X-Request-Id, made when absent */
struct slice http_body(const struct http_req *req);
/* The body as JSON (depth <= 64). On failure it has answered 400/415 with place and reason and returns NULL.
 * The document belongs to the request. */
json_t *http_json_body(struct http_req *req);
struct arena *http_arena(struct http_req *req); /* freed after the response */
/* Whatever the guard found out about the caller. */
void http_set_user(struct http_req *req, void *user, void (*free_user)(void *user));
void *http_user(const struct http_req *req);
struct loop *http_loop(const struct http_req *req);

/* --- the response: any of these exactly once, on the loop or in the worker handler --- */
/* Before the response. Values are copied. */
void http_set_header(struct http_req *req, const char *name, const char *value);
void http_set_cookie(struct http_req *req, const char *name, const char *value, const char *attributes);
void http_respond(struct http_req *req, int status, const char *content_type, struct slice body);     /* copies */
void http_respond_buf(struct http_req *req, int status, const char *content_type, struct wbuf *body); /* takes */
void http_respond_json(struct http_req *req, int status, json_t *json); /* steals the reference */
void http_respond_empty(struct http_req *req, int status);
/* Keeps a loop handler's request open: it is answered later from the loop thread. on_gone runs when the client has
 * gone before that, when request_timeout_ms is over (504) or the server closes (503); the request must not be touched
 * afterwards. */
void http_hold(struct http_req *req, void (*on_gone)(void *arg), void *arg);
/* Streams: begin with a status, then chunks from a worker handler (blocks while the client is slow; false: gone), end.
 */
void http_stream_begin(struct http_req *req, int status, const char *content_type);
bool http_stream_write(struct http_req *req, struct slice chunk);
/* Waits until http_stream_write() takes 64 KiB without waiting, or would fail; false: not within ms. */
bool http_stream_wait(struct http_req *req, uint32_t ms);
void http_stream_end(struct http_req *req);
/* Ends a stream that cannot be completed: the connection closes without the last chunk, so that the client does not
 * take what it has for the whole (of HTTP/1.0 clients none can tell). */
void http_stream_cut(struct http_req *req);
/* The client has gone: no answer reaches it. For long work of worker handlers. */
bool http_is_gone(struct http_req *req);

/* RFC 9457 problem+json. code: "device_not_found"; detail: a sentence with place and cause. */
struct http_problem {
    int status;
    const char *code, *title; /* title NULL: of the status */
    const char *detail;
    const char *cause_layer, *cause_peer,
        *cause_step; /* dns|tcp|tls|auth|protocol|device|policy|storage; may be NULL */
    uint32_t cause_elapsed_ms;
    const char *fixes[4];     /* ends with NULL */
    json_t *errors;           /* array of {pointer, code, detail, suggestion}; stolen; may be NULL */
    const char *current_etag; /* with 412; may be NULL */
};
void http_respond_problem(struct http_req *req, const struct http_problem *problem);
/* The usual mapping of an error: CONFIG/VALUE/RANGE 422, NOT_FOUND 404, CONFLICT 409, DENIED 403, TIMEOUT 504 ... */
void http_respond_err(struct http_req *req, enum nx_err err, const char *code, const struct nx_note *why);

/* --- WebSocket (loop thread) --- */
/* Queues one text frame (copies). false when the connection is closing; past 16 MiB queued it is closed with 1008. */
bool http_ws_send(struct http_ws *ws, struct slice text);
size_t http_ws_pending(const struct http_ws *ws); /* bytes queued */
void http_ws_close(struct http_ws *ws, uint16_t code, const char *reason);

/* --- what every service serves on its admin port --- */
struct http_health {
    /* Fill reason and return false when not ready. May be NULL. Loop thread. */
    bool (*is_ready)(void *arg, struct nx_note *reason);
    /* The service's part of GET /status; new reference. May be NULL. */
    json_t *(*status)(void *arg);
    void *arg;
    const char *service;
    struct metrics *metrics;
};
/* Handlers for GET /health, /health/live, /health/ready, /status, /metrics; arg of the server must point to a struct
 * whose first member is struct http_health. */
extern http_handler http_serve_health, http_serve_live, http_serve_ready, http_serve_status, http_serve_metrics;
#define HTTP_HEALTH_ROUTES                                                                                             \
    {HTTP_GET, "/health", http_serve_health, HTTP_ON_LOOP, 0, 0},                                                      \
        {HTTP_GET, "/health/live", http_serve_live, HTTP_ON_LOOP, 0, 0},                                               \
        {HTTP_GET, "/health/ready", http_serve_ready, HTTP_ON_LOOP, 0, 0},                                             \
        {HTTP_GET, "/status", http_serve_status, HTTP_ON_LOOP, 0, 0},                                                  \
    {                                                                                                                  \
        HTTP_GET, "/metrics", http_serve_metrics, HTTP_ON_LOOP, 0, 0                                                   \
    }

#endif
