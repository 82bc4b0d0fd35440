#include "s7_test_host.h"

#include "base/mem.h"
#include "s7_driver.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct test_cpu cpu;

void
reset_cpu(void)
{
    cpu = (struct test_cpu){.pdu = 240, .jobs = 3, .tpdu_size = 10, .slots = 1u << 1};
}

void
handshake(struct fake_host *h)
{
    for (unsigned i = 0; i < 20 && !fake_host_is_up(h) && fake_host_downs(h) == 0; i++) {
        fake_host_accept(h);
        cpu_serve(&cpu, h);
        if (!fake_host_is_up(h))
            fake_host_advance_ms(h, 100);
    }
}

struct fake_host *
connect_cpu(const char *const *pairs)
{
    static const char *const defaults[] = {"host=plc", "s7_slot=1", NULL};
    struct fake_host *h = fake_host_new(&s7_driver, pairs ? pairs : defaults);

    assert(fake_host_open(h) == NX_OK);
    handshake(h);
    return h;
}

const void *
addr(struct fake_host *h, const char *text, enum nx_data_type type)
{
    struct nx_addr_spec spec = {.address = text, .data_type = type};

    return fake_host_addr(h, &spec);
}

struct fake_op *
read_one(struct fake_host *h, const char *text, enum nx_data_type type)
{
    const void *a = addr(h, text, type);

    return fake_host_read(h, &a, 1);
}

struct fake_op *
read_words(struct fake_host *h, unsigned db, unsigned n, unsigned step)
{
    const void **addrs = mem_calloc(n, sizeof *addrs);
    struct fake_op *op;
    char text[32];

    for (unsigned i = 0; i < n; i++) {
        snprintf(text, sizeof text, "DB%u.DBW%u", db + i * step / 60000, i * step % 60000);
        addrs[i] = addr(h, text, NX_DT_UINT16);
    }
    op = fake_host_read(h, addrs, n);
    free(addrs);
    return op;
}

void
assert_words(const struct fake_op *op, unsigned db, unsigned step)
{
    assert(op->is_done && op->err == NX_OK);
    for (uint32_t i = 0; i < op->item_count; i++) {
        unsigned in = db + i * step / 60000, at = i * step % 60000;
        if (op->items[i].err == NX_OK)
            assert(op->items[i].value.u == (unsigned)(cpu_byte(in, at) << 8 | cpu_byte(in, at + 1)));
    }
}
