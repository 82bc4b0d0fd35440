/* s7_load.h -- many equal S7 CPUs for benchmarks. Every tag counts its own reads: each read that is answered finds it
 * one higher than the one before, so a reader that keeps the values can tell exactly what was lost. One thread. */
#ifndef SIM_S7_LOAD_H
#define SIM_S7_LOAD_H

#include "base/wbuf.h"
#include "sim/s7_cpu.h"

/* CPUs behind one port: racks 0 to 7, slots 1 to 31. */
#define S7_LOAD_PER_PORT 248u

struct s7sim_load {
    struct s7sim_cpu *cpus;
    unsigned cpu_count, tag_count;
    bool is_int; /* INT (wraps at 32767), else REAL */
};

/* limits: what each CPU negotiates; rack and slot are set by its place behind the port. */
void s7sim_load_init(struct s7sim_load *l, unsigned cpus, unsigned tags, bool is_int,
                     const struct s7sim_cpu_conf *limits);
void s7sim_load_fini(struct s7sim_load *l);
/* The devices.yaml of it; ports: one for each group of S7_LOAD_PER_PORT CPUs. */
void s7sim_load_devices(struct wbuf *out, const struct s7sim_load *l, const char *host, const uint16_t *ports,
                        const char *poll_interval);

#endif
