/* admin_device.h -- handlers of the admin port that concern devices: their status, plan, recorder, test connection.
 * Each is answered by the thread that has the device (shards.h). The argument is the head's struct gateway. */
#ifndef GATEWAY_ADMIN_DEVICE_H
#define GATEWAY_ADMIN_DEVICE_H

#include "http/http.h"

#define ADMIN_TEST_BODY_MAX (4u << 20)

void admin_get_devices(struct http_req *req, void *arg);
void admin_get_plan(struct http_req *req, void *arg);
void admin_get_recorder(struct http_req *req, void *arg);
void admin_get_pcapng(struct http_req *req, void *arg);
void admin_post_test(struct http_req *req, void *arg);

#endif
