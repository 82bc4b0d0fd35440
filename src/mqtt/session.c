#include "mqtt/session.h"

#include "base/mem.h"
#include "mqtt/reason.h"

#include <assert.h>
#include <stdio.h>

enum {
    CONNACK_TIMEOUT_MS = 10000,
    FIRST_SUB_ID = MQTT_WINDOW_MAX + 1,
    PARTIAL_KEEP_BYTES = 256 * 1024, /* a larger buffer is given back after use */
    SCRATCH_MAX_BYTES = 512 * 1024,
    ACK_BYTES = 4,
};

void
mqtt_session_init(struct mqtt_session *s, const struct mqtt_conf *conf, const struct session_ops *ops, void *arg)
{
    assert(conf->window > 0 && conf->window < FIRST_SUB_ID);
    *s = (struct mqtt_session){.conf = conf, .ops = ops, .arg = arg};
    inbox_init(&s->inbox);
    outbox_init(&s->outbox, conf->window);
    subs_init(&s->subs, FIRST_SUB_ID);
    s->partial = wbuf_init(conf->max_packet_bytes);
    s->scratch = wbuf_init(SCRATCH_MAX_BYTES);
}

void
mqtt_session_fini(struct mqtt_session *s)
{
    inbox_fini(&s->inbox);
    outbox_fini(&s->outbox);
    subs_fini(&s->subs);
    wbuf_free(&s->partial);
    wbuf_free(&s->scratch);
    free(s->assigned_id);
}

static void
send_parts(struct mqtt_session *s, struct slice a, struct slice b)
{
    s->has_sent = true;
    s->stats.bytes_out += a.len + b.len;
    s->ops->send(s->arg, a, b);
}

static void
send_scratch(struct mqtt_session *s)
{
    struct slice bytes = wbuf_slice_of(&s->scratch);

    if (bytes.len)
        send_parts(s, bytes, slice(NULL, 0));
    wbuf_reset(&s->scratch);
}

/* --- connecting (3.1, 3.2) --- */

static uint32_t
session_expiry(const struct mqtt_session *s)
{
    return s->conf->session_expiry_s;
}

/* After the first connection a session with an expiry is taken up again, whatever clean_start said at the start. */
static bool
wants_clean_start(const struct mqtt_session *s)
{
    bool outlives = s->conf->version == MQTT_V5 && session_expiry(s) > 0;

    return s->conf->clean_start && !(s->was_online && outlives);
}

static struct mqtt_connect
connect_packet(const struct mqtt_session *s)
{
    struct mqtt_connect c = {
        .version = s->conf->version,
        .client_id = slice_str(s->assigned_id ? s->assigned_id : s->conf->client_id),
        .username = s->conf->username,
        .password = s->conf->password,
        .clean_start = wants_clean_start(s),
        .keepalive_s = s->conf->keepalive_s,
        .will = s->conf->will.topic ? &s->conf->will : NULL,
        .props = {.has = MQTT_PROP_BIT(MQTT_PROP_RECEIVE_MAX) | MQTT_PROP_BIT(MQTT_PROP_MAX_PACKET),
                  .receive_max = s->conf->receive_max,
                  .max_packet_bytes = s->conf->max_packet_bytes,
                  .session_expiry_s = session_expiry(s)},
    };

    if (session_expiry(s))
        c.props.has |= MQTT_PROP_BIT(MQTT_PROP_SESSION_EXPIRY);
    return c;
}

enum nx_err
mqtt_session_open(struct mqtt_session *s, uint64_t now_ms, struct nx_note *why)
{
    struct mqtt_connect c = connect_packet(s);

    assert(s->state == SESSION_DOWN);
    wbuf_reset(&s->scratch);
    mqtt_encode_connect(&s->scratch, &c);
    if (s->scratch.failed)
        return nx_fail(
            why, NX_E_CONFIG,
            "mqtt.client_id, username, password or the will is longer than the 65535 bytes that MQTT allows");
    s->state = SESSION_CONNECTING;
    s->opened_ms = s->last_in_ms = s->last_out_ms = now_ms;
    s->is_pinging = false;
    s->partial.len = 0;
    send_scratch(s);
    return NX_OK;
}

static bool
has(const struct mqtt_props *p, enum mqtt_prop id)
{
    return p->has & MQTT_PROP_BIT(id);
}

static void
take_limits(struct mqtt_session *s, const struct mqtt_props *p)
{
    uint32_t keepalive_s = has(p, MQTT_PROP_SERVER_KEEPALIVE) ? p->server_keepalive_s : s->conf->keepalive_s;

    s->keepalive_ms = keepalive_s * 1000;
    s->peer_receive_max = has(p, MQTT_PROP_RECEIVE_MAX) ? (uint16_t)p->receive_max : UINT16_MAX;
    s->peer_max_packet = has(p, MQTT_PROP_MAX_PACKET) ? p->max_packet_bytes : MQTT_LENGTH_MAX;
    s->peer_max_qos = has(p, MQTT_PROP_MAX_QOS) ? (uint8_t)p->max_qos : 2;
    s->peer_retains = !has(p, MQTT_PROP_RETAIN_AVAILABLE) || p->retain_available;
    if (has(p, MQTT_PROP_ASSIGNED_CLIENT_ID)) {
        free(s->assigned_id);
        s->assigned_id = mem_strndup(p->assigned_client_id.p, p->assigned_client_id.len);
    }
}

static void
note_limits(const struct mqtt_session *s, struct nx_note *why)
{
    *why = (struct nx_note){0};
    if (s->peer_max_qos < 2 || !s->peer_retains)
        (void)nx_fail(why, NX_OK, "broker takes QoS %u at most%s: what is above is sent with less", s->peer_max_qos,
                      s->peer_retains ? "" : " and keeps no retained messages");
}

/* What the broker of today does not take although that of yesterday did. */
static void
drop_oversized(struct mqtt_session *s)
{
    for (struct flight *f = s->outbox.list, *next; f; f = next) {
        next = f->next;
        if (f->len <= s->peer_max_packet)
            continue;
        outbox_end(&s->outbox, f, NX_E_TOO_LARGE);
        next = s->outbox.list;
    }
}

static enum nx_err
on_connack(struct mqtt_session *s, const struct mqtt_packet *packet, struct nx_note *why)
{
    struct mqtt_connack ack;
    struct nx_note limits;

    if (s->state != SESSION_CONNECTING || mqtt_decode_connack(s->conf->version, packet->body, &ack))
        return NX_E_PROTO;
    if (ack.reason)
        return mqtt_reason_note(why, "connection refused", ack.reason, ack.props.reason_string);
    if (ack.session_present && wants_clean_start(s))
        return NX_E_PROTO;

    take_limits(s, &ack.props);
    if (s->was_online)
        s->stats.reconnects++;
    s->was_online = true;
    s->state = SESSION_ONLINE;
    if (!ack.session_present)
        inbox_forget(&s->inbox);
    subs_restart(&s->subs, ack.session_present);
    outbox_restart(&s->outbox, ack.session_present);
    drop_oversized(s);
    note_limits(s, &limits);
    if (s->state == SESSION_ONLINE)
        s->ops->on_online(s->arg, ack.session_present, &limits);
    return NX_OK;
}

/* --- receiving --- */

/* 3.3 */
static enum nx_err
on_publish(struct mqtt_session *s, const struct mqtt_packet *packet, struct nx_note *why)
{
    struct mqtt_received r;
    struct mqtt_message msg;

    (void)why;
    if (mqtt_decode_publish(s->conf->version, packet, &r))
        return NX_E_PROTO;
    msg = (struct mqtt_message){.topic = r.topic,
                                .payload = r.payload,
                                .qos = r.qos,
                                .retain = r.retain,
                                .dup = r.dup,
                                .packet_id = r.packet_id};
    if (has(&r.props, MQTT_PROP_CONTENT_TYPE))
        msg.content_type = r.props.content_type;
    if (has(&r.props, MQTT_PROP_RESPONSE_TOPIC))
        msg.response_topic = r.props.response_topic;
    if (has(&r.props, MQTT_PROP_CORRELATION))
        msg.correlation = r.props.correlation;
    if (inbox_receive(&s->inbox, r.packet_id, r.qos, &msg.token))
        return NX_E_PROTO;
    if (r.qos > 0 && msg.token == 0)
        return NX_OK;
    s->stats.received++;
    s->ops->on_message(s->arg, &msg);
    return NX_OK;
}

/* Answers for ids that are not in flight come from brokers that repeat themselves; they change nothing. */
static struct flight *
find_flight(struct mqtt_session *s, const struct mqtt_packet *packet, struct mqtt_ack_packet *ack, enum nx_err *err)
{
    *err = mqtt_decode_ack(s->conf->version, packet, ack);
    return *err ? NULL : outbox_find(&s->outbox, ack->packet_id);
}

static void
end_flight(struct mqtt_session *s, struct flight *f, const struct mqtt_ack_packet *ack)
{
    enum nx_err err = mqtt_reason_err(ack->reason);

    if (err) {
        struct nx_note why;

        (void)mqtt_reason_note(&why, "message refused", ack->reason, ack->reason_string);
        s->ops->on_warning(s->arg, &why);
    } else {
        s->stats.acked++;
    }
    outbox_end(&s->outbox, f, err);
}

/* 3.4, 3.7 */
static enum nx_err
on_puback_or_pubcomp(struct mqtt_session *s, const struct mqtt_packet *packet, struct nx_note *why)
{
    struct mqtt_ack_packet ack;
    enum nx_err err;
    struct flight *f = find_flight(s, packet, &ack, &err);

    (void)why;
    if (!f)
        return err;
    bool belongs = packet->type == MQTT_PUBACK ? f->qos == 1 : f->qos == 2 && f->is_received;
    if (!belongs)
        return NX_E_PROTO;
    /* "Packet id not found" in PUBCOMP: the broker has finished with it already (4.3.3). */
    if (packet->type == MQTT_PUBCOMP)
        ack.reason = 0;
    end_flight(s, f, &ack);
    return NX_OK;
}

static void
send_ack(struct mqtt_session *s, enum mqtt_type type, uint16_t packet_id, uint8_t reason)
{
    mqtt_encode_ack(&s->scratch, s->conf->version, type, packet_id, reason);
    send_scratch(s);
}

/* 3.5 */
static enum nx_err
on_pubrec(struct mqtt_session *s, const struct mqtt_packet *packet, struct nx_note *why)
{
    struct mqtt_ack_packet ack;
    enum nx_err err;
    struct flight *f = find_flight(s, packet, &ack, &err);

    (void)why;
    if (err || (f && f->qos != 2))
        return NX_E_PROTO;
    if (f && mqtt_reason_err(ack.reason)) {
        end_flight(s, f, &ack);
        return NX_OK;
    }
    if (f && !f->is_received)
        outbox_received(&s->outbox, f);
    send_ack(s, MQTT_PUBREL, ack.packet_id, f ? 0 : 0x92);
    return NX_OK;
}

/* 3.6 */
static enum nx_err
on_pubrel(struct mqtt_session *s, const struct mqtt_packet *packet, struct nx_note *why)
{
    struct mqtt_ack_packet ack;

    (void)why;
    if (mqtt_decode_ack(s->conf->version, packet, &ack))
        return NX_E_PROTO;
    send_ack(s, MQTT_PUBCOMP, ack.packet_id, inbox_release(&s->inbox, ack.packet_id) ? 0 : 0x92);
    return NX_OK;
}

/* 3.9, 3.11 */
static enum nx_err
on_suback(struct mqtt_session *s, const struct mqtt_packet *packet, struct nx_note *why)
{
    struct mqtt_suback ack;
    struct nx_note warning;

    (void)why;
    if (mqtt_decode_suback(s->conf->version, packet, &ack))
        return NX_E_PROTO;
    struct sub *sub = subs_find(&s->subs, ack.packet_id);
    if (!sub)
        return NX_OK;
    if (ack.codes.len > 1 || sub->is_leaving != (packet->type == MQTT_UNSUBACK))
        return NX_E_PROTO;

    uint8_t code = ack.codes.len ? ack.codes.p[0] : 0;
    bool is_refused = code >= 0x80 && !sub->is_leaving;
    if (is_refused) {
        char place[120];

        snprintf(place, sizeof place, "subscription to '%.80s' refused", sub->filter);
        (void)mqtt_reason_note(&warning, place, code, ack.reason_string);
    }
    subs_answered(&s->subs, sub, code);
    if (is_refused)
        s->ops->on_warning(s->arg, &warning);
    return NX_OK;
}

static enum nx_err
on_pingresp(struct mqtt_session *s, const struct mqtt_packet *packet, struct nx_note *why)
{
    (void)why;
    s->is_pinging = false;
    return packet->body.len ? NX_E_PROTO : NX_OK;
}

/* 3.14 */
static enum nx_err
on_disconnect(struct mqtt_session *s, const struct mqtt_packet *packet, struct nx_note *why)
{
    struct mqtt_disconnect d;

    if (mqtt_decode_disconnect(s->conf->version, packet, &d))
        return NX_E_PROTO;
    if (d.reason < 0x80)
        return nx_fail(why, NX_E_CLOSED, "broker closed the connection");
    return mqtt_reason_note(why, "broker closed the connection", d.reason, d.reason_string);
}

typedef enum nx_err handler_f(struct mqtt_session *s, const struct mqtt_packet *packet, struct nx_note *why);

/* What is missing here a broker must not send: AUTH only follows an authentication method, and we name none. */
static handler_f *const HANDLERS[16] = {
    [MQTT_CONNACK] = on_connack,       [MQTT_PUBLISH] = on_publish, [MQTT_PUBACK] = on_puback_or_pubcomp,
    [MQTT_PUBREC] = on_pubrec,         [MQTT_PUBREL] = on_pubrel,   [MQTT_PUBCOMP] = on_puback_or_pubcomp,
    [MQTT_SUBACK] = on_suback,         [MQTT_UNSUBACK] = on_suback, [MQTT_PINGRESP] = on_pingresp,
    [MQTT_DISCONNECT] = on_disconnect,
};

static enum nx_err
dispatch(struct mqtt_session *s, const struct mqtt_packet *packet, struct nx_note *why)
{
    struct nx_note reason = {0};
    handler_f *handler = HANDLERS[packet->type];
    bool is_early = s->state == SESSION_CONNECTING && packet->type != MQTT_CONNACK && packet->type != MQTT_DISCONNECT;
    enum nx_err err = handler && !is_early ? handler(s, packet, &reason) : NX_E_PROTO;

    if (err && !reason.text[0])
        return nx_fail(why, err,
                       "broker sent %s %s; is this port really MQTT %s? If it is, please report it with a log at debug",
                       handler && !is_early ? "a malformed or misplaced" : "an unexpected",
                       mqtt_type_name(packet->type), s->conf->version == MQTT_V5 ? "5" : "3.1.1");
    if (err && why)
        *why = reason;
    return err;
}

static enum nx_err
fail_framing(const struct mqtt_session *s, enum nx_err err, struct nx_note *why)
{
    if (err == NX_E_TOO_LARGE)
        return nx_fail(why, err, "broker sent a packet larger than %u bytes: raise mqtt.max_packet_bytes",
                       s->conf->max_packet_bytes);
    return nx_fail(why, err,
                   "broker sent bytes that are not MQTT: check that host and port lead to an MQTT broker, and "
                   "mqtts:// where the broker wants TLS");
}

/* Handles the whole packets at the start of *data. NX_E_MORE: what is left is the start of one. */
static enum nx_err
take_packets(struct mqtt_session *s, struct slice *data, struct nx_note *why)
{
    struct mqtt_packet packet;
    enum nx_err err = NX_OK;

    while (s->state != SESSION_DOWN) {
        err = mqtt_packet_next(*data, s->conf->max_packet_bytes, &packet);
        if (err)
            return err == NX_E_MORE ? err : fail_framing(s, err, why);
        *data = slice_skip(*data, packet.total_bytes);
        err = dispatch(s, &packet, why);
        if (err)
            return err;
    }
    return NX_OK;
}

/* Completes the packet that an earlier read began, with no more bytes than it needs. */
static enum nx_err
complete_partial(struct mqtt_session *s, struct slice *data, struct nx_note *why)
{
    struct mqtt_packet packet;
    enum nx_err err;

    while ((err = mqtt_packet_next(wbuf_slice_of(&s->partial), s->conf->max_packet_bytes, &packet)) == NX_E_MORE) {
        size_t need = packet.total_bytes ? packet.total_bytes - s->partial.len : 1;

        if (data->len == 0)
            return NX_E_MORE;
        if (need > data->len)
            need = data->len;
        wbuf_bytes(&s->partial, data->p, need);
        *data = slice_skip(*data, need);
    }
    if (err)
        return fail_framing(s, err, why);
    err = dispatch(s, &packet, why);
    s->partial.len = 0;
    if (s->partial.cap > PARTIAL_KEEP_BYTES) {
        wbuf_free(&s->partial);
        s->partial = wbuf_init(s->conf->max_packet_bytes);
    }
    return err;
}

enum nx_err
mqtt_session_feed(struct mqtt_session *s, struct slice data, uint64_t now_ms, struct nx_note *why)
{
    enum nx_err err = NX_OK;

    s->last_in_ms = now_ms;
    s->stats.bytes_in += data.len;
    if (s->partial.len)
        err = complete_partial(s, &data, why);
    if (!err)
        err = take_packets(s, &data, why);
    if (err != NX_E_MORE)
        return err;
    wbuf_slice(&s->partial, data);
    return NX_OK;
}

/* --- sending --- */

uint16_t
mqtt_session_window(const struct mqtt_session *s)
{
    return s->peer_receive_max < s->conf->window ? s->peer_receive_max : s->conf->window;
}

uint8_t
mqtt_session_qos(const struct mqtt_session *s, uint8_t qos)
{
    return qos > s->peer_max_qos ? s->peer_max_qos : qos;
}

static void
send_flight(struct mqtt_session *s, const struct flight *f)
{
    if (f->is_received) {
        send_ack(s, MQTT_PUBREL, f->packet_id, 0);
        return;
    }
    send_parts(s, slice(f->packet, f->len), slice(NULL, 0));
    s->stats.sent++;
}

/* Sends what waits, within the broker's Receive Maximum (4.9) and the room of the transport. */
static void
pump(struct mqtt_session *s)
{
    struct flight *f;

    while (s->outbox.unsent && s->outbox.sent < mqtt_session_window(s) && s->ops->room(s->arg) > 0) {
        f = outbox_next(&s->outbox);
        if (!f)
            return;
        send_flight(s, f);
    }
}

static enum nx_err
publish_qos0(struct mqtt_session *s, const struct mqtt_publication *pub)
{
    mqtt_encode_publish_head(&s->scratch, s->conf->version, pub, 0);
    assert(!s->scratch.failed);
    send_parts(s, wbuf_slice_of(&s->scratch), pub->payload);
    wbuf_reset(&s->scratch);
    s->stats.sent++;
    return NX_OK;
}

enum nx_err
mqtt_session_publish(struct mqtt_session *s, const struct mqtt_publication *pub, mqtt_done_cb *done, void *arg)
{
    struct mqtt_publication p = *pub;
    size_t len = mqtt_publish_size(s->conf->version, pub);

    if (s->state != SESSION_ONLINE)
        return NX_E_OFFLINE;
    if (!mqtt_topic_is_valid(p.topic) || p.qos > 2 || p.correlation.len > UINT16_MAX ||
        (p.response_topic.len && !mqtt_topic_is_valid(p.response_topic)))
        return NX_E_VALUE;
    p.qos = mqtt_session_qos(s, p.qos);
    p.retain = p.retain && s->peer_retains;
    if (len == 0 || len > s->peer_max_packet)
        return NX_E_TOO_LARGE;
    if (p.qos == 0)
        return publish_qos0(s, &p);
    if (s->outbox.count >= mqtt_session_window(s))
        return NX_E_FULL;

    struct flight *f = outbox_add(&s->outbox, s->conf->version, &p, mqtt_publish_size(s->conf->version, &p));
    f->done = done;
    f->arg = arg;
    pump(s);
    return NX_OK;
}

static void
flush_acks(struct mqtt_session *s)
{
    enum mqtt_type type;
    uint16_t packet_id;

    while (inbox_next_ack(&s->inbox, &type, &packet_id)) {
        mqtt_encode_ack(&s->scratch, s->conf->version, type, packet_id, 0);
        if (s->scratch.len > SCRATCH_MAX_BYTES - ACK_BYTES)
            send_scratch(s);
    }
    send_scratch(s);
}

static void
flush_subs(struct mqtt_session *s)
{
    struct sub *sub;

    while ((sub = subs_next(&s->subs))) {
        struct mqtt_filter filter = {sub->filter, sub->qos};

        if (sub->is_leaving)
            mqtt_encode_unsubscribe(&s->scratch, s->conf->version, sub->packet_id, &filter, 1);
        else
            mqtt_encode_subscribe(&s->scratch, s->conf->version, sub->packet_id, &filter, 1);
        send_scratch(s);
    }
}

void
mqtt_session_flush(struct mqtt_session *s, uint64_t now_ms)
{
    if (s->state != SESSION_ONLINE)
        return;
    flush_acks(s);
    flush_subs(s);
    pump(s);
    if (s->has_sent)
        s->last_out_ms = now_ms;
    s->has_sent = false;
}

/* --- time (3.1.2.10) --- */

uint64_t
mqtt_session_due_ms(const struct mqtt_session *s)
{
    if (s->state == SESSION_CONNECTING)
        return s->opened_ms + CONNACK_TIMEOUT_MS;
    if (s->state == SESSION_DOWN || s->keepalive_ms == 0)
        return UINT64_MAX;
    uint64_t dead = s->last_in_ms + s->keepalive_ms + s->keepalive_ms / 2;
    uint64_t idle = s->last_in_ms < s->last_out_ms ? s->last_in_ms : s->last_out_ms;
    return s->is_pinging ? dead : idle + s->keepalive_ms;
}

/* Either direction silent for the whole interval makes a ping, so that a dead peer shows within 1.5 intervals. */
enum nx_err
mqtt_session_tick(struct mqtt_session *s, uint64_t now_ms, struct nx_note *why)
{
    if (now_ms < mqtt_session_due_ms(s))
        return NX_OK;
    if (s->state == SESSION_CONNECTING)
        return nx_fail(why, NX_E_TIMEOUT,
                       "broker took the connection but did not answer CONNECT within %d s: check that this port speaks "
                       "MQTT (and TLS where the address says mqtts://)",
                       CONNACK_TIMEOUT_MS / 1000);
    if (s->is_pinging)
        return nx_fail(why, NX_E_TIMEOUT, "broker has been silent for %.1f s: it or the network is dead",
                       (double)(now_ms - s->last_in_ms) / 1000);
    s->is_pinging = true;
    s->last_out_ms = now_ms;
    mqtt_encode_pingreq(&s->scratch);
    send_scratch(s);
    return NX_OK;
}

/* --- the end of a connection --- */

enum { REASON_DISCONNECT_WITH_WILL = 0x04 };

void
mqtt_session_disconnect(struct mqtt_session *s, bool with_will)
{
    if (s->state == SESSION_ONLINE && !(with_will && s->conf->version == MQTT_V311)) {
        mqtt_encode_disconnect(&s->scratch, s->conf->version, with_will ? REASON_DISCONNECT_WITH_WILL : 0);
        send_scratch(s);
    }
    mqtt_session_down(s);
}

void
mqtt_session_down(struct mqtt_session *s)
{
    s->state = SESSION_DOWN;
    inbox_disconnected(&s->inbox);
}

void
mqtt_session_cancel(struct mqtt_session *s)
{
    outbox_cancel(&s->outbox);
}
