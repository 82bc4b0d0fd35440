/* points_test.c -- readings to spool and broker: journal first, conflation, failing disk. */
#include "base/test_dir.h"
#include "gateway/fake_outlet.h"
#include "gateway/fake_slots.h"
#include "gateway/points.h"

#include "model/batch.h"
#include "spool/disk.h"

#include <math.h>
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
    struct spool *sp;
    struct link *link;
    struct points *points;
    struct fake_outlet broker;
    struct nx_dev *dev;
    char dir[64];
    uint64_t cap_bytes;
    struct outlet link_out;
    bool is_urgent_open;
    int16_t next;
} t;

static void
on_drop(void *arg, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    (void)arg;
    if (t.points)
        points_dropped(t.points, LANE_BULK, from, to, points, cause);
}

static void
open_all(uint64_t reserve)
{
    struct outlet out = fake_outlet_init(&t.broker);
    struct nx_note why = {0};

    struct spool_conf sc = {.dir = t.dir, .cap_bytes = t.cap_bytes, .disk_reserve_bytes = reserve};
    if (spool_open(&t.sp, t.loop, &sc, &(struct spool_ops){.on_drop = on_drop}, NULL, &why) != NX_OK)
        fail_msg("%s", why.text);
    t.link_out = out;
    t.link = link_new(t.loop, &(struct link_conf){.topic = "batch", .window = 8, .backlog_share = 50, .rto_ms = 1000},
                      t.sp, &out);
    t.points = points_new(
        t.loop,
        &(struct points_conf){.gateway = "g", .batch_size = 4, .flush_interval_ms = 5, .want_tags = true, .qos = 1},
        t.sp, t.link, &out, t.metrics);
    t.dev = fake_slots_new("{'id':'d1','protocol':'fake','tags':["
                           "{'id':'a','address':'0','data_type':'int16','unit':'bar'},"
                           "{'id':'b','address':'1','data_type':'int16'},"
                           "{'id':'s','address':'2','data_type':'string'}]}",
                           0);
    points_adopt(t.points, t.dev);
    link_online(t.link);
}

static void close_urgent(void);

static void
close_all(void)
{
    if (t.dev)
        points_forget(t.points, t.dev);
    points_free(&t.points);
    if (t.is_urgent_open)
        close_urgent();
    fake_slots_free(&t.dev);
    link_free(&t.link);
    spool_close(&t.sp);
    loop_fake_turn(t.loop);
    fake_outlet_fini(&t.broker);
}

static int
setup(void **state)
{
    (void)state;
    log_set_level((enum nx_log_level) - 1);
    memset(&t, 0, sizeof t);
    (void)snprintf(t.dir, sizeof t.dir, "/tmp/points_test.XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    t.loop = loop_fake_new();
    loop_fake_set_wall_us(t.loop, 1700000000000000);
    t.metrics = metrics_new();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    close_all();
    loop_free(&t.loop);
    metrics_free(&t.metrics);
    return test_dir_remove(t.dir);
}

static void
take_int(unsigned tag, int64_t n)
{
    struct sample s = {.value = nx_value_int(n), .quality = NX_Q_GOOD};

    points_take(t.points, &t.dev->slots[tag], &s);
}

static struct batch
decode(struct arena *a, unsigned message)
{
    const struct fake_message *m = &t.broker.messages[message];
    struct batch b;
    struct nx_note why = {0};

    assert_string_equal(m->topic, "batch");
    if (batch_decode(slice(m->payload, m->len), a, &b, &why) != NX_OK)
        fail_msg("%s", why.text);
    return b;
}

static void
point_is_in_the_spool_before_it_is_published(void **state)
{
    struct arena a = {0};

    (void)state;
    open_all(0);
    take_int(0, 7);
    take_int(1, 8);
    assert_int_equal(t.broker.count, 0);
    loop_fake_turn(t.loop);
    assert_int_equal(spool_stats_of(t.sp).points, 2);
    assert_int_equal(t.broker.count, 3); /* the record, then the picture */
    struct batch b = decode(&a, 0);
    assert_int_equal(b.point_count, 2);
    assert_int_equal(b.hdr.seq, 1);
    assert_int_equal(b.points[0].value.i, 7);
    assert_string_equal(t.broker.messages[1].topic, "uns/d1/a");
    assert_string_equal(t.broker.messages[1].payload,
                        "{\"value\":7,\"quality\":\"good\",\"timestamp\":1700000000000,\"unit\":\"bar\",\"seq\":1}");
    arena_free(&a);
}

static void
unchanged_values_are_silent(void **state)
{
    (void)state;
    open_all(0);
    for (unsigned i = 0; i < 10; i++) {
        take_int(0, 7);
        loop_fake_advance_ms(t.loop, 100);
    }
    assert_int_equal(fake_outlet_count(&t.broker, "uns/"), 1);
    assert_int_equal(points_stats_of(t.points).taken, 10);
    assert_int_equal(points_stats_of(t.points).passed, 1);
}

static void
full_batches_leave_at_once_and_small_ones_wait_a_little(void **state)
{
    uint64_t journaled;

    (void)state;
    open_all(0);
    for (int i = 0; i < 64; i++) { /* a burst of replies: each is written in its turn */
        take_int(0, i);
        loop_fake_turn(t.loop);
    }
    journaled = points_stats_of(t.points).journaled;
    assert_int_equal(journaled, 64);
    for (int i = 0; i < 5; i++)
        take_int(1, i);
    assert_int_equal(points_stats_of(t.points).journaled, journaled + 4); /* a full batch */
    loop_fake_turn(t.loop);
    assert_int_equal(points_stats_of(t.points).journaled, journaled + 4);
    loop_fake_advance_ms(t.loop, 6);
    assert_int_equal(points_stats_of(t.points).journaled, journaled + 5);
}

static void
points_of_one_turn_have_different_times(void **state)
{
    struct arena a = {0};

    (void)state;
    open_all(0);
    for (int i = 0; i < 4; i++)
        take_int(1, i);
    loop_fake_turn(t.loop);
    struct batch b = decode(&a, 0);
    assert_int_equal(b.point_count, 4);
    for (unsigned i = 1; i < 4; i++)
        assert_true(b.points[i].time_us > b.points[i - 1].time_us);
    arena_free(&a);
}

static void
slow_broker_gets_the_newest_value_and_every_batch(void **state)
{
    (void)state;
    open_all(0);
    t.broker.answer = NX_E_OFFLINE;
    link_offline(t.link);
    for (int i = 0; i < 20; i++) {
        take_int(0, i);
        loop_fake_advance_ms(t.loop, 10);
    }
    assert_int_equal(points_stats_of(t.points).conflated, 19);
    assert_int_equal(points_stats_of(t.points).unsent, 1);
    t.broker.answer = NX_OK;
    link_online(t.link);
    points_ready(t.points);
    assert_int_equal(fake_outlet_count(&t.broker, "uns/"), 1);
    assert_non_null(strstr(fake_outlet_last(&t.broker, "uns/d1/a")->payload, "\"value\":19,"));
    assert_int_equal(spool_stats_of(t.sp).points, 20);
}

static void
bad_values_carry_their_reason(void **state)
{
    (void)state;
    open_all(0);
    struct sample s = {.quality = NX_Q_TIMEOUT, .reason = "no answer"};
    points_take(t.points, &t.dev->slots[0], &s);
    loop_fake_turn(t.loop);
    assert_string_equal(fake_outlet_last(&t.broker, "uns/d1/a")->payload,
                        "{\"value\":null,\"quality\":\"timeout\",\"timestamp\":1700000000000,\"unit\":\"bar\","
                        "\"seq\":1,\"error\":\"no answer\"}");
    take_int(0, 1);
    loop_fake_advance_ms(t.loop, 10);
    assert_null(strstr(fake_outlet_last(&t.broker, "uns/d1/a")->payload, "error"));
}

static void
texts_are_kept(void **state)
{
    char text[] = "running";

    (void)state;
    open_all(0);
    struct sample s = {.value = nx_value_string(text, 7), .quality = NX_Q_GOOD};
    points_take(t.points, &t.dev->slots[2], &s);
    memset(text, 'x', 7); /* the driver's buffer is its own */
    loop_fake_turn(t.loop);
    assert_non_null(strstr(fake_outlet_last(&t.broker, "uns/d1/s")->payload, "\"running\""));
}

static void
full_disk_counts_drops_and_publishes_without_number(void **state)
{
    (void)state;
    open_all(UINT64_MAX / 2); /* more than any disk has free */
    take_int(0, 7);
    loop_fake_turn(t.loop);
    assert_int_equal(points_stats_of(t.points).dropped, 1);
    assert_int_equal(points_stats_of(t.points).why.err, NX_E_DISK_FULL);
    assert_non_null(strstr(points_stats_of(t.points).why.text, t.dir));
    assert_int_equal(fake_outlet_count(&t.broker, "batch"), 0);
    assert_null(strstr(fake_outlet_last(&t.broker, "uns/d1/a")->payload, "seq"));
}

static void
drops_of_the_spool_leave_a_gap_record(void **state)
{
    struct arena a = {0};

    (void)state;
    open_all(0);
    points_dropped(t.points, LANE_BULK, 3, 9, 70, NX_E_FULL);
    points_dropped(t.points, LANE_BULK, 10, 12, 30, NX_E_FULL);
    take_int(0, 7);
    loop_fake_turn(t.loop);
    assert_int_equal(fake_outlet_count(&t.broker, "batch"), 2);
    struct batch b = decode(&a, 0);
    assert_true(b.is_gap);
    assert_int_equal(b.gap.from_seq, 3);
    assert_int_equal(b.gap.to_seq, 12);
    assert_int_equal(b.gap.points, 100);
    assert_non_null(strstr(fake_outlet_last(&t.broker, "uns/d1/a")->payload, "\"seq\":2"));
    arena_free(&a);
}

/* What the gap records that wait say. */
static uint64_t
declared(uint64_t *first_seq)
{
    struct arena a = {0};
    struct spool_record rec = {0};
    uint64_t points = 0;

    *first_seq = UINT64_MAX;
    while (spool_read(t.sp, rec.seq + 1, &rec, NULL) == NX_OK) {
        struct batch b;
        assert_int_equal(batch_decode(rec.body, &a, &b, NULL), NX_OK);
        points += b.is_gap ? b.gap.points : 0;
        if (b.is_gap && b.gap.from_seq < *first_seq)
            *first_seq = b.gap.from_seq;
    }
    arena_free(&a);
    return points;
}

static void
fill(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        take_int(0, t.next++);
        points_flush(t.points);
    }
}

static void
restart(void)
{
    close_all();
    open_all(0);
    link_offline(t.link);
    t.broker.answer = NX_E_OFFLINE;
}

/* A spool that stays full drops the gap records of earlier drops, too: what they said is not lost with them. */
static void
nothing_dropped_is_ever_undeclared(void **state)
{
    uint64_t first, of_earlier_run;

    (void)state;
    t.cap_bytes = 256u << 10;
    open_all(0);
    link_offline(t.link);
    t.broker.answer = NX_E_OFFLINE;
    fill(20000);
    points_flush(t.points);
    assert_true(points_stats_of(t.points).dropped > 15000);
    assert_int_equal(declared(&first), points_stats_of(t.points).dropped);
    assert_int_equal(first, 1);
    of_earlier_run = points_stats_of(t.points).dropped;
    restart();
    fill(20000);
    points_flush(t.points);
    assert_int_equal(declared(&first), of_earlier_run + points_stats_of(t.points).dropped);
    assert_int_equal(first, 1);
}

/* A gap record that pushes a segment out must not swallow the points of that drop. */
static void
drop_by_a_gap_record_is_declared(void **state)
{
    uint64_t first;

    (void)state;
    t.cap_bytes = 256u << 10;
    open_all(0);
    link_offline(t.link);
    t.broker.answer = NX_E_OFFLINE;
    fill(2000);
    for (int i = 0; i < 2000; i++) { /* gap records alone push out what holds points */
        points_dropped(t.points, LANE_BULK, 0, 0, 1, NX_E_FULL);
        points_flush(t.points);
    }
    points_flush(t.points);
    assert_true(points_stats_of(t.points).dropped > 2000 + 500); /* segments went */
    assert_int_equal(declared(&first), points_stats_of(t.points).dropped);
}

static struct nx_dev *
adopt(const char *json)
{
    struct nx_dev *dev = fake_slots_new(json, 100);

    points_adopt(t.points, dev);
    return dev;
}

static void
leave(struct nx_dev *dev)
{
    points_forget(t.points, dev);
    fake_slots_free(&dev);
}

static bool
take(struct nx_dev *dev, const char *id, struct nx_value v, uint16_t quality)
{
    return points_take(t.points, fake_slot(dev, id), &(struct sample){.value = v, .quality = quality});
}

/* --- the urgent lane --- */

static struct {
    struct spool *sp;
    struct link *link;
    char dir[80];
} urgent;

static void
on_urgent_drop(void *arg, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    (void)arg;
    points_dropped(t.points, LANE_URGENT, from, to, points, cause);
}

static void
open_urgent(const struct disk_ops *disk)
{
    struct outlet out = t.link_out;
    struct spool_conf sc = {.dir = urgent.dir, .cap_bytes = 256u << 10, .disk_reserve_bytes = 1, .disk = disk};

    (void)snprintf(urgent.dir, sizeof urgent.dir, "%s/urgent", t.dir);
    assert_int_equal(spool_open(&urgent.sp, t.loop, &sc, &(struct spool_ops){.on_drop = on_urgent_drop}, NULL, NULL),
                     NX_OK);
    urgent.link =
        link_new(t.loop,
                 &(struct link_conf){.topic = "urgent", .lane = 128, .window = 2, .backlog_share = 50, .rto_ms = 1000},
                 urgent.sp, &out);
    points_open_urgent(t.points, 128, urgent.sp, urgent.link);
    link_online(urgent.link);
}

/* After points_free(), which still flushes. */
static void
close_urgent(void)
{
    link_free(&urgent.link);
    spool_close(&urgent.sp);
}

static void
urgent_points_do_not_wait_behind_the_others(void **state)
{
    struct arena a = {0};
    struct batch b;

    (void)state;
    open_all(0);
    open_urgent(NULL);
    struct nx_dev *dev = adopt("{'id':'d2','protocol':'fake','tags':["
                               "{'id':'u','address':'0','data_type':'int16','priority':'safety'},"
                               "{'id':'c','address':'1','data_type':'int16','priority':'control'},"
                               "{'id':'t','address':'2','data_type':'int16'}]}");
    t.is_urgent_open = true;
    fill(50); /* more than the window of the bulk lane */
    fake_outlet_clear(&t.broker);
    take(dev, "t", nx_value_int(1), NX_Q_GOOD);
    take(dev, "u", nx_value_int(2), NX_Q_GOOD);
    take(dev, "c", nx_value_int(3), NX_Q_GOOD);
    points_flush(t.points);
    assert_int_equal(fake_outlet_count(&t.broker, "batch"), 0); /* its window is full */
    const struct fake_message *m = fake_outlet_last(&t.broker, "urgent");
    assert_non_null(m);
    assert_int_equal(batch_decode(slice(m->payload, m->len), &a, &b, NULL), NX_OK);
    assert_true(b.point_count == 2 && b.hdr.lane == 128 && b.hdr.seq == 1);
    assert_int_equal(b.points[0].value.i, 2);
    assert_non_null(strstr(fake_outlet_last(&t.broker, "uns/d2/u")->payload, "\"seq\":1"));
    assert_int_equal(spool_stats_of(urgent.sp).points, 2);
    assert_int_equal(points_stats_of(t.points).journaled, 53);
    arena_free(&a);
    leave(dev);
}

static uint64_t disk_room; /* bytes of the segments of both spools */

static uint64_t
free_bytes_of_both(const char *path)
{
    (void)path;
    uint64_t used = spool_stats_of(t.sp).file_bytes + (urgent.sp ? spool_stats_of(urgent.sp).file_bytes : 0);

    return used < disk_room ? disk_room - used : 0;
}

/* On a full disk what is only telemetry makes room, segment by segment, and that is declared. */
static void
urgent_points_displace_the_others_on_a_full_disk(void **state)
{
    static struct disk_ops disk;
    uint64_t first;

    (void)state;
    disk = disk_posix;
    disk.free_bytes = free_bytes_of_both;
    t.cap_bytes = 1u << 20;
    open_all(0);
    link_offline(t.link);
    t.broker.answer = NX_E_OFFLINE;
    struct nx_dev *dev = adopt("{'id':'d2','protocol':'fake','tags':["
                               "{'id':'u','address':'0','data_type':'int16','priority':'safety'}]}");
    fill(6000);
    disk_room = spool_stats_of(t.sp).file_bytes + 1000; /* less than a segment */
    open_urgent(&disk);
    t.is_urgent_open = true;
    uint64_t waiting = spool_stats_of(t.sp).points;
    for (int i = 0; i < 100; i++) {
        take(dev, "u", nx_value_int(i), NX_Q_GOOD);
        points_flush(t.points);
    }
    assert_int_equal(spool_stats_of(urgent.sp).points, 100);
    uint64_t dropped = points_stats_of(t.points).dropped;
    assert_true(dropped > 0 && dropped < waiting);
    assert_int_equal(points_stats_of(t.points).lost[0], dropped);
    assert_string_equal(journal_cause_name(0), "full");
    points_flush(t.points);
    assert_int_equal(declared(&first), dropped);
    leave(dev);
}

/* --- calculated tags and windows on the same way --- */

static void
calculated_tags_leave_with_what_they_read(void **state)
{
    struct arena a = {0};

    (void)state;
    open_all(0);
    struct nx_dev *d =
        adopt("{'id':'c','protocol':'fake','tags':[{'id':'f','address':'0','data_type':'uint16',"
              "'scale_factor':0.1},{'id':'p','expression':'f * tag(`d1/a`)','unit':'kW','deadband':5}]}");
    assert_true(take(d, "f", nx_value_uint(25), NX_Q_GOOD));
    take_int(0, 4);
    take_int(0, 8);
    loop_fake_turn(t.loop);
    assert_int_equal(fake_outlet_count(&t.broker, "uns/c/p"), 1);
    assert_non_null(strstr(fake_outlet_last(&t.broker, "uns/c/p")->payload, "\"value\":20,"));
    struct batch b = decode(&a, 0);
    assert_int_equal(b.point_count, 4);
    take_int(0, 9); /* 22.5: within the deadband of the result */
    loop_fake_advance_ms(t.loop, 100);
    assert_int_equal(fake_outlet_count(&t.broker, "uns/c/p"), 1);
    leave(d);
    arena_free(&a);
}

static void
windows_are_sent_each_time_and_silent_tags_never(void **state)
{
    (void)state;
    open_all(0);
    struct nx_dev *d = adopt("{'id':'w','protocol':'fake','tags':[{'id':'a','address':'0','data_type':'int16',"
                             "'aggregate':{'window':'10s','functions':['avg','count'],'raw':false}}]}");
    for (int i = 0; i < 40; i++) {
        (void)take(d, "a", nx_value_int(5), NX_Q_GOOD);
        loop_fake_advance_ms(t.loop, 1000);
    }
    assert_int_equal(fake_outlet_count(&t.broker, "uns/w/a/avg"), 4);
    assert_int_equal(fake_outlet_count(&t.broker, "uns/w/a/count"), 4);
    assert_int_equal(fake_outlet_count(&t.broker, "uns/w/a"), 8);
    assert_non_null(strstr(fake_outlet_last(&t.broker, "uns/w/a/count")->payload, "\"value\":10,"));
    (void)take(d, "a", nx_value_none(), NX_Q_TIMEOUT);
    loop_fake_advance_ms(t.loop, 50000); /* that nothing comes is told once */
    assert_int_equal(fake_outlet_count(&t.broker, "uns/w/a/avg"), 5);
    leave(d);
}

static void
a_reading_says_whether_it_changed_the_tag(void **state)
{
    struct sample nan = {.value = nx_value_double(NAN), .quality = NX_Q_GOOD};

    (void)state;
    open_all(0);
    struct nx_dev *d = adopt("{'id':'x','protocol':'fake','tags':[{'id':'a','address':'0','data_type':'int16',"
                             "'deadband':2,'max_silence':'10s','unit':'degC','target_unit':'degF','clamp_max':212},"
                             "{'id':'b','address':'0','data_type':'float32','expression':'value * 2'}]}");
    assert_true(take(d, "a", nx_value_int(100), NX_Q_GOOD));
    assert_true(fake_slot(d, "a")->value.d == 212);
    assert_false(take(d, "a", nx_value_int(100), NX_Q_GOOD));
    assert_false(take(d, "a", nx_value_int(99), NX_Q_GOOD));
    assert_true(take(d, "a", nx_value_int(98), NX_Q_GOOD));
    loop_fake_advance_ms(t.loop, 10000);
    assert_true(take(d, "a", nx_value_int(98), NX_Q_GOOD));
    assert_true(take(d, "a", nx_value_int(101), NX_Q_GOOD));
    assert_string_equal(fake_slot(d, "a")->reason, "above clamp_max and held there");
    assert_true(take(d, "b", nx_value_double(1.5), NX_Q_GOOD));
    assert_true(fake_slot(d, "b")->value.d == 3);
    assert_true(points_take(t.points, fake_slot(d, "b"), &nan));
    assert_string_equal(fake_slot(d, "b")->reason, "the device sent no finite number");
    leave(d);
}

static void
times_of_device_gateway_and_publishing_are_told_apart(void **state)
{
    struct sample s = {.value = nx_value_int(1), .quality = NX_Q_GOOD, .source_us = 1699999999000000};

    (void)state;
    open_all(0);
    t.broker.answer = NX_E_OFFLINE;
    (void)points_take(t.points, &t.dev->slots[0], &s);
    loop_fake_advance_ms(t.loop, 5000);
    t.broker.answer = NX_OK;
    points_ready(t.points);
    assert_non_null(strstr(fake_outlet_last(&t.broker, "uns/d1/a")->payload,
                           "\"timestamp\":1699999999000,\"unit\":\"bar\",\"source_timestamp\":1699999999000,"
                           "\"gateway_timestamp\":1700000000000,\"publish_timestamp\":1700000005000"));
}

static void
forgotten_devices_are_not_published(void **state)
{
    (void)state;
    open_all(0);
    t.broker.answer = NX_E_OFFLINE;
    take_int(0, 7);
    points_forget(t.points, t.dev);
    assert_int_equal(points_stats_of(t.points).unsent, 0);
    assert_int_equal(spool_stats_of(t.sp).points, 1); /* the record stays */
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(point_is_in_the_spool_before_it_is_published),
        TEST(unchanged_values_are_silent),
        TEST(full_batches_leave_at_once_and_small_ones_wait_a_little),
        TEST(points_of_one_turn_have_different_times),
        TEST(slow_broker_gets_the_newest_value_and_every_batch),
        TEST(bad_values_carry_their_reason),
        TEST(texts_are_kept),
        TEST(full_disk_counts_drops_and_publishes_without_number),
        TEST(drops_of_the_spool_leave_a_gap_record),
        TEST(drop_by_a_gap_record_is_declared),
        TEST(nothing_dropped_is_ever_undeclared),
        TEST(urgent_points_do_not_wait_behind_the_others),
        TEST(urgent_points_displace_the_others_on_a_full_disk),
        TEST(calculated_tags_leave_with_what_they_read),
        TEST(windows_are_sent_each_time_and_silent_tags_never),
        TEST(a_reading_says_whether_it_changed_the_tag),
        TEST(times_of_device_gateway_and_publishing_are_told_apart),
        TEST(forgotten_devices_are_not_published),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
