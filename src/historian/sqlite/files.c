/* files.c -- the files of the SQLite historian: one for each day of values, month of minutes, year of hours. */
#include "historian/sqlite/lite.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* sealed_through: the sealing that this file already holds, so that one that was cut short is not counted twice. */
static const struct db_migration day_migrations[] = {
    {1, "chunks",
     "CREATE TABLE chunk(series_id INTEGER NOT NULL, t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, n INTEGER NOT NULL,"
     " n_bad INTEGER NOT NULL, v_min REAL, v_max REAL, v_sum REAL, data BLOB NOT NULL, PRIMARY KEY(series_id, t0))"
     " STRICT, WITHOUT ROWID;"
     "CREATE TABLE day(id INTEGER PRIMARY KEY CHECK(id = 1), points INTEGER NOT NULL, t_min INTEGER, t_max INTEGER,"
     " sealed_through INTEGER NOT NULL) STRICT;"
     "INSERT INTO day VALUES(1, 0, NULL, NULL, 0)"},
    {2, "damaged chunks",
     "CREATE TABLE damaged(id INTEGER PRIMARY KEY, series_id INTEGER NOT NULL, t0 INTEGER NOT NULL,"
     " t1 INTEGER NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL) STRICT"},
};

/* day: those that every series is here of. data NULL: a text is among the values, so they are read as points. */
static const struct db_migration month_migrations[] = {
    {1, "minutes",
     "CREATE TABLE minute(series_id INTEGER NOT NULL, day INTEGER NOT NULL, data BLOB, PRIMARY KEY(series_id, day))"
     " STRICT, WITHOUT ROWID;"
     "CREATE TABLE day(day INTEGER PRIMARY KEY) STRICT"},
};
static const struct db_migration year_migrations[] = {
    {1, "hours and days",
     "CREATE TABLE hour(series_id INTEGER NOT NULL, day INTEGER NOT NULL, hours BLOB, days BLOB,"
     " PRIMARY KEY(series_id, day)) STRICT, WITHOUT ROWID;"
     "CREATE TABLE day(day INTEGER PRIMARY KEY) STRICT"},
};

/* --- days --- */

int
day_of(int64_t time_us)
{
    return (int)(time_us / DAY_US - (time_us % DAY_US < 0));
}

char *
day_path(const struct lite *h, int day, char *path, size_t cap)
{
    time_t t = (time_t)day * 86400;
    struct tm tm;

    (void)gmtime_r(&t, &tm);
    (void)snprintf(path, cap, "%s/hist-%04d%02d%02d.db", h->dir, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    return path;
}

/* Its name comes after its tables. */
static enum nx_err
check_tables(struct db *db, struct nx_note *why)
{
    unsigned version;
    enum nx_err err = db_schema_version(db, &version, why);

    return err == NX_OK && version == 0
               ? nx_fail(why, NX_E_CORRUPT, "%s has lost its tables: restore it from a backup", db_path(db))
               : err;
}

static enum nx_err
open_migrated(const char *path, bool is_new, const struct db_migration *steps, size_t n, struct db **out,
              struct nx_note *why)
{
    struct db_conf conf = {.path = path, .sync = DB_SYNC_FULL, .cache_kib = 16384};
    enum nx_err err = db_open(out, &conf, why);

    if (err == NX_OK && !is_new)
        err = check_tables(*out, why);
    if (err == NX_OK)
        err = db_migrate(*out, steps, n, why);
    if (err != NX_OK)
        db_close(out);
    return err;
}

static void
remove_log(const char *path)
{
    static const char *const suffixes[] = {"-wal", "-shm"};
    char name[4200];

    for (size_t i = 0; i < MEM_COUNT(suffixes); i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
}

void
db_remove(const char *path)
{
    (void)unlink(path);
    remove_log(path);
}

/* Under another name first: a reader must not find a file without its tables. */
static enum nx_err
file_make(const char *path, const struct db_migration *steps, size_t n, struct nx_note *why)
{
    char name[4200];
    struct db *db;
    enum nx_err err;

    (void)snprintf(name, sizeof name, "%s.new", path);
    db_remove(name);
    if ((err = open_migrated(name, true, steps, n, &db, why)) != NX_OK)
        return err;
    db_close(&db);
    remove_log(path); /* left behind by another file */
    if (rename(name, path) != 0)
        return nx_fail_errno(why, NX_OK, errno, "%s cannot be named %s", name, path);
    return NX_OK;
}

enum nx_err
file_open_to_read(const char *path, struct db **out, struct nx_note *why)
{
    struct db_conf conf = {.path = path, .is_read_only = true, .cache_kib = 16384};
    enum nx_err err = db_open(out, &conf, why);

    if (err == NX_OK)
        err = check_tables(*out, why);
    if (err != NX_OK)
        db_close(out);
    return err;
}

enum nx_err
file_check_pages(struct db *db, char *fault, size_t cap, struct nx_note *why)
{
    struct db_stmt *st;
    bool has_row = false;
    enum nx_err err = db_prepare(db, "PRAGMA quick_check(1)", &st, why);

    fault[0] = 0;
    if (err == NX_OK)
        err = db_step(st, &has_row, why);
    if (err == NX_OK && has_row && strcmp(db_col_text(st, 0), "ok") != 0)
        (void)snprintf(fault, cap, "%s", db_col_text(st, 0));
    if (err == NX_OK)
        db_reset(st);
    return err;
}

static enum nx_err
file_open(const char *path, bool is_read_only, const struct db_migration *steps, size_t n, struct db **out,
          struct nx_note *why)
{
    bool is_there = access(path, F_OK) == 0;
    enum nx_err err = NX_OK;

    *out = NULL;
    if (!is_there && errno != ENOENT)
        return nx_fail_errno(why, NX_OK, errno, "%s cannot be looked at", path);
    if (is_read_only)
        return is_there ? file_open_to_read(path, out, why) : nx_fail(why, NX_E_NOT_FOUND, "%s is gone", path);
    if (!is_there)
        err = file_make(path, steps, n, why);
    return err == NX_OK ? open_migrated(path, false, steps, n, out, why) : err;
}

enum nx_err
day_open(const struct lite *h, int day, bool is_read_only, struct db **out, struct nx_note *why)
{
    char path[4096];

    return file_open(day_path(h, day, path, sizeof path), is_read_only, day_migrations, MEM_COUNT(day_migrations), out,
                     why);
}

/* "hist-20261123.db" */
static bool
day_parse(const char *name, int *day)
{
    struct tm tm = {0};
    int used = 0;

    if (sscanf(name, "hist-%4d%2d%2d.db%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &used) != 3 || used != 16 ||
        name[used])
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *day = (int)(timegm(&tm) / 86400);
    return true;
}

static int
compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

void
day_push(struct arena *a, int **days, size_t *n, size_t *cap, int day)
{
    if (*n == *cap) {
        int *grown = arena_alloc(a, (*cap = *cap ? *cap * 2 : 64) * sizeof *grown);

        if (*n > 0)
            memcpy(grown, *days, *n * sizeof *grown);
        *days = grown;
    }
    (*days)[(*n)++] = day;
}

enum nx_err
day_list(const struct lite *h, struct arena *a, int **days, size_t *n, struct nx_note *why)
{
    size_t cap = 0;
    DIR *dir = opendir(h->dir);

    *days = NULL;
    *n = 0;
    if (!dir)
        return nx_fail_errno(why, NX_OK, errno, "historian directory %s cannot be listed", h->dir);
    for (struct dirent *e; (e = readdir(dir));) {
        int day;

        if (!day_parse(e->d_name, &day))
            continue;
        day_push(a, days, n, &cap, day);
    }
    (void)closedir(dir);
    if (*n > 0)
        qsort(*days, *n, sizeof **days, compare_ints);
    return NX_OK;
}

void
day_remove(const struct lite *h, int day)
{
    char path[4096];

    db_remove(day_path(h, day, path, sizeof path));
}

/* --- rollups --- */

static struct tm
civil(int day)
{
    time_t t = (time_t)day * 86400;
    struct tm tm;

    (void)gmtime_r(&t, &tm);
    return tm;
}

int
roll_period(enum roll_file kind, int day)
{
    struct tm tm = civil(day);

    return kind == ROLL_YEAR ? tm.tm_year + 1900 : (tm.tm_year + 1900) * 12 + tm.tm_mon;
}

int
roll_first_day(enum roll_file kind, int period)
{
    struct tm tm = {.tm_mday = 1, .tm_year = kind == ROLL_YEAR ? period : period / 12};

    tm.tm_year -= 1900;
    tm.tm_mon = kind == ROLL_YEAR ? 0 : period % 12;
    return (int)(timegm(&tm) / 86400);
}

char *
roll_path(const struct lite *h, enum roll_file kind, int period, char *path, size_t cap)
{
    if (kind == ROLL_YEAR)
        (void)snprintf(path, cap, "%s/roll-%04d.db", h->dir, period);
    else
        (void)snprintf(path, cap, "%s/roll-%04d%02d.db", h->dir, period / 12, period % 12 + 1);
    return path;
}

enum nx_err
roll_open(const struct lite *h, enum roll_file kind, int period, bool is_read_only, struct db **out,
          struct nx_note *why)
{
    const struct db_migration *steps = kind == ROLL_YEAR ? year_migrations : month_migrations;
    char path[4096];

    return file_open(roll_path(h, kind, period, path, sizeof path), is_read_only, steps, 1, out, why);
}

/* "roll-2026.db", "roll-202611.db" */
static bool
roll_parse(const char *name, enum roll_file *kind, int *period)
{
    int digits = 0, used = 0;

    if (sscanf(name, "roll-%d%n", &digits, &used) != 1 || digits < 0 || strcmp(name + used, ".db") != 0)
        return false;
    *kind = used == 9 ? ROLL_YEAR : ROLL_MONTH;
    *period = used == 9 ? digits : digits / 100 * 12 + digits % 100 - 1;
    return used == 9 || (used == 11 && digits % 100 >= 1 && digits % 100 <= 12);
}

enum nx_err
roll_each(const struct lite *h, void (*each)(void *arg, enum roll_file kind, int period), void *arg,
          struct nx_note *why)
{
    DIR *dir = opendir(h->dir);
    enum roll_file kind;
    int period;

    if (!dir)
        return nx_fail_errno(why, NX_OK, errno, "historian directory %s cannot be listed", h->dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (roll_parse(e->d_name, &kind, &period))
            each(arg, kind, period);
    (void)closedir(dir);
    return NX_OK;
}
