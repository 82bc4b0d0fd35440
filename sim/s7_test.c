/* The simulated S7 CPU: frames, limits, item errors, writes, system lists, faults and commands, and the server on its
 * port. Requests are written out here byte by byte, by the protocol. */
#include "base/mem.h"
#include "sim/bytes.h"
#include "sim/s7_control.h"
#include "sim/s7_load.h"
#include "sim/s7_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MESSAGE_MAX 2048u

/* A CPU with 3 data blocks of 512 bytes that tell their addresses, one session, and the last reply. */
struct fixture {
    struct s7sim_cpu cpu;
    struct s7sim_session session;
    uint8_t out[S7_PDU_MAX];
    size_t len;
};

struct item {
    unsigned transport, count, db, area, bit_address;
};

static const uint8_t setup_480[] = {0x32, 1, 0, 0, 0x12, 0x34, 0, 8, 0, 0, 0xF0, 0, 0, 8, 0, 8, 0x01, 0xE0};

static void
ask(struct fixture *f, const uint8_t *in, size_t len)
{
    f->len = s7sim_cpu_answer(&f->cpu, &f->session, in, len, f->out);
}

static int
set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    assert_true(s7sim_cpu_model("s7-1200", &f->cpu.conf));
    s7sim_memory_init(&f->cpu.memory, 3, 512, 64);
    s7sim_memory_fill_provenance(&f->cpu.memory);
    ask(f, setup_480, sizeof setup_480);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    s7sim_memory_fini(&f->cpu.memory);
    free(f);
    return 0;
}

static size_t
put_request(uint8_t *out, unsigned function, const struct item *items, unsigned n, const uint8_t *data, size_t data_len)
{
    const uint8_t head[] = {0x32, 1, 0, 0, 0xAB, 0xCD};
    size_t len = 12;

    memcpy(out, head, sizeof head);
    put16(out + 6, 2 + 12 * n);
    put16(out + 8, (unsigned)data_len);
    out[10] = (uint8_t)function;
    out[11] = (uint8_t)n;
    for (unsigned i = 0; i < n; i++, len += 12) {
        const struct item *it = &items[i];
        uint8_t *p = out + len;
        p[0] = 0x12;
        p[1] = 0x0A;
        p[2] = 0x10;
        p[3] = (uint8_t)it->transport;
        put16(p + 4, it->count);
        put16(p + 6, it->db);
        put32(p + 8, it->bit_address);
        p[8] = (uint8_t)it->area;
    }
    if (data_len > 0)
        memcpy(out + len, data, data_len);
    return len + data_len;
}

static void
read_items(struct fixture *f, const struct item *items, unsigned n)
{
    uint8_t in[MESSAGE_MAX];

    ask(f, in, put_request(in, 4, items, n, NULL, 0));
}

static void
write_items(struct fixture *f, const struct item *items, unsigned n, const uint8_t *data, size_t len)
{
    uint8_t in[MESSAGE_MAX];

    ask(f, in, put_request(in, 5, items, n, data, len));
}

static void
assert_error(const struct fixture *f, unsigned error)
{
    assert_int_equal(f->len, 12);
    assert_int_equal(f->out[1], S7_ACK);
    assert_int_equal(get16(f->out + 10), error);
}

/* The reply has these data bytes behind header and parameters. */
static void
assert_data(const struct fixture *f, const uint8_t *data, size_t len)
{
    assert_int_equal(f->len, 14 + len);
    assert_int_equal(f->out[1], S7_ACK_DATA);
    assert_int_equal(get16(f->out + 4), 0xABCD);
    assert_int_equal(get16(f->out + 8), len);
    assert_int_equal(get16(f->out + 10), 0);
    assert_memory_equal(f->out + 14, data, len);
}

/* --- frames --- */

static const uint8_t connect_frame[] = {3,    0, 0, 22,   0x11, 0xE0, 0, 0,    0, 1,    0,
                                        0xC0, 1, 9, 0xC1, 2,    1,    0, 0xC2, 2, 0x02, 0x21};

static void
a_frame_needs_all_its_bytes(void **state)
{
    struct s7sim_tpdu tpdu;

    (void)state;
    for (size_t cut = 0; cut < sizeof connect_frame; cut++)
        assert_int_equal(s7sim_tpdu_read(connect_frame, cut, &tpdu), 0);
    assert_int_equal(s7sim_tpdu_read(connect_frame, sizeof connect_frame, &tpdu), sizeof connect_frame);
    assert_int_equal(tpdu.kind, S7_TPDU_CONNECT);
}

static void
a_frame_of_something_else_is_broken(void **state)
{
    static const uint8_t http[] = "GET / HTTP/1.1\r\n", tiny[] = {3, 0, 0, 4, 0, 0, 0, 0},
                         huge[] = {3, 0, 0xFF, 0, 2, 0xF0, 0x80, 0}, head[] = {3, 0, 0, 7, 9, 0xF0, 0x80};
    struct s7sim_tpdu tpdu;

    (void)state;
    assert_int_equal(s7sim_tpdu_read(http, sizeof http, &tpdu), -1);
    assert_int_equal(s7sim_tpdu_read(tiny, sizeof tiny, &tpdu), -1);
    assert_int_equal(s7sim_tpdu_read(huge, sizeof huge, &tpdu), -1);
    assert_int_equal(s7sim_tpdu_read(head, sizeof head, &tpdu), -1);
}

static void
a_connection_names_rack_and_slot(void **state)
{
    struct s7sim_cpu cpu = {.conf = {.rack = 1, .slot = 1}};
    struct s7sim_connect c;
    struct s7sim_tpdu tpdu;
    uint8_t out[S7_FRAME_MAX];

    (void)state;
    (void)s7sim_tpdu_read(connect_frame, sizeof connect_frame, &tpdu);
    assert_true(s7sim_connect_read(&tpdu, &c));
    assert_int_equal(c.tsap, 0x0221);
    assert_int_equal(c.source_tsap, 0x0100);
    assert_int_equal(c.tpdu_bytes, 512);
    assert_true(s7sim_cpu_accepts(&cpu, c.tsap));
    assert_false(s7sim_cpu_accepts(&cpu, 0x0202));
    assert_int_equal(s7sim_connect_confirm(&c, out), 22);
    assert_int_equal(s7sim_tpdu_read(out, 22, &tpdu), 22);
    assert_int_equal(tpdu.kind, S7_TPDU_CONFIRM);
    assert_int_equal(get16(tpdu.p), 1); /* the client's reference */
}

static void
long_messages_leave_in_fragments(void **state)
{
    uint8_t message[300], out[1024], again[300];
    size_t n, at = 0, len = 0;
    struct s7sim_tpdu tpdu = {0};

    (void)state;
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    n = s7sim_data_frames(message, sizeof message, 128, out);
    assert_int_equal(n, 300 + 3 * 7);
    while (at < n) {
        assert_false(tpdu.is_last);
        at += (size_t)s7sim_tpdu_read(out + at, n - at, &tpdu);
        memcpy(again + len, tpdu.p, tpdu.len);
        len += tpdu.len;
    }
    assert_true(tpdu.is_last);
    assert_int_equal(len, sizeof message);
    assert_memory_equal(again, message, len);
}

/* --- setup --- */

static void
setup_takes_the_smaller_limits(void **state)
{
    static const uint8_t params[] = {0xF0, 0, 0, 3, 0, 3, 0, 240};
    static const uint8_t modest[] = {0x32, 1, 0, 0, 0, 1, 0, 8, 0, 0, 0xF0, 0, 0, 1, 0, 1, 0, 100};
    struct fixture *f = *state;

    assert_int_equal(f->len, 20);
    assert_int_equal(f->out[1], S7_ACK_DATA);
    assert_int_equal(get16(f->out + 4), 0x1234);
    assert_memory_equal(f->out + 12, params, sizeof params);
    ask(f, modest, sizeof modest);
    assert_int_equal(f->session.jobs_max, 1);
    assert_int_equal(f->session.pdu_bytes, 100);
}

static void
nothing_is_read_before_setup(void **state)
{
    const struct item item = {S7_BYTE, 1, 1, S7_DB, 0};
    struct fixture *f = *state;

    f->session = (struct s7sim_session){0};
    read_items(f, &item, 1);
    assert_int_equal(f->len, 0);
}

static void
every_truncation_is_refused(void **state)
{
    const struct item items[] = {{S7_BYTE, 3, 1, S7_DB, 0}, {S7_WORD, 1, 1, S7_M, 8}};
    struct fixture *f = *state;
    uint8_t in[MESSAGE_MAX], out[S7_PDU_MAX];
    size_t len = put_request(in, 4, items, 2, NULL, 0);

    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(s7sim_cpu_answer(&f->cpu, &f->session, in, cut, out), 0);
    for (size_t cut = 11; cut < len; cut++) { /* the same with lengths that agree */
        put16(in + 6, (unsigned)(cut - 10));
        ask(f, in, cut);
        assert_error(f, S7_E_SERVICE);
    }
}

static void
too_many_jobs_at_once_are_refused(void **state)
{
    const struct item item = {S7_BYTE, 1, 1, S7_DB, 0};
    struct fixture *f = *state;

    f->session.jobs_open = 3;
    read_items(f, &item, 1);
    assert_int_equal(f->out[1], S7_ACK_DATA);
    f->session.jobs_open = 4;
    read_items(f, &item, 1);
    assert_error(f, S7_E_RESOURCES);
}

/* --- reading --- */

static void
reads_items_of_every_area(void **state)
{
    const struct item items[] = {
        {S7_WORD, 2, 2, S7_DB, 4 * 8}, {S7_BYTE, 1, 0, S7_M, 1 * 8},       {S7_BIT, 1, 0, S7_I, 2 * 8 + 1},
        {S7_REAL, 1, 0, S7_Q, 0},      {S7_COUNTER, 1, 0, S7_COUNTERS, 5}, {S7_TIMER, 1, 0, S7_TIMERS, 6},
    };
    uint8_t want[] = {0xFF, 4, 0, 32, 0, 0, 0, 0, 0xFF, 4, 0, 8, 0, 0xA5, 0xFF, 3, 0, 1, 0, 0xA5,
                      0xFF, 7, 0, 4,  0, 0, 0, 0, 0xFF, 9, 0, 2, 0, 50,   0xFF, 9, 0, 2, 0, 60};
    struct fixture *f = *state;

    put16(f->cpu.memory.counters.bytes + 10, 50);
    put16(f->cpu.memory.timers.bytes + 12, 60);
    put16(want + 4, s7sim_memory_provenance(2, 4));
    put16(want + 6, s7sim_memory_provenance(2, 6));
    want[12] = (uint8_t)s7sim_memory_provenance(S7_M, 0);
    want[18] = s7sim_memory_provenance(S7_I, 2) >> 9 & 1;
    put16(want + 24, s7sim_memory_provenance(S7_Q, 0));
    put16(want + 26, s7sim_memory_provenance(S7_Q, 2));
    read_items(f, items, 6);
    assert_data(f, want, sizeof want);
}

static void
failed_items_have_their_codes_and_no_data(void **state)
{
    const struct item items[] = {
        {S7_BYTE, 1, 9, S7_DB, 0},       /* no such block */
        {S7_WORD, 1, 1, S7_DB, 511 * 8}, /* half of it lies outside */
        {S7_BYTE, 1, 2, S7_DB, 0},       /* optimized */
        {S7_BIT, 2, 1, S7_DB, 0},        /* bits are read one by one */
        {S7_WORD, 1, 0, S7_COUNTERS, 0}, /* not as words */
        {S7_BYTE, 2, 1, S7_DB, 0},
    };
    uint8_t want[] = {0x0A, 0, 0, 4, 5, 0, 0, 4, 5, 0, 0, 4, 6, 0, 0, 4, 6, 0, 0, 4, 0xFF, 4, 0, 16, 0, 0};
    struct fixture *f = *state;

    f->cpu.memory.dbs[1].refusal = 5;
    put16(want + 24, s7sim_memory_provenance(1, 0));
    read_items(f, items, 6);
    assert_data(f, want, sizeof want);
}

static void
a_hole_takes_only_the_items_that_touch_it(void **state)
{
    const struct item items[] = {{S7_BYTE, 2, 1, S7_DB, 8 * 8},
                                 {S7_BYTE, 3, 1, S7_DB, 8 * 8},
                                 {S7_BYTE, 2, 1, S7_DB, 12 * 8}};
    struct fixture *f = *state;

    f->cpu.hole = (struct s7sim_hole){1, 10, 11, 3};
    read_items(f, items, 3);
    assert_int_equal(f->len, 14 + 6 + 4 + 6);
    assert_int_equal(f->out[14], 0xFF);
    assert_int_equal(f->out[20], 3);
    assert_int_equal(f->out[24], 0xFF);
}

/* PDU 240: 222 bytes of data in one item, 19 items of a word, 18 of a double word less its pads. */
static void
both_sizes_must_fit_the_pdu(void **state)
{
    struct item big = {S7_BYTE, 222, 1, S7_DB, 0}, items[21];
    struct fixture *f = *state;

    for (unsigned i = 0; i < MEM_COUNT(items); i++)
        items[i] = (struct item){S7_WORD, 1, 1, S7_DB, 16 * i};
    read_items(f, &big, 1);
    assert_int_equal(f->len, 240);
    big.count = 223;
    read_items(f, &big, 1);
    assert_error(f, S7_E_PDU);
    read_items(f, items, 19);
    assert_int_equal(f->len, 14 + 19 * 6);
    read_items(f, items, 20); /* a request of 252 bytes */
    assert_error(f, S7_E_PDU);
    f->session.pdu_bytes = 480;
    read_items(f, items, 20);
    assert_int_equal(f->len, 14 + 20 * 6);
    read_items(f, items, 21);
    assert_error(f, S7_E_PDU);
    f->cpu.conf.items_max = 0;
    read_items(f, items, 21);
    assert_int_equal(f->len, 14 + 21 * 6);
}

static void
switches_of_the_cpu_refuse_access(void **state)
{
    const struct item item = {S7_BYTE, 1, 1, S7_DB, 0};
    static const uint8_t stop[] = {0x32, 1, 0, 0, 0, 9, 0, 1, 0, 0, 0x29};
    struct fixture *f = *state;

    f->cpu.conf.is_put_get_off = true;
    read_items(f, &item, 1);
    assert_error(f, S7_E_FUNCTION);
    f->cpu.conf.is_put_get_off = false;
    f->cpu.conf.needs_password = true;
    read_items(f, &item, 1);
    assert_error(f, S7_E_PASSWORD);
    ask(f, stop, sizeof stop);
    assert_error(f, S7_E_FUNCTION);
    assert_int_equal(f->cpu.refused, 3);
}

/* --- writing --- */

static void
writes_items_and_bits(void **state)
{
    const struct item items[] = {{S7_BYTE, 3, 1, S7_DB, 10 * 8},
                                 {S7_BIT, 1, 1, S7_DB, 20 * 8 + 3},
                                 {S7_REAL, 1, 0, S7_M, 4 * 8}};
    static const uint8_t data[] = {0, 4, 0, 24, 1, 2, 3, 0, 0, 3, 0, 1, 1, 0, 0, 7, 0, 4, 0x41, 0x20, 0, 0};
    static const uint8_t ok[] = {0xFF, 0xFF, 0xFF};
    struct fixture *f = *state;
    uint8_t *db = f->cpu.memory.dbs[0].bytes;

    db[20] = 0x81;
    write_items(f, items, 3, data, sizeof data);
    assert_data(f, ok, sizeof ok);
    assert_memory_equal(db + 10, "\1\2\3", 3);
    assert_int_equal(db[20], 0x89);
    assert_true(get_real(f->cpu.memory.markers.bytes + 4) > 9.9f);
    assert_int_equal(get16(db + 8), s7sim_memory_provenance(1, 8));
    assert_int_equal(db[13], s7sim_memory_provenance(1, 12) & 0xFF);
}

static void
writes_fail_item_by_item(void **state)
{
    const struct item items[] = {{S7_BYTE, 1, 2, S7_DB, 0},
                                 {S7_BYTE, 2, 1, S7_DB, 0},
                                 {S7_BYTE, 1, 1, S7_DB, 512 * 8},
                                 {S7_BYTE, 1, 1, S7_DB, 0}};
    static const uint8_t data[] = {0, 4, 0, 8, 1, 0, 0, 4, 0, 8, 2, 0, 0, 4, 0, 8, 3, 0, 0, 4, 0, 8, 4};
    static const uint8_t want[] = {0x03, 0x07, 0x05, 0xFF};
    struct fixture *f = *state;

    f->cpu.memory.dbs[1].is_read_only = true;
    write_items(f, items, 4, data, sizeof data);
    assert_data(f, want, sizeof want);
    assert_int_equal(f->cpu.memory.dbs[0].bytes[0], 4);
    assert_int_equal(get16(f->cpu.memory.dbs[1].bytes), s7sim_memory_provenance(2, 0));
}

static void
writes_without_their_data_change_nothing(void **state)
{
    const struct item items[] = {{S7_BYTE, 2, 1, S7_DB, 0}, {S7_BYTE, 2, 1, S7_DB, 16}};
    static const uint8_t data[] = {0, 4, 0, 16, 9, 9, 0, 4, 0, 16, 9, 9};
    struct fixture *f = *state;

    for (size_t cut = 0; cut < sizeof data; cut++) {
        write_items(f, items, 2, data, cut);
        assert_error(f, S7_E_SERVICE);
    }
    assert_int_equal(get16(f->cpu.memory.dbs[0].bytes), s7sim_memory_provenance(1, 0));
}

/* --- system lists --- */

static void
ask_szl(struct fixture *f, unsigned id)
{
    uint8_t in[] = {0x32, 7, 0, 0, 0, 5, 0, 8, 0, 8, 0, 1, 0x12, 4, 0x11, 0x44, 1, 0, 0xFF, 9, 0, 4, 0, 0, 0, 0};

    put16(in + 22, id);
    ask(f, in, sizeof in);
}

static void
lists_tell_what_the_cpu_is(void **state)
{
    struct fixture *f = *state;

    ask_szl(f, 0x001C);
    assert_int_equal(f->out[1], S7_USERDATA);
    assert_int_equal(get16(f->out + 20), 0);
    assert_int_equal(f->out[22], 0xFF);
    assert_int_equal(f->len, 26 + get16(f->out + 24));
    assert_memory_equal(f->out + 22 + 4 + 8 + 34 + 2, "s7-1200", 7);
    ask_szl(f, 0x0131);
    assert_int_equal(get16(f->out + 22 + 4 + 8 + 2), 240);
    ask_szl(f, 0x0999);
    assert_int_equal(get16(f->out + 20), 0xD401);
    assert_int_equal(f->out[22], 0x0A);
}

/* --- load --- */

static void
load_counts_whole_values_only(void **state)
{
    const struct s7sim_cpu_conf limits = {.pdu_bytes = 240, .jobs_max = 1};
    struct s7sim_load load;
    struct s7sim_memory *m;
    uint8_t *p;

    (void)state;
    s7sim_load_init(&load, 300, 4, false, &limits);
    m = &load.cpus[0].memory;
    p = m->dbs[0].bytes;
    m->before_read(m->arg, &m->dbs[0], 0, 16);
    m->before_read(m->arg, &m->dbs[0], 2, 8); /* half of 0, all of 1, half of 2 */
    assert_true(get_real(p) < 1.5f && get_real(p + 4) > 1.5f && get_real(p + 8) < 1.5f);
    assert_true(s7sim_cpu_accepts(&load.cpus[247], 0x0100 | 7 << 5 | 31));
    assert_true(s7sim_cpu_accepts(&load.cpus[248], 0x0101)); /* the first of the next port */
    s7sim_load_fini(&load);
}

static void
the_devices_file_names_every_tag(void **state)
{
    static const char want[] =
        "# Simulated load (nexus sim --s7-load). Every tag counts its own reads.\ndevices:\n"
        "  - id: s7-00000\n    protocol: s7\n    uns_prefix: load/s00000\n    poll_interval: 250ms\n"
        "    connection: {host: \"127.0.0.1\", port: 4102, rack: 0, slot: 1}\n    tags:\n"
        "      - {id: t00000, address: \"DB1.DBW0:INT\", data_type: int16}\n"
        "      - {id: t00001, address: \"DB1.DBW2:INT\", data_type: int16}\n";
    const struct s7sim_cpu_conf limits = {.pdu_bytes = 240, .jobs_max = 1};
    const uint16_t port = 4102;
    struct wbuf out = wbuf_init(0);
    struct s7sim_load load;

    (void)state;
    s7sim_load_init(&load, 1, 2, true, &limits);
    s7sim_load_devices(&out, &load, "127.0.0.1", &port, "250ms");
    assert_string_equal(wbuf_cstr(&out), want);
    wbuf_free(&out);
    s7sim_load_fini(&load);
}

/* --- faults --- */

static void
faults_come_as_often_as_they_should(void **state)
{
    struct s7sim_faults f = {.seed = 7};
    unsigned hit = 0;

    (void)state;
    assert_int_equal(s7sim_faults_draw(&f), S7_FAULT_NONE);
    assert_true(s7sim_faults_set(&f, "garbage", "on") && s7sim_faults_set(&f, "mute", "on"));
    assert_int_equal(f.rate, S7_RATE_MAX);
    assert_true(s7sim_faults_set(&f, "fault-rate", "250"));
    for (unsigned i = 0; i < 10000; i++) {
        enum s7sim_fault kind = s7sim_faults_draw(&f);
        assert_true(kind == S7_FAULT_NONE || kind == S7_FAULT_GARBAGE || kind == S7_FAULT_MUTE);
        hit += kind != S7_FAULT_NONE;
    }
    assert_in_range(hit, 2300, 2700);
    assert_in_range(f.drawn[S7_FAULT_MUTE], 1000, 1500);
    assert_int_equal(f.drawn[S7_FAULT_MUTE] + f.drawn[S7_FAULT_GARBAGE], hit);
    assert_true(s7sim_faults_set(&f, "none", "-"));
    assert_int_equal(f.kinds, 0);
    assert_false(s7sim_faults_set(&f, "garbage", "maybe"));
    assert_false(s7sim_faults_set(&f, "fault-rate", "1001"));
    assert_false(s7sim_faults_set(&f, "gravity", "on"));
}

static const char *
command(struct s7sim_control *c, const char *text)
{
    static char answer[256];
    char line[256];
    struct wbuf out = wbuf_fixed(answer, sizeof answer);

    (void)snprintf(line, sizeof line, "%s", text);
    s7sim_control_line(c, line, &out);
    return wbuf_cstr(&out);
}

static void
count_drop(void *arg)
{
    ++*(unsigned *)arg;
}

static void
commands_change_the_cpu(void **state)
{
    struct fixture *f = *state;
    struct s7sim_faults faults = {0};
    unsigned drops = 0;
    struct s7sim_control c = {&f->cpu, 1, 512, &faults, count_drop, &drops};

    assert_string_equal(command(&c, "set DB 1 6 c0FFee\n"), "ok\n");
    assert_string_equal(command(&c, "get DB 1 5 4"), "ok 05c0ffee\n");
    assert_string_equal(command(&c, "db 1 100"), "ok\n");
    assert_string_equal(command(&c, "get DB 1 100 1"), "error: see sim/s7_control.h\n");
    assert_string_equal(command(&c, "db 1 full"), "ok\n");
    assert_string_equal(command(&c, "db 2 protected"), "ok\n");
    assert_int_equal(f->cpu.memory.dbs[1].refusal, 3);
    assert_string_equal(command(&c, "hole 1 10 20 5"), "ok\n");
    assert_int_equal(f->cpu.hole.last, 20);
    assert_string_equal(command(&c, "put-get off"), "ok\n");
    assert_true(f->cpu.conf.is_put_get_off);
    assert_string_equal(command(&c, "fault split on"), "ok\n");
    assert_true(faults.is_split);
    assert_string_equal(command(&c, "drop"), "ok\n");
    assert_int_equal(drops, 1);
    assert_string_equal(command(&c, "db 4 10"), "error: see sim/s7_control.h\n");
    assert_string_equal(command(&c, "db 1 513"), "error: see sim/s7_control.h\n");
    assert_string_equal(command(&c, "fly"), "error: see sim/s7_control.h\n");
    assert_string_equal(command(&c, ""), "error: see sim/s7_control.h\n");
}

/* --- the server, over a socket of the same loop --- */

struct client {
    uv_loop_t loop;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct s7sim_server *server;
    struct s7sim_faults faults;
    uint8_t in[4096];
    size_t len, want; /* the loop stops when len bytes have come */
    unsigned reads;
    bool is_closed;
};

static void
on_client_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    struct client *c = handle->data;

    (void)hint;
    *buf = uv_buf_init((char *)c->in + c->len, (unsigned)(sizeof c->in - c->len));
}

static void
on_client_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = tcp->data;

    (void)buf;
    c->reads++;
    c->len += n > 0 ? (size_t)n : 0;
    c->is_closed = n < 0;
    if (c->is_closed || c->len >= c->want)
        uv_stop(&c->loop);
}

static void
on_client_connected(uv_connect_t *req, int status)
{
    struct client *c = req->handle->data;

    assert_int_equal(status, 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, on_client_alloc, on_client_read), 0);
}

static void
client_open(struct client *c, struct s7sim_cpu *cpu)
{
    struct s7sim_server_conf conf = {"127.0.0.1", 0, cpu, 1, &c->faults};
    struct sockaddr_in addr;
    int why = 0;

    uv_loop_init(&c->loop);
    c->server = s7sim_server_open(&c->loop, &conf, &why);
    assert_non_null(c->server);
    uv_ip4_addr("127.0.0.1", s7sim_server_port(c->server), &addr);
    uv_tcp_init(&c->loop, &c->tcp);
    c->tcp.data = c;
    assert_int_equal(uv_tcp_connect(&c->connect, &c->tcp, (struct sockaddr *)&addr, on_client_connected), 0);
}

/* Sends, and runs the loop until so many bytes have come or the server has hung up. */
static void
client_ask(struct client *c, const uint8_t *p, size_t len, size_t want)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)p, (unsigned)len);

    c->len = c->reads = 0;
    c->want = want;
    assert_int_equal(uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, NULL), 0);
    uv_run(&c->loop, UV_RUN_DEFAULT);
}

static void
client_close(struct client *c)
{
    uv_close((uv_handle_t *)&c->tcp, NULL);
    s7sim_server_close(&c->server);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&c->loop), 0);
}

static void
put_connect(uint8_t out[sizeof connect_frame], unsigned tsap)
{
    memcpy(out, connect_frame, sizeof connect_frame);
    put16(out + 20, tsap);
}

/* Two reads of one connection, sent at once; returns their length. */
static size_t
put_two_reads(uint8_t *out)
{
    const struct item item = {S7_BYTE, 4, 1, S7_DB, 0};
    uint8_t message[MESSAGE_MAX];
    size_t len = put_request(message, 4, &item, 1, NULL, 0), n = s7sim_data_frames(message, len, 1024, out);

    return n + s7sim_data_frames(message, len, 16, out + n); /* the second in fragments */
}

static void
the_server_answers_in_order(void **state)
{
    struct fixture *f = *state;
    struct client *c = mem_alloc(sizeof *c);
    uint8_t connect[sizeof connect_frame], frame[256];
    size_t n;

    f->session = (struct s7sim_session){0};
    client_open(c, &f->cpu);
    put_connect(connect, 0x0301);
    client_ask(c, connect, sizeof connect, 22);
    assert_int_equal(c->in[5], S7_TPDU_CONFIRM);
    assert_int_equal(f->cpu.connections, 1);
    n = s7sim_data_frames(setup_480, sizeof setup_480, 1024, frame);
    client_ask(c, frame, n, 27);
    assert_int_equal(get16(c->in + 25), 240);
    client_ask(c, frame, put_two_reads(frame), 2 * 29);
    assert_int_equal(c->reads, 1); /* both replies in one write */
    assert_memory_equal(c->in, c->in + 29, 29);
    c->faults.is_split = true;
    client_ask(c, frame, put_two_reads(frame), 2 * 29);
    assert_true(c->reads > 10);
    assert_memory_equal(c->in, c->in + 29, 29);
    c->faults = (struct s7sim_faults){.kinds = 1u << S7_FAULT_RST, .rate = S7_RATE_MAX};
    client_ask(c, frame, put_two_reads(frame), 1);
    assert_true(c->is_closed);
    assert_int_equal(f->cpu.connections, 0);
    client_close(c);
    free(c);
}

static void
the_server_refuses(struct fixture *f, unsigned tsap)
{
    struct client *c = mem_alloc(sizeof *c);
    uint8_t connect[sizeof connect_frame];

    client_open(c, &f->cpu);
    put_connect(connect, tsap);
    client_ask(c, connect, sizeof connect, sizeof c->in);
    assert_true(c->is_closed);
    assert_int_equal(c->len, 11);
    assert_int_equal(c->in[5], S7_TPDU_REFUSE);
    client_close(c);
    free(c);
}

static void
the_server_refuses_a_wrong_slot(void **state)
{
    the_server_refuses(*state, 0x0102);
}

static void
the_server_refuses_one_connection_too_many(void **state)
{
    struct fixture *f = *state;

    f->cpu.connections = f->cpu.conf.connections_max;
    the_server_refuses(f, 0x0101);
}

#define WITH_CPU(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_needs_all_its_bytes),
        cmocka_unit_test(a_frame_of_something_else_is_broken),
        cmocka_unit_test(a_connection_names_rack_and_slot),
        cmocka_unit_test(long_messages_leave_in_fragments),
        WITH_CPU(setup_takes_the_smaller_limits),
        WITH_CPU(nothing_is_read_before_setup),
        WITH_CPU(every_truncation_is_refused),
        WITH_CPU(too_many_jobs_at_once_are_refused),
        WITH_CPU(reads_items_of_every_area),
        WITH_CPU(failed_items_have_their_codes_and_no_data),
        WITH_CPU(a_hole_takes_only_the_items_that_touch_it),
        WITH_CPU(both_sizes_must_fit_the_pdu),
        WITH_CPU(switches_of_the_cpu_refuse_access),
        WITH_CPU(writes_items_and_bits),
        WITH_CPU(writes_fail_item_by_item),
        WITH_CPU(writes_without_their_data_change_nothing),
        WITH_CPU(lists_tell_what_the_cpu_is),
        cmocka_unit_test(load_counts_whole_values_only),
        cmocka_unit_test(the_devices_file_names_every_tag),
        cmocka_unit_test(faults_come_as_often_as_they_should),
        WITH_CPU(commands_change_the_cpu),
        WITH_CPU(the_server_answers_in_order),
        WITH_CPU(the_server_refuses_a_wrong_slot),
        WITH_CPU(the_server_refuses_one_connection_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
