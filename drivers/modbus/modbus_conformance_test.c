/* The generic suite over the Modbus driver, with a device that reads its requests by hand. */
#include "base/mem.h"
#include "conformance/conformance.h"
#include "modbus_driver.h"
#include "modbus_frame.h"

#include <stdio.h>

static void
address(uint32_t i, struct nx_addr_spec *spec, char *text, size_t cap)
{
    snprintf(text, cap, "holding:%u", i * 3);
    spec->data_type = NX_DT_UINT32;
}

/* Register r holds r * 7. */
static struct nx_value
value(uint32_t i)
{
    uint32_t r = i * 3;

    return nx_value_uint((uint64_t)(uint16_t)(r * 7) << 16 | (uint16_t)((r + 1) * 7));
}

static unsigned
be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* The PDU that answers one; register r holds r * 7. */
static void
put_pdu(const uint8_t *pdu, enum conformance_answer how, struct wbuf *out)
{
    unsigned fc = pdu[0], start = be16(pdu + 1), count = be16(pdu + 3);

    if (how == ANSWER_ERROR) {
        wbuf_u8(out, fc | 0x80);
        wbuf_u8(out, 2);
    } else if (fc == 3) {
        wbuf_u8(out, fc);
        wbuf_u8(out, 2 * count);
        for (unsigned r = start; r < start + count; r++)
            wbuf_be16(out, r * 7 & 0xFFFF);
    } else { /* 16 repeats the first five bytes */
        wbuf_bytes(out, pdu, 5);
    }
}

static size_t
answer(struct slice in, enum conformance_answer how, struct wbuf *out)
{
    size_t len = in.len < 8 ? 0 : 6 + be16(in.p + 4), at = out->len;

    if (len == 0 || in.len < len)
        return 0;
    wbuf_be16(out, how == ANSWER_WRONG_ID ? be16(in.p) + 1000 : be16(in.p));
    wbuf_be16(out, 0);
    wbuf_be16(out, 0);
    wbuf_u8(out, in.p[6]);
    put_pdu(in.p + 7, how, out);
    wbuf_patch_be16(out, at + 4, (unsigned)(out->len - at - 6));
    return len;
}

/* A gateway that answers with identifiers of its own; its mistakes are in the unit. */
static size_t
answer_wrong_tid(struct slice in, enum conformance_answer how, struct wbuf *out)
{
    size_t at = out->len, len = answer(in, how, out);

    if (len > 0) {
        wbuf_patch_be16(out, at, 0xABCD);
        out->p[at + 6] = (uint8_t)(in.p[6] + (how == ANSWER_WRONG_ID ? 100 : 0));
    }
    return len;
}

static size_t
answer_rtu(struct slice in, enum conformance_answer how, struct wbuf *out)
{
    size_t len = in.len < 8 ? 0 : in.p[1] == 3 ? 8 : 9u + in.p[6], at = out->len;

    if (len == 0 || in.len < len)
        return 0;
    wbuf_u8(out, how == ANSWER_WRONG_ID ? in.p[0] + 100u : in.p[0]);
    put_pdu(in.p + 1, how, out);
    wbuf_le16(out, modbus_crc(slice(out->p + at, out->len - at)));
    return len;
}

int
main(void)
{
    static const char *const one[] = {"host=plc", NULL}, *const two[] = {"host=plc", "unit_id=2", NULL};
    static const char *const many[] = {"host=plc", "pipeline=16", NULL};
    static const char *const agnostic[] = {"host=plc", "tid_agnostic=true", NULL};
    static const char *const over_tcp[] = {"host=plc", "framing=rtu", NULL};
    static const char *const line[] = {"serial_port=/dev/ttyS0", NULL};
    static const char *const line2[] = {"serial_port=/dev/ttyS0", "unit_id=2", NULL};
    const struct conformance suites[] = {
        {&modbus_tcp_driver, one, two, address, value, answer},
        {&modbus_tcp_driver, many, NULL, address, value, answer},
        {&modbus_tcp_driver, agnostic, two, address, value, answer_wrong_tid},
        {&modbus_tcp_driver, over_tcp, two, address, value, answer_rtu},
        {&modbus_rtu_driver, line, line2, address, value, answer_rtu},
    };
    int failed = 0;

    for (size_t i = 0; i < MEM_COUNT(suites); i++)
        failed += conformance_run(&suites[i]);
    return failed;
}
