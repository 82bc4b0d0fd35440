#include "gateway/commands.h"

#include "base/mem.h"
#include "gateway/command_parse.h"
#include "gateway/commands_priv.h"

#include <jansson.h>
#include <stdlib.h>
#include <utlist.h>

/* --- answers --- */

/* The payload of a response; free() it. */
static char *
answer_text(const struct command *cmd, const struct outcome *o)
{
    struct commands *c = cmd->owner;
    json_t *json = json_pack("{s:s, s:s, s:b, s:I, s:I}", "device_id", cmd->device, "tag_id", cmd->tag, "success",
                             o->is_success, "timestamp", (json_int_t)(loop_wall_us(c->loop) / 1000), "duration_ms",
                             (json_int_t)(loop_now_ms(c->loop) - cmd->received_ms));
    char *text;

    json_object_set_new(json, "id", cmd->id ? json_string(cmd->id) : json_null());
    if (o->code)
        json_object_set_new(json, "code", json_string(o->code));
    if (o->error)
        json_object_set_new(json, "error", json_string(o->error));
    if (o->value && o->value->type != NX_TYPE_NONE)
        json_object_set_new(json, "value", value_json(o->value));
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text ? text : mem_strdup("{}");
}

static void
owe(struct command *cmd, const struct outcome *o, bool is_kept)
{
    struct commands *c = cmd->owner;
    char *text;

    if (!c->conf.want_answers)
        return;
    text = answer_text(cmd, o);
    cmd->answer = answers_owe(c->answers, cmd->response_topic, cmd->correlation, text, is_kept);
    free(text);
}

void
command_note(struct command *cmd, const struct outcome *o)
{
    char *text;

    if (!cmd->answer)
        return;
    text = answer_text(cmd, o);
    answer_change(cmd->answer, text);
    free(text);
}

static void
answer(struct command *cmd, const struct outcome *o)
{
    char *text;

    if (!cmd->answer)
        return;
    text = answer_text(cmd, o);
    answer_send(cmd->answer, text);
    cmd->answer = NULL;
    free(text);
}

void
commands_ready(struct commands *c)
{
    answers_ready(c->answers);
}

/* --- order: one lane a tag, one command of a message after the other --- */

static void want_run(struct commands *c);

static void
make_ready(struct command *cmd)
{
    DL_APPEND(cmd->owner->ready, cmd);
    want_run(cmd->owner);
}

static struct lane *
lane_of(struct commands *c, const char *device, const char *tag)
{
    char *key = mem_printf("%s/%s", device, tag);
    struct lane *lane;

    HASH_FIND_STR(c->lanes, key, lane);
    if (lane) {
        free(key);
        return lane;
    }
    lane = mem_alloc(sizeof *lane);
    lane->key = key;
    HASH_ADD_KEYPTR(hh, c->lanes, lane->key, strlen(lane->key), lane);
    return lane;
}

static void
free_lane(struct commands *c, struct lane *lane)
{
    HASH_DEL(c->lanes, lane);
    free(lane->key);
    free(lane);
}

/* Its turn has come as far as its message is concerned. */
static void
enqueue(struct command *cmd)
{
    cmd->turn_ms = loop_now_ms(cmd->owner->loop);
    cmd->lane = lane_of(cmd->owner, cmd->device, cmd->tag);
    if (cmd->lane->holder) {
        DL_APPEND(cmd->lane->waiting, cmd);
        return;
    }
    cmd->lane->holder = cmd;
    make_ready(cmd);
}

static void
leave_lane(struct command *cmd)
{
    struct lane *lane = cmd->lane;
    struct command *next = lane ? lane->waiting : NULL;

    cmd->lane = NULL;
    if (!lane)
        return;
    lane->holder = next;
    if (!next) {
        free_lane(cmd->owner, lane);
        return;
    }
    DL_DELETE(lane->waiting, next);
    make_ready(next);
}

/* --- the end of a command --- */

static void
free_command(void *arg)
{
    struct command *cmd = arg;

    dev_read_fini(&cmd->read);
    arena_free(&cmd->arena);
    free(cmd);
}

static void
end(struct command *cmd)
{
    struct command *follower = cmd->follower;

    leave_lane(cmd);
    loop_defer(cmd->owner->loop, free_command, cmd);
    if (follower)
        enqueue(follower);
}

static void
check_idle(struct commands *c)
{
    void (*idle)(void *) = c->idle;

    if (!c->is_stopping || c->stats.running > 0 || !idle)
        return;
    c->idle = NULL;
    idle(c->idle_arg);
}

void
command_finish(struct command *cmd, const struct outcome *o)
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
    c->stats.running--;
    end(cmd);
    check_idle(c);
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
reject(struct command *cmd, const char *code, const char *error)
{
    const struct outcome o = {.code = code, .error = error};

    count_rejected(cmd->owner, code);
    log_info(&cmd->owner->log, "command refused", KV_STR("device", cmd->device), KV_STR("tag", cmd->tag),
             KV_STR("code", code), KV_STR("reason", error));
    if (!cmd->answer)
        owe(cmd, &o, false);
    answer(cmd, &o);
    end(cmd);
}

/* --- the turn of a command --- */

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
    if (command_time_left(cmd) == 0) {
        reject(cmd, "expired", "the time to live was over before the write could start; nothing was written");
        return;
    }
    if (c->stats.running >= c->conf.max_concurrent) {
        reject(cmd, "rate_limited", "rate limit exceeded, too many concurrent writes");
        return;
    }
    text = command_refusal(cmd, &code, &why);
    if (text) {
        reject(cmd, code, text);
        return;
    }
    c->stats.running++;
    command_run(cmd);
}

static void
run_ready(void *arg)
{
    struct commands *c = arg;

    c->is_deferred = false;
    if (c->is_dead) {
        free(c);
        return;
    }
    while (c->ready) {
        struct command *cmd = c->ready;
        DL_DELETE(c->ready, cmd);
        c->stats.waiting--;
        start(cmd);
    }
}

static void
want_run(struct commands *c)
{
    if (c->is_deferred || !c->ready)
        return;
    c->is_deferred = true;
    loop_defer(c->loop, run_ready, c);
}

/* --- arrival --- */

/* A response must never be a command to us or to another gateway: that could go round for ever. */
static bool
may_answer_to(const struct commands *c, struct slice topic)
{
    if (topic.len == 0 || !mqtt_topic_is_valid(topic))
        return false;
    if (!slice_starts_with(topic, slice_str(c->conf.prefix)))
        return true;
    topic = slice_skip(topic, strlen(c->conf.prefix));
    return slice_starts_with(topic, slice_str("/cmd/response/"));
}

static const char *
response_topic(struct commands *c, struct arena *a, const char *device, const char *tag, struct slice wanted)
{
    if (may_answer_to(c, wanted))
        return arena_strndup(a, wanted.p, wanted.len);
    return tag ? arena_printf(a, "%s/cmd/response/%s/%s", c->conf.prefix, device, tag)
               : arena_printf(a, "%s/cmd/response/%s", c->conf.prefix, device);
}

static uint64_t
end_of_life(struct commands *c, const struct command_text *text)
{
    int64_t now_ms = loop_wall_us(c->loop) / 1000;
    int64_t sent_ms = text->timestamp_ms > 0 ? text->timestamp_ms : now_ms;
    int64_t left;

    if (text->ttl_ms <= 0)
        return 0;
    if (sent_ms > now_ms) /* a clock ahead of ours buys no time */
        sent_ms = now_ms;
    left = text->ttl_ms - (now_ms - sent_ms);
    return loop_now_ms(c->loop) + (left > 0 ? (uint64_t)left : 0);
}

static struct command *
new_command(struct commands *c, const struct command_text *text, const char *tag, const struct mqtt_message *msg)
{
    struct command *cmd = mem_alloc(sizeof *cmd);
    struct arena *a = &cmd->arena;

    cmd->owner = c;
    cmd->received_ms = cmd->turn_ms = loop_now_ms(c->loop);
    cmd->expires_ms = end_of_life(c, text);
    cmd->device = arena_strdup(a, text->device);
    cmd->tag = arena_strdup(a, tag ? tag : "");
    cmd->id = text->id ? arena_strdup(a, text->id) : NULL;
    cmd->priority = text->priority;
    cmd->response_topic = response_topic(c, a, text->device, tag, msg->response_topic);
    if (msg->correlation.len > 0)
        cmd->correlation = slice(arena_strndup(a, msg->correlation.p, msg->correlation.len), msg->correlation.len);
    c->stats.received++;
    return cmd;
}

static struct nx_value
copy_value(struct arena *a, const struct nx_value *v)
{
    return v->type == NX_TYPE_STRING ? nx_value_string(arena_strndup(a, v->s, v->len), v->len) : *v;
}

/* The same id for the same tag is the same command. Without an id only what the broker marks as sent again can be one.
 */
static bool
is_new(struct commands *c, struct command *cmd, const struct mqtt_message *msg)
{
    const char *what = cmd->id ? cmd->id : arena_strndup(&cmd->arena, msg->payload.p, msg->payload.len);
    bool is_first =
        seen_take(c->seen, seen_hash((const char *const[]){cmd->device, cmd->tag, cmd->id ? "i" : "p", what}, 4));

    return is_first || (!cmd->id && !msg->dup);
}

/* NULL: it has ended already. */
static struct command *
accept_item(struct commands *c, const struct command_text *text, const struct command_item *item,
            const struct mqtt_message *msg)
{
    static const struct outcome not_begun = {.code = "not_executed",
                                             .error =
                                                 "the gateway ended before the write could start; nothing was written"};
    struct command *cmd = new_command(c, text, item->tag, msg);

    cmd->value = copy_value(&cmd->arena, &item->value);
    cmd->has_expected = item->has_expected;
    cmd->expected = copy_value(&cmd->arena, &item->expected);
    if (!is_new(c, cmd, msg)) {
        c->stats.duplicates++;
        free_command(cmd);
        return NULL;
    }
    if (c->is_stopping) {
        reject(cmd, "not_connected", "the gateway is shutting down");
        return NULL;
    }
    if (c->stats.waiting >= c->conf.queue_size) {
        reject(cmd, "queue_full", "too many commands are waiting; send them more slowly");
        return NULL;
    }
    owe(cmd, &not_begun, true);
    c->stats.waiting++;
    return cmd;
}

static void
accept_items(struct commands *c, const struct command_text *text, const struct mqtt_message *msg)
{
    struct command *first = NULL, **link = &first;

    for (unsigned i = 0; i < text->count; i++) {
        *link = accept_item(c, text, &text->items[i], msg);
        if (*link)
            link = &(*link)->follower;
    }
    if (first)
        enqueue(first);
}

bool
commands_message(struct commands *c, const struct mqtt_message *msg)
{
    struct arena a = {0};
    struct command_text text = {0};
    struct nx_note why = {0};
    struct nx_dev *dev;
    const char *tag;
    bool is_command = command_parse_topic(&a, c->conf.prefix, msg->topic, &text.device, &tag);

    if (is_command && !msg->retain && c->ops.find(c->arg, text.device, &dev)) {
        if (command_parse_payload(&a, tag, msg->payload, &text, &why) == NX_OK)
            accept_items(c, &text, msg);
        else
            reject(new_command(c, &text, tag, msg), "bad_value", why.text);
    }
    arena_free(&a);
    return is_command;
}

/* --- life --- */

struct commands *
commands_new(struct loop *loop, const struct commands_conf *conf, const struct commands_ops *ops, void *arg,
             const struct outlet *out, struct metrics *metrics)
{
    struct commands *c = mem_alloc(sizeof *c);
    char *seen = conf->state_path ? mem_printf("%s.seen", conf->state_path) : NULL;
    char *answers = conf->state_path ? mem_printf("%s.answers", conf->state_path) : NULL;

    c->loop = loop;
    c->conf = *conf;
    c->ops = *ops;
    c->arg = arg;
    c->metrics = metrics;
    c->log = (struct log_ctx){.module = "commands"};
    c->seen = seen_open(seen);
    c->answers = answers_open(answers, 2 * (conf->queue_size + conf->max_concurrent), out);
    free(seen);
    free(answers);
    return c;
}

void
commands_stop(struct commands *c, void (*idle)(void *arg), void *arg)
{
    struct lane *lane, *next;

    c->is_stopping = true;
    c->idle = idle;
    c->idle_arg = arg;
    HASH_ITER (hh, c->lanes, lane, next) {
        struct command *cmd;
        DL_FOREACH (lane->waiting, cmd)
            cmd->lane = NULL;
        DL_CONCAT(c->ready, lane->waiting);
        lane->waiting = NULL;
    }
    want_run(c);
    check_idle(c);
}

static void
free_all(struct command *list)
{
    while (list) {
        struct command *cmd = list, *follower = cmd->follower;
        DL_DELETE(list, cmd);
        free_command(cmd);
        for (; follower; follower = cmd) {
            cmd = follower->follower;
            free_command(follower);
        }
    }
}

void
commands_free(struct commands **cp)
{
    struct commands *c = *cp;
    struct lane *lane, *next;

    if (!c)
        return;
    HASH_ITER (hh, c->lanes, lane, next) {
        free_all(lane->waiting);
        free_lane(c, lane);
    }
    free_all(c->ready);
    c->ready = NULL;
    answers_close(&c->answers);
    seen_close(&c->seen);
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
