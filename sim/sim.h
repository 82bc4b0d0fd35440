/* sim.h -- `nexus sim`: simulated Modbus TCP devices for the demo, tests and benchmarks. `nexus sim --help`. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

/* Runs until SIGINT or SIGTERM. Returns the exit code of the process. */
int sim_main(int argc, char **argv);

#endif
