/* auth_api.c -- first set-up, login, refresh, logout. */
#include "core/handlers.h"

#include "base/mem.h"
#include "core/api.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PASSWORD_MIN 8
#define LOGINS_MAX   3 /* a check is long and keeps a worker and a processor */

/* What a login hands out. */
struct login {
    int64_t user_id;
    char username[65];
    enum auth_role role;
    char session[AUTH_TOKEN_CAP], session_digest[AUTH_DIGEST_CAP];
    char refresh[AUTH_TOKEN_CAP], refresh_digest[AUTH_DIGEST_CAP];
    char chain[AUTH_TOKEN_CAP];
    char *access; /* free() it */
};

/* --- tokens ----------------------------------------------------------------------------------------------------- */

static enum nx_err
issue_access(struct core *core, struct login *login, struct nx_note *why)
{
    struct auth_claims claims = {.role = login->role, .issued_s = core_now_us() / 1000000};

    claims.expires_s = claims.issued_s + core->conf.access_ttl_ms / 1000;
    (void)snprintf(claims.subject, sizeof claims.subject, "%lld", (long long)login->user_id);
    (void)snprintf(claims.username, sizeof claims.username, "%s", login->username);
    (void)snprintf(claims.session, sizeof claims.session, "%s", login->session_digest);
    auth_random_token(claims.id);
    return auth_issue(core->issuer, &claims, &login->access, why);
}

static enum nx_err
issue_refresh(struct core *core, struct store_tx *tx, struct login *login, struct nx_note *why)
{
    auth_random_token(login->refresh);
    auth_digest(login->refresh, login->refresh_digest);
    return store_refresh_insert(tx,
                                &(struct store_refresh){.digest = login->refresh_digest,
                                                        .chain = login->chain,
                                                        .session_digest = login->session_digest,
                                                        .user_id = login->user_id,
                                                        .expires_us = core_now_us() + core->conf.refresh_ttl_ms * 1000},
                                why);
}

static enum nx_err
session_store(struct core *core, struct store_tx *tx, const struct login *login, struct nx_note *why)
{
    int64_t now_us = core_now_us();

    return store_session_put(tx,
                             &(struct store_session){.digest = login->session_digest,
                                                     .user_id = login->user_id,
                                                     .created_us = now_us,
                                                     .expires_us = now_us + core->conf.session_ttl_ms * 1000,
                                                     .last_seen_us = now_us},
                             why);
}

/* A new session with its token pair, in the store; nobody knows its secrets before the commit. */
static enum nx_err
login_store(struct core *core, struct store_tx *tx, struct login *login, struct nx_note *why)
{
    enum nx_err err;

    auth_random_token(login->session);
    auth_digest(login->session, login->session_digest);
    auth_random_token(login->chain);
    err = session_store(core, tx, login, why);
    if (err == NX_OK)
        err = issue_refresh(core, tx, login, why);
    if (err == NX_OK)
        err = issue_access(core, login, why);
    return err;
}

static void
login_activate(struct core *core, const struct login *login)
{
    struct session session = {.user_id = login->user_id,
                              .role = login->role,
                              .expires_us = core_now_us() + core->conf.session_ttl_ms * 1000};

    session.last_seen_us = core_now_us();
    (void)snprintf(session.digest, sizeof session.digest, "%s", login->session_digest);
    (void)snprintf(session.username, sizeof session.username, "%s", login->username);
    sessions_add(core->sessions, &session);
}

static json_t *
token_pair(struct core *core, const struct login *login)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "access_token", login->access, "token_type", "Bearer", "expires_in",
                     (json_int_t)(core->conf.access_ttl_ms / 1000), "refresh_token", login->refresh);
}

static json_t *
user_json(const char *username, enum auth_role role)
{
    return json_pack("{s:s, s:s}", "username", username, "role", auth_role_name(role));
}

static void
login_answer(struct http_req *req, struct core *core, int status, const struct login *login)
{
    json_t *body = token_pair(core, login);
    char csrf[AUTH_DIGEST_CAP];

    auth_csrf_token(login->session, core->csrf_key, csrf);
    json_object_set_new(body, "csrf_token", json_string(csrf));
    json_object_set_new(body, "user", user_json(login->username, login->role));
    http_set_cookie(req, session_cookie_name(req), login->session,
                    http_is_tls(req) ? "Path=/; HttpOnly; Secure; SameSite=Strict"
                                     : "Path=/; HttpOnly; SameSite=Strict");
    http_set_header(req, "Cache-Control", "no-store");
    http_respond_json(req, status, body);
}

/* Commits and answers; *tx is over in any case. false: nothing was stored. */
static bool
login_finish(struct http_req *req, struct core *core, struct store_tx **tx, int status, struct login *login)
{
    struct nx_note why = {0};
    enum nx_err err = login_store(core, *tx, login, &why);

    if (err == NX_OK) {
        login_activate(core,
                       login); /* within the transaction: whoever ends all logins of a user comes before or after */
        err = store_commit(tx, &why);
    }
    store_rollback(tx);
    if (err == NX_OK) {
        login_answer(req, core, status, login);
    } else {
        sessions_remove(core->sessions, login->session_digest);
        http_respond_err(req, err, "login_not_stored", &why);
    }
    free(login->access);
    return err == NX_OK;
}

/* --- lock-out ------------------------------------------------------------------------------------------------------
 */

static uint64_t
now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* setting the clock ends no delay */
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool
auth_may_try(struct http_req *req, struct core *core, const char *account)
{
    uint64_t wait_ms = auth_guard_wait_ms(core->guard, account, http_peer(req), now_ms());
    char seconds[24], *detail;

    if (wait_ms == 0)
        return true;
    (void)snprintf(seconds, sizeof seconds, "%llu", (unsigned long long)(wait_ms + 999) / 1000);
    detail = arena_printf(http_arena(req), "too many failed attempts; the next one is accepted in %s s", seconds);
    http_set_header(req, "Retry-After", seconds);
    http_respond_problem(req, &(struct http_problem){.status = 429,
                                                     .code = "too_many_attempts",
                                                     .title = "Too many failed attempts",
                                                     .detail = detail,
                                                     .cause_layer = "auth",
                                                     .fixes = {"Wait, then try again with the right password."}});
    return false;
}

void
auth_tried(struct http_req *req, struct core *core, const char *account, bool is_right)
{
    auth_guard_result(core->guard, account, http_peer(req), now_ms(), is_right);
}

/* --- set-up ----------------------------------------------------------------------------------------------------------
 */

static bool
needs_setup(struct core *core, bool *out, struct nx_note *why)
{
    struct store_tx *tx = NULL;
    struct store_counts counts = {0};
    enum nx_err err = core->setup_code[0] ? store_begin(core->store, STORE_READ, &tx, why) : NX_OK;

    *out = false;
    if (tx) {
        err = store_count(tx, &counts, why);
        *out = counts.users == 0;
    }
    store_rollback(&tx);
    return err == NX_OK;
}

void
auth_state(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct nx_note why = {0};
    bool is_needed = false;
    json_t *body;

    if (!needs_setup(core, &is_needed, &why)) {
        http_respond_err(req, NX_E_IO, "store_unavailable", &why);
        return;
    }
    body = json_pack("{s:b, s:s, s:i}", "setup_required", is_needed, "version", NX_VERSION, "password_min_length",
                     PASSWORD_MIN);
    if (is_needed)
        json_object_set_new(body, "setup_code_file", json_string(core->setup_path));
    http_respond_json(req, 200, body);
}

bool
username_is_valid(const char *name)
{
    for (const char *p = name; *p; p++) {
        if (!isalnum((unsigned char)*p) && (p == name || !strchr("._@-", *p)))
            return false;
    }
    return true;
}

static void
deny_code(struct http_req *req, struct core *core)
{
    char *fix = arena_printf(http_arena(req), "Read it from the output of the service or from %s.", core->setup_path);

    http_respond_problem(req, &(struct http_problem){.status = 403,
                                                     .code = "setup_code_wrong",
                                                     .title = "The set-up code is wrong",
                                                     .detail = "this is not the code of this installation",
                                                     .cause_layer = "auth",
                                                     .fixes = {fix}});
}

static void
deny_setup_done(struct http_req *req)
{
    http_respond_problem(req, &(struct http_problem){.status = 409,
                                                     .code = "setup_done",
                                                     .title = "The installation is set up",
                                                     .detail = "the first user exists already",
                                                     .fixes = {"Log in."}});
}

static bool
code_eq(const char *given, const char *right)
{
    char plain[2][32] = {"", ""};
    const char *texts[2] = {given, right};

    for (unsigned k = 0; k < 2; k++) {
        size_t n = 0;

        for (const char *p = texts[k]; *p && n + 1 < sizeof plain[k]; p++) {
            if (isalnum((unsigned char)*p))
                plain[k][n++] = (char)toupper((unsigned char)*p);
        }
    }
    return auth_secret_eq(plain[0], plain[1]);
}

static void
setup_store(struct http_req *req, struct core *core, const char *username, const char *hash)
{
    struct store_tx *tx = api_begin(req, core, STORE_WRITE);
    struct store_counts counts = {0};
    struct store_user user = {.username = username, .role = AUTH_ROLE_ADMIN, .password_hash = hash};
    struct login login = {.role = AUTH_ROLE_ADMIN};
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return;
    err = store_count(tx, &counts, &why);
    if (err == NX_OK && counts.users > 0) {
        store_rollback(&tx);
        deny_setup_done(req);
        return;
    }
    if (err == NX_OK)
        err = store_user_insert(tx, &user, core_now_us(), &why);
    if (err != NX_OK) {
        store_rollback(&tx);
        http_respond_err(req, err, "setup_not_stored", &why);
        return;
    }
    login.user_id = user.id;
    (void)snprintf(login.username, sizeof login.username, "%s", username);
    if (!login_finish(req, core, &tx, 201, &login))
        return;
    (void)unlink(core->setup_path);
    log_info(&core_log, "the first administrator was created", KV_STR("user", username),
             KV_STR("peer", http_peer(req)));
}

void
auth_setup(struct http_req *req, void *arg)
{
    static const char *const members[] = {"code", "username", "password", NULL};
    struct core *core = arg;
    json_t *body = api_body(req, members);
    const char *code = body ? api_text(req, body, "code", 64) : NULL;
    const char *username = code ? api_text(req, body, "username", 64) : NULL;
    const char *password = username ? api_text(req, body, "password", PASSWORD_MAX) : NULL;
    char hash[AUTH_HASH_CAP];
    struct nx_note why = {0};

    if (!password || !auth_may_try(req, core, "set-up"))
        return;
    if (!core->setup_code[0]) {
        deny_setup_done(req);
        return;
    }
    if (!code_eq(code, core->setup_code)) {
        auth_tried(req, core, "set-up", false);
        deny_code(req, core);
        return;
    }
    if (!username_is_valid(username))
        api_fail_field(req, "/username", "invalid", USERNAME_RULE);
    else if (auth_password_hash(password, hash, &why) != NX_OK)
        api_fail_field(req, "/password", "invalid", why.text);
    else
        setup_store(req, core, username, hash);
}

/* --- login
 * ------------------------------------------------------------------------------------------------------------- */

static void
deny_login(struct http_req *req)
{
    http_respond_problem(req, &(struct http_problem){.status = 401,
                                                     .code = "login_failed",
                                                     .title = "Login failed",
                                                     .detail = "user name or password is wrong",
                                                     .cause_layer = "auth",
                                                     .fixes = {"Check the keyboard layout and Caps Lock."}});
}

static bool
user_find(struct http_req *req, struct core *core, const char *username, struct store_user *user)
{
    struct store_tx *tx = api_begin(req, core, STORE_READ);
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return false;
    err = store_user_get(tx, username, http_arena(req), user, &why);
    store_rollback(&tx);
    if (err == NX_OK || err == NX_E_NOT_FOUND)
        return true;
    http_respond_err(req, err, "store_unavailable", &why);
    return false;
}

static void
deny_flood(struct http_req *req)
{
    http_set_header(req, "Retry-After", "1");
    http_respond_problem(req, &(struct http_problem){.status = 503,
                                                     .code = "too_many_logins",
                                                     .title = "Many others are logging in",
                                                     .detail = "too many passwords are being checked at the moment",
                                                     .cause_layer = "auth",
                                                     .fixes = {"Try again in a second."}});
}

/* Has the password been changed, or the user removed, while it was checked? Then tx has what counts. */
static bool
is_same_user(struct http_req *req, struct store_tx *tx, const struct store_user *checked, struct store_user *now)
{
    return store_user_get(tx, checked->username, http_arena(req), now, NULL) == NX_OK && now->id == checked->id &&
           strcmp(now->password_hash, checked->password_hash) == 0;
}

static void
check_login(struct http_req *req, struct core *core, const char *username, const char *password)
{
    struct store_user user = {0}, now;
    struct login login = {0};
    struct store_tx *tx;
    bool is_right;

    if (!user_find(req, core, username, &user))
        return;
    is_right = auth_password_verify(user.password_hash, password);
    auth_tried(req, core, username, is_right);
    if (!is_right) {
        log_warn(&core_log, "login failed", KV_STR("user", username), KV_STR("peer", http_peer(req)));
        deny_login(req);
        return;
    }
    tx = api_begin(req, core, STORE_WRITE);
    if (!tx)
        return;
    if (!is_same_user(req, tx, &user, &now)) {
        store_rollback(&tx);
        deny_login(req);
        return;
    }
    login.user_id = now.id;
    login.role = (enum auth_role)now.role;
    (void)snprintf(login.username, sizeof login.username, "%s", now.username);
    (void)login_finish(req, core, &tx, 200, &login);
}

void
auth_login(struct http_req *req, void *arg)
{
    static const char *const members[] = {"username", "password", NULL};
    struct core *core = arg;
    json_t *body = api_body(req, members);
    const char *username = body ? api_text(req, body, "username", 64) : NULL;
    const char *password = username ? api_text(req, body, "password", PASSWORD_MAX) : NULL;

    if (!password || !auth_may_try(req, core, username))
        return;
    if (__atomic_add_fetch(&core->logins_running, 1, __ATOMIC_RELAXED) > LOGINS_MAX)
        deny_flood(req);
    else
        check_login(req, core, username, password);
    (void)__atomic_sub_fetch(&core->logins_running, 1, __ATOMIC_RELAXED);
}

/* --- refresh
 * ------------------------------------------------------------------------------------------------------------- */

static void
deny_refresh(struct http_req *req, const char *detail)
{
    http_respond_problem(req, &(struct http_problem){.status = 401,
                                                     .code = "refresh_token_invalid",
                                                     .title = "The refresh token is not valid",
                                                     .detail = detail,
                                                     .cause_layer = "auth",
                                                     .fixes = {"Log in again."}});
}

/* Two holders of one token: the login ends for both (RFC 9700, 4.14.2). */
static void
end_stolen_chain(struct http_req *req, struct core *core, struct store_tx **tx, const struct store_refresh *old)
{
    struct nx_note why = {0};
    enum nx_err err = store_refresh_delete_chain(*tx, old->chain, &why);

    sessions_remove(core->sessions, old->session_digest);
    if (err == NX_OK)
        err = store_session_delete(*tx, old->session_digest, &why);
    if (err == NX_OK)
        err = store_commit(tx, &why);
    store_rollback(tx);
    log_warn(&core_log, "a used refresh token was shown again; all tokens of that login are void",
             KV_STR("user", old->username), KV_STR("peer", http_peer(req)));
    if (err == NX_OK)
        deny_refresh(req, "this refresh token was used before, so all tokens of that login are void");
    else
        http_respond_err(req, err, "store_unavailable", &why);
}

static void
refresh_rotate(struct http_req *req, struct core *core, struct store_tx **tx, const struct store_refresh *old)
{
    struct login login = {.user_id = old->user_id, .role = (enum auth_role)old->role};
    struct nx_note why = {0};
    enum nx_err err;

    (void)snprintf(login.username, sizeof login.username, "%s", old->username);
    (void)snprintf(login.chain, sizeof login.chain, "%s", old->chain);
    (void)snprintf(login.session_digest, sizeof login.session_digest, "%s", old->session_digest);
    err = store_refresh_use(*tx, old->digest, &why);
    if (err == NX_OK) /* a refresh token outlives the idle end of its session */
        err = session_store(core, *tx, &login, &why);
    if (err == NX_OK)
        err = issue_refresh(core, *tx, &login, &why);
    if (err == NX_OK)
        err = issue_access(core, &login, &why);
    if (err == NX_OK) {
        login_activate(core, &login);
        err = store_commit(tx, &why);
    }
    store_rollback(tx);
    http_set_header(req, "Cache-Control", "no-store");
    if (err == NX_OK)
        http_respond_json(req, 200, token_pair(core, &login));
    else
        http_respond_err(req, err, "store_unavailable", &why);
    free(login.access);
}

void
auth_refresh(struct http_req *req, void *arg)
{
    static const char *const members[] = {"refresh_token", NULL};
    struct core *core = arg;
    json_t *body = api_body(req, members);
    const char *token = body ? api_text(req, body, "refresh_token", 512) : NULL;
    struct store_tx *tx = token ? api_begin(req, core, STORE_WRITE) : NULL;
    char digest[AUTH_DIGEST_CAP];
    struct store_refresh old = {0};
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return;
    auth_digest(token, digest);
    err = store_refresh_get(tx, digest, core_now_us(), http_arena(req), &old, &why);
    if (err == NX_OK && old.is_used) {
        end_stolen_chain(req, core, &tx, &old);
    } else if (err == NX_OK) {
        refresh_rotate(req, core, &tx, &old);
    } else {
        store_rollback(&tx);
        if (err == NX_E_NOT_FOUND)
            deny_refresh(req, "this refresh token is unknown or has expired");
        else
            http_respond_err(req, err, "store_unavailable", &why);
    }
}

/* --- logout, me
 * ------------------------------------------------------------------------------------------------------------ */

void
auth_logout(struct http_req *req, void *arg)
{
    struct core *core = arg;
    const struct principal *who = core_user(req);
    struct store_tx *tx = api_begin(req, core, STORE_WRITE);
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return;
    sessions_remove(core->sessions, who->digest);
    err = store_session_delete(tx, who->digest, &why);
    if (err == NX_OK)
        err = store_refresh_delete_session(tx, who->digest, &why);
    if (err == NX_OK)
        err = store_commit(&tx, &why);
    store_rollback(&tx);
    if (who->is_cookie)
        http_set_cookie(req, session_cookie_name(req), "",
                        http_is_tls(req) ? "Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=0"
                                         : "Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    if (err == NX_OK)
        http_respond_empty(req, 204);
    else
        http_respond_err(req, err, "store_unavailable", &why);
}

void
auth_me(struct http_req *req, void *arg)
{
    const struct principal *who = core_user(req);
    json_t *granted = json_array();
    json_t *body;

    (void)arg;
    for (enum permission p = PERM_SESSION; p < PERM_COUNT; p++) {
        if (permission_granted(p, who->role))
            json_array_append_new(granted, json_string(permission_name(p)));
    }
    body = json_pack("{s:o, s:o}", "user", user_json(who->username, who->role), "permissions", granted);
    if (who->is_cookie)
        json_object_set_new(body, "csrf_token", json_string(who->csrf));
    http_set_header(req, "Cache-Control", "no-store");
    http_respond_json(req, 200, body);
}
