/* program.h -- what `nexus sim` does alike for all protocols. Errors are told on standard error. */
#ifndef SIM_PROGRAM_H
#define SIM_PROGRAM_H

#include "base/wbuf.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* The number of an option; false when it is none from min to max. */
bool program_number(const char *text, uint64_t min, uint64_t max, unsigned *out);
/* A loop for ten thousand clients. */
void program_start(uv_loop_t *loop);
/* Initialises and starts n handles, one a signal; arg is their data. */
void program_watch(uv_loop_t *loop, uv_signal_t *handles, const int *signums, unsigned n, uv_signal_cb cb, void *arg);
void program_unwatch(uv_signal_t *handles, unsigned n);
void program_say_no_port(const char *host, unsigned port, int why);
/* Writes the devices file and frees its text. */
bool program_save(const char *path, struct wbuf *text);

#endif
