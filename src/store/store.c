#include "store/store.h"

#include "base/mem.h"
#include "store/store_priv.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

struct store {
    char *path;
    pthread_mutex_t lock; /* of the free list: transactions begin on any worker */
    pthread_cond_t freed;
    struct store_tx *idle;
    unsigned open_count;
};

static enum nx_err
store_connect(struct store *store, struct store_tx **out, struct nx_note *why)
{
    struct db *db = NULL;
    enum nx_err err = db_open(&db, &(struct db_conf){.path = store->path, .sync = DB_SYNC_FULL}, why);

    *out = NULL;
    if (err != NX_OK)
        return err;
    *out = mem_alloc(sizeof **out);
    **out = (struct store_tx){.owner = store, .db = db};
    return NX_OK;
}

static enum nx_err
store_prepare_file(struct store *store, struct nx_note *why)
{
    struct store_tx *first = NULL;
    enum nx_err err = store_connect(store, &first, why);

    if (err != NX_OK)
        return err;
    (void)chmod(store->path, 0600);
    store->idle = first;
    store->open_count = 1;
    return db_migrate(first->db, store_migrations, store_migration_count, why);
}

enum nx_err
store_open(struct store **out, const char *dir, struct nx_note *why)
{
    struct store *store = mem_alloc(sizeof *store);
    enum nx_err err;

    *out = NULL;
    store->path = mem_printf("%s/config.db", dir);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->freed, NULL);
    err = store_prepare_file(store, why);
    if (err != NX_OK) {
        store_close(&store);
        return err;
    }
    *out = store;
    return NX_OK;
}

void
store_close(struct store **pstore)
{
    struct store *store = *pstore;

    *pstore = NULL;
    if (!store)
        return;
    while (store->idle) {
        struct store_tx *tx = store->idle;

        store->idle = tx->next;
        db_close(&tx->db);
        free(tx);
    }
    pthread_cond_destroy(&store->freed);
    pthread_mutex_destroy(&store->lock);
    free(store->path);
    free(store);
}

/* A free connection, or NULL when the caller is to open another one (already counted). */
static struct store_tx *
store_take(struct store *store)
{
    struct store_tx *tx;

    pthread_mutex_lock(&store->lock);
    while (!store->idle && store->open_count == STORE_CONNECTIONS)
        pthread_cond_wait(&store->freed, &store->lock);
    tx = store->idle;
    if (tx)
        store->idle = tx->next;
    else
        store->open_count++;
    pthread_mutex_unlock(&store->lock);
    return tx;
}

/* tx NULL: the connection could not be opened. */
static void
store_give(struct store *store, struct store_tx *tx)
{
    pthread_mutex_lock(&store->lock);
    if (tx) {
        tx->next = store->idle;
        store->idle = tx;
    } else {
        store->open_count--;
    }
    pthread_cond_signal(&store->freed);
    pthread_mutex_unlock(&store->lock);
}

enum nx_err
store_begin(struct store *store, enum store_access access, struct store_tx **out, struct nx_note *why)
{
    struct store_tx *tx = store_take(store);
    enum nx_err err = NX_OK;

    *out = NULL;
    if (!tx)
        err = store_connect(store, &tx, why);
    if (err == NX_OK)
        err = db_begin(tx->db, access == STORE_WRITE ? DB_WRITE : DB_READ, why);
    if (err != NX_OK) {
        store_give(store, tx);
        return err;
    }
    *out = tx;
    return NX_OK;
}

enum nx_err
store_commit(struct store_tx **ptx, struct nx_note *why)
{
    struct store_tx *tx = *ptx;
    enum nx_err err = db_commit(tx->db, why);

    *ptx = NULL;
    store_give(tx->owner, tx);
    return err;
}

void
store_rollback(struct store_tx **ptx)
{
    struct store_tx *tx = *ptx;

    *ptx = NULL;
    if (!tx)
        return;
    db_rollback(tx->db);
    store_give(tx->owner, tx);
}

/* --- shared by the other files ------------------------------------------------------------------------------- */

enum nx_err
store_next_version(struct store_tx *tx, uint64_t *version, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, "UPDATE counter SET n = n + 1 RETURNING n", &st, why);

    if (err == NX_OK)
        err = store_one(st, why, "version counter");
    if (err != NX_OK)
        return err;
    *version = (uint64_t)db_col_i64(st, 0);
    return db_run(st, why);
}

const char *
store_col_text(struct arena *a, const struct db_stmt *st, int i)
{
    struct slice s = db_col_slice(st, i);

    return db_col_is_null(st, i) ? NULL : arena_strndup(a, s.p, s.len);
}

const char *
store_like(struct arena *a, const char *text)
{
    char *out = arena_alloc(a, 2 * strlen(text) + 3);
    char *p = out;

    *p++ = '%';
    for (; *text; text++) {
        if (*text == '%' || *text == '_' || *text == '\\')
            *p++ = '\\';
        *p++ = (char)tolower((unsigned char)*text);
    }
    *p = '%';
    return out;
}

enum nx_err
store_one(struct db_stmt *st, struct nx_note *why, const char *what)
{
    bool has_row = false;
    enum nx_err err = db_step(st, &has_row, why);

    if (err != NX_OK || has_row)
        return err;
    db_reset(st);
    return nx_fail(why, NX_E_NOT_FOUND, "no %s", what);
}

enum nx_err
store_count(struct store_tx *tx, struct store_counts *out, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db,
                                 "SELECT (SELECT count(*) FROM devices), (SELECT count(*) FROM tags),"
                                 " (SELECT count(*) FROM users)",
                                 &st, why);

    if (err == NX_OK)
        err = store_one(st, why, "counts");
    if (err != NX_OK)
        return err;
    *out = (struct store_counts){(uint64_t)db_col_i64(st, 0), (uint64_t)db_col_i64(st, 1), (uint64_t)db_col_i64(st, 2)};
    db_reset(st);
    return NX_OK;
}

enum nx_err
store_meta_get(struct store_tx *tx, const char *key, struct arena *a, const char **value, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    bool has_row = false;
    enum nx_err err = db_prepare(tx->db, "SELECT value FROM meta WHERE key = ?", &st, why);

    *value = NULL;
    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, key);
    err = db_step(st, &has_row, why);
    if (err != NX_OK)
        return err;
    if (has_row)
        *value = store_col_text(a, st, 0);
    db_reset(st);
    return NX_OK;
}

enum nx_err
store_meta_set(struct store_tx *tx, const char *key, const char *value, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, "INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, key);
    db_bind_text(st, 2, value);
    return db_run(st, why);
}
