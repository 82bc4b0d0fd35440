#include "auth/auth.h"
#include "base/mem.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void
passwords_are_argon2id(void **state)
{
    char hash[AUTH_HASH_CAP], again[AUTH_HASH_CAP];
    struct nx_note why;
    char *long_one = mem_alloc(1026);

    (void)state;
    assert_int_equal(auth_password_hash("correct horse", hash, &why), NX_OK);
    assert_int_equal(auth_password_hash("correct horse", again, &why), NX_OK);
    assert_int_equal(strncmp(hash, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0);
    assert_string_not_equal(hash, again); /* salted */
    assert_true(auth_password_verify(hash, "correct horse"));
    assert_false(auth_password_verify(hash, "correct horse "));
    assert_false(auth_password_verify(NULL, "correct horse"));
    assert_false(auth_password_verify("no hash at all", "correct horse"));
    assert_int_equal(auth_password_hash("seven..", hash, &why), NX_E_VALUE);
    memset(long_one, 'x', 1025);
    assert_int_equal(auth_password_hash(long_one, hash, &why), NX_E_VALUE);
    assert_false(auth_password_verify(hash, long_one));
    free(long_one);
}

static void
secrets_are_random_and_readable(void **state)
{
    char a[AUTH_TOKEN_CAP], b[AUTH_TOKEN_CAP], code[16], digest[AUTH_DIGEST_CAP], csrf[2][AUTH_DIGEST_CAP];

    (void)state;
    auth_random_token(a);
    auth_random_token(b);
    assert_int_equal(strlen(a), 43);
    assert_string_not_equal(a, b);
    assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
    for (unsigned i = 0; i < 200; i++) {
        auth_setup_code(code);
        assert_int_equal(strlen(code), 13);
        assert_true(code[4] == '-' && code[9] == '-');
        assert_null(strpbrk(code, "IO01abcdefghijklmnopqrstuvwxyz"));
    }
    auth_digest("abc", digest);
    assert_string_equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    auth_csrf_token("session", "key", csrf[0]);
    auth_csrf_token("other", "key", csrf[1]);
    assert_string_not_equal(csrf[0], csrf[1]);
    assert_true(auth_secret_eq("same", "same"));
    assert_false(auth_secret_eq("same", "sane"));
    assert_false(auth_secret_eq("same", "same2"));
}

static void
guessing_gets_slower_and_success_forgets(void **state)
{
    struct auth_guard *g = auth_guard_new();
    uint64_t now = 1000, expected = 1000;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        auth_guard_result(g, "admin", "10.0.0.1", now, false);
    assert_int_equal(auth_guard_wait_ms(g, "admin", "10.0.0.1", now), 0);
    for (unsigned i = 0; i < 15; i++) {
        auth_guard_result(g, "admin", "10.0.0.1", now, false);
        assert_int_equal(auth_guard_wait_ms(g, "admin", "10.0.0.1", now), expected);
        expected = expected * 2 < 900000 ? expected * 2 : 900000;
    }
    /* Neither another account nor another address is locked out with it. */
    assert_int_equal(auth_guard_wait_ms(g, "admin", "10.0.0.2", now), 0);
    assert_int_equal(auth_guard_wait_ms(g, "operator", "10.0.0.1", now), 0);
    assert_int_equal(auth_guard_wait_ms(g, "admin", "10.0.0.1", now + 900000), 0);
    auth_guard_result(g, "admin", "10.0.0.1", now, true);
    assert_int_equal(auth_guard_wait_ms(g, "admin", "10.0.0.1", now), 0);
    for (unsigned i = 0; i < 6; i++) /* one account in all its spellings */
        auth_guard_result(g, i % 2 ? "Ada" : "aDa", "peer", now, false);
    assert_true(auth_guard_wait_ms(g, "ADA", "peer", now) > 0);
    now += 2 * 15 * 60 * 1000; /* forgotten: mistakes of last week do not count */
    auth_guard_result(g, "ada", "peer", now, false);
    assert_int_equal(auth_guard_wait_ms(g, "ada", "peer", now), 0);
    for (unsigned i = 0; i < 20000; i++) { /* bounded */
        char peer[32];

        (void)snprintf(peer, sizeof peer, "peer %u", i);
        auth_guard_result(g, "admin", peer, now, false);
    }
    auth_guard_free(&g);
}

struct issuer_test {
    char dir[32];
    struct auth_issuer *is;
    struct auth_claims claims;
};

static void
open_issuer(struct issuer_test *t)
{
    struct nx_note why;

    *t = (struct issuer_test){.dir = "/tmp/nx-auth-XXXXXX",
                              .claims = {.subject = "u1",
                                         .username = "ada",
                                         .role = AUTH_ROLE_ENGINEER,
                                         .issued_s = 1000000,
                                         .expires_s = 1000600,
                                         .id = "j1",
                                         .session = "s1"}};
    assert_non_null(mkdtemp(t->dir));
    assert_int_equal(auth_issuer_open(&t->is, t->dir, "nexus", "nexus-api", &why), NX_OK);
}

static void
close_issuer(struct issuer_test *t)
{
    char *path = mem_printf("%s/jwt-key.json", t->dir);

    auth_issuer_free(&t->is);
    (void)unlink(path);
    (void)rmdir(t->dir);
    free(path);
}

static void
tokens_carry_their_claims_and_end(void **state)
{
    struct issuer_test t;
    struct auth_claims c;
    struct nx_note why;
    char *token;

    (void)state;
    open_issuer(&t);
    assert_int_equal(auth_issue(t.is, &t.claims, &token, &why), NX_OK);
    assert_int_equal(auth_verify(t.is, token, 1000100, &c, &why), NX_OK);
    assert_string_equal(c.username, "ada");
    assert_string_equal(c.session, "s1");
    assert_int_equal(c.role, AUTH_ROLE_ENGINEER);
    assert_int_equal(auth_verify(t.is, token, 1000659, &c, &why), NX_OK); /* within the skew */
    assert_int_equal(auth_verify(t.is, token, 1000661, &c, &why), NX_E_EXPIRED);
    assert_int_equal(auth_verify(t.is, token, 999930, &c, &why), NX_E_AUTH); /* not valid yet */

    /* The key is kept: a token outlives a restart. Another audience refuses it. */
    auth_issuer_free(&t.is);
    assert_int_equal(auth_issuer_open(&t.is, t.dir, "nexus", "nexus-api", &why), NX_OK);
    assert_int_equal(auth_verify(t.is, token, 1000100, &c, &why), NX_OK);
    auth_issuer_free(&t.is);
    assert_int_equal(auth_issuer_open(&t.is, t.dir, "nexus", "other", &why), NX_OK);
    assert_int_equal(auth_verify(t.is, token, 1000100, &c, &why), NX_E_AUTH);
    auth_issuer_free(&t.is);
    assert_int_equal(auth_issuer_open(&t.is, t.dir, "other", "nexus-api", &why), NX_OK);
    assert_int_equal(auth_verify(t.is, token, 1000100, &c, &why), NX_E_AUTH);
    char *jwks = auth_jwks(t.is);
    assert_non_null(strstr(jwks, "\"kty\":\"EC\""));
    assert_null(strstr(jwks, "\"d\":")); /* the private part */
    free(jwks);
    free(token);
    close_issuer(&t);
}

/* Base64url of text, appended to out. */
static void
put_base64url(char *out, const char *text)
{
    char encoded[1024];
    int n = EVP_EncodeBlock((uint8_t *)encoded, (const uint8_t *)text, (int)strlen(text));

    while (n && encoded[n - 1] == '=')
        n--;
    encoded[n] = '\0';
    for (char *c = encoded; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    strcat(out, encoded);
}

static void
forged_tokens_are_refused(void **state)
{
    static const char payload[] = "{\"iss\":\"nexus\",\"aud\":\"nexus-api\",\"sub\":\"u1\",\"name\":\"eve\",\"role\":"
                                  "\"admin\",\"iat\":1000000,\"nbf\":1000000,\"exp\":2000000000,\"jti\":\"x\"}";
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"HS256\"}",
        "{\"alg\":\"RS256\",\"kid\":\"../../etc/passwd\"}",
        "{\"alg\":\"ES256\",\"kid\":\"nexus-1' OR 1=1\",\"jku\":\"http://127.0.0.1/keys\"}",
        "{\"alg\":\"ES256\"}",
    };
    struct issuer_test t;
    struct auth_claims c;
    struct nx_note why;
    char forged[4096], *token;

    (void)state;
    open_issuer(&t);
    assert_int_equal(auth_issue(t.is, &t.claims, &token, &why), NX_OK);
    const char *signature = strrchr(token, '.');
    for (size_t i = 0; i < MEM_COUNT(headers); i++) {
        forged[0] = '\0';
        put_base64url(forged, headers[i]);
        strcat(forged, ".");
        put_base64url(forged, payload);
        size_t unsigned_len = strlen(forged);
        strcat(forged, signature);
        assert_int_equal(auth_verify(t.is, forged, 1000100, &c, &why), NX_E_AUTH);
        strcpy(forged + unsigned_len, ".");
        assert_int_equal(auth_verify(t.is, forged, 1000100, &c, &why), NX_E_AUTH);
    }
    for (size_t i = 0; token[i]; i++) { /* one changed character anywhere */
        char keep = token[i];

        token[i] = keep == 'A' ? 'B' : 'A';
        /* The last character of a part may carry unused bits: then the decoded bytes are the same. */
        bool may_be_same = token[i + 1] == '.' || token[i + 1] == '\0';
        assert_true(auth_verify(t.is, token, 1000100, &c, &why) == NX_E_AUTH || may_be_same);
        token[i] = keep;
    }
    for (size_t cut = strlen(token); cut-- > 0;) {
        token[cut] = '\0';
        assert_int_equal(auth_verify(t.is, token, 1000100, &c, &why), NX_E_AUTH);
    }
    free(token);
    token = mem_alloc(1u << 20);
    memset(token, 'a', (1u << 20) - 1);
    assert_int_equal(auth_verify(t.is, token, 1000100, &c, &why), NX_E_AUTH);
    free(token);
    close_issuer(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_are_argon2id),
        cmocka_unit_test(secrets_are_random_and_readable),
        cmocka_unit_test(guessing_gets_slower_and_success_forgets),
        cmocka_unit_test(tokens_carry_their_claims_and_end),
        cmocka_unit_test(forged_tokens_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
