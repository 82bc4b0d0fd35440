/* lite.c -- opening and closing, schema and dictionary of the SQLite historian. */
#include "historian/sqlite/lite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

/* hot.block_id never repeats (AUTOINCREMENT): sealing.through names blocks across restarts. */
static const struct db_migration migrations[] = {
    {1, "series, ledger and hot blocks",
     "CREATE TABLE series(series_id INTEGER PRIMARY KEY, topic TEXT NOT NULL UNIQUE, device_id TEXT, tag_id TEXT,"
     " unit TEXT, data_type INTEGER NOT NULL, created_us INTEGER NOT NULL) STRICT;"
     "CREATE TABLE lane(lane_id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, epoch INTEGER NOT NULL, lane INTEGER NOT "
     "NULL,"
     " batches INTEGER NOT NULL DEFAULT 0, points INTEGER NOT NULL DEFAULT 0, duplicate_batches INTEGER NOT NULL "
     "DEFAULT 0,"
     " gap_points INTEGER NOT NULL DEFAULT 0, updated_us INTEGER NOT NULL DEFAULT 0, UNIQUE(gateway, epoch, lane)) "
     "STRICT;"
     "CREATE TABLE ledger(lane_id INTEGER NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,"
     " PRIMARY KEY(lane_id, from_seq)) STRICT, WITHOUT ROWID;"
     "CREATE TABLE gap(gap_id INTEGER PRIMARY KEY, lane_id INTEGER NOT NULL, from_seq INTEGER NOT NULL,"
     " to_seq INTEGER NOT NULL, points INTEGER NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL,"
     " cause TEXT NOT NULL, stored_us INTEGER NOT NULL) STRICT;"
     "CREATE TABLE hot(block_id INTEGER PRIMARY KEY AUTOINCREMENT, t_min INTEGER NOT NULL, t_max INTEGER NOT NULL,"
     " points INTEGER NOT NULL, stored_us INTEGER NOT NULL, data BLOB NOT NULL) STRICT;"
     "CREATE TABLE sealing(id INTEGER PRIMARY KEY CHECK(id = 1), through INTEGER NOT NULL) STRICT;"
     "CREATE TABLE quarantine(id INTEGER PRIMARY KEY, topic TEXT NOT NULL, time_us INTEGER NOT NULL,"
     " quality INTEGER NOT NULL, value TEXT, reason TEXT NOT NULL, stored_us INTEGER NOT NULL) STRICT;"
     "CREATE TABLE total(id INTEGER PRIMARY KEY CHECK(id = 1), points INTEGER NOT NULL, duplicate_points INTEGER NOT "
     "NULL,"
     " quarantined_points INTEGER NOT NULL) STRICT;"
     "INSERT INTO total VALUES(1, 0, 0, 0)"},
    /* rolled.state: 0 under way up to series `through`, 1 done, 2 done and the raw values are gone. stale: series of
     * such days that values were added to. */
    {2, "rollups, count of hot points",
     "ALTER TABLE total ADD COLUMN hot_points INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE total ADD COLUMN hot_bytes INTEGER NOT NULL DEFAULT 0;"
     "UPDATE total SET hot_points = (SELECT ifnull(sum(points), 0) FROM hot),"
     " hot_bytes = (SELECT ifnull(sum(length(data)), 0) FROM hot);"
     "CREATE TABLE rolled(day INTEGER PRIMARY KEY, state INTEGER NOT NULL, through INTEGER NOT NULL) STRICT;"
     "CREATE TABLE stale(day INTEGER NOT NULL, series_id INTEGER NOT NULL, PRIMARY KEY(day, series_id))"
     " STRICT, WITHOUT ROWID"},
    {3, "damaged blocks",
     "CREATE TABLE damaged(block_id INTEGER PRIMARY KEY, t_min INTEGER NOT NULL, t_max INTEGER NOT NULL,"
     " points INTEGER NOT NULL, stored_us INTEGER NOT NULL, data BLOB NOT NULL) STRICT"},
};

/* --- loading what a writer keeps in memory --- */

static enum nx_err
load_series(struct lite *h, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err = db_prepare(h->db, "SELECT series_id, topic, unit FROM series", &st, why);

    h->next_sid = 1;
    if (err != NX_OK)
        return err;
    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        struct slice topic = db_col_slice(st, 1), unit = db_col_slice(st, 2);
        struct hist_series *s = mem_alloc(sizeof *s + topic.len + 1);

        s->sid = (uint32_t)db_col_i64(st, 0);
        s->unit = mem_strndup(unit.len ? (const char *)unit.p : "", unit.len);
        s->topic_len = topic.len;
        memcpy(s->topic, topic.p, topic.len);
        HASH_ADD_KEYPTR(hh, h->series, s->topic, s->topic_len, s);
        if (s->sid >= h->next_sid)
            h->next_sid = s->sid + 1;
    }
    db_reset(st);
    return err;
}

static enum nx_err
load_ledger(struct lite *h, struct hist_lane *lane, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err = db_prepare(h->db, "SELECT from_seq, to_seq FROM ledger WHERE lane_id = ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, lane->lane_id);
    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row)
        seqset_add(&lane->done, (uint64_t)db_col_i64(st, 0), (uint64_t)db_col_i64(st, 1));
    db_reset(st);
    return err;
}

static enum nx_err
load_lanes(struct lite *h, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err = db_prepare(h->db, "SELECT lane_id, gateway, epoch, lane FROM lane", &st, why);

    h->next_lane_id = 1;
    if (err != NX_OK)
        return err;
    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        struct hist_lane *lane = mem_alloc(sizeof *lane);
        struct slice gateway = db_col_slice(st, 1);

        lane->lane_id = db_col_i64(st, 0);
        lane->key.gateway_len = (uint32_t)(gateway.len < 64 ? gateway.len : 64);
        memcpy(lane->key.gateway, gateway.p, lane->key.gateway_len);
        lane->key.epoch = (uint64_t)db_col_i64(st, 2);
        lane->key.lane = (uint32_t)db_col_i64(st, 3);
        HASH_ADD(hh, h->lanes, key, sizeof lane->key, lane);
        if (lane->lane_id >= h->next_lane_id)
            h->next_lane_id = lane->lane_id + 1;
        if ((err = load_ledger(h, lane, why)) != NX_OK)
            break;
    }
    db_reset(st);
    return err;
}

/* The kernel drops the lock with the process, however it ends. */
static enum nx_err
take_lock(struct lite *h, struct nx_note *why)
{
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/writer.lock", h->dir);
    h->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (h->lock_fd < 0)
        return nx_fail_errno(why, NX_OK, errno, "historian directory %s is not writable", h->dir);
    if (flock(h->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return nx_fail(
            why, NX_E_CONFLICT,
            "historian %s is already being written by another process: stop it, or give this one a directory "
            "of its own (historian.url)",
            h->dir);
    return NX_OK;
}

static enum nx_err
open_writer(struct lite *h, struct nx_note *why)
{
    enum nx_err err;

    if ((err = take_lock(h, why)) != NX_OK ||
        (err = db_migrate(h->db, migrations, MEM_COUNT(migrations), why)) != NX_OK)
        return err;
    if ((err = load_series(h, why)) != NX_OK || (err = load_lanes(h, why)) != NX_OK)
        return err;
    h->scratch = commit_scratch_new();
    return hot_refresh(h, why);
}

/* A writer that does a keeper's work holds the lock for some seconds at most. */
static enum nx_err
open_keeper(struct lite *h, struct nx_note *why)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    bool has = false;
    enum nx_err err = db_migrate(h->db, migrations, MEM_COUNT(migrations), why);

    for (unsigned i = 0; i < 100 && err == NX_OK && !has; i++) {
        if (i > 0)
            (void)nanosleep(&pause, NULL);
        err = keeper_lock(h, &has, why);
    }
    if (err == NX_OK && !has)
        err = nx_fail(why, NX_E_CONFLICT, "historian %s is already kept by another process or thread", h->dir);
    return err == NX_OK ? hot_refresh(h, why) : err;
}

/* The file is there before its tables are. */
static enum nx_err
open_reader(struct lite *h, struct nx_note *why)
{
    unsigned version;
    enum nx_err err = db_schema_version(h->db, &version, why);

    if (err == NX_OK && version == 0)
        err = nx_fail(why, NX_E_NOT_FOUND, "historian %s: nothing was stored yet", h->dir);
    return err;
}

static void
count_rollups(void *arg, enum roll_file kind, int period)
{
    size_t *n = arg;

    (void)kind;
    (void)period;
    ++*n;
}

/* Its numbers of series are those of the chunks: with another dictionary the values would get other names. */
static enum nx_err
check_dictionary(struct lite *h, struct nx_note *why)
{
    struct arena a = {0};
    unsigned version;
    int *days;
    size_t n = 0;
    enum nx_err err = db_schema_version(h->db, &version, why);

    if (err == NX_OK && version == 0)
        err = day_list(h, &a, &days, &n, why);
    if (err == NX_OK && version == 0)
        err = roll_each(h, count_rollups, &n, why);
    arena_free(&a);
    return n > 0 ? nx_fail(why, NX_E_CORRUPT, "it is empty or was removed, but values are there") : err;
}

static enum nx_err
open_role(struct lite *h, struct nx_note *why)
{
    enum nx_err err = check_dictionary(h, why);

    if (err != NX_OK)
        return err;
    if (h->role == HISTORIAN_READER)
        return open_reader(h, why);
    /* Checkpoints are the keeper's; this is the last resort that bounds the log. */
    if ((err = db_exec(h->db, "PRAGMA wal_autocheckpoint=16384", why)) != NX_OK)
        return err;
    return h->role == HISTORIAN_WRITER ? open_writer(h, why) : open_keeper(h, why);
}

static enum nx_err
open_all(struct lite *h, struct nx_note *why)
{
    char path[4096];
    bool is_reader = h->role == HISTORIAN_READER;
    struct db_conf conf = {.path = path, .is_read_only = is_reader, .sync = DB_SYNC_FULL, .cache_kib = 32768};
    enum nx_err err;

    (void)snprintf(path, sizeof path, "%s/hist.db", h->dir);
    if (is_reader && access(path, F_OK) != 0)
        return nx_fail(why, NX_E_NOT_FOUND,
                       "%s does not exist: nothing was stored yet, or historian.url names another place", path);
    if (!is_reader && (err = file_make_dir(h->dir, 0750, why)) != NX_OK)
        return err;
    if ((err = db_open(&h->db, &conf, why)) != NX_OK)
        return err;
    return open_role(h, why);
}

static void
hist_is_damaged(const struct lite *h, const struct nx_note *cause, struct nx_note *why)
{
    (void)nx_fail(why, NX_E_CORRUPT,
                  "%s/hist.db is damaged, and no value has a name without it: put the whole directory back from a "
                  "backup, or move it away to begin anew (docs/formats/historian-sqlite.md, Damage): %s",
                  h->dir, cause->text);
}

static void
lite_close(struct historian *base)
{
    struct lite *h = lite_of(base);
    struct hist_series *s, *next_series;
    struct hist_lane *lane, *next_lane;

    db_close(&h->db);
    if (h->lock_fd >= 0)
        (void)close(h->lock_fd);
    keeper_unlock(h);
    HASH_ITER (hh, h->series, s, next_series) {
        HASH_DEL(h->series, s);
        free(s->unit);
        free(s);
    }
    HASH_ITER (hh, h->lanes, lane, next_lane) {
        HASH_DEL(h->lanes, lane);
        seqset_fini(&lane->done);
        seqset_fini(&lane->pending);
        free(lane);
    }
    commit_scratch_free(&h->scratch);
    free(h->dir);
    free(h);
}

static enum nx_err
lite_open(struct historian **out, const struct historian_conf *conf, struct nx_note *why)
{
    struct nx_note cause = {0};
    struct lite *h;
    enum nx_err err;

    *out = NULL;
    if (!conf->url[strlen(historian_sqlite.scheme)])
        return nx_fail(why, NX_E_CONFIG, "historian.url: sqlite: needs a directory behind it");
    h = mem_alloc(sizeof *h);
    h->base.backend = &historian_sqlite;
    h->dir = mem_strdup(conf->url + strlen(historian_sqlite.scheme));
    h->role = conf->role;
    h->retention_days = conf->retention_days;
    h->rollup_retention_days = conf->rollup_retention_days;
    h->wall_us = conf->wall_us;
    h->lock_fd = h->keeper_fd = -1;
    err = open_all(h, &cause);
    if (err == NX_OK)
        *out = &h->base;
    else if (err == NX_E_CORRUPT)
        hist_is_damaged(h, &cause, why);
    else if (why)
        *why = cause;
    if (err != NX_OK)
        lite_close(&h->base);
    return err;
}

const struct historian_backend historian_sqlite = {
    .scheme = "sqlite:",
    .max_writers = 1,
    .open = lite_open,
    .close = lite_close,
    .commit = lite_commit,
    .is_committed = lite_is_committed,
    .maintain = lite_maintain,
    .seal = lite_seal,
    .ledger = lite_ledger,
    .stats = lite_stats,
    .damaged_files = lite_damaged_files,
    .verify = lite_verify,
    .begin = lite_begin,
    .end = lite_end,
    .find = lite_find,
    .each_series = lite_each_series,
    .scan = lite_scan,
    .before = lite_before,
};
