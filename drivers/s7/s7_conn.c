#include "s7_conn.h"

#include "s7_iso.h"

#include <assert.h>
#include <stdio.h>

#define NEXT_TSAP_MS 100 /* a CPU needs a moment to free the connection of the last try */
#define RX_MAX       ((size_t)256 * 1024)
#define FRAMES_MAX   (S7_PDU_MAX / (S7_TPDU_BYTES_MIN - 3) + 1)

static void connect_stream(struct s7_conn *c);

/* --- life ------------------------------------------------------------------------------------------------- */

void
s7_conn_enter(struct s7_conn *c)
{
    c->depth++;
}

void
s7_conn_leave(struct s7_conn *c)
{
    if (--c->depth > 0 || !c->is_closed_due)
        return;
    c->is_closed_due = false;
    wbuf_free(&c->rx);
    wbuf_free(&c->message);
    nx_closed(c->link);
}

static bool
is_open(const struct s7_conn *c)
{
    return c->state != S7_CLOSED && c->state != S7_DOWN;
}

static void
drop_stream(struct s7_conn *c)
{
    if (c->stream)
        nx_stream_close(&c->stream);
    nx_timer_stop(c->timer);
    wbuf_reset(&c->rx);
    wbuf_reset(&c->message);
}

void
s7_conn_fail(struct s7_conn *c, enum nx_err err, const struct nx_note *why)
{
    struct nx_note kept = why ? *why : (struct nx_note){.err = err};

    if (!is_open(c))
        return;
    c->state = S7_DOWN;
    if (c->stream)
        nx_stream_close(&c->stream);
    nx_timer_stop(c->timer);
    c->ops->on_down(c->arg, err, why ? &kept : NULL);
}

/* --- the next slot ---------------------------------------------------------------------------------------- */

static void
fail_refused(struct s7_conn *c, enum nx_err err, const char *reason)
{
    const struct s7_conn_conf *conf = &c->conf;
    unsigned tsap = conf->tsaps[conf->tsap_count - 1];
    struct nx_note why;

    if (conf->tsap_count > 1)
        nx_fail(&why, err,
                "the CPU refuses the connection to %u slots, the last with '%s': set s7_rack and s7_slot (or "
                "remote_tsap), or free one of its connections",
                conf->tsap_count, reason);
    else
        nx_fail(
            &why, err,
            "the CPU refuses the connection to TSAP %02X.%02X (rack %u, slot %u): %s; check s7_rack and s7_slot, or "
            "free one of its connections",
            tsap >> 8, tsap & 0xFF, tsap >> 5 & 7, tsap & 0x1F, reason);
    s7_conn_fail(c, err, &why);
}

/* The CPU is there but does not want this TSAP. */
static void
tsap_refused(struct s7_conn *c, enum nx_err err, const char *reason)
{
    if (c->tsap + 1 >= c->conf.tsap_count) {
        fail_refused(c, err, reason);
        return;
    }
    c->tsap++;
    drop_stream(c);
    c->state = S7_WAIT;
    nx_timer_start(c->timer, NEXT_TSAP_MS);
}

/* --- handshake ---------------------------------------------------------------------------------------------- */

static void
write_stream(struct s7_conn *c, const struct wbuf *w)
{
    struct nx_note why;

    assert(!w->failed);
    nx_count_link(c->link, NX_COUNT_BYTES_OUT, w->len);
    if (nx_stream_write(c->stream, w->p, w->len) != NX_OK)
        s7_conn_fail(c, nx_fail(&why, NX_E_IO, "the CPU does not take our requests any more"), &why);
}

uint16_t
s7_conn_next_ref(struct s7_conn *c)
{
    if (++c->ref == 0)
        c->ref = 1;
    return c->ref;
}

void
s7_conn_send(struct s7_conn *c, struct slice message)
{
    uint8_t frames[S7_PDU_MAX + FRAMES_MAX * S7_FRAMING_BYTES];
    struct wbuf w = wbuf_fixed(frames, sizeof frames);

    s7_iso_wrap(&w, message, c->tpdu_bytes);
    write_stream(c, &w);
}

static void
send_connect(struct s7_conn *c)
{
    uint8_t frame[32];
    struct wbuf w = wbuf_fixed(frame, sizeof frame);

    s7_iso_connect(&w, c->conf.local_tsap, c->conf.tsaps[c->tsap]);
    c->state = S7_ISO;
    nx_timer_start(c->timer, c->conf.timeout_ms);
    write_stream(c, &w);
}

static void
send_setup(struct s7_conn *c)
{
    uint8_t message[32];
    struct wbuf w = wbuf_fixed(message, sizeof message);

    s7_encode_setup(&w, s7_conn_next_ref(c), c->conf.jobs, c->conf.pdu);
    c->state = S7_SETTING_UP;
    nx_timer_start(c->timer, c->conf.timeout_ms);
    s7_conn_send(c, wbuf_slice_of(&w));
}

static void
setup_answered(struct s7_conn *c, struct slice message)
{
    struct s7_reply reply;
    struct nx_note why;
    enum nx_err err = s7_decode_reply(message, &reply, &why);

    if (err == NX_OK && reply.ref != c->ref)
        err = nx_fail(&why, NX_E_PROTO, "the CPU answers the setup of communication with another reference");
    if (err == NX_OK)
        err = s7_decode_setup(&reply, &c->jobs, &c->pdu, &why);
    if (err != NX_OK) {
        s7_conn_fail(c, err, &why);
        return;
    }
    if (c->pdu > c->conf.pdu)
        c->pdu = c->conf.pdu;
    if (c->jobs > c->conf.jobs)
        c->jobs = c->conf.jobs;
    nx_timer_stop(c->timer);
    c->state = S7_UP;
    c->ops->on_up(c->arg);
}

/* --- bytes in ----------------------------------------------------------------------------------------------- */

static void
on_message(struct s7_conn *c, struct slice message)
{
    if (c->state == S7_SETTING_UP)
        setup_answered(c, message);
    else
        c->ops->on_message(c->arg, message);
}

static void
fail_proto(struct s7_conn *c, const char *what)
{
    struct nx_note why;

    nx_count_link(c->link, NX_COUNT_PROTO_ERRORS, 1);
    s7_conn_fail(c, nx_fail(&why, NX_E_PROTO, "the device does not speak S7 (%s)", what), &why);
}

/* A message in one TPDU, as most are, is not copied. */
static void
on_data_tpdu(struct s7_conn *c, const struct s7_tpdu *tpdu)
{
    if (c->state != S7_SETTING_UP && c->state != S7_UP) {
        fail_proto(c, "data before the connection");
    } else if (tpdu->is_last && c->message.len == 0) {
        on_message(c, tpdu->data);
    } else if (c->message.len + tpdu->data.len > S7_TPKT_MAX) {
        fail_proto(c, "endless message");
    } else {
        wbuf_slice(&c->message, tpdu->data);
        if (!tpdu->is_last)
            return;
        on_message(c, wbuf_slice_of(&c->message));
        wbuf_reset(&c->message);
    }
}

static void
on_tpdu(struct s7_conn *c, const struct s7_tpdu *tpdu)
{
    switch (tpdu->type) {
    case S7_TPDU_DATA:
        on_data_tpdu(c, tpdu);
        break;
    case S7_TPDU_CONFIRM:
        if (c->state != S7_ISO) {
            fail_proto(c, "connected twice");
            break;
        }
        c->tpdu_bytes = tpdu->tpdu_bytes < S7_TPDU_BYTES ? tpdu->tpdu_bytes : S7_TPDU_BYTES;
        send_setup(c);
        break;
    default:
        if (c->state == S7_UP) {
            struct nx_note why;
            s7_conn_fail(c, nx_fail(&why, NX_E_CLOSED, "the CPU has disconnected: %s", s7_iso_reason(tpdu->reason)),
                         &why);
        } else {
            tsap_refused(c, NX_E_REFUSED, s7_iso_reason(tpdu->reason));
        }
    }
}

static bool
takes_data(const struct s7_conn *c)
{
    return c->state == S7_ISO || c->state == S7_SETTING_UP || c->state == S7_UP;
}

/* Handles every complete packet; returns what is left, the beginning of the next one. */
static struct slice
feed(struct s7_conn *c, struct slice in)
{
    struct s7_tpdu tpdu;
    enum nx_err err = NX_OK;

    while (takes_data(c) && (err = s7_iso_next(&in, &tpdu)) == NX_OK)
        on_tpdu(c, &tpdu);
    if (takes_data(c) && err == NX_E_PROTO)
        fail_proto(c, "impossible packet header");
    return takes_data(c) ? in : slice(NULL, 0);
}

static void
on_data(void *arg, const uint8_t *p, size_t len)
{
    struct s7_conn *c = arg;
    struct slice rest;
    bool is_kept = c->rx.len > 0;

    s7_conn_enter(c);
    nx_count_link(c->link, NX_COUNT_BYTES_IN, len);
    if (is_kept)
        wbuf_bytes(&c->rx, p, len);
    assert(!c->rx.failed);
    rest = feed(c, is_kept ? wbuf_slice_of(&c->rx) : slice(p, len));
    if (is_kept) {
        if (rest.len > 0)
            memmove(c->rx.p, rest.p, rest.len);
        c->rx.len = rest.len;
    } else if (rest.len > 0) {
        wbuf_slice(&c->rx, rest);
    }
    if (c->state == S7_UP)
        c->ops->on_idle(c->arg);
    s7_conn_leave(c);
}

/* --- stream and timer ----------------------------------------------------------------------------------------- */

static void
on_open(void *arg)
{
    struct s7_conn *c = arg;

    s7_conn_enter(c);
    send_connect(c);
    s7_conn_leave(c);
}

static void
on_down(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct s7_conn *c = arg;

    s7_conn_enter(c);
    if ((c->state == S7_ISO || c->state == S7_SETTING_UP) && err == NX_E_CLOSED)
        tsap_refused(c, err, "the connection was closed");
    else
        s7_conn_fail(c, err, why);
    s7_conn_leave(c);
}

static void
on_timer(void *arg)
{
    struct s7_conn *c = arg;
    struct nx_note why;

    s7_conn_enter(c);
    if (c->state == S7_WAIT)
        connect_stream(c);
    else if (c->state == S7_CONNECTING)
        s7_conn_fail(c, nx_fail(&why, NX_E_TIMEOUT, "no TCP connection in %u ms", (unsigned)c->conf.timeout_ms), &why);
    else
        tsap_refused(c, NX_E_TIMEOUT, "no answer in time");
    s7_conn_leave(c);
}

static void
connect_stream(struct s7_conn *c)
{
    static const struct nx_stream_ops ops = {on_open, on_data, on_down};

    c->state = S7_CONNECTING;
    nx_timer_start(c->timer, c->conf.timeout_ms);
    c->stream = nx_stream_tcp(c->link, c->conf.host, c->conf.port, &ops, c);
}

void
s7_conn_open(struct s7_conn *c, struct nx_link *link, const struct s7_conn_conf *conf, const struct s7_conn_ops *ops,
             void *arg)
{
    assert(c->state == S7_CLOSED && conf->tsap_count > 0);
    *c = (struct s7_conn){.link = link, .ops = ops, .arg = arg, .conf = *conf, .tpdu_bytes = S7_TPDU_BYTES};
    c->rx = wbuf_init(RX_MAX);
    c->message = wbuf_init(S7_TPKT_MAX);
    c->timer = nx_timer_new(link, on_timer, c);
    connect_stream(c);
}

void
s7_conn_close(struct s7_conn *c)
{
    c->state = S7_CLOSED;
    if (c->stream)
        nx_stream_close(&c->stream);
    nx_timer_free(&c->timer);
    c->is_closed_due = true;
}
