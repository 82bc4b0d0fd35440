#include "s7_codec.h"

#include "base/mem.h"
#include "base/rbuf.h"

#include <assert.h>

#define PROTOCOL   0x32u
#define KIND_JOB   1u
#define KIND_ACK   2u
#define KIND_DATA  3u
#define ITEM_SPEC  0x12u
#define ITEM_LEN   10u
#define SYNTAX_ANY 0x10u
#define SETUP_LEN  8u

/* How the length of data is given. */
#define DATA_BIT   3u
#define DATA_BYTES 4u
#define DATA_INT   5u
#define DATA_OCTET 9u

static const struct {
    uint8_t code;
    enum nx_err err;
    const char *text;
} codes[] = {
    {S7_CODE_HARDWARE, NX_E_DEVICE, "hardware error of the CPU or a module"},
    {S7_CODE_DENIED, NX_E_UNSUPPORTED,
     "access denied: check the protection of the CPU and that 'Optimized block access' of the DB is off"},
    {S7_CODE_ADDRESS, NX_E_ADDRESS, "address out of range: the DB or area is shorter than this"},
    {S7_CODE_TYPE, NX_E_UNSUPPORTED, "data type not supported"},
    {S7_CODE_MISMATCH, NX_E_UNSUPPORTED, "data type inconsistent"},
    {S7_CODE_NO_OBJECT, NX_E_ADDRESS,
     "object does not exist: no such DB in the CPU, or its 'Optimized block access' is on"},
};

static const struct {
    uint16_t error;
    enum nx_err err;
    const char *text;
} errors[] = {
    {S7_ERROR_FUNCTION, NX_E_UNSUPPORTED,
     "PUT/GET access is off or the DB is optimized: enable 'Permit access with PUT/GET' in the CPU's protection "
     "settings and switch off 'Optimized block access' of the DB"},
    {S7_ERROR_PDU, NX_E_TOO_LARGE, "the request or its reply is larger than the CPU allows"},
    {S7_ERROR_ITEM, NX_E_ADDRESS, "item not available: check that the DB is loaded and long enough"},
    {S7_ERROR_NO_PASSWORD, NX_E_AUTH,
     "the CPU asks for a password: set its protection to full access for PUT/GET, or use an unprotected access level"},
    {S7_ERROR_BAD_PASSWORD, NX_E_AUTH,
     "the CPU says the password is wrong: set its protection to full access for PUT/GET"},
};

enum nx_err
s7_code_err(unsigned code)
{
    for (size_t i = 0; i < MEM_COUNT(codes); i++)
        if (codes[i].code == code)
            return codes[i].err;
    return NX_E_DEVICE;
}

const char *
s7_code_text(unsigned code)
{
    for (size_t i = 0; i < MEM_COUNT(codes); i++)
        if (codes[i].code == code)
            return codes[i].text;
    return "unknown reason";
}

enum nx_err
s7_error_err(unsigned error)
{
    for (size_t i = 0; i < MEM_COUNT(errors); i++)
        if (errors[i].error == error)
            return errors[i].err;
    return NX_E_DEVICE;
}

const char *
s7_error_text(unsigned error)
{
    for (size_t i = 0; i < MEM_COUNT(errors); i++)
        if (errors[i].error == error)
            return errors[i].text;
    return "unknown reason";
}

/* --- requests --------------------------------------------------------------------------------------------- */

static void
put_header(struct wbuf *out, unsigned ref, size_t param_len, size_t data_len)
{
    wbuf_u8(out, PROTOCOL);
    wbuf_u8(out, KIND_JOB);
    wbuf_be16(out, 0);
    wbuf_be16(out, ref);
    wbuf_be16(out, (unsigned)param_len);
    wbuf_be16(out, (unsigned)data_len);
}

void
s7_encode_setup(struct wbuf *out, unsigned ref, unsigned jobs, unsigned pdu_bytes)
{
    put_header(out, ref, SETUP_LEN, 0);
    wbuf_u8(out, S7_SETUP);
    wbuf_u8(out, 0);
    wbuf_be16(out, jobs); /* calling, called */
    wbuf_be16(out, jobs);
    wbuf_be16(out, pdu_bytes);
}

static void
put_item(struct wbuf *out, const struct s7_item *item)
{
    bool is_counted = s7_area_is_counted(item->area);
    uint32_t at = is_counted ? item->start : item->start * 8 + item->bit;

    wbuf_u8(out, ITEM_SPEC);
    wbuf_u8(out, ITEM_LEN);
    wbuf_u8(out, SYNTAX_ANY);
    wbuf_u8(out, is_counted ? item->area : item->transport);
    wbuf_be16(out, item->count);
    wbuf_be16(out, item->db);
    wbuf_be32(out, (uint32_t)item->area << 24 | at);
}

void
s7_encode_read(struct wbuf *out, unsigned ref, const struct s7_item *items, unsigned n)
{
    assert(n >= 1 && n <= S7_ITEMS_MAX);
    put_header(out, ref, 2 + n * S7_ITEM_BYTES, 0);
    wbuf_u8(out, S7_READ);
    wbuf_u8(out, n);
    for (unsigned i = 0; i < n; i++)
        put_item(out, &items[i]);
}

void
s7_encode_write(struct wbuf *out, unsigned ref, const struct s7_item *item, struct slice data)
{
    bool is_counted = s7_area_is_counted(item->area);

    assert(data.len == s7_item_bytes(item));
    put_header(out, ref, 2 + S7_ITEM_BYTES, S7_RESULT_HEAD + data.len);
    wbuf_u8(out, S7_WRITE);
    wbuf_u8(out, 1);
    put_item(out, item);
    wbuf_u8(out, 0);
    wbuf_u8(out, is_counted ? DATA_OCTET : item->transport == S7_BITS ? DATA_BIT : DATA_BYTES);
    wbuf_be16(out, (unsigned)(is_counted || item->transport == S7_BITS ? data.len : data.len * 8));
    wbuf_slice(out, data);
}

/* --- replies ------------------------------------------------------------------------------------------------ */

enum nx_err
s7_decode_reply(struct slice message, struct s7_reply *reply, struct nx_note *why)
{
    struct rbuf r = rbuf_init(message);
    unsigned protocol = rbuf_u8(&r), kind = rbuf_u8(&r), param_len, data_len;

    *reply = (struct s7_reply){0};
    (void)rbuf_be16(&r);
    reply->ref = rbuf_be16(&r);
    param_len = rbuf_be16(&r);
    data_len = rbuf_be16(&r);
    reply->error = rbuf_be16(&r);
    if (r.is_short || protocol != PROTOCOL || (kind != KIND_ACK && kind != KIND_DATA))
        return nx_fail(why, NX_E_PROTO, "the message is no S7 reply (protocol %02x, kind %u)", protocol, kind);
    reply->param = rbuf_take(&r, param_len);
    reply->data = rbuf_take(&r, data_len);
    if (rbuf_finish(&r) != NX_OK)
        return nx_fail(why, NX_E_PROTO, "a reply of %zu bytes says it has %u of parameters and %u of data", message.len,
                       param_len, data_len);
    if (param_len >= 1)
        reply->function = reply->param.p[0];
    if (param_len >= 2)
        reply->count = reply->param.p[1];
    return NX_OK;
}

enum nx_err
s7_decode_setup(const struct s7_reply *reply, unsigned *jobs, unsigned *pdu_bytes, struct nx_note *why)
{
    struct rbuf r = rbuf_init(reply->param);
    unsigned calling, called;

    if (reply->error != 0)
        return nx_fail(why, s7_error_err(reply->error), "the CPU refuses to set up communication: error %04X, %s",
                       reply->error, s7_error_text(reply->error));
    (void)rbuf_be16(&r);
    calling = rbuf_be16(&r);
    called = rbuf_be16(&r);
    *pdu_bytes = rbuf_be16(&r);
    *jobs = calling < called ? calling : called;
    if (reply->function != S7_SETUP || rbuf_finish(&r) != NX_OK || *pdu_bytes < S7_PDU_MIN)
        return nx_fail(why, NX_E_PROTO, "the CPU answers the setup of communication with nonsense");
    if (*jobs == 0)
        *jobs = 1;
    return NX_OK;
}

static enum nx_err
check_count(const struct s7_reply *reply, unsigned function, unsigned n, struct nx_note *why)
{
    if (reply->function != function || reply->param.len != 2 || reply->count != n)
        return nx_fail(why, NX_E_PROTO, "reply has function %u and %u items, expected %u and %u", reply->function,
                       reply->count, function, n);
    return NX_OK;
}

/* The item of a failed read is its head only: whatever length stands there is garbage. */
static enum nx_err
read_result(struct rbuf *r, unsigned want, bool is_final, struct s7_result *out)
{
    unsigned transport, len, bytes;

    out->code = rbuf_u8(r);
    transport = rbuf_u8(r);
    len = rbuf_be16(r);
    if (r->is_short)
        return NX_E_PROTO;
    if (out->code != S7_CODE_OK)
        return NX_OK;
    bytes = transport >= DATA_BIT && transport <= DATA_INT ? (len + 7) / 8 : len;
    if (bytes != want)
        return NX_E_PROTO;
    out->data = rbuf_take(r, bytes);
    if (bytes % 2 != 0 && !is_final)
        (void)rbuf_u8(r);
    return r->is_short ? NX_E_PROTO : NX_OK;
}

enum nx_err
s7_decode_read(const struct s7_reply *reply, const struct s7_item *items, unsigned n, struct s7_result *results,
               struct nx_note *why)
{
    struct rbuf r = rbuf_init(reply->data);
    enum nx_err err = check_count(reply, S7_READ, n, why);

    for (unsigned i = 0; i < n && err == NX_OK; i++) {
        results[i] = (struct s7_result){0};
        err = read_result(&r, s7_item_bytes(&items[i]), i + 1 == n, &results[i]);
        if (err != NX_OK)
            return nx_fail(why, err, "item %u of %u of the reply has not the %u bytes that were asked for", i + 1, n,
                           s7_item_bytes(&items[i]));
    }
    /* some servers pad the last item too */
    if (err == NX_OK && rbuf_left(&r) > 1)
        return nx_fail(why, NX_E_PROTO, "the reply has %zu bytes too many", rbuf_left(&r));
    return err;
}

enum nx_err
s7_decode_write(const struct s7_reply *reply, uint8_t *code, struct nx_note *why)
{
    enum nx_err err = check_count(reply, S7_WRITE, 1, why);

    if (err != NX_OK)
        return err;
    if (reply->data.len != 1)
        return nx_fail(why, NX_E_PROTO, "the reply to a write has %zu codes, expected 1", reply->data.len);
    *code = reply->data.p[0];
    return NX_OK;
}
