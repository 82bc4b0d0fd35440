/* metrics.h -- counters, gauges and histograms, printed for Prometheus (text format 0.0.4).
 *
 * A metric family is declared once, as a static table beside the code that counts. Children (one per set of label
 * values) are made when the labelled object is made, and are then plain memory: counting is one add, without lock
 * or lookup, on the thread that owns the child. Scraping reads them from another thread without tearing (aligned
 * 64-bit relaxed atomics). Never a tag name as a label. */
#ifndef OBS_METRICS_H
#define OBS_METRICS_H

#include "base/wbuf.h"

/* METRIC_GAUGE_MAX: of the parts of a service (metrics_merge) the largest value counts, not their sum. */
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_GAUGE_MAX, METRIC_HISTOGRAM };

struct metric_desc {
    const char *name; /* "gateway_polling_polls_total" */
    enum metric_kind kind;
    const char *help;
    const char *labels[4]; /* label names, ends with NULL */
    const double *buckets; /* METRIC_HISTOGRAM: upper bounds, ascending; NULL: METRIC_SECONDS */
    unsigned bucket_count;
};

/* Bounds from 0.5 ms to 10 s. */
extern const double METRIC_SECONDS[];
extern const unsigned METRIC_SECONDS_COUNT;

struct metrics; /* the registry of one service */
struct metric;  /* one child */

struct metrics *metrics_new(void);
void metrics_free(struct metrics **m);

/* The child of desc with these label values (as many as desc has labels; NULL when it has none). The same values
 * give the same child. Copies the values; desc must live as long as the registry. Owner thread of the registry. */
struct metric *metrics_get(struct metrics *m, const struct metric_desc *desc, const char *const *label_values);
/* Forgets the child; it must not be used afterwards. */
void metrics_drop(struct metrics *m, struct metric **child);

void metric_add(struct metric *c, double n);
void metric_inc(struct metric *c);
void metric_set(struct metric *c, double value);
void metric_observe(struct metric *c, double value);
double metric_value(const struct metric *c); /* counter, gauge; histogram: count */
/* Upper bound of the bucket that holds quantile q (0..1) of a histogram; 0 when it is empty. */
double metric_quantile(const struct metric *c, double q);

/* Adds what from has counted, child by child. Owner threads of both. */
void metrics_merge(struct metrics *to, struct metrics *from);

/* Prints everything, with process_* and nexus_build_info. Owner thread. */
void metrics_print(struct metrics *m, struct wbuf *out);

#endif
