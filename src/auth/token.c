/* token.c -- random secrets and what is kept of them. */
#include "auth/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_BYTES 32u

static const char *const role_names[AUTH_ROLE_COUNT] = {
    [AUTH_ROLE_VIEWER] = "viewer",
    [AUTH_ROLE_OPERATOR] = "operator",
    [AUTH_ROLE_ENGINEER] = "engineer",
    [AUTH_ROLE_ADMIN] = "admin",
};

const char *
auth_role_name(enum auth_role role)
{
    return role < AUTH_ROLE_COUNT ? role_names[role] : "";
}

bool
auth_role_parse(const char *text, enum auth_role *out)
{
    for (unsigned i = 0; i < AUTH_ROLE_COUNT; i++) {
        if (strcmp(text, role_names[i]) == 0) {
            *out = (enum auth_role)i;
            return true;
        }
    }
    return false;
}

static void
random_bytes(uint8_t *p, size_t n)
{
    if (RAND_bytes(p, (int)n) != 1)
        abort(); /* without random numbers nothing here is safe */
}

void
auth_random_token(char out[AUTH_TOKEN_CAP])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t bytes[TOKEN_BYTES + 1] = {0};
    size_t n = 0;

    random_bytes(bytes, TOKEN_BYTES);
    for (size_t bit = 0; bit < TOKEN_BYTES * 8; bit += 6) { /* base64url, RFC 4648 section 5, without padding */
        unsigned pair = (unsigned)bytes[bit / 8] << 8 | bytes[bit / 8 + 1];

        out[n++] = digits[pair >> (10 - bit % 8) & 63u];
    }
    out[n] = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
}

void
auth_setup_code(char out[16])
{
    static const char letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"; /* 32: without I, O, 0, 1 */
    uint8_t bytes[11];
    size_t n = 0;

    random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 8)
            out[n++] = '-';
        out[n++] = letters[bytes[i] % 32u];
    }
    out[n] = '\0';
}

static void
to_hex(const uint8_t *p, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = "0123456789abcdef"[p[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[p[i] & 15u];
    }
    out[2 * n] = '\0';
}

void
auth_digest(const char *token, char out[AUTH_DIGEST_CAP])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_Digest(token, strlen(token), digest, &len, EVP_sha256(), NULL) != 1)
        abort();
    to_hex(digest, len, out);
}

bool
auth_secret_eq(const char *a, const char *b)
{
    size_t n = strlen(a);

    return n == strlen(b) && CRYPTO_memcmp(a, b, n) == 0;
}

void
auth_csrf_token(const char *session_token, const char *key, char out[AUTH_DIGEST_CAP])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (!HMAC(EVP_sha256(), key, (int)strlen(key), (const uint8_t *)session_token, strlen(session_token), digest, &len))
        abort();
    to_hex(digest, len, out);
}
