/* history_fill URL KIND SERIES POINTS FROM_US STEP_US [seal]: commits points whose values follow from their number, for
 * tests of what reads them. KIND numbers: (i % 1000) / 8; noise: digits that do not compress; mixed: every type, bad
 * values and odd texts, by i % 10 (tests/support/history.py says the same). Topics uns/fill/KIND-0, ...; those with
 * even numbers have the unit kN. */
#include "base/mem.h"
#include "base/num.h"
#include "historian/historian.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH 20000u

static const char *const texts[] = {"=1+1",      "a \"b\", c", "",   "two\nlines",    "5",
                                    "grün 日本", "'quoted'",   "-5", "bad \xFF byte", "off"};

struct fill {
    struct historian *h;
    uint64_t epoch, seq; /* a run is an epoch of its own: a second one is no replay of the first */
    struct point points[BATCH];
};

static struct nx_value
mixed_value(uint64_t i)
{
    const char *text = texts[i / 10 % MEM_COUNT(texts)];

    switch (i % 10) {
    case 5:
        return nx_value_bool(i / 10 % 2 == 0);
    case 6:
        return nx_value_int(-9007199254740993 - (int64_t)i);
    case 7:
        return nx_value_uint(UINT64_MAX - i);
    case 8:
        return nx_value_string(text, strlen(text));
    case 9:
        return nx_value_none();
    default:
        return nx_value_double((double)(i % 1000) / 8);
    }
}

static struct point
point_at(const char *kind, uint64_t i, int64_t from_us, int64_t step_us)
{
    bool is_mixed = strcmp(kind, "mixed") == 0, is_noise = strcmp(kind, "noise") == 0;
    struct point p = {.time_us = from_us + (int64_t)i * step_us, .quality = NX_Q_GOOD};

    p.gateway_us = p.time_us;
    p.value = is_mixed   ? mixed_value(i)
              : is_noise ? nx_value_double((double)(i * 2654435761u % (UINT64_C(1) << 32)) / 1024)
                         : nx_value_double((double)(i % 1000) / 8);
    if (p.value.type == NX_TYPE_NONE)
        p.quality = NX_Q_TIMEOUT;
    else if (is_mixed && i % 10 == 4)
        p.quality = NX_Q_UNCERTAIN;
    return p;
}

static void
must(enum nx_err err, const struct nx_note *why)
{
    if (err == NX_OK)
        return;
    (void)fprintf(stderr, "history_fill: %s\n", why->text);
    exit(1);
}

static void
commit(struct fill *f, const struct series *series, uint32_t n)
{
    struct batch batch = {.hdr = {slice_str("history_fill"), f->epoch, 0, ++f->seq},
                          .series = (struct series *)series,
                          .series_count = 1,
                          .points = f->points,
                          .point_count = n};
    struct historian_commit_result result;
    struct nx_note why = {0};

    must(historian_commit(f->h, &batch, 1, &result, &why), &why);
    if (result.points != n) {
        (void)fprintf(stderr, "history_fill: %llu of %u points stored\n", (unsigned long long)result.points, n);
        exit(1);
    }
    must(historian_maintain(f->h, &why), &why);
}

int
main(int argc, char **argv)
{
    static struct fill f;
    uint64_t series_count = 0, count = 0;
    int64_t from_us = 0, step_us = 0;
    struct nx_note why = {0};

    if (argc < 7 || !num_u64(slice_str(argv[3]), &series_count) || !num_u64(slice_str(argv[4]), &count) ||
        !num_i64(slice_str(argv[5]), &from_us) || !num_i64(slice_str(argv[6]), &step_us))
        return 2;
    f.epoch = (uint64_t)time(NULL) << 16 | ((uint64_t)getpid() & 0xFFFF);
    must(historian_open(&f.h, &(struct historian_conf){.url = argv[1]}, &why), &why);
    for (uint64_t s = 0; s < series_count; s++) {
        char topic[80];
        struct series series = {.unit = slice_str(s % 2 == 0 ? "kN" : ""), .data_type = NX_TYPE_DOUBLE};

        (void)snprintf(topic, sizeof topic, "uns/fill/%s-%llu", argv[2], (unsigned long long)s);
        series.topic = slice_str(topic);
        for (uint64_t i = 0; i < count;) {
            uint32_t n = 0;

            for (; n < BATCH && i < count; n++, i++)
                f.points[n] = point_at(argv[2], i, from_us, step_us);
            commit(&f, &series, n);
        }
    }
    if (argc > 7)
        must(historian_seal(f.h, &why), &why);
    historian_close(&f.h);
    return 0;
}
