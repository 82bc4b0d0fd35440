/* migrate.c -- brings a database file to the schema that the program expects. */
#include "db/db.h"

static const char migrations_table[] = "CREATE TABLE IF NOT EXISTS schema_migrations("
                                       "version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
                                       " applied TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ','now')))";

enum nx_err
db_schema_version(struct db *db, unsigned *version, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    bool has_row = false;
    enum nx_err err;

    *version = 0;
    err = db_prepare(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'", &st, why);
    if (err == NX_OK)
        err = db_step(st, &has_row, why);
    if (err != NX_OK)
        return err;
    has_row = has_row && db_col_i64(st, 0) > 0;
    db_reset(st);
    if (!has_row)
        return NX_OK;
    err = db_prepare(db, "SELECT coalesce(max(version), 0) FROM schema_migrations", &st, why);
    if (err == NX_OK)
        err = db_step(st, &has_row, why);
    if (err != NX_OK)
        return err;
    *version = (unsigned)db_col_i64(st, 0);
    db_reset(st);
    return NX_OK;
}

static enum nx_err
migrate_record(struct db *db, const struct db_migration *step, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(db, "INSERT INTO schema_migrations(version, name) VALUES(?, ?)", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, step->version);
    db_bind_text(st, 2, step->name);
    return db_run(st, why);
}

/* Another process may have taken the same step while we waited for the lock, so the version is read again inside. */
static enum nx_err
migrate_step(struct db *db, const struct db_migration *step, struct nx_note *why)
{
    unsigned version = 0;
    enum nx_err err = db_begin(db, DB_WRITE, why);

    if (err != NX_OK)
        return err;
    err = db_exec(db, migrations_table, why);
    if (err == NX_OK)
        err = db_schema_version(db, &version, why);
    if (err == NX_OK && version < step->version) {
        err = db_exec(db, step->sql, why);
        if (err == NX_OK)
            err = migrate_record(db, step, why);
    }
    if (err == NX_OK)
        return db_commit(db, why);
    db_rollback(db);
    return err;
}

enum nx_err
db_migrate(struct db *db, const struct db_migration *steps, size_t n, struct nx_note *why)
{
    unsigned version = 0;
    enum nx_err err = db_schema_version(db, &version, why);

    if (err != NX_OK)
        return err;
    if (version > (n ? steps[n - 1].version : 0))
        return nx_fail(why, NX_E_UNSUPPORTED,
                       "database %s has schema %u, but this program knows only up to %u: it was used by a newer"
                       " version; install that version again or restore a backup made before the upgrade",
                       db_path(db), version, n ? steps[n - 1].version : 0);
    for (size_t i = 0; i < n && err == NX_OK; i++) {
        if (steps[i].version > version)
            err = migrate_step(db, &steps[i], why);
    }
    return err;
}
