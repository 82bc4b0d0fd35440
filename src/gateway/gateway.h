/* gateway.h -- the gateway service: devices in, the Unified Namespace and numbered batches out, commands back.
 *
 * One loop thread owns everything; with polling.threads each thread is such a gateway for a part of the devices
 * (shards.h). Values flow one way: driver -> normalize -> filter -> spool -> MQTT. A point is in
 * the spool before it is published; the historian link frees the spool (docs/formats/batch.md). Bounds: devices and
 * tags of the configuration, `polling.worker_count` polls in flight, `buffer.disk_limit` bytes of spool, one unsent tag
 * message a tag, `commands.queue_size` commands. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "conf/conf.h"
#include "loop/loop.h"

struct gateway;

/* The settings, and the sections of a shared file that belong to others. */
extern const struct conf_row gateway_conf_rows[];
extern const char *const gateway_conf_foreign[];

/* Loads settings and devices, opens the spool and the admin port, starts polling. A broker or a device that is away
 * is no error, a device with a wrong setting neither (its status shows the reason). On failure *out is NULL and why
 * names place and remedy. */
NX_MUST_CHECK enum nx_err gateway_open(struct gateway **out, struct loop *loop, const struct conf_source *src,
                                       struct nx_note *why);
/* Ends in order: commands, polls, what is still to be published (at most polling.shutdown_timeout), HTTP. Then calls
 * stopped once, never from inside this call. */
void gateway_stop(struct gateway *g, void (*stopped)(void *arg), void *arg);
/* After stopped, or at once when the process has no time left; *g is NULL on return. Call before loop_free(). */
void gateway_free(struct gateway **g);

#endif
