#include "base/file.h"
#include "base/mem.h"
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct sample {
    const char *broker_url, *password;
    int64_t port, interval_ms;
    uint64_t limit_bytes;
    double ratio;
    bool is_enabled;
    int level;
    const struct conf_node *extra;
};

static const struct conf_row rows[] = {
    {.key = "mqtt.broker_url",
     .type = CONF_STRING,
     .def = "mqtt://127.0.0.1:1883",
     .help = "Broker.",
     .env = "NEXUS_MQTT_BROKER|OLD_BROKER",
     .offset = offsetof(struct sample, broker_url)},
    {.key = "mqtt.password", .type = CONF_SECRET, .help = "Password.", .offset = offsetof(struct sample, password)},
    {.key = "http.port",
     .type = CONF_INT,
     .def = "8081",
     .min = 1,
     .max = 65535,
     .help = "Admin port.",
     .offset = offsetof(struct sample, port)},
    {.key = "polling.default_interval",
     .type = CONF_DURATION,
     .def = "1s",
     .min = 50,
     .max = 86400000,
     .unit = "ms",
     .help = "Interval.",
     .offset = offsetof(struct sample, interval_ms)},
    {.key = "buffer.disk_limit", .type = CONF_BYTES, .def = "1GB", .offset = offsetof(struct sample, limit_bytes)},
    {.key = "buffer.share", .type = CONF_DOUBLE, .def = "0.7", .offset = offsetof(struct sample, ratio)},
    {.key = "buffer.enabled", .type = CONF_BOOL, .def = "true", .offset = offsetof(struct sample, is_enabled)},
    {.key = "logging.level",
     .type = CONF_ENUM,
     .def = "info",
     .choices = "error|warn|info|debug",
     .offset = offsetof(struct sample, level)},
    {.key = "extra", .type = CONF_NODE, .offset = offsetof(struct sample, extra)},
    CONF_ROW_END,
};

static enum nx_err
fill(struct arena *a, const char *yaml, struct sample *s, struct nx_note *why)
{
    struct conf_node *root;
    enum nx_err err = conf_parse_yaml(a, slice_str(yaml), "nexus.yaml", &root, why);

    memset(s, 0, sizeof *s);
    return err == NX_OK ? conf_fill(a, rows, root, s, why) : err;
}

static void
a_document_fills_a_struct(void **state)
{
    struct arena a = {0};
    struct sample s;
    struct nx_note why;

    (void)state;
    assert_int_equal(fill(&a,
                          "mqtt: {broker_url: 'mqtt://plant:1884'}\n"
                          "http:\n  port: 9000\n"
                          "polling:\n  default_interval: 250ms\n"
                          "buffer:\n  disk_limit: 64MB\n  enabled: no\n"
                          "logging: {level: debug}\n"
                          "extra: [1, {a: b}]\n",
                          &s, &why),
                     NX_OK);
    assert_string_equal(s.broker_url, "mqtt://plant:1884");
    assert_int_equal(s.port, 9000);
    assert_int_equal(s.interval_ms, 250);
    assert_int_equal(s.limit_bytes, 64u << 20);
    assert_false(s.is_enabled);
    assert_int_equal(s.level, 3);
    assert_int_equal(s.extra->count, 2);
    assert_true(s.ratio == 0.7);
    arena_free(&a);
}

static void
every_mistake_names_line_key_and_remedy(void **state)
{
    static const struct {
        const char *yaml, *expect;
    } cases[] = {
        {"http:\n  prot: 1\n", "nexus.yaml:2: http.prot: unknown key 'http.prot'. Did you mean 'http.port'?"},
        {"http:\n  port: 70000\n", "nexus.yaml:2: http.port: 70000 is outside 1..65535"},
        {"http:\n  port: many\n", "nexus.yaml:2: http.port: 'many' is not a whole number"},
        {"polling: {default_interval: 5 parsec}\n", "is not a duration such as 500ms"},
        {"logging:\n  level: loud\n", "nexus.yaml:2: logging.level: 'loud' is not one of error|warn|info|debug"},
        {"http: 5\n", "nexus.yaml:1: http: a section with keys is expected here"},
        {"http:\n  port: [1]\n", "one value is expected here, not a list"},
        {"http:\n  port: 1\n  port: 2\n", "nexus.yaml:3: 'port' stands here twice (first in line 2)"},
        {"http: {port: 1\n", "nexus.yaml:2:"},
        {"mqtt:\n  broker_url: ${NX_SURELY_NOT_SET}\n", "nexus.yaml:2: the environment variable NX_SURELY_NOT_SET"},
        {"a: &x [*x]\n", "contains itself"},
        {"- 1\n", "nexus.yaml:1: a section with keys is expected here"},
        {"? [a]\n: b\n", "a key must be a plain text"},
        {"a: &x 1\n*x : 2\n", "nexus.yaml:2: a key must be a plain text"},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(cases); i++) {
        struct arena a = {0};
        struct sample s;
        struct nx_note why = {0};

        assert_int_equal(fill(&a, cases[i].yaml, &s, &why), NX_E_CONFIG);
        if (!strstr(why.text, cases[i].expect))
            fail_msg("'%s' does not hold '%s'", why.text, cases[i].expect);
        arena_free(&a);
    }
}

static void
variables_anchors_and_defaults_are_expanded(void **state)
{
    struct arena a = {0};
    struct sample s;
    struct nx_note why;

    (void)state;
    setenv("NX_TEST_HOST", "broker-7", 1);
    assert_int_equal(fill(&a,
                          "mqtt: {broker_url: 'mqtt://${NX_TEST_HOST}:${NX_TEST_NO_PORT:-1885}/$${x}'}\n"
                          "extra: {one: &one {k: v}, two: *one}\n",
                          &s, &why),
                     NX_OK);
    assert_string_equal(s.broker_url, "mqtt://broker-7:1885/${x}");
    assert_string_equal(conf_get(conf_get(s.extra, "two"), "k")->text, "v");
    arena_free(&a);
}

static void
an_alias_bomb_is_stopped(void **state)
{
    struct wbuf w = wbuf_init(0);
    struct arena a = {0};
    struct conf_node *root;
    struct nx_note why;

    (void)state;
    wbuf_str(&w, "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
    for (unsigned i = 1; i < 12; i++) {
        wbuf_printf(&w, "a%u: &a%u [", i, i);
        for (unsigned j = 0; j < 10; j++)
            wbuf_printf(&w, "%s*a%u", j ? "," : "", i - 1);
        wbuf_str(&w, "]\n");
    }
    assert_int_equal(conf_parse_yaml(&a, wbuf_slice_of(&w), "bomb.yaml", &root, &why), NX_E_TOO_LARGE);
    wbuf_free(&w);
    arena_free(&a);
}

static char *
temp_dir(void)
{
    char *dir = mem_strdup("/tmp/nx-conf-XXXXXX");

    assert_non_null(mkdtemp(dir));
    return dir;
}

static void
put_file(const char *dir, const char *name, const char *text, unsigned mode)
{
    char *path = mem_printf("%s/%s", dir, name);

    assert_int_equal(file_write(path, slice_str(text), mode, NULL), NX_OK);
    free(path);
}

static void
flags_win_over_environment_over_files(void **state)
{
    char *dir = temp_dir();
    char *sub = mem_printf("%s/conf.d", dir), *path = mem_printf("%s/nexus.yaml", dir);
    char *yaml =
        mem_printf("mqtt: {password_file: %s/secret}\nhttp: {port: 1}\nbuffer: {share: 0.1}\nother: {x: 1}\n", dir);
    struct sample s;
    struct conf *c;
    struct nx_note why;
    struct wbuf out = wbuf_init(0);

    (void)state;
    assert_int_equal(mkdir(sub, 0700), 0);
    put_file(dir, "secret", "hunter22\n", 0600);
    put_file(dir, "nexus.yaml", yaml, 0644);
    put_file(sub, "10-site.yaml", "http: {port: 2}\nbuffer: {share: 0.2}\n", 0644);
    setenv("NEXUS_HTTP__PORT", "3", 1);
    setenv("OLD_BROKER", "mqtt://old:1", 1);
    struct conf_source src = {.path = path,
                              .overrides = (const char *[]){"polling.default_interval=5s", NULL},
                              .foreign = (const char *[]){"other", NULL}};
    assert_int_equal(conf_load(&c, &src, rows, &s, &why), NX_OK);
    assert_int_equal(s.port, 3);
    assert_true(s.ratio == 0.2);
    assert_int_equal(s.interval_ms, 5000);
    assert_string_equal(s.broker_url, "mqtt://old:1");
    assert_string_equal(s.password, "hunter22");
    assert_int_equal(conf_explain(c, "http.port", &out, &why), NX_OK);
    assert_string_equal(wbuf_cstr(&out), "http.port = 3  (environment NEXUS_HTTP__PORT; default 8081)\nAdmin port.\n");
    wbuf_reset(&out);
    assert_int_equal(conf_explain(c, "mqtt.password", &out, &why), NX_OK);
    assert_null(strstr(wbuf_cstr(&out), "hunter22"));
    assert_int_equal(conf_explain(c, "http.prot", &out, &why), NX_E_NOT_FOUND);
    assert_non_null(strstr(why.text, "http.port"));
    conf_free(&c);
    src.foreign = NULL;
    assert_int_equal(conf_load(&c, &src, rows, &s, &why), NX_E_CONFIG);
    assert_null(c);
    unsetenv("NEXUS_HTTP__PORT");
    unsetenv("OLD_BROKER");
    wbuf_free(&out);
    free(yaml);
    free(path);
    free(sub);
    free(dir);
}

static void
the_sample_file_is_itself_valid(void **state)
{
    struct wbuf out = wbuf_init(0);
    struct arena a = {0};
    struct sample s;
    struct nx_note why;

    (void)state;
    conf_print_sample(rows, &out);
    assert_int_equal(fill(&a, wbuf_cstr(&out), &s, &why), NX_OK);
    assert_int_equal(s.port, 8081);
    wbuf_free(&out);
    arena_free(&a);
}

static void
json_errors_name_the_pointer(void **state)
{
    struct arena a = {0};
    struct sample s;
    struct nx_note why;
    json_t *json = json_pack("{s:{s:i}, s:[i, {s:s}]}", "http", "prot", 5, "extra", 1, "k", "007");

    (void)state;
    struct conf_node *n = conf_from_json(&a, json, "body");
    assert_int_equal(conf_fill(&a, rows, n, &s, &why), NX_E_CONFIG);
    assert_int_equal(strncmp(why.text, "/http/prot: unknown key", 23), 0);
    json_t *back = conf_to_json(n);
    assert_true(json_equal(json, back));
    json_decref(back);
    json_decref(json);
    arena_free(&a);
}

static const struct nx_param params[] = {
    {"host", NX_PARAM_STRING, NULL, NULL, 0, 0, NULL, "Address of the device.", true, false},
    {"port", NX_PARAM_INT, "502", NULL, 1, 65535, NULL, "TCP port.", false, false},
    {"order", NX_PARAM_ENUM, "ABCD", "ABCD|CDAB", 0, 0, NULL, "Byte order.", false, false},
    {"delay", NX_PARAM_DURATION, NULL, NULL, 0, 0, NULL, "Delay.", false, true},
    {.key = NULL},
};

static void
driver_settings_follow_their_table(void **state)
{
    struct arena a = {0};
    struct conf_node *root;
    struct nx_settings *s;
    struct nx_note why;

    (void)state;
    assert_int_equal(conf_parse_yaml(&a, slice_str("host: plc\norder: CDAB\ntimeout: 2s\n"), "d.yaml", &root, &why),
                     NX_OK);
    assert_int_equal(conf_settings(&a, params, root, (const char *[]){"timeout", NULL}, &s, &why), NX_OK);
    assert_string_equal(nx_setting_string(s, "host"), "plc");
    struct wbuf text = wbuf_init(0);
    conf_settings_print(s, false, &text);
    assert_string_equal(wbuf_cstr(&text), " host=plc port=502 order=1");
    wbuf_reset(&text);
    conf_settings_print(s, true, &text); /* it was not given */
    assert_int_equal(text.len, 0);
    wbuf_free(&text);
    assert_int_equal(nx_setting_int(s, "port"), 502);
    assert_int_equal(nx_setting_enum(s, "order"), 1);
    assert_int_equal(nx_setting_int(s, "delay"), 0);
    assert_int_equal(conf_settings(&a, params, root, NULL, &s, &why), NX_E_CONFIG);
    assert_int_equal(conf_parse_yaml(&a, slice_str("port: 1\n"), "d.yaml", &root, &why), NX_OK);
    assert_int_equal(conf_settings(&a, params, root, NULL, &s, &why), NX_E_CONFIG);
    assert_non_null(strstr(why.text, "'host' is missing: Address of the device."));
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_fills_a_struct),
        cmocka_unit_test(every_mistake_names_line_key_and_remedy),
        cmocka_unit_test(variables_anchors_and_defaults_are_expanded),
        cmocka_unit_test(an_alias_bomb_is_stopped),
        cmocka_unit_test(flags_win_over_environment_over_files),
        cmocka_unit_test(the_sample_file_is_itself_valid),
        cmocka_unit_test(json_errors_name_the_pointer),
        cmocka_unit_test(driver_settings_follow_their_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
