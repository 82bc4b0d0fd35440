#include "obs/metrics.h"

#include "base/mem.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include <dirent.h>
#include <sys/resource.h>

#define MAX_LABELS 4u

const double METRIC_SECONDS[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
const unsigned METRIC_SECONDS_COUNT = MEM_COUNT(METRIC_SECONDS);

struct metric {
    UT_hash_handle hh; /* in its family, by labels; also keeps the order of creation */
    const struct metric_desc *desc;
    char *labels;              /* `device_id="a",status="ok"`, "" without labels */
    _Atomic double value;      /* counter, gauge; histogram: sum */
    _Atomic uint64_t *buckets; /* one more than bounds */
};

struct family {
    struct family *next;
    const struct metric_desc *desc;
    struct metric *children; /* a hash table: a device has its own child in many families */
};

struct metrics {
    struct family *families, **tail;
    double started_s;
};

static double
wall_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct metrics *
metrics_new(void)
{
    struct metrics *m = mem_alloc(sizeof *m);

    m->tail = &m->families;
    m->started_s = wall_s();
    return m;
}

static void
free_metric(struct metric *c)
{
    free(c->labels);
    free(c->buckets);
    free(c);
}

void
metrics_free(struct metrics **m)
{
    if (!*m)
        return;
    for (struct family *f = (*m)->families, *next; f; f = next) {
        next = f->next;
        struct metric *c, *sibling;

        HASH_ITER (hh, f->children, c, sibling) {
            HASH_DEL(f->children, c);
            free_metric(c);
        }
        free(f);
    }
    free(*m);
    *m = NULL;
}

static const double *
bounds_of(const struct metric_desc *d, unsigned *n)
{
    *n = d->buckets ? d->bucket_count : METRIC_SECONDS_COUNT;
    return d->buckets ? d->buckets : METRIC_SECONDS;
}

static struct family *
family_of(struct metrics *m, const struct metric_desc *desc)
{
    for (struct family *f = m->families; f; f = f->next) {
        if (f->desc == desc)
            return f;
    }
    struct family *f = mem_alloc(sizeof *f);
    f->desc = desc;
    *m->tail = f;
    m->tail = &f->next;
    return f;
}

static char *
join_labels(const struct metric_desc *desc, const char *const *values)
{
    struct wbuf w = wbuf_init(0);

    for (unsigned i = 0; i < MAX_LABELS && desc->labels[i]; i++) {
        assert(values && values[i]);
        wbuf_str(&w, i ? "," : "");
        wbuf_str(&w, desc->labels[i]);
        wbuf_char(&w, '=');
        wbuf_json_string(&w, slice_str(values[i])); /* the escapes of the two formats agree on what ids hold */
    }
    char *text = mem_strdup(wbuf_cstr(&w));
    wbuf_free(&w);
    return text;
}

/* Takes labels. */
static struct metric *
add_child(struct family *f, char *labels)
{
    struct metric *c = mem_alloc(sizeof *c);

    c->desc = f->desc;
    c->labels = labels;
    if (c->desc->kind == METRIC_HISTOGRAM) {
        unsigned n;

        (void)bounds_of(c->desc, &n);
        c->buckets = mem_calloc(n + 1, sizeof *c->buckets);
    }
    HASH_ADD_KEYPTR(hh, f->children, c->labels, strlen(c->labels), c);
    return c;
}

struct metric *
metrics_get(struct metrics *m, const struct metric_desc *desc, const char *const *label_values)
{
    struct family *f = family_of(m, desc);
    char *labels = join_labels(desc, label_values);
    struct metric *c;

    HASH_FIND_STR(f->children, labels, c);
    if (!c)
        return add_child(f, labels);
    free(labels);
    return c;
}

void
metrics_drop(struct metrics *m, struct metric **child)
{
    struct metric *c = *child;

    if (!c)
        return;
    struct family *f = family_of(m, c->desc);
    HASH_DEL(f->children, c);
    free_metric(c);
    *child = NULL;
}

/* One writer per child: load and store are enough, no locked instruction. */
void
metric_add(struct metric *c, double n)
{
    double v = atomic_load_explicit(&c->value, memory_order_relaxed);

    atomic_store_explicit(&c->value, v + n, memory_order_relaxed);
}

void
metric_inc(struct metric *c)
{
    metric_add(c, 1);
}

void
metric_set(struct metric *c, double value)
{
    atomic_store_explicit(&c->value, value, memory_order_relaxed);
}

void
metric_observe(struct metric *c, double value)
{
    unsigned n, i = 0;
    const double *bounds = bounds_of(c->desc, &n);

    while (i < n && value > bounds[i])
        i++;
    uint64_t count = atomic_load_explicit(&c->buckets[i], memory_order_relaxed);
    atomic_store_explicit(&c->buckets[i], count + 1, memory_order_relaxed);
    metric_add(c, value);
}

static uint64_t
histogram_count(const struct metric *c)
{
    unsigned n;
    uint64_t total = 0;

    (void)bounds_of(c->desc, &n);
    for (unsigned i = 0; i <= n; i++)
        total += atomic_load_explicit(&c->buckets[i], memory_order_relaxed);
    return total;
}

double
metric_value(const struct metric *c)
{
    return c->buckets ? (double)histogram_count(c) : atomic_load_explicit(&c->value, memory_order_relaxed);
}

double
metric_quantile(const struct metric *c, double q)
{
    unsigned n;
    const double *bounds = bounds_of(c->desc, &n);
    double wanted = q * (double)histogram_count(c);
    uint64_t seen = 0;

    if (wanted <= 0)
        return 0;
    for (unsigned i = 0; i < n; i++) {
        seen += atomic_load_explicit(&c->buckets[i], memory_order_relaxed);
        if ((double)seen >= wanted)
            return bounds[i];
    }
    return n ? bounds[n - 1] : 0;
}

static void
print_line(struct wbuf *out, const char *name, const char *suffix, const char *labels, const char *extra, double value)
{
    bool has_labels = labels[0] || extra[0];

    wbuf_printf(out, "%s%s%s%s%s%s%s ", name, suffix, has_labels ? "{" : "", labels, labels[0] && extra[0] ? "," : "",
                extra, has_labels ? "}" : "");
    wbuf_double(out, value);
    wbuf_char(out, '\n');
}

static void
print_histogram(struct wbuf *out, const struct metric *c)
{
    unsigned n;
    const double *bounds = bounds_of(c->desc, &n);
    uint64_t seen = 0;
    char le[48];

    for (unsigned i = 0; i < n; i++) {
        seen += atomic_load_explicit(&c->buckets[i], memory_order_relaxed);
        (void)snprintf(le, sizeof le, "le=\"%g\"", bounds[i]);
        print_line(out, c->desc->name, "_bucket", c->labels, le, (double)seen);
    }
    seen += atomic_load_explicit(&c->buckets[n], memory_order_relaxed);
    print_line(out, c->desc->name, "_bucket", c->labels, "le=\"+Inf\"", (double)seen);
    print_line(out, c->desc->name, "_sum", c->labels, "", atomic_load_explicit(&c->value, memory_order_relaxed));
    print_line(out, c->desc->name, "_count", c->labels, "", (double)seen);
}

static void
print_family(struct wbuf *out, const struct family *f)
{
    static const char *const kinds[] = {"counter", "gauge", "gauge", "histogram"};

    if (!f->children)
        return;
    wbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->desc->name, f->desc->help, f->desc->name, kinds[f->desc->kind]);
    for (const struct metric *c = f->children; c; c = c->hh.next) {
        if (c->buckets)
            print_histogram(out, c);
        else
            print_line(out, f->desc->name, "", c->labels, "", metric_value(c));
    }
}

static void
merge_child(struct metric *to, const struct metric *from)
{
    double a = atomic_load_explicit(&to->value, memory_order_relaxed);
    double b = atomic_load_explicit(&from->value, memory_order_relaxed);
    unsigned n;

    metric_set(to, from->desc->kind == METRIC_GAUGE_MAX ? (a > b ? a : b) : a + b);
    if (!from->buckets)
        return;
    (void)bounds_of(from->desc, &n);
    for (unsigned i = 0; i <= n; i++)
        to->buckets[i] += atomic_load_explicit(&from->buckets[i], memory_order_relaxed);
}

static struct metric *
child_of(struct metrics *m, const struct metric *like)
{
    struct family *f = family_of(m, like->desc);
    struct metric *c;

    HASH_FIND_STR(f->children, like->labels, c);
    return c ? c : add_child(f, mem_strdup(like->labels));
}

void
metrics_merge(struct metrics *to, struct metrics *from)
{
    for (const struct family *f = from->families; f; f = f->next)
        for (const struct metric *c = f->children; c; c = c->hh.next)
            merge_child(child_of(to, c), c);
}

/* The second number of /proc/self/statm, in pages. */
static double
resident_bytes(void)
{
    char text[128] = "";
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f)
        return 0;
    (void)!fgets(text, sizeof text, f);
    (void)fclose(f);
    const char *second = strchr(text, ' ');
    return second ? (double)strtoul(second, NULL, 10) * (double)sysconf(_SC_PAGESIZE) : 0;
}

static double
open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the directory itself */
}

static void
print_process(struct wbuf *out, const struct metrics *m)
{
    struct rusage use;

    (void)getrusage(RUSAGE_SELF, &use);
    wbuf_str(out, "# TYPE process_cpu_seconds_total counter\n");
    print_line(out, "process_cpu_seconds_total", "", "", "",
               (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                   (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    wbuf_str(out, "# TYPE process_resident_memory_bytes gauge\n");
    print_line(out, "process_resident_memory_bytes", "", "", "", resident_bytes());
    wbuf_str(out, "# TYPE process_open_fds gauge\n");
    print_line(out, "process_open_fds", "", "", "", open_fds());
    wbuf_str(out, "# TYPE process_start_time_seconds gauge\n");
    print_line(out, "process_start_time_seconds", "", "", "", m->started_s);
    wbuf_str(out, "# TYPE nexus_build_info gauge\n");
    print_line(out, "nexus_build_info", "", "version=\"" NX_VERSION "\"", "", 1);
}

void
metrics_print(struct metrics *m, struct wbuf *out)
{
    for (const struct family *f = m->families; f; f = f->next)
        print_family(out, f);
    print_process(out, m);
}
