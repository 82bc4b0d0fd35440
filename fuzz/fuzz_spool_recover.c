/* fuzz: spool loop base */
/* A segment file with any content behind a sound head: opening, reading, appending and freeing must hold. */
#include "spool/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAD_BYTES 40

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static char dir[] = "/tmp/fuzz_spool.XXXXXX";

static void
empty_dir(void)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d)))
        (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
}

/* The head of a real segment, then the input. An input that begins with 'H' brings a head of its own. */
static void
plant(const struct spool_conf *conf, struct loop *loop, const uint8_t *p, size_t len)
{
    bool has_head = len && p[0] == 'H';
    char path[128];
    struct spool *sp;

    if (spool_open(&sp, loop, conf, NULL, NULL, NULL) != NX_OK || spool_append(sp, slice("x", 1), 1, NULL) != NX_OK)
        abort();
    spool_close(&sp);
    (void)snprintf(path, sizeof path, "%s/%020d.seg", dir, 1);
    int fd = open(path, O_RDWR);
    if (fd < 0 || ftruncate(fd, has_head ? 0 : HEAD_BYTES) != 0 ||
        pwrite(fd, p + has_head, len - has_head, has_head ? 0 : HEAD_BYTES) < 0)
        abort();
    close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct loop *loop = loop_fake_new();
    struct spool_conf conf = {.dir = dir, .cap_bytes = 1 << 20, .disk_reserve_bytes = 1};
    struct spool_record rec = {0};
    struct spool *sp;

    if (dir[sizeof dir - 2] == 'X' && !mkdtemp(dir))
        abort();
    plant(&conf, loop, p, len);
    if (spool_open(&sp, loop, &conf, NULL, NULL, NULL) == NX_OK) {
        while (spool_read(sp, rec.seq + 1, &rec, NULL) == NX_OK) {
        }
        if (spool_append(sp, slice("tail", 4), 1, NULL) != NX_OK || spool_read(sp, rec.seq + 1, &rec, NULL) != NX_OK)
            abort();
        spool_free_range(sp, 0, UINT64_MAX);
        spool_close(&sp);
    }
    empty_dir();
    loop_free(&loop);
    return 0;
}
