/* rollread.c -- rollups as a reader finds them. */
#include <stdlib.h>

#include "base/mem.h"
#include "historian/sqlite/lite.h"
#include "historian/sqlite/rollset.h"

struct roll_reader
roll_reader_init(struct lite *h, uint32_t sid, enum history_level level)
{
    return (struct roll_reader){.h = h,
                                .sid = sid,
                                .level = level,
                                .rollups = mem_calloc(ROLLSET_MAX, sizeof(struct history_rollup))};
}

void
roll_reader_fini(struct roll_reader *r)
{
    db_close(&r->db);
    free(r->rollups);
}

static enum nx_err
go_to(struct roll_reader *r, int day, struct nx_note *why)
{
    enum roll_file kind = r->level == HISTORY_LEVEL_MINUTE ? ROLL_MONTH : ROLL_YEAR;
    int period = roll_period(kind, day);
    enum nx_err err;

    if (period == r->period)
        return NX_OK;
    db_close(&r->db);
    r->period = period;
    err = roll_open(r->h, kind, period, true, &r->db, why);
    return err == NX_E_NOT_FOUND ? NX_OK : err; /* its retention is over */
}

static enum nx_err
holds_day(struct roll_reader *r, int day, bool *holds, struct nx_note *why)
{
    struct db_stmt *st;
    enum nx_err err = db_prepare(r->db, "SELECT 1 FROM day WHERE day = ?", &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, day);
    err = db_step(st, holds, why);
    db_reset(st);
    return err;
}

static enum nx_err
prepare(struct roll_reader *r, struct db_stmt **st, struct nx_note *why)
{
    switch (r->level) {
    case HISTORY_LEVEL_MINUTE:
        return db_prepare(r->db, "SELECT data FROM minute WHERE series_id = ? AND day = ?", st, why);
    case HISTORY_LEVEL_HOUR:
        return db_prepare(r->db, "SELECT hours FROM hour WHERE series_id = ? AND day = ?", st, why);
    case HISTORY_LEVEL_RAW:
    case HISTORY_LEVEL_DAY:
        break;
    }
    return db_prepare(r->db, "SELECT days FROM hour WHERE series_id = ? AND day = ?", st, why);
}

static enum nx_err
read_row(struct roll_reader *r, int day, bool *is_known, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = prepare(r, &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, r->sid);
    db_bind_i64(st, 2, day);
    if ((err = db_step(st, &has_row, why)) != NX_OK)
        return err;
    *is_known = !has_row || !db_col_is_null(st, 0);
    if (has_row && *is_known && rollset_decode(db_col_slice(st, 0), r->level, r->rollups, &r->count) != NX_OK)
        err = nx_fail(why, NX_E_CORRUPT, "%s: rollups of series %u, day %d are damaged", db_path(r->db), r->sid, day);
    db_reset(st);
    return err;
}

enum nx_err
roll_read(struct roll_reader *r, int day, bool *is_known, struct nx_note *why)
{
    bool holds = false;
    enum nx_err err = go_to(r, day, why);

    r->count = 0;
    *is_known = false;
    if (err != NX_OK || !r->db)
        return err;
    if ((err = holds_day(r, day, &holds, why)) != NX_OK || !holds)
        return err;
    return read_row(r, day, is_known, why);
}

enum nx_err
roll_days(struct lite *h, uint32_t sid, int first, int last, struct arena *a, int **days, size_t *n,
          struct nx_note *why)
{
    struct db_stmt *st;
    unsigned version;
    bool has_row;
    size_t cap = 0;
    enum nx_err err = db_schema_version(h->db, &version, why);

    *days = NULL;
    *n = 0;
    if (err != NX_OK || version < 2) /* of an older writer: nothing is rolled up */
        return err;
    err = db_prepare(h->db,
                     "SELECT day FROM rolled WHERE state >= 1 AND day BETWEEN ?1 AND ?2 AND NOT EXISTS"
                     " (SELECT 1 FROM stale WHERE stale.day = rolled.day AND series_id = ?3) ORDER BY day",
                     &st, why);
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, first);
    db_bind_i64(st, 2, last);
    db_bind_i64(st, 3, sid);
    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row)
        day_push(a, days, n, &cap, (int)db_col_i64(st, 0));
    db_reset(st);
    return err;
}
