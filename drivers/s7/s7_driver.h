/* s7_driver.h -- the rows of drivers.def that live in this folder. */
#ifndef S7_DRIVER_H
#define S7_DRIVER_H

#include "nexus/driver.h"

extern const struct nx_driver s7_driver;

#endif
