#include "gateway/test_device.h"

#include "base/mem.h"
#include "gateway/normalize.h"

#include <stdio.h>
#include <stdlib.h>

#define TESTS_MAX    8u
#define TAGS_MAX     20u
#define TOTAL_MAX_MS 15000u

enum step { STEP_CONFIG, STEP_RESOLVE, STEP_CONNECT, STEP_SESSION, STEP_READ, STEPS };

static const char *const step_names[STEPS] = {"config", "resolve", "connect", "session", "read"};

struct test_device {
    struct engine *engine;
    struct nx_dev *dev;
    json_t *steps;
    enum step next; /* the first step without a result */
    bool is_failed, is_finished;
    uint64_t started_ms, step_ms;
    struct dev_read read;
    struct nx_read_item items[TAGS_MAX];
    struct slot *slots[TAGS_MAX];
    unsigned count, good;
    char values[512], first_bad[256];
    struct loop_timer deadline, soon;
    test_device_cb *done;
    void *arg;
};

static _Atomic unsigned tests_running; /* of the process: each holds a connection to a plant device */

/* --- steps --- */

struct advice {
    enum step step;
    enum nx_err err; /* NX_OK: any */
    const char *fix;
};

static const struct advice advices[] = {
    {STEP_CONFIG, NX_OK, "Correct the setting that is named."},
    {STEP_RESOLVE, NX_OK,
     "Check the host name for typing errors, or enter the IP address. Does this machine use the "
     "name server of the plant network?"},
    {STEP_CONNECT, NX_E_REFUSED,
     "The host is there but nothing listens on this port. Check the port number (Modbus "
     "TCP: 502) and that the server is switched on in the device."},
    {STEP_CONNECT, NX_E_TIMEOUT,
     "Nothing answers at this address. Check the IP address, the cable and the firewall "
     "between this machine and the device."},
    {STEP_CONNECT, NX_E_UNREACHABLE,
     "There is no route to this network. Check the IP address, the subnet mask and "
     "the gateway of this machine."},
    {STEP_CONNECT, NX_OK, "Check address, port, cable and firewall."},
    {STEP_SESSION, NX_E_TIMEOUT,
     "The port is open but the device does not speak this protocol, or all its "
     "connections are taken. Check the protocol and close other clients."},
    {STEP_SESSION, NX_E_CLOSED,
     "The device closed the connection. It may allow only certain clients, or too many are "
     "connected already."},
    {STEP_SESSION, NX_OK, "Check the protocol and its settings (unit id, rack and slot, user)."},
    {STEP_READ, NX_E_TIMEOUT,
     "The connection stands but the device does not answer. Check the unit id (slave_id): "
     "behind a gateway only the right one answers."},
    {STEP_READ, NX_E_OFFLINE,
     "The gateway answers but the unit behind it does not. Check the unit id (slave_id) and "
     "the serial line."},
    {STEP_READ, NX_E_CLOSED,
     "The device closed the connection when it was asked: it speaks another protocol, or does "
     "not allow this machine."},
    {STEP_READ, NX_E_ADDRESS,
     "The device has no such address. Compare register type and address with its manual; "
     "addresses may start at 0 or at 1."},
    {STEP_READ, NX_OK, "Compare address, register type and data type with the manual of the device."},
};

static const char *
fix_for(enum step step, enum nx_err err)
{
    const struct advice *a = advices;

    while (a->step != step || (a->err != NX_OK && a->err != err))
        a++;
    return a->fix;
}

static void
add_step(struct test_device *t, enum step step, enum nx_err err, uint32_t elapsed_ms, const char *detail)
{
    json_t *json =
        json_pack("{s:s, s:b, s:i}", "name", step_names[step], "ok", err == NX_OK, "elapsed_ms", (int)elapsed_ms);

    if (detail && detail[0])
        json_object_set_new(json, "detail", json_string(detail));
    else if (err != NX_OK)
        json_object_set_new(json, "detail", json_string(nx_err_text(err)));
    if (err != NX_OK)
        json_object_set_new(json, "fix", json_string(fix_for(step, err)));
    json_array_append_new(t->steps, json);
    t->next = step + 1;
    t->is_failed |= err != NX_OK;
    t->step_ms = loop_now_ms(t->engine->loop);
}

static uint32_t
since_step(const struct test_device *t)
{
    return (uint32_t)(loop_now_ms(t->engine->loop) - t->step_ms);
}

/* --- the end --- */

static void
free_test(void *arg)
{
    struct test_device *t = arg;

    dev_read_fini(&t->read);
    json_decref(t->steps);
    free(t);
}

static void
release(struct test_device *t)
{
    loop_timer_stop(&t->deadline);
    loop_timer_stop(&t->soon);
    t->is_finished = true;
    dev_retire(&t->dev);
    tests_running--;
    loop_defer(t->engine->loop, free_test, t);
}

static void
finish_now(struct loop_timer *timer, void *arg)
{
    struct test_device *t = arg;
    json_t *result;

    (void)timer;
    for (enum step s = t->next; s < STEPS; s++)
        json_array_append_new(t->steps, json_pack("{s:s, s:b, s:b}", "name", step_names[s], "ok", 0, "skipped", 1));
    result = json_pack("{s:b, s:I, s:O}", "ok", !t->is_failed, "elapsed_ms",
                       (json_int_t)(loop_now_ms(t->engine->loop) - t->started_ms), "steps", t->steps);
    t->done(t->arg, result);
    release(t);
}

static void
finish(struct test_device *t)
{
    loop_timer_start(t->engine->loop, &t->soon, 0, 0, finish_now, t);
    t->is_finished = true;
}

void
test_device_cancel(struct test_device **tp)
{
    struct test_device *t = *tp;

    *tp = NULL;
    if (t)
        release(t);
}

/* --- reading --- */

static void
note_value(struct test_device *t, const struct tag *tag, const struct nx_value *v)
{
    size_t len = strlen(t->values);
    struct wbuf w = wbuf_fixed(t->values + len, sizeof t->values - len - 1);

    if (len > 0)
        wbuf_str(&w, ", ");
    wbuf_str(&w, tag->id);
    wbuf_str(&w, " = ");
    if (v->type == NX_TYPE_STRING)
        wbuf_bytes(&w, v->s, v->len);
    else if (v->type == NX_TYPE_DOUBLE)
        wbuf_double(&w, v->d);
    else if (v->type == NX_TYPE_INT)
        wbuf_i64(&w, v->i);
    else if (v->type == NX_TYPE_UINT)
        wbuf_u64(&w, v->u);
    else
        wbuf_str(&w, v->b ? "true" : "false");
    if (tag->unit)
        wbuf_printf(&w, " %s", tag->unit);
    t->values[w.failed ? len : len + w.len] = '\0';
}

static void
on_item(void *arg, uint32_t i, const struct sample *s)
{
    struct test_device *t = arg;
    struct nx_value v = s->value;
    uint16_t quality = s->quality;

    normalize(t->slots[i]->tag, &v, &quality);
    if (!nx_quality_is_bad(quality)) {
        t->good++;
        note_value(t, t->slots[i]->tag, &v);
    } else if (!t->first_bad[0]) {
        (void)snprintf(t->first_bad, sizeof t->first_bad, "%s: %s", t->slots[i]->tag->id,
                       s->reason ? s->reason : "the device has sent no usable value");
    }
}

static void
on_read(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct test_device *t = arg;
    char detail[1024];

    if (t->is_finished)
        return;
    if (err != NX_OK) {
        add_step(t, STEP_READ, err, since_step(t), why && why->text[0] ? why->text : NULL);
    } else {
        (void)snprintf(detail, sizeof detail, "%u of %u tags read. %s%s%s", t->good, t->count, t->first_bad,
                       t->first_bad[0] && t->values[0] ? "; " : "", t->values);
        add_step(t, STEP_READ, t->good == t->count ? NX_OK : NX_E_ADDRESS, since_step(t), detail);
    }
    finish(t);
}

static void
read_tags(struct loop_timer *timer, void *arg)
{
    struct test_device *t = arg;
    struct nx_dev *dev = t->dev;

    (void)timer;
    if (!dev_is_ready(dev))
        return;
    for (unsigned i = 0; i < dev->conf->tag_count && t->count < TAGS_MAX; i++) {
        const struct tag *tag = &dev->conf->tags[i];
        if (tag->kind != TAG_POLLED || !tag->is_enabled || tag->access_mode == ACCESS_WRITE)
            continue;
        t->items[t->count] = (struct nx_read_item){.addr = tag->addr, .tag = i};
        t->slots[t->count++] = &dev->slots[i];
    }
    if (t->count == 0) {
        add_step(t, STEP_READ, NX_OK, 0, "there are no tags to read yet");
        finish(t);
        return;
    }
    t->read.rd.items = t->items;
    t->read.rd.item_count = t->count;
    t->read.on_item = on_item;
    t->read.op.on_done = on_read;
    t->read.op.arg = t;
    dev_read_start(dev, &t->read, (uint64_t)dev->conf->timeout_ms);
}

/* --- connecting --- */

static void
on_step(void *arg, const char *name, enum nx_err err, uint32_t elapsed_ms, const char *detail)
{
    struct test_device *t = arg;
    enum step step = strcmp(name, "resolve") == 0 ? STEP_RESOLVE : strcmp(name, "tcp") == 0 ? STEP_CONNECT : STEPS;

    if (step < STEPS && !t->is_finished && !t->is_failed && step == t->next)
        add_step(t, step, err, elapsed_ms, detail);
}

static void
on_change(void *arg, struct nx_dev *dev)
{
    struct test_device *t = arg;

    if (t->is_finished)
        return;
    if (dev_is_ready(dev)) {
        while (t->next < STEP_SESSION) /* a way without these steps: a serial line */
            add_step(t, t->next, NX_OK, 0, NULL);
        add_step(t, STEP_SESSION, NX_OK, since_step(t), dev->conf->driver->summary);
        loop_timer_start(t->engine->loop, &t->soon, 0, 0, read_tags, t);
        return;
    }
    if (!t->is_failed)
        add_step(t, t->next < STEPS ? t->next : STEP_READ, dev->why.err, since_step(t), dev->why.text);
    finish(t);
}

static void
on_deadline(struct loop_timer *timer, void *arg)
{
    struct test_device *t = arg;

    (void)timer;
    if (t->is_finished)
        return;
    add_step(t, t->next < STEPS ? t->next : STEP_READ, NX_E_TIMEOUT, since_step(t), NULL);
    finish(t);
}

static enum nx_err
read_config(const struct device_options *opt, const json_t *json, struct device **d, struct nx_note *why)
{
    struct arena a = {0};
    json_t *copy = json_copy((json_t *)(uintptr_t)json);

    if (!json_object_get(copy, "id"))
        json_object_set_new(copy, "id", json_string("test"));
    json_object_del(copy, "version");
    enum nx_err err = device_read(opt, conf_from_json(&a, copy, "device"), d, why);
    json_decref(copy);
    arena_free(&a);
    return err;
}

enum nx_err
test_device_start(struct test_device **out, struct engine *e, const struct device_options *opt, const json_t *json,
                  test_device_cb *done, void *arg)
{
    struct nx_note why = {0};
    struct device *d;

    *out = NULL;
    if (tests_running >= TESTS_MAX)
        return NX_E_BUSY;
    tests_running++;
    struct test_device *t = mem_alloc(sizeof *t);
    *out = t;
    t->engine = e;
    t->done = done;
    t->arg = arg;
    t->steps = json_array();
    t->started_ms = t->step_ms = loop_now_ms(e->loop);
    enum nx_err err = read_config(opt, json, &d, &why);
    add_step(t, STEP_CONFIG, err, 0, err == NX_OK ? "the settings are complete and valid" : why.text);
    if (err != NX_OK) {
        finish(t);
        return NX_OK;
    }
    loop_timer_start(e->loop, &t->deadline, TOTAL_MAX_MS, 0, on_deadline, t);
    t->dev = dev_probe(e, &d, on_step, on_change, t);
    return NX_OK;
}
