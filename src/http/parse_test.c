#include "http/parse.h"

#include "base/mem.h"
#include "http/problem.h"
#include "http/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void
test_content_length(void **state)
{
    static const char *const WRONG[] = {"", "-1", "+1", " 1", "1 ", "1,1", "0x1", "1234567890123456", "1e3"};
    uint64_t n = 7;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(WRONG); i++)
        assert_false(parse_content_length(WRONG[i], &n));
    assert_int_equal(n, 7);
    assert_true(parse_content_length("0", &n));
    assert_int_equal(n, 0);
    assert_true(parse_content_length("999999999999999", &n));
    assert_int_equal(n, 999999999999999);
}

static void
expect_cookie(const char *header, const char *name, const char *want)
{
    struct slice value = parse_cookie(header, name);

    if (!want)
        assert_null(value.p);
    else
        assert_true(slice_eq_str(value, want));
}

static void
test_cookie(void **state)
{
    (void)state;
    expect_cookie("a=1; b=2", "b", "2");
    expect_cookie("a=1;b=2", "b", "2");
    expect_cookie("ab=1; b=\"x y\"", "b", "x y");
    expect_cookie("b=1; b=2", "b", "1");
    expect_cookie("a=b=c", "a", "b=c");
    expect_cookie("ab=1", "b", NULL);
    expect_cookie("a=b=1", "b", NULL);
    expect_cookie("", "b", NULL);
    expect_cookie(";;;", "b", NULL);
    expect_cookie("b", "b", "");
    expect_cookie("b=\"", "b", "\"");
}

static void
test_media_types(void **state)
{
    (void)state;
    assert_true(parse_is_json("application/json"));
    assert_true(parse_is_json("Application/JSON ; charset=utf-8"));
    assert_true(parse_is_json("application/merge-patch+json"));
    assert_false(parse_is_json("application/jsonx"));
    assert_false(parse_is_json("text/plain; application/json"));
    assert_false(parse_is_json("text/x+json"));
    assert_false(parse_is_json("application/+json"));
    assert_true(parse_accepts("gzip, deflate, br", "br"));
    assert_true(parse_accepts("gzip;q=0.5", "gzip"));
    assert_false(parse_accepts("gzip;q=0", "gzip"));
    assert_false(parse_accepts("gzip; q=0.000", "gzip"));
    assert_false(parse_accepts("xgzip", "gzip"));
    assert_false(parse_accepts("", "gzip"));
    assert_true(parse_etag_matches("\"a\", W/\"b\"", "\"b\""));
    assert_true(parse_etag_matches("*", "\"b\""));
    assert_false(parse_etag_matches("\"bb\"", "\"b\""));
    assert_string_equal(parse_mime("/a/b.JS"), "text/javascript; charset=utf-8");
    assert_string_equal(parse_mime("/a.woff2"), "font/woff2");
    assert_string_equal(parse_mime("/a"), "application/octet-stream");
    assert_true(parse_is_request_id("aZ9._-"));
    assert_false(parse_is_request_id(""));
    assert_false(parse_is_request_id("a\"b"));
    assert_false(parse_is_request_id("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void
test_loopback(void **state)
{
    static const char *const OURS[] = {"localhost",      "LocalHost:8081", "127.0.0.1",
                                       "127.0.0.1:8081", "[::1]",          "[::1]:1"};
    static const char *const OTHERS[] = {
        "",         "evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "[::1].evil", "127.evil.example:1",
        "10.0.0.1", "xlocalhost"};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(OURS); i++)
        if (!parse_is_loopback(OURS[i]))
            fail_msg("%s", OURS[i]);
    for (size_t i = 0; i < MEM_COUNT(OTHERS); i++)
        if (parse_is_loopback(OTHERS[i]))
            fail_msg("%s", OTHERS[i]);
}

static void
test_paths(void **state)
{
    static const char *const UNSAFE[] = {"",      "a",      "//",      "/a//b", "/.",    "/..",          "/../a",
                                         "/a/..", "/a/./b", "/.git/x", "/a\\b", "/a\nb", "/a/..\\..\\b", "/a/\x7f"};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(UNSAFE); i++)
        if (parse_path_is_safe(UNSAFE[i]))
            fail_msg("%s", UNSAFE[i]);
    assert_true(parse_path_is_safe("/"));
    assert_true(parse_path_is_safe("/assets/index-abc.js"));
    assert_true(parse_path_is_safe("/a..b/c..d"));
    assert_true(parse_path_has_extension("/a/b.c"));
    assert_false(parse_path_has_extension("/a.b/c"));
}

/* --- chunks --- */

static enum nx_err
feed(const char *text, size_t step, size_t limit, char *out, bool *done)
{
    struct parse_chunks c = {.state = CHUNK_SIZE};
    struct wbuf body = wbuf_init(limit);
    enum nx_err err = NX_OK;
    size_t len = strlen(text);

    for (size_t i = 0; i < len && err == NX_OK; i += step)
        err = parse_chunks_feed(&c, slice(text + i, len - i < step ? len - i : step), &body);
    strcpy(out, wbuf_cstr(&body));
    *done = c.state == CHUNK_DONE;
    wbuf_free(&body);
    return err;
}

static void
test_chunks(void **state)
{
    static const char GOOD[] = "3\r\nabc\r\nA;name=\"v\"\r\n0123456789\r\n01\r\nz\r\n000\r\nTrailer: x\r\n\r\n";
    static const char *const BAD[] = {"\r\n",         "g\r\n",   "3\nabc",    "3\r\nabcd\r\n", "3\r\nabc\n0\r\n\r\n",
                                      "-1\r\n",       "3\r\r\n", "0\r\nx\ry", "3;\n",          "1\rx",
                                      "123456789\r\n"};
    char out[100];
    bool done;

    (void)state;
    for (size_t step = 1; step <= sizeof GOOD; step++) {
        assert_int_equal(feed(GOOD, step, 100, out, &done), NX_OK);
        assert_true(done);
        assert_string_equal(out, "abc0123456789z");
    }
    for (size_t i = 0; i < MEM_COUNT(BAD); i++)
        for (size_t step = 1; step < 8; step++)
            if (feed(BAD[i], step, 100, out, &done) == NX_OK)
                fail_msg("%s is accepted", BAD[i]);
    assert_int_equal(feed(GOOD, 5, 14, out, &done), NX_OK);
    assert_int_equal(feed(GOOD, 5, 13, out, &done), NX_E_TOO_LARGE);
    for (size_t cut = 0; cut + 1 < sizeof GOOD; cut++) {
        char part[100];

        (void)snprintf(part, sizeof part, "%.*s", (int)cut, GOOD);
        assert_int_equal(feed(part, 3, 100, out, &done), NX_OK);
        assert_false(done);
    }
}

/* --- routes --- */

static void
nothing(struct http_req *req, void *arg)
{
    (void)req;
    (void)arg;
}

static const struct http_route ROUTES[] = {
    {HTTP_GET, "/api/devices", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_POST, "/api/devices", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_POST, "/api/devices:test", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/api/devices/{id}", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_DELETE, "/api/devices/{id}", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_POST, "/api/devices/{id}:browse", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/api/devices/export", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_POST, "/api/devices/{id}/tags/{tag}:write", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_PUT, "/api/devices/{id}/tags/{tag}", nothing, HTTP_ON_LOOP, 0, 0},
    {.path = NULL},
};

static void
expect_route(enum http_method method, const char *path, const char *want, const char *allowed)
{
    struct route_match m;
    struct wbuf allow = wbuf_init(100);

    route_find(ROUTES, method, path, &m);
    route_allow(m.allowed, &allow);
    if (want ? !m.route || strcmp(m.route->path, want) != 0 : m.route != NULL)
        fail_msg("%s goes to %s", path, m.route ? m.route->path : "nothing");
    assert_string_equal(wbuf_cstr(&allow), allowed);
    wbuf_free(&allow);
}

static void
test_routes(void **state)
{
    struct route_match m;

    (void)state;
    expect_route(HTTP_GET, "/api/devices", "/api/devices", "GET, POST, HEAD");
    expect_route(HTTP_HEAD, "/api/devices", "/api/devices", "GET, POST, HEAD");
    expect_route(HTTP_POST, "/api/devices:test", "/api/devices:test", "POST");
    expect_route(HTTP_GET, "/api/devices:test", NULL, "POST");
    expect_route(HTTP_GET, "/api/devices/x", "/api/devices/{id}", "GET, DELETE, HEAD");
    expect_route(HTTP_DELETE, "/api/devices/x", "/api/devices/{id}", "GET, DELETE, HEAD");
    expect_route(HTTP_PATCH, "/api/devices/x", NULL, "GET, DELETE, HEAD");
    expect_route(HTTP_POST, "/api/devices/x:browse", "/api/devices/{id}:browse", "POST");
    expect_route(HTTP_GET, "/api/devices/x:browse", NULL, "POST");
    expect_route(HTTP_GET, "/api/devices/export", "/api/devices/export", "GET, HEAD");
    expect_route(HTTP_DELETE, "/api/devices/export", NULL, "GET, HEAD");
    expect_route(HTTP_POST, "/api/devices/x/tags/a:b:write", "/api/devices/{id}/tags/{tag}:write", "POST");
    expect_route(HTTP_PUT, "/api/devices/x/tags/a", "/api/devices/{id}/tags/{tag}", "PUT");
    expect_route(HTTP_GET, "/api/devices/", NULL, "");
    expect_route(HTTP_GET, "/api/devices/x/", NULL, "");
    expect_route(HTTP_GET, "/api/device", NULL, "");
    expect_route(HTTP_GET, "/api/devicess", NULL, "");
    expect_route(HTTP_GET, "", NULL, "");
    route_find(ROUTES, HTTP_POST, "/api/devices/pump 1/tags/a:b:write", &m);
    assert_int_equal(m.param_count, 2);
    assert_true(slice_eq_str(m.params[0].value, "pump 1"));
    assert_true(slice_eq_str(m.params[1].value, "a:b"));
    assert_true(slice_eq_str(m.params[1].name, "tag"));
}

/* --- problems --- */

static void
test_problem(void **state)
{
    struct wbuf out = wbuf_init(0);

    (void)state;
    problem_print(&(struct http_problem){.status = 504,
                                         .code = "device_timeout",
                                         .detail = "No \"answer\" in time.",
                                         .cause_layer = "protocol",
                                         .cause_step = "read",
                                         .cause_elapsed_ms = 2000,
                                         .fixes = {"Check the cable.", "Raise the timeout."}},
                  "/api/x", "id1", &out);
    assert_string_equal(wbuf_cstr(&out),
                        "{\"type\":\"/api/docs#problem-device_timeout\",\"title\":\"Gateway Timeout\",\"status\":504,"
                        "\"detail\":\"No \\\"answer\\\" in time.\",\"instance\":\"/api/x\",\"code\":\"device_timeout\","
                        "\"trace_id\":\"id1\",\"cause\":{\"elapsed_ms\":2000,\"layer\":\"protocol\",\"step\":\"read\"},"
                        "\"fixes\":[\"Check the cable.\",\"Raise the timeout.\"]}");
    wbuf_free(&out);
    for (unsigned err = 0; err < NX_E_COUNT + 3; err++) {
        int status = problem_status_of((enum nx_err)err);

        assert_true(status >= 400 && status < 600);
        assert_string_not_equal(problem_status_text(status), "Error");
    }
    assert_int_equal(problem_status_of(NX_E_NOT_FOUND), 404);
    assert_int_equal(problem_status_of(NX_E_CONFIG), 422);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_length), cmocka_unit_test(test_cookie),  cmocka_unit_test(test_media_types),
        cmocka_unit_test(test_loopback),       cmocka_unit_test(test_paths),   cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_routes),         cmocka_unit_test(test_problem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
