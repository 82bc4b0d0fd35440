/* keep.c -- upkeep of the SQLite historian: what is due, and whose turn it is.
 *
 * A keeper does it beside the writer, with a connection of its own; where there is none, the writer does it between
 * commits. Either way only under keeper.lock: sealing and rolling up have one hand at a time. */
#include "historian/sqlite/lite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define HOT_MAX_AGE_US      (900 * INT64_C(1000000))
#define HOT_MIN_POINTS      20000u
#define HOT_MAX_POINTS      1000000u
#define HOT_MAX_BYTES       (64u << 20)
#define POINTS_PER_CHUNK    120u /* aimed at when a full set of series is sealed */
#define EXPIRE_EVERY_US     (60 * INT64_C(1000000))
#define CHECKPOINT_EVERY_US (1 * INT64_C(1000000))
#define KEEPER_ROLL_POINTS  10000000u /* a second or so */
#define WRITER_ROLL_POINTS  1000000u  /* commits wait for it */

/* --- the lock --- */

/* The kernel drops it with the process, however that ends. */
enum nx_err
keeper_lock(struct lite *h, bool *has, struct nx_note *why)
{
    char path[4096];

    *has = h->keeper_fd >= 0;
    if (*has)
        return NX_OK;
    (void)snprintf(path, sizeof path, "%s/keeper.lock", h->dir);
    h->keeper_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (h->keeper_fd < 0)
        return nx_fail_errno(why, NX_OK, errno, "historian directory %s is not writable", h->dir);
    *has = flock(h->keeper_fd, LOCK_EX | LOCK_NB) == 0;
    if (!*has)
        keeper_unlock(h);
    return NX_OK;
}

void
keeper_unlock(struct lite *h)
{
    if (h->keeper_fd >= 0)
        (void)close(h->keeper_fd);
    h->keeper_fd = -1;
}

/* --- what is due --- */

enum nx_err
hot_refresh(struct lite *h, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(h->db,
                                 "SELECT hot_points, hot_bytes,"
                                 " ifnull((SELECT stored_us FROM hot ORDER BY block_id LIMIT 1), 0) FROM total",
                                 &st, why);

    if (err != NX_OK)
        return err;
    if ((err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        h->hot_points = (uint64_t)db_col_i64(st, 0);
        h->hot_bytes = (uint64_t)db_col_i64(st, 1);
        h->hot_since_us = db_col_i64(st, 2);
    }
    db_reset(st);
    return err;
}

static enum nx_err
count_series(struct lite *h, uint64_t *n, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err;

    *n = HASH_COUNT(h->series);
    if (h->role == HISTORIAN_WRITER)
        return NX_OK;
    err = db_prepare(h->db, "SELECT ifnull(max(series_id), 0) FROM series", &st, why);
    if (err != NX_OK)
        return err;
    if ((err = db_step(st, &has_row, why)) == NX_OK && has_row)
        *n = (uint64_t)db_col_i64(st, 0);
    db_reset(st);
    return err;
}

static enum nx_err
is_sealing_due(struct lite *h, int64_t now_us, bool *is_due, struct nx_note *why)
{
    uint64_t enough;
    enum nx_err err = count_series(h, &enough, why);

    *is_due = false;
    if (err != NX_OK)
        return err;
    enough *= POINTS_PER_CHUNK;
    if (enough < HOT_MIN_POINTS)
        enough = HOT_MIN_POINTS;
    if (enough > HOT_MAX_POINTS)
        enough = HOT_MAX_POINTS;
    *is_due = h->hot_points >= enough || h->hot_bytes >= HOT_MAX_BYTES ||
              (h->hot_points > 0 && now_us - h->hot_since_us >= HOT_MAX_AGE_US);
    return NX_OK;
}

/* Also after the clock was set back. */
static bool
is_time(int64_t *at_us, int64_t now_us, int64_t every_us)
{
    if (now_us - *at_us < every_us && now_us >= *at_us)
        return false;
    *at_us = now_us;
    return true;
}

/* --- the retention --- */

struct minutes {
    const struct lite *h;
    int oldest; /* day */
};

static void
expire_month(void *arg, enum roll_file kind, int period)
{
    const struct minutes *m = arg;
    char path[4096];

    if (kind == ROLL_MONTH && roll_first_day(kind, period + 1) <= m->oldest)
        db_remove(roll_path(m->h, kind, period, path, sizeof path));
}

static enum nx_err
expire(struct lite *h, int64_t now_us, bool drops_unrolled, struct nx_note *why)
{
    struct minutes m = {h, day_of(now_us - h->rollup_retention_days * DAY_US)};
    enum nx_err err = NX_OK;

    if (h->retention_days > 0)
        err = roll_expire(h, day_of(now_us - h->retention_days * DAY_US), drops_unrolled, why);
    if (err == NX_OK && h->rollup_retention_days > 0)
        err = roll_each(h, expire_month, &m, why);
    return err;
}

/* --- a step --- */

static int64_t
monotonic_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Writes to the database file what commits left in the log, so that they need not. */
static enum nx_err
checkpoint(struct lite *h, struct nx_note *why)
{
    return db_exec(h->db, "PRAGMA wal_checkpoint(PASSIVE)", why);
}

static enum nx_err
first_of(enum nx_err err, enum nx_err later)
{
    return err != NX_OK ? err : later;
}

static enum nx_err
step(struct lite *h, int64_t now_us, struct nx_note *why)
{
    bool is_due = false, is_done = false;
    uint64_t points = h->role == HISTORIAN_KEEPER ? KEEPER_ROLL_POINTS : WRITER_ROLL_POINTS;
    enum nx_err err = is_sealing_due(h, now_us, &is_due, why);

    if (err == NX_OK && is_due)
        err = seal_once(h, why);
    else if (err == NX_OK)
        err = roll_some(h, now_us, points, false, &is_done, why);
    /* What failed holds up nothing else. Values without rollups go when nothing more can be rolled up, or when that
     * needs the room that they take. */
    if (is_time(&h->at.expired_us, now_us, EXPIRE_EVERY_US))
        err = first_of(err, expire(h, now_us, is_done || err == NX_E_DISK_FULL, err == NX_OK ? why : NULL));
    if (is_time(&h->at.checkpoint_us, monotonic_us(), CHECKPOINT_EVERY_US))
        err = first_of(err, checkpoint(h, err == NX_OK ? why : NULL));
    return err;
}

enum nx_err
lite_maintain(struct historian *base, struct nx_note *why)
{
    struct lite *h = lite_of(base);
    bool has = false;
    enum nx_err err = keeper_lock(h, &has, why);

    if (err != NX_OK || !has)
        return err;
    if (h->role == HISTORIAN_KEEPER)
        err = hot_refresh(h, why);
    if (err == NX_OK)
        err = step(h, h->wall_us(), why);
    if (h->role == HISTORIAN_WRITER)
        keeper_unlock(h);
    return err;
}

static enum nx_err
seal_all(struct lite *h, struct nx_note *why)
{
    bool is_done = false;
    enum nx_err err = hot_refresh(h, why);

    while (err == NX_OK && h->hot_points > 0)
        err = seal_once(h, why);
    while (err == NX_OK && !is_done)
        err = roll_some(h, h->wall_us(), KEEPER_ROLL_POINTS, true, &is_done, why);
    return err == NX_OK ? checkpoint(h, why) : err;
}

enum nx_err
lite_seal(struct historian *base, struct nx_note *why)
{
    struct lite *h = lite_of(base);
    bool has = false;
    enum nx_err err = keeper_lock(h, &has, why);

    if (err != NX_OK)
        return err;
    if (!has)
        return nx_fail(why, NX_E_BUSY, "historian %s is kept by another process or thread: it seals", h->dir);
    err = seal_all(h, why);
    if (h->role == HISTORIAN_WRITER)
        keeper_unlock(h);
    return err;
}
