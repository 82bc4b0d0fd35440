/* tags.c -- SQL of tags. */
#include "base/mem.h"
#include "store/store_priv.h"

#include <stdlib.h>

#define TAG_COLUMNS "device_id, id, topic, data_type, unit, settings, version"

static void
tag_from_row(struct arena *a, const struct db_stmt *st, struct store_tag *out)
{
    *out = (struct store_tag){
        .device_id = store_col_text(a, st, 0),
        .id = store_col_text(a, st, 1),
        .topic = store_col_text(a, st, 2),
        .data_type = store_col_text(a, st, 3),
        .unit = store_col_text(a, st, 4),
        .settings = store_col_text(a, st, 5),
        .version = (uint64_t)db_col_i64(st, 6),
    };
}

static const char *
tag_list_sql(const struct store_tag_filter *filter)
{
    /* Two statements, because one with "?1 IS NULL OR" would not use the primary key. */
    return filter->device_id ? "SELECT " TAG_COLUMNS " FROM tags WHERE device_id = ?1 AND id > ?3"
                               " AND (?4 IS NULL OR search LIKE ?4 ESCAPE '\\') ORDER BY id LIMIT ?5"
                             : "SELECT " TAG_COLUMNS " FROM tags WHERE (device_id, id) > (?2, ?3)"
                               " AND (?4 IS NULL OR search LIKE ?4 ESCAPE '\\') ORDER BY device_id, id LIMIT ?5";
}

/* Rows arrive without a known number, so they grow on the heap and move into the arena at the end. */
static enum nx_err
tag_collect(struct db_stmt *st, struct arena *a, struct store_tag **rows, size_t *n, struct nx_note *why)
{
    struct store_tag *grown = NULL;
    size_t cap = 0;
    bool has_row = true;
    enum nx_err err;

    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        if (*n == cap) {
            cap = cap ? cap * 2 : 64;
            grown = mem_realloc(grown, cap * sizeof *grown);
        }
        tag_from_row(a, st, &grown[(*n)++]);
    }
    *rows = arena_alloc(a, *n * sizeof **rows + 1);
    if (*n > 0)
        memcpy(*rows, grown, *n * sizeof **rows);
    free(grown);
    return err;
}

enum nx_err
store_tag_list(struct store_tx *tx, const struct store_tag_filter *filter, struct arena *a, struct store_tag **rows,
               size_t *n, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, tag_list_sql(filter), &st, why);

    *n = 0;
    *rows = NULL;
    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, filter->device_id);
    if (!filter->device_id)
        db_bind_text(st, 2, filter->after_device ? filter->after_device : "");
    db_bind_text(st, 3, filter->after_id ? filter->after_id : "");
    db_bind_text(st, 4, filter->search ? store_like(a, filter->search) : NULL);
    db_bind_i64(st, 5, filter->limit ? (int64_t)filter->limit : -1);
    err = tag_collect(st, a, rows, n, why);
    db_reset(st);
    return err;
}

enum nx_err
store_tag_get(struct store_tx *tx, const char *device_id, const char *id, struct arena *a, struct store_tag *out,
              struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, "SELECT " TAG_COLUMNS " FROM tags WHERE device_id = ? AND id = ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, device_id);
    db_bind_text(st, 2, id);
    err = store_one(st, why, "tag");
    if (err == NX_E_NOT_FOUND)
        return nx_fail(why, err, "device \"%.64s\" has no tag \"%.64s\"", device_id, id);
    if (err != NX_OK)
        return err;
    tag_from_row(a, st, out);
    db_reset(st);
    return NX_OK;
}

static enum nx_err
tag_topic_conflict(struct store_tx *tx, const struct store_tag *tag, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    bool has_row = false;

    if (db_prepare(tx->db, "SELECT device_id, id FROM tags WHERE topic = ?", &st, NULL) == NX_OK) {
        db_bind_text(st, 1, tag->topic);
        if (db_step(st, &has_row, NULL) == NX_OK && has_row)
            (void)nx_fail(why, NX_E_CONFLICT,
                          "topic \"%.120s\" belongs already to tag \"%.64s\" of device \"%.64s\": change uns_prefix or"
                          " topic_suffix",
                          tag->topic, db_col_text(st, 1), db_col_text(st, 0));
        db_reset(st);
    }
    return NX_E_CONFLICT;
}

#define TAG_SEARCH                                                                                                     \
    "lower(?2 || ' ' || coalesce(?6 ->> '$.name', '') || ' ' || coalesce(?6 ->> '$.description', '') || ' ' ||"        \
    " coalesce(?6 ->> '$.address', '') || ' ' || ?3 || ' ' || coalesce(?5, '') || ' ' || ?1)"

enum nx_err
store_tag_put(struct store_tx *tx, struct store_tag *tag, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = store_next_version(tx, &tag->version, why);

    if (err == NX_OK)
        err = db_prepare(tx->db,
                         "INSERT INTO tags(" TAG_COLUMNS ", search)"
                         " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, " TAG_SEARCH ")"
                         " ON CONFLICT(device_id, id) DO UPDATE SET topic = excluded.topic,"
                         " data_type = excluded.data_type, unit = excluded.unit, settings = excluded.settings,"
                         " version = excluded.version, search = excluded.search",
                         &st, why);
    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, tag->device_id);
    db_bind_text(st, 2, tag->id);
    db_bind_text(st, 3, tag->topic);
    db_bind_text(st, 4, tag->data_type);
    db_bind_text(st, 5, tag->unit);
    db_bind_text(st, 6, tag->settings);
    db_bind_i64(st, 7, (int64_t)tag->version);
    err = db_run(st, why);
    return err == NX_E_CONFLICT ? tag_topic_conflict(tx, tag, why) : err;
}

enum nx_err
store_tag_delete(struct store_tx *tx, const char *device_id, const char *id, struct nx_note *why)
{
    struct db_stmt *st = NULL;
    enum nx_err err = db_prepare(tx->db, "DELETE FROM tags WHERE device_id = ? AND id = ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, device_id);
    db_bind_text(st, 2, id);
    err = db_run(st, why);
    if (err == NX_OK && db_changes(tx->db) == 0)
        return nx_fail(why, NX_E_NOT_FOUND, "device \"%.64s\" has no tag \"%.64s\"", device_id, id);
    return err;
}
