/* node.c -- documents as trees: YAML in (libyaml events), JSON in and out, places for messages. */
#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/utf8.h"
#include "conf/conf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MAX_DEPTH      64u
#define MAX_NODES      5000000u
#define MAX_ANCHORS    1000u
#define MAX_FILE_BYTES (256u << 20)

struct anchor {
    const char *name;
    const struct conf_node *node;
};

struct builder {
    struct arena *arena;
    const char *source;
    struct conf_node *root, *open;         /* open: innermost list or map */
    struct conf_node *last[MAX_DEPTH + 1]; /* last child of each open node */
    unsigned depth, nodes;
    const char *pending_key;
    unsigned pending_key_line;
    struct anchor anchors[MAX_ANCHORS];
    unsigned anchor_count;
};

static struct conf_node *
new_node(struct arena *a, enum conf_kind kind, const char *source, unsigned line)
{
    struct conf_node *n = arena_alloc(a, sizeof *n);

    n->kind = kind;
    n->source = source;
    n->line = line;
    return n;
}

static bool
is_null_text(const char *text)
{
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0;
}

/* Replaces ${NAME} and ${NAME:-default}; $${ stands for a literal ${. */
static enum nx_err
expand(struct builder *b, const char *text, unsigned line, const char **out, struct nx_note *why)
{
    struct wbuf w = wbuf_init(1u << 20);
    const char *at = text, *dollar;

    while ((dollar = strstr(at, "${"))) {
        const char *end = strchr(dollar, '}');

        if (!end)
            break;
        if (dollar > at && dollar[-1] == '$') {
            wbuf_bytes(&w, at, (size_t)(dollar - at) - 1);
            wbuf_bytes(&w, dollar, (size_t)(end - dollar) + 1);
            at = end + 1;
            continue;
        }
        char *name = mem_strndup(dollar + 2, (size_t)(end - dollar) - 2);
        char *fallback = strstr(name, ":-");
        if (fallback) {
            *fallback = '\0';
            fallback += 2;
        }
        const char *value = getenv(name);
        if (!value || (fallback && !*value))
            value = fallback;
        if (!value) {
            enum nx_err err = nx_fail(why, NX_E_CONFIG,
                                      "%s:%u: the environment variable %s is not set; set it or write ${%s:-default}",
                                      b->source, line, name, name);
            free(name);
            wbuf_free(&w);
            return err;
        }
        wbuf_bytes(&w, at, (size_t)(dollar - at));
        wbuf_str(&w, value);
        free(name);
        at = end + 1;
    }
    wbuf_str(&w, at);
    *out = arena_strdup(b->arena, wbuf_cstr(&w));
    wbuf_free(&w);
    return NX_OK;
}

static enum nx_err
check_key_is_new(struct builder *b, const char *key, unsigned line, struct nx_note *why)
{
    /* Large maps are rare and lists are not checked, so this stays linear in practice. */
    for (const struct conf_node *c = b->open->child; c && b->open->count < 4096; c = c->next) {
        if (strcmp(c->key, key) == 0)
            return nx_fail(why, NX_E_CONFIG, "%s:%u: '%s' stands here twice (first in line %u)", b->source, line, key,
                           c->line);
    }
    return NX_OK;
}

/* Hangs node below the open one. */
static enum nx_err
attach(struct builder *b, struct conf_node *node, struct nx_note *why)
{
    if (++b->nodes > MAX_NODES)
        return nx_fail(why, NX_E_TOO_LARGE, "%s:%u: more than %u entries", b->source, node->line, MAX_NODES);
    if (!b->open) {
        b->root = node;
        return NX_OK;
    }
    if (b->open->kind == CONF_MAP) {
        enum nx_err err = check_key_is_new(b, b->pending_key, node->line, why);

        if (err != NX_OK)
            return err;
        node->key = b->pending_key;
        node->line = b->pending_key_line;
        b->pending_key = NULL;
    }
    node->parent = b->open;
    if (b->last[b->depth])
        b->last[b->depth]->next = node;
    else
        b->open->child = node;
    b->last[b->depth] = node;
    b->open->count++;
    return NX_OK;
}

static enum nx_err
remember_anchor(struct builder *b, const yaml_char_t *name, const struct conf_node *node, struct nx_note *why)
{
    if (!name)
        return NX_OK;
    if (b->anchor_count == MAX_ANCHORS)
        return nx_fail(why, NX_E_TOO_LARGE, "%s:%u: more than %u anchors", b->source, node->line, MAX_ANCHORS);
    b->anchors[b->anchor_count++] = (struct anchor){arena_strdup(b->arena, (const char *)name), node};
    return NX_OK;
}

static enum nx_err
open_node(struct builder *b, struct conf_node *node, const yaml_char_t *anchor, struct nx_note *why)
{
    if (b->depth == MAX_DEPTH)
        return nx_fail(why, NX_E_TOO_LARGE, "%s:%u: nested more than %u levels deep", b->source, node->line, MAX_DEPTH);
    if (b->open && b->open->kind == CONF_MAP && !b->pending_key)
        return nx_fail(why, NX_E_CONFIG, "%s:%u: a key must be a plain text", b->source, node->line);
    enum nx_err err = attach(b, node, why);
    if (err == NX_OK)
        err = remember_anchor(b, anchor, node, why);
    b->open = node;
    b->last[++b->depth] = NULL;
    return err;
}

static void
close_node(struct builder *b)
{
    b->open = b->open->parent;
    b->depth--;
}

static enum nx_err
add_scalar(struct builder *b, const yaml_event_t *e, struct nx_note *why)
{
    unsigned line = (unsigned)e->start_mark.line + 1;
    const char *raw = (const char *)e->data.scalar.value;
    bool is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const char *text;

    if (strlen(raw) != e->data.scalar.length)
        return nx_fail(why, NX_E_CONFIG, "%s:%u: a text holds a NUL character", b->source, line);
    if (b->open && b->open->kind == CONF_MAP && !b->pending_key) {
        b->pending_key = arena_strdup(b->arena, raw);
        b->pending_key_line = line;
        return NX_OK;
    }
    enum nx_err err = expand(b, raw, line, &text, why);
    if (err != NX_OK)
        return err;
    struct conf_node *n = new_node(b->arena, is_plain && is_null_text(text) ? CONF_NULL : CONF_SCALAR, b->source, line);
    n->text = text;
    n->is_quoted = !is_plain;
    err = attach(b, n, why);
    return err == NX_OK ? remember_anchor(b, e->data.scalar.anchor, n, why) : err;
}

/* Aliases are copies, counted like everything else: a bomb meets MAX_NODES. */
static enum nx_err
copy_below(struct builder *b, const struct conf_node *from, struct nx_note *why)
{
    struct conf_node *n = new_node(b->arena, from->kind, b->source, from->line);

    n->text = from->text;
    n->is_quoted = from->is_quoted;
    if (from->kind != CONF_LIST && from->kind != CONF_MAP)
        return attach(b, n, why);
    enum nx_err err = open_node(b, n, NULL, why);
    for (const struct conf_node *c = from->child; c && err == NX_OK; c = c->next) {
        b->pending_key = c->key;
        b->pending_key_line = c->line;
        err = copy_below(b, c, why);
    }
    if (err == NX_OK)
        close_node(b);
    return err;
}

static enum nx_err
add_alias(struct builder *b, const yaml_event_t *e, struct nx_note *why)
{
    unsigned line = (unsigned)e->start_mark.line + 1;
    const char *name = (const char *)e->data.alias.anchor;

    if (b->open && b->open->kind == CONF_MAP && !b->pending_key)
        return nx_fail(why, NX_E_CONFIG, "%s:%u: a key must be a plain text", b->source, line);
    for (unsigned i = b->anchor_count; i > 0; i--) {
        const struct conf_node *node = b->anchors[i - 1].node;

        if (strcmp(b->anchors[i - 1].name, name) != 0)
            continue;
        for (const struct conf_node *up = b->open; up; up = up->parent) {
            if (up == node)
                return nx_fail(why, NX_E_CONFIG, "%s:%u: *%s contains itself", b->source, line, name);
        }
        return copy_below(b, node, why);
    }
    return nx_fail(why, NX_E_CONFIG, "%s:%u: there is no anchor &%s above", b->source, line, name);
}

static enum nx_err
take_event(struct builder *b, const yaml_event_t *e, struct nx_note *why)
{
    unsigned line = (unsigned)e->start_mark.line + 1;

    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return add_scalar(b, e, why);
    case YAML_ALIAS_EVENT:
        return add_alias(b, e, why);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(b, new_node(b->arena, CONF_LIST, b->source, line), e->data.sequence_start.anchor, why);
    case YAML_MAPPING_START_EVENT:
        return open_node(b, new_node(b->arena, CONF_MAP, b->source, line), e->data.mapping_start.anchor, why);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_node(b);
        return NX_OK;
    case YAML_DOCUMENT_START_EVENT:
        return b->root ? nx_fail(why, NX_E_CONFIG, "%s:%u: a second document ('---') is not read", b->source, line)
                       : NX_OK;
    default:
        return NX_OK;
    }
}

static enum nx_err
parse_events(struct builder *b, yaml_parser_t *parser, struct nx_note *why)
{
    for (;;) {
        yaml_event_t e;

        if (!yaml_parser_parse(parser, &e))
            return nx_fail(why, NX_E_CONFIG, "%s:%zu: %s", b->source, parser->problem_mark.line + 1,
                           parser->problem ? parser->problem : "not readable as YAML");
        enum nx_err err = take_event(b, &e, why);
        bool is_end = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
        if (err != NX_OK || is_end)
            return err;
    }
}

enum nx_err
conf_parse_yaml(struct arena *a, struct slice text, const char *source, struct conf_node **root, struct nx_note *why)
{
    struct builder *b = mem_alloc(sizeof *b);
    yaml_parser_t parser;

    *root = NULL;
    if (!yaml_parser_initialize(&parser))
        abort(); /* out of memory */
    yaml_parser_set_input_string(&parser, text.p ? text.p : (const unsigned char *)"", text.len);
    b->arena = a;
    b->source = arena_strdup(a, source);
    enum nx_err err = parse_events(b, &parser, why);
    yaml_parser_delete(&parser);
    if (err == NX_OK)
        *root = b->root ? b->root : new_node(a, CONF_NULL, b->source, 1); /* an empty file */
    free(b);
    return err;
}

enum nx_err
conf_read_yaml(struct arena *a, const char *path, struct conf_node **root, struct nx_note *why)
{
    char *text;
    size_t len;
    enum nx_err err = file_read(path, MAX_FILE_BYTES, &text, &len, why);

    *root = NULL;
    if (err != NX_OK)
        return err;
    err = conf_parse_yaml(a, slice(text, len), path, root, why);
    free(text);
    return err;
}

/* --- JSON --- */

static void
append_child(struct conf_node *parent, struct conf_node **last, struct conf_node *child)
{
    child->parent = parent;
    if (*last)
        (*last)->next = child;
    else
        parent->child = child;
    *last = child;
    parent->count++;
}

static const char *
number_text(struct arena *a, const json_t *json)
{
    char room[64];
    struct wbuf w = wbuf_fixed(room, sizeof room);

    if (json_is_integer(json))
        wbuf_i64(&w, json_integer_value(json));
    else
        wbuf_double(&w, json_real_value(json));
    return arena_strdup(a, wbuf_cstr(&w));
}

static struct conf_node *
scalar_from_json(struct arena *a, const json_t *json, const char *source)
{
    struct conf_node *n = new_node(a, json_is_null(json) ? CONF_NULL : CONF_SCALAR, source, 0);

    if (json_is_string(json)) {
        n->text = arena_strdup(a, json_string_value(json));
        n->is_quoted = true;
    } else if (json_is_number(json)) {
        n->text = number_text(a, json);
    } else {
        n->text = json_is_true(json) ? "true" : json_is_false(json) ? "false" : "";
    }
    return n;
}

static struct conf_node *
from_json(struct arena *a, const json_t *json, const char *source)
{
    struct conf_node *last = NULL;

    if (json_is_object(json)) {
        struct conf_node *n = new_node(a, CONF_MAP, source, 0);

        /* Jansson's iterator takes a mutable pointer although it changes nothing. */
        json_t *object = (json_t *)(uintptr_t)json;
        for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
            struct conf_node *c = from_json(a, json_object_iter_value(it), source);

            c->key = arena_strdup(a, json_object_iter_key(it));
            append_child(n, &last, c);
        }
        return n;
    }
    if (json_is_array(json)) {
        struct conf_node *n = new_node(a, CONF_LIST, source, 0);

        for (size_t i = 0; i < json_array_size(json); i++)
            append_child(n, &last, from_json(a, json_array_get(json, i), source));
        return n;
    }
    return scalar_from_json(a, json, source);
}

struct conf_node *
conf_from_json(struct arena *a, const json_t *json, const char *source)
{
    return from_json(a, json, arena_strdup(a, source));
}

static json_t *
scalar_to_json(const struct conf_node *n)
{
    struct slice text = slice_str(n->text);
    int64_t i;
    double d;

    if (n->is_quoted)
        return json_string(n->text);
    if (strcmp(n->text, "true") == 0 || strcmp(n->text, "false") == 0)
        return json_boolean(n->text[0] == 't');
    if (num_i64(text, &i))
        return json_integer(i);
    if (num_double(text, &d))
        return json_real(d);
    return utf8_is_valid(text) ? json_string(n->text) : json_string("");
}

json_t *
conf_to_json(const struct conf_node *node)
{
    if (node->kind == CONF_SCALAR)
        return scalar_to_json(node);
    if (node->kind == CONF_NULL)
        return json_null();
    json_t *out = node->kind == CONF_MAP ? json_object() : json_array();
    for (const struct conf_node *c = node->child; c; c = c->next) {
        if (node->kind == CONF_MAP)
            json_object_set_new(out, c->key, conf_to_json(c));
        else
            json_array_append_new(out, conf_to_json(c));
    }
    return out;
}

/* --- places --- */

struct conf_node *
conf_get(const struct conf_node *map, const char *key)
{
    if (!map || map->kind != CONF_MAP)
        return NULL;
    for (struct conf_node *c = map->child; c; c = c->next) {
        if (strcmp(c->key, key) == 0)
            return c;
    }
    return NULL;
}

static unsigned
index_of(const struct conf_node *node)
{
    unsigned i = 0;

    for (const struct conf_node *c = node->parent->child; c != node; c = c->next)
        i++;
    return i;
}

static void
put_path(const struct conf_node *node, struct wbuf *w)
{
    bool is_json = node->line == 0;

    if (!node->parent)
        return;
    put_path(node->parent, w);
    if (is_json && node->key)
        wbuf_printf(w, "/%s", node->key);
    else if (is_json)
        wbuf_printf(w, "/%u", index_of(node));
    else if (node->key)
        wbuf_printf(w, "%s%s", node->parent->parent ? "." : "", node->key);
    else
        wbuf_printf(w, "[%u]", index_of(node));
}

const char *
conf_where(const struct conf_node *node, char *buf, size_t cap)
{
    struct wbuf w = wbuf_fixed(buf, cap);

    if (node->line)
        wbuf_printf(&w, "%s:%u%s", node->source, node->line, node->parent ? ": " : "");
    put_path(node, &w);
    if (!node->line && w.len == 0)
        wbuf_char(&w, '/');
    const char *text = wbuf_cstr(&w);
    if (text != buf && cap) /* too long for the buffer: the line alone must do */
        (void)snprintf(buf, cap, "%s:%u", node->source, node->line);
    return buf;
}

enum nx_err
conf_fail(const struct conf_node *node, struct nx_note *why, const char *fmt, ...)
{
    char where[160], text[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return nx_fail(why, NX_E_CONFIG, "%s: %s", conf_where(node, where, sizeof where), text);
}
