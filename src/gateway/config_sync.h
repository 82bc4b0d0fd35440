/* config_sync.h -- devices from the core: $nexus/config/devices/{id}/updated, $nexus/config/devices/bulk.
 *
 * On each connection the full set is asked for ($nexus/config/sync/request) and asked for again, more and more slowly,
 * until it comes. The last full set is kept in a file, so that polling starts without core and broker. Messages older
 * than what we have are ignored. One loop thread. */
#ifndef GATEWAY_CONFIG_SYNC_H
#define GATEWAY_CONFIG_SYNC_H

#include "gateway/outlet.h"
#include "gateway/registry.h"

struct config_sync;

struct config_sync_conf {
    const char *prefix;     /* "$nexus" */
    const char *gateway;    /* our id */
    const char *cache_path; /* NULL: none */
};

struct config_sync *config_sync_new(struct loop *loop, const struct config_sync_conf *conf, struct registry *registry,
                                    const struct outlet *out);
void config_sync_free(struct config_sync **cs);

/* Devices of the cache file. A missing or damaged file is no error: the core will tell. */
void config_sync_load_cache(struct config_sync *cs);
void config_sync_online(struct config_sync *cs);
void config_sync_offline(struct config_sync *cs);
/* false: not a configuration message. */
bool config_sync_message(struct config_sync *cs, const struct mqtt_message *msg);
/* Has the core told us its devices since the start? */
bool config_sync_is_done(const struct config_sync *cs);

#endif
