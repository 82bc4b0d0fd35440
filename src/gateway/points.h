/* points.h -- from readings to the spool and to the broker.
 *
 * Each reading is normalized and filtered; what passes goes into the batch of this turn. A reading with the same raw
 * value as the one before ends after one comparison. Calculated tags (calc.h) are evaluated once a flush, windows
 * (aggregate.h) close in their time; both take the same way out. The batch is appended to the spool, then it and the
 * tag messages are published: at the end of the loop turn, on the average once in `flush_interval_ms`. When the
 * broker is slower than the plant, the newest value of a tag replaces an unsent one (conflated). Bounds: one batch in
 * memory, one unsent tag message a tag. No allocation per point (texts and reasons: when they change). One loop thread.
 */
#ifndef GATEWAY_POINTS_H
#define GATEWAY_POINTS_H

#include "gateway/engine.h"
#include "gateway/journal.h"
#include "gateway/outlet.h"
#include "model/tagmsg.h"

struct points;

/* Tags of priority safety and control have a lane of their own (ADR 15), once it is there. */
enum points_lane { LANE_BULK, LANE_URGENT, LANE_COUNT };

struct points_conf {
    const char *gateway; /* id; borrowed for the life of points */
    uint8_t lane;
    uint32_t batch_size, flush_interval_ms;
    bool compress, want_tags;
    uint8_t qos;
    bool retain;
    enum tagmsg_format format;
};

struct points_stats {
    uint64_t taken, passed, journaled, published, conflated, refused, dropped;
    uint64_t lost[JOURNAL_CAUSES]; /* dropped, by cause: journal_cause_name() */
    unsigned unsent;               /* tags with an unsent tag message */
    struct nx_note why;            /* why the spool takes nothing; text "" when it does */
};

/* sp and link NULL: no batches. Both, and metrics, must live as long. */
struct points *points_new(struct loop *loop, const struct points_conf *conf, struct spool *sp, struct link *link,
                          const struct outlet *out, struct metrics *metrics);
void points_free(struct points **ps);
/* Urgent points take this way from now on; when the disk is full at the cost of the bulk lane. */
void points_open_urgent(struct points *ps, uint8_t lane, struct spool *sp, struct link *link);

/* The slots of the device exist, no value has come yet: its expressions and windows begin. Ends with
 * points_forget(). */
void points_adopt(struct points *ps, struct nx_dev *dev);
/* One reading. true: it passed the filter, so the tag has changed (or was silent for too long). */
bool points_take(struct points *ps, struct slot *slot, const struct sample *s);
/* Appends what waits to the spool and publishes it. */
void points_flush(struct points *ps);
/* The broker takes messages (again). */
void points_ready(struct points *ps);
/* Nothing refers to the slots of the device any more. */
void points_forget(struct points *ps, struct nx_dev *dev);
/* The spool dropped records by its bounds (spool_ops.on_drop): leaves a gap record. */
void points_dropped(struct points *ps, enum points_lane lane, uint64_t from, uint64_t to, uint64_t points,
                    enum nx_err cause);
struct points_stats points_stats_of(const struct points *ps);

#endif
