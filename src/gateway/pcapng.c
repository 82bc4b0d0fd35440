/* pcapng.c -- the flight recorder's ring as a capture file (draft-ietf-opsawg-pcapng: section header, one interface,
 * one enhanced packet block a frame; all in little-endian order, which the file says of itself). */
#include "gateway/recorder.h"

#include <string.h>

#define LINK_RAW_IP    101u /* LINKTYPE_RAW */
#define LINK_USER0     147u
#define IP_TCP_HEADERS 40u
#define OPT_COMMENT    1u
#define OPT_TSRESOL    9u
#define OUR_PORT       49152u

struct writer {
    struct wbuf *out;
    uint16_t port;
    uint32_t seq[2]; /* of the next byte that each side sends */
};

static void
put_option(struct wbuf *w, uint16_t code, const void *p, size_t len)
{
    static const uint8_t zeros[4];

    wbuf_le16(w, code);
    wbuf_le16(w, (uint16_t)len);
    wbuf_bytes(w, p, len);
    wbuf_bytes(w, zeros, (4 - len % 4) % 4);
}

/* A block is: type, length, body padded to four bytes, length again. */
static void
put_block(struct wbuf *out, uint32_t type, const struct wbuf *body)
{
    static const uint8_t zeros[4];
    size_t pad = (4 - body->len % 4) % 4;
    uint32_t len = (uint32_t)(12 + body->len + pad);

    wbuf_le32(out, type);
    wbuf_le32(out, len);
    wbuf_bytes(out, body->p, body->len);
    wbuf_bytes(out, zeros, pad);
    wbuf_le32(out, len);
}

static void
put_section(struct wbuf *out, const char *comment)
{
    struct wbuf w = wbuf_init(0);

    wbuf_le32(&w, 0x1A2B3C4Du);
    wbuf_le16(&w, 1);
    wbuf_le16(&w, 0);
    wbuf_le64(&w, UINT64_MAX); /* length of the section: not said */
    put_option(&w, OPT_COMMENT, comment, strlen(comment));
    put_option(&w, 0, "", 0);
    put_block(out, 0x0A0D0D0Au, &w);
    wbuf_free(&w);
}

static void
put_interface(struct wbuf *out, uint16_t port)
{
    static const uint8_t microseconds = 6;
    struct wbuf w = wbuf_init(0);

    wbuf_le16(&w, port ? LINK_RAW_IP : LINK_USER0);
    wbuf_le16(&w, 0);
    wbuf_le32(&w, 0); /* no snap length */
    put_option(&w, OPT_TSRESOL, &microseconds, 1);
    put_option(&w, 0, "", 0);
    put_block(out, 1, &w);
    wbuf_free(&w);
}

static uint16_t
ip_checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

/* RFC 791 and 9293; the addresses are of the block for documentation (RFC 5737), the TCP checksum is left out (0). */
static void
put_headers(struct writer *wr, struct wbuf *w, const struct recorder_frame *f)
{
    bool is_in = f->dir == RECORDER_IN;
    uint8_t ip[20] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, is_in ? 2 : 1, 192, 0, 2, is_in ? 1 : 2};
    uint32_t total = IP_TCP_HEADERS + f->full_len;
    uint16_t sum;

    ip[2] = (uint8_t)(total >> 8);
    ip[3] = (uint8_t)total;
    sum = ip_checksum(ip, sizeof ip);
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    wbuf_bytes(w, ip, sizeof ip);
    wbuf_be16(w, is_in ? wr->port : OUR_PORT);
    wbuf_be16(w, is_in ? OUR_PORT : wr->port);
    wbuf_be32(w, wr->seq[f->dir]);
    wbuf_be32(w, wr->seq[!f->dir]);
    wbuf_be16(w, 0x5018); /* header of five words, PSH and ACK */
    wbuf_be16(w, 0xFFFF);
    wbuf_be32(w, 0);
    wr->seq[f->dir] += f->full_len;
}

static void
put_frame(void *arg, const struct recorder_frame *f)
{
    struct writer *wr = arg;
    uint32_t headers = wr->port ? IP_TCP_HEADERS : 0;
    struct wbuf w = wbuf_init(0);

    wbuf_le32(&w, 0);
    wbuf_le32(&w, (uint32_t)((uint64_t)f->time_us >> 32));
    wbuf_le32(&w, (uint32_t)f->time_us);
    wbuf_le32(&w, headers + (uint32_t)f->data.len);
    wbuf_le32(&w, headers + f->full_len);
    if (wr->port)
        put_headers(wr, &w, f);
    wbuf_bytes(&w, f->data.p, f->data.len);
    put_block(wr->out, 6, &w);
    wbuf_free(&w);
}

void
recorder_pcapng(const struct recorder *r, uint16_t port, const char *comment, struct wbuf *out)
{
    struct writer wr = {.out = out, .port = port, .seq = {1, 1}};

    put_section(out, comment);
    put_interface(out, port);
    recorder_each(r, put_frame, &wr);
}
