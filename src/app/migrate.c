/* migrate.c -- every value from one store to another, series by series.
 *
 * The batches have a gateway of their own, "migrate-...", and a new epoch each time, so they never meet the numbers of
 * another migration or of a living gateway. That it can be repeated without doubles rests on a value being unique by
 * series and time; that it can be resumed quickly, on passing over a series whose values are all there already. The
 * ledger is not copied: it says what a gateway need not send again, and what it sends again is recognised by time. */
#include "app/historian.h"

#include "base/crc32c.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH_POINTS  50000u
#define BATCH_BYTES   (4u << 20) /* of texts */
#define RETRY_US      100000
#define RETRIES       600
#define EVERY_SECONDS 1

struct series_copy {
    char *topic, *device_id, *tag_id, *unit;
    uint8_t data_type;
};

struct migration {
    struct historian *from, *to;
    struct nx_note *why;
    char gateway[40];
    uint64_t epoch, seq;
    struct series_copy *series;
    size_t series_count, series_cap, at;
    struct point *points;
    uint32_t point_count;
    struct arena texts;
    size_t text_bytes;
    uint64_t copied, known, refused, passed_over;
    time_t told_at;
    enum nx_err err;
};

/* --- what there is --- */

static char *
copy(struct slice s)
{
    return mem_strndup(s.len ? (const char *)s.p : "", s.len);
}

static bool
keep_series(void *arg, const struct series *s)
{
    struct migration *m = arg;

    if (m->series_count == m->series_cap) {
        m->series_cap = m->series_cap ? m->series_cap * 2 : 256;
        m->series = mem_realloc(m->series, m->series_cap * sizeof *m->series);
    }
    m->series[m->series_count++] =
        (struct series_copy){copy(s->topic), copy(s->device_id), copy(s->tag_id), copy(s->unit), s->data_type};
    return true;
}

/* How many values, and a check sum over their times. */
struct times {
    uint64_t count;
    uint32_t crc;
};

static bool
add_time(void *arg, const struct history_row *row)
{
    struct times *t = arg;

    t->count++;
    t->crc = crc32c(t->crc, &row->time_us, sizeof row->time_us);
    return true;
}

static enum nx_err
look_at_times(struct migration *m, struct historian *h, const char *topic, struct times *t)
{
    struct history_query q = {
        .topic = topic, .from_us = INT64_MIN, .to_us = INT64_MAX, .fn = HISTORY_RAW, .max_points = HISTORY_NO_LIMIT};
    struct history_summary summary;
    struct arena a = {0};
    enum nx_err err;

    *t = (struct times){0};
    err = historian_query(h, &q, &a, add_time, t, &summary, m->why);
    arena_free(&a);
    return err == NX_E_NOT_FOUND ? NX_OK : err;
}

/* --- copying --- */

static struct series
series_of(const struct series_copy *s)
{
    return (struct series){.topic = slice_str(s->topic),
                           .device_id = slice_str(s->device_id),
                           .tag_id = slice_str(s->tag_id),
                           .unit = slice_str(s->unit),
                           .data_type = s->data_type};
}

static enum nx_err
store(struct migration *m, const struct batch *b)
{
    struct historian_commit_result result = {0};
    struct nx_note ignored;
    enum nx_err err = NX_E_BUSY;

    for (unsigned i = 0; i < RETRIES && err == NX_E_BUSY; i++) {
        if (i > 0)
            (void)usleep(RETRY_US);
        err = historian_commit(m->to, b, 1, &result, m->why);
        if (err == NX_OK || err == NX_E_BUSY)
            (void)!historian_maintain(m->to, &ignored); /* tried again with the next batch; what is stored is stored */
    }
    m->copied += result.points;
    m->known += result.duplicate_points;
    m->refused += result.quarantined_points;
    return err;
}

static void
tell(struct migration *m, bool is_over)
{
    time_t now = time(NULL);

    if (!is_over && now - m->told_at < EVERY_SECONDS)
        return;
    m->told_at = now;
    (void)fprintf(stderr, "%s%zu of %zu series, %llu values copied%s", isatty(2) ? "\r" : "", m->at, m->series_count,
                  (unsigned long long)m->copied, isatty(2) && !is_over ? "" : "\n");
}

static enum nx_err
flush(struct migration *m)
{
    struct series s = series_of(&m->series[m->at]);
    struct batch b = {.hdr = {slice_str(m->gateway), m->epoch, 0, m->seq + 1},
                      .series = &s,
                      .series_count = 1,
                      .points = m->points,
                      .point_count = m->point_count};
    enum nx_err err = m->point_count > 0 ? store(m, &b) : NX_OK;

    if (m->point_count > 0)
        m->seq++;
    m->point_count = 0;
    m->text_bytes = 0;
    arena_reset(&m->texts);
    tell(m, false);
    return err;
}

static bool
take_row(void *arg, const struct history_row *row)
{
    struct migration *m = arg;
    struct point *p = &m->points[m->point_count++];

    *p = (struct point){.time_us = row->time_us,
                        .gateway_us = row->time_us,
                        .quality = row->quality,
                        .value = row->value};
    if (row->value.type == NX_TYPE_STRING) {
        p->value.s = arena_strndup(&m->texts, row->value.s, row->value.len);
        m->text_bytes += row->value.len;
    }
    if (m->point_count == BATCH_POINTS || m->text_bytes >= BATCH_BYTES)
        m->err = flush(m);
    return m->err == NX_OK;
}

static enum nx_err
copy_points(struct migration *m, const char *topic)
{
    struct history_query q = {
        .topic = topic, .from_us = INT64_MIN, .to_us = INT64_MAX, .fn = HISTORY_RAW, .max_points = HISTORY_NO_LIMIT};
    struct history_summary summary;
    struct arena a = {0};
    enum nx_err err;

    m->err = NX_OK;
    err = historian_query(m->from, &q, &a, take_row, m, &summary, m->why);
    arena_free(&a);
    if (err == NX_OK)
        err = m->err;
    return err == NX_OK ? flush(m) : err;
}

static enum nx_err
copy_series(struct migration *m)
{
    const char *topic = m->series[m->at].topic;
    struct times here, there;
    enum nx_err err = look_at_times(m, m->from, topic, &here);

    if (err == NX_OK)
        err = look_at_times(m, m->to, topic, &there);
    if (err != NX_OK)
        return err;
    if (here.count > 0 && here.count == there.count && here.crc == there.crc) {
        m->passed_over++;
        return NX_OK;
    }
    return copy_points(m, topic);
}

static enum nx_err
copy_all(struct migration *m)
{
    enum nx_err err = historian_series(m->from, keep_series, m, m->why);

    m->points = mem_calloc(BATCH_POINTS, sizeof *m->points);
    for (; m->at < m->series_count && err == NX_OK; m->at++)
        err = copy_series(m);
    if (err != NX_OK)
        return err;
    err = historian_seal(m->to, m->why);
    return err == NX_E_BUSY ? NX_OK : err; /* somebody else keeps the store: it seals */
}

static void
migration_fini(struct migration *m)
{
    for (size_t i = 0; i < m->series_count; i++) {
        free(m->series[i].topic);
        free(m->series[i].device_id);
        free(m->series[i].tag_id);
        free(m->series[i].unit);
    }
    free(m->series);
    free(m->points);
    arena_free(&m->texts);
    historian_close(&m->from);
    historian_close(&m->to);
}

static int
report(struct migration *m, enum nx_err err)
{
    tell(m, true);
    if (err != NX_OK)
        return command_failed(err, m->why);
    (void)printf("%llu values copied, %llu were there already, %llu series were complete before\n",
                 (unsigned long long)m->copied, (unsigned long long)m->known, (unsigned long long)m->passed_over);
    if (m->refused > 0)
        (void)fprintf(stderr, "nexus: %llu values have an absurd time: they are in the quarantine of the new store\n",
                      (unsigned long long)m->refused);
    return EXIT_OK;
}

int
historian_migrate(const char *from, const char *to)
{
    struct nx_note why = {0};
    struct migration m = {.why = &why, .epoch = (uint64_t)time(NULL)};
    int code;

    if (strcmp(from, to) == 0) {
        (void)fprintf(stderr, "nexus: both stores are the same\n");
        return EXIT_USAGE;
    }
    (void)snprintf(m.gateway, sizeof m.gateway, "migrate-%08x", crc32c(0, from, strlen(from)));
    m.epoch = m.epoch * 100000 + (uint64_t)getpid() % 100000;
    m.from = historian_of(from, HISTORIAN_READER, &code);
    if (m.from)
        m.to = historian_of(to, HISTORIAN_WRITER, &code);
    if (m.to)
        code = report(&m, copy_all(&m));
    migration_fini(&m);
    return code;
}
