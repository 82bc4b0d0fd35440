#include "historian/sqlite/lite_fixture.h"

#include "db/db.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

int64_t now_us;

int64_t
fake_now(void)
{
    return now_us;
}

void
store_make(struct store *s)
{
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/nexus-lite-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->url, sizeof s->url, "sqlite:%s", s->dir);
}

void
store_remove(const struct store *s)
{
    DIR *dir = opendir(s->dir);

    for (struct dirent *e; dir && (e = readdir(dir));) {
        char path[400];

        (void)snprintf(path, sizeof path, "%s/%s", s->dir, e->d_name);
        (void)unlink(path);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(s->dir);
}

unsigned
count_files(const struct store *s, const char *prefix, size_t name_len)
{
    DIR *dir = opendir(s->dir);
    unsigned n = 0;

    for (struct dirent *e; dir && (e = readdir(dir));)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0 && strlen(e->d_name) == name_len;
    if (dir)
        (void)closedir(dir);
    return n;
}

struct historian *
store_open(const struct store *s, struct historian_conf conf)
{
    struct historian *h;
    struct nx_note why;

    conf.url = s->url;
    conf.wall_us = fake_now;
    if (historian_open(&h, &conf, &why) != NX_OK)
        fail_msg("%s", why.text);
    return h;
}

struct historian *
open_as(const struct store *s, enum historian_role role)
{
    return store_open(s, (struct historian_conf){.role = role});
}

void
must(enum nx_err err, const struct nx_note *why)
{
    if (err != NX_OK)
        fail_msg("%s", why->text);
}

enum nx_err
commit_as(struct historian *h, const char *topic, uint64_t seq, const struct point *p, unsigned n, struct nx_note *why)
{
    struct series series = {.topic = slice_str(topic), .unit = slice_str("bar"), .data_type = NX_TYPE_DOUBLE};
    struct batch b = {
        .hdr = {slice_str("gw"), 9, 0, seq}, .series = &series, .series_count = 1, .points = p, .point_count = n};
    struct historian_commit_result result;

    return historian_commit(h, &b, 1, &result, why);
}

void
commit(struct historian *h, uint64_t seq, const struct point *p, unsigned n)
{
    struct nx_note why;

    must(commit_as(h, "t", seq, p, n, &why), &why);
}

void
seal(struct historian *h)
{
    struct nx_note why;

    must(historian_seal(h, &why), &why);
}

struct point
point_at(int64_t time_us, double v)
{
    return (struct point){.time_us = time_us, .quality = NX_Q_GOOD, .value = nx_value_double(v)};
}

static bool
keep_row(void *arg, const struct history_row *row)
{
    struct rows *r = arg;

    assert_true(r->n < ROWS);
    r->row[r->n] = *row;
    if (row->value.type == NX_TYPE_STRING)
        r->row[r->n].value = nx_value_string("text", 4);
    r->n++;
    return true;
}

void
ask(struct historian *h, struct history_query q, struct rows *rows)
{
    struct arena a = {0};
    struct nx_note why;

    q.topic = "t";
    rows->n = 0;
    must(historian_query(h, &q, &a, keep_row, rows, &rows->summary, &why), &why);
    arena_free(&a);
}

void
assert_same(const struct rows *a, const struct rows *b)
{
    double x, y;

    assert_int_equal(a->summary.raw_count, b->summary.raw_count);
    assert_int_equal(a->n, b->n);
    for (unsigned i = 0; i < a->n; i++) {
        assert_int_equal(a->row[i].time_us, b->row[i].time_us);
        assert_int_equal(a->row[i].quality, b->row[i].quality);
        assert_int_equal(a->row[i].value.type, b->row[i].value.type);
        if (value_as_double(&a->row[i].value, &x) && value_as_double(&b->row[i].value, &y))
            assert_true(fabs(x - y) <= 1e-9 * (1 + fabs(x)));
    }
}

void
run_sql(const struct store *s, const char *file, const char *sql)
{
    char path[128];
    struct nx_note why;
    struct db_conf conf = {.path = path};
    struct db *db;

    (void)snprintf(path, sizeof path, "%s/%s", s->dir, file);
    must(db_open(&db, &conf, &why), &why);
    must(db_exec(db, sql, &why), &why);
    db_close(&db);
}

struct historian *
store_days(const struct store *s, unsigned days, struct historian_conf conf)
{
    struct point p[200];
    struct nx_note why;
    struct historian *h;

    now_us = START + (days - 1) * DAY + 2 * HOUR;
    h = store_open(s, conf);
    for (unsigned i = 0; i < days * 20; i++)
        p[i] = point_at(START + (i / 20) * DAY + i % 20 * 120 * SEC, i);
    commit(h, 1, p, days * 20);
    now_us += HOUR;
    must(historian_maintain(h, &why), &why);
    return h;
}
