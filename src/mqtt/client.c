/* client.c -- a session on a stream: connects, comes back, batches per turn, tells the user. */
#include "mqtt/session.h"

#include "base/mem.h"
#include "base/num.h"
#include "obs/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

enum {
    OUT_CAP_BYTES = 4 * 1024 * 1024, /* of messages that the kernel has not taken */
    TAKEOVER_MS = 10000,
    STREAM_KEEPALIVE_S = 15,
    BUSY_WITH = 100, /* messages on the way */
    BREATH_MS = 1,
    STREAM_CAP_BYTES = 4 * OUT_CAP_BYTES, /* leaves room for acknowledgements of a broker that reads slowly */
};

/* A QoS 0 message whose done callback waits until the bytes have left. */
struct departure {
    struct departure *prev, *next;
    mqtt_done_cb *done;
    void *arg;
};

struct mqtt {
    struct loop *loop;
    struct mqtt_conf conf; /* with copies of all texts */
    struct stream_tls tls;
    const struct mqtt_ops *ops;
    void *arg;
    enum mqtt_state state;
    struct mqtt_session session;
    struct stream *stream;
    struct loop_timer timer; /* the session's, or the next attempt's */
    struct loop_timer breath;
    struct departure *departures;
    uint64_t backoff_ms, online_ms, random;
    bool flush_is_queued, wants_ready, write_failed, is_freed;
    char address[300]; /* "host:port" for people */
    struct log_ctx log;
};

/* --- life --- */

static char *
copy(const char *s)
{
    return s ? mem_strdup(s) : NULL;
}

static void
copy_will(struct mqtt_will *to, const struct mqtt_will *from)
{
    *to = *from;
    to->topic = copy(from->topic);
    to->payload.p =
        (const uint8_t *)mem_strndup(from->payload.p ? (const void *)from->payload.p : "", from->payload.len);
}

static void
free_will(struct mqtt_will *will)
{
    mem_free_const(will->topic);
    mem_free_const(will->payload.p);
    *will = (struct mqtt_will){0};
}

static void
copy_tls(struct mqtt *m, const struct stream_tls *tls)
{
    m->tls = *tls;
    m->tls.ca_file = copy(tls->ca_file);
    m->tls.cert_file = copy(tls->cert_file);
    m->tls.key_file = copy(tls->key_file);
    m->tls.server_name = copy(tls->server_name);
    m->conf.tls = &m->tls;
}

#define OR(value, otherwise) ((value) ? (value) : (otherwise))

static void
copy_conf(struct mqtt *m, const struct mqtt_conf *conf)
{
    struct mqtt_conf *c = &m->conf;

    *c = *conf;
    c->host = copy(conf->host);
    c->client_id = copy(conf->client_id ? conf->client_id : "");
    c->username = copy(conf->username);
    /* MQTT 3.1.1 has no password without a user [MQTT-3.1.2-22]. */
    c->password = conf->username || conf->version == MQTT_V5 ? copy(conf->password) : NULL;
    c->version = OR(conf->version, MQTT_V5);
    c->keepalive_s = OR(conf->keepalive_s, 30);
    c->receive_max = OR(conf->receive_max, 1000);
    c->window = OR(conf->window, 100);
    c->window = c->window > MQTT_WINDOW_MAX ? MQTT_WINDOW_MAX : c->window;
    c->max_packet_bytes = OR(conf->max_packet_bytes, 4 * 1024 * 1024);
    c->backoff_min_ms = OR(conf->backoff_min_ms, 250);
    c->backoff_max_ms = OR(conf->backoff_max_ms, 15000);
    copy_will(&c->will, &conf->will);
    if (conf->tls)
        copy_tls(m, conf->tls);
}

static void
free_conf(struct mqtt *m)
{
    const char *texts[] = {m->conf.host,   m->conf.client_id, m->conf.username, m->conf.password,
                           m->tls.ca_file, m->tls.cert_file,  m->tls.key_file,  m->tls.server_name};

    for (size_t i = 0; i < MEM_COUNT(texts); i++)
        mem_free_const(texts[i]);
    free_will(&m->conf.will);
}

static const struct session_ops SESSION_OPS;

struct mqtt *
mqtt_new(struct loop *loop, const struct mqtt_conf *conf, const struct mqtt_ops *ops, void *arg)
{
    struct mqtt *m = mem_alloc(sizeof *m);

    m->loop = loop;
    m->ops = ops;
    m->arg = arg;
    copy_conf(m, conf);
    snprintf(m->address, sizeof m->address, "%.280s:%u", m->conf.host, m->conf.port);
    m->log = (struct log_ctx){.module = "mqtt", .kind = "broker", .id = m->address};
    m->random = (loop_now_ns(loop) ^ (uint64_t)(uintptr_t)m) | 1;
    mqtt_session_init(&m->session, &m->conf, &SESSION_OPS, m);
    return m;
}

static void
set_state(struct mqtt *m, enum mqtt_state state, bool session_present, const struct nx_note *why)
{
    m->state = state;
    m->ops->on_state(m->arg, state, session_present, why);
}

static void
end_departures(struct mqtt *m, enum nx_err err)
{
    struct departure *list = m->departures, *d, *tmp;

    m->departures = NULL;
    DL_FOREACH_SAFE (list, d, tmp) {
        if (!m->is_freed)
            d->done(d->arg, err);
        free(d);
    }
}

/* --- flushing, once per turn --- */

static void drop(struct mqtt *m, const struct nx_note *why);
static void drop_at(struct mqtt *m, const char *place, const struct nx_note *why);
static void arm_timer(struct mqtt *m);

static bool
has_room(const struct mqtt *m)
{
    return m->state == MQTT_ONLINE && m->session.outbox.count < mqtt_session_window(&m->session) &&
           stream_pending(m->stream) < OUT_CAP_BYTES;
}

static void
tell_ready(struct mqtt *m)
{
    if (!m->wants_ready || !has_room(m))
        return;
    m->wants_ready = false;
    if (m->ops->on_ready)
        m->ops->on_ready(m->arg);
}

static void
flush_now(struct mqtt *m)
{
    struct nx_note why;

    if (m->stream)
        mqtt_session_flush(&m->session, loop_now_ms(m->loop));
    if (!m->write_failed || !m->stream)
        return;
    (void)nx_fail(&why, NX_E_FULL, "broker does not read what we send: it is overloaded or the network is dead");
    drop(m, &why);
}

static void
on_flush(void *arg)
{
    struct mqtt *m = arg;

    m->flush_is_queued = false;
    if (!m->is_freed)
        flush_now(m);
}

static void
queue_flush(struct mqtt *m)
{
    if (m->flush_is_queued)
        return;
    m->flush_is_queued = true;
    loop_defer(m->loop, on_flush, m);
}

/* --- what the session asks for --- */

static void
session_send(void *arg, struct slice a, struct slice b)
{
    struct mqtt *m = arg;
    enum nx_err err = b.len ? stream_write2(m->stream, a, b) : stream_write(m->stream, a);

    if (err)
        m->write_failed = true;
    queue_flush(m);
}

static size_t
session_room(void *arg)
{
    struct mqtt *m = arg;
    size_t pending = stream_pending(m->stream);

    return pending < OUT_CAP_BYTES ? OUT_CAP_BYTES - pending : 0;
}

static void
session_online(void *arg, bool session_present, const struct nx_note *why)
{
    struct mqtt *m = arg;

    m->online_ms = loop_now_ms(m->loop);
    m->wants_ready = true;
    log_info(&m->log, "connected", KV_STR("session", session_present ? "resumed" : "new"));
    if (why->text[0])
        log_warn(&m->log, "broker grants less than asked", KV_NOTE(why));
    set_state(m, MQTT_ONLINE, session_present, why->text[0] ? why : NULL);
}

static void
session_message(void *arg, const struct mqtt_message *msg)
{
    struct mqtt *m = arg;

    m->ops->on_message(m->arg, msg);
}

static void
session_warning(void *arg, const struct nx_note *why)
{
    struct mqtt *m = arg;

    log_warn(&m->log, "broker refused a request", KV_NOTE(why));
    if (m->ops->on_warning)
        m->ops->on_warning(m->arg, why);
}

static const struct session_ops SESSION_OPS = {
    .send = session_send,
    .room = session_room,
    .on_online = session_online,
    .on_message = session_message,
    .on_warning = session_warning,
};

/* --- the stream --- */

static void
connection_gone(struct mqtt *m)
{
    loop_timer_stop(&m->timer);
    loop_timer_stop(&m->breath);
    mqtt_session_down(&m->session);
    m->write_failed = false;
}

static void
on_session_timer(struct loop_timer *t, void *arg)
{
    struct mqtt *m = arg;
    struct nx_note why = {0};

    (void)t;
    if (mqtt_session_tick(&m->session, loop_now_ms(m->loop), &why)) {
        drop(m, &why);
        return;
    }
    arm_timer(m);
}

static void
arm_timer(struct mqtt *m)
{
    uint64_t now = loop_now_ms(m->loop), due = mqtt_session_due_ms(&m->session);

    if (due != UINT64_MAX)
        loop_timer_start(m->loop, &m->timer, due > now ? due - now : 0, 0, on_session_timer, m);
}

static void
stream_opened(void *arg)
{
    struct mqtt *m = arg;
    struct nx_note why = {0};

    if (mqtt_session_open(&m->session, loop_now_ms(m->loop), &why)) {
        drop(m, &why);
        return;
    }
    arm_timer(m);
}

static void
on_breath(struct loop_timer *t, void *arg)
{
    struct mqtt *m = arg;

    (void)t;
    if (m->stream)
        stream_resume(m->stream);
}

/* While much is on the way, acknowledgements are read a handful at a time instead of one by one. */
static void
take_breath(struct mqtt *m)
{
    if (m->session.outbox.count < BUSY_WITH || loop_timer_is_running(&m->breath))
        return;
    stream_pause(m->stream);
    loop_timer_start(m->loop, &m->breath, BREATH_MS, 0, on_breath, m);
}

static void
stream_data(void *arg, struct slice data)
{
    struct mqtt *m = arg;
    struct nx_note why = {0};
    enum mqtt_state before = m->state;
    enum nx_err err = mqtt_session_feed(&m->session, data, loop_now_ms(m->loop), &why);

    if (m->is_freed || !m->stream)
        return;
    if (err) {
        drop(m, &why);
        return;
    }
    if (before != m->state)
        arm_timer(m); /* the keep-alive instead of the wait for CONNACK */
    flush_now(m);
    tell_ready(m);
    if (m->stream)
        take_breath(m);
}

/* Brokers close without a word when a second client takes our id over; 3.1.1 even has no words for it. */
static bool
looks_like_takeover(const struct mqtt *m, enum nx_err err)
{
    return err == NX_E_CLOSED && m->state == MQTT_ONLINE && loop_now_ms(m->loop) - m->online_ms < TAKEOVER_MS;
}

static void
stream_gone(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct mqtt *m = arg;
    struct nx_note note;

    (void)nx_fail(&note, err, "%s%s", why ? why->text : nx_err_text(err),
                  looks_like_takeover(m, err) ? " soon after connecting: does another client use our mqtt.client_id?"
                                              : "");
    drop_at(m, "MQTT broker", &note); /* the stream's text names the address */
}

static void
stream_is_drained(void *arg)
{
    struct mqtt *m = arg;

    end_departures(m, NX_OK);
    if (m->is_freed || !m->stream)
        return;
    flush_now(m);
    tell_ready(m);
}

static const struct stream_ops STREAM_OPS = {.on_open = stream_opened,
                                             .on_data = stream_data,
                                             .on_down = stream_gone,
                                             .on_drained = stream_is_drained};

/* --- coming back --- */

static void
connect_now(struct mqtt *m)
{
    struct stream_conf conf = {.host = m->conf.host,
                               .port = m->conf.port,
                               .tls = m->conf.tls,
                               .write_cap_bytes = STREAM_CAP_BYTES,
                               .keepalive_s = STREAM_KEEPALIVE_S};

    set_state(m, MQTT_CONNECTING, false, NULL);
    if (m->state == MQTT_CONNECTING)
        m->stream = stream_open(m->loop, &conf, &STREAM_OPS, m);
}

static void
on_attempt(struct loop_timer *t, void *arg)
{
    (void)t;
    connect_now(arg);
}

/* Decorrelated jitter: each wait is drawn between the least and three times the last one. What a person must mend
 * first (a password, a certificate) is tried again at the slowest pace. */
static uint64_t
next_delay_ms(struct mqtt *m, enum nx_err err)
{
    uint64_t now = loop_now_ms(m->loop), least = m->conf.backoff_min_ms, most = m->conf.backoff_max_ms;
    bool was_steady = m->state == MQTT_ONLINE && now - m->online_ms >= most;

    if (was_steady || m->backoff_ms < least)
        m->backoff_ms = least;
    double span = (double)(m->backoff_ms * 3 - least);
    m->backoff_ms = least + (uint64_t)(num_random_unit(&m->random) * span);
    if (m->backoff_ms > most || nx_err_class(err) == NX_CLASS_CONFIG)
        m->backoff_ms = most;
    return m->backoff_ms;
}

static void
drop_at(struct mqtt *m, const char *place, const struct nx_note *why)
{
    uint64_t delay_ms = next_delay_ms(m, why->err);
    struct nx_note note = {.err = why->err, .os_errno = why->os_errno};

    snprintf(note.text, sizeof note.text, "%.60s: %.220s; next attempt in %.1f s", place, why->text,
             (double)delay_ms / 1000);
    connection_gone(m);
    stream_close(&m->stream, false);
    loop_timer_start(m->loop, &m->timer, delay_ms, 0, on_attempt, m);
    log_warn(&m->log, "broker connection is down", KV_ERR(note.err), KV_NOTE(&note));
    m->state = MQTT_WAITING;
    end_departures(m, NX_E_OFFLINE);
    if (!m->is_freed && m->state == MQTT_WAITING)
        set_state(m, MQTT_WAITING, false, &note);
}

static void
drop(struct mqtt *m, const struct nx_note *why)
{
    drop_at(m, m->address, why);
}

void
mqtt_start(struct mqtt *m)
{
    if (m->state != MQTT_STOPPED)
        return;
    m->state = MQTT_WAITING;
    loop_timer_start(m->loop, &m->timer, 0, 0, on_attempt, m);
}

/* --- stopping --- */

static void
hang_up(struct mqtt *m, bool with_will)
{
    if (m->stream) {
        mqtt_session_flush(&m->session, loop_now_ms(m->loop));
        mqtt_session_disconnect(&m->session, with_will);
        stream_close(&m->stream, true);
    }
    connection_gone(m);
}

static void
on_stopped(void *arg)
{
    struct mqtt *m = arg;

    if (m->is_freed)
        return;
    mqtt_session_cancel(&m->session);
    end_departures(m, NX_E_CANCELED);
    if (!m->is_freed)
        m->ops->on_state(m->arg, MQTT_STOPPED, false, NULL);
}

void
mqtt_stop(struct mqtt *m, bool with_will)
{
    if (m->state == MQTT_STOPPED)
        return;
    hang_up(m, with_will);
    m->state = MQTT_STOPPED;
    loop_defer(m->loop, on_stopped, m);
}

static void
destroy(void *arg)
{
    struct mqtt *m = arg;

    end_departures(m, NX_E_CANCELED);
    mqtt_session_fini(&m->session);
    free_conf(m);
    free(m);
}

void
mqtt_free(struct mqtt **mp)
{
    struct mqtt *m = *mp;

    *mp = NULL;
    if (!m)
        return;
    hang_up(m, false);
    m->state = MQTT_STOPPED;
    m->is_freed = true;
    loop_defer(m->loop, destroy, m);
}

/* --- what the user asks for --- */

void
mqtt_set_will(struct mqtt *m, const struct mqtt_will *will)
{
    free_will(&m->conf.will);
    copy_will(&m->conf.will, will);
}

static void
add_departure(struct mqtt *m, mqtt_done_cb *done, void *arg)
{
    struct departure *d;

    if (!done)
        return;
    d = mem_alloc(sizeof *d);
    d->done = done;
    d->arg = arg;
    DL_APPEND(m->departures, d);
}

static enum nx_err
try_publish(struct mqtt *m, const struct mqtt_publication *pub, mqtt_done_cb *done, void *arg)
{
    size_t len = mqtt_publish_size(m->conf.version, pub), pending;
    enum nx_err err;

    if (m->state != MQTT_ONLINE || !m->stream)
        return NX_E_OFFLINE;
    if (len > OUT_CAP_BYTES)
        return NX_E_TOO_LARGE;
    pending = stream_pending(m->stream);
    if (pending && pending + len > OUT_CAP_BYTES)
        return NX_E_FULL;
    err = mqtt_session_publish(&m->session, pub, done, arg);
    if (!err && mqtt_session_qos(&m->session, pub->qos) == 0)
        add_departure(m, done, arg);
    return err;
}

enum nx_err
mqtt_publish(struct mqtt *m, const struct mqtt_publication *pub, mqtt_done_cb *done, void *arg)
{
    enum nx_err err = try_publish(m, pub, done, arg);

    if (err == NX_E_FULL || err == NX_E_OFFLINE)
        m->wants_ready = true;
    return err;
}

void
mqtt_subscribe(struct mqtt *m, const char *filter, uint8_t qos)
{
    assert(mqtt_filter_is_valid(slice_str(filter)) && qos <= 2);
    subs_add(&m->session.subs, filter, qos);
    queue_flush(m);
}

void
mqtt_unsubscribe(struct mqtt *m, const char *filter)
{
    subs_remove(&m->session.subs, filter);
    queue_flush(m);
}

void
mqtt_ack(struct mqtt *m, uint64_t token)
{
    if (token == 0)
        return;
    inbox_ack(&m->session.inbox, token);
    queue_flush(m);
}

enum mqtt_state
mqtt_state_of(const struct mqtt *m)
{
    return m->state;
}

uint16_t
mqtt_in_flight(const struct mqtt *m)
{
    return m->session.outbox.count;
}

const struct mqtt_stats *
mqtt_stats_of(const struct mqtt *m)
{
    return &m->session.stats;
}
