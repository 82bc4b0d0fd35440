/* link_outage_test.c -- the link against simulated historians in virtual time: a day without one, slow ones, several at
 * once, networks that lose messages and acknowledgements. Ratios and counts, no real time. */
#include "base/mem.h"
#include "base/num.h"
#include "gateway/link.h"
#include "obs/log.h"
#include "spool/fake_disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NUMBERS 40000u
#define QUEUE   4096u

struct message {
    uint64_t seq, due_ms; /* when it is committed */
};

/* Batches come with a delay, are committed one after the other at a rate, and are acknowledged with another delay. */
static struct {
    struct loop *loop;
    struct fake_disk *disk;
    struct spool *sp;
    struct link *link;
    struct link_conf conf;
    struct message queue[QUEUE]; /* on the way to one of the historians, or to its acknowledgement */
    unsigned queued;
    uint64_t busy_until_us, seed;
    uint64_t appended_ms[NUMBERS], committed_ms[NUMBERS]; /* 0: not yet */
    uint64_t commits, duplicates, received;
    double per_s;                       /* commits a second */
    unsigned delay_ms, loss, lost_acks; /* loss: percent */
    unsigned worst_in_flight;
    bool is_away;
} w;

static enum nx_err
publish(void *arg, const struct mqtt_publication *pub, mqtt_done_cb *done, void *done_arg)
{
    uint64_t now_us = loop_now_ms(w.loop) * 1000, seq;

    (void)arg;
    assert_true(num_u64(pub->payload, &seq));
    w.received++;
    done(done_arg, NX_OK); /* the broker has it */
    if (w.is_away || num_random(&w.seed) % 100 < w.loss)
        return NX_OK;
    assert_true(w.queued < QUEUE);
    uint64_t begin_us = w.busy_until_us > now_us + w.delay_ms * 1000 ? w.busy_until_us : now_us + w.delay_ms * 1000;
    w.busy_until_us = begin_us + (uint64_t)(1e6 / w.per_s);
    w.queue[w.queued++] = (struct message){seq, w.busy_until_us / 1000 + w.delay_ms};
    return NX_OK;
}

static void
commit(uint64_t seq)
{
    struct batch_ack ack = {.epoch = spool_epoch(w.sp), .count = 1, .committed = {{seq, seq}}};

    if (w.committed_ms[seq] == 0) {
        w.committed_ms[seq] = loop_now_ms(w.loop);
        w.commits++;
    } else {
        w.duplicates++;
    }
    if (num_random(&w.seed) % 100 >= w.lost_acks)
        link_ack(w.link, &ack);
}

static void
step(void)
{
    loop_fake_advance_ms(w.loop, 1);
    loop_fake_turn(w.loop);
    uint64_t now = loop_now_ms(w.loop);
    for (unsigned i = 0; i < w.queued;) {
        struct message m = w.queue[i];
        if (m.due_ms > now) {
            i++;
            continue;
        }
        memmove(&w.queue[i], &w.queue[i + 1], (--w.queued - i) * sizeof *w.queue);
        commit(m.seq);
    }
    unsigned in_flight = link_stats_of(w.link).in_flight;
    if (in_flight > w.worst_in_flight)
        w.worst_in_flight = in_flight;
}

static void
append(void)
{
    char body[24];
    uint64_t seq = spool_next_seq(w.sp);

    assert_true(seq < NUMBERS);
    (void)snprintf(body, sizeof body, "%llu", (unsigned long long)seq);
    w.appended_ms[seq] = loop_now_ms(w.loop);
    assert_int_equal(spool_append(w.sp, slice_str(body), 10, NULL), NX_OK);
    link_appended(w.link, seq, slice_str(body));
}

static int
setup(void **state)
{
    (void)state;
    log_set_level((enum nx_log_level) - 1);
    memset(&w, 0, sizeof w);
    w.seed = 7;
    w.loop = loop_fake_new();
    loop_fake_set_wall_us(w.loop, 1700000000000000);
    loop_fake_advance_ms(w.loop, 1000);
    w.disk = fake_disk_new(NULL);
    fake_disk_use(w.disk);
    assert_int_equal(spool_open(&w.sp, w.loop,
                                &(struct spool_conf){.dir = "spool",
                                                     .cap_bytes = 64 << 20,
                                                     .segment_bytes = 256 << 10,
                                                     .disk_reserve_bytes = 1,
                                                     .disk = &fake_disk_ops},
                                NULL, NULL, NULL),
                     NX_OK);
    w.conf = (struct link_conf){.topic = "batch", .window = 64, .backlog_share = 50, .rto_ms = 1000};
    w.link = link_new(w.loop, &w.conf, w.sp, &(struct outlet){.publish = publish});
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    link_free(&w.link);
    spool_close(&w.sp);
    loop_fake_turn(w.loop);
    loop_free(&w.loop);
    fake_disk_free(&w.disk);
    return 0;
}

/* --- a day without a historian --- */

struct outage {
    uint64_t backlog;     /* records that wait at the end of the outage */
    unsigned live_per_s;  /* that come meanwhile */
    double capacity;      /* of the historian, in live rates */
    unsigned delay_ms;    /* each way */
    bool is_broker_there; /* the broker takes messages all the time; only the historian is away */
};

/* Live records come until the backlog is drained; returns how late the latest of them was, in ms. */
static uint64_t
drain(const struct outage *o, double *drain_rate)
{
    uint64_t first_live = spool_next_seq(w.sp), began = loop_now_ms(w.loop), worst = 0, drained = 0;

    for (uint64_t ms = 0; spool_stats_of(w.sp).first_seq < first_live; ms++) {
        if (ms % (1000 / o->live_per_s) == 0)
            append();
        step();
        assert_true(ms < 10000000);
        /* How late is the newest value that the historian has? */
        uint64_t live = spool_next_seq(w.sp) - 1;
        while (live >= first_live && w.committed_ms[live] == 0)
            live--;
        uint64_t since = live < first_live ? began : w.appended_ms[live];
        if (ms > 3000 && loop_now_ms(w.loop) - since > worst)
            worst = loop_now_ms(w.loop) - since;
        drained = loop_now_ms(w.loop);
    }
    *drain_rate = (double)o->backlog * 1000 / (double)(drained - began);
    return worst;
}

static void
suffer(const struct outage *o)
{
    double drain_rate;

    w.per_s = o->capacity * o->live_per_s;
    w.delay_ms = o->delay_ms;
    w.is_away = true;
    if (o->is_broker_there)
        link_online(w.link);
    for (uint64_t i = 0; i < o->backlog; i++) {
        append();
        if (o->is_broker_there && i % 64 == 0)
            step();
    }
    for (unsigned i = 0; i < 6000; i++)
        step();
    w.is_away = false;
    if (!o->is_broker_there)
        link_online(w.link);
    uint64_t worst = drain(o, &drain_rate);
    print_message(
        "backlog %llu, %u live/s, capacity x%.0f, delay %u ms: drained at %.1f x live, newest value %llu ms old\n",
        (unsigned long long)o->backlog, o->live_per_s, o->capacity, o->delay_ms, drain_rate / o->live_per_s,
        (unsigned long long)worst);
    /* What is left of the capacity beside the live records, nearly. */
    assert_true(drain_rate > 0.85 * (o->capacity - 1) * o->live_per_s);
    assert_true(worst < 1000 + 1000 / o->live_per_s);
    assert_true(w.worst_in_flight <= w.conf.window);
}

static void
a_day_is_drained_beside_live_values(void **state)
{
    (void)state;
    suffer(&(struct outage){.backlog = 20000, .live_per_s = 100, .capacity = 7, .delay_ms = 2});
}

static void
a_slow_historian_gets_live_values_in_time(void **state)
{
    (void)state;
    suffer(&(struct outage){.backlog = 3000, .live_per_s = 2, .capacity = 7, .delay_ms = 2});
}

static void
a_historian_far_away_is_not_taken_for_a_slow_one(void **state)
{
    (void)state;
    suffer(&(struct outage){.backlog = 5000, .live_per_s = 10, .capacity = 7, .delay_ms = 150});
}

static void
only_the_historian_was_away(void **state)
{
    (void)state;
    suffer(&(struct outage){.backlog = 5000, .live_per_s = 50, .capacity = 7, .delay_ms = 2, .is_broker_there = true});
}

static void
status_says_how_long_it_will_take(void **state)
{
    (void)state;
    w.per_s = 500;
    for (unsigned i = 0; i < 10000; i++)
        append();
    for (unsigned i = 0; i < 30000; i++)
        step();
    assert_true(link_stats_of(w.link).drain_s < 0);
    link_online(w.link);
    for (unsigned i = 0; i < 8000; i++)
        step();
    struct link_stats s = link_stats_of(w.link);
    uint64_t began = loop_now_ms(w.loop);
    assert_true(s.drain_per_s > 350 && s.drain_per_s < 550);
    assert_true(s.backlog > 5000 && s.backlog < 7000);
    while (spool_waiting(w.sp) > 0)
        step();
    double real_s = (double)(loop_now_ms(w.loop) - began) / 1000;
    assert_true(s.drain_s > real_s * 0.8 && s.drain_s < real_s * 1.5);
    assert_true(link_stats_of(w.link).drain_s == 0);
}

/* --- bad networks --- */

static void
run_until_empty(unsigned guard_ms)
{
    for (unsigned i = 0; i < guard_ms && spool_waiting(w.sp) > 0; i++)
        step();
    assert_int_equal(spool_waiting(w.sp), 0);
}

static void
lost_messages_and_acknowledgements_come_again(void **state)
{
    (void)state;
    w.per_s = 2000;
    w.delay_ms = 20;
    w.loss = 20;
    w.lost_acks = 20;
    link_online(w.link);
    for (unsigned i = 0; i < 3000; i++) {
        append();
        step();
    }
    run_until_empty(600000);
    assert_int_equal(w.commits, 3000);
    assert_true(w.duplicates > 100); /* which the historian recognises */
    assert_true(w.worst_in_flight <= w.conf.window);
    struct link_stats s = link_stats_of(w.link);
    assert_int_equal(s.sent + s.resent, w.received);
    assert_true(s.resent < 3000); /* two of five get lost, and no storm comes of it */
}

/* The broker hands each batch to one of the instances; one of them never answers for a while. */
static void
an_instance_that_is_stuck_costs_a_second_try(void **state)
{
    (void)state;
    w.per_s = 2000;
    w.delay_ms = 5;
    link_online(w.link);
    for (unsigned i = 0; i < 2000; i++) {
        w.loss = i < 1000 ? 50 : 0;
        append();
        step();
    }
    run_until_empty(120000);
    assert_int_equal(w.commits, 2000);
}

/* Ranges of two instances, each with holes, in any order, more than once, and of numbers that are not on the way. */
static void
acknowledgements_of_several_instances_interleave(void **state)
{
    struct batch_ack a = {.epoch = spool_epoch(w.sp), .count = 3, .committed = {{1, 3}, {7, 9}, {13, 40}}};
    struct batch_ack b = {.epoch = spool_epoch(w.sp), .count = 2, .committed = {{2, 5}, {10, 11}}};

    (void)state;
    w.is_away = true;
    link_online(w.link);
    for (unsigned i = 0; i < 15; i++)
        append();
    link_ack(w.link, &b);
    assert_int_equal(spool_waiting(w.sp), 9);
    link_ack(w.link, &a);
    link_ack(w.link, &b);
    link_ack(w.link, &a);
    assert_int_equal(spool_waiting(w.sp), 2); /* 6 and 12: part of what was sent is not acknowledged */
    assert_int_equal(link_stats_of(w.link).in_flight, 2);
    assert_int_equal(link_stats_of(w.link).acked, 13);
    w.is_away = false;
    w.per_s = 1000;
    run_until_empty(10000);
    assert_int_equal(w.commits, 2); /* only those came again */
    assert_true(w.committed_ms[6] > 0 && w.committed_ms[12] > 0);
}

/* A historian that was restored from a backup, or the answer to another life of the spool. */
static void
stale_acknowledgements_free_nothing(void **state)
{
    struct batch_ack old = {.epoch = spool_epoch(w.sp) - 1, .count = 1, .committed = {{1, UINT64_MAX}}};

    (void)state;
    w.is_away = true;
    link_online(w.link);
    for (unsigned i = 0; i < 10; i++)
        append();
    link_ack(w.link, &old);
    old.epoch += 2;
    link_ack(w.link, &old);
    assert_int_equal(spool_waiting(w.sp), 10);
    assert_int_equal(link_stats_of(w.link).in_flight, 10);
    w.is_away = false;
    w.per_s = 1000;
    run_until_empty(20000);
    assert_int_equal(w.commits, 10);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_day_is_drained_beside_live_values),
        T(a_slow_historian_gets_live_values_in_time),
        T(a_historian_far_away_is_not_taken_for_a_slow_one),
        T(only_the_historian_was_away),
        T(status_says_how_long_it_will_take),
        T(lost_messages_and_acknowledgements_come_again),
        T(an_instance_that_is_stuck_costs_a_second_try),
        T(acknowledgements_of_several_instances_interleave),
        T(stale_acknowledgements_free_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
