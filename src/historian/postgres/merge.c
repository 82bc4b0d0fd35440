#include "historian/postgres/merge.h"

#include "historian/grid.h"

struct merger
merger_init(enum history_level level, rollup_give *give, void *arg)
{
    return (struct merger){.lower_us = history_level_us((enum history_level)(level - 1)),
                           .width_us = history_level_us(level),
                           .give = give,
                           .arg = arg};
}

/* The last number was valid until a time, also where the level below had no bucket. */
static void
hold_until(struct merger *m, int64_t time_us)
{
    const struct history_row *last = &m->r.last;
    double v;

    if (!nx_quality_is_bad(last->quality) && value_as_double(&last->value, &v)) {
        m->r.area += v * (double)(time_us - m->held_to_us);
        m->r.area_us += time_us - m->held_to_us;
    }
    m->held_to_us = time_us;
}

static void
join_extremes(struct history_rollup *r, const struct history_rollup *u)
{
    if (u->n == 0)
        return;
    if (r->n == 0 || u->min.value < r->min.value) {
        r->min = u->min;
        r->min_quality = u->min_quality;
    }
    if (r->n == 0 || u->max.value > r->max.value) {
        r->max = u->max;
        r->max_quality = u->max_quality;
    }
}

static void
join(struct merger *m, const struct history_rollup *u)
{
    struct history_rollup *r = &m->r;

    hold_until(m, u->first.time_us);
    join_extremes(r, u);
    if (u->n_bad > 0 && r->n_bad == 0) {
        r->first_bad_us = u->first_bad_us;
        r->first_bad_quality = u->first_bad_quality;
    }
    r->n += u->n;
    r->n_bad += u->n_bad;
    r->sum += u->sum;
    r->area += u->area;
    r->area_us += u->area_us;
    r->last = u->last;
}

void
merger_add(struct merger *m, const struct history_rollup *u, bool has_text)
{
    int64_t start_us = grid_floor(u->time_us, m->width_us);

    if (m->is_open && start_us != m->r.time_us)
        merger_end(m);
    if (!m->is_open) {
        m->is_open = true;
        m->has_text = has_text;
        m->r = *u;
        m->r.time_us = start_us;
    } else if (has_text || m->has_text) {
        m->has_text = true;
    } else {
        join(m, u);
    }
    m->held_to_us = u->time_us + m->lower_us;
}

void
merger_end(struct merger *m)
{
    if (!m->is_open)
        return;
    if (!m->has_text)
        hold_until(m, m->r.time_us + m->width_us);
    m->is_open = false;
    m->give(m->arg, &m->r, m->has_text);
}
