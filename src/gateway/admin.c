/* admin.c -- the admin port: health, status, metrics, devices, test connection. */
#include "base/mem.h"
#include "gateway/gateway_priv.h"
#include "gateway/diagnose.h"
#include "gateway/recordings.h"
#include "gateway/test_device.h"

#include <stdlib.h>

#define TEST_BODY_MAX   (4u << 20)
#define GAUGES_EVERY_MS 1000u

/* --- gauges --- */

struct gateway_gauges {
    struct metric *registered, *online, *broker, *spool_records, *spool_bytes, *spool_age, *link_in_flight, *link_rtt;
    struct metric *mqtt_sent, *mqtt_received, *mqtt_reconnects;
    struct metric **connections; /* one a driver */
};

static const struct metric_desc gauge_descs[] = {
    {.name = "gateway_devices_registered", .kind = METRIC_GAUGE, .help = "Devices of this gateway."},
    {.name = "gateway_devices_online", .kind = METRIC_GAUGE, .help = "Devices that are connected and answer."},
    {.name = "gateway_mqtt_connected", .kind = METRIC_GAUGE, .help = "1 while the broker is connected."},
    {.name = "nexus_gateway_spool_records", .kind = METRIC_GAUGE, .help = "Batches waiting in the spool."},
    {.name = "nexus_gateway_spool_bytes", .kind = METRIC_GAUGE, .help = "Bytes waiting in the spool."},
    {.name = "nexus_gateway_spool_oldest_seconds", .kind = METRIC_GAUGE, .help = "Age of the oldest waiting batch."},
    {.name = "nexus_gateway_link_in_flight", .kind = METRIC_GAUGE, .help = "Batches on the way to the historian."},
    {.name = "nexus_gateway_link_rtt_seconds", .kind = METRIC_GAUGE, .help = "From publishing to the commit."},
    {.name = "gateway_mqtt_messages_sent", .kind = METRIC_GAUGE, .help = "Messages to the broker since the start."},
    {.name = "gateway_mqtt_messages_received", .kind = METRIC_GAUGE, .help = "Messages of the broker since the start."},
    {.name = "gateway_mqtt_reconnects", .kind = METRIC_GAUGE, .help = "Connections to the broker made anew."},
};

static const struct metric_desc connections_desc = {.name = "gateway_connections_active",
                                                    .kind = METRIC_GAUGE,
                                                    .help = "Connections to devices.",
                                                    .labels = {"protocol"}};

static unsigned
driver_count(void)
{
    unsigned n = 0;

    while (nx_drivers[n])
        n++;
    return n;
}

static void
count_devices(struct gateway *g, unsigned *online, unsigned *by_driver)
{
    for (const struct nx_dev *dev = g->engine.devs; dev; dev = dev->next)
        *online += dev_is_online(dev) && !dev->is_probe;
    for (const struct nx_link *link = g->engine.links; link; link = link->hh.next)
        for (unsigned i = 0; nx_drivers[i] && link->state == CONN_UP; i++)
            by_driver[i] += nx_drivers[i] == link->driver;
}

static double
age_s(const struct gateway *g, int64_t oldest_us)
{
    return oldest_us > 0 ? (double)(loop_wall_us(g->loop) - oldest_us) / 1e6 : 0;
}

static void
on_gauges(struct loop_timer *t, void *arg)
{
    struct gateway *g = arg;
    struct gateway_gauges *m = g->gauge;
    unsigned online = 0, *by_driver = mem_calloc(driver_count(), sizeof *by_driver);

    (void)t;
    count_devices(g, &online, by_driver);
    metric_set(m->registered, HASH_COUNT(g->registry.entries));
    metric_set(m->online, online);
    for (unsigned i = 0; nx_drivers[i]; i++)
        metric_set(m->connections[i], by_driver[i]);
    free(by_driver);
    metric_set(m->broker, gateway_is_broker_online(g));
    if (g->spool) {
        struct spool_stats s = spool_stats_of(g->spool);
        struct link_stats l = link_stats_of(g->link);
        metric_set(m->spool_records, (double)s.records);
        metric_set(m->spool_bytes, (double)s.bytes);
        metric_set(m->spool_age, age_s(g, s.oldest_us));
        metric_set(m->link_in_flight, l.in_flight);
        metric_set(m->link_rtt, l.rtt_ms / 1000);
    }
    if (g->mqtt) {
        const struct mqtt_stats *s = mqtt_stats_of(g->mqtt);
        metric_set(m->mqtt_sent, (double)s->sent);
        metric_set(m->mqtt_received, (double)s->received);
        metric_set(m->mqtt_reconnects, (double)s->reconnects);
    }
}

void
gateway_gauges_start(struct gateway *g)
{
    struct gateway_gauges *m = mem_alloc(sizeof *m);
    struct metric **first = &m->registered;

    for (size_t i = 0; i < MEM_COUNT(gauge_descs); i++)
        first[i] = metrics_get(g->metrics, &gauge_descs[i], NULL);
    m->connections = mem_calloc(driver_count(), sizeof(struct metric *));
    for (unsigned i = 0; nx_drivers[i]; i++)
        m->connections[i] = metrics_get(g->metrics, &connections_desc, &nx_drivers[i]->name);
    g->gauge = m;
    loop_timer_start(g->loop, &g->gauges, 0, GAUGES_EVERY_MS, on_gauges, g);
}

void
gateway_gauges_stop(struct gateway *g)
{
    if (!g->gauge)
        return;
    loop_timer_stop(&g->gauges);
    free(g->gauge->connections);
    free(g->gauge);
    g->gauge = NULL;
}

/* --- status --- */

static json_t *
text_or_null(const char *text)
{
    return text && text[0] ? json_string(text) : json_null();
}

static json_t *
spool_json(struct gateway *g)
{
    struct spool_stats s = spool_stats_of(g->spool);

    json_t *json =
        json_pack("{s:s, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I}", "path", g->conf.buffer.disk_path, "records",
                  (json_int_t)s.records, "points", (json_int_t)s.points, "bytes", (json_int_t)s.bytes, "oldest_s",
                  age_s(g, s.oldest_us), "appended", (json_int_t)s.appended, "freed", (json_int_t)s.freed,
                  "dropped_points", (json_int_t)s.dropped_points, "next_seq", (json_int_t)s.next_seq);
    json_object_set_new(json, "error", text_or_null(points_stats_of(g->points)->why.text));
    return json;
}

static json_t *
link_json(struct gateway *g)
{
    struct link_stats s = link_stats_of(g->link);

    return json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:f, s:b, s:I}", "ack",
                     g->conf.buffer.ack == GATEWAY_ACK_BROKER ? "broker" : "historian", "in_flight", (int)s.in_flight,
                     "backlog", (json_int_t)s.backlog, "sent", (json_int_t)s.sent, "resent", (json_int_t)s.resent,
                     "acked", (json_int_t)s.acked, "rtt_ms", s.rtt_ms, "is_stalled", s.is_stalled, "last_ack",
                     (json_int_t)(s.last_ack_us / 1000));
}

json_t *
gateway_status_json(void *arg)
{
    struct gateway *g = arg;
    const struct points_stats *p = points_stats_of(g->points);
    struct commands_stats c = commands_stats_of(g->commands);
    unsigned online = 0, *by_driver = mem_calloc(driver_count(), sizeof *by_driver);
    json_t *json;

    count_devices(g, &online, by_driver);
    free(by_driver);
    json = json_pack("{s:s, s:s, s:I, s:I, s:I}", "id", g->conf.id, "version", NX_VERSION, "since",
                     (json_int_t)(g->started_us / 1000), "devices", (json_int_t)HASH_COUNT(g->registry.entries),
                     "devices_online", (json_int_t)online);
    json_object_set_new(json, "points",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "read", (json_int_t)p->taken, "passed",
                                  (json_int_t)p->passed, "journaled", (json_int_t)p->journaled, "published",
                                  (json_int_t)p->published, "conflated", (json_int_t)p->conflated, "dropped",
                                  (json_int_t)p->dropped));
    json_object_set_new(json, "commands",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:i}", "received", (json_int_t)c.received, "done",
                                  (json_int_t)c.done, "failed", (json_int_t)c.failed, "rejected",
                                  (json_int_t)c.rejected, "duplicates", (json_int_t)c.duplicates, "running",
                                  (int)c.running));
    json_object_set_new(json, "broker",
                        json_pack("{s:s, s:b, s:o}", "url", g->conf.mqtt.broker_url, "is_online",
                                  gateway_is_broker_online(g), "error", text_or_null(g->mqtt_why.text)));
    if (g->spool) {
        json_object_set_new(json, "spool", spool_json(g));
        json_object_set_new(json, "link", link_json(g));
    }
    json_object_set_new(json, "last_error", text_or_null(p->why.text[0] ? p->why.text : g->mqtt_why.text));
    return json;
}

static bool
is_ready(void *arg, struct nx_note *reason)
{
    struct gateway *g = arg;

    if (g->stage != STOP_NOT) {
        (void)nx_fail(reason, NX_E_OFFLINE, "the gateway is shutting down");
        return false;
    }
    if (!gateway_is_broker_online(g)) {
        (void)nx_fail(reason, NX_E_OFFLINE, "no connection to the broker %s: %s", g->conf.mqtt.broker_url,
                      g->mqtt_why.text[0] ? g->mqtt_why.text : "connecting");
        return false;
    }
    return true;
}

/* --- handlers --- */

static void
get_devices(struct http_req *req, void *arg)
{
    struct gateway *g = arg;
    json_t *list = json_array();

    for (struct registry_entry *e = g->registry.entries; e; e = e->hh.next)
        json_array_append_new(list, status_device_json(e, g->conf.id, loop_wall_us(g->loop)));
    http_respond_json(req, 200, json_pack("{s:o}", "items", list));
}

struct pending_test {
    struct http_req *req;
    struct test_device *test;
};

static void
on_test_done(void *arg, json_t *result)
{
    struct pending_test *p = arg;

    http_respond_json(p->req, 200, result);
    free(p);
}

static void
on_test_gone(void *arg)
{
    struct pending_test *p = arg;

    test_device_cancel(&p->test);
    free(p);
}

static void
post_test(struct http_req *req, void *arg)
{
    struct gateway *g = arg;
    json_t *body = http_json_body(req);

    if (!body)
        return;
    if (!json_is_object(body) || g->stage != STOP_NOT) {
        struct nx_note why = {0};
        enum nx_err err = json_is_object(body) ? nx_fail(&why, NX_E_OFFLINE, "the gateway is shutting down")
                                               : nx_fail(&why, NX_E_VALUE, "the body must be a device as JSON object");
        http_respond_err(req, err, "device_test_refused", &why);
        return;
    }
    struct pending_test *p = mem_alloc(sizeof *p);
    p->req = req;
    if (test_device_start(&p->test, &g->engine, &g->registry.opt, body, on_test_done, p) != NX_OK) {
        struct nx_note why = {0};
        (void)nx_fail(&why, NX_E_BUSY, "too many connection tests are under way; try again in a few seconds");
        free(p);
        http_respond_err(req, NX_E_BUSY, "device_test_busy", &why);
        return;
    }
    http_hold(req, on_test_gone, p);
}

/* --- diagnosis of one device --- */

static struct nx_dev *
device_of(struct http_req *req, struct gateway *g)
{
    const char *id = http_param(req, "id");
    struct registry_entry *e = registry_find(&g->registry, id);
    struct nx_note why = {0};

    if (e && e->dev)
        return e->dev;
    enum nx_err err = e ? nx_fail(&why, NX_E_CONFLICT, "device '%.64s' is not running: %s", id,
                                  e->refused ? e->refused : "it is disabled")
                        : nx_fail(&why, NX_E_NOT_FOUND, "this gateway has no device '%.64s'", id);
    http_respond_err(req, err, "device", &why);
    return NULL;
}

static void
get_plan(struct http_req *req, void *arg)
{
    struct nx_dev *dev = device_of(req, arg);

    if (dev)
        http_respond_json(req, 200, diagnose_plan_json(dev));
}

static void
get_recorder(struct http_req *req, void *arg)
{
    struct nx_dev *dev = device_of(req, arg);

    if (dev)
        http_respond_json(req, 200, diagnose_recorder_json(dev));
}

static void
get_pcapng(struct http_req *req, void *arg)
{
    struct nx_dev *dev = device_of(req, arg);
    struct wbuf out = wbuf_init(0);

    if (!dev)
        return;
    diagnose_pcapng(dev->link, "taken on request", &out);
    http_respond_buf(req, 200, "application/octet-stream", &out);
}

static void
get_recordings(struct http_req *req, void *arg)
{
    const struct gateway *g = arg;

    http_respond_json(req, 200, recordings_list_json(g->recordings_dir));
}

static void
get_recording(struct http_req *req, void *arg)
{
    const struct gateway *g = arg;
    struct nx_note why = {0};
    char *data;
    size_t len;
    enum nx_err err = recordings_read(g->recordings_dir, http_param(req, "name"), &data, &len, &why);

    if (err != NX_OK) {
        http_respond_err(req, err, "recording", &why);
        return;
    }
    http_respond(req, 200, "application/octet-stream", slice(data, len));
    free(data);
}

static const struct http_route routes[] = {
    HTTP_HEALTH_ROUTES,
    {HTTP_GET, "/admin/v1/devices", get_devices, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/admin/v1/devices/{id}/plan", get_plan, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/admin/v1/devices/{id}/recorder", get_recorder, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/admin/v1/devices/{id}/recorder.pcapng", get_pcapng, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/admin/v1/recordings", get_recordings, HTTP_ON_WORKER, 0, 0},
    {HTTP_GET, "/admin/v1/recordings/{name}", get_recording, HTTP_ON_WORKER, 0, 0},
    {HTTP_POST, "/admin/v1/devices:test", post_test, HTTP_ON_LOOP, TEST_BODY_MAX, 0},
    {0},
};

enum nx_err
gateway_open_admin(struct gateway *g, struct nx_note *why)
{
    g->health = (struct http_health){
        .is_ready = is_ready, .status = gateway_status_json, .arg = g, .service = "gateway", .metrics = g->metrics};
    return http_open(&g->http, g->loop,
                     &(struct http_conf){.bind = g->conf.http.bind,
                                         .port = (uint16_t)g->conf.http.port,
                                         .cert_file = g->conf.http.cert_file,
                                         .key_file = g->conf.http.key_file,
                                         .api_prefix = "/",
                                         .max_connections = 64,
                                         .routes = routes,
                                         .arg = g,
                                         .metrics = g->metrics},
                     why);
}
