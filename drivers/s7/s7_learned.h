/* s7_learned.h -- what a CPU has taught us about itself, as one line of text that survives restarts.
 *
 * "v1 pdu=240 tsap=0302 84.5.100.2.05": the PDU that it really takes (0: what was negotiated), the TSAP that was found
 * by trying (0: none), and the holes as area.db.start.bytes.code. Bounded: the holes past S7_HOLES_MAX are learned anew
 * after a restart. */
#ifndef S7_LEARNED_H
#define S7_LEARNED_H

#include "base/wbuf.h"
#include "s7_addr.h"

#define S7_HOLES_MAX 2000u

struct s7_hole {
    uint32_t start;
    uint16_t db, bytes;
    uint8_t area, code;
};

/* holes are sorted; their memory is of nx_dev_alloc(). */
struct s7_learned {
    struct s7_hole *holes;
    uint32_t hole_count, hole_cap;
    uint16_t pdu, tsap;
    bool is_changed; /* since it was last written */
};

/* Takes what can be understood; all else is ignored. */
void s7_learned_read(struct s7_learned *l, struct nx_dev *dev, const char *text);
/* At most NX_LEARNED_MAX bytes. */
void s7_learned_write(const struct s7_learned *l, struct wbuf *out);
/* Remembers (code not 0) or forgets (0) a hole at this address. */
void s7_learned_set(struct s7_learned *l, struct nx_dev *dev, const struct s7_addr *addr, unsigned code);
/* The code of the hole at this address, 0: there is none. */
unsigned s7_learned_get(const struct s7_learned *l, const struct s7_addr *addr);

#endif
