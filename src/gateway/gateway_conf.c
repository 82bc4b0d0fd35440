/* gateway_conf.c -- settings of `nexus gateway`. */
#include "gateway/gateway_conf.h"

#include "gateway/gateway.h"

#include <stddef.h>

#define AT(member) .offset = offsetof(struct gateway_conf, member)

#define STRING(k, d, m, h)                                                                                             \
    {                                                                                                                  \
        .key = k, .type = CONF_STRING, .def = d, AT(m), .help = h                                                      \
    }
#define BOOL(k, d, m, h)                                                                                               \
    {                                                                                                                  \
        .key = k, .type = CONF_BOOL, .def = d, AT(m), .help = h                                                        \
    }
#define INT(k, d, lo, hi, m, h)                                                                                        \
    {                                                                                                                  \
        .key = k, .type = CONF_INT, .def = d, .min = lo, .max = hi, AT(m), .help = h                                   \
    }
#define TIME(k, d, lo, hi, m, h)                                                                                       \
    {                                                                                                                  \
        .key = k, .type = CONF_DURATION, .def = d, .min = lo, .max = hi, AT(m), .help = h                              \
    }
#define BYTES(k, d, lo, hi, m, h)                                                                                      \
    {                                                                                                                  \
        .key = k, .type = CONF_BYTES, .def = d, .min = lo, .max = hi, AT(m), .help = h                                 \
    }
#define CHOICE(k, d, c, m, h)                                                                                          \
    {                                                                                                                  \
        .key = k, .type = CONF_ENUM, .def = d, .choices = c, AT(m), .help = h                                          \
    }

#define DAY_MS 86400000.0

const char *const gateway_conf_foreign[] = {"modbus",    "opcua", "s7",    "database", "ingestion", "ingest",
                                            "historian", "core",  "alert", "up",       "auth",      NULL};

const struct conf_row gateway_conf_rows[] = {
    STRING("gateway.id", "gateway", id, "Name of this gateway in topics, status and the ledger; one per gateway."),
    STRING("gateway.shard.line", NULL, shard.line,
           "Only devices below these topics: acme/bottling/line1, acme/+/line7."),
    STRING("gateway.shard.protocol", NULL, shard.protocol, "Only devices of these protocols: modbus-tcp, s7."),
    STRING("gateway.shard.priority", NULL, shard.priority, "Only devices whose highest tag priority is one of these."),
    STRING("gateway.shard.network", NULL, shard.network,
           "Only devices whose host lies in these networks: 10.1.0.0/16."),
    STRING("gateway.shard.part", NULL, shard.part, "Only an equal part of the devices: 1/3 is the first of three."),
    STRING("uns.root", "uns", uns_root, "First level of all tag topics."),
    {.key = "devices.config_path",
     .type = CONF_STRING,
     .env = "DEVICES_CONFIG_PATH",
     AT(devices_path),
     .help = "devices.yaml with devices that do not come from the core."},
    STRING("devices.cache_path", NULL, cache_path,
           "File that keeps the devices of the core, so that polling starts without it."),
    BOOL("devices.sync", "true", config_sync, "Take devices from the core by $nexus/config."),

    {.key = "mqtt.broker_url",
     .type = CONF_STRING,
     .def = "mqtt://127.0.0.1:1883",
     .env = "NEXUS_MQTT_BROKER",
     AT(mqtt.broker_url),
     .help = "mqtt://host:1883, or mqtts://host:8883 for TLS."},
    STRING("mqtt.client_id", NULL, mqtt.client_id, "Client id at the broker; gateway.id with a prefix when absent."),
    STRING("mqtt.username", NULL, mqtt.username, "User at the broker."),
    {.key = "mqtt.password", .type = CONF_SECRET, AT(mqtt.password), .help = "Password at the broker."},
    CHOICE("mqtt.version", "5", "5|3.1.1", mqtt.version, "MQTT version."),
    STRING("mqtt.ca_file", NULL, mqtt.ca_file, "PEM file with the authority of the broker; the system's when absent."),
    STRING("mqtt.cert_file", NULL, mqtt.cert_file, "PEM file with the certificate of this client."),
    STRING("mqtt.key_file", NULL, mqtt.key_file, "PEM file with the key of this client."),
    BOOL("mqtt.skip_verify", "false", mqtt.skip_verify, "Accept any certificate of the broker. For tests only."),
    BOOL("mqtt.clean_session", "false", session.clean_session, "Start without the session that the broker kept."),
    TIME("mqtt.session_expiry", "1h", 0, 30 * DAY_MS, session.session_expiry_ms, "How long the broker keeps it."),
    TIME("mqtt.keep_alive", "30s", 1000, 3600000, mqtt.keepalive_ms, "Keep alive."),
    INT("mqtt.qos", "1", 0, 1, session.qos, "Quality of service of tag messages."),
    BOOL("mqtt.retain", "true", session.retain, "Tag messages are retained: who subscribes later sees the last value."),
    INT("mqtt.window", "2000", 1, 60000, session.window, "Messages on the way to the broker."),
    TIME("mqtt.reconnect_min", "250ms", 10, 60000, session.backoff_min_ms, "Shortest wait before a new attempt."),
    TIME("mqtt.reconnect_max", "15s", 100, 3600000, session.backoff_max_ms, "Longest wait before a new attempt."),
    STRING("mqtt.system_prefix", "$nexus", mqtt.system_prefix, "Replaces $nexus where a broker forbids such topics."),

    INT("polling.threads", "1", 1, 64, polling.threads,
        "I/O threads; each has a part of the devices, its own connection to the broker and its own spool."),
    INT("polling.worker_count", "2000", 1, 100000, polling.worker_count,
        "Polls in flight; a poll that finds no slot is skipped and counted."),
    INT("polling.batch_size", "1000", 1, 65536, polling.batch_size, "Points in one batch message."),
    TIME("polling.default_interval", "1s", 10, DAY_MS, polling.default_interval_ms, "For devices that name none."),
    INT("polling.max_retries", "3", 0, 100, polling.max_retries,
        "Polls in a row without any answer before the connection is made anew."),
    TIME("polling.shutdown_timeout", "30s", 100, 600000, polling.shutdown_timeout_ms, "Longest ordered shutdown."),
    INT("polling.connects_per_second", "500", 1, 100000, polling.connects_per_second,
        "Connection attempts of the whole gateway."),
    TIME("polling.reconnect_min", "1s", 10, 600000, polling.backoff_min_ms, "Shortest wait for a device."),
    TIME("polling.reconnect_max", "30s", 100, 3600000, polling.backoff_max_ms, "Longest wait for a device."),

    INT("commands.max_concurrent_writes", "50", 1, 5000, commands.max_concurrent_writes,
        "Writes under way; more are refused at once."),
    INT("commands.queue_size", "1000", 1, 10000, commands.queue_size, "Commands that wait to be started."),
    TIME("commands.write_timeout", "10s", 10, 600000, commands.write_timeout_ms, "Longest write with its read-back."),
    BOOL("commands.enable_acknowledgement", "true", commands.enable_acknowledgement, "Answer each command."),

    STRING("buffer.disk_path", "data/gateway/spool", buffer.disk_path, "Folder of the spool."),
    BYTES("buffer.disk_limit", "1GiB", 1 << 20, 1e15, buffer.disk_limit, "Bytes of the spool; the oldest go first."),
    BYTES("buffer.disk_reserve", "64MiB", 0, 1e15, buffer.disk_reserve, "Left free on the file system."),
    BYTES("buffer.segment_size", "16MiB", 65536, 1 << 30, buffer.segment_bytes, "Size of one file of the spool."),
    TIME("buffer.message_ttl", "0s", 0, 3650 * DAY_MS, buffer.message_ttl_ms, "Older points are dropped; 0: never."),
    TIME("buffer.commit_window", "100ms", 1, 60000, buffer.commit_window_ms, "What a power cut may cost."),
    BOOL("buffer.strict", "false", buffer.is_strict, "Wait for the disk before publishing."),
    BOOL("buffer.compress", "false", buffer.compress, "Compress batches (zstd)."),
    TIME("buffer.retry_interval", "1s", 50, 600000, buffer.retry_interval_ms,
         "First wait for the historian's acknowledgement before a batch is sent again."),
    TIME("buffer.flush_interval", "2ms", 1, 1000, buffer.flush_interval_ms,
         "Time between two batches on the average; a short burst of changes leaves at once."),
    INT("buffer.window", "512", 1, 4096, buffer.window, "Batches on the way to the historian."),
    INT("buffer.backlog_share", "50", 1, 90, buffer.backlog_share, "Percent of the window for old batches."),
    CHOICE("buffer.ack", "historian", "historian|broker", buffer.ack,
           "Who frees the spool: the historian (nothing is lost), or the broker (no NEXUS ingestion downstream)."),

    BOOL("publish.tags", "true", publish.tags, "Publish tag messages."),
    BOOL("publish.batches", "true", publish.batches, "Write points to the spool and publish batches."),
    CHOICE("publish.payload", "json", "json|compact|msgpack", publish.format, "Format of tag messages."),

    BYTES("recorder.ring_size", "4KiB", 0, 1 << 20, recorder.ring_bytes,
          "Flight recorder: last bytes kept of each connection; 0: off."),
    BOOL("recorder.save", "true", recorder.save, "Save what it holds when a connection fails (the newest 100 files)."),

    STRING("http.bind", "127.0.0.1", http.bind, "Address of the admin port."),
    INT("http.port", "8081", 0, 65535, http.port, "Admin port: health, status, metrics, test connection."),
    STRING("http.cert_file", NULL, http.cert_file, "PEM file: the admin port speaks HTTPS."),
    STRING("http.key_file", NULL, http.key_file, "PEM file with its key."),
    LOG_SETTINGS_ROWS(offsetof(struct gateway_conf, logging), "Least level of log lines.", "Form of log lines."),
    CONF_ROW_END,
};
