/* bench: modbus base */
/* The Modbus codec alone: one frame of 125 registers is a request encoded, a reply taken off the stream and checked,
 * and every value in it decoded; as 125 tags of 16 bits and as 62 floats, in both framings. */
#include "bench.h"

#include "modbus/modbus_frame.h"
#include "modbus/modbus_value.h"

#include <stdlib.h>

#define REGS 125u

/* The reply that holds register r * 7 at place r; floats then are small numbers. */
static size_t
make_reply(enum modbus_framing framing, uint8_t out[MODBUS_ADU_MAX])
{
    size_t head = framing == MODBUS_RTU ? 1 : 7, len = head + 2 + 2 * REGS;
    uint16_t crc;

    memset(out, 0, MODBUS_ADU_MAX);
    out[5] = framing == MODBUS_RTU ? 0 : (uint8_t)(len - 6);
    out[head - 1] = 1;
    out[head] = MODBUS_READ_HOLDING;
    out[head + 1] = 2 * REGS;
    for (unsigned i = 0; i < 2 * REGS; i++)
        out[head + 2 + i] = (uint8_t)(i * 7 % 100);
    if (framing == MODBUS_MBAP)
        return len;
    crc = modbus_crc(slice(out, len));
    out[len] = (uint8_t)crc;
    out[len + 1] = (uint8_t)(crc >> 8);
    return len + 2;
}

static double
decode_all(const struct modbus_addr *addrs, unsigned n, const uint8_t *regs)
{
    char text[MODBUS_TEXT_MAX];
    struct nx_value v;
    double sum = 0;

    for (unsigned i = 0; i < n; i++) {
        if (modbus_value_decode(&addrs[i], regs + 2u * addrs[i].start, text, &v, NULL) != NX_OK)
            abort();
        sum += v.type == NX_TYPE_DOUBLE ? v.d : (double)v.u;
    }
    return sum;
}

static void
exchange(enum modbus_framing framing, enum nx_data_type type, uint8_t order, const char *name, unsigned rounds)
{
    unsigned count = type == NX_DT_FLOAT32 ? 2 : 1, n = REGS / count;
    struct modbus_request rq = {.unit = 1, .fc = MODBUS_READ_HOLDING, .count = REGS};
    struct modbus_addr addrs[REGS];
    struct modbus_frame frame;
    struct modbus_reply reply;
    uint8_t out[MODBUS_ADU_MAX], in[MODBUS_ADU_MAX];
    size_t len = make_reply(framing, in), sent = 0;
    double sum = 0, begin = bench_s();

    for (unsigned i = 0; i < n; i++)
        addrs[i] = (struct modbus_addr){MODBUS_HOLDING,        (uint8_t)type,   order, MODBUS_NO_BIT,
                                        (uint16_t)(i * count), (uint16_t)count, false, MODBUS_WRITE_AUTO};
    for (unsigned r = 0; r < rounds; r++) {
        struct slice s = slice(in, len);
        sent += modbus_frame_encode(framing, &rq, out);
        if (modbus_frame_next(framing, &s, &frame) != NX_OK || modbus_decode_reply(&rq, &frame, &reply, NULL) != NX_OK)
            abort();
        sum += decode_all(addrs, n, reply.data.p);
    }
    if (sum < 0 || sent == 0)
        abort();
    bench_print(name, rounds * (double)n / (bench_s() - begin), "tags/s", (double)(len + sent / rounds) / n);
}

int
main(int argc, char **argv)
{
    unsigned rounds = bench_is_quick(argc, argv) ? 20 : 200000;

    exchange(MODBUS_MBAP, NX_DT_UINT16, 0, "modbus_tcp_uint16", rounds);
    exchange(MODBUS_MBAP, NX_DT_FLOAT32, 0, "modbus_tcp_float32", rounds);
    exchange(MODBUS_MBAP, NX_DT_FLOAT32, MODBUS_SWAP_WORDS | MODBUS_SWAP_DWORDS, "modbus_tcp_float32_cdab", rounds);
    exchange(MODBUS_RTU, NX_DT_UINT16, 0, "modbus_rtu_uint16", rounds);
    return 0;
}
