/* bench: historian db model base */
/* Historian on SQLite (P9, P10): committing, sealing and rolling up 5,000-point batches of 1,000 series against an
 * append-only log of the same run, with the writer keeping the store itself and with a keeper on a thread; bytes a
 * point when sealed, and of rollups; a million points of one tag to the minimum and maximum of 2,000 pixels; 8 tags of
 * 24 hours at 1 Hz from rollups.
 */
#include "bench.h"

#include "base/mem.h"
#include "base/num.h"
#include "historian/historian.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERIES 1000u
#define BATCH  5000u
#define START  (INT64_C(1700006400) * 1000000)

struct bench {
    char dir[64];
    char url[80];
    struct historian *h;
    struct series series[SERIES];
    char topics[SERIES][40];
    double level[SERIES];
    struct point points[BATCH];
    int64_t time_us[SERIES];
    uint64_t seed, seq;
    atomic_bool stop; /* the keeper */
};

static _Atomic int64_t wall_us = START;

static int64_t
bench_now(void)
{
    return atomic_load(&wall_us);
}

static void
must(enum nx_err err, const struct nx_note *why)
{
    if (err == NX_OK)
        return;
    (void)fprintf(stderr, "%s\n", why->text);
    exit(1);
}

static void
open_store(struct bench *b)
{
    struct historian_conf conf = {.url = b->url, .wall_us = bench_now};
    struct nx_note why;

    (void)snprintf(b->dir, sizeof b->dir, "bench-historian-XXXXXX");
    if (!mkdtemp(b->dir))
        abort();
    (void)snprintf(b->url, sizeof b->url, "sqlite:%s", b->dir);
    must(historian_open(&b->h, &conf, &why), &why);
}

struct sizes {
    uint64_t sealed, rollups;
};

static struct sizes
remove_store(struct bench *b)
{
    struct sizes bytes = {0};
    DIR *dir;

    historian_close(&b->h);
    dir = opendir(b->dir);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char path[400];
        struct stat sb;

        (void)snprintf(path, sizeof path, "%s/%s", b->dir, e->d_name);
        if (strncmp(e->d_name, "hist-", 5) == 0 && stat(path, &sb) == 0)
            bytes.sealed += (uint64_t)sb.st_size;
        if (strncmp(e->d_name, "roll-", 5) == 0 && stat(path, &sb) == 0)
            bytes.rollups += (uint64_t)sb.st_size;
        (void)unlink(path);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(b->dir);
    return bytes;
}

/* A random walk in hundredths, some milliseconds of jitter: what a level or a temperature looks like. */
static void
fill(struct bench *b, unsigned series_count)
{
    for (unsigned i = 0; i < BATCH; i++) {
        unsigned s = i % series_count;

        b->level[s] += (double)((int)(num_random(&b->seed) % 21) - 10);
        if (b->time_us[s] > wall_us)
            atomic_store(&wall_us, b->time_us[s]);
        b->time_us[s] += 1000000 + (int64_t)(num_random(&b->seed) % 5 - 2) * 1000;
        b->points[i] = (struct point){.series = s,
                                      .quality = NX_Q_GOOD,
                                      .time_us = b->time_us[s],
                                      .value = nx_value_double(b->level[s] / 100)};
    }
}

static void
commit(struct bench *b, unsigned series_count, bool keeps)
{
    struct batch batch = {.hdr = {slice_str("bench"), 1, 0, ++b->seq},
                          .series = b->series,
                          .series_count = series_count,
                          .points = b->points,
                          .point_count = BATCH};
    struct historian_commit_result result;
    struct nx_note why;

    must(historian_commit(b->h, &batch, 1, &result, &why), &why);
    if (keeps)
        must(historian_maintain(b->h, &why), &why);
}

/* 24 bytes a point, one fdatasync for each 5,000. */
static double
append_log(const char *path, unsigned rounds)
{
    static uint8_t rows[BATCH * 24];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    double begin = bench_s();

    for (unsigned r = 0; r < rounds; r++)
        if (write(fd, rows, sizeof rows) != (ssize_t)sizeof rows || fdatasync(fd) != 0)
            abort();
    begin = bench_s() - begin;
    (void)close(fd);
    (void)unlink(path);
    return rounds * (double)BATCH / begin;
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void *
keep(void *arg)
{
    struct bench *b = arg;
    struct historian_conf conf = {.url = b->url, .role = HISTORIAN_KEEPER, .wall_us = bench_now};
    struct historian *keeper;
    struct nx_note why;

    must(historian_open(&keeper, &conf, &why), &why);
    while (!atomic_load(&b->stop)) {
        must(historian_maintain(keeper, &why), &why);
        (void)usleep(10000);
    }
    historian_close(&keeper);
    return NULL;
}

static double
commit_all(struct bench *b, unsigned rounds, double *took, bool keeps)
{
    double total = 0;

    for (unsigned r = 0; r < rounds; r++) {
        double begin;

        fill(b, SERIES);
        begin = bench_s();
        commit(b, SERIES, keeps);
        total += took[r] = bench_s() - begin;
    }
    qsort(took, rounds, sizeof *took, compare_doubles);
    return total;
}

/* What waits is sealed and, since the day is over, rolled up. */
static double
finish(struct bench *b, double *last_seal)
{
    struct nx_note why;
    double begin = bench_s();

    must(historian_seal(b->h, &why), &why);
    *last_seal = bench_s() - begin;
    (void)printf("{\"case\":\"historian_last_seal\",\"value\":%.0f,\"unit\":\"ms\"}\n", *last_seal * 1e3);
    atomic_fetch_add(&wall_us, INT64_C(86400) * 1000000);
    begin = bench_s();
    must(historian_seal(b->h, &why), &why);
    return bench_s() - begin;
}

static void
bench_commit(struct bench *b, unsigned rounds, bool has_keeper)
{
    double *took = mem_calloc(rounds, sizeof *took), log_rate = append_log("bench-historian.log", rounds), total,
           rolled, sealed;
    double points = rounds * (double)BATCH;
    struct sizes sizes;
    pthread_t thread;

    open_store(b);
    atomic_store(&b->stop, false);
    if (has_keeper && pthread_create(&thread, NULL, keep, b) != 0)
        abort();
    total = commit_all(b, rounds, took, !has_keeper);
    atomic_store(&b->stop, true);
    if (has_keeper)
        (void)pthread_join(thread, NULL);
    (void)printf("{\"case\":\"historian_commit%s\",\"value\":%.0f,\"unit\":\"points/s\",\"ratio_to\":\"append log\","
                 "\"ratio\":%.3f,\"log\":%.0f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.1f}\n",
                 has_keeper ? "_kept" : "", points / total, points / total / log_rate, log_rate, took[rounds / 2] * 1e3,
                 took[rounds * 99 / 100] * 1e3, took[rounds - 1] * 1e3);
    rolled = finish(b, &sealed);
    sizes = remove_store(b);
    (void)printf("{\"case\":\"historian_sealed\",\"value\":%.2f,\"unit\":\"bytes/point\"}\n",
                 (double)sizes.sealed / points);
    (void)printf("{\"case\":\"historian_rollup\",\"value\":%.0f,\"unit\":\"points/s\",\"bytes_per_point\":%.2f,"
                 "\"all_points_s\":%.0f}\n",
                 points / rolled, (double)sizes.rollups / points, points / (total + sealed + rolled));
    free(took);
}

static bool
count_row(void *arg, const struct history_row *row)
{
    (void)row;
    ++*(unsigned *)arg;
    return true;
}

static void
bench_query(struct bench *b, unsigned rounds)
{
    struct history_query q = {.topic = b->topics[0],
                              .from_us = START,
                              .to_us = START + INT64_C(86400) * 40 * 1000000,
                              .fn = HISTORY_MINMAX,
                              .max_points = 2000,
                              .resolution = HISTORY_RESOLUTION_RAW};
    double best = INFINITY;
    struct history_summary summary;
    struct nx_note why;
    struct arena a = {0};
    unsigned rows = 0;

    open_store(b);
    for (unsigned r = 0; r < rounds; r++) {
        fill(b, 1);
        commit(b, 1, true);
    }
    q.to_us = b->time_us[0] + 1;
    for (unsigned r = 0; r < 5; r++) {
        double begin = bench_s();

        rows = 0;
        must(historian_query(b->h, &q, &a, count_row, &rows, &summary, &why), &why);
        begin = bench_s() - begin;
        best = begin < best ? begin : best;
    }
    (void)printf("{\"case\":\"historian_minmax_2000px\",\"value\":%.1f,\"unit\":\"ms\",\"raw_points\":%llu,\"rows\":%u,"
                 "\"ns_per_point\":%.1f}\n",
                 best * 1e3, (unsigned long long)summary.raw_count, rows, best * 1e9 / (double)summary.raw_count);
    arena_free(&a);
    (void)remove_store(b);
}

/* 24 h at 1 Hz of 8 tags, a trend of 1,000 pixels each. */
static void
bench_day(struct bench *b, unsigned rounds, const char *name, bool is_over)
{
    struct history_query q = {.from_us = START, .to_us = START + INT64_C(86400) * 1000000, .fn = HISTORY_MINMAX};
    struct history_summary summary = {0};
    struct nx_note why;
    struct arena a = {0};
    double took[20];
    unsigned rows = 0;

    open_store(b);
    for (unsigned r = 0; r < rounds; r++) {
        fill(b, 8);
        commit(b, 8, true);
    }
    atomic_fetch_add(&wall_us, is_over ? INT64_C(86400) * 1000000 : 0);
    must(historian_seal(b->h, &why), &why);
    for (unsigned r = 0; r < MEM_COUNT(took); r++) {
        took[r] = bench_s();
        for (unsigned tag = 0; tag < 8; tag++) {
            q.topic = b->topics[tag];
            must(historian_query(b->h, &q, &a, count_row, &rows, &summary, &why), &why);
        }
        took[r] = bench_s() - took[r];
    }
    qsort(took, MEM_COUNT(took), sizeof *took, compare_doubles);
    (void)printf("{\"case\":\"%s\",\"value\":%.2f,\"unit\":\"ms\",\"max_ms\":%.2f,\"points\":%llu,\"resolution\":%d}\n",
                 name, took[MEM_COUNT(took) / 2] * 1e3, took[MEM_COUNT(took) - 1] * 1e3,
                 (unsigned long long)summary.raw_count * 8, (int)summary.resolution);
    arena_free(&a);
    (void)remove_store(b);
}

static void
init(struct bench *b)
{
    atomic_store(&wall_us, START);
    b->seq = 0;
    b->seed = 1;
    for (unsigned i = 0; i < SERIES; i++) {
        (void)snprintf(b->topics[i], sizeof b->topics[i], "uns/plant/line-%u/tag-%u", i / 100, i);
        b->series[i] = (struct series){.topic = slice_str(b->topics[i]), .data_type = NX_TYPE_DOUBLE};
        b->level[i] = 5000;
        b->time_us[i] = START;
    }
}

int
main(int argc, char **argv)
{
    bool quick = bench_is_quick(argc, argv);
    struct bench *b = mem_alloc(sizeof *b);

    init(b);
    bench_commit(b, quick ? 30 : 600, false);
    init(b);
    bench_commit(b, quick ? 30 : 600, true);
    init(b);
    bench_query(b, quick ? 5 : 200);
    init(b);
    bench_day(b, quick ? 5 : 138, "historian_8_tags_today", false);
    init(b);
    bench_day(b, quick ? 5 : 138, "historian_8_tags_day", true);
    free(b);
    return 0;
}
