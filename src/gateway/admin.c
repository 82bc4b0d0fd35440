/* admin.c -- the admin port: health, status, metrics, recordings; admin_device.c has what concerns one device. */
#include "base/mem.h"
#include "gateway/admin_device.h"
#include "gateway/admin_lanes.h"
#include "gateway/gateway_priv.h"
#include "gateway/recordings.h"
#include "gateway/shards.h"

#include <stdlib.h>

#define GAUGES_EVERY_MS 1000u

/* --- gauges --- */

struct gateway_gauges {
    struct metric *registered, *online, *broker;
    struct metric *mqtt_sent, *mqtt_received, *mqtt_reconnects;
    struct metric **connections; /* one a driver */
};

static const struct metric_desc gauge_descs[] = {
    {.name = "gateway_devices_registered", .kind = METRIC_GAUGE, .help = "Devices of this gateway."},
    {.name = "gateway_devices_online", .kind = METRIC_GAUGE, .help = "Devices that are connected and answer."},
    {.name = "gateway_mqtt_connected", .kind = METRIC_GAUGE_MAX, .help = "1 while the broker is connected."},
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
count_devices(const struct gateway *g, unsigned *online, unsigned *by_driver)
{
    for (const struct nx_dev *dev = g->engine.devs; dev; dev = dev->next)
        *online += dev_is_online(dev) && !dev->is_probe;
    for (const struct nx_link *link = g->engine.links; link; link = link->hh.next)
        for (unsigned i = 0; nx_drivers[i] && link->state == CONN_UP; i++)
            by_driver[i] += nx_drivers[i] == link->driver;
}

static void
on_gauges(struct loop_timer *t, void *arg)
{
    struct gateway *g = arg;
    struct gateway_gauges *m = g->gauge;
    unsigned online = 0, *by_driver = mem_calloc(driver_count(), sizeof *by_driver);

    (void)t;
    count_devices(g, &online, by_driver);
    metric_set(m->registered, registry_count_here(&g->registry));
    metric_set(m->online, online);
    for (unsigned i = 0; nx_drivers[i]; i++)
        metric_set(m->connections[i], by_driver[i]);
    free(by_driver);
    metric_set(m->broker, gateway_is_broker_online(g));
    admin_lanes_gauges(g);
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

struct gateway_totals
gateway_totals_of(const struct gateway *g)
{
    struct gateway_totals t = {.points = points_stats_of(g->points), .commands = commands_stats_of(g->commands)};
    unsigned *by_driver = mem_calloc(driver_count(), sizeof *by_driver);

    count_devices(g, &t.devices_online, by_driver);
    free(by_driver);
    admin_lanes_totals(g, &t);
    return t;
}

void
gateway_totals_add(struct gateway_totals *to, const struct gateway_totals *t)
{
    to->devices_online += t->devices_online;
    to->points.taken += t->points.taken;
    to->points.passed += t->points.passed;
    to->points.journaled += t->points.journaled;
    to->points.published += t->points.published;
    to->points.conflated += t->points.conflated;
    to->points.dropped += t->points.dropped;
    for (unsigned i = 0; i < JOURNAL_CAUSES; i++)
        to->points.lost[i] += t->points.lost[i];
    if (t->points.why.text[0])
        to->points.why = t->points.why;
    to->commands.received += t->commands.received;
    to->commands.done += t->commands.done;
    to->commands.failed += t->commands.failed;
    to->commands.rejected += t->commands.rejected;
    to->commands.duplicates += t->commands.duplicates;
    to->commands.running += t->commands.running;
    admin_lanes_add(to, t);
}

static json_t *
points_json(const struct points_stats *p)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "read", (json_int_t)p->taken, "passed", (json_int_t)p->passed,
                     "journaled", (json_int_t)p->journaled, "published", (json_int_t)p->published, "conflated",
                     (json_int_t)p->conflated, "dropped", (json_int_t)p->dropped);
}

static json_t *
commands_json(const struct commands_stats *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:i}", "received", (json_int_t)c->received, "done", (json_int_t)c->done,
                     "failed", (json_int_t)c->failed, "rejected", (json_int_t)c->rejected, "duplicates",
                     (json_int_t)c->duplicates, "running", (int)c->running);
}

json_t *
gateway_status_json(void *arg)
{
    struct gateway *g = arg;
    struct gateway_totals t = gateway_totals_of(g);
    json_t *json;

    if (g->shards)
        shards_add_totals(g->shards, &t);
    json = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "id", g->conf.id, "version", NX_VERSION, "since",
                     (json_int_t)(g->started_us / 1000), "threads", (json_int_t)g->conf.polling.threads, "devices",
                     (json_int_t)HASH_COUNT(g->registry.entries), "devices_online", (json_int_t)t.devices_online);
    json_object_set_new(json, "points", points_json(&t.points));
    json_object_set_new(json, "commands", commands_json(&t.commands));
    json_object_set_new(json, "broker",
                        json_pack("{s:s, s:b, s:o}", "url", g->conf.mqtt.broker_url, "is_online",
                                  gateway_is_broker_online(g), "error", text_or_null(g->mqtt_why.text)));
    admin_lanes_json(g, &t, json);
    json_object_set_new(json, "last_error", text_or_null(t.points.why.text[0] ? t.points.why.text : g->mqtt_why.text));
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

struct scrape {
    struct http_req *req;
    struct metrics *all;
    bool is_gone;
};

static void
merge_metrics(struct gateway *g, void *arg)
{
    metrics_merge(((struct scrape *)arg)->all, g->metrics);
}

static void
end_scrape(void *arg)
{
    struct scrape *s = arg;
    struct wbuf body = wbuf_init(0);

    if (s->is_gone) {
        wbuf_free(&body);
    } else {
        metrics_print(s->all, &body);
        http_respond_buf(s->req, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
    }
    metrics_free(&s->all);
    free(s);
}

static void
on_scrape_gone(void *arg)
{
    ((struct scrape *)arg)->is_gone = true;
}

/* As http_serve_metrics(), over all threads. */
static void
get_metrics(struct http_req *req, void *arg)
{
    struct gateway *g = arg;
    struct scrape *s;

    if (!g->shards) {
        http_serve_metrics(req, arg);
        return;
    }
    s = mem_alloc(sizeof *s);
    s->req = req;
    s->all = metrics_new();
    http_hold(req, on_scrape_gone, s);
    shards_visit(g, -1, merge_metrics, end_scrape, s);
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
    {HTTP_GET, "/health", http_serve_health, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/health/live", http_serve_live, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/health/ready", http_serve_ready, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/status", http_serve_status, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/metrics", get_metrics, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/admin/v1/devices", admin_get_devices, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/admin/v1/devices/{id}/plan", admin_get_plan, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/admin/v1/devices/{id}/recorder", admin_get_recorder, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/admin/v1/devices/{id}/recorder.pcapng", admin_get_pcapng, HTTP_ON_LOOP, 0, 0},
    {HTTP_POST, "/admin/v1/devices:test", admin_post_test, HTTP_ON_LOOP, ADMIN_TEST_BODY_MAX, 0},
    {HTTP_GET, "/admin/v1/recordings", get_recordings, HTTP_ON_WORKER, 0, 0},
    {HTTP_GET, "/admin/v1/recordings/{name}", get_recording, HTTP_ON_WORKER, 0, 0},
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
