/* options.h -- the command line of `nexus sim`. One thread. */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include "sim/faults.h"
#include "sim/load.h"
#include "sim/station.h"

struct options {
    const char *host, *devices_file, *interval;
    const char *line; /* serial line or pty instead of TCP */
    unsigned port, load, tags, baud;
    uint64_t seed;
    enum load_kind kind;
    enum framing framing;
    bool is_one_port, is_pty, is_controlled;
    struct faults faults;
};

/* Fills o; its texts are those of argv. -1: go on; else the exit code of the process, and what is wrong was printed. */
int sim_options_read(struct options *o, int argc, char **argv);

#endif
