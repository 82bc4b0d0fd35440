/* s7_write.h -- the jobs that write one value. Pure.
 *
 * One job, except for a text longer than a PDU: its characters first, the piece with its length last, so that whoever
 * reads in between never sees a length without its characters. A single bit is written as a bit: the other bits of its
 * byte are never touched. */
#ifndef S7_WRITE_H
#define S7_WRITE_H

#include "s7_value.h"

struct s7_write {
    struct s7_item whole; /* all bytes */
    uint16_t left;        /* bytes not yet sent: the jobs go from the end to the beginning */
    uint16_t cap;         /* bytes of one job */
    uint8_t data[];
};

/* Memory for writing this address. */
size_t s7_write_size(const struct s7_addr *addr);
/* pdu: of the link. NX_E_RANGE and NX_E_VALUE with a note. */
NX_MUST_CHECK enum nx_err s7_write_init(struct s7_write *wr, const struct s7_addr *addr, const struct nx_value *value,
                                        unsigned pdu, struct nx_note *why);
/* The next job; false: there is none. data points into wr. */
bool s7_write_next(struct s7_write *wr, struct s7_item *item, struct slice *data);

#endif
