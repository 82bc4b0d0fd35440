/* option.h -- "--name value" of the loads of bench/run.py. */
#ifndef BENCH_OPTION_H
#define BENCH_OPTION_H

#include <stdint.h>

/* The text behind a name; NULL: absent. */
const char *option_text(int argc, char **argv, const char *name);
/* The number behind a name; fallback when it is absent or no number. */
uint64_t option(int argc, char **argv, const char *name, uint64_t fallback);

#endif
