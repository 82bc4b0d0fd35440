/* aggregate.h -- windows over the values of a tag: minimum, maximum, average, deviation, count, first, last.
 *
 * A window begins at a whole multiple of its length on the wall clock and is closed by one timer for all windows of
 * that length, also when nothing came. Only good values count; the result is uncertain when part of the window was not
 * good (also the first one, which begins in the middle), bad with a reason when nothing good came. Averages and
 * deviations by Welford's updates; the deviation is that of a sample (n - 1). time_avg weighs each value with the time
 * that it stood. No allocation per value. One loop thread. */
#ifndef GATEWAY_AGGREGATE_H
#define GATEWAY_AGGREGATE_H

#include "gateway/engine.h"

/* --- one window (pure) --- */
struct window {
    uint64_t count;
    double mean, m2, min, max, first, last;
    double area; /* of the last values over time, in value * microseconds */
    int64_t begin_us, covered_us, last_us;
    bool is_running; /* last stands since last_us */
    bool has_gap;    /* something in it was not good */
};

void window_begin(struct window *w, int64_t begin_us);
/* quality decides whether value counts. */
void window_add(struct window *w, double value, uint16_t quality, int64_t at_us);
/* The result of a function at the end of the window; a value of no type when nothing good came. */
struct nx_value window_result(const struct window *w, enum tag_function f, int64_t end_us);

/* --- the windows of a gateway --- */
struct aggregates;
struct aggregates_ops {
    /* slot is of kind TAG_AGGREGATE; the value is that of the time at_us. */
    void (*on_window)(void *arg, struct slot *slot, const struct sample *s, int64_t at_us);
};
struct aggregates *aggregates_new(struct loop *loop, const struct aggregates_ops *ops, void *arg);
void aggregates_free(struct aggregates **a);
void aggregates_add_device(struct aggregates *a, struct nx_dev *dev);
void aggregates_remove_device(struct aggregates *a, struct nx_dev *dev);
/* A normalized value of a slot whose aggregate is not NULL. */
void aggregate_take(struct slot *slot, const struct nx_value *value, uint16_t quality, int64_t at_us);

#endif
