/* control.h -- commands that change simulated Modbus devices while they run: one line each on standard input, one line
 * of answer ("ok ..." or "error: ...") on standard output. One thread. control_help tells them. */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include "base/wbuf.h"
#include "sim/faults.h"
#include "sim/line.h"
#include "sim/server.h"

struct control {
    struct faults *faults;
    struct server **servers;
    unsigned server_count;
    struct line *line; /* NULL: none */
};

extern const char control_help[];

/* Carries out a line (changed in the act) and writes the answer with its newline. */
void control_line(struct control *c, char *line, struct wbuf *answer);

#endif
