/* Serial lines and RTU over TCP on the fake host: silence, echo, damage, broadcasts, late frames of other units. */
#include "base/mem.h"
#include "base/num.h"
#include "base/wbuf.h"
#include "conformance/fake_host.h"
#include "modbus_addr.h"
#include "modbus_driver.h"
#include "modbus_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const line9600[] = {"serial_port=/dev/ttyS1", NULL};
static const char *const line9600_unit2[] = {"serial_port=/dev/ttyS1", "unit_id=2", NULL};

static struct fake_host *
connect_line(const char *const *pairs)
{
    struct fake_host *h = fake_host_new(&modbus_rtu_driver, pairs);

    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    fake_host_advance_ms(h, 50);
    return h;
}

static const void *
addr(struct fake_host *h, const char *text)
{
    struct nx_addr_spec spec = {.address = text, .data_type = NX_DT_UINT16};

    return fake_host_addr(h, &spec);
}

static struct fake_op *
read_one(struct fake_host *h, struct nx_dev *dev, const char *text)
{
    const void *a = addr(h, text);

    return fake_host_read_dev(dev ? dev : fake_host_dev(h), &a, 1);
}

/* The reply "one register" of a unit. */
static struct slice
reply_of(uint8_t unit, unsigned value, uint8_t frame[7])
{
    uint16_t crc;

    memcpy(frame, (uint8_t[]){unit, 3, 2, (uint8_t)(value >> 8), (uint8_t)value}, 5);
    crc = modbus_crc(slice(frame, 5));
    frame[5] = (uint8_t)crc;
    frame[6] = (uint8_t)(crc >> 8);
    return slice(frame, 7);
}

static void
feed_reply(struct fake_host *h, uint8_t unit, unsigned value)
{
    uint8_t frame[7];

    fake_host_feed(h, reply_of(unit, value, frame));
}

static void
take_request(struct fake_host *h, uint8_t unit)
{
    struct slice out = fake_host_written(h);

    assert_int_equal(out.len, 8);
    assert_int_equal(out.p[0], unit);
    assert_int_equal(modbus_crc(out), 0);
    fake_host_take(h, 8);
}

static void
line_is_opened_as_set(void **state)
{
    static const char *const pairs[] = {"serial_port=/dev/serial/by-id/usb-1",
                                        "baud_rate=19200",
                                        "parity=even",
                                        "stop_bits=2",
                                        "rs485=rts",
                                        "rts_delay=300",
                                        NULL};
    struct fake_host *h = connect_line(pairs);
    const struct nx_serial *s = fake_host_serial(h);

    (void)state;
    assert_string_equal(s->path, "/dev/serial/by-id/usb-1");
    assert_int_equal(s->baud_rate, 19200);
    assert_int_equal(s->data_bits, 8);
    assert_int_equal(s->stop_bits, 2);
    assert_int_equal(s->parity, NX_PARITY_EVEN);
    assert_int_equal(s->rs485, NX_RS485_RTS);
    assert_int_equal(s->rts_delay_us, 300);
    fake_host_free(&h);
}

static void
silence_is_kept_before_a_request(void **state)
{
    static const struct {
        const char *baud;
        unsigned least_ms; /* 3.5 characters of 11 bits, rounded up */
    } rows[] = {{"baud_rate=1200", 33}, {"baud_rate=9600", 5}, {"baud_rate=19200", 3}, {"baud_rate=115200", 2}};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        const char *const pairs[] = {"serial_port=/dev/ttyS1", rows[i].baud, NULL};
        struct fake_host *h = connect_line(pairs);
        struct fake_op *a = read_one(h, NULL, "hr0"), *b = read_one(h, NULL, "hr1");
        unsigned waited = 0;

        take_request(h, 1);
        fake_host_advance_ms(h, 500);
        feed_reply(h, 1, 42);
        assert_int_equal(a->items[0].value.u, 42);
        for (; fake_host_written(h).len == 0 && waited < 100; waited++)
            fake_host_advance_ms(h, 1);
        assert_in_range(waited, rows[i].least_ms, rows[i].least_ms + 1);
        take_request(h, 1);
        feed_reply(h, 1, 43);
        assert_int_equal(b->items[0].value.u, 43);
        fake_host_free(&h);
    }
}

/* One request on the line, whatever there are of units. */
static void
one_request_on_the_line(void **state)
{
    struct fake_host *h = connect_line(line9600);
    struct nx_dev *two = fake_host_add_dev(h, line9600_unit2);
    struct fake_op *a = read_one(h, NULL, "hr0"), *b = read_one(h, two, "hr0");

    (void)state;
    take_request(h, 1);
    fake_host_advance_ms(h, 300);
    assert_int_equal(fake_host_written(h).len, 0);
    feed_reply(h, 1, 1);
    fake_host_advance_ms(h, 20);
    take_request(h, 2);
    feed_reply(h, 2, 2);
    assert_true(a->good_count == 1 && b->good_count == 1);
    fake_host_free(&h);
}

/* Unit 1 is too slow; unit 2 goes on at once, and the late frame reaches nobody. */
static void
late_frame_of_another_unit_is_dropped(void **state)
{
    struct fake_host *h = connect_line(line9600);
    struct nx_dev *two = fake_host_add_dev(h, line9600_unit2);
    struct fake_op *slow = read_one(h, NULL, "hr0"), *other = read_one(h, two, "hr0"), *again;

    (void)state;
    take_request(h, 1);
    fake_host_advance_ms(h, 1000);
    fake_host_cancel(slow, NX_E_TIMEOUT);
    again = read_one(h, NULL, "hr5");
    fake_host_advance_ms(h, 20);
    take_request(h, 2);
    feed_reply(h, 1, 111);
    assert_false(other->is_done);
    assert_int_equal(fake_host_counter(h, NX_COUNT_STALE_REPLIES), 1);
    feed_reply(h, 2, 222);
    assert_int_equal(other->items[0].value.u, 222);
    fake_host_advance_ms(h, 20); /* the late frame has come: unit 1 may be asked again before its second is over */
    take_request(h, 1);
    feed_reply(h, 1, 5);
    assert_int_equal(again->items[0].value.u, 5);
    assert_true(fake_host_is_up(h));
    fake_host_free(&h);
}

/* A unit that is dead takes one timeout of the line for each of its requests, and nothing more. */
static void
dead_unit_costs_the_others_little(void **state)
{
    struct fake_host *h = connect_line(line9600);
    struct nx_dev *two = fake_host_add_dev(h, line9600_unit2);
    struct fake_op *dead = read_one(h, NULL, "hr0"), *op;
    unsigned polls = 0;

    (void)state;
    take_request(h, 1);
    fake_host_advance_ms(h, 500);
    fake_host_cancel(dead, NX_E_TIMEOUT);
    dead = read_one(h, NULL, "hr0");
    for (uint64_t begin = fake_host_now_ms(h); fake_host_now_ms(h) < begin + 480; polls++) {
        op = read_one(h, two, "hr0");
        fake_host_advance_ms(h, 20);
        take_request(h, 2);
        feed_reply(h, 2, 7);
        assert_int_equal(op->good_count, 1);
    }
    assert_int_equal(polls, 24);
    assert_false(dead->is_done);
    assert_int_equal(dead->alive_count, 0);
    fake_host_cancel(dead, NX_E_CANCELED);
    fake_host_free(&h);
}

static void
damaged_reply_fails_at_once_and_the_line_recovers(void **state)
{
    struct fake_host *h = connect_line(line9600);
    struct fake_op *op = read_one(h, NULL, "hr0");
    uint8_t frame[7];
    struct slice bad = reply_of(1, 9, frame);

    (void)state;
    take_request(h, 1);
    frame[3] ^= 1;
    fake_host_feed(h, bad);
    assert_true(op->is_done && op->good_count == 0);
    assert_int_equal(op->items[0].err, NX_E_PROTO);
    assert_non_null(strstr(op->items[0].why, "damaged on the line"));
    op = read_one(h, NULL, "hr0");
    fake_host_advance_ms(h, 40);
    feed_reply(h, 1, 8); /* still the noise of before: dropped, and the silence begins anew */
    fake_host_advance_ms(h, 40);
    assert_int_equal(fake_host_written(h).len, 0);
    fake_host_advance_ms(h, 10);
    take_request(h, 1);
    feed_reply(h, 1, 10);
    assert_int_equal(op->items[0].value.u, 10);
    fake_host_free(&h);
}

static void
reply_that_stops_is_given_up(void **state)
{
    struct fake_host *h = connect_line(line9600);
    struct fake_op *op = read_one(h, NULL, "hr0");
    uint8_t frame[7];

    (void)state;
    take_request(h, 1);
    fake_host_feed(h, slice(reply_of(1, 9, frame).p, 4));
    fake_host_advance_ms(h, 49);
    assert_false(op->is_done);
    fake_host_advance_ms(h, 1);
    assert_int_equal(op->items[0].err, NX_E_PROTO);
    assert_non_null(strstr(op->items[0].why, "ends in the middle"));
    op = read_one(h, NULL, "hr0");
    fake_host_advance_ms(h, 20);
    take_request(h, 1);
    feed_reply(h, 1, 10);
    assert_int_equal(op->items[0].value.u, 10);
    fake_host_free(&h);
}

/* Adapters pause in the middle of a frame, at any byte. */
static void
pauses_inside_a_frame_are_no_end(void **state)
{
    (void)state;
    for (size_t cut = 1; cut < 7; cut++) {
        struct fake_host *h = connect_line(line9600);
        struct fake_op *op = read_one(h, NULL, "hr0");
        uint8_t frame[7];
        struct slice reply = reply_of(1, 77, frame);

        take_request(h, 1);
        fake_host_feed(h, slice(reply.p, cut));
        fake_host_advance_ms(h, 30);
        fake_host_feed(h, slice_skip(reply, cut));
        assert_int_equal(op->items[0].value.u, 77);
        fake_host_free(&h);
    }
}

static void
own_echo_is_dropped(void **state)
{
    static const char *const pairs[] = {"serial_port=/dev/ttyS1", "echo=true", NULL};

    (void)state;
    for (size_t cut = 1; cut < 15; cut++) {
        struct fake_host *h = connect_line(pairs);
        struct fake_op *op = read_one(h, NULL, "hr0");
        uint8_t heard[15];

        memcpy(heard, fake_host_written(h).p, 8);
        take_request(h, 1);
        reply_of(1, 1234, heard + 8);
        fake_host_feed(h, slice(heard, cut));
        fake_host_feed(h, slice(heard + cut, 15 - cut));
        assert_int_equal(op->items[0].value.u, 1234);
        fake_host_free(&h);
    }
}

static void
wrong_or_missing_echo_is_said(void **state)
{
    static const char *const pairs[] = {"serial_port=/dev/ttyS1", "echo=true", NULL};
    struct fake_host *h = connect_line(pairs);
    struct fake_op *op = read_one(h, NULL, "hr0");

    (void)state;
    take_request(h, 1);
    feed_reply(h, 1, 5); /* this line has no echo */
    assert_non_null(strstr(op->items[0].why, "own echo differs"));
    fake_host_free(&h);
}

/* AP 6.6 over SL 2.2: nobody answers a broadcast; the next request waits for the turnaround. */
static void
broadcast_is_written_and_not_waited_for(void **state)
{
    static const char *const all[] = {"serial_port=/dev/ttyS1", "unit_id=0", NULL};
    struct fake_host *h = connect_line(line9600);
    struct nx_dev *everyone = fake_host_add_dev(h, all);
    struct fake_op *wr = fake_host_write_dev(everyone, addr(h, "hr3"), nx_value_uint(7)), *rd;

    (void)state;
    assert_true(wr->is_done && wr->err == NX_OK);
    take_request(h, 0);
    rd = read_one(h, NULL, "hr0");
    fake_host_advance_ms(h, 100);
    assert_int_equal(fake_host_written(h).len, 0);
    fake_host_advance_ms(h, 20);
    take_request(h, 1);
    feed_reply(h, 1, 3);
    assert_int_equal(rd->good_count, 1);
    rd = read_one(h, everyone, "hr0");
    assert_int_equal(rd->err, NX_E_CONFIG);
    assert_non_null(strstr(rd->why, "broadcast"));
    fake_host_free(&h);
}

static void
strangers_on_the_line_reopen_it(void **state)
{
    struct fake_host *h = connect_line(line9600);
    struct fake_op *op = read_one(h, NULL, "hr0");

    (void)state;
    take_request(h, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(fake_host_is_up(h));
        feed_reply(h, 99, 1);
        fake_host_advance_ms(h, 20);
    }
    assert_false(fake_host_is_up(h));
    assert_int_equal(op->err, NX_E_PROTO);
    assert_int_equal(op->set_count, 0);
    fake_host_free(&h);
}

/* A million replies with some mistake: no value ever reaches a tag that it does not belong to. Register r of unit u
 * holds u * 1000 + r; whatever is taken for good must be that. */
static void
faulty_replies_never_reach_a_wrong_tag(void **state)
{
    static const char *const names[] = {"hr1", "hr2", "hr3", "hr4", "hr5"};
    struct fake_host *h = connect_line(line9600);
    struct nx_dev *devs[2] = {fake_host_dev(h), fake_host_add_dev(h, line9600_unit2)};
    const void *addrs[5];
    struct fake_op *lists[2][5];
    uint64_t seed = 4711;
    unsigned good = 0, faulty = 0;
    uint8_t late[7];
    struct slice held = {late, 0};

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        addrs[i] = addr(h, names[i]);
    for (unsigned d = 0; d < 2; d++)
        for (unsigned i = 0; i < 5; i++)
            lists[d][i] = fake_host_read_list(devs[d], &addrs[i], 1);
    while (faulty < 1000000) {
        uint64_t dice = num_random(&seed);
        unsigned d = dice & 1, i = (unsigned)(dice >> 8) % 5, fault = (unsigned)(dice >> 16) % 6;
        struct fake_op *op = lists[d][i];
        uint8_t frame[7];
        struct slice reply = reply_of((uint8_t)(d + 1), (d + 1) * 1000 + i + 1, frame);

        if (!fake_host_is_up(h)) {
            fake_host_close(h);
            assert_int_equal(fake_host_open(h), NX_OK);
            fake_host_accept(h);
        }
        fake_host_read_again(op);
        if (held.len > 0) { /* the late one, while we wait for the next */
            fake_host_advance_ms(h, (dice >> 40) % 250);
            fake_host_feed(h, held);
            held.len = 0;
        }
        for (unsigned step = 0; step < 300 && fake_host_written(h).len == 0; step++)
            fake_host_advance_ms(h, 20);
        fake_host_take(h, fake_host_written(h).len);
        if (fault == 0) /* damaged */
            frame[(dice >> 24) % 7] ^= (uint8_t)(1u << (dice >> 32) % 8);
        if (fault == 1) /* of the other unit, with its value */
            reply = reply_of((uint8_t)(2 - d), 9999, frame);
        if (fault == 2) /* cut short */
            reply.len = (dice >> 24) % 7;
        if (fault == 3) { /* too late, but before as long again has gone by */
            fake_host_advance_ms(h, 300);
            fake_host_cancel(op, NX_E_TIMEOUT);
            memcpy(late, frame, sizeof late);
            held = slice(late, sizeof late);
            reply.len = 0;
        }
        fake_host_feed(h, reply);
        if (fault == 4) /* twice */
            fake_host_feed(h, reply);
        if (held.len == 0)
            fake_host_advance_ms(h, 60);
        fake_host_cancel(op, NX_E_TIMEOUT);
        assert_true(op->good_count == 0 || op->items[0].value.u == (d + 1) * 1000 + i + 1);
        good += op->good_count;
        faulty += fault < 5;
    }
    assert_true(good > 200000);
    fake_host_free(&h);
}

static void
rtu_frames_over_tcp(void **state)
{
    static const char *const pairs[] = {"host=converter", "framing=rtu", NULL};
    struct fake_host *h = fake_host_new(&modbus_tcp_driver, pairs);
    struct fake_op *a, *b;

    (void)state;
    assert_int_equal(fake_host_open(h), NX_OK);
    fake_host_accept(h);
    a = read_one(h, NULL, "hr0");
    b = read_one(h, NULL, "hr1");
    take_request(h, 1);
    assert_int_equal(fake_host_written(h).len, 0);
    feed_reply(h, 1, 5);
    take_request(h, 1); /* the converter keeps the silence */
    feed_reply(h, 1, 6);
    assert_int_equal(a->items[0].value.u, 5);
    assert_int_equal(b->items[0].value.u, 6);
    fake_host_free(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_is_opened_as_set),
        cmocka_unit_test(silence_is_kept_before_a_request),
        cmocka_unit_test(one_request_on_the_line),
        cmocka_unit_test(late_frame_of_another_unit_is_dropped),
        cmocka_unit_test(dead_unit_costs_the_others_little),
        cmocka_unit_test(damaged_reply_fails_at_once_and_the_line_recovers),
        cmocka_unit_test(reply_that_stops_is_given_up),
        cmocka_unit_test(pauses_inside_a_frame_are_no_end),
        cmocka_unit_test(own_echo_is_dropped),
        cmocka_unit_test(wrong_or_missing_echo_is_said),
        cmocka_unit_test(broadcast_is_written_and_not_waited_for),
        cmocka_unit_test(strangers_on_the_line_reopen_it),
        cmocka_unit_test(faulty_replies_never_reach_a_wrong_tag),
        cmocka_unit_test(rtu_frames_over_tcp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
