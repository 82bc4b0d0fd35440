/* The generic suite over the Modbus driver, with a device that reads its requests by hand. */
#include "conformance/conformance.h"
#include "modbus_driver.h"

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

static size_t
answer(struct slice in, enum conformance_answer how, struct wbuf *out)
{
    size_t len = in.len < 8 ? 0 : 6 + be16(in.p + 4);
    unsigned fc, start, count;

    if (len == 0 || in.len < len)
        return 0;
    fc = in.p[7];
    start = be16(in.p + 8);
    count = fc == 3 ? be16(in.p + 10) : 0;
    wbuf_be16(out, how == ANSWER_WRONG_ID ? be16(in.p) + 1000 : be16(in.p));
    wbuf_be16(out, 0);
    wbuf_be16(out, how == ANSWER_ERROR ? 3 : fc == 3 ? 3 + 2 * count : 6);
    wbuf_u8(out, in.p[6]);
    if (how == ANSWER_ERROR) {
        wbuf_u8(out, fc | 0x80);
        wbuf_u8(out, 2);
    } else if (fc == 3) {
        wbuf_u8(out, fc);
        wbuf_u8(out, 2 * count);
        for (unsigned r = start; r < start + count; r++)
            wbuf_be16(out, r * 7 & 0xFFFF);
    } else { /* 5, 6 and 16 repeat the first five bytes */
        wbuf_bytes(out, in.p + 7, 5);
    }
    return len;
}

int
main(void)
{
    static const char *const one[] = {"host=plc", NULL}, *const many[] = {"host=plc", "pipeline=16", NULL};
    struct conformance c = {&modbus_tcp_driver, one, address, value, answer};
    int failed = conformance_run(&c);

    c.settings = many;
    return failed + conformance_run(&c);
}
