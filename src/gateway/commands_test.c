/* commands_test.c -- write commands against the fake driver, in virtual time. */
#include "base/file.h"
#include "gateway/command_parse.h"
#include "gateway/commands.h"
#include "gateway/fake_driver.h"
#include "gateway/fake_outlet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    struct loop *loop;
    struct metrics *metrics;
    struct engine engine;
    struct commands *commands;
    struct fake_outlet broker;
    struct outlet out;
    struct nx_dev *dev;
    unsigned samples, idles;
    char dir[64], state[96];
} t;

static bool
on_sample(void *arg, struct slot *slot, const struct sample *s)
{
    (void)arg;
    (void)slot;
    (void)s;
    t.samples++;
    return true;
}

static void
no_state(void *arg, struct nx_dev *dev)
{
    (void)arg;
    (void)dev;
}

static void
on_idle(void *arg)
{
    (void)arg;
    t.idles++;
}

static bool
find(void *arg, const char *id, struct nx_dev **dev)
{
    (void)arg;
    *dev = t.dev;
    return strcmp(id, "d1") == 0;
}

static struct commands *
make_commands(const char *state_path)
{
    static const struct commands_ops command_ops = {.find = find, .on_sample = on_sample};

    return commands_new(t.loop,
                        &(struct commands_conf){.prefix = "$nexus",
                                                .max_concurrent = 3,
                                                .queue_size = 10,
                                                .write_timeout_ms = 2000,
                                                .want_answers = true,
                                                .state_path = state_path},
                        &command_ops, NULL, &t.out, t.metrics);
}

static int
setup(void **state)
{
    static const struct engine_ops ops = {.on_sample = on_sample, .on_state = no_state, .on_idle = on_idle};
    const struct engine_conf conf = {
        .worker_count = 4, .max_retries = 3, .connects_per_second = 10, .backoff_min_ms = 1000, .backoff_max_ms = 9999};

    (void)state;
    log_set_level(NX_LOG_ERROR);
    memset(&t, 0, sizeof t);
    fake_driver_state = (struct fake_driver_state){0};
    t.loop = loop_fake_new();
    loop_fake_set_wall_us(t.loop, 1700000000000000);
    t.metrics = metrics_new();
    t.out = fake_outlet_init(&t.broker);
    engine_init(&t.engine, t.loop, &conf, &ops, NULL, t.metrics, 1);
    (void)snprintf(t.dir, sizeof t.dir, "/tmp/nexus-commands-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    (void)snprintf(t.state, sizeof t.state, "%s/c", t.dir);
    t.commands = make_commands(t.state);
    struct device *d = fake_device(
        "{'id':'d1','protocol':'fake','poll_interval':'1h','tags':["
        "{'id':'rw','address':'0','data_type':'int16','access_mode':'readwrite','clamp_min':0,'clamp_max':100},"
        "{'id':'ro','address':'1','data_type':'int16'},"
        "{'id':'wo','address':'2','data_type':'int16','access_mode':'write'},"
        "{'id':'scaled','address':'3','data_type':'int16','access_mode':'readwrite','scale_factor':0.5,'offset':10},"
        "{'id':'w1','address':'11','data_type':'int16','access_mode':'readwrite'},"
        "{'id':'w2','address':'12','data_type':'int16','access_mode':'readwrite'},"
        "{'id':'w3','address':'13','data_type':'int16','access_mode':'readwrite'},"
        "{'id':'w4','address':'14','data_type':'int16','access_mode':'readwrite'}]}");
    t.dev = dev_start(&t.engine, &d);
    loop_fake_advance_ms(t.loop, 200);
    assert_int_equal(t.dev->link->state, CONN_UP);
    t.samples = 0;
    return 0;
}

static void
remove_state(void)
{
    static const char *const endings[] = {"seen", "answers"};
    char path[128];

    for (unsigned i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s.%s", t.state, endings[i]);
        (void)unlink(path);
    }
    (void)rmdir(t.dir);
}

static int
teardown(void **state)
{
    (void)state;
    engine_stop(&t.engine);
    loop_fake_turn(t.loop);
    loop_fake_turn(t.loop);
    commands_free(&t.commands);
    loop_fake_turn(t.loop);
    engine_fini(&t.engine);
    fake_outlet_fini(&t.broker);
    loop_free(&t.loop);
    metrics_free(&t.metrics);
    remove_state();
    return 0;
}

static void
deliver(const char *topic, const char *payload)
{
    struct mqtt_message msg = {.topic = slice_str(topic), .payload = slice_str(payload), .qos = 2};

    (void)commands_message(t.commands, &msg);
}

static void
set(const char *tag, const char *payload)
{
    char topic[128];

    (void)snprintf(topic, sizeof topic, "$nexus/cmd/d1/%s/set", tag);
    deliver(topic, payload);
    loop_fake_turn(t.loop);
}

static void
check_answer(const char *tag, const char *has)
{
    char topic[128];

    (void)snprintf(topic, sizeof topic, "$nexus/cmd/response/d1/%s", tag);
    const struct fake_message *m = fake_outlet_last(&t.broker, topic);
    assert_non_null(m);
    if (!strstr(m->payload, has))
        fail_msg("%s: %s is not in %s", tag, has, m->payload);
}

static void
write_is_read_back_and_answered_once(void **state)
{
    (void)state;
    set("rw", "{\"value\": 42, \"id\": \"c1\"}");
    assert_int_equal(fake_driver_state.registers[0], 42);
    assert_int_equal(t.broker.count, 1);
    check_answer("rw", "\"success\":true");
    check_answer("rw", "\"value\":42");
    check_answer("rw", "\"id\":\"c1\"");
    assert_int_equal(t.samples, 1);
}

static void
values_are_scaled_back(void **state)
{
    (void)state;
    set("scaled", "20.5");
    assert_int_equal(fake_driver_state.registers[3], 21);
    check_answer("scaled", "\"value\":20.5");
}

static void
refusals_name_their_cause(void **state)
{
    static const struct {
        const char *tag, *payload, *code;
    } cases[] = {
        {"ro", "1", "\"denied\""},
        {"nope", "1", "\"not_found\""},
        {"rw", "101", "\"out_of_range\""},
        {"rw", "\"x\"", "\"bad_value\""},
        {"rw", "", "\"bad_value\""},
        {"rw", "{\"id\":\"q\"}", "\"bad_value\""},
        {"rw", "{\"value\":[1]}", "\"bad_value\""},
        {"rw", "{\"value\":1,\"ttl_ms\":1000,\"timestamp\":1699999990000}", "\"expired\""},
        {"rw", "{\"value\":1,\"expected\":7}", "\"conflict\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set(cases[i].tag, cases[i].payload);
        check_answer(cases[i].tag, cases[i].code);
        check_answer(cases[i].tag, "\"success\":false");
    }
    assert_int_equal(fake_driver_state.writes, 0);
    assert_int_equal(t.broker.count, sizeof cases / sizeof cases[0]);
}

static void
others_devices_and_retained_messages_are_silent(void **state)
{
    struct mqtt_message msg = {.topic = slice_str("$nexus/cmd/d1/rw/set"),
                               .payload = slice_str("1"),
                               .qos = 2,
                               .retain = true};

    (void)state;
    deliver("$nexus/cmd/d2/rw/set", "1");
    deliver("$nexus/cmd/d1/rw", "1");
    deliver("$nexus/cmd/d1/rw/set/x", "1");
    deliver("$nexus/cmd//rw/set", "1");
    deliver("uns/d1/rw", "1");
    assert_true(commands_message(t.commands, &msg));
    loop_fake_turn(t.loop);
    assert_int_equal(t.broker.count, 0);
    assert_int_equal(fake_driver_state.writes, 0);
}

static void
an_id_is_executed_once(void **state)
{
    (void)state;
    set("rw", "{\"value\":1,\"id\":\"a\"}");
    set("rw", "{\"value\":2,\"id\":\"a\"}");
    set("w1", "{\"value\":3,\"id\":\"a\"}"); /* the same id for another tag is another command */
    assert_int_equal(fake_driver_state.registers[0], 1);
    assert_int_equal(fake_driver_state.registers[11], 3);
    assert_int_equal(t.broker.count, 2);
    assert_int_equal(commands_stats_of(t.commands).duplicates, 1);
}

static void
expected_value_must_hold(void **state)
{
    (void)state;
    fake_driver_state.registers[0] = 5;
    set("rw", "{\"value\":6,\"expected\":5}");
    check_answer("rw", "\"success\":true");
    assert_int_equal(fake_driver_state.registers[0], 6);
}

static void
too_many_writes_are_refused_at_once(void **state)
{
    (void)state;
    fake_driver_state.hangs = true;
    set("w1", "1");
    set("w2", "1");
    set("w3", "1");
    set("w4", "1");
    assert_int_equal(t.broker.count, 1);
    check_answer("w4", "rate limit exceeded, too many concurrent writes");
    fake_driver_answer(t.dev->link); /* writes; read-backs hang next */
    fake_driver_answer(t.dev->link);
    assert_int_equal(t.broker.count, 4);
    check_answer("w3", "\"success\":true");
}

static void
writes_of_one_tag_keep_their_order_and_the_queue_is_bounded(void **state)
{
    (void)state;
    fake_driver_state.hangs_writes = true;
    for (int i = 0; i < 12; i++)
        set("w1", "1");
    assert_int_equal(commands_stats_of(t.commands).running, 1);
    assert_int_equal(commands_stats_of(t.commands).waiting, 10);
    assert_int_equal(t.broker.count, 1);
    check_answer("w1", "\"queue_full\"");
    for (int i = 0; i < 11; i++) {
        fake_driver_answer(t.dev->link);
        loop_fake_turn(t.loop);
    }
    assert_int_equal(fake_driver_state.writes, 11);
    assert_int_equal(t.broker.count, 12);
}

static void
unknown_outcome_is_said_to_be_unknown(void **state)
{
    (void)state;
    fake_driver_state.hangs_writes = true;
    set("rw", "1");
    loop_fake_advance_ms(t.loop, 21000);
    assert_int_equal(t.broker.count, 1);
    check_answer("rw", "\"outcome_unknown\"");
    fake_driver_state.hangs_writes = false;
    fake_driver_state.write_err = NX_E_RANGE;
    set("rw", "2");
    check_answer("rw", "\"out_of_range\"");
}

static void
differing_read_back_is_shown(void **state)
{
    (void)state;
    fake_driver_state.registers[0] = 3;
    fake_driver_state.ignores_writes = true;
    set("rw", "9");
    check_answer("rw", "\"readback_differs\"");
    check_answer("rw", "\"value\":3");
    set("wo", "9"); /* cannot be read back */
    check_answer("wo", "\"success\":true");
}

static void
several_tags_have_an_answer_each(void **state)
{
    (void)state;
    deliver("$nexus/cmd/d1/write", "{\"id\":\"m\",\"values\":{\"w1\":1,\"ro\":2}}");
    deliver("$nexus/cmd/d1/write", "{\"tags\":[{\"tag_id\":\"w2\",\"value\":7}]}");
    loop_fake_turn(t.loop);
    assert_int_equal(t.broker.count, 3);
    check_answer("w1", "\"success\":true");
    check_answer("ro", "\"denied\"");
    assert_int_equal(fake_driver_state.registers[12], 7);
    deliver("$nexus/cmd/d1/write", "7");
    assert_non_null(fake_outlet_last(&t.broker, "$nexus/cmd/response/d1"));
}

static void
response_topic_of_the_caller_is_used(void **state)
{
    struct mqtt_message msg = {.topic = slice_str("$nexus/cmd/d1/rw/set"),
                               .payload = slice_str("1"),
                               .qos = 2,
                               .response_topic = slice_str("me/answers"),
                               .correlation = slice_str("k1")};

    (void)state;
    (void)commands_message(t.commands, &msg);
    loop_fake_turn(t.loop);
    assert_string_equal(fake_outlet_last(&t.broker, "me/answers")->correlation, "k1");
}

static void
answers_wait_for_the_broker(void **state)
{
    (void)state;
    t.broker.answer = NX_E_OFFLINE;
    set("rw", "1");
    assert_int_equal(t.broker.count, 0);
    t.broker.answer = NX_OK;
    commands_ready(t.commands);
    check_answer("rw", "\"success\":true");
}

static void
offline_device_is_no_queue(void **state)
{
    (void)state;
    fake_driver_state.refuses_link = true;
    fake_driver_hang_up(t.dev->link);
    set("rw", "1");
    check_answer("rw", "\"not_connected\"");
    fake_driver_state.refuses_link = false;
}

static void
retired_device_answers_what_was_under_way(void **state)
{
    (void)state;
    fake_driver_state.hangs_writes = true;
    set("rw", "1");
    dev_retire(&t.dev);
    check_answer("rw", "\"outcome_unknown\"");
    loop_fake_turn(t.loop);
    set("rw", "1");
    check_answer("rw", "the device is not running");
}

static void
stop_waits_for_what_is_under_way(void **state)
{
    (void)state;
    fake_driver_state.hangs_writes = true;
    set("rw", "1");
    set("rw", "2");
    commands_stop(t.commands, on_idle, NULL);
    set("w1", "1");
    check_answer("w1", "shutting down");
    assert_int_equal(t.idles, 0);
    fake_driver_answer(t.dev->link);
    assert_int_equal(t.idles, 1);
    loop_fake_turn(t.loop);
    assert_int_equal(fake_driver_state.writes, 1);
    assert_int_equal(t.broker.count, 3);
}

/* --- over kill -9: a copy of the files, as another process would find them --- */

static void
copy_file(const char *from, const char *to, const char *ending)
{
    char a[128], b[128];
    char *text = NULL;
    size_t len = 0;

    (void)snprintf(a, sizeof a, "%s.%s", from, ending);
    (void)snprintf(b, sizeof b, "%s.%s", to, ending);
    assert_int_equal(file_read(a, 1u << 24, &text, &len, NULL), NX_OK);
    assert_int_equal(file_write(b, slice(text, len), 0600, NULL), NX_OK);
    free(text);
}

/* A second gateway takes over the state that the first one has at this moment, and speaks to the same broker. */
static struct commands *
take_over(void)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s-next", t.state);
    copy_file(t.state, path, "seen");
    copy_file(t.state, path, "answers");
    struct commands *next = make_commands(path);
    (void)snprintf(path, sizeof path, "%s-next.seen", t.state);
    assert_int_equal(unlink(path), 0); /* the open files stay */
    (void)snprintf(path, sizeof path, "%s-next.answers", t.state);
    assert_int_equal(unlink(path), 0);
    return next;
}

static void
a_crash_leaves_no_command_without_its_answer(void **state)
{
    static const struct {
        const char *tag, *has;
    } owed[] = {{"rw", "\"outcome_unknown\""}, {"w1", "\"not_executed\""}, {"w2", "\"readback_failed\""}};

    (void)state;
    fake_driver_state.hangs = true;
    set("w2", "{\"value\":1,\"id\":\"c\"}");
    fake_driver_answer(t.dev->link); /* written; the read-back hangs */
    set("rw", "{\"value\":1,\"id\":\"a\"}");
    deliver("$nexus/cmd/d1/w1/set", "{\"value\":1,\"id\":\"b\"}");
    assert_int_equal(t.broker.count, 0);
    struct commands *next = take_over();
    commands_ready(next);
    assert_int_equal(t.broker.count, 3);
    for (size_t i = 0; i < 3; i++)
        check_answer(owed[i].tag, owed[i].has);
    commands_ready(next);
    assert_int_equal(t.broker.count, 3);
    commands_free(&next);
}

static void
an_id_is_known_after_a_crash(void **state)
{
    (void)state;
    set("rw", "{\"value\":1,\"id\":\"a\"}");
    struct commands *next = take_over(), *first = t.commands;
    t.commands = next;
    set("rw", "{\"value\":2,\"id\":\"a\"}");
    assert_int_equal(fake_driver_state.registers[0], 1);
    assert_int_equal(commands_stats_of(next).duplicates, 1);
    set("rw", "{\"value\":3,\"id\":\"b\"}");
    assert_int_equal(fake_driver_state.registers[0], 3);
    t.commands = first;
    commands_free(&next);
}

static void
an_answer_that_the_broker_had_not_taken_is_sent_again(void **state)
{
    (void)state;
    t.broker.holds_done = true;
    set("rw", "{\"value\":7,\"id\":\"a\"}");
    check_answer("rw", "\"value\":7");
    struct commands *next = take_over();
    fake_outlet_settle(&t.broker, NX_OK);
    fake_outlet_clear(&t.broker);
    commands_ready(next);
    check_answer("rw", "\"value\":7");
    fake_outlet_settle(&t.broker, NX_OK);
    commands_free(&next);
}

/* --- order, priority, ways of abuse --- */

static void
a_message_of_many_tags_is_one_write_at_a_time(void **state)
{
    (void)state;
    fake_driver_state.hangs_writes = true;
    deliver("$nexus/cmd/d1/write", "{\"id\":\"m\",\"values\":{\"w1\":1,\"w2\":2,\"nope\":3,\"w3\":4,\"w4\":5}}");
    loop_fake_turn(t.loop);
    assert_int_equal(commands_stats_of(t.commands).running, 1);
    assert_int_equal(commands_stats_of(t.commands).waiting, 4);
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(fake_driver_state.writes, i);
        fake_driver_answer(t.dev->link);
        loop_fake_turn(t.loop);
    }
    assert_int_equal(fake_driver_state.registers[14], 5);
    assert_int_equal(t.broker.count, 5);
    check_answer("nope", "\"not_found\"");
    check_answer("w4", "\"success\":true");
    assert_int_equal(commands_stats_of(t.commands).waiting, 0);
}

static void
stopping_answers_the_rest_of_a_message(void **state)
{
    (void)state;
    fake_driver_state.hangs_writes = true;
    deliver("$nexus/cmd/d1/write", "{\"values\":{\"w1\":1,\"w2\":2,\"w3\":3}}");
    loop_fake_turn(t.loop);
    commands_stop(t.commands, on_idle, NULL);
    fake_driver_answer(t.dev->link);
    loop_fake_turn(t.loop);
    assert_int_equal(fake_driver_state.writes, 1);
    assert_int_equal(t.broker.count, 3);
    check_answer("w3", "shutting down");
}

static void
priority_reaches_the_driver(void **state)
{
    static const struct {
        const char *payload;
        unsigned priority;
    } cases[] = {{"1", 1},
                 {"{\"value\":1,\"priority\":\"safety\"}", 2},
                 {"{\"value\":1,\"priority\":0}", 0},
                 {"{\"value\":1,\"priority\":\"control\"}", 1}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set("w1", cases[i].payload);
        assert_int_equal(fake_driver_state.write_priority, cases[i].priority);
    }
    set("w1", "{\"value\":1,\"priority\":\"high\"}");
    check_answer("w1", "'priority' must be");
}

static void
a_late_command_is_never_executed(void **state)
{
    (void)state;
    fake_driver_state.hangs_writes = true;
    set("w1", "1");
    set("w1", "{\"value\":2,\"ttl_ms\":500,\"id\":\"late\"}");
    loop_fake_advance_ms(t.loop, 600);
    fake_driver_answer(t.dev->link);
    loop_fake_turn(t.loop);
    check_answer("w1", "\"expired\"");
    assert_int_equal(fake_driver_state.writes, 1);
    set("w1", "{\"value\":2,\"ttl_ms\":0}");
    check_answer("w1", "'ttl_ms' must be");
    set("w1", "{\"value\":2,\"ttl_ms\":1e300}");
    check_answer("w1", "'ttl_ms' must be");
    assert_int_equal(fake_driver_state.writes, 1);
}

static void
a_response_cannot_become_a_command(void **state)
{
    struct mqtt_message msg = {.topic = slice_str("$nexus/cmd/d1/rw/set"),
                               .payload = slice_str("1"),
                               .qos = 2,
                               .response_topic = slice_str("$nexus/cmd/d1/w1/set")};

    (void)state;
    (void)commands_message(t.commands, &msg);
    loop_fake_turn(t.loop);
    assert_int_equal(t.broker.count, 1);
    check_answer("rw", "\"success\":true");
    deliver("$nexus/cmd/response/d1/set", "{\"value\":1}");
    assert_int_equal(t.broker.count, 1);
}

static void
without_an_id_only_the_broker_can_repeat(void **state)
{
    struct mqtt_message msg = {.topic = slice_str("$nexus/cmd/d1/rw/set"), .payload = slice_str("1"), .qos = 2};

    (void)state;
    (void)commands_message(t.commands, &msg);
    (void)commands_message(t.commands, &msg);
    msg.dup = true;
    (void)commands_message(t.commands, &msg);
    loop_fake_turn(t.loop);
    loop_fake_turn(t.loop);
    assert_int_equal(fake_driver_state.writes, 2);
    assert_int_equal(commands_stats_of(t.commands).duplicates, 1);
}

static void
a_storm_is_answered_whole(void **state)
{
    char payload[64];

    (void)state;
    fake_driver_state.hangs_writes = true;
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(payload, sizeof payload, "{\"value\":1,\"id\":\"s%d\"}", i % 2000);
        deliver("$nexus/cmd/d1/w1/set", payload);
    }
    loop_fake_turn(t.loop);
    while (commands_stats_of(t.commands).running > 0) {
        fake_driver_answer(t.dev->link);
        loop_fake_turn(t.loop);
    }
    const struct commands_stats st = commands_stats_of(t.commands);
    assert_int_equal(st.received, 3000);
    assert_int_equal(st.duplicates, 1000);
    assert_int_equal(st.done + st.failed + st.rejected, 2000);
    assert_int_equal(t.broker.count, 2000);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(write_is_read_back_and_answered_once),
        TEST(values_are_scaled_back),
        TEST(refusals_name_their_cause),
        TEST(others_devices_and_retained_messages_are_silent),
        TEST(an_id_is_executed_once),
        TEST(expected_value_must_hold),
        TEST(too_many_writes_are_refused_at_once),
        TEST(writes_of_one_tag_keep_their_order_and_the_queue_is_bounded),
        TEST(unknown_outcome_is_said_to_be_unknown),
        TEST(differing_read_back_is_shown),
        TEST(several_tags_have_an_answer_each),
        TEST(response_topic_of_the_caller_is_used),
        TEST(answers_wait_for_the_broker),
        TEST(offline_device_is_no_queue),
        TEST(retired_device_answers_what_was_under_way),
        TEST(stop_waits_for_what_is_under_way),
        TEST(a_crash_leaves_no_command_without_its_answer),
        TEST(an_id_is_known_after_a_crash),
        TEST(an_answer_that_the_broker_had_not_taken_is_sent_again),
        TEST(a_message_of_many_tags_is_one_write_at_a_time),
        TEST(stopping_answers_the_rest_of_a_message),
        TEST(priority_reaches_the_driver),
        TEST(a_late_command_is_never_executed),
        TEST(a_response_cannot_become_a_command),
        TEST(without_an_id_only_the_broker_can_repeat),
        TEST(a_storm_is_answered_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
