/* run_test.c -- runs, blocks and sequence sets: everything comes back, nothing is read past the end. */
#include "historian/sqlite/block.h"
#include "historian/sqlite/run.h"
#include "historian/sqlite/seqset.h"

#include "base/mem.h"
#include "base/num.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define N 500

/* Values as plants have them: constants, counters, decimals, floats, noise, texts, states, and mixtures. */
static struct nx_value
value_of_kind(unsigned kind, unsigned i, uint64_t *seed)
{
    static const char text[] = "läuft, steht, gestört";

    switch (kind % 10) {
    case 0:
        return nx_value_double(21.5);
    case 1:
        return nx_value_double((double)(num_random(seed) % 10000) / 100.0);
    case 2:
        return nx_value_double((double)(float)(num_random_unit(seed) * 80));
    case 3:
        return nx_value_double(num_random_unit(seed) * 1e12 - 5e11);
    case 4:
        return nx_value_int((int64_t)num_random(seed));
    case 5:
        return nx_value_uint(1000 + i);
    case 6:
        return nx_value_bool(num_random(seed) % 2);
    case 7:
        return nx_value_string(text, num_random(seed) % 8);
    case 8:
        return nx_value_double((double)(float)((double)(num_random(seed) % 1000) / 10.0));
    default:
        return value_of_kind((unsigned)(num_random(seed) % 9), i, seed);
    }
}

static void
make_points(struct point *p, size_t n, unsigned kind, uint64_t seed)
{
    static const int64_t steps[] = {1000000, 1000, 1, 250000};
    int64_t t = 1700000000000000;

    for (size_t i = 0; i < n; i++) {
        bool bad = kind >= 10 && num_random(&seed) % 5 == 0;

        t += steps[kind % 4] * (kind % 3 == 0 ? 1 : (int64_t)(num_random(&seed) % 50));
        p[i] = (struct point){.time_us = t,
                              .quality = bad ? NX_Q_TIMEOUT : NX_Q_GOOD,
                              .value = bad ? nx_value_none() : value_of_kind(kind, (unsigned)i, &seed)};
    }
}

static void
assert_same(const struct point *a, const struct point *b)
{
    assert_int_equal(a->time_us, b->time_us);
    assert_int_equal(a->quality, b->quality);
    assert_int_equal(a->value.type, b->value.type);
    if (a->value.type == NX_TYPE_DOUBLE)
        assert_memory_equal(&a->value.d, &b->value.d, sizeof a->value.d);
    else
        assert_true(value_eq(&a->value, &b->value));
}

static void
every_kind_comes_back(void **state)
{
    static const size_t counts[] = {1, 2, 3, 60, N};
    struct point in[N], out[N];

    (void)state;
    for (unsigned kind = 0; kind < 30; kind++) {
        for (size_t c = 0; c < MEM_COUNT(counts); c++) {
            struct wbuf w = wbuf_init(0);

            make_points(in, counts[c], kind, kind + 1);
            run_encode(&w, in, counts[c]);
            assert_int_equal(NX_OK, run_decode(wbuf_slice_of(&w), out, counts[c]));
            for (size_t i = 0; i < counts[c]; i++)
                assert_same(&in[i], &out[i]);
            wbuf_free(&w);
        }
    }
}

static void
odd_doubles_come_back(void **state)
{
    static const double odd[] = {0.0,    -0.0,   1e-300, 1.7976931348623157e308, 0.1, -0.1, 9007199254740993.0,
                                 5e-324, 1.0 / 3};
    struct point in[MEM_COUNT(odd)] = {0}, out[MEM_COUNT(odd)];
    struct wbuf w = wbuf_init(0);

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(odd); i++)
        in[i] = (struct point){.time_us = (int64_t)i - 4, .quality = NX_Q_GOOD, .value = nx_value_double(odd[i])};
    run_encode(&w, in, MEM_COUNT(odd));
    assert_int_equal(NX_OK, run_decode(wbuf_slice_of(&w), out, MEM_COUNT(odd)));
    for (size_t i = 0; i < MEM_COUNT(odd); i++)
        assert_same(&in[i], &out[i]);
    wbuf_free(&w);
}

static void
every_truncation_is_refused(void **state)
{
    struct point in[20], out[20];

    (void)state;
    for (unsigned kind = 0; kind < 20; kind++) {
        struct wbuf w = wbuf_init(0);

        make_points(in, 20, kind, 7);
        run_encode(&w, in, 20);
        for (size_t cut = 0; cut < w.len; cut++) {
            uint8_t *copy = mem_alloc(cut + 1);

            memcpy(copy, w.p, cut);
            assert_int_equal(NX_E_CORRUPT, run_decode(slice(copy, cut), out, 20));
            free(copy);
        }
        wbuf_free(&w);
    }
}

static void
damaged_bytes_never_escape(void **state)
{
    struct point in[20], out[20];
    uint64_t seed = 3;

    (void)state;
    for (unsigned round = 0; round < 4000; round++) {
        struct wbuf w = wbuf_init(0);

        make_points(in, 20, round % 20, round + 1);
        run_encode(&w, in, 20);
        for (unsigned k = 0; k < 3; k++)
            w.p[num_random(&seed) % w.len] = (uint8_t)num_random(&seed);
        if (run_decode(wbuf_slice_of(&w), out, 20) == NX_OK)
            for (unsigned i = 0; i < 20; i++)
                assert_true(out[i].value.type != NX_TYPE_DOUBLE || isfinite(out[i].value.d));
        wbuf_free(&w);
    }
}

static void
decimals_cost_about_two_bytes(void **state)
{
    struct point in[N];
    struct wbuf w = wbuf_init(0);
    uint64_t seed = 9;
    double level = 50;

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        level += (double)((int)(num_random(&seed) % 21) - 10) / 100.0;
        in[i] = (struct point){.time_us = 1700000000000000 + i * INT64_C(1000000),
                               .quality = NX_Q_GOOD,
                               .value = nx_value_double(round(level * 100) / 100)};
    }
    run_encode(&w, in, N);
    assert_true(w.len < N * 2);
    wbuf_free(&w);
}

static void
blocks_give_back_their_runs(void **state)
{
    struct point *in = mem_calloc(RUN_MAX_POINTS + 10, sizeof *in), *out = mem_calloc(RUN_MAX_POINTS, sizeof *out);
    struct block_writer b = block_writer_init();
    struct wbuf w = wbuf_init(0);
    struct block_reader r;
    struct block_run run;
    unsigned runs = 0, points = 0;

    (void)state;
    make_points(in, RUN_MAX_POINTS + 10, 1, 5);
    block_add(&b, 3, in, 4);
    block_add(&b, 900, in, RUN_MAX_POINTS + 10);
    block_add(&b, 70000, in, 1);
    assert_int_equal(NX_OK, block_finish(&b, &w));
    for (r = block_open(wbuf_slice_of(&w)); block_next(&r, &run); runs++) {
        assert_int_equal(NX_OK, run_decode(run.data, out, run.count));
        points += run.count;
    }
    assert_false(r.is_corrupt);
    assert_int_equal(4, runs);
    assert_int_equal(RUN_MAX_POINTS + 15, points);
    assert_int_equal(70000, run.sid);
    for (size_t cut = 0; cut < 12; cut++) {
        for (r = block_open(slice(w.p, cut)); block_next(&r, &run);)
            ;
        assert_true(r.is_corrupt);
    }
    block_writer_fini(&b);
    wbuf_free(&w);
    free(in);
    free(out);
}

static void
ranges_match_a_bitmap(void **state)
{
    struct seqset r = {0};
    bool set[400] = {false};
    uint64_t seed = 11, missing = 0, highest = 0;

    (void)state;
    for (unsigned k = 0; k < 120; k++) {
        uint64_t from = 1 + num_random(&seed) % 390, to = from + num_random(&seed) % 5;
        struct batch_range joined = seqset_add(&r, from, to);

        for (uint64_t s = from; s <= to; s++)
            set[s] = true;
        for (uint64_t s = joined.from; s <= joined.to; s++)
            assert_true(set[s]);
        for (uint64_t s = 1; s < 400; s++)
            assert_int_equal(set[s], seqset_find(&r, s) != NULL);
        for (size_t i = 1; i < r.count; i++)
            assert_true(r.items[i].from > r.items[i - 1].to + 1);
    }
    for (uint64_t s = 1; s < 400; s++)
        highest = set[s] ? s : highest;
    for (uint64_t s = 1; s < highest; s++)
        missing += !set[s];
    assert_int_equal(missing, seqset_missing(&r));
    seqset_fini(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back),         cmocka_unit_test(odd_doubles_come_back),
        cmocka_unit_test(every_truncation_is_refused),   cmocka_unit_test(damaged_bytes_never_escape),
        cmocka_unit_test(decimals_cost_about_two_bytes), cmocka_unit_test(blocks_give_back_their_runs),
        cmocka_unit_test(ranges_match_a_bitmap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
