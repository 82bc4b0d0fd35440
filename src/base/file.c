#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum nx_err
read_fd(int fd, const char *path, size_t max_bytes, char **out, size_t *len, struct nx_note *why)
{
    size_t cap = 4096, n = 0;
    char *p = mem_alloc(cap + 1);

    for (;;) {
        ssize_t got = read(fd, p + n, cap - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(p);
            return nx_fail_errno(why, NX_OK, errno, "cannot read %s", path);
        }
        n += (size_t)got;
        if (n > max_bytes) {
            free(p);
            return nx_fail(why, NX_E_TOO_LARGE, "%s is larger than %zu bytes", path, max_bytes);
        }
        if (got == 0)
            break;
        if (n == cap)
            p = mem_realloc(p, (cap *= 2) + 1);
    }
    p[n] = '\0';
    *out = p;
    if (len)
        *len = n;
    return NX_OK;
}

enum nx_err
file_read(const char *path, size_t max_bytes, char **out, size_t *len, struct nx_note *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *out = NULL;
    if (fd < 0)
        return nx_fail_errno(why, NX_OK, errno, "cannot open %s", path);
    enum nx_err err = read_fd(fd, path, max_bytes, out, len, why);
    (void)close(fd);
    return err;
}

enum nx_err
file_read_secret(const char *path, char **out, struct nx_note *why)
{
    struct stat st;
    size_t len = 0;

    *out = NULL;
    if (stat(path, &st) != 0)
        return nx_fail_errno(why, NX_OK, errno, "cannot open the secret file %s", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return nx_fail(why, NX_E_DENIED, "%s can be read by others (mode %04o): chmod 600 %s", path,
                       (unsigned)(st.st_mode & 07777), path);
    enum nx_err err = file_read(path, 65536, out, &len, why);
    while (err == NX_OK && len && ((*out)[len - 1] == '\n' || (*out)[len - 1] == '\r'))
        (*out)[--len] = '\0';
    return err;
}

static bool
write_all(int fd, struct slice data)
{
    while (data.len) {
        ssize_t n = write(fd, data.p, data.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data = slice_skip(data, (size_t)n);
    }
    return true;
}

static void
sync_parent(const char *path)
{
    char *copy = mem_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    free(copy);
}

enum nx_err
file_write(const char *path, struct slice data, unsigned mode, struct nx_note *why)
{
    char *tmp = mem_printf("%s.tmp.%d", path, (int)getpid());
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    bool ok = fd >= 0 && fchmod(fd, mode) == 0 && write_all(fd, data) && fsync(fd) == 0;
    int saved = errno;

    if (fd >= 0)
        (void)close(fd);
    if (ok && rename(tmp, path) != 0) {
        ok = false;
        saved = errno;
    }
    if (ok)
        sync_parent(path);
    else
        (void)unlink(tmp);
    free(tmp);
    return ok ? NX_OK : nx_fail_errno(why, NX_OK, saved, "cannot write %s", path);
}

enum nx_err
file_make_dir(const char *path, unsigned mode, struct nx_note *why)
{
    char *copy = mem_strdup(path);
    enum nx_err err = NX_OK;

    for (char *c = copy + 1; err == NX_OK; c++) {
        if (*c != '/' && *c != '\0')
            continue;
        char keep = *c;
        *c = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            err = nx_fail_errno(why, NX_OK, errno, "cannot make the directory %s", copy);
        *c = keep;
        if (keep == '\0')
            break;
    }
    free(copy);
    return err;
}
