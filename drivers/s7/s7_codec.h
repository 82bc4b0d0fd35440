/* s7_codec.h -- the S7 messages a client needs: setup, read var, write var; requests out, replies in. Pure.
 *
 * A message is a header (0x32, kind, job reference, lengths), parameters and data. Requests are within the negotiated
 * PDU by contract; whatever comes from the wire is checked: a reply is good only when kind, function, number of items
 * and the length of each item are exactly what the request asks for. */
#ifndef S7_CODEC_H
#define S7_CODEC_H

#include "base/slice.h"
#include "base/wbuf.h"
#include "nexus/err.h"

#define S7_ITEMS_MAX     20u   /* in one job, whatever the PDU: some servers drop the others without a word */
#define S7_PDU_MAX       4096u /* the largest that is asked for */
#define S7_PDU_MIN       128u  /* the least that a CPU may offer */
#define S7_PDU_USUAL     240u  /* what every CPU has */
#define S7_ITEM_BYTES    12u   /* of an item in a request */
#define S7_REPLY_HEAD    14u   /* of a read reply: header and parameters */
#define S7_RESULT_HEAD   4u    /* of an item in a read reply */
#define S7_WRITE_BYTES   28u   /* of a write job with one item, without its data */
#define S7_WRITE_REPLY   15u   /* of its reply */
#define S7_REQUEST_SPARE 19u   /* head of a read job as counted by the most careful client known to us; 12 are used */

enum s7_function { S7_SETUP = 0xF0, S7_READ = 0x04, S7_WRITE = 0x05 };

enum s7_area {
    S7_COUNTER_AREA = 0x1C,
    S7_TIMER_AREA = 0x1D,
    S7_INPUT = 0x81,
    S7_OUTPUT = 0x82,
    S7_MEMORY = 0x83,
    S7_DB = 0x84,
};

/* What an item counts in; timers and counters are counted in themselves. */
enum s7_transport { S7_BITS = 1, S7_BYTES = 2 };

#define S7_CODE_OK        0xFFu
#define S7_CODE_HARDWARE  0x01u
#define S7_CODE_DENIED    0x03u
#define S7_CODE_ADDRESS   0x05u
#define S7_CODE_TYPE      0x06u
#define S7_CODE_MISMATCH  0x07u
#define S7_CODE_NO_OBJECT 0x0Au

/* Errors of a whole reply. */
#define S7_ERROR_FUNCTION     0x8104u
#define S7_ERROR_PDU          0x8500u
#define S7_ERROR_ITEM         0xD209u
#define S7_ERROR_NO_PASSWORD  0xD241u
#define S7_ERROR_BAD_PASSWORD 0xD602u

/* A piece of an area of the CPU. */
struct s7_item {
    uint8_t area;
    uint8_t bit;       /* S7_BITS: 0..7 */
    uint8_t transport; /* S7_BITS (one bit) or S7_BYTES; no matter for timers and counters */
    uint16_t db;       /* 0 outside of data blocks */
    uint32_t start;    /* byte, or number of the timer or counter */
    uint16_t count;    /* bytes, timers, counters, or 1 bit */
};

struct s7_reply {
    uint8_t function; /* enum s7_function, 0 when the CPU has left the parameters out */
    uint8_t count;    /* items */
    uint16_t ref;
    uint16_t error; /* of the whole, 0: none */
    struct slice param, data;
};

/* code S7_CODE_OK: data has the bytes of the item, borrowed. */
struct s7_result {
    uint8_t code;
    struct slice data;
};

static inline bool
s7_area_is_counted(unsigned area)
{
    return area == S7_COUNTER_AREA || area == S7_TIMER_AREA;
}

/* Bytes of an item in a reply. */
static inline unsigned
s7_item_bytes(const struct s7_item *item)
{
    return s7_area_is_counted(item->area) ? item->count * 2u : item->count;
}

void s7_encode_setup(struct wbuf *out, unsigned ref, unsigned jobs, unsigned pdu_bytes);
void s7_encode_read(struct wbuf *out, unsigned ref, const struct s7_item *items, unsigned n);
/* data: the bytes of the item as they lie in the CPU; one byte 0 or 1 for a bit. */
void s7_encode_write(struct wbuf *out, unsigned ref, const struct s7_item *item, struct slice data);

/* Splits a message into its parts. NX_E_PROTO: no reply to a job, or lengths that contradict each other. */
NX_MUST_CHECK enum nx_err s7_decode_reply(struct slice message, struct s7_reply *reply, struct nx_note *why);
/* The numbers that the CPU has agreed to; at most what was asked for. */
NX_MUST_CHECK enum nx_err s7_decode_setup(const struct s7_reply *reply, unsigned *jobs, unsigned *pdu_bytes,
                                          struct nx_note *why);
/* Does the reply answer these items? Fills results[n]. The caller has looked at reply->error. */
NX_MUST_CHECK enum nx_err s7_decode_read(const struct s7_reply *reply, const struct s7_item *items, unsigned n,
                                         struct s7_result *results, struct nx_note *why);
/* The code of the only item of a write. */
NX_MUST_CHECK enum nx_err s7_decode_write(const struct s7_reply *reply, uint8_t *code, struct nx_note *why);

/* What the code of an item means to the engine and to a person; the text is never NULL and names the remedy. */
enum nx_err s7_code_err(unsigned code);
const char *s7_code_text(unsigned code);
/* The same for the error of a whole reply. */
enum nx_err s7_error_err(unsigned error);
const char *s7_error_text(unsigned error);

#endif
