#include "gateway/status.h"

#include "base/mem.h"

#include <jansson.h>
#include <stdlib.h>
#include <utlist.h>

#define SOON_MS    10u
#define REFRESH_MS 30000u
#define GATEWAY_MS 1000u /* the gateway's own status at most this often: it counts all devices */

struct status_out {
    struct loop *loop;
    struct status_out_conf conf;
    struct registry *registry;
    struct outlet out;
    char *topic, *will;
    bool is_online, is_gateway_due, is_bye;
    struct registry_entry *due; /* devices with news that the broker did not take yet */
    uint64_t said_ms;           /* when the gateway's own status was published */
    struct removed *removed;    /* ids whose retained message must go */
    struct loop_timer refresh, soon;
};

struct removed {
    struct removed *next;
    char *id;
};

/* --- JSON --- */

static json_int_t
counted(const struct nx_dev *dev, enum nx_counter counter)
{
    uint64_t n = dev->counters[counter] + (dev->link ? dev->link->counters[counter] : 0);

    return (json_int_t)n;
}

static json_t *
stats_json(const struct nx_dev *dev)
{
    return json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:i}", "read_ms_avg",
                     dev->stats.read_ms_avg, "polls_ok", (json_int_t)dev->stats.polls_ok, "polls_failed",
                     (json_int_t)dev->stats.polls_failed, "polls_skipped", (json_int_t)dev->stats.polls_skipped,
                     "connects", (json_int_t)(dev->link ? dev->link->connects : 0), "requests",
                     counted(dev, NX_COUNT_REQUESTS), "bytes_in", counted(dev, NX_COUNT_BYTES_IN), "bytes_out",
                     counted(dev, NX_COUNT_BYTES_OUT), "exceptions", counted(dev, NX_COUNT_EXCEPTIONS), "stale_replies",
                     counted(dev, NX_COUNT_STALE_REPLIES), "protocol_errors", counted(dev, NX_COUNT_PROTO_ERRORS),
                     "breaker", breaker_state_name(dev->breaker.state), "sharing",
                     dev->link ? (int)dev->link->dev_count : 0);
}

static void
set_text(json_t *json, const char *key, const char *text)
{
    json_object_set_new(json, key, text && text[0] ? json_string(text) : json_null());
}

json_t *
status_device_json(const struct registry_entry *e, const char *gateway, int64_t now_us)
{
    const struct nx_dev *dev = e->dev;
    const char *word = dev ? dev_status_word(dev) : "unknown";
    const char *last_error = dev ? dev->why.text : NULL;

    if (e->refused) {
        word = dev ? word : "error";
        last_error = e->refused;
    }
    json_t *json = json_pack("{s:s, s:s, s:s, s:I}", "status", word, "device_id", e->id, "gateway", gateway,
                             "timestamp", (json_int_t)(now_us / 1000));
    set_text(json, "last_error", last_error);
    json_object_set_new(json, "last_seen",
                        dev && dev->last_seen_us > 0 ? json_integer(dev->last_seen_us / 1000) : json_null());
    if (e->conf)
        set_text(json, "protocol", e->conf->driver->name);
    if (!dev)
        return json;
    json_object_set_new(json, "since", json_integer(dev->since_us / 1000));
    json_object_set_new(json, "tags", json_integer(dev->conf->tag_count));
    json_object_set_new(json, "stats", stats_json(dev));
    return json;
}

/* --- publishing --- */

static void
on_done(void *arg, enum nx_err err)
{
    (void)arg;
    (void)err;
}

static bool
publish(struct status_out *so, const char *topic, const char *text)
{
    enum nx_err err = outlet_publish(
        &so->out,
        &(struct mqtt_publication){.topic = slice_str(topic), .payload = slice_str(text), .qos = 1, .retain = true},
        on_done, NULL);

    return err != NX_E_FULL && err != NX_E_OFFLINE;
}

static bool
publish_json(struct status_out *so, const char *topic, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6));
    bool is_taken = text && publish(so, topic, text);

    free(text);
    json_decref(json);
    return is_taken;
}

static void
device_topic(const struct status_out *so, const char *id, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s/status/devices/%s", so->conf.prefix, id);
}

static bool
publish_device(struct status_out *so, struct registry_entry *e)
{
    if (e->place) /* its shard speaks of it */
        return true;
    json_t *json = status_device_json(e, so->conf.gateway, loop_wall_us(so->loop));
    char topic[512];

    if (so->is_bye)
        json_object_set_new(json, "status", json_string("offline"));
    device_topic(so, e->id, topic, sizeof topic);
    return publish_json(so, topic, json);
}

static void
set_due(struct status_out *so, struct registry_entry *e)
{
    if (e->is_status_due)
        return;
    e->is_status_due = true;
    DL_APPEND2(so->due, e, due_prev, due_next);
}

static void
clear_due(struct status_out *so, struct registry_entry *e)
{
    if (!e->is_status_due)
        return;
    e->is_status_due = false;
    DL_DELETE2(so->due, e, due_prev, due_next);
}

static bool
publish_gateway(struct status_out *so)
{
    if (so->conf.is_part) {
        so->is_gateway_due = false;
        return true;
    }
    json_t *json = so->conf.gateway_json(so->conf.arg);

    json_object_set_new(json, "status", json_string(so->is_bye ? "offline" : "online"));
    json_object_set_new(json, "gateway", json_string(so->conf.gateway));
    json_object_set_new(json, "last_seen", json_integer(loop_wall_us(so->loop) / 1000));
    so->is_gateway_due = !publish_json(so, so->topic, json);
    so->said_ms = loop_now_ms(so->loop);
    return !so->is_gateway_due;
}

static bool
publish_removed(struct status_out *so)
{
    char topic[512];

    while (so->removed) {
        struct removed *r = so->removed;
        device_topic(so, r->id, topic, sizeof topic);
        if (!publish(so, topic, ""))
            return false;
        so->removed = r->next;
        free(r->id);
        free(r);
    }
    return true;
}

void
status_out_ready(struct status_out *so)
{
    bool is_time = so->is_bye || so->said_ms == 0 || loop_now_ms(so->loop) - so->said_ms >= GATEWAY_MS;

    if (!so->is_online || (so->is_gateway_due && is_time && !publish_gateway(so)) || !publish_removed(so))
        return;
    while (so->due && publish_device(so, so->due))
        clear_due(so, so->due);
}

static void
on_soon(struct loop_timer *t, void *arg)
{
    struct status_out *so = arg;

    status_out_ready(so);
    if (so->is_gateway_due && so->is_online)
        loop_timer_start(so->loop, t, GATEWAY_MS, 0, on_soon, so);
}

static void
publish_soon(struct status_out *so)
{
    if (so->is_online && (!loop_timer_is_running(&so->soon) || so->soon.due_ms > loop_now_ms(so->loop) + SOON_MS))
        loop_timer_start(so->loop, &so->soon, SOON_MS, 0, on_soon, so);
}

static void
everything_is_due(struct status_out *so)
{
    so->is_gateway_due = true;
    for (struct registry_entry *e = so->registry->entries; e; e = e->hh.next)
        set_due(so, e);
}

static void
on_refresh(struct loop_timer *t, void *arg)
{
    struct status_out *so = arg;

    (void)t;
    everything_is_due(so);
    status_out_ready(so);
}

void
status_out_touch(struct status_out *so, struct registry_entry *e)
{
    set_due(so, e);
    so->is_gateway_due = true;
    publish_soon(so);
}

void
status_out_removed(struct status_out *so, struct registry_entry *e, bool is_moved)
{
    struct removed *r;

    clear_due(so, e);
    if (is_moved)
        return;
    r = mem_alloc(sizeof *r);
    r->id = mem_strdup(e->id);
    r->next = so->removed;
    so->removed = r;
    so->is_gateway_due = true;
    publish_soon(so);
}

void
status_out_online(struct status_out *so)
{
    so->is_online = true;
    so->said_ms = 0;
    everything_is_due(so);
    status_out_ready(so);
}

void
status_out_offline(struct status_out *so)
{
    so->is_online = false;
}

void
status_out_goodbye(struct status_out *so)
{
    so->is_bye = true;
    everything_is_due(so);
    status_out_ready(so);
}

/* --- life --- */

struct mqtt_will
status_out_will(struct status_out *so)
{
    if (so->conf.is_part)
        return (struct mqtt_will){0};
    return (struct mqtt_will){.topic = so->topic, .payload = slice_str(so->will), .qos = 1, .retain = true};
}

struct status_out *
status_out_new(struct loop *loop, const struct status_out_conf *conf, struct registry *registry,
               const struct outlet *out)
{
    struct status_out *so = mem_alloc(sizeof *so);

    so->loop = loop;
    so->conf = *conf;
    so->registry = registry;
    so->out = *out;
    so->topic = mem_printf("%s/status/gateways/%s", conf->prefix, conf->gateway);
    so->will = mem_printf("{\"status\":\"offline\",\"gateway\":\"%s\",\"last_error\":\"the gateway went away without a "
                          "word: it was killed, or lost its network\"}",
                          conf->gateway);
    loop_timer_start(loop, &so->refresh, REFRESH_MS, REFRESH_MS, on_refresh, so);
    return so;
}

void
status_out_free(struct status_out **sop)
{
    struct status_out *so = *sop;

    if (!so)
        return;
    loop_timer_stop(&so->refresh);
    loop_timer_stop(&so->soon);
    while (so->removed) {
        struct removed *r = so->removed;
        so->removed = r->next;
        free(r->id);
        free(r);
    }
    free(so->topic);
    free(so->will);
    free(so);
    *sop = NULL;
}
