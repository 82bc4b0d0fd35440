/* core.h -- the service `nexus core`: REST API, live values over WebSocket, history, the web UI.
 *
 * Runs on one loop. Handlers that touch the store or the historian run on the worker pool. The configuration store is
 * the single truth about devices and tags: gateways are told every change over MQTT and ask for the whole set
 * when they start. Values and states come from MQTT and are kept in memory only. */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include "conf/conf.h"
#include "historian/settings.h"
#include "loop/loop.h"
#include "mqtt/settings.h"
#include "nexus/err.h"
#include "obs/settings.h"

struct core;

struct core_conf {
    const char *data_dir;
    struct historian_settings store;
    const char *read_url; /* NULL: values are read where they are written */
    struct {
        int64_t pool_size, max_idle_time_ms;
    } database;
    const char *gateway_url, *ingest_url;
    const char *devices_path;
    const char *uns_root;
    uint64_t max_topics;
    int64_t session_ttl_ms, access_ttl_ms, refresh_ttl_ms;
    int64_t write_timeout_ms, test_timeout_ms;
    struct {
        const char *bind;
        int64_t port;
        const char *static_dir;
        const char *cert_file, *key_file;
        int64_t max_connections;
    } http;
    struct mqtt_settings mqtt;
    struct log_settings logging;
};

/* Settings of this service; ends with CONF_ROW_END. */
extern const struct conf_row core_conf_rows[];
/* Top-level sections that belong to other services. */
extern const char *const core_conf_foreign[];

/* Loads the settings, opens the store (importing devices.yaml into an empty one), the MQTT client and the HTTP server.
 * Prints the set-up code to standard output while no user exists. */
NX_MUST_CHECK enum nx_err core_open(struct core **out, struct loop *loop, const struct conf_source *src,
                                    struct nx_note *why);
/* The port that HTTP listens on. */
uint16_t core_port(const struct core *core);
/* Stops listening, disconnects from the broker, then calls stopped once. */
void core_stop(struct core *core, void (*stopped)(void *arg), void *arg);
/* After stopped, or at any time outside its own callbacks. *core is NULL on return. */
void core_free(struct core **core);

#endif
