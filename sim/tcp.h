/* tcp.h -- what the TCP servers of the simulated protocols have in common. One thread. */
#ifndef SIM_TCP_H
#define SIM_TCP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* Listens on an IPv4 address with a handle that was initialised; port 0 takes a free one. *bound is the port in use.
 * 0 or an error of libuv; the caller closes the handle after either. */
int tcp_listen(uv_tcp_t *listener, const char *host, uint16_t port, uv_connection_cb on_connection, uint16_t *bound);
/* Sends all of it, later from a copy when the client is slow. false: the connection is broken. broken: called with the
 * handle's data when that shows later. */
bool tcp_send(uv_tcp_t *tcp, const uint8_t *p, size_t len, void (*broken)(void *arg));
/* With a FIN, or with a RST. */
void tcp_close(uv_tcp_t *tcp, bool is_reset, uv_close_cb closed);

#endif
