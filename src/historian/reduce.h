/* reduce.h -- from many points to a few per bucket: minimum and maximum, mean, last. Streaming, constant memory. Pure.
 */
#ifndef HISTORIAN_REDUCE_H
#define HISTORIAN_REDUCE_H

#include "base/wbuf.h"
#include "historian/historian.h"

struct reduce {
    enum history_fn fn;
    int64_t from_us, bucket_us;
    history_row_cb *each;
    void *arg;
    bool is_stopped; /* each() said so */

    int64_t bucket; /* number of the open one; -1: none */
    bool has_number, has_bad, has_text;
    struct history_row min, max, last, bad;
    double min_value, max_value, sum;
    uint64_t count;
    struct wbuf text; /* of last, when it is a text */
};

/* buckets of equal width over [from, to); from < to, buckets > 0. */
struct reduce reduce_init(const struct history_query *q, uint32_t buckets, history_row_cb *each, void *arg);
/* Times must not descend. */
void reduce_feed(struct reduce *r, const struct point *p);
/* Gives what is still open and frees. */
void reduce_fini(struct reduce *r);

#endif
