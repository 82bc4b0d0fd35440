/* latency.c -- from the device's answer to the MQTT subscriber (P5).
 *
 *   latency --port BROKER_PORT --listen MODBUS_PORT [--seconds 10]
 *
 * Its Modbus server answers every holding register read with the clock (uint64 nanoseconds in four registers), so each
 * tag message carries the moment at which the device spoke. Prints one JSON line: messages, p50 and p99. */
#include "bench.h"
#include "option.h"

#include "base/mem.h"
#include "base/num.h"
#include "loop/loop.h"
#include "model/tagmsg.h"
#include "mqtt/mqtt.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_SAMPLES   2000000u
#define MAX_REGISTERS 125u

struct latency {
    struct loop *loop;
    struct mqtt *mqtt;
    struct wbuf scratch;
    uint32_t *samples_us;
    uint32_t count;
    struct loop_timer timer;
};

/* --- the device: one thread a connection --- */

static bool
receive(int fd, uint8_t *p, size_t n)
{
    while (n) {
        ssize_t got = recv(fd, p, n, 0);

        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

static size_t
answer(const uint8_t *request, uint8_t *reply)
{
    unsigned registers = (unsigned)request[10] << 8 | request[11];
    uint64_t now = bench_ns();

    memcpy(reply, request, 8);
    if (request[7] != 3 || registers == 0 || registers > MAX_REGISTERS) {
        reply[5] = 3;
        reply[7] = (uint8_t)(request[7] | 0x80u);
        reply[8] = 1;
        return 9;
    }
    reply[4] = 0;
    reply[5] = (uint8_t)(3 + registers * 2);
    reply[8] = (uint8_t)(registers * 2);
    for (unsigned i = 0; i < registers * 2; i++)
        reply[9 + i] = (uint8_t)(now >> (8 * (7 - i % 8)));
    return 9 + registers * 2;
}

static void *
serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    uint8_t request[12], reply[9 + MAX_REGISTERS * 2];

    while (receive(fd, request, sizeof request)) {
        size_t n = answer(request, reply);

        if (send(fd, reply, n, MSG_NOSIGNAL) != (ssize_t)n)
            break;
    }
    close(fd);
    return NULL;
}

static void *
accept_all(void *arg)
{
    int listener = (int)(intptr_t)arg, one = 1;

    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;

        if (fd < 0)
            return NULL;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
}

static bool
start_device(uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    pthread_t thread;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || listen(fd, 128) != 0)
        return false;
    return pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)fd) == 0;
}

/* --- the subscriber --- */

static void
on_message(void *arg, const struct mqtt_message *msg)
{
    struct latency *l = arg;
    uint64_t now = bench_ns();
    struct tagmsg tag;

    wbuf_reset(&l->scratch);
    if (msg->retain || tagmsg_decode(msg->payload, &l->scratch, &tag, NULL) != NX_OK)
        return;
    uint64_t then = tag.value.type == NX_TYPE_UINT  ? tag.value.u
                    : tag.value.type == NX_TYPE_INT ? (uint64_t)tag.value.i
                                                    : 0;
    if (then == 0 || then > now || l->count == MAX_SAMPLES)
        return;
    l->samples_us[l->count++] = (uint32_t)((now - then) / 1000);
}

static void
on_state(void *arg, enum mqtt_state state, bool session_present, const struct nx_note *why)
{
    (void)arg;
    (void)state;
    (void)session_present;
    (void)why;
}

static void
on_end(struct loop_timer *t, void *arg)
{
    (void)t;
    loop_stop(((struct latency *)arg)->loop);
}

int
main(int argc, char **argv)
{
    static const struct mqtt_ops ops = {.on_state = on_state, .on_message = on_message};
    struct latency l = {.scratch = wbuf_init(0), .samples_us = mem_calloc(MAX_SAMPLES, sizeof(uint32_t))};
    uint64_t seconds = option(argc, argv, "--seconds", 10);

    if (!start_device((uint16_t)option(argc, argv, "--listen", 0))) {
        (void)fprintf(stderr, "latency: the --listen port is taken\n");
        return 1;
    }
    l.loop = loop_new();
    struct mqtt_conf conf = {.host = "127.0.0.1",
                             .port = (uint16_t)option(argc, argv, "--port", 1883),
                             .version = MQTT_V5,
                             .client_id = "bench-latency",
                             .clean_start = true};
    l.mqtt = mqtt_new(l.loop, &conf, &ops, &l);
    mqtt_subscribe(l.mqtt, "uns/#", 0);
    mqtt_start(l.mqtt);
    loop_timer_start(l.loop, &l.timer, seconds * 1000, 0, on_end, &l);
    loop_run(l.loop);
    struct bench_delays d = bench_delays(l.samples_us, l.count);
    (void)printf("{\"case\":\"P5 device to subscriber\",\"value\":%.3f,\"unit\":\"ms p50\",\"p99_ms\":%.3f,"
                 "\"messages\":%u,\"achieved_rate\":%.0f}\n",
                 d.p50_ms, d.p99_ms, l.count, (double)l.count / (double)seconds);
    mqtt_free(&l.mqtt);
    wbuf_free(&l.scratch);
    free(l.samples_us);
    loop_free(&l.loop);
    return l.count ? 0 : 1;
}
