/* fuzz: s7 base */
/* First byte: how many items were asked for. The rest: the stream from the CPU. Results must lie inside the message and
 * have the bytes that were asked for; a message that is wrapped again comes out the same. */
#include "s7/s7_codec.h"
#include "s7/s7_iso.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static const struct s7_item items[] = {
    {.area = S7_DB, .transport = S7_BYTES, .db = 1, .start = 4, .count = 3},
    {.area = S7_MEMORY, .transport = S7_BYTES, .count = 2},
    {.area = S7_TIMER_AREA, .start = 5, .count = 1},
};

static void
check_again(struct slice message)
{
    struct wbuf packets = wbuf_init(0), joined = wbuf_init(0);
    struct s7_tpdu tpdu = {.is_last = false};
    struct slice in;

    s7_iso_wrap(&packets, message, S7_TPDU_BYTES_MIN);
    in = wbuf_slice_of(&packets);
    while (in.len > 0) {
        assert(!tpdu.is_last && s7_iso_next(&in, &tpdu) == NX_OK);
        wbuf_slice(&joined, tpdu.data);
    }
    assert(tpdu.is_last && slice_eq(wbuf_slice_of(&joined), message));
    wbuf_free(&packets);
    wbuf_free(&joined);
}

static void
check_message(struct slice message, unsigned n)
{
    struct s7_result results[3];
    struct s7_reply reply;
    unsigned jobs, pdu;
    uint8_t code;

    if (s7_decode_reply(message, &reply, NULL) != NX_OK)
        return;
    assert(reply.param.len + reply.data.len == message.len - 12);
    if (s7_decode_setup(&reply, &jobs, &pdu, NULL) == NX_OK)
        assert(jobs >= 1 && pdu >= S7_PDU_MIN);
    if (s7_decode_write(&reply, &code, NULL) == NX_OK)
        assert(reply.data.len == 1);
    if (s7_decode_read(&reply, items, n, results, NULL) != NX_OK)
        return;
    for (unsigned i = 0; i < n; i++) {
        struct slice d = results[i].data;
        assert(results[i].code == S7_CODE_OK ? d.len == s7_item_bytes(&items[i]) : d.len == 0);
        assert(d.len == 0 || (d.p >= message.p && d.p + d.len <= message.p + message.len));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct s7_tpdu tpdu;
    struct slice in;

    if (len == 0)
        return 0;
    in = slice(p + 1, len - 1);
    while (s7_iso_next(&in, &tpdu) == NX_OK) {
        if (tpdu.type != S7_TPDU_DATA || tpdu.data.len == 0)
            continue;
        check_message(tpdu.data, 1 + p[0] % 3);
        check_again(tpdu.data);
    }
    return 0;
}
