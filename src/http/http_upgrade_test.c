/* http_upgrade_test.c -- what a connection becomes: WebSocket, TLS. */
#include "http/http_fixture.h"

#include "base/mem.h"
#include "loop/loop.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* --- WebSocket --- */

static int
ws_dial(const struct fixture *f, const char *path, const char *more, int want)
{
    char request[500];
    int fd = client_dial(f, 0);

    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                   path, more);
    client_put_text(fd, request);
    struct reply r = client_read(fd, want == 101);
    if (r.status != want)
        fail_msg("upgrade of %s %s answers %d", path, more, r.status);
    if (want == 101)
        assert_string_equal(reply_header(&r, "\nSec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    reply_free(&r);
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
    client_put(fd, w.p, w.len);
    wbuf_free(&w);
}

/* The payload of the next whole frame; free() it. */
static char *
ws_get(int fd, unsigned *opcode, size_t *len)
{
    uint8_t head[2], more[8] = {0};
    size_t n;

    if (!client_get_bytes(fd, head, 2))
        return NULL;
    *opcode = head[0] & 15;
    n = head[1] & 127;
    if (n == 126) {
        assert_true(client_get_bytes(fd, more, 2));
        n = (size_t)more[0] << 8 | more[1];
    } else if (n == 127) {
        assert_true(client_get_bytes(fd, more, 8));
        n = (size_t)more[5] << 16 | (size_t)more[6] << 8 | more[7];
    }
    char *p = mem_alloc(n + 1);
    assert_true(n == 0 || client_get_bytes(fd, p, n));
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
    server_start(&f);
    int fd = ws_dial(&f, "/api/v1/ws", "Sec-WebSocket-Protocol: other, nexus.v1\r\nOrigin: http://x\r\n", 101);
    expect_frame(fd, 1, "{\"op\":\"hello\"}", 14);
    ws_put(fd, 1, "ping?", 5);
    expect_frame(fd, 1, "ping?", 5);
    memset(big, 'y', sizeof big);
    ws_put(fd, 1, big, sizeof big);
    expect_frame(fd, 1, big, sizeof big);
    ws_put(fd, 9, "p", 1);
    expect_frame(fd, 10, "p", 1);
    wait_for_count(&f.drained, 1);
    ws_put(fd, 1, "close", 5);
    expect_frame(fd, 8,
                 "\x0f\xa0"
                 "as you wish",
                 13);
    close(fd);
    wait_for_count(&f.ws_closed, 1);
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
    wait_for_count(&f.ws_open, 3);
    server_stop(&f);
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
    server_start(&f);
    close(ws_dial(&f, "/api/v1/ws", "", 400));
    close(ws_dial(&f, "/api/v1/ws", "Sec-WebSocket-Protocol: other\r\n", 400));
    close(ws_dial(&f, "/api/other", "Sec-WebSocket-Protocol: nexus.v1\r\n", 404));
    close(ws_dial(&f, "/api/v1/ws", "Sec-WebSocket-Protocol: nexus.v1\r\nOrigin: http://evil.example\r\n", 403));
    assert_int_equal(f.ws_open, 0);
    server_stop(&f);
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
    int fd = client_dial(f, 0);
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
    server_start_with(&f, (struct http_conf){.cert_file = CERT, .key_file = KEY});
    char *answer = tls_dial_and_ask(&f, ctx, "GET /api/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK"));
    assert_non_null(strstr(answer, "Strict-Transport-Security"));
    assert_non_null(strstr(answer, "{\"hello\":\"world\"}"));
    free(answer);
    answer = tls_dial_and_ask(&f, ctx, "GET /api/big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(answer, "00299999\n"));
    free(answer);
    /* plain HTTP to a TLS port, and old versions, fail without harm */
    struct reply r = client_get(&f, "/api/hello");
    assert_int_not_equal(r.status, 200);
    reply_free(&r);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    int fd = client_dial(&f, 0);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    assert_int_not_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(ctx);
    server_stop(&f);
    unlink(CERT);
    unlink(KEY);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_websocket),
        cmocka_unit_test(test_websocket_refusals),
        cmocka_unit_test(test_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
