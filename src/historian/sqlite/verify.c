/* verify.c -- the files of the SQLite historian: pages, blocks, chunks, rollups, and whether the books agree with them.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "historian/sqlite/block.h"
#include "historian/sqlite/lite.h"
#include "historian/sqlite/rollset.h"
#include "historian/sqlite/run.h"

#define FROM_BACKUP "restore the file from a backup, or remove it to lose only what it holds"
#define MADE_AGAIN  "remove the file: it is made again from the values, as far as these are still kept"

struct check {
    struct lite *h;
    struct verify *v;
    struct nx_note *why;
    struct db *db; /* at hand */
    const char *remedy;
    struct point *points;
    struct history_rollup *rollups;
    int day;
    int64_t sid, t1; /* of the chunk before */
    uint64_t count;
    bool is_bad; /* one finding for each series is enough */
};

/* Owned by the caller; "" when the dictionary does not know it. */
static char *
topic_of(struct check *c, int64_t sid)
{
    struct db_stmt *st;
    bool has_row = false;
    char *topic = NULL;

    if (db_prepare(c->h->db, "SELECT topic FROM series WHERE series_id = ?", &st, NULL) != NX_OK)
        return mem_strdup("");
    db_bind_i64(st, 1, sid);
    if (db_step(st, &has_row, NULL) == NX_OK && has_row)
        topic = mem_strdup(db_col_text(st, 0));
    db_reset(st);
    return topic ? topic : mem_strdup("");
}

static void
found(struct check *c, int64_t sid, const char *what)
{
    char *topic = topic_of(c, sid);

    if (!c->is_bad)
        historian_found(c->v, db_path(c->db), topic, c->remedy, "series %lld: %s", (long long)sid, what);
    c->is_bad = true;
    free(topic);
}

/* Pages and indexes, as SQLite sees them. */
static enum nx_err
check_pages(struct check *c, struct db *db, const char *remedy)
{
    char fault[256];
    enum nx_err err = file_check_pages(db, fault, sizeof fault, c->why);

    c->db = db;
    c->remedy = remedy;
    c->is_bad = false;
    if (err == NX_OK && fault[0])
        historian_found(c->v, db_path(db), "", remedy, "%s", fault);
    return err;
}

/* A file that cannot be read is a finding, not the end. */
static enum nx_err
as_finding(struct check *c, enum nx_err err, const char *path)
{
    if (err != NX_E_CORRUPT && err != NX_E_INTERNAL)
        return err;
    historian_found(c->v, path, "", c->remedy, "%s", c->why->text);
    return NX_OK;
}

static enum nx_err
read_number(struct check *c, struct db *db, const char *sql, int64_t *out)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(db, sql, &st, c->why);

    *out = 0;
    if (err != NX_OK)
        return err;
    if ((err = db_step(st, &has_row, c->why)) == NX_OK && has_row)
        *out = db_col_i64(st, 0);
    db_reset(st);
    return err;
}

/* --- hist.db --- */

static uint64_t
count_block(struct check *c, struct slice data, bool *is_good)
{
    struct block_reader reader = block_open(data);
    struct block_run run;
    uint64_t n = 0;

    *is_good = true;
    while (block_next(&reader, &run)) {
        n += run.count;
        if (run_decode(run.data, c->points, run.count) != NX_OK)
            *is_good = false;
    }
    *is_good = *is_good && !reader.is_corrupt;
    return n;
}

static enum nx_err
check_blocks(struct check *c)
{
    struct db_stmt *st;
    bool has_row, is_good;
    int64_t booked;
    uint64_t points = 0;
    enum nx_err err = db_prepare(c->h->db, "SELECT block_id, points, data FROM hot", &st, c->why);

    if (err != NX_OK)
        return err;
    while ((err = db_step(st, &has_row, c->why)) == NX_OK && has_row) {
        uint64_t n = count_block(c, db_col_slice(st, 2), &is_good);

        points += n;
        if (!is_good || n != (uint64_t)db_col_i64(st, 1))
            historian_found(c->v, db_path(c->h->db), "", FROM_BACKUP, "block %lld is damaged",
                            (long long)db_col_i64(st, 0));
    }
    db_reset(st);
    if (err == NX_OK)
        err = read_number(c, c->h->db, "SELECT hot_points FROM total", &booked);
    if (err == NX_OK && (uint64_t)booked != points)
        historian_found(c->v, db_path(c->h->db), "", FROM_BACKUP,
                        "%lld values wait for sealing according to the books, %llu in fact", (long long)booked,
                        (unsigned long long)points);
    return err;
}

static enum nx_err
check_ledger(struct check *c)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err = db_prepare(c->h->db,
                                 "SELECT gateway, epoch, lane, batches, (SELECT ifnull(sum(to_seq - from_seq + 1), 0)"
                                 " FROM ledger WHERE ledger.lane_id = lane.lane_id),"
                                 " EXISTS(SELECT 1 FROM ledger a JOIN ledger b ON a.lane_id = b.lane_id AND"
                                 " a.from_seq < b.from_seq AND a.to_seq >= b.from_seq - 1 WHERE a.lane_id ="
                                 " lane.lane_id) FROM lane",
                                 &st, c->why);

    if (err != NX_OK)
        return err;
    while ((err = db_step(st, &has_row, c->why)) == NX_OK && has_row)
        if (db_col_i64(st, 3) != db_col_i64(st, 4) || db_col_i64(st, 5))
            historian_found(c->v, db_path(c->h->db), "", FROM_BACKUP,
                            "ledger of %s, epoch %lld, lane %lld: %lld batches came, %lld are in it",
                            db_col_text(st, 0), (long long)db_col_i64(st, 1), (long long)db_col_i64(st, 2),
                            (long long)db_col_i64(st, 3), (long long)db_col_i64(st, 4));
    db_reset(st);
    return err;
}

/* What sealings could not read. Files of an older version have no such table. */
static enum nx_err
check_set_aside(struct check *c, struct db *db, unsigned since_version, const char *sql)
{
    unsigned version = 0;
    int64_t values = 0;
    enum nx_err err = db_schema_version(db, &version, c->why);

    if (err == NX_OK && version >= since_version)
        err = read_number(c, db, sql, &values);
    if (err == NX_OK && values > 0)
        historian_found(c->v, db_path(db), "",
                        "restore the file from a backup, or delete the rows of its table damaged",
                        "%lld values were damaged and set aside", (long long)values);
    return err;
}

/* --- a day of chunks --- */

static bool
has_numbers_of(const struct db_stmt *st, const struct point *p, size_t n)
{
    double v, v_min = INFINITY, v_max = -INFINITY, v_sum = 0;
    int64_t bad = 0;
    size_t numbers = 0;

    for (size_t i = 0; i < n; i++) {
        if (nx_quality_is_bad(p[i].quality)) {
            bad++;
        } else if (value_as_double(&p[i].value, &v)) {
            v_min = v < v_min ? v : v_min;
            v_max = v > v_max ? v : v_max;
            v_sum += v;
            numbers++;
        }
    }
    if (bad != db_col_i64(st, 4) || (numbers == 0) != db_col_is_null(st, 5))
        return false;
    return numbers == 0 || (v_min == db_col_double(st, 5) && v_max == db_col_double(st, 6) &&
                            (v_sum == db_col_double(st, 7) || !isfinite(v_sum)));
}

static const char *
fault_of_chunk(struct check *c, const struct db_stmt *st)
{
    size_t n = (size_t)db_col_i64(st, 3);
    const struct point *p = c->points;

    if (n < 1 || n > RUN_MAX_POINTS || run_decode(db_col_slice(st, 8), c->points, n) != NX_OK)
        return "a chunk is damaged";
    for (size_t i = 1; i < n; i++)
        if (p[i].time_us <= p[i - 1].time_us)
            return "a chunk has a time twice";
    if (p[0].time_us != db_col_i64(st, 1) || p[n - 1].time_us != db_col_i64(st, 2) || day_of(p[0].time_us) != c->day ||
        day_of(p[n - 1].time_us) != c->day)
        return "a chunk has other times than its key";
    if (db_col_i64(st, 0) == c->sid && p[0].time_us <= c->t1)
        return "chunks overlap";
    if (!has_numbers_of(st, p, n))
        return "a chunk has other values than its sums";
    return NULL;
}

static void
check_chunk(struct check *c, const struct db_stmt *st)
{
    const char *fault;

    if (db_col_i64(st, 0) != c->sid)
        c->is_bad = false;
    fault = fault_of_chunk(c, st);
    c->sid = db_col_i64(st, 0);
    c->t1 = db_col_i64(st, 2);
    c->count += (uint64_t)db_col_i64(st, 3);
    if (fault)
        found(c, c->sid, fault);
}

static enum nx_err
check_chunks(struct check *c)
{
    struct db_stmt *st;
    bool has_row;
    int64_t booked;
    enum nx_err err =
        db_prepare(c->db,
                   "SELECT series_id, t0, t1, n, n_bad, v_min, v_max, v_sum, data FROM chunk ORDER BY series_id, t0",
                   &st, c->why);

    c->sid = 0;
    c->count = 0;
    if (err != NX_OK)
        return err;
    while ((err = db_step(st, &has_row, c->why)) == NX_OK && has_row)
        check_chunk(c, st);
    db_reset(st);
    if (err == NX_OK)
        err = read_number(c, c->db, "SELECT points FROM day", &booked);
    if (err == NX_OK && (uint64_t)booked != c->count)
        historian_found(c->v, db_path(c->db), "", FROM_BACKUP, "%lld values according to its books, %llu in fact",
                        (long long)booked, (unsigned long long)c->count);
    return err;
}

static enum nx_err
check_day(struct check *c, int day)
{
    char path[4096];
    struct db *db;
    enum nx_err err = day_open(c->h, day, true, &db, c->why);

    c->remedy = FROM_BACKUP;
    c->day = day;
    if (err == NX_E_NOT_FOUND)
        return NX_OK;
    if (err == NX_OK)
        err = db_begin(db, DB_READ, c->why); /* chunks and books of one moment */
    if (err == NX_OK)
        err = check_pages(c, db, FROM_BACKUP);
    if (err == NX_OK)
        err = check_chunks(c);
    if (err == NX_OK)
        err = check_set_aside(c, db, 2, "SELECT ifnull(sum(n), 0) FROM damaged");
    db_close(&db);
    return as_finding(c, err, day_path(c->h, day, path, sizeof path));
}

static enum nx_err
check_days(struct check *c)
{
    struct arena a = {0};
    int *days;
    size_t n;
    enum nx_err err = day_list(c->h, &a, &days, &n, c->why);

    for (size_t i = 0; i < n && err == NX_OK; i++)
        err = check_day(c, days[i]);
    arena_free(&a);
    return err;
}

/* --- rollups --- */

static void
check_rollset(struct check *c, const struct db_stmt *st, int column, enum history_level level)
{
    size_t n;

    if (!db_col_is_null(st, column) && rollset_decode(db_col_slice(st, column), level, c->rollups, &n) != NX_OK)
        found(c, db_col_i64(st, 0), "rollups are damaged");
}

static enum nx_err
check_rollsets(struct check *c, enum roll_file kind)
{
    struct db_stmt *st;
    bool has_row;
    int64_t sid = 0;
    enum nx_err err = kind == ROLL_MONTH ? db_prepare(c->db, "SELECT series_id, data FROM minute", &st, c->why)
                                         : db_prepare(c->db, "SELECT series_id, hours, days FROM hour", &st, c->why);

    if (err != NX_OK)
        return err;
    while ((err = db_step(st, &has_row, c->why)) == NX_OK && has_row) {
        c->is_bad = c->is_bad && db_col_i64(st, 0) == sid;
        sid = db_col_i64(st, 0);
        check_rollset(c, st, 1, kind == ROLL_MONTH ? HISTORY_LEVEL_MINUTE : HISTORY_LEVEL_HOUR);
        if (kind == ROLL_YEAR)
            check_rollset(c, st, 2, HISTORY_LEVEL_DAY);
    }
    db_reset(st);
    return err;
}

struct roll_check {
    struct check *c;
    enum nx_err err;
};

static void
check_roll_file(void *arg, enum roll_file kind, int period)
{
    struct roll_check *r = arg;
    struct check *c = r->c;
    char path[4096];
    struct db *db;

    if (r->err != NX_OK)
        return;
    c->remedy = MADE_AGAIN;
    r->err = roll_open(c->h, kind, period, true, &db, c->why);
    if (r->err == NX_OK)
        r->err = check_pages(c, db, MADE_AGAIN);
    if (r->err == NX_OK)
        r->err = check_rollsets(c, kind);
    db_close(&db);
    if (r->err == NX_E_NOT_FOUND)
        r->err = NX_OK;
    r->err = as_finding(c, r->err, roll_path(c->h, kind, period, path, sizeof path));
}

/* Blocks and books of one moment. */
static enum nx_err
check_hist(struct check *c)
{
    enum nx_err err = lite_begin(&c->h->base, c->why);

    if (err == NX_OK)
        err = check_pages(c, c->h->db, FROM_BACKUP);
    if (err == NX_OK)
        err = check_blocks(c);
    if (err == NX_OK)
        err = check_ledger(c);
    if (err == NX_OK)
        err = check_set_aside(c, c->h->db, 3, "SELECT ifnull(sum(points), 0) FROM damaged");
    lite_end(&c->h->base);
    return as_finding(c, err, db_path(c->h->db));
}

static void
tell_aside(void *arg, const char *path)
{
    struct check *c = arg;

    historian_found(c->v, path, "", ASIDE_REMEDY, "was damaged as a whole and set aside: its values are missing");
}

static enum nx_err
check_files(struct check *c)
{
    struct roll_check r = {.c = c};
    enum nx_err err = check_hist(c);

    if (err == NX_OK)
        err = check_days(c);
    if (err == NX_OK)
        err = aside_each(c->h, tell_aside, c, c->why);
    if (err == NX_OK)
        err = roll_each(c->h, check_roll_file, &r, c->why);
    return err == NX_OK ? r.err : err;
}

enum nx_err
lite_verify(struct historian *base, struct verify *v, struct nx_note *why)
{
    struct check c = {.h = lite_of(base), .v = v, .why = why, .remedy = FROM_BACKUP};
    enum nx_err err;

    c.points = mem_calloc(RUN_MAX_POINTS, sizeof *c.points);
    c.rollups = mem_calloc(ROLLSET_MAX, sizeof *c.rollups);
    err = check_files(&c);
    free(c.points);
    free(c.rollups);
    return err;
}
