/* historian.c -- which database an URL means, and what is alike in all of them. */
#include "historian/historian.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "historian/backend.h"

#define FUTURE_US (3600 * INT64_C(1000000))
#define OLDEST_US (631152000 * INT64_C(1000000)) /* 1990-01-01 */
#define DAY_US    (86400 * INT64_C(1000000))

static const struct historian_backend *const backends[] = {&historian_sqlite, &historian_postgres,
                                                           &historian_postgresql};

static const struct historian_backend *
find_backend(const char *url)
{
    for (size_t i = 0; url && i < MEM_COUNT(backends); i++)
        if (strncmp(url, backends[i]->scheme, strlen(backends[i]->scheme)) == 0)
            return backends[i];
    return NULL;
}

enum nx_err
historian_open(struct historian **out, const struct historian_conf *conf, struct nx_note *why)
{
    const struct historian_backend *b = find_backend(conf->url);
    struct historian_conf full = *conf;

    *out = NULL;
    if (!b)
        return nx_fail(why, NX_E_CONFIG, "historian.url: \"%s\" is not known; write sqlite:<directory>",
                       conf->url ? conf->url : "");
    if (!full.wall_us)
        full.wall_us = historian_wall_us;
    return b->open(out, &full, why);
}

void
historian_close(struct historian **h)
{
    if (*h)
        (*h)->backend->close(*h);
    *h = NULL;
}

unsigned
historian_max_writers(const char *url)
{
    const struct historian_backend *b = find_backend(url);

    return b ? b->max_writers : 0;
}

enum nx_err
historian_commit(struct historian *h, const struct batch *batches, size_t n, struct historian_commit_result *result,
                 struct nx_note *why)
{
    *result = (struct historian_commit_result){0};
    return h->backend->commit(h, batches, n, result, why);
}

bool
historian_is_committed(const struct historian *h, const struct batch_header *hdr, struct batch_range *range)
{
    return h->backend->is_committed(h, hdr, range);
}

enum nx_err
historian_maintain(struct historian *h, struct nx_note *why)
{
    return h->backend->maintain(h, why);
}

enum nx_err
historian_seal(struct historian *h, struct nx_note *why)
{
    return h->backend->seal(h, why);
}

enum nx_err
historian_ledger(struct historian *h, struct arena *a, struct historian_ledger_row **rows, size_t *n,
                 struct nx_note *why)
{
    *rows = NULL;
    *n = 0;
    return h->backend->ledger(h, a, rows, n, why);
}

enum nx_err
historian_stats_of(struct historian *h, struct historian_stats *out, struct nx_note *why)
{
    *out = (struct historian_stats){0};
    return h->backend->stats(h, out, why);
}

enum nx_err
historian_series(struct historian *h, history_series_cb *each, void *arg, struct nx_note *why)
{
    return h->backend->each_series(h, each, arg, why);
}

const char *
historian_refuse_time(int64_t time_us, int64_t now_us, uint32_t retention_days)
{
    if (time_us > now_us + FUTURE_US)
        return "time lies in the future: check the clock of the device";
    if (time_us < OLDEST_US)
        return "time lies before 1990: check the clock of the device";
    if (retention_days > 0 && time_us < now_us - retention_days * DAY_US)
        return "older than the retention";
    return NULL;
}

int64_t
history_level_us(enum history_level level)
{
    static const int64_t seconds[] = {0, 60, 3600, 86400};

    return seconds[level] * 1000000;
}

int64_t
historian_wall_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int
compare_points(const void *a, const void *b)
{
    const struct point *x = a, *y = b;

    if (x->time_us != y->time_us)
        return x->time_us < y->time_us ? -1 : 1;
    return (x->series > y->series) - (x->series < y->series);
}

size_t
points_sort_unique(struct point *p, size_t n, uint64_t *duplicates)
{
    size_t kept = 1;
    bool is_sorted = true;

    for (size_t i = 1; i < n && is_sorted; i++)
        is_sorted = p[i - 1].time_us < p[i].time_us;
    if (is_sorted)
        return n;
    for (size_t i = 0; i < n; i++)
        p[i].series = (uint32_t)i;
    qsort(p, n, sizeof *p, compare_points);
    for (size_t i = 1; i < n; i++)
        if (p[i].time_us != p[kept - 1].time_us)
            p[kept++] = p[i];
    *duplicates += n - kept;
    return kept;
}
