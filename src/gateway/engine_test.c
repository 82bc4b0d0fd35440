/* engine_test.c -- devices and polls in virtual time, with the fake driver. */
#include "gateway/engine.h"
#include "gateway/fake_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define TWO_TAGS                                                                                                       \
    "{'id':'d1','protocol':'fake','connection':{'timeout':'300ms','retry_count':0},'tags':["                           \
    "{'id':'a','address':'0','data_type':'int16'},{'id':'b','address':'1','data_type':'int16'}]}"

static struct {
    struct loop *loop;
    struct metrics *metrics;
    struct engine engine;
    unsigned good, bad, states, idles, troubles, polled[26];
    uint16_t last_quality;
    char last_reason[320];
} t;

static bool
on_sample(void *arg, struct slot *slot, const struct sample *s)
{
    bool is_change = slot->value.type != s->value.type || slot->value.i != s->value.i;

    (void)arg;
    slot->value = s->value;
    t.polled[slot->tag->id[0] - 'a']++;
    t.good += !nx_quality_is_bad(s->quality);
    t.bad += nx_quality_is_bad(s->quality);
    t.last_quality = s->quality;
    (void)snprintf(t.last_reason, sizeof t.last_reason, "%s", s->reason ? s->reason : "");
    return is_change;
}

static void
on_state(void *arg, struct nx_dev *dev)
{
    (void)arg;
    (void)dev;
    t.states++;
}

static void
on_trouble(void *arg, struct nx_link *link, const struct nx_note *why)
{
    (void)arg;
    assert_true(link->dev_count > 0 && why->text[0]);
    t.troubles++;
}

static void
on_idle(void *arg)
{
    (void)arg;
    t.idles++;
}

static int
setup(void **state)
{
    static const struct engine_ops ops = {.on_sample = on_sample,
                                          .on_state = on_state,
                                          .on_idle = on_idle,
                                          .on_trouble = on_trouble};
    const struct engine_conf conf = {.worker_count = 4,
                                     .max_retries = 3,
                                     .connects_per_second = 10,
                                     .backoff_min_ms = 1000,
                                     .backoff_max_ms = 30000};

    (void)state;
    log_set_level(NX_LOG_ERROR);
    memset(&t, 0, sizeof t);
    fake_driver_state = (struct fake_driver_state){0};
    t.loop = loop_fake_new();
    t.metrics = metrics_new();
    engine_init(&t.engine, t.loop, &conf, &ops, NULL, t.metrics, 42);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    engine_stop(&t.engine);
    loop_fake_turn(t.loop);
    loop_fake_turn(t.loop);
    assert_int_equal(t.idles, 1);
    assert_int_equal(fake_driver_state.open_links, 0);
    engine_fini(&t.engine);
    loop_free(&t.loop);
    metrics_free(&t.metrics);
    return 0;
}

static struct nx_dev *
start(const char *json)
{
    struct device *d = fake_device(json);

    return dev_start(&t.engine, &d);
}

static struct nx_dev *
start_numbered(unsigned n)
{
    char json[512];

    (void)snprintf(json, sizeof json,
                   "{'id':'d%u','protocol':'fake','connection':{'timeout':'300ms','retry_count':0,'line':'%u'},"
                   "'tags':[{'id':'a','address':'0','data_type':'int16'}]}",
                   n, n);
    return start(json);
}

static void
polls_at_its_rate_and_keeps_its_phase(void **state)
{
    (void)state;
    struct nx_dev *dev = start(TWO_TAGS);
    loop_fake_advance_ms(t.loop, 150); /* start jitter is at most a tenth of the interval */
    assert_int_equal(dev->link->state, CONN_UP);
    assert_int_equal(fake_driver_state.reads, 1);
    loop_fake_advance_ms(t.loop, 1000); /* the second comes somewhere within the interval: that is the phase */
    unsigned before = fake_driver_state.reads;
    assert_in_range(before, 2, 3);
    loop_fake_advance_ms(t.loop, 10000);
    assert_int_equal(fake_driver_state.reads, before + 10);
    assert_int_equal(t.good, 2 * (before + 10));
    assert_int_equal(t.bad, 0);
    assert_int_equal(dev->stats.polls_ok, before + 10);
    assert_string_equal(dev_status_word(dev), "online");
}

static void
tags_have_their_own_interval(void **state)
{
    (void)state;
    (void)start("{'id':'d1','protocol':'fake','tags':["
                "{'id':'a','address':'0','data_type':'int16','poll_interval':'100ms'},"
                "{'id':'b','address':'1','data_type':'int16'},"
                "{'id':'c','address':'2','data_type':'int16','enabled':false},"
                "{'id':'d','address':'3','data_type':'int16','access_mode':'write'}]}");
    loop_fake_advance_ms(t.loop, 1150); /* both have their phase */
    unsigned before = t.good;
    loop_fake_advance_ms(t.loop, 1000);
    assert_int_equal(t.good - before, 11);
}

static void
one_bad_address_spoils_only_its_tag(void **state)
{
    (void)state;
    (void)start("{'id':'d1','protocol':'fake','tags':[{'id':'a','address':'0','data_type':'int16'},"
                "{'id':'b','address':'63','data_type':'int16'}]}");
    loop_fake_advance_ms(t.loop, 150);
    assert_int_equal(t.good, 1);
    assert_int_equal(t.bad, 1);
    assert_string_equal(t.last_reason, nx_err_text(NX_E_ADDRESS));
}

static void
hanging_poll_ends_at_its_deadline(void **state)
{
    (void)state;
    fake_driver_state.hangs = true;
    struct nx_dev *dev = start(TWO_TAGS);
    loop_fake_advance_ms(t.loop, 150);
    assert_int_equal(t.bad, 0);
    loop_fake_advance_ms(t.loop, 300);
    assert_int_equal(t.bad, 2);
    assert_int_equal(t.last_quality, NX_Q_TIMEOUT);
    assert_int_equal(t.engine.polls_in_flight, 0);
    assert_string_equal(dev_status_word(dev), "error");
    fake_driver_state.hangs = false;
    loop_fake_advance_ms(t.loop, 1000);
    assert_string_equal(dev_status_word(dev), "online");
    assert_int_equal(fake_driver_state.opens, 1);
}

static void
a_link_without_any_answer_is_made_anew(void **state)
{
    (void)state;
    fake_driver_state.hangs = true;
    struct nx_dev *dev = start(TWO_TAGS);
    loop_fake_advance_ms(t.loop, 2500);
    assert_int_equal(dev->stats.polls_failed, 3);
    assert_int_equal(fake_driver_state.closes, 1);
    for (unsigned i = 0; i < 200; i++) { /* it accepts every connection: that alone is not online */
        loop_fake_advance_ms(t.loop, 100);
        assert_string_not_equal(dev_status_word(dev), "online");
    }
    assert_true(fake_driver_state.opens >= 2);
    fake_driver_state.hangs = false;
    loop_fake_advance_ms(t.loop, 20000);
    assert_int_equal(dev->link->state, CONN_UP);
    assert_string_equal(dev_status_word(dev), "online");
}

static void
polls_beyond_the_cap_are_skipped_and_counted(void **state)
{
    struct nx_dev *devs[8];
    uint64_t skipped = 0;

    (void)state;
    fake_driver_state.hangs = true;
    for (unsigned i = 0; i < 8; i++)
        devs[i] = start_numbered(i);
    loop_fake_advance_ms(t.loop, 250);
    assert_int_equal(t.engine.polls_in_flight, 4);
    for (unsigned i = 0; i < 8; i++)
        skipped += devs[i]->stats.polls_skipped;
    assert_in_range(skipped, 4, 8); /* the first slot of four; the second one may have come already */
    assert_int_equal(metric_value(t.engine.skipped_total), skipped);
}

static void
a_busy_device_is_not_asked_again(void **state)
{
    (void)state;
    struct nx_dev *dev = start("{'id':'d1','protocol':'fake','connection':{'timeout':'5s','retry_count':0},"
                               "'tags':[{'id':'a','address':'0','data_type':'int16'}]}");
    fake_driver_state.hangs = true;
    loop_fake_advance_ms(t.loop, 3150);
    assert_int_equal(fake_driver_state.reads, 1);
    assert_int_equal(dev->stats.polls_skipped, 3);
    fake_driver_answer(dev->link);
    assert_int_equal(t.good, 1);
}

static void
a_failed_read_is_tried_again_within_its_slot(void **state)
{
    (void)state;
    (void)start("{'id':'d1','protocol':'fake','connection':{'timeout':'300ms','retry_count':2,'retry_delay':'50ms'},"
                "'tags':[{'id':'a','address':'0','data_type':'int16'}]}");
    fake_driver_state.read_err = NX_E_BUSY;
    loop_fake_advance_ms(t.loop, 110);
    fake_driver_state.read_err = NX_OK;
    loop_fake_advance_ms(t.loop, 100);
    assert_int_equal(t.bad, 0);
    assert_int_equal(t.good, 1);
}

static void
a_lost_link_makes_all_tags_bad_and_comes_back(void **state)
{
    (void)state;
    struct nx_dev *dev = start(TWO_TAGS);
    loop_fake_advance_ms(t.loop, 500);
    fake_driver_hang_up(dev->link);
    loop_fake_turn(t.loop);
    assert_int_equal(t.bad, 2);
    assert_int_equal(t.last_quality, NX_Q_NOT_CONNECTED);
    assert_string_equal(dev_status_word(dev), "offline");
    loop_fake_advance_ms(t.loop, 3100);
    assert_int_equal(dev->link->state, CONN_UP);
    assert_int_equal(t.bad, 2);
}

/* Fault row 10: at most one attempt a second for a device. */
static void
refused_device_is_tried_with_growing_pauses(void **state)
{
    (void)state;
    fake_driver_state.refuses_link = true;
    struct nx_dev *dev = start(TWO_TAGS);
    loop_fake_advance_ms(t.loop, 10000);
    assert_in_range(fake_driver_state.opens, 2, 10);
    loop_fake_advance_ms(t.loop, 590000);
    assert_in_range(fake_driver_state.opens, 20, 100);
    assert_in_range(dev->link->backoff_ms, 1000, 30000);
    assert_int_equal(t.bad, 2 * fake_driver_state.opens); /* the filter lets only the first pass */
    assert_string_equal(dev->why.text, "fake: connection refused");
    fake_driver_state.refuses_link = false;
    loop_fake_advance_ms(t.loop, 31000);
    assert_int_equal(dev->link->state, CONN_UP);
}

static void
attempts_of_the_site_are_limited(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++)
        (void)start_numbered(i);
    loop_fake_advance_ms(t.loop, 200);
    assert_in_range(fake_driver_state.opens, 10, 12);
    loop_fake_advance_ms(t.loop, 1000);
    assert_in_range(fake_driver_state.opens, 20, 22);
    loop_fake_advance_ms(t.loop, 3000);
    assert_int_equal(fake_driver_state.opens, 40);
}

static void
retiring_leaves_nothing_behind(void **state)
{
    (void)state;
    fake_driver_state.hangs = true;
    struct nx_dev *up = start_numbered(1), *waiting;
    loop_fake_advance_ms(t.loop, 200);
    assert_int_equal(t.engine.polls_in_flight, 1);
    waiting = start_numbered(2);
    unsigned bad = t.bad;
    dev_retire(&up);
    dev_retire(&waiting);
    assert_int_equal(t.engine.polls_in_flight, 0);
    loop_fake_turn(t.loop);
    loop_fake_turn(t.loop);
    assert_int_equal(t.engine.dev_count, 0);
    assert_int_equal(t.bad, bad);
    assert_int_equal(t.idles, 0);
    struct nx_dev *again = start_numbered(3);
    assert_true(again->slots[0].key < 2); /* keys are used again: they stay dense */
}

static void
pause_starts_no_polls(void **state)
{
    (void)state;
    (void)start(TWO_TAGS);
    loop_fake_advance_ms(t.loop, 150);
    engine_pause(&t.engine);
    loop_fake_advance_ms(t.loop, 5000);
    assert_int_equal(fake_driver_state.reads, 1);
}

/* --- devices on one line --- */

static struct nx_dev *
start_unit(unsigned unit)
{
    char json[512];

    (void)snprintf(json, sizeof json,
                   "{'id':'u%u','protocol':'fake','poll_interval':'500ms',"
                   "'connection':{'timeout':'300ms','retry_count':0,'line':'bus','unit':%u},"
                   "'tags':[{'id':'%c','address':'0','data_type':'int16'}]}",
                   unit, unit, (int)('a' + unit));
    return start(json);
}

static void
devices_of_one_line_share_a_connection(void **state)
{
    struct nx_dev *a = start_unit(1), *b = start_unit(2), *other = start_numbered(9);

    (void)state;
    loop_fake_advance_ms(t.loop, 1000);
    assert_int_equal(fake_driver_state.opens, 2);
    assert_ptr_equal(a->link, b->link);
    assert_ptr_not_equal(a->link, other->link);
    fake_driver_hang_up(a->link);
    loop_fake_turn(t.loop);
    assert_string_equal(dev_status_word(a), "offline");
    assert_string_equal(dev_status_word(b), "offline");
    assert_string_equal(dev_status_word(other), "online");
    loop_fake_advance_ms(t.loop, 4000);
    assert_string_equal(dev_status_word(b), "online");
    assert_int_equal(fake_driver_state.opens, 3);
}

static void
a_changed_device_keeps_the_connection(void **state)
{
    (void)state;
    struct nx_dev *before = start_unit(1);
    loop_fake_advance_ms(t.loop, 1000);
    dev_retire(&before);
    struct nx_dev *after = start_unit(1);
    loop_fake_turn(t.loop);
    assert_int_equal(after->link->state, CONN_UP);
    loop_fake_advance_ms(t.loop, 100);
    assert_int_equal(fake_driver_state.opens, 1);
    assert_int_equal(t.engine.dev_count, 1);
    dev_retire(&after);
    loop_fake_advance_ms(t.loop, 100);
    assert_int_equal(fake_driver_state.closes, 1);
    assert_null(t.engine.links);
}

static void
a_device_may_join_a_connection_that_closes(void **state)
{
    (void)state;
    struct nx_dev *dev = start_unit(1);
    loop_fake_advance_ms(t.loop, 1000);
    fake_driver_hang_up(dev->link);
    struct nx_dev *other = start_unit(2); /* CLOSING until the end of the turn */
    dev_retire(&dev);
    loop_fake_advance_ms(t.loop, 5000);
    assert_string_equal(dev_status_word(other), "online");
}

static void
settings_that_never_work_cost_only_their_device(void **state)
{
    (void)state;
    struct nx_dev *good = start_unit(1),
                  *bad = start("{'id':'x','protocol':'fake','connection':{'line':'bus','unit':99},"
                               "'tags':[{'id':'z','address':'0','data_type':'int16'}]}");
    loop_fake_advance_ms(t.loop, 1000);
    assert_string_equal(dev_status_word(good), "online");
    assert_string_equal(dev_status_word(bad), "error");
    assert_string_equal(bad->why.text, "fake: there is no unit 99");
    assert_int_equal(t.bad, 1);
}

/* A dead unit is asked at most every ten seconds, and starves nobody. */
static void
a_silent_unit_is_left_in_peace(void **state)
{
    (void)state;
    struct nx_dev *dead = start_unit(1), *alive = start_unit(2);
    fake_driver_state.silent_unit = 1;
    loop_fake_advance_ms(t.loop, 3000);
    assert_int_equal(dead->breaker.state, BREAKER_OPEN);
    assert_int_equal(dead->stats.polls_failed, 2);
    assert_string_equal(dev_status_word(dead), "error");
    loop_fake_advance_ms(t.loop, 57000);
    assert_in_range(dead->stats.polls_failed, 5, 8);
    assert_in_range(alive->stats.polls_ok, 118, 121);
    assert_int_equal(alive->stats.polls_failed, 0);
    assert_int_equal(fake_driver_state.opens, 1);
    fake_driver_state.silent_unit = 0;
    loop_fake_advance_ms(t.loop, 13000);
    assert_string_equal(dev_status_word(dead), "online");
    assert_int_equal(dead->breaker.state, BREAKER_CLOSED);
}

/* --- the breaker of a device of its own --- */

static void
failing_polls_open_the_breaker(void **state)
{
    (void)state;
    struct nx_dev *dev = start(TWO_TAGS);
    fake_driver_state.read_err = NX_E_PROTO;
    loop_fake_advance_ms(t.loop, 5500);
    assert_int_equal(dev->breaker.state, BREAKER_OPEN);
    unsigned asked = fake_driver_state.reads, bad = t.bad;
    assert_int_equal(asked, 5);
    loop_fake_advance_ms(t.loop, 20000);
    assert_int_equal(fake_driver_state.reads, asked);
    assert_int_equal(t.bad, bad + 40); /* every poll slot still ends as a reading with its reason */
    assert_string_equal(dev->why.text, nx_err_text(NX_E_PROTO));
    loop_fake_advance_ms(t.loop, 12000);
    assert_int_equal(fake_driver_state.reads, asked + 1); /* one probe, which failed */
    fake_driver_state.read_err = NX_OK;
    loop_fake_advance_ms(t.loop, 35000);
    assert_int_equal(dev->breaker.state, BREAKER_CLOSED);
    assert_string_equal(dev_status_word(dev), "online");
    assert_int_equal(t.troubles, 1);
}

/* --- idle, health, rates --- */

static void
an_idle_connection_sleeps_and_wakes_for_its_poll(void **state)
{
    (void)state;
    struct nx_dev *dev = start("{'id':'d1','protocol':'fake','poll_interval':'60s','connection':{'idle_timeout':'5s'},"
                               "'tags':[{'id':'a','address':'0','data_type':'int16'}]}");
    loop_fake_advance_ms(t.loop, 200);
    assert_int_equal(fake_driver_state.reads, 1);
    loop_fake_advance_ms(t.loop, 10000);
    assert_int_equal(dev->link->state, CONN_OFF);
    assert_string_equal(dev_status_word(dev), "online");
    assert_int_equal(t.bad, 0);
    loop_fake_advance_ms(t.loop, 120000);
    assert_in_range(fake_driver_state.reads, 3, 4);
    assert_in_range(fake_driver_state.opens, 3, 4);
    assert_int_equal(t.good, fake_driver_state.reads);
}

static void
a_sleeping_connection_that_cannot_wake_fails_its_poll(void **state)
{
    (void)state;
    struct nx_dev *dev = start("{'id':'d1','protocol':'fake','poll_interval':'60s','connection':{'idle_timeout':'5s'},"
                               "'tags':[{'id':'a','address':'0','data_type':'int16'}]}");
    loop_fake_advance_ms(t.loop, 10200);
    assert_int_equal(dev->link->state, CONN_OFF);
    fake_driver_state.refuses_link = true;
    loop_fake_advance_ms(t.loop, 60000);
    assert_string_equal(dev_status_word(dev), "offline");
    assert_true(t.bad > 0);
    fake_driver_state.refuses_link = false;
    loop_fake_advance_ms(t.loop, 31000);
    assert_string_equal(dev_status_word(dev), "online");
}

static void
a_quiet_connection_is_probed(void **state)
{
    (void)state;
    struct nx_dev *dev = start("{'id':'d1','protocol':'fake','poll_interval':'10m',"
                               "'connection':{'timeout':'1s','health_interval':'20s'},"
                               "'tags':[{'id':'a','address':'0','data_type':'int16'},"
                               "{'id':'b','address':'1','data_type':'int16'}]}");
    loop_fake_advance_ms(t.loop, 200);
    unsigned good = t.good;
    loop_fake_advance_ms(t.loop, 50000);
    assert_in_range(fake_driver_state.reads, 3, 4);
    assert_int_equal(t.good, good); /* a probe is no poll */
    fake_driver_state.hangs = true;
    loop_fake_advance_ms(t.loop, 27000);
    assert_true(fake_driver_state.closes >= 1);
    assert_string_not_equal(dev_status_word(dev), "online");
}

static void
a_rate_limit_holds(void **state)
{
    (void)state;
    struct nx_dev *dev = start("{'id':'d1','protocol':'fake','poll_interval':'100ms',"
                               "'connection':{'max_requests_per_second':2},"
                               "'tags':[{'id':'a','address':'0','data_type':'int16'}]}");
    loop_fake_advance_ms(t.loop, 20000);
    assert_in_range(fake_driver_state.reads, 38, 44);
    assert_true(dev->stats.polls_skipped > 100);
}

static void
the_last_places_are_for_what_matters_more(void **state)
{
    (void)state;
    fake_driver_state.hangs = true;
    t.engine.conf.worker_count = 10;
    for (unsigned i = 0; i < 12; i++) {
        char json[256];
        (void)snprintf(json, sizeof json,
                       "{'id':'d%u','protocol':'fake','connection':{'timeout':'9s','line':'%u'},"
                       "'tags':[{'id':'a','address':'0','data_type':'int16'}]}",
                       i, i);
        (void)start(json);
    }
    loop_fake_advance_ms(t.loop, 2500);
    assert_int_equal(t.engine.polls_in_flight, 8);
    (void)start("{'id':'s','protocol':'fake','connection':{'timeout':'9s','line':'s'},"
                "'tags':[{'id':'a','address':'0','data_type':'int16','priority':'safety'}]}");
    loop_fake_advance_ms(t.loop, 1500);
    assert_int_equal(t.engine.polls_in_flight, 9);
}

static void
tags_that_rest_are_read_seldom(void **state)
{
    (void)state;
    (void)start("{'id':'d1','protocol':'fake','tags':[{'id':'a','address':'0','data_type':'int16',"
                "'adaptive':{'min_interval':'100ms','max_interval':'2s'}}]}");
    loop_fake_advance_ms(t.loop, 20000);
    unsigned before = fake_driver_state.reads;
    assert_in_range(before, 10, 30);
    loop_fake_advance_ms(t.loop, 20000);
    assert_in_range(fake_driver_state.reads - before, 9, 11);
    for (unsigned i = 0; i < 100; i++) {
        fake_driver_state.registers[0]++;
        loop_fake_advance_ms(t.loop, 50);
    }
    assert_in_range(fake_driver_state.reads - before, 35, 65); /* it changes: every 100 ms again */
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(polls_at_its_rate_and_keeps_its_phase),
        TEST(tags_have_their_own_interval),
        TEST(one_bad_address_spoils_only_its_tag),
        TEST(hanging_poll_ends_at_its_deadline),
        TEST(a_link_without_any_answer_is_made_anew),
        TEST(polls_beyond_the_cap_are_skipped_and_counted),
        TEST(a_busy_device_is_not_asked_again),
        TEST(a_failed_read_is_tried_again_within_its_slot),
        TEST(a_lost_link_makes_all_tags_bad_and_comes_back),
        TEST(refused_device_is_tried_with_growing_pauses),
        TEST(attempts_of_the_site_are_limited),
        TEST(retiring_leaves_nothing_behind),
        TEST(pause_starts_no_polls),
        TEST(devices_of_one_line_share_a_connection),
        TEST(a_changed_device_keeps_the_connection),
        TEST(a_device_may_join_a_connection_that_closes),
        TEST(settings_that_never_work_cost_only_their_device),
        TEST(a_silent_unit_is_left_in_peace),
        TEST(failing_polls_open_the_breaker),
        TEST(an_idle_connection_sleeps_and_wakes_for_its_poll),
        TEST(a_sleeping_connection_that_cannot_wake_fails_its_poll),
        TEST(a_quiet_connection_is_probed),
        TEST(a_rate_limit_holds),
        TEST(the_last_places_are_for_what_matters_more),
        TEST(tags_that_rest_are_read_seldom),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
