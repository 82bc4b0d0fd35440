/* http_priv.h -- what server.c, conn.c, request.c, ws.c, files.c and health.c share. Only for src/http.
 *
 * libwebsockets runs on a small libuv loop of its own (inner), which is embedded into the service's loop through its
 * backend descriptor. So http_close() can drive the inner loop to its end by itself, at any time outside a handler,
 * and nothing of libwebsockets is left in the service's loop.
 *
 * Threads: everything belongs to the loop thread, but a request that a worker handler has in hand: what both sides
 * touch then (is_gone, the stream queue) is under req->lock. A worker tells the loop by server_notify(). */
#ifndef HTTP_HTTP_PRIV_H
#define HTTP_HTTP_PRIV_H

#include "base/mem.h"
#include "http/http.h"
#include "http/parse.h"
#include "http/problem.h"
#include "http/route.h"
#include "obs/log.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <utlist.h>
#include <uv.h>

#define HTTP_MAX_HEADER_BYTES (16u * 1024u)
#define HTTP_WRITE_BYTES      (64u * 1024u)  /* one lws_write() */
#define HTTP_STREAM_BYTES     (256u * 1024u) /* queued of a stream before its writer has to wait */
#define HTTP_WS_MAX_QUEUE     (16u * 1024u * 1024u)
#define HTTP_FREE_BODY_BYTES  (64u * 1024u) /* what strangers may send before the guard looks at them */
#define HTTP_TICK_MS          500u
#define HTTP_CLOSE_MS         2000u
#define HTTP_PING_S           15u

struct conn;

struct http_pair {
    struct http_pair *next;
    const char *name, *value;
};

enum req_state {
    REQ_RECEIVING, /* the body is on its way */
    REQ_HANDLING,  /* a handler has it, or has held it */
    REQ_SENDING,   /* head and body are ready, or a stream has begun */
    REQ_SENT,
};

struct http_req {
    struct http_server *server; /* NULL after http_close() */
    struct conn *conn;          /* NULL when the client has gone; loop thread */
    atomic_uint refs;           /* connection, worker, list of the ready */
    struct arena arena;
    enum req_state state; /* loop thread */
    uint64_t start_ns, since_ms;

    /* what came in */
    enum http_method method;
    const char *path, *peer, *id;
    bool is_tls, is_http10, is_admitted;
    struct http_pair *headers, *query;
    struct route_match match;
    const char *route_label;
    struct wbuf body;
    json_t *json;
    bool is_chunked;
    struct parse_chunks chunks;
    void *user;
    void (*free_user)(void *user);

    /* held */
    bool is_held;
    void (*on_gone)(void *arg);
    void *gone_arg;

    /* the answer */
    bool on_worker;   /* a worker handler runs: the answer waits for its end */
    bool is_answered; /* by the handler's side */
    bool must_close;
    int status;
    struct http_pair *out_headers;
    struct wbuf head, out;
    size_t sent; /* of head, then of out */

    /* a stream; under lock */
    pthread_mutex_t lock;
    pthread_cond_t room;
    bool is_stream, stream_ended, is_gone;
    struct wbuf queue;

    bool is_notified;            /* under server->lock: in the server's list */
    bool worker_done;            /* under server->lock */
    struct http_req *next_ready; /* under server->lock */
};

struct ws_frame {
    struct ws_frame *next;
    size_t len;
    uint8_t data[]; /* LWS_PRE bytes of room, then the text */
};

struct http_ws {
    struct conn *conn; /* never NULL between on_open and on_close */
    void *state;
    bool is_open, wants_close, close_sent;
    struct ws_frame *head, *tail;
    size_t queued;
    uint16_t close_code; /* 0: open */
    char close_reason[100];
    uint64_t close_ms;
    struct wbuf message;
};

/* One accepted socket. Freed when libwebsockets destroys its wsi. */
struct conn {
    struct conn *prev, *next;
    struct http_server *server;
    struct lws *wsi;
    int fd;
    char peer[64];
    struct http_req *req;
    struct http_ws *ws;
    uint64_t request_count;
    uint64_t progress_ms; /* the last byte that moved */
    bool is_paused;       /* receive flow control */
    bool in_callback;     /* what is ready is written at the end of the callback */
    bool is_adopting, is_dead, is_killed;
};

/* Handles in the service's loop: they outlive the server by a turn. */
struct bridge {
    struct http_server *server; /* NULL after http_close() */
    uv_poll_t poll;
    uv_timer_t timer;
    uv_idle_t idle;
    unsigned open_handles;
};

struct http_server {
    const struct http_conf *conf;
    struct http_conf conf_copy;
    struct loop *loop;
    struct bridge *bridge;
    uv_loop_t inner;
    uv_poll_t listener;
    uv_timer_t tick, wakeup;
    uv_async_t ready_async;
    int listen_fd;
    uint16_t port;
    struct lws_context *context; /* NULLed by libwebsockets at the end of its destruction */
    struct lws_vhost *vhost;
    struct lws_protocols protocols[3];
    lws_retry_bo_t validity;
    struct conn *conns;
    unsigned conn_count;
    bool in_inner, again, is_accepting, is_closing, ws_to_close, has_stash;
    uint8_t scratch[LWS_PRE + HTTP_WRITE_BYTES];

    pthread_mutex_t lock;
    struct http_req *ready;  /* requests whose worker has news */
    unsigned workers_active; /* under lock */
};

extern const struct log_ctx http_log;

/* --- server.c --- */
/* A worker has news for the loop. Any thread; the server must not be closed: a worker counts in workers_active. */
void server_notify(struct http_req *req, bool worker_done);
/* Something was asked of libwebsockets outside its own callbacks: run it soon. */
void server_touch(struct http_server *s);
uint64_t server_now_ms(const struct http_server *s);

/* --- conn.c --- */
int conn_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
void conn_accept(struct http_server *s, int fd, const char *peer);
void conn_kill(struct conn *c);
/* Asks for a chance to write. */
void conn_want_write(struct conn *c);
/* Looks after timeouts and clients that have gone. */
void conn_tick(struct conn *c, uint64_t now_ms);
/* Ends held requests; the rest is finished or cut off by http_close(). */
void conn_shut(struct conn *c);

/* --- request.c --- */
struct http_req *req_new(struct http_server *s);
void req_unref(struct http_req *req);
/* Copies the head of the request from libwebsockets. false: answered already (400). */
bool req_read_head(struct http_req *req, struct lws *wsi);
/* Routes a request whose head is complete. false: answered already (404, 405, 413 ...). */
bool req_route(struct http_req *req);
/* Before a body beyond HTTP_FREE_BODY_BYTES is read: false when the guard has refused the request. */
bool req_admit(struct http_req *req);
/* The request is complete: runs its handler. */
void req_dispatch(struct http_req *req);
/* The client has gone or gets no answer any more. */
void req_gone(struct http_req *req);
/* The held request ends without its handler. */
void req_abandon(struct http_req *req, int status, const char *code, const char *detail);
void req_simple_problem(struct http_req *req, int status, const char *code, const char *detail);

/* --- reply.c --- */
void reply_finish_head(struct http_req *req);
/* The answer is complete on the handler's side: hands it to the connection. */
void reply_ready(struct http_req *req);
/* Writes the next piece; <0: close the connection. */
int reply_write(struct conn *c);
void reply_add_header(struct http_req *req, const char *name, const char *value);

/* --- files.c --- */
/* Answers GET and HEAD of static files. false: not a file of ours. */
bool files_serve(struct http_req *req);

/* --- ws.c --- */
/* An upgrade request: 0 goes on, 1 answered with a refusal. */
int ws_upgrade(struct conn *c, struct http_req *req);
int ws_established(struct conn *c);
int ws_receive(struct conn *c, struct slice in);
int ws_write(struct conn *c);
void ws_closed(struct conn *c);
/* Starts the closing handshake where ws_write() has found the queue empty. Outside callbacks of libwebsockets. */
void ws_send_close(struct conn *c);

#endif
