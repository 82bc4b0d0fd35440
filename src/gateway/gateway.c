/* gateway.c -- builds the parts of the gateway in order, and takes them down in reverse. */
#include "base/mem.h"
#include "base/num.h"
#include "gateway/gateway_priv.h"
#include "gateway/recordings.h"
#include "gateway/shards.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* --- between the parts --- */

static bool
on_sample(void *arg, struct slot *slot, const struct sample *s)
{
    struct gateway *g = arg;

    return points_take(g->points, slot, s);
}

static void
on_made(void *arg, struct nx_dev *dev)
{
    struct gateway *g = arg;

    lanes_see(g, dev->conf);
    points_adopt(g->points, dev);
}

static void
on_learned(void *arg, const struct nx_dev *dev, const char *text)
{
    struct gateway *g = arg;

    learned_put(g->learned, dev->conf->id, text);
}

static const char *
learned_of(void *arg, const struct nx_dev *dev)
{
    struct gateway *g = arg;

    return learned_get(g->learned, dev->conf->id);
}

static void
on_trouble(void *arg, struct nx_link *link, const struct nx_note *why)
{
    struct gateway *g = arg;
    uint64_t now = loop_now_ms(g->loop);

    if (!g->conf.recorder.save || (g->recorded_ms > 0 && now - g->recorded_ms < RECORDINGS_EVERY_MS))
        return;
    g->recorded_ms = now; /* when a switch fails, a thousand devices do: some captures tell the story */
    recordings_save(g->loop, g->recordings_dir, link, why);
}

static void
on_dev_state(void *arg, struct nx_dev *dev)
{
    struct gateway *g = arg;
    struct registry_entry *e = registry_find(&g->registry, dev->conf->id);

    if (e && g->status)
        status_out_touch(g->status, e);
}

static void
on_leave(void *arg, struct nx_dev *dev)
{
    struct gateway *g = arg;

    points_forget(g->points, dev);
}

static void
on_entry_change(void *arg, struct registry_entry *e)
{
    struct gateway *g = arg;

    if (g->status)
        status_out_touch(g->status, e);
}

static void
on_entry_removed(void *arg, struct registry_entry *e, bool is_moved)
{
    struct gateway *g = arg;

    if (g->status)
        status_out_removed(g->status, e, is_moved);
}

static bool
takes_device(void *arg, const struct device *d)
{
    const struct gateway *g = arg;

    return assign_takes(&g->assign, d);
}

static void
on_moved(void *arg, const char *id)
{
    struct gateway *g = arg;

    registry_move(&g->registry, id);
}

static unsigned
place_device(void *arg, const struct device *d)
{
    struct gateway *g = arg;

    return g->shards ? shards_place(g->shards, d, on_moved, g) : 0;
}

static void
put_elsewhere(void *arg, unsigned place, const struct device *d)
{
    shards_put(((struct gateway *)arg)->shards, place, d);
}

static void
refuse_elsewhere(void *arg, unsigned place, const char *id, const char *reason)
{
    shards_refuse(((struct gateway *)arg)->shards, place, id, reason);
}

static void
remove_elsewhere(void *arg, unsigned place, const char *id, bool is_moved)
{
    shards_remove(((struct gateway *)arg)->shards, place, id, is_moved);
}

static bool
find_device(void *arg, const char *device_id, struct nx_dev **dev)
{
    struct gateway *g = arg;
    struct registry_entry *e = registry_find(&g->registry, device_id);

    *dev = e ? e->dev : NULL;
    return e && !e->place; /* each shard hears every command itself */
}

/* --- stopping: commands, polls, what is to be published, devices, HTTP --- */

static void
end_stop(void *arg)
{
    struct gateway *g = arg;

    if (g->http)
        http_close(&g->http);
    log_info(&g->log, "gateway stopped");
    g->stopped(g->stopped_arg);
}

static bool
is_flushed(const struct gateway *g)
{
    return !gateway_is_broker_online(g) || (mqtt_in_flight(g->mqtt) == 0 && points_stats_of(g->points).unsent == 0);
}

static void
check_end(struct gateway *g)
{
    if (g->stage != STOP_DEVICES || !g->has_no_device || !g->has_no_shard)
        return;
    g->stage = STOP_DONE;
    loop_timer_stop(&g->stop_tick);
    loop_defer(g->loop, end_stop, g);
}

static void
on_no_device_left(void *arg)
{
    struct gateway *g = arg;

    g->has_no_device = true;
    check_end(g);
}

static void
on_no_shard_left(void *arg)
{
    struct gateway *g = arg;

    g->has_no_shard = true;
    check_end(g);
}

static void
end_devices(struct gateway *g)
{
    for (struct registry_entry *e = g->registry.entries; e; e = e->hh.next) {
        if (e->dev)
            points_forget(g->points, e->dev);
        e->dev = NULL;
    }
    engine_stop(&g->engine);
}

static const char *const stop_names[] = {"", "commands", "polls", "flush", "goodbye", "broker", "devices", "done"};

/* Each stage ends when its work is done, or when there is no time left. */
static void
on_stop_tick(struct loop_timer *t, void *arg)
{
    struct gateway *g = arg;
    bool is_late = loop_now_ms(g->loop) >= g->stop_by_ms;

    (void)t;
    switch (g->stage) {
    case STOP_NOT:
    case STOP_DONE:
        return;
    case STOP_COMMANDS:
        if (!is_late && commands_stats_of(g->commands).running > 0)
            return;
        engine_pause(&g->engine);
        break;
    case STOP_POLLS:
        if (!is_late && g->engine.polls_in_flight > 0)
            return;
        points_flush(g->points);
        break;
    case STOP_FLUSH:
        if (!is_late && !is_flushed(g))
            return;
        status_out_goodbye(g->status);
        break;
    case STOP_GOODBYE:
        if (!is_late && !is_flushed(g))
            return;
        if (g->mqtt)
            mqtt_stop(g->mqtt, false);
        break;
    case STOP_MQTT:
        g->stage = STOP_DEVICES;
        end_devices(g);
        return;
    case STOP_DEVICES:
        return;
    }
    g->stage++;
    log_debug(&g->log, "stopping", KV_STR("next", stop_names[g->stage]));
}

void
gateway_stop(struct gateway *g, void (*stopped)(void *arg), void *arg)
{
    if (g->stage != STOP_NOT)
        return;
    g->stopped = stopped;
    g->stopped_arg = arg;
    g->stage = STOP_COMMANDS;
    g->stop_by_ms = loop_now_ms(g->loop) + (uint64_t)g->conf.polling.shutdown_timeout_ms;
    commands_stop(g->commands, NULL, NULL);
    if (g->shards)
        shards_stop(g->shards, on_no_shard_left, g);
    else
        g->has_no_shard = true;
    loop_timer_start(g->loop, &g->stop_tick, 0, 2, on_stop_tick, g);
}

/* --- building --- */

static enum nx_err
load_conf(struct gateway *g, const struct conf_source *src, struct nx_note *why)
{
    struct conf_source with_foreign = *src;

    if (!with_foreign.foreign)
        with_foreign.foreign = gateway_conf_foreign;
    enum nx_err err = conf_load(&g->conf_owner, &with_foreign, gateway_conf_rows, &g->conf, why);
    if (err != NX_OK)
        return err;
    if (!device_id_is_valid(g->conf.id))
        return nx_fail(why, NX_E_CONFIG, "gateway.id '%s' is not usable: use 1 to 64 of A-Z a-z 0-9 _ - .", g->conf.id);
    err = assign_init(&g->assign,
                      &(struct assign_conf){.line = g->conf.shard.line,
                                            .protocol = g->conf.shard.protocol,
                                            .priority = g->conf.shard.priority,
                                            .network = g->conf.shard.network,
                                            .part = g->conf.shard.part},
                      why);
    if (err != NX_OK)
        return err;
    return log_init_settings(&g->conf.logging, "gateway", why);
}

/* Bounds of the whole gateway are shared out among its threads. */
static unsigned
part_of(int64_t whole, unsigned threads)
{
    return (unsigned)((whole + threads - 1) / threads);
}

static void
make_engine(struct gateway *g)
{
    static const struct engine_ops ops = {.on_sample = on_sample,
                                          .on_made = on_made,
                                          .on_state = on_dev_state,
                                          .on_idle = on_no_device_left,
                                          .on_learned = on_learned,
                                          .learned = learned_of,
                                          .on_trouble = on_trouble};
    static const struct registry_ops registry_ops = {.on_leave = on_leave,
                                                     .on_change = on_entry_change,
                                                     .on_removed = on_entry_removed,
                                                     .takes = takes_device,
                                                     .place = place_device,
                                                     .put = put_elsewhere,
                                                     .refuse = refuse_elsewhere,
                                                     .remove = remove_elsewhere};
    unsigned threads = (unsigned)g->conf.polling.threads;
    struct engine_conf conf = {.worker_count = part_of(g->conf.polling.worker_count, threads),
                               .max_retries = (unsigned)g->conf.polling.max_retries,
                               .connects_per_second = part_of(g->conf.polling.connects_per_second, threads),
                               .backoff_min_ms = (uint32_t)g->conf.polling.backoff_min_ms,
                               .backoff_max_ms = (uint32_t)g->conf.polling.backoff_max_ms,
                               .recorder_bytes = (uint32_t)g->conf.recorder.ring_bytes};
    struct device_options opt = {.uns_root = g->conf.uns_root,
                                 .default_interval_ms = g->conf.polling.default_interval_ms,
                                 .drivers = nx_drivers};
    uint64_t seed = loop_now_ns(g->loop) ^ ((uint64_t)getpid() << 32) ^ (uint64_t)loop_wall_us(g->loop);

    engine_init(&g->engine, g->loop, &conf, &ops, g, g->metrics, seed | 1);
    g->recordings_dir = mem_printf("%s.recordings", g->conf.buffer.disk_path);
    char *learned_path = mem_printf("%s.learned.json", g->spool_dir);
    g->learned = learned_open(g->loop, learned_path);
    free(learned_path);
    registry_init(&g->registry, &g->engine, &opt, &registry_ops, g);
    g->is_engine_up = true;
}

static void
make_points(struct gateway *g)
{
    struct points_conf conf = {.gateway = g->conf.id,
                               .lane = (uint8_t)g->part,
                               .batch_size = (uint32_t)g->conf.polling.batch_size,
                               .flush_interval_ms = (uint32_t)g->conf.buffer.flush_interval_ms,
                               .compress = g->conf.buffer.compress,
                               .want_tags = g->conf.publish.tags,
                               .qos = (uint8_t)g->conf.session.qos,
                               .retain = g->conf.session.retain,
                               .format = (enum tagmsg_format)g->conf.publish.format};

    g->points = points_new(g->loop, &conf, g->lanes[LANE_BULK].spool, g->lanes[LANE_BULK].link, &g->outlet, g->metrics);
    lanes_join(g);
}

static void
make_services(struct gateway *g)
{
    static const struct commands_ops command_ops = {.find = find_device, .on_sample = on_sample};
    struct commands_conf conf = {.prefix = g->conf.mqtt.system_prefix,
                                 .max_concurrent = (unsigned)g->conf.commands.max_concurrent_writes,
                                 .queue_size = (unsigned)g->conf.commands.queue_size,
                                 .write_timeout_ms = (uint32_t)g->conf.commands.write_timeout_ms,
                                 .want_answers = g->conf.commands.enable_acknowledgement};
    char *state = mem_printf("%s.commands", g->spool_dir);

    conf.state_path = state;
    g->commands = commands_new(g->loop, &conf, &command_ops, g, &g->outlet, g->metrics);
    free(state);
    g->status = status_out_new(g->loop,
                               &(struct status_out_conf){.prefix = g->conf.mqtt.system_prefix,
                                                         .gateway = g->conf.id,
                                                         .is_part = g->part > 0,
                                                         .gateway_json = gateway_status_json,
                                                         .arg = g},
                               &g->registry, &g->outlet);
    if (!g->conf.config_sync || g->part > 0)
        return;
    g->cache_path =
        g->conf.cache_path ? mem_strdup(g->conf.cache_path) : mem_printf("%s.devices.json", g->conf.buffer.disk_path);
    g->sync = config_sync_new(g->loop,
                              &(struct config_sync_conf){.prefix = g->conf.mqtt.system_prefix,
                                                         .gateway = g->conf.id,
                                                         .cache_path = g->cache_path},
                              &g->registry, &g->outlet);
}

static enum nx_err
load_devices(struct gateway *g, struct nx_note *why)
{
    if (g->sync)
        config_sync_load_cache(g->sync);
    return g->conf.devices_path ? registry_load_file(&g->registry, g->conf.devices_path, why) : NX_OK;
}

static void on_hup(void *arg);

static void
on_reloaded(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct gateway *g = arg;

    if (err != NX_OK)
        log_error(&g->log, "devices are not read again; the old ones stay", KV_NOTE(why));
    else
        log_info(&g->log, "devices read again", KV_UINT("devices", HASH_COUNT(g->registry.entries)));
    if (g->is_reload_due)
        on_hup(g);
}

static void
on_hup(void *arg)
{
    struct gateway *g = arg;

    if (!g->conf.devices_path || g->stage != STOP_NOT)
        return;
    /* The file may have changed again since its reading began. */
    g->is_reload_due = !registry_reload_file(&g->registry, g->conf.devices_path, on_reloaded, g);
}

static enum nx_err
build_part(struct gateway *g, struct nx_note *why)
{
    enum nx_err err;

    g->spool_dir =
        g->part > 0 ? mem_printf("%s.%u", g->conf.buffer.disk_path, g->part) : mem_strdup(g->conf.buffer.disk_path);
    gateway_outlet_init(g);
    make_engine(g);
    err = lanes_open(g, why);
    if (err != NX_OK)
        return err;
    make_points(g);
    make_services(g);
    return NX_OK;
}

/* Last: what can fail for a wrong setting has been tried, for running threads cannot be taken back at once. */
static enum nx_err
start_shards(struct gateway *g, struct nx_note *why)
{
    enum nx_err err = g->conf.devices_path ? registry_check_file(&g->registry, g->conf.devices_path, why) : NX_OK;

    return err == NX_OK ? shards_start(g, shards_count(&g->conf), why) : err;
}

static enum nx_err
build_head(struct gateway *g, const struct conf_source *src, struct nx_note *why)
{
    enum nx_err err = load_conf(g, src, why);

    if (err == NX_OK)
        err = build_part(g, why);
    if (err == NX_OK)
        err = gateway_open_admin(g, why);
    if (err == NX_OK)
        err = gateway_open_broker(g, why);
    if (err == NX_OK && shards_count(&g->conf) > 1)
        err = start_shards(g, why);
    if (err == NX_OK)
        err = load_devices(g, why);
    if (err == NX_OK)
        gateway_gauges_start(g);
    return err;
}

static struct gateway *
gateway_new(struct loop *loop)
{
    struct gateway *g = mem_alloc(sizeof *g);

    g->loop = loop;
    g->log = (struct log_ctx){.module = "gateway"};
    g->metrics = metrics_new();
    g->started_us = loop_wall_us(loop);
    return g;
}

enum nx_err
gateway_open_part(struct gateway **out, struct loop *loop, const struct gateway *head, unsigned part,
                  struct nx_note *why)
{
    struct gateway *g = gateway_new(loop);

    *out = NULL;
    g->part = part;
    g->conf = head->conf;
    enum nx_err err = build_part(g, why);
    if (err == NX_OK)
        err = gateway_open_broker(g, why);
    if (err != NX_OK) {
        gateway_free(&g);
        return err;
    }
    gateway_gauges_start(g);
    *out = g;
    return NX_OK;
}

enum nx_err
gateway_open(struct gateway **out, struct loop *loop, const struct conf_source *src, struct nx_note *why)
{
    struct gateway *g = gateway_new(loop);

    *out = NULL;
    enum nx_err err = build_head(g, src, why);
    if (err != NX_OK) {
        gateway_free(&g);
        return err;
    }
    if (loop_uv(loop))
        loop_on_signal(loop, SIGHUP, on_hup, g);
    log_info(&g->log, "gateway started", KV_STR("id", g->conf.id), KV_UINT("devices", HASH_COUNT(g->registry.entries)),
             KV_STR("broker", g->conf.mqtt.broker_url), KV_UINT("admin_port", http_port(g->http)));
    *out = g;
    return NX_OK;
}

void
gateway_free(struct gateway **gp)
{
    struct gateway *g = *gp;

    *gp = NULL;
    if (!g)
        return;
    loop_timer_stop(&g->stop_tick);
    loop_timer_stop(&g->speak);
    gateway_gauges_stop(g);
    if (g->mqtt)
        mqtt_free(&g->mqtt);
    if (g->http)
        http_close(&g->http);
    config_sync_free(&g->sync);
    status_out_free(&g->status);
    commands_free(&g->commands);
    if (g->points)
        points_flush(g->points);
    if (g->engine.dev_count > 0) {
        /* Ended in a hurry: the operating system closes the links, and what the devices still point to must stay. */
        lanes_close_spools(g);
        return;
    }
    points_free(&g->points);
    lanes_free_links(g);
    lanes_close_spools(g);
    if (g->is_engine_up) {
        registry_fini(&g->registry);
        engine_fini(&g->engine);
    }
    metrics_free(&g->metrics);
    conf_free(&g->conf_owner);
    learned_close(&g->learned);
    shards_free(&g->shards);
    free(g->recordings_dir);
    free(g->spool_dir);
    free(g->cache_path);
    free(g->client_id);
    free(g);
}
