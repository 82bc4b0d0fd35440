/* serial_port.h -- the device file of a serial line: open, lock, set up, close. Blocking calls for a worker thread;
 * only for serial.c. */
#ifndef LOOP_SERIAL_PORT_H
#define LOOP_SERIAL_PORT_H

#include "loop/loop.h"

/* Opens conf->path non-blocking and raw with exactly these settings, locked against others, its old input dropped. fd
 * is -1 after a failure; why names the path and the remedy. */
enum nx_err serial_port_open(const struct serial_conf *conf, int *fd, struct nx_note *why);
/* Writes everything and waits until the last bit is out. Blocks for as long as that takes on the wire. 0 or an errno.
 */
int serial_port_send(int fd, struct slice data);
/* The same with RTS raised from delay_us before until delay_us after. */
int serial_port_send_rts(int fd, struct slice data, uint32_t delay_us);
/* Drops output that has not left, unless serial_port_send() has seen it out, unlocks, closes. Does not block. */
void serial_port_close(int fd, bool is_drained);

#endif
