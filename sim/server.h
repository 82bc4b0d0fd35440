/* server.h -- a Modbus TCP server for simulated devices, on libuv. Shares no code with drivers/.
 *
 * One server is one listening port with one or more memories: with one memory every unit id reaches it, with several
 * unit id u reaches memory u - 1 and an unknown unit gets exception 11. Functions 1-6, 15, 16, 22. Requests of one
 * connection are answered in order, all replies to what one read brought in leave in one write. One thread. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "sim/memory.h"

#include <uv.h>

/* What goes wrong on purpose. Shared by all servers; may be changed while they run. */
struct faults {
    unsigned delay_ms; /* before every reply */
    bool is_split;     /* replies leave byte by byte, a loop turn between two */
    bool is_refusing;  /* connections are closed as soon as they are accepted */
    bool is_garbage;   /* replies are random bytes */
    bool is_wrong_tid; /* replies carry another transaction identifier */
    bool is_mute;      /* no reply at all */
    int exception_reg; /* a request that touches this wire address gets exception 2; -1: none */
};

struct server;
struct server_conf {
    const char *host;
    uint16_t port; /* 0: a free one */
    struct memory *memories;
    unsigned memory_count;
    const struct faults *faults;
};

/* Listens. NULL with the reason in why (a libuv error) when it cannot. conf is copied; what it points to stays. */
struct server *server_open(uv_loop_t *loop, const struct server_conf *conf, int *why);
uint16_t server_port(const struct server *s);
/* Requests answered so far by all servers of the process's loop thread. */
uint64_t server_requests(const struct server *s);
/* Closes the port and every connection; memory goes when the loop has run. *s is NULL on return. */
void server_close(struct server **s);

#endif
