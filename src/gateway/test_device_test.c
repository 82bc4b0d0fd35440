/* test_device_test.c -- "test connection" against the fake driver: steps, causes, remedies. */
#include "gateway/fake_driver.h"
#include "gateway/test_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct {
    struct loop *loop;
    struct metrics *metrics;
    struct engine engine;
    json_t *result;
    unsigned results;
} t;

static bool
no_sample(void *arg, struct slot *slot, const struct sample *s)
{
    (void)arg;
    (void)slot;
    (void)s;
    fail_msg("a probe must not feed the UNS");
    return false;
}

static void
no_state(void *arg, struct nx_dev *dev)
{
    (void)arg;
    (void)dev;
    fail_msg("a probe has no status");
}

static void
no_idle(void *arg)
{
    (void)arg;
}

static int
setup(void **state)
{
    static const struct engine_ops ops = {.on_sample = no_sample, .on_state = no_state, .on_idle = no_idle};
    const struct engine_conf conf = {.worker_count = 4,
                                     .max_retries = 3,
                                     .connects_per_second = 100,
                                     .backoff_min_ms = 1000,
                                     .backoff_max_ms = 9999};

    (void)state;
    memset(&t, 0, sizeof t);
    fake_driver_state = (struct fake_driver_state){0};
    t.loop = loop_fake_new();
    t.metrics = metrics_new();
    engine_init(&t.engine, t.loop, &conf, &ops, NULL, t.metrics, 1);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    json_decref(t.result);
    loop_fake_turn(t.loop);
    loop_fake_turn(t.loop);
    assert_int_equal(t.engine.dev_count, 0); /* the probe has gone by itself */
    assert_int_equal(fake_driver_state.open_links, 0);
    engine_fini(&t.engine);
    loop_free(&t.loop);
    metrics_free(&t.metrics);
    return 0;
}

static void
on_done(void *arg, json_t *result)
{
    (void)arg;
    json_decref(t.result);
    t.result = result;
    t.results++;
}

static enum nx_err
begin(struct test_device **test, const char *text)
{
    const struct device_options opt = {.uns_root = "uns", .default_interval_ms = 1000, .drivers = fake_drivers};
    char json[1024];

    (void)snprintf(json, sizeof json, "%s", text);
    for (char *p = json; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    json_t *root = json_loads(json, 0, NULL);
    assert_non_null(root);
    enum nx_err err = test_device_start(test, &t.engine, &opt, root, on_done, NULL);
    json_decref(root);
    return err;
}

static void
run(const char *text)
{
    struct test_device *test;

    assert_int_equal(begin(&test, text), NX_OK);
    assert_int_equal(t.results, 0);
    loop_fake_advance_ms(t.loop, 16000);
    assert_int_equal(t.results, 1);
}

static const json_t *
step(const char *name)
{
    size_t i;
    json_t *s;

    json_array_foreach (json_object_get(t.result, "steps"), i, s)
        if (strcmp(json_string_value(json_object_get(s, "name")), name) == 0)
            return s;
    fail_msg("no step %s", name);
    return NULL;
}

static bool
is_ok(const char *name)
{
    return json_is_true(json_object_get(step(name), "ok"));
}

static const char *
text_of(const char *name, const char *key)
{
    const char *s = json_string_value(json_object_get(step(name), key));

    return s ? s : "";
}

static void
good_device_shows_its_values(void **state)
{
    (void)state;
    fake_driver_state.registers[3] = 77;
    run("{'protocol':'fake','tags':[{'id':'a','address':'3','data_type':'int16','unit':'bar'}]}");
    assert_true(json_is_true(json_object_get(t.result, "ok")));
    assert_true(is_ok("session"));
    assert_non_null(strstr(text_of("read", "detail"), "a = 77 bar"));
}

static void
wrong_setting_stops_at_the_first_step(void **state)
{
    (void)state;
    run("{'protocol':'fake','tgas':[]}");
    assert_false(is_ok("config"));
    assert_non_null(strstr(text_of("config", "detail"), "tags"));
    assert_true(text_of("config", "fix")[0] != '\0');
    assert_true(json_is_true(json_object_get(step("read"), "skipped")));
    assert_int_equal(fake_driver_state.opens, 0);
}

static void
refused_link_says_why(void **state)
{
    (void)state;
    fake_driver_state.refuses_link = true;
    run("{'protocol':'fake','tags':[]}");
    assert_false(json_is_true(json_object_get(t.result, "ok")));
    assert_true(json_is_true(json_object_get(step("session"), "skipped")));
    fake_driver_state.refuses_link = false;
}

static void
silent_device_ends_by_its_timeout(void **state)
{
    (void)state;
    fake_driver_state.hangs = true;
    run("{'protocol':'fake','connection':{'timeout':'500ms'},'tags':[{'id':'a','address':'3','data_type':'int16'}]}");
    assert_true(is_ok("session"));
    assert_false(is_ok("read"));
    assert_true(text_of("read", "fix")[0] != '\0');
}

static void
wrong_address_names_the_tag(void **state)
{
    (void)state;
    run("{'protocol':'fake','tags':[{'id':'a','address':'3','data_type':'int16'},"
        "{'id':'hole','address':'63','data_type':'int16'}]}");
    assert_false(is_ok("read"));
    assert_non_null(strstr(text_of("read", "detail"), "1 of 2"));
    assert_non_null(strstr(text_of("read", "detail"), "hole: "));
}

static void
cancelled_test_answers_nobody(void **state)
{
    struct test_device *test;

    (void)state;
    fake_driver_state.hangs = true;
    assert_int_equal(begin(&test, "{'protocol':'fake','tags':[{'id':'a','address':'3','data_type':'int16'}]}"), NX_OK);
    loop_fake_advance_ms(t.loop, 50);
    test_device_cancel(&test);
    loop_fake_advance_ms(t.loop, 20000);
    assert_int_equal(t.results, 0);
}

static void
tests_at_a_time_are_bounded(void **state)
{
    struct test_device *tests[9];
    unsigned busy = 0;

    (void)state;
    for (unsigned i = 0; i < 9; i++)
        busy += begin(&tests[i], "{'protocol':'fake','tags':[]}") == NX_E_BUSY;
    assert_int_equal(busy, 1);
    loop_fake_advance_ms(t.loop, 500);
    assert_int_equal(t.results, 8);
    assert_int_equal(begin(&tests[0], "{'protocol':'fake','tags':[]}"), NX_OK);
    loop_fake_advance_ms(t.loop, 500);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(good_device_shows_its_values), TEST(wrong_setting_stops_at_the_first_step),
        TEST(refused_link_says_why),        TEST(silent_device_ends_by_its_timeout),
        TEST(wrong_address_names_the_tag),  TEST(cancelled_test_answers_nobody),
        TEST(tests_at_a_time_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
