#include "http/http_fixture.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/test_dir.h"
#include "loop/loop.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* --- the server under test --- */

static void
on_hello(struct http_req *req, void *arg)
{
    (void)arg;
    http_respond_json(req, 200, json_pack("{s:s}", "hello", "world"));
}

static void
on_echo(struct http_req *req, void *arg)
{
    (void)arg;
    http_respond(req, 200, "application/octet-stream", http_body(req));
}

static void
on_json(struct http_req *req, void *arg)
{
    json_t *body = http_json_body(req);

    (void)arg;
    if (body)
        http_respond_json(req, 200, json_incref(body));
}

static void
on_params(struct http_req *req, void *arg)
{
    const char *q = http_query(req, "q"), *cookie = http_cookie(req, "sid"), *csrf = http_header(req, "x-csrf-token");

    (void)arg;
    http_respond_json(req, 200,
                      json_pack("{s:s?, s:s?, s:s?, s:s?, s:s?}", "id", http_param(req, "id"), "tag",
                                http_param(req, "tag"), "q", q, "sid", cookie, "csrf", csrf));
}

static void
on_worker(struct http_req *req, void *arg)
{
    struct fixture *f = arg;

    nanosleep(&(struct timespec){.tv_nsec = 30 * 1000 * 1000}, NULL);
    f->worker_runs++;
    http_respond_json(req, 201, json_pack("{s:s}", "from", "worker"));
}

static void
on_stream(struct http_req *req, void *arg)
{
    struct fixture *f = arg;
    static uint8_t block[50000];
    size_t total = (size_t)atoll(http_query(req, "n") ? http_query(req, "n") : "100000");

    memset(block, 'x', sizeof block);
    http_stream_begin(req, 200, "text/plain");
    while (total) {
        size_t n = total < sizeof block ? total : sizeof block;

        if (!http_stream_write(req, slice(block, n))) {
            f->stream_failed++;
            break;
        }
        f->streamed += n;
        total -= n;
    }
    http_stream_end(req);
}

/* As much as goes without waiting, then breaks off. */
static void
on_cut(struct http_req *req, void *arg)
{
    struct fixture *f = arg;
    static uint8_t block[50000];
    const char *wait_ms = http_query(req, "wait_ms");

    memset(block, 'x', sizeof block);
    http_stream_begin(req, 200, "text/plain");
    do {
        (void)http_stream_write(req, slice(block, sizeof block));
        f->streamed += sizeof block;
    } while (wait_ms && http_stream_wait(req, (uint32_t)atoi(wait_ms)) && !http_is_gone(req));
    f->stream_failed += http_is_gone(req);
    http_stream_cut(req);
    f->worker_runs++;
}

static void
on_gone(void *arg)
{
    struct fixture *f = arg;

    f->held = NULL;
    f->gone++;
}

static void
on_hold(struct http_req *req, void *arg)
{
    struct fixture *f = arg;

    f->held = req;
    http_hold(req, on_gone, f);
}

static void
on_release(struct http_req *req, void *arg)
{
    struct fixture *f = arg;

    if (f->held)
        http_respond_json(f->held, 200, json_pack("{s:s}", "held", "released"));
    f->held = NULL;
    http_respond_empty(req, 204);
}

static void
on_forget(struct http_req *req, void *arg)
{
    (void)req;
    (void)arg;
}

static void
on_big(struct http_req *req, void *arg)
{
    struct wbuf body = wbuf_init(0);

    (void)arg;
    for (unsigned i = 0; i < 300000; i++)
        wbuf_printf(&body, "%08u\n", i);
    http_respond_buf(req, 200, "text/plain", &body);
}

static void
on_problem(struct http_req *req, void *arg)
{
    (void)arg;
    http_set_header(req, "X-Evil", "a\r\nInjected: yes");
    http_respond_problem(req, &(struct http_problem){.status = 409,
                                                     .code = "device_exists",
                                                     .detail = "Device \"x\" exists.",
                                                     .cause_layer = "policy",
                                                     .fixes = {"Choose another id."},
                                                     .errors = json_pack("[{s:s}]", "pointer", "/id")});
}

static bool
guard(struct http_req *req, const struct http_route *route, void *arg)
{
    (void)arg;
    if (route->permission != 7)
        return true;
    http_respond_problem(req, &(struct http_problem){.status = 401, .code = "not_logged_in"});
    return false;
}

const struct http_route server_routes[] = {
    {HTTP_GET, "/api/hello", on_hello, HTTP_ON_LOOP, 0, 0},
    {HTTP_POST, "/api/echo", on_echo, HTTP_ON_LOOP, 100000, 0},
    {HTTP_PUT, "/api/echo", on_echo, HTTP_ON_WORKER, 1000, 0},
    {HTTP_POST, "/api/json", on_json, HTTP_ON_LOOP, 10000, 0},
    {HTTP_POST, "/api/nobody", on_hello, HTTP_ON_LOOP, 0, 0},
    {HTTP_POST, "/api/upload", on_echo, HTTP_ON_LOOP, 1000000, 7},
    {HTTP_GET, "/api/devices/{id}/tags/{tag}", on_params, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/api/worker", on_worker, HTTP_ON_WORKER, 0, 0},
    {HTTP_GET, "/api/stream", on_stream, HTTP_ON_WORKER, 0, 0},
    {HTTP_GET, "/api/cut", on_cut, HTTP_ON_WORKER, 0, 0},
    {HTTP_GET, "/api/hold", on_hold, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/api/release", on_release, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/api/forget", on_forget, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/api/big", on_big, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/api/problem", on_problem, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/api/secret", on_hello, HTTP_ON_WORKER, 0, 7},
    HTTP_HEALTH_ROUTES,
    {.path = NULL},
};

static void *
ws_on_open(struct http_ws *ws, struct http_req *req, void *arg)
{
    struct fixture *f = arg;
    const char *origin = http_header(req, "origin");

    if (origin && strcmp(origin, "http://evil.example") == 0)
        return NULL;
    f->ws_open++;
    f->ws = ws;
    http_ws_send(ws, slice_str("{\"op\":\"hello\"}"));
    return f;
}

static void
ws_on_message(struct http_ws *ws, void *state, struct slice text)
{
    (void)state;
    if (slice_eq_str(text, "close"))
        http_ws_close(ws, 4000, "as you wish");
    else
        http_ws_send(ws, text);
}

static void
ws_on_drained(struct http_ws *ws, void *state)
{
    struct fixture *f = state;

    (void)ws;
    f->drained++;
}

static void
ws_on_close(struct http_ws *ws, void *state)
{
    struct fixture *f = state;

    (void)ws;
    f->ws = NULL;
    f->ws_closed++;
}

static const struct http_ws_ops WS_OPS = {
    .path = "/api/v1/ws",
    .subprotocol = "nexus.v1",
    .on_open = ws_on_open,
    .on_message = ws_on_message,
    .on_drained = ws_on_drained,
    .on_close = ws_on_close,
    .max_message_bytes = 200000,
};

static void *
run_loop(void *arg)
{
    struct fixture *f = arg;

    loop_run(f->loop);
    return NULL;
}

static bool
not_ready(void *arg, struct nx_note *reason)
{
    (void)arg;
    nx_fail(reason, NX_E_OFFLINE, "the broker is not reached yet");
    return false;
}

static void
put_site_file(struct fixture *f, const char *name, const char *text)
{
    char path[256];

    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_int_equal(file_write(path, slice_str(text), 0644, NULL), NX_OK);
}

static void
make_site(struct fixture *f)
{
    char path[256];

    strcpy(f->dir, "/tmp/nx-http-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(path, sizeof path, "%s/web/assets", f->dir);
    assert_int_equal(file_make_dir(path, 0755, NULL), NX_OK);
    put_site_file(f, "secret.txt", "secret");
    put_site_file(f, "web/index.html", "<script nonce=\"__CSP_NONCE__\"></script><meta content=__CSP_NONCE__>");
    put_site_file(f, "web/assets/app-abc123.js", "console.log(1)");
    put_site_file(f, "web/assets/app-abc123.js.gz", "GZIPPED");
    put_site_file(f, "web/logo.svg", "<svg/>");
    put_site_file(f, "web/.hidden", "hidden");
}

void
server_start_with(struct fixture *f, struct http_conf conf)
{
    static char static_dir[96];
    struct nx_note why = {.text = ""};

    *f = (struct fixture){.port = 0};
    make_site(f);
    (void)snprintf(static_dir, sizeof static_dir, "%s/web", f->dir);
    f->metrics = metrics_new();
    f->health = (struct http_health){.service = "test", .metrics = f->metrics, .is_ready = not_ready};
    conf.routes = server_routes;
    conf.ws = &WS_OPS;
    conf.guard = guard;
    conf.arg = f;
    conf.static_dir = static_dir;
    conf.api_prefix = "/api";
    conf.metrics = f->metrics;
    f->loop = loop_new();
    if (http_open(&f->server, f->loop, &conf, &why) != NX_OK)
        fail_msg("%s", why.text);
    f->port = http_port(f->server);
    assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f), 0);
}

void
server_start(struct fixture *f)
{
    server_start_with(f, (struct http_conf){.bind = NULL});
}

static void
close_on_loop(void *arg)
{
    struct fixture *f = arg;

    http_close(&f->server);
    loop_stop(f->loop);
}

void
server_stop(struct fixture *f)
{
    loop_post(f->loop, close_on_loop, f);
    pthread_join(f->thread, NULL);
    assert_null(f->server);
    loop_free(&f->loop);
    metrics_free(&f->metrics);
    assert_int_equal(test_dir_remove(f->dir), 0);
}

/* --- a client --- */

int
client_dial(const struct fixture *f, int receive_buffer)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(f->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 20};

    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

void
client_put(int fd, const void *p, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, (const char *)p + sent, len - sent, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* the server has closed: the reply tells */
        sent += (size_t)n;
    }
}

void
client_put_text(int fd, const char *text)
{
    client_put(fd, text, strlen(text));
}

bool
client_get_bytes(int fd, void *p, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = recv(fd, (char *)p + got, len - got, 0);

        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

static bool
read_line(int fd, struct wbuf *out)
{
    char c = 0;

    while (c != '\n') {
        if (!client_get_bytes(fd, &c, 1))
            return false;
        wbuf_char(out, c);
    }
    return true;
}

char *
reply_header(const struct reply *r, const char *name)
{
    static char value[2000];
    const char *at = strcasestr(r->head, name);

    if (!at)
        return NULL;
    at += strlen(name) + 2;
    (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r\n"), at);
    return value;
}

static void
read_chunks(int fd, struct wbuf *body)
{
    for (;;) {
        struct wbuf line = wbuf_init(100);
        char crlf[2];

        assert_true(read_line(fd, &line));
        size_t n = strtoul(wbuf_cstr(&line), NULL, 16);
        wbuf_free(&line);
        if (n)
            assert_true(client_get_bytes(fd, wbuf_reserve(body, n), n));
        wbuf_advance(body, n);
        assert_true(client_get_bytes(fd, crlf, 2));
        if (n == 0)
            return;
    }
}

struct reply
client_read(int fd, bool is_head)
{
    struct wbuf head = wbuf_init(0), body = wbuf_init(0);
    struct reply r = {.status = 0};

    while (head.len < 4 || memcmp(head.p + head.len - 4, "\r\n\r\n", 4) != 0)
        if (!read_line(fd, &head)) {
            wbuf_free(&head);
            return r;
        }
    r.head = wbuf_take(&head, NULL);
    r.status = atoi(r.head + 9);
    const char *length = reply_header(&r, "\nContent-Length");
    size_t n = length && !is_head ? strtoul(length, NULL, 10) : 0;
    if (reply_header(&r, "Transfer-Encoding: chunked"))
        read_chunks(fd, &body);
    else if (n) {
        assert_true(client_get_bytes(fd, wbuf_reserve(&body, n), n));
        wbuf_advance(&body, n);
    }
    r.body_len = body.len;
    r.body = wbuf_take(&body, NULL);
    if (!r.body)
        r.body = mem_strdup("");
    return r;
}

void
reply_free(struct reply *r)
{
    free(r->head);
    free(r->body);
}

struct reply
client_ask(const struct fixture *f, const char *request)
{
    int fd = client_dial(f, 0);

    client_put_text(fd, request);
    struct reply r = client_read(fd, strncmp(request, "HEAD", 4) == 0);
    close(fd);
    return r;
}

struct reply
client_get(const struct fixture *f, const char *path)
{
    char request[1000];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    return client_ask(f, request);
}

int
client_status(const struct fixture *f, const char *path)
{
    struct reply r = client_get(f, path);
    int status = r.status;

    reply_free(&r);
    return status;
}

bool
client_is_at_end(int fd)
{
    char c;

    return recv(fd, &c, 1, 0) <= 0;
}

void
wait_for_count(_Atomic unsigned *counter, unsigned n)
{
    for (unsigned i = 0; i < 500 && *counter < n; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    assert_true(*counter >= n);
}
