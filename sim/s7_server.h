/* s7_server.h -- the port of one or more simulated S7 CPUs: ISO-on-TCP on libuv.
 *
 * A client reaches the CPU whose rack and slot its TSAP names; there is none, or that CPU has all the connections it
 * takes: the request is refused with a DR, as real CPUs do. Jobs of one connection are answered in order, all replies
 * to what one read brought in leave in one write. One thread. */
#ifndef SIM_S7_SERVER_H
#define SIM_S7_SERVER_H

#include "sim/s7_cpu.h"
#include "sim/s7_faults.h"

#include <uv.h>

struct s7sim_server;
struct s7sim_server_conf {
    const char *host;
    uint16_t port; /* 0: a free one */
    struct s7sim_cpu *cpus;
    unsigned cpu_count;
    struct s7sim_faults *faults; /* shared by all servers */
};

/* Listens. NULL with the reason in why (a libuv error) when it cannot. conf is copied; what it points to stays. */
struct s7sim_server *s7sim_server_open(uv_loop_t *loop, const struct s7sim_server_conf *conf, int *why);
uint16_t s7sim_server_port(const struct s7sim_server *s);
/* Drops every connection (RST), as a power cycle of the CPUs does; the port stays open. */
void s7sim_server_drop(struct s7sim_server *s);
/* Closes the port and every connection; memory goes when the loop has run. *s is NULL on return. */
void s7sim_server_close(struct s7sim_server **s);

#endif
