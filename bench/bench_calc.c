/* bench: gateway_data model base */
/* Expressions: evaluations alone, and calculated tags driven by changes of what they read. */
#include "bench.h"

#include "gateway/calc.h"
#include "gateway/normalize.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define TAGS 1000u

static void
print(const char *name, double value)
{
    printf("{\"case\":\"%s\",\"value\":%.0f,\"unit\":\"evaluations/s\"}\n", name, value);
}

static bool
is_tag(void *arg, const char *name)
{
    (void)arg;
    return name[0] != '\0';
}

static void
evaluate(const char *name, const char *text, unsigned rounds)
{
    static const struct expr_names names = {.is_tag = is_tag};
    struct nx_value args[4] = {nx_value_double(1.5), nx_value_double(2.5), nx_value_int(3), nx_value_int(4)}, out;
    struct expr_box *box = expr_box_new();
    struct arena a = {0};
    struct expr_text t;
    struct nx_note why = {0};
    int ref;

    if (expr_scan(&a, text, &names, &t, &why) != NX_OK || expr_compile(box, &t, &ref, &why) != NX_OK)
        abort();
    double begin = bench_s();
    for (unsigned i = 0; i < rounds; i++) {
        args[0].d = i;
        if (expr_eval(box, ref, &t, args, &out, &why) != NX_OK)
            abort();
    }
    print(name, rounds / (bench_s() - begin));
    expr_box_free(&box);
    arena_free(&a);
}

static void
on_result(void *arg, struct slot *slot, const struct sample *s)
{
    (void)arg;
    slot->value = s->value;
    slot->quality = s->quality;
}

static void
on_mark(void *arg)
{
    (void)arg;
}

/* tag i reads the input and, but for the first, the tag before it of a chain of ten. */
static void
chains(unsigned rounds)
{
    const struct calc_ops ops = {.on_result = on_result, .on_mark = on_mark};
    struct calc *c = calc_new(&ops, NULL);
    struct arena a = {0};
    struct tag *tags = arena_alloc(&a, (TAGS + 1) * sizeof *tags);
    uint32_t *order = arena_alloc(&a, (TAGS + 1) * sizeof *order);
    struct slot *slots = arena_alloc(&a, (TAGS + 1) * sizeof *slots);
    struct device conf = {.id = "d", .tags = tags, .tag_count = TAGS + 1, .tags_by_id = order};
    struct nx_dev dev = {.conf = &conf, .slots = slots};
    const struct expr_names names = {.is_tag = is_tag};

    for (unsigned i = 0; i <= TAGS; i++) {
        struct expr_text *t = arena_alloc(&a, sizeof *t);

        order[i] = i;
        tags[i] = (struct tag){.id = arena_printf(&a, "t%04u", i),
                               .kind = i ? TAG_CALC : TAG_POLLED,
                               .data_type = NX_DT_FLOAT64,
                               .is_enabled = true};
        slots[i] = (struct slot){.tag = &tags[i], .dev = &dev, .quality = NX_Q_GOOD, .filter = {.has_sent = true}};
        if (i == 0)
            continue;
        const char *text = arena_printf(&a, "t0000 * 2 + t%04u", i % 10 == 1 ? 0 : i - 1);
        if (expr_scan(&a, text, &names, t, NULL) != NX_OK)
            abort();
        tags[i].expr = t;
    }
    slots[0].value = nx_value_double(1);
    calc_add_device(c, &dev);
    double begin = bench_s();
    for (unsigned r = 0; r < rounds; r++) {
        slots[0].value.d = r;
        calc_touch(c, &slots[0]);
        calc_run(c);
    }
    if (calc_evaluations(c) != (uint64_t)rounds * TAGS)
        abort();
    print("calculated_tags", (double)calc_evaluations(c) / (bench_s() - begin));
    calc_free(&c);
    arena_free(&a);
}

int
main(int argc, char **argv)
{
    bool is_quick = bench_is_quick(argc, argv);
    unsigned rounds = is_quick ? 1000 : 2000000;

    evaluate("expr_product", "a * b / 3.6", rounds);
    evaluate("expr_functions", "iff(a > b, clamp(a, 0, 100), max(b, c))", rounds);
    evaluate("expr_loop_of_10", "local s = a for i = 1, 10 do s = s + i end return s", rounds / 4);
    chains(is_quick ? 2 : 1000);
    return 0;
}
