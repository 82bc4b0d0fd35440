#include "spool/fake_disk.h"

#include "base/mem.h"
#include "base/num.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR   512u
#define FD_BASE  1000
#define FD_COUNT 512

enum op_kind { OP_WRITE, OP_RESIZE, OP_SYNC, OP_NAME, OP_UNNAME, OP_RENAME, OP_SYNC_DIR };

struct op {
    enum op_kind kind;
    unsigned inode;
    uint64_t at, len, ms;
    uint8_t *bytes;
    char *name, *from;
};

struct inode {
    uint8_t *p;
    uint64_t len, cap;
};

struct entry {
    char *name;
    unsigned inode;
};

struct fake_disk {
    struct inode *inodes;
    unsigned inode_count, inode_cap;
    struct entry *entries;
    unsigned entry_count, entry_cap;
    struct op *ops;
    size_t op_count, op_cap;
    int fds[FD_COUNT]; /* inode + 1; 0: free */
    char boot;
    uint64_t (*now_ms)(void);
    struct fake_disk_faults faults;
};

static struct fake_disk *disk; /* in use */

/* --- files and names, without the journal --- */

static unsigned
add_inode(struct fake_disk *d)
{
    if (d->inode_count == d->inode_cap) {
        d->inode_cap = d->inode_cap ? d->inode_cap * 2 : 32;
        d->inodes = mem_realloc(d->inodes, d->inode_cap * sizeof *d->inodes);
    }
    d->inodes[d->inode_count] = (struct inode){0};
    return d->inode_count++;
}

static void
resize(struct inode *f, uint64_t len)
{
    if (len > f->cap) {
        f->cap = len;
        f->p = mem_realloc(f->p, f->cap);
    }
    if (len > f->len)
        memset(f->p + f->len, 0, len - f->len);
    f->len = len;
}

static void
put(struct inode *f, uint64_t at, const uint8_t *bytes, uint64_t len)
{
    if (at + len > f->len)
        resize(f, at + len);
    if (len)
        memcpy(f->p + at, bytes, len);
}

static struct entry *
find(const struct fake_disk *d, const char *name)
{
    for (unsigned i = 0; i < d->entry_count; i++)
        if (strcmp(d->entries[i].name, name) == 0)
            return &d->entries[i];
    return NULL;
}

static void
set_name(struct fake_disk *d, const char *name, unsigned inode)
{
    struct entry *e = find(d, name);

    if (!e) {
        if (d->entry_count == d->entry_cap) {
            d->entry_cap = d->entry_cap ? d->entry_cap * 2 : 32;
            d->entries = mem_realloc(d->entries, d->entry_cap * sizeof *d->entries);
        }
        e = &d->entries[d->entry_count++];
        e->name = mem_strdup(name);
    }
    e->inode = inode;
}

static void
clear_name(struct fake_disk *d, const char *name)
{
    struct entry *e = find(d, name);

    if (!e)
        return;
    free(e->name);
    *e = d->entries[--d->entry_count];
}

/* --- the journal --- */

static struct op *
note(enum op_kind kind, unsigned inode)
{
    struct fake_disk *d = disk;

    if (d->op_count == d->op_cap) {
        d->op_cap = d->op_cap ? d->op_cap * 2 : 256;
        d->ops = mem_realloc(d->ops, d->op_cap * sizeof *d->ops);
    }
    struct op *op = &d->ops[d->op_count++];
    *op = (struct op){.kind = kind, .inode = inode, .ms = d->now_ms ? d->now_ms() : 0};
    return op;
}

static void
note_name(enum op_kind kind, unsigned inode, const char *name, const char *from)
{
    struct op *op = note(kind, inode);

    op->name = mem_strdup(name);
    op->from = from ? mem_strdup(from) : NULL;
}

size_t
fake_disk_op_count(const struct fake_disk *d)
{
    return d->op_count;
}

uint64_t
fake_disk_op_ms(const struct fake_disk *d, size_t i)
{
    if (d->op_count == 0)
        return 0;
    return d->ops[i < d->op_count ? i : d->op_count - 1].ms;
}

/* --- the table --- */

static struct inode *
file_of(int fd, unsigned *inode)
{
    assert(fd >= FD_BASE && fd < FD_BASE + FD_COUNT && disk->fds[fd - FD_BASE] > 0);
    *inode = (unsigned)disk->fds[fd - FD_BASE] - 1;
    return &disk->inodes[*inode];
}

static int
new_fd(unsigned inode)
{
    for (int i = 0; i < FD_COUNT; i++) {
        if (disk->fds[i] == 0) {
            disk->fds[i] = (int)inode + 1;
            return FD_BASE + i;
        }
    }
    return -EMFILE;
}

static int
fake_make_dir(const char *path)
{
    (void)path;
    return 0;
}

static int
fake_open(const char *path, int flags)
{
    const struct entry *e = find(disk, path);
    unsigned inode;

    if (!e && !(flags & O_CREAT))
        return -ENOENT;
    if ((flags & O_ACCMODE) != O_RDONLY && disk->faults.is_read_only)
        return -EROFS;
    if (disk->faults.is_dead)
        return e ? new_fd(e->inode) : -EIO;
    if (e && !(flags & O_TRUNC))
        return new_fd(e->inode);
    if (e) {
        inode = e->inode;
        resize(&disk->inodes[inode], 0);
        note(OP_RESIZE, inode);
        return new_fd(inode);
    }
    inode = add_inode(disk);
    set_name(disk, path, inode);
    note_name(OP_NAME, inode, path, NULL);
    return new_fd(inode);
}

static int
fake_lock(const char *path)
{
    return fake_open(path, O_RDWR | O_CREAT);
}

static void
fake_close(int fd)
{
    disk->fds[fd - FD_BASE] = 0;
}

static int
fake_dup(int fd)
{
    unsigned inode;

    (void)file_of(fd, &inode);
    return new_fd(inode);
}

static int64_t
fake_size(int fd)
{
    unsigned inode;

    return (int64_t)file_of(fd, &inode)->len;
}

static int
check_write(uint64_t more)
{
    uint64_t taken = more;

    if (disk->faults.is_read_only)
        return -EROFS;
    if (disk->faults.write_error)
        return disk->faults.write_error;
    for (unsigned i = 0; disk->faults.room && i < disk->entry_count; i++)
        taken += disk->inodes[disk->entries[i].inode].len;
    return disk->faults.room && taken > disk->faults.room ? -ENOSPC : 0;
}

static int
set_size(int fd, uint64_t len)
{
    unsigned inode;
    struct inode *f = file_of(fd, &inode);
    int rc = check_write(len > f->len ? len - f->len : 0);

    if (rc < 0 || disk->faults.is_dead)
        return rc;
    resize(f, len);
    note(OP_RESIZE, inode)->len = len;
    return 0;
}

static int
fake_allocate(int fd, uint64_t len)
{
    return set_size(fd, len);
}

static int
fake_truncate(int fd, uint64_t len)
{
    return set_size(fd, len);
}

static int64_t
fake_pread(int fd, void *p, uint64_t len, uint64_t at)
{
    const struct fake_disk_faults *faults = &disk->faults;
    unsigned inode;
    const struct inode *f = file_of(fd, &inode);

    if (faults->read_error)
        return faults->read_error;
    if (at >= f->len)
        return 0;
    len = len < f->len - at ? len : f->len - at;
    if (at < faults->bad_to && at + len > faults->bad_from) {
        if (at >= faults->bad_from)
            return -EIO;
        len = faults->bad_from - at; /* what lies before comes, as with a real disk */
    }
    if (len)
        memcpy(p, f->p + at, len);
    return (int64_t)len;
}

static int64_t
fake_pwritev(int fd, const struct iovec *iov, int n, uint64_t at)
{
    unsigned inode;
    struct inode *f = file_of(fd, &inode);
    uint64_t len = 0;

    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    int rc = check_write(at + len > f->len ? at + len - f->len : 0);
    if (rc < 0 || disk->faults.is_dead)
        return rc < 0 ? rc : (int64_t)len;
    struct op *op = note(OP_WRITE, inode);
    op->at = at;
    op->bytes = mem_alloc(len);
    for (int i = 0; i < n; op->len += iov[i++].iov_len)
        if (iov[i].iov_len)
            memcpy(op->bytes + op->len, iov[i].iov_base, iov[i].iov_len);
    put(f, at, op->bytes, len);
    return (int64_t)len;
}

static int
fake_sync(int fd)
{
    unsigned inode;

    (void)file_of(fd, &inode);
    if (disk->faults.sync_error || disk->faults.is_dead)
        return disk->faults.sync_error;
    note(OP_SYNC, inode);
    return 0;
}

static int
fake_sync_dir(const char *path)
{
    (void)path;
    if (disk->faults.sync_error || disk->faults.is_dead)
        return disk->faults.sync_error;
    note(OP_SYNC_DIR, 0);
    return 0;
}

static int
fake_unlink(const char *path)
{
    if (!find(disk, path))
        return -ENOENT;
    if (disk->faults.is_read_only)
        return -EROFS;
    if (disk->faults.is_dead)
        return 0;
    clear_name(disk, path);
    note_name(OP_UNNAME, 0, path, NULL);
    return 0;
}

static int
fake_rename(const char *from, const char *to)
{
    const struct entry *e = find(disk, from);

    if (!e)
        return -ENOENT;
    if (disk->faults.is_read_only)
        return -EROFS;
    if (disk->faults.is_dead)
        return 0;
    unsigned inode = e->inode;
    clear_name(disk, from);
    set_name(disk, to, inode);
    note_name(OP_RENAME, inode, to, from);
    return 0;
}

static uint64_t
fake_free_bytes(const char *path)
{
    (void)path;
    return UINT64_MAX;
}

static int
fake_list(const char *path, void (*each)(void *arg, const char *name), void *arg)
{
    size_t len = strlen(path);

    for (unsigned i = 0; i < disk->entry_count; i++)
        if (strncmp(disk->entries[i].name, path, len) == 0 && disk->entries[i].name[len] == '/')
            each(arg, disk->entries[i].name + len + 1);
    return 0;
}

static void
fake_boot_id(char out[DISK_BOOT_ID])
{
    memset(out, disk->boot, DISK_BOOT_ID);
}

const struct disk_ops fake_disk_ops = {
    .make_dir = fake_make_dir,
    .lock = fake_lock,
    .open = fake_open,
    .close = fake_close,
    .dup = fake_dup,
    .size = fake_size,
    .allocate = fake_allocate,
    .truncate = fake_truncate,
    .pread = fake_pread,
    .pwritev = fake_pwritev,
    .sync = fake_sync,
    .sync_dir = fake_sync_dir,
    .unlink = fake_unlink,
    .rename = fake_rename,
    .free_bytes = fake_free_bytes,
    .list = fake_list,
    .boot_id = fake_boot_id,
};

/* --- a power cut --- */

static bool
is_data(const struct op *op)
{
    return op->kind == OP_WRITE || op->kind == OP_RESIZE;
}

static bool
is_name(const struct op *op)
{
    return op->kind == OP_NAME || op->kind == OP_UNNAME || op->kind == OP_RENAME;
}

/* How many of the first n operations on names are there afterwards. */
static size_t
names_kept(const struct fake_disk *d, const struct fake_disk_cut *cut, uint64_t *seed)
{
    size_t synced = 0, count = 0;

    for (size_t i = 0; i < cut->ops; i++) {
        count += is_name(&d->ops[i]);
        if (d->ops[i].kind == OP_SYNC_DIR)
            synced = count;
    }
    if (cut->names == FATE_KEPT)
        return count;
    return cut->names == FATE_LOST ? synced : synced + num_random(seed) % (count - synced + 1);
}

static void
apply_name(struct fake_disk *out, const struct op *op)
{
    if (op->kind == OP_UNNAME) {
        clear_name(out, op->name);
        return;
    }
    if (op->kind == OP_RENAME)
        clear_name(out, op->from);
    set_name(out, op->name, op->inode);
}

/* Each sector of the write is there or not. */
static void
apply_torn(struct inode *f, const struct op *op, uint64_t *seed)
{
    for (uint64_t done = 0; done < op->len;) {
        uint64_t n = SECTOR - (op->at + done) % SECTOR;

        n = n < op->len - done ? n : op->len - done;
        if (num_random(seed) % 2)
            put(f, op->at + done, op->bytes + done, n);
        done += n;
    }
}

static void
apply_data(struct fake_disk *out, const struct op *op, enum fake_disk_fate fate, bool is_torn, uint64_t *seed)
{
    struct inode *f = &out->inodes[op->inode];

    if (fate == FATE_LOST || (fate == FATE_RANDOM && op->kind == OP_RESIZE && num_random(seed) % 2))
        return;
    if (op->kind == OP_RESIZE)
        resize(f, op->len);
    else if (is_torn || fate == FATE_RANDOM)
        apply_torn(f, op, seed);
    else
        put(f, op->at, op->bytes, op->len);
}

static bool
is_named(const struct fake_disk *d, unsigned inode)
{
    for (unsigned i = 0; i < d->entry_count; i++)
        if (d->entries[i].inode == inode)
            return true;
    return false;
}

static void
cut_data(struct fake_disk *out, const struct fake_disk *d, const struct fake_disk_cut *cut, uint64_t *seed)
{
    size_t *synced = mem_calloc(d->inode_count, sizeof *synced); /* [inode]: operations before this are safe */
    size_t last = 0;

    for (size_t i = 0; i < cut->ops; i++) {
        if (d->ops[i].kind == OP_SYNC)
            synced[d->ops[i].inode] = i;
        if (d->ops[i].kind == OP_WRITE)
            last = i;
    }
    for (size_t i = 0; i < cut->ops; i++) {
        const struct op *op = &d->ops[i];
        bool is_safe = is_data(op) && i < synced[op->inode];

        if (is_data(op) && is_named(out, op->inode))
            apply_data(out, op, is_safe ? FATE_KEPT : cut->data, cut->is_last_torn && i == last && !is_safe, seed);
    }
    free(synced);
}

struct fake_disk *
fake_disk_cut(const struct fake_disk *d, const struct fake_disk_cut *cut)
{
    struct fake_disk *out = fake_disk_new(d->now_ms);
    uint64_t seed = cut->seed * 2 + 1;
    size_t names = names_kept(d, cut, &seed);

    assert(cut->ops <= d->op_count);
    for (unsigned i = 0; i < d->inode_count; i++)
        (void)add_inode(out);
    for (size_t i = 0; i < cut->ops && names > 0; i++) {
        if (!is_name(&d->ops[i]))
            continue;
        apply_name(out, &d->ops[i]);
        names--;
    }
    cut_data(out, d, cut, &seed);
    out->boot = (char)(d->boot + cut->is_reboot);
    /* What is there now is the beginning of the next journal. */
    fake_disk_use(out);
    for (unsigned i = 0; i < out->entry_count; i++) {
        struct entry *e = &out->entries[i];
        const struct inode *f = &out->inodes[e->inode];
        note_name(OP_NAME, e->inode, e->name, NULL);
        struct op *op = note(OP_WRITE, e->inode);
        op->len = f->len;
        op->bytes = mem_alloc(f->len);
        if (f->len)
            memcpy(op->bytes, f->p, f->len);
        note(OP_SYNC, e->inode);
    }
    note(OP_SYNC_DIR, 0);
    return out;
}

/* --- life, and what tests do by hand --- */

struct fake_disk *
fake_disk_new(uint64_t (*now_ms)(void))
{
    struct fake_disk *d = mem_alloc(sizeof *d);

    d->now_ms = now_ms;
    d->boot = 'a';
    return d;
}

void
fake_disk_free(struct fake_disk **dp)
{
    struct fake_disk *d = *dp;

    *dp = NULL;
    if (!d)
        return;
    for (unsigned i = 0; i < d->inode_count; i++)
        free(d->inodes[i].p);
    for (unsigned i = 0; i < d->entry_count; i++)
        free(d->entries[i].name);
    for (size_t i = 0; i < d->op_count; i++) {
        free(d->ops[i].bytes);
        free(d->ops[i].name);
        free(d->ops[i].from);
    }
    free(d->inodes);
    free(d->entries);
    free(d->ops);
    if (disk == d)
        disk = NULL;
    free(d);
}

void
fake_disk_use(struct fake_disk *d)
{
    disk = d;
}

struct fake_disk_faults *
fake_disk_faults_of(struct fake_disk *d)
{
    return &d->faults;
}

uint8_t *
fake_disk_bytes(struct fake_disk *d, const char *path, size_t *len)
{
    const struct entry *e = find(d, path);

    *len = e ? d->inodes[e->inode].len : 0;
    return e ? d->inodes[e->inode].p : NULL;
}

void
fake_disk_put(struct fake_disk *d, const char *path, const void *p, size_t len)
{
    unsigned inode = add_inode(d);

    put(&d->inodes[inode], 0, p, len);
    set_name(d, path, inode);
}

void
fake_disk_remove(struct fake_disk *d, const char *path)
{
    clear_name(d, path);
}

unsigned
fake_disk_count(const struct fake_disk *d, const char *suffix)
{
    unsigned n = 0;

    for (unsigned i = 0; i < d->entry_count; i++) {
        size_t len = strlen(d->entries[i].name), end = strlen(suffix);
        n += len >= end && strcmp(d->entries[i].name + len - end, suffix) == 0;
    }
    return n;
}
