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
    /* The raw reading before this one: the same again needs no second look. */
    bool is_held; /* a change waits for min_interval */
    bool has_raw;
    uint8_t raw_type;
    uint16_t raw_quality;
    uint64_t raw_bits;
};

/* Must this reading be sent? Remembers it when it must. The first reading, another quality, another type always pass;
 * numbers pass when they are farther than the deadband from what was sent last; anything passes after max_silence. A
 * change within min_interval of the last one is held: the first reading after it passes. */
bool filter_passes(struct filter_state *st, const struct tag *tag, const struct nx_value *v, uint16_t quality,
                   uint64_t now_ms);

/* Remembers the raw reading; texts are never taken for the same. */
static inline void
filter_see(struct filter_state *st, const struct nx_value *raw, uint16_t quality)
{
    st->has_raw = raw->type != NX_TYPE_STRING;
    st->raw_type = (uint8_t)raw->type;
    st->raw_quality = quality;
    st->raw_bits = raw->type == NX_TYPE_BOOL ? raw->b : raw->type == NX_TYPE_NONE ? 0 : raw->u;
}

/* Is it the raw reading that was seen last, so that filter_passes() can only say no, but for max_silence? */
static inline bool
filter_is_repeat(const struct filter_state *st, const struct nx_value *raw, uint16_t quality)
{
    if (!st->has_raw || st->is_held || st->raw_type != (uint8_t)raw->type || st->raw_quality != quality)
        return false;
    return raw->type == NX_TYPE_NONE || st->raw_bits == (raw->type == NX_TYPE_BOOL ? raw->b : raw->u);
}

#endif
