#include "sim/server.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define FRAME_MAX   260u
#define IN_CAP      4096u
#define OUT_CAP     16384u
#define HEADER      7u
#define EX_FUNCTION 1u
#define EX_ADDRESS  2u
#define EX_VALUE    3u
#define EX_TARGET   11u

struct conn;

struct server {
    uv_tcp_t listener;
    struct server_conf conf;
    struct conn *conns;
    uint64_t requests;
    uint16_t port;
    unsigned handles; /* open ones: the last one closed frees the server */
};

struct conn {
    struct conn *prev, *next;
    struct server *server;
    uv_tcp_t tcp;
    uv_timer_t timer; /* delays and splits */
    bool is_timer_set, is_closing;
    unsigned handles;
    size_t in_len, out_len, out_at;
    uint8_t in[IN_CAP];
    uint8_t out[OUT_CAP]; /* replies that wait for the timer */
};

struct write {
    uv_write_t req;
    uint8_t bytes[];
};

/* --- one request --- */

static unsigned
get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static void
put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* A request PDU and room for the reply PDU. Handlers return its length, or an exception as a negative number. */
struct call {
    const struct faults *faults;
    struct memory *m;
    const uint8_t *in;
    size_t len;
    uint8_t *out;
};

static int
check_range(const struct call *c, enum memory_table table, unsigned start, unsigned n)
{
    int bad = c->faults->exception_reg;

    if (start + n > c->m->counts[table] || (bad >= 0 && (unsigned)bad >= start && (unsigned)bad < start + n))
        return -(int)EX_ADDRESS;
    return 0;
}

static int
do_read(struct call *c, enum memory_table table, bool is_bits)
{
    unsigned start = get16(c->in + 1), n = get16(c->in + 3), bytes = is_bits ? (n + 7) / 8 : 2 * n;
    const uint16_t *cells = c->m->cells[table] + start;
    int err;

    if (c->len != 5 || n == 0 || n > (is_bits ? 2000u : 125u))
        return -(int)EX_VALUE;
    err = check_range(c, table, start, n);
    if (err != 0)
        return err;
    if (c->m->before_read)
        c->m->before_read(c->m->arg, c->m, table, start, n);
    c->out[1] = (uint8_t)bytes;
    memset(c->out + 2, 0, bytes);
    for (unsigned i = 0; i < n; i++) {
        if (is_bits)
            c->out[2 + i / 8] = (uint8_t)(c->out[2 + i / 8] | (cells[i] != 0) << i % 8);
        else
            put16(c->out + 2 + 2 * i, cells[i]);
    }
    return (int)(2 + bytes);
}

static int
written(struct call *c, enum memory_table table, unsigned start, unsigned n, unsigned echo)
{
    if (c->m->after_write)
        c->m->after_write(c->m->arg, c->m, table, start, n);
    memcpy(c->out + 1, c->in + 1, echo);
    return (int)(1 + echo);
}

static int
do_write_one(struct call *c, enum memory_table table)
{
    unsigned start = get16(c->in + 1), v = get16(c->in + 3);
    int err;

    if (c->len != 5 || (table == MEMORY_COIL && v != 0 && v != 0xFF00))
        return -(int)EX_VALUE;
    err = check_range(c, table, start, 1);
    if (err != 0)
        return err;
    c->m->cells[table][start] = (uint16_t)(table == MEMORY_COIL ? v != 0 : v);
    return written(c, table, start, 1, 4);
}

static int
do_write_many(struct call *c, enum memory_table table)
{
    bool is_bits = table == MEMORY_COIL;
    unsigned start = get16(c->in + 1), n = get16(c->in + 3), bytes = is_bits ? (n + 7) / 8 : 2 * n;
    const uint8_t *data = c->in + 6;
    int err;

    if (c->len < 6 || n == 0 || n > (is_bits ? 1968u : 123u) || c->in[5] != bytes || c->len != 6 + bytes)
        return -(int)EX_VALUE;
    err = check_range(c, table, start, n);
    if (err != 0)
        return err;
    for (unsigned i = 0; i < n; i++)
        c->m->cells[table][start + i] = (uint16_t)(is_bits ? data[i / 8] >> i % 8 & 1 : get16(data + 2 * i));
    return written(c, table, start, n, 4);
}

static int
do_mask(struct call *c)
{
    unsigned start = get16(c->in + 1), and_mask = get16(c->in + 3), or_mask, old;
    int err;

    if (c->len != 7)
        return -(int)EX_VALUE;
    err = check_range(c, MEMORY_HOLDING, start, 1);
    if (err != 0)
        return err;
    or_mask = get16(c->in + 5);
    old = c->m->cells[MEMORY_HOLDING][start];
    c->m->cells[MEMORY_HOLDING][start] = (uint16_t)((old & and_mask) | (or_mask & ~and_mask));
    return written(c, MEMORY_HOLDING, start, 1, 6);
}

static int
dispatch(struct call *c)
{
    if (c->len < 5)
        return -(int)EX_VALUE;
    switch (c->in[0]) {
    case 1:
        return do_read(c, MEMORY_COIL, true);
    case 2:
        return do_read(c, MEMORY_DISCRETE, true);
    case 3:
        return do_read(c, MEMORY_HOLDING, false);
    case 4:
        return do_read(c, MEMORY_INPUT, false);
    case 5:
        return do_write_one(c, MEMORY_COIL);
    case 6:
        return do_write_one(c, MEMORY_HOLDING);
    case 15:
        return do_write_many(c, MEMORY_COIL);
    case 16:
        return do_write_many(c, MEMORY_HOLDING);
    case 22:
        return do_mask(c);
    default:
        return -(int)EX_FUNCTION;
    }
}

static struct memory *
memory_of(const struct server *s, unsigned unit)
{
    if (s->conf.memory_count == 1)
        return &s->conf.memories[0];
    return unit >= 1 && unit <= s->conf.memory_count ? &s->conf.memories[unit - 1] : NULL;
}

/* Answers the frame at in (complete, len bytes); returns the bytes written to out. */
static size_t
answer(struct server *s, const uint8_t *in, size_t len, uint8_t out[FRAME_MAX])
{
    const struct faults *f = s->conf.faults;
    struct call c = {f, memory_of(s, in[6]), in + HEADER, len - HEADER, out + HEADER};
    int n = c.m ? dispatch(&c) : -(int)EX_TARGET;

    c.out[0] = c.in[0];
    if (n < 0) {
        c.out[0] |= 0x80;
        c.out[1] = (uint8_t)-n;
        n = 2;
    }
    put16(out, f->is_wrong_tid ? get16(in) + 0x1234 : get16(in));
    put16(out + 2, 0);
    put16(out + 4, (unsigned)n + 1);
    out[6] = in[6];
    if (f->is_garbage)
        for (size_t i = 0; i < HEADER + (size_t)n; i++)
            out[i] = (uint8_t)rand();
    s->requests++;
    return f->is_mute ? 0 : HEADER + (size_t)n;
}

/* --- connections --- */

static void
server_unref(struct server *s)
{
    if (--s->handles == 0)
        free(s);
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;

    if (--c->handles > 0)
        return;
    server_unref(c->server);
    free(c);
}

static void
conn_close(struct conn *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    DL_DELETE(c->server->conns, c);
    uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static void
on_written(uv_write_t *req, int status)
{
    struct conn *c = req->handle->data;

    free(req);
    if (status < 0)
        conn_close(c);
}

static void
conn_write(struct conn *c, const uint8_t *p, size_t len)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)p, (unsigned)len);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    struct write *w;

    if (n == (int)len)
        return;
    if (n < 0 && n != UV_EAGAIN) {
        conn_close(c);
        return;
    }
    if (n > 0) {
        p += n;
        len -= (size_t)n;
    }
    w = mem_alloc(sizeof *w + len);
    memcpy(w->bytes, p, len);
    buf = uv_buf_init((char *)w->bytes, (unsigned)len);
    uv_write(&w->req, (uv_stream_t *)&c->tcp, &buf, 1, on_written);
}

static void
on_timer(uv_timer_t *timer)
{
    struct conn *c = timer->data;
    bool is_split = c->server->conf.faults->is_split;
    size_t n = is_split ? 1 : c->out_len - c->out_at;

    c->is_timer_set = false;
    conn_write(c, c->out + c->out_at, n);
    c->out_at += n;
    if (c->out_at == c->out_len) {
        c->out_at = c->out_len = 0;
    } else if (!c->is_closing) {
        c->is_timer_set = true;
        uv_timer_start(timer, on_timer, 1, 0);
    }
}

static void
conn_reply(struct conn *c, const uint8_t *p, size_t len)
{
    const struct faults *f = c->server->conf.faults;

    if (f->delay_ms == 0 && !f->is_split) {
        conn_write(c, p, len);
        return;
    }
    if (c->out_len + len > sizeof c->out) { /* a client that floods a slow device */
        conn_close(c);
        return;
    }
    memcpy(c->out + c->out_len, p, len);
    c->out_len += len;
    if (!c->is_timer_set) {
        c->is_timer_set = true;
        uv_timer_start(&c->timer, on_timer, f->delay_ms, 0);
    }
}

/* Answers every complete frame of the input; false when the input is no Modbus TCP. */
static bool
conn_serve(struct conn *c)
{
    uint8_t replies[OUT_CAP / 2];
    size_t at = 0, out = 0;

    while (c->in_len - at >= 8) {
        const uint8_t *in = c->in + at;
        size_t len = 6u + get16(in + 4);
        if (get16(in + 2) != 0 || len < 8 || len > FRAME_MAX)
            return false;
        if (c->in_len - at < len)
            break;
        if (out + FRAME_MAX > sizeof replies) {
            conn_reply(c, replies, out);
            out = 0;
        }
        out += answer(c->server, in, len, replies + out);
        at += len;
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    if (out > 0 && !c->is_closing)
        conn_reply(c, replies, out);
    return true;
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
}

static void
on_connection(uv_stream_t *listener, int status)
{
    struct server *s = listener->data;
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
        conn_close(c);
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

static int
listen_on(struct server *s)
{
    struct sockaddr_in addr;
    int len = sizeof addr, err = uv_ip4_addr(s->conf.host, s->conf.port, &addr);

    if (err == 0)
        err = uv_tcp_bind(&s->listener, (struct sockaddr *)&addr, 0);
    if (err == 0)
        err = uv_listen((uv_stream_t *)&s->listener, 1024, on_connection);
    if (err == 0)
        err = uv_tcp_getsockname(&s->listener, (struct sockaddr *)&addr, &len);
    s->port = ntohs(addr.sin_port);
    return err;
}

struct server *
server_open(uv_loop_t *loop, const struct server_conf *conf, int *why)
{
    struct server *s = mem_alloc(sizeof *s);

    s->conf = *conf;
    s->handles = 1;
    uv_tcp_init(loop, &s->listener);
    s->listener.data = s;
    *why = listen_on(s);
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
    return s->requests;
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
