/* aside.c -- files of the SQLite historian that are damaged as a whole: SQLite cannot read them any more, or their
 * tables are gone. Such a file is renamed and never deleted, and all else goes on without it; the renamed file is at
 * the same time the record of what is missing. What may pass (a lock, no descriptors, an I/O error, no memory) is no
 * damage. */
#include "historian/sqlite/lite.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MARK ".damaged-"
#define MOST 1000u /* of one file */

/* --- setting aside --- */

/* A second look, by a connection of its own and at every page: says what is wrong in fault, "" when nothing is. */
static enum nx_err
find_fault(const char *path, char *fault, size_t cap)
{
    struct nx_note why = {0};
    struct db *db;
    enum nx_err err = file_open_to_read(path, &db, &why);

    fault[0] = 0;
    if (err == NX_OK)
        err = file_check_pages(db, fault, cap, &why);
    db_close(&db);
    if (err != NX_E_CORRUPT)
        return err;
    (void)snprintf(fault, cap, "%s", why.text);
    return NX_OK;
}

static bool
is_free(const char *name)
{
    return access(name, F_OK) != 0 && errno == ENOENT;
}

/* "hist-20261120.db.damaged-1", the first that is free. */
static bool
free_name(const char *path, char *name, size_t cap)
{
    char wal[4200];

    for (unsigned i = 1; i <= MOST; i++) {
        (void)snprintf(name, cap, "%s" MARK "%u", path, i);
        (void)snprintf(wal, sizeof wal, "%s-wal", name);
        if (is_free(name) && is_free(wal))
            return true;
    }
    return false;
}

/* The log first: left behind, it would be taken for that of a new file. The index is made anew from it. */
static enum nx_err
rename_file(const char *path, const char *name, struct nx_note *why)
{
    char from[4200], to[4200];

    (void)snprintf(from, sizeof from, "%s-wal", path);
    (void)snprintf(to, sizeof to, "%s-wal", name);
    if ((rename(from, to) != 0 && errno != ENOENT) || rename(path, name) != 0)
        return nx_fail_errno(why, NX_OK, errno, "%s is damaged, but cannot be renamed %s", path, name);
    (void)snprintf(from, sizeof from, "%s-shm", path);
    (void)unlink(from);
    return NX_OK;
}

/* Is the file damaged as a whole? */
static bool
is_damaged(const char *path, char *fault, size_t cap)
{
    return access(path, F_OK) == 0 && find_fault(path, fault, cap) == NX_OK && fault[0];
}

static bool
set_aside(const char *path, const char *remedy, const char *fault, struct nx_note *why)
{
    char name[4160];

    if (!free_name(path, name, sizeof name) || rename_file(path, name, why) != NX_OK)
        return false;
    (void)nx_fail(why, NX_E_CORRUPT, "%s is damaged as a whole and was set aside: check the disk; %s (%s)", name,
                  remedy, fault);
    return true;
}

/* Rollups that were made stay: the values are not there to make them again. */
bool
day_set_aside(struct lite *h, int day, struct nx_note *why)
{
    char path[4096], fault[320];

    day_path(h, day, path, sizeof path);
    if (!is_damaged(path, fault, sizeof fault) || roll_forget_begun(h, day, why) != NX_OK)
        return false;
    return set_aside(path, ASIDE_REMEDY, fault, why);
}

/* Days that still have values are rolled up again. */
bool
roll_set_aside(struct lite *h, enum roll_file kind, int period, struct nx_note *why)
{
    char path[4096], fault[320];

    roll_path(h, kind, period, path, sizeof path);
    if (!is_damaged(path, fault, sizeof fault) || roll_forget_period(h, kind, period, why) != NX_OK)
        return false;
    return set_aside(path, "its rollups are made again from the values that are still kept", fault, why);
}

/* --- what was set aside --- */

static bool
is_aside(const char *name)
{
    const char *mark = strstr(name, ".db" MARK);
    int used = 0;

    if (!mark || (strncmp(name, "hist-", 5) != 0 && strncmp(name, "roll-", 5) != 0))
        return false;
    (void)sscanf(mark, ".db" MARK "%*u%n", &used);
    return used > 0 && !mark[used];
}

enum nx_err
aside_each(const struct lite *h, void (*each)(void *arg, const char *path), void *arg, struct nx_note *why)
{
    DIR *dir = opendir(h->dir);
    char path[4400];

    if (!dir)
        return nx_fail_errno(why, NX_OK, errno, "historian directory %s cannot be listed", h->dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!is_aside(e->d_name))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", h->dir, e->d_name);
        each(arg, path);
    }
    (void)closedir(dir);
    return NX_OK;
}

struct damage {
    unsigned files;
    char first[4400];
};

static void
count_file(void *arg, const char *path)
{
    struct damage *d = arg;

    if (d->files++ == 0 || strcmp(path, d->first) < 0)
        (void)snprintf(d->first, sizeof d->first, "%s", path);
}

unsigned
lite_damaged_files(struct historian *base, struct nx_note *what)
{
    struct damage d = {0};

    if (aside_each(lite_of(base), count_file, &d, NULL) == NX_OK && d.files > 0)
        (void)nx_fail(what, NX_E_CORRUPT, "%u files were damaged and set aside, the first is %s: %s", d.files, d.first,
                      ASIDE_REMEDY);
    return d.files;
}
