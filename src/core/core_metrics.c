/* core_metrics.c -- metrics of the core: read from where they are counted, once a second. */
#include "base/mem.h"
#include "core/core_priv.h"

#define EVERY_MS 1000

static double
messages(struct core *core)
{
    return (double)core->messages;
}

static double
bad_messages(struct core *core)
{
    return (double)core->bad_messages;
}

static double
topics(struct core *core)
{
    return (double)live_count(core->live);
}

static double
refused(struct core *core)
{
    return (double)live_refused(core->live);
}

static double
devices(struct core *core)
{
    return HASH_COUNT(core->devices);
}

static double
broker(struct core *core)
{
    return bus_is_online(core, NULL);
}

static double
clients(struct core *core)
{
    return (double)hub_stats_of(core->hub)->clients;
}

static double
frames(struct core *core)
{
    return (double)hub_stats_of(core->hub)->frames;
}

static double
values(struct core *core)
{
    return (double)hub_stats_of(core->hub)->values;
}

static double
coalesced(struct core *core)
{
    return (double)hub_stats_of(core->hub)->coalesced;
}

static double
kicked(struct core *core)
{
    return (double)hub_stats_of(core->hub)->dropped_clients;
}

static const struct {
    struct metric_desc desc;
    double (*read)(struct core *core);
} rows[] = {
    {{.name = "nexus_core_messages_total", .kind = METRIC_COUNTER, .help = "Tag messages taken."}, messages},
    {{.name = "nexus_core_bad_messages_total", .kind = METRIC_COUNTER, .help = "Tag messages not understood."},
     bad_messages},
    {{.name = "nexus_core_topics", .kind = METRIC_GAUGE, .help = "Topics with a latest value."}, topics},
    {{.name = "nexus_core_topics_refused_total",
      .kind = METRIC_COUNTER,
      .help = "Messages left out because core.max_topics was reached."},
     refused},
    {{.name = "nexus_core_devices", .kind = METRIC_GAUGE, .help = "Configured devices."}, devices},
    {{.name = "nexus_core_broker_connected", .kind = METRIC_GAUGE, .help = "1 while connected to the broker."}, broker},
    {{.name = "nexus_ws_clients", .kind = METRIC_GAUGE, .help = "WebSocket clients."}, clients},
    {{.name = "nexus_ws_frames_total", .kind = METRIC_COUNTER, .help = "Frames sent to WebSocket clients."}, frames},
    {{.name = "nexus_ws_values_total", .kind = METRIC_COUNTER, .help = "Values sent to WebSocket clients."}, values},
    {{.name = "nexus_ws_coalesced_total",
      .kind = METRIC_COUNTER,
      .help = "Values replaced by a newer one before they were sent."},
     coalesced},
    {{.name = "nexus_ws_closed_total",
      .kind = METRIC_COUNTER,
      .help = "Clients closed because they read too slowly or did not log in."},
     kicked},
};

static void
on_due(struct loop_timer *t, void *arg)
{
    struct core *core = arg;

    (void)t;
    for (unsigned i = 0; i < MEM_COUNT(rows); i++)
        metric_set(metrics_get(core->metrics, &rows[i].desc, NULL), rows[i].read(core));
}

void
core_metrics_start(struct core *core)
{
    loop_timer_start(core->loop, &core->metrics_timer, 0, EVERY_MS, on_due, core);
}
