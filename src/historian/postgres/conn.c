/* conn.c -- the connection: connecting, waiting with a deadline, and what an error means. */
#include "historian/postgres/pg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

#define CONNECT_MS 10000
#define COPY_PIECE 65536

/* A statement that waits for a lock or a disk ends before a row of the ledger may be compacted (books.c). A server
 * that was told not to wait for its disk is told otherwise: an acknowledgement is a promise. */
static const char session[] =
    "SET statement_timeout = '60s'; SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = '120s';"
    " SET timezone = 'UTC'; SET search_path = pg_catalog, public; SET client_min_messages = error;"
    " SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/* --- errors --- */

bool
pg_state_is(const struct pg_conn *c, const char *sqlstate)
{
    return strcmp(c->sqlstate, sqlstate) == 0;
}

enum nx_err
pg_err_of_state(const char *s)
{
    static const struct {
        const char *prefix;
        enum nx_err err;
    } table[] = {
        {"53100", NX_E_DISK_FULL}, {"53", NX_E_BUSY},       {"08", NX_E_OFFLINE},    {"57014", NX_E_BUSY},
        {"57", NX_E_OFFLINE},      {"25006", NX_E_OFFLINE}, {"40001", NX_E_OFFLINE}, {"40", NX_E_BUSY},
        {"55", NX_E_BUSY},         {"25P03", NX_E_OFFLINE}, {"58", NX_E_IO},         {"XX", NX_E_IO},
        {"28", NX_E_AUTH},         {"3D", NX_E_CONFIG},     {"3F", NX_E_CONFIG},     {"42501", NX_E_DENIED},
        {"42", NX_E_CONFIG},       {"0A", NX_E_CONFIG},     {"22", NX_E_RANGE},      {"23", NX_E_RANGE},
        {"54", NX_E_RANGE},
    };

    for (size_t i = 0; i < MEM_COUNT(table); i++)
        if (strncmp(s, table[i].prefix, strlen(table[i].prefix)) == 0)
            return table[i].err;
    return NX_E_IO;
}

/* Messages of libpq end with a line feed, and have several lines. */
static int
first_line(const char *text)
{
    return (int)strcspn(text, "\n");
}

/* Of all we do only reading on a standby can end so: nothing that we write is serializable. */
static const char *
remedy_of(const char *state)
{
    return strcmp(state, "40001") != 0
               ? ""
               : "; the standby had to go on: raise max_standby_streaming_delay or set hot_standby_feedback there";
}

static enum nx_err
lost(struct pg_conn *c, struct nx_note *why)
{
    const char *text = c->farewell[0] ? c->farewell : PQerrorMessage(c->raw);
    enum nx_err err = nx_fail(why, NX_E_OFFLINE, "PostgreSQL %s: %.*s", c->shown, first_line(text), text);

    pg_disconnect(c);
    return err;
}

/* Shutdown, a time limit of the session, a broken connection: the server hangs up behind it. */
static bool
ends_session(const char *state)
{
    return strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0 || strcmp(state, "25P03") == 0;
}

static enum nx_err
failed(struct pg_conn *c, const PGresult *r, struct nx_note *why)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE), *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    enum nx_err err;

    if (!state || PQstatus(c->raw) == CONNECTION_BAD)
        return lost(c, why);
    (void)snprintf(c->sqlstate, sizeof c->sqlstate, "%s", state);
    err = nx_fail(why, pg_err_of_state(state), "PostgreSQL %s: %s (SQLSTATE %s)%s", c->shown, text ? text : "error",
                  state, remedy_of(state));
    if (ends_session(state))
        pg_disconnect(c);
    return err;
}

/* --- waiting --- */

static int64_t
now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* false: deadline or error. */
static bool
wait_socket(const struct pg_conn *c, short events, int64_t deadline_ms)
{
    struct pollfd fd = {.fd = PQsocket(c->raw), .events = events};
    int64_t left = deadline_ms - now_ms();
    int n;

    do
        n = fd.fd < 0 || left <= 0 ? 0 : poll(&fd, 1, (int)left);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static enum nx_err
give_up(struct pg_conn *c, struct nx_note *why)
{
    enum nx_err err =
        nx_fail(why, NX_E_OFFLINE, "PostgreSQL %s does not answer for %d s", c->shown, PG_PATIENCE_MS / 1000);

    pg_disconnect(c);
    return err;
}

/* Sends what is waiting to be sent, reading meanwhile so that neither side blocks the other. */
static enum nx_err
flush(struct pg_conn *c, struct nx_note *why)
{
    int64_t deadline = now_ms() + PG_PATIENCE_MS;
    int left;

    while ((left = PQflush(c->raw)) == 1) {
        if (!wait_socket(c, POLLIN | POLLOUT, deadline))
            return give_up(c, why);
        if (!PQconsumeInput(c->raw))
            return lost(c, why);
    }
    return left < 0 ? lost(c, why) : NX_OK;
}

/* *out NULL: no more results of this statement. */
static enum nx_err
next_result(struct pg_conn *c, PGresult **out, struct nx_note *why)
{
    int64_t deadline = now_ms() + PG_PATIENCE_MS;
    enum nx_err err = flush(c, why);

    *out = NULL;
    while (err == NX_OK && PQisBusy(c->raw)) {
        if (!wait_socket(c, POLLIN, deadline))
            err = give_up(c, why);
        else if (!PQconsumeInput(c->raw))
            err = lost(c, why);
    }
    if (err == NX_OK)
        *out = PQgetResult(c->raw);
    return err;
}

static bool
is_good(const PGresult *r)
{
    ExecStatusType s = PQresultStatus(r);

    return s == PGRES_COMMAND_OK || s == PGRES_TUPLES_OK || s == PGRES_PIPELINE_SYNC;
}

/* All results up to the end of the statement; the last good one is kept, the first failure is told. */
static enum nx_err
finish(struct pg_conn *c, PGresult **out, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err = NX_OK, wait;

    while ((wait = next_result(c, &r, err == NX_OK ? why : NULL)) == NX_OK && r) {
        if (is_good(r) && err == NX_OK) {
            PQclear(*out);
            *out = r;
            continue;
        }
        if (err == NX_OK)
            err = failed(c, r, why);
        PQclear(r);
        if (!c->raw)
            break;
    }
    err = err == NX_OK ? wait : err;
    if (err != NX_OK) {
        PQclear(*out);
        *out = NULL;
    }
    return err;
}

/* --- connecting --- */

/* Notices are not for us, but a server that hangs up between two statements says why as one. */
static void
take_notice(void *arg, const PGresult *r)
{
    struct pg_conn *c = arg;
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE), *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity && strcmp(severity, "FATAL") == 0 && state && text)
        (void)snprintf(c->farewell, sizeof c->farewell, "%s (SQLSTATE %s)%s", text, state, remedy_of(state));
}

struct keywords {
    const char *key[48], *value[48];
    unsigned count;
};

static const char *
option_of(const PQconninfoOption *options, const char *key)
{
    for (const PQconninfoOption *o = options; o->keyword; o++)
        if (strcmp(o->keyword, key) == 0)
            return o->val;
    return NULL;
}

static void
add(struct keywords *k, const char *key, const char *value)
{
    if (k->count + 1 < MEM_COUNT(k->key)) {
        k->key[k->count] = key;
        k->value[k->count++] = value;
    }
}

/* What the URL does not say about dead peers and TLS is said here. */
static struct keywords
keywords_of(const PQconninfoOption *options, const char *password)
{
    static const char *const defaults[][2] = {{"application_name", "nexus-historian"}, {"keepalives_idle", "30"},
                                              {"keepalives_interval", "10"},           {"keepalives_count", "3"},
                                              {"tcp_user_timeout", "60000"},           {"client_encoding", "UTF8"}};
    const struct pg_tls_said said = {option_of(options, "host"), option_of(options, "hostaddr"),
                                     option_of(options, "sslmode"), option_of(options, "sslrootcert")};
    struct pg_tls tls = pg_tls_demand(&said);
    struct keywords k = {.count = 0};

    for (const PQconninfoOption *o = options; o->keyword; o++)
        if (o->val && !(password && strcmp(o->keyword, "password") == 0))
            add(&k, o->keyword, o->val);
    for (size_t i = 0; i < MEM_COUNT(defaults); i++)
        if (!option_of(options, defaults[i][0]))
            add(&k, defaults[i][0], defaults[i][1]);
    if (tls.mode)
        add(&k, "sslmode", tls.mode);
    if (tls.authority)
        add(&k, "sslrootcert", tls.authority);
    if (password)
        add(&k, "password", password);
    return k;
}

static void
show(struct pg_conn *c, const PQconninfoOption *options)
{
    const char *host = option_of(options, "host"), *port = option_of(options, "port");
    const char *db = option_of(options, "dbname"), *user = option_of(options, "user");

    (void)snprintf(c->shown, sizeof c->shown, "%s:%s/%s", host ? host : "localhost", port ? port : "5432",
                   db     ? db
                   : user ? user
                          : "");
}

enum nx_err
pg_conn_init(struct pg_conn *c, const char *url, const char *password, struct nx_note *why)
{
    char *error = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &error);

    *c = (struct pg_conn){0};
    PQfreemem(error); /* it may quote the password */
    if (!options)
        return nx_fail(why, NX_E_CONFIG,
                       "historian.url is not an address of PostgreSQL; write postgres://user@host:5432/database");
    show(c, options);
    PQconninfoFree(options);
    c->url = mem_strdup(url);
    c->password = password ? mem_strdup(password) : NULL;
    return NX_OK;
}

void
pg_conn_fini(struct pg_conn *c)
{
    pg_disconnect(c);
    free(c->url);
    if (c->password)
        explicit_bzero(c->password, strlen(c->password));
    free(c->password);
    free(c->prepared);
    *c = (struct pg_conn){0};
}

void
pg_disconnect(struct pg_conn *c)
{
    if (c->raw)
        PQfinish(c->raw);
    c->raw = NULL;
    c->farewell[0] = '\0';
    c->is_piping = c->is_doubtful = false;
    c->prepared_count = 0;
}

bool
pg_is_connected(const struct pg_conn *c)
{
    return c->raw && PQstatus(c->raw) == CONNECTION_OK;
}

bool
pg_is_alive(struct pg_conn *c)
{
    struct pollfd fd = {.events = POLLIN};

    while (pg_is_connected(c) && !c->farewell[0]) {
        fd.fd = PQsocket(c->raw);
        if (poll(&fd, 1, 0) == 0)
            return true;
        if (!PQconsumeInput(c->raw))
            break;
        PQfreemem(PQnotifies(c->raw)); /* reads what came: notices */
    }
    return false;
}

static enum nx_err
refused(struct pg_conn *c, struct nx_note *why)
{
    char *text;
    enum nx_err err = pg_refusal(PQerrorMessage(c->raw), &text);

    (void)nx_fail(why, err, "PostgreSQL %s: %s", c->shown, text);
    free(text);
    pg_disconnect(c);
    return err;
}

static enum nx_err
poll_connection(struct pg_conn *c, struct nx_note *why)
{
    int64_t deadline = now_ms() + CONNECT_MS;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
        if (!wait_socket(c, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline)) {
            pg_disconnect(c);
            return nx_fail(why, NX_E_OFFLINE, "PostgreSQL %s: no connection within %d s", c->shown, CONNECT_MS / 1000);
        }
        state = PQconnectPoll(c->raw);
    }
    return state == PGRES_POLLING_OK ? NX_OK : refused(c, why);
}

static enum nx_err
start_connection(struct pg_conn *c, struct nx_note *why)
{
    PQconninfoOption *options = PQconninfoParse(c->url, NULL);
    struct keywords k = keywords_of(options, c->password);

    c->raw = PQconnectStartParams(k.key, k.value, 0);
    PQconninfoFree(options);
    if (!c->raw)
        return nx_fail(why, NX_E_IO, "PostgreSQL: out of memory");
    PQsetNoticeReceiver(c->raw, take_notice, c);
    (void)PQsetErrorVerbosity(c->raw, PQERRORS_VERBOSE);
    return PQstatus(c->raw) == CONNECTION_BAD ? refused(c, why) : poll_connection(c, why);
}

enum nx_err
pg_connect(struct pg_conn *c, struct nx_note *why)
{
    enum nx_err err;

    if (pg_is_connected(c))
        return NX_OK;
    pg_disconnect(c);
    if ((err = start_connection(c, why)) != NX_OK)
        return err;
    if (PQsetnonblocking(c->raw, 1) != 0)
        return lost(c, why);
    return pg_exec(c, session, why);
}

/* --- statements --- */

static enum nx_err
not_connected(const struct pg_conn *c, struct nx_note *why)
{
    return nx_fail(why, NX_E_OFFLINE, "PostgreSQL %s: not connected", c->shown);
}

enum nx_err
pg_exec(struct pg_conn *c, const char *sql, struct nx_note *why)
{
    PGresult *r = NULL;
    enum nx_err err;

    c->sqlstate[0] = '\0';
    if (!c->raw)
        return not_connected(c, why);
    err = PQsendQuery(c->raw, sql) ? finish(c, &r, why) : lost(c, why);
    PQclear(r);
    return err;
}

enum nx_err
pg_select_begin(struct pg_conn *c, const char *sql, struct nx_note *why)
{
    c->sqlstate[0] = '\0';
    if (!c->raw)
        return not_connected(c, why);
    if (!PQsendQueryParams(c->raw, sql, 0, NULL, NULL, NULL, NULL, 1))
        return lost(c, why);
    return flush(c, why);
}

enum nx_err
pg_select_end(struct pg_conn *c, PGresult **out, struct nx_note *why)
{
    *out = NULL;
    if (!c->raw)
        return not_connected(c, why);
    return finish(c, out, why);
}

enum nx_err
pg_select(struct pg_conn *c, const char *sql, PGresult **out, struct nx_note *why)
{
    enum nx_err err = pg_select_begin(c, sql, why);

    *out = NULL;
    return err == NX_OK ? pg_select_end(c, out, why) : err;
}

static bool
is_prepared(const struct pg_conn *c, const struct pg_stmt *st)
{
    for (size_t i = 0; i < c->prepared_count; i++)
        if (c->prepared[i] == st)
            return true;
    return false;
}

static void
remember(struct pg_conn *c, const struct pg_stmt *st)
{
    if (c->prepared_count == c->prepared_cap) {
        c->prepared_cap = c->prepared_cap ? c->prepared_cap * 2 : 32;
        c->prepared = mem_realloc(c->prepared, c->prepared_cap * sizeof(struct pg_stmt *));
    }
    c->prepared[c->prepared_count++] = st;
}

static enum nx_err
prepare(struct pg_conn *c, const struct pg_stmt *st, struct nx_note *why)
{
    PGresult *r = NULL;
    enum nx_err err;

    if (is_prepared(c, st))
        return NX_OK;
    if (!PQsendPrepare(c->raw, st->name, st->sql, 0, NULL))
        return lost(c, why);
    if ((err = finish(c, &r, why)) == NX_OK)
        remember(c, st);
    PQclear(r);
    return err;
}

static enum nx_err
send(struct pg_conn *c, const struct pg_stmt *st, const struct pg_args *args, struct nx_note *why)
{
    const char *values[PG_MAX_ARGS];
    int formats[PG_MAX_ARGS], n = args ? args->count : 0;

    if (args && args->bytes.failed)
        return nx_fail(why, NX_E_TOO_LARGE, "PostgreSQL: the arguments of one statement are too large");
    for (int i = 0; i < n; i++) {
        values[i] = args->len[i] < 0 ? NULL : (const char *)args->bytes.p + args->at[i];
        formats[i] = 1;
    }
    if (!PQsendQueryPrepared(c->raw, st->name, n, values, args ? args->len : NULL, formats, 1))
        return lost(c, why);
    return NX_OK;
}

enum nx_err
pg_run(struct pg_conn *c, const struct pg_stmt *st, const struct pg_args *args, PGresult **out, struct nx_note *why)
{
    enum nx_err err;

    *out = NULL;
    c->sqlstate[0] = '\0';
    if (!c->raw)
        return not_connected(c, why);
    if ((err = prepare(c, st, why)) == NX_OK && (err = send(c, st, args, why)) == NX_OK)
        err = finish(c, out, why);
    return err;
}

/* What the server said before it stays readable. */
void
pg_rollback(struct pg_conn *c)
{
    char state[6];

    if (!c->raw)
        return;
    memcpy(state, c->sqlstate, sizeof state);
    if (c->is_piping || PQtransactionStatus(c->raw) == PQTRANS_ACTIVE ||
        (PQtransactionStatus(c->raw) != PQTRANS_IDLE && pg_exec(c, "ROLLBACK", NULL) != NX_OK))
        pg_disconnect(c);
    else if (c->is_doubtful && pg_exec(c, "DEALLOCATE ALL", NULL) != NX_OK)
        pg_disconnect(c);
    if (c->is_doubtful)
        c->prepared_count = 0;
    c->is_doubtful = false;
    memcpy(c->sqlstate, state, sizeof state);
}

/* --- pipelines --- */

enum nx_err
pg_pipe_begin(struct pg_conn *c, struct nx_note *why)
{
    c->sqlstate[0] = '\0';
    if (!c->raw)
        return not_connected(c, why);
    if (!PQenterPipelineMode(c->raw))
        return lost(c, why);
    c->is_piping = true;
    return NX_OK;
}

/* A statement that is new to the connection is prepared on the way, with a result of its own that pg_pipe_end()
 * passes over: those are the only ones with the state COMMAND_OK and an empty command. */
enum nx_err
pg_pipe_add(struct pg_conn *c, const struct pg_stmt *st, const struct pg_args *args, struct nx_note *why)
{
    if (!c->raw)
        return not_connected(c, why);
    if (!is_prepared(c, st)) {
        if (!PQsendPrepare(c->raw, st->name, st->sql, 0, NULL))
            return lost(c, why);
        remember(c, st);
    }
    return send(c, st, args, why);
}

static bool
is_of_prepare(const PGresult *r)
{
    return PQresultStatus(r) == PGRES_COMMAND_OK && !*PQcmdStatus((PGresult *)r);
}

/* Takes results up to the end of the pipeline. */
static enum nx_err
drain(struct pg_conn *c, size_t n, PGresult **results, struct nx_note *why)
{
    enum nx_err err = NX_OK, wait = NX_OK;
    bool is_synced = false;
    size_t at = 0;
    PGresult *r;

    while (!is_synced && (wait = next_result(c, &r, err == NX_OK ? why : NULL)) == NX_OK) {
        if (!r)
            continue;
        is_synced = PQresultStatus(r) == PGRES_PIPELINE_SYNC;
        if (!is_good(r)) {
            c->is_doubtful = true;
            err = err == NX_OK ? failed(c, r, why) : err;
        }
        if (!is_synced && is_good(r) && !is_of_prepare(r) && results && at < n) {
            results[at++] = r;
            continue;
        }
        PQclear(r);
        if (!c->raw)
            break;
    }
    return err == NX_OK ? wait : err;
}

enum nx_err
pg_pipe_end(struct pg_conn *c, size_t n, PGresult **results, struct nx_note *why)
{
    enum nx_err err;

    for (size_t i = 0; results && i < n; i++)
        results[i] = NULL;
    if (!c->raw)
        return not_connected(c, why);
    err = PQpipelineSync(c->raw) ? drain(c, n, results, why) : lost(c, why);
    if (c->raw && !PQexitPipelineMode(c->raw))
        err = err == NX_OK ? lost(c, why) : err;
    c->is_piping = false;
    for (size_t i = 0; err != NX_OK && results && i < n; i++) {
        PQclear(results[i]);
        results[i] = NULL;
    }
    return err;
}

/* --- COPY --- */

static enum nx_err
copy_data(struct pg_conn *c, const void *p, size_t len, struct nx_note *why)
{
    enum nx_err err = NX_OK;

    for (size_t at = 0, n; at < len && err == NX_OK; at += n) {
        n = len - at < COPY_PIECE ? len - at : COPY_PIECE;
        if (PQputCopyData(c->raw, (const char *)p + at, (int)n) != 1)
            return lost(c, why);
        err = flush(c, why);
    }
    return err;
}

static enum nx_err
copy_body(struct pg_conn *c, struct slice rows, struct nx_note *why)
{
    static const char head[19] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", tail[2] = "\377\377";
    enum nx_err err = copy_data(c, head, sizeof head, why);

    if (err == NX_OK)
        err = copy_data(c, rows.p, rows.len, why);
    if (err == NX_OK)
        err = copy_data(c, tail, sizeof tail, why);
    if (err == NX_OK && PQputCopyEnd(c->raw, NULL) != 1)
        err = lost(c, why);
    return err;
}

enum nx_err
pg_copy(struct pg_conn *c, const char *sql, struct slice rows, struct nx_note *why)
{
    PGresult *r = NULL;
    enum nx_err err;

    c->sqlstate[0] = '\0';
    if (!c->raw)
        return not_connected(c, why);
    if (!PQsendQuery(c->raw, sql))
        return lost(c, why);
    if ((err = next_result(c, &r, why)) != NX_OK)
        return err;
    if (PQresultStatus(r) == PGRES_COPY_IN) {
        PQclear(r);
        r = NULL;
        err = copy_body(c, rows, why);
    } else {
        err = failed(c, r, why);
        PQclear(r);
        r = NULL;
    }
    if (c->raw) {
        enum nx_err end = finish(c, &r, err == NX_OK ? why : NULL);

        err = err == NX_OK ? end : err;
    }
    PQclear(r);
    return err;
}
