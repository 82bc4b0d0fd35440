/* broker.c -- the gateway's one connection to the broker: who hears what, who may speak. */
#include "base/mem.h"
#include "gateway/gateway_priv.h"

#include <stdio.h>
#include <stdlib.h>

static enum nx_err
publish(void *arg, const struct mqtt_publication *pub, mqtt_done_cb *done, void *done_arg)
{
    struct gateway *g = arg;

    return g->mqtt ? mqtt_publish(g->mqtt, pub, done, done_arg) : NX_E_OFFLINE;
}

bool
gateway_is_broker_online(const struct gateway *g)
{
    return g->mqtt && mqtt_state_of(g->mqtt) == MQTT_ONLINE;
}

/* While this many messages are on the way, the broker has enough to do: the next ones are written together. */
#define BUSY_WITH   100u
#define BUSY_FOR_MS 1u

/* Batches before tag messages before the rest: the record first, then the picture. */
static void
speak(struct gateway *g)
{
    lanes_each_link(g, link_ready);
    points_ready(g->points);
    commands_ready(g->commands);
    status_out_ready(g->status);
}

static void
on_speak_time(struct loop_timer *t, void *arg)
{
    (void)t;
    speak(arg);
}

static void
on_ready(void *arg)
{
    struct gateway *g = arg;

    if (mqtt_in_flight(g->mqtt) < BUSY_WITH)
        speak(g);
    else if (!loop_timer_is_running(&g->speak))
        loop_timer_start(g->loop, &g->speak, BUSY_FOR_MS, 0, on_speak_time, g);
}

static void
on_online(struct gateway *g)
{
    log_info(&g->log, "connected to the broker", KV_STR("broker", g->conf.mqtt.broker_url));
    g->mqtt_why = (struct nx_note){0};
    lanes_each_link(g, link_online);
    status_out_online(g->status);
    if (g->sync)
        config_sync_online(g->sync);
    speak(g);
}

static void
on_offline(struct gateway *g, const struct nx_note *why)
{
    lanes_each_link(g, link_offline);
    status_out_offline(g->status);
    if (g->sync)
        config_sync_offline(g->sync);
    if (!why || !why->text[0] || g->mqtt_why.err == why->err)
        return;
    g->mqtt_why = *why;
    log_warn(&g->log, "no connection to the broker; polling goes on and points wait in the spool", KV_NOTE(why));
}

static void
on_state(void *arg, enum mqtt_state state, bool session_present, const struct nx_note *why)
{
    struct gateway *g = arg;

    (void)session_present;
    if (state == MQTT_ONLINE)
        on_online(g);
    else
        on_offline(g, why);
}

static void
on_ack(struct gateway *g, struct slice payload)
{
    struct batch_ack ack;
    struct nx_note why = {0};

    if (batch_ack_decode(payload, &ack, &why) != NX_OK)
        log_warn(&g->log, "an acknowledgement of the historian is not understood", KV_NOTE(&why));
    else
        lanes_ack(g, &ack);
}

static void
on_message(void *arg, const struct mqtt_message *msg)
{
    struct gateway *g = arg;

    if (g->conf.publish.batches && slice_eq_str(msg->topic, g->ack_topic))
        on_ack(g, msg->payload);
    else if (!g->sync || !config_sync_message(g->sync, msg))
        (void)commands_message(g->commands, msg);
    if (msg->token != 0)
        mqtt_ack(g->mqtt, msg->token);
}

static void
subscribe(struct gateway *g, unsigned i, const char *suffix, uint8_t qos)
{
    (void)snprintf(g->filter[i], sizeof g->filter[i], "%s%s", g->conf.mqtt.system_prefix, suffix);
    mqtt_subscribe(g->mqtt, g->filter[i], qos);
}

enum nx_err
gateway_open_broker(struct gateway *g, struct nx_note *why)
{
    static const struct mqtt_ops ops = {.on_state = on_state, .on_message = on_message, .on_ready = on_ready};
    struct mqtt_conf conf = {.clean_start = g->conf.session.clean_session,
                             .session_expiry_s = (uint32_t)(g->conf.session.session_expiry_ms / 1000),
                             .window = (uint16_t)g->conf.session.window,
                             .max_packet_bytes = 64u << 20,
                             .backoff_min_ms = (uint32_t)g->conf.session.backoff_min_ms,
                             .backoff_max_ms = (uint32_t)g->conf.session.backoff_max_ms,
                             .will = status_out_will(g->status)};
    struct mqtt_peer peer;
    enum nx_err err = mqtt_settings_apply(&g->conf.mqtt, &conf, &peer, why);

    if (err != NX_OK)
        return err;
    g->client_id =
        g->conf.mqtt.client_id ? mem_strdup(g->conf.mqtt.client_id) : mem_printf("nexus-gateway-%s", g->conf.id);
    if (g->part > 0) {
        char *whole = g->client_id;
        g->client_id = mem_printf("%s-%u", whole, g->part);
        free(whole);
    }
    conf.client_id = g->client_id;
    g->mqtt = mqtt_new(g->loop, &conf, &ops, g);
    (void)snprintf(g->ack_topic, sizeof g->ack_topic, "nexus/v1/ack/%s", g->conf.id);
    if (g->conf.publish.batches)
        mqtt_subscribe(g->mqtt, g->ack_topic, 1);
    subscribe(g, 0, "/cmd/+/+/set", 2);
    subscribe(g, 1, "/cmd/+/write", 2);
    if (g->sync) {
        subscribe(g, 2, "/config/devices/+/updated", 1);
        subscribe(g, 3, "/config/devices/bulk", 1);
    }
    mqtt_start(g->mqtt);
    return NX_OK;
}

void
gateway_outlet_init(struct gateway *g)
{
    g->outlet = (struct outlet){.publish = publish, .arg = g};
}
