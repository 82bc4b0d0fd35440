/* The generic suite over the S7 driver, with a device that reads its requests by hand. */
#include "conformance/conformance.h"
#include "s7_driver.h"

#include <stdio.h>

static void
address(uint32_t i, struct nx_addr_spec *spec, char *text, size_t cap)
{
    uint32_t at = i * 6;

    snprintf(text, cap, "DB%u.DBD%u", 1 + at / 60000, at % 60000);
    spec->data_type = NX_DT_UINT32;
}

static unsigned
byte_at(unsigned db, unsigned i)
{
    return (i * 7 + i / 256 + db) & 0xFF;
}

static struct nx_value
value(uint32_t i)
{
    uint32_t at = i * 6, db = 1 + at / 60000, v = 0;

    for (uint32_t k = at % 60000; k < at % 60000 + 4; k++)
        v = v << 8 | byte_at(db, k);
    return nx_value_uint(v);
}

static unsigned
be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* TPKT, COTP and header of a reply; lengths are patched by end_reply(). */
static size_t
begin_reply(struct wbuf *out, const uint8_t *request, enum conformance_answer how)
{
    static const uint8_t head[] = {3, 0, 0, 0, 2, 0xF0, 0x80, 0x32, 3, 0, 0};
    size_t at = out->len;

    wbuf_bytes(out, head, sizeof head);
    wbuf_be16(out, how == ANSWER_WRONG_ID ? be16(request + 11) + 1000 : be16(request + 11));
    wbuf_be32(out, 0);
    wbuf_be16(out, 0);
    return at;
}

static void
end_reply(struct wbuf *out, size_t at, unsigned param_len)
{
    wbuf_patch_be16(out, at + 2, (unsigned)(out->len - at));
    wbuf_patch_be16(out, at + 13, param_len);
    wbuf_patch_be16(out, at + 15, (unsigned)(out->len - at) - 19 - param_len);
}

static void
put_item(struct wbuf *out, const uint8_t *item, bool is_final)
{
    unsigned n = be16(item + 4), db = be16(item + 6), start = ((unsigned)item[9] << 16 | be16(item + 10)) / 8;

    wbuf_u8(out, 0xFF);
    wbuf_u8(out, 4);
    wbuf_be16(out, n * 8);
    for (unsigned i = 0; i < n; i++)
        wbuf_u8(out, byte_at(db, start + i));
    if (n % 2 && !is_final)
        wbuf_u8(out, 0xAA);
}

static void
answer_job(const uint8_t *p, enum conformance_answer how, struct wbuf *out)
{
    bool is_setup = p[17] == 0xF0;
    unsigned n = p[18];
    size_t at = begin_reply(out, p, is_setup ? ANSWER_GOOD : how);

    if (is_setup) {
        wbuf_bytes(out, p + 17, 6);
        wbuf_be16(out, 240);
        end_reply(out, at, 8);
        return;
    }
    wbuf_bytes(out, p + 17, 2);
    for (unsigned i = 0; i < n; i++) {
        if (how == ANSWER_ERROR && p[17] == 4)
            wbuf_be32(out, 0x0A000004u); /* its length is garbage */
        else if (p[17] == 4)
            put_item(out, p + 19 + 12 * i, i + 1 == n);
        else
            wbuf_u8(out, how == ANSWER_ERROR ? 5 : 0xFF);
    }
    end_reply(out, at, 2);
}

static size_t
answer(struct slice in, enum conformance_answer how, struct wbuf *out)
{
    static const uint8_t confirm[] = {3, 0, 0, 11, 6, 0xD0, 0, 1, 0, 2, 0};
    size_t len = in.len < 7 ? 0 : be16(in.p + 2);

    if (len == 0 || in.len < len)
        return 0;
    if (in.p[5] == 0xE0)
        wbuf_bytes(out, confirm, sizeof confirm);
    else
        answer_job(in.p, how, out);
    return len;
}

int
main(void)
{
    static const char *const one[] = {"host=plc", "s7_slot=1", "max_jobs=1", NULL};
    static const char *const many[] = {"host=plc", "s7_slot=1", NULL};
    static const char *const second[] = {"host=plc", "s7_slot=1", "gap=0", NULL};
    struct conformance c = {
        .driver = &s7_driver, .settings = one, .address = address, .value = value, .answer = answer};
    int failed = conformance_run(&c);

    c.settings = many;
    c.second = second;
    return failed + conformance_run(&c);
}
