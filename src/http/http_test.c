/* http_test.c -- requests and answers, workers and streams, files, opening and closing. */
#include "http/http_fixture.h"

#include "base/mem.h"
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* --- requests --- */

static void
test_hello(void **state)
{
    struct fixture f;

    (void)state;
    server_start(&f);
    struct reply r = client_get(&f, "/api/hello");
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body, "{\"hello\":\"world\"}");
    assert_string_equal(reply_header(&r, "\nContent-Type"), "application/json");
    assert_string_equal(reply_header(&r, "\nX-Content-Type-Options"), "nosniff");
    assert_string_equal(reply_header(&r, "\nCache-Control"), "no-store");
    assert_int_equal(strlen(reply_header(&r, "\nX-Request-Id")), 32);
    assert_int_equal(strlen(reply_header(&r, "\nDate")), 29);
    reply_free(&r);
    r = client_ask(&f, "HEAD /api/hello HTTP/1.1\r\nHost: x\r\nX-Request-Id: abc-1\r\n\r\n");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "\nContent-Length"), "17");
    assert_string_equal(reply_header(&r, "\nX-Request-Id"), "abc-1");
    reply_free(&r);
    server_stop(&f);
}

static void
test_routing(void **state)
{
    struct fixture f;

    (void)state;
    server_start(&f);
    struct reply r = client_ask(&f, "GET /api/devices/pump%201/tags/a.b?q=%C3%A9%26+z&q=2 HTTP/1.1\r\nHost: x\r\n"
                                    "Cookie: a=b; sid=\"77\"\r\nX-CSRF-Token: tok\r\n\r\n");
    assert_string_equal(r.body,
                        "{\"id\":\"pump 1\",\"tag\":\"a.b\",\"q\":\"\xc3\xa9& z\",\"sid\":\"77\",\"csrf\":\"tok\"}");
    reply_free(&r);
    r = client_get(&f, "/api/nothing?x=1");
    assert_int_equal(r.status, 404);
    assert_string_equal(reply_header(&r, "\nContent-Type"), "application/problem+json");
    assert_non_null(strstr(r.body, "\"code\":\"not_found\""));
    reply_free(&r);
    r = client_ask(&f, "DELETE /api/echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.status, 405);
    assert_string_equal(reply_header(&r, "\nAllow"), "POST, PUT");
    reply_free(&r);
    assert_int_equal(client_status(&f, "/api/forget"), 500);
    assert_int_equal(client_status(&f, "/api/secret"), 401);
    r = client_get(&f, "/api/problem");
    assert_int_equal(r.status, 409);
    assert_null(strstr(r.head, "\nInjected"));
    assert_non_null(strstr(r.body, "\"fixes\":[\"Choose another id.\"],\"errors\":[{\"pointer\":\"/id\"}]"));
    reply_free(&r);
    server_stop(&f);
}

static struct reply
post(const struct fixture *f, const char *method, const char *path, size_t len)
{
    char *request = mem_alloc(len + 300);
    int n = sprintf(request, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", method, path, len);
    int fd = client_dial(f, 0);

    memset(request + n, 'b', len);
    client_put(fd, request, (size_t)n + len);
    struct reply r = client_read(fd, false);
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
    server_start(&f);
    for (size_t i = 0; i < MEM_COUNT(SIZES); i++) {
        struct reply r = post(&f, "POST", "/api/echo", SIZES[i]);

        assert_int_equal(r.status, 200);
        assert_int_equal(r.body_len, SIZES[i]);
        reply_free(&r);
    }
    for (size_t len = 998; len <= 1002; len++) {
        struct reply r = post(&f, "PUT", "/api/echo", len);

        assert_int_equal(r.status, len <= 1000 ? 200 : 413);
        reply_free(&r);
    }
    struct reply r = post(&f, "POST", "/api/echo", 100001);
    assert_int_equal(r.status, 413);
    assert_non_null(strstr(r.body, "limit of 100000 bytes"));
    reply_free(&r);
    r = post(&f, "POST", "/api/nobody", 1);
    assert_int_equal(r.status, 413);
    reply_free(&r);
    server_stop(&f);
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
    server_start(&f);
    for (size_t i = 0; i < MEM_COUNT(CASES); i++) {
        if (CASES[i].status == 0)
            continue;
        struct reply r = client_ask(&f, CASES[i].request);

        if (r.status != CASES[i].status)
            fail_msg("%s answers %d", CASES[i].request, r.status);
        if (CASES[i].body)
            assert_string_equal(r.body, CASES[i].body);
        reply_free(&r);
    }
    server_stop(&f);
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
    server_start(&f);
    for (size_t i = 0; i < MEM_COUNT(CASES); i++) {
        char request[1000];

        (void)snprintf(request, sizeof request,
                       "POST /api/json HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                       CASES[i].type, strlen(CASES[i].body), CASES[i].body);
        struct reply r = client_ask(&f, request);
        if (r.status != CASES[i].status || !strstr(r.body, CASES[i].has))
            fail_msg("case %zu: %d %s", i, r.status, r.body);
        reply_free(&r);
    }
    server_stop(&f);
}

static void
expect_statuses(int fd, const int *want)
{
    for (; *want; want++) {
        struct reply r = client_read(fd, false);

        assert_int_equal(r.status, *want);
        reply_free(&r);
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
    server_start(&f);
    int fd = client_dial(&f, 0);
    for (unsigned i = 0; i < 50; i++) {
        client_put_text(fd, i % 3 ? HELLO : BODY);
        expect_statuses(fd, (const int[]){200, 0});
    }
    client_put_text(fd, HELLO WORK HELLO WORK "GET /api/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect_statuses(fd, (const int[]){200, 201, 200, 201, 200, 0});
    assert_true(client_is_at_end(fd));
    close(fd);
    fd = client_dial(&f, 0);
    for (const char *p = BYTEWISE; *p; p++)
        client_put(fd, p, 1);
    expect_statuses(fd, (const int[]){200, 201, 200, 0});
    for (const char *p = BODY; *p; p++)
        client_put(fd, p, 1);
    expect_statuses(fd, (const int[]){200, 0});
    close(fd);
    /* never a body from the wrong place */
    fd = client_dial(&f, 0);
    client_put_text(fd, HELLO BODY HELLO);
    expect_statuses(fd, (const int[]){200, 503, 0});
    assert_true(client_is_at_end(fd));
    close(fd);
    fd = client_dial(&f, 0);
    client_put_text(fd, BODY HELLO HELLO);
    expect_statuses(fd, (const int[]){200, 200, 200, 0});
    close(fd);
    server_stop(&f);
}

static void
test_big_answer(void **state)
{
    struct fixture f;

    (void)state;
    server_start(&f);
    struct reply r = client_get(&f, "/api/big");
    assert_int_equal(r.body_len, 9 * 300000);
    for (unsigned i = 0; i < 300000; i += 777)
        assert_int_equal(atoi(r.body + 9 * i), i);
    reply_free(&r);
    server_stop(&f);
}

/* --- workers, held requests, streams --- */

static void
test_worker_with_client_gone(void **state)
{
    struct fixture f;

    (void)state;
    server_start(&f);
    struct reply r = client_get(&f, "/api/worker");
    assert_int_equal(r.status, 201);
    reply_free(&r);
    for (unsigned i = 0; i < 8; i++) {
        int fd = client_dial(&f, 0);

        client_put_text(fd, "GET /api/worker HTTP/1.1\r\nHost: x\r\n\r\n");
        close(fd);
    }
    wait_for_count(&f.worker_runs, 9);
    assert_int_equal(client_status(&f, "/api/hello"), 200);
    server_stop(&f);
}

static void
test_hold(void **state)
{
    struct fixture f;

    (void)state;
    server_start(&f);
    int fd = client_dial(&f, 0);
    client_put_text(fd, "GET /api/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    assert_int_equal(client_status(&f, "/api/release"), 204);
    struct reply r = client_read(fd, false);
    assert_string_equal(r.body, "{\"held\":\"released\"}");
    reply_free(&r);
    client_put_text(fd, "GET /api/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    close(fd);
    wait_for_count(&f.gone, 1);
    assert_int_equal(client_status(&f, "/api/release"), 204);
    /* one that is held when the server stops */
    fd = client_dial(&f, 0);
    client_put_text(fd, "GET /api/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    server_stop(&f);
    assert_int_equal(f.gone, 2);
    r = client_read(fd, false);
    assert_int_equal(r.status, 503);
    reply_free(&r);
    close(fd);
}

static void
test_stream_to_slow_client(void **state)
{
    const size_t total = 10 * 1000 * 1000;
    struct fixture f;

    (void)state;
    server_start(&f);
    int fd = client_dial(&f, 8192);
    client_put_text(fd, "GET /api/stream?n=10000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 300 * 1000 * 1000}, NULL);
    assert_true(f.streamed < 6 * 1000 * 1000); /* held back: the kernel's buffers and 256 KiB of ours */
    struct reply r = client_read(fd, false);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body_len, total);
    reply_free(&r);
    client_put_text(fd, "GET /api/hello HTTP/1.1\r\nHost: x\r\n\r\n");
    r = client_read(fd, false);
    assert_int_equal(r.status, 200);
    reply_free(&r);
    /* a client that goes away wakes the writer */
    client_put_text(fd, "GET /api/stream?n=100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    close(fd);
    wait_for_count(&f.stream_failed, 1);
    server_stop(&f);
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
    server_start(&f);
    int fd = client_dial(&f, 0);
    client_put_text(fd, "GET /api/cut HTTP/1.1\r\nHost: x\r\n\r\n");
    len = read_all(fd, buf, sizeof buf);
    assert_true(len > 50000 && len < sizeof buf);
    assert_memory_equal(buf + len - 3, "x\r\n", 3); /* the chunk is whole, the last one does not come */
    close(fd);
    /* nobody reads: the wait ends after its time */
    fd = client_dial(&f, 4096);
    client_put_text(fd, "GET /api/cut?wait_ms=50 HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for_count(&f.worker_runs, 2);
    assert_int_equal(f.stream_failed, 0);
    assert_true(f.streamed > 250000);
    close(fd);
    /* the client goes: the wait ends at once */
    fd = client_dial(&f, 0);
    client_put_text(fd, "GET /api/cut?wait_ms=20000 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(recv(fd, buf, 1000, 0) > 0);
    close(fd);
    wait_for_count(&f.worker_runs, 3);
    assert_int_equal(f.stream_failed, 1);
    server_stop(&f);
}

static void
test_close_with_work_under_way(void **state)
{
    struct fixture f;

    (void)state;
    server_start(&f);
    int a = client_dial(&f, 0), b = client_dial(&f, 4096), idle = client_dial(&f, 0);
    client_put_text(a, "GET /api/worker HTTP/1.1\r\nHost: x\r\n\r\n");
    client_put_text(b, "GET /api/stream?n=100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    client_put_text(idle, "GET /api/hello HTTP");
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    server_stop(&f);
    struct reply r = client_read(a, false);
    assert_int_equal(r.status, 201);
    reply_free(&r);
    assert_int_equal(f.stream_failed, 1);
    assert_true(client_is_at_end(idle));
    close(a);
    close(b);
    close(idle);
}

static void
test_timeouts(void **state)
{
    struct fixture f;

    (void)state;
    server_start_with(&f, (struct http_conf){.request_timeout_ms = 1000});
    int head = client_dial(&f, 0), body = client_dial(&f, 0), held = client_dial(&f, 0);
    client_put_text(head, "GET /api/he");
    client_put_text(body, "POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    client_put_text(held, "GET /api/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    struct reply r = client_read(body, false);
    assert_int_equal(r.status, 408);
    reply_free(&r);
    r = client_read(held, false);
    assert_int_equal(r.status, 504);
    reply_free(&r);
    assert_true(client_is_at_end(head));
    close(head);
    close(body);
    close(held);
    server_stop(&f);
}

/* --- files --- */

static void
test_files(void **state)
{
    struct fixture f;
    char nonce[33], request[300];

    (void)state;
    server_start(&f);
    struct reply r = client_get(&f, "/");
    assert_int_equal(r.status, 200);
    const char *csp = strstr(r.head, "script-src 'self' 'nonce-");
    assert_non_null(csp);
    (void)snprintf(nonce, sizeof nonce, "%s", csp + strlen("script-src 'self' 'nonce-"));
    assert_non_null(strstr(r.body, nonce));
    assert_null(strstr(r.body, "__CSP_NONCE__"));
    assert_string_equal(reply_header(&r, "\nCache-Control"), "no-cache");
    reply_free(&r);
    r = client_get(&f, "/devices/pump-1");
    assert_int_equal(r.status, 200);
    assert_null(strstr(r.body, nonce)); /* a fresh one for each answer */
    reply_free(&r);
    r = client_get(&f, "/assets/app-abc123.js");
    assert_string_equal(r.body, "console.log(1)");
    assert_string_equal(reply_header(&r, "\nContent-Type"), "text/javascript; charset=utf-8");
    assert_non_null(strstr(reply_header(&r, "\nCache-Control"), "immutable"));
    (void)snprintf(request, sizeof request,
                   "GET /assets/app-abc123.js HTTP/1.1\r\nHost: x\r\nIf-None-Match: %s\r\n\r\n",
                   reply_header(&r, "\nETag"));
    reply_free(&r);
    r = client_ask(&f, request);
    assert_int_equal(r.status, 304);
    reply_free(&r);
    r = client_ask(&f, "GET /assets/app-abc123.js HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip, br\r\n\r\n");
    assert_string_equal(r.body, "GZIPPED");
    assert_string_equal(reply_header(&r, "\nContent-Encoding"), "gzip");
    reply_free(&r);
    assert_int_equal(client_status(&f, "/logo.svg"), 200);
    assert_int_equal(client_status(&f, "/assets/none"), 404);
    assert_int_equal(client_status(&f, "/none.js"), 404);
    assert_int_equal(client_status(&f, "/api"), 404);
    server_stop(&f);
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
    server_start(&f);
    for (size_t i = 0; i < MEM_COUNT(PATHS); i++) {
        struct reply r = client_get(&f, PATHS[i]);

        if (r.body && (strcmp(r.body, "secret") == 0 || strcmp(r.body, "hidden") == 0 || strstr(r.body, "root:")))
            fail_msg("%s leads out of the directory", PATHS[i]);
        reply_free(&r);
    }
    server_stop(&f);
}

/* --- opening --- */

static void
test_open_errors(void **state)
{
    struct loop *loop = loop_new();
    struct http_server *a = NULL, *b = NULL;
    struct nx_note why = {.text = ""};
    struct http_conf conf = {.routes = server_routes};

    (void)state;
    assert_int_equal(http_open(&a, loop, &conf, &why), NX_OK);
    conf.port = http_port(a);
    assert_int_equal(http_open(&b, loop, &conf, &why), NX_E_CONFLICT);
    assert_non_null(strstr(why.text, "is in use on 127.0.0.1"));
    conf.bind = "plant.example";
    assert_int_equal(http_open(&b, loop, &conf, &why), NX_E_CONFIG);
    conf = (struct http_conf){.routes = server_routes, .cert_file = "/nonexistent.pem", .key_file = "/nonexistent.key"};
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
    server_start(&f);
    assert_int_equal(client_status(&f, "/health/live"), 200);
    struct reply r = client_get(&f, "/health/ready");
    assert_int_equal(r.status, 503);
    assert_non_null(strstr(r.body, "the broker is not reached yet"));
    reply_free(&r);
    r = client_get(&f, "/metrics");
    assert_non_null(strstr(r.body, "nexus_http_requests_total{route=\"/health/ready\",code=\"503\"} 1"));
    assert_non_null(strstr(r.body, "nexus_http_request_duration_seconds_count{route=\"/health/live\"} 1"));
    reply_free(&r);
    assert_int_equal(client_status(&f, "/status"), 200);
    server_stop(&f);
}

static void
test_connection_limit(void **state)
{
    struct fixture f;
    int fds[8];

    (void)state;
    server_start_with(&f, (struct http_conf){.max_connections = 4});
    for (unsigned i = 0; i < 8; i++) {
        fds[i] = client_dial(&f, 0);
        client_put_text(fds[i], "GET /api/hello HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (unsigned i = 0; i < 8; i++) {
        struct reply r = client_read(fds[i], false);

        assert_int_equal(r.status, 200);
        reply_free(&r);
        close(fds[i]); /* makes room for one that waits */
    }
    server_stop(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),       cmocka_unit_test(test_routing),
        cmocka_unit_test(test_bodies),      cmocka_unit_test(test_framing),
        cmocka_unit_test(test_json_bodies), cmocka_unit_test(test_keep_alive_and_pipelining),
        cmocka_unit_test(test_big_answer),  cmocka_unit_test(test_worker_with_client_gone),
        cmocka_unit_test(test_hold),        cmocka_unit_test(test_stream_to_slow_client),
        cmocka_unit_test(test_stream_cut),  cmocka_unit_test(test_close_with_work_under_way),
        cmocka_unit_test(test_timeouts),    cmocka_unit_test(test_files),
        cmocka_unit_test(test_traversal),   cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_health),      cmocka_unit_test(test_connection_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
