/* registry_test.c -- devices by file and by message: differences only, bad ones refused, the rest goes on. */
#include "gateway/config_sync.h"
#include "gateway/fake_driver.h"
#include "gateway/fake_outlet.h"
#include "gateway/registry.h"

#include "base/file.h"
#include "base/test_dir.h"

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
    struct registry registry;
    struct config_sync *sync;
    struct fake_outlet broker;
    struct config_sync_conf conf;
    unsigned leaves, changes, removed;
    char dir[64], path[128], cache[128];
} t;

static bool
on_sample(void *arg, struct slot *slot, const struct sample *s)
{
    (void)arg;
    (void)slot;
    (void)s;
    return false;
}

static void
on_state(void *arg, struct nx_dev *dev)
{
    (void)arg;
    (void)dev;
}

static void
on_idle(void *arg)
{
    (void)arg;
}

static void
on_leave(void *arg, struct nx_dev *dev)
{
    (void)arg;
    (void)dev;
    t.leaves++;
}

static void
on_change(void *arg, struct registry_entry *e)
{
    (void)arg;
    (void)e;
    t.changes++;
}

static void
on_removed(void *arg, struct registry_entry *e, bool is_moved)
{
    (void)arg;
    (void)e;
    (void)is_moved;
    t.removed++;
}

static int
setup(void **state)
{
    static const struct engine_ops ops = {.on_sample = on_sample, .on_state = on_state, .on_idle = on_idle};
    static const struct registry_ops registry_ops = {.on_leave = on_leave,
                                                     .on_change = on_change,
                                                     .on_removed = on_removed};
    const struct engine_conf conf = {.worker_count = 4,
                                     .max_retries = 3,
                                     .connects_per_second = 100,
                                     .backoff_min_ms = 1000,
                                     .backoff_max_ms = 9999};
    const struct device_options opt = {.uns_root = "uns", .default_interval_ms = 1000, .drivers = fake_drivers};

    (void)state;
    log_set_level((enum nx_log_level) - 1);
    memset(&t, 0, sizeof t);
    fake_driver_state = (struct fake_driver_state){0};
    (void)snprintf(t.dir, sizeof t.dir, "/tmp/registry_test.XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    (void)snprintf(t.path, sizeof t.path, "%s/devices.yaml", t.dir);
    (void)snprintf(t.cache, sizeof t.cache, "%s/cache.json", t.dir);
    t.loop = loop_fake_new();
    t.metrics = metrics_new();
    engine_init(&t.engine, t.loop, &conf, &ops, NULL, t.metrics, 1);
    registry_init(&t.registry, &t.engine, &opt, &registry_ops, NULL);
    struct outlet out = fake_outlet_init(&t.broker);
    t.conf = (struct config_sync_conf){.prefix = "$nexus", .gateway = "g", .cache_path = t.cache};
    t.sync = config_sync_new(t.loop, &t.conf, &t.registry, &out);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    config_sync_free(&t.sync);
    engine_stop(&t.engine);
    loop_fake_turn(t.loop);
    loop_fake_turn(t.loop);
    registry_fini(&t.registry);
    engine_fini(&t.engine);
    fake_outlet_fini(&t.broker);
    loop_free(&t.loop);
    metrics_free(&t.metrics);
    return test_dir_remove(t.dir);
}

static enum nx_err
load(const char *yaml)
{
    struct nx_note why = {0};

    assert_int_equal(file_write(t.path, slice_str(yaml), 0600, NULL), NX_OK);
    enum nx_err err = registry_load_file(&t.registry, t.path, &why);
    loop_fake_advance_ms(t.loop, 150);
    return err;
}

static void
message(const char *suffix, const char *payload)
{
    char topic[128], text[1024];

    (void)snprintf(topic, sizeof topic, "$nexus/config/devices/%s", suffix);
    (void)snprintf(text, sizeof text, "%s", payload);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    assert_true(
        config_sync_message(t.sync, &(struct mqtt_message){.topic = slice_str(topic), .payload = slice_str(text)}));
    loop_fake_advance_ms(t.loop, 150);
}

#define DEV(id, address) "  - {id: " id ", protocol: fake, tags: [{id: a, address: '" address "', data_type: int16}]}\n"
#define JSON_DEV(id, address)                                                                                          \
    "{'id':'" id "','protocol':'fake','connection':{'line':'" id "'},'tags':[{'id':'a','address':'" address            \
    "','data_type':'int16'}]}"

/* Fault row 24: the device that did not change misses no poll. */
static void
reload_touches_only_what_changed(void **state)
{
    (void)state;
    assert_int_equal(load("devices:\n" DEV("d1", "1") DEV("d2", "2") DEV("d3", "3")), NX_OK);
    struct nx_dev *d1 = registry_find(&t.registry, "d1")->dev;
    struct nx_dev *d2 = registry_find(&t.registry, "d2")->dev;
    uint64_t polls = d1->stats.polls_ok;
    assert_int_equal(load("devices:\n" DEV("d1", "1") DEV("d2", "5") DEV("d4", "4")), NX_OK);
    assert_ptr_equal(registry_find(&t.registry, "d1")->dev, d1);
    assert_ptr_not_equal(registry_find(&t.registry, "d2")->dev, d2);
    assert_null(registry_find(&t.registry, "d3"));
    assert_non_null(registry_find(&t.registry, "d4"));
    loop_fake_advance_ms(t.loop, 3000);
    assert_in_range(d1->stats.polls_ok, polls + 3, polls + 4);
    assert_int_equal(t.leaves, 2);
    assert_int_equal(t.removed, 1);
    assert_int_equal(t.engine.dev_count, 3);
}

static void
bad_device_is_refused_and_the_others_run(void **state)
{
    (void)state;
    assert_int_equal(load("devices:\n" DEV("d1", "1") DEV("d2", "99")), NX_OK);
    assert_non_null(registry_find(&t.registry, "d1")->dev);
    const struct registry_entry *bad = registry_find(&t.registry, "d2");
    assert_null(bad->dev);
    assert_non_null(strstr(bad->refused, "99"));
    assert_int_equal(load("devices:\n" DEV("d1", "99") DEV("d2", "2")), NX_OK);
    assert_non_null(registry_find(&t.registry, "d1")->dev); /* the old definition goes on */
    assert_non_null(registry_find(&t.registry, "d1")->refused);
    assert_null(registry_find(&t.registry, "d2")->refused);
}

static void
broken_file_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(load("devices:\n" DEV("d1", "1")), NX_OK);
    assert_int_not_equal(load("devices: [\n"), NX_OK);
    assert_non_null(registry_find(&t.registry, "d1")->dev);
    assert_int_equal(t.leaves, 0);
}

static void
disabled_device_is_known_but_not_connected(void **state)
{
    (void)state;
    assert_int_equal(load("devices:\n  - {id: d1, protocol: fake, enabled: false, tags: []}\n"), NX_OK);
    assert_null(registry_find(&t.registry, "d1")->dev);
    assert_int_equal(fake_driver_state.opens, 0);
}

static void
events_add_change_and_remove(void **state)
{
    (void)state;
    message("d1/updated", "{'action':'created','device_id':'d1','version':2,'data':" JSON_DEV("d1", "1") "}");
    struct nx_dev *first = registry_find(&t.registry, "d1")->dev;
    assert_int_equal(first->link->state, CONN_UP);
    message("d1/updated", "{'action':'updated','device_id':'d1','version':3,'data':" JSON_DEV("d1", "1") "}");
    assert_ptr_equal(registry_find(&t.registry, "d1")->dev, first);
    message("d1/updated", "{'action':'updated','device_id':'d1','version':1,'data':" JSON_DEV("d1", "7") "}");
    assert_ptr_equal(registry_find(&t.registry, "d1")->dev, first); /* older than ours */
    message("d1/updated", "{'action':'updated','device_id':'d1','version':4,'data':" JSON_DEV("d1", "70") "}");
    assert_non_null(registry_find(&t.registry, "d1")->refused);
    message("d1/updated", "{'action':'deleted','device_id':'d1','version':5}");
    assert_null(registry_find(&t.registry, "d1"));
    message("d1/updated", "no json");
    message("d1/updated", "{}");
    assert_int_equal(t.removed, 1);
}

static void
full_set_replaces_the_cores_devices_only(void **state)
{
    (void)state;
    assert_int_equal(load("devices:\n" DEV("file", "1")), NX_OK);
    message("bulk",
            "{'devices':[{'device_id':'d1','version':2,'data':" JSON_DEV("d1", "1") "}," JSON_DEV("d2", "2") "]}");
    assert_int_equal(HASH_COUNT(t.registry.entries), 3);
    assert_true(config_sync_is_done(t.sync));
    message("bulk", "{'devices':[" JSON_DEV("d2", "2") "]}");
    assert_null(registry_find(&t.registry, "d1"));
    assert_non_null(registry_find(&t.registry, "file"));
    message("bulk", "{'devices':7}");
    assert_non_null(registry_find(&t.registry, "d2"));
}

static void
parts_remove_only_when_all_have_come(void **state)
{
    (void)state;
    message("bulk", "{'devices':[" JSON_DEV("d1", "1") "," JSON_DEV("d2", "2") "," JSON_DEV("d3", "3") "]}");
    message("bulk", "{'sync':'x','part':1,'parts':2,'devices':[" JSON_DEV("d1", "1") "]}");
    assert_int_equal(HASH_COUNT(t.registry.entries), 3);
    message("bulk", "{'sync':'x','part':2,'parts':2,'devices':[" JSON_DEV("d2", "2") "]}");
    assert_int_equal(HASH_COUNT(t.registry.entries), 2);
    message("bulk", "{'sync':'y','part':1,'parts':3,'devices':[" JSON_DEV("d1", "1") "]}");
    message("bulk", "{'sync':'y','part':3,'parts':3,'devices':[]}"); /* the second was lost */
    assert_int_equal(HASH_COUNT(t.registry.entries), 2);
    assert_int_equal(t.leaves, 1);
}

static void
core_is_asked_until_it_answers(void **state)
{
    (void)state;
    config_sync_online(t.sync);
    loop_fake_advance_ms(t.loop, 20000);
    unsigned asked = fake_outlet_count(&t.broker, "$nexus/config/sync/request");
    assert_in_range(asked, 4, 6);
    message("bulk", "{'devices':[]}");
    loop_fake_advance_ms(t.loop, 200000);
    assert_int_equal(fake_outlet_count(&t.broker, "$nexus/config/sync/request"), asked);
}

static void
devices_of_the_core_are_kept_for_the_next_start(void **state)
{
    (void)state;
    message("bulk", "{'devices':[" JSON_DEV("d1", "1") "]}");
    loop_fake_advance_ms(t.loop, 3000);
    registry_remove(&t.registry, "d1");
    config_sync_load_cache(t.sync);
    loop_fake_advance_ms(t.loop, 150);
    assert_int_equal(registry_find(&t.registry, "d1")->dev->link->state, CONN_UP);
    assert_int_equal(file_write(t.cache, slice_str("[{\"id\":"), 0600, NULL), NX_OK);
    config_sync_load_cache(t.sync); /* damaged: ignored */
    assert_non_null(registry_find(&t.registry, "d1"));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(reload_touches_only_what_changed),
        TEST(bad_device_is_refused_and_the_others_run),
        TEST(broken_file_changes_nothing),
        TEST(disabled_device_is_known_but_not_connected),
        TEST(events_add_change_and_remove),
        TEST(full_set_replaces_the_cores_devices_only),
        TEST(parts_remove_only_when_all_have_come),
        TEST(core_is_asked_until_it_answers),
        TEST(devices_of_the_core_are_kept_for_the_next_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
