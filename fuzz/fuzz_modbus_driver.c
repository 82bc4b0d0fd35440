/* fuzz: modbus conformance base */
/* First byte: the kind of connection. The rest is a script for the fake host with two devices on one link: read, write,
 * cancel, feed bytes or a well-formed reply, time, hang-up, restart, explain. The fake host stops the process when the
 * driver breaks its contract. */
#include "conformance/fake_host.h"
#include "modbus/modbus_driver.h"
#include "modbus/modbus_frame.h"

#include <stdlib.h>

#define OPS_MAX 16u

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

struct rig {
    struct fake_host *h;
    struct nx_dev *devs[2];
    const void *addrs[8];
    struct fake_op *ops[OPS_MAX];
    unsigned n;
    enum modbus_framing framing;
};

/* Answers the oldest request with registers that hold `fill`, or with an exception. */
static void
reply(struct rig *r, unsigned exception, uint8_t fill)
{
    struct slice in = fake_host_written(r->h);
    struct modbus_request rq;
    uint8_t out[MODBUS_ADU_MAX];
    size_t head = r->framing == MODBUS_RTU ? 1 : 7, n, len;
    uint16_t crc;

    for (len = 4; len <= in.len && modbus_frame_request(r->framing, slice(in.p, len), &rq) != NX_OK; len++)
        ;
    if (len > in.len)
        return;
    n = exception ? 2 : modbus_reply_bytes(&rq);
    memset(out, fill, sizeof out);
    memcpy(out, in.p, head + 6 < len ? head + 6 : len);
    if (exception) {
        out[head] |= 0x80;
        out[head + 1] = (uint8_t)exception;
    } else if (modbus_fc_is_read(rq.fc) || rq.fc == MODBUS_READ_WRITE) {
        out[head + 1] = (uint8_t)(n - 2);
        memset(out + head + 2, fill, n - 2);
    }
    n += head;
    if (r->framing == MODBUS_RTU) {
        crc = modbus_crc(slice(out, n));
        out[n++] = (uint8_t)crc;
        out[n++] = (uint8_t)(crc >> 8);
    } else {
        out[4] = 0;
        out[5] = (uint8_t)(n - 6);
    }
    fake_host_take(r->h, len);
    fake_host_feed(r->h, slice(out, n));
}

static void
start(struct rig *r, bool is_write, uint8_t arg)
{
    struct nx_dev *dev = r->devs[arg >> 7];

    if (r->n == OPS_MAX)
        return;
    fake_host_set_priority(r->h, arg >> 4 & 3);
    r->ops[r->n++] = is_write ? fake_host_write_dev(dev, r->addrs[arg % 8], nx_value_int(arg))
                              : fake_host_read_dev(dev, r->addrs, 1 + arg % 8);
}

static void
reopen(struct rig *r, bool is_restart)
{
    if (is_restart)
        fake_host_restart(r->h);
    else
        fake_host_close(r->h);
    (void)!fake_host_open(r->h);
    fake_host_accept(r->h);
}

/* Bytes used. */
static size_t
step(struct rig *r, const uint8_t *p, size_t len)
{
    uint8_t arg = p[1];
    struct fake_op *op = r->ops[arg % OPS_MAX];
    size_t n;

    switch (p[0] % 10) {
    case 0:
    case 1:
        start(r, p[0] % 10 == 1, arg);
        return 2;
    case 2:
        if (op)
            fake_host_cancel(op, NX_E_TIMEOUT);
        return 2;
    case 3:
        n = arg < len - 2 ? arg : len - 2;
        fake_host_feed(r->h, slice(p + 2, n));
        return 2 + n;
    case 4:
    case 5:
        reply(r, p[0] % 10 == 4 ? arg % 12 : 0, arg);
        return 2;
    case 6:
        fake_host_advance_ms(r->h, arg < 200 ? arg : arg * 1000u);
        return 2;
    case 7:
        if (op && op->is_done && op->item_count > 0)
            fake_host_read_again(op);
        return 2;
    case 8:
        if (op && op->is_done && op->item_count > 0 && arg % 3 == 0)
            (void)fake_host_explain(op);
        return 2;
    default:
        if (arg > 250)
            fake_host_hang_up(r->h, NX_E_CLOSED);
        else if (arg > 240)
            reopen(r, arg > 245);
        return 2;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const char *const tcp[] = {"host=x", "pipeline=3", "max_registers=10", NULL};
    static const char *const agnostic[] = {"host=x", "tid_agnostic=true", "request_delay=20ms", NULL};
    static const char *const over_tcp[] = {"host=x", "framing=rtu", NULL};
    static const char *const line[] = {"serial_port=/dev/x", "echo=true", NULL};
    static const char *const bus[] = {"serial_port=/dev/x", NULL};
    static const char *const *const settings[] = {tcp, agnostic, over_tcp, line, bus};
    static const char *const second_tcp[] = {"host=x", "unit_id=2", NULL};
    static const char *const second_bus[] = {"serial_port=/dev/x", "unit_id=0", NULL};
    static const char *const places[] = {"hr0", "hr1", "hr5", "hr6", "hr30", "ir2", "hr31", "hr8"};
    unsigned kind = len > 0 ? p[0] % 5 : 0;
    const struct nx_driver *driver = kind < 3 ? &modbus_tcp_driver : &modbus_rtu_driver;
    struct rig r = {.h = fake_host_new(driver, settings[kind]), .framing = kind < 2 ? MODBUS_MBAP : MODBUS_RTU};
    struct nx_addr_spec spec = {.data_type = NX_DT_UINT16};

    r.devs[0] = fake_host_dev(r.h);
    r.devs[1] = fake_host_add_dev(r.h, kind < 3 ? second_tcp : second_bus);
    for (unsigned i = 0; i < 8; i++) {
        spec.address = places[i];
        r.addrs[i] = fake_host_addr(r.h, &spec);
    }
    (void)!fake_host_open(r.h);
    fake_host_accept(r.h);
    for (size_t i = 1; i + 1 < len && i < 4096;) {
        i += step(&r, p + i, len - i);
        if (!fake_host_is_up(r.h))
            reopen(&r, false);
    }
    fake_host_free(&r.h);
    return 0;
}
