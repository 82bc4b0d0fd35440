/* fuzz: spool spool_fake loop base */
/* A segment file with any content behind a sound head: opening, reading, appending and freeing must hold. On a disk in
 * memory: on a real one each input waits for the syncs of two starts, and a busy or full one ends the run. */
#include "spool/fake_disk.h"
#include "spool/spool.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define HEAD_BYTES 40
#define SEGMENT    "spool/00000000000000000001.seg"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static const struct spool_conf conf = {.dir = "spool",
                                       .cap_bytes = 1 << 20,
                                       .disk_reserve_bytes = 1,
                                       .disk = &fake_disk_ops};

/* The head of a real segment, then the input. An input that begins with 'H' brings a head of its own. */
static void
plant(struct fake_disk *disk, struct loop *loop, const uint8_t *p, size_t len)
{
    bool has_head = len && p[0] == 'H';
    size_t head_len = has_head ? 0 : HEAD_BYTES, n;
    uint8_t *file = mem_alloc(head_len + len);
    struct spool *sp;

    if (spool_open(&sp, loop, &conf, NULL, NULL, NULL) != NX_OK || spool_append(sp, slice("x", 1), 1, NULL) != NX_OK)
        abort();
    spool_close(&sp);
    memcpy(file, fake_disk_bytes(disk, SEGMENT, &n), head_len);
    if (len > has_head)
        memcpy(file + head_len, p + has_head, len - has_head);
    fake_disk_put(disk, SEGMENT, file, head_len + len - has_head);
    free(file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct loop *loop = loop_fake_new();
    struct fake_disk *disk = fake_disk_new(NULL);
    struct spool_record rec = {0};
    struct spool *sp;

    fake_disk_use(disk);
    plant(disk, loop, p, len);
    if (spool_open(&sp, loop, &conf, NULL, NULL, NULL) == NX_OK) {
        while (spool_read(sp, rec.seq + 1, &rec, NULL) == NX_OK) {
        }
        if (spool_append(sp, slice("tail", 4), 1, NULL) != NX_OK || spool_read(sp, rec.seq + 1, &rec, NULL) != NX_OK)
            abort();
        spool_free_range(sp, 0, UINT64_MAX);
        spool_close(&sp);
    }
    loop_fake_turn(loop);
    loop_free(&loop);
    fake_disk_free(&disk);
    return 0;
}
