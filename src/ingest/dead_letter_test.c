#include "ingest/dead_letter.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)

static char dir[64], old_path[96];
static struct dead_letter dead;

static int
setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/nexus-dead-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(old_path, sizeof old_path, "%s/dead-letter.jsonl.1", dir);
    dead_letter_init(&dead, dir);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    (void)unlink(dead.path);
    (void)unlink(old_path);
    dead_letter_fini(&dead);
    return rmdir(dir);
}

static const char *
member(const json_t *list, size_t i, const char *name)
{
    return json_string_value(json_object_get(json_array_get(list, i), name));
}

static void
newest_come_first(void **state)
{
    json_t *list = dead_letter_list(dead.path, 10);

    (void)state;
    assert_int_equal(0, json_array_size(list));
    json_decref(list);
    assert_true(dead_letter_put(&dead, 1 * SECOND, slice_str("uns/a"), slice_str("\x01\n\""), "first \"reason\""));
    assert_true(dead_letter_put(&dead, 2 * SECOND, slice_str("uns/b"), slice(NULL, 0), "second"));
    list = dead_letter_list(dead.path, 10);
    assert_int_equal(2, json_array_size(list));
    assert_string_equal("second", member(list, 0, "reason"));
    assert_string_equal("", member(list, 0, "payload"));
    assert_string_equal("uns/a", member(list, 1, "topic"));
    assert_string_equal("first \"reason\"", member(list, 1, "reason"));
    assert_string_equal("AQoi", member(list, 1, "payload"));
    assert_string_equal("1970-01-01T00:00:01Z", member(list, 1, "time"));
    json_decref(list);
    list = dead_letter_list(dead.path, 1);
    assert_int_equal(1, json_array_size(list));
    assert_string_equal("second", member(list, 0, "reason"));
    json_decref(list);
}

static void
flood_is_sampled(void **state)
{
    unsigned kept = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        kept += dead_letter_put(&dead, 5 * SECOND + i, slice_str("uns/a"), slice_str("x"), "r");
    assert_int_equal(20, kept);
    assert_true(dead.seen == 100 && dead.kept == 20);
    assert_true(dead_letter_put(&dead, 6 * SECOND, slice_str("uns/a"), slice_str("x"), "r"));
}

/* What was cut off by a kill, or is being written just now, hides nothing else. */
static void
damaged_lines_are_left_out(void **state)
{
    json_t *list;
    FILE *file;

    (void)state;
    assert_true(dead_letter_put(&dead, 1 * SECOND, slice_str("uns/a"), slice_str("x"), "one"));
    file = fopen(dead.path, "a");
    assert_non_null(file);
    assert_true(fputs("{\"time\":\"x\",\"reas\n\n[1]\n", file) >= 0);
    assert_int_equal(0, fclose(file));
    assert_true(dead_letter_put(&dead, 2 * SECOND, slice_str("uns/a"), slice_str("x"), "two"));
    file = fopen(dead.path, "a");
    assert_true(fputs("{\"time\":\"x\",\"reason\":\"cut", file) >= 0);
    assert_int_equal(0, fclose(file));
    list = dead_letter_list(dead.path, 10);
    assert_int_equal(2, json_array_size(list));
    assert_string_equal("two", member(list, 0, "reason"));
    assert_string_equal("one", member(list, 1, "reason"));
    json_decref(list);
}

static void
files_are_bounded_and_read_across(void **state)
{
    static char payload[3072];
    struct stat sb;
    char reason[16];
    unsigned n = 4000;
    json_t *list;

    (void)state;
    memset(payload, 'x', sizeof payload);
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(reason, sizeof reason, "%u", i);
        assert_true(dead_letter_put(&dead, i * SECOND, slice_str("uns/a"), slice(payload, sizeof payload), reason));
    }
    assert_int_equal(0, stat(dead.path, &sb));
    assert_true(sb.st_size <= (8 << 20) + 8192);
    assert_int_equal(0, stat(old_path, &sb));
    assert_true(sb.st_size <= (8 << 20) + 8192);
    list = dead_letter_list(dead.path, 3000);
    assert_true(json_array_size(list) > 2000); /* more than one file holds */
    for (size_t i = 0; i < json_array_size(list); i++)
        assert_int_equal(n - 1 - i, atoi(member(list, i, "reason")));
    json_decref(list);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(newest_come_first, setup, teardown),
        cmocka_unit_test_setup_teardown(flood_is_sampled, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_lines_are_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(files_are_bounded_and_read_across, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
