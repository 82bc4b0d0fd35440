/* server.h -- a Modbus server on a TCP port for simulated devices (station.h), on libuv.
 *
 * Requests of one connection are answered in order; without faults all replies to what one read brought in leave in one
 * write. One thread. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "sim/station.h"

#include <uv.h>

struct server;
struct server_conf {
    const char *host;
    uint16_t port; /* 0: a free one */
    struct station station;
};

/* Listens. NULL with the reason in why (a libuv error) when it cannot. conf is copied; what it points to stays. */
struct server *server_open(uv_loop_t *loop, const struct server_conf *conf, int *why);
uint16_t server_port(const struct server *s);
/* Requests so far. */
uint64_t server_requests(const struct server *s);
/* Resets every connection and goes on listening. */
void server_drop(struct server *s);
/* Closes the port and every connection; memory goes when the loop has run. *s is NULL on return. */
void server_close(struct server **s);

#endif
