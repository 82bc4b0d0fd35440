#include "gateway/admin_lanes.h"

static const char *const lane_names[LANE_COUNT] = {"bulk", "urgent"};

static double
age_s(const struct gateway *g, int64_t oldest_us)
{
    return oldest_us > 0 ? (double)(loop_wall_us(g->loop) - oldest_us) / 1e6 : 0;
}

/* --- gauges --- */

#define GAUGE(n, k, h)                                                                                                 \
    {                                                                                                                  \
        .name = "nexus_gateway_" n, .kind = k, .help = h, .labels = { "lane" }                                         \
    }

static const struct metric_desc descs[] = {
    GAUGE("spool_records", METRIC_GAUGE, "Batches waiting in the spool."),
    GAUGE("spool_points", METRIC_GAUGE, "Points waiting in the spool."),
    GAUGE("spool_bytes", METRIC_GAUGE, "Bytes waiting in the spool."),
    GAUGE("spool_oldest_seconds", METRIC_GAUGE_MAX, "Age of the oldest waiting batch."),
    GAUGE("link_in_flight", METRIC_GAUGE, "Batches on the way to the historian."),
    GAUGE("link_backlog", METRIC_GAUGE, "Batches that wait behind the live ones."),
    GAUGE("link_resent", METRIC_GAUGE, "Batches sent once more since the start."),
    GAUGE("link_refused", METRIC_GAUGE, "Batches that the broker has not taken since the start."),
    GAUGE("link_rtt_seconds", METRIC_GAUGE_MAX, "From publishing to the commit."),
    GAUGE("link_drain_rate", METRIC_GAUGE, "How many waiting batches become fewer in a second; negative: more."),
    GAUGE("link_drain_seconds", METRIC_GAUGE_MAX, "Until none waits at this rate; -1: they do not become fewer."),
};

#define GAUGES (sizeof descs / sizeof descs[0])

static void
set_lane(struct gateway *g, const struct gateway_lane *lane)
{
    struct spool_stats s = spool_stats_of(lane->spool);
    struct link_stats l = link_stats_of(lane->link);
    const double values[GAUGES] = {(double)s.records, (double)s.points,  (double)s.bytes,  age_s(g, s.oldest_us),
                                   l.in_flight,       (double)l.backlog, (double)l.resent, (double)l.refused,
                                   l.rtt_ms / 1000,   l.drain_per_s,     l.drain_s};

    for (unsigned i = 0; i < GAUGES; i++)
        metric_set(metrics_get(g->metrics, &descs[i], &lane_names[lane->which]), values[i]);
}

void
admin_lanes_gauges(struct gateway *g)
{
    for (unsigned i = 0; i < LANE_COUNT; i++)
        if (g->lanes[i].link)
            set_lane(g, &g->lanes[i]);
    lanes_share_disk(g);
}

/* --- totals --- */

void
admin_lanes_totals(const struct gateway *g, struct gateway_totals *t)
{
    for (unsigned i = 0; i < LANE_COUNT; i++) {
        if (!g->lanes[i].link)
            continue;
        t->spool[i] = spool_stats_of(g->lanes[i].spool);
        t->link[i] = link_stats_of(g->lanes[i].link);
        t->has_urgent |= i == LANE_URGENT;
    }
}

static void
add_spool(struct spool_stats *to, const struct spool_stats *s)
{
    to->records += s->records;
    to->points += s->points;
    to->bytes += s->bytes;
    to->next_seq += s->next_seq;
    to->appended += s->appended;
    to->freed += s->freed;
    to->dropped_points += s->dropped_points;
    if (s->oldest_us > 0 && (to->oldest_us == 0 || s->oldest_us < to->oldest_us))
        to->oldest_us = s->oldest_us;
}

static void
add_link(struct link_stats *to, const struct link_stats *s)
{
    to->in_flight += s->in_flight;
    to->backlog += s->backlog;
    to->sent += s->sent;
    to->resent += s->resent;
    to->acked += s->acked;
    to->refused += s->refused;
    to->drain_per_s += s->drain_per_s;
    to->is_stalled |= s->is_stalled;
    if (s->rtt_ms > to->rtt_ms)
        to->rtt_ms = s->rtt_ms;
    if (s->last_ack_us > to->last_ack_us)
        to->last_ack_us = s->last_ack_us;
}

void
admin_lanes_add(struct gateway_totals *to, const struct gateway_totals *t)
{
    for (unsigned i = 0; i < LANE_COUNT; i++) {
        add_spool(&to->spool[i], &t->spool[i]);
        add_link(&to->link[i], &t->link[i]);
    }
    to->has_urgent |= t->has_urgent;
}

/* --- status --- */

static json_t *
spool_json(const struct gateway *g, const struct spool_stats *s)
{
    return json_pack("{s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I}", "records", (json_int_t)s->records, "points",
                     (json_int_t)s->points, "bytes", (json_int_t)s->bytes, "oldest_s", age_s(g, s->oldest_us),
                     "appended", (json_int_t)s->appended, "freed", (json_int_t)s->freed, "dropped_points",
                     (json_int_t)s->dropped_points, "next_seq", (json_int_t)s->next_seq);
}

static json_t *
link_json(const struct link_stats *s, uint64_t waiting)
{
    double drain_s = link_drain_s(waiting, s->drain_per_s);
    json_t *json =
        json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:f, s:b, s:I, s:f}", "in_flight", (int)s->in_flight, "backlog",
                  (json_int_t)s->backlog, "sent", (json_int_t)s->sent, "resent", (json_int_t)s->resent, "acked",
                  (json_int_t)s->acked, "refused", (json_int_t)s->refused, "rtt_ms", s->rtt_ms, "is_stalled",
                  s->is_stalled, "last_ack", (json_int_t)(s->last_ack_us / 1000), "drain_per_s", s->drain_per_s);

    json_object_set_new(json, "drain_s", drain_s < 0 ? json_null() : json_real(drain_s));
    return json;
}

static json_t *
lost_json(const struct points_stats *p)
{
    json_t *json = json_object();

    for (unsigned i = 0; i < JOURNAL_CAUSES; i++)
        json_object_set_new(json, journal_cause_name(i), json_integer((json_int_t)p->lost[i]));
    return json;
}

static json_t *
lanes_json(const struct gateway *g, const struct gateway_totals *t)
{
    json_t *all = json_object();

    for (unsigned i = 0; i < LANE_COUNT; i++) {
        if (i == LANE_URGENT && !t->has_urgent)
            continue;
        json_t *lane = spool_json(g, &t->spool[i]);
        json_object_update_new(lane, link_json(&t->link[i], t->spool[i].records));
        json_object_set_new(all, lane_names[i], lane);
    }
    return all;
}

void
admin_lanes_json(const struct gateway *g, const struct gateway_totals *t, json_t *json)
{
    struct spool_stats spool = {0};
    struct link_stats link = {0};

    if (!g->lanes[LANE_BULK].spool)
        return;
    for (unsigned i = 0; i < LANE_COUNT; i++) {
        add_spool(&spool, &t->spool[i]);
        add_link(&link, &t->link[i]);
    }
    json_t *of_spool = spool_json(g, &spool), *of_link = link_json(&link, spool.records);
    json_object_set_new(of_spool, "path", json_string(g->conf.buffer.disk_path));
    json_object_set_new(of_spool, "lost", lost_json(&t->points));
    json_object_set_new(of_spool, "error", t->points.why.text[0] ? json_string(t->points.why.text) : json_null());
    json_object_set_new(of_link, "ack", json_string(g->conf.buffer.ack == GATEWAY_ACK_BROKER ? "broker" : "historian"));
    json_object_set_new(json, "spool", of_spool);
    json_object_set_new(json, "link", of_link);
    json_object_set_new(json, "lanes", lanes_json(g, t));
}
