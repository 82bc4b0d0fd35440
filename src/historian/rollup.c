#include "historian/rollup.h"

#include <math.h>

#include "historian/grid.h"

#define TWO_63 9223372036854775808.0

struct roller
roller_init(enum history_level level, rollup_give *give, void *arg)
{
    return (struct roller){.width_us = history_level_us(level), .give = give, .arg = arg};
}

bool
rollup_number(const struct point *p, double *v)
{
    return !nx_quality_is_bad(p->quality) && value_as_double(&p->value, v);
}

struct nx_value
rollup_shown(enum nx_type type, double v)
{
    if (type == NX_TYPE_BOOL && (v == 0 || v == 1))
        return nx_value_bool(v == 1);
    if (type == NX_TYPE_INT && v == trunc(v) && v >= -TWO_63 && v < TWO_63)
        return nx_value_int((int64_t)v);
    if (type == NX_TYPE_UINT && v == trunc(v) && v >= 0 && v < 2 * TWO_63)
        return nx_value_uint((uint64_t)v);
    return nx_value_double(v);
}

/* The number at hand was valid until a time. */
static void
hold_until(struct roller *x, int64_t time_us)
{
    if (x->is_holding) {
        x->r.area += x->held * (double)(time_us - x->held_us);
        x->r.area_us += time_us - x->held_us;
    }
    x->is_holding = false;
}

static void
open_bucket(struct roller *x, const struct point *p)
{
    x->r = (struct history_rollup){.time_us = grid_floor(p->time_us, x->width_us)};
    x->r.first = (struct history_row){.time_us = p->time_us, .quality = p->quality, .value = p->value};
    x->is_open = true;
    x->has_text = false;
}

static void
add_number(struct roller *x, const struct point *p, double v)
{
    struct history_rollup *r = &x->r;

    if (r->n == 0 || v < r->min.value) {
        r->min = (struct history_mark){p->time_us, v};
        r->min_quality = p->quality;
    }
    if (r->n == 0 || v > r->max.value) {
        r->max = (struct history_mark){p->time_us, v};
        r->max_quality = p->quality;
    }
    r->n++;
    r->sum += v;
    x->held = v;
    x->held_us = p->time_us;
    x->is_holding = true;
}

static void
add_bad(struct history_rollup *r, const struct point *p)
{
    if (r->n_bad++ > 0)
        return;
    r->first_bad_us = p->time_us;
    r->first_bad_quality = p->quality;
}

void
roller_add(struct roller *x, const struct point *p)
{
    double v;

    if (x->is_open && p->time_us >= x->r.time_us + x->width_us)
        roller_end(x);
    if (!x->is_open)
        open_bucket(x, p);
    hold_until(x, p->time_us);
    if (nx_quality_is_bad(p->quality) || p->value.type == NX_TYPE_NONE)
        add_bad(&x->r, p);
    else if (rollup_number(p, &v))
        add_number(x, p, v);
    else
        x->has_text = true;
    x->r.last = (struct history_row){.time_us = p->time_us, .quality = p->quality, .value = p->value};
}

void
roller_end(struct roller *x)
{
    if (!x->is_open)
        return;
    hold_until(x, x->r.time_us + x->width_us);
    x->is_open = false;
    x->give(x->arg, &x->r, x->has_text);
}
