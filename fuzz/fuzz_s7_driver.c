/* fuzz: s7 conformance base */
/* The input is a script for the fake host with two devices on one link: read, write, cancel, feed bytes or the reply of
 * a CPU with faults, time, hang-up, restart, explain. The fake host stops the process when the driver breaks its
 * contract, and a value that is not the CPU's stops it here. */
#include "s7/s7_driver.h"
#include "s7/s7_test_cpu.c" /* a file of the tests, in no library */

#include <assert.h>

#define OPS_MAX 16u
#define ADDRS   10u

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static const struct {
    const char *text;
    enum nx_data_type data_type;
} places[ADDRS] = {
    {"DB1.DBW0", NX_DT_UINT16},
    {"DB1.DBW2", NX_DT_UINT16},
    {"DB1.DBX30.1", NX_DT_BOOL},
    {"DB1.DBB300:STRING", NX_DT_STRING},
    {"DB2.DBD0:REAL", NX_DT_FLOAT32},
    {"T5", NX_DT_UINT32},
    {"MW4", NX_DT_INT16},
    {"DB1.DBB600:WSTRING[200]", NX_DT_STRING},
    {"C7", NX_DT_UINT16},
    {"DB1.DBW40", NX_DT_UINT16},
};

struct rig {
    struct fake_host *h;
    struct nx_dev *devs[2];
    const void *addrs[ADDRS];
    struct fake_op *ops[OPS_MAX];
    unsigned n;
    struct test_cpu cpu;
    bool is_pure; /* nothing but replies of the CPU was fed */
};

static void
connect(struct rig *r)
{
    if (fake_host_open(r->h) != NX_OK)
        return;
    fake_host_accept(r->h);
    while (!fake_host_is_up(r->h) && cpu_answer(&r->cpu, r->h))
        ;
}

/* Words of DB1 are what the CPU holds, whatever else went wrong. */
static void
check(const struct rig *r, const struct fake_op *op, unsigned first)
{
    if (r->is_pure && op->is_done && op->item_count > 0 && first < 2 && op->items[0].value.type == NX_TYPE_UINT)
        assert(op->items[0].value.u == (unsigned)(cpu_byte(1, first * 2) << 8 | cpu_byte(1, first * 2 + 1)));
}

static struct fake_op *
begin(struct rig *r, unsigned arg, bool is_write)
{
    struct nx_dev *dev = r->devs[arg >> 7];
    unsigned first = arg % ADDRS;

    if (r->n == OPS_MAX || !fake_host_is_up(r->h))
        return NULL;
    fake_host_set_priority(r->h, arg >> 5 & 1);
    r->ops[r->n] = is_write ? fake_host_write_dev(dev, r->addrs[first], nx_value_uint(arg))
                            : fake_host_read_dev(dev, r->addrs + first, ADDRS - first);
    return r->ops[r->n++];
}

/* Faults of the CPU from one byte. */
static void
set_faults(struct test_cpu *cpu, unsigned arg)
{
    static const unsigned errors[] = {0, 0, 0, 0, 0x8104, 0x8500, 0xD241, 0x1234};

    cpu->error = errors[arg & 7];
    cpu->db = arg & 8 ? 1 : 0;
    cpu->from = arg >> 4 & 3;
    cpu->end = cpu->from + 400;
    cpu->missing_db = arg & 64 ? 2 : 0;
    cpu->pdu_taken = arg & 128 ? 200 : 0;
}

static void
feed(struct rig *r, struct slice bytes)
{
    r->is_pure = false;
    fake_host_feed(r->h, bytes);
}

static void
step(struct rig *r, unsigned what, unsigned arg, struct slice rest)
{
    struct fake_op *op = r->ops[arg % OPS_MAX];

    switch (what % 10) {
    case 0:
        (void)begin(r, arg, false);
        break;
    case 1:
        (void)begin(r, arg, true);
        break;
    case 2:
        if (op)
            fake_host_cancel(op, NX_E_TIMEOUT);
        break;
    case 3:
        feed(r, slice(rest.p, arg < rest.len ? arg : rest.len));
        break;
    case 4:
        for (unsigned i = 0; i <= arg % 8; i++)
            (void)cpu_answer(&r->cpu, r->h);
        break;
    case 5:
        fake_host_advance_ms(r->h, arg * 1000u);
        break;
    case 6:
        if (op && op->is_done && op->item_count > 0 && fake_host_is_up(r->h))
            fake_host_read_again(op);
        break;
    case 7:
        set_faults(&r->cpu, arg);
        break;
    case 8:
        if (op && op->is_done && op->item_count > 0)
            (void)fake_host_explain(op);
        break;
    default:
        if (arg > 240)
            fake_host_hang_up(r->h, NX_E_CLOSED);
        if (arg == 240)
            fake_host_restart(r->h);
        if (arg > 230) {
            fake_host_close(r->h);
            connect(r);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const char *const one[] = {"host=x", "max_jobs=3", NULL};
    static const char *const two[] = {"host=x", "max_jobs=3", "gap=0", "forbidden=DB1.DBB10-20", NULL};
    struct rig r = {.h = fake_host_new(&s7_driver, one), .is_pure = true};

    if (len == 0)
        goto out;
    r.devs[0] = fake_host_dev(r.h);
    r.devs[1] = fake_host_add_dev(r.h, two);
    r.cpu = (struct test_cpu){.pdu = p[0] & 1 ? 240 : 960, .jobs = 1 + (p[0] >> 1) % 4, .tpdu_size = 7, .slots = 2};
    for (unsigned i = 0; i < ADDRS; i++) {
        struct nx_addr_spec spec = {.address = places[i].text, .data_type = places[i].data_type};
        r.addrs[i] = fake_host_addr(r.h, &spec);
    }
    connect(&r);
    for (size_t i = 1; i + 1 < len && i < 4096; i += 2) {
        step(&r, p[i], p[i + 1], slice(p + i + 2, len - i - 2));
        for (unsigned k = 0; k < r.n; k++)
            if (r.ops[k]->item_count == ADDRS || r.ops[k]->item_count == ADDRS - 1)
                check(&r, r.ops[k], ADDRS - r.ops[k]->item_count);
    }
out:
    fake_host_free(&r.h);
    return 0;
}
