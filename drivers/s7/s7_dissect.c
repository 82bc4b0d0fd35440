/* s7_dissect.c -- what went over a connection, for people. Bytes may begin and end anywhere. */
#include "s7_link.h"

#include "base/mem.h"
#include "base/rbuf.h"
#include "s7_iso.h"
#include "s7_value.h"

#include <stdio.h>
#include <stdlib.h>

#define SHOWN_BYTES 16u

/* A job as we have sent it. data: of a write, else empty. */
struct job {
    unsigned ref, function, n;
    struct s7_item items[S7_ITEMS_MAX];
    struct slice data;
};

/* Joins the TPDUs of the next message of in into w. False: there is no complete one. */
static bool
next_message(struct slice *in, struct wbuf *w)
{
    struct s7_tpdu tpdu;

    wbuf_reset(w);
    while (s7_iso_next(in, &tpdu) == NX_OK) {
        if (tpdu.type != S7_TPDU_DATA)
            continue;
        wbuf_slice(w, tpdu.data);
        if (tpdu.is_last)
            return !w->failed;
    }
    return false;
}

static bool
read_item(struct rbuf *r, struct s7_item *item)
{
    uint32_t at;

    *item = (struct s7_item){0};
    (void)rbuf_take(r, 3);
    item->transport = rbuf_u8(r);
    item->count = rbuf_be16(r);
    item->db = rbuf_be16(r);
    at = rbuf_be32(r);
    item->area = (uint8_t)(at >> 24);
    at &= 0xFFFFFFu;
    item->start = s7_area_is_counted(item->area) ? at : at / 8;
    item->bit = item->transport == S7_BITS ? at % 8 : 0;
    return !r->is_short;
}

static bool
read_job(struct slice message, struct job *job)
{
    struct rbuf r = rbuf_init(message);

    *job = (struct job){0};
    (void)rbuf_take(&r, 4);
    job->ref = rbuf_be16(&r);
    (void)rbuf_take(&r, 4);
    job->function = rbuf_u8(&r);
    job->n = rbuf_u8(&r);
    if (r.is_short || (job->function != S7_READ && job->function != S7_WRITE))
        return !r.is_short && job->function == S7_SETUP;
    if (job->n == 0 || job->n > S7_ITEMS_MAX)
        return false;
    for (unsigned i = 0; i < job->n; i++)
        if (!read_item(&r, &job->items[i]))
            return false;
    if (job->function == S7_WRITE && rbuf_left(&r) > S7_RESULT_HEAD)
        job->data = slice(r.p + S7_RESULT_HEAD, rbuf_left(&r) - S7_RESULT_HEAD);
    return true;
}

/* The reply to the job among what has arrived. w keeps its bytes. */
static bool
find_reply(struct slice in, unsigned ref, struct wbuf *w, struct s7_reply *reply)
{
    while (next_message(&in, w))
        if (s7_decode_reply(wbuf_slice_of(w), reply, NULL) == NX_OK && reply->ref == ref)
            return true;
    return false;
}

/* --- text --- */

static void
put_bytes(struct wbuf *w, struct slice s)
{
    for (size_t i = 0; i < s.len && i < SHOWN_BYTES; i++)
        wbuf_printf(w, "%s%02X", i ? " " : "", s.p[i]);
    if (s.len > SHOWN_BYTES)
        wbuf_str(w, " ...");
}

static void
put_outcome(struct wbuf *w, const struct job *job, const struct s7_reply *reply)
{
    struct s7_result results[S7_ITEMS_MAX];
    unsigned good = 0;
    size_t bytes = 0;
    uint8_t code;

    if (reply->error != 0) {
        wbuf_printf(w, ": error %04X, %s", reply->error, s7_error_text(reply->error));
    } else if (job->function == S7_WRITE) {
        if (s7_decode_write(reply, &code, NULL) != NX_OK)
            wbuf_str(w, ": the reply is not of this job");
        else
            wbuf_printf(w, ": code %02X, %s", code, code == S7_CODE_OK ? "done" : s7_code_text(code));
    } else if (s7_decode_read(reply, job->items, job->n, results, NULL) != NX_OK) {
        wbuf_str(w, ": the reply is not of this job");
    } else {
        for (unsigned i = 0; i < job->n; i++) {
            good += results[i].code == S7_CODE_OK;
            bytes += results[i].data.len;
        }
        wbuf_printf(w, ": %zu bytes", bytes);
        if (good < job->n)
            wbuf_printf(w, ", %u of %u items refused", job->n - good, job->n);
    }
}

static void
put_job(struct wbuf *w, const struct job *job)
{
    char range[S7_RANGE_TEXT];

    if (job->function == S7_SETUP) {
        wbuf_str(w, "set up communication");
        return;
    }
    wbuf_str(w, job->function == S7_READ ? "read" : "write");
    for (unsigned i = 0; i < job->n && i < 4; i++) {
        const struct s7_item *item = &job->items[i];
        s7_range_text(range, item->area, item->db, item->start, item->transport == S7_BITS ? 1 : item->count);
        wbuf_printf(w, "%s %s", i ? "," : "", range);
        if (item->transport == S7_BITS)
            wbuf_printf(w, ".%u", item->bit);
    }
    if (job->n > 4)
        wbuf_printf(w, " and %u more", job->n - 4);
}

static void
put_reply(struct wbuf *w, const struct job *job, struct slice in)
{
    struct wbuf message = wbuf_init(S7_TPKT_MAX);
    struct s7_reply reply;
    unsigned jobs, pdu;

    if (!find_reply(in, job->ref, &message, &reply))
        wbuf_str(w, in.len ? ": no complete answer" : ": no answer");
    else if (job->function != S7_SETUP)
        put_outcome(w, job, &reply);
    else if (s7_decode_setup(&reply, &jobs, &pdu, NULL) == NX_OK)
        wbuf_printf(w, ": PDU %u, %u jobs", pdu, jobs);
    else
        wbuf_str(w, ": refused");
    wbuf_free(&message);
}

static void
put_connect(struct wbuf *w, struct slice out, struct slice in)
{
    struct s7_tpdu tpdu;

    if (out.len < 6 || out.p[5] != S7_TPDU_CONNECT) {
        wbuf_str(w, "no S7 job");
        return;
    }
    wbuf_str(w, "connect");
    if (s7_iso_next(&in, &tpdu) != NX_OK)
        wbuf_str(w, ": no answer");
    else if (tpdu.type == S7_TPDU_CONFIRM)
        wbuf_printf(w, ": confirmed, TPDU %u", tpdu.tpdu_bytes);
    else
        wbuf_printf(w, ": refused, %s", s7_iso_reason(tpdu.reason));
}

/* --- one address --- */

/* Where the address lies in the item; false: not in it, or not whole. */
static bool
is_inside(const struct s7_item *item, const struct s7_addr *a, size_t *at)
{
    if (item->area != a->area || item->db != a->db || a->start < item->start)
        return false;
    *at = a->start - item->start;
    if (s7_area_is_counted(a->area))
        return *at < item->count;
    if (item->transport == S7_BITS)
        return a->type == S7_BOOL && *at == 0 && item->bit == a->bit;
    return *at + a->bytes <= item->count;
}

static void
put_address(struct wbuf *w, const struct s7_addr *a, const uint8_t *p)
{
    char *text = mem_alloc(S7_TEXT_MAX);
    struct nx_value v;

    put_bytes(w, slice(p, a->bytes));
    wbuf_str(w, " = ");
    if (s7_value_decode(a, p, text, &v) == NX_OK)
        wbuf_json_value(w, &v);
    else
        wbuf_str(w, "no value");
    free(text);
}

static void
put_written(struct wbuf *w, const struct job *job, unsigned i, const struct s7_addr *a)
{
    size_t n = s7_item_bytes(&job->items[i]);

    wbuf_str(w, "written ");
    if (i == 0 && job->data.len >= n && n == a->bytes && a->type != S7_BOOL)
        put_address(w, a, job->data.p);
    else
        put_bytes(w, job->data);
}

/* A string is written without the byte of its maximum, so its job begins behind the address. */
static bool
is_written(const struct s7_item *item, const struct s7_addr *a)
{
    size_t at;

    return is_inside(item, a, &at) || (item->area == a->area && item->db == a->db && s7_type_is_text(a->type) &&
                                       item->start > a->start && item->start < a->start + a->bytes);
}

static bool
dissect_write(struct wbuf *w, const struct job *job, const struct s7_addr *a)
{
    for (unsigned i = 0; i < job->n; i++) {
        if (is_written(&job->items[i], a)) {
            put_written(w, job, i, a);
            return true;
        }
    }
    return false;
}

static bool
dissect_read(struct wbuf *w, const struct job *job, const struct s7_addr *a, struct slice in)
{
    struct wbuf message = wbuf_init(S7_TPKT_MAX);
    struct s7_result results[S7_ITEMS_MAX];
    struct s7_reply reply;
    size_t at = 0;
    unsigned i = 0;

    while (i < job->n && !is_inside(&job->items[i], a, &at))
        i++;
    if (i == job->n)
        return false;
    if (!find_reply(in, job->ref, &message, &reply))
        wbuf_str(w, "no answer");
    else if (reply.error != 0)
        wbuf_printf(w, "error %04X, %s", reply.error, s7_error_text(reply.error));
    else if (s7_decode_read(&reply, job->items, job->n, results, NULL) != NX_OK)
        wbuf_str(w, "the reply is not of this job");
    else if (results[i].code != S7_CODE_OK)
        wbuf_printf(w, "code %02X, %s", results[i].code, s7_code_text(results[i].code));
    else
        put_address(w, a, results[i].data.p + (s7_area_is_counted(a->area) ? at * 2 : at));
    wbuf_free(&message);
    return true;
}

bool
s7_dissect(const struct nx_exchange *x, const void *addr, char *text, size_t cap)
{
    struct slice out = slice(x->out, x->out_len), in = slice(x->in, x->in_len), rest = out;
    struct wbuf message = wbuf_init(S7_TPKT_MAX), w = wbuf_init(4 * S7_TEXT_MAX);
    struct job job;
    bool is_job = next_message(&rest, &message) && read_job(wbuf_slice_of(&message), &job), is_found = true;

    if (addr)
        is_found = is_job && (job.function == S7_READ    ? dissect_read(&w, &job, addr, in)
                              : job.function == S7_WRITE ? dissect_write(&w, &job, addr)
                                                         : false);
    else if (is_job) {
        put_job(&w, &job);
        put_reply(&w, &job, in);
    } else {
        put_connect(&w, out, in);
    }
    snprintf(text, cap, "%s", wbuf_cstr(&w));
    wbuf_free(&message);
    wbuf_free(&w);
    return is_found;
}
