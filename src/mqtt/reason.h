/* reason.h -- what the reason codes of a broker mean and what a person can do about them (MQTT 5.0, 2.4). Pure. */
#ifndef MQTT_REASON_H
#define MQTT_REASON_H

#include "mqtt/codec.h"

/* NX_OK for codes below 0x80. */
enum nx_err mqtt_reason_err(uint8_t code);

/* Fills why with "broker HOST: what the code means: remedy (its own words)" and returns the error. place says what
 * was refused: "connection", "filter 'a/b'". said may be empty. Codes of MQTT 3.1.1's CONNACK are taken too. */
enum nx_err mqtt_reason_note(struct nx_note *why, const char *place, uint8_t code, struct slice said);

#endif
