#include "gateway/assign.h"
#include "gateway/fake_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static bool
takes(const struct assign_conf *conf, const char *prefix, const char *host, const char *priority)
{
    struct nx_note why = {0};
    struct assign a;
    char json[512];
    struct device *d;
    bool is_taken;

    (void)snprintf(json, sizeof json,
                   "{'id':'d','protocol':'fake','uns_prefix':'%s','connection':{'host':'%s'},"
                   "'tags':[{'id':'a','address':'0','data_type':'int16'},"
                   "{'id':'b','address':'1','data_type':'int16','priority':'%s'}]}",
                   prefix, host, priority);
    d = fake_device(json);
    assert_int_equal(assign_init(&a, conf, &why), NX_OK);
    is_taken = assign_takes(&a, d);
    device_unref(&d);
    return is_taken;
}

static void
takes_all_without_rules(void **state)
{
    (void)state;
    assert_true(takes(&(struct assign_conf){0}, "acme/x", "10.0.0.1", "telemetry"));
}

static void
takes_lines_and_what_lies_below(void **state)
{
    const struct assign_conf conf = {.line = "acme/bottling/line1, acme/+/line7"};

    (void)state;
    assert_true(takes(&conf, "acme/bottling/line1", "h", "telemetry"));
    assert_true(takes(&conf, "acme/bottling/line1/filler", "h", "telemetry"));
    assert_false(takes(&conf, "acme/bottling/line10", "h", "telemetry"));
    assert_false(takes(&conf, "acme/bottling", "h", "telemetry"));
    assert_true(takes(&conf, "acme/packing/line7/x", "h", "telemetry"));
    assert_false(takes(&conf, "acme/packing/line1", "h", "telemetry"));
}

static void
takes_protocols_priorities_and_networks(void **state)
{
    (void)state;
    assert_true(takes(&(struct assign_conf){.protocol = "s7,fake"}, "a", "h", "telemetry"));
    assert_false(takes(&(struct assign_conf){.protocol = "s7"}, "a", "h", "telemetry"));
    assert_true(takes(&(struct assign_conf){.priority = "safety, control"}, "a", "h", "control"));
    assert_false(takes(&(struct assign_conf){.priority = "safety"}, "a", "h", "control"));
    const struct assign_conf net = {.network = "10.1.0.0/16, 192.168.4.128/25, fd00::/8"};
    assert_true(takes(&net, "a", "10.1.255.1", "telemetry"));
    assert_false(takes(&net, "a", "10.2.0.1", "telemetry"));
    assert_true(takes(&net, "a", "192.168.4.200", "telemetry"));
    assert_false(takes(&net, "a", "192.168.4.100", "telemetry"));
    assert_true(takes(&net, "a", "fd12::1", "telemetry"));
    assert_false(takes(&net, "a", "plc.example", "telemetry"));
}

static void
parts_are_disjoint_and_complete(void **state)
{
    static const char *const parts[] = {"1/3", "2/3", "3/3"};
    unsigned counts[3] = {0};
    char host[32];

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        unsigned taken = 0;
        (void)snprintf(host, sizeof host, "10.0.%u.%u", i / 100, i);
        for (unsigned p = 0; p < 3; p++) {
            bool is_mine = takes(&(struct assign_conf){.part = parts[p]}, "a", host, "telemetry");
            taken += is_mine;
            counts[p] += is_mine;
        }
        assert_int_equal(taken, 1);
    }
    for (unsigned p = 0; p < 3; p++)
        assert_in_range(counts[p], 60, 140);
}

static void
refuses_rules_that_mean_nothing(void **state)
{
    static const struct assign_conf confs[] = {
        {.part = "0/3"},
        {.part = "4/3"},
        {.part = "x"},
        {.part = "1/"},
        {.priority = "high"},
        {.network = "10.1.0.0"},
        {.network = "10.1.0.0/33"},
        {.network = "1/8"},
    };
    struct assign a;

    (void)state;
    for (size_t i = 0; i < sizeof confs / sizeof confs[0]; i++) {
        struct nx_note why = {0};
        assert_int_equal(assign_init(&a, &confs[i], &why), NX_E_CONFIG);
        assert_non_null(strstr(why.text, "gateway.shard."));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_all_without_rules),
        cmocka_unit_test(takes_lines_and_what_lies_below),
        cmocka_unit_test(takes_protocols_priorities_and_networks),
        cmocka_unit_test(parts_are_disjoint_and_complete),
        cmocka_unit_test(refuses_rules_that_mean_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
