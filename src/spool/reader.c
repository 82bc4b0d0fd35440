#include "base/mem.h"
#include "spool/spool_priv.h"

#include <stdlib.h>

/* len bytes of the segment at offset, out of the read-ahead buffer; NULL with *rc < 0 or, past its end, 0. */
static const uint8_t *
bytes_at(struct spool *sp, struct segment *sg, uint64_t offset, uint64_t len, int *rc)
{
    bool is_buffered =
        sp->read_segment == sg && offset >= sp->read_from && offset + len <= sp->read_from + sp->read_len;

    *rc = 0;
    if (!is_buffered) {
        uint64_t want = len > SPOOL_READ_AHEAD ? len : SPOOL_READ_AHEAD;

        want = want < sg->used - offset ? want : sg->used - offset;
        if (want > sp->read_cap) {
            sp->read_buf = mem_realloc(sp->read_buf, want);
            sp->read_cap = want;
        }
        sp->read_segment = NULL;
        int64_t n = segment_read(sp, sg->fd, sp->read_buf, len, want, offset);
        if (n < (int64_t)len) {
            *rc = n < 0 ? (int)n : 0;
            return NULL;
        }
        sp->read_segment = sg;
        sp->read_from = offset;
        sp->read_len = (uint64_t)n;
    }
    return sp->read_buf + (offset - sp->read_from);
}

/* false with *rc < 0 when the disk fails, with 0 when the record is damaged. */
static bool
read_record(struct spool *sp, struct segment *sg, uint64_t seq, struct spool_record *rec, int *rc)
{
    size_t i = (size_t)(seq - sg->first_seq);
    uint64_t offset = sg->slots[i].offset;
    uint64_t end = seq + 1 < sg->next_seq ? sg->slots[i + 1].offset : sg->used;
    const uint8_t *p = bytes_at(sp, sg, offset, end - offset, rc);
    struct record_head head;

    if (!p)
        return false;
    record_head_decode(p, &head);
    struct slice body = slice(p + SPOOL_RECORD_HEAD, end - offset - SPOOL_RECORD_HEAD);
    if (head.len != body.len || head.seq != seq || head.crc != record_crc(p, body))
        return false;
    *rec = (struct spool_record){seq, head.points, head.time_us, body};
    return true;
}

/* Has the disk refused this record for so long that it will not give it any more? */
static bool
is_given_up(struct spool *sp, uint64_t seq)
{
    uint64_t now_ms = loop_now_ms(sp->loop);
    unsigned place = 0; /* a free one, else the one that waits the shortest */

    for (unsigned i = 0; i < MEM_COUNT(sp->unread); i++) {
        if (sp->unread[i].seq == seq)
            return now_ms - sp->unread[i].since_ms >= SPOOL_UNREAD_MS;
        if (sp->unread[place].seq != 0 &&
            (sp->unread[i].seq == 0 || sp->unread[i].since_ms > sp->unread[place].since_ms))
            place = i;
    }
    sp->unread[place].seq = seq;
    sp->unread[place].since_ms = now_ms;
    return false;
}

/* It was read, or dropped. */
static void
forget_unread(struct spool *sp, uint64_t seq)
{
    for (unsigned i = 0; i < MEM_COUNT(sp->unread); i++)
        if (sp->unread[i].seq == seq)
            sp->unread[i].seq = 0;
}

enum nx_err
spool_read(struct spool *sp, uint64_t seq, struct spool_record *rec, struct nx_note *why)
{
    int rc;

    if (sp->oldest && seq < sp->oldest->first_seq)
        seq = sp->oldest->first_seq;
    while ((seq = ranges_next_absent(&sp->freed, seq)) < sp->next_seq) {
        struct segment *sg = segment_of(sp, seq);

        if (!sg)
            break;
        if (read_record(sp, sg, seq, rec, &rc)) {
            forget_unread(sp, seq);
            return NX_OK;
        }
        if (rc < 0 && !is_given_up(sp, seq))
            return spool_fail(why, sp, -rc, "read a segment");
        /* Damaged after it was written, or on a bad sector: it can only be given up, and that is told. */
        forget_unread(sp, seq);
        spool_drop(sp, seq, seq, NX_E_CORRUPT);
    }
    return nx_fail(why, NX_E_NOT_FOUND, "nothing waits in spool %s", sp->conf.dir);
}
