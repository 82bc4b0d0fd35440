/* line.h -- simulated Modbus RTU devices on one serial line: a real one, or a pty that is linked to a path of its own.
 * One thread.
 *
 * A request is cut by the length that its function code tells; what is no request is dropped after a silence. */
#ifndef SIM_LINE_H
#define SIM_LINE_H

#include "sim/station.h"

#include <uv.h>

#define LINE_BAUD 9600u /* unless said otherwise */

struct line;
struct line_conf {
    const char *path; /* a serial line; or, with is_pty, the symbolic link to make */
    bool is_pty;
    unsigned baud;          /* a pty moves its bytes at this pace; 0: as fast as it goes (a line: 9600) */
    struct station station; /* framing RTU */
};

/* NULL with the reason printed when it cannot. conf is copied; what it points to stays. */
struct line *line_open(uv_loop_t *loop, const struct line_conf *conf);
/* As when an adapter is pulled: who has the line open sees it hang up, and the path is gone. line_plug() brings it
 * back. Both false when it cannot be. */
bool line_unplug(struct line *l);
bool line_plug(struct line *l);
uint64_t line_requests(const struct line *l);
/* Memory goes when the loop has run. *l is NULL on return. */
void line_close(struct line **l);

#endif
