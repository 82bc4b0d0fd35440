/* store.h -- the configuration store: devices and tags with versions, users, sessions, refresh tokens, settings.
 *
 * Every call happens inside a transaction that sees one state of the store; a writing transaction is alone, so a
 * handler reads, checks versions and writes without a gap. Blocking: worker threads only. struct store may be shared
 * by threads; a transaction belongs to one. All SQL stands in this folder.
 *
 * Versions come from one counter that only grows: a device that is deleted and made again goes on counting.
 * Bounds: STORE_CONNECTIONS open connections; a transaction waits for a free one. Rows are returned in an arena. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "nexus/err.h"

#include <stdint.h>

#define STORE_CONNECTIONS 8

struct store;
struct store_tx;

/* Opens or creates <dir>/config.db (0600) and brings its schema up to date. */
NX_MUST_CHECK enum nx_err store_open(struct store **out, const char *dir, struct nx_note *why);
/* No transaction may be open. */
void store_close(struct store **store);

enum store_access { STORE_READ, STORE_WRITE };
NX_MUST_CHECK enum nx_err store_begin(struct store *store, enum store_access access, struct store_tx **tx,
                                      struct nx_note *why);
/* Ends the transaction in any case; *tx is NULL on return. After an error nothing was stored. */
NX_MUST_CHECK enum nx_err store_commit(struct store_tx **tx, struct nx_note *why);
/* Harmless when *tx is NULL. */
void store_rollback(struct store_tx **tx);

/* --- devices ------------------------------------------------------------------------------------------------ */

struct store_device {
    const char *id, *protocol, *name;
    bool is_enabled;
    const char *settings;      /* JSON object: all of the device but its tags */
    uint64_t version;          /* of the device with its tags */
    uint64_t settings_version; /* of the device without them */
    int64_t created_us, updated_us;
    uint32_t tag_count; /* filled by reads */
};

struct store_device_filter {
    const char *after;    /* only ids behind this one; NULL: from the start */
    const char *search;   /* NULL: all */
    const char *protocol; /* NULL: all */
    int enabled;          /* -1: all */
    uint32_t limit;
};

NX_MUST_CHECK enum nx_err store_device_list(struct store_tx *tx, const struct store_device_filter *filter,
                                            struct arena *a, struct store_device **rows, size_t *n,
                                            struct nx_note *why);
/* NX_E_NOT_FOUND when there is none. */
NX_MUST_CHECK enum nx_err store_device_get(struct store_tx *tx, const char *id, struct arena *a,
                                           struct store_device *out, struct nx_note *why);
/* NX_E_CONFLICT when the id is taken. Fills versions and times of *dev. */
NX_MUST_CHECK enum nx_err store_device_insert(struct store_tx *tx, struct store_device *dev, int64_t now_us,
                                              struct nx_note *why);
/* New settings; both versions move on. */
NX_MUST_CHECK enum nx_err store_device_update(struct store_tx *tx, struct store_device *dev, int64_t now_us,
                                              struct nx_note *why);
/* The tags have changed: only .version moves on. */
NX_MUST_CHECK enum nx_err store_device_touch(struct store_tx *tx, struct store_device *dev, int64_t now_us,
                                             struct nx_note *why);
/* With its tags. *version is that of the deletion. */
NX_MUST_CHECK enum nx_err store_device_delete(struct store_tx *tx, const char *id, uint64_t *version,
                                              struct nx_note *why);

/* --- tags --------------------------------------------------------------------------------------------------- */

struct store_tag {
    const char *device_id, *id;
    const char *topic;     /* unique */
    const char *data_type; /* as its values appear: "float32" */
    const char *unit;      /* NULL: none */
    const char *settings;  /* JSON object */
    uint64_t version;
};

struct store_tag_filter {
    const char *device_id;               /* NULL: all */
    const char *after_device, *after_id; /* only tags behind this one; NULL: from the start */
    const char *search;
    uint32_t limit; /* 0: no limit */
};

NX_MUST_CHECK enum nx_err store_tag_list(struct store_tx *tx, const struct store_tag_filter *filter, struct arena *a,
                                         struct store_tag **rows, size_t *n, struct nx_note *why);
NX_MUST_CHECK enum nx_err store_tag_get(struct store_tx *tx, const char *device_id, const char *id, struct arena *a,
                                        struct store_tag *out, struct nx_note *why);
/* Inserts or replaces; fills tag->version. NX_E_CONFLICT (note names the other tag) when the topic is taken. */
NX_MUST_CHECK enum nx_err store_tag_put(struct store_tx *tx, struct store_tag *tag, struct nx_note *why);
NX_MUST_CHECK enum nx_err store_tag_delete(struct store_tx *tx, const char *device_id, const char *id,
                                           struct nx_note *why);

struct store_counts {
    uint64_t devices, tags, users;
};
NX_MUST_CHECK enum nx_err store_count(struct store_tx *tx, struct store_counts *out, struct nx_note *why);

/* --- users, sessions, refresh tokens -------------------------------------------------------------------------- */

struct store_user {
    int64_t id;
    const char *username; /* unique, case does not matter */
    int role;             /* enum auth_role */
    const char *password_hash;
    int64_t created_us; /* filled by reads */
};
/* NX_E_CONFLICT when the name is taken. Fills user->id. */
NX_MUST_CHECK enum nx_err store_user_insert(struct store_tx *tx, struct store_user *user, int64_t now_us,
                                            struct nx_note *why);
NX_MUST_CHECK enum nx_err store_user_get(struct store_tx *tx, const char *username, struct arena *a,
                                         struct store_user *out, struct nx_note *why);

NX_MUST_CHECK enum nx_err store_user_by_id(struct store_tx *tx, int64_t id, struct arena *a, struct store_user *out,
                                           struct nx_note *why);
/* All, by id, at most cap. */
NX_MUST_CHECK enum nx_err store_user_list(struct store_tx *tx, size_t cap, struct arena *a, struct store_user **out,
                                          size_t *n, struct nx_note *why);
/* Stores role and password_hash. */
NX_MUST_CHECK enum nx_err store_user_update(struct store_tx *tx, const struct store_user *user, struct nx_note *why);
/* With sessions and refresh tokens. */
NX_MUST_CHECK enum nx_err store_user_delete(struct store_tx *tx, int64_t id, struct nx_note *why);
/* Ends all sessions and refresh tokens of a user but those of one session (may be NULL). */
NX_MUST_CHECK enum nx_err store_user_end_logins(struct store_tx *tx, int64_t id, const char *but_digest,
                                                struct nx_note *why);
NX_MUST_CHECK enum nx_err store_user_count_role(struct store_tx *tx, int role, uint64_t *n, struct nx_note *why);

/* Sessions and refresh tokens are known by the digest of a secret that only the client holds. */
struct store_session {
    const char *digest;
    int64_t user_id;
    const char *username; /* filled by reads, with role */
    int role;
    int64_t created_us, expires_us, last_seen_us;
};
/* Inserts or prolongs. */
NX_MUST_CHECK enum nx_err store_session_put(struct store_tx *tx, const struct store_session *s, struct nx_note *why);
/* NX_E_NOT_FOUND also when it has expired. */
NX_MUST_CHECK enum nx_err store_session_get(struct store_tx *tx, const char *digest, int64_t now_us, struct arena *a,
                                            struct store_session *out, struct nx_note *why);
/* Calls each() for every session that is valid; texts are borrowed for the call. */
typedef void store_session_cb(void *arg, const struct store_session *s);
NX_MUST_CHECK enum nx_err store_session_each(struct store_tx *tx, int64_t now_us, store_session_cb *each, void *arg,
                                             struct nx_note *why);
NX_MUST_CHECK enum nx_err store_session_touch(struct store_tx *tx, const char *digest, int64_t now_us,
                                              int64_t expires_us, struct nx_note *why);
NX_MUST_CHECK enum nx_err store_session_delete(struct store_tx *tx, const char *digest, struct nx_note *why);

struct store_refresh {
    const char *digest;
    const char *chain;          /* all tokens that grew from one login */
    const char *session_digest; /* the session of that login */
    int64_t user_id;
    const char *username; /* filled by reads, with role */
    int role;
    int64_t expires_us;
    bool is_used;
};
NX_MUST_CHECK enum nx_err store_refresh_insert(struct store_tx *tx, const struct store_refresh *r, struct nx_note *why);
NX_MUST_CHECK enum nx_err store_refresh_get(struct store_tx *tx, const char *digest, int64_t now_us, struct arena *a,
                                            struct store_refresh *out, struct nx_note *why);
NX_MUST_CHECK enum nx_err store_refresh_use(struct store_tx *tx, const char *digest, struct nx_note *why);
NX_MUST_CHECK enum nx_err store_refresh_delete_chain(struct store_tx *tx, const char *chain, struct nx_note *why);
/* Ends what a login has started besides its session. */
NX_MUST_CHECK enum nx_err store_refresh_delete_session(struct store_tx *tx, const char *session_digest,
                                                       struct nx_note *why);
/* Sessions and tokens that have expired. */
NX_MUST_CHECK enum nx_err store_expire(struct store_tx *tx, int64_t now_us, struct nx_note *why);

/* --- small settings of the installation ------------------------------------------------------------------------ */

/* *value is NULL when there is none. */
NX_MUST_CHECK enum nx_err store_meta_get(struct store_tx *tx, const char *key, struct arena *a, const char **value,
                                         struct nx_note *why);
NX_MUST_CHECK enum nx_err store_meta_set(struct store_tx *tx, const char *key, const char *value, struct nx_note *why);

#endif
