/* expr_scan.c -- which tags does a piece of Lua read? Tokens only; Lua itself checks the rest. */
#include "base/mem.h"
#include "base/num.h"
#include "base/wbuf.h"
#include "model/expr.h"

#include <ctype.h>
#include <string.h>

const char *const expr_builtins[] = {"math",   "string", "min",    "max",   "avg",      "clamp",    "iff",      "round",
                                     "abs",    "sqrt",   "floor",  "ceil",  "contains", "tonumber", "tostring", "type",
                                     "ipairs", "pairs",  "select", "error", "assert",   NULL};

static const char *const keywords[] = {"and",      "break",  "do",   "else", "elseif", "end",   "false", "for",
                                       "function", "goto",   "if",   "in",   "local",  "nil",   "not",   "or",
                                       "repeat",   "return", "then", "true", "until",  "while", NULL};

enum kind { END, NAME, STRING, NUMBER, OTHER };

struct token {
    enum kind kind;
    const char *at;
    size_t len;
};

struct scan {
    struct arena *a;
    const struct expr_names *names;
    const char *at;
    struct token before, now;
    struct wbuf body;
    const char *copied; /* the text up to here is in body */
    struct expr_ref refs[EXPR_REFS_MAX];
    unsigned ref_count;
    const char *locals[EXPR_REFS_MAX];
    unsigned local_count;
    enum { PLAIN, LIST, PARAMETERS } place; /* after local or for; in the head of a function */
    bool can_loop;
};

static bool
is_listed(const char *const *list, const char *name)
{
    while (*list && strcmp(*list, name) != 0)
        list++;
    return *list != NULL;
}

/* --- tokens --- */

static const char *
skip_quoted(const char *p)
{
    char quote = *p++;

    while (*p && *p != quote)
        p += p[0] == '\\' && p[1] ? 2 : 1;
    return *p ? p + 1 : p;
}

/* [[ ... ]] and [==[ ... ]==]; NULL when p begins no such thing. */
static const char *
skip_long(const char *p)
{
    size_t level = strspn(p + 1, "=");

    if (p[1 + level] != '[')
        return NULL;
    for (const char *q = strchr(p + 2 + level, ']'); q; q = strchr(q + 1, ']')) {
        if (strspn(q + 1, "=") == level && q[1 + level] == ']')
            return q + 2 + level;
    }
    return p + strlen(p);
}

static const char *
skip_blanks(const char *p)
{
    for (;;) {
        p += strspn(p, " \t\r\n\f\v");
        if (strncmp(p, "--", 2) != 0)
            return p;
        const char *end = p[2] == '[' ? skip_long(p + 2) : NULL;
        p = end ? end : p + strcspn(p, "\n");
    }
}

static struct token
token_at(const char *p)
{
    const char *end = p;
    enum kind kind = OTHER;

    if (*p == '\0')
        return (struct token){END, p, 0};
    if (isalpha((unsigned char)*p) || *p == '_') {
        for (kind = NAME; isalnum((unsigned char)*end) || *end == '_'; end++)
            ;
    } else if (isdigit((unsigned char)*p) || (*p == '.' && isdigit((unsigned char)p[1]))) {
        for (kind = NUMBER;
             isalnum((unsigned char)*end) || *end == '.' || (strchr("+-", *end) && *end && strchr("eEpP", end[-1]));
             end++)
            ;
    } else if (*p == '"' || *p == '\'') {
        kind = STRING;
        end = skip_quoted(p);
    } else if (*p == '[' && skip_long(p)) {
        kind = STRING;
        end = skip_long(p);
    } else {
        end += strncmp(p, "...", 3) == 0 ? 3 : strncmp(p, "..", 2) == 0 || strncmp(p, "==", 2) == 0 ? 2 : 1;
    }
    return (struct token){kind, p, (size_t)(end - p)};
}

static struct token
peek(const struct scan *s)
{
    return token_at(skip_blanks(s->at));
}

static void
next(struct scan *s)
{
    s->before = s->now;
    s->now = peek(s);
    s->at = s->now.at + s->now.len;
}

static bool
is_text(const struct token *t, const char *text)
{
    return t->len == strlen(text) && memcmp(t->at, text, t->len) == 0;
}

/* --- references --- */

/* Parameters of tag("x") are called __1, __2, ...: no tag is read by such a name alone. */
static bool
is_made_up(const char *name)
{
    return name[0] == '_' && name[1] == '_';
}

static enum nx_err
add_ref(struct scan *s, const char *device, const char *tag, bool is_name, const struct expr_ref **out,
        struct nx_note *why)
{
    for (unsigned i = 0; i < s->ref_count; i++) {
        const struct expr_ref *r = &s->refs[i];

        if (strcmp(r->tag, tag) == 0 && strcmp(r->device ? r->device : "", device ? device : "") == 0 &&
            is_name == !is_made_up(r->param)) {
            *out = r;
            return NX_OK;
        }
    }
    if (s->ref_count == EXPR_REFS_MAX)
        return nx_fail(why, NX_E_CONFIG, "an expression reads at most %u tags", EXPR_REFS_MAX);
    struct expr_ref *r = &s->refs[s->ref_count++];
    *r = (struct expr_ref){.device = device, .tag = tag};
    r->param = is_name ? tag : arena_printf(s->a, "__%u", s->ref_count);
    *out = r;
    return NX_OK;
}

/* tag("device/tag") or tag("tag"); the scanner stands on the name. */
static enum nx_err
read_call(struct scan *s, struct nx_note *why)
{
    static const char usage[] = "write tag(\"id\") or tag(\"device/id\") with the name in quotes";
    const char *begin = s->now.at, *device = NULL;
    const struct expr_ref *ref = NULL;

    next(s);
    next(s);
    if (s->now.kind != STRING || *s->now.at == '[' || s->now.len < 3 || memchr(s->now.at, '\\', s->now.len))
        return nx_fail(why, NX_E_CONFIG, "%s", usage);
    char *name = arena_strndup(s->a, s->now.at + 1, s->now.len - 2);
    next(s);
    if (!is_text(&s->now, ")"))
        return nx_fail(why, NX_E_CONFIG, "%s", usage);
    char *slash = strchr(name, '/');
    if (slash) {
        *slash = '\0';
        device = name;
        name = slash + 1;
    } else if (s->names->is_tag && !s->names->is_tag(s->names->arg, name)) {
        return nx_fail(why, NX_E_CONFIG, "the device has no tag '%s'; tags of others are tag(\"device/id\")", name);
    }
    enum nx_err err = add_ref(s, device, name, false, &ref, why);
    if (err != NX_OK)
        return err;
    wbuf_slice(&s->body, slice(s->copied, (size_t)(begin - s->copied)));
    wbuf_printf(&s->body, " %s ", ref->param);
    s->copied = s->at;
    return NX_OK;
}

static bool
is_local(const struct scan *s, const char *name)
{
    for (unsigned i = 0; i < s->local_count; i++) {
        if (strcmp(s->locals[i], name) == 0)
            return true;
    }
    return false;
}

static void
declare(struct scan *s, const char *name)
{
    if (s->local_count < EXPR_REFS_MAX && !is_local(s, name))
        s->locals[s->local_count++] = name;
}

static enum nx_err
unknown(const struct scan *s, const char *name, struct nx_note *why)
{
    const char *near = s->names->near ? s->names->near(s->names->arg, name) : NULL;

    if (near)
        return nx_fail(why, NX_E_CONFIG, "the expression uses '%s'. Did you mean '%s'?", name, near);
    return nx_fail(why, NX_E_CONFIG,
                   "the expression uses '%s', which is no tag of this device; tags of others are tag(\"device/id\")",
                   name);
}

static void
read_keyword(struct scan *s, const char *word)
{
    static const char *const loops[] = {"while", "repeat", "for", "goto", "function", NULL};

    s->can_loop |= is_listed(loops, word);
    if (strcmp(word, "local") == 0 || strcmp(word, "for") == 0)
        s->place = LIST;
    else if (strcmp(word, "function") == 0)
        s->place = PARAMETERS;
    else
        s->place = PLAIN;
}

static enum nx_err
read_name(struct scan *s, struct nx_note *why)
{
    const struct expr_ref *ref;
    const char *name = arena_strndup(s->a, s->now.at, s->now.len);
    struct token after = peek(s);

    if (is_text(&s->before, ".") || is_text(&s->before, ":"))
        return NX_OK;
    if (is_listed(keywords, name)) {
        read_keyword(s, name);
        return NX_OK;
    }
    if (s->place != PLAIN) {
        declare(s, name);
        return NX_OK;
    }
    if (strcmp(name, "tag") == 0 && is_text(&after, "("))
        return read_call(s, why);
    if (is_listed(expr_builtins, name) || is_local(s, name))
        return NX_OK;
    if (!is_made_up(name) && s->names->is_tag && s->names->is_tag(s->names->arg, name))
        return add_ref(s, NULL, name, true, &ref, why);
    if (is_text(&after, "=")) /* a key of a table */
        return NX_OK;
    return unknown(s, name, why);
}

static void
read_other(struct scan *s)
{
    bool goes_on = is_text(&s->now, ",") || is_text(&s->now, "<") || is_text(&s->now, ">");

    if ((s->place == LIST && !goes_on) || (s->place == PARAMETERS && is_text(&s->now, ")")))
        s->place = PLAIN;
}

static const char *
head_of(const struct scan *s)
{
    struct wbuf w = wbuf_init(0);

    for (unsigned i = 0; i < s->ref_count; i++)
        wbuf_printf(&w, "%s%s", i ? "," : "local ", s->refs[i].param);
    if (s->ref_count)
        wbuf_str(&w, "=... ");
    const char *head = arena_strdup(s->a, wbuf_cstr(&w));
    wbuf_free(&w);
    return head;
}

static void
finish(struct scan *s, struct expr_text *out)
{
    struct expr_ref *refs = arena_alloc(s->a, (s->ref_count + 1) * sizeof *refs);

    memcpy(refs, s->refs, s->ref_count * sizeof *refs);
    wbuf_str(&s->body, s->copied);
    *out = (struct expr_text){.head = head_of(s),
                              .body = arena_strdup(s->a, wbuf_cstr(&s->body)),
                              .refs = refs,
                              .ref_count = s->ref_count,
                              .can_loop = s->can_loop};
}

enum nx_err
expr_scan(struct arena *a, const char *text, const struct expr_names *names, struct expr_text *out, struct nx_note *why)
{
    struct scan s = {.a = a, .names = names, .at = text, .copied = text, .body = wbuf_init(0)};
    enum nx_err err = NX_OK;

    if (strlen(text) > EXPR_TEXT_MAX)
        err = nx_fail(why, NX_E_CONFIG, "an expression has at most %u characters", EXPR_TEXT_MAX);
    else if (*skip_blanks(text) == '\0')
        err = nx_fail(why, NX_E_CONFIG, "the expression is empty");
    for (bool is_end = err != NX_OK; !is_end && err == NX_OK; is_end = s.now.kind == END) {
        next(&s);
        if (s.now.kind == NAME)
            err = read_name(&s, why);
        else
            read_other(&s);
    }
    if (err == NX_OK)
        finish(&s, out);
    wbuf_free(&s.body);
    return err;
}
