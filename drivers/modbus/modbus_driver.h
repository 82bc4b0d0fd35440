/* modbus_driver.h -- the rows of drivers.def that live in this folder. */
#ifndef MODBUS_DRIVER_H
#define MODBUS_DRIVER_H

#include "nexus/driver.h"

extern const struct nx_driver modbus_tcp_driver;
extern const struct nx_driver modbus_rtu_driver;

#endif
