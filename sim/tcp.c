#include "sim/tcp.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

struct write {
    uv_write_t req;
    void (*broken)(void *arg);
    uint8_t bytes[];
};

int
tcp_listen(uv_tcp_t *listener, const char *host, uint16_t port, uv_connection_cb on_connection, uint16_t *bound)
{
    struct sockaddr_in addr;
    int len = sizeof addr, err = uv_ip4_addr(host, port, &addr);

    if (err == 0)
        err = uv_tcp_bind(listener, (struct sockaddr *)&addr, 0);
    if (err == 0)
        err = uv_listen((uv_stream_t *)listener, 1024, on_connection);
    if (err == 0)
        err = uv_tcp_getsockname(listener, (struct sockaddr *)&addr, &len);
    *bound = ntohs(addr.sin_port);
    return err;
}

static void
on_written(uv_write_t *req, int status)
{
    struct write *w = (struct write *)req;
    void (*broken)(void *arg) = w->broken;
    void *arg = req->handle->data;

    free(w);
    if (status < 0)
        broken(arg);
}

bool
tcp_send(uv_tcp_t *tcp, const uint8_t *p, size_t len, void (*broken)(void *arg))
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)p, (unsigned)len);
    int n = uv_try_write((uv_stream_t *)tcp, &buf, 1);
    struct write *w;

    if (n == (int)len)
        return true;
    if (n < 0 && n != UV_EAGAIN)
        return false;
    if (n > 0) {
        p += n;
        len -= (size_t)n;
    }
    w = mem_alloc(sizeof *w + len);
    w->broken = broken;
    memcpy(w->bytes, p, len);
    buf = uv_buf_init((char *)w->bytes, (unsigned)len);
    uv_write(&w->req, (uv_stream_t *)tcp, &buf, 1, on_written);
    return true;
}

void
tcp_close(uv_tcp_t *tcp, bool is_reset, uv_close_cb closed)
{
    if (!is_reset || uv_tcp_close_reset(tcp, closed) != 0)
        uv_close((uv_handle_t *)tcp, closed);
}
