/* serial.c -- serial lines as streams, on libuv.
 *
 *   OPENING (on a worker) -> OPEN -> DOWN
 *
 * Opening, sending with RTS and the last bytes before a close may block, so a worker thread does them; while
 * is_lent it alone writes and nobody closes. All else is non-blocking on the loop. The object is freed when the user
 * has closed it and libuv and the worker have given it back (refs). */
#include "base/mem.h"
#include "base/wbuf.h"
#include "loop/loop_uv.h"
#include "loop/serial_port.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define WRITE_CAP_BYTES (256u * 1024u)

enum serial_state { SERIAL_OPENING, SERIAL_OPEN, SERIAL_DOWN };

struct serial {
    struct stream base;
    struct serial_conf conf;
    enum serial_state state;
    bool is_closed;       /* by the user: no callback any more */
    bool is_flush_queued; /* flush_turn() is deferred */
    bool is_drained;      /* the rest was sent before the close; a pty may still hold it */
    bool is_paused;
    bool is_full; /* the kernel took only a part */
    bool is_lent; /* a worker has fd and sending */
    unsigned refs;
    int fd;
    uv_poll_t poll;
    bool has_poll;
    struct wbuf out;     /* queued by the user */
    struct wbuf sending; /* the worker's */
    int send_errno;
    struct nx_note why; /* of opening */
};

static struct serial *
serial_of(struct stream *st)
{
    return (struct serial *)(void *)st;
}

static void
release(struct serial *s)
{
    assert(s->refs > 0);
    if (--s->refs)
        return;
    wbuf_free(&s->out);
    wbuf_free(&s->sending);
    mem_free_const(s->conf.path);
    free(s);
}

static void
hand_to_worker(struct serial *s, loop_cb *work, loop_cb *done)
{
    s->refs++;
    s->is_lent = true;
    loop_work(s->base.loop, work, done, s);
}

/* --- the end --- */

static void
on_poll_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void
close_poll(struct serial *s)
{
    if (s->has_poll)
        uv_close((uv_handle_t *)&s->poll, on_poll_closed);
    s->has_poll = false;
}

static void
close_port(struct serial *s)
{
    close_poll(s);
    if (s->fd >= 0 && !s->is_lent) {
        serial_port_close(s->fd, s->is_drained);
        s->fd = -1;
    }
}

static void
go_down(struct serial *s, enum nx_err err, const struct nx_note *why)
{
    if (s->state == SERIAL_DOWN)
        return;
    s->state = SERIAL_DOWN;
    close_port(s);
    if (!s->is_closed)
        s->base.ops.on_down(s->base.arg, err, why);
}

static void
lose(struct serial *s, int os_errno)
{
    struct nx_note why;

    (void)nx_fail(&why, NX_E_CLOSED, "%s: the line is gone (%s). Was the adapter unplugged?", s->conf.path,
                  os_errno ? strerror(os_errno) : "hung up");
    why.os_errno = os_errno;
    go_down(s, NX_E_CLOSED, &why);
}

/* --- reading and writing --- */

static void on_poll(uv_poll_t *poll, int status, int events);

static void
watch(struct serial *s)
{
    int events = UV_DISCONNECT | (s->is_paused ? 0 : UV_READABLE) | (s->is_full ? UV_WRITABLE : 0);

    uv_poll_start(&s->poll, events, on_poll);
}

static void
read_once(struct serial *s)
{
    uint8_t *buf = loop_uv_of(s->base.loop)->read_buffer;
    ssize_t n = read(s->fd, buf, LOOP_READ_BYTES);

    if (n > 0)
        s->base.ops.on_data(s->base.arg, slice(buf, (size_t)n));
    else if (n == 0)
        lose(s, 0);
    else if (errno != EAGAIN && errno != EINTR)
        lose(s, errno);
}

static void
tell_drained(struct serial *s)
{
    if (s->base.ops.on_drained)
        s->base.ops.on_drained(s->base.arg);
}

static void
write_some(struct serial *s)
{
    ssize_t n = write(s->fd, s->out.p, s->out.len);
    bool was_full = s->is_full;

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lose(s, errno);
        return;
    }
    if (n > 0) {
        s->out.len -= (size_t)n;
        memmove(s->out.p, s->out.p + n, s->out.len);
    }
    s->is_full = s->out.len > 0;
    if (s->is_full != was_full)
        watch(s);
    if (!s->is_full)
        tell_drained(s);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct serial *s = poll->data;

    s->refs++; /* a callback may close the stream */
    if (status < 0)
        lose(s, EIO);
    else if (events & UV_READABLE)
        read_once(s);
    else if (events & UV_DISCONNECT)
        lose(s, 0);
    if (s->state == SERIAL_OPEN && events & UV_WRITABLE && s->is_full)
        write_some(s);
    release(s);
}

static void
lend_output(struct serial *s, loop_cb *work, loop_cb *done)
{
    struct wbuf empty = s->sending;

    s->sending = s->out;
    s->out = empty;
    hand_to_worker(s, work, done);
}

/* On a worker. */
static void
send_with_rts(void *arg)
{
    struct serial *s = arg;

    s->send_errno = serial_port_send_rts(s->fd, wbuf_slice_of(&s->sending), s->conf.rts_delay_us);
}

static void flush(struct serial *s);

static void
on_sent_with_rts(void *arg)
{
    struct serial *s = arg;

    s->is_lent = false;
    wbuf_reset(&s->sending);
    if (s->state == SERIAL_DOWN)
        close_port(s);
    else if (s->send_errno != 0)
        lose(s, s->send_errno);
    else if (s->out.len > 0)
        flush(s);
    else
        tell_drained(s);
    release(s);
}

static void
flush(struct serial *s)
{
    if (s->state != SERIAL_OPEN || s->out.len == 0 || s->is_lent)
        return;
    if (s->conf.rs485 == RS485_RTS)
        lend_output(s, send_with_rts, on_sent_with_rts);
    else
        write_some(s);
}

static void
flush_turn(void *arg)
{
    struct serial *s = arg;

    s->is_flush_queued = false;
    flush(s);
    release(s);
}

static enum nx_err
serial_write2(struct stream *st, struct slice a, struct slice b)
{
    struct serial *s = serial_of(st);

    if (s->state == SERIAL_DOWN)
        return NX_E_OFFLINE;
    if (s->out.len + s->sending.len + a.len + b.len > s->conf.write_cap_bytes)
        return NX_E_FULL;
    wbuf_slice(&s->out, a);
    wbuf_slice(&s->out, b);
    if (!s->is_flush_queued) {
        s->is_flush_queued = true;
        s->refs++;
        loop_defer(st->loop, flush_turn, s);
    }
    return NX_OK;
}

static size_t
serial_pending(const struct stream *st)
{
    const struct serial *s = (const struct serial *)(const void *)st;

    return s->out.len + s->sending.len;
}

static void
serial_pause(struct stream *st, bool is_paused)
{
    struct serial *s = serial_of(st);

    s->is_paused = is_paused;
    if (s->state == SERIAL_OPEN)
        watch(s);
}

/* --- closing --- */

/* On a worker. */
static void
send_rest(void *arg)
{
    struct serial *s = arg;

    if (s->conf.rs485 == RS485_RTS)
        s->is_drained = serial_port_send_rts(s->fd, wbuf_slice_of(&s->sending), s->conf.rts_delay_us) == 0;
    else
        s->is_drained = serial_port_send(s->fd, wbuf_slice_of(&s->sending)) == 0;
}

static void
on_rest_sent(void *arg)
{
    struct serial *s = arg;

    s->is_lent = false;
    close_port(s);
    release(s);
}

static void
serial_close(struct stream *st, bool do_flush)
{
    struct serial *s = serial_of(st);

    if (do_flush && s->state == SERIAL_OPEN && !s->is_lent)
        lend_output(s, send_rest, on_rest_sent);
    s->is_closed = true;
    s->state = SERIAL_DOWN;
    close_port(s);
    release(s);
}

static const struct stream_impl impl = {
    .write2 = serial_write2,
    .pending = serial_pending,
    .pause = serial_pause,
    .close = serial_close,
};

/* --- opening --- */

/* On a worker. */
static void
open_port(void *arg)
{
    struct serial *s = arg;

    (void)serial_port_open(&s->conf, &s->fd, &s->why);
}

static void
become_open(struct serial *s)
{
    int rc = uv_poll_init(&loop_uv_of(s->base.loop)->uv, &s->poll, s->fd);

    if (rc != 0) {
        struct nx_note why;

        (void)nx_fail_errno(&why, NX_OK, -rc, "watching %s", s->conf.path);
        go_down(s, why.err, &why);
        return;
    }
    s->poll.data = s;
    s->has_poll = true;
    s->refs++;
    s->state = SERIAL_OPEN;
    watch(s);
    s->base.ops.on_open(s->base.arg);
    flush(s);
}

static void
on_port_opened(void *arg)
{
    struct serial *s = arg;

    s->is_lent = false;
    if (s->is_closed)
        close_port(s);
    else if (s->fd < 0)
        go_down(s, s->why.err, &s->why);
    else
        become_open(s);
    release(s);
}

struct stream *
stream_serial_open(struct loop *loop, const struct serial_conf *conf, const struct stream_ops *ops, void *arg)
{
    struct serial *s = mem_alloc(sizeof *s);

    s->base = (struct stream){.impl = &impl, .loop = loop, .ops = *ops, .arg = arg};
    s->refs = 1;
    s->fd = -1;
    s->conf = *conf;
    s->conf.path = mem_strdup(conf->path);
    if (!conf->write_cap_bytes)
        s->conf.write_cap_bytes = WRITE_CAP_BYTES;
    s->out = wbuf_init(0);
    s->sending = wbuf_init(0);
    hand_to_worker(s, open_port, on_port_opened);
    return &s->base;
}
