/* devices.c -- SQL of devices. */
#include "store/store_priv.h"

#define DEVICE_COLUMNS                                                                                                 \
    "id, protocol, name, enabled, settings, version, settings_version, created_us, updated_us,"                        \
    " (SELECT count(*) FROM tags WHERE device_id = d.id)"

static void
device_from_row(struct arena *a, const struct db_stmt *st, struct store_device *out)
{
    *out = (struct store_device){
        .id = store_col_text(a, st, 0),
        .protocol = store_col_text(a, st, 1),
        .name = store_col_text(a, st, 2),
        .is_enabled = db_col_i64(st, 3) != 0,
        .settings = store_col_text(a, st, 4),
        .version = (uint64_t)db_col_i64(st, 5),
        .settings_version = (uint64_t)db_col_i64(st, 6),
        .created_us = db_col_i64(st, 7),
        .updated_us = db_col_i64(st, 8),
        .tag_count = (uint32_t)db_col_i64(st, 9),
    };
}

enum nx_err
store_device_list(struct store_tx *tx, const struct store_device_filter *filter, struct arena *a,
                  struct store_device **rows, size_t *n, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    bool has_row = true;
    enum nx_err err = db_prepare(tx->db,
                                 "SELECT " DEVICE_COLUMNS " FROM devices d WHERE id > ?1"
                                 " AND (?2 IS NULL OR search LIKE ?2 ESCAPE '\\') AND (?3 IS NULL OR protocol = ?3)"
                                 " AND (?4 < 0 OR enabled = ?4) ORDER BY id LIMIT ?5",
                                 &st, why);

    *n = 0;
    *rows = arena_alloc(a, filter->limit * sizeof **rows);
    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, filter->after ? filter->after : "");
    db_bind_text(st, 2, filter->search ? store_like(a, filter->search) : NULL);
    db_bind_text(st, 3, filter->protocol);
    db_bind_i64(st, 4, filter->enabled);
    db_bind_i64(st, 5, filter->limit);
    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row)
        device_from_row(a, st, &(*rows)[(*n)++]);
    db_reset(st);
    return err;
}

enum nx_err
store_device_get(struct store_tx *tx, const char *id, struct arena *a, struct store_device *out, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, "SELECT " DEVICE_COLUMNS " FROM devices d WHERE id = ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, id);
    err = store_one(st, NULL, "device");
    if (err == NX_E_NOT_FOUND)
        return nx_fail(why, NX_E_NOT_FOUND, "there is no device \"%.64s\"", id);
    if (err != NX_OK)
        return nx_fail(why, err, "device \"%.64s\" cannot be read from the store: %s", id, nx_err_text(err));
    device_from_row(a, st, out);
    db_reset(st);
    return NX_OK;
}

/* What ?q= looks at: id, name and the settings text hold description and host. */
static enum nx_err
device_write(struct store_tx *tx, const char *sql, const struct store_device *dev, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, sql, &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, dev->id);
    db_bind_text(st, 2, dev->protocol);
    db_bind_text(st, 3, dev->name);
    db_bind_i64(st, 4, dev->is_enabled);
    db_bind_text(st, 5, dev->settings);
    db_bind_i64(st, 6, (int64_t)dev->version);
    db_bind_i64(st, 7, (int64_t)dev->settings_version);
    db_bind_i64(st, 8, dev->created_us);
    db_bind_i64(st, 9, dev->updated_us);
    return db_run(st, why);
}

#define DEVICE_SEARCH                                                                                                  \
    "lower(?1 || ' ' || coalesce(?3, '') || ' ' || coalesce(?5 ->> '$.description', '') || ' ' ||"                     \
    " coalesce(?5 ->> '$.connection.host', ''))"

enum nx_err
store_device_insert(struct store_tx *tx, struct store_device *dev, int64_t now_us, struct nx_note *why)
{
    enum nx_err err = store_next_version(tx, &dev->version, why);

    if (err != NX_OK)
        return err;
    dev->settings_version = dev->version;
    dev->created_us = dev->updated_us = now_us;
    err = device_write(tx,
                       "INSERT INTO devices(id, protocol, name, enabled, settings, version, settings_version,"
                       " created_us, updated_us, search) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9," DEVICE_SEARCH ")",
                       dev, why);
    if (err == NX_E_CONFLICT)
        return nx_fail(why, err, "there is already a device \"%.64s\": choose another id or change that device",
                       dev->id);
    return err;
}

enum nx_err
store_device_update(struct store_tx *tx, struct store_device *dev, int64_t now_us, struct nx_note *why)
{
    enum nx_err err = store_next_version(tx, &dev->version, why);

    if (err != NX_OK)
        return err;
    dev->settings_version = dev->version;
    dev->updated_us = now_us;
    return device_write(tx,
                        "UPDATE devices SET protocol = ?2, name = ?3, enabled = ?4, settings = ?5, version = ?6,"
                        " settings_version = ?7, created_us = ?8, updated_us = ?9, search = " DEVICE_SEARCH
                        " WHERE id = ?1",
                        dev, why);
}

enum nx_err
store_device_touch(struct store_tx *tx, struct store_device *dev, int64_t now_us, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = store_next_version(tx, &dev->version, why);

    if (err == NX_OK)
        err = db_prepare(tx->db, "UPDATE devices SET version = ?2, updated_us = ?3 WHERE id = ?1", &st, why);
    if (err != NX_OK)
        return err;
    dev->updated_us = now_us;
    db_bind_text(st, 1, dev->id);
    db_bind_i64(st, 2, (int64_t)dev->version);
    db_bind_i64(st, 3, now_us);
    return db_run(st, why);
}

enum nx_err
store_device_delete(struct store_tx *tx, const char *id, uint64_t *version, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = store_next_version(tx, version, why);

    if (err == NX_OK)
        err = db_prepare(tx->db, "DELETE FROM devices WHERE id = ?", &st, why);
    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, id);
    err = db_run(st, why);
    if (err == NX_OK && db_changes(tx->db) == 0)
        return nx_fail(why, NX_E_NOT_FOUND, "there is no device \"%.64s\"", id);
    return err;
}
