#include "gateway/learned.h"

#include "base/file.h"
#include "base/mem.h"
#include "obs/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static char path[] = "/tmp/nexus-learned-XXXXXX";

static int
setup(void **state)
{
    (void)state;
    log_set_level(NX_LOG_ERROR);
    loop = loop_fake_new();
    (void)snprintf(path, sizeof path, "/tmp/nexus-learned-XXXXXX");
    (void)close(mkstemp(path));
    (void)unlink(path);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    loop_free(&loop);
    (void)unlink(path);
    return 0;
}

static void
survives_a_restart(void **state)
{
    struct learned *l = learned_open(loop, path);

    (void)state;
    assert_null(learned_get(l, "d1"));
    learned_put(l, "d1", "hole 5");
    learned_put(l, "d2", "hole 6");
    learned_put(l, "d2", "");
    learned_close(&l);
    l = learned_open(loop, path);
    assert_string_equal(learned_get(l, "d1"), "hole 5");
    assert_null(learned_get(l, "d2"));
    learned_close(&l);
}

static void
is_written_while_it_runs(void **state)
{
    struct learned *l = learned_open(loop, path);
    char *text;
    size_t len;

    (void)state;
    learned_put(l, "d1", "a");
    loop_fake_advance_ms(loop, LEARNED_WRITE_MS);
    loop_fake_turn(loop);
    learned_put(l, "d1", "b");
    assert_int_equal(file_read(path, 1000, &text, &len, NULL), NX_OK);
    assert_string_equal(text, "{\"d1\":\"a\"}");
    free(text);
    loop_fake_advance_ms(loop, LEARNED_WRITE_MS);
    loop_fake_turn(loop);
    loop_fake_turn(loop);
    assert_int_equal(file_read(path, 1000, &text, &len, NULL), NX_OK);
    assert_string_equal(text, "{\"d1\":\"b\"}");
    free(text);
    learned_close(&l);
}

static void
a_damaged_file_is_ignored(void **state)
{
    struct learned *l;

    (void)state;
    assert_int_equal(file_write(path, slice_str("[1, 2"), 0600, NULL), NX_OK);
    l = learned_open(loop, path);
    assert_null(learned_get(l, "d1"));
    learned_put(l, "d1", "x");
    learned_close(&l);
    l = learned_open(loop, path);
    assert_string_equal(learned_get(l, "d1"), "x");
    learned_close(&l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(survives_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(is_written_while_it_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_ignored, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
