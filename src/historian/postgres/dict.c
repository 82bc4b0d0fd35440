/* dict.c -- series and lanes: from names to the numbers that the tables use.
 *
 * What is new is written in a transaction of its own before the points: nobody then waits for the name of a series
 * until a large transaction ends, and a name that is known stays known when that transaction is rolled back. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "historian/postgres/store.h"

static const struct pg_stmt select_series = {
    "select_series",
    "SELECT topic, series_id, data_type, coalesce(unit, '') FROM hist.series WHERE topic = ANY($1::text[])"};
static const struct pg_stmt insert_series = {
    "insert_series",
    "INSERT INTO hist.series(topic, device_id, tag_id, unit, data_type) SELECT * FROM unnest($1::text[],"
    " $2::text[], $3::text[], $4::text[], $5::int2[]) AS u(topic) ORDER BY topic"
    " ON CONFLICT (topic) DO NOTHING"};
static const struct pg_stmt update_units = {
    "update_units", "UPDATE hist.series s SET unit = u.unit FROM unnest($1::int4[], $2::text[]) AS u(series_id, unit)"
                    " WHERE s.series_id = u.series_id"};
static const struct pg_stmt select_lane = {
    "select_lane", "SELECT lane_id FROM hist.lane WHERE gateway = $1::text AND epoch = $2::int8 AND lane = $3::int4"};
static const struct pg_stmt insert_lane = {
    "insert_lane", "INSERT INTO hist.lane(gateway, epoch, lane) VALUES($1::text, $2::int8, $3::int4)"
                   " ON CONFLICT (gateway, epoch, lane) DO NOTHING"};

/* --- text --- */

bool
pg_text_is_clean(struct slice text)
{
    return text.len == 0 || (!memchr(text.p, 0, text.len) && utf8_is_valid(text));
}

struct slice
pg_clean_text(struct wbuf *w, struct slice text, size_t max)
{
    if (pg_text_is_clean(text))
        return slice(text.p, text.len <= max ? text.len : utf8_cut(text, max));
    wbuf_reset(w);
    for (size_t n; text.len > 0; text = slice_skip(text, n)) {
        n = text.p[0] ? utf8_step(text) : 0;
        if (n > 0)
            wbuf_bytes(w, text.p, n);
        else
            wbuf_bytes(w, "\xEF\xBF\xBD", 3);
        n = n > 0 ? n : 1;
    }
    text = wbuf_slice_of(w);
    return slice(text.p, text.len <= max ? text.len : utf8_cut(text, max));
}

/* --- series --- */

static struct pg_series *
find(const struct pg_store *h, struct slice topic)
{
    struct pg_series *s;

    HASH_FIND(hh, h->series, topic.p, topic.len, s);
    return s;
}

/* Series of the batches at hand that memory does not know, each once. */
struct missing {
    UT_hash_handle hh;
    const struct series *from;
    char *topic; /* as PostgreSQL has it */
    size_t len;
};

struct misses {
    struct missing *list;
    struct pg_args args;
    struct wbuf text;
};

static void
note_missing(struct misses *m, const struct series *s)
{
    struct slice clean;
    struct missing *x;

    HASH_FIND(hh, m->list, s->topic.p, s->topic.len, x);
    if (x)
        return;
    x = mem_alloc(sizeof *x);
    x->from = s;
    clean = pg_clean_text(&m->text, s->topic, UINT16_MAX);
    x->topic = mem_strndup(clean.p, clean.len);
    x->len = clean.len;
    HASH_ADD_KEYPTR(hh, m->list, s->topic.p, s->topic.len, x);
}

static size_t
count_missing(const struct misses *m)
{
    return HASH_COUNT(m->list);
}

static void
forget_missing(struct misses *m)
{
    struct missing *x, *next;

    HASH_ITER (hh, m->list, x, next) {
        HASH_DEL(m->list, x);
        free(x->topic);
        free(x);
    }
}

static void
misses_fini(struct misses *m)
{
    forget_missing(m);
    pg_args_free(&m->args);
    wbuf_free(&m->text);
}

static void
add_topics(struct misses *m)
{
    pg_array_begin(&m->args, PG_OID_TEXT, count_missing(m), false);
    for (struct missing *x = m->list; x; x = x->hh.next)
        pg_put_text(&m->args.bytes, slice(x->topic, x->len));
    pg_array_end(&m->args);
}

static void
learn(struct pg_store *h, struct missing *x, const PGresult *r, int row)
{
    struct pg_series *s = mem_alloc(sizeof *s + x->from->topic.len + 1);
    struct slice unit = pg_text(r, row, 3);

    s->id = pg_i32(r, row, 1);
    s->dirty_takes = -1;
    s->data_type = (uint8_t)pg_i32(r, row, 2);
    s->unit = unit.len ? mem_strndup(unit.p, unit.len) : NULL;
    s->topic_len = x->from->topic.len;
    memcpy(s->topic, x->from->topic.p, s->topic_len);
    HASH_ADD_KEYPTR(hh, h->series, s->topic, s->topic_len, s);
}

/* Rows by topic: several spellings that are not UTF-8 may have become one. */
struct found {
    UT_hash_handle hh;
    int row;
};

static void
learn_all(struct pg_store *h, struct misses *m, const PGresult *r)
{
    struct found *rows = mem_calloc((size_t)PQntuples(r) + 1, sizeof *rows), *by_topic = NULL, *f;
    struct missing *x, *next;

    for (int i = 0; i < PQntuples(r); i++) {
        rows[i].row = i;
        HASH_ADD_KEYPTR(hh, by_topic, PQgetvalue(r, i, 0), (size_t)PQgetlength(r, i, 0), &rows[i]);
    }
    HASH_ITER (hh, m->list, x, next) {
        HASH_FIND(hh, by_topic, x->topic, x->len, f);
        if (!f)
            continue;
        learn(h, x, r, f->row);
        HASH_DEL(m->list, x);
        free(x->topic);
        free(x);
    }
    HASH_CLEAR(hh, by_topic);
    free(rows);
}

static enum nx_err
look_up(struct pg_store *h, struct misses *m, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err;

    pg_args_reset(&m->args);
    add_topics(m);
    err = pg_run(&h->conn, &select_series, &m->args, &r, why);
    if (err == NX_OK)
        learn_all(h, m, r);
    PQclear(r);
    return err;
}

static void
add_texts(struct misses *m, size_t offset)
{
    pg_array_begin(&m->args, PG_OID_TEXT, count_missing(m), false);
    for (struct missing *x = m->list; x; x = x->hh.next) {
        const struct slice *text = (const struct slice *)(const void *)((const char *)x->from + offset);

        pg_put_text(&m->args.bytes, pg_clean_text(&m->text, *text, UINT16_MAX));
    }
    pg_array_end(&m->args);
}

static enum nx_err
insert_missing(struct pg_store *h, struct misses *m, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err;

    pg_args_reset(&m->args);
    add_topics(m);
    add_texts(m, offsetof(struct series, device_id));
    add_texts(m, offsetof(struct series, tag_id));
    add_texts(m, offsetof(struct series, unit));
    pg_array_begin(&m->args, PG_OID_INT2, count_missing(m), false);
    for (struct missing *x = m->list; x; x = x->hh.next)
        pg_put_i16(&m->args.bytes, x->from->data_type);
    pg_array_end(&m->args);
    err = pg_run(&h->conn, &insert_series, &m->args, &r, why);
    PQclear(r);
    return err;
}

/* --- units --- */

static bool
has_other_unit(const struct pg_series *s, const struct series *from)
{
    return from->unit.len > 0 && !slice_eq_str(from->unit, s->unit ? s->unit : "");
}

static void
set_unit(struct pg_series *s, struct slice unit)
{
    free(s->unit);
    s->unit = mem_strndup(unit.p, unit.len);
}

static enum nx_err
update_unit(struct pg_store *h, struct misses *m, struct pg_series *s, const struct series *from, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err;

    pg_args_reset(&m->args);
    pg_array_begin(&m->args, PG_OID_INT4, 1, false);
    pg_put_i32(&m->args.bytes, s->id);
    pg_array_end(&m->args);
    pg_array_begin(&m->args, PG_OID_TEXT, 1, false);
    pg_put_text(&m->args.bytes, pg_clean_text(&m->text, from->unit, UINT16_MAX));
    pg_array_end(&m->args);
    err = pg_run(&h->conn, &update_units, &m->args, &r, why);
    if (err == NX_OK)
        set_unit(s, from->unit);
    PQclear(r);
    return err;
}

static enum nx_err
update_all_units(struct pg_store *h, struct misses *m, const struct batch *b, struct pg_series *const *map,
                 struct nx_note *why)
{
    enum nx_err err = NX_OK;

    for (uint32_t i = 0; i < b->series_count && err == NX_OK; i++)
        if (has_other_unit(map[i], &b->series[i]))
            err = update_unit(h, m, map[i], &b->series[i], why);
    return err;
}

/* --- all of a commit --- */

static bool
has_topic(const struct pg_series *s, struct slice topic)
{
    return s && s->topic_len == topic.len && memcmp(s->topic, topic.p, topic.len) == 0;
}

/* A gateway names its series in the same order again and again: the one that followed last time is looked at first. */
static struct pg_series *
find_after(const struct pg_store *h, struct pg_series *before, struct slice topic)
{
    if (!before)
        return find(h, topic);
    if (!has_topic(before->next, topic))
        before->next = find(h, topic);
    return before->next;
}

/* Fills in what memory knows of those that are still missing in the map. */
static void
map_batch(struct pg_store *h, struct misses *m, const struct batch *b, struct pg_series **map)
{
    for (uint32_t i = 0; i < b->series_count; i++)
        if (!map[i] && !(map[i] = find_after(h, i > 0 ? map[i - 1] : NULL, b->series[i].topic)))
            note_missing(m, &b->series[i]);
}

static void
map_all(struct pg_store *h, struct misses *m, const struct batch *batches, size_t n)
{
    struct pg_series **map = h->stage->map;

    for (size_t i = 0; i < n; map += batches[i++].series_count)
        map_batch(h, m, &batches[i], map);
}

/* From here on each series of the batches is found by its place: a look-up costs more than all else that is done for a
 * point. */
static void
clear_map(struct pg_stage *s, const struct batch *batches, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += batches[i].series_count;
    GROW(s->map, s->map_cap, count);
    if (count > 0)
        memset(s->map, 0, count * sizeof(struct pg_series *));
}

static enum nx_err
make_missing(struct pg_store *h, struct misses *m, struct nx_note *why)
{
    enum nx_err err = look_up(h, m, why);

    if (err == NX_OK && m->list && (err = insert_missing(h, m, why)) == NX_OK)
        err = look_up(h, m, why);
    if (err == NX_OK && m->list)
        err = nx_fail(why, NX_E_IO, "PostgreSQL %s: a series vanished while it was made", h->conn.shown);
    return err;
}

enum nx_err
pg_dict_resolve(struct pg_store *h, const struct batch *batches, size_t n, struct nx_note *why)
{
    struct misses m = {.args = pg_args_init(), .text = wbuf_init(0)};
    struct pg_series *const *map;
    enum nx_err err = NX_OK;

    clear_map(h->stage, batches, n);
    map_all(h, &m, batches, n);
    if (m.list && (err = make_missing(h, &m, why)) == NX_OK)
        map_all(h, &m, batches, n);
    map = h->stage->map;
    for (size_t i = 0; i < n && err == NX_OK; map += batches[i++].series_count)
        err = update_all_units(h, &m, &batches[i], map, why);
    misses_fini(&m);
    return err;
}

/* --- lanes --- */

struct pg_lane *
pg_lane_find(const struct pg_store *h, const struct batch_header *hdr)
{
    struct lane_key key = lane_key_of(hdr);
    struct pg_lane *lane;

    HASH_FIND(hh, h->lanes, &key, sizeof key, lane);
    return lane;
}

static enum nx_err
read_lane(struct pg_store *h, struct pg_lane *lane, const struct pg_args *args, struct nx_note *why)
{
    PGresult *r;
    enum nx_err err = pg_run(&h->conn, &select_lane, args, &r, why);

    if (err == NX_OK && PQntuples(r) == 1)
        lane->id = pg_i32(r, 0, 0);
    PQclear(r);
    return err;
}

static enum nx_err
make_lane(struct pg_store *h, struct pg_lane *lane, struct nx_note *why)
{
    struct pg_args args = pg_args_init();
    struct wbuf text = wbuf_init(0);
    PGresult *r = NULL;
    enum nx_err err;

    pg_arg_text(&args, pg_clean_text(&text, slice(lane->key.gateway, lane->key.gateway_len), UINT16_MAX));
    pg_arg_i64(&args, (int64_t)lane->key.epoch);
    pg_arg_i32(&args, (int32_t)lane->key.lane);
    err = read_lane(h, lane, &args, why);
    if (err == NX_OK && lane->id == 0 && (err = pg_run(&h->conn, &insert_lane, &args, &r, why)) == NX_OK)
        err = read_lane(h, lane, &args, why);
    if (err == NX_OK && lane->id == 0)
        err = nx_fail(why, NX_E_IO, "PostgreSQL %s: a lane vanished while it was made", h->conn.shown);
    PQclear(r);
    pg_args_free(&args);
    wbuf_free(&text);
    return err;
}

enum nx_err
pg_lanes_resolve(struct pg_store *h, const struct batch *batches, size_t n, struct nx_note *why)
{
    enum nx_err err = NX_OK;

    for (size_t i = 0; i < n && err == NX_OK; i++) {
        struct pg_lane *lane = pg_lane_find(h, &batches[i].hdr);

        if (!lane) {
            lane = mem_alloc(sizeof *lane);
            lane->key = lane_key_of(&batches[i].hdr);
            HASH_ADD(hh, h->lanes, key, sizeof lane->key, lane);
        }
        if (lane->id == 0)
            err = make_lane(h, lane, why);
    }
    return err;
}

void
pg_dict_forget(struct pg_store *h)
{
    struct pg_series *s, *next_series;
    struct pg_lane *lane, *next_lane;

    HASH_ITER (hh, h->series, s, next_series) {
        HASH_DEL(h->series, s);
        free(s->unit);
        free(s);
    }
    HASH_ITER (hh, h->lanes, lane, next_lane) {
        HASH_DEL(h->lanes, lane);
        seqset_fini(&lane->done);
        free(lane);
    }
}
