/* lite_test.c -- what is particular to the SQLite historian: rollups against points, a keeper beside the writer, both
 * of them killed, retention, the bound of what waits. */
#include "historian/historian.h"

#include "base/mem.h"
#include "base/num.h"
#include "db/db.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SEC   INT64_C(1000000)
#define HOUR  (3600 * SEC)
#define DAY   (86400 * SEC)
#define START (INT64_C(19700) * DAY) /* a midnight in 2023 */
#define ROWS  4000

static int64_t now_us;

static int64_t
fake_now(void)
{
    return now_us;
}

struct store {
    char dir[64], url[80];
};

static void
store_make(struct store *s)
{
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/nexus-lite-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->url, sizeof s->url, "sqlite:%s", s->dir);
}

static void
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

static unsigned
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

static struct historian *
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

static struct historian *
open_as(const struct store *s, enum historian_role role)
{
    return store_open(s, (struct historian_conf){.role = role});
}

static void
must(enum nx_err err, const struct nx_note *why)
{
    if (err != NX_OK)
        fail_msg("%s", why->text);
}

static enum nx_err
commit_as(struct historian *h, const char *topic, uint64_t seq, const struct point *p, unsigned n, struct nx_note *why)
{
    struct series series = {.topic = slice_str(topic), .unit = slice_str("bar"), .data_type = NX_TYPE_DOUBLE};
    struct batch b = {
        .hdr = {slice_str("gw"), 9, 0, seq}, .series = &series, .series_count = 1, .points = p, .point_count = n};
    struct historian_commit_result result;

    return historian_commit(h, &b, 1, &result, why);
}

static void
commit(struct historian *h, uint64_t seq, const struct point *p, unsigned n)
{
    struct nx_note why;

    must(commit_as(h, "t", seq, p, n, &why), &why);
}

static void
seal(struct historian *h)
{
    struct nx_note why;

    must(historian_seal(h, &why), &why);
}

static struct point
point_at(int64_t time_us, double v)
{
    return (struct point){.time_us = time_us, .quality = NX_Q_GOOD, .value = nx_value_double(v)};
}

struct rows {
    struct history_row row[ROWS];
    unsigned n;
    struct history_summary summary;
};

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

static void
ask(struct historian *h, struct history_query q, struct rows *rows)
{
    struct arena a = {0};
    struct nx_note why;

    q.topic = "t";
    rows->n = 0;
    must(historian_query(h, &q, &a, keep_row, rows, &rows->summary, &why), &why);
    arena_free(&a);
}

static void
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

/* --- rollups --- */

/* A value every 20 s or so in some hours of six days; now and then bad, or a text on the fourth day. */
static unsigned
random_points(struct point *p, unsigned n, uint64_t *seed)
{
    int64_t at = START + (int64_t)(num_random(seed) % 6) * DAY + (int64_t)(num_random(seed) % 24) * HOUR;

    for (unsigned i = 0; i < n; i++) {
        at += SEC + (int64_t)(num_random(seed) % 40000) * 1000;
        p[i] = point_at(at, (double)(num_random(seed) % 1000) / 10);
        if (num_random(seed) % 13 == 0)
            p[i] = (struct point){.time_us = at, .quality = NX_Q_TIMEOUT};
        else if (num_random(seed) % 50 == 0 && (at - START) / DAY == 3)
            p[i].value = nx_value_string("text", 4);
    }
    return n;
}

static struct history_query
random_query(uint64_t *seed)
{
    struct history_query q = {.from_us = START - HOUR + (int64_t)(num_random(seed) % (uint64_t)(6 * DAY))};

    q.to_us = q.from_us + 1 + (int64_t)(num_random(seed) % (uint64_t)(num_random(seed) % 2 ? 7 * DAY : 5 * HOUR));
    q.fn = (enum history_fn)(HISTORY_MINMAX + num_random(seed) % 5);
    q.fill = (enum history_fill)(num_random(seed) % 4);
    q.resolution = (enum history_resolution)(num_random(seed) % 5);
    q.max_points = 1 + (uint32_t)(num_random(seed) % 1000);
    return q;
}

/* The same commits in a store that seals and rolls up and in one where everything stays hot. */
static void
rollups_answer_as_points_do(void **state)
{
    struct store rolled, hot;
    struct rows *a = mem_alloc(sizeof *a), *b = mem_alloc(sizeof *b);
    struct historian *h, *plain;
    struct point p[800];
    uint64_t seed = 8, with_rollups = 0;

    (void)state;
    store_make(&rolled);
    store_make(&hot);
    now_us = START + 10 * DAY;
    h = open_as(&rolled, HISTORIAN_WRITER);
    plain = open_as(&hot, HISTORIAN_WRITER);
    for (unsigned round = 1; round <= 15; round++) {
        unsigned n = random_points(p, 800, &seed);

        commit(h, round, p, n);
        commit(plain, round, p, n);
        if (round % 5 == 0)
            seal(h);
        for (unsigned i = 0; i < 80; i++) {
            struct history_query q = random_query(&seed);

            ask(h, q, a);
            ask(plain, q, b);
            assert_same(a, b);
            with_rollups += a->summary.resolution != HISTORY_RESOLUTION_RAW;
            assert_int_equal(HISTORY_RESOLUTION_RAW, b->summary.resolution);
        }
    }
    assert_true(with_rollups > 150);
    historian_close(&h);
    historian_close(&plain);
    store_remove(&rolled);
    store_remove(&hot);
    free(a);
    free(b);
}

/* A day is rolled up when it is over, not before; a late value makes it points again until the next time. */
static void
a_late_value_is_seen_at_once_and_rolled_up_later(void **state)
{
    struct history_query q = {.from_us = START,
                              .to_us = START + DAY,
                              .fn = HISTORY_AVG,
                              .max_points = 24,
                              .resolution = HISTORY_RESOLUTION_HOUR};
    struct store s;
    struct rows rows;
    struct historian *h;
    struct point p[3] = {point_at(START + HOUR, 1), point_at(START + 2 * HOUR, 3), point_at(START + DAY + HOUR, 5)};
    struct point late = point_at(START + HOUR + SEC, 2);

    (void)state;
    store_make(&s);
    now_us = START + DAY + 2 * HOUR;
    h = open_as(&s, HISTORIAN_WRITER);
    commit(h, 1, p, 3);
    seal(h);
    ask(h, q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_HOUR, rows.summary.resolution);
    assert_true(rows.n == 2 && rows.row[0].value.d == 1);
    commit(h, 2, &late, 1);
    ask(h, q, &rows);
    assert_true(rows.n == 2 && rows.row[0].value.d == 1.5);
    seal(h);
    ask(h, q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_HOUR, rows.summary.resolution);
    assert_true(rows.n == 2 && rows.row[0].value.d == 1.5);
    q.from_us += DAY;
    q.to_us += DAY;
    ask(h, q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_RAW, rows.summary.resolution);
    assert_int_equal(1, rows.n);
    historian_close(&h);
    store_remove(&s);
}

/* Raw values go after days, minutes after a month; hours stay, and the last value is still known. */
static void
rollups_outlive_raw_values(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER, .retention_days = 7, .rollup_retention_days = 40};
    struct history_query q = {.from_us = START,
                              .to_us = START + 6 * HOUR,
                              .fn = HISTORY_MINMAX,
                              .resolution = HISTORY_RESOLUTION_MINUTE};
    struct history_query before = {.from_us = START + 20 * DAY,
                                   .to_us = START + 20 * DAY + HOUR,
                                   .fn = HISTORY_LAST,
                                   .max_points = 1,
                                   .fill = HISTORY_FILL_PREVIOUS};
    struct store s;
    struct rows rows;
    struct nx_note why;
    struct point p[100];
    struct historian *h;

    (void)state;
    store_make(&s);
    now_us = START + 2 * DAY;
    h = store_open(&s, conf);
    for (unsigned i = 0; i < 100; i++)
        p[i] = point_at(START + i * 120 * SEC, i);
    commit(h, 1, p, 100);
    seal(h);
    now_us = START + 9 * DAY;
    must(historian_maintain(h, &why), &why);
    assert_int_equal(0, count_files(&s, "hist-", 16));
    ask(h, q, &rows);
    assert_int_equal(HISTORY_RESOLUTION_MINUTE, rows.summary.resolution);
    assert_int_equal(100, rows.n);
    q.resolution = HISTORY_RESOLUTION_RAW;
    ask(h, q, &rows);
    assert_int_equal(0, rows.n);
    ask(h, before, &rows);
    assert_true(rows.n == 1 && rows.row[0].value.d == 99);

    assert_int_equal(1, count_files(&s, "roll-", 14));
    now_us = START + 80 * DAY;
    must(historian_maintain(h, &why), &why);
    assert_int_equal(0, count_files(&s, "roll-", 14));
    q.resolution = HISTORY_RESOLUTION_HOUR;
    q.max_points = 6;
    ask(h, q, &rows);
    assert_int_equal(8, rows.n); /* two of each hour but the last ones, where there is one value or none */
    historian_close(&h);
    store_remove(&s);
}

/* --- keeper --- */

static void
there_is_one_keeper_and_it_works_for_the_writer(void **state)
{
    struct store s;
    struct point p = point_at(START, 1);
    struct historian_conf conf = {.role = HISTORIAN_KEEPER, .wall_us = fake_now};
    struct historian *h, *keeper, *other;
    struct historian_stats stats;
    struct nx_note why;

    (void)state;
    store_make(&s);
    conf.url = s.url;
    now_us = START + HOUR;
    h = open_as(&s, HISTORIAN_WRITER);
    keeper = open_as(&s, HISTORIAN_KEEPER);
    assert_int_equal(NX_E_CONFLICT, historian_open(&other, &conf, &why));
    assert_non_null(strstr(why.text, s.dir));
    commit(h, 1, &p, 1);
    assert_int_equal(NX_E_BUSY, historian_seal(h, &why));
    now_us += HOUR;
    must(historian_maintain(h, &why), &why); /* leaves it to the keeper */
    must(historian_stats_of(h, &stats, &why), &why);
    assert_int_equal(1, stats.unsealed_points);
    must(historian_maintain(keeper, &why), &why);
    must(historian_stats_of(h, &stats, &why), &why);
    assert_int_equal(0, stats.unsealed_points);
    assert_int_equal(1, stats.points);
    historian_close(&keeper);
    seal(h);
    historian_close(&h);
    store_remove(&s);
}

/* More waits than may: refused while a keeper is there that does nothing, done by the writer itself when none is. */
static void
what_waits_is_bounded(void **state)
{
    struct store s;
    struct point p = point_at(START, 1);
    struct historian *h, *keeper;
    struct nx_note why;
    struct db *db;
    char path[100];

    (void)state;
    store_make(&s);
    now_us = START + HOUR;
    h = open_as(&s, HISTORIAN_WRITER);
    keeper = open_as(&s, HISTORIAN_KEEPER);
    (void)snprintf(path, sizeof path, "%s/hist.db", s.dir);
    must(db_open(&db, &(struct db_conf){.path = path}, &why), &why);
    must(db_exec(db, "UPDATE total SET hot_points = 9000000", &why), &why);
    commit(h, 1, &p, 1);
    p.time_us += SEC;
    assert_int_equal(NX_E_BUSY, commit_as(h, "t", 2, &p, 1, &why));
    assert_non_null(strstr(why.text, "wait for sealing"));
    must(db_exec(db, "UPDATE total SET hot_points = 1", &why), &why);
    commit(h, 2, &p, 1);
    must(db_exec(db, "UPDATE total SET hot_points = 9000000", &why), &why);
    db_close(&db);
    historian_close(&keeper);
    p.time_us += SEC;
    commit(h, 3, &p, 1); /* learns that it is full */
    (void)commit_as(h, "t", 4, &p, 1, &why);
    assert_int_equal(1, count_files(&s, "hist-", 16)); /* it sealed by itself */
    historian_close(&h);
    store_remove(&s);
}

struct worker {
    struct historian *h;
    atomic_bool *stop;
    unsigned rounds;
};

static void *
keep(void *arg)
{
    struct worker *w = arg;
    struct nx_note why;

    while (!atomic_load(w->stop)) {
        must(historian_seal(w->h, &why), &why);
        must(historian_maintain(w->h, &why), &why);
        w->rounds++;
    }
    return NULL;
}

/* Writer, keeper and reader each on a thread: nothing is missing, nothing is double, at any time. */
static void
a_keeper_seals_while_values_are_stored_and_read(void **state)
{
    struct store s;
    struct rows *rows = mem_alloc(sizeof *rows);
    struct historian *h, *reader;
    atomic_bool stop = false;
    struct worker w = {.stop = &stop};
    pthread_t thread;

    (void)state;
    store_make(&s);
    now_us = START + 3 * DAY;
    h = open_as(&s, HISTORIAN_WRITER);
    w.h = open_as(&s, HISTORIAN_KEEPER);
    reader = open_as(&s, HISTORIAN_READER);
    assert_int_equal(0, pthread_create(&thread, NULL, keep, &w));
    for (unsigned i = 1; i <= 100; i++) {
        struct point p[10];
        struct history_query raw = {.from_us = START, .to_us = START + 3 * DAY, .max_points = ROWS};
        struct history_query hours = {.from_us = START,
                                      .to_us = START + 3 * DAY,
                                      .fn = HISTORY_AVG,
                                      .max_points = 72,
                                      .resolution = HISTORY_RESOLUTION_HOUR};

        for (unsigned k = 0; k < 10; k++)
            p[k] = point_at(START + ((i * 10 + k) * 7919 % 3001) * 60 * SEC, i);
        commit(h, i, p, 10);
        ask(reader, raw, rows);
        assert_int_equal(i * 10, rows->n);
        ask(reader, hours, rows);
        assert_int_equal(i * 10, rows->summary.raw_count);
    }
    atomic_store(&stop, true);
    (void)pthread_join(thread, NULL);
    assert_true(w.rounds > 0);
    historian_close(&w.h);
    historian_close(&h);
    historian_close(&reader);
    store_remove(&s);
    free(rows);
}

/* --- kill -9 --- */

#define KILL_POINTS 50u

static void
points_of(uint64_t seq, struct point *p)
{
    for (unsigned k = 0; k < KILL_POINTS; k++)
        p[k] = point_at(START + (int64_t)((seq * KILL_POINTS + k) * 7919 % 8000) * 60 * SEC, (double)seq);
}

static uint64_t
last_seq(struct historian *h)
{
    struct historian_ledger_row *rows;
    struct arena a = {0};
    struct nx_note why;
    uint64_t last;
    size_t n;

    must(historian_ledger(h, &a, &rows, &n, &why), &why);
    last = n > 0 ? rows[0].last_seq : 0;
    if (n > 0)
        assert_int_equal(0, rows[0].missing);
    arena_free(&a);
    return last;
}

static void
write_until_killed(const struct store *s)
{
    struct historian *h = open_as(s, HISTORIAN_WRITER);
    struct timespec pause = {.tv_nsec = 500000};

    for (uint64_t seq = last_seq(h) + 1; seq <= 160; seq++) {
        struct point p[KILL_POINTS];

        points_of(seq, p);
        commit(h, seq, p, KILL_POINTS);
        (void)nanosleep(&pause, NULL);
    }
    for (;;)
        (void)pause.tv_sec, (void)usleep(1000);
}

static void
keep_until_killed(const struct store *s)
{
    struct historian *keeper = open_as(s, HISTORIAN_KEEPER);

    for (;;)
        seal(keeper);
}

static pid_t
start(void (*run)(const struct store *s), const struct store *s)
{
    pid_t pid = fork();

    if (pid == 0) {
        run(s);
        _exit(1);
    }
    return pid;
}

static void
kill_one(pid_t pid)
{
    int status;

    assert_int_equal(0, kill(pid, SIGKILL));
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_true(WIFSIGNALED(status)); /* it was well until then */
}

static void
check_all(const struct store *s, struct rows *a, struct rows *b)
{
    struct historian *h = open_as(s, HISTORIAN_READER);
    struct history_query q = {.from_us = START, .to_us = START + 6 * DAY, .max_points = HISTORY_NO_LIMIT};
    uint64_t seq = last_seq(h);

    for (int64_t day = 0; day < 6 && seq > 0; day++) {
        q.from_us = START + day * DAY;
        q.to_us = q.from_us + DAY;
        q.max_points = 24;
        q.fn = day % 2 ? HISTORY_MINMAX : HISTORY_TWA;
        q.resolution = HISTORY_RESOLUTION_RAW;
        ask(h, q, a);
        q.resolution = HISTORY_RESOLUTION_HOUR;
        ask(h, q, b);
        assert_same(a, b);
    }
    q = (struct history_query){.from_us = START, .to_us = START + 6 * DAY, .fn = HISTORY_AVG, .max_points = 1};
    q.resolution = HISTORY_RESOLUTION_RAW;
    if (seq > 0)
        ask(h, q, a);
    assert_int_equal(seq * KILL_POINTS, seq > 0 ? a->summary.raw_count : 0);
    historian_close(&h);
}

static void
killed_anywhere_nothing_is_lost_or_double(void **state)
{
    struct store s;
    struct rows *a = mem_alloc(sizeof *a), *b = mem_alloc(sizeof *b);
    struct historian *h;
    uint64_t seed = 21;

    (void)state;
    store_make(&s);
    now_us = START + 9 * DAY;
    h = open_as(&s, HISTORIAN_WRITER); /* closed again before the first child: SQLite does not survive fork */
    historian_close(&h);
    for (unsigned round = 0; round < 15; round++) {
        pid_t writer = start(write_until_killed, &s), keeper = start(keep_until_killed, &s);

        (void)usleep((useconds_t)(4000 + num_random(&seed) % 60000));
        kill_one(num_random(&seed) % 2 ? keeper : writer);
        /* The other goes on for a while. */
        (void)usleep((useconds_t)(num_random(&seed) % 20000));
        if (waitpid(keeper, NULL, WNOHANG) == 0)
            kill_one(keeper);
        if (waitpid(writer, NULL, WNOHANG) == 0)
            kill_one(writer);
        h = open_as(&s, HISTORIAN_WRITER);
        historian_close(&h);
        check_all(&s, a, b);
    }
    h = open_as(&s, HISTORIAN_WRITER);
    assert_true(last_seq(h) > 20);
    seal(h);
    historian_close(&h);
    check_all(&s, a, b);
    store_remove(&s);
    free(a);
    free(b);
}

/* --- the value before a time --- */

static void
the_value_before_is_found_wherever_it_is(void **state)
{
    struct history_query q = {.fn = HISTORY_LAST,
                              .max_points = 1,
                              .fill = HISTORY_FILL_PREVIOUS,
                              .resolution = HISTORY_RESOLUTION_RAW};
    struct store s;
    struct rows rows;
    struct historian *h;
    struct point p[40];

    (void)state;
    store_make(&s);
    now_us = START + 200 * DAY;
    h = open_as(&s, HISTORIAN_WRITER);
    for (unsigned i = 0; i < 40; i++) /* every third day */
        p[i] = point_at(START + i * 3 * DAY + 5 * HOUR, i);
    p[7].value = nx_value_string("text", 4);
    commit(h, 1, p, 20);
    seal(h);
    commit(h, 2, p + 20, 20);
    for (unsigned i = 0; i < 80; i++) {
        unsigned k = i / 2;

        q.from_us = p[k].time_us + (i % 2 ? 1 : HOUR * 50);
        q.to_us = q.from_us + SEC;
        ask(h, q, &rows);
        assert_int_equal(1, rows.n);
        assert_true(value_eq(&p[k].value, &rows.row[0].value));
    }
    q.from_us = p[0].time_us;
    q.to_us = q.from_us + SEC;
    ask(h, q, &rows); /* the value at the time is no value before it */
    assert_int_equal(p[0].time_us, rows.row[0].time_us);
    q.from_us -= 2 * SEC;
    q.to_us -= 2 * SEC;
    ask(h, q, &rows);
    assert_int_equal(NX_TYPE_NONE, rows.row[0].value.type);
    historian_close(&h);
    store_remove(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollups_answer_as_points_do),
        cmocka_unit_test(a_late_value_is_seen_at_once_and_rolled_up_later),
        cmocka_unit_test(rollups_outlive_raw_values),
        cmocka_unit_test(there_is_one_keeper_and_it_works_for_the_writer),
        cmocka_unit_test(what_waits_is_bounded),
        cmocka_unit_test(a_keeper_seals_while_values_are_stored_and_read),
        cmocka_unit_test(killed_anywhere_nothing_is_lost_or_double),
        cmocka_unit_test(the_value_before_is_found_wherever_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
