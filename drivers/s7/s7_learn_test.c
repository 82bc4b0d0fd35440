/* What a CPU refuses, on the fake host, and what is learned from it. */
#include "s7_driver.h"

#include "base/mem.h"
#include "s7_test_host.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
one_bad_range_among_ten_thousand_costs_one_tag(void **state)
{
    struct fake_host *h;
    struct fake_op *op;

    (void)state;
    reset_cpu();
    cpu.db = 1;
    cpu.from = 4000;
    cpu.end = 4002;
    h = connect_cpu(NULL);
    op = read_words(h, 1, 10000, 2);
    cpu_serve(&cpu, h);
    assert_int_equal(op->good_count, 9999);
    assert_int_equal(op->items[2000].err, NX_E_ADDRESS);
    assert_non_null(strstr(op->items[2000].why, "DB1.DBW4000"));
    assert_non_null(strstr(op->items[2000].why, "code 05"));
    assert_words(op, 1, 2);

    cpu.requests = 0; /* learned: a poll costs the minimum again */
    fake_host_read_again(op);
    cpu_serve(&cpu, h);
    assert_int_equal(op->good_count, 9999);
    assert_true(cpu.requests <= 20000 / 222 + 2);
    assert_int_equal(op->items[2000].err, NX_E_ADDRESS);

    fake_host_restart(h); /* and it survives a restart of the program */
    assert_int_equal(fake_host_open(h), NX_OK);
    handshake(h);
    cpu.requests = 0;
    fake_host_read_again(op);
    cpu_serve(&cpu, h);
    assert_int_equal(op->good_count, 9999);
    assert_true(cpu.requests <= 20000 / 222 + 2);
    fake_host_free(&h);
}

static void
hole_is_probed_slowly_and_heals(void **state)
{
    struct fake_host *h;
    struct fake_op *op;

    (void)state;
    reset_cpu();
    cpu.missing_db = 2;
    h = connect_cpu(NULL);
    op = read_one(h, "DB2.DBW0", NX_DT_UINT16);
    cpu_serve(&cpu, h);
    assert_int_equal(op->items[0].err, NX_E_ADDRESS);
    assert_non_null(strstr(op->items[0].why, "no such DB"));
    cpu.requests = 0;
    fake_host_read_again(op);
    assert_true(op->is_done); /* nothing is asked */
    assert_int_equal(cpu_waiting(h), 0);
    fake_host_advance_ms(h, 60000);
    cpu.missing_db = 0;
    fake_host_read_again(op);
    cpu_serve(&cpu, h);
    assert_int_equal(cpu.requests, 1);
    assert_int_equal(op->good_count, 1);
    assert_null(strstr(fake_host_learned(fake_host_dev(h)), "84.2"));
    fake_host_free(&h);
}

static void
only_four_holes_are_probed_in_a_poll(void **state)
{
    struct fake_host *h;
    struct fake_op *op;

    (void)state;
    reset_cpu();
    cpu.missing_db = 1;
    h = connect_cpu(NULL);
    op = read_words(h, 1, 50, 100);
    cpu_serve(&cpu, h);
    assert_int_equal(op->good_count, 0);
    assert_int_equal(op->set_count, 50);
    fake_host_advance_ms(h, 60000);
    fake_host_read_again(op);
    assert_int_equal(fake_host_written(h).p[7 + 11], 4); /* four items in one job */
    assert_int_equal(cpu_waiting(h), 1);
    cpu_serve(&cpu, h);
    assert_int_equal(op->set_count, 50);
    fake_host_free(&h);
}

static void
errors_of_the_whole_name_the_switch_and_keep_the_link(void **state)
{
    static const struct {
        unsigned error;
        enum nx_err err;
        const char *text;
    } rows[] = {
        {0x8104, NX_E_UNSUPPORTED, "Permit access with PUT/GET"},
        {0xD209, NX_E_ADDRESS, "DB is loaded"},
        {0xD241, NX_E_AUTH, "password"},
        {0xD602, NX_E_AUTH, "password"},
        {0x8702, NX_E_DEVICE, "8702"},
    };
    struct fake_host *h;

    (void)state;
    reset_cpu();
    h = connect_cpu(NULL);
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct fake_op *rd = read_words(h, 1, 300, 2), *wr;
        cpu.error = rows[i].error;
        cpu_serve(&cpu, h);
        assert_true(rd->is_done);
        assert_int_equal(rd->err, rows[i].err);
        assert_non_null(strstr(rd->why, rows[i].text));
        wr = fake_host_write(h, addr(h, "DB1.DBW0", NX_DT_UINT16), nx_value_uint(1));
        cpu_serve(&cpu, h);
        assert_int_equal(wr->err, rows[i].err);
        assert_non_null(strstr(wr->why, rows[i].text));
        assert_true(fake_host_is_up(h)); /* no reconnecting for what a person must change */
        cpu.error = 0;
        fake_host_read_again(rd);
        cpu_serve(&cpu, h);
        assert_int_equal(rd->good_count, 300);
    }
    assert_int_equal(cpu.connects, 1);
    fake_host_free(&h);
}

static void
pdu_that_the_cpu_does_not_keep_is_learned(void **state)
{
    struct fake_host *h;
    struct fake_op *op;

    (void)state;
    reset_cpu();
    cpu.pdu = 960;
    cpu.pdu_taken = 300;
    h = connect_cpu(NULL);
    op = read_words(h, 1, 2000, 2);
    cpu_serve(&cpu, h);
    assert_int_equal(op->set_count, 2000);
    for (unsigned i = 0; i < 2; i++) { /* 480, then 240 */
        fake_host_read_again(op);
        cpu_serve(&cpu, h);
    }
    assert_int_equal(op->good_count, 2000);
    assert_words(op, 1, 2);
    assert_non_null(strstr(fake_host_learned(fake_host_dev(h)), "pdu=240"));
    fake_host_restart(h);
    assert_int_equal(fake_host_open(h), NX_OK);
    handshake(h);
    fake_host_read_again(op);
    cpu_serve(&cpu, h);
    assert_int_equal(op->good_count, 2000); /* at once */
    fake_host_free(&h);
}

/* A server that drops items in silence and says that all is well gives no value to any tag. */
static void
items_left_out_are_noticed(void **state)
{
    struct fake_host *h;
    struct fake_op *op;

    (void)state;
    reset_cpu();
    h = connect_cpu(NULL);
    op = read_words(h, 1, 5, 100);
    cpu.items_dropped = 2;
    cpu_serve(&cpu, h);
    assert_true(op->is_done);
    assert_int_equal(op->good_count, 0);
    assert_int_equal(op->set_count, 5);
    assert_int_equal(fake_host_counter(h, NX_COUNT_PROTO_ERRORS), 1);
    assert_true(fake_host_is_up(h));
    fake_host_free(&h);
}

/* A poll that is cancelled between a refusal and the halves of its block leaves no tag out. */
static void
cancelled_split_is_forgotten(void **state)
{
    struct fake_host *h;
    struct fake_op *op;

    (void)state;
    reset_cpu();
    cpu.db = 1;
    cpu.from = 20;
    cpu.end = 22;
    h = connect_cpu(NULL);
    op = read_words(h, 1, 100, 2);
    assert_true(cpu_answer(&cpu, h));
    assert_int_equal(fake_host_counter(h, NX_COUNT_SPLITS), 1);
    fake_host_cancel(op, NX_E_TIMEOUT);
    fake_host_read_again(op);
    cpu_serve(&cpu, h);
    assert_int_equal(op->set_count, 100);
    assert_int_equal(op->good_count, 99);
    assert_int_equal(op->items[10].err, NX_E_ADDRESS);
    assert_words(op, 1, 2);
    fake_host_free(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_bad_range_among_ten_thousand_costs_one_tag),
        cmocka_unit_test(hole_is_probed_slowly_and_heals),
        cmocka_unit_test(cancelled_split_is_forgotten),
        cmocka_unit_test(only_four_holes_are_probed_in_a_poll),
        cmocka_unit_test(errors_of_the_whole_name_the_switch_and_keep_the_link),
        cmocka_unit_test(pdu_that_the_cpu_does_not_keep_is_learned),
        cmocka_unit_test(items_left_out_are_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
