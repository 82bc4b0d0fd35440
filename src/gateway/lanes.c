/* lanes.c -- the ways to the historian: the bulk lane, and one for tags of priority safety and control that is made
 * when the first of them is seen (ADR 15). */
#include "base/mem.h"
#include "gateway/gateway_priv.h"
#include "gateway/shards.h"

#include <stdlib.h>
#include <sys/stat.h>

#define URGENT_SEGMENT (1u << 20) /* few points: a large file would mostly be empty */

/* --- what spools report --- */

static const char *
drop_text(enum nx_err cause)
{
    switch (cause) {
    case NX_E_EXPIRED:
        return "points have waited longer than buffer.message_ttl and are dropped: bring the historian back";
    case NX_E_CORRUPT:
        return "the spool is damaged and points in it are lost: check the disk";
    case NX_E_CANCELED:
        return "the power was cut: what was polled in the last buffer.commit_window may be lost; with buffer.strict "
               "nothing is";
    default:
        return "the spool has reached its bound and drops its oldest points; raise buffer.disk_limit or bring the "
               "historian back";
    }
}

static void
on_drop(void *arg, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    struct gateway_lane *lane = arg;

    log_warn(&lane->g->log, drop_text(cause), KV_UINT("points", points), KV_ERR(cause));
    if (lane->is_counting)
        points_dropped(lane->g->points, lane->which, from, to, points, cause);
    else if (lane->early_count < EARLY_DROPS)
        lane->early[lane->early_count++] = (struct early_drop){from, to, points, cause};
}

static void
on_error(void *arg, const struct nx_note *why)
{
    const struct gateway_lane *lane = arg;

    log_error(&lane->g->log, "the disk of the spool fails; a power cut may now cost points", KV_NOTE(why));
}

/* --- opening --- */

static uint64_t
disk_limit(const struct gateway *g)
{
    return g->conf.buffer.disk_limit / shards_count(&g->conf);
}

static enum nx_err
open_spool(struct gateway_lane *lane, struct nx_note *why)
{
    static const struct spool_ops ops = {.on_drop = on_drop, .on_error = on_error};
    const struct gateway *g = lane->g;
    bool is_urgent = lane->which == LANE_URGENT;
    /* Urgent points may use half of what the others have to leave free. */
    struct spool_conf conf = {.dir = lane->dir,
                              .cap_bytes = is_urgent ? disk_limit(g) / 8 * 7 : disk_limit(g),
                              .segment_bytes = g->conf.buffer.segment_bytes,
                              .max_age_s = (uint32_t)(g->conf.buffer.message_ttl_ms / 1000),
                              .commit_window_ms = (uint32_t)g->conf.buffer.commit_window_ms,
                              .is_strict = g->conf.buffer.is_strict,
                              .disk_reserve_bytes = g->conf.buffer.disk_reserve / (is_urgent ? 2 : 1)};

    if (is_urgent && conf.segment_bytes > URGENT_SEGMENT)
        conf.segment_bytes = URGENT_SEGMENT;
    return spool_open(&lane->spool, g->loop, &conf, &ops, lane, why);
}

static unsigned
number_of(const struct gateway_lane *lane)
{
    return lane->which == LANE_URGENT ? URGENT_LANES + lane->g->part : lane->g->part;
}

/* The urgent lane has a quarter of the window for itself. */
static struct link *
open_link(struct gateway_lane *lane)
{
    const struct gateway *g = lane->g;
    unsigned window = (unsigned)g->conf.buffer.window;

    (void)snprintf(lane->topic, sizeof lane->topic, "nexus/v1/batch/%s/%u", g->conf.id, number_of(lane));
    return link_new(g->loop,
                    &(struct link_conf){.topic = lane->topic,
                                        .lane = (uint8_t)number_of(lane),
                                        .is_broker_ack = g->conf.buffer.ack == GATEWAY_ACK_BROKER,
                                        .window = lane->which == LANE_URGENT ? (window + 3) / 4 : window,
                                        .backlog_share = (unsigned)g->conf.buffer.backlog_share,
                                        .rto_ms = (uint32_t)g->conf.buffer.retry_interval_ms},
                    lane->spool, &g->outlet);
}

static enum nx_err
open_lane(struct gateway *g, enum points_lane which, struct nx_note *why)
{
    struct gateway_lane *lane = &g->lanes[which];

    lane->g = g;
    lane->which = which;
    if (!lane->dir)
        lane->dir = mem_printf("%s%s", g->spool_dir, which == LANE_URGENT ? ".urgent" : "");
    enum nx_err err = open_spool(lane, why);
    if (err == NX_OK)
        lane->link = open_link(lane);
    return err;
}

static bool
has_urgent_spool(const struct gateway *g)
{
    char *dir = mem_printf("%s.urgent", g->spool_dir);
    struct stat st;
    bool is_there = stat(dir, &st) == 0;

    free(dir);
    return is_there;
}

enum nx_err
lanes_open(struct gateway *g, struct nx_note *why)
{
    if (!g->conf.publish.batches)
        return NX_OK;
    enum nx_err err = open_lane(g, LANE_BULK, why);
    if (err == NX_OK && has_urgent_spool(g)) /* of an earlier run: it may hold points */
        err = open_lane(g, LANE_URGENT, why);
    return err;
}

static void
join(struct gateway_lane *lane)
{
    struct gateway *g = lane->g;

    if (lane->which == LANE_URGENT)
        points_open_urgent(g->points, (uint8_t)number_of(lane), lane->spool, lane->link);
    lane->is_counting = true;
    for (unsigned i = 0; i < lane->early_count; i++)
        points_dropped(g->points, lane->which, lane->early[i].from, lane->early[i].to, lane->early[i].points,
                       lane->early[i].cause);
}

void
lanes_join(struct gateway *g)
{
    for (unsigned i = 0; i < LANE_COUNT; i++)
        if (g->lanes[i].spool)
            join(&g->lanes[i]);
}

/* --- the urgent lane of a running gateway --- */

static bool
has_urgent_tag(const struct device *d)
{
    for (size_t i = 0; i < d->tag_count; i++)
        if (d->tags[i].priority != PRIORITY_TELEMETRY)
            return true;
    return false;
}

void
lanes_see(struct gateway *g, const struct device *d)
{
    struct gateway_lane *lane = &g->lanes[LANE_URGENT];
    struct nx_note why = {0};

    if (!g->lanes[LANE_BULK].spool || lane->spool || lane->has_failed || !has_urgent_tag(d))
        return;
    if (open_lane(g, LANE_URGENT, &why) != NX_OK) {
        lane->has_failed = true;
        log_error(&g->log, "no spool for urgent points: until the next start they go with the others", KV_NOTE(&why));
        return;
    }
    join(lane);
    if (gateway_is_broker_online(g))
        link_online(lane->link);
}

void
lanes_share_disk(struct gateway *g)
{
    const struct gateway_lane *bulk = &g->lanes[LANE_BULK], *urgent = &g->lanes[LANE_URGENT];

    if (!urgent->spool)
        return;
    uint64_t limit = disk_limit(g), used = spool_stats_of(urgent->spool).file_bytes;
    spool_set_cap(bulk->spool, used < limit / 8 * 7 ? limit - used : limit / 8);
}

/* --- for all of them, the urgent one first --- */

void
lanes_each_link(struct gateway *g, void (*each)(struct link *l))
{
    for (unsigned i = LANE_COUNT; i > 0; i--)
        if (g->lanes[i - 1].link)
            each(g->lanes[i - 1].link);
}

void
lanes_ack(struct gateway *g, const struct batch_ack *ack)
{
    for (unsigned i = LANE_COUNT; i > 0; i--)
        if (g->lanes[i - 1].link)
            link_ack(g->lanes[i - 1].link, ack);
}

void
lanes_free_links(struct gateway *g)
{
    for (unsigned i = 0; i < LANE_COUNT; i++)
        link_free(&g->lanes[i].link);
}

void
lanes_close_spools(struct gateway *g)
{
    for (unsigned i = 0; i < LANE_COUNT; i++) {
        g->lanes[i].is_counting = false;
        spool_close(&g->lanes[i].spool);
        free(g->lanes[i].dir);
        g->lanes[i].dir = NULL;
    }
}
