/* rolldays.c -- which days are rolled up, which are due, and the end of raw values: the tables rolled and stale of
 * hist.db. */
#include <unistd.h>

#include "base/mem.h"
#include "historian/sqlite/lite.h"

#define GRACE_US       (1800 * INT64_C(1000000)) /* after the end of a day: what waits for sealing is sealed */
#define LOOK_EVERY_US  (30 * INT64_C(1000000))   /* for days that are over */
#define STALE_EVERY_US (300 * INT64_C(1000000))  /* so that a trickle of late values does not roll up each time */
#define LATE_DAYS      3                         /* raw values stay so much longer when they are not rolled up yet */

/* --- what is due --- */

bool
roll_keeps_minutes(const struct lite *h, int month, int64_t now_us)
{
    return h->rollup_retention_days == 0 ||
           roll_first_day(ROLL_MONTH, month + 1) > day_of(now_us - h->rollup_retention_days * DAY_US);
}

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
    if (err == NX_OK && state == 1 && roll_keeps_minutes(h, roll_period(ROLL_MONTH, day), now_us))
        err = forget_lost(h, ROLL_MONTH, day, must, why);
    return err;
}

/* The oldest day that is over and was not begun, or whose rollups are gone. */
static enum nx_err
find_over(struct lite *h, int64_t over_us, int64_t now_us, int *day, struct nx_note *why)
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

enum nx_err
roll_find_new(struct lite *h, int64_t now_us, bool all, int *day, int64_t *through, struct nx_note *why)
{
    enum nx_err err = find_day(h, "SELECT day, through FROM rolled WHERE state = 0 LIMIT 1", day, through, why);

    if (err != NX_OK || *day >= 0 || !is_time(&h->at.looked_us, now_us, LOOK_EVERY_US, all))
        return err;
    *through = 0;
    err = find_over(h, all ? now_us : now_us - GRACE_US, now_us, day, why);
    if (err == NX_OK && *day >= 0)
        h->at.looked_us = 0; /* there may be more */
    return err;
}

enum nx_err
roll_find_stale(struct lite *h, int64_t now_us, bool all, int *day, struct nx_note *why)
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
