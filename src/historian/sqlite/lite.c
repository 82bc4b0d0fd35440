/* lite.c -- opening and closing, schema, days and dictionary of the SQLite historian. */
#include "historian/sqlite/lite.h"

#include <dirent.h>
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
};

/* sealed_through: the sealing that this file already holds, so that one that was cut short is not counted twice. */
static const struct db_migration day_migrations[] = {
    {1, "chunks",
     "CREATE TABLE chunk(series_id INTEGER NOT NULL, t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, n INTEGER NOT NULL,"
     " n_bad INTEGER NOT NULL, v_min REAL, v_max REAL, v_sum REAL, data BLOB NOT NULL, PRIMARY KEY(series_id, t0))"
     " STRICT, WITHOUT ROWID;"
     "CREATE TABLE day(id INTEGER PRIMARY KEY CHECK(id = 1), points INTEGER NOT NULL, t_min INTEGER, t_max INTEGER,"
     " sealed_through INTEGER NOT NULL) STRICT;"
     "INSERT INTO day VALUES(1, 0, NULL, NULL, 0)"},
};

/* --- days --- */

int
day_of(int64_t time_us)
{
    return (int)(time_us / DAY_US - (time_us % DAY_US < 0));
}

char *
day_path(const struct lite *h, int day, char *path, size_t cap)
{
    time_t t = (time_t)day * 86400;
    struct tm tm;

    (void)gmtime_r(&t, &tm);
    (void)snprintf(path, cap, "%s/hist-%04d%02d%02d.db", h->dir, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    return path;
}

enum nx_err
day_open(const struct lite *h, int day, bool is_read_only, struct db **out, struct nx_note *why)
{
    char path[4096];
    struct db_conf conf = {.path = day_path(h, day, path, sizeof path),
                           .is_read_only = is_read_only,
                           .sync = DB_SYNC_FULL,
                           .cache_kib = 16384};
    enum nx_err err;

    *out = NULL;
    if (is_read_only && access(path, F_OK) != 0)
        return nx_fail(why, NX_E_NOT_FOUND, "%s is gone", path);
    err = db_open(out, &conf, why);
    if (err == NX_OK && !is_read_only)
        err = db_migrate(*out, day_migrations, MEM_COUNT(day_migrations), why);
    if (err != NX_OK)
        db_close(out);
    return err;
}

/* "hist-20261123.db" */
static bool
day_parse(const char *name, int *day)
{
    struct tm tm = {0};
    int used = 0;

    if (sscanf(name, "hist-%4d%2d%2d.db%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &used) != 3 || used != 16 ||
        name[used])
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *day = (int)(timegm(&tm) / 86400);
    return true;
}

static int
compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

enum nx_err
day_list(const struct lite *h, struct arena *a, int **days, size_t *n, struct nx_note *why)
{
    size_t cap = 0;
    DIR *dir = opendir(h->dir);

    *days = NULL;
    *n = 0;
    if (!dir)
        return nx_fail_errno(why, NX_OK, errno, "historian directory %s cannot be listed", h->dir);
    for (struct dirent *e; (e = readdir(dir));) {
        int day;

        if (!day_parse(e->d_name, &day))
            continue;
        if (*n == cap) {
            int *grown = arena_alloc(a, (cap = cap ? cap * 2 : 64) * sizeof *grown);

            if (*n > 0)
                memcpy(grown, *days, *n * sizeof *grown);
            *days = grown;
        }
        (*days)[(*n)++] = day;
    }
    (void)closedir(dir);
    if (*n > 0)
        qsort(*days, *n, sizeof **days, compare_ints);
    return NX_OK;
}

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

static enum nx_err
load_hot(struct lite *h, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err =
        db_prepare(h->db,
                   "SELECT ifnull(sum(points), 0), ifnull(sum(length(data)), 0), ifnull(min(stored_us), 0) FROM hot",
                   &st, why);

    if (err != NX_OK || (err = db_step(st, &has_row, why)) != NX_OK)
        return err;
    h->hot_points = (uint64_t)db_col_i64(st, 0);
    h->hot_bytes = (uint64_t)db_col_i64(st, 1);
    h->hot_since_us = db_col_i64(st, 2);
    db_reset(st);
    return NX_OK;
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
    return load_hot(h, why);
}

static enum nx_err
open_all(struct lite *h, struct nx_note *why)
{
    char path[4096];
    struct db_conf conf = {.path = path, .is_read_only = h->is_read_only, .sync = DB_SYNC_FULL, .cache_kib = 32768};
    enum nx_err err;

    (void)snprintf(path, sizeof path, "%s/hist.db", h->dir);
    if (h->is_read_only && access(path, F_OK) != 0)
        return nx_fail(why, NX_E_NOT_FOUND,
                       "%s does not exist: nothing was stored yet, or historian.url names another place", path);
    if (!h->is_read_only && (err = file_make_dir(h->dir, 0750, why)) != NX_OK)
        return err;
    if ((err = db_open(&h->db, &conf, why)) != NX_OK)
        return err;
    return h->is_read_only ? NX_OK : open_writer(h, why);
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
    struct lite *h;
    enum nx_err err;

    *out = NULL;
    if (!conf->url[strlen(historian_sqlite.scheme)])
        return nx_fail(why, NX_E_CONFIG, "historian.url: sqlite: needs a directory behind it");
    h = mem_alloc(sizeof *h);
    h->base.backend = &historian_sqlite;
    h->dir = mem_strdup(conf->url + strlen(historian_sqlite.scheme));
    h->is_read_only = conf->role == HISTORIAN_READER;
    h->retention_days = conf->retention_days;
    h->wall_us = conf->wall_us;
    h->lock_fd = -1;
    if ((err = open_all(h, why)) != NX_OK)
        lite_close(&h->base);
    else
        *out = &h->base;
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
    .begin = lite_begin,
    .end = lite_end,
    .find = lite_find,
    .each_series = lite_each_series,
    .scan = lite_scan,
    .before = lite_before,
};
