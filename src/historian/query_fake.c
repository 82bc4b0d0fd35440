#include "historian/query_fake.h"

#include "base/mem.h"
#include "base/num.h"
#include "historian/grid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static enum nx_err
fake_begin(struct historian *h, struct nx_note *why)
{
    (void)h;
    (void)why;
    return NX_OK;
}

static void
fake_end(struct historian *h)
{
    (void)h;
}

static enum nx_err
fake_find(struct historian *h, const char *topic, struct arena *a, struct history_series *out, struct nx_note *why)
{
    (void)a;
    if (strcmp(topic, "t") != 0)
        return nx_fail(why, NX_E_NOT_FOUND, "no %s", topic);
    *out = (struct history_series){.id = 1, .unit = "bar", .data_type = ((struct fake *)h)->type};
    return NX_OK;
}

bool
fake_number(const struct point *p, double *v)
{
    return (p->quality & 0xC0) != 0 && p->value.type != NX_TYPE_STRING && value_as_double(&p->value, v);
}

static bool
naive_rollup(const struct point *p, unsigned n, int64_t start, int64_t width, struct history_rollup *r)
{
    *r = (struct history_rollup){.time_us = start};
    r->first = (struct history_row){p[0].time_us, p[0].quality, p[0].value};
    r->last = (struct history_row){p[n - 1].time_us, p[n - 1].quality, p[n - 1].value};
    for (unsigned i = n; i-- > 0;) {
        double v;
        int64_t end = i + 1 < n ? p[i + 1].time_us : start + width;

        if (p[i].value.type == NX_TYPE_STRING)
            return false;
        if (!fake_number(&p[i], &v)) {
            r->n_bad++;
            r->first_bad_us = p[i].time_us;
            r->first_bad_quality = p[i].quality;
            continue;
        }
        if (r->n == 0 || v <= r->min.value) {
            r->min = (struct history_mark){p[i].time_us, v};
            r->min_quality = p[i].quality;
        }
        if (r->n == 0 || v >= r->max.value) {
            r->max = (struct history_mark){p[i].time_us, v};
            r->max_quality = p[i].quality;
        }
        r->n++;
        r->sum += v;
        r->area += v * (double)(end - p[i].time_us);
        r->area_us += end - p[i].time_us;
    }
    return true;
}

static bool
give_bucket(struct fake *f, const struct point *p, unsigned n, int64_t from, int64_t to, int64_t width,
            const struct history_sink *sink)
{
    int64_t start = grid_floor(p[0].time_us, width);
    struct history_rollup r;

    if (start >= from && start + width <= to && num_random(&f->seed) % 4 != 0 && naive_rollup(p, n, start, width, &r))
        return sink->rollup(sink->arg, &r);
    return sink->points(sink->arg, p, n);
}

static enum nx_err
fake_scan(struct historian *h, const struct history_series *s, int64_t from, int64_t to, enum history_level level,
          const struct history_sink *sink, struct nx_note *why)
{
    struct fake *f = (struct fake *)h;
    int64_t width = f->gives_rollups && level != HISTORY_LEVEL_RAW ? history_level_us(level) : INT64_C(1) << 62;

    assert_int_equal(1, s->id);
    f->scans++;
    if (f->is_failing)
        return nx_fail(why, NX_E_IO, "broken");
    if (!sink->points(sink->arg, NULL, 0))
        return NX_OK;
    for (unsigned i = 0, k; i < f->n; i += k) {
        for (k = 0; i + k < f->n && grid_floor(f->p[i + k].time_us, width) == grid_floor(f->p[i].time_us, width); k++)
            if (f->p[i + k].time_us < from || f->p[i + k].time_us >= to)
                break;
        if (k == 0)
            k = 1;
        else if (!give_bucket(f, &f->p[i], k, from, to, width, sink))
            break;
    }
    return NX_OK;
}

static enum nx_err
fake_before(struct historian *h, const struct history_series *s, int64_t time_us, struct arena *a,
            struct history_row *out, struct nx_note *why)
{
    struct fake *f = (struct fake *)h;

    (void)s;
    (void)a;
    (void)why;
    for (unsigned i = 0; i < f->n && f->p[i].time_us < time_us; i++)
        *out = (struct history_row){f->p[i].time_us, f->p[i].quality, f->p[i].value};
    return NX_OK;
}

static const struct historian_backend fake_backend = {
    .begin = fake_begin, .end = fake_end, .find = fake_find, .scan = fake_scan, .before = fake_before};

struct fake *
fake_new(void)
{
    struct fake *f = mem_alloc(sizeof *f);

    f->base.backend = &fake_backend;
    f->type = NX_TYPE_DOUBLE;
    f->seed = 1;
    return f;
}

void
fake_put(struct fake *f, int64_t time_us, double v)
{
    f->p[f->n++] = (struct point){.time_us = time_us, .quality = NX_Q_GOOD, .value = nx_value_double(v)};
}

void
fake_put_bad(struct fake *f, int64_t time_us)
{
    f->p[f->n++] = (struct point){.time_us = time_us, .quality = NX_Q_TIMEOUT};
}

static const char *const texts[] = {"text", "another", ""};

static struct nx_value
text_value(const char *text)
{
    return nx_value_string(text, strlen(text));
}

static struct point
random_point(uint64_t *seed, int64_t time_us, bool has_texts)
{
    struct point p = {.time_us = time_us, .quality = NX_Q_GOOD};
    double v = (double)((int)(num_random(seed) % 41) - 20);

    switch (num_random(seed) % 16) {
    case 0:
        p.quality = NX_Q_TIMEOUT;
        break;
    case 1:
        p.quality = NX_Q_BAD; /* a bad point that has a value */
        p.value = nx_value_double(v * 100);
        break;
    case 2:
        p.value = has_texts ? text_value(texts[num_random(seed) % 3]) : nx_value_int((int64_t)v);
        break;
    case 3:
        p.quality = NX_Q_UNCERTAIN;
        p.value = nx_value_double(v / 3);
        break;
    case 4:
        p.value = nx_value_int((int64_t)v);
        break;
    default:
        p.value = nx_value_double(v / 8);
    }
    return p;
}

void
fake_fill(struct fake *f, uint64_t *seed)
{
    static const enum nx_type types[] = {NX_TYPE_DOUBLE, NX_TYPE_INT, NX_TYPE_BOOL, NX_TYPE_NONE};
    int64_t at = T0 + (int64_t)(num_random(seed) % 1000) * 60 * SEC, step = INT64_C(1) << (20 + num_random(seed) % 13);
    bool has_texts = num_random(seed) % 2;

    f->n = (unsigned)(num_random(seed) % FAKE_POINTS);
    f->type = types[num_random(seed) % 4];
    for (unsigned i = 0; i < f->n; i++) {
        at += 1 + (int64_t)(num_random(seed) % (uint64_t)step);
        if (num_random(seed) % 40 == 0)
            at += 30 * step;
        f->p[i] = random_point(seed, at, has_texts);
    }
}

/* --- asking --- */

bool
fake_keep_row(void *arg, const struct history_row *row)
{
    struct rows *r = arg;
    struct history_row *kept = &r->row[r->n++];

    assert_true(r->n <= FAKE_ROWS);
    *kept = *row;
    for (unsigned i = 0; row->value.type == NX_TYPE_STRING && i < MEM_COUNT(texts); i++)
        if (slice_eq_str(slice(row->value.s, row->value.len), texts[i]))
            kept->value.s = texts[i]; /* else the sanitizer finds it */
    return true;
}

void
fake_ask(struct fake *f, const struct history_query *q, struct rows *rows)
{
    struct arena a = {0};
    struct nx_note why;

    rows->n = 0;
    assert_int_equal(NX_OK, historian_query(&f->base, q, &a, fake_keep_row, rows, &rows->summary, &why));
    assert_string_equal("bar", rows->summary.unit);
    arena_free(&a);
}

struct history_query
fake_query(const struct fake *f, uint64_t *seed)
{
    int64_t first = f->n ? f->p[0].time_us : T0, span = f->n ? f->p[f->n - 1].time_us - first + 1 : 1;
    struct history_query q = {.topic = "t"};

    q.fn = (enum history_fn)(HISTORY_MINMAX + num_random(seed) % 5);
    q.fill = (enum history_fill)(num_random(seed) % 4);
    q.resolution = (enum history_resolution)(num_random(seed) % 5);
    q.max_points = 1 + (uint32_t)(num_random(seed) % (num_random(seed) % 3 ? 300 : 6));
    q.from_us = first - span / 4 + (int64_t)(num_random(seed) % (uint64_t)span);
    q.to_us = q.from_us + 1 + (int64_t)(num_random(seed) % (uint64_t)(span + span / 2 + 1));
    return q;
}
