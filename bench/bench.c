#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t
bench_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double
bench_s(void)
{
    return (double)bench_ns() * 1e-9;
}

bool
bench_is_quick(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "--quick") == 0;
}

void
bench_print(const char *name, double value, const char *unit, double bytes_each)
{
    printf("{\"case\":\"%s\",\"value\":%.0f,\"unit\":\"%s\",\"bytes_each\":%.2f}\n", name, value, unit, bytes_each);
}

static int
compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

struct bench_delays
bench_delays(uint32_t *us, size_t n)
{
    if (n == 0)
        return (struct bench_delays){0};
    qsort(us, n, sizeof *us, compare);
    return (struct bench_delays){.p50_ms = us[n / 2] / 1000.0, .p99_ms = us[n * 99 / 100] / 1000.0};
}
