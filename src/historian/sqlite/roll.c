/* roll.c -- from the chunks of a day that is over to its minutes, hours and day, once for each series.
 *
 * Rollups are made anew from all points, never added to, so doing it twice does no harm. They are written first, then
 * hist.db says that they hold (rolled, stale); a sealing into such a day says the contrary first, then adds its
 * chunks. A reader goes by hist.db as it was when it began, and takes points wherever it is not told that rollups
 * hold. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "historian/rollup.h"
#include "historian/sqlite/lite.h"
#include "historian/sqlite/rollset.h"
#include "historian/sqlite/run.h"

#define STEP_SERIES 1000u

struct level {
    struct roller roller;
    struct history_rollup r[ROLLSET_MAX];
    size_t n;
    bool needs_points; /* a text, a sum beyond doubles, or values that cannot be read */
};

struct roll {
    struct lite *h;
    struct nx_note *why;
    int day;
    struct db *values, *month, *year; /* month: NULL when its retention is over */
    struct point *chunk;
    struct level *levels; /* minute, hour, day */
    struct wbuf data[3];
    uint64_t points; /* read so far */
    unsigned series;
    int64_t last_sid;
    bool keeps_old;        /* of the series at hand: what was rolled up before stays */
    struct nx_note damage; /* the first such series; err 0: none */
};

/* --- one series --- */

static void
take(void *arg, const struct history_rollup *r, bool has_text)
{
    struct level *l = arg;

    if (has_text || !isfinite(r->sum) || !isfinite(r->area) || l->n == ROLLSET_MAX)
        l->needs_points = true;
    else
        l->r[l->n++] = *r;
}

static void
begin_levels(struct roll *x)
{
    for (int i = 0; i < 3; i++) {
        struct level *l = &x->levels[i];

        l->roller = roller_init((enum history_level)(HISTORY_LEVEL_MINUTE + i), take, l);
        l->n = 0;
        l->needs_points = false;
    }
}

static void
end_levels(struct roll *x)
{
    for (int i = 0; i < 3; i++) {
        struct level *l = &x->levels[i];

        roller_end(&l->roller);
        wbuf_reset(&x->data[i]);
        if (!l->needs_points && l->n > 0)
            rollset_encode(&x->data[i], l->r, l->n, (enum history_level)(HISTORY_LEVEL_MINUTE + i));
    }
}

static enum nx_err
read_points(struct roll *x, int64_t sid)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err = db_prepare(x->values, "SELECT n, data FROM chunk WHERE series_id = ? ORDER BY t0", &st, x->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, sid);
    while ((err = db_step(st, &has_row, x->why)) == NX_OK && has_row) {
        size_t n = (size_t)db_col_i64(st, 0);

        if (n < 1 || n > RUN_MAX_POINTS || run_decode(db_col_slice(st, 1), x->chunk, n) != NX_OK) {
            err = nx_fail(x->why, NX_E_CORRUPT, "%s: a chunk of series %lld is damaged", db_path(x->values),
                          (long long)sid);
            break;
        }
        for (size_t i = 0; i < n; i++)
            for (int k = 0; k < 3; k++)
                roller_add(&x->levels[k].roller, &x->chunk[i]);
        x->points += n;
    }
    db_reset(st);
    return err;
}

static void
bind_data(struct db_stmt *st, int i, const struct wbuf *data)
{
    if (data->len > 0)
        db_bind_blob(st, i, wbuf_slice_of(data));
    else
        db_bind_null(st, i);
}

static enum nx_err
write_minutes(struct roll *x, int64_t sid)
{
    struct db_stmt *st;
    enum nx_err err;

    if (!x->month)
        return NX_OK;
    err = db_prepare(x->month,
                     x->keeps_old ? "INSERT OR IGNORE INTO minute VALUES(?, ?, ?)"
                                  : "INSERT OR REPLACE INTO minute VALUES(?, ?, ?)",
                     &st, x->why);
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, sid);
    db_bind_i64(st, 2, x->day);
    bind_data(st, 3, &x->data[0]);
    return db_run(st, x->why);
}

static enum nx_err
write_hours(struct roll *x, int64_t sid)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(x->year,
                                 x->keeps_old ? "INSERT OR IGNORE INTO hour VALUES(?, ?, ?, ?)"
                                              : "INSERT OR REPLACE INTO hour VALUES(?, ?, ?, ?)",
                                 &st, x->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, sid);
    db_bind_i64(st, 2, x->day);
    bind_data(st, 3, &x->data[1]);
    bind_data(st, 4, &x->data[2]);
    return db_run(st, x->why);
}

/* Is more rolled up of the series and day than there is now? Values of a day get fewer only by damage: what was rolled
 * up of them is all there is, and stays. */
static enum nx_err
had_more(struct roll *x, int64_t sid, uint64_t points, bool *had)
{
    struct history_rollup *old = x->levels[0].r; /* encoded already */
    struct db_stmt *st;
    bool has_row = false;
    size_t n = 0;
    enum nx_err err = db_prepare(x->year, "SELECT days FROM hour WHERE series_id = ? AND day = ?", &st, x->why);

    *had = false;
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, sid);
    db_bind_i64(st, 2, x->day);
    if ((err = db_step(st, &has_row, x->why)) == NX_OK && has_row && !db_col_is_null(st, 0))
        *had = rollset_decode(db_col_slice(st, 0), HISTORY_LEVEL_DAY, old, &n) == NX_OK && n == 1 &&
               (uint64_t)old->n + old->n_bad > points;
    db_reset(st);
    return err;
}

/* It holds up no other: readers take its points, and are told of the damage. */
static void
pass_over(struct roll *x)
{
    if (x->damage.err == NX_OK) {
        x->damage = *x->why;
        x->damage.err = NX_E_CORRUPT;
    }
    for (int i = 0; i < 3; i++)
        x->levels[i].needs_points = true;
}

static enum nx_err
roll_series(struct roll *x, int64_t sid)
{
    uint64_t before = x->points;
    enum nx_err err;

    begin_levels(x);
    err = read_points(x, sid);
    x->keeps_old = err == NX_E_CORRUPT;
    if (x->keeps_old) {
        pass_over(x);
        err = NX_OK;
    }
    end_levels(x);
    if (err == NX_OK && !x->keeps_old)
        err = had_more(x, sid, x->points - before, &x->keeps_old);
    if (err == NX_OK)
        err = write_minutes(x, sid);
    if (err == NX_OK)
        err = write_hours(x, sid);
    x->last_sid = sid;
    x->series++;
    return err;
}

/* --- the files of one day --- */

static enum nx_err
roll_begin(struct roll *x, int64_t now_us)
{
    const struct lite *h = x->h;
    int month = roll_period(ROLL_MONTH, x->day), year = roll_period(ROLL_YEAR, x->day);
    bool has_month = roll_keeps_minutes(h, month, now_us);
    enum nx_err err = day_open(h, x->day, false, &x->values, x->why);

    x->chunk = mem_calloc(RUN_MAX_POINTS, sizeof *x->chunk);
    x->levels = mem_calloc(3, sizeof *x->levels);
    if (err == NX_OK && has_month)
        err = roll_open(h, ROLL_MONTH, month, false, &x->month, x->why);
    if (err == NX_OK)
        err = roll_open(h, ROLL_YEAR, year, false, &x->year, x->why);
    if (err == NX_OK && x->month)
        err = db_begin(x->month, DB_WRITE, x->why);
    return err == NX_OK ? db_begin(x->year, DB_WRITE, x->why) : err;
}

static enum nx_err
roll_commit(struct roll *x)
{
    enum nx_err err = x->month ? db_commit(x->month, x->why) : NX_OK;

    return err == NX_OK ? db_commit(x->year, x->why) : err;
}

static void
roll_fini(struct roll *x)
{
    db_close(&x->values);
    db_close(&x->month);
    db_close(&x->year);
    free(x->chunk);
    free(x->levels);
    for (int i = 0; i < 3; i++)
        wbuf_free(&x->data[i]);
}

static enum nx_err
complete_day(struct roll *x, struct db *db)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(db, "INSERT OR IGNORE INTO day VALUES(?)", &st, x->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, x->day);
    return db_run(st, x->why);
}

/* --- a day that is new --- */

static enum nx_err
next_series(struct roll *x, int64_t *sid)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(x->values, "SELECT min(series_id) FROM chunk WHERE series_id > ?", &st, x->why);

    *sid = 0;
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, x->last_sid);
    if ((err = db_step(st, &has_row, x->why)) == NX_OK && has_row)
        *sid = db_col_i64(st, 0);
    db_reset(st);
    return err;
}

static enum nx_err
write_rolled(struct roll *x, bool is_over)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(x->h->db, "INSERT OR REPLACE INTO rolled VALUES(?, ?, ?)", &st, x->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, x->day);
    db_bind_i64(st, 2, is_over);
    db_bind_i64(st, 3, x->last_sid);
    return db_run(st, x->why);
}

/* Goes on behind last_sid. */
static enum nx_err
roll_new(struct roll *x, int64_t now_us, uint64_t points)
{
    int64_t sid = 1;
    enum nx_err err = write_rolled(x, false); /* from here on late values are marked */

    if (err == NX_OK)
        err = roll_begin(x, now_us);
    while (err == NX_OK && x->points < points && x->series < STEP_SERIES)
        if ((err = next_series(x, &sid)) != NX_OK || sid == 0 || (err = roll_series(x, sid)) != NX_OK)
            break;
    if (err == NX_OK && sid == 0 && x->month)
        err = complete_day(x, x->month);
    if (err == NX_OK && sid == 0)
        err = complete_day(x, x->year);
    if (err == NX_OK)
        err = roll_commit(x);
    return err == NX_OK ? write_rolled(x, sid == 0) : err;
}

/* --- series that got late values --- */

static enum nx_err
next_stale(struct roll *x, int64_t *sid)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err =
        db_prepare(x->h->db, "SELECT min(series_id) FROM stale WHERE day = ? AND series_id > ?", &st, x->why);

    *sid = 0;
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, x->day);
    db_bind_i64(st, 2, x->last_sid);
    if ((err = db_step(st, &has_row, x->why)) == NX_OK && has_row)
        *sid = db_col_i64(st, 0);
    db_reset(st);
    return err;
}

static enum nx_err
drop_stale(struct roll *x)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(x->h->db, "DELETE FROM stale WHERE day = ? AND series_id <= ?", &st, x->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, x->day);
    db_bind_i64(st, 2, x->last_sid);
    return db_run(st, x->why);
}

static enum nx_err
roll_stale(struct roll *x, int64_t now_us, uint64_t points)
{
    int64_t sid = 1;
    enum nx_err err = roll_begin(x, now_us);

    while (err == NX_OK && x->points < points && x->series < STEP_SERIES)
        if ((err = next_stale(x, &sid)) != NX_OK || sid == 0 || (err = roll_series(x, sid)) != NX_OK)
            break;
    if (err == NX_OK)
        err = roll_commit(x);
    return err == NX_OK ? drop_stale(x) : err;
}

/* --- a step --- */

/* Whichever of the files of a day it was: the next call goes on without it. */
static void
set_aside(struct lite *h, int day, struct nx_note *why)
{
    (void)day_set_aside(h, day, why);
    (void)roll_set_aside(h, ROLL_MONTH, roll_period(ROLL_MONTH, day), why);
    (void)roll_set_aside(h, ROLL_YEAR, roll_period(ROLL_YEAR, day), why);
}

enum nx_err
roll_some(struct lite *h, int64_t now_us, uint64_t points, bool all, bool *is_done, struct nx_note *why)
{
    struct roll x = {.h = h, .why = why, .data = {wbuf_init(0), wbuf_init(0), wbuf_init(0)}};
    enum nx_err err = roll_find_new(h, now_us, all, &x.day, &x.last_sid, why);

    *is_done = false;
    if (err == NX_OK && x.day >= 0) {
        err = roll_new(&x, now_us, points);
    } else if (err == NX_OK && (err = roll_find_stale(h, now_us, all, &x.day, why)) == NX_OK) {
        x.last_sid = 0;
        *is_done = x.day < 0;
        err = *is_done ? NX_OK : roll_stale(&x, now_us, points);
    }
    roll_fini(&x);
    if (err == NX_E_CORRUPT && x.day >= 0)
        set_aside(h, x.day, why);
    if (err == NX_OK && x.damage.err != NX_OK) {
        *why = x.damage;
        err = x.damage.err;
    }
    return err;
}
