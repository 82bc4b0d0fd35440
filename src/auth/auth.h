/* auth.h -- passwords, sessions, tokens. No storage of its own: what must survive is handed to the caller.
 *
 * Passwords: argon2id (RFC 9106), m = 19456 KiB, t = 2, p = 1; at most two hashes run at a time. Tokens: JWT of our own
 * key, ES256 through cjose, rules of RFC 8725. Sessions and refresh tokens are opaque 256-bit random
 * numbers, stored hashed (SHA-256). Any thread unless said. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/slice.h"
#include "nexus/err.h"

enum auth_role { AUTH_ROLE_VIEWER, AUTH_ROLE_OPERATOR, AUTH_ROLE_ENGINEER, AUTH_ROLE_ADMIN, AUTH_ROLE_COUNT };
const char *auth_role_name(enum auth_role role);
bool auth_role_parse(const char *text, enum auth_role *out);

/* --- passwords --- */
#define AUTH_HASH_CAP 128
/* Encoded argon2id hash. Refuses passwords of fewer than 8 or more than 1024 bytes (NX_E_VALUE). Blocks ~50 ms. */
NX_MUST_CHECK enum nx_err auth_password_hash(const char *password, char out[AUTH_HASH_CAP], struct nx_note *why);
/* hash NULL: spends the same time and answers false (unknown users take as long as known ones). */
bool auth_password_verify(const char *hash, const char *password);

/* --- random secrets --- */
#define AUTH_TOKEN_CAP  48
#define AUTH_DIGEST_CAP 65
void auth_random_token(char out[AUTH_TOKEN_CAP]);               /* 256 bits, base64url */
void auth_setup_code(char out[16]);                             /* "XXXX-XXXX-XXX", without look-alikes */
void auth_digest(const char *token, char out[AUTH_DIGEST_CAP]); /* SHA-256 as hex: what is stored */
bool auth_secret_eq(const char *a, const char *b);              /* constant time */
/* CSRF token bound to a session: HMAC-SHA-256 of it. */
void auth_csrf_token(const char *session_token, const char *key, char out[AUTH_DIGEST_CAP]);

/* --- lock-out: exponential delay per (account, address) --- */
struct auth_guard;
struct auth_guard *auth_guard_new(void); /* at most 10,000 entries, oldest go first */
void auth_guard_free(struct auth_guard **g);
/* Milliseconds to wait before the next attempt is allowed; 0: go on. Thread-safe. */
uint64_t auth_guard_wait_ms(struct auth_guard *g, const char *account, const char *peer, uint64_t now_ms);
/* 5 failures: 1 s, doubling up to 15 min. A success forgets, and so do 15 min without an attempt after the delay.
 * Accounts are equal without case. now_ms never goes back: not the wall clock. */
void auth_guard_result(struct auth_guard *g, const char *account, const char *peer, uint64_t now_ms, bool success);

/* --- JWT --- */
struct auth_issuer;
struct auth_claims {
    char subject[65];
    char username[65];
    enum auth_role role;
    int64_t issued_s, expires_s;
    char id[AUTH_TOKEN_CAP];
    char session[AUTH_DIGEST_CAP]; /* digest of the login's session: the token ends with it */
};
/* Loads or makes the signing key in <dir>/jwt-key.json (0600). */
NX_MUST_CHECK enum nx_err auth_issuer_open(struct auth_issuer **out, const char *dir, const char *issuer,
                                           const char *audience, struct nx_note *why);
void auth_issuer_free(struct auth_issuer **is);
/* Signed token; free() it. */
NX_MUST_CHECK enum nx_err auth_issue(struct auth_issuer *is, const struct auth_claims *claims, char **token,
                                     struct nx_note *why);
/* Checks algorithm (ours only), signature, issuer, audience, exp, nbf (60 s skew), size (8 KiB). */
NX_MUST_CHECK enum nx_err auth_verify(struct auth_issuer *is, const char *token, int64_t now_s, struct auth_claims *out,
                                      struct nx_note *why);
/* The public keys as a JWKS document; free() it. */
char *auth_jwks(struct auth_issuer *is);

#endif
