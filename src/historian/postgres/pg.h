/* pg.h -- one connection to PostgreSQL: statements, pipelines, COPY, what an error means (conn.c); TLS and refusals
 * (login.c).
 *
 * Everything has a deadline: a server that stops answering costs PG_PATIENCE_MS, then the connection is given up.
 * Blocking; one thread. */
#ifndef HISTORIAN_POSTGRES_PG_H
#define HISTORIAN_POSTGRES_PG_H

#include <libpq-fe.h>

#include "base/wbuf.h"
#include "nexus/err.h"

#define PG_PATIENCE_MS 90000
#define PG_MAX_ARGS    16

/* A statement; prepared when it is used first. All results are binary. */
struct pg_stmt {
    const char *name, *sql;
};

struct pg_conn {
    PGconn *raw;                 /* NULL: not connected */
    char *url;                   /* as configured, without our own parameters */
    char *password;              /* NULL: as the URL says */
    char shown[160];             /* "host:port/database", for people */
    char sqlstate[6];            /* of the last error the server told; "" when it told none */
    char farewell[240];          /* what it said when it hung up on its own */
    bool is_piping, is_doubtful; /* a pipeline failed: which statements it prepared is not known */
    const struct pg_stmt **prepared;
    size_t prepared_count, prepared_cap;
};

/* Arguments of a statement, in binary. Zero-initialised after pg_args_init(); used again after pg_args_reset(). */
struct pg_args {
    struct wbuf bytes;
    int count;
    size_t at[PG_MAX_ARGS];
    int len[PG_MAX_ARGS]; /* -1: NULL */
};

struct pg_args pg_args_init(void);
void pg_args_free(struct pg_args *a);
void pg_args_reset(struct pg_args *a);
void pg_arg_i32(struct pg_args *a, int32_t v);
void pg_arg_i64(struct pg_args *a, int64_t v);
void pg_arg_time(struct pg_args *a, int64_t time_us);
void pg_arg_text(struct pg_args *a, struct slice text);
/* An array of n elements: pg_array_begin(), then n times the length and the bytes of an element (pg_put_*) into
 * a->bytes, then pg_array_end(). */
void pg_array_begin(struct pg_args *a, Oid element, size_t n, bool has_null);
void pg_array_end(struct pg_args *a);

#define PG_OID_BOOL        16u
#define PG_OID_INT8        20u
#define PG_OID_INT2        21u
#define PG_OID_INT4        23u
#define PG_OID_TEXT        25u
#define PG_OID_FLOAT8      701u
#define PG_OID_TIMESTAMPTZ 1184u

/* Fields of arrays and of COPY BINARY: a length and the bytes. */
void pg_put_null(struct wbuf *w);
void pg_put_i16(struct wbuf *w, int v);
void pg_put_i32(struct wbuf *w, int32_t v);
void pg_put_i64(struct wbuf *w, int64_t v);
void pg_put_f64(struct wbuf *w, double v);
void pg_put_bool(struct wbuf *w, bool v);
void pg_put_text(struct wbuf *w, struct slice text);
void pg_put_time(struct wbuf *w, int64_t time_us);

/* Binary fields of a result. Times become microseconds since 1970. */
bool pg_is_null(const PGresult *r, int row, int col);
int32_t pg_i32(const PGresult *r, int row, int col);
int64_t pg_i64(const PGresult *r, int row, int col);
double pg_f64(const PGresult *r, int row, int col);
bool pg_bool(const PGresult *r, int row, int col);
int64_t pg_time(const PGresult *r, int row, int col);
struct slice pg_text(const PGresult *r, int row, int col);

/* "2023-11-14 22:13:20.000001+00" as a literal with quotes; times are limited to 1900..2200. Returns buf. */
#define PG_TIME_CAP 48
const char *pg_literal(int64_t time_us, char *buf);

/* url: a URI or a conninfo string of libpq. NX_E_CONFIG when it is neither. */
NX_MUST_CHECK enum nx_err pg_conn_init(struct pg_conn *c, const char *url, const char *password, struct nx_note *why);
void pg_conn_fini(struct pg_conn *c);
/* Connects when it is not connected. NX_E_OFFLINE, NX_E_TLS, NX_E_AUTH, NX_E_CONFIG (no such database), NX_E_BUSY. */
NX_MUST_CHECK enum nx_err pg_connect(struct pg_conn *c, struct nx_note *why);
void pg_disconnect(struct pg_conn *c);
bool pg_is_connected(const struct pg_conn *c);
/* The same of a connection that nothing was asked on: has the server hung up meanwhile? */
bool pg_is_alive(struct pg_conn *c);

/* One or several statements as text. */
NX_MUST_CHECK enum nx_err pg_exec(struct pg_conn *c, const char *sql, struct nx_note *why);
/* The result is the caller's: PQclear(). args may be NULL. On failure *out is NULL. */
NX_MUST_CHECK enum nx_err pg_run(struct pg_conn *c, const struct pg_stmt *st, const struct pg_args *args,
                                 PGresult **out, struct nx_note *why);
/* The same for a statement used once, as text without parameters. */
NX_MUST_CHECK enum nx_err pg_select(struct pg_conn *c, const char *sql, PGresult **out, struct nx_note *why);
/* Sends pg_select()'s statement; pg_select_end() waits for the result. */
NX_MUST_CHECK enum nx_err pg_select_begin(struct pg_conn *c, const char *sql, struct nx_note *why);
NX_MUST_CHECK enum nx_err pg_select_end(struct pg_conn *c, PGresult **out, struct nx_note *why);
/* Rolls back whatever is under way; a connection that cannot is closed. */
void pg_rollback(struct pg_conn *c);

/* Several statements in one round trip: pg_pipe_begin(), pg_pipe_add()..., pg_pipe_end(), which puts the result of
 * statement i to results[i] when results is not NULL (then the caller's; all NULL on failure). After a failed
 * statement the others did not run. */
NX_MUST_CHECK enum nx_err pg_pipe_begin(struct pg_conn *c, struct nx_note *why);
NX_MUST_CHECK enum nx_err pg_pipe_add(struct pg_conn *c, const struct pg_stmt *st, const struct pg_args *args,
                                      struct nx_note *why);
NX_MUST_CHECK enum nx_err pg_pipe_end(struct pg_conn *c, size_t n, PGresult **results, struct nx_note *why);

/* COPY .. FROM STDIN (FORMAT binary): head and tail of the format are added here, rows are fields as above behind
 * wbuf_be16(number of fields). */
NX_MUST_CHECK enum nx_err pg_copy(struct pg_conn *c, const char *sql, struct slice rows, struct nx_note *why);

/* --- login.c --- */
/* What a URL says; each may be NULL. */
struct pg_tls_said {
    const char *host, *hostaddr, *mode, *authority;
};
/* What libpq is told beyond it (sslmode, sslrootcert); NULL: nothing. Borrowed from the environment or for ever. */
struct pg_tls {
    const char *mode, *authority;
};
/* A server on another machine, and one whose authority is named, must prove itself (verify-full) unless the URL or the
 * environment of libpq say another mode; authorities are those of the system unless others are named. */
struct pg_tls pg_tls_demand(const struct pg_tls_said *said);
/* What libpq tells of a connection that did not come about, as a text for people with the remedy where it is about TLS;
 * free() it. */
enum nx_err pg_refusal(const char *message, char **text);

/* enum nx_err for a SQLSTATE. */
enum nx_err pg_err_of_state(const char *sqlstate);
bool pg_state_is(const struct pg_conn *c, const char *sqlstate);

#endif
