/* link.h -- the historian link: spool records go out as batch messages until the historian has committed them.
 *
 * A small transport protocol over any broker: at most `window` batches unacknowledged, a timer per batch that starts at
 * the measured round trip and doubles, acknowledgements by ranges in any order. New records go first; the backlog (what
 * was waiting at the start, or fell behind while nobody acknowledged) follows in at most `backlog_share` percent of the
 * window, and in less when it makes round trips 300 ms longer than the shortest one: however slow the historian
 * is, live records do not queue up behind old ones. A record sent twice is recognised by its number. With is_broker_ack
 * the broker's acknowledgement frees it. A record larger than the broker takes is passed over until the next
 * connection. One loop thread. Sequence numbers are those of the spool. */
#ifndef GATEWAY_LINK_H
#define GATEWAY_LINK_H

#include "gateway/outlet.h"
#include "model/batch.h"
#include "spool/spool.h"

#define LINK_WINDOW_MAX 4096u

struct link;

struct link_conf {
    const char *topic; /* nexus/v1/batch/{gateway}/{lane}; copied */
    uint8_t lane;
    bool is_broker_ack;
    unsigned window;        /* 1..LINK_WINDOW_MAX */
    unsigned backlog_share; /* percent */
    uint32_t rto_ms;        /* before anything was measured */
};

struct link_stats {
    uint64_t sent, resent, acked, refused; /* batches; refused: the broker did not take them */
    uint64_t backlog;                      /* records waiting behind the live ones, sent or not */
    unsigned in_flight;
    double rtt_ms;       /* smoothed: publish to commit */
    int64_t last_ack_us; /* 0: never */
    bool is_stalled;     /* batches are on the way but nobody acknowledges */
    double drain_per_s;  /* how fast the waiting records become fewer, over some seconds; negative: more */
    double drain_s;      /* until none waits at this rate; 0: none does, -1: they do not become fewer */
};

struct link *link_new(struct loop *loop, const struct link_conf *conf, struct spool *sp, const struct outlet *out);
void link_free(struct link **l);

/* The record that was just appended; body is borrowed. Sends it at once when its turn has come. */
void link_appended(struct link *l, uint64_t seq, struct slice body);
/* The broker is there (again): go on. */
void link_online(struct link *l);
void link_offline(struct link *l);
/* The broker's window opened again. */
void link_ready(struct link *l);
/* An acknowledgement of the historian; others' epochs and lanes are ignored, all of them with is_broker_ack. */
void link_ack(struct link *l, const struct batch_ack *ack);

struct link_stats link_stats_of(const struct link *l);
/* drain_s of so many waiting records. */
double link_drain_s(uint64_t waiting, double per_s);

#endif
