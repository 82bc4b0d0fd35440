#include "mqtt/mqtt.h"
#include "mqtt/settings.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
filters_match_topics(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *topic;
        bool matches;
    } rows[] = {
        {"a/b", "a/b", true},
        {"a/b", "a/c", false},
        {"a/b", "a/b/c", false},
        {"a/b/c", "a/b", false},
        {"sport/tennis/player1/#", "sport/tennis/player1", true}, /* 4.7.1.2 */
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/#", "sport", true},
        {"#", "a/b/c", true},
        {"#", "/", true},
        {"sport/tennis/+", "sport/tennis/player1", true}, /* 4.7.1.3 */
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"#", "$SYS/monitor", false}, /* 4.7.2 */
        {"+/monitor", "$SYS/monitor", false},
        {"$SYS/#", "$SYS/monitor", true},
        {"$SYS/monitor/+", "$SYS/monitor/x", true},
        {"$share/ingestion/nexus/v1/batch/#", "nexus/v1/batch/gw/0", true},
        {"$share/g/a", "b", false},
        {"a/#", "ab", false},
        {"+/b/#", "a/b", true},
        {"ACCOUNTS", "Accounts", false},
    };

    for (size_t i = 0; i < MEM_COUNT(rows); i++)
        if (mqtt_topic_matches(slice_str(rows[i].filter), slice_str(rows[i].topic)) != rows[i].matches)
            fail_msg("'%s' and '%s'", rows[i].filter, rows[i].topic);
}

static void
names_are_checked(void **state)
{
    (void)state;
    static const char *good[] = {"a", "/", "a/b", "+", "#", "+/b/#", "a//b", "$share/g/a/#", "$SYS/#", "A𪛔"};
    static const char *bad[] = {"",         "a#",        "a/#/b",      "a+",        "+a/b", "#/",
                                "$share/g", "$share//a", "$share/+/a", "$share/g/", "\xff"};
    char *longest = mem_alloc(65537);

    for (size_t i = 0; i < MEM_COUNT(good); i++)
        if (!mqtt_filter_is_valid(slice_str(good[i])))
            fail_msg("refused: '%s'", good[i]);
    for (size_t i = 0; i < MEM_COUNT(bad); i++)
        if (mqtt_filter_is_valid(slice_str(bad[i])))
            fail_msg("accepted: '%s'", bad[i]);
    memset(longest, 'x', 65536);
    assert_true(mqtt_filter_is_valid(slice(longest, 65535)) && mqtt_topic_is_valid(slice(longest, 65535)));
    assert_false(mqtt_filter_is_valid(slice(longest, 65536)) || mqtt_topic_is_valid(slice(longest, 65536)));
    mem_free_const(longest);
    assert_true(mqtt_topic_is_valid(slice_str("uns/plant/line")));
    assert_false(mqtt_topic_is_valid(slice_str("uns/+/line")) || mqtt_topic_is_valid(slice_str("uns/#")));
    assert_false(mqtt_topic_is_valid(slice("a\0b", 3)));
}

static void
urls_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host;
        uint16_t port;
        bool tls;
    } rows[] = {
        {"mqtt://broker:1884", "broker", 1884, false},     {"mqtts://broker", "broker", 8883, true},
        {"tcp://10.0.0.1:1883/", "10.0.0.1", 1883, false}, {"ssl://b:1", "b", 1, true},
        {"localhost:1883", "localhost", 1883, false},      {"localhost", "localhost", 1883, false},
        {"mqtt://[::1]:1999", "::1", 1999, false},         {"mqtts://[fe80::1]", "fe80::1", 8883, true},
    };
    static const char *bad[] = {
        "",      "mqtt://",  "mqtt://:1883",   "h:0",         "h:65536",       "h:",
        "h:12x", "http://h", "mqtt://u:p@h:1", "mqtt://[::1", "mqtt://[::1]x", "mqtt://h:1/path"};
    char host[64];
    uint16_t port;
    bool tls;
    struct nx_note why;

    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        assert_int_equal(mqtt_parse_url(rows[i].url, host, sizeof host, &port, &tls, &why), NX_OK);
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
        assert_int_equal(tls, rows[i].tls);
    }
    for (size_t i = 0; i < MEM_COUNT(bad); i++) {
        if (mqtt_parse_url(bad[i], host, sizeof host, &port, &tls, &why) != NX_E_CONFIG)
            fail_msg("accepted: '%s'", bad[i]);
        assert_true(strlen(why.text) > 20);
    }
    assert_int_equal(mqtt_parse_url("mqtt://abc", host, 3, &port, &tls, NULL), NX_E_CONFIG);
}

static void
settings_become_a_client(void **state)
{
    (void)state;
    struct mqtt_settings s = {.broker_url = "mqtts://b", .client_id = "c", .ca_file = "ca.pem", .keepalive_ms = 20500};
    struct mqtt_conf conf = {.window = 7};
    struct mqtt_peer peer;
    struct nx_note why;

    assert_int_equal(mqtt_settings_apply(&s, &conf, &peer, &why), NX_OK);
    assert_string_equal(conf.host, "b");
    assert_string_equal(conf.tls->ca_file, "ca.pem");
    assert_string_equal(conf.client_id, "c");
    assert_int_equal(conf.version, MQTT_V5);
    assert_int_equal(conf.keepalive_s, 20);
    assert_int_equal(conf.window, 7);
    s.broker_url = "mqtt://b";
    s.version = 1;
    assert_int_equal(mqtt_settings_apply(&s, &conf, &peer, &why), NX_OK);
    assert_null(conf.tls);
    assert_int_equal(conf.version, MQTT_V311);
    s.broker_url = "http://b";
    assert_int_equal(mqtt_settings_apply(&s, &conf, &peer, &why), NX_E_CONFIG);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_match_topics),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(urls_are_read),
        cmocka_unit_test(settings_become_a_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
