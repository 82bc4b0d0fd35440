#include "s7_iso.h"

#include "base/rbuf.h"

#include <assert.h>

#define TPKT_VERSION 3u
#define TPKT_BYTES   4u
#define TPKT_MIN     7u /* TPKT, length of the header, type and one more byte */
#define LAST_TPDU    0x80u

#define PARAM_TPDU_SIZE   0xC0u
#define PARAM_LOCAL_TSAP  0xC1u
#define PARAM_REMOTE_TSAP 0xC2u
#define TPDU_SIZE_1024    10u /* as a power of two */
#define TPDU_SIZE_MIN     7u
#define TPDU_SIZE_MAX     13u

#define OUR_REFERENCE 1u

static void
put_tpkt(struct wbuf *out, size_t len)
{
    wbuf_u8(out, TPKT_VERSION);
    wbuf_u8(out, 0);
    wbuf_be16(out, (unsigned)(len + TPKT_BYTES));
}

static void
put_param16(struct wbuf *out, unsigned code, unsigned v)
{
    wbuf_u8(out, code);
    wbuf_u8(out, 2);
    wbuf_be16(out, v);
}

void
s7_iso_connect(struct wbuf *out, unsigned local_tsap, unsigned remote_tsap)
{
    put_tpkt(out, 18);
    wbuf_u8(out, 17); /* bytes of the header that follow */
    wbuf_u8(out, S7_TPDU_CONNECT);
    wbuf_be16(out, 0);
    wbuf_be16(out, OUR_REFERENCE);
    wbuf_u8(out, 0); /* class 0 */
    wbuf_u8(out, PARAM_TPDU_SIZE);
    wbuf_u8(out, 1);
    wbuf_u8(out, TPDU_SIZE_1024);
    put_param16(out, PARAM_LOCAL_TSAP, local_tsap);
    put_param16(out, PARAM_REMOTE_TSAP, remote_tsap);
}

void
s7_iso_wrap(struct wbuf *out, struct slice message, unsigned tpdu_bytes)
{
    size_t room = tpdu_bytes - 3;

    assert(message.len > 0 && tpdu_bytes >= S7_TPDU_BYTES_MIN);
    while (message.len > 0) {
        size_t n = message.len < room ? message.len : room;

        put_tpkt(out, n + 3);
        wbuf_u8(out, 2);
        wbuf_u8(out, S7_TPDU_DATA);
        wbuf_u8(out, n == message.len ? LAST_TPDU : 0);
        wbuf_slice(out, slice(message.p, n));
        message = slice_skip(message, n);
    }
}

/* Of the variable part of a connection confirm only the size matters; without it our own stands. X.224 13.4 */
static enum nx_err
read_confirm(struct slice header, struct s7_tpdu *tpdu)
{
    struct rbuf r = rbuf_init(header);

    tpdu->tpdu_bytes = S7_TPDU_BYTES;
    (void)rbuf_take(&r, 5); /* references and class */
    while (!r.is_short && rbuf_left(&r) > 0) {
        unsigned code = rbuf_u8(&r);
        struct slice value = rbuf_take(&r, rbuf_u8(&r));

        if (code != PARAM_TPDU_SIZE || value.len != 1)
            continue;
        if (value.p[0] < TPDU_SIZE_MIN || value.p[0] > TPDU_SIZE_MAX)
            return NX_E_PROTO;
        tpdu->tpdu_bytes = (uint16_t)(1u << value.p[0]);
    }
    return r.is_short ? NX_E_PROTO : NX_OK;
}

/* header begins behind the type. */
static enum nx_err
read_header(struct slice header, struct s7_tpdu *tpdu)
{
    switch (tpdu->type) {
    case S7_TPDU_DATA:
        if (header.len != 1)
            return NX_E_PROTO;
        tpdu->is_last = (header.p[0] & LAST_TPDU) != 0;
        return NX_OK;
    case S7_TPDU_CONFIRM:
        return read_confirm(header, tpdu);
    case S7_TPDU_DISCONNECT:
    case S7_TPDU_ERROR: {
        size_t at = tpdu->type == S7_TPDU_ERROR ? 2 : 4;
        tpdu->reason = header.len > at ? header.p[at] : 0;
        return NX_OK;
    }
    default:
        return NX_E_PROTO;
    }
}

enum nx_err
s7_iso_next(struct slice *in, struct s7_tpdu *tpdu)
{
    struct rbuf r = rbuf_init(*in);
    unsigned version = rbuf_u8(&r), header;
    uint16_t len;
    enum nx_err err;

    /* Judge each field as soon as it is there: a wrong length must not make us wait for bytes that never come. */
    if (in->len >= 1 && version != TPKT_VERSION)
        return NX_E_PROTO;
    (void)rbuf_u8(&r);
    len = rbuf_be16(&r);
    if (in->len < TPKT_BYTES)
        return NX_E_MORE;
    if (len < TPKT_MIN || len > S7_TPKT_MAX)
        return NX_E_PROTO;
    if (in->len < len)
        return NX_E_MORE;
    header = rbuf_u8(&r);
    if (header < 2 || header + 1u > len - TPKT_BYTES)
        return NX_E_PROTO;
    *tpdu = (struct s7_tpdu){.type = rbuf_u8(&r) & 0xF0u};
    err = read_header(rbuf_take(&r, header - 1u), tpdu);
    if (err != NX_OK)
        return err;
    tpdu->data = slice(r.p, (size_t)(in->p + len - r.p));
    *in = slice_skip(*in, len);
    return NX_OK;
}

const char *
s7_iso_reason(unsigned reason)
{
    switch (reason) {
    case 0:
        return "no reason given";
    case 1:
        return "congestion: no connection is free";
    case 2:
        return "session not attached: no such TSAP";
    case 3:
        return "address unknown";
    case 0x81:
        return "remote congestion: no connection is free";
    case 0x88:
        return "connection refused";
    default:
        return "another reason";
    }
}
