/* What only S7 does, on the fake host: slots, negotiation, long texts, matching, writes, explain and dissect. */
#include "s7_driver.h"

#include "base/mem.h"
#include "s7_test_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- connecting --- */

static void
finds_the_slot_one_try_after_the_other(void **state)
{
    static const char *const pairs[] = {"host=plc", NULL};
    struct fake_host *h;

    (void)state;
    reset_cpu();
    cpu.slots = 1u << 0; /* the third to be tried */
    h = connect_cpu(pairs);
    assert_true(fake_host_is_up(h));
    assert_int_equal(cpu.connects, 3);
    assert_int_equal(cpu.last_tsap, 0x0200);
    assert_int_equal(cpu.last_local, 0x0100);
    (void)read_one(h, "DB1.DBW0", NX_DT_UINT16); /* the device learns it */
    cpu_serve(&cpu, h);
    assert_non_null(strstr(fake_host_learned(fake_host_dev(h)), "tsap=0200"));

    fake_host_restart(h);
    cpu.connects = 0;
    assert_int_equal(fake_host_open(h), NX_OK);
    handshake(h);
    assert_int_equal(cpu.connects, 1);
    fake_host_free(&h);
}

static void
no_slot_is_one_link_down_with_the_remedy(void **state)
{
    static const char *const pairs[] = {"host=plc", NULL};
    struct fake_host *h;

    (void)state;
    reset_cpu();
    cpu.slots = 0;
    h = connect_cpu(pairs);
    assert_int_equal(fake_host_downs(h), 1);
    assert_int_equal(cpu.connects, 4);
    assert_int_equal(fake_host_down_err(h), NX_E_REFUSED);
    fake_host_free(&h);
}

static void
given_addresses_are_not_guessed(void **state)
{
    static const struct {
        const char *pairs[6];
        uint16_t local, remote;
    } rows[] = {
        {{"host=plc", "s7_rack=1", "s7_slot=3", NULL}, 0x0100, 0x0223},
        {{"host=plc", "rack=0", "slot=2", "connection_type=pg", NULL}, 0x0100, 0x0102},
        {{"host=plc", "s7_slot=1", "connection_type=basic", NULL}, 0x0100, 0x0301},
        {{"host=plc", "local_tsap=0x1000", "remote_tsap=0x2000", NULL}, 0x1000, 0x2000},
        {{"host=plc", "local_tsap=01.00", "remote_tsap=03.00", NULL}, 0x0100, 0x0300},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct fake_host *h;
        reset_cpu();
        cpu.slots = 0;
        h = connect_cpu(rows[i].pairs);
        assert_int_equal(cpu.connects, 1);
        assert_int_equal(cpu.last_local, rows[i].local);
        assert_int_equal(cpu.last_tsap, rows[i].remote);
        fake_host_free(&h);
    }
}

static void
wrong_settings_are_refused(void **state)
{
    static const char *const rows[][3] = {{"host=plc", "remote_tsap=nonsense", NULL},
                                          {"host=plc", "local_tsap=1", NULL},
                                          {"host=plc", "forbidden=DB1", NULL}};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct fake_host *h = fake_host_new(&s7_driver, rows[i]);
        assert_int_equal(fake_host_open(h), NX_E_CONFIG);
        fake_host_free(&h);
    }
}

static void
silence_in_the_handshake_is_a_timeout(void **state)
{
    static const char *const pairs[] = {"host=plc", "s7_slot=1", "handshake_timeout=1s", NULL};
    struct fake_host *h;

    (void)state;
    for (unsigned step = 0; step < 3; step++) { /* no TCP, no confirm, no setup */
        h = fake_host_new(&s7_driver, pairs);
        reset_cpu();
        assert_int_equal(fake_host_open(h), NX_OK);
        if (step > 0)
            fake_host_accept(h);
        if (step > 1)
            assert_true(cpu_answer(&cpu, h));
        fake_host_advance_ms(h, 999);
        assert_int_equal(fake_host_downs(h), 0);
        fake_host_advance_ms(h, 1);
        assert_int_equal(fake_host_downs(h), 1);
        assert_int_equal(fake_host_down_err(h), NX_E_TIMEOUT);
        fake_host_free(&h);
    }
}

static void
jobs_on_the_way_are_what_the_cpu_has_agreed_to(void **state)
{
    (void)state;
    for (unsigned jobs = 1; jobs <= 20; jobs += 3) {
        struct fake_host *h;
        struct fake_op *op;
        reset_cpu();
        cpu.jobs = jobs;
        h = connect_cpu(NULL);
        op = read_words(h, 1, 2000, 2);
        assert_int_equal(cpu_waiting(h), jobs < 8 ? jobs : 8); /* 8 are asked for */
        cpu_serve(&cpu, h);
        assert_int_equal(cpu.in_flight_max, jobs < 8 ? jobs : 8);
        assert_int_equal(op->good_count, 2000);
        assert_words(op, 1, 2);
        fake_host_free(&h);
    }
}

/* --- messages in pieces --- */

static void
messages_of_several_tpdus(void **state)
{
    struct fake_host *h;
    struct fake_op *op;
    struct wbuf reply = wbuf_init(0), pieces = wbuf_init(0);

    (void)state;
    reset_cpu();
    cpu.tpdu_size = 7; /* 128 bytes: our requests of 20 items have to be cut */
    cpu.pdu = 480;
    h = connect_cpu(NULL);
    op = read_words(h, 1, 20, 100);
    cpu_reply(&cpu, h, &reply);
    assert_int_equal(cpu.last_len, 12 + 12 * 20);
    for (size_t at = 7; at < reply.len; at += 9) { /* and the reply comes 9 bytes at a time */
        size_t n = reply.len - at < 9 ? reply.len - at : 9;
        wbuf_be32(&pieces, (uint32_t)(0x03000000 | (7 + n)));
        wbuf_be16(&pieces, 0x02F0);
        wbuf_u8(&pieces, at + n == reply.len ? 0x80 : 0);
        wbuf_bytes(&pieces, reply.p + at, n);
    }
    for (size_t i = 0; i < pieces.len; i += 5)
        fake_host_feed(h, slice(pieces.p + i, pieces.len - i < 5 ? pieces.len - i : 5));
    assert_int_equal(op->good_count, 20);
    assert_words(op, 1, 100);
    wbuf_free(&reply);
    wbuf_free(&pieces);
    fake_host_free(&h);
}

static void
endless_message_closes_the_link(void **state)
{
    static const uint8_t piece[] = {3, 0, 0, 15, 2, 0xF0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    struct fake_host *h;

    (void)state;
    reset_cpu();
    h = connect_cpu(NULL);
    for (unsigned i = 0; i < 2000 && fake_host_is_up(h); i++)
        fake_host_feed(h, slice(piece, sizeof piece));
    assert_false(fake_host_is_up(h));
    assert_int_equal(fake_host_down_err(h), NX_E_PROTO);
    fake_host_free(&h);
}

static void
texts_longer_than_a_pdu(void **state)
{
    struct fake_host *h;
    const void *addrs[3];
    struct fake_op *op;

    (void)state;
    reset_cpu();
    h = connect_cpu(NULL);
    addrs[0] = addr(h, "DB1.DBB0:STRING[254]", NX_DT_STRING);
    addrs[1] = addr(h, "DB1.DBW300", NX_DT_UINT16);
    addrs[2] = addr(h, "DB1.DBB2:CHAR[500]", NX_DT_STRING);
    for (unsigned round = 0; round < 3; round++) {
        op = fake_host_read(h, addrs, 3);
        cpu_serve(&cpu, h);
        assert_true(op->is_done && op->good_count == 3);
        assert_int_equal(op->items[1].value.u, cpu_byte(1, 300) << 8 | cpu_byte(1, 301));
        assert_true(op->items[0].value.len >= 13 && op->items[0].value.len <= 2 * 254);
        assert_true(cpu.requests >= 3);
    }
    cpu.db = 1; /* one part is refused: one bad tag, once */
    cpu.from = 250;
    cpu.end = 251;
    op = fake_host_read(h, addrs, 3);
    cpu_serve(&cpu, h);
    assert_true(op->is_done);
    assert_int_equal(op->set_count, 3);
    assert_int_equal(op->items[0].err, NX_E_ADDRESS);
    assert_int_equal(op->items[1].err, NX_OK);
    fake_host_free(&h);
}

/* --- matching --- */

static void
replies_may_come_in_any_order(void **state)
{
    struct fake_host *h;
    struct fake_op *op;
    struct wbuf replies[3] = {wbuf_init(0), wbuf_init(0), wbuf_init(0)};

    (void)state;
    reset_cpu();
    h = connect_cpu(NULL);
    op = read_words(h, 1, 333, 2);
    for (unsigned i = 0; i < 3; i++)
        cpu_reply(&cpu, h, &replies[i]);
    for (unsigned i = 3; i-- > 0;)
        fake_host_feed(h, wbuf_slice_of(&replies[i]));
    assert_int_equal(op->good_count, 333);
    assert_words(op, 1, 2);
    for (unsigned i = 0; i < 3; i++)
        wbuf_free(&replies[i]);
    fake_host_free(&h);
}

static void
duplicates_are_dropped_and_three_close_the_link(void **state)
{
    struct fake_host *h;
    struct fake_op *op;
    struct wbuf reply = wbuf_init(0);

    (void)state;
    reset_cpu();
    h = connect_cpu(NULL);
    for (unsigned i = 0; i < 10; i++) { /* each reply twice, as some networks do it */
        op = read_one(h, "DB1.DBW0", NX_DT_UINT16);
        cpu_reply(&cpu, h, &reply);
        fake_host_feed(h, wbuf_slice_of(&reply));
        fake_host_feed(h, wbuf_slice_of(&reply));
        assert_int_equal(op->good_count, 1);
        assert_int_equal(op->set_count, 1);
    }
    assert_true(fake_host_is_up(h));
    assert_int_equal(fake_host_counter(h, NX_COUNT_STALE_REPLIES), 10);
    for (unsigned i = 0; i < 2; i++)
        fake_host_feed(h, wbuf_slice_of(&reply));
    assert_false(fake_host_is_up(h));
    wbuf_free(&reply);
    fake_host_free(&h);
}

/* Cancelled jobs stay the CPU's until it answers; one that it has lost does not block its slot for ever. */
static void
cancelled_jobs_hold_their_slot_but_not_for_ever(void **state)
{
    static const char *const pairs[] = {"host=plc", "s7_slot=1", "max_jobs=2", NULL};
    struct fake_host *h;
    struct fake_op *lost, *op;

    (void)state;
    reset_cpu();
    h = connect_cpu(pairs);
    lost = read_one(h, "DB1.DBW0", NX_DT_UINT16);
    op = read_words(h, 2, 6000, 2);
    fake_host_take(h, 7 + 12 + 12); /* the first job is never answered */
    fake_host_cancel(lost, NX_E_TIMEOUT);
    for (unsigned i = 0; i < 10; i++) {
        assert_true(cpu_answer(&cpu, h));
        assert_int_equal(cpu.in_flight_max, 1);
    }
    cpu_serve(&cpu, h);
    assert_int_equal(cpu.in_flight_max, 2);
    assert_int_equal(op->good_count, 6000);
    fake_host_free(&h);
}

/* --- writes --- */

static void
bit_is_written_as_a_bit(void **state)
{
    static const uint8_t want[] = {5, 1, 0x12, 10, 0x10, 1, 0, 1, 0, 1, 0x84, 0, 0, 4 * 8 + 3, 0, 3, 0, 1, 1};
    struct fake_host *h;
    struct fake_op *op;

    (void)state;
    reset_cpu();
    h = connect_cpu(NULL);
    op = fake_host_write(h, addr(h, "DB1.DBX4.3", NX_DT_BOOL), nx_value_bool(true));
    cpu_serve(&cpu, h);
    assert_int_equal(op->err, NX_OK);
    assert_int_equal(cpu.requests, 2); /* setup and write: nothing is read before */
    assert_memory_equal(cpu.last + 10, want, sizeof want);
    fake_host_free(&h);
}

static void
refused_write_tells_the_code(void **state)
{
    struct fake_host *h;
    struct fake_op *op;

    (void)state;
    reset_cpu();
    cpu.write_code = 3;
    h = connect_cpu(NULL);
    op = fake_host_write(h, addr(h, "DB1.DBD4:REAL", NX_DT_FLOAT32), nx_value_double(1.5));
    cpu_serve(&cpu, h);
    assert_int_equal(op->err, NX_E_UNSUPPORTED);
    assert_non_null(strstr(op->why, "DB1.DBD4"));
    assert_non_null(strstr(op->why, "code 03"));
    op = fake_host_write(h, addr(h, "DB1.DBW4:INT", NX_DT_INT32), nx_value_int(40000)); /* nothing is sent */
    assert_true(op->is_done);
    assert_int_equal(op->err, NX_E_RANGE);
    fake_host_free(&h);
}

static void
writes_overtake_reads_and_priority_overtakes_writes(void **state)
{
    static const char *const pairs[] = {"host=plc", "s7_slot=1", "max_jobs=1", NULL};
    struct fake_host *h;
    struct fake_op *rd, *slow, *fast;

    (void)state;
    reset_cpu();
    h = connect_cpu(pairs);
    rd = read_words(h, 1, 1000, 2);
    slow = fake_host_write(h, addr(h, "DB1.DBW0", NX_DT_UINT16), nx_value_uint(1));
    fake_host_set_priority(h, 2);
    fast = fake_host_write(h, addr(h, "DB1.DBW2", NX_DT_UINT16), nx_value_uint(2));
    assert_true(cpu_answer(&cpu, h)); /* the job that was on the way */
    assert_true(cpu_answer(&cpu, h));
    assert_true(fast->is_done && !slow->is_done);
    assert_true(cpu_answer(&cpu, h));
    assert_true(slow->is_done && !rd->is_done);
    cpu_serve(&cpu, h);
    assert_int_equal(rd->good_count, 1000);
    fake_host_free(&h);
}

static void
long_text_is_written_in_jobs_within_the_pdu(void **state)
{
    struct fake_host *h;
    struct fake_op *op;
    char text[254];

    (void)state;
    memset(text, 'x', sizeof text);
    reset_cpu();
    cpu.pdu_taken = 240;
    h = connect_cpu(NULL);
    op = fake_host_write(h, addr(h, "DB1.DBB0:STRING", NX_DT_STRING), nx_value_string(text, sizeof text));
    cpu_serve(&cpu, h);
    assert_int_equal(op->err, NX_OK);
    assert_int_equal(cpu.requests, 3);   /* setup and two */
    assert_int_equal(cpu.last[28], 254); /* the length comes last */
    fake_host_free(&h);
}

/* --- for people --- */

static void
explains_requests_gaps_and_holes(void **state)
{
    struct fake_host *h;
    const void *addrs[4];
    struct fake_op *op;
    const struct fake_plan *plan;

    (void)state;
    reset_cpu();
    cpu.missing_db = 2;
    h = connect_cpu(NULL);
    addrs[0] = addr(h, "DB1.DBW0", NX_DT_UINT16);
    addrs[1] = addr(h, "DB1.DBB6", NX_DT_UINT8);
    addrs[2] = addr(h, "T5", NX_DT_UINT32);
    addrs[3] = addr(h, "DB2.DBW0", NX_DT_UINT16);
    op = fake_host_read(h, addrs, 4);
    cpu_serve(&cpu, h);
    plan = fake_host_explain(op);
    assert_int_equal(plan->count, 2);
    assert_string_equal(plan->requests[0].text, "read T5, DB1.DBB0-6");
    assert_int_equal(plan->requests[0].bytes_out, 7 + 12 + 2 * 12);
    assert_int_equal(plan->requests[0].bytes_in, 7 + 14 + 4 + 2 + 4 + 7);
    assert_int_equal(plan->requests[0].gap_bytes, 4);
    assert_null(plan->requests[0].hole);
    assert_string_equal(plan->requests[1].text, "read DB2.DBB0-1");
    assert_non_null(strstr(plan->requests[1].hole, "no such DB"));
    fake_host_free(&h);
}

static void
dissects_by_tag_and_as_a_whole(void **state)
{
    struct fake_host *h;
    const void *word, *other;
    struct wbuf reply = wbuf_init(0);
    uint8_t out[64];
    char text[200], want[200];
    struct nx_exchange x = {.out = out};

    (void)state;
    reset_cpu();
    h = connect_cpu(NULL);
    word = addr(h, "DB1.DBW0", NX_DT_UINT16);
    other = addr(h, "DB1.DBW8", NX_DT_UINT16);
    (void)fake_host_read(h, &word, 1);
    x.out_len = fake_host_written(h).len;
    memcpy(out, fake_host_written(h).p, x.out_len);
    cpu_reply(&cpu, h, &reply);
    x.in = reply.p;
    x.in_len = reply.len;
    snprintf(want, sizeof want, "%02X %02X = %d", cpu_byte(1, 0), cpu_byte(1, 1), cpu_byte(1, 0) << 8 | cpu_byte(1, 1));
    assert_true(s7_driver.dissect(&x, word, text, sizeof text));
    assert_string_equal(text, want);
    assert_false(s7_driver.dissect(&x, other, text, sizeof text));
    assert_true(s7_driver.dissect(&x, NULL, text, sizeof text));
    assert_string_equal(text, "read DB1.DBB0-1: 2 bytes");
    x.in_len = 5;
    assert_true(s7_driver.dissect(&x, NULL, text, sizeof text));
    assert_string_equal(text, "read DB1.DBB0-1: no complete answer");
    fake_host_feed(h, wbuf_slice_of(&reply));
    wbuf_free(&reply);
    fake_host_free(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_slot_one_try_after_the_other),
        cmocka_unit_test(no_slot_is_one_link_down_with_the_remedy),
        cmocka_unit_test(given_addresses_are_not_guessed),
        cmocka_unit_test(wrong_settings_are_refused),
        cmocka_unit_test(silence_in_the_handshake_is_a_timeout),
        cmocka_unit_test(jobs_on_the_way_are_what_the_cpu_has_agreed_to),
        cmocka_unit_test(messages_of_several_tpdus),
        cmocka_unit_test(endless_message_closes_the_link),
        cmocka_unit_test(texts_longer_than_a_pdu),
        cmocka_unit_test(replies_may_come_in_any_order),
        cmocka_unit_test(duplicates_are_dropped_and_three_close_the_link),
        cmocka_unit_test(cancelled_jobs_hold_their_slot_but_not_for_ever),
        cmocka_unit_test(bit_is_written_as_a_bit),
        cmocka_unit_test(refused_write_tells_the_code),
        cmocka_unit_test(writes_overtake_reads_and_priority_overtakes_writes),
        cmocka_unit_test(long_text_is_written_in_jobs_within_the_pdu),
        cmocka_unit_test(explains_requests_gaps_and_holes),
        cmocka_unit_test(dissects_by_tag_and_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
