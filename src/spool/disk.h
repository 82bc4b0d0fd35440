/* disk.h -- every file system call of the spool, in one table: durability is reviewed here, faults are injected here.
 *
 * Functions return 0, a count or a descriptor; a negative number is -errno. Any thread. */
#ifndef SPOOL_DISK_H
#define SPOOL_DISK_H

#include <stdint.h>
#include <sys/uio.h>

#define DISK_BOOT_ID 36

struct disk_ops {
    int (*make_dir)(const char *path);
    /* An exclusive lock on the file, held until the descriptor is closed; -EWOULDBLOCK when another process has it. */
    int (*lock)(const char *path);
    /* flags as of open(2); files are made with mode 0640. */
    int (*open)(const char *path, int flags);
    void (*close)(int fd);
    int (*dup)(int fd);
    int64_t (*size)(int fd);
    /* Reserves len bytes, which then read as zeros. */
    int (*allocate)(int fd, uint64_t len);
    int (*truncate)(int fd, uint64_t len);
    int64_t (*pread)(int fd, void *p, uint64_t len, uint64_t at);
    int64_t (*pwritev)(int fd, const struct iovec *iov, int n, uint64_t at);
    int (*sync)(int fd);
    int (*sync_dir)(const char *path);
    int (*unlink)(const char *path);
    int (*rename)(const char *from, const char *to);
    /* Bytes that are free to us on the file system of path; UINT64_MAX when that cannot be found out. */
    uint64_t (*free_bytes)(const char *path);
    /* Calls each for every name in the directory. */
    int (*list)(const char *path, void (*each)(void *arg, const char *name), void *arg);
    /* Identifies this run of the operating system: what was written and not synced is gone when it differs. */
    void (*boot_id)(char out[DISK_BOOT_ID]);
};

extern const struct disk_ops disk_posix;

#endif
