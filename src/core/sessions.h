/* sessions.h -- who is logged in: all valid sessions in memory, so that a request costs no query.
 *
 * The store keeps what must survive a restart; this table is loaded from it and written beside it. Any thread; one
 * mutex. At most SESSIONS_MAX; the one that was idle longest goes first. */
#ifndef CORE_SESSIONS_H
#define CORE_SESSIONS_H

#include "auth/auth.h"

#define SESSIONS_MAX 10000

struct sessions;

struct session {
    char digest[AUTH_DIGEST_CAP];
    char username[65];
    int64_t user_id;
    enum auth_role role;
    int64_t expires_us, last_seen_us;
};

struct sessions *sessions_new(int64_t ttl_us);
void sessions_free(struct sessions **s);
/* Takes the place of an older one with the same digest. */
void sessions_add(struct sessions *s, const struct session *session);
/* A copy; prolongs the session. false when there is none or it has expired. */
bool sessions_use(struct sessions *s, const char *digest, int64_t now_us, struct session *out);
void sessions_remove(struct sessions *s, const char *digest);
/* All of a user; but_digest (may be NULL) stays. */
void sessions_remove_user(struct sessions *s, int64_t user_id, const char *but_digest);
/* Copies at most cap sessions that were used after since_us (their new end goes to the store); drops expired ones. */
size_t sessions_sweep(struct sessions *s, int64_t now_us, int64_t since_us, struct session *out, size_t cap);

#endif
