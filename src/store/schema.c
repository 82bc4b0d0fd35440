/* schema.c -- tables of the configuration store, step by step. A step that has been released never changes. */
#include "base/mem.h"
#include "store/store_priv.h"

static const char first[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE counter(one INTEGER PRIMARY KEY CHECK(one = 1), n INTEGER NOT NULL) STRICT;"
    "INSERT INTO counter VALUES(1, 0);"
    "CREATE TABLE devices(id TEXT PRIMARY KEY, protocol TEXT NOT NULL, name TEXT, enabled INTEGER NOT NULL,"
    " settings TEXT NOT NULL, search TEXT NOT NULL, version INTEGER NOT NULL,"
    " settings_version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE tags(device_id TEXT NOT NULL REFERENCES devices(id) ON DELETE CASCADE, id TEXT NOT NULL,"
    " topic TEXT NOT NULL, data_type TEXT NOT NULL, unit TEXT,"
    " settings TEXT NOT NULL, search TEXT NOT NULL, version INTEGER NOT NULL,"
    " PRIMARY KEY(device_id, id)) STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX tags_topic ON tags(topic);"
    "CREATE TABLE users(id INTEGER PRIMARY KEY, username TEXT NOT NULL COLLATE NOCASE UNIQUE, role INTEGER NOT NULL,"
    " password_hash TEXT NOT NULL, created_us INTEGER NOT NULL) STRICT;"
    "CREATE TABLE sessions(digest TEXT PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,"
    " created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL, last_seen_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE refresh_tokens(digest TEXT PRIMARY KEY, chain TEXT NOT NULL, session_digest TEXT NOT NULL,"
    " user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, expires_us INTEGER NOT NULL,"
    " used INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;"
    "CREATE INDEX refresh_chain ON refresh_tokens(chain);"
    "CREATE INDEX refresh_session ON refresh_tokens(session_digest);";

const struct db_migration store_migrations[] = {
    {1, "devices, tags, users", first},
};
const size_t store_migration_count = MEM_COUNT(store_migrations);
