/* bench: s7 base */
/* The S7 codec alone: one job is a request encoded from the plan, a reply taken off the stream and checked, and every
 * value in it decoded; dense words and REALs at the PDUs of real CPUs, and scattered words (20 items a job). */
#include "bench.h"

#include "s7/s7_iso.h"
#include "s7/s7_plan.h"
#include "s7/s7_value.h"

#include "base/mem.h"

#include <stdlib.h>

#define TAGS 1000u

/* A read list with its plan, and the reply to each of its jobs. */
struct rig {
    struct s7_addr addrs[TAGS];
    struct nx_read_item items[TAGS];
    struct s7_limits limits;
    struct s7_plan plan;
    void *mem;
    struct wbuf *replies;
    double sum;
    size_t sent, received;
};

static void
put_reply(const struct s7_plan *plan, const struct s7_request *rq, struct wbuf *out)
{
    uint8_t data[S7_PDU_MAX] = {0x32, 3, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, S7_READ};
    struct wbuf w = wbuf_fixed(data, sizeof data);

    (void)wbuf_reserve(&w, 13);
    wbuf_advance(&w, 13);
    wbuf_u8(&w, rq->n);
    for (uint32_t i = 0; i < rq->n; i++) {
        unsigned bytes = plan->parts[rq->first + i].bytes;
        wbuf_be16(&w, 0xFF04);
        wbuf_be16(&w, bytes * 8);
        for (unsigned k = 0; k < ((bytes + 1u) & ~1u); k++)
            wbuf_u8(&w, k * 7 % 100);
    }
    wbuf_patch_be16(&w, 8, (unsigned)w.len - 14);
    *out = wbuf_init(0);
    s7_iso_wrap(out, wbuf_slice_of(&w), S7_TPDU_BYTES);
}

static void
make(struct rig *r, unsigned pdu, unsigned step, enum s7_type type)
{
    *r = (struct rig){.limits = {.pdu = (uint16_t)pdu, .gap = 16}};
    for (uint32_t i = 0; i < TAGS; i++) {
        r->addrs[i] = (struct s7_addr){.area = S7_DB,
                                       .type = (uint8_t)type,
                                       .data_type = type == S7_REAL ? NX_DT_FLOAT32 : NX_DT_INT16,
                                       .db = 1,
                                       .bytes = s7_types[type].bytes,
                                       .start = i * step};
        r->items[i] = (struct nx_read_item){&r->addrs[i], i};
    }
    r->mem = mem_alloc(s7_plan_bytes(&r->limits, r->items, TAGS));
    s7_plan_init(&r->plan, r->mem, &r->limits, r->items, TAGS);
    r->replies = mem_calloc(r->plan.request_count, sizeof *r->replies);
    for (uint32_t i = 0; i < r->plan.request_count; i++)
        put_reply(&r->plan, &r->plan.requests[i], &r->replies[i]);
}

static void
drop(struct rig *r)
{
    for (uint32_t i = 0; i < r->plan.request_count; i++)
        wbuf_free(&r->replies[i]);
    free(r->replies);
    free(r->mem);
}

static void
decode_block(struct rig *r, uint32_t b, const uint8_t *data)
{
    const struct s7_block *block = &r->plan.blocks[b];
    char text[S7_TEXT_MAX];
    struct nx_value v;

    for (uint32_t i = block->first; i < block->first + block->n; i++) {
        const struct s7_entry *e = &r->plan.entries[i];
        if (s7_value_decode(e->addr, data + e->offset, text, &v) != NX_OK)
            abort();
        r->sum += v.type == NX_TYPE_DOUBLE ? v.d : (double)v.i;
    }
}

static void
exchange(struct rig *r, uint32_t i)
{
    const struct s7_request *rq = &r->plan.requests[i];
    const struct s7_part *parts = &r->plan.parts[rq->first];
    struct slice in = wbuf_slice_of(&r->replies[i]);
    struct s7_item items[S7_ITEMS_MAX];
    struct s7_result results[S7_ITEMS_MAX];
    uint8_t message[S7_REQUEST_SPARE + S7_ITEMS_MAX * S7_ITEM_BYTES], frames[512];
    struct wbuf w = wbuf_fixed(message, sizeof message), out = wbuf_fixed(frames, sizeof frames);
    struct s7_tpdu tpdu;
    struct s7_reply reply;

    for (uint32_t k = 0; k < rq->n; k++)
        items[k] = s7_plan_item(&r->plan, &parts[k]);
    s7_encode_read(&w, 1, items, rq->n);
    s7_iso_wrap(&out, wbuf_slice_of(&w), S7_TPDU_BYTES);
    r->sent += out.len;
    r->received += in.len;
    if (s7_iso_next(&in, &tpdu) != NX_OK || s7_decode_reply(tpdu.data, &reply, NULL) != NX_OK ||
        s7_decode_read(&reply, items, rq->n, results, NULL) != NX_OK)
        abort();
    for (uint32_t k = 0; k < rq->n; k++)
        decode_block(r, parts[k].block, results[k].data.p);
}

static void
run(const char *name, unsigned pdu, unsigned step, enum s7_type type, unsigned rounds)
{
    struct rig *r = mem_alloc(sizeof *r);
    double begin, s;

    make(r, pdu, step, type);
    begin = bench_s();
    for (unsigned round = 0; round < rounds; round++)
        for (uint32_t i = 0; i < r->plan.request_count; i++)
            exchange(r, i);
    s = bench_s() - begin;
    if (r->sum < 0 || r->sent == 0)
        abort();
    bench_print(name, TAGS * (double)rounds / s, "tags/s", (double)(r->sent + r->received) / rounds / TAGS);
    drop(r);
    free(r);
}

int
main(int argc, char **argv)
{
    unsigned rounds = bench_is_quick(argc, argv) ? 5 : 20000;

    run("s7_int_pdu240", 240, 2, S7_INT, rounds);
    run("s7_int_pdu960", 960, 2, S7_INT, rounds);
    run("s7_real_pdu240", 240, 4, S7_REAL, rounds);
    run("s7_scattered_int_pdu240", 240, 40, S7_INT, rounds);
    return 0;
}
