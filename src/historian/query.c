/* query.c -- reading: hot blocks first, then the day files, merged in the order of time; what is in both shows once. */
#include "historian/historian_priv.h"

#include <stdlib.h>

#include "base/mem.h"
#include "historian/block.h"
#include "historian/reduce.h"
#include "historian/run.h"

#define DEFAULT_POINTS 1000u
#define MAX_POINTS     1000000u

struct query {
    struct historian *h;
    const struct history_query *q;
    struct history_summary *summary;
    struct nx_note *why;
    history_row_cb *each;
    void *arg;
    uint32_t max_points;
    uint32_t sid;
    struct reduce reduce;
    bool is_done; /* enough, or each() said stop */
    uint64_t given;
    struct arena texts; /* hot runs; texts of points lie in them */
    struct point *hot;
    size_t hot_count, hot_cap, hot_at;
    struct point *chunk;
};

static enum nx_err
find_series(struct query *x, struct arena *a)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(x->h->db, "SELECT series_id, unit FROM series WHERE topic = ?", &st, x->why);

    if (err != NX_OK)
        return err;
    db_bind_text(st, 1, x->q->topic);
    if ((err = db_step(st, &has_row, x->why)) == NX_OK && has_row) {
        const char *unit = db_col_text(st, 1);

        x->sid = (uint32_t)db_col_i64(st, 0);
        x->summary->unit = arena_strdup(a, unit ? unit : "");
    } else if (err == NX_OK) {
        err = nx_fail(x->why, NX_E_NOT_FOUND, "no values were ever stored for topic \"%s\"", x->q->topic);
    }
    db_reset(st);
    return err;
}

/* --- hot blocks --- */

static enum nx_err
add_hot_run(struct query *x, const struct block_run *run)
{
    struct slice copy = slice(arena_strndup(&x->texts, run->data.p, run->data.len), run->data.len);

    if (x->hot_cap < x->hot_count + run->count) {
        x->hot_cap = (x->hot_count + run->count) * 2;
        x->hot = mem_realloc(x->hot, x->hot_cap * sizeof *x->hot);
    }
    if (run_decode(copy, &x->hot[x->hot_count], run->count) != NX_OK)
        return nx_fail(x->why, NX_E_CORRUPT, "%s: a block is damaged", db_path(x->h->db));
    x->hot_count += run->count;
    return NX_OK;
}

static enum nx_err
add_hot_block(struct query *x, struct slice data)
{
    struct block_reader reader = block_open(data);
    struct block_run run;
    enum nx_err err = NX_OK;

    while (err == NX_OK && block_next(&reader, &run) && run.sid <= x->sid)
        if (run.sid == x->sid)
            err = add_hot_run(x, &run);
    if (reader.is_corrupt)
        return nx_fail(x->why, NX_E_CORRUPT, "%s: a block is damaged", db_path(x->h->db));
    return err;
}

static enum nx_err
load_hot(struct query *x)
{
    struct db_stmt *st;
    bool has_row;
    uint64_t duplicates = 0;
    enum nx_err err =
        db_prepare(x->h->db, "SELECT data FROM hot WHERE t_max >= ? AND t_min < ? ORDER BY block_id", &st, x->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, x->q->from_us);
    db_bind_i64(st, 2, x->q->to_us);
    while (err == NX_OK && (err = db_step(st, &has_row, x->why)) == NX_OK && has_row)
        err = add_hot_block(x, db_col_slice(st, 0));
    db_reset(st);
    if (x->hot_count > 0)
        x->hot_count = points_sort_unique(x->hot, x->hot_count, &duplicates);
    return err;
}

/* --- giving --- */

static void
give_raw(struct query *x, const struct point *p)
{
    struct history_row row = {.time_us = p->time_us, .quality = p->quality, .value = p->value};

    if (x->given == x->max_points) {
        x->summary->has_more = true;
        x->is_done = true;
        return;
    }
    x->given++;
    if (!x->each(x->arg, &row))
        x->is_done = true;
}

static void
give(struct query *x, const struct point *p)
{
    if (p->time_us < x->q->from_us || p->time_us >= x->q->to_us)
        return;
    x->summary->raw_count++;
    if (x->q->fn == HISTORY_RAW) {
        give_raw(x, p);
        return;
    }
    reduce_feed(&x->reduce, p);
    x->is_done = x->reduce.is_stopped;
}

/* A sealed point; hot ones before it go first, the hot copy of it is dropped. */
static void
give_sealed(struct query *x, const struct point *p)
{
    while (!x->is_done && x->hot_at < x->hot_count && x->hot[x->hot_at].time_us <= p->time_us) {
        if (x->hot[x->hot_at].time_us < p->time_us)
            give(x, &x->hot[x->hot_at]);
        x->hot_at++;
    }
    if (!x->is_done)
        give(x, p);
}

static enum nx_err
read_chunks(struct query *x, struct db *day)
{
    struct db_stmt *st;
    bool has_row;
    enum nx_err err =
        db_prepare(day, "SELECT n, data FROM chunk WHERE series_id = ? AND t0 < ? AND t1 >= ? ORDER BY t0", &st,
                   x->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, x->sid);
    db_bind_i64(st, 2, x->q->to_us);
    db_bind_i64(st, 3, x->q->from_us);
    while (!x->is_done && (err = db_step(st, &has_row, x->why)) == NX_OK && has_row) {
        size_t n = (size_t)db_col_i64(st, 0);

        if (n > RUN_MAX_POINTS || run_decode(db_col_slice(st, 1), x->chunk, n) != NX_OK)
            return nx_fail(x->why, NX_E_CORRUPT, "%s: a chunk is damaged", db_path(day));
        for (size_t i = 0; i < n && !x->is_done; i++)
            give_sealed(x, &x->chunk[i]);
    }
    db_reset(st);
    return err;
}

static enum nx_err
read_day(struct query *x, int day)
{
    struct db *db;
    enum nx_err err = day_open(x->h, day, true, &db, x->why);

    if (err == NX_E_NOT_FOUND) /* the retention took it in the meantime */
        return NX_OK;
    if (err == NX_OK)
        err = read_chunks(x, db);
    db_close(&db);
    return err;
}

static enum nx_err
read_days(struct query *x)
{
    struct arena a = {0};
    int *days, first = day_of(x->q->from_us), last = day_of(x->q->to_us - 1);
    size_t n;
    enum nx_err err = day_list(x->h, &a, &days, &n, x->why);

    for (size_t i = 0; err == NX_OK && i < n && !x->is_done; i++)
        if (days[i] >= first && days[i] <= last)
            err = read_day(x, days[i]);
    arena_free(&a);
    return err;
}

static enum nx_err
read_all(struct query *x)
{
    enum nx_err err = load_hot(x);

    if (err == NX_OK)
        err = read_days(x);
    while (err == NX_OK && !x->is_done && x->hot_at < x->hot_count)
        give(x, &x->hot[x->hot_at++]);
    return err;
}

enum nx_err
historian_query(struct historian *h, const struct history_query *q, struct arena *a, history_row_cb *each, void *arg,
                struct history_summary *summary, struct nx_note *why)
{
    struct query x = {.h = h, .q = q, .summary = summary, .why = why, .each = each, .arg = arg};
    enum nx_err err;

    *summary = (struct history_summary){.unit = ""};
    if (q->from_us >= q->to_us)
        return nx_fail(why, NX_E_RANGE, "from must lie before to");
    x.max_points = q->max_points == 0 ? DEFAULT_POINTS : q->max_points < MAX_POINTS ? q->max_points : MAX_POINTS;
    /* One read transaction from the first look at hot blocks to the end: see seal.c. */
    if ((err = db_begin(h->db, DB_READ, why)) != NX_OK)
        return err;
    if ((err = find_series(&x, a)) == NX_OK) {
        x.reduce = reduce_init(q, x.max_points, each, arg);
        x.chunk = mem_calloc(RUN_MAX_POINTS, sizeof *x.chunk);
        summary->bucket_us = q->fn == HISTORY_RAW ? 0 : x.reduce.bucket_us;
        err = read_all(&x);
        reduce_fini(&x.reduce);
    }
    db_rollback(h->db);
    arena_free(&x.texts);
    free(x.hot);
    free(x.chunk);
    return err;
}
