/* bus.c -- the core at the broker: values and states come in, configuration goes out.
 *
 * Outgoing messages wait in a list while the window is full. When the broker is away they are dropped: the
 * whole set of devices goes out after every reconnect, in parts of about BULK_BYTES, and says all that changes say. */
#include "base/mem.h"
#include "base/utf8.h"
#include "core/api.h"
#include "core/doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#define BULK_BYTES    (3u << 20) /* below the 4 MiB that MQTT clients take by default */
#define QUEUE_MAX     4096
#define BULK_DELAY_MS 50 /* several gateways that start together are answered once */

struct outgoing {
    char *topic;
    char *payload;
    size_t len;
    uint8_t qos;
    struct outgoing *prev, *next;
};

struct bus {
    struct core *core;
    struct mqtt *mqtt;
    struct mqtt_peer peer;
    char *root_filter;
    struct wbuf scratch; /* for tag messages */
    struct tagmsg_list messages;
    struct outgoing *queue;
    unsigned queued;
    struct loop_timer bulk_timer;
    bool is_building, wants_bulk;
    struct nx_note why; /* of the last failure to connect */
    int64_t since_us;
};

static const struct log_ctx bus_log = {.module = "core", .kind = "broker"};

/* --- out ---------------------------------------------------------------------------------------------------------- */

static void
outgoing_free(struct bus *bus, struct outgoing *o)
{
    DL_DELETE(bus->queue, o);
    bus->queued--;
    free(o->topic);
    free(o->payload);
    free(o);
}

static void
drop_queue(struct bus *bus)
{
    while (bus->queue)
        outgoing_free(bus, bus->queue);
}

static void
on_published(void *arg, enum nx_err err)
{
    if (err != NX_OK && err != NX_E_CANCELED)
        log_warn(&bus_log, "the broker refused a message of the core; check its access rules", KV_ERR(err));
    (void)arg;
}

static enum nx_err
send_now(struct bus *bus, const struct outgoing *o)
{
    return mqtt_publish(bus->mqtt,
                        &(struct mqtt_publication){.topic = slice_str(o->topic),
                                                   .payload = slice(o->payload, o->len),
                                                   .qos = o->qos},
                        on_published, bus);
}

static void
drain_queue(struct bus *bus)
{
    while (bus->queue) {
        enum nx_err err = send_now(bus, bus->queue);

        if (err == NX_E_FULL)
            return;
        if (err != NX_OK)
            log_warn(&bus_log, "message to gateways not sent", KV_STR("topic", bus->queue->topic), KV_ERR(err));
        outgoing_free(bus, bus->queue);
    }
}

/* Takes payload. */
static enum nx_err
enqueue(struct bus *bus, const char *topic, char *payload, size_t len, uint8_t qos)
{
    struct outgoing *o;

    if (mqtt_state_of(bus->mqtt) != MQTT_ONLINE || bus->queued >= QUEUE_MAX) {
        free(payload);
        return bus->queued >= QUEUE_MAX ? NX_E_FULL : NX_E_OFFLINE;
    }
    o = mem_alloc(sizeof *o);
    *o = (struct outgoing){.topic = mem_printf("%s/%s", bus->core->conf.mqtt.system_prefix, topic),
                           .payload = payload,
                           .len = len,
                           .qos = qos};
    DL_APPEND(bus->queue, o);
    bus->queued++;
    drain_queue(bus);
    return NX_OK;
}

enum nx_err
bus_publish(struct core *core, const char *topic, struct slice payload, uint8_t qos)
{
    return enqueue(core->bus, topic, mem_strndup(payload.p, payload.len), payload.len, qos);
}

/* --- the whole set ---------------------------------------------------------------------------------------------------
 */

struct bulk {
    struct core *core;
    json_t *parts; /* arrays of devices */
    size_t part_bytes;
    enum nx_err err;
    struct nx_note why;
};

static void
bulk_add(struct bulk *b, json_t *device)
{
    char *text = json_dumps(device, JSON_COMPACT);
    size_t n = json_array_size(b->parts), bytes = text ? strlen(text) : 0;

    free(text);
    if (n == 0 || b->part_bytes + bytes > BULK_BYTES) {
        json_array_append_new(b->parts, json_array());
        b->part_bytes = 0;
        n++;
    }
    b->part_bytes += bytes;
    json_array_append_new(json_array_get(b->parts, n - 1), device);
}

static enum nx_err
bulk_read(struct bulk *b, struct store_tx *tx)
{
    struct store_device_filter filter = {.enabled = -1, .limit = 200};
    struct arena a = {0};
    struct store_device *rows = NULL;
    size_t n = 1;
    enum nx_err err = NX_OK;

    while (err == NX_OK && n > 0) {
        char last[129] = "";

        err = store_device_list(tx, &filter, &a, &rows, &n, &b->why);
        for (size_t i = 0; err == NX_OK && i < n; i++) {
            json_t *device = NULL;

            err = change_device_json(tx, &rows[i], &a, &device, &b->why);
            if (err == NX_OK)
                bulk_add(b, device);
        }
        if (n > 0)
            (void)snprintf(last, sizeof last, "%s", rows[n - 1].id);
        arena_free(&a);
        filter.after = last[0] ? arena_strdup(&a, last) : NULL;
    }
    arena_free(&a);
    return err;
}

static void
bulk_work(void *arg)
{
    struct bulk *b = arg;
    struct store_tx *tx = NULL;

    b->parts = json_array();
    b->err = store_begin(b->core->store, STORE_READ, &tx, &b->why);
    if (b->err == NX_OK)
        b->err = bulk_read(b, tx);
    store_rollback(&tx);
    if (json_array_size(b->parts) == 0)
        json_array_append_new(b->parts, json_array());
}

static void
bulk_send(struct bulk *b)
{
    struct bus *bus = b->core->bus;
    size_t n = json_array_size(b->parts), i;
    char sync[AUTH_TOKEN_CAP];
    json_t *part;

    auth_random_token(sync);
    json_array_foreach (b->parts, i, part) {
        json_t *msg = json_pack("{s:s, s:I, s:I, s:I, s:O}", "sync", sync, "part", (json_int_t)i + 1, "parts",
                                (json_int_t)n, "timestamp", (json_int_t)(core_now_us() / 1000), "devices", part);
        char *text = json_dumps(msg, JSON_COMPACT);

        if (enqueue(bus, "config/devices/bulk", text, strlen(text), 1) != NX_OK)
            bus->wants_bulk = true;
        json_decref(msg);
    }
}

static void bulk_start(struct bus *bus);

static void
bulk_done(void *arg)
{
    struct bulk *b = arg;
    struct bus *bus = b->core->bus;

    bus->is_building = false;
    if (b->err == NX_OK)
        bulk_send(b);
    else
        log_error(&bus_log, "the set of devices cannot be read for the gateways; they keep what they have",
                  KV_NOTE(&b->why));
    json_decref(b->parts);
    free(b);
    if (bus->wants_bulk && mqtt_state_of(bus->mqtt) == MQTT_ONLINE)
        bus_send_all(bus->core);
}

static void
bulk_start(struct bus *bus)
{
    struct bulk *b = mem_alloc(sizeof *b);

    bus->is_building = true;
    bus->wants_bulk = false;
    b->core = bus->core;
    core_work(bus->core, bulk_work, bulk_done, b);
}

static void
on_bulk_due(struct loop_timer *t, void *arg)
{
    struct bus *bus = arg;

    (void)t;
    if (!bus->is_building && mqtt_state_of(bus->mqtt) == MQTT_ONLINE)
        bulk_start(bus);
}

void
bus_send_all(struct core *core)
{
    struct bus *bus = core->bus;

    bus->wants_bulk = true;
    if (!bus->is_building && !loop_timer_is_running(&bus->bulk_timer))
        loop_timer_start(core->loop, &bus->bulk_timer, BULK_DELAY_MS, 0, on_bulk_due, bus);
}

/* --- in -------------------------------------------------------------------------------------------------------------
 */

static void
take_value(struct bus *bus, const struct mqtt_message *m)
{
    struct core *core = bus->core;
    struct live_point *point;
    bool is_new = false;

    if (!utf8_is_valid(m->topic) ||
        tagmsg_decode_list(m->payload, m->content_type, &bus->scratch, &bus->messages, NULL) != NX_OK) {
        core->bad_messages++;
        return;
    }
    core->messages++;
    point = live_put(core->live, m->topic, tagmsg_newest(&bus->messages), loop_wall_us(core->loop), &is_new);
    if (!point)
        return;
    if (is_new)
        hub_appeared(core->hub, point);
    hub_changed(core->hub, point);
}

static void
take_status(struct bus *bus, enum status_kind kind, struct slice id_text, struct slice payload)
{
    struct core *core = bus->core;
    struct nx_note why = {0};
    char id[129];

    if (id_text.len == 0 || id_text.len >= sizeof id)
        return;
    (void)snprintf(id, sizeof id, "%.*s", SLICE_FMT(id_text));
    if (status_put(core->status, kind, id, payload, &why) != NX_OK)
        log_warn(&bus_log, "state message ignored", KV_NOTE(&why));
    else if (kind == STATUS_DEVICE)
        hub_device(core->hub, id);
    else
        hub_every_device(core->hub); /* they may have become unknown, or known again */
}

static void
take_device_status(struct bus *bus, struct slice rest, struct slice payload)
{
    take_status(bus, STATUS_DEVICE, rest, payload);
}

static void
take_gateway_status(struct bus *bus, struct slice rest, struct slice payload)
{
    take_status(bus, STATUS_GATEWAY, rest, payload);
}

static void
take_sync_request(struct bus *bus, struct slice rest, struct slice payload)
{
    (void)rest;
    (void)payload;
    bus_send_all(bus->core);
}

static void
take_response(struct bus *bus, struct slice rest, struct slice payload)
{
    (void)rest;
    write_response(bus->core, payload);
}

/* Topics under the system prefix; rest is what stands behind the prefix of the row. */
static const struct {
    const char *prefix, *filter;
    void (*take)(struct bus *bus, struct slice rest, struct slice payload);
} incoming[] = {
    {"status/devices/", "status/devices/+", take_device_status},
    {"status/gateways/", "status/gateways/+", take_gateway_status},
    {"config/sync/request", "config/sync/request", take_sync_request},
    {"cmd/response/", "cmd/response/+/+", take_response},
};

static bool
take_system(struct bus *bus, const struct mqtt_message *m)
{
    struct slice prefix = slice_str(bus->core->conf.mqtt.system_prefix), rest;

    if (!slice_starts_with(m->topic, prefix) || m->topic.len <= prefix.len || m->topic.p[prefix.len] != '/')
        return false;
    rest = slice_skip(m->topic, prefix.len + 1);
    for (unsigned i = 0; i < MEM_COUNT(incoming); i++) {
        struct slice row = slice_str(incoming[i].prefix);

        if (slice_starts_with(rest, row)) {
            incoming[i].take(bus, slice_skip(rest, row.len), m->payload);
            break;
        }
    }
    return true;
}

static void
on_message(void *arg, const struct mqtt_message *m)
{
    struct bus *bus = arg;

    if (!take_system(bus, m) && m->payload.len > 0)
        take_value(bus, m);
    if (m->token)
        mqtt_ack(bus->mqtt, m->token);
}

static void
on_state(void *arg, enum mqtt_state state, bool session_present, const struct nx_note *why)
{
    struct bus *bus = arg;

    (void)session_present;
    if (state == MQTT_ONLINE) {
        log_info(&bus_log, "connected to the broker", KV_STR("host", bus->peer.host));
        bus->since_us = loop_wall_us(bus->core->loop);
        bus_send_all(bus->core);
        return;
    }
    if (why)
        bus->why = *why;
    drop_queue(bus);
    if (state == MQTT_WAITING)
        log_warn(&bus_log, "no connection to the broker; trying again", KV_NOTE(&bus->why));
}

static void
on_ready(void *arg)
{
    drain_queue(arg);
}

/* --- life
 * --------------------------------------------------------------------------------------------------------------- */

static void
subscribe_all(struct bus *bus)
{
    char filter[640];

    mqtt_subscribe(bus->mqtt, bus->root_filter, 0);
    mqtt_subscribe(bus->mqtt, "dev/#", 0);
    for (unsigned i = 0; i < MEM_COUNT(incoming); i++) {
        (void)snprintf(filter, sizeof filter, "%s/%s", bus->core->conf.mqtt.system_prefix, incoming[i].filter);
        mqtt_subscribe(bus->mqtt, filter, 1);
    }
}

enum nx_err
bus_open(struct core *core, struct nx_note *why)
{
    static const struct mqtt_ops ops = {.on_state = on_state, .on_message = on_message, .on_ready = on_ready};
    struct bus *bus = mem_alloc(sizeof *bus);
    struct mqtt_conf conf = {.clean_start = true};
    enum nx_err err = mqtt_settings_apply(&core->conf.mqtt, &conf, &bus->peer, why);

    core->bus = bus;
    bus->core = core;
    bus->since_us = core_now_us();
    bus->scratch = wbuf_init(2u << 20);
    (void)nx_fail(&bus->why, NX_E_OFFLINE, "not connected to the broker %s yet", core->conf.mqtt.broker_url);
    if (err != NX_OK)
        return err;
    bus->root_filter = mem_printf("%s/#", core->conf.uns_root);
    bus->mqtt = mqtt_new(core->loop, &conf, &ops, bus);
    subscribe_all(bus);
    mqtt_start(bus->mqtt);
    return NX_OK;
}

void
bus_stop(struct core *core)
{
    loop_timer_stop(&core->bus->bulk_timer);
    mqtt_stop(core->bus->mqtt, false);
}

void
bus_close(struct core *core)
{
    struct bus *bus = core->bus;

    core->bus = NULL;
    if (!bus)
        return;
    loop_timer_stop(&bus->bulk_timer);
    drop_queue(bus);
    if (bus->mqtt)
        mqtt_free(&bus->mqtt);
    wbuf_free(&bus->scratch);
    tagmsg_list_free(&bus->messages);
    free(bus->root_filter);
    free(bus);
}

bool
bus_is_online(const struct core *core, struct nx_note *reason)
{
    if (core->bus && core->bus->mqtt && mqtt_state_of(core->bus->mqtt) == MQTT_ONLINE)
        return true;
    if (reason && core->bus)
        *reason = core->bus->why;
    return false;
}
