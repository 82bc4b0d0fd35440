#include "http/http_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

const struct log_ctx http_log = {.module = "http"};

/* --- the inner loop --- */

uint64_t
server_now_ms(const struct http_server *s)
{
    return loop_now_ns(s->loop) / 1000000;
}

static void on_bridge_timer(uv_timer_t *timer);
static void on_bridge_idle(uv_idle_t *idle);

/* When the service's loop has to come back to the inner one. */
static void
arm_bridge(struct http_server *s)
{
    int timeout;

    uv_update_time(&s->inner);
    timeout = s->again ? 0 : uv_backend_timeout(&s->inner);
    if (timeout == 0)
        uv_idle_start(&s->bridge->idle, on_bridge_idle);
    else
        uv_idle_stop(&s->bridge->idle);
    if (timeout > 0)
        uv_timer_start(&s->bridge->timer, on_bridge_timer, (uint64_t)timeout, 0);
    else
        uv_timer_stop(&s->bridge->timer);
}

/* Bytes that were read with an earlier request and wait are what lets libwebsockets want service without an event.
 * They are parsed a turn after they were stashed at the earliest, so asking before the turn is enough. */
static bool
has_stash(struct http_server *s)
{
    return s->is_closing || (s->context && lws_service_adjust_timeout(s->context, -1, 0) == 0);
}

static void
turn_inner(struct http_server *s, uv_run_mode mode)
{
    struct conn *c, *next;

    s->has_stash = has_stash(s);
    uv_run(&s->inner, mode);
    if (!s->ws_to_close)
        return;
    s->ws_to_close = false;
    s->again = true;
    DL_FOREACH_SAFE (s->conns, c, next)
        ws_send_close(c);
    lws_cancel_service(s->context); /* its timers only start when it is woken */
}

/* What callbacks ask of libuv takes effect only in the next turn of the inner loop: hence another one after each that
 * did something, but a few at a time. */
static void
run_inner(struct http_server *s)
{
    unsigned turns = 0;

    assert(!s->in_inner);
    s->in_inner = true;
    do {
        s->again = false;
        turn_inner(s, UV_RUN_NOWAIT);
    } while (s->again && ++turns < 4);
    s->in_inner = false;
    arm_bridge(s);
}

static void
on_bridge_poll(uv_poll_t *poll, int status, int events)
{
    struct bridge *b = poll->data;

    (void)status;
    (void)events;
    if (b->server)
        run_inner(b->server);
}

static void
on_bridge_timer(uv_timer_t *timer)
{
    struct bridge *b = timer->data;

    if (b->server)
        run_inner(b->server);
}

static void
on_bridge_idle(uv_idle_t *idle)
{
    struct bridge *b = idle->data;

    if (b->server)
        run_inner(b->server);
}

void
server_touch(struct http_server *s)
{
    s->again = true;
    if (!s->in_inner && s->bridge)
        uv_idle_start(&s->bridge->idle, on_bridge_idle);
}

static void
open_bridge(struct http_server *s)
{
    struct bridge *b = mem_alloc(sizeof *b);
    uv_loop_t *uv = loop_uv(s->loop);

    b->server = s;
    b->open_handles = 3;
    b->poll.data = b->timer.data = b->idle.data = b;
    uv_poll_init(uv, &b->poll, uv_backend_fd(&s->inner));
    uv_timer_init(uv, &b->timer);
    uv_idle_init(uv, &b->idle);
    uv_poll_start(&b->poll, UV_READABLE, on_bridge_poll);
    s->bridge = b;
}

static void
on_bridge_closed(uv_handle_t *handle)
{
    struct bridge *b = handle->data;

    if (--b->open_handles == 0)
        free(b);
}

static void
close_bridge(struct http_server *s)
{
    struct bridge *b = s->bridge;

    s->bridge = NULL;
    b->server = NULL;
    uv_close((uv_handle_t *)&b->poll, on_bridge_closed);
    uv_close((uv_handle_t *)&b->timer, on_bridge_closed);
    uv_close((uv_handle_t *)&b->idle, on_bridge_closed);
}

/* --- news from workers --- */

void
server_notify(struct http_req *req, bool worker_done)
{
    struct http_server *s = req->server;

    pthread_mutex_lock(&s->lock);
    if (worker_done) {
        req->worker_done = true;
        s->workers_active--;
    }
    if (!req->is_notified) {
        req->is_notified = true;
        atomic_fetch_add(&req->refs, 1);
        req->next_ready = s->ready;
        s->ready = req;
    }
    uv_async_send(&s->ready_async);
    pthread_mutex_unlock(&s->lock);
}

static struct http_req *
take_ready(struct http_server *s, bool *worker_done)
{
    struct http_req *req;

    pthread_mutex_lock(&s->lock);
    req = s->ready;
    if (req) {
        s->ready = req->next_ready;
        req->is_notified = false;
        *worker_done = req->worker_done;
    }
    pthread_mutex_unlock(&s->lock);
    return req;
}

static void
drain_ready(struct http_server *s)
{
    struct http_req *req;
    bool worker_done;

    while ((req = take_ready(s, &worker_done))) {
        if (worker_done && req->on_worker) {
            req->on_worker = false;
            if (!req->is_stream)
                reply_ready(req);
        }
        if (req->conn && req->is_stream) {
            req->state = REQ_SENDING;
            conn_want_write(req->conn);
        }
        req_unref(req);
    }
}

static void
on_ready(uv_async_t *async)
{
    struct http_server *s = async->data;

    s->again = true;
    drain_ready(s);
}

/* --- accepting --- */

static void
peer_text(const struct sockaddr_storage *addr, char *out, size_t cap)
{
    const struct sockaddr_in6 *in6 = (const void *)addr;
    const struct sockaddr_in *in4 = (const void *)addr;
    const void *raw = addr->ss_family == AF_INET6 ? (const void *)&in6->sin6_addr : (const void *)&in4->sin_addr;

    if (!inet_ntop(addr->ss_family, raw, out, (socklen_t)cap))
        (void)snprintf(out, cap, "unknown");
}

static void
on_accept(uv_poll_t *poll, int status, int events)
{
    struct http_server *s = poll->data;

    (void)status;
    (void)events;
    s->again = true;
    while (s->conn_count < s->conf->max_connections) {
        struct sockaddr_storage addr = {0};
        socklen_t len = sizeof addr;
        char peer[64];
        int one = 1, fd = accept4(s->listen_fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            return;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        peer_text(&addr, peer, sizeof peer);
        conn_accept(s, fd, peer);
    }
    /* Full: the others wait in the kernel's queue until the tick looks again. */
    uv_poll_stop(poll);
    s->is_accepting = false;
}

static void
accept_again(struct http_server *s)
{
    if (s->is_accepting || s->is_closing || s->conn_count >= s->conf->max_connections)
        return;
    s->is_accepting = uv_poll_start(&s->listener, UV_READABLE, on_accept) == 0;
}

static void
on_tick(uv_timer_t *tick)
{
    struct http_server *s = tick->data;
    uint64_t now_ms = server_now_ms(s);
    struct conn *c, *next;

    s->again = true;
    DL_FOREACH_SAFE (s->conns, c, next)
        conn_tick(c, now_ms);
    accept_again(s);
}

/* --- opening --- */

static enum nx_err
fail_bind(const struct http_conf *conf, int err, struct nx_note *why)
{
    if (err == EADDRINUSE)
        return nx_fail(why, NX_E_CONFLICT,
                       "port %u is in use on %s: stop the program that has it (ss -ltnp shows it) or set another port",
                       conf->port, conf->bind);
    if (err == EACCES)
        return nx_fail(why, NX_E_DENIED, "port %u needs administrator rights: use a port above 1023", conf->port);
    if (err == EADDRNOTAVAIL)
        return nx_fail(why, NX_E_CONFIG,
                       "%s is not an address of this machine: use 127.0.0.1, 0.0.0.0 or ::", conf->bind);
    return nx_fail_errno(why, NX_OK, err, "cannot listen on %s port %u", conf->bind, conf->port);
}

static bool
parse_address(const struct http_conf *conf, struct sockaddr_storage *out, socklen_t *len)
{
    struct sockaddr_in *in4 = (void *)out;
    struct sockaddr_in6 *in6 = (void *)out;
    const char *host = strcmp(conf->bind, "localhost") == 0 ? "127.0.0.1" : conf->bind;

    *out = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(conf->port);
        *len = sizeof *in4;
        return true;
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
        return false;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(conf->port);
    *len = sizeof *in6;
    return true;
}

static enum nx_err
open_listener(struct http_server *s, struct nx_note *why)
{
    const struct http_conf *conf = s->conf;
    struct sockaddr_storage addr;
    socklen_t len;
    int one = 1;

    if (!parse_address(conf, &addr, &len))
        return nx_fail(why, NX_E_CONFIG,
                       "\"%s\" is not an IP address to listen on: use 127.0.0.1, 0.0.0.0 or ::", conf->bind);
    s->listen_fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0)
        return nx_fail_errno(why, NX_OK, errno, "cannot make a socket");
    (void)setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s->listen_fd, (struct sockaddr *)&addr, len) != 0 || listen(s->listen_fd, 512) != 0)
        return fail_bind(conf, errno, why);
    if (getsockname(s->listen_fd, (struct sockaddr *)&addr, &len) == 0)
        s->port = ntohs(((struct sockaddr_in *)(void *)&addr)->sin_port); /* the same place in sockaddr_in6 */
    return NX_OK;
}

static const char *
tls_reason(void)
{
    unsigned long err = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(err);

    ERR_clear_error();
    return text ? text : "unreadable";
}

/* libwebsockets would only say that it failed. */
static enum nx_err
check_tls_files(const struct http_conf *conf, struct nx_note *why)
{
    SSL_CTX *ctx = conf->cert_file ? SSL_CTX_new(TLS_server_method()) : NULL;
    enum nx_err err = NX_OK;

    if (!ctx)
        return NX_OK;
    if (SSL_CTX_use_certificate_chain_file(ctx, conf->cert_file) != 1)
        err = nx_fail(why, NX_E_TLS, "certificate %s cannot be used: %s", conf->cert_file, tls_reason());
    else if (!conf->key_file || SSL_CTX_use_PrivateKey_file(ctx, conf->key_file, SSL_FILETYPE_PEM) != 1)
        err = nx_fail(why, NX_E_TLS, "private key %s cannot be used with certificate %s: %s",
                      conf->key_file ? conf->key_file : "(not set)", conf->cert_file, tls_reason());
    SSL_CTX_free(ctx);
    return err;
}

static void
emit_log(int level, const char *line)
{
    char text[256];
    size_t n = strcspn(line, "\n");

    (void)snprintf(text, sizeof text, "%.*s", (int)(n < 255 ? n : 255), line);
    if (level == LLL_ERR)
        log_warn(&http_log, "message of libwebsockets", KV_STR("text", text));
    else
        log_debug(&http_log, "message of libwebsockets", KV_STR("text", text));
}

static struct lws_context *
create_context(struct http_server *s)
{
    struct lws_context_creation_info info = {0};
    void *loops[1] = {&s->inner};

    info.port = CONTEXT_PORT_NO_LISTEN;
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8 |
                   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    if (s->conf->cert_file)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.foreign_loops = loops;
    info.pcontext = &s->context;
    info.fd_limit_per_thread = s->conf->max_connections + 16;
    info.pt_serv_buf_size = HTTP_WRITE_BYTES;
    info.max_http_header_data2 = HTTP_MAX_HEADER_BYTES;
    info.max_http_header_pool2 = s->conf->max_connections;
    info.timeout_secs = s->conf->request_timeout_ms / 1000 + 1;
    info.timeout_secs_ah_idle = s->conf->request_timeout_ms / 1000 + 1;
    info.retry_and_idle_policy = &s->validity;
    return lws_create_context(&info);
}

static struct lws_vhost *
create_vhost(struct http_server *s)
{
    struct lws_context_creation_info info = {0};

    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.vhost_name = "nexus";
    info.protocols = s->protocols;
    info.options = LWS_SERVER_OPTION_VALIDATE_UTF8;
    info.retry_and_idle_policy = &s->validity;
    info.timeout_secs = s->conf->request_timeout_ms / 1000 + 1;
    if (s->conf->cert_file) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = s->conf->cert_file;
        info.ssl_private_key_filepath = s->conf->key_file;
        info.ssl_options_set = (long)(SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_COMPRESSION);
        info.alpn = "http/1.1";
    }
    return lws_create_vhost(s->context, &info);
}

static void
set_protocols(struct http_server *s)
{
    const struct http_ws_ops *ws = s->conf->ws;

    s->protocols[0] = (struct lws_protocols){.name = "http",
                                             .callback = conn_callback,
                                             .rx_buffer_size = HTTP_WRITE_BYTES,
                                             .tx_packet_size = HTTP_WRITE_BYTES};
    if (ws && ws->subprotocol)
        s->protocols[1] = (struct lws_protocols){.name = ws->subprotocol,
                                                 .callback = conn_callback,
                                                 .rx_buffer_size = HTTP_WRITE_BYTES,
                                                 .tx_packet_size = HTTP_WRITE_BYTES};
    s->validity = (lws_retry_bo_t){.secs_since_valid_ping = HTTP_PING_S, .secs_since_valid_hangup = 2 * HTTP_PING_S};
}

static enum nx_err
open_lws(struct http_server *s, struct nx_note *why)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, emit_log);
    set_protocols(s);
    s->context = create_context(s);
    if (!s->context)
        return nx_fail(why, NX_E_INTERNAL,
                       "libwebsockets did not start: is the package libwebsockets-evlib-uv installed?");
    s->vhost = create_vhost(s);
    if (!s->vhost)
        return nx_fail(why, NX_E_TLS, "libwebsockets refused the TLS settings (%s)",
                       s->conf->cert_file ? s->conf->cert_file : "none");
    return NX_OK;
}

static void
open_handles(struct http_server *s)
{
    s->listener.data = s->tick.data = s->ready_async.data = s;
    uv_poll_init(&s->inner, &s->listener, s->listen_fd);
    accept_again(s);
    uv_timer_init(&s->inner, &s->tick);
    uv_timer_start(&s->tick, on_tick, HTTP_TICK_MS, HTTP_TICK_MS);
    uv_async_init(&s->inner, &s->ready_async, on_ready);
}

static void destroy(struct http_server *s);

static struct http_server *
new_server(struct loop *loop, const struct http_conf *conf)
{
    struct http_server *s = mem_alloc(sizeof *s);

    s->loop = loop;
    s->conf_copy = *conf;
    s->conf = &s->conf_copy;
    if (!s->conf_copy.bind)
        s->conf_copy.bind = "127.0.0.1";
    if (!s->conf_copy.max_connections)
        s->conf_copy.max_connections = 1024;
    if (!s->conf_copy.request_timeout_ms)
        s->conf_copy.request_timeout_ms = 30000;
    s->listen_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    uv_loop_init(&s->inner);
    return s;
}

enum nx_err
http_open(struct http_server **out, struct loop *loop, const struct http_conf *conf, struct nx_note *why)
{
    enum nx_err err;

    *out = NULL;
    if (!loop_uv(loop))
        return nx_fail(why, NX_E_UNSUPPORTED, "the HTTP server needs a real loop");
    struct http_server *s = new_server(loop, conf);

    err = check_tls_files(s->conf, why);
    if (err == NX_OK)
        err = open_listener(s, why);
    if (err == NX_OK)
        err = open_lws(s, why);
    if (err != NX_OK) {
        destroy(s);
        return err;
    }
    open_handles(s);
    open_bridge(s);
    run_inner(s);
    *out = s;
    return NX_OK;
}

uint16_t
http_port(const struct http_server *s)
{
    return s->port;
}

/* --- closing --- */

static void
on_wakeup(uv_timer_t *timer)
{
    (void)timer;
}

static bool
is_busy(struct http_server *s)
{
    struct conn *c;

    DL_FOREACH (s->conns, c)
        if (c->req || c->ws)
            return true;
    return false;
}

static bool
has_workers(struct http_server *s)
{
    bool active;

    pthread_mutex_lock(&s->lock);
    active = s->workers_active > 0 || s->ready;
    pthread_mutex_unlock(&s->lock);
    return active;
}

/* Drives the inner loop by itself while more() holds, at most until the deadline (0: none). */
static void
drive(struct http_server *s, bool (*more)(struct http_server *), uint64_t deadline_ms)
{
    uv_timer_init(&s->inner, &s->wakeup);
    uv_timer_start(&s->wakeup, on_wakeup, 20, 20);
    while (more(s) && (!deadline_ms || server_now_ms(s) < deadline_ms))
        turn_inner(s, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&s->wakeup, NULL);
    uv_run(&s->inner, UV_RUN_NOWAIT);
}

struct handle_count {
    struct http_server *server;
    unsigned foreign;
};

static void
count_foreign(uv_handle_t *handle, void *arg)
{
    struct handle_count *count = arg;
    struct http_server *s = count->server;
    const void *own[] = {&s->listener, &s->tick, &s->ready_async, &s->wakeup};

    for (size_t i = 0; i < MEM_COUNT(own); i++)
        if (handle == own[i])
            return;
    count->foreign++;
}

static bool
has_lws_handles(struct http_server *s)
{
    struct handle_count count = {.server = s};

    uv_walk(&s->inner, count_foreign, &count);
    return s->context && count.foreign > 0;
}

static void
close_left_over(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void
destroy_lws(struct http_server *s)
{
    if (!s->context)
        return;
    lws_context_destroy(s->context);
    drive(s, has_lws_handles, server_now_ms(s) + HTTP_CLOSE_MS);
    /* With a foreign loop libwebsockets 4.1 ends the destruction only in a second call, once its handles are closed. */
    if (s->context)
        lws_context_destroy(s->context);
    s->context = NULL;
}

static void
destroy(struct http_server *s)
{
    destroy_lws(s);
    if (s->listen_fd >= 0)
        (void)close(s->listen_fd);
    uv_walk(&s->inner, close_left_over, NULL);
    while (uv_run(&s->inner, UV_RUN_DEFAULT))
        continue;
    int err = uv_loop_close(&s->inner);
    assert(err == 0);
    (void)err;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void
http_close(struct http_server **server)
{
    struct http_server *s = *server;
    struct conn *c, *next;

    if (!s)
        return;
    assert(!s->in_inner); /* not from a handler: use loop_defer() */
    *server = NULL;
    s->is_closing = true;
    s->in_inner = true;
    uv_poll_stop(&s->listener);
    DL_FOREACH_SAFE (s->conns, c, next)
        conn_shut(c);
    drive(s, is_busy, server_now_ms(s) + HTTP_CLOSE_MS);
    destroy_lws(s);
    /* Handlers use what the caller frees next; cut off from their clients they end soon. */
    drive(s, has_workers, 0);
    close_bridge(s);
    destroy(s);
}
