/* users.c -- SQL of users, sessions and refresh tokens. */
#include "store/store_priv.h"

enum nx_err
store_user_insert(struct store_tx *tx, struct store_user *user, int64_t now_us, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err =
        db_prepare(tx->db, "INSERT INTO users(username, role, password_hash, created_us) VALUES(?, ?, ?, ?)", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, user->username);
    db_bind_i64(st, 2, user->role);
    db_bind_text(st, 3, user->password_hash);
    db_bind_i64(st, 4, now_us);
    err = db_run(st, why);
    if (err == NX_E_CONFLICT)
        return nx_fail(why, err, "there is already a user \"%.64s\"", user->username);
    if (err == NX_OK)
        user->id = db_last_id(tx->db);
    return err;
}

#define USER_QUERY "SELECT id, username, role, password_hash, created_us FROM users"

static struct store_user
user_row(struct arena *a, const struct db_stmt *st)
{
    return (struct store_user){.id = db_col_i64(st, 0),
                               .username = store_col_text(a, st, 1),
                               .role = (int)db_col_i64(st, 2),
                               .password_hash = store_col_text(a, st, 3),
                               .created_us = db_col_i64(st, 4)};
}

static enum nx_err
take_user(struct db_stmt *st, struct arena *a, struct store_user *out, struct nx_note *why)
{
    enum nx_err err = store_one(st, why, "such user");

    if (err != NX_OK)
        return err;
    *out = user_row(a, st);
    db_reset(st);
    return NX_OK;
}

enum nx_err
store_user_get(struct store_tx *tx, const char *username, struct arena *a, struct store_user *out, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, USER_QUERY " WHERE username = ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, username);
    return take_user(st, a, out, why);
}

enum nx_err
store_user_by_id(struct store_tx *tx, int64_t id, struct arena *a, struct store_user *out, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, USER_QUERY " WHERE id = ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, id);
    return take_user(st, a, out, why);
}

enum nx_err
store_user_list(struct store_tx *tx, size_t cap, struct arena *a, struct store_user **out, size_t *n,
                struct nx_note *why)
{
    struct db_stmt *st = NULL;
    bool has_row = false;
    enum nx_err err = db_prepare(tx->db, USER_QUERY " ORDER BY id LIMIT ?", &st, why);

    *n = 0;
    if (err != NX_OK)
        return err;
    *out = arena_alloc(a, cap * sizeof **out);
    db_bind_i64(st, 1, (int64_t)cap);
    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row)
        (*out)[(*n)++] = user_row(a, st);
    db_reset(st);
    return err;
}

enum nx_err
store_user_update(struct store_tx *tx, const struct store_user *user, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, "UPDATE users SET role = ?2, password_hash = ?3 WHERE id = ?1", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, user->id);
    db_bind_i64(st, 2, user->role);
    db_bind_text(st, 3, user->password_hash);
    return db_run(st, why);
}

enum nx_err
store_user_delete(struct store_tx *tx, int64_t id, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, "DELETE FROM users WHERE id = ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, id);
    return db_run(st, why);
}

enum nx_err
store_user_end_logins(struct store_tx *tx, int64_t id, const char *but_digest, struct nx_note *why)
{
    static const char *const sql[] = {"DELETE FROM sessions WHERE user_id = ? AND digest <> ?",
                                      "DELETE FROM refresh_tokens WHERE user_id = ? AND session_digest <> ?"};
    enum nx_err err = NX_OK;

    for (unsigned i = 0; i < 2 && err == NX_OK; i++) {
        struct db_stmt *st = NULL;

        err = db_prepare(tx->db, sql[i], &st, why);
        if (err != NX_OK)
            break;
        db_bind_i64(st, 1, id);
        db_bind_text(st, 2, but_digest ? but_digest : "");
        err = db_run(st, why);
    }
    return err;
}

enum nx_err
store_user_count_role(struct store_tx *tx, int role, uint64_t *n, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, "SELECT count(*) FROM users WHERE role = ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, role);
    err = store_one(st, why, "count");
    if (err != NX_OK)
        return err;
    *n = (uint64_t)db_col_i64(st, 0);
    db_reset(st);
    return NX_OK;
}

/* Runs a statement whose only parameter is a text. */
static enum nx_err
run_text(struct store_tx *tx, const char *sql, const char *text, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, sql, &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, text);
    return db_run(st, why);
}

/* --- sessions -------------------------------------------------------------------------------------------------- */

enum nx_err
store_session_put(struct store_tx *tx, const struct store_session *s, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err =
        db_prepare(tx->db,
                   "INSERT INTO sessions(digest, user_id, created_us, expires_us, last_seen_us) VALUES(?, ?, ?, ?, ?)"
                   " ON CONFLICT(digest) DO UPDATE SET expires_us = excluded.expires_us,"
                   " last_seen_us = excluded.last_seen_us",
                   &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, s->digest);
    db_bind_i64(st, 2, s->user_id);
    db_bind_i64(st, 3, s->created_us);
    db_bind_i64(st, 4, s->expires_us);
    db_bind_i64(st, 5, s->last_seen_us);
    return db_run(st, why);
}

#define SESSION_QUERY                                                                                                  \
    "SELECT s.digest, s.user_id, u.username, u.role, s.created_us, s.expires_us, s.last_seen_us"                       \
    " FROM sessions s JOIN users u ON u.id = s.user_id"

enum nx_err
store_session_each(struct store_tx *tx, int64_t now_us, store_session_cb *each, void *arg, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    bool has_row = false;
    enum nx_err err = db_prepare(tx->db, SESSION_QUERY " WHERE s.expires_us > ? ORDER BY s.last_seen_us", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, now_us);
    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        each(arg, &(struct store_session){.digest = db_col_text(st, 0),
                                          .user_id = db_col_i64(st, 1),
                                          .username = db_col_text(st, 2),
                                          .role = (int)db_col_i64(st, 3),
                                          .created_us = db_col_i64(st, 4),
                                          .expires_us = db_col_i64(st, 5),
                                          .last_seen_us = db_col_i64(st, 6)});
    }
    db_reset(st);
    return err;
}

enum nx_err
store_session_get(struct store_tx *tx, const char *digest, int64_t now_us, struct arena *a, struct store_session *out,
                  struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, SESSION_QUERY " WHERE s.digest = ? AND s.expires_us > ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, digest);
    db_bind_i64(st, 2, now_us);
    err = store_one(st, why, "such session");
    if (err != NX_OK)
        return err;
    *out = (struct store_session){.digest = store_col_text(a, st, 0),
                                  .user_id = db_col_i64(st, 1),
                                  .username = store_col_text(a, st, 2),
                                  .role = (int)db_col_i64(st, 3),
                                  .created_us = db_col_i64(st, 4),
                                  .expires_us = db_col_i64(st, 5),
                                  .last_seen_us = db_col_i64(st, 6)};
    db_reset(st);
    return NX_OK;
}

enum nx_err
store_session_touch(struct store_tx *tx, const char *digest, int64_t now_us, int64_t expires_us, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err =
        db_prepare(tx->db, "UPDATE sessions SET last_seen_us = ?2, expires_us = ?3 WHERE digest = ?1", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, digest);
    db_bind_i64(st, 2, now_us);
    db_bind_i64(st, 3, expires_us);
    return db_run(st, why);
}

enum nx_err
store_session_delete(struct store_tx *tx, const char *digest, struct nx_note *why)
{
    return run_text(tx, "DELETE FROM sessions WHERE digest = ?", digest, why);
}

/* --- refresh tokens -------------------------------------------------------------------------------------------- */

enum nx_err
store_refresh_insert(struct store_tx *tx, const struct store_refresh *r, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(
        tx->db, "INSERT INTO refresh_tokens(digest, chain, session_digest, user_id, expires_us) VALUES(?, ?, ?, ?, ?)",
        &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, r->digest);
    db_bind_text(st, 2, r->chain);
    db_bind_text(st, 3, r->session_digest);
    db_bind_i64(st, 4, r->user_id);
    db_bind_i64(st, 5, r->expires_us);
    return db_run(st, why);
}

enum nx_err
store_refresh_get(struct store_tx *tx, const char *digest, int64_t now_us, struct arena *a, struct store_refresh *out,
                  struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db,
                                 "SELECT r.digest, r.chain, r.session_digest, r.user_id, u.username, u.role,"
                                 " r.expires_us, r.used FROM refresh_tokens r JOIN users u ON u.id = r.user_id"
                                 " WHERE r.digest = ? AND r.expires_us > ?",
                                 &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, digest);
    db_bind_i64(st, 2, now_us);
    err = store_one(st, why, "such token");
    if (err != NX_OK)
        return err;
    *out = (struct store_refresh){.digest = store_col_text(a, st, 0),
                                  .chain = store_col_text(a, st, 1),
                                  .session_digest = store_col_text(a, st, 2),
                                  .user_id = db_col_i64(st, 3),
                                  .username = store_col_text(a, st, 4),
                                  .role = (int)db_col_i64(st, 5),
                                  .expires_us = db_col_i64(st, 6),
                                  .is_used = db_col_i64(st, 7) != 0};
    db_reset(st);
    return NX_OK;
}

enum nx_err
store_refresh_use(struct store_tx *tx, const char *digest, struct nx_note *why)
{
    return run_text(tx, "UPDATE refresh_tokens SET used = 1 WHERE digest = ?", digest, why);
}

enum nx_err
store_refresh_delete_chain(struct store_tx *tx, const char *chain, struct nx_note *why)
{
    return run_text(tx, "DELETE FROM refresh_tokens WHERE chain = ?", chain, why);
}

enum nx_err
store_refresh_delete_session(struct store_tx *tx, const char *session_digest, struct nx_note *why)
{
    return run_text(tx, "DELETE FROM refresh_tokens WHERE session_digest = ?", session_digest, why);
}

enum nx_err
store_expire(struct store_tx *tx, int64_t now_us, struct nx_note *why)
{
    static const char *const sql[] = {"DELETE FROM sessions WHERE expires_us <= ?",
                                      "DELETE FROM refresh_tokens WHERE expires_us <= ?"};
    enum nx_err err = NX_OK;

    for (unsigned i = 0; i < 2 && err == NX_OK; i++) {
        struct db_stmt *st = NULL;

        err = db_prepare(tx->db, sql[i], &st, why);
        if (err != NX_OK)
            break;
        db_bind_i64(st, 1, now_us);
        err = db_run(st, why);
    }
    return err;
}
