/* bench: spool loop base */
/* P11: append of 4 kB batch records of 100 points, read-back of a backlog, the flow of a healthy link, a restart. */
#include "bench.h"

#include "base/mem.h"
#include "spool/spool.h"

#include <stdio.h>
#include <stdlib.h>

#define POINTS 100u
#define BODY   4096u

static void
print(const char *name, unsigned records, double seconds)
{
    printf("{\"case\":\"%s\",\"value\":%.0f,\"unit\":\"points/s\",\"mb_per_s\":%.0f}\n", name,
           records * (double)POINTS / seconds, records * (double)BODY / seconds / 1e6);
}

static struct spool *
open_spool(struct loop *loop, const char *dir, bool is_strict)
{
    const struct spool_conf conf = {.dir = dir,
                                    .cap_bytes = 1ull << 30,
                                    .disk_reserve_bytes = 1,
                                    .is_strict = is_strict};
    struct nx_note why;
    struct spool *sp;

    if (spool_open(&sp, loop, &conf, NULL, NULL, &why) != NX_OK) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    return sp;
}

static void
append(struct spool *sp, unsigned n, unsigned free_behind)
{
    static uint8_t body[BODY];

    for (unsigned i = 0; i < n; i++) {
        uint64_t seq = spool_next_seq(sp);

        memcpy(body, &seq, sizeof seq);
        if (spool_append(sp, slice(body, sizeof body), POINTS, NULL) != NX_OK)
            abort();
        if (free_behind && seq > free_behind)
            spool_free_range(sp, 0, seq - free_behind);
    }
}

static void
read_all(struct spool *sp, unsigned n)
{
    struct spool_record rec = {0};

    for (unsigned i = 0; i < n; i++) {
        if (spool_read(sp, rec.seq + 1, &rec, NULL) != NX_OK)
            abort();
    }
}

int
main(int argc, char **argv)
{
    bool is_quick = bench_is_quick(argc, argv);
    unsigned n = is_quick ? 200 : 50000;
    char dir[] = "/tmp/bench_spool.XXXXXX", command[64];
    struct loop *loop = loop_fake_new();
    struct spool *sp;

    if (!mkdtemp(dir))
        return 1;
    sp = open_spool(loop, dir, false);
    double begin = bench_s();
    append(sp, n, 0);
    print("spool_append", n, bench_s() - begin);
    begin = bench_s();
    read_all(sp, n);
    print("spool_replay", n, bench_s() - begin);
    begin = bench_s();
    spool_free_range(sp, 0, UINT64_MAX);
    append(sp, n, 50);
    print("spool_flow", n, bench_s() - begin);
    append(sp, n, 0);
    spool_close(&sp);
    begin = bench_s();
    sp = open_spool(loop, dir, true);
    print("spool_recover", n, bench_s() - begin);
    begin = bench_s();
    append(sp, is_quick ? 5 : 500, 0);
    print("spool_append_strict", is_quick ? 5 : 500, bench_s() - begin);
    spool_close(&sp);
    loop_free(&loop);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}
