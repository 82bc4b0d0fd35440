#include "gateway/commands.h"

#include "base/mem.h"
#include "gateway/command_parse.h"
#include "gateway/normalize.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <utlist.h>

#define SEEN_MAX 4096u

struct command {
    struct commands *owner;
    struct command *prev, *next;
    struct arena arena; /* the texts below */
    const char *device, *tag, *id, *response_topic;
    struct slice correlation;
    struct nx_value value, expected;
    bool has_expected, is_written;
    uint64_t received_ms, expires_ms; /* expires_ms 0: never */
    struct nx_dev *dev;
    struct slot *slot;
    struct dev_read read;
    struct nx_read_item item;
    struct dev_write write;
    struct nx_value got; /* normalized; texts in arena */
    uint16_t got_quality;
    struct nx_note got_why;
};

/* A response that the broker did not take yet. */
struct answer {
    struct answer *prev, *next;
    char *topic, *payload, *correlation;
    size_t correlation_len;
};

struct commands {
    struct loop *loop;
    struct commands_conf conf;
    struct commands_ops ops;
    void *arg;
    struct outlet out;
    struct command *waiting, *running;
    struct answer *answers;
    unsigned answer_count;
    uint64_t seen[SEEN_MAX]; /* hashes of ids; a ring */
    unsigned seen_count;
    bool is_deferred, is_stopping, is_dead; /* dead: freed by the run that is still to come */
    void (*idle)(void *arg);
    void *idle_arg;
    struct commands_stats stats;
    struct log_ctx log;
    struct metrics *metrics;
};

/* --- answers --- */

static void
on_answered(void *arg, enum nx_err err)
{
    (void)arg;
    (void)err;
}

static bool
send_answer(struct commands *c, const char *topic, const char *payload, struct slice correlation)
{
    struct mqtt_publication pub = {.topic = slice_str(topic),
                                   .payload = slice_str(payload),
                                   .qos = 1,
                                   .correlation = correlation};
    enum nx_err err = outlet_publish(&c->out, &pub, on_answered, NULL);

    if (err == NX_E_FULL || err == NX_E_OFFLINE)
        return false;
    if (err != NX_OK)
        log_warn(&c->log, "a response cannot be published", KV_ERR(err), KV_STR("topic", topic));
    return true;
}

static void
keep_answer(struct commands *c, const char *topic, const char *payload, struct slice correlation)
{
    struct answer *a;

    if (c->answer_count >= c->conf.queue_size + c->conf.max_concurrent) {
        log_warn(&c->log, "the broker is away: a response is lost", KV_STR("topic", topic));
        return;
    }
    a = mem_alloc(sizeof *a);
    a->topic = mem_strdup(topic);
    a->payload = mem_strdup(payload);
    a->correlation = mem_strndup(correlation.len ? (const void *)correlation.p : "", correlation.len);
    a->correlation_len = correlation.len;
    DL_APPEND(c->answers, a);
    c->answer_count++;
}

static void
free_answer(struct commands *c, struct answer *a)
{
    DL_DELETE(c->answers, a);
    c->answer_count--;
    free(a->topic);
    free(a->payload);
    free(a->correlation);
    free(a);
}

void
commands_ready(struct commands *c)
{
    while (c->answers) {
        struct answer *a = c->answers;
        if (!send_answer(c, a->topic, a->payload, slice(a->correlation, a->correlation_len)))
            return;
        free_answer(c, a);
    }
}

static json_t *
json_of_value(const struct nx_value *v)
{
    switch (v->type) {
    case NX_TYPE_BOOL:
        return json_boolean(v->b);
    case NX_TYPE_INT:
        return json_integer(v->i);
    case NX_TYPE_UINT:
        return v->u <= INT64_MAX ? json_integer((json_int_t)v->u) : json_real((double)v->u);
    case NX_TYPE_DOUBLE:
        return json_real(v->d);
    case NX_TYPE_STRING:
        return json_stringn(v->s, v->len);
    case NX_TYPE_NONE:
        break;
    }
    return json_null();
}

struct outcome {
    bool is_success;
    const char *code, *error; /* NULL: none */
    const struct nx_value *value;
};

static void
answer(struct command *cmd, const struct outcome *o)
{
    struct commands *c = cmd->owner;
    json_t *json = json_pack("{s:s, s:s, s:b, s:I, s:I}", "device_id", cmd->device, "tag_id", cmd->tag ? cmd->tag : "",
                             "success", o->is_success, "timestamp", (json_int_t)(loop_wall_us(c->loop) / 1000),
                             "duration_ms", (json_int_t)(loop_now_ms(c->loop) - cmd->received_ms));
    char *text;

    json_object_set_new(json, "id", cmd->id ? json_string(cmd->id) : json_null());
    if (o->code)
        json_object_set_new(json, "code", json_string(o->code));
    if (o->error)
        json_object_set_new(json, "error", json_string(o->error));
    if (o->value && o->value->type != NX_TYPE_NONE)
        json_object_set_new(json, "value", json_of_value(o->value));
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text && c->conf.want_answers && !send_answer(c, cmd->response_topic, text, cmd->correlation))
        keep_answer(c, cmd->response_topic, text, cmd->correlation);
    free(text);
}

static void
count_rejected(struct commands *c, const char *reason)
{
    static const struct metric_desc rejected = {.name = "protocol_gateway_commands_rejected_total",
                                                .kind = METRIC_COUNTER,
                                                .help = "Commands that were refused before anything was written.",
                                                .labels = {"reason"}};

    c->stats.rejected++;
    metric_inc(metrics_get(c->metrics, &rejected, &reason));
}

static void
free_command(void *arg)
{
    struct command *cmd = arg;

    dev_read_fini(&cmd->read);
    arena_free(&cmd->arena);
    free(cmd);
}

static void want_run(struct commands *c);

static void
check_idle(struct commands *c)
{
    void (*idle)(void *) = c->idle;

    if (!c->is_stopping || c->running || !idle)
        return;
    c->idle = NULL;
    idle(c->idle_arg);
}

/* The only way out of `running`. */
static void
finish(struct command *cmd, const struct outcome *o)
{
    struct commands *c = cmd->owner;

    answer(cmd, o);
    if (o->is_success)
        c->stats.done++;
    else
        c->stats.failed++;
    log_info(&c->log, o->is_success ? "write done" : "write failed", KV_STR("device", cmd->device),
             KV_STR("tag", cmd->tag), KV_STR("code", o->code ? o->code : "ok"),
             KV_STR("reason", o->error ? o->error : ""));
    DL_DELETE(c->running, cmd);
    c->stats.running--;
    loop_defer(c->loop, free_command, cmd);
    want_run(c);
    check_idle(c);
}

static void
reject(struct command *cmd, const char *code, const char *error)
{
    count_rejected(cmd->owner, code);
    log_info(&cmd->owner->log, "command refused", KV_STR("device", cmd->device),
             KV_STR("tag", cmd->tag ? cmd->tag : ""), KV_STR("code", code), KV_STR("reason", error));
    answer(cmd, &(struct outcome){.code = code, .error = error});
    loop_defer(cmd->owner->loop, free_command, cmd);
}

/* --- execution --- */

static void do_write(struct command *cmd);

static void
fail(struct command *cmd, const char *code, const char *text)
{
    finish(cmd, &(struct outcome){.code = code, .error = text});
}

/* The device has said no for certain, or nobody knows. */
static bool
is_outcome_known(enum nx_err err)
{
    return nx_err_class(err) != NX_CLASS_RETRY && err != NX_E_CANCELED && err != NX_E_PROTO;
}

static const char *
code_of(enum nx_err err)
{
    static const struct {
        enum nx_err err;
        const char *code;
    } codes[] = {{NX_E_TIMEOUT, "timeout"},      {NX_E_RANGE, "out_of_range"},    {NX_E_VALUE, "bad_value"},
                 {NX_E_DENIED, "denied"},        {NX_E_ADDRESS, "bad_address"},   {NX_E_OFFLINE, "not_connected"},
                 {NX_E_CLOSED, "not_connected"}, {NX_E_DEVICE, "device_failure"}, {NX_E_BUSY, "device_busy"}};

    for (size_t i = 0; i < MEM_COUNT(codes); i++)
        if (codes[i].err == err)
            return codes[i].code;
    return "failed";
}

static uint64_t
time_left(const struct command *cmd)
{
    struct commands *c = cmd->owner;
    uint64_t now = loop_now_ms(c->loop), end = cmd->received_ms + c->conf.write_timeout_ms;

    if (cmd->expires_ms != 0 && cmd->expires_ms < end)
        end = cmd->expires_ms;
    return end > now ? end - now : 0;
}

static void
on_got(void *arg, uint32_t i, const struct sample *s)
{
    struct command *cmd = arg;

    (void)i;
    cmd->got = s->value;
    cmd->got_quality = s->quality;
    normalize(cmd->slot->tag, &cmd->got, &cmd->got_quality);
    if (cmd->got.type == NX_TYPE_STRING)
        cmd->got.s = arena_strndup(&cmd->arena, cmd->got.s, cmd->got.len);
    (void)nx_fail(&cmd->got_why, NX_E_DEVICE, "%s", s->reason ? s->reason : "");
    if (cmd->slot->tag->access_mode != ACCESS_WRITE)
        (void)cmd->owner->ops.on_sample(cmd->owner->arg, cmd->slot, s);
}

static void
start_read(struct command *cmd, void (*on_done)(void *, enum nx_err, const struct nx_note *), uint64_t timeout_ms)
{
    cmd->item = (struct nx_read_item){.addr = cmd->slot->tag->addr, .tag = cmd->slot->key};
    cmd->read.rd.items = &cmd->item;
    cmd->read.rd.item_count = 1;
    cmd->read.on_item = on_got;
    cmd->read.op.on_done = on_done;
    cmd->read.op.arg = cmd;
    cmd->got = nx_value_none();
    cmd->got_quality = NX_Q_BAD;
    dev_read_start(cmd->dev, &cmd->read, timeout_ms);
}

static bool
is_same(const struct tag *tag, const struct nx_value *a, const struct nx_value *b)
{
    double x, y;

    if (a->type == NX_TYPE_BOOL || b->type == NX_TYPE_BOOL) {
        x = a->type == NX_TYPE_BOOL ? a->b : NAN;
        y = b->type == NX_TYPE_BOOL ? b->b : NAN;
        if ((a->type == NX_TYPE_BOOL || value_as_double(a, &x)) && (b->type == NX_TYPE_BOOL || value_as_double(b, &y)))
            return x == y;
        return false;
    }
    if (value_as_double(a, &x) && value_as_double(b, &y)) {
        double step = tag->is_scaled ? normalize_step(tag) / 2 : 0;
        return fabs(x - y) <= step + fabs(y) * (tag->data_type == NX_DT_FLOAT32 ? 1e-6 : 1e-12);
    }
    return value_eq(a, b);
}

static void
on_read_back(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct command *cmd = arg;
    struct outcome o = {.is_success = true, .value = &cmd->got};
    struct nx_note note;

    if (err != NX_OK || nx_quality_is_bad(cmd->got_quality)) {
        const char *reason = err == NX_OK ? cmd->got_why.text : why && why->text[0] ? why->text : nx_err_text(err);
        (void)nx_fail(&note, NX_E_DEVICE, "written, but it could not be read back: %s", reason);
        o.code = "readback_failed";
        o.error = note.text;
        o.value = NULL;
    } else if (!is_same(cmd->slot->tag, &cmd->value, &cmd->got)) {
        o.code = "readback_differs";
        o.error = "written, but the device now holds another value (see value): it may limit or ramp it";
    }
    finish(cmd, &o);
}

static void
on_written(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct command *cmd = arg;
    struct nx_note note;

    if (err != NX_OK && is_outcome_known(err)) {
        fail(cmd, code_of(err), why && why->text[0] ? why->text : nx_err_text(err));
    } else if (err != NX_OK) {
        (void)nx_fail(&note, err,
                      "outcome unknown (%s): the write may or may not have taken effect; look at the value "
                      "before you send it again",
                      why && why->text[0] ? why->text : nx_err_text(err));
        fail(cmd, "outcome_unknown", note.text);
    } else if (cmd->slot->tag->access_mode == ACCESS_WRITE || !dev_is_ready(cmd->dev) || cmd->dev->is_retired) {
        finish(cmd, &(struct outcome){.is_success = true, .value = &cmd->value});
    } else {
        uint64_t left = time_left(cmd);
        start_read(cmd, on_read_back, left > 0 ? left : 1);
    }
}

static void
do_write(struct command *cmd)
{
    struct nx_note why = {0};
    uint64_t left = time_left(cmd);

    if (left == 0) {
        fail(cmd, "expired", "the time to live was over before the write could start; nothing was written");
        return;
    }
    if (!dev_is_ready(cmd->dev) || cmd->dev->is_retired) {
        fail(cmd, "not_connected", "the device is not connected; nothing was written");
        return;
    }
    enum nx_err err = normalize_reverse(cmd->slot->tag, &cmd->value, &cmd->write.wr.value, &why);
    if (err != NX_OK) {
        fail(cmd, code_of(err), why.text);
        return;
    }
    cmd->write.wr.addr = cmd->slot->tag->addr;
    cmd->write.op.on_done = on_written;
    cmd->write.op.arg = cmd;
    dev_write_start(cmd->dev, &cmd->write, left);
}

static void
on_checked(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct command *cmd = arg;

    if (err != NX_OK || nx_quality_is_bad(cmd->got_quality)) {
        struct nx_note note;
        (void)nx_fail(&note, NX_E_DEVICE, "nothing was written: the present value could not be read to compare it (%s)",
                      err == NX_OK          ? cmd->got_why.text
                      : why && why->text[0] ? why->text
                                            : nx_err_text(err));
        fail(cmd, err == NX_OK ? "device_failure" : code_of(err), note.text);
    } else if (!is_same(cmd->slot->tag, &cmd->expected, &cmd->got)) {
        finish(cmd,
               &(struct outcome){.code = "conflict",
                                 .error = "nothing was written: the present value (see value) is not the expected one",
                                 .value = &cmd->got});
    } else {
        do_write(cmd);
    }
}

/* NULL: it may run. */
static const char *
refusal(struct command *cmd, const char **code, struct nx_note *why)
{
    struct nx_value raw;
    enum nx_err err;

    *code = "not_found";
    if (!cmd->slot)
        return "the device has no such tag; look at its tag list";
    *code = "denied";
    if (cmd->slot->tag->access_mode == ACCESS_READ)
        return "the tag is read-only; set its access_mode to readwrite to allow writes";
    if (!cmd->slot->tag->is_enabled)
        return "the tag is disabled";
    *code = "unsupported";
    if (!cmd->dev->conf->driver->write)
        return "this protocol cannot write";
    err = normalize_reverse(cmd->slot->tag, &cmd->value, &raw, why);
    *code = code_of(err);
    if (err != NX_OK)
        return why->text;
    *code = "not_connected";
    if (!dev_is_ready(cmd->dev))
        return "the device is not connected; nothing was written";
    return NULL;
}

static void
start(struct command *cmd)
{
    struct commands *c = cmd->owner;
    struct nx_note why = {0};
    const char *code, *text;
    bool is_ours = c->ops.find(c->arg, cmd->device, &cmd->dev);

    if (c->is_stopping || !is_ours || !cmd->dev) {
        reject(cmd, "not_connected", c->is_stopping ? "the gateway is shutting down" : "the device is not running");
        return;
    }
    if (time_left(cmd) == 0) {
        reject(cmd, "expired", "the time to live was over before the write could start; nothing was written");
        return;
    }
    if (c->stats.running >= c->conf.max_concurrent) {
        reject(cmd, "rate_limited", "rate limit exceeded, too many concurrent writes");
        return;
    }
    cmd->slot = dev_slot(cmd->dev, cmd->tag);
    text = refusal(cmd, &code, &why);
    if (text) {
        reject(cmd, code, text);
        return;
    }
    DL_APPEND(c->running, cmd);
    c->stats.running++;
    if (cmd->has_expected)
        start_read(cmd, on_checked, time_left(cmd));
    else
        do_write(cmd);
}

/* Writes of one tag go one after the other, in their order. */
static bool
is_tag_busy(const struct commands *c, const struct command *cmd)
{
    const struct command *other;

    DL_FOREACH (c->running, other)
        if (strcmp(other->tag, cmd->tag) == 0 && strcmp(other->device, cmd->device) == 0)
            return true;
    return false;
}

static void
run_waiting(void *arg)
{
    struct commands *c = arg;
    struct command *cmd, *tmp;

    c->is_deferred = false;
    if (c->is_dead) {
        free(c);
        return;
    }
    DL_FOREACH_SAFE (c->waiting, cmd, tmp) {
        if (!c->is_stopping && is_tag_busy(c, cmd))
            continue;
        DL_DELETE(c->waiting, cmd);
        c->stats.waiting--;
        start(cmd);
    }
}

static void
want_run(struct commands *c)
{
    if (c->is_deferred || !c->waiting)
        return;
    c->is_deferred = true;
    loop_defer(c->loop, run_waiting, c);
}

/* --- arrival --- */

static uint64_t
hash_parts(const char *const *parts, size_t n)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < n; i++)
        for (const char *p = parts[i];; p++) {
            h = (h ^ (uint8_t)*p) * 1099511628211u;
            if (!*p)
                break;
        }
    return h ? h : 1;
}

static bool
was_seen(struct commands *c, const struct command *cmd)
{
    uint64_t h;

    if (!cmd->id)
        return false;
    h = hash_parts((const char *const[]){cmd->device, cmd->tag, cmd->id}, 3);
    for (unsigned i = 0; i < SEEN_MAX; i++)
        if (c->seen[i] == h)
            return true;
    c->seen[c->seen_count++ % SEEN_MAX] = h;
    return false;
}

static struct nx_value
copy_value(struct arena *a, const struct nx_value *v)
{
    return v->type == NX_TYPE_STRING ? nx_value_string(arena_strndup(a, v->s, v->len), v->len) : *v;
}

static struct command *
new_command(struct commands *c, const char *device, const char *tag, const struct command_text *text,
            const struct mqtt_message *msg)
{
    struct command *cmd = mem_alloc(sizeof *cmd);
    struct arena *a = &cmd->arena;

    cmd->owner = c;
    cmd->received_ms = loop_now_ms(c->loop);
    cmd->device = arena_strdup(a, device);
    cmd->tag = arena_strdup(a, tag ? tag : "");
    cmd->id = text->id ? arena_strdup(a, text->id) : NULL;
    if (msg->response_topic.len > 0)
        cmd->response_topic = arena_strndup(a, msg->response_topic.p, msg->response_topic.len);
    else
        cmd->response_topic = tag ? arena_printf(a, "%s/cmd/response/%s/%s", c->conf.prefix, device, tag)
                                  : arena_printf(a, "%s/cmd/response/%s", c->conf.prefix, device);
    if (msg->correlation.len > 0)
        cmd->correlation = slice(arena_strndup(a, msg->correlation.p, msg->correlation.len), msg->correlation.len);
    if (text->ttl_ms > 0) {
        int64_t sent_ms = text->timestamp_ms > 0 ? text->timestamp_ms : loop_wall_us(c->loop) / 1000;
        int64_t left = sent_ms + text->ttl_ms - loop_wall_us(c->loop) / 1000;
        left = left > text->ttl_ms ? text->ttl_ms : left; /* a clock ahead of ours buys no time */
        cmd->expires_ms = left > 0 ? cmd->received_ms + (uint64_t)left : cmd->received_ms;
    }
    return cmd;
}

static void
accept_item(struct commands *c, const struct command_text *text, const struct command_item *item,
            const struct mqtt_message *msg)
{
    struct command *cmd = new_command(c, text->device, item->tag, text, msg);

    c->stats.received++;
    cmd->value = copy_value(&cmd->arena, &item->value);
    cmd->has_expected = item->has_expected;
    cmd->expected = copy_value(&cmd->arena, &item->expected);
    if (was_seen(c, cmd)) {
        c->stats.duplicates++;
        free_command(cmd);
        return;
    }
    if (c->is_stopping) {
        reject(cmd, "not_connected", "the gateway is shutting down");
        return;
    }
    if (c->stats.waiting >= c->conf.queue_size) {
        reject(cmd, "queue_full", "too many commands are waiting; send them more slowly");
        return;
    }
    DL_APPEND(c->waiting, cmd);
    c->stats.waiting++;
    want_run(c);
}

static void
accept(struct commands *c, struct arena *a, const char *device, const char *tag, const struct mqtt_message *msg)
{
    struct command_text text = {.device = device};
    struct nx_note why = {0};
    enum nx_err err = command_parse_payload(a, tag, msg->payload, &text, &why);

    if (err != NX_OK) {
        c->stats.received++;
        reject(new_command(c, device, tag, &text, msg), "bad_value", why.text);
        return;
    }
    for (unsigned i = 0; i < text.count; i++)
        accept_item(c, &text, &text.items[i], msg);
}

bool
commands_message(struct commands *c, const struct mqtt_message *msg)
{
    struct arena a = {0};
    const char *device, *tag;
    struct nx_dev *dev;
    bool is_command = command_parse_topic(&a, c->conf.prefix, msg->topic, &device, &tag);

    if (is_command && !msg->retain && c->ops.find(c->arg, device, &dev))
        accept(c, &a, device, tag, msg);
    arena_free(&a);
    return is_command;
}

/* --- life --- */

struct commands *
commands_new(struct loop *loop, const struct commands_conf *conf, const struct commands_ops *ops, void *arg,
             const struct outlet *out, struct metrics *metrics)
{
    struct commands *c = mem_alloc(sizeof *c);

    c->loop = loop;
    c->conf = *conf;
    c->ops = *ops;
    c->arg = arg;
    c->out = *out;
    c->metrics = metrics;
    c->log = (struct log_ctx){.module = "commands"};
    return c;
}

void
commands_stop(struct commands *c, void (*idle)(void *arg), void *arg)
{
    c->is_stopping = true;
    c->idle = idle;
    c->idle_arg = arg;
    want_run(c);
    check_idle(c);
}

void
commands_free(struct commands **cp)
{
    struct commands *c = *cp;

    if (!c)
        return;
    while (c->waiting) {
        struct command *cmd = c->waiting;
        DL_DELETE(c->waiting, cmd);
        free_command(cmd);
    }
    while (c->answers)
        free_answer(c, c->answers);
    c->is_dead = true;
    if (!c->is_deferred)
        free(c);
    *cp = NULL;
}

struct commands_stats
commands_stats_of(const struct commands *c)
{
    return c->stats;
}
