/* devices_file.h -- the devices.yaml of what is simulated. Pure. */
#ifndef SIM_DEVICES_FILE_H
#define SIM_DEVICES_FILE_H

#include "base/wbuf.h"
#include "sim/load.h"
#include "sim/plant.h"

/* Where a device answers. */
struct place {
    uint16_t port;
    unsigned unit;
    const char *line; /* a serial line; NULL: the port */
    unsigned baud;    /* of the line */
    bool is_rtu;      /* RTU frames on the port */
};

/* places: one for each device, in order. */
void devices_file_plant(struct wbuf *out, const char *host, const struct place places[PLANT_DEVICES]);
void devices_file_load(struct wbuf *out, const char *host, const struct place *places, const struct load *load,
                       const char *poll_interval);

#endif
