/* gateway_conf.h -- the settings of the gateway as the rows of gateway_conf.c fill them. Text is owned by struct conf.
 */
#ifndef GATEWAY_CONF_H
#define GATEWAY_CONF_H

#include "mqtt/settings.h"
#include "obs/settings.h"

#include <stdbool.h>
#include <stdint.h>

enum gateway_ack { GATEWAY_ACK_HISTORIAN, GATEWAY_ACK_BROKER };

struct gateway_conf {
    const char *id;
    const char *uns_root;
    struct {
        const char *line, *protocol, *priority, *network, *part;
    } shard; /* assign.h */
    const char *devices_path;
    const char *cache_path;
    bool config_sync;
    struct mqtt_settings mqtt;
    struct {
        bool clean_session, retain;
        int64_t session_expiry_ms, qos, window, backoff_min_ms, backoff_max_ms;
    } session; /* the rest of mqtt.* */
    struct {
        int64_t threads, worker_count, batch_size, default_interval_ms, max_retries, shutdown_timeout_ms;
        int64_t connects_per_second, backoff_min_ms, backoff_max_ms;
    } polling;
    struct {
        int64_t max_concurrent_writes, queue_size, write_timeout_ms;
        bool enable_acknowledgement;
    } commands;
    struct {
        const char *disk_path;
        uint64_t disk_limit, disk_reserve, segment_bytes;
        int64_t message_ttl_ms, commit_window_ms, retry_interval_ms, flush_interval_ms, window, backlog_share;
        bool is_strict, compress;
        int ack;
    } buffer;
    struct {
        bool tags, batches;
        int format; /* enum tagmsg_format */
    } publish;
    struct {
        uint64_t ring_bytes;
        bool save;
    } recorder;
    struct {
        const char *bind, *cert_file, *key_file;
        int64_t port;
    } http;
    struct log_settings logging;
};

#endif
