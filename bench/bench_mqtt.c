/* bench: mqtt loop base */
/* The MQTT session alone, no socket: 64 kB reads of 100 B messages with batched acknowledgements, and publishing. */
#include "bench.h"

#include "mqtt/session.h"

#include <stdio.h>
#include <stdlib.h>

enum { WINDOW = 1000, READ_BYTES = 65536 };

static unsigned long received, sent_bytes;

static void
on_send(void *arg, struct slice a, struct slice b)
{
    (void)arg;
    sent_bytes += a.len + b.len;
}

static size_t
on_room(void *arg)
{
    (void)arg;
    return READ_BYTES;
}

static void
on_online(void *arg, bool session_present, const struct nx_note *why)
{
    (void)arg, (void)session_present, (void)why;
}

static void
on_message(void *arg, const struct mqtt_message *msg)
{
    struct mqtt_session *s = arg;

    received++;
    inbox_ack(&s->inbox, msg->token);
}

static void
on_warning(void *arg, const struct nx_note *why)
{
    (void)arg, (void)why;
}

static void
print(const char *name, enum mqtt_version version, unsigned long n, double seconds)
{
    printf("{\"case\":\"%s_v%d\",\"value\":%.0f,\"unit\":\"messages/s\",\"cpu_us_per_unit\":%.3f}\n", name,
           version == MQTT_V5 ? 5 : 3, (double)n / seconds, seconds / (double)n * 1e6);
}

static void
feed(struct mqtt_session *s, const void *p, size_t len)
{
    if (mqtt_session_feed(s, slice(p, len), 0, NULL))
        abort();
}

static void
bench_receiving(struct mqtt_session *s, const struct mqtt_publication *pub, unsigned rounds)
{
    struct wbuf w = wbuf_init(0);

    for (uint16_t id = 1; w.len < READ_BYTES; id++) {
        mqtt_encode_publish_head(&w, s->conf->version, pub, id);
        wbuf_slice(&w, pub->payload);
    }
    received = 0;
    double begin = bench_s();
    for (unsigned i = 0; i < rounds; i++) {
        feed(s, w.p, w.len / 2); /* cuts a message */
        feed(s, w.p + w.len / 2, w.len - w.len / 2);
        mqtt_session_flush(s, 0);
    }
    print("mqtt_receive_and_ack", s->conf->version, received, bench_s() - begin);
    wbuf_free(&w);
}

static void
bench_publishing(struct mqtt_session *s, const struct mqtt_publication *pub, unsigned rounds)
{
    double begin = bench_s();

    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned k = 0; k < WINDOW; k++)
            if (mqtt_session_publish(s, pub, NULL, NULL))
                abort();
        for (const struct flight *f = s->outbox.list; f; f = s->outbox.list) {
            uint8_t ack[] = {0x40, 2, (uint8_t)(f->packet_id >> 8), (uint8_t)f->packet_id};

            feed(s, ack, sizeof ack);
        }
    }
    print("mqtt_publish", s->conf->version, rounds * (unsigned long)WINDOW, bench_s() - begin);
}

int
main(int argc, char **argv)
{
    static const struct session_ops ops = {on_send, on_room, on_online, on_message, on_warning};
    static const enum mqtt_version versions[] = {MQTT_V311, MQTT_V5};
    static uint8_t payload[100];
    bool is_quick = bench_is_quick(argc, argv);

    for (size_t i = 0; i < 2; i++) {
        bool is_v5 = versions[i] == MQTT_V5;
        struct mqtt_conf conf = {.version = versions[i],
                                 .client_id = "bench",
                                 .keepalive_s = 30,
                                 .receive_max = 5000,
                                 .window = WINDOW,
                                 .max_packet_bytes = 1 << 20};
        struct mqtt_publication pub = {.topic = slice_str("uns/plant/area/line3/cell12/filler/temperature/value"),
                                       .payload = slice(payload, sizeof payload),
                                       .qos = 1};
        struct mqtt_session s;

        mqtt_session_init(&s, &conf, &ops, &s);
        if (mqtt_session_open(&s, 0, NULL))
            abort();
        feed(&s, is_v5 ? "\x20\3\0\0\0" : "\x20\2\0\0", is_v5 ? 5 : 4);
        bench_receiving(&s, &pub, is_quick ? 2 : 5000);
        bench_publishing(&s, &pub, is_quick ? 2 : 1000);
        mqtt_session_fini(&s);
    }
    return sent_bytes == 0;
}
