/* s7_control.h -- commands that change simulated S7 CPUs while they run, one line each. One thread.
 *
 *   fault NAME VALUE              see s7_faults.h; "fault none -" clears all
 *   drawn                         how many replies suffered what
 *   db N SIZE                     the data block shrinks, vanishes (0) or is back as it was at the start (full)
 *   db N protected|optimized|readonly|plain
 *   hole DB FIRST LAST CODE       these bytes give an item error; CODE 0: no hole
 *   put-get on|off, password on|off, pdu BYTES, jobs N, connections N
 *   get AREA DB BYTE COUNT        bytes as hexadecimal digits; AREA is I Q M DB T C (T and C: two bytes an element)
 *   set AREA DB BYTE HEX
 *   provenance                    fills I, Q, M and the blocks with their addresses
 *   stats                         messages, items, refused, connections
 *   drop                          resets every connection
 *
 * The answer is one line: "ok ..." or "error ...". All CPUs of the process are meant, get and stats ask the first. */
#ifndef SIM_S7_CONTROL_H
#define SIM_S7_CONTROL_H

#include "base/wbuf.h"
#include "sim/s7_cpu.h"
#include "sim/s7_faults.h"

struct s7sim_control {
    struct s7sim_cpu *cpus;
    unsigned cpu_count;
    uint32_t db_bytes; /* of a data block at the start */
    struct s7sim_faults *faults;
    void (*drop)(void *arg);
    void *arg;
};

/* Carries out a line (changed in the act) and writes the answer with its newline. */
void s7sim_control_line(struct s7sim_control *c, char *line, struct wbuf *answer);

#endif
