/* diagnose.h -- what the gateway can tell of one device beyond its status: its read plan, with what it achieves, and
 * the decoded frames of the flight recorder. One loop thread. */
#ifndef GATEWAY_DIAGNOSE_H
#define GATEWAY_DIAGNOSE_H

#include "gateway/engine.h"

#include <jansson.h>

/* {device_id, protocol, is_connected, cycle, lists, tags} (docs/api/openapi.yaml, DevicePlan). New reference. */
json_t *diagnose_plan_json(struct nx_dev *dev);

/* {device_id, link, exchanges} (DeviceRecorder): each request with the bytes that came until the next one, what they
 * are, and what they carry for each tag of the device. New reference. */
json_t *diagnose_recorder_json(const struct nx_dev *dev);

/* The ring as a capture file; empty when nothing was recorded. */
void diagnose_pcapng(const struct nx_link *link, const char *comment, struct wbuf *out);

#endif
