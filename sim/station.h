/* station.h -- Modbus frames in, Modbus frames out, for the devices behind one port or on one line. One thread.
 *
 * With one memory every unit id reaches it; with several unit id u reaches memory u - 1. Over TCP an unknown unit gets
 * exception 11, as gateways do it; on a serial line nobody answers. RTU over TCP is a gateway that passes frames on:
 * nobody answers either. Unit 0 on a line is a broadcast. */
#ifndef SIM_STATION_H
#define SIM_STATION_H

#include "sim/faults.h"
#include "sim/memory.h"

#include <stddef.h>

enum framing { FRAMING_TCP, FRAMING_RTU };

#define STATION_FRAME_MAX 260u

struct station {
    enum framing framing;
    struct memory *memories;
    unsigned memory_count;
    struct faults *faults;
    uint64_t requests; /* answered or swallowed so far */
};

/* Length of the first request of in; 0: more bytes are needed; -1: that is no request. */
int station_frame_length(const struct station *s, const uint8_t *in, size_t len);
/* Carries out the request (a whole frame). Returns the length of the reply, spoiled when a fault of the protocol was
 * drawn, and 0 when there is none. *fault is what was drawn. */
size_t station_answer(struct station *s, const uint8_t *in, size_t len, uint8_t out[STATION_FRAME_MAX],
                      enum fault *fault);

#endif
