/* What refusals teach the driver, on the fake host: holes, probes, limits, restarts. */
#include "modbus_test_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

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
one_bad_register_among_ten_thousand_costs_one_tag(void **state)
{
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op;

    (void)state;
    device.missing = 7777;
    op = read_registers(h, 10000);
    answer_all(h);
    assert_int_equal(op->good_count, 9999);
    assert_int_equal(op->items[7777].err, NX_E_ADDRESS);
    assert_true(device.requests <= 80 + 2 * 7 + 1);
    assert_true(poll_again(h, op) <= 81);
    assert_int_equal(op->good_count, 9999);
    for (unsigned i = 0; i < 10000; i++)
        assert_true(i == 7777 || op->items[i].value.u == i);
    fake_host_free(&h);
}

static void
first_poll_after_a_restart_costs_the_minimum(void **state)
{
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op;

    (void)state;
    device.missing = 20;
    device.max = 60;
    op = read_registers(h, 1000);
    answer_all(h);
    assert_int_equal(poll_again(h, op), 18);
    assert_string_equal(fake_host_learned(fake_host_dev(h)), "v1 regs=60-60 bits=0-2000 h20+1:2");
    fake_host_restart(h);
    reconnect(h);
    assert_int_equal(poll_again(h, op), 18); /* 20 and 979 registers in sixties */
    assert_int_equal(op->good_count, 999);
    assert_int_equal(op->items[20].err, NX_E_ADDRESS);
    device.missing = -1;
    fake_host_advance_ms(h, 59999);
    assert_int_equal(poll_again(h, op), 18);
    fake_host_advance_ms(h, 1);
    assert_int_equal(poll_again(h, op), 19);
    assert_int_equal(op->good_count, 1000);
    assert_int_equal(poll_again(h, op), 17);
    assert_string_equal(fake_host_learned(fake_host_dev(h)), "v1 regs=60-60 bits=0-2000");
    fake_host_free(&h);
}

static void
limits_are_doubted_after_an_hour(void **state)
{
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op;

    (void)state;
    device.max = 30;
    op = read_registers(h, 250);
    answer_all(h);
    assert_int_equal(op->good_count, 250);
    assert_int_equal(poll_again(h, op), 9);
    device.max = 125; /* new firmware */
    fake_host_advance_ms(h, 3600000);
    assert_int_equal(poll_again(h, op), 2);
    assert_int_equal(op->good_count, 250);
    fake_host_free(&h);
}

static void
search_among_all_is_cut_into_polls(void **state)
{
    struct fake_host *h = connect_device(NULL);
    struct fake_op *op;

    (void)state;
    device.exception = MODBUS_EX_ADDRESS; /* the device refuses everything: its program is not running */
    op = read_registers(h, 3000);
    answer_all(h);
    assert_true(op->is_done && op->err == NX_OK);
    assert_int_equal(op->set_count, 3000);
    assert_true(device.requests < 1200);
    for (unsigned i = 0; i < 10; i++)
        (void)poll_again(h, op);
    assert_true(poll_again(h, op) <= 4); /* all are holes now */
    device.exception = 0;
    fake_host_advance_ms(h, 60000);
    (void)poll_again(h, op);
    assert_int_equal(poll_again(h, op), 24);
    assert_int_equal(op->good_count, 3000);
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
plan_is_explained(void **state)
{
    struct fake_host *h = connect_device(NULL);
    const void *addrs[] = {addr(h, "hr0", NX_DT_UINT16), addr(h, "hr10", NX_DT_FLOAT32), addr(h, "coil:3", NX_DT_BOOL),
                           addr(h, "hr20", NX_DT_UINT16)};
    struct fake_op *op = fake_host_read_list(fake_host_dev(h), addrs, 4);
    struct fake_plan *plan = fake_host_explain(op);

    (void)state;
    assert_int_equal(plan->count, 2);
    assert_string_equal(plan->requests[0].text, "read coil 3");
    assert_string_equal(plan->requests[1].text, "read holding 0-20");
    assert_int_equal(plan->requests[1].bytes_out, 12);
    assert_int_equal(plan->requests[1].bytes_in, 9 + 42);
    assert_int_equal(plan->requests[1].gap_bytes, 2 * (9 + 8));
    assert_int_equal(plan->requests[1].item_count, 3);
    device.missing = 20;
    fake_host_read_again(op);
    while (!op->is_done && answer_one(h))
        ;
    plan = fake_host_explain(op);
    assert_int_equal(plan->count, 3);
    assert_null(plan->requests[1].hole);
    assert_string_equal(plan->requests[2].hole, "exception 2, illegal data address");
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
        cmocka_unit_test(one_bad_register_among_ten_thousand_costs_one_tag),
        cmocka_unit_test(first_poll_after_a_restart_costs_the_minimum),
        cmocka_unit_test(limits_are_doubted_after_an_hour),
        cmocka_unit_test(search_among_all_is_cut_into_polls),
        cmocka_unit_test(busy_device_loses_nothing_for_good),
        cmocka_unit_test(plan_is_explained),
        cmocka_unit_test(split_cut_short_by_the_deadline_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
