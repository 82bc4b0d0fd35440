#include "model/expr.h"

#include "base/mem.h"
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;
static const char *const tags[] = {"flow", "density", "mode", "text", "a", "b", "max"};

static bool
is_tag(void *arg, const char *name)
{
    (void)arg;
    for (size_t i = 0; i < MEM_COUNT(tags); i++) {
        if (strcmp(tags[i], name) == 0)
            return true;
    }
    return false;
}

static const char *
near(void *arg, const char *name)
{
    (void)arg;
    return num_near_miss(name, tags, MEM_COUNT(tags));
}

static const struct expr_names names = {is_tag, near, NULL};

static int
cleanup(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static enum nx_err
eval(const char *text, const struct nx_value *args, struct expr_box *box, struct nx_value *out, struct nx_note *why)
{
    struct expr_text t;
    int ref;
    enum nx_err err = expr_scan(&arena, text, &names, &t, why);

    if (err == NX_OK && (err = expr_compile(box, &t, &ref, why)) == NX_OK) {
        err = expr_eval(box, ref, &t, args, out, why);
        expr_drop(box, ref);
    }
    return err;
}

static void
names_are_found(void **state)
{
    static const struct {
        const char *text, *refs;
    } rows[] = {
        {"flow * density", "flow density "},
        {"tag(\"flow\") + tag('p.1/x-y') + tag('p.1/x-y')", "flow p.1/x-y "},
        {"math.max(flow, 3) -- density\n + 1e5", "flow "},
        {"'density' .. text", "text "},
        {"flow.density", "flow "},
        {"[[density]] .. text .. 'x\\'flow'", "text "},
        {"local x <const>, y = flow, 2; return x + y", "flow "},
        {"local function f(q) return q * 2 end return f(a)", "a "},
        {"for i = 1, a do b = i end return 1", "a b "},
        {"local t = {x = a}; return t.x", "a "},
        {"max(a, 1) + tag(\"max\")", "a max "},
        {"a..b", "a b "},
        {"2", ""},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct expr_text t;
        struct nx_note why = {0};
        char got[256] = "";

        if (expr_scan(&arena, rows[i].text, &names, &t, &why) != NX_OK)
            fail_msg("%s: %s", rows[i].text, why.text);
        for (unsigned k = 0; k < t.ref_count; k++) {
            if (t.refs[k].device)
                strcat(strcat(got, t.refs[k].device), "/");
            strcat(strcat(got, t.refs[k].tag), " ");
        }
        assert_string_equal(got, rows[i].refs);
    }
}

static void
mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"flwo * 2", "Did you mean 'flow'"},
        {"zzzzzzzz", "no tag of this device"},
        {"tag(flow)", "in quotes"},
        {"tag('flwo')", "no tag 'flwo'"},
        {"", "empty"},
        {" -- nothing", "empty"},
        {"flow *", "near <eof>"},
        {"flow +* 2", "near '*'"},
        {"os.exit()", "'os'"},
        {"load('x')", "'load'"},
        {"_G", "'_G'"},
    };
    struct expr_box *box = expr_box_new();

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct nx_note why = {0};
        struct nx_value v;

        assert_int_equal(eval(rows[i].text, NULL, box, &v, &why), NX_E_CONFIG);
        if (!strstr(why.text, rows[i].word))
            fail_msg("%s: %s", rows[i].text, why.text);
    }
    expr_box_free(&box);
}

static void
values_come_out(void **state)
{
    const struct nx_value args[] = {nx_value_double(2.5), nx_value_int(4)};
    const struct nx_value text[] = {nx_value_string("ab", 2)};
    static const struct {
        const char *text;
        double want;
    } rows[] = {
        {"a * b", 10},
        {"avg(a, b, 1)", 2.5},
        {"clamp(a, 0, 1) + b * 0", 1},
        {"iff(a > b, 1, 2)", 2},
        {"round(a * b / 3, 2)", 3.33},
        {"min(a, b) + max(a, b) + abs(-1) + floor(1.5) + ceil(1.5) + sqrt(4)", 12.5},
        {"local s = a; for i = 2, b do s = s + a end return s", 10},
        {"math.pi * 0 + a + b * 0", 2.5},
        {"a and b", 4},
        {"iff('return' == 'x', a, b)", 4},
        {"local __1 = b; return tag('a') + __1", 6.5},
    };
    struct expr_box *box = expr_box_new();
    struct nx_value v;
    double d = 0;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct nx_note why = {0};

        if (eval(rows[i].text, args, box, &v, &why) != NX_OK)
            fail_msg("%s: %s", rows[i].text, why.text);
        d = v.type == NX_TYPE_INT ? (double)v.i : v.d;
        if (d != rows[i].want)
            fail_msg("%s is %g", rows[i].text, d);
    }
    assert_int_equal(eval("text:upper() .. string.format('%02d', 7)", text, box, &v, NULL), NX_OK);
    assert_memory_equal(v.s, "AB07", v.len);
    assert_int_equal(eval("contains(text, 'b')", text, box, &v, NULL), NX_OK);
    assert_true(v.type == NX_TYPE_BOOL && v.b);
    expr_box_free(&box);
}

/* Whatever a person writes: it ends, it stays small, and it changes nothing for the next one. */
static void
the_box_holds(void **state)
{
    static const struct {
        const char *text, *word;
        enum nx_err err;
    } rows[] = {
        {"while true do end return 1", "steps", NX_E_TOO_LARGE},
        {"::x:: goto x", "steps", NX_E_CONFIG}, /* x is no tag: goto is not for formulas */
        {"local function f() return f() end return f()", "steps", NX_E_TOO_LARGE},
        {"local function f() return 1 + f() end return f()", "memory", NX_E_TOO_LARGE},
        {"local s = 'xxxxxxxx' for i = 1, 60 do s = s .. s end return s", "memory", NX_E_TOO_LARGE},
        {"local t = {} for i = 1, 99999 do t[i] = i end return 1", "memory", NX_E_TOO_LARGE},
        {"('x'):rep(1e9)", "nil value", NX_E_VALUE},
        {"('x'):find('x')", "nil value", NX_E_VALUE},
        {"math.pi == 3 or error('no')", "no", NX_E_VALUE},
        {"nil", "no result", NX_E_VALUE},
        {"{}", "a table", NX_E_VALUE},
        {"0/0", "finite", NX_E_VALUE},
        {"1/0", "finite", NX_E_VALUE},
        {"a + 1", "arithmetic", NX_E_VALUE},
        {"math.pi = 3 return 1", "cannot be set", NX_E_VALUE},
        {"string.len = 3 return 1", "cannot be set", NX_E_VALUE},
        {"a = 3 x = a return 1", "cannot be set", NX_E_VALUE},
        {"error({})", "without a text", NX_E_VALUE},
    };
    const struct nx_value none[8] = {{.type = NX_TYPE_NONE}};
    struct expr_box *box = expr_box_new();
    struct nx_value v;

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct nx_note why = {0};
        enum nx_err err = eval(rows[i].text, none, box, &v, &why);

        if (err != rows[i].err || (err != NX_E_CONFIG && !strstr(why.text, rows[i].word)))
            fail_msg("%s: %s", rows[i].text, why.text);
        assert_int_equal(eval("math.floor(3.5) + ('ab'):len()", none, box, &v, NULL), NX_OK);
        assert_int_equal(v.i, 5);
    }
    assert_true(expr_box_size(box) < 1u << 20);
    expr_box_free(&box);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(names_are_found, cleanup),
        cmocka_unit_test_teardown(mistakes_are_named, cleanup),
        cmocka_unit_test_teardown(values_come_out, cleanup),
        cmocka_unit_test_teardown(the_box_holds, cleanup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
