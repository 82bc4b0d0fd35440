/* engine.c -- begin and end of an engine. */
#include "gateway/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

void
engine_init(struct engine *e, struct loop *loop, const struct engine_conf *conf, const struct engine_ops *ops,
            void *arg, struct metrics *metrics, uint64_t seed)
{
    static const struct metric_desc points_read = {.name = "gateway_polling_points_read_total",
                                                   .kind = METRIC_COUNTER,
                                                   .help = "Values read from devices."};
    static const struct metric_desc utilization = {.name = "gateway_polling_worker_pool_utilization",
                                                   .kind = METRIC_GAUGE_MAX,
                                                   .help = "Polls in flight as a part of polling.worker_count."};
    static const struct metric_desc skipped = {
        .name = "gateway_polling_polls_skipped_total",
        .kind = METRIC_COUNTER,
        .help = "Polls that found no free slot or their device still busy with the poll before."};

    assert(seed != 0 && conf->connects_per_second > 0);
    *e = (struct engine){.loop = loop, .conf = *conf, .ops = *ops, .arg = arg, .rng = seed, .metrics = metrics};
    e->governor.tokens = conf->connects_per_second;
    e->governor.refilled_ms = loop_now_ms(loop);
    e->points_read = metrics_get(metrics, &points_read, NULL);
    e->utilization = metrics_get(metrics, &utilization, NULL);
    e->skipped_total = metrics_get(metrics, &skipped, NULL);
}

void
engine_fini(struct engine *e)
{
    assert(e->dev_count == 0 && !e->links);
    loop_timer_stop(&e->governor.timer);
    free(e->free_keys);
    e->free_keys = NULL;
}

void
engine_check_idle(struct engine *e)
{
    if (!e->is_stopping || e->is_idle_told || e->dev_count > 0 || e->links)
        return;
    e->is_idle_told = true;
    e->ops.on_idle(e->arg);
}

static void
on_idle_later(void *arg)
{
    engine_check_idle(arg);
}

void
engine_pause(struct engine *e)
{
    e->is_paused = true;
}

void
engine_stop(struct engine *e)
{
    struct nx_dev *dev, *tmp;

    if (e->is_stopping)
        return;
    e->is_stopping = true;
    loop_defer(e->loop, on_idle_later, e);
    DL_FOREACH_SAFE (e->devs, dev, tmp) {
        struct nx_dev *d = dev;
        dev_retire(&d);
    }
}
