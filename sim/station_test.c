/* Modbus frames in and out of a simulated station: vectors of the specification, every truncation, faults. */
#include "base/mem.h"
#include "sim/control.h"
#include "sim/load.h"
#include "sim/station.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct rig {
    struct faults faults;
    struct memory memories[2];
    struct station station;
    uint8_t out[STATION_FRAME_MAX];
    size_t len;
    enum fault fault;
};

static void
rig_init(struct rig *r, enum framing framing)
{
    const uint32_t counts[MEMORY_TABLES] = {64, 64, 64, 64};

    *r = (struct rig){0};
    faults_init(&r->faults, 1);
    for (unsigned i = 0; i < 2; i++)
        memory_init(&r->memories[i], counts);
    for (unsigned i = 0; i < 64; i++)
        r->memories[0].cells[MEMORY_HOLDING][i] = (uint16_t)(0x100 * i + 1);
    r->station = (struct station){.framing = framing, .memories = r->memories, .memory_count = 2, .faults = &r->faults};
}

static void
rig_fini(struct rig *r)
{
    memory_fini(&r->memories[0]);
    memory_fini(&r->memories[1]);
}

static size_t
from_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;

    for (; hex[0] != '\0'; hex += hex[0] == ' ' ? 1 : 2) {
        unsigned v;

        if (hex[0] == ' ')
            continue;
        assert_int_equal(sscanf(hex, "%2x", &v), 1);
        out[n++] = (uint8_t)v;
    }
    return n;
}

static void
ask(struct rig *r, const char *hex)
{
    uint8_t in[STATION_FRAME_MAX];
    size_t len = from_hex(hex, in);

    for (size_t n = 0; n < len; n++) /* no frame before it is whole */
        assert_int_equal(station_frame_length(&r->station, in, n), 0);
    assert_int_equal(station_frame_length(&r->station, in, len), len);
    r->len = station_answer(&r->station, in, len, r->out, &r->fault);
}

static void
expect(struct rig *r, const char *request, const char *reply)
{
    uint8_t want[STATION_FRAME_MAX];
    size_t len = from_hex(reply, want);

    ask(r, request);
    assert_int_equal(r->len, len);
    assert_memory_equal(r->out, want, len);
}

static void
every_function_answers_by_the_book(void **state)
{
    static const char *const vectors[][2] = {
        {"0001 0000 0006 01 03 0001 0002", "0001 0000 0007 01 03 04 0101 0201"},
        {"0002 0000 0006 01 06 0001 1234", "0002 0000 0006 01 06 0001 1234"},
        {"0003 0000 0006 01 05 0003 FF00", "0003 0000 0006 01 05 0003 FF00"},
        {"0004 0000 0009 01 0F 0004 000A 02 CD01", "0004 0000 0006 01 0F 0004 000A"},
        {"0005 0000 0006 01 01 0000 0010", "0005 0000 0005 01 01 02 D81C"},
        {"0006 0000 000B 01 10 0001 0002 04 000A 0102", "0006 0000 0006 01 10 0001 0002"},
        {"0007 0000 0008 01 16 0001 00F2 0025", "0007 0000 0008 01 16 0001 00F2 0025"},
        {"0008 0000 0006 01 03 0001 0001", "0008 0000 0005 01 03 02 0007"},
        {"0009 0000 000D 01 17 0000 0003 0002 0001 02 BEEF", "0009 0000 0009 01 17 06 0001 0007 BEEF"},
        {"000A 0000 0006 01 04 003F 0001", "000A 0000 0005 01 04 02 0000"},
        {"000B 0000 0006 01 02 0000 0001", "000B 0000 0004 01 02 01 00"},
        {"000C 0000 0006 01 03 003F 0002", "000C 0000 0003 01 83 02"},
        {"000D 0000 0006 01 03 0000 007E", "000D 0000 0003 01 83 03"},
        {"000E 0000 0006 01 05 0000 0001", "000E 0000 0003 01 85 03"},
        {"000F 0000 0006 01 2B 0E01 0000", "000F 0000 0003 01 AB 01"},
        {"0010 0000 0006 03 03 0000 0001", "0010 0000 0003 03 83 0B"},
        {"0011 0000 000D 01 17 0000 0003 003F 0002 02 BEEF", "0011 0000 0003 01 97 03"},
        {"0012 0000 000F 01 17 0000 0003 003F 0002 04 BEEF BEEF", "0012 0000 0003 01 97 02"},
    };
    struct rig r;

    (void)state;
    rig_init(&r, FRAMING_TCP);
    for (size_t i = 0; i < MEM_COUNT(vectors); i++)
        expect(&r, vectors[i][0], vectors[i][1]);
    rig_fini(&r);
}

static void
what_is_no_modbus_tcp_is_refused(void **state)
{
    static const char *const bad[] = {"0001 0001 0006 01 03 0000 0001", "0001 0000 0001 01 03 0000 0001",
                                      "0001 0000 0100 01 03 0000 0001"};
    struct rig r;
    uint8_t in[64];

    (void)state;
    rig_init(&r, FRAMING_TCP);
    for (size_t i = 0; i < MEM_COUNT(bad); i++) {
        size_t len = from_hex(bad[i], in);
        assert_int_equal(station_frame_length(&r.station, in, len), -1);
    }
    rig_fini(&r);
}

static void
rtu_frames_are_cut_by_their_function(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, FRAMING_RTU);
    expect(&r, "01 03 0000 0001 840A", "01 03 02 0001 7984"); /* CRC low byte first */
    expect(&r, "01 06 0001 0003 980B", "01 06 0001 0003 980B");
    ask(&r, "01 03 0000 0001 840B"); /* a wrong check sum */
    assert_int_equal(r.len, 0);
    ask(&r, "03 03 0000 0001 85E8"); /* nobody has this number */
    assert_int_equal(r.len, 0);
    assert_int_equal(r.station.requests, 4);
    rig_fini(&r);
}

static void
a_broadcast_is_carried_out_and_not_answered(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, FRAMING_RTU);
    ask(&r, "00 06 0001 0003 99DA");
    assert_int_equal(r.len, 0);
    assert_int_equal(r.memories[0].cells[MEMORY_HOLDING][1], 3);
    assert_int_equal(r.memories[1].cells[MEMORY_HOLDING][1], 3);
    rig_fini(&r);
}

static void
only_faults_that_the_framing_has_are_drawn(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, FRAMING_TCP);
    assert_true(faults_set(&r.faults, "bad-crc", NULL));
    expect(&r, "0001 0000 0006 01 03 0001 0001", "0001 0000 0005 01 03 02 0101");
    assert_int_equal(r.fault, FAULT_NONE);
    assert_true(faults_set(&r.faults, "wrong-tid", NULL));
    expect(&r, "0001 0000 0006 01 03 0001 0001", "1235 0000 0005 01 03 02 0101");
    assert_int_equal(r.faults.drawn[FAULT_WRONG_TID], 1);
    assert_int_equal(r.faults.drawn[FAULT_NONE], 1);
    rig_fini(&r);
}

static void
moved_and_missing_registers(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, FRAMING_TCP);
    assert_true(faults_set(&r.faults, "move", "3") && faults_set(&r.faults, "vanish", "60"));
    expect(&r, "0001 0000 0006 01 03 0002 0001", "0001 0000 0003 01 83 02");
    expect(&r, "0001 0000 0006 01 03 0003 0002", "0001 0000 0007 01 03 04 0001 0101");
    expect(&r, "0001 0000 0006 01 03 003B 0002", "0001 0000 0003 01 83 02");
    assert_true(faults_set(&r.faults, "none", NULL));
    expect(&r, "0001 0000 0006 01 03 0002 0001", "0001 0000 0005 01 03 02 0201");
    rig_fini(&r);
}

static void
dead_units_never_answer(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, FRAMING_TCP);
    assert_true(faults_set(&r.faults, "dead-unit", "2,255"));
    ask(&r, "0001 0000 0006 02 03 0000 0001");
    assert_int_equal(r.len, 0);
    expect(&r, "0001 0000 0006 01 03 0000 0001", "0001 0000 0005 01 03 02 0001");
    assert_true(faults_unit_is_dead(&r.faults, 255) && !faults_unit_is_dead(&r.faults, 254));
    assert_false(faults_set(&r.faults, "dead-unit", "2,x"));
    assert_true(faults_unit_is_dead(&r.faults, 2)); /* as it was */
    assert_true(faults_set(&r.faults, "dead-unit", ""));
    assert_false(faults_unit_is_dead(&r.faults, 2));
    rig_fini(&r);
}

static void
every_fault_has_a_name_and_can_be_set(void **state)
{
    struct faults f;
    const char *name, *argument, *help;
    unsigned i;

    (void)state;
    for (i = 0; faults_describe(i, &name, &argument, &help); i++) {
        faults_init(&f, 1);
        assert_true(faults_spare_replies(&f));
        assert_true(faults_set(&f, name, argument ? "5" : NULL));
        assert_true(!argument || !faults_set(&f, name, "many"));
        assert_int_equal(faults_spare_replies(&f),
                         i >= FAULT_KINDS && strcmp(name, "delay-ms") && strcmp(name, "jitter-ms"));
    }
    assert_int_equal(i, FAULT_KINDS + 13);
}

static void
commands_answer_in_one_line(void **state)
{
    struct faults f;
    struct control c = {.faults = &f};
    struct wbuf answer = wbuf_init(0);
    char fault[] = "fault dead-unit 7", drawn[] = "drawn", bad[] = "fault nothing 1", plug[] = "plug",
         requests[] = "requests";

    (void)state;
    faults_init(&f, 1);
    control_line(&c, fault, &answer);
    control_line(&c, drawn, &answer);
    control_line(&c, requests, &answer);
    control_line(&c, plug, &answer);
    control_line(&c, bad, &answer);
    assert_string_equal(wbuf_cstr(&answer), "ok\nok good 0\nok 0\nerror: plug  : see nexus sim --help\n"
                                            "error: fault nothing 1: see nexus sim --help\n");
    assert_true(faults_unit_is_dead(&f, 7));
    wbuf_free(&answer);
}

static void
proof_tells_address_and_unit(void **state)
{
    struct load load;
    struct memory *m;

    (void)state;
    load_init(&load, 2, 300, LOAD_PROOF);
    m = &load.memories[1];
    m->before_read(m->arg, m, MEMORY_HOLDING, 0, 600);
    m->before_read(m->arg, m, MEMORY_HOLDING, 510, 2);
    assert_int_equal(memory_get_u32(m->cells[MEMORY_HOLDING] + 508), 508u << 16 | 2u << 8 | 1);
    assert_int_equal(memory_get_u32(m->cells[MEMORY_HOLDING] + 510), 510u << 16 | 2u << 8 | 2);
    load_fini(&load);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_answers_by_the_book),
        cmocka_unit_test(what_is_no_modbus_tcp_is_refused),
        cmocka_unit_test(rtu_frames_are_cut_by_their_function),
        cmocka_unit_test(a_broadcast_is_carried_out_and_not_answered),
        cmocka_unit_test(only_faults_that_the_framing_has_are_drawn),
        cmocka_unit_test(moved_and_missing_registers),
        cmocka_unit_test(dead_units_never_answer),
        cmocka_unit_test(every_fault_has_a_name_and_can_be_set),
        cmocka_unit_test(commands_answer_in_one_line),
        cmocka_unit_test(proof_tells_address_and_unit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
