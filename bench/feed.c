/* feed.c -- load for `nexus ingest`: batches through a real broker, acknowledged end to end (P7).
 *
 *   feed --port 1883 [--seconds 20] [--series 10000] [--batch 1000] [--window 64] [--rate 0]
 *
 * Keeps `window` batches unacknowledged, like a gateway with a backlog; with a rate (points/s) no more than that is
 * sent. What is not acknowledged within 2 s is sent again. Prints one JSON line: points committed per second, time from
 * publishing to the commit acknowledgement (p50, p99), points never acknowledged, batches sent again. */
#include "bench.h"
#include "option.h"

#include "base/mem.h"
#include "base/num.h"
#include "loop/loop.h"
#include "model/batch.h"
#include "mqtt/mqtt.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_LATENCIES 1000000u
#define DRAIN_MS      10000u
#define RESEND_MS     2000u
#define TICK_MS       5u

/* A batch that is on its way; seq 0: none. */
struct flight {
    uint64_t seq, first_ns, sent_ms;
    uint8_t *record;
    size_t len;
};

struct feed {
    struct loop *loop;
    struct mqtt *mqtt;
    uint32_t series_count, batch_points, window;
    uint64_t seconds;
    struct series *series;
    struct batch_writer *writer;
    struct wbuf record;
    uint64_t rate; /* points/s; 0: as much as goes */
    uint64_t epoch, next_seq, unacked, acked_points, sent_points, resent;
    struct flight *flights; /* by seq % window slots */
    uint64_t slots;
    uint32_t *latencies_us, latency_count;
    uint32_t next_series;
    int64_t tick_us;
    uint64_t began_ms, ended_ms;
    bool is_draining;
    struct loop_timer timer, tick;
};

static void
fill_batch(struct feed *f)
{
    for (uint32_t i = 0; i < f->batch_points; i++) {
        uint32_t s = f->next_series;
        struct point p = {.quality = NX_Q_GOOD, .time_us = f->tick_us, .gateway_us = f->tick_us};

        p.value = nx_value_double((double)(f->next_seq % 1000) + s * 0.25);
        (void)batch_writer_add(f->writer, s, &f->series[s], &p);
        if (++f->next_series == f->series_count) { /* the next cycle of the plant, as live as can be */
            int64_t now_us = loop_wall_us(f->loop);

            f->next_series = 0;
            f->tick_us = now_us > f->tick_us ? now_us : f->tick_us + 1;
        }
    }
}

static bool
publish(struct feed *f, struct slice record)
{
    struct mqtt_publication pub = {.topic = slice_str("nexus/v1/batch/bench/0"), .payload = record, .qos = 1};

    return mqtt_publish(f->mqtt, &pub, NULL, NULL) == NX_OK;
}

static bool
send_one(struct feed *f)
{
    struct batch_header hdr = {.gateway = slice_str("bench"), .epoch = f->epoch, .seq = f->next_seq};
    struct flight *flight = &f->flights[f->next_seq % f->slots];

    if (flight->seq != 0)
        return false; /* the oldest is still on its way */
    if (f->record.len == 0) {
        fill_batch(f);
        if (batch_writer_finish(f->writer, &hdr, false, &f->record) != NX_OK)
            abort();
    }
    if (!publish(f, wbuf_slice_of(&f->record)))
        return false; /* the same record is tried again */
    *flight = (struct flight){f->next_seq, loop_now_ns(f->loop), loop_now_ms(f->loop), mem_alloc(f->record.len),
                              f->record.len};
    memcpy(flight->record, f->record.p, f->record.len);
    f->next_seq++;
    f->unacked++;
    f->sent_points += f->batch_points;
    wbuf_reset(&f->record);
    return true;
}

static bool
is_allowed(const struct feed *f)
{
    uint64_t elapsed_ms = loop_now_ms(f->loop) - f->began_ms;

    return f->unacked < f->window && (f->rate == 0 || f->sent_points < f->rate * elapsed_ms / 1000);
}

static void
send_more(void *arg)
{
    struct feed *f = arg;

    if (f->is_draining || mqtt_state_of(f->mqtt) != MQTT_ONLINE)
        return;
    if (f->began_ms == 0)
        f->began_ms = loop_now_ms(f->loop);
    while (is_allowed(f) && send_one(f))
        ;
}

static void
on_tick(struct loop_timer *t, void *arg)
{
    struct feed *f = arg;
    uint64_t now = loop_now_ms(f->loop);

    (void)t;
    send_more(f);
    if (mqtt_state_of(f->mqtt) != MQTT_ONLINE)
        return;
    for (uint64_t i = 0; i < f->slots; i++) {
        struct flight *flight = &f->flights[i];

        if (flight->seq == 0 || now - flight->sent_ms < RESEND_MS)
            continue;
        if (!publish(f, slice(flight->record, flight->len)))
            return;
        flight->sent_ms = now;
        f->resent++;
    }
}

static void
note_ack(struct feed *f, struct flight *flight)
{
    if (f->latency_count < MAX_LATENCIES)
        f->latencies_us[f->latency_count++] = (uint32_t)((loop_now_ns(f->loop) - flight->first_ns) / 1000);
    free(flight->record);
    *flight = (struct flight){0};
    f->unacked--;
    f->acked_points += f->batch_points;
    f->ended_ms = loop_now_ms(f->loop);
}

/* The stretch may begin long ago: only what is on its way is looked at. */
static void
note_range(struct feed *f, const struct batch_range *r)
{
    for (uint64_t i = 0; i < f->slots; i++) {
        uint64_t seq = f->flights[i].seq;

        if (seq != 0 && seq >= r->from && seq <= r->to)
            note_ack(f, &f->flights[i]);
    }
}

static void
on_message(void *arg, const struct mqtt_message *msg)
{
    struct feed *f = arg;
    struct batch_ack ack;

    if (msg->token)
        mqtt_ack(f->mqtt, msg->token);
    if (batch_ack_decode(msg->payload, &ack, NULL) != NX_OK || ack.epoch != f->epoch)
        return;
    for (unsigned i = 0; i < ack.count; i++)
        note_range(f, &ack.committed[i]);
    if (f->is_draining && f->unacked == 0)
        loop_stop(f->loop);
    else
        send_more(f);
}

static void
on_state(void *arg, enum mqtt_state state, bool session_present, const struct nx_note *why)
{
    (void)session_present;
    if (state == MQTT_ONLINE)
        send_more(arg);
    else if (state == MQTT_WAITING)
        (void)fprintf(stderr, "feed: %s\n", why ? why->text : "no connection");
}

static void
on_drained(struct loop_timer *t, void *arg)
{
    (void)t;
    loop_stop(((struct feed *)arg)->loop);
}

static void
on_end(struct loop_timer *t, void *arg)
{
    struct feed *f = arg;

    f->is_draining = true;
    loop_timer_start(f->loop, t, DRAIN_MS, 0, on_drained, f);
    if (f->unacked == 0)
        loop_stop(f->loop);
}

static void
print_result(struct feed *f)
{
    double seconds = f->ended_ms > f->began_ms ? (double)(f->ended_ms - f->began_ms) / 1000 : 0;
    struct bench_delays d = bench_delays(f->latencies_us, f->latency_count);

    (void)printf("{\"case\":\"P7 ingest through broker\",\"value\":%.0f,\"unit\":\"points/s\",\"seconds\":%.1f,"
                 "\"points\":%llu,\"loss\":%llu,\"resent\":%llu,\"ack_p50_ms\":%.1f,\"ack_p99_ms\":%.1f}\n",
                 seconds > 0 ? (double)f->acked_points / seconds : 0, seconds, (unsigned long long)f->acked_points,
                 (unsigned long long)(f->sent_points - f->acked_points), (unsigned long long)f->resent, d.p50_ms,
                 d.p99_ms);
}

static void
make_series(struct feed *f)
{
    f->series = mem_calloc(f->series_count, sizeof *f->series);
    for (uint32_t i = 0; i < f->series_count; i++) {
        char *topic = mem_printf("uns/bench/site/line%u/device%u/tag%u", i / 1000, i / 100, i % 100);
        char *device = mem_printf("device%u", i / 100), *tag = mem_printf("tag%u", i % 100);

        f->series[i] =
            (struct series){slice_str(topic), slice_str(device), slice_str(tag), slice_str("bar"), NX_TYPE_DOUBLE};
    }
}

static void
free_series(struct feed *f)
{
    for (uint32_t i = 0; i < f->series_count; i++) {
        mem_free_const(f->series[i].topic.p);
        mem_free_const(f->series[i].device_id.p);
        mem_free_const(f->series[i].tag_id.p);
    }
    free(f->series);
}

int
main(int argc, char **argv)
{
    static const struct mqtt_ops ops = {.on_state = on_state, .on_message = on_message, .on_ready = send_more};
    struct feed f = {.next_seq = 1};

    f.series_count = (uint32_t)option(argc, argv, "--series", 10000);
    f.batch_points = (uint32_t)option(argc, argv, "--batch", 1000);
    f.window = (uint32_t)option(argc, argv, "--window", 64);
    f.seconds = option(argc, argv, "--seconds", 20);
    f.rate = option(argc, argv, "--rate", 0);
    f.slots = f.window * 4 + 1;
    f.loop = loop_new();
    f.epoch = (uint64_t)loop_wall_us(f.loop);
    f.tick_us = loop_wall_us(f.loop);
    f.flights = mem_calloc(f.slots, sizeof *f.flights);
    f.latencies_us = mem_calloc(MAX_LATENCIES, sizeof *f.latencies_us);
    f.record = wbuf_init(0);
    f.writer = batch_writer_new();
    make_series(&f);
    struct mqtt_conf conf = {.host = "127.0.0.1",
                             .port = (uint16_t)option(argc, argv, "--port", 1883),
                             .version = MQTT_V5,
                             .client_id = "bench-feed",
                             .clean_start = true,
                             .window = 1000};
    f.mqtt = mqtt_new(f.loop, &conf, &ops, &f);
    mqtt_subscribe(f.mqtt, "nexus/v1/ack/bench", 1);
    mqtt_start(f.mqtt);
    loop_timer_start(f.loop, &f.timer, f.seconds * 1000, 0, on_end, &f);
    loop_timer_start(f.loop, &f.tick, TICK_MS, TICK_MS, on_tick, &f);
    loop_run(f.loop);
    loop_timer_stop(&f.timer);
    loop_timer_stop(&f.tick);
    print_result(&f);
    mqtt_free(&f.mqtt);
    batch_writer_free(&f.writer);
    wbuf_free(&f.record);
    free_series(&f);
    for (uint64_t i = 0; i < f.slots; i++)
        free(f.flights[i].record);
    free(f.flights);
    free(f.latencies_us);
    loop_free(&f.loop);
    return f.acked_points ? 0 : 1;
}
