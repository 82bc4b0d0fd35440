/* users.c -- who asks, and what he may do. */
#include "core/api.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *text;
    enum auth_role role;
} permissions[] = {
#define PERMISSION_ROW(name, text, role) {text, AUTH_ROLE_##role},
    PERMISSIONS(PERMISSION_ROW)
#undef PERMISSION_ROW
};

const char *
permission_name(enum permission p)
{
    return permissions[p].text;
}

bool
permission_granted(enum permission p, enum auth_role role)
{
    return role >= permissions[p].role;
}

int64_t
core_now_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* --- who ------------------------------------------------------------------------------------------------------- */

const char *
session_cookie_name(const struct http_req *req)
{
    return http_is_tls(req) ? "__Host-nexus_session" : "nexus_session";
}

static bool
by_session(struct core *core, const char *digest, struct principal *out)
{
    struct session session;

    if (!sessions_use(core->sessions, digest, core_now_us(), &session))
        return false;
    (void)snprintf(out->digest, sizeof out->digest, "%s", digest);
    (void)snprintf(out->username, sizeof out->username, "%s", session.username);
    out->role = session.role;
    out->user_id = session.user_id;
    return true;
}

static bool
by_cookie(struct core *core, struct http_req *req, struct principal *out)
{
    const char *token = http_cookie(req, session_cookie_name(req));
    char digest[AUTH_DIGEST_CAP];

    if (!token || strlen(token) >= AUTH_TOKEN_CAP)
        return false;
    auth_digest(token, digest);
    out->is_cookie = by_session(core, digest, out);
    if (out->is_cookie)
        auth_csrf_token(token, core->csrf_key, out->csrf);
    return out->is_cookie;
}

/* A token is as good as the login that it comes from: that may have ended, or its user may have another role by now. */
static bool
by_token(struct core *core, const char *token, struct principal *out)
{
    struct auth_claims claims;

    return auth_verify(core->issuer, token, core_now_us() / 1000000, &claims, NULL) == NX_OK &&
           by_session(core, claims.session, out);
}

static bool
by_bearer(struct core *core, const char *header, struct principal *out)
{
    return strncasecmp(header, "Bearer ", 7) == 0 && by_token(core, header + 7, out);
}

bool
principal_of(struct core *core, struct http_req *req, struct principal *out)
{
    const char *header = http_header(req, "authorization");

    *out = (struct principal){0};
    return header ? by_bearer(core, header, out) : by_cookie(core, req, out);
}

bool
core_token_is_good(struct core *core, const char *token, char session[AUTH_DIGEST_CAP])
{
    struct principal who = {0};

    if (!by_token(core, token, &who) || !permission_granted(PERM_LIVE_READ, who.role))
        return false;
    (void)snprintf(session, AUTH_DIGEST_CAP, "%s", who.digest);
    return true;
}

const struct principal *
core_user(const struct http_req *req)
{
    return http_user(req);
}

/* --- the guard --------------------------------------------------------------------------------------------------- */

static bool
deny_unknown(struct http_req *req)
{
    http_set_header(req, "WWW-Authenticate", "Bearer realm=\"nexus\"");
    http_respond_problem(req, &(struct http_problem){
                                  .status = 401,
                                  .code = "not_logged_in",
                                  .title = "Not logged in",
                                  .detail = "the request carries no valid session or access token",
                                  .cause_layer = "auth",
                                  .fixes = {"Log in, or refresh the access token, and send the request again."},
                              });
    return false;
}

static bool
deny_role(struct http_req *req, const struct principal *who, enum permission p)
{
    char *detail = arena_printf(http_arena(req), "user \"%s\" has the role %s; \"%s\" needs %s", who->username,
                                auth_role_name(who->role), permission_name(p), auth_role_name(permissions[p].role));

    http_respond_problem(req, &(struct http_problem){.status = 403,
                                                     .code = "not_allowed",
                                                     .title = "Not allowed",
                                                     .detail = detail,
                                                     .cause_layer = "policy",
                                                     .fixes = {"Ask an administrator for the role."}});
    return false;
}

static bool
deny_csrf(struct http_req *req)
{
    http_respond_problem(req,
                         &(struct http_problem){.status = 403,
                                                .code = "csrf_token_wrong",
                                                .title = "The CSRF token is missing or wrong",
                                                .detail = "a change by session cookie needs the header X-CSRF-Token",
                                                .cause_layer = "auth",
                                                .fixes = {"Take csrf_token from GET /api/v1/auth/me."}});
    return false;
}

static bool
is_safe(enum http_method method)
{
    return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS;
}

static bool
csrf_is_good(struct http_req *req, const struct principal *who)
{
    const char *token = http_header(req, "x-csrf-token");

    return !who->is_cookie || is_safe(http_method_of(req)) || (token && auth_secret_eq(token, who->csrf));
}

bool
core_guard(struct http_req *req, const struct http_route *route, void *arg)
{
    enum permission p = (enum permission)route->permission;
    struct principal *who;

    if (p == PERM_PUBLIC)
        return true;
    who = mem_alloc(sizeof *who);
    http_set_user(req, who, free);
    if (!principal_of(arg, req, who))
        return deny_unknown(req);
    if (!permission_granted(p, who->role))
        return deny_role(req, who, p);
    return csrf_is_good(req, who) || deny_csrf(req);
}

/* --- start and upkeep ----------------------------------------------------------------------------------------------
 */

static void
load_session(void *arg, const struct store_session *s)
{
    struct session session = {.user_id = s->user_id,
                              .role = (enum auth_role)s->role,
                              .expires_us = s->expires_us,
                              .last_seen_us = s->last_seen_us};

    (void)snprintf(session.digest, sizeof session.digest, "%s", s->digest);
    (void)snprintf(session.username, sizeof session.username, "%s", s->username);
    sessions_add(arg, &session);
}

static enum nx_err
load_csrf_key(struct core *core, struct store_tx *tx, struct arena *a, struct nx_note *why)
{
    const char *key = NULL;
    enum nx_err err = store_meta_get(tx, "csrf_key", a, &key, why);

    if (err != NX_OK)
        return err;
    if (key) {
        (void)snprintf(core->csrf_key, sizeof core->csrf_key, "%s", key);
        return NX_OK;
    }
    auth_random_token(core->csrf_key);
    return store_meta_set(tx, "csrf_key", core->csrf_key, why);
}

/* The code outlives a restart until it is used, so that the one printed first stays right. */
static enum nx_err
make_setup_code(struct core *core, struct nx_note *why)
{
    char *text = NULL;
    size_t len = 0;

    if (file_read(core->setup_path, 64, &text, &len, NULL) == NX_OK && len >= 8 && len < sizeof core->setup_code + 1)
        (void)snprintf(core->setup_code, sizeof core->setup_code, "%.*s", (int)strcspn(text, "\r\n"), text);
    free(text);
    if (core->setup_code[0])
        return NX_OK;
    auth_setup_code(core->setup_code);
    return file_write(core->setup_path, slice_str(core->setup_code), 0600, why);
}

static enum nx_err
load_users(struct core *core, struct store_tx *tx, struct arena *a, struct nx_note *why)
{
    struct store_counts counts = {0};
    enum nx_err err = load_csrf_key(core, tx, a, why);

    if (err == NX_OK)
        err = store_session_each(tx, core_now_us(), load_session, core->sessions, why);
    if (err == NX_OK)
        err = store_count(tx, &counts, why);
    if (err == NX_OK && counts.users == 0)
        err = make_setup_code(core, why);
    return err;
}

enum nx_err
users_start(struct core *core, struct nx_note *why)
{
    struct store_tx *tx = NULL;
    struct arena a = {0};
    enum nx_err err = store_begin(core->store, STORE_WRITE, &tx, why);

    core->setup_path = mem_printf("%s/setup-code", core->conf.data_dir);
    if (err == NX_OK)
        err = load_users(core, tx, &a, why);
    if (err == NX_OK)
        err = store_commit(&tx, why);
    store_rollback(&tx);
    arena_free(&a);
    return err;
}

static enum nx_err
sweep_tx(struct core *core, struct store_tx *tx, int64_t now_us, struct nx_note *why)
{
    struct session *used = mem_calloc(SESSIONS_MAX, sizeof *used);
    size_t n = sessions_sweep(core->sessions, now_us, core->last_sweep_us, used, SESSIONS_MAX);
    enum nx_err err = NX_OK;

    for (size_t i = 0; i < n && err == NX_OK; i++)
        err = store_session_touch(tx, used[i].digest, used[i].last_seen_us, used[i].expires_us, why);
    free(used);
    return err == NX_OK ? store_expire(tx, now_us, why) : err;
}

void
users_sweep(struct core *core)
{
    struct store_tx *tx = NULL;
    struct nx_note why = {0};
    int64_t now_us = core_now_us();
    enum nx_err err = store_begin(core->store, STORE_WRITE, &tx, &why);

    if (err == NX_OK)
        err = sweep_tx(core, tx, now_us, &why);
    if (err == NX_OK)
        err = store_commit(&tx, &why);
    store_rollback(&tx);
    if (err == NX_OK)
        core->last_sweep_us = now_us;
    else
        log_warn(&core_log, "sessions could not be stored; they end earlier after a restart", KV_NOTE(&why));
}
