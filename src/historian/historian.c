/* historian.c -- which database an URL means, and what is alike in all of them. */
#include "historian/historian.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/wbuf.h"
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

/* The next secret of a URL at or behind text, as [*from, *to); NULL when there is none. */
static const char *
find_secret(const char *url, const char *text, const char **to)
{
    static const char key[] = "password=";
    const char *authority = strstr(url, "://"), *at, *colon;

    if (authority && text <= authority) {
        authority += 3;
        at = memrchr(authority, '@', strcspn(authority, "/?"));
        colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
        if (colon) {
            *to = at;
            return colon + 1;
        }
    }
    text = strstr(text, key);
    *to = text ? text + sizeof key - 1 + strcspn(text + sizeof key - 1, "& ") : NULL;
    return text ? text + sizeof key - 1 : NULL;
}

const char *
historian_shown_url(const char *url, char *buf, size_t cap)
{
    struct wbuf w = wbuf_fixed(buf, cap - 1);
    const char *text = url ? url : "", *to, *from;

    while ((from = find_secret(url ? url : "", text, &to))) {
        wbuf_bytes(&w, text, (size_t)(from - text));
        wbuf_str(&w, "***");
        text = to;
    }
    wbuf_str(&w, text);
    buf[w.len] = '\0';
    return buf;
}

enum nx_err
historian_open(struct historian **out, const struct historian_conf *conf, struct nx_note *why)
{
    const struct historian_backend *b = find_backend(conf->url);
    struct historian_conf full = *conf;

    char shown[256];

    *out = NULL;
    if (!b)
        return nx_fail(why, NX_E_CONFIG,
                       "historian.url: \"%s\" is not known; write sqlite:<directory> or"
                       " postgres://<user>@<host>:<port>/<database>",
                       historian_shown_url(conf->url, shown, sizeof shown));
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

bool
historian_is_connected(struct historian *h)
{
    return !h->backend->is_connected || h->backend->is_connected(h);
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
historian_ledger(struct historian *h, struct arena *a, struct historian_books *books, struct nx_note *why)
{
    *books = (struct historian_books){0};
    return h->backend->ledger(h, a, books, why);
}

enum nx_err
historian_stats_of(struct historian *h, struct historian_stats *out, struct nx_note *why)
{
    *out = (struct historian_stats){0};
    return h->backend->stats(h, out, why);
}

unsigned
historian_damaged_files(struct historian *h, struct nx_note *what)
{
    return h->backend->damaged_files ? h->backend->damaged_files(h, what) : 0;
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

struct lane_key
lane_key_of(const struct batch_header *hdr)
{
    struct lane_key key;

    memset(&key, 0, sizeof key);
    key.epoch = hdr->epoch;
    key.lane = hdr->lane;
    key.gateway_len = (uint32_t)(hdr->gateway.len < sizeof key.gateway ? hdr->gateway.len : sizeof key.gateway);
    memcpy(key.gateway, hdr->gateway.p, key.gateway_len);
    return key;
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
