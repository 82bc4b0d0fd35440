#include "gateway/admin_device.h"

#include "base/mem.h"
#include "gateway/diagnose.h"
#include "gateway/gateway_priv.h"
#include "gateway/shards.h"
#include "gateway/test_device.h"

#include <stdlib.h>

/* --- a request that some thread works on --- */

struct task {
    struct http_req *req; /* NULL: the client has gone */
    const char *type;
    char *id;
    void (*work)(struct gateway *g, struct task *t);
    struct wbuf body;
    enum nx_err err;
    struct nx_note why;
};

static void
on_gone(void *arg)
{
    ((struct task *)arg)->req = NULL;
}

static void
on_visit(struct gateway *g, void *arg)
{
    struct task *t = arg;

    t->work(g, t);
}

static void
on_visited(void *arg)
{
    struct task *t = arg;

    if (t->req && t->err == NX_OK)
        http_respond_buf(t->req, 200, t->type, &t->body);
    else if (t->req)
        http_respond_err(t->req, t->err, "device", &t->why);
    if (!t->req || t->err != NX_OK)
        wbuf_free(&t->body);
    free(t->id);
    free(t);
}

static struct task *
new_task(struct http_req *req, const char *type, void (*work)(struct gateway *g, struct task *t))
{
    struct task *t = mem_alloc(sizeof *t);

    *t = (struct task){.req = req, .type = type, .work = work, .body = wbuf_init(0)};
    http_hold(req, on_gone, t);
    return t;
}

static void
put_json(struct task *t, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6));

    wbuf_str(&t->body, text ? text : "");
    free(text);
    json_decref(json);
}

/* --- all devices --- */

static void
add_devices(struct gateway *g, struct task *t)
{
    for (struct registry_entry *e = g->registry.entries; e; e = e->hh.next) {
        if (e->place)
            continue;
        wbuf_str(&t->body, t->body.len > 10 ? "," : "");
        put_json(t, status_device_json(e, g->conf.id, loop_wall_us(g->loop)));
    }
}

static void
end_devices(void *arg)
{
    struct task *t = arg;

    wbuf_str(&t->body, "]}");
    on_visited(t);
}

void
admin_get_devices(struct http_req *req, void *arg)
{
    struct task *t = new_task(req, "application/json", add_devices);

    wbuf_str(&t->body, "{\"items\":[");
    shards_visit(arg, -1, on_visit, end_devices, t);
}

/* --- one device --- */

static struct nx_dev *
device_of(struct gateway *g, struct task *t)
{
    struct registry_entry *e = registry_find(&g->registry, t->id);

    if (e && e->dev)
        return e->dev;
    t->err = e ? nx_fail(&t->why, NX_E_CONFLICT, "device '%.64s' is not running: %.200s", t->id,
                         e->refused ? e->refused : "it is disabled")
               : nx_fail(&t->why, NX_E_NOT_FOUND, "this gateway has no device '%.64s'", t->id);
    return NULL;
}

static void
visit_device(struct http_req *req, struct gateway *g, const char *type, void (*work)(struct gateway *g, struct task *t))
{
    struct task *t = new_task(req, type, work);
    struct registry_entry *e;

    t->id = mem_strdup(http_param(req, "id"));
    e = registry_find(&g->registry, t->id);
    shards_visit(g, e ? (int)e->place : 0, on_visit, on_visited, t);
}

static void
tell_plan(struct gateway *g, struct task *t)
{
    struct nx_dev *dev = device_of(g, t);

    if (dev)
        put_json(t, diagnose_plan_json(dev));
}

void
admin_get_plan(struct http_req *req, void *arg)
{
    visit_device(req, arg, "application/json", tell_plan);
}

static void
tell_recorder(struct gateway *g, struct task *t)
{
    struct nx_dev *dev = device_of(g, t);

    if (dev)
        put_json(t, diagnose_recorder_json(dev));
}

void
admin_get_recorder(struct http_req *req, void *arg)
{
    visit_device(req, arg, "application/json", tell_recorder);
}

static void
tell_pcapng(struct gateway *g, struct task *t)
{
    struct nx_dev *dev = device_of(g, t);

    if (dev)
        diagnose_pcapng(dev->link, "taken on request", &t->body);
}

void
admin_get_pcapng(struct http_req *req, void *arg)
{
    visit_device(req, arg, "application/octet-stream", tell_pcapng);
}

/* --- test connection --- */

struct test {
    struct gateway *head;
    struct http_req *req; /* NULL: the client has gone */
    unsigned place, refs; /* refs: the test itself, and each visit under way */
    bool is_started;
    json_t *body;
    struct test_device *test; /* of the thread that runs it */
    char *result;
};

static void
unref_test(struct test *t)
{
    if (--t->refs > 0)
        return;
    json_decref(t->body);
    free(t->result);
    free(t);
}

static void
refuse_test(struct test *t, enum nx_err err, const char *text)
{
    struct nx_note why = {0};

    if (!t->req)
        return;
    (void)nx_fail(&why, err, "%s", text);
    http_respond_err(t->req, err, "device_test_busy", &why);
}

static void
end_test(void *arg)
{
    struct test *t = arg;

    if (!t->result)
        refuse_test(t, NX_E_BUSY, "too many connection tests are under way; try again in a few seconds");
    else if (t->req)
        http_respond(t->req, 200, "application/json", slice_str(t->result));
    t->req = NULL;
    unref_test(t);
}

static void
on_test_done(void *arg, json_t *result)
{
    struct test *t = arg;

    t->test = NULL;
    t->result = json_dumps(result, JSON_COMPACT);
    json_decref(result);
    loop_post(t->head->loop, end_test, t);
}

static void
start_test(struct gateway *g, void *arg)
{
    struct test *t = arg;

    t->is_started = true;
    if (test_device_start(&t->test, &g->engine, &g->registry.opt, t->body, on_test_done, t) != NX_OK)
        loop_post(t->head->loop, end_test, t);
}

static void
on_start_visited(void *arg)
{
    struct test *t = arg;

    if (!t->is_started) { /* its thread has ended meanwhile */
        refuse_test(t, NX_E_OFFLINE, "the gateway is shutting down");
        t->req = NULL;
        unref_test(t);
    }
    unref_test(t);
}

static void
cancel_test(struct gateway *g, void *arg)
{
    struct test *t = arg;

    (void)g;
    if (!t->test) /* its end is on the way */
        return;
    test_device_cancel(&t->test);
    loop_post(t->head->loop, end_test, t);
}

static void
on_cancel_visited(void *arg)
{
    unref_test(arg);
}

static void
on_test_gone(void *arg)
{
    struct test *t = arg;

    t->req = NULL;
    t->refs++;
    shards_visit(t->head, (int)t->place, cancel_test, on_cancel_visited, t);
}

/* Where the connection is, or would be: a device that takes only one must not be asked for a second. */
static unsigned
place_of(struct gateway *g, const json_t *body)
{
    struct arena a = {0};
    struct device *d;
    unsigned place = 0;

    if (g->shards && device_read(&g->registry.opt, conf_from_json(&a, body, "device"), &d, NULL) == NX_OK) {
        place = shards_place(g->shards, d, NULL, NULL);
        device_unref(&d);
    }
    arena_free(&a);
    return place;
}

void
admin_post_test(struct http_req *req, void *arg)
{
    struct gateway *g = arg;
    json_t *body = http_json_body(req);
    struct nx_note why = {0};
    struct test *t;

    if (!body)
        return;
    if (!json_is_object(body) || g->stage != STOP_NOT) {
        enum nx_err err = json_is_object(body) ? nx_fail(&why, NX_E_OFFLINE, "the gateway is shutting down")
                                               : nx_fail(&why, NX_E_VALUE, "the body must be a device as JSON object");
        http_respond_err(req, err, "device_test_refused", &why);
        return;
    }
    t = mem_alloc(sizeof *t);
    *t = (struct test){.head = g, .req = req, .refs = 2, .place = place_of(g, body), .body = json_incref(body)};
    http_hold(req, on_test_gone, t);
    shards_visit(g, (int)t->place, start_test, on_start_visited, t);
}
