/* roll.c -- from the chunks of a day that is over to its minutes, hours and day, once for each series.
 *
 * Rollups are made anew from all points, never added to, so doing it twice does no harm. They are written first, then
 * hist.db says that they hold (rolled, stale); a sealing into such a day says the contrary first, then adds its
 * chunks. A reader goes by hist.db as it was when it began, and takes points wherever it is not told that rollups
 * hold. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "historian/rollup.h"
#include "historian/sqlite/lite.h"
#include "historian/sqlite/rollset.h"
#include "historian/sqlite/run.h"

#define GRACE_US       (1800 * INT64_C(1000000)) /* after the end of a day: what waits for sealing is sealed */
#define LOOK_EVERY_US  (30 * INT64_C(1000000))   /* for days that are over */
#define STALE_EVERY_US (300 * INT64_C(1000000))  /* so that a trickle of late values does not roll up each time */
#define STEP_SERIES    1000u
#define LATE_DAYS      3 /* raw values stay so much longer when they are not rolled up yet */

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

static bool
keeps_minutes(const struct lite *h, int month, int64_t now_us)
{
    return h->rollup_retention_days == 0 ||
           roll_first_day(ROLL_MONTH, month + 1) > day_of(now_us - h->rollup_retention_days * DAY_US);
}

static enum nx_err
roll_begin(struct roll *x, int64_t now_us)
{
    const struct lite *h = x->h;
    int month = roll_period(ROLL_MONTH, x->day), year = roll_period(ROLL_YEAR, x->day);
    bool has_month = keeps_minutes(h, month, now_us);
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

/* --- what is due --- */

static enum nx_err
find_day(struct lite *h, const char *sql, int *day, int64_t *through, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(h->db, sql, &st, why);

    *day = -1;
    if (err != NX_OK)
        return err;
    if ((err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        *day = (int)db_col_i64(st, 0);
        *through = db_col_i64(st, 1);
    }
    db_reset(st);
    return err;
}

static enum nx_err
rolled_state(struct lite *h, int day, int *state, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(h->db,
                                 "SELECT state, EXISTS(SELECT 1 FROM stale WHERE stale.day = rolled.day) FROM rolled"
                                 " WHERE day = ?",
                                 &st, why);

    *state = -1;
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, day);
    if ((err = db_step(st, &has_row, why)) == NX_OK && has_row)
        *state = db_col_i64(st, 0) == 1 && db_col_i64(st, 1) ? 0 : (int)db_col_i64(st, 0);
    db_reset(st);
    return err;
}

static enum nx_err
run_for_day(struct lite *h, const char *sql, int day, struct nx_note *why)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(h->db, sql, &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, day);
    return db_run(st, why);
}

/* Only of days that have values: what was rolled up of others in the other file is all there is. */
enum nx_err
roll_forget_period(struct lite *h, enum roll_file kind, int period, struct nx_note *why)
{
    int *days, first = roll_first_day(kind, period), end = roll_first_day(kind, period + 1);
    struct arena a = {0};
    size_t n;
    enum nx_err err = day_list(h, &a, &days, &n, why);

    for (size_t i = 0; i < n && err == NX_OK; i++)
        if (days[i] >= first && days[i] < end)
            err = run_for_day(h, "DELETE FROM rolled WHERE state < 2 AND day = ?", days[i], why);
    arena_free(&a);
    return err;
}

/* A file of rollups was taken away: whoever did that wants it made again, for all of its days that still have values.
 */
static enum nx_err
forget_lost(struct lite *h, enum roll_file kind, int day, bool *is_lost, struct nx_note *why)
{
    int period = roll_period(kind, day);
    char path[4096];

    if (access(roll_path(h, kind, period, path, sizeof path), F_OK) == 0)
        return NX_OK;
    *is_lost = true;
    return roll_forget_period(h, kind, period, why);
}

static enum nx_err
must_roll(struct lite *h, int day, int64_t now_us, bool *must, struct nx_note *why)
{
    int state = 0;
    enum nx_err err = rolled_state(h, day, &state, why);

    *must = state < 0;
    if (err == NX_OK && state == 1)
        err = forget_lost(h, ROLL_YEAR, day, must, why);
    if (err == NX_OK && state == 1 && keeps_minutes(h, roll_period(ROLL_MONTH, day), now_us))
        err = forget_lost(h, ROLL_MONTH, day, must, why);
    return err;
}

/* The oldest day that is over and was not begun, or whose rollups are gone. */
static enum nx_err
find_new(struct lite *h, int64_t over_us, int64_t now_us, int *day, struct nx_note *why)
{
    struct arena a = {0};
    int *days;
    bool must = false;
    size_t n;
    enum nx_err err = day_list(h, &a, &days, &n, why);

    *day = -1;
    for (size_t i = 0; err == NX_OK && i < n && *day < 0 && (days[i] + 1) * DAY_US <= over_us; i++)
        if ((err = must_roll(h, days[i], now_us, &must, why)) == NX_OK && must)
            *day = days[i];
    arena_free(&a);
    return err;
}

static bool
is_time(int64_t *at_us, int64_t now_us, int64_t every_us, bool all)
{
    if (!all && now_us - *at_us < every_us && now_us >= *at_us)
        return false;
    *at_us = now_us;
    return true;
}

static enum nx_err
find_begun_or_new(struct lite *h, int64_t now_us, bool all, int *day, int64_t *through, struct nx_note *why)
{
    enum nx_err err = find_day(h, "SELECT day, through FROM rolled WHERE state = 0 LIMIT 1", day, through, why);

    if (err != NX_OK || *day >= 0 || !is_time(&h->at.looked_us, now_us, LOOK_EVERY_US, all))
        return err;
    *through = 0;
    err = find_new(h, all ? now_us : now_us - GRACE_US, now_us, day, why);
    if (err == NX_OK && *day >= 0)
        h->at.looked_us = 0; /* there may be more */
    return err;
}

static enum nx_err
find_stale(struct lite *h, int64_t now_us, bool all, int *day, struct nx_note *why)
{
    int64_t none;
    enum nx_err err;

    *day = -1;
    if (!is_time(&h->at.stale_us, now_us, STALE_EVERY_US, all))
        return NX_OK;
    err = find_day(h, "SELECT day, 0 FROM stale LIMIT 1", day, &none, why);
    if (err == NX_OK && *day >= 0)
        h->at.stale_us = 0;
    return err;
}

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
    enum nx_err err = find_begun_or_new(h, now_us, all, &x.day, &x.last_sid, why);

    *is_done = false;
    if (err == NX_OK && x.day >= 0) {
        err = roll_new(&x, now_us, points);
    } else if (err == NX_OK && (err = find_stale(h, now_us, all, &x.day, why)) == NX_OK) {
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

/* --- the end of raw values --- */

enum nx_err
roll_forget_begun(struct lite *h, int day, struct nx_note *why)
{
    enum nx_err err = run_for_day(h, "DELETE FROM stale WHERE day = ?", day, why);

    return err == NX_OK ? run_for_day(h, "DELETE FROM rolled WHERE day = ? AND state = 0", day, why) : err;
}

/* Rollups that were finished stay. */
static enum nx_err
forget_values(struct lite *h, int day, struct nx_note *why)
{
    enum nx_err err = roll_forget_begun(h, day, why);

    return err == NX_OK ? run_for_day(h, "UPDATE rolled SET state = 2 WHERE day = ? AND state = 1", day, why) : err;
}

enum nx_err
roll_expire(struct lite *h, int oldest, bool drops_unrolled, struct nx_note *why)
{
    struct arena a = {0};
    int *days, state;
    size_t n;
    enum nx_err err = day_list(h, &a, &days, &n, why);

    for (size_t i = 0; err == NX_OK && i < n && days[i] < oldest; i++) {
        if ((err = rolled_state(h, days[i], &state, why)) != NX_OK)
            break;
        if (state < 1 && (!drops_unrolled || days[i] >= oldest - LATE_DAYS))
            continue;
        if ((err = forget_values(h, days[i], why)) == NX_OK)
            day_remove(h, days[i]);
    }
    arena_free(&a);
    return err;
}
