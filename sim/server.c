#include "sim/server.h"

#include "base/mem.h"
#include "sim/replies.h"
#include "sim/tcp.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define IN_CAP  4096u
#define OUT_CAP 8192u

struct conn;

struct server {
    uv_tcp_t listener;
    struct station station;
    struct conn *conns;
    unsigned conn_count;
    uint16_t port;
    unsigned handles; /* open ones: the last one closed frees the server */
};

struct conn {
    struct conn *prev, *next;
    struct server *server;
    uv_tcp_t tcp;
    struct replies replies;
    bool is_closing;
    unsigned handles, requests;
    size_t in_len;
    uint8_t in[IN_CAP];
};

/* --- the end of connections --- */

static void
server_unref(struct server *s)
{
    if (--s->handles == 0)
        free(s);
}

static void
conn_unref(void *arg)
{
    struct conn *c = arg;

    if (--c->handles > 0)
        return;
    server_unref(c->server);
    free(c);
}

static void
on_tcp_closed(uv_handle_t *handle)
{
    conn_unref(handle->data);
}

static void
conn_end(struct conn *c, bool is_reset)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    DL_DELETE(c->server->conns, c);
    c->server->conn_count--;
    tcp_close(&c->tcp, is_reset, on_tcp_closed);
    replies_close(&c->replies);
}

static void
conn_close(struct conn *c)
{
    conn_end(c, false);
}

static void
conn_cut(void *arg, bool is_reset)
{
    conn_end(arg, is_reset);
}

/* --- writing --- */

static void
on_broken(void *arg)
{
    conn_close(arg);
}

static void
conn_write(void *arg, const uint8_t *p, size_t len)
{
    struct conn *c = arg;

    if (!tcp_send(&c->tcp, p, len, on_broken))
        conn_close(c);
}

/* --- requests --- */

/* Replies that leave at once, gathered for one write. */
struct batch {
    size_t len;
    uint8_t bytes[OUT_CAP];
};

static void
batch_flush(struct conn *c, struct batch *b)
{
    if (b->len > 0 && !c->is_closing)
        conn_write(c, b->bytes, b->len);
    b->len = 0;
}

static void
conn_answer(struct conn *c, struct batch *b, const uint8_t *in, size_t len)
{
    uint8_t *out = b->bytes + b->len;
    enum fault fault;
    size_t n = station_answer(&c->server->station, in, len, out, &fault);

    c->requests++;
    if (n == 0)
        return;
    if (replies_are_direct(&c->replies)) {
        b->len += n;
        return;
    }
    if (!replies_push(&c->replies, out, n, fault, len))
        conn_close(c); /* a client that floods a slow device */
}

static bool
has_heard_enough(const struct conn *c)
{
    unsigned stop_after = c->server->station.faults->stop_after;

    return stop_after > 0 && c->requests >= stop_after;
}

/* Answers every complete frame of the input; false when the input is no Modbus. */
static bool
conn_serve(struct conn *c)
{
    struct batch batch;
    size_t at = 0;
    int len = 0;

    batch.len = 0;
    while (!c->is_closing && !has_heard_enough(c)) {
        len = station_frame_length(&c->server->station, c->in + at, c->in_len - at);
        if (len <= 0)
            break;
        if (batch.len + STATION_FRAME_MAX > sizeof batch.bytes)
            batch_flush(c, &batch);
        conn_answer(c, &batch, c->in + at, (size_t)len);
        at += (size_t)len;
    }
    batch_flush(c, &batch);
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    return len >= 0;
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

    (void)buf;
    if (n < 0) {
        conn_close(c);
        return;
    }
    c->in_len += (size_t)n;
    if (!conn_serve(c))
        conn_close(c);
    else if (!c->is_closing && has_heard_enough(c))
        uv_read_stop(tcp);
}

static bool
is_unwanted(const struct server *s)
{
    const struct faults *f = s->station.faults;

    return f->is_refusing || (f->max_conns > 0 && s->conn_count > f->max_conns);
}

static void
on_connection(uv_stream_t *listener, int status)
{
    static const struct replies_ops ops = {conn_write, conn_cut, conn_unref};
    struct server *s = listener->data;
    struct conn *c;

    if (status < 0)
        return;
    c = mem_alloc(sizeof *c);
    c->server = s;
    c->handles = 2;
    s->handles++;
    s->conn_count++;
    DL_APPEND(s->conns, c);
    uv_tcp_init(listener->loop, &c->tcp);
    c->tcp.data = c;
    c->replies.faults = s->station.faults;
    replies_init(&c->replies, listener->loop, &ops, c);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || is_unwanted(s)) {
        conn_close(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    if (!s->station.faults->is_half_open)
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

/* --- the server --- */

static void
on_listener_closed(uv_handle_t *handle)
{
    server_unref(handle->data);
}

struct server *
server_open(uv_loop_t *loop, const struct server_conf *conf, int *why)
{
    struct server *s = mem_alloc(sizeof *s);

    s->station = conf->station;
    s->handles = 1;
    uv_tcp_init(loop, &s->listener);
    s->listener.data = s;
    *why = tcp_listen(&s->listener, conf->host, conf->port, on_connection, &s->port);
    if (*why != 0)
        server_close(&s);
    return s;
}

uint16_t
server_port(const struct server *s)
{
    return s->port;
}

uint64_t
server_requests(const struct server *s)
{
    return s->station.requests;
}

void
server_drop(struct server *s)
{
    while (s->conns)
        conn_end(s->conns, true);
}

void
server_close(struct server **s)
{
    if (!*s)
        return;
    while ((*s)->conns)
        conn_close((*s)->conns);
    uv_close((uv_handle_t *)&(*s)->listener, on_listener_closed);
    *s = NULL;
}
