/* recorder.h -- flight recorder: the last bytes of one connection, both ways, in a ring of fixed size.
 *
 * A record is what one write or one read carried; the oldest records go first, a record larger than half the ring is
 * cut (its full length is kept). Cheap enough to be always on: one copy, no allocation. One loop thread. */
#ifndef GATEWAY_RECORDER_H
#define GATEWAY_RECORDER_H

#include "base/slice.h"
#include "base/wbuf.h"

enum recorder_dir { RECORDER_OUT, RECORDER_IN };

struct recorder;

/* ring_bytes: 256 at least. */
struct recorder *recorder_new(uint32_t ring_bytes);
void recorder_free(struct recorder **r);
void recorder_put(struct recorder *r, enum recorder_dir dir, int64_t time_us, const uint8_t *p, size_t len);

struct recorder_frame {
    enum recorder_dir dir;
    int64_t time_us;
    uint32_t full_len; /* as it was on the wire */
    struct slice data; /* borrowed for the call */
};
/* Oldest first. */
void recorder_each(const struct recorder *r, void (*each)(void *arg, const struct recorder_frame *f), void *arg);
uint32_t recorder_count(const struct recorder *r);

/* The whole ring as a pcapng file (draft-ietf-opsawg-pcapng). port not 0: frames get the IP and TCP headers of a
 * conversation with this port, so that the usual tools dissect them; 0: a serial line, link type USER0. */
void recorder_pcapng(const struct recorder *r, uint16_t port, const char *comment, struct wbuf *out);

#endif
