#include "core/live.h"

#include "base/mem.h"
#include "mqtt/mqtt.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct live {
    pthread_mutex_t lock;
    struct live_point *by_topic, *by_tag;
    size_t count, max_topics;
    uint64_t refused;
};

struct live *
live_new(size_t max_topics)
{
    struct live *live = mem_alloc(sizeof *live);

    pthread_mutex_init(&live->lock, NULL);
    live->max_topics = max_topics;
    return live;
}

static void
point_free_value(struct live_point *p)
{
    if (p->value.type == NX_TYPE_STRING)
        mem_free_const(p->value.s);
    p->value = nx_value_none();
}

static void
point_forget_tag(struct live *live, struct live_point *p)
{
    if (!p->tag)
        return;
    HASH_DELETE(by_tag, live->by_tag, p);
    mem_free_const(p->tag);
    mem_free_const(p->type);
    p->tag = p->type = NULL;
}

void
live_free(struct live **plive)
{
    struct live *live = *plive;
    struct live_point *p, *next;

    *plive = NULL;
    if (!live)
        return;
    HASH_ITER (by_topic, live->by_topic, p, next) {
        point_forget_tag(live, p);
        HASH_DELETE(by_topic, live->by_topic, p);
        point_free_value(p);
        mem_free_const(p->topic);
        mem_free_const(p->unit);
        free(p);
    }
    pthread_mutex_destroy(&live->lock);
    free(live);
}

/* --- writing ------------------------------------------------------------------------------------------------- */

static struct live_point *
point_find(struct live *live, struct slice topic)
{
    struct live_point *p = NULL;

    if (topic.len == 0)
        return NULL;
    HASH_FIND(by_topic, live->by_topic, topic.p, (unsigned)topic.len, p);
    return p;
}

static struct live_point *
point_make(struct live *live, struct slice topic)
{
    struct live_point *p;

    if (live->count >= live->max_topics) {
        live->refused++;
        return NULL;
    }
    p = mem_alloc(sizeof *p);
    p->topic = mem_strndup(topic.p, topic.len);
    HASH_ADD_KEYPTR(by_topic, live->by_topic, p->topic, (unsigned)topic.len, p);
    live->count++;
    return p;
}

static void
point_set_value(struct live_point *p, const struct tagmsg *msg, int64_t now_us)
{
    bool is_text = msg->value.type == NX_TYPE_STRING;
    const char *copy = is_text ? mem_strndup(msg->value.s, msg->value.len) : NULL;

    point_free_value(p);
    p->value = is_text ? nx_value_string(copy, msg->value.len) : msg->value;
    p->quality = msg->quality;
    p->time_us = msg->time_us ? msg->time_us : now_us;
    p->has_value = true;
}

static void
point_set_unit(struct live_point *p, struct slice unit)
{
    if (unit.len == 0 || (p->unit && slice_eq_str(unit, p->unit)))
        return;
    mem_free_const(p->unit);
    p->unit = mem_strndup(unit.p, unit.len);
}

struct live_point *
live_put(struct live *live, struct slice topic, const struct tagmsg *msg, int64_t now_us, bool *is_new)
{
    struct live_point *p;

    pthread_mutex_lock(&live->lock);
    p = point_find(live, topic);
    *is_new = !p;
    if (!p)
        p = point_make(live, topic);
    if (p) {
        point_set_value(p, msg, now_us);
        point_set_unit(p, msg->unit);
    }
    pthread_mutex_unlock(&live->lock);
    return p;
}

static void
point_set_tag(struct live *live, struct live_point *p, const char *device_id, const struct live_tag *tag)
{
    point_forget_tag(live, p);
    p->tag = mem_printf("%s/%s", device_id, tag->id);
    p->type = tag->type ? mem_strdup(tag->type) : NULL;
    point_set_unit(p, slice_str(tag->unit));
    HASH_ADD_KEYPTR(by_tag, live->by_tag, p->tag, (unsigned)strlen(p->tag), p);
}

static void
live_forget_device(struct live *live, const char *device_id, live_point_cb *each, void *arg)
{
    struct live_point *p, *next;
    size_t len = strlen(device_id);

    HASH_ITER (by_tag, live->by_tag, p, next) {
        if (strncmp(p->tag, device_id, len) != 0 || p->tag[len] != '/')
            continue;
        pthread_mutex_lock(&live->lock);
        point_forget_tag(live, p);
        pthread_mutex_unlock(&live->lock);
        if (each)
            each(arg, p);
    }
}

static struct live_point *
live_adopt(struct live *live, const char *device_id, const struct live_tag *tag)
{
    struct slice topic = slice_str(tag->topic);
    struct live_point *p;

    pthread_mutex_lock(&live->lock);
    p = point_find(live, topic);
    if (!p)
        p = point_make(live, topic);
    if (p)
        point_set_tag(live, p, device_id, tag);
    pthread_mutex_unlock(&live->lock);
    return p;
}

void
live_set_device(struct live *live, const char *device_id, const struct live_tag *tags, size_t n, live_point_cb *each,
                void *arg)
{
    live_forget_device(live, device_id, each, arg);
    for (size_t i = 0; i < n; i++) {
        struct live_point *p = live_adopt(live, device_id, &tags[i]);

        if (p && each)
            each(arg, p);
    }
}

struct live_point *
live_find_topic(struct live *live, const char *topic)
{
    return point_find(live, slice_str(topic));
}

struct live_point *
live_find_tag(struct live *live, const char *tag)
{
    struct live_point *p = NULL;

    HASH_FIND(by_tag, live->by_tag, tag, (unsigned)strlen(tag), p);
    return p;
}

void
live_each(struct live *live, live_point_cb *each, void *arg)
{
    struct live_point *p, *next;

    HASH_ITER (by_topic, live->by_topic, p, next)
        each(arg, p);
}

/* --- reading from workers --------------------------------------------------------------------------------------- */

static void
point_copy(const struct live_point *p, struct arena *a, struct live_point *out)
{
    *out = (struct live_point){.topic = p->topic, /* lives as long as the table */
                               .tag = p->tag ? arena_strdup(a, p->tag) : NULL,
                               .type = p->type ? arena_strdup(a, p->type) : NULL,
                               .unit = p->unit ? arena_strdup(a, p->unit) : NULL,
                               .has_value = p->has_value,
                               .value = p->value,
                               .quality = p->quality,
                               .time_us = p->time_us};
    if (p->value.type == NX_TYPE_STRING)
        out->value.s = arena_strndup(a, p->value.s, p->value.len);
}

bool
live_get(struct live *live, const char *topic, struct arena *a, struct live_point *out)
{
    const struct live_point *p;

    pthread_mutex_lock(&live->lock);
    p = point_find(live, slice_str(topic));
    if (p)
        point_copy(p, a, out);
    pthread_mutex_unlock(&live->lock);
    return p != NULL;
}

const char *
live_tag_topic(struct live *live, const char *tag)
{
    const struct live_point *p;
    const char *topic = NULL;

    pthread_mutex_lock(&live->lock);
    p = live_find_tag(live, tag);
    if (p)
        topic = p->topic;
    pthread_mutex_unlock(&live->lock);
    return topic;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp((*(const struct live_point *const *)a)->topic, (*(const struct live_point *const *)b)->topic);
}

/* Every point that matches; the array is the caller's to free(). Topics never change and points never go, so sorting
 * needs no lock. */
static const struct live_point **
live_matching(struct live *live, const char *filter, const char *after, size_t *n)
{
    const struct live_point **found;
    struct live_point *p, *next;

    *n = 0;
    pthread_mutex_lock(&live->lock);
    found = mem_calloc(live->count + 1, sizeof *found);
    HASH_ITER (by_topic, live->by_topic, p, next) {
        if (p->has_value && (!after || strcmp(p->topic, after) > 0) &&
            mqtt_topic_matches(slice_str(filter), slice_str(p->topic)))
            found[(*n)++] = p;
    }
    pthread_mutex_unlock(&live->lock);
    return found;
}

size_t
live_list(struct live *live, const char *filter, const char *after, size_t limit, struct arena *a,
          struct live_point *rows)
{
    size_t n = 0;
    const struct live_point **found = live_matching(live, filter, after, &n);

    qsort(found, n, sizeof *found, by_name);
    n = n < limit ? n : limit;
    pthread_mutex_lock(&live->lock);
    for (size_t i = 0; i < n; i++)
        point_copy(found[i], a, &rows[i]);
    pthread_mutex_unlock(&live->lock);
    free(found);
    return n;
}

size_t
live_count(struct live *live)
{
    size_t n;

    pthread_mutex_lock(&live->lock);
    n = live->count;
    pthread_mutex_unlock(&live->lock);
    return n;
}

uint64_t
live_refused(struct live *live)
{
    uint64_t n;

    pthread_mutex_lock(&live->lock);
    n = live->refused;
    pthread_mutex_unlock(&live->lock);
    return n;
}
