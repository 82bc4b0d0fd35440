/* copy.c -- what PostgreSQL itself takes (P7): sorted binary COPY into the historian's own table of points, without
 * ledger, without anything else, by a few connections.
 *
 *   copy --url postgres://... [--seconds 20] [--connections 2] [--series 10000] [--rows 5000]
 *
 * Run it after the historian has made its tables: it makes a copy of hist.raw's definition (columns, indexes, one
 * partition more where it is partitioned), fills that and drops it. Prints one JSON line. */
#include "bench.h"
#include "option.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/wbuf.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_LATENCIES 200000u
#define PG_EPOCH_US   INT64_C(946684800000000) /* 2000-01-01 */
#define COPY_SQL      "COPY bench_copy.raw(series_id, quality, time, value, type, text) FROM STDIN (FORMAT binary)"

static struct {
    const char *url;
    uint64_t seconds, series, rows;
    int64_t start_us;
    uint64_t next; /* transaction (atomic) */
    uint64_t end_ns;
} plan;

struct runner {
    pthread_t thread;
    uint64_t rows;
    uint32_t *latencies_us, count;
};

static void
fail(const PGconn *c, const char *what)
{
    (void)fprintf(stderr, "copy: %s: %s\n", what, PQerrorMessage(c));
    exit(1);
}

static void
exec(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);

    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail(c, sql);
    PQclear(r);
}

static PGconn *
connect_to(void)
{
    PGconn *c = PQconnectdb(plan.url);

    if (PQstatus(c) != CONNECTION_OK)
        fail(c, "cannot connect");
    return c;
}

/* Transaction n is the next so many series of a tick: the times of a series are a second apart. */
static void
put_rows(struct wbuf *w, uint64_t n)
{
    static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";

    wbuf_reset(w);
    wbuf_bytes(w, head, sizeof head - 1);
    for (uint64_t i = n * plan.rows; i < (n + 1) * plan.rows; i++) {
        double value = (double)(i % 1000) * 0.25;
        uint64_t bits;

        memcpy(&bits, &value, sizeof bits);
        wbuf_be16(w, 6);
        wbuf_be32(w, 4);
        wbuf_be32(w, (uint32_t)(i % plan.series));
        wbuf_be32(w, 4);
        wbuf_be32(w, 192);
        wbuf_be32(w, 8);
        wbuf_be64(w, (uint64_t)(plan.start_us - PG_EPOCH_US) + i / plan.series * 1000000);
        wbuf_be32(w, 8);
        wbuf_be64(w, bits);
        wbuf_be32(w, UINT32_MAX); /* NULL */
        wbuf_be32(w, UINT32_MAX);
    }
    wbuf_be16(w, UINT16_MAX);
}

static void
copy_once(PGconn *c, const struct wbuf *w)
{
    PGresult *r;

    exec(c, "BEGIN");
    PQclear(PQexec(c, COPY_SQL));
    if (PQputCopyData(c, (const char *)w->p, (int)w->len) != 1 || PQputCopyEnd(c, NULL) != 1)
        fail(c, "COPY");
    while ((r = PQgetResult(c))) {
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            fail(c, "COPY");
        PQclear(r);
    }
    exec(c, "COMMIT");
}

static void *
run(void *arg)
{
    struct runner *me = arg;
    PGconn *c = connect_to();
    struct wbuf w = wbuf_init(0);

    while (bench_ns() < plan.end_ns) {
        uint64_t began;

        put_rows(&w, __atomic_fetch_add(&plan.next, 1, __ATOMIC_RELAXED));
        began = bench_ns();
        copy_once(c, &w);
        me->rows += plan.rows;
        if (me->count < MAX_LATENCIES)
            me->latencies_us[me->count++] = (uint32_t)((bench_ns() - began) / 1000);
    }
    wbuf_free(&w);
    PQfinish(c);
    return NULL;
}

static void
make_table(PGconn *c)
{
    exec(c, "DROP SCHEMA IF EXISTS bench_copy CASCADE");
    exec(c, "CREATE SCHEMA bench_copy");
    exec(
        c,
        "DO $$ BEGIN"
        "  IF EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = 'hist.raw'::regclass) THEN"
        "    CREATE TABLE bench_copy.raw (LIKE hist.raw INCLUDING ALL) PARTITION BY RANGE(time);"
        "    CREATE TABLE bench_copy.part PARTITION OF bench_copy.raw FOR VALUES FROM ('2000-01-01') TO ('2100-01-01');"
        "  ELSE"
        "    CREATE TABLE bench_copy.raw (LIKE hist.raw INCLUDING ALL);"
        "  END IF;"
        " END $$");
}

static void
print_result(struct runner *runners, size_t n, double seconds)
{
    uint32_t *all = mem_calloc(n * MAX_LATENCIES, sizeof *all);
    uint64_t rows = 0;
    size_t count = 0;
    struct bench_delays d;

    for (size_t i = 0; i < n; i++) {
        rows += runners[i].rows;
        memcpy(all + count, runners[i].latencies_us, runners[i].count * sizeof *all);
        count += runners[i].count;
    }
    d = bench_delays(all, count);
    (void)printf("{\"case\":\"P7 raw sorted COPY, %zu connections\",\"value\":%.0f,\"unit\":\"points/s\","
                 "\"commit_p50_ms\":%.1f,\"commit_p99_ms\":%.1f,\"commits\":%zu}\n",
                 n, (double)rows / seconds, d.p50_ms, d.p99_ms, count);
    free(all);
}

int
main(int argc, char **argv)
{
    size_t n = (size_t)option(argc, argv, "--connections", 2);
    struct runner *runners = mem_calloc(n, sizeof *runners);
    uint64_t began;
    PGconn *c;

    plan.url = option_text(argc, argv, "--url");
    plan.seconds = option(argc, argv, "--seconds", 20);
    plan.series = option(argc, argv, "--series", 10000);
    plan.rows = option(argc, argv, "--rows", 5000);
    if (!plan.url || n == 0 || plan.series == 0) {
        (void)fprintf(stderr, "copy: --url is missing\n");
        return 2;
    }
    c = connect_to();
    make_table(c);
    plan.start_us = (int64_t)time(NULL) * 1000000 - INT64_C(3600000000);
    began = bench_ns();
    plan.end_ns = began + plan.seconds * 1000000000u;
    for (size_t i = 0; i < n; i++) {
        runners[i].latencies_us = mem_calloc(MAX_LATENCIES, sizeof(uint32_t));
        if (pthread_create(&runners[i].thread, NULL, run, &runners[i]) != 0)
            abort();
    }
    for (size_t i = 0; i < n; i++)
        pthread_join(runners[i].thread, NULL);
    print_result(runners, n, (double)(bench_ns() - began) / 1e9);
    exec(c, "DROP SCHEMA bench_copy CASCADE");
    PQfinish(c);
    for (size_t i = 0; i < n; i++)
        free(runners[i].latencies_us);
    free(runners);
    return 0;
}
