/* ingest_conf.h -- settings of `nexus ingest` as one struct. */
#ifndef INGEST_INGEST_CONF_H
#define INGEST_INGEST_CONF_H

#include "historian/settings.h"
#include "mqtt/settings.h"
#include "obs/settings.h"

struct ingest_conf {
    struct mqtt_settings mqtt;
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
    struct log_settings logging;
};

extern const char *const ingest_log_levels[];
extern const char *const ingest_log_formats[];

#endif
