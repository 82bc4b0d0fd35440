/* fuzz: modbus base */
/* First byte: which request, and the framing. The rest: what the device sends. Data of a good reply must lie inside the
 * input, and as much of it as was asked for. The same bytes taken for a request must come out again as they went in. */
#include "modbus/modbus_frame.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
check_request(enum modbus_framing framing, struct slice in)
{
    struct modbus_request rq;
    uint8_t out[MODBUS_ADU_MAX];

    if (modbus_frame_request(framing, in, &rq) != NX_OK)
        return;
    assert(modbus_frame_encode(framing, &rq, out) == in.len && memcmp(out, in.p, in.len) == 0);
}

static void
check_reply(const struct modbus_request *rq, const struct modbus_frame *frame, struct slice whole)
{
    struct modbus_reply reply;
    size_t want = (rq->fc <= 2) ? (rq->count + 7u) / 8u : 2u * rq->count;

    assert(frame->pdu.p > whole.p && frame->pdu.p + frame->pdu.len <= whole.p + whole.len && frame->pdu.len >= 1);
    if (modbus_decode_reply(rq, frame, &reply, NULL) != NX_OK || reply.exception != 0)
        return;
    assert(frame->pdu.len == modbus_reply_bytes(rq));
    if (rq->fc <= 4 || rq->fc == 23)
        assert(reply.data.p + reply.data.len == frame->pdu.p + frame->pdu.len && reply.data.len == want);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const uint8_t fcs[] = {1, 2, 3, 4, 5, 6, 15, 16, 22, 23}, data[8] = {0};
    static const uint8_t data_len[] = {0, 0, 0, 0, 2, 2, 1, 4, 4, 4};
    enum modbus_framing framing = len > 0 && p[0] & 0x80 ? MODBUS_RTU : MODBUS_MBAP;
    struct modbus_request rq = {.unit = 1, .start = 16};
    struct modbus_frame frame;
    struct slice in;
    uint8_t out[MODBUS_ADU_MAX];

    if (len == 0)
        return 0;
    rq.fc = fcs[(p[0] & 0x7F) % sizeof fcs];
    rq.count = rq.fc == 5 || rq.fc == 6 || rq.fc == 22 ? 1 : 2;
    rq.data = slice(data, data_len[(p[0] & 0x7F) % sizeof fcs]);
    check_request(framing, slice(out, modbus_frame_encode(framing, &rq, out)));
    in = slice(p + 1, len - 1);
    check_request(framing, in);
    while (modbus_frame_next(framing, &in, &frame) == NX_OK)
        check_reply(&rq, &frame, slice(p, len));
    return 0;
}
