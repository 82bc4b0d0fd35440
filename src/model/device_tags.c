/* device_tags.c -- the list of tags: an array becomes a tag for each element, a window a tag for each function, and
 * expressions find the tags that they read. */
#include "base/mem.h"
#include "base/num.h"
#include "model/device_priv.h"
#include "model/topic.h"

#include <stdlib.h>
#include <string.h>

#define NEAR_MAX 1000u

struct list {
    struct device *d;
    const struct device_options *opt;
    const struct conf_node *node; /* that is being read */
    struct tag *tags;
    const struct conf_node **nodes; /* [cap]: where each tag was written */
    uint32_t count, cap;
    struct arena scratch;
    struct expr_box *box; /* compiles expressions; made when there is one */
};

/* --- adding --- */

static void
grow(struct list *l)
{
    struct tag *more;

    l->cap = l->cap ? l->cap * 2 : 16;
    more = arena_alloc(&l->d->arena, l->cap * sizeof *more);
    if (l->count)
        memcpy(more, l->tags, l->count * sizeof *more);
    l->tags = more;
    l->nodes = mem_realloc(l->nodes, l->cap * sizeof *l->nodes);
}

static enum nx_err
add_tag(struct list *l, const struct tag *t, struct nx_note *why)
{
    char topic[TOPIC_MAX + 1];
    struct nx_note inner = {0};

    if (l->count == DEVICE_TAGS_MAX)
        return conf_fail(l->node, why, "with this one it is more than %u tags, the most that a device has",
                         DEVICE_TAGS_MAX);
    if (!device_id_is_valid(t->id))
        return conf_fail(device_place_of(l->node, "id"), why, "'%s' is too long for an id: it has at most 64 letters",
                         t->id);
    if (topic_build(l->opt->uns_root, l->d->uns_prefix, t->topic_suffix, topic, sizeof topic, &inner) != NX_OK)
        return conf_fail(device_place_of(l->node, "topic_suffix"), why, "%s", inner.text);
    if (l->count == l->cap)
        grow(l);
    l->nodes[l->count] = l->node;
    l->tags[l->count] = *t;
    l->tags[l->count++].topic = arena_strdup(&l->d->arena, topic);
    return NX_OK;
}

static struct tag
aggregate_of(struct list *l, const struct tag *of, uint32_t source, enum tag_function f)
{
    struct arena *a = &l->d->arena;
    const char *word = tag_function_name(f);

    return (struct tag){.id = arena_printf(a, "%s.%s", of->id, word),
                        .base_id = of->base_id,
                        .name = arena_printf(a, "%s %s", of->name, word),
                        .description = of->description,
                        .kind = TAG_AGGREGATE,
                        .data_type = f == TAG_COUNT ? NX_DT_UINT64 : NX_DT_FLOAT64,
                        .scale_factor = 1,
                        .unit = f == TAG_COUNT ? "" : of->unit,
                        .topic_suffix = arena_printf(a, "%s/%s", of->topic_suffix, word),
                        .priority = of->priority,
                        .is_enabled = of->is_enabled,
                        .window_ms = of->window_ms,
                        .source = source,
                        .function = f,
                        .settings = of->settings};
}

static enum nx_err
add_with_aggregates(struct list *l, const struct tag_draft *draft, const struct tag *t, struct nx_note *why)
{
    uint32_t source = l->count;
    enum nx_err err = add_tag(l, t, why);

    for (unsigned f = 0; f < TAG_FUNCTION_COUNT && err == NX_OK; f++) {
        if (draft->functions & 1u << f) {
            struct tag derived = aggregate_of(l, t, source, (enum tag_function)f);
            err = add_tag(l, &derived, why);
        }
    }
    return err;
}

/* --- addresses and arrays --- */

static enum nx_err
read_address(struct list *l, const struct tag_draft *draft, struct tag *t, uint32_t element, uint32_t *elements,
             struct nx_note *why)
{
    const struct conf_node *count = conf_get(l->node, "register_count");
    uint64_t n = 0;
    struct nx_addr_info info = {0};
    struct nx_note inner = {0};

    if (count && count->kind == CONF_SCALAR && num_u64(slice_str(count->text), &n) && n <= UINT32_MAX)
        t->count = (uint32_t)n;
    void *addr = arena_alloc(&l->d->arena, l->d->driver->addr_size);
    struct nx_addr_spec spec = {.address = draft->address,
                                .data_type = t->data_type,
                                .count = t->count,
                                .element = element,
                                .settings = t->settings};
    if (l->d->driver->addr_parse(&spec, addr, &info, &inner) != NX_OK)
        return conf_fail(device_place_of(l->node, "address"), why, "%s", inner.text);
    t->address = arena_strdup(&l->d->arena, draft->address);
    t->canonical = arena_strdup(&l->d->arena, info.canonical);
    t->addr = addr;
    *elements = info.elements;
    return NX_OK;
}

static enum nx_err
add_elements(struct list *l, const struct tag_draft *draft, uint32_t count, struct nx_note *why)
{
    struct arena *a = &l->d->arena;
    enum nx_err err = NX_OK;

    for (uint32_t i = 0; i < count && err == NX_OK; i++) {
        struct tag t = draft->tag;
        uint32_t ignored;

        t.id = arena_printf(a, "%s.%u", t.id, i);
        t.name = arena_printf(a, "%s %u", t.name, i);
        t.topic_suffix = arena_printf(a, "%s/%u", t.topic_suffix, i);
        if ((err = read_address(l, draft, &t, i, &ignored, why)) == NX_OK)
            err = add_with_aggregates(l, draft, &t, why);
    }
    return err;
}

static enum nx_err
add_polled(struct list *l, const struct tag_draft *draft, struct nx_note *why)
{
    struct tag t = draft->tag;
    uint32_t elements = 0;
    enum nx_err err = read_address(l, draft, &t, 0, &elements, why);

    if (err != NX_OK)
        return err;
    if (draft->elements && elements && draft->elements != elements)
        return conf_fail(conf_get(l->node, "array"), why, "array says %u elements and the address %u: remove one",
                         draft->elements, elements);
    if (draft->elements || elements)
        return add_elements(l, draft, draft->elements ? draft->elements : elements, why);
    return add_with_aggregates(l, draft, &t, why);
}

/* --- expressions --- */

static bool
is_own_value(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "value") == 0;
}

static bool
is_tag(void *arg, const char *name)
{
    const struct list *l = arg;

    return l->opt->is_partial || device_tag(l->d, name);
}

static const char *
near_tag(void *arg, const char *name)
{
    const struct list *l = arg;
    const char **ids = mem_calloc(NEAR_MAX, sizeof *ids);
    size_t n = 0;

    for (; n < l->count && n < NEAR_MAX; n++)
        ids[n] = l->tags[n].id;
    const char *near = num_near_miss(name, ids, n);
    free(ids);
    return near;
}

static enum nx_err
check_lua(struct list *l, const struct expr_text *t, struct nx_note *why)
{
    int ref;

    if (!l->box)
        l->box = expr_box_new();
    enum nx_err err = expr_compile(l->box, t, &ref, why);
    if (err == NX_OK)
        expr_drop(l->box, ref);
    return err;
}

static enum nx_err
read_expression(struct list *l, const char *text, const struct expr_names *names, const struct expr_text **out,
                struct nx_note *why)
{
    struct expr_text *t = arena_alloc(&l->d->arena, sizeof *t);
    enum nx_err err = expr_scan(&l->d->arena, text, names, t, why);

    if (err == NX_OK)
        err = check_lua(l, t, why);
    *out = t;
    return err;
}

/* Beside an address: over the value of the tag alone. */
static enum nx_err
read_own_expression(struct list *l, struct tag_draft *draft, struct nx_note *why)
{
    static const struct expr_names names = {.is_tag = is_own_value};
    const struct conf_node *at = device_place_of(l->node, "expression");
    struct nx_note inner = {0};

    if (read_expression(l, draft->expression, &names, &draft->tag.expr, &inner) != NX_OK)
        return conf_fail(at, why, "%s. Beside an address an expression sees `value` alone", inner.text);
    if (draft->tag.expr->ref_count != 1 || draft->tag.expr->refs[0].device)
        return conf_fail(at, why,
                         "an expression beside an address is a formula of `value`; without an address it may use tags");
    return NX_OK;
}

/* tag("this-device/x") is x. */
static enum nx_err
check_refs(struct list *l, const struct expr_text *t, struct nx_note *why)
{
    struct expr_ref *refs = (struct expr_ref *)(uintptr_t)t->refs;

    for (unsigned i = 0; i < t->ref_count; i++) {
        if (refs[i].device && strcmp(refs[i].device, l->d->id) == 0)
            refs[i].device = NULL;
        if (!refs[i].device && !is_tag(l, refs[i].tag))
            return nx_fail(why, NX_E_CONFIG, "the device has no tag '%s'", refs[i].tag);
    }
    return NX_OK;
}

static enum nx_err
read_formula(struct list *l, struct tag *t, struct nx_note *why)
{
    const struct expr_names names = {.is_tag = is_tag, .near = near_tag, .arg = l};
    const struct conf_node *at = conf_get(l->node, "expression");
    struct nx_note inner = {0};

    if (read_expression(l, at->text, &names, &t->expr, &inner) != NX_OK || check_refs(l, t->expr, &inner) != NX_OK)
        return conf_fail(at, why, "%s", inner.text);
    return NX_OK;
}

/* --- circles --- */

enum mark { UNSEEN, OPEN, CLOSED };

struct walk {
    const struct list *list;
    uint8_t *marks;
    uint32_t *path;
    unsigned depth;
};

static enum nx_err
name_circle(const struct walk *w, uint32_t again, struct nx_note *why)
{
    const struct tag *tags = w->list->tags;
    unsigned first = 0;
    struct wbuf names = wbuf_init(0);

    while (w->path[first] != again)
        first++;
    for (unsigned i = first; i < w->depth; i++)
        wbuf_printf(&names, "%s -> ", tags[w->path[i]].id);
    enum nx_err err = conf_fail(conf_get(w->list->nodes[again], "expression"), why,
                                "the expressions %s%s need each other: none of them can be calculated first",
                                wbuf_cstr(&names), tags[again].id);
    wbuf_free(&names);
    return err;
}

/* One step deeper or back; an explicit stack, because 100,000 tags may stand in one line. */
static enum nx_err
walk_from(struct walk *w, uint32_t start, uint32_t *next_ref, struct nx_note *why)
{
    const struct list *l = w->list;

    w->path[w->depth++] = start;
    w->marks[start] = OPEN;
    while (w->depth > 0) {
        uint32_t at = w->path[w->depth - 1];
        const struct expr_text *t = l->tags[at].expr;

        if (next_ref[at] == t->ref_count) {
            w->marks[at] = CLOSED;
            w->depth--;
            continue;
        }
        const struct expr_ref *ref = &t->refs[next_ref[at]++];
        const struct tag *to = ref->device ? NULL : device_tag(l->d, ref->tag);
        uint32_t index = to ? (uint32_t)(to - l->tags) : 0;
        if (!to || to->kind != TAG_CALC || w->marks[index] == CLOSED)
            continue;
        if (w->marks[index] == OPEN)
            return name_circle(w, index, why);
        w->marks[index] = OPEN;
        w->path[w->depth++] = index;
    }
    return NX_OK;
}

static enum nx_err
check_circles(struct list *l, struct nx_note *why)
{
    struct walk w = {.list = l,
                     .marks = mem_calloc(l->count, sizeof *w.marks),
                     .path = mem_calloc(l->count + 1, sizeof *w.path)};
    uint32_t *next_ref = mem_calloc(l->count, sizeof *next_ref);
    enum nx_err err = NX_OK;

    for (uint32_t i = 0; i < l->count && err == NX_OK; i++) {
        if (l->tags[i].kind == TAG_CALC && w.marks[i] == UNSEEN)
            err = walk_from(&w, i, next_ref, why);
    }
    free(w.marks);
    free(w.path);
    free(next_ref);
    return err;
}

static enum nx_err
read_formulas(struct list *l, struct nx_note *why)
{
    bool has_any = false;
    enum nx_err err = NX_OK;

    for (uint32_t i = 0; i < l->count && err == NX_OK; i++) {
        if (l->tags[i].kind != TAG_CALC)
            continue;
        has_any = true;
        l->node = l->nodes[i];
        err = read_formula(l, &l->tags[i], why);
    }
    return err == NX_OK && has_any ? check_circles(l, why) : err;
}

/* --- the list --- */

static int
by_id(const void *a, const void *b, void *arg)
{
    const struct tag *tags = arg;

    return strcmp(tags[*(const uint32_t *)a].id, tags[*(const uint32_t *)b].id);
}

static int
by_topic(const void *a, const void *b, void *arg)
{
    const struct tag *tags = arg;

    return strcmp(tags[*(const uint32_t *)a].topic, tags[*(const uint32_t *)b].topic);
}

/* Two tags with one id or one topic could not be told apart downstream. */
static enum nx_err
check_twins(const struct list *l, uint32_t *order, struct nx_note *why)
{
    static int (*const orders[])(const void *, const void *, void *) = {by_topic, by_id};
    static const char *const what[] = {"topic", "id"};

    for (size_t k = 0; k < 2; k++) {
        qsort_r(order, l->count, sizeof *order, orders[k], l->tags);
        for (unsigned i = 1; i < l->count; i++) {
            uint32_t first = order[i - 1] < order[i] ? order[i - 1] : order[i];
            uint32_t second = order[i - 1] ^ order[i] ^ first;

            if (orders[k](&order[i - 1], &order[i], l->tags) != 0)
                continue;
            return conf_fail(l->nodes[second], why, "tags '%s' and '%s' have the same %s '%s'", l->tags[first].id,
                             l->tags[second].id, what[k], k ? l->tags[first].id : l->tags[first].topic);
        }
    }
    return NX_OK;
}

static enum nx_err
read_one(struct list *l, const struct conf_node *node, struct nx_note *why)
{
    struct tag_draft draft;
    enum nx_err err = device_read_tag(l->d, node, &l->scratch, &draft, why);

    l->node = node;
    if (err != NX_OK)
        return err;
    if (draft.tag.kind == TAG_CALC)
        return add_with_aggregates(l, &draft, &draft.tag, why);
    if (draft.expression && (err = read_own_expression(l, &draft, why)) != NX_OK)
        return err;
    return add_polled(l, &draft, why);
}

static enum nx_err
finish(struct list *l, struct nx_note *why)
{
    uint32_t *order = arena_alloc(&l->d->arena, l->count * sizeof *order);

    for (uint32_t i = 0; i < l->count; i++)
        order[i] = i;
    l->d->tags = l->tags;
    l->d->tag_count = l->count;
    l->d->tags_by_id = order;
    enum nx_err err = check_twins(l, order, why);
    return err == NX_OK ? read_formulas(l, why) : err;
}

enum nx_err
device_read_tags(struct device *d, const struct device_options *opt, const struct conf_node *list, struct nx_note *why)
{
    struct list l = {.d = d, .opt = opt};
    enum nx_err err = NX_OK;

    if (!list || list->kind == CONF_NULL)
        return NX_OK;
    if (list->kind != CONF_LIST)
        return conf_fail(list, why, "a list of tags is expected here");
    if (list->count > DEVICE_TAGS_MAX)
        return conf_fail(list, why, "%u tags; a device has at most %u", list->count, DEVICE_TAGS_MAX);
    l.cap = (list->count + 1) / 2; /* the usual list fits at once */
    grow(&l);
    for (const struct conf_node *c = list->child; c && err == NX_OK; c = c->next) {
        err = read_one(&l, c, why);
        arena_reset(&l.scratch);
    }
    if (err == NX_OK)
        err = finish(&l, why);
    free(l.nodes);
    arena_free(&l.scratch);
    expr_box_free(&l.box);
    return err;
}
