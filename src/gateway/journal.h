/* journal.h -- one lane of points on their way into a spool: the batch that is being gathered, and gap records for what
 * was dropped.
 *
 * A gap record says which numbers and how many points are gone, and why. It is a record of the spool, so the spool may
 * have to drop it, too, when it stays full: what it said then goes into the gap record of that drop, so that nothing
 * that is gone is ever undeclared, also over restarts. Neighbouring drops of one cause are one gap record.
 *
 * Bounds: one batch; 16 gaps that are not written yet (further ones are added to the last), 4,096 that wait in the
 * spool (further ones are as safe as any record). One loop thread. */
#ifndef GATEWAY_JOURNAL_H
#define GATEWAY_JOURNAL_H

#include "gateway/engine.h"
#include "gateway/link.h"
#include "spool/spool.h"

struct journal;

struct journal_conf {
    const char *gateway; /* id; borrowed */
    uint8_t lane;
    uint32_t batch_size;
    bool compress;
    struct spool *yields; /* gives up its oldest when the disk is full, so that this lane goes on; may be NULL */
};

#define JOURNAL_CAUSES 5
struct journal_stats {
    uint64_t journaled, dropped;   /* points */
    uint64_t lost[JOURNAL_CAUSES]; /* dropped, by cause: journal_cause_name() */
    struct nx_note why;            /* why the spool takes nothing; text "" when it does */
};
/* NULL from JOURNAL_CAUSES on. */
const char *journal_cause_name(unsigned i);

/* sp and link NULL: points are only gathered. Both must live as long. */
struct journal *journal_new(struct loop *loop, const struct journal_conf *conf, struct spool *sp, struct link *link);
void journal_free(struct journal **j);

bool journal_is_full(const struct journal *j);
/* The slot's newest value joins the batch. false: there is no room for it, write the batch first. */
bool journal_add(struct journal *j, struct slot *slot, int64_t now_us);
/* Appends gaps and batch to the spool and hands them to the link; then tells each slot of the batch which number its
 * value has got, if any. */
typedef void journal_written_cb(void *arg, struct slot *slot, bool has_seq, uint64_t seq);
void journal_write(struct journal *j, journal_written_cb *each, void *arg);
/* The spool dropped records (spool_ops.on_drop). */
void journal_dropped(struct journal *j, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause);
const struct journal_stats *journal_stats_of(const struct journal *j);

#endif
