#include "ingest/ingest.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "ingest/ingest_priv.h"

#define TICK_MS       5000u
#define MAX_PACKET    (BATCH_MAX_BYTES + (64u << 10))
#define RECEIVE_TAGS  4000
#define TAGS_EXPIRY_S 86400u

/* --- the broker --- */

/* The client logs every change itself. */
static void
on_state(struct ingest *g, struct nx_note *kept, enum mqtt_state state, const struct nx_note *why)
{
    if (why && state == MQTT_WAITING) {
        *kept = *why;
        ingest_count_error(g, ERROR_CONNECTION);
    } else if (state == MQTT_STOPPED) {
        ingest_check_stopped(g);
    }
}

static void
on_batches_state(void *arg, enum mqtt_state state, bool session_present, const struct nx_note *why)
{
    struct ingest *g = arg;

    (void)session_present;
    if (state != MQTT_ONLINE)
        g->shed_count = 0; /* the broker has forgotten them with the connection */
    on_state(g, &g->batches_why, state, why);
}

static void
on_tags_state(void *arg, enum mqtt_state state, bool session_present, const struct nx_note *why)
{
    struct ingest *g = arg;

    if (state == MQTT_ONLINE)
        foreign_online(g, session_present);
    on_state(g, &g->tags_why, state, why);
}

static void
on_batches_ready(void *arg)
{
    struct ack *none = NULL;

    acks_send(arg, &none);
}

static void
on_warning(void *arg, const struct nx_note *why)
{
    (void)why; /* the client has logged it */
    ingest_count_error(arg, ERROR_CONNECTION);
}

static const struct mqtt_ops batches_ops = {
    .on_state = on_batches_state,
    .on_message = batches_on_message,
    .on_ready = on_batches_ready,
    .on_warning = on_warning,
};
static const struct mqtt_ops tags_ops = {
    .on_state = on_tags_state,
    .on_message = foreign_on_message,
    .on_warning = on_warning,
};

static struct mqtt_conf
connection(const struct ingest *g, const char *host, uint16_t port, const struct stream_tls *tls)
{
    return (struct mqtt_conf){.host = host,
                              .port = port,
                              .tls = tls,
                              .version = g->conf.mqtt.version == 0 ? MQTT_V5 : MQTT_V311,
                              .username = g->conf.mqtt.username,
                              .password = g->conf.mqtt.password,
                              .keepalive_s = (uint16_t)(g->conf.mqtt.keepalive_ms / 1000),
                              .max_packet_bytes = MAX_PACKET};
}

static enum nx_err
open_broker(struct ingest *g, struct nx_note *why)
{
    struct stream_tls tls = {.ca_file = g->conf.mqtt.ca_file,
                             .cert_file = g->conf.mqtt.cert_file,
                             .key_file = g->conf.mqtt.key_file,
                             .skip_verify = g->conf.mqtt.skip_verify};
    char host[256];
    uint16_t port;
    bool is_tls;
    struct mqtt_conf conf;
    enum nx_err err = mqtt_parse_url(g->conf.mqtt.broker_url, host, sizeof host, &port, &is_tls, why);

    if (err != NX_OK)
        return err;
    conf = connection(g, host, port, is_tls ? &tls : NULL);
    conf.client_id = g->conf.mqtt.client_id;
    conf.clean_start = true;
    conf.receive_max = RECEIVE_BATCHES;
    g->batches = mqtt_new(g->loop, &conf, &batches_ops, g);
    conf.client_id = g->client_id_tags = mem_printf("%s-tags", g->conf.mqtt.client_id);
    conf.clean_start = false;
    conf.session_expiry_s = TAGS_EXPIRY_S;
    conf.receive_max = RECEIVE_TAGS;
    g->tags = mqtt_new(g->loop, &conf, &tags_ops, g);
    return NX_OK;
}

static enum nx_err
check_filter(const char *key, const char *filter, struct nx_note *why)
{
    if (filter && mqtt_filter_is_valid(slice_str(filter)))
        return NX_OK;
    return nx_fail(why, NX_E_CONFIG, "%s: \"%s\" is not a topic filter; write for example uns/# or plant/+/temp", key,
                   filter ? filter : "");
}

static enum nx_err
subscribe_tags(struct ingest *g, const char *key, const char *filter, struct nx_note *why)
{
    enum nx_err err = check_filter(key, filter, why);

    if (err == NX_OK)
        mqtt_subscribe(g->tags, filter, 1);
    return err;
}

static enum nx_err
subscribe(struct ingest *g, struct nx_note *why)
{
    const struct conf_node *topics = g->conf.ingestion.topics;
    enum nx_err err = check_filter("ingestion.batch_filter", g->conf.ingestion.batch_filter, why);
    char *all;

    if (err != NX_OK)
        return err;
    writers_listen(g);
    if (topics && topics->kind == CONF_SCALAR)
        return subscribe_tags(g, "ingestion.topics", topics->text, why);
    if (topics && topics->kind != CONF_NULL) {
        for (const struct conf_node *n = topics->child; n && err == NX_OK; n = n->next)
            err = subscribe_tags(g, "ingestion.topics", n->text, why);
        return err;
    }
    all = mem_printf("%s/#", g->conf.uns_root);
    err = subscribe_tags(g, "uns.root", all, why);
    free(all);
    return err;
}

/* --- life --- */

static enum nx_err
start_log(const struct ingest *g, struct nx_note *why)
{
    struct log_conf conf = {.level = ingest_log_levels[g->conf.logging.level],
                            .format = ingest_log_formats[g->conf.logging.format],
                            .service = "ingest"};

    return log_init(&conf, why);
}

/* A fake loop has no sockets to serve on. */
static enum nx_err
open_http(struct ingest *g, struct nx_note *why)
{
    struct http_conf conf = {.bind = g->conf.http.bind,
                             .port = (uint16_t)g->conf.http.port,
                             .max_connections = 64,
                             .routes = ingest_routes,
                             .arg = g,
                             .metrics = g->metrics};

    return loop_uv(g->loop) ? http_open(&g->http, g->loop, &conf, why) : NX_OK;
}

static void
on_tick(struct loop_timer *t, void *arg)
{
    struct ingest *g = arg;

    (void)t;
    writers_listen(g);
    writers_pump(g);
    log_flush_repeats();
}

/* Where a rollup is missing its values must still be there. */
static enum nx_err
check_retention(const struct ingest_conf *conf, struct nx_note *why)
{
    int64_t values = conf->historian.retention_days, rollups = conf->historian.rollup_retention_days;

    if (rollups == 0 || (values > 0 && rollups >= values))
        return NX_OK;
    return nx_fail(why, NX_E_CONFIG,
                   "historian.rollup_retention_days: %lld is less than historian.retention_days (%s%lld): rollups must "
                   "be kept at least as long as values; 0 keeps them for ever",
                   (long long)rollups, values == 0 ? "for ever: " : "", (long long)values);
}

static enum nx_err
open_parts(struct ingest *g, const struct conf_source *src, struct nx_note *why)
{
    enum nx_err err;

    if ((err = conf_load(&g->conf_memory, src, ingest_conf_rows, &g->conf, why)) != NX_OK ||
        (err = start_log(g, why)) != NX_OK || (err = check_retention(&g->conf, why)) != NX_OK)
        return err;
    status_init(g);
    g->historian_url = historian_settings_url(&g->conf.store);
    g->historian_shown = mem_alloc(strlen(g->historian_url) + 1 + sizeof "***");
    (void)historian_shown_url(g->historian_url, g->historian_shown, strlen(g->historian_url) + sizeof "***");
    if ((err = file_make_dir(g->conf.buffer.disk_path, 0750, why)) != NX_OK || (err = foreign_open(g, why)) != NX_OK)
        return err;
    dead_letter_init(&g->dead, g->conf.buffer.disk_path);
    refused_init(&g->refused, g->conf.buffer.disk_path);
    if ((err = writers_open(g, why)) != NX_OK || (err = open_broker(g, why)) != NX_OK ||
        (err = subscribe(g, why)) != NX_OK)
        return err;
    return open_http(g, why);
}

enum nx_err
ingest_open(struct ingest **out, struct loop *loop, const struct conf_source *src, struct nx_note *why)
{
    struct ingest *g = mem_alloc(sizeof *g);
    enum nx_err err;

    *out = NULL;
    g->loop = loop;
    g->log = (struct log_ctx){.module = "ingest"};
    if ((err = open_parts(g, src, why)) != NX_OK) {
        ingest_free(&g);
        return err;
    }
    mqtt_start(g->batches);
    mqtt_start(g->tags);
    loop_timer_start(loop, &g->tick, TICK_MS, TICK_MS, on_tick, g);
    log_info(&g->log, "ingestion started", KV_STR("broker", g->conf.mqtt.broker_url),
             KV_STR("historian", g->historian_shown), KV_UINT("writers", g->writer_count),
             KV_UINT("port", g->http ? http_port(g->http) : 0));
    *out = g;
    return NX_OK;
}

static void
tell_stopped(void *arg)
{
    struct ingest *g = arg;

    if (g->stopped)
        g->stopped(g->stopped_arg);
}

void
ingest_check_stopped(struct ingest *g)
{
    if (!g->is_stopping || !writers_are_idle(g))
        return;
    if (!g->is_disconnecting) {
        g->is_disconnecting = true;
        mqtt_stop(g->batches, false);
        mqtt_stop(g->tags, false);
    }
    if (mqtt_state_of(g->batches) != MQTT_STOPPED || mqtt_state_of(g->tags) != MQTT_STOPPED || g->is_stopped)
        return;
    g->is_stopped = true;
    loop_defer(g->loop, tell_stopped, g);
}

void
ingest_stop(struct ingest *g, void (*stopped)(void *arg), void *arg)
{
    g->stopped = stopped;
    g->stopped_arg = arg;
    g->is_stopping = true;
    foreign_flush(g);
    loop_timer_stop(&g->foreign.timer);
    loop_timer_stop(&g->tick);
    writers_stop(g);
    ingest_check_stopped(g);
}

void
ingest_free(struct ingest **out)
{
    struct ingest *g = *out;

    *out = NULL;
    if (!g)
        return;
    if (g->http)
        http_close(&g->http);
    if (g->batches)
        mqtt_free(&g->batches);
    if (g->tags)
        mqtt_free(&g->tags);
    writers_close(g);
    foreign_close(g);
    acks_free(&g->unsent);
    dead_letter_fini(&g->dead);
    refused_fini(&g->refused);
    free(g->client_id_tags);
    free(g->historian_url);
    free(g->historian_shown);
    if (g->metrics)
        metrics_free(&g->metrics);
    conf_free(&g->conf_memory);
    free(g);
}
