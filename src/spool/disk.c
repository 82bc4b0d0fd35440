#include "spool/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int
result(int rc)
{
    return rc < 0 ? -errno : rc;
}

static int
sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int rc = result(fsync(fd));
    (void)close(fd);
    return rc;
}

/* A folder that is made must survive a power cut as what will be in it. */
static int
make_one(const char *path)
{
    char parent[4096];

    if (mkdir(path, 0750) != 0)
        return errno == EEXIST ? 0 : -errno;
    (void)snprintf(parent, sizeof parent, "%s", path);
    (void)sync_folder(dirname(parent)); /* one that we may not read was not made by us */
    return 0;
}

static int
posix_make_dir(const char *path)
{
    char part[4096];
    size_t len = strlen(path);

    if (len >= sizeof part)
        return -ENAMETOOLONG;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/')
            continue;
        part[i] = '\0';
        int rc = make_one(part);
        if (rc < 0)
            return rc;
        part[i] = '/';
    }
    return make_one(part);
}

static int
posix_open(const char *path, int flags)
{
    return result(open(path, flags | O_CLOEXEC, 0640));
}

static void
posix_close(int fd)
{
    (void)close(fd);
}

static int
posix_dup(int fd)
{
    return result(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

static int
posix_lock(const char *path)
{
    int fd = posix_open(path, O_RDWR | O_CREAT);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int err = -errno;

        (void)close(fd);
        return err;
    }
    return fd;
}

static int64_t
posix_size(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_size : -errno;
}

/* Where the file system cannot reserve, space is found out when it is written. */
static int
posix_allocate(int fd, uint64_t len)
{
    if (fallocate(fd, 0, 0, (off_t)len) == 0)
        return 0;
    return errno == EOPNOTSUPP ? result(ftruncate(fd, (off_t)len)) : -errno;
}

static int
posix_truncate(int fd, uint64_t len)
{
    return result(ftruncate(fd, (off_t)len));
}

static int64_t
posix_pread(int fd, void *p, uint64_t len, uint64_t at)
{
    ssize_t n;

    do
        n = pread(fd, p, len, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int64_t
posix_pwritev(int fd, const struct iovec *iov, int n, uint64_t at)
{
    ssize_t written;

    do
        written = pwritev(fd, iov, n, (off_t)at);
    while (written < 0 && errno == EINTR);
    return written < 0 ? -errno : written;
}

static int
posix_sync(int fd)
{
    return result(fdatasync(fd));
}

static int
posix_unlink(const char *path)
{
    return result(unlink(path));
}

static int
posix_rename(const char *from, const char *to)
{
    return result(rename(from, to));
}

static uint64_t
posix_free_bytes(const char *path)
{
    struct statvfs st;

    return statvfs(path, &st) == 0 ? (uint64_t)st.f_bavail * st.f_frsize : UINT64_MAX;
}

static int
posix_list(const char *path, void (*each)(void *arg, const char *name), void *arg)
{
    DIR *dir = opendir(path);
    struct dirent *e;

    if (!dir)
        return -errno;
    while ((e = readdir(dir)))
        each(arg, e->d_name);
    (void)closedir(dir);
    return 0;
}

static void
posix_boot_id(char out[DISK_BOOT_ID])
{
    int fd = posix_open("/proc/sys/kernel/random/boot_id", O_RDONLY);

    memset(out, 0, DISK_BOOT_ID);
    if (fd < 0)
        return;
    (void)!read(fd, out, DISK_BOOT_ID);
    (void)close(fd);
}

const struct disk_ops disk_posix = {
    .make_dir = posix_make_dir,
    .lock = posix_lock,
    .open = posix_open,
    .close = posix_close,
    .dup = posix_dup,
    .size = posix_size,
    .allocate = posix_allocate,
    .truncate = posix_truncate,
    .pread = posix_pread,
    .pwritev = posix_pwritev,
    .sync = posix_sync,
    .sync_dir = sync_folder,
    .unlink = posix_unlink,
    .rename = posix_rename,
    .free_bytes = posix_free_bytes,
    .list = posix_list,
    .boot_id = posix_boot_id,
};
