/* tagmsg.h -- tag messages: one value of one tag as JSON or MessagePack, the picture that everybody reads
 * (docs/formats/tag-message.md).
 *
 * The writers make one fixed schema without allocation. The readers are tolerant (number, string, bool; time as
 * s/ms/us/ns, RFC 3339 or MessagePack timestamp; quality as word or number; the compact spelling v/q/u/ts), bounded,
 * and checked against jansson. Pure. */
#ifndef MODEL_TAGMSG_H
#define MODEL_TAGMSG_H

#include "base/wbuf.h"
#include "model/point.h"
#include "nexus/err.h"

#define TAGMSG_LIST_MAX 4096u

enum tagmsg_format { TAGMSG_JSON, TAGMSG_COMPACT, TAGMSG_MSGPACK };

struct tagmsg {
    struct nx_value value; /* strings: borrowed from the payload when it has no escapes, else from scratch */
    uint16_t quality;      /* NX_Q_GOOD when the message has none */
    int64_t time_us;       /* 0 when the message has none */
    int64_t source_us;     /* 0 when absent */
    int64_t gateway_us;    /* when the gateway received it; written beside a source time, not read; 0: absent */
    int64_t publish_us;    /* when it left, if later than that; written, not read; 0: absent */
    struct slice unit;     /* borrowed */
    struct slice error;    /* reason of a bad value */
    bool has_seq;          /* the point also travels in a batch: do not store it again */
    uint64_t seq;
};

/* Appends {"value":..,"quality":..,"timestamp":ms,...}, in MessagePack with the names of the compact spelling. Empty
 * members are left out. */
void tagmsg_encode(struct wbuf *w, enum tagmsg_format format, const struct tagmsg *msg);

/* Reads an object, or a bare number, string or boolean. scratch holds unescaped strings. NX_E_PROTO with a note that
 * names byte and expectation. Payloads above 64 KiB and text values above NX_STRING_MAX are NX_E_TOO_LARGE.
 * scratch is emptied first: strings of an earlier message are gone. Members that we do not know are skipped, the last
 * of duplicates counts, nesting of JSON is at most 32. A value of null (or NaN, or infinite) has a bad quality; a
 * quality that we do not know is uncertain.
 * A first byte of 0x80 or more is MessagePack: no JSON text begins so. A bare MessagePack number from 0 to 127 looks
 * like text; only tagmsg_decode_list() with a content type reads it. */
NX_MUST_CHECK enum nx_err tagmsg_decode(struct slice payload, struct wbuf *scratch, struct tagmsg *out,
                                        struct nx_note *why);

/* Several readings of one topic. Start with {0}; the memory is kept from call to call. */
struct tagmsg_list {
    struct tagmsg *items;
    size_t count, cap;
};
void tagmsg_list_free(struct tagmsg_list *list);
/* The message with the latest time, the last of equals. count must be at least 1. */
const struct tagmsg *tagmsg_newest(const struct tagmsg_list *list);
/* Reads what tagmsg_decode() reads, or an array of up to TAGMSG_LIST_MAX such objects in at most 1 MiB: all or none.
 * Several need a time each, and no member that names a tag (NX_E_UNSUPPORTED): a topic is one tag. content_type of MQTT
 * 5, empty when there is none, decides between JSON and MessagePack when it names one of them. count is at least 1 on
 * NX_OK. */
NX_MUST_CHECK enum nx_err tagmsg_decode_list(struct slice payload, struct slice content_type, struct wbuf *scratch,
                                             struct tagmsg_list *list, struct nx_note *why);

/* A number that is a time in s, ms, us or ns since 1970, told apart by its size (valid from 1980 to 2200). */
bool tagmsg_guess_time_us(double number, int64_t *time_us);

#endif
