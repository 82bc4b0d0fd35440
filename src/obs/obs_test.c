#include "base/mem.h"
#include "obs/log.h"
#include "obs/metrics.h"
#include "obs/settings.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int pipe_fds[2];

static size_t
read_lines(char *buf, size_t cap)
{
    ssize_t n = read(pipe_fds[0], buf, cap - 1);

    buf[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static void
log_lines_are_json_with_identity(void **state)
{
    struct log_ctx ctx = {.module = "modbus", .kind = "device", .id = "filler-1"};
    char text[4096];
    struct nx_note why;

    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(
        log_init(&(struct log_conf){.level = "info", .format = "json", .service = "gateway", .fd = pipe_fds[1]}, &why),
        NX_OK);
    log_info(&ctx, "read failed", KV_ERR(NX_E_TIMEOUT), KV_INT("register", 40001), KV_STR("text", "a \"b\"\n"));
    log_debug(&ctx, "not shown");
    assert_true(read_lines(text, sizeof text) > 0);
    json_t *line = json_loads(text, 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "device")), "filler-1");
    assert_string_equal(json_string_value(json_object_get(line, "error")), "TIMEOUT");
    assert_int_equal(json_integer_value(json_object_get(line, "register")), 40001);
    assert_string_equal(json_string_value(json_object_get(line, "text")), "a \"b\"\n");
    json_decref(line);
}

static void
repeats_are_counted_not_printed(void **state)
{
    struct log_ctx ctx = {.module = "modbus", .kind = "device", .id = "pump-2"};
    char text[65536];
    unsigned lines = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        log_warn(&ctx, "connection refused");
    log_warn(NULL, "something else");
    read_lines(text, sizeof text);
    for (char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 4); /* three of the flood and the other one */
}

static void
a_wrong_level_is_named(void **state)
{
    struct nx_note why;

    (void)state;
    assert_int_equal(log_init(&(struct log_conf){.level = "loud"}, &why), NX_E_CONFIG);
    assert_non_null(strstr(why.text, "'loud'"));
}

static void
settings_choose_level_and_format(void **state)
{
    char text[4096];
    struct nx_note why;

    (void)state;
    assert_int_equal(log_init_settings(&(struct log_settings){.level = 3, .format = 1}, "core", &why), NX_OK);
    assert_true(log_is_on(NX_LOG_DEBUG));
    log_info(NULL, "as text");
    assert_true(read_lines(text, sizeof text) > 0 && text[0] != '{');
    assert_int_equal(log_init_settings(&(struct log_settings){.level = 1, .format = 0}, "core", &why), NX_OK);
    assert_false(log_is_on(NX_LOG_INFO));
    log_warn(NULL, "as JSON");
    assert_true(read_lines(text, sizeof text) > 0 && text[0] == '{');
    assert_non_null(strstr(text, "\"core\""));
}

static const struct metric_desc polls = {"gateway_polling_polls_total", METRIC_COUNTER, "Polls by result.",
                                         {"device_id", "status"},       NULL,           0};
static const struct metric_desc took = {
    "gateway_polling_duration_seconds", METRIC_HISTOGRAM, "Time of a poll.", {"device_id"}, NULL, 0};

static void
metrics_are_printed_for_prometheus(void **state)
{
    struct metrics *m = metrics_new();
    struct wbuf out = wbuf_init(0);
    struct metric *ok = metrics_get(m, &polls, (const char *[]){"a", "ok"});
    struct metric *h = metrics_get(m, &took, (const char *[]){"a"});

    (void)state;
    assert_ptr_equal(ok, metrics_get(m, &polls, (const char *[]){"a", "ok"}));
    metric_add(ok, 41);
    metric_inc(ok);
    metric_observe(h, 0.003);
    metric_observe(h, 0.2);
    metric_observe(h, 99);
    metrics_print(m, &out);
    const char *text = wbuf_cstr(&out);
    assert_non_null(strstr(text, "# TYPE gateway_polling_polls_total counter\n"));
    assert_non_null(strstr(text, "gateway_polling_polls_total{device_id=\"a\",status=\"ok\"} 42\n"));
    assert_non_null(strstr(text, "gateway_polling_duration_seconds_bucket{device_id=\"a\",le=\"0.005\"} 1\n"));
    assert_non_null(strstr(text, "gateway_polling_duration_seconds_bucket{device_id=\"a\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "gateway_polling_duration_seconds_count{device_id=\"a\"} 3\n"));
    assert_non_null(strstr(text, "process_resident_memory_bytes "));
    assert_true(metric_quantile(h, 0.5) == 0.25);
    wbuf_reset(&out);
    metrics_drop(m, &ok);
    metrics_print(m, &out);
    assert_null(strstr(wbuf_cstr(&out), "polls_total"));
    wbuf_free(&out);
    metrics_free(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_lines_are_json_with_identity),
        cmocka_unit_test(repeats_are_counted_not_printed),
        cmocka_unit_test(a_wrong_level_is_named),
        cmocka_unit_test(settings_choose_level_and_format),
        cmocka_unit_test(metrics_are_printed_for_prometheus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
