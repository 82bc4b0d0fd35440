#include "model/device.h"

#include "base/mem.h"
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A driver whose addresses are numbers. */
static enum nx_err
parse(const struct nx_addr_spec *spec, void *addr, struct nx_addr_info *info, struct nx_note *why)
{
    size_t digits = strcspn(spec->address, "[");
    uint64_t n;

    if (!num_u64(slice(spec->address, digits), &n))
        return nx_fail(why, NX_E_CONFIG, "address '%s' is not a number", spec->address);
    n += spec->element;
    *(uint64_t *)addr = n;
    if (spec->address[digits])
        info->elements = (uint32_t)strtoul(spec->address + digits + 1, NULL, 10);
    (void)snprintf(info->canonical, sizeof info->canonical, "holding:%u/%u", (unsigned)n, (unsigned)spec->count);
    return NX_OK;
}

static const struct nx_param params[] = {
    {.key = "host", .type = NX_PARAM_STRING, .is_required = true, .help = "Host."},
    {.key = "port", .type = NX_PARAM_INT, .def = "502", .min = 1, .max = 65535, .help = "Port."},
    {.key = "delay", .type = NX_PARAM_DURATION, .def = "0", .max = 1000, .help = "Delay."},
    {.key = NULL},
};
static const struct nx_param tag_params[] = {
    {.key = "byte_order", .type = NX_PARAM_ENUM, .def = "ABCD", .choices = "ABCD|CDAB", .help = "Order."},
    {.key = "register_count", .type = NX_PARAM_INT, .help = "Length."},
    {.key = NULL},
};
static const struct nx_driver driver = {.name = "modbus-tcp",
                                        .params = params,
                                        .tag_params = tag_params,
                                        .addr_size = sizeof(uint64_t),
                                        .addr_parse = parse};
static const struct nx_driver *const drivers[] = {&driver, NULL};
static const struct device_options options = {"uns", 1000, drivers, false};

static struct arena arena;

static struct device *
read_yaml(const char *yaml, struct nx_note *why)
{
    struct conf_node *root;
    struct device *d;

    assert_int_equal(conf_parse_yaml(&arena, slice_str(yaml), "d.yaml", &root, why), NX_OK);
    enum nx_err err = device_read(&options, root, &d, why);
    assert_int_equal(err == NX_OK, d != NULL);
    return d;
}

static int
cleanup(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

#define HEAD "id: plc-1\nprotocol: modbus-tcp\nconnection: {host: 10.0.0.1}\n"

static void
a_full_device(void **state)
{
    struct nx_note why = {0};
    struct device *d =
        read_yaml("id: plc-1\nname: Press\nprotocol: modbus-tcp\nuns_prefix: plant/line1\n"
                  "poll_interval: 500ms\nconnection: {host: 10.0.0.1, port: 1502, timeout: 2s}\n"
                  "tags:\n"
                  "- {id: temp, address: 40001, data_type: real, scale_factor: 0.1, offset: -5, unit: °C, "
                  "deadband: 0.5, clamp_min: -40, byte_order: CDAB, poll_interval: 2s}\n"
                  "- {id: state, address: \"7\", data_type: word, enum: {1: running, 0: stopped}, "
                  "access_mode: readwrite, topic_suffix: st/x, priority: control, max_silence: 1m}\n"
                  "- {id: mode, address: 8, data_type: int, enum: [auto, hand], register_count: 1, "
                  "enabled: false, deadband: 1, deadband_type: percent}\n",
                  &why);

    (void)state;
    assert_string_equal(why.text, "");
    assert_non_null(d);
    assert_string_equal(d->name, "Press");
    assert_int_equal(d->poll_interval_ms, 500);
    assert_int_equal(d->timeout_ms, 2000);
    assert_int_equal(nx_setting_int(d->settings, "port"), 1502);
    assert_int_equal(d->tag_count, 3);
    const struct tag *t = device_tag(d, "temp");
    assert_int_equal(t->data_type, NX_DT_FLOAT32);
    assert_true(t->is_scaled && t->scale_factor == 0.1 && t->offset == -5);
    assert_true(t->has_clamp_min && !t->has_clamp_max && t->clamp_min == -40);
    assert_int_equal(t->deadband_type, DEADBAND_ABSOLUTE);
    assert_string_equal(t->topic, "uns/plant/line1/temp");
    assert_string_equal(t->canonical, "holding:40001/0");
    assert_int_equal(*(const uint64_t *)t->addr, 40001);
    assert_int_equal(nx_setting_enum(t->settings, "byte_order"), 1);
    assert_int_equal(t->poll_interval_ms, 2000);
    t = device_tag(d, "state");
    assert_int_equal(t->enum_count, 2);
    assert_int_equal(t->enums[0].value, 0);
    assert_string_equal(t->enums[1].text, "running");
    assert_string_equal(t->topic, "uns/plant/line1/st/x");
    assert_int_equal(t->access_mode, ACCESS_READWRITE);
    assert_int_equal(t->priority, PRIORITY_CONTROL);
    assert_int_equal(t->max_silence_ms, 60000);
    t = device_tag(d, "mode");
    assert_string_equal(t->enums[1].text, "hand");
    assert_int_equal(t->count, 1);
    assert_int_equal(t->deadband_type, DEADBAND_PERCENT);
    assert_false(t->is_enabled);
    assert_null(device_tag(d, "none"));
    device_unref(&d);
    assert_null(d);
}

static void
arrays_and_windows_become_tags(void **state)
{
    struct nx_note why = {0};
    struct device *d = read_yaml(HEAD "tags:\n"
                                      "- {id: z, address: \"5[3]\", data_type: int, unit: bar, topic_suffix: q/z}\n"
                                      "- {id: y, address: 9, data_type: int, array: 2, access_mode: readwrite,\n"
                                      "   aggregate: {window: 10s, functions: [count, avg], raw: false}}\n",
                                 &why);
    const struct tag *t;

    (void)state;
    assert_string_equal(why.text, "");
    assert_int_equal(d->tag_count, 3 + 2 * 3);
    assert_null(device_tag(d, "z"));
    t = device_tag(d, "z.2");
    assert_int_equal(*(const uint64_t *)t->addr, 7);
    assert_string_equal(t->topic, "uns/plc-1/q/z/2");
    assert_string_equal(t->base_id, "z");
    t = device_tag(d, "y.1");
    assert_true(t->is_silent && t->access_mode == ACCESS_READWRITE && t->window_ms == 10000);
    t = device_tag(d, "y.1.avg");
    assert_int_equal(t->kind, TAG_AGGREGATE);
    assert_string_equal(d->tags[t->source].id, "y.1");
    assert_string_equal(t->topic, "uns/plc-1/y/1/avg");
    assert_int_equal(device_tag(d, "y.0.count")->data_type, NX_DT_UINT64);
    device_unref(&d);
}

static void
units_fold_into_the_scale(void **state)
{
    struct nx_note why = {0};
    struct device *d = read_yaml(HEAD "tags:\n"
                                      "- {id: a, address: 1, data_type: int, unit: degC, target_unit: °F}\n"
                                      "- {id: b, address: 1, data_type: int, scale_factor: 0.1, offset: -40}\n"
                                      "- {id: c, address: 1, data_type: int, unit: m, target_unit: m}\n"
                                      "- {id: r, address: 1, data_type: int, deadband: 1, deadband_type: "
                                      "percent_of_range, clamp_min: -50, clamp_max: 150}\n",
                                 &why);

    (void)state;
    assert_string_equal(why.text, "");
    const struct tag *a = device_tag(d, "a"), *b = device_tag(d, "b"), *r = device_tag(d, "r");
    assert_true(a->is_scaled && line_forth(&a->line, 100) == 212 && line_back(&a->line, 212) == 100);
    assert_string_equal(a->unit, "°F");
    assert_true(b->is_scaled && line_forth(&b->line, 615) == 21.5);
    assert_false(device_tag(d, "c")->is_scaled);
    assert_true(r->deadband_type == DEADBAND_ABSOLUTE && r->deadband == 2);
    device_unref(&d);
}

static void
expressions_know_their_tags(void **state)
{
    struct nx_note why = {0};
    struct device *d =
        read_yaml(HEAD
                  "tags:\n"
                  "- {id: power, expression: 'flow * tag(\"other/delta\") * tag(\"plc-1/k-1\")', unit: kW}\n"
                  "- {id: flow, address: 1, data_type: int, expression: value / 3, adaptive: {min_interval: 100ms, "
                  "max_interval: 10s}, publish: {min_interval: 1s}}\n"
                  "- {id: k-1, expression: flow + 1, data_type: int32}\n",
                  &why);

    (void)state;
    assert_string_equal(why.text, "");
    const struct tag *power = device_tag(d, "power"), *flow = device_tag(d, "flow");
    assert_true(power->kind == TAG_CALC && power->data_type == NX_DT_FLOAT64 && !power->addr);
    assert_int_equal(power->expr->ref_count, 3);
    assert_string_equal(power->expr->refs[1].device, "other");
    assert_null(power->expr->refs[2].device);
    assert_true(flow->kind == TAG_POLLED && flow->expr->ref_count == 1);
    assert_true(flow->adaptive_min_ms == 100 && flow->adaptive_max_ms == 10000 && flow->min_interval_ms == 1000);
    assert_int_equal(device_tag(d, "k-1")->data_type, NX_DT_INT32);
    char *text = device_json(d);
    assert_non_null(strstr(text, "\"adaptive\":{\"max_interval\":\"10s\",\"min_interval\":\"100ms\"}"));
    json_t *json = json_loads(text, 0, NULL);
    free(text);
    struct device *again;
    assert_int_equal(device_read(&options, conf_from_json(&arena, json, "store"), &again, &why), NX_OK);
    assert_true(device_eq(d, again));
    json_decref(json);
    device_unref(&again);
    device_unref(&d);
    /* One tag of a device may name others that are not at hand. */
    const struct device_options partial = {"uns", 1000, drivers, true};
    struct conf_node *root;
    assert_int_equal(conf_parse_yaml(&arena, slice_str(HEAD "tags: [{id: p, expression: a * 2}]\n"), "d", &root, &why),
                     NX_OK);
    assert_int_equal(device_read(&partial, root, &d, &why), NX_OK);
    device_unref(&d);
}

static void
defaults_of_a_small_device(void **state)
{
    struct nx_note why = {0};
    struct device *d = read_yaml(HEAD, &why);

    (void)state;
    assert_non_null(d);
    assert_string_equal(d->name, "plc-1");
    assert_string_equal(d->uns_prefix, "plc-1");
    assert_int_equal(d->poll_interval_ms, 1000);
    assert_int_equal(d->timeout_ms, 3000);
    assert_int_equal(nx_setting_int(d->settings, "port"), 502);
    assert_true(d->is_enabled && d->tag_count == 0);
    assert_int_equal(d->idle_timeout_ms, 0);
    assert_int_equal(d->health_interval_ms, 30000);
    assert_int_equal(d->max_requests_per_s, 0);
    assert_true(d->breaker_requests == 5 && d->breaker_failure_percent == 60);
    assert_true(d->breaker_open_ms == 30000 && d->breaker_probes == 3);
    struct device *again = device_ref(d);
    device_unref(&d);
    assert_string_equal(again->id, "plc-1");
    device_unref(&again);
}

static void
every_mistake_names_place_and_remedy(void **state)
{
    static const struct {
        const char *yaml, *word, *second;
    } rows[] = {
        {"protocol: modbus-tcp\n", "'id' is missing", "d.yaml:1"},
        {"id: a/b\nprotocol: modbus-tcp\n", "not an id", "d.yaml:1"},
        {"id: a\nprotocol: modbus-tpc\n", "Did you mean 'modbus-tcp'", "d.yaml:2"},
        {"id: a\nprotocol: quantum\n", "This version has: modbus-tcp", "d.yaml:2"},
        {"id: a\nprotocol: modbus-tcp\n", "'host' is missing", "d.yaml:1"},
        {"id: a\nprotocol: modbus-tcp\nconnection:\n  hots: x\n", "Did you mean 'host'", "d.yaml:4"},
        {"id: a\nprotocol: modbus-tcp\nconnection:\n  host: x\n  timeot: 1s\n", "Did you mean 'timeout'", "d.yaml:5"},
        {"id: a\nprotocol: modbus-tcp\nconnection:\n  host: x\n  port: 99999\n", "outside", "d.yaml:5"},
        {"id: a\nprotocol: modbus-tcp\nconnection:\n  host: x\n  breaker: {request: 4}\n", "Did you mean 'requests'",
         "d.yaml:5"},
        {"id: a\nprotocol: modbus-tcp\nconnection:\n  host: x\n  breaker: false\n", "write {requests: 5", "d.yaml:5"},
        {HEAD "subscription_mode: events\n", "not available", "d.yaml:4"},
        {HEAD "uns_prefix: a/#/b\n", "wildcard", "d.yaml:4"},
        {HEAD "poll_intervall: 1s\n", "Did you mean 'poll_interval'", "d.yaml:4"},
        {HEAD "tags: 5\n", "list of tags", "d.yaml:4"},
        {HEAD "tags:\n- 5\n", "section", "tags[0]"},
        {HEAD "tags:\n- {id: t, address: 1}\n", "'data_type' is missing", "tags[0]"},
        {HEAD "tags:\n- {id: t, data_type: int}\n", "'address' is missing", "tags[0]"},
        {HEAD "tags:\n- {id: t, address: x1, data_type: int}\n", "not a number", "tags[0].address"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: flaot32}\n", "Did you mean 'float32'", "tags[0].data_type"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, deadbnd: 1}\n", "Did you mean 'deadband'", "tags[0]"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, byte_ordr: 1}\n", "Did you mean 'byte_order'", "tags[0]"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, expression: x}\n", "sees `value` alone",
         "tags[0].expression"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, expression: 2}\n", "formula of `value`", "expression"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, expression: value +}\n", "near <eof>", "expression"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, expression: value, access_mode: write}\n", "way back",
         "access"},
        {HEAD "tags:\n- {id: t, expression: flow * 2}\n- {id: flwo, address: 1, data_type: int}\n",
         "Did you mean 'flwo'", "tags[0].expression"},
        {HEAD "tags:\n- {id: a, expression: b + 1}\n- {id: b, expression: c}\n- {id: c, expression: b}\n",
         "b -> c -> b need each other", "tags[1].expression"},
        {HEAD "tags:\n- {id: a, expression: a}\n", "a -> a", "tags[0].expression"},
        {HEAD "tags:\n- {id: a, expression: 'tag(\"plc-1/x\")'}\n", "no tag 'x'", "tags[0].expression"},
        {HEAD "tags:\n- {id: a, expression: 1, scale_factor: 2}\n", "put it into the expression", "scale_factor"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, adaptive: true}\n", "write {min_interval", "adaptive"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, adaptive: {min_interval: 2s, max_interval: 1s}}\n",
         "shorter than", "adaptive"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, aggregate: {window: 1s, functions: [stdev]}}\n",
         "Did you mean 'stddev'", "aggregate.functions"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, aggregate: {functions: avg}}\n", "window", "aggregate"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, aggregate: {window: 1s, functions: }}\n", "functions",
         "aggregate"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, aggregate: {window: 1s, functions: []}}\n", "at least one",
         "aggregate"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: string, aggregate: {window: 1s, functions: avg}}\n",
         "texts have", "aggregate"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, target_unit: bar}\n", "needs unit", "target_unit"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, unit: bar, target_unit: m}\n", "cannot be converted",
         "tags[0].target_unit"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, unit: bra, target_unit: kPa}\n", "Did you mean 'bar",
         "tags[0].target_unit"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, array: 100001}\n", "outside", "array"},
        {HEAD
         "tags:\n- {id: t, address: 1, data_type: int, array: 60000}\n- {id: u, address: 1, data_type: int, array: "
         "60000}\n",
         "more than 100000", "tags[1]"},
        {HEAD "tags:\n- {id: t, address: \"5[3]\", data_type: int, array: 2}\n", "remove one", "tags[0].array"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, array: 2}\n- {id: t.1, address: 1, data_type: int}\n",
         "same id 't.1'", "tags[1]"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, deadband: 1, deadband_type: percent_of_range}\n",
         "they are the range", "deadband_type"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, publish: 1s}\n", "write {min_interval", "publish"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, scale_factor: 0}\n", "every value 0", "scale_factor"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: bool, scale_factor: 2}\n", "cannot be scaled", "scale_factor"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, clamp_min: 2, clamp_max: 1}\n", "above", "clamp_min"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, enum: x}\n", "write {0: stopped", "enum"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, enum: {a: x}}\n", "whole number", "enum.a"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, enum: {1: x, 0x1: y}}\n", "two texts", "enum"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, deadband: -1}\n", "outside", "deadband"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int, topic_suffix: a//b}\n", "empty level", "topic_suffix"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int}\n- {id: t, address: 2, data_type: int, topic_suffix: u}\n",
         "same id 't'", "tags[1]"},
        {HEAD "tags:\n- {id: t, address: 1, data_type: int}\n- {id: u, address: 2, data_type: int, topic_suffix: t}\n",
         "same topic 'uns/plc-1/t'", "tags[1]"},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct nx_note why = {0};

        assert_null(read_yaml(rows[i].yaml, &why));
        if (!strstr(why.text, rows[i].word) || !strstr(why.text, rows[i].second))
            fail_msg("row %zu: %s", i, why.text);
    }
}

static void
json_bodies_name_the_pointer(void **state)
{
    struct nx_note why = {0};
    json_t *body =
        json_pack("{s:s,s:s,s:{s:s,s:i}}", "id", "a", "protocol", "modbus-tcp", "connection", "host", "h", "prot", 1);
    struct device *d;

    (void)state;
    assert_int_equal(device_read(&options, conf_from_json(&arena, body, "body"), &d, &why), NX_E_CONFIG);
    assert_non_null(strstr(why.text, "/connection/prot"));
    json_decref(body);
}

static void
json_is_canonical(void **state)
{
    struct nx_note why = {0};
    struct device *a =
        read_yaml("protocol: modbus-tcp\nid: x\nname:\nconnection: {timeout: 1000ms, port: 0x10, host: h}\n"
                  "tags: [{data_type: int, address: 0001, id: t, scale_factor: 1.50, enum: [a, b]},\n"
                  "       {id: a, address: \"2\", data_type: int}]\n",
                  &why);
    struct device *b =
        read_yaml("id: x\nprotocol: modbus-tcp\nconnection: {host: h, port: 16, timeout: 1}\n"
                  "tags: [{id: a, address: \"2\", data_type: int},\n"
                  "       {id: t, address: \"0001\", data_type: int, scale_factor: 1.5, enum: {1: b, 0: a}}]\n",
                  &why);

    (void)state;
    char *text = device_json(a);
    assert_string_equal(text,
                        "{\"connection\":{\"host\":\"h\",\"port\":16,\"timeout\":\"1s\"},\"id\":\"x\","
                        "\"protocol\":\"modbus-tcp\",\"tags\":[{\"address\":\"2\",\"data_type\":\"int\",\"id\":\"a\"},"
                        "{\"address\":\"0001\",\"data_type\":\"int\","
                        "\"enum\":{\"0\":\"a\",\"1\":\"b\"},\"id\":\"t\",\"scale_factor\":1.5}]}");
    assert_true(device_eq(a, b));
    /* What was written reads back as the same device. */
    json_t *json = json_loads(text, 0, NULL);
    free(text);
    struct device *c;
    assert_int_equal(device_read(&options, conf_from_json(&arena, json, "store"), &c, &why), NX_OK);
    assert_true(device_eq(a, c));
    json_decref(json);
    device_unref(&a);
    device_unref(&b);
    device_unref(&c);
}

struct tally {
    char good[64], bad[64];
};

static void
count_good(void *arg, struct device *d)
{
    struct tally *t = arg;

    strcat(strcat(t->good, d->id), " ");
    device_unref(&d);
}

static void
count_bad(void *arg, const char *device_id, const struct nx_note *why)
{
    struct tally *t = arg;

    assert_true(why->text[0] != '\0');
    strcat(strcat(t->bad, device_id), " ");
}

static void
a_bad_device_does_not_hinder_the_others(void **state)
{
    static const struct device_list_ops ops = {count_good, count_bad};
    struct tally t = {"", ""};
    struct nx_note why = {0};
    struct conf_node *root;

    (void)state;
    assert_int_equal(conf_parse_yaml(&arena,
                                     slice_str("devices:\n"
                                               "- {id: a, protocol: modbus-tcp, connection: {host: x}}\n"
                                               "- {id: b, protocol: nope, connection: {host: x}}\n"
                                               "- {protocol: modbus-tcp}\n"
                                               "- 17\n"
                                               "- {id: a, protocol: modbus-tcp, connection: {host: y}}\n"
                                               "- {id: c, protocol: modbus-tcp, connection: {host: x}}\n"),
                                     "d.yaml", &root, &why),
                     NX_OK);
    assert_int_equal(device_read_list(&options, root, &ops, &t, &why), NX_OK);
    assert_string_equal(t.good, "a c ");
    assert_string_equal(t.bad, "b   a ");
    assert_int_equal(conf_parse_yaml(&arena, slice_str("devces: []\n"), "d.yaml", &root, &why), NX_OK);
    assert_int_equal(device_read_list(&options, root, &ops, &t, &why), NX_E_CONFIG);
    assert_non_null(strstr(why.text, "Did you mean 'devices'"));
    assert_int_equal(conf_parse_yaml(&arena, slice_str("devices:\n"), "d.yaml", &root, &why), NX_OK);
    assert_int_equal(device_read_list(&options, root, &ops, &t, &why), NX_OK);
}

static void
names_of_data_types(void **state)
{
    (void)state;
    for (int i = 0; i < NX_DT_COUNT; i++)
        assert_int_equal(data_type_parse(data_type_name((enum nx_data_type)i)), i);
    assert_int_equal(data_type_parse("DINT"), NX_DT_INT32);
    assert_int_equal(data_type_parse("Real"), NX_DT_FLOAT32);
    assert_int_equal(data_type_parse("dword"), NX_DT_UINT32);
    assert_int_equal(data_type_parse("what"), NX_DT_COUNT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_full_device, cleanup),
        cmocka_unit_test_teardown(arrays_and_windows_become_tags, cleanup),
        cmocka_unit_test_teardown(units_fold_into_the_scale, cleanup),
        cmocka_unit_test_teardown(expressions_know_their_tags, cleanup),
        cmocka_unit_test_teardown(defaults_of_a_small_device, cleanup),
        cmocka_unit_test_teardown(every_mistake_names_place_and_remedy, cleanup),
        cmocka_unit_test_teardown(json_bodies_name_the_pointer, cleanup),
        cmocka_unit_test_teardown(json_is_canonical, cleanup),
        cmocka_unit_test_teardown(a_bad_device_does_not_hinder_the_others, cleanup),
        cmocka_unit_test(names_of_data_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
