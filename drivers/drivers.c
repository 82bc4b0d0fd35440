/* drivers.c -- the list of drivers, made from drivers.def. */
#include "nexus/driver.h"

#define NX_DRIVER(symbol) extern const struct nx_driver symbol;
#include "drivers.def"
#undef NX_DRIVER

const struct nx_driver *const nx_drivers[] = {
#define NX_DRIVER(symbol) &symbol,
#include "drivers.def"
#undef NX_DRIVER
    NULL,
};
