/* bench: gateway_data spool model loop obs base */
/* Readings through normalizer and filter: the same again, and new each time. No spool, no broker. */
#include "bench.h"

#include "gateway/normalize.h"
#include "gateway/points.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOTS 1000u

static enum nx_err
publish(void *arg, const struct mqtt_publication *pub, mqtt_done_cb *done, void *done_arg)
{
    (void)arg;
    (void)pub;
    (void)done;
    (void)done_arg;
    return NX_OK;
}

struct kind {
    const char *name;
    struct tag tag;
    bool is_float;
};

static struct nx_value
value_of(const struct kind *k, unsigned n)
{
    return k->is_float ? nx_value_double((double)(float)((double)(n % 50000) / 100)) : nx_value_uint(n % 60000);
}

static void
run(const struct kind *k, bool is_changing, unsigned rounds)
{
    struct loop *loop = loop_fake_new();
    struct metrics *metrics = metrics_new();
    struct outlet out = {.publish = publish};
    const struct points_conf conf = {.gateway = "g", .batch_size = 5000, .flush_interval_ms = 50};
    struct points *ps = points_new(loop, &conf, NULL, NULL, &out, metrics);
    struct slot *slots = mem_calloc(SLOTS, sizeof *slots);
    unsigned changed = 0;

    for (unsigned i = 0; i < SLOTS; i++)
        slots[i] = (struct slot){.tag = &k->tag, .key = i, .series = {.data_type = (uint8_t)normalize_type(&k->tag)}};
    double begin = bench_s();
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < SLOTS; i++) {
            struct sample s = {.value = value_of(k, is_changing ? r + i : i), .quality = NX_Q_GOOD};

            changed += points_take(ps, &slots[i], &s);
        }
    }
    double ns = (bench_s() - begin) * 1e9 / rounds / SLOTS;
    if (changed != (is_changing ? rounds * SLOTS : SLOTS))
        abort();
    printf("{\"case\":\"points_take_%s_%s\",\"value\":%.1f,\"unit\":\"ns/point\"}\n", k->name,
           is_changing ? "changed" : "same", ns);
    points_flush(ps);
    free(slots);
    points_free(&ps);
    metrics_free(&metrics);
    loop_fake_turn(loop);
    loop_free(&loop);
}

int
main(int argc, char **argv)
{
    static const struct kind kinds[] = {
        {"uint16", {.id = "t", .data_type = NX_DT_UINT16, .scale_factor = 1}, false},
        {"uint16_scaled",
         {.id = "t", .data_type = NX_DT_UINT16, .scale_factor = 0.1, .is_scaled = true, .line = {1, 0, 10}},
         false},
        {"float32", {.id = "t", .data_type = NX_DT_FLOAT32, .scale_factor = 1}, true},
    };
    unsigned rounds = bench_is_quick(argc, argv) ? 20 : 5000;

    for (size_t i = 0; i < MEM_COUNT(kinds); i++) {
        run(&kinds[i], false, rounds);
        run(&kinds[i], true, rounds);
    }
    return 0;
}
