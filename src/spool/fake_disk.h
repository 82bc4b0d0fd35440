/* fake_disk.h -- a disk in memory for tests: it journals every operation, so that each moment of a run can be brought
 * back as a power cut would leave it, and it fails on demand.
 *
 * What a cut keeps: bytes behind the last sync of their file may be there, or not, or in parts of 512 bytes, each on
 * its own; names (made, renamed, deleted) come in their order, as journaling file systems keep it, up to any one of
 * those behind the last sync of the directory. struct disk_ops knows no object: fake_disk_use() says which disk it is.
 * One thread. */
#ifndef SPOOL_FAKE_DISK_H
#define SPOOL_FAKE_DISK_H

#include "spool/disk.h"

#include <stdbool.h>
#include <stddef.h>

struct fake_disk;

extern const struct disk_ops fake_disk_ops;

/* now_ms (may be NULL) tells the time that is noted with each operation. */
struct fake_disk *fake_disk_new(uint64_t (*now_ms)(void));
void fake_disk_free(struct fake_disk **d);
void fake_disk_use(struct fake_disk *d);

struct fake_disk_faults {
    int read_error, write_error, sync_error; /* -errno, 0: none */
    uint64_t bad_from, bad_to;               /* reading bytes in [from, to) of any segment gives -EIO */
    uint64_t room;                           /* bytes that files may take together; 0: no bound */
    bool is_read_only;
    bool is_dead; /* the process is gone: nothing that it still does reaches the disk */
};
struct fake_disk_faults *fake_disk_faults_of(struct fake_disk *d);

/* Operations that have changed something so far, and the time of one (of the last one for a number too high). */
size_t fake_disk_op_count(const struct fake_disk *d);
uint64_t fake_disk_op_ms(const struct fake_disk *d, size_t i);

enum fake_disk_fate { FATE_KEPT, FATE_LOST, FATE_RANDOM };
struct fake_disk_cut {
    size_t ops;                      /* so many operations have happened */
    enum fake_disk_fate data, names; /* of what was not synced */
    bool is_last_torn;               /* of the last write some sectors are there */
    bool is_reboot;                  /* false: only the process was killed */
    uint64_t seed;
};
/* Another disk: what is left of d. */
struct fake_disk *fake_disk_cut(const struct fake_disk *d, const struct fake_disk_cut *cut);

/* The bytes of a file, for damaging them; NULL: there is none. */
uint8_t *fake_disk_bytes(struct fake_disk *d, const char *path, size_t *len);
void fake_disk_put(struct fake_disk *d, const char *path, const void *p, size_t len);
void fake_disk_remove(struct fake_disk *d, const char *path);
unsigned fake_disk_count(const struct fake_disk *d, const char *suffix);

#endif
