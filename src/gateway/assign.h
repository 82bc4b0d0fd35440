/* assign.h -- which devices are this gateway's, when several share a plant on one namespace (`gateway.shard.*`). Pure.
 *
 * Every rule that is given must hold; none given: all devices. Lists are separated by commas.
 *   line      topics below the root: "acme/bottling/line1, acme/+/line7"; '+' is any one level; what lies below belongs
 *   protocol  drivers: "modbus-tcp, s7"
 *   priority  the highest priority of any tag: "safety, control"
 *   network   where connection.host lies: "10.1.0.0/16, fd00::/8"; a name is in no network
 *   part      "1/3": the first of three equal parts, by hash of the connection */
#ifndef GATEWAY_ASSIGN_H
#define GATEWAY_ASSIGN_H

#include "model/device.h"

#define ASSIGN_NETWORKS_MAX 32u

struct assign_conf {
    const char *line, *protocol, *priority, *network, *part; /* NULL: no rule */
};

struct assign_network {
    int family; /* AF_INET, AF_INET6 */
    uint8_t address[16];
    unsigned bits;
};

struct assign {
    struct assign_conf conf; /* texts are borrowed */
    unsigned part, parts;    /* parts 0: no rule */
    unsigned network_count;
    struct assign_network networks[ASSIGN_NETWORKS_MAX];
    bool has_priority[3];
};

/* NX_E_CONFIG with a note that names the key and what is expected. */
NX_MUST_CHECK enum nx_err assign_init(struct assign *a, const struct assign_conf *conf, struct nx_note *why);
bool assign_takes(const struct assign *a, const struct device *d);
/* Which of n equal parts the connection of a device belongs to, from 0. Stable over versions. */
unsigned assign_part(const struct device *d, unsigned n);

#endif
