/* modbus_late.h -- requests that were given up, whose answers may still come. Pure.
 *
 * Where transaction identifiers do not count, a late answer looks like the next one. So the unit is not asked again
 * until its answer has come, or as long again has gone by as was waited already. Other units are. */
#ifndef MODBUS_LATE_H
#define MODBUS_LATE_H

#include <stdbool.h>
#include <stdint.h>

#define MODBUS_LATE_MAX 8

/* Zero-initialised: nobody is late. */
struct modbus_late {
    struct {
        uint8_t unit;
        uint64_t until_ms; /* 0: free */
    } units[MODBUS_LATE_MAX];
};

/* A request to the unit, sent waited_ms ago, is given up. When there is no room, the one that ends first makes it. */
void modbus_late_add(struct modbus_late *l, uint8_t unit, uint64_t waited_ms, uint64_t now_ms);
/* An answer of the unit that nobody waits for: was it expected? Then it is expected no more. */
bool modbus_late_take(struct modbus_late *l, uint8_t unit);
/* Until when the unit must be left alone; 0: it may be asked. */
uint64_t modbus_late_until(struct modbus_late *l, uint8_t unit, uint64_t now_ms);

#endif
