#include "mqtt/subs.h"

#include "base/mem.h"

#include <stdlib.h>
#include <utlist.h>

void
subs_init(struct subs *subs, uint16_t first_id)
{
    *subs = (struct subs){.first_id = first_id, .next_id = first_id};
}

static void
drop(struct subs *subs, struct sub *s)
{
    DL_DELETE(subs->list, s);
    free(s);
}

void
subs_fini(struct subs *subs)
{
    while (subs->list)
        drop(subs, subs->list);
}

static struct sub *
by_filter(struct subs *subs, const char *filter)
{
    struct sub *s;

    DL_FOREACH (subs->list, s)
        if (strcmp(s->filter, filter) == 0)
            return s;
    return NULL;
}

static struct sub *
new_sub(struct subs *subs, const char *filter)
{
    size_t size = strlen(filter) + 1;
    struct sub *s = mem_alloc(sizeof *s + size);

    memcpy(s->filter, filter, size);
    DL_APPEND(subs->list, s);
    return s;
}

void
subs_add(struct subs *subs, const char *filter, uint8_t qos)
{
    struct sub *s = by_filter(subs, filter);

    if (!s)
        s = new_sub(subs, filter);
    s->qos = qos;
    s->packet_id = 0;
    s->is_settled = s->is_refused = s->is_leaving = false;
}

void
subs_remove(struct subs *subs, const char *filter)
{
    struct sub *s = by_filter(subs, filter);

    if (!s)
        return;
    s->packet_id = 0;
    s->is_leaving = true;
    s->is_settled = false;
}

void
subs_restart(struct subs *subs, bool is_resumed)
{
    struct sub *s, *tmp;

    DL_FOREACH_SAFE (subs->list, s, tmp) {
        s->packet_id = 0;
        if (s->is_leaving && !is_resumed) {
            drop(subs, s);
            continue;
        }
        if (!is_resumed || s->is_refused)
            s->is_settled = false;
        s->is_refused = false;
    }
}

static uint16_t
take_id(struct subs *subs)
{
    uint16_t id = subs->next_id;

    subs->next_id = id == UINT16_MAX ? subs->first_id : (uint16_t)(id + 1);
    return id;
}

struct sub *
subs_next(struct subs *subs)
{
    struct sub *s;

    DL_FOREACH (subs->list, s) {
        if (s->is_settled || s->packet_id)
            continue;
        s->packet_id = take_id(subs);
        return s;
    }
    return NULL;
}

struct sub *
subs_find(struct subs *subs, uint16_t packet_id)
{
    struct sub *s;

    DL_FOREACH (subs->list, s)
        if (s->packet_id == packet_id)
            return s;
    return NULL;
}

void
subs_answered(struct subs *subs, struct sub *s, uint8_t code)
{
    if (s->is_leaving) {
        drop(subs, s);
        return;
    }
    s->packet_id = 0;
    s->is_settled = true;
    s->is_refused = code >= 0x80;
}
