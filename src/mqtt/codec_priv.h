/* codec_priv.h -- the parts that codec.c and props.c share: MQTT's own integers and strings (1.5). Pure. */
#ifndef MQTT_CODEC_PRIV_H
#define MQTT_CODEC_PRIV_H

#include "base/rbuf.h"
#include "mqtt/codec.h"

/* Properties of a will stand in the payload of CONNECT and follow rules of their own (3.1.3.2). */
#define MQTT_PROPS_OF_WILL 0u

size_t mqtt_varint_size(size_t v);
void mqtt_put_varint(struct wbuf *w, size_t v);
/* A longer text than 65535 bytes fails the writer. */
void mqtt_put_text(struct wbuf *w, struct slice s);

/* At most four bytes, and no more than needed (1.5.5); else the reader counts as short. */
uint32_t mqtt_take_varint(struct rbuf *r);
struct slice mqtt_take_binary(struct rbuf *r);
/* UTF-8 without U+0000 (1.5.4). */
bool mqtt_text_is_valid(struct slice s);

/* Length and properties of the given packet (enum mqtt_type or MQTT_PROPS_OF_WILL). NX_E_PROTO as in codec.h. */
NX_MUST_CHECK enum nx_err mqtt_take_props(struct rbuf *r, unsigned packet, struct mqtt_props *out);

#endif
