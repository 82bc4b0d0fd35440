/* last.c -- the last value of a series before a time: from the hot blocks, the days that are not rolled up, and the
 * rollups, which know the last value of each day. */
#include <stdlib.h>

#include "base/mem.h"
#include "historian/sqlite/lite.h"
#include "historian/sqlite/run.h"

#define OPEN_DAYS 400 /* day files looked into, at most */

struct last {
    struct lite *h;
    struct nx_note *why;
    struct arena *a;
    uint32_t sid;
    int64_t time_us; /* before this */
    struct history_row *out;
};

static void
keep(struct last *l, const struct point *p)
{
    *l->out = (struct history_row){.time_us = p->time_us, .quality = p->quality, .value = p->value};
    if (p->value.type == NX_TYPE_STRING)
        l->out->value = nx_value_string(arena_strndup(l->a, p->value.s, p->value.len), p->value.len);
}

/* --- hot blocks --- */

static bool
keep_last(void *arg, const struct point *p, size_t n)
{
    struct last *l = arg;

    if (n > 0 && p[n - 1].time_us >= l->out->time_us)
        keep(l, &p[n - 1]);
    return true;
}

/* --- day files --- */

static enum nx_err
take_chunk(struct last *l, const struct db *day, const struct db_stmt *st)
{
    size_t n = (size_t)db_col_i64(st, 0);
    struct point *p;
    enum nx_err err = NX_OK;

    if (n < 1 || n > RUN_MAX_POINTS)
        return nx_fail(l->why, NX_E_CORRUPT, "%s: a chunk is damaged", db_path(day));
    p = mem_calloc(n, sizeof *p);
    if (run_decode(db_col_slice(st, 1), p, n) != NX_OK)
        err = nx_fail(l->why, NX_E_CORRUPT, "%s: a chunk is damaged", db_path(day));
    while (err == NX_OK && n > 0 && p[n - 1].time_us >= l->time_us)
        n--;
    if (err == NX_OK && n > 0 && p[n - 1].time_us >= l->out->time_us) /* a sealed value is the first one stored */
        keep(l, &p[n - 1]);
    free(p);
    return err;
}

static enum nx_err
look_into_day(struct last *l, int day)
{
    struct db *db;
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = day_open(l->h, day, true, &db, l->why);

    if (err == NX_E_NOT_FOUND)
        return NX_OK;
    if (err == NX_OK)
        err = db_prepare(db, "SELECT n, data FROM chunk WHERE series_id = ? AND t0 < ? ORDER BY t0 DESC LIMIT 1", &st,
                         l->why);
    if (err == NX_OK) {
        db_bind_i64(st, 1, l->sid);
        db_bind_i64(st, 2, l->time_us);
        err = db_step(st, &has_row, l->why);
    }
    if (err == NX_OK && has_row)
        err = take_chunk(l, db, st);
    db_close(&db);
    return err;
}

/* --- rollups --- */

static enum nx_err
look_into_rollup(struct last *l, struct roll_reader *r, int day, bool *is_known)
{
    enum nx_err err = roll_read(r, day, is_known, l->why);

    if (err != NX_OK || !*is_known || r->count == 0)
        return err;
    if (r->rollups[0].last.time_us >= l->time_us) /* the day at hand: look closer */
        *is_known = false;
    else if (r->rollups[0].last.time_us >= l->out->time_us)
        *l->out = r->rollups[0].last;
    return NX_OK;
}

/* Days back until one has a value that is later than what the hot blocks gave. */
static enum nx_err
look_back(struct last *l, const int *days, size_t n, const int *rolled, size_t rolled_count)
{
    struct roll_reader r = roll_reader_init(l->h, l->sid, HISTORY_LEVEL_DAY);
    int opened = 0;
    enum nx_err err = NX_OK;

    while ((n > 0 || rolled_count > 0) && err == NX_OK && opened < OPEN_DAYS) {
        bool is_known = false, is_rolled = rolled_count > 0 && (n == 0 || rolled[rolled_count - 1] >= days[n - 1]);
        int day = is_rolled ? rolled[--rolled_count] : days[n - 1];

        if (n > 0 && days[n - 1] == day)
            n--;
        if (l->out->time_us >= (day + 1) * DAY_US)
            break;
        if (is_rolled)
            err = look_into_rollup(l, &r, day, &is_known);
        if (err == NX_OK && !is_known) {
            err = look_into_day(l, day);
            opened++;
        }
        if (l->out->time_us >= day * DAY_US && l->out->time_us > 0)
            break;
    }
    roll_reader_fini(&r);
    return err;
}

static enum nx_err
look_into_days(struct last *l)
{
    struct arena a = {0};
    int *days, *rolled, last = day_of(l->time_us - 1);
    size_t n = 0, rolled_count = 0;
    enum nx_err err = roll_days(l->h, l->sid, 0, last, &a, &rolled, &rolled_count, l->why);

    if (err == NX_OK)
        err = day_list(l->h, &a, &days, &n, l->why);
    while (n > 0 && days[n - 1] > last)
        n--;
    if (err == NX_OK)
        err = look_back(l, days, n, rolled, rolled_count);
    arena_free(&a);
    return err;
}

enum nx_err
lite_before(struct historian *base, const struct history_series *s, int64_t time_us, struct arena *a,
            struct history_row *out, struct nx_note *why)
{
    struct last l = {.h = lite_of(base), .why = why, .a = a, .sid = (uint32_t)s->id, .time_us = time_us, .out = out};
    struct history_sink sink = {.points = keep_last, .arg = &l};
    enum nx_err err;

    *out = (struct history_row){0};
    err = scan_hot(l.h, l.sid, time_us, &sink, why);
    return err == NX_OK ? look_into_days(&l) : err;
}
