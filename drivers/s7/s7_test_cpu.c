#include "s7_test_cpu.h"

#define FRAMING 7u

static unsigned
be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

uint8_t
cpu_byte(unsigned db, uint32_t i)
{
    return (uint8_t)(i * 13 + i / 256 * 5 + db * 3);
}

/* Bytes of the first message in what was written, with its packets; 0: none is complete. */
static size_t
message_len(struct slice in)
{
    size_t at = 0;

    while (in.len - at >= FRAMING && in.len - at >= be16(in.p + at + 2)) {
        const uint8_t *p = in.p + at;
        at += be16(p + 2);
        if (p[5] != 0xF0 || (p[6] & 0x80))
            return at;
    }
    return 0;
}

unsigned
cpu_waiting(const struct fake_host *h)
{
    struct slice in = fake_host_written(h);
    unsigned n = 0;
    size_t len;

    while ((len = message_len(in)) > 0) {
        in = slice_skip(in, len);
        n++;
    }
    return n;
}

/* Joins the packets into last[]. */
static void
take_message(struct test_cpu *c, struct fake_host *h, size_t len)
{
    struct slice in = slice(fake_host_written(h).p, len);

    c->last_len = 0;
    while (in.len > 0) {
        size_t n = be16(in.p + 2);
        memcpy(c->last + c->last_len, in.p + FRAMING, n - FRAMING);
        c->last_len += n - FRAMING;
        in = slice_skip(in, n);
    }
    fake_host_take(h, len);
}

static void
answer_connect(struct test_cpu *c, struct fake_host *h, size_t len)
{
    uint8_t confirm[] = {3, 0, 0, 14, 9, 0xD0, 0, 1, 0, 2, 0, 0xC0, 1, c->tpdu_size};
    static const uint8_t refuse[] = {3, 0, 0, 11, 6, 0x80, 0, 1, 0, 0, 2};
    const uint8_t *p = fake_host_written(h).p;

    c->connects++;
    c->last_local = (uint16_t)be16(p + 16);
    c->last_tsap = (uint16_t)be16(p + 20);
    fake_host_take(h, len);
    if (c->slots >> (c->last_tsap & 0x1F) & 1) {
        confirm[3] = c->tpdu_size ? 14 : 11;
        confirm[4] = c->tpdu_size ? 9 : 6;
        fake_host_feed(h, slice(confirm, confirm[3]));
    } else {
        fake_host_feed(h, slice(refuse, sizeof refuse));
    }
}

static unsigned
item_code(const struct test_cpu *c, unsigned area, unsigned db, uint32_t start, unsigned n)
{
    if (area == 0x84 && c->missing_db == db)
        return 0x0A;
    return area == 0x84 && c->db == db && start < c->end && start + n > c->from ? 5 : 0xFF;
}

static void
put_item(const struct test_cpu *c, const uint8_t *item, bool is_final, struct wbuf *out)
{
    unsigned n = be16(item + 4), db = be16(item + 6), area = item[8];
    uint32_t at = (uint32_t)item[9] << 16 | be16(item + 10), start = at / 8;
    bool is_counted = area < 0x20;
    unsigned code = is_counted ? 0xFF : item_code(c, area, db, start, n);

    if (code != 0xFF) {
        wbuf_be32(out, code << 24 | 4); /* the length is garbage */
        return;
    }
    wbuf_u8(out, 0xFF);
    wbuf_u8(out, is_counted ? 9 : 4);
    wbuf_be16(out, is_counted ? 2 * n : n * 8);
    for (unsigned i = 0; is_counted && i < n; i++)
        wbuf_be16(out, 0x0100 + at + i);
    for (unsigned i = 0; !is_counted && i < n; i++)
        wbuf_u8(out, cpu_byte(db, start + i));
    if (!is_counted && n % 2 && !is_final)
        wbuf_u8(out, 0x77);
}

static void
put_params(const struct test_cpu *c, struct wbuf *out)
{
    const uint8_t *p = c->last;

    if (p[10] == 0xF0) {
        wbuf_be16(out, 0xF000);
        wbuf_be16(out, c->jobs);
        wbuf_be16(out, c->jobs);
        wbuf_be16(out, c->pdu);
    } else {
        wbuf_u8(out, p[10]);
        wbuf_u8(out, p[10] == 4 ? p[11] - c->items_dropped : p[11]);
    }
}

static void
put_data(const struct test_cpu *c, struct wbuf *out)
{
    const uint8_t *p = c->last;
    unsigned n = p[10] == 4 ? p[11] - c->items_dropped : p[10] == 5 ? p[11] : 0;

    for (unsigned i = 0; i < n; i++) {
        if (p[10] == 4)
            put_item(c, p + 12 + 12 * i, i + 1 == n, out);
        else
            wbuf_u8(out, c->write_code ? c->write_code : 0xFF);
    }
}

static void
put_reply(const struct test_cpu *c, unsigned error, struct wbuf *out)
{
    static const uint8_t head[] = {3, 0, 0, 0, 2, 0xF0, 0x80, 0x32, 3, 0, 0};
    size_t params, data;

    wbuf_bytes(out, head, sizeof head);
    wbuf_be16(out, be16(c->last + 4));
    wbuf_be32(out, 0);
    wbuf_be16(out, error);
    params = out->len;
    if (!error)
        put_params(c, out);
    data = out->len;
    if (!error)
        put_data(c, out);
    wbuf_patch_be16(out, 2, (unsigned)out->len);
    wbuf_patch_be16(out, 13, (unsigned)(data - params));
    wbuf_patch_be16(out, 15, (unsigned)(out->len - data));
}

void
cpu_reply(struct test_cpu *c, struct fake_host *h, struct wbuf *out)
{
    size_t len = message_len(fake_host_written(h));
    unsigned error = c->error, waiting = cpu_waiting(h);

    wbuf_reset(out);
    if (len == 0)
        return;
    c->in_flight_max = waiting > c->in_flight_max ? waiting : c->in_flight_max;
    take_message(c, h, len);
    c->requests++;
    put_reply(c, c->last[10] == 0xF0 ? 0 : error, out);
    if (c->pdu_taken && (out->len - FRAMING > c->pdu_taken || c->last_len > c->pdu_taken)) {
        wbuf_reset(out);
        put_reply(c, 0x8500, out);
    }
}

bool
cpu_answer(struct test_cpu *c, struct fake_host *h)
{
    struct slice in = fake_host_written(h);
    size_t len = message_len(in);
    struct wbuf out = wbuf_init(0);

    if (len == 0)
        return false;
    if (in.p[5] == 0xE0) {
        answer_connect(c, h, len);
        return true;
    }
    cpu_reply(c, h, &out);
    fake_host_feed(h, wbuf_slice_of(&out));
    wbuf_free(&out);
    return true;
}

void
cpu_serve(struct test_cpu *c, struct fake_host *h)
{
    while (cpu_answer(c, h))
        ;
}
