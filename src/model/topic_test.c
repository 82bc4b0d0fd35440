#include "model/topic.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct row {
    const char *root, *prefix, *suffix, *want; /* NULL: refused */
    const char *word;                          /* in the note of a refusal */
};

static const struct row rows[] = {
    {"uns", "plant/line1", "temp", "uns/plant/line1/temp", NULL},
    {"uns", "uns/plant", "temp", "uns/plant/temp", NULL},
    {"uns", "unsafe/plant", "temp", "uns/unsafe/plant/temp", NULL},
    {"uns", "uns", "temp", "uns/temp", NULL},
    {"", "dev/a", "b/c", "dev/a/b/c", NULL},
    {NULL, NULL, "b", "b", NULL},
    {"uns/", "/plant/", "/temp/", "uns/plant/temp", NULL},
    {"uns", "", "temp", "uns/temp", NULL},
    {"uns", "werk/käse", "wärme", "uns/werk/käse/wärme", NULL},
    {"uns", "a b", "c", "uns/a b/c", NULL},
    {"uns", "plant", "", NULL, "topic_suffix"},
    {"uns", "plant", NULL, NULL, "topic_suffix"},
    {"uns", "/", "temp", NULL, "uns_prefix"},
    {"uns", "plant//line", "temp", NULL, "empty level"},
    {"uns", "//plant", "temp", NULL, "empty level"},
    {"uns", "plant", "temp//", NULL, "empty level"},
    {"uns", "pl+nt", "temp", NULL, "wildcard"},
    {"uns", "plant", "#", NULL, "wildcard"},
    {"uns", "plant\n", "temp", NULL, "control"},
    {"uns", "pl\xff", "temp", NULL, "UTF-8"},
    {"", "$SYS", "temp", NULL, "'$'"},
};

static void
builds_or_names_the_fault(void **state)
{
    char out[TOPIC_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nx_note why = {0};
        enum nx_err err = topic_build(rows[i].root, rows[i].prefix, rows[i].suffix, out, sizeof out, &why);

        if (rows[i].want) {
            assert_int_equal(err, NX_OK);
            assert_string_equal(out, rows[i].want);
        } else {
            assert_int_equal(err, NX_E_CONFIG);
            assert_non_null(strstr(why.text, rows[i].word));
        }
    }
}

static void
length_is_bounded(void **state)
{
    char suffix[TOPIC_MAX + 2], out[2 * TOPIC_MAX];

    (void)state;
    memset(suffix, 'x', sizeof suffix);
    suffix[TOPIC_MAX] = '\0';
    assert_int_equal(topic_build(NULL, NULL, suffix, out, sizeof out, NULL), NX_OK);
    assert_int_equal(topic_build("u", NULL, suffix, out, sizeof out, NULL), NX_E_CONFIG);
    for (size_t cap = 1; cap < 8; cap++) {
        memset(out, 'z', sizeof out);
        assert_int_equal(topic_build("u", "abc", "de", out, cap, NULL), NX_E_CONFIG);
        assert_int_equal(out[cap], 'z');
    }
    assert_int_equal(topic_build("u", "abc", "de", out, 9, NULL), NX_OK);
    assert_string_equal(out, "u/abc/de");
}

static void
level_from_any_text(void **state)
{
    char out[16];

    (void)state;
    topic_level_from_text("a/b+c#d\n\xff", out, sizeof out);
    assert_string_equal(out, "a_b_c_d__");
    topic_level_from_text("$x$", out, sizeof out);
    assert_string_equal(out, "_x$");
    topic_level_from_text("", out, sizeof out);
    assert_string_equal(out, "_");
    topic_level_from_text("abcdefgäöü", out, 9);
    assert_string_equal(out, "abcdefg");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_or_names_the_fault),
        cmocka_unit_test(length_is_bounded),
        cmocka_unit_test(level_from_any_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
