#include "sim/s7_server.h"

#include "base/mem.h"
#include "sim/tcp.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define IN_CAP       4096u
#define BATCH_CAP    16384u
#define WAITING_MAX  256u /* chunks: a client that floods a slow CPU is dropped */
#define FRAMES_CAP   (8 * S7_PDU_MAX)
#define TPDU_MIN     8u
#define REASON_TSAP  0x03u /* address unknown */
#define REASON_LIMIT 0x01u /* congestion at the TSAP */

struct conn;

struct s7sim_server {
    uv_tcp_t listener;
    struct s7sim_server_conf conf;
    struct conn *conns;
    uint16_t port;
    unsigned handles; /* open ones: the last one closed frees the server */
};

/* Bytes that leave at due_ms. */
struct chunk {
    struct chunk *prev, *next;
    uint64_t due_ms;
    unsigned jobs; /* that it answers */
    size_t len, at;
    uint8_t bytes[];
};

struct conn {
    struct conn *prev, *next;
    struct s7sim_server *server;
    struct s7sim_cpu *cpu; /* NULL until the connection is confirmed */
    struct s7sim_session session;
    uv_tcp_t tcp;
    uv_timer_t timer; /* of the first chunk */
    bool is_closing;
    unsigned handles, tpdu_bytes, waiting;
    struct chunk *chunks; /* by due_ms */
    size_t in_len, message_len, last_len;
    uint8_t in[IN_CAP];
    uint8_t message[S7_FRAME_MAX]; /* a request being put together */
    uint8_t last[S7_PDU_MAX];      /* the reply before, for STALE */
};

/* What goes out for the bytes of one read. */
struct batch {
    size_t len;
    unsigned jobs;
    uint8_t bytes[BATCH_CAP];
};

/* --- closing --- */

static void
server_unref(struct s7sim_server *s)
{
    if (--s->handles == 0)
        free(s);
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    struct chunk *chunk, *next;

    if (--c->handles > 0)
        return;
    DL_FOREACH_SAFE (c->chunks, chunk, next)
        free(chunk);
    server_unref(c->server);
    free(c);
}

static void
conn_close(struct conn *c, bool is_reset)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    DL_DELETE(c->server->conns, c);
    if (c->cpu)
        c->cpu->connections--;
    tcp_close(&c->tcp, is_reset, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

/* --- writing --- */

static void
on_broken(void *arg)
{
    conn_close(arg, false);
}

static void
conn_write(struct conn *c, const uint8_t *p, size_t len)
{
    if (!c->is_closing && !tcp_send(&c->tcp, p, len, on_broken))
        conn_close(c, false);
}

static void arm(struct conn *c);

static void
chunk_sent(struct conn *c, struct chunk *chunk)
{
    c->session.jobs_open -= chunk->jobs;
    c->waiting--;
    DL_DELETE(c->chunks, chunk);
    free(chunk);
}

/* Everything that is due leaves in one write, or the first byte of it. */
static void
on_timer(uv_timer_t *timer)
{
    struct conn *c = timer->data;
    bool is_split = c->server->conf.faults->is_split;
    uint8_t out[BATCH_CAP];
    size_t len = 0;

    while (c->chunks && c->chunks->due_ms <= uv_now(timer->loop) && (!is_split || len == 0)) {
        struct chunk *chunk = c->chunks;
        size_t n = is_split ? 1 : chunk->len - chunk->at;
        if (len + n > sizeof out)
            break;
        memcpy(out + len, chunk->bytes + chunk->at, n);
        len += n;
        chunk->at += n;
        if (chunk->at == chunk->len)
            chunk_sent(c, chunk);
    }
    conn_write(c, out, len);
    arm(c);
}

/* A timer of 0 would run again within the same turn of the loop, and split nothing. */
static void
arm(struct conn *c)
{
    uint64_t now = uv_now(c->timer.loop), soonest = c->server->conf.faults->is_split ? 1 : 0;

    if (c->is_closing || !c->chunks)
        return;
    uv_timer_start(&c->timer, on_timer, c->chunks->due_ms > now + soonest ? c->chunks->due_ms - now : soonest, 0);
}

static int
by_due(const struct chunk *a, const struct chunk *b)
{
    return a->due_ms < b->due_ms ? -1 : a->due_ms > b->due_ms;
}

static void
send_later(struct conn *c, const uint8_t *p, size_t len, unsigned jobs, uint64_t delay_ms)
{
    struct chunk *chunk;

    if (c->waiting == WAITING_MAX) {
        conn_close(c, false);
        return;
    }
    chunk = mem_alloc(sizeof *chunk + len);
    *chunk = (struct chunk){.due_ms = uv_now(c->timer.loop) + delay_ms, .jobs = jobs, .len = len};
    memcpy(chunk->bytes, p, len);
    if (c->server->conf.faults->coalesce_ms > 0 && c->chunks && c->chunks->due_ms < chunk->due_ms)
        chunk->due_ms = c->chunks->due_ms; /* with those that wait already */
    DL_INSERT_INORDER(c->chunks, chunk, by_due);
    c->waiting++;
    c->session.jobs_open += jobs;
    arm(c);
}

static void
flush(struct conn *c, struct batch *b)
{
    if (b->len > 0)
        conn_write(c, b->bytes, b->len);
    b->len = b->jobs = 0;
}

static void
send_frames(struct conn *c, struct batch *b, const uint8_t *p, size_t len, unsigned jobs)
{
    const struct s7sim_faults *f = c->server->conf.faults;

    if (f->delay_ms > 0 || f->coalesce_ms > 0 || f->is_split || c->chunks) {
        send_later(c, p, len, jobs, f->delay_ms + f->coalesce_ms);
        return;
    }
    if (b->len + len > sizeof b->bytes)
        flush(c, b);
    memcpy(b->bytes + b->len, p, len);
    b->len += len;
    b->jobs += jobs;
}

/* --- replies and their faults --- */

static size_t
frame(const struct conn *c, const uint8_t *message, size_t len, uint8_t out[FRAMES_CAP])
{
    unsigned wanted = c->server->conf.faults->tpdu_bytes, bytes = c->tpdu_bytes;

    if (wanted > 0 && wanted < bytes)
        bytes = wanted < TPDU_MIN ? TPDU_MIN : wanted;
    return s7sim_data_frames(message, len, bytes, out);
}

static void
send_faulty(struct conn *c, struct batch *b, enum s7sim_fault fault, const uint8_t *p, size_t len)
{
    uint8_t last[FRAMES_CAP];

    switch (fault) {
    case S7_FAULT_MUTE:
        return;
    case S7_FAULT_RST:
    case S7_FAULT_FIN:
        flush(c, b);
        conn_close(c, fault == S7_FAULT_RST);
        return;
    case S7_FAULT_TRUNCATED:
        send_frames(c, b, p, len / 2, 1);
        return;
    case S7_FAULT_STALE:
        if (c->last_len > 0)
            send_frames(c, b, last, frame(c, c->last, c->last_len, last), 1);
        return;
    case S7_FAULT_LATE:
        send_later(c, p, len, 0, s7sim_faults_late_ms(c->server->conf.faults));
        return;
    case S7_FAULT_DUPLICATE:
        send_frames(c, b, p, len, 0);
        break;
    default:
        break;
    }
    send_frames(c, b, p, len, 1);
}

static void
send_reply(struct conn *c, struct batch *b, uint8_t *message, size_t len)
{
    struct s7sim_faults *f = c->server->conf.faults;
    enum s7sim_fault fault = s7sim_faults_draw(f);
    uint8_t frames[FRAMES_CAP], good[S7_PDU_MAX];
    size_t good_len = len;

    if (f->kinds != 0)
        memcpy(good, message, len);
    len = s7sim_faults_spoil(f, fault, message, len);
    send_faulty(c, b, fault, frames, frame(c, message, len, frames));
    if (f->kinds != 0) {
        memcpy(c->last, good, good_len);
        c->last_len = good_len;
    }
}

/* --- requests --- */

static struct s7sim_cpu *
cpu_of(const struct s7sim_server *s, unsigned tsap)
{
    for (unsigned i = 0; i < s->conf.cpu_count; i++)
        if (s7sim_cpu_accepts(&s->conf.cpus[i], tsap))
            return &s->conf.cpus[i];
    return NULL;
}

static bool
has_room(const struct s7sim_cpu *cpu)
{
    return cpu->conf.connections_max == 0 || cpu->connections < cpu->conf.connections_max;
}

/* A refused client gets its DR, then the end of the connection. */
static bool
serve_connect(struct conn *c, struct batch *b, const struct s7sim_tpdu *tpdu)
{
    uint8_t out[S7_FRAME_MAX];
    struct s7sim_connect request;
    struct s7sim_cpu *cpu;

    if (c->cpu || !s7sim_connect_read(tpdu, &request))
        return false;
    cpu = cpu_of(c->server, request.tsap);
    if (!cpu || !has_room(cpu)) {
        conn_write(c, out, s7sim_connect_refuse(&request, cpu ? REASON_LIMIT : REASON_TSAP, out));
        return false;
    }
    c->cpu = cpu;
    cpu->connections++;
    c->tpdu_bytes = request.tpdu_bytes;
    send_frames(c, b, out, s7sim_connect_confirm(&request, out), 0);
    return true;
}

static bool
serve_message(struct conn *c, struct batch *b)
{
    uint8_t reply[S7_PDU_MAX];
    struct s7sim_session s = c->session;
    size_t len;

    s.jobs_open += b->jobs + 1; /* with those of this batch, which have not left */
    len = s7sim_cpu_answer(c->cpu, &s, c->message, c->message_len, reply);
    c->session.pdu_bytes = s.pdu_bytes;
    c->session.jobs_max = s.jobs_max;
    c->message_len = 0;
    if (len == 0)
        return false;
    send_reply(c, b, reply, len);
    return true;
}

static bool
serve_data(struct conn *c, struct batch *b, const struct s7sim_tpdu *tpdu)
{
    if (!c->cpu || c->message_len + tpdu->len > sizeof c->message)
        return false;
    memcpy(c->message + c->message_len, tpdu->p, tpdu->len);
    c->message_len += tpdu->len;
    return !tpdu->is_last || serve_message(c, b);
}

/* Answers every whole frame of the input; false when the client must go. */
static bool
serve(struct conn *c, struct batch *b)
{
    size_t at = 0;
    bool is_fine = true;

    while (is_fine && !c->is_closing) {
        struct s7sim_tpdu tpdu;
        int n = s7sim_tpdu_read(c->in + at, c->in_len - at, &tpdu);
        if (n == 0)
            break;
        if (n < 0 || (tpdu.kind != S7_TPDU_CONNECT && tpdu.kind != S7_TPDU_DATA))
            return false;
        at += (size_t)n;
        is_fine = tpdu.kind == S7_TPDU_CONNECT ? serve_connect(c, b, &tpdu) : serve_data(c, b, &tpdu);
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    return is_fine;
}

static void
on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    struct conn *c = handle->data;

    (void)hint;
    *buf = uv_buf_init((char *)c->in + c->in_len, (unsigned)(sizeof c->in - c->in_len));
}

static void
on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = tcp->data;
    struct batch b;
    bool is_fine;

    (void)buf;
    if (n < 0) {
        conn_close(c, false);
        return;
    }
    if (c->server->conf.faults->is_half_open) {
        c->in_len = 0;
        return;
    }
    c->in_len += (size_t)n;
    b.len = b.jobs = 0;
    is_fine = serve(c, &b);
    flush(c, &b);
    if (!is_fine)
        conn_close(c, false);
}

static void
on_connection(uv_stream_t *listener, int status)
{
    struct s7sim_server *s = listener->data;
    struct conn *c;

    if (status < 0)
        return;
    c = mem_alloc(sizeof *c);
    c->server = s;
    c->handles = 2;
    s->handles++;
    DL_APPEND(s->conns, c);
    uv_tcp_init(listener->loop, &c->tcp);
    uv_timer_init(listener->loop, &c->timer);
    c->tcp.data = c->timer.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || s->conf.faults->is_refusing) {
        conn_close(c, false);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

/* --- the server --- */

static void
on_listener_closed(uv_handle_t *handle)
{
    server_unref(handle->data);
}

struct s7sim_server *
s7sim_server_open(uv_loop_t *loop, const struct s7sim_server_conf *conf, int *why)
{
    struct s7sim_server *s = mem_alloc(sizeof *s);

    s->conf = *conf;
    s->handles = 1;
    uv_tcp_init(loop, &s->listener);
    s->listener.data = s;
    *why = tcp_listen(&s->listener, conf->host, conf->port, on_connection, &s->port);
    if (*why != 0)
        s7sim_server_close(&s);
    return s;
}

uint16_t
s7sim_server_port(const struct s7sim_server *s)
{
    return s->port;
}

void
s7sim_server_drop(struct s7sim_server *s)
{
    while (s->conns)
        conn_close(s->conns, true);
}

void
s7sim_server_close(struct s7sim_server **s)
{
    if (!*s)
        return;
    while ((*s)->conns)
        conn_close((*s)->conns, false);
    uv_close((uv_handle_t *)&(*s)->listener, on_listener_closed);
    *s = NULL;
}
