/* tagfeed.c -- load of tag messages, one JSON object each (P8), and a plain subscriber to hold it against.
 *
 *   tagfeed --port 1883 [--messages 200000] [--topics 1000] [--window 500]    publishes with QoS 1, ends when all are
 * taken tagfeed --port 1883 [--messages 200000] --listen 1                        ends when it has got so many
 *
 * The listener says "ready" when it is subscribed. Times of a topic never repeat, so each message is a point of its
 * own.
 */
#include "option.h"

#include "base/mem.h"
#include "base/num.h"
#include "loop/loop.h"
#include "mqtt/mqtt.h"

#include <stdio.h>
#include <stdlib.h>

#define SILENT_MS 20000u /* the end when nothing moves any more */

struct tagfeed {
    struct loop *loop;
    struct mqtt *mqtt;
    uint64_t messages, topics;
    bool is_listener;
    uint64_t sent, done;
    int64_t base_ms;
    struct loop_timer silent;
};

static void
on_silent(struct loop_timer *t, void *arg)
{
    (void)t;
    loop_stop(((struct tagfeed *)arg)->loop);
}

static void
count(struct tagfeed *f)
{
    loop_timer_start(f->loop, &f->silent, SILENT_MS, 0, on_silent, f);
    if (++f->done == f->messages)
        loop_stop(f->loop);
}

static void send_more(void *arg);

static void
on_taken(void *arg, enum nx_err err)
{
    if (err == NX_OK)
        count(arg);
}

static bool
send_one(struct tagfeed *f)
{
    char topic[64], body[160];
    uint64_t t = f->sent % f->topics;
    int topic_len = snprintf(topic, sizeof topic, "uns/bench/site/line%u/device%u/tag%u", (unsigned)(t / 1000),
                             (unsigned)(t / 100), (unsigned)(t % 100));
    int len = snprintf(body, sizeof body,
                       "{\"value\":%llu.25,\"quality\":\"good\",\"timestamp\":%lld,\"unit\":\"\xC2\xB0"
                       "C\"}",
                       (unsigned long long)(f->sent % 1000), (long long)f->base_ms + (long long)(f->sent / f->topics));
    struct mqtt_publication pub = {.topic = slice(topic, (size_t)topic_len),
                                   .payload = slice(body, (size_t)len),
                                   .qos = 1};

    if (mqtt_publish(f->mqtt, &pub, on_taken, f) != NX_OK)
        return false;
    f->sent++;
    return true;
}

static void
send_more(void *arg)
{
    struct tagfeed *f = arg;

    while (!f->is_listener && f->sent < f->messages && send_one(f))
        ;
}

static void
on_message(void *arg, const struct mqtt_message *msg)
{
    struct tagfeed *f = arg;

    mqtt_ack(f->mqtt, msg->token);
    count(f);
}

static void
say_ready(struct loop_timer *t, void *arg)
{
    (void)t;
    (void)arg;
    (void)printf("ready\n");
    (void)fflush(stdout);
}

static void
on_state(void *arg, enum mqtt_state state, bool session_present, const struct nx_note *why)
{
    (void)session_present;
    if (state == MQTT_ONLINE)
        send_more(arg);
    else if (state == MQTT_WAITING)
        (void)fprintf(stderr, "tagfeed: %s\n", why ? why->text : "no connection");
}

int
main(int argc, char **argv)
{
    static const struct mqtt_ops ops = {.on_state = on_state, .on_message = on_message, .on_ready = send_more};
    struct tagfeed f = {.loop = loop_new()};
    struct loop_timer ready = {0};

    f.messages = option(argc, argv, "--messages", 200000);
    f.topics = option(argc, argv, "--topics", 1000);
    f.is_listener = option(argc, argv, "--listen", 0) != 0;
    f.base_ms = loop_wall_us(f.loop) / 1000 - 3600000; /* an hour of history, so that no time lies ahead */
    struct mqtt_conf conf = {.host = "127.0.0.1",
                             .port = (uint16_t)option(argc, argv, "--port", 1883),
                             .version = MQTT_V5,
                             .client_id = f.is_listener ? "bench-listener" : "bench-tagfeed",
                             .clean_start = true,
                             .receive_max = 4000,
                             .window = (uint16_t)option(argc, argv, "--window", 500)};
    f.mqtt = mqtt_new(f.loop, &conf, &ops, &f);
    if (f.is_listener) {
        mqtt_subscribe(f.mqtt, "uns/#", 1);
        loop_timer_start(f.loop, &ready, 300, 0, say_ready, NULL);
    }
    mqtt_start(f.mqtt);
    loop_timer_start(f.loop, &f.silent, SILENT_MS, 0, on_silent, &f);
    loop_run(f.loop);
    loop_timer_stop(&f.silent);
    loop_timer_stop(&ready);
    (void)printf("{\"messages\":%llu}\n", (unsigned long long)f.done);
    mqtt_free(&f.mqtt);
    loop_free(&f.loop);
    return f.done == f.messages ? 0 : 1;
}
