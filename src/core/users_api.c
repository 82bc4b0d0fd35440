/* users_api.c -- users: list, create, change, delete, for administrators, one of whom always stays; a new password for
 * oneself.
 *
 * What changes what a user may do (role, password, removal) ends the logins of that user, within the transaction. */
#include "base/mem.h"
#include "base/num.h"
#include "core/api.h"
#include "core/handlers.h"

#define USERS_MAX 1000

static json_t *
show_user(const struct store_user *user)
{
    return json_pack("{s:I, s:s, s:s, s:o}", "id", (json_int_t)user->id, "username", user->username, "role",
                     auth_role_name((enum auth_role)user->role), "created_at", api_time(user->created_us));
}

void
users_list(struct http_req *req, void *arg)
{
    struct store_tx *tx = api_begin(req, arg, STORE_READ);
    struct store_user *rows = NULL;
    struct nx_note why = {0};
    json_t *items;
    size_t n = 0;
    enum nx_err err;

    if (!tx)
        return;
    err = store_user_list(tx, USERS_MAX, http_arena(req), &rows, &n, &why);
    store_rollback(&tx);
    if (err != NX_OK) {
        http_respond_err(req, err, "store_unavailable", &why);
        return;
    }
    items = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(items, show_user(&rows[i]));
    api_page_answer(req, items, NULL);
}

/* --- reading the body -----------------------------------------------------------------------------------------------
 */

/* The member must be there. */
static bool
read_role(struct http_req *req, const json_t *body, int *out)
{
    const char *text = api_text(req, body, "role", 16);
    enum auth_role role;

    if (!text)
        return false;
    if (!auth_role_parse(text, &role)) {
        api_fail_field(req, "/role", "invalid", "role is viewer, operator, engineer or admin");
        return false;
    }
    *out = (int)role;
    return true;
}

/* Hashing takes long: outside of transactions. */
static bool
read_password(struct http_req *req, const json_t *body, const char *member, char hash[AUTH_HASH_CAP])
{
    const char *text = api_text(req, body, member, PASSWORD_MAX);
    struct nx_note why = {0};

    if (!text)
        return false;
    if (auth_password_hash(text, hash, &why) == NX_OK)
        return true;
    api_fail_field(req, arena_printf(http_arena(req), "/%s", member), "invalid", why.text);
    return false;
}

/* --- create ----------------------------------------------------------------------------------------------------------
 */

static enum nx_err
insert(struct store_tx **tx, struct store_user *user, struct nx_note *why)
{
    struct store_counts counts = {0};
    enum nx_err err = store_count(*tx, &counts, why);

    user->created_us = core_now_us();
    if (err == NX_OK && counts.users >= USERS_MAX)
        err = nx_fail(why, NX_E_CONFLICT, "there are %d users already: delete one that is not needed", USERS_MAX);
    if (err == NX_OK)
        err = store_user_insert(*tx, user, user->created_us, why);
    return err == NX_OK ? store_commit(tx, why) : err;
}

void
user_create(struct http_req *req, void *arg)
{
    static const char *const members[] = {"username", "password", "role", NULL};
    json_t *body = api_body(req, members);
    char hash[AUTH_HASH_CAP];
    struct store_user user = {.username = body ? api_text(req, body, "username", 64) : NULL, .password_hash = hash};
    struct store_tx *tx;
    struct nx_note why = {0};
    enum nx_err err;

    if (!user.username)
        return;
    if (!username_is_valid(user.username)) {
        api_fail_field(req, "/username", "invalid", USERNAME_RULE);
        return;
    }
    if (!read_role(req, body, &user.role) || !read_password(req, body, "password", hash) ||
        !(tx = api_begin(req, arg, STORE_WRITE)))
        return;
    err = insert(&tx, &user, &why);
    store_rollback(&tx);
    if (err != NX_OK) {
        http_respond_err(req, err, err == NX_E_CONFLICT ? "user_exists" : "not_stored", &why);
        return;
    }
    log_info(&core_log, "user created", KV_STR("user", user.username), KV_STR("by", core_user(req)->username));
    http_respond_json(req, 201, show_user(&user));
}

/* --- change and delete
 * ------------------------------------------------------------------------------------------------ */

static bool
find(struct http_req *req, struct store_tx *tx, struct store_user *out)
{
    struct nx_note why = {0};
    int64_t id = 0;
    enum nx_err err = num_i64(slice_str(http_param(req, "user_id")), &id)
                          ? store_user_by_id(tx, id, http_arena(req), out, &why)
                          : nx_fail(&why, NX_E_NOT_FOUND, "the id of a user is a number: see GET /api/v1/users");

    if (err != NX_OK)
        http_respond_err(req, err, err == NX_E_NOT_FOUND ? "user_not_found" : "store_unavailable", &why);
    return err == NX_OK;
}

static enum nx_err
check_admin_stays(struct store_tx *tx, const struct store_user *old, struct nx_note *why)
{
    uint64_t admins = 0;
    enum nx_err err = old->role == AUTH_ROLE_ADMIN ? store_user_count_role(tx, AUTH_ROLE_ADMIN, &admins, why) : NX_OK;

    if (err == NX_OK && admins == 1)
        return nx_fail(why, NX_E_DENIED, "\"%s\" is the last administrator: make somebody else one first",
                       old->username);
    return err;
}

/* Logs the user out everywhere but in one session (NULL: everywhere). */
static enum nx_err
commit(struct core *core, struct store_tx **tx, const struct store_user *user, const char *kept, struct nx_note *why)
{
    enum nx_err err = store_user_end_logins(*tx, user->id, kept, why);

    if (err == NX_OK) {
        sessions_remove_user(core->sessions, user->id, kept);
        err = store_commit(tx, why);
    }
    return err;
}

static void
fail(struct http_req *req, enum nx_err err, const struct nx_note *why)
{
    if (err == NX_E_DENIED)
        http_respond_problem(req, &(struct http_problem){.status = 409,
                                                         .code = "last_admin",
                                                         .title = "Nobody could administrate any more",
                                                         .detail = why->text,
                                                         .cause_layer = "policy"});
    else
        http_respond_err(req, err, "not_stored", why);
}

static void
change(struct http_req *req, struct core *core, struct store_tx **tx, const struct store_user *new_values)
{
    struct store_user user = {0};
    const char *kept = new_values->role >= 0 ? NULL : core_user(req)->digest; /* of a new password for oneself */
    struct nx_note why = {0};
    enum nx_err err = NX_OK;

    if (!find(req, *tx, &user))
        return;
    if (new_values->role >= 0 && new_values->role != AUTH_ROLE_ADMIN)
        err = check_admin_stays(*tx, &user, &why);
    if (new_values->role >= 0)
        user.role = new_values->role;
    if (new_values->password_hash)
        user.password_hash = new_values->password_hash;
    if (err == NX_OK)
        err = store_user_update(*tx, &user, &why);
    if (err == NX_OK)
        err = commit(core, tx, &user, kept, &why);
    if (err != NX_OK) {
        fail(req, err, &why);
        return;
    }
    log_info(&core_log, "user changed", KV_STR("user", user.username), KV_STR("by", core_user(req)->username));
    http_respond_json(req, 200, show_user(&user));
}

void
user_patch(struct http_req *req, void *arg)
{
    static const char *const members[] = {"password", "role", NULL};
    json_t *body = api_body(req, members);
    struct store_user new_values = {.role = -1};
    char hash[AUTH_HASH_CAP];
    struct store_tx *tx;

    if (!body)
        return;
    if (json_object_size(body) == 0) {
        api_fail_field(req, "", "missing", "give the new role, the new password or both");
        return;
    }
    if (json_object_get(body, "role") && !read_role(req, body, &new_values.role))
        return;
    if (json_object_get(body, "password")) {
        if (!read_password(req, body, "password", hash))
            return;
        new_values.password_hash = hash;
    }
    if (!(tx = api_begin(req, arg, STORE_WRITE)))
        return;
    change(req, arg, &tx, &new_values);
    store_rollback(&tx);
}

void
user_remove(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct store_tx *tx = api_begin(req, core, STORE_WRITE);
    struct store_user user = {0};
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return;
    if (find(req, tx, &user)) {
        err = check_admin_stays(tx, &user, &why);
        if (err == NX_OK)
            err = store_user_delete(tx, user.id, &why);
        if (err == NX_OK)
            err = commit(core, &tx, &user, NULL, &why);
        if (err == NX_OK) {
            log_info(&core_log, "user deleted", KV_STR("user", user.username), KV_STR("by", core_user(req)->username));
            http_respond_empty(req, 204);
        } else {
            fail(req, err, &why);
        }
    }
    store_rollback(&tx);
}

/* --- one's own password
 * ------------------------------------------------------------------------------------------------ */

static bool
load_self(struct http_req *req, struct core *core, struct store_user *out)
{
    struct store_tx *tx = api_begin(req, core, STORE_READ);
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return false;
    err = store_user_by_id(tx, core_user(req)->user_id, http_arena(req), out, &why);
    store_rollback(&tx);
    if (err != NX_OK)
        http_respond_err(req, err, err == NX_E_NOT_FOUND ? "user_not_found" : "store_unavailable", &why);
    return err == NX_OK;
}

static void
store_password(struct http_req *req, struct core *core, struct store_user *user, const char *hash)
{
    struct store_tx *tx = api_begin(req, core, STORE_WRITE);
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return;
    err = store_user_by_id(tx, user->id, http_arena(req), user, &why); /* the role may be another one by now */
    user->password_hash = hash;
    if (err == NX_OK)
        err = store_user_update(tx, user, &why);
    if (err == NX_OK)
        err = commit(core, &tx, user, core_user(req)->digest, &why);
    store_rollback(&tx);
    if (err != NX_OK) {
        http_respond_err(req, err, "not_stored", &why);
        return;
    }
    log_info(&core_log, "password changed", KV_STR("user", user->username), KV_STR("peer", http_peer(req)));
    http_respond_empty(req, 204);
}

void
own_password(struct http_req *req, void *arg)
{
    static const char *const members[] = {"current_password", "password", NULL};
    json_t *body = api_body(req, members);
    const char *current = body ? api_text(req, body, "current_password", PASSWORD_MAX) : NULL;
    const char *username = core_user(req)->username;
    struct store_user user;
    char hash[AUTH_HASH_CAP];
    bool is_right;

    if (!current || !auth_may_try(req, arg, username) || !load_self(req, arg, &user))
        return;
    is_right = auth_password_verify(user.password_hash, current);
    auth_tried(req, arg, username, is_right);
    if (!is_right)
        api_fail_field(req, "/current_password", "invalid", "this is not your present password");
    else if (read_password(req, body, "password", hash))
        store_password(req, arg, &user, hash);
}
