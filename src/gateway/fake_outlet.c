#include "gateway/fake_outlet.h"

#include "base/mem.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static enum nx_err
publish(void *arg, const struct mqtt_publication *pub, mqtt_done_cb *done, void *done_arg)
{
    struct fake_outlet *o = arg;

    if (o->answer != NX_OK)
        return o->answer;
    if (o->room == 0)
        return NX_E_FULL;
    if (o->room != UINT_MAX)
        o->room--;
    assert(o->count < FAKE_OUTLET_MAX);
    struct fake_message *m = &o->messages[o->count++];
    *m = (struct fake_message){.topic = mem_strndup(pub->topic.p, pub->topic.len),
                               .payload =
                                   mem_strndup(pub->payload.len ? (const void *)pub->payload.p : "", pub->payload.len),
                               .len = pub->payload.len,
                               .retain = pub->retain,
                               .done = done,
                               .arg = done_arg};
    (void)snprintf(m->correlation, sizeof m->correlation, "%.*s", SLICE_FMT(pub->correlation));
    if (!o->holds_done) {
        o->settled = o->count;
        done(done_arg, NX_OK);
    }
    return NX_OK;
}

struct outlet
fake_outlet_init(struct fake_outlet *o)
{
    memset(o, 0, sizeof *o);
    o->room = UINT_MAX;
    return (struct outlet){.publish = publish, .arg = o};
}

void
fake_outlet_clear(struct fake_outlet *o)
{
    for (unsigned i = 0; i < o->count; i++) {
        free(o->messages[i].topic);
        free(o->messages[i].payload);
    }
    o->count = o->settled = 0;
}

void
fake_outlet_fini(struct fake_outlet *o)
{
    fake_outlet_clear(o);
}

void
fake_outlet_settle(struct fake_outlet *o, enum nx_err err)
{
    while (o->settled < o->count) {
        struct fake_message *m = &o->messages[o->settled++];
        m->done(m->arg, err);
    }
}

const struct fake_message *
fake_outlet_last(const struct fake_outlet *o, const char *topic)
{
    for (unsigned i = o->count; i > 0; i--)
        if (strcmp(o->messages[i - 1].topic, topic) == 0)
            return &o->messages[i - 1];
    return NULL;
}

unsigned
fake_outlet_count(const struct fake_outlet *o, const char *topic_prefix)
{
    unsigned n = 0;

    for (unsigned i = 0; i < o->count; i++)
        n += strncmp(o->messages[i].topic, topic_prefix, strlen(topic_prefix)) == 0;
    return n;
}
