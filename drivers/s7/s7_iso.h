/* s7_iso.h -- the transport below S7: ISO 8073 class 0 (COTP) over TCP (TPKT). Pure.
 *
 * RFC 1006 (TPKT: version 3, length with its own four bytes) and ISO 8073 (cited "X.224"). A message is one or more
 * data TPDUs, the last one marked; who receives them joins them. Whatever is impossible answers NX_E_PROTO: the stream
 * has lost its place, or the peer speaks something else, and must be closed. */
#ifndef S7_ISO_H
#define S7_ISO_H

#include "base/slice.h"
#include "base/wbuf.h"
#include "nexus/err.h"

#define S7_FRAMING_BYTES  7u    /* TPKT and the header of a data TPDU */
#define S7_TPKT_MAX       8192u /* longest packet that we take */
#define S7_TPDU_BYTES     1024u /* asked for; a peer may answer less */
#define S7_TPDU_BYTES_MIN 128u

enum s7_tpdu_type {
    S7_TPDU_CONNECT = 0xE0,
    S7_TPDU_CONFIRM = 0xD0,
    S7_TPDU_DISCONNECT = 0x80,
    S7_TPDU_ERROR = 0x70,
    S7_TPDU_DATA = 0xF0,
};

/* One packet of the stream; data is borrowed from the input. */
struct s7_tpdu {
    uint8_t type;        /* enum s7_tpdu_type */
    uint8_t reason;      /* S7_TPDU_DISCONNECT, S7_TPDU_ERROR */
    bool is_last;        /* S7_TPDU_DATA: ends the message */
    uint16_t tpdu_bytes; /* S7_TPDU_CONFIRM: longest TPDU of the connection */
    struct slice data;   /* S7_TPDU_DATA */
};

/* Connection request with both TSAPs. X.224 13.3 */
void s7_iso_connect(struct wbuf *out, unsigned local_tsap, unsigned remote_tsap);
/* A message as data TPDUs of at most tpdu_bytes each, header included. X.224 13.7 */
void s7_iso_wrap(struct wbuf *out, struct slice message, unsigned tpdu_bytes);
/* Takes the first packet off in. NX_E_MORE: not complete yet (in is unchanged). NX_E_PROTO: see above. */
NX_MUST_CHECK enum nx_err s7_iso_next(struct slice *in, struct s7_tpdu *tpdu);
/* Why a peer has disconnected, for a person; never NULL. */
const char *s7_iso_reason(unsigned reason);

#endif
