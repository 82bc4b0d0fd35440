/* broker.h -- the Mosquitto of `nexus up`: its configuration, users and access rules.
 *
 * Loopback only, no anonymous client, one random password per role, rules by role (gateways publish data and status,
 * ingestion reads batches and publishes acknowledgements, the core publishes commands and configuration). Nothing in
 * it is shipped: everything is made on first use. Blocking; call it before the loop runs. */
#ifndef APP_BROKER_H
#define APP_BROKER_H

#include "nexus/err.h"

#include <stdint.h>

struct broker_info {
    uint16_t port;          /* wanted_port, or a free one when that is taken */
    char program_path[512]; /* mosquitto, also where PATH does not lead */
    char config_path[512];  /* for `mosquitto -c` */
    char secrets_dir[512];  /* holds mqtt-gateway, mqtt-ingest, mqtt-core, mqtt-operator: one password each, 0600 */
};

/* Writes <data_dir>/broker/{mosquitto.conf,passwd,acl} and <data_dir>/secrets/mqtt-<user>. Passwords are kept from one
 * start to the next. NX_E_NOT_FOUND when there is no mosquitto program, with the way to install it. */
NX_MUST_CHECK enum nx_err broker_prepare(const char *data_dir, uint16_t wanted_port, struct broker_info *out,
                                         struct nx_note *why);

/* A free TCP port on loopback: wanted when it is free, else any. 0 when there is none. */
uint16_t broker_free_port(uint16_t wanted);

#endif
