/* lite_kill_test.c -- writer and keeper of a SQLite store as processes that are killed anywhere. */
#include "historian/sqlite/lite_fixture.h"

#include "base/mem.h"
#include "base/num.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

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
    struct historian_books books;
    struct arena a = {0};
    struct nx_note why;
    uint64_t last;

    must(historian_ledger(h, &a, &books, &why), &why);
    last = books.n > 0 ? books.rows[0].last_seq : 0;
    if (books.n > 0)
        assert_int_equal(0, books.rows[0].missing);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_anywhere_nothing_is_lost_or_double)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
