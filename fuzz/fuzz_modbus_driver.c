/* fuzz: modbus conformance base */
/* The input is a script for the fake host: read, write, cancel, feed bytes or a well-formed reply, time, hang-up. The
 * fake host stops the process when the driver breaks its contract. */
#include "conformance/fake_host.h"
#include "modbus/modbus_driver.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

/* Answers the oldest request with registers that hold `fill`, or with an exception. */
static void
reply(struct fake_host *h, unsigned exception, uint8_t fill)
{
    struct slice in = fake_host_written(h);
    uint8_t out[260];
    size_t n = in.len < 12 ? 0 : exception ? 9 : in.p[7] <= 4 ? 9u + 2u * in.p[11] : 12;

    if (n == 0 || n > sizeof out)
        return;
    memset(out, fill, sizeof out);
    memcpy(out, in.p, 12);
    out[4] = 0;
    out[5] = (uint8_t)(n - 6);
    if (exception) {
        out[7] |= 0x80;
        out[8] = (uint8_t)exception;
    } else if (in.p[7] <= 4) {
        out[8] = (uint8_t)(2 * in.p[11]);
        memset(out + 9, fill, n - 9);
    }
    fake_host_take(h, 6u + in.p[5]);
    fake_host_feed(h, slice(out, n));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const char *const pairs[] = {"host=x", "pipeline=3", "max_registers=10", NULL};
    struct fake_host *h = fake_host_new(&modbus_tcp_driver, pairs);
    struct nx_addr_spec spec = {.address = NULL, .data_type = NX_DT_UINT16};
    static const char *const places[] = {"hr0", "hr1", "hr5", "hr6", "hr30", "ir2", "hr31", "hr8"};
    const void *addrs[8];
    struct fake_op *ops[16] = {NULL};
    unsigned n = 0;

    for (unsigned i = 0; i < 8; i++) {
        spec.address = places[i];
        addrs[i] = fake_host_addr(h, &spec);
    }
    (void)!fake_host_open(h);
    fake_host_accept(h);
    for (size_t i = 0; i + 1 < len && i < 4096 && fake_host_is_up(h); i += 2) {
        struct fake_op *op = ops[p[i + 1] % 16];
        switch (p[i] % 8) {
        case 0:
            if (n < 16)
                ops[n++] = fake_host_read(h, addrs, 1 + p[i + 1] % 8);
            break;
        case 1:
            if (n < 16)
                ops[n++] = fake_host_write(h, addrs[p[i + 1] % 8], nx_value_int(p[i + 1]));
            break;
        case 2:
            if (op)
                fake_host_cancel(op, NX_E_TIMEOUT);
            break;
        case 3:
            fake_host_feed(h, slice(p + i + 1, p[i + 1] < len - i - 1 ? p[i + 1] : len - i - 1));
            break;
        case 4:
            reply(h, p[i + 1] % 12, p[i + 1]);
            break;
        case 5:
            fake_host_advance_ms(h, p[i + 1] * 1000u);
            break;
        case 6:
            if (op && op->is_done && op->item_count > 0)
                fake_host_read_again(op);
            break;
        default:
            if (p[i + 1] > 250)
                fake_host_hang_up(h, NX_E_CLOSED);
        }
    }
    fake_host_free(&h);
    return 0;
}
