#include "gateway/link.h"

#include "base/mem.h"
#include "obs/log.h"

#include <stdlib.h>

#define RTO_LEAST_MS  1000u
#define RTO_MIN_MS    250u
#define RTO_MAX_MS    5000u       /* also how long the historian may be back before it is noticed */
#define LAG_MAX       256u        /* records that live ones may be behind */
#define BYTES_MAX     (32u << 20) /* on the way; one record may always be */
#define TICK_MS       50u
#define BACKLOG_START 4u
#define DELAY_MS      300u  /* that the backlog may add to the shortest round trip */
#define PACE_MS       1000u /* between two looks at how the backlog shrinks; four of them weigh as much as all before */
#define SILENCE_MS    1000u
#define STALL_MS      5000u /* without an acknowledgement while something is on the way */

struct flight {
    struct link *link;
    uint64_t seq; /* 0: free place */
    uint64_t sent_ms;
    uint32_t rto_ms, bytes;
    unsigned attempts;
    bool is_backlog, must_resend, is_refused;
};

struct link {
    struct loop *loop;
    struct spool *sp;
    struct outlet out;
    char *topic;
    struct link_conf conf;
    struct flight *flights; /* [conf.window] */
    unsigned in_flight, backlog_in_flight;
    uint64_t bytes_in_flight;
    uint64_t live_start; /* records before it are backlog */
    uint64_t live_next, backlog_next;
    bool has_oversized;        /* records that this broker does not take were passed over */
    uint64_t heard_ms;         /* the last acknowledgement */
    uint64_t first_unacked_ms; /* since when somebody owes us an acknowledgement; 0: nobody */
    bool is_online;
    double srtt_ms, rttvar_ms;
    double min_rtt_ms;     /* of this connection; 0: not measured */
    double backlog_window; /* backlog batches that may be on the way */
    bool is_backlog_window_full;
    uint64_t shrunk_ms;               /* when that became less */
    uint64_t paced_ms, paced_records; /* the last look, and what waited then */
    double pace;                      /* records a second */
    struct link_stats stats;
    struct loop_timer timer;
    struct log_ctx log;
};

static void pump(struct link *l);

static struct flight *
find_flight(struct link *l, uint64_t seq)
{
    for (unsigned i = 0; i < l->conf.window; i++)
        if (l->flights[i].seq == seq)
            return &l->flights[i];
    return NULL;
}

/* Not before retry_interval, or a second (RFC 6298, 2.4): what is sent again too early makes a slow historian slower.
 */
static uint32_t
rto_now(const struct link *l)
{
    double rto = l->srtt_ms > 0 ? l->srtt_ms + 4 * l->rttvar_ms : l->conf.rto_ms;
    double least = l->conf.rto_ms < RTO_LEAST_MS ? l->conf.rto_ms : RTO_LEAST_MS;

    least = least < RTO_MIN_MS ? RTO_MIN_MS : least;
    if (rto < least)
        return (uint32_t)least;
    return rto > RTO_MAX_MS ? RTO_MAX_MS : (uint32_t)rto;
}

static unsigned
backlog_cap(const struct link *l)
{
    unsigned cap = l->conf.window * l->conf.backlog_share / 100;

    return cap > 0 ? cap : 1;
}

static void
shrink(struct link *l, double least)
{
    l->backlog_window = l->backlog_window * 3 / 4 > least ? l->backlog_window * 3 / 4 : least;
    l->shrunk_ms = loop_now_ms(l->loop);
}

/* With each batch by as much as its round trip was too short: a window twice as large in the next one at best. */
static void
grow(struct link *l, double delay)
{
    l->backlog_window += 1 - delay / DELAY_MS;
    if (l->backlog_window > backlog_cap(l))
        l->backlog_window = backlog_cap(l);
}

/* As LEDBAT (RFC 6817): less, once in a round trip, when round trips become too long. */
static void
adapt(struct link *l, const struct flight *f, double rtt)
{
    if (l->min_rtt_ms == 0 || rtt < l->min_rtt_ms)
        l->min_rtt_ms = rtt > 1 ? rtt : 1;
    double delay = rtt - l->min_rtt_ms;
    if (!f->is_backlog)
        return;
    if (delay <= DELAY_MS && l->is_backlog_window_full)
        grow(l, delay);
    else if (delay > DELAY_MS && f->sent_ms >= l->shrunk_ms)
        shrink(l, 1);
}

static void
begin_backlog(struct link *l)
{
    l->min_rtt_ms = 0;
    l->backlog_window = backlog_cap(l) < BACKLOG_START ? backlog_cap(l) : BACKLOG_START;
}

/* RFC 6298, 2; a batch that was sent twice tells nothing about the round trip (Karn). */
static void
measure(struct link *l, const struct flight *f)
{
    double rtt = (double)(loop_now_ms(l->loop) - f->sent_ms);

    if (f->attempts > 1)
        return;
    adapt(l, f, rtt);
    if (l->srtt_ms == 0) {
        l->srtt_ms = rtt > 1 ? rtt : 1;
        l->rttvar_ms = l->srtt_ms / 2;
        return;
    }
    double delta = rtt > l->srtt_ms ? rtt - l->srtt_ms : l->srtt_ms - rtt;
    l->rttvar_ms += (delta - l->rttvar_ms) / 4;
    l->srtt_ms += (rtt - l->srtt_ms) / 8;
}

static void
land(struct link *l, struct flight *f)
{
    l->in_flight--;
    l->backlog_in_flight -= f->is_backlog;
    l->bytes_in_flight -= f->bytes;
    *f = (struct flight){.link = l};
}

/* --- sending --- */

/* With is_broker_ack f is still the publication's: it lands nowhere else. Without it a later user of the place may at
 * worst be sent twice. */
static void
on_broker_done(void *arg, enum nx_err err)
{
    struct flight *f = arg;
    struct link *l = f->link;

    if (err == NX_E_CANCELED || f->seq == 0)
        return;
    if (err != NX_OK) {
        l->stats.refused++;
        f->is_refused = true;
        log_warn(&l->log, "the broker refused a batch; it is sent again later", KV_ERR(err));
        return;
    }
    if (!l->conf.is_broker_ack)
        return;
    measure(l, f);
    spool_free_range(l->sp, f->seq, f->seq);
    l->stats.acked++;
    l->stats.last_ack_us = loop_wall_us(l->loop);
    land(l, f);
    l->first_unacked_ms = l->in_flight > 0 ? loop_now_ms(l->loop) : 0;
    pump(l);
}

static enum nx_err
send(struct link *l, struct flight *f, struct slice body)
{
    struct mqtt_publication pub = {.topic = slice_str(l->topic), .payload = body, .qos = 1};

    return outlet_publish(&l->out, &pub, on_broker_done, f);
}

/* Such a record must not hold up those behind it: it stays in the spool, for a broker that takes more. */
static void
pass_over(struct link *l, uint64_t seq, struct slice body)
{
    l->stats.refused++;
    if (!l->has_oversized)
        log_error(&l->log,
                  "a batch is larger than the broker takes; it stays in the spool. Raise the broker's largest packet "
                  "(Mosquitto: max_packet_size), or lower polling.batch_size",
                  KV_UINT("seq", seq), KV_UINT("bytes", body.len));
    l->has_oversized = true;
}

static bool
has_place(const struct link *l)
{
    return l->in_flight < l->conf.window && (l->bytes_in_flight < BYTES_MAX || l->in_flight == 0);
}

static enum nx_err
take_off(struct link *l, uint64_t seq, struct slice body, bool is_backlog)
{
    struct flight *f = find_flight(l, 0);
    enum nx_err err = send(l, f, body);

    if (err == NX_E_TOO_LARGE)
        pass_over(l, seq, body);
    if (err != NX_OK)
        return err;
    *f = (struct flight){.link = l,
                         .seq = seq,
                         .sent_ms = loop_now_ms(l->loop),
                         .rto_ms = rto_now(l),
                         .bytes = (uint32_t)body.len,
                         .attempts = 1,
                         .is_backlog = is_backlog};
    l->in_flight++;
    l->backlog_in_flight += is_backlog;
    l->bytes_in_flight += body.len;
    l->stats.sent++;
    if (l->first_unacked_ms == 0)
        l->first_unacked_ms = f->sent_ms;
    return NX_OK;
}

/* Sends the next record of [*next, end) that is neither freed nor on the way. False: there is none, or the broker
 * takes no more. */
static bool
send_next(struct link *l, uint64_t *next, uint64_t end, bool is_backlog)
{
    struct spool_record rec;
    struct nx_note why = {0};

    while (*next < end) {
        enum nx_err err = spool_read(l->sp, *next, &rec, &why);
        if (err == NX_E_NOT_FOUND || (err == NX_OK && rec.seq >= end)) {
            *next = end;
            return false;
        }
        if (err != NX_OK) {
            log_error(&l->log, "cannot read the spool; trying again", KV_NOTE(&why));
            return false;
        }
        if (find_flight(l, rec.seq)) {
            *next = rec.seq + 1;
            continue;
        }
        err = take_off(l, rec.seq, rec.body, is_backlog);
        if (err != NX_OK && err != NX_E_TOO_LARGE)
            return false;
        *next = rec.seq + 1;
        if (err == NX_OK)
            return true;
    }
    return false;
}

static bool
resend(struct link *l, struct flight *f)
{
    struct spool_record rec;
    enum nx_err err = spool_read(l->sp, f->seq, &rec, NULL);

    if (err != NX_OK && err != NX_E_NOT_FOUND)
        return true; /* the disk hesitates: with the next tick, the others go on */
    if (err == NX_E_NOT_FOUND || rec.seq != f->seq) {
        land(l, f); /* dropped by the spool's bounds meanwhile, and counted there */
        return true;
    }
    err = send(l, f, rec.body);
    if (err == NX_E_TOO_LARGE) {
        pass_over(l, f->seq, rec.body);
        land(l, f);
        return true;
    }
    if (err != NX_OK)
        return false;
    if (f->is_backlog && f->sent_ms >= l->shrunk_ms && l->backlog_window > BACKLOG_START)
        shrink(l, BACKLOG_START); /* lost, or late: nobody knows */
    f->must_resend = f->is_refused = false;
    f->attempts++;
    f->sent_ms = loop_now_ms(l->loop);
    f->rto_ms = f->rto_ms * 2 > RTO_MAX_MS ? RTO_MAX_MS : f->rto_ms * 2;
    l->stats.resent++;
    return true;
}

static bool
resend_due(struct link *l)
{
    for (unsigned i = 0; i < l->conf.window; i++)
        if (l->flights[i].must_resend && !resend(l, &l->flights[i]))
            return false;
    return true;
}

/* What has not been sent joins the backlog, so that new values do not wait behind it. */
static void
put_behind(struct link *l)
{
    if (l->backlog_next >= l->live_start)
        l->backlog_next = l->live_next;
    l->live_start = l->live_next = spool_next_seq(l->sp);
}

static void
pump(struct link *l)
{
    if (!l->is_online || !resend_due(l))
        return;
    if (spool_next_seq(l->sp) - l->live_next > LAG_MAX)
        put_behind(l);
    while (has_place(l) && send_next(l, &l->live_next, spool_next_seq(l->sp), false))
        ;
    while (has_place(l) && l->backlog_in_flight < (unsigned)l->backlog_window &&
           send_next(l, &l->backlog_next, l->live_start, true))
        ;
    l->is_backlog_window_full = l->backlog_in_flight >= (unsigned)l->backlog_window;
}

/* --- time --- */

static void
look_at_pace(struct link *l, uint64_t now)
{
    uint64_t passed = now - l->paced_ms;

    if (passed < PACE_MS)
        return;
    uint64_t waiting = spool_waiting(l->sp);
    double rate = ((double)l->paced_records - (double)waiting) * 1000 / (double)passed;
    l->pace += (rate - l->pace) / 4;
    l->paced_ms = now;
    l->paced_records = waiting;
}

static void
on_tick(struct loop_timer *t, void *arg)
{
    struct link *l = arg;
    uint64_t now = loop_now_ms(l->loop);
    bool is_due = false;

    (void)t;
    look_at_pace(l, now);
    if (!l->is_online)
        return;
    for (unsigned i = 0; i < l->conf.window; i++) {
        struct flight *f = &l->flights[i];
        if (f->seq != 0 && !f->must_resend && (!l->conf.is_broker_ack || f->is_refused) &&
            now - f->sent_ms >= f->rto_ms)
            f->must_resend = true;
        is_due |= f->must_resend;
    }
    bool was_stalled = l->stats.is_stalled;
    l->stats.is_stalled = l->in_flight > 0 && now - l->first_unacked_ms >= STALL_MS;
    if (l->stats.is_stalled && !was_stalled)
        log_warn(&l->log, l->conf.is_broker_ack
                              ? "the broker acknowledges nothing; points wait in the spool"
                              : "no acknowledgement from the historian; points wait in the spool. Is nexus ingest "
                                "running on this broker? Without it set buffer.ack to broker");
    if (is_due || has_place(l))
        pump(l);
}

/* --- public --- */

struct link *
link_new(struct loop *loop, const struct link_conf *conf, struct spool *sp, const struct outlet *out)
{
    struct link *l = mem_alloc(sizeof *l);

    l->loop = loop;
    l->sp = sp;
    l->out = *out;
    l->conf = *conf;
    if (l->conf.window > LINK_WINDOW_MAX)
        l->conf.window = LINK_WINDOW_MAX;
    l->topic = mem_strdup(conf->topic);
    l->flights = mem_calloc(l->conf.window, sizeof *l->flights);
    for (unsigned i = 0; i < l->conf.window; i++)
        l->flights[i].link = l;
    l->log = (struct log_ctx){.module = "link", .kind = "topic", .id = l->topic};
    l->backlog_next = spool_stats_of(sp).first_seq;
    l->paced_ms = loop_now_ms(loop);
    l->paced_records = spool_waiting(sp);
    l->live_start = l->live_next = spool_next_seq(sp);
    begin_backlog(l);
    loop_timer_start(loop, &l->timer, TICK_MS, TICK_MS, on_tick, l);
    return l;
}

void
link_free(struct link **lp)
{
    struct link *l = *lp;

    if (!l)
        return;
    loop_timer_stop(&l->timer);
    free(l->topic);
    free(l->flights);
    free(l);
    *lp = NULL;
}

void
link_appended(struct link *l, uint64_t seq, struct slice body)
{
    if (!l->is_online || !has_place(l) || l->live_next != seq) {
        pump(l);
        return;
    }
    enum nx_err err = take_off(l, seq, body, false);
    if (err == NX_OK || err == NX_E_TOO_LARGE)
        l->live_next = seq + 1;
}

void
link_online(struct link *l)
{
    uint64_t now = loop_now_ms(l->loop);

    l->is_online = true;
    l->first_unacked_ms = l->in_flight > 0 ? now : 0;
    begin_backlog(l);
    put_behind(l);
    if (l->has_oversized)
        l->backlog_next = 0;
    l->has_oversized = false;
    /* The client sends what the broker had not taken once more by itself; only what the broker lost is ours. */
    for (unsigned i = 0; i < l->conf.window; i++) {
        l->flights[i].sent_ms = now;
        l->flights[i].rto_ms = rto_now(l);
    }
    pump(l);
}

void
link_offline(struct link *l)
{
    l->is_online = false;
}

void
link_ready(struct link *l)
{
    pump(l);
}

static void
free_range(struct link *l, const struct batch_range *r)
{
    for (unsigned i = 0; i < l->conf.window; i++) {
        struct flight *f = &l->flights[i];
        if (f->seq == 0 || f->seq < r->from || f->seq > r->to)
            continue;
        measure(l, f);
        l->stats.acked++;
        land(l, f);
    }
    spool_free_range(l->sp, r->from, r->to);
}

/* Who was silent answers again: what went into the void more than once does not wait for its timer, nor does it hold
 * the places of others. */
static void
end_silence(struct link *l, uint64_t now)
{
    for (unsigned i = 0; now - l->heard_ms >= SILENCE_MS && i < l->conf.window; i++) {
        struct flight *f = &l->flights[i];
        if (f->seq == 0 || f->attempts < 2)
            continue;
        f->must_resend = true;
        f->rto_ms = rto_now(l) / 2; /* which the next attempt doubles */
    }
    l->heard_ms = now;
}

void
link_ack(struct link *l, const struct batch_ack *ack)
{
    uint64_t now = loop_now_ms(l->loop);

    /* With is_broker_ack a place must not be given away while its PUBACK is still to come: that one frees. */
    if (l->conf.is_broker_ack || ack->epoch != spool_epoch(l->sp) || ack->lane != l->conf.lane)
        return;
    for (unsigned i = 0; i < ack->count; i++)
        free_range(l, &ack->committed[i]);
    end_silence(l, now);
    l->stats.last_ack_us = loop_wall_us(l->loop);
    if (l->stats.is_stalled) {
        log_info(&l->log, "the historian acknowledges again");
        put_behind(l);
        for (unsigned i = 0; i < l->conf.window; i++)
            l->flights[i].must_resend |= l->flights[i].seq != 0;
    }
    l->stats.is_stalled = false;
    l->first_unacked_ms = l->in_flight > 0 ? now : 0;
    pump(l);
}

double
link_drain_s(uint64_t waiting, double per_s)
{
    if (waiting == 0)
        return 0;
    return per_s > 0.01 ? (double)waiting / per_s : -1;
}

struct link_stats
link_stats_of(const struct link *l)
{
    struct link_stats s = l->stats;

    s.in_flight = l->in_flight;
    s.rtt_ms = l->srtt_ms;
    s.drain_per_s = l->pace;
    s.drain_s = link_drain_s(spool_waiting(l->sp), l->pace);
    s.backlog = l->live_start > l->backlog_next ? l->live_start - l->backlog_next : 0;
    return s;
}
