/* tls.h -- TLS client as a pure filter between plain and encrypted bytes (OpenSSL with memory BIOs). Loop thread. */
#ifndef LOOP_TLS_H
#define LOOP_TLS_H

#include "base/wbuf.h"
#include "loop/loop.h"

struct tls;

/* NX_E_CONFIG/NX_E_TLS when a file of conf cannot be used; why names it. host is checked against the certificate. */
NX_MUST_CHECK enum nx_err tls_new(struct tls **out, const struct stream_tls *conf, const char *host,
                                  struct nx_note *why);
void tls_free(struct tls **t);

/* Continues the handshake or takes plain bytes out. What must be sent is appended to wire.
 * NX_E_MORE: the handshake goes on. NX_OK: it is complete. */
NX_MUST_CHECK enum nx_err tls_handshake(struct tls *t, struct wbuf *wire, struct nx_note *why);
/* Encrypted bytes from the peer. */
void tls_feed(struct tls *t, struct slice encrypted);
/* Decrypted bytes into buf; *n 0 when there are no more. NX_E_CLOSED after the peer's close. */
NX_MUST_CHECK enum nx_err tls_read(struct tls *t, void *buf, size_t cap, size_t *n, struct wbuf *wire,
                                   struct nx_note *why);
NX_MUST_CHECK enum nx_err tls_write(struct tls *t, struct slice plain, struct wbuf *wire, struct nx_note *why);
/* Appends the close_notify alert. */
void tls_shutdown(struct tls *t, struct wbuf *wire);

#endif
