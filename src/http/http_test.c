/* http_test.c -- a real server on a real loop in a thread of its own, and clients on plain sockets. */
#include "http/http.h"

#include "base/file.h"
#include "base/mem.h"
#include "loop/loop.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* --- the server under test --- */

struct fixture {
    struct http_health health; /* first: the health handlers find it here */
    struct loop *loop;
    struct http_server *server;
    struct metrics *metrics;
    pthread_t thread;
    uint16_t port;
    char dir[64];
    struct http_req *held;
    struct http_ws *ws;
    _Atomic unsigned gone, drained, ws_open, ws_closed, worker_runs, stream_failed;
    _Atomic size_t streamed;
};

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

static const struct http_route ROUTES[] = {
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
put_file(struct fixture *f, const char *name, const char *text)
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
    put_file(f, "secret.txt", "secret");
    put_file(f, "web/index.html", "<script nonce=\"__CSP_NONCE__\"></script><meta content=__CSP_NONCE__>");
    put_file(f, "web/assets/app-abc123.js", "console.log(1)");
    put_file(f, "web/assets/app-abc123.js.gz", "GZIPPED");
    put_file(f, "web/logo.svg", "<svg/>");
    put_file(f, "web/.hidden", "hidden");
}

static void
start_with(struct fixture *f, struct http_conf conf)
{
    static char static_dir[96];
    struct nx_note why = {.text = ""};

    *f = (struct fixture){.port = 0};
    make_site(f);
    (void)snprintf(static_dir, sizeof static_dir, "%s/web", f->dir);
    f->metrics = metrics_new();
    f->health = (struct http_health){.service = "test", .metrics = f->metrics, .is_ready = not_ready};
    conf.routes = ROUTES;
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

static void
start(struct fixture *f)
{
    start_with(f, (struct http_conf){.bind = NULL});
}

static void
close_on_loop(void *arg)
{
    struct fixture *f = arg;

    http_close(&f->server);
    loop_stop(f->loop);
}

static void
stop(struct fixture *f)
{
    char command[128];

    loop_post(f->loop, close_on_loop, f);
    pthread_join(f->thread, NULL);
    assert_null(f->server);
    loop_free(&f->loop);
    metrics_free(&f->metrics);
    (void)snprintf(command, sizeof command, "rm -r %s", f->dir);
    assert_int_equal(system(command), 0);
}

/* --- a client --- */

struct reply {
    int status;
    char *head, *body;
    size_t body_len;
};

static int
dial(const struct fixture *f, int receive_buffer)
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

static void
put(int fd, const void *p, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, (const char *)p + sent, len - sent, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* the server has closed: the reply tells */
        sent += (size_t)n;
    }
}

static void
put_text(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

static bool
get_bytes(int fd, void *p, size_t len)
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
        if (!get_bytes(fd, &c, 1))
            return false;
        wbuf_char(out, c);
    }
    return true;
}

static char *
header_of(const struct reply *r, const char *name)
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
            assert_true(get_bytes(fd, wbuf_reserve(body, n), n));
        wbuf_advance(body, n);
        assert_true(get_bytes(fd, crlf, 2));
        if (n == 0)
            return;
    }
}

static struct reply
read_reply(int fd, bool is_head)
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
    const char *length = header_of(&r, "\nContent-Length");
    size_t n = length && !is_head ? strtoul(length, NULL, 10) : 0;
    if (header_of(&r, "Transfer-Encoding: chunked"))
        read_chunks(fd, &body);
    else if (n) {
        assert_true(get_bytes(fd, wbuf_reserve(&body, n), n));
        wbuf_advance(&body, n);
    }
    r.body_len = body.len;
    r.body = wbuf_take(&body, NULL);
    if (!r.body)
        r.body = mem_strdup("");
    return r;
}

static void
free_reply(struct reply *r)
{
    free(r->head);
    free(r->body);
}

static struct reply
ask(const struct fixture *f, const char *request)
{
    int fd = dial(f, 0);

    put_text(fd, request);
    struct reply r = read_reply(fd, strncmp(request, "HEAD", 4) == 0);
    close(fd);
    return r;
}

static struct reply
get(const struct fixture *f, const char *path)
{
    char request[1000];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    return ask(f, request);
}

static int
status_of(const struct fixture *f, const char *path)
{
    struct reply r = get(f, path);
    int status = r.status;

    free_reply(&r);
    return status;
}

static bool
is_at_end(int fd)
{
    char c;

    return recv(fd, &c, 1, 0) <= 0;
}

static void
wait_for(_Atomic unsigned *counter, unsigned n)
{
    for (unsigned i = 0; i < 500 && *counter < n; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    assert_true(*counter >= n);
}

/* --- requests --- */

static void
test_hello(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    struct reply r = get(&f, "/api/hello");
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body, "{\"hello\":\"world\"}");
    assert_string_equal(header_of(&r, "\nContent-Type"), "application/json");
    assert_string_equal(header_of(&r, "\nX-Content-Type-Options"), "nosniff");
    assert_string_equal(header_of(&r, "\nCache-Control"), "no-store");
    assert_int_equal(strlen(header_of(&r, "\nX-Request-Id")), 32);
    assert_int_equal(strlen(header_of(&r, "\nDate")), 29);
    free_reply(&r);
    r = ask(&f, "HEAD /api/hello HTTP/1.1\r\nHost: x\r\nX-Request-Id: abc-1\r\n\r\n");
    assert_int_equal(r.status, 200);
    assert_string_equal(header_of(&r, "\nContent-Length"), "17");
    assert_string_equal(header_of(&r, "\nX-Request-Id"), "abc-1");
    free_reply(&r);
    stop(&f);
}

static void
test_routing(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    struct reply r = ask(&f, "GET /api/devices/pump%201/tags/a.b?q=%C3%A9%26+z&q=2 HTTP/1.1\r\nHost: x\r\n"
                             "Cookie: a=b; sid=\"77\"\r\nX-CSRF-Token: tok\r\n\r\n");
    assert_string_equal(r.body,
                        "{\"id\":\"pump 1\",\"tag\":\"a.b\",\"q\":\"\xc3\xa9& z\",\"sid\":\"77\",\"csrf\":\"tok\"}");
    free_reply(&r);
    r = get(&f, "/api/nothing?x=1");
    assert_int_equal(r.status, 404);
    assert_string_equal(header_of(&r, "\nContent-Type"), "application/problem+json");
    assert_non_null(strstr(r.body, "\"code\":\"not_found\""));
    free_reply(&r);
    r = ask(&f, "DELETE /api/echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.status, 405);
    assert_string_equal(header_of(&r, "\nAllow"), "POST, PUT");
    free_reply(&r);
    assert_int_equal(status_of(&f, "/api/forget"), 500);
    assert_int_equal(status_of(&f, "/api/secret"), 401);
    r = get(&f, "/api/problem");
    assert_int_equal(r.status, 409);
    assert_null(strstr(r.head, "\nInjected"));
    assert_non_null(strstr(r.body, "\"fixes\":[\"Choose another id.\"],\"errors\":[{\"pointer\":\"/id\"}]"));
    free_reply(&r);
    stop(&f);
}

static struct reply
post(const struct fixture *f, const char *method, const char *path, size_t len)
{
    char *request = mem_alloc(len + 300);
    int n = sprintf(request, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", method, path, len);
    int fd = dial(f, 0);

    memset(request + n, 'b', len);
    put(fd, request, (size_t)n + len);
    struct reply r = read_reply(fd, false);
    close(fd);
    free(request);
    return r;
}

static void
test_bodies(void **state)
{
    static const size_t SIZES[] = {0, 1, 2, 4095, 4096, 4097, 65535, 65536, 65537, 99999, 100000};
    struct fixture f;

    (void)state;
    start(&f);
    for (size_t i = 0; i < MEM_COUNT(SIZES); i++) {
        struct reply r = post(&f, "POST", "/api/echo", SIZES[i]);

        assert_int_equal(r.status, 200);
        assert_int_equal(r.body_len, SIZES[i]);
        free_reply(&r);
    }
    for (size_t len = 998; len <= 1002; len++) {
        struct reply r = post(&f, "PUT", "/api/echo", len);

        assert_int_equal(r.status, len <= 1000 ? 200 : 413);
        free_reply(&r);
    }
    struct reply r = post(&f, "POST", "/api/echo", 100001);
    assert_int_equal(r.status, 413);
    assert_non_null(strstr(r.body, "limit of 100000 bytes"));
    free_reply(&r);
    r = post(&f, "POST", "/api/nobody", 1);
    assert_int_equal(r.status, 413);
    free_reply(&r);
    stop(&f);
}

static void
test_framing(void **state)
{
    static const struct {
        const char *request;
        int status;
        const char *body;
    } CASES[] = {
        {"POST /api/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
         200, "abcde"},
        {"POST /api/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, NULL},
        /* The guard refuses before the body comes, when it would be large. */
        {"POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n", 401, NULL},
        {"POST /api/upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 401, NULL},
        {"POST /api/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n", 0, NULL},
        {"POST /api/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400, NULL},
        {"POST /api/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nabc", 501, NULL},
        {"POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, NULL},
        {"POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc", 400, NULL},
        {"POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3x\r\n\r\nabc", 400, NULL},
        {"POST /api/echo HTTP/1.1\r\nHost: x\r\n\r\n", 200, ""},
        {"POST /api/nobody HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL},
        {"GET /api/hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, NULL},
        {"GET /api/hello HTTP/1.0\r\n\r\n", 200, NULL},
        {"BREW /api/hello HTTP/1.1\r\n\r\n", 0, NULL},
    };
    struct fixture f;

    (void)state;
    start(&f);
    for (size_t i = 0; i < MEM_COUNT(CASES); i++) {
        if (CASES[i].status == 0)
            continue;
        struct reply r = ask(&f, CASES[i].request);

        if (r.status != CASES[i].status)
            fail_msg("%s answers %d", CASES[i].request, r.status);
        if (CASES[i].body)
            assert_string_equal(r.body, CASES[i].body);
        free_reply(&r);
    }
    stop(&f);
}

static void
test_json_bodies(void **state)
{
    static const struct {
        const char *type, *body;
        int status;
        const char *has;
    } CASES[] = {
        {"application/json", "{\"a\": [1, 2]}", 200, "{\"a\":[1,2]}"},
        {"application/json", "{\"a\":[0.2,5.0,-1e-9,9007199254740993,\"\\u00e4\",true,false,null,{},[]]}", 200,
         "{\"a\":[0.2,5,-1e-09,9007199254740993,\"\xc3\xa4\",true,false,null,{},[]]}"},
        {"application/merge-patch+json; charset=utf-8", "{}", 200, "{}"},
        {"text/plain", "{}", 415, "not_json"},
        {"application/json", "{\"a\":\n 1,}", 400, "line 2"},
        {"application/json", "{\"a\":1,\"a\":2}", 400, "json_invalid"},
        {"application/json",
         "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
         "]]]"
         "]]]]]]]]]]]]]]]]]]]",
         400, "json_too_deep"},
        {"application/json", "", 400, "body_missing"},
    };
    struct fixture f;

    (void)state;
    start(&f);
    for (size_t i = 0; i < MEM_COUNT(CASES); i++) {
        char request[1000];

        (void)snprintf(request, sizeof request,
                       "POST /api/json HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                       CASES[i].type, strlen(CASES[i].body), CASES[i].body);
        struct reply r = ask(&f, request);
        if (r.status != CASES[i].status || !strstr(r.body, CASES[i].has))
            fail_msg("case %zu: %d %s", i, r.status, r.body);
        free_reply(&r);
    }
    stop(&f);
}

static void
expect_statuses(int fd, const int *want)
{
    for (; *want; want++) {
        struct reply r = read_reply(fd, false);

        assert_int_equal(r.status, *want);
        free_reply(&r);
    }
}

#define HELLO "GET /api/hello HTTP/1.1\r\nHost: x\r\n\r\n"
#define WORK  "GET /api/worker HTTP/1.1\r\nHost: x\r\n\r\n"
#define BODY  "POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"

static void
test_keep_alive_and_pipelining(void **state)
{
    static const char BYTEWISE[] = HELLO WORK HELLO;
    struct fixture f;

    (void)state;
    start(&f);
    int fd = dial(&f, 0);
    for (unsigned i = 0; i < 50; i++) {
        put_text(fd, i % 3 ? HELLO : BODY);
        expect_statuses(fd, (const int[]){200, 0});
    }
    put_text(fd, HELLO WORK HELLO WORK "GET /api/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect_statuses(fd, (const int[]){200, 201, 200, 201, 200, 0});
    assert_true(is_at_end(fd));
    close(fd);
    fd = dial(&f, 0);
    for (const char *p = BYTEWISE; *p; p++)
        put(fd, p, 1);
    expect_statuses(fd, (const int[]){200, 201, 200, 0});
    for (const char *p = BODY; *p; p++)
        put(fd, p, 1);
    expect_statuses(fd, (const int[]){200, 0});
    close(fd);
    /* never a body from the wrong place */
    fd = dial(&f, 0);
    put_text(fd, HELLO BODY HELLO);
    expect_statuses(fd, (const int[]){200, 503, 0});
    assert_true(is_at_end(fd));
    close(fd);
    fd = dial(&f, 0);
    put_text(fd, BODY HELLO HELLO);
    expect_statuses(fd, (const int[]){200, 200, 200, 0});
    close(fd);
    stop(&f);
}

static void
test_big_answer(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    struct reply r = get(&f, "/api/big");
    assert_int_equal(r.body_len, 9 * 300000);
    for (unsigned i = 0; i < 300000; i += 777)
        assert_int_equal(atoi(r.body + 9 * i), i);
    free_reply(&r);
    stop(&f);
}

/* --- workers, held requests, streams --- */

static void
test_worker_with_client_gone(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    struct reply r = get(&f, "/api/worker");
    assert_int_equal(r.status, 201);
    free_reply(&r);
    for (unsigned i = 0; i < 8; i++) {
        int fd = dial(&f, 0);

        put_text(fd, "GET /api/worker HTTP/1.1\r\nHost: x\r\n\r\n");
        close(fd);
    }
    wait_for(&f.worker_runs, 9);
    assert_int_equal(status_of(&f, "/api/hello"), 200);
    stop(&f);
}

static void
test_hold(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    int fd = dial(&f, 0);
    put_text(fd, "GET /api/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    assert_int_equal(status_of(&f, "/api/release"), 204);
    struct reply r = read_reply(fd, false);
    assert_string_equal(r.body, "{\"held\":\"released\"}");
    free_reply(&r);
    put_text(fd, "GET /api/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    close(fd);
    wait_for(&f.gone, 1);
    assert_int_equal(status_of(&f, "/api/release"), 204);
    /* one that is held when the server stops */
    fd = dial(&f, 0);
    put_text(fd, "GET /api/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    stop(&f);
    assert_int_equal(f.gone, 2);
    r = read_reply(fd, false);
    assert_int_equal(r.status, 503);
    free_reply(&r);
    close(fd);
}

static void
test_stream_to_slow_client(void **state)
{
    const size_t total = 10 * 1000 * 1000;
    struct fixture f;

    (void)state;
    start(&f);
    int fd = dial(&f, 8192);
    put_text(fd, "GET /api/stream?n=10000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 300 * 1000 * 1000}, NULL);
    assert_true(f.streamed < 6 * 1000 * 1000); /* held back: the kernel's buffers and 256 KiB of ours */
    struct reply r = read_reply(fd, false);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body_len, total);
    free_reply(&r);
    put_text(fd, "GET /api/hello HTTP/1.1\r\nHost: x\r\n\r\n");
    r = read_reply(fd, false);
    assert_int_equal(r.status, 200);
    free_reply(&r);
    /* a client that goes away wakes the writer */
    put_text(fd, "GET /api/stream?n=100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    close(fd);
    wait_for(&f.stream_failed, 1);
    stop(&f);
}

/* Everything up to the end of the connection. */
static size_t
read_all(int fd, char *buf, size_t cap)
{
    size_t len = 0;
    ssize_t n;

    while (len < cap && (n = recv(fd, buf + len, cap - len, 0)) > 0)
        len += (size_t)n;
    return len;
}

static void
test_stream_cut(void **state)
{
    static char buf[60000];
    struct fixture f;
    size_t len;

    (void)state;
    start(&f);
    int fd = dial(&f, 0);
    put_text(fd, "GET /api/cut HTTP/1.1\r\nHost: x\r\n\r\n");
    len = read_all(fd, buf, sizeof buf);
    assert_true(len > 50000 && len < sizeof buf);
    assert_memory_equal(buf + len - 3, "x\r\n", 3); /* the chunk is whole, the last one does not come */
    close(fd);
    /* nobody reads: the wait ends after its time */
    fd = dial(&f, 4096);
    put_text(fd, "GET /api/cut?wait_ms=50 HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&f.worker_runs, 2);
    assert_int_equal(f.stream_failed, 0);
    assert_true(f.streamed > 250000);
    close(fd);
    /* the client goes: the wait ends at once */
    fd = dial(&f, 0);
    put_text(fd, "GET /api/cut?wait_ms=20000 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(recv(fd, buf, 1000, 0) > 0);
    close(fd);
    wait_for(&f.worker_runs, 3);
    assert_int_equal(f.stream_failed, 1);
    stop(&f);
}

static void
test_close_with_work_under_way(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    int a = dial(&f, 0), b = dial(&f, 4096), idle = dial(&f, 0);
    put_text(a, "GET /api/worker HTTP/1.1\r\nHost: x\r\n\r\n");
    put_text(b, "GET /api/stream?n=100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    put_text(idle, "GET /api/hello HTTP");
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    stop(&f);
    struct reply r = read_reply(a, false);
    assert_int_equal(r.status, 201);
    free_reply(&r);
    assert_int_equal(f.stream_failed, 1);
    assert_true(is_at_end(idle));
    close(a);
    close(b);
    close(idle);
}

static void
test_timeouts(void **state)
{
    struct fixture f;

    (void)state;
    start_with(&f, (struct http_conf){.request_timeout_ms = 1000});
    int head = dial(&f, 0), body = dial(&f, 0), held = dial(&f, 0);
    put_text(head, "GET /api/he");
    put_text(body, "POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    put_text(held, "GET /api/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    struct reply r = read_reply(body, false);
    assert_int_equal(r.status, 408);
    free_reply(&r);
    r = read_reply(held, false);
    assert_int_equal(r.status, 504);
    free_reply(&r);
    assert_true(is_at_end(head));
    close(head);
    close(body);
    close(held);
    stop(&f);
}

/* --- files --- */

static void
test_files(void **state)
{
    struct fixture f;
    char nonce[33], request[300];

    (void)state;
    start(&f);
    struct reply r = get(&f, "/");
    assert_int_equal(r.status, 200);
    const char *csp = strstr(r.head, "script-src 'self' 'nonce-");
    assert_non_null(csp);
    (void)snprintf(nonce, sizeof nonce, "%s", csp + strlen("script-src 'self' 'nonce-"));
    assert_non_null(strstr(r.body, nonce));
    assert_null(strstr(r.body, "__CSP_NONCE__"));
    assert_string_equal(header_of(&r, "\nCache-Control"), "no-cache");
    free_reply(&r);
    r = get(&f, "/devices/pump-1");
    assert_int_equal(r.status, 200);
    assert_null(strstr(r.body, nonce)); /* a fresh one for each answer */
    free_reply(&r);
    r = get(&f, "/assets/app-abc123.js");
    assert_string_equal(r.body, "console.log(1)");
    assert_string_equal(header_of(&r, "\nContent-Type"), "text/javascript; charset=utf-8");
    assert_non_null(strstr(header_of(&r, "\nCache-Control"), "immutable"));
    (void)snprintf(request, sizeof request,
                   "GET /assets/app-abc123.js HTTP/1.1\r\nHost: x\r\nIf-None-Match: %s\r\n\r\n",
                   header_of(&r, "\nETag"));
    free_reply(&r);
    r = ask(&f, request);
    assert_int_equal(r.status, 304);
    free_reply(&r);
    r = ask(&f, "GET /assets/app-abc123.js HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip, br\r\n\r\n");
    assert_string_equal(r.body, "GZIPPED");
    assert_string_equal(header_of(&r, "\nContent-Encoding"), "gzip");
    free_reply(&r);
    assert_int_equal(status_of(&f, "/logo.svg"), 200);
    assert_int_equal(status_of(&f, "/assets/none"), 404);
    assert_int_equal(status_of(&f, "/none.js"), 404);
    assert_int_equal(status_of(&f, "/api"), 404);
    stop(&f);
}

static void
test_traversal(void **state)
{
    static const char *const PATHS[] = {
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/.hidden",
        "/%2e%2e%2fsecret.txt",
        "/assets/..%5c..%5csecret.txt",
        "//etc/passwd",
        "/./../secret.txt",
        "/assets/.%2e/.%2e/secret.txt",
        "/....//secret.txt",
        "/index.html/../../secret.txt",
    };
    struct fixture f;

    (void)state;
    start(&f);
    for (size_t i = 0; i < MEM_COUNT(PATHS); i++) {
        struct reply r = get(&f, PATHS[i]);

        if (r.body && (strcmp(r.body, "secret") == 0 || strcmp(r.body, "hidden") == 0 || strstr(r.body, "root:")))
            fail_msg("%s leads out of the directory", PATHS[i]);
        free_reply(&r);
    }
    stop(&f);
}

/* --- WebSocket --- */

static int
ws_dial(const struct fixture *f, const char *path, const char *more, int want)
{
    char request[500];
    int fd = dial(f, 0);

    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                   path, more);
    put_text(fd, request);
    struct reply r = read_reply(fd, want == 101);
    if (r.status != want)
        fail_msg("upgrade of %s %s answers %d", path, more, r.status);
    if (want == 101)
        assert_string_equal(header_of(&r, "\nSec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    free_reply(&r);
    return fd;
}

static void
ws_put(int fd, unsigned opcode, const void *p, size_t len)
{
    struct wbuf w = wbuf_init(0);

    wbuf_u8(&w, 0x80 | opcode);
    if (len < 126) {
        wbuf_u8(&w, 0x80 | (unsigned)len);
    } else if (len < 65536) {
        wbuf_u8(&w, 0x80 | 126);
        wbuf_be16(&w, (unsigned)len);
    } else {
        wbuf_u8(&w, 0x80 | 127);
        wbuf_be64(&w, len);
    }
    wbuf_be32(&w, 0); /* a mask of zeros */
    wbuf_bytes(&w, p, len);
    put(fd, w.p, w.len);
    wbuf_free(&w);
}

/* The payload of the next whole frame; free() it. */
static char *
ws_get(int fd, unsigned *opcode, size_t *len)
{
    uint8_t head[2], more[8] = {0};
    size_t n;

    if (!get_bytes(fd, head, 2))
        return NULL;
    *opcode = head[0] & 15;
    n = head[1] & 127;
    if (n == 126) {
        assert_true(get_bytes(fd, more, 2));
        n = (size_t)more[0] << 8 | more[1];
    } else if (n == 127) {
        assert_true(get_bytes(fd, more, 8));
        n = (size_t)more[5] << 16 | (size_t)more[6] << 8 | more[7];
    }
    char *p = mem_alloc(n + 1);
    assert_true(n == 0 || get_bytes(fd, p, n));
    *len = n;
    return p;
}

static void
expect_frame(int fd, unsigned want_opcode, const char *p, size_t len)
{
    unsigned opcode = 99;
    size_t n = 0;
    char *got = ws_get(fd, &opcode, &n);

    assert_non_null(got);
    assert_int_equal(opcode, want_opcode);
    assert_int_equal(n, len);
    assert_memory_equal(got, p, len);
    free(got);
}

static void
test_websocket(void **state)
{
    static char big[150000];
    struct fixture f;

    (void)state;
    start(&f);
    int fd = ws_dial(&f, "/api/v1/ws", "Sec-WebSocket-Protocol: other, nexus.v1\r\nOrigin: http://x\r\n", 101);
    expect_frame(fd, 1, "{\"op\":\"hello\"}", 14);
    ws_put(fd, 1, "ping?", 5);
    expect_frame(fd, 1, "ping?", 5);
    memset(big, 'y', sizeof big);
    ws_put(fd, 1, big, sizeof big);
    expect_frame(fd, 1, big, sizeof big);
    ws_put(fd, 9, "p", 1);
    expect_frame(fd, 10, "p", 1);
    wait_for(&f.drained, 1);
    ws_put(fd, 1, "close", 5);
    expect_frame(fd, 8,
                 "\x0f\xa0"
                 "as you wish",
                 13);
    close(fd);
    wait_for(&f.ws_closed, 1);
    /* too long, binary, not UTF-8 */
    fd = ws_dial(&f, "/api/v1/ws", "Sec-WebSocket-Protocol: nexus.v1\r\n", 101);
    expect_frame(fd, 1, "{\"op\":\"hello\"}", 14);
    ws_put(fd, 2, "b", 1);
    expect_frame(fd, 8,
                 "\x03\xeb"
                 "only text messages",
                 20);
    close(fd);
    /* open while the server stops */
    fd = ws_dial(&f, "/api/v1/ws", "Sec-WebSocket-Protocol: nexus.v1\r\n", 101);
    wait_for(&f.ws_open, 3);
    stop(&f);
    assert_int_equal(f.ws_closed, 3);
    expect_frame(fd, 1, "{\"op\":\"hello\"}", 14);
    expect_frame(fd, 8,
                 "\x03\xe9"
                 "the server is stopping",
                 24);
    close(fd);
}

static void
test_websocket_refusals(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    close(ws_dial(&f, "/api/v1/ws", "", 400));
    close(ws_dial(&f, "/api/v1/ws", "Sec-WebSocket-Protocol: other\r\n", 400));
    close(ws_dial(&f, "/api/other", "Sec-WebSocket-Protocol: nexus.v1\r\n", 404));
    close(ws_dial(&f, "/api/v1/ws", "Sec-WebSocket-Protocol: nexus.v1\r\nOrigin: http://evil.example\r\n", 403));
    assert_int_equal(f.ws_open, 0);
    stop(&f);
}

/* --- TLS --- */

static void
make_certificate(const char *cert_path, const char *key_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *f = fopen(cert_path, "w");

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const uint8_t *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    fclose(f);
    f = fopen(key_path, "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* Reads until the server closes; free() it. */
static char *
tls_ask(SSL *ssl, const char *request)
{
    struct wbuf all = wbuf_init(0);
    char part[16384];
    int n;

    assert_int_equal(SSL_write(ssl, request, (int)strlen(request)), strlen(request));
    while ((n = SSL_read(ssl, part, sizeof part)) > 0)
        wbuf_bytes(&all, part, (size_t)n);
    return wbuf_take(&all, NULL);
}

static char *
tls_dial_and_ask(const struct fixture *f, SSL_CTX *ctx, const char *request)
{
    int fd = dial(f, 0);
    SSL *ssl = SSL_new(ctx);

    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    char *answer = tls_ask(ssl, request);
    SSL_free(ssl);
    close(fd);
    return answer;
}

static void
test_tls(void **state)
{
    static const char CERT[] = "/tmp/nx-http-test-cert.pem", KEY[] = "/tmp/nx-http-test-key.pem";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct fixture f;

    (void)state;
    make_certificate(CERT, KEY);
    start_with(&f, (struct http_conf){.cert_file = CERT, .key_file = KEY});
    char *answer = tls_dial_and_ask(&f, ctx, "GET /api/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK"));
    assert_non_null(strstr(answer, "Strict-Transport-Security"));
    assert_non_null(strstr(answer, "{\"hello\":\"world\"}"));
    free(answer);
    answer = tls_dial_and_ask(&f, ctx, "GET /api/big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(answer, "00299999\n"));
    free(answer);
    /* plain HTTP to a TLS port, and old versions, fail without harm */
    struct reply r = get(&f, "/api/hello");
    assert_int_not_equal(r.status, 200);
    free_reply(&r);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    int fd = dial(&f, 0);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    assert_int_not_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(ctx);
    stop(&f);
    unlink(CERT);
    unlink(KEY);
}

/* --- opening --- */

static void
test_open_errors(void **state)
{
    struct loop *loop = loop_new();
    struct http_server *a = NULL, *b = NULL;
    struct nx_note why = {.text = ""};
    struct http_conf conf = {.routes = ROUTES};

    (void)state;
    assert_int_equal(http_open(&a, loop, &conf, &why), NX_OK);
    conf.port = http_port(a);
    assert_int_equal(http_open(&b, loop, &conf, &why), NX_E_CONFLICT);
    assert_non_null(strstr(why.text, "is in use on 127.0.0.1"));
    conf.bind = "plant.example";
    assert_int_equal(http_open(&b, loop, &conf, &why), NX_E_CONFIG);
    conf = (struct http_conf){.routes = ROUTES, .cert_file = "/nonexistent.pem", .key_file = "/nonexistent.key"};
    assert_int_equal(http_open(&b, loop, &conf, &why), NX_E_TLS);
    assert_non_null(strstr(why.text, "/nonexistent.pem"));
    assert_null(b);
    http_close(&a);
    http_close(&a);
    loop_free(&loop);
}

static void
test_health(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    assert_int_equal(status_of(&f, "/health/live"), 200);
    struct reply r = get(&f, "/health/ready");
    assert_int_equal(r.status, 503);
    assert_non_null(strstr(r.body, "the broker is not reached yet"));
    free_reply(&r);
    r = get(&f, "/metrics");
    assert_non_null(strstr(r.body, "nexus_http_requests_total{route=\"/health/ready\",code=\"503\"} 1"));
    assert_non_null(strstr(r.body, "nexus_http_request_duration_seconds_count{route=\"/health/live\"} 1"));
    free_reply(&r);
    assert_int_equal(status_of(&f, "/status"), 200);
    stop(&f);
}

static void
test_connection_limit(void **state)
{
    struct fixture f;
    int fds[8];

    (void)state;
    start_with(&f, (struct http_conf){.max_connections = 4});
    for (unsigned i = 0; i < 8; i++) {
        fds[i] = dial(&f, 0);
        put_text(fds[i], "GET /api/hello HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (unsigned i = 0; i < 8; i++) {
        struct reply r = read_reply(fds[i], false);

        assert_int_equal(r.status, 200);
        free_reply(&r);
        close(fds[i]); /* makes room for one that waits */
    }
    stop(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_routing),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_json_bodies),
        cmocka_unit_test(test_keep_alive_and_pipelining),
        cmocka_unit_test(test_big_answer),
        cmocka_unit_test(test_worker_with_client_gone),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_stream_to_slow_client),
        cmocka_unit_test(test_stream_cut),
        cmocka_unit_test(test_close_with_work_under_way),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_traversal),
        cmocka_unit_test(test_websocket),
        cmocka_unit_test(test_websocket_refusals),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_connection_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
