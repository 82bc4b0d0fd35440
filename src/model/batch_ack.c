#include "model/batch.h"

#include <jansson.h>

#define ACK_MAX_BYTES 65536u

void
batch_ack_encode(struct wbuf *w, const struct batch_ack *ack)
{
    wbuf_str(w, "{\"epoch\":");
    wbuf_u64(w, ack->epoch);
    wbuf_str(w, ",\"lane\":");
    wbuf_u64(w, ack->lane);
    wbuf_str(w, ",\"committed\":[");
    for (unsigned i = 0; i < ack->count; i++) {
        wbuf_str(w, i ? ",[" : "[");
        wbuf_u64(w, ack->committed[i].from);
        wbuf_char(w, ',');
        wbuf_u64(w, ack->committed[i].to);
        wbuf_char(w, ']');
    }
    wbuf_str(w, "]}");
}

static bool
read_count(const json_t *json, uint64_t max, uint64_t *out)
{
    if (!json_is_integer(json) || json_integer_value(json) < 0 || (uint64_t)json_integer_value(json) > max)
        return false;
    *out = (uint64_t)json_integer_value(json);
    return true;
}

static bool
read_range(const json_t *json, struct batch_range *out)
{
    return json_is_array(json) && json_array_size(json) == 2 &&
           read_count(json_array_get(json, 0), INT64_MAX, &out->from) &&
           read_count(json_array_get(json, 1), INT64_MAX, &out->to) && out->from <= out->to;
}

static enum nx_err
read_ack(const json_t *json, struct batch_ack *out, struct nx_note *why)
{
    const json_t *committed = json_object_get(json, "committed");
    uint64_t lane;

    if (!read_count(json_object_get(json, "epoch"), INT64_MAX, &out->epoch) ||
        !read_count(json_object_get(json, "lane"), UINT8_MAX, &lane))
        return nx_fail(why, NX_E_PROTO, "acknowledgement: epoch and lane (0 to 255) must be whole numbers");
    out->lane = (uint8_t)lane;
    if (!json_is_array(committed))
        return nx_fail(why, NX_E_PROTO, "acknowledgement: committed must be a list of [from, to]");
    if (json_array_size(committed) > BATCH_ACK_RANGES)
        return nx_fail(why, NX_E_TOO_LARGE, "acknowledgement of %zu ranges; at most %d are read",
                       json_array_size(committed), BATCH_ACK_RANGES);
    for (out->count = 0; out->count < json_array_size(committed); out->count++) {
        if (!read_range(json_array_get(committed, out->count), &out->committed[out->count]))
            return nx_fail(why, NX_E_PROTO, "acknowledgement: committed[%u] must be [from, to] with from <= to",
                           out->count);
    }
    return NX_OK;
}

enum nx_err
batch_ack_decode(struct slice payload, struct batch_ack *out, struct nx_note *why)
{
    json_error_t fault;

    *out = (struct batch_ack){0};
    if (payload.len > ACK_MAX_BYTES)
        return nx_fail(why, NX_E_TOO_LARGE, "acknowledgement of %zu bytes; at most %u are read", payload.len,
                       ACK_MAX_BYTES);
    json_t *json = json_loadb(payload.len ? (const char *)payload.p : "", payload.len, 0, &fault);
    if (!json)
        return nx_fail(why, NX_E_PROTO, "acknowledgement, byte %d: %s", fault.position, fault.text);
    enum nx_err err = read_ack(json, out, why);
    json_decref(json);
    return err;
}
