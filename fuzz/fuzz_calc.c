/* fuzz: model base */
/* Any text as an expression: it ends within its bounds, and the box is as good as before for the next one. */
#include "model/expr.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static bool
is_tag(void *arg, const char *name)
{
    (void)arg;
    return strlen(name) <= 2;
}

static void
evaluate(struct expr_box *box, struct arena *a, const char *text)
{
    static const struct expr_names names = {.is_tag = is_tag};
    struct nx_value args[EXPR_REFS_MAX], out;
    struct expr_text t;
    int ref;

    for (unsigned i = 0; i < EXPR_REFS_MAX; i++)
        args[i] = i % 4 == 3 ? nx_value_string("text", 4) : nx_value_int(i);
    if (expr_scan(a, text, &names, &t, NULL) != NX_OK || expr_compile(box, &t, &ref, NULL) != NX_OK)
        return;
    size_t before = expr_box_size(box);
    if (expr_eval(box, ref, &t, args, &out, NULL) == NX_OK && out.type == NX_TYPE_NONE)
        abort();
    if (expr_box_size(box) > before + EXPR_GROWTH_MAX + 65536) /* arguments come on top */
        abort();
    expr_drop(box, ref);
}

static void
check_box(struct expr_box *box)
{
    const struct expr_text t = {.head = "", .body = "math.max(1, 2) + ('ab'):len() + floor(1.5)"};
    struct nx_value out;
    int ref;

    if (expr_compile(box, &t, &ref, NULL) != NX_OK || expr_eval(box, ref, &t, NULL, &out, NULL) != NX_OK || out.i != 5)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct expr_box *box = expr_box_new();
    struct arena a = {0};

    evaluate(box, &a, arena_strndup(&a, p, len));
    check_box(box);
    expr_box_free(&box);
    arena_free(&a);
    return 0;
}
