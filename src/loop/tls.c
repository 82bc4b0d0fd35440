#include "loop/tls.h"

#include "base/mem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct tls {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

static enum nx_err
ssl_fail(struct nx_note *why, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    char text[160] = "unknown reason";

    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return nx_fail(why, NX_E_TLS, "%s: %s", what, text);
}

static enum nx_err
use_files(SSL_CTX *ctx, const struct stream_tls *conf, struct nx_note *why)
{
    char what[300];

    if (conf->ca_file) {
        (void)snprintf(what, sizeof what, "cannot use the CA file %s", conf->ca_file);
        if (SSL_CTX_load_verify_locations(ctx, conf->ca_file, NULL) != 1)
            return ssl_fail(why, what);
    } else {
        SSL_CTX_set_default_verify_paths(ctx);
    }
    if (!conf->cert_file)
        return NX_OK;
    (void)snprintf(what, sizeof what, "cannot use the client certificate %s", conf->cert_file);
    if (SSL_CTX_use_certificate_chain_file(ctx, conf->cert_file) != 1)
        return ssl_fail(why, what);
    const char *key = conf->key_file ? conf->key_file : conf->cert_file;
    (void)snprintf(what, sizeof what, "cannot use the key %s", key);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        return ssl_fail(why, what);
    return NX_OK;
}

/* A key with a passphrase must fail at once: the default would ask on the terminal. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return 0;
}

static void
set_peer_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
        return; /* an address is checked as an address and sends no SNI (RFC 6066, 3) */
    SSL_set_tlsext_host_name(ssl, name);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl, name);
}

enum nx_err
tls_new(struct tls **out, const struct stream_tls *conf, const char *host, struct nx_note *why)
{
    struct tls *t = mem_alloc(sizeof *t);

    *out = NULL;
    t->ctx = SSL_CTX_new(TLS_client_method());
    if (!t->ctx) {
        tls_free(&t);
        return ssl_fail(why, "cannot set up TLS");
    }
    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(t->ctx, no_passphrase);
    SSL_CTX_set_verify(t->ctx, conf->skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    enum nx_err err = use_files(t->ctx, conf, why);
    if (err != NX_OK) {
        tls_free(&t);
        return err;
    }
    t->ssl = SSL_new(t->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out)
        abort(); /* out of memory */
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_connect_state(t->ssl);
    set_peer_name(t->ssl, conf->server_name ? conf->server_name : host);
    *out = t;
    return NX_OK;
}

void
tls_free(struct tls **t)
{
    if (!*t)
        return;
    SSL_free((*t)->ssl);
    SSL_CTX_free((*t)->ctx);
    free(*t);
    *t = NULL;
}

static void
drain(struct tls *t, struct wbuf *wire)
{
    size_t waiting;

    while ((waiting = BIO_ctrl_pending(t->out)) > 0) {
        uint8_t *at = wbuf_reserve(wire, waiting);
        int n = at ? BIO_read(t->out, at, (int)waiting) : 0;

        if (n <= 0)
            return;
        wbuf_advance(wire, (size_t)n);
    }
}

static enum nx_err
handshake_failed(struct tls *t, struct nx_note *why)
{
    long verify = SSL_get_verify_result(t->ssl);

    if (verify == X509_V_OK)
        return ssl_fail(why, "TLS handshake failed");
    ERR_clear_error();
    return nx_fail(why, NX_E_TLS,
                   "the certificate of the peer is not trusted: %s. Check the CA file, the host name "
                   "and the clock.",
                   X509_verify_cert_error_string(verify));
}

enum nx_err
tls_handshake(struct tls *t, struct wbuf *wire, struct nx_note *why)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    int reason = SSL_get_error(t->ssl, rc);

    drain(t, wire);
    if (rc == 1)
        return NX_OK;
    return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? NX_E_MORE : handshake_failed(t, why);
}

void
tls_feed(struct tls *t, struct slice encrypted)
{
    if (encrypted.len)
        (void)BIO_write(t->in, encrypted.p, (int)encrypted.len);
}

enum nx_err
tls_read(struct tls *t, void *buf, size_t cap, size_t *n, struct wbuf *wire, struct nx_note *why)
{
    ERR_clear_error();
    int rc = SSL_read_ex(t->ssl, buf, cap, n);

    drain(t, wire); /* key updates and alerts */
    if (rc == 1)
        return NX_OK;
    *n = 0;
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return NX_OK;
    case SSL_ERROR_ZERO_RETURN:
        return nx_fail(why, NX_E_CLOSED, "the peer closed the TLS connection");
    default:
        return ssl_fail(why, "TLS connection failed");
    }
}

enum nx_err
tls_write(struct tls *t, struct slice plain, struct wbuf *wire, struct nx_note *why)
{
    while (plain.len) {
        size_t n = 0;

        ERR_clear_error();
        if (SSL_write_ex(t->ssl, plain.p, plain.len, &n) != 1)
            return ssl_fail(why, "TLS write failed");
        plain = slice_skip(plain, n);
        drain(t, wire);
    }
    return NX_OK;
}

void
tls_shutdown(struct tls *t, struct wbuf *wire)
{
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl);
    drain(t, wire);
}
