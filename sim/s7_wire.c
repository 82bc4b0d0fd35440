#include "sim/s7_wire.h"

#include "sim/bytes.h"

#include <string.h>

#define TPKT_HEADER 4u
#define OUR_REF     0x0044u

/* --- ISO-on-TCP --- */

int
s7sim_tpdu_read(const uint8_t *in, size_t len, struct s7sim_tpdu *out)
{
    size_t whole, head;

    if (len < TPKT_HEADER)
        return len > 0 && in[0] != 3 ? -1 : 0;
    whole = get16(in + 2);
    if (in[0] != 3 || whole < S7_TPDU_HEADER || whole > S7_FRAME_MAX)
        return -1;
    if (len < whole)
        return 0;
    head = (size_t)in[4] + 1; /* the length indicator does not count itself */
    if (head < 3 || TPKT_HEADER + head > whole)
        return -1;
    *out = (struct s7sim_tpdu){.kind = in[5] & 0xF0u};
    if (out->kind == S7_TPDU_DATA) {
        out->is_last = (in[6] & 0x80) != 0;
        out->p = in + TPKT_HEADER + head;
        out->len = whole - TPKT_HEADER - head;
    } else {
        out->p = in + 6;
        out->len = head - 2;
    }
    return (int)whole;
}

static void
read_connect_option(struct s7sim_connect *c, unsigned code, const uint8_t *p, size_t len)
{
    if (code == 0xC0 && len == 1 && p[0] >= 7 && p[0] <= 13)
        c->tpdu_bytes = 1u << p[0];
    else if (code == 0xC1 && len == 2)
        c->source_tsap = get16(p);
    else if (code == 0xC2 && len == 2)
        c->tsap = get16(p);
}

bool
s7sim_connect_read(const struct s7sim_tpdu *tpdu, struct s7sim_connect *out)
{
    size_t at = 5; /* destination and source reference, class */

    if (tpdu->kind != S7_TPDU_CONNECT || tpdu->len < at)
        return false;
    *out = (struct s7sim_connect){.source_ref = get16(tpdu->p + 2), .tpdu_bytes = 1024};
    while (at + 2 <= tpdu->len) {
        size_t n = tpdu->p[at + 1];
        if (at + 2 + n > tpdu->len)
            return false;
        read_connect_option(out, tpdu->p[at], tpdu->p + at + 2, n);
        at += 2 + n;
    }
    return at == tpdu->len;
}

static size_t
put_tpkt(uint8_t *out, size_t whole)
{
    out[0] = 3;
    out[1] = 0;
    put16(out + 2, (unsigned)whole);
    return whole;
}

static uint8_t
log2_of(unsigned bytes)
{
    uint8_t n = 0;

    while (bytes >>= 1)
        n++;
    return n;
}

size_t
s7sim_connect_confirm(const struct s7sim_connect *c, uint8_t out[S7_FRAME_MAX])
{
    uint8_t *p = out + TPKT_HEADER;

    p[0] = 17;
    p[1] = S7_TPDU_CONFIRM;
    put16(p + 2, c->source_ref);
    put16(p + 4, OUR_REF);
    p[6] = 0;
    p[7] = 0xC0;
    p[8] = 1;
    p[9] = log2_of(c->tpdu_bytes);
    p[10] = 0xC1;
    p[11] = 2;
    put16(p + 12, c->source_tsap);
    p[14] = 0xC2;
    p[15] = 2;
    put16(p + 16, c->tsap);
    return put_tpkt(out, TPKT_HEADER + 18);
}

size_t
s7sim_connect_refuse(const struct s7sim_connect *c, unsigned reason, uint8_t out[S7_FRAME_MAX])
{
    uint8_t *p = out + TPKT_HEADER;

    p[0] = 6;
    p[1] = S7_TPDU_REFUSE;
    put16(p + 2, c->source_ref);
    put16(p + 4, 0);
    p[6] = (uint8_t)reason;
    return put_tpkt(out, TPKT_HEADER + 7);
}

size_t
s7sim_data_frames(const uint8_t *message, size_t len, unsigned tpdu_bytes, uint8_t *out)
{
    size_t room = tpdu_bytes > 3 ? tpdu_bytes - 3 : 1, at = 0, n = 0;

    do {
        size_t part = len - at < room ? len - at : room;
        uint8_t *p = out + n;
        p[4] = 2;
        p[5] = S7_TPDU_DATA;
        p[6] = at + part == len ? 0x80 : 0;
        memcpy(p + S7_TPDU_HEADER, message + at, part);
        n += put_tpkt(p, S7_TPDU_HEADER + part);
        at += part;
    } while (at < len);
    return n;
}

/* --- S7comm --- */

bool
s7sim_message_read(const uint8_t *in, size_t len, struct s7sim_message *out)
{
    size_t head = 10;

    if (len < head || in[0] != 0x32)
        return false;
    *out = (struct s7sim_message){.kind = in[1], .ref = get16(in + 4)};
    if (out->kind != S7_JOB && out->kind != S7_USERDATA)
        return false;
    out->params_len = get16(in + 6);
    out->data_len = get16(in + 8);
    out->params = in + head;
    out->data = out->params + out->params_len;
    return head + out->params_len + out->data_len == len;
}

size_t
s7sim_header_write(uint8_t *out, unsigned kind, unsigned ref, size_t params_len, size_t data_len, unsigned error)
{
    out[0] = 0x32;
    out[1] = (uint8_t)kind;
    put16(out + 2, 0);
    put16(out + 4, ref);
    put16(out + 6, (unsigned)params_len);
    put16(out + 8, (unsigned)data_len);
    if (kind == S7_USERDATA)
        return 10;
    put16(out + 10, error);
    return 12;
}

size_t
s7sim_item_read(const uint8_t *in, size_t len, struct s7sim_item *out)
{
    size_t whole = len >= 2 ? 2u + in[1] : 0;

    *out = (struct s7sim_item){0};
    if (whole == 0 || whole > len)
        return 0;
    if (in[0] != 0x12 || whole != 12 || in[2] != 0x10)
        return whole;
    out->is_any = true;
    out->transport = in[3];
    out->count = get16(in + 4);
    out->db = get16(in + 6);
    out->area = in[8];
    out->address = (unsigned)in[9] << 16 | get16(in + 10);
    return whole;
}

unsigned
s7sim_element_bytes(unsigned transport)
{
    switch (transport) {
    case S7_BIT:
    case S7_BYTE:
    case S7_CHAR:
        return 1;
    case S7_WORD:
    case S7_INT:
    case S7_COUNTER:
    case S7_TIMER:
        return 2;
    case S7_DWORD:
    case S7_DINT:
    case S7_REAL:
        return 4;
    default:
        return 0;
    }
}

unsigned
s7sim_data_transport(unsigned transport)
{
    switch (transport) {
    case S7_BIT:
        return 3;
    case S7_INT:
    case S7_DINT:
        return 5;
    case S7_REAL:
        return 7;
    case S7_CHAR:
    case S7_COUNTER:
    case S7_TIMER:
        return 9;
    default:
        return 4;
    }
}

bool
s7sim_data_counts_bits(unsigned data_transport)
{
    return data_transport >= 3 && data_transport <= 5;
}
