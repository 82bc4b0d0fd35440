#include "modbus_test_device.h"

#include "base/mem.h"
#include "base/wbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct device device;

struct fake_host *
connect_device(const char *const *pairs)
{
    static const char *const defaults[] = {"host=plc", NULL};
    struct fake_host *h = fake_host_new(&modbus_tcp_driver, pairs ? pairs : defaults);

    device = (struct device){.missing = -1, .max = 125};
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    return h;
}

bool
answer_one(struct fake_host *h)
{
    struct slice in = fake_host_written(h);
    uint8_t out[MODBUS_ADU_MAX];
    struct wbuf w = wbuf_fixed(out, sizeof out);
    unsigned len, fc, start, count, exception = device.exception;

    if (in.len < 8)
        return false;
    len = 6u + in.p[5];
    memcpy(device.last, in.p, len);
    fake_host_take(h, len);
    device.requests++;
    fc = device.last[7];
    start = (unsigned)device.last[8] << 8 | device.last[9];
    count = (unsigned)device.last[10] << 8 | device.last[11];
    if (fc <= 4 && device.missing >= (int)start && device.missing < (int)(start + count))
        exception = 2;
    if (fc <= 4 && exception == 0 && count > device.max)
        exception = 3;
    wbuf_be16(&w, ((unsigned)device.last[0] << 8 | device.last[1]) + device.tid_offset);
    wbuf_be16(&w, 0);
    wbuf_be16(&w, exception             ? 3
                  : fc == 1             ? 3 + (count + 7) / 8
                  : fc == 3 || fc == 23 ? 3 + 2 * count
                  : fc == 22            ? 8
                                        : 6);
    wbuf_u8(&w, device.last[6]);
    wbuf_u8(&w, exception ? fc | 0x80 : fc);
    if (exception) {
        wbuf_u8(&w, exception);
    } else if (fc == 1) {
        wbuf_u8(&w, (count + 7) / 8);
        for (unsigned i = 0; i < (count + 7) / 8; i++)
            wbuf_u8(&w, 0x55);
    } else if (fc == 3) {
        wbuf_u8(&w, 2 * count);
        for (unsigned r = start; r < start + count; r++)
            wbuf_be16(&w, r);
    } else if (fc == 23) { /* reads back what was written, but register 99 keeps its own value */
        wbuf_u8(&w, 2 * count);
        wbuf_bytes(&w, device.last + 17, 2 * count);
        if (start == 99)
            out[w.len - 1] ^= 1;
    } else {
        wbuf_bytes(&w, device.last + 8, fc == 22 ? 6 : 4);
    }
    fake_host_feed(h, slice(out, w.len));
    return true;
}

void
answer_all(struct fake_host *h)
{
    while (answer_one(h))
        ;
}

const void *
addr(struct fake_host *h, const char *text, enum nx_data_type type)
{
    struct nx_addr_spec spec = {.address = text, .data_type = type};

    return fake_host_addr(h, &spec);
}

struct fake_op *
read_registers(struct fake_host *h, unsigned n)
{
    const void **addrs = mem_calloc(n, sizeof *addrs);
    char text[32];
    struct fake_op *op;

    for (unsigned i = 0; i < n; i++) {
        snprintf(text, sizeof text, "holding:%u", i);
        addrs[i] = addr(h, text, NX_DT_UINT16);
    }
    op = fake_host_read(h, addrs, n);
    free(addrs);
    return op;
}

unsigned
poll_again(struct fake_host *h, struct fake_op *op)
{
    device.requests = 0;
    fake_host_read_again(op);
    answer_all(h);
    assert_true(op->is_done);
    return device.requests;
}

void
reconnect(struct fake_host *h)
{
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
}
