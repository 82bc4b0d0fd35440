/* device_connection.c -- the connection of a device: what the host does about it, and the driver's settings. */
#include "model/device_priv.h"

struct connection_doc {
    int64_t timeout_ms, retry_count, retry_delay_ms, idle_timeout_ms, health_interval_ms, max_requests_per_s;
    const struct conf_node *breaker;
};

struct breaker_doc {
    int64_t requests, failure_percent, open_ms, probes;
};

#define ROW(name, kind, member, ...)                                                                                   \
    {                                                                                                                  \
        .key = name, .type = kind, .offset = offsetof(struct connection_doc, member), __VA_ARGS__                      \
    }
#define BREAKER(name, kind, member, ...)                                                                               \
    {                                                                                                                  \
        .key = name, .type = kind, .offset = offsetof(struct breaker_doc, member), __VA_ARGS__                         \
    }
#define DAY_MS 86400000.0

const struct conf_row device_connection_rows[] = {
    ROW("timeout", CONF_DURATION, timeout_ms, .def = "3s", .min = 50, .max = 60000,
        .help = "longest wait for an answer"),
    ROW("retry_count", CONF_INT, retry_count, .def = "2", .max = 10, .help = "further tries of a read that failed"),
    ROW("retry_delay", CONF_DURATION, retry_delay_ms, .def = "100ms", .max = 60000,
        .help = "wait before a further try"),
    ROW("idle_timeout", CONF_DURATION, idle_timeout_ms, .def = "0", .max = DAY_MS,
        .help = "a connection that nobody used for so long is closed until it is needed; 0: never"),
    ROW("health_interval", CONF_DURATION, health_interval_ms, .def = "30s", .max = DAY_MS,
        .help = "a quiet connection is probed this often; 0: never"),
    ROW("max_requests_per_second", CONF_INT, max_requests_per_s, .def = "0", .max = 100000,
        .help = "slower than the plan when the device is weak; 0: unlimited"),
    ROW("breaker", CONF_NODE, breaker, .help = "circuit breaker: when a device that fails is left in peace"),
    CONF_ROW_END,
};

const struct conf_row device_breaker_rows[] = {
    BREAKER("requests", CONF_INT, requests, .def = "5", .max = 10000,
            .help = "the last so many requests decide; 0: no circuit breaker"),
    BREAKER("failure_percent", CONF_INT, failure_percent, .def = "60", .min = 1, .max = 100,
            .help = "it opens when at least so many of them failed"),
    BREAKER("open", CONF_DURATION, open_ms, .def = "30s", .min = 100, .max = DAY_MS,
            .help = "how long nothing is sent then"),
    BREAKER("probes", CONF_INT, probes, .def = "3", .min = 1, .max = 100,
            .help = "so many requests must succeed before all are sent again"),
    CONF_ROW_END,
};

static enum nx_err
read_breaker(struct device *d, const struct conf_node *node, struct nx_note *why)
{
    const struct conf_node defaults = {.kind = CONF_MAP};
    struct breaker_doc doc = {0};
    enum nx_err err;

    if (!node || node->kind == CONF_NULL)
        node = &defaults;
    if (node->kind != CONF_MAP)
        return conf_fail(node, why, "write {requests: 5, failure_percent: 60, open: 30s, probes: 3}");
    if ((err = conf_fill(&d->arena, device_breaker_rows, node, &doc, why)) != NX_OK)
        return err;
    d->breaker_requests = doc.requests;
    d->breaker_failure_percent = doc.failure_percent;
    d->breaker_open_ms = doc.open_ms;
    d->breaker_probes = doc.probes;
    return NX_OK;
}

static enum nx_err
take_connection(struct device *d, const struct connection_doc *doc, struct nx_note *why)
{
    d->timeout_ms = doc->timeout_ms;
    d->retry_count = doc->retry_count;
    d->retry_delay_ms = doc->retry_delay_ms;
    d->idle_timeout_ms = doc->idle_timeout_ms;
    d->health_interval_ms = doc->health_interval_ms;
    d->max_requests_per_s = doc->max_requests_per_s;
    return read_breaker(d, doc->breaker, why);
}

enum nx_err
device_read_connection(struct device *d, const struct conf_node *node, const struct conf_node *connection,
                       struct nx_note *why)
{
    static const struct nx_param no_params[] = {{.key = NULL}};
    const struct nx_param *params = d->driver->params ? d->driver->params : no_params;
    struct connection_doc doc = {0};
    struct conf_node none = {.kind = CONF_MAP,
                             .key = "connection",
                             .line = node->line,
                             .source = node->source,
                             .parent = (struct conf_node *)(uintptr_t)node};
    struct nx_settings *settings = NULL;
    struct conf_node *own = NULL;
    enum nx_err err;

    if (!connection || connection->kind == CONF_NULL)
        connection = &none;
    if ((err = device_split(&d->arena, connection, device_connection_rows, params, &own, why)) != NX_OK ||
        (err = conf_fill(&d->arena, device_connection_rows, own, &doc, why)) != NX_OK ||
        (err = take_connection(d, &doc, why)) != NX_OK ||
        (err = conf_settings(&d->arena, params, connection, device_known_keys(&d->arena, device_connection_rows),
                             &settings, why)) != NX_OK)
        return err;
    d->settings = settings;
    return NX_OK;
}
