/* core_metrics.c -- metrics of the core: read from where they are counted, once a second. */
#include "base/mem.h"
#include "core/core_priv.h"

#include <stdlib.h>

#define EVERY_MS     1000
#define LEDGER_TICKS 10

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

static double
ledger_lost_batches(struct core *core)
{
    return (double)core->ledger.lost;
}

static double
ledger_duplicates(struct core *core)
{
    return (double)core->ledger.duplicate_batches;
}

static double
ledger_gap_points(struct core *core)
{
    return (double)core->ledger.gap_points;
}

static double
ledger_waiting(struct core *core)
{
    return (double)core->ledger.waiting_points;
}

static double
ledger_oldest(struct core *core)
{
    return core->ledger.oldest_s;
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
    {{.name = "nexus_core_ledger_lost_batches",
      .kind = METRIC_GAUGE,
      .help = "Batch numbers that neither arrived, nor were declared as dropped, nor wait in a spool."},
     ledger_lost_batches},
    {{.name = "nexus_core_ledger_duplicate_batches_total",
      .kind = METRIC_COUNTER,
      .help = "Batches that came again and were not stored again."},
     ledger_duplicates},
    {{.name = "nexus_core_ledger_gap_points_total", .kind = METRIC_COUNTER, .help = "Points declared as dropped."},
     ledger_gap_points},
    {{.name = "nexus_core_ledger_waiting_points",
      .kind = METRIC_GAUGE,
      .help = "Points that wait in the spools of the gateways."},
     ledger_waiting},
    {{.name = "nexus_core_ledger_oldest_seconds",
      .kind = METRIC_GAUGE,
      .help = "Age of the oldest batch that waits in a spool."},
     ledger_oldest},
};

/* --- the ledger, read on a worker --- */

struct look {
    struct core *core;
    struct ledger_totals totals;
    bool is_good;
};

static void
look_work(void *arg)
{
    struct look *look = arg;
    struct historian_books books;
    struct arena a = {0};
    json_t *reported = status_gateways(look->core->status);

    look->is_good = ledger_read(look->core, &a, &books, NULL) == NX_OK;
    if (look->is_good)
        ledger_add_books(NULL, &look->totals, &books);
    look->totals.lost = ledger_lost(&books, reported);
    ledger_add_gateways(NULL, &look->totals, reported);
    json_decref(reported);
    arena_free(&a);
}

static void
look_done(void *arg)
{
    struct look *look = arg;

    if (look->is_good)
        look->core->ledger = look->totals;
    look->core->is_ledger_running = false;
    free(look);
}

static void
look_into_ledger(struct core *core)
{
    struct look *look = mem_alloc(sizeof *look);

    look->core = core;
    core->is_ledger_running = true;
    core_work(core, look_work, look_done, look);
}

static void
on_due(struct loop_timer *t, void *arg)
{
    struct core *core = arg;

    (void)t;
    if (core->ticks++ % LEDGER_TICKS == 0 && !core->is_ledger_running)
        look_into_ledger(core);
    for (unsigned i = 0; i < MEM_COUNT(rows); i++)
        metric_set(metrics_get(core->metrics, &rows[i].desc, NULL), rows[i].read(core));
}

void
core_metrics_start(struct core *core)
{
    loop_timer_start(core->loop, &core->metrics_timer, 0, EVERY_MS, on_due, core);
}
