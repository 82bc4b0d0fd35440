/* expr.h -- expressions over tags: Lua 5.4 in a box that can neither reach out nor run on.
 *
 * An expression is one Lua expression ("flow * density / 3.6") or a piece of Lua with `return`. The names in it are
 * found at load by reading its tokens; tag("device/tag") names what is no Lua name. In the box are math, a few
 * functions on texts, and min max avg clamp iff round abs sqrt floor ceil contains; no files, no load, no metatables,
 * no pcall, no patterns, no text longer than memory allows. Bounds for each evaluation: EXPR_STEPS_MAX instructions,
 * EXPR_GROWTH_MAX bytes more than before, EXPR_TRAFFIC_MAX bytes allocated in all. A box belongs to one thread. */
#ifndef MODEL_EXPR_H
#define MODEL_EXPR_H

#include "base/arena.h"
#include "nexus/err.h"
#include "nexus/value.h"

#define EXPR_TEXT_MAX    4096u
#define EXPR_REFS_MAX    100u
#define EXPR_STEPS_MAX   100000
#define EXPR_GROWTH_MAX  (256u << 10)
#define EXPR_TRAFFIC_MAX (4u << 20)

/* A tag that an expression reads. */
struct expr_ref {
    const char *device; /* NULL: of the same device */
    const char *tag;
    const char *param; /* its name in the Lua text */
};

/* What was found in the text of an expression. */
struct expr_text {
    const char *head, *body; /* Lua: "local a,_2=... " and the text with tag("x") replaced */
    const struct expr_ref *refs;
    unsigned ref_count;
    bool can_loop; /* else nothing needs to count its steps */
};

/* Which names the text may use beside those of the box. */
struct expr_names {
    bool (*is_tag)(void *arg, const char *name);
    const char *(*near)(void *arg, const char *name); /* a name that was meant, or NULL */
    void *arg;
};

/* Reads the names out of text. NX_E_CONFIG names an unknown one and the near miss. Pure; out lives in a. */
NX_MUST_CHECK enum nx_err expr_scan(struct arena *a, const char *text, const struct expr_names *names,
                                    struct expr_text *out, struct nx_note *why);

struct expr_box;
struct expr_box *expr_box_new(void);
void expr_box_free(struct expr_box **box);

/* Compiles once; *ref is the handle for expr_eval(). NX_E_CONFIG with the message of Lua. */
NX_MUST_CHECK enum nx_err expr_compile(struct expr_box *box, const struct expr_text *t, int *ref, struct nx_note *why);
void expr_drop(struct expr_box *box, int ref);
/* args in the order of refs. A text in *out is borrowed until the next call on the box. NX_E_VALUE: Lua's message, no
 * result (nil), or one that is no value; NX_E_TOO_LARGE: a bound was met. */
NX_MUST_CHECK enum nx_err expr_eval(struct expr_box *box, int ref, const struct expr_text *t,
                                    const struct nx_value *args, struct nx_value *out, struct nx_note *why);
/* Bytes that the box holds. */
size_t expr_box_size(const struct expr_box *box);

/* Names that the box itself knows; ends with NULL. */
extern const char *const expr_builtins[];

#endif
