/* bad_disk.c -- LD_PRELOAD: a disk that fails. Writing, reserving and syncing of files below NEXUS_TEST_DISK fail with
 * the errno (int32_t) in the file NEXUS_TEST_DISK_ERRNO, which may change at any time; 0: all is well. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const volatile int32_t *code;
static const char *folder;

__attribute__((constructor)) static void
open_control(void)
{
    const char *path = getenv("NEXUS_TEST_DISK_ERRNO");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *p = fd >= 0 ? mmap(NULL, sizeof *code, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    folder = getenv("NEXUS_TEST_DISK");
    if (p != MAP_FAILED)
        code = p;
}

static int
fails(int fd)
{
    char link[64], path[1024];

    if (!code || !folder || *code == 0)
        return 0;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return 0;
    path[n] = '\0';
    if (strncmp(path, folder, strlen(folder)) != 0)
        return 0;
    errno = *code;
    return 1;
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
    return fails(fd) ? -1 : (ssize_t)syscall(SYS_pwritev, fd, iov, n, (long)at, 0L);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int n, off_t at)
{
    return pwritev(fd, iov, n, at);
}

int
fallocate(int fd, int mode, off_t at, off_t len)
{
    return fails(fd) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, len);
}

int
fallocate64(int fd, int mode, off_t at, off_t len)
{
    return fallocate(fd, mode, at, len);
}

int
fdatasync(int fd)
{
    return fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}
