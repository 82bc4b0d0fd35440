/* core_priv.h -- what the files of the core share.
 *
 * Threads: the loop thread owns hub, mqtt, bus and writes; live, status and sessions lock themselves; the store hands
 * out transactions to workers; conf, keys and tables do not change after the start. */
#ifndef CORE_CORE_PRIV_H
#define CORE_CORE_PRIV_H

#include "auth/auth.h"
#include "core/core.h"
#include "core/hub.h"
#include "core/ledger.h"
#include "core/live.h"
#include "core/sessions.h"
#include "core/status.h"
#include "http/http.h"
#include "model/device.h"
#include "mqtt/mqtt.h"
#include "obs/log.h"
#include "store/store.h"

/* A device as the loop knows it. */
struct known_device {
    char *id;
    bool is_enabled;
    UT_hash_handle hh;
};

struct bus;
struct readers;
struct write_op;

struct core {
    struct http_health health; /* first: http_serve_* read it */
    struct conf *settings;
    struct core_conf conf;
    struct loop *loop;
    struct metrics *metrics;
    struct store *store;
    struct live *live;
    struct status *status;
    struct sessions *sessions;
    struct hub *hub;
    struct auth_issuer *issuer;
    struct auth_guard *guard;
    char csrf_key[AUTH_TOKEN_CAP];
    char setup_code[16]; /* empty when a user existed at the start */
    char *setup_path;
    struct device_options device_options;
    struct http_server *http;
    struct http_route *routes;
    struct bus *bus;
    struct readers *readers;
    struct write_op *writes;      /* hash by command id */
    struct known_device *devices; /* hash by id */
    unsigned works;               /* core_work() calls under way */
    unsigned tests_running;       /* "test connection" calls on the worker pool (atomic) */
    unsigned asks_running;        /* further calls to the gateway there (atomic) */
    unsigned queries_running;     /* history queries there (atomic) */
    unsigned exports_running;     /* of them unlimited ones (atomic) */
    unsigned logins_running;      /* passwords being checked there (atomic) */
    struct ledger_totals ledger;  /* as of the last look; loop */
    unsigned ticks;
    bool is_ledger_running;
    int64_t started_us;
    uint64_t messages, bad_messages;
    int64_t last_sweep_us;
    struct loop_timer sweep_timer, metrics_timer, stop_timer, live_timer;
    unsigned stop_checks;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

extern const struct log_ctx core_log;

/* Wall clock for workers. */
int64_t core_now_us(void);
/* loop_work() that core_stop() waits for. */
void core_work(struct core *core, loop_cb *work, loop_cb *done, void *arg);

/* --- users.c: who asks --------------------------------------------------------------------------------------- */

/* name, text in the API, least role. The numbers are the permission of a route. */
#define PERMISSIONS(P)                                                                                                 \
    P(PUBLIC, "public", VIEWER)                                                                                        \
    P(SESSION, "session", VIEWER)                                                                                      \
    P(DEVICES_READ, "devices.read", VIEWER)                                                                            \
    P(DEVICES_WRITE, "devices.write", ENGINEER)                                                                        \
    P(DEVICES_TEST, "devices.test", ENGINEER)                                                                          \
    P(DEVICES_RECORD, "devices.record", ENGINEER)                                                                      \
    P(TAGS_WRITE, "tags.write", OPERATOR)                                                                              \
    P(HISTORY_READ, "history.read", VIEWER)                                                                            \
    P(LIVE_READ, "live.read", VIEWER)                                                                                  \
    P(SYSTEM_READ, "system.read", VIEWER)                                                                              \
    P(SYSTEM_ADMIN, "system.admin", ADMIN)

enum permission {
#define PERMISSION_ENUM(name, text, role) PERM_##name,
    PERMISSIONS(PERMISSION_ENUM)
#undef PERMISSION_ENUM
        PERM_COUNT
};
const char *permission_name(enum permission p);
bool permission_granted(enum permission p, enum auth_role role);

struct principal {
    char username[65];
    enum auth_role role;
    int64_t user_id;
    bool is_cookie;               /* else a bearer token */
    char digest[AUTH_DIGEST_CAP]; /* of the session */
    char csrf[AUTH_DIGEST_CAP];   /* with a cookie */
};
/* Cookie or bearer token. false: nobody. */
bool principal_of(struct core *core, struct http_req *req, struct principal *out);
const char *session_cookie_name(const struct http_req *req);
/* Guard of all routes: login, permission, CSRF. */
bool core_guard(struct http_req *req, const struct http_route *route, void *arg);
const struct principal *core_user(const struct http_req *req);
/* For live values; session names the login. */
bool core_token_is_good(struct core *core, const char *token, char session[AUTH_DIGEST_CAP]);
/* Creates the set-up code when there is no user yet, loads sessions and keys. Start only. */
NX_MUST_CHECK enum nx_err users_start(struct core *core, struct nx_note *why);
/* Removes what has expired and stores when sessions were used last. Worker. */
void users_sweep(struct core *core);

/* --- bus.c: MQTT ----------------------------------------------------------------------------------------------- */

NX_MUST_CHECK enum nx_err bus_open(struct core *core, struct nx_note *why);
void bus_stop(struct core *core);
void bus_close(struct core *core);
bool bus_is_online(const struct core *core, struct nx_note *reason);
/* Publishes under the system prefix: "cmd/...". Loop thread. */
NX_MUST_CHECK enum nx_err bus_publish(struct core *core, const char *topic, struct slice payload, uint8_t qos);
/* The whole set of devices goes out as soon as possible. Loop thread. */
void bus_send_all(struct core *core);

/* --- change.c: a device has changed ---------------------------------------------------------------------------------
 */

/* The whole device as it is in this transaction: as JSON for gateways, with its topics for the live table. */
struct change;
enum change_action { CHANGE_CREATED, CHANGE_UPDATED, CHANGE_DELETED };
NX_MUST_CHECK enum nx_err change_new(struct core *core, struct store_tx *tx, enum change_action action,
                                     const struct store_device *dev, struct change **out, struct nx_note *why);
/* After the commit: tells gateways, live table and clients on the loop. *c is NULL on return. Any thread. */
void change_post(struct change **c);
void change_free(struct change **c);
/* Fills the live table and the known devices from the store. Start only. */
NX_MUST_CHECK enum nx_err change_load_all(struct core *core, struct nx_note *why);
void change_forget_devices(struct core *core);
/* {device_id, version, data} of a device with its tags; new reference. */
NX_MUST_CHECK enum nx_err change_device_json(struct store_tx *tx, const struct store_device *dev, struct arena *a,
                                             json_t **out, struct nx_note *why);

/* --- import.c
 * ---------------------------------------------------------------------------------------------------------- */

/* Takes devices.yaml over into an empty store. */
NX_MUST_CHECK enum nx_err import_devices(struct core *core, struct nx_note *why);

/* --- write_api.c: writes under way
 * --------------------------------------------------------------------------------------- */

/* A response of a gateway. Loop thread. */
void write_response(struct core *core, struct slice payload);
void write_cancel_all(struct core *core);

/* --- readers.c: historian handles for workers
 * ----------------------------------------------------------------------------- */

struct historian;
/* A handle that was lent. {0}: none. */
struct reader {
    struct historian *h;
    bool is_primary;
};
enum readers_from {
    READERS_ANY,     /* the standby of historian.read_url; the primary while it is away, or when there is none */
    READERS_PRIMARY, /* what must not be behind */
};
/* NX_E_CONFIG when there is a historian.read_url, but values are not kept in PostgreSQL. On failure *out is NULL. */
NX_MUST_CHECK enum nx_err readers_new(struct readers **out, const struct core_conf *conf, struct nx_note *why);
void readers_free(struct readers **r);
/* Any thread. NX_E_NOT_FOUND while ingestion has not made the store yet. */
NX_MUST_CHECK enum nx_err readers_take(struct readers *r, enum readers_from from, struct reader *out,
                                       struct nx_note *why);
/* is_good false: the handle is closed instead of kept, and all that wait beside it. */
void readers_give(struct readers *r, struct reader reader, bool is_good);
/* Why the standby is not asked at present; false: it is, or there is none. */
bool readers_is_away(struct readers *r, struct nx_note *why);
/* Closes what nobody used for database.max_idle_time. */
void readers_sweep(struct readers *r);

/* --- routes.c
 * --------------------------------------------------------------------------------------------------------------- */

/* Both spellings of every path; ends with path NULL; free(). */
struct http_route *routes_make(void);
json_t *routes_json(void);
extern const struct http_ws_ops core_ws_ops;
/* core_metrics.c: once a second the registry gets what the parts have counted. */
void core_metrics_start(struct core *core);
/* openapi.yaml as JSON, made by the build. */
extern const unsigned char core_openapi_json[];
extern const size_t core_openapi_json_len;

#endif
