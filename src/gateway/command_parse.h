/* command_parse.h -- the text of write commands: topics and payloads (contracts, "MQTT topics"). Pure. */
#ifndef GATEWAY_COMMAND_PARSE_H
#define GATEWAY_COMMAND_PARSE_H

#include "base/arena.h"
#include "base/slice.h"
#include "nexus/err.h"
#include "nexus/value.h"

#define COMMAND_TAGS_MAX    256u
#define COMMAND_PAYLOAD_MAX 65536u

/* One write of a message. Text is in the arena. */
struct command_item {
    const char *tag;
    struct nx_value value;
    bool has_expected;
    struct nx_value expected;
};

struct command_text {
    const char *device;
    const char *id;       /* NULL: none */
    int64_t ttl_ms;       /* 0: none */
    int64_t timestamp_ms; /* when it was sent; 0: unknown */
    unsigned priority;    /* 0 telemetry, 1 control (when it does not say), 2 safety */
    unsigned count;
    struct command_item *items;
};

/* {prefix}/cmd/{device}/{tag}/set -> both, {prefix}/cmd/{device}/write -> *tag NULL. False: another topic. No device
 * can be called "response": that level is the way back. */
bool command_parse_topic(struct arena *a, const char *prefix, struct slice topic, const char **device,
                         const char **tag);
/* tag NULL: {"values": {tag: value, ...}} or {"tags": [{"tag_id", "value", "expected"}, ...]}. Else a bare value or
 * {"value", "id", "ttl_ms", "expected", "timestamp", "priority"}; text that is no JSON is the value itself. On failure
 * out->id is still set when the payload has one, so that the refusal can be matched. */
NX_MUST_CHECK enum nx_err command_parse_payload(struct arena *a, const char *tag, struct slice payload,
                                                struct command_text *out, struct nx_note *why);

#endif
