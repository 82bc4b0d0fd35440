/* s7_cpu_priv.h -- between s7_cpu.c (setup, read, write) and s7_szl.c (system lists). */
#ifndef SIM_S7_CPU_PRIV_H
#define SIM_S7_CPU_PRIV_H

#include "sim/s7_cpu.h"

/* Answers a USERDATA message; 0 when it cannot be read. */
size_t s7sim_szl_answer(const struct s7sim_cpu *cpu, const struct s7sim_session *s, const struct s7sim_message *m,
                        uint8_t out[S7_PDU_MAX]);

#endif
