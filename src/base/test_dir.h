/* test_dir.h -- for tests only: their directories go with them. */
#ifndef NX_BASE_TEST_DIR_H
#define NX_BASE_TEST_DIR_H

#include <ftw.h>
#include <stdio.h>

static inline int
test_dir_remove_entry(const char *path, const struct stat *sb, int type, struct FTW *where)
{
    (void)sb;
    (void)type;
    (void)where;
    return remove(path);
}

/* Removes dir with all that is in it. Returns 0, or -1 with errno. */
static inline int
test_dir_remove(const char *dir)
{
    return nftw(dir, test_dir_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
