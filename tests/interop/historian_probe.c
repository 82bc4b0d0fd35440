/* historian_probe.c -- lets a test work with a historian of any kind: commands from standard input, a line of JSON
 * each.
 *
 *   historian_probe URL [writer|keeper|reader] [retention days] [insert]
 *
 *   now US                                   sets the clock of the historian (0: the system's)
 *   batch GATEWAY EPOCH LANE SEQ             begins a batch
 *   gap FROM TO POINTS                       makes it a gap record
 *   p TOPIC UNIT DATA_TYPE TIME_US QUALITY TYPE VALUE    a point; VALUE of a string is in hex, of a double a hex float
 *   commit | acked GATEWAY EPOCH LANE SEQ | maintain | seal | reopen | ledger | stats | series
 *   query TOPIC FN FROM TO MAX               FN: number of enum history_fn
 *   scan TOPIC FROM TO LEVEL | before TOPIC TIME
 *   race THREADS GATEWAY EPOCH BATCHES POINTS SERIES TIME    every thread commits the same batches
 *   load THREADS GATEWAY EPOCH BATCHES POINTS SERIES TIME    each thread a lane of its own; a failed commit is repeated
 */
#include "base/mem.h"
#include "base/num.h"
#include "historian/backend.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_BATCHES 512
#define MAX_SERIES  4096

struct draft {
    struct batch batch;
    char *gateway;
    struct series series[64];
    struct point *points;
    size_t cap;
};

struct probe {
    struct historian_conf conf;
    struct historian *h;
    struct nx_note why;
    struct draft *drafts;
    size_t count;
    struct arena a;
};

static int64_t fixed_now_us;

static int64_t
now_us(void)
{
    return fixed_now_us ? fixed_now_us : historian_wall_us();
}

static double
seconds(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
tell(const struct probe *x, enum nx_err err)
{
    struct wbuf w = wbuf_init(0);

    if (err == NX_OK) {
        (void)puts("{\"ok\": true}");
    } else {
        wbuf_json_string(&w, slice_str(x->why.text));
        (void)printf("{\"error\": \"%s\", \"why\": %s}\n", nx_err_name(err), wbuf_cstr(&w));
    }
    wbuf_free(&w);
}

/* --- committing --- */

static uint32_t
series_at(struct probe *x, struct draft *d, const char *topic, const char *unit, int type)
{
    uint32_t n = d->batch.series_count;

    for (uint32_t i = 0; i < n; i++)
        if (slice_eq_str(d->series[i].topic, topic))
            return i;
    d->series[n] = (struct series){.topic = slice_str(arena_strdup(&x->a, topic)),
                                   .device_id = slice_str("plc"),
                                   .tag_id = slice_str("tag"),
                                   .unit = slice_str(arena_strdup(&x->a, unit)),
                                   .data_type = (uint8_t)type};
    return d->batch.series_count++;
}

static struct nx_value
parse_value(struct probe *x, int type, const char *text)
{
    switch (type) {
    case NX_TYPE_BOOL:
        return nx_value_bool(text[0] == '1');
    case NX_TYPE_INT:
        return nx_value_int(strtoll(text, NULL, 10));
    case NX_TYPE_UINT:
        return nx_value_uint(strtoull(text, NULL, 10));
    case NX_TYPE_DOUBLE:
        return nx_value_double(strtod(text, NULL));
    case NX_TYPE_STRING: {
        size_t n = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;
        char *bytes = arena_alloc(&x->a, n + 1);

        for (size_t i = 0; i < n; i++) {
            unsigned byte = 0;

            (void)sscanf(text + 2 * i, "%2x", &byte);
            bytes[i] = (char)byte;
        }
        return nx_value_string(bytes, n);
    }
    default:
        return nx_value_none();
    }
}

static void
add_point(struct probe *x, const char *line)
{
    struct draft *d = &x->drafts[x->count - 1];
    char topic[256], unit[32], value[8300];
    int data_type, quality, type;
    int64_t time_us;

    if (sscanf(line, "p %255s %31s %d %" SCNd64 " %d %d %8299s", topic, unit, &data_type, &time_us, &quality, &type,
               value) != 7)
        abort();
    if (d->batch.point_count == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 64;
        d->points = mem_realloc(d->points, d->cap * sizeof *d->points);
    }
    d->points[d->batch.point_count++] = (struct point){.series = series_at(x, d, topic, unit, data_type),
                                                       .time_us = time_us,
                                                       .quality = (uint16_t)quality,
                                                       .value = parse_value(x, type, value)};
}

static void
begin_batch(struct probe *x, const char *line)
{
    struct draft *d = &x->drafts[x->count++];
    char gateway[128];
    unsigned lane;

    if (x->count > MAX_BATCHES || sscanf(line, "batch %127s %" SCNu64 " %u %" SCNu64, gateway, &d->batch.hdr.epoch,
                                         &lane, &d->batch.hdr.seq) != 4)
        abort();
    d->batch.hdr.lane = (uint8_t)lane;
    d->batch.hdr.gateway = slice_str(arena_strdup(&x->a, gateway));
}

static void
make_gap(struct probe *x, const char *line)
{
    struct batch *b = &x->drafts[x->count - 1].batch;

    b->is_gap = true;
    b->gap = (struct batch_gap){.cause = NX_E_FULL, .from_us = now_us(), .to_us = now_us()};
    if (sscanf(line, "gap %" SCNu64 " %" SCNu64 " %" SCNu64, &b->gap.from_seq, &b->gap.to_seq, &b->gap.points) != 3)
        abort();
}

static void
forget(struct probe *x)
{
    for (size_t i = 0; i < x->count; i++)
        free(x->drafts[i].points);
    memset(x->drafts, 0, MAX_BATCHES * sizeof *x->drafts);
    x->count = 0;
}

static void
commit(struct probe *x)
{
    struct batch *batches = mem_calloc(x->count, sizeof *batches);
    struct historian_commit_result r;
    enum nx_err err;

    for (size_t i = 0; i < x->count; i++) {
        batches[i] = x->drafts[i].batch;
        batches[i].series = x->drafts[i].series;
        batches[i].points = x->drafts[i].points;
    }
    err = historian_commit(x->h, batches, x->count, &r, &x->why);
    if (err == NX_OK)
        (void)printf("{\"points\": %" PRIu64 ", \"duplicate_points\": %" PRIu64 ", \"duplicate_batches\": %u,"
                     " \"quarantined\": %" PRIu64 ", \"newest_us\": %" PRId64 "}\n",
                     r.points, r.duplicate_points, r.duplicate_batches, r.quarantined_points, r.newest_us);
    else
        tell(x, err);
    free(batches);
    forget(x);
}

static void
acked(struct probe *x, const char *line)
{
    struct batch_header hdr = {0};
    struct batch_range range = {0};
    char gateway[128];
    unsigned lane;
    bool is;

    if (sscanf(line, "acked %127s %" SCNu64 " %u %" SCNu64, gateway, &hdr.epoch, &lane, &hdr.seq) != 4)
        abort();
    hdr.lane = (uint8_t)lane;
    hdr.gateway = slice_str(gateway);
    is = historian_is_committed(x->h, &hdr, &range);
    (void)printf("{\"is_committed\": %s, \"from\": %" PRIu64 ", \"to\": %" PRIu64 "}\n", is ? "true" : "false",
                 range.from, range.to);
}

/* --- reading --- */

static void
print_value(struct wbuf *w, const struct nx_value *v)
{
    double d;

    wbuf_printf(w, "%d, ", (int)v->type);
    if (v->type == NX_TYPE_STRING)
        wbuf_json_string(w, slice(v->s, v->len));
    else if (v->type == NX_TYPE_INT)
        wbuf_printf(w, "\"%" PRId64 "\"", v->i);
    else if (v->type == NX_TYPE_UINT)
        wbuf_printf(w, "\"%" PRIu64 "\"", v->u);
    else if (value_as_double(v, &d))
        wbuf_printf(w, "\"%a\"", d);
    else
        wbuf_str(w, "null");
}

struct output {
    struct wbuf w;
    uint64_t n;
    int64_t stop_after;
};

static bool
print_row(void *arg, const struct history_row *row)
{
    struct output *o = arg;

    wbuf_printf(&o->w, "%s[%" PRId64 ", %u, ", o->n++ ? ", " : "", row->time_us, row->quality);
    print_value(&o->w, &row->value);
    wbuf_char(&o->w, ']');
    return true;
}

static void
query(struct probe *x, const char *line, bool count_only)
{
    struct output o = {.w = wbuf_init(0)};
    struct history_summary s;
    struct history_query q = {0};
    struct arena a = {0};
    char topic[256];
    int fn;
    double start = seconds();
    enum nx_err err;

    if (sscanf(line, "%*s %255s %d %" SCNd64 " %" SCNd64 " %u", topic, &fn, &q.from_us, &q.to_us, &q.max_points) != 5)
        abort();
    q.topic = topic;
    q.fn = (enum history_fn)fn;
    err = historian_query(x->h, &q, &a, print_row, &o, &s, &x->why);
    if (err == NX_OK && count_only)
        (void)printf("{\"n\": %" PRIu64 ", \"raw\": %" PRIu64 ", \"resolution\": %d, \"ms\": %.2f}\n", o.n, s.raw_count,
                     (int)s.resolution, (seconds() - start) * 1e3);
    else if (err == NX_OK)
        (void)printf("{\"unit\": \"%s\", \"raw\": %" PRIu64 ", \"more\": %s, \"resolution\": %d, \"rows\": [%s]}\n",
                     s.unit, s.raw_count, s.has_more ? "true" : "false", (int)s.resolution, wbuf_cstr(&o.w));
    else
        tell(x, err);
    wbuf_free(&o.w);
    arena_free(&a);
}

static bool
print_points(void *arg, const struct point *p, size_t n)
{
    struct output *o = arg;

    for (size_t i = 0; i < n; i++) {
        struct history_row row = {.time_us = p[i].time_us, .quality = p[i].quality, .value = p[i].value};

        (void)print_row(o, &row);
    }
    return o->stop_after == 0 || o->n < (uint64_t)o->stop_after;
}

static bool
print_rollup(void *arg, const struct history_rollup *r)
{
    struct output *o = arg;

    wbuf_printf(&o->w,
                "%s{\"t\": %" PRId64 ", \"n\": %u, \"bad\": %u, \"sum\": %.17g, \"area\": %.17g, \"area_us\": %" PRId64
                ", \"min\": [%" PRId64 ", \"%a\", %u], \"max\": [%" PRId64 ", \"%a\", %u], \"first_bad\": [%" PRId64
                ", %u], \"first\": [%" PRId64 ", %u, ",
                o->n++ ? ", " : "", r->time_us, r->n, r->n_bad, r->sum, r->area, r->area_us, r->min.time_us,
                r->min.value, r->min_quality, r->max.time_us, r->max.value, r->max_quality, r->first_bad_us,
                r->first_bad_quality, r->first.time_us, r->first.quality);
    print_value(&o->w, &r->first.value);
    wbuf_printf(&o->w, "], \"last\": [%" PRId64 ", %u, ", r->last.time_us, r->last.quality);
    print_value(&o->w, &r->last.value);
    wbuf_str(&o->w, "]}");
    return true;
}

static enum nx_err
scan_or_before(struct probe *x, const char *line, struct output *o)
{
    const struct historian_backend *b = x->h->backend;
    struct history_sink sink = {print_points, print_rollup, o};
    struct history_series s;
    struct history_row row;
    struct arena a = {0};
    char topic[256];
    int64_t from_us, to_us;
    int level = 0, got;
    enum nx_err err;

    if (line[0] == 's')
        got = sscanf(line, "scan %255s %" SCNd64 " %" SCNd64 " %d %" SCNd64, topic, &from_us, &to_us, &level,
                     &o->stop_after);
    else
        got = sscanf(line, "before %255s %" SCNd64, topic, &from_us);
    if (got < 2)
        abort();
    if ((err = b->begin(x->h, &x->why)) != NX_OK)
        return err;
    err = b->find(x->h, topic, &a, &s, &x->why);
    if (err == NX_OK && line[0] == 's') {
        err = b->scan(x->h, &s, from_us, to_us, (enum history_level)level, &sink, &x->why);
    } else if (err == NX_OK && (err = b->before(x->h, &s, from_us, &a, &row, &x->why)) == NX_OK) {
        (void)print_row(o, &row);
    }
    b->end(x->h);
    arena_free(&a);
    return err;
}

static void
scan(struct probe *x, const char *line)
{
    struct output o = {.w = wbuf_init(0)};
    enum nx_err err = scan_or_before(x, line, &o);

    if (err == NX_OK)
        (void)printf("{\"rows\": [%s]}\n", wbuf_cstr(&o.w));
    else
        tell(x, err);
    wbuf_free(&o.w);
}

static void
ledger(struct probe *x)
{
    struct historian_books books;
    struct arena a = {0};
    enum nx_err err = historian_ledger(x->h, &a, &books, &x->why);

    if (err != NX_OK) {
        tell(x, err);
        return;
    }
    (void)printf("[");
    for (size_t i = 0; i < books.n; i++) {
        const struct historian_ledger_row *r = &books.rows[i];

        (void)printf("%s{\"gateway\": \"%s\", \"epoch\": %" PRIu64 ", \"lane\": %u, \"last_seq\": %" PRIu64
                     ", \"batches\": %" PRIu64 ", \"points\": %" PRIu64 ", \"duplicate_batches\": %" PRIu64
                     ", \"missing\": %" PRIu64 ", \"gap_points\": %" PRIu64 ", \"gaps\": [",
                     i ? ", " : "", r->gateway, r->epoch, r->lane, r->last_seq, r->batches, r->points,
                     r->duplicate_batches, r->missing, r->gap_points);
        for (const struct historian_gap *g = r->gaps; g; g = g->next)
            (void)printf("%s[\"%s\", %" PRIu64 ", %" PRIu64 "]", g == r->gaps ? "" : ", ", g->cause, g->numbers,
                         g->points);
        (void)printf("], \"quarantined\": %" PRIu64 "}", books.quarantined_points);
    }
    (void)puts("]");
    arena_free(&a);
}

static void
stats(struct probe *x)
{
    struct historian_stats s;
    enum nx_err err = historian_stats_of(x->h, &s, &x->why);

    if (err == NX_OK)
        (void)printf("{\"series\": %" PRIu64 ", \"points\": %" PRIu64 ", \"duplicate_points\": %" PRIu64
                     ", \"quarantined\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"first_us\": %" PRId64
                     ", \"last_us\": %" PRId64 ", \"backend\": \"%s\"}\n",
                     s.series, s.points, s.duplicate_points, s.quarantined_points, s.bytes, s.first_us, s.last_us,
                     s.backend);
    else
        tell(x, err);
}

static bool
print_series(void *arg, const struct series *s)
{
    struct output *o = arg;

    wbuf_str(&o->w, o->n++ ? ", [" : "[");
    wbuf_json_string(&o->w, s->topic);
    wbuf_char(&o->w, ',');
    wbuf_json_string(&o->w, s->unit);
    wbuf_printf(&o->w, ", %u]", s->data_type);
    return true;
}

static void
series(struct probe *x)
{
    struct output o = {.w = wbuf_init(0)};
    enum nx_err err = historian_series(x->h, print_series, &o, &x->why);

    if (err == NX_OK)
        (void)printf("[%s]\n", wbuf_cstr(&o.w));
    else
        tell(x, err);
    wbuf_free(&o.w);
}

/* --- several writers --- */

struct worker {
    const struct probe *x;
    pthread_t thread;
    char gateway[64];
    uint64_t epoch;
    unsigned lane, batches, points, series_count;
    int64_t time_us, step_us;
    uint64_t stored, duplicate_batches, duplicate_points, errors, commits;
    double slowest;
    bool is_paced;
};

static void
fill(struct worker *w, struct series *series, struct point *points, unsigned seq)
{
    for (unsigned i = 0; i < w->points; i++) {
        unsigned n = (seq - 1) * w->points + i;

        points[i] = (struct point){.series = i % w->series_count,
                                   .quality = NX_Q_GOOD,
                                   .time_us = w->time_us + (int64_t)(n / w->series_count) * w->step_us,
                                   .value = nx_value_double((double)n)};
    }
    (void)series;
}

static struct series *
make_series(struct worker *w, char (*topics)[128])
{
    struct series *series = mem_calloc(w->series_count, sizeof *series);

    for (unsigned i = 0; i < w->series_count; i++) {
        (void)snprintf(topics[i], 128, "load/%s/%u/%05u", w->gateway, w->lane, i);
        series[i] = (struct series){.topic = slice_str(topics[i]),
                                    .device_id = slice_str("plc"),
                                    .tag_id = slice_str("tag"),
                                    .unit = slice_str("bar"),
                                    .data_type = NX_TYPE_DOUBLE};
    }
    return series;
}

/* A batch is committed until it is, as ingestion does it. */
static void
commit_one(struct worker *w, struct historian **h, const struct batch *b)
{
    struct historian_commit_result r;
    struct nx_note why;
    enum nx_err err = NX_E_OFFLINE;
    double start = seconds();

    while (err != NX_OK) {
        err = *h ? NX_OK : historian_open(h, &w->x->conf, &why);
        if (err == NX_OK && (err = historian_commit(*h, b, 1, &r, &why)) == NX_OK)
            break;
        w->errors++;
        if (err != NX_E_BUSY)
            historian_close(h);
        if (nx_err_class(err) == NX_CLASS_CALLER) {
            (void)fprintf(stderr, "commit: %s\n", why.text);
            return;
        }
        (void)usleep(20000);
    }
    w->slowest = seconds() - start > w->slowest ? seconds() - start : w->slowest;
    w->commits++;
    w->stored += r.points;
    w->duplicate_batches += r.duplicate_batches;
    w->duplicate_points += r.duplicate_points;
}

static void *
work(void *arg)
{
    struct worker *w = arg;
    char(*topics)[128] = mem_calloc(w->series_count, sizeof *topics);
    struct series *series = make_series(w, topics);
    struct point *points = mem_calloc(w->points, sizeof *points);
    struct historian *h = NULL;

    for (unsigned seq = 1; seq <= w->batches; seq++) {
        struct batch b = {.hdr = {slice_str(w->gateway), w->epoch, (uint8_t)w->lane, seq},
                          .series_count = w->series_count,
                          .point_count = w->points,
                          .series = series,
                          .points = points};

        fill(w, series, points, seq);
        commit_one(w, &h, &b);
    }
    historian_close(&h);
    free(points);
    free(series);
    free(topics);
    return NULL;
}

static void
run_workers(struct probe *x, const char *line, bool is_race)
{
    struct worker w[64] = {{0}}, sum = {0}, first = {.x = x, .step_us = 1000000};
    unsigned threads;
    double start = seconds(), took;

    if (sscanf(line, "%*s %u %63s %" SCNu64 " %u %u %u %" SCNd64 " %" SCNd64, &threads, first.gateway, &first.epoch,
               &first.batches, &first.points, &first.series_count, &first.time_us, &first.step_us) < 7 ||
        threads > 64)
        abort();
    for (unsigned i = 0; i < threads; i++) {
        w[i] = first;
        w[i].lane = is_race ? 0 : i;
        if (pthread_create(&w[i].thread, NULL, work, &w[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(w[i].thread, NULL);
        sum.stored += w[i].stored;
        sum.errors += w[i].errors;
        sum.duplicate_batches += w[i].duplicate_batches;
        sum.duplicate_points += w[i].duplicate_points;
        sum.slowest = w[i].slowest > sum.slowest ? w[i].slowest : sum.slowest;
    }
    took = seconds() - start;
    (void)printf("{\"points\": %" PRIu64 ", \"duplicate_batches\": %" PRIu64 ", \"duplicate_points\": %" PRIu64
                 ", \"errors\": %" PRIu64 ", \"seconds\": %.4f, \"slowest_ms\": %.1f}\n",
                 sum.stored, sum.duplicate_batches, sum.duplicate_points, sum.errors, took, sum.slowest * 1e3);
}

/* --- commands --- */

static void
reopen(struct probe *x)
{
    historian_close(&x->h);
    tell(x, historian_open(&x->h, &x->conf, &x->why));
}

static bool
starts(const char *line, const char *word)
{
    return strncmp(line, word, strlen(word)) == 0;
}

static void
obey(struct probe *x, const char *line)
{
    if (starts(line, "now "))
        fixed_now_us = strtoll(line + 4, NULL, 10);
    else if (starts(line, "batch "))
        begin_batch(x, line);
    else if (starts(line, "gap "))
        make_gap(x, line);
    else if (starts(line, "p "))
        add_point(x, line);
    else if (starts(line, "race ") || starts(line, "load "))
        run_workers(x, line, line[0] == 'r');
    else if (starts(line, "reopen"))
        reopen(x);
    else if (!x->h)
        tell(x, NX_E_OFFLINE);
    else if (starts(line, "commit"))
        commit(x);
    else if (starts(line, "acked "))
        acked(x, line);
    else if (starts(line, "maintain"))
        tell(x, historian_maintain(x->h, &x->why));
    else if (starts(line, "seal"))
        tell(x, historian_seal(x->h, &x->why));
    else if (starts(line, "query ") || starts(line, "count "))
        query(x, line, line[0] == 'c');
    else if (starts(line, "scan ") || starts(line, "before "))
        scan(x, line);
    else if (starts(line, "ledger"))
        ledger(x);
    else if (starts(line, "stats"))
        stats(x);
    else if (starts(line, "series"))
        series(x);
    else
        abort();
}

int
main(int argc, char **argv)
{
    struct probe x = {.conf = {.url = argc > 1 ? argv[1] : NULL, .wall_us = now_us}};
    char line[9000];

    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "keeper") == 0)
            x.conf.role = HISTORIAN_KEEPER;
        else if (strcmp(argv[i], "reader") == 0)
            x.conf.role = HISTORIAN_READER;
        else if (strcmp(argv[i], "insert") == 0)
            x.conf.use_insert = true;
        else if (strcmp(argv[i], "writer") != 0)
            x.conf.retention_days = (uint32_t)strtoul(argv[i], NULL, 10);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    x.drafts = mem_calloc(MAX_BATCHES, sizeof *x.drafts);
    while (fgets(line, sizeof line, stdin))
        obey(&x, line);
    historian_close(&x.h);
    forget(&x);
    free(x.drafts);
    arena_free(&x.a);
    return 0;
}
