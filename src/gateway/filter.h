/* filter.h -- which readings are worth sending: change, deadband, longest silence. Decides once, for tag messages and
 * batches alike. Pure. */
#ifndef GATEWAY_FILTER_H
#define GATEWAY_FILTER_H

#include "model/device.h"
#include "nexus/value.h"

/* What was sent last. Zero-initialised: nothing yet. Texts are remembered as length and 64-bit hash. */
struct filter_state {
    bool has_sent;
    uint8_t type;
    uint16_t quality;
    uint32_t len;
    uint64_t bits; /* the value's bits, or the hash of a text */
    uint64_t sent_ms;
};

/* Must this reading be sent? Remembers it when it must. The first reading, another quality, another type always pass;
 * numbers pass when they are farther than the deadband from what was sent last; anything passes after max_silence. */
bool filter_passes(struct filter_state *st, const struct tag *tag, const struct nx_value *v, uint16_t quality,
                   uint64_t now_ms);

#endif
