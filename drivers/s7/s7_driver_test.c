/* What only S7 does, on the fake host: slots, negotiation, refused items and jobs, long texts, matching. */
#include "s7_driver.h"

#include "base/mem.h"
#include "s7_test_cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct test_cpu cpu;

static void
reset_cpu(void)
{
    cpu = (struct test_cpu){.pdu = 240, .jobs = 3, .tpdu_size = 10, .slots = 1u << 1};
}

/* Accepts every try, also those that begin a little later. */
static void
handshake(struct fake_host *h)
{
    for (unsigned i = 0; i < 20 && !fake_host_is_up(h) && fake_host_downs(h) == 0; i++) {
        fake_host_accept(h);
        cpu_serve(&cpu, h);
        if (!fake_host_is_up(h))
            fake_host_advance_ms(h, 100);
    }
}

static struct fake_host *
connect_cpu(const char *const *pairs)
{
    static const char *const defaults[] = {"host=plc", "s7_slot=1", NULL};
    struct fake_host *h = fake_host_new(&s7_driver, pairs ? pairs : defaults);

    assert_int_equal(fake_host_open(h), NX_OK);
    handshake(h);
    return h;
}

static const void *
addr(struct fake_host *h, const char *text, enum nx_data_type type)
{
    struct nx_addr_spec spec = {.address = text, .data_type = type};

    return fake_host_addr(h, &spec);
}

static struct fake_op *
read_one(struct fake_host *h, const char *text, enum nx_data_type type)
{
    const void *a = addr(h, text, type);

    return fake_host_read(h, &a, 1);
}

/* Words 0 to n - 1 of a DB, `step` bytes apart, as one read. */
static struct fake_op *
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

static void
assert_words(const struct fake_op *op, unsigned db, unsigned step)
{
    assert_true(op->is_done && op->err == NX_OK);
    for (uint32_t i = 0; i < op->item_count; i++) {
        unsigned in = db + i * step / 60000, at = i * step % 60000;
        if (op->items[i].err == NX_OK)
            assert_int_equal(op->items[i].value.u, cpu_byte(in, at) << 8 | cpu_byte(in, at + 1));
    }
}

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
    static const char *const rows[][3] = {
        {"host=plc", "remote_tsap=nonsense", NULL}, {"host=plc", "local_tsap=1", NULL}, {"host=plc", "forbidden=DB1", NULL}};

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

/* --- what the CPU refuses --- */

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
    assert_int_equal(cpu.requests, 3); /* setup and two */
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
    snprintf(want, sizeof want, "%02X %02X = %u", cpu_byte(1, 0), cpu_byte(1, 1), cpu_byte(1, 0) << 8 | cpu_byte(1, 1));
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
        cmocka_unit_test(one_bad_range_among_ten_thousand_costs_one_tag),
        cmocka_unit_test(hole_is_probed_slowly_and_heals),
        cmocka_unit_test(only_four_holes_are_probed_in_a_poll),
        cmocka_unit_test(errors_of_the_whole_name_the_switch_and_keep_the_link),
        cmocka_unit_test(pdu_that_the_cpu_does_not_keep_is_learned),
        cmocka_unit_test(items_left_out_are_noticed),
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
