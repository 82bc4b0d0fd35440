/* admin_lanes.h -- what status and gauges say of the ways to the historian. The loop thread of the gateway. */
#ifndef GATEWAY_ADMIN_LANES_H
#define GATEWAY_ADMIN_LANES_H

#include "gateway/gateway_priv.h"

void admin_lanes_gauges(struct gateway *g);
/* Fills spool, link and has_urgent. */
void admin_lanes_totals(const struct gateway *g, struct gateway_totals *t);
void admin_lanes_add(struct gateway_totals *to, const struct gateway_totals *t);
/* Adds "spool" and "link", both with all lanes together and each one by itself. Nothing without batches. */
void admin_lanes_json(const struct gateway *g, const struct gateway_totals *t, json_t *json);

#endif
