/* bench.h -- what the programs of this folder share: a clock and their results. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Time that only runs forward. */
uint64_t bench_ns(void);
double bench_s(void);
/* Is this the short run of ctest, `bench_x --quick`? */
bool bench_is_quick(int argc, char **argv);
/* One case as a line: how much a second, and how many bytes each. */
void bench_print(const char *name, double value, const char *unit, double bytes_each);

struct bench_delays {
    double p50_ms, p99_ms; /* 0 of none */
};
/* Sorts us. */
struct bench_delays bench_delays(uint32_t *us, size_t n);

#endif
