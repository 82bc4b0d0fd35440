#include "modbus_late.h"

#define WAIT_MIN_MS 100u
#define WAIT_MAX_MS 5000u

/* The place of the unit; -1: it is not late. */
static int
find(const struct modbus_late *l, uint8_t unit)
{
    for (int i = 0; i < MODBUS_LATE_MAX; i++)
        if (l->units[i].until_ms != 0 && l->units[i].unit == unit)
            return i;
    return -1;
}

/* Free places end first of all. */
static int
first_to_end(const struct modbus_late *l)
{
    int first = 0;

    for (int i = 1; i < MODBUS_LATE_MAX; i++)
        if (l->units[i].until_ms < l->units[first].until_ms)
            first = i;
    return first;
}

void
modbus_late_add(struct modbus_late *l, uint8_t unit, uint64_t waited_ms, uint64_t now_ms)
{
    int i = find(l, unit);

    if (i < 0)
        i = first_to_end(l);
    if (waited_ms < WAIT_MIN_MS)
        waited_ms = WAIT_MIN_MS;
    if (waited_ms > WAIT_MAX_MS)
        waited_ms = WAIT_MAX_MS;
    l->units[i].unit = unit;
    l->units[i].until_ms = now_ms + waited_ms;
}

bool
modbus_late_take(struct modbus_late *l, uint8_t unit)
{
    int i = find(l, unit);

    if (i < 0)
        return false;
    l->units[i].until_ms = 0;
    return true;
}

uint64_t
modbus_late_until(struct modbus_late *l, uint8_t unit, uint64_t now_ms)
{
    int i = find(l, unit);

    if (i < 0)
        return 0;
    if (l->units[i].until_ms <= now_ms)
        l->units[i].until_ms = 0;
    return l->units[i].until_ms;
}
