/* jwt.c -- access tokens: JWT signed with ES256 (RFC 7515, 7519), checked by the rules of RFC 8725.
 *
 * One key of our own, one algorithm: what the header of a token claims is compared with it and never followed. */
#include "auth/auth.h"

#include "base/file.h"
#include "base/mem.h"

#include <cjose/cjose.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALGORITHM     "ES256"
#define KEY_ID        "nexus-1"
#define MAX_TOKEN     8192u
#define SKEW_S        60
#define MAX_KEY_BYTES 4096u

struct auth_issuer {
    cjose_jwk_t *key;
    char *issuer, *audience;
};

static enum nx_err
jose_fail(struct nx_note *why, const char *what, const cjose_err *err)
{
    return nx_fail(why, NX_E_INTERNAL, "%s: %s", what, err->message ? err->message : "cjose failed");
}

static enum nx_err
make_key(cjose_jwk_t **key, const char *path, struct nx_note *why)
{
    cjose_err err = {0};

    *key = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &err);
    if (!*key || !cjose_jwk_set_kid(*key, KEY_ID, strlen(KEY_ID), &err))
        return jose_fail(why, "cannot make a signing key", &err);
    char *json = cjose_jwk_to_json(*key, true, &err);
    if (!json)
        return jose_fail(why, "cannot write the signing key", &err);
    enum nx_err rc = file_write(path, slice_str(json), 0600, why);
    cjose_get_dealloc()(json);
    return rc;
}

static enum nx_err
load_key(cjose_jwk_t **key, const char *path, struct nx_note *why)
{
    cjose_err err = {0};
    char *json;
    enum nx_err rc = file_read_secret(path, &json, why);

    if (rc != NX_OK)
        return rc;
    *key = cjose_jwk_import(json, strlen(json), &err);
    free(json);
    if (!*key || cjose_jwk_get_kty(*key, &err) != CJOSE_JWK_KTY_EC)
        return nx_fail(why, NX_E_CORRUPT,
                       "%s does not hold an EC key. Remove it; a new one is made and everybody logs in again.", path);
    return NX_OK;
}

enum nx_err
auth_issuer_open(struct auth_issuer **out, const char *dir, const char *issuer, const char *audience,
                 struct nx_note *why)
{
    struct auth_issuer *is = mem_alloc(sizeof *is);
    char *path = mem_printf("%s/jwt-key.json", dir);

    is->issuer = mem_strdup(issuer);
    is->audience = mem_strdup(audience);
    enum nx_err err = access(path, F_OK) == 0 ? load_key(&is->key, path, why) : make_key(&is->key, path, why);
    free(path);
    *out = is;
    if (err != NX_OK)
        auth_issuer_free(out);
    return err;
}

void
auth_issuer_free(struct auth_issuer **is)
{
    if (!*is)
        return;
    cjose_jwk_release((*is)->key);
    free((*is)->issuer);
    free((*is)->audience);
    free(*is);
    *is = NULL;
}

static char *
claims_json(const struct auth_issuer *is, const struct auth_claims *c)
{
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s}", "iss", is->issuer, "aud", is->audience, "sub",
                  c->subject, "name", c->username, "role", auth_role_name(c->role), "iat", (json_int_t)c->issued_s,
                  "nbf", (json_int_t)c->issued_s, "exp", (json_int_t)c->expires_s, "jti", c->id, "sid", c->session);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    return text;
}

static enum nx_err
sign(struct auth_issuer *is, const char *payload, char **token, struct nx_note *why)
{
    cjose_err err = {0};
    cjose_header_t *header = cjose_header_new(&err);
    const char *compact = NULL;
    cjose_jws_t *jws = NULL;

    if (header && cjose_header_set(header, CJOSE_HDR_ALG, ALGORITHM, &err) &&
        cjose_header_set(header, CJOSE_HDR_KID, KEY_ID, &err) && cjose_header_set(header, "typ", "JWT", &err))
        jws = cjose_jws_sign(is->key, header, (const uint8_t *)payload, strlen(payload), &err);
    if (jws && cjose_jws_export(jws, &compact, &err))
        *token = mem_strdup(compact);
    cjose_jws_release(jws);
    cjose_header_release(header);
    return *token ? NX_OK : jose_fail(why, "cannot sign a token", &err);
}

enum nx_err
auth_issue(struct auth_issuer *is, const struct auth_claims *claims, char **token, struct nx_note *why)
{
    char *payload = claims_json(is, claims);

    *token = NULL;
    if (!payload)
        return nx_fail(why, NX_E_VALUE, "the user name is not valid UTF-8");
    enum nx_err err = sign(is, payload, token, why);
    free(payload);
    return err;
}

static bool
copy_text(const json_t *json, const char *key, char *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(json, key));

    if (!text || strlen(text) >= cap)
        return false;
    (void)snprintf(out, cap, "%s", text);
    return true;
}

static bool
is_text(const json_t *json, const char *key, const char *expected)
{
    const char *text = json_string_value(json_object_get(json, key));

    return text && strcmp(text, expected) == 0;
}

static enum nx_err
read_claims(const struct auth_issuer *is, const json_t *json, int64_t now_s, struct auth_claims *out,
            struct nx_note *why)
{
    const json_t *exp = json_object_get(json, "exp"), *nbf = json_object_get(json, "nbf");
    char role[16];

    *out = (struct auth_claims){0};
    if (!is_text(json, "iss", is->issuer))
        return nx_fail(why, NX_E_AUTH, "the token comes from another issuer");
    if (!is_text(json, "aud", is->audience))
        return nx_fail(why, NX_E_AUTH, "the token is meant for another service");
    if (!json_is_integer(exp) || !json_is_integer(nbf) || !json_is_integer(json_object_get(json, "iat")))
        return nx_fail(why, NX_E_AUTH, "the token has no times");
    if (json_integer_value(exp) + SKEW_S <= now_s)
        return nx_fail(why, NX_E_EXPIRED, "the token has expired: log in again or use the refresh token");
    if (json_integer_value(nbf) - SKEW_S > now_s)
        return nx_fail(why, NX_E_AUTH, "the token is not valid yet: compare the clocks");
    if (!copy_text(json, "sub", out->subject, sizeof out->subject) ||
        !copy_text(json, "name", out->username, sizeof out->username) ||
        !copy_text(json, "jti", out->id, sizeof out->id) ||
        !copy_text(json, "sid", out->session, sizeof out->session) || !copy_text(json, "role", role, sizeof role) ||
        !auth_role_parse(role, &out->role))
        return nx_fail(why, NX_E_AUTH, "the token lacks a claim");
    out->issued_s = json_integer_value(json_object_get(json, "iat"));
    out->expires_s = json_integer_value(exp);
    return NX_OK;
}

/* The signature first; only then is anything in the payload looked at. */
static json_t *
verified_payload(struct auth_issuer *is, const char *token)
{
    cjose_err err = {0};
    cjose_jws_t *jws = cjose_jws_import(token, strlen(token), &err);
    json_t *json = NULL;
    uint8_t *text = NULL;
    size_t len = 0;

    if (!jws)
        return NULL;
    const char *algorithm = cjose_header_get(cjose_jws_get_protected(jws), CJOSE_HDR_ALG, &err);
    if (algorithm && strcmp(algorithm, ALGORITHM) == 0 && cjose_jws_verify(jws, is->key, &err) &&
        cjose_jws_get_plaintext(jws, &text, &len, &err))
        json = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
    cjose_jws_release(jws);
    return json;
}

enum nx_err
auth_verify(struct auth_issuer *is, const char *token, int64_t now_s, struct auth_claims *out, struct nx_note *why)
{
    if (strnlen(token, MAX_TOKEN + 1) > MAX_TOKEN)
        return nx_fail(why, NX_E_AUTH, "the token is longer than %u bytes", MAX_TOKEN);
    json_t *json = verified_payload(is, token);
    if (!json)
        return nx_fail(why, NX_E_AUTH, "the token is not one of ours or was changed");
    enum nx_err err = read_claims(is, json, now_s, out, why);
    json_decref(json);
    return err;
}

char *
auth_jwks(struct auth_issuer *is)
{
    cjose_err err = {0};
    char *key = cjose_jwk_to_json(is->key, false, &err);
    char *text = mem_printf("{\"keys\":[%s]}", key ? key : "");

    if (key)
        cjose_get_dealloc()(key);
    return text;
}
