/* point.h -- a point: what a tag was worth at a time, and how sure that is. */
#ifndef MODEL_POINT_H
#define MODEL_POINT_H

#include "base/slice.h"
#include "nexus/err.h"
#include "nexus/value.h"

/* Times are microseconds since 1970, UTC. */
struct point {
    uint32_t series;       /* index into the series dictionary that travels with the points */
    uint16_t quality;      /* enum nx_quality */
    struct nx_value value; /* NX_TYPE_NONE when the quality is bad */
    int64_t time_us;       /* the point's time: source time when the device has one, else gateway time */
    int64_t gateway_us;    /* when the gateway received it */
};

/* A series: one tag of one device under one topic. Text is borrowed. */
struct series {
    struct slice topic, device_id, tag_id, unit;
    uint8_t data_type; /* enum nx_type of its values */
};

/* "good", "uncertain", "bad", "not_connected", "config_error", "device_failure", "timeout"; others map to the
 * nearest word. Never NULL. */
const char *quality_word(uint16_t quality);
/* Words in any case, OPC numbers as text. false leaves *out alone. */
bool quality_parse(struct slice text, uint16_t *out);
/* Quality for an error of a read, e.g. NX_E_TIMEOUT -> NX_Q_TIMEOUT. */
uint16_t quality_from_err(enum nx_err err);

bool value_eq(const struct nx_value *a, const struct nx_value *b);
/* As a number; false for strings and none. */
bool value_as_double(const struct nx_value *v, double *out);
/* As jansson has it; whole numbers beyond INT64_MAX as a double. New reference; NULL for text that is not UTF-8. */
struct json_t *value_json(const struct nx_value *v);

#endif
