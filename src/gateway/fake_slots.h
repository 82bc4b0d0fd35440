/* fake_slots.h -- a device with its slots but without an engine: for tests of what comes after the driver. Addresses
 * are numbers. */
#ifndef GATEWAY_FAKE_SLOTS_H
#define GATEWAY_FAKE_SLOTS_H

#include "gateway/engine.h"

/* Reads a definition as the core sends it, with ' for " and ` for '. Fails the process when it is wrong. */
struct nx_dev *fake_slots_new(const char *json, uint32_t first_key);
void fake_slots_free(struct nx_dev **dev);
struct slot *fake_slot(struct nx_dev *dev, const char *tag_id);

#endif
