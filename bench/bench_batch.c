/* bench: model base */
/* Batch records: 1,000 series of doubles, read in turn as a poller does; and tag messages. */
#include "bench.h"

#include "base/mem.h"
#include "model/batch.h"
#include "model/tagmsg.h"

#include <stdio.h>
#include <stdlib.h>

#define SERIES 1000u
#define BATCH  5000u

static struct series *
make_series(struct arena *a)
{
    struct series *s = arena_alloc(a, SERIES * sizeof *s);

    for (unsigned i = 0; i < SERIES; i++) {
        s[i].topic = slice_str(arena_printf(a, "uns/plant-a/line-%u/plc-%03u/tag-%03u", i / 200, i / 20, i % 20));
        s[i].device_id = slice_str(arena_printf(a, "plc-%03u", i / 20));
        s[i].tag_id = slice_str(arena_printf(a, "tag-%03u", i % 20));
        s[i].unit = slice_str("bar");
        s[i].data_type = NX_TYPE_DOUBLE;
    }
    return s;
}

static void
fill(struct batch_writer *bw, const struct series *series, int64_t now_us)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        struct point p = {.quality = NX_Q_GOOD,
                          .value = nx_value_double((double)i * 0.25),
                          .time_us = now_us + i / 20 * 137,
                          .gateway_us = now_us + i / 20 * 137};

        if (!batch_writer_add(bw, i % SERIES, &series[i % SERIES], &p))
            abort();
    }
}

static void
encode(const struct series *series, bool compress, unsigned rounds, struct wbuf *out)
{
    const struct batch_header hdr = {slice_str("gw-1"), 1, 0, 1};
    struct batch_writer *bw = batch_writer_new();
    double begin = bench_s();

    for (unsigned r = 0; r < rounds; r++) {
        wbuf_reset(out);
        fill(bw, series, 1700000000000000 + r * 1000000);
        if (batch_writer_finish(bw, &hdr, compress, out) != NX_OK)
            abort();
    }
    bench_print(compress ? "batch_encode_zstd" : "batch_encode", rounds * (double)BATCH / (bench_s() - begin),
                "points/s", (double)out->len / BATCH);
    batch_writer_free(&bw);
}

static void
decode(const struct wbuf *in, const char *name, unsigned rounds)
{
    struct arena a = {0};
    struct batch b;
    double begin = bench_s();

    for (unsigned r = 0; r < rounds; r++) {
        arena_reset(&a);
        if (batch_decode(wbuf_slice_of(in), &a, &b, NULL) != NX_OK || b.point_count != BATCH)
            abort();
    }
    bench_print(name, rounds * (double)BATCH / (bench_s() - begin), "points/s", (double)in->len / BATCH);
    arena_free(&a);
}

static void
print_ns(const char *what, const char *format, double seconds, unsigned rounds, size_t bytes)
{
    printf("{\"case\":\"tagmsg_%s_%s\",\"value\":%.0f,\"unit\":\"messages/s\",\"ns_each\":%.1f,\"bytes_each\":%zu}\n",
           what, format, rounds / seconds, seconds * 1e9 / rounds, bytes);
}

static void
tag_messages(enum tagmsg_format format, const char *name, unsigned rounds)
{
    struct wbuf out = wbuf_init(0), scratch = wbuf_init(0);
    struct tagmsg m = {.quality = NX_Q_GOOD, .unit = slice_str("°C"), .has_seq = true}, back;
    struct tagmsg_list list = {0};
    double begin = bench_s();

    for (unsigned r = 0; r < rounds; r++) {
        wbuf_reset(&out);
        m.value = nx_value_double(r * 0.1);
        m.time_us = 1700000000000000 + r * 1000;
        m.seq = r;
        tagmsg_encode(&out, format, &m);
    }
    print_ns("encode", name, bench_s() - begin, rounds, out.len);
    begin = bench_s();
    for (unsigned r = 0; r < rounds; r++) {
        if (tagmsg_decode(wbuf_slice_of(&out), &scratch, &back, NULL) != NX_OK)
            abort();
    }
    print_ns("decode", name, bench_s() - begin, rounds, out.len);
    begin = bench_s();
    for (unsigned r = 0; r < rounds; r++) {
        if (tagmsg_decode_list(wbuf_slice_of(&out), slice(NULL, 0), &scratch, &list, NULL) != NX_OK)
            abort();
    }
    print_ns("decode_list", name, bench_s() - begin, rounds, out.len);
    wbuf_free(&out);
    wbuf_free(&scratch);
    tagmsg_list_free(&list);
}

int
main(int argc, char **argv)
{
    unsigned rounds = bench_is_quick(argc, argv) ? 2 : 2000;
    struct arena a = {0};
    struct series *series = make_series(&a);
    struct wbuf out = wbuf_init(0);

    encode(series, false, rounds, &out);
    decode(&out, "batch_decode", rounds);
    encode(series, true, rounds / 2, &out);
    decode(&out, "batch_decode_zstd", rounds / 2);
    tag_messages(TAGMSG_JSON, "json", rounds * 500);
    tag_messages(TAGMSG_COMPACT, "compact", rounds * 500);
    tag_messages(TAGMSG_MSGPACK, "msgpack", rounds * 500);
    wbuf_free(&out);
    arena_free(&a);
    return 0;
}
