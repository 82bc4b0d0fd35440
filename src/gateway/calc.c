#include "gateway/calc.h"

#include "base/mem.h"
#include "gateway/normalize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

/* One tag that one expression reads. */
struct calc_edge {
    struct calc_node *node;
    const struct expr_ref *ref;
    struct peer *peer;                /* whose tag it is */
    struct slot *slot;                /* NULL: there is no such tag now */
    struct calc_edge *prev, *next;    /* in slot->watchers */
    struct calc_edge *before, *after; /* in peer->edges */
};

struct calc_node {
    struct slot *slot;
    int lua;
    bool is_compiled, is_marked, is_circular;
    uint32_t rank, waiting; /* everything that it reads has a lower rank */
    struct nx_note why;     /* when it does not compile */
    struct calc_node *prev, *next;
    struct calc_node *next_marked;
    unsigned edge_count;
    struct calc_edge edges[];
};

/* A device that is here, or that somebody names. */
struct peer {
    char *id;
    struct nx_dev *dev;
    struct calc_edge *edges;
    UT_hash_handle hh;
};

struct calc {
    struct calc_ops ops;
    void *arg;
    struct expr_box *box; /* made when there is an expression */
    struct calc_node *nodes, *marked;
    struct peer *peers;
    struct calc_node **ranks; /* [rank_count] lists of marked nodes, while running */
    uint32_t rank_count;
    bool is_stale; /* the order */
    uint64_t evaluations;
    struct nx_note note;
};

/* --- marks --- */

static void
mark(struct calc *c, struct calc_node *n)
{
    if (n->is_marked)
        return;
    n->is_marked = true;
    n->next_marked = c->marked;
    c->marked = n;
    c->ops.on_mark(c->arg);
}

static void
unmark(struct calc *c, const struct calc_node *n)
{
    for (struct calc_node **p = &c->marked; *p; p = &(*p)->next_marked) {
        if (*p == n) {
            *p = n->next_marked;
            return;
        }
    }
}

void
calc_touch(struct calc *c, const struct slot *slot)
{
    struct calc_edge *e;

    DL_FOREACH (slot->watchers, e)
        mark(c, e->node);
}

/* --- order --- */

static bool
is_calculated(const struct slot *slot)
{
    return slot && slot->calc && slot->tag->kind == TAG_CALC;
}

/* Nodes whose inputs all have a rank. They hang on next_marked, which keep_marks() mends. */
static struct calc_node *
find_ready(struct calc *c)
{
    struct calc_node *n, *ready = NULL;

    DL_FOREACH (c->nodes, n) {
        n->rank = n->waiting = 0;
        for (unsigned i = 0; i < n->edge_count; i++)
            n->waiting += is_calculated(n->edges[i].slot);
        if (n->waiting == 0) {
            n->next_marked = ready;
            ready = n;
        }
    }
    return ready;
}

static struct calc_node *
rank_watchers(const struct calc_node *n, struct calc_node *ready)
{
    struct calc_edge *e;

    DL_FOREACH (n->slot->watchers, e) {
        if (e->node->rank <= n->rank)
            e->node->rank = n->rank + 1;
        if (--e->node->waiting == 0) {
            e->node->next_marked = ready;
            ready = e->node;
        }
    }
    return ready;
}

static void
keep_marks(struct calc *c)
{
    struct calc_node *n;

    c->marked = NULL;
    DL_FOREACH (c->nodes, n) {
        bool was_circular = n->is_circular;

        n->is_circular = n->waiting > 0;
        if (n->is_circular)
            n->rank = c->rank_count - 1;
        if (n->is_marked || n->is_circular != was_circular) {
            n->is_marked = true;
            n->next_marked = c->marked;
            c->marked = n;
        }
    }
}

/* Kahn: what is left over in the end stands in a circle, or behind one. */
static void
put_in_order(struct calc *c)
{
    struct calc_node *ready = find_ready(c);

    c->rank_count = 2;
    while (ready) {
        struct calc_node *n = ready;

        ready = rank_watchers(n, n->next_marked);
        if (n->rank + 2 > c->rank_count)
            c->rank_count = n->rank + 2;
    }
    keep_marks(c);
    free(c->ranks);
    c->ranks = mem_calloc(c->rank_count, sizeof(struct calc_node *));
    c->is_stale = false;
}

/* --- values --- */

static bool
as_whole(const struct nx_value *v, enum nx_type type, struct nx_value *out)
{
    double d = 0;

    if (v->type == type || (v->type == NX_TYPE_INT && type == NX_TYPE_UINT && v->i >= 0)) {
        *out = *v;
        out->type = type;
        return true;
    }
    if (!value_as_double(v, &d))
        return false;
    d = rint(d);
    if (type == NX_TYPE_INT && d >= -9223372036854775808.0 && d < 9223372036854775808.0)
        *out = nx_value_int((int64_t)d);
    else if (type == NX_TYPE_UINT && d >= 0 && d < 18446744073709551616.0)
        *out = nx_value_uint((uint64_t)d);
    else
        return false;
    return true;
}

static bool
has_type(const struct nx_value *v, enum nx_type type, struct nx_value *out)
{
    double d;

    switch (type) {
    case NX_TYPE_BOOL:
        *out = nx_value_bool(v->type == NX_TYPE_BOOL ? v->b : value_as_double(v, &d) && d != 0);
        return v->type != NX_TYPE_STRING;
    case NX_TYPE_INT:
    case NX_TYPE_UINT:
        return as_whole(v, type, out);
    case NX_TYPE_DOUBLE:
        if (!value_as_double(v, &d))
            return false;
        *out = nx_value_double(d);
        return true;
    case NX_TYPE_STRING:
        *out = *v;
        return v->type == NX_TYPE_STRING;
    case NX_TYPE_NONE:
        break;
    }
    return false;
}

/* An enum makes texts of numbers only afterwards. */
static enum nx_type
type_wanted(const struct tag *tag)
{
    struct tag plain = *tag;

    plain.enum_count = 0;
    return normalize_type(&plain);
}

static const char *
evaluate(struct calc *c, const struct calc_node *n, const struct nx_value *args, struct nx_value *out)
{
    const struct tag *tag = n->slot->tag;
    struct nx_value v;

    if (!n->is_compiled)
        return n->why.text;
    c->evaluations++;
    c->note = (struct nx_note){0};
    if (expr_eval(c->box, n->lua, tag->expr, args, &v, &c->note) != NX_OK)
        return c->note.text;
    if (has_type(&v, type_wanted(tag), out))
        return NULL;
    (void)nx_fail(&c->note, NX_E_VALUE, "the result does not fit the data_type %s", data_type_name(tag->data_type));
    return c->note.text;
}

const char *
calc_apply(struct calc *c, const struct slot *slot, struct nx_value *value, uint16_t *quality)
{
    struct nx_value out = nx_value_none();

    if (nx_quality_is_bad(*quality))
        return NULL;
    const char *reason = slot->calc ? evaluate(c, slot->calc, value, &out) : "the expression is not ready";
    *value = reason ? nx_value_none() : out;
    if (reason)
        *quality = NX_Q_BAD;
    return reason;
}

/* --- running --- */

enum inputs { READY, WAITING, UNKNOWN };

/* Collects the arguments; quality becomes that of the worst, reason its reason. */
static enum inputs
collect(struct calc *c, const struct calc_node *n, struct nx_value *args, struct sample *s)
{
    enum inputs state = READY;

    for (unsigned i = 0; i < n->edge_count; i++) {
        const struct calc_edge *e = &n->edges[i];

        if (!e->slot) {
            (void)nx_fail(&c->note, NX_E_NOT_FOUND, "it reads %s/%s, which this gateway does not have", e->peer->id,
                          e->ref->tag);
            s->reason = c->note.text;
            return UNKNOWN;
        }
        if (!e->slot->filter.has_sent)
            state = WAITING;
        args[i] = e->slot->value;
        if ((e->slot->quality & 0xC0u) < (s->quality & 0xC0u)) {
            s->quality = e->slot->quality;
            (void)nx_fail(&c->note, NX_E_VALUE, "%s: %s", e->ref->tag, e->slot->reason ? e->slot->reason : "not good");
            s->reason = c->note.text;
        }
    }
    return state;
}

static void
name_circle(struct calc *c, const struct calc_node *n)
{
    const struct calc_node *at = n;

    (void)nx_fail(&c->note, NX_E_CONFIG, "the expressions of %s/%s", n->slot->dev->conf->id, n->slot->tag->id);
    for (unsigned steps = 0; steps < 8; steps++) {
        unsigned i = 0;

        while (i < at->edge_count && !(is_calculated(at->edges[i].slot) && at->edges[i].slot->calc->is_circular))
            i++;
        if (i == at->edge_count)
            break;
        at = at->edges[i].slot->calc;
        size_t len = strlen(c->note.text);
        (void)snprintf(c->note.text + len, sizeof c->note.text - len, " -> %s/%s", at->slot->dev->conf->id,
                       at->slot->tag->id);
        if (at == n)
            break;
    }
    size_t len = strlen(c->note.text);
    (void)snprintf(c->note.text + len, sizeof c->note.text - len, " need each other");
}

static void
run_node(struct calc *c, struct calc_node *n)
{
    struct nx_value args[EXPR_REFS_MAX];
    struct sample s = {.quality = NX_Q_GOOD};
    enum inputs state = collect(c, n, args, &s);

    n->is_marked = false;
    if (n->is_circular) {
        name_circle(c, n);
        s.reason = c->note.text;
    }
    if (n->is_circular || state == UNKNOWN) {
        s.quality = NX_Q_CONFIG_ERROR;
    } else if (state == WAITING) {
        return;
    } else if (!nx_quality_is_bad(s.quality)) {
        const char *reason = evaluate(c, n, args, &s.value);

        s.reason = reason ? reason : NULL;
        if (reason)
            s.quality = NX_Q_BAD;
    }
    if (nx_quality_is_bad(s.quality))
        s.value = nx_value_none();
    c->ops.on_result(c->arg, n->slot, &s);
}

static void
sort_marked(struct calc *c)
{
    while (c->marked) {
        struct calc_node *n = c->marked;

        c->marked = n->next_marked;
        n->next_marked = c->ranks[n->rank];
        c->ranks[n->rank] = n;
    }
}

void
calc_run(struct calc *c)
{
    if (c->is_stale)
        put_in_order(c);
    if (!c->marked)
        return;
    sort_marked(c);
    for (uint32_t rank = 0; rank < c->rank_count; rank++) {
        while (c->ranks[rank]) {
            struct calc_node *n = c->ranks[rank];

            c->ranks[rank] = n->next_marked;
            run_node(c, n);
            sort_marked(c); /* what it has touched ranks higher, but for circles, which fall silent */
        }
    }
}

/* --- devices --- */

static struct peer *
peer_of(struct calc *c, const char *id)
{
    struct peer *p;

    HASH_FIND_STR(c->peers, id, p);
    if (p)
        return p;
    p = mem_alloc(sizeof *p);
    p->id = mem_strdup(id);
    HASH_ADD_KEYPTR(hh, c->peers, p->id, strlen(p->id), p);
    return p;
}

static void
drop_peer_if_idle(struct calc *c, struct peer *p)
{
    if (p->dev || p->edges)
        return;
    HASH_DEL(c->peers, p);
    free(p->id);
    free(p);
}

static void
resolve(struct calc_edge *e)
{
    const struct tag *tag = e->peer->dev ? device_tag(e->peer->dev->conf, e->ref->tag) : NULL;

    if (!tag || !tag->is_enabled)
        return;
    e->slot = &e->peer->dev->slots[tag - e->peer->dev->conf->tags];
    DL_APPEND(e->slot->watchers, e);
}

static void
let_go(struct calc_edge *e)
{
    if (e->slot)
        DL_DELETE(e->slot->watchers, e);
    e->slot = NULL;
}

static void
compile(struct calc *c, struct calc_node *n)
{
    if (!c->box)
        c->box = expr_box_new();
    n->is_compiled = expr_compile(c->box, n->slot->tag->expr, &n->lua, &n->why) == NX_OK;
}

static void
add_node(struct calc *c, struct slot *slot)
{
    const struct tag *tag = slot->tag;
    unsigned count = tag->kind == TAG_CALC ? tag->expr->ref_count : 0;
    struct calc_node *n = mem_alloc(sizeof *n + count * sizeof n->edges[0]);

    n->slot = slot;
    n->edge_count = count;
    slot->calc = n;
    compile(c, n);
    for (unsigned i = 0; i < count; i++) {
        struct calc_edge *e = &n->edges[i];

        *e = (struct calc_edge){.node = n, .ref = &tag->expr->refs[i]};
        e->peer = peer_of(c, e->ref->device ? e->ref->device : slot->dev->conf->id);
        DL_APPEND2(e->peer->edges, e, before, after);
        resolve(e);
    }
    if (tag->kind == TAG_CALC) {
        DL_APPEND(c->nodes, n);
        mark(c, n);
    }
}

void
calc_add_device(struct calc *c, struct nx_dev *dev)
{
    struct peer *p = peer_of(c, dev->conf->id);
    struct calc_edge *e;

    p->dev = dev;
    DL_FOREACH2(p->edges, e, after)
    { /* others have named it before */
        if (!e->slot) {
            resolve(e);
            mark(c, e->node);
        }
    }
    for (unsigned i = 0; i < dev->conf->tag_count; i++) {
        if (dev->conf->tags[i].expr && dev->conf->tags[i].is_enabled)
            add_node(c, &dev->slots[i]);
    }
    c->is_stale = true;
}

static void
remove_node(struct calc *c, struct slot *slot)
{
    struct calc_node *n = slot->calc;

    if (n->is_marked)
        unmark(c, n);
    for (unsigned i = 0; i < n->edge_count; i++) {
        struct peer *p = n->edges[i].peer;

        let_go(&n->edges[i]);
        DL_DELETE2(p->edges, &n->edges[i], before, after);
        drop_peer_if_idle(c, p);
    }
    if (slot->tag->kind == TAG_CALC)
        DL_DELETE(c->nodes, n);
    if (n->is_compiled)
        expr_drop(c->box, n->lua);
    free(n);
    slot->calc = NULL;
}

void
calc_remove_device(struct calc *c, struct nx_dev *dev)
{
    struct peer *p;
    struct calc_edge *e;

    HASH_FIND_STR(c->peers, dev->conf->id, p);
    if (!p || p->dev != dev)
        return;
    for (unsigned i = 0; i < dev->conf->tag_count; i++) {
        if (dev->slots[i].calc)
            remove_node(c, &dev->slots[i]);
    }
    DL_FOREACH2(p->edges, e, after)
    {
        let_go(e);
        mark(c, e->node);
    }
    p->dev = NULL;
    c->is_stale = true;
    drop_peer_if_idle(c, p);
}

uint64_t
calc_evaluations(const struct calc *c)
{
    return c->evaluations;
}

struct calc *
calc_new(const struct calc_ops *ops, void *arg)
{
    struct calc *c = mem_alloc(sizeof *c);

    c->ops = *ops;
    c->arg = arg;
    c->is_stale = true;
    return c;
}

static struct nx_dev *
any_device(const struct calc *c)
{
    for (struct peer *p = c->peers; p; p = p->hh.next) {
        if (p->dev)
            return p->dev;
    }
    return NULL;
}

void
calc_free(struct calc **cp)
{
    struct calc *c = *cp;

    if (!c)
        return;
    for (struct nx_dev *dev; (dev = any_device(c));) /* takes the peers with it */
        calc_remove_device(c, dev);
    expr_box_free(&c->box);
    free(c->ranks);
    free(c);
    *cp = NULL;
}
