/* lists.c -- which tags of a device are read together: those of one interval and one priority. */
#include "base/mem.h"
#include "gateway/engine.h"

#include <stdlib.h>

/* With more devices than this, further ones share one histogram: a scrape must not take seconds. */
#define OWN_HISTOGRAMS 1000u

static bool
is_polled(const struct tag *tag)
{
    return tag->kind == TAG_POLLED && tag->is_enabled && tag->access_mode != ACCESS_WRITE;
}

static int64_t
interval_of(const struct nx_dev *dev, const struct tag *tag)
{
    if (tag->adaptive_max_ms > 0)
        return tag->adaptive_min_ms;
    return tag->poll_interval_ms > 0 ? tag->poll_interval_ms : dev->conf->poll_interval_ms;
}

static bool
is_alike(const struct group *g, const struct nx_dev *dev, const struct tag *tag)
{
    return g->priority == tag->priority && g->adaptive_min_ms == tag->adaptive_min_ms &&
           g->adaptive_max_ms == tag->adaptive_max_ms && g->interval_ms == interval_of(dev, tag);
}

static struct group *
group_of(struct nx_dev *dev, const struct tag *tag)
{
    for (unsigned i = 0; i < dev->group_count; i++)
        if (is_alike(&dev->groups[i], dev, tag))
            return &dev->groups[i];
    return NULL;
}

static void
add_tag(struct group *g, struct slot *slot)
{
    uint32_t n = g->read.rd.item_count++;

    g->items[n] = (struct nx_read_item){.addr = slot->tag->addr, .tag = slot->key};
    g->slots[n] = slot;
    g->has_silence |= slot->tag->max_silence_ms > 0;
}

static void
count_groups(struct nx_dev *dev, uint32_t *sizes)
{
    for (unsigned i = 0; i < dev->conf->tag_count; i++) {
        const struct tag *tag = &dev->conf->tags[i];
        struct group *g;

        if (!is_polled(tag))
            continue;
        g = group_of(dev, tag);
        if (!g) {
            g = &dev->groups[dev->group_count++];
            g->interval_ms = interval_of(dev, tag);
            g->adaptive_min_ms = tag->adaptive_min_ms;
            g->adaptive_max_ms = tag->adaptive_max_ms;
            g->priority = tag->priority;
        }
        sizes[g - dev->groups]++;
    }
}

static void
init_group(struct group *g, struct nx_dev *dev, uint32_t size)
{
    g->dev = dev;
    g->items = mem_calloc(size, sizeof *g->items);
    g->slots = mem_calloc(size, sizeof(struct slot *));
    g->read.rd.items = g->items;
    g->read.rd.op.priority = (unsigned)g->priority;
    g->read.on_item = sched_item;
    g->read.op.on_done = sched_poll_done;
    g->read.op.arg = g;
}

static void
make_metrics(struct nx_dev *dev)
{
    static const struct metric_desc polls = {.name = "gateway_polling_polls_total",
                                             .kind = METRIC_COUNTER,
                                             .help = "Polls by result.",
                                             .labels = {"device_id", "status"}};
    static const struct metric_desc duration = {.name = "gateway_polling_duration_seconds",
                                                .kind = METRIC_HISTOGRAM,
                                                .help = "Time of a poll that succeeded.",
                                                .labels = {"device_id", "protocol"}};
    struct metrics *m = dev->engine->metrics;
    const char *id = dev->conf->id;

    dev->polls_ok = metrics_get(m, &polls, (const char *[]){id, "success"});
    dev->polls_failed = metrics_get(m, &polls, (const char *[]){id, "error"});
    dev->polls_skipped = metrics_get(m, &polls, (const char *[]){id, "skipped"});
    dev->has_shared_duration = dev->engine->dev_count > OWN_HISTOGRAMS;
    dev->duration =
        metrics_get(m, &duration, (const char *[]){dev->has_shared_duration ? "others" : id, dev->conf->driver->name});
}

void
lists_make(struct nx_dev *dev)
{
    unsigned n = dev->conf->tag_count;
    uint32_t *sizes = mem_calloc(n, sizeof *sizes);

    dev->groups = mem_calloc(n, sizeof *dev->groups);
    count_groups(dev, sizes);
    dev->groups = mem_realloc(dev->groups, dev->group_count * sizeof *dev->groups); /* tags share few intervals */
    for (unsigned i = 0; i < dev->group_count; i++)
        init_group(&dev->groups[i], dev, sizes[i]);
    for (unsigned i = 0; i < n; i++)
        if (is_polled(&dev->conf->tags[i]))
            add_tag(group_of(dev, &dev->conf->tags[i]), &dev->slots[i]);
    free(sizes);
    make_metrics(dev);
}

void
lists_forget_plans(struct nx_dev *dev)
{
    for (unsigned i = 0; i < dev->group_count; i++)
        dev_read_fini(&dev->groups[i].read);
}

static void
drop_metric(struct nx_dev *dev, struct metric **m)
{
    if (*m)
        metrics_drop(dev->engine->metrics, m);
    *m = NULL;
}

void
lists_free(struct nx_dev *dev)
{
    for (unsigned i = 0; i < dev->group_count; i++) {
        struct group *g = &dev->groups[i];
        loop_timer_stop(&g->timer);
        loop_timer_stop(&g->retry);
        dev_read_fini(&g->read);
        free(g->items);
        free(g->slots);
    }
    dev->group_count = 0;
    free(dev->groups);
    dev->groups = NULL;
    drop_metric(dev, &dev->polls_ok);
    drop_metric(dev, &dev->polls_failed);
    drop_metric(dev, &dev->polls_skipped);
    if (!dev->has_shared_duration)
        drop_metric(dev, &dev->duration);
}
