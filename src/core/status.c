#include "core/status.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <pthread.h>
#include <stdlib.h>
#include <uthash.h>

struct entry {
    char *id;
    char *state;   /* word of the message */
    char *gateway; /* NULL: not said */
    char *text;    /* the rest, as it is shown: JSON text, because documents are not shared by threads */
    UT_hash_handle hh;
};

struct status {
    pthread_mutex_t lock;
    struct entry *kinds[2]; /* by enum status_kind */
};

static const char *const words[] = {"online", "offline", "error", "unknown", "connecting"};

struct status *
status_new(void)
{
    struct status *s = mem_alloc(sizeof *s);

    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void
entry_clear(struct entry *e)
{
    free(e->state);
    free(e->gateway);
    free(e->text);
}

static void
entry_free(struct entry **kind, struct entry *e)
{
    HASH_DEL(*kind, e);
    entry_clear(e);
    free(e->id);
    free(e);
}

void
status_free(struct status **ps)
{
    struct status *s = *ps;

    *ps = NULL;
    if (!s)
        return;
    for (unsigned k = 0; k < 2; k++) {
        while (s->kinds[k])
            entry_free(&s->kinds[k], s->kinds[k]);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* --- reading a message ---------------------------------------------------------------------------------------- */

/* Times arrive as milliseconds or RFC 3339 and leave as RFC 3339; anything else is null. */
static json_t *
time_text(const json_t *value)
{
    char text[TIMEFMT_CAP];
    int64_t time_us = 0;

    if (json_is_number(value) && json_number_value(value) > 0)
        return json_string(timefmt_rfc3339((int64_t)(json_number_value(value) * 1000.0), text));
    if (json_is_string(value) && timefmt_parse(slice_str(json_string_value(value)), &time_us) && time_us > 0)
        return json_string(timefmt_rfc3339(time_us, text));
    return json_null();
}

static json_t *
text_or_null(const json_t *value)
{
    const char *text = json_string_value(value);

    return text && *text ? json_string(text) : json_null();
}

static const char *
state_word(const json_t *value)
{
    const char *text = json_string_value(value);

    for (unsigned i = 0; text && i < MEM_COUNT(words); i++) {
        if (strcmp(text, words[i]) == 0)
            return words[i];
    }
    return "unknown";
}

/* Counters stand in "stats" or beside the members that we know. New reference. */
static json_t *
stats_of(const json_t *msg)
{
    static const char *const known[] = {"status",  "last_seen", "last_error", "since",
                                        "gateway", "device_id", "version",    "stats"};
    json_t *stats =
        json_is_object(json_object_get(msg, "stats")) ? json_copy(json_object_get(msg, "stats")) : json_object();
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)msg, key, value) {
        bool is_known = false;

        for (unsigned i = 0; i < MEM_COUNT(known); i++)
            is_known = is_known || strcmp(key, known[i]) == 0;
        if (!is_known)
            json_object_set(stats, key, value);
    }
    return stats;
}

static char *
shown_text(const json_t *msg)
{
    json_t *shown = json_object();
    char *text;

    json_object_set_new(shown, "last_seen", time_text(json_object_get(msg, "last_seen")));
    json_object_set_new(shown, "last_error", text_or_null(json_object_get(msg, "last_error")));
    json_object_set_new(shown, "since", time_text(json_object_get(msg, "since")));
    if (json_is_string(json_object_get(msg, "gateway")))
        json_object_set(shown, "gateway", json_object_get(msg, "gateway"));
    json_object_set_new(shown, "stats", stats_of(msg));
    text = json_dumps(shown, JSON_COMPACT);
    json_decref(shown);
    return text;
}

static void
entry_fill(struct entry *e, const json_t *msg)
{
    const char *gateway = json_string_value(json_object_get(msg, "gateway"));

    entry_clear(e);
    e->state = mem_strdup(state_word(json_object_get(msg, "status")));
    e->gateway = gateway ? mem_strdup(gateway) : NULL;
    e->text = shown_text(msg);
}

static enum nx_err
entry_put(struct entry **kind, const char *id, const json_t *msg, struct nx_note *why)
{
    struct entry *e = NULL;

    HASH_FIND_STR(*kind, id, e);
    if (!e && HASH_COUNT(*kind) >= STATUS_MAX)
        return nx_fail(why, NX_E_FULL, "more than %d states are reported; the one of \"%.64s\" is left out", STATUS_MAX,
                       id);
    if (!e) {
        e = mem_alloc(sizeof *e);
        e->id = mem_strdup(id);
        HASH_ADD_KEYPTR(hh, *kind, e->id, (unsigned)strlen(e->id), e);
    }
    entry_fill(e, msg);
    return NX_OK;
}

static void
entry_forget(struct entry **kind, const char *id)
{
    struct entry *e = NULL;

    HASH_FIND_STR(*kind, id, e);
    if (e)
        entry_free(kind, e);
}

enum nx_err
status_put(struct status *s, enum status_kind kind, const char *id, struct slice payload, struct nx_note *why)
{
    json_t *msg = NULL;
    enum nx_err err = NX_OK;

    if (payload.len > (64u << 10))
        return nx_fail(why, NX_E_TOO_LARGE, "state of \"%.64s\" has %zu bytes, at most 65536 are read", id,
                       payload.len);
    if (payload.len > 0) {
        msg = json_loadb((const char *)payload.p, payload.len, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(msg)) {
            json_decref(msg);
            return nx_fail(why, NX_E_PROTO, "state of \"%.64s\" is no JSON object", id);
        }
    }
    pthread_mutex_lock(&s->lock);
    if (msg)
        err = entry_put(&s->kinds[kind], id, msg, why);
    else
        entry_forget(&s->kinds[kind], id);
    pthread_mutex_unlock(&s->lock);
    json_decref(msg);
    return err;
}

/* --- showing ------------------------------------------------------------------------------------------------------ */

static json_t *
entry_show(const struct entry *e, const char *state_key)
{
    json_t *shown = e ? json_loads(e->text, 0, NULL) : json_object();

    json_object_set_new(shown, state_key, json_string(e ? e->state : "unknown"));
    return shown;
}

/* NULL when the gateway of the device runs, or nobody knows which one it is. */
static const struct entry *
silent_gateway(struct status *s, const struct entry *device)
{
    struct entry *gateway = NULL;

    if (device && device->gateway)
        HASH_FIND_STR(s->kinds[STATUS_GATEWAY], device->gateway, gateway);
    return gateway && strcmp(gateway->state, "online") != 0 ? gateway : NULL;
}

static void
show_silence(json_t *shown, const struct entry *gateway)
{
    char *text = mem_printf("gateway \"%s\" is %s, so the device is not read: start the gateway, or check its link to"
                            " the broker",
                            gateway->id, gateway->state);

    json_object_set_new(shown, "state", json_string("unknown"));
    json_object_set_new(shown, "last_error", json_string(text));
    free(text);
}

json_t *
status_device(struct status *s, const char *id, bool is_enabled)
{
    struct entry *e = NULL;
    const struct entry *gateway;
    json_t *shown;

    pthread_mutex_lock(&s->lock);
    HASH_FIND_STR(s->kinds[STATUS_DEVICE], id, e);
    shown = entry_show(e, "state");
    gateway = silent_gateway(s, e);
    if (gateway)
        show_silence(shown, gateway);
    pthread_mutex_unlock(&s->lock);
    if (!is_enabled)
        json_object_set_new(shown, "state", json_string("disabled"));
    return shown;
}

json_t *
status_gateways(struct status *s)
{
    json_t *all = json_array();
    struct entry *e, *next;

    pthread_mutex_lock(&s->lock);
    HASH_ITER (hh, s->kinds[STATUS_GATEWAY], e, next) {
        json_t *shown = entry_show(e, "status");

        json_object_set_new(shown, "id", json_string(e->id));
        json_array_append_new(all, shown);
    }
    pthread_mutex_unlock(&s->lock);
    return all;
}

void
status_count_gateways(struct status *s, unsigned *online, unsigned *all)
{
    struct entry *e, *next;

    *online = *all = 0;
    pthread_mutex_lock(&s->lock);
    HASH_ITER (hh, s->kinds[STATUS_GATEWAY], e, next) {
        *all += 1;
        *online += strcmp(e->state, "online") == 0;
    }
    pthread_mutex_unlock(&s->lock);
}
