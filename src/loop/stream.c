/* stream.c -- TCP client streams on libuv, with TLS as a filter.
 *
 *   RESOLVING -> CONNECTING (each address in turn) -> [HANDSHAKE] -> OPEN -> DOWN
 *
 * Any state may go to DOWN (on_down once) and any to closed by the user. The object is freed when the user has closed
 * it and libuv has given back every request and handle (refs). */
#include "base/mem.h"
#include "loop/loop_uv.h"
#include "loop/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 5000u
#define WRITE_CAP_BYTES    (1u << 20)
#define USER_TIMEOUT_MS    20000 /* TCP_USER_TIMEOUT: unacknowledged data this old means the link is gone */
#define KEEPALIVE_EVERY_S  5     /* once the first probe was not answered */
#define KEEPALIVE_PROBES   3

enum tcp_state { TCP_RESOLVING, TCP_CONNECTING, TCP_HANDSHAKE, TCP_OPEN, TCP_DOWN };

struct tcp {
    struct stream base;
    enum tcp_state state;
    bool is_closed;       /* by the user: no callback any more */
    bool is_flush_queued; /* flush_turn() is deferred */
    bool is_paused;
    bool wants_drained;
    unsigned refs; /* user, handle, and each request under way */
    char *host;
    uint16_t port;
    uint32_t timeout_ms, keepalive_s, spare_files;
    size_t write_cap;
    void (*on_step)(void *arg, const char *step, enum nx_err err, uint32_t elapsed_ms, const char *detail);
    uint64_t step_began_ms;
    struct loop_timer deadline;
    uv_getaddrinfo_t resolve;
    struct addrinfo *addresses, *next_address;
    int last_status; /* why the last address failed */
    bool has_handle;
    uv_tcp_t handle;
    uv_connect_t connect;
    struct tls *tls;
    struct wbuf plain;      /* queued by the user */
    struct wbuf wire;       /* encrypted, when there is TLS */
    size_t in_kernel_queue; /* bytes in write requests under way */
};

struct write_req {
    uv_write_t req;
    struct tcp *tcp;
    uint8_t *data;
    size_t len;
};

static struct tcp *
tcp_of(struct stream *st)
{
    return (struct tcp *)(void *)st;
}

static void
release(struct tcp *t)
{
    assert(t->refs > 0);
    if (--t->refs)
        return;
    uv_freeaddrinfo(t->addresses);
    tls_free(&t->tls);
    wbuf_free(&t->plain);
    wbuf_free(&t->wire);
    free(t->host);
    free(t);
}

static void
report_step(struct tcp *t, const char *step, enum nx_err err, const char *detail)
{
    uint64_t now = loop_now_ms(t->base.loop);

    if (t->on_step && !t->is_closed)
        t->on_step(t->base.arg, step, err, (uint32_t)(now - t->step_began_ms), detail);
    t->step_began_ms = now;
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct tcp *t = handle->data;

    release(t);
}

static void
close_handle(struct tcp *t)
{
    if (t->has_handle && !uv_is_closing((uv_handle_t *)&t->handle))
        uv_close((uv_handle_t *)&t->handle, on_handle_closed);
}

/* Callbacks never run inside a call of the user, so the end is told by whoever is on top of the loop's stack. */
static void
go_down(struct tcp *t, enum nx_err err, const struct nx_note *why)
{
    if (t->state == TCP_DOWN)
        return;
    t->state = TCP_DOWN;
    loop_timer_stop(&t->deadline);
    close_handle(t);
    if (!t->is_closed)
        t->base.ops.on_down(t->base.arg, err, why);
}

static const char *
remedy_of(enum nx_err err)
{
    switch (err) {
    case NX_E_REFUSED:
        return "The host answers but nothing listens on this port: check the port and that the server runs.";
    case NX_E_TIMEOUT:
        return "Nothing answers: check the address, the cable and any firewall on the way.";
    case NX_E_UNREACHABLE:
        return "There is no route to this address: check the address and the network settings of this machine.";
    case NX_E_FULL:
        return "Out of file descriptors: raise the limit (ulimit -n, LimitNOFILE).";
    case NX_E_RESOLVE:
        return "Check the spelling or the name server, or use the IP address.";
    default:
        return "";
    }
}

static enum nx_err
err_of_status(int status)
{
    return status == UV_EOF ? NX_E_CLOSED : nx_err_from_errno(-status);
}

static void
fail_connect(struct tcp *t, const char *step, enum nx_err err, const char *reason)
{
    struct nx_note why;

    (void)nx_fail(&why, err, "%s %s port %u: %s. %s", step, t->host, t->port, reason, remedy_of(err));
    report_step(t, t->state == TCP_RESOLVING ? "resolve" : "tcp", err, why.text);
    go_down(t, err, &why);
}

static void
on_deadline(struct loop_timer *timer, void *arg)
{
    struct tcp *t = arg;

    (void)timer;
    if (t->state == TCP_RESOLVING) {
        fail_connect(t, "resolving", NX_E_TIMEOUT, "the name server gave no answer in time");
    } else if (t->state == TCP_HANDSHAKE) {
        struct nx_note why;

        (void)nx_fail(&why, NX_E_TIMEOUT, "TLS with %s port %u: no answer in time. Does this port speak TLS?", t->host,
                      t->port);
        report_step(t, "tls", NX_E_TIMEOUT, why.text);
        go_down(t, NX_E_TIMEOUT, &why);
    } else {
        fail_connect(t, "connecting to", NX_E_TIMEOUT, "no answer in time");
    }
}

/* --- writing --- */

static void
on_written(uv_write_t *req, int status)
{
    struct write_req *w = (struct write_req *)req->data;
    struct tcp *t = w->tcp;

    t->in_kernel_queue -= w->len;
    free(w->data);
    free(w);
    if (status != 0 && status != UV_ECANCELED && t->state != TCP_DOWN) {
        struct nx_note why;

        (void)nx_fail(&why, err_of_status(status), "sending to %s port %u: %s", t->host, t->port, uv_strerror(status));
        go_down(t, why.err, &why);
    } else if (t->state == TCP_OPEN && !t->is_closed && t->in_kernel_queue == 0 && t->plain.len == 0 &&
               t->base.ops.on_drained) {
        t->base.ops.on_drained(t->base.arg);
    }
    release(t);
}

/* Hands over what the kernel does not take at once. */
static void
queue_rest(struct tcp *t, struct slice rest)
{
    struct write_req *w = mem_alloc(sizeof *w);

    w->tcp = t;
    w->len = rest.len;
    w->data = mem_realloc(NULL, rest.len);
    memcpy(w->data, rest.p, rest.len);
    w->req.data = w;
    uv_buf_t buf = uv_buf_init((char *)w->data, (unsigned)w->len);
    t->refs++;
    t->in_kernel_queue += w->len;
    int rc = uv_write(&w->req, (uv_stream_t *)&t->handle, &buf, 1, on_written);
    if (rc != 0) { /* only when the handle is closing */
        t->in_kernel_queue -= w->len;
        free(w->data);
        free(w);
        release(t);
    }
}

static void
send_bytes(struct tcp *t, struct wbuf *from)
{
    struct slice data = wbuf_slice_of(from);
    int sent = 0;

    if (data.len == 0 || uv_is_closing((uv_handle_t *)&t->handle))
        return;
    if (t->in_kernel_queue == 0) {
        uv_buf_t buf = uv_buf_init((char *)from->p, (unsigned)data.len);

        sent = uv_try_write((uv_stream_t *)&t->handle, &buf, 1);
        if (sent < 0)
            sent = 0; /* a real error comes back from uv_write() */
    }
    if ((size_t)sent < data.len)
        queue_rest(t, slice_skip(data, (size_t)sent));
    wbuf_reset(from);
}

static void
flush(struct tcp *t)
{
    if (t->state != TCP_OPEN || t->plain.len == 0)
        return;
    if (!t->tls) {
        send_bytes(t, &t->plain);
        return;
    }
    struct nx_note why;
    enum nx_err err = tls_write(t->tls, wbuf_slice_of(&t->plain), &t->wire, &why);
    wbuf_reset(&t->plain);
    send_bytes(t, &t->wire);
    if (err != NX_OK)
        go_down(t, err, &why);
}

static void
flush_turn(void *arg)
{
    struct tcp *t = arg;

    t->is_flush_queued = false;
    if (!t->is_closed) {
        flush(t);
        if (t->wants_drained && t->in_kernel_queue == 0 && t->state == TCP_OPEN && !t->is_closed &&
            t->base.ops.on_drained)
            t->base.ops.on_drained(t->base.arg);
        t->wants_drained = t->is_closed ? false : t->in_kernel_queue > 0;
    }
    release(t);
}

static enum nx_err
tcp_write2(struct stream *st, struct slice a, struct slice b)
{
    struct tcp *t = tcp_of(st);

    if (t->state == TCP_DOWN)
        return NX_E_OFFLINE;
    if (t->plain.len + t->in_kernel_queue + a.len + b.len > t->write_cap)
        return NX_E_FULL;
    wbuf_slice(&t->plain, a);
    wbuf_slice(&t->plain, b);
    t->wants_drained = true;
    if (!t->is_flush_queued) {
        t->is_flush_queued = true;
        t->refs++;
        loop_defer(st->loop, flush_turn, t);
    }
    return NX_OK;
}

static size_t
tcp_pending(const struct stream *st)
{
    const struct tcp *t = (const struct tcp *)(const void *)st;

    return t->plain.len + t->in_kernel_queue;
}

/* --- reading --- */

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct tcp *t = handle->data;
    struct loop_uv *l = loop_uv_of(t->base.loop);

    (void)suggested;
    /* TLS decrypts into the second half. */
    *buf = uv_buf_init((char *)l->read_buffer, t->tls ? LOOP_READ_BYTES / 2 : LOOP_READ_BYTES);
}

static void
become_open(struct tcp *t)
{
    t->state = TCP_OPEN;
    loop_timer_stop(&t->deadline);
    if (!t->is_closed)
        t->base.ops.on_open(t->base.arg);
}

static void
continue_handshake(struct tcp *t)
{
    struct nx_note why;
    enum nx_err err = tls_handshake(t->tls, &t->wire, &why);

    send_bytes(t, &t->wire);
    if (err == NX_E_MORE)
        return;
    report_step(t, "tls", err, err == NX_OK ? "" : why.text);
    if (err == NX_OK)
        become_open(t);
    else
        go_down(t, err, &why);
}

static void
read_tls(struct tcp *t)
{
    uint8_t *buf = loop_uv_of(t->base.loop)->read_buffer + LOOP_READ_BYTES / 2;

    while (t->state == TCP_OPEN && !t->is_closed) {
        struct nx_note why;
        size_t n;
        enum nx_err err = tls_read(t->tls, buf, LOOP_READ_BYTES / 2, &n, &t->wire, &why);

        send_bytes(t, &t->wire);
        if (err != NX_OK) {
            go_down(t, err, &why);
            return;
        }
        if (n == 0)
            return;
        t->base.ops.on_data(t->base.arg, slice(buf, n));
    }
}

static void
on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    struct tcp *t = handle->data;

    if (n == 0 || t->state == TCP_DOWN)
        return;
    t->refs++; /* a callback may close the stream */
    if (n < 0) {
        struct nx_note why;
        enum nx_err err = err_of_status((int)n);

        (void)nx_fail(&why, err, "%s port %u: %s", t->host, t->port,
                      n == UV_EOF ? "closed the connection" : uv_strerror((int)n));
        if (t->state == TCP_HANDSHAKE)
            report_step(t, "tls", err, why.text);
        go_down(t, err, &why);
    } else if (!t->tls) {
        t->base.ops.on_data(t->base.arg, slice(buf->base, (size_t)n));
    } else {
        tls_feed(t->tls, slice(buf->base, (size_t)n));
        if (t->state == TCP_HANDSHAKE)
            continue_handshake(t);
        read_tls(t);
    }
    release(t);
}

static void
tcp_pause(struct stream *st, bool is_paused)
{
    struct tcp *t = tcp_of(st);

    if (t->is_paused == is_paused)
        return;
    t->is_paused = is_paused;
    if (t->state != TCP_OPEN)
        return;
    if (is_paused)
        uv_read_stop((uv_stream_t *)&t->handle);
    else
        uv_read_start((uv_stream_t *)&t->handle, on_alloc, on_read);
}

/* --- connecting --- */

static void try_next_address(struct tcp *t);

static void
tune_socket(struct tcp *t)
{
    const struct {
        int name, value;
    } options[] = {{TCP_USER_TIMEOUT, USER_TIMEOUT_MS},
                   {TCP_KEEPINTVL, KEEPALIVE_EVERY_S},
                   {TCP_KEEPCNT, KEEPALIVE_PROBES}};
    uv_os_fd_t fd;

    uv_tcp_nodelay(&t->handle, 1);
    if (t->keepalive_s)
        uv_tcp_keepalive(&t->handle, 1, t->keepalive_s);
    if (uv_fileno((uv_handle_t *)&t->handle, &fd) != 0)
        return;
    for (size_t i = 0; i < MEM_COUNT(options); i++)
        (void)setsockopt(fd, IPPROTO_TCP, options[i].name, &options[i].value, sizeof options[i].value);
}

static void
on_retry_closed(uv_handle_t *handle)
{
    struct tcp *t = handle->data;

    t->has_handle = false;
    if (t->state == TCP_CONNECTING && !t->is_closed)
        try_next_address(t);
    release(t);
}

static void
connected(struct tcp *t)
{
    tune_socket(t);
    report_step(t, "tcp", NX_OK, "");
    t->state = t->tls ? TCP_HANDSHAKE : TCP_OPEN;
    if (!t->is_paused || t->tls)
        uv_read_start((uv_stream_t *)&t->handle, on_alloc, on_read);
    if (t->tls)
        continue_handshake(t);
    else
        become_open(t);
}

static void
on_connect(uv_connect_t *req, int status)
{
    struct tcp *t = req->data;

    if (t->state != TCP_CONNECTING || t->is_closed) {
        /* timed out or closed meanwhile */
    } else if (status == 0) {
        connected(t);
    } else {
        t->last_status = status;
        uv_close((uv_handle_t *)&t->handle, on_retry_closed);
    }
    release(t);
}

/* Fewer than spare descriptors are free; 0: none is. The lowest free number is given first, so those in use lie below.
 */
static bool
is_short_of_files(uint32_t spare)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == EMFILE || errno == ENFILE;
    (void)close(fd);
    return spare > 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)fd + spare >= limit.rlim_cur;
}

static void
try_next_address(struct tcp *t)
{
    struct addrinfo *ai = t->next_address;

    if (ai && t->spare_files > 0 && is_short_of_files(t->spare_files)) {
        t->last_status = UV_EMFILE;
        ai = NULL;
    }
    if (!ai) {
        enum nx_err err = err_of_status(t->last_status);

        fail_connect(t, "connecting to", err, uv_strerror(t->last_status));
        return;
    }
    t->next_address = ai->ai_next;
    int rc = uv_tcp_init(&loop_uv_of(t->base.loop)->uv, &t->handle);
    assert(rc == 0);
    t->has_handle = true;
    t->handle.data = t;
    t->refs += 2; /* handle and request */
    t->connect.data = t;
    rc = uv_tcp_connect(&t->connect, &t->handle, ai->ai_addr, on_connect);
    if (rc != 0) {
        release(t);
        t->last_status = rc;
        uv_close((uv_handle_t *)&t->handle, on_retry_closed);
    }
}

static void
on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *addresses)
{
    struct tcp *t = req->data;

    t->addresses = addresses;
    if (t->state == TCP_RESOLVING && !t->is_closed) {
        if (status != 0) { /* "temporary failure" may be all that the resolver says when it could open no file */
            enum nx_err err = is_short_of_files(0) ? NX_E_FULL : NX_E_RESOLVE;

            fail_connect(t, "resolving", err, uv_strerror(status));
        } else {
            report_step(t, "resolve", NX_OK, "");
            t->state = TCP_CONNECTING;
            t->next_address = addresses;
            try_next_address(t);
        }
    }
    release(t);
}

static void
start_connecting(void *arg)
{
    struct tcp *t = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC, .ai_flags = AI_ADDRCONFIG};
    struct in6_addr any;
    char service[8];

    if (t->state == TCP_RESOLVING && !t->is_closed) {
        (void)snprintf(service, sizeof service, "%u", t->port);
        if (inet_pton(AF_INET, t->host, &any) == 1 || inet_pton(AF_INET6, t->host, &any) == 1)
            hints.ai_flags = AI_NUMERICHOST;
        t->resolve.data = t;
        t->refs++;
        int rc = uv_getaddrinfo(&loop_uv_of(t->base.loop)->uv, &t->resolve, on_resolved, t->host, service, &hints);
        if (rc != 0) {
            fail_connect(t, "resolving", NX_E_RESOLVE, uv_strerror(rc));
            release(t);
        }
    }
    release(t);
}

static void
tcp_close(struct stream *st, bool do_flush)
{
    struct tcp *t = tcp_of(st);

    if (do_flush && t->state == TCP_OPEN) {
        flush(t);
        if (t->tls && t->state == TCP_OPEN) {
            tls_shutdown(t->tls, &t->wire);
            send_bytes(t, &t->wire);
        }
    }
    t->is_closed = true;
    t->state = TCP_DOWN;
    loop_timer_stop(&t->deadline);
    if (t->resolve.data)
        (void)uv_cancel((uv_req_t *)&t->resolve);
    close_handle(t);
    release(t);
}

static const struct stream_impl impl = {
    .write2 = tcp_write2,
    .pending = tcp_pending,
    .pause = tcp_pause,
    .close = tcp_close,
};

/* A bad certificate file is a failure like any other: told by on_down, from the loop. */
static void
fail_tls_setup(void *arg)
{
    struct tcp *t = arg;
    struct nx_note why;

    (void)nx_fail(&why, NX_E_TLS, "%s", wbuf_cstr(&t->wire));
    if (!t->is_closed) {
        report_step(t, "tls", NX_E_TLS, why.text);
        go_down(t, NX_E_TLS, &why);
    }
    release(t);
}

struct stream *
stream_tcp_open(struct loop *loop, const struct stream_conf *conf, const struct stream_ops *ops, void *arg)
{
    struct tcp *t = mem_alloc(sizeof *t);
    struct nx_note why;
    loop_cb *begin = start_connecting;

    t->base = (struct stream){.impl = &impl, .loop = loop, .ops = *ops, .arg = arg};
    t->refs = 2; /* the user, and the deferred start */
    t->host = mem_strdup(conf->host);
    t->port = conf->port;
    t->timeout_ms = conf->connect_timeout_ms ? conf->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    t->keepalive_s = conf->keepalive_s;
    t->spare_files = conf->spare_files;
    t->write_cap = conf->write_cap_bytes ? conf->write_cap_bytes : WRITE_CAP_BYTES;
    t->on_step = conf->on_step;
    t->plain = wbuf_init(0);
    t->wire = wbuf_init(0);
    t->step_began_ms = loop_now_ms(loop);
    if (conf->tls && tls_new(&t->tls, conf->tls, conf->host, &why) != NX_OK) {
        wbuf_str(&t->wire, why.text);
        begin = fail_tls_setup;
    }
    loop_timer_start(loop, &t->deadline, t->timeout_ms, 0, on_deadline, t);
    loop_defer(loop, begin, t);
    return &t->base;
}
