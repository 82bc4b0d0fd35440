#include "gateway/fake_driver.h"

#include "base/num.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define OPS_MAX 64

struct fake_link {
    struct nx_link *link;
    struct nx_op *ops[OPS_MAX];
    unsigned count;
    bool is_open;
};

struct fake_dev {
    unsigned unit;
};

struct fake_driver_state fake_driver_state;

static enum nx_err
fake_addr_parse(const struct nx_addr_spec *spec, void *addr, struct nx_addr_info *info, struct nx_note *why)
{
    int64_t n;

    if (!num_i64(slice_str(spec->address), &n) || n < 0 || n >= FAKE_REGISTERS)
        return nx_fail(why, NX_E_CONFIG, "address '%s' is not 0 to 63", spec->address);
    *(uint32_t *)addr = (uint32_t)n;
    (void)snprintf(info->canonical, sizeof info->canonical, "%d", (int)n);
    return NX_OK;
}

static enum nx_err
fake_attach(struct nx_dev *dev, const struct nx_settings *settings, const char *learned, struct nx_note *why)
{
    struct fake_dev *d = nx_dev_state(dev);

    if (nx_setting_int(settings, "unit") == FAKE_BAD_UNIT)
        return nx_fail(why, NX_E_CONFIG, "fake: there is no unit %d", FAKE_BAD_UNIT);
    d->unit = (unsigned)nx_setting_int(settings, "unit");
    (void)snprintf(fake_driver_state.learned, sizeof fake_driver_state.learned, "%s", learned ? learned : "");
    return NX_OK;
}

static enum nx_err
fake_open(struct nx_link *link, const struct nx_settings *settings, struct nx_note *why)
{
    struct fake_link *d = nx_link_state(link);

    (void)settings;
    (void)why;
    *d = (struct fake_link){.link = link, .is_open = true};
    fake_driver_state.opens++;
    fake_driver_state.last = link;
    if (fake_driver_state.refuses_link) {
        struct nx_note note;
        (void)nx_fail(&note, NX_E_REFUSED, "fake: connection refused");
        nx_link_down(link, NX_E_REFUSED, &note);
        return NX_OK;
    }
    fake_driver_state.open_links++;
    nx_link_up(link);
    return NX_OK;
}

static void
take_out(struct fake_link *d, struct nx_op *op)
{
    unsigned i = 0;

    while (d->ops[i] != op)
        i++;
    d->ops[i] = d->ops[--d->count];
}

static void
fake_cancel(struct nx_dev *dev, struct nx_op *op, enum nx_err err)
{
    take_out(nx_link_state(nx_link_of(dev)), op);
    nx_op_done(op, err, NULL);
}

static void
fake_close(struct nx_link *link)
{
    struct fake_link *d = nx_link_state(link);

    if (!d->is_open)
        return;
    d->is_open = false;
    while (d->count > 0)
        fake_cancel(d->ops[0]->dev, d->ops[0], NX_E_CANCELED);
    fake_driver_state.closes++;
    if (!fake_driver_state.refuses_link)
        fake_driver_state.open_links--;
    nx_closed(link);
}

static void
answer_read(struct nx_read *rd)
{
    for (uint32_t i = 0; i < rd->item_count && fake_driver_state.read_err == NX_OK; i++) {
        uint32_t n = *(const uint32_t *)rd->items[i].addr;
        struct nx_value v = nx_value_int(fake_driver_state.registers[n]);
        if (n == FAKE_HOLE)
            nx_read_failed(rd, i, NX_E_ADDRESS, NULL);
        else
            nx_read_value(rd, i, &v, NX_Q_GOOD, 0);
    }
    nx_op_done(&rd->op, fake_driver_state.read_err, NULL);
}

static void
answer_write(struct nx_write *wr)
{
    if (fake_driver_state.write_err == NX_OK && !fake_driver_state.ignores_writes)
        fake_driver_state.registers[*(const uint32_t *)wr->addr] =
            wr->value.type == NX_TYPE_DOUBLE ? (int64_t)wr->value.d : wr->value.i;
    nx_op_done(&wr->op, fake_driver_state.write_err, NULL);
}

static bool
is_hanging(struct nx_dev *dev)
{
    const struct fake_dev *d = nx_dev_state(dev);

    return fake_driver_state.hangs || (d->unit && d->unit == fake_driver_state.silent_unit);
}

static void
keep(struct nx_dev *dev, struct nx_op *op)
{
    struct fake_link *d = nx_link_state(nx_link_of(dev));

    assert(d->count < OPS_MAX);
    d->ops[d->count++] = op;
    nx_op_alive(op);
}

static void
fake_read(struct nx_dev *dev, struct nx_read *rd)
{
    fake_driver_state.reads++;
    nx_count(dev, NX_COUNT_REQUESTS, 1);
    if (is_hanging(dev))
        keep(dev, &rd->op);
    else
        answer_read(rd);
}

static void
fake_write(struct nx_dev *dev, struct nx_write *wr)
{
    fake_driver_state.writes++;
    fake_driver_state.write_priority = wr->op.priority;
    if (is_hanging(dev) || fake_driver_state.hangs_writes)
        keep(dev, &wr->op);
    else
        answer_write(wr);
}

void
fake_driver_hang_up(struct nx_link *link)
{
    nx_link_down(link, NX_E_CLOSED, NULL);
}

void
fake_driver_answer(struct nx_link *link)
{
    struct fake_link *d = nx_link_state(link);
    unsigned n = d->count;
    struct nx_op *ops[OPS_MAX];

    memcpy(ops, d->ops, sizeof ops);
    d->count = 0;
    for (unsigned i = 0; i < n; i++)
        if (ops[i]->kind == NX_OP_READ)
            answer_read((struct nx_read *)(void *)ops[i]);
        else
            answer_write((struct nx_write *)(void *)ops[i]);
}

static const struct nx_param params[] = {
    {.key = "host", .type = NX_PARAM_STRING, .help = "Where it would be."},
    {.key = "line", .type = NX_PARAM_STRING, .help = "Devices with the same line share a connection."},
    {.key = "unit", .type = NX_PARAM_INT, .def = "0", .is_per_device = true, .help = "Number on the line."},
    {.key = NULL},
};
static const struct nx_param no_params[] = {{.key = NULL}};

const struct nx_driver fake_driver = {
    .abi = NX_DRIVER_ABI,
    .size = sizeof(struct nx_driver),
    .name = "fake",
    .summary = "registers in memory",
    .params = params,
    .tag_params = no_params,
    .link_size = sizeof(struct fake_link),
    .dev_size = sizeof(struct fake_dev),
    .addr_size = sizeof(uint32_t),
    .addr_parse = fake_addr_parse,
    .attach = fake_attach,
    .open = fake_open,
    .close = fake_close,
    .read = fake_read,
    .cancel = fake_cancel,
    .write = fake_write,
};

const struct nx_driver *const fake_drivers[] = {&fake_driver, NULL};

struct device *
fake_device(const char *json)
{
    struct device_options opt = {.uns_root = "uns", .default_interval_ms = 1000, .drivers = fake_drivers};
    struct arena a = {0};
    struct nx_note why = {0};
    struct device *d;
    char text[4096];

    (void)snprintf(text, sizeof text, "%s", json);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    json_t *root = json_loads(text, 0, NULL);
    if (!root || device_read(&opt, conf_from_json(&a, root, "test"), &d, &why) != NX_OK) {
        (void)fprintf(stderr, "fake_device: %s\n%s\n", why.text, json);
        abort();
    }
    json_decref(root);
    arena_free(&a);
    return d;
}
