/* db.h -- a database connection: open, statements, transactions, migrations. No mapping of objects: SQL stays SQL.
 *
 * Backed by SQLite in WAL mode (a server database comes behind the same calls). A connection and its statements belong
 * to one thread at a time; readers on other connections never wait for the writer. Statements are prepared once per
 * connection and cached by their text (at most DB_MAX_STATEMENTS), so SQL is written as literals where it is used.
 *
 * Errors: NX_E_BUSY (another process holds the lock past busy_timeout_ms), NX_E_DISK_FULL, NX_E_CONFLICT (unique or
 * foreign key), NX_E_CORRUPT, NX_E_DENIED, NX_E_IO. The note names the file, the cause and, where there is one, the
 * remedy. Binding is sticky: the first error shows at the next db_step() or db_run(). */
#ifndef DB_DB_H
#define DB_DB_H

#include "base/slice.h"
#include "nexus/err.h"

#define DB_MAX_STATEMENTS 256

struct db;
struct db_stmt;

enum db_sync {
    DB_SYNC_NORMAL, /* a crash of the process loses nothing; power loss may lose the last transactions */
    DB_SYNC_FULL,   /* each commit is on the disk */
};

struct db_conf {
    const char *path;  /* file; the folder must exist. ":memory:" for tests */
    bool is_read_only; /* the file must exist */
    enum db_sync sync;
    uint32_t busy_timeout_ms; /* 0: 5000 */
    uint32_t cache_kib;       /* page cache; 0: 8192 */
    uint32_t mmap_mib;        /* memory-mapped reading; 0: off */
};

NX_MUST_CHECK enum nx_err db_open(struct db **out, const struct db_conf *conf, struct nx_note *why);
/* Finalises all statements; an open transaction is rolled back. NULL is allowed. *db is NULL on return. */
void db_close(struct db **db);
const char *db_path(const struct db *db);

/* --- migrations --- */

/* Steps are applied in order, each in its own transaction, and recorded in the table schema_migrations. */
struct db_migration {
    unsigned version; /* ascending from 1 */
    const char *name;
    const char *sql; /* one or more statements */
};
/* NX_E_UNSUPPORTED when the file was made by a newer program: it is left untouched. */
NX_MUST_CHECK enum nx_err db_migrate(struct db *db, const struct db_migration *steps, size_t n, struct nx_note *why);
/* The newest applied step, 0 for a new file. */
NX_MUST_CHECK enum nx_err db_schema_version(struct db *db, unsigned *version, struct nx_note *why);

/* --- statements --- */

/* Runs one or more statements that take and give nothing. */
NX_MUST_CHECK enum nx_err db_exec(struct db *db, const char *sql, struct nx_note *why);

/* The prepared statement of a literal, reset and without bindings. sql must live as long as the connection. It is
 * borrowed; end with db_reset() (or let db_run() do it), so that no read lock stays behind. */
NX_MUST_CHECK enum nx_err db_prepare(struct db *db, const char *sql, struct db_stmt **out, struct nx_note *why);

/* i counts from 1. Text and blobs are borrowed until db_reset(); a NULL text binds NULL. */
void db_bind_i64(struct db_stmt *st, int i, int64_t v);
void db_bind_double(struct db_stmt *st, int i, double v);
void db_bind_text(struct db_stmt *st, int i, const char *text);
void db_bind_slice(struct db_stmt *st, int i, struct slice text);
void db_bind_blob(struct db_stmt *st, int i, struct slice blob);
void db_bind_null(struct db_stmt *st, int i);

/* The next row; *has_row is false at the end. After an error the statement is reset. */
NX_MUST_CHECK enum nx_err db_step(struct db_stmt *st, bool *has_row, struct nx_note *why);
/* Runs a statement that gives no rows, and resets it. */
NX_MUST_CHECK enum nx_err db_run(struct db_stmt *st, struct nx_note *why);
void db_reset(struct db_stmt *st);

/* Columns of the present row, i counts from 0. Text and blobs are borrowed until the next step. */
int64_t db_col_i64(const struct db_stmt *st, int i);
double db_col_double(const struct db_stmt *st, int i);
const char *db_col_text(const struct db_stmt *st, int i);   /* NULL for NULL */
struct slice db_col_slice(const struct db_stmt *st, int i); /* text or blob; empty for NULL */
bool db_col_is_null(const struct db_stmt *st, int i);
enum db_type { DB_NULL, DB_INT, DB_DOUBLE, DB_TEXT, DB_BLOB };
enum db_type db_col_type(const struct db_stmt *st, int i);

/* Rows changed by the last statement; rowid of the last insert. */
uint64_t db_changes(const struct db *db);
int64_t db_last_id(const struct db *db);

/* --- transactions --- */

/* A writing transaction takes the write lock at once, so that it cannot fail for it half-way. */
enum db_access { DB_READ, DB_WRITE };
NX_MUST_CHECK enum nx_err db_begin(struct db *db, enum db_access access, struct nx_note *why);
/* On an error nothing was stored and the transaction is over. */
NX_MUST_CHECK enum nx_err db_commit(struct db *db, struct nx_note *why);
/* Harmless when there is no transaction. */
void db_rollback(struct db *db);

#endif
