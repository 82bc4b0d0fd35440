#include "historian/lttb.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

struct lttb
lttb_init(int64_t from_us, int64_t to_us, uint32_t max_points, history_row_cb *each, void *arg)
{
    return (struct lttb){.grid = grid_make(from_us, to_us, max_points > 3 ? max_points - 2 : 1, 0),
                         .each = each,
                         .arg = arg};
}

static void
keep(struct lttb *x, const struct lttb_point *p)
{
    x->kept = *p;
    x->has_kept = true;
    if (!x->is_stopped && !x->each(x->arg, &p->row))
        x->is_stopped = true;
}

/* Twice the area of the triangle, positive when c lies left of the way from a to b. */
static double
cross(const struct lttb_point *a, const struct lttb_point *b, double c_us, double c_v)
{
    return (double)(b->row.time_us - a->row.time_us) * (c_v - a->v) - (b->v - a->v) * c_us;
}

static void
hull_add(struct lttb_hull *h, const struct lttb_point *p, double side)
{
    while (h->count >= 2) {
        const struct lttb_point *a = &h->p[h->count - 2];

        if (side * cross(a, &h->p[h->count - 1], (double)(p->row.time_us - a->row.time_us), p->v) < 0)
            break;
        h->count--;
    }
    if (h->count == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 32;
        h->p = mem_realloc(h->p, h->cap * sizeof *h->p);
    }
    h->p[h->count++] = *p;
}

static void
bucket_add(struct lttb_bucket *b, const struct lttb_point *p)
{
    if (b->count++ == 0)
        b->first_us = p->row.time_us;
    b->sum_t += (double)(p->row.time_us - b->first_us);
    b->sum_v += p->v;
    hull_add(&b->upper, p, 1);
    hull_add(&b->lower, p, -1);
}

static void
bucket_reset(struct lttb_bucket *b)
{
    b->count = b->upper.count = b->lower.count = 0;
    b->sum_t = b->sum_v = 0;
}

static void
pick(const struct lttb_hull *h, const struct lttb_point *kept, double c_us, double c_v, double *best,
     const struct lttb_point **out)
{
    for (size_t i = 0; i < h->count; i++) {
        double area = fabs(cross(kept, &h->p[i], c_us, c_v));

        if (*out && (area < *best || (area == *best && h->p[i].row.time_us >= (*out)->row.time_us)))
            continue;
        *best = area;
        *out = &h->p[i];
    }
}

/* c: the mean of what follows, its time from first_us on. */
static void
give_bucket(struct lttb *x, const struct lttb_bucket *b, int64_t first_us, double c_us, double c_v)
{
    const struct lttb_point *best = NULL;
    double area = 0;

    c_us += (double)(first_us - x->kept.row.time_us);
    pick(&b->upper, &x->kept, c_us, c_v, &area, &best);
    pick(&b->lower, &x->kept, c_us, c_v, &area, &best);
    if (best)
        keep(x, best);
}

static void
shift(struct lttb *x)
{
    struct lttb_bucket done = x->at;
    double n = (double)x->next.count;

    if (x->at.count > 0)
        give_bucket(x, &x->at, x->next.first_us, x->next.sum_t / n, x->next.sum_v / n);
    x->at = x->next;
    x->next = done;
    bucket_reset(&x->next);
}

static void
add_middle(struct lttb *x, const struct lttb_point *p)
{
    int64_t number = grid_bucket(&x->grid, p->row.time_us);

    if (x->next.count > 0 && number != x->next.number)
        shift(x);
    x->next.number = number;
    bucket_add(&x->next, p);
}

void
lttb_add(struct lttb *x, const struct history_row *row, double v)
{
    struct lttb_point p = {*row, v};

    if (!x->has_kept) {
        keep(x, &p);
        return;
    }
    if (x->has_last)
        add_middle(x, &x->last);
    x->last = p;
    x->has_last = true;
}

static void
bucket_fini(struct lttb_bucket *b)
{
    free(b->upper.p);
    free(b->lower.p);
}

void
lttb_fini(struct lttb *x)
{
    if (x->next.count > 0)
        shift(x);
    if (x->at.count > 0)
        give_bucket(x, &x->at, x->last.row.time_us, 0, x->last.v);
    if (x->has_last)
        keep(x, &x->last);
    bucket_fini(&x->at);
    bucket_fini(&x->next);
}
