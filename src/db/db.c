#include "db/db.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

struct db_stmt {
    struct db *owner;
    const char *sql; /* literal of the caller */
    sqlite3_stmt *st;
    int bind_rc; /* first error of a bind */
};

struct db {
    sqlite3 *conn;
    char *path;
    struct db_stmt *slots[DB_MAX_STATEMENTS]; /* open addressing by address of the literal */
    unsigned count;
};

struct rc_row {
    int rc;
    enum nx_err err;
    const char *remedy;
};

/* Extended codes stand before the primary code they belong to. */
static const struct rc_row rc_rows[] = {
    {SQLITE_CONSTRAINT, NX_E_CONFLICT, NULL},
    {SQLITE_BUSY, NX_E_BUSY, "another process keeps the database locked; stop it or wait"},
    {SQLITE_LOCKED, NX_E_BUSY, "another connection keeps the table locked; try again"},
    {SQLITE_FULL, NX_E_DISK_FULL, "free space on this disk or choose another --data folder"},
    {SQLITE_CORRUPT, NX_E_CORRUPT, "restore the file from a backup"},
    {SQLITE_NOTADB, NX_E_CORRUPT, "the file is no database; restore it from a backup or move it away"},
    {SQLITE_READONLY, NX_E_DENIED, "make the file and its folder writable for this user"},
    {SQLITE_PERM, NX_E_DENIED, "make the file and its folder accessible for this user"},
    {SQLITE_AUTH, NX_E_DENIED, NULL},
    {SQLITE_CANTOPEN, NX_E_IO, "check that the folder exists and that this user may write to it"},
    {SQLITE_TOOBIG, NX_E_TOO_LARGE, NULL},
    {SQLITE_IOERR, NX_E_IO, "check the disk"},
    {SQLITE_INTERRUPT, NX_E_CANCELED, NULL},
};

static const struct rc_row *
rc_find(int rc)
{
    static const struct rc_row other = {0, NX_E_INTERNAL, NULL};

    for (size_t i = 0; i < MEM_COUNT(rc_rows); i++) {
        if (rc_rows[i].rc == (rc & 0xff))
            return &rc_rows[i];
    }
    return &other;
}

static enum nx_err
db_fail(const struct db *db, int rc, const char *sql, struct nx_note *why)
{
    const struct rc_row *row = rc_find(rc);
    int os_errno = db->conn ? sqlite3_system_errno(db->conn) : 0;
    bool is_io = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;
    enum nx_err err = row->err;
    char place[64] = "";

    if (is_io && os_errno == ENOSPC)
        row = rc_find(SQLITE_FULL), err = row->err;
    if (is_io && (os_errno == EACCES || os_errno == EPERM))
        row = rc_find(SQLITE_PERM), err = row->err;
    if (sql)
        (void)snprintf(place, sizeof place, " (in: %.40s...)", sql);
    (void)nx_fail(why, err, "database %s: %s%s%s%s", db->path, db->conn ? sqlite3_errmsg(db->conn) : sqlite3_errstr(rc),
                  place, row->remedy ? ": " : "", row->remedy ? row->remedy : "");
    if (why && is_io)
        why->os_errno = os_errno;
    return err;
}

/* --- life ------------------------------------------------------------------------------------------------ */

static enum nx_err
db_configure(struct db *db, const struct db_conf *conf, struct nx_note *why)
{
    char sql[256];
    unsigned cache_kib = conf->cache_kib ? conf->cache_kib : 8192;

    sqlite3_extended_result_codes(db->conn, 1);
    sqlite3_busy_timeout(db->conn, conf->busy_timeout_ms ? (int)conf->busy_timeout_ms : 5000);
    sqlite3_db_config(db->conn, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->conn, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db->conn, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db->conn, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    (void)snprintf(sql, sizeof sql,
                   "%s PRAGMA synchronous=%s; PRAGMA foreign_keys=ON; PRAGMA cache_size=-%u; PRAGMA mmap_size=%llu;"
                   " PRAGMA temp_store=MEMORY;",
                   conf->is_read_only ? "" : "PRAGMA journal_mode=WAL;", conf->sync == DB_SYNC_FULL ? "FULL" : "NORMAL",
                   cache_kib, (unsigned long long)conf->mmap_mib << 20);
    return db_exec(db, sql, why);
}

enum nx_err
db_open(struct db **out, const struct db_conf *conf, struct nx_note *why)
{
    struct db *db = mem_alloc(sizeof *db);
    int flags =
        SQLITE_OPEN_NOMUTEX | (conf->is_read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    enum nx_err err;
    int rc;

    *out = NULL;
    db->path = mem_strdup(conf->path);
    rc = sqlite3_open_v2(conf->path, &db->conn, flags, NULL);
    err = rc == SQLITE_OK ? db_configure(db, conf, why) : db_fail(db, rc, NULL, why);
    if (err != NX_OK) {
        db_close(&db);
        return err;
    }
    *out = db;
    return NX_OK;
}

void
db_close(struct db **pdb)
{
    struct db *db = *pdb;

    *pdb = NULL;
    if (!db)
        return;
    for (unsigned i = 0; i < DB_MAX_STATEMENTS; i++) {
        if (db->slots[i])
            sqlite3_finalize(db->slots[i]->st);
        free(db->slots[i]);
    }
    sqlite3_close_v2(db->conn);
    free(db->path);
    free(db);
}

const char *
db_path(const struct db *db)
{
    return db->path;
}

/* --- statements -------------------------------------------------------------------------------------------- */

enum nx_err
db_exec(struct db *db, const char *sql, struct nx_note *why)
{
    int rc = sqlite3_exec(db->conn, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? NX_OK : db_fail(db, rc, sql, why);
}

/* The slot of a literal: where it is, or the free one where it goes; NULL when the cache is full. */
static struct db_stmt **
db_slot(struct db *db, const char *sql)
{
    size_t at = ((uintptr_t)sql >> 3) % DB_MAX_STATEMENTS;

    for (unsigned i = 0; i < DB_MAX_STATEMENTS; i++, at = (at + 1) % DB_MAX_STATEMENTS) {
        if (!db->slots[at] || db->slots[at]->sql == sql)
            return &db->slots[at];
    }
    return NULL;
}

enum nx_err
db_prepare(struct db *db, const char *sql, struct db_stmt **out, struct nx_note *why)
{
    struct db_stmt **slot = db_slot(db, sql);
    sqlite3_stmt *st = NULL;
    int rc;

    *out = NULL;
    if (!slot)
        return nx_fail(why, NX_E_FULL, "database %s: more than %d kinds of statement", db->path, DB_MAX_STATEMENTS);
    if (!*slot) {
        rc = sqlite3_prepare_v3(db->conn, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
        if (rc != SQLITE_OK)
            return db_fail(db, rc, sql, why);
        *slot = mem_alloc(sizeof **slot);
        **slot = (struct db_stmt){.owner = db, .sql = sql, .st = st};
    }
    db_reset(*slot);
    *out = *slot;
    return NX_OK;
}

static void
bind_result(struct db_stmt *st, int rc)
{
    if (st->bind_rc == SQLITE_OK)
        st->bind_rc = rc;
}

void
db_bind_i64(struct db_stmt *st, int i, int64_t v)
{
    bind_result(st, sqlite3_bind_int64(st->st, i, v));
}

void
db_bind_double(struct db_stmt *st, int i, double v)
{
    bind_result(st, sqlite3_bind_double(st->st, i, v));
}

void
db_bind_text(struct db_stmt *st, int i, const char *text)
{
    bind_result(st, sqlite3_bind_text(st->st, i, text, -1, SQLITE_STATIC));
}

void
db_bind_slice(struct db_stmt *st, int i, struct slice text)
{
    bind_result(st, sqlite3_bind_text64(st->st, i, text.p ? (const char *)text.p : "", text.len, SQLITE_STATIC,
                                        SQLITE_UTF8));
}

void
db_bind_blob(struct db_stmt *st, int i, struct slice blob)
{
    bind_result(st, blob.len ? sqlite3_bind_blob64(st->st, i, blob.p, blob.len, SQLITE_STATIC)
                             : sqlite3_bind_zeroblob(st->st, i, 0));
}

void
db_bind_null(struct db_stmt *st, int i)
{
    bind_result(st, sqlite3_bind_null(st->st, i));
}

enum nx_err
db_step(struct db_stmt *st, bool *has_row, struct nx_note *why)
{
    enum nx_err err;
    int rc;

    assert(st);
    rc = st->bind_rc != SQLITE_OK ? st->bind_rc : sqlite3_step(st->st);
    *has_row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        return NX_OK;
    err = db_fail(st->owner, rc, st->sql, why);
    db_reset(st);
    return err;
}

enum nx_err
db_run(struct db_stmt *st, struct nx_note *why)
{
    bool has_row = true;
    enum nx_err err = NX_OK;

    while (err == NX_OK && has_row)
        err = db_step(st, &has_row, why);
    db_reset(st);
    return err;
}

void
db_reset(struct db_stmt *st)
{
    sqlite3_reset(st->st);
    sqlite3_clear_bindings(st->st);
    st->bind_rc = SQLITE_OK;
}

int64_t
db_col_i64(const struct db_stmt *st, int i)
{
    return sqlite3_column_int64(st->st, i);
}

double
db_col_double(const struct db_stmt *st, int i)
{
    return sqlite3_column_double(st->st, i);
}

const char *
db_col_text(const struct db_stmt *st, int i)
{
    return (const char *)sqlite3_column_text(st->st, i);
}

struct slice
db_col_slice(const struct db_stmt *st, int i)
{
    const void *p = sqlite3_column_type(st->st, i) == SQLITE_TEXT ? (const void *)sqlite3_column_text(st->st, i)
                                                                  : sqlite3_column_blob(st->st, i);

    return slice(p, (size_t)sqlite3_column_bytes(st->st, i));
}

bool
db_col_is_null(const struct db_stmt *st, int i)
{
    return sqlite3_column_type(st->st, i) == SQLITE_NULL;
}

enum db_type
db_col_type(const struct db_stmt *st, int i)
{
    switch (sqlite3_column_type(st->st, i)) {
    case SQLITE_INTEGER:
        return DB_INT;
    case SQLITE_FLOAT:
        return DB_DOUBLE;
    case SQLITE_TEXT:
        return DB_TEXT;
    case SQLITE_BLOB:
        return DB_BLOB;
    default:
        return DB_NULL;
    }
}

uint64_t
db_changes(const struct db *db)
{
    return (uint64_t)sqlite3_changes64(db->conn);
}

int64_t
db_last_id(const struct db *db)
{
    return sqlite3_last_insert_rowid(db->conn);
}

/* --- transactions -------------------------------------------------------------------------------------------- */

static enum nx_err
db_run_sql(struct db *db, const char *sql, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(db, sql, &st, why);

    return err == NX_OK ? db_run(st, why) : err;
}

enum nx_err
db_begin(struct db *db, enum db_access access, struct nx_note *why)
{
    return db_run_sql(db, access == DB_WRITE ? "BEGIN IMMEDIATE" : "BEGIN DEFERRED", why);
}

enum nx_err
db_commit(struct db *db, struct nx_note *why)
{
    enum nx_err err = db_run_sql(db, "COMMIT", why);

    if (err != NX_OK)
        db_rollback(db);
    return err;
}

void
db_rollback(struct db *db)
{
    if (!sqlite3_get_autocommit(db->conn))
        (void)sqlite3_exec(db->conn, "ROLLBACK", NULL, NULL, NULL);
}
