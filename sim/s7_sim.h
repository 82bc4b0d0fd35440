/* s7_sim.h -- `nexus sim --s7...`: simulated S7 CPUs. `nexus sim --s7-help`. */
#ifndef SIM_S7_SIM_H
#define SIM_S7_SIM_H

#include <stdbool.h>

/* Is it the S7 simulator that these arguments ask for? */
bool s7sim_is_meant(int argc, char **argv);
/* Runs until SIGINT or SIGTERM. Returns the exit code of the process. */
int s7sim_main(int argc, char **argv);

#endif
