/* fuzz: modbus base */
/* First byte: which request. The rest: the stream from the device. Data of a good reply must lie inside the input. */
#include "modbus/modbus_codec.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const uint8_t fcs[] = {1, 2, 3, 4, 5, 6, 15, 16, 22}, data[8] = {0};
    static const uint8_t data_len[] = {0, 0, 0, 0, 2, 2, 1, 4, 4};
    struct modbus_request rq = {.unit = 1, .start = 16};
    struct modbus_frame frame;
    struct modbus_reply reply;
    struct slice in;
    uint8_t out[MODBUS_ADU_MAX];

    if (len == 0)
        return 0;
    rq.fc = fcs[p[0] % sizeof fcs];
    rq.count = rq.fc == 5 || rq.fc == 6 || rq.fc == 22 ? 1 : 2;
    rq.data = slice(data, data_len[p[0] % sizeof fcs]);
    assert(modbus_encode_request(&rq, out) >= 12);
    in = slice(p + 1, len - 1);
    while (modbus_next_frame(&in, &frame) == NX_OK) {
        assert(frame.pdu.p > p && frame.pdu.p + frame.pdu.len <= p + len && frame.pdu.len >= 1);
        if (modbus_decode_reply(&rq, &frame, &reply, NULL) == NX_OK && rq.fc <= 4 && reply.exception == 0)
            assert(reply.data.p + reply.data.len == frame.pdu.p + frame.pdu.len && reply.data.len >= 1);
    }
    return 0;
}
