#include "gateway/diagnose.h"

#include "base/mem.h"
#include "base/num.h"
#include "gateway/recorder.h"

#include <stdlib.h>
#include <string.h>

#define NO_REQUEST UINT32_MAX

/* --- the read plan --- */

struct totals {
    uint64_t requests, bytes_out, bytes_in, gap_bytes, holes;
    double predicted_ms, achieved_ms;
};

/* Where explain() writes to: the requests of one list. */
struct nx_plan {
    const struct group *g;
    json_t *requests;
    uint32_t count;
    uint32_t *request_of; /* [item_count] */
    const char **hole_of; /* borrowed from requests */
    struct totals *totals;
};

static const char *const priority_names[] = {"telemetry", "control", "safety"};

void
nx_plan_add(struct nx_plan *plan, const struct nx_plan_request *rq)
{
    json_t *tags = json_array(), *hole = rq->hole ? json_string(rq->hole) : json_null();
    json_t *json =
        json_pack("{s:s, s:i, s:i, s:i, s:o, s:o}", "text", rq->text, "bytes_out", (int)rq->bytes_out, "bytes_in",
                  (int)rq->bytes_in, "gap_bytes", (int)rq->gap_bytes, "tags", tags, "hole", hole);

    for (uint32_t i = 0; i < rq->item_count; i++) {
        uint32_t item = rq->items[i];
        json_array_append_new(tags, json_string(plan->g->slots[item]->tag->id));
        plan->request_of[item] = plan->count;
        plan->hole_of[item] = json_string_value(hole);
    }
    json_array_append_new(plan->requests, json);
    plan->count++;
    plan->totals->holes += rq->hole != NULL;
    if (rq->hole)
        return;
    plan->totals->requests++;
    plan->totals->bytes_out += rq->bytes_out;
    plan->totals->bytes_in += rq->bytes_in;
    plan->totals->gap_bytes += rq->gap_bytes;
}

static json_t *
number_or_null(double v)
{
    return v > 0 ? json_real(v) : json_null();
}

/* What the wire alone takes, where its speed is known: a serial line. */
static double
wire_ms(const struct nx_dev *dev, const struct totals *t)
{
    for (const struct nx_param *p = dev->conf->driver->params; p->key; p++)
        if (strcmp(p->key, "baud_rate") == 0)
            return (double)(t->bytes_out + t->bytes_in) * 11000.0 / (double)nx_setting_int(dev->conf->settings, p->key);
    return 0;
}

static json_t *
tag_json(const struct group *g, uint32_t i, const struct nx_plan *plan)
{
    const struct slot *slot = g->slots[i];
    json_t *request = plan->request_of[i] == NO_REQUEST ? json_null() : json_integer(plan->request_of[i]);
    json_t *hole = plan->hole_of[i] ? json_string(plan->hole_of[i]) : json_null();

    return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:i}", "id", slot->tag->id, "address", slot->tag->canonical,
                     "interval_ms", (json_int_t)g->interval_ms, "achieved_interval_ms", number_or_null(g->achieved_ms),
                     "request", request, "hole", hole, "quality", slot->quality);
}

static json_t *
list_json(struct group *g, json_t *tags, struct totals *totals)
{
    struct nx_dev *dev = g->dev;
    uint32_t n = g->read.rd.item_count;
    struct totals before = *totals, own = {0};
    struct nx_plan plan = {.g = g,
                           .requests = json_array(),
                           .request_of = mem_calloc(n, sizeof *plan.request_of),
                           .hole_of = mem_calloc(n, sizeof(char *)),
                           .totals = &own};

    memset(plan.request_of, 0xFF, n * sizeof *plan.request_of);
    if (dev->conf->driver->explain)
        dev->conf->driver->explain(dev, &g->read.rd, &plan);
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(tags, tag_json(g, i, &plan));
    free(plan.request_of);
    free(plan.hole_of);
    *totals = (struct totals){.requests = before.requests + own.requests,
                              .bytes_out = before.bytes_out + own.bytes_out,
                              .bytes_in = before.bytes_in + own.bytes_in,
                              .gap_bytes = before.gap_bytes + own.gap_bytes,
                              .holes = before.holes + own.holes,
                              .predicted_ms = before.predicted_ms + wire_ms(dev, &own),
                              .achieved_ms = before.achieved_ms + g->read_ms};
    return json_pack("{s:I, s:s, s:o, s:I, s:I, s:f, s:o}", "interval_ms", (json_int_t)g->interval_ms, "priority",
                     priority_names[g->priority], "achieved_interval_ms", number_or_null(g->achieved_ms), "polls",
                     (json_int_t)g->polls, "skipped", (json_int_t)g->skipped, "read_ms_avg", g->read_ms, "requests",
                     plan.requests);
}

/* The time of one request, as it was measured on this connection by all its devices; 0: nothing measured yet. */
static double
request_ms(const struct nx_link *link)
{
    double ms = 0, requests = 0;

    for (const struct nx_dev *dev = link ? link->devs : NULL; dev; dev = dev->link_next) {
        ms += dev->stats.read_ms_avg * (double)dev->stats.polls_ok;
        requests += (double)dev->counters[NX_COUNT_REQUESTS];
    }
    return requests > 0 ? ms / requests : 0;
}

json_t *
diagnose_plan_json(struct nx_dev *dev)
{
    json_t *lists = json_array(), *tags = json_array(), *cycle;
    struct totals t = {0};
    double measured;

    for (unsigned i = 0; i < dev->group_count; i++)
        json_array_append_new(lists, list_json(&dev->groups[i], tags, &t));
    measured = request_ms(dev->link) * (double)t.requests;
    cycle = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "requests", (json_int_t)t.requests, "bytes_out",
                      (json_int_t)t.bytes_out, "bytes_in", (json_int_t)t.bytes_in, "gap_bytes", (json_int_t)t.gap_bytes,
                      "holes", (json_int_t)t.holes, "predicted_ms",
                      number_or_null(measured > t.predicted_ms ? measured : t.predicted_ms), "achieved_ms",
                      number_or_null(t.achieved_ms));
    return json_pack("{s:s, s:s, s:b, s:s, s:o, s:o, s:o}", "device_id", dev->conf->id, "protocol",
                     dev->conf->driver->name, "is_connected", dev_is_ready(dev), "breaker",
                     breaker_state_name(dev->breaker.state), "cycle", cycle, "lists", lists, "tags", tags);
}

/* --- the flight recorder --- */

struct exchange {
    const struct nx_dev *dev;
    json_t *list;
    struct wbuf out, in;
    int64_t out_us, in_us;
    uint64_t bytes;
};

static json_t *
hex_json(const struct wbuf *w)
{
    static const char digits[] = "0123456789abcdef";
    char *text = mem_alloc(2 * w->len + 1);
    json_t *json;

    for (size_t i = 0; i < w->len; i++) {
        text[2 * i] = digits[w->p[i] >> 4];
        text[2 * i + 1] = digits[w->p[i] & 15];
    }
    json = json_string(text);
    free(text);
    return json;
}

static json_t *
tags_of(const struct nx_dev *dev, const struct nx_exchange *x)
{
    json_t *tags = json_array();
    char text[256];

    for (unsigned i = 0; i < dev->conf->tag_count; i++) {
        const struct tag *tag = &dev->conf->tags[i];
        if (tag->kind == TAG_POLLED && dev->conf->driver->dissect(x, tag->addr, text, sizeof text))
            json_array_append_new(tags, json_pack("{s:s, s:s}", "id", tag->id, "text", text));
    }
    return tags;
}

static void
end_exchange(struct exchange *e)
{
    const struct nx_driver *drv = e->dev->conf->driver;
    struct nx_exchange x = {
        .out = e->out.p, .out_len = e->out.len, .in = e->in.p, .in_len = e->in.len, .settings = e->dev->conf->settings};
    char text[256] = "";
    json_t *json;

    if (e->out.len == 0 && e->in.len == 0)
        return;
    if (drv->dissect)
        (void)drv->dissect(&x, NULL, text, sizeof text);
    json = json_pack("{s:I, s:o, s:s, s:o, s:o, s:o}", "time_us", (json_int_t)(e->out_us ? e->out_us : e->in_us),
                     "took_us", e->out_us && e->in_us ? json_integer(e->in_us - e->out_us) : json_null(), "text", text,
                     "out", hex_json(&e->out), "in", hex_json(&e->in), "tags",
                     drv->dissect ? tags_of(e->dev, &x) : json_array());
    if (json)
        json_array_append_new(e->list, json);
    wbuf_reset(&e->out);
    wbuf_reset(&e->in);
    e->out_us = e->in_us = 0;
}

static void
add_frame(void *arg, const struct recorder_frame *f)
{
    struct exchange *e = arg;

    e->bytes += f->full_len;
    if (f->dir == RECORDER_OUT) {
        end_exchange(e);
        wbuf_slice(&e->out, f->data);
        e->out_us = f->time_us;
        return;
    }
    wbuf_slice(&e->in, f->data);
    e->in_us = f->time_us;
}

json_t *
diagnose_recorder_json(const struct nx_dev *dev)
{
    struct exchange e = {.dev = dev, .list = json_array(), .out = wbuf_init(0), .in = wbuf_init(0)};
    const struct nx_link *link = dev->link;
    json_t *ids = json_array();

    for (const struct nx_dev *d = link ? link->devs : NULL; d; d = d->link_next)
        json_array_append_new(ids, json_string(d->conf->id));
    if (link && link->recorder)
        recorder_each(link->recorder, add_frame, &e);
    end_exchange(&e);
    wbuf_free(&e.out);
    wbuf_free(&e.in);
    return json_pack("{s:s, s:{s:o, s:i, s:I}, s:o}", "device_id", dev->conf->id, "link", "devices", ids, "frames",
                     link && link->recorder ? (int)recorder_count(link->recorder) : 0, "bytes", (json_int_t)e.bytes,
                     "exchanges", e.list);
}

/* The usual TCP port of the protocol, by which tools know how to dissect it; 0: a serial line. */
static uint16_t
port_of(const struct nx_link *link)
{
    uint64_t port = 0;

    for (const struct nx_param *p = link->driver->params; p->key; p++)
        if (strcmp(p->key, "port") == 0 && p->def)
            (void)num_u64(slice_str(p->def), &port);
    return (uint16_t)port;
}

void
diagnose_pcapng(const struct nx_link *link, const char *comment, struct wbuf *out)
{
    if (link && link->recorder)
        recorder_pcapng(link->recorder, port_of(link), comment, out);
}
