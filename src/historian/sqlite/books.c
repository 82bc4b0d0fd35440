/* books.c -- what came, what is missing, how much there is: ledger and statistics of the SQLite historian. */
#include <sys/stat.h>

#include "historian/sqlite/lite.h"

/* Numbers that a gap record declares are accounted for: they are not missing. */
static enum nx_err
add_ranges(struct lite *h, const char *sql, int64_t lane_id, struct seqset *r, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err = db_prepare(h->db, sql, &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, lane_id);
    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row)
        seqset_add(r, (uint64_t)db_col_i64(st, 0), (uint64_t)db_col_i64(st, 1));
    db_reset(st);
    return err;
}

static enum nx_err
fill_ranges(struct lite *h, int64_t lane_id, struct historian_ledger_row *row, struct nx_note *why)
{
    struct seqset r = {0};
    enum nx_err err =
        add_ranges(h, "SELECT from_seq, to_seq FROM ledger WHERE lane_id = ? ORDER BY from_seq", lane_id, &r, why);

    if (err == NX_OK && r.count > 0)
        row->last_seq = r.items[r.count - 1].to;
    if (err == NX_OK)
        err = add_ranges(h, "SELECT from_seq, to_seq FROM gap WHERE lane_id = ? ORDER BY from_seq", lane_id, &r, why);
    row->missing = seqset_missing(&r);
    seqset_fini(&r);
    return err;
}

/* By cause: the last one that is added stands first. */
static enum nx_err
fill_gaps(struct lite *h, int64_t lane_id, struct arena *a, struct historian_ledger_row *row, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err = db_prepare(h->db,
                                 "SELECT cause, sum(to_seq - from_seq + 1), sum(points), max(stored_us) FROM gap"
                                 " WHERE lane_id = ? GROUP BY cause ORDER BY cause DESC",
                                 &st, why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, lane_id);
    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        struct historian_gap *gap = arena_alloc(a, sizeof *gap);

        *gap = (struct historian_gap){.cause = arena_strdup(a, db_col_text(st, 0)),
                                      .numbers = (uint64_t)db_col_i64(st, 1),
                                      .points = (uint64_t)db_col_i64(st, 2),
                                      .stored_us = db_col_i64(st, 3),
                                      .next = row->gaps};
        row->gaps = gap;
    }
    db_reset(st);
    return err;
}

static void
fill_row(struct arena *a, const struct db_stmt *st, struct historian_ledger_row *row)
{
    *row = (struct historian_ledger_row){
        .gateway = arena_strdup(a, db_col_text(st, 1)),
        .epoch = (uint64_t)db_col_i64(st, 2),
        .lane = (unsigned)db_col_i64(st, 3),
        .batches = (uint64_t)db_col_i64(st, 4),
        .points = (uint64_t)db_col_i64(st, 5),
        .duplicate_batches = (uint64_t)db_col_i64(st, 6),
        .gap_points = (uint64_t)db_col_i64(st, 7),
        .updated_us = db_col_i64(st, 8),
    };
}

static enum nx_err
read_total(struct lite *h, struct historian_books *books, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(h->db, "SELECT duplicate_points, quarantined_points FROM total", &st, why);

    if (err != NX_OK || (err = db_step(st, &has_row, why)) != NX_OK || !has_row)
        return err;
    books->duplicate_points = (uint64_t)db_col_i64(st, 0);
    books->quarantined_points = (uint64_t)db_col_i64(st, 1);
    db_reset(st);
    return NX_OK;
}

static enum nx_err
read_lanes(struct lite *h, struct arena *a, struct historian_books *books, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row;
    size_t cap = 0;
    enum nx_err err = db_prepare(h->db,
                                 "SELECT lane_id, gateway, epoch, lane, batches, points, duplicate_batches, gap_points,"
                                 " updated_us FROM lane ORDER BY gateway, epoch, lane",
                                 &st, why);

    if (err != NX_OK)
        return err;
    while ((err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        if (books->n == cap) {
            struct historian_ledger_row *grown = arena_alloc(a, (cap = cap ? cap * 2 : 16) * sizeof *grown);

            if (books->n > 0)
                memcpy(grown, books->rows, books->n * sizeof *grown);
            books->rows = grown;
        }
        struct historian_ledger_row *row = &books->rows[books->n++];

        fill_row(a, st, row);
        if ((err = fill_ranges(h, db_col_i64(st, 0), row, why)) != NX_OK ||
            (err = fill_gaps(h, db_col_i64(st, 0), a, row, why)) != NX_OK)
            break;
    }
    db_reset(st);
    return err;
}

enum nx_err
lite_ledger(struct historian *base, struct arena *a, struct historian_books *books, struct nx_note *why)
{
    enum nx_err err = read_lanes(lite_of(base), a, books, why);

    return err == NX_OK ? read_total(lite_of(base), books, why) : err;
}

static void
add_file_bytes(const char *path, uint64_t *bytes)
{
    struct stat sb;

    if (stat(path, &sb) == 0)
        *bytes += (uint64_t)sb.st_size;
}

static void
widen(struct historian_stats *s, const struct db_stmt *st, int i)
{
    if (db_col_is_null(st, i))
        return;
    if (s->first_us == 0 || db_col_i64(st, i) < s->first_us)
        s->first_us = db_col_i64(st, i);
    if (s->last_us == 0 || db_col_i64(st, i + 1) > s->last_us)
        s->last_us = db_col_i64(st, i + 1);
}

static enum nx_err
add_day_stats(struct lite *h, int day, struct historian_stats *s, struct nx_note *why)
{
    char path[4096];
    struct db *db;
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = day_open(h, day, true, &db, why);

    if (err == NX_E_NOT_FOUND)
        return NX_OK;
    if (err == NX_OK)
        err = db_prepare(db, "SELECT points, t_min, t_max FROM day", &st, why);
    if (err == NX_OK && (err = db_step(st, &has_row, why)) == NX_OK && has_row) {
        s->points += (uint64_t)db_col_i64(st, 0);
        widen(s, st, 1);
    }
    add_file_bytes(day_path(h, day, path, sizeof path), &s->bytes);
    db_close(&db);
    if (err != NX_E_CORRUPT)
        return err;
    s->damaged_files++; /* what else there is can be told */
    return NX_OK;
}

static enum nx_err
add_hist_stats(struct lite *h, struct historian_stats *s, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(h->db,
                                 "SELECT (SELECT count(*) FROM series), duplicate_points, quarantined_points,"
                                 " (SELECT ifnull(sum(points), 0) FROM hot), (SELECT min(t_min) FROM hot),"
                                 " (SELECT max(t_max) FROM hot) FROM total",
                                 &st, why);

    if (err != NX_OK || (err = db_step(st, &has_row, why)) != NX_OK || !has_row)
        return err;
    s->series = (uint64_t)db_col_i64(st, 0);
    s->duplicate_points = (uint64_t)db_col_i64(st, 1);
    s->quarantined_points = (uint64_t)db_col_i64(st, 2);
    s->unsealed_points = (uint64_t)db_col_i64(st, 3);
    s->points = s->unsealed_points;
    widen(s, st, 4);
    db_reset(st);
    add_file_bytes(db_path(h->db), &s->bytes);
    return NX_OK;
}

struct roll_sizes {
    const struct lite *h;
    uint64_t *bytes;
};

static void
add_roll_bytes(void *arg, enum roll_file kind, int period)
{
    const struct roll_sizes *r = arg;
    char path[4096];

    add_file_bytes(roll_path(r->h, kind, period, path, sizeof path), r->bytes);
}

static void
add_aside(void *arg, const char *path)
{
    struct historian_stats *s = arg;

    s->damaged_files++;
    add_file_bytes(path, &s->bytes);
}

enum nx_err
lite_stats(struct historian *base, struct historian_stats *out, struct nx_note *why)
{
    struct lite *h = lite_of(base);
    struct arena a = {0};
    int *days;
    size_t n;
    enum nx_err err;

    out->backend = "sqlite";
    err = add_hist_stats(h, out, why);
    if (err == NX_OK)
        err = day_list(h, &a, &days, &n, why);
    for (size_t i = 0; err == NX_OK && i < n; i++)
        err = add_day_stats(h, days[i], out, why);
    if (err == NX_OK)
        err = aside_each(h, add_aside, out, why);
    if (err == NX_OK)
        err = roll_each(h, add_roll_bytes, &(struct roll_sizes){h, &out->bytes}, why);
    arena_free(&a);
    return err;
}
