/* expr.c -- the box: a Lua state with an allocator that counts and a hook that stops. */
#include "model/expr.h"

#include "base/mem.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct expr_box {
    lua_State *lua;
    size_t used;
    size_t limit;   /* of used; 0: none, and running out of memory stops the process */
    size_t traffic; /* still to be allocated while there is a limit */
};

/* --- memory --- */

static void *
allocate(void *arg, void *old, size_t old_size, size_t size)
{
    struct expr_box *box = arg;
    size_t before = old ? old_size : 0;

    if (size == 0) {
        box->used -= before;
        free(old);
        return NULL;
    }
    if (box->limit && size > before) {
        if (box->used - before + size > box->limit || size > box->traffic)
            return NULL;
        box->traffic -= size;
    }
    void *p = realloc(old, size);
    if (!p && !box->limit)
        abort();
    if (p)
        box->used += size - before;
    return p;
}

static void
set_limit(struct expr_box *box, bool is_on)
{
    box->limit = is_on ? box->used + EXPR_GROWTH_MAX : 0;
    box->traffic = EXPR_TRAFFIC_MAX;
}

/* --- what is in the box --- */

static int
fn_avg(lua_State *l)
{
    int n = lua_gettop(l);
    lua_Number sum = 0;

    luaL_argcheck(l, n > 0, 1, "avg needs a number");
    for (int i = 1; i <= n; i++)
        sum += luaL_checknumber(l, i);
    lua_pushnumber(l, sum / n);
    return 1;
}

static int
fn_clamp(lua_State *l)
{
    lua_Number v = luaL_checknumber(l, 1), low = luaL_checknumber(l, 2), high = luaL_checknumber(l, 3);

    lua_pushvalue(l, v < low ? 2 : v > high ? 3 : 1);
    return 1;
}

static int
fn_iff(lua_State *l)
{
    luaL_checkany(l, 2);
    lua_settop(l, 3);
    lua_pushvalue(l, lua_toboolean(l, 1) ? 2 : 3);
    return 1;
}

static int
fn_round(lua_State *l)
{
    lua_Number v = luaL_checknumber(l, 1), shift = pow(10, (lua_Number)luaL_optinteger(l, 2, 0));

    lua_pushnumber(l, round(v * shift) / shift);
    return 1;
}

static int
fn_contains(lua_State *l)
{
    size_t len, part_len;
    const char *text = luaL_checklstring(l, 1, &len), *part = luaL_checklstring(l, 2, &part_len);

    lua_pushboolean(l, memmem(text, len, part, part_len) != NULL);
    return 1;
}

static int
refuse_to_change(lua_State *l)
{
    return luaL_error(l, "'%s' cannot be set; write local %s = ...", luaL_tolstring(l, 2, NULL),
                      luaL_tolstring(l, 2, NULL));
}

/* Copies members of the table at `from` into the table below the top... from one library to another. */
static void
copy_members(lua_State *l, int from, int to, const char *const *names)
{
    from = lua_absindex(l, from);
    to = lua_absindex(l, to);
    for (; *names; names++) {
        lua_getfield(l, from, *names);
        lua_setfield(l, to, *names);
    }
}

/* Replaces the table on top by an empty one that shows its members and cannot be changed. */
static void
freeze(lua_State *l)
{
    lua_newtable(l); /* what is shown */
    lua_newtable(l); /* its metatable */
    lua_pushvalue(l, -3);
    lua_setfield(l, -2, "__index");
    lua_pushcfunction(l, refuse_to_change);
    lua_setfield(l, -2, "__newindex");
    lua_setmetatable(l, -2);
    lua_remove(l, -2);
}

static void
add_math(lua_State *l, int lib)
{
    static const char *const kept[] = {"abs", "acos",       "asin", "atan", "ceil", "cos", "deg",
                                       "exp", "floor",      "fmod", "huge", "log",  "max", "maxinteger",
                                       "min", "mininteger", "modf", "pi",   "rad",  "sin", "sqrt",
                                       "tan", "tointeger",  "type", "ult",  NULL};
    static const char *const short_names[] = {"min", "max", "abs", "sqrt", "floor", "ceil", NULL};

    luaL_requiref(l, LUA_MATHLIBNAME, luaopen_math, 0);
    lua_newtable(l);
    copy_members(l, -2, -1, kept);
    copy_members(l, -1, lib, short_names);
    freeze(l);
    lua_setfield(l, lib, "math");
    lua_pop(l, 1);
}

/* No rep, no patterns: C functions whose time no hook can bound. Methods of texts see the same few. */
static void
add_string(lua_State *l, int lib)
{
    static const char *const kept[] = {"byte", "char", "format", "len", "lower", "reverse", "sub", "upper", NULL};

    luaL_requiref(l, LUA_STRLIBNAME, luaopen_string, 0);
    lua_newtable(l);
    copy_members(l, -2, -1, kept);
    freeze(l);
    lua_pushliteral(l, "");
    lua_getmetatable(l, -1);
    lua_pushvalue(l, -3);
    lua_setfield(l, -2, "__index");
    lua_pop(l, 2);
    lua_setfield(l, lib, "string");
    lua_pop(l, 1);
}

static void
add_base(lua_State *l, int lib)
{
    static const char *const kept[] = {"tonumber", "tostring", "type",   "ipairs", "pairs",
                                       "select",   "error",    "assert", NULL};
    static const luaL_Reg own[] = {{"avg", fn_avg},     {"clamp", fn_clamp},       {"iff", fn_iff},
                                   {"round", fn_round}, {"contains", fn_contains}, {NULL, NULL}};

    luaL_requiref(l, LUA_GNAME, luaopen_base, 0);
    copy_members(l, -1, lib, kept);
    lua_pop(l, 1);
    for (const luaL_Reg *f = own; f->name; f++) {
        lua_pushcfunction(l, f->func);
        lua_setfield(l, lib, f->name);
    }
}

static const char box_key = 'b';

struct expr_box *
expr_box_new(void)
{
    struct expr_box *box = mem_alloc(sizeof *box);
    lua_State *l = box->lua = lua_newstate(allocate, box);

    if (!l)
        abort(); /* without a limit that is no memory at all */
    lua_newtable(l);
    add_base(l, 1);
    add_math(l, 1);
    add_string(l, 1);
    freeze(l);
    lua_rawsetp(l, LUA_REGISTRYINDEX, &box_key);
    return box;
}

void
expr_box_free(struct expr_box **box)
{
    if (*box) {
        set_limit(*box, false);
        lua_close((*box)->lua);
        free(*box);
    }
    *box = NULL;
}

size_t
expr_box_size(const struct expr_box *box)
{
    return box->used;
}

/* --- compiling --- */

static enum nx_err
lua_message(lua_State *l, int status, struct nx_note *why)
{
    const char *text = lua_type(l, -1) == LUA_TSTRING ? lua_tostring(l, -1) : "an error without a text";
    const char *place = "expression:1: ";

    if (status == LUA_ERRMEM)
        return nx_fail(why, NX_E_TOO_LARGE, "the expression needs more than %u KiB of memory", EXPR_GROWTH_MAX >> 10);
    if (strncmp(text, place, strlen(place)) == 0)
        text += strlen(place);
    if (strncmp(text, "too slow", 8) == 0)
        return nx_fail(why, NX_E_TOO_LARGE, "the expression takes more than %d steps", EXPR_STEPS_MAX);
    return nx_fail(why, NX_E_VALUE, "%.160s", text);
}

/* Leaves the function or the message on the stack. */
static int
load(struct expr_box *box, const char *head, const char *word, const char *body)
{
    char *text = mem_printf("%s%s%s\n", head, word, body);

    set_limit(box, true);
    int status = luaL_loadbufferx(box->lua, text, strlen(text), "=expression", "t");
    set_limit(box, false);
    free(text);
    return status;
}

enum nx_err
expr_compile(struct expr_box *box, const struct expr_text *t, int *ref, struct nx_note *why)
{
    lua_State *l = box->lua;
    lua_settop(l, 0);
    int status = load(box, t->head, "return ", t->body);
    if (status != LUA_OK && strstr(t->body, "return")) /* statements */
        status = load(box, t->head, "", t->body);
    if (status != LUA_OK) {
        (void)lua_message(l, status, why);
        if (why)
            why->err = NX_E_CONFIG;
        return NX_E_CONFIG;
    }
    lua_rawgetp(l, LUA_REGISTRYINDEX, &box_key);
    if (!lua_setupvalue(l, -2, 1)) /* a text without names has no _ENV */
        lua_pop(l, 1);
    *ref = luaL_ref(l, LUA_REGISTRYINDEX);
    return NX_OK;
}

void
expr_drop(struct expr_box *box, int ref)
{
    luaL_unref(box->lua, LUA_REGISTRYINDEX, ref);
}

/* --- evaluating --- */

static void
stop(lua_State *l, lua_Debug *d)
{
    (void)d;
    luaL_error(l, "too slow");
}

static void
push(lua_State *l, const struct nx_value *v)
{
    switch (v->type) {
    case NX_TYPE_NONE:
        lua_pushnil(l);
        break;
    case NX_TYPE_BOOL:
        lua_pushboolean(l, v->b);
        break;
    case NX_TYPE_INT:
        lua_pushinteger(l, v->i);
        break;
    case NX_TYPE_UINT:
        if (v->u <= INT64_MAX)
            lua_pushinteger(l, (lua_Integer)v->u);
        else
            lua_pushnumber(l, (lua_Number)v->u);
        break;
    case NX_TYPE_DOUBLE:
        lua_pushnumber(l, v->d);
        break;
    case NX_TYPE_STRING:
        lua_pushlstring(l, v->s, v->len);
        break;
    }
}

static enum nx_err
take_text(lua_State *l, struct nx_value *out, struct nx_note *why)
{
    size_t len;
    const char *s = lua_tolstring(l, -1, &len);

    if (len > NX_STRING_MAX)
        return nx_fail(why, NX_E_TOO_LARGE, "the text is longer than %d bytes", NX_STRING_MAX);
    *out = nx_value_string(s, len);
    return NX_OK;
}

static enum nx_err
take_result(lua_State *l, struct nx_value *out, struct nx_note *why)
{
    switch (lua_type(l, -1)) {
    case LUA_TBOOLEAN:
        *out = nx_value_bool(lua_toboolean(l, -1));
        return NX_OK;
    case LUA_TNUMBER:
        *out = lua_isinteger(l, -1) ? nx_value_int(lua_tointeger(l, -1)) : nx_value_double(lua_tonumber(l, -1));
        if (out->type == NX_TYPE_INT || isfinite(out->d))
            return NX_OK;
        return nx_fail(why, NX_E_VALUE, "the result is no finite number");
    case LUA_TSTRING:
        return take_text(l, out, why);
    case LUA_TNIL:
        return nx_fail(why, NX_E_VALUE, "the expression has no result");
    default:
        return nx_fail(why, NX_E_VALUE, "the result is a %s", luaL_typename(l, -1));
    }
}

enum nx_err
expr_eval(struct expr_box *box, int ref, const struct expr_text *t, const struct nx_value *args, struct nx_value *out,
          struct nx_note *why)
{
    lua_State *l = box->lua;

    *out = nx_value_none();
    lua_settop(l, 0);
    (void)lua_checkstack(l, (int)t->ref_count + 8);
    lua_rawgeti(l, LUA_REGISTRYINDEX, ref);
    for (unsigned i = 0; i < t->ref_count; i++)
        push(l, &args[i]);
    if (t->can_loop)
        lua_sethook(l, stop, LUA_MASKCOUNT, EXPR_STEPS_MAX);
    set_limit(box, true);
    int status = lua_pcall(l, (int)t->ref_count, 1, 0);
    set_limit(box, false);
    if (t->can_loop)
        lua_sethook(l, NULL, 0, 0);
    return status == LUA_OK ? take_result(l, out, why) : lua_message(l, status, why);
}
