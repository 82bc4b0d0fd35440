/* plant.h -- a bottling plant in numbers: ten machines, their physics and their registers. One thread.
 *
 * Levels integrate flows, temperatures follow with a time constant, machines starve and block one another, jam now and
 * then, counters count bottles, the main meter sums the power of all. What a client writes (set points, enables) acts.
 * plant_step() moves the whole plant and renews all registers; writes take effect at once. */
#ifndef SIM_PLANT_H
#define SIM_PLANT_H

#include "sim/memory.h"
#include "sim/plant_points.h"

enum plant_device {
    PLANT_RAW,
    PLANT_MIX,
    PLANT_CIP,
    PLANT_FIL,
    PLANT_CAP,
    PLANT_LAB,
    PLANT_PAK,
    PLANT_AIR,
    PLANT_CHL,
    PLANT_PWR,
    PLANT_DEVICES
};

enum point_kind { POINT_FLOAT, POINT_TENTH, POINT_U16, POINT_U32, POINT_ENUM, POINT_BOOL };

struct plant_point {
    const char *device, *name; /* "raw", "level" */
    enum memory_table table;
    enum point_kind kind;
    const char *unit;
    double low, high, deadband;
    const char *help, *texts;
    uint32_t offset; /* of its double in struct plant */
};

struct plant_machine {
    const char *key, *id, *name, *prefix; /* "raw", "raw-water", "Raw water", "acme/bottling/utilities/raw-water" */
    const char *poll_interval;
};

struct plant {
#define MEMBER(device, name, ...) double device##_##name;
    PLANT_POINTS(MEMBER)
#undef MEMBER
    double time_s, pump1_s, air_s, cip_left_s, stop_left_s, pack_fraction,
        buffer; /* bottles between filler and packer */
    uint64_t seed;
    struct memory memories[PLANT_DEVICES];
};

extern const struct plant_machine plant_machines[PLANT_DEVICES];
extern const struct plant_point plant_points[];
extern const unsigned plant_point_count;

void plant_init(struct plant *p, uint64_t seed);
void plant_fini(struct plant *p);
void plant_step(struct plant *p, double dt_s);
/* Wire address of a point in its table: points of one machine and table follow each other. */
uint32_t plant_address(const struct plant_point *point);
/* Registers (or bits) of a point. */
uint32_t plant_size(const struct plant_point *point);

#endif
