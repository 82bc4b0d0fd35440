/* fuzz: mqtt base */
/* First byte: version and habits of the user. The rest: chunks {length, bytes} from the broker; length 0 reconnects. */
#include "mqtt/session.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static unsigned open_publications;

static void
on_send(void *arg, struct slice a, struct slice b)
{
    (void)arg;
    assert(a.len + b.len > 0);
}

static size_t
on_room(void *arg)
{
    (void)arg;
    return 1000;
}

static void
on_online(void *arg, bool session_present, const struct nx_note *why)
{
    (void)arg, (void)session_present, (void)why;
}

static void
on_done(void *arg, enum nx_err err)
{
    (void)arg, (void)err;
    assert(open_publications-- > 0); /* exactly once */
}

static void
on_message(void *arg, const struct mqtt_message *msg)
{
    struct mqtt_session *s = arg;
    struct mqtt_publication pub = {.topic = msg->topic,
                                   .payload = msg->payload,
                                   .qos = (uint8_t)(msg->payload.len % 3)};

    bool has_done = mqtt_session_qos(s, pub.qos) > 0;
    open_publications += has_done;
    if (mqtt_session_publish(s, &pub, on_done, NULL) && has_done)
        open_publications--;
    inbox_ack(&s->inbox, msg->token);
}

static void
on_warning(void *arg, const struct nx_note *why)
{
    (void)arg, (void)why;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const struct session_ops ops = {on_send, on_room, on_online, on_message, on_warning};
    struct mqtt_conf conf = {
        .client_id = "f", .keepalive_s = 5, .receive_max = 9, .window = 3, .max_packet_bytes = 9999};
    struct mqtt_session s;
    uint64_t now = 0;

    conf.version = len && (p[0] & 1) ? MQTT_V5 : MQTT_V311;
    conf.session_expiry_s = 60;
    open_publications = 0;
    mqtt_session_init(&s, &conf, &ops, &s);
    subs_add(&s.subs, "a/+", 1);
    for (size_t i = 1; i < len;) {
        size_t n = p[i++];

        n = n < len - i ? n : len - i;
        bool failed = s.state == SESSION_DOWN ? mqtt_session_open(&s, now, NULL)
                                              : mqtt_session_feed(&s, slice(p + i, n), now, NULL);
        now += n * 10;
        if (failed || n == 0 || mqtt_session_tick(&s, now, NULL))
            mqtt_session_down(&s);
        mqtt_session_flush(&s, now);
        i += n;
    }
    mqtt_session_cancel(&s);
    assert(open_publications == 0);
    mqtt_session_fini(&s);
    return 0;
}
