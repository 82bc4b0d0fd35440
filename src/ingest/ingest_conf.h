/* ingest_conf.h -- settings of `nexus ingest` as one struct. */
#ifndef INGEST_INGEST_CONF_H
#define INGEST_INGEST_CONF_H

#include "historian/settings.h"

struct ingest_conf {
    struct {
        const char *broker_url, *client_id, *username, *password;
        const char *ca_file, *cert_file, *key_file;
        bool skip_verify;
        int version; /* 0: 5, 1: 3.1.1 */
        int64_t keepalive_ms;
        const char *system_prefix;
    } mqtt;
    struct {
        int64_t buffer_size, batch_size, flush_interval_ms, max_topics, writer_count;
        bool use_copy_protocol;
        const char *batch_filter;
        const struct conf_node *topics; /* list of filters; NULL: {uns.root}/# */
    } ingestion;
    struct {
        const char *disk_path;
        uint64_t disk_limit;
    } buffer;
    struct historian_settings store;
    struct {
        int64_t retention_days, rollup_retention_days;
    } historian;
    const char *uns_root;
    struct {
        const char *bind;
        int64_t port;
    } http;
    struct {
        int level, format;
    } logging;
};

extern const char *const ingest_log_levels[];
extern const char *const ingest_log_formats[];

#endif
