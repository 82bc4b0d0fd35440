/* command_run.c -- one command once it is its turn: [read and compare with `expected`] -> write -> [read back]. */
#include "gateway/commands_priv.h"

#include "base/mem.h"
#include "gateway/normalize.h"

#include <math.h>

/* Told after a crash. */
static const struct outcome begun_and_gone = {
    .code = "outcome_unknown",
    .error = "outcome unknown: the gateway ended while the write was under way; it may or may not have taken effect; "
             "look at the value before you send it again"};
static const struct outcome written_and_gone = {.is_success = true,
                                                .code = "readback_failed",
                                                .error = "written, but the gateway ended before it was read back"};

static void do_write(struct command *cmd);

static void
fail(struct command *cmd, const char *code, const char *text)
{
    command_finish(cmd, &(struct outcome){.code = code, .error = text});
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

uint64_t
command_time_left(const struct command *cmd)
{
    struct commands *c = cmd->owner;
    uint64_t now = loop_now_ms(c->loop), end = cmd->turn_ms + c->conf.write_timeout_ms;

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
    command_finish(cmd, &o);
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
        command_finish(cmd, &(struct outcome){.is_success = true, .value = &cmd->value});
    } else {
        uint64_t left = command_time_left(cmd);
        command_note(cmd, &written_and_gone);
        start_read(cmd, on_read_back, left > 0 ? left : 1);
    }
}

/* A command is never less urgent than its tag. */
static unsigned
priority_of(const struct command *cmd)
{
    unsigned of_tag = (unsigned)cmd->slot->tag->priority;

    return cmd->priority > of_tag ? cmd->priority : of_tag;
}

static void
do_write(struct command *cmd)
{
    struct nx_note why = {0};
    uint64_t left = command_time_left(cmd);

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
    command_note(cmd, &begun_and_gone);
    cmd->write.wr.addr = cmd->slot->tag->addr;
    cmd->write.wr.op.priority = priority_of(cmd);
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
        command_finish(cmd, &(struct outcome){
                                .code = "conflict",
                                .error = "nothing was written: the present value (see value) is not the expected one",
                                .value = &cmd->got});
    } else {
        do_write(cmd);
    }
}

const char *
command_refusal(struct command *cmd, const char **code, struct nx_note *why)
{
    struct nx_value raw;
    enum nx_err err;

    cmd->slot = dev_slot(cmd->dev, cmd->tag);
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

void
command_run(struct command *cmd)
{
    if (cmd->has_expected)
        start_read(cmd, on_checked, command_time_left(cmd));
    else
        do_write(cmd);
}
