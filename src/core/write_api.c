/* write_api.c -- writing a value: a command to the gateway, its answer back to the caller.
 *
 * loop: body -> worker: may the tag be written? -> loop: publish, wait for the response or the end of the time. Each
 * write ends in exactly one answer. At most WRITES_MAX wait at the same time. */
#include "base/mem.h"
#include "base/timefmt.h"
#include "core/api.h"
#include "core/doc.h"
#include "core/handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#define WRITES_MAX 256

enum write_state { WRITE_CHECKING, WRITE_SENT, WRITE_ENDED };

struct write_op {
    struct core *core;
    struct http_req *req; /* NULL: the caller has gone */
    char id[AUTH_TOKEN_CAP];
    char *device_id, *tag_id, *username, *reason;
    json_t *value, *expected; /* expected may be NULL */
    int64_t ttl_ms;
    uint64_t start_ms;
    enum write_state state;
    struct loop_timer timer;
    struct arena a; /* of the check */
    enum nx_err err;
    const char *code; /* of the check, when it failed */
    struct nx_note why;
    UT_hash_handle hh;
};

static void
write_free(struct write_op *op)
{
    loop_timer_stop(&op->timer);
    HASH_DEL(op->core->writes, op);
    free(op->device_id);
    free(op->tag_id);
    free(op->username);
    free(op->reason);
    json_decref(op->value);
    json_decref(op->expected);
    arena_free(&op->a);
    free(op);
}

static void
free_later(void *arg)
{
    write_free(arg);
}

/* --- the end ---------------------------------------------------------------------------------------------------------
 */

struct outcome {
    int status;
    const char *code, *title, *layer, *fix;
};

/* Words that gateways give as code (src/gateway/commands.c), and what they mean to a caller. */
static const struct {
    const char *word;
    struct outcome outcome;
} outcomes[] = {
    {"timeout",
     {502, "device_timeout", "The device did not answer", "device",
      "Check that the device is on and reachable; read the value before writing again."}},
    {"outcome_unknown",
     {502, "outcome_unknown", "Nobody knows whether the device took the value", "device",
      "Read the value before writing again."}},
    {"not_connected", {502, "device_offline", "The device is not connected", "device", "See the state of the device."}},
    {"device_busy", {502, "device_busy", "The device is busy", "device", "Try again in a moment."}},
    {"device_failure",
     {502, "device_refused", "The device reports a failure", "device", "See the manual of the device."}},
    {"bad_address",
     {502, "address_unknown", "The device does not know the address", "device", "Check the tag's address."}},
    {"readback_failed",
     {502, "readback_failed", "The value was written, but reading it back failed", "device",
      "Look at the live value before writing again."}},
    {"readback_differs",
     {502, "readback_differs", "The device took the write and shows another value", "device",
      "The device may limit or overwrite the value: see its manual."}},
    {"unsupported",
     {409, "write_unsupported", "The device cannot be written like this", "protocol",
      "Check the register type of the tag."}},
    {"denied", {409, "write_denied", "The tag cannot be written", "policy", "Set access_mode to readwrite."}},
    {"conflict",
     {409, "value_changed", "The tag has another value by now", "policy", "Look at the value and decide again."}},
    {"bad_value", {422, "value_invalid", "The value does not fit the tag", "policy", "Check type and spelling."}},
    {"out_of_range",
     {422, "value_out_of_range", "The value is out of range", "policy",
      "Check the data type, clamp_min and clamp_max."}},
    {"expired", {504, "write_expired", "The command was too late", "gateway", "Check the clocks; try again."}},
    {"rate_limited", {503, "gateway_busy", "Too many writes at a time", "gateway", "Try again in a moment."}},
    {"queue_full", {503, "gateway_busy", "Too many writes wait", "gateway", "Try again in a moment."}},
    {"not_found",
     {503, "gateway_unaware", "The gateway does not know the tag yet", "gateway", "Try again in a moment."}},
};

static void
end_with(struct write_op *op, const struct outcome *o, const char *detail)
{
    uint32_t elapsed_ms = (uint32_t)(loop_now_ms(op->core->loop) - op->start_ms);

    log_warn(&core_log, "write failed", KV_STR("device", op->device_id), KV_STR("tag", op->tag_id),
             KV_STR("user", op->username), KV_STR("code", o->code), KV_STR("reason", detail));
    if (op->req)
        http_respond_problem(op->req, &(struct http_problem){.status = o->status,
                                                             .code = o->code,
                                                             .title = o->title,
                                                             .detail = detail,
                                                             .cause_layer = o->layer,
                                                             .cause_step = "write",
                                                             .cause_elapsed_ms = elapsed_ms,
                                                             .fixes = {o->fix}});
    op->req = NULL;
    op->state = WRITE_ENDED;
    loop_timer_stop(&op->timer);
    loop_defer(op->core->loop, free_later, op);
}

static void
end_failed(struct write_op *op, const json_t *response)
{
    static const struct outcome other = {502, "write_failed", "The value was not written", "gateway",
                                         "See the log of the gateway."};
    const char *word = json_string_value(json_object_get(response, "code"));
    const char *detail = json_string_value(json_object_get(response, "error"));
    const struct outcome *o = &other;

    for (unsigned i = 0; word && i < MEM_COUNT(outcomes); i++) {
        if (strcmp(word, outcomes[i].word) == 0)
            o = &outcomes[i].outcome;
    }
    end_with(op, o, detail ? detail : o->title);
}

static void
end_written(struct write_op *op, const json_t *response)
{
    json_t *read_back = json_object_get(response, "value");
    json_t *duration = json_object_get(response, "duration_ms");
    double elapsed_ms = (double)(loop_now_ms(op->core->loop) - op->start_ms);

    log_info(&core_log, "value written", KV_STR("device", op->device_id), KV_STR("tag", op->tag_id),
             KV_STR("user", op->username), KV_STR("reason", op->reason));
    if (op->req)
        http_respond_json(op->req, 200,
                          json_pack("{s:s, s:b, s:s, s:s, s:O, s:o, s:o}", "id", op->id, "success", 1, "device_id",
                                    op->device_id, "tag_id", op->tag_id, "value", read_back ? read_back : op->value,
                                    "timestamp", api_time(loop_wall_us(op->core->loop)), "duration_ms",
                                    json_is_number(duration) ? json_incref(duration) : json_real(elapsed_ms)));
    op->req = NULL;
    op->state = WRITE_ENDED;
    loop_timer_stop(&op->timer);
    loop_defer(op->core->loop, free_later, op);
}

void
write_response(struct core *core, struct slice payload)
{
    json_t *response =
        payload.len <= 65536 ? json_loadb((const char *)payload.p, payload.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *id = json_string_value(json_object_get(response, "id"));
    struct write_op *op = NULL;

    if (id)
        HASH_FIND_STR(core->writes, id, op);
    if (op && op->state == WRITE_SENT) { /* else: of another caller, or late */
        if (json_is_true(json_object_get(response, "success")))
            end_written(op, response);
        else
            end_failed(op, response);
    }
    json_decref(response);
}

void
write_cancel_all(struct core *core)
{
    struct write_op *op, *next;

    HASH_ITER (hh, core->writes, op, next) {
        if (op->state == WRITE_SENT) /* the others end by themselves: check_done(), free_later() */
            write_free(op);
    }
}

/* --- the command
 * -------------------------------------------------------------------------------------------------------- */

static void
on_late(struct loop_timer *t, void *arg)
{
    static const struct outcome late = {504, "write_timeout", "No answer in time", "gateway",
                                        "Read the value: it is not known whether the device took it."};
    struct write_op *op = arg;
    unsigned online = 0, all = 0;

    (void)t;
    status_count_gateways(op->core->status, &online, &all);
    end_with(op, &late,
             online == 0 ? "no gateway is online that could execute the command; it is not known whether the device"
                           " takes the value later"
                         : "the gateway has not answered in time; it is not known whether the device took the value");
}

static char *
command_text(const struct write_op *op)
{
    /* With the time, so that a broker that keeps it for an absent gateway cannot make it a late write. */
    json_t *msg = json_pack("{s:O, s:s, s:I, s:I}", "value", op->value, "id", op->id, "ttl_ms", (json_int_t)op->ttl_ms,
                            "timestamp", (json_int_t)(loop_wall_us(op->core->loop) / 1000));
    char *text;

    if (op->expected)
        json_object_set(msg, "expected", op->expected);
    text = json_dumps(msg, JSON_COMPACT);
    json_decref(msg);
    return text;
}

static void
publish(struct write_op *op)
{
    static const struct outcome offline = {503, "broker_unavailable", "No connection to the broker", "broker",
                                           "Check that the broker is running."};
    char *topic = mem_printf("cmd/%s/%s/set", op->device_id, op->tag_id);
    char *text = command_text(op);
    enum nx_err err = bus_publish(op->core, topic, slice_str(text), 2);
    struct nx_note why = {0};

    free(topic);
    free(text);
    if (err == NX_OK) {
        op->state = WRITE_SENT;
        loop_timer_start(op->core->loop, &op->timer, (uint64_t)op->ttl_ms + 250, 0, on_late, op);
        return;
    }
    (void)bus_is_online(op->core, &why);
    end_with(op, &offline, why.text[0] ? why.text : nx_err_text(err));
}

/* --- the check
 * ----------------------------------------------------------------------------------------------------------- */

static enum nx_err
check_value(struct write_op *op, const struct doc *doc)
{
    bool is_number = json_is_number(op->value), is_bool = json_is_boolean(op->value),
         is_text = json_is_string(op->value);

    op->code = "value_invalid";
    if (doc->access == ACCESS_READ) {
        op->code = "write_denied";
        return nx_fail(&op->why, NX_E_CONFLICT,
                       "tag \"%s\" is read-only: set its access_mode to readwrite if it may be written", op->tag_id);
    }
    if (doc->is_text && !is_text)
        return nx_fail(&op->why, NX_E_VALUE, "/value: this tag takes a text");
    if (doc->is_number && !is_number && !(is_text && doc->has_enums) && !is_bool)
        return nx_fail(&op->why, NX_E_VALUE, "/value: this tag takes a number");
    if (!doc->is_text && !doc->is_number && !is_bool && !is_number)
        return nx_fail(&op->why, NX_E_VALUE, "/value: this tag takes true or false");
    return NX_OK;
}

static enum nx_err
check_in(struct write_op *op, struct store_tx *tx)
{
    struct store_device dev;
    struct store_tag tag;
    struct doc doc;
    json_t *settings;
    enum nx_err err = store_device_get(tx, op->device_id, &op->a, &dev, &op->why);

    op->code = err == NX_E_NOT_FOUND ? "device_not_found" : "store_unavailable";
    if (err == NX_OK) {
        err = store_tag_get(tx, op->device_id, op->tag_id, &op->a, &tag, &op->why);
        op->code = err == NX_E_NOT_FOUND ? "tag_not_found" : "store_unavailable";
    }
    if (err != NX_OK)
        return err;
    if (!dev.is_enabled) {
        op->code = "device_disabled";
        return nx_fail(&op->why, NX_E_CONFLICT, "device \"%s\" is disabled: enable it first", dev.id);
    }
    settings = doc_settings(tag.settings);
    err = doc_read_tag(&op->core->device_options, &dev, settings, &op->a, &doc, &op->why);
    json_decref(settings);
    return err == NX_OK ? check_value(op, &doc) : err;
}

static void
check_work(void *arg)
{
    struct write_op *op = arg;
    struct store_tx *tx = NULL;

    op->code = "store_unavailable";
    op->err = store_begin(op->core->store, STORE_READ, &tx, &op->why);
    if (op->err == NX_OK)
        op->err = check_in(op, tx);
    store_rollback(&tx);
}

static void
check_done(void *arg)
{
    struct write_op *op = arg;

    if (op->err == NX_OK && !op->core->stopped) {
        publish(op);
        return;
    }
    if (op->err == NX_OK)
        op->err = nx_fail(&op->why, NX_E_CANCELED, "the service is stopping; nothing was written");
    if (op->req && op->err == NX_E_VALUE)
        api_fail(op->req, op->err, &op->why, NULL);
    else if (op->req)
        http_respond_err(op->req, op->err, op->code, &op->why);
    write_free(op);
}

/* --- the request
 * ---------------------------------------------------------------------------------------------------------- */

static void
caller_gone(void *arg)
{
    ((struct write_op *)arg)->req = NULL;
}

static bool
is_scalar(const json_t *value)
{
    return json_is_number(value) || json_is_string(value) || json_is_boolean(value);
}

static bool
read_ttl(struct http_req *req, const struct core *core, const json_t *body, int64_t *ttl_ms)
{
    const json_t *ttl = json_object_get(body, "ttl_ms");

    *ttl_ms = ttl ? json_integer_value(ttl) : core->conf.write_timeout_ms;
    if (*ttl_ms >= 100 && *ttl_ms <= 60000)
        return true;
    api_fail_field(req, "/ttl_ms", "invalid", "ttl_ms is a number from 100 to 60000");
    return false;
}

static bool
body_is_good(struct http_req *req, const json_t *body)
{
    const json_t *expected = json_object_get(body, "expected"), *reason = json_object_get(body, "reason");

    if (!is_scalar(json_object_get(body, "value")))
        api_fail_field(req, "/value", json_object_get(body, "value") ? "invalid" : "missing",
                       "value is a number, a text, true or false");
    else if (expected && !is_scalar(expected))
        api_fail_field(req, "/expected", "invalid", "expected is a number, a text, true or false");
    else if (reason && !json_is_string(reason))
        api_fail_field(req, "/reason", "invalid", "reason is a text");
    else
        return true;
    return false;
}

static struct write_op *
write_new(struct core *core, struct http_req *req, const json_t *body)
{
    struct write_op *op = mem_alloc(sizeof *op);
    const char *reason = json_string_value(json_object_get(body, "reason"));

    op->core = core;
    op->req = req;
    auth_random_token(op->id);
    op->device_id = mem_strdup(http_param(req, "device_id"));
    op->tag_id = mem_strdup(http_param(req, "tag_id"));
    op->username = mem_strdup(core_user(req)->username);
    op->reason = mem_strdup(reason ? reason : "");
    op->value = json_incref(json_object_get(body, "value"));
    op->expected = json_incref(json_object_get(body, "expected"));
    op->start_ms = loop_now_ms(core->loop);
    HASH_ADD_STR(core->writes, id, op);
    return op;
}

void
tag_write(struct http_req *req, void *arg)
{
    static const char *const members[] = {"value", "expected", "ttl_ms", "reason", NULL};
    struct core *core = arg;
    json_t *body = api_body(req, members);
    struct write_op *op;
    int64_t ttl_ms = 0;

    if (!body || !body_is_good(req, body) || !read_ttl(req, core, body, &ttl_ms))
        return;
    if (HASH_COUNT(core->writes) >= WRITES_MAX) {
        http_respond_problem(req, &(struct http_problem){.status = 503,
                                                         .code = "too_many_writes",
                                                         .title = "Too many writes wait",
                                                         .detail = "256 writes wait for their answers",
                                                         .fixes = {"Wait until they have finished."}});
        return;
    }
    op = write_new(core, req, body);
    op->ttl_ms = ttl_ms;
    http_hold(req, caller_gone, op);
    core_work(core, check_work, check_done, op);
}
