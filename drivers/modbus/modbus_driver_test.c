/* What only Modbus does, on the fake host: refused blocks, probes, busy and absent units, pipelining, delays. */
#include "modbus_driver.h"

#include "base/mem.h"
#include "base/wbuf.h"
#include "conformance/fake_host.h"
#include "modbus_addr.h"
#include "modbus_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* A device: register r holds r; some are missing; requests may be refused with a code of the test's choice. */
static struct device {
    int missing;        /* wire address with exception 2, -1: none */
    unsigned exception; /* for every request, 0: none */
    unsigned requests;
    uint8_t last[MODBUS_ADU_MAX];
} device;

static struct fake_host *
connect_device(const char *const *pairs)
{
    static const char *const defaults[] = {"host=plc", NULL};
    struct fake_host *h = fake_host_new(&modbus_tcp_driver, pairs ? pairs : defaults);

    device = (struct device){.missing = -1};
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    return h;
}

/* Answers one waiting request; false when there is none. */
static bool
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
    wbuf_bytes(&w, device.last, 4);
    wbuf_be16(&w, exception ? 3 : fc == 3 ? 3 + 2 * count : fc == 22 ? 8 : 6);
    wbuf_u8(&w, device.last[6]);
    wbuf_u8(&w, exception ? fc | 0x80 : fc);
    if (exception) {
        wbuf_u8(&w, exception);
    } else if (fc == 3) {
        wbuf_u8(&w, 2 * count);
        for (unsigned r = start; r < start + count; r++)
            wbuf_be16(&w, r);
    } else {
        wbuf_bytes(&w, device.last + 8, fc == 22 ? 6 : 4);
    }
    fake_host_feed(h, slice(out, w.len));
    return true;
}

static void
answer_all(struct fake_host *h)
{
    while (answer_one(h))
        ;
}

static const void *
addr(struct fake_host *h, const char *text, enum nx_data_type type)
{
    struct nx_addr_spec spec = {.address = text, .data_type = type};

    return fake_host_addr(h, &spec);
}

/* Registers 0 to n - 1 as one read. */
static struct fake_op *
read_registers(struct fake_host *h, unsigned n)
{
    const void *addrs[200];
    char text[32];

    for (unsigned i = 0; i < n; i++) {
        snprintf(text, sizeof text, "holding:%u", i);
        addrs[i] = addr(h, text, NX_DT_UINT16);
    }
    return fake_host_read(h, addrs, n);
}

static void
missing_register_is_one_bad_tag(void **state)
{
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op;

    (void)state;
    device.missing = 20;
    op = read_registers(h, 64);
    answer_all(h);
    assert_true(op->is_done && op->err == NX_OK);
    assert_int_equal(op->good_count, 63);
    assert_int_equal(op->items[20].err, NX_E_ADDRESS);
    assert_non_null(strstr(op->items[20].why, "holding:20 (40021)"));
    assert_int_equal(op->items[63].value.u, 63);
    assert_true(fake_host_counter(h, NX_COUNT_SPLITS) > 0);

    device.requests = 0; /* learned */
    fake_host_read_again(op);
    answer_all(h);
    assert_int_equal(device.requests, 2);
    assert_int_equal(op->good_count, 63);
    assert_int_equal(op->items[20].err, NX_E_ADDRESS);
    fake_host_free(&h);
}

static void
hole_is_probed_slowly_and_heals(void **state)
{
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op;

    (void)state;
    device.missing = 3;
    op = read_registers(h, 10);
    answer_all(h);
    fake_host_advance_ms(h, 59000);
    device.requests = 0;
    fake_host_read_again(op);
    answer_all(h);
    assert_int_equal(device.requests, 2);
    fake_host_advance_ms(h, 1000);
    device.requests = 0;
    fake_host_read_again(op); /* still missing: asked once more, then left alone */
    answer_all(h);
    assert_int_equal(device.requests, 3);
    fake_host_advance_ms(h, 60000);
    device.missing = -1;
    fake_host_read_again(op);
    answer_all(h);
    assert_int_equal(op->good_count, 10);
    device.requests = 0;
    fake_host_read_again(op);
    answer_all(h);
    assert_int_equal(device.requests, 1);
    assert_int_equal(op->good_count, 10);
    fake_host_free(&h);
}

static void
busy_device_loses_nothing_for_good(void **state)
{
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op = read_registers(h, 10);

    (void)state;
    device.exception = MODBUS_EX_BUSY;
    answer_all(h);
    assert_true(op->is_done && op->err == NX_OK);
    assert_int_equal(op->items[9].err, NX_E_BUSY);
    device.exception = 0;
    device.requests = 0;
    fake_host_read_again(op);
    answer_all(h);
    assert_int_equal(op->good_count, 10);
    assert_int_equal(device.requests, 1);
    fake_host_free(&h);
}

static void
absent_unit_ends_the_read_but_not_the_link(void **state)
{
    static const char *const pairs[] = {"host=gw", "slave_id=7", "max_registers=10", NULL};
    struct fake_host *h = connect_device(pairs);
    struct fake_op *op = read_registers(h, 100);

    (void)state;
    device.exception = MODBUS_EX_GATEWAY_TARGET;
    answer_all(h);
    assert_int_equal(op->err, NX_E_OFFLINE);
    assert_non_null(strstr(op->why, "unit 7"));
    assert_int_equal(device.requests, 1);
    assert_int_equal(device.last[6], 7);
    assert_true(fake_host_is_up(h));
    fake_host_free(&h);
}

static void
pipeline_keeps_its_bound(void **state)
{
    static const char *const pairs[] = {"host=plc", "pipeline=4", "max_registers=10", NULL};
    struct fake_host *h = connect_device(pairs);
    struct fake_op *op = read_registers(h, 100);

    (void)state;
    assert_int_equal(fake_host_written(h).len, 4 * 12);
    assert_true(answer_one(h));
    assert_int_equal(fake_host_written(h).len, 4 * 12);
    answer_all(h);
    assert_int_equal(op->good_count, 100);
    assert_int_equal(device.requests, 10);
    fake_host_free(&h);
}

static void
one_in_flight_by_default_and_writes_first(void **state)
{
    static const char *const pairs[] = {"host=plc", "max_registers=10", NULL};
    struct fake_host *h = connect_device(pairs);
    struct fake_op *rd = read_registers(h, 30), *wr;

    (void)state;
    assert_int_equal(fake_host_written(h).len, 12);
    wr = fake_host_write(h, addr(h, "hr5", NX_DT_INT16), nx_value_int(-1));
    assert_int_equal(fake_host_written(h).len, 12);
    assert_true(answer_one(h));
    assert_true(answer_one(h));
    assert_true(wr->is_done && wr->err == NX_OK);
    assert_int_equal(device.last[7], MODBUS_WRITE_REGISTER);
    assert_false(rd->is_done);
    answer_all(h);
    assert_int_equal(rd->good_count, 30);
    fake_host_free(&h);
}

static void
request_delay_is_kept(void **state)
{
    static const char *const pairs[] = {"host=plc", "max_registers=10", "request_delay=50ms", NULL};
    struct fake_host *h = connect_device(pairs);
    struct fake_op *op = read_registers(h, 30);

    (void)state;
    answer_all(h);
    assert_int_equal(device.requests, 1);
    fake_host_advance_ms(h, 49);
    answer_all(h);
    assert_int_equal(device.requests, 1);
    fake_host_advance_ms(h, 1);
    answer_all(h);
    assert_int_equal(device.requests, 2);
    fake_host_advance_ms(h, 50);
    answer_all(h);
    assert_true(op->is_done);
    assert_int_equal(op->good_count, 30);
    fake_host_free(&h);
}

static void
writes_fail_with_a_reason(void **state)
{
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op;

    (void)state;
    op = fake_host_write(h, addr(h, "ir5", NX_DT_INT16), nx_value_int(1));
    assert_int_equal(op->err, NX_E_DENIED);
    op = fake_host_write(h, addr(h, "hr5", NX_DT_INT16), nx_value_int(40000));
    assert_int_equal(op->err, NX_E_RANGE);
    assert_int_equal(fake_host_written(h).len, 0);
    device.exception = 3;
    op = fake_host_write(h, addr(h, "hr5", NX_DT_INT16), nx_value_int(1));
    answer_all(h);
    assert_int_equal(op->err, NX_E_RANGE);
    device.exception = 2;
    op = fake_host_write(h, addr(h, "hr5.2", NX_DT_BOOL), nx_value_bool(true));
    answer_all(h);
    assert_int_equal(op->err, NX_E_ADDRESS);
    assert_int_equal(device.last[7], MODBUS_MASK_WRITE);
    fake_host_free(&h);
}

static void
nan_is_a_failed_sensor(void **state)
{
    struct fake_host *h = connect_device(NULL);
    const void *a = addr(h, "holding:32704", NX_DT_FLOAT32); /* registers 7FC0 7FC1: a NaN */
    struct fake_op *op = fake_host_read(h, &a, 1);

    (void)state;
    answer_all(h);
    assert_int_equal(op->set_count, 1);
    assert_int_equal(op->items[0].quality, NX_Q_SENSOR_FAILURE);
    assert_int_equal(op->items[0].value.type, NX_TYPE_NONE);
    fake_host_free(&h);
}

static void
wrong_settings_are_refused_at_open(void **state)
{
    static const char *const pairs[] = {"host=plc", "forbidden=holding:9-3", NULL};
    struct fake_host *h = fake_host_new(&modbus_tcp_driver, pairs);

    (void)state;
    assert_int_equal(fake_host_open(h), NX_E_CONFIG);
    fake_host_free(&h);
}

static void
split_cut_short_by_the_deadline_goes_on(void **state)
{
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op;

    (void)state;
    device.missing = 20;
    op = read_registers(h, 64);
    for (unsigned i = 0; i < 3; i++)
        assert_true(answer_one(h));
    fake_host_cancel(op, NX_E_TIMEOUT);
    fake_host_take(h, fake_host_written(h).len);
    for (unsigned poll = 0; poll < 3; poll++) {
        fake_host_read_again(op);
        answer_all(h);
    }
    assert_int_equal(op->good_count, 63);
    fake_host_free(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_register_is_one_bad_tag),
        cmocka_unit_test(hole_is_probed_slowly_and_heals),
        cmocka_unit_test(busy_device_loses_nothing_for_good),
        cmocka_unit_test(absent_unit_ends_the_read_but_not_the_link),
        cmocka_unit_test(pipeline_keeps_its_bound),
        cmocka_unit_test(one_in_flight_by_default_and_writes_first),
        cmocka_unit_test(request_delay_is_kept),
        cmocka_unit_test(writes_fail_with_a_reason),
        cmocka_unit_test(nan_is_a_failed_sensor),
        cmocka_unit_test(wrong_settings_are_refused_at_open),
        cmocka_unit_test(split_cut_short_by_the_deadline_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
