#include "base/mem.h"
#include "base/num.h"
#include "model/device_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* What a map of a definition may hold: our rows and the driver's params. */
struct shape {
    const struct conf_row *rows;
    const struct nx_param *params; /* may be NULL */
    const struct nx_driver *driver;
};

static void put_map(struct wbuf *w, const struct conf_node *map, const struct shape *shape);

static enum conf_type
type_of(const struct shape *shape, const char *key)
{
    static const enum conf_type types[] = {
        [NX_PARAM_STRING] = CONF_STRING, [NX_PARAM_INT] = CONF_INT,           [NX_PARAM_DOUBLE] = CONF_DOUBLE,
        [NX_PARAM_BOOL] = CONF_BOOL,     [NX_PARAM_DURATION] = CONF_DURATION, [NX_PARAM_ENUM] = CONF_ENUM,
    };

    for (const struct conf_row *row = shape->rows; row->key; row++) {
        if (strcmp(row->key, key) == 0)
            return row->type;
    }
    for (const struct nx_param *p = shape->params; p && p->key; p++) {
        if (strcmp(p->key, key) == 0)
            return types[p->type];
    }
    return CONF_STRING;
}

static void
put_duration(struct wbuf *w, int64_t ms)
{
    wbuf_printf(w, ms % 1000 ? "\"%lldms\"" : "\"%llds\"", (long long)(ms % 1000 ? ms : ms / 1000));
}

static void
put_scalar(struct wbuf *w, const char *text, enum conf_type type)
{
    struct slice s = slice_str(text);
    int64_t i = 0;
    double d = 0;
    bool b = false;

    if (type == CONF_INT && num_i64(s, &i))
        wbuf_i64(w, i);
    else if (type == CONF_DOUBLE && num_double(s, &d))
        wbuf_double(w, d);
    else if (type == CONF_BOOL && num_bool(s, &b))
        wbuf_str(w, b ? "true" : "false");
    else if (type == CONF_DURATION && num_duration_ms(s, &i))
        put_duration(w, i);
    else
        wbuf_json_string(w, s);
}

/* A list of texts counts from 0, so it is written as the map that it stands for. */
static void
put_enum(struct wbuf *w, const struct conf_node *node)
{
    static const struct conf_row none[] = {{.key = NULL}};
    const struct shape texts = {.rows = none};
    unsigned i = 0;

    if (node->kind == CONF_MAP) {
        put_map(w, node, &texts);
        return;
    }
    wbuf_char(w, '{');
    for (const struct conf_node *c = node->child; c; c = c->next, i++) {
        wbuf_printf(w, "%s\"%u\":", i ? "," : "", i);
        wbuf_json_string(w, slice_str(c->text));
    }
    wbuf_char(w, '}');
}

static const char *
id_of(const struct conf_node *tag)
{
    const struct conf_node *id = tag->kind == CONF_MAP ? conf_get(tag, "id") : NULL;

    return id && id->kind == CONF_SCALAR ? id->text : "";
}

static int
by_id(const void *a, const void *b)
{
    const struct conf_node *const *x = a, *const *y = b;

    return strcmp(id_of(*x), id_of(*y));
}

/* Their order says nothing: a store that keeps them by id makes no other device of them. */
static void
put_tags(struct wbuf *w, const struct conf_node *list, const struct nx_driver *driver)
{
    const struct shape shape = {device_tag_rows, driver ? driver->tag_params : NULL, driver};
    const struct conf_node **sorted = mem_calloc(list->count + 1, sizeof(struct conf_node *));
    unsigned n = 0;

    for (const struct conf_node *c = list->child; c; c = c->next)
        sorted[n++] = c;
    qsort(sorted, n, sizeof *sorted, by_id);
    wbuf_char(w, '[');
    for (unsigned i = 0; i < n; i++) {
        if (i)
            wbuf_char(w, ',');
        put_map(w, sorted[i], &shape);
    }
    wbuf_char(w, ']');
    free(sorted);
}

static void
put_words(struct wbuf *w, const struct conf_node *list)
{
    wbuf_char(w, '[');
    for (const struct conf_node *c = list->child; c; c = c->next) {
        wbuf_json_string(w, slice_str(c->kind == CONF_SCALAR ? c->text : ""));
        if (c->next)
            wbuf_char(w, ',');
    }
    wbuf_char(w, ']');
}

/* The rows of a section below a tag or a connection; NULL: it is none. */
static const struct conf_row *
section_rows(const char *key)
{
    static const struct {
        const char *key;
        const struct conf_row *rows;
    } sections[] = {{"breaker", device_breaker_rows},
                    {"adaptive", device_adaptive_rows},
                    {"aggregate", device_aggregate_rows},
                    {"publish", device_publish_rows}};

    for (size_t i = 0; i < MEM_COUNT(sections); i++) {
        if (strcmp(sections[i].key, key) == 0)
            return sections[i].rows;
    }
    return NULL;
}

static void
put_node(struct wbuf *w, const struct conf_node *node, const struct shape *shape)
{
    const struct shape connection = {device_connection_rows, shape->driver ? shape->driver->params : NULL, NULL};
    const struct conf_row *rows = section_rows(node->key);
    const struct shape section = {rows, NULL, NULL};

    if (node->kind == CONF_SCALAR)
        put_scalar(w, node->text, type_of(shape, node->key));
    else if (strcmp(node->key, "tags") == 0)
        put_tags(w, node, shape->driver);
    else if (strcmp(node->key, "enum") == 0)
        put_enum(w, node);
    else if (node->kind == CONF_LIST)
        put_words(w, node);
    else
        put_map(w, node, rows ? &section : &connection);
}

static int
by_key(const void *a, const void *b)
{
    const struct conf_node *const *x = a, *const *y = b;

    return strcmp((*x)->key, (*y)->key);
}

static void
put_map(struct wbuf *w, const struct conf_node *map, const struct shape *shape)
{
    const struct conf_node **sorted = mem_calloc(map->count + 1, sizeof(struct conf_node *));
    unsigned n = 0;

    for (const struct conf_node *c = map->child; c; c = c->next) {
        if (c->kind != CONF_NULL) /* absent */
            sorted[n++] = c;
    }
    qsort(sorted, n, sizeof *sorted, by_key);
    wbuf_char(w, '{');
    for (unsigned i = 0; i < n; i++) {
        if (i)
            wbuf_char(w, ',');
        wbuf_json_string(w, slice_str(sorted[i]->key));
        wbuf_char(w, ':');
        put_node(w, sorted[i], shape);
    }
    wbuf_char(w, '}');
    free(sorted);
}

/* Definitions are long, much alike, and only looked at when somebody changes one. */
static struct slice
pack(struct arena *a, struct slice text)
{
    size_t cap = ZSTD_compressBound(text.len);
    void *buf = mem_alloc(cap), *kept;
    size_t n = ZSTD_compress(buf, cap, text.p, text.len, 1);

    assert(!ZSTD_isError(n));
    kept = arena_alloc(a, n);
    memcpy(kept, buf, n);
    free(buf);
    return slice(kept, n);
}

struct slice
device_pack_json(struct arena *a, const struct conf_node *node, const struct nx_driver *driver)
{
    const struct shape shape = {device_rows, NULL, driver};
    struct wbuf w = wbuf_init(0);
    struct slice packed;

    put_map(&w, node, &shape);
    packed = pack(a, wbuf_slice_of(&w));
    wbuf_free(&w);
    return packed;
}

char *
device_json(const struct device *d)
{
    unsigned long long len = ZSTD_getFrameContentSize(d->packed.p, d->packed.len);
    char *text = mem_alloc((size_t)len + 1);
    size_t n = ZSTD_decompress(text, (size_t)len, d->packed.p, d->packed.len);

    assert(n == len);
    text[n] = '\0';
    return text;
}

bool
device_eq(const struct device *a, const struct device *b)
{
    return slice_eq(a->packed, b->packed);
}
