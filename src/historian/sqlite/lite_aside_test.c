/* lite_aside_test.c -- files that are damaged as a whole: they are set aside, named, and hold up nothing else. */
#include "historian/sqlite/lite_fixture.h"

#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ASIDE  FIRST_DAY ".damaged-1"
#define FAULTS 5u

static void
write_over(const struct store *s, const char *file, off_t at, size_t n)
{
    char path[128], *bytes = mem_alloc(n);
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", s->dir, file);
    memset(bytes, 0x5a, n);
    assert_true((fd = open(path, O_WRONLY)) >= 0);
    assert_int_equal(n, pwrite(fd, bytes, n, at));
    (void)close(fd);
    free(bytes);
}

static off_t
size_of(const struct store *s, const char *file)
{
    char path[128];
    struct stat sb;

    (void)snprintf(path, sizeof path, "%s/%s", s->dir, file);
    return stat(path, &sb) == 0 ? sb.st_size : -1;
}

static void
cut(const struct store *s, const char *file, off_t size)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", s->dir, file);
    assert_int_equal(0, truncate(path, size));
}

/* Nobody has the file open, and it has no log. */
static void
break_file(const struct store *s, const char *file, unsigned fault)
{
    off_t size = size_of(s, file);

    assert_true(size > 4096);
    switch (fault) {
    case 0: /* no database any more */
        write_over(s, file, 0, 100);
        break;
    case 1:
        cut(s, file, 0);
        break;
    case 2: /* the page of the schema behind the header */
        write_over(s, file, 100, 3996);
        break;
    case 3:
        cut(s, file, size / 2);
        break;
    default: /* all but the schema */
        write_over(s, file, 4096, (size_t)size - 4096);
    }
}

static void
count_finding(void *arg, const struct historian_finding *f)
{
    unsigned *aside = arg;

    *aside += strstr(f->place, ".damaged-") != NULL && strstr(f->remedy, "backup") != NULL;
}

static void
assert_recorded(struct historian *h, unsigned files)
{
    struct historian_stats stats;
    struct historian_verified done;
    struct nx_note why, what = {0};
    unsigned aside = 0;

    must(historian_stats_of(h, &stats, &why), &why);
    assert_int_equal(files, stats.damaged_files);
    must(historian_verify(h, count_finding, &aside, NULL, &done, &why), &why);
    assert_int_equal(files, aside);
    assert_int_equal(files, done.findings);
    assert_int_equal(files, historian_damaged_files(h, &what));
    assert_int_equal(files > 0 ? NX_E_CORRUPT : NX_OK, what.err);
    assert_int_equal(files > 0, strstr(what.text, "backup") != NULL);
}

/* Late values of a day whose file is gone for good: it is set aside, they get a new one, and the other day has its. */
static void
sealing_sets_a_damaged_day_aside(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER};
    struct history_query q = {.from_us = START, .to_us = START + 3 * DAY, .fn = HISTORY_RAW};

    (void)state;
    for (unsigned fault = 0; fault < FAULTS; fault++) {
        struct point late[2] = {point_at(START + 5 * SEC, 7), point_at(START + DAY + 5 * SEC, 8)};
        struct store s;
        struct rows rows;
        struct nx_note why;
        struct historian *h;
        off_t size;

        store_make(&s);
        h = store_days(&s, 2, conf);
        assert_recorded(h, 0);
        break_file(&s, FIRST_DAY, fault);
        size = size_of(&s, FIRST_DAY);
        commit(h, 2, late, 2);
        now_us += HOUR;
        assert_int_equal(NX_E_CORRUPT, historian_maintain(h, &why));
        assert_non_null(strstr(why.text, ASIDE));
        assert_non_null(strstr(why.text, "backup"));
        must(historian_maintain(h, &why), &why); /* told once, and no more held up */
        assert_true(size_of(&s, ASIDE) >= size);
        ask(h, q, &rows);
        assert_int_equal(22, rows.n);
        assert_true(rows.row[0].value.d == 7 && rows.row[2].value.d == 8);
        assert_recorded(h, 1);
        historian_close(&h);
        store_remove(&s);
    }
}

/* Twice in a row: neither file is lost, and neither writes over the other. */
static void
what_was_set_aside_is_never_overwritten(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER};
    struct store s;
    struct nx_note why;
    struct historian *h;

    (void)state;
    store_make(&s);
    h = store_days(&s, 1, conf);
    for (unsigned i = 0; i < 3; i++) {
        struct point late = point_at(START + (5 + i) * SEC, 7);

        break_file(&s, FIRST_DAY, 0);
        commit(h, 2 + i, &late, 1);
        now_us += HOUR;
        assert_int_equal(NX_E_CORRUPT, historian_maintain(h, &why));
        assert_recorded(h, i + 1);
    }
    assert_int_equal(3, count_files(&s, FIRST_DAY ".damaged-", sizeof ASIDE - 1));
    historian_close(&h);
    store_remove(&s);
}

/* The damaged day comes first; the others are rolled up and go in their time. */
static void
a_damaged_day_holds_up_no_rollup_and_no_retention(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER, .retention_days = 30};
    struct history_query q = {.fn = HISTORY_LAST, .max_points = 1, .resolution = HISTORY_RESOLUTION_DAY};

    (void)state;
    for (unsigned fault = 0; fault < FAULTS; fault++) {
        struct store s;
        struct rows rows;
        struct nx_note why;
        struct historian *h;
        unsigned told = 0;

        store_make(&s);
        h = store_days(&s, 3, conf);
        break_file(&s, FIRST_DAY, fault);
        now_us = START + 6 * DAY;
        for (unsigned i = 0; i < 6; i++) {
            now_us += 61 * SEC;
            told += historian_maintain(h, &why) == NX_E_CORRUPT;
        }
        assert_int_equal(1, told);
        assert_true(size_of(&s, FIRST_DAY) < 0 && size_of(&s, ASIDE) >= 0);
        for (unsigned day = 1; day < 3; day++) {
            q.from_us = START + day * DAY;
            q.to_us = q.from_us + DAY;
            ask(h, q, &rows);
            assert_true(rows.n == 1 && rows.row[0].value.d == day * 20 + 19);
            assert_int_equal(HISTORY_RESOLUTION_DAY, rows.summary.resolution);
        }
        now_us = START + 60 * DAY;
        must(historian_maintain(h, &why), &why);
        assert_int_equal(0, count_files(&s, "hist-", 16));
        assert_recorded(h, 1); /* no retention takes what somebody may want back */
        historian_close(&h);
        store_remove(&s);
    }
}

/* What was rolled up before the damage stays when late values come; when as many are back, it is made again. */
static void
rollups_of_a_damaged_day_stay(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER};
    struct history_query q = {.from_us = START,
                              .to_us = START + DAY,
                              .fn = HISTORY_LAST,
                              .max_points = 1,
                              .resolution = HISTORY_RESOLUTION_DAY};
    struct point p[20], late = point_at(START + 5 * SEC, 7);
    struct store s;
    struct rows rows;
    struct nx_note why;
    struct historian *h;

    (void)state;
    store_make(&s);
    h = store_days(&s, 2, conf);
    now_us += 2 * DAY;
    seal(h);
    break_file(&s, FIRST_DAY, 0);
    commit(h, 2, &late, 1);
    assert_int_equal(NX_E_CORRUPT, historian_seal(h, &why));
    seal(h);
    ask(h, q, &rows);
    assert_true(rows.n == 1 && rows.row[0].value.d == 19);
    assert_int_equal(20, rows.summary.raw_count);
    assert_int_equal(HISTORY_RESOLUTION_DAY, rows.summary.resolution);
    for (unsigned i = 0; i < 20; i++)
        p[i] = point_at(START + i * 120 * SEC, i);
    commit(h, 3, p, 20);
    seal(h);
    ask(h, q, &rows);
    assert_int_equal(21, rows.summary.raw_count);
    assert_int_equal(HISTORY_RESOLUTION_DAY, rows.summary.resolution);
    assert_recorded(h, 1);
    historian_close(&h);
    store_remove(&s);
}

static void
damaged_rollups_are_made_again(void **state)
{
    static const char *const files[] = {"roll-202312.db", "roll-2023.db"};
    struct historian_conf conf = {.role = HISTORIAN_WRITER};
    struct history_query q = {.from_us = START, .to_us = START + DAY, .fn = HISTORY_AVG, .max_points = 24};

    (void)state;
    for (unsigned i = 0; i < 2 * FAULTS; i++) {
        struct point late = point_at(START + 5 * SEC, 7);
        struct store s;
        struct rows before, after;
        struct nx_note why;
        struct historian *h;
        char aside[40];

        store_make(&s);
        h = store_days(&s, 2, conf);
        commit(h, 2, &late, 1);
        now_us += 2 * DAY;
        seal(h);
        q.resolution = HISTORY_RESOLUTION_HOUR;
        ask(h, q, &before);
        break_file(&s, files[i % 2], i / 2);
        late.time_us += SEC;
        commit(h, 3, &late, 1);
        assert_int_equal(NX_E_CORRUPT, historian_seal(h, &why));
        (void)snprintf(aside, sizeof aside, "%s.damaged-1", files[i % 2]);
        assert_non_null(strstr(why.text, aside));
        seal(h);
        ask(h, q, &after);
        assert_int_equal(HISTORY_RESOLUTION_HOUR, after.summary.resolution);
        assert_int_equal(before.summary.raw_count + 1, after.summary.raw_count);
        assert_recorded(h, 1);
        historian_close(&h);
        store_remove(&s);
    }
}

/* --- what is no damage --- */

static void
leave_no_descriptors(struct rlimit *before)
{
    struct rlimit none;
    int fd = dup(0);

    assert_true(fd >= 0 && getrlimit(RLIMIT_NOFILE, before) == 0);
    (void)close(fd);
    none = (struct rlimit){(rlim_t)fd + 1, before->rlim_max}; /* the keeper's lock takes the last one */
    assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &none));
}

static void
what_may_pass_sets_nothing_aside(void **state)
{
    struct historian_conf conf = {.role = HISTORIAN_WRITER};
    struct point late = point_at(START + 5 * SEC, 7);
    struct history_query q = {.from_us = START, .to_us = START + DAY, .fn = HISTORY_RAW};
    char path[128], away[128];
    struct store s;
    struct rows rows;
    struct rlimit limit;
    struct nx_note why;
    struct historian *h;
    enum nx_err err;

    (void)state;
    store_make(&s);
    h = store_days(&s, 1, conf);
    commit(h, 2, &late, 1);
    now_us += HOUR;
    leave_no_descriptors(&limit);
    err = historian_maintain(h, &why);
    assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &limit));
    assert_true(err != NX_OK && err != NX_E_CORRUPT);
    assert_non_null(strstr(why.text, FIRST_DAY));

    /* Something that cannot be opened, and a file of a newer program. */
    (void)snprintf(path, sizeof path, "%s/" FIRST_DAY, s.dir);
    (void)snprintf(away, sizeof away, "%s/away", s.dir);
    assert_int_equal(0, rename(path, away));
    assert_int_equal(0, mkdir(path, 0700));
    err = historian_maintain(h, &why);
    assert_true(err != NX_OK && err != NX_E_CORRUPT);
    assert_int_equal(0, rmdir(path));
    assert_int_equal(0, rename(away, path));
    run_sql(&s, FIRST_DAY, "INSERT INTO schema_migrations(version, name) VALUES(99, 'of tomorrow')");
    assert_int_equal(NX_E_UNSUPPORTED, historian_maintain(h, &why));
    run_sql(&s, FIRST_DAY, "DELETE FROM schema_migrations WHERE version = 99");

    assert_int_equal(0, count_files(&s, FIRST_DAY ".damaged-", sizeof ASIDE - 1));
    must(historian_maintain(h, &why), &why);
    ask(h, q, &rows);
    assert_int_equal(21, rows.n);
    assert_recorded(h, 0);
    historian_close(&h);
    store_remove(&s);
}

/* --- hist.db --- */

/* Chunks know their series by number: with another dictionary they would get other names, so there is no store. */
static void
a_damaged_dictionary_is_told_with_its_remedy(void **state)
{
    static const enum historian_role roles[] = {HISTORIAN_WRITER, HISTORIAN_KEEPER, HISTORIAN_READER};
    struct historian_conf conf = {.wall_us = fake_now};

    (void)state;
    for (unsigned i = 0; i < 3 * 4; i++) {
        unsigned fault = i / 3;
        struct store s;
        struct nx_note why;
        struct historian *h = NULL, *kept;
        char path[128];

        store_make(&s);
        kept = store_days(&s, 2, (struct historian_conf){.role = HISTORIAN_WRITER});
        historian_close(&kept);
        (void)snprintf(path, sizeof path, "%s/hist.db", s.dir);
        if (fault < 3)
            break_file(&s, "hist.db", fault);
        else if (roles[i % 3] != HISTORIAN_READER) /* for a reader it is not there yet */
            assert_int_equal(0, unlink(path));
        else
            cut(&s, "hist.db", 0);
        conf.url = s.url;
        conf.role = roles[i % 3];
        assert_int_equal(NX_E_CORRUPT, historian_open(&h, &conf, &why));
        assert_null(h);
        assert_non_null(strstr(why.text, "hist.db"));
        assert_non_null(strstr(why.text, "backup"));
        store_remove(&s);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealing_sets_a_damaged_day_aside),
        cmocka_unit_test(what_was_set_aside_is_never_overwritten),
        cmocka_unit_test(a_damaged_day_holds_up_no_rollup_and_no_retention),
        cmocka_unit_test(rollups_of_a_damaged_day_stay),
        cmocka_unit_test(damaged_rollups_are_made_again),
        cmocka_unit_test(what_may_pass_sets_nothing_aside),
        cmocka_unit_test(a_damaged_dictionary_is_told_with_its_remedy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
