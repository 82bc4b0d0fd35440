/* What only Modbus does over TCP, on the fake host: units, priorities, busy and absent units, pipelining, delays,
 * identifiers, writes. What is learned is modbus_learn_test.c, serial lines are modbus_line_test.c. */
#include "modbus_test_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

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

/* Two units behind one gateway. */
static struct fake_op *
read_unit(struct fake_host *h, struct nx_dev *dev, unsigned n)
{
    const void *addrs[100];
    char text[32];

    for (unsigned i = 0; i < n; i++) {
        snprintf(text, sizeof text, "holding:%u", i * 200); /* each its own request */
        addrs[i] = addr(h, text, NX_DT_UINT16);
    }
    return fake_host_read_dev(dev, addrs, n);
}

static void
units_take_turns_request_by_request(void **state)
{
    static const char *const unit2[] = {"host=plc", "unit_id=2", NULL}, *const unit3[] = {"host=plc", "unit_id=3",
                                                                                          NULL};
    struct fake_host *h = connect_device(NULL);
    struct nx_dev *two = fake_host_add_dev(h, unit2), *three = fake_host_add_dev(h, unit3);
    struct fake_op *a = read_unit(h, fake_host_dev(h), 4), *b = read_unit(h, two, 4), *c = read_unit(h, three, 4);
    char units[16] = "";

    (void)state;
    for (unsigned i = 0; answer_one(h); i++)
        snprintf(units + i, sizeof units - i, "%u", device.last[6]);
    assert_string_equal(units, "112312312323"); /* the first one had left before the others came */
    assert_true(a->is_done && b->is_done && c->is_done);
    assert_int_equal(fake_host_dev_counter(two, NX_COUNT_REQUESTS), 4);
    fake_host_free(&h);
}

static void
absent_unit_does_not_stop_the_others(void **state)
{
    static const char *const unit2[] = {"host=plc", "unit_id=2", NULL};
    struct fake_host *h = connect_device(NULL);
    struct nx_dev *two = fake_host_add_dev(h, unit2);
    struct fake_op *a = read_unit(h, fake_host_dev(h), 4), *b = read_unit(h, two, 4);

    (void)state;
    device.exception = MODBUS_EX_GATEWAY_TARGET;
    assert_true(answer_one(h));
    device.exception = 0;
    answer_all(h);
    assert_int_equal(a->err, NX_E_OFFLINE);
    assert_int_equal(b->good_count, 4);
    assert_int_equal(device.requests, 5);
    fake_host_free(&h);
}

static void
priority_decides_among_reads_and_writes_come_first(void **state)
{
    struct fake_host *h = connect_device(NULL);
    const void *a = addr(h, "hr1", NX_DT_UINT16), *b = addr(h, "hr2", NX_DT_UINT16), *c = addr(h, "hr3", NX_DT_UINT16);
    char places[8] = "";

    (void)state;
    (void)read_registers(h, 1);
    (void)fake_host_read(h, &a, 1);
    fake_host_set_priority(h, 1);
    (void)fake_host_read(h, &b, 1);
    fake_host_set_priority(h, 2);
    (void)fake_host_read(h, &c, 1);
    fake_host_set_priority(h, 0);
    (void)fake_host_write(h, addr(h, "hr4", NX_DT_UINT16), nx_value_uint(1));
    fake_host_set_priority(h, 1);
    (void)fake_host_write(h, addr(h, "hr5", NX_DT_UINT16), nx_value_uint(1));
    for (unsigned i = 0; answer_one(h); i++)
        snprintf(places + i, sizeof places - i, "%u", device.last[9]);
    assert_string_equal(places, "054321");
    fake_host_free(&h);
}

static void
waiting_for_a_turn_is_not_alive(void **state)
{
    struct fake_host *h = connect_device(NULL);
    struct fake_op *a = read_registers(h, 1), *b = read_registers(h, 1);

    (void)state;
    fake_host_advance_ms(h, 500);
    assert_int_equal(a->alive_count, 1);
    assert_int_equal(b->alive_count, 0);
    assert_true(answer_one(h));
    assert_int_equal(b->alive_count, 1);
    assert_int_equal(b->alive_ms, 500);
    answer_all(h);
    fake_host_free(&h);
}

static void
write_with_read_back(void **state)
{
    static const char *const pairs[] = {"write_function=read_write", NULL};
    struct nx_settings settings = {modbus_tag_params, pairs};
    struct nx_addr_spec spec = {.address = "hr7", .data_type = NX_DT_UINT32, .settings = &settings};
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op = fake_host_write(h, fake_host_addr(h, &spec), nx_value_uint(0x01020304));

    (void)state;
    answer_all(h);
    assert_int_equal(op->err, NX_OK);
    assert_memory_equal(device.last + 7, "\x17\0\7\0\2\0\7\0\2\4\1\2\3\4", 14);
    spec.address = "hr99";
    op = fake_host_write(h, fake_host_addr(h, &spec), nx_value_uint(5));
    answer_all(h);
    assert_int_equal(op->err, NX_E_DEVICE);
    assert_non_null(strstr(op->why, "reads back differently"));
    fake_host_free(&h);
}

static void
wrong_digits_are_a_reason(void **state)
{
    static const char *const pairs[] = {"encoding=bcd", NULL};
    struct nx_settings settings = {modbus_tag_params, pairs};
    struct nx_addr_spec spec = {.address = "hr4660", .data_type = NX_DT_UINT16, .settings = &settings};
    struct fake_host *h = connect_device(NULL);
    const void *addrs[2] = {fake_host_addr(h, &spec)};
    struct fake_op *op;

    (void)state;
    spec.address = "hr4666"; /* 123A */
    addrs[1] = fake_host_addr(h, &spec);
    op = fake_host_read(h, addrs, 2);
    answer_all(h);
    assert_int_equal(op->items[0].value.u, 1234);
    assert_int_equal(op->items[1].err, NX_E_VALUE);
    assert_non_null(strstr(op->items[1].why, "no decimal digit"));
    fake_host_free(&h);
}

/* A reply that comes twice, as some routers make it, is dropped each time and harms nothing. */
static void
duplicate_replies_are_dropped(void **state)
{
    struct fake_host *h = connect_device(NULL);
    uint8_t twice[22] = {0, 0, 0, 0, 0, 5, 1, 3, 2, 0, 42};

    (void)state;
    for (unsigned i = 1; i <= 20; i++) {
        struct fake_op *op = read_registers(h, 1);
        twice[1] = fake_host_written(h).p[1];
        memcpy(twice + 11, twice, 11);
        fake_host_take(h, 12);
        fake_host_feed(h, slice(twice, 22));
        fake_host_feed(h, slice(twice, 11));
        assert_true(op->is_done && op->good_count == 1);
        assert_int_equal(fake_host_counter(h, NX_COUNT_STALE_REPLIES), 2 * i);
    }
    assert_true(fake_host_is_up(h));
    fake_host_free(&h);
}

static void
gateway_with_its_own_identifiers_needs_the_quirk(void **state)
{
    static const char *const quirk[] = {"host=gw", "tid_agnostic=true", NULL};
    static const char *const wrong[] = {"host=gw", "tid_agnostic=true", "pipeline=2", NULL};
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op = read_registers(h, 5);

    (void)state;
    device.tid_offset = 1;
    answer_all(h);
    assert_false(op->is_done);
    for (unsigned i = 0; i < 2; i++) {
        fake_host_cancel(op, NX_E_TIMEOUT);
        op = read_registers(h, 5);
        answer_all(h);
    }
    assert_true(op->is_done && fake_host_downs(h) == 1);
    fake_host_free(&h);

    h = connect_device(quirk);
    device.tid_offset = 1;
    op = read_registers(h, 5);
    answer_all(h);
    assert_int_equal(op->good_count, 5);
    fake_host_free(&h);

    h = fake_host_new(&modbus_tcp_driver, wrong);
    assert_int_equal(fake_host_open(h), NX_E_CONFIG);
    fake_host_free(&h);
}

/* The device that stays one reply behind for ever after a timeout: the late one must not be the next one's. */
static void
late_reply_is_waited_for_when_identifiers_do_not_count(void **state)
{
    static const char *const quirk[] = {"host=gw", "tid_agnostic=true", NULL};
    static const uint8_t late[] = {9, 9, 0, 0, 0, 5, 1, 3, 2, 0, 111};
    struct fake_host *h = connect_device(quirk);
    struct fake_op *first = read_registers(h, 1), *second;

    (void)state;
    fake_host_take(h, 12);
    fake_host_advance_ms(h, 1000);
    fake_host_cancel(first, NX_E_TIMEOUT);
    second = read_registers(h, 1);
    assert_int_equal(fake_host_written(h).len, 0);
    fake_host_advance_ms(h, 900);
    assert_int_equal(fake_host_written(h).len, 0);
    fake_host_feed(h, slice(late, sizeof late));
    assert_int_equal(fake_host_written(h).len, 12);
    assert_int_equal(fake_host_counter(h, NX_COUNT_STALE_REPLIES), 1);
    answer_all(h);
    assert_int_equal(second->items[0].value.u, 0);

    first = read_registers(h, 1); /* and when it never comes, the wait ends */
    fake_host_take(h, 12);
    fake_host_advance_ms(h, 1000);
    fake_host_cancel(first, NX_E_TIMEOUT);
    second = read_registers(h, 1);
    fake_host_advance_ms(h, 1000);
    answer_all(h);
    assert_int_equal(second->good_count, 1);
    fake_host_free(&h);
}

static void
line_bytes_are_explained(void **state)
{
    static const uint8_t out[] = {0, 7, 0, 0, 0, 6, 1, 3, 0, 10, 0, 3};
    static const uint8_t in[] = {0, 7, 0, 0, 0, 9, 1, 3, 6, 0, 42, 0x40, 0x49, 0x0F, 0xDB},
                         refused[] = {0, 7, 0, 0, 0, 3, 1, 0x83, 2};
    struct fake_host *h = connect_device(NULL);
    const struct nx_settings *s = fake_host_settings(fake_host_dev(h));
    static const char *const unit2[] = {"host=plc", "unit_id=2", NULL};
    struct nx_exchange x = {out, in, sizeof out, sizeof in, s};
    char text[120];

    (void)state;
    assert_true(modbus_tcp_driver.dissect(&x, NULL, text, sizeof text));
    assert_string_equal(text, "unit 1 read holding 10-12: 6 bytes");
    assert_true(modbus_tcp_driver.dissect(&x, addr(h, "hr10", NX_DT_UINT16), text, sizeof text));
    assert_string_equal(text, "00 2A = 42");
    assert_true(modbus_tcp_driver.dissect(&x, addr(h, "hr11", NX_DT_FLOAT32), text, sizeof text));
    assert_non_null(strstr(text, "40 49 0F DB = 3.14159"));
    assert_false(modbus_tcp_driver.dissect(&x, addr(h, "hr12", NX_DT_FLOAT32), text, sizeof text));
    assert_false(modbus_tcp_driver.dissect(&x, addr(h, "ir10", NX_DT_UINT16), text, sizeof text));
    x.settings = fake_host_settings(fake_host_add_dev(h, unit2)); /* the same register of another unit on the link */
    assert_false(modbus_tcp_driver.dissect(&x, addr(h, "hr10", NX_DT_UINT16), text, sizeof text));
    x.settings = s;
    x.in_len = 0;
    assert_true(modbus_tcp_driver.dissect(&x, NULL, text, sizeof text));
    assert_string_equal(text, "unit 1 read holding 10-12: no answer to it here");
    x.in = refused;
    x.in_len = sizeof refused;
    assert_true(modbus_tcp_driver.dissect(&x, addr(h, "hr10", NX_DT_UINT16), text, sizeof text));
    assert_string_equal(text, "refused: exception 2, illegal data address");
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_unit_ends_the_read_but_not_the_link),
        cmocka_unit_test(units_take_turns_request_by_request),
        cmocka_unit_test(absent_unit_does_not_stop_the_others),
        cmocka_unit_test(priority_decides_among_reads_and_writes_come_first),
        cmocka_unit_test(waiting_for_a_turn_is_not_alive),
        cmocka_unit_test(write_with_read_back),
        cmocka_unit_test(wrong_digits_are_a_reason),
        cmocka_unit_test(duplicate_replies_are_dropped),
        cmocka_unit_test(gateway_with_its_own_identifiers_needs_the_quirk),
        cmocka_unit_test(late_reply_is_waited_for_when_identifiers_do_not_count),
        cmocka_unit_test(line_bytes_are_explained),
        cmocka_unit_test(pipeline_keeps_its_bound),
        cmocka_unit_test(one_in_flight_by_default_and_writes_first),
        cmocka_unit_test(request_delay_is_kept),
        cmocka_unit_test(writes_fail_with_a_reason),
        cmocka_unit_test(nan_is_a_failed_sensor),
        cmocka_unit_test(wrong_settings_are_refused_at_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
