/* hub_sub.c -- subscriptions and the requests that make them. */
#include "core/hub_priv.h"

#include "base/mem.h"
#include "mqtt/mqtt.h"

#include <stdio.h>

/* --- watches -------------------------------------------------------------------------------------------------- */

static struct hub_watch *
watch_find(struct hub_sub *sub, const struct live_point *point)
{
    struct hub_watch *watch = NULL;

    HASH_FIND_PTR(sub->watches, &point, watch);
    return watch;
}

struct hub_watch *
hub_watch_add(struct hub_sub *sub, struct live_point *point)
{
    struct hub_watch *watch = watch_find(sub, point);

    if (watch)
        return watch;
    if (sub->conn->watch_count >= HUB_MAX_WATCHES)
        return NULL;
    watch = mem_alloc(sizeof *watch);
    watch->sub = sub;
    watch->point = point;
    watch->alias = sub->conn->next_alias++;
    watch->next_on_point = point->watches;
    watch->prev_on_point = &point->watches;
    if (watch->next_on_point)
        watch->next_on_point->prev_on_point = &watch->next_on_point;
    point->watches = watch;
    HASH_ADD_PTR(sub->watches, point, watch);
    sub->conn->watch_count++;
    return watch;
}

static void
watch_unlink_dirty(struct hub_watch *watch)
{
    struct hub_watch **at = &watch->sub->dirty;

    if (!watch->is_dirty)
        return;
    while (*at != watch)
        at = &(*at)->next_dirty;
    *at = watch->next_dirty;
}

static void
watch_free(struct hub_watch *watch)
{
    struct hub_sub *sub = watch->sub;

    watch_unlink_dirty(watch);
    *watch->prev_on_point = watch->next_on_point;
    if (watch->next_on_point)
        watch->next_on_point->prev_on_point = watch->prev_on_point;
    HASH_DEL(sub->watches, watch);
    sub->conn->watch_count--;
    free(watch);
}

/* --- subscriptions ---------------------------------------------------------------------------------------------- */

static void
device_ids_free(struct hub_sub *sub)
{
    struct hub_device_id *d, *next;

    HASH_ITER (hh, sub->devices, d, next) {
        HASH_DEL(sub->devices, d);
        free(d->id);
        free(d);
    }
}

void
hub_sub_free(struct hub_sub **psub)
{
    struct hub_sub *sub = *psub;
    struct hub_watch *watch, *next;

    *psub = NULL;
    loop_timer_stop(&sub->timer);
    for (watch = sub->dirty; watch; watch = watch->next_dirty)
        watch->is_dirty = false; /* the whole list goes: no need to unlink each */
    sub->dirty = NULL;
    HASH_ITER (hh, sub->watches, watch, next)
        watch_free(watch);
    device_ids_free(sub);
    for (unsigned i = 0; i < sub->filter_count; i++)
        free(sub->filters[i]);
    HASH_DEL(sub->conn->subs, sub);
    free(sub);
}

bool
hub_sub_matches(const struct hub_sub *sub, const struct live_point *point)
{
    if (sub->kind == HUB_DEVICE || (sub->kind == HUB_TAG && !point->tag))
        return false;
    for (unsigned i = 0; i < sub->filter_count; i++) {
        if (mqtt_topic_matches(slice_str(sub->filters[i]), slice_str(point->topic)))
            return true;
    }
    return false;
}

static struct live_point *
find_point(struct hub_sub *sub, const char *id)
{
    struct live *live = sub->conn->hub->live;

    return sub->kind == HUB_TAG ? live_find_tag(live, id) : live_find_topic(live, id);
}

/* Watches the ids; those that do not exist go into unknown. false: too many. */
static bool
watch_ids(struct hub_sub *sub, const json_t *ids, json_t *unknown)
{
    size_t i;
    json_t *id;

    json_array_foreach (ids, i, id) {
        struct live_point *point = json_is_string(id) ? find_point(sub, json_string_value(id)) : NULL;

        if (!point) {
            if (json_array_size(unknown) < HUB_MAX_WATCHES)
                json_array_append(unknown, id);
            continue;
        }
        if (!hub_watch_add(sub, point))
            return false;
    }
    return true;
}

static void
add_if_matching(void *arg, struct live_point *point)
{
    struct hub_sub *sub = arg;

    if (hub_sub_matches(sub, point))
        (void)hub_watch_add(sub, point);
}

static const char *
take_filters(struct hub_sub *sub, const json_t *filters)
{
    size_t i;
    json_t *filter;

    json_array_foreach (filters, i, filter) {
        const char *text = json_string_value(filter);

        if (sub->filter_count == HUB_MAX_FILTERS)
            return "a subscription has at most 64 filters: use wildcards or another subscription";
        if (!text || !mqtt_filter_is_valid(slice_str(text)))
            return "filter is no valid MQTT topic filter: + stands alone between slashes, # stands alone at the end";
        sub->filters[sub->filter_count++] = mem_strdup(text);
    }
    return NULL;
}

static void
take_device_ids(struct hub_sub *sub, const json_t *ids)
{
    size_t i;
    json_t *id;

    json_array_foreach (ids, i, id) {
        struct hub_device_id *d;

        if (!json_is_string(id) || HASH_COUNT(sub->devices) >= HUB_MAX_WATCHES)
            continue;
        d = mem_alloc(sizeof *d);
        d->id = mem_strdup(json_string_value(id));
        HASH_ADD_KEYPTR(hh, sub->devices, d->id, (unsigned)strlen(d->id), d);
    }
}

static void
send_device(void *arg, const char *device_id)
{
    hub_send_device(arg, device_id);
}

static void
start_devices(struct hub_sub *sub, const json_t *ids)
{
    struct hub *hub = sub->conn->hub;
    struct hub_device_id *d, *next;

    take_device_ids(sub, ids);
    if (!sub->devices)
        hub->ops.each_device(hub->arg, send_device, sub);
    HASH_ITER (hh, sub->devices, d, next)
        hub_send_device(sub, d->id);
}

static const char *
start_points(struct hub_sub *sub, const json_t *msg)
{
    const char *fault = take_filters(sub, json_object_get(msg, "filter"));
    json_t *unknown = json_array();

    if (!fault && !watch_ids(sub, json_object_get(msg, "ids"), unknown))
        fault = "too many tags on this connection: at most 100000";
    if (!fault && sub->filter_count > 0)
        live_each(sub->conn->hub->live, add_if_matching, sub);
    if (!fault)
        hub_send_snap(sub, unknown);
    json_decref(unknown);
    return fault;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static bool
kind_parse(const char *text, enum hub_kind *kind)
{
    static const char *const names[] = {"tag", "topic", "device"};

    for (unsigned i = 0; text && i < MEM_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *kind = (enum hub_kind)i;
            return true;
        }
    }
    return false;
}

static uint32_t
rate_of(const json_t *msg)
{
    json_int_t rate = json_integer_value(json_object_get(msg, "rate_ms"));

    if (rate <= 0)
        return HUB_RATE_MS;
    return rate < HUB_MIN_RATE_MS ? HUB_MIN_RATE_MS : rate > 60000 ? 60000 : (uint32_t)rate;
}

static struct hub_sub *
sub_find(struct hub_conn *conn, const json_t *id)
{
    struct hub_sub *sub = NULL;
    int key = (int)json_integer_value(id);

    if (json_is_integer(id) && json_integer_value(id) == key)
        HASH_FIND_INT(conn->subs, &key, sub);
    return sub;
}

static const char *
request_sub(struct hub_conn *conn, const json_t *msg)
{
    const json_t *id = json_object_get(msg, "id");
    struct hub_sub *sub = sub_find(conn, id);
    enum hub_kind kind = HUB_TAG;
    const char *fault = NULL;

    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
        return "id is missing: a number from 0 to 2147483647";
    if (!kind_parse(json_string_value(json_object_get(msg, "kind")), &kind))
        return "kind is tag, topic or device";
    if (sub)
        hub_sub_free(&sub);
    if (HASH_COUNT(conn->subs) >= HUB_MAX_SUBS)
        return "a connection has at most 200 subscriptions: unsub those that are not shown";
    sub = mem_alloc(sizeof *sub);
    sub->conn = conn;
    sub->id = (int)json_integer_value(id);
    sub->kind = kind;
    sub->rate_ms = sub->present_rate_ms = rate_of(msg);
    HASH_ADD_INT(conn->subs, id, sub);
    if (kind == HUB_DEVICE)
        start_devices(sub, json_object_get(msg, "ids"));
    else
        fault = start_points(sub, msg);
    if (fault)
        hub_sub_free(&sub);
    return fault;
}

static void
drop_ids(struct hub_sub *sub, const json_t *ids)
{
    size_t i;
    json_t *id;

    json_array_foreach (ids, i, id) {
        struct live_point *point = json_is_string(id) ? find_point(sub, json_string_value(id)) : NULL;
        struct hub_watch *watch = point ? watch_find(sub, point) : NULL;

        if (watch)
            watch_free(watch);
    }
}

static const char *
request_mod(struct hub_conn *conn, const json_t *msg)
{
    struct hub_sub *sub = sub_find(conn, json_object_get(msg, "id"));
    json_t *unknown;
    bool fits;

    if (!sub || sub->kind == HUB_DEVICE)
        return "there is no subscription of tags or topics with this id";
    drop_ids(sub, json_object_get(msg, "del"));
    if (json_array_size(json_object_get(msg, "add")) == 0)
        return NULL;
    unknown = json_array();
    fits = watch_ids(sub, json_object_get(msg, "add"), unknown);
    hub_send_snap(sub, unknown);
    json_decref(unknown);
    return fits ? NULL : "too many tags on this connection: at most 100000";
}

static const char *
request_unsub(struct hub_conn *conn, const json_t *msg)
{
    struct hub_sub *sub = sub_find(conn, json_object_get(msg, "id"));

    if (sub)
        hub_sub_free(&sub);
    return NULL;
}

static const char *
request_ping(struct hub_conn *conn, const json_t *msg)
{
    (void)msg;
    hub_send_pong(conn);
    return NULL;
}

static const char *
request_auth(struct hub_conn *conn, const json_t *msg)
{
    const char *token = json_string_value(json_object_get(msg, "token"));

    if (!token || !conn->hub->ops.check_token(conn->hub->arg, token, conn->session)) {
        hub_kick(conn, 4001, "the access token is not valid: log in again");
        return NULL;
    }
    conn->is_known = true;
    loop_timer_stop(&conn->auth_timer);
    return NULL;
}

static const struct {
    const char *op;
    const char *(*run)(struct hub_conn *conn, const json_t *msg); /* NULL, or what is wrong */
    bool needs_login;
} requests[] = {
    {"sub", request_sub, true},    {"mod", request_mod, true},    {"unsub", request_unsub, true},
    {"ping", request_ping, false}, {"auth", request_auth, false},
};

void
hub_request(struct hub_conn *conn, const json_t *msg)
{
    const char *op = json_string_value(json_object_get(msg, "op"));
    const char *fault = "op is sub, mod, unsub, ping or auth";

    for (unsigned i = 0; op && i < MEM_COUNT(requests); i++) {
        if (strcmp(op, requests[i].op) != 0)
            continue;
        if (requests[i].needs_login && !conn->is_known) {
            hub_kick(conn, 4001, "not logged in: send {\"op\":\"auth\",\"token\":...} first");
            return;
        }
        fault = requests[i].run(conn, msg);
        break;
    }
    if (fault)
        hub_send_error(conn, json_object_get(msg, "id"), "bad_request", fault);
}
